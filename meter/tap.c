/* bytes -> decoder -> framer -> JSON reader -> extractor. Each stage takes any piece and keeps a fixed amount. */
#include "meter/tap.h"

#include <stdlib.h>
#include <zlib.h>

#include "base/check.h"
#include "base/error.h"
#include "base/json.h"
#include "meter/extract.h"
#include "meter/quick.h"

#define INFLATE_PIECE_BYTES 8192
#define WHOLE_MAX_BYTES (16 * 1024)
#define BOMB_FREE_BYTES (UINT64_C(1) << 20) /* below it the ratio is not looked at */
#define BOMB_RATIO 100
#define DECODED_MAX_BYTES (UINT64_C(64) << 20)

enum coding { CODING_IDENTITY, CODING_GZIP, CODING_DEFLATE, CODING_UNKNOWN };

/* Of the line at hand in an event stream. */
enum sse_state {
	SSE_NAME,  /* comparing with "data" */
	SSE_SPACE, /* after "data:"; one space is skipped */
	SSE_DATA,
	SSE_SKIP, /* a line of no interest */
};

struct tap {
	bool begun;          /* some of the body was fed */
	bool failed_json;    /* of this event or body */
	bool whole_json;     /* the value is complete */
	bool past_json;      /* it was read the short way: only white space may follow */
	bool skipping;       /* since the last token nothing matters */
	uint64_t open_bytes; /* fed since the last token: text that may never be closed */
	bool metered;        /* a 2xx answer of a kind that has usage */
	bool free_call;
	bool blind;
	bool sse;
	/* event stream */
	enum sse_state line;
	uint8_t name_n; /* bytes of "data" matched */
	uint8_t bom_n;  /* bytes of a byte order mark matched; 3 = past it */
	bool line_empty, after_cr, event_open, has_data;
	uint8_t marker_n; /* bytes of "[DONE]" matched; 0xff = it is something else */
	/* decoding */
	enum coding coding;
	bool inflating, inflate_ended;
	z_stream *z; /* NULL unless the answer is compressed */
	unsigned char head[2];
	uint8_t head_n;
	uint64_t coded_bytes, decoded_bytes;
	/* readied only when they are used */
	struct extract extract;
	struct json_reader json;
};

static const char done_marker[] = "[DONE]";
#define MARKER_N (sizeof(done_marker) - 1)
#define MARKER_NO 0xff

/* --- JSON --------------------------------------------------------------------------------------------------------- */

static void json_restart(struct tap *t)
{
	extract_event_begin(&t->extract, &t->json);
	t->failed_json = t->whole_json = t->skipping = false;
	t->open_bytes = 0;
}

/* The answer, or an element of Gemini's array, may just have ended. */
static void after_token(struct tap *t, enum json_token token)
{
	bool list = t->extract.kind == API_GENERATE && !t->sse;

	if (token == JT_ARRAY_BEGIN && list && t->json.depth == 1)
		t->extract.stream = true;
	if (token == JT_OBJECT_END && t->json.depth == 1 && list && walk_here(&t->extract.walk) != WALK_IGNORE &&
	    t->extract.stream)
		extract_element_end(&t->extract);
	if (token == JT_OBJECT_END && t->json.depth == 0) {
		t->whole_json = true;
		if (!t->sse)
			extract_commit(&t->extract);
	}
}

static void json_feed(struct tap *t, const char *p, size_t n)
{
	size_t i = 0, begin = 0;

	while (!t->failed_json) {
		enum json_token token = json_next(&t->json, p, n, &i);

		if (!t->skipping)
			t->open_bytes += i - begin;
		begin = i;
		if (token == JT_MORE)
			return;
		if (token == JT_ERROR) {
			t->failed_json = true;
			return;
		}
		t->open_bytes = 0;
		t->skipping = extract_token(&t->extract, &t->json, token);
		if (token == JT_OBJECT_END || token == JT_ARRAY_BEGIN)
			after_token(t, token);
	}
}

/* A body that arrives in one piece is read the short way, unless it is large: much of it might be read in vain. */
static bool body_whole(struct tap *t, const char *p, size_t n)
{
	const char *end = p + n;

	if (n > WHOLE_MAX_BYTES)
		return false;
	while (end > p && quick_is_space(end[-1]))
		end--;
	while (p < end && quick_is_space(*p))
		p++;
	if (!extract_whole(&t->extract, p, (size_t)(end - p)))
		return false;
	t->whole_json = t->past_json = true;
	extract_commit(&t->extract);
	return true;
}

