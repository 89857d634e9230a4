/* Admission and the life of a hold; the names begin with the rule of the budget specification. */
#include "tests/unit/policy_world.h"

/* --- R4, I1, I4: admission ---------------------------------------------------------------------------------------- */

static void i1_the_limit_is_exact(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	struct hold one, two;

	(void)state;
	one = reserved(&w, 60, NOON);
	two = reserved(&w, 40, NOON);
	assert_denied(&w, 1, NOON, VERDICT_HELD);
	assert_int_equal(engine_void(w.e, &two), BUR_OK);
	assert_denied(&w, 41, NOON, VERDICT_HELD);
	two = reserved(&w, 40, NOON);
	assert_true(one.id != two.id && one.id != 0);
	world_done(&w);
}

static void i1_the_largest_limit_does_not_wrap(void **state)
{
	struct budget b = budget_of("b", INT64_MAX);
	struct world w = world_of(&b, 1);
	struct hold h;

	(void)state;
	h = reserved(&w, INT64_MAX, NOON);
	assert_denied(&w, INT64_MAX, NOON, VERDICT_HELD);
	assert_int_equal(engine_void(w.e, &h), BUR_OK);
	spend(&w, INT64_MAX, NOON);
	assert_denied(&w, 1, NOON, VERDICT_SPENT);
	world_done(&w);
}

static void i4_all_budgets_or_none(void **state)
{
	struct budget defs[3] = {budget_of("wide", 100), budget_of("narrow", 10), budget_of("other", 10)};
	struct world w = world_of(defs, 3);

	(void)state;
	(void)reserved(&w, 10, NOON);
	assert_denied(&w, 1, NOON, VERDICT_HELD);
	assert_meter(&w, 0, NOON, 0, 10);
	assert_meter(&w, 1, NOON, 0, 10);
	assert_meter(&w, 2, NOON, 0, 10);
	/* All that block are told, not only the first. */
	assert_int_equal(w.d.n_blocked, 2);
	assert_string_equal(w.d.blocked[0].budget->name, "narrow");
	assert_string_equal(w.d.blocked[1].budget->name, "other");
	assert_int_equal(w.d.blocked[0].limit, 10);
	assert_int_equal(w.d.blocked[0].held, 10);
	assert_int_equal(w.d.blocked[0].posted, 0);
	assert_int_equal(w.d.blocked[0].need, 1);
	assert_int_equal(w.d.blocked[0].win_end, NOON + DAY_S / 2);
	world_done(&w);
}

static void verdict_tells_spent_from_held(void **state)
{
	struct budget defs[2] = {budget_of("a", 100), budget_of("b", 50)};
	struct world w = world_of(defs, 2);
	struct hold h;

	(void)state;
	spend(&w, 30, NOON);
	h = reserved(&w, 20, NOON);
	assert_denied(&w, 20, NOON, VERDICT_HELD); /* fits once the hold is gone: 429 */
	assert_true(w.d.blocked[0].only_held);
	assert_denied(&w, 21, NOON, VERDICT_SPENT); /* never fits: 402 */
	assert_false(w.d.blocked[0].only_held);
	assert_int_equal(w.d.n_blocked, 1);
	assert_denied(&w, 60, NOON, VERDICT_SPENT); /* one only held, one spent: 402 */
	assert_int_equal(w.d.n_blocked, 2);
	assert_true(w.d.blocked[0].only_held);
	assert_int_equal(engine_void(w.e, &h), BUR_OK);
	world_done(&w);
}

static void zero_need_passes_an_exhausted_budget(void **state)
{
	struct budget defs[2] = {budget_of("money", 10), budget_of("tokens", 10)};
	struct amounts tokens = {.tokens = 5};
	struct world w;
	struct match m;
	struct hold h;

	(void)state;
	defs[1].unit = UNIT_TOKENS;
	w = world_of(defs, 2);
	spend(&w, 10, NOON);
	assert_denied(&w, 1, NOON, VERDICT_SPENT);
	h = sent(&w, 0, NOON);
	settled(&w, &h, 0);
	m = match_of(&w, NULL, NULL);
	assert_int_equal(engine_reserve(w.e, &m, &tokens, NOON, &h, &w.d), BUR_OK);
	assert_int_equal(engine_reserve(w.e, &m, &tokens, NOON, &h, &w.d), BUR_OK);
	assert_int_equal(engine_reserve(w.e, &m, &tokens, NOON, &h, &w.d), BUR_DENIED);
	assert_string_equal(w.d.blocked[0].budget->name, "tokens");
	world_done(&w);
}

