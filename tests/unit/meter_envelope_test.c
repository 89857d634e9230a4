/* meter_envelope_test - refusals in each vendor's words; every body is JSON, whatever stands in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

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
	const struct refusal f = {REFUSE_BUDGET_EXCEEDED, SLICE("over \"it\""), SLICE("req_1"), &day, 1, 0, 0};
	const struct refusal p = {REFUSE_PRICE_UNKNOWN, SLICE("m"), SLICE("req_1"), NULL, 0, 0, 0};
	const struct refusal o = {REFUSE_STORAGE_UNAVAILABLE, SLICE("m"), SLICE("req_1"), NULL, 0, 0, 0};
	const struct refusal held = {
	    .reason = REFUSE_BUDGET_HELD, .message = SLICE("m"), .status = 403, .retry_after_s = 2};

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
	body(FAMILY_AZURE, &p,
	     "{\"error\":{\"message\":\"m\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"price_"
	     "unknown\"}}");
	body(FAMILY_AWS, &f, "{\"message\":\"over \\\"it\\\"\"}");
	body(FAMILY_COHERE, &f, "{\"id\":\"req_1\",\"message\":\"over \\\"it\\\"\"}");
	body(FAMILY_MISTRAL, &p,
	     "{\"object\":\"error\",\"message\":\"m\",\"type\":\"invalid_request_error\",\"param\":null,"
	     "\"code\":\"price_unknown\"}");
	body(FAMILY_OPENROUTER, &f, "{\"error\":{\"code\":402,\"message\":\"over \\\"it\\\"\",\"metadata\":{}}}");
	body(FAMILY_OPENROUTER, &o, "{\"error\":{\"code\":429,\"message\":\"m\",\"metadata\":{}}}");
	body(FAMILY_OLLAMA, &f, "{\"error\":\"over \\\"it\\\"\"}");
	body(FAMILY_GOOGLE, &held,
	     "{\"error\":{\"code\":403,\"message\":\"m\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\":[{\"@type\":"
	     "\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"2s\"}]}}");
	assert_string_equal(envelope_content_type(FAMILY_OTHER), "application/problem+json");
	assert_string_equal(envelope_content_type(FAMILY_GOOGLE), "application/json");
	assert_string_equal(envelope_request_id_field(FAMILY_ANTHROPIC), "request-id");
	assert_string_equal(envelope_request_id_field(FAMILY_OPENAI), "x-request-id");
}

/* Every reason has words in every family, and the status classes agree with whether a client may try again. */
static void test_reasons(void **state)
{
	static const enum api_family families[] = {FAMILY_OTHER,      FAMILY_OPENAI, FAMILY_AZURE,  FAMILY_ANTHROPIC,
						   FAMILY_GOOGLE,     FAMILY_AWS,    FAMILY_COHERE, FAMILY_MISTRAL,
						   FAMILY_OPENROUTER, FAMILY_OLLAMA};
	struct slice name, value;
	size_t i;
	int reason;

	(void)state;
	for (reason = 0; reason < REFUSE_COUNT; reason++) {
		struct refusal f = {(enum refusal_reason)reason, SLICE("a\x01\xff\"\n"), SLICE_NONE, NULL, 0, 0, 0};

		assert_true(refusal_status(f.reason) >= 400 && strlen(refusal_code(f.reason)) > 3);
		if (refusal_needs_retry_after(f.reason))
			assert_true(refusal_may_retry(f.reason));
		for (i = 0; i < ARRAY_LEN(families); i++) {
			struct buf out;

			buf_init(&out, 4096);
			assert_int_equal(envelope_write(families[i], &f, &out), BUR_OK);
			assert_true(is_json(buf_slice(&out)));
			buf_done(&out);
			assert_true(envelope_status(families[i], f.reason, 0) >= 400);
			if (families[i] == FAMILY_OPENROUTER) /* its SDK tries a 5xx again for an hour */
				assert_true(envelope_status(families[i], f.reason, 0) < 500);
			if (envelope_extra_field(families[i], f.reason, &name, &value))
				assert_true(slice_ends(value, SLICE("Exception")));
		}
	}
	assert_int_equal(refusal_status(REFUSE_BUDGET_EXCEEDED), 402);
	assert_false(refusal_may_retry(REFUSE_BUDGET_EXCEEDED));
	assert_true(refusal_may_retry(REFUSE_BUDGET_HELD));
}

