/* Figures and names in words. */
#include "alerts/words.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/amount.h"
#include "base/calendar.h"
#include "base/check.h"
#include "base/utf8.h"

#define NANOUSD_PER_CENT (NANOUSD_PER_USD / 100)
#define MINUTE_S 60
#define HOUR_S 3600
#define DAY_S 86400
#define YEAR_10000_S INT64_C(253402300800)
#define ELLIPSIS "\xe2\x80\xa6"
#define LRM "\xe2\x80\x8e"

/* --- figures ------------------------------------------------------------------------------------------------------ */

/* "1,234,567" */
static int put_count(uint64_t value, char dst[WORDS_MAX])
{
	char plain[24];
	int n = snprintf(plain, sizeof(plain), "%llu", (unsigned long long)value), at = 0;

	for (int i = 0; i < n; i++) {
		if (i > 0 && (n - i) % 3 == 0)
			dst[at++] = ',';
		dst[at++] = plain[i];
	}
	dst[at] = '\0';
	return at;
}

static bool is_money(const char *unit)
{
	return strcmp(unit, "USD") == 0;
}

static uint64_t magnitude(int64_t v)
{
	return v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
}

/* The digits after the point: nine, of which `keep` stay. */
static void put_fraction(uint32_t nano, int keep, char *dst)
{
	char digits[16];

	(void)snprintf(digits, sizeof(digits), "%09u", (unsigned)nano);
	(void)snprintf(dst, 16, ".%.*s", keep, digits);
}

/* How many digits after the point: two; under a cent down to the second that says something. */
static int digits_shown(uint64_t nanousd)
{
	uint64_t unit = NANOUSD_PER_CENT;
	int digits = 2;

	if (nanousd == 0 || nanousd >= NANOUSD_PER_CENT)
		return 2;
	for (; nanousd < unit && digits < 9; digits++)
		unit /= 10;
	return digits < 9 ? digits + 1 : 9;
}

static int digits_exact(uint64_t nanousd)
{
	uint64_t fraction = nanousd % NANOUSD_PER_USD;
	int digits = 9;

	while (digits > 2 && fraction % 10 == 0) {
		fraction /= 10;
		digits--;
	}
	return digits;
}

static char *put_money(int64_t nanousd, int digits, char dst[WORDS_MAX])
{
	uint64_t v = magnitude(nanousd);
	char fraction[16], whole[WORDS_MAX];

	put_fraction((uint32_t)(v % NANOUSD_PER_USD), digits, fraction);
	(void)put_count(v / NANOUSD_PER_USD, whole);
	(void)snprintf(dst, WORDS_MAX, "%s%.30s%s", nanousd < 0 ? "-" : "", whole, fraction);
	return dst;
}

char *words_figure(int64_t value, const char *unit, char dst[WORDS_MAX])
{
	if (is_money(unit))
		return put_money(value, digits_shown(magnitude(value)), dst);
	if (value < 0)
		*dst = '-';
	(void)put_count(magnitude(value), dst + (value < 0));
	return dst;
}

/* One request, two requests. */
static char *put_unit(int64_t value, const char *unit, char dst[WORDS_MAX])
{
	size_t n = strlen(dst), u = strnlen(unit, 16);

	if (value == 1 && u > 1 && unit[u - 1] == 's')
		u--;
	(void)snprintf(dst + n, WORDS_MAX - n, " %.*s", (int)u, unit);
	return dst;
}

char *words_amount(int64_t value, const char *unit, char dst[WORDS_MAX])
{
	return put_unit(value, unit, words_figure(value, unit, dst));
}

char *words_exactly(int64_t value, const char *unit, char dst[WORDS_MAX])
{
	if (!is_money(unit))
		return words_amount(value, unit, dst);
	return put_unit(value, unit, put_money(value, digits_exact(magnitude(value)), dst));
}

char *words_share(double ratio, bool whole, char dst[WORDS_MAX])
{
	uint64_t ppm, tenths;

	/* what is no number is 0; 1e9 = a hundred thousand million per cent is enough */
	ratio = ratio > 0 ? ratio < 1e9 ? ratio : 1e9 : 0;
	ppm = (uint64_t)(ratio * 1e6 + 0.5); /* 0.8 as a double is a little less */
	tenths = ppm / 1000;
	(void)put_count(tenths / 10, dst);
	if (!whole && tenths % 10 > 0)
		(void)snprintf(dst + strlen(dst), 8, ".%u", (unsigned)(tenths % 10));
	(void)snprintf(dst + strlen(dst), 8, " %%");
	return dst;
}

/* --- time --------------------------------------------------------------------------------------------------------- */

char *words_time(int64_t unix_s, char dst[WORDS_MAX])
{
	int64_t year;
	int month, day, left = (int)(unix_s % DAY_S);

	*dst = '\0';
	if (unix_s < 0 || unix_s >= YEAR_10000_S)
		return dst;
	civil_from_days(unix_s / DAY_S, &year, &month, &day);
	(void)snprintf(dst, WORDS_MAX, "%04d-%02d-%02d %02d:%02d UTC", (int)year, month, day, left / HOUR_S,
		       left / MINUTE_S % 60);
	return dst;
}

