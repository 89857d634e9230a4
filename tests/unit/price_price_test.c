/* price_price_test - a small book of its own: matching, choice of rows, leaves, multipliers, bad books. */
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
#include "price/price.h"

/* Midnight UTC */
#define AT_2026_01_01 INT64_C(1767225600)
#define AT_2026_06_01 INT64_C(1780272000)

static const char book_json[] =
    "{\"format\":\"bursar-prices/1\",\"version\":7,\"currency\":\"USD\",\"providers\":[{\"id\":\"acme\","
    "\"multipliers\":{\"flex\":\"0.5\",\"priority\":\"2\",\"speed:fast\":\"6\",\"geo:us\":\"1.1\"},\"models\":["
    "{\"id\":\"basic\",\"ctx\":1000,\"max_out\":100,\"match\":[[\"eq\",\"basic\"],[\"eq\",\"basic-alias\"],[\"dated\","
    "\"basic\"]],"
    "\"prices\":[{\"rates\":{\"in\":\"1\",\"out\":\"2\"}}]},"
    "{\"id\":\"full\",\"max_out\":1000,\"match\":[[\"eq\",\"full\"]],\"prices\":[{\"rates\":{\"in\":\"10\",\"out\":"
    "\"20\",\"cr\":\"1\",\"cw\":\"12.5\","
    "\"cw1h\":\"20\",\"in_audio\":\"40\",\"cr_audio\":\"4\",\"out_audio\":\"80\",\"in_image\":\"15\",\"out_image\":"
    "\"60\",\"req\":\"1\",\"web\":\"10\","
    "\"file\":\"2.5\"}}]},"
    "{\"id\":\"tiered\",\"max_out\":10,\"match\":[[\"eq\",\"tiered\"]],\"prices\":[{\"from\":\"2026-01-01\",\"rates\":{"
    "\"in\":\"1\",\"out\":\"1\"}},"
    "{\"from\":\"2026-01-01\",\"over\":1000,\"rates\":{\"in\":\"3\",\"out\":\"3\"}},"
    "{\"from\":\"2026-01-01\",\"tod\":[\"22:00\",\"02:00\"],\"rates\":{\"in\":\"5\",\"out\":\"5\"}},"
    "{\"from\":\"2026-06-01\",\"to\":\"2026-07-01\",\"rates\":{\"in\":\"2\",\"out\":\"2\"}}]},"
    "{\"id\":\"long\",\"match\":[[\"starts_with\",\"family-long\"]],\"prices\":[{\"rates\":{\"in\":\"1\",\"out\":\"1\"}"
    "}]},"
    "{\"id\":\"family\",\"hides_reasoning\":true,\"match\":[[\"starts_with\",\"family\",\"-tts\"],[\"ends_with\",\"-"
    "fam\"],[\"contains\",\"fam2\"]],"
    "\"prices\":[{\"rates\":{\"in\":\"1\",\"out\":\"1\"}},{\"service\":\"flex\",\"rates\":{\"in\":\"0.3\",\"out\":\"0."
    "3\"}}]},"
    "{\"id\":\"ft:tuned\",\"match\":[[\"starts_with\",\"ft:tuned\"]],\"prices\":[{\"rates\":{\"in\":\"9\",\"out\":"
    "\"9\"}}]},"
    "{\"id\":\"embed\",\"match\":[[\"eq\",\"embed\"]],\"prices\":[{\"rates\":{\"in\":\"0.02\"}}]}"
    "]}]}";

static struct price_book *book(void)
{
	struct price_book *b = NULL;
	char err[256] = "";

	if (price_book_parse(SLICE(book_json), &b, err, sizeof(err)) < 0)
		fail_msg("%s", err);
	return b;
}

static const struct price_model *find(const struct price_book *b, const char *name)
{
	const struct price_model *m = price_find(b, SLICE("acme"), slice_of(name), NULL);

	if (!m)
		fail_msg("no %s", name);
	return m;
}

#define Q(...) (&(struct quantities){{__VA_ARGS__}})

