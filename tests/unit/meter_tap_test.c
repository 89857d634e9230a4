/* meter_tap_test - usage out of answers as they stream by: JSON and event streams of the large vendors, cuts, hostile
 * bytes. Every case is fed whole, byte by byte and in random pieces with the same result. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "meter/tap.h"

#define JSON_TYPE "application/json"
#define SSE_TYPE "text/event-stream; charset=utf-8"
#define NONE UINT64_MAX /* not reported */

struct answer {
	const char *name;
	enum api_kind kind;
	int status;
	const char *type, *body;
	bool clean;
};

static struct usage run_bytes(enum api_kind kind, int status, const char *type, const char *coding, const void *p,
			      size_t n, size_t piece, bool clean)
{
	struct tap_options o = {kind, status, slice_of(type), slice_of(coding), .scratch = NULL};
	struct tap *t = tap_new(&o);
	struct usage u;
	size_t i, k;

	assert_non_null(t);
	for (i = 0; i < n; i += k) {
		k = piece == 0 ? 1 + (size_t)rand() % 16 : piece;
		if (k > n - i)
			k = n - i;
		tap_feed(t, (const char *)p + i, k);
	}
	tap_finish(t, clean, &u);
	tap_free(t);
	return u;
}

static struct usage run(const struct answer *a)
{
	size_t n = strlen(a->body), i;
	struct usage u = run_bytes(a->kind, a->status, a->type, "", a->body, n, n + 1, a->clean);

	for (i = 0; i < 12; i++) {
		struct usage v = run_bytes(a->kind, a->status, a->type, "", a->body, n, i < 2 ? i + 1 : 0, a->clean);

		if (memcmp(&u, &v, sizeof(u)) != 0)
			fail_msg("%s: another split gives another usage", a->name);
	}
	return u;
}

static void check(const struct answer *a, uint64_t input, uint64_t output, bool complete)
{
	struct usage u = run(a);

	if (u.has_input != (input != NONE) || (u.has_input && u.input_tokens != input) ||
	    u.has_output != (output != NONE) || (u.has_output && u.output_tokens != output) || u.complete != complete)
		fail_msg("%s: in %d %llu, out %d %llu, complete %d", a->name, u.has_input,
			 (unsigned long long)u.input_tokens, u.has_output, (unsigned long long)u.output_tokens,
			 u.complete);
}

#define CHUNK(delta, finish, usage)                                                                                    \
	"data: {\"id\":\"c\",\"model\":\"gpt-4.1\",\"choices\":[{\"index\":0,\"delta\":{" delta                        \
	"},\"finish_reason\":" finish "}],\"usage\":" usage "}\n\n"
#define LAST(usage) "data: {\"id\":\"c\",\"model\":\"gpt-4.1\",\"choices\":[],\"usage\":" usage "}\n\n"
#define USAGE_10_2 "{\"prompt_tokens\":10,\"completion_tokens\":2,\"total_tokens\":12}"
#define DONE "data: [DONE]\n\n"

/* The answer's words, counted as they come; `others` is text that stays bytes. */
static void check_counted(const char *name, enum api_kind kind, const char *body, const char *said, uint64_t others)
{
	struct tap_options o = {.kind = kind, .status = 200, .content_type = SLICE(SSE_TYPE), .count = true};
	uint64_t want = tok_count(TOK_O200K, NULL, said, strlen(said), UINT64_MAX) + others;
	size_t n = strlen(body), k;

	if (!tok_available(TOK_O200K))
		skip();
	for (size_t piece = 0; piece < 40; piece++) {
		struct tap *t = tap_new(&o);
		struct tap_progress progress;
		struct usage u;

		for (size_t i = 0; i < n; i += k) {
			k = piece == 0 ? 1 + (size_t)rand() % 64 : piece == 39 ? n : piece;
			k = k > n - i ? n - i : k;
			tap_feed(t, body + i, k);
			tap_progress(t, &progress);
			assert_true(tap_counted(t) <= progress.most);
		}
		tap_progress(t, &progress);
		if (tap_counted(t) != want)
			fail_msg("%s: %llu tokens, not %llu", name, (unsigned long long)tap_counted(t),
				 (unsigned long long)want);
		tap_finish(t, true, &u);
		assert_int_equal(u.output_counted, want);
		assert_true(u.output_counted <= u.output_bytes);
		tap_free(t);
	}
}

