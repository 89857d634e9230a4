#include "policy/burn.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define HOUR_S INT64_C(3600)
#define DAY_S INT64_C(86400)
#define WEEK_S (7 * DAY_S)
#define MONDAY_S (4 * DAY_S) /* 1970-01-05 was the first Monday */

/* --- the ring ----------------------------------------------------------------------------------------------------- */

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static int64_t add_saturated(int64_t a, int64_t b)
{
	int64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return b > 0 ? INT64_MAX : INT64_MIN;
	return sum;
}

static int64_t clip128(__int128 v)
{
	if (v > INT64_MAX)
		return INT64_MAX;
	return v < INT64_MIN ? INT64_MIN : (int64_t)v;
}

static size_t slot_of(int64_t bucket)
{
	int64_t m = bucket % (BURN_BUCKETS + 1);

	return (size_t)(m < 0 ? m + BURN_BUCKETS + 1 : m);
}

void burn_ring_init(struct burn_ring *r, int64_t span_s)
{
	memset(r, 0, sizeof(*r));
	if (span_s > BURN_SPAN_MAX_S)
		span_s = BURN_SPAN_MAX_S;
	if (span_s < 1)
		span_s = 1;
	r->width_s = (span_s + BURN_BUCKETS - 1) / BURN_BUCKETS;
	r->head = INT64_MIN;
}

static bool in_ring(const struct burn_ring *r, int64_t bucket)
{
	return r->head != INT64_MIN && bucket <= r->head && bucket >= r->head - BURN_BUCKETS;
}

static void advance(struct burn_ring *r, int64_t bucket)
{
	if (r->head == INT64_MIN || bucket - r->head > BURN_BUCKETS) {
		memset(r->nanousd, 0, sizeof(r->nanousd));
	} else {
		for (int64_t b = r->head + 1; b <= bucket; b++)
			r->nanousd[slot_of(b)] = 0;
	}
	r->head = bucket;
}

/* No date is further from the epoch than this, so that no difference of two wraps. */
static int64_t clip_time(int64_t t)
{
	const int64_t far = INT64_MAX / 4;

	return t > far ? far : t < -far ? -far : t;
}

void burn_ring_add(struct burn_ring *r, int64_t at_s, int64_t nanousd)
{
	int64_t bucket = floor_div(clip_time(at_s), r->width_s);

	if (r->head == INT64_MIN || bucket > r->head)
		advance(r, bucket);
	if (in_ring(r, bucket))
		r->nanousd[slot_of(bucket)] = add_saturated(r->nanousd[slot_of(bucket)], nanousd);
}

int64_t burn_ring_sum(const struct burn_ring *r, int64_t now_s, int64_t w_s)
{
	int64_t from, oldest, newest, inside;
	__int128 sum = 0;

	if (w_s <= 0 || r->head == INT64_MIN)
		return 0;
	now_s = clip_time(now_s);
	if (w_s > r->width_s * BURN_BUCKETS)
		w_s = r->width_s * BURN_BUCKETS;
	from = now_s - w_s + 1;
	oldest = floor_div(from, r->width_s);
	newest = floor_div(now_s, r->width_s);
	inside = (oldest + 1) * r->width_s - from;
	if (oldest == newest)
		inside = w_s;
	if (in_ring(r, oldest))
		sum = (__int128)r->nanousd[slot_of(oldest)] * inside / r->width_s;
	for (int64_t b = oldest + 1; b <= newest; b++)
		if (in_ring(r, b))
			sum += r->nanousd[slot_of(b)];
	return clip128(sum);
}

