/* meter_api_test - which call is this? Known, free and unknown paths; nothing that two parsers read differently. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
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
    {FAMILY_OPENAI, "GET", "/v1/chat/completions", API_FREE, "", false},
    {FAMILY_OPENAI, "post", "/v1/chat/completions", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "GET", "/v1/responses", API_REALTIME, "", false}, /* the WebSocket */
    {FAMILY_OPENAI, "GET", "/v1/responses/resp_1", API_RESPONSE_LATE, "", false},
    {FAMILY_OPENAI, "GET", "/v1/responses/resp_1/input_items", API_FREE, "", false},
    {FAMILY_OPENAI, "DELETE", "/v1/responses/resp_1", API_FREE, "", false},
    {FAMILY_OPENAI, "POST", "/v1/responses/resp_1/cancel", API_RESPONSE_LATE, "", false},
    {FAMILY_OPENAI, "POST", "/v1/responses/input_tokens", API_FREE, "", false},
    {FAMILY_OPENAI, "POST", "/v1/responses/compact", API_RESPONSES, "", false},
    {FAMILY_OPENAI, "POST", "/v1/moderations", API_MODERATIONS, "", false},
    {FAMILY_OPENAI, "GET", "/v1/models", API_FREE, "", false},
    {FAMILY_OPENAI, "GET", "/v1/models/gpt-5", API_FREE, "", false},
    {FAMILY_OPENAI, "DELETE", "/v1/models/ft:x", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "GET", "/v1/files", API_FREE, "", false},
    {FAMILY_OPENAI, "POST", "/v1/files", API_FILE_UPLOAD, "", false},
    {FAMILY_OPENAI, "GET", "/v1/files/f/content", API_BATCH_RESULTS, "", false},
    {FAMILY_OPENAI, "POST", "/v1/files/f", API_UNKNOWN, "", false},
    {FAMILY_OPENAI, "DELETE", "/v1/files/f", API_FREE, "", false},
    {FAMILY_OPENAI, "POST", "/v1/images/generations", API_IMAGES, "", false},
    {FAMILY_OPENAI, "POST", "/v1/completions", API_COMPLETIONS, "", false},
    {FAMILY_OPENAI, "POST", "/v1/batches", API_BATCH_SUBMIT, "", false},
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
    {FAMILY_ANTHROPIC, "POST", "/v1/messages/batches", API_BATCH_SUBMIT, "", false},
    {FAMILY_ANTHROPIC, "POST", "/v1/complete", API_UNKNOWN, "", false},
    {FAMILY_ANTHROPIC, "POST", "/v1/chat/completions", API_CHAT, "", false},
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
    {FAMILY_GOOGLE, "POST", "/v1beta/models/g:embedContent", API_EMBED_CONTENT, "g", false},
    {FAMILY_GOOGLE, "POST", "/v1beta/models/g:countTokens", API_FREE, "g", false},
    {FAMILY_GOOGLE, "GET", "/v1beta/models/g:generateContent", API_UNKNOWN, "", false},
    {FAMILY_GOOGLE, "POST", "/v1beta/models/g", API_UNKNOWN, "", false},
    {FAMILY_GOOGLE, "GET", "/v1beta/models/g", API_FREE, "", false},
    {FAMILY_GOOGLE, "GET", "/v1beta/models", API_FREE, "", false},
    {FAMILY_GOOGLE, "POST", "/upload/v1beta/files", API_FREE, "", false},
    {FAMILY_GOOGLE, "GET", "/v1beta/files/f", API_FREE, "", false},
    {FAMILY_GOOGLE, "POST", "/v1beta/openai/chat/completions", API_CHAT, "", false},
    {FAMILY_GOOGLE, "POST", "/v9/models/g:generateContent", API_UNKNOWN, "", false},
    {FAMILY_GOOGLE, "POST", "/v1/projects/p/locations/l/publishers/google/models/g:generateContent", API_GENERATE, "g",
     false},
    {FAMILY_GOOGLE, "POST", "/v1/projects/p/locations/l/publishers/anthropic/models/c:rawPredict", API_MESSAGES, "c",
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
	assert_true(api_query_has_secret(SLICE("a=1&X-Amz-Signature=00")));
	assert_true(api_query_has_secret(SLICE("api-version=2024-10-21&subscription-key=0")));
	assert_false(api_query_has_secret(SLICE("api-version=2024-10-21")));
	assert_false(api_query_has_secret(SLICE("alt=sse&monkey=1")));
	assert_false(api_query_has_secret(SLICE("")));
	assert_false(api_query_has_secret(SLICE("beta=true&&=%")));
	assert_false(api_query_has_secret(SLICE("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaakey=1")));
}