/* Behind a body that was read the short way nothing but white space may stand. */
static void json_past(struct tap *t, const char *p, size_t n)
{
	while (n > 0 && quick_is_space(*p)) {
		p++;
		n--;
	}
	t->failed_json |= n > 0;
}

/* A body, or all there is of it so far. */
static void body_feed(struct tap *t, const char *p, size_t n)
{
	if (t->past_json) {
		json_past(t, p, n);
		return;
	}
	if (!t->begun) {
		t->begun = true;
		if (body_whole(t, p, n))
			return;
		json_restart(t);
	}
	json_feed(t, p, n);
}

/* --- event streams ------------------------------------------------------------------------------------------------ */

static void event_dispatch(struct tap *t)
{
	if (t->has_data) {
		if (t->marker_n == MARKER_N)
			extract_done_marker(&t->extract);
		else if (t->whole_json && !t->failed_json)
			extract_commit(&t->extract);
	}
	t->event_open = t->has_data = false;
}

/* "[DONE]" as a prefix of the event's data. It is no JSON, so the reader has failed on it; that does no harm. */
static void match_marker(struct tap *t, const char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n && t->marker_n < MARKER_N; i++) {
		if (p[i] != done_marker[t->marker_n]) {
			t->marker_n = MARKER_NO;
			return;
		}
		t->marker_n++;
	}
}

static void data_begin(struct tap *t)
{
	if (t->has_data) {
		json_feed(t, "\n", 1); /* lines of one event are joined by LF */
		return;
	}
	json_restart(t);
	t->has_data = true;
	t->marker_n = 0;
}

static void data_feed(struct tap *t, const char *p, size_t n)
{
	if (n == 0)
		return;
	if (t->marker_n < MARKER_N)
		match_marker(t, p, n);
	json_feed(t, p, n);
}

static void line_end(struct tap *t)
{
	/* "data" alone is a data line with an empty value */
	if (t->line == SSE_NAME && t->name_n == 4)
		data_begin(t);
	if (t->line_empty)
		event_dispatch(t);
	t->line = SSE_NAME;
	t->name_n = 0;
	t->line_empty = true;
}

/* Length of the run up to the next line end. */
static size_t line_run(const char *p, size_t n)
{
	const char *lf = memchr(p, '\n', n), *cr;
	size_t run = lf ? (size_t)(lf - p) : n;

	cr = memchr(p, '\r', run);
	return cr ? (size_t)(cr - p) : run;
}

/* One byte at the beginning of a line. */
static void name_byte(struct tap *t, char c)
{
	if (t->name_n < 4 && c == "data"[t->name_n]) {
		t->name_n++;
	} else if (t->name_n == 4 && c == ':') {
		data_begin(t);
		t->line = SSE_SPACE;
	} else {
		t->line = SSE_SKIP;
	}
}

/* Takes bytes of one line, none of them a line end; returns how many. */
static size_t line_feed(struct tap *t, const char *p, size_t n)
{
	t->line_empty = false;
	t->event_open = true;
	switch (t->line) {
	case SSE_NAME:
		name_byte(t, p[0]);
		return 1;
	case SSE_SPACE:
		t->line = SSE_DATA;
		return p[0] == ' ' ? 1 : 0;
	case SSE_DATA:
		data_feed(t, p, n);
		return n;
	case SSE_SKIP:
		break;
	}
	return n;
}

/* A byte order mark at the very beginning; returns true when the byte belonged to it. */
static bool bom_byte(struct tap *t, unsigned char c)
{
	static const unsigned char bom[3] = {0xef, 0xbb, 0xbf};

	if (c == bom[t->bom_n]) {
		t->bom_n++;
		return true;
	}
	t->bom_n = 3;
	return false;
}

/* An event that is one data line and lies whole in this piece, with its blank line: read the short way. Returns its
 * length; 0: it must be read the long way. */
