/* The engine under threads: eight at once on few counters near their limits, with other schedules forced by yields.
 * Meant for -fsanitize=thread too. BURSAR_THREADS_OPS=n operations per thread (default 50000). */
#include "tests/unit/policy_build.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/check.h"

#define THREADS 8
#define OPS_DEFAULT 50000
#define LIMIT 1000
#define USERS 64

struct shared {
	struct engine *e;
	struct budget_set *set;
	long ops;
	bool clock_moves, settles_lower;
	_Atomic(int64_t) now_s;
	_Atomic(int64_t) posted[4]; /* by budget */
	_Atomic(int64_t) admitted, refused;
	_Atomic(uint32_t) user_meter[USERS]; /* index + 1 */
	pthread_barrier_t start;
};

struct worker {
	struct shared *w;
	pthread_t thread;
	uint64_t rng;
};

static uint64_t next_random(struct worker *k)
{
	k->rng ^= k->rng << 13;
	k->rng ^= k->rng >> 7;
	k->rng ^= k->rng << 17;
	return k->rng;
}

/* A named place where the schedule may turn. */
static void maybe_yield(struct worker *k)
{
	if (next_random(k) % 16 == 0)
		(void)sched_yield();
}

static long ops_wanted(void)
{
	const char *text = getenv("BURSAR_THREADS_OPS");

	return text ? strtol(text, NULL, 10) : OPS_DEFAULT;
}

static void run_threads(struct shared *w, void *(*body)(void *))
{
	struct worker workers[THREADS];

	CHECK(pthread_barrier_init(&w->start, NULL, THREADS) == 0);
	for (int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.w = w, .rng = UINT64_C(0x9e3779b97f4a7c15) * (uint64_t)(i + 1)};
		CHECK(pthread_create(&workers[i].thread, NULL, body, &workers[i]) == 0);
	}
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(workers[i].thread, NULL) == 0);
	(void)pthread_barrier_destroy(&w->start);
}

static void shared_init(struct shared *w, const struct budget *defs, size_t n, size_t max_meters)
{
	struct engine_config cfg = {.max_meters = max_meters};

	memset(w, 0, sizeof(*w));
	w->set = set_of(defs, n);
	w->e = engine_new(w->set, &cfg);
	assert_non_null(w->e);
	w->ops = ops_wanted();
	atomic_store(&w->now_s, NOON);
}

static void shared_done(struct shared *w)
{
	engine_free(w->e);
	budget_set_free(w->set);
}

/* I1 as everybody sees it, at any moment; no call here is billed above its worst case. */
static void check_limits(struct shared *w)
{
	struct meter_view v[64];
	size_t n = engine_snapshot(w->e, atomic_load(&w->now_s), v, ARRAY_LEN(v));

	CHECK(n <= ARRAY_LEN(v));
	for (size_t i = 0; i < n; i++)
		CHECK(v[i].posted >= 0 && v[i].held >= 0 && v[i].posted + v[i].held <= v[i].limit);
}

/* I13: a refusal is true at the moment of the decision; I1 with it. */
static void check_refusal(const struct decision *d)
{
	CHECK(d->n_blocked > 0 && d->verdict != VERDICT_ALLOW);
	for (size_t i = 0; i < d->n_blocked; i++) {
		const struct blocked *b = &d->blocked[i];

		CHECK(b->posted + b->held <= b->limit);
		CHECK(b->posted + b->held + b->need > b->limit);
		CHECK(b->only_held == (b->posted + b->need <= b->limit));
	}
}

static void end_call(struct worker *k, struct hold *h, size_t team)
{
	struct shared *w = k->w;
	struct amounts actual = usd((int64_t)(next_random(k) % (uint64_t)(h->worst.nanousd + 1)));
	struct settlement s;
	int r;

	if (next_random(k) % 4 == 0 || !w->settles_lower) {
		CHECK(engine_void(w->e, h) == BUR_OK);
	} else {
		CHECK(engine_mark_sent(w->e, h) == BUR_ALREADY);
		r = engine_settle(w->e, h, &actual, &s);
		CHECK(r == BUR_OK);
		atomic_fetch_add(&w->posted[0], actual.nanousd);
		atomic_fetch_add(&w->posted[1 + team], actual.nanousd);
		atomic_fetch_add(&w->posted[3], actual.nanousd);
	}
	CHECK(engine_void(w->e, h) == BUR_ALREADY);
}

