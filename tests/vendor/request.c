#include "tests/vendor/request.h"

#include <string.h>

#include "base/error.h"

#define DEFAULT_OUT 16

static const struct {
	const char *name, *provider;
} apis[] = {
    [API_NONE] = {"none", "openai"},
    [API_CONTROL] = {"control", "openai"},
    [API_MODELS] = {"models", "openai"},
    [API_CHAT] = {"chat", "openai"},
    [API_RESPONSES] = {"responses", "openai"},
    [API_EMBEDDINGS] = {"embeddings", "openai"},
    [API_MESSAGES] = {"messages", "anthropic"},
    [API_COUNT_TOKENS] = {"count_tokens", "anthropic"},
    [API_GENERATE] = {"generate", "google"},
    [API_GOOGLE_COUNT] = {"count", "google"},
    [API_ECHO] = {"echo", "openai"},
};

static const struct {
	enum api api;
	struct slice path;
} routes[] = {
    {API_CHAT, SLICE("/v1/chat/completions")},
    {API_RESPONSES, SLICE("/v1/responses")},
    {API_EMBEDDINGS, SLICE("/v1/embeddings")},
    {API_MODELS, SLICE("/v1/models")},
    {API_MESSAGES, SLICE("/v1/messages")},
    {API_COUNT_TOKENS, SLICE("/v1/messages/count_tokens")},
    {API_ECHO, SLICE("/echo")},
};

const char *api_name(enum api a)
{
	return apis[a].name;
}

const char *api_provider(enum api a)
{
	return apis[a].provider;
}

bool api_is_billed(enum api a)
{
	return a == API_CHAT || a == API_RESPONSES || a == API_EMBEDDINGS || a == API_MESSAGES || a == API_GENERATE;
}

/* "/v1beta/models/MODEL:METHOD"; v1 and v1alpha as well. */
static void route_google(struct request *r, struct slice path, struct slice query)
{
	struct slice version, rest, model, method;

	(void)slice_cut(slice_sub(path, 1, path.n), '/', &version, &rest);
	if (!slice_eq(version, SLICE("v1beta")) && !slice_eq(version, SLICE("v1")) &&
	    !slice_eq(version, SLICE("v1alpha")))
		return;
	if (!slice_starts(rest, SLICE("models/")))
		return;
	rest = slice_sub(rest, strlen("models/"), rest.n);
	if (!slice_cut(rest, ':', &model, &method) || model.n > MODEL_MAX)
		return;
	(void)slice_to_cstr(model, r->model, sizeof(r->model));
	if (slice_eq(method, SLICE("countTokens"))) {
		r->api = API_GOOGLE_COUNT;
	} else if (slice_eq(method, SLICE("generateContent"))) {
		r->api = API_GENERATE;
	} else if (slice_eq(method, SLICE("streamGenerateContent"))) {
		r->api = API_GENERATE;
		r->stream = true;
		r->json_array = !memmem(query.p ? query.p : "", query.n, "alt=sse", 7);
	}
}

static enum fault fault_from(struct slice text)
{
#define X(uc, name)                                                                                                    \
	if (slice_eq(text, SLICE(name)))                                                                               \
		return FAULT_##uc;
	FAULTS(X)
#undef X
	return FAULT_NONE;
}

static void script_number(struct slice name, struct slice value, struct script *s)
{
	struct {
		struct slice name;
		uint64_t *to;
	} const table[] = {
	    {SLICE("x-vendor-out"), &s->out},
	    {SLICE("x-vendor-delay-ms"), &s->delay_ms},
	    {SLICE("x-vendor-chunk-ms"), &s->chunk_ms},
	    {SLICE("x-vendor-chunks"), &s->chunks},
	    {SLICE("x-vendor-cached"), &s->cached},
	    {SLICE("x-vendor-cache-write"), &s->write_5m},
	    {SLICE("x-vendor-cache-write-1h"), &s->write_1h},
	};
	uint64_t v;

	if (slice_u64(value, &v) < 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (slice_ieq(name, table[i].name))
			*table[i].to = v;
	}
	if (slice_ieq(name, SLICE("x-vendor-out")))
		s->has_out = true;
}

/* The name goes into JSON as it is. */
static void script_call(struct slice value, struct script *s)
{
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] == '"' || value.p[i] == '\\' || (unsigned char)value.p[i] < 0x20)
			return;
	}
	(void)slice_to_cstr(value, s->call, sizeof(s->call));
}

