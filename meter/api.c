/* Paths are compared exactly: what two parsers could read differently (dot segments, empty segments, percent-encoded
 * letters of the fixed parts) is no path of the table, so it is API_UNKNOWN and never mistaken for a free call.
 *
 * A family is a list of mounts: a base path and the routes that stand below it. What costs money and has no reader of
 * its bill is left out on purpose (docs/providers.md lists it): it is unknown, and refused in hard budgets. */
#include "meter/api.h"

#include "base/error.h"

/* --- routes ------------------------------------------------------------------------------------------------------- */

/* What stands in braces is one whole segment, or what comes before ':' in one:
 *   {id}     a name of letters, digits, - _ . ~        {late}   the same, kept as late_id
 *   {name}   the same, with : and @                    {slot}   as {id}, kept as the model (deployment, endpoint)
 *   {model}  as {id} with @ or %40, kept as the model  {arn}    Bedrock's: : and / too, percent-encoded
 * The first row that fits wins. A POST is free only where its last segment is a word of the table. */
enum { STREAM = 1, DEPLOYMENT = 2, FINAL = 4 };

struct route {
	const char *method, *pattern;
	enum api_kind kind;
	unsigned flags;
};

struct mount {
	const char *base; /* pattern without slashes at its ends; "" = the origin itself */
	const struct route *routes;
	size_t n;
	enum api_family shape;
	unsigned flags; /* of all its routes */
};

static const struct route openai_routes[] = {
    {"POST", "chat/completions", API_CHAT, 0},
    {"POST", "responses", API_RESPONSES, 0},
    {"POST", "embeddings", API_EMBEDDINGS, 0},
    {"POST", "completions", API_COMPLETIONS, 0},
    {"POST", "moderations", API_MODERATIONS, 0},
    {"GET", "models", API_FREE, 0},
    {"GET", "models/{name}", API_FREE, 0},
    {"GET", "responses", API_REALTIME, 0}, /* the WebSocket */
    {"POST", "responses/input_tokens", API_FREE, 0},
    {"POST", "responses/compact", API_RESPONSES, 0},
    {"GET", "responses/{late}", API_RESPONSE_LATE, 0},
    {"DELETE", "responses/{id}", API_FREE, 0},
    {"POST", "responses/{late}/cancel", API_RESPONSE_LATE, 0}, /* answers with the response and its bill so far */
    {"GET", "responses/{id}/input_items", API_FREE, 0},
    {"POST", "images/generations", API_IMAGES, 0},
    {"POST", "images/edits", API_IMAGES, 0},
    {"POST", "images/variations", API_IMAGES, 0},
    {"POST", "audio/speech", API_SPEECH, 0},
    {"POST", "audio/transcriptions", API_TRANSCRIPTIONS, 0},
    {"POST", "audio/translations", API_TRANSCRIPTIONS, 0},
    {"GET", "realtime", API_REALTIME, 0},
    {"POST", "batches", API_BATCH_SUBMIT, 0},
    {"GET", "batches", API_FREE, 0},
    {"GET", "batches/{late}", API_BATCH, 0},
    {"POST", "batches/{late}/cancel", API_BATCH, 0},
    {"GET", "files", API_FREE, 0},
    {"POST", "files", API_FILE_UPLOAD, 0},
    {"GET", "files/{id}", API_FREE, 0},
    {"DELETE", "files/{id}", API_FREE, 0},
    {"GET", "files/{late}/content", API_BATCH_RESULTS, 0},
    {"POST", "uploads", API_FREE, 0},
    {"POST", "uploads/{id}/parts", API_FREE, 0},
    {"POST", "uploads/{id}/complete", API_FREE, 0},
    {"POST", "uploads/{id}/cancel", API_FREE, 0},
    {"GET", "chat/completions", API_FREE, 0}, /* those that were stored; billed when they were made */
    {"GET", "chat/completions/{id}", API_FREE, 0},
    {"GET", "chat/completions/{id}/messages", API_FREE, 0},
    {"DELETE", "chat/completions/{id}", API_FREE, 0},
    {"GET", "organization/costs", API_FREE, 0},
    {"GET", "organization/usage/{id}", API_FREE, 0},
    /* Perplexity */
    {"POST", "agent", API_RESPONSES, 0},
    /* xAI */
    {"GET", "language-models", API_FREE, 0},
    {"GET", "language-models/{name}", API_FREE, 0},
    {"GET", "embedding-models", API_FREE, 0},
    {"GET", "image-generation-models", API_FREE, 0},
    {"GET", "api-key", API_FREE, 0},
    {"POST", "tokenize-text", API_FREE, 0},
    /* DeepSeek; Moonshot */
    {"GET", "user/balance", API_FREE, 0},
    {"GET", "users/me/balance", API_FREE, 0},
    {"POST", "tokenizers/estimate-token-count", API_FREE, 0},
};

