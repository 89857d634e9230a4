/* simulate_call.c - one call of the past through the ladder of another policy: other model, fewer tokens, waiting,
 * refusal, in the order in which the data path asks. */
#include <stdlib.h>
#include <string.h>

#include "app/simulate_impl.h"
#include "base/clock.h"
#include "base/error.h"
#include "policy/rung.h"

/* The ledger knows when a request began, not when its hold was taken: what others gave back so soon after was free. */
#define HOLD_SLACK_NS NS_PER_S
#define TOKEN_FEW_MAX (INT64_C(1) << 40)

/* --- the call ----------------------------------------------------------------------------------------------------- */

struct amounts sim_used(const struct ledger_row *row)
{
	return (struct amounts){row->amount_nanousd, row->input_tokens + row->output_tokens, row->requests};
}

/* Tags stand in `extra` as "tag.NAME". */
static int take_tags(struct sim *s, struct slice extra)
{
	const char *name;
	json_t *v;

	if (extra.n == 0 || !memmem(extra.p, extra.n, "\"tag.", 5))
		return BUR_OK;
	s->extra = json_loadb(extra.p, extra.n, 0, NULL);
	if (!s->extra)
		return BUR_OK; /* no JSON of ours: a call without tags */
	json_object_foreach(s->extra, name, v)
	{
		if (strncmp(name, "tag.", 4) == 0 && json_is_string(v) && s->facts.n_tags < TAGS_MAX)
			s->facts.tags[s->facts.n_tags++] =
			    (struct tag){slice_of(name + 4), slice_mem(json_string_value(v), json_string_length(v))};
	}
	return BUR_OK;
}

int sim_facts(struct sim *s, const struct ledger_row *row)
{
	struct facts *f = &s->facts;

	json_decref(s->extra);
	s->extra = NULL;
	memset(f, 0, sizeof(*f));
	f->v[FACT_PROVIDER] = row->provider;
	f->v[FACT_MODEL] = row->model;
	f->v[FACT_KEY] = row->key;
	f->v[FACT_USER] = row->user;
	f->v[FACT_TEAM] = row->team;
	f->v[FACT_PROJECT] = row->project;
	return take_tags(s, row->extra);
}

/* A call on its way through the ladder. */
struct course {
	const struct ledger_row *row;
	struct amounts worst, actual;
	struct slice model; /* that is called now */
	unsigned degrades;
	bool clamped, tried_clamp;
	int64_t degrade_nanousd, clamp_nanousd; /* saved */
	const struct budget *degrade_by, *clamp_by;
	int64_t delay_ns;
};

/* --- what is counted ---------------------------------------------------------------------------------------------- */

static struct sim_name *name_in(struct map *m, struct slice name)
{
	struct sim_name *n = map_get(m, name);

	if (!n && map_len(m) >= SIM_NAMES_MAX) {
		name = SLICE("(other)");
		n = map_get(m, name);
	}
	if (n)
		return n;
	n = calloc(1, sizeof(*n));
	if (n && map_put(m, name, n) == BUR_OK)
		return n;
	free(n);
	return NULL;
}

static int note_names(struct sim *s, const struct course *c, bool refused, int64_t saved_nanousd)
{
	struct map *const maps[] = {s->keys, s->teams, s->models};
	const struct slice names[] = {c->row->key, c->row->team, c->row->model};

	for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
		struct sim_name *n = names[i].n > 0 ? name_in(maps[i], names[i]) : NULL;

		if (names[i].n > 0 && !n)
			return BUR_NOMEM;
		if (!n)
			continue;
		n->refused += refused;
		n->slowed += !refused && c->delay_ns > 0;
		n->degraded += !refused && c->degrades > 0;
		n->clamped += !refused && c->clamped;
		n->saved_nanousd += saved_nanousd;
	}
	return BUR_OK;
}

static void note_first(struct sim_tally *t, const struct ledger_row *row)
{
	if (t->first_ns != 0)
		return;
	t->first_ns = row->ts_admit_ns;
	memcpy(t->first_uid, row->uid, sizeof(t->first_uid));
}

/* Corrections that come later find it there. Few calls have any. */
static int note_uid(struct sim *s, const struct ledger_row *row)
{
	bool corrected = false;
	int r = past_is_corrected(s->past, row->uid, &corrected);

	if (r == BUR_OK && corrected)
		r = map_put(s->not_as_was, slice_mem(row->uid, sizeof(row->uid)), s);
	return r == BUR_ALREADY ? BUR_OK : r;
}

