#include "base/json.h"

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/check.h"
#include "base/error.h"
#include "base/jsonrun.h"
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
	ST_SKIP_COLON, /* the value behind it is to be skipped */
	ST_SKIP_VALUE,
	ST_AFTER_ITEM,   /* ',' or ']' */
	ST_AFTER_MEMBER, /* ',' or '}' */
	ST_DONE,         /* only white space */
	ST_COMPLETE,     /* JT_END is due */
	ST_FAILED,
};

enum in_token { IN_NONE, IN_STRING, IN_NUMBER, IN_LITERAL, IN_SKIP };

/* Inside a string: what stands after the backslash. 0 = no escape. */
enum escape { ESC_NONE, ESC_BEGIN, ESC_U1, ESC_U2, ESC_U3, ESC_U4 };

/* Inside a number (kept in `escape`). */
enum number { NUM_MINUS, NUM_ZERO, NUM_INT, NUM_POINT, NUM_FRACTION, NUM_E, NUM_SIGN, NUM_EXPONENT, NUM_BAD };

static const struct {
	const char *word;
	enum json_token token;
} literals[] = {{"true", JT_TRUE}, {"false", JT_FALSE}, {"null", JT_NULL}};

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
	r->after_value = ST_COMPLETE;
}

static enum json_token fail(struct json_reader *r)
{
	r->state = ST_FAILED;
	r->in_token = IN_NONE;
	return JT_ERROR;
}

static inline void value_done(struct json_reader *r)
{
	r->state = r->after_value;
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
		return JT_KEY;
	}
	value_done(r);
	return JT_STRING;
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
			size_t run;

			if (r->surrogate == 0 && (!r->capturing || r->cut)) /* only the length counts */
				in->i += jsonrun_text(in->p + in->i, in->n - in->i, &r->length_bytes);
			run = plain_run(in->p + in->i, in->n - in->i);
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
	return JT_MORE;
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
			return JT_NUMBER;
		}
		r->escape = (uint8_t)number_next((enum number)r->escape, c);
		if (r->escape == NUM_BAD)
			return fail(r);
		text_add(r, in->p + in->i, 1);
	}
	return JT_MORE;
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
		return JT_MORE;
	r->in_token = IN_NONE;
	value_done(r);
	return literals[r->codepoint].token;
}

/* --- skipping */

/* Inside a skipped value (kept in `escape`). */
enum skip { SKIP_STRUCTURE, SKIP_STRING, SKIP_ESCAPE };

#define SKIP_BLOCK 16

/* What stands in a block of bytes: one bit each. */
struct marks {
	unsigned quotes, slashes, brackets, controls;
};

#if defined(__SSE2__)
static inline struct marks find_marks(const char p[SKIP_BLOCK])
{
	__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
	__m128i folded = _mm_or_si128(v, _mm_set1_epi8(0x20)); /* '[' and '{' differ in this bit only, as the others */
	__m128i open = _mm_cmpeq_epi8(folded, _mm_set1_epi8('{')), end = _mm_cmpeq_epi8(folded, _mm_set1_epi8('}'));
	__m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);

	return (struct marks){
	    .quotes = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('"'))),
	    .slashes = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))),
	    .brackets = (unsigned)_mm_movemask_epi8(_mm_or_si128(open, end)),
	    .controls = (unsigned)_mm_movemask_epi8(control),
	};
}
#else
static inline struct marks find_marks(const char p[SKIP_BLOCK])
{
	struct marks m = {0};

	for (unsigned i = 0; i < SKIP_BLOCK; i++) {
		unsigned char c = (unsigned char)p[i], folded = c | 0x20;

		m.quotes |= (unsigned)(c == '"') << i;
		m.slashes |= (unsigned)(c == '\\') << i;
		m.brackets |= (unsigned)(folded == '{' || folded == '}') << i;
		m.controls |= (unsigned)(c < 0x20) << i;
	}
	return m;
}
#endif