/* Servers that speak OpenAI's API have these at their root: vLLM, llama.cpp, SGLang. */
static const struct route server_routes[] = {
    {"GET", "health", API_FREE, 0},    {"GET", "version", API_FREE, 0},     {"GET", "ping", API_FREE, 0},
    {"POST", "tokenize", API_FREE, 0}, {"POST", "detokenize", API_FREE, 0},
};

static const struct route azure_deployment_routes[] = {
    {"POST", "chat/completions", API_CHAT, 0},
    {"POST", "completions", API_COMPLETIONS, 0},
    {"POST", "embeddings", API_EMBEDDINGS, 0},
    {"POST", "audio/speech", API_SPEECH, 0},
    {"POST", "audio/transcriptions", API_TRANSCRIPTIONS, 0},
    {"POST", "audio/translations", API_TRANSCRIPTIONS, 0},
    {"POST", "images/generations", API_IMAGES, 0},
    {"POST", "images/edits", API_IMAGES, 0},
    {"POST", "images/variations", API_IMAGES, 0},
};

/* Azure's inference endpoint of many vendors' models: /models/chat/completions?api-version= */
static const struct route azure_inference_routes[] = {
    {"POST", "chat/completions", API_CHAT, 0},
    {"POST", "embeddings", API_EMBEDDINGS, 0},
    {"GET", "info", API_FREE, 0},
};

static const struct route anthropic_routes[] = {
    {"POST", "messages", API_MESSAGES, 0},
    {"POST", "messages/count_tokens", API_FREE, 0},
    {"POST", "messages/batches", API_BATCH_SUBMIT, 0},
    {"GET", "messages/batches", API_FREE, 0},
    {"GET", "messages/batches/{late}", API_BATCH, 0},
    {"DELETE", "messages/batches/{id}", API_FREE, 0},
    {"POST", "messages/batches/{id}/cancel", API_FREE, 0},
    {"GET", "messages/batches/{late}/results", API_BATCH_RESULTS, 0},
    {"GET", "models", API_FREE, 0},
    {"GET", "models/{name}", API_FREE, 0},
    {"GET", "files", API_FREE, 0},
    {"POST", "files", API_FREE, 0},
    {"GET", "files/{id}", API_FREE, 0},
    {"DELETE", "files/{id}", API_FREE, 0},
    {"GET", "files/{id}/content", API_FREE, 0},
    {"GET", "organizations/usage_report/messages", API_FREE, 0},
    {"GET", "organizations/cost_report", API_FREE, 0},
};

/* Others that take Anthropic's requests: xAI, DeepSeek, OpenRouter, vLLM, Ollama, Foundry. */
static const struct route messages_routes[] = {
    {"POST", "messages", API_MESSAGES, 0},
    {"POST", "messages/count_tokens", API_FREE, 0},
};

