/* Anomalies (budget specification 6.4): hand-checked baselines and verdicts, learning, exclusion, daylight saving, a
 * year without false alarms; slow shifts; who did it; the spikes of the cost API (C6.4, examples D3.5). */
#include "policy/anomaly.h"

#include <math.h>

#include "tests/unit/policy_build.h"

#define USD NANOUSD_PER_USD
#define WEEK 168
#define WEEKS 8

/* --- baseline ----------------------------------------------------------------------------------------------------- */

struct past {
	int64_t hours[2 * WEEKS * WEEK];
	bool excluded[2 * WEEKS * WEEK];
	struct anomaly_series s;
	struct anomaly_baseline b;
};

/* n hours of `level`, then the present one at NOON. */
static struct past *past_of(size_t n, int64_t level)
{
	static struct past p;

	memset(&p, 0, sizeof(p));
	for (size_t i = 0; i < n; i++)
		p.hours[i] = level;
	p.s = (struct anomaly_series){.hours = p.hours, .excluded = p.excluded, .n = n, .hour_s = NOON};
	return &p;
}

static int64_t *weeks_ago(struct past *p, size_t k)
{
	return &p->hours[p->s.n - k * WEEK];
}

static void median_and_mad_of_eight_weeks(void **state)
{
	static const int64_t usd[] = {100, 110, 90, 130, 95, 105, 70, 100};
	struct past *p = past_of(WEEKS * WEEK, 7 * USD);

	(void)state;
	for (size_t k = 0; k < 8; k++)
		*weeks_ago(p, k + 1) = usd[k] * USD;
	anomaly_baseline(&p->s, &p->b);
	assert_int_equal(p->b.basis, ANOMALY_HOUR_OF_WEEK);
	assert_int_equal(p->b.n_samples, 8);
	assert_int_equal(p->b.median_nanousd, 100 * USD); /* 70 90 95 100 100 105 110 130 */
	/* deviations 0 0 5 5 10 10 30 30: MAD 7.5, times 1.4826 = 11.1195 */
	assert_int_equal(p->b.scale_nanousd, INT64_C(11119500000));
}

static void scale_has_floors(void **state)
{
	struct past *p = past_of(WEEKS * WEEK, 100 * USD);

	(void)state;
	anomaly_baseline(&p->s, &p->b);
	assert_int_equal(p->b.scale_nanousd, 5 * USD); /* 5 % of m */
	p = past_of(WEEKS * WEEK, USD);
	anomaly_baseline(&p->s, &p->b);
	assert_int_equal(p->b.scale_nanousd, USD / 2);
	p = past_of(WEEKS * WEEK, 0);
	anomaly_baseline(&p->s, &p->b);
	assert_int_equal(p->b.scale_nanousd, USD / 2);
}

static void history_decides_the_basis(void **state)
{
	static const struct {
		size_t hours;
		enum anomaly_basis basis;
		size_t samples;
	} cases[] = {{0, ANOMALY_LEARNING, 0},
		     {167, ANOMALY_LEARNING, 6},
		     {168, ANOMALY_HOUR_OF_DAY, 7},
		     {2 * WEEK, ANOMALY_HOUR_OF_DAY, 14},
		     {3 * WEEK - 1, ANOMALY_HOUR_OF_DAY, 14},
		     {3 * WEEK, ANOMALY_HOUR_OF_WEEK, 3},
		     {16 * WEEK, ANOMALY_HOUR_OF_WEEK, 8}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct past *p = past_of(cases[i].hours, USD);

		anomaly_baseline(&p->s, &p->b);
		assert_int_equal(p->b.basis, cases[i].basis);
		assert_int_equal(p->b.n_samples, cases[i].samples);
	}
}

