/* mode: shadow. Counted and decided, only reported. */
#include "tests/unit/policy_world.h"

static struct budget shadow_of(const char *name, int64_t limit)
{
	struct budget b = budget_of(name, limit);

	b.mode = MODE_SHADOW;
	return b;
}

static struct world world_sized(const struct budget *defs, size_t n, size_t max_meters, bool deny)
{
	struct engine_config cfg = {.max_meters = max_meters, .deny_without_budget = deny};

	return world_with(defs, n, &cfg);
}

static void nothing_is_refused_and_everything_counted(void **state)
{
	struct budget b = shadow_of("b", 100);
	struct world w = world_sized(&b, 1, 64, true);
	struct hold h;

	(void)state;
	for (int i = 0; i < 5; i++) {
		assert_int_equal(try_sent(&w, 60, NOON, &h), BUR_OK);
		assert_int_equal(w.d.verdict, VERDICT_ALLOW);
		assert_int_equal(w.d.n_blocked, 0);
		assert_int_equal(w.d.n_would_block, i > 0);
		settled(&w, &h, 60);
	}
	assert_string_equal(w.d.would_block[0]->name, "b");
	assert_int_equal(view_of(&w, 0, NOON).posted, 300);
	assert_int_equal(view_of(&w, 0, NOON).would_block, 4);
	assert_int_equal(view_of(&w, 0, NOON + DAY_S).would_block, 0); /* of its window */
	world_done(&w);
}

static void the_answer_is_as_without_it(void **state)
{
	struct budget defs[3] = {shadow_of("shadow", 10), budget_of("hard", 1000), soft_of("soft", 2000)};
	struct world with = world_sized(defs, 3, 64, true), without = world_sized(defs + 1, 2, 64, true);
	struct hold h[2];

	(void)state;
	for (int i = 0; i < 30; i++) {
		int r = try_sent(&with, 70, NOON, &h[0]);

		assert_int_equal(r, try_sent(&without, 70, NOON, &h[1]));
		assert_int_equal(with.d.verdict, without.d.verdict);
		assert_int_equal(with.d.n_blocked, without.d.n_blocked);
		assert_int_equal(with.d.over_budget, without.d.over_budget);
		assert_string_equal(with.d.tightest->name, without.d.tightest->name);
		assert_int_equal(with.d.tightest_left_nanousd, without.d.tightest_left_nanousd);
	}
	assert_int_equal(view_of(&with, 0, NOON).would_block,
			 14); /* what the hard one refused is none of its business */
	world_done(&with);
	world_done(&without);
}

static void a_call_counts_once_however_it_grows(void **state)
{
	struct budget b = shadow_of("b", 100);
	struct world w = world_sized(&b, 1, 64, true);
	struct amounts more = usd(60);
	struct hold h;

	(void)state;
	assert_int_equal(try_sent(&w, 60, NOON, &h), BUR_OK);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(engine_extend(w.e, &h, &more, NOON, &w.d), BUR_OK);
		assert_int_equal(w.d.n_would_block, 1);
	}
	assert_int_equal(view_of(&w, 0, NOON).would_block, 1);
	settled(&w, &h, 0);
	assert_int_equal(try_sent(&w, 0, NOON, &h), BUR_OK); /* zero need never blocks */
	assert_int_equal(view_of(&w, 0, NOON).would_block, 1);
	world_done(&w);
}

static void it_decides_as_a_hard_one_would(void **state)
{
	struct budget b = shadow_of("b", 1000);
	struct world w;
	struct hold h;

	(void)state;
	budget_step(&b, 50, STEP_ALERT);
	budget_step(&b, 80, STEP_BLOCK);
	w = world_sized(&b, 1, 64, true);
	assert_int_equal(try_sent(&w, 800, NOON, &h), BUR_OK);
	assert_int_equal(w.d.n_would_block, 0);
	assert_int_equal(w.d.n_events, 1);
	assert_int_equal(try_sent(&w, 1, NOON, &h), BUR_OK);
	assert_int_equal(w.d.n_would_block, 1);
	assert_int_equal(w.d.n_events, 1); /* told once, as a block */
	assert_int_equal(w.d.events[0].action, STEP_BLOCK);
	assert_int_equal(try_sent(&w, 1, NOON, &h), BUR_OK);
	assert_int_equal(w.d.n_events, 0);
	world_done(&w);
}

