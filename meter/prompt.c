#include "meter/prompt.h"

#include "base/check.h"
#include "base/error.h"

/* OpenAI: role and separators of a message, a name, a call of a function; the answer's first tokens; a namespace of
 * functions around their definitions. */
#define MESSAGE_TOKENS 3
#define NAME_TOKENS 1
#define CALL_TOKENS 3
#define PRIMER_TOKENS 3
#define SCHEMA_TOKENS 9
/* Framing that differs by model and is not documented: a message, a request. The byte bound has the same. */
#define MARGIN_MESSAGE 5
#define MARGIN_REQUEST 29
#define MARGIN_TOOLS 1024

/* What a part of the body is to the prompt. */
enum area {
	AREA_NONE,   /* known not to be in it */
	AREA_PROMPT, /* every string is text */
	AREA_SCHEMA, /* read by the model in a form of the vendor's own: tools, formats */
	AREA_OTHER,  /* not known: as if its bytes were tokens */
};

/* A longer string is counted in pieces. */
#define STRING_AT_ONCE_BYTES (32 * 1024)
#define GATHER_BYTES 4096

/* --- text --------------------------------------------------------------------------------------------------------- */

/* Lead bytes tell enough: U+3000 to U+DFFF are three bytes that begin with 0xe3 to 0xed. */
static void classify(struct prompt_scan *c, struct slice s)
{
	size_t i;

	for (i = 0; i < s.n; i++) {
		unsigned char b = (unsigned char)s.p[i];

		if (b < 0x80)
			c->letters += (b | 0x20) >= 'a' && (b | 0x20) <= 'z';
		else if (b >= 0xe3 && b <= 0xed)
			c->cjk++;
		else if (b >= 0xc0)
			c->others++;
	}
}

/* The string just read, with its quotes. */
static struct slice raw_string(const struct prompt_scan *c)
{
	size_t begin = (size_t)c->json.token_begin;

	return slice_sub(c->body, begin, (size_t)c->json.offset - begin);
}

/* It is counted by string_step; `n` bytes with its quotes. */
static void open_string(struct prompt_scan *c, size_t n, bool is_key)
{
	c->in_string = true;
	c->string_is_key = is_key;
	c->string_at = (size_t)c->json.token_begin;
	c->string_end = c->string_at + n;
	unescape_init(&c->unescape);
}

static void text_string(struct prompt_scan *c)
{
	struct slice raw = raw_string(c);

	if (raw.n > STRING_AT_ONCE_BYTES || memchr(raw.p, '\\', raw.n)) {
		tok_stream_init(&c->text, c->encoding, c->cache);
		open_string(c, raw.n, false);
		return;
	}
	raw = slice_sub(raw, 1, raw.n - 2);
	classify(c, raw);
	c->tokens += tok_count(c->encoding, c->cache, raw.p, raw.n, UINT64_MAX);
}

static void text_feed(struct prompt_scan *c, struct slice s)
{
	classify(c, s);
	tok_stream_feed(&c->text, s.p, s.n);
}

/* Text between escapes is short, and to feed each run by itself costs several times more than to count it. */
struct gather {
	size_t n;
	char text[GATHER_BYTES];
};

static void text_flush(struct prompt_scan *c, struct gather *g)
{
	text_feed(c, slice_mem(g->text, g->n));
	g->n = 0;
}

static void text_run(struct prompt_scan *c, struct gather *g, struct slice run)
{
	if (run.n > GATHER_BYTES - g->n)
		text_flush(c, g);
	if (run.n > GATHER_BYTES) {
		text_feed(c, run);
		return;
	}
	memcpy(g->text + g->n, run.p, run.n);
	g->n += run.n;
}

/* --- definitions of tools, as compact JSON ------------------------------------------------------------------------ */

/* Of a string of a definition, written again: escapes only where JSON needs them. */
static void schema_run(struct prompt_scan *c, struct slice run)
{
	char text[1024];
	size_t k, part;

	for (k = 0; k < run.n; k += part) {
		part = run.n - k < 128 ? run.n - k : 128;
		/* escaping a cut character would change it; plain runs need none */
		if (memchr(run.p + k, '"', part) || memchr(run.p + k, '\\', part) || (unsigned char)run.p[k] < 0x20)
			tok_stream_feed(&c->schema, text, json_escape(slice_mem(run.p + k, part), text, sizeof(text)));
		else
			tok_stream_feed(&c->schema, run.p + k, part);
	}
}

