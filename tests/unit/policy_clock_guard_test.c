/* R7.5: the clock as windows see it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/clock_guard.h"

#define S INT64_C(1000000000)
#define WALL (INT64_C(1793275200) * S)
#define HOUR (3600 * S)

static struct clock_guard g;
static enum clock_event event;

static int64_t now(int64_t wall, int64_t mono)
{
	return clock_guard_now(&g, wall, mono, &event);
}

static void fresh(void)
{
	clock_guard_init(&g);
	assert_int_equal(now(WALL, 100 * S), WALL);
	assert_int_equal(event, CLOCK_STEADY);
}

static void r7_5_a_good_clock_is_passed_on(void **state)
{
	(void)state;
	fresh();
	for (int64_t t = 1; t < 1000; t++) {
		assert_int_equal(now(WALL + t * S + t % 3 * 1000, (100 + t) * S), WALL + t * S + t % 3 * 1000);
		assert_int_equal(event, CLOCK_STEADY);
	}
	assert_int_equal(now(WALL + 10 * HOUR, 100 * S + 10 * HOUR), WALL + 10 * HOUR); /* looked at rarely */
	assert_int_equal(event, CLOCK_STEADY);
	assert_int_equal(now(WALL + 10 * HOUR + 300 * S, 100 * S + 10 * HOUR), WALL + 10 * HOUR + 300 * S);
	assert_int_equal(event, CLOCK_STEADY); /* five minutes are believed */
}

static void r7_5_time_never_goes_back(void **state)
{
	(void)state;
	fresh();
	assert_int_equal(now(WALL - S / 2, 100 * S), WALL);
	assert_int_equal(event, CLOCK_STEADY); /* nothing that budgets could see */
	assert_int_equal(now(WALL - HOUR, 101 * S), WALL);
	assert_int_equal(event, CLOCK_WENT_BACK);
	assert_int_equal(now(WALL - HOUR + S, 102 * S), WALL);
	assert_int_equal(event, CLOCK_STEADY); /* told once */
	assert_int_equal(now(WALL + 5 * S, 100 * S + HOUR + 6 * S), WALL + 5 * S);
	assert_int_equal(event, CLOCK_STEADY);
	assert_int_equal(now(WALL + 4 * S, 101 * S + HOUR + 6 * S), WALL + 5 * S);
	assert_int_equal(event, CLOCK_WENT_BACK);
	assert_int_equal(now(INT64_MIN, 102 * S + HOUR + 6 * S), WALL + 5 * S);
}

static void r7_5_a_jump_is_believed_after_a_minute(void **state)
{
	(void)state;
	fresh();
	assert_int_equal(now(WALL + S + 48 * HOUR, 101 * S), WALL + S);
	assert_int_equal(event, CLOCK_JUMPED);
	for (int64_t t = 2; t <= 60; t++) {
		assert_int_equal(now(WALL + t * S + 48 * HOUR, (100 + t) * S), WALL + t * S);
		assert_int_equal(event, CLOCK_STEADY);
	}
	assert_int_equal(now(WALL + 61 * S + 48 * HOUR, 161 * S), WALL + 61 * S + 48 * HOUR);
	assert_int_equal(event, CLOCK_ADOPTED);
	assert_int_equal(now(WALL + 62 * S + 48 * HOUR, 162 * S), WALL + 62 * S + 48 * HOUR);
	assert_int_equal(event, CLOCK_STEADY);
}

static void r7_5_a_jump_that_is_taken_back_ends_no_window(void **state)
{
	(void)state;
	fresh();
	assert_int_equal(now(WALL + 48 * HOUR, 101 * S), WALL + S);
	assert_int_equal(now(WALL + 30 * S + 48 * HOUR, 130 * S), WALL + 30 * S);
	assert_int_equal(now(WALL + 31 * S, 131 * S), WALL + 31 * S);
	assert_int_equal(event, CLOCK_RETURNED);
	assert_int_equal(now(WALL + 200 * S, 300 * S), WALL + 200 * S);
	assert_int_equal(event, CLOCK_STEADY);
}

static void r7_5_a_clock_that_keeps_jumping_is_never_believed(void **state)
{
	(void)state;
	fresh();
	for (int64_t t = 1; t < 600; t++) {
		assert_int_equal(now(WALL + t * S + (1 + t / 50) * HOUR, (100 + t) * S), WALL + t * S);
		assert_int_equal(event, t == 1 || t % 50 == 0 ? CLOCK_JUMPED : CLOCK_STEADY);
	}
}

static void r7_5_odd_readings_do_not_wrap(void **state)
{
	(void)state;
	clock_guard_init(&g);
	(void)now(INT64_MAX, INT64_MIN);
	(void)now(INT64_MIN, INT64_MAX);
	(void)now(INT64_MAX, INT64_MIN);
	assert_int_equal(now(0, 0), INT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(r7_5_a_good_clock_is_passed_on),
	    cmocka_unit_test(r7_5_time_never_goes_back),
	    cmocka_unit_test(r7_5_a_jump_is_believed_after_a_minute),
	    cmocka_unit_test(r7_5_a_jump_that_is_taken_back_ends_no_window),
	    cmocka_unit_test(r7_5_a_clock_that_keeps_jumping_is_never_believed),
	    cmocka_unit_test(r7_5_odd_readings_do_not_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
