/* Pacing in money (budget specification 6.1), the delay curve of the ladder, throttle rules (C7.5, C7.6). */
#include "policy/pace.h"

#include "tests/unit/policy_build.h"

#define COIN INT64_C(600000000) /* 60 cents: a sixtieth is a whole number */
#define SEC INT64_C(1000000000)
#define MIN (60 * SEC)
#define HALF UINT64_C(100000) /* with a spread of 10 %: no jitter */

struct p {
	struct pace pace;
	struct pace_rate rate;
	struct pace_limits lim;
	int64_t now, wait;
	int retry_s;
};

/* A coin a minute: the burst of ten minutes is ten coins. */
static struct p p_new(void)
{
	return (struct p){.rate = pace_rate_per_minute(COIN), .lim = PACE_LIMITS_DEFAULT, .now = 1000 * MIN};
}

static int ask(struct p *p, int64_t cost)
{
	return pace_admit(&p->pace, &p->rate, &p->lim, cost, p->now, &p->wait, &p->retry_s);
}

static void admitted_after(struct p *p, int64_t cost, int64_t wait)
{
	assert_int_equal(ask(p, cost), BUR_OK);
	assert_int_equal(p->wait, wait);
}

static void refused(struct p *p, int64_t cost, int retry_s)
{
	struct pace before = p->pace;

	assert_int_equal(ask(p, cost), BUR_DENIED);
	assert_int_equal(p->retry_s, retry_s);
	assert_int_equal(p->pace.tat_ns, before.tat_ns);
}

/* --- pacing ------------------------------------------------------------------------------------------------------- */

static void defaults_are_those_of_the_table(void **state)
{
	(void)state;
	assert_int_equal(PACE_FACTOR_MILLI, 3000);
	assert_int_equal(PACE_LIMITS_DEFAULT.burst_ns, 10 * MIN);
	assert_int_equal(PACE_LIMITS_DEFAULT.max_wait_ns, 10 * SEC);
	assert_int_equal(PACE_CURVE_DEFAULT.from_ppm, 800000);
	assert_int_equal(PACE_CURVE_DEFAULT.max_ns, 5 * SEC);
}

static void burst_passes_at_once_then_waits_then_429(void **state)
{
	struct p p = p_new();

	(void)state;
	for (int i = 0; i < 10; i++)
		admitted_after(&p, COIN, 0);
	admitted_after(&p, COIN / 60, SEC);
	admitted_after(&p, 9 * COIN / 60, 10 * SEC); /* 10 s is allowed */
	refused(&p, 1, 1);                           /* a moment more is not */
	refused(&p, 5 * COIN / 60, 5);
	refused(&p, 10 * COIN, 60);
	p.now += 10 * SEC;
	admitted_after(&p, COIN / 60, SEC);
	p.now += 10 * MIN + SEC;
	admitted_after(&p, 10 * COIN, 0);
}

static void tat_follows_the_formula(void **state)
{
	struct p p = p_new();

	(void)state;
	admitted_after(&p, COIN, 0);
	assert_int_equal(p.pace.tat_ns, p.now + MIN);
	p.now += 30 * SEC;
	admitted_after(&p, COIN, 0);
	assert_int_equal(p.pace.tat_ns, p.now + 30 * SEC + MIN);
	p.now += 10 * MIN; /* idle time is not saved up beyond the burst */
	admitted_after(&p, COIN, 0);
	assert_int_equal(p.pace.tat_ns, p.now + MIN);
	admitted_after(&p, 1, 0); /* 100 ns, nothing rounds to free */
	assert_int_equal(p.pace.tat_ns, p.now + MIN + 100);
}

/* The rate is r = limit / window * factor. */
static void rate_is_a_share_of_the_limit(void **state)
{
	struct p p = p_new();

	(void)state;
	p.rate = pace_rate_share(1000 * COIN, 30 * DAY_S, PACE_FACTOR_MILLI);
	admitted_after(&p, COIN / 10, 0);
	assert_int_equal(p.pace.tat_ns - p.now, 86400 * SEC / 1000); /* a coin takes 864 s */
	p = p_new();
	p.rate = pace_rate_share(INT64_MAX, 1, INT64_MAX);
	admitted_after(&p, INT64_MAX, 0);
	assert_in_range(p.pace.tat_ns - p.now, 1, 10);
	p = p_new();
	p.rate = pace_rate_share(1, INT64_MAX, 1);
	refused(&p, 1, 60);
	p.rate = pace_rate_share(0, 60, 1000);
	refused(&p, 1, 60);
	p.rate = pace_rate_share(COIN, 0, 1000);
	refused(&p, 1, 60);
}

