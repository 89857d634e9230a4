/* meter_reqscan_test - what bounds a call, what is refused, and the one edit; the same however the bytes are split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "meter/reqscan.h"

static int scan(struct reqscan *s, enum api_kind kind, const char *body, size_t n, size_t piece)
{
	size_t i, k;

	reqscan_init(s, kind);
	for (i = 0; i < n; i += k) {
		k = piece < n - i ? piece : n - i;
		if (reqscan_feed(s, body + i, k) < 0)
			break;
	}
	return reqscan_finish(s);
}

/* Whole, bytewise and in threes must agree; the first is kept. */
static int scan_all(struct reqscan *s, enum api_kind kind, const char *body)
{
	size_t n = strlen(body), piece;
	int r = scan(s, kind, body, n, n + 1);
	struct reqscan other;

	for (piece = 1; piece <= 3; piece++) {
		assert_int_equal(scan(&other, kind, body, n, piece), r);
		assert_int_equal(other.error, s->error);
		assert_string_equal(other.error_key, s->error_key);
		if (r == BUR_OK)
			assert_memory_equal(&other.info, &s->info, sizeof(s->info));
	}
	return r;
}

/* With options; the result of the last of three splits. */
static struct request_info good_with(const struct reqscan_options *o, const char *body)
{
	static struct reqscan s;
	struct request_info first = {0};
	size_t n = strlen(body), piece, i, k;
	char text[256];

	for (piece = n + 1; piece > 0; piece = piece > 3 ? 3 : piece - 1) {
		memset(&s, 0x5a, sizeof(s));
		reqscan_begin(&s, o);
		for (i = 0; i < n; i += k) {
			k = piece < n - i ? piece : n - i;
			if (reqscan_feed(&s, body + i, k) < 0)
				break;
		}
		if (reqscan_finish(&s) < 0)
			fail_msg("%s: %s", body, reqscan_error_text(&s, text, sizeof(text)));
		if (piece > n)
			first = s.info;
		else
			assert_memory_equal(&first, &s.info, sizeof(first));
	}
	return s.info;
}

static struct request_info invoke(const char *model, const char *body)
{
	return good_with(&(struct reqscan_options){.kind = API_INVOKE, .model = slice_of(model)}, body);
}

static struct request_info good(enum api_kind kind, const char *body)
{
	struct reqscan s;
	char text[256];

	if (scan_all(&s, kind, body) < 0)
		fail_msg("%s: %s", body, reqscan_error_text(&s, text, sizeof(text)));
	return s.info;
}

static void bad(enum api_kind kind, const char *body, enum reqscan_error error, const char *key)
{
	struct reqscan s;
	char text[256];

	if (scan_all(&s, kind, body) == BUR_OK)
		fail_msg("accepted: %s", body);
	if (s.error != error || strcmp(s.error_key, key) != 0)
		fail_msg("%s: error %d, key %s", body, s.error, s.error_key);
	assert_true(strlen(reqscan_error_text(&s, text, sizeof(text))) > 10);
}

static void test_chat(void **state)
{
	struct request_info q;

	(void)state;
	q = good(API_CHAT,
		 "{\"model\":\"gpt-5.6-sol\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"user\","
		 "\"content\":[{\"type\":\"text\",\"text\":\"x\"}]}],\"max_tokens\":5,\"max_completion_tokens\":40,"
		 "\"n\":3,\"service_tier\":\"priority\"}");
	assert_string_equal(q.model, "gpt-5.6-sol");
	assert_int_equal(q.messages, 2);
	assert_true(q.has_max_out);
	assert_int_equal(q.max_out, 40);
	assert_int_equal(q.candidates, 3);
	assert_string_equal(q.service_tier, "priority");
	assert_false(q.stream || q.hosted_tools || q.remote_parts || q.stored_context || q.tools);
	q = good(API_CHAT, "{\"mod\\u0065l\":\"a\",\"n\":0,\"max_tokens\":null,\"stream\":null}");
	assert_string_equal(q.model, "a");
	assert_int_equal(q.candidates, 1);
	assert_false(q.has_max_out);
	q = good(API_CHAT, " {\"max_tokens\":0 } ");
	assert_false(q.has_max_out);
}

static void test_parts(void **state)
{
	struct request_info q;

	(void)state;
	q = good(API_CHAT,
		 "{\"messages\":[{\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,"
		 "AAAA\"}},{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"x\",\"format\":\"wav\"}}]}]}");
	assert_int_equal(q.images, 1);
	assert_int_equal(q.audios, 1);
	assert_int_equal(q.image_bytes, 26);
	assert_false(q.remote_parts);
	q = good(
	    API_CHAT,
	    "{\"messages\":[{\"content\":[{\"image_url\":{\"url\":\"https://x\"},\"type\":\"image_url\"},"
	    "{\"type\":\"file\",\"file\":{\"file_id\":\"f\"}}]},{\"role\":\"assistant\",\"audio\":{\"id\":\"a\"}}]}");
	assert_int_equal(q.images, 1);
	assert_int_equal(q.files, 1);
	assert_int_equal(q.audios, 1);
	assert_int_equal(q.image_bytes, 0);
	assert_true(q.remote_parts);
	q = good(
	    API_RESPONSES,
	    "{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_image\",\"image_url\":\"https://x\"},"
	    "{\"type\":\"input_file\",\"file_url\":\"https://y\"}]},{\"type\":\"function_call_output\","
	    "\"output\":[{\"type\":\"input_image\",\"file_id\":\"f\"}]},{\"type\":\"item_reference\",\"id\":\"i\"},"
	    "{\"type\":\"computer_call_output\",\"output\":{\"type\":\"computer_screenshot\",\"image_url\":\"data:a\"}}"
	    "]}");
	assert_int_equal(q.images, 3);
	assert_int_equal(q.files, 1);
	assert_int_equal(q.messages, 4);
	assert_true(q.remote_parts && q.stored_context);
	q = good(API_MESSAGES,
		 "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"document\",\"source\":{\"type\":\"text\","
		 "\"data\":\"x\"}},{\"type\":\"document\",\"source\":{\"type\":\"base64\",\"data\":\"x\"}},"
		 "{\"type\":\"tool_result\",\"content\":[{\"type\":\"image\",\"source\":{\"data\":\"1234\",\"type\":"
		 "\"base64\"}}]},{\"type\":\"tool_use\",\"input\":{\"type\":\"image\",\"type\":\"file\"}}]}]}");
	assert_int_equal(q.files, 1);
	assert_int_equal(q.images, 1);
	assert_int_equal(q.image_bytes, 4);
	assert_false(q.remote_parts);
	q = good(API_GENERATE,
		 "{\"contents\":[{\"parts\":[{\"inlineData\":{\"data\":\"12345\",\"mimeType\":\"image/png\"}},"
		 "{\"inline_data\":{\"mime_type\":\"AUDIO/wav\",\"data\":\"x\"}},{\"inlineData\":{\"data\":\"x\"}},"
		 "{\"inlineData\":{\"mimeType\":\"text/plain\",\"data\":\"xyz\"}},{\"fileData\":{\"fileUri\":\"u\","
		 "\"mimeType\":\"video/mp4\"}},{\"functionResponse\":{\"parts\":[{\"inlineData\":{\"mimeType\":"
		 "\"image/png\",\"data\":\"1\"}}]}}]}]}");
	assert_int_equal(q.images, 2);
	assert_int_equal(q.image_bytes, 6);
	assert_int_equal(q.audios, 1);
	assert_int_equal(q.files, 2);
	assert_true(q.remote_parts);
	assert_int_equal(q.messages, 1);
}