static void test_providers(void **state)
{
	const struct provider *p;
	size_t n, i, k;

	(void)state;
	p = providers_builtin(&n);
	assert_true(n >= 20);
	for (i = 0; i < n; i++) {
		assert_int_equal(api_family_from_name(slice_of(p[i].name)), p[i].family);
		assert_ptr_equal(provider_builtin(slice_of(p[i].name)), &p[i]);
		assert_true(p[i].price_id[0] && p[i].gateway_prefix[0]);
		assert_true((p[i].traits & api_family_traits(p[i].family)) == api_family_traits(p[i].family));
		for (k = 0; k < i; k++)
			assert_string_not_equal(p[i].gateway_prefix, p[k].gateway_prefix);
	}
	assert_int_equal(api_family_from_name(SLICE("Gemini")), FAMILY_GOOGLE);
	assert_int_equal(api_family_from_name(SLICE("aws")), FAMILY_AWS);
	assert_int_equal(api_family_from_name(SLICE("acme")), FAMILY_OTHER);
	assert_int_equal(api_family_shape(FAMILY_AZURE), FAMILY_OPENAI);
	assert_int_equal(api_family_shape((enum api_family)99), FAMILY_OTHER);
}

/* --- the inventory ------------------------------------------------------------------------------------------------ */

#define VERTEX "/v1/projects/p1/locations/us-central1/publishers/"
#define GEMINI "/v1beta/models/gemini-3.8-flash"
#define DEPLOYMENT "/openai/deployments/prod-gpt"
#define CLAUDE "/model/us.anthropic.claude-opus-5-5-v1%3A0"

