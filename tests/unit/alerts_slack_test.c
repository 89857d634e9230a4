/* Slack: blocks, attachments; limits, hostile names, every answer of a webhook. */
#include "tests/unit/alerts_chat.h"

static const char *const mentions[] = {"<@U123>", "<!here>"};

static const struct channel webhook = {
    .name = "chat",
    .ops = &slack_webhook_ops,
    .slack = {.webhook = "https://hooks.slack.com/services/T1/B1/secret"},
};
static const struct channel api = {
    .name = "chat",
    .ops = &slack_api_ops,
    .slack = {.token = "xoxb-1-secret", .channel = "C024BE91L", .mentions = mentions, .n_mentions = 2},
};

static const enum severity all_severities[] = {SEVERITY_INFO, SEVERITY_WARNING, SEVERITY_ERROR, SEVERITY_CRITICAL};

/* --- payloads ----------------------------------------------------------------------------------------------------- */

static void test_golden(void **state)
{
	struct chat t;

	(void)state;
	chat_begin(&t, SAY_FIRE, SEVERITY_WARNING, chat_facts_budget);
	t.brief = (struct brief){
	    .title = "Budget a&b: 80 % used",
	    .text = "40.12 of 50.00 USD <spent>.",
	    .field = {{"Budget", "a&b"}, {"Spent", "40.12 of 50.00 USD"}},
	    .n_fields = 2,
	    .line = {"ci-bot: 21.90 USD", "notebook: 7.20 USD"},
	    .n_lines = 2,
	    .lines_title = "Who spent most",
	    .next = "Calls are refused at 100 %.",
	    .command = "bursar budgets show `a&b` c",
	    .action = {{"Open", "https://b.example/open"},
		       {"Acknowledge", "https://bursar.example/alerts/act?i=12&a=ack&e=1&s=x"}},
	    .n_actions = 2,
	    .footer = "2026-11-21 08:00 UTC, node-1",
	};
	chat_request(&t, &webhook);
	assert_string_equal(t.q.method, "POST");
	assert_string_equal(t.q.url, "https://hooks.slack.com/services/T1/B1/secret");
	assert_true(chat_has_header(&t, "Content-Type: application/json"));
	chat_equal(
	    t.body,
	    "{\"text\":\"\u26a0\ufe0f Budget a&amp;b: 80 % used. 40.12 of 50.00 USD &lt;spent&gt;.\",\"blocks\":["
	    "{\"type\":\"header\",\"text\":{\"type\":\"plain_text\",\"text\":\"\u26a0\ufe0f Budget a&b: 80 % used\","
	    "\"emoji\":true}},"
	    "{\"type\":\"section\",\"text\":{\"type\":\"mrkdwn\",\"verbatim\":true,"
	    "\"text\":\"40.12 of 50.00 USD "
	    "&lt;spent&gt;."
	    "\\n\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b1"
	    "\u25b1\u25b1\u25b1  80 %\"}},"
	    "{\"type\":\"section\",\"fields\":["
	    "{\"type\":\"mrkdwn\",\"verbatim\":true,\"text\":\"*Budget*\\na&amp;b\"},"
	    "{\"type\":\"mrkdwn\",\"verbatim\":true,\"text\":\"*Spent*\\n40.12 of 50.00 USD\"}]},"
	    "{\"type\":\"section\",\"text\":{\"type\":\"mrkdwn\",\"verbatim\":true,\"text\":"
	    "\"*Who spent most*\\n\u2022 ci-bot: 21.90 USD\\n\u2022 notebook: 7.20 USD\"}},"
	    "{\"type\":\"section\",\"text\":{\"type\":\"mrkdwn\",\"verbatim\":true,\"text\":"
	    "\"*What happens next*\\nCalls are refused at 100 %.\\n```bursar budgets show `a&amp;b` c```\"}},"
	    "{\"type\":\"actions\",\"elements\":["
	    "{\"type\":\"button\",\"action_id\":\"link_1\",\"text\":{\"type\":\"plain_text\",\"text\":\"Open\","
	    "\"emoji\":true},\"url\":\"https://b.example/open\"},"
	    "{\"type\":\"button\",\"action_id\":\"link_2\",\"text\":{\"type\":\"plain_text\",\"text\":\"Acknowledge\","
	    "\"emoji\":true},\"url\":\"https://bursar.example/alerts/act?i=12&a=ack&e=1&s=x\",\"style\":\"primary\"}]},"
	    "{\"type\":\"context\",\"elements\":[{\"type\":\"mrkdwn\",\"verbatim\":true,"
	    "\"text\":\"*Warning*  \u00b7  2026-11-21 08:00 UTC, node-1\"}]}]}");
	chat_end(&t);
}