static void test_tools_and_context(void **state)
{
	struct request_info q;

	(void)state;
	q = good(API_RESPONSES,
		 "{\"input\":\"Hi\",\"tools\":[{\"type\":\"function\",\"parameters\":{\"type\":\"web_search\"}}]}");
	assert_true(q.tools);
	assert_false(q.hosted_tools);
	assert_int_equal(q.messages, 1);
	assert_true(good(API_RESPONSES, "{\"tools\":[{\"type\":\"web_search\"}]}").hosted_tools);
	assert_true(good(API_RESPONSES, "{\"tools\":[{\"type\":\"mcp\"}]}").hosted_tools);
	assert_true(good(API_CHAT, "{\"web_search_options\":{}}").hosted_tools);
	assert_false(good(API_CHAT, "{\"web_search_options\":null}").hosted_tools);
	assert_false(
	    good(API_MESSAGES, "{\"tools\":[{\"name\":\"x\",\"input_schema\":{}},{\"type\":\"bash_20250124\"}]}")
		.hosted_tools);
	assert_true(good(API_MESSAGES, "{\"tools\":[{\"type\":\"web_search_20250305\"}]}").hosted_tools);
	assert_true(good(API_MESSAGES, "{\"mcp_servers\":[{\"url\":\"u\"}]}").hosted_tools);
	assert_false(good(API_MESSAGES, "{\"mcp_servers\":[]}").hosted_tools);
	assert_true(good(API_MESSAGES, "{\"fallbacks\":[{\"model\":\"u\"}]}").hosted_tools);
	assert_true(
	    good(API_MESSAGES, "{\"context_management\":{\"edits\":[{\"type\":\"compact_20260112\"}]}}").hosted_tools);
	assert_false(
	    good(API_MESSAGES, "{\"context_management\":{\"edits\":[{\"type\":\"clear_tool_uses\"}]}}").hosted_tools);
	assert_false(
	    good(API_GENERATE, "{\"tools\":[{\"functionDeclarations\":[{\"name\":\"googleSearch\"}]}]}").hosted_tools);
	assert_true(good(API_GENERATE, "{\"tools\":[{\"googleSearch\":{}}]}").hosted_tools);
	assert_true(good(API_GENERATE, "{\"tools\":[{\"google_search\":{},\"codeExecution\":{}}]}").hosted_tools);
	assert_true(good(API_RESPONSES, "{\"previous_response_id\":\"r\"}").stored_context);
	assert_false(good(API_RESPONSES, "{\"previous_response_id\":null}").stored_context);
	assert_true(good(API_RESPONSES, "{\"conversation\":{\"id\":\"c\"}}").stored_context);
	assert_true(good(API_RESPONSES, "{\"prompt\":{\"id\":\"p\"}}").stored_context);
	assert_true(good(API_GENERATE, "{\"cachedContent\":\"c\"}").stored_context);
	assert_true(good(API_RESPONSES, "{\"background\":true}").background);
	assert_true(good(API_CHAT, "{\"modalities\":[\"text\",\"audio\"]}").audio_output);
	assert_true(good(API_GENERATE, "{\"generationConfig\":{\"responseModalities\":[\"IMAGE\"]}}").audio_output);
	assert_true(good(API_CHAT, "{\"prediction\":{\"type\":\"content\"}}").prediction);
}

static void test_anthropic_and_gemini(void **state)
{
	struct request_info q;

	(void)state;
	q = good(
	    API_MESSAGES,
	    "{\"model\":\"claude-opus-5-5\",\"max_tokens\":1024,\"speed\":\"fast\",\"inference_geo\":\"us\","
	    "\"system\":[{\"type\":\"text\",\"text\":\"x\",\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"}}],"
	    "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"stream\":true}");
	assert_true(q.cache_marks && q.cache_marks_1h && q.stream);
	assert_false(q.has_usage_edit);
	assert_string_equal(q.speed, "fast");
	assert_string_equal(q.inference_geo, "us");
	assert_int_equal(q.messages, 2);
	q = good(API_MESSAGES, "{\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"5m\"}}");
	assert_true(q.cache_marks && !q.cache_marks_1h);
	q = good(API_GENERATE,
		 "{\"model\":\"ignored\",\"generation_config\":{\"max_output_tokens\":\"77\",\"candidateCount\":2},"
		 "\"systemInstruction\":{\"parts\":[{\"text\":\"x\"}]},\"contents\":{\"parts\":[]}}");
	assert_string_equal(q.model, "");
	assert_int_equal(q.max_out, 77);
	assert_int_equal(q.candidates, 2);
	assert_int_equal(q.messages, 2);
}

static void test_embeddings(void **state)
{
	struct request_info q;

	(void)state;
	q = good(API_EMBEDDINGS, "{\"model\":\"text-embedding-3-small\",\"input\":[[1,2,3],[4]]}");
	assert_string_equal(q.model, "text-embedding-3-small");
	q = good(API_EMBEDDINGS, "{\"input\":\"x\",\"model\":\"m\"}");
	assert_int_equal(q.messages, 1);
}

static void test_duplicates(void **state)
{
	(void)state;
	bad(API_CHAT, "{\"model\":\"a\",\"model\":\"b\"}", REQSCAN_DUPLICATE_KEY, "model");
	bad(API_CHAT, "{\"model\":\"a\",\"\\u006dodel\":\"b\"}", REQSCAN_DUPLICATE_KEY, "model");
	bad(API_CHAT, "{\"max_tokens\":1,\"max_tokens\":2}", REQSCAN_DUPLICATE_KEY, "max_tokens");
	bad(API_CHAT, "{\"stream_options\":{\"include_usage\":true,\"include_usage\":false}}", REQSCAN_DUPLICATE_KEY,
	    "include_usage");
	bad(API_CHAT, "{\"messages\":[],\"messages\":[]}", REQSCAN_DUPLICATE_KEY, "messages");
	bad(API_CHAT, "{\"messages\":[{\"content\":[{\"type\":\"text\",\"type\":\"image_url\"}]}]}",
	    REQSCAN_DUPLICATE_KEY, "type");
	bad(API_GENERATE, "{\"generationConfig\":{\"maxOutputTokens\":1,\"max_output_tokens\":2}}",
	    REQSCAN_DUPLICATE_KEY, "max_output_tokens");
	bad(API_GENERATE, "{\"generationConfig\":{},\"generation_config\":{}}", REQSCAN_DUPLICATE_KEY,
	    "generation_config");
	bad(API_RESPONSES, "{\"background\":false,\"background\":true}", REQSCAN_DUPLICATE_KEY, "background");
	bad(API_MESSAGES, "{\"tools\":[],\"tools\":[]}", REQSCAN_DUPLICATE_KEY, "tools");
	/* keys nobody interprets may stand twice, and the same key at different places is no duplicate */
	(void)good(API_CHAT, "{\"x\":1,\"x\":2,\"metadata\":{\"model\":1,\"model\":2}}");
	(void)good(API_CHAT, "{\"messages\":[{\"content\":\"\"},{\"content\":\"\"}],\"model\":\"m\"}");
}