static void is_aws(enum refusal_reason reason, int status, const char *type)
{
	struct slice name, value;

	assert_int_equal(envelope_status(FAMILY_AWS, reason, 0), status);
	assert_true(envelope_extra_field(FAMILY_AWS, reason, &name, &value));
	assert_true(slice_eq(name, SLICE("x-amzn-errortype")) && slice_eq(value, slice_of(type)));
}

static void test_statuses_and_fields(void **state)
{
	struct slice name, value;

	(void)state;
	is_aws(REFUSE_BUDGET_EXCEEDED, 400, "ServiceQuotaExceededException");
	is_aws(REFUSE_BUDGET_HELD, 429, "ThrottlingException");
	is_aws(REFUSE_PRICE_UNKNOWN, 400, "ValidationException");
	is_aws(REFUSE_ROUTE_UNMETERED, 400, "ValidationException");
	is_aws(REFUSE_NO_BUDGET, 403, "AccessDeniedException");
	is_aws(REFUSE_STORAGE_UNAVAILABLE, 503, "ServiceUnavailableException");
	assert_int_equal(envelope_status(FAMILY_AWS, REFUSE_BUDGET_EXCEEDED, 402), 400);
	assert_int_equal(envelope_status(FAMILY_AWS, REFUSE_BUDGET_EXCEEDED, 429), 429);
	assert_int_equal(envelope_status(FAMILY_OPENAI, REFUSE_BUDGET_EXCEEDED, 403), 403);
	assert_int_equal(envelope_status(FAMILY_OPENROUTER, REFUSE_STORAGE_UNAVAILABLE, 0), 429);
	assert_int_equal(envelope_status(FAMILY_OPENAI, REFUSE_STORAGE_UNAVAILABLE, 0), 503);
	assert_false(envelope_extra_field(FAMILY_OPENAI, REFUSE_BUDGET_EXCEEDED, &name, &value));
	assert_string_equal(envelope_request_id_field(FAMILY_AWS), "x-amzn-requestid");
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
	const struct refusal f = {REFUSE_BUDGET_EXCEEDED, SLICE("m"), SLICE("req_1"), NULL, 0, 0, 0};
	const struct refusal t = {REFUSE_UPSTREAM_TIMEOUT, SLICE("m"), SLICE("req_1"), NULL, 0, 0, 0};
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
	ends(API_COMPLETIONS, &t,
	     "data: {\"error\":{\"message\":\"m\",\"type\":\"server_error\",\"param\":null,\"code\":\"upstream_"
	     "timeout\"}}\n\ndata: [DONE]\n\n");
	ends(API_IMAGES, &f,
	     "event: error\ndata: {\"error\":{\"message\":\"m\",\"type\":\"insufficient_quota\",\"param\":null,"
	     "\"code\":\"budget_exceeded\"}}\n\n");
	ends(API_INTERACTIONS, &f,
	     "event: error\ndata: {\"event_type\":\"error\",\"error\":{\"code\":\"budget_exceeded\",\"message\":"
	     "\"m\"}}\n\n");
	ends(API_COHERE_CHAT, &f,
	     "event: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"ERROR\","
	     "\"error\":\"m\"}}\n\n");
	ends(API_OLLAMA, &f, "{\"error\":\"m\"}\n");
	buf_init(&out, 4096);
	assert_int_equal(envelope_stream_end(API_EMBEDDINGS, &f, &out), BUR_UNSUPPORTED);
	assert_int_equal(envelope_array_end(&f, true, &out), BUR_OK);
	assert_true(is_json(buf_slice(&out)));
	buf_done(&out);
	buf_init(&out, 16);
	assert_int_equal(envelope_stream_end(API_CHAT, &f, &out), BUR_TOOBIG);
	buf_done(&out);
}

