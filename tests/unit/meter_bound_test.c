/* meter_bound_test - what a request may cost at most: tokens of text, pictures and files, tiers, refusals. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meter/bound.h"
#include "meter/usage.h"
#include "tests/unit/price_help.h"

/* Midnight UTC */
#define AT_2026_01_01 INT64_C(1767225600)
#define AT_2026_06_01 INT64_C(1780272000)

static const char book_json[] =
    "{\"format\":\"bursar-prices/1\",\"version\":7,\"currency\":\"USD\",\"providers\":[{\"id\":\"acme\","
    "\"multipliers\":{\"flex\":\"0.5\",\"priority\":\"2\",\"speed:fast\":\"6\",\"geo:us\":\"1.1\"},\"models\":["
    "{\"id\":\"basic\",\"ctx\":1000,\"max_out\":100,\"match\":[[\"eq\",\"basic\"],[\"eq\",\"basic-alias\"],[\"re\","
    "\"basic-.*\"]],"
    "\"prices\":[{\"rates\":{\"in\":\"1\",\"out\":\"2\"}}]},"
    "{\"id\":\"full\",\"max_out\":1000,\"match\":[[\"eq\",\"full\"]],\"prices\":[{\"rates\":{\"in\":\"10\",\"out\":"
    "\"20\",\"cr\":\"1\",\"cw\":\"12.5\","
    "\"cw1h\":\"20\",\"in_audio\":\"40\",\"cr_audio\":\"4\",\"out_audio\":\"80\",\"in_image\":\"15\",\"out_image\":"
    "\"60\",\"req\":\"1\",\"web\":\"10\","
    "\"file\":\"2.5\"}}]},"
    "{\"id\":\"tiered\",\"max_out\":10,\"match\":[[\"eq\",\"tiered\"]],\"prices\":[{\"from\":\"2026-01-01\",\"rates\":{"
    "\"in\":\"1\",\"out\":\"1\"}},"
    "{\"from\":\"2026-01-01\",\"over\":1000,\"rates\":{\"in\":\"3\",\"out\":\"3\"}},"
    "{\"from\":\"2026-01-01\",\"tod\":[\"22:00\",\"02:00\"],\"rates\":{\"in\":\"5\",\"out\":\"5\"}},"
    "{\"from\":\"2026-06-01\",\"to\":\"2026-07-01\",\"rates\":{\"in\":\"2\",\"out\":\"2\"}}]},"
    "{\"id\":\"long\",\"match\":[[\"starts_with\",\"family-long\"]],\"prices\":[{\"rates\":{\"in\":\"1\",\"out\":\"1\"}"
    "}]},"
    "{\"id\":\"family\",\"hides_reasoning\":true,\"match\":[[\"starts_with\",\"family\"],[\"ends_with\",\"-"
    "fam\"],[\"contains\",\"fam2\"]],"
    "\"prices\":[{\"rates\":{\"in\":\"1\",\"out\":\"1\"}},{\"service\":\"flex\",\"rates\":{\"in\":\"0.3\",\"out\":\"0."
    "3\"}}]},"
    "{\"id\":\"ft:tuned\",\"match\":[[\"starts_with\",\"ft:tuned\"]],\"prices\":[{\"rates\":{\"in\":\"9\",\"out\":"
    "\"9\"}}]},"
    "{\"id\":\"embed\",\"match\":[[\"eq\",\"embed\"]],\"prices\":[{\"rates\":{\"in\":\"0.02\"}}]},"
    "{\"id\":\"sonar-deep\",\"match\":[[\"eq\",\"sonar-deep\"]],\"prices\":[{\"rates\":{\"in\":\"2\",\"out\":\"8\","
    "\"out_citation\":\"2\"}}]},"
    "{\"id\":\"gpt-image-1.5\",\"match\":[[\"eq\",\"gpt-image-1.5\"]],\"prices\":[{\"rates\":{\"in\":\"5\",\"out\":"
    "\"10\",\"in_image\":\"8\",\"out_image\":"
    "\"32\"}}]},"
    "{\"id\":\"gpt-image-2\",\"match\":[[\"eq\",\"gpt-image-2\"]],\"prices\":[{\"rates\":{\"in\":\"5\",\"out\":\"30\","
    "\"in_image\":\"8\"}}]},"
    "{\"id\":\"dall-e-3\",\"match\":[[\"eq\",\"dall-e-3\"]],\"prices\":[{\"rates\":{\"img\":\"80\"}}]},"
    "{\"id\":\"flux\",\"match\":[[\"eq\",\"flux\"]],\"prices\":[{\"rates\":{\"px\":\"2.7\"}}]},"
    "{\"id\":\"tts-1\",\"match\":[[\"eq\",\"tts-1\"]],\"prices\":[{\"rates\":{\"chars\":\"15\"}}]},"
    "{\"id\":\"mini-tts\",\"match\":[[\"eq\",\"mini-tts\"]],\"prices\":[{\"rates\":{\"in\":\"0.6\",\"out\":\"12\","
    "\"out_audio\":\"12\"}}]},"
    "{\"id\":\"whisper-1\",\"match\":[[\"eq\",\"whisper-1\"]],\"prices\":[{\"rates\":{\"in_audio_ms\":\"0.36\"}}]},"
    "{\"id\":\"transcribe\",\"match\":[[\"eq\",\"transcribe\"]],\"ctx\":16000,\"max_out\":2000,\"prices\":[{\"rates\":{"
    "\"in\":\"2.5\",\"in_audio\":\"6\","
    "\"out\":\"10\"}}]},"
    "{\"id\":\"ocr\",\"match\":[[\"eq\",\"ocr\"]],\"prices\":[{\"rates\":{\"pages\":\"1\",\"pages_annotated\":\"3\"}}]}"
    ","
    "{\"id\":\"rerank\",\"match\":[[\"eq\",\"rerank\"]],\"prices\":[{\"rates\":{\"rerank\":\"2\"}}]},"
    "{\"id\":\"claude-sonnet-4-6\",\"match\":[[\"eq\",\"claude-sonnet-4-6\"]],\"ctx\":200000,\"max_out\":64000,"
    "\"prices\":[{\"rates\":{\"in\":\"3\",\"out\":"
    "\"15\",\"cr\":"
    "\"0.3\",\"cw\":\"3.75\",\"cw1h\":\"6\",\"web\":\"10\"}},{\"service\":\"batch\",\"rates\":{\"in\":\"1.5\",\"out\":"
    "\"7.5\"}}]},"
    "{\"id\":\"gemini-3-image\",\"match\":[[\"eq\",\"gemini-3-image\"]],\"max_out\":8000,\"prices\":[{\"rates\":{"
    "\"in\":\"1\",\"out\":\"3\",\"out_image\":"
    "\"30\"}}]}"
    "]}]}";

