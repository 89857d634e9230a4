/* guards_api.c - the admin API's questions about stops and breakers. A stop is in force before it is stored: nobody who
 * stops something waits for a disk. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/guards.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "proxy/proxy.h"
#include "store/switches.h"

struct ask {
	const json_t *o;
	const char **ret_field;
	char *err;
	size_t err_size;
	const char *reason, *actor;
};

static int bad(const struct ask *a, const char *field, const char *text)
{
	*a->ret_field = field;
	(void)snprintf(a->err, a->err_size, "%s", text);
	return BUR_INVALID;
}

/* A short text without control characters; NULL: it is not one. */
static const char *text_of(const struct ask *a, const char *field, size_t max)
{
	const json_t *v = json_object_get(a->o, field);
	const char *s = json_string_value(v);
	size_t n = json_string_length(v);

	if (!s || n == 0 || n > max || strlen(s) != n)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < ' ' || s[i] == 127)
			return NULL;
	return s;
}

static int take_hand(struct ask *a)
{
	a->reason = text_of(a, "reason", STOP_REASON_MAX);
	if (!a->reason)
		return bad(a, "reason", "Say why, in up to 200 bytes without control characters");
	a->actor = "admin API";
	if (!json_object_get(a->o, "actor"))
		return BUR_OK;
	a->actor = text_of(a, "actor", STOP_ACTOR_MAX);
	return a->actor ? BUR_OK : bad(a, "actor", "Input should be a short text");
}

/* --- stops -------------------------------------------------------------------------------------------------------- */

static json_t *stop_json(const struct stop *s)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:o,s:b}", "what", stop_word(s->what), "value", s->value, "reason",
			 s->reason, "actor", s->actor, "since", guards_time(s->since_ns), "cut", s->cut);
}

static int list_stops(struct guards *g, json_t **ret)
{
	json_t *rows = json_array();

	for (size_t i = 0; rows && i < stop_set_len(g->stops); i++)
		(void)json_array_append_new(rows, stop_json(stop_set_at(g->stops, i)));
	*ret = json_pack("{s:o}", "stops", rows);
	return *ret ? BUR_OK : BUR_NOMEM;
}

/* Exactly one of key, user, team, project, provider, model, everything. */
static int take_what(struct ask *a, struct stop *ret)
{
	const char *found = NULL;

	for (int what = 0; what <= STOP_EVERYTHING; what++) {
		const char *word = stop_word(what);

		if (!json_object_get(a->o, word) || json_is_false(json_object_get(a->o, word)))
			continue;
		if (found)
			return bad(a, word,
				   "Only one of key, user, team, project, provider, model, everything at a time");
		found = word;
		ret->what = what;
	}
	if (!found)
		return bad(a, "key", "Say what: key, user, team, project, provider, model or everything");
	if (ret->what == STOP_EVERYTHING) {
		ret->value = "";
		return json_is_true(json_object_get(a->o, found)) ? BUR_OK : bad(a, found, "Input should be true");
	}
	ret->value = text_of(a, found, STOP_VALUE_MAX);
	return ret->value ? BUR_OK : bad(a, found, "Input should be a short text");
}

/* The set with one more, or without one. Takes effect at once. */
static int change_set(struct guards *g, const struct stop *add, const struct stop *remove)
{
	size_t n = stop_set_len(g->stops), m = 0;
	struct stop *list = calloc(n + 1, sizeof(*list));
	struct stop_set *fresh = NULL;

	if (!list)
		return BUR_NOMEM;
	for (size_t i = 0; i < n; i++)
		if (stop_set_at(g->stops, i) != remove)
			list[m++] = *stop_set_at(g->stops, i);
	if (add)
		list[m++] = *add;
	if (m > 0)
		fresh = stop_set_new(list, m);
	free(list);
	if (m > 0 && !fresh)
		return m > STOPS_MAX ? BUR_FULL : BUR_NOMEM;
	if (g->proxy)
		proxy_set_stops(g->proxy, fresh, add && add->cut);
	stop_set_unref(g->stops);
	g->stops = fresh;
	return BUR_OK;
}