static inline enum json_token container_begin(struct json_reader *r, bool object)
{
	if (r->depth >= JSON_DEPTH_MAX)
		return fail(r);
	r->objects[1] = r->objects[1] << 1 | r->objects[0] >> 63;
	r->objects[0] = r->objects[0] << 1 | object;
	r->depth++;
	r->state = object ? ST_OBJECT : ST_ARRAY;
	r->after_value = object ? ST_AFTER_MEMBER : ST_AFTER_ITEM;
	return object ? JT_OBJECT_BEGIN : JT_ARRAY_BEGIN;
}

static inline enum json_token container_end(struct json_reader *r, bool object)
{
	r->objects[0] = r->objects[0] >> 1 | r->objects[1] << 63;
	r->objects[1] >>= 1;
	r->depth--;
	r->after_value = r->depth == 0 ? ST_COMPLETE : (r->objects[0] & 1) ? ST_AFTER_MEMBER : ST_AFTER_ITEM;
	r->state = r->after_value;
	return object ? JT_OBJECT_END : JT_ARRAY_END;
}

/* From here on the reader is inside a value that ends when the depth is `depth` again. */
static void skip_begin(struct json_reader *r, enum skip where, int depth)
{
	r->in_token = IN_SKIP;
	r->escape = where;
	r->skip_depth = depth;
	r->skipping = false;
}

/* A byte at which skipping stops. */
static int skip_stop(struct json_reader *r, unsigned char c)
{
	bool object = (c & 0x20) != 0;

	if (c == '"') {
		r->escape ^= SKIP_STRUCTURE ^ SKIP_STRING;
	} else if (r->escape == SKIP_STRING) {
		if (c != '\\')
			return BUR_INVALID;
		r->escape = SKIP_ESCAPE;
	} else if ((c | 0x20) == '{') {
		return container_begin(r, object) == JT_ERROR ? BUR_INVALID : BUR_OK;
	} else {
		if (r->after_value != (object ? ST_AFTER_MEMBER : ST_AFTER_ITEM))
			return BUR_INVALID;
		(void)container_end(r, object);
	}
	return BUR_OK;
}

/* Bit i set: byte i stands in a string (its opening quote does, the closing one does not). No escapes. */
static inline unsigned in_strings(unsigned quotes, bool in_string)
{
	quotes ^= quotes << 1;
	quotes ^= quotes << 2;
	quotes ^= quotes << 4;
	quotes ^= quotes << 8;
	return (quotes ^ (in_string ? ~0u : 0)) & ((1u << SKIP_BLOCK) - 1);
}

/* A whole block without escapes, inside of a container that is skipped: only its brackets count. False: it has to be
 * read mark by mark, from `ret_i` on. */
static inline bool skip_brackets(struct json_reader *r, const char p[SKIP_BLOCK], const struct marks *m, size_t *ret_i)
{
	unsigned string = in_strings(m->quotes, r->escape == SKIP_STRING), brackets = m->brackets & ~string;

	if (m->slashes != 0 || r->escape == SKIP_ESCAPE || (m->controls & string) != 0)
		return false;
	for (; brackets != 0; brackets &= brackets - 1) {
		unsigned i = (unsigned)__builtin_ctz(brackets);
		bool object = (p[i] & 0x20) != 0, open = (p[i] | 0x20) == '{';

		/* an error or the end of the value: at this bracket, outside of strings */
		if (open ? r->depth == JSON_DEPTH_MAX
			 : r->depth == r->skip_depth + 1 ||
			       r->after_value != (object ? ST_AFTER_MEMBER : ST_AFTER_ITEM)) {
			r->escape = SKIP_STRUCTURE;
			*ret_i = i;
			return false;
		}
		(void)(open ? container_begin(r, object) : container_end(r, object));
	}
	r->escape = string >> (SKIP_BLOCK - 1) ? SKIP_STRING : SKIP_STRUCTURE;
	return true;
}

