/* base_ring_test - full and empty, wrap-around, and two threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#include "base/error.h"
#include "base/ring.h"

struct record {
	uint64_t number, check;
};

static void test_single(void **state)
{
	struct ring r;
	struct record *rec;

	(void)state;
	assert_int_equal(ring_init(&r, sizeof(struct record), 3), BUR_OK); /* becomes 4 */
	assert_null(ring_peek(&r, 0));
	for (uint64_t i = 0; i < 100; i++) {
		for (uint64_t k = 0; k < 4; k++) {
			rec = ring_claim(&r);
			assert_non_null(rec);
			rec->number = i * 4 + k;
			assert_int_equal(ring_len(&r), k);
			ring_publish(&r);
		}
		assert_null(ring_claim(&r));
		for (uint64_t k = 0; k < 4; k++)
			assert_int_equal(((struct record *)ring_peek(&r, k))->number, i * 4 + k);
		assert_null(ring_peek(&r, 4));
		ring_release(&r, 1);
		assert_int_equal(((struct record *)ring_peek(&r, 0))->number, i * 4 + 1);
		ring_release(&r, 3);
		assert_int_equal(ring_len(&r), 0);
	}
	ring_done(&r);
	assert_int_equal(ring_init(&r, SIZE_MAX / 2, 4), BUR_NOMEM);
}

#define RECORDS 200000

static void *write_all(void *arg)
{
	struct ring *r = arg;

	for (uint64_t i = 0; i < RECORDS;) {
		struct record *rec = ring_claim(r);

		if (!rec) {
			sched_yield();
			continue;
		}
		rec->number = i;
		rec->check = ~i;
		ring_publish(r);
		i++;
	}
	return NULL;
}

static void test_two_threads(void **state)
{
	struct ring r;
	pthread_t writer;
	uint64_t next = 0;

	(void)state;
	assert_int_equal(ring_init(&r, sizeof(struct record), 64), BUR_OK);
	assert_int_equal(pthread_create(&writer, NULL, write_all, &r), 0);
	while (next < RECORDS) {
		struct record *rec;
		size_t n = 0;

		for (; (rec = ring_peek(&r, n)) != NULL; n++, next++)
			assert_true(rec->number == next && rec->check == ~next);
		ring_release(&r, n);
		if (n == 0)
			sched_yield();
	}
	assert_int_equal(pthread_join(writer, NULL), 0);
	ring_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_single), cmocka_unit_test(test_two_threads)};

	return cmocka_run_group_tests_name("base_ring", tests, NULL, NULL);
}
