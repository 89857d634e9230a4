/* meter_generic_call_test - one call by each kind of rule: bound before, cost after, free and broken answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>

#include "base/error.h"
#include "meter/generic_call.h"

#define ANSWERS_FREE .free = {{300, 599}}, .n_free = 1

static int64_t bound(struct generic_call *c)
{
	int64_t nanousd;
	int r = generic_call_bound(c, &nanousd);

	return r < 0 ? r : nanousd;
}

/* -1: not sure. */
static int64_t cost(struct generic_call *c, bool whole)
{
	int64_t nanousd;
	bool sure;

	generic_call_cost(c, whole, INT64_C(12000000001), &nanousd, &sure);
	return sure ? nanousd : -1;
}

static void maps_by_request(void **state)
{
	struct generic_meter m = {.source = GENERIC_REQUESTS, .rate_pusd = 5000000000000, .per = 1000, ANSWERS_FREE};
	struct generic_call *c = generic_call_new(&m);

	(void)state;
	assert_int_equal(bound(c), 5000000);
	generic_call_answer_begin(c, 200, SLICE_NONE);
	assert_int_equal(cost(c, true), 5000000);
	assert_int_equal(cost(c, false), 5000000); /* one call is one call */
	generic_call_answer_begin(c, 503, SLICE_NONE);
	assert_int_equal(cost(c, true), 0);
	generic_call_free(c);
}

static void speech_by_characters(void **state)
{
	struct generic_meter m = {
	    .source = GENERIC_REQUEST_JSON, .at = "/text", .rate_pusd = 300000000000, .per = 1000, ANSWERS_FREE};
	struct generic_call *c = generic_call_new(&m);

	(void)state;
	assert_true(generic_call_needs_body(c));
	generic_call_request_body(c, "{\"voice\":\"a\",\"te", 16);
	generic_call_request_body(c, "xt\":\"hello\"}", 12);
	assert_int_equal(bound(c), 5 * 300000);
	generic_call_answer_begin(c, 200, SLICE_NONE);
	assert_int_equal(cost(c, false), 5 * 300000);
	generic_call_free(c);
	c = generic_call_new(&m);
	generic_call_request_body(c, "{}", 2);
	assert_int_equal(bound(c), BUR_INVALID);
	generic_call_free(c);
}

/* Two readers, two quantities: none is known. */
static void requests_read_in_two_ways(void **state)
{
	static const struct {
		const char *body;
		int64_t units; /* BUR_INVALID: refused */
	} cases[] = {
	    {"{\"o\":{\"text\":\"hello\"}}", 5},
	    {"{\"o\":{\"text\":\"hello\",\"text\":\"\"}}", BUR_INVALID},
	    {"{\"o\":{\"text\":\"\",\"Text\":\"hello\"}}", BUR_INVALID},
	    {"{\"o\":{\"TEXT\":\"hello\"}}", BUR_INVALID},
	    {"{\"o\":{\"text\":\"hello\"},\"o\":{\"text\":\"\"}}", BUR_INVALID},
	    {"{\"O\":{\"text\":\"hello\"},\"o\":{\"text\":\"\"}}", BUR_INVALID},
	    {"{\"x\":{\"text\":1},\"o\":{\"text\":\"\"}}", 0},
	    {"{\"o\":{\"text\":\"0000\"}}", 4}, /* zeros are spoken too */
	    {"{\"o\":{\"text\":\"12\"}}", 12},
	    {"{\"o\":{\"text\":7}}", 7},
	    {"{\"o\":{\"text\":-7}}", BUR_INVALID},
	};
	struct generic_meter m = {.source = GENERIC_REQUEST_JSON, .at = "/o/text", .rate_pusd = 1000, .per = 1};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct generic_call *c = generic_call_new(&m);

		generic_call_request_body(c, cases[i].body, strlen(cases[i].body));
		if (bound(c) != cases[i].units)
			fail_msg("%s", cases[i].body);
		generic_call_free(c);
	}
}