/* --- the profile -------------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static size_t week_hour(int64_t unix_s)
{
	int64_t h = floor_div(clip_time(unix_s) - MONDAY_S, HOUR_S) % BURN_WEEK_HOURS;

	return (size_t)(h < 0 ? h + BURN_WEEK_HOURS : h);
}

static double week_total(const int64_t *hours)
{
	double total = 0;

	for (size_t i = 0; i < BURN_WEEK_HOURS; i++)
		total += hours[i] > 0 ? (double)hours[i] : 0;
	return total;
}

/* Median share of each hour; hours[0] is hour `at` of the week in each of the n weeks. */
static void median_shares(const int64_t *const *weeks, const double *totals, size_t n, size_t at, double *ret)
{
	double v[BURN_PROFILE_WEEKS_MAX] = {0};

	for (size_t i = 0; i < BURN_WEEK_HOURS; i++) {
		for (size_t k = 0; k < n; k++)
			v[k] = weeks[k][i] > 0 ? (double)weeks[k][i] / totals[k] : 0;
		ret[(at + i) % BURN_WEEK_HOURS] = median(v, n);
	}
}

static void profile_fill(struct burn_profile *p, const double *share, double sum)
{
	p->before[0] = 0;
	for (size_t i = 0; i < BURN_WEEK_HOURS; i++) {
		double rate = share[i] / sum * BURN_WEEK_HOURS * BURN_FLAT_RATE;

		p->rate[i] = (uint32_t)(rate + 0.5);
		if (p->rate[i] < BURN_FLAT_RATE / 10)
			p->rate[i] = BURN_FLAT_RATE / 10;
		p->before[i + 1] = p->before[i] + p->rate[i] * HOUR_S;
	}
}

int burn_profile_make(const int64_t *hours, size_t n, int64_t first_s, struct burn_profile *ret)
{
	const int64_t *weeks[BURN_PROFILE_WEEKS_MAX];
	double totals[BURN_PROFILE_WEEKS_MAX], share[BURN_WEEK_HOURS], sum = 0;
	size_t n_weeks = 0, n_all = n / BURN_WEEK_HOURS, skip = n % BURN_WEEK_HOURS;

	if (n < BURN_PROFILE_HOURS_MIN)
		return BUR_AGAIN;
	for (size_t k = n_all > BURN_PROFILE_WEEKS_MAX ? n_all - BURN_PROFILE_WEEKS_MAX : 0; k < n_all; k++) {
		weeks[n_weeks] = hours + skip + k * BURN_WEEK_HOURS;
		totals[n_weeks] = week_total(weeks[n_weeks]);
		if (totals[n_weeks] > 0)
			n_weeks++;
	}
	if (n_weeks < BURN_PROFILE_HOURS_MIN / BURN_WEEK_HOURS)
		return BUR_AGAIN;
	median_shares(weeks, totals, n_weeks, (week_hour(first_s) + skip) % BURN_WEEK_HOURS, share);
	for (size_t i = 0; i < BURN_WEEK_HOURS; i++)
		sum += share[i];
	if (!(sum > 0))
		return BUR_AGAIN;
	profile_fill(ret, share, sum);
	return BUR_OK;
}

/* Weight from the first Monday until t. */
static __int128 weight_until(const struct burn_profile *p, int64_t t)
{
	int64_t weeks, rest;

	t = clip_time(t) - MONDAY_S;
	weeks = floor_div(t, WEEK_S);
	rest = t - weeks * WEEK_S;
	return (__int128)weeks * p->before[BURN_WEEK_HOURS] + p->before[rest / HOUR_S] +
	       (rest % HOUR_S) * p->rate[rest / HOUR_S];
}

int64_t burn_weight(const struct burn_profile *p, int64_t from_s, int64_t to_s)
{
	from_s = clip_time(from_s);
	to_s = clip_time(to_s);
	if (!p)
		return clip128((__int128)(to_s - from_s) * BURN_FLAT_RATE);
	return clip128(weight_until(p, to_s) - weight_until(p, from_s));
}

/* --- the rows ----------------------------------------------------------------------------------------------------- */

const struct burn_row burn_default_rows[BURN_ROWS] = {
    [BURN_FAST] = {"fast", HOUR_S, 14400, BURN_PAGE},
    [BURN_MEDIUM] = {"medium", 6 * HOUR_S, 6000, BURN_PAGE},
    [BURN_SLOW] = {"slow", DAY_S, 3000, BURN_TICKET},
    [BURN_PLAN] = {"plan", 3 * DAY_S, 1200, BURN_TICKET},
};

