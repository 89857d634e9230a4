/* meter_api_test - which call is this? Known, free and unknown paths; nothing that two parsers read differently. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "meter/api.h"

struct path_case {
	enum api_family family;
	const char *method, *path;
	enum api_kind kind;
	const char *model;
	bool stream;
};

static const struct path_case cases[] = {
    {FAMILY_OPENAI, "POST", "/v1/chat/completions", API_CHAT, "", false},
    {FAMILY_OPENAI, "POST", "/chat/completions", API_CHAT, "", false},
    {FAMILY_OPENAI, "POST", "/openai/v1/chat/completions", API_CHAT, "", false},
    {FAMILY_OPENAI, "POST", "/inference/v1/embeddings", API_EMBEDDINGS, "", false},
    {FAMILY_OPENAI, "POST", "/v1beta/openai/chat/completions", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "POST", "/v1/responses", API_RESPONSES, "", false},
    {FAMILY_OPENAI, "POST", "/v1/embeddings", API_EMBEDDINGS, "", false},
    {FAMILY_OPENAI, "GET", "/v1/chat/completions", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "post", "/v1/chat/completions", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "GET", "/v1/responses", API_UNKNOWN, "", false}, /* the WebSocket */
    {FAMILY_OPENAI, "GET", "/v1/responses/resp_1", API_FREE, "", false},
    {FAMILY_OPENAI, "GET", "/v1/responses/resp_1/input_items", API_FREE, "", false},
    {FAMILY_OPENAI, "DELETE", "/v1/responses/resp_1", API_FREE, "", false},
    {FAMILY_OPENAI, "POST", "/v1/responses/resp_1/cancel", API_FREE, "", false},
    {FAMILY_OPENAI, "POST", "/v1/responses/input_tokens", API_FREE, "", false},
    {FAMILY_OPENAI, "POST", "/v1/responses/compact", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "POST", "/v1/moderations", API_FREE, "", false},
    {FAMILY_OPENAI, "GET", "/v1/models", API_FREE, "", false},
    {FAMILY_OPENAI, "GET", "/v1/models/gpt-5", API_FREE, "", false},
    {FAMILY_OPENAI, "DELETE", "/v1/models/ft:x", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "GET", "/v1/files", API_FREE, "", false},
    {FAMILY_OPENAI, "POST", "/v1/files", API_FREE, "", false},
    {FAMILY_OPENAI, "GET", "/v1/files/f/content", API_FREE, "", false},
    {FAMILY_OPENAI, "POST", "/v1/files/f", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "DELETE", "/v1/files/f", API_FREE, "", false},
    {FAMILY_OPENAI, "POST", "/v1/images/generations", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "POST", "/v1/completions", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "POST", "/v1/batches", API_UNKNOWN, "", false},
    /* what another parser could read as something else */
    {FAMILY_OPENAI, "POST", "/v1//chat/completions", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "POST", "/v1/chat/completions/", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "POST", "/v1/./chat/completions", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "POST", "/v1/models/../chat/completions", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "GET", "/v1/models/../chat/completions", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "POST", "/v1/ch%61t/completions", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "POST", "/v1/Chat/completions", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "POST", "/v1/moderations%2f..%2fimages", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "GET", "/v1/files/..%2fchat", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "POST", "/v1/moderations;x", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "POST", "/v1\\chat/completions", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "POST", "v1/chat/completions", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "POST", "", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "POST", "/", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "POST", "/v1", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "POST", "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/v1/responses", API_UNKNOWN, "", false},

    {FAMILY_ANTHROPIC, "POST", "/v1/messages", API_MESSAGES, "", false},
    {FAMILY_ANTHROPIC, "POST", "/anthropic/v1/messages", API_MESSAGES, "", false},
    {FAMILY_ANTHROPIC, "POST", "/v1/messages/count_tokens", API_FREE, "", false},
    {FAMILY_ANTHROPIC, "POST", "/v1/messages/batches", API_UNKNOWN, "", false},
    {FAMILY_ANTHROPIC, "POST", "/v1/complete", API_UNKNOWN, "", false},
    {FAMILY_ANTHROPIC, "POST", "/v1/chat/completions", API_UNKNOWN, "", false},
    {FAMILY_ANTHROPIC, "GET", "/v1/models", API_FREE, "", false},
    {FAMILY_ANTHROPIC, "GET", "/v1/files/f", API_FREE, "", false},

    {FAMILY_GOOGLE, "POST", "/v1beta/models/gemini-3.8-flash:generateContent", API_GENERATE, "gemini-3.8-flash", false},
    {FAMILY_GOOGLE, "POST", "/v1/models/g:streamGenerateContent", API_GENERATE, "g", true},
    {FAMILY_GOOGLE, "POST", "/v1beta/models/g%2D1:generateContent", API_UNKNOWN, "", false},
    {FAMILY_GOOGLE, "POST", "/v1beta/models/g%2Fx:generateContent", API_UNKNOWN, "", false},
    {FAMILY_GOOGLE, "POST", "/v1beta/models/g%3AgenerateContent", API_UNKNOWN, "", false},
    {FAMILY_GOOGLE, "POST", "/v1beta/models/g%:generateContent", API_UNKNOWN, "", false},
    {FAMILY_GOOGLE, "POST", "/v1beta/models/g%2:generateContent", API_UNKNOWN, "", false},
    {FAMILY_GOOGLE, "POST", "/v1beta/models/:generateContent", API_UNKNOWN, "", false},
    {FAMILY_GOOGLE, "POST", "/v1beta/models/g:embedContent", API_UNKNOWN, "", false},
    {FAMILY_GOOGLE, "POST", "/v1beta/models/g:countTokens", API_FREE, "g", false},
    {FAMILY_GOOGLE, "GET", "/v1beta/models/g:generateContent", API_UNKNOWN, "", false},
    {FAMILY_GOOGLE, "POST", "/v1beta/models/g", API_UNKNOWN, "", false},
    {FAMILY_GOOGLE, "GET", "/v1beta/models/g", API_FREE, "", false},
    {FAMILY_GOOGLE, "GET", "/v1beta/models", API_FREE, "", false},
    {FAMILY_GOOGLE, "POST", "/upload/v1beta/files", API_FREE, "", false},
    {FAMILY_GOOGLE, "GET", "/v1beta/files/f", API_FREE, "", false},
    {FAMILY_GOOGLE, "POST", "/v1beta/openai/chat/completions", API_UNKNOWN, "", false},
    {FAMILY_GOOGLE, "POST", "/v9/models/g:generateContent", API_UNKNOWN, "", false},
    {FAMILY_GOOGLE, "POST", "/v1/projects/p/locations/l/publishers/google/models/g:generateContent", API_GENERATE, "g",
     false},
    {FAMILY_GOOGLE, "POST", "/v1/projects/p/locations/l/publishers/anthropic/models/c:rawPredict", API_UNKNOWN, "",
     false},

    {FAMILY_OTHER, "POST", "/v1/chat/completions", API_UNKNOWN, "", false},
};

