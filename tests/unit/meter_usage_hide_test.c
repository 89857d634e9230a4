/* meter_usage_hide_test - what was asked for by bursar alone is taken out again, byte by byte the same otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "meter/usage_hide.h"

static void hide(const char *in, size_t n, size_t piece, struct buf *out)
{
	struct usage_hide *h = usage_hide_new();
	size_t i, k;

	assert_non_null(h);
	for (i = 0; i < n; i += k) {
		k = piece < n - i ? piece : n - i;
		assert_int_equal(usage_hide_feed(h, in + i, k, out), BUR_OK);
	}
	assert_int_equal(usage_hide_finish(h, out), BUR_OK);
	usage_hide_free(h);
}

static void gives(const char *in, const char *want)
{
	size_t n = strlen(in), piece;

	for (piece = 1; piece <= n + 1; piece++) {
		struct buf out;

		buf_init(&out, 1 << 20);
		hide(in, n, piece, &out);
		if (!slice_eq(buf_slice(&out), slice_of(want)))
			fail_msg("in pieces of %zu: %.*s", piece, SLICE_ARG(buf_slice(&out)));
		buf_done(&out);
	}
}

static void test_members(void **state)
{
	(void)state;
	gives("data: {\"a\":1,\"usage\":null}\n\n", "data: {\"a\":1}\n\n");
	gives("data: {\"a\":1 , \"usage\" : null }\n\n", "data: {\"a\":1  }\n\n");
	gives("data: {\"usage\":null,\"a\":1}\n\n", "data: {\"a\":1}\n\n");
	gives("data: {\"usage\":null , \"a\":1}\n\n", "data: {\"a\":1}\n\n");
	gives("data: { \"usage\":null }\n\n", "data: {  }\n\n");
	gives("data: {\"a\":1,\"usage\":null,\"b\":2}\n\ndata: [DONE]\n\n",
	      "data: {\"a\":1,\"b\":2}\n\ndata: [DONE]\n\n");
	gives("data: {\"a\":1,\"us\\u0061ge\":null}\n\n", "data: {\"a\":1}\n\n");
	gives("data:{\"a\":1,\ndata:\"usage\":null}\n\n", "data:{\"a\":1,\ndata:\"usage\":null}\n\n");
	gives("data:{\"a\":1,\"usage\":null,\ndata:\"b\":1}\n\n", "data:{\"a\":1,\ndata:\"b\":1}\n\n");
}

static void test_kept(void **state)
{
	static const char *const same[] = {
	    "",
	    "\n",
	    "\r\n\r\n",
	    ": ping\n\n",
	    "data: {\"a\":{\"usage\":null}}\n\n",
	    "data: {\"a\":\"\\\"usage\\\":null\"}\n\n",
	    "data: {\"choices\":[{\"x\":[]}],\"usage\":{\"prompt_tokens\":1}}\n\n",
	    "data: {\"choices\":[],\"x\":1}\n\n",
	    "data: {\"choices\":[null],\"usage\":{}}\n\n",
	    "data: {\"usage\":{}}\n\n",
	    "data: {\"usage\":null,\"usage\":null}\n\n",
	    "data: {\"usage\":null\n\n",
	    "data: [{\"usage\":null}]\n\n",
	    "data: {\"usage\":null} x\n\n",
	    "event: x\nid: 7\ndata: {\"a\":1}\n\n",
	    "data: usage\n\n",
	    "data: {\"a\":1}",
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(same); i++)
		gives(same[i], same[i]);
}

static void test_dropped(void **state)
{
	(void)state;
	gives("data: {\"a\":1}\n\ndata: {\"choices\":[],\"usage\":{\"x\":1}}\n\ndata: [DONE]\n\n",
	      "data: {\"a\":1}\n\ndata: [DONE]\n\n");
	gives("data: {\"usage\":{\"x\":[1]},\"choices\":[ ]}\n\n", "");
	gives("data: {\"choices\":[],\"usage\":{}}", ""); /* no blank line at the end */
	gives("data: {\"choices\":[],\"usage\":null}\n\n", "data: {\"choices\":[]}\n\n");
}

static void test_line_ends(void **state)
{
	(void)state;
	gives("data: {\"a\":1,\"usage\":null}\r\n\r\ndata: {\"choices\":[],\"usage\":{}}\r\n\r\ndata: [DONE]\r\n\r\n",
	      "data: {\"a\":1}\r\n\r\ndata: [DONE]\r\n\r\n");
	gives("data: {\"a\":1,\"usage\":null}\r\rdata: {\"choices\":[],\"usage\":{}}\r\rdata: [DONE]\r\r",
	      "data: {\"a\":1}\r\rdata: [DONE]\r\r");
	gives("\xef\xbb\xbf"
	      "data: {\"a\":1,\"usage\":null}\n\n",
	      "\xef\xbb\xbf"
	      "data: {\"a\":1}\n\n");
}

/* An event leaves as soon as its blank line is there. */
static void test_promptness(void **state)
{
	static const char event[] = "data: {\"usage\":null,\"a\":1}\n\n";
	struct usage_hide *h = usage_hide_new();
	struct buf out;

	(void)state;
	assert_non_null(h);
	buf_init(&out, 1 << 16);
	assert_int_equal(usage_hide_feed(h, event, sizeof(event) - 2, &out), BUR_OK);
	assert_int_equal(buf_len(&out), 0);
	assert_int_equal(usage_hide_feed(h, "\n", 1, &out), BUR_OK);
	assert_int_equal(buf_len(&out), sizeof(event) - 1 - 13);
	usage_hide_free(h);
	usage_hide_free(NULL);
	buf_done(&out);
}

static void test_full_output(void **state)
{
	struct usage_hide *h = usage_hide_new();
	struct buf out;

	(void)state;
	assert_non_null(h);
	buf_init(&out, 8);
	assert_int_equal(usage_hide_feed(h, "data: 12", 8, &out), BUR_OK);
	assert_int_equal(usage_hide_feed(h, "\n\n", 2, &out), BUR_TOOBIG);
	buf_done(&out);
	buf_init(&out, 10);
	assert_int_equal(usage_hide_feed(h, "\n\n", 2, &out), BUR_OK);
	assert_int_equal(buf_len(&out), 10);
	usage_hide_free(h);
	buf_done(&out);
}

static void test_huge_event(void **state)
{
	static const char tail[] = "\n\ndata: {\"a\":1,\"usage\":null}\n\n";
	static char in[(1 << 20) + 100];
	struct buf out;

	(void)state;
	memset(in, 'x', sizeof(in));
	memcpy(in, "data: \"", 7);
	memcpy(in + sizeof(in) - sizeof(tail), tail, sizeof(tail));
	buf_init(&out, 4 << 20);
	hide(in, sizeof(in), 4096, &out);
	assert_int_equal(buf_len(&out), sizeof(in));
	assert_memory_equal(buf_slice(&out).p, in, sizeof(in));
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_members),    cmocka_unit_test(test_kept),       cmocka_unit_test(test_dropped),
	    cmocka_unit_test(test_line_ends),  cmocka_unit_test(test_promptness), cmocka_unit_test(test_full_output),
	    cmocka_unit_test(test_huge_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
