/* alerts_email_test - the head of a mail, its two parts, its conversation, and verdicts by the server's reply. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "alerts/channel.h"
#include "base/error.h"

#define NOW_NS (INT64_C(1795248007) * 1000000000)

static const char facts_text[] =
    "{\"id\":\"a1b2c3-42\",\"type\":\"budget.threshold\",\"severity\":\"warning\",\"incident\":12,\"budget_id\":"
    "\"search-daily\","
    "\"period\":\"day\",\"window_start\":1795219200,\"window_end\":1795305600,\"limit_nanos\":50000000000,"
    "\"spent_nanos\":40123456789,\"reserved_nanos\":2000000000,\"unit\":\"USD\",\"ratio\":0.842,\"threshold\":0.8,"
    "\"at\":\"2026-11-21T08:00:05.000Z\",\"since\":\"2026-11-21T08:00:05.000Z\",\"node\":\"node-1\","
    "\"scope\":{\"kind\":\"global\",\"id\":\"\"},\"labels\":{\"team\":\"search\"},"
    "\"rate\":{\"per_hour\":6.1,\"runs_out_at\":\"2026-11-21T09:37:00Z\"},"
    "\"top\":[{\"key\":\"ci-bot\",\"user\":\"ann\",\"model\":\"gpt-5\",\"spent\":\"31.02 USD\"}],"
    "\"next\":\"From 100 % on, calls are refused until 2026-11-22 00:00 UTC.\",\"command\":\"bursar budgets\","
    "\"links\":{\"open\":\"https://b.example/i/12\",\"acknowledge\":\"https://b.example/a?i=12&a=ack&s=x\"}}";

struct world {
	struct arena arena;
	struct channel channel;
	struct message message;
	struct brief brief;
	struct request request;
	json_t *facts;
};

static void setup(struct world *w)
{
	*w = (struct world){.channel = {.name = "ops-mail",
					.group = "ops-mail",
					.ops = &email_ops,
					.email = {.host = "smtp.example.com",
						  .ehlo = "node-1",
						  .user = "bursar",
						  .password = "secret",
						  .from = "bursar@example.com",
						  .from_name = "bursar",
						  .to = "ops@example.org",
						  .port = 587,
						  .security = MAIL_STARTTLS}}};
	arena_init(&w->arena, 2 << 20);
	w->facts = json_loads(facts_text, 0, NULL);
	assert_non_null(w->facts);
	w->message = (struct message){.op = SAY_FIRE,
				      .severity = SEVERITY_WARNING,
				      .facts = w->facts,
				      .brief = &w->brief,
				      .id = "a1b2c3-42",
				      .dedup_key = "0123456789abcdef0123456789abcdef",
				      .ref = "",
				      .public_url = "",
				      .node = "node-1",
				      .at_ns = NOW_NS,
				      .now_ns = NOW_NS,
				      .attempt = 1};
}

static void teardown(struct world *w)
{
	json_decref(w->facts);
	arena_reset(&w->arena);
}

static int compose(struct world *w)
{
	w->request = (struct request){.arena = &w->arena};
	w->message.severity = fact_severity(w->facts);
	assert_int_equal(brief_make(&w->arena, w->facts, w->message.op, &w->brief), BUR_OK);
	return email_ops.request(&w->channel, &w->message, &w->request);
}

/* The value of a field; NULL: it is not there. Fails when it is there twice. */
static const char *field(const struct world *w, const char *name)
{
	const char *found = NULL;
	size_t n = strlen(name);

	for (size_t i = 0; i < w->request.n_headers; i++) {
		const char *h = w->request.header[i];

		if (strncmp(h, name, n) == 0 && h[n] == ':') {
			assert_null(found);
			found = h + n + 2;
		}
	}
	return found;
}

/* A field never holds a line end that does not continue it, nor another control character. */
static void check_fields(const struct world *w)
{
	for (size_t i = 0; i < w->request.n_headers; i++) {
		for (const char *p = w->request.header[i]; *p; p++) {
			if (*p == '\r') {
				assert_true(p[1] == '\n' && p[2] == ' ');
				p += 2;
				continue;
			}
			assert_in_range(*p, ' ', '~');
		}
	}
}

/* --- the head ----------------------------------------------------------------------------------------------------- */