static void flagged_hours_are_no_baseline(void **state)
{
	struct past *p = past_of(4 * WEEK, 10 * USD);

	(void)state;
	for (size_t k = 1; k <= 3; k++)
		*weeks_ago(p, k) = 1000 * USD;
	anomaly_baseline(&p->s, &p->b);
	assert_int_equal(p->b.median_nanousd, 1000 * USD);
	p->excluded[p->s.n - WEEK] = true;
	anomaly_baseline(&p->s, &p->b);
	assert_int_equal(p->b.n_samples, 3);
	p->excluded[p->s.n - 2 * WEEK] = true; /* two are left: the hours of the day speak */
	anomaly_baseline(&p->s, &p->b);
	assert_int_equal(p->b.basis, ANOMALY_HOUR_OF_DAY);
	assert_int_equal(p->b.n_samples, 12);
	assert_int_equal(p->b.median_nanousd, 10 * USD);
	memset(p->excluded, 1, sizeof(p->excluded));
	anomaly_baseline(&p->s, &p->b);
	assert_int_equal(p->b.basis, ANOMALY_LEARNING);
	p->s.excluded = NULL; /* a person marked all of it normal */
	anomaly_baseline(&p->s, &p->b);
	assert_int_equal(p->b.n_samples, 4);
}

/* Each day at 9:00 on the wall in Berlin 50 USD are spent, else nothing; the clocks changed on 2025-10-26. */
static void hours_of_the_week_follow_the_clock_on_the_wall(void **state)
{
	struct past *p = past_of(WEEKS * WEEK + 2, 0);
	struct tz *berlin;

	(void)state;
	assert_int_equal(tz_load("Europe/Berlin", &berlin), BUR_OK);
	p->s.hour_s = 1763712000; /* 2025-11-21T08:00:00Z = 9:00 */
	p->s.tz = berlin;
	for (size_t i = 0; i < p->s.n; i++) {
		struct civil c;

		civil_from_unix(berlin, p->s.hour_s - (int64_t)(p->s.n - i) * HOUR_S, &c);
		p->hours[i] = c.hour == 9 ? 50 * USD : 0;
	}
	anomaly_baseline(&p->s, &p->b);
	assert_int_equal(p->b.n_samples, 8);
	assert_int_equal(p->b.median_nanousd, 50 * USD);
	assert_int_equal(p->b.scale_nanousd, 50 * USD / 20); /* all eight are equal */
	p->s.tz = NULL;
	anomaly_baseline(&p->s, &p->b);
	assert_int_equal(p->b.median_nanousd, 0); /* in UTC only the three of winter are at 8:00 */
	tz_free(berlin);
}

/* --- verdicts ----------------------------------------------------------------------------------------------------- */

static const struct anomaly_baseline ten = {ANOMALY_HOUR_OF_WEEK, 8, 10 * USD, USD};

static struct anomaly at(struct anomaly_state *st, int64_t minute, int64_t spent)
{
	struct anomaly a;

	anomaly_evaluate(&ten, st, NOON, spent, NOON + minute * 60, &a);
	return a;
}

static void spend_is_scaled_to_the_whole_hour(void **state)
{
	struct anomaly_state st = {0};

	(void)state;
	assert_int_equal(at(&st, 30, 6 * USD).scaled_nanousd, 12 * USD);
	assert_int_equal(at(&st, 30, 6 * USD).scale_nanousd, 1415 * USD / 1000); /* the root of two, rounded up */
	assert_int_equal(at(&st, 30, 6 * USD).z_milli, 1413);
	assert_int_equal(at(&st, 15, 6 * USD).scaled_nanousd, 24 * USD);
	assert_int_equal(at(&st, 15, 6 * USD).z_milli, 7000); /* 14 above, s is 2 */
	assert_int_equal(at(&st, 1, 6 * USD).z_milli, 7000);  /* as after a quarter */
	assert_int_equal(at(&st, -5, 6 * USD).z_milli, 7000);
	assert_int_equal(at(&st, 60, 6 * USD).z_milli, -4000); /* the whole hour: the plain formula */
	assert_int_equal(at(&st, 90, 6 * USD).z_milli, -4000);
	assert_int_equal(at(&st, 60, 13 * USD).z_milli, 3000);
}

/* From the 60th minute on x is what was spent. */
static void level_1_needs_two_evaluations(void **state)
{
	struct anomaly_state st = {0};

	(void)state;
	assert_int_equal(at(&st, 60, 14 * USD - 1).level, 0); /* z 3.999 */
	assert_false(st.over);
	assert_int_equal(at(&st, 60, 14 * USD).z_milli, 4000);
	assert_int_equal(at(&st, 64, 15 * USD).level, 0); /* four minutes apart */
	assert_true(at(&st, 65, 16 * USD).began);
	assert_int_equal(at(&st, 66, 16 * USD).level, 1);
	assert_false(at(&st, 67, 16 * USD).began); /* told once */
	assert_int_equal(at(&st, 68, 13 * USD).level, 0);
	assert_int_equal(at(&st, 70, 15 * USD).level, 0); /* begins anew */
	assert_int_equal(at(&st, 74, 13 * USD).level, 0); /* interrupted */
	assert_int_equal(at(&st, 76, 15 * USD).level, 0);
	assert_int_equal(at(&st, 81, 15 * USD).level, 1);
}