static const struct route gemini_routes[] = {
    {"POST", "models/{model}:generateContent", API_GENERATE, 0},
    {"POST", "models/{model}:streamGenerateContent", API_GENERATE, STREAM},
    {"POST", "models/{model}:countTokens", API_FREE, 0},
    {"POST", "models/{model}:embedContent", API_EMBED_CONTENT, 0},
    {"POST", "models/{model}:batchEmbedContents", API_EMBED_CONTENT, 0},
    {"POST", "models/{model}:predict", API_PREDICT, 0},
    {"POST", "tunedModels/{model}:generateContent", API_GENERATE, 0},
    {"POST", "tunedModels/{model}:streamGenerateContent", API_GENERATE, STREAM},
    {"POST", "interactions", API_INTERACTIONS, 0},
    {"GET", "interactions/{late}", API_INTERACTION_LATE, 0},
    {"POST", "interactions/{late}/cancel", API_INTERACTION_LATE, 0},
    {"DELETE", "interactions/{id}", API_FREE, 0},
    {"GET", "models", API_FREE, 0},
    {"GET", "models/{id}", API_FREE, 0},
    {"GET", "tunedModels", API_FREE, 0},
    {"GET", "tunedModels/{id}", API_FREE, 0},
    {"GET", "files", API_FREE, 0},
    {"POST", "files", API_FREE, 0},
    {"GET", "files/{id}", API_FREE, 0},
    {"DELETE", "files/{id}", API_FREE, 0},
    {"GET", "cachedContents", API_FREE, 0},
    {"GET", "cachedContents/{id}", API_FREE, 0},
    {"DELETE", "cachedContents/{id}", API_FREE, 0},
};

static const struct route gemini_upload_routes[] = {{"POST", "files", API_FREE, 0}};

/* Below a project and location of Vertex. Batches there leave no bill on the wire. */
static const struct route vertex_routes[] = {
    {"POST", "publishers/google/models/{model}:generateContent", API_GENERATE, 0},
    {"POST", "publishers/google/models/{model}:streamGenerateContent", API_GENERATE, STREAM},
    {"POST", "publishers/google/models/{model}:countTokens", API_FREE, 0},
    {"POST", "publishers/google/models/{model}:computeTokens", API_FREE, 0},
    {"POST", "publishers/google/models/{model}:embedContent", API_EMBED_CONTENT, 0},
    {"POST", "publishers/google/models/{model}:predict", API_PREDICT, 0},
    {"GET", "publishers/google/models/{model}", API_FREE, 0},
    /* an endpoint of the operator's own: what model it is, the configuration tells */
    {"POST", "endpoints/{slot}:generateContent", API_GENERATE, DEPLOYMENT},
    {"POST", "endpoints/{slot}:streamGenerateContent", API_GENERATE, STREAM | DEPLOYMENT},
    {"POST", "endpoints/{slot}:countTokens", API_FREE, DEPLOYMENT},
    {"GET", "cachedContents", API_FREE, 0},
    {"GET", "cachedContents/{id}", API_FREE, 0},
    {"DELETE", "cachedContents/{id}", API_FREE, 0},
};

static const struct route vertex_anthropic_routes[] = {
    {"POST", "count-tokens:rawPredict", API_FREE, 0},
    {"POST", "{model}:rawPredict", API_MESSAGES, 0},
    {"POST", "{model}:streamRawPredict", API_MESSAGES, STREAM},
};

static const struct route vertex_mistral_routes[] = {
    {"POST", "{model}:rawPredict", API_CHAT, 0},
    {"POST", "{model}:streamRawPredict", API_CHAT, STREAM},
};

/* Vendors whose OpenAI endpoint has this route alone: Anthropic, Vertex. */
static const struct route chat_routes[] = {{"POST", "chat/completions", API_CHAT, 0}};

static const struct route bedrock_routes[] = {
    {"POST", "{arn}/converse", API_CONVERSE, FINAL},
    {"POST", "{arn}/converse-stream", API_CONVERSE, FINAL | STREAM},
    {"POST", "{arn}/invoke", API_INVOKE, FINAL},
    {"POST", "{arn}/invoke-with-response-stream", API_INVOKE, FINAL | STREAM},
    {"POST", "{arn}/count-tokens", API_FREE, FINAL},
};

static const struct route cohere_routes[] = {
    {"POST", "embed", API_COHERE_UNITS, 0},
    {"POST", "rerank", API_COHERE_UNITS, 0},
};

