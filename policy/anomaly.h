/* anomaly.h - is this hour's spend unlike the same hour of other weeks, and has spend slowly moved to another level?
 *
 * Hours (budget specification 6.4): m = median of the same hour of the week over the last 8 weeks; with fewer than 3
 * such hours of the same hour of the day over 14 days; with less than 7 days of history the detector is learning and
 * silent. s = max(1.4826 * MAD, 5 % of m, 0.50 USD); z = (x - m) / s, x being the hour's spend so far, scaled to a
 * whole hour by the part that has passed (at least a quarter: what came in a minute says little about an hour). Level
 * 1: z >= 4 in two evaluations 5 min apart, and in all between; level 2: z >= 8. Days, for slow shifts: EWMA of daily
 * residuals, lambda 0.2, against 4 * s_day * sqrt(lambda / (2 - lambda)); upwards only. An hour or day that was flagged
 * and not marked normal by a person is no part of any baseline. anomaly_c6_* are the figures of the cost API (cost
 * endpoints C6.4): they are shown there and alert nobody.
 *
 * Pure: no clock, no I/O, no malloc; the series come from the ledger, and all of 6.4 is integers: same ledger, same
 * verdict. Units: nano-USD, Unix seconds, z in thousandths. Any thread (the state: the caller's lock). */
#ifndef POLICY_ANOMALY_H
#define POLICY_ANOMALY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/calendar.h"

/* --- hours -------------------------------------------------------------------------------------------------------- */

#define ANOMALY_HOURS_MAX 1346 /* useful: 8 weeks, and an hour or two for a change of daylight saving */
#define ANOMALY_Z1_MILLI 4000
#define ANOMALY_Z2_MILLI 8000
#define ANOMALY_CONFIRM_S 300
#define ANOMALY_ELAPSED_MIN_S 900
#define ANOMALY_SCALE_MIN_NANOUSD INT64_C(500000000)

struct anomaly_series {
	const int64_t
	    *hours; /* spend of complete UTC hours, oldest first, without gaps, to the one before the present */
	const bool *excluded; /* one per hour; NULL: none */
	size_t n;             /* hours since this scope began to spend; older ones than 8 weeks are not looked at */
	int64_t hour_s;       /* where the present hour begins */
	const struct tz *tz;  /* whose hours of the week; NULL: UTC */
};

enum anomaly_basis { ANOMALY_LEARNING, ANOMALY_HOUR_OF_DAY, ANOMALY_HOUR_OF_WEEK };
struct anomaly_baseline {
	enum anomaly_basis basis; /* LEARNING: the rest is zero, but n_samples */
	size_t n_samples;
	int64_t median_nanousd, scale_nanousd; /* m, s */
};
void anomaly_baseline(const struct anomaly_series *, struct anomaly_baseline *ret) NONNULL(1, 2);

/* Of one scope; start with {0}. */
struct anomaly_state {
	bool over;
	int64_t over_since_s;
	int level; /* as last told */
};
struct anomaly {
	struct anomaly_baseline baseline;
	int64_t spent_nanousd, scaled_nanousd; /* of this hour; x */
	int64_t scale_nanousd;                 /* s, as widened for the part of the hour */
	int64_t z_milli;
	int level;  /* 0, 1, 2 */
	bool began; /* the level is higher than at the evaluation before */
};
/* spent_nanousd: in the present hour until now_s. */
void anomaly_evaluate(const struct anomaly_baseline *, struct anomaly_state *, int64_t hour_s, int64_t spent_nanousd,
		      int64_t now_s, struct anomaly *ret) NONNULL(1, 2, 6);

/* --- slow shifts -------------------------------------------------------------------------------------------------- */

#define ANOMALY_DAYS_MAX 112 /* 8 weeks of residuals, each against 8 weeks before it */

struct anomaly_shift {
	bool learning;
	size_t n_residuals;
	int64_t ewma_nanousd, limit_nanousd, scale_nanousd; /* scale: s_day */
	bool over;                                          /* an anomaly of level 1 */
};
/* `days`: complete days, oldest first, without gaps, to yesterday. A day's baseline is the median of the same day of
 * the week over the 8 weeks before it (at least 3), else of the 14 days before it (at least 7), else it has no
 * residual. s_day: from the residuals of the last 8 weeks, with the floors of s. */
void anomaly_shift(const int64_t *days, const bool *excluded, size_t n, struct anomaly_shift *ret) NONNULL(4);

/* --- who did it --------------------------------------------------------------------------------------------------- */

#define ANOMALY_TOP 3
struct anomaly_part {
	uint32_t key, model, user; /* ids of the ledger */
	int64_t spent_nanousd, usual_nanousd;
};
/* The parts with the largest increase in money, largest first; equal ones by their ids. Only increases. Returns how
 * many of ret[] are set. */
size_t anomaly_top(const struct anomaly_part *, size_t n, struct anomaly_part ret[ANOMALY_TOP]) NONNULL(3);

/* --- C6.4 --------------------------------------------------------------------------------------------------------- */

#define ANOMALY_C6_CALLS 20
#define ANOMALY_C6_NEWEST 5
struct anomaly_c6 {
	size_t call; /* index in costs[] */
	int64_t cost_nanousd;
	double expected_max; /* nano-USD: mean + 2 sample deviations of the last 20 */
	bool high;           /* severity; else medium */
};
/* `costs` of the last calls, oldest first. Looks at the newest five; the caller tells each call once. Returns how many
 * of ret[] are set; 0 with fewer than 20 calls. */
size_t anomaly_c6_spikes(const int64_t *costs, size_t n, struct anomaly_c6 ret[ANOMALY_C6_NEWEST]) NONNULL(3);

#endif