/* What every vendor's API reference lists, and what it is to a budget. */
static const struct {
	const char *provider, *method, *path;
	enum api_kind kind;
} inventory[] = {
    {"openai", "POST", "/v1/chat/completions", API_CHAT},
    {"openai", "POST", "/v1/completions", API_COMPLETIONS},
    {"openai", "POST", "/v1/responses", API_RESPONSES},
    {"openai", "POST", "/v1/responses/compact", API_RESPONSES},
    {"openai", "GET", "/v1/responses/resp_1", API_RESPONSE_LATE},
    {"openai", "POST", "/v1/responses/resp_1/cancel", API_RESPONSE_LATE},
    {"openai", "POST", "/v1/responses/input_tokens", API_FREE},
    {"openai", "GET", "/v1/responses", API_REALTIME},
    {"openai", "POST", "/v1/embeddings", API_EMBEDDINGS},
    {"openai", "POST", "/v1/images/generations", API_IMAGES},
    {"openai", "POST", "/v1/images/edits", API_IMAGES},
    {"openai", "POST", "/v1/images/variations", API_IMAGES},
    {"openai", "POST", "/v1/audio/speech", API_SPEECH},
    {"openai", "POST", "/v1/audio/transcriptions", API_TRANSCRIPTIONS},
    {"openai", "POST", "/v1/audio/translations", API_TRANSCRIPTIONS},
    {"openai", "POST", "/v1/moderations", API_MODERATIONS},
    {"openai", "POST", "/v1/batches", API_BATCH_SUBMIT},
    {"openai", "GET", "/v1/batches", API_FREE},
    {"openai", "GET", "/v1/batches/batch_1", API_BATCH},
    {"openai", "POST", "/v1/batches/batch_1/cancel", API_BATCH},
    {"openai", "GET", "/v1/files/file-1/content", API_BATCH_RESULTS},
    {"openai", "POST", "/v1/files", API_FILE_UPLOAD},
    {"openai", "DELETE", "/v1/files/file-1", API_FREE},
    {"openai", "POST", "/v1/uploads/upload_1/parts", API_FREE},
    {"openai", "GET", "/v1/models", API_FREE},
    {"openai", "GET", "/v1/organization/costs", API_FREE},
    {"openai", "GET", "/v1/organization/usage/completions", API_FREE},
    {"openai", "POST", "/v1/organization/spend_limit", API_UNKNOWN},
    {"openai", "GET", "/v1/realtime", API_REALTIME},
    {"openai", "POST", "/v1/realtime/calls", API_UNKNOWN},
    {"openai", "POST", "/v1/realtime/client_secrets", API_UNKNOWN},
    {"openai", "POST", "/v1/realtime/sessions", API_UNKNOWN},
    {"openai", "POST", "/v1/videos", API_UNKNOWN},
    {"openai", "POST", "/v1/videos/video_1/remix", API_UNKNOWN},
    {"openai", "POST", "/v1/videos/edits", API_UNKNOWN},
    {"openai", "POST", "/v1/videos/extensions", API_UNKNOWN},
    {"openai", "GET", "/v1/videos/video_1/content", API_UNKNOWN},
    {"openai", "POST", "/v1/fine_tuning/jobs", API_UNKNOWN},
    {"openai", "POST", "/v1/vector_stores", API_UNKNOWN},
    {"openai", "POST", "/v1/vector_stores/vs_1/search", API_UNKNOWN},
    {"openai", "POST", "/v1/containers", API_UNKNOWN},
    {"openai", "POST", "/v1/threads/thread_1/runs", API_UNKNOWN},
    {"openai", "POST", "/v1/threads/runs", API_UNKNOWN},
    {"openai", "POST", "/v1/evals/eval_1/runs", API_UNKNOWN},
    {"openai", "POST", "/v1/chatkit/sessions", API_UNKNOWN},
    {"openai", "POST", "/v1/content_provenance_checks", API_UNKNOWN},
    {"openai", "POST", "/v1/conversations", API_UNKNOWN},

    {"azure", "POST", DEPLOYMENT "/chat/completions", API_CHAT},
    {"azure", "POST", DEPLOYMENT "/completions", API_COMPLETIONS},
    {"azure", "POST", DEPLOYMENT "/embeddings", API_EMBEDDINGS},
    {"azure", "POST", DEPLOYMENT "/audio/transcriptions", API_TRANSCRIPTIONS},
    {"azure", "POST", DEPLOYMENT "/audio/translations", API_TRANSCRIPTIONS},
    {"azure", "POST", DEPLOYMENT "/audio/speech", API_SPEECH},
    {"azure", "POST", DEPLOYMENT "/images/generations", API_IMAGES},
    {"azure", "POST", DEPLOYMENT "/images/edits", API_IMAGES},
    {"azure", "POST", DEPLOYMENT "/extensions/chat/completions", API_UNKNOWN},
    {"azure", "POST", "/openai/v1/chat/completions", API_CHAT},
    {"azure", "POST", "/openai/v1/responses", API_RESPONSES},
    {"azure", "GET", "/openai/v1/responses/resp_1", API_RESPONSE_LATE},
    {"azure", "POST", "/openai/responses", API_RESPONSES},
    {"azure", "POST", "/openai/v1/embeddings", API_EMBEDDINGS},
    {"azure", "POST", "/openai/batches", API_BATCH_SUBMIT},
    {"azure", "GET", "/openai/batches/b1", API_BATCH},
    {"azure", "GET", "/openai/files/f1/content", API_BATCH_RESULTS},
    {"azure", "GET", "/openai/realtime", API_REALTIME},
    {"azure", "GET", "/openai/v1/realtime", API_REALTIME},
    {"azure", "GET", "/openai/models", API_FREE},
    {"azure", "POST", "/models/chat/completions", API_CHAT},
    {"azure", "POST", "/models/embeddings", API_EMBEDDINGS},
    {"azure", "POST", "/anthropic/v1/messages", API_MESSAGES},
    {"azure", "POST", "/anthropic/v1/messages/count_tokens", API_FREE},
    {"azure", "POST", "/openai/assistants", API_UNKNOWN},
    {"azure", "POST", "/openai/fine_tuning/jobs", API_UNKNOWN},
    {"azure", "POST", "/openai/v1/video/generations/jobs", API_UNKNOWN},

    {"anthropic", "POST", "/v1/messages", API_MESSAGES},
    {"anthropic", "POST", "/v1/messages/count_tokens", API_FREE},
    {"anthropic", "POST", "/v1/messages/batches", API_BATCH_SUBMIT},
    {"anthropic", "GET", "/v1/messages/batches", API_FREE},
    {"anthropic", "GET", "/v1/messages/batches/msgbatch_1", API_BATCH},
    {"anthropic", "GET", "/v1/messages/batches/msgbatch_1/results", API_BATCH_RESULTS},
    {"anthropic", "POST", "/v1/messages/batches/msgbatch_1/cancel", API_FREE},
    {"anthropic", "POST", "/v1/chat/completions", API_CHAT},
    {"anthropic", "POST", "/v1/complete", API_UNKNOWN},
    {"anthropic", "POST", "/v1/sessions", API_UNKNOWN},
    {"anthropic", "POST", "/v1/agents", API_UNKNOWN},
    {"anthropic", "POST", "/v1/environments", API_UNKNOWN},
    {"anthropic", "GET", "/v1/models/claude-opus-5-5", API_FREE},
    {"anthropic", "POST", "/v1/files", API_FREE},
    {"anthropic", "GET", "/v1/organizations/cost_report", API_FREE},

    {"google", "POST", GEMINI ":generateContent", API_GENERATE},
    {"google", "POST", GEMINI ":streamGenerateContent", API_GENERATE},
    {"google", "POST", GEMINI ":embedContent", API_EMBED_CONTENT},
    {"google", "POST", GEMINI ":batchEmbedContents", API_EMBED_CONTENT},
    {"google", "POST", GEMINI ":countTokens", API_FREE},
    {"google", "POST", GEMINI ":predict", API_PREDICT},
    {"google", "POST", GEMINI ":predictLongRunning", API_UNKNOWN},
    {"google", "POST", GEMINI ":batchGenerateContent", API_UNKNOWN},
    {"google", "POST", GEMINI ":asyncBatchEmbedContent", API_UNKNOWN},
    {"google", "POST", "/v1/models/g:generateContent", API_GENERATE},
    {"google", "POST", "/v1alpha/models/g:generateContent", API_GENERATE},
    {"google", "POST", "/v1beta/tunedModels/mine-1:generateContent", API_GENERATE},
    {"google", "POST", "/v1beta/interactions", API_INTERACTIONS},
    {"google", "GET", "/v1beta/interactions/int_1", API_INTERACTION_LATE},
    {"google", "DELETE", "/v1beta/interactions/int_1", API_FREE},
    {"google", "POST", "/v1beta/cachedContents", API_UNKNOWN},
    {"google", "PATCH", "/v1beta/cachedContents/c1", API_UNKNOWN},
    {"google", "GET", "/v1beta/cachedContents/c1", API_FREE},
    {"google", "DELETE", "/v1beta/cachedContents/c1", API_FREE},
    {"google", "POST", "/v1beta/openai/chat/completions", API_CHAT},
    {"google", "POST", "/v1beta/openai/embeddings", API_EMBEDDINGS},
    {"google", "POST", "/v1beta/openai/images/generations", API_IMAGES},
    {"google", "GET", "/v1beta/openai/models", API_FREE},
    {"google", "GET", "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent", API_UNKNOWN},
    {"google", "POST", "/v1alpha/auth_tokens", API_UNKNOWN},
    {"google", "POST", "/upload/v1beta/files", API_FREE},
    {"google", "GET", "/v1beta/models", API_FREE},

    {"vertex", "POST", VERTEX "google/models/gemini-3.8-pro:generateContent", API_GENERATE},
    {"vertex", "POST", VERTEX "google/models/gemini-3.8-pro:streamGenerateContent", API_GENERATE},
    {"vertex", "POST", VERTEX "google/models/gemini-3.8-pro:countTokens", API_FREE},
    {"vertex", "POST", VERTEX "google/models/text-embedding-005:predict", API_PREDICT},
    {"vertex", "POST", VERTEX "google/models/imagen-4:predict", API_PREDICT},
    {"vertex", "POST", VERTEX "google/models/veo-3:predictLongRunning", API_UNKNOWN},
    {"vertex", "POST", VERTEX "anthropic/models/claude-opus-5-5@20260801:rawPredict", API_MESSAGES},
    {"vertex", "POST", VERTEX "anthropic/models/claude-opus-5-5@20260801:streamRawPredict", API_MESSAGES},
    {"vertex", "POST", VERTEX "anthropic/models/claude-opus-5-5%4020260801:rawPredict", API_MESSAGES},
    {"vertex", "POST", VERTEX "anthropic/models/count-tokens:rawPredict", API_FREE},
    {"vertex", "POST", VERTEX "mistralai/models/mistral-medium-3:rawPredict", API_CHAT},
    {"vertex", "POST", VERTEX "mistralai/models/mistral-medium-3:streamRawPredict", API_CHAT},
    {"vertex", "POST", VERTEX "ai21/models/jamba:rawPredict", API_UNKNOWN},
    {"vertex", "POST", "/v1beta1/projects/p/locations/global/publishers/google/models/g:generateContent", API_GENERATE},
    {"vertex", "POST", "/v1/publishers/google/models/gemini-3.8-flash:generateContent", API_GENERATE},
    {"vertex", "POST", "/v1/projects/p1/locations/global/endpoints/openapi/chat/completions", API_CHAT},
    {"vertex", "POST", "/v1/projects/p1/locations/us-central1/endpoints/123:generateContent", API_GENERATE},
    {"vertex", "POST", "/v1/projects/p1/locations/us-central1/endpoints/123:predict", API_UNKNOWN},
    {"vertex", "POST", "/v1/projects/p1/locations/us-central1/endpoints/123:rawPredict", API_UNKNOWN},
    {"vertex", "POST", "/v1/projects/p1/locations/us-central1/batchPredictionJobs", API_UNKNOWN},
    {"vertex", "POST", "/v1/projects/p1/locations/us-central1/cachedContents", API_UNKNOWN},
    {"vertex", "DELETE", "/v1/projects/p1/locations/us-central1/cachedContents/9", API_FREE},

    {"bedrock", "POST", CLAUDE "/converse", API_CONVERSE},
    {"bedrock", "POST", CLAUDE "/converse-stream", API_CONVERSE},
    {"bedrock", "POST", CLAUDE "/invoke", API_INVOKE},
    {"bedrock", "POST", CLAUDE "/invoke-with-response-stream", API_INVOKE},
    {"bedrock", "POST", CLAUDE "/count-tokens", API_FREE},
    {"bedrock", "POST", CLAUDE "/invoke-with-bidirectional-stream", API_UNKNOWN},
    {"bedrock", "POST", "/model/us.anthropic.claude-opus-5-5-v1:0/invoke", API_INVOKE},
    {"bedrock", "POST",
     "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Feu.amazon.nova-pro-v1%3A0/converse",
     API_CONVERSE},
    {"bedrock", "POST", "/async-invoke", API_UNKNOWN},
    {"bedrock", "POST", "/guardrail/g1/version/1/apply", API_UNKNOWN},
    {"bedrock", "POST", "/openai/v1/responses", API_RESPONSES},
    {"bedrock", "POST", "/openai/v1/chat/completions", API_CHAT},
    {"bedrock", "POST", "/v1/chat/completions", API_CHAT},

    {"cohere", "POST", "/v2/chat", API_COHERE_CHAT},
    {"cohere", "POST", "/v2/embed", API_COHERE_UNITS},
    {"cohere", "POST", "/v2/rerank", API_COHERE_UNITS},
    {"cohere", "POST", "/v1/chat", API_COHERE_UNITS},
    {"cohere", "POST", "/v1/classify", API_COHERE_UNITS},
    {"cohere", "POST", "/v1/embed", API_COHERE_UNITS},
    {"cohere", "POST", "/v1/rerank", API_COHERE_UNITS},
    {"cohere", "POST", "/v1/tokenize", API_FREE},
    {"cohere", "GET", "/v1/models", API_FREE},
    {"cohere", "POST", "/v1/embed-jobs", API_UNKNOWN},
    {"cohere", "POST", "/v2/parse", API_UNKNOWN},
    {"cohere", "POST", "/compatibility/v1/chat/completions", API_CHAT},

    {"mistral", "POST", "/v1/chat/completions", API_CHAT},
    {"mistral", "POST", "/v1/fim/completions", API_CHAT},
    {"mistral", "POST", "/v1/agents/completions", API_CHAT},
    {"mistral", "POST", "/v1/embeddings", API_EMBEDDINGS},
    {"mistral", "POST", "/v1/ocr", API_OCR},
    {"mistral", "POST", "/v1/audio/transcriptions", API_TRANSCRIPTIONS},
    {"mistral", "POST", "/v1/moderations", API_UNKNOWN},
    {"mistral", "POST", "/v1/chat/moderations", API_UNKNOWN},
    {"mistral", "POST", "/v1/conversations", API_UNKNOWN},
    {"mistral", "POST", "/v1/batch/jobs", API_UNKNOWN},
    {"mistral", "GET", "/v1/files/f1/content", API_BATCH_RESULTS},
    {"mistral", "GET", "/v1/models", API_FREE},

    {"groq", "POST", "/openai/v1/chat/completions", API_CHAT},
    {"groq", "POST", "/openai/v1/responses", API_RESPONSES},
    {"groq", "POST", "/openai/v1/audio/transcriptions", API_TRANSCRIPTIONS},
    {"groq", "POST", "/openai/v1/audio/speech", API_SPEECH},
    {"groq", "POST", "/openai/v1/batches", API_BATCH_SUBMIT},
    {"groq", "GET", "/openai/v1/models", API_FREE},

    {"deepseek", "POST", "/chat/completions", API_CHAT},
    {"deepseek", "POST", "/v1/chat/completions", API_CHAT},
    {"deepseek", "POST", "/beta/completions", API_COMPLETIONS},
    {"deepseek", "POST", "/beta/chat/completions", API_CHAT},
    {"deepseek", "POST", "/anthropic/v1/messages", API_MESSAGES},
    {"deepseek", "GET", "/user/balance", API_FREE},
    {"deepseek", "GET", "/models", API_FREE},

    {"xai", "POST", "/v1/chat/completions", API_CHAT},
    {"xai", "POST", "/v1/responses", API_RESPONSES},
    {"xai", "GET", "/v1/responses", API_REALTIME},
    {"xai", "POST", "/v1/messages", API_MESSAGES},
    {"xai", "POST", "/v1/images/generations", API_IMAGES},
    {"xai", "POST", "/v1/videos/generations", API_UNKNOWN},
    {"xai", "POST", "/v1/documents/search", API_UNKNOWN},
    {"xai", "POST", "/xai_api.Chat/GetCompletion", API_UNKNOWN},
    {"xai", "GET", "/v1/language-models", API_FREE},

    {"openrouter", "POST", "/api/v1/chat/completions", API_CHAT},
    {"openrouter", "POST", "/api/v1/completions", API_COMPLETIONS},
    {"openrouter", "POST", "/api/v1/responses", API_RESPONSES},
    {"openrouter", "POST", "/api/v1/messages", API_MESSAGES},
    {"openrouter", "POST", "/api/v1/embeddings", API_EMBEDDINGS},
    {"openrouter", "GET", "/api/v1/generation", API_FREE},
    {"openrouter", "GET", "/api/v1/models/a/b:free/endpoints", API_FREE},
    {"openrouter", "POST", "/api/v1/keys", API_UNKNOWN},

    {"together", "POST", "/v1/chat/completions", API_CHAT},
    {"together", "POST", "/v1/completions", API_COMPLETIONS},
    {"together", "POST", "/v1/embeddings", API_EMBEDDINGS},
    {"together", "POST", "/v1/images/generations", API_IMAGES},
    {"together", "POST", "/v1/audio/speech", API_SPEECH},
    {"together", "POST", "/v1/rerank", API_UNKNOWN},

    {"fireworks", "POST", "/inference/v1/chat/completions", API_CHAT},
    {"fireworks", "POST", "/inference/v1/completions", API_COMPLETIONS},
    {"fireworks", "POST", "/inference/v1/embeddings", API_EMBEDDINGS},
    {"fireworks", "POST", "/v1/accounts/a/deployments", API_UNKNOWN},

    {"perplexity", "POST", "/chat/completions", API_CHAT},
    {"perplexity", "POST", "/v1/responses", API_RESPONSES},
    {"perplexity", "POST", "/v1/agent", API_RESPONSES},
    {"perplexity", "POST", "/search", API_UNKNOWN},
    {"perplexity", "POST", "/async/chat/completions", API_UNKNOWN},

    {"ollama", "POST", "/api/chat", API_OLLAMA},
    {"ollama", "POST", "/api/generate", API_OLLAMA},
    {"ollama", "POST", "/api/embed", API_OLLAMA_EMBED},
    {"ollama", "GET", "/api/tags", API_FREE},
    {"ollama", "POST", "/api/show", API_FREE},
    {"ollama", "POST", "/api/web_search", API_UNKNOWN},
    {"ollama", "POST", "/v1/chat/completions", API_CHAT},
    {"ollama", "POST", "/v1/messages", API_MESSAGES},

    {"vllm", "POST", "/v1/chat/completions", API_CHAT},
    {"vllm", "POST", "/tokenize", API_FREE},
    {"vllm", "GET", "/health", API_FREE},
    {"llamacpp", "POST", "/v1/chat/completions", API_CHAT},
    {"llamacpp", "POST", "/completion", API_UNKNOWN},
};