#define SAID(text) CHUNK("\"content\":\"" text "\"", "null", "null")
#define OUT(text) "data: {\"type\":\"response.output_text.delta\",\"delta\":\"" text "\"}\n\n"
#define ARGUMENTS "data: {\"type\":\"response.function_call_arguments.delta\",\"delta\":\"{\\\"a\\\":1}\"}\n\n"

static void test_counted(void **state)
{
	(void)state;
	check_counted("words", API_CHAT, SAID("Hel") SAID("lo wor") SAID("ld, this is counted") SAID("") DONE,
		      "Hello world, this is counted", 0);
	check_counted("escapes", API_CHAT,
		      SAID("a\\n\\n\\u00e9\\ud83d\\ude00") SAID("\xe4\xbd\xa0") SAID("\xe5\xa5\xbd \\ud800 x") DONE,
		      "a\n\n\xc3\xa9\xf0\x9f\x98\x80\xe4\xbd\xa0\xe5\xa5\xbd \xef\xbf\xbd x", 0);
	check_counted(
	    "tool calls are bytes", API_CHAT,
	    SAID("Let me see")
		CHUNK("\"tool_calls\":[{\"function\":{\"name\":\"abc\",\"arguments\":\"{}\"}}]", "null", "null") DONE,
	    "Let me see", 5);
	check_counted("ids of tool calls stand for the words around them", API_CHAT,
		      SAID("Let me see")
			  CHUNK("\"tool_calls\":[{\"id\":\"call_0123456789\",\"function\":{\"name\":\"f\","
				"\"arguments\":\"{}\"}}]",
				"null", "null") DONE,
		      "Let me see", 18);
	check_counted("response", API_RESPONSES, OUT("one two") OUT(" three four five") ARGUMENTS,
		      "one two three four five", 7);
}

/* The vendor's own figure, and that it is the last. */
static void test_progress(void **state)
{
	struct tap_options o = {.kind = API_CHAT, .status = 200, .content_type = SLICE(SSE_TYPE)};
	struct tap *t = tap_new(&o);
	struct tap_progress p;

	(void)state;
	tap_progress(t, &p);
	assert_true(p.most == 0 && p.reported == 0 && !p.final && !p.blind);
	tap_feed(t, SAID("four"), strlen(SAID("four")));
	tap_progress(t, &p);
	assert_true(p.most == 4 && p.reported == 0 && !p.final && tap_counted(t) == 4);
	tap_feed(t, LAST(USAGE_10_2), strlen(LAST(USAGE_10_2)));
	tap_progress(t, &p);
	assert_true(p.most == 4 && p.reported == 2 && p.final && !p.blind);
	tap_free(t);
	o.content_encoding = SLICE("gzip");
	t = tap_new(&o);
	tap_feed(t, "no gzip at all, really", 22);
	tap_progress(t, &p);
	assert_true(p.blind);
	tap_free(t);
}

