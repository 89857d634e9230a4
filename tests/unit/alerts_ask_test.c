/* Questions and answers about alerts, and what is refused. */
#include <math.h>

#include "alerts/ask.h"
#include "alerts/link.h"
#include "tests/unit/alerts_world.h"

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	begin_world(w);
	add_channel(w, "chat", &world_chat);
	add_channel(w, "page:bob", &world_page)->group = "page";
	start_alerts(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	end_world(w);
	free(w);
	return 0;
}

static const char *field;
static char err[512];

/* The question as JSON text with ' for ". The answer is the caller's. */
static int ask(struct world *w, const char *action, const char *question, json_t **ret)
{
	char text[2048];
	json_t *in;
	int r;

	(void)snprintf(text, sizeof(text), "%s", question);
	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	in = json_loads(text, 0, NULL);
	assert_non_null(in);
	r = alerts_ask(w->alerts, action, in, ret, &field, err, sizeof(err));
	json_decref(in);
	return r;
}

static json_t *must(struct world *w, const char *action, const char *question)
{
	json_t *answer = NULL;
	int r = ask(w, action, question, &answer);

	if (r != BUR_OK)
		fail_msg("%s %s: %d %s %s", action, question, r, field, err);
	assert_non_null(answer);
	return answer;
}

static size_t count_of(struct world *w, const char *action, const char *question, const char *member)
{
	json_t *answer = must(w, action, question);
	size_t n = json_array_size(json_object_get(answer, member));

	json_decref(answer);
	return n;
}

/* --- list --------------------------------------------------------------------------------------------------------- */

static void the_list_filters(void **state)
{
	struct world *w = *state;
	json_t *answer, *a;

	assert_int_equal(count_of(w, "list", "{}", "alerts"), 0);
	put_threshold(w, "team-a", 75);
	put_threshold(w, "team-b", 90);
	put_threshold(w, "team-c", 100);
	run(w);
	assert_int_equal(count_of(w, "list", "{}", "alerts"), 3);
	assert_int_equal(count_of(w, "list", "{'level':'critical'}", "alerts"), 2);
	assert_int_equal(count_of(w, "list", "{'level':'exceeded'}", "alerts"), 1);
	assert_int_equal(count_of(w, "list", "{'level':'all','limit':2}", "alerts"), 2);
	assert_int_equal(count_of(w, "list", "{'provider':'openai'}", "alerts"), 0);
	assert_int_equal(count_of(w, "list", "{'since':'2026-11-21T07:59:59Z'}", "alerts"), 3);
	assert_int_equal(count_of(w, "list", "{'since':'2026-11-21T08:00:01Z'}", "alerts"), 0);
	put_reset(w, "team-c");
	run(w);
	assert_int_equal(count_of(w, "list", "{}", "alerts"), 2);
	assert_int_equal(count_of(w, "list", "{'state':'resolved'}", "alerts"), 1);
	assert_int_equal(count_of(w, "list", "{'state':'all'}", "alerts"), 3);
	assert_int_equal(count_of(w, "list", "{'state':'acknowledged'}", "alerts"), 0);
	answer = must(w, "list", "{'state':'all','level':'exceeded'}");
	assert_int_equal(fact_int(answer, "active_alerts"), 2);
	a = json_array_get(json_object_get(answer, "alerts"), 0);
	assert_string_equal(fact_text(a, "rule_name"), "team-c");
	assert_string_equal(fact_text(a, "alert_level"), "exceeded");
	assert_string_equal(fact_text(a, "currency"), "USD");
	assert_true(json_is_true(json_object_get(a, "resolved")));
	json_decref(answer);
	answer = must(w, "list", "{'level':'critical'}");
	a = json_array_get(json_object_get(answer, "alerts"), 0);
	assert_true(fabs(fact_real(a, "current_value") - 90) < 1e-9);
	assert_true(fabs(fact_real(a, "threshold_value") - 90) < 1e-9);
	assert_true(fabs(fact_real(a, "limit_value") - 100) < 1e-9);
	assert_string_equal(fact_text(a, "timestamp"), "2026-11-21T08:00:00Z");
	json_decref(answer);
}

