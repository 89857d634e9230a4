/* Burn rate: windows, thresholds, floors, profile; the rows of the budget specification 6.3. */
#include "policy/burn.h"

#include "tests/unit/policy_build.h"

#define USD NANOUSD_PER_USD
#define MONTH_S (30 * DAY_S)
#define MONDAY INT64_C(1763942400) /* 2025-11-24T00:00:00Z */

/* --- ring --------------------------------------------------------------------------------------------------------- */

static void ring_sums_what_lies_inside(void **state)
{
	struct burn_ring r;

	(void)state;
	burn_ring_init(&r, 3600);
	assert_int_equal(r.width_s, 60);
	assert_int_equal(burn_ring_sum(&r, NOON, 3600), 0);
	burn_ring_add(&r, NOON - 3600, 7); /* the second before the window */
	burn_ring_add(&r, NOON - 1800, 10);
	burn_ring_add(&r, NOON, 100);
	assert_int_equal(burn_ring_sum(&r, NOON + 59, 3600), 110);
	assert_int_equal(burn_ring_sum(&r, NOON + 59, 60), 100);
	assert_int_equal(burn_ring_sum(&r, NOON + 59, 0), 0);
	assert_int_equal(burn_ring_sum(&r, NOON + 60 + 3599, 3600), 0); /* all is past */
	assert_int_equal(burn_ring_sum(&r, NOON + 1000000, 3600), 0);
}

static void ring_takes_a_share_of_the_oldest_bucket(void **state)
{
	struct burn_ring r;

	(void)state;
	burn_ring_init(&r, 3600);
	burn_ring_add(&r, NOON, 600);
	assert_int_equal(burn_ring_sum(&r, NOON + 59 + 300, 360), 600);
	assert_int_equal(burn_ring_sum(&r, NOON + 59 + 300, 330), 300); /* half of its minute lies inside */
	assert_int_equal(burn_ring_sum(&r, NOON + 59 + 300, 301), 10);
	assert_int_equal(burn_ring_sum(&r, NOON + 59 + 300, 300), 0);
}

static void ring_forgets_and_wraps_around(void **state)
{
	struct burn_ring r;

	(void)state;
	burn_ring_init(&r, 3600);
	for (int64_t t = 0; t < 3 * 3600; t += 60)
		burn_ring_add(&r, NOON + t, 1);
	assert_int_equal(burn_ring_sum(&r, NOON + 3 * 3600 - 1, 3600), 60);
	assert_int_equal(burn_ring_sum(&r, NOON + 3 * 3600 - 1, 300), 5);
	burn_ring_add(&r, NOON, 1000); /* too late: not in the ring any more */
	assert_int_equal(burn_ring_sum(&r, NOON + 3 * 3600 - 1, 3600), 60);
	burn_ring_add(&r, NOON + 3 * 3600 - 120, -1); /* a correction */
	assert_int_equal(burn_ring_sum(&r, NOON + 3 * 3600 - 1, 300), 4);
	burn_ring_add(&r, NOON + 100 * DAY_S, 5);
	assert_int_equal(burn_ring_sum(&r, NOON + 100 * DAY_S, 3600), 5);
}

static void ring_stands_extremes(void **state)
{
	struct burn_ring r;

	(void)state;
	burn_ring_init(&r, INT64_MAX);
	assert_int_equal(r.width_s, BURN_SPAN_MAX_S / BURN_BUCKETS);
	burn_ring_init(&r, INT64_MIN);
	assert_int_equal(r.width_s, 1);
	burn_ring_add(&r, INT64_MIN, INT64_MAX);
	burn_ring_add(&r, 0, INT64_MAX);
	burn_ring_add(&r, 0, INT64_MAX);
	burn_ring_add(&r, 1, INT64_MAX);
	assert_int_equal(burn_ring_sum(&r, 1, 60), INT64_MAX);
	assert_int_equal(burn_ring_sum(&r, INT64_MAX, INT64_MAX), 0);
	assert_int_equal(burn_ring_sum(&r, INT64_MIN, INT64_MAX), 0);
	burn_ring_add(&r, INT64_MAX, 1);
	burn_ring_add(&r, INT64_MIN, 1);
	assert_int_equal(burn_ring_sum(&r, INT64_MAX, 60), 1);
}

