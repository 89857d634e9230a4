/* price_book_test - what makes a book, and what is said of a bad one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "price/price.h"

#define PROVIDERS(list) "{\"format\":\"bursar-prices/1\",\"version\":1,\"currency\":\"USD\",\"providers\":[" list "]}"
#define BOOK(models)                                                                                                   \
	"{\"format\":\"bursar-prices/"                                                                                 \
	"1\",\"version\":1,\"currency\":\"USD\",\"providers\":[{\"id\":\"p\",\"models\":[" models "]}]}"
#define MODEL(match, prices) "{\"id\":\"m\",\"match\":[" match "],\"prices\":[" prices "]}"
#define RATES "{\"rates\":{\"in\":\"1\"}}"

static void test_bad_books(void **state)
{
	static const struct {
		const char *json, *err; /* part of the message; NULL: a good book */
	} cases[] = {
	    {BOOK(MODEL("", RATES)), NULL},
	    {BOOK(""), NULL},
	    {"", "line"},
	    {"[]", "format"},
	    {"{\"format\":\"bursar-prices/2\"}", "format"},
	    {"{\"format\":\"bursar-prices/1\",\"currency\":\"EUR\",\"version\":1}", "currency"},
	    {"{\"format\":\"bursar-prices/1\",\"currency\":\"USD\"}", "providers"},
	    {"{\"format\":\"bursar-prices/1\",\"currency\":\"USD\",\"version\":0,\"providers\":[]}", "version"},
	    {"{\"format\":\"bursar-prices/1\",\"currency\":\"USD\",\"more\":0,\"providers\":[]}",
	     "unknown key \"more\""},
	    {"{\"format\":\"bursar-prices/1\",\"currency\":\"USD\",\"version\":1}", "providers"},
	    {"{\"format\":\"bursar-prices/1\",\"currency\":\"USD\",\"version\":1,\"providers\":[{}]}", "\"id\""},
	    {"{\"a\":1,\"a\":2}", "duplicate"},
	    {BOOK("{\"prices\":[]}"), "\"id\""},
	    {BOOK("{\"id\":\"Upper\",\"prices\":[" RATES "]}"), "lower case"},
	    {BOOK(MODEL("", "")), "1 to"},
	    {BOOK(MODEL("", "{}")), "rates"},
	    {BOOK(MODEL("", "{\"rates\":{\"in\":1}}")), "decimal string"},
	    {BOOK(MODEL("", "{\"rates\":{\"in\":\"-1\"}}")), "decimal string"},
	    {BOOK(MODEL("", "{\"rates\":{\"in\":\"10001\"}}")), "decimal string"},
	    {BOOK(MODEL("", "{\"rates\":{\"in\":\"x\"}}")), "decimal string"},
	    {BOOK(MODEL("", "{\"rates\":{\"gold\":\"1\"}}")), "unknown unit \"gold\""},
	    {BOOK(MODEL("", "{\"over\":-1,\"rates\":{\"in\":\"1\"}}")), "over"},
	    {BOOK(MODEL("", "{\"service\":\"gold\",\"rates\":{\"in\":\"1\"}}")), "service"},
	    {BOOK(MODEL("", "{\"from\":\"2026-13-01\",\"rates\":{\"in\":\"1\"}}")), "from"},
	    {BOOK(MODEL("", "{\"from\":\"2026-02-01\",\"to\":\"2026-01-01\",\"rates\":{\"in\":\"1\"}}")), "later"},
	    {BOOK(MODEL("", "{\"tod\":[\"25:00\",\"01:00\"],\"rates\":{\"in\":\"1\"}}")), "tod"},
	    {BOOK(MODEL("[\"eq\",\"A\"]", RATES)), "match"},
	    {BOOK(MODEL("[\"glob\",\"a\"]", RATES)), "operation"},
	    {BOOK(MODEL("[\"re\",\"a(\"]", RATES)), "pattern"},
	    {BOOK(MODEL("[\"re\",\"a\"]", RATES)), NULL},
	    {BOOK(MODEL("[\"not\",[\"eq\",\"a\"]]", RATES)), "alone"},
	    {BOOK(MODEL("[\"and\"]", RATES)), "group"},
	    {BOOK(MODEL("[\"and\",[\"or\",[\"and\",[\"or\",[\"eq\",\"a\"]]]]]", RATES)), "group"},
	    {BOOK(MODEL("[\"and\",[\"starts_with\",\"a\"],[\"not\",[\"contains\",\"b\"]]]", RATES)), NULL},
	    {BOOK(MODEL("", "{\"region\":\"mars\",\"rates\":{\"in\":\"1\"}}")), "region"},
	    {BOOK(MODEL("", "{\"region\":null,\"service\":null,\"tod\":null,\"to\":null,\"rates\":{\"in\":\"1\"}}")),
	     NULL},
	    {BOOK(MODEL("", "{\"until\":1,\"rates\":{\"in\":\"1\"}}")), "unknown key \"until\""},
	    {BOOK("{\"id\":\"m\",\"mode\":\"chat\",\"prices\":[" RATES "]}"), "unknown key \"mode\""},
	    {PROVIDERS("{\"id\":\"p\",\"models\":[]},{\"id\":\"p\",\"models\":[]}"), "another provider"},
	    {PROVIDERS("{\"id\":\"p\",\"hosts\":[\"Big\"],\"models\":[]}"), "lower case"},
	    {PROVIDERS("{\"id\":\"p\",\"host_re\":[\"(\"],\"models\":[]}"), "pattern"},
	    {PROVIDERS("{\"id\":\"p\",\"fallback\":[\"q\"],\"models\":[]}"), "fallback"},
	    {PROVIDERS("{\"id\":\"p\",\"fallback\":[\"p\"],\"models\":[]}"), "fallback"},
	    {PROVIDERS("{\"id\":\"p\",\"aliases\":{\"a\":1},\"models\":[]}"), "alias"},
	    {PROVIDERS("{\"id\":\"p\",\"hots\":[],\"models\":[]}"), "unknown key"},
	    {BOOK(MODEL("[\"eq\"]", RATES)), "match"},
	    {BOOK(MODEL("[\"eq\",\"a\"],[\"eq\",\"a\"]", RATES)), NULL},
	    {BOOK(MODEL("[\"eq\",\"a\"]", RATES) "," MODEL("[\"eq\",\"a\"]", RATES)), "another model"},
	    {BOOK("{\"id\":\"m\",\"multipliers\":{\"gold\":\"1\"},\"prices\":[" RATES "]}"), "multiplier"},
	    {BOOK("{\"id\":\"m\",\"multipliers\":{\"flex\":\"0\"},\"prices\":[" RATES "]}"), "multiplier"},
	    {BOOK("{\"id\":\"m\",\"ctx\":\"1\",\"prices\":[" RATES "]}"), "ctx"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct price_book *b = NULL;
		char err[256] = "";
		int r = price_book_parse(slice_of(cases[i].json), &b, err, sizeof(err));

		if ((r == BUR_OK) != (cases[i].err == NULL) || (cases[i].err && !strstr(err, cases[i].err)))
			fail_msg("%s: %d %s", cases[i].json, r, err);
		price_book_unref(b);
	}
}

