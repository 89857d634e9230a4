/* burn.h - how fast a budget is being spent, against how fast it was meant to be.
 *
 *   burn(w) = spend(w) / expected(w),   expected(w) = limit * share(w)
 *
 * share(w) is the part of the budget's window that the last w seconds are: by the clock (flat), or, with 28 days of
 * history, by the hours of the week in which the money is usually spent (profile). A row speaks only when its long AND
 * its short window are over the threshold: the long one says that it matters, the short one that it still goes on.
 * Formulas: budget specification 6.3. Units: nano-USD, Unix seconds, burn in thousandths (14400 = 14.4 times the plan).
 *
 * Pure: no clock, no I/O, no memory but the caller's; integers, except where a profile is made. Can be filled anew from
 * the ledger and gives the same answers. Threads: none of its own; the caller's lock. */
#ifndef POLICY_BURN_H
#define POLICY_BURN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

/* --- spend of the last seconds ------------------------------------------------------------------------------------ */

#define BURN_BUCKETS 60 /* in one span; one more for the part of the oldest */
/* The span covers 1 s to 10 years. */
#define BURN_SPAN_MAX_S INT64_C(315576000)

struct burn_ring {
	int64_t width_s; /* of a bucket, aligned to the epoch */
	int64_t head;    /* number of the newest bucket: unix_s / width_s */
	int64_t nanousd[BURN_BUCKETS + 1];
};
/* span_s: the longest window that will be asked for; clipped to 1 .. BURN_SPAN_MAX_S. */
void burn_ring_init(struct burn_ring *, int64_t span_s) NONNULL(1);
/* Corrections may be negative. What is older than the span is ignored. Sums stop at the ends of int64. */
void burn_ring_add(struct burn_ring *, int64_t at_s, int64_t nanousd) NONNULL(1);
/* Spend with now_s - w_s < at <= now_s. Of the oldest bucket counts the share of its seconds that lie inside. */
int64_t burn_ring_sum(const struct burn_ring *, int64_t now_s, int64_t w_s) NONNULL(1);

/* --- when money is usually spent ---------------------------------------------------------------------------------- */

#define BURN_WEEK_HOURS 168
#define BURN_PROFILE_HOURS_MIN (4 * BURN_WEEK_HOURS) /* 28 days */
#define BURN_PROFILE_WEEKS_MAX 8
#define BURN_FLAT_RATE 1000

struct burn_profile {
	uint32_t rate[BURN_WEEK_HOURS];      /* weight of a second in this UTC hour of the week, Monday first */
	int64_t before[BURN_WEEK_HOURS + 1]; /* weight of the hours before it */
};
/* `hours` are the spends of n consecutive UTC hours, the first one beginning at first_s. The last whole weeks (at most
 * 8) are used: per hour of the week the median of its share of its week. No hour weighs less than a tenth of an even
 * share, so that the first dollar at night is not an alarm. BUR_AGAIN: under 28 days, or under 4 weeks with spend. */
int burn_profile_make(const int64_t *hours, size_t n, int64_t first_s, struct burn_profile *ret) NONNULL(1, 4) MUST_USE;
/* Weight of [from_s, to_s); profile NULL: flat. */
int64_t burn_weight(const struct burn_profile *, int64_t from_s, int64_t to_s);

/* --- the rows ----------------------------------------------------------------------------------------------------- */

enum burn_row_id { BURN_FAST, BURN_MEDIUM, BURN_SLOW, BURN_PLAN };
#define BURN_ROWS 4
enum burn_action { BURN_TICKET, BURN_PAGE, BURN_TRIP }; /* TRIP: pages, and opens the cost breaker */

struct burn_row {
	const char *name;
	int64_t long_s; /* of a budget of 30 days; the short window is a twelfth */
	int64_t threshold_milli;
	enum burn_action action;
};
extern const struct burn_row burn_default_rows[BURN_ROWS];
#define BURN_MIN_ALERT_NANOUSD INT64_C(1000000000)
#define BURN_LONG_MIN_S 300
#define BURN_SHORT_MIN_S 60

/* The windows of a row for a budget whose window lasts window_s: scaled by window_s / 30 d, at least 5 min and 1 min.
 */
void burn_row_windows(const struct burn_row *, int64_t window_s, int64_t *ret_long_s, int64_t *ret_short_s)
    NONNULL(1, 3, 4);

struct burn {
	const struct burn_row *rows; /* BURN_ROWS of them; outlive this */
	int64_t long_s[BURN_ROWS], short_s[BURN_ROWS];
	struct burn_ring ring[BURN_ROWS];
	unsigned firing; /* bit per row */
};
/* window_s: the usual length of the budget's window (a month: 30 days). A budget that never resets has no burn rate. */
void burn_init(struct burn *, const struct burn_row rows[BURN_ROWS], int64_t window_s) NONNULL(1, 2);
void burn_add(struct burn *, int64_t at_s, int64_t nanousd) NONNULL(1);

struct burn_plan {
	int64_t limit_nanousd;
	int64_t win_start_s, win_end_s;     /* of the window that is open now */
	const struct burn_profile *profile; /* NULL: flat */
	int64_t min_alert_nanousd;          /* less than this in the long window is no alert */
	bool has_forecast;                  /* the plan row speaks only when the forecast's p10 is over the limit */
	int64_t forecast_p10_nanousd;
};
struct burn_figures {
	int64_t long_s, short_s;
	int64_t long_nanousd, short_nanousd; /* spent */
	int64_t long_expected_nanousd, short_expected_nanousd;
	int64_t long_burn_milli, short_burn_milli; /* INT64_MAX: spend where none is expected */
	bool over;
};
struct burn_report {
	struct burn_figures row[BURN_ROWS];
	unsigned firing, began, ended; /* bits by enum burn_row_id; began and ended against the evaluation before */
	bool trip;                     /* a firing row has BURN_TRIP */
};
/* A limit of 0 or less, or an empty window, has no burn: nothing is over. */
void burn_evaluate(struct burn *, const struct burn_plan *, int64_t now_s, struct burn_report *ret) NONNULL(1, 2, 4);

#endif
