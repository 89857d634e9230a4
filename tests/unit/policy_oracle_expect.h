/* policy_oracle_expect.h - what the engine must answer, by the model; comparing both. Only for
 * policy_engine_oracle_test.c. */
#ifndef TESTS_POLICY_ORACLE_EXPECT_H
#define TESTS_POLICY_ORACLE_EXPECT_H

#include "tests/unit/policy_oracle_model.h"

/* --- the model's decision ----------------------------------------------------------------------------------------- */

enum asking { ASK_RESERVE, ASK_PREVIEW, ASK_EXTEND };

/* Who wants how much in which windows; `own` is what the same call holds there already. */
struct ask {
	enum asking kind;
	int n;
	const int *counter;
	const int64_t *window;
	struct amounts need, own;
	const char *model; /* NULL: the ladder's degrade rung was taken away */
};

struct expected_event {
	const struct budget *budget;
	int64_t at_ppm, window, posted, held, need;
	enum step_action action;
	uint32_t mask;
};

struct expected_reached {
	int place;
	size_t step;
	i128 u_ppm;
};

struct expected {
	int result, n_blocked, n_events, n_reached;
	enum engine_verdict verdict;
	int blocked[BUDGETS]; /* places */
	struct sums before[BUDGETS];
	bool only_held[BUDGETS], over_budget, would_block[BUDGETS], may_clamp;
	int n_would_block;
	const char *tightest, *degrade_to;
	int degrade_by; /* place */
	size_t degrade_step;
	i128 tightest_left, room[UNIT_REQUESTS + 1];
	uint64_t min_out;
	struct expected_event events[BUDGETS * STEPS_MAX];
	struct expected_reached reached[2 * BUDGETS];
};

static int64_t want_of(const struct ask *a, int place)
{
	return of_unit(a->need, counter_budget(a->counter[place])->unit);
}

static i128 left_of(const struct ask *a, const struct expected *x, int place)
{
	const struct sums *s = &x->before[place];

	return hard_limit(counter_budget(a->counter[place])) + s->credit - s->posted - s->held;
}

/* u of the rule, this call counted in. */
static i128 use_ppm(const struct ask *a, const struct expected *x, int place)
{
	return (x->before[place].posted + x->before[place].held + want_of(a, place)) * 1000000 /
	       counter_budget(a->counter[place])->limit;
}

static void expect_step(struct expected *x, int counter, int64_t window, struct sums *s, size_t step, int64_t need)
{
	const struct budget *b = counter_budget(counter);
	uint32_t bit = 1u << step;

	if (s->mask & bit)
		return;
	s->mask |= bit;
	if (b->rolling_s > 0)
		window = counter_window(counter); /* told in the bucket of now, wherever the hold belongs */
	fix_of(counter, window)->mask |= bit;
	x->events[x->n_events++] = (struct expected_event){.budget = b,
							   .at_ppm = b->steps[step].at_ppm,
							   .window = window,
							   .posted = (int64_t)s->posted,
							   .held = (int64_t)s->held,
							   .need = need,
							   .action = b->steps[step].action,
							   .mask = fix_of(counter, window)->mask};
}

static void expect_alerts(struct expected *x, int counter, int64_t window, struct sums *s, int64_t need)
{
	const struct budget *b = counter_budget(counter);

	for (size_t i = 0; i < b->n_steps; i++) {
		i128 u_ppm = (s->posted + s->held + need) * 1000000 / b->limit;

		if (b->steps[i].action == STEP_ALERT && u_ppm >= b->steps[i].at_ppm)
			expect_step(x, counter, window, s, i, need);
	}
}

static void expect_block_event(struct expected *x, int counter, int64_t window, struct sums *s, int64_t need)
{
	const struct budget *b = counter_budget(counter);

	for (size_t i = 0; i < b->n_steps; i++) {
		if (b->steps[i].action == STEP_BLOCK) {
			expect_step(x, counter, window, s, i, need);
			return;
		}
	}
}

