/* The engine against a model that is too simple to be wrong: lists of holds and corrections, everything else counted
 * anew at each step. Random budgets, random operations; counters, decisions and events are compared after every one.
 *
 * BURSAR_ORACLE_OPS=n operations per run (default 300000), BURSAR_ORACLE_SEED=n for the second run. A failure prints
 * the seed and the step; the same seed gives the same run. */
#include "tests/unit/policy_build.h"

#include <time.h>

#define OPS_DEFAULT 300000
#define EPISODE_OPS 150
#define BUDGETS 5
#define COUNTERS 32 /* five budgets by three users and two teams are 30 */
#define HOLDS (EPISODE_OPS + 1)
#define FIXES 32
#define WINDOWS_OPEN_MAX 8

typedef __int128 i128;

/* --- random numbers ----------------------------------------------------------------------------------------------- */

static uint64_t run_seed, rng;
static long step_no;

static uint64_t next_random(void)
{
	uint64_t z = rng += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static int pick(int n)
{
	return (int)(next_random() % (uint64_t)n);
}

static int64_t between(int64_t low, int64_t high)
{
	return low + (int64_t)(next_random() % ((uint64_t)(high - low) + 1));
}

#define SAME(a, b)                                                                                                     \
	do {                                                                                                           \
		i128 a_ = (a), b_ = (b);                                                                               \
		if (a_ != b_)                                                                                          \
			fail_msg("seed %llu step %ld: %s is %lld, model says %s = %lld", (unsigned long long)run_seed, \
				 step_no, #a, (long long)a_, #b, (long long)b_);                                       \
	} while (0)

/* --- the model ---------------------------------------------------------------------------------------------------- */

static const char *const users[] = {"ann", "bob", "cy"};
static const char *const teams[] = {"red", "blue"};

/* A counter: a budget and the values of its `per`; -1 = not part of it. */
struct counter {
	int budget, user, team;
};

/* The model of one hold: what it asked for and, for each of its counters, the window it was taken in. */
struct model_hold {
	enum hold_state state;
	struct amounts worst, actual;
	int n, counter[BUDGETS];
	int64_t window[BUDGETS];
	bool would_block[BUDGETS];
};

/* What was restored or warned in a window of a counter. */
struct fix {
	int counter;
	int64_t window, posted, credit;
	uint32_t mask, would_block;
};

static struct {
	struct budget defs[BUDGETS];
	int n_budgets, n_counters, n_holds, n_fixes, n_restored;
	struct counter counters[COUNTERS]; /* in the order of creation, as the engine's */
	struct model_hold holds[HOLDS];
	struct fix fixes[2 * HOLDS * BUDGETS + FIXES];
	int64_t now;
	bool deny;
} model;

static int64_t of_unit(struct amounts a, enum amount_unit unit)
{
	switch (unit) {
	case UNIT_USD:
		return a.nanousd;
	case UNIT_TOKENS:
		return a.tokens;
	default:
		return a.requests;
	}
}

static const struct budget *counter_budget(int counter)
{
	return &model.defs[model.counters[counter].budget];
}

/* By libc and by hand, in UTC. */
static int64_t window_start(const struct budget *b, int64_t now, int64_t *ret_end)
{
	time_t t = (time_t)now;
	struct tm tm;

	if (b->rolling_s > 0) {
		int64_t bucket = b->rolling_s / 60;

		*ret_end = (now / bucket + 1) * bucket;
		return now / bucket * bucket;
	}
	switch (b->window.kind) {
	case WINDOW_HOUR:
		*ret_end = (now / 3600 + 1) * 3600;
		return now / 3600 * 3600;
	case WINDOW_DAY:
		*ret_end = (now / 86400 + 1) * 86400;
		return now / 86400 * 86400;
	case WINDOW_MONTH:
		gmtime_r(&t, &tm);
		tm.tm_mday = 1;
		tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
		t = timegm(&tm);
		tm.tm_mon++;
		*ret_end = timegm(&tm);
		return t;
	default:
		*ret_end = INT64_MAX;
		return 0;
	}
}

static int64_t counter_window(int counter)
{
	int64_t end;

	return window_start(counter_budget(counter), model.now, &end);
}

struct sums {
	i128 posted, held, credit;
	uint32_t mask, would_block;
	int open;
};

/* Rolling: 61 buckets overlap the last W. */
static bool bucket_counts(const struct budget *b, int64_t bucket)
{
	int64_t end, now_in = window_start(b, model.now, &end);

	return bucket <= now_in && bucket >= now_in - b->rolling_s;
}

/* Is what was posted in `window` part of what the counter shows for `shown`? */
static bool posted_there(int counter, int64_t window, int64_t shown)
{
	const struct budget *b = counter_budget(counter);

	return b->rolling_s > 0 ? bucket_counts(b, window) : window == shown;
}

static struct sums count(int counter, int64_t window)
{
	enum amount_unit unit = counter_budget(counter)->unit;
	bool rolling = counter_budget(counter)->rolling_s > 0;
	struct sums s = {.posted = 0};

	for (int i = 0; i < model.n_holds; i++) {
		const struct model_hold *h = &model.holds[i];

		for (int k = 0; k < h->n; k++) {
			if (h->counter[k] != counter)
				continue;
			if (h->state == HOLD_SETTLED && posted_there(counter, h->window[k], window))
				s.posted += of_unit(h->actual, unit);
			if ((h->state == HOLD_RESERVED || h->state == HOLD_SENT) &&
			    (rolling || h->window[k] == window)) {
				s.held += of_unit(h->worst, unit);
				s.open++;
			}
		}
	}
	for (int i = 0; i < model.n_fixes; i++) {
		const struct fix *f = &model.fixes[i];

		if (f->counter == counter && posted_there(counter, f->window, window)) {
			s.posted += f->posted;
			s.credit += f->credit;
			s.mask |= f->mask;
			s.would_block += f->would_block;
		}
	}
	return s;
}

/* Windows of the counter, other than its current one, in which holds are open. */
static int other_windows(int counter, int64_t *ret_windows)
{
	int64_t now_in = counter_window(counter);
	int n = 0, k;

	if (counter_budget(counter)->rolling_s > 0)
		return 0; /* one for ever */
	for (int i = 0; i < model.n_holds; i++) {
		const struct model_hold *h = &model.holds[i];

		if (h->state != HOLD_RESERVED && h->state != HOLD_SENT)
			continue;
		for (k = 0; k < h->n && h->counter[k] != counter;)
			k++;
		if (k == h->n || h->window[k] == now_in)
			continue;
		for (int w = 0; w <= n; w++) {
			if (w == n) {
				ret_windows[n++] = h->window[k];
				break;
			}
			if (ret_windows[w] == h->window[k])
				break;
		}
	}
	return n;
}

/* No place for a new window: eight old ones have holds, and the counter has none in the current window yet. */
static bool stuck(int counter)
{
	int64_t windows[HOLDS];

	return other_windows(counter, windows) >= WINDOWS_OPEN_MAX;
}

static void remember_mask(int counter, int64_t window, uint32_t mask)
{
	assert_true(model.n_fixes < (int)ARRAY_LEN(model.fixes));
	model.fixes[model.n_fixes++] = (struct fix){.counter = counter, .window = window, .mask = mask};
}

/* The steps told in one window or bucket: what the store keeps under its start. */
static uint32_t stored_mask(int counter, int64_t window)
{
	uint32_t mask = 0;

	for (int i = 0; i < model.n_fixes; i++) {
		if (model.fixes[i].counter == counter && model.fixes[i].window == window)
			mask |= model.fixes[i].mask;
	}
	return mask;
}

static i128 hard_limit(const struct budget *b)
{
	i128 limit = b->limit;

	if (b->mode == MODE_SOFT)
		return limit; /* a shadow budget's limit is where it would block */
	for (size_t i = 0; i < b->n_steps; i++) {
		i128 share = (i128)b->limit * b->steps[i].at_ppm / 1000000;

		if (b->steps[i].action == STEP_BLOCK && share < limit)
			limit = share;
	}
	return limit;
}

/* --- the model's decision ----------------------------------------------------------------------------------------- */

struct expected_event {
	const struct budget *budget;
	int64_t at_ppm, window, posted, held, need;
	enum step_action action;
	uint32_t mask;
};

struct expected {
	int result, n_blocked, n_events;
	enum verdict verdict;
	int blocked[BUDGETS]; /* positions */
	struct sums before[BUDGETS];
	bool only_held[BUDGETS], over_budget, would_block[BUDGETS];
	int n_would_block;
	const char *tightest;
	i128 tightest_left;
	struct expected_event events[BUDGETS * STEPS_MAX];
};

static void expect_step(struct expected *x, int counter, int64_t window, struct sums *s, size_t step, int64_t need)
{
	const struct budget *b = counter_budget(counter);
	uint32_t bit = 1u << step;

	if (s->mask & bit)
		return;
	s->mask |= bit;
	if (b->rolling_s > 0)
		window = counter_window(counter); /* told in the bucket of now, wherever the hold belongs */
	remember_mask(counter, window, bit);
	x->events[x->n_events++] = (struct expected_event){.budget = b,
							   .at_ppm = b->steps[step].at_ppm,
							   .window = window,
							   .posted = (int64_t)s->posted,
							   .held = (int64_t)s->held,
							   .need = need,
							   .action = b->steps[step].action,
							   .mask = stored_mask(counter, window)};
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

static void expect_blocks(struct expected *x, const int *counter, const int64_t *window, int n, struct amounts need,
			  struct amounts own)
{
	for (int i = 0; i < n; i++) {
		const struct budget *b = counter_budget(counter[i]);
		struct sums s = x->before[i] = count(counter[i], window[i]);
		int64_t want = of_unit(need, b->unit);
		i128 limit = hard_limit(b) + s.credit;

		x->would_block[i] = b->mode == MODE_SHADOW && want > 0 && s.posted + s.held + want > limit;
		if (b->mode == MODE_HARD && want > 0 && s.posted + s.held + want > limit) {
			x->only_held[x->n_blocked] = s.posted + of_unit(own, b->unit) + want <= limit;
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

/* What taking `need` in these windows must answer; `own` is what the same call holds there already. */
static struct expected expect_take(const int *counter, const int64_t *window, int n, struct amounts need,
				   struct amounts own)
{
	struct expected x = {.result = BUR_OK, .verdict = VERDICT_ALLOW};

	expect_blocks(&x, counter, window, n, need, own);
	if (x.result == BUR_OVERFLOW)
		return x;
	for (int i = 0; i < n; i++) {
		const struct budget *b = counter_budget(counter[i]);
		struct sums s = x.before[i];
		int64_t want = of_unit(need, b->unit);
		i128 left;

		expect_alerts(&x, counter[i], window[i], &s, x.result == BUR_OK ? want : 0);
		for (int k = 0; k < x.n_blocked; k++) {
			if (x.blocked[k] == i)
				expect_block_event(&x, counter[i], window[i], &s, want);
		}
		if (x.would_block[i] && x.result == BUR_OK) {
			expect_block_event(&x, counter[i], window[i], &s, want);
			x.n_would_block++;
		}
		left = hard_limit(b) + s.credit - s.posted - s.held - (x.result == BUR_OK ? want : 0);
		if (b->mode == MODE_SOFT && left < 0)
			x.over_budget = true;
		if (b->mode != MODE_SHADOW && b->unit == UNIT_USD && (!x.tightest || left < x.tightest_left)) {
			x.tightest = b->name;
			x.tightest_left = left;
		}
	}
	return x;
}

/* --- comparing ---------------------------------------------------------------------------------------------------- */

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

static void same_decision(const struct decision *d, const struct expected *x, const int *counter, struct amounts need)
{
	SAME(d->verdict, x->verdict);
	SAME(d->n_blocked, x->n_blocked);
	SAME(d->n_would_block, x->n_would_block);
	SAME(d->over_budget, x->over_budget);
	SAME(d->tightest != NULL, x->tightest != NULL);
	if (x->tightest) {
		SAME(strcmp(d->tightest->name, x->tightest), 0);
		SAME(d->tightest_left_nanousd, x->tightest_left);
	}
	for (int i = 0; i < x->n_blocked; i++) {
		const struct blocked *got = &d->blocked[i];
		const struct budget *b = counter_budget(counter[x->blocked[i]]);
		const struct sums *s = &x->before[x->blocked[i]];
		i128 limit = hard_limit(b) + s->credit;

		SAME(strcmp(got->budget->name, b->name), 0);
		SAME(got->posted, s->posted);
		SAME(got->held, s->held);
		SAME(got->need, of_unit(need, b->unit));
		SAME(got->limit, limit > INT64_MAX ? INT64_MAX : limit);
		SAME(got->only_held, x->only_held[i]);
	}
	same_events(d->events, d->n_events, x);
}

static void scope_text(const struct counter *c, char *dst, size_t size)
{
	int n = 0;

	dst[0] = '\0';
	if (c->user >= 0)
		n = snprintf(dst, size, "user=%s", users[c->user]);
	if (c->team >= 0)
		(void)snprintf(dst + n, size - (size_t)n, "%steam=%s", n ? "," : "", teams[c->team]);
}

static uint64_t meter_uid_of(int counter)
{
	char scope[SCOPE_SIZE];

	scope_text(&model.counters[counter], scope, sizeof(scope));
	return meter_uid(counter_budget(counter)->name, slice_of(scope));
}

static void same_view(const struct meter_view *v, int counter, int64_t window, bool closing)
{
	struct sums s = count(counter, window);
	char scope[SCOPE_SIZE];

	scope_text(&model.counters[counter], scope, sizeof(scope));
	SAME(strcmp(v->scope, scope), 0);
	SAME(strcmp(v->budget->name, counter_budget(counter)->name), 0);
	SAME(v->win_start, window - counter_budget(counter)->rolling_s);
	SAME(v->posted, s.posted);
	SAME(v->held, s.held);
	SAME(v->credit, s.credit);
	SAME(v->warned_mask, s.mask);
	SAME(v->would_block, s.would_block);
	SAME(v->closing, closing);
}

static void same_state(struct engine *e)
{
	static struct meter_view views[COUNTERS * WINDOWS_OPEN_MAX];
	size_t n = engine_snapshot(e, model.now, views, ARRAY_LEN(views)), at = 0, open = 0;

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
		open += model.holds[i].state == HOLD_RESERVED || model.holds[i].state == HOLD_SENT;
	SAME(engine_open_holds(e), open);
	engine_check(e);
}

/* --- random budgets ----------------------------------------------------------------------------------------------- */

static void random_steps(struct budget *b)
{
	int64_t at = 0;
	size_t n = (size_t)pick(5);

	for (size_t i = 0; i < n; i++) {
		at += between(1, 400000);
		b->steps[b->n_steps++] =
		    (struct budget_step){.at_ppm = at, .action = pick(4) ? STEP_ALERT : STEP_BLOCK};
	}
	if (n == 0) { /* what the set makes of it */
		budget_step(b, 75, STEP_ALERT);
		budget_step(b, 90, STEP_ALERT);
		budget_step(b, 100, STEP_ALERT);
		budget_step(b, 100, STEP_CLAMP);
		budget_step(b, 100, STEP_BLOCK);
	}
}

static void random_budget(int i, int64_t scale)
{
	static const char *const names[BUDGETS] = {"b0", "b1", "b2", "b3", "b4"};
	static const enum window_kind kinds[] = {WINDOW_HOUR, WINDOW_HOUR, WINDOW_DAY, WINDOW_MONTH, WINDOW_TOTAL};
	static const int64_t rollings[] = {1800, 7200, 3 * DAY_S};
	struct budget *b = &model.defs[i];

	*b = budget_of(names[i], between(1, 2000) * scale);
	b->unit = pick(3) ? UNIT_USD : pick(2) ? UNIT_TOKENS : UNIT_REQUESTS;
	if (b->unit == UNIT_REQUESTS)
		b->limit = between(1, 30);
	b->mode = pick(3) ? MODE_HARD : pick(2) ? MODE_SOFT : MODE_SHADOW;
	b->window.kind = kinds[pick(5)];
	if (pick(3) == 0)
		b->rolling_s = rollings[pick(3)];
	if (pick(3) == 0)
		budget_select(b, FACT_TEAM, teams[pick(2)]);
	if (pick(3) == 0)
		budget_per(b, FACT_USER);
	if (pick(4) == 0)
		budget_per(b, FACT_TEAM);
	random_steps(b);
}

static int counter_of(int budget, int user, int team)
{
	const struct budget *b = &model.defs[budget];
	struct counter c = {budget, -1, -1};

	for (size_t i = 0; i < b->n_per; i++) {
		if (b->per[i].fact == FACT_USER)
			c.user = user;
		else
			c.team = team;
	}
	for (int i = 0; i < model.n_counters; i++) {
		if (memcmp(&model.counters[i], &c, sizeof(c)) == 0)
			return i;
	}
	model.counters[model.n_counters] = c;
	return model.n_counters++;
}

static void episode_begin(void)
{
	int64_t scale = pick(8) ? 1 : between(1, INT64_MAX / 2000);

	memset(&model, 0, sizeof(model));
	model.n_budgets = 1 + pick(BUDGETS);
	model.now = NOON + between(0, 400 * DAY_S);
	model.deny = pick(2);
	for (int i = 0; i < model.n_budgets; i++)
		random_budget(i, scale);
	for (int i = 0; i < model.n_budgets; i++) {
		if (model.defs[i].n_per == 0)
			(void)counter_of(i, 0, 0);
	}
}

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

/* --- operations --------------------------------------------------------------------------------------------------- */

static struct hold engine_holds[HOLDS];

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* The call's counters, in ascending order, as engine_match must find them. */
static int expect_match(int user, int team, int *counter)
{
	int n = 0;

	for (int i = 0; i < model.n_budgets; i++) {
		const struct budget *b = &model.defs[i];

		if (b->n_match == 0 || strcmp(b->match[0].value, teams[team]) == 0)
			counter[n++] = counter_of(i, user, team);
	}
	qsort(counter, (size_t)n, sizeof(*counter), by_number);
	return n;
}

/* A call is counted once in each shadow budget that would have refused it. */
static void remember_would_block(struct model_hold *h, const struct expected *x)
{
	for (int k = 0; k < h->n; k++) {
		int64_t window =
		    counter_budget(h->counter[k])->rolling_s > 0 ? counter_window(h->counter[k]) : h->window[k];

		if (!x->would_block[k] || h->would_block[k])
			continue;
		h->would_block[k] = true;
		assert_true(model.n_fixes < (int)ARRAY_LEN(model.fixes));
		model.fixes[model.n_fixes++] =
		    (struct fix){.counter = h->counter[k], .window = window, .would_block = 1};
	}
}

static void op_reserve(struct engine *e)
{
	int user = pick(3), team = pick(2), counter[BUDGETS], n = expect_match(user, team, counter);
	struct facts f = facts_of(users[user], teams[team]);
	struct model_hold *h = &model.holds[model.n_holds];
	struct amounts worst = random_amounts();
	struct decision d;
	struct expected x;
	struct match m;
	bool full = false;
	int r = engine_match(e, &f, &m);

	SAME(r, n == 0 && model.deny ? BUR_NOTFOUND : BUR_OK);
	if (r < 0)
		return;
	SAME(m.n, n);
	h->n = 0;
	for (int i = 0; i < n; i++) {
		SAME(m.meter[i], counter[i]);
		if (stuck(counter[i]) && counter_budget(counter[i])->mode == MODE_SHADOW)
			continue; /* left out */
		full = full || stuck(counter[i]);
		h->would_block[h->n] = false;
		h->counter[h->n] = counter[i];
		h->window[h->n++] = counter_window(counter[i]);
	}
	r = engine_reserve(e, &m, &worst, model.now - (pick(20) ? 0 : between(0, DAY_S)), &engine_holds[model.n_holds],
			   &d);
	if (full) {
		SAME(r, BUR_FULL);
		return;
	}
	x = expect_take(h->counter, h->window, h->n, worst, (struct amounts){0, 0, 0});
	SAME(r, x.result);
	if (r != BUR_OVERFLOW)
		same_decision(&d, &x, h->counter, worst);
	if (r == BUR_OK) {
		h->state = HOLD_RESERVED;
		h->worst = worst;
		remember_would_block(h, &x);
		model.n_holds++;
	}
}

static void op_mark_sent(struct engine *e, int i)
{
	struct model_hold *h = &model.holds[i];

	SAME(engine_mark_sent(e, &engine_holds[i]), h->state == HOLD_RESERVED ? BUR_OK : BUR_ALREADY);
	if (h->state == HOLD_RESERVED)
		h->state = HOLD_SENT;
}

static void op_extend(struct engine *e, int i)
{
	struct model_hold *h = &model.holds[i];
	struct amounts more = random_amounts();
	struct decision d;
	struct expected x;
	int r = engine_extend(e, &engine_holds[i], &more, model.now, &d);

	if (h->state != HOLD_SENT) {
		SAME(r, BUR_ALREADY);
		return;
	}
	if ((i128)h->worst.nanousd + more.nanousd > INT64_MAX || (i128)h->worst.tokens + more.tokens > INT64_MAX) {
		SAME(r, BUR_OVERFLOW);
		return;
	}
	x = expect_take(h->counter, h->window, h->n, more, h->worst);
	SAME(r, x.result);
	if (r != BUR_OVERFLOW)
		same_decision(&d, &x, h->counter, more);
	if (r == BUR_OK) {
		h->worst.nanousd += more.nanousd;
		h->worst.tokens += more.tokens;
		h->worst.requests += more.requests;
		remember_would_block(h, &x);
	}
}

static void op_shrink(struct engine *e, int i)
{
	struct model_hold *h = &model.holds[i];
	struct amounts less = {between(0, h->worst.nanousd), between(0, h->worst.tokens),
			       between(0, h->worst.requests)};
	bool open = h->state == HOLD_RESERVED || h->state == HOLD_SENT, odd = pick(8) == 0;
	int r;

	if (odd)
		less.requests = h->worst.requests + 1;
	r = engine_shrink(e, &engine_holds[i], &less);
	SAME(r, !open ? BUR_ALREADY : odd ? BUR_INVALID : BUR_OK);
	if (r == BUR_OK) {
		h->worst.nanousd -= less.nanousd;
		h->worst.tokens -= less.tokens;
		h->worst.requests -= less.requests;
	}
}

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

static void op_settle(struct engine *e, int i)
{
	struct model_hold *h = &model.holds[i];
	int kind = pick(6);
	struct amounts actual = {bill(h->worst.nanousd, kind), bill(h->worst.tokens, kind),
				 bill(h->worst.requests, kind)};
	struct expected x = {.n_events = 0};
	struct settlement s;
	int r = engine_settle(e, &engine_holds[i], &actual, &s);

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

static void op_void(struct engine *e, int i)
{
	struct model_hold *h = &model.holds[i];
	bool open = h->state == HOLD_RESERVED || h->state == HOLD_SENT;

	SAME(engine_void(e, &engine_holds[i]), open ? BUR_OK : BUR_ALREADY);
	if (open)
		h->state = HOLD_VOIDED;
}

static void op_time(void)
{
	int64_t end, boundary;

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
}

static void op_restore(struct engine *e)
{
	int c = pick(model.n_counters + 1);
	int64_t start, end, posted = between(0, 50), credit = between(-5, 50);
	uint32_t mask = pick(4) ? 0 : 1u << pick(3);
	char scope[SCOPE_SIZE];
	bool wrong = pick(4) == 0;
	int r;

	if (c == model.n_counters || model.n_restored >= FIXES)
		return;
	model.n_restored++;
	start = window_start(counter_budget(c), model.now, &end);
	if (counter_budget(c)->rolling_s > 0) { /* any bucket that counts, or one just outside */
		int64_t bucket = counter_budget(c)->rolling_s / 60;

		end = INT64_MAX;
		start -= (wrong ? 61 : between(0, 60)) * bucket - (wrong && pick(2) ? 62 * bucket + 1 : 0);
	}
	scope_text(&model.counters[c], scope, sizeof(scope));
	r = engine_restore(e, slice_of(counter_budget(c)->name), slice_of(scope), start - wrong,
			   wrong ? model.now : end, posted, credit, mask, model.now);
	if (wrong) {
		SAME(r, BUR_NOTFOUND);
	} else if (stuck(c)) {
		SAME(r, BUR_FULL);
	} else {
		struct sums s = count(c, start);

		SAME(r, s.posted + s.held + posted > INT64_MAX ? BUR_OVERFLOW : BUR_OK);
		if (r == BUR_OK)
			model.fixes[model.n_fixes++] = (struct fix){c, start, posted, credit, mask, 0};
	}
}

/* A correction of what was spent in the window of some hold. */
static void op_post(struct engine *e, int i)
{
	const struct model_hold *h = &model.holds[i];
	int k = h->n > 0 ? pick(h->n) : 0, c = h->n > 0 ? h->counter[k] : 0;
	int64_t delta = between(-60, 60), bucket_posted = 0;
	bool there = false, rolling;
	struct sums s;

	if (h->n == 0 || model.n_restored >= FIXES)
		return;
	model.n_restored++;
	s = count(c, h->window[k]);
	rolling = counter_budget(c)->rolling_s > 0;
	there = rolling                             ? bucket_counts(counter_budget(c), h->window[k])
		: h->window[k] == counter_window(c) ? !stuck(c) || s.open > 0
						    : s.open > 0;
	for (int n = 0; n < model.n_holds; n++) {
		for (int m = 0; m < model.holds[n].n; m++) {
			if (model.holds[n].counter[m] == c && model.holds[n].window[m] == h->window[k] &&
			    model.holds[n].state == HOLD_SETTLED)
				bucket_posted += of_unit(model.holds[n].actual, counter_budget(c)->unit);
		}
	}
	for (int n = 0; n < model.n_fixes; n++) {
		if (model.fixes[n].counter == c && model.fixes[n].window == h->window[k])
			bucket_posted += model.fixes[n].posted;
	}
	if (!there) {
		SAME(engine_post(e, meter_uid_of(c), h->window[k], delta), BUR_NOTFOUND);
		return;
	}
	if (s.posted + delta < 0 || s.posted + delta + s.held > INT64_MAX || (rolling && bucket_posted + delta < 0)) {
		SAME(engine_post(e, meter_uid_of(c), h->window[k], delta), BUR_OVERFLOW);
		return;
	}
	SAME(engine_post(e, meter_uid_of(c), h->window[k], delta), BUR_OK);
	model.fixes[model.n_fixes++] = (struct fix){.counter = c, .window = h->window[k], .posted = delta};
}

/* R5.8, R5.9: by hand, on a counter that is there. */
static void op_change(struct engine *e)
{
	int c = model.n_counters > 0 ? pick(model.n_counters) : -1;
	struct budget *b = c < 0 ? &model.defs[0] : &model.defs[model.counters[c].budget];
	struct engine_change change;
	char scope[SCOPE_SIZE];
	int64_t start, end, amount = between(-20, 60);
	struct sums s;
	int r;

	if (pick(3) == 0) {
		int64_t limit = pick(10) ? b->limit / 2 + between(1, 400) : 0;

		r = engine_set_limit(e, slice_of(b->name), limit, &change);
		SAME(r, limit > 0 ? BUR_OK : BUR_INVALID);
		if (r == BUR_OK) {
			SAME(change.before, b->limit);
			b->limit = limit;
		}
		return;
	}
	if (c < 0 || stuck(c) || model.n_restored >= FIXES)
		return;
	model.n_restored++;
	start = window_start(b, model.now, &end);
	scope_text(&model.counters[c], scope, sizeof(scope));
	s = count(c, start);
	if (pick(2)) {
		struct engine_credit credit = {.amount = amount, .expires_s = INT64_MAX};

		r = engine_credit(e, slice_of(b->name), slice_of(scope), &credit, model.now, &change);
		SAME(r, amount > 0 ? BUR_OK : BUR_INVALID);
		if (r == BUR_OK) {
			SAME(change.before, s.credit);
			SAME(change.after, s.credit + amount);
			model.fixes[model.n_fixes++] = (struct fix){.counter = c, .window = start, .credit = amount};
		}
		return;
	}
	amount = between(0, 60);
	r = engine_adjust(e, slice_of(b->name), slice_of(scope), amount, model.now, &change);
	SAME(r, s.posted + s.held + amount > INT64_MAX ? BUR_OVERFLOW : BUR_OK);
	SAME(change.before, s.posted);
	if (r == BUR_OK)
		model.fixes[model.n_fixes++] = (struct fix){.counter = c, .window = start, .posted = amount};
}

static void random_op(struct engine *e)
{
	int op = pick(22), i;

	if (op < 7 || model.n_holds == 0) {
		op_reserve(e);
		return;
	}
	/* Mostly young holds; now and then one that has long been resolved. */
	i = pick(3) ? model.n_holds - 1 - pick(model.n_holds < 12 ? model.n_holds : 12) : pick(model.n_holds);
	if (op < 11)
		op_mark_sent(e, i);
	else if (op < 12)
		op_extend(e, i);
	else if (op < 13)
		op_shrink(e, i);
	else if (op < 16)
		op_settle(e, i);
	else if (op < 17)
		op_void(e, i);
	else if (op < 19)
		op_time();
	else if (op < 20)
		op_restore(e);
	else if (op < 21)
		op_post(e, i);
	else
		op_change(e);
}

static void episode_end(struct engine *e)
{
	for (int i = 0; i < model.n_holds; i++)
		op_void(e, i);
	same_state(e);
	SAME(engine_open_holds(e), 0);
}

static void run(uint64_t seed, long ops)
{
	run_seed = rng = seed;
	for (step_no = 0; step_no < ops;) {
		struct engine_config cfg = {.max_meters = COUNTERS};
		struct budget_set *set;
		struct engine *e;

		episode_begin();
		cfg.deny_without_budget = model.deny;
		set = set_of(model.defs, (size_t)model.n_budgets);
		e = engine_new(set, &cfg);
		assert_non_null(e);
		same_state(e); /* the engine now knows the time, so that going back means something */
		for (int k = 0; k < EPISODE_OPS && step_no < ops; k++, step_no++) {
			random_op(e);
			same_state(e);
		}
		episode_end(e);
		engine_free(e);
		budget_set_free(set);
	}
}

static long ops_wanted(void)
{
	const char *text = getenv("BURSAR_ORACLE_OPS");

	return text ? strtol(text, NULL, 10) : OPS_DEFAULT;
}

static void fixed_seed(void **state)
{
	(void)state;
	run(20261121, ops_wanted() / 2);
}

static void fresh_seed(void **state)
{
	const char *text = getenv("BURSAR_ORACLE_SEED");

	(void)state;
	run(text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL), ops_wanted() / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fixed_seed),
	    cmocka_unit_test(fresh_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
