/* meter_tap_text_test - which text of an answer counts until the vendor says its usage: words, thoughts by all their
 * names, calls of tools. Every case is fed whole, byte by byte and in random pieces, and gives the same count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <zlib.h>

#include "base/attr.h"
#include "meter/tap.h"

#define SSE_TYPE "text/event-stream"
#define LINES_TYPE "application/x-ndjson"
#define AWS_TYPE "application/vnd.amazon.eventstream"

static struct {
	unsigned char p[16384];
	size_t n;
} wire;

static void put(const void *p, size_t n)
{
	assert_true(n <= sizeof(wire.p) - wire.n);
	memcpy(wire.p + wire.n, p, n);
	wire.n += n;
}

static void put_text(const char *s)
{
	put(s, strlen(s));
}

static void put_u32(uint32_t v)
{
	const unsigned char b[4] = {(unsigned char)(v >> 24), (unsigned char)(v >> 16), (unsigned char)(v >> 8),
				    (unsigned char)v};

	put(b, 4);
}

static void put_header(const char *name, const char *value)
{
	const unsigned char value_n[2] = {0, (unsigned char)strlen(value)};
	unsigned char name_n = (unsigned char)strlen(name);

	put(&name_n, 1);
	put_text(name);
	put("\7", 1); /* a string */
	put(value_n, 2);
	put_text(value);
}

/* A message of an AWS event stream. */
static void put_message(const char *event, const char *payload)
{
	size_t begin = wire.n, headers_n;

	put_u32(0);
	put_u32(0);
	put_u32(0);
	put_header(":event-type", event);
	put_header(":message-type", "event");
	headers_n = wire.n - begin - 12;
	put_text(payload);
	wire.n = begin;
	put_u32((uint32_t)(12 + headers_n + strlen(payload) + 4));
	put_u32((uint32_t)headers_n);
	put_u32((uint32_t)crc32(0, wire.p + begin, 8));
	wire.n = begin + 12 + headers_n + strlen(payload);
	put_u32((uint32_t)crc32(0, wire.p + begin, (uInt)(wire.n - begin)));
}

/* One of InvokeModel, which wraps the event of the model's vendor. */
static void put_chunk(const char *event)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = (const unsigned char *)event;
	char payload[4096] = "{\"bytes\":\"";
	size_t n = strlen(payload), left = strlen(event);

	for (; left > 0; p += 3, left -= left < 3 ? left : 3) {
		uint32_t v = (uint32_t)p[0] << 16 | (left > 1 ? (uint32_t)p[1] << 8 : 0) | (left > 2 ? p[2] : 0);

		assert_true(n + 32 < sizeof(payload));
		payload[n++] = digits[v >> 18 & 63];
		payload[n++] = digits[v >> 12 & 63];
		payload[n++] = left > 1 ? digits[v >> 6 & 63] : '=';
		payload[n++] = left > 2 ? digits[v & 63] : '=';
	}
	(void)snprintf(payload + n, sizeof(payload) - n, "\",\"p\":\"abcdef\"}");
	put_message("chunk", payload);
}

/* Feeds what was put, up to its byte `end`. */
static uint64_t count_piece(const struct tap_options *o, size_t end, size_t piece)
{
	struct tap *t = tap_new(o);
	struct tap_progress progress;
	uint64_t counted;
	struct usage u;
	size_t k;

	assert_non_null(t);
	for (size_t i = 0; i < end; i += k) {
		k = piece == 0 ? 1 + (size_t)rand() % 64 : piece;
		k = k > end - i ? end - i : k;
		tap_feed(t, (const char *)wire.p + i, k);
		counted = tap_counted(t);
		tap_progress(t, &progress);
		assert_true(counted <= progress.most);
	}
	counted = tap_counted(t);
	tap_finish(t, false, &u);
	assert_int_equal(u.output_counted, counted);
	assert_false(u.complete);
	tap_free(t);
	return counted;
}

/* What was put counts `want` bytes, in any pieces; cut anywhere it counts the same in any pieces. */
static void expect(const char *name, enum api_kind kind, const char *type, uint64_t want)
{
	struct tap_options o = {.kind = kind, .status = 200, .content_type = slice_of(type)};

	for (size_t piece = 0; piece < 24; piece++) {
		uint64_t have = count_piece(&o, wire.n, piece == 23 ? wire.n : piece);

		if (have != want)
			fail_msg("%s: %llu bytes, not %llu, in pieces of %zu", name, (unsigned long long)have,
				 (unsigned long long)want, piece);
	}
	for (size_t end = 1; end < wire.n; end += 1 + (size_t)rand() % 7) {
		uint64_t whole = count_piece(&o, end, end);

		if (count_piece(&o, end, 1) != whole || count_piece(&o, end, 0) != whole)
			fail_msg("%s: cut at %zu the pieces matter", name, end);
	}
	wire.n = 0;
}

/* --- what OpenAI's shape calls thoughts --------------------------------------------------------------------------- */

