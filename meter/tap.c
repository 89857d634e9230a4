/* bytes -> decoder -> framing -> JSON reader -> extractor. Each stage takes any piece and keeps a fixed amount. */
#include "meter/tap.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/json.h"
#include "meter/decode.h"
#include "meter/extract.h"
#include "meter/frame_aws.h"
#include "meter/frame_lines.h"
#include "meter/frame_sse.h"
#include "meter/frame_ws.h"
#include "meter/quick.h"
#include "meter/repeat.h"

#define WHOLE_MAX_BYTES (16 * 1024)

enum framing {
	FRAMING_BODY, /* the body is one JSON document, or an array of Gemini's */
	FRAMING_SSE,
	FRAMING_LINES,
	FRAMING_AWS,
	FRAMING_WS,
	FRAMING_OPAQUE, /* no JSON at all */
};

/* What is needed only while an event (or a body) is read. */
struct tap_event {
	struct staged staged;
	struct json_reader json;
};

struct tap {
	enum api_kind kind;
	enum framing framing;
	bool metered; /* a 2xx answer of a kind that has usage */
	bool free_call;
	bool blind;     /* something could not be read: nothing later is */
	bool each_bill; /* each event is a bill of its own: none may be missed */
	bool ended;     /* the body did */
	/* the event or body at hand */
	bool open;                   /* it has begun and not ended: what `event` holds must stay */
	bool begun;                  /* some of the body was fed */
	bool failed;                 /* it is no JSON */
	bool is_object;              /* it began like one */
	bool whole;                  /* the value is complete */
	bool past;                   /* the body was whole: only white space may follow */
	bool skipping;               /* since the last token nothing matters */
	uint64_t open_bytes;         /* fed since the last token: text that may never be closed */
	struct tap_event *event;     /* NULL between events; else extract.ev points into it */
	struct tap_scratch *scratch; /* where it comes from; or NULL */
	struct decode *decode;       /* NULL: the body comes as it is */
	union {
		struct frame_sse sse;
		struct frame_lines lines;
		struct frame_ws ws;
		struct frame_aws *aws;
	} frame;
	struct repeat *repeat; /* NULL until a framing has found events */
	struct tap_text *text; /* NULL: text is bytes */
	struct extract extract;
};

/* --- memory for the event at hand --------------------------------------------------------------------------------- */

/* Its contents are readied when an event begins. False: no memory, and the tap is blind. */
static bool event_take(struct tap *t)
{
	if (t->event)
		return true;
	if (t->scratch && t->scratch->spare) {
		t->event = t->scratch->spare;
		t->scratch->spare = NULL;
	} else {
		t->event = malloc(sizeof(*t->event));
	}
	if (!t->event) {
		t->blind = t->failed = true;
		return false;
	}
	t->extract.ev = &t->event->staged;
	return true;
}

/* Unless an event stands open that can still be whole. */
static void event_give_back(struct tap *t)
{
	if (t->open && !t->failed && !t->blind)
		return;
	if (t->scratch && !t->scratch->spare)
		t->scratch->spare = t->event;
	else
		free(t->event);
	t->event = NULL;
	t->extract.ev = NULL;
}

void tap_scratch_done(struct tap_scratch *s)
{
	free(s->spare);
	s->spare = NULL;
}

/* --- JSON --------------------------------------------------------------------------------------------------------- */

static void json_restart(struct tap *t)
{
	if (!event_take(t))
		return;
	extract_event_begin(&t->extract, &t->event->json);
	t->open = true;
	t->failed = t->is_object = t->whole = t->skipping = false;
	t->open_bytes = 0;
}

/* The answer, or an element of Gemini's array, may just have ended. */
static void after_token(struct tap *t, enum json_token token)
{
	bool list = t->kind == API_GENERATE && t->framing == FRAMING_BODY;
	int depth = t->event->json.depth;

	if (token == JT_ARRAY_BEGIN && list && depth == 1)
		t->extract.stream = true;
	if (token == JT_OBJECT_END && depth == 1 && list && walk_here(&t->extract.ev->walk) != WALK_IGNORE &&
	    t->extract.stream)
		extract_element_end(&t->extract);
	if (token == JT_OBJECT_END && depth == 0) {
		t->whole = true;
		if (t->framing == FRAMING_BODY)
			extract_commit(&t->extract);
	}
}

