/* Discord: content and embed, edits, nothing that mentions, limits, every answer. */
#include "tests/unit/alerts_chat.h"

static const struct channel discord = {
    .name = "chat",
    .ops = &discord_ops,
    .discord = {.url = "https://discord.com/api/webhooks/123456789012345678/secret"},
};

static void test_golden(void **state)
{
	struct chat t;

	(void)state;
	chat_begin(&t, SAY_FIRE, SEVERITY_CRITICAL, chat_facts_budget);
	t.brief = (struct brief){
	    .title = "Budget a: 100 % used",
	    .text = "It is *spent*.",
	    .field = {{"Budget", "a"}, {"Empty", " "}, {"Window", "from 2026-11-21 00:00 UTC to 2026-11-22 00:00 UTC"}},
	    .n_fields = 3,
	    .line = {"ci-bot: 21.90 USD"},
	    .n_lines = 1,
	    .lines_title = "Who spent most",
	    .next = "Calls are refused.",
	    .command = "bursar budgets show `a` b",
	    .action = {{"Open", "https://b.example/open"}, {"Acknowledge", "https://b.example/ack"}},
	    .n_actions = 2,
	    .footer = "node-1",
	    .color = 0x8b0000,
	};
	chat_request(&t, &discord);
	assert_string_equal(t.q.method, "POST");
	assert_string_equal(t.q.url, "https://discord.com/api/webhooks/123456789012345678/secret?wait=true");
	chat_equal(
	    t.body,
	    "{\"content\":\"\U0001f6a8 It is \\\\*spent\\\\*.\",\"username\":\"bursar\","
	    "\"allowed_mentions\":{\"parse\":[]},\"embeds\":[{\"title\":\"Budget a: 100 % used\","
	    "\"url\":\"https://b.example/open\",\"color\":9109504,\"timestamp\":\"2026-11-21T08:00:00.000Z\","
	    "\"description\":\"Calls are refused.\\n```\\nbursar budgets show `a` b\\n```\",\"fields\":["
	    "{\"name\":\"Budget\",\"value\":\"a\",\"inline\":true},"
	    "{\"name\":\"Window\",\"value\":\"from 2026-11-21 00:00 UTC to 2026-11-22 00:00 UTC\",\"inline\":false},"
	    "{\"name\":\"Who spent most\",\"value\":\"\u2022 ci-bot: 21.90 USD\",\"inline\":false},"
	    "{\"name\":\"Links\",\"value\":\"[Open](https://b.example/open) \u00b7 "
	    "[Acknowledge](https://b.example/ack)\",\"inline\":false}],\"footer\":{\"text\":\"node-1\"}}]}");
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
			chat_request(&t, &discord);
			assert_int_equal(json_array_size(chat_at(t.body, "allowed_mentions.parse")), 0);
			(void)snprintf(name, sizeof(name), "%s-%s", message_op_name((enum message_op)op),
				       severity_name((enum severity)s));
			chat_dump(&t, "discord", name);
			chat_end(&t);
		}
	}
}

static void test_urls(void **state)
{
	static const struct {
		const char *url, *post, *edit;
	} rows[] = {
	    {"https://d/w/1/t", "https://d/w/1/t?wait=true", "https://d/w/1/t/messages/77"},
	    {"https://d/w/1/t/", "https://d/w/1/t?wait=true", "https://d/w/1/t/messages/77"},
	    {"https://d/w/1/t?thread_id=5", "https://d/w/1/t?thread_id=5&wait=true",
	     "https://d/w/1/t/messages/77?thread_id=5"},
	    {"https://d/w/1/t?wait=false&thread_id=5", "https://d/w/1/t?thread_id=5&wait=true",
	     "https://d/w/1/t/messages/77?thread_id=5"},
	    {"https://d/w/1/t?wait=true", "https://d/w/1/t?wait=true", "https://d/w/1/t/messages/77"},
	    {"https://d/w/1/t?", "https://d/w/1/t?wait=true", "https://d/w/1/t/messages/77"},
	};
	struct channel c = discord;
	struct chat t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		c.discord.url = rows[i].url;
		chat_begin(&t, SAY_UPDATE, SEVERITY_CRITICAL, chat_facts_budget);
		chat_request(&t, &c);
		assert_string_equal(t.q.url, rows[i].post);
		t.m.ref = "77 1";
		chat_request(&t, &c);
		assert_string_equal(t.q.method, "PATCH");
		assert_string_equal(t.q.url, rows[i].edit);
		/* What was kept becomes part of a path only when it is a number. */
		t.m.ref = "../../x 1";
		chat_request(&t, &c);
		assert_string_equal(t.q.url, rows[i].post);
		chat_end(&t);
	}
}

