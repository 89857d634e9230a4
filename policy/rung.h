/* rung.h - what a decision's rungs come to, for all who climb the ladder: calls (proxy/txn_ladder.c, txn_pace.c), those
 * who ask what would become of one (app/explain_ladder.c), and calls of the past (app/simulate_call.c). Any thread. */
#ifndef POLICY_RUNG_H
#define POLICY_RUNG_H

#include "policy/engine.h"
#include "policy/pace.h"

#define RUNG_DEGRADES_MAX 3 /* other models that a call may be sent on to, one after the other */

/* What is left over the time that is left. Where there is no such thing (a soft budget that is used up, a rolling
 * window) the limit's even share. {0, 0}: no rate can be told (a window that never ends), and nothing is paced. */
struct pace_rate rung_rate(const struct reached *) NONNULL(1);
/* The delay of the throttle rung; `jitter` as in pace_curve_ns. */
int64_t rung_delay_ns(const struct reached *, uint64_t jitter) NONNULL(1);
/* VERDICT_DEGRADE, but this call cannot take that step: it is taken out of the match, so that another one or a refusal
 * is next. `all`: no degrade step of any budget is left. */
void rung_leave(const struct engine *, struct match *, const struct decision *, bool all) NONNULL(1, 2, 3);
/* May a hold begin on less than the call's bound and grow with the answer, as the budgets have it? Requests do not
 * grow, soft budgets do not refuse. */
bool rung_may_grow(const struct engine *, const struct match *, bool has_max_out) NONNULL(1, 2);
/* Would twice the whole call still fit? Then nobody looks at single tokens of its prompt. *scratch is overwritten. */
bool rung_is_plenty(struct engine *, const struct match *, int64_t worst_nanousd, uint64_t worst_tokens, int64_t now_s,
		    struct decision *scratch) NONNULL(1, 2, 6);

#endif