static size_t event_whole(struct tap *t, const char *p, size_t n)
{
	static const char name[] = "data: ";
	const size_t name_n = sizeof(name) - 1;
	size_t run, blank;

	if (n < name_n + 4 || t->has_data || t->name_n > 0 || memcmp(p, name, name_n) != 0)
		return 0;
	run = line_run(p, n);
	if (n - run >= 2 && p[run] == '\n' && p[run + 1] == '\n')
		blank = 2;
	else if (n - run >= 4 && memcmp(p + run, "\r\n\r\n", 4) == 0)
		blank = 4;
	else
		return 0;
	if (!extract_whole(&t->extract, p + name_n, run - name_n))
		return 0;
	extract_commit(&t->extract);
	t->whole_json = t->line_empty = true;
	t->failed_json = t->event_open = false;
	return run + blank;
}

static void sse_feed(struct tap *t, const char *p, size_t n)
{
	size_t i = 0;

	while (i < n) {
		size_t run;

		if (t->bom_n < 3 && bom_byte(t, (unsigned char)p[i])) {
			i++;
			continue;
		}
		if (t->after_cr) {
			t->after_cr = false;
			if (p[i] == '\n') {
				i++;
				continue;
			}
		}
		if (p[i] == '\n' || p[i] == '\r') {
			t->after_cr = p[i] == '\r';
			line_end(t);
			i++;
			continue;
		}
		run = t->line == SSE_NAME ? event_whole(t, p + i, n - i) : 0;
		if (run > 0) {
			i += run;
			continue;
		}
		run = t->line == SSE_NAME || t->line == SSE_SPACE ? 1 : line_run(p + i, n - i);
		i += line_feed(t, p + i, run);
	}
}

/* --- decoding ----------------------------------------------------------------------------------------------------- */

static void plain_feed(struct tap *t, const char *p, size_t n)
{
	if (t->sse)
		sse_feed(t, p, n);
	else
		body_feed(t, p, n);
}

static void inflate_stop(struct tap *t)
{
	if (t->inflating)
		(void)inflateEnd(t->z);
	free(t->z);
	t->z = NULL;
	t->inflating = false;
}

static bool inflate_start(struct tap *t, int window_bits)
{
	t->z = calloc(1, sizeof(*t->z));
	if (!t->z || inflateInit2(t->z, window_bits) != Z_OK)
		return false;
	t->inflating = true;
	return true;
}

/* Is this header that of zlib? Servers send raw deflate under the same name. */
static bool is_zlib(const unsigned char head[2])
{
	return (head[0] & 0x0f) == 8 && (head[0] >> 4) <= 7 && (head[0] * 256 + head[1]) % 31 == 0;
}

static bool is_bomb(const struct tap *t)
{
	if (t->decoded_bytes > DECODED_MAX_BYTES)
		return true;
	return t->decoded_bytes > BOMB_FREE_BYTES && t->decoded_bytes / BOMB_RATIO > t->coded_bytes;
}

/* One call of inflate. False: nothing more comes of this input. */
static bool inflate_piece(struct tap *t)
{
	unsigned char out[INFLATE_PIECE_BYTES];
	uInt in_before = t->z->avail_in;
	size_t n;
	int r;

	t->z->next_out = out;
	t->z->avail_out = sizeof(out);
	r = inflate(t->z, Z_SYNC_FLUSH);
	n = sizeof(out) - t->z->avail_out;
	t->coded_bytes += in_before - t->z->avail_in;
	t->decoded_bytes += n;
	if (is_bomb(t)) {
		t->blind = true;
		return false;
	}
	if (n > 0)
		plain_feed(t, (const char *)out, n);
	if (r == Z_STREAM_END) {
		/* gzip members may follow each other; behind zlib and raw deflate comes nothing */
		t->inflate_ended = t->coding != CODING_GZIP || inflateReset(t->z) != Z_OK;
		return !t->inflate_ended && t->z->avail_in > 0;
	}
	if (r != Z_OK && r != Z_BUF_ERROR) {
		/* padding behind a whole member is not the answer's fault */
		if (t->z->total_out == 0 && t->decoded_bytes > 0)
			t->inflate_ended = true;
		else
			t->blind = true;
		return false;
	}
	return t->z->avail_in > 0 || t->z->avail_out == 0;
}

static void inflate_feed(struct tap *t, const void *p, size_t n)
{
	const unsigned char *at = p;

	while (n > 0 && !t->blind && !t->inflate_ended) {
		size_t piece = n < (1u << 30) ? n : (1u << 30);

		t->z->next_in = (unsigned char *)(uintptr_t)at;
		t->z->avail_in = (uInt)piece;
		while (inflate_piece(t))
			;
		at += piece;
		n -= piece;
	}
}