static void test_story(void **state)
{
	struct verdict v;
	struct chat t;

	(void)state;
	chat_begin(&t, SAY_FIRE, SEVERITY_WARNING, chat_facts_budget);
	chat_request(&t, &discord);
	v = chat_judge_text(&t, &discord, 200, -1, "{\"type\":0,\"embeds\":[{\"id\":\"no\"}],\"id\":\"77\"}");
	assert_int_equal(v.outcome, OUTCOME_SENT);
	assert_string_equal(v.ref, "77 1");
	chat_keep(&t, &v);

	/* No worse: edited, and that is all. */
	t.m.op = SAY_UPDATE;
	chat_request(&t, &discord);
	assert_string_equal(t.q.method, "PATCH");
	assert_null(json_object_get(t.body, "username"));
	assert_int_equal(json_array_size(chat_at(t.body, "allowed_mentions.parse")), 0);
	v = chat_judge_text(&t, &discord, 200, -1, "{\"id\":\"77\"}");
	assert_int_equal(v.outcome, OUTCOME_SENT);

	/* Worse, and over: a line of its own. */
	t.m.severity = SEVERITY_CRITICAL;
	v = chat_judge_text(&t, &discord, 200, -1, "{\"id\":\"77\"}");
	assert_int_equal(v.outcome, OUTCOME_MORE);
	t.m.step = 1;
	chat_request(&t, &discord);
	assert_string_equal(t.q.method, "POST");
	assert_null(json_object_get(t.body, "embeds"));
	assert_non_null(strstr(chat_text(t.body, "content"), "search-daily"));
	v = chat_judge_text(&t, &discord, 200, -1, "{\"id\":\"78\"}");
	assert_int_equal(v.outcome, OUTCOME_SENT);
	assert_string_equal(v.ref, "77 3");
	chat_keep(&t, &v);
	t.m.op = SAY_RESOLVE;
	t.m.step = 0;
	v = chat_judge_text(&t, &discord, 200, -1, "{\"id\":\"77\"}");
	assert_int_equal(v.outcome, OUTCOME_MORE);

	/* Somebody removed the message. */
	v = chat_judge_text(&t, &discord, 404, -1, "{\"message\":\"Unknown Message\",\"code\":10008}");
	assert_int_equal(v.outcome, OUTCOME_MORE);
	chat_keep(&t, &v);
	t.m.step = 1;
	chat_request(&t, &discord);
	assert_string_equal(t.q.method, "POST");
	assert_int_equal(json_array_size(chat_at(t.body, "embeds")), 1);
	v = chat_judge_text(&t, &discord, 200, -1, "{\"id\":\"79\"}");
	assert_string_equal(v.ref, "79 3");
	chat_end(&t);
}

static void test_plain(void **state)
{
	struct chat t;

	(void)state;
	chat_begin(&t, SAY_FIRE, SEVERITY_CRITICAL, chat_facts_budget);
	t.m.plain = true;
	chat_request(&t, &discord);
	assert_int_equal(json_array_size(chat_at(t.body, "embeds")), 0);
	assert_non_null(strstr(chat_text(t.body, "content"), "Open: https://bursar.example/alerts/act?i=12&a=open"));
	chat_dump(&t, "discord", "plain");
	chat_end(&t);
}

/* --- limits and names --------------------------------------------------------------------------------------------- */

static size_t embed_field(const json_t *field)
{
	size_t name = strlen(chat_text(field, "name")), value = strlen(chat_text(field, "value"));

	assert_true(name > 0 && name <= 256 && value > 0 && value <= 1024);
	assert_true(chat_text(field, "value")[strspn(chat_text(field, "value"), " ")] != '\0');
	return name + value;
}

