/* meter_exchange_test - what route and request add to an answer's usage, and whole recorded exchanges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <zlib.h>

#include "base/error.h"
#include "meter/exchange.h"

#define CHAT_ANSWER "{\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}"

struct call {
	const char *provider, *method, *target, *request_type, *request, *answer_type, *answer;
	int status;
};

static struct usage run_bytes(const struct call *c, const char *coding, struct slice request)
{
	const struct exchange_field request_head[] = {
	    {SLICE("Content-Type"), slice_of(c->request_type ? c->request_type : "application/json")},
	    {SLICE("Content-Encoding"), slice_of(coding)},
	};
	const struct exchange_field answer_head[] = {
	    {SLICE("CONTENT-TYPE"), slice_of(c->answer_type ? c->answer_type : "application/json")},
	};
	const struct exchange x = {
	    .provider = slice_of(c->provider),
	    .method = slice_of(c->method ? c->method : "POST"),
	    .target = slice_of(c->target),
	    .request_head = request_head,
	    .n_request_head = ARRAY_LEN(request_head),
	    .answer_head = answer_head,
	    .n_answer_head = ARRAY_LEN(answer_head),
	    .request_body = request,
	    .status = c->status ? c->status : 200,
	};
	struct exchange_run *run;
	struct usage u;

	assert_int_equal(exchange_begin(&x, &run), BUR_OK);
	exchange_feed(run, c->answer, strlen(c->answer));
	exchange_end(run, true, &u);
	return u;
}

static struct usage run(const struct call *c)
{
	return run_bytes(c, "identity", slice_of(c->request));
}

static void test_model(void **state)
{
	static const struct {
		struct call call;
		const char *model, *deployment;
	} cases[] = {
	    /* the answer, then the request, then the path */
	    {{.provider = "openai",
	      .target = "/v1/chat/completions",
	      .request = "{\"model\":\"asked\"}",
	      .answer = "{\"model\":\"given\"}"},
	     "given",
	     ""},
	    {{.provider = "openai",
	      .target = "/v1/chat/completions",
	      .request = "{\"model\":\"asked\"}",
	      .answer = "{\"model\":\"\"}"},
	     "asked",
	     ""},
	    {{.provider = "someone",
	      .target = "/v1/chat/completions",
	      .request = "{\"model\":\"asked\"}",
	      .answer = "{}"},
	     "asked",
	     ""},
	    {{.provider = "gemini",
	      .target = "/v1beta/models/a%40b:generateContent?key=k",
	      .request = "{}",
	      .answer = "{}"},
	     "a@b",
	     ""},
	    {{.provider = "azure",
	      .target = "/openai/deployments/d/chat/completions?api-version=1",
	      .request = "{}",
	      .answer = "{\"model\":\"gpt\"}"},
	     "gpt",
	     "d"},
	    {{.provider = "azure", .target = "/openai/v1/responses", .request = "{\"model\":\"d\"}", .answer = "{}"},
	     "d",
	     "d"},
	    /* Bedrock: the path alone */
	    {{.provider = "bedrock",
	      .target = "/model/us.x-v1%3A0/invoke",
	      .request = "{\"model\":\"asked\"}",
	      .answer = "{\"model\":\"given\",\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}"},
	     "us.x-v1:0",
	     ""},
	    /* sockets name it in the query */
	    {{.provider = "openai",
	      .method = "GET",
	      .target = "/v1/realtime?x=1&model=rt%2D2",
	      .status = 101,
	      .answer = ""},
	     "rt-2",
	     ""},
	    {{.provider = "azure",
	      .method = "GET",
	      .target = "/openai/realtime?deployment=d&api-version=1",
	      .status = 101,
	      .answer = ""},
	     "d",
	     "d"},
	    /* what nobody can read names nothing */
	    {{.provider = "openai",
	      .target = "/v1/chat/completions",
	      .request = "{\"model\":\"a\",\"model\":\"b\"}",
	      .answer = CHAT_ANSWER},
	     "",
	     ""},
	    {{.provider = "openai",
	      .target = "/v1/audio/transcriptions",
	      .request_type = "multipart/form-data; boundary=B",
	      .request = "--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--B--\r\n",
	      .answer = "{\"text\":\"x\",\"usage\":{\"type\":\"duration\",\"seconds\":2}}"},
	     "whisper-1",
	     ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct usage u = run(&cases[i].call);

		assert_string_equal(u.model, cases[i].model);
		assert_string_equal(u.deployment, cases[i].deployment);
	}
}