static void r2_4_each_budget_counts_its_own_unit(void **state)
{
	struct budget defs[3] = {budget_of("usd", 1000), budget_of("tokens", 1000), budget_of("requests", 2)};
	struct amounts worst = {.nanousd = 7, .tokens = 50, .requests = 1}, actual = {5, 40, 1};
	struct world w;
	struct match m;
	struct hold h;

	(void)state;
	defs[1].unit = UNIT_TOKENS;
	defs[2].unit = UNIT_REQUESTS;
	w = world_of(defs, 3);
	m = match_of(&w, NULL, NULL);
	assert_true(m.any_money && m.any_hard);
	assert_int_equal(engine_reserve(w.e, &m, &worst, NOON, &h, &w.d), BUR_OK);
	assert_meter(&w, 0, NOON, 0, 7);
	assert_meter(&w, 1, NOON, 0, 50);
	assert_meter(&w, 2, NOON, 0, 1);
	assert_int_equal(engine_mark_sent(w.e, &h), BUR_OK);
	assert_int_equal(engine_settle(w.e, &h, &actual, &w.s), BUR_OK);
	assert_meter(&w, 0, NOON, 5, 0);
	assert_meter(&w, 1, NOON, 40, 0);
	assert_meter(&w, 2, NOON, 1, 0);
	world_done(&w);
}

static void r2_3_odd_amounts_are_refused(void **state)
{
	struct budget defs[2] = {soft_of("soft", 100), budget_of("hard", INT64_MAX)};
	const struct amounts bad[] = {{-1, 0, 0}, {0, -1, 0}, {0, 0, -1}, {INT64_MIN, 0, 0}};
	struct world w = world_of(defs, 1);
	struct match m = match_of(&w, NULL, NULL);
	struct amounts most = usd(INT64_MAX), one = usd(1);
	struct hold h, full;

	(void)state;
	full = reserved(&w, 5, NOON);
	assert_int_equal(engine_mark_sent(w.e, &full), BUR_OK);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(engine_reserve(w.e, &m, &bad[i], NOON, &h, &w.d), BUR_OVERFLOW);
		assert_int_equal(engine_extend(w.e, &full, &bad[i], NOON, &w.d), BUR_OVERFLOW);
		assert_int_equal(engine_shrink(w.e, &full, &bad[i]), BUR_INVALID);
		assert_int_equal(engine_settle(w.e, &full, &bad[i], &w.s), BUR_OVERFLOW);
	}
	/* A soft budget never blocks, but its counter never wraps either. */
	assert_int_equal(engine_reserve(w.e, &m, &most, NOON, &h, &w.d), BUR_OVERFLOW);
	assert_int_equal(engine_extend(w.e, &full, &most, NOON, &w.d), BUR_OVERFLOW);
	assert_meter(&w, 0, NOON, 0, 5);
	/* Nor in settling, where the other holds count too. */
	h = reserved(&w, 10, NOON);
	assert_int_equal(engine_settle(w.e, &full, &most, &w.s), BUR_OVERFLOW);
	assert_int_equal(engine_void(w.e, &h), BUR_OK);
	settled(&w, &full, INT64_MAX);
	full = sent(&w, 0, NOON);
	assert_int_equal(engine_settle(w.e, &full, &one, &w.s), BUR_OVERFLOW);
	assert_int_equal(full.state, HOLD_SENT);
	settled(&w, &full, 0);
	world_done(&w);
}

static void no_budget_at_all_holds_nothing(void **state)
{
	struct world w = world_of(NULL, 0);
	struct hold h;

	(void)state;
	h = sent(&w, 1000, NOON);
	assert_int_equal(h.n, 0);
	assert_null(w.d.tightest);
	assert_int_equal(engine_open_holds(w.e), 1);
	settled(&w, &h, 5000);
	assert_int_equal(engine_open_holds(w.e), 0);
	assert_int_equal(w.s.overrun.nanousd, 4000);
	world_done(&w);
}

static void soft_budgets_never_block(void **state)
{
	struct budget b = soft_of("b", 100);
	struct world w = world_of(&b, 1);

	(void)state;
	(void)reserved(&w, 100, NOON);
	assert_false(w.d.over_budget);
	(void)reserved(&w, 1, NOON);
	assert_true(w.d.over_budget);
	assert_int_equal(w.d.n_blocked, 0);
	assert_int_equal(w.d.tightest_left_nanousd, -1);
	world_done(&w);
}

static void tightest_is_the_one_with_least_left(void **state)
{
	struct budget defs[4] = {budget_of("a", 1000), soft_of("b", 400), budget_of("c", 500), budget_of("t", 1)};
	struct world w;

	(void)state;
	defs[3].unit = UNIT_TOKENS;
	w = world_of(defs, 4);
	(void)reserved(&w, 100, NOON);
	assert_string_equal(w.d.tightest->name, "b");
	assert_int_equal(w.d.tightest_left_nanousd, 300);
	assert_denied(&w, 700, NOON, VERDICT_SPENT);
	assert_string_equal(w.d.tightest->name, "b"); /* refused: what is left without it */
	assert_int_equal(w.d.tightest_left_nanousd, 300);
	world_done(&w);
}