static struct bound upper(const struct price_model *m, enum api_kind kind, const struct request_info *q, int64_t at_s)
{
	struct bound r = {0};
	const char *why = NULL;

	assert_int_equal(bound_upper(m, kind, q, at_s, &r, &why), BOUND_OK);
	return r;
}

static void refused(const struct price_model *m, enum api_kind kind, const struct request_info *q,
		    enum bound_result want)
{
	struct bound r;
	const char *why = NULL;

	assert_int_equal(bound_upper(m, kind, q, AT_2026_01_01, &r, &why), want);
	if (want == BOUND_UNBOUNDED)
		assert_true(why && strlen(why) > 20);
}

#define OVERHEAD 32 /* REQUEST_OVERHEAD_TOKENS */

static void test_bound(void **state)
{
	struct price_book *b = book_of(book_json);
	const struct price_model *basic = find(b, "basic"), *full = find(b, "full");
	struct request_info q = {.candidates = 1,
				 .body_bytes = 200,
				 .messages = 2,
				 .has_max_out = true,
				 .max_out = 50,
				 .inference_geo = "global"};
	struct bound r = upper(basic, API_CHAT, &q, 0);

	(void)state;
	assert_int_equal(r.input_tokens, 200 + 16 + OVERHEAD);
	assert_int_equal(r.output_tokens, 50);
	assert_int_equal(r.input_nanousd, (200 + 16 + OVERHEAD) * 1000);
	assert_int_equal(r.worst_nanousd, (200 + 16 + OVERHEAD) * 1000 + 50 * 2000);
	q.candidates = 3;
	assert_int_equal(upper(basic, API_CHAT, &q, 0).output_tokens, 150);
	q.candidates = 1;
	q.has_max_out = false;
	assert_int_equal(upper(basic, API_CHAT, &q, 0).output_tokens, 100);
	q.has_max_out = true;
	q.max_out = 1 << 30; /* no model answers more than its context */
	assert_int_equal(upper(basic, API_CHAT, &q, 0).output_tokens, 1000);
	q.max_out = 0;
	/* cache writes: automatic with some vendors, marked with Anthropic */
	q = (struct request_info){.candidates = 1,
				  .body_bytes = 1000 - OVERHEAD,
				  .has_max_out = true,
				  .max_out = 1,
				  .inference_geo = "global"};
	assert_int_equal(upper(full, API_CHAT, &q, 0).input_nanousd, 12500000 + 1000000);
	assert_int_equal(upper(full, API_MESSAGES, &q, 0).input_nanousd, 10000000 + 1000000);
	q.cache_marks = true;
	assert_int_equal(upper(full, API_MESSAGES, &q, 0).input_nanousd, 12500000 + 1000000);
	q.cache_marks_1h = true;
	assert_int_equal(upper(full, API_MESSAGES, &q, 0).input_nanousd, 20000000 + 1000000);
	q.tools = true;
	assert_int_equal(upper(full, API_MESSAGES, &q, 0).input_tokens, 1000 + 1024);
	price_book_unref(b);
}