static enum api_kind kind_of(const char *provider, const char *method, const char *path)
{
	return api_classify(api_family_from_name(slice_of(provider)), slice_of(method), slice_of(path)).kind;
}

static void test_every_route_of_every_provider(void **state)
{
	const struct provider *p;
	size_t n, i, k;

	(void)state;
	for (i = 0; i < ARRAY_LEN(inventory); i++) {
		enum api_kind kind = kind_of(inventory[i].provider, inventory[i].method, inventory[i].path);

		if (kind != inventory[i].kind)
			fail_msg("%s %s %s is %s", inventory[i].provider, inventory[i].method, inventory[i].path,
				 api_kind_name(kind));
	}
	/* no provider is shipped without a word here, but those that are OpenAI's API and nothing else */
	p = providers_builtin(&n);
	for (i = 0; i < n; i++) {
		for (k = 0; k < ARRAY_LEN(inventory) && strcmp(inventory[k].provider, p[i].name) != 0; k++)
			;
		assert_true(k < ARRAY_LEN(inventory) || p[i].family == FAMILY_OPENAI);
	}
}

/* --- variants ----------------------------------------------------------------------------------------------------- */

static void never_free(size_t row, const char *method, const char *path)
{
	if (kind_of(inventory[row].provider, method, path) == API_FREE)
		fail_msg("%s %s %s is free", inventory[row].provider, method, path);
}

