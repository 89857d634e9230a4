/* meter_extract_test - the vendors' tables, event by event: each is read the short way and through the reader, with the
 * same result. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "meter/extract.h"

#define EVENTS_MAX 8
#define NONE UINT64_MAX

struct answer {
	enum api_kind kind;
	bool stream;
	const char *events[EVENTS_MAX];
};

static struct staged staged;

/* Nothing may depend on what stood there. */
static void begin(struct extract *x, enum api_kind kind, bool stream)
{
	memset(x, 0xa5, sizeof(*x));
	memset(&staged, 0xa5, sizeof(staged));
	extract_init(x, kind, stream);
	x->ev = &staged;
}

static void feed_reader(struct extract *x, const char *p, size_t n)
{
	struct json_reader r;
	enum json_token t;
	size_t i = 0;

	extract_event_begin(x, &r);
	while ((t = json_next(&r, p, n, &i)) != JT_MORE) {
		assert_int_not_equal(t, JT_ERROR);
		(void)extract_token(x, &r, t);
	}
	assert_true(json_reader_complete(&r));
}

static struct usage run_way(const struct answer *a, bool whole)
{
	struct extract *x = malloc(sizeof(*x));
	struct usage u;

	assert_non_null(x);
	begin(x, a->kind, a->stream);
	for (size_t i = 0; i < EVENTS_MAX && a->events[i]; i++) {
		const char *p = a->events[i];

		if (strcmp(p, "[DONE]") == 0) {
			extract_done_marker(x);
			continue;
		}
		if (!whole || !extract_whole(x, p, strlen(p)))
			feed_reader(x, p, strlen(p));
		extract_commit(x);
		memset(&staged, 0x5a, sizeof(staged)); /* others read their events in between */
	}
	extract_result(x, true, &u);
	extract_done(x);
	free(x);
	return u;
}

static struct usage run(const struct answer *a)
{
	struct usage u = run_way(a, true), v = run_way(a, false);

	assert_memory_equal(&u, &v, sizeof(u));
	return u;
}

#define RUN(kind, stream, ...) run(&(const struct answer){kind, stream, {__VA_ARGS__}})

static void tokens(const struct usage *u, uint64_t input, uint64_t output, bool complete)
{
	assert_int_equal(u->has_input, input != NONE);
	assert_int_equal(u->has_output, output != NONE);
	assert_int_equal(u->input_tokens, input != NONE ? input : 0);
	assert_int_equal(u->output_tokens, output != NONE ? output : 0);
	assert_int_equal(u->complete, complete);
}

/* --- numbers ------------------------------------------------------------------------------------------------------ */

static void test_numbers(void **state)
{
	static const struct {
		const char *literal;
		uint64_t value;
	} cases[] = {
	    {"0", 0},
	    {"9007199254740993", 9007199254740993u},
	    {"9223372036854775807", INT64_MAX},
	    {"3.0", 3},
	    {"3.99", 3},
	    {"12e2", 1200},
	    {"9223372036854775808", NONE},
	    {"99999999999999999999999999", NONE},
	    {"1e400", NONE},
	    {"-1", NONE},
	    {"-0.5", NONE},
	    {"null", NONE},
	    {"true", NONE},
	    {"\"7\"", NONE},
	    {"[7]", NONE},
	    {"{}", NONE},
	};
	char body[256];
	struct usage u;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)snprintf(body, sizeof(body), "{\"usage\":{\"prompt_tokens\":%s,\"completion_tokens\":2}}",
			       cases[i].literal);
		u = RUN(API_CHAT, false, body);
		tokens(&u, cases[i].value, 2, cases[i].value != NONE);
	}
}

static void test_order_of_keys(void **state)
{
	struct usage u;

	(void)state;
	/* the last of two wins, and takes nothing from the first */
	u = RUN(
	    API_CHAT, false,
	    "{\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":9,\"prompt_tokens_details\":{\"cached_tokens\":9}},"
	    "\"\\u0075sage\":{\"completion_tokens\":2,\"prompt_t\\u006fkens\":1}}");
	tokens(&u, 1, 2, true);
	assert_int_equal(u.cached_input_tokens, 0);
	/* text that looks like usage is none, nor is usage at another place */
	u = RUN(API_CHAT, false,
		"{\"choices\":[{\"message\":{\"content\":\"{\\\"usage\\\":{\\\"prompt_tokens\\\":7}}\"},\"usage\":{"
		"\"prompt_tokens\":7,\"completion_tokens\":7}}],\"usage\":null}");
	tokens(&u, NONE, NONE, false);
	/* a part is never more than the whole */
	u = RUN(
	    API_CHAT, false,
	    "{\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":11,"
	    "\"cache_write_tokens\":5,\"audio_tokens\":12},\"completion_tokens_details\":{\"reasoning_tokens\":3}}}");
	assert_int_equal(u.cached_input_tokens, 10);
	assert_int_equal(u.cache_write_tokens, 0);
	assert_int_equal(u.audio_input_tokens, 10);
	assert_int_equal(u.reasoning_tokens, 2);
}

