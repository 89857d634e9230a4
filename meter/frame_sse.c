#include "meter/frame_sse.h"

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* Of the line at hand. */
enum line {
	LINE_NAME,  /* comparing with "data" */
	LINE_SPACE, /* after "data:"; one space is skipped */
	LINE_DATA,
	LINE_SKIP, /* a line of no interest */
};

static const char field[] = "data: ";
#define FIELD_N (sizeof(field) - 1)
static const char done_marker[] = "[DONE]";
#define MARKER_N (sizeof(done_marker) - 1)
#define MARKER_NO 0xff

void frame_sse_init(struct frame_sse *f, struct frame_out out)
{
	memset(f, 0, sizeof(*f));
	f->out = out;
	f->line_empty = true;
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static void dispatch(struct frame_sse *f)
{
	if (f->has_data && f->marker_n == MARKER_N)
		f->out.ops->done(f->out.ctx);
	else if (f->has_data)
		f->out.ops->end(f->out.ctx);
	f->has_data = false;
}

/* "[DONE]" as a prefix of the event's data. */
static void match_marker(struct frame_sse *f, const char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n && f->marker_n < MARKER_N; i++) {
		if (p[i] != done_marker[f->marker_n]) {
			f->marker_n = MARKER_NO;
			return;
		}
		f->marker_n++;
	}
}

static void data_bytes(struct frame_sse *f, const char *p, size_t n)
{
	if (f->marker_n < MARKER_N)
		match_marker(f, p, n);
	f->out.ops->data(f->out.ctx, p, n);
}

static void data_begin(struct frame_sse *f)
{
	if (f->has_data) {
		data_bytes(f, "\n", 1); /* lines of one event are joined by LF */
		return;
	}
	f->out.ops->begin(f->out.ctx);
	f->has_data = true;
	f->marker_n = 0;
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

static void line_end(struct frame_sse *f)
{
	/* "data" alone is a data line with an empty value */
	if (f->line == LINE_NAME && f->name_n == 4)
		data_begin(f);
	if (f->line_empty)
		dispatch(f);
	f->line = LINE_NAME;
	f->name_n = 0;
	f->line_empty = true;
}

#if defined(__SSE2__)
/* A bit for each of the 16 bytes at p: it ends a line. */
static inline unsigned line_ends(const char *p)
{
	__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);

	return (unsigned)_mm_movemask_epi8(
	    _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\n')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\r'))));
}
#endif

/* Length of the run up to the next line end. */
static inline size_t line_run(const char *p, size_t n)
{
	size_t i = 0;

#if defined(__SSE2__)
	unsigned ends;

	for (; n - i >= 16; i += 16) {
		ends = line_ends(p + i);
		if (ends != 0)
			return i + (size_t)__builtin_ctz(ends);
	}
	if (n >= 16) { /* the last 16, of which some were looked at before */
		ends = line_ends(p + n - 16);
		return ends != 0 ? n - 16 + (size_t)__builtin_ctz(ends) : n;
	}
#endif
	while (i < n && p[i] != '\n' && p[i] != '\r')
		i++;
	return i;
}

/* One byte at the beginning of a line. */
static void name_byte(struct frame_sse *f, char c)
{
	if (f->name_n < 4 && c == field[f->name_n]) {
		f->name_n++;
	} else if (f->name_n == 4 && c == ':') {
		data_begin(f);
		f->line = LINE_SPACE;
	} else {
		f->line = LINE_SKIP;
	}
}

/* Takes bytes of one line, none of them a line end; returns how many. */
static size_t line_bytes(struct frame_sse *f, const char *p, size_t n)
{
	f->line_empty = false;
	switch (f->line) {
	case LINE_NAME:
		name_byte(f, p[0]);
		return 1;
	case LINE_SPACE:
		f->line = LINE_DATA;
		return p[0] == ' ' ? 1 : 0;
	case LINE_DATA:
		data_bytes(f, p, n);
		return n;
	default:
		return n;
	}
}

/* A byte order mark at the very beginning; returns true when the byte belonged to it. */
static bool bom_byte(struct frame_sse *f, unsigned char c)
{
	static const unsigned char bom[3] = {0xef, 0xbb, 0xbf};

	if (c == bom[f->bom_n]) {
		f->bom_n++;
		return true;
	}
	if (f->bom_n > 0) { /* a line that only began like it */
		f->line = LINE_SKIP;
		f->line_empty = false;
	}
	f->bom_n = 3;
	return false;
}

/* An event that is one data line and lies whole in this piece, with its blank line: returns its length; 0: it must be
 * read line by line. */
static inline size_t whole_event(struct frame_sse *f, const char *p, size_t n)
{
	size_t run, blank;

	if (n < FIELD_N + 2 || f->has_data || f->name_n > 0 || memcmp(p, field, FIELD_N) != 0 || p[FIELD_N] == '[')
		return 0;
	run = line_run(p + FIELD_N, n - FIELD_N) + FIELD_N;
	if (n - run >= 2 && p[run] == '\n' && p[run + 1] == '\n')
		blank = 2;
	else if (n - run >= 4 && memcmp(p + run, "\r\n\r\n", 4) == 0)
		blank = 4;
	else
		return 0;
	f->out.ops->whole(f->out.ctx, p + FIELD_N, run - FIELD_N);
	f->line_empty = true;
	return run + blank;
}

void frame_sse_feed(struct frame_sse *f, const char *p, size_t n)
{
	size_t i = 0;

	while (i < n) {
		size_t run;

		if (UNLIKELY(f->bom_n < 3) && bom_byte(f, (unsigned char)p[i])) {
			i++;
			continue;
		}
		if (f->after_cr) {
			f->after_cr = false;
			if (p[i] == '\n') {
				i++;
				continue;
			}
		}
		if (p[i] == '\n' || p[i] == '\r') {
			f->after_cr = p[i] == '\r';
			line_end(f);
			i++;
			continue;
		}
		run = f->line == LINE_NAME ? whole_event(f, p + i, n - i) : 0;
		if (run > 0) {
			i += run;
			continue;
		}
		run = f->line == LINE_NAME || f->line == LINE_SPACE ? 1 : line_run(p + i, n - i);
		i += line_bytes(f, p + i, run);
	}
}

void frame_sse_finish(struct frame_sse *f)
{
	/* a last event without its blank line: browsers drop it, a bill must not */
	if (!f->line_empty)
		line_end(f);
	dispatch(f);
}