/* Bytes read of the n (at most SKIP_BLOCK) at p: fewer when the value ended or an error was met. */
static size_t skip_block(struct json_reader *r, const char p[SKIP_BLOCK], size_t n)
{
	struct marks m = find_marks(p);
	unsigned structure = m.quotes | m.brackets, string = m.quotes | m.slashes | m.controls;
	size_t i = 0;

	if (n == SKIP_BLOCK && r->depth > r->skip_depth && skip_brackets(r, p, &m, &i))
		return n;
	while (i < n) {
		unsigned rest;

		if (r->escape == SKIP_ESCAPE) {
			if (!p[i] || !strchr("\"\\/bfnrtu", p[i])) {
				(void)fail(r);
				return i;
			}
			r->escape = SKIP_STRING;
			i++;
			continue;
		}
		rest = (r->escape == SKIP_STRING ? string : structure) >> i;
		i = rest ? i + (size_t)__builtin_ctz(rest) : n;
		if (i >= n)
			return n;
		if (skip_stop(r, (unsigned char)p[i]) < 0) {
			(void)fail(r);
			return i;
		}
		i++;
		if (r->escape == SKIP_STRUCTURE && r->depth == r->skip_depth) {
			r->in_token = IN_NONE;
			value_done(r);
			return i;
		}
	}
	return i;
}

/* JT_MORE as well when the value has ended: nothing is reported. */
static enum json_token skip_on(struct json_reader *r, struct cursor *in)
{
	while (r->in_token == IN_SKIP && in->i < in->n) {
		size_t n = in->n - in->i;
		char last[SKIP_BLOCK] = "";

		if (n >= SKIP_BLOCK) {
			in->i += skip_block(r, in->p + in->i, SKIP_BLOCK);
		} else {
			memcpy(last, in->p + in->i, n);
			in->i += skip_block(r, last, n);
		}
	}
	return r->state == ST_FAILED ? JT_ERROR : JT_MORE;
}

void json_skip_value(struct json_reader *r)
{
	CHECK(r->in_token == IN_NONE && (r->state == ST_COLON || r->state == ST_OBJECT || r->state == ST_ARRAY));
	if (r->state == ST_COLON) {
		r->state = ST_SKIP_COLON;
		r->skipping = true;
	} else {
		skip_begin(r, SKIP_STRUCTURE, r->depth - 1);
	}
}

/* --- structure */

/* What a byte may be between tokens. */
enum byte_class {
	CL_OTHER,
	CL_SPACE,
	CL_QUOTE,
	CL_COMMA,
	CL_COLON,
	CL_OPEN_OBJECT,
	CL_END_OBJECT,
	CL_OPEN_ARRAY,
	CL_END_ARRAY,
	CL_DIGIT, /* and '-' */
	CL_LETTER,
	CL_COUNT = 16,
};

static const uint8_t class_of[256] = {
    [' '] = CL_SPACE,     ['\t'] = CL_SPACE, ['\n'] = CL_SPACE,      ['\r'] = CL_SPACE,     ['"'] = CL_QUOTE,
    [','] = CL_COMMA,     [':'] = CL_COLON,  ['{'] = CL_OPEN_OBJECT, ['}'] = CL_END_OBJECT, ['['] = CL_OPEN_ARRAY,
    [']'] = CL_END_ARRAY, ['-'] = CL_DIGIT,  ['0'] = CL_DIGIT,       ['1'] = CL_DIGIT,      ['2'] = CL_DIGIT,
    ['3'] = CL_DIGIT,     ['4'] = CL_DIGIT,  ['5'] = CL_DIGIT,       ['6'] = CL_DIGIT,      ['7'] = CL_DIGIT,
    ['8'] = CL_DIGIT,     ['9'] = CL_DIGIT,  ['t'] = CL_LETTER,      ['f'] = CL_LETTER,     ['n'] = CL_LETTER,
};

enum action {
	ACT_FAIL,
	ACT_SPACE,
	ACT_WANT_KEY,
	ACT_WANT_VALUE,
	ACT_KEY,
	ACT_STRING,
	ACT_NUMBER,
	ACT_LITERAL,
	ACT_OBJECT,
	ACT_ARRAY,
	ACT_END_OBJECT,
	ACT_END_ARRAY,
};

#define VALUE_ACTIONS                                                                                                  \
	[CL_SPACE] = ACT_SPACE, [CL_QUOTE] = ACT_STRING, [CL_DIGIT] = ACT_NUMBER, [CL_LETTER] = ACT_LITERAL,           \
	[CL_OPEN_OBJECT] = ACT_OBJECT, [CL_OPEN_ARRAY] = ACT_ARRAY