static void test_bound_media(void **state)
{
	struct price_book *b = book_of(book_json);
	const struct price_model *full = find(b, "full"), *basic = find(b, "basic");
	struct request_info q = {
	    .candidates = 1, .body_bytes = 5000, .has_max_out = true, .max_out = 1, .images = 1, .image_bytes = 4900};

	(void)state;
	assert_int_equal(upper(full, API_CHAT, &q, 0).input_tokens, 100 + 10000 + OVERHEAD);
	assert_int_equal(upper(full, API_MESSAGES, &q, 0).input_tokens, 100 + 4784 + OVERHEAD);
	q = (struct request_info){.candidates = 1, .body_bytes = 10, .has_max_out = true, .max_out = 1, .files = 1};
	refused(full, API_MESSAGES, &q, BOUND_UNBOUNDED); /* no context known */
	assert_int_equal(upper(basic, API_MESSAGES, &q, 0).input_tokens, 1000);
	q = (struct request_info){
	    .candidates = 1, .body_bytes = 10, .has_max_out = true, .max_out = 1, .stored_context = true};
	refused(full, API_RESPONSES, &q, BOUND_UNBOUNDED);
	assert_int_equal(upper(basic, API_RESPONSES, &q, 0).input_tokens, 1000);
	q = (struct request_info){.candidates = 1,
				  .body_bytes = 1000 - OVERHEAD,
				  .has_max_out = true,
				  .max_out = 1,
				  .audios = 1,
				  .inference_geo = "global"};
	assert_int_equal(upper(full, API_CHAT, &q, 0).input_nanousd, 40000000 + 1000000);
	q.remote_parts = true;
	refused(full, API_CHAT, &q, BOUND_UNBOUNDED);
	price_book_unref(b);
}

static void test_bound_rows(void **state)
{
	struct price_book *b = book_of(book_json);
	const struct price_model *t = find(b, "tiered"), *basic = find(b, "basic");
	struct request_info q = {.candidates = 1,
				 .body_bytes = 1000 - OVERHEAD,
				 .has_max_out = true,
				 .max_out = 1,
				 .inference_geo = "global"};
	int64_t noon = AT_2026_01_01 + 12 * 3600;

	(void)state;
	assert_int_equal(upper(t, API_CHAT, &q, noon).input_nanousd, 1000000);
	q.body_bytes++; /* now the dear tier can be reached */
	assert_int_equal(upper(t, API_CHAT, &q, noon).input_nanousd, 1001 * 3000);
	/* a dear time of day that begins while the call may still wait */
	assert_int_equal(upper(t, API_CHAT, &q, AT_2026_01_01 + 22 * 3600 - 60).input_nanousd, 1001 * 5000);
	refused(t, API_CHAT, &(struct request_info){.candidates = 1}, BOUND_OK);
	q.body_bytes = 1000 - OVERHEAD;
	(void)slice_to_cstr(slice_of("auto"), q.service_tier, sizeof(q.service_tier));
	assert_int_equal(upper(basic, API_CHAT, &q, 0).input_nanousd, 2000000);
	(void)slice_to_cstr(slice_of("flex"), q.service_tier,
			    sizeof(q.service_tier)); /* perhaps not offered: held as standard */
	assert_int_equal(upper(basic, API_CHAT, &q, 0).input_nanousd, 1000000);
	q.inference_geo[0] = '\0'; /* the workspace's own, perhaps the dear one */
	assert_int_equal(upper(basic, API_MESSAGES, &q, 0).input_nanousd, 1100000);
	(void)slice_to_cstr(slice_of("fast"), q.speed, sizeof(q.speed));
	assert_int_equal(upper(basic, API_MESSAGES, &q, 0).input_nanousd, 6600000);
	price_book_unref(b);
}

