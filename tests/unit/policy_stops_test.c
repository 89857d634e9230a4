/* Kill switches: what each kind covers, prefixes, one entry for each thing, and the words people write. */
#include "policy/stops.h"

#include "tests/unit/policy_build.h"

static struct facts call_of(const char *key, const char *model)
{
	struct facts f = {0};

	f.v[FACT_KEY] = slice_of(key);
	f.v[FACT_MODEL] = slice_of(model);
	f.v[FACT_TEAM] = SLICE("search");
	return f;
}

static struct stop stop_of(int what, const char *value, const char *reason, bool cut)
{
	return (struct stop){.what = what, .value = value, .reason = reason, .actor = "ops", .since_ns = 7, .cut = cut};
}

static void words_and_facts_agree(void **state)
{
	static const char *const words[] = {"provider", "model", "key", "user", "team", "project", "everything"};
	int what;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		assert_int_equal(stop_parse(slice_of(words[i]), &what), BUR_OK);
		assert_string_equal(stop_word(what), words[i]);
	}
	assert_int_equal(stop_parse(SLICE("tag.env"), &what), BUR_INVALID);
	assert_int_equal(stop_parse(SLICE(""), &what), BUR_INVALID);
	assert_string_equal(stop_word(-1), "unknown");
}

static void nothing_is_stopped_without_a_set(void **state)
{
	struct facts f = call_of("ann", "gpt-5");

	(void)state;
	assert_null(stop_set_find(NULL, &f, false));
	assert_null(stop_set_get(NULL, FACT_KEY, SLICE("ann")));
	assert_int_equal(stop_set_len(NULL), 0);
	stop_set_unref(NULL);
	assert_null(stop_set_ref(NULL));
}

static void each_kind_covers_its_own(void **state)
{
	struct stop one = stop_of(FACT_KEY, "ann", "leak", false);
	struct stop_set *s = stop_set_new(&one, 1);
	struct facts ann = call_of("ann", "gpt-5"), bob = call_of("bob", "gpt-5"), nobody = call_of("", "ann");

	(void)state;
	assert_non_null(s);
	assert_non_null(stop_set_find(s, &ann, false));
	assert_string_equal(stop_set_find(s, &ann, false)->reason, "leak");
	assert_null(stop_set_find(s, &bob, false));
	assert_null(stop_set_find(s, &nobody, false)); /* "ann" is its model */
	stop_set_unref(s);
}

static void a_star_stands_for_a_prefix(void **state)
{
	struct stop one = stop_of(FACT_MODEL, "gpt-5*", "dear", false);
	struct stop_set *s = stop_set_new(&one, 1);
	struct facts mini = call_of("ann", "gpt-5-mini"), old = call_of("ann", "gpt-4.1"), none = call_of("ann", "");

	(void)state;
	assert_non_null(stop_set_find(s, &mini, false));
	assert_null(stop_set_find(s, &old, false));
	assert_null(stop_set_find(s, &none, false));
	stop_set_unref(s);
}

static void everything_covers_calls_of_which_nothing_is_known(void **state)
{
	struct stop one = stop_of(STOP_EVERYTHING, "", "fire", true);
	struct stop_set *s = stop_set_new(&one, 1);
	struct facts none = {0};

	(void)state;
	assert_non_null(stop_set_find(s, &none, false));
	assert_non_null(stop_set_find(s, &none, true));
	stop_set_unref(s);
}

static void running_calls_end_only_where_it_was_asked_for(void **state)
{
	struct stop both[] = {stop_of(FACT_KEY, "ann", "a", false), stop_of(FACT_TEAM, "search", "b", true)};
	struct stop_set *s = stop_set_new(both, 2);
	struct facts ann = call_of("ann", "m"), other = call_of("ann", "m");

	(void)state;
	other.v[FACT_TEAM] = SLICE("ads");
	assert_string_equal(stop_set_find(s, &ann, true)->reason, "b");
	assert_null(stop_set_find(s, &other, true));
	assert_non_null(stop_set_find(s, &other, false));
	stop_set_unref(s);
}

static void the_same_thing_stands_once(void **state)
{
	struct stop list[] = {stop_of(FACT_KEY, "ann", "first", false), stop_of(FACT_USER, "ann", "user", false),
			      stop_of(FACT_KEY, "ann", "second", true)};
	struct stop_set *s = stop_set_new(list, 3), *again = stop_set_ref(s);

	(void)state;
	assert_ptr_equal(s, again);
	assert_int_equal(stop_set_len(s), 2);
	assert_string_equal(stop_set_get(s, FACT_KEY, SLICE("ann"))->reason, "second");
	assert_true(stop_set_get(s, FACT_KEY, SLICE("ann"))->cut);
	assert_null(stop_set_at(s, 2));
	stop_set_unref(again);
	assert_string_equal(stop_set_at(s, 0)->actor, "ops"); /* it is its own copy */
	stop_set_unref(s);
	assert_null(stop_set_new(list, STOPS_MAX + 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(words_and_facts_agree),
	    cmocka_unit_test(nothing_is_stopped_without_a_set),
	    cmocka_unit_test(each_kind_covers_its_own),
	    cmocka_unit_test(a_star_stands_for_a_prefix),
	    cmocka_unit_test(everything_covers_calls_of_which_nothing_is_known),
	    cmocka_unit_test(running_calls_end_only_where_it_was_asked_for),
	    cmocka_unit_test(the_same_thing_stands_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
