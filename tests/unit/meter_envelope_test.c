/* meter_envelope_test - refusals in each vendor's words; every body is JSON, whatever stands in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/amount.h"
#include "base/error.h"
#include "base/json.h"
#include "meter/envelope.h"

static bool is_json(struct slice s)
{
	struct json_reader r;
	size_t i = 0;
	enum json_token t;

	json_reader_init(&r);
	do
		t = json_next(&r, s.p, s.n, &i);
	while (t != JT_MORE && t != JT_ERROR);
	return t == JT_MORE && json_reader_complete(&r);
}

static const struct refusal_budget day = {SLICE("search-daily"),
					  SLICE("day"),
					  SLICE("user=ann"),
					  SLICE("USD"),
					  50000000000,
					  49500000000,
					  300000000,
					  400000000,
					  SLICE("2026-11-22T00:00:00+01:00")};
static const struct refusal_budget calls = {
    SLICE("calls"), SLICE("month"), SLICE_NONE, SLICE("requests"), 1000, 1000, 0, 1, SLICE_NONE};

static void body(enum api_family family, const struct refusal *f, const char *want)
{
	struct buf out;

	buf_init(&out, 1 << 16);
	assert_int_equal(envelope_write(family, f, &out), BUR_OK);
	assert_true(is_json(buf_slice(&out)));
	if (!slice_eq(buf_slice(&out), slice_of(want)))
		fail_msg("%.*s", SLICE_ARG(buf_slice(&out)));
	buf_done(&out);
}

static void test_message(void **state)
{
	const struct refusal_budget both[] = {day, calls};
	struct buf out;

	(void)state;
	buf_init(&out, 1024);
	assert_int_equal(refusal_budget_message(both, 2, &out), BUR_OK);
	if (!slice_eq(buf_slice(&out),
		      SLICE("search-daily (user=ann), 49.5 of 50 USD, held 0.3, needed 0.4, resets "
			    "2026-11-22T00:00:00+01:00; calls, 1000 of 1000 requests, held 0, needed 1, never resets")))
		fail_msg("%.*s", SLICE_ARG(buf_slice(&out)));
	buf_done(&out);
	buf_init(&out, 10);
	assert_int_equal(refusal_budget_message(both, 2, &out), BUR_TOOBIG);
	buf_done(&out);
}

static void test_bodies(void **state)
{
	const struct refusal f = {REFUSE_BUDGET_EXCEEDED, SLICE("over \"it\""), SLICE("req_1"), &day, 1};
	const struct refusal p = {REFUSE_PRICE_UNKNOWN, SLICE("m"), SLICE("req_1"), NULL, 0};
	const struct refusal o = {REFUSE_STORAGE_UNAVAILABLE, SLICE("m"), SLICE("req_1"), NULL, 0};

	(void)state;
	body(FAMILY_OPENAI, &f,
	     "{\"error\":{\"message\":\"over "
	     "\\\"it\\\"\",\"type\":\"insufficient_quota\",\"param\":null,\"code\":\"budget_exceeded\","
	     "\"budgets\":[{\"name\":\"search-daily\",\"window\":\"day\",\"scope\":\"user=ann\",\"unit\":\"USD\","
	     "\"limit\":\"50\","
	     "\"posted\":\"49.5\",\"held\":\"0.3\",\"need\":\"0.4\",\"resets_at\":\"2026-11-22T00:00:00+01:00\"}]}}");
	body(FAMILY_ANTHROPIC, &f,
	     "{\"type\":\"error\",\"error\":{\"type\":\"billing_error\",\"message\":\"over "
	     "\\\"it\\\"\"},\"request_id\":\"req_1\"}");
	body(FAMILY_GOOGLE, &f,
	     "{\"error\":{\"code\":402,\"message\":\"over "
	     "\\\"it\\\"\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\":[]}}");
	body(FAMILY_OTHER, &p,
	     "{\"type\":\"about:blank\",\"title\":\"price_unknown\",\"status\":400,\"detail\":\"m\",\"code\":\"price_"
	     "unknown\","
	     "\"request_id\":\"req_1\"}");
	body(FAMILY_OPENAI, &p,
	     "{\"error\":{\"message\":\"m\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"price_"
	     "unknown\"}}");
	body(FAMILY_OPENAI, &o,
	     "{\"error\":{\"message\":\"m\",\"type\":\"server_error\",\"param\":null,\"code\":\"storage_unavailable\"}"
	     "}");
	body(FAMILY_ANTHROPIC, &o,
	     "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"},\"request_id\":\"req_"
	     "1\"}");
	body(FAMILY_GOOGLE, &o,
	     "{\"error\":{\"code\":503,\"message\":\"m\",\"status\":\"UNAVAILABLE\",\"details\":[]}}");
	assert_string_equal(envelope_content_type(FAMILY_OTHER), "application/problem+json");
	assert_string_equal(envelope_content_type(FAMILY_GOOGLE), "application/json");
	assert_string_equal(envelope_request_id_field(FAMILY_ANTHROPIC), "request-id");
	assert_string_equal(envelope_request_id_field(FAMILY_OPENAI), "x-request-id");
}

/* Every reason has words in every family, and the status classes agree with whether a client may try again. */
static void test_reasons(void **state)
{
	static const enum api_family families[] = {FAMILY_OTHER, FAMILY_OPENAI, FAMILY_ANTHROPIC, FAMILY_GOOGLE};
	size_t i;
	int reason;

	(void)state;
	for (reason = 0; reason < REFUSE_COUNT; reason++) {
		struct refusal f = {(enum refusal_reason)reason, SLICE("a\x01\xff\"\n"), SLICE_NONE, NULL, 0};

		assert_true(refusal_status(f.reason) >= 400 && strlen(refusal_code(f.reason)) > 3);
		if (refusal_needs_retry_after(f.reason))
			assert_true(refusal_may_retry(f.reason));
		for (i = 0; i < ARRAY_LEN(families); i++) {
			struct buf out;

			buf_init(&out, 4096);
			assert_int_equal(envelope_write(families[i], &f, &out), BUR_OK);
			assert_true(is_json(buf_slice(&out)));
			buf_done(&out);
		}
	}
	assert_int_equal(refusal_status(REFUSE_BUDGET_EXCEEDED), 402);
	assert_false(refusal_may_retry(REFUSE_BUDGET_EXCEEDED));
	assert_true(refusal_may_retry(REFUSE_BUDGET_HELD));
}

