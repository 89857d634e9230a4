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

static void add_cohort(struct learn *l, uint64_t (*length)(unsigned i), bool shortest_first)
{
	uint32_t ticket = 0;

	for (unsigned i = 0; i < LEARN_COHORT; i++) {
		ticket = learn_output_begin(l, P, M);
		assert_int_not_equal(ticket, 0);
	}
	assert_int_equal(learn_output_begin(l, P, M), 0);
	for (unsigned i = 0; i < LEARN_COHORT; i++)
		learn_output_end(l, P, M, ticket, length(shortest_first ? i : LEARN_COHORT - 1 - i));
}

static uint64_t hundred(unsigned i)
{
	(void)i;
	return 100;
}

static uint64_t tens(unsigned i)
{
	return 10 * (i + 1);
}

static uint64_t three(unsigned i)
{
	(void)i;
	return 3;
}

/* The class in which the wanted share ends; what is long ago fades. */
static void test_outputs(void **state)
{
	struct learn *l = learn_new(16);
	uint64_t n = 0;

	(void)state;
	assert_false(learn_output(l, P, M, 900000, &n));
	add_cohort(l, hundred, true);
	assert_true(learn_output(l, P, M, 900000, &n));
	assert_int_equal(n, 111); /* 96 to 111 */
	assert_false(learn_output(l, M, P, 500000, &n));
	for (int i = 0; i < 100; i++)
		add_cohort(l, three, true);
	assert_true(learn_output(l, P, M, 999000, &n));
	assert_true(n <= 4);
	learn_free(l);
}

/* Short answers end first, and say nothing of the others; one that does not end is longer than all. */
static void test_cohorts(void **state)
{
	struct learn *l = learn_new(16);
	uint32_t ticket = 0;
	uint64_t n = 0;

	(void)state;
	for (unsigned i = 0; i < LEARN_COHORT; i++)
		ticket = learn_output_begin(l, P, M);
	for (unsigned i = 0; i < LEARN_COHORT - 2; i++)
		learn_output_end(l, P, M, ticket, 10);
	assert_false(learn_output(l, P, M, 900000, &n));
	learn_output_end(l, P, M, ticket, 1000);
	assert_true(learn_output(l, P, M, 900000, &n) && n == 11);
	assert_true(learn_output(l, P, M, 960000, &n) && n == 1023);
	assert_true(learn_output(l, P, M, 1000000, &n) && n == 1279);
	learn_output_end(l, P, M, ticket, 5); /* too late */
	assert_true(learn_output(l, P, M, 1000000, &n) && n == 1279);
	learn_free(l);
	l = learn_new(16);
	add_cohort(l, tens, false);
	assert_true(learn_output(l, P, M, 500000, &n) && n >= 160 && n <= 191);
	learn_output_end(l, P, M, 0, 5);
	learn_output_end(l, P, M, 77, 5);
	learn_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_converges), cmocka_unit_test(test_steady), cmocka_unit_test(test_not_taken),
	    cmocka_unit_test(test_bounded),   cmocka_unit_test(test_apply),  cmocka_unit_test(test_outputs),
	    cmocka_unit_test(test_cohorts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
