#include "meter/quick.h"

#include "base/utf8.h"

/* --- strings ------------------------------------------------------------------------------------------------------ */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 32;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The number behind "\u" at p, or -1. */
static int code_unit(const char *p, const char *end)
{
	int unit = 0, digit;

	if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++) {
		digit = hex_digit(p[i]);
		if (digit < 0)
			return -1;
		unit = unit << 4 | digit;
	}
	return unit;
}

/* "\u" and what belongs to it; surrogates only in pairs. */
static const char *unicode_escape(const char *p, const char *end, uint64_t *inout_bytes)
{
	int unit = code_unit(p, end), low;

	if (unit < 0 || (unit >= 0xdc00 && unit <= 0xdfff))
		return NULL;
	if (unit < 0xd800 || unit > 0xdfff) {
		*inout_bytes += unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3;
		return p + 6;
	}
	low = code_unit(p + 6, end);
	if (low < 0xdc00 || low > 0xdfff)
		return NULL;
	*inout_bytes += 4;
	return p + 12;
}

static const char *escape(const char *p, const char *end, uint64_t *inout_bytes)
{
	if (end - p < 2 || p[1] == '\0')
		return NULL;
	if (p[1] == 'u')
		return unicode_escape(p, end, inout_bytes);
	if (!strchr("\"\\/bfnrt", p[1]))
		return NULL;
	*inout_bytes += 1;
	return p + 2;
}

/* One escape, character or plain run; NULL: bad UTF-8, a raw control byte, an escape of no use here. */
static const char *string_step(const char *p, const char *end, uint64_t *inout_bytes)
{
	const char *stop;
	uint32_t cp;

	if (*p == '\\')
		return escape(p, end, inout_bytes);
	stop = (unsigned char)*p >= 0x80 ? p + utf8_decode(p, (size_t)(end - p), &cp) : quick_plain(p, end);
	*inout_bytes += (uint64_t)(stop - p);
	return stop > p ? stop : NULL;
}

const char *quick_string_rest(const char *p, const char *end, uint64_t *inout_bytes)
{
	const char *at = p;

	while (at && at < end && *at != '"')
		at = string_step(at, end, inout_bytes);
	return at && at < end ? at : NULL;
}

/* --- values ------------------------------------------------------------------------------------------------------- */

static const char *skip_container(const char *p, const char *end, int depth)
{
	bool object = *p == '{';
	char close = object ? '}' : ']';
	struct slice name;

	if (depth >= QUICK_DEPTH_MAX || p + 1 == end)
		return NULL;
	p = quick_space(p + 1);
	while (p && *p != close) {
		if (object)
			p = quick_key(p, end, &name);
		if (p)
			p = quick_next(quick_skip(p, end, depth + 1), end, close);
	}
	return p ? p + 1 : NULL;
}

const char *quick_skip(const char *p, const char *end, int depth)
{
	uint64_t bytes;
	bool plain;

	switch (*p) {
	case '"':
		p = quick_string(p + 1, end, &bytes, &plain);
		return p ? p + 1 : NULL;
	case '{':
	case '[':
		return skip_container(p, end, depth);
	case 't':
	case 'f':
	case 'n':
		return quick_word(p, end);
	default:
		return quick_number(p);
	}
}