static void test_bound_refusals(void **state)
{
	struct price_book *b = book_of(book_json);
	struct request_info q;
	struct bound r;
	const char *why;

	(void)state;
	q = (struct request_info){.candidates = 1, .hosted_tools = true};
	refused(find(b, "basic"), API_RESPONSES, &q, BOUND_UNBOUNDED);
	q = (struct request_info){.candidates = 1};
	refused(find(b, "embed"), API_CHAT, &q, BOUND_UNBOUNDED); /* no maximum known */
	assert_int_equal(upper(find(b, "embed"), API_EMBEDDINGS, &q, 0).output_tokens, 0);
	assert_int_equal(bound_upper(find(b, "tiered"), API_CHAT, &q, 0, &r, &why), BOUND_NO_PRICE);
	q = (struct request_info){.candidates = UINT64_MAX};
	refused(find(b, "basic"), API_CHAT, &q, BOUND_OVERFLOW);
	q = (struct request_info){.candidates = 1, .images = UINT64_MAX};
	refused(find(b, "basic"), API_CHAT, &q, BOUND_OVERFLOW);
	q = (struct request_info){.candidates = 1, .body_bytes = UINT64_MAX};
	refused(find(b, "basic"), API_CHAT, &q, BOUND_OVERFLOW);
	q = (struct request_info){
	    .candidates = 1, .prediction = true, .body_bytes = 60, .has_max_out = true, .max_out = 5};
	assert_int_equal(upper(find(b, "basic"), API_CHAT, &q, 0).output_tokens, 65);
	price_book_unref(b);
}

/* Whatever a call of this request can use, it costs no more than was held. */
static void test_bound_covers_cost(void **state)
{
	struct price_book *b = book_of(book_json);
	const struct price_model *m[] = {find(b, "basic"), find(b, "full"), find(b, "tiered"), find(b, "family")};
	int i;

	(void)state;
	srand(1);
	for (i = 0; i < 20000; i++) {
		const struct price_model *model = m[rand() % 4];
		struct request_info q = {.candidates = 1 + (uint64_t)(rand() % 3),
					 .body_bytes = (uint64_t)(rand() % 3000),
					 .messages = (uint64_t)(rand() % 5),
					 .has_max_out = true,
					 .max_out = 1 + (uint64_t)(rand() % 10)};
		int64_t at_s = AT_2026_01_01 + rand() % (200 * 86400), nanousd;
		enum api_kind kind = rand() % 2 ? API_CHAT : API_RESPONSES;
		struct bound r = upper(model, kind, &q, at_s);
		struct usage u = {.requests = 1};
		struct price_terms terms;
		struct quantities n;
		struct cost_sum sum;

		u.input_tokens = (uint64_t)rand() % (r.input_tokens + 1);
		u.cached_input_tokens = (uint64_t)rand() % (u.input_tokens + 1);
		u.cache_write_tokens = (uint64_t)rand() % (u.input_tokens - u.cached_input_tokens + 1);
		u.output_tokens = (uint64_t)rand() % (r.output_tokens + 1);
		usage_quantities(&u, &n);
		usage_terms(&u, at_s, false, &terms);
		assert_int_equal(price_cost(model, &n, &terms, &sum), BUR_OK);
		assert_int_equal(cost_ceil_nanousd(&sum, &nanousd), BUR_OK);
		assert_true(nanousd <= r.worst_nanousd);
		assert_true(r.input_nanousd <= r.worst_nanousd);
		assert_int_equal(bound_estimate(model, &q, u.input_tokens, u.output_tokens, at_s, &nanousd), BUR_OK);
		assert_true(nanousd <= r.worst_nanousd);
	}
	price_book_unref(b);
}

