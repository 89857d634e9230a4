/* meter_tap_framing_test - the same usage through every framing and coding of an answer, whole, byte by byte and in
 * random pieces; and what the tap makes of bodies it cannot read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

#include "meter/tap.h"

#define NDJSON_TYPE "application/x-ndjson"
#define AWS_TYPE "application/vnd.amazon.eventstream"

struct wire {
	char p[16384];
	size_t n;
};

static struct wire wire;

static void put(const void *p, size_t n)
{
	assert_true(wire.n + n <= sizeof(wire.p));
	memcpy(wire.p + wire.n, p, n);
	wire.n += n;
}

static struct usage run_piece(const struct tap_options *o, size_t piece, bool clean)
{
	struct tap *t = tap_new(o);
	struct usage u;
	size_t i, k;

	assert_non_null(t);
	for (i = 0; i < wire.n; i += k) {
		k = piece == 0 ? 1 + (size_t)rand() % 16 : piece;
		if (k > wire.n - i)
			k = wire.n - i;
		tap_feed(t, wire.p + i, k);
	}
	tap_finish(t, clean, &u);
	tap_free(t);
	return u;
}

/* Feeds what was put and forgets it. */
static struct usage run(enum api_kind kind, int status, const char *type, const char *coding, bool clean)
{
	struct tap_options o = {kind, status, slice_of(type), slice_of(coding), .scratch = NULL};
	struct usage u = run_piece(&o, sizeof(wire.p), clean);

	for (size_t i = 0; i < 12; i++) {
		struct usage v = run_piece(&o, i < 2 ? i + 1 : 0, clean);

		if (memcmp(&u, &v, sizeof(u)) != 0)
			fail_msg("%s: another split gives another usage", type);
	}
	wire.n = 0;
	return u;
}

static void expect(struct usage u, uint64_t input, uint64_t output, bool complete)
{
	if (u.input_tokens != input || u.output_tokens != output || u.complete != complete)
		fail_msg("in %llu, out %llu, complete %d", (unsigned long long)u.input_tokens,
			 (unsigned long long)u.output_tokens, u.complete);
}

/* --- JSON lines --------------------------------------------------------------------------------------------------- */

#define OLLAMA_TEXT "{\"model\":\"m\",\"message\":{\"content\":\"hello\"},\"done\":false}"
#define OLLAMA_DONE "{\"model\":\"m\",\"done\":true,\"prompt_eval_count\":11,\"eval_count\":7}"

static void lines(const char *text)
{
	put(text, strlen(text));
}

static void test_ollama(void **state)
{
	struct usage u;

	(void)state;
	lines(OLLAMA_TEXT "\n" OLLAMA_DONE "\n");
	u = run(API_OLLAMA, 200, NDJSON_TYPE, "", true);
	expect(u, 11, 7, true);
	assert_true(u.stream);
	lines(OLLAMA_TEXT "\r\n\r\n{\"done\r\n" OLLAMA_DONE);
	expect(run(API_OLLAMA, 200, "Application/X-NDJSON; charset=utf-8", "", true), 11, 7, true);
	lines(OLLAMA_TEXT "\n" OLLAMA_TEXT "\n");
	u = run(API_OLLAMA, 200, NDJSON_TYPE, "", false);
	assert_false(u.complete);
	assert_true(u.output_bytes >= 10);
}

#define RESULT(in, out)                                                                                                \
	"{\"custom_id\":\"a\",\"response\":{\"status_code\":200,\"body\":{\"model\":\"m\",\"choices\":[],\"usage\":"   \
	"{\"prompt_tokens\":" in ",\"completion_tokens\":" out "}}},\"error\":null}"

/* The kind says that these are lines, whatever the type. Each counts: none may be missed. */
static void test_batch_results(void **state)
{
	static const char *const types[] = {"application/octet-stream", "application/x-jsonl", ""};
	struct usage u;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		lines(RESULT("100", "10") "\n" RESULT("200", "20") "\n");
		u = run(API_BATCH_RESULTS, 200, types[i], "", true);
		expect(u, 300, 30, true);
		assert_int_equal(u.requests, 2);
		assert_false(u.stream);
	}
	lines(RESULT("100", "10") "\n{\"custom_id\":\n" RESULT("200", "20"));
	expect(run(API_BATCH_RESULTS, 200, types[0], "", true), 300, 30, false);
	lines(RESULT("100", "10") "\n{\"custom_id\":\"b\",\"resp");
	expect(run(API_BATCH_RESULTS, 200, types[0], "", false), 100, 10, false);
	lines(RESULT("100", "10") "\n");
	expect(run(API_BATCH_RESULTS, 200, types[0], "", false), 100, 10, false);
}

/* --- AWS event streams -------------------------------------------------------------------------------------------- */

