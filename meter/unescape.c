#include "meter/unescape.h"

#include "base/utf8.h"

enum state { BEFORE, PLAIN, BACKSLASH, HEX, OVER };

void unescape_init(struct unescape *u)
{
	memset(u, 0, sizeof(*u));
}

bool unescape_over(const struct unescape *u)
{
	return u->state == OVER;
}

static unsigned hex_value(unsigned char c)
{
	return c <= '9' ? (unsigned)c - '0' : ((unsigned)c | 0x20) - 'a' + 10;
}

static char simple_escape(char c)
{
	switch (c) {
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	default:
		return c;
	}
}

/* A high surrogate without its fellow comes out now. */
static size_t flush_high(struct unescape *u)
{
	if (u->high == 0)
		return 0;
	u->high = 0;
	memcpy(u->text, UTF8_REPLACEMENT, 3);
	return 3;
}

/* The four digits are there: how many bytes of text they make. */
static size_t take_unit(struct unescape *u)
{
	uint32_t unit = u->unit;
	size_t n;

	if (unit >= 0xdc00 && unit <= 0xdfff && u->high != 0) {
		uint32_t cp = 0x10000 + (((uint32_t)u->high - 0xd800) << 10) + (unit - 0xdc00);

		u->high = 0;
		return utf8_encode(cp, u->text);
	}
	n = flush_high(u);
	if (unit >= 0xd800 && unit <= 0xdbff) {
		u->high = (uint16_t)unit;
		return n;
	}
	return n + utf8_encode(unit >= 0xdc00 && unit <= 0xdfff ? 0xfffd : unit, u->text + n);
}

static size_t escape_byte(struct unescape *u, char c)
{
	size_t n;

	if (u->state == BACKSLASH && c == 'u') {
		u->state = HEX;
		u->digits = 0;
		u->unit = 0;
		return 0;
	}
	if (u->state == BACKSLASH) {
		u->state = PLAIN;
		n = flush_high(u);
		u->text[n] = simple_escape(c);
		return n + 1;
	}
	u->unit = (uint16_t)(u->unit << 4 | hex_value((unsigned char)c));
	if (++u->digits < 4)
		return 0;
	u->state = PLAIN;
	return take_unit(u);
}

static size_t plain_run(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && p[i] != '"' && p[i] != '\\')
		i++;
	return i;
}

/* From a plain position: the run up to what ends it. 0 bytes: an escape, the quote, or nothing is left. */
static struct slice next_plain(struct unescape *u, const char *p, size_t n, size_t *inout_i)
{
	size_t run = plain_run(p + *inout_i, n - *inout_i);
	struct slice text = slice_mem(p + *inout_i, run);

	if (run > 0 || (*inout_i < n && p[*inout_i] == '"')) {
		size_t lone = flush_high(u);

		if (lone > 0)
			return slice_mem(u->text, lone);
	}
	*inout_i += run;
	if (run > 0 || *inout_i == n)
		return text;
	u->state = p[*inout_i] == '"' ? OVER : BACKSLASH;
	(*inout_i)++;
	return SLICE_NONE;
}

bool unescape_next(struct unescape *u, const char *p, size_t n, size_t *inout_i, struct slice *ret)
{
	while (*inout_i < n && u->state != OVER) {
		size_t made;

		switch ((enum state)u->state) {
		case BEFORE:
			if (p[(*inout_i)++] == '"')
				u->state = PLAIN;
			break;
		case PLAIN:
			*ret = next_plain(u, p, n, inout_i);
			if (ret->n > 0)
				return true;
			break;
		case BACKSLASH:
		case HEX:
			made = escape_byte(u, p[(*inout_i)++]);
			if (made > 0) {
				*ret = slice_mem(u->text, made);
				return true;
			}
			break;
		case OVER:
			break;
		}
	}
	return false;
}
