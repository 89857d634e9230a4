/* meter_price_test - a small book of its own: matching, choice of rows, leaves, multipliers, bounds, bad books. */
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
#include "meter/price.h"
#include "meter/reqscan.h"
#include "meter/usage.h"

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

/* USD text of a usage */
static const char *cost(const struct price_model *m, const struct usage *u, int64_t at_s)
{
	static char text[64];
	struct cost_sum sum;

	assert_int_equal(price_cost(m, u, at_s, &sum), BUR_OK);
	assert_int_equal(cost_format_usd(&sum, text, sizeof(text)), BUR_OK);
	return text;
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
	struct usage u = {.input_tokens = 1000,
			  .cached_input_tokens = 100,
			  .cache_write_tokens = 200,
			  .cache_write_1h_tokens = 50,
			  .output_tokens = 100,
			  .reasoning_tokens = 90};

	(void)state;
	/* 700 plain, 100 read, 150 written, 50 for an hour, 100 out */
	assert_string_equal(cost(full, &u, 0), "0.011975");
	/* a part without a price is part of its whole */
	assert_string_equal(cost(basic, &u, 0), "0.0012");
	u = (struct usage){.input_tokens = 1000,
			   .audio_input_tokens = 300,
			   .cached_input_tokens = 200,
			   .cached_audio_tokens = 100,
			   .image_input_tokens = 50,
			   .output_tokens = 500,
			   .audio_output_tokens = 200,
			   .image_output_tokens = 100};
	/* 550 plain, 100 cached text, 100 cached audio, 200 audio, 50 image; 200 plain, 200 audio, 100 image */
	assert_string_equal(cost(full, &u, 0), "0.04075");
	u = (struct usage){.requests = 1, .web_searches = 2, .file_searches = 3};
	assert_string_equal(cost(full, &u, 0), "0.0285");
	assert_string_equal(cost(basic, &u, 0), "0");
	/* contradiction: more cached than there is */
	u = (struct usage){.input_tokens = 10, .cached_input_tokens = 1000};
	assert_string_equal(cost(full, &u, 0), "0.001");
	price_book_unref(b);
}

static void test_rows(void **state)
{
	struct price_book *b = book();
	const struct price_model *t = find(b, "tiered"), *f = find(b, "family");
	struct usage u = {.input_tokens = 1000, .output_tokens = 0};
	struct cost_sum sum;
	int64_t noon = AT_2026_01_01 + 12 * 3600;

	(void)state;
	assert_int_equal(price_cost(t, &u, AT_2026_01_01 - 1, &sum), BUR_NOTFOUND);
	assert_string_equal(cost(t, &u, noon), "0.001");
	u.input_tokens = 1001; /* a cliff: everything at the higher rate */
	u.output_tokens = 9;
	assert_string_equal(cost(t, &u, noon), "0.00303");
	u = (struct usage){.input_tokens = 1000};
	assert_string_equal(cost(t, &u, AT_2026_01_01 + 22 * 3600), "0.005");
	assert_string_equal(cost(t, &u, AT_2026_01_01 + 7199), "0.005");
	assert_string_equal(cost(t, &u, AT_2026_01_01 + 7200), "0.001");
	/* the newest date wins over an older tier; the end of it is exclusive */
	u.input_tokens = 5000;
	assert_string_equal(cost(t, &u, AT_2026_06_01 + 12 * 3600), "0.01");
	assert_string_equal(cost(t, &u, AT_2026_06_01 + 30 * 86400 + 12 * 3600), "0.015");
	/* service tiers: a row of its own, else the multiplier, else standard */
	u = (struct usage){.input_tokens = 1000, .service_tier = "flex"};
	assert_string_equal(cost(f, &u, 0), "0.0003");
	assert_string_equal(cost(find(b, "basic"), &u, 0), "0.0005");
	u = (struct usage){.input_tokens = 1000, .service_tier = "priority", .requests = 1};
	assert_string_equal(cost(find(b, "basic"), &u, 0), "0.002");
	assert_string_equal(cost(find(b, "full"), &u, 0), "0.021"); /* the fee is not doubled */
	u = (struct usage){.input_tokens = 1000, .service_tier = "batch"};
	assert_string_equal(cost(find(b, "basic"), &u, 0), "0.001");
	u = (struct usage){.input_tokens = 1000, .speed = "fast", .inference_geo = "us"};
	assert_string_equal(cost(find(b, "basic"), &u, 0), "0.0066");
	price_book_unref(b);
}