/* --- dialects of chat --------------------------------------------------------------------------------------------- */

#define CHAT(usage) "{\"model\":\"m\",\"choices\":[{\"finish_reason\":\"stop\"}],\"usage\":{" usage "}}"

static void test_cached_names(void **state)
{
	static const char *const bodies[] = {
	    CHAT("\"prompt_tokens\":100,\"completion_tokens\":1,\"prompt_tokens_details\":{\"cached_tokens\":64}"),
	    CHAT("\"prompt_tokens\":100,\"completion_tokens\":1,\"prompt_cache_hit_tokens\":64,"
		 "\"prompt_cache_miss_tokens\":36"),
	    CHAT("\"prompt_tokens\":100,\"completion_tokens\":1,\"cached_tokens\":64"),
	    CHAT("\"prompt_tokens\":100,\"completion_tokens\":1,\"num_cached_tokens\":64"),
	    CHAT("\"cached_tokens\":9,\"prompt_tokens\":100,\"completion_tokens\":1,\"prompt_tokens_details\":"
		 "{\"cached_tokens\":64}"),
	    "{\"perf_metrics\":{\"cached-prompt-tokens\":\"64\"},\"usage\":{\"prompt_tokens\":100,"
	    "\"completion_tokens\":1}}",
	    "{\"x_groq\":{\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":1,\"prompt_tokens_details\":"
	    "{\"cached_tokens\":64}}}}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		struct usage u = RUN(API_CHAT, false, bodies[i]);

		tokens(&u, 100, 1, true);
		assert_int_equal(u.cached_input_tokens, 64);
	}
}

static void test_reasoning(void **state)
{
	struct usage u;

	(void)state;
	/* only xAI's total is believed */
	u = RUN(API_CHAT, false,
		CHAT("\"prompt_tokens\":32,\"completion_tokens\":9,\"total_tokens\":135,"
		     "\"completion_tokens_details\":{\"reasoning_tokens\":94}"));
	tokens(&u, 32, 9, true);
	assert_int_equal(u.reasoning_tokens, 9);
	u = RUN(API_CHAT, false,
		CHAT("\"prompt_tokens\":32,\"completion_tokens\":9,\"total_tokens\":135,\"num_sources_used\":0,"
		     "\"completion_tokens_details\":{\"reasoning_tokens\":94}"));
	tokens(&u, 32, 103, true);
	assert_int_equal(u.reasoning_tokens, 94);
	u = RUN(API_CHAT, false,
		"{\"model\":\"grok-4\",\"usage\":{\"prompt_tokens\":32,\"completion_tokens\":103,\"total_tokens\":135,"
		"\"completion_tokens_details\":{\"reasoning_tokens\":94}}}");
	tokens(&u, 32, 103, true);
	/* beside citations reasoning is beside the output; alone it is in it */
	u = RUN(API_CHAT, false,
		CHAT("\"prompt_tokens\":33,\"completion_tokens\":10,\"citation_tokens\":200,\"reasoning_tokens\":3000,"
		     "\"num_search_queries\":18,\"cost\":{\"total_cost\":0.409}"));
	tokens(&u, 33, 3210, true);
	assert_int_equal(u.citation_tokens, 200);
	assert_int_equal(u.web_searches, 18);
	assert_int_equal(u.reported_cost_pusd, 409000000000);
	u = RUN(API_CHAT, false, CHAT("\"prompt_tokens\":3,\"completion_tokens\":10,\"reasoning_tokens\":4"));
	tokens(&u, 3, 10, true);
	assert_int_equal(u.reasoning_tokens, 4);
}