static size_t aws_header(char *dst, const char *name, const char *value)
{
	size_t n = strlen(name), m = strlen(value);

	dst[0] = (char)n;
	memcpy(dst + 1, name, n);
	memcpy(dst + 1 + n, "\7\0", 2);
	dst[n + 3] = (char)m;
	memcpy(dst + n + 4, value, m);
	return n + 4 + m;
}

static void put_u32(size_t v)
{
	const char bytes[4] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};

	put(bytes, 4);
}

static void aws(const char *message_type, const char *name, const char *value, const char *payload)
{
	char headers[256];
	size_t n = aws_header(headers, ":message-type", message_type), begin = wire.n;

	n += aws_header(headers + n, name, value);
	put_u32(16 + n + strlen(payload));
	put_u32(n);
	put_u32(crc32(0, (unsigned char *)wire.p + begin, 8));
	put(headers, n);
	put(payload, strlen(payload));
	put_u32(crc32(0, (unsigned char *)wire.p + begin, (uInt)(wire.n - begin)));
}

static void aws_event(const char *type, const char *payload)
{
	aws("event", ":event-type", type, payload);
}

#define METADATA "{\"usage\":{\"inputTokens\":12,\"outputTokens\":45,\"totalTokens\":57},\"p\":\"abc\"}"

static void converse_begin(void)
{
	aws_event("messageStart", "{\"role\":\"assistant\"}");
	aws_event("contentBlockDelta", "{\"delta\":{\"text\":\"Hello\"},\"contentBlockIndex\":0}");
	aws_event("messageStop", "{\"stopReason\":\"end_turn\"}");
}

static void test_converse(void **state)
{
	struct usage u;

	(void)state;
	converse_begin();
	aws_event("metadata", METADATA);
	u = run(API_CONVERSE, 200, AWS_TYPE, "", true);
	expect(u, 12, 45, true);
	assert_true(u.stream);
	/* a wrong checksum in the last message, and right ones behind it */
	converse_begin();
	aws_event("metadata", METADATA);
	wire.p[wire.n - 1] ^= 1;
	aws_event("metadata", METADATA);
	u = run(API_CONVERSE, 200, AWS_TYPE, "", true);
	assert_false(u.complete || u.has_input || u.has_output);
	/* cut inside of a message */
	converse_begin();
	aws_event("metadata", METADATA);
	aws_event("metadata", METADATA);
	wire.n--;
	expect(run(API_CONVERSE, 200, AWS_TYPE, "", false), 12, 45, false);
	/* an exception in place of the end, and behind it */
	converse_begin();
	aws("exception", ":exception-type", "throttlingException", "{\"message\":\"slow down\"}");
	u = run(API_CONVERSE, 200, AWS_TYPE, "", true);
	assert_true(u.error_seen && !u.complete);
	converse_begin();
	aws_event("metadata", METADATA);
	aws("error", ":error-code", "InternalError", "");
	u = run(API_CONVERSE, 200, AWS_TYPE, "", true);
	assert_true(u.error_seen && !u.complete);
}

static void invoke_chunk(const char *json)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t n = strlen(json), i, o;
	char payload[2048];

	o = (size_t)snprintf(payload, sizeof(payload), "{\"p\":\"abcd\",\"bytes\":\"");
	for (i = 0; i < n; i += 3) {
		uint32_t bits = (uint32_t)json[i] << 16;

		bits |= i + 1 < n ? (uint32_t)json[i + 1] << 8 : 0;
		bits |= i + 2 < n ? (uint32_t)json[i + 2] : 0;
		for (int shift = 18; shift >= 0; shift -= 6)
			payload[o++] = digits[bits >> shift & 63];
		if (i + 2 >= n)
			payload[o - 1] = '=';
		if (i + 1 >= n)
			payload[o - 2] = '=';
	}
	memcpy(payload + o, "\"}", 3);
	aws_event("chunk", payload);
}

static void test_invoke(void **state)
{
	(void)state;
	invoke_chunk("{\"type\":\"message_start\",\"message\":{\"model\":\"claude\",\"usage\":{\"input_tokens\":40,"
		     "\"cache_read_input_tokens\":512,\"output_tokens\":1}}}");
	invoke_chunk("{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}");
	invoke_chunk("{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":"
		     "{\"output_tokens\":22}}");
	invoke_chunk("{\"type\":\"message_stop\",\"amazon-bedrock-invocationMetrics\":{\"inputTokenCount\":40,"
		     "\"outputTokenCount\":22,\"cacheReadInputTokenCount\":512,\"cacheWriteInputTokenCount\":0}}");
	expect(run(API_INVOKE, 200, AWS_TYPE, "", true), 552, 22, true);
}

/* --- WebSocket ---------------------------------------------------------------------------------------------------- */

