/* proxy_uploads_test - files that batches may be made of: known by provider and id, bounded, for a month. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/uploads.h"

#define OPENAI SLICE("openai")

static struct batch_sum *sum_of(uint64_t items, uint8_t models)
{
	static struct batch_sum sum;

	memset(&sum, 0, sizeof(sum));
	sum.items = items;
	sum.n = models;
	for (size_t i = 0; i < models; i++)
		sum.of[i].max_out = items + i;
	return &sum;
}

static struct slice id_of(int i)
{
	static _Thread_local char text[32];

	return slice_mem(text, (size_t)snprintf(text, sizeof(text), "file-%d", i));
}

/* 0: unknown. */
static uint64_t items_of(struct uploads *u, struct slice provider, struct slice id, int64_t now_s)
{
	struct arena a;
	struct batch_sum *found;
	uint64_t items;

	arena_init(&a, 1 << 20);
	found = uploads_find(u, provider, id, now_s, &a);
	items = found ? found->items : 0;
	if (found && found->n > 0)
		assert_int_equal(found->of[found->n - 1].max_out, found->items + found->n - 1);
	arena_reset(&a);
	return items;
}

static void test_by_provider_and_id(void **state)
{
	struct uploads *u = uploads_new(10, 1 << 20);
	static char huge[600];

	(void)state;
	uploads_put(u, OPENAI, SLICE("f"), sum_of(3, 2), 100);
	assert_int_equal(items_of(u, OPENAI, SLICE("f"), 100), 3);
	assert_int_equal(items_of(u, SLICE("groq"), SLICE("f"), 100), 0);
	assert_int_equal(items_of(u, OPENAI, SLICE("g"), 100), 0);
	assert_int_equal(items_of(u, OPENAI, SLICE(""), 100), 0);
	uploads_put(u, OPENAI, SLICE("f"), sum_of(9, 8), 100);
	assert_int_equal(items_of(u, OPENAI, SLICE("f"), 100), 9);
	/* no id at all, or one of nobody's */
	uploads_put(u, OPENAI, SLICE(""), sum_of(1, 1), 100);
	assert_int_equal(items_of(u, OPENAI, SLICE(""), 100), 0);
	memset(huge, 'x', sizeof(huge));
	uploads_put(u, OPENAI, slice_mem(huge, sizeof(huge)), sum_of(1, 1), 100);
	assert_int_equal(items_of(u, OPENAI, slice_mem(huge, sizeof(huge)), 100), 0);
	uploads_free(u);
	uploads_free(NULL);
}

static void test_old_ones_go(void **state)
{
	struct uploads *u = uploads_new(10, 1 << 20);

	(void)state;
	uploads_put(u, OPENAI, SLICE("f"), sum_of(3, 1), 100);
	assert_int_equal(items_of(u, OPENAI, SLICE("f"), 100 + UPLOADS_KEPT_S), 3);
	assert_int_equal(items_of(u, OPENAI, SLICE("f"), 101 + UPLOADS_KEPT_S), 0);
	assert_int_equal(items_of(u, OPENAI, SLICE("f"), 100), 0);
	uploads_free(u);
}

static void test_longest_not_asked_for_goes_first(void **state)
{
	struct uploads *u = uploads_new(3, 1 << 20);

	(void)state;
	for (int i = 1; i <= 3; i++)
		uploads_put(u, OPENAI, id_of(i), sum_of((uint64_t)i, 1), 0);
	assert_int_equal(items_of(u, OPENAI, id_of(1), 0), 1);
	uploads_put(u, OPENAI, id_of(4), sum_of(4, 1), 0);
	assert_int_equal(items_of(u, OPENAI, id_of(2), 0), 0);
	assert_int_equal(items_of(u, OPENAI, id_of(1), 0), 1);
	assert_int_equal(items_of(u, OPENAI, id_of(4), 0), 4);
	uploads_free(u);
}

static void test_bytes_are_bounded(void **state)
{
	struct uploads *u = uploads_new(1000, 40 * sizeof(struct request_info));
	int known = 0;

	(void)state;
	for (int i = 0; i < 100; i++)
		uploads_put(u, OPENAI, id_of(i), sum_of(7, 8), 0);
	for (int i = 0; i < 100; i++)
		known += items_of(u, OPENAI, id_of(i), 0) == 7;
	assert_in_range(known, 2, 5);
	assert_int_equal(items_of(u, OPENAI, id_of(99), 0), 7);
	uploads_free(u);
	/* one that is larger than all */
	u = uploads_new(1000, 10);
	uploads_put(u, OPENAI, SLICE("f"), sum_of(1, 1), 0);
	assert_int_equal(items_of(u, OPENAI, SLICE("f"), 0), 0);
	uploads_free(u);
}

static void *work(void *arg)
{
	struct uploads *u = arg;
	struct arena a;

	arena_init(&a, 1 << 16);
	for (int i = 0; i < 3000; i++) {
		struct batch_sum sum = {.items = 1 + (uint64_t)i % 50};
		struct batch_sum *found;

		uploads_put(u, OPENAI, id_of(i % 50), &sum, 0);
		found = uploads_find(u, OPENAI, id_of((i * 7) % 50), 0, &a);
		if (found && found->items != 1 + ((uint64_t)i * 7) % 50)
			return u;
		arena_reset(&a);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct uploads *u = uploads_new(40, 1 << 20);
	pthread_t threads[3];
	void *wrong = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, u), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		void *one;

		assert_int_equal(pthread_join(threads[i], &one), 0);
		wrong = one ? one : wrong;
	}
	assert_null(wrong);
	uploads_free(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_by_provider_and_id),
	    cmocka_unit_test(test_old_ones_go),
	    cmocka_unit_test(test_longest_not_asked_for_goes_first),
	    cmocka_unit_test(test_bytes_are_bounded),
	    cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