static void check_embed(const json_t *embed)
{
	size_t i, sum = strlen(chat_text(embed, "title"));
	json_t *field;

	assert_true(sum <= 256);
	if (json_object_get(embed, "description")) {
		assert_true(strlen(chat_text(embed, "description")) <= 4096);
		sum += strlen(chat_text(embed, "description"));
	}
	if (json_object_get(embed, "footer")) {
		assert_true(strlen(chat_text(embed, "footer.text")) <= 2048);
		sum += strlen(chat_text(embed, "footer.text"));
	}
	assert_true(json_array_size(chat_at(embed, "fields")) <= 25);
	json_array_foreach(json_object_get(embed, "fields"), i, field) sum += embed_field(field);
	assert_true(sum <= 6000);
}

/* No mention, and no link but ours. */
static void check_inert(void *ctx, const char *text)
{
	chat_check_utf8(ctx, text);
	assert_null(strstr(text, "@everyone"));
	assert_null(strstr(text, "@here"));
	assert_null(strstr(text, "https://evil"));
	for (const char *p = strstr(text, "]("); p; p = strstr(p + 1, "]("))
		assert_int_equal(strncmp(p, "](https://bursar.example/", 25), 0);
}

static void check_message(struct chat *t)
{
	json_t *body = json_deep_copy(t->body), *embed = json_array_get(json_object_get(body, "embeds"), 0);

	assert_true(strlen(chat_text(body, "content")) <= 2000);
	assert_int_equal(json_array_size(chat_at(body, "allowed_mentions.parse")), 0);
	assert_int_equal(json_object_size(chat_at(body, "allowed_mentions")), 1);
	if (embed) {
		check_embed(embed);
		/* Code and footers are shown as they are. */
		(void)json_object_del(embed, "description");
		(void)json_object_del(embed, "footer");
	}
	chat_each_text(body, check_inert, NULL);
	json_decref(body);
}

static void check_forms(struct chat *t, const char *name)
{
	chat_request(t, &discord);
	check_message(t);
	chat_dump(t, "discord", name);
	t->m.ref = "77 0";
	chat_request(t, &discord);
	check_message(t);
	chat_dump(t, "discordedit", name);
	t->m.step = 1;
	chat_request(t, &discord);
	check_message(t);
	t->m.step = 0;
	t->m.plain = true;
	chat_request(t, &discord);
	check_message(t);
}

static void test_hostile_names(void **state)
{
	(void)state;
	chat_each_hostile(check_forms);
}

static void test_long_texts(void **state)
{
	(void)state;
	chat_each_long(SAY_UPDATE, check_forms);
}

/* Code is fenced: nothing in a command ends the fence. */
static void test_fence(void **state)
{
	struct chat t;
	const char *text;

	(void)state;
	chat_begin(&t, SAY_FIRE, SEVERITY_CRITICAL, chat_facts_budget);
	t.brief.command = "x ``` @everyone ```";
	chat_request(&t, &discord);
	text = chat_text(t.body, "embeds.0.description");
	assert_null(strstr(text, "```"));
	assert_null(strstr(text, "@everyone"));
	chat_end(&t);
}

/* A template of the user cannot switch mentions on either. */
static void test_own_template(void **state)
{
	struct channel c = discord;
	struct chat t;

	(void)state;
	c.templates.json = "{\"content\":\"{{budget_id}}\",\"allowed_mentions\":{\"parse\":[\"everyone\"]}}";
	chat_begin(&t, SAY_FIRE, SEVERITY_WARNING, chat_facts_budget);
	chat_request(&t, &c);
	chat_equal(t.body,
		   "{\"content\":\"search-daily\",\"allowed_mentions\":{\"parse\":[]},\"username\":\"bursar\"}");
	chat_end(&t);
}