static int refused(struct sim *s, const struct course *c)
{
	int r = note_uid(s, c->row);

	s->all.blocked_nanousd += c->row->amount_nanousd;
	note_first(&s->all, c->row);
	return r == BUR_OK ? note_names(s, c, true, c->row->amount_nanousd) : r;
}

static int blocked(struct sim *s, const struct course *c)
{
	const struct decision *d = &s->decision;
	bool held = d->verdict == VERDICT_HELD;

	s->all.held_back += held;
	s->all.blocked += !held;
	for (size_t i = 0; i < d->n_blocked; i++) {
		struct sim_tally *t = sim_tally_of(s, d->blocked[i].budget);

		t->held_back += d->blocked[i].only_held;
		t->blocked += !d->blocked[i].only_held;
		t->blocked_nanousd += c->row->amount_nanousd;
		note_first(t, c->row);
	}
	return refused(s, c);
}

static void note_bent(struct sim *s, const struct course *c)
{
	struct sim_tally *const degrade[] = {&s->all, c->degrade_by ? sim_tally_of(s, c->degrade_by) : NULL};
	struct sim_tally *const clamp[] = {&s->all, c->clamp_by ? sim_tally_of(s, c->clamp_by) : NULL};

	for (size_t i = 0; c->degrades > 0 && i < ARRAY_LEN(degrade) && degrade[i]; i++) {
		degrade[i]->degraded++;
		degrade[i]->degrade_nanousd += c->degrade_nanousd;
	}
	for (size_t i = 0; c->clamped && i < ARRAY_LEN(clamp) && clamp[i]; i++) {
		clamp[i]->clamped++;
		clamp[i]->clamp_nanousd += c->clamp_nanousd;
	}
}

/* --- another model ------------------------------------------------------------------------------------------------ */

static int64_t scaled(int64_t v, int64_t num, int64_t den)
{
	__int128 r = den > 0 ? ((__int128)v * num + den - 1) / den : v;

	return r > INT64_MAX ? INT64_MAX : (int64_t)r;
}

/* The same tokens at the other model's price; the hold in proportion. False: there is no price for it. */
static bool degrade(struct sim *s, struct course *c)
{
	const struct decision *d = &s->decision;
	struct slice to = slice_of(d->degrade_to);
	int64_t cost;

	if (c->degrades == RUNG_DEGRADES_MAX || sim_cost_as(s, c->row, to, -1, &cost) < 0)
		return false;
	c->worst.nanousd = scaled(c->worst.nanousd, cost, c->actual.nanousd);
	if (c->worst.nanousd < cost)
		c->worst.nanousd = cost;
	c->degrade_nanousd += c->actual.nanousd - cost;
	c->actual.nanousd = cost;
	c->model = to;
	c->degrade_by = d->degrade_by;
	c->degrades++;
	s->facts.v[FACT_MODEL] = to;
	return engine_match(s->engine, &s->facts, &s->match) == BUR_OK;
}

/* --- fewer tokens ------------------------------------------------------------------------------------------------- */

/* How many output tokens the room pays for, by what they cost in this call. */
static int64_t payable(const struct course *c, const struct amounts *room, int64_t input_nanousd, int64_t out_nanousd)
{
	int64_t by_money = TOKEN_FEW_MAX, by_tokens = TOKEN_FEW_MAX;

	if (room->nanousd != INT64_MAX)
		by_money = room->nanousd > input_nanousd
			       ? scaled(room->nanousd - input_nanousd - 1, c->row->output_tokens, out_nanousd)
			       : 0;
	if (room->tokens != INT64_MAX)
		by_tokens = room->tokens - c->row->input_tokens;
	return by_money < by_tokens ? by_money : by_tokens;
}