/* Readers in Go and in C# take a key in any case. */
static void test_keys_in_other_case(void **state)
{
	(void)state;
	bad(API_COHERE_CHAT, "{\"max_tokens\":1,\"Max_Tokens\":2}", REQSCAN_KEY_CASE, "Max_Tokens");
	bad(API_CHAT, "{\"model\":\"a\",\"MODEL\":\"b\"}", REQSCAN_KEY_CASE, "MODEL");
	bad(API_CHAT, "{\"max_to\\u212aens\":1}", REQSCAN_KEY_CASE, "max_to\u212aens");
	bad(API_CHAT, "{\"me\u017fsages\":[]}", REQSCAN_KEY_CASE, "me\u017fsages");
	bad(API_OLLAMA, "{\"options\":{\"Num_Predict\":1}}", REQSCAN_KEY_CASE, "Num_Predict");
	bad(API_GENERATE, "{\"generationConfig\":{\"maxoutputtokens\":1}}", REQSCAN_KEY_CASE, "maxoutputtokens");
	bad(API_CHAT, "{\"messages\":[{\"content\":[{\"Type\":\"image_url\"}]}]}", REQSCAN_KEY_CASE, "Type");
	(void)good(API_CHAT, "{\"Role\":1,\"metadata\":{\"Model\":\"x\"},\"messages\":[{\"Name\":\"x\"}]}");
	(void)good(API_CHAT, "{\"tools\":[{\"type\":\"function\",\"function\":{\"parameters\":{\"Type\":1}}}]}");
	(void)good(API_PREDICT, "{\"instances\":[{\"Content\":\"x\"}]}");
	(void)good(API_GENERATE, "{\"tools\":[{\"computerUse\":{}}]}");
	(void)good(API_CHAT, "{\"max_tokens\u00e4\":1,\"\u017f\":1,\"\":2}");
}

static void test_what_is_done_elsewhere(void **state)
{
	struct reqscan_options o = {.kind = API_CHAT, .provider = SLICE("openrouter")};
	struct request_info q;

	(void)state;
	assert_true(good_with(&o, "{\"model\":\"a/b:nitro\"}").hosted & HOSTED_OTHER);
	assert_true(good_with(&o, "{\"provider\":{\"sort\":\"throughput\"}}").hosted & HOSTED_OTHER);
	assert_true(good_with(&o, "{\"preset\":\"p\"}").hosted & HOSTED_OTHER);
	assert_true(good_with(&o, "{\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"}}").cache_marks_1h);
	assert_false(good_with(&o, "{\"model\":\"a/b:free\"}").hosted_tools);
	o.provider = SLICE("groq");
	q = good_with(&o, "{\"tools\":[{\"type\":\"code_interpreter\",\"max_uses\":0}]}");
	assert_true(q.hosted_tools && !q.hosted_bounded);
	o = (struct reqscan_options){.kind = API_RESPONSES, .provider = SLICE("xai")};
	assert_false(good_with(&o, "{\"tools\":[{\"type\":\"web_search\"}],\"max_tool_calls\":1}").hosted_bounded);
	assert_true(good(API_RESPONSES, "{\"prompt\":{\"id\":\"pmpt_1\"}}").hosted & HOSTED_OTHER);
	assert_true(good(API_CHAT, "{\"data_sources\":[{\"type\":\"azure_search\"}]}").hosted & HOSTED_OTHER);
	q = good(API_CHAT, "{\"agent_id\":\"ag:1\"}");
	assert_true(q.agent && q.stored_context && q.hosted & HOSTED_OTHER);
	q = good(API_CONVERSE, "{\"inferenceConfig\":{\"maxTokens\":16},\"additionalModelRequestFields\":"
			       "{\"inferenceConfig\":{\"max_new_tokens\":4000}}}");
	assert_int_equal(q.max_out, 4000);
	q = good(API_CONVERSE, "{\"additionalModelRequestFields\":{\"inferenceConfig\":{\"maxTokens\":1}}}");
	assert_false(q.has_max_out);
}

static void test_bad_values(void **state)
{
	static char deep[400];

	(void)state;
	bad(API_CHAT, "{\"model\":1}", REQSCAN_BAD_VALUE, "model");
	bad(API_CHAT, "{\"model\":\"\"}", REQSCAN_BAD_VALUE, "model");
	bad(API_CHAT, "{\"model\":\"a\\u0000b\"}", REQSCAN_BAD_VALUE, "model");
	bad(API_CHAT, "{\"model\":[\"a\"]}", REQSCAN_BAD_VALUE, "model");
	bad(API_CHAT, "{\"max_tokens\":-1}", REQSCAN_BAD_VALUE, "max_tokens");
	bad(API_CHAT, "{\"max_tokens\":1.5}", REQSCAN_BAD_VALUE, "max_tokens");
	bad(API_CHAT, "{\"max_tokens\":1e3}", REQSCAN_BAD_VALUE, "max_tokens");
	bad(API_CHAT, "{\"max_tokens\":\"10\"}", REQSCAN_BAD_VALUE, "max_tokens");
	bad(API_CHAT, "{\"max_tokens\":99999999999999999999}", REQSCAN_BAD_VALUE, "max_tokens");
	bad(API_CHAT, "{\"n\":{}}", REQSCAN_BAD_VALUE, "n");
	bad(API_CHAT, "{\"stream\":\"true\"}", REQSCAN_BAD_VALUE, "stream");
	bad(API_CHAT, "{\"stream_options\":[]}", REQSCAN_BAD_VALUE, "stream_options");
	bad(API_CHAT, "{\"stream_options\":true}", REQSCAN_BAD_VALUE, "stream_options");
	bad(API_CHAT, "{\"stream_options\":{\"include_usage\":1}}", REQSCAN_BAD_VALUE, "include_usage");
	bad(API_CHAT, "{\"service_tier\":1}", REQSCAN_BAD_VALUE, "service_tier");
	bad(API_CHAT, "", REQSCAN_NOT_JSON, "");
	bad(API_CHAT, "[]", REQSCAN_NOT_JSON, "");
	bad(API_CHAT, "\"x\"", REQSCAN_NOT_JSON, "");
	bad(API_CHAT, "{\"model\":\"a\"", REQSCAN_NOT_JSON, "");
	bad(API_CHAT, "{\"model\":\"a\"}{}", REQSCAN_NOT_JSON, "");
	bad(API_CHAT, "\xef\xbb\xbf{}", REQSCAN_NOT_JSON, "");
	bad(API_CHAT, "{\"x\":\"\xff\"}", REQSCAN_NOT_JSON, "");
	bad(API_CHAT, "{\"x\":01}", REQSCAN_NOT_JSON, "");
	memset(deep, '[', 200);
	memcpy(deep, "{\"x\":", 5);
	bad(API_CHAT, deep, REQSCAN_TOO_DEEP, "");
}

static void test_long_model(void **state)
{
	char body[300];

	(void)state;
	(void)snprintf(body, sizeof(body), "{\"model\":\"%0191d\"}", 1);
	(void)good(API_CHAT, body);
	(void)snprintf(body, sizeof(body), "{\"model\":\"%0192d\"}", 1);
	bad(API_CHAT, body, REQSCAN_BAD_VALUE, "model");
}

static void edit_gives(const char *body, const char *want)
{
	struct request_info q = good(API_CHAT, body);
	char text[512];

	if (!want) {
		assert_false(q.has_usage_edit);
		return;
	}
	assert_true(q.has_usage_edit);
	(void)snprintf(text, sizeof(text), "%.*s%s%s", (int)q.usage_edit.from, body, q.usage_edit.text,
		       body + q.usage_edit.to);
	assert_string_equal(text, want);
	q = good(API_CHAT, text); /* once edited, nothing is left to edit */
	assert_true(q.include_usage && !q.has_usage_edit);
}

