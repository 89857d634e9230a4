/* policy_oracle_model.h - the budget engine once more, too simple to be wrong: lists of holds, of corrections and of
 * credits; every counter is counted anew whenever it is asked for. Only for policy_engine_oracle_test.c. */
#ifndef TESTS_POLICY_ORACLE_MODEL_H
#define TESTS_POLICY_ORACLE_MODEL_H

#include <time.h>
#include <unistd.h>

#include "tests/unit/policy_build.h"

#define EPISODE_OPS 150
#define BUDGETS 5
#define COUNTERS 32                 /* five budgets by three users and two teams are 30 */
#define HOLDS (4 * EPISODE_OPS + 1) /* a call that is degraded tries up to three times more */
#define FIXES 4096
#define WINDOWS_OPEN_MAX 8
#define CREDITS 32

typedef __int128 i128;

/* --- random numbers, failures ------------------------------------------------------------------------------------- */

static uint64_t rng, episode_seed;
static int step_no;
static bool telling; /* each operation in words */
static bool planted; /* the model is wrong on purpose */

static uint64_t mixed(uint64_t z)
{
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint64_t next_random(void)
{
	return mixed(rng += UINT64_C(0x9e3779b97f4a7c15));
}

static int pick(int n)
{
	return (int)(next_random() % (uint64_t)n);
}

static int64_t between(int64_t low, int64_t high)
{
	return low + (int64_t)(next_random() % ((uint64_t)high - (uint64_t)low + 1));
}

PRINTF_LIKE(1, 2) static void tell(const char *fmt, ...)
{
	va_list ap;

	if (!telling)
		return;
	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
}

PRINTF_LIKE(1, 2) static void broken(const char *fmt, ...)
{
	va_list ap;

	(void)fflush(stdout);
	(void)fprintf(stderr, "episode %016llx operation %d: ", (unsigned long long)episode_seed, step_no);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
	_exit(1); /* of a process of its own */
}

#define SAME(a, b)                                                                                                     \
	do {                                                                                                           \
		i128 a_ = (a), b_ = (b);                                                                               \
		if (a_ != b_)                                                                                          \
			broken("%s:%d: %s is %lld, the model says %s = %lld", __FILE__, __LINE__, #a, (long long)a_,   \
			       #b, (long long)b_);                                                                     \
	} while (0)
#define REQUIRE(x)                                                                                                     \
	do {                                                                                                           \
		if (!(x))                                                                                              \
			broken("%s:%d: %s", __FILE__, __LINE__, #x);                                                   \
	} while (0)

/* --- what there is ------------------------------------------------------------------------------------------------ */

static const char *const users[] = {"ann", "bob", "cy"};
static const char *const teams[] = {"red", "blue"};
static const char *const models[] = {"big-1", "big-2", "mid", "small"};

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

/* What was restored, corrected, granted or told in a window (rolling: a bucket) of a counter. */
struct fix {
	int counter;
	int64_t window, posted, credit;
	uint32_t mask, would_block;
};

/* What is left of a credit that ends by itself or goes on into the next window. */
struct model_credit {
	int64_t left, expires, window; /* window: where its fix is */
	bool carry;
};

static struct {
	struct budget defs[BUDGETS];
	int n_budgets, n_counters, n_holds, n_fixes;
	struct counter counters[COUNTERS]; /* in the order of creation, as the engine's */
	char scopes[COUNTERS][32];
	struct model_credit credits[COUNTERS][CREDITS];
	int n_credits[COUNTERS];
	int64_t current[COUNTERS]; /* the window that was last seen open */
	struct model_hold holds[HOLDS];
	struct fix fixes[FIXES];
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

static bool is_open(const struct model_hold *h)
{
	return h->state == HOLD_RESERVED || h->state == HOLD_SENT;
}

static const struct budget *counter_budget(int counter)
{
	return &model.defs[model.counters[counter].budget];
}

static bool is_rolling(int counter)
{
	return counter_budget(counter)->rolling_s > 0;
}

static struct fix *fix_of(int counter, int64_t window)
{
	for (int i = 0; i < model.n_fixes; i++) {
		if (model.fixes[i].counter == counter && model.fixes[i].window == window)
			return &model.fixes[i];
	}
	REQUIRE(model.n_fixes < FIXES);
	model.fixes[model.n_fixes] = (struct fix){.counter = counter, .window = window};
	return &model.fixes[model.n_fixes++];
}

static struct slice scope_of(int counter)
{
	return slice_of(model.scopes[counter]);
}

static uint64_t meter_uid_of(int counter)
{
	return meter_uid(counter_budget(counter)->name, scope_of(counter));
}

/* --- windows ------------------------------------------------------------------------------------------------------ */

/* libc is slow: the last month is remembered. */
static int64_t month_start(int64_t now, int64_t *ret_end)
{
	static int64_t start, end;
	time_t t = (time_t)now;
	struct tm tm;

	if (now < start || now >= end) {
		gmtime_r(&t, &tm);
		tm.tm_mday = 1;
		tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
		start = timegm(&tm);
		tm.tm_mon++;
		end = timegm(&tm);
	}
	*ret_end = end;
	return start;
}

/* By libc and by hand, in UTC. */
static int64_t window_start(const struct budget *b, int64_t now, int64_t *ret_end)
{
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
		return month_start(now, ret_end);
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

/* When what is spent in this window counts no more. */
static int64_t window_end(int counter, int64_t window)
{
	int64_t end;

	(void)window_start(counter_budget(counter), window, &end);
	return end + counter_budget(counter)->rolling_s;
}

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

/* --- counting ----------------------------------------------------------------------------------------------------- */

struct sums {
	i128 posted, held, credit;
	uint32_t mask, would_block;
	int open;
};

static struct sums count(int counter, int64_t window)
{
	enum amount_unit unit = counter_budget(counter)->unit;
	bool rolling = is_rolling(counter);
	struct sums s = {.posted = 0};

	for (int i = 0; i < model.n_holds; i++) {
		const struct model_hold *h = &model.holds[i];

		for (int k = 0; k < h->n; k++) {
			if (h->counter[k] != counter)
				continue;
			if (h->state == HOLD_SETTLED && posted_there(counter, h->window[k], window))
				s.posted += of_unit(h->actual, unit);
			if (is_open(h) && (rolling || h->window[k] == window)) {
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

/* What was posted in one window, or of a rolling counter in one bucket. */
static i128 posted_in(int counter, int64_t window)
{
	i128 posted = fix_of(counter, window)->posted;

	for (int i = 0; i < model.n_holds; i++) {
		const struct model_hold *h = &model.holds[i];

		for (int k = 0; k < h->n && h->state == HOLD_SETTLED; k++) {
			if (h->counter[k] == counter && h->window[k] == window)
				posted += of_unit(h->actual, counter_budget(counter)->unit);
		}
	}
	return posted;
}

/* Windows of the counter, other than its current one, in which holds are open. */
static int other_windows(int counter, int64_t *ret_windows)
{
	int64_t now_in = counter_window(counter);
	int n = 0, k;

	if (is_rolling(counter))
		return 0; /* one for ever */
	for (int i = 0; i < model.n_holds; i++) {
		const struct model_hold *h = &model.holds[i];

		if (!is_open(h))
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

/* --- limits and credits ------------------------------------------------------------------------------------------- */

/* Where a hard budget blocks and a shadow one would. */
static i128 hard_limit(const struct budget *b)
{
	i128 limit = b->limit;

	if (b->mode == MODE_SOFT)
		return limit;
	for (size_t i = 0; i < b->n_steps; i++) {
		i128 share = (i128)b->limit * b->steps[i].at_ppm / 1000000;

		if (b->steps[i].action == STEP_BLOCK && share < limit)
			limit = share;
	}
	return limit;
}

/* How much of the credits that end or go on is used: the limit and the other credits are used first. */
static i128 credit_used(int counter)
{
	struct sums s = count(counter, model.current[counter]);
	i128 left = 0, used;

	for (int i = 0; i < model.n_credits[counter]; i++)
		left += model.credits[counter][i].left;
	used = s.posted + s.held - (counter_budget(counter)->limit + s.credit - left);
	return used < 0 ? 0 : used < left ? used : left;
}

static void credit_remove(int counter, int i)
{
	struct model_credit *list = model.credits[counter];

	memmove(&list[i], &list[i + 1], (size_t)(--model.n_credits[counter] - i) * sizeof(*list));
}

static void credit_put(int counter, struct model_credit c)
{
	struct model_credit *list = model.credits[counter];
	int i = model.n_credits[counter]++;

	for (; i > 0 && list[i - 1].expires > c.expires; i--)
		list[i] = list[i - 1];
	list[i] = c;
}

/* The one that ends first loses what is not used of it. */
static void credits_expire(int counter)
{
	struct model_credit *first = model.credits[counter];

	while (model.n_credits[counter] > 0 && first->expires <= model.now) {
		/* A rolling window forgets what it has used. */
		i128 used = is_rolling(counter) ? 0 : credit_used(counter);

		if (first->left > used)
			fix_of(counter, first->window)->credit -= (int64_t)(first->left - used);
		credit_remove(counter, 0);
	}
}

/* The window is over: what is not used goes on, if it was granted so; else it ends. */
static void credits_carry(int counter, int64_t to)
{
	struct model_credit *list = model.credits[counter];
	i128 used = credit_used(counter);

	for (int i = 0; i < model.n_credits[counter];) {
		i128 gone = used < list[i].left ? used : list[i].left;

		used -= gone;
		if (!list[i].carry || gone == list[i].left) {
			credit_remove(counter, i);
			continue;
		}
		list[i].left -= (int64_t)gone;
		fix_of(counter, list[i].window)->credit -= list[i].left;
		fix_of(counter, to)->credit += list[i].left;
		list[i++].window = to;
	}
}

/* What time alone does; after every operation. */
static void model_tick(void)
{
	for (int c = 0; c < model.n_counters; c++) {
		int64_t window = counter_window(c);

		credits_expire(c);
		if (window == model.current[c] || stuck(c))
			continue;
		if (!is_rolling(c))
			credits_carry(c, window);
		model.current[c] = window;
	}
}

#endif
