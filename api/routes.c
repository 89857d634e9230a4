#include "api/routes.h"

#include <stdio.h>
#include <string.h>

#include "api/views.h"

static const struct api_route table[] = {
    {"GET", "/", API_OPEN, view_index, "where things are"},
    {"GET", "/docs", API_OPEN, view_docs, "this list"},
    {"GET", "/ca.pem", API_OPEN, view_ca_pem, "root certificate to trust for intercepted calls"},
    {"GET", "/health/live", API_OPEN, view_live, "the process answers"},
    {"GET", "/health/ready", API_OPEN, view_ready, "calls are admitted; 503 with reasons when not"},
    {"GET", "/metrics", API_VIEWER, view_metrics, "counters and gauges in Prometheus text format"},
    {"GET", "/api/v1/budgets", API_VIEWER, view_budgets, "every budget: limit, spent, held, remaining, reset time"},
    {"POST", "/api/v1/budgets/{name}/limit", API_ADMIN, view_budget_limit,
     "raise or lower a limit; limit, reason, direction, id"},
    {"POST", "/api/v1/budgets/{name}/credit", API_ADMIN, view_budget_credit,
     "more to spend, for this window or longer; amount, reason, scope, expires, carry_over, id"},
    {"POST", "/api/v1/budgets/{name}/charge", API_ADMIN, view_budget_charge,
     "what was spent elsewhere; amount (below 0: taken back), reason, scope, id"},
    {"GET", "/api/v1/audit", API_VIEWER, view_audit, "what people changed, newest first; limit, cursor, object"},
    {"GET", "/api/v1/ledger", API_VIEWER, view_ledger,
     "what was charged, newest first; limit, cursor, order, from, to, key, user, team, project, provider, model"},
    {"POST", "/api/v1/ledger/{id}/refund", API_ADMIN, view_ledger_refund,
     "money that came back for a call; amount, reason, id"},
    {"POST", "/api/v1/ledger/{id}/adjust", API_ADMIN, view_ledger_adjust,
     "what a call really costs: total, or the difference as amount; reason, id"},
    {"POST", "/api/v1/explain", API_VIEWER, view_explain,
     "why a call would be admitted or refused, every figure; or what a past call held and cost; changes nothing"},
    {"GET", "/api/v1/keys", API_VIEWER, view_keys, "virtual keys, without their text"},
    {"POST", "/api/v1/keys", API_ADMIN, view_key_create, "make a key; the answer shows its text, once"},
    {"DELETE", "/api/v1/keys/{name}", API_ADMIN, view_key_revoke, "revoke a key at once"},
    {"GET", "/api/v1/stops", API_VIEWER, view_stops, "what is stopped by hand: who did it, why, since when"},
    {"POST", "/api/v1/stops", API_ADMIN, view_stop,
     "stop calls at once; one of key, user, team, project, provider, model, everything; reason, cut"},
    {"DELETE", "/api/v1/stops", API_ADMIN, view_resume, "let them go on; the same words, and a reason"},
    {"GET", "/api/v1/breakers", API_VIEWER, view_breakers,
     "breakers of upstreams and of money, and who is in quarantine"},
    {"POST", "/api/v1/breakers/{name}/open", API_ADMIN, view_breaker_open, "open a breaker; reason, stay"},
    {"POST", "/api/v1/breakers/{name}/close", API_ADMIN, view_breaker_close, "close a breaker; reason"},
    {"POST", "/api/v1/breakers/{name}/half-open", API_ADMIN, view_breaker_half_open,
     "let a breaker try whether all is well; reason"},
    {"POST", "/api/v1/prices/reload", API_ADMIN, view_prices_reload, "read the price book again"},
    {"POST", "/api/v1/prices/reprice", API_ADMIN, view_prices_reprice,
     "past calls at today's book; since, until, provider, model, dry_run, after"},
    {"GET", "/api/v1/forecast", API_VIEWER, view_forecasts,
     "every budget in USD: burn rates, what its window will have cost, when it runs out"},
    {"GET", "/api/v1/budgets/{name}/forecast", API_VIEWER, view_budget_forecast, "the same of one budget"},
    {"GET", "/api/v1/budget/status", API_VIEWER, view_budget_status,
     "the day and the month: spent, left, projected, health; include_projections"},
    {"POST", "/api/v1/budget/check", API_VIEWER, view_budget_check, "would this cost fit? Reserves nothing"},
    {"PUT", "/api/v1/budget/limits", API_ADMIN, view_budget_limits, "new limits of the day and the month"},
    {"GET", "/api/v1/budget/trends", API_VIEWER, view_budget_trends, "spend of the last days; days"},
    {"GET", "/api/v1/anomalies", API_VIEWER, view_anomalies, "hours and days unlike themselves, and costly calls"},
    {"GET", "/api/v1/circuit-breakers", API_VIEWER, view_circuit_breakers, "breakers in the words of the cost API"},
    {"GET", "/api/v1/analytics/costs", API_VIEWER, view_analytics_costs,
     "spend over time; time_range, granularity, start, end, include_categories"},
    {"GET", "/api/v1/alerts", API_VIEWER, view_alerts, "incidents, newest first; level, state, provider, since, limit"},
    {"GET", "/api/v1/alerts/dashboard", API_VIEWER, view_alert_dashboard,
     "alerts in figures; time_range, include_escalation"},
    {"GET", "/api/v1/alerts/delivery-stats", API_VIEWER, view_alert_stats, "how well each channel delivers"},
    {"GET", "/api/v1/alerts/channels", API_VIEWER, view_alert_channels,
     "channels: state, what waits, last success, failing since"},
    {"POST", "/api/v1/alerts/channels/{name}/enable", API_ADMIN, view_alert_enable,
     "try a channel again that was disabled"},
    {"GET", "/api/v1/alerts/outbox", API_VIEWER, view_alert_outbox,
     "messages to channels, newest first; state (dead: given up), channel, since, limit"},
    {"POST", "/api/v1/alerts/outbox/{id}/retry", API_ADMIN, view_alert_outbox_retry,
     "send one message again that was given up"},
    {"GET", "/api/v1/alerts/mutes", API_VIEWER, view_alert_mutes, "what is muted, by whom, until when"},
    {"POST", "/api/v1/alerts/mutes", API_ADMIN, view_alert_mute,
     "be silent about budget, type, key, user, team, project, model, provider or tag.NAME; for or until; reason"},
    {"DELETE", "/api/v1/alerts/mutes/{id}", API_ADMIN, view_alert_unmute, "end a mute"},
    {"POST", "/api/v1/alerts/test", API_ADMIN, view_alert_test,
     "send a test message to every channel, or to `channel`; the answer says where its result is"},
    {"POST", "/api/v1/alerts/preview", API_ADMIN, view_alert_preview,
     "what each channel would send; channel, type, incident; sends nothing"},
    {"GET", "/api/v1/alerts/{id}", API_VIEWER, view_alert,
     "an incident, its events, and who was told; or the result of a test"},
    {"POST", "/api/v1/alerts/{id}/ack", API_ADMIN, view_alert_ack, "somebody takes care of it; reason"},
    {"POST", "/api/v1/alerts/{id}/resolve", API_ADMIN, view_alert_resolve, "it is over; reason"},
    {"POST", "/api/v1/alerts/{id}/retry", API_ADMIN, view_alert_retry,
     "send the messages about it again that were given up"},
    {"GET", "/alerts/act", API_OPEN, view_alert_page,
     "the page behind the links in messages, for who holds such a link"},
    {"POST", "/alerts/act", API_OPEN, view_alert_page_act, "what the button on that page does"},
    {"GET", "/api/v1/dashboard/overview", API_VIEWER, view_overview, "all of it in one answer"},
};