/* --- kinds of calls, from their bodies ------------------------------------------------------------------------------
 */

static struct request_info scan(enum api_kind kind, const char *body)
{
	static struct reqscan s;

	reqscan_init(&s, kind);
	if (reqscan_feed(&s, body, strlen(body)) < 0 || reqscan_finish(&s) < 0)
		fail_msg("not understood: %s", body);
	(void)slice_to_cstr(SLICE("global"), s.info.inference_geo, sizeof(s.info.inference_geo));
	return s.info;
}

static struct bound upper_of(const char *model, enum api_kind kind, const char *body)
{
	struct price_book *b = book_of(book_json);
	struct request_info q = scan(kind, body);
	struct bound r = upper(find(b, model), kind, &q, AT_2026_01_01);

	price_book_unref(b);
	return r;
}

static const char *why_not(const char *model, enum api_kind kind, const char *body)
{
	struct price_book *b = book_of(book_json);
	struct request_info q = scan(kind, body);
	const char *why = "";
	struct bound r;

	if (bound_upper(find(b, model), kind, &q, AT_2026_01_01, &r, &why) != BOUND_UNBOUNDED)
		fail_msg("has a bound: %s", body);
	price_book_unref(b);
	return why;
}

static void test_pictures_drawn(void **state)
{
	struct bound r;

	(void)state;
	r = upper_of("gpt-image-1.5", API_IMAGES,
		     "{\"prompt\":\"x\",\"n\":2,\"quality\":\"low\",\"partial_images\":3}");
	assert_int_equal(r.output_tokens, 2 * (408 + 512 + 300));
	r = upper_of("gpt-image-1.5", API_IMAGES, "{\"prompt\":\"x\"}");
	assert_int_equal(r.output_tokens, 6240 + 512);
	assert_int_equal(r.worst_nanousd, r.input_nanousd + (6240 + 512) * 32000);
	r = upper_of("gpt-image-2", API_IMAGES, "{\"size\":\"1024x1024\",\"quality\":\"high\",\"n\":2}");
	assert_int_equal(r.output_tokens, 2 * 6240);
	assert_non_null(strstr(why_not("gpt-image-2", API_IMAGES, "{\"prompt\":\"x\"}"), "size"));
	assert_non_null(strstr(why_not("gpt-image-2", API_IMAGES, "{\"size\":\"4096x4096\"}"), "size"));
	assert_int_equal(upper_of("dall-e-3", API_IMAGES, "{\"n\":3}").worst_nanousd, 3 * 80000000);
	assert_non_null(strstr(why_not("flux", API_IMAGES, "{\"n\":3}"), "size"));
	assert_int_equal(upper_of("flux", API_IMAGES, "{\"n\":2,\"width\":1000,\"height\":1000}").worst_nanousd,
			 5400000);
	/* a chat model that draws: the bound of text does not hold for pictures */
	r = upper_of("gemini-3-image", API_GENERATE, "{\"generationConfig\":{\"maxOutputTokens\":256}}");
	assert_int_equal(r.output_tokens, 8000);
}

static void test_speech_and_sound(void **state)
{
	struct price_book *b = book_of(book_json);
	struct request_info q = {
	    .candidates = 1, .upload_bytes = 750 * 3600, .body_bytes = 750 * 3600 + 100, .inference_geo = "global"};
	struct bound r;

	(void)state;
	assert_int_equal(upper_of("tts-1", API_SPEECH, "{\"input\":\"0123456789\"}").worst_nanousd, 150000);
	r = upper_of("mini-tts", API_SPEECH, "{\"input\":\"0123456789\"}");
	assert_int_equal(r.output_tokens, 800);
	/* an hour at the lowest rate */
	r = upper(find(b, "whisper-1"), API_TRANSCRIPTIONS, &q, 0);
	assert_int_equal(r.worst_nanousd, 360000000);
	q.upload_bytes = 10;
	r = upper(find(b, "whisper-1"), API_TRANSCRIPTIONS, &q, 0);
	assert_int_equal(r.worst_nanousd, 1000000); /* ten seconds */
	q.upload_bytes = 750 * 60;
	q.body_bytes = q.upload_bytes + 68;
	r = upper(find(b, "transcribe"), API_TRANSCRIPTIONS, &q, 0);
	assert_int_equal(r.input_tokens, 100 + 600);
	assert_int_equal(r.output_tokens, 610);
	q.files = 1;
	refused(find(b, "whisper-1"), API_TRANSCRIPTIONS, &q, BOUND_UNBOUNDED);
	assert_int_equal(upper(find(b, "transcribe"), API_TRANSCRIPTIONS, &q, 0).input_tokens, 16000);
	price_book_unref(b);
}