/* By the input that was billed; the data path knows its bound only, which is more: so this is how many at most. */
static bool clamp(struct sim *s, struct course *c)
{
	const struct decision *d = &s->decision;
	int64_t input, whole, out = c->row->output_tokens, can, cut;

	if (c->tried_clamp || !d->may_clamp || out <= 0 || d->room.nanousd == 0 || d->room.tokens == 0)
		return false;
	c->tried_clamp = true;
	if (sim_cost_as(s, c->row, c->model, 0, &input) < 0 || sim_cost_as(s, c->row, c->model, out, &whole) < 0 ||
	    whole <= input)
		return false;
	can = payable(c, &d->room, input, whole - input);
	if (can < 1 || (uint64_t)can < d->min_out)
		return false;
	cut = can < out ? scaled(whole - input, out - can, out) : 0;
	cut = cut < c->actual.nanousd ? cut : c->actual.nanousd;
	c->actual.nanousd -= cut;
	c->actual.tokens -= can < out ? out - can : 0;
	if (d->room.nanousd != INT64_MAX && d->room.nanousd < c->worst.nanousd)
		c->worst.nanousd = d->room.nanousd;
	if (c->actual.nanousd > c->worst.nanousd)
		c->actual.nanousd = c->worst.nanousd;
	if (c->worst.tokens > c->actual.tokens)
		c->worst.tokens = c->actual.tokens;
	c->clamp_nanousd = cut;
	c->clamp_by = d->n_blocked > 0 ? d->blocked[0].budget : NULL;
	return c->clamped = true;
}

/* --- the hold ----------------------------------------------------------------------------------------------------- */

/* Is there a call that gives back what it holds so soon that this one may not have met it? */
static bool others_end_soon(const struct sim *s, const struct course *c)
{
	int64_t until = c->row->ts_admit_ns + HOLD_SLACK_NS;

	if (c->row->ts_settle_ns < until)
		until = c->row->ts_settle_ns;
	return s->n_flights > 0 && s->flights[0]->at_ns <= until;
}

/* BUR_OK: the hold is taken; BUR_DENIED, BUR_FULL, BUR_OVERFLOW. */
static int climb(struct sim *s, struct course *c, struct hold *ret)
{
	struct decision *d = &s->decision;
	int r;

	for (;;) {
		d->n_events = 0;
		r = engine_reserve(s->engine, &s->match, &c->worst, c->row->ts_admit_ns / NS_PER_S, ret, d);
		if (r != BUR_DENIED)
			return r;
		if (d->verdict == VERDICT_DEGRADE) {
			if (!degrade(s, c))
				rung_leave(s->engine, &s->match, &s->decision, c->degrades >= RUNG_DEGRADES_MAX);
			continue;
		}
		if (d->verdict == VERDICT_HELD && others_end_soon(s, c)) {
			r = sim_settle_first(s);
			if (r < 0)
				return r;
			continue;
		}
		if (!clamp(s, c))
			return BUR_DENIED;
	}
}

/* --- waiting ------------------------------------------------------------------------------------------------------ */

static int64_t throttle(struct sim *s, struct course *c, const struct reached *at)
{
	int64_t delay = rung_delay_ns(at, stable_hash64(c->row->uid, sizeof(c->row->uid)));
	struct sim_tally *t = sim_tally_of(s, at->budget);

	t->throttled += delay > 0;
	t->delay_ns += delay;
	t->worst_delay_ns = delay > t->worst_delay_ns ? delay : t->worst_delay_ns;
	return delay;
}

/* BUR_DENIED: it would have had to wait too long. */
static int pace(struct sim *s, struct course *c, struct sim_flight *f)
{
	const struct decision *d = &s->decision;
	int retry_s = 0, r;

	f->n_claims = pacing_claims_of(d, f->claims);
	if (f->n_claims == 0)
		return BUR_OK;
	r = pacing_take(s->pacing, f->claims, f->n_claims, c->row->ts_admit_ns, &c->delay_ns, &retry_s);
	if (r < 0)
		f->n_claims = 0;
	for (size_t i = 0; r == BUR_OK && c->delay_ns > 0 && i < d->n_reached; i++)
		sim_tally_of(s, d->reached[i].budget)->paced += d->reached[i].step->action == STEP_PACE;
	s->all.paced += c->delay_ns > 0;
	return r;
}

/* The longer of the delays holds. *ret_too_long: the pacing would have had it wait too long. */
static int slow_down(struct sim *s, struct course *c, struct sim_flight *f, bool *ret_too_long)
{
	const struct decision *d = &s->decision;
	int64_t throttled = 0;

	*ret_too_long = false;
	if (d->n_reached == 0)
		return BUR_OK;
	f->claims = calloc(d->n_reached, sizeof(*f->claims));
	if (!f->claims)
		return BUR_NOMEM;
	if (pace(s, c, f) < 0) {
		*ret_too_long = true;
		return BUR_OK;
	}
	for (size_t i = 0; i < d->n_reached; i++)
		if (d->reached[i].step->action == STEP_THROTTLE) {
			int64_t delay = throttle(s, c, &d->reached[i]);

			throttled = delay > throttled ? delay : throttled;
		}
	s->all.throttled += throttled > 0;
	c->delay_ns = throttled > c->delay_ns ? throttled : c->delay_ns;
	s->all.delay_ns += c->delay_ns;
	s->all.worst_delay_ns = c->delay_ns > s->all.worst_delay_ns ? c->delay_ns : s->all.worst_delay_ns;
	return BUR_OK;
}