static void expect_blocks(struct expected *x, const struct ask *a)
{
	for (int i = 0; i < a->n; i++) {
		const struct budget *b = counter_budget(a->counter[i]);
		struct sums s = x->before[i] = count(a->counter[i], a->window[i]);
		int64_t want = want_of(a, i);
		i128 limit = hard_limit(b) + s.credit;

		x->would_block[i] = b->mode == MODE_SHADOW && want > 0 && s.posted + s.held + want > limit;
		if (b->mode == MODE_HARD && want > 0 && s.posted + s.held + want > limit) {
			x->only_held[x->n_blocked] = s.posted + of_unit(a->own, b->unit) + want <= limit;
			x->blocked[x->n_blocked++] = i;
			x->result = BUR_DENIED;
		} else if (s.posted + s.held + want > INT64_MAX) {
			x->result = BUR_OVERFLOW;
			return;
		}
	}
	for (int i = 0; i < x->n_blocked; i++) {
		if (!x->only_held[i])
			x->verdict = VERDICT_SPENT;
		else if (x->verdict == VERDICT_ALLOW)
			x->verdict = VERDICT_HELD;
	}
}

/* --- its ladder --------------------------------------------------------------------------------------------------- */

static bool pattern_fits(const char *pattern, const char *name)
{
	const char *star = strchr(pattern, '*');

	return star ? strncmp(pattern, name, (size_t)(star - pattern)) == 0 : strcmp(pattern, name) == 0;
}

/* The other model of this step for this one; NULL: it has none. */
static const char *other_model(const struct budget_step *s, const char *name)
{
	for (size_t i = 0; i < s->n_map; i++) {
		if (pattern_fits(s->map[i].from, name) && strcmp(s->map[i].to, name) != 0)
			return s->map[i].to;
	}
	return NULL;
}

/* The highest step of that kind on which the call stands, STEPS_MAX: none. */
static size_t stands_on(const struct ask *a, const struct expected *x, int place, enum step_action action)
{
	const struct budget *b = counter_budget(a->counter[place]);
	size_t found = STEPS_MAX;

	if (want_of(a, place) == 0)
		return found;
	for (size_t i = 0; i < b->n_steps; i++) {
		if (b->steps[i].action != action || use_ppm(a, x, place) < b->steps[i].at_ppm)
			continue;
		if (action != STEP_DEGRADE || (a->model && other_model(&b->steps[i], a->model)))
			found = i;
	}
	return found;
}

static void expect_degrade(struct expected *x, const struct ask *a)
{
	for (int i = 0; i < a->n; i++) {
		const struct budget *b = counter_budget(a->counter[i]), *best;
		size_t step = b->mode == MODE_SHADOW ? STEPS_MAX : stands_on(a, x, i, STEP_DEGRADE);

		if (step == STEPS_MAX)
			continue;
		best = x->degrade_to ? counter_budget(a->counter[x->degrade_by]) : NULL;
		if (best && (b->unit > best->unit ||
			     (b->unit == best->unit && left_of(a, x, i) >= left_of(a, x, x->degrade_by))))
			continue;
		x->degrade_to = other_model(&b->steps[step], a->model);
		x->degrade_by = i;
		x->degrade_step = step;
	}
	if (x->degrade_to) {
		x->verdict = VERDICT_DEGRADE;
		x->result = BUR_DENIED;
	}
}

static void expect_clamp(struct expected *x, const struct ask *a)
{
	x->may_clamp = x->n_blocked > 0 && a->kind != ASK_EXTEND;
	for (int i = 0; i < x->n_blocked; i++) {
		const struct budget *b = counter_budget(a->counter[x->blocked[i]]);
		size_t step = stands_on(a, x, x->blocked[i], STEP_CLAMP);
		i128 left = left_of(a, x, x->blocked[i]);

		left = left < 0 ? 0 : left;
		if (left < x->room[b->unit])
			x->room[b->unit] = left;
		if (step == STEPS_MAX || b->unit == UNIT_REQUESTS)
			x->may_clamp = false;
		else if (b->steps[step].min_out > x->min_out)
			x->min_out = b->steps[step].min_out;
	}
	if (!x->may_clamp)
		x->min_out = 0;
}