static void json_feed(struct tap *t, const char *p, size_t n)
{
	struct json_reader *json;
	size_t i = 0, begin = 0;

	if (t->failed)
		return;
	json = &t->event->json;
	while (!t->failed) {
		enum json_token token = json_next(json, p, n, &i);

		if (!t->skipping)
			t->open_bytes += i - begin;
		begin = i;
		if (token == JT_MORE)
			return;
		if (token == JT_ERROR) {
			t->failed = true;
			return;
		}
		t->open_bytes = 0;
		t->is_object |= token == JT_OBJECT_BEGIN;
		t->skipping = extract_token(&t->extract, json, token);
		if (token == JT_OBJECT_END || token == JT_ARRAY_BEGIN)
			after_token(t, token);
	}
}

/* --- a body that is one document ---------------------------------------------------------------------------------- */

/* A body that arrives in one piece is read the short way, unless it is large: much of it might be read in vain. */
static bool body_whole(struct tap *t, const char *p, size_t n)
{
	const char *end = p + n;

	if (n > WHOLE_MAX_BYTES || !event_take(t))
		return false;
	while (end > p && quick_is_space(end[-1]))
		end--;
	while (p < end && quick_is_space(*p))
		p++;
	if (!extract_whole(&t->extract, p, (size_t)(end - p)))
		return false;
	t->whole = t->past = true;
	extract_commit(&t->extract);
	return true;
}

/* Behind a body that was whole nothing but white space may stand. */
static void body_past(struct tap *t, const char *p, size_t n)
{
	while (n > 0 && quick_is_space(*p)) {
		p++;
		n--;
	}
	t->failed |= n > 0;
}

/* A body, or all there is of it so far. */
static void body_feed(struct tap *t, const char *p, size_t n)
{
	if (t->past) {
		body_past(t, p, n);
		return;
	}
	if (!t->begun) {
		t->begun = true;
		if (body_whole(t, p, n))
			return;
		json_restart(t);
	}
	json_feed(t, p, n);
	t->past = t->whole && !t->failed;
	t->open = !t->past;
}

/* --- events of a framing ------------------------------------------------------------------------------------------ */

static void on_begin(void *ctx)
{
	struct tap *t = ctx;

	repeat_forget(t->repeat);
	json_restart(t);
}

static void on_data(void *ctx, const char *p, size_t n)
{
	json_feed(ctx, p, n);
}

static void on_name(void *ctx, struct slice name, bool exception)
{
	struct tap *t = ctx;

	extract_event_name(&t->extract, name, exception);
}

/* What is no JSON is skipped; but of bills none may be lost. */
static void on_end(void *ctx)
{
	struct tap *t = ctx;

	t->open = false;
	if (!t->ended) /* what is not whole was not cut, but is no JSON */
		t->open_bytes = 0;
	if (t->whole && !t->failed)
		extract_commit(&t->extract);
	else if (t->each_bill && t->is_object)
		extract_event_lost(&t->extract);
}

/* The short ways. Where words are counted each event must be looked into. */
static bool whole_read(struct tap *t, const char *p, size_t n)
{
	if (!t->text)
		return repeat_again(t->repeat, &t->extract, p, n) ||
		       (event_take(t) && repeat_read(&t->repeat, &t->extract, p, n));
	if (!event_take(t) || !extract_whole(&t->extract, p, n))
		return false;
	extract_commit(&t->extract);
	return true;
}

static void on_whole(void *ctx, const char *p, size_t n)
{
	struct tap *t = ctx;

	if (whole_read(t, p, n)) {
		t->whole = true;
		t->open = t->failed = false;
		return;
	}
	on_begin(t);
	json_feed(t, p, n);
	on_end(t);
}

static void on_done(void *ctx)
{
	struct tap *t = ctx;

	t->open = false;
	repeat_forget(t->repeat);
	extract_done_marker(&t->extract);
}

static const struct frame_ops frame_ops = {on_begin, on_data, on_name, on_end, on_whole, on_done};

/* --- the pipeline ------------------------------------------------------------------------------------------------- */

/* Bytes of the body without their coding. A negative code: nothing later can be trusted. */
static int plain_feed(void *ctx, const char *p, size_t n)
{
	struct tap *t = ctx;

	switch (t->framing) {
	case FRAMING_SSE:
		frame_sse_feed(&t->frame.sse, p, n);
		return BUR_OK;
	case FRAMING_BODY:
		body_feed(t, p, n);
		return BUR_OK;
	case FRAMING_LINES:
		frame_lines_feed(&t->frame.lines, p, n);
		return BUR_OK;
	case FRAMING_AWS:
		return frame_aws_feed(t->frame.aws, p, n);
	case FRAMING_WS:
		return frame_ws_feed(&t->frame.ws, p, n);
	case FRAMING_OPAQUE:
		break;
	}
	extract_opaque(&t->extract, n);
	return BUR_OK;
}

