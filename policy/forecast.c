#include "policy/forecast.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WEEK 7
#define WEEKS 8
#define TREND_DAYS 14
#define DAYS_LEFT_MAX 3660
#define PPM 1e6

static double max_of(double a, double b)
{
	return a > b ? a : b;
}

static double clip(double v, double min, double max)
{
	return v < min ? min : v > max ? max : v;
}

/* To whole nano-USD; the ends of int64 stand for everything beyond. */
static int64_t whole(double v)
{
	if (!(v < 9.2e18))
		return INT64_MAX;
	return v < -9.2e18 ? INT64_MIN : (int64_t)llround(v);
}

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

/* --- 6.5: the model ----------------------------------------------------------------------------------------------- */

/* What the days after days[0..n) will cost: level[i % 7] for day number i, trend included. */
struct model {
	double level[WEEK];
	double trend;
};

/* Day d counts for the day of the week d % 7; only differences matter. */
static double weekday_median(const int64_t *days, size_t n, size_t weekday)
{
	double v[WEEKS];
	size_t k = 0, from = n > WEEK * WEEKS ? n - WEEK * WEEKS : 0;

	for (size_t i = from; i < n; i++)
		if (i % WEEK == weekday)
			v[k++] = (double)days[i];
	return k > 0 ? median(v, k) : 0;
}

static double trend_of(const int64_t *days, size_t n, const double *level)
{
	double ratio[TREND_DAYS], sum = 0;
	size_t k = 0, cut;

	for (size_t i = n > TREND_DAYS ? n - TREND_DAYS : 0; i < n; i++)
		if (level[i % WEEK] > 0)
			ratio[k++] = (double)days[i] / level[i % WEEK];
	if (k == 0)
		return 1;
	qsort(ratio, k, sizeof(*ratio), by_value);
	cut = k / 7;
	for (size_t i = cut; i < k - cut; i++)
		sum += ratio[i];
	return clip(sum / (double)(k - 2 * cut), 0.5, 2);
}

static struct model model_of(const int64_t *days, size_t n)
{
	struct model m;

	for (size_t w = 0; w < WEEK; w++)
		m.level[w] = max_of(weekday_median(days, n, w), 0);
	m.trend = trend_of(days, n, m.level);
	for (size_t w = 0; w < WEEK; w++)
		m.level[w] *= m.trend;
	return m;
}

/* --- 6.5: the interval ---------------------------------------------------------------------------------------------
 */

/* For each earlier day: what the days after it cost, over what the model said then. One row is one block. */
struct ratios {
	size_t rows, leads;
	double row[FORECAST_DAYS_MAX][FORECAST_LEADS_MAX];
};

/* A ratio of days: log ratios are kept within +-3, and a day of which nothing was expected tells nothing. */
static double ratio_of(double spent, double expected)
{
	if (!(expected > 0))
		return 1;
	return clip(spent / expected, 0.05, 20);
}

static void ratios_fill(const int64_t *days, size_t n, size_t horizon, struct ratios *r)
{
	size_t first = n >= 4 * WEEK ? 2 * WEEK : WEEK;

	r->rows = 0;
	r->leads = horizon < FORECAST_LEADS_MAX ? horizon : FORECAST_LEADS_MAX;
	if (r->leads > (n - WEEK) / 2)
		r->leads = (n - WEEK) / 2;
	if (r->leads < 1)
		return;
	for (size_t origin = first; origin + r->leads <= n; origin++, r->rows++) {
		struct model m = model_of(days, origin);

		for (size_t h = 0; h < r->leads; h++)
			r->row[r->rows][h] = ratio_of((double)days[origin + h], m.level[(origin + h) % WEEK]);
	}
}

/* SplitMix64: small, and the same everywhere. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* One future: blocks one after the other, each from its first lead on. */
static double resample(const struct ratios *r, const double *base, size_t horizon, uint64_t *random)
{
	const double *block = NULL;
	double sum = 0;

	for (size_t h = 0; h < horizon; h++) {
		if (h % r->leads == 0)
			block = r->row[next_random(random) % r->rows];
		sum += base[h] * block[h % r->leads];
	}
	return sum;
}

/* Blocks overlap: only so many of them are independent, and quantiles of few are too narrow. The terms were fitted on
 * synthetic series so that the interval covers about 80 % (policy_forecast_test measures it). */
static double widening(const struct ratios *r)
{
	double blocks = (double)(r->rows + r->leads - 1) / (double)r->leads;

	return 1 + 1.2 / blocks + 2 / (blocks * blocks);
}