static void test_documents(void **state)
{
	(void)state;
	assert_int_equal(upper_of("ocr", API_OCR, "{\"document\":{\"type\":\"document_url\"}}").worst_nanousd,
			 1000000000);
	assert_int_equal(
	    upper_of("ocr", API_OCR, "{\"document\":{\"type\":\"document_url\"},\"pages\":[0,1]}").worst_nanousd,
	    2000000);
	assert_int_equal(upper_of("ocr", API_OCR, "{\"document\":{\"type\":\"image_url\",\"image_url\":\"https://x\"}}")
			     .worst_nanousd,
			 1000000);
	assert_int_equal(
	    upper_of("ocr", API_OCR,
		     "{\"document\":{\"type\":\"document_url\"},\"pages\":[0],\"document_annotation_format\":{}}")
		.worst_nanousd,
	    3000000);
	assert_int_equal(
	    upper_of("rerank", API_COHERE_UNITS, "{\"query\":\"q\",\"documents\":[\"a\",\"b\"]}").worst_nanousd,
	    2000000);
}

static void test_batches(void **state)
{
	struct bound r;

	(void)state;
	assert_non_null(strstr(why_not("basic", API_BATCH_SUBMIT, "{\"input_file_id\":\"f\"}"), "file"));
	assert_non_null(
	    strstr(why_not("basic", API_BATCH_SUBMIT,
			   "{\"requests\":[{\"params\":{\"model\":\"a\"}},{\"params\":{\"model\":\"b\"}}]}"),
		   "one batch"));
	r = upper_of(
	    "claude-sonnet-4-6", API_BATCH_SUBMIT,
	    "{\"requests\":[{\"params\":{\"max_tokens\":10}},{\"params\":{\"max_tokens\":20}},{\"params\":{}}]}");
	assert_int_equal(r.output_tokens, 64030);
	assert_int_equal(r.worst_nanousd, r.input_nanousd + 64030 * 7500); /* at the batch price */
}

static void test_tools_with_a_limit(void **state)
{
	struct bound r;

	(void)state;
	r = upper_of("claude-sonnet-4-6", API_MESSAGES,
		     "{\"max_tokens\":10,\"tools\":[{\"type\":\"web_search_20250305\",\"max_uses\":2}]}");
	assert_int_equal(r.input_tokens, 3 * 200000);
	assert_int_equal(r.worst_nanousd, INT64_C(3) * 200000 * 3000 + 10 * 15000 + 2 * 10000000);
	assert_non_null(
	    strstr(why_not("claude-sonnet-4-6", API_MESSAGES, "{\"tools\":[{\"type\":\"web_search_20250305\"}]}"),
		   "max_uses"));
	(void)why_not("basic", API_RESPONSES, "{\"tools\":[{\"type\":\"mcp\"}],\"max_tool_calls\":1}");
	(void)why_not("basic", API_RESPONSES, "{\"tools\":[{\"type\":\"image_generation\"}],\"max_tool_calls\":1}");
	(void)why_not("embed", API_RESPONSES, "{\"tools\":[{\"type\":\"web_search\"}],\"max_tool_calls\":1}");
}

static void test_many_prompts(void **state)
{
	(void)state;
	assert_int_equal(
	    upper_of("basic", API_COMPLETIONS, "{\"prompt\":[\"a\",\"b\",[1]],\"n\":2,\"max_tokens\":5}").output_tokens,
	    30);
	assert_int_equal(upper_of("basic", API_COMPLETIONS, "{\"prompt\":[1,2,3],\"max_tokens\":5}").output_tokens, 5);
	assert_non_null(strstr(why_not("sonar-deep", API_CHAT, "{\"max_tokens\":5}"), "searches"));
}

