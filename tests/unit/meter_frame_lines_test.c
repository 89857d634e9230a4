/* meter_frame_lines_test - JSON lines in any pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "meter/frame_lines.h"
#include "tests/unit/meter_frames.h"

static char *run(const char *p, size_t n, size_t piece)
{
	struct frames got = {0};
	struct frame_lines f;
	size_t i, k;

	frame_lines_init(&f, (struct frame_out){&frames_ops, &got});
	for (i = 0; i < n; i += k) {
		k = piece > 0 ? piece : 1 + (size_t)rand() % 9;
		if (k > n - i)
			k = n - i;
		frame_lines_feed(&f, p + i, k);
	}
	frame_lines_finish(&f);
	return frames_take(&got);
}

/* White space at the end of a line is JSON's, which does not mind it. */
static void trim_ends(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (*s == ']')
			while (to[-1] == ' ' || to[-1] == '\r' || to[-1] == '\t')
				to--;
		*to++ = *s;
	}
	*to = '\0';
}

static void test_lines(void **state)
{
	static const struct {
		const char *body, *events;
	} cases[] = {
	    {"{1}\n{2}\n", "[{1}][{2}]"},
	    {"{1}\r\n{2}", "[{1}][{2}]"},
	    {"\n\r\n \t\r\n{1}\n\n\n", "[{1}]"},
	    {"  {1}  \n", "[{1}]"},
	    {"{1} \r", "[{1}]"},
	    {"{1}\r{2}\n", "[{1}\r{2}]"},
	    {"{", "[{]"},
	    {"", ""},
	    {" ", ""},
	    {"\n", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t piece = 0; piece < 20; piece++) {
			char *got = run(cases[i].body, strlen(cases[i].body), piece);

			trim_ends(got);
			if (strcmp(got, cases[i].events) != 0)
				fail_msg("case %zu in pieces of %zu: %s", i, piece, got);
			free(got);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