static void test_costs(void **state)
{
	static const struct {
		const char *usage;
		bool has;
		int64_t cost, upstream;
	} cases[] = {
	    {CHAT("\"cost\":0.95,\"is_byok\":true,\"cost_details\":{\"upstream_inference_cost\":19}"), true,
	     950000000000, 19000000000000},
	    {CHAT("\"cost\":1.4e-04,\"is_byok\":false,\"cost_details\":{\"upstream_inference_cost\":0.1}"), true,
	     140000000, 0},
	    {CHAT("\"cost\":0"), true, 0, 0},
	    {CHAT("\"cost_in_usd_ticks\":37756000"), true, 3775600000, 0},
	    {CHAT("\"cost\":null"), false, 0, 0},
	    {CHAT("\"cost\":-1"), false, 0, 0},
	    {CHAT("\"cost\":\"1\""), false, 0, 0},
	    {CHAT("\"cost\":1e30"), false, 0, 0},
	    {CHAT("\"cost_in_usd_ticks\":9223372036854775807"), false, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct usage u = RUN(API_CHAT, false, cases[i].usage);

		assert_int_equal(u.has_reported_cost, cases[i].has);
		assert_int_equal(u.reported_cost_pusd, cases[i].cost);
		assert_int_equal(u.upstream_cost_pusd, cases[i].upstream);
	}
}

static void test_mistral(void **state)
{
	struct usage u;

	(void)state;
	u = RUN(API_CHAT, false,
		"{\"object\":\"conversation.response\",\"outputs\":[],\"usage\":{\"prompt_tokens\":188,"
		"\"completion_tokens\":55,\"total_tokens\":7355,\"connector_tokens\":7112,\"connectors\":"
		"{\"web_search\":2,\"code_interpreter\":1}}}");
	tokens(&u, 7300, 55, true);
	assert_int_equal(u.web_searches, 2);
	assert_int_equal(u.code_sessions, 1);
	u = RUN(API_CHAT, true, "{\"type\":\"message.output.delta\",\"content\":\"Hi\"}",
		"{\"type\":\"conversation.response.done\",\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":5}}");
	tokens(&u, 8, 5, true);
	assert_int_equal(u.output_bytes, 2);
	u = RUN(API_CHAT, false, CHAT("\"prompt_tokens\":8,\"completion_tokens\":5,\"prompt_audio_seconds\":12"));
	assert_int_equal(u.audio_ms, 12000);
	u = RUN(API_OCR, false,
		"{\"pages\":[{\"markdown\":\"x\",\"images\":[{\"image_annotation\":\"{}\"}]}],\"model\":\"o\","
		"\"document_annotation\":null,\"usage_info\":{\"pages_processed\":3}}");
	tokens(&u, 0, 0, true);
	assert_int_equal(u.pages, 3);
	assert_int_equal(u.pages_annotated, 3);
	u = RUN(API_OCR, false, "{\"pages\":[],\"usage_info\":{\"pages_processed\":3},\"document_annotation\":null}");
	assert_int_equal(u.pages_annotated, 0);
}

/* --- responses, sockets ------------------------------------------------------------------------------------------- */

#define USAGE_3_4 "\"usage\":{\"input_tokens\":3,\"output_tokens\":4,\"total_tokens\":7}"
#define ITEM(text) "{\"type\":\"response.output_item.done\",\"item\":{" text "}}"

static void test_items(void **state)
{
	static const char list[] = "{\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"output\":["
				   "{\"type\":\"web_search_call\",\"action\":{\"type\":\"search\"}},"
				   "{\"type\":\"web_search_call\",\"action\":{\"type\":\"open_page\"}},"
				   "{\"action\":{\"type\":\"find_in_page\"},\"type\":\"web_search_call\"},"
				   "{\"type\":\"web_search_call\"},"
				   "{\"type\":\"file_search_call\"},"
				   "{\"type\":\"code_interpreter_call\",\"container_id\":\"c1\"},"
				   "{\"type\":\"code_interpreter_call\",\"container_id\":\"c1\"},"
				   "{\"type\":\"code_interpreter_call\",\"container_id\":\"c2\"},"
				   "{\"type\":\"image_generation_call\",\"status\":\"completed\",\"result\":\"aGk=\"},"
				   "{\"type\":\"image_generation_call\",\"status\":\"failed\"}]," USAGE_3_4 "}}";
	static const char *const early[] = {"", ITEM("\"type\":\"web_search_call\",\"action\":{\"type\":\"search\"}")};
	struct usage u;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(early); i++) {
		u = i == 0 ? RUN(API_RESPONSES, true, list)
			   : RUN(API_RESPONSES, true, early[1],
				 ITEM("\"type\":\"code_interpreter_call\",\"container_id\":\"c1\""), list);
		tokens(&u, 3, 4, true);
		assert_int_equal(u.web_searches, 2);
		assert_int_equal(u.file_searches, 1);
		assert_int_equal(u.code_sessions, 2);
		assert_int_equal(u.images, 1);
		assert_string_equal(u.dedupe_key, "r");
	}
	/* cut before the end: what was done so far is a floor */
	u = RUN(API_RESPONSES, true, early[1], early[1]);
	tokens(&u, NONE, NONE, false);
	assert_int_equal(u.web_searches, 2);
}

