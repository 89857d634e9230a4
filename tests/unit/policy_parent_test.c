/* A child cannot promise more than its parent has, and what it spends its parent spends. */
#include "tests/unit/policy_build.h"

#include "policy/parent.h"

static struct budget child_of(const char *name, const char *parent, int64_t limit)
{
	struct budget b = budget_of(name, limit);

	b.parent = parent;
	return b;
}

static void assert_refused(const struct budget *defs, size_t n, const char *budget, const char *words)
{
	struct budget_set *set = NULL;
	char err[512] = "", name[64];

	assert_int_equal(budget_set_new(defs, n, &set, err, sizeof(err)), BUR_INVALID);
	(void)snprintf(name, sizeof(name), "budget `%s`:", budget);
	if (strncmp(err, name, strlen(name)) != 0 || !strstr(err, words))
		fail_msg("gave %s, wanted %s ... %s", err, name, words);
}

static void assert_good(const struct budget *defs, size_t n)
{
	budget_set_free(set_of(defs, n));
}

static void a_child_has_no_more_than_its_parent(void **state)
{
	struct budget d[2] = {budget_of("org", 50000000000), child_of("team", "org", 50000000000)};

	(void)state;
	assert_good(d, 2);
	d[1].limit++;
	assert_refused(d, 2, "team", "50.000000001 USD (day) is above the 50 USD (day) of its parent `org`");
	d[0].window.kind = WINDOW_MONTH; /* a day lies in a month */
	assert_refused(d, 2, "team", "is above");
	d[0].window.kind = WINDOW_HOUR; /* but not in an hour */
	assert_good(d, 2);
	d[0].window.kind = WINDOW_DAY;
	d[1].unit = UNIT_TOKENS; /* nothing to compare */
	assert_good(d, 2);
	d[0].unit = UNIT_TOKENS;
	assert_refused(d, 2, "team", "50000000001 tokens");
	d[0].rolling_s = DAY_S;
	assert_good(d, 2);
	d[1].rolling_s = DAY_S / 2;
	assert_refused(d, 2, "team", "is above");
}

static void each_limit_of_a_group_counts(void **state)
{
	struct budget d[4] = {budget_of("org/day", 10), budget_of("org/month", 100), child_of("team/day", "org", 10),
			      child_of("team/month", "org", 100)};

	(void)state;
	d[0].group = d[1].group = "org";
	d[2].group = d[3].group = "team";
	d[1].window.kind = d[3].window.kind = WINDOW_MONTH;
	assert_good(d, 4);
	d[3].limit = 101;
	assert_refused(d, 4, "team/month", "`org`");
	d[3].limit = 100;
	d[2].limit = 11;
	assert_refused(d, 4, "team/day", "`org`");
	d[2].parent = d[3].parent = "org/day"; /* people write the group's name */
	assert_refused(d, 4, "team/day", "no budget `org/day`");
}

static void lines_end(void **state)
{
	struct budget d[20];
	char names[20][16];

	(void)state;
	d[0] = child_of("a", "a", 1);
	assert_refused(d, 1, "a", "back to itself");
	d[0].parent = "b";
	assert_refused(d, 1, "a", "no budget `b`");
	d[1] = child_of("b", "c", 1);
	d[2] = child_of("c", "a", 1);
	assert_refused(d, 3, "a", "back to itself");
	d[2].parent = "b"; /* a circle that a is not part of */
	assert_refused(d, 3, "a", "back to itself");
	for (int i = 0; i < 20; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "b%d", i);
		d[i] = child_of(names[i], i > 0 ? names[i - 1] : NULL, 1);
	}
	assert_good(d, 16);
	assert_refused(d, 20, "b17", "too far");
}

static void a_parent_takes_all_that_its_child_takes(void **state)
{
	struct budget d[2] = {budget_of("org", 10), child_of("team", "org", 10)};

	(void)state;
	budget_select(&d[1], FACT_TEAM, "search");
	budget_select(&d[1], FACT_MODEL, "gpt-5*");
	assert_good(d, 2);
	budget_select(&d[0], FACT_TEAM, "search");
	assert_good(d, 2);
	d[0].match[0].value = "sea*";
	assert_good(d, 2);
	d[0].match[0].value = "*";
	assert_good(d, 2);
	budget_select(&d[0], FACT_MODEL, "gpt-*");
	assert_good(d, 2);
	d[0].match[1].value = "gpt-5-mini";
	assert_refused(d, 2, "team", "only calls with model `gpt-5-mini`");
	d[0].match[1].value = "gpt-5-*";
	assert_refused(d, 2, "team", "only calls with model");
	d[0].match[1].value = "gpt-5";
	assert_refused(d, 2, "team", "only calls with model `gpt-5`");
	d[0].match[1] = (struct selector){.fact = FACT_TAG, .tag = "env", .value = "*"};
	assert_refused(d, 2, "team", "only calls with tag.env `*`"); /* a call without the tag is not the parent's */
	d[1].match[1] = (struct selector){.fact = FACT_TAG, .tag = "env", .value = "prod"};
	assert_good(d, 2);
	d[1].match[1].tag = "app";
	assert_refused(d, 2, "team", "tag.env");
}