static const uint8_t actions[ST_FAILED + 1][CL_COUNT] = {
    [ST_VALUE] = {VALUE_ACTIONS},
    [ST_ARRAY] = {VALUE_ACTIONS, [CL_END_ARRAY] = ACT_END_ARRAY},
    [ST_OBJECT] = {[CL_SPACE] = ACT_SPACE, [CL_QUOTE] = ACT_KEY, [CL_END_OBJECT] = ACT_END_OBJECT},
    [ST_KEY] = {[CL_SPACE] = ACT_SPACE, [CL_QUOTE] = ACT_KEY},
    [ST_SKIP_VALUE] = {VALUE_ACTIONS},
    [ST_SKIP_COLON] = {[CL_SPACE] = ACT_SPACE, [CL_COLON] = ACT_WANT_VALUE},
    [ST_COLON] = {[CL_SPACE] = ACT_SPACE, [CL_COLON] = ACT_WANT_VALUE},
    [ST_AFTER_ITEM] = {[CL_SPACE] = ACT_SPACE, [CL_COMMA] = ACT_WANT_VALUE, [CL_END_ARRAY] = ACT_END_ARRAY},
    [ST_AFTER_MEMBER] = {[CL_SPACE] = ACT_SPACE, [CL_COMMA] = ACT_WANT_KEY, [CL_END_OBJECT] = ACT_END_OBJECT},
    [ST_DONE] = {[CL_SPACE] = ACT_SPACE},
};

static inline enum json_token token_taken(struct json_reader *r, size_t text_n, uint64_t length_bytes,
					  enum json_token token)
{
	r->cut = false;
	r->text_n = text_n;
	r->text[text_n] = '\0';
	r->length_bytes = length_bytes;
	r->state = token == JT_KEY ? ST_COLON : r->after_value;
	return token;
}

/* Copies plain ASCII to dst until something else comes or n bytes are done; returns its length. Up to n bytes of dst
 * are written whatever it returns. */
static inline size_t copy_plain(const char *p, size_t n, char *dst)
{
	size_t i = 0;

#if defined(__SSE2__)
	const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), space = _mm_set1_epi8(' ');

	for (; i + 16 <= n; i += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
		__m128i hit = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash)),
					   _mm_cmplt_epi8(v, space)); /* signed, as in plain_run */
		int mask = _mm_movemask_epi8(hit);

		_mm_storeu_si128((__m128i *)(void *)(dst + i), v);
		if (mask != 0)
			return i + (size_t)__builtin_ctz((unsigned)mask);
	}
#endif
	for (; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\')
			break;
		dst[i] = (char)c;
	}
	return i;
}

/* Length of the word at p, of which five bytes are there; 0 when it is none. */
static inline size_t short_literal(struct json_reader *r, const char p[5], enum json_token *ret_token)
{
	unsigned which = p[0] == 't' ? 0 : p[0] == 'f' ? 1 : 2;
	size_t len = which == 1 ? 5 : 4;

	/* of "false" the first byte is known, so four bytes do for all of them */
	if (memcmp(p + (len - 4), literals[which].word + (len - 4), 4) != 0)
		return 0;
	*ret_token = token_taken(r, 0, 0, literals[which].token);
	return len;
}

/* The rest of a token that is not whole in this piece, or not plain. */
static enum json_token read_rest(struct json_reader *r, const char *p, size_t n, size_t *inout_i)
{
	struct cursor in = {p, n, *inout_i};
	enum json_token token = JT_MORE;

	switch ((enum in_token)r->in_token) {
	case IN_STRING:
		token = read_string(r, &in);
		break;
	case IN_NUMBER:
		token = read_number(r, &in);
		break;
	case IN_LITERAL:
		token = read_literal(r, &in);
		break;
	case IN_SKIP:
		token = skip_on(r, &in);
		break;
	case IN_NONE:
		break;
	}
	*inout_i = in.i;
	return token;
}

/* The first byte of a token; JT_MORE when there is more of it to read. */
static enum json_token begin_token(struct json_reader *r, enum action act, const char *p, size_t *inout_i)
{
	enum json_token token = JT_MORE;
	size_t i = *inout_i;