/* More than a page of the store: only some of them are of the provider that is asked for. */
static void the_list_looks_through_pages(void **state)
{
	struct world *w = *state;
	char payload[200];

	for (int i = 0; i < 1203; i++) {
		(void)snprintf(payload, sizeof(payload),
			       "{\"object\":\"%s%d\",\"object_kind\":\"provider\",\"message\":\"m\"}",
			       i == 1 ? "mine" : "p", i);
		put_event(w, "breaker.opened", NOTE_BEGAN, i, payload);
	}
	run(w);
	assert_int_equal(count_of(w, "list", "{'provider':'mine1'}", "alerts"), 1);
	assert_int_equal(count_of(w, "list", "{'limit':1000}", "alerts"), 1000);
	json_t *answer = must(w, "list", "{'limit':1}");

	assert_int_equal(fact_int(answer, "active_alerts"), 1203);
	json_decref(answer);
	answer = must(w, "dashboard", "{}");
	assert_int_equal(fact_int(json_object_get(answer, "alert_statistics"), "total_alerts"), 1203);
	assert_int_equal(json_array_size(json_object_get(answer, "recent_alerts")), 100);
	assert_true(fabs(fact_real(json_object_get(answer, "alert_statistics"), "alert_rate_per_hour") - 50.13) < 1e-9);
	json_decref(answer);
}

/* --- what is refused ---------------------------------------------------------------------------------------------- */

