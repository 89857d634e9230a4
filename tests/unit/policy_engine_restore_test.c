/* Start-up from the books, corrections, and looking in. */
#include "tests/unit/policy_world.h"

static int restore(struct world *w, const char *name, const char *scope, int64_t start, int64_t posted, int64_t credit)
{
	return engine_restore(w->e, slice_of(name), slice_of(scope), start, start + DAY_S, posted, credit, 0, NOON);
}

/* R5.5, R5.7: corrections and late bills move an open window at once, and nothing else. */
static void r5_5_corrections_move_open_windows(void **state)
{
	struct budget b = budget_of("b", 1000);
	struct world w = world_of(&b, 1);
	struct hold h;
	uint64_t uid;
	int64_t start;

	(void)state;
	h = sent(&w, 600, NOON);
	uid = h.m[0].uid;
	start = h.m[0].win_start;
	settled(&w, &h, 600);
	assert_int_equal(engine_post(w.e, uid, start, -500), BUR_OK);
	h = sent(&w, 800, NOON);
	assert_int_equal(engine_post(w.e, uid, start, 400), BUR_OK); /* beyond the limit: it was spent */
	assert_denied(&w, 1, NOON, VERDICT_HELD);
	settled(&w, &h, 0);
	assert_denied(&w, 501, NOON, VERDICT_SPENT);
	spend(&w, 500, NOON);
	assert_int_equal(engine_post(w.e, uid, start, -1001), BUR_OVERFLOW);
	assert_int_equal(engine_post(w.e, uid, start, INT64_MAX), BUR_OVERFLOW);
	assert_int_equal(engine_post(w.e, uid, start, INT64_MIN), BUR_OVERFLOW);
	assert_denied(&w, 1, NOON, VERDICT_SPENT);
	world_done(&w);
}

static void r5_5_closed_windows_are_left_alone(void **state)
{
	struct budget b = budget_of("b", 1000);
	struct world w = world_of(&b, 1);
	struct hold old, h;
	uint64_t uid;
	int64_t start;

	(void)state;
	assert_int_equal(engine_post(w.e, meter_uid("b", SLICE_NONE), 0, 5), BUR_NOTFOUND); /* not used yet */
	old = sent(&w, 600, NOON);
	uid = old.m[0].uid;
	start = old.m[0].win_start;
	spend(&w, 100, NOON + DAY_S);
	assert_int_equal(engine_post(w.e, uid, start, 50), BUR_OK); /* a call is still under way in it */
	settled(&w, &old, 600);
	assert_int_equal(engine_post(w.e, uid, start, 50), BUR_NOTFOUND);
	assert_int_equal(engine_post(w.e, uid + 1, start, 50), BUR_NOTFOUND);
	h = sent(&w, 900, NOON + DAY_S); /* the new window knows nothing of it */
	settled(&w, &h, 900);
	world_done(&w);
}

static void restore_adds_to_the_open_window(void **state)
{
	struct budget defs[2] = {budget_of("all", 100), budget_of("user", 100)};
	int64_t today = NOON - DAY_S / 2;
	struct world w;

	(void)state;
	budget_per(&defs[1], FACT_USER);
	w = world_of(defs, 2);
	assert_int_equal(restore(&w, "all", "", today, 30, 0), BUR_OK);
	assert_int_equal(restore(&w, "all", "", today, 40, 5), BUR_OK);
	assert_int_equal(restore(&w, "user", "user=ann", today, 90, 0), BUR_OK);
	assert_meter(&w, 0, NOON, 70, 0);
	assert_int_equal(view_of(&w, 0, NOON).credit, 5);
	assert_denied(&w, 11, NOON, VERDICT_SPENT);
	assert_string_equal(w.d.blocked[0].scope, "user=ann");
	(void)reserved(&w, 10, NOON);
	world_done(&w);
}

static void r5_8_credit_lasts_one_window(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);

	(void)state;
	assert_int_equal(restore(&w, "b", "", NOON - DAY_S / 2, 100, 20), BUR_OK);
	assert_denied(&w, 21, NOON, VERDICT_SPENT);
	assert_int_equal(w.d.blocked[0].limit, 120);
	spend(&w, 20, NOON);
	assert_denied(&w, 101, NOON + DAY_S, VERDICT_SPENT);
	(void)reserved(&w, 100, NOON + DAY_S);
	world_done(&w);
}

