/* The engine, compiled here once more with twelve places at which other threads may go first: eight threads on four
 * counters near their limits. What each call did is put in the order in which the lock was held, and done again by a
 * model one after the other: it must come to the same answers (I1, I4, I13) and the same counters (I2).
 * Meant for -fsanitize=thread too. BURSAR_THREADS_OPS=n operations per thread (default 20000). */
#define ENGINE_PERTURB
#include "policy/engine.c"
#include "policy/engine_change.c"
#include "policy/engine_credit.c"
#include "policy/engine_decide.c"
#include "policy/engine_hold.c"
#include "policy/engine_ladder.c"
#include "policy/engine_table.c"
#include "policy/engine_view.c"
#include "policy/engine_window.c"

#include "tests/unit/policy_build.h"

#include <sched.h>
#include <unistd.h>

#define THREADS 8
#define OPS_DEFAULT 20000
#define ROUND_OPS 2000
#define SLOTS 8 /* holds of one thread */
#define METERS 4
#define HOURS_PER_ROUND 2
#define WINDOWS_MAX 8
#define USERS 500

/* --- other schedules ---------------------------------------------------------------------------------------------- */

static _Thread_local uint64_t rng = 1;
static _Thread_local size_t my_place; /* in the order of the lock */
static size_t places_given;           /* under the lock */
static _Atomic(uint64_t) visits[PERTURB_COUNT];

