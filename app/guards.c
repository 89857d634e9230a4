#include "app/guards.h"

#include <stdlib.h>
#include <string.h>

#include "app/settings.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/metrics.h"
#include "policy/engine_meter.h"
#include "proxy/proxy.h"

#define LOOK_NS (60 * NS_PER_S)

static struct metric metric_changes[3][3], metric_loops, metric_stops;
static char change_labels[3][3][64];

static void register_metrics(void)
{
	for (int kind = GUARD_UPSTREAM; kind <= GUARD_COST; kind++) {
		for (int to = BREAKER_CLOSED; to <= BREAKER_HALF_OPEN; to++) {
			(void)snprintf(change_labels[kind][to], sizeof(change_labels[kind][to]),
				       "kind=\"%s\",to=\"%s\"", guard_kind_name((enum guard_kind)kind),
				       breaker_state_name((enum breaker_state)to));
			metric_changes[kind][to] = (struct metric){.name = "bursar_breaker_changes_total",
								   .labels = change_labels[kind][to],
								   .help = "Breakers that changed their state"};
			metric_register(&metric_changes[kind][to]);
		}
	}
	metric_loops =
	    (struct metric){.name = "bursar_runaways_total", .help = "Programs that were found to have lost their way"};
	metric_stops =
	    (struct metric){.name = "bursar_stops", .help = "Kill switches that are set", .kind = METRIC_GAUGE};
	metric_register(&metric_loops);
	metric_register(&metric_stops);
}

void guards_init(struct guards *g, struct store *store, struct engine *engine, const struct settings *s)
{
	*g = (struct guards){.store = store, .engine = engine, .settings = s};
}

static size_t budgets_with_breakers(const struct settings *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_budgets; i++)
		n += s->budgets[i].breaker.on;
	return n;
}

int guards_start(struct guards *g, void (*wake)(void *ctx), void *ctx)
{
	struct guard_config config = {.max_cost = budgets_with_breakers(g->settings) > 0 ? GUARD_COST_MAX : 1,
				      .loops = g->settings->proxy.runaway,
				      .wake = wake,
				      .ctx = ctx};

	register_metrics();
	g->pending = calloc(GUARDS_PENDING_MAX, sizeof(*g->pending));
	g->guard = guard_new(&config);
	g->scopes = calloc(GUARDS_SCOPES_MAX, sizeof(*g->scopes));
	if (!g->guard || !g->pending || !g->scopes)
		return BUR_NOMEM;
	g->looked_ns = clock_mono_ns();
	return guards_load(g);
}

void guards_done(struct guards *g)
{
	guard_free(g->guard);
	stop_set_unref(g->stops);
	for (size_t i = 0; i < g->n_scopes; i++)
		free(g->scopes[i]);
	free(g->scopes);
	free(g->pending);
	*g = (struct guards){0};
}

/* --- what happens ------------------------------------------------------------------------------------------------- */

static void log_breaker(const struct guard_event *e)
{
	struct log_line l;

	log_begin(&l, e->change.to == BREAKER_CLOSED ? LOG_INFO : LOG_WARN,
		  e->kind == GUARD_COST ? "breaker.cost" : "breaker.upstream");
	log_str(&l, "name", slice_of(e->name));
	log_word(&l, "from", slice_of(breaker_state_name(e->change.from)));
	log_word(&l, "to", slice_of(breaker_state_name(e->change.to)));
	log_word(&l, "cause", slice_of(breaker_cause_name(e->change.cause)));
	log_int(&l, "value", e->change.value);
	log_int(&l, "threshold", e->change.threshold);
	if (e->shadow)
		log_bool(&l, "shadow", true);
	if (e->reason[0]) {
		log_str(&l, "actor", slice_of(e->actor));
		log_str(&l, "reason", slice_of(e->reason));
	}
	log_end(&l);
}

static void log_loop(const struct guard_event *e)
{
	struct log_line l;

	log_begin(&l, LOG_WARN, "runaway");
	log_str(&l, "key", slice_of(e->name));
	log_word(&l, "cause", slice_of(runaway_cause_name(e->loop.cause)));
	log_int(&l, "value", e->loop.value);
	log_int(&l, "threshold", e->loop.threshold);
	log_usd(&l, "cost_usd", e->loop.nanousd);
	log_int(&l, "seconds", (e->loop.until_ns - clock_mono_ns()) / NS_PER_S);
	log_end(&l);
}

static void take(struct guards *g)
{
	size_t before = g->n_pending;
	bool lost;

	g->n_pending += guard_take_events(g->guard, g->pending + before, GUARDS_PENDING_MAX - before, &lost);
	if (lost)
		log_msg(LOG_ERROR, "breaker.lost", "more happened to breakers than could be noted");
	for (size_t i = before; i < g->n_pending; i++) {
		const struct guard_event *e = &g->pending[i];

		if (e->kind == GUARD_LOOP) {
			log_loop(e);
			metric_add(&metric_loops, 1);
		} else {
			log_breaker(e);
			metric_add(&metric_changes[e->kind][e->change.to], 1);
		}
	}
}

static void store_pending(struct guards *g)
{
	int r = guards_store_events(g, g->pending, g->n_pending);

	if (r == BUR_OK)
		g->n_pending = 0; /* else they are tried again with the next tick */
	else
		log_limited(LOG_ERROR, "breaker.store", "changes of breakers cannot be stored: %s", bur_strerror(r));
}

int64_t guards_now_s(struct guards *g)
{
	int64_t wall_ns = clock_wall_ns();

	return engine_time_s(g->engine, wall_ns, clock_mono_ns());
}

static bool plan_of(void *ctx, uint64_t uid, int64_t now_s, int64_t *ret_limit, int64_t *ret_start, int64_t *ret_end)
{
	struct meter_view v;

	if (engine_meter_view(ctx, uid, now_s, &v) < 0)
		return false;
	*ret_limit = v.limit;
	*ret_start = v.win_start;
	*ret_end = v.win_end;
	return true;
}

void guards_tick(struct guards *g)
{
	int64_t now_ns = clock_mono_ns();

	if (!g->guard)
		return;
	metric_set(&metric_stops, (int64_t)stop_set_len(g->stops));
	if (now_ns - g->looked_ns >= LOOK_NS) {
		g->looked_ns = now_ns;
		guard_cost_tick(g->guard, guards_now_s(g), plan_of, g->engine);
	}
	if (g->n_pending < GUARDS_PENDING_MAX)
		take(g);
	if (g->n_pending > 0)
		store_pending(g);
}