static int store_stop(struct guards *g, const struct stop *s, bool set, const struct ask *a)
{
	char name[SWITCH_NAME_MAX], object[SWITCH_NAME_MAX], *json = guards_stop_json(s);
	char *payload = guards_stop_payload(s, set, a->actor, a->reason);
	struct switch_change change = {.name = name,
				       .json = set ? json : NULL,
				       .kind = set ? "stop.set" : "stop.lifted",
				       .payload = payload,
				       .at_ns = clock_wall_ns(),
				       .to = set,
				       .action = set ? "stop" : "resume",
				       .object = object,
				       .actor = a->actor,
				       .reason = a->reason,
				       .before = set ? "" : "stopped",
				       .after = set ? "stopped" : ""};
	int r = BUR_NOMEM;

	guards_stop_name(s->what, s->value, name, sizeof(name));
	(void)snprintf(object, sizeof(object), "%s%s%s", stop_word(s->what), s->value[0] ? " " : "", s->value);
	change.uid = stable_hash64(name, strlen(name));
	if (json && payload)
		r = switches_put(g->store, &change, 1);
	free(payload);
	free(json);
	return r;
}

static int stop(struct guards *g, struct ask *a, json_t **ret)
{
	struct stop s = {.since_ns = clock_wall_ns(), .cut = json_is_true(json_object_get(a->o, "cut"))};
	int r = take_what(a, &s);

	if (r == BUR_OK)
		r = take_hand(a);
	if (r < 0)
		return r;
	s.reason = a->reason;
	s.actor = a->actor;
	r = change_set(g, &s, NULL);
	if (r < 0)
		return r;
	log_msg(LOG_WARN, "stop.set", "%s %s is stopped by %s%s: %s", stop_word(s.what), s.value, s.actor,
		s.cut ? ", running calls too" : "", s.reason);
	r = store_stop(g, &s, true, a);
	if (r < 0) {
		(void)snprintf(a->err, a->err_size,
			       "it is stopped now, but that cannot be stored, so a restart would forget it: %s",
			       bur_strerror(r));
		return BUR_IO;
	}
	*ret = stop_json(&s);
	return *ret ? BUR_OK : BUR_NOMEM;
}

/* A key may be in quarantine beside, or instead. */
static bool lift(struct guards *g, const struct stop *s, const struct ask *a)
{
	char name[SWITCH_NAME_MAX], *payload;
	struct switch_change change = {.name = name, .kind = "loop.released", .at_ns = clock_wall_ns()};
	int r;

	if (s->what != FACT_KEY || !g->guard ||
	    guard_loop_release(g->guard, proxy_loop_id(slice_of(s->value)), clock_mono_ns()) < 0)
		return false;
	(void)snprintf(name, sizeof(name), "loop/%s", s->value);
	payload = guards_released_payload(s->value, a->actor, a->reason);
	change.payload = payload;
	change.uid = stable_hash64(name, strlen(name));
	r = payload ? switches_put(g->store, &change, 1) : BUR_NOMEM;
	free(payload);
	if (r < 0)
		log_limited(LOG_ERROR, "breaker.store", "the end of a quarantine cannot be stored");
	log_msg(LOG_WARN, "runaway.lifted", "key %s may call again", s->value);
	return true;
}

static int resume(struct guards *g, struct ask *a, json_t **ret)
{
	struct stop s = {0};
	const struct stop *old;
	bool lifted, resumed = false;
	int r = take_what(a, &s);

	if (r == BUR_OK)
		r = take_hand(a);
	if (r < 0)
		return r;
	lifted = lift(g, &s, a);
	old = stop_set_get(g->stops, s.what, slice_of(s.value));
	if (old) {
		r = store_stop(g, old, false, a); /* first: what a restart would bring back is not lifted */
		if (r == BUR_OK)
			r = change_set(g, NULL, old);
		if (r < 0) {
			(void)snprintf(a->err, a->err_size, "it stays stopped, for that cannot be stored: %s",
				       bur_strerror(r));
			return BUR_IO;
		}
		resumed = true;
		log_msg(LOG_WARN, "stop.lifted", "%s %s is let go on by %s: %s", stop_word(s.what), s.value, a->actor,
			a->reason);
	}
	*ret = json_pack("{s:s,s:s,s:b,s:b}", "what", stop_word(s.what), "value", s.value, "resumed", resumed,
			 "quarantine_lifted", lifted);
	return *ret ? BUR_OK : BUR_NOMEM;
}

