/* meter_frame_aws_test - AWS event streams: messages, exceptions, wrapped chunks, checksums, lengths; in any split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <zlib.h>

#include "base/error.h"
#include "meter/frame_aws.h"
#include "tests/unit/meter_frames.h"

struct wire {
	uint8_t p[300000];
	size_t n;
};

static struct wire wire, headers;

static void put_u32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void header(const char *name, int type, const void *value, size_t n)
{
	uint8_t *p = headers.p + headers.n, *begin = p;

	*p++ = (uint8_t)strlen(name);
	memcpy(p, name, strlen(name));
	p += strlen(name);
	*p++ = (uint8_t)type;
	if (type == 6 || type == 7) {
		*p++ = (uint8_t)(n >> 8);
		*p++ = (uint8_t)n;
	}
	if (n > 0)
		memcpy(p, value, n);
	headers.n += (size_t)(p - begin) + n;
}

static void text_header(const char *name, const char *value)
{
	header(name, 7, value, strlen(value));
}

/* A message of the headers gathered, which are used up. */
static void message(const char *payload, size_t n)
{
	uint8_t *p = wire.p + wire.n;
	uint32_t total = (uint32_t)(16 + headers.n + n);

	assert_true(wire.n + total <= sizeof(wire.p));
	put_u32(p, total);
	put_u32(p + 4, (uint32_t)headers.n);
	put_u32(p + 8, (uint32_t)crc32(0, p, 8));
	memcpy(p + 12, headers.p, headers.n);
	if (n > 0)
		memcpy(p + 12 + headers.n, payload, n);
	put_u32(p + total - 4, (uint32_t)crc32(0, p, total - 4));
	wire.n += total;
	headers.n = 0;
}

static void event(const char *type, const char *payload)
{
	text_header(":event-type", type);
	text_header(":content-type", "application/json");
	text_header(":message-type", "event");
	message(payload, strlen(payload));
}

static char *run(size_t piece, int *ret_feed, int *ret_finish)
{
	static struct frame_aws f;
	struct frames got = {0};
	size_t i, k;

	frame_aws_init(&f, (struct frame_out){&frames_ops, &got});
	for (i = 0; i < wire.n; i += k) {
		k = piece > 0 ? piece : 1 + (size_t)rand() % 9;
		if (k > wire.n - i)
			k = wire.n - i;
		*ret_feed = frame_aws_feed(&f, (const char *)wire.p + i, k);
	}
	*ret_finish = frame_aws_finish(&f);
	return frames_take(&got);
}

static void check(const char *events, int feed, int finish)
{
	static const size_t pieces[] = {1000000, 0, 0, 1, 2, 3, 5, 11, 64};

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		int a = BUR_OK, b;
		char *got = run(pieces[i], &a, &b);

		if (strcmp(got, events) != 0 || a != feed || b != finish)
			fail_msg("in pieces of %zu: %.200s, feed %d, finish %d", pieces[i], got, a, b);
		free(got);
	}
	wire.n = 0;
}

static void test_messages(void **state)
{
	(void)state;
	check("", BUR_OK, BUR_OK);
	event("messageStart", "{\"role\":1}");
	event("metadata", "{\"usage\":{}}");
	check("(messageStart)[{\"role\":1}](metadata)[{\"usage\":{}}]", BUR_OK, BUR_OK);
	message("{}", 2);
	message("", 0);
	check("()[{}]()[]", BUR_OK, BUR_OK);
}

static void test_exceptions(void **state)
{
	(void)state;
	text_header(":message-type", "exception");
	text_header(":exception-type", "throttlingException");
	message("{\"message\":\"x\"}", 15);
	text_header(":message-type", "error");
	text_header(":error-code", "InternalError");
	text_header(":error-message", "x");
	message("", 0);
	text_header(":message-type", "something new");
	text_header(":event-type", "metadata");
	message("{}", 2);
	check("(throttlingException!)[{\"message\":\"x\"}](InternalError!)[]", BUR_OK, BUR_OK);
}