static void one_counter_lies_in_one(void **state)
{
	struct budget d[2] = {budget_of("team", 10), child_of("user", "team", 10)};

	(void)state;
	budget_per(&d[0], FACT_TEAM);
	assert_refused(d, 2, "user", "a counter for each team");
	budget_per(&d[1], FACT_USER);
	assert_refused(d, 2, "user", "a counter for each team");
	budget_per(&d[1], FACT_TEAM);
	assert_good(d, 2);
	d[1].n_per = 1;
	budget_select(&d[1], FACT_TEAM, "search");
	assert_good(d, 2);
	d[1].match[0].value = "sea*";
	assert_refused(d, 2, "user", "a counter for each team");
}

struct told {
	size_t n;
	char text[PARENT_TEXT_MAX];
};

static void tell(void *ctx, const char *text)
{
	struct told *t = ctx;

	t->n++;
	(void)snprintf(t->text, sizeof(t->text), "%s", text);
}

static struct told overcommits(const struct budget *defs, size_t n)
{
	struct told t = {.n = 0};

	parent_each_overcommit(defs, n, tell, &t);
	return t;
}

static void children_who_promise_too_much_are_told(void **state)
{
	struct budget d[4] = {budget_of("org", 100000000000), child_of("a", "org", 60000000000),
			      child_of("b", "org", 40000000000), child_of("c", "org", 1000000000)};
	struct told t;

	(void)state;
	assert_int_equal(overcommits(d, 3).n, 0);
	assert_int_equal(overcommits(NULL, 0).n, 0);
	t = overcommits(d, 4);
	assert_int_equal(t.n, 1);
	assert_non_null(strstr(t.text, "parent `org` promise 101 USD (day) together, which is more than its 100 USD"));
	d[3].window.kind = WINDOW_HOUR;
	assert_int_equal(overcommits(d, 4).n, 0);
	d[3].window.kind = WINDOW_DAY;
	budget_per(&d[3], FACT_USER);
	assert_int_equal(overcommits(d, 4).n, 0);
	d[1].limit = d[2].limit = d[0].limit = INT64_MAX;
	assert_int_equal(overcommits(d, 3).n, 1);
}

/* At run time. */
static void a_child_spends_its_parents_money(void **state)
{
	struct budget d[3] = {budget_of("org", 100), child_of("a", "org", 80), child_of("b", "org", 80)};
	struct engine_config cfg = {.max_meters = 8};
	struct facts a = facts_of("ann", "a"), b = facts_of("bob", "b");
	struct amounts worst = usd(60);
	struct meter_view v[3];
	struct budget_set *set;
	struct decision dec;
	struct engine *e;
	struct match m;
	struct hold h;

	(void)state;
	budget_select(&d[1], FACT_TEAM, "a");
	budget_select(&d[2], FACT_TEAM, "b");
	set = set_of(d, 3);
	e = engine_new(set, &cfg);
	assert_int_equal(engine_match(e, &a, &m), BUR_OK);
	assert_int_equal(engine_reserve(e, &m, &worst, NOON, &h, &dec), BUR_OK);
	assert_int_equal(engine_snapshot(e, NOON, v, 3), 3);
	assert_int_equal(v[0].held, 60);
	assert_int_equal(v[1].held, 60);
	assert_int_equal(v[2].held, 0);
	assert_int_equal(engine_match(e, &b, &m), BUR_OK);
	assert_int_equal(engine_reserve(e, &m, &worst, NOON, &h, &dec), BUR_DENIED);
	assert_int_equal(dec.n_blocked, 1);
	assert_string_equal(dec.blocked[0].budget->name, "org");
	engine_free(e);
	budget_set_free(set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_child_has_no_more_than_its_parent),
	    cmocka_unit_test(each_limit_of_a_group_counts),
	    cmocka_unit_test(lines_end),
	    cmocka_unit_test(a_parent_takes_all_that_its_child_takes),
	    cmocka_unit_test(one_counter_lies_in_one),
	    cmocka_unit_test(children_who_promise_too_much_are_told),
	    cmocka_unit_test(a_child_spends_its_parents_money),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