static void what_is_left_is_spread_over_the_time_left(void **state)
{
	struct p p = p_new();

	(void)state;
	p.rate = pace_rate_left(6 * COIN, 3600, 1000);
	admitted_after(&p, COIN, 0);
	assert_int_equal(p.pace.tat_ns - p.now, 10 * MIN);
	p.rate = pace_rate_left(0, 3600, 1000);
	refused(&p, 1, 60);
	p.rate = pace_rate_left(-5, 3600, 1000);
	refused(&p, 1, 60);
	p = p_new();
	p.rate = pace_rate_left(COIN, -5, 1000); /* the window is over: all of it at once */
	admitted_after(&p, COIN, 0);
	assert_int_equal(p.pace.tat_ns - p.now, SEC);
}

/* Spreads what is left again before each call, as the engine does: it lasts until the end, and is used. */
static void pacing_lasts_to_the_end_of_the_window(void **state)
{
	struct p p = p_new();
	int64_t spent = 0, end = p.now + HOUR_S * SEC, half = 0;

	(void)state;
	p.lim.burst_ns = MIN;
	while (p.now < end) {
		p.rate = pace_rate_left(100 * COIN - spent, (end - p.now) / SEC, 1000);
		if (ask(&p, COIN / 20) == BUR_OK)
			spent += COIN / 20;
		if (p.now < end - HOUR_S * SEC / 2)
			half = spent;
		p.now += SEC / 2; /* would be 360 coins in the hour */
	}
	assert_true(spent <= 100 * COIN);
	assert_true(spent > 95 * COIN);
	assert_in_range(half, 49 * COIN, 54 * COIN);
}

static void a_call_over_the_burst_goes_when_nothing_is_owed(void **state)
{
	struct p p = p_new();

	(void)state;
	admitted_after(&p, COIN, 0);
	refused(&p, 25 * COIN, 50); /* a minute is owed; it may wait 10 s of that here */
	p.now += 55 * SEC;
	admitted_after(&p, 25 * COIN, 5 * SEC);
	refused(&p, 1, 60);
	p.now += 15 * MIN;
	admitted_after(&p, COIN / 60, 6 * SEC);
}

static void unused_money_is_given_back(void **state)
{
	struct p p = p_new();

	(void)state;
	admitted_after(&p, 10 * COIN, 0);
	pace_give_back(&p.pace, &p.rate, &p.lim, 9 * COIN, p.now);
	assert_int_equal(p.pace.tat_ns, p.now + MIN);
	admitted_after(&p, 9 * COIN, 0);
	pace_give_back(&p.pace, &p.rate, &p.lim, 0, p.now);
	pace_give_back(&p.pace, &p.rate, &p.lim, -COIN, p.now); /* an overrun is no gift */
	assert_int_equal(p.pace.tat_ns, p.now + 10 * MIN);
	pace_give_back(&p.pace, &p.rate, &p.lim, 1000 * COIN, p.now);
	assert_int_equal(p.pace.tat_ns, p.now - 10 * MIN); /* never below now - burst */
	for (int i = 0; i < 10; i++)
		admitted_after(&p, COIN, 0);
	admitted_after(&p, COIN / 60, SEC); /* so no more than one burst */
}

static void nothing_costs_nothing(void **state)
{
	struct p p = p_new();

	(void)state;
	admitted_after(&p, 10 * COIN, 0);
	admitted_after(&p, 10 * COIN / 60, 10 * SEC);
	admitted_after(&p, 0, 0);
	p.rate = pace_rate_per_minute(0);
	admitted_after(&p, 0, 0);
	admitted_after(&p, -1, 0);
}

