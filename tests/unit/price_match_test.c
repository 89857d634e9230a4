/* price_match_test - from a name to a model: order of rules, groups, aliases, fallback, related names, hosts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/price_help.h"

#define ROWS "\"prices\":[{\"rates\":{\"in\":\"1\"}}]}"

static const char book_json[] =
    "{\"format\":\"bursar-prices/1\",\"version\":7,\"currency\":\"USD\",\"providers\":["
    "{\"id\":\"acme\",\"names\":[\"acme-cloud\"],\"hosts\":[\"api.acme.example\"],"
    "\"host_re\":[\"([a-z0-9-]+\\\\.)?acme\\\\.example/v1(/.*)?\"],\"fallback\":[\"base\"],"
    "\"aliases\":{\"ours\":\"basic\",\"chain\":\"ours\",\"theirs\":\"far\"},\"models\":["
    "{\"id\":\"basic\",\"ctx\":1000,\"max_out\":100,\"image_max\":7,\"match\":[[\"eq\",\"basic\"],[\"eq\",\"basic-"
    "alias\"],"
    "[\"re\",\"basic-([0-9]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2})\"]]," ROWS ","
    "{\"id\":\"dashed\",\"match\":[[\"eq\",\"dashed-2026-01-31\"]]," ROWS ","
    "{\"id\":\"long\",\"match\":[[\"starts_with\",\"family-long\"]]," ROWS ","
    "{\"id\":\"family\",\"hides_reasoning\":true,\"match\":[[\"and\",[\"starts_with\",\"family\"],"
    "[\"not\",[\"contains\",\"-tts\"]]],[\"ends_with\",\"-fam\"],[\"contains\",\"fam2\"]]," ROWS ","
    "{\"id\":\"asked\",\"hides_reasoning\":\"if_asked\",\"match\":[[\"eq\",\"asked\"]]," ROWS ","
    "{\"id\":\"tts\",\"match\":[[\"re\",\"family-t.*-tts\"]]," ROWS ","
    "{\"id\":\"either\",\"match\":[[\"and\",[\"or\",[\"eq\",\"e1\"],[\"re\",\"e\\\\.?[23]+\"]],[\"not\",[\"eq\",\"e3\"]"
    "]]]," ROWS ","
    "{\"id\":\"optional\",\"match\":[[\"re\",\"optx?y*z\"]]," ROWS ","
    "{\"id\":\"ft:tuned\",\"match\":[[\"starts_with\",\"ft:tuned\"]]," ROWS "]},"
    "{\"id\":\"base\",\"fallback\":[\"far\"],\"models\":[{\"id\":\"far\",\"match\":[[\"eq\",\"far\"],[\"eq\",\"basic\"]"
    "]," ROWS "]},"
    "{\"id\":\"far\",\"models\":[{\"id\":\"farthest\",\"match\":[[\"eq\",\"farthest\"]]," ROWS "]}]}";

static void test_find(void **state)
{
	static const struct {
		const char *name, *id; /* NULL: unknown */
		bool inherited;
	} cases[] = {
	    {"basic", "basic", false},
	    {" BASIC\t", "basic", false},
	    {"models/basic", "basic", false},
	    {"publishers/acme/models/basic", "basic", false},
	    {"projects/p/locations/l/publishers/acme/models/basic", "basic", false},
	    {"arn:aws:bedrock:eu-central-1:1:inference-profile/basic", "basic", false},
	    {"x/models/basic", NULL, false},
	    {"basic-alias", "basic", false},
	    {"ours", "basic", false},
	    {"chain", NULL, false},    /* one step */
	    {"theirs", NULL, false},   /* own models only */
	    {"far", "far", false},     /* of the fallback */
	    {"farthest", NULL, false}, /* one step */
	    {"far-latest", "far", true},
	    {"basic-2026-01-31", "basic", false},
	    {"basic-20260131", "basic", false},
	    {"dashed-20260131", "dashed", false},
	    {"dashed-20260201", NULL, false},
	    {"basic-alias-2026-01-31", "basic", true},
	    {"basic-latest", "basic", true},
	    {"basic-0613", "basic", true},
	    {"basic-preview", "basic", true},
	    {"basic-preview-05-20", "basic", true},
	    {"basic-preview-2026-01-31", "basic", true},
	    {"basic-exp-1", "basic", true},
	    {"basic@20260101", "basic", true},
	    {"basic:free", "basic", true},
	    {"basic:batch", "basic", true},
	    {"basic-v2", "basic", true},
	    {"basic-v1:0", "basic", true},
	    {"basic-2026-01-31-v1:0", "basic", true},
	    {"basic-v", NULL, false},
	    {"-v1", NULL, false},
	    {"basic-mini", NULL, false},
	    {"basicx", NULL, false},
	    {"-latest", NULL, false},
	    {"", NULL, false},
	    {"models/", NULL, false},
	    {"family-long-x", "long", false},
	    {"family-x", "family", false},
	    {"family-x-tts", NULL, false},
	    {"family-talk-tts", "tts", false},
	    {"my-fam", "family", false},
	    {"xfam2y", "family", false},
	    {"e1", "either", false},
	    {"e22", "either", false},
	    {"e.2", "either", false},
	    {"e3", NULL, false},
	    {"e4", NULL, false},
	    {"optz", "optional", false},
	    {"optxyyz", "optional", false},
	    {"opty", NULL, false},
	    /* nearly a date, nearly a version */
	    {"basic_2026-01-31", NULL, false},
	    {"basic-2026x01-31", NULL, false},
	    {"basic-2026-01x31", NULL, false},
	    {"basic-2a26-01-31", NULL, false},
	    {"basic-2026-a1-31", NULL, false},
	    {"basic-2026-01-a1", NULL, false},
	    {"basic-2026-01-/1", NULL, false},
	    {"basic_20260131", NULL, false},
	    {"basic-2026013x", NULL, false},
	    {"basic-2026013/", NULL, false},
	    {"basic:", NULL, false},
	    {"1:0", NULL, false},
	    {"123", NULL, false},
	    {"v2", NULL, false},
	    {"xv2", NULL, false},
	    {"basicv2", NULL, false},
	    {"basic-w2", NULL, false},
	    {"@basic", NULL, false},
	    {"basic-latest-latest-latest-latest", "basic", true},
	    {"basic-latest-latest-latest-latest-latest", NULL, false},
	    {"ft:tuned:org", "ft:tuned", false},
	    {"ft:basic-latest", NULL, false},
	};
	struct price_book *b = book_of(book_json);
	char long_name[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool inherited = true;
		const struct price_model *m = price_find(b, SLICE("acme"), slice_of(cases[i].name), &inherited);

		if ((m != NULL) != (cases[i].id != NULL) || (m && strcmp(price_model_id(m), cases[i].id) != 0) ||
		    inherited != cases[i].inherited)
			fail_msg("%s: %s, inherited %d", cases[i].name, m ? price_model_id(m) : "unknown", inherited);
	}
	assert_non_null(price_find(b, SLICE("ACME-Cloud"), SLICE("basic"), NULL));
	assert_null(price_find(b, SLICE("other"), SLICE("basic"), NULL));
	assert_null(price_find(b, SLICE(""), SLICE("basic"), NULL));
	assert_null(price_find(b, SLICE("acme"), slice_mem("basic\0x", 7), NULL));
	memset(long_name, 'a', sizeof(long_name));
	assert_null(price_find(b, SLICE("acme"), slice_mem(long_name, sizeof(long_name)), NULL));
	assert_non_null(price_find(b, SLICE("acme"), SLICE("basic-latest"), NULL));
	/* with two more bytes this would be too long for a name */
	memcpy(long_name + MODEL_NAME_MAX - 9, "-20260131", 9);
	assert_null(price_find(b, SLICE("acme"), slice_mem(long_name, MODEL_NAME_MAX), NULL));
	price_book_unref(b);
}