/* USD text of a usage */
static const char *cost_on(const struct price_model *m, const struct quantities *q, const struct price_terms *t)
{
	static char text[64];
	struct cost_sum sum;

	assert_int_equal(price_cost(m, q, t, &sum), BUR_OK);
	assert_int_equal(cost_format_usd(&sum, text, sizeof(text)), BUR_OK);
	return text;
}

static const char *cost(const struct price_model *m, const struct quantities *q, int64_t at_s)
{
	return cost_on(m, q, &(struct price_terms){.at_s = at_s});
}

static void test_find(void **state)
{
	static const struct {
		const char *name, *id; /* NULL: unknown */
		bool inherited;
	} cases[] = {
	    {"basic", "basic", false},
	    {" BASIC\t", "basic", false},
	    {"models/basic", "basic", false},
	    {"basic-alias", "basic", false},
	    {"basic-2026-01-31", "basic", false},
	    {"basic-20260131", "basic", false},
	    {"basic-alias-2026-01-31", "basic", true},
	    {"basic-latest", "basic", true},
	    {"basic-0613", "basic", true},
	    {"basic-preview", "basic", true},
	    {"basic-preview-05-20", "basic", true},
	    {"basic-preview-2026-01-31", "basic", true},
	    {"basic@20260101", "basic", true},
	    {"basic:free", "basic", true},
	    {"basic-mini", NULL, false},
	    {"basicx", NULL, false},
	    {"-latest", NULL, false},
	    {"", NULL, false},
	    {"family-long-x", "long", false},
	    {"family-x", "family", false},
	    {"family-x-tts", NULL, false},
	    {"my-fam", "family", false},
	    {"xfam2y", "family", false},
	    {"ft:tuned:org", "ft:tuned", false},
	    {"ft:basic-latest", NULL, false},
	};
	struct price_book *b = book();
	char long_name[300];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		bool inherited = true;
		const struct price_model *m = price_find(b, SLICE("acme"), slice_of(cases[i].name), &inherited);

		if ((m != NULL) != (cases[i].id != NULL) || (m && strcmp(price_model_id(m), cases[i].id) != 0) ||
		    inherited != cases[i].inherited)
			fail_msg("%s: %s, inherited %d", cases[i].name, m ? price_model_id(m) : "unknown", inherited);
	}
	assert_null(price_find(b, SLICE("other"), SLICE("basic"), NULL));
	memset(long_name, 'a', sizeof(long_name));
	assert_null(price_find(b, SLICE("acme"), slice_mem(long_name, sizeof(long_name)), NULL));
	assert_int_equal(price_book_version(b), 7);
	assert_int_equal(price_book_models(b), 7);
	assert_true(price_model_hides_reasoning(find(b, "family-x")));
	assert_int_equal(price_model_max_out(find(b, "basic")), 100);
	assert_int_equal(price_model_context(find(b, "basic")), 1000);
	price_book_unref(price_book_ref(b));
	price_book_unref(b);
	price_book_unref(NULL);
}

static void test_leaves(void **state)
{
	struct price_book *b = book();
	const struct price_model *full = find(b, "full"), *basic = find(b, "basic");
	const struct quantities *q = Q([PRICE_IN] = 1000, [PRICE_CR] = 100, [PRICE_CW] = 200, [PRICE_CW1H] = 50,
				       [PRICE_OUT] = 100, [PRICE_OUT_REASONING] = 90);

	(void)state;
	/* 700 plain, 100 read, 150 written, 50 for an hour, 100 out */
	assert_string_equal(cost(full, q, 0), "0.011975");
	/* a part without a price is part of its whole */
	assert_string_equal(cost(basic, q, 0), "0.0012");
	/* 550 plain, 100 cached text, 100 cached audio, 200 audio, 50 image; 200 plain, 200 audio, 100 image */
	q = Q([PRICE_IN] = 1000, [PRICE_IN_AUDIO] = 300, [PRICE_CR] = 200, [PRICE_CR_AUDIO] = 100,
	      [PRICE_IN_IMAGE] = 50, [PRICE_OUT] = 500, [PRICE_OUT_AUDIO] = 200, [PRICE_OUT_IMAGE] = 100);
	assert_string_equal(cost(full, q, 0), "0.04075");
	q = Q([PRICE_REQ] = 1, [PRICE_WEB] = 2, [PRICE_FILE] = 3);
	assert_string_equal(cost(full, q, 0), "0.0285");
	assert_string_equal(cost(basic, q, 0), "0");
	/* contradiction: more cached than there is, a part of a whole that is not told */
	assert_string_equal(cost(full, Q([PRICE_IN] = 10, [PRICE_CR] = 1000), 0), "0.001");
	assert_string_equal(cost(basic, Q([PRICE_CW1H] = 1000), 0), "0.001");
	price_book_unref(b);
}