/* The bytes of the token; commas and colons of compact JSON come before what they separate. */
static void schema_token(struct prompt_scan *c, enum json_token t)
{
	static const char *const plain[] = {
	    [JT_OBJECT_BEGIN] = "{", [JT_OBJECT_END] = "}", [JT_ARRAY_BEGIN] = "[", [JT_ARRAY_END] = "]",
	    [JT_TRUE] = "true",      [JT_FALSE] = "false",  [JT_NULL] = "null",
	};
	bool closes = t == JT_OBJECT_END || t == JT_ARRAY_END;

	if (!c->first && !closes)
		tok_stream_feed(&c->schema, ",", 1);
	if (t == JT_STRING || t == JT_KEY) {
		tok_stream_feed(&c->schema, "\"", 1);
		open_string(c, raw_string(c).n, t == JT_KEY);
	} else if (t == JT_NUMBER) {
		tok_stream_feed(&c->schema, c->json.text, c->json.text_n);
	} else {
		tok_stream_feed(&c->schema, plain[t], strlen(plain[t]));
	}
}

/* --- the prompt's own structure ----------------------------------------------------------------------------------- */

struct word {
	const char *name;
	uint8_t value;
};

static int look_up(const struct word *words, size_t n, struct slice name)
{
	for (size_t i = 0; i < n; i++)
		if (slice_eq(name, slice_of(words[i].name)))
			return words[i].value;
	return -1;
}

/* Members of any body. What is not here counts by its bytes. */
static enum area area_of(struct slice key)
{
	static const struct word words[] = {
	    {"messages", AREA_PROMPT},
	    {"input", AREA_PROMPT},
	    {"prompt", AREA_PROMPT},
	    {"suffix", AREA_PROMPT},
	    {"instructions", AREA_PROMPT},
	    {"system", AREA_PROMPT},
	    {"contents", AREA_PROMPT},
	    {"content", AREA_PROMPT},
	    {"requests", AREA_PROMPT},
	    {"systemInstruction", AREA_PROMPT},
	    {"system_instruction", AREA_PROMPT},
	    {"message", AREA_PROMPT},
	    {"chat_history", AREA_PROMPT},
	    {"preamble", AREA_PROMPT},
	    {"documents", AREA_PROMPT},
	    {"texts", AREA_PROMPT},
	    {"inputs", AREA_PROMPT},
	    {"inputText", AREA_PROMPT},
	    {"tools", AREA_SCHEMA},
	    {"functions", AREA_SCHEMA},
	    {"toolConfig", AREA_SCHEMA},
	    {"tool_choice", AREA_SCHEMA},
	    {"function_call", AREA_SCHEMA},
	    {"response_format", AREA_SCHEMA},
	    {"text", AREA_SCHEMA},
	    {"format", AREA_SCHEMA},
	    {"output_config", AREA_SCHEMA},
	    {"generationConfig", AREA_SCHEMA},
	    {"generation_config", AREA_SCHEMA},
	    {"model", AREA_NONE},
	    {"stream", AREA_NONE},
	    {"stream_options", AREA_NONE},
	    {"user", AREA_NONE},
	    {"metadata", AREA_NONE},
	    {"stop", AREA_NONE},
	    {"stop_sequences", AREA_NONE},
	    {"service_tier", AREA_NONE},
	    {"store", AREA_NONE},
	    {"encoding_format", AREA_NONE},
	    {"prompt_cache_key", AREA_NONE},
	    {"safety_identifier", AREA_NONE},
	    {"logit_bias", AREA_NONE},
	    {"include", AREA_NONE},
	    {"prediction", AREA_NONE},
	    {"inferenceConfig", AREA_NONE},
	    {"options", AREA_NONE},
	};
	int v = look_up(words, ARRAY_LEN(words), key);

	return v < 0 ? AREA_OTHER : (enum area)v;
}

enum member { MEMBER_TEXT, MEMBER_SKIP, MEMBER_NAME, MEMBER_CALL, MEMBER_OTHER };

/* Members inside a prompt: what the model never sees is passed over. What is not here may be anything (results of
 * searches, definitions of a server's tools), keys and all. */
