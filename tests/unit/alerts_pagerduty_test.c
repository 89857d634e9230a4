/* PagerDuty: events of the Events API v2, their limits, every answer. */
#include "tests/unit/alerts_chat.h"

static const struct channel pager = {
    .name = "pager",
    .ops = &pagerduty_ops,
    .pagerduty = {.routing_key = "0123456789abcdef0123456789abcdef"},
};

static void test_golden(void **state)
{
	struct chat t;

	(void)state;
	chat_begin(&t, SAY_FIRE, SEVERITY_CRITICAL,
		   "{\"type\":\"budget.exceeded\",\"scope\":{\"kind\":\"key\",\"id\":\"ci-bot\"},\"budget_id\":\"b\","
		   "\"limit_nanos\":5,\"links\":{\"open\":\"https://b.example/open\"},\"secret_of_others\":\"x\"}");
	t.brief = (struct brief){
	    .title = "Budget b: 100 % used",
	    .text = "All of it is spent.",
	    .field = {{"Spent", "5 of 5 USD"}},
	    .n_fields = 1,
	    .line = {"ci-bot: 5 USD"},
	    .n_lines = 1,
	    .lines_title = "Who spent most",
	    .next = "Calls are refused.",
	    .command = "bursar budgets show b",
	    .action = {{"Open", "https://b.example/open"}},
	    .n_actions = 1,
	    .footer = "",
	};
	chat_request(&t, &pager);
	assert_string_equal(t.q.method, "POST");
	assert_string_equal(t.q.url, "https://events.pagerduty.com/v2/enqueue");
	assert_true(chat_has_header(&t, "Content-Type: application/json"));
	chat_equal(t.body,
		   "{\"routing_key\":\"0123456789abcdef0123456789abcdef\",\"event_action\":\"trigger\","
		   "\"dedup_key\":\"" CHAT_KEY "\",\"client\":\"bursar\",\"client_url\":\"https://b.example/open\","
		   "\"links\":[{\"href\":\"https://b.example/open\",\"text\":\"Open\"}],\"payload\":{"
		   "\"summary\":\"Budget b: 100 % used\",\"source\":\"bursar/node-1\",\"severity\":\"critical\","
		   "\"timestamp\":\"2026-11-21T08:00:00.000+0000\",\"component\":\"budget\",\"group\":\"key:ci-bot\","
		   "\"class\":\"budget.exceeded\",\"custom_details\":{\"type\":\"budget.exceeded\",\"budget_id\":\"b\","
		   "\"limit_nanos\":5,\"message\":\"All of it is spent.\",\"Spent\":\"5 of 5 USD\","
		   "\"Who spent most\":[\"ci-bot: 5 USD\"],\"next\":\"Calls are refused.\","
		   "\"command\":\"bursar budgets show b\"}}}");
	chat_end(&t);
}

static void test_actions(void **state)
{
	static const struct {
		enum message_op op;
		int step;
		const char *action, *key;
	} rows[] = {
	    {SAY_FIRE, 0, "trigger", CHAT_KEY},     {SAY_UPDATE, 0, "trigger", CHAT_KEY},
	    {SAY_ESCALATE, 0, "trigger", CHAT_KEY}, {SAY_ACK, 0, "acknowledge", CHAT_KEY},
	    {SAY_RESOLVE, 0, "resolve", CHAT_KEY},  {SAY_DIGEST, 0, "trigger", CHAT_ID},
	    {SAY_TEST, 0, "trigger", CHAT_ID},      {SAY_TEST, 1, "resolve", CHAT_ID},
	};
	char name[64];
	struct chat t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		chat_begin(&t, rows[i].op, SEVERITY_ERROR,
			   rows[i].op == SAY_DIGEST ? chat_facts_digest
			   : rows[i].op == SAY_TEST ? chat_facts_test
						    : chat_facts_budget);
		t.m.step = rows[i].step;
		chat_request(&t, &pager);
		assert_string_equal(chat_text(t.body, "event_action"), rows[i].action);
		assert_string_equal(chat_text(t.body, "dedup_key"), rows[i].key);
		if (strcmp(rows[i].action, "trigger") != 0)
			assert_int_equal(json_object_size(t.body), 3);
		(void)snprintf(name, sizeof(name), "%s-%d", message_op_name(rows[i].op), rows[i].step);
		chat_dump(&t, "pagerduty", name);
		chat_end(&t);
	}
}

static void test_urls(void **state)
{
	static const char *const urls[] = {"https://events.eu.pagerduty.com", "https://events.eu.pagerduty.com/",
					   "https://events.eu.pagerduty.com/v2/enqueue"};
	struct channel c = pager;
	struct chat t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		c.pagerduty.url = urls[i];
		chat_begin(&t, SAY_FIRE, SEVERITY_ERROR, chat_facts_budget);
		chat_request(&t, &c);
		assert_string_equal(t.q.url, "https://events.eu.pagerduty.com/v2/enqueue");
		chat_end(&t);
	}
}

static void check_message(const struct chat *t)
{
	assert_true(t->q.body.n <= 512 * 1024);
	assert_true(strlen(chat_text(t->body, "payload.summary")) <= 1024);
	assert_true(strlen(chat_text(t->body, "payload.summary")) > 0);
	assert_null(strchr(chat_text(t->body, "payload.summary"), '\n'));
	assert_true(strlen(chat_text(t->body, "dedup_key")) <= 255);
	chat_each_text(t->body, chat_check_utf8, NULL);
}

