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
#include "tests/unit/faults.h"

#define PROVIDERS(list) "{\"format\":\"bursar-prices/1\",\"version\":1,\"currency\":\"USD\",\"providers\":[" list "]}"
#define BOOK(models)                                                                                                   \
	"{\"format\":\"bursar-prices/"                                                                                 \
	"1\",\"version\":1,\"currency\":\"USD\",\"providers\":[{\"id\":\"p\",\"models\":[" models "]}]}"
#define MODEL(match, prices) "{\"id\":\"m\",\"match\":[" match "],\"prices\":[" prices "]}"
#define RATES "{\"rates\":{\"in\":\"1\"}}"
#define FOUR(text) text text text text
#define LONG FOUR(FOUR("0123456789"))

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
	    {BOOK("{\"id\":\"m\",\"ctx\":-1,\"prices\":[" RATES "]}"), "ctx"},
	    {BOOK("{\"id\":\"m\",\"ctx\":null,\"hides_reasoning\":false,\"prices\":[" RATES "]}"), NULL},
	    {BOOK("{\"id\":\"m\",\"hides_reasoning\":\"if_asked\",\"prices\":[" RATES "]}"), NULL},
	    {BOOK("{\"id\":\"m\",\"hides_reasoning\":\"perhaps\",\"prices\":[" RATES "]}"), "hides_reasoning"},
	    {BOOK("{\"id\":\"m\",\"max_out\":[],\"prices\":[" RATES "]}"), "max_out"},
	    {BOOK("{\"id\":\"\",\"prices\":[" RATES "]}"), "\"id\""},
	    {BOOK("{\"id\":7,\"prices\":[" RATES "]}"), "\"id\""},
	    {BOOK("{\"id\":\"" LONG "\",\"prices\":[" RATES "]}"), "\"id\""},
	    {BOOK("{\"id\":\"m\",\"multipliers\":null,\"prices\":[" RATES "]}"), NULL},
	    {BOOK("{\"id\":\"m\",\"multipliers\":[],\"prices\":[" RATES "]}"), "must be an object"},
	    {BOOK("{\"id\":\"m\",\"multipliers\":{\"flex\":1},\"prices\":[" RATES "]}"), "decimal string"},
	    {BOOK("{\"id\":\"m\",\"multipliers\":{\"flex\":\"x\"},\"prices\":[" RATES "]}"), "decimal string"},
	    {BOOK("{\"id\":\"m\",\"multipliers\":{\"flex\":\"1001\"},\"prices\":[" RATES "]}"), "decimal string"},
	    {BOOK("{\"id\":\"m\",\"multipliers\":{\"standard\":\"1\"},\"prices\":[" RATES "]}"), "unknown multiplier"},
	    {BOOK("{\"id\":\"m\",\"prices\":{}}"), "1 to"},
	    {BOOK("{\"id\":\"m\",\"match\":{},\"prices\":[" RATES "]}"), "\"match\" must be a list"},
	    {BOOK(MODEL("", "[]")), "must be an object"},
	    {BOOK(MODEL("", "{\"rates\":[]}")), "at least one"},
	    {BOOK(MODEL("", "{\"rates\":{}}")), "at least one"},
	    {BOOK(MODEL("", "{},{}")), "at least one"},
	    {BOOK(MODEL("", "{\"service\":7,\"rates\":{\"in\":\"1\"}}")), "service"},
	    {BOOK(MODEL("[\"eq\",7]", RATES)), "match"},
	    {BOOK(MODEL("[\"eq\",\"\"]", RATES)), "match"},
	    {BOOK(MODEL("[7,\"a\"]", RATES)), "operation"},
	    {BOOK(MODEL("[\"re\",\"" LONG LONG LONG LONG "\"]", RATES)), "too long"},
	    {BOOK(MODEL("[\"not\",[\"eq\",\"a\"],[\"eq\",\"b\"]]", RATES)), "group"},
	    {BOOK(MODEL("[\"or\"" FOUR(FOUR(",[\"eq\",\"a\"]")) ",[\"eq\",\"b\"]]", RATES)), "group"},
	    {BOOK(MODEL("[\"or\",[\"eq\",\"A\"],[\"eq\",\"b\"]]", RATES)), "match"},
	    {BOOK(MODEL("[\"eq\",\"A\"],[\"eq\",\"b\"]", RATES)), "match"},
	    {BOOK(MODEL("[\"or\",[\"contains\",\"b\"],[\"starts_with\",\"a\"]]", RATES)), NULL},
	    {BOOK(MODEL("[\"re\",\"a\\\\\"]", RATES)), "pattern"},
	    {BOOK(MODEL("[\"re\",\"a\\\\w\"],[\"re\",\"ab?c\"],[\"re\",\"ab{2}c\"],[\"re\",\"ab*c\"]", RATES)), NULL},
	    {BOOK(MODEL("[\"starts_with\",\"abc\"],[\"and\",[\"starts_with\",\"abc\"]],[\"starts_with\",\"xyz\"]",
			RATES) ","
			       "{\"id\":\"n\",\"match\":[[\"starts_with\",\"abc\"],[\"and\",[\"starts_with\",\"abc\"]]]"
			       ",\"prices\":[" RATES "]}"),
	     NULL},
	    {PROVIDERS("{\"id\":\"p\",\"models\":[7,8]}"), "\"id\""},
	    {PROVIDERS("{\"id\":\"p\"}"), "list of \"models\""},
	    {PROVIDERS("{\"id\":\"p\",\"multipliers\":{\"gold\":\"1\"},\"models\":[]}"), "multiplier"},
	    {PROVIDERS("{\"id\":\"P\",\"models\":[]},7"), "\"id\""},
	    {PROVIDERS("{\"id\":\"p\",\"names\":[\"p\",\"p\",\"\"],\"models\":[]}"), "lower case"},
	    {PROVIDERS("{\"id\":\"p\",\"names\":{},\"models\":[]}"), "\"names\" must be a list"},
	    {PROVIDERS("{\"id\":\"p\",\"hosts\":[7,8],\"models\":[]}"), "lower case"},
	    {PROVIDERS("{\"id\":\"p\",\"host_re\":{},\"models\":[]}"), "\"host_re\" must be a list"},
	    {PROVIDERS("{\"id\":\"p\",\"host_re\":[],\"models\":[]}"), NULL},
	    {PROVIDERS("{\"id\":\"p\",\"host_re\":[7,8],\"models\":[]}"), "\"host_re\" must be a list"},
	    {PROVIDERS("{\"id\":\"p\",\"aliases\":[],\"models\":[]}"), "\"aliases\" must be an object"},
	    {PROVIDERS("{\"id\":\"p\",\"aliases\":{\"A\":\"b\"},\"models\":[]}"), "alias"},
	    {PROVIDERS("{\"id\":\"p\",\"fallback\":{},\"models\":[]}"), "fallback"},
	    {PROVIDERS("{\"id\":\"p\",\"fallback\":[7],\"models\":[]}"), "fallback"},
	    {PROVIDERS(
		 "{\"id\":\"p\",\"fallback\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"],\"models\":[]},"
		 "{\"id\":\"q\",\"models\":[]}"),
	     "fallback"},
	    {"{\"format\":\"bursar-prices/1\",\"currency\":7,\"version\":1,\"providers\":[]}", "currency"},
	    {"{\"format\":\"bursar-prices/1\",\"currency\":\"USD\",\"version\":\"1\",\"providers\":[]}", "version"},
	    {"{\"format\":\"bursar-prices/1\",\"currency\":\"USD\",\"version\":4294967296,\"providers\":[]}",
	     "version"},
	    {"{\"format\":\"bursar-prices/1\",\"currency\":\"USD\",\"providers\":[" FOUR(
		 FOUR(FOUR(FOUR("{},")))) "{}]}",
	     "at most"},
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
	assert_int_equal(price_book_models(b[2]), 0);
	assert_ptr_equal(price_book_ref(b[2]), b[2]);
	price_book_unref(b[2]);
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