static uint64_t next_random(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

void engine_perturb(enum perturb at)
{
	uint64_t dice = next_random() % 4096;

	atomic_fetch_add_explicit(&visits[at], 1, memory_order_relaxed);
	if (at == PERTURB_UNLOCK)
		my_place = places_given++;
	if (dice == 0)
		(void)usleep((useconds_t)(next_random() % 40));
	else if (dice < 64)
		(void)sched_yield();
}

/* --- what was done ------------------------------------------------------------------------------------------------ */

enum op { OP_NONE, OP_RESERVE, OP_EXTEND, OP_SHRINK, OP_SETTLE, OP_VOID };

struct record {
	enum op op;
	int hold, team, result;
	struct amounts amounts;
	int64_t now_s;
};

static struct shared {
	struct engine *e;
	struct budget_set *set;
	_Atomic(int64_t) now_s;
	pthread_barrier_t barrier;
	long rounds;
	struct record log[THREADS * ROUND_OPS * 2];
	struct hold holds[THREADS * SLOTS];
	int team[THREADS * SLOTS];
	long since[THREADS * SLOTS]; /* round */
} w;

static const char *const teams[] = {"red", "blue", ""};

static void record(enum op op, int hold, struct amounts amounts, int64_t now_s, int result)
{
	CHECK(my_place < ARRAY_LEN(w.log));
	w.log[my_place] = (struct record){op, hold, w.team[hold], result, amounts, now_s};
}

/* --- the same again, one after the other -------------------------------------------------------------------------- */

struct model_window {
	int64_t start, posted, held, open;
};
static struct {
	int64_t limit[METERS], now_s;
	struct model_window windows[METERS][WINDOWS_MAX];
	struct model_hold {
		bool open;
		int team;
		int64_t window;
		struct amounts worst;
	} holds[THREADS * SLOTS];
} model;

/* all | red | blue | tokens of all */
static bool touches(int meter, int team)
{
	return meter == 0 || meter == 3 || meter == 1 + team;
}

static int64_t of_meter(int meter, const struct amounts *a)
{
	return meter == 3 ? a->tokens : a->nanousd;
}

/* Windows without holds are forgotten when they are over. */
static struct model_window *window_of(int meter, int64_t start)
{
	struct model_window *unused = NULL;

	for (int i = 0; i < WINDOWS_MAX; i++) {
		struct model_window *v = &model.windows[meter][i];

		if (v->start == start)
			return v;
		if (v->open == 0)
			unused = v;
	}
	assert_non_null(unused);
	*unused = (struct model_window){.start = start};
	return unused;
}

static bool model_take(const struct record *r, int64_t window)
{
	for (int m = 0; m < METERS; m++) {
		const struct model_window *v = window_of(m, window);
		int64_t need = of_meter(m, &r->amounts);

		if (touches(m, r->team) && need > 0 && v->posted + v->held + need > model.limit[m])
			return false;
	}
	for (int m = 0; m < METERS; m++) {
		if (touches(m, r->team))
			window_of(m, window)->held += of_meter(m, &r->amounts);
	}
	return true;
}

static void model_give_back(const struct model_hold *h, const struct amounts *a)
{
	for (int m = 0; m < METERS; m++) {
		if (touches(m, h->team))
			window_of(m, h->window)->held -= of_meter(m, a);
	}
}

static void model_open(const struct model_hold *h, int n)
{
	for (int m = 0; m < METERS; m++) {
		if (touches(m, h->team))
			window_of(m, h->window)->open += n;
	}
}

static void model_reserve(const struct record *r, struct model_hold *h)
{
	int64_t window = model.now_s / HOUR_S * HOUR_S;

	assert_false(h->open);
	assert_int_equal(r->result, model_take(r, window) ? BUR_OK : BUR_DENIED);
	if (r->result < 0)
		return;
	*h = (struct model_hold){true, r->team, window, r->amounts};
	model_open(h, 1);
}

static void model_end(const struct record *r, struct model_hold *h)
{
	assert_int_equal(r->result, BUR_OK);
	model_give_back(h, &h->worst);
	for (int m = 0; m < METERS && r->op == OP_SETTLE; m++) {
		if (touches(m, h->team))
			window_of(m, h->window)->posted += of_meter(m, &r->amounts);
	}
	model_open(h, -1);
	h->open = false;
}

static void model_change(const struct record *r, struct model_hold *h)
{
	int sign = r->op == OP_EXTEND ? 1 : -1;

	assert_int_equal(r->result, r->op == OP_SHRINK || model_take(r, h->window) ? BUR_OK : BUR_DENIED);
	if (r->result < 0)
		return;
	if (r->op == OP_SHRINK)
		model_give_back(h, &r->amounts);
	h->worst.nanousd += sign * r->amounts.nanousd;
	h->worst.tokens += sign * r->amounts.tokens;
}

static void replay(void)
{
	for (size_t i = 0; i < places_given; i++) {
		const struct record *r = &w.log[i];
		struct model_hold *h = &model.holds[r->hold];

		if (r->op == OP_NONE)
			continue;
		model.now_s = r->now_s > model.now_s ? r->now_s : model.now_s;
		if (r->op == OP_RESERVE)
			model_reserve(r, h);
		else if (r->op == OP_EXTEND || r->op == OP_SHRINK)
			model_change(r, h);
		else
			model_end(r, h);
	}
}

/* Every window that the engine has, and no hold more. */
static void assert_same_state(void)
{
	struct meter_view views[METERS * WINDOWS_MAX];
	size_t n = engine_snapshot(w.e, model.now_s, views, ARRAY_LEN(views)), open = 0;
	int64_t held = 0, held_by_model = 0;

	assert_in_range(n, METERS, ARRAY_LEN(views));
	for (size_t i = 0; i < n; i++) {
		int m = views[i].budget->name[0] - 'a';
		const struct model_window *v = window_of(m, views[i].win_start);

		assert_int_equal(views[i].posted, v->posted);
		assert_int_equal(views[i].held, v->held);
		assert_true(v->posted + v->held <= model.limit[m]);
		held += views[i].held;
	}
	for (size_t i = 0; i < ARRAY_LEN(model.holds); i++) {
		const struct model_hold *h = &model.holds[i];

		open += h->open;
		for (int m = 0; m < METERS && h->open; m++)
			held_by_model += touches(m, h->team) ? of_meter(m, &h->worst) : 0;
	}
	assert_int_equal(held, held_by_model);
	assert_int_equal(engine_open_holds(w.e), open);
	engine_check(w.e);
}

/* --- threads ------------------------------------------------------------------------------------------------------ */

static struct amounts random_amounts(int64_t most)
{
	return (struct amounts){(int64_t)(next_random() % (uint64_t)most), (int64_t)(next_random() % (uint64_t)most),
				0};
}

static void reserve_one(int hold, long round)
{
	struct amounts worst = random_amounts(200);
	int64_t now_s = atomic_load(&w.now_s);
	struct decision d;
	struct facts f;
	struct match m;
	int r;

	w.team[hold] = (int)(next_random() % 3);
	w.since[hold] = round;
	f = facts_of("ann", teams[w.team[hold]]);
	CHECK(engine_match(w.e, &f, &m) == BUR_OK);
	r = engine_reserve(w.e, &m, &worst, now_s, &w.holds[hold], &d);
	record(OP_RESERVE, hold, worst, now_s, r);
	if (r == BUR_OK && next_random() % 8 != 0)
		CHECK(engine_mark_sent(w.e, &w.holds[hold]) == BUR_OK);
}

static void end_one(int hold)
{
	struct hold *h = &w.holds[hold];
	struct amounts actual = {(int64_t)(next_random() % (uint64_t)(h->worst.nanousd + 1)),
				 (int64_t)(next_random() % (uint64_t)(h->worst.tokens + 1)), 0};
	struct settlement s;
	int r;

	if (h->state == HOLD_RESERVED || next_random() % 3 == 0) {
		r = engine_void(w.e, h);
		record(OP_VOID, hold, actual, 0, r);
	} else {
		r = engine_settle(w.e, h, &actual, &s);
		record(OP_SETTLE, hold, actual, 0, r);
	}
	h->state = HOLD_NONE;
}

static void change_one(int hold)
{
	struct hold *h = &w.holds[hold];
	struct amounts some = random_amounts(50);
	int64_t now_s = atomic_load(&w.now_s);
	struct decision d;
	int r;

	if (next_random() % 2 == 0) {
		some.nanousd = some.nanousd < h->worst.nanousd ? some.nanousd : h->worst.nanousd;
		some.tokens = some.tokens < h->worst.tokens ? some.tokens : h->worst.tokens;
		r = engine_shrink(w.e, h, &some);
		record(OP_SHRINK, hold, some, 0, r);
	} else if (h->state == HOLD_SENT) {
		r = engine_extend(w.e, h, &some, now_s, &d);
		record(OP_EXTEND, hold, some, now_s, r);
	}
}

static bool is_free(int hold)
{
	return w.holds[hold].state != HOLD_RESERVED && w.holds[hold].state != HOLD_SENT;
}

static void one_round(int thread, long round)
{
	int first = thread * SLOTS;

	for (int i = first; i < first + SLOTS; i++) {
		if (!is_free(i) && w.since[i] < round - 1)
			end_one(i); /* before it has seen too many windows */
	}
	for (int i = 0; i < ROUND_OPS - SLOTS; i++) {
		int hold = first + (int)(next_random() % SLOTS);

		if (is_free(hold))
			reserve_one(hold, round);
		else if (next_random() % 4 == 0)
			change_one(hold);
		else
			end_one(hold);
		if (thread == 0 && i % (ROUND_OPS / HOURS_PER_ROUND) == 1)
			atomic_fetch_add(&w.now_s, HOUR_S);
	}
}

static void *worker(void *arg)
{
	int thread = *(int *)arg;

	rng = UINT64_C(0x9e3779b97f4a7c15) * (uint64_t)(thread + 1);
	for (long round = 0; round < w.rounds; round++) {
		(void)pthread_barrier_wait(&w.barrier);
		one_round(thread, round);
		(void)pthread_barrier_wait(&w.barrier);
	}
	return NULL;
}

static long rounds_wanted(void)
{
	const char *text = getenv("BURSAR_THREADS_OPS");

	return (text && text[0] ? strtol(text, NULL, 10) : OPS_DEFAULT) / ROUND_OPS + 1;
}

static void start(pthread_t *threads, int *numbers, void *(*body)(void *))
{
	assert_int_equal(pthread_barrier_init(&w.barrier, NULL, THREADS + 1), 0);
	for (int i = 0; i < THREADS; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, body, &numbers[i]), 0);
	}
}