static const struct route cohere_v1_routes[] = {
    {"POST", "chat", API_COHERE_UNITS, 0},     {"POST", "generate", API_COHERE_UNITS, 0},
    {"POST", "classify", API_COHERE_UNITS, 0}, {"POST", "summarize", API_COHERE_UNITS, 0},
    {"POST", "tokenize", API_FREE, 0},         {"POST", "detokenize", API_FREE, 0},
    {"POST", "check-api-key", API_FREE, 0},    {"GET", "models", API_FREE, 0},
    {"GET", "models/{name}", API_FREE, 0},     {"GET", "datasets", API_FREE, 0},
    {"GET", "datasets/{id}", API_FREE, 0},
};

static const struct route cohere_chat_routes[] = {{"POST", "chat", API_COHERE_CHAT, 0}};

static const struct route mistral_routes[] = {
    {"POST", "chat/completions", API_CHAT, 0},
    {"POST", "fim/completions", API_CHAT, 0},
    {"POST", "agents/completions", API_CHAT, 0},
    {"POST", "embeddings", API_EMBEDDINGS, 0},
    {"POST", "ocr", API_OCR, 0},
    {"POST", "audio/transcriptions", API_TRANSCRIPTIONS, 0},
    {"POST", "audio/speech", API_SPEECH, 0},
    {"GET", "models", API_FREE, 0},
    {"GET", "models/{name}", API_FREE, 0},
    {"GET", "files", API_FREE, 0},
    {"POST", "files", API_FREE, 0},
    {"GET", "files/{id}", API_FREE, 0},
    {"DELETE", "files/{id}", API_FREE, 0},
    {"GET", "files/{late}/content", API_BATCH_RESULTS, 0},
};

static const struct route openrouter_routes[] = {
    {"GET", "models/{id}/{name}/endpoints", API_FREE, 0},
    {"GET", "generation", API_FREE, 0},
    {"GET", "credits", API_FREE, 0},
    {"GET", "key", API_FREE, 0},
    {"GET", "auth/key", API_FREE, 0},
    {"GET", "providers", API_FREE, 0},
    {"GET", "activity", API_FREE, 0},
};

static const struct route ollama_routes[] = {
    {"POST", "chat", API_OLLAMA, 0},        {"POST", "generate", API_OLLAMA, 0},
    {"POST", "embed", API_OLLAMA_EMBED, 0}, {"POST", "embeddings", API_OLLAMA_EMBED, 0},
    {"GET", "tags", API_FREE, 0},           {"GET", "ps", API_FREE, 0},
    {"GET", "version", API_FREE, 0},        {"POST", "show", API_FREE, 0},
    {"POST", "pull", API_FREE, 0},          {"POST", "copy", API_FREE, 0},
    {"POST", "create", API_FREE, 0},        {"DELETE", "delete", API_FREE, 0},
    {"HEAD", "blobs/{name}", API_FREE, 0},
};

/* --- mounts ------------------------------------------------------------------------------------------------------- */

#define AT(base, routes, shape, flags)                                                                                 \
	{                                                                                                              \
		base, routes, ARRAY_LEN(routes), shape, flags                                                          \
	}
#define OPENAI_AT(base) AT(base, openai_routes, FAMILY_OPENAI, 0)
#define MESSAGES_AT(base) AT(base, messages_routes, FAMILY_ANTHROPIC, 0)

/* "" also stands for whatever path a configured base_url has. */
static const struct mount openai_mounts[] = {
    OPENAI_AT("v1"),
    OPENAI_AT(""),
    OPENAI_AT("openai/v1"),
    OPENAI_AT("openai"),
    OPENAI_AT("inference/v1"),
    OPENAI_AT("api/v1"),
    OPENAI_AT("beta"), /* DeepSeek */
    OPENAI_AT("compatible-mode/v1"),
    OPENAI_AT("api/paas/v4"),
    OPENAI_AT("v3/openai"),
    MESSAGES_AT("v1"),
    MESSAGES_AT("anthropic/v1"),
    MESSAGES_AT("anthropic"),
    MESSAGES_AT("inference/v1"),
    MESSAGES_AT("api/anthropic/v1"),
    MESSAGES_AT(""),
    AT("", server_routes, FAMILY_OPENAI, 0),
};

