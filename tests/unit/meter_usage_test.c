/* meter_usage_test - from what a vendor reports to units and terms of the price book, and through a ledger row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "meter/tier.h"
#include "meter/usage.h"

static void test_quantities(void **state)
{
	struct usage u = {.input_tokens = 1000,
			  .cached_input_tokens = 100,
			  .cache_write_tokens = 50,
			  .cache_write_1h_tokens = 20,
			  .output_tokens = 300,
			  .reasoning_tokens = 200,
			  .audio_input_tokens = 10,
			  .cached_audio_tokens = 5,
			  .audio_output_tokens = 7,
			  .image_input_tokens = 8,
			  .image_output_tokens = 9,
			  .web_searches = 1,
			  .file_searches = 2,
			  .code_sessions = 3,
			  .images = 4,
			  .citation_tokens = 11,
			  .search_units = 12,
			  .pages = 13,
			  .pages_annotated = 6,
			  .audio_ms = 14,
			  .input_characters = 15,
			  .requests = 16};
	struct quantities q;
	const struct quantities want = {{[PRICE_IN] = 1000,
					 [PRICE_CR] = 100,
					 [PRICE_CW] = 50,
					 [PRICE_CW5M] = 30,
					 [PRICE_CW1H] = 20,
					 [PRICE_OUT] = 300,
					 [PRICE_OUT_REASONING] = 200,
					 [PRICE_IN_AUDIO] = 10,
					 [PRICE_CR_AUDIO] = 5,
					 [PRICE_OUT_AUDIO] = 7,
					 [PRICE_IN_IMAGE] = 8,
					 [PRICE_OUT_IMAGE] = 9,
					 [PRICE_WEB] = 1,
					 [PRICE_FILE] = 2,
					 [PRICE_CODE] = 3,
					 [PRICE_IMAGES] = 4,
					 [PRICE_OUT_CITATION] = 11,
					 [PRICE_RERANK] = 12,
					 [PRICE_PAGES] = 13,
					 [PRICE_PAGES_ANNOTATED] = 6,
					 [PRICE_AUDIO_MS] = 14,
					 [PRICE_CHARS] = 15,
					 [PRICE_REQ] = 16}};

	(void)state;
	usage_quantities(&u, &q);
	assert_memory_equal(&q, &want, sizeof(q));
	u.cache_write_tokens = 0; /* only the hour's is told */
	usage_quantities(&u, &q);
	assert_int_equal(q.n[PRICE_CW5M], 0);
	assert_int_equal(q.n[PRICE_CW1H], 20);
}

static void test_terms(void **state)
{
	static const struct {
		const char *word;
		enum price_service service;
	} cases[] = {
	    {"", SERVICE_STANDARD},          {"default", SERVICE_STANDARD},
	    {"standard", SERVICE_STANDARD},  {"auto", SERVICE_STANDARD},
	    {"on_demand", SERVICE_STANDARD}, {"scale", SERVICE_STANDARD},
	    {"reserved", SERVICE_STANDARD},  {"PROVISIONED_THROUGHPUT", SERVICE_STANDARD},
	    {"ON_DEMAND", SERVICE_STANDARD}, {"ON_DEMAND_OFFPEAK", SERVICE_STANDARD},
	    {"flex", SERVICE_FLEX},          {"ON_DEMAND_FLEX", SERVICE_FLEX},
	    {"priority", SERVICE_PRIORITY},  {"fast", SERVICE_PRIORITY},
	    {"Priority", SERVICE_PRIORITY},  {"ON_DEMAND_PRIORITY", SERVICE_PRIORITY},
	    {"batch", SERVICE_BATCH},        {"nonsense", SERVICE_STANDARD},
	};
	struct price_terms t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct usage u = {0}, again = {0};

		(void)slice_to_cstr(slice_of(cases[i].word), u.service_tier, sizeof(u.service_tier));
		usage_terms(&u, 5, true, &t);
		assert_int_equal(t.service, cases[i].service);
		assert_int_equal(t.at_s, 5);
		assert_true(t.residency && !t.fast && !t.us);
		/* a ledger row is priced again on the same tier */
		if (strcmp(cases[i].word, "Priority") == 0)
			continue; /* no vendor writes it so */
		tier_unpack(tier_pack(&u), &again);
		usage_terms(&again, 5, true, &t);
		assert_int_equal(t.service, cases[i].service);
	}
}

static void test_speed_and_geography(void **state)
{
	struct usage u = {.speed = "fast", .inference_geo = "us"};
	struct price_terms t;

	(void)state;
	usage_terms(&u, 0, false, &t);
	assert_true(t.fast && t.us && !t.residency);
	u = (struct usage){.speed = "standard", .inference_geo = "global"};
	usage_terms(&u, 0, false, &t);
	assert_true(!t.fast && !t.us);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_quantities),
	    cmocka_unit_test(test_terms),
	    cmocka_unit_test(test_speed_and_geography),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