static void interval(const struct forecast_input *in, const struct ratios *r, const double *base, size_t horizon,
		     struct forecast *ret)
{
	double sums[FORECAST_RESAMPLES], done = (double)in->to_date_nanousd, p50, wide = widening(r);
	uint64_t random = in->seed;

	for (size_t i = 0; i < FORECAST_RESAMPLES; i++)
		sums[i] = resample(r, base, horizon, &random);
	qsort(sums, FORECAST_RESAMPLES, sizeof(*sums), by_value);
	p50 = sums[FORECAST_RESAMPLES / 2];
	ret->p10_nanousd = whole(done + max_of(0, p50 + (sums[FORECAST_RESAMPLES / 10] - p50) * wide));
	ret->p50_nanousd = whole(done + p50);
	ret->p90_nanousd = whole(done + p50 + (sums[FORECAST_RESAMPLES / 10 * 9] - p50) * wide);
}

/* --- 6.5: the forecast ---------------------------------------------------------------------------------------------
 */

static void run_rate(const struct forecast_input *in, struct forecast *ret)
{
	double done = (double)in->to_date_nanousd, rate = done;

	if (in->elapsed_s > 0 && in->window_s > in->elapsed_s)
		rate = done / (double)in->elapsed_s * (double)in->window_s;
	ret->run_rate = ret->low_confidence = true;
	ret->trend_milli = 1000;
	ret->expected_nanousd = ret->p50_nanousd = whole(rate);
	ret->p10_nanousd = whole(max_of(done, rate * 0.5));
	ret->p90_nanousd = whole(rate * 2);
	if (rate <= done) /* the window is over */
		ret->p90_nanousd = ret->p50_nanousd;
}

/* What is left of today, then whole days. Returns how many. */
static size_t base_fill(const struct forecast_input *in, const struct model *m, size_t n, double *base)
{
	size_t k = 0, left = in->days_left < 0               ? 0
			     : in->days_left > DAYS_LEFT_MAX ? DAYS_LEFT_MAX
							     : (size_t)in->days_left;

	base[k++] = m->level[n % WEEK] * clip((double)in->today_left_ppm / PPM, 0, 1);
	for (; k <= left; k++)
		base[k] = m->level[(n + k) % WEEK];
	return k;
}

void forecast_window(const struct forecast_input *in, struct forecast *ret)
{
	const int64_t *days = in->days;
	size_t n = in->n_days, horizon;
	double base[DAYS_LEFT_MAX + 1], rest = 0;
	struct ratios r;
	struct model m;

	memset(ret, 0, sizeof(*ret));
	if (n < FORECAST_DAYS_MIN) {
		run_rate(in, ret);
		return;
	}
	if (n > FORECAST_DAYS_MAX) {
		days += n - FORECAST_DAYS_MAX;
		n = FORECAST_DAYS_MAX;
	}
	m = model_of(days, n);
	horizon = base_fill(in, &m, n, base);
	for (size_t h = 0; h < horizon; h++)
		rest += base[h];
	ret->trend_milli = whole(m.trend * 1000);
	ret->low_confidence = n < FORECAST_DAYS_SURE;
	ret->expected_nanousd = whole((double)in->to_date_nanousd + rest);
	ratios_fill(days, n, horizon, &r);
	if (r.rows > 0) {
		interval(in, &r, base, horizon, ret);
		return;
	}
	ret->p50_nanousd = ret->expected_nanousd;
	ret->p10_nanousd = whole((double)in->to_date_nanousd + rest * 0.5);
	ret->p90_nanousd = whole((double)in->to_date_nanousd + rest * 2);
}

uint32_t forecast_seed(struct slice budget_id, struct slice date)
{
	return crc32c(crc32c(0, budget_id.p, budget_id.n), date.p, date.n);
}

/* --- C6.2: the day -------------------------------------------------------------------------------------------------
 */

#define HOUR_S 3600
#define DAY_HOURS 24
#define C6_DAYS 28

const char *forecast_c6_method_name(enum forecast_c6_method method)
{
	static const char *const names[] = {"no_data", "historical_average", "weighted_ensemble"};

	return (size_t)method < ARRAY_LEN(names) ? names[method] : "unknown";
}

/* The hours of today from now on: how many there are, and which part of each is left. */
struct c6_rest {
	size_t done; /* complete hours of today */
	double current, hours;
};

static struct c6_rest c6_rest_of(const struct forecast_c6_day_input *in)
{
	double hours = (double)(in->length_s - in->elapsed_s) / HOUR_S;
	double current = 1 - (double)(in->elapsed_s % HOUR_S) / HOUR_S;

	return (struct c6_rest){(size_t)(in->elapsed_s / HOUR_S), current < hours ? current : hours, hours};
}

