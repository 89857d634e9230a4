/* meter_bound_test - what a request may cost at most: tokens of text, pictures and files, tiers, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "meter/bound.h"
#include "meter/usage.h"

/* Midnight UTC */
#define AT_2026_01_01 INT64_C(1767225600)
#define AT_2026_06_01 INT64_C(1780272000)

static const char book_json[] =
    "{\"format\":\"bursar-prices/1\",\"version\":7,\"currency\":\"USD\",\"providers\":[{\"id\":\"acme\","
    "\"multipliers\":{\"flex\":\"0.5\",\"priority\":\"2\",\"speed:fast\":\"6\",\"geo:us\":\"1.1\"},\"models\":["
    "{\"id\":\"basic\",\"ctx\":1000,\"max_out\":100,\"match\":[[\"eq\",\"basic\"],[\"eq\",\"basic-alias\"],[\"re\","
    "\"basic-.*\"]],"
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
    "{\"id\":\"family\",\"hides_reasoning\":true,\"match\":[[\"starts_with\",\"family\"],[\"ends_with\",\"-"
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

static struct bound upper(const struct price_model *m, enum api_kind kind, const struct request_info *q, int64_t at_s)
{
	struct bound r = {0};
	const char *why = NULL;

	assert_int_equal(bound_upper(m, kind, q, at_s, &r, &why), BOUND_OK);
	return r;
}

static void refused(const struct price_model *m, enum api_kind kind, const struct request_info *q,
		    enum bound_result want)
{
	struct bound r;
	const char *why = NULL;

	assert_int_equal(bound_upper(m, kind, q, AT_2026_01_01, &r, &why), want);
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
	struct bound r = upper(basic, API_CHAT, &q, 0);

	(void)state;
	assert_int_equal(r.input_tokens, 200 + 16 + OVERHEAD);
	assert_int_equal(r.output_tokens, 50);
	assert_int_equal(r.input_nanousd, (200 + 16 + OVERHEAD) * 1000);
	assert_int_equal(r.worst_nanousd, (200 + 16 + OVERHEAD) * 1000 + 50 * 2000);
	q.candidates = 3;
	assert_int_equal(upper(basic, API_CHAT, &q, 0).output_tokens, 150);
	q.candidates = 1;
	q.has_max_out = false;
	assert_int_equal(upper(basic, API_CHAT, &q, 0).output_tokens, 100);
	q.has_max_out = true;
	q.max_out = 1 << 30; /* no model answers more than its context */
	assert_int_equal(upper(basic, API_CHAT, &q, 0).output_tokens, 1000);
	q.max_out = 0;
	/* cache writes: automatic with some vendors, marked with Anthropic */
	q = (struct request_info){.candidates = 1,
				  .body_bytes = 1000 - OVERHEAD,
				  .has_max_out = true,
				  .max_out = 1,
				  .inference_geo = "global"};
	assert_int_equal(upper(full, API_CHAT, &q, 0).input_nanousd, 12500000 + 1000000);
	assert_int_equal(upper(full, API_MESSAGES, &q, 0).input_nanousd, 10000000 + 1000000);
	q.cache_marks = true;
	assert_int_equal(upper(full, API_MESSAGES, &q, 0).input_nanousd, 12500000 + 1000000);
	q.cache_marks_1h = true;
	assert_int_equal(upper(full, API_MESSAGES, &q, 0).input_nanousd, 20000000 + 1000000);
	q.tools = true;
	assert_int_equal(upper(full, API_MESSAGES, &q, 0).input_tokens, 1000 + 1024);
	price_book_unref(b);
}