static void expect_reached(struct expected *x, const struct ask *a)
{
	static const enum step_action kinds[] = {STEP_THROTTLE, STEP_PACE};

	for (int i = 0; i < a->n; i++) {
		for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
			size_t step = stands_on(a, x, i, kinds[k]);

			if (step == STEPS_MAX || counter_budget(a->counter[i])->mode == MODE_SHADOW)
				continue;
			x->reached[x->n_reached++] = (struct expected_reached){i, step, use_ppm(a, x, i)};
		}
	}
}

static void expect_events(struct expected *x, const struct ask *a)
{
	for (int i = 0; i < a->n; i++) {
		int64_t want = want_of(a, i);
		struct sums s = x->before[i];
		bool refuses = x->would_block[i] && x->result == BUR_OK;

		expect_alerts(x, a->counter[i], a->window[i], &s, x->result == BUR_OK ? want : 0);
		for (int k = 0; k < x->n_blocked && x->verdict != VERDICT_DEGRADE; k++)
			refuses = refuses || x->blocked[k] == i;
		if (refuses)
			expect_block_event(x, a->counter[i], a->window[i], &s, want);
	}
}

static struct expected expect_take(const struct ask *a)
{
	struct expected x = {.result = BUR_OK, .verdict = VERDICT_ALLOW, .room = {INT64_MAX, INT64_MAX, INT64_MAX}};

	expect_blocks(&x, a);
	if (x.result == BUR_OVERFLOW)
		return x;
	expect_clamp(&x, a);
	if (a->kind != ASK_EXTEND)
		expect_degrade(&x, a);
	if (x.result == BUR_OK && a->kind != ASK_EXTEND)
		expect_reached(&x, a);
	if (a->kind != ASK_PREVIEW)
		expect_events(&x, a);
	for (int i = 0; i < a->n; i++) {
		const struct budget *b = counter_budget(a->counter[i]);
		i128 left = left_of(a, &x, i) - (x.result == BUR_OK ? want_of(a, i) : 0);

		x.n_would_block += x.would_block[i] && x.result == BUR_OK;
		if (b->mode == MODE_SOFT && left < 0)
			x.over_budget = true;
		if (b->mode != MODE_SHADOW && b->unit == UNIT_USD && (!x.tightest || left < x.tightest_left)) {
			x.tightest = b->name;
			x.tightest_left = left;
		}
	}
	return x;
}

/* --- comparing decisions ------------------------------------------------------------------------------------------ */

static i128 at_most(i128 v)
{
	return v > INT64_MAX ? INT64_MAX : v;
}

static void same_events(const struct engine_event *got, size_t n, const struct expected *x)
{
	SAME(n, x->n_events);
	for (int i = 0; i < x->n_events; i++) {
		const struct expected_event *want = &x->events[i];

		SAME(strcmp(got[i].budget->name, want->budget->name), 0);
		SAME(got[i].at_ppm, want->at_ppm);
		SAME(got[i].action, want->action);
		SAME(got[i].win_start, want->window);
		SAME(got[i].posted, want->posted);
		SAME(got[i].held, want->held);
		SAME(got[i].need, want->need);
		SAME(got[i].limit, want->budget->limit);
		SAME(got[i].warned_mask, want->mask);
	}
}

static void same_blocked(const struct blocked *got, const struct ask *a, const struct expected *x, int nth)
{
	int place = x->blocked[nth], c = a->counter[place];
	const struct sums *s = &x->before[place];

	SAME(strcmp(got->budget->name, counter_budget(c)->name), 0);
	SAME(got->posted, s->posted);
	SAME(got->held, s->held);
	SAME(got->need, want_of(a, place));
	SAME(got->limit, at_most(hard_limit(counter_budget(c)) + s->credit));
	SAME(got->only_held, x->only_held[nth]);
	if (!is_rolling(c))
		SAME(got->win_end, window_end(c, a->window[place]));
}

static void same_reached(const struct reached *got, const struct ask *a, const struct expected *x, int nth)
{
	const struct expected_reached *want = &x->reached[nth];
	int c = a->counter[want->place];
	const struct sums *s = &x->before[want->place];

	SAME(strcmp(got->budget->name, counter_budget(c)->name), 0);
	SAME(got->step - got->budget->steps, want->step);
	SAME(got->uid, meter_uid_of(c));
	SAME(got->meter, c);
	SAME(got->u_ppm, at_most(want->u_ppm));
	SAME(got->limit, at_most(hard_limit(counter_budget(c)) + s->credit));
	SAME(got->posted, s->posted);
	SAME(got->held, s->held);
	SAME(got->need, want_of(a, want->place));
	SAME(got->now_s, model.now);
	SAME(got->win_start, a->window[want->place]);
	SAME(got->win_end, window_end(c, a->window[want->place]));
}

