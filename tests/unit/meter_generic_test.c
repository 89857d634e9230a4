/* meter_generic_test - rules for APIs that are no LLM: paths, quantities at JSON Pointers in any pieces, exact cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/error.h"
#include "meter/generic.h"

static void path_patterns(void **state)
{
	static const struct {
		const char *pattern, *path;
		bool fits;
	} cases[] = {
	    {"/v1/speak", "/v1/speak", true},
	    {"/v1/speak", "/v1/speak/", false},
	    {"/v1/speak", "/V1/speak", false},
	    {"/v1/*/json", "/v1/geo/json", true},
	    {"/v1/*/json", "/v1//json", false},
	    {"/v1/*/json", "/v1/a/b/json", false},
	    {"/v1/*/json", "/v1/../json", false},
	    {"/v1/*", "/v1/a%2Fb", false},
	    {"/v1/*", "/v1/a%20b", true},
	    {"/v1/**", "/v1/../x", false},
	    {"/v1/**", "/v1/a/%2E./x", false},
	    {"/v1/**", "/v1/a/x%5cy", false},
	    {"/v1/**", "/v1//x", false},
	    {"/v1/**", "/v1/%73ms", false}, /* "sms" to the vendor */
	    {"/v1/**", "/v1/a%7e", false},
	    {"/v1/**", "/v1/a%zz", false},
	    {"/v1/**", "/v1/a%2", false},
	    {"/v1/**", "/v1/a%00", false},
	    {"/v1/**", "/v1/gr%C3%BC%20", true},
	    {"/v1/**", "/v1/a/b/c", true},
	    {"/v1/**", "/v1", false},
	    {"/**", "/", true},
	    {"/", "/", true},
	    {"/", "/x", false},
	    {"/a", "", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (generic_path_matches(slice_of(cases[i].pattern), slice_of(cases[i].path)) != cases[i].fits)
			fail_msg("%s %s", cases[i].pattern, cases[i].path);
	assert_true(generic_path_valid(SLICE("/a/*/b")));
	assert_true(generic_path_valid(SLICE("/**")));
	assert_false(generic_path_valid(SLICE("a")));
	assert_false(generic_path_valid(SLICE("/a//b")));
	assert_false(generic_path_valid(SLICE("/**/b")));
	assert_false(generic_path_valid(SLICE("/a/../b")));
}

static void sources(void **state)
{
	char at[GENERIC_POINTER_MAX + 1];
	enum generic_source s;

	(void)state;
	assert_int_equal(generic_parse_source(SLICE("answer:/usage/pages"), &s, at), BUR_OK);
	assert_int_equal(s, GENERIC_ANSWER_JSON);
	assert_string_equal(at, "/usage/pages");
	assert_int_equal(generic_parse_source(SLICE("seconds"), &s, at), BUR_OK);
	assert_int_equal(s, GENERIC_SECONDS);
	assert_int_equal(generic_parse_source(SLICE("request_header:x-units"), &s, at), BUR_OK);
	assert_int_equal(generic_parse_source(SLICE("answer"), &s, at), BUR_INVALID);
	assert_int_equal(generic_parse_source(SLICE("answer:usage"), &s, at), BUR_INVALID);
	assert_int_equal(generic_parse_source(SLICE("answer:/a~2"), &s, at), BUR_INVALID);
	assert_int_equal(generic_parse_source(SLICE("requests:x"), &s, at), BUR_INVALID);
	assert_int_equal(generic_parse_source(SLICE("bytes"), &s, at), BUR_INVALID);
}

/* -1: nothing found. */
static int64_t probe(const char *pointer, const char *doc, size_t piece)
{
	struct generic_probe p;
	size_t n = strlen(doc);
	int64_t milli;

	assert_int_equal(generic_probe_init(&p, pointer), BUR_OK);
	for (size_t i = 0; i < n; i += piece)
		generic_probe_feed(&p, doc + i, n - i < piece ? n - i : piece);
	return generic_probe_result(&p, &milli) == BUR_OK ? milli : -1;
}

