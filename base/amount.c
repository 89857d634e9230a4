#include "base/amount.h"

#include <limits.h>
#include <stdio.h>

#include "base/digits.h"
#include "base/error.h"

int amount_add(int64_t a, int64_t b, int64_t *ret)
{
	int64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return BUR_OVERFLOW;
	*ret = sum;
	return BUR_OK;
}

int amount_sub(int64_t a, int64_t b, int64_t *ret)
{
	int64_t difference;

	if (__builtin_sub_overflow(a, b, &difference))
		return BUR_OVERFLOW;
	*ret = difference;
	return BUR_OK;
}

/* --- costs -------------------------------------------------------------------------------------------------------- */

int cost_add(struct cost_sum *sum, uint64_t units, int64_t rate_pusd, int64_t per)
{
	__int128 part, total;

	if (per <= 0 || AMOUNT_DENOM % per != 0)
		return BUR_INVALID;
	if (__builtin_mul_overflow((__int128)units, (__int128)rate_pusd, &part) ||
	    __builtin_mul_overflow(part, (__int128)(AMOUNT_DENOM / per), &part) ||
	    __builtin_add_overflow(sum->num, part, &total))
		return BUR_OVERFLOW;
	sum->num = total;
	return BUR_OK;
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
	while (b != 0) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

int cost_scale(struct cost_sum *sum, int64_t num, int64_t den)
{
	__int128 quotient, scaled;
	int64_t common;

	if (den <= 0)
		return BUR_INVALID;
	if (num == 0 || sum->num == 0) {
		sum->num = 0;
		return BUR_OK;
	}
	common = (int64_t)gcd(num < 0 ? 0 - (uint64_t)num : (uint64_t)num, (uint64_t)den); /* at most den */
	num /= common;
	den /= common;
	quotient = sum->num / den;
	if (quotient * den != sum->num) /* num and den share no factor now: the result would not be whole */
		return BUR_OVERFLOW;
	if (__builtin_mul_overflow(quotient, (__int128)num, &scaled))
		return BUR_OVERFLOW;
	sum->num = scaled;
	return BUR_OK;
}

/* `num` >= 0, `den` > 0. What fits 64 bits, as the cost of nearly every call does, needs no long division. */
static unsigned __int128 ceil_div(unsigned __int128 num, unsigned __int128 den)
{
	unsigned __int128 quotient;

	if ((uint64_t)(num >> 64) == 0 && (uint64_t)(den >> 64) == 0)
		return (uint64_t)num / (uint64_t)den + ((uint64_t)num % (uint64_t)den != 0);
	quotient = num / den;
	return quotient + (quotient * den != num);
}

int cost_ceil_nanousd(const struct cost_sum *sum, int64_t *ret_nanousd)
{
	unsigned __int128 nanousd;

	if (sum->num < 0)
		return BUR_OVERFLOW;
	nanousd = ceil_div((unsigned __int128)sum->num, (unsigned __int128)AMOUNT_DENOM * PICOUSD_PER_NANOUSD);
	if (nanousd > INT64_MAX)
		return BUR_OVERFLOW;
	*ret_nanousd = (int64_t)nanousd;
	return BUR_OK;
}

/* --- text --------------------------------------------------------------------------------------------------------- */

#define FIXED_TEXT_MAX 64

/* v / 10^decimals without trailing zeros, right-aligned in `dst`; returns its start. */
static char *format_fixed(unsigned __int128 v, int decimals, char dst[FIXED_TEXT_MAX])
{
	char *p = dst + FIXED_TEXT_MAX - 1;

	*p = '\0';
	for (; decimals > 0 && v % 10 == 0; decimals--)
		v /= 10;
	if (decimals > 0) {
		for (; decimals > 0; decimals--, v /= 10)
			*--p = (char)('0' + (int)(v % 10));
		*--p = '.';
	}
	do {
		*--p = (char)('0' + (int)(v % 10));
		v /= 10;
	} while (v > 0);
	return p;
}

int cost_format_usd(const struct cost_sum *sum, char *dst, size_t dst_size)
{
	char text[FIXED_TEXT_MAX];
	struct slice s;

	if (sum->num < 0)
		return BUR_OVERFLOW;
	s = slice_of(format_fixed(ceil_div((unsigned __int128)sum->num, AMOUNT_DENOM), 12, text));
	if (s.n >= dst_size)
		return BUR_TOOBIG;
	(void)slice_to_cstr(s, dst, dst_size);
	return BUR_OK;
}

char *amount_format_usd(int64_t nanousd, char dst[AMOUNT_TEXT_MAX])
{
	uint64_t v = nanousd < 0 ? 0 - (uint64_t)nanousd : (uint64_t)nanousd;
	uint32_t fraction = (uint32_t)(v % 1000000000u);
	char whole[20], *end = whole + sizeof(whole), *begin = digits_before(end, v / 1000000000u), *p = dst;

	if (nanousd < 0)
		*p++ = '-';
	while (begin < end)
		*p++ = *begin++;
	if (fraction > 0) {
		(void)digits_before(p + 10, fraction + 1000000000u); /* the 1 falls on the point */
		*p = '.';
		p += 10;
		while (p[-1] == '0')
			p--;
	}
	*p = '\0';
	return dst;
}

/* A decimal literal taken apart: value = digits * 10^exponent, where `digits` may contain one '.' to be skipped. */
struct decimal {
	bool negative;
	struct slice digits;
	int64_t n_digits, exponent;
};

#define EXPONENT_MAX INT64_C(1000000000000)

static size_t skip_digits(struct slice s, size_t i)
{
	while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
		i++;
	return i;
}

/* Saturates at EXPONENT_MAX: beyond it only zero or overflow is possible. */
static int parse_exponent(struct slice s, int64_t *ret)
{
	bool negative = s.n > 0 && s.p[0] == '-';
	size_t i = s.n > 0 && (s.p[0] == '-' || s.p[0] == '+');
	int64_t v = 0;

	if (i == s.n || skip_digits(s, i) != s.n)
		return BUR_INVALID;
	for (; i < s.n; i++) {
		v = v * 10 + (s.p[i] - '0');
		if (v > EXPONENT_MAX)
			v = EXPONENT_MAX;
	}
	*ret = negative ? -v : v;
	return BUR_OK;
}

static int split_decimal(struct slice s, struct decimal *ret)
{
	struct decimal d = {0};
	size_t begin = 0, i, fraction = 0;

	if (s.n > INT32_MAX)
		return BUR_INVALID;
	if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+')) {
		d.negative = s.p[0] == '-';
		begin = 1;
	}
	i = skip_digits(s, begin);
	if (i == begin)
		return BUR_INVALID;
	d.n_digits = (int64_t)(i - begin);
	if (i < s.n && s.p[i] == '.') {
		fraction = skip_digits(s, i + 1) - (i + 1);
		if (fraction == 0)
			return BUR_INVALID;
		i += 1 + fraction;
	}
	d.digits = slice_sub(s, begin, i - begin);
	d.n_digits += (int64_t)fraction;
	if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
		int r = parse_exponent(slice_sub(s, i + 1, s.n), &d.exponent);

		if (r < 0)
			return r;
		i = s.n;
	}
	if (i != s.n)
		return BUR_INVALID;
	d.exponent -= (int64_t)fraction;
	*ret = d;
	return BUR_OK;
}