static void same_ladder(const struct decision *d, const struct ask *a, const struct expected *x)
{
	SAME(d->degrade_to != NULL, x->degrade_to != NULL);
	if (x->degrade_to) {
		SAME(strcmp(d->degrade_to, x->degrade_to), 0);
		SAME(strcmp(d->degrade_by->name, counter_budget(a->counter[x->degrade_by])->name), 0);
		SAME(d->degrade_step - d->degrade_by->steps, x->degrade_step);
	}
	SAME(d->may_clamp, x->may_clamp);
	SAME(d->min_out, x->min_out);
	SAME(d->room.nanousd, x->room[UNIT_USD]);
	SAME(d->room.tokens, x->room[UNIT_TOKENS]);
	SAME(d->room.requests, x->room[UNIT_REQUESTS]);
	SAME(d->n_reached, x->n_reached);
	for (int i = 0; i < x->n_reached; i++)
		same_reached(&d->reached[i], a, x, i);
}

static void same_decision(const struct decision *d, const struct ask *a, const struct expected *x)
{
	SAME(d->verdict, x->verdict);
	SAME(d->n_blocked, x->n_blocked);
	SAME(d->n_would_block, x->n_would_block);
	SAME(d->over_budget, x->over_budget);
	SAME(d->tightest != NULL, x->tightest != NULL);
	if (x->tightest) {
		SAME(strcmp(d->tightest->name, x->tightest), 0);
		SAME(d->tightest_left_nanousd, at_most(x->tightest_left));
	}
	for (int i = 0; i < x->n_blocked; i++)
		same_blocked(&d->blocked[i], a, x, i);
	same_ladder(d, a, x);
	same_events(d->events, d->n_events, x);
}

/* --- comparing counters ------------------------------------------------------------------------------------------- */

static void same_view(const struct meter_view *v, int counter, int64_t window, bool closing)
{
	struct sums s = count(counter, window);

	SAME(strcmp(v->scope, model.scopes[counter]), 0);
	SAME(strcmp(v->budget->name, counter_budget(counter)->name), 0);
	SAME(v->win_start, window - counter_budget(counter)->rolling_s);
	SAME(v->limit, counter_budget(counter)->limit);
	SAME(v->posted, s.posted);
	SAME(v->held, s.held);
	SAME(v->credit, s.credit);
	SAME(v->warned_mask, s.mask);
	SAME(v->would_block, s.would_block);
	SAME(v->closing, closing);
}

/* Every window of every counter. */
static void same_state(struct engine *e)
{
	static struct meter_view views[COUNTERS * (WINDOWS_OPEN_MAX + 1)];
	size_t n, at = 0, open = 0;

	model_tick();
	n = engine_snapshot(e, model.now, views, ARRAY_LEN(views));
	REQUIRE(n <= ARRAY_LEN(views));
	for (int c = 0; c < model.n_counters; c++) {
		int64_t windows[HOLDS];
		int others = other_windows(c, windows);
		size_t here = (size_t)others + (others < WINDOWS_OPEN_MAX), found = 0;

		/* The engine lists a counter's windows in no promised order. */
		for (size_t i = at; i < at + here && i < n; i++) {
			int64_t shown = views[i].win_start + counter_budget(c)->rolling_s;

			if (others < WINDOWS_OPEN_MAX && shown == counter_window(c)) {
				same_view(&views[i], c, counter_window(c), false);
				found++;
			}
			for (int w = 0; w < others; w++) {
				if (views[i].win_start == windows[w]) {
					same_view(&views[i], c, windows[w], true);
					found++;
				}
			}
		}
		SAME(found, here);
		at += here;
	}
	SAME(n, at);
	for (int i = 0; i < model.n_holds; i++)
		open += is_open(&model.holds[i]);
	SAME(engine_open_holds(e), open);
	engine_check(e);
}

#endif
