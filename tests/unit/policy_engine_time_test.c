/* Calendar windows and the engine (R7). */
#include "policy/engine_internal.h"

#include "tests/unit/policy_world.h"

static void r7_4_a_hold_belongs_to_its_window(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	int64_t tomorrow = NOON + DAY_S;
	struct meter_view v[4];
	struct hold h, young;

	(void)state;
	spend(&w, 20, NOON);
	h = sent(&w, 80, NOON);
	young = reserved(&w, 100, tomorrow); /* the new window has its whole limit */
	assert_int_equal(engine_snapshot(w.e, tomorrow, v, 4), 2);
	assert_true(v[1].win_start == v[0].win_end || v[0].win_start == v[1].win_end);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(v[i].posted, v[i].closing ? 20 : 0);
		assert_int_equal(v[i].held, v[i].closing ? 80 : 100);
	}
	settled(&w, &h, 70);
	assert_int_equal(engine_snapshot(w.e, tomorrow, v, 4), 1);
	assert_int_equal(v[0].posted, 0);
	assert_int_equal(v[0].held, 100);
	assert_int_equal(engine_void(w.e, &young), BUR_OK);
	world_done(&w);
}

static void r7_4_a_hold_grows_in_its_own_window(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	struct amounts ten = usd(10), eleven = usd(11);
	struct hold h = sent(&w, 90, NOON);

	(void)state;
	(void)reserved(&w, 5, NOON + DAY_S);
	assert_int_equal(engine_extend(w.e, &h, &eleven, NOON + DAY_S, &w.d), BUR_DENIED);
	assert_int_equal(engine_extend(w.e, &h, &ten, NOON + DAY_S, &w.d), BUR_OK);
	assert_int_equal(engine_shrink(w.e, &h, &ten), BUR_OK);
	settled(&w, &h, 500);
	assert_meter(&w, 0, NOON + DAY_S, 0, 5); /* the old window's overrun is not today's */
	world_done(&w);
}

static void r7_4_an_overrun_after_the_boundary_alerts_for_its_window(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	struct hold h = sent(&w, 10, NOON);

	(void)state;
	(void)reserved(&w, 0, NOON + DAY_S);
	settled(&w, &h, 80);
	assert_int_equal(w.s.n_events, 1);
	assert_int_equal(w.s.events[0].win_end, NOON + DAY_S / 2);
	assert_int_equal(w.s.events[0].posted, 80);
	assert_int_equal(view_of(&w, 0, NOON + DAY_S).warned_mask, 0);
	world_done(&w);
}

static void r7_2_the_boundary_is_exact(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	int64_t midnight = NOON + DAY_S / 2;

	(void)state;
	spend(&w, 100, midnight - 1);
	assert_denied(&w, 1, midnight - 1, VERDICT_SPENT);
	spend(&w, 100, midnight);
	assert_denied(&w, 1, midnight + 1, VERDICT_SPENT);
	world_done(&w);
}

static void r7_2_days_in_berlin_tile(void **state)
{
	struct budget b = budget_of("b", 100);
	int64_t last_end = 0;
	struct tz *tz = NULL;
	struct world w;

	(void)state;
	assert_int_equal(tz_load("Europe/Berlin", &tz), BUR_OK);
	b.window.tz = tz;
	w = world_of(&b, 1);
	/* 2025-10-25 to 27, with the day of 25 hours. */
	for (int64_t t = 1761350400; t < 1761350400 + 3 * DAY_S; t += HOUR_S) {
		struct meter_view v = view_of(&w, 0, t);

		assert_true(v.win_start <= t && t < v.win_end);
		if (v.win_end != last_end && last_end != 0) {
			assert_int_equal(v.win_start, last_end);
			assert_int_equal(v.win_end - v.win_start, (v.win_start == 1761429600 ? 25 : 24) * HOUR_S);
		}
		last_end = v.win_end;
	}
	world_done(&w);
	tz_free(tz);
}

static void r7_5_time_never_goes_back(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);

	(void)state;
	spend(&w, 100, NOON);
	spend(&w, 60, NOON + DAY_S);
	assert_denied(&w, 41, NOON, VERDICT_SPENT); /* yesterday is not opened again, today goes on */
	assert_int_equal(w.d.blocked[0].posted, 60);
	assert_int_equal(w.d.blocked[0].win_end, NOON + DAY_S + DAY_S / 2);
	assert_denied(&w, 41, INT64_MIN, VERDICT_SPENT);
	world_done(&w);
}

static void r7_1_total_never_resets(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w;

	(void)state;
	b.window = (struct window_spec){.kind = WINDOW_TOTAL};
	w = world_of(&b, 1);
	spend(&w, 100, NOON);
	assert_denied(&w, 1, NOON + 1000 * DAY_S, VERDICT_SPENT);
	assert_denied(&w, 1, INT64_MAX, VERDICT_SPENT);
	world_done(&w);
}

#define OPEN_WINDOWS (PAST_MAX + 1)

static void too_many_open_windows_refuse(void **state)
{
	struct budget defs[2] = {budget_of("day", 100), budget_of("hour", 100)};
	struct world w;
	struct hold h[OPEN_WINDOWS], extra;
	struct meter_view v[32];

	(void)state;
	defs[1].window.kind = WINDOW_HOUR;
	w = world_of(defs, 2);
	for (int i = 0; i < OPEN_WINDOWS; i++)
		h[i] = sent(&w, 10, NOON + i * HOUR_S);
	assert_int_equal(try_reserve(&w, 10, NOON + 8 * HOUR_S, &extra), BUR_FULL);
	engine_check(w.e);
	assert_int_equal(engine_snapshot(w.e, NOON + 8 * HOUR_S, v, 32), 1 + OPEN_WINDOWS);
	for (int i = 1; i <= OPEN_WINDOWS; i++)
		assert_true(v[i].closing);
	assert_int_equal(v[0].held, 80); /* nothing was taken in the other budget */
	settled(&w, &h[3], 10);
	(void)reserved(&w, 10, NOON + 8 * HOUR_S);
	world_done(&w);
}

static void a_hold_of_zero_keeps_its_window(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	struct hold h = sent(&w, 0, NOON);

	(void)state;
	(void)reserved(&w, 5, NOON + DAY_S);
	settled(&w, &h, 3); /* its bill goes to yesterday */
	assert_meter(&w, 0, NOON + DAY_S, 0, 5);
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(r7_4_a_hold_belongs_to_its_window),
	    cmocka_unit_test(r7_4_a_hold_grows_in_its_own_window),
	    cmocka_unit_test(r7_4_an_overrun_after_the_boundary_alerts_for_its_window),
	    cmocka_unit_test(r7_2_the_boundary_is_exact),
	    cmocka_unit_test(r7_2_days_in_berlin_tile),
	    cmocka_unit_test(r7_5_time_never_goes_back),
	    cmocka_unit_test(r7_1_total_never_resets),
	    cmocka_unit_test(too_many_open_windows_refuse),
	    cmocka_unit_test(a_hold_of_zero_keeps_its_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