static void level_2_is_at_once(void **state)
{
	struct anomaly_state st = {0};
	struct anomaly a = at(&st, 60, 18 * USD - 1);

	(void)state;
	assert_int_equal(a.level, 0); /* 7.999: may become level 1 */
	a = at(&st, 60, 18 * USD);
	assert_int_equal(a.z_milli, 8000);
	assert_int_equal(a.level, 2);
	assert_true(a.began);
	assert_int_equal(a.baseline.median_nanousd, 10 * USD);
	assert_int_equal(a.baseline.n_samples, 8);
	a = at(&st, 66, 17 * USD); /* falls back: still an anomaly, nothing new */
	assert_int_equal(a.level, 1);
	assert_false(a.began);
	assert_true(at(&st, 67, 18 * USD).began);
	assert_int_equal(at(&(struct anomaly_state){0}, 15, 7 * USD).level, 2); /* 28 USD an hour, seen after 15 min */
}

static void learning_is_silent(void **state)
{
	struct anomaly_baseline none = {ANOMALY_LEARNING, 2, 0, 0};
	struct anomaly_state st = {true, NOON, 1};
	struct anomaly a;

	(void)state;
	anomaly_evaluate(&none, &st, NOON, 1000000 * USD, NOON + 1800, &a);
	assert_int_equal(a.level, 0);
	assert_int_equal(a.z_milli, 0);
	assert_false(st.over);
}

static void extremes(void **state)
{
	struct past *p = past_of(WEEKS * WEEK, INT64_MAX);
	struct anomaly_state st = {0};
	struct anomaly a;

	(void)state;
	*weeks_ago(p, 1) = *weeks_ago(p, 2) = *weeks_ago(p, 3) = INT64_MIN;
	anomaly_baseline(&p->s, &p->b);
	anomaly_evaluate(&p->b, &st, INT64_MIN, INT64_MIN, INT64_MAX, &a);
	anomaly_evaluate(&p->b, &st, INT64_MAX, INT64_MAX, INT64_MIN, &a);
	p = past_of(WEEKS * WEEK, INT64_MIN);
	anomaly_baseline(&p->s, &p->b);
	anomaly_evaluate(&p->b, &st, NOON, INT64_MAX, NOON, &a);
	assert_int_equal(a.level, 2);
}

/* --- a year without an alarm -------------------------------------------------------------------------------------- */

static uint64_t random_state = 99;

static double normal(void)
{
	double u[2];

	for (int i = 0; i < 2; i++) {
		random_state = random_state * 6364136223846793005 + 1442695040888963407;
		u[i] = ((double)(random_state >> 11) + 0.5) / 9007199254740992.0;
	}
	return sqrt(-2 * log(u[0])) * cos(6.283185307179586 * u[1]);
}

static double pattern_usd(size_t hour_of_week)
{
	size_t day = hour_of_week / 24, hour = hour_of_week % 24;

	return (day < 5 ? 40 : 8) * (1 + 0.9 * sin(((double)hour - 8) / 24 * 6.283185307179586)) + 0.2;
}

/* 52 weeks after 8 of learning, an evaluation each 5 min, each 5 min spending with the given noise. Returns the number
 * of alarms of each level. */
static void year(double noise, int ret_alarms[3])
{
	static int64_t hours[60 * WEEK];
	static bool excluded[60 * WEEK];
	struct anomaly_state st = {0};

	memset(excluded, 0, sizeof(excluded));
	memset(ret_alarms, 0, 3 * sizeof(int));
	for (size_t h = 0; h < ARRAY_LEN(hours); h++) {
		struct anomaly_series s = {hours, excluded, h, NOON + (int64_t)h * HOUR_S, NULL};
		struct anomaly_baseline b;
		struct anomaly a;
		int64_t spent = 0;

		anomaly_baseline(&s, &b);
		for (int m = 5; m <= 60; m += 5) {
			double v = pattern_usd(h % WEEK) / 12 * (1 + noise * normal());

			spent += (int64_t)((v > 0 ? v : 0) * 1e9);
			anomaly_evaluate(&b, &st, s.hour_s, spent, s.hour_s + m * 60, &a);
			if (h >= 8 * WEEK && a.began)
				ret_alarms[a.level]++;
			excluded[h] = excluded[h] || a.level > 0;
		}
		hours[h] = spent;
	}
}