/* `text` with `n` bytes at `at` replaced by `by`. */
static const char *splice(const char *text, size_t at, size_t n, const char *by)
{
	static char out[1024];

	(void)snprintf(out, sizeof(out), "%.*s%s%s", (int)at, text, by, text + at + n);
	return out;
}

/* Wherever a path can be cut: doubled, dotted and encoded separators, suffixes, and letters in other clothes. What is
 * billed must not become free by them, nor what is free become free under a second spelling. */
static void vary(size_t row)
{
	static const char *const separators[] = {"//",  "/./", "/../",   "/%2e/",   "/%2E%2E/", "%2F",  "%2f", "\\",
						 "%5C", "/;/", "/x/../", "/%252e/", "/..;/",    "/\t/", "/ /"};
	static const char *const tails[] = {"/",   "//",    "/.",         "/..",      "%20",       "%00", ";x", "#",
					    "%3F", ".json", "/../models", "/x/y/z/w", "%2Fmodels", "?",   " ",  "\x80"};
	const char *method = inventory[row].method, *path = inventory[row].path;
	char escaped[8];
	size_t i, k, n = strlen(path);

	for (k = 0; k < ARRAY_LEN(tails); k++)
		if (inventory[row].kind == API_FREE && strcmp(tails[k], ".json") == 0)
			continue; /* a letter more of an object's own name */
		else
			never_free(row, method, splice(path, n, 0, tails[k]));
	for (i = 0; i < n; i++) {
		for (k = 0; path[i] == '/' && k < ARRAY_LEN(separators); k++)
			never_free(row, method, splice(path, i, 1, separators[k]));
		(void)snprintf(escaped, sizeof(escaped), "%%%02X", (unsigned char)path[i]);
		never_free(row, method, splice(path, i, 1, escaped));
	}
	never_free(row, method, splice(path, 0, 1, ""));
	never_free(row, method, splice(path, 0, 0, "/"));
	never_free(row, method, splice(path, 0, 0, "/x"));
}