static void test_free_and_unknown(void **state)
{
	static const enum api_kind nothing[] = {API_FREE,  API_MODERATIONS,   API_RESPONSE_LATE,
						API_BATCH, API_BATCH_RESULTS, API_INTERACTION_LATE};
	struct price_book *b = book_of(book_json);
	struct request_info q = {.candidates = 1, .body_bytes = 100};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(nothing); i++)
		assert_int_equal(upper(find(b, "basic"), nothing[i], &q, 0).worst_nanousd, 0);
	refused(find(b, "basic"), API_UNKNOWN, &q, BOUND_UNBOUNDED);
	refused(find(b, "basic"), API_REALTIME, &q, BOUND_UNBOUNDED);
	price_book_unref(b);
}

static void test_inline_picture(void **state)
{
	static const char body[] =
	    "{\"max_tokens\":1,\"messages\":[{\"content\":[{\"type\":\"image\",\"source\":{\"type\":"
	    "\"base64\",\"data\":\"R0lGODlhIANYAgAAAAAA\"}}]}]}";
	struct bound r = upper_of("claude-sonnet-4-6", API_MESSAGES, body);

	(void)state;
	/* 800 x 600: w * h / 750, and not the dearest picture */
	assert_int_equal(r.input_tokens, sizeof(body) - 1 - 20 + 8 + 640 + OVERHEAD);
}

/* A count replaces the bytes where it is known to be one, or where estimates are allowed. */
static void test_tighten(void **state)
{
	struct price_book *b = book_of(book_json);
	struct request_info q = {
	    .candidates = 1, .body_bytes = 4000, .has_max_out = true, .max_out = 10, .inference_geo = "global"};
	struct prompt_count count = {.tokens = 900, .margin_tokens = 100, .exact = true};
	struct bound r = upper(find(b, "basic"), API_CHAT, &q, 0), before = r;

	(void)state;
	assert_int_equal(bound_tighten(find(b, "basic"), API_CHAT, &q, 0, &count, false, &r), BOUND_OK);
	assert_int_equal(r.input_tokens, 1000);
	assert_int_equal(r.worst_nanousd, 1000 * 1000 + 10 * 2000);
	r = before;
	count.exact = false;
	assert_int_equal(bound_tighten(find(b, "basic"), API_CHAT, &q, 0, &count, false, &r), BOUND_OK);
	assert_memory_equal(&r, &before, sizeof(r));
	assert_int_equal(bound_tighten(find(b, "basic"), API_CHAT, &q, 0, &count, true, &r), BOUND_OK);
	assert_int_equal(r.input_tokens, 1000);
	/* never more than the bytes allow, and not below what is elsewhere */
	count = (struct prompt_count){.tokens = UINT64_MAX, .margin_tokens = 1, .exact = true};
	r = before;
	assert_int_equal(bound_tighten(find(b, "basic"), API_CHAT, &q, 0, &count, false, &r), BOUND_OK);
	assert_memory_equal(&r, &before, sizeof(r));
	count = (struct prompt_count){.tokens = 10, .exact = true};
	q.stored_context = true;
	r = upper(find(b, "basic"), API_RESPONSES, &q, 0);
	assert_int_equal(bound_tighten(find(b, "basic"), API_RESPONSES, &q, 0, &count, false, &r), BOUND_OK);
	assert_int_equal(r.input_tokens, 1000);
	price_book_unref(b);
}

static uint64_t up_to(uint64_t n)
{
	return (uint64_t)rand() % (n + 1);
}

/* A body of a random request, and usage that it allows. */
static enum api_kind random_call(char *body, size_t size, const char **ret_model, struct usage *u)
{
	static const char *const qualities[] = {"low", "medium", "high"};
	static const uint64_t tokens[] = {400, 1584, 6240};
	uint64_t a = up_to(3), n = 1 + up_to(3), max = 1 + up_to(500), k;
	const char *text = &"the quick brown fox jumps over the lazy dog"[up_to(30)];