#define DELTA(delta) "{\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{" delta "},\"finish_reason\":null}]}"
#define DETAIL(members) "\"reasoning_details\":[{\"type\":\"reasoning." members ",\"format\":\"unknown\",\"index\":0}]"

static const struct {
	const char *name, *event;
	uint64_t want;
} thoughts[] = {
    {"DeepSeek, Fireworks, Qwen, xAI, llama.cpp", DELTA("\"content\":null,\"reasoning_content\":\"think\""), 5},
    {"Groq, Together, newer vLLM", DELTA("\"content\":\"\",\"reasoning\":\"think\""), 5},
    {"vLLM by both names", DELTA("\"reasoning\":\"think\",\"reasoning_content\":\"think\""), 5},
    {"OpenRouter", DELTA("\"content\":\"\",\"reasoning\":\"think\"," DETAIL("text\",\"text\":\"think\"")), 5},
    {"OpenRouter, the list first", DELTA(DETAIL("text\",\"text\":\"think\"") ",\"reasoning\":\"think\""), 5},
    {"OpenRouter, the list alone", DELTA(DETAIL("text\",\"text\":\"think\"")), 5},
    {"OpenRouter, a summary", DELTA("\"reasoning\":\"sum\"," DETAIL("summary\",\"summary\":\"sum\"")), 3},
    {"OpenRouter, hidden", DELTA("\"reasoning\":null," DETAIL("encrypted\",\"data\":\"gAAAAA==\",\"id\":\"rs\"")), 8},
    {"OpenRouter, its signature", DELTA(DETAIL("text\",\"text\":null,\"signature\":\"c2ln\"")), 4},
    {"LiteLLM",
     DELTA("\"reasoning_content\":\"think\",\"thinking_blocks\":[{\"type\":\"thinking\",\"thinking\":\"think\"}]"), 5},
    {"thinking", DELTA("\"thinking\":\"think\""), 5},
    {"Mistral",
     DELTA(
	 "\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"think\"}],\"closed\":true}]"),
     5},
    {"Mistral, words in a list", DELTA("\"content\":[{\"type\":\"text\",\"text\":\"words\"}]"), 5},
    {"Mistral, a source", DELTA("\"content\":[{\"type\":\"reference\",\"reference_ids\":[1,2]}]"), 0},
    {"Mistral, of conversations",
     "{\"type\":\"message.output.delta\",\"content_index\":0,\"role\":\"assistant\",\"content\":"
     "{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"think\"}]}}",
     5},
    {"Mistral, words of conversations", "{\"type\":\"message.output.delta\",\"id\":\"m\",\"content\":\"words\"}", 5},
    {"Mistral, a call in conversations",
     "{\"type\":\"function.call.delta\",\"tool_call_id\":\"x\",\"name\":\"f\",\"arguments\":\"{}\"}", 3},
    {"words and thoughts", DELTA("\"content\":\"words\",\"reasoning\":\"th\",\"reasoning_content\":\"think\""), 10},
    {"escapes", DELTA("\"reasoning\":\"\\u00e9\\n\"," DETAIL("text\",\"text\":\"\xc3\xa9\\n\"")), 3},
};

static void put_event(const char *event)
{
	put_text("data: ");
	put_text(event);
	put_text("\n\n");
}

/* The same event many times is compared, not read; among others it is read. */
static void test_thoughts(void **state)
{
	uint64_t sum = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(thoughts); i++) {
		put_event(thoughts[i].event);
		expect(thoughts[i].name, API_CHAT, SSE_TYPE, thoughts[i].want);
		for (int k = 0; k < 7; k++)
			put_event(thoughts[i].event);
		expect(thoughts[i].name, API_CHAT, SSE_TYPE, 7 * thoughts[i].want);
	}
	for (size_t i = 0; i < ARRAY_LEN(thoughts); i++) {
		put_event(thoughts[i].event);
		sum += thoughts[i].want;
	}
	expect("all of them", API_CHAT, SSE_TYPE, sum);
	put_event("{\"choices\":[{\"index\":0,\"text\":\"words\",\"reasoning\":\"think\"}]}");
	expect("completions", API_COMPLETIONS, SSE_TYPE, 10);
}

static void test_ollama(void **state)
{
	(void)state;
	put_text("{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"\",\"thinking\":\"think\"},"
		 "\"done\":false}\n"
		 "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"words\"},\"done\":false}\n"
		 "{\"model\":\"m\",\"response\":\"words\",\"thinking\":\"think\",\"done\":false}\n");
	expect("Ollama", API_OLLAMA, LINES_TYPE, 20);
	put_text("{\"message\":{\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}"
		 "}]}}\n");
	expect("Ollama's calls, keys and all", API_OLLAMA, LINES_TYPE, 8 + 4 + 1 + 9 + 1 + 1);
}

/* --- Bedrock ------------------------------------------------------------------------------------------------------ */

#define BLOCK(block) "{\"type\":\"content_block_start\",\"index\":1,\"content_block\":{" block "}}"
#define ADDED(delta) "{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{" delta "}}"