/* Against a list of all entries, with bucket-aligned windows, where the ring is exact. */
static void ring_equals_a_plain_list(void **state)
{
	struct burn_ring r;
	static int64_t at[4000], v[4000];
	uint32_t seed = 7;
	int64_t t = NOON;

	(void)state;
	burn_ring_init(&r, 600);
	for (size_t n = 0; n < 4000; n++) {
		int64_t end, want = 0;

		seed = seed * 1664525 + 1013904223;
		t += (seed >> 16) % 40;
		at[n] = t;
		v[n] = (seed >> 8) % 1000;
		burn_ring_add(&r, t, v[n]);
		end = t / 10 * 10 + 9;
		for (size_t i = 0; i <= n; i++)
			want += at[i] > end - 300 ? v[i] : 0;
		assert_int_equal(burn_ring_sum(&r, end, 300), want);
	}
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

static struct burn_plan plan_of(int64_t limit)
{
	return (struct burn_plan){.limit_nanousd = limit,
				  .win_start_s = NOON - 15 * DAY_S,
				  .win_end_s = NOON + 15 * DAY_S,
				  .min_alert_nanousd = BURN_MIN_ALERT_NANOUSD};
}

/* Spends `per_minute` in each of the whole minutes before NOON, to be looked at in their last second. */
#define LAST (NOON - 1)
static void spend_evenly(struct burn *b, int64_t minutes, int64_t per_minute)
{
	for (int64_t m = minutes; m > 0; m--)
		burn_add(b, NOON - m * 60, per_minute);
}

static void default_rows_are_those_of_the_table(void **state)
{
	static const struct {
		const char *name;
		int64_t long_s, short_s, threshold_milli;
		enum burn_action action;
	} want[BURN_ROWS] = {
	    {"fast", 3600, 300, 14400, BURN_PAGE},
	    {"medium", 6 * 3600, 1800, 6000, BURN_PAGE},
	    {"slow", 24 * 3600, 7200, 3000, BURN_TICKET},
	    {"plan", 72 * 3600, 6 * 3600, 1200, BURN_TICKET},
	};

	(void)state;
	for (size_t i = 0; i < BURN_ROWS; i++) {
		int64_t l, s;

		burn_row_windows(&burn_default_rows[i], MONTH_S, &l, &s);
		assert_string_equal(burn_default_rows[i].name, want[i].name);
		assert_int_equal(l, want[i].long_s);
		assert_int_equal(s, want[i].short_s);
		assert_int_equal(burn_default_rows[i].threshold_milli, want[i].threshold_milli);
		assert_int_equal(burn_default_rows[i].action, want[i].action);
	}
}

static void windows_scale_with_floors(void **state)
{
	static const struct {
		enum burn_row_id row;
		int64_t window_s, long_s, short_s;
	} cases[] = {
	    {BURN_FAST, 7 * DAY_S, 840, 70},
	    {BURN_FAST, DAY_S, 300, 60}, /* 120 s and 10 s, lifted to the floors */
	    {BURN_FAST, HOUR_S, 300, 60},
	    {BURN_MEDIUM, DAY_S, 720, 60},
	    {BURN_PLAN, DAY_S, 8640, 720},
	    {BURN_PLAN, HOUR_S, 360, 60},
	    {BURN_SLOW, 360 * DAY_S, 12 * DAY_S, DAY_S},
	    {BURN_PLAN, INT64_MAX, BURN_SPAN_MAX_S, BURN_SPAN_MAX_S / 12},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t l, s;

		burn_row_windows(&burn_default_rows[cases[i].row], cases[i].window_s, &l, &s);
		assert_int_equal(l, cases[i].long_s);
		assert_int_equal(s, cases[i].short_s);
	}
}

/* 2 % of a month in an hour is 14.4 times the plan: just enough; a nano-dollar a minute less is not. */
static void each_row_speaks_at_its_threshold(void **state)
{
	static const struct {
		enum burn_row_id row;
		int64_t minutes, of_limit; /* limit / of_limit is spent in the long window */
	} cases[] = {{BURN_FAST, 60, 50}, {BURN_MEDIUM, 360, 20}, {BURN_SLOW, 1440, 10}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const int64_t limit = 144000 * USD;
		struct burn_plan plan = plan_of(limit);
		struct burn_report rep;
		struct burn b;

		burn_init(&b, burn_default_rows, MONTH_S);
		spend_evenly(&b, cases[i].minutes, limit / cases[i].of_limit / cases[i].minutes);
		burn_evaluate(&b, &plan, LAST, &rep);
		assert_int_equal(rep.row[cases[i].row].long_burn_milli,
				 burn_default_rows[cases[i].row].threshold_milli);
		assert_true(rep.row[cases[i].row].over);
		assert_true(rep.began & (1U << cases[i].row));

		burn_init(&b, burn_default_rows, MONTH_S);
		spend_evenly(&b, cases[i].minutes, limit / cases[i].of_limit / cases[i].minutes - 1);
		burn_evaluate(&b, &plan, LAST, &rep);
		assert_false(rep.row[cases[i].row].over);
	}
}

static void both_windows_must_be_over(void **state)
{
	struct burn_plan plan = plan_of(1000 * USD);
	struct burn_report rep;
	struct burn b;

	(void)state;
	burn_init(&b, burn_default_rows, MONTH_S);
	burn_add(&b, NOON - 1800, 50 * USD); /* over long ago: the hour is over, the five minutes are not */
	burn_evaluate(&b, &plan, NOON, &rep);
	assert_int_equal(rep.row[BURN_FAST].long_burn_milli, 36000);
	assert_int_equal(rep.row[BURN_FAST].short_burn_milli, 0);
	assert_false(rep.row[BURN_FAST].over);

	burn_init(&b, burn_default_rows, MONTH_S);
	burn_add(&b, NOON - 10, 10 * USD); /* only just begun: 86 times in five minutes, 7 in the hour */
	burn_evaluate(&b, &plan, NOON, &rep);
	assert_true(rep.row[BURN_FAST].short_burn_milli > 14400);
	assert_false(rep.row[BURN_FAST].over);
	burn_add(&b, NOON - 10, 10 * USD);
	burn_evaluate(&b, &plan, NOON, &rep);
	assert_true(rep.row[BURN_FAST].over);
}

static void plan_row_needs_the_forecast(void **state)
{
	struct burn_plan plan = plan_of(1440 * USD);
	struct burn_report rep;
	struct burn b;

	(void)state;
	burn_init(&b, burn_default_rows, MONTH_S);
	spend_evenly(&b, 4320, USD / 20); /* 3 USD an hour where 2 are the plan */
	burn_evaluate(&b, &plan, LAST, &rep);
	assert_int_equal(rep.row[BURN_PLAN].long_burn_milli, 1500);
	assert_false(rep.row[BURN_PLAN].over);
	plan.has_forecast = true;
	plan.forecast_p10_nanousd = plan.limit_nanousd;
	burn_evaluate(&b, &plan, LAST, &rep);
	assert_false(rep.row[BURN_PLAN].over);
	plan.forecast_p10_nanousd++;
	burn_evaluate(&b, &plan, LAST, &rep);
	assert_true(rep.row[BURN_PLAN].over);
	assert_int_equal(rep.firing, 1U << BURN_PLAN);
}

static void small_money_is_no_alert(void **state)
{
	struct burn_plan plan = plan_of(10 * USD);
	struct burn_report rep;
	struct burn b;

	(void)state;
	burn_init(&b, burn_default_rows, MONTH_S);
	burn_add(&b, NOON - 1, USD - 1); /* 72 times the plan, but under a dollar */
	burn_evaluate(&b, &plan, NOON, &rep);
	assert_int_equal(rep.firing, 0);
	burn_add(&b, NOON - 1, 1);
	burn_evaluate(&b, &plan, NOON, &rep);
	assert_true(rep.row[BURN_FAST].over);
	plan.min_alert_nanousd = 0;
	burn_init(&b, burn_default_rows, MONTH_S);
	burn_evaluate(&b, &plan, NOON, &rep); /* no spend is never over, not even 0 >= 0 */
	assert_int_equal(rep.firing, 0);
}

static void begins_and_ends_are_told_once(void **state)
{
	struct burn_row rows[BURN_ROWS];
	struct burn_plan plan = plan_of(1000 * USD);
	struct burn_report rep;
	struct burn b;

	(void)state;
	memcpy(rows, burn_default_rows, sizeof(rows));
	rows[BURN_FAST].action = BURN_TRIP;
	burn_init(&b, rows, MONTH_S);
	burn_add(&b, NOON - 10, 20 * USD);
	burn_evaluate(&b, &plan, NOON, &rep);
	assert_int_equal(rep.began & (1U << BURN_FAST), 1U << BURN_FAST);
	assert_true(rep.trip);
	burn_evaluate(&b, &plan, NOON + 1, &rep);
	assert_int_equal(rep.began, 0);
	assert_true(rep.trip);
	burn_evaluate(&b, &plan, NOON + 3600, &rep);
	assert_int_equal(rep.ended & (1U << BURN_FAST), 1U << BURN_FAST);
	assert_false(rep.trip);
	burn_evaluate(&b, &plan, NOON + 3601, &rep);
	assert_int_equal(rep.ended & (1U << BURN_FAST), 0);
}

static void no_limit_no_burn(void **state)
{
	struct burn_plan plan = plan_of(0);
	struct burn_report rep;
	struct burn b;

	(void)state;
	burn_init(&b, burn_default_rows, MONTH_S);
	burn_add(&b, NOON - 10, INT64_MAX);
	burn_evaluate(&b, &plan, NOON, &rep);
	assert_int_equal(rep.firing, 0);
	plan = plan_of(USD);
	plan.win_end_s = plan.win_start_s;
	burn_evaluate(&b, &plan, NOON, &rep);
	assert_int_equal(rep.firing, 0);
	plan = plan_of(1); /* expects less than a nano-dollar an hour */
	burn_evaluate(&b, &plan, NOON, &rep);
	assert_int_equal(rep.row[BURN_FAST].long_burn_milli, INT64_MAX);
	assert_true(rep.row[BURN_FAST].over);
	plan = plan_of(INT64_MAX);
	burn_evaluate(&b, &plan, NOON, &rep);
	assert_true(rep.row[BURN_FAST].over);
}

/* --- profile ------------------------------------------------------------------------------------------------------ */

/* Working hours only: 10 USD in each hour from 8 to 18, Monday to Friday. */
static void fill_office_hours(int64_t *hours, size_t n, int64_t first_s)
{
	for (size_t i = 0; i < n; i++) {
		int64_t t = first_s + (int64_t)i * HOUR_S;
		int64_t day = (t / DAY_S + 3) % 7, hour = t / HOUR_S % 24;

		hours[i] = day < 5 && hour >= 8 && hour < 18 ? 10 * USD : 0;
	}
}

static void profile_needs_28_days(void **state)
{
	static int64_t hours[672];
	struct burn_profile p;

	(void)state;
	assert_int_equal(burn_profile_make(hours, 672, MONDAY, &p), BUR_AGAIN); /* nothing was ever spent */
	fill_office_hours(hours, 672, MONDAY);
	assert_int_equal(burn_profile_make(hours, 671, MONDAY, &p), BUR_AGAIN);
	assert_int_equal(burn_profile_make(hours, 672, MONDAY, &p), BUR_OK);
	memset(hours, 0, 168 * sizeof(hours[0]));
	assert_int_equal(burn_profile_make(hours, 672, MONDAY, &p), BUR_AGAIN); /* three weeks only */
}

static void profile_follows_the_week(void **state)
{
	static int64_t hours[BURN_WEEK_HOURS * 8 + 5];
	int64_t first = MONDAY - 8 * 7 * DAY_S - 5 * HOUR_S;
	struct burn_profile p;
	size_t n = ARRAY_LEN(hours);

	(void)state;
	fill_office_hours(hours, n, first);
	hours[n - BURN_WEEK_HOURS + 10] = 100000 * USD; /* one wild hour does not move medians of eight */
	assert_int_equal(burn_profile_make(hours, n, first, &p), BUR_OK);
	assert_in_range(p.rate[9], 3350, 3361); /* 168 / 50 of an even share */
	assert_int_equal(p.rate[3], BURN_FLAT_RATE / 10);
	assert_int_equal(p.rate[5 * 24 + 12], BURN_FLAT_RATE / 10);
	assert_int_equal(burn_weight(&p, MONDAY + 9 * HOUR_S, MONDAY + 9 * HOUR_S + 30), 30 * (int64_t)p.rate[9]);
	assert_int_equal(burn_weight(&p, MONDAY, MONDAY + 7 * DAY_S), p.before[BURN_WEEK_HOURS]);
	assert_int_equal(burn_weight(&p, MONDAY - DAY_S, MONDAY + 20 * DAY_S), 3 * p.before[BURN_WEEK_HOURS]);
}

/* The same money in the same hour: usual at Monday 10:00, an alarm on Sunday. */
static void profile_decides_what_is_fast(void **state)
{
	static int64_t hours[672];
	int64_t first = MONDAY - 28 * DAY_S;
	struct burn_plan plan = plan_of(2000 * USD);
	struct burn_profile p;
	struct burn_report rep;
	struct burn b;

	(void)state;
	fill_office_hours(hours, ARRAY_LEN(hours), first);
	assert_int_equal(burn_profile_make(hours, ARRAY_LEN(hours), first, &p), BUR_OK);
	plan.win_start_s = MONDAY - 14 * DAY_S;
	plan.win_end_s = MONDAY + 14 * DAY_S;
	for (int monday = 0; monday < 2; monday++) {
		int64_t now = monday ? MONDAY + 10 * HOUR_S : MONDAY - 14 * HOUR_S;

		plan.profile = &p;
		burn_init(&b, burn_default_rows, 28 * DAY_S);
		for (int64_t t = now - HOUR_S + 1; t <= now; t += 60)
			burn_add(&b, t, USD);
		burn_evaluate(&b, &plan, now, &rep);
		assert_int_equal(rep.row[BURN_FAST].over, !monday);
		plan.profile = NULL;
		burn_evaluate(&b, &plan, now, &rep);
		assert_true(rep.row[BURN_FAST].over); /* flat: both */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ring_sums_what_lies_inside),
	    cmocka_unit_test(ring_takes_a_share_of_the_oldest_bucket),
	    cmocka_unit_test(ring_forgets_and_wraps_around),
	    cmocka_unit_test(ring_stands_extremes),
	    cmocka_unit_test(ring_equals_a_plain_list),
	    cmocka_unit_test(default_rows_are_those_of_the_table),
	    cmocka_unit_test(windows_scale_with_floors),
	    cmocka_unit_test(each_row_speaks_at_its_threshold),
	    cmocka_unit_test(both_windows_must_be_over),
	    cmocka_unit_test(plan_row_needs_the_forecast),
	    cmocka_unit_test(small_money_is_no_alert),
	    cmocka_unit_test(begins_and_ends_are_told_once),
	    cmocka_unit_test(no_limit_no_burn),
	    cmocka_unit_test(profile_needs_28_days),
	    cmocka_unit_test(profile_follows_the_week),
	    cmocka_unit_test(profile_decides_what_is_fast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
