/* policy_oracle_ops.h - the operations: each is done to the engine and to the model, and the answers are compared. Only
 * for policy_engine_oracle_test.c. */
#ifndef TESTS_POLICY_ORACLE_OPS_H
#define TESTS_POLICY_ORACLE_OPS_H

#include "tests/unit/policy_oracle_expect.h"

static struct budget_set *set;
static struct engine *engine;
static struct hold engine_holds[HOLDS];

static int counter_of(int budget, int user, int team);
static void engine_begin(void);
static void engine_end(void);

/* --- calls -------------------------------------------------------------------------------------------------------- */

struct call {
	int user, team;
	const char *model;
	bool no_degrade;
};

static struct amounts random_amounts(void)
{
	int64_t limit = 1000;

	for (int i = 0; i < model.n_budgets; i++) {
		if (model.defs[i].unit == UNIT_USD && pick(2))
			limit = model.defs[i].limit;
	}
	if (pick(50) == 0)
		return (struct amounts){between(INT64_MAX - 5, INT64_MAX), between(0, INT64_MAX), 1};
	return (struct amounts){pick(6) ? between(0, limit / between(1, 12)) : 0, pick(4) ? between(0, 300) : 0,
				pick(10) ? 1 : between(0, 3)};
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* The call's counters, in ascending order, as engine_match must find them. */
static int expect_counters(const struct call *c, int *counter)
{
	int n = 0;

	for (int i = 0; i < model.n_budgets; i++) {
		const struct budget *b = &model.defs[i];

		if (b->n_match == 0 || strcmp(b->match[0].value, teams[c->team]) == 0)
			counter[n++] = counter_of(i, c->user, c->team);
	}
	qsort(counter, (size_t)n, sizeof(*counter), by_number);
	return n;
}

static void same_match(const struct match *m, const struct call *c, const int *counter, int n)
{
	bool breaker = false;
	int strictest = -1; /* growing, auto, worst */
	uint64_t max_out = UINT64_MAX;

	SAME(m->n, n);
	for (int i = 0; i < n; i++) {
		const struct budget *b = counter_budget(counter[i]);
		int rank = b->hold == HOLD_WORST ? 2 : b->hold == HOLD_AUTO ? 1 : 0;

		SAME(m->meter[i], counter[i]);
		for (size_t k = 0; k < b->n_steps; k++) {
			SAME(m->degrade[i] >> k & 1, b->steps[k].action == STEP_DEGRADE && b->mode != MODE_SHADOW &&
							 other_model(&b->steps[k], c->model) != NULL);
		}
		breaker = breaker || b->breaker.on;
		if (b->mode == MODE_HARD && rank > strictest)
			strictest = rank;
		if (b->mode != MODE_SHADOW && b->default_max_out > 0 && b->default_max_out < max_out)
			max_out = b->default_max_out;
	}
	SAME(m->has_breaker, breaker);
	SAME(m->hold, strictest == 2 ? HOLD_WORST : strictest == 0 ? HOLD_GROWING : HOLD_AUTO);
	SAME(m->default_max_out, max_out == UINT64_MAX ? 0 : max_out);
}

/* False: no budget matches, and the engine says so. */
static bool match_call(const struct call *c, struct match *m, int *counter, int *ret_n)
{
	struct facts f = facts_of(users[c->user], teams[c->team]);
	int r;

	*ret_n = expect_counters(c, counter);
	f.v[FACT_MODEL] = slice_of(c->model);
	r = engine_match(engine, &f, m);
	SAME(r, *ret_n == 0 && model.deny ? BUR_NOTFOUND : BUR_OK);
	if (r < 0)
		return false;
	same_match(m, c, counter, *ret_n);
	if (c->no_degrade)
		memset(m->degrade, 0, sizeof(m->degrade));
	return true;
}

/* A call is counted once in each shadow budget that would have refused it. */
static void remember_would_block(struct model_hold *h, const struct expected *x)
{
	for (int k = 0; k < h->n; k++) {
		if (!x->would_block[k] || h->would_block[k])
			continue;
		h->would_block[k] = true;
		fix_of(h->counter[k], is_rolling(h->counter[k]) ? counter_window(h->counter[k]) : h->window[k])
		    ->would_block++;
	}
}

/* The windows of now; those of shadow budgets that have no room for another one are left out. False: another has no
 * room. */
static bool windows_of(struct model_hold *h, const int *counter, int n)
{
	bool room = true;

	h->n = 0;
	for (int i = 0; i < n; i++) {
		if (stuck(counter[i]) && counter_budget(counter[i])->mode == MODE_SHADOW)
			continue;
		room = room && !stuck(counter[i]);
		h->would_block[h->n] = false;
		h->counter[h->n] = counter[i];
		h->window[h->n++] = counter_window(counter[i]);
	}
	return room;
}

/* Asks once. Returns the engine's answer, or BUR_INVALID when there was nothing to ask. */
static int ask(const struct call *c, struct amounts worst, bool preview, struct decision *d)
{
	struct model_hold *h = &model.holds[model.n_holds];
	struct ask a = {.kind = preview ? ASK_PREVIEW : ASK_RESERVE, .need = worst};
	int64_t now = model.now - (pick(20) ? 0 : between(0, DAY_S));
	int counter[BUDGETS], n, r;
	struct expected x;
	struct match m;
	bool room;

	REQUIRE(model.n_holds < HOLDS);
	tell("%s by %s of %s, model %s%s: %lld nano-USD, %lld tokens, %lld requests\n", preview ? "preview" : "reserve",
	     users[c->user], teams[c->team], c->model, c->no_degrade ? " and no other" : "", (long long)worst.nanousd,
	     (long long)worst.tokens, (long long)worst.requests);
	if (!match_call(c, &m, counter, &n))
		return BUR_INVALID;
	room = windows_of(h, counter, n);
	r = BUR_DENIED;
	if (preview)
		r = engine_preview(engine, &m, &worst, now, d);
	else if (worst.nanousd % 2 == 0) /* tried first: a refusal leaves no trace */
		r = engine_try(engine, &m, &worst, now, &engine_holds[model.n_holds], d);
	if (!preview && r == BUR_DENIED)
		r = engine_reserve(engine, &m, &worst, now, &engine_holds[model.n_holds], d);
	if (!room) {
		SAME(r, BUR_FULL);
		return BUR_INVALID;
	}
	a.n = h->n;
	a.counter = h->counter;
	a.window = h->window;
	a.model = c->no_degrade ? NULL : c->model;
	x = expect_take(&a);
	SAME(r, x.result);
	if (r != BUR_OVERFLOW)
		same_decision(d, &a, &x);
	if (r == BUR_OK && !preview) {
		h->state = HOLD_RESERVED;
		h->worst = worst;
		remember_would_block(h, &x);
		tell("  hold %d\n", model.n_holds);
		model.n_holds++;
	}
	return r;
}

static void op_reserve(bool only_preview)
{
	struct call c = {.user = pick(3), .team = pick(2), .model = models[pick(4)], .no_degrade = pick(8) == 0};
	struct amounts worst = random_amounts();
	struct decision d;

	if (only_preview || pick(8) == 0)
		(void)ask(&c, worst, true, &d);
	for (int i = 0; i < 4 && !only_preview; i++) {
		if (ask(&c, worst, false, &d) != BUR_DENIED || d.verdict != VERDICT_DEGRADE)
			return;
		if (i < 2 && pick(3)) { /* the other model, which is cheaper */
			c.model = d.degrade_to;
			worst.nanousd /= between(1, 4);
		} else {
			c.no_degrade = true;
		}
	}
}

/* --- the life of a hold ------------------------------------------------------------------------------------------- */

static void op_mark_sent(int i)
{
	struct model_hold *h = &model.holds[i];

	tell("sent: hold %d\n", i);
	SAME(engine_mark_sent(engine, &engine_holds[i]), h->state == HOLD_RESERVED ? BUR_OK : BUR_ALREADY);
	if (h->state == HOLD_RESERVED)
		h->state = HOLD_SENT;
}

static void op_extend(int i)
{
	struct model_hold *h = &model.holds[i];
	struct amounts more = random_amounts();
	struct ask a = {ASK_EXTEND, h->n, h->counter, h->window, more, h->worst, NULL};
	struct decision d;
	struct expected x;
	int r;

	tell("extend hold %d by %lld nano-USD, %lld tokens, %lld requests\n", i, (long long)more.nanousd,
	     (long long)more.tokens, (long long)more.requests);
	r = engine_extend(engine, &engine_holds[i], &more, model.now, &d);
	if (h->state != HOLD_SENT) {
		SAME(r, BUR_ALREADY);
		return;
	}
	if ((i128)h->worst.nanousd + more.nanousd > INT64_MAX || (i128)h->worst.tokens + more.tokens > INT64_MAX) {
		SAME(r, BUR_OVERFLOW);
		return;
	}
	x = expect_take(&a);
	SAME(r, x.result);
	if (r != BUR_OVERFLOW)
		same_decision(&d, &a, &x);
	if (r == BUR_OK) {
		h->worst.nanousd += more.nanousd;
		h->worst.tokens += more.tokens;
		h->worst.requests += more.requests;
		remember_would_block(h, &x);
	}
}

static void op_shrink(int i)
{
	struct model_hold *h = &model.holds[i];
	struct amounts less = {between(0, h->worst.nanousd), between(0, h->worst.tokens),
			       between(0, h->worst.requests)};
	bool odd = pick(8) == 0;
	int r;

	if (odd)
		less.requests = h->worst.requests + 1;
	tell("shrink hold %d by %lld nano-USD, %lld tokens, %lld requests\n", i, (long long)less.nanousd,
	     (long long)less.tokens, (long long)less.requests);
	r = engine_shrink(engine, &engine_holds[i], &less);
	SAME(r, !is_open(h) ? BUR_ALREADY : odd ? BUR_INVALID : BUR_OK);
	if (r == BUR_OK) {
		h->worst.nanousd -= less.nanousd;
		h->worst.tokens -= less.tokens;
		h->worst.requests -= less.requests;
	}
}

/* Equal, higher, or lower. */
static int64_t bill(int64_t worst, int kind)
{
	if (kind == 0)
		return worst;
	if (kind == 1)
		return worst > INT64_MAX - 500 ? worst : worst + between(0, 500);
	return between(0, worst);
}

static bool bill_overflows(const struct model_hold *h, struct amounts actual)
{
	for (int k = 0; k < h->n; k++) {
		enum amount_unit unit = counter_budget(h->counter[k])->unit;
		struct sums s = count(h->counter[k], h->window[k]);

		if (!posted_there(h->counter[k], h->window[k], h->window[k]))
			continue; /* its bucket has left */
		if (s.posted + s.held - of_unit(h->worst, unit) + of_unit(actual, unit) > INT64_MAX)
			return true;
	}
	return false;
}

static void op_settle(int i)
{
	struct model_hold *h = &model.holds[i];
	int kind = pick(6);
	struct amounts actual = {bill(h->worst.nanousd, kind), bill(h->worst.tokens, kind),
				 bill(h->worst.requests, kind)};
	struct expected x = {.n_events = 0};
	struct settlement s;
	int r;

	tell("settle hold %d at %lld nano-USD, %lld tokens, %lld requests\n", i, (long long)actual.nanousd,
	     (long long)actual.tokens, (long long)actual.requests);
	r = engine_settle(engine, &engine_holds[i], &actual, &s);
	if (h->state != HOLD_SENT) {
		SAME(r, h->state == HOLD_RESERVED ? BUR_INVALID : BUR_ALREADY);
		return;
	}
	SAME(r, bill_overflows(h, actual) ? BUR_OVERFLOW : BUR_OK);
	if (r < 0)
		return;
	h->state = HOLD_SETTLED;
	h->actual = actual;
	SAME(s.overrun.nanousd, actual.nanousd > h->worst.nanousd ? actual.nanousd - h->worst.nanousd : 0);
	SAME(s.overrun.tokens, actual.tokens > h->worst.tokens ? actual.tokens - h->worst.tokens : 0);
	SAME(s.overrun.requests, actual.requests > h->worst.requests ? actual.requests - h->worst.requests : 0);
	for (int k = 0; k < h->n; k++) {
		struct sums sums = count(h->counter[k], h->window[k]);

		expect_alerts(&x, h->counter[k], h->window[k], &sums, 0);
	}
	same_events(s.events, s.n_events, &x);
}

static void op_void(int i)
{
	struct model_hold *h = &model.holds[i];

	tell("void hold %d\n", i);
	SAME(engine_void(engine, &engine_holds[i]), is_open(h) ? BUR_OK : BUR_ALREADY);
	if (is_open(h))
		h->state = HOLD_VOIDED;
}

/* --- time --------------------------------------------------------------------------------------------------------- */

static void op_time(void)
{
	int64_t end, boundary, before = model.now;

	(void)window_start(&model.defs[pick(model.n_budgets)], model.now, &end);
	boundary = end == INT64_MAX ? model.now + HOUR_S : end;
	switch (pick(6)) {
	case 0:
		model.now = boundary - 1;
		break;
	case 1:
		model.now = boundary;
		break;
	case 2:
		model.now = boundary + 1;
		break;
	case 3:
		model.now += between(0, 3 * DAY_S);
		break;
	default:
		model.now += between(0, 600);
	}
	tell("%lld s go by\n", (long long)(model.now - before));
}

/* --- the store's side --------------------------------------------------------------------------------------------- */

static int restore(int c, int64_t window, int64_t end, int64_t posted, int64_t credit, uint32_t mask)
{
	return engine_restore(engine, slice_of(counter_budget(c)->name), scope_of(c), window, end, posted, credit, mask,
			      model.now);
}

static void op_restore(void)
{
	int c = pick(COUNTERS);
	int64_t start, end, posted = between(0, 50), credit = between(-5, 50);
	uint32_t mask = pick(4) ? 0 : 1u << pick(3);
	bool wrong = pick(4) == 0;
	struct sums s;
	int r;

	if (model.n_counters == 0)
		return;
	c %= model.n_counters;
	start = window_start(counter_budget(c), model.now, &end);
	if (is_rolling(c)) { /* any bucket that counts, or one just outside */
		int64_t bucket = counter_budget(c)->rolling_s / 60;

		end = INT64_MAX;
		start -= (wrong ? 61 : between(0, 60)) * bucket - (wrong && pick(2) ? 62 * bucket + 1 : 0);
	}
	tell("restore counter %d from %lld: posted %lld, credit %lld, mask %x%s\n", c, (long long)start,
	     (long long)posted, (long long)credit, mask, wrong ? ", wrongly" : "");
	r = restore(c, start - wrong, wrong ? model.now : end, posted, credit, mask);
	if (wrong || stuck(c)) {
		SAME(r, wrong ? BUR_NOTFOUND : BUR_FULL);
		return;
	}
	s = count(c, start);
	SAME(r, s.posted + s.held + posted > INT64_MAX ? BUR_OVERFLOW : BUR_OK);
	if (r < 0)
		return;
	fix_of(c, start)->posted += posted;
	fix_of(c, start)->credit += credit;
	fix_of(c, start)->mask |= mask;
}

/* The row of one window or bucket, as the store would have it: without the credits that are granted again. */
static void restore_row(int c, int64_t window)
{
	const struct fix *f = fix_of(c, window);
	int64_t end, credit = f->credit;

	(void)window_start(counter_budget(c), window, &end);
	for (int i = 0; i < model.n_credits[c]; i++) {
		if (model.credits[c][i].window == window)
			credit -= model.credits[c][i].left;
	}
	SAME(restore(c, window, is_rolling(c) ? INT64_MAX : end, (int64_t)posted_in(c, window), credit, f->mask),
	     BUR_OK);
}

static void restore_counter(int c)
{
	int64_t now_in = counter_window(c), bucket = counter_budget(c)->rolling_s / 60;
	struct engine_change change;

	restore_row(c, now_in);
	for (int i = 1; i <= 60 && bucket > 0; i++)
		restore_row(c, now_in - i * bucket);
	for (int i = 0; i < model.n_credits[c]; i++) {
		const struct model_credit *k = &model.credits[c][i];
		struct engine_credit credit = {k->left, k->expires, k->carry};

		SAME(engine_credit(engine, slice_of(counter_budget(c)->name), scope_of(c), &credit, model.now, &change),
		     BUR_OK);
	}
}

/* Everything is forgotten but the books: what was sent is taken to have cost its worst case, the rest never was. */
static void op_restart(void)
{
	for (int c = 0; c < model.n_counters; c++) {
		if (stuck(c))
			return;
	}
	tell("restart\n");
	for (int i = 0; i < model.n_holds; i++) {
		struct model_hold *h = &model.holds[i];

		if (!is_open(h))
			continue;
		h->actual = h->worst;
		h->state = engine_holds[i].state = h->state == HOLD_SENT ? HOLD_SETTLED : HOLD_VOIDED;
	}
	for (int i = 0; i < model.n_fixes; i++)
		model.fixes[i].would_block = 0;
	engine_end();
	engine_begin();
	for (int c = 0; c < model.n_counters; c++)
		restore_counter(c);
}

/* A correction of what was spent in the window of some hold: a late bill, or a refund. */
static void op_post(int i)
{
	const struct model_hold *h = &model.holds[i];
	int k = h->n > 0 ? pick(h->n) : 0, c = h->n > 0 ? h->counter[k] : 0;
	int64_t delta = between(-60, 60);
	struct sums s;
	bool there;
	int r;

	if (h->n == 0)
		return;
	s = count(c, h->window[k]);
	there = is_rolling(c)                       ? bucket_counts(counter_budget(c), h->window[k])
		: h->window[k] == counter_window(c) ? !stuck(c) || s.open > 0
						    : s.open > 0;
	tell("post %lld to counter %d, window %lld\n", (long long)delta, c, (long long)h->window[k]);
	r = engine_post(engine, meter_uid_of(c), h->window[k], delta);
	if (!there) {
		SAME(r, BUR_NOTFOUND);
		return;
	}
	SAME(r, s.posted + delta < 0 || s.posted + delta + s.held > INT64_MAX || posted_in(c, h->window[k]) + delta < 0
		    ? BUR_OVERFLOW
		    : BUR_OK);
	if (r == BUR_OK)
		fix_of(c, h->window[k])->posted += delta;
}

/* --- by hand ------------------------------------------------------------------------------------------------------ */

static void op_limit(void)
{
	struct budget *b = &model.defs[pick(model.n_budgets)];
	int64_t most = b->limit < INT64_MAX / 2 ? b->limit : INT64_MAX / 2; /* raised over and over it would overflow */
	int64_t limit = pick(10) ? b->limit / 2 + between(1, pick(2) ? 400 : most) : 0;
	struct engine_change change;
	int r;

	tell("limit of %s: %lld\n", b->name, (long long)limit);
	r = engine_set_limit(engine, slice_of(b->name), limit, &change);
	SAME(r, limit > 0 ? BUR_OK : BUR_INVALID);
	if (r < 0)
		return;
	SAME(change.before, b->limit);
	SAME(change.after, limit);
	b->limit = limit;
}

static int64_t random_expiry(int c)
{
	int64_t end = window_end(c, counter_window(c)), about = end == INT64_MAX ? model.now + DAY_S : end;

	switch (pick(6)) {
	case 0:
		return INT64_MAX;
	case 1:
		return about + between(-1, 1);
	case 2:
		return about + between(0, 3 * DAY_S);
	default:
		return model.now + between(pick(6) ? 1 : -1, 2 * HOUR_S);
	}
}

static void op_credit(int c)
{
	struct engine_credit k = {pick(8) ? between(1, 60) : between(-5, 0), random_expiry(c), pick(3) == 0};
	int64_t window = counter_window(c), end = window_end(c, window);
	bool lasts = !k.carry_over && k.expires_s >= end; /* to the end of the window */
	struct engine_change change;
	struct sums s;
	int r;

	tell("credit for counter %d: %lld until %lld%s\n", c, (long long)k.amount, (long long)k.expires_s,
	     k.carry_over ? ", carried over" : "");
	r = engine_credit(engine, slice_of(counter_budget(c)->name), scope_of(c), &k, model.now, &change);
	if (k.amount <= 0 || (k.carry_over && is_rolling(c))) {
		SAME(r, BUR_INVALID);
		return;
	}
	if (stuck(c) || k.expires_s <= model.now) {
		SAME(r, stuck(c) ? BUR_FULL : BUR_INVALID);
		return;
	}
	if (!lasts && model.n_credits[c] == CREDITS) {
		SAME(r, BUR_FULL);
		return;
	}
	SAME(r, BUR_OK);
	s = count(c, window);
	SAME(change.before, s.credit);
	SAME(change.after, s.credit + k.amount);
	SAME(change.win_start, window);
	SAME(change.win_end, end);
	if (planted)
		return;
	fix_of(c, window)->credit += k.amount;
	if (!lasts)
		credit_put(c, (struct model_credit){k.amount, k.expires_s, window, k.carry_over});
}

static void op_adjust(int c)
{
	int64_t window = counter_window(c), delta = between(-30, 60);
	struct engine_change change;
	struct sums s = count(c, window);
	int r;

	tell("charge %lld to counter %d\n", (long long)delta, c);
	r = engine_adjust(engine, slice_of(counter_budget(c)->name), scope_of(c), delta, model.now, &change);
	if (stuck(c)) {
		SAME(r, BUR_FULL);
		return;
	}
	SAME(r, posted_in(c, window) + delta < 0 || s.posted + s.held + delta > INT64_MAX ? BUR_OVERFLOW : BUR_OK);
	SAME(change.before, s.posted);
	if (r < 0)
		return;
	SAME(change.after, s.posted + delta);
	fix_of(c, window)->posted += delta;
}

#endif