static void test_failed_response(void **state)
{
	struct usage u;

	(void)state;
	u = RUN(API_RESPONSES, true,
		"{\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"x\"}," USAGE_3_4 "}}");
	tokens(&u, 3, 4, true);
	assert_true(u.error_seen);
	u = RUN(API_RESPONSE_LATE, false,
		"{\"id\":\"r\",\"status\":\"failed\",\"error\":{\"code\":\"x\"}," USAGE_3_4 "}");
	tokens(&u, 3, 4, true);
	u = RUN(API_RESPONSES, true, "{\"type\":\"response.completed\",\"response\":{" USAGE_3_4 "}}",
		"{\"type\":\"error\",\"code\":\"x\"}");
	tokens(&u, 3, 4, false);
}

#define CREATED "{\"type\":\"response.created\",\"response\":{\"id\":\"r\",\"usage\":null}}"
#define SAID(usage) "{\"type\":\"conversation.item.input_audio_transcription.completed\",\"usage\":{" usage "}}"

static void test_socket(void **state)
{
	struct usage u;

	(void)state;
	u = RUN(API_REALTIME, true, "{\"type\":\"session.created\",\"session\":{\"model\":\"rt\"}}");
	tokens(&u, 0, 0, true);
	assert_int_equal(u.requests, 0);
	assert_string_equal(u.model, "rt");
	u = RUN(API_REALTIME, true, CREATED, "{\"type\":\"response.done\",\"response\":{\"id\":\"r\"," USAGE_3_4 "}}",
		CREATED);
	tokens(&u, 3, 4, false);
	assert_int_equal(u.requests, 2);
	u = RUN(API_REALTIME, true, CREATED, "{\"type\":\"response.done\",\"response\":{\"usage\":null}}");
	tokens(&u, NONE, NONE, false);
	u = RUN(API_REALTIME, true, CREATED,
		"{\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"output\":"
		"[{\"type\":\"web_search_call\"}]," USAGE_3_4 "}}",
		"{\"type\":\"response.done\",\"response\":{" USAGE_3_4 "}}");
	tokens(&u, 6, 8, true);
	assert_int_equal(u.requests, 2);
	assert_int_equal(u.web_searches, 1);
	assert_string_equal(u.dedupe_key, "");
	/* a cost that only one of two tells is none of both */
	u = RUN(API_REALTIME, true,
		"{\"type\":\"response.done\",\"response\":{\"usage\":{\"input_tokens\":1,\"output_tokens\":1,"
		"\"cost_in_usd_ticks\":5}}}",
		"{\"type\":\"response.done\",\"response\":{" USAGE_3_4 "}}");
	tokens(&u, 4, 5, true);
	assert_false(u.has_reported_cost);
	u = RUN(API_REALTIME, true, "{\"type\":\"error\",\"error\":{\"message\":\"x\"}}");
	tokens(&u, 0, 0, false);
}

static void test_transcription_in_socket(void **state)
{
	struct usage u =
	    RUN(API_REALTIME, true,
		"{\"type\":\"session.updated\",\"session\":{\"model\":\"rt\",\"audio\":{\"input\":"
		"{\"transcription\":{\"model\":\"scribe\"}}}}}",
		SAID("\"type\":\"tokens\",\"input_tokens\":13,\"input_token_details\":{\"audio_tokens\":13},"
		     "\"output_tokens\":9"),
		SAID("\"type\":\"duration\",\"seconds\":1.5"));

	(void)state;
	tokens(&u, 0, 0, true);
	assert_int_equal(u.n_others, 1);
	assert_string_equal(u.others[0].model, "scribe");
	assert_string_equal(u.others[0].role, "input_audio_transcription");
	assert_int_equal(u.others[0].input_tokens, 13);
	assert_int_equal(u.others[0].audio_input_tokens, 13);
	assert_int_equal(u.others[0].output_tokens, 9);
	assert_int_equal(u.others[0].audio_ms, 1500);
}

/* --- pictures, sound, vectors ------------------------------------------------------------------------------------- */

#define PICTURE(usage) "{\"type\":\"image_edit.completed\",\"b64_json\":\"aGk=\"" usage "}"

