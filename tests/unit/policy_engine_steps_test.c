/* Block steps, and who is told of which step how often (I10). */
#include "tests/unit/policy_world.h"

static void a_block_step_blocks_at_its_share(void **state)
{
	struct budget b = budget_of("b", 1001);
	struct world w;

	(void)state;
	budget_step(&b, 95, STEP_BLOCK); /* 950.95: rounded down */
	w = world_of(&b, 1);
	assert_denied(&w, 951, NOON, VERDICT_SPENT);
	assert_int_equal(w.d.blocked[0].limit, 950);
	(void)reserved(&w, 950, NOON);
	assert_int_equal(w.d.tightest_left_nanousd, 0);
	assert_denied(&w, 1, NOON, VERDICT_HELD);
	world_done(&w);
}

static void the_limit_holds_whatever_the_steps_say(void **state)
{
	struct budget defs[2] = {budget_of("only alerts", 100), budget_of("blocks late", 100)};
	struct world w;

	(void)state;
	budget_step(&defs[0], 50, STEP_ALERT);
	budget_step(&defs[1], 200, STEP_BLOCK);
	w = world_of(defs, 2);
	assert_denied(&w, 101, NOON, VERDICT_SPENT);
	assert_int_equal(w.d.n_blocked, 2);
	assert_int_equal(w.d.n_events, 1); /* no block step, no event */
	assert_int_equal(w.d.events[0].action, STEP_BLOCK);
	assert_string_equal(w.d.events[0].budget->name, "blocks late");
	world_done(&w);
}

static void i10_one_event_per_step_and_window(void **state)
{
	struct budget b = soft_of("b", 100);
	struct world w;

	(void)state;
	budget_step(&b, 50, STEP_ALERT);
	budget_step(&b, 100, STEP_ALERT);
	w = world_of(&b, 1);
	spend(&w, 49, NOON);
	assert_int_equal(w.d.n_events, 0);
	(void)reserved(&w, 1, NOON); /* u = exactly 50 % */
	assert_int_equal(w.d.n_events, 1);
	assert_int_equal(w.d.events[0].at_ppm, 500000);
	assert_int_equal(w.d.events[0].posted, 49);
	assert_int_equal(w.d.events[0].held, 0);
	assert_int_equal(w.d.events[0].need, 1);
	assert_int_equal(w.d.events[0].limit, 100);
	assert_int_equal(w.d.events[0].warned_mask, 1);
	assert_int_equal(w.d.events[0].win_end, NOON + DAY_S / 2);
	(void)reserved(&w, 1, NOON);
	assert_int_equal(w.d.n_events, 0);
	(void)reserved(&w, 200, NOON);
	assert_int_equal(w.d.n_events, 1);
	assert_int_equal(w.d.events[0].warned_mask, 3);
	(void)reserved(&w, 200, NOON);
	assert_int_equal(w.d.n_events, 0);
	(void)reserved(&w, 200, NOON + DAY_S); /* a new window tells again */
	assert_int_equal(w.d.n_events, 2);
	world_done(&w);
}

static void i10_a_refused_call_counts_only_what_is_there(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);

	(void)state;
	assert_denied(&w, 101, NOON, VERDICT_SPENT);
	assert_int_equal(w.d.n_events, 1); /* the refusal itself; the budget is empty, so no alert */
	assert_int_equal(w.d.events[0].action, STEP_BLOCK);
	assert_int_equal(w.d.events[0].need, 101);
	assert_int_equal(w.d.events[0].warned_mask, 16);
	assert_denied(&w, 101, NOON, VERDICT_SPENT);
	assert_int_equal(w.d.n_events, 0);
	assert_int_equal(view_of(&w, 0, NOON).warned_mask, 16);
	world_done(&w);
}

static void i10_events_beyond_the_room_come_later(void **state)
{
	struct budget defs[MATCH_MAX];
	char names[MATCH_MAX][8];
	size_t told = 0;
	struct world w;

	(void)state;
	for (size_t i = 0; i < MATCH_MAX; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "b%zu", i);
		defs[i] = soft_of(names[i], 100);
	}
	w = world_of(defs, MATCH_MAX);
	(void)reserved(&w, 100, NOON);
	assert_int_equal(w.d.n_events, EVENTS_MAX);
	told += w.d.n_events;
	(void)reserved(&w, 0, NOON);
	told += w.d.n_events;
	assert_int_equal(told, 3 * MATCH_MAX);
	(void)reserved(&w, 0, NOON);
	assert_int_equal(w.d.n_events, 0);
	world_done(&w);
}

static void i10_a_restart_never_repeats_an_event(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1), next = world_of(&b, 1);
	struct meter_view v;

	(void)state;
	spend(&w, 95, NOON);
	v = view_of(&w, 0, NOON);
	assert_int_equal(v.warned_mask, 3);
	assert_int_equal(engine_restore(next.e, SLICE("b"), SLICE_NONE, v.win_start, v.win_end, v.posted, v.credit,
					v.warned_mask, NOON),
			 BUR_OK);
	(void)reserved(&next, 1, NOON);
	assert_int_equal(next.d.n_events, 0);
	(void)reserved(&next, 4, NOON);
	assert_int_equal(next.d.n_events, 1);
	assert_int_equal(next.d.events[0].at_ppm, 1000000);
	world_done(&w);
	world_done(&next);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_block_step_blocks_at_its_share),
	    cmocka_unit_test(the_limit_holds_whatever_the_steps_say),
	    cmocka_unit_test(i10_one_event_per_step_and_window),
	    cmocka_unit_test(i10_a_refused_call_counts_only_what_is_there),
	    cmocka_unit_test(i10_events_beyond_the_room_come_later),
	    cmocka_unit_test(i10_a_restart_never_repeats_an_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