static void test_head(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	assert_int_equal(compose(&w), BUR_OK);
	check_fields(&w);
	assert_int_equal(w.request.kind, REQUEST_MAIL);
	assert_string_equal(w.request.url, "smtp://smtp.example.com:587/node-1");
	assert_string_equal(w.request.mail_from, "bursar@example.com");
	assert_string_equal(w.request.mail_to, "ops@example.org");
	assert_string_equal(w.request.user, "bursar");
	assert_int_equal(w.request.mail_security, MAIL_STARTTLS);
	assert_string_equal(field(&w, "Subject"), "Budget search-daily (incident 12)");
	assert_string_equal(field(&w, "Date"), "Sat, 21 Nov 2026 08:00:07 +0000");
	assert_string_equal(field(&w, "From"), "\"bursar\" <bursar@example.com>");
	assert_string_equal(field(&w, "To"), "<ops@example.org>");
	assert_string_equal(field(&w, "Auto-Submitted"), "auto-generated");
	assert_string_equal(field(&w, "X-Auto-Response-Suppress"), "All");
	assert_string_equal(field(&w, "X-Bursar-Event"), "a1b2c3-42");
	assert_null(field(&w, "Importance"));
	assert_null(field(&w, "References"));
	assert_null(field(&w, "List-Unsubscribe"));
	assert_memory_equal(field(&w, "Message-ID"), "<a1b2c3-42.", 11);
	w.channel.email.security = MAIL_TLS;
	w.channel.email.port = 465;
	assert_int_equal(json_object_set_new(w.facts, "severity", json_string("critical")), 0);
	assert_int_equal(compose(&w), BUR_OK);
	assert_string_equal(w.request.url, "smtps://smtp.example.com:465/node-1");
	assert_string_equal(field(&w, "Importance"), "high");
	w.channel.email.security = MAIL_PLAINTEXT;
	w.channel.email.user = w.channel.email.password = NULL;
	assert_int_equal(compose(&w), BUR_OK);
	assert_null(w.request.user);
	assert_int_equal(w.request.mail_security, MAIL_PLAINTEXT);
	teardown(&w);
}

static void date_is(int64_t unix_s, const char *want)
{
	struct world w;

	setup(&w);
	w.message.now_ns = unix_s * 1000000000;
	assert_int_equal(compose(&w), BUR_OK);
	assert_string_equal(field(&w, "Date"), want);
	teardown(&w);
}

static void test_dates(void **state)
{
	(void)state;
	date_is(0, "Thu, 1 Jan 1970 00:00:00 +0000");
	date_is(-1, "Thu, 1 Jan 1970 00:00:00 +0000");
	date_is(951782400, "Tue, 29 Feb 2000 00:00:00 +0000");
	date_is(1798761599, "Thu, 31 Dec 2026 23:59:59 +0000");
}

/* The words of an encoded field, decoded; each checked for its length and whole characters. */
static const char *decoded(const char *value, size_t name_length)
{
	static char out[2000];
	size_t n = 0, got;

	for (const char *p = value; *p;) {
		const char *end;

		if (strncmp(p, "\r\n ", 3) == 0) {
			p += 3;
			name_length = 0;
		}
		if (strncmp(p, "=?UTF-8?B?", 10) != 0)
			break;
		end = strstr(p + 10, "?=");
		assert_non_null(end);
		assert_true((size_t)(end + 2 - p) + name_length <= 76);
		assert_int_equal(
		    base64_decode(slice_mem(p + 10, (size_t)(end - p - 10)), out + n, sizeof(out) - n, &got), BUR_OK);
		assert_true(got <= 45);
		assert_true(((unsigned char)out[n] & 0xc0) != 0x80);
		n += got;
		p = end + 2;
	}
	out[n] = '\0';
	return out;
}

static void test_subjects_of_the_world(void **state)
{
	static const char *const names[] = {"Suche-täglich", "検索予算検索予算検索予算検索予算検索予算検索予算検索予算",
					    "📈📈📈📈📈📈📈📈📈📈📈📈📈📈📈📈📈📈📈📈📈📈📈📈", "=?UTF-8?B?QUJD?=", "ميزانية"};
	struct world w;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *subject;

		setup(&w);
		assert_int_equal(json_object_set_new(w.facts, "budget_id", json_string(names[i])), 0);
		assert_int_equal(compose(&w), BUR_OK);
		check_fields(&w);
		subject = field(&w, "Subject");
		assert_memory_equal(subject, "=?UTF-8?B?", 10);
		assert_string_equal(decoded(subject, 9), w.brief.subject);
		teardown(&w);
	}
}