static void test_media(void **state)
{
	struct usage u;

	(void)state;
	u = RUN(API_IMAGES, false, "{\"data\":[{\"url\":\"u\"},{\"url\":\"v\"}],\"usage\":{\"cost_in_usd_ticks\":5}}");
	tokens(&u, 0, 0, true);
	assert_int_equal(u.images, 2);
	assert_int_equal(u.reported_cost_pusd, 500);
	u = RUN(API_IMAGES, true, PICTURE(",\"usage\":{\"input_tokens\":3,\"output_tokens\":10}"),
		PICTURE(",\"usage\":{\"input_tokens\":3,\"output_tokens\":20}"));
	tokens(&u, 6, 30, true);
	assert_int_equal(u.images, 2);
	assert_int_equal(u.image_output_tokens, 30);
	u = RUN(API_IMAGES, true, PICTURE(""));
	tokens(&u, NONE, NONE, false);
	u = RUN(API_TRANSCRIPTIONS, false, "{\"text\":\"x\",\"duration\":8.47,\"segments\":[{\"text\":\"y\"}]}");
	tokens(&u, 0, 0, true);
	assert_int_equal(u.audio_ms, 8470);
	u = RUN(API_TRANSCRIPTIONS, false, "{\"text\":\"x\"}");
	tokens(&u, NONE, NONE, false);
	u = RUN(
	    API_TRANSCRIPTIONS, true, "{\"type\":\"transcript.text.delta\",\"delta\":\"hello\"}",
	    "{\"type\":\"transcript.text.done\",\"text\":\"hello\",\"usage\":{\"type\":\"tokens\",\"input_tokens\":14,"
	    "\"input_token_details\":{\"audio_tokens\":10},\"output_tokens\":4}}");
	tokens(&u, 14, 4, true);
	assert_int_equal(u.audio_input_tokens, 10);
	assert_int_equal(u.output_bytes, 10);
	u = RUN(API_EMBEDDINGS, false, "{\"data\":[{\"embedding\":[0.1]}]}");
	tokens(&u, NONE, 0, false);
	u = RUN(API_MODERATIONS, false, "{\"model\":\"m\",\"usage\":{\"prompt_tokens\":7,\"total_tokens\":7}}");
	tokens(&u, 7, 0, true);
}

/* --- batches ------------------------------------------------------------------------------------------------------ */

#define BATCH(status, rest) "{\"id\":\"b\",\"status\":\"" status "\",\"output_file_id\":\"f\"" rest "}"
#define LINE(model, in, out)                                                                                           \
	"{\"response\":{\"status_code\":200,\"body\":{\"model\":\"" model "\",\"usage\":{\"prompt_tokens\":" in        \
	",\"completion_tokens\":" out "}}}}"

static void test_batch(void **state)
{
	struct usage u;

	(void)state;
	u = RUN(API_BATCH_SUBMIT, false, BATCH("validating", ",\"usage\":null"));
	tokens(&u, NONE, NONE, false);
	assert_int_equal(u.requests, 0);
	assert_string_equal(u.dedupe_key, "b");
	assert_string_equal(u.also_key, "f");
	assert_string_equal(u.service_tier, "batch");
	u = RUN(API_BATCH, false, BATCH("in_progress", ",\"request_counts\":{\"completed\":4}," USAGE_3_4));
	tokens(&u, 3, 4, false);
	assert_int_equal(u.requests, 0);
	u = RUN(API_BATCH, false, BATCH("cancelled", ",\"request_counts\":{\"completed\":4}," USAGE_3_4));
	tokens(&u, 3, 4, true);
	assert_int_equal(u.requests, 4);
	u = RUN(API_BATCH, false, BATCH("failed", ""));
	tokens(&u, 0, 0, true);
	/* ended before anything was done: no usage, no results */
	u = RUN(API_BATCH, false,
		"{\"id\":\"b\",\"status\":\"cancelled\",\"output_file_id\":null,\"usage\":null,\"request_counts\":{"
		"\"total\":3,\"completed\":0,\"failed\":0}}");
	tokens(&u, 0, 0, true);
	assert_int_equal(u.requests, 0);
	u = RUN(API_BATCH, false, "{\"id\":\"b\",\"status\":\"expired\"}");
	tokens(&u, 0, 0, true);
	/* done in part, and the object does not say how much: its results will */
	u = RUN(API_BATCH, false, BATCH("cancelled", ",\"request_counts\":{\"completed\":2}"));
	tokens(&u, NONE, NONE, false);
	assert_string_equal(u.also_key, "f");
	u = RUN(API_BATCH, false, "{\"id\":\"b\",\"status\":\"expired\",\"request_counts\":{\"completed\":2}}");
	tokens(&u, NONE, NONE, false);
	u = RUN(API_BATCH, false, "{\"id\":\"b\",\"status\":\"cancelling\",\"usage\":null}");
	tokens(&u, NONE, NONE, false);
	u = RUN(API_BATCH, false, BATCH("completed", ""));
	tokens(&u, NONE, NONE, false);
}