static void test_chat(void **state)
{
	const struct {
		struct answer a;
		uint64_t input, output;
		bool complete;
	} cases[] = {
	    {{"unary", API_CHAT, 200, JSON_TYPE, "\n\n {\"model\":\"m\",\"choices\":[],\"usage\":" USAGE_10_2 "} \n",
	      true},
	     10,
	     2,
	     true},
	    {{"unary without usage", API_CHAT, 200, JSON_TYPE, "{\"choices\":[]}", true}, NONE, NONE, false},
	    {{"unary with an error in a 200", API_CHAT, 200, JSON_TYPE,
	      "{\"error\":{\"code\":1},\"usage\":" USAGE_10_2 "}", true},
	     10,
	     2,
	     false},
	    {{"unary cut", API_CHAT, 200, JSON_TYPE, "{\"usage\":" USAGE_10_2 ",\"choices\":[", false},
	     NONE,
	     NONE,
	     false},
	    {{"unary, usage twice", API_CHAT, 200, JSON_TYPE,
	      "{\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,\"completion_tokens_details\":{\"reasoning_"
	      "tokens\":9}},\"usage\":" USAGE_10_2 "}",
	      true},
	     10,
	     2,
	     true},
	    {{"refused", API_CHAT, 429, JSON_TYPE, "{\"error\":{}}", true}, 0, 0, true},
	    {{"stream", API_CHAT, 200, SSE_TYPE,
	      CHUNK("\"content\":\"a\"", "null", "null") CHUNK("", "\"stop\"", "null") LAST(USAGE_10_2) DONE, true},
	     10,
	     2,
	     true},
	    {{"stream without usage", API_CHAT, 200, SSE_TYPE, CHUNK("\"content\":\"a\"", "\"stop\"", "null") DONE,
	      true},
	     NONE,
	     NONE,
	     false},
	    {{"usage in the finishing chunk", API_CHAT, 200, SSE_TYPE, CHUNK("", "\"stop\"", USAGE_10_2), false},
	     10,
	     2,
	     true},
	    {{"running usage, cut", API_CHAT, 200, SSE_TYPE, CHUNK("", "null", USAGE_10_2) CHUNK("", "null", "null"),
	      false},
	     10,
	     2,
	     false},
	    {{"running usage, then done", API_CHAT, 200, SSE_TYPE, CHUNK("", "null", USAGE_10_2) DONE, true},
	     10,
	     2,
	     true},
	    {{"last usage wins", API_CHAT, 200, SSE_TYPE,
	      LAST("{\"prompt_tokens\":1,\"completion_tokens\":1}") LAST(USAGE_10_2), true},
	     10,
	     2,
	     true},
	    {{"error after usage", API_CHAT, 200, SSE_TYPE,
	      LAST(USAGE_10_2) "data: {\"error\":{\"message\":\"x\"}}\n\n", true},
	     10,
	     2,
	     false},
	    {{"error is null", API_CHAT, 200, SSE_TYPE,
	      "data: {\"error\":null,\"choices\":[],\"usage\":" USAGE_10_2 "}\n\n", true},
	     10,
	     2,
	     true},
	    {{"empty choices without usage are no end", API_CHAT, 200, SSE_TYPE,
	      "data: {\"choices\":[],\"model\":\"\"}\n\n" CHUNK("", "null", USAGE_10_2), true},
	     10,
	     2,
	     false},
	    {{"not JSON is skipped", API_CHAT, 200, SSE_TYPE,
	      "data: {\"usage\":{\"prompt_tokens\":1}\n\ndata: nonsense\n\n" LAST(USAGE_10_2), true},
	     10,
	     2,
	     true},
	    {{"usage after nonsense inside one event", API_CHAT, 200, SSE_TYPE,
	      "data: {\"choices\":[],\"usage\":" USAGE_10_2 "} x\n\n", true},
	     NONE,
	     NONE,
	     false},
	    {{"CRLF, comments, other fields, no space", API_CHAT, 200, SSE_TYPE,
	      ": ping\r\n\r\nevent: x\r\nid: 1\r\ndata:{\"choices\":[],\r\ndata:\"usage\":" USAGE_10_2 "}\r\n\r\n",
	      true},
	     10,
	     2,
	     true},
	    {{"CR only", API_CHAT, 200, SSE_TYPE, "data: {\"choices\":[],\rdata: \"usage\":" USAGE_10_2 "}\r\r", true},
	     10,
	     2,
	     true},
	    {{"mixed ends", API_CHAT, 200, SSE_TYPE, "data: {\"choices\":[],\r\ndata: \"usage\":" USAGE_10_2 "}\n\r\n",
	      true},
	     10,
	     2,
	     true},
	    {{"byte order mark", API_CHAT, 200, SSE_TYPE, "\xef\xbb\xbf" LAST(USAGE_10_2), true}, 10, 2, true},
	    {{"no blank line at the end", API_CHAT, 200, SSE_TYPE, "data: {\"choices\":[],\"usage\":" USAGE_10_2 "}",
	      true},
	     10,
	     2,
	     true},
	    {{"no blank line, line ended", API_CHAT, 200, SSE_TYPE, "data: {\"choices\":[],\"usage\":" USAGE_10_2 "}\n",
	      true},
	     10,
	     2,
	     true},
	    {{"done marker without space, with a tail", API_CHAT, 200, SSE_TYPE,
	      CHUNK("", "null", USAGE_10_2) "data:[DONE] bye\n\n", true},
	     10,
	     2,
	     true},
	    {{"a field that only begins like data", API_CHAT, 200, SSE_TYPE,
	      "database: {\"choices\":[],\"usage\":" USAGE_10_2 "}\n\ndata\n\ndat: 1\n\n", true},
	     NONE,
	     NONE,
	     false},
	    {{"text that looks like usage", API_CHAT, 200, SSE_TYPE,
	      CHUNK("\"content\":\"\\\"usage\\\":{\\\"prompt_tokens\\\":9}} \\n\\ndata: [DONE]\"", "\"stop\"", "null")
		  LAST(USAGE_10_2),
	      true},
	     10,
	     2,
	     true},
	    {{"usage at the wrong place", API_CHAT, 200, JSON_TYPE,
	      "{\"choices\":[{\"message\":{\"usage\":" USAGE_10_2 "}}],\"x\":{\"usage\":" USAGE_10_2 "}}", true},
	     NONE,
	     NONE,
	     false},
	    {{"escaped keys", API_CHAT, 200, JSON_TYPE,
	      "{\"us\\u0061ge\":{\"prompt_t\\u006fkens\":10,\"completion_tokens\":2}}", true},
	     10,
	     2,
	     true},
	    {{"reals, and numbers that are none", API_CHAT, 200, JSON_TYPE,
	      "{\"created\":99999999999999999999999,\"usage\":{\"prompt_tokens\":10.9,\"completion_tokens\":2e0}}",
	      true},
	     10,
	     2,
	     true},
	    {{"negative is not reported", API_CHAT, 200, JSON_TYPE,
	      "{\"usage\":{\"prompt_tokens\":-1,\"completion_tokens\":2}}", true},
	     NONE,
	     2,
	     false},
	    {{"exact beyond doubles", API_CHAT, 200, JSON_TYPE,
	      "{\"usage\":{\"prompt_tokens\":9007199254740993,\"completion_tokens\":9223372036854775807}}", true},
	     9007199254740993,
	     INT64_MAX,
	     true},
	    {{"over 63 bits is not reported", API_CHAT, 200, JSON_TYPE,
	      "{\"usage\":{\"prompt_tokens\":9223372036854775808,\"completion_tokens\":1}}", true},
	     NONE,
	     1,
	     false},
	    {{"bad UTF-8 in text", API_CHAT, 200, JSON_TYPE,
	      "{\"choices\":[{\"message\":{\"content\":\"\xff\xc3\"}}],\"usage\":" USAGE_10_2 "}", true},
	     10,
	     2,
	     true},
	    {{"embeddings", API_EMBEDDINGS, 200, JSON_TYPE,
	      "{\"data\":[{\"embedding\":[0.1,-2e-3]}],\"model\":\"e\",\"usage\":{\"prompt_tokens\":14,\"total_"
	      "tokens\":14}}",
	      true},
	     14,
	     0,
	     true},
	    {{"nothing", API_CHAT, 200, JSON_TYPE, "", true}, NONE, NONE, false},
	    {{"nothing streamed", API_CHAT, 200, SSE_TYPE, "", true}, NONE, NONE, false},
	    {{"free call", API_FREE, 200, JSON_TYPE, "{\"usage\":" USAGE_10_2 "}", true}, 0, 0, true},
	    {{"unknown call", API_UNKNOWN, 200, JSON_TYPE, "{\"usage\":" USAGE_10_2 "}", true}, NONE, NONE, false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++)
		check(&cases[i].a, cases[i].input, cases[i].output, cases[i].complete);
}

static void test_chat_details(void **state)
{
	const struct answer a = {"details",
				 API_CHAT,
				 200,
				 JSON_TYPE,
				 "{\"model\":\"m-1\",\"service_tier\":\"priority\",\"usage\":{\"prompt_tokens\":100,"
				 "\"completion_tokens\":50,"
				 "\"prompt_tokens_details\":{\"cached_tokens\":40,\"cache_write_tokens\":30,\"audio_"
				 "tokens\":20,\"image_tokens\":5},"
				 "\"completion_tokens_details\":{\"reasoning_tokens\":12,\"audio_tokens\":7}}}",
				 true};
	struct usage u = run(&a);

	(void)state;
	assert_string_equal(u.model, "m-1");
	assert_string_equal(u.service_tier, "priority");
	assert_int_equal(u.cached_input_tokens, 40);
	assert_int_equal(u.cache_write_tokens, 30);
	assert_int_equal(u.audio_input_tokens, 20);
	assert_int_equal(u.image_input_tokens, 5);
	assert_int_equal(u.reasoning_tokens, 12);
	assert_int_equal(u.audio_output_tokens, 7);
	assert_int_equal(u.requests, 1);
	assert_true(u.complete && !u.stream);
}

#define RESP(type, usage, output)                                                                                      \
	"event: " type "\ndata: {\"type\":\"" type                                                                     \
	"\",\"response\":{\"id\":\"resp_1\",\"model\":\"m\",\"error\":null,\"output\":[" output "],\"usage\":" usage   \
	"}}\n\n"
#define USAGE_R                                                                                                        \
	"{\"input_tokens\":37,\"input_tokens_details\":{\"cached_tokens\":7},\"output_tokens\":11,\"output_tokens_"    \
	"details\":{\"reasoning_tokens\":3}}"
#define SEARCH "{\"type\":\"web_search_call\",\"action\":{\"type\":\"search\"}}"
#define OPEN_PAGE "{\"action\":{\"type\":\"open_page\"},\"type\":\"web_search_call\"}"

static void test_responses(void **state)
{
	const struct {
		struct answer a;
		uint64_t input, output;
		bool complete;
	} cases[] = {
	    {{"unary", API_RESPONSES, 200, JSON_TYPE, "{\"id\":\"resp_1\",\"error\":null,\"usage\":" USAGE_R "}", true},
	     37,
	     11,
	     true},
	    {{"queued", API_RESPONSES, 200, JSON_TYPE, "{\"id\":\"resp_1\",\"status\":\"queued\",\"usage\":null}",
	      true},
	     NONE,
	     NONE,
	     false},
	    {{"completed", API_RESPONSES, 200, SSE_TYPE,
	      RESP("response.created", "null", "") RESP("response.completed", USAGE_R, ""), true},
	     37,
	     11,
	     true},
	    {{"incomplete", API_RESPONSES, 200, SSE_TYPE, RESP("response.incomplete", USAGE_R, ""), true},
	     37,
	     11,
	     true},
	    {{"failed with usage", API_RESPONSES, 200, SSE_TYPE, RESP("response.failed", USAGE_R, ""), true},
	     37,
	     11,
	     true},
	    {{"failed without", API_RESPONSES, 200, SSE_TYPE, RESP("response.failed", "null", ""), true},
	     NONE,
	     NONE,
	     false},
	    {{"usage before the end", API_RESPONSES, 200, SSE_TYPE, RESP("response.in_progress", USAGE_R, ""), true},
	     37,
	     11,
	     false},
	    {{"error event", API_RESPONSES, 200, SSE_TYPE,
	      RESP("response.completed", USAGE_R, "") "data: {\"type\":\"error\",\"code\":\"x\"}\n\n", true},
	     37,
	     11,
	     false},
	    {{"cut", API_RESPONSES, 200, SSE_TYPE,
	      RESP("response.created", "null", "") "data: {\"type\":\"response.compl", false},
	     NONE,
	     NONE,
	     false},
	};
	const struct answer fees = {"fees",
				    API_RESPONSES,
				    200,
				    SSE_TYPE,
				    "data: {\"type\":\"response.output_item.added\",\"item\":" SEARCH "}\n\n"
				    "data: {\"type\":\"response.output_item.done\",\"item\":" SEARCH "}\n\n"
				    "data: {\"type\":\"response.output_item.done\",\"item\":" OPEN_PAGE
				    "}\n\n" RESP("response.completed", USAGE_R,
						 SEARCH "," OPEN_PAGE "," SEARCH ",{\"type\":\"file_search_call\"}"),
				    true};
	const struct answer cut = {"fees of a cut stream",
				   API_RESPONSES,
				   200,
				   SSE_TYPE,
				   "data: {\"item\":" SEARCH ",\"type\":\"response.output_item.done\"}\n\n",
				   false};
	struct usage u;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++)
		check(&cases[i].a, cases[i].input, cases[i].output, cases[i].complete);
	u = run(&fees);
	assert_int_equal(u.web_searches, 2);
	assert_int_equal(u.file_searches, 1);
	assert_string_equal(u.dedupe_key, "resp_1");
	assert_int_equal(u.reasoning_tokens, 3);
	u = run(&cut);
	assert_int_equal(u.web_searches, 1);
	assert_false(u.complete);
}

