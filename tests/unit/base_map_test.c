/* base_map_test - random operations against a plain array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/map.h"

#define KEYS 500

static size_t n_freed;

static void count_free(void *value)
{
	n_freed++;
	free(value);
}

static bool count_visit(void *ctx, struct slice key, void *value)
{
	assert_true(key.n == sizeof(int) && value != NULL);
	return ++*(int *)ctx < 10;
}

static void test_model(void **state)
{
	struct map *m = map_new(KEYS);
	char *model[KEYS] = {0}, values[KEYS];
	size_t n = 0;
	int visits = 0;

	(void)state;
	assert_non_null(m);
	srand(2);
	for (int round = 0; round < 100000; round++) {
		int k = rand() % KEYS;
		struct slice key = slice_mem(&k, sizeof(k));

		assert_ptr_equal(map_get(m, key), model[k]);
		if (rand() % 2) {
			assert_int_equal(map_put(m, key, &values[k]), model[k] ? BUR_ALREADY : BUR_OK);
			n += model[k] == NULL;
			model[k] = &values[k];
		} else {
			assert_ptr_equal(map_remove(m, key), model[k]);
			n -= model[k] != NULL;
			model[k] = NULL;
		}
		assert_int_equal(map_len(m), n);
	}
	map_each(m, count_visit, &visits);
	assert_int_equal(visits, 10);
	map_free(m, NULL);
}

static void test_limits(void **state)
{
	struct map *m = map_new(2);

	(void)state;
	assert_non_null(m);
	assert_int_equal(map_put(m, SLICE(""), malloc(1)), BUR_OK);
	assert_int_equal(map_put(m, SLICE("a"), malloc(1)), BUR_OK);
	assert_int_equal(map_put(m, SLICE("b"), m), BUR_FULL);
	assert_int_equal(map_put(m, SLICE("a"), m), BUR_ALREADY);
	assert_null(map_get(m, SLICE("b")));
	assert_null(map_remove(m, SLICE("b")));
	assert_non_null(map_get(m, SLICE_NONE));
	map_free(m, count_free);
	assert_int_equal(n_freed, 2);
	map_free(NULL, count_free);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_model), cmocka_unit_test(test_limits)};

	return cmocka_run_group_tests_name("base_map", tests, NULL, NULL);
}
