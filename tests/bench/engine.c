/* engine - speed of the budget engine alone: reserve and settle pairs over six budgets on one and eight threads, how
 * long the lock is held, and bytes for a counter at a million of them. With a number: only so
 * many pairs, for counting instructions. */
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "policy/engine.h"

#define BUDGETS 6
#define THREADS_MAX 8
#define PAIRS (INT64_C(1) << 19)
#define ROUNDS 9
#define SAMPLES (1 << 18)
#define COUNTERS 1000000
#define NOW INT64_C(1793275200)

static struct tz *utc;

static struct budget budget_named(const char *name, enum window_kind kind)
{
	return (struct budget){.name = name,
			       .window = {.kind = kind, .month_anchor = 1, .tz = utc},
			       .window_name = "",
			       .unit = UNIT_USD,
			       .limit = INT64_MAX / 2,
			       .mode = MODE_HARD};
}

static struct budget_set *set_new(const struct budget *defs, size_t n)
{
	struct budget_set *set = NULL;
	char err[512] = "";

	CHECK(budget_set_new(defs, n, &set, err, sizeof(err)) == BUR_OK);
	return set;
}

static struct engine *engine_of(const struct budget_set *set, size_t max_meters)
{
	struct engine_config cfg = {.max_meters = max_meters};
	struct engine *e = engine_new(set, &cfg);

	CHECK(e);
	return e;
}

/* --- pairs -------------------------------------------------------------------------------------------------------- */

struct run {
	struct engine *e;
	struct match match;
	int64_t pairs;
	pthread_barrier_t start;
};

static void pair(struct engine *e, const struct match *m)
{
	const struct amounts worst = {.nanousd = 1000, .tokens = 100, .requests = 1};
	const struct amounts actual = {.nanousd = 700, .tokens = 70, .requests = 1};
	struct settlement s;
	struct decision d;
	struct hold h;

	CHECK(engine_reserve(e, m, &worst, NOW, &h, &d) == BUR_OK);
	CHECK(engine_mark_sent(e, &h) == BUR_OK);
	CHECK(engine_settle(e, &h, &actual, &s) == BUR_OK);
}

static void *body(void *arg)
{
	struct run *r = arg;

	(void)pthread_barrier_wait(&r->start);
	for (int64_t i = 0; i < r->pairs; i++)
		pair(r->e, &r->match);
	return NULL;
}