static void test_bound_media(void **state)
{
	struct price_book *b = book();
	const struct price_model *full = find(b, "full"), *basic = find(b, "basic");
	struct request_info q = {
	    .candidates = 1, .body_bytes = 5000, .has_max_out = true, .max_out = 1, .images = 1, .image_bytes = 4900};

	(void)state;
	assert_int_equal(upper(full, API_CHAT, &q, 0).input_tokens, 100 + 10000 + OVERHEAD);
	assert_int_equal(upper(full, API_MESSAGES, &q, 0).input_tokens, 100 + 4784 + OVERHEAD);
	q = (struct request_info){.candidates = 1, .body_bytes = 10, .has_max_out = true, .max_out = 1, .files = 1};
	refused(full, API_MESSAGES, &q, BOUND_UNBOUNDED); /* no context known */
	assert_int_equal(upper(basic, API_MESSAGES, &q, 0).input_tokens, 1000);
	q = (struct request_info){
	    .candidates = 1, .body_bytes = 10, .has_max_out = true, .max_out = 1, .stored_context = true};
	refused(full, API_RESPONSES, &q, BOUND_UNBOUNDED);
	assert_int_equal(upper(basic, API_RESPONSES, &q, 0).input_tokens, 1000);
	q = (struct request_info){.candidates = 1,
				  .body_bytes = 1000 - OVERHEAD,
				  .has_max_out = true,
				  .max_out = 1,
				  .audios = 1,
				  .inference_geo = "global"};
	assert_int_equal(upper(full, API_CHAT, &q, 0).input_nanousd, 40000000 + 1000000);
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
	assert_int_equal(upper(t, API_CHAT, &q, noon).input_nanousd, 1000000);
	q.body_bytes++; /* now the dear tier can be reached */
	assert_int_equal(upper(t, API_CHAT, &q, noon).input_nanousd, 1001 * 3000);
	/* a dear time of day that begins while the call may still wait */
	assert_int_equal(upper(t, API_CHAT, &q, AT_2026_01_01 + 22 * 3600 - 60).input_nanousd, 1001 * 5000);
	refused(t, API_CHAT, &(struct request_info){.candidates = 1}, BOUND_OK);
	q.body_bytes = 1000 - OVERHEAD;
	(void)slice_to_cstr(slice_of("auto"), q.service_tier, sizeof(q.service_tier));
	assert_int_equal(upper(basic, API_CHAT, &q, 0).input_nanousd, 2000000);
	(void)slice_to_cstr(slice_of("flex"), q.service_tier,
			    sizeof(q.service_tier)); /* perhaps not offered: held as standard */
	assert_int_equal(upper(basic, API_CHAT, &q, 0).input_nanousd, 1000000);
	q.inference_geo[0] = '\0'; /* the workspace's own, perhaps the dear one */
	assert_int_equal(upper(basic, API_MESSAGES, &q, 0).input_nanousd, 1100000);
	(void)slice_to_cstr(slice_of("fast"), q.speed, sizeof(q.speed));
	assert_int_equal(upper(basic, API_MESSAGES, &q, 0).input_nanousd, 6600000);
	price_book_unref(b);
}

static void test_bound_refusals(void **state)
{
	struct price_book *b = book();
	struct request_info q = {.candidates = 1, .background = true};
	struct bound r;
	const char *why;

	(void)state;
	refused(find(b, "basic"), API_RESPONSES, &q, BOUND_UNBOUNDED);
	q = (struct request_info){.candidates = 1, .hosted_tools = true};
	refused(find(b, "basic"), API_RESPONSES, &q, BOUND_UNBOUNDED);
	q = (struct request_info){.candidates = 1};
	refused(find(b, "embed"), API_CHAT, &q, BOUND_UNBOUNDED); /* no maximum known */
	assert_int_equal(upper(find(b, "embed"), API_EMBEDDINGS, &q, 0).output_tokens, 0);
	assert_int_equal(bound_upper(find(b, "tiered"), API_CHAT, &q, 0, &r, &why), BOUND_NO_PRICE);
	q = (struct request_info){.candidates = UINT64_MAX};
	refused(find(b, "basic"), API_CHAT, &q, BOUND_OVERFLOW);
	q = (struct request_info){.candidates = 1, .images = UINT64_MAX};
	refused(find(b, "basic"), API_CHAT, &q, BOUND_OVERFLOW);
	q = (struct request_info){.candidates = 1, .body_bytes = UINT64_MAX};
	refused(find(b, "basic"), API_CHAT, &q, BOUND_OVERFLOW);
	q = (struct request_info){
	    .candidates = 1, .prediction = true, .body_bytes = 60, .has_max_out = true, .max_out = 5};
	assert_int_equal(upper(find(b, "basic"), API_CHAT, &q, 0).output_tokens, 65);
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
		struct bound r = upper(model, kind, &q, at_s);
		struct usage u = {.requests = 1};
		struct price_terms terms;
		struct quantities n;
		struct cost_sum sum;

		u.input_tokens = (uint64_t)rand() % (r.input_tokens + 1);
		u.cached_input_tokens = (uint64_t)rand() % (u.input_tokens + 1);
		u.cache_write_tokens = (uint64_t)rand() % (u.input_tokens - u.cached_input_tokens + 1);
		u.output_tokens = (uint64_t)rand() % (r.output_tokens + 1);
		usage_quantities(&u, &n);
		usage_terms(&u, at_s, false, &terms);
		assert_int_equal(price_cost(model, &n, &terms, &sum), BUR_OK);
		assert_int_equal(cost_ceil_nanousd(&sum, &nanousd), BUR_OK);
		assert_true(nanousd <= r.worst_nanousd);
		assert_true(r.input_nanousd <= r.worst_nanousd);
		assert_int_equal(bound_estimate(model, &q, u.input_tokens, u.output_tokens, at_s, &nanousd), BUR_OK);
		assert_true(nanousd <= r.worst_nanousd);
	}
	price_book_unref(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bound),
	    cmocka_unit_test(test_bound_media),
	    cmocka_unit_test(test_bound_rows),
	    cmocka_unit_test(test_bound_refusals),
	    cmocka_unit_test(test_bound_covers_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
