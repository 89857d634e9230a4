/* explain_counters.c - which budgets cover the call, and how they stand. */
#include <stdlib.h>
#include <string.h>

#include "app/explain_impl.h"
#include "base/check.h"
#include "base/error.h"
#include "policy/budget_window.h"

#define VIEWS_MAX 1000000
#define NO_LIMIT (INT64_MAX / 4)

/* --- figures ------------------------------------------------------------------------------------------------------ */

static struct meter_view *snapshot(const struct question *q, size_t *ret_n)
{
	struct meter_view *views = NULL;
	size_t room = 256, n;

	for (;;) {
		struct meter_view *bigger = realloc(views, room * sizeof(*views));

		if (!bigger)
			break;
		views = bigger;
		n = engine_snapshot(q->e->engine, q->now_s, views, room);
		if (n <= room || room == VIEWS_MAX) {
			*ret_n = n < room ? n : room;
			return views;
		}
		room = n + n / 4 < VIEWS_MAX ? n + n / 4 : VIEWS_MAX;
	}
	free(views);
	return NULL;
}

/* A counter that is not there yet stands at nothing, under the limit that its budget has by now. */
static void look_up(const struct question *q, struct counter *c, const struct meter_view *views, size_t n)
{
	const struct budget *b = c->budget;

	c->known = false;
	c->limit = b->limit;
	c->view = (struct meter_view){.limit = b->limit};
	budget_window_at(b, q->now_s, &c->view.win_start, &c->view.win_end);
	if (budget_is_rolling(b))
		c->view.win_end = q->now_s + b->rolling_s;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(views[i].budget->name, b->name) != 0)
			continue;
		c->budget = views[i].budget;
		c->limit = c->view.limit = views[i].limit;
		if (views[i].closing || strcmp(views[i].scope, c->scope) != 0)
			continue;
		c->view = views[i];
		c->known = true;
		return;
	}
}

static int find_counters(struct question *q)
{
	const struct settings *s = q->e->settings;
	struct meter_view *views;
	size_t n = 0;

	views = snapshot(q, &n);
	if (!views)
		return BUR_NOMEM;
	q->n_counters = 0;
	for (size_t i = 0; i < s->n_budgets && q->n_counters < MATCH_MAX; i++) {
		struct counter *c = &q->counters[q->n_counters];

		if (!budget_matches(&s->budgets[i], &q->facts))
			continue;
		c->budget = &s->budgets[i];
		(void)budget_scope(c->budget, &q->facts, c->scope, sizeof(c->scope));
		look_up(q, c, views, n);
		q->n_counters++;
	}
	free(views);
	return BUR_OK;
}

/* --- an engine of its own ----------------------------------------------------------------------------------------- */

static struct amounts only(enum amount_unit unit, int64_t n)
{
	return (struct amounts){.nanousd = unit == UNIT_USD ? n : 0,
				.tokens = unit == UNIT_TOKENS ? n : 0,
				.requests = unit == UNIT_REQUESTS ? n : 0};
}

/* What is held and spent, as it stands in the server's counter. */
static int copy_counter(struct question *q, const struct counter *c, uint32_t meter)
{
	struct match one = {.n = 1, .meter = {meter}};
	struct slice name = slice_of(c->budget->name);
	struct amounts held = only(c->budget->unit, c->view.held);
	struct engine_change ignored;
	int64_t start, end;
	struct hold hold;
	int r = engine_set_limit(q->engine, name, NO_LIMIT, &ignored);

	budget_window_at(c->budget, q->now_s, &start, &end);
	if (r == BUR_OK && c->view.held > 0)
		r = engine_reserve(q->engine, &one, &held, q->now_s, &hold, q->decision);
	if (r == BUR_OK && (c->view.posted > 0 || c->view.credit > 0))
		r = engine_restore(q->engine, name, slice_of(c->scope), start, end, c->view.posted, c->view.credit,
				   c->view.warned_mask, q->now_s);
	if (r == BUR_OK)
		r = engine_set_limit(q->engine, name, c->limit, &ignored);
	return r;
}

