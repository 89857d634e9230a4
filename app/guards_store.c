/* guards_store.c - stops, breakers and quarantines as the store keeps them: written when they change, read at a start.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "app/guards.h"
#include "app/settings.h"
#include "base/calendar.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "policy/engine_meter.h"
#include "proxy/proxy.h"
#include "store/series.h"
#include "store/switches.h"

#define MINUTE_S 60
#define HOUR_S 3600
#define PAST_MINUTES SERIES_MINUTES_MAX /* enough for the longest burn window (3 days) */

json_t *guards_time(int64_t unix_ns)
{
	char text[TIME_TEXT_MAX];
	int64_t s = unix_ns / NS_PER_S, year;
	int month, day, left = (int)(s % 86400);

	if (unix_ns <= 0)
		return json_null();
	civil_from_days(s / 86400, &year, &month, &day);
	(void)snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02dZ", (int)year, month, day, left / 3600,
		       left / 60 % 60, left % 60);
	return json_string(text);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

void guards_stop_name(int what, const char *value, char *dst, size_t size)
{
	(void)snprintf(dst, size, "stop/%s%s%s", stop_word(what), value[0] ? "/" : "", value);
}

static char *dump_free(json_t *o)
{
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	json_decref(o);
	return text;
}

char *guards_stop_json(const struct stop *s)
{
	return dump_free(json_pack("{s:s,s:s,s:I,s:b}", "reason", s->reason, "actor", s->actor, "since_ns",
				   (json_int_t)s->since_ns, "cut", s->cut));
}

/* One event as a change of the store; its texts are free()d by the caller. */
struct entry {
	char name[SWITCH_NAME_MAX];
	char *json, *payload;
};

static void fill_cost(struct guards *g, const struct guard_event *e, struct entry *to)
{
	(void)snprintf(to->name, sizeof(to->name), "cost/%016" PRIx64, e->uid);
	to->payload = guards_breaker_payload(g, e);
	if (e->change.to != BREAKER_CLOSED)
		to->json = dump_free(json_pack("{s:s,s:i,s:i,s:b,s:I}", "name", e->name, "state", (int)e->change.to,
					       "opened_by", (int)e->opened_by, "latched", e->latched, "changed_s",
					       (json_int_t)e->changed_s));
}

/* Only what a person has opened lasts: what failed before a restart may be well after it. That it was open is kept, so
 * that its end is told then. */
static void fill_upstream(struct guards *g, const struct guard_event *e, struct entry *to)
{
	(void)snprintf(to->name, sizeof(to->name), "upstream/%s", e->name);
	to->payload = guards_breaker_payload(g, e);
	if (e->change.to == BREAKER_OPEN && e->change.cause == BREAKER_MANUAL)
		to->json = dump_free(json_pack("{s:s,s:s}", "actor", e->actor, "reason", e->reason));
	else if (e->change.to != BREAKER_CLOSED)
		to->json = dump_free(json_pack("{s:b}", "until_restart", 1));
}

static void fill_loop(struct guards *g, const struct guard_event *e, struct entry *to)
{
	(void)snprintf(to->name, sizeof(to->name), "loop/%s", e->name);
	to->payload = guards_loop_payload(g, e);
	to->json =
	    dump_free(json_pack("{s:s,s:i,s:I,s:I,s:I,s:I}", "name", e->name, "cause", (int)e->loop.cause, "value",
				(json_int_t)e->loop.value, "threshold", (json_int_t)e->loop.threshold, "cost_nanousd",
				(json_int_t)e->loop.nanousd, "until_ns", (json_int_t)guards_wall_ns(e->loop.until_ns)));
}