/* Only the fixed words matter here: an object's name may well have capitals. */
static void vary_case(size_t row)
{
	char path[512], method[16];
	size_t i;

	for (i = 0; inventory[row].path[i]; i++) {
		char c = inventory[row].path[i];

		path[i] = (char)(c >= 'a' && c <= 'z' ? c - 32 : c);
	}
	path[i] = '\0';
	never_free(row, inventory[row].method, path);
	for (i = 0; inventory[row].method[i]; i++)
		method[i] = (char)(inventory[row].method[i] + 32);
	method[i] = '\0';
	never_free(row, method, inventory[row].path);
	if (inventory[row].kind != API_FREE) {
		never_free(row, "", inventory[row].path);
		never_free(row, "OPTIONS", inventory[row].path);
		never_free(row, "HEAD", inventory[row].path);
	}
}

static void test_hostile_variants_are_never_free(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(inventory); i++) {
		vary(i);
		vary_case(i);
	}
	/* a billed action below a free object's name */
	assert_int_equal(kind_of("google", "POST", "/v1beta/models/x:countTokens:generateContent"), API_UNKNOWN);
	assert_int_equal(kind_of("google", "POST", "/v1beta/models/x:generateContent:countTokens"), API_UNKNOWN);
	assert_int_equal(kind_of("google", "GET", "/v1beta/models/x%3AgenerateContent"), API_UNKNOWN);
	assert_int_equal(kind_of("bedrock", "POST", "/model/a%2F..%2Fb/count-tokens"), API_UNKNOWN);
	assert_int_equal(kind_of("bedrock", "POST", "/model/a%2F/count-tokens"), API_UNKNOWN);
	assert_int_equal(kind_of("bedrock", "POST", "/model/%2Fa/count-tokens"), API_UNKNOWN);
	assert_int_equal(kind_of("bedrock", "POST", "/model/a%2F%2Fb/count-tokens"), API_UNKNOWN);
	assert_int_equal(kind_of("bedrock", "POST", "/model/a%252Fb/count-tokens"), API_UNKNOWN);
	assert_int_equal(kind_of("bedrock", "POST", "/model/a%2/count-tokens"), API_UNKNOWN);
	assert_int_equal(kind_of("bedrock", "POST", "/model/a%00/count-tokens"), API_UNKNOWN);
}

