/* Trends, projections, health and advice of the cost API (parts C3.5, C6), from the ledger's sums by time. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/body.h"
#include "api/figures.h"
#include "base/clock.h"
#include "base/error.h"
#include "policy/anomaly.h"
#include "store/ledger.h"
#include "store/note.h"
#include "store/series.h"

#define HOUR_S 3600
#define DAY_S 86400
#define SLOT_S 900
#define BACK_DAYS 28
#define SPIKE_CALLS ANOMALY_C6_CALLS

static struct window_spec day_window(const struct tz *tz)
{
	return (struct window_spec){.kind = WINDOW_DAY, .month_anchor = 1, .tz = tz};
}

/* --- C3.5: trends ------------------------------------------------------------------------------------------------- */

/* Where the day begins that is `back` days before the one that begins at today_s. */
static int64_t days_before(const struct tz *tz, int64_t today_s, int64_t back)
{
	struct window_spec day = day_window(tz);
	int64_t start, end;

	window_at(&day, today_s - back * DAY_S + DAY_S / 2, &start, &end);
	return start < 0 ? 0 : start;
}

static int put_day(json_t *map, const struct tz *tz, int64_t at_s, int64_t cost)
{
	struct civil c;
	char text[16];

	civil_from_unix(tz, at_s, &c);
	(void)snprintf(text, sizeof(text), "%04d-%02d-%02d", (int)(c.year % 10000), c.month % 100, c.day % 100);
	return json_object_set_new(map, text, figure_usd(cost)) == 0 ? BUR_OK : BUR_NOMEM;
}

static int add_days(const int64_t *days, size_t n, const struct period *day, struct trends *t, json_t *map)
{
	int64_t spent[TRENDS_DAYS_MAX], start = days_before(day->tz, day->start_s, (int64_t)n - 1), end;
	struct window_spec w = day_window(day->tz);
	int r = BUR_OK;

	window_at(&w, start, &start, &end);
	for (size_t i = 0; i < n && r == BUR_OK; i++) {
		if (days[i] != 0) {
			spent[t->n_days++] = days[i];
			t->total_nanousd += days[i];
			r = map ? put_day(map, day->tz, start, days[i]) : BUR_OK;
		}
		window_at(&w, end, &start, &end);
	}
	t->average_nanousd = t->n_days ? t->total_nanousd / t->n_days : 0;
	t->trend_milli = forecast_c3_trend_milli(spent, (size_t)t->n_days);
	return r;
}

static double month_length(const struct period *month)
{
	return round((double)(month->end_s - month->start_s) / DAY_S);
}

int trends_find(struct sqlite3 *db, const struct period p[PERIODS], int64_t now_s, int64_t days, struct trends *ret,
		json_t **ret_breakdown)
{
	const struct period *day = &p[PERIOD_DAY], *month = &p[PERIOD_MONTH];
	double elapsed = (double)(now_s - month->start_s) / DAY_S;
	int64_t cost[TRENDS_DAYS_MAX];
	struct series_sum sum;
	json_t *map = ret_breakdown ? json_object() : NULL;
	int r;

	*ret = (struct trends){0};
	if (days < 1 || days > TRENDS_DAYS_MAX)
		return BUR_INVALID;
	r = series_days(db, SERIES_EVERYTHING, day->tz, days_before(day->tz, day->start_s, days - 1), (size_t)days,
			cost);
	if (r == BUR_OK)
		r = add_days(cost, (size_t)days, day, ret, map);
	if (r == BUR_OK)
		r = series_total(db, SERIES_EVERYTHING, month->start_s, now_s + SLOT_S, &sum);
	if (r < 0) {
		json_decref(map);
		return r;
	}
	ret->month_nanousd = sum.amount;
	ret->projected_month = (double)sum.amount / (elapsed < 0.5 ? 0.5 : elapsed) * month_length(month);
	if (ret_breakdown)
		*ret_breakdown = map;
	return BUR_OK;
}

static const char *direction_name(int64_t trend_milli)
{
	enum forecast_c3_direction d = forecast_c3_direction(trend_milli);

	return d == FORECAST_C3_INCREASING ? "increasing" : d == FORECAST_C3_DECREASING ? "decreasing" : "stable";
}