static void test_overflow(void **state)
{
	struct price_book *b = book();
	struct usage u = {.input_tokens = UINT64_MAX, .cached_input_tokens = UINT64_MAX, .cache_write_tokens = 1};
	struct cost_sum sum;

	(void)state;
	assert_int_equal(price_cost(find(b, "full"), &u, 0, &sum), BUR_OVERFLOW);
	price_book_unref(b);
}

/* --- bounds ------------------------------------------------------------------------------------------------------- */

static struct price_bound bound(const struct price_model *m, enum api_kind kind, const struct request_info *q,
				int64_t at_s)
{
	struct price_bound r = {0};
	const char *why = NULL;

	assert_int_equal(price_upper_bound(m, kind, q, at_s, &r, &why), BOUND_OK);
	return r;
}

static void refused(const struct price_model *m, enum api_kind kind, const struct request_info *q,
		    enum bound_result want)
{
	struct price_bound r;
	const char *why = NULL;

	assert_int_equal(price_upper_bound(m, kind, q, AT_2026_01_01, &r, &why), want);
	if (want == BOUND_UNBOUNDED)
		assert_true(why && strlen(why) > 20);
}

#define OVERHEAD 32 /* REQUEST_OVERHEAD_TOKENS */

static void test_bound(void **state)
{
	struct price_book *b = book();
	const struct price_model *basic = find(b, "basic"), *full = find(b, "full");
	struct request_info q = {.candidates = 1,
				 .body_bytes = 200,
				 .messages = 2,
				 .has_max_out = true,
				 .max_out = 50,
				 .inference_geo = "global"};
	struct price_bound r = bound(basic, API_CHAT, &q, 0);

	(void)state;
	assert_int_equal(r.input_tokens, 200 + 16 + OVERHEAD);
	assert_int_equal(r.output_tokens, 50);
	assert_int_equal(r.input_nanousd, (200 + 16 + OVERHEAD) * 1000);
	assert_int_equal(r.worst_nanousd, (200 + 16 + OVERHEAD) * 1000 + 50 * 2000);
	q.candidates = 3;
	assert_int_equal(bound(basic, API_CHAT, &q, 0).output_tokens, 150);
	q.candidates = 1;
	q.has_max_out = false;
	assert_int_equal(bound(basic, API_CHAT, &q, 0).output_tokens, 100);
	q.has_max_out = true;
	q.max_out = 1 << 30; /* no model answers more than its context */
	assert_int_equal(bound(basic, API_CHAT, &q, 0).output_tokens, 1000);
	q.max_out = 0;
	/* cache writes: automatic with some vendors, marked with Anthropic */
	q = (struct request_info){.candidates = 1,
				  .body_bytes = 1000 - OVERHEAD,
				  .has_max_out = true,
				  .max_out = 1,
				  .inference_geo = "global"};
	assert_int_equal(bound(full, API_CHAT, &q, 0).input_nanousd, 12500000 + 1000000);
	assert_int_equal(bound(full, API_MESSAGES, &q, 0).input_nanousd, 10000000 + 1000000);
	q.cache_marks = true;
	assert_int_equal(bound(full, API_MESSAGES, &q, 0).input_nanousd, 12500000 + 1000000);
	q.cache_marks_1h = true;
	assert_int_equal(bound(full, API_MESSAGES, &q, 0).input_nanousd, 20000000 + 1000000);
	q.tools = true;
	assert_int_equal(bound(full, API_MESSAGES, &q, 0).input_tokens, 1000 + 1024);
	price_book_unref(b);
}