static void wrong_questions_say_which_field(void **state)
{
	static const struct {
		const char *action, *question, *field;
	} cases[] = {
	    {"list", "{'level':'loud'}", "level"},
	    {"list", "{'level':5}", "level"},
	    {"list", "{'state':'odd'}", "state"},
	    {"list", "{'since':'soon'}", "since"},
	    {"list", "{'limit':0}", "limit"},
	    {"list", "{'limit':1001}", "limit"},
	    {"outbox", "{'state':'lost'}", "state"},
	    {"mute", "{'for':'2h','reason':'x'}", "body"},
	    {"mute", "{'budget':'a','reason':'x'}", "for"},
	    {"mute", "{'budget':'a','for':'2h','until':'2027-01-01','reason':'x'}", "for"},
	    {"mute", "{'budget':'a','for':'0h','reason':'x'}", "for"},
	    {"mute", "{'budget':'a','for':'h','reason':'x'}", "for"},
	    {"mute", "{'budget':'a','for':'-2h','reason':'x'}", "for"},
	    {"mute", "{'budget':'a','for':'367d','reason':'x'}", "for"},
	    {"mute", "{'budget':'a','for':'18446744073709551615w','reason':'x'}", "for"},
	    {"mute", "{'budget':'a','until':'2026-11-21T08:00:00Z','reason':'x'}", "until"},
	    {"mute", "{'budget':'a','until':'2028-01-01','reason':'x'}", "until"},
	    {"mute", "{'budget':'a','for':'2h'}", "reason"},
	    {"mute", "{'user':'a','team':'b','for':'2h','reason':'x'}", "body"},
	    {"mute", "{'user':'','for':'2h','reason':'x'}", "body"},
	    {"mute", "{'type':'no.such','for':'2h','reason':'x'}", "type"},
	    {"mute", "{'budget':['a'],'for':'2h','reason':'x'}", "budget"},
	    {"test", "{'channel':'nobody'}", "channel"},
	    {"preview", "{'channel':'nobody'}", "channel"},
	    {"preview", "{'type':'no.such'}", "type"},
	    {"preview", "{'type':'breaker.half_open'}", "type"},
	    {"ack", "{'id':1,'reason':7}", "reason"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *answer = NULL;
		int r = ask(w, cases[i].action, cases[i].question, &answer);

		if (r != BUR_INVALID || strcmp(field, cases[i].field) != 0 || err[0] == '\0' || answer)
			fail_msg("%s %s: %d %s %s", cases[i].action, cases[i].question, r, field, err);
	}
}

static void what_is_not_there_is_not_found(void **state)
{
	static const char *const cases[][2] = {
	    {"show", "{'id':1}"},
	    {"show", "{}"},
	    {"show", "{'id':-1}"},
	    {"show", "{'test':'test-'}"},
	    {"show", "{'test':'test-1'}"},
	    {"show", "{'test':'test-1-2'}"},
	    {"show", "{'test':'test-2-1'}"},
	    {"show", "{'test':'test-1-9999999999'}"},
	    {"ack", "{'id':1}"},
	    {"resolve", "{'id':1}"},
	    {"retry", "{'id':1}"},
	    {"retry", "{'outbox':1}"},
	    {"unmute", "{'id':1}"},
	    {"enable", "{'name':'x'}"},
	    {"preview", "{'incident':5}"},
	    {"nonsense", "{}"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *answer = NULL;

		if (ask(w, cases[i][0], cases[i][1], &answer) != BUR_NOTFOUND || answer)
			fail_msg("%s %s: %s %s", cases[i][0], cases[i][1], field, err);
	}
}

/* --- acting ------------------------------------------------------------------------------------------------------- */

static void acknowledge_and_resolve_once(void **state)
{
	struct world *w = *state;
	json_t *answer;

	put_threshold(w, "team-a", 75);
	run(w);
	send_queued(w);
	answer = must(w, "ack", "{'id':1,'actor':'ann','reason':'on it'}");
	assert_string_equal(fact_text(answer, "state"), "acknowledged");
	assert_true(json_is_true(json_object_get(answer, "changed")));
	json_decref(answer);
	answer = must(w, "ack", "{'id':1,'actor':'bob'}");
	assert_true(json_is_false(json_object_get(answer, "changed")));
	assert_string_equal(fact_text(answer, "said"), "was acknowledged already");
	json_decref(answer);
	answer = must(w, "show", "{'id':1}");
	assert_string_equal(fact_text(json_object_get(answer, "alert"), "by"), "ann");
	assert_int_equal(json_array_size(json_object_get(answer, "events")), 1);
	assert_string_equal(fact_text(json_object_get(answer, "facts"), "budget_id"), "team-a");
	json_decref(answer);
	json_decref(must(w, "resolve", "{'id':1,'actor':'bob','reason':'raised'}"));
	answer = must(w, "ack", "{'id':1,'actor':'ann'}");
	assert_string_equal(fact_text(answer, "said"), "was over already");
	json_decref(answer);
	assert_int_equal(number(w, "SELECT count(*) FROM audit WHERE actor IN ('ann','bob')"), 2);
}

static void the_dead_are_sent_again(void **state)
{
	struct world *w = *state;
	json_t *answer;

	put_threshold(w, "team-a", 100);
	run(w);
	sql_change(w->dir, "UPDATE outbox SET state=2,attempts=10,error='gone' WHERE channel='chat'");
	assert_int_equal(count_of(w, "outbox", "{'state':'dead'}", "messages"), 1);
	assert_int_equal(count_of(w, "outbox", "{'state':'dead','channel':'page:bob'}", "messages"), 0);
	answer = must(w, "retry", "{'id':1,'actor':'ann'}");
	assert_int_equal(fact_int(answer, "retried"), 1);
	json_decref(answer);
	assert_int_equal(number(w, "SELECT count(*) FROM outbox WHERE state=0 AND channel='chat' AND attempts=0 AND"
				   " length(facts)>20"),
			 1);
	assert_int_equal(ask(w, "retry", "{'id':1}", &answer), BUR_NOTFOUND);
	sql_change(w->dir, "UPDATE outbox SET state=2 WHERE channel='chat'");
	answer = NULL;
	assert_int_equal(ask(w, "retry", "{'outbox':999}", &answer), BUR_NOTFOUND);
	json_decref(must(w, "retry", "{'outbox':1}"));
}

/* A pager that learns late of an incident learns of its end too. */
static void the_end_of_the_dead_is_sent_too(void **state)
{
	struct world *w = *state;
	json_t *answer;

	put_threshold(w, "team-a", 100);
	run(w);
	put_reset(w, "team-a");
	run(w);
	sql_change(w->dir, "UPDATE outbox SET state=2 WHERE op=0");
	sql_change(w->dir, "UPDATE outbox SET state=5,reason='never_told' WHERE op=2");
	assert_int_equal(number(w, "SELECT count(*) FROM outbox WHERE state=5"), 2);
	answer = must(w, "retry", "{'outbox':1,'actor':'ann'}");
	assert_int_equal(fact_int(answer, "retried"), 2);
	json_decref(answer);
	assert_int_equal(number(w, "SELECT count(DISTINCT channel) FROM outbox WHERE state=0"), 1);
	assert_int_equal(number(w, "SELECT count(*) FROM outbox WHERE state=0 AND op=2 AND length(facts)>20"), 1);
	answer = must(w, "retry", "{'id':1,'actor':'ann'}");
	assert_int_equal(fact_int(answer, "retried"), 2);
	json_decref(answer);
	assert_int_equal(number(w, "SELECT count(*) FROM outbox WHERE state=0"), 4);
}

static void mutes_begin_and_end(void **state)
{
	struct world *w = *state;
	json_t *answer = must(w, "mute", "{'budget':'team-*','for':'2h','reason':'load test','actor':'ann'}");

	assert_string_equal(fact_text(answer, "until"), "2026-11-21T10:00:00Z");
	json_decref(answer);
	json_decref(must(w, "mute", "{'tag.env':'prod','type':'budget.*','until':'2026-11-22','reason':'x'}"));
	json_decref(must(w, "mute", "{'everything':true,'for':'90s','reason':'x'}"));
	assert_int_equal(count_of(w, "mutes", "{}", "mutes"), 3);
	later(w, 91 * SECOND);
	assert_int_equal(count_of(w, "mutes", "{}", "mutes"), 2);
	put_threshold(w, "team-a", 75);
	put_threshold(w, "other", 75);
	run(w);
	assert_int_equal(rows(w, "chat", SAY_FIRE, OUTBOX_HELD), 1);
	assert_int_equal(rows(w, "chat", SAY_FIRE, OUTBOX_QUEUED), 1);
	json_decref(must(w, "unmute", "{'id':1,'actor':'ann'}"));
	assert_int_equal(count_of(w, "mutes", "{}", "mutes"), 1);
}

/* --- tests, channels, figures ------------------------------------------------------------------------------------- */

static void a_test_tells_how_it_went(void **state)
{
	struct world *w = *state;
	json_t *answer = must(w, "test", "{'channel':'page'}"), *one;
	char question[128];

	assert_int_equal(json_array_size(json_object_get(answer, "channels")), 1);
	(void)snprintf(question, sizeof(question), "{'test':'%s'}", fact_text(answer, "test"));
	json_decref(answer);
	answer = must(w, "show", question);
	one = json_object_get(json_object_get(answer, "channels"), "page:bob");
	assert_true(json_is_null(json_object_get(one, "success")) && json_is_false(json_object_get(answer, "done")));
	json_decref(answer);
	sql_change(w->dir, "UPDATE outbox SET attempts=1,error='no answer'");
	answer = must(w, "show", question);
	one = json_object_get(json_object_get(answer, "channels"), "page:bob");
	assert_true(json_is_false(json_object_get(one, "success")) && json_is_true(json_object_get(answer, "done")));
	assert_string_equal(fact_text(one, "error"), "no answer");
	assert_int_equal(json_array_size(json_object_get(answer, "failed_channels")), 1);
	json_decref(answer);
	sql_change(w->dir, "UPDATE outbox SET state=1,sent=1795248001000000000");
	answer = must(w, "show", question);
	assert_true(json_is_true(json_object_get(answer, "overall_success")));
	json_decref(answer);
	assert_int_equal(count_of(w, "test", "{}", "channels"), 2);
}

static void without_channels_a_test_is_skipped(void **state)
{
	struct world *w = *state;
	json_t *answer;

	w->config.n_channels = 0;
	answer = must(w, "test", "{}");
	assert_true(json_is_true(json_object_get(answer, "skipped")));
	assert_string_equal(fact_text(answer, "reason"), "no_channels_configured");
	json_decref(answer);
	assert_int_equal(count_of(w, "preview", "{}", "previews"), 0);
	assert_int_equal(count_of(w, "channels", "{}", "channels"), 0);
}

static void samples_of_every_type(void **state)
{
	const struct alert_type *types;
	struct world *w = *state;
	size_t n;

	w->config.public_url = "https://bursar.example";
	types = alert_types(&n);
	for (size_t i = 0; i < n; i++) {
		enum message_op op;
		json_t *facts = ask_sample(w->alerts, types[i].name, &op);

		if (!types[i].family && strcmp(types[i].name, "test") != 0) {
			assert_null(facts);
			continue;
		}
		assert_non_null(facts);
		assert_string_equal(fact_text(facts, "type"), types[i].name);
		assert_true(fact_text(facts, "message")[0] != '\0' && fact_text(facts, "id")[0] != '\0');
		/* It opens no real incident. */
		assert_non_null(strstr(fact_text(json_object_get(facts, "links"), "open"), "?sample="));
		json_decref(facts);
	}
}

static void links_need_a_secret(void **state)
{
	static const unsigned char secret[LINK_SECRET_BYTES] = "0123456789abcdef0123456789abcde";
	struct world *w = *state;
	enum link_action action;
	char query[LINK_QUERY_MAX];
	int64_t id;

	assert_int_equal(alerts_link_query(w->alerts, 1, LINK_ACK, query), BUR_DENIED);
	assert_int_equal(alerts_link_check(w->alerts, SLICE("i=1"), &id, &action), BUR_DENIED);
	w->alerts->deps.link_secret = secret;
	assert_int_equal(alerts_link_query(w->alerts, 1, LINK_ACK, query), BUR_OK);
	assert_int_equal(alerts_link_check(w->alerts, slice_of(query), &id, &action), BUR_OK);
	assert_true(id == 1 && action == LINK_ACK);
	w->now_ns += HOUR;
	assert_int_equal(alerts_link_check(w->alerts, slice_of(query), &id, &action), BUR_TIMEOUT);
}

static void metrics_without_delivery(void **state)
{
	struct world *w = *state;
	struct buf out;

	w->channels[0].name = "cha\"t\\";
	put_threshold(w, "team-a", 75);
	run(w);
	buf_init(&out, 65536);
	assert_int_equal(alerts_metrics(w->alerts, &out), BUR_OK);
	assert_int_equal(buf_append(&out, "", 1), BUR_OK);
	assert_non_null(strstr(buf_slice(&out).p, "bursar_alert_channel_up{channel=\"cha\\\"t\\\\\"} 1\n"));
	assert_non_null(strstr(buf_slice(&out).p, "bursar_alert_outbox{state=\"queued\"} 2\n"));
	buf_done(&out);
}

int main(void)
{
#define WORLD(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    WORLD(the_list_filters),
	    WORLD(the_list_looks_through_pages),
	    WORLD(wrong_questions_say_which_field),
	    WORLD(what_is_not_there_is_not_found),
	    WORLD(acknowledge_and_resolve_once),
	    WORLD(the_dead_are_sent_again),
	    WORLD(the_end_of_the_dead_is_sent_too),
	    WORLD(mutes_begin_and_end),
	    WORLD(a_test_tells_how_it_went),
	    WORLD(without_channels_a_test_is_skipped),
	    WORLD(samples_of_every_type),
	    WORLD(links_need_a_secret),
	    WORLD(metrics_without_delivery),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