static const struct {
	const char *event;
	uint64_t want;
} claude[] = {
    {"{\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"content\":[]}}", 0},
    {BLOCK("\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\""), 0},
    {ADDED("\"type\":\"thinking_delta\",\"thinking\":\"think\""), 5},
    {ADDED("\"type\":\"signature_delta\",\"signature\":\"c2ln\""), 4},
    {BLOCK("\"type\":\"redacted_thinking\",\"data\":\"ZGF0YQ==\""), 8},
    {BLOCK("\"type\":\"text\",\"text\":\"\""), 0},
    {ADDED("\"type\":\"text_delta\",\"text\":\"words\""), 5},
    {"{\"type\":\"content_block_stop\",\"index\":1}", 0},
    {BLOCK("\"type\":\"tool_use\",\"id\":\"toolu_01\",\"name\":\"get_weather\",\"input\":{}"), 8 + 11},
    {ADDED("\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"city\\\":\""), 8},
    {ADDED("\"type\":\"input_json_delta\",\"partial_json\":\"\\\"Bern\\\"}\""), 7},
};

/* InvokeModel counts what the same events count from Anthropic itself. */
static void test_invoke_claude(void **state)
{
	uint64_t sum = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(claude); i++) {
		put_chunk(claude[i].event);
		expect(claude[i].event, API_INVOKE, AWS_TYPE, claude[i].want);
		put_event(claude[i].event);
		expect(claude[i].event, API_MESSAGES, SSE_TYPE, claude[i].want);
	}
	for (size_t i = 0; i < ARRAY_LEN(claude); i++) {
		put_chunk(claude[i].event);
		sum += claude[i].want;
	}
	expect("a whole stream", API_INVOKE, AWS_TYPE, sum);
}

static void test_invoke_others(void **state)
{
	static const struct {
		const char *name, *event;
		uint64_t want;
	} cases[] = {
	    {"Nova", "{\"contentBlockDelta\":{\"delta\":{\"text\":\"words\"},\"contentBlockIndex\":0}}", 5},
	    {"Nova, a call",
	     "{\"contentBlockStart\":{\"start\":{\"toolUse\":{\"toolUseId\":\"id\",\"name\":\"f\"}},"
	     "\"contentBlockIndex\":1}}",
	     3},
	    {"Nova, its input",
	     "{\"contentBlockDelta\":{\"delta\":{\"toolUse\":{\"input\":\"{\\\"a\\\":1}\"}},\"contentBlockIndex\":1}}",
	     7},
	    {"Mistral", "{\"outputs\":[{\"text\":\"words\",\"stop_reason\":null}]}", 5},
	    {"Cohere", "{\"is_finished\":false,\"event_type\":\"text-generation\",\"text\":\"words\"}", 5},
	    {"Llama", "{\"generation\":\"words\",\"stop_reason\":null}", 5},
	    {"Titan", "{\"outputText\":\"words\",\"index\":0}", 5},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		put_chunk(cases[i].event);
		expect(cases[i].name, API_INVOKE, AWS_TYPE, cases[i].want);
	}
}

static void test_converse(void **state)
{
	(void)state;
	put_message("messageStart", "{\"p\":\"abcdef\",\"role\":\"assistant\"}");
	put_message("contentBlockDelta",
		    "{\"contentBlockIndex\":0,\"delta\":{\"reasoningContent\":{\"text\":\"think\"}},"
		    "\"p\":\"abc\"}");
	put_message(
	    "contentBlockDelta",
	    "{\"contentBlockIndex\":0,\"delta\":{\"reasoningContent\":{\"signature\":\"c2ln\"}},\"p\":\"abc\"}");
	put_message("contentBlockDelta",
		    "{\"contentBlockIndex\":0,\"delta\":{\"reasoningContent\":{\"redactedContent\":\"ZGF0YQ==\"}}}");
	put_message("contentBlockDelta", "{\"contentBlockIndex\":1,\"delta\":{\"text\":\"words\"},\"p\":\"a\"}");
	put_message("contentBlockStop", "{\"contentBlockIndex\":1,\"p\":\"a\"}");
	expect("words and thoughts", API_CONVERSE, AWS_TYPE, 5 + 4 + 8 + 5);
	put_message("contentBlockStart", "{\"contentBlockIndex\":2,\"p\":\"abcdef\",\"start\":{\"toolUse\":{\"name\":"
					 "\"get_weather\",\"toolUseId\":\"tooluse_1\"}}}");
	put_message("contentBlockDelta",
		    "{\"contentBlockIndex\":2,\"delta\":{\"toolUse\":{\"input\":\"{\\\"city\\\":\"}},\"p\":\"abc\"}");
	put_message("contentBlockDelta",
		    "{\"contentBlockIndex\":2,\"delta\":{\"toolUse\":{\"input\":\"\\\"Bern\\\"}\"}},\"p\":\"abc\"}");
	expect("a call of a tool", API_CONVERSE, AWS_TYPE, 11 + 9 + 8 + 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_thoughts),      cmocka_unit_test(test_ollama),   cmocka_unit_test(test_invoke_claude),
	    cmocka_unit_test(test_invoke_others), cmocka_unit_test(test_converse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