/* The digits kept and what is known about those cut off. */
struct scaled {
	uint64_t value;
	bool over;
	int first_cut; /* first digit cut off */
	bool rest_cut; /* a later one is not zero */
};

static struct scaled scale_digits(const struct decimal *d, int64_t keep)
{
	struct scaled out = {0};
	int64_t at = 0;

	for (size_t i = 0; i < d->digits.n; i++) {
		unsigned digit = (unsigned)(unsigned char)d->digits.p[i] - '0';

		if (digit > 9)
			continue; /* the point */
		if (at < keep) {
			out.over |= __builtin_mul_overflow(out.value, UINT64_C(10), &out.value);
			out.over |= __builtin_add_overflow(out.value, (uint64_t)digit, &out.value);
		} else if (at == keep) {
			out.first_cut = (int)digit;
		} else {
			out.rest_cut |= digit != 0;
		}
		at++;
	}
	for (; at < keep && out.value != 0 && !out.over; at++)
		out.over |= __builtin_mul_overflow(out.value, UINT64_C(10), &out.value);
	return out;
}

int decimal_parse(struct slice text, int decimals, bool round, int64_t *ret)
{
	struct decimal d;
	struct scaled s;
	int r;

	r = split_decimal(text, &d);
	if (r < 0)
		return r;
	s = scale_digits(&d, d.n_digits + d.exponent + decimals);
	if (d.n_digits + d.exponent + decimals < 0) {
		/* every digit stands more than one place behind the last kept one: below one half */
		s.rest_cut |= s.first_cut != 0;
		s.first_cut = 0;
	}
	if (!round && (s.first_cut != 0 || s.rest_cut))
		return BUR_INVALID;
	if (s.first_cut > 5 || (s.first_cut == 5 && (s.rest_cut || s.value % 2 == 1)))
		s.over |= __builtin_add_overflow(s.value, UINT64_C(1), &s.value);
	if (s.over || s.value > (uint64_t)INT64_MAX + (d.negative ? 1 : 0))
		return BUR_OVERFLOW;
	*ret = d.negative ? (int64_t)(0 - s.value) : (int64_t)s.value;
	return BUR_OK;
}

