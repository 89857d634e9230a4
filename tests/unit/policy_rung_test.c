/* What a decision's rungs come to: rates, delays, steps that are left out, holds that may grow. */
#include "policy/rung.h"
#include "tests/unit/policy_world.h"

/* An hour of the day is left, and 60 of 100 are. */
static struct reached paced(const struct budget *b, const struct budget_step *s)
{
	return (struct reached){.budget = b,
				.step = s,
				.limit = 100,
				.posted = 30,
				.held = 10,
				.now_s = NOON + 11 * HOUR_S,
				.win_start = NOON - DAY_S / 2,
				.win_end = NOON + DAY_S / 2};
}

static void assert_rate(const struct reached *r, struct pace_rate want)
{
	struct pace_rate got = rung_rate(r);

	assert_int_equal(got.nanousd, want.nanousd);
	assert_int_equal(got.per_ns, want.per_ns);
}

static void what_is_left_lasts_for_the_time_that_is_left(void **state)
{
	struct budget b = budget_of("b", 100);
	struct budget_step s = {.action = STEP_PACE, .pace = {.factor_milli = 2000}};
	struct reached r = paced(&b, &s);

	(void)state;
	assert_rate(&r, pace_rate_left(60, HOUR_S, 2000));
	r.posted = 95; /* with what is held, over the limit: a soft budget */
	assert_rate(&r, pace_rate_share(100, DAY_S, 2000));
	b.rolling_s = 6 * HOUR_S;
	assert_rate(&r, pace_rate_share(100, 6 * HOUR_S, 2000));
	b.rolling_s = 0;
	b.window.kind = WINDOW_TOTAL;
	assert_rate(&r, (struct pace_rate){0, 0});
	s.pace.per_minute_nanousd = 7; /* as written, whatever the window */
	assert_rate(&r, pace_rate_per_minute(7));
}

static void the_delay_is_that_of_the_steps_curve(void **state)
{
	struct budget b = budget_of("b", 100);
	struct budget_step s = {.action = STEP_THROTTLE, .at_ppm = 500000, .max_delay_ns = 4000};
	struct reached r = {.budget = &b, .step = &s, .u_ppm = 750000};
	const struct pace_curve curve = {.from_ppm = 500000, .max_ns = 4000};

	(void)state;
	for (uint64_t jitter = 0; jitter < 1000; jitter += 111)
		assert_int_equal(rung_delay_ns(&r, jitter), pace_curve_ns(&curve, 750000, jitter));
}

/* Two degrade steps that are both reached: left out one by one, or all at once. */
static void a_rung_that_is_left_is_not_asked_again(void **state)
{
	struct budget b = budget_of("b", 100);
	struct facts f = facts_model("ann", "gpt-big-1");
	struct amounts worst = usd(95);
	struct match all;
	struct world w;

	(void)state;
	budget_step(&b, 50, STEP_DEGRADE);
	budget_step(&b, 90, STEP_DEGRADE);
	w = world_of(&b, 1);
	assert_int_equal(engine_match(w.e, &f, &w.m), BUR_OK);
	all = w.m;
	assert_int_equal(engine_preview(w.e, &w.m, &worst, NOON, &w.d), BUR_DENIED);
	assert_int_equal(w.d.degrade_step->at_ppm, 900000);
	rung_leave(w.e, &w.m, &w.d, false);
	assert_int_equal(engine_preview(w.e, &w.m, &worst, NOON, &w.d), BUR_DENIED);
	assert_int_equal(w.d.degrade_step->at_ppm, 500000);
	rung_leave(w.e, &w.m, &w.d, false);
	assert_int_equal(engine_preview(w.e, &w.m, &worst, NOON, &w.d), BUR_OK);
	assert_int_equal(engine_preview(w.e, &all, &worst, NOON, &w.d), BUR_DENIED);
	rung_leave(w.e, &all, &w.d, true);
	assert_int_equal(engine_preview(w.e, &all, &worst, NOON, &w.d), BUR_OK);
	world_done(&w);
}

static bool may_grow(struct budget *defs, size_t n, bool has_max_out)
{
	struct world w = world_of(defs, n);
	struct match m = match_of(&w, "ann", "search");
	bool r = rung_may_grow(w.e, &m, has_max_out);

	world_done(&w);
	return r;
}

static void only_hard_money_and_tokens_grow(void **state)
{
	struct budget defs[2] = {budget_of("a", 100), soft_of("b", 100)};

	(void)state;
	assert_true(may_grow(defs, 2, false));
	assert_false(may_grow(defs, 2, true));
	defs[0].hold = HOLD_GROWING;
	assert_true(may_grow(defs, 2, true));
	defs[0].hold = HOLD_WORST;
	assert_false(may_grow(defs, 2, false));
	defs[0].hold = HOLD_AUTO;
	defs[0].unit = UNIT_TOKENS;
	assert_true(may_grow(defs, 2, false));
	defs[0].unit = UNIT_REQUESTS;
	assert_false(may_grow(defs, 2, false));
	assert_false(may_grow(&defs[1], 1, false));
}

static void plenty_is_room_for_two(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	struct match m = match_of(&w, "ann", "search");

	(void)state;
	assert_true(rung_is_plenty(w.e, &m, 50, 1, NOON, &w.d));
	assert_false(rung_is_plenty(w.e, &m, 51, 1, NOON, &w.d));
	assert_false(rung_is_plenty(w.e, &m, INT64_MAX, 1, NOON, &w.d));
	assert_false(rung_is_plenty(w.e, &m, 1, INT64_MAX, NOON, &w.d));
	assert_meter(&w, 0, NOON, 0, 0);
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_left_lasts_for_the_time_that_is_left),
	    cmocka_unit_test(the_delay_is_that_of_the_steps_curve),
	    cmocka_unit_test(a_rung_that_is_left_is_not_asked_again),
	    cmocka_unit_test(only_hard_money_and_tokens_grow),
	    cmocka_unit_test(plenty_is_room_for_two),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
