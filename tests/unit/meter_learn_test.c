/* meter_learn_test - ratios converge, spread widens the reserve, the memory is bounded, exact counts are left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "meter/learn.h"

#define P SLICE("anthropic")
#define M SLICE("claude-opus-5-5")

static void test_converges(void **state)
{
	struct learn *l = learn_new(64);
	struct learned k;
	int i;

	(void)state;
	srand(1);
	assert_false(learn_get(l, P, M, SCRIPT_LATIN, &k));
	for (i = 0; i < 3000; i++) {
		uint64_t own = 201 + (uint64_t)(rand() % 5000);

		/* 1.40 to 1.48 */
		learn_add(l, P, M, SCRIPT_LATIN, own, own * (uint64_t)(1400 + rand() % 81) / 1000);
		assert_true(learn_get(l, P, M, SCRIPT_LATIN, &k) == (i + 1 >= LEARN_ANSWERS_MIN));
	}
	assert_in_range(k.ratio_ppm, 1420000, 1460000);
	assert_in_range(k.sigma_ppm, 15000, 32000);
	assert_in_range(k.max_ppm, 1470000, 1480000);
	assert_true(k.reserve_ppm >= k.ratio_ppm + 3 * k.sigma_ppm);
	assert_true(k.reserve_ppm >= 1480000);
	assert_int_equal(k.answers, 3000);
	/* another script is another matter */
	assert_false(learn_get(l, P, M, SCRIPT_CJK, &k));
	learn_free(l);
}

static void test_steady(void **state)
{
	struct learn *l = learn_new(1);
	struct learned k;
	int i;

	(void)state;
	for (i = 0; i < 60; i++)
		learn_add(l, P, M, SCRIPT_LATIN, 1000, 1300);
	assert_true(learn_get(l, P, M, SCRIPT_LATIN, &k));
	assert_int_equal(k.ratio_ppm, 1300000);
	assert_int_equal(k.sigma_ppm, 0);
	assert_int_equal(k.reserve_ppm, 1326000); /* two percent at least */
	/* the largest is forgotten after a thousand */
	learn_add(l, P, M, SCRIPT_LATIN, 1000, 2000);
	for (i = 0; i < 1100; i++) {
		assert_true(learn_get(l, P, M, SCRIPT_LATIN, &k));
		assert_true(k.max_ppm == 2000000 || i >= 900);
		learn_add(l, P, M, SCRIPT_LATIN, 1000, 1300);
	}
	assert_true(learn_get(l, P, M, SCRIPT_LATIN, &k));
	assert_int_equal(k.max_ppm, 1300000);
	learn_free(l);
}

static void test_not_taken(void **state)
{
	struct learn *l = learn_new(4);
	struct learned k;

	(void)state;
	learn_add(l, P, M, SCRIPT_LATIN, 200, 300);     /* too short */
	learn_add(l, P, M, SCRIPT_LATIN, 1000, 0);      /* no report */
	learn_add(l, P, M, SCRIPT_LATIN, 1000, 100000); /* absurd */
	learn_add(l, P, M, SCRIPT_LATIN, 1000, UINT64_MAX);
	assert_false(learn_get(l, P, M, SCRIPT_LATIN, &k));
	assert_int_equal(k.answers, 0);
	assert_null(learn_new(0));
	assert_null(learn_new(SIZE_MAX / 8));
	learn_free(l);
	learn_free(NULL);
}

static void test_bounded(void **state)
{
	struct learn *l = learn_new(16);
	struct learned k;
	char name[32];
	int i;

	(void)state;
	for (i = 0; i < 100; i++)
		learn_add(l, P, M, SCRIPT_LATIN, 1000, 1500);
	for (i = 0; i < 10000; i++) { /* names that are made up do not drive out what is used */
		(void)snprintf(name, sizeof(name), "m%d", i);
		learn_add(l, P, slice_of(name), SCRIPT_LATIN, 1000, 1100);
	}
	assert_true(learn_get(l, P, M, SCRIPT_LATIN, &k));
	learn_free(l);
}

static void test_apply(void **state)
{
	struct learn *l = learn_new(16);
	struct prompt_count c = {.tokens = 1500, .margin_tokens = 300, .text_tokens = 1000, .image_tokens = 50};
	int i;

	(void)state;
	learn_apply(l, P, M, &c);
	assert_int_equal(c.tokens, 1500);
	for (i = 0; i < 60; i++)
		learn_add(l, P, M, SCRIPT_LATIN, 1000, 1300);
	learn_apply(l, P, M, &c);
	assert_int_equal(c.tokens, 1350);
	assert_int_equal(c.margin_tokens, 27);
	c = (struct prompt_count){.tokens = 1000, .text_tokens = 1000, .exact = true};
	learn_apply(l, P, M, &c);
	assert_int_equal(c.tokens, 1000);
	learn_free(l);
}

/* The class in which the wanted share ends; what is long ago fades. */
static void test_outputs(void **state)
{
	struct learn *l = learn_new(16);
	uint64_t n = 0;

	(void)state;
	for (uint64_t i = 1; i < LEARN_OUTPUTS_MIN; i++)
		learn_output_add(l, P, M, 100);
	assert_false(learn_output(l, P, M, 900000, &n));
	learn_output_add(l, P, M, 100);
	assert_true(learn_output(l, P, M, 900000, &n));
	assert_int_equal(n, 111); /* 96 to 111 */
	for (uint64_t i = 0; i < 100; i++)
		learn_output_add(l, P, M, i == 0 ? UINT64_MAX : 10 * i);
	assert_true(learn_output(l, P, M, 500000, &n) && n >= 400 && n <= 520);
	assert_true(learn_output(l, P, M, 950000, &n) && n >= 930 && n <= 1160);
	assert_true(learn_output(l, P, M, 1000000, &n) && n > 1000000);
	for (int i = 0; i < 20000; i++)
		learn_output_add(l, P, M, 3);
	assert_true(learn_output(l, P, M, 999000, &n));
	assert_int_equal(n, 3);
	assert_false(learn_output(l, M, P, 500000, &n));
	learn_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_converges), cmocka_unit_test(test_steady), cmocka_unit_test(test_not_taken),
	    cmocka_unit_test(test_bounded),   cmocka_unit_test(test_apply),  cmocka_unit_test(test_outputs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