char *words_duration(int64_t seconds, char dst[WORDS_MAX])
{
	const char *unit = "second";
	int64_t n = seconds > 0 ? seconds : 0;
	char count[WORDS_MAX];

	if (n >= 2 * DAY_S) {
		n /= DAY_S;
		unit = "day";
	} else if (n >= 2 * HOUR_S) {
		n /= HOUR_S;
		unit = "hour";
	} else if (n >= 2 * MINUTE_S) {
		n /= MINUTE_S;
		unit = "minute";
	}
	(void)put_count((uint64_t)n, count);
	(void)snprintf(dst, WORDS_MAX, "%.30s %s%s", count, unit, n == 1 ? "" : "s");
	return dst;
}

/* --- names -------------------------------------------------------------------------------------------------------- */

struct range {
	uint32_t from, to;
};

static bool within(uint32_t cp, const struct range *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (cp >= list[i].from && cp <= list[i].to)
			return true;
	return false;
}

static bool is_space(uint32_t cp)
{
	static const struct range list[] = {
	    {0x0, 0x20},      {0x7f, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
	    {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000},
	};

	return within(cp, list, ARRAY_LEN(list));
}

/* Turns the order of text around, or cannot be seen at all. */
static bool is_hidden(uint32_t cp)
{
	static const struct range list[] = {
	    {0xad, 0xad},     {0x34f, 0x34f},     {0x61c, 0x61c},      {0x115f, 0x1160}, {0x17b4, 0x17b5},
	    {0x180b, 0x180f}, {0x200b, 0x200f},   {0x202a, 0x202e},    {0x2060, 0x206f}, {0x3164, 0x3164},
	    {0xfeff, 0xfeff}, {0xffa0, 0xffa0},   {0xfff0, 0xfffb},    {0xfdd0, 0xfdef}, {0xe000, 0xf8ff},
	    {0xfffe, 0xffff}, {0x1d173, 0x1d17a}, {0xe0000, 0x10ffff},
	};

	return within(cp, list, ARRAY_LEN(list));
}

bool words_is_control(uint32_t codepoint)
{
	return codepoint < 0x20 || (codepoint >= 0x7f && codepoint < 0xa0) || codepoint == 0x2028 ||
	       codepoint == 0x2029;
}

bool words_is_hidden(uint32_t codepoint)
{
	return is_hidden(codepoint) && (codepoint < 0x200c || codepoint > 0x200e);
}

static bool is_rtl(uint32_t cp)
{
	static const struct range list[] = {
	    {0x590, 0x8ff}, {0xfb1d, 0xfdff}, {0xfe70, 0xfefe}, {0x10800, 0x10fff}, {0x1e800, 0x1efff},
	};

	return within(cp, list, ARRAY_LEN(list));
}

struct cleaner {
	char *dst;
	size_t n, max;  /* bytes, without the NUL */
	bool open;      /* text from right to left has no fence behind it yet */
	size_t fits;    /* up to here an ellipsis still has room behind it, */
	bool fits_open; /* and a fence, where it needs one */
	bool full;
};

static void put(struct cleaner *c, const char *p, size_t n)
{
	if (c->full || c->max - c->n < n) {
		c->full = true;
		return;
	}
	memcpy(c->dst + c->n, p, n);
	c->n += n;
	if (c->max - c->n >= sizeof(ELLIPSIS) - 1 + (c->open ? sizeof(LRM) - 1 : 0)) {
		c->fits = c->n;
		c->fits_open = c->open;
	}
}

static void cut(struct cleaner *c)
{
	bool open = c->fits_open;

	c->full = false;
	c->n = c->fits;
	put(c, ELLIPSIS, sizeof(ELLIPSIS) - 1);
	if (open)
		put(c, LRM, sizeof(LRM) - 1);
}

/* What joins letters and pictures stays between them; 0: the character goes. */
static uint32_t character(const struct cleaner *c, uint32_t cp)
{
	if (is_space(cp))
		return c->n > 0 && c->dst[c->n - 1] == ' ' ? 0 : ' ';
	if ((cp == 0x200c || cp == 0x200d) && c->n > 0 && (unsigned char)c->dst[c->n - 1] >= 0x80)
		return cp;
	if (cp == 0x200e) /* the fence below; text may have been cleaned before */
		return c->open ? cp : 0;
	return is_hidden(cp) ? 0 : cp;
}

static void put_character(struct cleaner *c, uint32_t cp)
{
	char bytes[4] = "";

	if (is_rtl(cp))
		c->open = true;
	else if (cp == 0x200e)
		c->open = false;
	put(c, bytes, utf8_encode(cp, bytes));
}

size_t words_clean(struct slice text, char *dst, size_t dst_size)
{
	struct cleaner c = {.dst = dst, .max = dst_size - 1};
	uint32_t cp;
	size_t n;

	CHECK(dst_size > 0);
	for (size_t i = 0; i < text.n && !c.full; i += n) {
		n = utf8_decode(text.p + i, text.n - i, &cp);
		if (n == 0) {
			n = 1;
			cp = 0xfffd;
		}
		cp = character(&c, cp);
		if (cp > 0 && (cp != ' ' || c.n > 0))
			put_character(&c, cp);
	}
	if (!c.full && c.n > 0 && dst[c.n - 1] == ' ')
		c.n--;
	if (c.open)
		put(&c, LRM, sizeof(LRM) - 1);
	if (c.full)
		cut(&c);
	dst[c.n] = '\0';
	return c.n;
}

/* --- texts -------------------------------------------------------------------------------------------------------- */

void text_add(struct text *t, const char *fmt, ...)
{
	size_t room = sizeof(t->mem) - t->n;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->mem + t->n, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		t->n += (size_t)n < room ? (size_t)n : room - 1;
}