/* Streams that go on for long, of which each event tells of something new. */
static bool is_stream(const struct tap *t)
{
	return t->framing == FRAMING_SSE || t->framing == FRAMING_AWS || t->framing == FRAMING_WS ||
	       (t->framing == FRAMING_LINES && t->kind != API_BATCH_RESULTS);
}

/* A coding could not be undone. How much of it was read depends on the pieces it came in: forget it. */
static void decode_failed(struct tap *t)
{
	extract_done(&t->extract);
	extract_init(&t->extract, t->kind, is_stream(t));
	t->extract.text = t->text;
	t->blind = true;
}

void tap_feed(struct tap *t, const char *p, size_t n)
{
	if (!t->metered || t->blind)
		return;
	if (!t->decode)
		t->blind |= plain_feed(t, p, n) < 0;
	else if (decode_feed(t->decode, p, n) < 0)
		decode_failed(t);
	if (t->event)
		event_give_back(t);
}

/* --- setting up --------------------------------------------------------------------------------------------------- */

static bool is_json_type(struct slice type)
{
	return slice_iends(type, SLICE("/json")) || slice_iends(type, SLICE("+json"));
}

static bool is_lines_type(struct slice type)
{
	static const char *const types[] = {"application/x-ndjson", "application/x-jsonl", "application/jsonl",
					    "application/ndjson", "application/jsonlines"};

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (slice_ieq(type, slice_of(types[i])))
			return true;
	return false;
}

static enum framing framing_of(const struct tap_options *o)
{
	struct slice type, params;

	slice_cut(o->content_type, ';', &type, &params);
	type = slice_trim(type);
	if (o->status == 101)
		return FRAMING_WS;
	if (slice_ieq(type, SLICE("text/event-stream")))
		return FRAMING_SSE;
	if (slice_ieq(type, SLICE("application/vnd.amazon.eventstream")))
		return FRAMING_AWS;
	if (o->kind == API_BATCH_RESULTS || is_lines_type(type))
		return FRAMING_LINES;
	if ((o->kind == API_SPEECH || (o->kind == API_TRANSCRIPTIONS && type.n > 0)) && !is_json_type(type))
		return FRAMING_OPAQUE;
	return FRAMING_BODY;
}

static int framing_start(struct tap *t)
{
	struct frame_out out = {&frame_ops, t};

	switch (t->framing) {
	case FRAMING_SSE:
		frame_sse_init(&t->frame.sse, out);
		break;
	case FRAMING_LINES:
		frame_lines_init(&t->frame.lines, out);
		break;
	case FRAMING_WS:
		frame_ws_init(&t->frame.ws, out);
		break;
	case FRAMING_AWS:
		t->frame.aws = malloc(sizeof(*t->frame.aws));
		if (!t->frame.aws)
			return BUR_NOMEM;
		frame_aws_init(t->frame.aws, out);
		break;
	case FRAMING_BODY:
	case FRAMING_OPAQUE:
		break;
	}
	return BUR_OK;
}

static int decode_start(struct tap *t, const struct tap_options *o)
{
	int r;

	if (t->framing == FRAMING_WS || decode_is_identity(o->content_encoding))
		return BUR_OK;
	r = decode_new(o->content_encoding, &DECODE_LIMITS, plain_feed, t, &t->decode);
	if (r != BUR_UNSUPPORTED)
		return r;
	t->blind = true;
	return BUR_OK;
}

/* Without memory for it text stays bytes. */
static void text_start(struct tap *t, const struct tap_options *o)
{
	if (!o->count || !tok_available(o->encoding))
		return;
	t->text = malloc(sizeof(*t->text));
	if (!t->text)
		return;
	tap_text_init(t->text, o->encoding, o->cache);
	t->extract.text = t->text;
}

struct tap *tap_new(const struct tap_options *o)
{
	bool socket = o->status == 101 && o->kind == API_REALTIME;
	struct tap *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->kind = o->kind;
	t->scratch = o->scratch;
	t->free_call =
	    o->kind == API_FREE || o->kind == API_FILE_UPLOAD || ((o->status < 200 || o->status > 299) && !socket);
	/* answers of a generic API are read by rules of the configuration, elsewhere */
	t->metered = !t->free_call && o->kind != API_UNKNOWN && o->kind != API_GENERIC;
	if (!t->metered)
		return t;
	t->framing = framing_of(o);
	t->each_bill = t->kind == API_BATCH_RESULTS || t->framing == FRAMING_WS;
	extract_init(&t->extract, t->kind, is_stream(t));
	text_start(t, o);
	if (framing_start(t) < 0 || decode_start(t, o) < 0) {
		tap_free(t);
		return NULL;
	}
	return t;
}

