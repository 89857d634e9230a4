/* Teams: the adaptive card, its size, hostile names, every answer. */
#include "tests/unit/alerts_chat.h"

static const struct channel teams = {
    .name = "chat",
    .ops = &teams_ops,
    .teams = {.url =
		  "https://prod-1.westeurope.logic.azure.com:443/workflows/1/triggers/manual/paths/invoke?sig=secret"},
};

#define CARD "attachments.0.content"

static void test_golden(void **state)
{
	struct chat t;

	(void)state;
	chat_begin(&t, SAY_FIRE, SEVERITY_WARNING, chat_facts_budget);
	t.brief = (struct brief){
	    .title = "Budget a: 80 % used",
	    .text = "40.12 USD *spent*.",
	    .field = {{"Budget", "a"}},
	    .n_fields = 1,
	    .line = {"ci-bot: 21.90 USD"},
	    .n_lines = 1,
	    .lines_title = "Who spent most",
	    .next = "Calls are refused at 100 %.",
	    .command = "bursar budgets show a",
	    .action = {{"Open", "https://b.example/open"}},
	    .n_actions = 1,
	    .footer = "node-1",
	};
	chat_request(&t, &teams);
	assert_string_equal(t.q.method, "POST");
	assert_string_equal(t.q.url, teams.teams.url);
	assert_true(chat_has_header(&t, "Content-Type: application/json"));
	chat_equal(
	    t.body,
	    "{\"type\":\"message\",\"attachments\":[{\"contentType\":\"application/vnd.microsoft.card.adaptive\","
	    "\"contentUrl\":null,\"content\":{\"$schema\":\"http://adaptivecards.io/schemas/adaptive-card.json\","
	    "\"type\":\"AdaptiveCard\",\"version\":\"1.4\",\"msteams\":{\"width\":\"Full\"},"
	    "\"fallbackText\":\"Budget a: 80 % used\",\"body\":["
	    "{\"type\":\"Container\",\"style\":\"warning\",\"bleed\":true,\"items\":[{\"type\":\"TextBlock\","
	    "\"text\":\"\u26a0\ufe0f Budget a: 80 % used\",\"wrap\":true,\"size\":\"Large\",\"weight\":\"Bolder\"}]},"
	    "{\"type\":\"TextBlock\",\"text\":\"40\\\\.12 USD \\\\*spent\\\\*.\",\"wrap\":true},"
	    "{\"type\":\"FactSet\",\"facts\":[{\"title\":\"Budget\",\"value\":\"a\"}]},"
	    "{\"type\":\"TextBlock\",\"text\":\"Who spent most\",\"wrap\":true,\"weight\":\"Bolder\","
	    "\"spacing\":\"Medium\"},"
	    "{\"type\":\"TextBlock\",\"text\":\"ci-bot: 21.90 USD\",\"wrap\":true,\"spacing\":\"Small\","
	    "\"size\":\"Default\"},"
	    "{\"type\":\"TextBlock\",\"text\":\"What happens next\",\"wrap\":true,\"weight\":\"Bolder\","
	    "\"spacing\":\"Medium\"},"
	    "{\"type\":\"TextBlock\",\"text\":\"Calls are refused at 100 %.\",\"wrap\":true},"
	    "{\"type\":\"TextBlock\",\"text\":\"bursar budgets show a\",\"wrap\":true,\"fontType\":\"Monospace\","
	    "\"spacing\":\"Small\"},"
	    "{\"type\":\"TextBlock\",\"text\":\"node-1\",\"wrap\":true,\"size\":\"Small\",\"spacing\":\"Medium\","
	    "\"isSubtle\":true}],"
	    "\"actions\":[{\"type\":\"Action.OpenUrl\",\"title\":\"Open\",\"url\":\"https://b.example/open\"}]}}]}");
	chat_end(&t);
}

static void test_every_kind(void **state)
{
	static const char *const facts[SAY_COUNT] = {[SAY_DIGEST] = chat_facts_digest, [SAY_TEST] = chat_facts_test};
	char name[64];
	struct chat t;

	(void)state;
	for (int op = 0; op < SAY_COUNT; op++) {
		for (int s = 0; s < SEVERITY_COUNT; s++) {
			chat_begin(&t, (enum message_op)op, (enum severity)s,
				   facts[op] ? facts[op] : chat_facts_budget);
			chat_request(&t, &teams);
			if (op == SAY_RESOLVE)
				assert_string_equal(chat_text(t.body, CARD ".body.0.style"), "good");
			if (op == SAY_FIRE && s == SEVERITY_CRITICAL)
				assert_string_equal(chat_text(t.body, CARD ".body.0.style"), "attention");
			(void)snprintf(name, sizeof(name), "%s-%s", message_op_name((enum message_op)op),
				       severity_name((enum severity)s));
			chat_dump(&t, "teams", name);
			chat_end(&t);
		}
	}
}