void burn_row_windows(const struct burn_row *row, int64_t window_s, int64_t *ret_long_s, int64_t *ret_short_s)
{
	int64_t l = clip128((__int128)row->long_s * window_s / (30 * DAY_S));

	if (l > BURN_SPAN_MAX_S)
		l = BURN_SPAN_MAX_S;
	if (l < BURN_LONG_MIN_S)
		l = BURN_LONG_MIN_S;
	*ret_long_s = l;
	*ret_short_s = l / 12 < BURN_SHORT_MIN_S ? BURN_SHORT_MIN_S : l / 12;
}

void burn_init(struct burn *b, const struct burn_row rows[BURN_ROWS], int64_t window_s)
{
	memset(b, 0, sizeof(*b));
	b->rows = rows;
	for (size_t i = 0; i < BURN_ROWS; i++) {
		burn_row_windows(&rows[i], window_s, &b->long_s[i], &b->short_s[i]);
		burn_ring_init(&b->ring[i], b->long_s[i]);
	}
}

void burn_add(struct burn *b, int64_t at_s, int64_t nanousd)
{
	for (size_t i = 0; i < BURN_ROWS; i++)
		burn_ring_add(&b->ring[i], at_s, nanousd);
}

static int64_t expected_of(const struct burn_plan *plan, int64_t whole, int64_t now_s, int64_t w_s)
{
	int64_t part = burn_weight(plan->profile, now_s - w_s, now_s);

	return clip128((__int128)plan->limit_nanousd * part / whole);
}

static int64_t burn_of(int64_t spent, int64_t expected)
{
	if (spent <= 0)
		return 0;
	if (expected <= 0)
		return INT64_MAX;
	return clip128((__int128)spent * 1000 / expected);
}

static bool row_is_over(const struct burn_row *row, const struct burn_figures *f, const struct burn_plan *plan,
			size_t i)
{
	if (f->long_nanousd <= 0 || f->long_nanousd < plan->min_alert_nanousd)
		return false;
	if (f->long_burn_milli < row->threshold_milli || f->short_burn_milli < row->threshold_milli)
		return false;
	return i != BURN_PLAN || (plan->has_forecast && plan->forecast_p10_nanousd > plan->limit_nanousd);
}

static void row_figures(const struct burn *b, const struct burn_plan *plan, int64_t whole, int64_t now_s, size_t i,
			struct burn_figures *f)
{
	f->long_s = b->long_s[i];
	f->short_s = b->short_s[i];
	f->long_nanousd = burn_ring_sum(&b->ring[i], now_s, f->long_s);
	f->short_nanousd = burn_ring_sum(&b->ring[i], now_s, f->short_s);
	f->long_expected_nanousd = expected_of(plan, whole, now_s, f->long_s);
	f->short_expected_nanousd = expected_of(plan, whole, now_s, f->short_s);
	f->long_burn_milli = burn_of(f->long_nanousd, f->long_expected_nanousd);
	f->short_burn_milli = burn_of(f->short_nanousd, f->short_expected_nanousd);
	f->over = row_is_over(&b->rows[i], f, plan, i);
}

void burn_evaluate(struct burn *b, const struct burn_plan *plan, int64_t now_s, struct burn_report *ret)
{
	int64_t whole;

	memset(ret, 0, sizeof(*ret));
	now_s = clip_time(now_s);
	whole = burn_weight(plan->profile, plan->win_start_s, plan->win_end_s);
	for (size_t i = 0; i < BURN_ROWS && plan->limit_nanousd > 0 && whole > 0; i++) {
		row_figures(b, plan, whole, now_s, i, &ret->row[i]);
		if (!ret->row[i].over)
			continue;
		ret->firing |= 1U << i;
		ret->trip = ret->trip || b->rows[i].action == BURN_TRIP;
	}
	ret->began = ret->firing & ~b->firing;
	ret->ended = b->firing & ~ret->firing;
	b->firing = ret->firing;
}
