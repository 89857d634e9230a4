/* GET /api/v1/analytics/costs (cost endpoints C8.4): spend over time, its trend and a simple forecast. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/body.h"
#include "api/figures.h"
#include "api/views.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/series.h"

#define HOUR_S 3600
#define DAY_S 86400
#define POINTS_MAX (400 * 24)
#define FORECAST_PERIODS 7

struct range {
	int64_t from_s, to_s; /* the last period contains to_s */
	bool hourly;
	const char *name;
	const struct tz *tz;
};
struct points {
	int64_t cost[POINTS_MAX], at_s[POINTS_MAX];
	size_t n;
};

/* --- which time --------------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	int64_t back_s; /* 0: from the beginning of a window */
	enum window_kind kind;
} ranges[] = {
    {"last_7_days", 6 * DAY_S, WINDOW_DAY},    {"last_hour", HOUR_S, WINDOW_HOUR},
    {"last_6_hours", 6 * HOUR_S, WINDOW_HOUR}, {"last_24_hours", 24 * HOUR_S, WINDOW_HOUR},
    {"last_30_days", 29 * DAY_S, WINDOW_DAY},  {"current_month", 0, WINDOW_MONTH},
    {"current_year", 0, WINDOW_YEAR},
};

static int read_custom(struct api *api, struct api_call *call, struct range *r)
{
	const char *const names[] = {"start", "end"};
	int64_t ns[2];

	for (int i = 0; i < 2; i++) {
		struct slice text;

		if (reply_query(call, names[i], &text) < 0)
			return BUR_INVALID;
		if (!text.p || time_parse(text, &ns[i]) < 0 || ns[i] < 0) {
			figure_invalid(api, call, names[i], "a custom range needs start and end as ISO 8601 times");
			return BUR_INVALID;
		}
	}
	if (ns[0] > ns[1] || ns[1] / NS_PER_S - ns[0] / NS_PER_S > (r->hourly ? 60 : SERIES_DAYS_MAX - 2) * DAY_S) {
		figure_invalid(api, call, "start", "start must not be after end, nor too long before it");
		return BUR_INVALID;
	}
	r->from_s = ns[0] / NS_PER_S;
	r->to_s = ns[1] / NS_PER_S;
	r->name = "custom";
	return BUR_OK;
}

static int read_range(struct api *api, struct api_call *call, int64_t now_s, struct range *r)
{
	struct slice name, granularity;
	size_t i = 0;
	int64_t end;

	if (reply_query(call, "time_range", &name) < 0 || reply_query(call, "granularity", &granularity) < 0)
		return BUR_INVALID;
	r->hourly = granularity.p && slice_eq(granularity, SLICE("hourly"));
	if (granularity.p && !r->hourly && !slice_eq(granularity, SLICE("daily"))) {
		figure_invalid(api, call, "granularity", "Input should be 'hourly' or 'daily'");
		return BUR_INVALID;
	}
	if (name.p && slice_eq(name, SLICE("custom")))
		return read_custom(api, call, r);
	for (i = 0; i < ARRAY_LEN(ranges) && !(name.p && slice_eq(name, slice_of(ranges[i].name))); i++)
		;
	if (i == ARRAY_LEN(ranges))
		i = 0;
	r->name = ranges[i].name;
	r->to_s = now_s;
	r->from_s = now_s - ranges[i].back_s;
	if (ranges[i].back_s == 0) {
		struct window_spec w = {.kind = ranges[i].kind, .month_anchor = 1, .tz = r->tz};

		window_at(&w, now_s, &r->from_s, &end);
	}
	return BUR_OK;
}

static int read_hours(struct sqlite3 *db, const struct range *r, struct points *p)
{
	int64_t first = r->from_s / HOUR_S * HOUR_S;

	p->n = (size_t)((r->to_s / HOUR_S * HOUR_S - first) / HOUR_S + 1);
	if (p->n > POINTS_MAX)
		return BUR_INVALID;
	for (size_t i = 0; i < p->n; i++)
		p->at_s[i] = first + (int64_t)i * HOUR_S;
	return series_hours(db, SERIES_EVERYTHING, first, p->n, p->cost);
}

static int read_days(struct sqlite3 *db, const struct range *r, struct points *p)
{
	struct window_spec day = {.kind = WINDOW_DAY, .month_anchor = 1, .tz = r->tz};
	int64_t start, end;

	window_at(&day, r->from_s, &start, &end);
	for (p->n = 0; start <= r->to_s && p->n < SERIES_DAYS_MAX; p->n++) {
		p->at_s[p->n] = start;
		window_at(&day, end, &start, &end);
	}
	return series_days(db, SERIES_EVERYTHING, r->tz, r->from_s, p->n, p->cost);
}