static void test_bound_media(void **state)
{
	struct price_book *b = book();
	const struct price_model *full = find(b, "full"), *basic = find(b, "basic");
	struct request_info q = {
	    .candidates = 1, .body_bytes = 5000, .has_max_out = true, .max_out = 1, .images = 1, .image_bytes = 4900};

	(void)state;
	assert_int_equal(bound(full, API_CHAT, &q, 0).input_tokens, 100 + 10000 + OVERHEAD);
	assert_int_equal(bound(full, API_MESSAGES, &q, 0).input_tokens, 100 + 4784 + OVERHEAD);
	q = (struct request_info){.candidates = 1, .body_bytes = 10, .has_max_out = true, .max_out = 1, .files = 1};
	refused(full, API_MESSAGES, &q, BOUND_UNBOUNDED); /* no context known */
	assert_int_equal(bound(basic, API_MESSAGES, &q, 0).input_tokens, 1000);
	q = (struct request_info){
	    .candidates = 1, .body_bytes = 10, .has_max_out = true, .max_out = 1, .stored_context = true};
	refused(full, API_RESPONSES, &q, BOUND_UNBOUNDED);
	assert_int_equal(bound(basic, API_RESPONSES, &q, 0).input_tokens, 1000);
	q = (struct request_info){.candidates = 1,
				  .body_bytes = 1000 - OVERHEAD,
				  .has_max_out = true,
				  .max_out = 1,
				  .audios = 1,
				  .inference_geo = "global"};
	assert_int_equal(bound(full, API_CHAT, &q, 0).input_nanousd, 40000000 + 1000000);
	q.remote_parts = true;
	refused(full, API_CHAT, &q, BOUND_UNBOUNDED);
	price_book_unref(b);
}

static void test_bound_rows(void **state)
{
	struct price_book *b = book();
	const struct price_model *t = find(b, "tiered"), *basic = find(b, "basic");
	struct request_info q = {.candidates = 1,
				 .body_bytes = 1000 - OVERHEAD,
				 .has_max_out = true,
				 .max_out = 1,
				 .inference_geo = "global"};
	int64_t noon = AT_2026_01_01 + 12 * 3600;

	(void)state;
	assert_int_equal(bound(t, API_CHAT, &q, noon).input_nanousd, 1000000);
	q.body_bytes++; /* now the dear tier can be reached */
	assert_int_equal(bound(t, API_CHAT, &q, noon).input_nanousd, 1001 * 3000);
	/* a dear time of day that begins while the call may still wait */
	assert_int_equal(bound(t, API_CHAT, &q, AT_2026_01_01 + 22 * 3600 - 60).input_nanousd, 1001 * 5000);
	refused(t, API_CHAT, &(struct request_info){.candidates = 1}, BOUND_OK);
	q.body_bytes = 1000 - OVERHEAD;
	(void)slice_to_cstr(slice_of("auto"), q.service_tier, sizeof(q.service_tier));
	assert_int_equal(bound(basic, API_CHAT, &q, 0).input_nanousd, 2000000);
	(void)slice_to_cstr(slice_of("flex"), q.service_tier,
			    sizeof(q.service_tier)); /* perhaps not offered: held as standard */
	assert_int_equal(bound(basic, API_CHAT, &q, 0).input_nanousd, 1000000);
	q.inference_geo[0] = '\0'; /* the workspace's own, perhaps the dear one */
	assert_int_equal(bound(basic, API_MESSAGES, &q, 0).input_nanousd, 1100000);
	(void)slice_to_cstr(slice_of("fast"), q.speed, sizeof(q.speed));
	assert_int_equal(bound(basic, API_MESSAGES, &q, 0).input_nanousd, 6600000);
	price_book_unref(b);
}

