#include "base/json.h"

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/error.h"
#include "base/utf8.h"

/* --- writing ------------------------------------------------------------------------------------------------------ */

/* Length of the run at s[from..] that needs no escape and is plain ASCII. */
static size_t plain_run(const char *p, size_t n)
{
	size_t i = 0;

#if defined(__SSE2__)
	const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), space = _mm_set1_epi8(' ');

	for (; i + 16 <= n; i += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
		/* signed: bytes from 0x80 count as below a space too */
		__m128i hit = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash)),
					   _mm_cmplt_epi8(v, space));
		int mask = _mm_movemask_epi8(hit);

		if (mask != 0)
			return i + (size_t)__builtin_ctz((unsigned)mask);
	}
#else
	for (; i + 8 <= n; i += 8) {
		const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
		uint64_t v, quote, slash;

		memcpy(&v, p + i, 8);
		quote = v ^ ones * '"';
		slash = v ^ ones * '\\';
		if (((v | (v - ones * ' ') | (quote - ones) | (slash - ones)) & tops) != 0)
			break; /* perhaps; the byte loop decides */
	}
#endif
	for (; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\')
			break;
	}
	return i;
}

/* The escaped form of the character at p: returns bytes read, sets *ret_n to bytes written (at most 6). */
static size_t escape_one(const char *p, size_t n, char dst[6], size_t *ret_n)
{
	static const char digits[] = "0123456789abcdef";
	static const char letters[] = "\b\t\n\f\r\"\\", named[] = "btnfr\"\\";
	uint32_t cp = 0;
	size_t used = utf8_decode(p, n, &cp);
	const char *letter = used == 1 && cp != 0 ? strchr(letters, (int)cp) : NULL;

	if (letter) {
		dst[0] = '\\';
		dst[1] = named[letter - letters];
		*ret_n = 2;
	} else if (used == 1 && cp < 0x20) {
		memcpy(dst, "\\u00", 4);
		dst[4] = digits[cp >> 4];
		dst[5] = digits[cp & 15];
		*ret_n = 6;
	} else if (used > 0) {
		memcpy(dst, p, used);
		*ret_n = used;
	} else {
		memcpy(dst, UTF8_REPLACEMENT, 3);
		*ret_n = 3;
		used = 1;
	}
	return used;
}

int json_write_string(struct buf *out, struct slice s)
{
	size_t begin = buf_len(out), i = 0;
	int r = buf_append(out, "\"", 1);

	while (i < s.n && r >= 0) {
		size_t run = plain_run(s.p + i, s.n - i), n;
		char text[6];

		r = buf_append(out, s.p + i, run);
		i += run;
		if (i == s.n || r < 0)
			break;
		i += escape_one(s.p + i, s.n - i, text, &n);
		r = buf_append(out, text, n);
	}
	if (r >= 0)
		r = buf_append(out, "\"", 1);
	if (r < 0)
		out->tail = out->head + begin; /* all or nothing */
	return r;
}