static enum member member_of(struct slice key)
{
	static const struct word words[] = {
	    {"type", MEMBER_SKIP},          {"id", MEMBER_SKIP},          {"tool_call_id", MEMBER_SKIP},
	    {"call_id", MEMBER_SKIP},       {"status", MEMBER_SKIP},      {"detail", MEMBER_SKIP},
	    {"image_url", MEMBER_SKIP},     {"image", MEMBER_SKIP},       {"images", MEMBER_SKIP},
	    {"inlineData", MEMBER_SKIP},    {"inline_data", MEMBER_SKIP}, {"source", MEMBER_SKIP},
	    {"cache_control", MEMBER_SKIP}, {"cachePoint", MEMBER_SKIP},  {"name", MEMBER_NAME},
	    {"function", MEMBER_CALL},      {"mimeType", MEMBER_SKIP},    {"mime_type", MEMBER_SKIP},
	    {"role", MEMBER_TEXT},          {"content", MEMBER_TEXT},     {"text", MEMBER_TEXT},
	    {"output", MEMBER_TEXT},        {"arguments", MEMBER_TEXT},   {"tool_calls", MEMBER_TEXT},
	    {"refusal", MEMBER_TEXT},       {"summary", MEMBER_TEXT},     {"input", MEMBER_TEXT},
	    {"custom", MEMBER_TEXT},
	};
	int v = look_up(words, ARRAY_LEN(words), key);

	return v < 0 ? MEMBER_OTHER : (enum member)v;
}

static void prompt_key(struct prompt_scan *c)
{
	switch (member_of(json_text(&c->json))) {
	case MEMBER_SKIP:
		json_skip_value(&c->json);
		break;
	case MEMBER_NAME:
		c->framing += NAME_TOKENS;
		break;
	case MEMBER_CALL:
		c->framing += CALL_TOKENS;
		break;
	case MEMBER_TEXT:
		break;
	case MEMBER_OTHER:
		if (!c->exact)
			break;
		c->in_loose = true;
		c->loose_begin = c->json.token_begin;
		json_skip_value(&c->json);
		break;
	}
}

static void prompt_item(struct prompt_scan *c)
{
	c->items++;
	c->framing += MESSAGE_TOKENS;
}

/* Depth as the reader has it: 1 in the body, 2 in the list of messages. */
static void prompt_token(struct prompt_scan *c, enum json_token t)
{
	switch (t) {
	case JT_KEY:
		prompt_key(c);
		break;
	case JT_OBJECT_BEGIN: /* a message is an element of its list, or stands alone */
		if (c->json.depth == 3 || c->json.depth == 2)
			prompt_item(c);
		break;
	case JT_STRING:
		if (c->json.depth == 1 || c->json.depth == 2)
			prompt_item(c);
		text_string(c);
		break;
	case JT_NUMBER: /* a token by its number, or an argument */
		c->tokens += c->json.text_n > 3 && c->json.depth > 3 ? c->json.text_n / 3 : 1;
		break;
	default:
		break;
	}
}

/* --- the body ----------------------------------------------------------------------------------------------------- */

static void begin_area(struct prompt_scan *c)
{
	c->area = (uint8_t)area_of(json_text(&c->json));
	c->area_begin = c->json.offset;
	if (c->area == AREA_NONE || c->area == AREA_OTHER)
		json_skip_value(&c->json);
	if (c->area == AREA_SCHEMA)
		tok_stream_init(&c->schema, c->encoding, c->cache);
}

static void end_area(struct prompt_scan *c, uint64_t end)
{
	uint64_t bytes = end - c->area_begin;

	if (c->area == AREA_SCHEMA) {
		c->schema_tokens += tok_stream_count(&c->schema);
		c->schema_bytes += bytes;
	} else if (c->area == AREA_OTHER) {
		c->other_bytes += bytes;
	}
	c->area = AREA_NONE;
}

static void string_end(struct prompt_scan *c)
{
	c->in_string = false;
	if (c->area == AREA_PROMPT)
		c->tokens += tok_stream_count(&c->text);
	else if (c->string_is_key)
		tok_stream_feed(&c->schema, "\":", 2);
	else
		tok_stream_feed(&c->schema, "\"", 1);
}

/* Counts at most `max` bytes of the open string; returns how many. */
static size_t string_step(struct prompt_scan *c, size_t max)
{
	size_t n = c->string_end - c->string_at, i = 0;
	struct slice piece, run;
	struct gather gather;

	gather.n = 0;
	n = n < max ? n : max;
	piece = slice_sub(c->body, c->string_at, n);
	while (unescape_next(&c->unescape, piece.p, piece.n, &i, &run)) {
		if (c->area == AREA_PROMPT)
			text_run(c, &gather, run);
		else
			schema_run(c, run);
	}
	if (gather.n > 0)
		text_flush(c, &gather);
	c->string_at += n;
	if (c->string_at == c->string_end)
		string_end(c);
	return n;
}

