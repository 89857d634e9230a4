/* Which channels are told of what. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "alerts/rule.h"

static const struct channel_ops ops = {.type = "chat"};
static struct channel channels[] = {
    {.name = "mail:ann", .group = "mail", .ops = &ops, .severity = SEVERITY_WARNING},
    {.name = "mail:bob", .group = "mail", .ops = &ops, .severity = SEVERITY_WARNING},
    {.name = "page", .group = "page", .ops = &ops, .severity = SEVERITY_CRITICAL},
    {.name = "log", .group = "log", .ops = &ops, .severity = SEVERITY_INFO},
};
#define ANN 1U
#define BOB 2U
#define PAGE 4U
#define LOG 8U

static struct rule rules[2];
static struct alerts_config config = {.channels = channels, .n_channels = 4, .rules = rules};

static uint64_t route(const char *text)
{
	json_t *facts = json_loads(text, 0, NULL);
	uint64_t set;

	assert_non_null(facts);
	set = rules_route(&config, facts);
	json_decref(facts);
	return set;
}

static int setup(void **state)
{
	(void)state;
	memset(rules, 0, sizeof(rules));
	config.n_rules = 0;
	return 0;
}

static void patterns(void **state)
{
	(void)state;
	assert_true(rule_text_matches("budget.*", "budget.exceeded"));
	assert_true(rule_text_matches("*", ""));
	assert_false(rule_text_matches("budget.*", "budget"));
	assert_false(rule_text_matches("budget", "budget.exceeded"));
	assert_true(rule_text_matches("", ""));
	assert_false(rule_text_matches("", "x"));
}

static void no_rules(void **state)
{
	(void)state;
	assert_int_equal(route("{\"type\":\"x\",\"severity\":\"info\"}"), LOG);
	assert_int_equal(route("{\"type\":\"x\",\"severity\":\"error\"}"), ANN | BOB | LOG);
	assert_int_equal(route("{\"type\":\"x\",\"severity\":\"critical\"}"), ANN | BOB | LOG | PAGE);
	assert_int_equal(route("{\"type\":\"x\"}"), LOG);
}

static void by_event_budget_and_label(void **state)
{
	static const char *const events[] = {"budget.*", "breaker.opened"}, *const budgets[] = {"prod-*"},
				 *const to[] = {"mail:bob", "page"}, *const teams[] = {"search", "ads"};

	(void)state;
	config.n_rules = 1;
	rules[0] = (struct rule){.events = events,
				 .n_events = 2,
				 .budgets = budgets,
				 .n_budgets = 1,
				 .match = {{.label = "team", .values = teams, .n_values = 2}},
				 .n_match = 1,
				 .channels = to,
				 .n_channels = 2,
				 .has_severity = true,
				 .severity = SEVERITY_ERROR};
	assert_int_equal(route("{\"type\":\"budget.exceeded\",\"severity\":\"error\",\"budget_id\":\"prod-1\","
			       "\"labels\":{\"team\":\"ads\"}}"),
			 BOB | PAGE);
	assert_int_equal(route("{\"type\":\"budget.exceeded\",\"severity\":\"warning\",\"budget_id\":\"prod-1\","
			       "\"labels\":{\"team\":\"ads\"}}"),
			 0);
	assert_int_equal(route("{\"type\":\"stop.set\",\"severity\":\"error\",\"budget_id\":\"prod-1\","
			       "\"labels\":{\"team\":\"ads\"}}"),
			 0);
	assert_int_equal(route("{\"type\":\"breaker.opened\",\"severity\":\"error\",\"labels\":{\"team\":\"ads\"}}"),
			 0);
	assert_int_equal(
	    route("{\"type\":\"budget.exceeded\",\"severity\":\"error\",\"budget_id\":\"prod-1\",\"labels\":{}}"), 0);
	/* rules add up */
	config.n_rules = 2;
	assert_int_equal(route("{\"type\":\"stop.set\",\"severity\":\"error\"}"), ANN | BOB | LOG);
}

static void not_of_itself(void **state)
{
	(void)state;
	assert_int_equal(route("{\"type\":\"system.degraded\",\"severity\":\"critical\","
			       "\"scope\":{\"kind\":\"channel\",\"id\":\"mail:ann\"}}"),
			 BOB | LOG | PAGE);
	assert_int_equal(route("{\"type\":\"system.degraded\",\"severity\":\"critical\","
			       "\"scope\":{\"kind\":\"channel\",\"id\":\"mail\"}}"),
			 LOG | PAGE);
}

static void escalation(void **state)
{
	static const char *const page[] = {"page"};
	json_t *facts = json_loads("{\"type\":\"budget.exceeded\",\"severity\":\"error\"}", 0, NULL);
	int64_t after;

	(void)state;
	assert_int_equal(rules_escalate(&config, facts, &after), ANN | BOB | LOG | PAGE);
	assert_int_equal(after, 0);
	config.n_rules = 2;
	rules[0] = (struct rule){.escalate_s = 900};
	rules[1] = (struct rule){.escalate_s = 600, .escalate_to = page, .n_escalate_to = 1};
	assert_int_equal(rules_escalate(&config, facts, &after), ANN | BOB | LOG | PAGE);
	assert_int_equal(after, 600);
	rules[0].escalate_s = 0;
	assert_int_equal(rules_escalate(&config, facts, &after), PAGE);
	rules[1].has_severity = true;
	rules[1].severity = SEVERITY_CRITICAL;
	assert_int_equal(rules_escalate(&config, facts, &after), ANN | BOB | LOG | PAGE);
	assert_int_equal(after, 0);
	json_decref(facts);
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(patterns), TEST(no_rules), TEST(by_event_budget_and_label), TEST(not_of_itself), TEST(escalation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
