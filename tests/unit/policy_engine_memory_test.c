/* The engine without memory: it is compiled here once more with an allocator that fails on demand. Whatever fails,
 * calls are refused, nothing is half taken, and it goes on when there is memory again. */
#include <stdlib.h>

static long allocations_left = -1; /* negative: as many as wanted */

static int no_memory(void)
{
	if (allocations_left == 0)
		return 1;
	allocations_left -= allocations_left > 0;
	return 0;
}

static void *test_calloc(size_t n, size_t size)
{
	return no_memory() ? NULL : calloc(n, size);
}

static void *test_malloc(size_t size)
{
	return no_memory() ? NULL : malloc(size);
}

static void *test_aligned_alloc(size_t alignment, size_t size)
{
	return no_memory() ? NULL : aligned_alloc(alignment, size);
}

#define calloc test_calloc
#define malloc test_malloc
#define aligned_alloc test_aligned_alloc
#include "policy/budget.c"
#include "policy/engine.c"
#include "policy/engine_change.c"
#include "policy/engine_credit.c"
#include "policy/engine_decide.c"
#include "policy/engine_hold.c"
#include "policy/engine_ladder.c"
#include "policy/engine_table.c"
#include "policy/engine_view.c"
#include "policy/engine_window.c"
#undef calloc
#undef malloc
#undef aligned_alloc

#include "tests/unit/policy_build.h"

static struct budget_set *set;
static struct engine *engine;

static void world_begin(const struct budget *b)
{
	struct engine_config cfg = {.max_meters = 8};

	set = set_of(b, 1);
	engine = engine_new(set, &cfg);
	assert_non_null(engine);
}

static void world_end(void)
{
	engine_check(engine);
	engine_free(engine);
	budget_set_free(set);
}

static struct facts facts_user(const char *user)
{
	return facts_of(user, "");
}

/* --- tests -------------------------------------------------------------------------------------------------------- */

static void a_set_that_cannot_be_made_says_so(void **state)
{
	struct budget b = budget_of("b", 1);
	struct budget_set *none = NULL;
	char err[64];

	(void)state;
	for (long n = 0; n < 2; n++) {
		allocations_left = n;
		assert_int_equal(budget_set_new(&b, 1, &none, err, sizeof(err)), BUR_NOMEM);
		assert_string_equal(err, "out of memory");
		assert_null(none);
	}
	allocations_left = -1;
}

static void an_engine_that_cannot_be_made_is_none(void **state)
{
	struct engine_config cfg = {.max_meters = 8};
	struct budget b = budget_of("b", 1);
	struct engine *e = NULL;
	long n;

	(void)state;
	set = set_of(&b, 1);
	for (n = 0; !e && n < 100; n++) {
		allocations_left = n;
		e = engine_new(set, &cfg);
	}
	allocations_left = -1;
	assert_int_equal(n, 6); /* itself, its budgets, two tables, the budget's own counter; then it is there */
	engine_free(e);
	engine_free(NULL);
	budget_set_free(set);
}

static void a_counter_that_cannot_be_made_refuses_its_call(void **state)
{
	struct budget b = budget_of("b", 100);
	struct facts f = facts_user("ann");
	struct match m;

	(void)state;
	budget_per(&b, FACT_USER);
	world_begin(&b);
	allocations_left = 0;
	assert_int_equal(engine_match(engine, &f, &m), BUR_FULL);
	allocations_left = -1;
	assert_int_equal(engine_match(engine, &f, &m), BUR_OK);
	assert_int_equal(m.n, 1);
	world_end();
}

static void a_hold_without_room_for_its_end_of_window_is_refused(void **state)
{
	struct budget b = budget_of("b", 100);
	struct facts f = facts_user("ann");
	struct amounts worst = usd(10);
	struct hold h = {.state = HOLD_NONE};
	struct decision d;
	struct match m;

	(void)state;
	world_begin(&b);
	assert_int_equal(engine_match(engine, &f, &m), BUR_OK);
	allocations_left = 0;
	assert_int_equal(engine_reserve(engine, &m, &worst, NOON, &h, &d), BUR_FULL);
	assert_int_equal(h.state, HOLD_NONE);
	assert_int_equal(engine_open_holds(engine), 0);
	allocations_left = -1;
	assert_int_equal(engine_reserve(engine, &m, &worst, NOON, &h, &d), BUR_OK);
	/* From now on there are spares: no memory is asked for. */
	allocations_left = 0;
	for (int i = 0; i < 8; i++) {
		struct hold more;

		assert_int_equal(engine_reserve(engine, &m, &worst, NOON + i * DAY_S / 4, &more, &d), BUR_OK);
		assert_int_equal(engine_void(engine, &more), BUR_OK);
	}
	allocations_left = -1;
	world_end();
}

static void a_credit_without_memory_is_not_granted(void **state)
{
	struct engine_credit credit = {.amount = 5, .expires_s = NOON + 60};
	struct budget b = budget_of("b", 100);
	struct engine_change change;
	struct meter_view v;

	(void)state;
	world_begin(&b);
	allocations_left = 0;
	assert_int_equal(engine_credit(engine, SLICE("b"), SLICE_NONE, &credit, NOON, &change), BUR_NOMEM);
	allocations_left = -1;
	assert_int_equal(engine_snapshot(engine, NOON, &v, 1), 1);
	assert_int_equal(v.credit, 0);
	world_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_set_that_cannot_be_made_says_so),
	    cmocka_unit_test(an_engine_that_cannot_be_made_is_none),
	    cmocka_unit_test(a_counter_that_cannot_be_made_refuses_its_call),
	    cmocka_unit_test(a_hold_without_room_for_its_end_of_window_is_refused),
	    cmocka_unit_test(a_credit_without_memory_is_not_granted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
