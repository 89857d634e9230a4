/* Which API a path is, and what the path says of the model or the object. */
#include <fnmatch.h>
#include <string.h>

#include "base/error.h"
#include "tests/vendor/request.h"

#define PATH_BYTES_MAX 2048

/* How answers are asked for: a stream by its path. */
enum { UNARY, STREAM };

/* The first that matches. `seller`: whose API this is when neither path nor host named one. `id_at`, `model_at`:
 * segment that names the object or the model, counted from the end; 0: none. */
static const struct route {
	const char *method, *pattern;
	enum api api;
	enum seller seller;
	uint8_t id_at, model_at, stream;
} routes[] = {
    {NULL, "/__*", API_CONTROL, SELLER_OPENAI, 0, 0, UNARY},
    {NULL, "/echo", API_ECHO, SELLER_OPENAI, 0, 0, UNARY},
    {NULL, "/openai/deployments/*/chat/completions", API_CHAT, SELLER_AZURE, 0, 3, UNARY},
    {NULL, "/openai/deployments/*/completions", API_COMPLETIONS, SELLER_AZURE, 0, 2, UNARY},
    {NULL, "/openai/deployments/*/embeddings", API_EMBEDDINGS, SELLER_AZURE, 0, 2, UNARY},
    {NULL, "*/chat/completions", API_CHAT, SELLER_OPENAI, 0, 0, UNARY},
    {NULL, "*/fim/completions", API_CHAT, SELLER_MISTRAL, 0, 0, UNARY},
    {NULL, "*/completions", API_COMPLETIONS, SELLER_OPENAI, 0, 0, UNARY},
    {NULL, "*/responses", API_RESPONSES, SELLER_OPENAI, 0, 0, UNARY},
    {"GET", "*/responses/*", API_RESPONSE_LATE, SELLER_OPENAI, 1, 0, UNARY},
    {NULL, "*/embeddings", API_EMBEDDINGS, SELLER_OPENAI, 0, 0, UNARY},
    {NULL, "/v1/messages", API_MESSAGES, SELLER_ANTHROPIC, 0, 0, UNARY},
    {NULL, "/v1/messages/count_tokens", API_COUNT_TOKENS, SELLER_ANTHROPIC, 0, 0, UNARY},
    {"POST", "/v1/messages/batches", API_MESSAGE_BATCH, SELLER_ANTHROPIC, 0, 0, UNARY},
    {"GET", "/v1/messages/batches/*/results", API_MESSAGE_BATCH_RESULTS, SELLER_ANTHROPIC, 2, 0, UNARY},
    {"GET", "/v1/messages/batches/*", API_MESSAGE_BATCH_LATE, SELLER_ANTHROPIC, 1, 0, UNARY},
    {NULL, "/v1*/models/*:generateContent", API_GENERATE, SELLER_GOOGLE, 0, 1, UNARY},
    {NULL, "/v1*/models/*:streamGenerateContent", API_GENERATE, SELLER_GOOGLE, 0, 1, STREAM},
    {NULL, "/v1*/models/*:countTokens", API_GOOGLE_COUNT, SELLER_GOOGLE, 0, 1, UNARY},
    {NULL, "/v1*/models/*:embedContent", API_EMBED_CONTENT, SELLER_GOOGLE, 0, 1, UNARY},
    {NULL, "/v1*/models/*:batchEmbedContents", API_EMBED_CONTENTS, SELLER_GOOGLE, 0, 1, UNARY},
    {NULL, "/v1*/models/*:rawPredict", API_MESSAGES, SELLER_GOOGLE, 0, 1, UNARY},
    {NULL, "/v1*/models/*:streamRawPredict", API_MESSAGES, SELLER_GOOGLE, 0, 1, STREAM},
    {NULL, "/model/*/converse", API_CONVERSE, SELLER_AWS, 0, 2, UNARY},
    {NULL, "/model/*/converse-stream", API_CONVERSE, SELLER_AWS, 0, 2, STREAM},
    {NULL, "/model/*/invoke", API_INVOKE, SELLER_AWS, 0, 2, UNARY},
    {NULL, "/model/*/invoke-with-response-stream", API_INVOKE, SELLER_AWS, 0, 2, STREAM},
    {NULL, "/v2/chat", API_COHERE_CHAT, SELLER_COHERE, 0, 0, UNARY},
    {NULL, "/v2/embed", API_COHERE_EMBED, SELLER_COHERE, 0, 0, UNARY},
    {NULL, "/v2/rerank", API_COHERE_RERANK, SELLER_COHERE, 0, 0, UNARY},
    {NULL, "/v1/ocr", API_OCR, SELLER_MISTRAL, 0, 0, UNARY},
    {NULL, "/api/chat", API_OLLAMA_CHAT, SELLER_OLLAMA, 0, 0, STREAM},
    {NULL, "/api/generate", API_OLLAMA_GENERATE, SELLER_OLLAMA, 0, 0, STREAM},
    {NULL, "/api/embed", API_OLLAMA_EMBED, SELLER_OLLAMA, 0, 0, UNARY},
    {NULL, "*/moderations", API_MODERATIONS, SELLER_OPENAI, 0, 0, UNARY},
    {NULL, "*/images/generations", API_IMAGES, SELLER_OPENAI, 0, 0, UNARY},
    {NULL, "*/images/edits", API_IMAGE_EDITS, SELLER_OPENAI, 0, 0, UNARY},
    {NULL, "*/audio/speech", API_SPEECH, SELLER_OPENAI, 0, 0, UNARY},
    {NULL, "*/audio/transcriptions", API_TRANSCRIPTIONS, SELLER_OPENAI, 0, 0, UNARY},
    {NULL, "*/audio/translations", API_TRANSCRIPTIONS, SELLER_OPENAI, 0, 0, UNARY},
    {"POST", "/v1/files", API_FILE_UPLOAD, SELLER_OPENAI, 0, 0, UNARY},
    {"GET", "/v1/files/*/content", API_FILE_CONTENT, SELLER_OPENAI, 2, 0, UNARY},
    {"POST", "/v1/batches", API_BATCH, SELLER_OPENAI, 0, 0, UNARY},
    {"GET", "/v1/batches/*", API_BATCH_LATE, SELLER_OPENAI, 1, 0, UNARY},
    {NULL, "*/v1/models", API_MODELS, SELLER_OPENAI, 0, 0, UNARY},
};