static void test_paths(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		const struct path_case *c = &cases[i];
		struct api_match m = api_classify(c->family, slice_of(c->method), slice_of(c->path));

		if (m.kind != c->kind || !slice_eq(m.model, slice_of(c->model)) || m.stream_by_path != c->stream)
			fail_msg("%s %s is %s", c->method, c->path, api_kind_name(m.kind));
	}
}

static void test_query_secrets(void **state)
{
	(void)state;
	assert_true(api_query_has_secret(SLICE("key=AIza")));
	assert_true(api_query_has_secret(SLICE("alt=sse&key=AIza")));
	assert_true(api_query_has_secret(SLICE("alt=sse&KEY=x&b")));
	assert_true(api_query_has_secret(SLICE("%6bey=x")));
	assert_true(api_query_has_secret(SLICE("access_token=x")));
	assert_true(api_query_has_secret(SLICE("key")));
	assert_false(api_query_has_secret(SLICE("alt=sse&monkey=1")));
	assert_false(api_query_has_secret(SLICE("")));
	assert_false(api_query_has_secret(SLICE("beta=true&&=%")));
	assert_false(api_query_has_secret(SLICE("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaakey=1")));
}

static void test_providers(void **state)
{
	const struct provider *p;
	size_t n, i;

	(void)state;
	p = providers_builtin(&n);
	assert_int_equal(n, 3);
	for (i = 0; i < n; i++)
		assert_int_equal(api_family_from_name(slice_of(p[i].name)), p[i].family);
	assert_int_equal(api_family_from_name(SLICE("azure")), FAMILY_OTHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_paths),
	    cmocka_unit_test(test_query_secrets),
	    cmocka_unit_test(test_providers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
