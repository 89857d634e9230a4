/* base_amount_test - exact sums, one rounding upwards, strict texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/amount.h"
#include "base/error.h"

static void test_checked_sums(void **state)
{
	int64_t v = 5;

	(void)state;
	assert_int_equal(amount_add(INT64_MAX, 1, &v), BUR_OVERFLOW);
	assert_int_equal(amount_sub(INT64_MIN, 1, &v), BUR_OVERFLOW);
	assert_int_equal(v, 5);
	assert_int_equal(amount_add(INT64_MAX, INT64_MIN, &v), BUR_OK);
	assert_int_equal(v, -1);
	assert_int_equal(amount_sub(-1, INT64_MAX, &v), BUR_OK);
	assert_true(v == INT64_MIN);
}

/* claude-sonnet-4-6 from the price page: in 3, cache read 0.3, writes 3.75 and 6, out 15 USD per million. */
static void test_worked_example(void **state)
{
	struct cost_sum sum = {0};
	int64_t nanousd;
	char text[64];

	(void)state;
	assert_int_equal(cost_add(&sum, 79568, INT64_C(3000000000000), 1000000), BUR_OK);
	assert_int_equal(cost_add(&sum, 22419, INT64_C(300000000000), 1000000), BUR_OK);
	assert_int_equal(cost_add(&sum, 4765, INT64_C(3750000000000), 1000000), BUR_OK);
	assert_int_equal(cost_add(&sum, 2382, INT64_C(6000000000000), 1000000), BUR_OK);
	assert_int_equal(cost_add(&sum, 4515, INT64_C(15000000000000), 1000000), BUR_OK);
	assert_int_equal(cost_ceil_nanousd(&sum, &nanousd), BUR_OK);
	assert_int_equal(nanousd, 345315450);
	assert_int_equal(cost_format_usd(&sum, text, sizeof(text)), BUR_OK);
	assert_string_equal(text, "0.34531545");
	assert_int_equal(cost_scale(&sum, 11, 10), BUR_OK);
	assert_int_equal(cost_format_usd(&sum, text, sizeof(text)), BUR_OK);
	assert_string_equal(text, "0.379846995");
	assert_int_equal(cost_format_usd(&sum, text, 11), BUR_TOOBIG);
}

/* Where the exact fraction needs more than 64 bits. */
static void test_large_costs_are_rounded_up(void **state)
{
	struct cost_sum sum = {0};
	int64_t nanousd;

	(void)state;
	assert_int_equal(cost_add(&sum, UINT64_C(1000000000000000), 1000, 1), BUR_OK);
	assert_int_equal(cost_ceil_nanousd(&sum, &nanousd), BUR_OK);
	assert_int_equal(nanousd, INT64_C(1000000000000000));
	assert_int_equal(cost_add(&sum, 1, 1, 3600000), BUR_OK);
	assert_int_equal(cost_ceil_nanousd(&sum, &nanousd), BUR_OK);
	assert_int_equal(nanousd, INT64_C(1000000000000001));
}

static void test_rounding(void **state)
{
	struct cost_sum sum = {0};
	int64_t nanousd;
	char text[64];

	(void)state;
	assert_int_equal(cost_ceil_nanousd(&sum, &nanousd), BUR_OK);
	assert_int_equal(nanousd, 0);
	assert_int_equal(cost_format_usd(&sum, text, sizeof(text)), BUR_OK);
	assert_string_equal(text, "0");
	/* one millisecond at one pico-USD an hour: the smallest cost there is */
	assert_int_equal(cost_add(&sum, 1, 1, 3600000), BUR_OK);
	assert_int_equal(cost_ceil_nanousd(&sum, &nanousd), BUR_OK);
	assert_int_equal(nanousd, 1);
	assert_int_equal(cost_format_usd(&sum, text, sizeof(text)), BUR_OK);
	assert_string_equal(text, "0.000000000001");
	/* three thirds are one: rounding happens once, at the end */
	sum = (struct cost_sum){0};
	for (int i = 0; i < 3; i++)
		assert_int_equal(cost_add(&sum, 1200000, 1000, 3600000), BUR_OK);
	assert_int_equal(cost_ceil_nanousd(&sum, &nanousd), BUR_OK);
	assert_int_equal(nanousd, 1);
}

