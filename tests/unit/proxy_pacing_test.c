/* proxy_pacing_test - counters are paced each for itself, all of a call's or none; the table forgets who owes nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "proxy/pacing.h"

#define S INT64_C(1000000000)

/* A nano-dollar a second, ten at once, and twenty seconds are waited at most. */
static struct pacing_claim claim(uint64_t uid, int64_t cost)
{
	return (struct pacing_claim){
	    .uid = uid, .rate = {1, S}, .limits = {.burst_ns = 10 * S, .max_wait_ns = 20 * S}, .cost_nanousd = cost};
}

static int64_t wait_of(struct pacing_table *t, const struct pacing_claim *c, size_t n, int64_t now_ns)
{
	int64_t wait;
	int retry;

	return pacing_take(t, c, n, now_ns, &wait, &retry) == BUR_OK ? wait : -retry;
}

static void test_each_for_itself(void **state)
{
	struct pacing_table *t = pacing_table_new();
	struct pacing_claim a = claim(1, 10), b = claim(2, 10);

	(void)state;
	assert_int_equal(wait_of(t, &a, 1, 100 * S), 0);
	assert_int_equal(wait_of(t, &b, 1, 100 * S), 0);
	assert_int_equal(wait_of(t, &a, 1, 100 * S), 10 * S);
	assert_int_equal(wait_of(t, &a, 1, 100 * S), 20 * S);
	assert_int_equal(wait_of(t, &a, 1, 100 * S), -10); /* thirty would be waited: again in ten */
	assert_int_equal(wait_of(t, &a, 1, 110 * S), 20 * S);
	pacing_give_back(t, &a, 1, 0, 110 * S);
	assert_int_equal(wait_of(t, &a, 1, 110 * S), 20 * S);
	pacing_give_back(t, &a, 1, 4, 110 * S); /* it cost four of the ten */
	assert_int_equal(wait_of(t, &a, 1, 114 * S), 20 * S);
	pacing_table_free(t);
}

static void test_all_or_none(void **state)
{
	struct pacing_table *t = pacing_table_new();
	struct pacing_claim both[2] = {claim(1, 10), claim(2, 10)}, b = claim(2, 30);

	(void)state;
	assert_int_equal(wait_of(t, &b, 1, 100 * S), 0); /* dearer than the burst: nothing was owed */
	assert_int_equal(wait_of(t, both, 2, 100 * S), -10);
	assert_int_equal(wait_of(t, both, 1, 100 * S), 0); /* the first was not charged */
	assert_int_equal(wait_of(t, both, 2, 115 * S), 15 * S);
	pacing_table_free(t);
}

static void test_table_is_bounded(void **state)
{
	struct pacing_table *t = pacing_table_new();

	(void)state;
	for (uint64_t i = 0; i < PACING_MAX + 5000; i++) {
		struct pacing_claim c = claim(i * UINT64_C(0x9e3779b97f4a7c15), 10);

		assert_int_equal(wait_of(t, &c, 1, 100 * S), 0);
	}
	assert_true(pacing_table_len(t) >= PACING_MAX && pacing_table_len(t) < 4 * PACING_MAX);
	/* a minute later nobody owes anything: the next growth forgets them */
	for (uint64_t i = 0; i < 4 * PACING_MAX; i++) {
		struct pacing_claim c = claim(i * UINT64_C(0xd1342543de82ef95) + 1, 1);

		assert_int_equal(wait_of(t, &c, 1, 200 * S + (int64_t)i * S), 0);
	}
	assert_true(pacing_table_len(t) < 4 * PACING_MAX);
	pacing_table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_each_for_itself),
	    cmocka_unit_test(test_all_or_none),
	    cmocka_unit_test(test_table_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
