/* base_error_test - every code has a phrase of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <string.h>

#include "base/error.h"

static void test_phrases(void **state)
{
	(void)state;
	for (int code = 0; code >= BUR_BUSY; code--) {
		assert_string_not_equal(bur_strerror(code), "unknown error");
		for (int other = 0; other > code; other--)
			assert_string_not_equal(bur_strerror(code), bur_strerror(other));
	}
	assert_string_equal(bur_strerror(1), "unknown error");
	assert_string_equal(bur_strerror(BUR_BUSY - 1), "unknown error");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_phrases)};

	return cmocka_run_group_tests_name("base_error", tests, NULL, NULL);
}