void tap_free(struct tap *t)
{
	if (!t)
		return;
	if (t->framing == FRAMING_AWS)
		free(t->frame.aws);
	decode_free(t->decode);
	repeat_free(t->repeat);
	extract_done(&t->extract);
	if (t->text)
		tap_text_done(t->text);
	free(t->text);
	free(t->event);
	free(t);
}

void tap_header(struct tap *t, struct slice name, struct slice value)
{
	if (t->metered)
		extract_header(&t->extract, name, value);
}

/* --- results ------------------------------------------------------------------------------------------------------ */

/* Some of the answer was not understood at all. */
static bool lost_track(const struct tap *t)
{
	return t->blind || (t->failed && t->framing == FRAMING_BODY);
}

static void result(const struct tap *t, bool clean, struct usage *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (t->free_call) {
		/* refused before any work, or not billed: zero is the final figure */
		ret->has_input = ret->has_output = ret->complete = true;
		return;
	}
	if (!t->metered) {
		ret->requests = 1;
		return;
	}
	extract_result(&t->extract, clean, ret);
	if (lost_track(t)) {
		/* what was seen is no bound of what was not: the caller must take the worst case */
		ret->complete = ret->has_output = false;
		ret->output_bytes = ret->output_counted = 0;
	}
}

void tap_peek(const struct tap *t, struct usage *ret)
{
	result(t, false, ret);
}

/* Text in a string that has not ended yet. */
static uint64_t open_text(const struct tap *t)
{
	return t->whole ? 0 : t->open_bytes;
}

void tap_progress(const struct tap *t, struct tap_progress *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (!t->metered)
		return;
	ret->blind = lost_track(t);
	ret->most = extract_counted(&t->extract, false) + open_text(t);
	ret->reported = extract_reported(&t->extract, &ret->final);
}

bool tap_in_events(const struct tap *t)
{
	return t->metered && t->framing != FRAMING_BODY && t->framing != FRAMING_OPAQUE;
}

uint64_t tap_counted(const struct tap *t)
{
	return t->metered ? extract_counted(&t->extract, true) + open_text(t) : 0;
}

/* Takes what the end of the body leaves open. Returns whether it ended well. */
static bool framing_finish(struct tap *t)
{
	int r = BUR_OK;

	if (t->framing == FRAMING_SSE)
		frame_sse_finish(&t->frame.sse);
	else if (t->framing == FRAMING_LINES)
		frame_lines_finish(&t->frame.lines);
	else if (t->framing == FRAMING_AWS)
		r = frame_aws_finish(t->frame.aws);
	else if (t->framing == FRAMING_WS)
		r = frame_ws_finish(&t->frame.ws);
	if (r < 0) /* a message that was cut may have been anything */
		extract_event_lost(&t->extract);
	return r == BUR_OK;
}

void tap_finish(struct tap *t, bool clean, struct usage *ret)
{
	if (t->metered && !t->blind) {
		clean = (!t->decode || decode_finish(t->decode) == BUR_OK) && clean;
		t->ended = true;
		clean = framing_finish(t) && clean;
		t->open = false;
		if (t->event)
			event_give_back(t);
	}
	result(t, clean, ret);
	/* text in a string that never ended */
	if (!clean && t->metered && !lost_track(t) && !t->whole) {
		ret->output_bytes += t->open_bytes;
		ret->output_counted += t->open_bytes;
	}
}

/* --- Accept-Encoding ---------------------------------------------------------------------------------------------- */

size_t tap_cut_accept_encoding(struct slice value, char *dst, size_t dst_size)
{
	struct slice rest = value, item, name, params;
	bool more = value.n > 0;
	size_t n = 0;

	while (more) {
		more = slice_cut(rest, ',', &item, &rest);
		item = slice_trim(item);
		slice_cut(item, ';', &name, &params);
		if (slice_trim(name).n == 0 || !decode_knows(name))
			continue;
		if (n + item.n + 2 >= dst_size)
			break;
		if (n > 0) {
			memcpy(dst + n, ", ", 2);
			n += 2;
		}
		memcpy(dst + n, item.p, item.n);
		n += item.n;
	}
	if (dst_size > 0)
		dst[n] = '\0';
	return n;
}