static void label(const struct range *r, int64_t at_s, char dst[32])
{
	struct civil c;

	civil_from_unix(r->tz, at_s, &c);
	if (r->hourly)
		(void)snprintf(dst, 32, "%04d-%02d-%02dT%02d", (int)(c.year % 10000), c.month, c.day, c.hour);
	else
		(void)snprintf(dst, 32, "%04d-%02d-%02d", (int)(c.year % 10000), c.month, c.day);
}

/* --- trend and forecast ------------------------------------------------------------------------------------------- */

struct fit {
	double slope, percent, r2;
	const char *direction;
};

static struct fit fit_of(const int64_t *v, size_t n)
{
	double sx = 0, sy = 0, sxx = 0, sxy = 0, syy = 0, mean, dx, dy;
	struct fit f = {.direction = "stable"};

	if (n < 2)
		return f;
	for (size_t i = 0; i < n; i++) {
		double x = (double)i, y = (double)v[i] / 1e9;

		sx += x;
		sy += y;
		sxx += x * x;
		sxy += x * y;
		syy += y * y;
	}
	dx = (double)n * sxx - sx * sx;
	dy = (double)n * syy - sy * sy;
	f.slope = ((double)n * sxy - sx * sy) / dx;
	mean = sy / (double)n;
	if (mean != 0)
		f.percent = round(10000 * f.slope * (double)n / mean) / 100;
	if (dy > 1e-12 * (double)n * syy)
		f.r2 = f.slope * f.slope * dx / dy;
	if (fabs(f.percent) >= 5)
		f.direction = f.percent > 0 ? "increasing" : "decreasing";
	return f;
}

static json_t *trend_json(const struct points *p)
{
	struct fit f = fit_of(p->cost, p->n);

	return json_pack("{s:o,s:o,s:s,s:o}", "slope", figure_number(f.slope, 6), "trend_percentage",
			 figure_number(f.percent, 2), "direction", f.direction, "confidence", figure_number(f.r2, 3));
}

static json_t *forecast_json(const struct points *p)
{
	size_t w = p->n < 7 ? p->n : 7, k = p->n < 3 ? p->n : 3;
	json_t *list = json_array();
	double base = 0, step;

	if (p->n < 3)
		return list;
	for (size_t i = p->n - w; i < p->n; i++)
		base += (double)p->cost[i] / (double)w;
	step = ((double)p->cost[p->n - 1] - (double)p->cost[p->n - k]) / (double)k;
	for (int i = 1; i <= FORECAST_PERIODS; i++) {
		double v = base + i * step, c = 0.9 - 0.1 * i;

		(void)json_array_append_new(list, json_pack("{s:i,s:o,s:o}", "period", i, "predicted_cost",
							    figure_estimate(v > 0 ? v : 0), "confidence",
							    figure_number(c > 0.1 ? c : 0.1, 1)));
	}
	return list;
}

static json_t *trends_of(const struct range *r, const struct points *p)
{
	json_t *series = json_object();
	int64_t total = 0, least = p->n ? INT64_MAX : 0, most = 0;
	char text[32];

	for (size_t i = 0; i < p->n; i++) {
		label(r, p->at_s[i], text);
		(void)json_object_set_new(series, text, figure_usd(p->cost[i]));
		if (__builtin_add_overflow(total, p->cost[i], &total))
			total = INT64_MAX;
		least = p->cost[i] < least ? p->cost[i] : least;
		most = p->cost[i] > most ? p->cost[i] : most;
	}
	return json_pack("{s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:I}", "time_range", r->name, "granularity",
			 r->hourly ? "hourly" : "daily", "time_series", series, "total_cost", figure_usd(total),
			 "average_cost", figure_estimate(p->n ? (double)total / (double)p->n : 0), "min_cost",
			 figure_usd(least), "max_cost", figure_usd(most), "trend_analysis", trend_json(p), "forecast",
			 forecast_json(p), "data_points", (json_int_t)p->n);
}

/* --- categories and efficiency ------------------------------------------------------------------------------------ */

#define CATEGORY "general_query"

static double efficiency(double cost, double good)
{
	double v = 100 * (good - cost) / good;

	return v < 0 ? 0 : v > 100 ? 100 : v;
}

static double per(int64_t nanousd, int64_t n)
{
	return n > 0 ? (double)nanousd / 1e9 / (double)n : 0;
}

