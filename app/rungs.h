/* rungs.h - what the data path does on a rung (proxy/txn_pace.c), for those who ask what it would do. Pure. */
#ifndef APP_RUNGS_H
#define APP_RUNGS_H

#include "policy/engine.h"
#include "policy/pace.h"

/* What is left over the time that is left; where there is no such thing (a soft budget that is used up, a rolling
 * window) the limit's even share. per_ns 0: no rate can be told, and nothing is paced. */
struct pace_rate rungs_rate(const struct reached *) NONNULL(1);
/* The delay of the throttle rung; `jitter` as in pace_curve_ns. */
int64_t rungs_delay_ns(const struct reached *, uint64_t jitter) NONNULL(1);

#endif
