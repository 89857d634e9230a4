/* GET /metrics: the rooms' own counters, then gauges read at this moment: storage, data path, budgets.
 *
 * Labels carry budget names, which the operator chose. A scope holds names of users, so it is shown only for budgets
 * with few scopes; larger ones are summed. */
#include <stdlib.h>
#include <string.h>

#include "alerts/alerts.h"
#include "api/reply.h"
#include "api/views.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/metrics.h"
#include "policy/engine.h"
#include "store/store.h"

#define METERS_MAX 20000
#define SCOPES_SHOWN 100

static int gauge(struct buf *out, const char *name, const char *help, int64_t value)
{
	return buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %lld\n", name, help, name, name, (long long)value);
}

static int print_storage(struct buf *out, struct store *store)
{
	struct store_health h;
	char usd[AMOUNT_TEXT_MAX];
	int r = 0;

	store_health(store, &h);
	r |= gauge(out, "bursar_storage_state", "0 ok, 1 lagging, 2 down, 3 damaged", h.state);
	r |= gauge(out, "bursar_journal_slots", "calls that may be in flight", h.slots);
	r |= gauge(out, "bursar_journal_slots_used", "calls in flight or not yet written", h.slots_used);
	r |= gauge(out, "bursar_storage_free_bytes", "room on the disk of the ledger", h.free_bytes);
	r |= buf_printf(
	    out,
	    "# HELP bursar_unpersisted_usd settled but not yet written\n# TYPE bursar_unpersisted_usd gauge\n"
	    "bursar_unpersisted_usd %s\n",
	    amount_format_usd(h.unpersisted_nanousd, usd));
	return r;
}

static int print_data_path(struct buf *out, const struct api_deps *deps)
{
	struct api_gauge list[API_GAUGES_MAX];
	size_t n = deps->read_gauges ? deps->read_gauges(deps->ctx, list) : 0;
	int r = BUR_OK;

	for (size_t i = 0; i < n && r == BUR_OK; i++)
		r = buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %lld\n", list[i].name, list[i].help, list[i].name,
			       list[i].counter ? "counter" : "gauge", list[i].name, (long long)list[i].value);
	return r;
}

/* --- budgets ------------------------------------------------------------------------------------------------------ */

/* The engine's order keeps the scopes of a budget together or not; sorting makes it so. */
static int by_budget(const void *a, const void *b)
{
	const struct meter_view *x = a, *y = b;
	int c = strcmp(x->budget->name, y->budget->name);

	return c ? c : strcmp(x->scope, y->scope);
}

enum gauge_kind { GAUGE_LIMIT, GAUGE_SPENT, GAUGE_HELD };

static int64_t gauge_value(const struct meter_view *v, enum gauge_kind kind)
{
	return kind == GAUGE_SPENT ? v->posted : kind == GAUGE_HELD ? v->held : v->limit;
}

static int print_sample(struct buf *out, const char *name, const struct meter_view *v, bool with_scope, int64_t value)
{
	static const char *const units[] = {"usd", "tokens", "requests"};
	char text[AMOUNT_TEXT_MAX];
	int r = buf_printf(out, "%s{budget=\"", name);

	r |= metrics_print_label(out, v->budget->name);
	r |= buf_printf(out, "\",window=\"%s\",unit=\"%s\"", v->budget->window_name, units[v->budget->unit]);
	if (with_scope) {
		r |= buf_printf(out, ",scope=\"");
		r |= metrics_print_label(out, v->scope);
		r |= buf_printf(out, "\"");
	}
	if (v->budget->unit == UNIT_USD)
		return r | buf_printf(out, "} %s\n", amount_format_usd(value, text));
	return r | buf_printf(out, "} %lld\n", (long long)value);
}

/* views[0..n) are the scopes of one budget. */
static int print_budget(struct buf *out, const char *name, enum gauge_kind kind, const struct meter_view *v, size_t n)
{
	int64_t sum = 0;
	int r = BUR_OK;

	if (n < SCOPES_SHOWN) {
		for (size_t i = 0; i < n; i++)
			r |= print_sample(out, name, &v[i], v[i].budget->n_per > 0, gauge_value(&v[i], kind));
		return r;
	}
	for (size_t i = 0; i < n; i++)
		if (kind == GAUGE_LIMIT)
			sum = v[i].limit; /* of each scope */
		else if (amount_add(sum, gauge_value(&v[i], kind), &sum) < 0)
			sum = INT64_MAX;
	return print_sample(out, name, v, false, sum);
}

static int print_family(struct buf *out, const char *name, const char *help, enum gauge_kind kind,
			const struct meter_view *v, size_t n)
{
	int r = buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
	size_t end;

	for (size_t i = 0; i < n && r == BUR_OK; i = end) {
		for (end = i + 1; end < n && v[end].budget == v[i].budget; end++)
			;
		r = print_budget(out, name, kind, v + i, end - i);
	}
	return r;
}

static int print_budgets(struct buf *out, struct engine *engine)
{
	struct meter_view *v = calloc(METERS_MAX, sizeof(*v));
	size_t n, kept = 0;
	int r;

	if (!v)
		return BUR_NOMEM;
	n = engine_snapshot(engine, engine_time_s(engine, clock_wall_ns(), clock_mono_ns()), v, METERS_MAX);
	if (n > METERS_MAX)
		n = METERS_MAX;
	for (size_t i = 0; i < n; i++) /* a closed window with late calls would be a second sample of the same name */
		if (!v[i].closing)
			v[kept++] = v[i];
	qsort(v, kept, sizeof(*v), by_budget);
	r = print_family(out, "bursar_budget_limit", "limit of the current window", GAUGE_LIMIT, v, kept);
	if (r == BUR_OK)
		r = print_family(out, "bursar_budget_spent", "spent in the current window", GAUGE_SPENT, v, kept);
	if (r == BUR_OK)
		r = print_family(out, "bursar_budget_held", "held by running calls", GAUGE_HELD, v, kept);
	free(v);
	return r;
}

/* Without them when they cannot be read: the other figures matter too. */
static int print_alerts(struct buf *out, struct alerts *alerts)
{
	struct buf text;
	int r = BUR_OK;

	buf_init(&text, API_OUT_MAX);
	if (alerts_metrics(alerts, &text) == BUR_OK)
		r = buf_append_slice(out, buf_slice(&text));
	buf_done(&text);
	return r;
}

void view_metrics(struct api *api, struct api_call *call)
{
	struct buf *out = &call->out;
	int r = metrics_print(out);

	if (r == BUR_OK)
		r = print_storage(out, api->deps.store);
	if (r == BUR_OK)
		r = print_data_path(out, &api->deps);
	if (r == BUR_OK)
		r = gauge(out, "bursar_holds_open", "holds not yet resolved",
			  (int64_t)engine_open_holds(api->deps.engine));
	if (r == BUR_OK)
		r = print_budgets(out, api->deps.engine);
	if (r == BUR_OK && api->deps.alerts)
		r = print_alerts(out, api->deps.alerts);
	if (r < 0) {
		buf_consume(out, buf_len(out));
		reply_error(call, 500, "metrics do not fit");
		return;
	}
	call->type = "text/plain; version=0.0.4; charset=utf-8";
	call->status = 200;
}