static void test_every_kind(void **state)
{
	static const char *const facts[SAY_COUNT] = {[SAY_DIGEST] = chat_facts_digest, [SAY_TEST] = chat_facts_test};
	char name[64];
	struct chat t;

	(void)state;
	for (int op = 0; op < SAY_COUNT; op++) {
		for (size_t s = 0; s < ARRAY_LEN(all_severities); s++) {
			chat_begin(&t, (enum message_op)op, all_severities[s],
				   facts[op] ? facts[op] : chat_facts_budget);
			chat_request(&t, &webhook);
			assert_true(json_array_size(chat_at(t.body, "blocks")) >= 3);
			(void)snprintf(name, sizeof(name), "%s-%s", message_op_name((enum message_op)op),
				       severity_name(all_severities[s]));
			chat_dump(&t, "slack", name);
			chat_request(&t, &api);
			chat_dump(&t, "slackapi", name);
			chat_end(&t);
		}
	}
}

static void test_words(void **state)
{
	struct chat t;

	(void)state;
	chat_begin(&t, SAY_RESOLVE, SEVERITY_CRITICAL, chat_facts_budget);
	chat_request(&t, &webhook);
	assert_non_null(strstr(chat_text(t.body, "blocks.0.text.text"), "\u2705"));
	chat_end(&t);
	chat_begin(&t, SAY_ACK, SEVERITY_CRITICAL, chat_facts_budget);
	chat_request(&t, &webhook);
	/* What people know already is not said again. */
	assert_null(strstr(t.q.body.p, "Who spent most"));
	chat_end(&t);
	chat_begin(&t, SAY_FIRE, SEVERITY_CRITICAL, chat_facts_budget);
	chat_request(&t, &webhook);
	assert_non_null(strstr(t.q.body.p, "Who spent most"));
	assert_non_null(strstr(t.q.body.p, "What happens next"));
	assert_non_null(strstr(t.q.body.p, "*Critical*"));
	t.m.plain = true;
	chat_request(&t, &webhook);
	assert_null(json_object_get(t.body, "blocks"));
	assert_non_null(strstr(chat_text(t.body, "text"), "Open: https://bursar.example/alerts/act?i=12&amp;a=open"));
	chat_end(&t);
}

static void test_bar(void **state)
{
	static const struct {
		const char *facts, *end;
	} rows[] = {
	    {"{\"limit_nanos\":100,\"spent_nanos\":1}", "x\n\u25b1\u25b1\u25b1\u25b1\u25b1\u25b1\u25b1\u25b1\u25b1"
							"\u25b1\u25b1\u25b1\u25b1\u25b1\u25b1\u25b1\u25b1\u25b1"
							"\u25b1\u25b1  1 %"},
	    {"{\"limit_nanos\":1000,\"spent_nanos\":999}", "x\n\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0"
							   "\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0"
							   "\u25b0\u25b1  99 %"},
	    {"{\"limit_nanos\":3,\"spent_nanos\":9223372036854775807}", NULL},
	    {"{\"limit_nanos\":4,\"spent_nanos\":1,\"reserved_nanos\":2}",
	     "x\n\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b0\u25b1\u25b1"
	     "\u25b1\u25b1\u25b1  75 %"},
	    {"{\"limit_nanos\":0,\"spent_nanos\":5}", "x"},
	    {"{\"limit_nanos\":5,\"spent_nanos\":-5}", "x"},
	};
	struct chat t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		chat_begin(&t, SAY_FIRE, SEVERITY_CRITICAL, rows[i].facts);
		t.brief.text = "x";
		chat_request(&t, &webhook);
		if (rows[i].end)
			assert_string_equal(chat_text(t.body, "blocks.1.text.text"), rows[i].end);
		chat_end(&t);
	}
}