static void one_call(struct worker *k)
{
	static const char *const teams[] = {"red", "blue"};
	struct shared *w = k->w;
	size_t team = next_random(k) % 2;
	struct facts f = facts_of("ann", teams[team]);
	struct amounts worst = usd((int64_t)(next_random(k) % 200)), more = usd(10), less = usd(1);
	struct decision d;
	struct match m;
	struct hold h;
	int r;

	CHECK(engine_match(w->e, &f, &m) == BUR_OK);
	CHECK(m.n == 3);
	maybe_yield(k);
	r = engine_reserve(w->e, &m, &worst, atomic_load(&w->now_s), &h, &d);
	if (r == BUR_DENIED) {
		check_refusal(&d);
		atomic_fetch_add(&w->refused, 1);
		return;
	}
	if (r == BUR_FULL) /* eight windows still have holds: only when the clock runs fast */
		return;
	CHECK(r == BUR_OK);
	CHECK(d.tightest_left_nanousd >= 0);
	atomic_fetch_add(&w->admitted, 1);
	maybe_yield(k);
	CHECK(engine_mark_sent(w->e, &h) == BUR_OK);
	maybe_yield(k);
	if (next_random(k) % 3 == 0) {
		r = engine_extend(w->e, &h, &more, atomic_load(&w->now_s), &d);
		CHECK(r == BUR_OK || r == BUR_DENIED);
	}
	if (next_random(k) % 3 == 0 && h.worst.nanousd > 0)
		CHECK(engine_shrink(w->e, &h, &less) == BUR_OK);
	maybe_yield(k);
	end_call(k, &h, team);
}

static void *calls(void *arg)
{
	struct worker *k = arg;

	(void)pthread_barrier_wait(&k->w->start);
	for (long i = 0; i < k->w->ops; i++) {
		one_call(k);
		if (next_random(k) % 64 == 0) {
			check_limits(k->w);
			engine_check(k->w->e); /* I2 while the others go on */
		}
		if (k->w->clock_moves && next_random(k) % 128 == 0)
			atomic_fetch_add(&k->w->now_s, HOUR_S / 4);
	}
	return NULL;
}

/* Counters: everything, each of two teams, everything again in tighter windows. */
static void four_counters(struct budget defs[4])
{
	defs[0] = budget_of("all", LIMIT);
	defs[1] = budget_of("red", LIMIT * 3 / 4);
	budget_select(&defs[1], FACT_TEAM, "red");
	defs[2] = budget_of("blue", LIMIT * 3 / 4);
	budget_select(&defs[2], FACT_TEAM, "blue");
	defs[3] = budget_of("again", LIMIT * 9 / 10);
}

static void assert_idle(struct shared *w)
{
	struct meter_view v[64];
	size_t n = engine_snapshot(w->e, atomic_load(&w->now_s), v, ARRAY_LEN(v));

	assert_int_equal(n, 4);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(v[i].held, 0);
		assert_false(v[i].closing);
	}
	assert_int_equal(engine_open_holds(w->e), 0);
	engine_check(w->e);
}

static void i1_i2_i13_near_the_limit_while_windows_roll(void **state)
{
	struct budget defs[4];
	struct shared w;

	(void)state;
	four_counters(defs);
	defs[0].window.kind = defs[1].window.kind = defs[2].window.kind = defs[3].window.kind = WINDOW_HOUR;
	shared_init(&w, defs, 4, 8);
	w.clock_moves = w.settles_lower = true;
	run_threads(&w, calls);
	assert_idle(&w);
	assert_true(atomic_load(&w.admitted) > w.ops / 10 && atomic_load(&w.refused) > w.ops / 10);
	shared_done(&w);
}

static void i1_i2_i13_near_the_limit_while_buckets_leave(void **state)
{
	struct budget defs[4];
	struct shared w;

	(void)state;
	four_counters(defs);
	for (int i = 0; i < 4; i++)
		defs[i].rolling_s = HOUR_S; /* buckets of a minute; the clock moves by quarters of an hour */
	shared_init(&w, defs, 4, 8);
	w.clock_moves = w.settles_lower = true;
	run_threads(&w, calls);
	assert_idle(&w);
	assert_true(atomic_load(&w.admitted) > w.ops / 10 && atomic_load(&w.refused) > w.ops / 10);
	shared_done(&w);
}