static const struct mount azure_mounts[] = {
    AT("openai/deployments/{slot}", azure_deployment_routes, FAMILY_OPENAI, DEPLOYMENT),
    AT("openai/v1", openai_routes, FAMILY_OPENAI, DEPLOYMENT),
    AT("openai", openai_routes, FAMILY_OPENAI, DEPLOYMENT),
    AT("deployments/{slot}", azure_deployment_routes, FAMILY_OPENAI, DEPLOYMENT),
    AT("v1", openai_routes, FAMILY_OPENAI, DEPLOYMENT),
    AT("", openai_routes, FAMILY_OPENAI, DEPLOYMENT),
    AT("models", azure_inference_routes, FAMILY_OPENAI, DEPLOYMENT),
    AT("anthropic/v1", messages_routes, FAMILY_ANTHROPIC, DEPLOYMENT),
};

static const struct mount anthropic_mounts[] = {
    AT("v1", anthropic_routes, FAMILY_ANTHROPIC, 0),
    AT("", anthropic_routes, FAMILY_ANTHROPIC, 0),
    AT("anthropic/v1", anthropic_routes, FAMILY_ANTHROPIC, 0),
    AT("v1", chat_routes, FAMILY_OPENAI, 0),
};

#define GEMINI_AT(base) AT(base, gemini_routes, FAMILY_GOOGLE, 0)
#define VERTEX_AT(base)                                                                                                \
	AT(base, vertex_routes, FAMILY_GOOGLE, 0),                                                                     \
	    AT(base "/publishers/anthropic/models", vertex_anthropic_routes, FAMILY_ANTHROPIC, 0),                     \
	    AT(base "/publishers/mistralai/models", vertex_mistral_routes, FAMILY_MISTRAL, 0),                         \
	    AT(base "/endpoints/openapi", chat_routes, FAMILY_OPENAI, 0)

static const struct mount google_mounts[] = {
    GEMINI_AT("v1beta"),
    GEMINI_AT("v1"),
    GEMINI_AT("v1alpha"),
    GEMINI_AT(""),
    AT("upload/v1beta", gemini_upload_routes, FAMILY_GOOGLE, 0),
    AT("upload/v1", gemini_upload_routes, FAMILY_GOOGLE, 0),
    OPENAI_AT("v1beta/openai"),
    OPENAI_AT("openai"),
    VERTEX_AT("v1/projects/{id}/locations/{id}"),
    VERTEX_AT("v1beta1/projects/{id}/locations/{id}"),
    VERTEX_AT("projects/{id}/locations/{id}"),
    AT("v1", vertex_routes, FAMILY_GOOGLE, 0), /* express mode: no project */
    AT("v1beta1", vertex_routes, FAMILY_GOOGLE, 0),
};

static const struct mount aws_mounts[] = {
    AT("model", bedrock_routes, FAMILY_AWS, 0),
    OPENAI_AT("openai/v1"),
    OPENAI_AT("v1"),
    MESSAGES_AT("anthropic/v1"),
};

static const struct mount cohere_mounts[] = {
    AT("v2", cohere_chat_routes, FAMILY_COHERE, 0),
    AT("v2", cohere_routes, FAMILY_COHERE, 0),
    AT("v1", cohere_routes, FAMILY_COHERE, 0),
    AT("v1", cohere_v1_routes, FAMILY_COHERE, 0),
    OPENAI_AT("compatibility/v1"),
};

static const struct mount mistral_mounts[] = {
    AT("v1", mistral_routes, FAMILY_MISTRAL, 0),
    AT("", mistral_routes, FAMILY_MISTRAL, 0),
};