static void test_mentions(void **state)
{
	struct channel c = webhook;
	struct chat t;

	(void)state;
	c.slack.mentions = mentions;
	c.slack.n_mentions = 2;
	chat_begin(&t, SAY_FIRE, SEVERITY_WARNING, chat_facts_budget);
	chat_request(&t, &c);
	assert_int_equal(strncmp(chat_text(t.body, "text"), "<@U123> <!here> ", 16), 0);
	assert_int_equal(strncmp(chat_text(t.body, "blocks.1.text.text"), "<@U123> <!here> ", 16), 0);
	t.m.op = SAY_RESOLVE;
	chat_request(&t, &c);
	assert_null(strstr(t.q.body.p, "<@U123>"));
	chat_end(&t);
}

/* Cost-endpoints C5.4. */
static void test_attachments(void **state)
{
	struct channel c = webhook;
	struct chat t;

	(void)state;
	c.slack.attachments = true;
	c.slack.room = "#costs";
	c.slack.mentions = mentions;
	c.slack.n_mentions = 2;
	chat_begin(&t, SAY_FIRE, SEVERITY_WARNING,
		   "{\"type\":\"budget.threshold\",\"message\":\"Daily budget warning! <b>&\",\"budget_id\":\"b\","
		   "\"period\":\"day\",\"window_start\":1754431200,\"window_end\":1754517600,"
		   "\"limit_nanos\":50000000000,\"spent_nanos\":37500000000,\"unit\":\"USD\",\"ratio\":0.75}");
	t.m.at_ns = INT64_C(1754486400) * 1000000000;
	chat_request(&t, &c);
	chat_equal(t.body,
		   "{\"text\":\"<@U123> <!here> :warning: *Budget Alert*: Daily budget warning! &lt;b&gt;&amp;\","
		   "\"username\":\"Budget Alert Bot\",\"icon_emoji\":\":warning:\",\"channel\":\"#costs\","
		   "\"attachments\":[{\"color\":\"#ff9500\",\"fallback\":\"Budget b: 75 % used\",\"fields\":["
		   "{\"title\":\"Period\",\"value\":\"Daily (2025-08-06)\",\"short\":true},"
		   "{\"title\":\"Current Cost\",\"value\":\"$37.50\",\"short\":true},"
		   "{\"title\":\"Budget Limit\",\"value\":\"$50.00\",\"short\":true},"
		   "{\"title\":\"Usage\",\"value\":\"75.0%\",\"short\":true}],\"ts\":1754486400}]}");
	chat_dump(&t, "slackatt", "budget");
	chat_end(&t);
	chat_begin(&t, SAY_DIGEST, SEVERITY_CRITICAL, chat_facts_digest);
	chat_request(&t, &c);
	assert_string_equal(chat_text(t.body, "attachments.0.color"), "#8b0000");
	assert_string_equal(chat_text(t.body, "attachments.0.fields.0.title"), "What happened");
	chat_dump(&t, "slackatt", "digest");
	chat_end(&t);
}