#define START(usage)                                                                                                   \
	"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"claude\",\"usage\":" usage   \
	"}}\n\n"
#define DELTA(stop, usage)                                                                                             \
	"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":" stop                     \
	"},\"usage\":" usage "}\n\n"

static void test_messages(void **state)
{
	const struct {
		struct answer a;
		uint64_t input, output;
		bool complete;
	} cases[] = {
	    {{"unary", API_MESSAGES, 200, JSON_TYPE,
	      "{\"type\":\"message\",\"usage\":{\"input_tokens\":1,\"cache_read_input_tokens\":20,\"cache_creation_"
	      "input_tokens\":300,\"output_tokens\":5}}",
	      true},
	     321,
	     5,
	     true},
	    {{"stream", API_MESSAGES, 200, SSE_TYPE,
	      START("{\"input_tokens\":9,\"output_tokens\":1}")
		  DELTA("\"end_turn\"", "{\"input_tokens\":null,\"output_tokens\":7}"),
	      true},
	     9,
	     7,
	     true},
	    {{"not stopped", API_MESSAGES, 200, SSE_TYPE,
	      START("{\"input_tokens\":9,\"output_tokens\":1}") DELTA("null", "{\"output_tokens\":7}"), true},
	     9,
	     7,
	     false},
	    {{"no start", API_MESSAGES, 200, SSE_TYPE,
	      DELTA("\"end_turn\"", "{\"input_tokens\":9,\"output_tokens\":7}"), true},
	     9,
	     7,
	     false},
	    {{"error", API_MESSAGES, 200, SSE_TYPE,
	      START("{\"input_tokens\":9,\"output_tokens\":1}") DELTA(
		  "\"end_turn\"",
		  "{\"output_tokens\":7}") "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n",
	      true},
	     9,
	     7,
	     false},
	    {{"grows", API_MESSAGES, 200, SSE_TYPE,
	      START("{\"input_tokens\":9,\"cache_creation_input_tokens\":300,\"cache_creation\":{\"ephemeral_1h_input_"
		    "tokens\":300},\"output_tokens\":1}")
		  DELTA("\"end_turn\"", "{\"input_tokens\":1000,\"cache_read_input_tokens\":50,\"output_tokens\":7}"),
	      true},
	     1350,
	     7,
	     true},
	};
	const struct answer more = {
	    "iterations",
	    API_MESSAGES,
	    200,
	    JSON_TYPE,
	    "{\"usage\":{\"input_tokens\":10,\"output_tokens\":5,\"service_tier\":\"standard\",\"speed\":\"fast\","
	    "\"inference_geo\":\"us\","
	    "\"server_tool_use\":{\"web_search_requests\":3},\"output_tokens_details\":{\"thinking_tokens\":2},"
	    "\"iterations\":[{\"input_tokens\":100,\"type\":\"compaction\",\"cache_read_input_tokens\":1000,\"cache_"
	    "creation_input_tokens\":50,"
	    "\"cache_creation\":{\"ephemeral_1h_input_tokens\":40},\"output_tokens\":7},{\"type\":\"message\",\"input_"
	    "tokens\":10}]}}",
	    true};
	struct usage u;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++)
		check(&cases[i].a, cases[i].input, cases[i].output, cases[i].complete);
	u = run(&more);
	assert_int_equal(u.input_tokens, 1160);
	assert_int_equal(u.output_tokens, 12);
	assert_int_equal(u.cached_input_tokens, 1000);
	assert_int_equal(u.cache_write_tokens, 50);
	assert_int_equal(u.cache_write_1h_tokens, 40);
	assert_int_equal(u.web_searches, 3);
	assert_int_equal(u.reasoning_tokens, 2);
	assert_string_equal(u.speed, "fast");
	assert_string_equal(u.inference_geo, "us");
}