static const struct counter *counter_of(const struct question *q, uint32_t meter)
{
	const struct budget *b = NULL;
	const char *scope = NULL;
	size_t i = 0;

	engine_meter_name(q->engine, meter, &b, &scope);
	while (strcmp(q->counters[i].budget->name, b->name) != 0)
		CHECK(++i < q->n_counters);
	return &q->counters[i];
}

static int own_engine(struct question *q)
{
	struct engine_config config = {.max_meters = 2 * MATCH_MAX,
				       .deny_without_budget = q->e->settings->deny_without_budget};
	struct budget defs[MATCH_MAX];
	char why[200];
	int r;

	for (size_t i = 0; i < q->n_counters; i++) {
		defs[i] = *q->counters[i].budget;
		defs[i].parent = NULL; /* it need not be among them */
	}
	CHECK(q->n_own < EXPLAIN_MATCHES_MAX);
	r = budget_set_new(defs, q->n_counters, &q->own_sets[q->n_own], why, sizeof(why));
	if (r < 0)
		return r;
	for (size_t i = 0; i < q->n_counters; i++)
		q->counters[i].budget = budget_set_at(q->own_sets[q->n_own], i);
	q->engine = q->own_engines[q->n_own] = engine_new(q->own_sets[q->n_own], &config);
	q->n_own++;
	if (!q->engine)
		return BUR_NOMEM;
	r = engine_match(q->engine, &q->facts, &q->match);
	for (size_t i = 0; r == BUR_OK && i < q->match.n; i++)
		r = copy_counter(q, counter_of(q, q->match.meter[i]), q->match.meter[i]);
	return r;
}

/* The server's engine would make the counters that it has not: those of a question are no counters of a call. */
int explain_match(struct question *q)
{
	bool all_known = true;
	int r = find_counters(q);

	if (r < 0)
		return r;
	for (size_t i = 0; i < q->n_counters; i++)
		all_known = all_known && q->counters[i].known;
	if (!all_known)
		return own_engine(q);
	q->engine = q->e->engine;
	return engine_match(q->engine, &q->facts, &q->match);
}

/* --- what people read --------------------------------------------------------------------------------------------- */

static __int128 used(const struct counter *c, int64_t need)
{
	return (__int128)c->view.posted + c->view.held + need;
}

static int64_t need_of(const struct question *q, const struct counter *c)
{
	return c->budget->unit == UNIT_USD      ? q->worst.nanousd
	       : c->budget->unit == UNIT_TOKENS ? q->worst.tokens
						: q->worst.requests;
}

static json_t *share(const struct counter *c, int64_t need)
{
	__int128 tenths = used(c, need) * 1000 / c->limit;

	return json_real((double)(int64_t)(tenths > 1000000000 ? 1000000000 : tenths) / 10);
}

static const char *step_word(enum step_action a)
{
	static const char *const words[] = {
	    [STEP_ALERT] = "alert", [STEP_BLOCK] = "block",     [STEP_THROTTLE] = "throttle",
	    [STEP_PACE] = "pace",   [STEP_DEGRADE] = "degrade", [STEP_CLAMP] = "clamp"};

	return words[a];
}

static json_t *steps(const struct counter *c, int64_t need)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->budget->n_steps; i++) {
		const struct budget_step *s = &c->budget->steps[i];
		bool reached = used(c, need) * 1000000 >= (__int128)s->at_ppm * c->limit;

		(void)json_array_append_new(list, json_pack("{s:f,s:s,s:b}", "at_percent", (double)s->at_ppm / 10000,
							    "action", step_word(s->action), "reached", reached));
	}
	return list;
}

static bool same(const struct counter *c, const struct budget *b)
{
	return b && strcmp(c->budget->name, b->name) == 0;
}

static const char *reached_word(const struct question *q, const struct counter *c)
{
	const struct decision *d = q->decision;

	for (size_t i = 0; i < d->n_reached; i++)
		if (same(c, d->reached[i].budget))
			return d->reached[i].step->action == STEP_PACE ? "paces" : "throttles";
	return NULL;
}

