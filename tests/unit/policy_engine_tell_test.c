/* Steps told beside the decision: rungs that were used, thresholds that no call told, steps that may be told again. */
#include "policy/engine_tell.h"

#include "policy/engine_meter.h"
#include "tests/unit/policy_world.h"

static struct budget laddered(void)
{
	struct budget b = budget_of("b", 1000);

	b.steps[0] = (struct budget_step){.at_ppm = 500000, .action = STEP_ALERT};
	b.steps[1] = (struct budget_step){.at_ppm = 600000, .action = STEP_THROTTLE, .max_delay_ns = 1};
	b.steps[2] = (struct budget_step){.at_ppm = 900000, .action = STEP_ALERT};
	b.n_steps = 3;
	return b;
}

static uint64_t uid_of(struct world *w)
{
	(void)w;
	return meter_uid("b", SLICE_NONE);
}

static struct meter_view view(struct world *w, int64_t now_s)
{
	struct meter_view v;

	assert_int_equal(engine_meter_view(w->e, uid_of(w), now_s, &v), BUR_OK);
	return v;
}

static void a_rung_is_told_once_for_each_window(void **state)
{
	struct budget def = laddered();
	struct world w = world_of(&def, 1);
	struct engine_event e;

	(void)state;
	spend(&w, 700, NOON);
	assert_int_equal(w.d.n_reached, 1);
	assert_false(w.d.reached[0].told);
	assert_int_equal(engine_tell(w.e, w.d.reached[0].uid, w.d.reached[0].win_start, 1, &e), BUR_OK);
	assert_int_equal(e.action, STEP_THROTTLE);
	assert_int_equal(e.at_ppm, 600000);
	assert_int_equal(e.posted, 700);
	assert_int_equal(e.warned_mask, 3); /* with the alert that the call crossed */
	assert_int_equal(engine_tell(w.e, e.uid, e.win_start, 1, &e), BUR_ALREADY);
	spend(&w, 1, NOON + 1);
	assert_true(w.d.reached[0].told);
	/* the next window is another */
	spend(&w, 700, NOON + DAY_S);
	assert_false(w.d.reached[0].told);
	assert_int_equal(engine_tell(w.e, e.uid, e.win_start, 1, &e), BUR_NOTFOUND);
	assert_int_equal(engine_tell(w.e, e.uid, w.d.reached[0].win_start, 1, &e), BUR_OK);
	assert_int_equal(engine_tell(w.e, e.uid, w.d.reached[0].win_start, 3, &e), BUR_NOTFOUND); /* no such step */
	assert_int_equal(engine_tell(w.e, 1, e.win_start, 1, &e), BUR_NOTFOUND);
	world_done(&w);
}

static void a_budget_without_a_block_step_can_tell_that_it_refuses(void **state)
{
	struct budget def = laddered();
	struct world w = world_of(&def, 1);
	struct engine_event e;

	(void)state;
	assert_denied(&w, 1001, NOON, VERDICT_SPENT);
	assert_true(w.d.blocked[0].untold);
	assert_int_equal(engine_tell(w.e, w.d.blocked[0].uid, w.d.blocked[0].win_start, TELL_LIMIT, &e), BUR_OK);
	assert_int_equal(e.action, STEP_BLOCK);
	assert_int_equal(e.at_ppm, 1000000);
	assert_int_equal(e.step, TELL_LIMIT);
	assert_denied(&w, 1001, NOON, VERDICT_SPENT);
	assert_false(w.d.blocked[0].untold);
	world_done(&w);
}

static void thresholds_that_no_call_crossed_are_due(void **state)
{
	struct budget def = laddered();
	struct world w = world_of(&def, 1);
	struct engine_event e[EVENTS_MAX];
	struct engine_change change;
	size_t next;

	(void)state;
	spend(&w, 10, NOON);
	assert_int_equal(engine_tell_due(w.e, 0, 8, NOON, e, &next), 0);
	assert_int_equal(next, 1);
	assert_int_equal(engine_adjust(w.e, SLICE("b"), SLICE_NONE, 900, NOON, &change), BUR_OK);
	assert_int_equal(engine_tell_due(w.e, 0, 8, NOON, e, &next), 2);
	assert_int_equal(e[0].at_ppm, 500000);
	assert_int_equal(e[1].at_ppm, 900000);
	assert_int_equal(e[1].step, 2);
	assert_int_equal(engine_tell_due(w.e, 0, 8, NOON, e, &next), 0);
	assert_int_equal(engine_tell_due(w.e, 1, 8, NOON, e, &next), 0);
	assert_int_equal(next, 1); /* there are no more */
	world_done(&w);
}

static void many_counters_are_looked_through_piece_by_piece(void **state)
{
	struct budget def = laddered();
	struct engine_event e[EVENTS_MAX];
	struct engine_change change;
	char scope[32];
	struct world w;
	size_t at = 0, found = 0, rounds = 0;

	(void)state;
	budget_per(&def, FACT_USER);
	w = world_of(&def, 1);
	for (int i = 0; i < 60; i++) {
		(void)snprintf(scope, sizeof(scope), "user=u%d", i);
		assert_int_equal(engine_adjust(w.e, SLICE("b"), slice_of(scope), i % 2 ? 950 : 10, NOON, &change),
				 BUR_OK);
	}
	for (;; rounds++) {
		size_t from = at, n = engine_tell_due(w.e, from, 64, NOON, e, &at);

		found += n;
		assert_true(n <= EVENTS_MAX);
		if (at == from)
			break;
	}
	assert_int_equal(found, 60); /* two thresholds of every other one */
	assert_true(rounds > 1);
	world_done(&w);
}

static void steps_that_are_untold_are_told_again(void **state)
{
	struct budget defs[] = {laddered(), laddered()};
	struct engine_event e[EVENTS_MAX];
	struct world w;
	size_t next;

	(void)state;
	defs[1].name = "r";
	defs[1].rolling_s = HOUR_S;
	defs[1].window_name = "rolling 1h";
	w = world_of(defs, 2);
	spend(&w, 950, NOON);
	assert_int_equal(engine_untell(w.e, meter_uid("b", SLICE_NONE), view(&w, NOON).win_start, 4), BUR_OK);
	assert_int_equal(view(&w, NOON).warned_mask, 1);
	assert_int_equal(engine_tell_due(w.e, 0, 8, NOON, e, &next), 1);
	assert_int_equal(e[0].at_ppm, 900000);
	/* of a rolling window the steps stand in the buckets */
	assert_int_equal(engine_untell(w.e, meter_uid("r", SLICE_NONE), 0, 5), BUR_OK);
	assert_int_equal(engine_tell_due(w.e, 0, 8, NOON + 120, e, &next), 2);
	assert_int_equal(engine_untell(w.e, 1, 0, 1), BUR_NOTFOUND);
	assert_int_equal(engine_untell(w.e, meter_uid("b", SLICE_NONE), NOON - 5 * DAY_S, 1), BUR_NOTFOUND);
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_rung_is_told_once_for_each_window),
	    cmocka_unit_test(a_budget_without_a_block_step_can_tell_that_it_refuses),
	    cmocka_unit_test(thresholds_that_no_call_crossed_are_due),
	    cmocka_unit_test(many_counters_are_looked_through_piece_by_piece),
	    cmocka_unit_test(steps_that_are_untold_are_told_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