/* Each thing that a date or a time of day can have wrong. */
static void test_bad_dates_and_times(void **state)
{
	static const char *const dates[] = {"\"2026-1-010\"",
					    "\"2026-1-1\"",
					    "\"2026/01/01\"",
					    "\"2026-01/01\"",
					    "\"x026-01-01\"",
					    "\"2026-x1-01\"",
					    "\"2026-01-x1\"",
					    "\"1969-12-31\"",
					    "\"2026-00-01\"",
					    "\"2026-13-01\"",
					    "\"2026-01-00\"",
					    "\"2026-01-32\"",
					    "7"};
	static const char *const times[] = {"\"1:00\",\"02:00\"",  "\"01-00\",\"02:00\"",
					    "\"x1:00\",\"02:00\"", "\"01:x0\",\"02:00\"",
					    "\"24:00\",\"02:00\"", "\"01:60\",\"02:00\"",
					    "\"01:00\",\"24:00\"", "7,\"01:00\"",
					    "\"01:00\",7",         "\"01:00\""};
	struct price_book *b = NULL;
	char json[512], err[256];

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(dates); i++) {
		(void)snprintf(json, sizeof(json), BOOK(MODEL("", "{\"%s\":%s,\"rates\":{\"in\":\"1\"}}")),
			       i % 2 ? "from" : "to", dates[i / 2]);
		assert_int_equal(price_book_parse(slice_of(json), &b, err, sizeof(err)), BUR_INVALID);
		assert_non_null(strstr(err, i % 2 ? "from" : "to"));
	}
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		(void)snprintf(json, sizeof(json), BOOK(MODEL("", "{\"tod\":[%s],\"rates\":{\"in\":\"1\"}}")),
			       times[i]);
		assert_int_equal(price_book_parse(slice_of(json), &b, err, sizeof(err)), BUR_INVALID);
		assert_non_null(strstr(err, "tod"));
	}
	(void)snprintf(json, sizeof(json), BOOK(MODEL("", "{\"tod\":7,\"rates\":{\"in\":\"1\"}}")));
	assert_int_equal(price_book_parse(slice_of(json), &b, err, sizeof(err)), BUR_INVALID);
	(void)snprintf(json, sizeof(json), BOOK(MODEL("", "{\"from\":null,\"rates\":{\"in\":\"1\"}}")));
	assert_int_equal(price_book_parse(slice_of(json), &b, err, 0), BUR_OK);
	price_book_unref(b);
	price_book_unref(NULL);
}

