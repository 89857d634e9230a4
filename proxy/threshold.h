/* threshold.h - a step of a budget as the store keeps it: kinds of events, and their words. Any thread. */
#ifndef PROXY_THRESHOLD_H
#define PROXY_THRESHOLD_H

#include "policy/engine.h"
#include "store/store.h"

/* budget.threshold, budget.blocked, budget.throttled, budget.degraded. A shadow budget refuses nothing: what it would
 * have done is a threshold. */
void threshold_of(const struct engine_event *, int64_t at_ns, struct threshold_event *ret) NONNULL(1, 3);

#endif