static void pointers(void **state)
{
	static const struct {
		const char *pointer, *doc;
		int64_t milli;
	} cases[] = {
	    {"/usage/pages", "{\"a\":[{\"usage\":{\"pages\":9}}],\"usage\":{\"x\":{},\"pages\":12}}", 12000},
	    {"/n", "{\"n\":\"3\"}", 3000},
	    {"/n", "{\"n\":1.0005}", 1001},
	    {"/n", "{\"n\":1e3}", 1000000},
	    {"/n", "{\"n\":-1}", -1},
	    {"/n", "{\"n\":null}", -1},
	    {"/n", "{\"n\":7", -1},
	    {"/n", "{\"n\":7} x", -1},
	    {"/n", "{\"n\":7}  ", 7000},
	    {"/n", "{\"n\":1,\"n\":2}", 2000},
	    {"/list", "{\"list\":[1,{\"a\":1},[2],\"x\",null]}", 5000},
	    {"/list", "{\"list\":[]}", 0},
	    {"/map", "{\"map\":{\"a\":1,\"b\":{\"c\":2}},\"z\":1}", 2000},
	    {"/text", "{\"text\":\"hello\"}", 5000},
	    {"/a/1/b", "{\"a\":[{\"b\":1},{\"b\":2},{\"b\":3}]}", 2000},
	    {"/a/2", "{\"a\":[[1],{\"x\":[]},42,5]}", 42000},
	    {"/a/01", "{\"a\":[1,2],\"b\":1}", -1},
	    {"/a/01", "{\"a\":{\"01\":6}}", 6000},
	    {"/a~1b/c~0d", "{\"a/b\":{\"c~d\":4}}", 4000},
	    {"/0/n", "[{\"n\":8},{\"n\":9}]", 8000},
	    {"", "[1,2,3]", 3000},
	    {"", "17", 17000},
	    {"/a/b", "{\"a\":5}", -1},
	    {"/a/b", "{\"a\":{\"c\":{\"b\":1}},\"b\":2}", -1},
	    {"/\\u006e", "{\"n\":1}", -1},
	    {"/n", "{\"\\u006e\":5}", 5000},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t piece = 1; piece < 60; piece += piece < 8 ? 1 : 17) {
			int64_t got = probe(cases[i].pointer, cases[i].doc, piece);

			if (got != cases[i].milli)
				fail_msg("%s in %s, pieces of %zu: %lld", cases[i].pointer, cases[i].doc, piece,
					 (long long)got);
		}
}

static void quantities_and_cost(void **state)
{
	/* 0.006 USD a minute, by started second, at least 10 s */
	struct generic_meter m = {.rate_pusd = 6000000000, .per = 60, .minimum_milli = 10000, .step_milli = 1000};
	int64_t cost, milli;

	(void)state;
	assert_int_equal(generic_billed_milli(&m, 0), 10000);
	assert_int_equal(generic_billed_milli(&m, 12001), 13000);
	assert_int_equal(generic_billed_milli(&m, 12000), 12000);
	assert_int_equal(generic_cost(&m, 13000, &cost), BUR_OK);
	assert_int_equal(cost, 1300000);
	m.per = 7;
	assert_int_equal(generic_cost(&m, 1000, &cost), BUR_OK);
	assert_int_equal(cost, 857143); /* rounded up, once */
	m.rate_pusd = INT64_MAX;
	m.per = 1;
	assert_int_equal(generic_cost(&m, GENERIC_MILLI_MAX, &cost), BUR_OVERFLOW);
	assert_int_equal(generic_milli(SLICE("12.3451"), &milli), BUR_OK);
	assert_int_equal(milli, 12346);
	assert_int_equal(generic_milli(SLICE("1e30"), &milli), BUR_OVERFLOW);
	assert_int_equal(generic_milli(SLICE("abc"), &milli), BUR_INVALID);
}

static void finding_and_free_answers(void **state)
{
	static const struct generic_meter list[] = {
	    {.name = "send", .method = "POST", .path = "/send"},
	    {.name = "lists", .method = "GET", .path = "/**", .free = {{200, 299}}, .n_free = 1},
	};
	static const struct generic_meter dear[] = {{.name = "send", .path = "/send"}, {.name = "all", .path = "/**"}};

	(void)state;
	assert_ptr_equal(generic_find(list, 2, SLICE("POST"), SLICE("/send")), &list[0]);
	assert_ptr_equal(generic_find(list, 2, SLICE("GET"), SLICE("/send")), &list[1]);
	assert_null(generic_find(list, 2, SLICE("DELETE"), SLICE("/send")));
	assert_null(generic_find(list, 0, SLICE("GET"), SLICE("/send")));
	/* what the vendor may take for a rule's path is no later rule's */
	assert_null(generic_find(dear, 2, SLICE("POST"), SLICE("/Send")));
	assert_null(generic_find(dear, 2, SLICE("POST"), SLICE("/send/")));
	assert_ptr_equal(generic_find(dear, 2, SLICE("POST"), SLICE("/sends")), &dear[1]);
	assert_true(generic_is_free(&list[1], 204));
	assert_false(generic_is_free(&list[1], 301));
	assert_false(generic_is_free(&list[0], 200));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(path_patterns),
	    cmocka_unit_test(sources),
	    cmocka_unit_test(pointers),
	    cmocka_unit_test(quantities_and_cost),
	    cmocka_unit_test(finding_and_free_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
