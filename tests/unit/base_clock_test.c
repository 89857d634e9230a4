/* base_clock_test - the clocks, and the shifted one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/calendar.h"
#include "base/clock.h"
#include "base/error.h"

static void test_clocks(void **state)
{
	int64_t mono = clock_mono_ns(), wall, start = 0;

	(void)state;
	assert_int_equal(time_parse(SLICE("2031-02-03T04:05:06Z"), &start), BUR_OK);
	wall = clock_wall_ns();
	assert_true(wall >= start && wall < start + 60 * NS_PER_S);
	for (int i = 0; i < 10000; i++) {
		int64_t next = clock_wall_ns(), next_mono = clock_mono_ns();

		assert_true(next >= wall && next_mono >= mono);
		wall = next;
		mono = next_mono;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_clocks)};

	(void)setenv("BURSAR_FAKE_NOW", "2031-02-03T04:05:06Z", 1);
	return cmocka_run_group_tests_name("base_clock", tests, NULL, NULL);
}