static void tightest_of_equals_is_the_first(void **state)
{
	struct budget defs[3] = {budget_of("a", 1000), budget_of("b", 400), budget_of("c", 400)};
	struct world w = world_of(defs, 3);

	(void)state;
	(void)reserved(&w, 100, NOON);
	assert_string_equal(w.d.tightest->name, "b");
	world_done(&w);
}

static void i14_same_history_same_decisions(void **state)
{
	struct budget defs[3] = {budget_of("a", 1000), soft_of("b", 400), budget_of("c", 900)};
	struct world w[2] = {world_of(defs, 3), world_of(defs, 3)};
	struct hold h[2];

	(void)state;
	for (int i = 0; i < 50; i++) {
		int r0 = try_reserve(&w[0], i * 7 % 90, NOON + i * 1000, &h[0]);
		int r1 = try_reserve(&w[1], i * 7 % 90, NOON + i * 1000, &h[1]);

		assert_int_equal(r0, r1);
		assert_int_equal(w[0].d.verdict, w[1].d.verdict);
		assert_int_equal(w[0].d.n_blocked, w[1].d.n_blocked);
		assert_int_equal(w[0].d.n_events, w[1].d.n_events);
		assert_int_equal(w[0].d.over_budget, w[1].d.over_budget);
		assert_int_equal(w[0].d.tightest_left_nanousd, w[1].d.tightest_left_nanousd);
		assert_string_equal(w[0].d.tightest->name, w[1].d.tightest->name);
	}
	world_done(&w[0]);
	world_done(&w[1]);
}

/* --- R4.2, I5, I8, I17: the life of a hold ------------------------------------------------------------------------ */

static void i5_each_hold_ends_once(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	struct amounts ten = usd(10);
	struct hold h = reserved(&w, 20, NOON);

	(void)state;
	assert_int_equal(engine_extend(w.e, &h, &ten, NOON, &w.d), BUR_ALREADY);
	assert_int_equal(engine_settle(w.e, &h, &ten, &w.s), BUR_INVALID); /* nothing was sent */
	assert_int_equal(engine_mark_sent(w.e, &h), BUR_OK);
	assert_int_equal(engine_mark_sent(w.e, &h), BUR_ALREADY);
	settled(&w, &h, 10);
	assert_int_equal(engine_settle(w.e, &h, &ten, &w.s), BUR_ALREADY);
	assert_int_equal(engine_void(w.e, &h), BUR_ALREADY);
	assert_int_equal(engine_extend(w.e, &h, &ten, NOON, &w.d), BUR_ALREADY);
	assert_int_equal(engine_shrink(w.e, &h, &ten), BUR_ALREADY);
	assert_int_equal(engine_mark_sent(w.e, &h), BUR_ALREADY);
	assert_int_equal(h.state, HOLD_SETTLED);
	assert_meter(&w, 0, NOON, 10, 0);
	world_done(&w);
}

static void i5_a_void_hold_stays_void(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	struct amounts ten = usd(10);
	struct hold h = reserved(&w, 20, NOON);

	(void)state;
	assert_int_equal(engine_void(w.e, &h), BUR_OK);
	assert_int_equal(engine_void(w.e, &h), BUR_ALREADY);
	assert_int_equal(engine_settle(w.e, &h, &ten, &w.s), BUR_ALREADY);
	assert_int_equal(engine_mark_sent(w.e, &h), BUR_ALREADY);
	assert_int_equal(h.state, HOLD_VOIDED);
	assert_meter(&w, 0, NOON, 0, 0);
	world_done(&w);
}

static void i8_void_leaves_everything_as_before(void **state)
{
	struct budget defs[2] = {budget_of("a", 100), soft_of("b", 100)};
	struct world w = world_of(defs, 2);
	struct meter_view before[2], after[2];
	struct hold h;

	(void)state;
	spend(&w, 10, NOON);
	for (int i = 0; i < 2; i++)
		before[i] = view_of(&w, (size_t)i, NOON);
	h = reserved(&w, 20, NOON);
	assert_int_equal(engine_void(w.e, &h), BUR_OK);
	h = sent(&w, 30, NOON); /* it did not reach the vendor */
	assert_int_equal(engine_void(w.e, &h), BUR_OK);
	for (int i = 0; i < 2; i++) {
		after[i] = view_of(&w, (size_t)i, NOON);
		assert_int_equal(after[i].posted, before[i].posted);
		assert_int_equal(after[i].held, before[i].held);
		assert_int_equal(after[i].win_start, before[i].win_start);
	}
	world_done(&w);
}

