/* The reader of base/json.h walks over the envelope and cuts long strings. So the value of "bytes" is kept from it: it
 * is given an empty string instead. */
#include "meter/frame_chunk.h"

#define DECODED_BYTES 512

enum phase {
	PHASE_JSON,
	PHASE_COLON, /* behind the key "bytes" */
	PHASE_VALUE,
	PHASE_BASE64,
};

enum escape { ESC_NONE, ESC_BEGIN, ESC_U1, ESC_U2, ESC_U3, ESC_U4 };

/* What one character stands for. */
enum { NO_SEXTET = 0xff, PADDING = 0xfe };

void frame_chunk_begin(struct frame_chunk *f, struct frame_out out)
{
	f->out = out;
	f->phase = PHASE_JSON;
	f->found = f->bad = false;
	json_reader_init(&f->json);
	f->json.want_text = false;
}

/* --- base64 ------------------------------------------------------------------------------------------------------- */

static uint8_t sextet_of(unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : c == '=' ? PADDING : NO_SEXTET;
}

static int hex_digit(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 32;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte of the string: the character it ends, or NUL when it is part of an escape. */
static unsigned char unescape(struct frame_chunk *f, unsigned char c)
{
	int digit;

	if (f->escape == ESC_NONE) {
		f->escape = c == '\\' ? ESC_BEGIN : ESC_NONE;
		f->bad |= c == '\0';
		return c == '\\' ? '\0' : c;
	}
	if (f->escape == ESC_BEGIN) {
		f->escape = c == 'u' ? ESC_U1 : ESC_NONE;
		f->unit = 0;
		f->bad |= c != 'u' && c != '/'; /* no other stands for a character of base64 */
		return c == '/' ? c : '\0';
	}
	digit = hex_digit(c);
	f->bad |= digit < 0;
	f->unit = (uint16_t)(f->unit << 4 | (digit & 15));
	if (f->escape++ < ESC_U4)
		return '\0';
	f->escape = ESC_NONE;
	f->bad |= f->unit == 0 || f->unit > 0x7f;
	return (unsigned char)(f->unit & 0x7f);
}

/* One character of base64: appends what it completes to dst. Padding only fills the last group. */
static size_t base64_char(struct frame_chunk *f, unsigned char c, char *dst)
{
	uint8_t sextet = sextet_of(c);

	f->bad |= sextet == NO_SEXTET || (f->padding > 0 && (sextet != PADDING || f->sextets == 0)) ||
		  (sextet == PADDING && f->sextets < 2);
	if (f->bad)
		return 0;
	f->padding += sextet == PADDING;
	f->group = f->group << 6 | (sextet & 63);
	if (++f->sextets < 4)
		return 0;
	f->sextets = 0;
	dst[0] = (char)(f->group >> 16);
	dst[1] = (char)(f->group >> 8);
	dst[2] = (char)f->group;
	return 3u - f->padding;
}

/* The string up to its end: returns where it stopped reading. */
static size_t base64_bytes(struct frame_chunk *f, const char *p, size_t n)
{
	char out[DECODED_BYTES];
	size_t i = 0, o = 0;

	while (i < n && (p[i] != '"' || f->escape != ESC_NONE)) {
		unsigned char c = unescape(f, (unsigned char)p[i++]);

		if (c != '\0')
			o += base64_char(f, c, out + o);
		if (o > DECODED_BYTES - 3) {
			f->out.ops->data(f->out.ctx, out, o);
			o = 0;
		}
	}
	if (o > 0)
		f->out.ops->data(f->out.ctx, out, o);
	return i;
}

/* --- the envelope ------------------------------------------------------------------------------------------------- */

/* Reads up to the key "bytes" and its end, or all. Returns where it stopped. */
static size_t json_bytes(struct frame_chunk *f, const char *p, size_t n)
{
	size_t i = 0;

	for (;;) {
		enum json_token t = json_next(&f->json, p, n, &i);

		if (t == JT_MORE || t == JT_ERROR) {
			f->bad |= t == JT_ERROR;
			return n;
		}
		if (t == JT_KEY && f->json.depth == 1 && !f->json.cut &&
		    slice_eq(json_text(&f->json), SLICE("bytes"))) {
			f->phase = PHASE_COLON;
			return i;
		}
	}
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Between the key and its value; one byte, or none when it belongs to what the reader must see. */
static size_t before_value(struct frame_chunk *f, char c)
{
	if (is_space(c))
		return 1;
	if (f->phase == PHASE_COLON) {
		f->bad |= c != ':';
		f->phase = PHASE_VALUE;
		return 1;
	}
	if (c == '"') {
		f->phase = PHASE_BASE64;
		f->found = true;
		f->escape = f->sextets = f->padding = 0;
		f->group = 0;
		f->out.ops->begin(f->out.ctx); /* of two the last counts */
		return 1;
	}
	f->phase = PHASE_JSON;
	f->found = false;
	(void)json_bytes(f, ":", 1);
	return 0;
}

void frame_chunk_feed(struct frame_chunk *f, const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && !f->bad) {
		switch ((enum phase)f->phase) {
		case PHASE_JSON:
			i += json_bytes(f, p + i, n - i);
			break;
		case PHASE_COLON:
		case PHASE_VALUE:
			i += before_value(f, p[i]);
			break;
		case PHASE_BASE64:
			i += base64_bytes(f, p + i, n - i);
			if (i == n)
				return;
			i++; /* the quote */
			f->bad |= f->sextets != 0;
			f->phase = PHASE_JSON;
			(void)json_bytes(f, ":\"\"", 3);
			break;
		}
	}
}

void frame_chunk_end(struct frame_chunk *f)
{
	if (f->found && !f->bad && f->phase == PHASE_JSON && json_reader_complete(&f->json))
		f->out.ops->end(f->out.ctx);
}