static void test_rows(void **state)
{
	struct price_book *b = book();
	const struct price_model *t = find(b, "tiered");
	const struct price_terms before = {.at_s = AT_2026_01_01 - 1};
	const struct quantities *q = Q([PRICE_IN] = 1000);
	struct cost_sum sum;
	int64_t noon = AT_2026_01_01 + 12 * 3600;

	(void)state;
	assert_int_equal(price_cost(t, q, &before, &sum), BUR_NOTFOUND);
	assert_string_equal(cost(t, q, noon), "0.001");
	/* a cliff: everything at the higher rate */
	assert_string_equal(cost(t, Q([PRICE_IN] = 1001, [PRICE_OUT] = 9), noon), "0.00303");
	assert_string_equal(cost(t, q, AT_2026_01_01 + 22 * 3600), "0.005");
	assert_string_equal(cost(t, q, AT_2026_01_01 + 7199), "0.005");
	assert_string_equal(cost(t, q, AT_2026_01_01 + 7200), "0.001");
	/* the newest date wins over an older tier; the end of it is exclusive */
	q = Q([PRICE_IN] = 5000);
	assert_string_equal(cost(t, q, AT_2026_06_01 + 12 * 3600), "0.01");
	assert_string_equal(cost(t, q, AT_2026_06_01 + 30 * 86400 + 12 * 3600), "0.015");
	price_book_unref(b);
}

static void test_terms(void **state)
{
	const struct price_terms flex = {.service = SERVICE_FLEX}, priority = {.service = SERVICE_PRIORITY};
	const struct price_terms batch = {.service = SERVICE_BATCH}, fast_us = {.fast = true, .us = true};
	struct price_book *b = book();
	const struct price_model *basic = find(b, "basic");
	const struct quantities *q = Q([PRICE_IN] = 1000);

	(void)state;
	/* a row of its own, else the multiplier, else standard */
	assert_string_equal(cost_on(find(b, "family"), q, &flex), "0.0003");
	assert_string_equal(cost_on(basic, q, &flex), "0.0005");
	assert_string_equal(cost_on(basic, q, &batch), "0.001");
	assert_string_equal(cost_on(basic, q, &fast_us), "0.0066");
	q = Q([PRICE_IN] = 1000, [PRICE_REQ] = 1);
	assert_string_equal(cost_on(basic, q, &priority), "0.002");
	assert_string_equal(cost_on(find(b, "full"), q, &priority), "0.021"); /* the fee is not doubled */
	price_book_unref(b);
}

static void test_overflow(void **state)
{
	const struct quantities *q = Q([PRICE_IN] = UINT64_MAX, [PRICE_CR] = UINT64_MAX, [PRICE_CW] = 1);
	const struct price_terms terms = {0};
	struct price_book *b = book();
	struct cost_sum sum;

	(void)state;
	assert_int_equal(price_cost(find(b, "full"), q, &terms, &sum), BUR_OVERFLOW);
	price_book_unref(b);
}

/* --- bad books ---------------------------------------------------------------------------------------------------- */

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
	    {"{\"format\":\"bursar-prices/1\",\"currency\":\"USD\"}", "version"},
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
	    {BOOK(MODEL("[\"re\",\"a\"]", RATES)), "operation"},
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_find),  cmocka_unit_test(test_leaves),   cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_terms), cmocka_unit_test(test_overflow), cmocka_unit_test(test_bad_books),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
