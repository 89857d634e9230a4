/* Slack's Web API: one message for each incident, edited, and its thread; every answer. */
#include "tests/unit/alerts_chat.h"

static const char *const mentions[] = {"<@U123>", "<!here>"};

static const struct channel api = {
    .name = "chat",
    .ops = &slack_api_ops,
    .slack = {.token = "xoxb-1-secret", .channel = "C024BE91L", .mentions = mentions, .n_mentions = 2},
};

#define POSTED "{\"ok\":true,\"channel\":\"C024BE91L\",\"ts\":\"1795248000.000100\",\"message\":{\"text\":\"\\u26a0"
#define EDITED "{\"ok\":true,\"channel\":\"C024BE91L\",\"ts\":\"1795248000.000100\",\"text\":\"x\"}"
#define NOTED "{\"ok\":true,\"channel\":\"C024BE91L\",\"ts\":\"1795248300.000200\",\"message\":{}}"

static void test_api_story(void **state)
{
	struct verdict v;
	struct chat t;

	(void)state;
	chat_begin(&t, SAY_FIRE, SEVERITY_WARNING, chat_facts_budget);
	chat_request(&t, &api);
	assert_string_equal(t.q.url, "https://slack.com/api/chat.postMessage");
	assert_true(chat_has_header(&t, "Authorization: Bearer xoxb-1-secret"));
	assert_true(chat_has_header(&t, "Content-Type: application/json; charset=utf-8"));
	assert_string_equal(chat_text(t.body, "channel"), "C024BE91L");
	assert_true(json_is_false(chat_at(t.body, "unfurl_links")));
	assert_string_equal(chat_text(t.body, "metadata.event_type"), "bursar_alert");
	assert_string_equal(chat_text(t.body, "metadata.event_payload.id"), CHAT_ID);
	assert_null(json_object_get(t.body, "thread_ts"));
	/* The answer is longer than what is read of it. */
	v = chat_judge_text(&t, &api, 200, -1, POSTED);
	assert_int_equal(v.outcome, OUTCOME_SENT);
	assert_string_equal(v.ref, "C024BE91L 1795248000.000100 1");

	/* It gets worse: the message is edited, and the channel sees a line. */
	chat_keep(&t, &v);
	t.m.op = SAY_UPDATE;
	t.m.severity = SEVERITY_CRITICAL;
	chat_request(&t, &api);
	assert_string_equal(t.q.url, "https://slack.com/api/chat.update");
	assert_string_equal(chat_text(t.body, "ts"), "1795248000.000100");
	v = chat_judge_text(&t, &api, 200, -1, EDITED);
	assert_int_equal(v.outcome, OUTCOME_MORE);
	assert_string_equal(v.ref, "");
	t.m.step = 1;
	chat_request(&t, &api);
	assert_string_equal(t.q.url, "https://slack.com/api/chat.postMessage");
	assert_string_equal(chat_text(t.body, "thread_ts"), "1795248000.000100");
	assert_true(json_is_true(chat_at(t.body, "reply_broadcast")));
	assert_int_equal(strncmp(chat_text(t.body, "text"), "<@U123> ", 8), 0);
	v = chat_judge_text(&t, &api, 200, -1, NOTED);
	assert_int_equal(v.outcome, OUTCOME_SENT);
	assert_string_equal(v.ref, "C024BE91L 1795248000.000100 3");

	/* No worse, then over: only the thread says so. */
	chat_keep(&t, &v);
	chat_request(&t, &api);
	assert_null(json_object_get(t.body, "reply_broadcast"));
	assert_null(strstr(t.q.body.p, "<@U123>"));
	t.m.op = SAY_RESOLVE;
	t.m.step = 0;
	chat_request(&t, &api);
	assert_string_equal(t.q.url, "https://slack.com/api/chat.update");
	t.m.step = 1;
	chat_request(&t, &api);
	assert_null(json_object_get(t.body, "reply_broadcast"));
	chat_end(&t);
}

