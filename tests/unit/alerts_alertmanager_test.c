/* Alertmanager: which alert it is stays the same while amounts change; ends; all that fires told again. */
#include "alerts_machines.h"

#include "alerts/alertmanager.h"

static struct channel channel_of(void)
{
	return (struct channel){.name = "am",
				.group = "am",
				.ops = &alertmanager_ops,
				.alertmanager = {.url = "http://am:9093/prefix/", .user = "u", .password = "p"}};
}

static void one_alert(void **state)
{
	struct channel c = channel_of();
	json_t *facts = facts_of(usual), *body, *alert, *labels;
	struct message m = message_of(facts, SAY_FIRE);
	struct request q = request_of(&c, &m);

	(void)state;
	assert_string_equal(q.method, "POST");
	assert_string_equal(q.url, "http://am:9093/prefix/api/v2/alerts");
	assert_string_equal(header(&q, "Content-Type"), "application/json");
	assert_string_equal(header(&q, "Authorization"), "Basic dTpw");
	body = body_of(&q);
	assert_int_equal(json_array_size(body), 1);
	alert = json_array_get(body, 0);
	labels = json_object_get(alert, "labels");
	assert_string_equal(text_at(labels, "alertname"), "BursarBudget");
	assert_string_equal(text_at(labels, "severity"), "warning");
	assert_string_equal(text_at(labels, "instance"), "node-1");
	assert_string_equal(text_at(labels, "scope"), "key:ci-bot");
	assert_string_equal(text_at(labels, "budget"), "search-daily");
	assert_string_equal(text_at(labels, "team"), "search");
	assert_string_equal(text_at(labels, "tag_cost_center"), "a \"b\"");
	assert_string_equal(text_at(alert, "startsAt"), "2026-11-21T07:00:00.000Z");
	assert_string_equal(text_at(alert, "endsAt"), "2026-11-21T08:04:05.000Z");
	assert_string_equal(text_at(alert, "generatorURL"), "https://bursar.example/alerts/12");
	assert_string_equal(text_at(json_object_get(alert, "annotations"), "type"), "budget.threshold");
	json_decref(body);
	json_decref(facts);
}

/* The label set without what annotations have. */
static void amounts_are_no_part_of_the_identity(void **state)
{
	json_t *facts = facts_of(usual), *other = facts_of(usual), *a, *b;
	struct message m = message_of(facts, SAY_FIRE), n = message_of(other, SAY_UPDATE);

	(void)state;
	assert_int_equal(json_object_set_new(other, "type", json_string("budget.exceeded")), 0);
	assert_int_equal(json_object_set_new(other, "spent_nanos", json_integer(1)), 0);
	assert_int_equal(json_object_set_new(other, "ratio", json_real(1.5)), 0);
	assert_int_equal(json_object_set_new(other, "message", json_string("other")), 0);
	assert_int_equal(json_object_set_new(other, "at", json_string("2026-11-21T09:00:00Z")), 0);
	a = alertmanager_labels(&m, SEVERITY_ERROR);
	b = alertmanager_labels(&n, SEVERITY_ERROR);
	assert_true(json_equal(a, b));
	json_decref(a);
	json_decref(b);
	json_decref(facts);
	json_decref(other);
}

static json_t *labels_at(json_t *body, size_t i)
{
	return json_object_get(json_array_get(body, i), "labels");
}

/* Severity is a label by which people route: when it rises, the alert of the former one ends. */
static void worse_ends_what_it_was(void **state)
{
	struct channel c = channel_of();
	json_t *facts = facts_of(usual), *body;
	struct message m = message_of(facts, SAY_FIRE);
	const struct answer sent = {.code = 200, .error = ""};
	struct verdict v = {0};
	struct request q;

	(void)state;
	alertmanager_ops.judge(&c, &m, &sent, &v);
	assert_int_equal(v.outcome, OUTCOME_SENT);
	assert_string_equal(v.ref, "1");
	m.op = SAY_UPDATE;
	m.severity = SEVERITY_CRITICAL;
	m.ref = "1";
	q = request_of(&c, &m);
	body = body_of(&q);
	assert_int_equal(json_array_size(body), 2);
	assert_string_equal(text_at(labels_at(body, 0), "severity"), "warning");
	assert_string_equal(text_at(json_array_get(body, 0), "endsAt"), "2026-11-21T08:00:05.000Z");
	assert_string_equal(text_at(labels_at(body, 1), "severity"), "critical");
	assert_string_equal(text_at(json_array_get(body, 1), "endsAt"), "2026-11-21T08:04:05.000Z");
	json_decref(body);
	alertmanager_ops.judge(&c, &m, &sent, &v);
	assert_string_equal(v.ref, "13");
	m.op = SAY_RESOLVE;
	m.ref = "13";
	q = request_of(&c, &m);
	body = body_of(&q);
	assert_int_equal(json_array_size(body), 2);
	for (size_t i = 0; i < 2; i++)
		assert_string_equal(text_at(json_array_get(body, i), "endsAt"), "2026-11-21T08:00:05.000Z");
	json_decref(body);
	json_decref(facts);
}

static void all_that_fires_is_told_again(void **state)
{
	struct channel c = channel_of();
	json_t *facts = facts_of(usual), *other = facts_of(usual), *body;
	struct message list[2] = {message_of(facts, SAY_FIRE), message_of(other, SAY_UPDATE)};
	struct request q = {.arena = &arena};

	(void)state;
	assert_int_equal(json_object_set_new(other, "budget_id", json_string("ads")), 0);
	list[1].ref = "01";
	assert_int_equal(alertmanager_ops.refresh(&c, list, 2, &q), BUR_OK);
	body = body_of(&q);
	assert_int_equal(json_array_size(body), 2);
	assert_string_equal(text_at(labels_at(body, 1), "budget"), "ads");
	json_decref(body);
	q = (struct request){.arena = &arena};
	assert_int_equal(alertmanager_ops.refresh(&c, list, 0, &q), BUR_OK);
	assert_true(slice_eq(q.body, SLICE("[]")));
	json_decref(facts);
	json_decref(other);
	assert_int_equal(alertmanager_ops.refresh_ns, INT64_C(60000000000));
}

