#include "tests/vendor/request.h"

#include <string.h>

#include "base/error.h"

#define DEFAULT_OUT 16

static const struct {
	const char *name;
	enum body_kind body;
	bool billed;
} apis[] = {
#define X(uc, name, body, billed) {name, body, billed},
    APIS(X)
#undef X
};

const char *api_name(enum api a)
{
	return apis[a].name;
}

enum body_kind api_body(enum api a)
{
	return apis[a].body;
}

bool api_is_billed(enum api a)
{
	return apis[a].billed;
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
	    {SLICE("x-vendor-reasoning"), &s->reasoning},
	    {SLICE("x-vendor-cost-nanousd"), &s->cost_nanousd},
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
	if (slice_ieq(name, SLICE("x-vendor-cost-nanousd")))
		s->has_cost = true;
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
	const struct h1_field *host = h1_find(head, H1_F_HOST);
	struct slice path, query;

	memset(r, 0, sizeof(*r));
	r->candidates = 1;
	(void)slice_cut(head->target, '?', &path, &query);
	path = seller_find(path, host ? host->value : SLICE(""), &r->seller);
	request_route(r, head->method_text, path, query);
	if (r->api != API_CONTROL)
		script_from_head(&r->script, head);
}

void body_scan_init(struct body_scan *b, struct request *r)
{
	memset(b, 0, offsetof(struct body_scan, key));
	b->key[0][0] = b->key[1][0] = b->key[2][0] = '\0';
	b->request = r;
	json_reader_init(&b->json);
	b->json.want_text = true;
}

/* What the value of a key at depth one or two means. */
enum meaning {
	MEANS_NOTHING,
	MEANS_MODEL,
	MEANS_MAX_OUT,
	MEANS_THINKING,
	MEANS_CANDIDATES,
	MEANS_STREAM,
	MEANS_USAGE,
	MEANS_BASE64,
	MEANS_BACKGROUND,
	MEANS_SSE
};

static const struct {
	const char *first, *second;
	enum meaning meaning;
} keys[] = {
    {"model", NULL, MEANS_MODEL},
    {"stream", NULL, MEANS_STREAM},
    {"stream_options", "include_usage", MEANS_USAGE},
    {"encoding_format", NULL, MEANS_BASE64},
    {"background", NULL, MEANS_BACKGROUND},
    {"stream_format", NULL, MEANS_SSE},
    {"n", NULL, MEANS_CANDIDATES},
    {"generationConfig", "candidateCount", MEANS_CANDIDATES},
    {"max_tokens", NULL, MEANS_MAX_OUT},
    {"max_completion_tokens", NULL, MEANS_MAX_OUT},
    {"max_output_tokens", NULL, MEANS_MAX_OUT},
    {"max_gen_len", NULL, MEANS_MAX_OUT},
    {"generationConfig", "maxOutputTokens", MEANS_MAX_OUT},
    {"inferenceConfig", "maxTokens", MEANS_MAX_OUT},
    {"inferenceConfig", "max_new_tokens", MEANS_MAX_OUT},
    {"textGenerationConfig", "maxTokenCount", MEANS_MAX_OUT},
    {"options", "num_predict", MEANS_MAX_OUT},
    {"thinking", "budget_tokens", MEANS_THINKING},
    {"thinking", "token_budget", MEANS_THINKING},
    {"reasoning", "max_tokens", MEANS_THINKING},
};

/* Gemini's and Converse's thinking stands a level deeper. */
static bool is_deep_thinking(const struct body_scan *b)
{
	return b->depth == 3 && (strcmp(b->key[2], "thinkingBudget") == 0 || strcmp(b->key[2], "budget_tokens") == 0) &&
	       (strcmp(b->key[0], "generationConfig") == 0 || strcmp(b->key[0], "additionalModelRequestFields") == 0);
}