static void test_sender_names(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	w.channel.email.from_name = "Bursar, \"the\" \\ keeper";
	assert_int_equal(compose(&w), BUR_OK);
	assert_string_equal(field(&w, "From"), "\"Bursar, \\\"the\\\" \\\\ keeper\" <bursar@example.com>");
	w.channel.email.from_name = "Kämmerer der Universität Musterhausen in Westfalen";
	assert_int_equal(compose(&w), BUR_OK);
	check_fields(&w);
	assert_string_equal(decoded(field(&w, "From"), 6), w.channel.email.from_name);
	assert_non_null(strstr(field(&w, "From"), "\r\n <bursar@example.com>"));
	w.channel.email.from_name = NULL;
	assert_int_equal(compose(&w), BUR_OK);
	assert_string_equal(field(&w, "From"), "<bursar@example.com>");
	w.channel.email.from_name = "x\r\nBcc: a@b.example";
	assert_int_equal(compose(&w), BUR_OK);
	check_fields(&w);
	assert_string_equal(field(&w, "From"), "\"x Bcc: a@b.example\" <bursar@example.com>");
	w.channel.email.to = "a@b.example\r\nBcc: c@d.example";
	assert_int_equal(compose(&w), BUR_INVALID);
	teardown(&w);
}

/* Whatever names hold: as many fields as before, none with a line end of theirs. */
static void test_injection(void **state)
{
	static const char *const evil[] = {"a\r\nBcc: x@y.example\r\n\r\n<h1>",
					   "a\nb",
					   "a\rb",
					   "\x0b\x0c\x1b",
					   "</style><script>x</script>",
					   "\" onclick=\"x",
					   "{{budget_id}}",
					   "\u2028Bcc: x",
					   "a\xc2\x85z"};
	static const char *const members[] = {"budget_id", "node",   "title", "message", "next",
					      "command",   "period", "unit",  "type"};
	struct world w;
	size_t n;

	(void)state;
	setup(&w);
	assert_int_equal(compose(&w), BUR_OK);
	n = w.request.n_headers;
	teardown(&w);
	for (size_t e = 0; e < ARRAY_LEN(evil); e++) {
		setup(&w);
		for (size_t i = 0; i < ARRAY_LEN(members); i++)
			assert_int_equal(json_object_set_new(w.facts, members[i], json_string(evil[e])), 0);
		w.channel.templates.subject = e % 2 ? "{{budget_id}} {{brief.title}}" : NULL;
		assert_int_equal(compose(&w), BUR_OK);
		assert_int_equal(w.request.n_headers, n);
		check_fields(&w);
		assert_null(field(&w, "Bcc"));
		assert_null(strstr(w.request.mail_html, "<script"));
		assert_null(strstr(w.request.mail_html, "<h1>"));
		assert_null(strstr(w.request.mail_html, "\" onclick"));
		assert_null(strchr(w.request.mail_html, '\r'));
		teardown(&w);
	}
}

/* --- conversations ------------------------------------------------------------------------------------------------ */

static void test_conversation(void **state)
{
	const struct answer sent = {.code = 250, .error = "", .retry_after_s = -1};
	char first_subject[300];
	struct verdict first, later;
	struct world w;

	(void)state;
	setup(&w);
	assert_int_equal(compose(&w), BUR_OK);
	(void)snprintf(first_subject, sizeof(first_subject), "%s", field(&w, "Subject"));
	email_ops.judge(&w.channel, &w.message, &sent, &first);
	assert_int_equal(first.outcome, OUTCOME_SENT);
	assert_string_equal(first.ref, field(&w, "Message-ID"));
	for (int op = SAY_UPDATE; op <= SAY_ESCALATE; op++) {
		w.message.op = (enum message_op)op;
		w.message.id = "a1b2c3-43";
		w.message.ref = first.ref;
		assert_int_equal(json_object_set_new(w.facts, "ratio", json_real(1.1)), 0);
		assert_int_equal(compose(&w), BUR_OK);
		assert_string_equal(field(&w, "Subject"), first_subject);
		assert_string_equal(field(&w, "References"), first.ref);
		assert_string_equal(field(&w, "In-Reply-To"), first.ref);
		assert_string_not_equal(field(&w, "Message-ID"), first.ref);
		email_ops.judge(&w.channel, &w.message, &sent, &later);
		assert_string_equal(later.ref, ""); /* the first stays */
	}
	/* other recipients have mails of their own */
	w.channel.name = "ops-mail:bob@example.org";
	w.message.id = "a1b2c3-42";
	assert_int_equal(compose(&w), BUR_OK);
	assert_string_not_equal(field(&w, "Message-ID"), first.ref);
	/* what is kept but is no id of a mail goes nowhere */
	w.message.ref = "<a b>\r\nBcc: x";
	assert_int_equal(compose(&w), BUR_OK);
	assert_null(field(&w, "References"));
	/* digests and tests belong to no incident */
	w.message.op = SAY_TEST;
	w.message.dedup_key = w.message.ref = "";
	email_ops.judge(&w.channel, &w.message, &sent, &later);
	assert_string_equal(later.ref, "");
	teardown(&w);
}