/* The local date, of zones in the west and in the east. */
static void test_attachment_dates(void **state)
{
	static const struct {
		long long start_s;
		const char *period, *expected;
	} rows[] = {
	    {1754438400, "day", "Daily (2025-08-06)"}, /* UTC */
	    {1754431200, "day", "Daily (2025-08-06)"}, /* Berlin */
	    {1754452800, "day", "Daily (2025-08-06)"}, /* New York */
	    {1754474400, "day", "Daily (2025-08-06)"}, /* Honolulu */
	    {1754395200, "day", "Daily (2025-08-06)"}, /* Auckland */
	    {1754006400, "month", "Monthly (2025-08-01)"},
	    {1754488800, "hour", "Hourly (2025-08-06 14:00 UTC)"},
	    {0, "total", "total"},
	    {0, "", "Total"},
	};
	struct channel c = webhook;
	char facts[300];
	struct chat t;

	(void)state;
	c.slack.attachments = true;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		(void)snprintf(
		    facts, sizeof(facts),
		    "{\"type\":\"budget.threshold\",\"budget_id\":\"b\",\"period\":\"%s\",\"window_start\":%lld,"
		    "\"limit_nanos\":3,\"spent_nanos\":2,\"unit\":\"requests\"}",
		    rows[i].period, rows[i].start_s);
		chat_begin(&t, SAY_FIRE, SEVERITY_INFO, facts);
		chat_request(&t, &c);
		assert_string_equal(chat_text(t.body, "attachments.0.fields.0.value"), rows[i].expected);
		assert_string_equal(chat_text(t.body, "attachments.0.fields.1.value"), "2 requests");
		assert_string_equal(chat_text(t.body, "attachments.0.fields.3.value"), "66.6%");
		chat_end(&t);
	}
}

static void test_own_template(void **state)
{
	struct channel c = webhook;
	struct chat t;

	(void)state;
	c.templates.json = "{\"text\":\"{{budget_id}} {{ratio}}\",\"x\":[1]}";
	chat_begin(&t, SAY_FIRE, SEVERITY_WARNING, chat_facts_budget);
	assert_int_equal(json_object_set_new(t.facts, "budget_id", json_string("a\"},{\"b\":\"c")), 0);
	chat_request(&t, &c);
	assert_int_equal(json_object_size(t.body), 2);
	assert_int_equal(strncmp(chat_text(t.body, "text"), "a\"},{\"b\":\"c 0.80", 16), 0);
	/* Refused, or no JSON: ours. */
	t.m.plain = true;
	chat_request(&t, &c);
	assert_null(json_object_get(t.body, "x"));
	t.m.plain = false;
	c.templates.json = "hello {{budget_id}}";
	chat_request(&t, &c);
	assert_non_null(json_object_get(t.body, "blocks"));
	chat_end(&t);
}

/* --- limits and names --------------------------------------------------------------------------------------------- */

static void check_text(const json_t *text, size_t max)
{
	size_t n = strlen(chat_text(text, "text"));

	assert_true(n > 0 && n <= max);
	if (strcmp(chat_text(text, "type"), "mrkdwn") == 0)
		assert_true(json_is_true(json_object_get(text, "verbatim")));
}

/* Every limit of alert-channels 3.1. */
static void check_blocks(const json_t *blocks)
{
	size_t i, k;
	json_t *block, *part;

	assert_true(json_array_size(blocks) >= 1 && json_array_size(blocks) <= 50);
	json_array_foreach(blocks, i, block)
	{
		const char *type = chat_text(block, "type");

		if (strcmp(type, "header") == 0) {
			check_text(json_object_get(block, "text"), 150);
			assert_string_equal(chat_text(block, "text.type"), "plain_text");
		} else if (strcmp(type, "section") == 0) {
			if (json_object_get(block, "text"))
				check_text(json_object_get(block, "text"), 3000);
			assert_true(json_array_size(json_object_get(block, "fields")) <= 10);
			json_array_foreach(json_object_get(block, "fields"), k, part) check_text(part, 2000);
		} else if (strcmp(type, "actions") == 0) {
			assert_true(json_array_size(chat_at(block, "elements")) <= 25);
			json_array_foreach(json_object_get(block, "elements"), k, part)
			{
				check_text(json_object_get(part, "text"), 75);
				assert_true(strlen(chat_text(part, "url")) <= 3000);
			}
		} else {
			assert_string_equal(type, "context");
			assert_true(json_array_size(chat_at(block, "elements")) <= 10);
			json_array_foreach(json_object_get(block, "elements"), k, part) check_text(part, 3000);
		}
	}
}

