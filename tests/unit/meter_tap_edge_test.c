/* meter_tap_edge_test - where an answer may be ended early: event streams, lines, AWS messages, Gemini's array;
 * whatever the pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "meter/tap_edge.h"

#define SSE "text/event-stream; charset=utf-8"
#define JSON "application/json; charset=UTF-8"
#define AWS "application/vnd.amazon.eventstream"

static enum tap_edge_place place_of(enum api_kind kind, const char *type, const char *p, size_t n, size_t piece)
{
	struct tap_edge e;
	size_t k;

	tap_edge_init(&e, kind, slice_of(type));
	for (size_t i = 0; i < n; i += k) {
		k = piece == 0 ? 1 + (size_t)rand() % 9 : piece;
		k = k > n - i ? n - i : k;
		tap_edge_feed(&e, p + i, k);
	}
	return tap_edge_place(&e);
}

static void check(enum api_kind kind, const char *type, const char *p, size_t n, enum tap_edge_place want)
{
	for (size_t piece = 0; piece < 12; piece++)
		if (place_of(kind, type, p, n, piece == 11 ? n + 1 : piece) != want)
			fail_msg("%.*s: not %d in pieces of %zu", (int)n, p, (int)want, piece);
}

#define CHECK_TEXT(kind, type, text, want) check(kind, type, text, sizeof(text) - 1, want)

static void test_events(void **state)
{
	(void)state;
	CHECK_TEXT(API_CHAT, SSE, "", EDGE_FIRST);
	CHECK_TEXT(API_CHAT, SSE, "data: {}", EDGE_INSIDE);
	CHECK_TEXT(API_CHAT, SSE, "data: {}\n", EDGE_INSIDE);
	CHECK_TEXT(API_CHAT, SSE, "data: {}\r\n", EDGE_INSIDE);
	CHECK_TEXT(API_CHAT, SSE, "data: {}\n\n", EDGE_AFTER);
	CHECK_TEXT(API_CHAT, SSE, "data: {}\r\n\r\n", EDGE_AFTER);
	CHECK_TEXT(API_CHAT, SSE, "data: {}\r\r", EDGE_AFTER);
	CHECK_TEXT(API_CHAT, SSE, "data: {}\n\r\n", EDGE_AFTER);
	CHECK_TEXT(API_CHAT, SSE, "data: {}\r\r\n", EDGE_AFTER);
	CHECK_TEXT(API_CHAT, SSE, "data: {}\n\nevent: x\n", EDGE_INSIDE);
	CHECK_TEXT(API_CHAT, SSE, ": ping\n\ndata: 1\n\n", EDGE_AFTER);
	CHECK_TEXT(API_MESSAGES, SSE, "event: a\ndata: 1\n\n", EDGE_AFTER);
}

static void test_lines(void **state)
{
	(void)state;
	CHECK_TEXT(API_OLLAMA, "application/x-ndjson", "{\"a\":1}\n", EDGE_AFTER);
	CHECK_TEXT(API_OLLAMA, "application/x-ndjson", "{\"a\":1}\n{", EDGE_INSIDE);
}

static void test_array(void **state)
{
	(void)state;
	CHECK_TEXT(API_GENERATE, JSON, "", EDGE_FIRST);
	CHECK_TEXT(API_GENERATE, JSON, "[", EDGE_OPEN);
	CHECK_TEXT(API_GENERATE, JSON, " [ \n", EDGE_OPEN);
	CHECK_TEXT(API_GENERATE, JSON, "[{\"a\":[{}", EDGE_INSIDE);
	CHECK_TEXT(API_GENERATE, JSON, "[{\"a\":\"}]\\\"}\"", EDGE_INSIDE);
	CHECK_TEXT(API_GENERATE, JSON, "[{\"a\":[{}]}", EDGE_AFTER);
	CHECK_TEXT(API_GENERATE, JSON, "[{}\n", EDGE_AFTER);
	CHECK_TEXT(API_GENERATE, JSON, "[{}\n,\r\n", EDGE_COMMA);
	CHECK_TEXT(API_GENERATE, JSON, "[{},{", EDGE_INSIDE);
	CHECK_TEXT(API_GENERATE, JSON, "[{}]", EDGE_INSIDE);
	CHECK_TEXT(API_GENERATE, JSON, "{\"a\":{}}", EDGE_INSIDE);
	CHECK_TEXT(API_GENERATE, JSON, "{\"a\":1},", EDGE_INSIDE);
}

static void test_aws(void **state)
{
	static const char message[20] = {0, 0, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
	char two[40];

	(void)state;
	memcpy(two, message, 20);
	memcpy(two + 20, message, 20);
	for (size_t n = 0; n <= sizeof(two); n++)
		check(API_CONVERSE, AWS, two, n, n == 0 ? EDGE_FIRST : n % 20 == 0 ? EDGE_AFTER : EDGE_INSIDE);
	check(API_CONVERSE, AWS, "\0\0\0\3abcdefgh", 12, EDGE_INSIDE); /* no length of a message */
}

/* Forms for which there are no words. */
static void test_none(void **state)
{
	(void)state;
	CHECK_TEXT(API_CHAT, JSON, "", EDGE_INSIDE);
	CHECK_TEXT(API_CHAT, JSON, "{}\n\n", EDGE_INSIDE);
	CHECK_TEXT(API_CHAT, AWS, "", EDGE_INSIDE);
	CHECK_TEXT(API_CHAT, "application/x-ndjson", "{}\n", EDGE_INSIDE);
	CHECK_TEXT(API_CONVERSE, SSE, "data: 1\n\n", EDGE_INSIDE);
	CHECK_TEXT(API_CHAT, "", "data: 1\n\n", EDGE_INSIDE);
}

static void test_last(void **state)
{
	struct tap_edge e;

	(void)state;
	tap_edge_init(&e, API_CHAT, SLICE(SSE));
	assert_int_equal(tap_edge_last(&e, "data", 4), 0);
	assert_int_equal(tap_edge_place(&e), EDGE_FIRST);
	tap_edge_feed(&e, "data: 1", 7);
	assert_true(tap_edge_last(&e, "2", 1) == SIZE_MAX);
	assert_int_equal(tap_edge_last(&e, "\n\ndata: 2\n\ndata", 15), 11);
	assert_int_equal(tap_edge_place(&e), EDGE_AFTER);
	tap_edge_init(&e, API_GENERATE, SLICE(JSON));
	assert_int_equal(tap_edge_last(&e, "[{},{}", 6), 6);
	assert_int_equal(tap_edge_last(&e, ",{\"a", 4), 1);
	assert_int_equal(tap_edge_place(&e), EDGE_COMMA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_events), cmocka_unit_test(test_lines), cmocka_unit_test(test_array),
	    cmocka_unit_test(test_aws),    cmocka_unit_test(test_none),  cmocka_unit_test(test_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