size_t json_escape(struct slice s, char *dst, size_t dst_size)
{
	size_t o = 0, i = 0;

	if (dst_size == 0)
		return 0;
	while (i < s.n) {
		size_t n;
		char text[6];

		i += escape_one(s.p + i, s.n - i, text, &n);
		if (n > dst_size - 1 - o)
			break;
		memcpy(dst + o, text, n);
		o += n;
	}
	dst[o] = '\0';
	return o;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* Between tokens: what may come next. */
enum state {
	ST_VALUE,  /* a value must come */
	ST_ARRAY,  /* first value or ']' */
	ST_OBJECT, /* first key or '}' */
	ST_KEY,    /* a key must come */
	ST_COLON,
	ST_AFTER,    /* ',' or the end of the container */
	ST_COMPLETE, /* JSON_END is due */
	ST_DONE,     /* only white space */
	ST_FAILED,
};

enum in_token { IN_NONE, IN_STRING, IN_NUMBER, IN_LITERAL };

/* Inside a string: what stands after the backslash. 0 = no escape. */
enum escape { ESC_NONE, ESC_BEGIN, ESC_U1, ESC_U2, ESC_U3, ESC_U4 };

/* Inside a number (kept in `escape`). */
enum number { NUM_MINUS, NUM_ZERO, NUM_INT, NUM_POINT, NUM_FRACTION, NUM_E, NUM_SIGN, NUM_EXPONENT, NUM_BAD };

static const struct {
	const char *word;
	enum json_token token;
} literals[] = {{"true", JSON_TRUE}, {"false", JSON_FALSE}, {"null", JSON_NULL}};

/* What the reader holds while it walks over one piece of input. */
struct cursor {
	const char *p;
	size_t n, i;
};

void json_reader_init(struct json_reader *r)
{
	/* not the text: half a kilobyte for each event of a stream */
	memset(r, 0, offsetof(struct json_reader, text));
	r->text[0] = '\0';
	r->want_text = true;
}

static enum json_token fail(struct json_reader *r)
{
	r->state = ST_FAILED;
	r->in_token = IN_NONE;
	return JSON_ERROR;
}

static bool in_object(const struct json_reader *r)
{
	return (r->stack[(r->depth - 1) / 8] >> ((r->depth - 1) % 8) & 1) != 0;
}

static void value_done(struct json_reader *r)
{
	r->state = r->depth > 0 ? ST_AFTER : ST_COMPLETE;
}

static void text_begin(struct json_reader *r, enum in_token kind, bool capture)
{
	r->in_token = (uint8_t)kind;
	r->capturing = capture;
	r->cut = false;
	r->text_n = 0;
	r->length_bytes = 0;
	r->escape = ESC_NONE;
	r->utf8_left = 0;
	r->codepoint = r->surrogate = 0;
}

/* ASCII is cut anywhere. */
static void text_add(struct json_reader *r, const char *p, size_t n)
{
	r->length_bytes += n;
	if (!r->capturing || r->cut)
		return;
	if (n > JSON_CAPTURE_MAX - r->text_n) {
		n = JSON_CAPTURE_MAX - r->text_n;
		r->cut = true;
	}
	memcpy(r->text + r->text_n, p, n);
	r->text_n += n;
}

/* A character goes in whole or not at all. */
static void text_add_char(struct json_reader *r, uint32_t cp)
{
	char bytes[4];
	size_t n = utf8_encode(cp, bytes);

	if (r->capturing && n > JSON_CAPTURE_MAX - r->text_n)
		r->cut = true;
	text_add(r, bytes, n);
}

/* --- strings */

static void flush_surrogate(struct json_reader *r)
{
	if (r->surrogate != 0) {
		r->surrogate = 0;
		text_add_char(r, 0xfffd);
	}
}

static int bad_utf8(struct json_reader *r)
{
	r->utf8_left = 0;
	if (r->utf8_strict)
		return BUR_INVALID;
	text_add_char(r, 0xfffd);
	return BUR_OK;
}

/* First byte of a character that is not ASCII. */
static int utf8_lead(struct json_reader *r, unsigned char c)
{
	if (c >= 0xc2 && c <= 0xdf) {
		r->utf8_left = 1;
		r->codepoint = c & 0x1f;
	} else if (c >= 0xe0 && c <= 0xef) {
		r->utf8_left = 2;
		r->codepoint = c & 0x0f;
	} else if (c >= 0xf0 && c <= 0xf4) {
		r->utf8_left = 3;
		r->codepoint = c & 0x07;
	} else {
		return bad_utf8(r);
	}
	return BUR_OK;
}

/* Is c a fitting next byte? Overlong forms, surrogates and values over U+10FFFF show in the second byte. With two
 * bytes left, a code point below 0x10 can only be the lead of a three-byte form (a four-byte form has 0x10 or more). */
static bool utf8_continues(const struct json_reader *r, unsigned char c)
{
	if ((c & 0xc0) != 0x80)
		return false;
	if (r->utf8_left == 2 && r->codepoint == 0)
		return c >= 0xa0;
	if (r->utf8_left == 2 && r->codepoint == 0xd)
		return c <= 0x9f;
	if (r->utf8_left == 3 && r->codepoint == 0)
		return c >= 0x90;
	if (r->utf8_left == 3 && r->codepoint == 4)
		return c <= 0x8f;
	return true;
}

/* Returns 1 when c was taken, 0 when it must be looked at again, negative on error. */
static int utf8_byte(struct json_reader *r, unsigned char c)
{
	int rc;

	if (r->utf8_left == 0)
		rc = utf8_lead(r, c);
	else if (!utf8_continues(r, c))
		return bad_utf8(r);
	else {
		rc = BUR_OK;
		r->codepoint = r->codepoint << 6 | (c & 0x3f);
		if (--r->utf8_left == 0)
			text_add_char(r, r->codepoint);
	}
	return rc < 0 ? rc : 1;
}

static int hex_digit(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 32;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits are there: pairs surrogates. */
static void codeunit_done(struct json_reader *r)
{
	uint32_t unit = r->codepoint, high = r->surrogate;

	r->escape = ESC_NONE;
	r->codepoint = 0;
	if (unit >= 0xdc00 && unit <= 0xdfff && high != 0) {
		r->surrogate = 0;
		text_add_char(r, 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00));
		return;
	}
	flush_surrogate(r);
	if (unit >= 0xd800 && unit <= 0xdbff)
		r->surrogate = unit;
	else
		text_add_char(r, unit >= 0xdc00 && unit <= 0xdfff ? 0xfffd : unit);
}

static int escape_byte(struct json_reader *r, unsigned char c)
{
	static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
	const char *letter;
	int digit;

	if (r->escape == ESC_BEGIN) {
		if (c == 'u') {
			r->escape = ESC_U1;
			r->codepoint = 0;
			return BUR_OK;
		}
		letter = c ? strchr(letters, c) : NULL;
		if (!letter)
			return BUR_INVALID;
		flush_surrogate(r);
		text_add(r, &meanings[letter - letters], 1);
		r->escape = ESC_NONE;
		return BUR_OK;
	}
	digit = hex_digit(c);
	if (digit < 0)
		return BUR_INVALID;
	r->codepoint = r->codepoint << 4 | (uint32_t)digit;
	if (r->escape++ == ESC_U4)
		codeunit_done(r);
	return BUR_OK;
}

static enum json_token string_end(struct json_reader *r)
{
	r->in_token = IN_NONE;
	r->text[r->text_n] = '\0';
	if (r->is_key) {
		r->state = ST_COLON;
		return JSON_KEY;
	}
	value_done(r);
	return JSON_STRING;
}

/* Whole characters that are not ASCII: the short way while they are valid and complete in this piece. False: none. */
static bool utf8_run(struct json_reader *r, struct cursor *in)
{
	size_t begin = in->i, room = r->capturing && !r->cut ? JSON_CAPTURE_MAX - r->text_n : SIZE_MAX, len;
	uint32_t cp;

	while (in->i < in->n && (unsigned char)in->p[in->i] >= 0x80) {
		len = utf8_decode(in->p + in->i, in->n - in->i, &cp);
		if (len == 0 || len > room - (in->i - begin))
			break; /* the slow way judges, and cuts between characters */
		in->i += len;
	}
	text_add(r, in->p + begin, in->i - begin);
	return in->i > begin;
}

/* One byte that is neither plain nor the end. */
static int string_byte(struct json_reader *r, struct cursor *in)
{
	unsigned char c = (unsigned char)in->p[in->i];
	int rc = 1;

	if (r->escape != ESC_NONE) {
		in->i++;
		return escape_byte(r, c);
	}
	if (c >= 0x80) {
		flush_surrogate(r);
		rc = utf8_byte(r, c);
	} else if (r->utf8_left > 0) {
		return bad_utf8(r); /* c is looked at again */
	} else if (c == '\\') {
		r->escape = ESC_BEGIN;
	} else {
		return BUR_INVALID; /* a raw control byte */
	}
	if (rc > 0)
		in->i++;
	return rc;
}

static enum json_token read_string(struct json_reader *r, struct cursor *in)
{
	while (in->i < in->n) {
		if (r->escape == ESC_NONE && r->utf8_left == 0) {
			size_t run = plain_run(in->p + in->i, in->n - in->i);

			if (run > 0) {
				flush_surrogate(r);
				text_add(r, in->p + in->i, run);
				in->i += run;
			}
			if (in->i < in->n && (unsigned char)in->p[in->i] >= 0x80) {
				flush_surrogate(r);
				if (utf8_run(r, in))
					continue;
			}
			if (in->i == in->n)
				break;
			if (in->p[in->i] == '"') {
				flush_surrogate(r);
				in->i++;
				return string_end(r);
			}
		}
		if (string_byte(r, in) < 0)
			return fail(r);
	}
	return JSON_MORE;
}

/* --- numbers and words */

static enum number number_next(enum number at, unsigned char c)
{
	bool digit = c >= '0' && c <= '9', e = c == 'e' || c == 'E';

	switch (at) {
	case NUM_MINUS:
		return digit ? (c == '0' ? NUM_ZERO : NUM_INT) : NUM_BAD;
	case NUM_ZERO:
	case NUM_INT:
		if (digit && at == NUM_INT)
			return NUM_INT;
		return c == '.' ? NUM_POINT : e ? NUM_E : NUM_BAD;
	case NUM_POINT:
		return digit ? NUM_FRACTION : NUM_BAD;
	case NUM_FRACTION:
		return digit ? NUM_FRACTION : e ? NUM_E : NUM_BAD;
	case NUM_E:
		if (c == '+' || c == '-')
			return NUM_SIGN;
		return digit ? NUM_EXPONENT : NUM_BAD;
	case NUM_SIGN:
	case NUM_EXPONENT:
		return digit ? NUM_EXPONENT : NUM_BAD;
	default:
		return NUM_BAD;
	}
}

static bool number_final(enum number at)
{
	return at == NUM_ZERO || at == NUM_INT || at == NUM_FRACTION || at == NUM_EXPONENT;
}

static bool number_char(unsigned char c)
{
	return (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E';
}

static enum json_token read_number(struct json_reader *r, struct cursor *in)
{
	for (; in->i < in->n; in->i++) {
		unsigned char c = (unsigned char)in->p[in->i];

		if (!number_char(c)) {
			if (!number_final((enum number)r->escape))
				return fail(r);
			r->in_token = IN_NONE;
			r->text[r->text_n] = '\0';
			value_done(r);
			return JSON_NUMBER;
		}
		r->escape = (uint8_t)number_next((enum number)r->escape, c);
		if (r->escape == NUM_BAD)
			return fail(r);
		text_add(r, in->p + in->i, 1);
	}
	return JSON_MORE;
}

/* codepoint = which word, escape = bytes of it seen. */
static enum json_token read_literal(struct json_reader *r, struct cursor *in)
{
	const char *word = literals[r->codepoint].word;

	for (; in->i < in->n && word[r->escape]; in->i++, r->escape++) {
		if (in->p[in->i] != word[r->escape])
			return fail(r);
	}
	if (word[r->escape])
		return JSON_MORE;
	r->in_token = IN_NONE;
	value_done(r);
	return literals[r->codepoint].token;
}

/* --- structure */

static enum json_token container_begin(struct json_reader *r, bool object)
{
	uint8_t bit = (uint8_t)(1u << (r->depth % 8));

	if (r->depth >= JSON_DEPTH_MAX)
		return fail(r);
	if (object)
		r->stack[r->depth / 8] |= bit;
	else
		r->stack[r->depth / 8] &= (uint8_t)~bit;
	r->depth++;
	r->state = object ? ST_OBJECT : ST_ARRAY;
	return object ? JSON_OBJECT_BEGIN : JSON_ARRAY_BEGIN;
}

static enum json_token container_end(struct json_reader *r, bool object)
{
	r->depth--;
	value_done(r);
	return object ? JSON_OBJECT_END : JSON_ARRAY_END;
}

/* Begins a value at byte c, which is consumed. JSON_MORE: the rest of the token follows. */
static enum json_token value_begin(struct json_reader *r, unsigned char c)
{
	switch (c) {
	case '{':
	case '[':
		return container_begin(r, c == '{');
	case '"':
		r->is_key = false;
		text_begin(r, IN_STRING, r->want_text);
		return JSON_MORE;
	case 't':
	case 'f':
	case 'n':
		text_begin(r, IN_LITERAL, false);
		r->codepoint = c == 't' ? 0 : c == 'f' ? 1 : 2;
		r->escape = 1;
		return JSON_MORE;
	default:
		break;
	}
	if (c != '-' && (c < '0' || c > '9'))
		return fail(r);
	text_begin(r, IN_NUMBER, true);
	text_add(r, (const char *)&c, 1);
	r->escape = c == '-' ? NUM_MINUS : c == '0' ? NUM_ZERO : NUM_INT;
	return JSON_MORE;
}

static enum json_token key_begin(struct json_reader *r, unsigned char c)
{
	if (c != '"')
		return fail(r);
	r->is_key = true;
	text_begin(r, IN_STRING, true);
	return JSON_MORE;
}

static enum json_token after_value(struct json_reader *r, unsigned char c)
{
	bool object = in_object(r);

	if (c == ',') {
		r->state = object ? ST_KEY : ST_VALUE;
		return JSON_MORE;
	}
	if (c == (object ? '}' : ']'))
		return container_end(r, object);
	return fail(r);
}

/* One byte between tokens that is not white space. */
static enum json_token structure_byte(struct json_reader *r, unsigned char c)
{
	switch ((enum state)r->state) {
	case ST_ARRAY:
		if (c == ']')
			return container_end(r, false);
		return value_begin(r, c);
	case ST_VALUE:
		return value_begin(r, c);
	case ST_OBJECT:
		if (c == '}')
			return container_end(r, true);
		return key_begin(r, c);
	case ST_KEY:
		return key_begin(r, c);
	case ST_COLON:
		if (c != ':')
			return fail(r);
		r->state = ST_VALUE;
		return JSON_MORE;
	case ST_AFTER:
		return after_value(r, c);
	default:
		return fail(r);
	}
}

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static enum json_token read_token(struct json_reader *r, struct cursor *in, uint64_t base)
{
	enum json_token token = JSON_MORE;

	while (token == JSON_MORE && in->i < in->n) {
		switch ((enum in_token)r->in_token) {
		case IN_STRING:
			token = read_string(r, in);
			break;
		case IN_NUMBER:
			token = read_number(r, in);
			break;
		case IN_LITERAL:
			token = read_literal(r, in);
			break;
		case IN_NONE:
			while (in->i < in->n && is_space(in->p[in->i]))
				in->i++;
			if (in->i == in->n)
				break;
			r->token_begin = base + in->i;
			token = structure_byte(r, (unsigned char)in->p[in->i]);
			if (token != JSON_ERROR)
				in->i++;
			break;
		}
	}
	return token;
}

enum json_token json_next(struct json_reader *r, const char *p, size_t n, size_t *inout_i)
{
	struct cursor in = {p, n, *inout_i};
	uint64_t base = r->offset - *inout_i; /* may wrap, and wraps back */
	enum json_token token;

	if (r->state == ST_FAILED)
		return JSON_ERROR;
	if (r->state == ST_COMPLETE) {
		r->state = ST_DONE;
		return JSON_END;
	}
	token = read_token(r, &in, base);
	*inout_i = in.i;
	r->offset = base + in.i;
	return token;
}

bool json_reader_complete(const struct json_reader *r)
{
	if (r->state == ST_COMPLETE || r->state == ST_DONE)
		return true;
	return r->in_token == IN_NUMBER && r->depth == 0 && number_final((enum number)r->escape);
}

/* --- counts ------------------------------------------------------------------------------------------------------- */

#define COUNT_LITERAL_MAX 4096
#define COUNT_EXPONENT_MAX 100000 /* saturates; with a literal this short nothing but 0 or overflow is left by then */

/* A checked literal: digits before the exponent, and the exponent, saturated. */
static int split_count(struct slice s, struct slice *ret_mantissa, int64_t *ret_exponent)
{
	enum number at = NUM_MINUS;
	size_t mantissa_n = s.n;
	bool negative = false;
	int64_t exponent = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		at = number_next(at, c);
		if (at == NUM_BAD)
			return BUR_INVALID;
		if (at == NUM_E)
			mantissa_n = i;
		negative |= c == '-' && at == NUM_SIGN;
		if (at == NUM_EXPONENT && exponent < COUNT_EXPONENT_MAX)
			exponent = exponent * 10 + (c - '0');
	}
	if (s.n == 0 || !number_final(at))
		return BUR_INVALID;
	*ret_mantissa = slice_sub(s, 0, mantissa_n);
	*ret_exponent = negative ? -exponent : exponent;
	return BUR_OK;
}

static int append_digit(uint64_t *v, unsigned digit)
{
	if (__builtin_mul_overflow(*v, UINT64_C(10), v) || __builtin_add_overflow(*v, (uint64_t)digit, v))
		return BUR_INVALID;
	return BUR_OK;
}

int json_count(struct slice literal, uint64_t *ret)
{
	bool negative = literal.n > 0 && literal.p[0] == '-', nonzero = false;
	struct slice mantissa;
	int64_t exponent, keep, seen = 0;
	uint64_t v = 0;

	if (literal.n > COUNT_LITERAL_MAX ||
	    split_count(negative ? slice_sub(literal, 1, literal.n) : literal, &mantissa, &exponent) < 0)
		return BUR_INVALID;
	keep = (int64_t)slice_find(mantissa, '.') + exponent; /* digits that stand before the point */
	for (size_t i = 0; i < mantissa.n; i++) {
		unsigned digit = (unsigned)(unsigned char)mantissa.p[i] - '0';

		if (digit > 9)
			continue;
		nonzero |= digit != 0;
		if (seen++ < keep && append_digit(&v, digit) < 0)
			return BUR_INVALID;
	}
	for (; seen < keep && v != 0; seen++) {
		if (append_digit(&v, 0) < 0)
			return BUR_INVALID;
	}
	if (negative && nonzero)
		return BUR_INVALID;
	*ret = v;
	return BUR_OK;
}