static void test_bound_refusals(void **state)
{
	struct price_book *b = book();
	struct request_info q = {.candidates = 1, .background = true};
	struct price_bound r;
	const char *why;

	(void)state;
	refused(find(b, "basic"), API_RESPONSES, &q, BOUND_UNBOUNDED);
	q = (struct request_info){.candidates = 1, .hosted_tools = true};
	refused(find(b, "basic"), API_RESPONSES, &q, BOUND_UNBOUNDED);
	q = (struct request_info){.candidates = 1};
	refused(find(b, "embed"), API_CHAT, &q, BOUND_UNBOUNDED); /* no maximum known */
	assert_int_equal(bound(find(b, "embed"), API_EMBEDDINGS, &q, 0).output_tokens, 0);
	assert_int_equal(price_upper_bound(find(b, "tiered"), API_CHAT, &q, 0, &r, &why), BOUND_NO_PRICE);
	q = (struct request_info){.candidates = UINT64_MAX};
	refused(find(b, "basic"), API_CHAT, &q, BOUND_OVERFLOW);
	q = (struct request_info){.candidates = 1, .images = UINT64_MAX};
	refused(find(b, "basic"), API_CHAT, &q, BOUND_OVERFLOW);
	q = (struct request_info){.candidates = 1, .body_bytes = UINT64_MAX};
	refused(find(b, "basic"), API_CHAT, &q, BOUND_OVERFLOW);
	q = (struct request_info){
	    .candidates = 1, .prediction = true, .body_bytes = 60, .has_max_out = true, .max_out = 5};
	assert_int_equal(bound(find(b, "basic"), API_CHAT, &q, 0).output_tokens, 65);
	price_book_unref(b);
}

/* Whatever a call of this request can use, it costs no more than was held. */
static void test_bound_covers_cost(void **state)
{
	struct price_book *b = book();
	const struct price_model *m[] = {find(b, "basic"), find(b, "full"), find(b, "tiered"), find(b, "family")};
	int i;

	(void)state;
	srand(1);
	for (i = 0; i < 20000; i++) {
		const struct price_model *model = m[rand() % 4];
		struct request_info q = {.candidates = 1 + (uint64_t)(rand() % 3),
					 .body_bytes = (uint64_t)(rand() % 3000),
					 .messages = (uint64_t)(rand() % 5),
					 .has_max_out = true,
					 .max_out = 1 + (uint64_t)(rand() % 10)};
		int64_t at_s = AT_2026_01_01 + rand() % (200 * 86400), nanousd;
		enum api_kind kind = rand() % 2 ? API_CHAT : API_RESPONSES;
		struct price_bound r = bound(model, kind, &q, at_s);
		struct usage u = {.requests = 1};
		struct cost_sum sum;

		u.input_tokens = (uint64_t)rand() % (r.input_tokens + 1);
		u.cached_input_tokens = (uint64_t)rand() % (u.input_tokens + 1);
		u.cache_write_tokens = (uint64_t)rand() % (u.input_tokens - u.cached_input_tokens + 1);
		u.output_tokens = (uint64_t)rand() % (r.output_tokens + 1);
		assert_int_equal(price_cost(model, &u, at_s, &sum), BUR_OK);
		assert_int_equal(cost_ceil_nanousd(&sum, &nanousd), BUR_OK);
		assert_true(nanousd <= r.worst_nanousd);
		assert_true(r.input_nanousd <= r.worst_nanousd);
		assert_int_equal(price_estimate(model, &q, u.input_tokens, u.output_tokens, at_s, &nanousd), BUR_OK);
		assert_true(nanousd <= r.worst_nanousd);
	}
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
	    cmocka_unit_test(test_find),
	    cmocka_unit_test(test_leaves),
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_overflow),
	    cmocka_unit_test(test_bound),
	    cmocka_unit_test(test_bound_media),
	    cmocka_unit_test(test_bound_rows),
	    cmocka_unit_test(test_bound_refusals),
	    cmocka_unit_test(test_bound_covers_cost),
	    cmocka_unit_test(test_bad_books),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
