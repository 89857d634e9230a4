/* The budget figures of the cost API: status, check before a call, limits, trends. */
#include <math.h>
#include <string.h>

#include "api/body.h"
#include "api/figures.h"
#include "api/operate.h"
#include "api/views.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

/* --- status ------------------------------------------------------------------------------------------------------- */

struct status {
	struct period p[PERIODS];
	struct projections projections;
	struct trends trends;
	struct health health;
};

static int find_status(struct api *api, struct sqlite3 *db, int64_t now_ns, struct status *s)
{
	int64_t now_s = now_ns / NS_PER_S;
	int r = period_find(api, db, now_s, s->p);

	if (r == BUR_OK)
		r = projections_find(db, s->p, now_s, &s->projections);
	if (r == BUR_OK)
		r = trends_find(db, s->p, now_s, 30, &s->trends, NULL);
	if (r == BUR_OK)
		r = health_find(db, s->p, &s->projections, s->trends.trend_milli, now_ns, &s->health);
	return r;
}

void view_budget_status(struct api *api, struct api_call *call)
{
	int64_t now_ns = figure_now_ns(api);
	bool projections = true;
	struct sqlite3 *db;
	struct status s;
	json_t *data;
	int r;

	if (figure_query_bool(api, call, "include_projections", &projections) < 0)
		return;
	db = reply_reader(api, call);
	if (!db)
		return;
	r = find_status(api, db, now_ns, &s);
	if (r < 0) {
		figure_broken(api, call, r);
		return;
	}
	data =
	    json_pack("{s:{s:o,s:s,s:I,s:o,s:o},s:o,s:o,s:o,s:o}", "budget_summary", "timestamp", body_time(now_ns),
		      "budget_health", period_health(s.p), "active_alerts", (json_int_t)s.health.alerts, "daily_budget",
		      period_json(&s.p[PERIOD_DAY]), "monthly_budget", period_json(&s.p[PERIOD_MONTH]), "projections",
		      projections ? projections_json(&s.projections) : json_null(), "health_score",
		      health_json(db, &s.health, now_ns), "daily", period_json(&s.p[PERIOD_DAY]), "monthly",
		      period_json(&s.p[PERIOD_MONTH]));
	figure_send(api, call, 200, data);
}

/* --- check -------------------------------------------------------------------------------------------------------- */

struct check {
	int64_t nanousd;
	const char *operation, *category;
};

/* USD as a number or an exact decimal text. */
static int read_usd(const json_t *v, int64_t *ret)
{
	double usd;

	if (json_is_string(v))
		return decimal_parse(slice_of(json_string_value(v)), 9, false, ret);
	if (!json_is_number(v))
		return BUR_INVALID;
	usd = json_number_value(v);
	if (!isfinite(usd) || fabs(usd) > 9e9)
		return BUR_INVALID;
	*ret = (int64_t)llround(usd * 1e9);
	return BUR_OK;
}

static json_t *read_check(struct api *api, struct api_call *call, struct check *c)
{
	static const char *const known[] = {"cost_amount", "operation_type", "research_category"};
	json_t *o = figure_body(api, call, known, ARRAY_LEN(known)), *operation, *category;

	if (!o)
		return NULL;
	operation = json_object_get(o, "operation_type");
	category = json_object_get(o, "research_category");
	c->operation = json_is_string(operation) ? json_string_value(operation) : "";
	c->category = json_is_string(category) ? json_string_value(category) : "general_query";
	if (read_usd(json_object_get(o, "cost_amount"), &c->nanousd) < 0 || c->nanousd < 0)
		figure_invalid(api, call, "cost_amount", "cost_amount should be USD, zero or more");
	else if (operation && !json_is_string(operation))
		figure_invalid(api, call, "operation_type", "operation_type should be a text");
	else if (category && !json_is_string(category))
		figure_invalid(api, call, "research_category", "research_category should be a text");
	else
		return o;
	json_decref(o);
	return NULL;
}

static __int128 projected(const struct period *p, const struct check *c)
{
	return (__int128)p->total_nanousd + p->reserved_nanousd + c->nanousd;
}

static json_t *checked_json(struct api *api, const struct period *p, const struct check *c, int64_t now_ns,
			    json_t *all_alerts)
{
	__int128 sum = projected(p, c);
	int64_t cost = sum > INT64_MAX ? INT64_MAX : (int64_t)sum;
	json_t *o = period_json(p), *alerts = json_array(),
	       *alert = period_alert(api, p, sum, now_ns, c->operation, c->category);
	double percent = p->budget ? (double)figure_percent_micro(sum, p->limit_nanousd) / 1e6 : 0;

	if (alert) {
		(void)json_array_append(all_alerts, alert);
		(void)json_array_append_new(alerts, alert);
	}
	(void)json_object_set_new(o, "projected_cost", figure_usd(cost));
	(void)json_object_set_new(o, "projected_percentage", json_real(percent));
	(void)json_object_set_new(o, "alerts", alerts);
	return o;
}

