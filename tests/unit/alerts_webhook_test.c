/* Webhooks: signatures against known values, every format, and names that try to break out. */
#include "alerts_machines.h"

#include <stdio.h>

#include "alerts/webhook.h"

#define SECRET_A "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
#define SECRET_B "whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY="

static struct channel channel_of(enum webhook_format format)
{
	return (struct channel){
	    .name = "hook",
	    .group = "hook",
	    .ops = &webhook_ops,
	    .webhook = {
		.url = "https://h.example/in", .method = "POST", .format = format, .content_type = "application/json"}};
}

/* --- signatures --------------------------------------------------------------------------------------------------- */

static void known_signature(void **state)
{
	char sig[WEBHOOK_SIGNATURE_MAX];

	(void)state;
	assert_int_equal(webhook_sign(SECRET_A, "msg_2abc", 1795248000, SLICE("{\"a\":1}"), sig), BUR_OK);
	assert_string_equal(sig, "v1,31GYIFuWg9qk9Svl+ctTWmUZ+sk9PpevOqdxq9AmPZo=");
	assert_int_equal(webhook_sign("MDEy", "m", 1, SLICE(""), sig), BUR_INVALID);
	assert_int_equal(webhook_sign("whsec_", "m", 1, SLICE(""), sig), BUR_INVALID);
	assert_int_equal(webhook_sign("whsec_???", "m", 1, SLICE(""), sig), BUR_INVALID);
}

static void every_secret_signs_what_is_sent(void **state)
{
	static const char *const secrets[] = {SECRET_A, SECRET_B};
	struct channel c = channel_of(WEBHOOK_STANDARD);
	json_t *facts = facts_of(usual);
	struct message m = message_of(facts, SAY_FIRE);
	struct request q;
	char one[WEBHOOK_SIGNATURE_MAX], two[WEBHOOK_SIGNATURE_MAX], both[2 * WEBHOOK_SIGNATURE_MAX];

	(void)state;
	c.webhook.secrets = secrets;
	c.webhook.n_secrets = 2;
	q = request_of(&c, &m);
	assert_string_equal(header(&q, "webhook-id"), "msg_abc123-7");
	assert_string_equal(header(&q, "webhook-timestamp"), "1795248005"); /* of this try */
	assert_int_equal(webhook_sign(SECRET_A, "msg_abc123-7", 1795248005, q.body, one), BUR_OK);
	assert_int_equal(webhook_sign(SECRET_B, "msg_abc123-7", 1795248005, q.body, two), BUR_OK);
	(void)snprintf(both, sizeof(both), "%s %s", one, two);
	assert_string_equal(header(&q, "webhook-signature"), both);
	assert_string_equal(header(&q, "Idempotency-Key"), "abc123-7");
	c.webhook.n_secrets = 0;
	q = request_of(&c, &m);
	assert_null(header(&q, "webhook-signature"));
	json_decref(facts);
}

/* --- formats ------------------------------------------------------------------------------------------------------ */

static void standard_body(void **state)
{
	struct channel c = channel_of(WEBHOOK_STANDARD);
	json_t *facts = facts_of(usual), *body, *data;
	struct message m = message_of(facts, SAY_RESOLVE);
	struct request q = request_of(&c, &m);

	(void)state;
	assert_int_equal(q.kind, REQUEST_HTTP);
	assert_string_equal(q.method, "POST");
	assert_string_equal(q.url, "https://h.example/in");
	assert_string_equal(header(&q, "Content-Type"), "application/json");
	body = body_of(&q);
	assert_int_equal(json_object_size(body), 3);
	assert_string_equal(text_at(body, "type"), "budget.threshold");
	assert_string_equal(text_at(body, "timestamp"), "2026-11-21T08:00:00.000Z");
	data = json_object_get(body, "data");
	assert_string_equal(text_at(data, "state"), "resolved"); /* what this message says, not what the event was */
	assert_int_equal(json_integer_value(json_object_get(data, "spent_nanos")), INT64_C(40120000000));
	json_decref(body);
	json_decref(facts);
}

static void cloudevents_structured(void **state)
{
	struct channel c = channel_of(WEBHOOK_CLOUDEVENTS);
	json_t *facts = facts_of(usual), *body;
	struct message m = message_of(facts, SAY_FIRE);
	struct request q = request_of(&c, &m);

	(void)state;
	assert_string_equal(header(&q, "Content-Type"), "application/cloudevents+json; charset=utf-8");
	body = body_of(&q);
	assert_string_equal(text_at(body, "specversion"), "1.0");
	assert_string_equal(text_at(body, "id"), "abc123-7");
	assert_string_equal(text_at(body, "source"), "/bursar/node-1");
	assert_string_equal(text_at(body, "type"), "dev.bursar.budget.threshold");
	assert_string_equal(text_at(body, "subject"), "key:ci-bot");
	assert_string_equal(text_at(body, "time"), "2026-11-21T08:00:00.000Z");
	assert_true(json_is_object(json_object_get(body, "data")));
	json_decref(body);
	json_decref(facts);
}