static void join(pthread_t *threads)
{
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	(void)pthread_barrier_destroy(&w.barrier);
}

static void world_begin(const struct budget *defs, size_t n)
{
	struct engine_config cfg = {.max_meters = USERS + METERS};

	memset(&w, 0, sizeof(w));
	memset(&model, 0, sizeof(model));
	w.set = set_of(defs, n);
	w.e = engine_new(w.set, &cfg);
	assert_non_null(w.e);
	w.rounds = rounds_wanted();
	atomic_store(&w.now_s, NOON);
	model.now_s = NOON;
	for (size_t i = 0; i < n && i < METERS; i++)
		model.limit[i] = defs[i].limit;
}

static void world_end(void)
{
	engine_free(w.e);
	budget_set_free(w.set);
}

/* --- tests -------------------------------------------------------------------------------------------------------- */

static void i1_i2_i4_i13_in_the_order_of_the_lock(void **state)
{
	struct budget defs[METERS] = {budget_of("a", 2000), budget_of("b", 900), budget_of("c", 900),
				      budget_of("d", 2200)};
	pthread_t threads[THREADS];
	int numbers[THREADS];

	(void)state;
	budget_select(&defs[1], FACT_TEAM, "red");
	budget_select(&defs[2], FACT_TEAM, "blue");
	defs[3].unit = UNIT_TOKENS;
	for (size_t i = 0; i < METERS; i++)
		defs[i].window.kind = WINDOW_HOUR;
	world_begin(defs, METERS);
	start(threads, numbers, worker);
	for (long round = 0; round < w.rounds; round++) {
		memset(w.log, 0, sizeof(w.log));
		places_given = 0;
		(void)pthread_barrier_wait(&w.barrier);
		(void)pthread_barrier_wait(&w.barrier);
		replay();
		assert_same_state();
	}
	join(threads);
	world_end();
}