/* Weight of the j-th hour from the current one; 0 when today is over. */
static double c6_weight(const struct c6_rest *r, size_t j)
{
	if (j == 0)
		return r->current;
	return clip(r->hours - r->current - (double)(j - 1), 0, 1);
}

/* Least squares over the last hours, from the first one with cost on. false: fewer than 3. */
static bool c6_trend(const struct forecast_c6_day_input *in, const struct c6_rest *rest, double *ret)
{
	const int64_t *h = in->hours + (in->n_hours > DAY_HOURS ? in->n_hours - DAY_HOURS : 0);
	size_t n = in->n_hours > DAY_HOURS ? DAY_HOURS : in->n_hours;
	double sx = 0, sy = 0, sxx = 0, sxy = 0, top = 0, a, b, weight;

	for (; n > 0 && *h <= 0; n--)
		h++;
	if (n < 3)
		return false;
	for (size_t i = 0; i < n; i++) {
		sx += (double)i;
		sy += (double)h[i];
		sxx += (double)i * (double)i;
		sxy += (double)i * (double)h[i];
		top = max_of(top, (double)h[i]);
	}
	b = ((double)n * sxy - sx * sy) / ((double)n * sxx - sx * sx);
	a = (sy - b * sx) / (double)n;
	*ret = (double)in->cost_nanousd;
	for (size_t j = 0; (weight = c6_weight(rest, j)) > 0; j++)
		*ret += weight * clip(a + b * (double)(n + j), 0, top);
	return true;
}

/* The hours of each past day with any cost, added up by hour of the day. Returns the number of such days. */
static size_t c6_seasons(const struct forecast_c6_day_input *in, const struct c6_rest *rest, double *by_hour)
{
	size_t end = in->n_hours > rest->done ? in->n_hours - rest->done : 0, days = 0;

	memset(by_hour, 0, DAY_HOURS * sizeof(*by_hour));
	for (size_t d = 0; d < C6_DAYS && end >= DAY_HOURS; d++, end -= DAY_HOURS) {
		const int64_t *day = in->hours + end - DAY_HOURS;
		bool any = false;

		for (size_t i = 0; i < DAY_HOURS; i++) {
			any = any || day[i] > 0;
			by_hour[i] += (double)day[i];
		}
		days += any;
	}
	return days;
}

static bool c6_seasonal(const struct forecast_c6_day_input *in, const struct c6_rest *rest, double *ret)
{
	double by_hour[DAY_HOURS], weight;
	size_t days = c6_seasons(in, rest, by_hour);

	if (days < 3)
		return false;
	*ret = (double)in->cost_nanousd;
	for (size_t j = 0; (weight = c6_weight(rest, j)) > 0; j++)
		*ret += weight * by_hour[(rest->done + j) % DAY_HOURS] / (double)days;
	return true;
}

static double c6_confidence(const struct forecast_c6_day_input *in, const struct forecast_c6_day *d)
{
	double mean = (d->linear + d->trend + d->seasonal) / 3, a = d->linear - mean, b = d->trend - mean,
	       c = d->seasonal - mean, s = sqrt((a * a + b * b + c * c) / 2);

	if (!(mean > 0))
		return 0.1;
	return 0.4 * max_of(0, 1 - s / mean) + 0.4 * clip((double)in->elapsed_s / HOUR_S / 12, 0, 1) +
	       0.2 * clip((double)in->calls / 100, 0, 1);
}

static void c6_early(const struct forecast_c6_day_input *in, struct forecast_c6_day *ret)
{
	double sum = 0, n = 0, cost = (double)in->cost_nanousd;

	for (size_t i = 0; i < in->n_days; i++) {
		if (in->days[i] > 0) {
			sum += (double)in->days[i];
			n++;
		}
	}
	ret->method = FORECAST_C6_HISTORICAL_AVERAGE;
	ret->projected = n > 0 ? max_of(cost, sum / n) : cost;
	ret->confidence = n > 0 ? clip(n / 30, 0, 0.6) : 0.1;
}

static bool c6_has_data(const struct forecast_c6_day_input *in)
{
	if (in->cost_nanousd > 0)
		return true;
	for (size_t i = 0; i < in->n_hours; i++)
		if (in->hours[i] > 0)
			return true;
	for (size_t i = 0; i < in->n_days; i++)
		if (in->days[i] > 0)
			return true;
	return false;
}

