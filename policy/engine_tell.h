/* engine_tell.h - steps that are told beside the decision: rungs once they were really used, thresholds that were
 * crossed without a call or whose telling was lost, and steps that may be told again because the use fell below them.
 *
 * Which steps of a window instance were told is its warned_mask: bit i for the budget's step i. All under the engine's
 * lock; any thread. */
#ifndef POLICY_ENGINE_TELL_H
#define POLICY_ENGINE_TELL_H

#include "base/attr.h"
#include "policy/engine.h"

/* A hard budget without a block step refuses at its limit all the same: that is told under this number. */
#define TELL_LIMIT 31

/* The step of that number happened in the window instance that began at win_start (rolling: the bucket of now).
 * BUR_OK: *ret is to be persisted and told. BUR_ALREADY: it was told. BUR_NOTFOUND: no such counter, or that window is
 * over and forgotten. */
int engine_tell(struct engine *, uint64_t uid, int64_t win_start, size_t step, struct engine_event *ret)
    NONNULL(1, 5) MUST_USE;

/* Alert steps that posted + held have reached and that were not told, of the n counters from the from-th on (in the
 * order of engine_uids), at most EVENTS_MAX. Returns how many dst got; *ret_next: the counter to go on with, `from` of
 * the next call; it is not beyond the last when there are none left (then *ret_next < from + n). The lock is taken for
 * `n` counters: keep it small. */
size_t engine_tell_due(struct engine *, size_t from, size_t n, int64_t now_s, struct engine_event dst[EVENTS_MAX],
		       size_t *ret_next) NONNULL(1, 5, 6);

/* The steps of the mask may be told again in that window instance (rolling: in every bucket). BUR_NOTFOUND as above. */
int engine_untell(struct engine *, uint64_t uid, int64_t win_start, uint32_t mask) NONNULL(1);

#endif