static void cloudevents_binary(void **state)
{
	struct channel c = channel_of(WEBHOOK_CLOUDEVENTS_BINARY);
	json_t *facts = facts_with("scope.id", "Köln \"50 %\"\r\nX: y", 19), *body;
	struct message m = message_of(facts, SAY_FIRE);
	struct request q = request_of(&c, &m);

	(void)state;
	assert_string_equal(header(&q, "Content-Type"), "application/json");
	assert_string_equal(header(&q, "ce-specversion"), "1.0");
	assert_string_equal(header(&q, "ce-id"), "abc123-7");
	assert_string_equal(header(&q, "ce-source"), "/bursar/node-1");
	assert_string_equal(header(&q, "ce-type"), "dev.bursar.budget.threshold");
	assert_non_null(strstr(header(&q, "ce-subject"), "key:K%C3%B6ln%20%2250%20%25%22"));
	assert_null(header(&q, "X"));
	body = body_of(&q);
	assert_string_equal(text_at(body, "type"), "budget.threshold");
	json_decref(body);
	json_decref(facts);
}

static void alertmanagers_webhook(void **state)
{
	struct channel c = channel_of(WEBHOOK_ALERTMANAGER);
	json_t *facts = facts_of(usual), *body, *alert;
	struct message m = message_of(facts, SAY_FIRE);
	struct request q = request_of(&c, &m);

	(void)state;
	body = body_of(&q);
	alert = json_array_get(json_object_get(body, "alerts"), 0);
	assert_string_equal(text_at(body, "version"), "4");
	assert_string_equal(text_at(body, "status"), "firing");
	assert_string_equal(text_at(body, "receiver"), "hook");
	assert_string_equal(text_at(body, "externalURL"), "https://bursar.example");
	assert_string_equal(text_at(json_object_get(body, "groupLabels"), "alertname"), "BursarBudget");
	assert_true(json_equal(json_object_get(body, "commonLabels"), json_object_get(alert, "labels")));
	assert_string_equal(text_at(alert, "status"), "firing");
	assert_string_equal(text_at(alert, "endsAt"), "0001-01-01T00:00:00Z");
	assert_string_equal(text_at(alert, "startsAt"), "2026-11-21T07:00:00.000Z");
	assert_string_equal(text_at(alert, "fingerprint"), "0123456789abcdef");
	json_decref(body);
	m.op = SAY_RESOLVE;
	q = request_of(&c, &m);
	body = body_of(&q);
	alert = json_array_get(json_object_get(body, "alerts"), 0);
	assert_string_equal(text_at(body, "status"), "resolved");
	assert_string_equal(text_at(alert, "endsAt"), "2026-11-21T08:00:05.000Z");
	json_decref(body);
	json_decref(facts);
}

static void own_template(void **state)
{
	struct channel c = channel_of(WEBHOOK_TEMPLATE);
	json_t *facts = facts_with("message", "a \"b\"\\ {{title}}\n</script>", 26), *body;
	struct message m = message_of(facts, SAY_FIRE);
	struct request q;

	(void)state;
	c.templates.json = "{\"m\":\"{{message}}\",\"l\":\"{{alert_level}}\",\"p\":\"{{period_type}} {{period_key}}\","
			   "\"c\":{{current_cost}},\"b\":{{budget_limit}},\"u\":{{percentage_used}},"
			   "\"t\":{{threshold_percentage}},\"r\":{{metadata.remaining_budget}},\"s\":\"{{scope.id}}\","
			   "\"ts\":{{timestamp}},\"i\":{{incident}}}";
	q = request_of(&c, &m);
	body = body_of(&q);
	assert_string_equal(text_at(body, "m"), "a \"b\"\\ {{title}}\n</script>");
	assert_string_equal(text_at(body, "l"), "warning");
	assert_string_equal(text_at(body, "p"), "daily 2026-11-21"); /* a day that began at 22:00 UTC the day before */
	assert_float_equal(json_number_value(json_object_get(body, "c")), 40.12, 1e-9);
	assert_float_equal(json_number_value(json_object_get(body, "b")), 50, 1e-9);
	assert_float_equal(json_number_value(json_object_get(body, "u")), 80.24, 1e-9);
	assert_float_equal(json_number_value(json_object_get(body, "t")), 80, 1e-9);
	assert_float_equal(json_number_value(json_object_get(body, "r")), 9.88, 1e-9);
	assert_float_equal(json_number_value(json_object_get(body, "ts")), 1795248000, 1e-3);
	assert_int_equal(json_integer_value(json_object_get(body, "i")), 12);
	json_decref(body);
	json_decref(facts);
}

