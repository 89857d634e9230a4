#include "policy/anomaly.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HOUR_S INT64_C(3600)
#define DAY_S (24 * HOUR_S)
#define WEEK_S (7 * DAY_S)
#define WEEKS 8
#define WEEKS_MIN 3
#define DAYS 14
#define DAYS_MIN 7
#define SAMPLES_MAX 56
/* 576 million USD an hour: nobody's; and no sum or difference below can wrap. */
#define FAR (INT64_C(1) << 59)

static int64_t clip(int64_t v)
{
	return v > FAR ? FAR : v < -FAR ? -FAR : v;
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Sorts v. The mean of the two middle ones is rounded towards zero. */
static int64_t median(int64_t *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* max(1.4826 * MAD, 5 % of `usual`, 0.50 USD); overwrites v. */
static int64_t scale_of(int64_t *v, size_t n, int64_t center, int64_t usual)
{
	int64_t s;

	for (size_t i = 0; i < n; i++)
		v[i] = v[i] > center ? v[i] - center : center - v[i];
	s = (int64_t)((__int128)median(v, n) * 14826 / 10000);
	if (s < usual / 20)
		s = usual / 20;
	return s < ANOMALY_SCALE_MIN_NANOUSD ? ANOMALY_SCALE_MIN_NANOUSD : s;
}

/* --- hours -------------------------------------------------------------------------------------------------------- */

/* The hour that lies back_s before the present one on the clock on the wall, if it is there and counts. */
static bool sample(const struct anomaly_series *s, int64_t back_s, int64_t *ret)
{
	int64_t hours_back;

	if (s->tz)
		back_s -= tz_offset_at(s->tz, s->hour_s) - tz_offset_at(s->tz, s->hour_s - back_s);
	hours_back = (back_s + HOUR_S - 1) / HOUR_S;
	if (hours_back < 1 || (uint64_t)hours_back > s->n)
		return false;
	if (s->excluded && s->excluded[s->n - (size_t)hours_back])
		return false;
	*ret = clip(s->hours[s->n - (size_t)hours_back]);
	return true;
}

static size_t samples(const struct anomaly_series *s, int64_t step_s, int64_t steps, int64_t *v)
{
	size_t n = 0;

	for (int64_t k = 1; k <= steps; k++)
		if (sample(s, k * step_s, &v[n]))
			n++;
	return n;
}

void anomaly_baseline(const struct anomaly_series *series, struct anomaly_baseline *ret)
{
	int64_t v[DAYS];
	size_t n;

	memset(ret, 0, sizeof(*ret));
	n = samples(series, WEEK_S, WEEKS, v);
	ret->basis = ANOMALY_HOUR_OF_WEEK;
	if (n < WEEKS_MIN) {
		n = samples(series, DAY_S, DAYS, v);
		ret->basis = ANOMALY_HOUR_OF_DAY;
		if (series->n < DAYS_MIN * DAY_S / HOUR_S || n < WEEKS_MIN)
			ret->basis = ANOMALY_LEARNING;
	}
	ret->n_samples = n;
	if (ret->basis == ANOMALY_LEARNING)
		return;
	ret->median_nanousd = median(v, n);
	ret->scale_nanousd = scale_of(v, n, ret->median_nanousd, ret->median_nanousd);
}

static int64_t elapsed_of(int64_t hour_s, int64_t now_s)
{
	int64_t elapsed = now_s - hour_s;

	if (elapsed < ANOMALY_ELAPSED_MIN_S)
		return ANOMALY_ELAPSED_MIN_S;
	return elapsed > HOUR_S ? HOUR_S : elapsed;
}

/* A part of an hour, scaled, varies more than the hour by the square root of what it was scaled by. In thousandths,
 * rounded up: 1000 for the whole hour. */
static int64_t widening_milli(int64_t elapsed_s)
{
	int64_t square = 1000000 * HOUR_S / elapsed_s, root = 1000;

	while (root * root < square)
		root++;
	return root;
}

static int level_of(struct anomaly_state *st, int64_t z_milli, int64_t now_s)
{
	if (z_milli < ANOMALY_Z1_MILLI) {
		st->over = false;
		return 0;
	}
	if (!st->over || now_s < st->over_since_s) {
		st->over = true;
		st->over_since_s = now_s;
	}
	if (z_milli >= ANOMALY_Z2_MILLI)
		return 2;
	return now_s - st->over_since_s >= ANOMALY_CONFIRM_S ? 1 : 0;
}

void anomaly_evaluate(const struct anomaly_baseline *b, struct anomaly_state *st, int64_t hour_s, int64_t spent_nanousd,
		      int64_t now_s, struct anomaly *ret)
{
	int64_t elapsed, above;

	memset(ret, 0, sizeof(*ret));
	now_s = clip(now_s);
	elapsed = elapsed_of(clip(hour_s), now_s);
	ret->baseline = *b;
	ret->spent_nanousd = spent_nanousd;
	ret->scaled_nanousd = clip((int64_t)((__int128)clip(spent_nanousd) * HOUR_S / elapsed));
	if (b->basis == ANOMALY_LEARNING) {
		*st = (struct anomaly_state){0};
		return;
	}
	above = ret->scaled_nanousd - b->median_nanousd;
	ret->scale_nanousd = (int64_t)((__int128)b->scale_nanousd * widening_milli(elapsed) / 1000);
	ret->z_milli = (int64_t)((__int128)above * 1000 / ret->scale_nanousd);
	ret->level = level_of(st, ret->z_milli, now_s);
	ret->began = ret->level > st->level;
	st->level = ret->level;
}

/* --- slow shifts -------------------------------------------------------------------------------------------------- */

static size_t days_before(const int64_t *days, const bool *excluded, size_t day, size_t step, size_t steps, int64_t *v)
{
	size_t n = 0;

	for (size_t k = 1; k <= steps && k * step <= day; k++)
		if (!excluded || !excluded[day - k * step])
			v[n++] = clip(days[day - k * step]);
	return n;
}

static bool residual(const int64_t *days, const bool *excluded, size_t day, int64_t *ret)
{
	int64_t v[DAYS];
	size_t n;

	if (excluded && excluded[day])
		return false;
	n = days_before(days, excluded, day, 7, WEEKS, v);
	if (n < WEEKS_MIN) {
		n = days_before(days, excluded, day, 1, DAYS, v);
		if (n < DAYS_MIN)
			return false;
	}
	*ret = clip(days[day]) - median(v, n);
	return true;
}

/* With lambda 0.2 the EWMA is (r + 4 E) / 5, and sqrt(lambda / (2 - lambda)) is 1/3. */
void anomaly_shift(const int64_t *days, const bool *excluded, size_t n, struct anomaly_shift *ret)
{
	int64_t r[SAMPLES_MAX], usual[SAMPLES_MAX];
	size_t k = 0, first;

	memset(ret, 0, sizeof(*ret));
	if (n > ANOMALY_DAYS_MAX) {
		days += n - ANOMALY_DAYS_MAX;
		excluded = excluded ? excluded + (n - ANOMALY_DAYS_MAX) : NULL;
		n = ANOMALY_DAYS_MAX;
	}
	first = n > SAMPLES_MAX ? n - SAMPLES_MAX : 0;
	for (size_t d = first; d < n; d++) {
		if (!residual(days, excluded, d, &r[k]))
			continue;
		ret->ewma_nanousd = (r[k] + 4 * ret->ewma_nanousd) / 5;
		usual[k++] = clip(days[d]);
	}
	ret->n_residuals = k;
	ret->learning = k < DAYS_MIN;
	if (ret->learning) {
		ret->ewma_nanousd = 0;
		return;
	}
	ret->scale_nanousd = median(r, k);
	ret->scale_nanousd = scale_of(r, k, ret->scale_nanousd, median(usual, k));
	ret->limit_nanousd = (int64_t)((__int128)4 * ret->scale_nanousd / 3);
	ret->over = ret->ewma_nanousd > ret->limit_nanousd;
}

/* --- who did it --------------------------------------------------------------------------------------------------- */

static __int128 increase(const struct anomaly_part *p)
{
	return (__int128)p->spent_nanousd - p->usual_nanousd;
}

static bool comes_before(const struct anomaly_part *a, const struct anomaly_part *b)
{
	if (increase(a) != increase(b))
		return increase(a) > increase(b);
	if (a->key != b->key)
		return a->key < b->key;
	return a->model != b->model ? a->model < b->model : a->user < b->user;
}

size_t anomaly_top(const struct anomaly_part *parts, size_t n, struct anomaly_part ret[ANOMALY_TOP])
{
	size_t top = 0;

	for (size_t i = 0; i < n; i++) {
		size_t at = top;

		if (increase(&parts[i]) <= 0)
			continue;
		while (at > 0 && comes_before(&parts[i], &ret[at - 1]))
			at--;
		if (at == ANOMALY_TOP)
			continue;
		if (top < ANOMALY_TOP)
			top++;
		for (size_t k = top - 1; k > at; k--)
			ret[k] = ret[k - 1];
		ret[at] = parts[i];
	}
	return top;
}

/* --- C6.4 --------------------------------------------------------------------------------------------------------- */

size_t anomaly_c6_spikes(const int64_t *costs, size_t n, struct anomaly_c6 ret[ANOMALY_C6_NEWEST])
{
	const int64_t *last;
	double mean = 0, squares = 0, expected_max;
	size_t found = 0;

	if (n < ANOMALY_C6_CALLS)
		return 0;
	last = costs + (n - ANOMALY_C6_CALLS);
	for (size_t i = 0; i < ANOMALY_C6_CALLS; i++)
		mean += (double)last[i] / ANOMALY_C6_CALLS;
	for (size_t i = 0; i < ANOMALY_C6_CALLS; i++)
		squares += ((double)last[i] - mean) * ((double)last[i] - mean);
	expected_max = mean + 2 * sqrt(squares / (ANOMALY_C6_CALLS - 1));
	for (size_t i = n - ANOMALY_C6_NEWEST; i < n; i++) {
		double v = (double)costs[i];

		if (v > expected_max && v > 1.5 * mean)
			ret[found++] = (struct anomaly_c6){i, costs[i], expected_max, v > 1.5 * expected_max};
	}
	return found;
}