static void take_token(struct prompt_scan *c, enum json_token t)
{
	bool at_root = t == JT_KEY && c->json.depth == 1;

	if (at_root || (t == JT_OBJECT_END && c->json.depth == 0))
		end_area(c, c->json.token_begin);
	if (at_root) {
		begin_area(c);
		c->first = true;
		return;
	}
	if (c->area == AREA_PROMPT)
		prompt_token(c, t);
	if (c->area == AREA_SCHEMA)
		schema_token(c, t);
	c->first = t == JT_KEY || t == JT_OBJECT_BEGIN || t == JT_ARRAY_BEGIN;
}

int prompt_scan_step(struct prompt_scan *c, struct slice body, size_t max_bytes)
{
	size_t left = max_bytes;

	CHECK(max_bytes > 0 && c->at <= body.n);
	c->body = body;
	for (;;) {
		size_t begin, end;
		enum json_token t;

		if (c->in_string)
			left -= string_step(c, left);
		if (c->in_string)
			return BUR_AGAIN;
		begin = c->at;
		end = body.n - begin < left ? body.n : begin + left;
		t = json_next(&c->json, body.p, end, &c->at);
		left -= c->at - begin;
		if (t == JT_ERROR)
			return BUR_INVALID;
		if (t == JT_MORE && end < body.n)
			return BUR_AGAIN;
		if (c->in_loose) {
			c->other_bytes += c->json.token_begin - c->loose_begin;
			c->in_loose = false;
		}
		if (t == JT_MORE || t == JT_END)
			return json_reader_complete(&c->json) ? BUR_OK : BUR_INVALID;
		take_token(c, t);
	}
}

/* --- vendors ------------------------------------------------------------------------------------------------------ */

static bool has(struct slice name, const char *word)
{
	size_t n = strlen(word), i;

	for (i = 0; i + n <= name.n; i++)
		if (slice_ieq(slice_sub(name, i, n), slice_of(word)))
			return true;
	return false;
}