#define MESSAGE_LINE                                                                                                   \
	"{\"result\":{\"type\":\"succeeded\",\"message\":{\"model\":\"m\",\"usage\":{\"input_tokens\":5,\"output_"     \
	"tokens\":9,"                                                                                                  \
	"\"iterations\":[{\"type\":\"compaction\",\"input_tokens\":100,\"output_tokens\":10,"                          \
	"\"cache_read_input_tokens\":1000},{\"type\":\"advisor_message\",\"model\":\"x\",\"input_tokens\":20,"         \
	"\"output_tokens\":2}]}}}}"

static void test_batch_results(void **state)
{
	struct usage u;

	(void)state;
	u = RUN(API_BATCH_RESULTS, false, LINE("a", "10", "1"), LINE("b", "20", "2"), LINE("a", "30", "3"),
		LINE("b", "40", "4"),
		"{\"response\":{\"status_code\":500,\"body\":{\"usage\":{\"prompt_tokens\":9}}}}");
	tokens(&u, 40, 4, true);
	assert_string_equal(u.model, "a");
	assert_int_equal(u.requests, 4);
	assert_int_equal(u.n_others, 1);
	assert_string_equal(u.others[0].model, "b");
	assert_int_equal(u.others[0].input_tokens, 60);
	assert_int_equal(u.others[0].output_tokens, 6);
	/* long-context prices go by the largest */
	u = RUN(API_BATCH_RESULTS, false, LINE("a", "10", "1"), LINE("a", "30", "2"), LINE("a", "20", "1"));
	assert_int_equal(u.call_input_tokens, 30);
	u = RUN(API_BATCH_RESULTS, false, LINE("a", "10", "1"));
	assert_int_equal(u.call_input_tokens, 0);
	/* more models than are kept apart */
	u = RUN(API_BATCH_RESULTS, false, LINE("a", "1", "1"), LINE("b", "1", "1"), LINE("c", "1", "1"),
		LINE("d", "1", "1"), LINE("e", "1", "1"), LINE("f", "1", "1"));
	assert_false(u.complete);
	/* vectors, responses, and one that does not tell */
	u = RUN(
	    API_BATCH_RESULTS, false,
	    "{\"response\":{\"body\":{\"model\":\"e\",\"data\":[{\"embedding\":[1]}],\"usage\":{\"prompt_tokens\":5}},"
	    "\"status_code\":200}}");
	tokens(&u, 5, 0, true);
	u = RUN(API_BATCH_RESULTS, false,
		"{\"response\":{\"status_code\":200,\"body\":{\"model\":\"r\",\"output\":[{\"type\":\"web_search_"
		"call\"}]," USAGE_3_4 "}}}");
	tokens(&u, 3, 4, true);
	assert_int_equal(u.web_searches, 1);
	u = RUN(API_BATCH_RESULTS, false, LINE("a", "1", "1"), "{\"response\":{\"status_code\":200,\"body\":{}}}");
	tokens(&u, 1, 1, false);
	/* a message that was compacted, and asked an advisor */
	u = RUN(API_BATCH_RESULTS, false, MESSAGE_LINE, MESSAGE_LINE);
	tokens(&u, 2 * (5 + 100 + 1000), 2 * (9 + 10), true);
	assert_int_equal(u.cached_input_tokens, 2000);
	assert_int_equal(u.n_others, 1);
	assert_int_equal(u.others[0].input_tokens, 40);
	/* nothing succeeded, or no list of results at all */
	u = RUN(API_BATCH_RESULTS, false, "{\"result\":{\"type\":\"expired\"}}");
	tokens(&u, 0, 0, true);
	assert_int_equal(u.requests, 0);
}

/* --- Anthropic, Google, AWS, Cohere, Ollama ----------------------------------------------------------------------- */

static void test_iterations(void **state)
{
	static const char first[] = "{\"type\":\"message_start\",\"message\":{\"model\":\"m\",\"usage\":{\"input_"
				    "tokens\":5,\"output_tokens\":1}}}";
	static const char last[] =
	    "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9,"
	    "\"iterations\":[{\"type\":\"compaction\",\"input_tokens\":100,\"output_tokens\":10,"
	    "\"cache_read_input_tokens\":1000,\"cache_creation\":{\"ephemeral_1h_input_tokens\":7},"
	    "\"cache_creation_input_tokens\":7},{\"type\":\"message\",\"input_tokens\":5,\"output_tokens\":9},"
	    "{\"type\":\"advisor_message\",\"model\":\"x\",\"input_tokens\":20,\"cache_read_input_tokens\":3,"
	    "\"output_tokens\":2},{\"type\":\"advisor_message\",\"model\":\"x\",\"input_tokens\":20,\"output_tokens\":"
	    "2}]}}";
	struct usage u = RUN(API_MESSAGES, true, first, last, last); /* told again, not added again */

	(void)state;
	tokens(&u, 1112, 19, true);
	assert_int_equal(u.cached_input_tokens, 1000);
	assert_int_equal(u.cache_write_1h_tokens, 7);
	assert_int_equal(u.n_others, 1);
	assert_string_equal(u.others[0].model, "x");
	assert_int_equal(u.others[0].input_tokens, 43);
	assert_int_equal(u.others[0].cached_input_tokens, 3);
	assert_int_equal(u.others[0].output_tokens, 4);
}