static void test_requests(void **state)
{
	static const struct {
		struct call call;
		uint64_t requests;
		bool complete;
	} cases[] = {
	    {{.provider = "openai", .target = "/v1/chat/completions", .request = "{}", .answer = CHAT_ANSWER}, 1, true},
	    {{.provider = "openai", .target = "/v1/chat/completions", .request = "{}", .answer = "{}", .status = 429},
	     0,
	     true},
	    {{.provider = "openai", .method = "GET", .target = "/v1/models", .answer = "{}"}, 0, true},
	    {{.provider = "anthropic", .target = "/v1/messages/count_tokens", .request = "{}", .answer = "{}"},
	     0,
	     true},
	    {{.provider = "openai",
	      .target = "/v1/batches",
	      .request = "{\"endpoint\":\"/v1/responses\"}",
	      .answer = "{\"id\":\"b\",\"status\":\"validating\"}"},
	     0,
	     false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct usage u = run(&cases[i].call);

		assert_int_equal(u.requests, cases[i].requests);
		assert_int_equal(u.complete, cases[i].complete);
	}
}

static void test_request_facts(void **state)
{
	struct usage u;

	(void)state;
	u = run(&(const struct call){.provider = "openai",
				     .target = "/v1/audio/speech",
				     .request = "{\"model\":\"tts-1\",\"input\":\"Gr\\u00fc\xc3\x9f"
						"e \xf0\x9f\x98\x80\"}",
				     .answer_type = "audio/mpeg",
				     .answer = "ID3"});
	assert_int_equal(u.input_characters, 7);
	assert_false(u.has_input);
	assert_false(u.complete);
	u = run(&(const struct call){.provider = "mistral",
				     .target = "/v1/ocr",
				     .request =
					 "{\"model\":\"o\",\"document_annotation_format\":{\"type\":\"json_schema\"}}",
				     .answer = "{\"usage_info\":{\"pages_processed\":2}}"});
	assert_int_equal(u.pages_annotated, 2);
	u = run(&(const struct call){.provider = "anthropic",
				     .method = "GET",
				     .target = "/v1/messages/batches/msgbatch_1/results",
				     .answer_type = "application/x-jsonl",
				     .answer = "{\"result\":{\"type\":\"expired\"}}\n"});
	assert_string_equal(u.dedupe_key, "msgbatch_1");
	assert_true(u.complete);
}

static void test_coded_request(void **state)
{
	static const char body[] = "{\"model\":\"asked\"}";
	const struct call call = {.provider = "anthropic", .target = "/v1/messages", .answer = "{}"};
	unsigned char coded[256];
	uLongf n = sizeof(coded);
	struct usage u;

	(void)state;
	assert_int_equal(compress(coded, &n, (const unsigned char *)body, sizeof(body) - 1), Z_OK);
	u = run_bytes(&call, "deflate", slice_mem(coded, n));
	assert_string_equal(u.model, "asked");
	u = run_bytes(&call, "deflate", slice_mem(coded, n - 4)); /* cut */
	assert_string_equal(u.model, "");
	u = run_bytes(&call, "rot13", slice_of(body));
	assert_string_equal(u.model, "");
}

static void test_match(void **state)
{
	struct api_match m;

	(void)state;
	m = exchange_match(FAMILY_OPENAI, SLICE("GET"), SLICE("/v1/realtime"));
	assert_int_equal(m.kind, API_REALTIME);
	assert_int_equal(m.model.n, 0);
	m = exchange_match(FAMILY_OPENAI, SLICE("GET"), SLICE("/v1/realtime?models=x&model"));
	assert_int_equal(m.model.n, 0);
	m = exchange_match(FAMILY_OPENAI, SLICE("POST"), SLICE("/v1/chat/completions?model=x"));
	assert_int_equal(m.kind, API_CHAT);
	assert_int_equal(m.model.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_model),         cmocka_unit_test(test_requests), cmocka_unit_test(test_request_facts),
	    cmocka_unit_test(test_coded_request), cmocka_unit_test(test_match),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