static uint32_t be32(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

/* As an AWS SDK reads it: lengths, both CRCs, headers of type 7, JSON. */
static void aws_end(enum api_kind kind, enum refusal_reason reason, const char *type)
{
	const struct refusal f = {.reason = reason, .message = SLICE("no \"more\"")};
	struct slice s, payload;
	struct buf out;
	size_t headers, i = 12;
	bool seen = false;

	buf_init(&out, 4096);
	assert_int_equal(envelope_stream_end(kind, &f, &out), BUR_OK);
	s = buf_slice(&out);
	assert_true(s.n > 16);
	assert_int_equal(be32(s.p), s.n);
	headers = be32(s.p + 4);
	assert_int_equal(be32(s.p + 8), crc32(0, (const unsigned char *)s.p, 8));
	assert_int_equal(be32(s.p + s.n - 4), crc32(0, (const unsigned char *)s.p, (uInt)(s.n - 4)));
	while (i < 12 + headers) {
		struct slice name = slice_sub(s, i + 1, (unsigned char)s.p[i]), value;

		i += 1 + name.n;
		assert_int_equal(s.p[i], 7);
		value = slice_sub(s, i + 3, (size_t)(unsigned char)s.p[i + 1] << 8 | (unsigned char)s.p[i + 2]);
		i += 3 + value.n;
		if (slice_eq(name, SLICE(":exception-type")))
			assert_true(slice_eq(value, slice_of(type)));
		seen |= slice_eq(name, SLICE(":message-type")) && slice_eq(value, SLICE("exception"));
	}
	assert_true(seen && i == 12 + headers);
	payload = slice_sub(s, i, s.n - i - 4);
	assert_true(slice_eq(payload, SLICE("{\"message\":\"no \\\"more\\\"\"}")));
	buf_done(&out);
}

static void test_binary_ends(void **state)
{
	static char text[300];
	struct refusal f = {.reason = REFUSE_BUDGET_EXCEEDED, .message = SLICE("m")};
	struct buf out;
	struct slice s;

	(void)state;
	aws_end(API_CONVERSE, REFUSE_BUDGET_EXCEEDED, "throttlingException");
	aws_end(API_INVOKE, REFUSE_UPSTREAM_TIMEOUT, "serviceUnavailableException");
	buf_init(&out, 4096);
	assert_int_equal(envelope_stream_end(API_REALTIME, &f, &out), BUR_OK);
	s = buf_slice(&out);
	assert_int_equal((unsigned char)s.p[0], 0x81);
	assert_true((unsigned char)s.p[1] < 126 && s.n == 2 + (size_t)s.p[1] + 4);
	assert_true(is_json(slice_sub(s, 2, s.n - 6)) && slice_ends(s, SLICE("\x88\x02\x03\xf0")));
	buf_done(&out);
	memset(text, 'x', sizeof(text));
	f.message = slice_mem(text, sizeof(text));
	buf_init(&out, 4096);
	assert_int_equal(envelope_stream_end(API_REALTIME, &f, &out), BUR_OK);
	s = buf_slice(&out);
	assert_int_equal((unsigned char)s.p[1], 126);
	assert_int_equal(s.n, 4 + ((size_t)(unsigned char)s.p[2] << 8 | (unsigned char)s.p[3]) + 4);
	assert_true(is_json(slice_sub(s, 4, s.n - 8)));
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_message),     cmocka_unit_test(test_bodies),
	    cmocka_unit_test(test_reasons),     cmocka_unit_test(test_statuses_and_fields),
	    cmocka_unit_test(test_stream_ends), cmocka_unit_test(test_binary_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