static bool is_older_claude(struct slice model)
{
	static const char *const words[] = {"claude-2",        "claude-3",        "claude-instant",  "claude-haiku-4",
					    "claude-sonnet-4", "claude-opus-4-0", "claude-opus-4-1", "claude-opus-4-2",
					    "claude-opus-4-5", "claude-opus-4-6", "claude-opus-4.5", "claude-opus-4.6"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (has(model, words[i]))
			return true;
	return false;
}

struct prompt_factor prompt_factor(struct slice model, enum script script)
{
	static const struct {
		const char *word;
		struct prompt_factor latin, cjk, other;
	} families[] = {
	    {"llama", {1010, 1060}, {1010, 1060}, {1040, 1060}},
	    {"qwen", {1050, 1200}, {1050, 1200}, {1150, 1200}},
	    {"deepseek", {1040, 1270}, {960, 1270}, {1080, 1270}},
	    {"gemini", {1100, 1250}, {950, 1250}, {1100, 1250}},
	    {"gemma", {1100, 1250}, {950, 1250}, {1100, 1250}},
	    {"stral", {1050, 1200}, {1050, 1200}, {1050, 1200}}, /* mistral, ministral, codestral, … */
	    {"grok", {1050, 1250}, {1050, 1250}, {1050, 1250}},
	    {"command", {1050, 1250}, {1050, 1250}, {1050, 1250}},
	    {"gpt-", {1000, 1000}, {1000, 1000}, {1000, 1000}},
	};
	size_t i;

	if (has(model, "claude") && is_older_claude(model))
		return script == SCRIPT_LATIN ? (struct prompt_factor){1100, 1300} : (struct prompt_factor){1150, 1300};
	if (has(model, "claude"))
		return script == SCRIPT_LATIN ? (struct prompt_factor){1500, 1800} : (struct prompt_factor){1150, 1800};
	for (i = 0; i < ARRAY_LEN(families); i++)
		if (has(model, families[i].word))
			return script == SCRIPT_LATIN ? families[i].latin
			       : script == SCRIPT_CJK ? families[i].cjk
						      : families[i].other;
	return (struct prompt_factor){1150, 1800};
}

/* Who is known to bill by the public vocabularies, and for which calls. */
static bool is_exact(enum api_kind kind, struct slice provider, bool model_exact)
{
	bool vendor = slice_ieq(provider, SLICE("openai")) || slice_ieq(provider, SLICE("azure"));

	return model_exact && vendor &&
	       (kind == API_CHAT || kind == API_RESPONSES || kind == API_COMPLETIONS || kind == API_EMBEDDINGS);
}

static bool countable(enum api_kind kind, const struct request_info *q)
{
	bool text = kind == API_CHAT || kind == API_RESPONSES || kind == API_COMPLETIONS || kind == API_EMBEDDINGS ||
		    kind == API_MESSAGES || kind == API_GENERATE || kind == API_CONVERSE || kind == API_INVOKE ||
		    kind == API_COHERE_CHAT || kind == API_INTERACTIONS || kind == API_OLLAMA ||
		    kind == API_EMBED_CONTENT;

	return text && q->files == 0 && q->audios == 0 && !q->stored_context && q->upload_bytes == 0;
}

static enum script script_of(const struct prompt_scan *c)
{
	uint64_t all = c->letters + c->cjk + c->others;

	if (c->cjk * 2 > all)
		return SCRIPT_CJK;
	return c->others * 2 > all ? SCRIPT_OTHER : SCRIPT_LATIN;
}

/* Embeddings have no framing; all others a beginning of the answer. */
static void finish_exact(const struct prompt_scan *c, struct prompt_count *ret)
{
	bool framed = c->kind == API_CHAT || c->kind == API_RESPONSES;
	uint64_t tokens = c->tokens + c->images + (framed ? c->framing + PRIMER_TOKENS : 0);
	uint64_t schema = c->schema_bytes > 0 ? c->schema_tokens + SCHEMA_TOKENS : 0;

	ret->tokens = tokens + schema;
	ret->margin_tokens =
	    c->items * MARGIN_MESSAGE + MARGIN_REQUEST + (c->info->tools ? MARGIN_TOOLS : 0) + c->other_bytes;
	/* how a definition is shown to the model is the vendor's secret: never more tokens than its JSON has bytes */
	if (c->schema_bytes > c->schema_tokens)
		ret->margin_tokens += c->schema_bytes - c->schema_tokens;
}

static void finish_estimate(const struct prompt_scan *c, struct prompt_count *ret)
{
	struct prompt_factor f = prompt_factor(c->model, ret->script);
	uint64_t text = c->tokens + c->schema_tokens, framing = c->framing + c->items * MARGIN_MESSAGE + PRIMER_TOKENS;

	ret->tokens = text * f.mean / 1000 + framing + c->images;
	ret->margin_tokens = text * (f.reserve - f.mean) / 1000 + MARGIN_REQUEST + c->other_bytes;
}

void prompt_scan_finish(const struct prompt_scan *c, struct prompt_count *ret)
{
	*ret = (struct prompt_count){.exact = c->exact,
				     .text_tokens = c->tokens + c->schema_tokens,
				     .image_tokens = c->images,
				     .script = script_of(c)};
	if (c->exact)
		finish_exact(c, ret);
	else
		finish_estimate(c, ret);
}

int prompt_scan_begin(struct prompt_scan *c, enum api_kind kind, struct slice provider, struct slice model,
		      const struct request_info *q, const struct prompt_caches *caches)
{
	bool exact;

	memset(c, 0, offsetof(struct prompt_scan, text)); /* streams are readied when they are used */
	memset(&c->tokens, 0, sizeof(*c) - offsetof(struct prompt_scan, tokens));
	c->kind = kind;
	c->model = model;
	c->info = q;
	c->images = image_tokens_bound(model, &q->image_sums, q->images, q->media_resolution);
	c->encoding = tok_for_model(provider, model, &exact);
	c->exact = is_exact(kind, provider, exact);
	c->cache = caches ? caches->of[c->encoding] : NULL;
	c->first = true;
	json_reader_init(&c->json);
	c->json.want_text = false;
	return countable(kind, q) && tok_available(c->encoding) && c->images <= INT64_MAX ? BUR_OK : BUR_NOTFOUND;
}

int prompt_count(enum api_kind kind, struct slice provider, struct slice model, const struct request_info *q,
		 struct slice body, const struct prompt_caches *caches, struct prompt_count *ret)
{
	struct prompt_scan c;
	int r = prompt_scan_begin(&c, kind, provider, model, q, caches);

	memset(ret, 0, sizeof(*ret));
	if (r == BUR_OK)
		r = prompt_scan_step(&c, body, SIZE_MAX);
	if (r == BUR_OK)
		prompt_scan_finish(&c, ret);
	return r;
}