static const char *verdict_word(const struct question *q, const struct counter *c, int64_t need)
{
	const struct decision *d = q->decision;
	const char *word;

	for (size_t i = 0; i < d->n_blocked; i++)
		if (same(c, d->blocked[i].budget))
			return d->blocked[i].only_held ? "blocks: held by other calls" : "blocks: spent";
	for (size_t i = 0; i < d->n_would_block; i++)
		if (same(c, d->would_block[i]))
			return "would block (shadow)";
	if (d->verdict == VERDICT_DEGRADE && same(c, d->degrade_by))
		return "degrades";
	word = reached_word(q, c);
	if (word)
		return word;
	if (need > 0 && used(c, need) > (__int128)c->limit + c->view.credit)
		return c->budget->mode == MODE_SOFT     ? "over (soft)"
		       : c->budget->mode == MODE_SHADOW ? "would block (shadow)"
							: "fits";
	return "fits";
}

static json_t *budget_json(const struct question *q, const struct counter *c)
{
	const struct budget *b = c->budget;
	const struct meter_view *v = &c->view;
	int64_t need = need_of(q, c);
	__int128 left = (__int128)c->limit + v->credit - used(c, 0);
	json_t *o = json_pack("{s:s,s:s,s:s,s:s,s:s}", "name", b->name, "scope", c->scope, "mode",
			      budget_mode_name(b->mode), "unit", explain_unit(b->unit), "window", b->window_name);

	if (!o)
		return NULL;
	(void)json_object_set_new(o, "from",
				  b->window.kind == WINDOW_TOTAL && !budget_is_rolling(b)
				      ? json_null()
				      : explain_time(b->window.tz, v->win_start));
	(void)json_object_set_new(o, "to", explain_time(b->window.tz, v->win_end));
	(void)json_object_set_new(o, "zone", b->window.tz ? json_string(tz_name(b->window.tz)) : json_null());
	(void)json_object_set_new(o, "limit", explain_amount(b->unit, c->limit));
	(void)json_object_set_new(o, "credit", explain_amount(b->unit, v->credit));
	(void)json_object_set_new(o, "spent", explain_amount(b->unit, v->posted));
	(void)json_object_set_new(o, "held", explain_amount(b->unit, v->held));
	(void)json_object_set_new(o, "left", explain_amount(b->unit, left > INT64_MIN ? (int64_t)left : INT64_MIN));
	(void)json_object_set_new(o, "need", explain_amount(b->unit, need));
	(void)json_object_set_new(o, "share_percent", share(c, need));
	(void)json_object_set_new(o, "steps", steps(c, need));
	(void)json_object_set_new(o, "verdict", json_string(verdict_word(q, c, need)));
	return o;
}

json_t *explain_budgets(const struct question *q)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < q->n_counters; i++)
		(void)json_array_append_new(list, budget_json(q, &q->counters[i]));
	return list;
}

static json_t *why_not(const struct budget *b, const struct facts *f)
{
	for (size_t i = 0; i < b->n_match; i++) {
		const struct selector *s = &b->match[i];
		struct slice has = facts_get(f, s->fact, slice_of(s->tag));
		struct budget one = *b;

		one.n_match = 1;
		one.match[0] = *s;
		if (budget_matches(&one, f))
			continue;
		if (has.n == 0)
			return json_sprintf("%s%s must be %s, and is not known", fact_name(s->fact),
					    s->tag ? s->tag : "", s->value);
		return json_sprintf("%s%s must be %s, and is " SLICE_FMT, fact_name(s->fact), s->tag ? s->tag : "",
				    s->value, SLICE_ARG(has));
	}
	return json_string("a call matches 16 budgets at most");
}

json_t *explain_others(const struct question *q)
{
	const struct settings *s = q->e->settings;
	json_t *list = json_array();

	for (size_t i = 0; list && i < s->n_budgets; i++)
		if (!budget_matches(&s->budgets[i], &q->facts))
			(void)json_array_append_new(list, json_pack("{s:s,s:o}", "name", s->budgets[i].name, "because",
								    why_not(&s->budgets[i], &q->facts)));
	return list;
}