static void it_is_no_hard_budget(void **state)
{
	struct budget b = shadow_of("b", 100);
	struct world w = world_sized(&b, 1, 64, true);
	struct facts f = facts_of("ann", "search");
	struct match m;

	(void)state;
	assert_int_equal(engine_match(w.e, &f, &m), BUR_OK); /* `default: deny`: but it is a match */
	assert_false(m.any_hard);
	assert_true(m.any_money);
	assert_int_equal(m.unknown_model, UNKNOWN_FREE);
	world_done(&w);
}

static void no_room_for_its_counter_is_no_reason_to_refuse(void **state)
{
	struct budget defs[2] = {shadow_of("shadow", 100), budget_of("hard", 100)};
	struct world w;
	char user[16];
	struct match m;

	(void)state;
	budget_per(&defs[0], FACT_USER);
	w = world_sized(defs, 2, 4, true);
	for (int i = 0; i < 8; i++) {
		struct facts f = {.n_tags = 0};

		(void)snprintf(user, sizeof(user), "u%d", i);
		f.v[FACT_USER] = slice_of(user);
		assert_int_equal(engine_match(w.e, &f, &m), BUR_OK);
		assert_int_equal(m.n, i < 3 ? 2 : 1);
	}
	world_done(&w);
}

static void too_many_open_windows_are_no_reason_to_refuse(void **state)
{
	struct budget b = shadow_of("b", 100);
	struct world w;
	struct hold h[20];

	(void)state;
	b.window.kind = WINDOW_HOUR;
	w = world_sized(&b, 1, 64, true);
	for (int i = 0; i < 20; i++)
		assert_int_equal(try_sent(&w, 10, NOON + i * HOUR_S, &h[i]), BUR_OK);
	assert_int_equal(h[7].n, 1);
	assert_int_equal(h[8].n, 0); /* left out */
	for (int i = 0; i < 20; i++)
		settled(&w, &h[i], 10);
	assert_int_equal(engine_open_holds(w.e), 0);
	world_done(&w);
}

static void r7_6_in_a_rolling_window_the_count_leaves_with_its_bucket(void **state)
{
	struct budget b = shadow_of("b", 100);
	struct world w;
	struct hold h;

	(void)state;
	b.rolling_s = DAY_S;
	w = world_sized(&b, 1, 64, true);
	assert_int_equal(try_sent(&w, 101, NOON, &h), BUR_OK);
	settled(&w, &h, 101);
	assert_int_equal(try_sent(&w, 1, NOON + DAY_S / 2, &h), BUR_OK);
	settled(&w, &h, 1);
	assert_int_equal(view_of(&w, 0, NOON + DAY_S / 2).would_block, 2);
	assert_int_equal(view_of(&w, 0, NOON + DAY_S + 1440).would_block, 1);
	assert_int_equal(view_of(&w, 0, NOON + 2 * DAY_S).would_block, 0);
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_is_refused_and_everything_counted),
	    cmocka_unit_test(the_answer_is_as_without_it),
	    cmocka_unit_test(a_call_counts_once_however_it_grows),
	    cmocka_unit_test(it_decides_as_a_hard_one_would),
	    cmocka_unit_test(it_is_no_hard_budget),
	    cmocka_unit_test(no_room_for_its_counter_is_no_reason_to_refuse),
	    cmocka_unit_test(too_many_open_windows_are_no_reason_to_refuse),
	    cmocka_unit_test(r7_6_in_a_rolling_window_the_count_leaves_with_its_bucket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
