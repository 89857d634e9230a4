/* quick.h - steps over JSON that lies whole in memory. Internal to the meter room.
 *
 * The reader of base/json.h takes any piece; most answers and nearly all events come in one. Each function returns
 * where the thing ends, or NULL for all that is not valid JSON and for some that is (escapes of lone surrogates,
 * exponents, bad UTF-8, deep nesting): the caller then asks the reader. What is accepted here the reader accepts in the
 * same way. Never reads `end` or beyond. Pure. */
#ifndef METER_QUICK_H
#define METER_QUICK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/attr.h"
#include "base/slice.h"

#define QUICK_DEPTH_MAX 32

static inline bool quick_is_space(char c)
{
	return (unsigned char)c <= ' ' && (c == ' ' || c == '\n' || c == '\r' || c == '\t');
}

/* p < end */
static inline const char *quick_space(const char *p)
{
	while (UNLIKELY(quick_is_space(*p)))
		p++;
	return p;
}

/* The first byte that is no plain ASCII inside a string; may be `end`. */
static inline const char *quick_plain(const char *p, const char *end)
{
#if defined(__SSE2__)
	const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), space = _mm_set1_epi8(' ');

	for (; end - p >= 16; p += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
		/* signed: bytes from 0x80 count as below a space too */
		int hit = _mm_movemask_epi8(_mm_or_si128(
		    _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash)), _mm_cmplt_epi8(v, space)));

		if (hit != 0)
			return p + __builtin_ctz((unsigned)hit);
	}
#endif
	while (p < end && (unsigned char)(*p - ' ') < 0x80 - ' ' && *p != '"' && *p != '\\')
		p++;
	return p;
}

/* A string that is not plain, from any place in it: returns its closing quote and adds its decoded length. */
const char *quick_string_rest(const char *p, const char *end, uint64_t *inout_bytes) NONNULL(1, 2, 3);

/* p is behind the opening quote; returns the closing one. */
static inline const char *quick_string(const char *p, const char *end, uint64_t *ret_bytes, bool *ret_plain)
{
	const char *stop = quick_plain(p, end);

	*ret_bytes = (uint64_t)(stop - p);
	*ret_plain = stop < end && *stop == '"';
	return *ret_plain ? stop : quick_string_rest(stop, end, ret_bytes);
}

static inline const char *quick_digits(const char *p)
{
	while ((unsigned char)(*p - '0') <= 9)
		p++;
	return p;
}

/* A number without exponent. */
static inline const char *quick_number(const char *p)
{
	const char *first = p + (*p == '-'), *stop = quick_digits(first);

	if (stop == first || (*first == '0' && stop > first + 1))
		return NULL;
	if (*stop == '.') {
		first = stop + 1;
		stop = quick_digits(first);
		if (stop == first)
			return NULL;
	}
	return *stop != 'e' && *stop != 'E' ? stop : NULL;
}

/* true, false or null. */
static inline const char *quick_word(const char *p, const char *end)
{
	if (end - p < 5)
		return NULL;
	if (memcmp(p, "null", 4) == 0 || memcmp(p, "true", 4) == 0)
		return p + 4;
	return memcmp(p, "false", 5) == 0 ? p + 5 : NULL;
}

/* p is where a key must stand: returns the first byte of its value, sets *ret_name. Plain keys only. */
static inline const char *quick_key(const char *p, const char *end, struct slice *ret_name)
{
	const char *name = p + 1, *stop;

	if (UNLIKELY(*p != '"'))
		return NULL;
	stop = quick_plain(name, end);
	if (UNLIKELY(stop == end || *stop != '"'))
		return NULL;
	*ret_name = slice_mem(name, (size_t)(stop - name));
	p = quick_space(stop + 1);
	return *p == ':' ? quick_space(p + 1) : NULL;
}

/* Behind a value in a container that ends with `close`: at the next one, or at `close`. */
static inline const char *quick_next(const char *p, const char *end, char close)
{
	if (UNLIKELY(!p || p == end))
		return NULL;
	p = quick_space(p);
	if (*p == close)
		return p;
	if (*p != ',')
		return NULL;
	p = quick_space(p + 1);
	return *p != close ? p : NULL;
}

/* Any value; *p is its first byte. `depth`: containers open around it. The result may be `end`. */
const char *quick_skip(const char *p, const char *end, int depth) NONNULL(1, 2);

#endif