/* --- the parts ---------------------------------------------------------------------------------------------------- */

static void test_parts_say_the_same(void **state)
{
	static const char *const said[] = {"Budget search-daily: 84 % used",
					   "40.12 of 50.00 USD (80.2 %)",
					   "WARNING",
					   "Threshold",
					   "2026-11-21 08:00:05 UTC",
					   "Held by running calls",
					   "ci-bot (user ann), gpt-5",
					   "31.02 USD",
					   "From 100 % on, calls are refused until 2026-11-22 00:00 UTC.",
					   "bursar budgets",
					   "https://b.example/i/12",
					   "2026-11-21 08:00 UTC, node-1, incident 12",
					   "Team"};
	struct world w;

	(void)state;
	setup(&w);
	assert_int_equal(compose(&w), BUR_OK);
	for (size_t i = 0; i < ARRAY_LEN(said); i++) {
		assert_non_null(strstr(w.request.mail_text, said[i]));
		assert_non_null(strstr(w.request.mail_html, said[i]));
	}
	assert_non_null(strstr(w.request.mail_text, "https://b.example/a?i=12&a=ack&s=x\n"));
	assert_non_null(strstr(w.request.mail_html, "href=\"https://b.example/a?i=12&amp;a=ack&amp;s=x\""));
	assert_true(strlen(w.request.mail_html) < 100 * 1024);
	/* nothing is fetched */
	assert_null(strstr(w.request.mail_html, "<img"));
	assert_null(strstr(w.request.mail_html, "src="));
	assert_null(strstr(w.request.mail_html, "url("));
	assert_null(strstr(w.request.mail_html, "<link"));
	assert_null(strstr(w.request.mail_html, "@import"));
	w.message.plain = true;
	assert_int_equal(compose(&w), BUR_OK);
	assert_null(w.request.mail_html);
	teardown(&w);
}

static void test_every_op(void **state)
{
	struct world w;

	(void)state;
	for (int op = SAY_FIRE; op < SAY_COUNT; op++) {
		setup(&w);
		w.message.op = (enum message_op)op;
		assert_int_equal(compose(&w), BUR_OK);
		check_fields(&w);
		assert_non_null(strstr(w.request.mail_text, op == SAY_TEST     ? "TEST: Test message"
							    : op == SAY_DIGEST ? "SUMMARY: Several"
									       : ": Budget search-daily"));
		assert_non_null(strstr(w.request.mail_html, w.brief.title));
		assert_non_null(strstr(w.request.mail_html, "</html>"));
		teardown(&w);
	}
}

static void test_bar(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	assert_int_equal(compose(&w), BUR_OK);
	assert_non_null(strstr(w.request.mail_html, "class=\"used\" width=\"80%\""));
	assert_non_null(strstr(w.request.mail_html, "class=\"held\" width=\"4%\""));
	assert_non_null(strstr(w.request.mail_html, "class=\"rest\" width=\"16%\""));
	assert_int_equal(json_object_set_new(w.facts, "spent_nanos", json_integer(INT64_MAX)), 0);
	assert_int_equal(json_object_set_new(w.facts, "reserved_nanos", json_integer(INT64_MAX)), 0);
	assert_int_equal(compose(&w), BUR_OK);
	assert_non_null(strstr(w.request.mail_html, "class=\"used\" width=\"100%\""));
	assert_null(strstr(w.request.mail_html, "class=\"held\""));
	assert_null(strstr(w.request.mail_html, "class=\"rest\""));
	assert_int_equal(json_object_set_new(w.facts, "spent_nanos", json_integer(-5)), 0);
	assert_int_equal(json_object_set_new(w.facts, "reserved_nanos", json_integer(0)), 0);
	assert_int_equal(compose(&w), BUR_OK);
	assert_null(strstr(w.request.mail_html, "class=\"used\""));
	assert_int_equal(json_object_set_new(w.facts, "limit_nanos", json_integer(0)), 0);
	assert_int_equal(compose(&w), BUR_OK);
	assert_null(strstr(w.request.mail_html, "class=\"rest\" width"));
	teardown(&w);
}