static void test_header_types(void **state)
{
	char long_value[2000];

	(void)state;
	memset(long_value, 'v', sizeof(long_value));
	header("t", 0, NULL, 0);
	header("f", 1, NULL, 0);
	header("b", 2, "1", 1);
	header("s", 3, "12", 2);
	header("i", 4, "1234", 4);
	header("l", 5, "12345678", 8);
	header("bytes", 6, "abc", 3);
	header("none", 6, "", 0);
	header("time", 8, "12345678", 8);
	header("uuid", 9, "0123456789abcdef", 16);
	header("a-name-that-is-longer-than-what-is-kept-of-names", 7, long_value, sizeof(long_value));
	header(":event-type", 6, "no string", 9);
	text_header(":event-type", "first");
	text_header(":event-type", "");
	text_header(":event-type", "last");
	message("x", 1);
	check("(last)[x]", BUR_OK, BUR_OK);
}

#define INNER "{\"type\":\"message_stop\"}"
#define INNER_64 "eyJ0eXBlIjoibWVzc2FnZV9zdG9wIn0="

static void test_chunks(void **state)
{
	static const struct {
		const char *payload, *events;
	} cases[] = {
	    {"{\"bytes\":\"" INNER_64 "\"}", "[" INNER "]"},
	    {"{\"p\":\"abc\",\"bytes\" : \"" INNER_64 "\" , \"q\":[{\"bytes\":\"eA==\"}]} ", "[" INNER "]"},
	    {"{\"\\u0062ytes\":\"eyJ0\\u0065XBlIjoibWVzc2FnZV9zdG9wIn0\\u003d\"}", "[" INNER "]"},
	    {"{\"bytes\":\"Pz8\\/\"}", "[???]"},
	    {"{\"bytes\":\"\"}", "[]"},
	    {"{\"bytes\":\"eA==\",\"bytes\":\"eHk=\"}", "[xy]"},
	    {"{\"bytes\":\"eA==\",\"bytes\":null}", ""},
	    {"{\"bytes\":{\"bytes\":\"eA==\"}}", ""},
	    {"[{\"bytes\":\"eA==\"}]", ""},
	    {"{\"p\":\"abc\"}", ""},
	    {"", ""},
	    {"{\"bytes\":\"eA==\"", ""},
	    {"{\"bytes\":\"eA==", ""},
	    {"{\"bytes\":\"eA==\"}}", ""},
	    {"{\"bytes\" \"eA==\"}", ""},
	    {"{\"bytes\":\"eA=\"}", ""},
	    {"{\"bytes\":\"eA\"}", ""},
	    {"{\"bytes\":\"e\"}", ""},
	    {"{\"bytes\":\"eA==eA==\"}", ""},
	    {"{\"bytes\":\"eA===\"}", ""},
	    {"{\"bytes\":\"e===\"}", ""},
	    {"{\"bytes\":\"=\"}", ""},
	    {"{\"bytes\":\"eH=k\"}", ""},
	    {"{\"bytes\":\"eH k\"}", ""},
	    {"{\"bytes\":\"eH\\nk\"}", ""},
	    {"{\"bytes\":\"eH\\u000k\"}", ""},
	    {"{\"bytes\":\"eH\\u0000k\"}", ""},
	    {"{\"bytes\":\"eHk\\\"\"}", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char want[200];

		event("chunk", cases[i].payload);
		event("next", "1");
		(void)snprintf(want, sizeof(want), "%s(next)[1]", cases[i].events);
		check(want, BUR_OK, BUR_OK);
	}
}

/* Far larger than any buffer. */
static void test_large_chunk(void **state)
{
	size_t n = 90000, i;
	char *payload = malloc(n * 4 / 3 + 100), *want = malloc(n + 3);

	(void)state;
	memcpy(payload, "{\"bytes\":\"", 10);
	want[0] = '[';
	for (i = 0; i < n / 3; i++) {
		memcpy(payload + 10 + i * 4, "YWJj", 4);
		memcpy(want + 1 + i * 3, "abc", 3);
	}
	memcpy(want + 1 + n, "]", 2);
	memcpy(payload + 10 + i * 4, "\"}", 3);
	event("chunk", payload);
	check(want, BUR_OK, BUR_OK);
	free(payload);
	free(want);
}

/* Any single bit that is wrong: the message does not count, nor does what follows. */
static void test_every_bit(void **state)
{
	size_t first, both;

	(void)state;
	event("a", "{\"n\":1}");
	first = wire.n;
	event("b", "{\"n\":2}");
	both = wire.n;
	for (size_t bit = first * 8; bit < both * 8; bit++) {
		int feed = BUR_OK, finish;
		char *got;

		wire.p[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		got = run(bit % 3 ? 10000 : 7, &feed, &finish);
		assert_string_equal(got, "(a)[{\"n\":1}]");
		assert_int_equal(finish, BUR_INVALID);
		free(got);
		wire.p[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	check("(a)[{\"n\":1}](b)[{\"n\":2}]", BUR_OK, BUR_OK);
}

static void test_cut(void **state)
{
	size_t first, n;

	(void)state;
	event("a", "1");
	first = wire.n;
	event("b", "2");
	for (n = wire.n - 1; n > first; n -= 7 < n - first ? 7 : 1) {
		int feed = BUR_OK, finish;
		char *got;

		wire.n = n;
		got = run(0, &feed, &finish);
		assert_string_equal(got, "(a)[1]");
		assert_int_equal(feed, BUR_OK);
		assert_int_equal(finish, BUR_EOF);
		free(got);
	}
	wire.n = 0;
}

/* A prelude with the right checksum. */
static void prelude(uint32_t total, uint32_t headers_n)
{
	put_u32(wire.p, total);
	put_u32(wire.p + 4, headers_n);
	put_u32(wire.p + 8, (uint32_t)crc32(0, wire.p, 8));
	wire.n = 12;
}

static void test_lengths(void **state)
{
	static const struct {
		uint32_t total, headers;
		int feed;
	} cases[] = {
	    {15, 0, BUR_INVALID},
	    {0, 0, BUR_INVALID},
	    {16, 1, BUR_INVALID},
	    {16, UINT32_MAX, BUR_INVALID},
	    {UINT32_MAX, 0, BUR_INVALID},
	    {UINT32_MAX, UINT32_MAX - 16, BUR_INVALID},
	    {16 + FRAME_AWS_HEADERS_MAX + 1, FRAME_AWS_HEADERS_MAX + 1, BUR_INVALID},
	    {16 + FRAME_AWS_HEADERS_MAX, FRAME_AWS_HEADERS_MAX, BUR_OK},
	    {16 + FRAME_AWS_PAYLOAD_MAX + 1, 0, BUR_INVALID},
	    {16 + FRAME_AWS_PAYLOAD_MAX, 0, BUR_OK},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		prelude(cases[i].total, cases[i].headers);
		check("", cases[i].feed, cases[i].feed < 0 ? BUR_INVALID : BUR_EOF);
	}
}

/* Headers that do not fit into their room, with right checksums. */
static void test_bad_headers(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} cases[] = {
	    {"\0", 1},
	    {"\1", 1},
	    {"\1a", 2},
	    {"\1a\7", 3},
	    {"\1a\7\0", 4},
	    {"\1a\7\0\1", 5},
	    {"\1a\7\0\2x", 6},
	    {"\1a\012", 3},
	    {"\1a\5\0\0\0\0\0\0\0", 10},
	    {"\0\7\0\0", 4},
	    {"\377abc", 4},
	    {"\1a\0\1", 4},
	    {"\1a\7\377\377x", 6},
	    {"\1a\11\0\0\0\0\0\0", 9},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memcpy(headers.p, cases[i].bytes, cases[i].n);
		headers.n = cases[i].n;
		message("{}", 2);
		check("", BUR_INVALID, BUR_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_messages), cmocka_unit_test(test_exceptions),  cmocka_unit_test(test_header_types),
	    cmocka_unit_test(test_chunks),   cmocka_unit_test(test_large_chunk), cmocka_unit_test(test_every_bit),
	    cmocka_unit_test(test_cut),      cmocka_unit_test(test_lengths),     cmocka_unit_test(test_bad_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