/* Of several budgets that pace, the data path does not say which one it was: it counts in each. */
static int paced_out(struct sim *s, struct course *c, struct sim_flight *f)
{
	const struct decision *d = &s->decision;
	int r = engine_void(s->engine, &f->hold);

	free(f->claims);
	s->all.paced_out++;
	for (size_t i = 0; i < d->n_reached; i++) {
		struct sim_tally *t = sim_tally_of(s, d->reached[i].budget);

		if (d->reached[i].step->action != STEP_PACE)
			continue;
		t->paced_out++;
		t->blocked_nanousd += c->row->amount_nanousd;
		note_first(t, c->row);
	}
	return r == BUR_OK ? refused(s, c) : r;
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

static int admitted(struct sim *s, struct course *c, struct sim_flight *f)
{
	bool changed = c->degrades > 0 || c->clamped;
	int r = engine_mark_sent(s->engine, &f->hold);

	s->admitted++;
	s->all.would_block += s->decision.n_would_block > 0;
	for (size_t i = 0; i < s->decision.n_would_block; i++)
		sim_tally_of(s, s->decision.would_block[i])->would_block++;
	note_bent(s, c);
	f->at_ns = c->row->ts_settle_ns > c->row->ts_admit_ns ? c->row->ts_settle_ns : c->row->ts_admit_ns;
	f->seq = c->row->seq;
	f->actual = c->actual;
	if (r == BUR_OK && (changed || c->delay_ns > 0))
		r = note_names(s, c, false, c->degrade_nanousd + c->clamp_nanousd);
	if (r == BUR_OK && changed)
		r = note_uid(s, c->row);
	return r == BUR_OK ? sim_fly(s, f) : r;
}

static int hold(struct sim *s, struct course *c)
{
	struct sim_flight f = {0};
	bool too_long = false;
	int r = climb(s, c, &f.hold);

	if (r == BUR_DENIED)
		return blocked(s, c);
	if (r == BUR_FULL || r == BUR_OVERFLOW) {
		s->not_simulated++;
		return BUR_OK;
	}
	if (r == BUR_OK)
		r = slow_down(s, c, &f, &too_long);
	if (r < 0)
		return r;
	if (too_long)
		return paced_out(s, c, &f);
	r = admitted(s, c, &f);
	if (r < 0)
		free(f.claims);
	return r;
}

/* A call without a price under a hard budget. False: it is refused. */
static bool without_price(const struct sim *s, struct course *c)
{
	if (!(c->row->flags & ROW_NO_PRICE) || !s->match.any_hard)
		return true;
	switch (s->match.unknown_model) {
	case UNKNOWN_BLOCK:
		return false;
	case UNKNOWN_FREE:
		c->worst.nanousd = c->actual.nanousd = 0;
		break;
	case UNKNOWN_CHARGE:
		c->worst.nanousd = c->actual.nanousd = s->match.unknown_charge_nanousd;
		break;
	case UNKNOWN_DEFAULT:
		break;
	}
	return true;
}

int sim_call(struct sim *s, const struct ledger_row *row)
{
	struct course c = {.row = row, .actual = sim_used(row), .model = row->model};
	int r = engine_match(s->engine, &s->facts, &s->match);

	s->calls++;
	s->spent_nanousd += row->amount_nanousd;
	/* a call without a bound, as only soft budgets let it pass, held nothing */
	c.worst = c.actual;
	if (row->worst_nanousd > 0)
		c.worst.nanousd = row->worst_nanousd;
	if (r == BUR_NOTFOUND) {
		s->no_budget++;
		return refused(s, &c);
	}
	if (r < 0) {
		s->not_simulated++;
		return BUR_OK;
	}
	if (!without_price(s, &c)) {
		s->price_unknown++;
		return refused(s, &c);
	}
	return hold(s, &c);
}