/* --- what a match tells ------------------------------------------------------------------------------------------- */

static struct api_match match(const char *provider, const char *method, const char *path)
{
	return api_classify(api_family_from_name(slice_of(provider)), slice_of(method), slice_of(path));
}

static void test_what_a_route_tells(void **state)
{
	struct api_match m = match("azure", "POST", DEPLOYMENT "/chat/completions");

	(void)state;
	assert_true(m.model_is_deployment && slice_eq(m.model, SLICE("prod-gpt")) && m.family == FAMILY_OPENAI);
	m = match("azure", "POST", "/openai/v1/responses");
	assert_true(m.model_is_deployment && m.model.n == 0);
	m = match("azure", "POST", "/anthropic/v1/messages");
	assert_int_equal(m.family, FAMILY_ANTHROPIC);
	m = match("azure", "POST", "/nowhere");
	assert_int_equal(m.family, FAMILY_OPENAI);
	m = match("bedrock", "POST", CLAUDE "/converse-stream");
	assert_true(m.stream_by_path && m.model_is_final && m.family == FAMILY_AWS);
	assert_true(slice_eq(m.model, SLICE("us.anthropic.claude-opus-5-5-v1%3A0")));
	m = match("bedrock", "POST", "/openai/v1/responses");
	assert_true(!m.model_is_final && m.model.n == 0 && m.family == FAMILY_OPENAI);
	m = match("vertex", "POST", VERTEX "anthropic/models/claude-opus-5-5@20260801:streamRawPredict");
	assert_true(m.stream_by_path && m.family == FAMILY_ANTHROPIC);
	assert_true(slice_eq(m.model, SLICE("claude-opus-5-5@20260801")));
	m = match("vertex", "POST", "/v1/projects/p1/locations/us-central1/endpoints/123:generateContent");
	assert_true(m.model_is_deployment && slice_eq(m.model, SLICE("123")) && m.family == FAMILY_GOOGLE);
	m = match("openai", "GET", "/v1/responses/resp_bg1");
	assert_true(slice_eq(m.late_id, SLICE("resp_bg1")) && m.model.n == 0);
	m = match("openai", "GET", "/v1/files/file-1/content");
	assert_true(slice_eq(m.late_id, SLICE("file-1")));
	m = match("anthropic", "GET", "/v1/messages/batches/msgbatch_1/results");
	assert_true(slice_eq(m.late_id, SLICE("msgbatch_1")));
	m = match("openrouter", "POST", "/api/v1/chat/completions");
	assert_int_equal(m.family, FAMILY_OPENROUTER);
	m = match("openrouter", "POST", "/api/v1/messages");
	assert_int_equal(m.family, FAMILY_ANTHROPIC);
	m = api_classify(FAMILY_OTHER, SLICE("POST"), SLICE("/v1/messages"));
	assert_true(m.kind == API_UNKNOWN && m.family == FAMILY_OTHER);
}