static void script_from_head(struct script *s, const struct h1_head *head)
{
	bool gzip_asked = false, gzip_fine = false;

	for (size_t i = 0; i < head->n_fields; i++) {
		const struct h1_field *f = &head->fields[i];

		if (f->id == H1_F_ACCEPT_ENCODING)
			gzip_fine = memmem(f->value.p, f->value.n, "gzip", 4) != NULL;
		if (f->name.n < 9 || !slice_istarts(f->name, SLICE("x-vendor-")))
			continue;
		if (slice_ieq(f->name, SLICE("x-vendor-fault")))
			s->fault = fault_from(f->value);
		else if (slice_ieq(f->name, SLICE("x-vendor-gzip")))
			gzip_asked = true;
		else if (slice_ieq(f->name, SLICE("x-vendor-call")))
			script_call(f->value, s);
		else
			script_number(f->name, f->value, s);
	}
	s->gzip = gzip_asked && gzip_fine;
}

void request_from_head(struct request *r, const struct h1_head *head)
{
	struct slice path, query;

	memset(r, 0, sizeof(*r));
	r->candidates = 1;
	(void)slice_cut(head->target, '?', &path, &query);
	if (slice_starts(path, SLICE("/__"))) {
		r->api = API_CONTROL;
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		if (slice_eq(path, routes[i].path))
			r->api = routes[i].api;
	}
	if (r->api == API_NONE)
		route_google(r, path, query);
	script_from_head(&r->script, head);
}

void body_scan_init(struct body_scan *b, struct request *r)
{
	memset(b, 0, offsetof(struct body_scan, key));
	b->key[0][0] = b->key[1][0] = '\0';
	b->request = r;
	json_reader_init(&b->json);
	b->json.want_text = true;
}

static bool at(const struct body_scan *b, const char *first, const char *second)
{
	return strcmp(b->key[0], first) == 0 && b->depth == (second ? 2 : 1) &&
	       (!second || strcmp(b->key[1], second) == 0);
}

static void seen_string(struct body_scan *b)
{
	struct request *r = b->request;
	struct slice text = json_text(&b->json);

	if (at(b, "model", NULL)) {
		(void)slice_to_cstr(text, r->model, sizeof(r->model));
		return;
	}
	if (at(b, "encoding_format", NULL))
		r->base64 = slice_eq(text, SLICE("base64"));
	if (strcmp(b->key[0], "input") == 0)
		r->inputs++;
	r->text_bytes += b->json.length_bytes;
}

static void seen_number(struct body_scan *b)
{
	struct request *r = b->request;
	uint64_t v;

	if (json_count(json_text(&b->json), &v) < 0)
		return;
	if (at(b, "max_tokens", NULL) || at(b, "max_completion_tokens", NULL) || at(b, "max_output_tokens", NULL) ||
	    at(b, "generationConfig", "maxOutputTokens")) {
		r->has_max_out = true;
		r->max_out = v;
	} else if (at(b, "n", NULL) || at(b, "generationConfig", "candidateCount")) {
		r->candidates = v > 0 && v <= 128 ? v : 1;
	}
}

static void seen_bool(struct body_scan *b, bool value)
{
	if (at(b, "stream", NULL))
		b->request->stream = value;
	else if (at(b, "stream_options", "include_usage"))
		b->request->include_usage = value;
}

static void seen_token(struct body_scan *b, enum json_token t)
{
	switch (t) {
	case JT_OBJECT_BEGIN:
	case JT_ARRAY_BEGIN:
		b->depth++;
		break;
	case JT_OBJECT_END:
	case JT_ARRAY_END:
		b->depth--;
		break;
	case JT_KEY:
		if (b->depth == 1 || b->depth == 2)
			(void)slice_to_cstr(json_text(&b->json), b->key[b->depth - 1], sizeof(b->key[0]));
		break;
	case JT_STRING:
		seen_string(b);
		break;
	case JT_NUMBER:
		seen_number(b);
		break;
	case JT_TRUE:
	case JT_FALSE:
		seen_bool(b, t == JT_TRUE);
		break;
	default:
		break;
	}
}

void body_scan_feed(struct body_scan *b, const char *p, size_t n)
{
	size_t i = 0;

	while (!b->failed) {
		enum json_token t = json_next(&b->json, p, n, &i);

		if (t == JT_ERROR)
			b->failed = true;
		if (t == JT_MORE || t == JT_ERROR)
			return;
		seen_token(b, t);
	}
}

void body_scan_finish(struct body_scan *b)
{
	b->request->bad_json = b->failed || !json_reader_complete(&b->json);
}

uint64_t request_input_tokens(const struct request *r)
{
	return r->text_bytes / 4 + 1;
}

uint64_t request_output_tokens(const struct request *r)
{
	uint64_t out = r->script.has_out ? r->script.out : DEFAULT_OUT;

	if (r->api == API_EMBEDDINGS)
		return 0;
	if (r->has_max_out && out > r->max_out)
		out = r->max_out;
	return out * r->candidates;
}
