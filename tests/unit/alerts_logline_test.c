/* Lines in a log: JSON that parses, syslog that cannot be broken out of. */
#include "alerts_machines.h"

static struct channel channel_of(enum logline_format format, const char *facility)
{
	return (struct channel){
	    .name = "log", .group = "log", .ops = &logline_ops, .logline = {format, NULL, logline_facility(facility)}};
}

static void json_line(void **state)
{
	struct channel c = channel_of(LOGLINE_JSON, "daemon");
	json_t *facts = facts_of(usual), *line;
	struct message m = message_of(facts, SAY_FIRE);
	struct request q = request_of(&c, &m);

	(void)state;
	assert_int_equal(q.kind, REQUEST_LOG);
	assert_null(memchr(q.body.p, '\n', q.body.n));
	line = body_of(&q);
	assert_string_equal(text_at(line, "ts"), "2026-11-21T08:00:05.000Z");
	assert_string_equal(text_at(line, "level"), "WARNING");
	assert_string_equal(text_at(line, "event"), "alert");
	assert_string_equal(text_at(line, "msg"), "BUDGET ALERT: Budget search-daily is 80 % used.");
	assert_string_equal(text_at(line, "budget_id"), "search-daily");
	json_decref(line);
	json_decref(facts);
}

static void levels_of_severities(void **state)
{
	static const char *const levels[] = {"INFO", "WARNING", "ERROR", "CRITICAL"};
	struct channel c = channel_of(LOGLINE_JSON, "daemon");
	json_t *facts = facts_of(usual), *line;
	struct message m = message_of(facts, SAY_FIRE);

	(void)state;
	for (int s = 0; s < SEVERITY_COUNT; s++) {
		struct request q;

		m.severity = (enum severity)s;
		m.op = SAY_FIRE;
		q = request_of(&c, &m);
		line = body_of(&q);
		assert_string_equal(text_at(line, "level"), levels[s]);
		json_decref(line);
		m.op = SAY_RESOLVE;
		q = request_of(&c, &m);
		line = body_of(&q);
		assert_string_equal(text_at(line, "level"), "INFO");
		assert_string_equal(text_at(line, "state"), "resolved");
		json_decref(line);
	}
	json_decref(facts);
}

static void syslog_line(void **state)
{
	struct channel c = channel_of(LOGLINE_SYSLOG, "local3");
	json_t *facts = facts_of(usual);
	struct message m = message_of(facts, SAY_FIRE);
	struct request q = request_of(&c, &m);

	(void)state;
	assert_true(slice_eq(
	    q.body,
	    SLICE("<156>1 2026-11-21T08:00:00.000Z node-1 bursar - budget.threshold [bursar@32473 id=\"abc123-7\" "
		  "state=\"firing\" type=\"budget.threshold\" severity=\"warning\" budget_id=\"search-daily\" "
		  "period=\"day\" unit=\"USD\" since=\"2026-11-21T07:00:00.000Z\" scope_kind=\"key\" "
		  "scope_id=\"ci-bot\" window_start=\"1795212000\" window_end=\"1795298400\" "
		  "limit_nanos=\"50000000000\" spent_nanos=\"40120000000\" reserved_nanos=\"0\" incident=\"12\"] "
		  "BUDGET ALERT: Budget search-daily is 80 % used.")));
	json_decref(facts);
}

/* Every quote of a value is escaped, so the data ends where we end it. */
static void check_structure(struct slice line)
{
	bool quoted = false;
	size_t i = slice_find(line, '[');

	assert_true(i < line.n);
	for (i++; i < line.n && (quoted || line.p[i] != ']'); i++) {
		if (quoted && line.p[i] == '\\')
			i++;
		else if (line.p[i] == '"')
			quoted = !quoted;
		else if (quoted)
			assert_int_not_equal(line.p[i], ']');
	}
	assert_true(i + 15 < line.n);
	assert_memory_equal(line.p + i, "] BUDGET ALERT: ", 16);
}

static void hostile_names(void **state)
{
	static const char *const members[] = {"message", "scope.id", "budget_id", "period", "unit", "type"};
	static const char *const pieces[] = {"x", "ü😀 ", "\"] evil=\"", "\\\"]\\", "\r\n<0>1 ", "\xe2\x80\xae"};

	(void)state;
	for (int format = LOGLINE_JSON; format <= LOGLINE_SYSLOG; format++) {
		struct channel c = channel_of((enum logline_format)format, "auth");

		for (size_t i = 0; i < ARRAY_LEN(members); i++) {
			for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
				json_t *facts = facts_with(members[i], pieces[k], 1500 * strlen(pieces[k])), *line;
				struct message m = message_of(facts, SAY_FIRE);
				struct request q;

				m.node = "a b\n]";
				q = request_of(&c, &m);
				assert_true(q.body.n < 8192);
				for (size_t b = 0; b < q.body.n; b++)
					assert_true((unsigned char)q.body.p[b] >= ' ');
				if (format == LOGLINE_SYSLOG) {
					check_structure(q.body);
				} else {
					line = body_of(&q);
					json_decref(line);
				}
				json_decref(facts);
				arena_reset(&arena);
			}
		}
	}
}

static void a_log_that_cannot_be_written_is_tried_again(void **state)
{
	struct channel c = channel_of(LOGLINE_JSON, "daemon");
	json_t *facts = facts_of(usual);
	struct message m = message_of(facts, SAY_FIRE);
	struct answer a = {.error = ""};
	struct verdict v = {0};

	(void)state;
	logline_ops.judge(&c, &m, &a, &v);
	assert_int_equal(v.outcome, OUTCOME_SENT);
	assert_string_equal(v.why, "");
	a = (struct answer){.fault = ANSWER_INTERNAL, .error = "disk full"};
	logline_ops.judge(&c, &m, &a, &v);
	assert_int_equal(v.outcome, OUTCOME_RETRY);
	assert_non_null(strstr(v.why, "disk full"));
	json_decref(facts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(json_line, setup, teardown),
	    cmocka_unit_test_setup_teardown(levels_of_severities, setup, teardown),
	    cmocka_unit_test_setup_teardown(syslog_line, setup, teardown),
	    cmocka_unit_test_setup_teardown(hostile_names, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_log_that_cannot_be_written_is_tried_again, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
