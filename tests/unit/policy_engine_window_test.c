/* Windows that end while calls are under way, many at once; and what start-up does when it cannot restore. */
#include "policy/engine_internal.h" /* for the spare windows */

#include "tests/unit/policy_build.h"

#define USERS 300

static struct world {
	struct budget_set *set;
	struct engine *e;
	struct hold holds[USERS];
	struct meter_view views[3 * USERS];
} w;

static void world_begin(const struct budget *defs, size_t n)
{
	struct engine_config cfg = {.max_meters = 2 * USERS};

	w.set = set_of(defs, n);
	w.e = engine_new(w.set, &cfg);
	assert_non_null(w.e);
}

static void world_end(void)
{
	engine_check(w.e);
	engine_free(w.e);
	budget_set_free(w.set);
}

static int reserve(int user, int64_t nanousd, int64_t now_s, struct hold *h)
{
	struct amounts worst = usd(nanousd);
	struct decision d;
	struct facts f;
	struct match m;
	char name[16];

	(void)snprintf(name, sizeof(name), "u%d", user);
	f = facts_of(name, "");
	assert_int_equal(engine_match(w.e, &f, &m), BUR_OK);
	return engine_reserve(w.e, &m, &worst, now_s, h, &d);
}

static void settle(struct hold *h, int64_t nanousd)
{
	struct amounts actual = usd(nanousd);
	struct settlement s;

	assert_int_equal(engine_mark_sent(w.e, h), BUR_OK);
	assert_int_equal(engine_settle(w.e, h, &actual, &s), BUR_OK);
}

static struct budget per_user(int64_t limit)
{
	struct budget b = budget_of("b", limit);

	b.window.kind = WINDOW_HOUR;
	budget_per(&b, FACT_USER);
	return b;
}

/* At the boundary every counter needs room for a second window, and there is no malloc under the lock. */
static void r7_4_many_windows_end_at_once(void **state)
{
	struct budget b = per_user(100);
	size_t spare_places;

	(void)state;
	world_begin(&b, 1);
	for (int i = 0; i < USERS; i++)
		assert_int_equal(reserve(i, 10 + i % 7, NOON, &w.holds[i]), BUR_OK);
	assert_int_equal(engine_snapshot(w.e, NOON, w.views, ARRAY_LEN(w.views)), USERS);
	assert_int_equal(engine_snapshot(w.e, NOON + HOUR_S, w.views, ARRAY_LEN(w.views)), 2 * USERS);
	engine_check(w.e);
	for (int i = 0; i < USERS; i++) {
		const struct meter_view *now = &w.views[2 * i], *past = &w.views[2 * i + 1];

		assert_false(now->closing);
		assert_int_equal(now->held, 0);
		assert_true(past->closing);
		assert_int_equal(past->held, 10 + i % 7);
	}
	for (int i = 0; i < USERS; i++)
		settle(&w.holds[i * 7 % USERS], 3);
	assert_int_equal(engine_snapshot(w.e, NOON + HOUR_S, w.views, ARRAY_LEN(w.views)), USERS);
	spare_places = w.e->n_past;
	/* The same again takes no more room. */
	for (int i = 0; i < USERS; i++)
		assert_int_equal(reserve(i, 10, NOON + HOUR_S, &w.holds[i]), BUR_OK);
	assert_int_equal(engine_snapshot(w.e, NOON + 2 * HOUR_S, w.views, ARRAY_LEN(w.views)), 2 * USERS);
	assert_int_equal(w.e->n_past, spare_places);
	for (int i = 0; i < USERS; i++)
		assert_int_equal(engine_void(w.e, &w.holds[i]), BUR_OK);
	world_end();
}

static void r7_4_each_hold_finds_its_own_window(void **state)
{
	struct budget b = per_user(1000);
	size_t n;

	(void)state;
	world_begin(&b, 1);
	for (int i = 0; i < 6; i++)
		assert_int_equal(reserve(0, 100 + i, NOON + i * HOUR_S, &w.holds[i]), BUR_OK);
	assert_int_equal(engine_void(w.e, &w.holds[2]), BUR_OK); /* from the middle of the list */
	settle(&w.holds[4], 1);
	n = engine_snapshot(w.e, NOON + 5 * HOUR_S, w.views, ARRAY_LEN(w.views));
	assert_int_equal(n, 4);
	for (size_t i = 0; i < n; i++) {
		int64_t hour = (w.views[i].win_start - NOON) / HOUR_S;

		assert_true(hour != 2 && hour != 4);
		assert_int_equal(w.views[i].held, 100 + hour);
		assert_int_equal(w.views[i].win_end, NOON + (hour + 1) * HOUR_S);
		assert_int_equal(w.views[i].closing, hour != 5);
	}
	world_end();
}

/* R5.5: as long as a hold is left in a window that is over, corrections reach it. */
static void r5_5_a_past_window_can_be_corrected_while_it_has_holds(void **state)
{
	struct budget b = per_user(1000);
	uint64_t uid = meter_uid("b", SLICE("user=u0"));

	(void)state;
	world_begin(&b, 1);
	assert_int_equal(reserve(0, 100, NOON, &w.holds[0]), BUR_OK);
	assert_int_equal(reserve(0, 50, NOON + HOUR_S, &w.holds[1]), BUR_OK);
	assert_int_equal(engine_post(w.e, uid, NOON, 7), BUR_OK);
	assert_int_equal(engine_snapshot(w.e, NOON + HOUR_S, w.views, 2), 2);
	assert_int_equal(w.views[0].posted, 0);
	assert_int_equal(w.views[1].posted, 7);
	settle(&w.holds[0], 20);
	assert_int_equal(engine_post(w.e, uid, NOON, 7), BUR_NOTFOUND);
	world_end();
}

static void a_restore_that_fails_leaves_nothing(void **state)
{
	struct budget b = budget_of("b", 100);
	int64_t start = NOON - 12 * HOUR_S, end = start + DAY_S;

	(void)state;
	world_begin(&b, 1);
	assert_int_equal(engine_restore(w.e, SLICE("b"), SLICE_NONE, start, end, 5, INT64_MAX, 1, NOON), BUR_OK);
	assert_int_equal(engine_restore(w.e, SLICE("b"), SLICE_NONE, start, end, 7, 1, 2, NOON), BUR_OVERFLOW);
	assert_int_equal(engine_snapshot(w.e, NOON, w.views, 1), 1);
	assert_int_equal(w.views[0].posted, 5);
	assert_int_equal(w.views[0].credit, INT64_MAX);
	assert_int_equal(w.views[0].warned_mask, 1);
	world_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(r7_4_many_windows_end_at_once),
	    cmocka_unit_test(r7_4_each_hold_finds_its_own_window),
	    cmocka_unit_test(r5_5_a_past_window_can_be_corrected_while_it_has_holds),
	    cmocka_unit_test(a_restore_that_fails_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