/* Categories are not told from one another yet: there is no list of the top ones. */
json_t *trends_json(const struct trends *t, int64_t days, json_t *breakdown)
{
	double average = t->n_days ? (double)t->total_nanousd / (double)t->n_days : 0;

	return json_pack("{s:I,s:o,s:o,s:o,s:s,s:o,s:[],s:o,s:{s:o,s:o}}", "period_days", (json_int_t)days,
			 "total_cost", figure_usd(t->total_nanousd), "average_daily_cost", figure_estimate(average),
			 "trend_percentage", figure_number((double)t->trend_milli / 1e3, 3), "trend_direction",
			 direction_name(t->trend_milli), "projected_monthly_cost", figure_estimate(t->projected_month),
			 "top_research_categories", "daily_breakdown", breakdown ? breakdown : json_object(),
			 "budget_projections", "daily_limit_needed", figure_estimate(1.2 * average),
			 "monthly_limit_needed", figure_estimate(1.2 * t->projected_month));
}

/* --- C6.2, C6.3: projections -------------------------------------------------------------------------------------- */

/* Hours are those of the budget's day: in zones of half hours they begin at half past. */
static int project_day(struct sqlite3 *db, const struct period *day, int64_t now_s, const int64_t *days, size_t n_days,
		       struct projections *p)
{
	int64_t hours[(BACK_DAYS + 2) * 24], done = (now_s - day->start_s) / HOUR_S,
					     first = day->start_s - (int64_t)BACK_DAYS * DAY_S;
	struct forecast_c6_day_input in = {.hours = hours,
					   .n_hours = (size_t)(BACK_DAYS * 24 + done),
					   .days = days,
					   .n_days = n_days,
					   .cost_nanousd = p->day_nanousd,
					   .elapsed_s = p->day_elapsed_s,
					   .length_s = p->day_length_s,
					   .calls = p->calls_today};
	int r;

	if (in.n_hours > ARRAY_LEN(hours) || first < 0)
		return BUR_INVALID;
	r = series_hours(db, SERIES_EVERYTHING, first / SLOT_S * SLOT_S, in.n_hours, hours);
	if (r == BUR_OK)
		forecast_c6_day(&in, &p->day);
	return r;
}

static double mean_day(const int64_t *days, size_t n)
{
	double sum = 0, with = 0;

	for (size_t i = 0; i < n; i++) {
		if (days[i] > 0) {
			sum += (double)days[i];
			with++;
		}
	}
	return with > 0 ? sum / with : 0;
}

int projections_find(struct sqlite3 *db, const struct period p[PERIODS], int64_t now_s, struct projections *ret)
{
	const struct period *day = &p[PERIOD_DAY], *month = &p[PERIOD_MONTH];
	int64_t days[BACK_DAYS];
	struct series_sum sum;
	int r;

	memset(ret, 0, sizeof(*ret));
	r = series_days(db, SERIES_EVERYTHING, day->tz, days_before(day->tz, day->start_s, BACK_DAYS), BACK_DAYS, days);
	if (r == BUR_OK)
		r = series_total(db, SERIES_EVERYTHING, day->start_s, now_s + SLOT_S, &sum);
	if (r < 0)
		return r;
	ret->day_nanousd = sum.amount;
	ret->calls_today = sum.calls;
	ret->day_elapsed_s = now_s - day->start_s;
	ret->day_length_s = day->end_s - day->start_s;
	r = project_day(db, day, now_s, days, BACK_DAYS, ret);
	if (r == BUR_OK)
		r = series_total(db, SERIES_EVERYTHING, month->start_s, now_s + SLOT_S, &sum);
	if (r < 0)
		return r;
	ret->month_nanousd = sum.amount;
	ret->days_elapsed = (double)(now_s - month->start_s) / DAY_S;
	ret->days_in_month = month_length(month);
	ret->month = forecast_c6_month((double)sum.amount, ret->days_elapsed, ret->days_in_month, ret->day.projected,
				       mean_day(days, BACK_DAYS));
	return BUR_OK;
}

static json_t *day_json(const struct projections *p)
{
	double hours = (double)p->day_elapsed_s / HOUR_S, left = (double)(p->day_length_s - p->day_elapsed_s) / HOUR_S;

	return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:s,s:{s:o,s:o,s:o}}", "projected_cost",
			 figure_estimate(p->day.projected), "current_cost", figure_usd(p->day_nanousd), "hours_elapsed",
			 figure_number(hours, 6), "hours_remaining", figure_number(left, 6), "hourly_rate",
			 figure_estimate(hours > 0 ? (double)p->day_nanousd / hours : 0), "confidence",
			 json_real(p->day.confidence), "method", forecast_c6_method_name(p->day.method), "projections",
			 "linear", figure_estimate(p->day.linear), "trend", figure_estimate(p->day.trend), "seasonal",
			 figure_estimate(p->day.seasonal));
}

