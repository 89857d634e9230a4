/* GET /api/v1/circuit-breakers (cost endpoints C7.7): the breakers of money and of upstreams in the words of the cost
 * API. What they are and what is done about them is at /api/v1/breakers. */
#include <stdlib.h>
#include <string.h>

#include "api/body.h"
#include "api/figures.h"
#include "api/views.h"
#include "base/clock.h"
#include "base/error.h"
#include "policy/guard.h"

#define COST_SHOWN 1000
#define COST_TRIGGERS 4 /* burn, anomaly, velocity, single call */

static json_t *statistics(uint64_t allowed, uint64_t blocked, uint64_t cost_blocked, int64_t saved_nanousd)
{
	return json_pack("{s:I,s:I,s:I,s:i,s:I,s:o,s:n,s:o}", "total_calls", (json_int_t)(allowed + blocked),
			 "allowed_calls", (json_int_t)allowed, "blocked_calls", (json_int_t)blocked, "throttled_calls",
			 0, "cost_blocked_calls", (json_int_t)cost_blocked, "total_estimated_cost",
			 figure_usd(saved_nanousd), "total_actual_cost", "cost_savings", figure_usd(saved_nanousd));
}

static json_t *efficiency(uint64_t total, uint64_t cost_blocked, int64_t saved_nanousd)
{
	double rate = total > 0 ? (double)cost_blocked / (double)total : 0;

	return json_pack("{s:n,s:o,s:o}", "estimated_vs_actual_ratio", "cost_savings", figure_usd(saved_nanousd),
			 "block_rate", figure_number(rate, 6));
}

/* Seconds from now until the next trial; 0 when it is not waited for, or only a person ends it. */
static double timeout_s(int64_t until, int64_t now, double unit)
{
	return until == INT64_MAX || until <= now ? 0 : (double)(until - now) / unit;
}

static json_t *cost_json(const struct guard_cost_view *v, int64_t now_ns)
{
	int64_t now_s = now_ns / NS_PER_S;
	json_t *rules = json_array();

	if (v->state != BREAKER_CLOSED)
		(void)json_array_append_new(rules, json_string(breaker_cause_name(v->opened_by)));
	return json_pack("{s:o,s:s,s:i,s:f,s:o,s:i,s:o,s:n,s:n,s:n,s:o,s:o,s:o}", "name", body_text(slice_of(v->name)),
			 "state", breaker_state_name(v->state), "failure_count", 0, "throttle_rate", 1.0,
			 "active_rules", rules, "rules_count", COST_TRIGGERS, "statistics",
			 statistics(v->admitted, v->refused, v->refused, v->refused_nanousd), "last_failure_time",
			 "last_success_time", "time_since_last_failure", "recovery_timeout",
			 figure_number(timeout_s(v->until_s, now_s, 1), 3), "cost_efficiency",
			 efficiency(v->admitted + v->refused, v->refused, v->refused_nanousd), "timestamp",
			 figure_time(now_ns));
}

static json_t *upstream_json(const struct guard_upstream_view *v, int64_t mono_ns, int64_t now_ns)
{
	json_t *rules = json_array();

	if (v->state != BREAKER_CLOSED)
		(void)json_array_append_new(rules, json_string("upstream_failures"));
	return json_pack("{s:o,s:s,s:I,s:f,s:o,s:i,s:o,s:n,s:n,s:n,s:o,s:o,s:o}", "name", body_text(slice_of(v->name)),
			 "state", breaker_state_name(v->state), "failure_count", (json_int_t)v->streak, "throttle_rate",
			 1.0, "active_rules", rules, "rules_count", 2, "statistics", statistics(0, 0, 0, 0),
			 "last_failure_time", "last_success_time", "time_since_last_failure", "recovery_timeout",
			 figure_number(timeout_s(v->until_ns, mono_ns, 1e9), 3), "cost_efficiency", efficiency(0, 0, 0),
			 "timestamp", figure_time(now_ns));
}

static void count_state(struct breakers *b, enum breaker_state state)
{
	b->n++;
	if (state == BREAKER_OPEN)
		b->open++;
	else if (state == BREAKER_HALF_OPEN)
		b->half_open++;
	else
		b->closed++;
}

static int add_upstreams(struct guard *g, int64_t now_ns, struct breakers *b, json_t *list)
{
	struct guard_upstream_view *views = calloc(GUARD_UPSTREAMS_MAX, sizeof(*views));
	int64_t mono_ns = clock_mono_ns();
	size_t n;

	if (!views)
		return BUR_NOMEM;
	n = guard_upstream_list(g, mono_ns, views, GUARD_UPSTREAMS_MAX);
	for (size_t i = 0; i < n; i++) {
		count_state(b, views[i].state);
		if (list)
			(void)json_object_set_new(list, views[i].name, upstream_json(&views[i], mono_ns, now_ns));
	}
	free(views);
	return BUR_OK;
}

int breakers_find(struct guard *g, int64_t now_ns, struct breakers *ret, json_t *list)
{
	struct guard_cost_view v;

	*ret = (struct breakers){.n = 0};
	if (!g)
		return BUR_OK;
	for (size_t i = 0; guard_cost_at(g, i, &v); i++) {
		count_state(ret, v.state);
		ret->operations += v.admitted + v.refused;
		ret->blocked += v.refused;
		if (__builtin_add_overflow(ret->saved_nanousd, v.refused_nanousd, &ret->saved_nanousd))
			ret->saved_nanousd = INT64_MAX;
		if (list && i < COST_SHOWN)
			(void)json_object_set_new(list, v.name, cost_json(&v, now_ns));
	}
	return add_upstreams(g, now_ns, ret, list);
}

void view_circuit_breakers(struct api *api, struct api_call *call)
{
	int64_t now_ns = figure_now_ns(api);
	json_t *list = json_object();
	struct breakers b;
	const char *status, *message;
	int r = list ? breakers_find(api->deps.guard, now_ns, &b, list) : BUR_NOMEM;

	if (r < 0) {
		json_decref(list);
		figure_broken(api, call, r);
		return;
	}
	status = b.n == 0 ? "no_breakers" : b.open + b.half_open > 0 ? "degraded" : "healthy";
	message = b.n == 0      ? "No breaker has anything to watch"
		  : b.open > 0  ? "Breakers are open"
		  : b.half_open ? "Breakers let trial calls through"
				: "All breakers are closed";
	figure_send(api, call, 200,
		    json_pack("{s:o,s:{s:I,s:I,s:I,s:o,s:n},s:{s:i,s:i},s:{s:s,s:s},s:o}", "circuit_breakers", list,
			      "manager_statistics", "breakers_created", (json_int_t)b.n, "total_operations",
			      (json_int_t)b.operations, "total_blocks", (json_int_t)b.blocked, "total_cost_saved",
			      figure_usd(b.saved_nanousd), "start_time", "cost_estimator_stats",
			      "operation_types_tracked", 0, "total_historical_datapoints", 0, "system_health", "status",
			      status, "message", message, "timestamp", body_time(now_ns)));
}