/* Names stay names in it, and links stay links. */
static void test_own_template_of_names(void **state)
{
	struct channel c = discord;
	struct chat t;

	(void)state;
	c.templates.json = "{\"content\":\"{{budget_id}} {{links.open}} {{labels}}\"}";
	chat_begin(&t, SAY_FIRE, SEVERITY_WARNING,
		   "{\"budget_id\":\"[x](https://e.example) "
		   "@here\",\"labels\":{\"user\":\"<@1>\"},\"links\":{\"open\":\"https://b.example/?a=1&b=2\"}}");
	chat_request(&t, &c);
	assert_string_equal(chat_text(t.body, "content"),
			    "\\[x\\]\\(https\\://e.example\\) @\u200bhere https://b.example/?a=1&b=2 "
			    "\\{\"user\":\"\\<@\u200b1\\>\"\\}");
	chat_end(&t);
}

static void test_answers(void **state)
{
	static const struct chat_row rows[] = {
	    {200, -1, "{\"id\":\"77\"}", false, OUTCOME_SENT, 0, NULL},
	    {200, -1, "", false, OUTCOME_SENT, 0, NULL},
	    {204, -1, "", false, OUTCOME_SENT, 0, NULL},
	    {202, -1, "", false, OUTCOME_RETRY, 0, "is that Discord"},
	    {400, -1, "{\"code\":50035,\"message\":\"Invalid Form Body\",\"errors\":{}}", false, OUTCOME_PLAIN, 0,
	     "Invalid Form Body"},
	    {400, -1, "{\"code\":50035}", true, OUTCOME_DEAD, 0, NULL},
	    {401, -1, "{\"code\":50027}", false, OUTCOME_DISABLE, 0, "discord.url"},
	    {403, -1, "{\"code\":50013}", false, OUTCOME_CHANNEL, 0, NULL},
	    {404, -1, "{\"message\":\"Unknown Webhook\",\"code\":10015}", false, OUTCOME_DISABLE, 0, "deleted"},
	    {404, -1, "{\"message\":\"Unknown Message\",\"code\":10008}", false, OUTCOME_DISABLE, 0, NULL},
	    {405, -1, "", false, OUTCOME_CHANNEL, 0, NULL},
	    {413, -1, "", false, OUTCOME_DEAD, 0, NULL},
	    {429, -1, "{\"message\":\"x\",\"retry_after\":0.5,\"global\":false}", false, OUTCOME_RETRY, 1, NULL},
	    {429, -1, "{\"retry_after\":2.0}", false, OUTCOME_RETRY, 2, NULL},
	    {429, 9, "{\"retry_after\":2.01}", false, OUTCOME_RETRY, 9, NULL},
	    {429, -1, "{\"retry_after\":64.57}", false, OUTCOME_RETRY, 65, NULL},
	    {429, -1, "{\"retry_after\":1e300}", false, OUTCOME_RETRY, 86400, NULL},
	    {429, -1, "{\"retry_after\":-5}", false, OUTCOME_RETRY, 0, NULL},
	    {429, -1, "{\"retry_after\":\"nan\"}", false, OUTCOME_RETRY, 0, NULL},
	    {429, 3, "error code: 1015", false, OUTCOME_RETRY, 3, NULL},
	    {500, -1, "", false, OUTCOME_RETRY, 0, NULL},
	};
	struct chat t;

	(void)state;
	chat_begin(&t, SAY_FIRE, SEVERITY_CRITICAL, chat_facts_budget);
	chat_rows(&t, &discord, rows, ARRAY_LEN(rows));
	chat_end(&t);
}

static void test_no_memory(void **state)
{
	struct chat t;

	(void)state;
	chat_begin(&t, SAY_FIRE, SEVERITY_CRITICAL, chat_facts_budget);
	chat_starve(&t, &discord);
	t.m.ref = "77 1";
	t.m.step = 1;
	chat_starve(&t, &discord);
	chat_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_no_memory),     cmocka_unit_test(test_golden),
	    cmocka_unit_test(test_every_kind),    cmocka_unit_test(test_urls),
	    cmocka_unit_test(test_story),         cmocka_unit_test(test_plain),
	    cmocka_unit_test(test_hostile_names), cmocka_unit_test(test_long_texts),
	    cmocka_unit_test(test_fence),         cmocka_unit_test(test_own_template),
	    cmocka_unit_test(test_answers),       cmocka_unit_test(test_own_template_of_names),
	};

	return cmocka_run_group_tests_name("alerts_discord", tests, NULL, NULL);
}