static void test_api_gone(void **state)
{
	static const char *const errors[] = {"message_not_found", "thread_not_found"};
	struct verdict v;
	struct chat t;
	char answer[80];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		chat_begin(&t, SAY_UPDATE, SEVERITY_CRITICAL, chat_facts_budget);
		t.m.ref = "C024BE91L 1795248000.000100 1";
		(void)snprintf(answer, sizeof(answer), "{\"ok\":false,\"error\":\"%s\"}", errors[i]);
		v = chat_judge_text(&t, &api, 200, -1, answer);
		assert_int_equal(v.outcome, OUTCOME_MORE);
		chat_keep(&t, &v);
		t.m.step = 1;
		chat_request(&t, &api);
		assert_string_equal(t.q.url, "https://slack.com/api/chat.postMessage");
		assert_null(json_object_get(t.body, "thread_ts"));
		assert_string_equal(chat_text(t.body, "channel"), "C024BE91L");
		assert_true(json_array_size(chat_at(t.body, "blocks")) > 3);
		v = chat_judge_text(&t, &api, 200, -1, POSTED);
		assert_int_equal(v.outcome, OUTCOME_SENT);
		assert_string_equal(v.ref, "C024BE91L 1795248000.000100 3");
		/* A peer that says so for ever is not asked for ever. */
		t.m.ref = "C024BE91L 1795248000.000100 1";
		t.m.step = 2;
		v = chat_judge_text(&t, &api, 200, -1, answer);
		assert_int_equal(v.outcome, OUTCOME_RETRY);
		chat_end(&t);
	}
	/* May not be edited: the thread tells it. */
	chat_begin(&t, SAY_UPDATE, SEVERITY_CRITICAL, chat_facts_budget);
	t.m.ref = "C024BE91L 1795248000.000100 1";
	v = chat_judge_text(&t, &api, 200, -1, "{\"ok\":false,\"error\":\"edit_window_closed\"}");
	assert_int_equal(v.outcome, OUTCOME_MORE);
	assert_string_equal(v.ref, "");
	chat_end(&t);
}

static void test_api_plain(void **state)
{
	struct chat t;

	(void)state;
	chat_begin(&t, SAY_UPDATE, SEVERITY_CRITICAL, chat_facts_budget);
	t.m.ref = "C024BE91L 1795248000.000100 1";
	t.m.plain = true;
	chat_request(&t, &api);
	/* Else the old blocks would stay. */
	assert_int_equal(json_array_size(chat_at(t.body, "blocks")), 0);
	assert_true(json_is_array(chat_at(t.body, "blocks")));
	t.m.ref = "";
	chat_request(&t, &api);
	assert_null(json_object_get(t.body, "blocks"));
	chat_end(&t);
}

/* What was kept is not trusted to be well formed. */
static void test_api_refs(void **state)
{
	static const char *const bad[] = {"",      "-",          "C1",          "C1 2",    " 1 1",
					  "C1  1", "C1 179.1 9", "C1 179.1 12", "C1 179.1"};
	struct chat t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		chat_begin(&t, SAY_UPDATE, SEVERITY_CRITICAL, chat_facts_budget);
		t.m.ref = bad[i];
		chat_request(&t, &api);
		assert_string_equal(t.q.url, "https://slack.com/api/chat.postMessage");
		chat_end(&t);
	}
}

#define FAILED(e) "{\"ok\":false,\"error\":\"" e "\"}"