static json_t *month_json(const struct projections *p)
{
	double rate = p->days_elapsed > 0 ? (double)p->month_nanousd / p->days_elapsed : 0;

	return json_pack(
	    "{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:s}", "projected_cost", figure_estimate(p->month.projected), "current_cost",
	    figure_usd(p->month_nanousd), "days_elapsed", figure_number(p->days_elapsed, 6), "days_remaining",
	    figure_number(p->days_in_month - p->days_elapsed, 6), "days_in_month", figure_number(p->days_in_month, 0),
	    "daily_rate", figure_estimate(rate), "confidence", json_real(p->month.confidence), "method",
	    p->month.historical ? "historical_daily_average" : "weighted_daily_projection");
}

json_t *projections_json(const struct projections *p)
{
	return json_pack("{s:o,s:o}", "daily", day_json(p), "monthly", month_json(p));
}

/* --- C6.4: spikes among the last calls ---------------------------------------------------------------------------- */

struct last_calls {
	int64_t cost[SPIKE_CALLS], at_ns[SPIKE_CALLS]; /* newest first */
	size_t n;
};

static int take_call(void *ctx, const struct ledger_row *row)
{
	struct last_calls *c = ctx;

	if (row->kind != LEDGER_SPEND)
		return BUR_OK;
	c->cost[c->n] = row->amount_nanousd;
	c->at_ns[c->n++] = row->ts_admit_ns;
	return c->n == SPIKE_CALLS ? BUR_EOF : BUR_OK;
}

static json_t *spike_json(const struct anomaly_c6 *a, int64_t at_ns)
{
	char text[120];

	(void)snprintf(text, sizeof(text), "Cost spike detected: %.4f (expected < %.4f)", (double)a->cost_nanousd / 1e9,
		       a->expected_max / 1e9);
	return json_pack("{s:o,s:o,s:[i,o],s:s,s:s}", "timestamp", figure_time(at_ns), "cost",
			 figure_usd(a->cost_nanousd), "expected_range", 0, figure_estimate(a->expected_max), "severity",
			 a->high ? "high" : "medium", "description", text);
}

int spikes_find(struct sqlite3 *db, int64_t *ret_high, json_t **ret)
{
	/* Corrections stand between calls; of 200 rows some 20 will be calls. */
	const struct ledger_filter f = {.descending = true, .limit = 200};
	struct anomaly_c6 found[ANOMALY_C6_NEWEST];
	struct last_calls c = {.n = 0};
	int64_t cost[SPIKE_CALLS];
	size_t n;
	int r = ledger_each(db, &f, take_call, &c);

	*ret_high = 0;
	if (ret)
		*ret = json_array();
	if (r < 0 && r != BUR_EOF)
		return r;
	for (size_t i = 0; i < c.n; i++)
		cost[i] = c.cost[c.n - 1 - i];
	n = anomaly_c6_spikes(cost, c.n, found);
	for (size_t i = 0; i < n; i++) {
		*ret_high += found[i].high;
		if (ret)
			(void)json_array_append_new(*ret, spike_json(&found[i], c.at_ns[c.n - 1 - found[i].call]));
	}
	return BUR_OK;
}

/* --- C6.5, C6.6: health and advice -------------------------------------------------------------------------------- */

int health_find(struct sqlite3 *db, const struct period p[PERIODS], const struct projections *projections,
		int64_t trend_milli, int64_t now_ns, struct health *ret)
{
	struct forecast_c6_health_input in = {.trend_milli = trend_milli};
	int r;

	for (int i = 0; i < PERIODS; i++)
		if (period_used_micro(&p[i]) / 1000 > in.used_milli)
			in.used_milli = period_used_micro(&p[i]) / 1000;
	in.confidence_ppm = (int64_t)round(projections->day.confidence * 1e6);
	r = note_count(db, now_ns - HOUR_S * NS_PER_S, now_ns, &ret->alerts);
	if (r == BUR_OK)
		r = spikes_find(db, &ret->high_anomalies, NULL);
	in.alerts = ret->alerts;
	in.high_anomalies = ret->high_anomalies;
	forecast_c6_health(&in, &ret->scores);
	return r;
}

#define MODELS_MAX 32
struct model_use {
	char name[200];
	struct series_sum sum;
};
struct models {
	struct model_use m[MODELS_MAX];
	size_t n;
	int64_t calls;
};

static int take_model(void *ctx, const struct series_name *name)
{
	struct models *list = ctx;
	struct model_use *m = &list->m[list->n++];

	(void)slice_to_cstr(slice_sub(name->text, 0, sizeof(m->name) - 1), m->name, sizeof(m->name));
	m->sum = name->sum;
	list->calls += name->sum.calls;
	return BUR_OK;
}