static void extremes(void **state)
{
	struct p p = p_new();

	(void)state;
	refused(&p, INT64_MAX, 60);
	p.lim = (struct pace_limits){INT64_MAX, INT64_MAX};
	admitted_after(&p, COIN, 0);
	assert_int_equal(ask(&p, INT64_MAX / 10000), BUR_OK);
	p.now = INT64_MIN;
	assert_int_equal(ask(&p, COIN), BUR_OK);
	pace_give_back(&p.pace, &p.rate, &p.lim, INT64_MAX, INT64_MIN);
	pace_give_back(&p.pace, &p.rate, &p.lim, INT64_MAX, INT64_MAX);
	p.now = INT64_MAX;
	for (int i = 0; i < 100; i++)
		(void)!ask(&p, INT64_MAX / 100000000);
	p.lim = (struct pace_limits){INT64_MIN, INT64_MIN};
	(void)!ask(&p, COIN);
	assert_in_range(p.retry_s, 0, 60);
}

/* In any stretch of time no more passes than burst + rate * time (+ the bounded wait). */
static void no_more_than_rate_and_burst(void **state)
{
	struct p p = p_new();
	int64_t start = p.now, taken = 0;
	uint64_t x = 1;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		int64_t cost;

		x = x * 6364136223846793005 + 1442695040888963407;
		cost = (int64_t)(x >> 40) % (COIN / 50);
		p.now += (int64_t)(x >> 33) % (SEC / 10);
		if (ask(&p, cost) == BUR_OK)
			taken += cost;
		assert_true(taken <= 10 * COIN + ((p.now - start) + 10 * SEC) / (MIN / COIN));
		assert_in_range(p.wait, 0, 10 * SEC);
	}
}

/* --- the curve ---------------------------------------------------------------------------------------------------- */