static void template_of_another_type(void **state)
{
	struct channel c = channel_of(WEBHOOK_TEMPLATE);
	json_t *facts = facts_of(usual);
	struct message m = message_of(facts, SAY_FIRE);
	struct request q;

	(void)state;
	c.templates.json = "level={{level}}&id={{id}}";
	c.webhook.content_type = "text/plain";
	c.webhook.method = "PUT";
	q = request_of(&c, &m);
	assert_true(slice_eq(q.body, SLICE("level=warning&id=abc123-7")));
	assert_string_equal(header(&q, "Content-Type"), "text/plain");
	assert_string_equal(q.method, "PUT");
	json_decref(facts);
}

/* What a name may do depends on what it is put into. */
static void template_escapes_for_its_type(void **state)
{
	static const char *const rows[][2] = {
	    {"application/json", "<b>&amp;\\\"x\\\"\\n\u00e9"},
	    {"application/xml; charset=utf-8", "&lt;b&gt;&amp;amp;&quot;x&quot;\n\u00e9"},
	    {"text/html", "&lt;b&gt;&amp;amp;&quot;x&quot;\n\u00e9"},
	    {"text/plain", "<b>&amp;\"x\" \u00e9"},
	    {"application/x-www-form-urlencoded", "%3Cb%3E%26amp%3B%22x%22%0A%C3%A9"},
	};
	struct channel c = channel_of(WEBHOOK_TEMPLATE);
	json_t *facts = json_pack("{s:s}", "budget_id", "<b>&amp;\"x\"\n\u00e9");
	struct message m = message_of(facts, SAY_FIRE);
	struct request q;

	(void)state;
	c.templates.json = "{{budget_id}}";
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		c.webhook.content_type = rows[i][0];
		q = request_of(&c, &m);
		assert_true(slice_eq(q.body, slice_of(rows[i][1])));
	}
	json_decref(facts);
}

/* --- signing in --------------------------------------------------------------------------------------------------- */