static void fields_that_stand_twice(void **state)
{
	struct generic_meter m = {.source = GENERIC_REQUEST_QUERY, .at = "n", .rate_pusd = 1000, .per = 1};
	static const char *const queries[] = {"n=9&n=1", "n=9&%6e=1", "%6E=9&x=2&n=1", "n=&n=1"};
	struct generic_call *c = generic_call_new(&m);

	(void)state;
	generic_call_query(c, SLICE("x=3&%6e=9"));
	assert_int_equal(bound(c), 9);
	generic_call_free(c);
	for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
		c = generic_call_new(&m);
		generic_call_query(c, slice_of(queries[i]));
		assert_int_equal(bound(c), BUR_INVALID);
		generic_call_free(c);
	}
	m.source = GENERIC_REQUEST_HEADER;
	c = generic_call_new(&m);
	generic_call_request_field(c, SLICE("N"), SLICE("9"));
	assert_int_equal(bound(c), 9);
	generic_call_request_field(c, SLICE("n"), SLICE("1"));
	assert_int_equal(bound(c), BUR_INVALID);
	generic_call_free(c);
}

static void sms_by_answer(void **state)
{
	struct generic_meter m = {.source = GENERIC_ANSWER_JSON,
				  .at = "/num_segments",
				  .rate_pusd = 8300000000,
				  .per = 1,
				  .maximum_milli = 10000,
				  ANSWERS_FREE};
	struct generic_call *c = generic_call_new(&m);
	unsigned char packed[200];
	uLongf n = sizeof(packed);

	(void)state;
	assert_int_equal(bound(c), 83000000);
	generic_call_answer_begin(c, 201, SLICE("deflate"));
	assert_int_equal(compress(packed, &n, (const Bytef *)"{\"num_segments\":\"3\"}", 20), Z_OK);
	for (size_t i = 0; i < n; i++)
		generic_call_answer_body(c, (char *)packed + i, 1);
	assert_int_equal(cost(c, true), 24900000);
	assert_int_equal(generic_call_milli(c), 3000);
	generic_call_free(c);

	c = generic_call_new(&m);
	generic_call_answer_begin(c, 201, SLICE_NONE);
	generic_call_answer_body(c, "{\"num_segm", 10);
	assert_int_equal(cost(c, false), -1);
	assert_int_equal(generic_call_milli(c), 10000); /* what was held */
	generic_call_free(c);

	m.maximum_milli = 0;
	c = generic_call_new(&m);
	assert_int_equal(bound(c), BUR_NOTFOUND);
	generic_call_free(c);
}

static void by_time_bytes_and_fields(void **state)
{
	struct generic_meter m = {.rate_pusd = 1000000000, .per = 1, .step_milli = 1000, ANSWERS_FREE};
	struct generic_call *c;

	(void)state;
	m.source = GENERIC_SECONDS;
	c = generic_call_new(&m);
	generic_call_answer_begin(c, 200, SLICE_NONE);
	assert_int_equal(cost(c, true), 13000000); /* the 13th second had begun */
	generic_call_free(c);

	m.source = GENERIC_ANSWER_BYTES;
	c = generic_call_new(&m);
	generic_call_answer_begin(c, 200, SLICE_NONE);
	generic_call_answer_body(c, "12345", 5);
	assert_int_equal(cost(c, true), 5000000);
	assert_int_equal(cost(c, false), -1);
	generic_call_free(c);

	m.source = GENERIC_REQUEST_BYTES;
	c = generic_call_new(&m);
	assert_int_equal(bound(c), BUR_NOTFOUND);
	generic_call_request_bytes(c, 7, true);
	assert_int_equal(bound(c), 7000000);
	generic_call_free(c);

	m.source = GENERIC_REQUEST_QUERY;
	(void)slice_to_cstr(SLICE("limit"), m.at, sizeof(m.at));
	c = generic_call_new(&m);
	assert_int_equal(bound(c), BUR_INVALID);
	generic_call_query(c, SLICE("q=x&limit=20&z"));
	assert_int_equal(bound(c), 20000000);
	generic_call_free(c);

	m.source = GENERIC_ANSWER_HEADER;
	(void)slice_to_cstr(SLICE("x-units"), m.at, sizeof(m.at));
	c = generic_call_new(&m);
	generic_call_answer_begin(c, 200, SLICE_NONE);
	generic_call_answer_field(c, SLICE("X-Units"), SLICE(" 2 "));
	assert_int_equal(cost(c, true), 2000000);
	generic_call_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(maps_by_request),         cmocka_unit_test(speech_by_characters),
	    cmocka_unit_test(sms_by_answer),           cmocka_unit_test(requests_read_in_two_ways),
	    cmocka_unit_test(fields_that_stand_twice), cmocka_unit_test(by_time_bytes_and_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