/* What stands before the first digit or dash: gpt-4o and gpt-4o-mini are one family, claude-... another. */
static bool same_family(const char *a, const char *b)
{
	size_t n = strcspn(a, "-0123456789.:/");

	return n > 1 && strncmp(a, b, n) == 0 && strcspn(b, "-0123456789.:/") == n;
}

static struct forecast_c6_usage usage_of(const struct models *all, const struct model_use *m,
					 const struct model_use *cheap)
{
	struct forecast_c6_usage u = {.calls = m->sum.calls,
				      .cost_nanousd = m->sum.amount,
				      .successes = m->sum.calls - m->sum.failed,
				      .category_calls = all->calls,
				      .prompt_tokens = m->sum.input_tokens,
				      .completion_tokens = m->sum.output_tokens};

	if (cheap) {
		u.cheap_calls = cheap->sum.calls;
		u.cheap_cost_nanousd = cheap->sum.amount;
		u.cheap_successes = cheap->sum.calls - cheap->sum.failed;
	}
	return u;
}

/* The cheaper model of the family that would save most. */
static void advise_model(const struct models *all, const struct model_use *m, const struct forecast_c6_health *h,
			 json_t *list)
{
	const struct model_use *best = NULL;
	struct forecast_c6_usage u = usage_of(all, m, NULL);
	int64_t saving = 0;
	char text[640];

	for (size_t i = 0; i < all->n; i++) {
		struct forecast_c6_usage with = usage_of(all, m, &all->m[i]);

		if (&all->m[i] == m || !same_family(m->name, all->m[i].name) ||
		    !(forecast_c6_advise(h, &with) & 1U << FORECAST_C6_ADVICE_CHEAPER) ||
		    forecast_c6_saving_nanousd(&with) <= saving)
			continue;
		saving = forecast_c6_saving_nanousd(&with);
		best = &all->m[i];
	}
	if (best) {
		(void)snprintf(text, sizeof(text),
			       "Move calls of %s to %s, which serves this work as well: about $%.2f less in 30 days.",
			       m->name, best->name, (double)saving / 1e9);
		(void)json_array_append_new(list, body_text(slice_of(text)));
	}
	if (forecast_c6_advise(h, &u) & 1U << FORECAST_C6_ADVICE_TRIM) {
		(void)snprintf(text, sizeof(text),
			       "Trim the context of calls to %s: prompts are 20 times as long as answers, or longer.",
			       m->name);
		(void)json_array_append_new(list, body_text(slice_of(text)));
	}
}

/* Duplicate prompts would call for a cache, but prompts are not stored. */
static int advise(struct sqlite3 *db, const struct forecast_c6_health *h, int64_t now_s, json_t *list)
{
	unsigned bits = forecast_c6_advise(h, NULL);
	struct models *all = calloc(1, sizeof(*all));
	int r;

	if (!all)
		return BUR_NOMEM;
	for (int i = 0; i < FORECAST_C6_ADVICES; i++)
		if (bits & 1U << i)
			(void)json_array_append_new(list,
						    json_string(forecast_c6_advice_text((enum forecast_c6_advice)i)));
	r = series_each_name(db, SERIES_MODEL, now_s > 30 * DAY_S ? now_s - 30 * DAY_S : 0, now_s + HOUR_S, MODELS_MAX,
			     take_model, all);
	for (size_t i = 0; i < all->n && r == BUR_OK; i++)
		advise_model(all, &all->m[i], h, list);
	free(all);
	return r;
}

static json_t *score(int64_t milli)
{
	return figure_number((double)milli / 1e3, 3);
}

json_t *health_json(struct sqlite3 *db, const struct health *health, int64_t now_ns)
{
	const struct forecast_c6_health *h = &health->scores;
	json_t *list = json_array();

	if (!list || advise(db, h, now_ns / NS_PER_S, list) < 0) {
		json_decref(list);
		return NULL;
	}
	return json_pack("{s:o,s:s,s:{s:o,s:o,s:o,s:o,s:o},s:o,s:o}", "overall_score",
			 figure_number((double)h->overall_tenths / 10, 1), "health_status",
			 forecast_c6_status_name(h->status), "component_scores", "budget_utilization",
			 score(h->utilization), "trend_stability", score(h->stability), "projection_accuracy",
			 score(h->projection), "alert_frequency", score(h->alerts), "cost_anomalies",
			 score(h->anomalies), "recommendations", list, "timestamp", body_time(now_ns));
}