/* Of text that Slack interprets: nothing but our own mentions is left that it would act on. */
static void check_inert(void *ctx, const char *text)
{
	(void)ctx;
	chat_check_utf8(NULL, text);
	for (const char *p = strchr(text, '<'); p; p = strchr(p + 1, '<'))
		assert_true(strncmp(p, "<@U123> ", 8) == 0 || strncmp(p, "<!here> ", 8) == 0);
	for (const char *p = strchr(text, '&'); p; p = strchr(p + 1, '&'))
		assert_true(strncmp(p, "&amp;", 5) == 0 || strncmp(p, "&lt;", 4) == 0 || strncmp(p, "&gt;", 4) == 0);
}

static void check_message(const struct chat *t)
{
	json_t *body = json_deep_copy(t->body), *block;
	size_t i;

	assert_true(t->q.body.n <= 8000);
	assert_true(strlen(chat_text(body, "text")) <= 4000);
	if (json_object_get(body, "blocks")) {
		check_blocks(json_object_get(body, "blocks"));
		/* Plain text and URLs are not interpreted; metadata is for programs. */
		json_array_foreach(json_object_get(body, "blocks"), i, block)
		{
			if (strcmp(chat_text(block, "type"), "header") == 0 ||
			    strcmp(chat_text(block, "type"), "actions") == 0)
				assert_int_equal(json_array_remove(json_object_get(body, "blocks"), i--), 0);
		}
	}
	(void)json_object_del(body, "metadata");
	chat_each_text(body, check_inert, NULL);
	json_decref(body);
}

static void check_forms(struct chat *t, const char *name)
{
	struct channel c = api, w = webhook;

	w.slack.mentions = mentions;
	w.slack.n_mentions = 2;
	for (int plain = 0; plain < 2; plain++) {
		t->m.plain = plain == 1;
		t->m.ref = "";
		t->m.step = 0;
		chat_request(t, &w);
		check_message(t);
		if (!plain)
			chat_dump(t, "slack", name);
		chat_request(t, &c);
		check_message(t);
		t->m.ref = "C1 1795248000.000100 1";
		t->m.step = 1;
		chat_request(t, &c);
		check_message(t);
		w.slack.attachments = true;
		chat_request(t, &w);
		check_message(t);
		w.slack.attachments = false;
	}
}

static void test_hostile_names(void **state)
{
	(void)state;
	chat_each_hostile(check_forms);
}

static void test_long_texts(void **state)
{
	(void)state;
	chat_each_long(SAY_ESCALATE, check_forms);
}

static void test_empty(void **state)
{
	struct chat t;

	(void)state;
	chat_begin(&t, SAY_FIRE, SEVERITY_CRITICAL, "{}");
	t.brief = (struct brief){.title = "", .text = "", .next = "", .command = "", .footer = ""};
	check_forms(&t, "empty");
	chat_end(&t);
}

/* Links that a button may not have are left out, not sent. */
static void test_bad_links(void **state)
{
	static const char *const bad[] = {"javascript:alert(1)", "https://x/>", "https://x/|y", "",
					  "https://x/ y",        "ftp://x"};
	struct chat t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		chat_begin(&t, SAY_FIRE, SEVERITY_CRITICAL, chat_facts_budget);
		t.brief.n_actions = 1;
		t.brief.action[0] = (struct brief_action){"Open", bad[i]};
		chat_request(&t, &webhook);
		assert_null(strstr(t.q.body.p, "\"actions\""));
		chat_end(&t);
	}
}

/* --- answers of the webhook --------------------------------------------------------------------------------------- */