static void test_cost_limits(void **state)
{
	struct cost_sum sum = {0};
	int64_t nanousd = 7;

	(void)state;
	assert_int_equal(cost_add(&sum, 1, 1, 7), BUR_INVALID);
	assert_int_equal(cost_add(&sum, 1, 1, 0), BUR_INVALID);
	assert_int_equal(cost_add(&sum, 1, 1, -1), BUR_INVALID);
	assert_int_equal(cost_add(&sum, UINT64_MAX, INT64_MAX, 1), BUR_OVERFLOW);
	assert_true(sum.num == 0);
	assert_int_equal(cost_add(&sum, UINT64_C(1) << 40, INT64_C(10000000000000000), 1000000), BUR_OK);
	assert_int_equal(cost_ceil_nanousd(&sum, &nanousd), BUR_OVERFLOW); /* 1e10 USD and more */
	assert_int_equal(nanousd, 7);
	sum = (struct cost_sum){-1};
	assert_int_equal(cost_ceil_nanousd(&sum, &nanousd), BUR_OVERFLOW);
	sum = (struct cost_sum){10};
	assert_int_equal(cost_scale(&sum, 1, 3), BUR_OVERFLOW); /* not exact */
	assert_int_equal(cost_scale(&sum, 1, 0), BUR_INVALID);
	assert_int_equal(cost_scale(&sum, 3, 6), BUR_OK);
	assert_true(sum.num == 5);
	assert_int_equal(cost_scale(&sum, INT64_MIN, 1), BUR_OK);
	assert_int_equal(cost_scale(&sum, INT64_MIN, 1), BUR_OVERFLOW);
	assert_int_equal(cost_scale(&sum, 0, 5), BUR_OK);
	assert_true(sum.num == 0);
	sum.num = (__int128)1 << 126;
	assert_int_equal(cost_add(&sum, 1, INT64_MAX, 1), BUR_OK);
	assert_int_equal(cost_scale(&sum, 4, 1), BUR_OVERFLOW);
}

static void test_decimals(void **state)
{
	static const struct {
		const char *text;
		int decimals;
		bool round;
		int r;
		int64_t value;
	} cases[] = {
	    {"12", 0, false, BUR_OK, 12},
	    {"0.15", 6, false, BUR_OK, 150000},
	    {"1e-7", 9, false, BUR_OK, 100},
	    {"1.5E+3", 0, false, BUR_OK, 1500},
	    {"-3", 9, false, BUR_OK, -3000000000},
	    {"+3", 0, false, BUR_OK, 3},
	    {"-0", 9, false, BUR_OK, 0},
	    {"0.5", 0, true, BUR_OK, 0},
	    {"1.5", 0, true, BUR_OK, 2},
	    {"2.5", 0, true, BUR_OK, 2},
	    {"2.5000000000000000000000000001", 0, true, BUR_OK, 3},
	    {"0.05", 0, true, BUR_OK, 0},
	    {"0.09", 0, true, BUR_OK, 0},
	    {"9e-2", 1, true, BUR_OK, 1},
	    {"-2.5", 0, true, BUR_OK, -2},
	    {"-2.6", 0, true, BUR_OK, -3},
	    {"0.09999999999999999", 12, true, BUR_OK, 100000000000},
	    {"1.5", 0, false, BUR_INVALID, 0},
	    {"1.50", 1, false, BUR_OK, 15},
	    {"9223372036854775807", 0, false, BUR_OK, INT64_MAX},
	    {"-9223372036854775808", 0, false, BUR_OK, INT64_MIN},
	    {"9223372036854775808", 0, false, BUR_OVERFLOW, 0},
	    {"9223372036854775807.5", 0, true, BUR_OVERFLOW, 0},
	    {"18446744073709551616", 0, false, BUR_OVERFLOW, 0},
	    {"1e999999999999999999999", 0, false, BUR_OVERFLOW, 0},
	    {"0e999999999999999999999", 0, false, BUR_OK, 0},
	    {"1e-999999999999999999999", 0, true, BUR_OK, 0},
	    {"1e-999999999999999999999", 0, false, BUR_INVALID, 0},
	    {"000000000000000000000000000000000000001", 0, false, BUR_OK, 1},
	    {"100000000000000000000000000000000000000e-38", 0, false, BUR_OK, 1},
	    {"", 0, true, BUR_INVALID, 0},
	    {"-", 0, true, BUR_INVALID, 0},
	    {".5", 1, true, BUR_INVALID, 0},
	    {"5.", 1, true, BUR_INVALID, 0},
	    {"1e", 1, true, BUR_INVALID, 0},
	    {"1e+", 1, true, BUR_INVALID, 0},
	    {"1e5.", 1, true, BUR_INVALID, 0},
	    {"1 ", 1, true, BUR_INVALID, 0},
	    {" 1", 1, true, BUR_INVALID, 0},
	    {"0x10", 1, true, BUR_INVALID, 0},
	    {"nan", 1, true, BUR_INVALID, 0},
	    {"inf", 1, true, BUR_INVALID, 0},
	    {"1,000", 1, true, BUR_INVALID, 0},
	    {"--1", 1, true, BUR_INVALID, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t v = 0;
		int r = decimal_parse(slice_of(cases[i].text), cases[i].decimals, cases[i].round, &v);

		if (r != cases[i].r || v != cases[i].value)
			fail_msg("%s: %d %lld", cases[i].text, r, (long long)v);
	}
}

static void test_usd_text(void **state)
{
	static const int64_t values[] = {0, 1, -1, 1250000000, -3000000000, 100, INT64_MAX, INT64_MIN, 999999999};
	static const char *texts[] = {"0",         "0.000000001",          "-0.000000001",          "1.25",       "-3",
				      "0.0000001", "9223372036.854775807", "-9223372036.854775808", "0.999999999"};
	char text[AMOUNT_TEXT_MAX];
	int64_t back;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		assert_string_equal(amount_format_usd(values[i], text), texts[i]);
		assert_int_equal(decimal_parse(slice_of(text), 9, false, &back), BUR_OK);
		assert_true(back == values[i]);
	}
}