/* Calls are not told apart by category yet: all are of the one that stands for no other. */
static json_t *categories_json(const struct series_sum *sum)
{
	double cost = per(sum->amount, sum->calls);
	json_t *breakdown = json_object(), *metrics = json_object(), *top = json_array();

	if (sum->calls > 0) {
		(void)json_object_set_new(breakdown, CATEGORY, figure_usd(sum->amount));
		(void)json_object_set_new(metrics, CATEGORY,
					  json_pack("{s:o,s:I,s:o,s:o,s:o}", "total_cost", figure_usd(sum->amount),
						    "total_calls", (json_int_t)sum->calls, "average_cost_per_call",
						    figure_number(cost, 6), "efficiency_score",
						    figure_number(efficiency(cost, 0.10), 1), "percentage_of_total",
						    json_real(100)));
		(void)json_array_append_new(top, json_string(CATEGORY));
	}
	return json_pack("{s:o,s:o,s:o,s:i,s:[]}", "category_breakdown", breakdown, "category_metrics", metrics,
			 "top_categories", top, "total_categories", sum->calls > 0 ? 1 : 0, "recommendations");
}

static json_t *by_hour(struct sqlite3 *db, const struct range *r)
{
	int64_t first = r->from_s / HOUR_S * HOUR_S, cost[24] = {0}, *hours;
	size_t n = (size_t)((r->to_s - first) / HOUR_S + 1);
	json_t *o = json_object();
	struct civil c;
	char text[16];

	hours = n <= SERIES_HOURS_MAX ? malloc(n * sizeof(*hours)) : NULL;
	if (!hours || series_hours(db, SERIES_EVERYTHING, first, n, hours) < 0)
		n = 0;
	for (size_t i = 0; i < n; i++) {
		civil_from_unix(r->tz, first + (int64_t)i * HOUR_S, &c);
		cost[c.hour % 24] += hours[i];
	}
	free(hours);
	for (int i = 0; i < 24; i++) {
		(void)snprintf(text, sizeof(text), "%02d", i);
		if (cost[i] != 0)
			(void)json_object_set_new(o, text, figure_usd(cost[i]));
	}
	return o;
}

static json_t *efficiency_json(struct sqlite3 *db, const struct range *r, const struct series_sum *sum)
{
	int64_t tokens = sum->input_tokens + sum->output_tokens, good = sum->calls - sum->failed;
	double per_token = per(sum->amount, tokens);
	json_t *chances = json_array();

	if (sum->amount > 10 * NANOUSD_PER_USD)
		(void)json_array_append_new(
		    chances, json_pack("{s:s,s:s,s:o,s:s}", "type", "top_category", "category", CATEGORY,
				       "potential_savings", figure_estimate((double)sum->amount / 10), "recommendation",
				       "Look for a tenth of this spend that a cheaper model or a cache could serve."));
	return json_pack("{s:{s:o,s:o,s:o,s:i,s:o},s:o,s:o,s:[]}", "efficiency_metrics", "cost_per_token",
			 figure_number(per_token, 12), "cost_per_successful_operation",
			 figure_number(per(sum->amount, good), 6), "error_rate_impact",
			 figure_number(sum->amount > 0 ? (double)sum->failed_nanousd / (double)sum->amount : 0, 6),
			 "category_efficiency_variance", 0, "time_based_efficiency", by_hour(db, r),
			 "overall_efficiency_score", figure_number(tokens > 0 ? efficiency(per_token, 0.001) : 50, 1),
			 "optimization_opportunities", chances, "recommendations");
}

/* --- the answer --------------------------------------------------------------------------------------------------- */

static void send_costs(struct api *api, struct api_call *call, struct sqlite3 *db, const struct range *r,
		       bool categories)
{
	struct points *p = calloc(1, sizeof(*p));
	struct series_sum sum;
	int e = !p ? BUR_NOMEM : r->hourly ? read_hours(db, r, p) : read_days(db, r, p);

	if (e == BUR_OK && p->n > 0)
		e = series_total(db, SERIES_EVERYTHING, p->at_s[0], r->to_s + HOUR_S, &sum);
	if (e < 0)
		figure_broken(api, call, e);
	else
		figure_send(api, call, 200,
			    json_pack("{s:o,s:o,s:o}", "trends", trends_of(r, p), "category_analysis",
				      categories ? categories_json(&sum) : json_null(), "efficiency_analysis",
				      efficiency_json(db, r, &sum)));
	free(p);
}

void view_analytics_costs(struct api *api, struct api_call *call)
{
	int64_t now_s = figure_now_ns(api) / NS_PER_S;
	struct period p[PERIODS];
	struct range r = {.hourly = false};
	struct sqlite3 *db = reply_reader(api, call);
	bool categories = true;
	int e;

	if (!db)
		return;
	e = period_find(api, db, now_s, p);
	if (e < 0) {
		figure_broken(api, call, e);
		return;
	}
	r.tz = p[PERIOD_DAY].tz;
	if (read_range(api, call, now_s, &r) < 0 || figure_query_bool(api, call, "include_categories", &categories) < 0)
		return;
	send_costs(api, call, db, &r, categories);
}