const struct api_route *routes_all(size_t *ret_n)
{
	*ret_n = ARRAY_LEN(table);
	return table;
}

/* Fixed text up to "{" and after "}"; what stands in between must be one non-empty segment. */
static bool path_matches(const char *pattern, struct slice path, struct slice *ret_param)
{
	const char *brace = strchr(pattern, '{');
	struct slice fixed = brace ? slice_mem(pattern, (size_t)(brace - pattern)) : slice_of(pattern), tail, rest;

	*ret_param = SLICE_NONE;
	if (!brace)
		return slice_eq(path, fixed);
	tail = slice_of(strchr(brace, '}') + 1);
	if (!slice_starts(path, fixed))
		return false;
	rest = slice_sub(path, fixed.n, path.n);
	if (!slice_ends(rest, tail))
		return false;
	rest.n -= tail.n;
	if (rest.n == 0 || slice_find(rest, '/') != rest.n)
		return false;
	*ret_param = rest;
	return true;
}

static bool path_known(struct slice path)
{
	struct slice param;

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (path_matches(table[i].path, path, &param))
			return true;
	return false;
}

enum route_result routes_find(struct slice method, struct slice path, const struct api_route **ret,
			      struct slice *ret_param, char *allow, size_t allow_size)
{
	struct slice wanted = slice_eq(method, SLICE("HEAD")) ? SLICE("GET") : method;
	size_t n = 0;

	allow[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (!path_matches(table[i].path, path, ret_param))
			continue;
		if (slice_eq(wanted, slice_of(table[i].method))) {
			*ret = &table[i];
			return ROUTE_FOUND;
		}
		n += (size_t)snprintf(allow + n, allow_size - n, "%s%s", n ? ", " : "", table[i].method);
		if (n >= allow_size)
			n = allow_size - 1;
	}
	if (n > 0)
		return ROUTE_BAD_METHOD;
	if (path.n > 2 && slice_ends(path, SLICE("/")) && path_known(slice_sub(path, 0, path.n - 1)))
		return ROUTE_SLASH;
	return ROUTE_UNKNOWN;
}