static void ws(unsigned head, const char *text)
{
	size_t n = strlen(text);

	put((const char[]){(char)head, (char)(n < 126 ? n : 126)}, 2);
	if (n >= 126)
		put((const char[]){(char)(n >> 8), (char)n}, 2);
	put(text, n);
}

#define TURN                                                                                                           \
	"{\"type\":\"response.done\",\"response\":{\"id\":\"r\",\"status\":\"completed\",\"usage\":"                   \
	"{\"input_tokens\":100,\"output_tokens\":10,\"total_tokens\":110}}}"

static void test_websocket(void **state)
{
	struct usage u;

	(void)state;
	ws(0x81, "{\"type\":\"session.created\",\"session\":{\"model\":\"gpt-realtime\"}}");
	ws(0x81, TURN);
	ws(0x89, "ping");
	ws(0x01, "{\"type\":\"response.done\",\"response\":{\"id\":\"s\",");
	ws(0x8a, "");
	ws(0x80, "\"usage\":{\"input_tokens\":200,\"output_tokens\":20}}}");
	ws(0x88, "\x03\xe8");
	u = run(API_REALTIME, 101, "", "", true);
	expect(u, 300, 30, true);
	assert_int_equal(u.requests, 2);
	assert_true(u.stream);
	assert_string_equal(u.model, "gpt-realtime");
	/* a message that is no JSON, one that was cut, one that no server sends */
	ws(0x81, TURN);
	ws(0x81, "{\"type\":\"response.done\"");
	expect(run(API_REALTIME, 101, "", "", true), 100, 10, false);
	ws(0x81, TURN);
	ws(0x81, TURN);
	wire.n--;
	expect(run(API_REALTIME, 101, "", "", false), 100, 10, false);
	ws(0x81, TURN);
	ws(0xc1, TURN);
	assert_false(run(API_REALTIME, 101, "", "", true).complete);
	/* a handshake that was refused costs nothing */
	assert_true(run(API_REALTIME, 403, "", "", true).complete);
	assert_true(run(API_CHAT, 101, "", "", true).complete);
}

/* --- no JSON ------------------------------------------------------------------------------------------------------ */

static void test_opaque(void **state)
{
	struct usage u;

	(void)state;
	lines("{\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}");
	u = run(API_SPEECH, 200, "audio/mpeg", "", true);
	assert_false(u.has_input || u.complete || u.output_bytes == 0);
	lines("1\n00:00:00,000 --> 00:00:01,000\nhello\n");
	u = run(API_TRANSCRIPTIONS, 200, "application/x-subrip", "", true);
	assert_false(u.complete);
	lines("{\"text\":\"a\",\"usage\":{\"type\":\"tokens\",\"input_tokens\":14,\"output_tokens\":5}}");
	expect(run(API_TRANSCRIPTIONS, 200, "application/json; charset=utf-8", "", true), 14, 5, true);
}

static void test_head(void **state)
{
	struct tap_options o = {API_INVOKE, 200, SLICE("application/json"), SLICE_NONE, .scratch = NULL};
	struct tap *t = tap_new(&o), *unmetered = tap_new(&(struct tap_options){.kind = API_UNKNOWN, .status = 200});
	struct usage u;

	(void)state;
	assert_true(t && unmetered);
	tap_header(t, SLICE("X-Amzn-Bedrock-Input-Token-Count"), SLICE("17"));
	tap_header(t, SLICE("X-Amzn-Bedrock-Output-Token-Count"), SLICE("33"));
	tap_header(unmetered, SLICE("X-Amzn-Bedrock-Input-Token-Count"), SLICE("17"));
	tap_feed(t, "{\"generation\":\"Hi\"}", 19);
	tap_finish(t, true, &u);
	expect(u, 17, 33, true);
	tap_finish(unmetered, true, &u);
	expect(u, 0, 0, false);
	tap_free(t);
	tap_free(unmetered);
}

/* --- codings ------------------------------------------------------------------------------------------------------ */

#define USAGE_10_2 "{\"prompt_tokens\":10,\"completion_tokens\":2,\"total_tokens\":12}"
static const char answer_json[] = "{\"choices\":[],\"usage\":" USAGE_10_2 "}";

static size_t pack(const void *p, size_t n, int bits, void *dst, size_t cap)
{
	z_stream z = {0};
	size_t done;

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (unsigned char *)(uintptr_t)p;
	z.avail_in = (uInt)n;
	z.next_out = dst;
	z.avail_out = (uInt)cap;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	done = cap - z.avail_out;
	(void)deflateEnd(&z);
	return done;
}

static void coded(const char *coding, const void *p, size_t n, bool complete)
{
	struct usage u;

	put(p, n);
	u = run(API_CHAT, 200, "application/json", coding, true);
	if (u.complete != complete)
		fail_msg("%s: complete %d", coding, u.complete);
	if (complete)
		assert_int_equal(u.input_tokens, 10);
	else
		assert_false(u.has_input || u.has_output);
}