#define GEM(finish, meta)                                                                                              \
	"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"]},{\"}]}" finish                                       \
	"}],\"modelVersion\":\"g\",\"usageMetadata\":" meta "}"
#define META                                                                                                           \
	"{\"promptTokenCount\":9,\"candidatesTokenCount\":6,\"thoughtsTokenCount\":40,\"toolUsePromptTokenCount\":"    \
	"100}"

static void test_generate(void **state)
{
	const struct {
		struct answer a;
		uint64_t input, output;
		bool complete;
	} cases[] = {
	    {{"unary", API_GENERATE, 200, JSON_TYPE, GEM("", META), true}, 109, 46, true},
	    {{"thinking ate it all", API_GENERATE, 200, JSON_TYPE, GEM("", "{\"promptTokenCount\":9}"), true},
	     9,
	     0,
	     true},
	    {{"blocked", API_GENERATE, 200, SSE_TYPE,
	      "data: {\"promptFeedback\":{\"blockReason\":\"X\"},\"usageMetadata\":{\"promptTokenCount\":33}}\n\n",
	      true},
	     33,
	     0,
	     true},
	    {{"sse", API_GENERATE, 200, SSE_TYPE,
	      "data: " GEM("", "{\"promptTokenCount\":1}") "\r\n\r\ndata: " GEM(",\"finishReason\":\"STOP\"",
										META) "\r\n\r\n",
	      true},
	     109,
	     46,
	     true},
	    {{"sse cut", API_GENERATE, 200, SSE_TYPE, "data: " GEM("", META) "\n\n", false}, 109, 46, false},
	    {{"usage after the end", API_GENERATE, 200, SSE_TYPE,
	      "data: " GEM(",\"finishReason\":\"STOP\"",
			   "{\"promptTokenCount\":1}") "\n\ndata: {\"usageMetadata\":" META "}\n\n",
	      true},
	     109,
	     46,
	     true},
	    {{"array", API_GENERATE, 200, JSON_TYPE,
	      "[" GEM("", "{\"promptTokenCount\":1,\"thoughtsTokenCount\":9}") "\n,\r\n" GEM(
		  ",\"finishReason\":\"STOP\"", META) "\n]",
	      true},
	     109,
	     46,
	     true},
	    {{"array cut", API_GENERATE, 200, JSON_TYPE, "[" GEM("", META) ",{\"candid", false}, 109, 46, false},
	    {{"array error", API_GENERATE, 200, JSON_TYPE,
	      "[" GEM(",\"finishReason\":\"STOP\"", META) ",{\"error\":{\"code\":503}}]", true},
	     109,
	     46,
	     false},
	};
	const struct answer more = {
	    "details",
	    API_GENERATE,
	    200,
	    JSON_TYPE,
	    "[{\"candidates\":[{\"groundingMetadata\":{\"webSearchQueries\":[\"a\",\"b\"]},\"finishReason\":\"STOP\"}],"
	    "\"usageMetadata\":{\"promptTokenCount\":5000,"
	    "\"cachedContentTokenCount\":4000,\"candidatesTokenCount\":1300,\"trafficType\":\"ON_DEMAND_PRIORITY\","
	    "\"promptTokensDetails\":[{\"modality\":\"AUDIO\",\"tokenCount\":1500},"
	    "{\"tokenCount\":7,\"modality\":\"IMAGE\"}],\"cacheTokensDetails\":[{\"modality\":\"AUDIO\",\"tokenCount\":"
	    "1000}],\"candidatesTokensDetails\":[{\"modality\":\"IMAGE\",\"tokenCount\":1290}]}}]",
	    true};
	struct usage u;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++)
		check(&cases[i].a, cases[i].input, cases[i].output, cases[i].complete);
	u = run(&more);
	assert_true(u.stream);
	assert_int_equal(u.web_searches, 2);
	assert_int_equal(u.audio_input_tokens, 1500);
	assert_int_equal(u.cached_audio_tokens, 1000);
	assert_int_equal(u.image_input_tokens, 7);
	assert_int_equal(u.image_output_tokens, 1290);
	assert_string_equal(u.service_tier, "ON_DEMAND_PRIORITY");
}

