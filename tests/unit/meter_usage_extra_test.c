/* meter_usage_extra_test - what is written of a usage comes back, whatever fits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "meter/usage_extra.h"

static void there_and_back(void **state)
{
	struct usage u = {.images = 3, .pages = UINT32_MAX, .audio_ms = 61500, .citation_tokens = 1, .n_others = 2},
		     got = {0};
	char text[500], json[502];
	bool all;
	size_t n;

	(void)state;
	(void)slice_to_cstr(SLICE("claude \"x\""), u.others[0].model, sizeof(u.others[0].model));
	u.others[0].output_tokens = 7;
	u.others[1].audio_input_tokens = 9;
	n = usage_extra_write(&u, text, sizeof(text), &all);
	assert_true(all);
	assert_int_equal(
	    usage_extra_read(slice_mem(json, (size_t)snprintf(json, sizeof(json), "{%.*s}", (int)n, text)), &got),
	    BUR_OK);
	assert_memory_equal(&u, &got, sizeof(u));
	for (size_t size = 0; size < n; size++) {
		size_t part = usage_extra_write(&u, text, size, &all);

		assert_false(all);
		assert_true(part <= size);
		got = (struct usage){0};
		assert_int_equal(
		    usage_extra_read(slice_mem(json, (size_t)snprintf(json, sizeof(json), "{%.*s}", (int)part, text)),
				     &got),
		    BUR_OK);
	}
}

static void nothing_and_nonsense(void **state)
{
	struct usage u = {0};
	char text[8];
	bool all;

	(void)state;
	assert_int_equal(usage_extra_write(&u, text, sizeof(text), &all), 0);
	assert_true(all);
	assert_int_equal(usage_extra_read(SLICE_NONE, &u), BUR_OK);
	assert_int_equal(usage_extra_read(SLICE("[1]"), &u), BUR_INVALID);
	assert_int_equal(usage_extra_read(SLICE("{\"images\":-1,\"pages\":\"x\",\"others\":{}}"), &u), BUR_OK);
	assert_int_equal(u.images, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(there_and_back), cmocka_unit_test(nothing_and_nonsense)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
