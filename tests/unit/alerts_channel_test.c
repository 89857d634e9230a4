#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "alerts/channel.h"
#include "base/error.h"

static struct arena arena;

static int setup(void **state)
{
	(void)state;
	arena_init(&arena, 1 << 20);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_reset(&arena);
	return 0;
}

static void headers(void **state)
{
	struct request r = {.arena = &arena};
	char text[8000];

	(void)state;
	assert_int_equal(request_header(&r, "X-Name: %s", "value"), BUR_OK);
	assert_int_equal(request_header(&r, "X-Name: %s", "a\r\nX-Evil: 1"), BUR_INVALID);
	assert_int_equal(request_header(&r, "X-Name: %s", "a\nb"), BUR_INVALID);
	assert_int_equal(request_header(&r, "X-Name: %s", "a\x7f"), BUR_INVALID);
	assert_int_equal(request_header(&r, "no colon"), BUR_INVALID);
	assert_int_equal(request_header(&r, ": no name"), BUR_INVALID);
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(request_header(&r, "X-Name: %s", text), BUR_INVALID);
	assert_int_equal(r.n_headers, 1);
	assert_string_equal(r.header[0], "X-Name: value");
	while (r.n_headers < REQUEST_HEADERS_MAX)
		assert_int_equal(request_header(&r, "X: y"), BUR_OK);
	assert_int_equal(request_header(&r, "X: y"), BUR_FULL);
}

static void bodies(void **state)
{
	struct request r = {.arena = &arena};
	struct arena small;

	(void)state;
	assert_int_equal(request_json(&r, json_pack("{s:i, s:s}", "a", 1, "b", "\xc3\xbc"), "application/json"),
			 BUR_OK);
	assert_memory_equal(r.body.p, "{\"a\":1,\"b\":\"\xc3\xbc\"}", r.body.n);
	assert_string_equal(r.header[0], "Content-Type: application/json");
	assert_int_equal(request_json(&r, json_object(), NULL), BUR_OK);
	assert_int_equal(r.n_headers, 1);
	assert_int_equal(request_json(&r, NULL, NULL), BUR_NOMEM);
	arena_init(&small, 64);
	r.arena = &small;
	assert_int_equal(request_json(&r,
				      json_pack("{s:s}", "long",
						"0123456789012345678901234567890123456789012345678"
						"01234567890123456789"),
				      NULL),
			 BUR_NOMEM);
	arena_reset(&small);
}

static void verdicts(void **state)
{
	static const struct {
		enum answer_fault fault;
		int code;
		int64_t retry_after_s;
		enum outcome outcome;
		int64_t wait_s;
	} cases[] = {
	    {ANSWER_NO_FAULT, 200, -1, OUTCOME_SENT, 0},     {ANSWER_NO_FAULT, 204, -1, OUTCOME_SENT, 0},
	    {ANSWER_NO_FAULT, 299, 9, OUTCOME_SENT, 0},      {ANSWER_NO_FAULT, 301, -1, OUTCOME_CHANNEL, 0},
	    {ANSWER_NO_FAULT, 302, -1, OUTCOME_CHANNEL, 0},  {ANSWER_NO_FAULT, 400, -1, OUTCOME_RETRY, 0},
	    {ANSWER_NO_FAULT, 401, -1, OUTCOME_CHANNEL, 0},  {ANSWER_NO_FAULT, 403, -1, OUTCOME_CHANNEL, 0},
	    {ANSWER_NO_FAULT, 404, -1, OUTCOME_CHANNEL, 0},  {ANSWER_NO_FAULT, 408, -1, OUTCOME_RETRY, 0},
	    {ANSWER_NO_FAULT, 410, -1, OUTCOME_DISABLE, 0},  {ANSWER_NO_FAULT, 422, -1, OUTCOME_RETRY, 0},
	    {ANSWER_NO_FAULT, 425, -1, OUTCOME_RETRY, 0},    {ANSWER_NO_FAULT, 429, -1, OUTCOME_RETRY, 0},
	    {ANSWER_NO_FAULT, 429, 120, OUTCOME_RETRY, 120}, {ANSWER_NO_FAULT, 500, 120, OUTCOME_RETRY, 0},
	    {ANSWER_NO_FAULT, 503, 30, OUTCOME_RETRY, 30},   {ANSWER_NO_FAULT, 599, -1, OUTCOME_RETRY, 0},
	    {ANSWER_RESOLVE, 0, -1, OUTCOME_RETRY, 0},       {ANSWER_FORBIDDEN, 0, -1, OUTCOME_CHANNEL, 0},
	    {ANSWER_CONNECT, 0, -1, OUTCOME_RETRY, 0},       {ANSWER_TLS, 0, -1, OUTCOME_CHANNEL, 0},
	    {ANSWER_NO_TLS, 0, -1, OUTCOME_CHANNEL, 0},      {ANSWER_TIMEOUT, 0, -1, OUTCOME_RETRY, 0},
	    {ANSWER_BROKEN, 0, -1, OUTCOME_RETRY, 0},        {ANSWER_INTERNAL, 0, -1, OUTCOME_RETRY, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct answer a = {.fault = cases[i].fault,
				   .code = cases[i].code,
				   .error = "the peer's words",
				   .retry_after_s = cases[i].retry_after_s};
		struct verdict v;

		verdict_http(&a, &v);
		assert_int_equal(v.outcome, cases[i].outcome);
		assert_int_equal(v.wait_s, cases[i].wait_s);
		if (v.outcome == OUTCOME_SENT)
			assert_string_equal(v.why, "");
		else
			assert_non_null(strstr(v.why, "the peer's words"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(headers, setup, teardown),
	    cmocka_unit_test_setup_teardown(bodies, setup, teardown),
	    cmocka_unit_test_setup_teardown(verdicts, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