static const struct mount openrouter_mounts[] = {
    AT("api/v1", openai_routes, FAMILY_OPENROUTER, 0),
    AT("api/v1", openrouter_routes, FAMILY_OPENROUTER, 0),
    MESSAGES_AT("api/v1"),
    AT("", openai_routes, FAMILY_OPENROUTER, 0),
    AT("", openrouter_routes, FAMILY_OPENROUTER, 0),
    MESSAGES_AT(""),
};

static const struct mount ollama_mounts[] = {
    AT("api", ollama_routes, FAMILY_OLLAMA, 0),
    OPENAI_AT("v1"),
    MESSAGES_AT("v1"),
};

static const struct {
	const struct mount *mounts;
	size_t n;
	enum api_family shape;
} families[] = {
    [FAMILY_OTHER] = {NULL, 0, FAMILY_OTHER},
    [FAMILY_OPENAI] = {openai_mounts, ARRAY_LEN(openai_mounts), FAMILY_OPENAI},
    [FAMILY_AZURE] = {azure_mounts, ARRAY_LEN(azure_mounts), FAMILY_OPENAI},
    [FAMILY_ANTHROPIC] = {anthropic_mounts, ARRAY_LEN(anthropic_mounts), FAMILY_ANTHROPIC},
    [FAMILY_GOOGLE] = {google_mounts, ARRAY_LEN(google_mounts), FAMILY_GOOGLE},
    [FAMILY_AWS] = {aws_mounts, ARRAY_LEN(aws_mounts), FAMILY_AWS},
    [FAMILY_COHERE] = {cohere_mounts, ARRAY_LEN(cohere_mounts), FAMILY_COHERE},
    [FAMILY_MISTRAL] = {mistral_mounts, ARRAY_LEN(mistral_mounts), FAMILY_MISTRAL},
    [FAMILY_OPENROUTER] = {openrouter_mounts, ARRAY_LEN(openrouter_mounts), FAMILY_OPENROUTER},
    [FAMILY_OLLAMA] = {ollama_mounts, ARRAY_LEN(ollama_mounts), FAMILY_OLLAMA},
};

/* --- names -------------------------------------------------------------------------------------------------------- */

const char *api_kind_name(enum api_kind kind)
{
	static const char *const names[API_KIND_COUNT] = {
	    [API_UNKNOWN] = "unknown",
	    [API_FREE] = "free",
	    [API_CHAT] = "chat",
	    [API_RESPONSES] = "responses",
	    [API_EMBEDDINGS] = "embeddings",
	    [API_MESSAGES] = "messages",
	    [API_GENERATE] = "generate",
	    [API_COMPLETIONS] = "completions",
	    [API_MODERATIONS] = "moderations",
	    [API_IMAGES] = "images",
	    [API_SPEECH] = "speech",
	    [API_TRANSCRIPTIONS] = "transcriptions",
	    [API_RESPONSE_LATE] = "response",
	    [API_BATCH_SUBMIT] = "batch_submit",
	    [API_BATCH] = "batch",
	    [API_BATCH_RESULTS] = "batch_results",
	    [API_FILE_UPLOAD] = "file_upload",
	    [API_INTERACTIONS] = "interactions",
	    [API_INTERACTION_LATE] = "interaction",
	    [API_EMBED_CONTENT] = "embed_content",
	    [API_PREDICT] = "predict",
	    [API_CONVERSE] = "converse",
	    [API_INVOKE] = "invoke",
	    [API_COHERE_CHAT] = "cohere_chat",
	    [API_COHERE_UNITS] = "cohere",
	    [API_OCR] = "ocr",
	    [API_OLLAMA] = "ollama",
	    [API_OLLAMA_EMBED] = "ollama_embed",
	    [API_REALTIME] = "realtime",
	    [API_GENERIC] = "generic",
	};

	return (unsigned)kind < API_KIND_COUNT ? names[kind] : "unknown";
}

bool api_kind_is_unbilled(enum api_kind kind)
{
	return kind == API_FREE || kind == API_MODERATIONS || kind == API_FILE_UPLOAD;
}