static double pairs_per_s(struct run *r, unsigned threads)
{
	pthread_t t[THREADS_MAX];
	int64_t began;

	r->pairs = PAIRS / threads;
	CHECK(pthread_barrier_init(&r->start, NULL, threads + 1) == 0);
	for (unsigned i = 0; i < threads; i++)
		CHECK(pthread_create(&t[i], NULL, body, r) == 0);
	(void)pthread_barrier_wait(&r->start);
	began = clock_mono_ns();
	for (unsigned i = 0; i < threads; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	began = clock_mono_ns() - began;
	(void)pthread_barrier_destroy(&r->start);
	return (double)(r->pairs * threads) * 1e9 / (double)began;
}

static int64_t cpu_ns(void)
{
	struct timespec t;

	CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* By the thread's own time: what a quiet core does, also on a machine that others use. */
static double pairs_per_cpu_s(struct run *r)
{
	int64_t began = cpu_ns();

	for (int64_t i = 0; i < PAIRS; i++)
		pair(r->e, &r->match);
	return (double)PAIRS * 1e9 / (double)(cpu_ns() - began);
}

static double best_of(struct run *r, unsigned threads)
{
	double best = 0;

	for (int i = 0; i < ROUNDS; i++) {
		double now = threads == 1 ? pairs_per_cpu_s(r) : pairs_per_s(r, threads);

		best = now > best ? now : best;
	}
	return best;
}

/* --- the lock ----------------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t clock_cost(uint64_t *ns)
{
	for (size_t i = 0; i < SAMPLES; i++) {
		int64_t t = clock_mono_ns();

		ns[i] = (uint64_t)(clock_mono_ns() - t);
	}
	qsort(ns, SAMPLES, sizeof(*ns), by_value);
	return ns[SAMPLES / 2];
}

static void print_times(const char *what, uint64_t *ns, uint64_t clock_ns)
{
	for (size_t i = 0; i < SAMPLES; i++)
		ns[i] = ns[i] > clock_ns ? ns[i] - clock_ns : 0;
	qsort(ns, SAMPLES, sizeof(*ns), by_value);
	printf("lock held by a %s: median %" PRIu64 " ns, p99 %" PRIu64 " ns, p99.9 %" PRIu64 " ns\n", what,
	       ns[SAMPLES / 2], ns[SAMPLES / 100 * 99], ns[SAMPLES / 1000 * 999]);
}

/* Uncontended calls do little but hold the lock; what reading the clock costs is taken off. */
static void print_hold_times(struct run *r)
{
	static uint64_t reserve_ns[SAMPLES], settle_ns[SAMPLES];
	const struct amounts worst = {.nanousd = 1000, .tokens = 100, .requests = 1};
	uint64_t clock_ns = clock_cost(reserve_ns);
	struct settlement s;
	struct decision d;
	struct hold h;
	int64_t t;

	for (size_t i = 0; i < SAMPLES; i++) {
		t = clock_mono_ns();
		CHECK(engine_reserve(r->e, &r->match, &worst, NOW, &h, &d) == BUR_OK);
		reserve_ns[i] = (uint64_t)(clock_mono_ns() - t);
		CHECK(engine_mark_sent(r->e, &h) == BUR_OK);
		t = clock_mono_ns();
		CHECK(engine_settle(r->e, &h, &worst, &s) == BUR_OK);
		settle_ns[i] = (uint64_t)(clock_mono_ns() - t);
	}
	print_times("reserve", reserve_ns, clock_ns);
	print_times("settle", settle_ns, clock_ns);
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

static size_t heap_bytes(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static size_t resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long size = 0, resident = 0;

	CHECK(f && fscanf(f, "%lu %lu", &size, &resident) == 2);
	(void)fclose(f);
	return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* All that the allocator gave: counters, their names, the tables that find them. What it keeps of freed memory makes
 * the resident figure a little less for the later ones. */
static void print_counter_bytes(const char *what, struct budget b)
{
	struct budget_set *set;
	struct engine *e;
	struct match m;
	size_t heap, resident;
	char user[32];

	b.per[0] = (struct per){.fact = FACT_USER};
	b.n_per = 1;
	set = set_new(&b, 1);
	(void)malloc_trim(0);
	heap = heap_bytes();
	resident = resident_bytes();
	e = engine_of(set, COUNTERS);
	for (int i = 0; i < COUNTERS; i++) {
		struct facts f = {.n_tags = 0};

		(void)snprintf(user, sizeof(user), "user-%07d", i);
		f.v[FACT_USER] = slice_of(user);
		CHECK(engine_match(e, &f, &m) == BUR_OK);
	}
	printf("bytes for a counter at %d, name and tables included, %-10s %6.1f (resident %6.1f)\n", COUNTERS, what,
	       (double)(heap_bytes() - heap) / COUNTERS, (double)(resident_bytes() - resident) / COUNTERS);
	engine_free(e);
	budget_set_free(set);
}

static void print_pairs(const char *what, const struct budget *defs, bool hold_times)
{
	struct budget_set *set = set_new(defs, BUDGETS);
	struct run r = {.e = engine_of(set, 64)};
	struct facts f = {.n_tags = 0};

	CHECK(engine_match(r.e, &f, &r.match) == BUR_OK && r.match.n == BUDGETS);
	printf("%-24s 1 thread %6.2f M pairs/s, 8 threads %6.2f M pairs/s\n", what, best_of(&r, 1) / 1e6,
	       best_of(&r, THREADS_MAX) / 1e6);
	if (hold_times)
		print_hold_times(&r);
	engine_check(r.e);
	engine_free(r.e);
	budget_set_free(set);
}

/* Only pairs, for counting instructions. */
static void run_pairs(const struct budget *defs, long count)
{
	struct budget_set *set = set_new(defs, BUDGETS);
	struct run r = {.e = engine_of(set, 64)};
	struct facts f = {.n_tags = 0};

	CHECK(engine_match(r.e, &f, &r.match) == BUR_OK);
	for (long i = 0; i < count; i++)
		pair(r.e, &r.match);
	engine_free(r.e);
	budget_set_free(set);
}

int main(int argc, char **argv)
{
	static const char *const names[BUDGETS] = {"a", "b", "c", "d", "e", "f"};
	struct budget defs[BUDGETS];

	CHECK(tz_load("UTC", &utc) == BUR_OK);
	for (size_t i = 0; i < BUDGETS; i++)
		defs[i] = budget_named(names[i], (enum window_kind)i);
	if (argc > 1) {
		run_pairs(defs, strtol(argv[1], NULL, 10));
		return 0;
	}
	print_pairs("six calendar budgets:", defs, true);
	for (size_t i = 0; i < BUDGETS; i++)
		defs[i].rolling_s = 86400;
	print_pairs("six rolling budgets:", defs, false);
	print_counter_bytes("calendar:", budget_named("a", WINDOW_DAY));
	print_counter_bytes("total:", budget_named("a", WINDOW_TOTAL));
	print_counter_bytes("rolling:", defs[0]);
	tz_free(utc);
	return 0;
}