static void test_names(void **state)
{
	char name[32];
	struct chat t;
	char *text;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(chat_hostile); i++) {
		chat_begin(&t, SAY_FIRE, SEVERITY_ERROR, chat_facts_budget);
		assert_int_equal(brief_make(&t.arena, t.facts, SAY_FIRE, &t.brief), BUR_OK);
		t.brief.title = t.brief.line[0] = chat_hostile[i];
		chat_request(&t, &pager);
		check_message(&t);
		(void)snprintf(name, sizeof(name), "hostile-%zu", i);
		chat_dump(&t, "pagerduty", name);
		chat_end(&t);
	}
	for (size_t i = 0; i < ARRAY_LEN(chat_units); i++) {
		chat_begin(&t, SAY_FIRE, SEVERITY_ERROR, chat_facts_budget);
		text = chat_long(&t.arena, chat_units[i]);
		chat_fill(&t, text);
		t.m.node = text;
		assert_int_equal(json_object_set_new(json_object_get(t.facts, "scope"), "id", json_string(text)), 0);
		assert_int_equal(json_object_set_new(t.facts, "budget_id", json_string(text)), 0);
		chat_request(&t, &pager);
		check_message(&t);
		assert_true(strlen(chat_text(t.body, "payload.source")) <= 255);
		assert_true(strlen(chat_text(t.body, "payload.group")) <= 255);
		chat_end(&t);
	}
}

/* Labels without end do not make the event too large. */
static void test_large_facts(void **state)
{
	struct chat t;
	json_t *labels;
	char name[24];

	(void)state;
	chat_begin(&t, SAY_FIRE, SEVERITY_ERROR, chat_facts_budget);
	labels = json_object_get(t.facts, "labels");
	for (int i = 0; i < 100; i++) {
		(void)snprintf(name, sizeof(name), "tag.%d", i);
		assert_int_equal(json_object_set_new(labels, name, json_string(chat_long(&t.arena, "y"))), 0);
	}
	chat_request(&t, &pager);
	check_message(&t);
	chat_end(&t);
}

static void test_answers(void **state)
{
	static const struct chat_row rows[] = {
	    {202, -1, "{\"status\":\"success\",\"message\":\"Event processed\"}", false, OUTCOME_SENT, 0, NULL},
	    {200, -1, "{\"status\":\"success\"}", false, OUTCOME_RETRY, 0, "is that PagerDuty"},
	    {400, -1,
	     "{\"status\":\"invalid event\",\"message\":\"Event object is invalid\",\"errors\":[\"Length of "
	     "'routing_key' is incorrect (should be 32 characters)\"]}",
	     false, OUTCOME_DEAD, 0, "pagerduty.routing_key"},
	    {400, -1, "{\"status\":\"invalid event\",\"errors\":[\"'payload.summary' is missing or blank\"]}", false,
	     OUTCOME_DEAD, 0, "'payload.summary' is missing"},
	    {400, -1, "{\"errors\":[", false, OUTCOME_DEAD, 0, NULL},
	    {400, -1, "", false, OUTCOME_DEAD, 0, "nothing"},
	    {403, -1, "", false, OUTCOME_CHANNEL, 0, NULL},
	    {413, -1, "", false, OUTCOME_DEAD, 0, NULL},
	    {429, -1, "", false, OUTCOME_RETRY, 60, NULL},
	    {429, 5, "", false, OUTCOME_RETRY, 60, NULL},
	    {429, 300, "", false, OUTCOME_RETRY, 300, NULL},
	    {500, -1, "", false, OUTCOME_RETRY, 0, NULL},
	    {503, -1, "", false, OUTCOME_RETRY, 0, NULL},
	};
	struct answer fault = {.fault = ANSWER_CONNECT, .error = "connection refused", .retry_after_s = -1};
	struct verdict v;
	struct chat t;

	(void)state;
	chat_begin(&t, SAY_FIRE, SEVERITY_CRITICAL, chat_facts_budget);
	chat_rows(&t, &pager, rows, ARRAY_LEN(rows));
	pager.ops->judge(&pager, &t.m, &fault, &v);
	assert_int_equal(v.outcome, OUTCOME_RETRY);
	/* A test opens an incident and closes it. */
	t.m.op = SAY_TEST;
	assert_int_equal(chat_judge_text(&t, &pager, 202, -1, "{}").outcome, OUTCOME_MORE);
	t.m.step = 1;
	assert_int_equal(chat_judge_text(&t, &pager, 202, -1, "{}").outcome, OUTCOME_SENT);
	chat_end(&t);
}

static void test_no_memory(void **state)
{
	struct chat t;

	(void)state;
	chat_begin(&t, SAY_FIRE, SEVERITY_CRITICAL, chat_facts_budget);
	chat_starve(&t, &pager);
	t.m.op = SAY_RESOLVE;
	chat_starve(&t, &pager);
	chat_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_no_memory), cmocka_unit_test(test_golden), cmocka_unit_test(test_actions),
	    cmocka_unit_test(test_urls),      cmocka_unit_test(test_names),  cmocka_unit_test(test_large_facts),
	    cmocka_unit_test(test_answers),
	};

	return cmocka_run_group_tests_name("alerts_pagerduty", tests, NULL, NULL);
}