void view_budget_check(struct api *api, struct api_call *call)
{
	int64_t now_ns = figure_now_ns(api);
	struct period p[PERIODS];
	struct sqlite3 *db = reply_reader(api, call);
	json_t *ask, *alerts, *day, *month;
	struct check c;
	bool allowed = true;
	int r;

	if (!db)
		return;
	ask = read_check(api, call, &c);
	if (!ask)
		return;
	r = period_find(api, db, now_ns / NS_PER_S, p);
	if (r < 0) {
		figure_broken(api, call, r);
		json_decref(ask);
		return;
	}
	for (int i = 0; i < PERIODS; i++)
		if (p[i].budget && projected(&p[i], &c) > p[i].limit_nanousd)
			allowed = false;
	alerts = json_array();
	day = checked_json(api, &p[PERIOD_DAY], &c, now_ns, alerts);
	month = checked_json(api, &p[PERIOD_MONTH], &c, now_ns, alerts);
	figure_send(api, call, 200,
		    json_pack("{s:o,s:o,s:o,s:s,s:o,s:b}", "timestamp", body_time(now_ns), "daily_status", day,
			      "monthly_status", month, "budget_health", period_health(p), "alerts_generated", alerts,
			      "operation_allowed", allowed));
	json_decref(ask);
}

/* --- limits ------------------------------------------------------------------------------------------------------- */

struct new_limit {
	const char *name;
	enum period_kind kind;
	int64_t max_nanousd;
	bool given;
	int64_t nanousd;
};

static int read_limits(struct api *api, struct api_call *call, json_t *o, const struct period p[PERIODS],
		       struct new_limit limits[PERIODS])
{
	for (int i = 0; i < PERIODS; i++) {
		json_t *v = json_object_get(o, limits[i].name);

		if (!v || json_is_null(v))
			continue;
		limits[i].given = true;
		if (read_usd(v, &limits[i].nanousd) < 0 || limits[i].nanousd < NANOUSD_PER_USD / 100 ||
		    limits[i].nanousd > limits[i].max_nanousd) {
			figure_invalid(api, call, limits[i].name,
				       i == PERIOD_DAY ? "daily_budget should be 0.01 to 10000 USD"
						       : "monthly_budget should be 0.01 to 100000 USD");
			return BUR_INVALID;
		}
		if (!p[i].budget) {
			figure_error(api, call, 500, "CONFIGURATION_ERROR",
				     "No budget in USD for every call has this window: add one to the configuration",
				     json_pack("{s:s}", "parameter", limits[i].name));
			return BUR_INVALID;
		}
	}
	return BUR_OK;
}

/* The limit that holds already is no change. */
static int put_limit(struct api *api, const struct budget *b, int64_t nanousd, const struct operation *op)
{
	struct operated done;
	int64_t now;
	int r = api_limit_now(api, b, &now);

	if (r < 0 || now == nanousd)
		return r;
	return api_set_limit(api, b, nanousd, op, &done);
}

void view_budget_limits(struct api *api, struct api_call *call)
{
	static const char *const known[] = {"daily_budget", "monthly_budget", "reason"};
	struct new_limit limits[PERIODS] = {
	    {"daily_budget", PERIOD_DAY, 10000 * NANOUSD_PER_USD, false, 0},
	    {"monthly_budget", PERIOD_MONTH, 100000 * NANOUSD_PER_USD, false, 0},
	};
	int64_t now_ns = figure_now_ns(api);
	struct operation op = {.actor = call->actor, .reason = SLICE("PUT /budget/limits"), .now_ns = now_ns};
	struct sqlite3 *db = reply_reader(api, call);
	struct period p[PERIODS];
	json_t *o;
	int r;

	o = db ? figure_body(api, call, known, ARRAY_LEN(known)) : NULL;
	if (!o)
		return;
	if (json_is_string(json_object_get(o, "reason")) && json_string_length(json_object_get(o, "reason")) > 0)
		op.reason = slice_of(json_string_value(json_object_get(o, "reason")));
	r = period_find(api, db, now_ns / NS_PER_S, p);
	if (r < 0) {
		figure_broken(api, call, r);
		goto out;
	}
	if (read_limits(api, call, o, p, limits) < 0)
		goto out;
	for (int i = 0; i < PERIODS && r == BUR_OK; i++)
		if (limits[i].given)
			r = put_limit(api, p[i].budget, limits[i].nanousd, &op);
	period_forget_alerts(api); /* what was listed may be listed again */
	if (r == BUR_OK)
		r = period_find(api, db, now_ns / NS_PER_S, p);
	if (r == BUR_INVALID)
		figure_invalid(api, call, "reason", "reason should be a text of at most 200 bytes");
	else if (r < 0)
		figure_broken(api, call, r);
	else
		figure_send(api, call, 200,
			    json_pack("{s:o,s:o}", "daily_budget", period_json(&p[PERIOD_DAY]), "monthly_budget",
				      period_json(&p[PERIOD_MONTH])));
out:
	json_decref(o);
}

/* --- trends ------------------------------------------------------------------------------------------------------- */

void view_budget_trends(struct api *api, struct api_call *call)
{
	int64_t days = 30, now_s = figure_now_ns(api) / NS_PER_S;
	struct period p[PERIODS];
	json_t *breakdown = NULL;
	struct sqlite3 *db;
	struct trends t;
	int r;

	if (figure_query_int(api, call, "days", 1, TRENDS_DAYS_MAX, &days) < 0)
		return;
	db = reply_reader(api, call);
	if (!db)
		return;
	r = period_find(api, db, now_s, p);
	if (r == BUR_OK)
		r = trends_find(db, p, now_s, days, &t, &breakdown);
	if (r < 0)
		figure_broken(api, call, r);
	else
		figure_send(api, call, 200, trends_json(&t, days, breakdown));
}