/* Nothing is written where the caller wants no words. */
static void test_no_room_for_words(void **state)
{
	struct price_book *b = NULL;
	char err[4] = "own";

	(void)state;
	assert_int_equal(price_book_parse(SLICE("[]"), &b, err, 0), BUR_INVALID);
	assert_string_equal(err, "own");
	assert_int_equal(price_book_parse(SLICE("[]"), &b, err, sizeof(err)), BUR_INVALID);
	assert_string_equal(err, "\"fo");
}

/* A list longer than it may be, after which the book would be good. */
static void test_lists_have_an_end(void **state)
{
	static const struct {
		const char *before, *each, *after, *err;
		size_t n;
	} cases[] = {
	    {"{\"format\":\"bursar-prices/1\",\"currency\":\"USD\",\"providers\":[{\"id\":\"p\",\"models\":[", "{}",
	     "]}]}", "list of \"models\"", 65537},
	    {"{\"format\":\"bursar-prices/"
	     "1\",\"currency\":\"USD\",\"providers\":[{\"id\":\"p\",\"models\":[{\"id\":\"m\","
	     "\"prices\":[",
	     "{}", "]}]}]}", "1 to", 4097},
	    {"{\"format\":\"bursar-prices/1\",\"currency\":\"USD\",\"providers\":[{\"id\":\"p\",\"host_re\":[", "\"a\"",
	     "],\"models\":[]}]}", "at most", 1025},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *json = malloc(4096 + cases[i].n * 8), err[256] = "", *end;
		struct price_book *b = NULL;

		end = stpcpy(json, cases[i].before);
		for (size_t k = 0; k < cases[i].n; k++)
			end = stpcpy(stpcpy(end, k > 0 ? "," : ""), cases[i].each);
		end = stpcpy(end, cases[i].after);
		assert_int_equal(price_book_parse(slice_mem(json, (size_t)(end - json)), &b, err, sizeof(err)),
				 BUR_INVALID);
		if (!strstr(err, cases[i].err))
			fail_msg("%s", err);
		free(json);
	}
}

static void test_a_book_has_16_megabytes_at_most(void **state)
{
	struct price_book *b = NULL;
	char err[256];
	char *json = calloc(1, (16u << 20) + 1);

	(void)state;
	assert_int_equal(price_book_parse(slice_mem(json, (16u << 20) + 1), &b, err, sizeof(err)), BUR_INVALID);
	assert_non_null(strstr(err, "at most"));
	free(json);
}

static int parse_rich(void *arg)
{
	static const char text[] = PROVIDERS(
	    "{\"id\":\"p\",\"names\":[\"q\",\"r\"],\"hosts\":[\"h\"],\"host_re\":[\"x.*\",\"y\"],\"fallback\":[\"z\"],"
	    "\"aliases\":{\"a\":\"b\",\"c\":\"d\"},\"multipliers\":{\"flex\":\"0.5\"},\"models\":[" MODEL(
		"[\"and\",[\"re\",\"a.*\"],[\"not\",[\"contains\",\"b\"]]],[\"eq\",\"mm\"],[\"re\",\"n+\"]",
		RATES "," RATES) "]},{\"id\":\"z\",\"models\":[]}");
	struct price_book *b = NULL;
	char err[256];
	int r = price_book_parse(SLICE(text), &b, err, sizeof(err));

	(void)arg;
	price_book_unref(b);
	return r;
}

/* Whatever cannot be had: the book is refused whole, and nothing is left behind (the sanitizer looks). */
static void test_out_of_memory_anywhere(void **state)
{
	(void)state;
	assert_true(every_fault(FAULTY_ALLOC, ENOMEM, BUR_NOMEM, parse_rich, NULL) > 20);
	assert_int_equal(every_fault(FAULTY_REGEX, REG_ESPACE, BUR_NOMEM, parse_rich, NULL), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bad_books),
	    cmocka_unit_test(test_version),
	    cmocka_unit_test(test_cut),
	    cmocka_unit_test(test_bad_dates_and_times),
	    cmocka_unit_test(test_no_room_for_words),
	    cmocka_unit_test(test_lists_have_an_end),
	    cmocka_unit_test(test_a_book_has_16_megabytes_at_most),
	    cmocka_unit_test(test_out_of_memory_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
