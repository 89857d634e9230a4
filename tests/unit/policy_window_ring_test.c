/* R7.6: the ring of buckets against a list of everything that was ever posted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "policy/window_ring.h"

static uint64_t rng = 7;

static int64_t pick(int64_t n)
{
	rng = rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (int64_t)(rng >> 33) % n;
}

static void r7_6_sixty_one_buckets_count(void **state)
{
	struct window_ring r;

	(void)state;
	window_ring_init(&r, 100);
	assert_int_equal(window_ring_post(&r, 100, 5), BUR_OK);
	assert_int_equal(window_ring_post(&r, 40, 7), BUR_OK); /* as restored */
	assert_int_equal(window_ring_post(&r, 39, 1), BUR_NOTFOUND);
	assert_int_equal(window_ring_post(&r, 101, 1), BUR_NOTFOUND);
	assert_int_equal(window_ring_post(&r, -1, 1), BUR_NOTFOUND);
	assert_int_equal(r.posted, 12);
	window_ring_advance(&r, 101);
	assert_int_equal(r.posted, 5);
	window_ring_advance(&r, 99); /* time never goes back */
	assert_int_equal(r.head, 101);
	window_ring_advance(&r, 160);
	assert_int_equal(r.posted, 5);
	window_ring_advance(&r, 161);
	assert_int_equal(r.posted, 0);
	assert_int_equal(window_ring_post(&r, 161, 9), BUR_OK);
	window_ring_advance(&r, 161 + RING_SIZE);
	assert_int_equal(r.posted, 0);
}

static void odd_amounts_change_nothing(void **state)
{
	struct window_ring r;

	(void)state;
	window_ring_init(&r, 3);
	assert_int_equal(window_ring_post(&r, 3, INT64_MAX), BUR_OK);
	assert_int_equal(window_ring_post(&r, 2, 1), BUR_OVERFLOW);
	assert_int_equal(window_ring_post(&r, 3, 1), BUR_OVERFLOW);
	assert_int_equal(window_ring_post(&r, 2, -1), BUR_OVERFLOW); /* not in this bucket */
	assert_int_equal(window_ring_post(&r, 3, INT64_MIN), BUR_OVERFLOW);
	assert_int_equal(r.posted, INT64_MAX);
	assert_int_equal(window_ring_credit(&r, 3, INT64_MAX), BUR_OK);
	assert_int_equal(window_ring_credit(&r, 2, 1), BUR_OVERFLOW);
	assert_int_equal(window_ring_credit(&r, 9, 1), BUR_NOTFOUND);
	window_ring_advance(&r, 64);
	assert_int_equal(r.posted + r.credit, 0);
}

static void masks_and_counts_leave_with_their_bucket(void **state)
{
	struct window_ring r;

	(void)state;
	window_ring_init(&r, 10);
	window_ring_bucket(&r, 10)->mask = 1;
	window_ring_bucket(&r, 10)->would_block = 3;
	window_ring_advance(&r, 50);
	window_ring_bucket(&r, 50)->mask = 4;
	window_ring_bucket(&r, 50)->would_block = UINT32_MAX;
	assert_int_equal(window_ring_mask(&r), 5);
	assert_int_equal(window_ring_would_block(&r), UINT32_MAX); /* never wraps */
	window_ring_bucket(&r, 50)->would_block = 2;
	assert_int_equal(window_ring_would_block(&r), 5);
	window_ring_advance(&r, 71);
	assert_int_equal(window_ring_mask(&r), 4);
	assert_int_equal(window_ring_would_block(&r), 2);
}

static void relief_is_when_enough_has_left(void **state)
{
	struct window_ring r;

	(void)state;
	window_ring_init(&r, 5);
	assert_int_equal(window_ring_relief(&r, 1), INT64_MAX);
	assert_int_equal(window_ring_post(&r, 0, 10), BUR_OK);
	assert_int_equal(window_ring_post(&r, 4, 10), BUR_OK);
	assert_int_equal(window_ring_relief(&r, 10), 61);
	assert_int_equal(window_ring_relief(&r, 11), 65);
	assert_int_equal(window_ring_relief(&r, 20), 65);
	assert_int_equal(window_ring_relief(&r, 21), INT64_MAX);
	window_ring_advance(&r, 60);
	assert_int_equal(r.posted, 20);
	window_ring_advance(&r, 61);
	assert_int_equal(r.posted, 10);
	assert_int_equal(window_ring_relief(&r, 1), 65);
}

static void r7_6_against_a_list(void **state)
{
	enum { POSTS = 4000 };
	static int64_t number[POSTS], amount[POSTS];
	struct window_ring r;
	size_t n = 0;

	(void)state;
	window_ring_init(&r, 0);
	while (n < POSTS) {
		int64_t sum = 0;

		if (pick(3) == 0)
			window_ring_advance(&r, r.head + pick(pick(20) == 0 ? 200 : 4));
		number[n] = r.head - pick(RING_SIZE + 3);
		amount[n] = pick(1000);
		if (window_ring_post(&r, number[n], amount[n]) == BUR_OK)
			n++;
		else
			assert_true(number[n] < 0 || number[n] < r.head - RING_BUCKETS);
		for (size_t i = 0; i < n; i++)
			sum += number[i] >= r.head - RING_BUCKETS ? amount[i] : 0;
		assert_int_equal(r.posted, sum);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(r7_6_sixty_one_buckets_count),
	    cmocka_unit_test(odd_amounts_change_nothing),
	    cmocka_unit_test(masks_and_counts_leave_with_their_bucket),
	    cmocka_unit_test(relief_is_when_enough_has_left),
	    cmocka_unit_test(r7_6_against_a_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