static void curve_is_a_square(void **state)
{
	static const struct {
		int64_t u_ppm, ms;
	} cases[] = {{0, 0},          {799999, 0},     {800000, 0},    {820000, 50},
		     {850000, 312},   {900000, 1250},  {950000, 2812}, {980000, 4050},
		     {1000000, 5000}, {2000000, 5000}, {-5, 0},        {INT64_MAX, 5000}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(pace_curve_ns(&PACE_CURVE_DEFAULT, cases[i].u_ppm, HALF) / 1000000, cases[i].ms);
}

static void curve_jitter_stays_in_bounds(void **state)
{
	int64_t min = INT64_MAX, max = 0;

	(void)state;
	for (uint64_t h = 0; h < 100000; h++) {
		int64_t d = pace_curve_ns(&PACE_CURVE_DEFAULT, 900000, h * 0x9e3779b97f4a7c15);

		min = d < min ? d : min;
		max = d > max ? d : max;
		assert_int_equal(d, pace_curve_ns(&PACE_CURVE_DEFAULT, 900000, h * 0x9e3779b97f4a7c15));
		assert_true(pace_curve_ns(&PACE_CURVE_DEFAULT, 1000000, h) <= 5 * SEC); /* d_max is a promise */
	}
	assert_in_range(min, 1125 * SEC / 1000, 1126 * SEC / 1000);
	assert_in_range(max, 1374 * SEC / 1000, 1375 * SEC / 1000);
}

static void curve_from_everywhere(void **state)
{
	struct pace_curve c = {.from_ppm = 1000000, .max_ns = SEC};

	(void)state;
	assert_int_equal(pace_curve_ns(&c, 999999, HALF), 0);
	assert_int_equal(pace_curve_ns(&c, 1000000, HALF), SEC);
	c.from_ppm = 0;
	assert_int_equal(pace_curve_ns(&c, 500000, HALF), SEC / 4);
	c = (struct pace_curve){-1, INT64_MAX};
	assert_true(pace_curve_ns(&c, 1000000, HALF) > 0);
	c = (struct pace_curve){INT64_MAX, -1};
	assert_int_equal(pace_curve_ns(&c, INT64_MAX, HALF), 0);
}

/* --- throttle rules ----------------------------------------------------------------------------------------------- */

static void c7_delay_is_in_its_range(void **state)
{
	static const struct {
		int64_t factor_ppm, min_ms, max_ms;
	} cases[] = {{500000, 400, 600}, {300000, 560, 840}, {700000, 240, 360}, {1000000, 0, 0}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t min = INT64_MAX, max = 0;

		for (uint64_t h = 0; h < 100000; h++) {
			int64_t d = pace_c7_delay_ns(cases[i].factor_ppm, PACE_C7_UNIT_NS, PACE_C7_MAX_NS,
						     h * 0x9e3779b97f4a7c15);

			min = d < min ? d : min;
			max = d > max ? d : max;
		}
		assert_in_range(min, cases[i].min_ms * 1000000, cases[i].min_ms * 1000000 + 1000000);
		assert_in_range(max, cases[i].max_ms * 999000, cases[i].max_ms * 1000000);
	}
	assert_int_equal(pace_c7_delay_ns(1, 60 * SEC, PACE_C7_MAX_NS, 9), 5 * SEC);
	assert_int_equal(pace_c7_delay_ns(-1, INT64_MAX, -1, 9), 0);
}

static void c7_concurrency_is_at_least_one(void **state)
{
	(void)state;
	assert_int_equal(pace_c7_concurrency(100, 300000), 30);
	assert_int_equal(pace_c7_concurrency(3, 500000), 1);
	assert_int_equal(pace_c7_concurrency(1, 1), 1);
	assert_int_equal(pace_c7_concurrency(0, 1000000), 1);
	assert_int_equal(pace_c7_concurrency(UINT32_MAX, INT64_MAX), UINT32_MAX);
}

static void c7_recovers_in_steps(void **state)
{
	struct pace_c7 t = PACE_C7_FREE;
	int64_t now = NOON;

	(void)state;
	assert_int_equal(pace_c7_update(&t, false, 500000, true, 600, now), 1000000);
	assert_int_equal(pace_c7_update(&t, true, 500000, false, 600, now), 500000);
	assert_int_equal(pace_c7_update(&t, true, 300000, false, 600, now), 300000);
	assert_int_equal(pace_c7_update(&t, true, 700000, false, 600, now), 300000); /* no way up but recovery */
	assert_int_equal(pace_c7_update(&t, false, 0, true, 600, now += 60), 300000);
	assert_int_equal(pace_c7_update(&t, false, 0, true, 600, now += 599), 300000);
	assert_int_equal(pace_c7_update(&t, false, 0, false, 600, now), 300000); /* between: waits anew */
	assert_int_equal(pace_c7_update(&t, false, 0, true, 600, now += 60), 300000);
	assert_int_equal(pace_c7_update(&t, false, 0, true, 600, now += 600), 400000);
	assert_int_equal(pace_c7_update(&t, false, 0, true, 600, now += 59), 400000);
	assert_int_equal(pace_c7_update(&t, false, 0, true, 600, now += 1), 500000);
	assert_int_equal(pace_c7_update(&t, false, 0, true, 600, now += 150), 700000); /* two cycles were missed */
	assert_int_equal(pace_c7_update(&t, true, 500000, false, 600, now), 500000);
	assert_int_equal(pace_c7_update(&t, false, 0, true, 600, now), 500000);
	assert_int_equal(pace_c7_update(&t, false, 0, true, 600, now += 600 + 4 * 60), 1000000);
	assert_int_equal(t.below_since_s, -1);
	assert_int_equal(pace_c7_update(&t, true, -9, false, 600, now), 1);
	assert_int_equal(pace_c7_update(&t, false, 0, true, INT64_MAX, INT64_MAX), 1);
	assert_int_equal(pace_c7_update(&t, false, 0, true, 0, INT64_MAX), 100001);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(defaults_are_those_of_the_table),
	    cmocka_unit_test(burst_passes_at_once_then_waits_then_429),
	    cmocka_unit_test(tat_follows_the_formula),
	    cmocka_unit_test(rate_is_a_share_of_the_limit),
	    cmocka_unit_test(what_is_left_is_spread_over_the_time_left),
	    cmocka_unit_test(pacing_lasts_to_the_end_of_the_window),
	    cmocka_unit_test(a_call_over_the_burst_goes_when_nothing_is_owed),
	    cmocka_unit_test(unused_money_is_given_back),
	    cmocka_unit_test(nothing_costs_nothing),
	    cmocka_unit_test(extremes),
	    cmocka_unit_test(no_more_than_rate_and_burst),
	    cmocka_unit_test(curve_is_a_square),
	    cmocka_unit_test(curve_jitter_stays_in_bounds),
	    cmocka_unit_test(curve_from_everywhere),
	    cmocka_unit_test(c7_delay_is_in_its_range),
	    cmocka_unit_test(c7_concurrency_is_at_least_one),
	    cmocka_unit_test(c7_recovers_in_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
