/* Which counters a call touches, and what hard budgets say of unknown models. */
#include "policy/engine_internal.h"

#include "tests/unit/policy_world.h"

static void match_finds_one_counter_per_value(void **state)
{
	struct budget defs[3] = {budget_of("all", 9), budget_of("user", 9), soft_of("search", 9)};
	struct match ann, bob, again;
	const struct budget *budget;
	const char *scope;
	struct world w;

	(void)state;
	budget_per(&defs[1], FACT_USER);
	budget_select(&defs[2], FACT_TEAM, "search");
	w = world_of(defs, 3);
	ann = match_of(&w, "ann", "search");
	bob = match_of(&w, "bob", "ads");
	again = match_of(&w, "ann", "search");
	assert_int_equal(ann.n, 3);
	assert_int_equal(bob.n, 2);
	assert_int_equal(again.n, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(ann.meter[i], again.meter[i]);
		assert_true(i == 0 || ann.meter[i] > ann.meter[i - 1]);
	}
	assert_true(ann.meter[2] != bob.meter[1]);
	assert_string_equal(view_of(&w, 2, NOON).scope, "user=ann");
	engine_meter_name(w.e, bob.meter[1], &budget, &scope);
	assert_string_equal(budget->name, "user");
	assert_string_equal(scope, "user=bob");
	world_done(&w);
}

static void r4_3_the_number_of_counters_is_bounded(void **state)
{
	struct budget b = budget_of("b", 9);
	struct world w;
	char user[16];
	struct facts f;
	struct match m;

	(void)state;
	budget_per(&b, FACT_USER);
	w = world_of(&b, 1);
	for (int i = 0; i < 100; i++) {
		(void)snprintf(user, sizeof(user), "user%d", i);
		f = facts_of(user, NULL);
		assert_int_equal(engine_match(w.e, &f, &m), i < 64 ? BUR_OK : BUR_FULL);
	}
	f = facts_of("user7", NULL);
	assert_int_equal(engine_match(w.e, &f, &m), BUR_OK); /* those that are there go on */
	assert_int_equal(m.meter[0], 7);
	world_done(&w);
}

static void two_counters_never_share_an_identity(void **state)
{
	struct budget b = budget_of("b", 9);
	struct world w;
	uint64_t uid;
	uint32_t meter = 99;

	(void)state;
	budget_per(&b, FACT_USER);
	w = world_of(&b, 1);
	(void)match_of(&w, "ann", NULL);
	uid = meter_uid("b", SLICE("user=ann"));
	assert_int_equal(engine_table_find(w.e, &w.e->entries[0], SLICE("user=ann"), uid, &meter), BUR_OK);
	assert_int_equal(meter, 0);
	assert_int_equal(engine_table_find(w.e, &w.e->entries[0], SLICE("user=eve"), uid, &meter), BUR_FULL);
	world_done(&w);
}

static void deny_without_budget(void **state)
{
	struct budget b = budget_of("b", 9);
	struct engine_config cfg = {.max_meters = 4, .deny_without_budget = true};
	struct facts f = facts_of("ann", "search"), other = facts_of("ann", "ads");
	struct budget_set *set;
	struct engine *e;
	struct match m;

	(void)state;
	budget_select(&b, FACT_TEAM, "search");
	set = set_of(&b, 1);
	e = engine_new(set, &cfg);
	assert_int_equal(engine_match(e, &f, &m), BUR_OK);
	assert_int_equal(engine_match(e, &other, &m), BUR_NOTFOUND);
	engine_free(e);
	engine_free(NULL);
	budget_set_free(set);
}

static void strictest_hard_budget_answers_for_unknown_models(void **state)
{
	struct budget defs[3] = {soft_of("soft", 9), budget_of("free", 9), budget_of("charge", 9)};
	struct match m;
	struct world w;

	(void)state;
	defs[1].unknown_model = UNKNOWN_FREE;
	defs[2].unknown_model = UNKNOWN_CHARGE;
	defs[2].unknown_charge_nanousd = 7;
	for (size_t n = 1; n <= 3; n++) {
		w = world_of(defs, n);
		m = match_of(&w, NULL, NULL);
		assert_int_equal(m.any_hard, n > 1);
		assert_int_equal(m.unknown_model, n < 3 ? UNKNOWN_FREE : UNKNOWN_CHARGE);
		assert_int_equal(m.unknown_charge_nanousd, n < 3 ? 0 : 7);
		world_done(&w);
	}
	defs[0] = budget_of("block", 9);
	w = world_of(defs, 3);
	assert_int_equal(match_of(&w, NULL, NULL).unknown_model, UNKNOWN_BLOCK);
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(match_finds_one_counter_per_value),
	    cmocka_unit_test(r4_3_the_number_of_counters_is_bounded),
	    cmocka_unit_test(two_counters_never_share_an_identity),
	    cmocka_unit_test(deny_without_budget),
	    cmocka_unit_test(strictest_hard_budget_answers_for_unknown_models),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