/* --- limits ------------------------------------------------------------------------------------------------------- */

static int parse_unit(struct slice word, enum amount_unit *ret)
{
	static const struct {
		struct slice word;
		enum amount_unit unit;
	} units[] = {
	    {{"USD", 3}, UNIT_USD},           {{"tokens", 6}, UNIT_TOKENS},    {{"token", 5}, UNIT_TOKENS},
	    {{"requests", 8}, UNIT_REQUESTS}, {{"request", 7}, UNIT_REQUESTS},
	};

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (slice_ieq(word, units[i].word)) {
			*ret = units[i].unit;
			return BUR_OK;
		}
	}
	return BUR_INVALID;
}

/* "2M" -> "2" and 6. */
static int count_suffix(struct slice *inout_number)
{
	struct slice s = *inout_number;
	int zeros = 0;

	if (s.n > 0) {
		switch (s.p[s.n - 1]) {
		case 'k':
		case 'K':
			zeros = 3;
			break;
		case 'M':
			zeros = 6;
			break;
		case 'B':
			zeros = 9;
			break;
		default:
			break;
		}
	}
	if (zeros > 0)
		*inout_number = slice_sub(s, 0, s.n - 1);
	return zeros;
}

static int parse_positive(struct slice number, int decimals, int64_t *ret)
{
	if (number.n == 0 || number.p[0] < '0' || number.p[0] > '9')
		return BUR_INVALID; /* no sign on a limit */
	return decimal_parse(number, decimals, false, ret);
}

int amount_parse_limit(struct slice text, enum amount_unit *ret_unit, int64_t *ret_value)
{
	struct slice s = slice_trim(text), number;
	enum amount_unit unit = UNIT_USD;
	int decimals = 9, r;
	int64_t value;
	size_t word;

	if (s.n > 0 && s.p[0] == '$') {
		r = parse_positive(slice_trim(slice_sub(s, 1, s.n)), decimals, &value);
	} else {
		word = s.n;
		while (word > 0 && ((s.p[word - 1] | 32) >= 'a' && (s.p[word - 1] | 32) <= 'z'))
			word--;
		number = slice_sub(s, 0, word);
		/* "2Mtokens" would be ambiguous with a unit named so: a suffix needs the space */
		r = parse_unit(slice_sub(s, word, s.n), &unit);
		if (r < 0)
			return r;
		number = slice_trim(number);
		if (unit != UNIT_USD)
			decimals = count_suffix(&number);
		r = parse_positive(number, decimals, &value);
	}
	if (r < 0)
		return r;
	*ret_unit = unit;
	*ret_value = value;
	return BUR_OK;
}
