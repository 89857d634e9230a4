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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
