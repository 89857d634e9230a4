/* Opsgenie: alerts by alias, their limits, every answer. */
#include "tests/unit/alerts_chat.h"

static const char *const tags[] = {"money", "llm"};
static const char *const teams[] = {"platform"};
static const struct channel ops = {
    .name = "pager",
    .ops = &opsgenie_ops,
    .opsgenie = {.key = "secret", .tags = tags, .n_tags = 2, .responders = teams, .n_responders = 1},
};

#define BASE "https://api.opsgenie.com/v2/alerts"

static void test_golden(void **state)
{
	struct chat t;

	(void)state;
	chat_begin(&t, SAY_FIRE, SEVERITY_ERROR, "{\"scope\":{\"kind\":\"key\",\"id\":\"ci-bot\"}}");
	t.brief = (struct brief){
	    .title = "Budget b: 90 % used",
	    .text = "Nearly all of it is spent.",
	    .field = {{"Spent", "9 of 10 USD"}},
	    .n_fields = 1,
	    .next = "Calls are refused at 100 %.",
	    .command = "bursar budgets show b",
	    .footer = "node-1",
	};
	chat_request(&t, &ops);
	assert_string_equal(t.q.method, "POST");
	assert_string_equal(t.q.url, BASE);
	assert_true(chat_has_header(&t, "Authorization: GenieKey secret"));
	chat_equal(
	    t.body,
	    "{\"message\":\"Budget b: 90 % used\",\"alias\":\"" CHAT_KEY "\",\"description\":\"\u2757 Budget b: 90 % "
	    "used\\nNearly all of it is spent.\\nSpent: 9 of 10 USD\\nCalls are refused at 100 %.\\nbursar budgets "
	    "show b\\nnode-1\",\"responders\":[{\"name\":\"platform\",\"type\":\"team\"}],\"tags\":[\"bursar\","
	    "\"error\",\"money\",\"llm\"],\"details\":{\"Spent\":\"9 of 10 USD\"},\"entity\":\"key:ci-bot\","
	    "\"source\":\"bursar/node-1\",\"priority\":\"P2\"}");
	chat_end(&t);
}

static void test_actions(void **state)
{
	static const struct {
		enum message_op op;
		int step;
		const char *method, *url;
	} rows[] = {
	    {SAY_FIRE, 0, "POST", BASE},
	    {SAY_UPDATE, 0, "POST", BASE},
	    {SAY_UPDATE, 1, "PUT", BASE "/" CHAT_KEY "/priority?identifierType=alias"},
	    {SAY_ESCALATE, 1, "PUT", BASE "/" CHAT_KEY "/priority?identifierType=alias"},
	    {SAY_ACK, 0, "POST", BASE "/" CHAT_KEY "/acknowledge?identifierType=alias"},
	    {SAY_RESOLVE, 0, "POST", BASE "/" CHAT_KEY "/close?identifierType=alias"},
	    {SAY_DIGEST, 0, "POST", BASE},
	    {SAY_TEST, 0, "POST", BASE},
	    {SAY_TEST, 1, "POST", BASE "/" CHAT_ID "/close?identifierType=alias"},
	};
	static const char *const priorities[SEVERITY_COUNT] = {"P5", "P3", "P2", "P1"};
	char name[64];
	struct chat t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		chat_begin(&t, rows[i].op, SEVERITY_ERROR,
			   rows[i].op == SAY_DIGEST ? chat_facts_digest
			   : rows[i].op == SAY_TEST ? chat_facts_test
						    : chat_facts_budget);
		t.m.step = rows[i].step;
		chat_request(&t, &ops);
		assert_string_equal(t.q.method, rows[i].method);
		assert_string_equal(t.q.url, rows[i].url);
		(void)snprintf(name, sizeof(name), "%s-%d", message_op_name(rows[i].op), rows[i].step);
		chat_dump(&t, "opsgenie", name);
		chat_end(&t);
	}
	for (int s = 0; s < SEVERITY_COUNT; s++) {
		chat_begin(&t, SAY_FIRE, (enum severity)s, chat_facts_budget);
		chat_request(&t, &ops);
		assert_string_equal(chat_text(t.body, "priority"), priorities[s]);
		chat_end(&t);
	}
}

