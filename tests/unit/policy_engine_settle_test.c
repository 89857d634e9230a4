/* What settling does to counters (R5). */
#include "tests/unit/policy_world.h"

static void r5_4_a_usage_of_zero_is_zero(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	struct hold h = sent(&w, 50, NOON);

	(void)state;
	settled(&w, &h, 0);
	assert_meter(&w, 0, NOON, 0, 0);
	(void)reserved(&w, 100, NOON);
	world_done(&w);
}

static void r5_6_overrun_posts_the_whole_bill(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	struct amounts actual = {.nanousd = 130, .tokens = 7};
	struct hold h = sent(&w, 50, NOON);

	(void)state;
	assert_int_equal(engine_settle(w.e, &h, &actual, &w.s), BUR_OK);
	assert_int_equal(w.s.overrun.nanousd, 80);
	assert_int_equal(w.s.overrun.tokens, 7);
	assert_int_equal(w.s.overrun.requests, 0);
	assert_int_equal(w.s.n_events, 3); /* 75, 90 and 100 % were crossed by the bill */
	assert_meter(&w, 0, NOON, 130, 0);
	assert_denied(&w, 1, NOON, VERDICT_SPENT); /* nothing that needs money while it is negative */
	assert_int_equal(w.d.tightest_left_nanousd, -30);
	(void)reserved(&w, 0, NOON);
	world_done(&w);
}

static void i9_parts_add_up_to_the_whole(void **state)
{
	struct budget defs[2] = {soft_of("all", 1000000), soft_of("team", 1000)};
	static const char *const teams[] = {"a", "b", "c", ""};
	struct meter_view v[8];
	int64_t sum = 0;
	struct world w;

	(void)state;
	budget_per(&defs[1], FACT_TEAM);
	w = world_of(defs, 2);
	for (int i = 0; i < 40; i++) {
		struct match m = match_of(&w, "u", teams[i % 4]);
		struct amounts worst = usd(i * 3);
		struct hold h;

		assert_int_equal(engine_reserve(w.e, &m, &worst, NOON, &h, &w.d), BUR_OK);
		assert_int_equal(engine_mark_sent(w.e, &h), BUR_OK);
		settled(&w, &h, i * 2);
	}
	assert_int_equal(engine_snapshot(w.e, NOON, v, ARRAY_LEN(v)), 5);
	for (int i = 1; i < 5; i++)
		sum += v[i].posted;
	assert_int_equal(v[0].posted, sum);
	assert_int_equal(sum, 40 * 39);
	world_done(&w);
}

/* R5.9, I15: a limit changes with a new set, into which the counters are restored. */
static void i15_a_lower_limit_changes_no_counter(void **state)
{
	struct budget high = budget_of("b", 100), low = budget_of("b", 60);
	struct world w = world_of(&high, 1), next;
	struct meter_view v;

	(void)state;
	spend(&w, 80, NOON);
	v = view_of(&w, 0, NOON);
	next = world_of(&low, 1);
	assert_int_equal(engine_restore(next.e, SLICE("b"), SLICE_NONE, v.win_start, v.win_end, v.posted, v.credit,
					v.warned_mask, NOON),
			 BUR_OK);
	assert_meter(&next, 0, NOON, 80, 0);
	assert_denied(&next, 1, NOON, VERDICT_SPENT);
	assert_int_equal(next.d.tightest_left_nanousd, -20);
	world_done(&w);
	world_done(&next);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(r5_4_a_usage_of_zero_is_zero),
	    cmocka_unit_test(r5_6_overrun_posts_the_whole_bill),
	    cmocka_unit_test(i9_parts_add_up_to_the_whole),
	    cmocka_unit_test(i15_a_lower_limit_changes_no_counter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