/* Two bytes tell zlib from raw deflate. */
static void deflate_feed(struct tap *t, const char *p, size_t n)
{
	while (!t->inflating && n > 0 && t->head_n < 2) {
		t->head[t->head_n++] = (unsigned char)*p++;
		n--;
		if (t->head_n < 2)
			continue;
		if (!inflate_start(t, is_zlib(t->head) ? MAX_WBITS : -MAX_WBITS)) {
			t->blind = true;
			return;
		}
		inflate_feed(t, t->head, 2);
	}
	if (t->inflating)
		inflate_feed(t, p, n);
}

/* --- setting up --------------------------------------------------------------------------------------------------- */

static enum coding coding_one(struct slice s)
{
	s = slice_trim(s);
	if (s.n == 0 || slice_ieq(s, SLICE("identity")))
		return CODING_IDENTITY;
	if (slice_ieq(s, SLICE("gzip")) || slice_ieq(s, SLICE("x-gzip")))
		return CODING_GZIP;
	return slice_ieq(s, SLICE("deflate")) ? CODING_DEFLATE : CODING_UNKNOWN;
}

/* "gzip", or a list of which at most one is not identity. */
static enum coding coding_of(struct slice field)
{
	enum coding coding = CODING_IDENTITY, one;
	struct slice rest = field, item;
	bool more = field.n > 0;

	while (more) {
		more = slice_cut(rest, ',', &item, &rest);
		one = coding_one(item);
		if (one == CODING_IDENTITY)
			continue;
		if (coding != CODING_IDENTITY)
			return CODING_UNKNOWN;
		coding = one;
	}
	return coding;
}

static bool is_event_stream(struct slice content_type)
{
	struct slice type, params;

	slice_cut(content_type, ';', &type, &params);
	return slice_ieq(slice_trim(type), SLICE("text/event-stream"));
}

struct tap *tap_new(const struct tap_options *o)
{
	struct tap *t = malloc(sizeof(*t));

	if (!t)
		return NULL;
	memset(t, 0, offsetof(struct tap, extract));
	t->free_call = o->status < 200 || o->status > 299 || o->kind == API_FREE;
	t->metered = !t->free_call && o->kind != API_UNKNOWN;
	t->sse = is_event_stream(o->content_type);
	t->line_empty = true;
	t->coding = coding_of(o->content_encoding);
	if (!t->metered)
		return t;
	extract_init(&t->extract, o->kind, t->sse);
	if (t->coding == CODING_UNKNOWN || (t->coding == CODING_GZIP && !inflate_start(t, 16 + MAX_WBITS)))
		t->blind = true;
	return t;
}

void tap_free(struct tap *t)
{
	if (!t)
		return;
	inflate_stop(t);
	free(t);
}

void tap_feed(struct tap *t, const char *p, size_t n)
{
	if (!t->metered || t->blind)
		return;
	switch (t->coding) {
	case CODING_IDENTITY:
		plain_feed(t, p, n);
		break;
	case CODING_GZIP:
		inflate_feed(t, p, n);
		break;
	case CODING_DEFLATE:
		deflate_feed(t, p, n);
		break;
	case CODING_UNKNOWN:
		break;
	}
	if (t->blind)
		inflate_stop(t);
}

/* --- results ------------------------------------------------------------------------------------------------------ */

/* Some of the answer was not understood at all. */
static bool lost_track(const struct tap *t)
{
	return t->blind || (t->failed_json && !t->sse);
}

void tap_peek(const struct tap *t, struct usage *ret)
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
	extract_result(&t->extract, true, ret);
	if (lost_track(t)) {
		/* what was seen is no bound of what was not: the caller must take the worst case */
		ret->complete = ret->has_output = false;
		ret->output_bytes = 0;
	}
}

void tap_finish(struct tap *t, bool clean, struct usage *ret)
{
	if (t->metered && !t->blind && t->sse && t->event_open) {
		/* a last event without its blank line: browsers drop it, a bill must not */
		if (!t->line_empty)
			line_end(t);
		event_dispatch(t);
	}
	tap_peek(t, ret);
	/* text in a string that never ended */
	if (!clean && t->metered && !lost_track(t) && !t->whole_json)
		ret->output_bytes += t->open_bytes;
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
		if (slice_trim(name).n == 0 || coding_one(name) == CODING_UNKNOWN)
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
