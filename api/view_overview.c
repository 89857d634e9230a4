/* GET /api/v1/dashboard/overview (cost endpoints C8.2). Figures that this program does not have are null or 0; which
 * those are stands in docs/foresight.md. */
#include <string.h>

#include "alerts/alert.h"
#include "api/body.h"
#include "api/figures.h"
#include "api/views.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/alerts.h"
#include "store/note.h"
#include "store/series.h"
#include "store/store.h"

#define HOUR_S 3600
#define DAY_S 86400
#define ALERTS_SHOWN 10
#define OPEN_COUNTED_MAX 1000

struct overview {
	struct period p[PERIODS];
	struct projections projections;
	struct trends trends;
	struct health health;
	struct series_sum today;
	struct store_health store;
	int64_t alerts_day;
	json_t *breakdown, *alerts;
	int64_t last_alert_ns;
	int64_t active, critical; /* incidents that go on */
	bool undelivered;         /* a channel is given up, or more than one in five of its tries failed */
	struct breakers breakers;
};

/* --- alerts ------------------------------------------------------------------------------------------------------- */

/* Calls are refused, a breaker is open, money runs away: somebody has to look. */
static bool is_critical(const struct alert_type *type, const json_t *payload)
{
	const char *text = json_string_value(json_object_get(payload, "severity"));
	enum severity severity;

	if (!text || severity_parse(slice_of(text), &severity) < 0)
		severity = type ? type->severity : SEVERITY_WARNING;
	return severity >= SEVERITY_ERROR;
}

/* What begins, or was worth telling once. */
static bool is_alert(const struct note_row *row, const struct alert_type *type)
{
	return row->action != NOTE_ENDED && (!type || (!type->ends && type->family));
}

struct recent {
	json_t *list;
	int64_t last_ns;
};

static int add_alert(void *ctx, const struct note_row *row)
{
	const struct alert_type *type = alert_type_find(row->kind);
	struct recent *a = ctx;
	json_t *payload = json_loadb(row->payload.p ? row->payload.p : "", row->payload.n, 0, NULL);
	bool critical = is_critical(type, payload);
	const char *message = json_string_value(json_object_get(payload, "message"));

	if (!is_alert(row, type)) {
		json_decref(payload);
		return BUR_OK;
	}
	a->last_ns = a->last_ns ? a->last_ns : row->at_ns;
	if (json_array_size(a->list) == ALERTS_SHOWN) {
		json_decref(payload);
		return BUR_OK;
	}
	return json_array_append_new(a->list, json_pack("{s:o,s:o,s:s,s:o,s:s,s:o}", "timestamp",
							figure_time(row->at_ns), "type", body_text(row->kind),
							"severity", critical ? "critical" : "warning", "message",
							message ? json_string(message) : body_text(row->kind), "source",
							"ledger", "metadata", payload ? payload : json_null())) == 0
		   ? BUR_OK
		   : BUR_NOMEM;
}

/* --- figures ------------------------------------------------------------------------------------------------------ */

static int count_incident(void *ctx, const struct incident *i)
{
	struct overview *o = ctx;

	o->active++;
	if (i->severity >= SEVERITY_ERROR)
		o->critical++;
	return BUR_OK;
}

static int look_at_channel(void *ctx, const struct channel_state *c)
{
	struct overview *o = ctx;

	/* C8.2: degraded when no more than 80 % are delivered */
	if (c->disabled || (c->failed > 0 && c->sent <= 4 * c->failed))
		o->undelivered = true;
	return BUR_OK;
}

static int find_alerts(struct sqlite3 *db, int64_t now_ns, struct overview *o)
{
	const struct note_filter last = {.limit = 200};
	const struct incident_filter open = {.open_only = true, .limit = OPEN_COUNTED_MAX};
	struct recent a = {.list = json_array()};
	int r = note_each(db, &last, add_alert, &a);

	o->alerts = a.list;
	o->last_alert_ns = a.last_ns;
	if (r == BUR_OK)
		r = alerts_each_incident(db, &open, count_incident, o);
	if (r == BUR_OK)
		r = alerts_each_channel(db, look_at_channel, o);
	return r == BUR_OK ? note_count(db, now_ns - DAY_S * NS_PER_S, now_ns, &o->alerts_day) : r;
}

static int find_all(struct api *api, struct sqlite3 *db, int64_t now_ns, struct overview *o)
{
	int64_t now_s = now_ns / NS_PER_S;
	int r = period_find(api, db, now_s, o->p);

	if (r == BUR_OK)
		r = projections_find(db, o->p, now_s, &o->projections);
	if (r == BUR_OK)
		r = trends_find(db, o->p, now_s, 30, &o->trends, &o->breakdown);
	if (r == BUR_OK)
		r = health_find(db, o->p, &o->projections, o->trends.trend_milli, now_ns, &o->health);
	if (r == BUR_OK)
		r = series_total(db, SERIES_EVERYTHING, o->p[PERIOD_DAY].start_s, now_s + HOUR_S, &o->today);
	if (r == BUR_OK)
		r = find_alerts(db, now_ns, o);
	if (r == BUR_OK)
		r = breakers_find(api->deps.guard, now_ns, &o->breakers, NULL);
	store_health(api->deps.store, &o->store);
	return r;
}

static void put_period(json_t *m, const char *word, const struct period *p, double projected, double confidence)
{
	char key[64];
	const struct {
		const char *what;
		json_t *value;
	} v[] = {
	    {"cost", figure_usd(p->total_nanousd)},
	    {"budget", p->budget ? figure_usd(p->limit_nanousd) : json_null()},
	    {"percentage", json_real((double)period_used_micro(p) / 1e6)},
	    {"projected_cost", figure_estimate(projected)},
	    {"projection_confidence", json_real(confidence)},
	};

	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		(void)snprintf(key, sizeof(key), "%s_%s", word, v[i].what);
		(void)json_object_set_new(m, key, v[i].value);
	}
}