/* --- breakers ----------------------------------------------------------------------------------------------------- */

static json_t *usd(int64_t nanousd)
{
	char text[AMOUNT_TEXT_MAX];

	return json_string(amount_format_usd(nanousd, text));
}

static json_t *until(enum breaker_state state, int64_t unix_ns, bool latched)
{
	return state == BREAKER_OPEN && !latched ? guards_time(unix_ns) : json_null();
}

static json_t *named(const char *kind, const char *name)
{
	return json_sprintf("%s:%s", kind, name);
}

static json_t *cost_json(const struct guard_cost_view *v)
{
	bool open = v->state != BREAKER_CLOSED;

	return json_pack(
	    "{s:o,s:s,s:s,s:s,s:o,s:b,s:o,s:o,s:I,s:I,s:I,s:o,s:I,s:I,s:i,s:o,s:o,s:o}", "name", named("cost", v->name),
	    "kind", "cost", "budget", v->budget->name, "state", breaker_state_name(v->state), "cause",
	    open ? json_string(breaker_cause_name(v->opened_by)) : json_null(), "latched", v->latched, "since",
	    guards_time(v->changed_s * NS_PER_S), "until",
	    until(v->state, v->until_s < INT64_MAX / NS_PER_S ? v->until_s * NS_PER_S : 0, v->latched), "admitted",
	    (json_int_t)v->admitted, "refused", (json_int_t)v->refused, "open_calls", (json_int_t)v->open_calls,
	    "refused_usd", usd(v->refused_nanousd), "burn_long_milli", (json_int_t)v->burn_1h_milli, "burn_short_milli",
	    (json_int_t)v->burn_5m_milli, "anomaly_level", v->anomaly_level, "probe_usd", usd(v->probe_nanousd),
	    "probe_held_usd", usd(v->probe_held_nanousd), "probe_spent_usd", usd(v->probe_spent_nanousd));
}

static json_t *upstream_json(const struct guard_upstream_view *v, int64_t wall_minus_mono)
{
	bool open = v->state == BREAKER_OPEN;

	return json_pack("{s:o,s:s,s:s,s:b,s:o,s:o,s:I,s:I,s:I,s:I,s:I}", "name", named("upstream", v->name), "kind",
			 "upstream", "state", breaker_state_name(v->state), "latched", v->latched, "since",
			 open ? guards_time(v->opened_ns + wall_minus_mono) : json_null(), "until",
			 until(v->state, v->latched ? 0 : v->until_ns + wall_minus_mono, v->latched), "good",
			 (json_int_t)v->counts.good, "failed", (json_int_t)v->counts.failed, "limited",
			 (json_int_t)v->counts.limited, "streak", (json_int_t)v->streak, "opens", (json_int_t)v->opens);
}

static json_t *list_upstreams(struct guards *g, json_t *rows, int64_t mono_ns, int64_t wall_minus_mono)
{
	struct guard_upstream_view *v = calloc(GUARD_UPSTREAMS_MAX, sizeof(*v));
	size_t n = v ? guard_upstream_list(g->guard, mono_ns, v, GUARD_UPSTREAMS_MAX) : 0;

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(rows, upstream_json(&v[i], wall_minus_mono));
	free(v);
	return rows;
}