/* --- users' templates --------------------------------------------------------------------------------------------- */

static const char *subject_of(struct world *w, const char *template)
{
	w->channel.templates.subject = template;
	assert_int_equal(compose(w), BUR_OK);
	check_fields(w);
	return field(w, "Subject");
}

static void test_subject_templates(void **state)
{
	static const char moved[] = "Budget Alert: {{alert_level}} - {{period_type}}";
	struct world w;

	(void)state;
	setup(&w);
	assert_string_equal(subject_of(&w, moved), "Budget Alert: WARNING - Daily");
	assert_string_equal(subject_of(&w, "{{percentage_used}}% of ${{budget_limit}}: ${{current_cost}}\n"),
			    "84.2% of $50.00: $42.12"); /* with what running calls hold, as the share is */
	assert_string_equal(subject_of(&w, "{{threshold_percentage}} {{period_key}} {{metadata.period_type}}"),
			    "80 2026-11-21 daily");
	assert_int_equal(json_object_set_new(w.facts, "severity", json_string("critical")), 0);
	assert_int_equal(json_object_set_new(w.facts, "period", json_string("month")), 0);
	assert_string_equal(subject_of(&w, moved), "Budget Alert: EXCEEDED - Monthly");
	assert_int_equal(json_object_set_new(w.facts, "severity", json_string("error")), 0);
	assert_int_equal(json_object_set_new(w.facts, "period", json_string("rolling 24h")), 0);
	assert_string_equal(subject_of(&w, moved), "Budget Alert: CRITICAL - Rolling 24h");
	assert_string_equal(subject_of(&w, "{{brief.title}} / {{top.0.model}}"),
			    "Budget search-daily: 84 % used / gpt-5");
	/* one that says nothing here: ours */
	assert_string_equal(subject_of(&w, "{{missing}}"), "Budget search-daily (incident 12)");
	assert_string_equal(subject_of(&w, "{{#broken}}"), "Budget search-daily (incident 12)");
	teardown(&w);
}

static void test_part_templates(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	assert_int_equal(json_object_set_new(w.facts, "budget_id", json_string("<a&b>")), 0);
	w.channel.templates.text = "{{budget_id}}: {{#brief.lines}}\n- {{.}}\n{{/brief.lines}}";
	assert_int_equal(compose(&w), BUR_OK);
	assert_string_equal(w.request.mail_text, "<a&b>: \n- ci-bot (user ann), gpt-5: 31.02 USD\n");
	assert_null(w.request.mail_html);
	w.channel.templates.html = "<b>{{budget_id}}</b>";
	assert_int_equal(compose(&w), BUR_OK);
	assert_string_equal(w.request.mail_html, "<b>&lt;a&amp;b&gt;</b>");
	w.channel.templates.text = NULL;
	assert_int_equal(compose(&w), BUR_OK);
	assert_non_null(strstr(w.request.mail_text, "WARNING: Budget <a&b>"));
	teardown(&w);
}

static void test_no_memory(void **state)
{
	struct arena small;
	struct world w;
	int r = BUR_NOMEM;

	(void)state;
	setup(&w);
	w.channel.templates.subject = "{{budget_id}}";
	assert_int_equal(brief_make(&w.arena, w.facts, SAY_FIRE, &w.brief), BUR_OK);
	for (size_t max = 0; r != BUR_OK && max < 1 << 20; max += 1024) {
		arena_init(&small, max);
		w.request = (struct request){.arena = &small};
		r = email_ops.request(&w.channel, &w.message, &w.request);
		assert_true(r == BUR_OK || r == BUR_NOMEM);
		arena_reset(&small);
	}
	assert_int_equal(r, BUR_OK);
	teardown(&w);
}

/* --- verdicts ----------------------------------------------------------------------------------------------------- */

static struct verdict judged(struct world *w, enum answer_fault fault, int code, const char *error)
{
	const struct answer a = {.fault = fault, .code = code, .error = error, .retry_after_s = -1};
	struct verdict v;

	email_ops.judge(&w->channel, &w->message, &a, &v);
	if (v.outcome == OUTCOME_SENT)
		assert_string_equal(v.why, "");
	else
		assert_true(strlen(v.why) > 0);
	return v;
}