static void a_clean_year_is_silent(void **state)
{
	int alarms[3];

	(void)state;
	year(0, alarms);
	assert_int_equal(alarms[1] + alarms[2], 0);
	year(0.1, alarms);
	print_message("a year with 10 %% noise each 5 min: %d of level 1, %d of level 2\n", alarms[1], alarms[2]);
	assert_true(alarms[1] <= 12);
	assert_int_equal(alarms[2], 0);
	year(0.2, alarms);
	print_message("a year with 20 %% noise each 5 min: %d of level 1, %d of level 2\n", alarms[1], alarms[2]);
	assert_true(alarms[1] <= 12);
	assert_int_equal(alarms[2], 0);
}

/* --- slow shifts -------------------------------------------------------------------------------------------------- */

static void shift_is_found_within_days(void **state)
{
	int64_t days[112];
	struct anomaly_shift sh;
	size_t n;

	(void)state;
	for (size_t i = 0; i < 112; i++)
		days[i] = (i % 7 < 5 ? 100 : 20) * USD + (i % 2 ? USD : -USD);
	anomaly_shift(days, NULL, 100, &sh);
	assert_false(sh.over || sh.learning);
	assert_int_equal(sh.n_residuals, 56);
	for (size_t i = 100; i < 112; i++)
		days[i] = days[i] * 112 / 100; /* 12 % more: no hour is an anomaly */
	for (n = 100; n < 112 && !sh.over; n++)
		anomaly_shift(days, NULL, n + 1, &sh);
	assert_in_range(n, 102, 108);
	assert_true(sh.ewma_nanousd > sh.limit_nanousd);
	for (size_t i = 100; i < 112; i++)
		days[i] = USD; /* less is no alarm */
	anomaly_shift(days, NULL, 112, &sh);
	assert_false(sh.over);
}

/* 30 days of 10 USD, then 13, then 13: E = 0.6, then 1.08; s_day = 0.50, the limit 4/3 of it. */
static void shift_by_hand(void **state)
{
	bool excluded[40] = {false};
	struct anomaly_shift sh;
	int64_t days[40];

	(void)state;
	for (size_t i = 0; i < 40; i++)
		days[i] = (i < 30 ? 10 : 13) * USD;
	anomaly_shift(days, excluded, 31, &sh);
	assert_int_equal(sh.ewma_nanousd, 600 * USD / 1000);
	assert_int_equal(sh.scale_nanousd, USD / 2);
	assert_int_equal(sh.limit_nanousd, INT64_C(666666666));
	assert_false(sh.over);
	anomaly_shift(days, excluded, 32, &sh);
	assert_int_equal(sh.ewma_nanousd, 1080 * USD / 1000);
	assert_true(sh.over);
	excluded[30] = true; /* that day was flagged */
	anomaly_shift(days, excluded, 32, &sh);
	assert_int_equal(sh.ewma_nanousd, 600 * USD / 1000);
}

static void shift_learns_first(void **state)
{
	int64_t days[200];
	struct anomaly_shift sh;

	(void)state;
	for (size_t i = 0; i < 200; i++)
		days[i] = i % 2 ? INT64_MAX : INT64_MIN;
	anomaly_shift(days, NULL, 200, &sh); /* nothing wraps */
	anomaly_shift(NULL, NULL, 0, &sh);
	assert_true(sh.learning);
	anomaly_shift(days, NULL, 13, &sh);
	assert_true(sh.learning);
	assert_int_equal(sh.n_residuals, 6);
	anomaly_shift(days, NULL, 14, &sh);
	assert_false(sh.learning);
}

