/* base_arena_test - limits, alignment, cleanups in reverse order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/error.h"

static void test_alloc(void **state)
{
	struct arena a;
	char *last = NULL;

	(void)state;
	arena_init(&a, 1 << 20);
	assert_null(a.blocks); /* nothing before the first use */
	for (size_t n = 0; n < 5000; n += 7) {
		char *p = arena_alloc(&a, n);

		assert_true(p && p != last && (uintptr_t)p % 16 == 0);
		memset(p, 0xee, n);
		last = p;
		if (a.used_bytes > (1 << 19))
			arena_reset(&a);
	}
	arena_reset(&a);
	assert_int_equal(a.used_bytes, 0);
	last = arena_zalloc(&a, 3000);
	for (int i = 0; i < 3000; i++)
		assert_int_equal(last[i], 0);
	arena_reset(&a);
	arena_reset(&a);
}

static void test_maximum(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 1000);
	assert_null(arena_alloc(&a, 1001));
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_non_null(arena_alloc(&a, 900));
	assert_null(arena_alloc(&a, 100)); /* 912 are used */
	assert_non_null(arena_alloc(&a, 80));
	assert_null(arena_alloc(&a, 16));
	arena_reset(&a);
	assert_non_null(arena_alloc(&a, 900));
	arena_reset(&a);
	arena_init(&a, 0);
	assert_null(arena_alloc(&a, 0));
}

static void test_texts(void **state)
{
	struct arena a;
	struct slice s;

	(void)state;
	arena_init(&a, 200000);
	s = arena_dup(&a, SLICE("abc"));
	assert_string_equal(s.p, "abc");
	s = arena_dup(&a, SLICE_NONE);
	assert_true(s.p && s.n == 0 && s.p[0] == '\0');
	s = arena_printf(&a, "%s-%d", "x", 42);
	assert_string_equal(s.p, "x-42");
	assert_int_equal(s.n, 4);
	assert_int_equal(arena_printf(&a, "%0100000d", 1).n, 100000);
	assert_null(arena_printf(&a, "%0200000d", 1).p);
	assert_null(arena_dup(&a, slice_mem("x", 300000)).p);
	arena_reset(&a);
}

static int order[8], n_order;

static void note(void *arg)
{
	order[n_order++] = *(int *)arg;
}

static struct arena *again;
static int forty = 40;

static void note_and_register(void *arg)
{
	note(arg);
	assert_int_equal(arena_on_reset(again, note, &forty), BUR_OK);
}

static void test_cleanups(void **state)
{
	struct arena a;
	int numbers[] = {1, 2, 3};

	(void)state;
	arena_init(&a, 4096);
	again = &a;
	assert_int_equal(arena_on_reset(&a, note, &numbers[0]), BUR_OK);
	assert_int_equal(arena_on_reset(&a, note_and_register, &numbers[1]), BUR_OK);
	assert_int_equal(arena_on_reset(&a, note, &numbers[2]), BUR_OK);
	arena_reset(&a);
	assert_int_equal(n_order, 4);
	assert_true(order[0] == 3 && order[1] == 2 && order[2] == 40 && order[3] == 1);
	arena_reset(&a);
	assert_int_equal(n_order, 4);
	arena_init(&a, 8);
	assert_int_equal(arena_on_reset(&a, note, &numbers[0]), BUR_NOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_alloc),
	    cmocka_unit_test(test_maximum),
	    cmocka_unit_test(test_texts),
	    cmocka_unit_test(test_cleanups),
	};

	return cmocka_run_group_tests_name("base_arena", tests, NULL, NULL);
}