static void test_model(void **state)
{
	struct price_book *b = book_of(book_json);
	const struct price_model *m = price_find(b, SLICE("acme"), SLICE("basic"), NULL);

	(void)state;
	assert_int_equal(price_book_version(b), 7);
	assert_int_equal(price_book_models(b), 11);
	assert_int_equal(price_model_max_out(m), 100);
	assert_int_equal(price_model_context(m), 1000);
	assert_int_equal(price_model_image_max(m), 7);
	assert_false(price_model_hides_reasoning(m, true));
	assert_true(price_model_hides_reasoning(price_find(b, SLICE("acme"), SLICE("family-x"), NULL), false));
	assert_true(price_model_hides_reasoning(price_find(b, SLICE("acme"), SLICE("asked"), NULL), true));
	assert_false(price_model_hides_reasoning(price_find(b, SLICE("acme"), SLICE("asked"), NULL), false));
	assert_true(price_model_has(m, PRICE_IN));
	assert_false(price_model_has(m, PRICE_OUT));
	price_book_unref(price_book_ref(b));
	price_book_unref(b);
	price_book_unref(NULL);
}

static void test_hosts(void **state)
{
	struct price_book *b = book_of(book_json);

	(void)state;
	assert_string_equal(price_provider_at(b, "https://api.acme.example/v9"), "acme");
	assert_string_equal(price_provider_at(b, "https://api.acme.example"), "acme");
	assert_string_equal(price_provider_at(b, "https://eu.acme.example/v1/chat"), "acme");
	assert_null(price_provider_at(b, "https://eu.acme.example/v2"));
	assert_null(price_provider_at(b, "https://api.acme.example.evil"));
	assert_null(price_provider_at(b, "http://api.acme.example"));
	assert_null(price_provider_at(b, ""));
	price_book_unref(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_find),
	    cmocka_unit_test(test_model),
	    cmocka_unit_test(test_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