static enum meaning meaning_of(const struct body_scan *b)
{
	if (is_deep_thinking(b))
		return MEANS_THINKING;
	for (size_t i = 0; i < ARRAY_LEN(keys) && (b->depth == 1 || b->depth == 2); i++) {
		const char *second = keys[i].second;

		if (b->depth == (second ? 2 : 1) && strcmp(b->key[0], keys[i].first) == 0 &&
		    (!second || strcmp(b->key[1], second) == 0))
			return keys[i].meaning;
	}
	return MEANS_NOTHING;
}

/* Lists of things to embed or to rank. */
static bool in_inputs(const struct body_scan *b)
{
	return strcmp(b->key[0], "input") == 0 || strcmp(b->key[0], "texts") == 0 ||
	       strcmp(b->key[0], "documents") == 0;
}

static void seen_string(struct body_scan *b)
{
	struct request *r = b->request;
	enum meaning m = meaning_of(b);

	if (m == MEANS_MODEL) {
		if (!r->model_in_path)
			(void)slice_to_cstr(json_text(&b->json), r->model, sizeof(r->model));
		return;
	}
	if (m == MEANS_BASE64)
		r->base64 = slice_eq(json_text(&b->json), SLICE("base64"));
	if (m == MEANS_SSE)
		r->stream = slice_eq(json_text(&b->json), SLICE("sse"));
	if (in_inputs(b))
		r->inputs++;
	r->text_bytes += b->json.length_bytes;
}

static void seen_number(struct body_scan *b)
{
	struct request *r = b->request;
	enum meaning m = meaning_of(b);
	uint64_t v;

	if (m == MEANS_NOTHING || json_count(json_text(&b->json), &v) < 0)
		return;
	if (m == MEANS_MAX_OUT) {
		r->has_max_out = true;
		r->max_out = v;
	} else if (m == MEANS_THINKING) {
		r->has_thinking = true;
		r->thinking = v;
	} else if (m == MEANS_CANDIDATES) {
		r->candidates = v > 0 && v <= 128 ? v : 1;
	}
}

static void seen_bool(struct body_scan *b, bool value)
{
	enum meaning m = meaning_of(b);

	if (m == MEANS_STREAM)
		b->request->stream = value;
	else if (m == MEANS_USAGE)
		b->request->include_usage = value;
	else if (m == MEANS_BACKGROUND)
		b->request->background = value;
}

static void seen_token(struct body_scan *b, enum json_token t)
{
	switch (t) {
	case JT_OBJECT_BEGIN:
		if (b->depth == 2 && strcmp(b->key[0], "requests") == 0)
			b->request->inputs++;
		b->depth++;
		break;
	case JT_ARRAY_BEGIN:
		b->depth++;
		break;
	case JT_OBJECT_END:
	case JT_ARRAY_END:
		b->depth--;
		break;
	case JT_KEY:
		if (b->depth >= 1 && b->depth <= 3)
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

const char *request_refusal(const struct request *r)
{
	bool claude = r->api == API_MESSAGES || memmem(r->model, strlen(r->model), "claude", 6);

	if (r->bad_json)
		return "the body is not JSON";
	if (r->api == API_RESPONSES && r->has_max_out && r->max_out < 16)
		return "max_output_tokens: must be at least 16";
	if (claude && r->has_thinking && r->thinking < 1024)
		return "thinking.budget_tokens: must be at least 1024";
	if (claude && r->has_thinking && r->has_max_out && r->thinking >= r->max_out)
		return "max_tokens: must be greater than thinking.budget_tokens";
	return NULL;
}

uint64_t request_input_tokens(const struct request *r)
{
	return r->text_bytes / 4 + 1;
}

uint64_t request_output_tokens(const struct request *r)
{
	uint64_t out = r->script.has_out ? r->script.out : DEFAULT_OUT;

	if (r->has_max_out && out > r->max_out)
		out = r->max_out;
	return out * r->candidates;
}