/* Nothing that Markdown or a card's own functions would act on is left. */
static void check_inert(void *ctx, const char *text)
{
	static const char marks[] = "*_`[]<>{}~|";

	chat_check_utf8(ctx, text);
	for (const char *p = text; *p; p++) {
		if (*p == '\\' && p[1])
			p++;
		else
			assert_null(strchr(marks, *p));
	}
}

static void check_message(struct chat *t, size_t max)
{
	json_t *card = json_deep_copy(chat_at(t->body, CARD));

	assert_true(t->q.body.n <= max);
	/* Not drawn as Markdown. */
	assert_int_equal(json_object_del(card, "actions"), 0);
	chat_each_text(card, check_inert, NULL);
	json_decref(card);
}

static void check_forms(struct chat *t, const char *name)
{
	char plain[40];

	chat_request(t, &teams);
	check_message(t, 28000);
	chat_dump(t, "teams", name);
	t->m.plain = true;
	chat_request(t, &teams);
	check_message(t, 4500);
	(void)snprintf(plain, sizeof(plain), "short-%s", name);
	chat_dump(t, "teams", plain);
}

static void test_hostile_names(void **state)
{
	(void)state;
	chat_each_hostile(check_forms);
}

static void test_long_texts(void **state)
{
	(void)state;
	chat_each_long(SAY_FIRE, check_forms);
}

static void test_own_template(void **state)
{
	struct channel c = teams;
	struct chat t;

	(void)state;
	c.templates.json = "{\"type\":\"message\",\"x\":\"{{budget_id}}\"}";
	chat_begin(&t, SAY_FIRE, SEVERITY_WARNING, chat_facts_budget);
	chat_request(&t, &c);
	chat_equal(t.body, "{\"type\":\"message\",\"x\":\"search-daily\"}");
	chat_end(&t);
}

static void test_answers(void **state)
{
	static const struct chat_row rows[] = {
	    {200, -1, "", false, OUTCOME_SENT, 0, NULL},
	    {202, -1, "", false, OUTCOME_SENT, 0, NULL},
	    {200, -1, "Webhook message delivery failed with error: 413", false, OUTCOME_RETRY, 0, "could not deliver"},
	    {204, -1, "", false, OUTCOME_RETRY, 0, "is that Teams"},
	    {302, -1, "", false, OUTCOME_CHANNEL, 0, NULL},
	    {400, -1, "{\"error\":{\"code\":\"BadRequest\"}}", false, OUTCOME_PLAIN, 0, "BadRequest"},
	    {400, -1, "{\"error\":{\"code\":\"WorkflowTriggerIsNotEnabled\"}}", false, OUTCOME_CHANNEL, 0,
	     "turn it on"},
	    {400, -1, "bad", true, OUTCOME_DEAD, 0, NULL},
	    {401, -1, "", false, OUTCOME_CHANNEL, 0, "expired"},
	    {403, -1, "", false, OUTCOME_CHANNEL, 0, "teams.url"},
	    {404, -1, "", false, OUTCOME_DISABLE, 0, "deleted"},
	    {410, -1, "", false, OUTCOME_DISABLE, 0, NULL},
	    {413, -1, "", false, OUTCOME_PLAIN, 0, "413"},
	    {413, -1, "", true, OUTCOME_DEAD, 0, NULL},
	    {422, -1, "", false, OUTCOME_DEAD, 0, NULL},
	    {429, 17, "", false, OUTCOME_RETRY, 17, NULL},
	    {500, -1, "", false, OUTCOME_RETRY, 0, NULL},
	    {502, -1, "", false, OUTCOME_RETRY, 0, NULL},
	};
	struct chat t;

	(void)state;
	chat_begin(&t, SAY_FIRE, SEVERITY_CRITICAL, chat_facts_budget);
	chat_rows(&t, &teams, rows, ARRAY_LEN(rows));
	chat_end(&t);
}

static void test_no_memory(void **state)
{
	struct chat t;

	(void)state;
	chat_begin(&t, SAY_FIRE, SEVERITY_CRITICAL, chat_facts_budget);
	chat_starve(&t, &teams);
	chat_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_no_memory),  cmocka_unit_test(test_golden),
	    cmocka_unit_test(test_every_kind), cmocka_unit_test(test_hostile_names),
	    cmocka_unit_test(test_long_texts), cmocka_unit_test(test_own_template),
	    cmocka_unit_test(test_answers),
	};

	return cmocka_run_group_tests_name("alerts_teams", tests, NULL, NULL);
}