	switch (act) {
	case ACT_KEY:
	case ACT_STRING:
		i++;
		r->is_key = act == ACT_KEY;
		if (UNLIKELY(r->skipping))
			skip_begin(r, SKIP_STRING, r->depth);
		else
			text_begin(r, IN_STRING, r->is_key || r->want_text);
		break;
	case ACT_NUMBER:
		text_begin(r, IN_NUMBER, true);
		text_add(r, p + i, 1);
		r->escape = p[i] == '-' ? NUM_MINUS : p[i] == '0' ? NUM_ZERO : NUM_INT;
		i++;
		break;
	case ACT_LITERAL:
		text_begin(r, IN_LITERAL, false);
		r->codepoint = p[i] == 't' ? 0 : p[i] == 'f' ? 1 : 2;
		r->escape = 1;
		i++;
		break;
	case ACT_OBJECT:
	case ACT_ARRAY:
		token = container_begin(r, act == ACT_OBJECT);
		i += token != JT_ERROR;
		if (UNLIKELY(r->skipping) && token != JT_ERROR) {
			skip_begin(r, SKIP_STRUCTURE, r->depth - 1);
			token = JT_MORE;
		}
		break;
	case ACT_END_OBJECT:
	case ACT_END_ARRAY:
		i++;
		token = container_end(r, act == ACT_END_OBJECT);
		break;
	default:
		token = fail(r);
		break;
	}
	*inout_i = i;
	return token;
}

/* Up to the end of a token; JT_MORE at the end of the piece, or of what is skipped. */
static enum json_token read_token(struct json_reader *r, const char *p, size_t n, size_t *inout_i)
{
	uint64_t base = r->offset;
	size_t i = *inout_i;

	if (r->in_token != IN_NONE)
		return read_rest(r, p, n, inout_i);
	for (; i < n; i++) {
		enum action act = (enum action)actions[r->state][class_of[(unsigned char)p[i]]];

		if (act == ACT_SPACE)
			continue;
		if (act > ACT_WANT_VALUE || act == ACT_FAIL) {
			r->token_begin = base + (i - *inout_i);
			*inout_i = i;
			return begin_token(r, act, p, inout_i);
		}
		r->state = act == ACT_WANT_KEY ? ST_KEY : r->skipping ? ST_SKIP_VALUE : ST_VALUE;
	}
	*inout_i = n;
	return JT_MORE;
}

/* Any token in any piece. */
__attribute__((noinline)) static enum json_token next_token(struct json_reader *r, const char *p, size_t n,
							    size_t *inout_i)
{
	enum json_token token;

	if (UNLIKELY(r->state >= ST_COMPLETE)) {
		if (r->state == ST_FAILED)
			return JT_ERROR;
		r->state = ST_DONE;
		return JT_END;
	}
	do {
		size_t i = *inout_i;

		token = read_token(r, p, n, inout_i);
		r->offset += *inout_i - i;
		if (UNLIKELY(r->skipping) && token >= JT_NUMBER && token <= JT_NULL) {
			r->skipping = false;
			token = JT_MORE;
		}
		/* after a container skipped at the top: JT_END is due even at the end of the piece */
		if (token == JT_MORE && r->state == ST_COMPLETE && r->in_token == IN_NONE) {
			r->state = ST_DONE;
			return JT_END;
		}
	} while (token == JT_MORE && *inout_i < n);
	return token;
}

/* --- the short way */

/* Tokens that are whole in this piece and plain, with the comma or colon before them. The reader is left as it was
 * unless the token is taken: all else, errors too, is for next_token. */

#define SHORT_WAY_MIN 2 /* a comma or colon and a byte behind it */
#define NUMBER_SHORT 16

enum { WANT_KEY = 1, WANT_VALUE = 2, WANT_END = 4 };

/* What may come where the reader is, with the byte `lead` in front and without. */
static const struct {
	char lead;
	uint8_t with_lead, without, unused;
} wants[ST_FAILED + 1] = {
    [ST_VALUE] = {' ', 0, WANT_VALUE, 0},
    [ST_OBJECT] = {' ', 0, WANT_KEY | WANT_END, 0},
    [ST_ARRAY] = {' ', 0, WANT_VALUE | WANT_END, 0},
    [ST_COLON] = {':', WANT_VALUE, 0, 0},
    [ST_AFTER_ITEM] = {',', WANT_VALUE, WANT_END, 0},
    [ST_AFTER_MEMBER] = {',', WANT_KEY, WANT_END, 0},
};