static _Atomic(uint32_t) meter_of_user[USERS]; /* index + 1 */

static void *match_users(void *arg)
{
	rng = (uint64_t)(*(int *)arg + 1) * UINT64_C(0x9e3779b97f4a7c15);
	(void)pthread_barrier_wait(&w.barrier);
	for (int i = 0; i < 8 * USERS; i++) {
		size_t user = next_random() % USERS;
		char name[16];
		struct facts f;
		struct match m;
		uint32_t known = 0;

		(void)snprintf(name, sizeof(name), "u%zu", user);
		f = facts_of(name, "");
		CHECK(engine_match(w.e, &f, &m) == BUR_OK && m.n == 1);
		if (!atomic_compare_exchange_strong(&meter_of_user[user], &known, m.meter[0] + 1))
			CHECK(known == m.meter[0] + 1);
	}
	return NULL;
}

static void r4_3_counters_are_made_once(void **state)
{
	struct budget b = budget_of("b", 1);
	pthread_t threads[THREADS];
	int numbers[THREADS], made = 0;

	(void)state;
	budget_per(&b, FACT_USER);
	world_begin(&b, 1);
	start(threads, numbers, match_users);
	(void)pthread_barrier_wait(&w.barrier);
	join(threads);
	for (size_t i = 0; i < USERS; i++)
		made += atomic_load(&meter_of_user[i]) != 0;
	assert_int_equal(engine_snapshot(w.e, NOON, NULL, 0), made);
	world_end();
}

static _Atomic(int) ended;

/* Everybody tries to end everybody's holds. */
static void end_each(void)
{
	struct amounts actual = usd(1);
	struct settlement s;

	for (size_t i = 0; i < ARRAY_LEN(w.holds); i++) {
		int r = next_random() % 3 == 0 ? engine_mark_sent(w.e, &w.holds[i]) : BUR_OK;

		CHECK(r == BUR_OK || r == BUR_ALREADY);
		if (next_random() % 2 == 0)
			atomic_fetch_add(&ended, engine_void(w.e, &w.holds[i]) == BUR_OK);
		else
			atomic_fetch_add(&ended, engine_settle(w.e, &w.holds[i], &actual, &s) == BUR_OK);
	}
}

static void *end_all(void *arg)
{
	rng = (uint64_t)(*(int *)arg + 1) * UINT64_C(0x9e3779b97f4a7c15);
	for (long round = 0; round < w.rounds; round++) {
		(void)pthread_barrier_wait(&w.barrier);
		end_each();
		(void)pthread_barrier_wait(&w.barrier);
	}
	return NULL;
}

static void i5_each_hold_ends_once(void **state)
{
	struct budget b = budget_of("b", INT64_MAX);
	struct facts f = facts_of("ann", "");
	struct amounts worst = usd(2);
	pthread_t threads[THREADS];
	struct decision d;
	int numbers[THREADS];
	struct match m;

	(void)state;
	world_begin(&b, 1);
	w.rounds *= 10;
	assert_int_equal(engine_match(w.e, &f, &m), BUR_OK);
	start(threads, numbers, end_all);
	for (long round = 0; round < w.rounds; round++) {
		size_t before = engine_open_holds(w.e), left;

		atomic_store(&ended, 0);
		for (size_t i = 0; i < ARRAY_LEN(w.holds); i++)
			assert_int_equal(engine_reserve(w.e, &m, &worst, NOON, &w.holds[i], &d), BUR_OK);
		(void)pthread_barrier_wait(&w.barrier);
		(void)pthread_barrier_wait(&w.barrier);
		left = engine_open_holds(w.e) - before; /* never sent, and never voided */
		assert_int_equal((size_t)atomic_load(&ended) + left, ARRAY_LEN(w.holds));
		engine_check(w.e);
	}
	join(threads);
	world_end();
}

/* The tests above were of some use: every place was passed. */
static void all_twelve_places_were_passed(void **state)
{
	(void)state;
	assert_int_equal(PERTURB_COUNT, 12);
	for (size_t i = 0; i < PERTURB_COUNT; i++)
		assert_true(atomic_load(&visits[i]) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(i1_i2_i4_i13_in_the_order_of_the_lock),
	    cmocka_unit_test(r4_3_counters_are_made_once),
	    cmocka_unit_test(i5_each_hold_ends_once),
	    cmocka_unit_test(all_twelve_places_were_passed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