/* Limits, credits and charges move while calls run. */
static void *changes(void *arg)
{
	struct worker *k = arg;
	struct engine *e = k->w->e;
	struct engine_change c;

	(void)pthread_barrier_wait(&k->w->start);
	for (long i = 0; i < k->w->ops / 4; i++) {
		int64_t now_s = atomic_fetch_add(&k->w->now_s, 7), amount = 1 + (int64_t)(next_random(k) % 99);
		struct engine_credit credit = {.amount = amount,
					       .expires_s = now_s + (int64_t)(next_random(k) % DAY_S),
					       .carry_over = next_random(k) % 2};
		struct facts f = facts_of("ann", "red");
		struct amounts worst = usd(amount);
		struct settlement s;
		struct decision d;
		struct match m;
		struct hold h;
		int r;

		CHECK(engine_match(e, &f, &m) == BUR_OK);
		r = engine_reserve(e, &m, &worst, now_s, &h, &d);
		CHECK(r == BUR_OK || r == BUR_DENIED || r == BUR_FULL);
		maybe_yield(k);
		if (next_random(k) % 4 == 0)
			CHECK(engine_set_limit(e, SLICE("all"), LIMIT + amount, &c) == BUR_OK &&
			      c.after == LIMIT + amount);
		if (next_random(k) % 4 == 0) {
			int done = engine_credit(e, SLICE("red"), SLICE_NONE, &credit, now_s, &c);

			CHECK(done != BUR_OK || c.after == c.before + amount);
		}
		if (next_random(k) % 4 == 0 && engine_adjust(e, SLICE("again"), SLICE_NONE, 1, now_s, &c) == BUR_OK)
			CHECK(c.after == c.before + 1);
		if (r == BUR_OK) {
			CHECK(engine_mark_sent(e, &h) == BUR_OK);
			CHECK(engine_settle(e, &h, &worst, &s) == BUR_OK);
		}
	}
	return NULL;
}

static void r5_8_r5_9_changes_while_calls_run(void **state)
{
	struct budget defs[4];
	struct shared w;

	(void)state;
	four_counters(defs);
	defs[1].window.kind = WINDOW_HOUR;
	defs[3].rolling_s = HOUR_S;
	defs[3].mode = MODE_SHADOW;
	shared_init(&w, defs, 4, 8);
	run_threads(&w, changes);
	assert_int_equal(engine_open_holds(w.e), 0);
	engine_check(w.e);
	shared_done(&w);
}