static void test_output_bytes(void **state)
{
	const struct answer chat = {
	    "chat",
	    API_CHAT,
	    200,
	    SSE_TYPE,
	    CHUNK("\"content\":\"hello\",\"reasoning_content\":\"abc\"", "null", "null")
		CHUNK("\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"1234567\"}}]", "null", "null"),
	    false};
	const struct answer cut = {"cut in a text",
				   API_CHAT,
				   200,
				   SSE_TYPE,
				   "data: {\"choices\":[{\"delta\":{\"content\":\"0123456789",
				   false};
	const struct answer messages = {
	    "messages",
	    API_MESSAGES,
	    200,
	    SSE_TYPE,
	    "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"hello\"}}\n\n"
	    "data: {\"type\":\"content_block_delta\",\"delta\":{\"partial_json\":\"12\",\"type\":\"x\"}}\n\n",
	    false};
	const struct answer responses = {
	    "responses",
	    API_RESPONSES,
	    200,
	    SSE_TYPE,
	    "data: {\"type\":\"response.output_text.delta\",\"delta\":\"hello\"}\n\n"
	    "data: {\"type\":\"response.output_item.done\",\"item\":{\"content\":[{\"text\":\"hello\"}]}}\n\n",
	    false};
	const struct answer gemini = {"gemini",
				      API_GENERATE,
				      200,
				      JSON_TYPE,
				      "[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"hello\"},{"
				      "\"functionCall\":{\"args\":{\"a\":[\"bc\"]}}}]}}]}",
				      false};

	(void)state;
	assert_int_equal(run(&chat).output_bytes, 15);
	assert_true(run(&cut).output_bytes >= 10);
	assert_int_equal(run(&messages).output_bytes, 7);
	assert_int_equal(run(&responses).output_bytes, 5);
	assert_int_equal(run(&gemini).output_bytes, 5 + 4 + 1 + 2);
}