static void test_limits(void **state)
{
	static const struct {
		const char *text;
		int r;
		enum amount_unit unit;
		int64_t value;
	} cases[] = {
	    {"50 USD", BUR_OK, UNIT_USD, INT64_C(50000000000)},
	    {"50USD", BUR_OK, UNIT_USD, INT64_C(50000000000)},
	    {"$50", BUR_OK, UNIT_USD, INT64_C(50000000000)},
	    {" 0.25 usd ", BUR_OK, UNIT_USD, 250000000},
	    {"2M tokens", BUR_OK, UNIT_TOKENS, 2000000},
	    {"1.5k tokens", BUR_OK, UNIT_TOKENS, 1500},
	    {"3B tokens", BUR_OK, UNIT_TOKENS, INT64_C(3000000000)},
	    {"1 token", BUR_OK, UNIT_TOKENS, 1},
	    {"1000 requests", BUR_OK, UNIT_REQUESTS, 1000},
	    {"0 USD", BUR_OK, UNIT_USD, 0},
	    {"1.5 tokens", BUR_INVALID, UNIT_USD, 0},
	    {"0.0000000001 USD", BUR_INVALID, UNIT_USD, 0},
	    {"-5 USD", BUR_INVALID, UNIT_USD, 0},
	    {"+5 USD", BUR_INVALID, UNIT_USD, 0},
	    {"$-5", BUR_INVALID, UNIT_USD, 0},
	    {"2k USD", BUR_INVALID, UNIT_USD, 0},
	    {"50", BUR_INVALID, UNIT_USD, 0},
	    {"USD", BUR_INVALID, UNIT_USD, 0},
	    {"M tokens", BUR_INVALID, UNIT_USD, 0},
	    {"50 EUR", BUR_INVALID, UNIT_USD, 0},
	    {"", BUR_INVALID, UNIT_USD, 0},
	    {"99999999999 USD", BUR_OVERFLOW, UNIT_USD, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum amount_unit unit = UNIT_USD;
		int64_t v = 0;
		int r = amount_parse_limit(slice_of(cases[i].text), &unit, &v);

		if (r != cases[i].r || unit != cases[i].unit || v != cases[i].value)
			fail_msg("%s: %d %d %lld", cases[i].text, r, (int)unit, (long long)v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_checked_sums), cmocka_unit_test(test_worked_example),
	    cmocka_unit_test(test_rounding),     cmocka_unit_test(test_large_costs_are_rounded_up),
	    cmocka_unit_test(test_cost_limits),  cmocka_unit_test(test_decimals),
	    cmocka_unit_test(test_usd_text),     cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests_name("base_amount", tests, NULL, NULL);
}