/* --- names in a path ---------------------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The byte at s[i], decoded when it is written as %XX; *ret_n = bytes taken. -1: a malformed escape. */
static int byte_at(struct slice s, size_t i, size_t *ret_n)
{
	int hi, lo;

	*ret_n = 1;
	if (s.p[i] != '%')
		return (unsigned char)s.p[i];
	if (i + 2 >= s.n)
		return -1;
	hi = hex_digit(s.p[i + 1]);
	lo = hex_digit(s.p[i + 2]);
	*ret_n = 3;
	return hi < 0 || lo < 0 ? -1 : hi * 16 + lo;
}

static bool is_plain(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
	       c == '.' || c == '~';
}

/* Letters, and of `more` what stands as it is; of `escaped` what is written %XX. Other escapes could make another path
 * of it. */
static bool is_name(struct slice s, const char *more, const char *escaped)
{
	size_t i, n;

	for (i = 0; i < s.n; i += n) {
		int c = byte_at(s, i, &n);

		if (c <= 0 || !(n == 3 ? strchr(escaped, c) != NULL : is_plain(c) || strchr(more, c)))
			return false;
	}
	return s.n > 0;
}

static bool is_dots(struct slice s)
{
	return slice_eq(s, SLICE(".")) || slice_eq(s, SLICE(".."));
}

/* "us.anthropic.claude-…-v1%3A0", "arn%3Aaws%3A…%2Feu.amazon.nova-pro-v1%3A0": its parts, too, are no dots. */
static bool is_arn(struct slice s)
{
	size_t i, n, from = 0;

	if (!is_name(s, ":", ":/"))
		return false;
	for (i = 0; i < s.n; i += n) {
		if (byte_at(s, i, &n) != '/')
			continue;
		if (i == from || is_dots(slice_sub(s, from, i - from)))
			return false;
		from = i + n;
	}
	return from < s.n && !is_dots(slice_sub(s, from, s.n));
}

int api_decode_model(struct slice model, char *dst, size_t dst_size)
{
	size_t i, n, out = 0;

	for (i = 0; i < model.n; i += n) {
		int c = byte_at(model, i, &n);

		if (c < ' ' || c == 127)
			return BUR_INVALID;
		if (out + 1 >= dst_size)
			return BUR_TOOBIG;
		dst[out++] = (char)c;
	}
	if (dst_size == 0)
		return BUR_TOOBIG;
	dst[out] = '\0';
	return out > 0 ? BUR_OK : BUR_INVALID;
}

/* --- matching ----------------------------------------------------------------------------------------------------- */

#define SEGMENTS_MAX 16

struct path {
	struct slice seg[SEGMENTS_MAX];
	size_t n;
};

static bool path_split(struct slice path, struct path *ret)
{
	struct slice rest, seg;

	ret->n = 0;
	if (path.n == 0 || path.p[0] != '/')
		return false;
	rest = slice_sub(path, 1, path.n - 1);
	for (;;) {
		bool more = slice_cut(rest, '/', &seg, &rest);

		if (ret->n == SEGMENTS_MAX || seg.n == 0 || is_dots(seg))
			return false;
		ret->seg[ret->n++] = seg;
		if (!more)
			return true;
	}
}

static bool match_name(struct slice what, struct slice seg, struct api_match *m)
{
	if (slice_eq(what, SLICE("{id}")))
		return is_name(seg, "", "");
	if (slice_eq(what, SLICE("{name}")))
		return is_name(seg, ":@", "");
	if (slice_eq(what, SLICE("{late}"))) {
		m->late_id = seg;
		return is_name(seg, "", "");
	}
	m->model = seg;
	if (slice_eq(what, SLICE("{slot}")))
		return is_name(seg, "", "");
	return slice_eq(what, SLICE("{arn}")) ? is_arn(seg) : is_name(seg, "@", "@");
}