static inline bool is_space(unsigned char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Where the white space at p[i] ends; not beyond `last`. */
static inline size_t past_space(const char *p, size_t i, size_t last)
{
	while ((unsigned char)p[i] <= ' ' && is_space((unsigned char)p[i]) && i < last)
		i++;
	return i;
}

/* Length of a number of less than NUMBER_SHORT bytes without exponent, when what ends it is there too; else 0. */
static inline size_t short_number(const char p[NUMBER_SHORT], char dst[NUMBER_SHORT])
{
	size_t i = p[0] == '-', from = i;
	uint8_t class;

	memcpy(dst, p, NUMBER_SHORT);
	while (i < NUMBER_SHORT - 1 && (unsigned char)(p[i] - '0') <= 9)
		i++;
	if (i == from || (p[from] == '0' && i > from + 1))
		return 0;
	if (i < NUMBER_SHORT - 1 && p[i] == '.') {
		from = ++i;
		while (i < NUMBER_SHORT - 1 && (unsigned char)(p[i] - '0') <= 9)
			i++;
		if (i == from)
			return 0;
	}
	class = class_of[(unsigned char)p[i]];
	return class == CL_COMMA || class == CL_END_OBJECT || class == CL_END_ARRAY || class == CL_SPACE ? i : 0;
}

static inline void moved(struct json_reader *r, size_t begin, size_t at, size_t end, size_t *ret_i)
{
	r->token_begin = r->offset + (at - begin);
	r->offset += end - begin;
	*ret_i = end;
}

/* The token at p[at] that is neither key nor string. */
__attribute__((noinline)) static enum json_token short_other(struct json_reader *r, const char *p, size_t n,
							     size_t *inout_i, size_t at, unsigned want)
{
	enum json_token token = JT_MORE;
	size_t len = 0;
	char c = p[at];

	if (c == '}' || c == ']') {
		if ((want & WANT_END) && r->after_value == (c == '}' ? ST_AFTER_MEMBER : ST_AFTER_ITEM)) {
			token = container_end(r, c == '}');
			len = 1;
		}
	} else if (!(want & WANT_VALUE)) {
		len = 0;
	} else if (c == '{' || c == '[') {
		len = r->depth < JSON_DEPTH_MAX;
		if (len > 0)
			token = container_begin(r, c == '{');
	} else if (c == 't' || c == 'f' || c == 'n') {
		if (n - at >= 5)
			len = short_literal(r, p + at, &token);
	} else if (n - at >= NUMBER_SHORT) {
		len = short_number(p + at, r->text);
		if (len > 0)
			token = token_taken(r, len, len, JT_NUMBER);
	}
	if (len == 0)
		return next_token(r, p, n, inout_i);
	moved(r, *inout_i, at, at + len, inout_i);
	return token;
}

enum json_token json_next(struct json_reader *r, const char *p, size_t n, size_t *inout_i)
{
	size_t at = *inout_i, room, run;
	unsigned want;

	if (n - at < SHORT_WAY_MIN || r->in_token != IN_NONE)
		return next_token(r, p, n, inout_i);
	at = past_space(p, at, n - 2);
	want = wants[r->state].without;
	if (p[at] == wants[r->state].lead) {
		want = wants[r->state].with_lead;
		at = past_space(p, at + 1, n - 1);
	}
	if (p[at] != '"' || !(want & (WANT_KEY | WANT_VALUE)))
		return short_other(r, p, n, inout_i, at, want);
	room = n - at - 1 < JSON_CAPTURE_MAX ? n - at - 1 : JSON_CAPTURE_MAX;
	run = copy_plain(p + at + 1, room, r->text);
	if (run == room || p[at + 1 + run] != '"')
		return next_token(r, p, n, inout_i);
	moved(r, *inout_i, at, at + run + 2, inout_i);
	if (want & WANT_KEY)
		return token_taken(r, run, run, JT_KEY);
	return token_taken(r, r->want_text ? run : 0, run, JT_STRING);
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