static void test_google(void **state)
{
	struct usage u;

	(void)state;
	u = RUN(API_PREDICT, false,
		"{\"predictions\":[{\"bytesBase64Encoded\":\"aGk=\",\"mimeType\":\"image/png\"},{\"mimeType\":\"image/"
		"png\","
		"\"bytesBase64Encoded\":\"aGk=\"},{\"raiFilteredReason\":\"x\"}]}");
	tokens(&u, 0, 0, true);
	assert_int_equal(u.images, 2);
	u = RUN(API_PREDICT, false, "{\"predictions\":[{\"score\":1}]}");
	tokens(&u, NONE, 0, false);
	u = RUN(API_INTERACTIONS, false,
		"{\"id\":\"i\",\"status\":\"completed\",\"agent\":\"deep\",\"usage\":{\"total_input_tokens\":7,"
		"\"total_output_tokens\":2,\"total_thought_tokens\":3,\"total_tool_use_tokens\":4,"
		"\"input_tokens_by_modality\":[{\"modality\":\"audio\",\"tokens\":5}],\"grounding_tool_count\":"
		"[{\"type\":\"google_search\",\"count\":2},{\"type\":\"google_maps\",\"count\":1}]}}");
	tokens(&u, 11, 5, true);
	assert_string_equal(u.model, "deep");
	assert_string_equal(u.dedupe_key, "i");
	assert_int_equal(u.audio_input_tokens, 5);
	assert_int_equal(u.web_searches, 2);
	u = RUN(API_INTERACTION_LATE, false,
		"{\"id\":\"i\",\"status\":\"in_progress\",\"usage\":{\"total_input_tokens\":0}}");
	tokens(&u, NONE, NONE, false);
	u = RUN(API_GENERATE, true,
		"{\"candidates\":[{\"content\":{\"parts\":[{\"inlineData\":{\"data\":\"aGk=\",\"mimeType\":\"image/"
		"png\"}}]}}]}",
		"{\"candidates\":[{\"content\":{\"parts\":[{\"inlineData\":{\"mimeType\":\"image/"
		"webp\",\"data\":\"aGk=\"}},"
		"{\"inlineData\":{\"mimeType\":\"audio/wav\",\"data\":\"aGk=\"}}]},\"finishReason\":\"STOP\"}],"
		"\"usageMetadata\":{\"promptTokenCount\":1}}");
	tokens(&u, 1, 0, true);
	assert_int_equal(u.images, 2);
}

static void test_bedrock(void **state)
{
	struct usage u;

	(void)state;
	/* Nova's own body, Titan, Llama, vectors, OpenAI's shape */
	u = RUN(API_INVOKE, false,
		"{\"output\":{\"message\":{}},\"usage\":{\"inputTokens\":3,\"outputTokens\":4,"
		"\"cacheReadInputTokenCount\":5,\"cacheWriteInputTokenCount\":6}}");
	tokens(&u, 14, 4, true);
	u = RUN(API_INVOKE, false,
		"{\"inputTextTokenCount\":5,\"results\":[{\"tokenCount\":9,\"outputText\":\"x\"},{\"tokenCount\":1}]}");
	tokens(&u, 5, 10, true);
	u = RUN(API_INVOKE, false, "{\"generation\":\"x\",\"prompt_token_count\":17,\"generation_token_count\":33}");
	tokens(&u, 17, 33, true);
	u = RUN(API_INVOKE, false, "{\"embedding\":[0.1],\"inputTextTokenCount\":5}");
	tokens(&u, 5, 0, true);
	u = RUN(API_INVOKE, false,
		"{\"choices\":[],\"usage\":{\"prompt_tokens\":50,\"completion_tokens\":4,\"prompt_tokens_details\":"
		"{\"cached_tokens\":40}}}");
	tokens(&u, 50, 4, true);
	assert_int_equal(u.cached_input_tokens, 40);
	/* Bedrock's metrics end a stream, whatever the body said */
	u = RUN(API_INVOKE, true, "{\"generation\":\"x\",\"prompt_token_count\":17,\"generation_token_count\":1}",
		"{\"generation\":\"\",\"generation_token_count\":2,\"amazon-bedrock-invocationMetrics\":"
		"{\"inputTokenCount\":17,\"outputTokenCount\":2}}");
	tokens(&u, 17, 2, true);
	u = RUN(API_INVOKE, true, "{\"generation\":\"x\",\"prompt_token_count\":17,\"generation_token_count\":1}");
	tokens(&u, 17, 1, false);
}