static void test_api_answers(void **state)
{
	static const struct chat_row rows[] = {
	    {200, -1, POSTED, false, OUTCOME_SENT, 0, NULL},
	    {200, -1, FAILED("channel_not_found"), false, OUTCOME_CHANNEL, 0, "slack.channel"},
	    {200, -1, FAILED("not_in_channel"), false, OUTCOME_CHANNEL, 0, "/invite"},
	    {200, -1, FAILED("is_archived"), false, OUTCOME_DISABLE, 0, "archived"},
	    {200, -1, FAILED("invalid_auth"), false, OUTCOME_CHANNEL, 0, "slack.token"},
	    {200, -1, FAILED("not_authed"), false, OUTCOME_CHANNEL, 0, "slack.token"},
	    {200, -1, FAILED("token_revoked"), false, OUTCOME_CHANNEL, 0, "slack.token"},
	    {200, -1, FAILED("account_inactive"), false, OUTCOME_CHANNEL, 0, "slack.token"},
	    {200, -1, FAILED("missing_scope"), false, OUTCOME_CHANNEL, 0, "chat:write"},
	    {200, -1, FAILED("restricted_action"), false, OUTCOME_CHANNEL, 0, "administrator"},
	    {200, -1, FAILED("ratelimited"), false, OUTCOME_RETRY, 0, NULL},
	    {200, 12, FAILED("rate_limited"), false, OUTCOME_RETRY, 12, NULL},
	    {429, 30, FAILED("ratelimited"), false, OUTCOME_RETRY, 30, NULL},
	    {200, -1, FAILED("msg_too_long"), false, OUTCOME_PLAIN, 0, NULL},
	    {200, -1, FAILED("invalid_blocks"), false, OUTCOME_PLAIN, 0, NULL},
	    {200, -1, FAILED("msg_blocks_too_long"), false, OUTCOME_PLAIN, 0, NULL},
	    {200, -1, FAILED("msg_too_long"), true, OUTCOME_DEAD, 0, "msg_too_long"},
	    {200, -1, FAILED("invalid_blocks"), true, OUTCOME_DEAD, 0, NULL},
	    {200, -1, FAILED("internal_error"), false, OUTCOME_RETRY, 0, NULL},
	    {200, -1, FAILED("fatal_error"), false, OUTCOME_RETRY, 0, NULL},
	    {200, -1, FAILED("service_unavailable"), false, OUTCOME_RETRY, 0, NULL},
	    {200, -1, FAILED("something_new"), false, OUTCOME_RETRY, 0, "something_new"},
	    {200, -1, FAILED("message_not_found"), false, OUTCOME_RETRY, 0, NULL}, /* of a post: makes no sense */
	    {200, -1, "{\"ok\":false}", false, OUTCOME_RETRY, 0, "is that Slack"},
	    {200, -1, "{\"ok\":\"false\",\"error\":7}", false, OUTCOME_RETRY, 0, NULL},
	    {200, -1, "<html>Log in</html>", false, OUTCOME_RETRY, 0, "is that Slack"},
	    {200, -1, "", false, OUTCOME_RETRY, 0, "is that Slack"},
	    {200, -1, "{\"x\":{\"ok\":true}}", false, OUTCOME_RETRY, 0, "is that Slack"},
	    {201, -1, POSTED, false, OUTCOME_RETRY, 0, NULL},
	    {401, -1, "", false, OUTCOME_CHANNEL, 0, NULL},
	    {500, -1, "", false, OUTCOME_RETRY, 0, NULL},
	    {503, 9, "", false, OUTCOME_RETRY, 9, NULL},
	};
	struct chat t;

	(void)state;
	chat_begin(&t, SAY_FIRE, SEVERITY_CRITICAL, chat_facts_budget);
	chat_rows(&t, &api, rows, ARRAY_LEN(rows));
	chat_end(&t);
}

/* An answer cut anywhere is never a success without a name of the message, unless it said ok. */
static void test_api_cut_answers(void **state)
{
	static const char whole[] = POSTED "\"}}";
	char part[sizeof(whole)];
	struct verdict v;
	struct chat t;

	(void)state;
	chat_begin(&t, SAY_FIRE, SEVERITY_CRITICAL, chat_facts_budget);
	for (size_t n = 0; n < sizeof(whole); n++) {
		memcpy(part, whole, n);
		part[n] = '\0';
		v = chat_judge_text(&t, &api, 200, -1, part);
		assert_int_equal(v.outcome, n >= strlen("{\"ok\":true") ? OUTCOME_SENT : OUTCOME_RETRY);
		assert_true(v.ref[0] == '\0' || strcmp(v.ref, "C024BE91L 1795248000.000100 3") == 0);
	}
	chat_end(&t);
}

static void test_no_memory(void **state)
{
	struct chat t;

	(void)state;
	chat_begin(&t, SAY_FIRE, SEVERITY_CRITICAL, chat_facts_budget);
	chat_starve(&t, &api);
	t.m.ref = "C1 179.1 1";
	chat_starve(&t, &api);
	t.m.step = 1;
	chat_starve(&t, &api);
	chat_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_no_memory),       cmocka_unit_test(test_api_story),
	    cmocka_unit_test(test_api_gone),        cmocka_unit_test(test_api_plain),
	    cmocka_unit_test(test_api_refs),        cmocka_unit_test(test_api_answers),
	    cmocka_unit_test(test_api_cut_answers),
	};

	return cmocka_run_group_tests_name("alerts_slack_api", tests, NULL, NULL);
}
