/* engine_meter.h - one counter of the engine as it is now, by its uid; engine_snapshot is for all of them. */
#ifndef POLICY_ENGINE_METER_H
#define POLICY_ENGINE_METER_H

#include "base/attr.h"
#include "policy/engine.h"

/* The window that is open now, under the lock. BUR_NOTFOUND: there is no such counter. Any thread. */
int engine_meter_view(struct engine *, uint64_t uid, int64_t now_s, struct meter_view *ret) NONNULL(1, 4) MUST_USE;
/* Its budget and scope, which live as long as the engine. BUR_NOTFOUND. Any thread, no lock. */
int engine_meter_of(struct engine *, uint64_t uid, const struct budget **ret_budget, const char **ret_scope)
    NONNULL(1, 3, 4) MUST_USE;

#endif