static void test_codings(void **state)
{
	const size_t n = sizeof(answer_json) - 1, half = 20;
	uint8_t a[1024], b[1024];
	size_t an, bn = sizeof(b);

	(void)state;
	an = pack(answer_json, n, 31, a, sizeof(a));
	coded("gzip", a, an, true);
	coded("x-GZIP", a, an, true);
	coded("identity, gzip", a, an, true);
	coded("gzip, gzip", a, an, false);
	coded("br", a, an, false);
	coded("zstd", a, an, false);
	coded("compress", a, an, false);
	coded("", answer_json, n, true);
	coded("gzip", answer_json, n, false);
	assert_true(BrotliEncoderCompress(9, 22, BROTLI_MODE_TEXT, an, a, &bn, b));
	coded("gzip, br", b, bn, true);
	bn = sizeof(b);
	assert_true(BrotliEncoderCompress(9, 22, BROTLI_MODE_TEXT, n, (const uint8_t *)answer_json, &bn, b));
	coded("br", b, bn, true);
	bn = ZSTD_compress(b, sizeof(b), answer_json, n, 3);
	coded("zstd", b, bn, true);
	/* two members, padding behind, and a cut before the trailer */
	an = pack(answer_json, half, 31, a, sizeof(a));
	bn = pack(answer_json + half, n - half, 31, a + an, sizeof(a) - an);
	coded("gzip", a, an + bn, true);
	coded("gzip", a, an + bn - 8, true);
	memset(a + an + bn, 0, 8);
	coded("gzip", a, an + bn + 8, true);
	an = pack(answer_json, n, 15, a, sizeof(a));
	coded("deflate", a, an, true);
	bn = pack(answer_json, n, -15, b, sizeof(b));
	coded("deflate", b, bn, true);
	coded("deflate", b, 1, false);
}

/* Behind a coding any framing. */
static void test_coded_stream(void **state)
{
	char packed[8192];
	size_t n;

	(void)state;
	converse_begin();
	aws_event("metadata", METADATA);
	n = pack(wire.p, wire.n, 31, packed, sizeof(packed));
	wire.n = 0;
	put(packed, n);
	expect(run(API_CONVERSE, 200, AWS_TYPE, "gzip", true), 12, 45, true);
}

/* A bomb: the tap goes blind, quickly and without holding anything. */
static void test_bomb(void **state)
{
	const size_t n = 8 << 20;
	struct tap_options o = {API_CHAT, 200, SLICE("application/json"), SLICE_NONE, .scratch = NULL};
	char *spaces = malloc(n);
	struct usage u;
	struct tap *t;

	(void)state;
	assert_non_null(spaces);
	memset(spaces, ' ', n);
	memcpy(spaces + n - sizeof(answer_json), answer_json, sizeof(answer_json) - 1);
	wire.n = pack(spaces, n, 31, wire.p, sizeof(wire.p));
	u = run(API_CHAT, 200, "application/json", "gzip", true);
	assert_false(u.complete || u.has_input);
	t = tap_new(&o);
	assert_non_null(t);
	tap_feed(t, spaces, n);
	tap_finish(t, true, &u);
	assert_true(u.complete); /* plain bytes are as many as were sent */
	tap_free(t);
	free(spaces);
}

static void test_accept_encoding(void **state)
{
	const struct {
		const char *in, *out;
	} cases[] = {
	    {"gzip, deflate, br, zstd", "gzip, deflate, br, zstd"},
	    {"br;q=1.0, gzip;q=0.8, compress, *;q=0.1", "br;q=1.0, gzip;q=0.8"},
	    {"snappy", ""},
	    {"", ""},
	    {"*", ""},
	    {",, identity ,", "identity"},
	    {"GZIP", "GZIP"},
	    {TAP_CODINGS, TAP_CODINGS},
	};
	char dst[64], small[8];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(tap_cut_accept_encoding(slice_of(cases[i].in), dst, sizeof(dst)),
				 strlen(cases[i].out));
		assert_string_equal(dst, cases[i].out);
	}
	assert_int_equal(tap_cut_accept_encoding(SLICE("gzip, deflate"), small, sizeof(small)), 4);
	assert_string_equal(small, "gzip");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ollama), cmocka_unit_test(test_batch_results),   cmocka_unit_test(test_converse),
	    cmocka_unit_test(test_invoke), cmocka_unit_test(test_websocket),       cmocka_unit_test(test_opaque),
	    cmocka_unit_test(test_head),   cmocka_unit_test(test_codings),         cmocka_unit_test(test_coded_stream),
	    cmocka_unit_test(test_bomb),   cmocka_unit_test(test_accept_encoding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