	memset(u, 0, sizeof(*u));
	u->requests = 1;
	switch (up_to(5)) {
	case 0:
		(void)snprintf(body, size, "{\"prompt\":[\"%s\",\"%s\"],\"n\":%d,\"best_of\":%d,\"max_tokens\":%d}",
			       text, text, (int)n, (int)(n + a), (int)max);
		*ret_model = "claude-sonnet-4-6";
		u->input_tokens = up_to(2 * strlen(text));
		u->output_tokens = up_to(2 * (n + a) * max); /* for each prompt */
		return API_COMPLETIONS;
	case 1:
		k = up_to(2);
		(void)snprintf(body, size, "{\"prompt\":\"%s\",\"n\":%d,\"quality\":\"%s\",\"partial_images\":%d}",
			       text, (int)n, qualities[k], (int)a);
		*ret_model = "gpt-image-1.5";
		u->input_tokens = up_to(strlen(text));
		u->image_output_tokens = u->output_tokens = up_to(n * (tokens[k] + 100 * a));
		u->images = up_to(n);
		return API_IMAGES;
	case 2:
		(void)snprintf(body, size, "{\"input\":\"%s\"}", text);
		*ret_model = "tts-1";
		u->input_characters = strlen(text);
		return API_SPEECH;
	case 3:
		(void)snprintf(
		    body, size,
		    "{\"max_tokens\":%d,\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}],\"tools\":[{\"type\":"
		    "\"web_search_20250305\",\"max_uses\":%d}]}",
		    (int)max, text, (int)n);
		*ret_model = "claude-sonnet-4-6";
		u->web_searches = up_to(n);
		u->input_tokens = up_to((u->web_searches + 1) * 200000);
		u->cached_input_tokens = up_to(u->input_tokens);
		u->output_tokens = up_to(max);
		return API_MESSAGES;
	case 4:
		(void)snprintf(
		    body, size,
		    "{\"requests\":[{\"params\":{\"max_tokens\":%d,\"messages\":[{\"content\":\"%s\"}]}},{\"params\":{"
		    "\"max_tokens\":%d}}]}",
		    (int)max, text, (int)n);
		*ret_model = "claude-sonnet-4-6";
		u->requests = 2;
		(void)slice_to_cstr(SLICE("batch"), u->service_tier, sizeof(u->service_tier));
		u->input_tokens = up_to(strlen(text) + 40);
		u->output_tokens = up_to(max + n);
		return API_BATCH_SUBMIT;
	default:
		(void)snprintf(body, size, "{\"query\":\"%s\",\"documents\":[\"%s\",\"b\",\"c\"]}", text, text);
		*ret_model = "rerank";
		u->search_units = 1;
		return API_COHERE_UNITS;
	}
}

static void test_no_bill_is_over_its_bound(void **state)
{
	struct price_book *b = book_of(book_json);
	char body[600];
	int i;

	(void)state;
	srand(7);
	for (i = 0; i < 20000; i++) {
		int64_t at_s = AT_2026_01_01 + rand() % (200 * 86400), nanousd;
		const char *name;
		struct usage u;
		enum api_kind kind = random_call(body, sizeof(body), &name, &u);
		struct request_info q = scan(kind, body);
		const struct price_model *model = find(b, name);
		struct bound r = upper(model, kind, &q, at_s);
		struct price_terms terms;
		struct quantities n;
		struct cost_sum sum;

		usage_quantities(&u, &n);
		usage_terms(&u, at_s, false, &terms);
		assert_int_equal(price_cost(model, &n, &terms, &sum), BUR_OK);
		assert_int_equal(cost_ceil_nanousd(&sum, &nanousd), BUR_OK);
		if (nanousd > r.worst_nanousd)
			fail_msg("%s: %lld over %lld", body, (long long)nanousd, (long long)r.worst_nanousd);
	}
	price_book_unref(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bound),
	    cmocka_unit_test(test_bound_media),
	    cmocka_unit_test(test_bound_rows),
	    cmocka_unit_test(test_bound_refusals),
	    cmocka_unit_test(test_bound_covers_cost),
	    cmocka_unit_test(test_pictures_drawn),
	    cmocka_unit_test(test_speech_and_sound),
	    cmocka_unit_test(test_documents),
	    cmocka_unit_test(test_batches),
	    cmocka_unit_test(test_tools_with_a_limit),
	    cmocka_unit_test(test_many_prompts),
	    cmocka_unit_test(test_free_and_unknown),
	    cmocka_unit_test(test_inline_picture),
	    cmocka_unit_test(test_tighten),
	    cmocka_unit_test(test_no_bill_is_over_its_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