static void test_peek(void **state)
{
	static const char body[] = START("{\"input_tokens\":9,\"output_tokens\":1}");
	struct tap_options o = {API_MESSAGES, 200, SLICE("text/event-stream"), SLICE_NONE, .scratch = NULL};
	struct tap *t = tap_new(&o);
	struct usage u;

	(void)state;
	assert_non_null(t);
	tap_peek(t, &u);
	assert_false(u.has_input || u.complete);
	tap_feed(t, body, sizeof(body) - 1);
	tap_peek(t, &u);
	assert_true(u.has_input && !u.complete);
	assert_int_equal(u.input_tokens, 9);
	tap_free(t);
	tap_free(NULL);
}

/* Streams of one thread share the memory for the event at hand, wherever their pieces end. */
static void test_shared_scratch(void **state)
{
	static const struct answer answers[] = {
	    {"chat", API_CHAT, 200, "text/event-stream",
	     CHUNK("\"content\":\"Hello\"", "null", "null") CHUNK("\"content\":\" you\"", "\"stop\"", "null")
		 LAST(USAGE_10_2) "data: [DONE]\n\n",
	     true},
	    {"messages", API_MESSAGES, 200, "text/event-stream", START("{\"input_tokens\":9,\"output_tokens\":1}"),
	     true},
	    {"array", API_GENERATE, 200, "application/json",
	     "[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hi\"}]}}],\"usageMetadata\":{\"promptTokenCount\":"
	     "3,"
	     "\"candidatesTokenCount\":1}},{\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":{"
	     "\"promptTokenCount\":3,\"candidatesTokenCount\":5}}]",
	     true},
	    {"no JSON", API_CHAT, 200, "application/json", "{\"usage\":{\"prompt_tokens\":7]", true},
	};
	struct tap_scratch scratch = {NULL};

	(void)state;
	for (int round = 0; round < 200; round++) {
		struct tap *taps[ARRAY_LEN(answers)];
		size_t at[ARRAY_LEN(answers)] = {0}, left = ARRAY_LEN(answers);

		for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
			struct tap_options o = {answers[i].kind, 200, slice_of(answers[i].type), SLICE_NONE,
						.scratch = &scratch};

			taps[i] = tap_new(&o);
			assert_non_null(taps[i]);
		}
		while (left > 0) {
			size_t i = (size_t)rand() % ARRAY_LEN(answers), n = strlen(answers[i].body) - at[i];
			size_t k = 1 + (size_t)rand() % 80;

			if (n == 0)
				continue;
			k = k < n ? k : n;
			tap_feed(taps[i], answers[i].body + at[i], k);
			at[i] += k;
			left -= k == n;
		}
		for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
			struct usage u, alone = run(&answers[i]);

			if (round % 2 == 0) {
				tap_finish(taps[i], true, &u);
				assert_memory_equal(&u, &alone, sizeof(u));
			}
			tap_free(taps[i]);
		}
	}
	tap_scratch_done(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_counted),        cmocka_unit_test(test_progress),     cmocka_unit_test(test_chat),
	    cmocka_unit_test(test_chat_details),   cmocka_unit_test(test_responses),    cmocka_unit_test(test_messages),
	    cmocka_unit_test(test_generate),       cmocka_unit_test(test_output_bytes), cmocka_unit_test(test_peek),
	    cmocka_unit_test(test_shared_scratch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
