/* pace.h - slowing calls down: pacing in money, and the delays of the throttle rung and of the throttle rules.
 *
 * Pacing is GCRA with dollars for cells. The state is one int64, `tat`: the instant at which all admitted money would
 * be spent at the rate r. For a call of cost c: T = c / r; tat' = max(tat, now) + T; it goes at once when tat' - now <=
 * burst, else it waits for tat' - now - burst, and is refused when that is more than max_wait. One thing is added to
 * that formula: a call that is dearer than the whole burst (T > burst) waits until nothing is owed instead of never
 * being let in; what it costs is then waited for by those who come later. Sources: budget specification 6 and 6.1
 * (ladder, pacing), cost endpoints C7.5 and C7.6 (functions pace_c7_*). Where both the ladder and the rules delay a
 * call, the longer delay holds; they are not added.
 *
 * Pure: no clock, no I/O, no malloc; integers; jitter comes from a hash that the caller gives. Time that goes back does
 * no harm: it only makes calls wait. Units: monotonic ns, Unix s, nano-USD, ppm. Threads: the caller's lock. */
#ifndef POLICY_PACE_H
#define POLICY_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

/* --- pacing ------------------------------------------------------------------------------------------------------- */

#define PACE_FACTOR_MILLI 3000
#define PACE_BURST_NS INT64_C(600000000000)   /* 10 min of rate */
#define PACE_MAX_WAIT_NS INT64_C(10000000000) /* 10 s */
#define PACE_RETRY_MAX_S 60

/* `nanousd` may be spent every `per_ns`. 0 = nothing may be spent. */
struct pace_rate {
	int64_t nanousd, per_ns;
};
/* limit / window * factor: three times the even share lets working hours be working hours. */
struct pace_rate pace_rate_share(int64_t limit_nanousd, int64_t window_s, int64_t factor_milli);
/* What is left over the time that is left, times the factor; left <= 0: nothing; past the end: all of it in a second.
 */
struct pace_rate pace_rate_left(int64_t left_nanousd, int64_t left_s, int64_t factor_milli);
struct pace_rate pace_rate_per_minute(int64_t nanousd);

struct pace_limits {
	int64_t burst_ns, max_wait_ns;
};
#define PACE_LIMITS_DEFAULT ((struct pace_limits){PACE_BURST_NS, PACE_MAX_WAIT_NS})

struct pace {
	int64_t tat_ns; /* start with {0} */
};
/* BUR_OK: the cost is taken; start the call after *ret_wait_ns (0: at once). A waiter that leaves gives its cost back.
 * BUR_DENIED: nothing changed; 429, try again after *ret_retry_s, which is 1..60. A cost of 0 always passes. */
int pace_admit(struct pace *, const struct pace_rate *, const struct pace_limits *, int64_t cost_nanousd,
	       int64_t now_ns, int64_t *ret_wait_ns, int *ret_retry_s) NONNULL(1, 2, 3, 6, 7) MUST_USE;
/* At settlement: worst - actual, with the rate of the admission. Never below now - burst. */
void pace_give_back(struct pace *, const struct pace_rate *, const struct pace_limits *, int64_t unused_nanousd,
		    int64_t now_ns) NONNULL(1, 2, 3);

/* --- the throttle rung -------------------------------------------------------------------------------------------- */

#define PACE_CURVE_FROM_PPM 800000
#define PACE_CURVE_MAX_NS INT64_C(5000000000)

struct pace_curve {
	int64_t from_ppm; /* t0: no delay below; 0 .. 1000000 */
	int64_t max_ns;   /* d_max, at 100 % and above */
};
#define PACE_CURVE_DEFAULT ((struct pace_curve){PACE_CURVE_FROM_PPM, PACE_CURVE_MAX_NS})
/* d_max * ((u - t0) / (1 - t0))^2 +- 10 %, never more than d_max. u_ppm: the call counted in. */
int64_t pace_curve_ns(const struct pace_curve *, int64_t u_ppm, uint64_t jitter) NONNULL(1);

/* --- throttle rules (C7.5, C7.6) ---------------------------------------------------------------------------------- */

#define PACE_C7_NONE_PPM 1000000
#define PACE_C7_UNIT_NS INT64_C(1000000000)
#define PACE_C7_MAX_NS INT64_C(5000000000)
#define PACE_C7_RECOVERY_S 600
#define PACE_C7_STEP_PPM 100000
#define PACE_C7_STEP_S 60

/* (1 - f) * unit * uniform 0.8 .. 1.2, at most max_ns. */
int64_t pace_c7_delay_ns(int64_t factor_ppm, int64_t unit_ns, int64_t max_ns, uint64_t jitter);
/* f * limit, at least 1. */
uint32_t pace_c7_concurrency(uint32_t limit, int64_t factor_ppm);

/* One rule's throttle on its way: falls at once, comes back slowly. Start with PACE_C7_FREE. */
struct pace_c7 {
	int64_t factor_ppm;
	int64_t below_since_s; /* below the recovery threshold since; -1: not below */
	int64_t stepped_s;     /* the last step up; -1: not recovering */
};
#define PACE_C7_FREE ((struct pace_c7){PACE_C7_NONE_PPM, -1, -1})
/* At every call and monitor cycle. `triggered`: the rule's value is at its threshold now, with the rule's factor;
 * `below`: it is below the recovery threshold. After recovery_s below, f rises by 0.1 and then by 0.1 a minute up to 1.
 * Returns f. */
int64_t pace_c7_update(struct pace_c7 *, bool triggered, int64_t rule_factor_ppm, bool below, int64_t recovery_s,
		       int64_t now_s) NONNULL(1);

#endif