int guards_store_events(struct guards *g, const struct guard_event *events, size_t n)
{
	struct switch_change *changes = calloc(n + 1, sizeof(*changes));
	struct entry *entries = calloc(n + 1, sizeof(*entries));
	int64_t now_ns = clock_wall_ns();
	int r = changes && entries ? BUR_OK : BUR_NOMEM;

	for (size_t i = 0; i < n && r == BUR_OK; i++) {
		const struct guard_event *e = &events[i];
		struct entry *to = &entries[i];

		if (e->kind == GUARD_COST)
			fill_cost(g, e, to);
		else if (e->kind == GUARD_UPSTREAM)
			fill_upstream(g, e, to);
		else
			fill_loop(g, e, to);
		r = to->payload ? BUR_OK : BUR_NOMEM;
		changes[i] =
		    (struct switch_change){.name = to->name,
					   .json = to->json,
					   .kind = guards_event_kind(e),
					   .payload = to->payload,
					   .uid = e->uid,
					   .at_ns = now_ns + (int64_t)i,
					   .cause = e->kind == GUARD_LOOP ? (int)e->loop.cause : (int)e->change.cause,
					   .to = (int)e->change.to};
	}
	if (r == BUR_OK)
		r = switches_put(g->store, changes, n);
	for (size_t i = 0; entries && i < n; i++) {
		free(entries[i].json);
		free(entries[i].payload);
	}
	free(entries);
	free(changes);
	return r;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* A counter that has spent nothing in its present window is not in the engine yet. */
static int open_by_name(struct guards *g, uint64_t uid, const char *name, const struct budget **ret)
{
	for (size_t i = 0; i < g->settings->n_budgets; i++) {
		const struct budget *b = &g->settings->budgets[i];
		size_t n = strlen(b->name);
		struct guard_counter c = {.uid = uid, .budget = b};

		if (!b->breaker.on || strncmp(name, b->name, n) != 0 || name[n] != ':' ||
		    meter_uid(b->name, slice_of(name + n + 1)) != uid || g->n_scopes == GUARDS_SCOPES_MAX)
			continue;
		c.scope = g->scopes[g->n_scopes] = strdup(name + n + 1);
		if (!c.scope)
			return BUR_NOMEM;
		g->n_scopes++;
		*ret = b;
		return guard_cost_open(g->guard, &c);
	}
	return BUR_NOTFOUND;
}

struct loading {
	struct guards *g;
	struct stop list[STOPS_MAX];
	char *names[STOPS_MAX];
	json_t *values[STOPS_MAX];
	size_t n;
};

/* A value that is not ours says nothing; better than not to start. */
static json_t *value_of(struct slice name, struct slice json)
{
	json_t *o = json_loadb(json.p ? json.p : "", json.n, 0, NULL);

	if (json_is_object(o))
		return o;
	log_msg(LOG_ERROR, "switch.unread", "%.*s cannot be read and is left out", (int)name.n, name.p);
	json_decref(o);
	return NULL;
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static int load_stop(void *ctx, struct slice name, struct slice json, int64_t ts_ns)
{
	struct loading *l = ctx;
	struct slice word, value;
	struct stop *s = &l->list[l->n];
	json_t *o;

	(void)ts_ns;
	(void)slice_cut(slice_sub(name, 5, name.n), '/', &word, &value);
	if (l->n == STOPS_MAX)
		return BUR_FULL;
	o = value_of(name, json);
	if (!o || stop_parse(word, &s->what) < 0) {
		json_decref(o);
		return BUR_OK;
	}
	l->values[l->n] = o;
	l->names[l->n] = strndup(value.n ? value.p : "", value.n);
	if (!l->names[l->n])
		return BUR_NOMEM;
	s->value = l->names[l->n];
	s->reason = text_of(o, "reason");
	s->actor = text_of(o, "actor");
	s->since_ns = json_integer_value(json_object_get(o, "since_ns"));
	s->cut = json_is_true(json_object_get(o, "cut"));
	l->n++;
	return BUR_OK;
}

static int load_stops(struct guards *g)
{
	struct loading *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return BUR_NOMEM;
	l->g = g;
	r = switches_each(g->store, SLICE("stop/"), load_stop, l);
	if (r == BUR_OK && l->n > 0) {
		g->stops = stop_set_new(l->list, l->n);
		r = g->stops ? BUR_OK : BUR_NOMEM;
		log_msg(LOG_WARN, "stop.kept", "%zu stops are still set; `bursar stop --list` shows them", l->n);
	}
	for (size_t i = 0; i < STOPS_MAX; i++) {
		free(l->names[i]);
		json_decref(l->values[i]);
	}
	free(l);
	return r;
}

static bool restore(struct guards *g, uint64_t uid, const json_t *o)
{
	int state = (int)json_integer_value(json_object_get(o, "state"));
	int cause = (int)json_integer_value(json_object_get(o, "opened_by"));
	bool known = state > BREAKER_CLOSED && state <= BREAKER_HALF_OPEN && cause >= 0 && cause <= BREAKER_MANUAL;

	return known && guard_cost_restore(g->guard, uid, (enum breaker_state)state, (enum breaker_cause)cause,
					   json_is_true(json_object_get(o, "latched")),
					   json_integer_value(json_object_get(o, "changed_s"))) == BUR_OK;
}

static int load_cost(void *ctx, struct slice name, struct slice json, int64_t ts_ns)
{
	struct guards *g = ctx;
	const struct budget *b;
	char hex[20];
	uint64_t uid;
	json_t *o = value_of(name, json);
	(void)ts_ns;
	(void)slice_to_cstr(slice_sub(name, 5, name.n), hex, sizeof(hex));
	uid = strtoull(hex, NULL, 16);
	if (o && (restore(g, uid, o) || (open_by_name(g, uid, text_of(o, "name"), &b) == BUR_OK && restore(g, uid, o))))
		log_msg(LOG_WARN, "breaker.kept", "the cost breaker %s is not closed yet", text_of(o, "name"));
	json_decref(o);
	return BUR_OK;
}

/* What is over with the restart. */
struct over {
	struct guards *g;
	char name[SWITCHES_MAX][SWITCH_NAME_MAX];
	size_t n;
};

static void over_put(struct over *o, struct slice name)
{
	if (o->n < SWITCHES_MAX)
		(void)slice_to_cstr(name, o->name[o->n++], SWITCH_NAME_MAX);
}

static int load_upstream(void *ctx, struct slice name, struct slice json, int64_t ts_ns)
{
	struct over *over = ctx;
	struct guards *g = over->g;
	struct slice full = slice_sub(name, 9, name.n), provider, rest;
	struct guard_upstream_ticket ticket;
	struct guard_hand hand;
	size_t colon;
	uint64_t port;
	int retry_s, r = BUR_OK;
	json_t *o;

	(void)ts_ns;
	if (!slice_cut(full, '@', &provider, &rest))
		return BUR_OK;
	for (colon = rest.n; colon > 0 && rest.p[colon - 1] != ':'; colon--)
		;
	if (colon == 0 || slice_u64(slice_sub(rest, colon, rest.n), &port) < 0 || port > UINT16_MAX)
		return BUR_OK;
	o = value_of(name, json);
	hand = (struct guard_hand){.reason = text_of(o, "reason"), .actor = text_of(o, "actor")};
	if (json_is_true(json_object_get(o, "until_restart")))
		over_put(over, name);
	else if (o && guard_upstream_admit(g->guard, provider, slice_sub(rest, 0, colon - 1), (uint16_t)port,
					   clock_mono_ns(), &ticket, &retry_s) == BUR_OK)
		r = guard_upstream_force(g->guard, full, BREAKER_OPEN, &hand, clock_mono_ns());
	json_decref(o);
	return r == BUR_NOTFOUND ? BUR_OK : r; /* its set is full: it cannot be watched */
}

/* Their ends are told: nobody else would close what was told of them. */
static int load_upstreams(struct guards *g)
{
	struct over *o = calloc(1, sizeof(*o));
	struct guard_event *e = calloc(1, sizeof(*e));
	int r = o && e ? BUR_OK : BUR_NOMEM;

	if (r == BUR_OK) {
		o->g = g;
		r = switches_each(g->store, SLICE("upstream/"), load_upstream, o);
	}
	for (size_t i = 0; r == BUR_OK && i < o->n; i++) {
		*e = (struct guard_event){.kind = GUARD_UPSTREAM,
					  .change = {.cause = BREAKER_RESTART, .from = BREAKER_OPEN}};
		(void)snprintf(e->name, sizeof(e->name), "%s", o->name[i] + strlen("upstream/"));
		e->uid = stable_hash64(e->name, strlen(e->name));
		r = guards_store_events(g, e, 1);
	}
	free(e);
	free(o);
	return r;
}

static int load_loop(void *ctx, struct slice name, struct slice json, int64_t ts_ns)
{
	struct over *l = ctx;
	struct guard_loop_view v = {0};
	json_t *o = value_of(name, json);
	int64_t left = json_integer_value(json_object_get(o, "until_ns")) - clock_wall_ns();
	int r = BUR_OK;

	(void)ts_ns;
	(void)slice_to_cstr(slice_sub(name, 5, name.n), v.name, sizeof(v.name));
	v.id = proxy_loop_id(slice_of(v.name));
	v.cause = (enum runaway_cause)json_integer_value(json_object_get(o, "cause"));
	v.value = json_integer_value(json_object_get(o, "value"));
	v.threshold = json_integer_value(json_object_get(o, "threshold"));
	v.nanousd = json_integer_value(json_object_get(o, "cost_nanousd"));
	if (left > RUNAWAY_QUARANTINE_MAX_NS)
		left = RUNAWAY_QUARANTINE_MAX_NS;
	v.until_ns = clock_mono_ns() + left;
	if (o && left > 0)
		r = guard_loop_restore(l->g->guard, &v, clock_mono_ns());
	else
		over_put(l, name);
	json_decref(o);
	return r == BUR_FULL ? BUR_OK : r;
}

static int load_loops(struct guards *g)
{
	struct switch_change gone[SWITCHES_MAX] = {{0}};
	struct over *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return BUR_NOMEM;
	l->g = g;
	r = switches_each(g->store, SLICE("loop/"), load_loop, l);
	for (size_t i = 0; i < l->n; i++)
		gone[i].name = l->name[i];
	if (r == BUR_OK)
		r = switches_put(g->store, gone, l->n);
	free(l);
	return r;
}

/* --- what was spent ----------------------------------------------------------------------------------------------- */

/* Of one counter: minutes for the burn rate, hours for anomalies. */
static int load_past(struct guards *g, sqlite3 *db, uint64_t uid, bool hours, int64_t now_s)
{
	int64_t first_s = now_s - now_s % MINUTE_S - (PAST_MINUTES - 1) * MINUTE_S, hour_s = now_s - now_s % HOUR_S;
	int64_t began_s = now_s, *v = calloc(PAST_MINUTES, sizeof(*v));
	size_t n;
	int r = v ? series_minutes(db, uid, first_s, PAST_MINUTES, v) : BUR_NOMEM;

	if (r == BUR_OK)
		guard_cost_past(g->guard, uid, first_s, MINUTE_S, v, PAST_MINUTES);
	if (r == BUR_OK && hours)
		r = series_first(db, series_counter(uid), &began_s);
	if (r == BUR_OK && hours && began_s < now_s) {
		first_s = hour_s - (int64_t)ANOMALY_HOURS_MAX * HOUR_S;
		began_s -= began_s % HOUR_S;
		first_s = began_s > first_s ? began_s : first_s;
		n = (size_t)((hour_s - first_s) / HOUR_S);
		r = series_hours(db, series_counter(uid), first_s, n + 1, v);
		if (r == BUR_OK)
			guard_cost_hours(g->guard, uid, hour_s, v, n, v[n]);
	}
	free(v);
	return r;
}

/* The counters that the engine knows again; others begin with their first call. */
static int open_counters(struct guards *g, sqlite3 *db, int64_t now_s)
{
	size_t max = engine_snapshot(g->engine, now_s, NULL, 0), n;
	struct meter_view *v = calloc(max + 1, sizeof(*v));
	int r = v ? BUR_OK : BUR_NOMEM;

	n = v ? engine_snapshot(g->engine, now_s, v, max) : 0;
	for (size_t i = 0; i < n && i < max && r == BUR_OK; i++) {
		const struct budget *b = v[i].budget, *same;
		struct guard_counter c = {.uid = v[i].uid};
		const char *scope;

		if (!b->breaker.on || v[i].closing || engine_meter_of(g->engine, v[i].uid, &same, &scope) < 0)
			continue;
		c.budget = same;
		c.scope = scope;
		r = guard_cost_open(g->guard, &c);
		if (r == BUR_FULL)
			r = BUR_OK; /* it is made when it is needed */
		else if (r == BUR_OK && b->unit == UNIT_USD)
			r = load_past(g, db, c.uid, b->breaker.trip_on_anomaly, now_s);
	}
	free(v);
	return r;
}

static bool wants_hours(const struct guards *g)
{
	for (size_t i = 0; i < g->settings->n_budgets; i++)
		if (g->settings->budgets[i].breaker.on && g->settings->budgets[i].breaker.trip_on_anomaly)
			return true;
	return false;
}

/* Those that have not spent in their present window: what is usual for them is known all the same. */
static int open_quiet_counters(struct guards *g, sqlite3 *db, int64_t now_s)
{
	static const char sql[] = "SELECT uid,budget||':'||scope FROM meter_def WHERE scope<>''";
	const struct budget *b, *known;
	sqlite3_stmt *st = NULL;
	const char *scope;
	int rc, r = BUR_OK;

	if (!wants_hours(g))
		return BUR_OK;
	rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
	while (rc == SQLITE_OK && r == BUR_OK && sqlite3_step(st) == SQLITE_ROW) {
		uint64_t uid = (uint64_t)sqlite3_column_int64(st, 0);
		const char *name = (const char *)sqlite3_column_text(st, 1);

		if (!name || engine_meter_of(g->engine, uid, &known, &scope) == BUR_OK)
			continue;
		r = open_by_name(g, uid, name, &b);
		if (r == BUR_OK && b->unit == UNIT_USD && b->breaker.trip_on_anomaly)
			r = load_past(g, db, uid, true, now_s);
		else if (r == BUR_NOTFOUND || r == BUR_FULL)
			r = BUR_OK;
	}
	(void)sqlite3_finalize(st);
	return rc == SQLITE_OK ? r : BUR_IO;
}

int guards_load(struct guards *g)
{
	sqlite3 *db = NULL;
	int r = load_stops(g);

	if (r < 0 || !g->guard)
		return r;
	r = store_reader(g->store, &db);
	if (r == BUR_OK)
		r = open_counters(g, db, guards_now_s(g));
	if (r == BUR_OK)
		r = open_quiet_counters(g, db, guards_now_s(g));
	(void)sqlite3_close(db);
	if (r == BUR_OK)
		r = switches_each(g->store, SLICE("cost/"), load_cost, g);
	if (r == BUR_OK)
		r = load_upstreams(g);
	if (r == BUR_OK)
		r = load_loops(g);
	return r;
}