static void decodes(const char *text, int want, const char *to)
{
	char dst[16];
	int r = api_decode_model(slice_of(text), dst, sizeof(dst));

	assert_int_equal(r, want);
	if (r == BUR_OK)
		assert_string_equal(dst, to);
}

static void test_decode_model(void **state)
{
	char small[1];

	(void)state;
	decodes("gpt-5", BUR_OK, "gpt-5");
	decodes("a%3A0%2fb%2Fc", BUR_OK, "a:0/b/c");
	decodes("c%40d@e", BUR_OK, "c@d@e");
	decodes("123456789012345", BUR_OK, "123456789012345");
	decodes("1234567890123456", BUR_TOOBIG, NULL);
	decodes("%", BUR_INVALID, NULL);
	decodes("a%2", BUR_INVALID, NULL);
	decodes("a%zz", BUR_INVALID, NULL);
	decodes("a%00", BUR_INVALID, NULL);
	decodes("a%0a", BUR_INVALID, NULL);
	decodes("a%7f", BUR_INVALID, NULL);
	decodes("", BUR_INVALID, NULL);
	assert_int_equal(api_decode_model(SLICE("a"), small, sizeof(small)), BUR_TOOBIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_paths),
	    cmocka_unit_test(test_query_secrets),
	    cmocka_unit_test(test_providers),
	    cmocka_unit_test(test_every_route_of_every_provider),
	    cmocka_unit_test(test_hostile_variants_are_never_free),
	    cmocka_unit_test(test_what_a_route_tells),
	    cmocka_unit_test(test_decode_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