static json_t *list_loops(struct guards *g, int64_t mono_ns, int64_t wall_minus_mono)
{
	struct guard_loop_view *v = calloc(GUARD_LOOPS_MAX, sizeof(*v));
	size_t n = v ? guard_loop_list(g->guard, mono_ns, v, GUARD_LOOPS_MAX) : 0;
	json_t *rows = json_array();

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(rows, json_pack("{s:s,s:s,s:I,s:I,s:o,s:o}", "key", v[i].name, "cause",
							    runaway_cause_name(v[i].cause), "value",
							    (json_int_t)v[i].value, "threshold",
							    (json_int_t)v[i].threshold, "cost_usd", usd(v[i].nanousd),
							    "until", guards_time(v[i].until_ns + wall_minus_mono)));
	free(v);
	return rows;
}

static int list_breakers(struct guards *g, json_t **ret)
{
	int64_t mono_ns = clock_mono_ns(), wall_minus_mono = clock_wall_ns() - mono_ns;
	struct guard_cost_view v;
	json_t *rows = json_array();

	if (g->guard && rows) {
		for (size_t i = 0; guard_cost_at(g->guard, i, &v); i++)
			(void)json_array_append_new(rows, cost_json(&v));
		rows = list_upstreams(g, rows, mono_ns, wall_minus_mono);
	}
	*ret = json_pack("{s:o,s:o}", "breakers", rows, "quarantine",
			 g->guard ? list_loops(g, mono_ns, wall_minus_mono) : json_array());
	return *ret ? BUR_OK : BUR_NOMEM;
}

static int audit_force(struct guards *g, const struct ask *a, const char *name, const char *to)
{
	struct switch_change change = {
	    .action = "breaker", .object = name, .actor = a->actor, .reason = a->reason, .before = "", .after = to};

	return switches_put(g->store, &change, 1);
}

static int force(struct guards *g, struct ask *a, enum breaker_state to, json_t **ret)
{
	const char *name = text_of(a, "name", GUARD_NAME_MAX);
	bool stay = json_is_true(json_object_get(a->o, "stay"));
	struct guard_hand hand;
	struct slice kind, rest;
	int r = take_hand(a);

	if (r < 0)
		return r;
	if (!name || !slice_cut(slice_of(name), ':', &kind, &rest) || !g->guard)
		return BUR_NOTFOUND;
	hand = (struct guard_hand){a->reason, a->actor};
	if (slice_eq(kind, SLICE("cost")))
		r = guard_cost_force(g->guard, rest, to, stay, &hand, guards_now_s(g));
	else if (slice_eq(kind, SLICE("upstream")))
		r = guard_upstream_force(g->guard, rest, to, &hand, clock_mono_ns());
	else
		r = BUR_NOTFOUND;
	if (r < 0)
		return r;
	guards_tick(g);
	if (audit_force(g, a, name, breaker_state_name(to)) < 0 || g->n_pending > 0) {
		(void)snprintf(a->err, a->err_size, "it is %s now, but that cannot be stored", breaker_state_name(to));
		return BUR_IO;
	}
	*ret = json_pack("{s:s,s:s}", "name", name, "state", breaker_state_name(to));
	return *ret ? BUR_OK : BUR_NOMEM;
}

int guards_api(void *ctx, const char *action, const json_t *o, json_t **ret, const char **ret_field, char *reterr,
	       size_t reterr_size)
{
	struct guards *g = ctx;
	struct ask a = {.o = o, .ret_field = ret_field, .err = reterr, .err_size = reterr_size};

	(void)snprintf(reterr, reterr_size, "out of memory");
	if (strcmp(action, "stops") == 0)
		return list_stops(g, ret);
	if (strcmp(action, "breakers") == 0)
		return list_breakers(g, ret);
	if (strcmp(action, "stop") == 0)
		return stop(g, &a, ret);
	if (strcmp(action, "resume") == 0)
		return resume(g, &a, ret);
	if (strcmp(action, "open") == 0)
		return force(g, &a, BREAKER_OPEN, ret);
	if (strcmp(action, "close") == 0)
		return force(g, &a, BREAKER_CLOSED, ret);
	if (strcmp(action, "half-open") == 0)
		return force(g, &a, BREAKER_HALF_OPEN, ret);
	return BUR_NOTFOUND;
}