/* Efficiency as in the analytics: a call of ten cents or more is worth nothing, a free one everything. */
static double efficiency(const struct series_sum *s)
{
	double v = s->calls > 0 ? 100 * (0.10 - (double)s->amount / 1e9 / (double)s->calls) / 0.10 : 0;

	return v < 0 ? 0 : v;
}

static json_t *metrics_json(struct api *api, const struct overview *o, int64_t now_ns)
{
	const struct series_sum *t = &o->today;
	json_t *m = json_pack("{s:o,s:s}", "budget_health_score",
			      figure_number((double)o->health.scores.overall_tenths / 10, 1), "budget_health_status",
			      forecast_c6_status_name(o->health.scores.status));
	json_t *rest;

	if (!m)
		return NULL;
	put_period(m, "daily", &o->p[PERIOD_DAY], o->projections.day.projected, o->projections.day.confidence);
	put_period(m, "monthly", &o->p[PERIOD_MONTH], o->projections.month.projected, o->projections.month.confidence);
	rest = json_pack("{s:o,s:s,s:o,s:o,s:I,s:I,s:I,s:o,s:o}", "cost_trend_percentage",
			 figure_number((double)o->trends.trend_milli / 1e3, 3), "cost_trend_direction",
			 forecast_c3_direction(o->trends.trend_milli) == FORECAST_C3_INCREASING   ? "increasing"
			 : forecast_c3_direction(o->trends.trend_milli) == FORECAST_C3_DECREASING ? "decreasing"
												  : "stable",
			 "average_daily_cost", figure_usd(o->trends.average_nanousd), "cost_efficiency_score",
			 figure_number(efficiency(t), 1), "active_alerts", (json_int_t)o->active, "critical_alerts",
			 (json_int_t)o->critical, "alerts_last_24h", (json_int_t)o->alerts_day, "last_alert_time",
			 o->last_alert_ns ? figure_time(o->last_alert_ns) : json_null(), "last_alert_time_iso",
			 body_time(o->last_alert_ns));
	(void)json_object_update(m, rest);
	json_decref(rest);
	rest = json_pack(
	    "{s:I,s:I,s:I,s:I,s:o,s:I,s:o,s:o,s:I}", "circuit_breakers_healthy", (json_int_t)o->breakers.closed,
	    "circuit_breakers_degraded", (json_int_t)o->breakers.half_open, "circuit_breakers_open",
	    (json_int_t)o->breakers.open, "total_operations_blocked", (json_int_t)o->breakers.blocked,
	    "cost_savings_from_protection", figure_usd(o->breakers.saved_nanousd), "total_api_calls",
	    (json_int_t)t->calls, "average_response_time",
	    figure_number(t->calls ? (double)t->took_ms / (double)t->calls : 0, 2), "error_rate_percentage",
	    figure_number(t->calls ? 100.0 * (double)t->failed / (double)t->calls : 0, 2), "tokens_consumed",
	    (json_int_t)(t->input_tokens + t->output_tokens));
	(void)json_object_update(m, rest);
	json_decref(rest);
	rest = json_pack("{s:[],s:{},s:o,s:b,s:o,s:o}", "top_research_categories", "category_cost_breakdown",
			 "system_uptime", figures_uptime(api), "monitoring_active", api->deps.monitoring,
			 "last_update_time", figure_time(now_ns), "last_update_time_iso", body_time(now_ns));
	(void)json_object_update(m, rest);
	json_decref(rest);
	return m;
}

static json_t *system_json(struct api *api, const struct overview *o)
{
	const char *manager = strcmp(period_health(o->p), "exceeded") == 0 ? "critical" : "healthy";
	const char *monitor = api->deps.monitoring ? "healthy" : "degraded";
	const char *ledger = o->store.state == STORE_OK        ? "healthy"
			     : o->store.state == STORE_LAGGING ? "degraded"
							       : "critical";
	const char *breakers = o->breakers.open + o->breakers.half_open > 0 ? "degraded" : "healthy";
	const char *alerts = o->undelivered ? "degraded" : "healthy";
	const char *const all[] = {manager, monitor, breakers, ledger, alerts};
	const char *overall = "healthy";

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (strcmp(all[i], "critical") == 0)
			overall = "critical";
		else if (strcmp(all[i], "degraded") == 0 && strcmp(overall, "critical") != 0)
			overall = "degraded";
	}
	return json_pack("{s:s,s:{s:s,s:s,s:s,s:s,s:s}}", "overall_status", overall, "components", "budget_manager",
			 manager, "real_time_monitor", monitor, "circuit_breakers", breakers, "alert_system", alerts,
			 "ledger", ledger);
}

void view_overview(struct api *api, struct api_call *call)
{
	int64_t now_ns = figure_now_ns(api);
	struct sqlite3 *db = reply_reader(api, call);
	struct overview o;
	int r;

	if (!db)
		return;
	memset(&o, 0, sizeof(o));
	r = find_all(api, db, now_ns, &o);
	if (r < 0) {
		json_decref(o.breakdown);
		json_decref(o.alerts);
		figure_broken(api, call, r);
		return;
	}
	figure_send(api, call, 200,
		    json_pack("{s:o,s:o,s:o,s:{s:o},s:o}", "metrics", metrics_json(api, &o, now_ns), "system_health",
			      system_json(api, &o), "recent_alerts", o.alerts, "trends", "spending_trends",
			      trends_json(&o.trends, 30, o.breakdown), "last_updated", body_time(now_ns)));
}