void forecast_c6_day(const struct forecast_c6_day_input *given, struct forecast_c6_day *ret)
{
	struct forecast_c6_day_input in = *given;
	struct c6_rest rest;

	memset(ret, 0, sizeof(*ret));
	if (!c6_has_data(&in))
		return;
	in.length_s = in.length_s < 1 ? 1 : in.length_s > 2 * DAY_HOURS * HOUR_S ? 2 * DAY_HOURS * HOUR_S : in.length_s;
	in.elapsed_s = in.elapsed_s < 0 ? 0 : in.elapsed_s > in.length_s ? in.length_s : in.elapsed_s;
	if (in.elapsed_s < HOUR_S / 2) {
		c6_early(&in, ret);
		return;
	}
	rest = c6_rest_of(&in);
	ret->method = FORECAST_C6_WEIGHTED_ENSEMBLE;
	ret->linear = (double)in.cost_nanousd / (double)in.elapsed_s * (double)in.length_s;
	if (!c6_trend(&in, &rest, &ret->trend))
		ret->trend = ret->linear;
	if (!c6_seasonal(&in, &rest, &ret->seasonal))
		ret->seasonal = ret->linear;
	ret->projected = max_of((double)in.cost_nanousd, 0.4 * ret->linear + 0.4 * ret->trend + 0.2 * ret->seasonal);
	ret->confidence = c6_confidence(&in, ret);
}

/* --- C6.3: the month -----------------------------------------------------------------------------------------------
 */

struct forecast_c6_month forecast_c6_month(double cost, double days_elapsed, double days_in_month, double day_projected,
					   double mean_day)
{
	struct forecast_c6_month m = {.historical = days_elapsed < 0.5};
	double linear, trend = day_projected * days_in_month, share = 0.8;

	if (m.historical) {
		m.projected = max_of(cost, mean_day * days_in_month);
		m.confidence = 0.3;
		return m;
	}
	linear = cost / days_elapsed * days_in_month;
	if (days_elapsed < 3)
		share = 0.3;
	else if (days_elapsed < 10)
		share = 0.6;
	m.projected = max_of(cost, share * linear + (1 - share) * trend);
	m.confidence = days_elapsed < 3    ? 0.6
		       : days_elapsed < 10 ? 0.75
					   : clip(days_elapsed / days_in_month + 0.1, 0, 0.9);
	return m;
}

/* --- C3.5: the trend -----------------------------------------------------------------------------------------------
 */

int64_t forecast_c3_trend_milli(const int64_t *days, size_t n)
{
	__int128 last = 0, before = 0, trend;

	if (n < 2 * WEEK)
		return 0;
	for (size_t i = 0; i < WEEK; i++) {
		last += days[n - WEEK + i];
		before += days[n - 2 * WEEK + i];
	}
	if (before <= 0)
		return 0;
	trend = (last - before) * 100000 / before;
	if (trend > INT64_MAX)
		return INT64_MAX;
	return trend < INT64_MIN ? INT64_MIN : (int64_t)trend;
}

enum forecast_c3_direction forecast_c3_direction(int64_t trend_milli)
{
	if (trend_milli > 5000)
		return FORECAST_C3_INCREASING;
	return trend_milli < -5000 ? FORECAST_C3_DECREASING : FORECAST_C3_STABLE;
}

/* --- C6.5: health --------------------------------------------------------------------------------------------------
 */

#define POINT 1000

const char *forecast_c6_status_name(enum forecast_c6_status status)
{
	static const char *const names[] = {"emergency", "critical", "warning", "good", "excellent"};

	return (size_t)status < ARRAY_LEN(names) ? names[status] : "unknown";
}

static int64_t clip_int(int64_t v, int64_t min, int64_t max)
{
	return v < min ? min : v > max ? max : v;
}

static int64_t utilization_score(int64_t u)
{
	if (u <= 50 * POINT)
		return 100 * POINT;
	if (u <= 75 * POINT)
		return 100 * POINT - 2 * (u - 50 * POINT);
	if (u <= 90 * POINT)
		return 50 * POINT - 2 * (u - 75 * POINT);
	return u >= 110 * POINT ? 0 : 20 * POINT - (u - 90 * POINT);
}

static int64_t stability_score(int64_t trend)
{
	int64_t t = trend < 0 ? -clip_int(trend, -1000 * POINT, 0) : trend;

	if (t <= 10 * POINT)
		return 100 * POINT;
	if (t <= 25 * POINT)
		return 100 * POINT - 3 * (t - 10 * POINT);
	return t >= 80 * POINT ? 0 : 55 * POINT - (t - 25 * POINT);
}

static int64_t alert_score(int64_t alerts)
{
	int64_t a = clip_int(alerts, 0, 100);

	if (a <= 3)
		return (100 - 15 * a) * POINT;
	return clip_int(55 - 10 * (a - 3), 0, 100) * POINT;
}

