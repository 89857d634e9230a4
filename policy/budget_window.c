#include "policy/budget_window.h"

#include <stdio.h>

#include "base/error.h"
#include "policy/window_ring.h"

#define DAY_S INT64_C(86400)
/* Far beyond every real clock; keeps the sums of buckets in range. */
#define TIME_MAX_S (INT64_C(1) << 40)

/* --- rolling ------------------------------------------------------------------------------------------------------ */

static void bucket_at(int64_t bucket_s, int64_t t, int64_t *ret_start, int64_t *ret_end)
{
	t = t < 0 ? 0 : t > TIME_MAX_S ? TIME_MAX_S : t;
	*ret_start = t / bucket_s * bucket_s;
	*ret_end = *ret_start + bucket_s;
}

static const struct {
	char letter;
	int64_t seconds;
} units[] = {{'m', 60}, {'h', 3600}, {'d', DAY_S}, {'w', 7 * DAY_S}};

char *budget_window_rolling_name(int64_t rolling_s, char dst[ROLLING_NAME_SIZE])
{
	size_t i = 2; /* days at most; a week is 7d */

	/* 24h is what people say of a day, so that days begin at two. */
	while (i > 0 && (rolling_s % units[i].seconds != 0 || rolling_s < (i == 2 ? 2 : 1) * units[i].seconds))
		i--;
	(void)snprintf(dst, ROLLING_NAME_SIZE, "rolling %lld%c", (long long)(rolling_s / units[i].seconds),
		       units[i].letter);
	return dst;
}

int budget_window_parse_rolling(struct slice text, int64_t *ret_s)
{
	struct slice number;
	int64_t n, unit = 0;

	if (!slice_starts(text, SLICE("rolling")))
		return BUR_INVALID;
	text = slice_sub(text, 7, text.n);
	if (text.n < 3 || (text.p[0] != ' ' && text.p[0] != ':'))
		return BUR_INVALID;
	text = slice_trim(slice_sub(text, 1, text.n));
	for (size_t i = 0; i < ARRAY_LEN(units) && text.n > 0; i++) {
		if (text.p[text.n - 1] == units[i].letter)
			unit = units[i].seconds;
	}
	number = slice_sub(text, 0, text.n > 0 ? text.n - 1 : 0);
	if (unit == 0 || decimal_parse(number, 0, false, &n) < 0)
		return BUR_INVALID;
	if (n < 1 || n > ROLLING_MAX_S / unit)
		return BUR_INVALID;
	*ret_s = n * unit;
	return BUR_OK;
}

/* --- fiscal quarters and years ------------------------------------------------------------------------------------ */

/* Quarters and years count in months from the fiscal month: the first month of the one that contains c. */
static void fiscal_start(const struct budget *b, const struct civil *c, int step, int64_t *ret_year, int *ret_month)
{
	int month = c->month - (c->day < b->window.month_anchor); /* 0 = last December */
	int into = (month - b->fiscal_month + 12) % step;

	*ret_year = c->year;
	*ret_month = month - into; /* local_day_start takes months below 1 as those of the year before */
	if (*ret_month < 1) {
		*ret_month += 12;
		*ret_year -= 1;
	}
}

static void fiscal_at(const struct budget *b, int64_t t, int step, int64_t *ret_start, int64_t *ret_end)
{
	struct civil c;
	int64_t year, start, end;
	int month, day = b->window.month_anchor;

	civil_from_unix(b->window.tz, t, &c);
	fiscal_start(b, &c, step, &year, &month);
	start = local_day_start(b->window.tz, year, month, day);
	for (;;) {
		month += step;
		end = local_day_start(b->window.tz, year, month, day);
		if (end > t)
			break;
		start = end; /* the clock was put back over midnight: the new window had begun */
	}
	*ret_start = start;
	*ret_end = end;
}

void budget_window_at(const struct budget *b, int64_t unix_s, int64_t *ret_start, int64_t *ret_end)
{
	enum window_kind kind = b->window.kind;
	bool plain = b->fiscal_month <= 1 && b->window.month_anchor <= 1;

	if (budget_is_rolling(b)) {
		bucket_at(b->rolling_s / RING_BUCKETS, unix_s, ret_start, ret_end);
	} else if ((kind == WINDOW_QUARTER || kind == WINDOW_YEAR) && !plain) {
		int64_t t = unix_s < -TIME_MAX_S ? -TIME_MAX_S : unix_s > TIME_MAX_S ? TIME_MAX_S : unix_s;

		fiscal_at(b, t, kind == WINDOW_QUARTER ? 3 : 12, ret_start, ret_end);
	} else {
		window_at(&b->window, unix_s, ret_start, ret_end);
	}
}

/* --- nesting ------------------------------------------------------------------------------------------------------ */

bool budget_window_within(const struct budget *inner, const struct budget *outer)
{
	enum window_kind in = inner->window.kind, out = outer->window.kind;

	if (!budget_is_rolling(outer) && out == WINDOW_TOTAL)
		return true;
	if (budget_is_rolling(inner) || budget_is_rolling(outer))
		return inner->rolling_s > 0 && inner->rolling_s <= outer->rolling_s;
	if (in == WINDOW_WEEK && out != WINDOW_WEEK)
		return false; /* lies across two months */
	return in <= out;
}