static bool match_segment(struct slice pattern, struct slice seg, struct api_match *m)
{
	size_t name;

	if (pattern.p[0] != '{')
		return slice_eq(pattern, seg);
	name = slice_find(pattern, '}') + 1;
	if (name < pattern.n) { /* "{model}:verb" */
		struct slice verb = slice_sub(pattern, name, pattern.n);

		if (!slice_ends(seg, verb))
			return false;
		seg.n -= verb.n;
	}
	return match_name(slice_sub(pattern, 0, name), seg, m);
}

/* Takes the pattern's segments from the path at *i. */
static bool match_pattern(const char *pattern, const struct path *p, size_t *i, struct api_match *m)
{
	while (*pattern) {
		size_t n = strcspn(pattern, "/");

		if (*i == p->n || !match_segment(slice_mem(pattern, n), p->seg[*i], m))
			return false;
		(*i)++;
		pattern += n + (pattern[n] == '/');
	}
	return true;
}

static bool match_mount(const struct mount *mount, struct slice method, const struct path *p, struct api_match *ret)
{
	struct api_match based = {.kind = API_UNKNOWN, .family = mount->shape};
	size_t begin = 0, k;

	if (!match_pattern(mount->base, p, &begin, &based))
		return false;
	for (k = 0; k < mount->n; k++) {
		const struct route *r = &mount->routes[k];
		struct api_match m = based;
		size_t i = begin;

		if (!slice_eq(method, slice_of(r->method)) || !match_pattern(r->pattern, p, &i, &m) || i != p->n)
			continue;
		m.kind = r->kind;
		m.stream_by_path = (r->flags & STREAM) != 0;
		m.model_is_final = (r->flags & FINAL) != 0;
		m.model_is_deployment = ((r->flags | mount->flags) & DEPLOYMENT) != 0;
		*ret = m;
		return true;
	}
	return false;
}

enum api_family api_family_shape(enum api_family family)
{
	return (size_t)family < ARRAY_LEN(families) ? families[family].shape : FAMILY_OTHER;
}

struct api_match api_classify(enum api_family family, struct slice method, struct slice path)
{
	struct api_match m = {.kind = API_UNKNOWN, .family = api_family_shape(family)};
	struct path p;
	size_t i;

	if ((size_t)family >= ARRAY_LEN(families) || !path_split(path, &p))
		return m;
	for (i = 0; i < families[family].n; i++)
		if (match_mount(&families[family].mounts[i], method, &p, &m))
			break;
	return m;
}

/* --- secrets in the URL ------------------------------------------------------------------------------------------- */

#define SECRET_NAME_MAX 32

/* Decodes and lower-cases a parameter name; names too long for any secret come out empty. */
static struct slice param_name(struct slice s, char dst[SECRET_NAME_MAX])
{
	size_t i, n = 0;

	for (i = 0; i < s.n; i++) {
		size_t step;
		int c = byte_at(s, i, &step);

		if (n == SECRET_NAME_MAX)
			return SLICE_NONE;
		if (c < 0) { /* no escape after all */
			c = '%';
			step = 1;
		}
		i += step - 1;
		dst[n++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
	}
	return slice_mem(dst, n);
}

/* Whether the query has a parameter of one of these names. */
static bool query_names(struct slice query, const char *const *names, size_t n)
{
	struct slice rest = query, param, name, value;
	char text[SECRET_NAME_MAX];

	while (rest.n > 0) {
		slice_cut(rest, '&', &param, &rest);
		slice_cut(param, '=', &name, &value);
		name = param_name(name, text);
		for (size_t i = 0; i < n; i++)
			if (slice_eq(name, slice_of(names[i])))
				return true;
	}
	return false;
}

bool api_query_has_secret(struct slice query)
{
	static const char *const names[] = {"key",
					    "api_key",
					    "api-key",
					    "apikey",
					    "access_token",
					    "token",
					    "upload_token",
					    "x-goog-api-key",
					    "subscription-key",
					    "x-amz-signature",
					    "x-amz-credential",
					    "x-amz-security-token"};

	return query_names(query, names, ARRAY_LEN(names));
}

bool api_query_has_mask(struct slice query)
{
	static const char *const names[] = {"fields", "$fields"};

	return query_names(query, names, ARRAY_LEN(names));
}