static void test_verdicts(void **state)
{
	static const struct {
		int code;
		enum outcome outcome;
	} codes[] = {{250, OUTCOME_SENT},    {251, OUTCOME_SENT},    {421, OUTCOME_RETRY},   {450, OUTCOME_RETRY},
		     {451, OUTCOME_RETRY},   {452, OUTCOME_RETRY},   {454, OUTCOME_RETRY},   {499, OUTCOME_RETRY},
		     {500, OUTCOME_CHANNEL}, {502, OUTCOME_CHANNEL}, {530, OUTCOME_CHANNEL}, {534, OUTCOME_CHANNEL},
		     {535, OUTCOME_CHANNEL}, {538, OUTCOME_CHANNEL}, {550, OUTCOME_DEAD},    {551, OUTCOME_DEAD},
		     {552, OUTCOME_DEAD},    {553, OUTCOME_DEAD},    {554, OUTCOME_DEAD},    {555, OUTCOME_DEAD},
		     {354, OUTCOME_RETRY},   {0, OUTCOME_RETRY}};
	static const struct {
		enum answer_fault fault;
		int code;
		enum outcome outcome;
	} faults[] = {{ANSWER_RESOLVE, 0, OUTCOME_RETRY},    {ANSWER_FORBIDDEN, 0, OUTCOME_CHANNEL},
		      {ANSWER_CONNECT, 0, OUTCOME_RETRY},    {ANSWER_TLS, 220, OUTCOME_CHANNEL},
		      {ANSWER_NO_TLS, 250, OUTCOME_CHANNEL}, {ANSWER_TIMEOUT, 250, OUTCOME_RETRY},
		      {ANSWER_BROKEN, 354, OUTCOME_RETRY},   {ANSWER_BROKEN, 250, OUTCOME_RETRY},
		      {ANSWER_INTERNAL, 0, OUTCOME_RETRY},   {ANSWER_BROKEN, 535, OUTCOME_CHANNEL},
		      {ANSWER_TLS, 454, OUTCOME_RETRY},      {ANSWER_BROKEN, 550, OUTCOME_DEAD}};
	struct world w;

	(void)state;
	setup(&w);
	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		assert_int_equal(judged(&w, ANSWER_NO_FAULT, codes[i].code, "it says").outcome, codes[i].outcome);
	for (size_t i = 0; i < ARRAY_LEN(faults); i++)
		assert_int_equal(judged(&w, faults[i].fault, faults[i].code, "it says").outcome, faults[i].outcome);
	teardown(&w);
}

static void test_words(void **state)
{
	static const char says[] = "smtp.example.com:587 says: 535 5.7.8 authentication failed";
	struct world w;

	(void)state;
	setup(&w);
	assert_string_equal(
	    judged(&w, ANSWER_NO_FAULT, 535, says).why,
	    "the mail server refused the password of bursar: check alerts.channels.ops-mail.email.password "
	    "(smtp.example.com:587 says: 535 5.7.8 authentication failed)");
	w.channel.email.auth = "xoauth2";
	assert_non_null(strstr(judged(&w, ANSWER_NO_FAULT, 535, says).why, "refused the token of bursar"));
	w.channel.email.user = NULL;
	assert_non_null(strstr(judged(&w, ANSWER_NO_FAULT, 530, says).why, "set username and password"));
	assert_string_equal(judged(&w, ANSWER_NO_FAULT, 550, "h:25 says: 550 no such user").why,
			    "no mail to ops@example.org: h:25 says: 550 no such user");
	assert_string_equal(judged(&w, ANSWER_NO_FAULT, 0, "").why, "the mail server did not take the mail");
	teardown(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_head),
	    cmocka_unit_test(test_dates),
	    cmocka_unit_test(test_subjects_of_the_world),
	    cmocka_unit_test(test_sender_names),
	    cmocka_unit_test(test_injection),
	    cmocka_unit_test(test_conversation),
	    cmocka_unit_test(test_parts_say_the_same),
	    cmocka_unit_test(test_every_op),
	    cmocka_unit_test(test_bar),
	    cmocka_unit_test(test_subject_templates),
	    cmocka_unit_test(test_part_templates),
	    cmocka_unit_test(test_no_memory),
	    cmocka_unit_test(test_verdicts),
	    cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests_name("alerts_email", tests, NULL, NULL);
}