static void an_acknowledgement_is_not_told(void **state)
{
	struct channel c = channel_of();
	json_t *facts = facts_of(usual);
	struct message m = message_of(facts, SAY_ACK);
	struct request q = {.arena = &arena};

	(void)state;
	assert_int_equal(alertmanager_ops.request(&c, &m, &q), BUR_ALREADY);
	json_decref(facts);
}

/* An alert that ends before it starts is refused. */
static void an_end_is_never_before_its_start(void **state)
{
	struct channel c = channel_of();
	json_t *facts = facts_of(usual), *body;
	struct message m = message_of(facts, SAY_RESOLVE);
	struct request q;

	(void)state;
	assert_int_equal(json_object_set_new(facts, "since", json_string("2026-11-21T09:00:00.000Z")), 0);
	q = request_of(&c, &m);
	body = body_of(&q);
	assert_string_equal(text_at(json_array_get(body, 0), "endsAt"), "2026-11-21T09:00:00.000Z");
	json_decref(body);
	json_decref(facts);
}

static bool name_is_good(const char *name)
{
	static const char word[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";

	return *name && !(*name >= '0' && *name <= '9') && strspn(name, word) == strlen(name);
}

static void odd_names_and_values(void **state)
{
	json_t *facts = facts_of(usual), *labels = json_object_get(facts, "labels"), *clean, *value;
	struct message m = message_of(facts, SAY_FIRE);
	char long_value[3000] = "";
	const char *name;

	(void)state;
	memset(long_value, 'x', sizeof(long_value) - 1);
	assert_int_equal(json_object_set_new(labels, "tag.9 lives\n\"}", json_string("a\r\nb\x01")), 0);
	assert_int_equal(json_object_set_new(labels, "9", json_string("nine")), 0);
	assert_int_equal(json_object_set_new(labels, "", json_string("x")), 0);
	assert_int_equal(json_object_set_new(labels, "empty", json_string("")), 0);
	assert_int_equal(json_object_set_new(labels, "alertname", json_string("mine")), 0);
	assert_int_equal(json_object_set_new(labels, "user", json_string(long_value)), 0);
	assert_int_equal(json_object_set_new(labels, "number", json_integer(7)), 0);
	clean = alertmanager_labels(&m, SEVERITY_INFO);
	assert_non_null(clean);
	json_object_foreach(clean, name, value)
	{
		assert_true(name_is_good(name));
		assert_true(json_string_length(value) > 0 && json_string_length(value) < 256);
		assert_null(strpbrk(json_string_value(value), "\r\n\x01"));
	}
	assert_string_equal(text_at(clean, "alertname"), "BursarBudget");
	assert_string_equal(text_at(clean, "_9"), "nine");
	assert_null(json_object_get(clean, "empty"));
	json_decref(clean);
	json_decref(facts);
}

static void every_answer_means_something(void **state)
{
	struct channel c = channel_of();
	json_t *facts = facts_of(usual);
	struct message m = message_of(facts, SAY_FIRE);
	struct answer a = {.code = 400, .error = "400", .retry_after_s = -1};
	struct verdict v = {0};

	(void)state;
	a.body = SLICE("{\"code\":601,\"message\":\"parsing alerts failed\"}");
	alertmanager_ops.judge(&c, &m, &a, &v);
	assert_int_equal(v.outcome, OUTCOME_DEAD);
	assert_non_null(strstr(v.why, "parsing alerts failed"));
	a.body = SLICE("\"start time must be before end time\"");
	alertmanager_ops.judge(&c, &m, &a, &v);
	assert_non_null(strstr(v.why, "start time must be"));
	a.body = SLICE("[1,");
	alertmanager_ops.judge(&c, &m, &a, &v);
	assert_non_null(strstr(v.why, "[1,"));
	a.body = SLICE_NONE;
	alertmanager_ops.judge(&c, &m, &a, &v);
	assert_int_equal(v.outcome, OUTCOME_DEAD);
	a.code = 500;
	alertmanager_ops.judge(&c, &m, &a, &v);
	assert_int_equal(v.outcome, OUTCOME_RETRY);
	assert_string_equal(v.ref, "");
	a = (struct answer){.fault = ANSWER_CONNECT, .error = "refused", .retry_after_s = -1};
	alertmanager_ops.judge(&c, &m, &a, &v);
	assert_int_equal(v.outcome, OUTCOME_RETRY);
	json_decref(facts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(one_alert, setup, teardown),
	    cmocka_unit_test_setup_teardown(amounts_are_no_part_of_the_identity, setup, teardown),
	    cmocka_unit_test_setup_teardown(worse_ends_what_it_was, setup, teardown),
	    cmocka_unit_test_setup_teardown(all_that_fires_is_told_again, setup, teardown),
	    cmocka_unit_test_setup_teardown(an_acknowledgement_is_not_told, setup, teardown),
	    cmocka_unit_test_setup_teardown(an_end_is_never_before_its_start, setup, teardown),
	    cmocka_unit_test_setup_teardown(odd_names_and_values, setup, teardown),
	    cmocka_unit_test_setup_teardown(every_answer_means_something, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