static enum forecast_c6_status status_of(int64_t tenths)
{
	static const int from_tenths[] = {0, 250, 450, 650, 800};
	int s = FORECAST_C6_EXCELLENT;

	while (s > FORECAST_C6_EMERGENCY && tenths < from_tenths[s])
		s--;
	return (enum forecast_c6_status)s;
}

void forecast_c6_health(const struct forecast_c6_health_input *in, struct forecast_c6_health *ret)
{
	int64_t sum;

	ret->utilization = utilization_score(in->used_milli);
	ret->stability = stability_score(in->trend_milli);
	ret->projection = clip_int(in->confidence_ppm, 0, 1000000) / 10;
	ret->alerts = alert_score(in->alerts);
	ret->anomalies = clip_int(100 - 25 * clip_int(in->high_anomalies, 0, 4), 0, 100) * POINT;
	sum =
	    30 * ret->utilization + 25 * ret->stability + 20 * ret->projection + 15 * ret->alerts + 10 * ret->anomalies;
	ret->overall_tenths = (sum + 5000) / 10000;
	ret->status = status_of(ret->overall_tenths);
}

/* --- C6.6: advice --------------------------------------------------------------------------------------------------
 */

const char *forecast_c6_advice_text(enum forecast_c6_advice advice)
{
	static const char *const texts[] = {
	    "Most of the budget is used: raise it, or move calls that can wait to cheaper models.",
	    "Spend changes quickly from week to week: look for what is new.",
	    "Alerts come often: check whether the thresholds fit the spend they watch.",
	    "Single calls cost far more than their neighbours: look at the largest ones.",
	    "The budget is in danger: throttle or block what is not needed today.",
	    "The budget needs watching: look at it again before the day ends.",
	    "A cheaper model of the same family does this work as well: use it for more of it.",
	    "Many prompts are sent more than once: cache their answers.",
	    "Prompts are many times longer than answers: trim the context that is sent.",
	};

	return (size_t)advice < ARRAY_LEN(texts) ? texts[advice] : "";
}

/* At least 20 % of the category's calls, and as successful as the dear model within 2 points. */
static bool cheaper_does_it(const struct forecast_c6_usage *u)
{
	double dear, cheap;

	if (u->calls <= 0 || u->cheap_calls <= 0 || u->category_calls <= 0)
		return false;
	if ((__int128)u->cheap_calls * 5 < u->category_calls || forecast_c6_saving_nanousd(u) <= 0)
		return false;
	dear = (double)u->successes / (double)u->calls;
	cheap = (double)u->cheap_successes / (double)u->cheap_calls;
	return fabs(dear - cheap) <= 0.02 + 1e-12;
}

int64_t forecast_c6_saving_nanousd(const struct forecast_c6_usage *u)
{
	__int128 instead;

	if (u->calls <= 0 || u->cheap_calls <= 0)
		return 0;
	instead = (__int128)u->cheap_cost_nanousd * u->calls / u->cheap_calls;
	return instead >= 0 && instead < u->cost_nanousd ? u->cost_nanousd - (int64_t)instead : 0;
}

unsigned forecast_c6_advise(const struct forecast_c6_health *h, const struct forecast_c6_usage *u)
{
	bool holds[FORECAST_C6_ADVICES] = {
	    [FORECAST_C6_ADVICE_UTILIZATION] = h->utilization < 50 * POINT,
	    [FORECAST_C6_ADVICE_STABILITY] = h->stability < 60 * POINT,
	    [FORECAST_C6_ADVICE_ALERTS] = h->alerts < 70 * POINT,
	    [FORECAST_C6_ADVICE_ANOMALIES] = h->anomalies < 80 * POINT,
	    [FORECAST_C6_ADVICE_CRITICAL] = h->status <= FORECAST_C6_CRITICAL,
	    [FORECAST_C6_ADVICE_WARNING] = h->status == FORECAST_C6_WARNING,
	};
	unsigned bits = 0;

	if (u) {
		holds[FORECAST_C6_ADVICE_CHEAPER] = cheaper_does_it(u);
		holds[FORECAST_C6_ADVICE_CACHE] = u->prompts > 0 && (__int128)u->duplicate_prompts * 10 >= u->prompts;
		holds[FORECAST_C6_ADVICE_TRIM] =
		    u->prompt_tokens > 0 && u->prompt_tokens >= (__int128)u->completion_tokens * 20;
	}
	for (unsigned i = 0; i < FORECAST_C6_ADVICES; i++)
		bits |= (unsigned)holds[i] << i;
	return bits;
}