static void test_urls(void **state)
{
	static const char *const urls[][2] = {
	    {"https://api.eu.opsgenie.com", "https://api.eu.opsgenie.com/v2/alerts"},
	    {"https://api.eu.opsgenie.com/v2/alerts/", "https://api.eu.opsgenie.com/v2/alerts"},
	    {"https://api.atlassian.com/jsm/ops/integration",
	     "https://api.atlassian.com/jsm/ops/integration/v2/alerts"},
	};
	struct channel c = ops;
	struct chat t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		c.opsgenie.url = urls[i][0];
		chat_begin(&t, SAY_FIRE, SEVERITY_ERROR, chat_facts_budget);
		chat_request(&t, &c);
		assert_string_equal(t.q.url, urls[i][1]);
		chat_end(&t);
	}
}

static size_t details_size(const json_t *details)
{
	const char *name;
	json_t *value;
	size_t n = 0;

	json_object_foreach((json_t *)(uintptr_t)details, name, value)
	{
		assert_true(json_is_string(value));
		n += strlen(name) + json_string_length(value);
	}
	return n;
}

static void test_names(void **state)
{
	char *many[40];
	struct channel c = ops;
	struct chat t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(chat_units) + ARRAY_LEN(chat_hostile); i++) {
		chat_begin(&t, SAY_FIRE, SEVERITY_ERROR, chat_facts_budget);
		for (size_t k = 0; k < ARRAY_LEN(many); k++)
			many[k] =
			    chat_long(&t.arena, i < ARRAY_LEN(chat_units) ? chat_units[i]
									  : chat_hostile[i - ARRAY_LEN(chat_units)]);
		chat_fill(&t, many[0]);
		c.opsgenie.tags = (const char *const *)many;
		c.opsgenie.n_tags = ARRAY_LEN(many);
		t.m.node = many[0];
		(void)json_object_set_new(json_object_get(t.facts, "scope"), "id", json_string(many[0]));
		chat_request(&t, &c);
		assert_true(strlen(chat_text(t.body, "message")) <= 130);
		assert_true(strlen(chat_text(t.body, "alias")) <= 512);
		assert_true(strlen(chat_text(t.body, "description")) <= 15000);
		assert_true(strlen(chat_text(t.body, "entity")) <= 512);
		assert_true(strlen(chat_text(t.body, "source")) <= 100);
		assert_true(json_array_size(chat_at(t.body, "tags")) <= 20);
		assert_true(strlen(chat_text(t.body, "tags.2")) <= 50);
		assert_true(details_size(chat_at(t.body, "details")) <= 8000);
		chat_each_text(t.body, chat_check_utf8, NULL);
		chat_end(&t);
	}
}

static void test_answers(void **state)
{
	static const struct chat_row rows[] = {
	    {202, -1, "{\"result\":\"Request will be processed\"}", false, OUTCOME_SENT, 0, NULL},
	    {200, -1, "{}", false, OUTCOME_SENT, 0, NULL},
	    {204, -1, "", false, OUTCOME_RETRY, 0, "is that Opsgenie"},
	    {400, -1, "{\"message\":\"bad\"}", false, OUTCOME_DEAD, 0, "bad"},
	    {401, -1, "", false, OUTCOME_CHANNEL, 0, "opsgenie.key"},
	    {403, -1, "", false, OUTCOME_CHANNEL, 0, "api.eu.opsgenie.com"},
	    {422, -1, "{\"message\":\"Request body is not processable\"}", false, OUTCOME_DEAD, 0, "not processable"},
	    {429, 2, "", false, OUTCOME_RETRY, 2, NULL},
	    {500, -1, "", false, OUTCOME_RETRY, 0, NULL},
	};
	struct chat t;

	(void)state;
	chat_begin(&t, SAY_FIRE, SEVERITY_CRITICAL, chat_facts_budget);
	chat_rows(&t, &ops, rows, ARRAY_LEN(rows));
	t.m.op = SAY_UPDATE;
	assert_int_equal(chat_judge_text(&t, &ops, 202, -1, "{}").outcome, OUTCOME_MORE);
	t.m.step = 1;
	assert_int_equal(chat_judge_text(&t, &ops, 202, -1, "{}").outcome, OUTCOME_SENT);
	chat_end(&t);
}

static void test_no_memory(void **state)
{
	struct chat t;

	(void)state;
	chat_begin(&t, SAY_FIRE, SEVERITY_CRITICAL, chat_facts_budget);
	chat_starve(&t, &ops);
	t.m.op = SAY_ACK;
	chat_starve(&t, &ops);
	chat_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_no_memory), cmocka_unit_test(test_golden), cmocka_unit_test(test_actions),
	    cmocka_unit_test(test_urls),      cmocka_unit_test(test_names),  cmocka_unit_test(test_answers),
	};

	return cmocka_run_group_tests_name("alerts_opsgenie", tests, NULL, NULL);
}