static void restore_skips_what_is_gone(void **state)
{
	struct budget defs[2] = {budget_of("all", 100), budget_of("user", 100)};
	int64_t today = NOON - DAY_S / 2;
	char scope[400];
	struct world w;

	(void)state;
	budget_per(&defs[1], FACT_USER);
	w = world_of(defs, 2);
	assert_int_equal(restore(&w, "deleted", "", today, 1, 0), BUR_NOTFOUND);
	assert_int_equal(restore(&w, "all", "", today - DAY_S, 1, 0), BUR_NOTFOUND);  /* closed */
	assert_int_equal(restore(&w, "all", "", today + 1, 1, 0), BUR_NOTFOUND);      /* other bounds */
	assert_int_equal(restore(&w, "all", "user=ann", today, 1, 0), BUR_NOTFOUND);  /* `per` was dropped */
	assert_int_equal(restore(&w, "user", "", today, 1, 0), BUR_NOTFOUND);         /* `per` was added */
	assert_int_equal(restore(&w, "user", "team=ads", today, 1, 0), BUR_NOTFOUND); /* `per` was changed */
	memset(scope, 'u', sizeof(scope));
	memcpy(scope, "user=", 5);
	scope[399] = '\0';
	assert_int_equal(restore(&w, "user", scope, today, 1, 0), BUR_NOTFOUND);
	assert_int_equal(restore(&w, "all", "", today, -1, 0), BUR_INVALID);
	assert_int_equal(restore(&w, "all", "", today, INT64_MAX, INT64_MAX), BUR_OK);
	assert_int_equal(restore(&w, "all", "", today, 1, 0), BUR_OVERFLOW);
	assert_int_equal(restore(&w, "all", "", today, 0, 1), BUR_OVERFLOW);
	assert_int_equal(engine_snapshot(w.e, NOON, NULL, 0), 1);
	world_done(&w);
}

/* The day began with the same second as the hour that was written once, and that hour is over. */
static void restore_skips_a_window_that_ended(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	int64_t today = NOON - DAY_S / 2;

	(void)state;
	assert_int_equal(engine_restore(w.e, SLICE("b"), SLICE_NONE, today, today + HOUR_S, 5, 0, 0, NOON),
			 BUR_NOTFOUND);
	assert_meter(&w, 0, NOON + DAY_S, 0, 0);
	/* The engine is already in tomorrow: yesterday's row is late. */
	assert_int_equal(restore(&w, "b", "", today, 5, 0), BUR_NOTFOUND);
	assert_meter(&w, 0, NOON + DAY_S, 0, 0);
	world_done(&w);
}

static void snapshot_lists_budgets_without_calls(void **state)
{
	struct budget defs[3] = {budget_of("a", 1), budget_of("per", 2), soft_of("c", 3)};
	struct meter_view v[3] = {{.uid = 1}, {.uid = 2}, {.uid = 3}};
	struct world w;

	(void)state;
	budget_per(&defs[1], FACT_USER);
	w = world_of(defs, 3);
	assert_int_equal(engine_snapshot(w.e, NOON, v, 1), 2); /* tells how many there are, fills what fits */
	assert_string_equal(v[0].budget->name, "a");
	assert_int_equal(v[1].uid, 2);
	assert_int_equal(engine_snapshot(w.e, NOON, v, 3), 2);
	assert_string_equal(v[1].budget->name, "c");
	assert_int_equal(v[1].limit, 3);
	assert_true(v[1].uid == meter_uid("c", SLICE_NONE));
	assert_int_equal(v[1].win_start, NOON - DAY_S / 2);
	assert_int_equal(v[2].uid, 3);
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(r5_5_corrections_move_open_windows),
	    cmocka_unit_test(r5_5_closed_windows_are_left_alone),
	    cmocka_unit_test(restore_adds_to_the_open_window),
	    cmocka_unit_test(r5_8_credit_lasts_one_window),
	    cmocka_unit_test(restore_skips_what_is_gone),
	    cmocka_unit_test(restore_skips_a_window_that_ended),
	    cmocka_unit_test(snapshot_lists_budgets_without_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