static void i4_i9_what_was_settled_is_posted_in_every_budget(void **state)
{
	struct budget defs[4];
	struct meter_view v[4];
	struct shared w;

	(void)state;
	four_counters(defs);
	for (int i = 0; i < 4; i++)
		defs[i].limit = INT64_C(1) << 40;
	shared_init(&w, defs, 4, 8);
	w.settles_lower = true;
	run_threads(&w, calls);
	assert_idle(&w);
	assert_int_equal(engine_snapshot(w.e, NOON, v, 4), 4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(v[i].posted, atomic_load(&w.posted[i]));
	assert_int_equal(v[0].posted, v[1].posted + v[2].posted);
	shared_done(&w);
}

static void i8_only_voids_leave_nothing(void **state)
{
	struct budget defs[4];
	struct meter_view v[4];
	struct shared w;

	(void)state;
	four_counters(defs);
	shared_init(&w, defs, 4, 8);
	run_threads(&w, calls);
	assert_idle(&w);
	assert_int_equal(engine_snapshot(w.e, NOON, v, 4), 4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(v[i].posted, 0);
	shared_done(&w);
}

/* --- a stampede --------------------------------------------------------------------------------------------------- */

static void *stampede(void *arg)
{
	struct worker *k = arg;
	struct facts f = facts_of("ann", "red");
	struct amounts worst = usd(2);
	struct decision d;
	struct match m;
	struct hold h;

	(void)pthread_barrier_wait(&k->w->start);
	for (int i = 0; i < 125; i++) {
		CHECK(engine_match(k->w->e, &f, &m) == BUR_OK);
		if (engine_reserve(k->w->e, &m, &worst, NOON, &h, &d) == BUR_OK)
			atomic_fetch_add(&k->w->admitted, 1);
		maybe_yield(k);
	}
	return NULL;
}

/* T8: a thousand calls on a limit of 37.5 worst cases, in one budget and in sixteen. */
static void a_stampede_admits_exactly_what_fits(void **state)
{
	struct budget defs[MATCH_MAX];
	char names[MATCH_MAX][8];

	(void)state;
	for (size_t i = 0; i < MATCH_MAX; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "b%zu", i);
		defs[i] = budget_of(names[i], i == 0 ? 75 : 75 + (int64_t)i);
	}
	for (size_t n = 1; n <= MATCH_MAX; n += MATCH_MAX - 1) {
		struct meter_view v[MATCH_MAX];
		struct shared w;

		shared_init(&w, defs, n, MATCH_MAX);
		run_threads(&w, stampede);
		assert_int_equal(atomic_load(&w.admitted), 37);
		assert_int_equal(engine_snapshot(w.e, NOON, v, MATCH_MAX), n);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(v[i].held, 74);
		engine_check(w.e);
		shared_done(&w);
	}
}

/* --- new counters ------------------------------------------------------------------------------------------------- */

static void *new_scopes(void *arg)
{
	struct worker *k = arg;
	char user[16];
	struct match m;

	(void)pthread_barrier_wait(&k->w->start);
	for (long i = 0; i < k->w->ops / 5; i++) {
		size_t u = next_random(k) % USERS;
		uint32_t seen = 0;
		struct facts f;
		int r;

		(void)snprintf(user, sizeof(user), "user%zu", u);
		f = facts_of(user, "red");
		r = engine_match(k->w->e, &f, &m);
		CHECK(r == BUR_OK || r == BUR_FULL);
		if (r == BUR_FULL) { /* then nobody ever got one */
			CHECK(atomic_load(&k->w->user_meter[u]) == 0);
			continue;
		}
		if (!atomic_compare_exchange_strong(&k->w->user_meter[u], &seen, m.meter[0] + 1))
			CHECK(seen == m.meter[0] + 1);
		if (next_random(k) % 256 == 0)
			check_limits(k->w);
	}
	return NULL;
}

static void r4_3_each_scope_gets_one_counter(void **state)
{
	struct budget b = budget_of("per", LIMIT);
	bool taken[USERS] = {false};
	struct shared w;
	size_t n = 0;

	(void)state;
	budget_per(&b, FACT_USER);
	shared_init(&w, &b, 1, USERS / 2);
	run_threads(&w, new_scopes);
	for (size_t i = 0; i < USERS; i++) {
		uint32_t meter = atomic_load(&w.user_meter[i]);

		if (meter == 0)
			continue;
		assert_in_range(meter, 1, USERS / 2);
		assert_false(taken[meter - 1]);
		taken[meter - 1] = true;
		n++;
	}
	assert_int_equal(n, USERS / 2);
	assert_int_equal(engine_snapshot(w.e, NOON, NULL, 0), USERS / 2);
	shared_done(&w);
}

#define ROUNDS 400

/* All threads at once for the same new user, again and again: who loses the race must find the winner's counter. */
static void *same_new_scope(void *arg)
{
	struct worker *k = arg;
	char user[16];
	struct match m;

	for (int i = 0; i < ROUNDS; i++) {
		struct facts f;

		(void)snprintf(user, sizeof(user), "user%d", i);
		f = facts_of(user, "red");
		(void)pthread_barrier_wait(&k->w->start);
		CHECK(engine_match(k->w->e, &f, &m) == BUR_OK);
		CHECK(m.meter[0] == (uint32_t)i);
	}
	return NULL;
}

static void r4_3_a_race_for_a_scope_has_one_winner(void **state)
{
	struct budget b = budget_of("per", LIMIT);
	struct shared w;

	(void)state;
	budget_per(&b, FACT_USER);
	shared_init(&w, &b, 1, ROUNDS + 1);
	run_threads(&w, same_new_scope);
	assert_int_equal(engine_snapshot(w.e, NOON, NULL, 0), ROUNDS);
	shared_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(i1_i2_i13_near_the_limit_while_windows_roll),
	    cmocka_unit_test(i1_i2_i13_near_the_limit_while_buckets_leave),
	    cmocka_unit_test(r5_8_r5_9_changes_while_calls_run),
	    cmocka_unit_test(i4_i9_what_was_settled_is_posted_in_every_budget),
	    cmocka_unit_test(i8_only_voids_leave_nothing),
	    cmocka_unit_test(a_stampede_admits_exactly_what_fits),
	    cmocka_unit_test(r4_3_each_scope_gets_one_counter),
	    cmocka_unit_test(r4_3_a_race_for_a_scope_has_one_winner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