static int hex(char c)
{
	const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 0x20) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Percent-decoded; what does not fit is no name. */
static void decode(struct slice s, char *dst, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n && n + 1 < size; i++) {
		bool coded = s.p[i] == '%' && i + 2 < s.n && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0;

		dst[n++] = coded ? (char)(hex(s.p[i + 1]) * 16 + hex(s.p[i + 2])) : s.p[i];
		i += coded ? 2 : 0;
	}
	dst[n] = '\0';
}

/* The segment `at` from the end; a method behind a colon is no part of it. */
static struct slice segment(struct slice path, unsigned at)
{
	size_t end = path.n, begin;

	for (;; end = begin - 1) {
		begin = end;
		while (begin > 0 && path.p[begin - 1] != '/')
			begin--;
		if (--at == 0 || begin == 0)
			break;
	}
	for (size_t i = end; i > begin; i--) {
		if (path.p[i - 1] == ':')
			end = i - 1;
	}
	return slice_sub(path, begin, end - begin);
}

void request_route(struct request *r, struct slice method, struct slice path, struct slice query)
{
	char text[PATH_BYTES_MAX];

	if (path.n >= sizeof(text))
		return;
	(void)slice_to_cstr(path, text, sizeof(text));
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		const struct route *t = &routes[i];

		if ((t->method && !slice_eq(method, slice_of(t->method))) || fnmatch(t->pattern, text, 0) != 0)
			continue;
		r->api = t->api;
		r->seller = r->seller == SELLER_OPENAI ? t->seller : r->seller;
		r->stream = t->stream;
		r->json_array = t->stream && !memmem(query.p ? query.p : "", query.n, "alt=sse", 7);
		r->model_in_path = t->model_at > 0;
		if (t->model_at)
			decode(segment(path, t->model_at), r->model, sizeof(r->model));
		if (t->id_at)
			decode(segment(path, t->id_at), r->object_id, sizeof(r->object_id));
		return;
	}
}