/* A book without a number is known by what is in it. */
static void test_version(void **state)
{
	static const char *const texts[] = {"{\"format\":\"bursar-prices/1\",\"currency\":\"USD\",\"providers\":[]}",
					    "{\"format\":\"bursar-prices/1\",\"currency\":\"USD\",\"providers\":[] }",
					    ("{\"format\":\"bursar-prices/1\",\"currency\":\"USD\",\"version\":5,"
					     "\"providers\":[]}")};
	struct price_book *b[3] = {NULL};
	char err[256];

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(price_book_parse(slice_of(texts[i]), &b[i], err, sizeof(err)), BUR_OK);
	assert_true(price_book_version(b[0]) > 0);
	assert_true(price_book_version(b[0]) != price_book_version(b[1]));
	assert_true(price_book_hash(b[0]) != price_book_hash(b[1]));
	assert_int_equal(price_book_version(b[2]), 5);
	for (int i = 0; i < 3; i++)
		price_book_unref(b[i]);
}

/* A book cut short anywhere is refused and leaves nothing behind. */
static void test_cut(void **state)
{
	static const char text[] =
	    PROVIDERS("{\"id\":\"p\",\"names\":[\"q\"],\"hosts\":[\"h\"],\"host_re\":[\"x.*\"],"
		      "\"aliases\":{\"a\":\"b\"},\"models\":[" MODEL(
			  "[\"and\",[\"re\",\"a.*\"],[\"not\",[\"contains\",\"b\"]]]", RATES) "]}");
	char err[256];

	(void)state;
	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		struct price_book *b = NULL;

		assert_int_equal(price_book_parse(slice_mem(text, n), &b, err, sizeof(err)), BUR_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bad_books),
	    cmocka_unit_test(test_version),
	    cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