static void ends(enum api_kind kind, const struct refusal *f, const char *want)
{
	struct buf out;

	buf_init(&out, 4096);
	assert_int_equal(envelope_stream_end(kind, f, &out), BUR_OK);
	if (!slice_eq(buf_slice(&out), slice_of(want)))
		fail_msg("%.*s", SLICE_ARG(buf_slice(&out)));
	buf_done(&out);
}

static void test_stream_ends(void **state)
{
	const struct refusal f = {REFUSE_BUDGET_EXCEEDED, SLICE("m"), SLICE("req_1"), NULL, 0};
	const struct refusal t = {REFUSE_UPSTREAM_TIMEOUT, SLICE("m"), SLICE("req_1"), NULL, 0};
	struct buf out;

	(void)state;
	ends(API_CHAT, &f,
	     "data: "
	     "{\"error\":{\"message\":\"m\",\"type\":\"insufficient_quota\",\"param\":null,\"code\":\"budget_"
	     "exceeded\"}}\n\ndata: "
	     "[DONE]\n\n");
	ends(API_RESPONSES, &f,
	     "event: response.incomplete\ndata: "
	     "{\"type\":\"response.incomplete\",\"response\":{\"id\":\"req_1\",\"object\":\"response\","
	     "\"status\":\"incomplete\",\"error\":null,\"incomplete_details\":{\"reason\":\"max_output_tokens\"},"
	     "\"output\":[],\"usage\":null,"
	     "\"metadata\":{\"bursar_code\":\"budget_exceeded\",\"bursar_message\":\"m\"}}}\n\n");
	ends(API_RESPONSES, &t,
	     "event: response.failed\ndata: "
	     "{\"type\":\"response.failed\",\"response\":{\"id\":\"req_1\",\"object\":\"response\",\"status\":"
	     "\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"m\"},\"incomplete_details\":null,"
	     "\"output\":[],\"usage\":null,"
	     "\"metadata\":{\"bursar_code\":\"upstream_timeout\",\"bursar_message\":\"m\"}}}\n\n");
	ends(API_MESSAGES, &f,
	     "event: error\ndata: "
	     "{\"type\":\"error\",\"error\":{\"type\":\"billing_error\",\"message\":\"m\"},\"request_id\":\"req_1\"}"
	     "\n\n");
	ends(API_GENERATE, &f,
	     "data: {\"error\":{\"code\":402,\"message\":\"m\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\":[]}}\n\n");
	buf_init(&out, 4096);
	assert_int_equal(envelope_stream_end(API_EMBEDDINGS, &f, &out), BUR_UNSUPPORTED);
	assert_int_equal(envelope_array_end(&f, true, &out), BUR_OK);
	assert_true(is_json(buf_slice(&out)));
	buf_done(&out);
	buf_init(&out, 16);
	assert_int_equal(envelope_stream_end(API_CHAT, &f, &out), BUR_TOOBIG);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_message),
	    cmocka_unit_test(test_bodies),
	    cmocka_unit_test(test_reasons),
	    cmocka_unit_test(test_stream_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
