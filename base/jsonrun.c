#include "base/jsonrun.h"

#include <stdbool.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/utf8.h"

/* The first byte from p on that is no plain ASCII; may be `end`. */
static inline const char *plain_end(const char *p, const char *end)
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

/* --- escapes ------------------------------------------------------------------------------------------------------ */

static const bool is_simple[256] = {
    ['"'] = true, ['\\'] = true, ['/'] = true, ['b'] = true, ['f'] = true, ['n'] = true, ['r'] = true, ['t'] = true,
};

/* The number behind "\u" at p, or -1. */
static int code_unit(const char *p, const char *end)
{
	int unit = 0;

	if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++) {
		int c = p[i] | 32, digit = p[i] >= '0' && p[i] <= '9' ? p[i] - '0'
					   : c >= 'a' && c <= 'f'     ? c - 'a' + 10
								      : -1;

		if (digit < 0)
			return -1;
		unit = unit << 4 | digit;
	}
	return unit;
}

/* "\u" and what belongs to it; returns its length or 0. Surrogates only in pairs. */
static size_t unicode_escape(const char *p, const char *end, uint64_t *inout_decoded)
{
	int unit = code_unit(p, end), low;

	if (unit < 0 || (unit >= 0xdc00 && unit <= 0xdfff))
		return 0;
	if (unit < 0xd800 || unit > 0xdfff) {
		*inout_decoded += unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3;
		return 6;
	}
	low = code_unit(p + 6, end);
	if (low < 0xdc00 || low > 0xdfff)
		return 0;
	*inout_decoded += 4;
	return 12;
}

/* Escapes often stand side by side. */
static inline const char *escapes_end(const char *p, const char *end, uint64_t *inout_decoded)
{
	while (end - p >= 2 && *p == '\\') {
		size_t n = 2;

		if (is_simple[(unsigned char)p[1]])
			++*inout_decoded;
		else
			n = unicode_escape(p, end, inout_decoded);
		if (n == 0)
			break;
		p += n;
	}
	return p;
}

/* --- characters that are not ASCII -------------------------------------------------------------------------------- */

/* Four bytes at p, the first one lowest. */
static inline uint32_t load(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

/* As many as are valid: the forms of two and three bytes are most of all text. */
static inline const char *wide_end(const char *p, const char *end)
{
	while (end - p >= 4) {
		uint32_t v = load(p), cp;

		if ((v & 0xc0c0f0) == 0x8080e0) {
			cp = (v & 0x0f) << 12 | (v >> 8 & 0x3f) << 6 | (v >> 16 & 0x3f);
			if (cp < 0x800 || (cp & 0xf800) == 0xd800)
				return p;
			p += 3;
		} else if ((v & 0xc0e0) == 0x80c0 && (v & 0x1e) != 0) {
			p += 2;
		} else {
			break;
		}
	}
	while (p < end && (unsigned char)*p >= 0x80) {
		uint32_t cp;
		size_t n = utf8_decode(p, (size_t)(end - p), &cp);

		if (n == 0)
			break;
		p += n;
	}
	return p;
}

size_t jsonrun_text(const char *p, size_t n, uint64_t *inout_decoded)
{
	const char *at = p, *end = p + n, *stop;

	while (at < end) {
		stop = plain_end(at, end);
		*inout_decoded += (uint64_t)(stop - at);
		at = stop;
		if (at == end)
			break;
		if (*at == '\\') {
			stop = escapes_end(at, end, inout_decoded);
		} else {
			stop = wide_end(at, end);
			*inout_decoded += (uint64_t)(stop - at);
		}
		if (stop == at)
			break;
		at = stop;
	}
	return (size_t)(at - p);
}
