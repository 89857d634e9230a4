/* Looking at single counters, and at all of them a page at a time. */
#include "policy/engine_meter.h"
#include "policy/engine_page.h"
#include "tests/unit/policy_world.h"

static void one_counter_as_it_is(void **state)
{
	struct budget defs[] = {budget_of("calendar", 1000), budget_of("rolling", 1000)};
	const struct budget *b = NULL;
	const char *scope = NULL;
	struct meter_view v;
	struct world w;
	struct hold h;

	(void)state;
	defs[1].rolling_s = HOUR_S;
	defs[1].window_name = "rolling 1h";
	w = world_of(defs, ARRAY_LEN(defs));
	h = sent(&w, 300, NOON);
	for (size_t i = 0; i < h.n; i++) {
		assert_int_equal(engine_meter_view(w.e, h.m[i].uid, NOON, &v), BUR_OK);
		assert_int_equal(v.held, 300);
		assert_int_equal(v.posted, 0);
		assert_int_equal(v.limit, 1000);
		assert_false(v.closing);
		assert_true(v.win_start < NOON && v.win_end > NOON);
		assert_int_equal(engine_meter_of(w.e, h.m[i].uid, &b, &scope), BUR_OK);
		assert_ptr_equal(b, v.budget);
		assert_string_equal(scope, "");
		assert_true(v.win_start == (strcmp(b->name, "rolling") == 0 ? NOON - HOUR_S : NOON - DAY_S / 2));
	}
	assert_int_equal(engine_void(w.e, &h), BUR_OK);
	assert_int_equal(engine_meter_view(w.e, 1, NOON, &v), BUR_NOTFOUND);
	assert_int_equal(engine_meter_of(w.e, 1, &b, &scope), BUR_NOTFOUND);
	world_done(&w);
}

static void all_counters_a_page_at_a_time(void **state)
{
	struct budget def = budget_of("each", 1000);
	char user[] = "user-a";
	uint64_t uid[8];
	struct world w;

	(void)state;
	budget_per(&def, FACT_USER);
	w = world_of(&def, 1);
	assert_int_equal(engine_uids(w.e, 0, uid, ARRAY_LEN(uid)), 0);
	for (char c = 'a'; c < 'f'; c++) {
		user[5] = c;
		(void)match_of(&w, user, "search");
	}
	assert_int_equal(engine_uids(w.e, 0, uid, 3), 3);
	assert_int_equal(engine_uids(w.e, 3, uid + 3, 3), 2);
	assert_int_equal(engine_uids(w.e, 5, uid, 3), 0);
	for (size_t i = 0; i < 5; i++)
		for (size_t k = 0; k < i; k++)
			assert_true(uid[i] != uid[k]);
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(one_counter_as_it_is),
	    cmocka_unit_test(all_counters_a_page_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