static void headers_of_the_configuration(void **state)
{
	static const char *const headers[] = {"X-Tenant: blue"};
	struct channel c = channel_of(WEBHOOK_STANDARD);
	json_t *facts = facts_of(usual);
	struct message m = message_of(facts, SAY_FIRE);
	struct request q;

	(void)state;
	c.webhook.headers = headers;
	c.webhook.n_headers = 1;
	c.webhook.user = "Aladdin";
	c.webhook.password = "open sesame";
	c.webhook.api_key = "k-1";
	q = request_of(&c, &m);
	assert_string_equal(header(&q, "Authorization"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
	assert_string_equal(header(&q, "X-API-Key"), "k-1");
	assert_string_equal(header(&q, "X-Tenant"), "blue");
	c.webhook.user = NULL;
	c.webhook.bearer = "tok";
	q = request_of(&c, &m);
	assert_string_equal(header(&q, "Authorization"), "Bearer tok");
	json_decref(facts);
}

/* --- hostile names ------------------------------------------------------------------------------------------------ */

static void endless_names_fit(void **state)
{
	static const char *const members[] = {"message", "scope.id", "labels.team", "budget_id", "title", "whatever"};
	static const char *const pieces[] = {"x", "ü", "😀", "\"\\", "\r\n", "\xe2\x80\xae"};
	struct channel c;

	(void)state;
	for (int format = WEBHOOK_STANDARD; format <= WEBHOOK_ALERTMANAGER; format++) {
		c = channel_of((enum webhook_format)format);
		for (size_t i = 0; i < ARRAY_LEN(members); i++) {
			for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
				json_t *facts = facts_with(members[i], pieces[k], 12000 * strlen(pieces[k])), *body;
				struct message m = message_of(facts, SAY_FIRE);
				struct request q = request_of(&c, &m);

				body = body_of(&q);
				assert_true(q.body.n < 20480);
				assert_null(header(&q, "X"));
				json_decref(body);
				json_decref(facts);
				arena_reset(&arena);
			}
		}
	}
}

static void what_is_too_much_is_left_out(void **state)
{
	struct channel c = channel_of(WEBHOOK_STANDARD);
	json_t *facts = facts_of(usual), *details = json_object_get(facts, "details"), *body, *data;
	json_t *labels = json_object_get(facts, "labels");
	struct message m = message_of(facts, SAY_FIRE);
	struct request q;
	char name[32];

	(void)state;
	for (int i = 0; i < 2000; i++) {
		(void)snprintf(name, sizeof(name), "detail-%d", i);
		assert_int_equal(json_object_set_new(details, name, json_string("some text")), 0);
	}
	q = request_of(&c, &m);
	body = body_of(&q);
	data = json_object_get(body, "data");
	assert_null(json_object_get(data, "details"));
	assert_non_null(json_object_get(data, "top"));
	assert_true(json_is_true(json_object_get(data, "truncated")));
	json_decref(body);
	for (int i = 0; i < 2000; i++) {
		(void)snprintf(name, sizeof(name), "tag.%d", i);
		assert_int_equal(json_object_set_new(labels, name, json_string("some text")), 0);
	}
	for (int i = 0; i < 2000; i++) {
		(void)snprintf(name, sizeof(name), "more-%d", i);
		assert_int_equal(json_object_set_new(facts, name, json_string("some text")), 0);
	}
	q = request_of(&c, &m);
	body = body_of(&q);
	data = json_object_get(body, "data");
	assert_true(q.body.n < 20000);
	assert_string_equal(text_at(data, "dedup_key"), "0123456789abcdef0123456789abcdef");
	assert_null(json_object_get(data, "more-7"));
	json_decref(body);
	json_decref(facts);
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static void every_answer_means_something(void **state)
{
	static const struct {
		int code;
		int64_t retry_after_s;
		enum outcome outcome;
		int64_t wait_s;
	} table[] = {
	    {200, -1, OUTCOME_SENT, 0},     {201, -1, OUTCOME_SENT, 0},     {204, -1, OUTCOME_SENT, 0},
	    {299, -1, OUTCOME_SENT, 0},     {301, -1, OUTCOME_RETRY, 0},    {400, -1, OUTCOME_RETRY, 0},
	    {401, -1, OUTCOME_RETRY, 0},    {404, -1, OUTCOME_RETRY, 0},    {410, -1, OUTCOME_DISABLE, 0},
	    {413, -1, OUTCOME_RETRY, 0},    {429, -1, OUTCOME_RETRY, 60},   {429, 3, OUTCOME_RETRY, 60},
	    {429, 600, OUTCOME_RETRY, 600}, {500, -1, OUTCOME_RETRY, 0},    {500, 30, OUTCOME_RETRY, 30},
	    {502, -1, OUTCOME_RETRY, 60},   {503, 120, OUTCOME_RETRY, 120}, {504, -1, OUTCOME_RETRY, 60},
	};
	struct channel c = channel_of(WEBHOOK_STANDARD);
	json_t *facts = facts_of(usual);
	struct message m = message_of(facts, SAY_FIRE);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const struct answer a = {
		    .code = table[i].code, .error = "said", .retry_after_s = table[i].retry_after_s};
		struct verdict v = {0};

		webhook_ops.judge(&c, &m, &a, &v);
		if (v.outcome != table[i].outcome || v.wait_s != table[i].wait_s)
			fail_msg("%d: %d, %lld s", a.code, (int)v.outcome, (long long)v.wait_s);
		assert_true((v.outcome == OUTCOME_SENT) == (v.why[0] == '\0'));
	}
	json_decref(facts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(known_signature, setup, teardown),
	    cmocka_unit_test_setup_teardown(every_secret_signs_what_is_sent, setup, teardown),
	    cmocka_unit_test_setup_teardown(standard_body, setup, teardown),
	    cmocka_unit_test_setup_teardown(cloudevents_structured, setup, teardown),
	    cmocka_unit_test_setup_teardown(cloudevents_binary, setup, teardown),
	    cmocka_unit_test_setup_teardown(alertmanagers_webhook, setup, teardown),
	    cmocka_unit_test_setup_teardown(own_template, setup, teardown),
	    cmocka_unit_test_setup_teardown(template_of_another_type, setup, teardown),
	    cmocka_unit_test_setup_teardown(template_escapes_for_its_type, setup, teardown),
	    cmocka_unit_test_setup_teardown(headers_of_the_configuration, setup, teardown),
	    cmocka_unit_test_setup_teardown(endless_names_fit, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_is_too_much_is_left_out, setup, teardown),
	    cmocka_unit_test_setup_teardown(every_answer_means_something, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