static void test_webhook_answers(void **state)
{
	static const struct chat_row rows[] = {
	    {200, -1, "ok", false, OUTCOME_SENT, 0, NULL},
	    {200, -1, "ok\n", false, OUTCOME_SENT, 0, NULL},
	    {200, -1, "{\"ok\":false}", false, OUTCOME_RETRY, 0, "not \"ok\""},
	    {200, -1, "", false, OUTCOME_RETRY, 0, "nothing"},
	    {202, -1, "ok", false, OUTCOME_RETRY, 0, "202"},
	    {204, -1, "", false, OUTCOME_RETRY, 0, NULL},
	    {302, -1, "", false, OUTCOME_CHANNEL, 0, NULL},
	    {400, -1, "invalid_payload", false, OUTCOME_PLAIN, 0, NULL},
	    {400, -1, "invalid_blocks", false, OUTCOME_PLAIN, 0, NULL},
	    {400, -1, "invalid_payload", true, OUTCOME_DEAD, 0, "invalid_payload"},
	    {400, -1, "user_not_found", true, OUTCOME_DEAD, 0, NULL},
	    {403, -1, "action_prohibited", false, OUTCOME_DISABLE, 0, "administrator"},
	    {403, -1, "posting_to_general_channel_denied", false, OUTCOME_DISABLE, 0, "general"},
	    {403, -1, "invalid_token", false, OUTCOME_DISABLE, 0, "slack.webhook"},
	    {404, -1, "no_service", false, OUTCOME_DISABLE, 0, "was removed in Slack"},
	    {404, -1, "no_team", false, OUTCOME_DISABLE, 0, "workspace"},
	    {404, -1, "channel_not_found", false, OUTCOME_DISABLE, 0, "channel"},
	    {404, -1, "<html>", false, OUTCOME_DISABLE, 0, NULL},
	    {410, -1, "channel_is_archived", false, OUTCOME_DISABLE, 0, "archived"},
	    {413, -1, "", false, OUTCOME_DEAD, 0, NULL},
	    {422, -1, "", false, OUTCOME_DEAD, 0, NULL},
	    {429, 30, "rate_limited", false, OUTCOME_RETRY, 30, NULL},
	    {429, -1, "rate_limited", false, OUTCOME_RETRY, 0, NULL},
	    {500, -1, "rollup_error", false, OUTCOME_RETRY, 0, NULL},
	    {503, 7, "", false, OUTCOME_RETRY, 7, NULL},
	};
	struct chat t;

	(void)state;
	chat_begin(&t, SAY_FIRE, SEVERITY_CRITICAL, chat_facts_budget);
	chat_rows(&t, &webhook, rows, ARRAY_LEN(rows));
	chat_end(&t);
}

static void test_faults(void **state)
{
	static const struct channel *const channels[] = {&webhook, &api};
	struct answer a = {.fault = ANSWER_TIMEOUT, .error = "no answer within 15 s", .retry_after_s = -1};
	struct verdict v;
	struct chat t;

	(void)state;
	chat_begin(&t, SAY_FIRE, SEVERITY_CRITICAL, chat_facts_budget);
	for (size_t i = 0; i < ARRAY_LEN(channels); i++) {
		a.fault = ANSWER_TIMEOUT;
		channels[i]->ops->judge(channels[i], &t.m, &a, &v);
		assert_int_equal(v.outcome, OUTCOME_RETRY);
		a.fault = ANSWER_TLS;
		channels[i]->ops->judge(channels[i], &t.m, &a, &v);
		assert_int_equal(v.outcome, OUTCOME_CHANNEL);
	}
	chat_end(&t);
}

static void test_no_memory(void **state)
{
	struct channel c = webhook;
	struct chat t;

	(void)state;
	chat_begin(&t, SAY_FIRE, SEVERITY_CRITICAL, chat_facts_budget);
	chat_starve(&t, &webhook);
	t.m.plain = true;
	chat_starve(&t, &webhook);
	t.m.plain = false;
	c.slack.attachments = true;
	c.slack.room = "#x";
	chat_starve(&t, &c);
	chat_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_no_memory),    cmocka_unit_test(test_golden),
	    cmocka_unit_test(test_every_kind),   cmocka_unit_test(test_words),
	    cmocka_unit_test(test_mentions),     cmocka_unit_test(test_bar),
	    cmocka_unit_test(test_attachments),  cmocka_unit_test(test_attachment_dates),
	    cmocka_unit_test(test_own_template), cmocka_unit_test(test_hostile_names),
	    cmocka_unit_test(test_long_texts),   cmocka_unit_test(test_empty),
	    cmocka_unit_test(test_bad_links),    cmocka_unit_test(test_webhook_answers),
	    cmocka_unit_test(test_faults),
	};

	return cmocka_run_group_tests_name("alerts_slack", tests, NULL, NULL);
}
