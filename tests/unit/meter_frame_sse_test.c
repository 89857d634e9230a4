/* meter_frame_sse_test - event streams: line ends, comments, joined data, what the end of the body leaves open; in any
 * pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "meter/frame_sse.h"
#include "tests/unit/meter_frames.h"

static char *run(const char *p, size_t n, size_t piece)
{
	struct frames got = {0};
	struct frame_sse f;
	size_t i, k;

	frame_sse_init(&f, (struct frame_out){&frames_ops, &got});
	for (i = 0; i < n; i += k) {
		k = piece > 0 ? piece : 1 + (size_t)rand() % 9;
		if (k > n - i)
			k = n - i;
		frame_sse_feed(&f, p + i, k);
	}
	frame_sse_finish(&f);
	return frames_take(&got);
}

static void test_events(void **state)
{
	static const struct {
		const char *body, *events;
	} cases[] = {
	    {"data: a\n\n", "[a]"},
	    {"data: a\n\ndata: b\n\n", "[a][b]"},
	    {"data:a\r\n\r\ndata:  b\r\n\r\n", "[a][ b]"},
	    {"data: a\r\rdata: b\r\r", "[a][b]"},
	    {"data: a\n\r\ndata: b\r\n\n", "[a][b]"},
	    {"data: a\ndata: b\n\n", "[a\nb]"},
	    {"data: a\rdata: b\n\n", "[a\nb]"},
	    {"data: a\r\ndata: b\r\n\r\n", "[a\nb]"},
	    {"data\n\n", "[]"},
	    {"data\ndata\n\n", "[\n]"},
	    {"data:\n\n", "[]"},
	    {"data: \n\n", "[]"},
	    {": ping\n\nevent: x\nid: 7\nretry: 1\ndata: a\nother\n\n", "[a]"},
	    {"event: x\n\n", ""},
	    {"database: a\n\ndat: b\n\ndata : c\n\nDATA: d\n\n data: e\n\n", ""},
	    {"\xef\xbb\xbf"
	     "data: a\n\n",
	     "[a]"},
	    {"\xef\xbb"
	     "data: a\n\n",
	     ""},
	    {"\n\n\ndata: a\n\n\n\n", "[a]"},
	    {"data: a", "[a]"},
	    {"data: a\n", "[a]"},
	    {"data: a\r", "[a]"},
	    {"data: a\n\ndata: b\nevent", "[a][b]"},
	    {"data", "[]"},
	    {"data: [DONE]\n\n", "DONE"},
	    {"data:[DONE] bye\n\n", "DONE"},
	    {"data: [DONE", "[[DONE]"},
	    {"data: [DO\ndata: NE]\n\n", "[[DO\nNE]]"},
	    {"data: a\n\ndata: [DONE]", "[a]DONE"},
	    {"data: [1]\n\n", "[[1]]"},
	    {"", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t piece = 0; piece < 40; piece++) {
			char *got = run(cases[i].body, strlen(cases[i].body), piece);

			if (strcmp(got, cases[i].events) != 0)
				fail_msg("case %zu in pieces of %zu: %s", i, piece, got);
			free(got);
		}
	}
}

/* The scan for line ends reads in blocks: an end at every distance. */
static void test_lengths(void **state)
{
	char body[400], want[400];

	(void)state;
	for (size_t n = 0; n < 120; n++) {
		char *got;

		memset(body, 'x', sizeof(body));
		memcpy(body, "data: ", 6);
		memcpy(body + 6 + n, n % 2 ? "\n\n" : "\r\n\r\n", n % 2 ? 3 : 5);
		want[0] = '[';
		memset(want + 1, 'x', n);
		memcpy(want + 1 + n, "]", 2);
		got = run(body, strlen(body), 500);
		assert_string_equal(got, want);
		free(got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_events),
	    cmocka_unit_test(test_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