static void test_usage_edit(void **state)
{
	(void)state;
	edit_gives(" {\"stream\":true}", " {\"stream_options\":{\"include_usage\":true},\"stream\":true}");
	edit_gives("{\"stream\":true,\"stream_options\":{}}",
		   "{\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
	edit_gives("{\"stream_options\": { \"a\":1},\"stream\":true}",
		   "{\"stream_options\": {\"include_usage\":true, \"a\":1},\"stream\":true}");
	edit_gives("{\"stream\":true,\"stream_options\":null}",
		   "{\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
	edit_gives("{\"stream\":true,\"stream_options\":{\"include_usage\": false }}",
		   "{\"stream\":true,\"stream_options\":{\"include_usage\": true }}");
	edit_gives("{\"stream\":true,\"stream_options\":{\"include_usage\":null}}",
		   "{\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
	edit_gives("{\"stream\":true,\"stream_options\":{\"include_usage\":true}}", NULL);
	edit_gives("{\"stream\":false}", NULL);
	edit_gives("{}", NULL);
	/* a key of that name elsewhere is not the option */
	edit_gives("{\"stream\":true,\"metadata\":{\"stream_options\":{\"include_usage\":true}}}",
		   "{\"stream_options\":{\"include_usage\":true},\"stream\":true,\"metadata\":{\"stream_options\":{"
		   "\"include_usage\":true}}}");
}

/* --- the other vendors and kinds ------------------------------------------------------------------------------------
 */

static void test_completions(void **state)
{
	struct request_info q;

	(void)state;
	q = good(API_COMPLETIONS, "{\"model\":\"m\",\"prompt\":[\"a\",\"b\"],\"n\":2,\"best_of\":4,\"max_tokens\":16}");
	assert_int_equal(q.candidates, 4);
	assert_int_equal(q.max_out, 16);
	assert_int_equal(q.messages, 2);
	q = good(API_COMPLETIONS, "{\"prompt\":[[1,2],[3]],\"best_of\":1,\"n\":3,\"stream\":true}");
	assert_int_equal(q.candidates, 3);
	assert_int_equal(q.messages, 2);
	assert_true(q.has_usage_edit && !q.has_max_out);
	q = good_with(&(struct reqscan_options){.kind = API_COMPLETIONS, .provider = SLICE("openai")},
		      "{\"prompt\":\"x\"}");
	assert_true(q.has_max_out);
	assert_int_equal(q.max_out, 16);
	q = good_with(&(struct reqscan_options){.kind = API_COMPLETIONS, .provider = SLICE("openai")},
		      "{\"prompt\":\"x\",\"max_tokens\":null}");
	assert_false(q.has_max_out);
	bad(API_COMPLETIONS, "{\"best_of\":1,\"best_of\":2}", REQSCAN_DUPLICATE_KEY, "best_of");
}

/* A name of the bound that the vendor does not know bounds nothing. */
static void test_bound_names(void **state)
{
	struct reqscan_options o = {.kind = API_CHAT, .provider = SLICE("deepseek")};

	(void)state;
	assert_false(good_with(&o, "{\"max_completion_tokens\":5}").has_max_out);
	assert_int_equal(good_with(&o, "{\"max_tokens\":5,\"max_completion_tokens\":50}").max_out, 50);
	o.provider = SLICE("openai");
	assert_int_equal(good_with(&o, "{\"max_completion_tokens\":5}").max_out, 5);
}

static void test_images(void **state)
{
	struct request_info q;

	(void)state;
	q = good(API_IMAGES,
		 "{\"model\":\"gpt-image-2\",\"prompt\":\"cat\",\"n\":2,\"size\":\"1024x1536\",\"quality\":\"high\","
		 "\"stream\":true,\"partial_images\":3}");
	assert_int_equal(q.candidates, 2);
	assert_int_equal(q.width, 1024);
	assert_int_equal(q.height, 1536);
	assert_int_equal(q.quality, QUALITY_HIGH);
	assert_int_equal(q.partial_images, 3);
	assert_true(q.stream && !q.has_usage_edit);
	q = good(
	    API_IMAGES,
	    "{\"size\":\"auto\",\"quality\":\"ultra\",\"images\":[{\"image_url\":\"https://x\"},{\"file_id\":\"f\"}]}");
	assert_int_equal(q.width, 0);
	assert_int_equal(q.quality, QUALITY_OTHER);
	assert_int_equal(q.images, 2);
	assert_true(q.remote_parts);
	bad(API_IMAGES, "{\"n\":1,\"n\":10}", REQSCAN_DUPLICATE_KEY, "n");
	bad(API_IMAGES, "{\"partial_images\":300}", REQSCAN_BAD_VALUE, "partial_images");
	bad(API_IMAGES, "{\"size\":{}}", REQSCAN_BAD_VALUE, "size");
}

static void test_speech(void **state)
{
	struct request_info q;

	(void)state;
	q = good(
	    API_SPEECH,
	    "{\"model\":\"tts-1\",\"input\":\"Gr\\u00fc\303\237e, \\ud83d\\ude00\\n\\ud800x\",\"voice\":\"alloy\"}");
	assert_int_equal(q.input_chars, 11);
	assert_false(q.stream);
	q = good(API_SPEECH, "{\"input\":\"\",\"stream_format\":\"sse\"}");
	assert_int_equal(q.input_chars, 0);
	assert_true(q.stream);
	bad(API_SPEECH, "{\"input\":[\"a\"]}", REQSCAN_BAD_VALUE, "input");
	bad(API_SPEECH, "{\"input\":1}", REQSCAN_BAD_VALUE, "input");
	bad(API_SPEECH, "{\"input\":\"a\",\"input\":\"b\"}", REQSCAN_DUPLICATE_KEY, "input");
}

#define FORM_TYPE SLICE("multipart/form-data; boundary=B")
#define FIELD(name, value) "--B\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" value "\r\n"
#define UPLOAD(name, data)                                                                                             \
	"--B\r\nContent-Disposition: form-data; name=\"" name "\"; filename=\"f\"\r\n\r\n" data "\r\n"

static void bad_form(enum api_kind kind, struct slice type, const char *body, enum reqscan_error error, const char *key)
{
	struct reqscan s;
	struct reqscan_options o = {.kind = kind, .content_type = type};
	size_t i;

	reqscan_begin(&s, &o);
	for (i = 0; body[i]; i++)
		if (reqscan_feed(&s, body + i, 1) < 0)
			break;
	assert_int_equal(reqscan_finish(&s), BUR_INVALID);
	if (s.error != error || strcmp(s.error_key, key) != 0)
		fail_msg("%s: error %d, key %s", body, s.error, s.error_key);
}

static void test_forms(void **state)
{
	struct reqscan_options o = {.kind = API_TRANSCRIPTIONS, .content_type = FORM_TYPE};
	struct request_info q;

	(void)state;
	q = good_with(&o, FIELD("model", "whisper-1") FIELD("response_format", "srt") FIELD("stream", "True")
			      UPLOAD("file", "RIFF....") "--B--\r\n");
	assert_string_equal(q.model, "whisper-1");
	assert_int_equal(q.upload_bytes, 8);
	assert_true(q.plain_answer && q.stream);
	q = good_with(&o, FIELD("model", "m") FIELD("timestamp_granularities[]", "a")
			      FIELD("timestamp_granularities[]", "b") FIELD("file_url", "https://x") "--B--");
	assert_true(q.remote_parts);
	assert_int_equal(q.files, 1);
	o.kind = API_IMAGES;
	q = good_with(&o,
		      FIELD("model", "gpt-image-2") FIELD("n", "3") FIELD("size", "1024x1024") FIELD("quality", "low")
			  FIELD("prompt", "cat") UPLOAD("image[]", "GIF89a\x20\x03\x58\x02\x01")
			      UPLOAD("image[]", "no picture") UPLOAD("mask", "no picture") "--B--\r\n");
	assert_int_equal(q.candidates, 3);
	assert_int_equal(q.images, 3);
	assert_int_equal(q.image_sums.sized, 1);
	assert_int_equal(q.image_sums.patches, 25 * 19);
	assert_int_equal(q.upload_bytes, 31);
	assert_int_equal(q.width, 1024);
	assert_int_equal(q.quality, QUALITY_LOW);

	bad_form(API_TRANSCRIPTIONS, SLICE("application/x-www-form-urlencoded"), "{\"model\":\"a\"}", REQSCAN_NOT_FORM,
		 "");
	bad_form(API_IMAGES, FORM_TYPE, FIELD("model", "a") FIELD("model", "b") "--B--", REQSCAN_DUPLICATE_KEY,
		 "model");
	bad_form(API_IMAGES, FORM_TYPE, UPLOAD("model", "a") "--B--", REQSCAN_BAD_VALUE, "model");
	bad_form(API_IMAGES, FORM_TYPE, FIELD("n", "1.5") "--B--", REQSCAN_BAD_VALUE, "n");
	bad_form(API_IMAGES, FORM_TYPE, FIELD("stream", "perhaps") "--B--", REQSCAN_BAD_VALUE, "stream");
	bad_form(API_IMAGES, FORM_TYPE, FIELD("model", "") "--B--", REQSCAN_BAD_VALUE, "model");
	bad_form(API_IMAGES, FORM_TYPE, FIELD("n", "1"), REQSCAN_NOT_FORM, "");
	bad_form(API_IMAGES, SLICE("multipart/form-data"), "", REQSCAN_NOT_FORM, "");
	bad_form(API_CHAT, FORM_TYPE, "--B--", REQSCAN_NOT_FORM, "");
	bad_form(API_IMAGES, SLICE("application/json"), "--B--", REQSCAN_NOT_JSON, "");
}

static void test_batches(void **state)
{
	struct request_info q;

	(void)state;
	q = good(API_BATCH_SUBMIT,
		 "{\"input_file_id\":\"f\",\"endpoint\":\"/v1/chat/completions\",\"completion_window\":\"24h\"}");
	assert_true(q.batch_file);
	assert_int_equal(q.batch_items, 0);
	q = good(API_BATCH_SUBMIT, "{\"requests\":[{\"custom_id\":\"a\",\"params\":{\"model\":\"m\",\"max_tokens\":10,"
				   "\"messages\":[{\"role\":\"user\","
				   "\"content\":\"x\"}]}},{\"custom_id\":\"b\",\"params\":{\"model\":\"m\",\"max_"
				   "tokens\":32,\"messages\":[]}}]}");
	assert_string_equal(q.model, "m");
	assert_int_equal(q.batch_items, 2);
	assert_true(q.has_max_out && !q.mixed_models && !q.batch_file);
	assert_int_equal(q.max_out, 42);
	assert_int_equal(q.messages, 1);
	q = good(API_BATCH_SUBMIT,
		 "{\"requests\":[{\"params\":{\"model\":\"m\",\"max_tokens\":10}},{\"params\":{\"model\":\"n\"}}]}");
	assert_true(q.mixed_models && !q.has_max_out);
	assert_int_equal(q.batch_uncapped, 1);
	q = good(API_BATCH_SUBMIT, "{\"batch\":{\"input_config\":{\"requests\":{\"requests\":[{\"request\":{"
				   "\"contents\":[{\"parts\":[{\"text\":\"x\"}]}],"
				   "\"generationConfig\":{\"maxOutputTokens\":\"7\",\"candidateCount\":3}}},{"
				   "\"request\":{\"contents\":[]}}]}}}}");
	assert_int_equal(q.batch_items, 2);
	assert_int_equal(q.max_out, 21);
	assert_int_equal(q.batch_uncapped, 1);
	assert_true(good(API_BATCH_SUBMIT, "{\"batch\":{\"inputConfig\":{\"fileName\":\"files/1\"}}}").batch_file);
	bad(API_BATCH_SUBMIT, "{\"requests\":[{\"params\":{\"max_tokens\":1,\"max_tokens\":2}}]}",
	    REQSCAN_DUPLICATE_KEY, "max_tokens");
}

static void test_google(void **state)
{
	struct request_info q;

	(void)state;
	q = good(API_INTERACTIONS,
		 "{\"model\":\"g\",\"input\":[{\"type\":\"image\",\"data\":\"R0lGODlhIANYAgAAAAAA\",\"mime_type\":"
		 "\"image/gif\"}],\"generation_config\":{\"max_output_tokens\":9},\"stream\":true,"
		 "\"previous_interaction_id\":\"i\"}");
	assert_string_equal(q.model, "g");
	assert_int_equal(q.max_out, 9);
	assert_int_equal(q.images, 1);
	assert_int_equal(q.image_sums.sized, 1);
	assert_true(q.stream && q.stored_context && !q.hosted_tools);
	assert_true(good(API_INTERACTIONS, "{\"agent\":\"deep-research\"}").hosted & HOSTED_OTHER);
	assert_true(good(API_INTERACTIONS, "{\"tools\":[{\"type\":\"google_search\"}]}").hosted_tools);
	q = good(API_EMBED_CONTENT, "{\"requests\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]}},{\"content\":{}}]}");
	assert_int_equal(q.messages, 2);
	assert_int_equal(good(API_EMBED_CONTENT, "{\"content\":{\"parts\":[]}}").messages, 1);
	assert_int_equal(good(API_PREDICT, "{\"instances\":[{\"prompt\":\"x\"}]}").candidates, 4);
	q = good(API_PREDICT, "{\"instances\":[{\"prompt\":\"x\",\"image\":{\"gcsUri\":\"gs://"
			      "x\"}}],\"parameters\":{\"sampleCount\":2}}");
	assert_int_equal(q.candidates, 2);
	assert_int_equal(q.images, 1);
	assert_true(q.remote_parts);
	assert_true(good(API_GENERATE, "{\"generationConfig\":{\"mediaResolution\":\"MEDIA_RESOLUTION_LOW\"}}")
			.media_resolution);
}

static void test_bedrock(void **state)
{
	struct request_info q;

	(void)state;
	q = good(API_CONVERSE,
		 "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"x\"},{\"image\":{\"format\":\"gif\","
		 "\"source\":{\"bytes\":"
		 "\"R0lGODlhIANYAgAAAAAA\"}}},{\"document\":{\"name\":\"d\",\"source\":{\"text\":\"x\"}}},{"
		 "\"document\":{\"source\":"
		 "{\"bytes\":\"x\"}}},{\"video\":{\"source\":{\"s3Location\":{\"uri\":\"s3://"
		 "x\"}}}},{\"cachePoint\":{\"type\":\"default\","
		 "\"ttl\":\"1h\"}},{\"toolResult\":{\"content\":[{\"image\":{\"source\":{\"bytes\":\"AAAA\"}}}]}}]}],"
		 "\"system\":[{\"text\":"
		 "\"s\"}],\"inferenceConfig\":{\"maxTokens\":512},\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":"
		 "\"t\"}}]},"
		 "\"performanceConfig\":{\"latency\":\"optimized\"},\"serviceTier\":{\"type\":\"priority\"}}");
	assert_int_equal(q.max_out, 512);
	assert_int_equal(q.images, 2);
	assert_int_equal(q.image_sums.sized, 1);
	assert_int_equal(q.image_bytes, 24);
	assert_int_equal(q.files, 2);
	assert_true(q.cache_marks && q.cache_marks_1h && q.tools && q.remote_parts && !q.hosted_tools);
	assert_string_equal(q.speed, "optimized");
	assert_string_equal(q.service_tier, "priority");
	assert_true(good(API_CONVERSE, "{\"toolConfig\":{\"tools\":[{\"systemTool\":{\"name\":\"nova_grounding\"}}]}}")
			.hosted_tools);
	assert_true(good(API_CONVERSE, "{\"promptVariables\":{\"x\":{\"text\":\"y\"}}}").stored_context);
	/* what is passed on can only raise the bound */
	assert_false(good(API_CONVERSE, "{\"additionalModelRequestFields\":{\"max_tokens\":5}}").has_max_out);
	assert_int_equal(
	    good(API_CONVERSE,
		 "{\"additionalModelRequestFields\":{\"max_tokens\":5},\"inferenceConfig\":{\"maxTokens\":2}}")
		.max_out,
	    5);

	assert_int_equal(invoke("us.anthropic.claude-opus-5-5-v1:0", "{\"max_tokens\":100}").max_out, 100);
	assert_int_equal(invoke("meta.llama4-maverick-17b-instruct-v1:0", "{\"max_gen_len\":128}").max_out, 128);
	assert_int_equal(
	    invoke("amazon.titan-text-premier-v1:0", "{\"textGenerationConfig\":{\"maxTokenCount\":64}}").max_out, 64);
	assert_int_equal(invoke("eu.amazon.nova-pro-v1:0", "{\"inferenceConfig\":{\"max_new_tokens\":7}}").max_out, 7);
	assert_int_equal(
	    invoke("arn:aws:bedrock:us-east-1:1:inference-profile/us.mistral.x", "{\"max_tokens\":8}").max_out, 8);
	assert_int_equal(invoke("openai.gpt-oss-120b", "{\"max_completion_tokens\":9}").max_out, 9);
	assert_int_equal(invoke("cohere.command-r", "{\"max_tokens\":3,\"num_generations\":4}").candidates, 4);
	/* a name that belongs to another vendor bounds nothing */
	assert_false(invoke("meta.llama4", "{\"max_tokens\":1}").has_max_out);
	assert_false(
	    invoke("amazon.titan-text", "{\"max_tokens\":1,\"inferenceConfig\":{\"maxTokens\":1}}").has_max_out);
	assert_false(invoke("newvendor.model", "{\"max_tokens\":1}").has_max_out);
	assert_false(good(API_INVOKE, "{\"max_tokens\":1}").has_max_out);
}

static void test_cohere_ocr_ollama(void **state)
{
	struct request_info q;

	(void)state;
	q = good(API_COHERE_CHAT, "{\"model\":\"command-a\",\"max_tokens\":3,\"messages\":[{\"role\":\"user\","
				  "\"content\":\"x\"}],\"stream\":true}");
	assert_int_equal(q.max_out, 3);
	assert_true(q.stream && !q.has_usage_edit);
	q = good(API_COHERE_UNITS, "{\"model\":\"rerank-v4\",\"query\":\"q\",\"documents\":[\"a\",{\"text\":\"b\"}]}");
	assert_int_equal(q.documents, 2);
	q = good(API_COHERE_UNITS, "{\"model\":\"e\",\"texts\":[\"a\",\"b\"],\"images\":[\"data:image/"
				   "gif;base64,R0lGODlhIANYAgAAAAAA\",\"https://x\"]}");
	assert_int_equal(q.messages, 2);
	assert_int_equal(q.images, 2);
	assert_int_equal(q.image_sums.sized, 1);
	assert_true(q.remote_parts);
	assert_true(good(API_COHERE_UNITS, "{\"connectors\":[{\"id\":\"web-search\"}]}").hosted_tools);
	q = good(
	    API_OCR,
	    "{\"model\":\"mistral-ocr-latest\",\"document\":{\"type\":\"document_url\",\"document_url\":\"https://x\"},"
	    "\"pages\":[0,1,2],\"document_annotation_format\":{},\"bbox_annotation_format\":null}");
	assert_int_equal(q.pages, 3);
	assert_int_equal(q.files, 1);
	assert_true(q.annotations);
	assert_int_equal(good(API_OCR, "{\"pages\":\"0-5\"}").pages, 0);
	q = good(API_OLLAMA, "{\"model\":\"llama4\",\"messages\":[{\"role\":\"user\",\"content\":\"x\",\"images\":["
			     "\"R0lGODlhIANYAgAAAAAA\"]}],"
			     "\"options\":{\"num_predict\":77}}");
	assert_true(q.stream && !q.remote_parts);
	assert_int_equal(q.max_out, 77);
	assert_int_equal(q.images, 1);
	assert_int_equal(q.image_sums.sized, 1);
	assert_false(good(API_OLLAMA, "{\"stream\":false}").stream);
	assert_true(good(API_OLLAMA, "{\"stream\":null}").stream);
	assert_false(good(API_OLLAMA, "{\"options\":{\"num_predict\":-1}}").has_max_out);
}

static void test_hosted_calls(void **state)
{
	struct request_info q;

	(void)state;
	q = good(API_RESPONSES,
		 "{\"tools\":[{\"type\":\"web_search\"},{\"type\":\"file_search\"}],\"max_tool_calls\":3}");
	assert_true(q.hosted_bounded);
	assert_int_equal(q.hosted_calls, 3);
	assert_int_equal(q.hosted, HOSTED_WEB | HOSTED_FILE);
	assert_false(good(API_RESPONSES, "{\"tools\":[{\"type\":\"web_search\"}]}").hosted_bounded);
	assert_false(good(API_RESPONSES, "{\"tools\":[{\"type\":\"mcp\"}],\"max_tool_calls\":3}").hosted_bounded);
	q = good(API_MESSAGES, "{\"tools\":[{\"type\":\"web_search_20250305\",\"max_uses\":5},{\"name\":\"mine\"},"
			       "{\"max_uses\":2,\"type\":\"web_fetch_20250910\"}]}");
	assert_true(q.hosted_bounded);
	assert_int_equal(q.hosted_calls, 7);
	assert_false(good(API_MESSAGES, "{\"tools\":[{\"type\":\"web_search_20250305\",\"max_uses\":5},{\"type\":"
					"\"code_execution_20250825\"}]}")
			 .hosted_bounded);
	assert_int_equal(good(API_RESPONSES, "{\"tools\":[{\"type\":\"image_generation\"}]}").hosted, HOSTED_IMAGE);
	assert_true(good(API_CHAT, "{\"models\":[\"a\",\"b\"]}").hosted_tools);
	assert_false(good(API_CHAT, "{\"models\":[]}").hosted_tools);
	assert_true(good(API_CHAT, "{\"plugins\":[{\"id\":\"web\"}]}").hosted_tools);
}

/* Sizes are only known when nothing is ambiguous. */
static void test_pictures(void **state)
{
#define GIF "R0lGODlhIANYAgAAAAAA"
	struct request_info q;

	(void)state;
	q = good(
	    API_CHAT,
	    "{\"messages\":[{\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image\\/gif;base64," GIF
	    "\",\"detail\":\"low\"}}]}]}");
	assert_int_equal(q.images, 1);
	assert_int_equal(q.image_sums.sized, 1);
	assert_int_equal(q.image_sums.tiles, 0);
	q = good(API_MESSAGES,
		 "{\"messages\":[{\"content\":[{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"data\":\"" GIF
		 "\"}}]}]}");
	assert_int_equal(q.image_sums.claude_standard, 640);
	q = good(API_GENERATE,
		 "{\"contents\":[{\"parts\":[{\"inlineData\":{\"mimeType\":\"image/gif\",\"data\":\"" GIF "\"}}]}]}");
	assert_int_equal(q.image_sums.sized, 1);
	q = good(API_RESPONSES,
		 "{\"input\":[{\"content\":[{\"type\":\"input_image\",\"image_url\":\"data:image/gif;base64," GIF
		 "\",\"detail\":\"original\"}]}]}");
	assert_int_equal(q.image_sums.sized, 1);
	/* two pictures in one part; a picture by URL beside it; a part in a part */
	q = good(
	    API_CHAT,
	    "{\"messages\":[{\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:,\"},\"data\":\"" GIF
	    "\"}]}]}");
	assert_int_equal(q.images, 1);
	assert_int_equal(q.image_sums.sized, 0);
	q = good(
	    API_CHAT,
	    "{\"messages\":[{\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://x\"},\"data\":\"" GIF
	    "\"}]}]}");
	assert_int_equal(q.image_sums.sized, 0);
	q = good(API_MESSAGES, "{\"messages\":[{\"content\":[{\"type\":\"image\",\"data\":\"" GIF
			       "\",\"content\":[{\"type\":\"image\","
			       "\"source\":{\"type\":\"base64\",\"data\":\"" GIF "\"}}]}]}]}");
	assert_int_equal(q.images, 2);
	assert_int_equal(q.image_sums.sized, 1);
}

/* The edit that sets the bound, applied with the number 5. */
static void cap_gives(const struct reqscan_options *o, const char *body, const char *want)
{
	struct request_info q = good_with(o, body);
	char text[512];

	if (!want) {
		assert_null(q.max_out_edit.before);
		return;
	}
	assert_non_null(q.max_out_edit.before);
	(void)snprintf(text, sizeof(text), "%.*s%s5%s%s", (int)q.max_out_edit.from, body, q.max_out_edit.before,
		       q.max_out_edit.after, body + q.max_out_edit.to);
	assert_string_equal(text, want);
	q = good_with(o, text);
	assert_true(q.has_max_out);
	assert_int_equal(q.max_out, 5);
}

static void test_max_out_edit(void **state)
{
	struct reqscan_options chat = {.kind = API_CHAT, .provider = SLICE("openai")};
	struct reqscan_options other = {.kind = API_CHAT, .provider = SLICE("deepseek")};
	struct reqscan_options generate = {.kind = API_GENERATE}, converse = {.kind = API_CONVERSE};
	struct reqscan_options meta = {.kind = API_INVOKE, .model = SLICE("meta.llama4")};

	(void)state;
	cap_gives(&chat, " {\"max_tokens\": 100 }", " {\"max_tokens\": 5 }");
	cap_gives(&chat, "{\"max_completion_tokens\":null}", "{\"max_completion_tokens\":5}");
	cap_gives(&chat, "{}", "{\"max_completion_tokens\":5}");
	cap_gives(&chat, "{\"a\":1}", "{\"max_completion_tokens\":5,\"a\":1}");
	cap_gives(&chat, "{\"max_tokens\":1,\"max_completion_tokens\":2}", NULL);
	cap_gives(&other, "{\"a\":1}", "{\"max_tokens\":5,\"a\":1}");
	/* whether this vendor would take it is not known: a lower one beside it might not hold */
	cap_gives(&other, "{\"max_completion_tokens\":3}", NULL);
	cap_gives(&converse, "{\"additionalModelRequestFields\":{\"max_tokens\":9}}", NULL);
	cap_gives(&generate, "{\"generationConfig\":{\"maxOutputTokens\":\"77\"}}",
		  "{\"generationConfig\":{\"maxOutputTokens\":5}}");
	cap_gives(&generate, "{\"generation_config\":{},\"tools\":[],\"x\":{\"y\":1}}",
		  "{\"generation_config\":{\"maxOutputTokens\":5},\"tools\":[],\"x\":{\"y\":1}}");
	cap_gives(&generate, "{\"generationConfig\":{\"topK\":1}}",
		  "{\"generationConfig\":{\"maxOutputTokens\":5,\"topK\":1}}");
	cap_gives(&generate, "{\"contents\":[]}", "{\"generationConfig\":{\"maxOutputTokens\":5},\"contents\":[]}");
	cap_gives(&generate, "{\"generationConfig\":null}", NULL);
	cap_gives(&converse, "{}", "{\"inferenceConfig\":{\"maxTokens\":5}}");
	cap_gives(&meta, "{\"prompt\":\"x\"}", "{\"max_gen_len\":5,\"prompt\":\"x\"}");
	cap_gives(&(struct reqscan_options){.kind = API_RESPONSES}, "{\"input\":\"\"}",
		  "{\"max_output_tokens\":5,\"input\":\"\"}");
	cap_gives(&(struct reqscan_options){.kind = API_OLLAMA}, "{\"options\":{\"num_predict\":-1}}",
		  "{\"options\":{\"num_predict\":5}}");
	cap_gives(&(struct reqscan_options){.kind = API_EMBEDDINGS}, "{}", NULL);
	cap_gives(&(struct reqscan_options){.kind = API_BATCH_SUBMIT}, "{}", NULL);
}

static void field_is(const struct reqscan_options *o, const char *body, const char *name)
{
	struct request_info q = good_with(o, body);

	assert_non_null(q.max_out_field);
	assert_string_equal(q.max_out_field, name);
}

static void test_max_out_field(void **state)
{
	struct reqscan_options chat = {.kind = API_CHAT, .provider = SLICE("openai")};

	(void)state;
	field_is(&chat, "{}", "max_completion_tokens");
	field_is(&chat, "{\"max_tokens\":1}", "max_tokens");
	field_is(&chat, "{\"max_completion_tokens\":1}", "max_completion_tokens");
	field_is(&(struct reqscan_options){.kind = API_MESSAGES}, "{\"max_tokens\":1}", "max_tokens");
	field_is(&(struct reqscan_options){.kind = API_RESPONSES}, "{}", "max_output_tokens");
	field_is(&(struct reqscan_options){.kind = API_GENERATE}, "{}", "maxOutputTokens");
	field_is(&(struct reqscan_options){.kind = API_CONVERSE}, "{}", "maxTokens");
	field_is(&(struct reqscan_options){.kind = API_OLLAMA}, "{}", "num_predict");
	field_is(&(struct reqscan_options){.kind = API_COHERE_CHAT}, "{}", "max_tokens");
	field_is(&(struct reqscan_options){.kind = API_INVOKE, .model = SLICE("amazon.nova-x")},
		 "{\"inferenceConfig\":{\"max_new_tokens\":3}}", "max_new_tokens");
}

/* The model's place, written over with another. */
static void model_gives(const struct reqscan_options *o, const char *body, const char *want)
{
	struct request_info q = good_with(o, body);
	char text[512];

	if (!want) {
		assert_int_equal(q.model_edit.to, 0);
		return;
	}
	assert_true(q.model_edit.to > q.model_edit.from);
	(void)snprintf(text, sizeof(text), "%.*s\"m2\"%s", (int)q.model_edit.from, body, body + q.model_edit.to);
	assert_string_equal(text, want);
	assert_string_equal(good_with(o, text).model, "m2");
}

static void test_model_edit(void **state)
{
	struct reqscan_options chat = {.kind = API_CHAT};

	(void)state;
	model_gives(&chat, "{\"model\":\"a\"}", "{\"model\":\"m2\"}");
	model_gives(&chat, "{ \"n\":1, \"model\" : \"a\\u0062\\\"c\" , \"x\":\"\"}",
		    "{ \"n\":1, \"model\" : \"m2\" , \"x\":\"\"}");
	model_gives(&chat, "{\"messages\":[{\"model\":\"b\"}]}", NULL);
	model_gives(&chat, "{\"model\":null}", NULL);
	model_gives(&(struct reqscan_options){.kind = API_OLLAMA}, "{\"model\":\"a\"}", "{\"model\":\"m2\"}");
	model_gives(&(struct reqscan_options){.kind = API_MESSAGES}, "{\"max_tokens\":1,\"model\":\"claude\"}",
		    "{\"max_tokens\":1,\"model\":\"m2\"}");
	model_gives(&(struct reqscan_options){.kind = API_BATCH_SUBMIT},
		    "{\"requests\":[{\"params\":{\"model\":\"a\",\"max_tokens\":1}}]}", NULL);
	assert_true(reqscan_same_body(API_CHAT, SLICE("a"), SLICE("b")));
	assert_true(reqscan_same_body(API_INVOKE, SLICE("us.anthropic.a"), SLICE("anthropic.b")));
	assert_false(reqscan_same_body(API_INVOKE, SLICE("us.anthropic.a"), SLICE("amazon.nova-b")));
}

/* The number's place, written over with 2000. */
static void thinking_gives(const struct reqscan_options *o, const char *body, uint64_t budget, const char *want)
{
	struct request_info q = good_with(o, body);
	char text[512];

	assert_int_equal(q.thinking_budget, budget);
	if (!want) {
		assert_int_equal(q.thinking_edit.to, 0);
		return;
	}
	assert_true(q.thinking_edit.to > q.thinking_edit.from);
	(void)snprintf(text, sizeof(text), "%.*s2000%s", (int)q.thinking_edit.from, body, body + q.thinking_edit.to);
	assert_string_equal(text, want);
	assert_int_equal(good_with(o, text).thinking_budget, 2000);
}

static void test_thinking_edit(void **state)
{
	struct reqscan_options messages = {.kind = API_MESSAGES}, generate = {.kind = API_GENERATE};
	struct reqscan_options chat = {.kind = API_CHAT, .provider = SLICE("openrouter")};
	struct reqscan_options converse = {.kind = API_CONVERSE}, cohere = {.kind = API_COHERE_CHAT};

	(void)state;
	thinking_gives(&messages, "{\"thinking\":{\"type\":\"enabled\",\"budget_tokens\": 4096 },\"max_tokens\":9}",
		       4096, "{\"thinking\":{\"type\":\"enabled\",\"budget_tokens\": 2000 },\"max_tokens\":9}");
	thinking_gives(&messages, "{\"thinking\":{\"type\":\"adaptive\"}}", 0, NULL);
	thinking_gives(&messages, "{\"thinking\":null}", 0, NULL);
	thinking_gives(&messages, "{\"thinking\":{\"budget_tokens\":1e3}}", 0, NULL);
	thinking_gives(&messages, "{\"messages\":[{\"thinking\":{\"budget_tokens\":7}}]}", 0, NULL);
	thinking_gives(&generate, "{\"generationConfig\":{\"thinkingConfig\":{\"thinkingBudget\":\"600\"}}}", 600,
		       "{\"generationConfig\":{\"thinkingConfig\":{\"thinkingBudget\":2000}}}");
	thinking_gives(&generate, "{\"generation_config\":{\"thinking_config\":{\"thinking_budget\":600}}}", 600,
		       "{\"generation_config\":{\"thinking_config\":{\"thinking_budget\":2000}}}");
	thinking_gives(&generate, "{\"generationConfig\":{\"thinkingConfig\":{\"thinkingBudget\":-1}}}", 0, NULL);
	thinking_gives(&generate, "{\"generationConfig\":{\"thinkingConfig\":{\"thinkingBudget\":0}}}", 0, NULL);
	thinking_gives(&converse,
		       "{\"additionalModelRequestFields\":{\"thinking\":{\"budget_tokens\":5}},\"messages\":[]}", 5,
		       "{\"additionalModelRequestFields\":{\"thinking\":{\"budget_tokens\":2000}},\"messages\":[]}");
	thinking_gives(&converse, "{\"additionalModelRequestFields\":{\"reasoning_config\":{\"budget_tokens\":5}}}", 5,
		       "{\"additionalModelRequestFields\":{\"reasoning_config\":{\"budget_tokens\":2000}}}");
	thinking_gives(&cohere, "{\"thinking\":{\"type\":\"enabled\",\"token_budget\":50}}", 50,
		       "{\"thinking\":{\"type\":\"enabled\",\"token_budget\":2000}}");
	thinking_gives(&chat, "{\"reasoning\":{\"max_tokens\":5000},\"max_tokens\":6000}", 5000,
		       "{\"reasoning\":{\"max_tokens\":2000},\"max_tokens\":6000}");
	/* which of two does the vendor take? */
	thinking_gives(&chat, "{\"reasoning\":{\"max_tokens\":50},\"thinking\":{\"budget_tokens\":60}}", 60, NULL);
	assert_int_equal(good_with(&messages, "{}").thinking_min, 1024);
	assert_int_equal(good_with(&generate, "{}").thinking_min, 512);
}

/* Calls without a body, and kinds whose body says nothing. */
static void test_no_body(void **state)
{
	(void)state;
	assert_int_equal(good(API_RESPONSE_LATE, "").candidates, 1);
	assert_int_equal(good(API_BATCH_RESULTS, "").body_bytes, 0);
	assert_int_equal(good(API_FREE, "no JSON").body_bytes, 7);
}

/* What asks for reasoning, and what asks for an answer without showing it. */
static void test_reasoning(void **state)
{
	static const char *const hidden[] = {
	    "{\"include_reasoning\":false}",      "{\"include_reasoning\":[]}",
	    "{\"reasoning_format\":\"hidden\"}",  "{\"reasoning\":{\"exclude\":true}}",
	    "{\"reasoning\":{\"exclude\":1}}",    "{\"include_reasoning\":true,\"include_reasoning\":false}",
	    "{\"reasoning_form\\u0061t\":\"x\"}",
	};
	static const char *const shown[] = {
	    "{}",
	    "{\"include_reasoning\":true}",
	    "{\"reasoning_format\":\"parsed\"}",
	    "{\"reasoning\":{\"exclude\":false}}",
	    "{\"reasoning_effort\":\"high\"}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hidden); i++)
		assert_true(good(API_CHAT, hidden[i]).reasoning_hidden);
	for (size_t i = 0; i < ARRAY_LEN(shown); i++)
		assert_false(good(API_CHAT, shown[i]).reasoning_hidden);
	assert_false(good(API_CHAT, "{}").thinking);
	assert_true(good(API_CHAT, "{\"reasoning_effort\":\"low\"}").thinking);
	assert_true(good(API_CHAT, "{\"extra_body\":{\"google\":{}}}").thinking);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_chat),
	    cmocka_unit_test(test_parts),
	    cmocka_unit_test(test_tools_and_context),
	    cmocka_unit_test(test_anthropic_and_gemini),
	    cmocka_unit_test(test_embeddings),
	    cmocka_unit_test(test_duplicates),
	    cmocka_unit_test(test_bad_values),
	    cmocka_unit_test(test_long_model),
	    cmocka_unit_test(test_usage_edit),
	    cmocka_unit_test(test_completions),
	    cmocka_unit_test(test_bound_names),
	    cmocka_unit_test(test_images),
	    cmocka_unit_test(test_keys_in_other_case),
	    cmocka_unit_test(test_what_is_done_elsewhere),
	    cmocka_unit_test(test_speech),
	    cmocka_unit_test(test_forms),
	    cmocka_unit_test(test_batches),
	    cmocka_unit_test(test_google),
	    cmocka_unit_test(test_bedrock),
	    cmocka_unit_test(test_cohere_ocr_ollama),
	    cmocka_unit_test(test_hosted_calls),
	    cmocka_unit_test(test_pictures),
	    cmocka_unit_test(test_max_out_edit),
	    cmocka_unit_test(test_max_out_field),
	    cmocka_unit_test(test_model_edit),
	    cmocka_unit_test(test_thinking_edit),
	    cmocka_unit_test(test_reasoning),
	    cmocka_unit_test(test_no_body),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