static void test_heads(void **state)
{
	static const char body[] = "{\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}";
	struct extract x;
	struct usage u;

	(void)state;
	begin(&x, API_INVOKE, false);
	extract_header(&x, SLICE("X-Amzn-Bedrock-Input-Token-Count"), SLICE("17"));
	extract_header(&x, SLICE("x-amzn-bedrock-output-token-count"), SLICE(" 33 "));
	extract_header(&x, SLICE("x-amzn-bedrock-cache-read-input-token-count"), SLICE("5"));
	extract_header(&x, SLICE("content-type"), SLICE("application/json"));
	extract_result(&x, true, &u);
	tokens(&u, 22, 33, true);
	assert_true(extract_whole(&x, body, strlen(body)));
	extract_commit(&x);
	extract_result(&x, true, &u);
	tokens(&u, 1, 2, true);
	extract_done(&x);
	begin(&x, API_CHAT, false);
	extract_header(&x, SLICE("fireworks-prompt-tokens"), SLICE("900"));
	extract_header(&x, SLICE("fireworks-cached-prompt-tokens"), SLICE("-5"));
	extract_result(&x, true, &u);
	tokens(&u, 900, NONE, false);
	assert_int_equal(u.cached_input_tokens, 0);
	extract_done(&x);
	begin(&x, API_CONVERSE, true);
	extract_event_name(&x, SLICE("throttlingException"), true);
	extract_result(&x, true, &u);
	assert_true(u.error_seen);
	extract_done(&x);
	begin(&x, API_SPEECH, false);
	extract_opaque(&x, 6400);
	extract_result(&x, true, &u);
	tokens(&u, NONE, NONE, false);
	assert_int_equal(u.output_bytes, 101);
}

static void test_cohere_ollama(void **state)
{
	struct usage u;

	(void)state;
	u = RUN(API_COHERE_CHAT, false,
		"{\"usage\":{\"cached_tokens\":99,\"billed_units\":{\"input_tokens\":5.7,\"output_tokens\":4},"
		"\"tokens\":{\"input_tokens\":71}}}");
	tokens(&u, 5, 4, true);
	assert_int_equal(u.cached_input_tokens, 5);
	u = RUN(API_COHERE_CHAT, true,
		"{\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"ERROR\",\"error\":\"x\",\"usage\":{\"billed_"
		"units\":"
		"{\"input_tokens\":5,\"output_tokens\":4}}}}");
	tokens(&u, 5, 4, false);
	u = RUN(API_COHERE_UNITS, true,
		"{\"event_type\":\"stream-end\",\"response\":{\"meta\":{\"billed_units\":{\"input_tokens\":5,"
		"\"output_tokens\":4}}}}");
	tokens(&u, 5, 4, true);
	u = RUN(API_COHERE_UNITS, false, "{\"results\":[],\"meta\":{\"billed_units\":null}}");
	tokens(&u, NONE, NONE, false);
	u = RUN(API_OLLAMA, false, "{\"model\":\"l\",\"embeddings\":[[0.1]],\"prompt_eval_count\":6}");
	tokens(&u, 6, 0, true);
	u = RUN(API_OLLAMA, false, "{\"embedding\":[0.1]}");
	tokens(&u, NONE, 0, false);
	u = RUN(API_OLLAMA, true, "{\"message\":{\"content\":\"Hi\"},\"done\":false}");
	tokens(&u, NONE, NONE, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_numbers),       cmocka_unit_test(test_order_of_keys),
	    cmocka_unit_test(test_cached_names),  cmocka_unit_test(test_reasoning),
	    cmocka_unit_test(test_costs),         cmocka_unit_test(test_mistral),
	    cmocka_unit_test(test_items),         cmocka_unit_test(test_failed_response),
	    cmocka_unit_test(test_socket),        cmocka_unit_test(test_transcription_in_socket),
	    cmocka_unit_test(test_media),         cmocka_unit_test(test_batch),
	    cmocka_unit_test(test_batch_results), cmocka_unit_test(test_iterations),
	    cmocka_unit_test(test_google),        cmocka_unit_test(test_bedrock),
	    cmocka_unit_test(test_heads),         cmocka_unit_test(test_cohere_ollama),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