static void i17_nothing_is_held_at_idle(void **state)
{
	struct budget defs[2] = {budget_of("a", 100000), budget_of("per", 100000)};
	struct world w;
	struct hold h[30];

	(void)state;
	budget_per(&defs[1], FACT_USER);
	w = world_of(defs, 2);
	for (int i = 0; i < 30; i++)
		h[i] = sent(&w, i * 10, NOON + i * HOUR_S);
	assert_int_equal(engine_open_holds(w.e), 30);
	for (int i = 0; i < 30; i++) {
		if (i % 3 == 0)
			assert_int_equal(engine_void(w.e, &h[i]), BUR_OK);
		else
			settled(&w, &h[i], i * 5);
		engine_check(w.e);
	}
	assert_int_equal(engine_open_holds(w.e), 0);
	assert_int_equal(engine_snapshot(w.e, NOON + 40 * HOUR_S, NULL, 0), 2);
	assert_meter(&w, 0, NOON, 0, 0);
	world_done(&w);
}

static void extend_is_all_or_nothing(void **state)
{
	struct budget defs[2] = {budget_of("a", 100), budget_of("b", 50)};
	struct world w = world_of(defs, 2);
	struct amounts ten = usd(10), eleven = usd(11), most = usd(INT64_MAX);
	struct hold h;

	(void)state;
	h = sent(&w, 30, NOON);
	(void)reserved(&w, 10, NOON);
	assert_int_equal(engine_extend(w.e, &h, &eleven, NOON, &w.d), BUR_DENIED);
	assert_int_equal(w.d.n_blocked, 1);
	assert_true(w.d.blocked[0].only_held); /* only the other call's 10 are in the way */
	assert_int_equal(w.d.verdict, VERDICT_HELD);
	assert_int_equal(h.worst.nanousd, 30);
	assert_meter(&w, 0, NOON, 0, 40);
	assert_int_equal(engine_extend(w.e, &h, &ten, NOON, &w.d), BUR_OK);
	assert_int_equal(h.worst.nanousd, 40);
	assert_meter(&w, 0, NOON, 0, 50);
	assert_meter(&w, 1, NOON, 0, 50);
	assert_int_equal(engine_extend(w.e, &h, &eleven, NOON, &w.d), BUR_DENIED);
	assert_false(w.d.blocked[0].only_held); /* what the call itself holds stays its own */
	assert_int_equal(w.d.verdict, VERDICT_SPENT);
	assert_int_equal(engine_extend(w.e, &h, &most, NOON, &w.d), BUR_OVERFLOW);
	settled(&w, &h, 40);
	world_done(&w);
}

static void shrink_frees_at_once(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	struct amounts forty = usd(40), more = usd(61), tokens = {.tokens = 1}, requests = {.requests = 1};
	struct hold h = reserved(&w, 100, NOON);

	(void)state;
	assert_denied(&w, 40, NOON, VERDICT_HELD);
	assert_int_equal(engine_shrink(w.e, &h, &forty), BUR_OK);
	assert_int_equal(engine_shrink(w.e, &h, &more), BUR_INVALID);
	assert_int_equal(engine_shrink(w.e, &h, &tokens), BUR_INVALID);
	assert_int_equal(engine_shrink(w.e, &h, &requests), BUR_INVALID);
	assert_int_equal(h.worst.nanousd, 60);
	(void)reserved(&w, 40, NOON);
	assert_int_equal(engine_mark_sent(w.e, &h), BUR_OK);
	assert_int_equal(engine_shrink(w.e, &h, &forty), BUR_OK);
	assert_meter(&w, 0, NOON, 0, 60);
	settled(&w, &h, 20);
	assert_int_equal(w.s.overrun.nanousd, 0);
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(i1_the_limit_is_exact),
	    cmocka_unit_test(i1_the_largest_limit_does_not_wrap),
	    cmocka_unit_test(i4_all_budgets_or_none),
	    cmocka_unit_test(verdict_tells_spent_from_held),
	    cmocka_unit_test(zero_need_passes_an_exhausted_budget),
	    cmocka_unit_test(r2_4_each_budget_counts_its_own_unit),
	    cmocka_unit_test(r2_3_odd_amounts_are_refused),
	    cmocka_unit_test(no_budget_at_all_holds_nothing),
	    cmocka_unit_test(soft_budgets_never_block),
	    cmocka_unit_test(tightest_is_the_one_with_least_left),
	    cmocka_unit_test(tightest_of_equals_is_the_first),
	    cmocka_unit_test(i14_same_history_same_decisions),
	    cmocka_unit_test(i5_each_hold_ends_once),
	    cmocka_unit_test(i5_a_void_hold_stays_void),
	    cmocka_unit_test(i8_void_leaves_everything_as_before),
	    cmocka_unit_test(i17_nothing_is_held_at_idle),
	    cmocka_unit_test(extend_is_all_or_nothing),
	    cmocka_unit_test(shrink_frees_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
