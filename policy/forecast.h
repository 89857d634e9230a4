/* forecast.h - what a budget's window will have cost at its end, and the figures of the dashboard's projections.
 *
 * forecast_window is the forecast (budget specification 6.5) that alerts and the burn rate's plan row follow. Figures
 * of the cost API only are named forecast_c6_* and forecast_c3_* after their parts of the cost endpoints; they feed
 * that API, its health score and its advice, and nothing else.
 *
 * Pure: no clock, no I/O, no malloc (forecast_window takes about 80 KiB of stack). Statistics in double, results in
 * whole nano-USD: nothing that is enforced stands on them. Reproducible: same days, same seed, same answer. Any thread.
 */
#ifndef POLICY_FORECAST_H
#define POLICY_FORECAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

/* --- 6.5 ---------------------------------------------------------------------------------------------------------- */

#define FORECAST_DAYS_MIN 7   /* fewer: the run rate */
#define FORECAST_DAYS_SURE 56 /* fewer: low confidence, there are not 8 weeks to take medians of */
#define FORECAST_DAYS_MAX 182 /* older ones are not looked at */
#define FORECAST_LEADS_MAX 28
#define FORECAST_RESAMPLES 1000

/* CRC-32C of the budget's id (its name) and the date ("2025-11-21"). */
uint32_t forecast_seed(struct slice budget_id, struct slice date);

struct forecast_input {
	const int64_t *days; /* spend of complete days of the budget's zone, oldest first, without gaps, to yesterday */
	size_t n_days;
	int64_t to_date_nanousd;     /* in this window, today's included */
	int64_t today_left_ppm;      /* what is left of today and lies in the window */
	int64_t days_left;           /* days of the window after today */
	int64_t elapsed_s, window_s; /* of the window, for the run rate */
	uint32_t seed;
};
struct forecast {
	int64_t expected_nanousd; /* the point forecast: to date + medians * trend */
	int64_t p10_nanousd, p50_nanousd, p90_nanousd;
	int64_t trend_milli; /* 500 .. 2000 */
	bool low_confidence;
	bool run_rate; /* too few days: expected is the run rate, the interval half to twice of it */
};
/* Of each day of the week the median of the last 8 weeks, times the trend: the last 14 days against their own medians,
 * as a mean of ratios without the two highest and the two lowest, so that one wild day is no trend. The interval comes
 * from blocks of consecutive days of log ratios: what days cost against what this forecast, made on an earlier day,
 * would have said of them; it is widened for how few independent blocks there are. p10 is never below what is spent. */
void forecast_window(const struct forecast_input *, struct forecast *ret) NONNULL(1, 2);

/* --- C6.2, C6.3: projections ---------------------------------------------------------------------------------------
 */

struct forecast_c6_day_input {
	const int64_t
	    *hours; /* complete hours, oldest first, without gaps, to the last complete one; 28 days of them */
	size_t n_hours;
	const int64_t *days; /* complete days of 28 days, any order */
	size_t n_days;
	int64_t cost_nanousd;        /* today so far */
	int64_t elapsed_s, length_s; /* of today: 23, 24 or 25 hours */
	int64_t calls;               /* today */
};
enum forecast_c6_method { FORECAST_C6_NO_DATA, FORECAST_C6_HISTORICAL_AVERAGE, FORECAST_C6_WEIGHTED_ENSEMBLE };
const char *forecast_c6_method_name(enum forecast_c6_method); /* "no_data" */
struct forecast_c6_day {
	enum forecast_c6_method method;
	double projected, linear, trend, seasonal; /* nano-USD */
	double confidence;                         /* 0 .. 1 */
};
void forecast_c6_day(const struct forecast_c6_day_input *, struct forecast_c6_day *ret) NONNULL(1, 2);

struct forecast_c6_month {
	bool historical; /* historical_daily_average, else weighted_daily_projection */
	double projected, confidence;
};
/* cost and day_projected in nano-USD; mean_day: mean of the complete days with data, 0 = none. */
struct forecast_c6_month forecast_c6_month(double cost, double days_elapsed, double days_in_month, double day_projected,
					   double mean_day);

/* --- C3.5, C6.5, C6.6: trend, health, advice -----------------------------------------------------------------------
 */

/* Thousandths of a percent; `days` are the days with cost in ascending order. 0 with fewer than 14. */
int64_t forecast_c3_trend_milli(const int64_t *days, size_t n);
enum forecast_c3_direction { FORECAST_C3_DECREASING = -1, FORECAST_C3_STABLE, FORECAST_C3_INCREASING };
enum forecast_c3_direction forecast_c3_direction(int64_t trend_milli);

struct forecast_c6_health_input {
	int64_t used_milli;     /* the highest percentage_used, thousandths of a percent */
	int64_t trend_milli;    /* thousandths of a percent */
	int64_t confidence_ppm; /* of the day projection */
	int64_t alerts;         /* in the last hour */
	int64_t high_anomalies;
};
enum forecast_c6_status {
	FORECAST_C6_EMERGENCY,
	FORECAST_C6_CRITICAL,
	FORECAST_C6_WARNING,
	FORECAST_C6_GOOD,
	FORECAST_C6_EXCELLENT
};
const char *forecast_c6_status_name(enum forecast_c6_status);
struct forecast_c6_health { /* scores in thousandths, 0 .. 100000 */
	int64_t utilization, stability, projection, alerts, anomalies;
	int64_t overall_tenths;
	enum forecast_c6_status status; /* of the rounded overall score */
};
void forecast_c6_health(const struct forecast_c6_health_input *, struct forecast_c6_health *ret) NONNULL(1, 2);

/* What is known of how a model is used; zeroes where nothing is. */
struct forecast_c6_usage {
	int64_t calls, cost_nanousd, successes;                   /* of the model, in the category */
	int64_t cheap_calls, cheap_cost_nanousd, cheap_successes; /* of a cheaper one of its family, same category */
	int64_t category_calls;
	int64_t prompts, duplicate_prompts;
	int64_t prompt_tokens, completion_tokens;
};
enum forecast_c6_advice {
	FORECAST_C6_ADVICE_UTILIZATION,
	FORECAST_C6_ADVICE_STABILITY,
	FORECAST_C6_ADVICE_ALERTS,
	FORECAST_C6_ADVICE_ANOMALIES,
	FORECAST_C6_ADVICE_CRITICAL,
	FORECAST_C6_ADVICE_WARNING,
	FORECAST_C6_ADVICE_CHEAPER,
	FORECAST_C6_ADVICE_CACHE,
	FORECAST_C6_ADVICE_TRIM
};
#define FORECAST_C6_ADVICES 9
/* Bits by enum forecast_c6_advice. `usage` NULL: only what follows from health. */
unsigned forecast_c6_advise(const struct forecast_c6_health *, const struct forecast_c6_usage *usage) NONNULL(1);
const char *forecast_c6_advice_text(enum forecast_c6_advice);
/* What the model's calls would have cost less on the cheaper one, at the mean cost of its calls; 0 when not less. */
int64_t forecast_c6_saving_nanousd(const struct forecast_c6_usage *) NONNULL(1);

#endif