static void shift_is_silent_over_a_clean_year(void **state)
{
	static int64_t days[364 + 112];
	int alarms = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(days); i++)
		days[i] = (int64_t)((i % 7 < 5 ? 100e9 : 20e9) * (1 + 0.1 * normal()));
	for (size_t n = 113; n <= ARRAY_LEN(days); n++) {
		struct anomaly_shift sh, before;

		anomaly_shift(days, NULL, n - 1, &before);
		anomaly_shift(days, NULL, n, &sh);
		alarms += sh.over && !before.over;
	}
	print_message("a year of days with 10 %% noise: %d shifts\n", alarms);
	assert_true(alarms <= 12);
}

/* --- who did it --------------------------------------------------------------------------------------------------- */

static void the_three_largest_increases(void **state)
{
	static const struct anomaly_part parts[] = {
	    {1, 1, 1, 100 * USD, 100 * USD}, /* large, but as ever */
	    {2, 1, 1, 5 * USD, 0},           {3, 2, 1, 30 * USD, USD}, {3, 1, 2, 30 * USD, USD},
	    {3, 1, 1, 30 * USD, USD},        {9, 1, 1, 0, 50 * USD},   {4, 1, 1, 7 * USD, USD},
	};
	struct anomaly_part top[ANOMALY_TOP];

	(void)state;
	assert_int_equal(anomaly_top(parts, ARRAY_LEN(parts), top), 3);
	assert_memory_equal(&top[0], &parts[4], sizeof(top[0]));
	assert_memory_equal(&top[1], &parts[3], sizeof(top[0]));
	assert_memory_equal(&top[2], &parts[2], sizeof(top[0]));
	assert_int_equal(anomaly_top(parts, 2, top), 1);
	assert_int_equal(top[0].key, 2);
	assert_int_equal(anomaly_top(parts, 1, top), 0);
	assert_int_equal(anomaly_top(NULL, 0, top), 0);
}

/* --- C6.4 --------------------------------------------------------------------------------------------------------- */

static void c6_spikes_of_the_examples(void **state)
{
	static const double pattern[] = {1.0, 1.2, 0.8, 1.1, 0.9}, end[] = {1.0, 1.1, 0.9, 1.0, 2.0};
	struct anomaly_c6 a[ANOMALY_C6_NEWEST];
	int64_t costs[22];

	(void)state;
	for (size_t i = 0; i < 22; i++)
		costs[i] = USD;
	assert_int_equal(anomaly_c6_spikes(costs, 20, a), 0);
	assert_int_equal(anomaly_c6_spikes(costs, 19, a), 0);
	costs[19] = 10 * USD;
	assert_int_equal(anomaly_c6_spikes(costs, 20, a), 1);
	assert_int_equal(a[0].call, 19);
	assert_int_equal(a[0].cost_nanousd, 10 * USD);
	assert_true(fabs(a[0].expected_max / 1e9 - 5.474922) < 1e-6);
	assert_true(a[0].high);
	assert_int_equal(anomaly_c6_spikes(costs, 22, a), 1); /* still among the newest five */
	assert_int_equal(a[0].call, 19);
	assert_int_equal(anomaly_c6_spikes(costs + 1, 18, a), 0);

	for (size_t i = 0; i < 20; i++)
		costs[i] = (int64_t)((i < 15 ? pattern[i % 5] : end[i - 15]) * 1e9 + 0.5);
	assert_int_equal(anomaly_c6_spikes(costs, 20, a), 1);
	assert_true(fabs(a[0].expected_max / 1e9 - 1.567077) < 1e-6);
	assert_false(a[0].high);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(median_and_mad_of_eight_weeks),
	    cmocka_unit_test(scale_has_floors),
	    cmocka_unit_test(history_decides_the_basis),
	    cmocka_unit_test(flagged_hours_are_no_baseline),
	    cmocka_unit_test(hours_of_the_week_follow_the_clock_on_the_wall),
	    cmocka_unit_test(spend_is_scaled_to_the_whole_hour),
	    cmocka_unit_test(level_1_needs_two_evaluations),
	    cmocka_unit_test(level_2_is_at_once),
	    cmocka_unit_test(learning_is_silent),
	    cmocka_unit_test(extremes),
	    cmocka_unit_test(a_clean_year_is_silent),
	    cmocka_unit_test(shift_is_found_within_days),
	    cmocka_unit_test(shift_by_hand),
	    cmocka_unit_test(shift_learns_first),
	    cmocka_unit_test(shift_is_silent_over_a_clean_year),
	    cmocka_unit_test(the_three_largest_increases),
	    cmocka_unit_test(c6_spikes_of_the_examples),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
