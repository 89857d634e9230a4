/* Foreign price lists become rows of ours, exactly; local prices lie over a book without losing what they do not say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "price/import.h"
#include "price/import_impl.h"
#include "price/price.h"

#define TODAY "2026-11-21"

static json_t *tree_of(const char *text)
{
	char err[200] = "";
	json_t *tree = NULL;
	int r = import_read(slice_of(text), &tree, err, sizeof(err));

	if (r < 0)
		print_message("%s\n", err);
	assert_int_equal(r, BUR_OK);
	return tree;
}

static json_t *json_of(const char *text)
{
	json_error_t error;
	json_t *v = json_loads(text, 0, &error);

	if (!v)
		print_message("%s\n", error.text);
	assert_non_null(v);
	return v;
}

struct converted {
	json_t *local, *notes;
};

static struct converted convert(const char *text, const char *provider)
{
	const struct import_ask ask = {.provider = provider, .today = TODAY};
	json_t *tree = tree_of(text);
	struct converted c = {0};
	char err[200] = "";

	assert_int_equal(import_convert(tree, &ask, &c.local, &c.notes, err, sizeof(err)), BUR_OK);
	json_decref(tree);
	return c;
}

static void done(struct converted *c)
{
	json_decref(c->local);
	json_decref(c->notes);
}

static json_t *model_of(const json_t *book, const char *provider, const char *id)
{
	json_t *p, *m;
	size_t i, k;

	json_array_foreach(json_object_get(book, "providers"), i, p)
	{
		if (strcmp(json_string_value(json_object_get(p, "id")), provider) != 0)
			continue;
		json_array_foreach(json_object_get(p, "models"), k, m)
		{
			if (strcmp(json_string_value(json_object_get(m, "id")), id) == 0)
				return m;
		}
	}
	return NULL;
}

static void assert_prices(const json_t *book, const char *provider, const char *id, const char *expect)
{
	const json_t *m = model_of(book, provider, id);
	json_t *want = json_of(expect);
	char *have = m ? json_dumps(json_object_get(m, "prices"), JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	char *text = json_dumps(want, JSON_COMPACT | JSON_SORT_KEYS);

	assert_non_null(have);
	assert_string_equal(have, text);
	free(have);
	free(text);
	json_decref(want);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static void numbers_stay_text(void **state)
{
	json_t *tree = tree_of("{\"a\":[1.10,2e-7,0.000000099999999999999995],\"b\":{\"c\":null,\"d\":true}}");
	const json_t *a = json_object_get(tree, "a");

	(void)state;
	assert_string_equal(json_string_value(json_array_get(a, 0)), "1.10");
	assert_string_equal(json_string_value(json_array_get(a, 1)), "2e-7");
	assert_string_equal(json_string_value(json_array_get(a, 2)), "0.000000099999999999999995");
	assert_true(json_is_null(json_object_get(json_object_get(tree, "b"), "c")));
	json_decref(tree);
}

static void bad_documents_are_refused(void **state)
{
	static const char *const texts[] = {"",    "{",   "[1,]", "{\"a\":1,\"a\":2}", "[\"\xff\"]", "{} x",
					    "nul", "[1}", "7"};
	char err[200], *deep = calloc(1, 1001);
	struct slice large = {"[]", IMPORT_BYTES_MAX + 1};
	json_t *tree;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_int_equal(import_read(slice_of(texts[i]), &tree, err, sizeof(err)), BUR_INVALID);
	memset(deep, '[', 1000);
	assert_int_equal(import_read(slice_of(deep), &tree, err, sizeof(err)), BUR_INVALID);
	assert_int_equal(import_read(large, &tree, err, sizeof(err)), BUR_TOOBIG);
	free(deep);
}

static void rates_are_exact(void **state)
{
	static const struct {
		const char *literal;
		int64_t times;
		const char *expect; /* NULL: refused */
	} cases[] = {
	    {"1.5e-07", 1000000, "0.15"},
	    {"0.00000009999999999999999", 1000000, "0.1"},
	    {"0.000000083333333333333333", 1000000, "0.083333333333"},
	    {"0.09999999999999999", 1, "0.1"},
	    {"600", 1, "600"},
	    {"0.0006", 1000000, "600"},
	    {"0.0001", 3600, "0.36"},
	    {"0.035", 1000, "35"},
	    {"12.5", 1000, "12500"},
	    {"0", 1000000, "0"},
	    {"1e-18", 1000000, "0.000000000001"},
	    {"-1", 1000000, NULL},
	    {"-0.5", 1, NULL},
	    {"1e300", 1, NULL},
	    {"10001", 1, NULL},
	    {"0.02", 1000000, NULL},
	    {"NaN", 1, NULL},
	    {"", 1, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *v = json_string(cases[i].literal);
		char text[RATE_TEXT_MAX];
		int64_t pusd;
		bool good = import_rate(v, cases[i].times, &pusd);

		if (strcmp(cases[i].literal, "12.5") == 0)
			assert_false(good); /* over what a book may hold */
		else if (cases[i].expect)
			assert_true(good);
		else
			assert_false(good);
		if (good)
			assert_string_equal(import_rate_text(pusd, text), cases[i].expect);
		json_decref(v);
	}
	assert_false(import_rate(NULL, 1, &(int64_t){0}));
}

/* --- LiteLLM ------------------------------------------------------------------------------------------------------ */

static const char litellm[] =
    "{\"sample_spec\":{\"input_cost_per_token\":0},"
    "\"gpt-x\":{\"litellm_provider\":\"openai\",\"mode\":\"chat\",\"max_input_tokens\":1000,\"max_output_tokens\":200,"
    " \"input_cost_per_token\":1.5e-07,\"output_cost_per_token\":6e-07,\"cache_read_input_token_cost\":7.5e-08,"
    " \"input_cost_per_token_above_272k_tokens\":3e-07,\"input_cost_per_token_batches\":7.5e-08,"
    " \"input_cost_per_token_above_272k_tokens_priority\":6e-07,\"cache_creation_input_token_cost_above_1hr\":2e-6,"
    " \"search_context_cost_per_query\":{\"search_context_size_low\":0.01,\"search_context_size_medium\":0.035}},"
    "\"gemini/"
    "gemini-9\":{\"litellm_provider\":\"gemini\",\"input_cost_per_token\":1e-6,\"input_cost_per_character\":1},"
    "\"bedrock/us-east-1/anthropic.c\":{\"litellm_provider\":\"bedrock\",\"input_cost_per_token\":1e-6},"
    "\"openrouter/a/b\":{\"litellm_provider\":\"openrouter\",\"input_cost_per_token\":1e-6},"
    "\"odd\":{\"litellm_provider\":\"openai\",\"input_cost_per_token\":1e-6,\"cost_per_moon\":3},"
    "\"free-odd\":{\"litellm_provider\":\"openai\",\"input_cost_per_token\":1e-6,\"cost_per_moon\":0.0},"
    "\"tiered\":{\"litellm_provider\":\"dashscope\",\"tiered_pricing\":[{\"range\":[0,32000.0],\"input_cost_per_"
    "token\":1e-6},"
    " {\"range\":[32000.0,128000],\"input_cost_per_token\":2e-6}]}}";

static void litellm_keys(void **state)
{
	struct converted c = convert(litellm, NULL);

	(void)state;
	assert_prices(
	    c.local, "openai", "gpt-x",
	    "[{\"from\":\"2026-11-21\",\"rates\":{\"in\":\"0.15\",\"out\":\"0.6\",\"cr\":\"0.075\",\"cw1h\":\"2\","
	    "\"web\":\"35\"}},"
	    "{\"from\":\"2026-11-21\",\"over\":272000,\"rates\":{\"in\":\"0.3\"}},"
	    "{\"from\":\"2026-11-21\",\"service\":\"batch\",\"rates\":{\"in\":\"0.075\"}},"
	    "{\"from\":\"2026-11-21\",\"service\":\"priority\",\"over\":272000,\"rates\":{\"in\":\"0.6\"}}]");
	assert_int_equal(json_integer_value(json_object_get(model_of(c.local, "openai", "gpt-x"), "ctx")), 1000);
	assert_prices(c.local, "google", "gemini-9", "[{\"from\":\"2026-11-21\",\"rates\":{\"in\":\"1\"}}]");
	assert_prices(c.local, "openrouter", "a/b", "[{\"from\":\"2026-11-21\",\"rates\":{\"in\":\"1\"}}]");
	assert_prices(c.local, "openai", "free-odd", "[{\"from\":\"2026-11-21\",\"rates\":{\"in\":\"1\"}}]");
	assert_prices(c.local, "dashscope", "tiered",
		      "[{\"from\":\"2026-11-21\",\"rates\":{\"in\":\"1\"}},"
		      "{\"from\":\"2026-11-21\",\"over\":32000,\"rates\":{\"in\":\"2\"}}]");
	assert_null(model_of(c.local, "openai", "odd"));
	assert_int_equal(json_array_size(c.notes), 2); /* a region of Bedrock, and a price of no kind we know */
	done(&c);
	c = convert(litellm, "google");
	assert_int_equal(json_array_size(json_object_get(c.local, "providers")), 1);
	done(&c);
}

/* --- the others --------------------------------------------------------------------------------------------------- */

static void genai_dates_windows_and_tiers(void **state)
{
	struct converted c = convert(
	    "[{\"id\":\"p\",\"models\":["
	    "{\"id\":\"M\",\"match\":{\"or\":[{\"equals\":\"m-1\"},{\"starts_with\":\"M-\"}]},\"context_window\":9,"
	    " \"prices\":[{\"prices\":{\"input_mtok\":5}},"
	    "  "
	    "{\"constraint\":{\"start_time\":\"01:00:00Z\",\"end_time\":\"04:00:00Z\"},\"prices\":{\"input_mtok\":9}},"
	    "  {\"constraint\":{\"start_date\":\"2026-08-01\"},\"prices\":{\"input_mtok\":{\"base\":2,\"tiers\":"
	    "   [{\"start\":200000,\"price\":4}]},\"output_mtok\":8,\"requests_kcount\":0.5}}]},"
	    "{\"id\":\"n\",\"match\":{\"equals\":\"n\"},\"prices\":{\"moon_mtok\":1}}]}]",
	    NULL);

	(void)state;
	assert_prices(
	    c.local, "p", "m",
	    "[{\"to\":\"2026-08-01\",\"rates\":{\"in\":\"5\"}},"
	    "{\"to\":\"2026-08-01\",\"tod\":[\"01:00\",\"04:00\"],\"rates\":{\"in\":\"9\"}},"
	    "{\"from\":\"2026-08-01\",\"rates\":{\"in\":\"2\",\"out\":\"8\",\"req\":\"0.5\"}},"
	    "{\"from\":\"2026-08-01\",\"over\":200000,\"rates\":{\"in\":\"4\",\"out\":\"8\",\"req\":\"0.5\"}}]");
	assert_int_equal(json_array_size(json_object_get(model_of(c.local, "p", "m"), "match")), 3);
	assert_null(model_of(c.local, "p", "n"));
	assert_int_equal(json_array_size(c.notes), 1);
	done(&c);
}

static void models_dev(void **state)
{
	struct converted c = convert(
	    "{\"xai\":{\"id\":\"xai\",\"models\":{\"grok-9\":{\"cost\":{\"input\":0.09999999999999999,\"output\":3,"
	    "\"cache_read\":0.02,\"tiers\":[{\"tier\":{\"size\":200000},\"input\":6}]},"
	    "\"limit\":{\"context\":256000,\"output\":64000}},\"no-price\":{}}}}",
	    NULL);

	(void)state;
	assert_prices(
	    c.local, "x-ai", "grok-9",
	    "[{\"from\":\"2026-11-21\",\"rates\":{\"in\":\"0.1\",\"out\":\"3\",\"cr\":\"0.02\"}},"
	    "{\"from\":\"2026-11-21\",\"over\":199999,\"rates\":{\"in\":\"6\",\"out\":\"3\",\"cr\":\"0.02\"}}]");
	assert_null(model_of(c.local, "x-ai", "no-price"));
	done(&c);
}

static void openrouter(void **state)
{
	struct converted c = convert(
	    "{\"data\":[{\"id\":\"a/b\",\"context_length\":8192,\"pricing\":{\"prompt\":\"0.000002\",\"completion\":"
	    "\"0.000008\",\"image\":\"0.01\",\"request\":\"0.001\",\"discount\":0.25,"
	    "\"overrides\":[{\"min_prompt_tokens\":200000,\"prompt\":\"0.000004\"}]}},"
	    "{\"id\":\"openrouter/auto\",\"pricing\":{\"prompt\":\"-1\",\"completion\":\"-1\"}},"
	    "{\"id\":\"a/odd\",\"pricing\":{\"prompt\":\"0\",\"moon\":\"1\"}}]}",
	    NULL);

	(void)state;
	assert_prices(
	    c.local, "openrouter", "a/b",
	    "[{\"from\":\"2026-11-21\",\"rates\":{\"in\":\"1.5\",\"out\":\"6\",\"req\":\"0.75\"}},"
	    "{\"from\":\"2026-11-21\",\"over\":199999,\"rates\":{\"in\":\"3\",\"out\":\"6\",\"req\":\"0.75\"}}]");
	assert_null(model_of(c.local, "openrouter", "openrouter/auto"));
	assert_null(model_of(c.local, "openrouter", "a/odd"));
	done(&c);
}

static void what_is_not_known_is_refused(void **state)
{
	static const char *const texts[] = {"{}", "{\"a\":1}", "\"x\""};
	const struct import_ask ask = {.today = TODAY};
	struct converted c;
	char err[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		json_t *tree = tree_of(texts[i]);

		assert_int_equal(import_convert(tree, &ask, &c.local, &c.notes, err, sizeof(err)), BUR_INVALID);
		json_decref(tree);
	}
}

/* Wrong types anywhere in a list are no crash and no price. */
static void hostile_shapes(void **state)
{
	static const char *const texts[] = {
	    "{\"sample_spec\":1,\"m\":{\"litellm_provider\":[],\"input_cost_per_token\":1}}",
	    "{\"sample_spec\":1,\"m\":{\"litellm_provider\":\"openai\",\"input_cost_per_token\":{},\"tiered_pricing\":"
	    "7}}",
	    "{\"sample_spec\":1,\"m m\":{\"litellm_provider\":\"openai\",\"input_cost_per_token\":1e-6}}",
	    "{\"sample_spec\":1,\"\":{\"litellm_provider\":\"openai\",\"input_cost_per_token\":1e-6}}",
	    "[1,{\"id\":7},{\"id\":\"p\",\"models\":{}},{\"id\":\"p\",\"models\":[1,{\"id\":\"m\",\"prices\":[7,{"
	    "\"prices\":1}]}]}]",
	    "[{\"id\":\"p\",\"models\":[{\"id\":\"m\",\"prices\":{\"input_mtok\":{\"base\":1,\"tiers\":[{\"start\":-1}]"
	    "}}}]}]",
	    "{\"data\":[1,{},{\"id\":\"x\",\"pricing\":{\"prompt\":{},\"overrides\":[7]}}]}",
	    "{\"p\":{\"models\":{\"m\":{\"cost\":{\"input\":[],\"tiers\":{}}}}}}",
	    "{\"format\":\"bursar-prices/1\",\"providers\":[{\"id\":\"p\",\"models\":[{\"id\":\"m\",\"prices\":7}]}]}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct converted c = convert(texts[i], NULL);
		json_t *p;
		size_t k;

		json_array_foreach(json_object_get(c.local, "providers"), k, p)
		    assert_int_equal(json_array_size(json_object_get(p, "models")), 0);
		done(&c);
	}
}

/* --- over a book -------------------------------------------------------------------------------------------------- */

static const char base[] =
    "{\"format\":\"bursar-prices/1\",\"currency\":\"USD\",\"version\":7,\"providers\":[{\"id\":\"openai\",\"models\":["
    "{\"id\":\"gpt\",\"ctx\":100,\"match\":[[\"eq\",\"gpt\"],[\"eq\",\"gpt-1\"]],\"prices\":["
    " {\"rates\":{\"in\":\"1\",\"out\":\"4\",\"web\":\"10\"}},"
    " {\"from\":\"2026-12-24\",\"rates\":{\"in\":\"9\"}},"
    " {\"over\":200,\"rates\":{\"in\":\"2\",\"out\":\"8\",\"web\":\"10\"}},"
    " {\"service\":\"flex\",\"rates\":{\"in\":\"0.5\"}}]},"
    "{\"id\":\"night\",\"match\":[[\"eq\",\"night\"]],\"prices\":[{\"rates\":{\"in\":\"1\"}},"
    " {\"tod\":[\"00:00\",\"06:00\"],\"rates\":{\"in\":\"2\"}}]}]}]}";

static json_t *laid_over(const json_t *local)
{
	json_t *book = json_of(base);
	struct price_book *parsed = NULL;
	char err[200] = "", *text;

	assert_int_equal(import_overlay(book, local, "import", TODAY, err, sizeof(err)), BUR_OK);
	assert_int_equal(import_overlay(book, local, "operator", TODAY, err, sizeof(err)), BUR_OK);
	text = json_dumps(book, JSON_COMPACT);
	if (price_book_parse(slice_of(text), &parsed, err, sizeof(err)) < 0)
		fail_msg("%s", err);
	price_book_unref(parsed);
	free(text);
	return book;
}

static void an_import_begins_today_and_keeps_the_rest(void **state)
{
	json_t *local =
	    json_of("{\"providers\":[{\"id\":\"openai\",\"models\":[{\"id\":\"gpt-1\",\"origin\":\"import\","
		    "\"stale\":true,\"source\":\"x\",\"ctx\":7,\"max_out\":50,\"prices\":["
		    "{\"from\":\"2026-11-21\",\"rates\":{\"in\":\"3\"}},"
		    "{\"from\":\"2026-11-21\",\"over\":200,\"rates\":{\"in\":\"6\",\"cr\":\"1\"}}]}]}]}");
	json_t *book = laid_over(local);

	(void)state;
	assert_prices(book, "openai", "gpt",
		      "[{\"to\":\"2026-11-21\",\"rates\":{\"in\":\"1\",\"out\":\"4\",\"web\":\"10\"}},"
		      "{\"over\":200,\"to\":\"2026-11-21\",\"rates\":{\"in\":\"2\",\"out\":\"8\",\"web\":\"10\"}},"
		      "{\"service\":\"flex\",\"rates\":{\"in\":\"0.5\"}},"
		      "{\"from\":\"2026-11-21\",\"rates\":{\"in\":\"3\",\"out\":\"4\",\"web\":\"10\"}},"
		      "{\"from\":\"2026-11-21\",\"over\":200,\"rates\":{\"in\":\"6\",\"cr\":\"1\",\"out\":\"8\","
		      "\"web\":\"10\"}}]");
	assert_int_equal(json_integer_value(json_object_get(model_of(book, "openai", "gpt"), "ctx")), 100);
	assert_int_equal(json_integer_value(json_object_get(model_of(book, "openai", "gpt"), "max_out")), 50);
	assert_null(model_of(book, "openai", "gpt-1"));
	json_decref(book);
	json_decref(local);
}

static void the_operator_wins_over_imports(void **state)
{
	json_t *local =
	    json_of("{\"providers\":[{\"id\":\"openai\",\"models\":["
		    "{\"id\":\"gpt\",\"origin\":\"operator\",\"prices\":[{\"rates\":{\"in\":\"7\"}}]},"
		    "{\"id\":\"gpt\",\"origin\":\"import\",\"prices\":[{\"from\":\"2026-11-21\",\"rates\":{\"in\":"
		    "\"3\",\"out\":\"5\"}}]},"
		    "{\"id\":\"own\",\"origin\":\"operator\",\"match\":[[\"eq\",\"own\"],[\"eq\",\"gpt-1\"]],"
		    "\"prices\":[{\"rates\":{\"in\":\"1\"}}]}]},"
		    "{\"id\":\"mine\",\"models\":[{\"id\":\"a\",\"origin\":\"operator\",\"match\":[[\"eq\",\"a\"]],"
		    "\"prices\":[{\"rates\":{\"in\":\"1\"}}]}]}]}");
	json_t *book = laid_over(local);

	(void)state;
	assert_prices(book, "openai", "gpt",
		      "[{\"service\":\"flex\",\"rates\":{\"in\":\"0.5\"}},"
		      "{\"rates\":{\"in\":\"7\",\"out\":\"5\",\"web\":\"10\"}}]");
	/* A name that a shipped model has stays there. */
	assert_int_equal(json_array_size(json_object_get(model_of(book, "openai", "own"), "match")), 1);
	assert_non_null(model_of(book, "mine", "a"));
	json_decref(book);
	json_decref(local);
}

static void windows_are_not_lost_to_a_list_without(void **state)
{
	json_t *book = json_of(base), *notes = json_array();
	json_t *fresh = json_of("{\"providers\":[{\"id\":\"openai\",\"models\":["
				"{\"id\":\"night\",\"origin\":\"import\",\"prices\":[{\"rates\":{\"in\":\"1\"}}]},"
				"{\"id\":\"gpt\",\"origin\":\"import\",\"prices\":[{\"rates\":{\"in\":\"1\"}}]}]}]}");

	(void)state;
	assert_int_equal(import_keep_windows(book, fresh, notes), BUR_OK);
	assert_null(model_of(fresh, "openai", "night"));
	assert_non_null(model_of(fresh, "openai", "gpt"));
	assert_int_equal(json_array_size(notes), 1);
	json_decref(book);
	json_decref(fresh);
	json_decref(notes);
}

static json_t *fresh_of(const char *day, const char *rate)
{
	return json_pack("{s:[{s:s,s:[{s:s,s:s,s:[{s:s,s:{s:s}}]}]}]}", "providers", "id", "p", "models", "id", "m",
			 "origin", "import", "prices", "from", day, "rates", "in", rate);
}

static void history_builds_up(void **state)
{
	static const struct {
		const char *day, *rate;
	} imports[] = {{"2026-11-01", "1"}, {"2026-11-05", "1"}, {"2026-11-09", "2"}, {"2026-11-09", "3"}};
	json_t *local = import_local_new(), *gone;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(imports); i++) {
		json_t *fresh = fresh_of(imports[i].day, imports[i].rate);

		assert_int_equal(import_keep(local, fresh, imports[i].day), BUR_OK);
		json_decref(fresh);
	}
	assert_prices(local, "p", "m",
		      "[{\"from\":\"2026-11-01\",\"to\":\"2026-11-09\",\"rates\":{\"in\":\"1\"}},"
		      "{\"from\":\"2026-11-09\",\"rates\":{\"in\":\"3\"}}]");
	gone = json_of(
	    "{\"providers\":[{\"id\":\"p\",\"models\":[{\"id\":\"other\",\"origin\":\"import\",\"prices\":[]}]}]}");
	assert_int_equal(import_keep(local, gone, "2026-11-10"), BUR_OK);
	assert_true(json_is_true(json_object_get(model_of(local, "p", "m"), "stale")));
	json_decref(gone);
	gone = fresh_of("2026-11-11", "3"); /* it is back */
	assert_int_equal(import_keep(local, gone, "2026-11-11"), BUR_OK);
	assert_null(json_object_get(model_of(local, "p", "m"), "stale"));
	json_decref(gone);
	json_decref(local);
}

static void factors_are_exact(void **state)
{
	const struct import_factor list[] = {{"open*", "n*t", 9, 10}, {"*", "night", 1, 3}, {"*", "g*", 1, 3}};
	json_t *book = json_of(base);

	(void)state;
	assert_int_equal(import_scale(book, list, ARRAY_LEN(list)), BUR_OK);
	assert_prices(book, "openai", "night",
		      "[{\"rates\":{\"in\":\"0.9\"}},{\"tod\":[\"00:00\",\"06:00\"],\"rates\":{\"in\":\"1.8\"}}]");
	assert_prices(book, "openai", "gpt",
		      "[{\"rates\":{\"in\":\"0.333333333334\",\"out\":\"1.333333333334\",\"web\":\"3.333333333334\"}},"
		      "{\"from\":\"2026-12-24\",\"rates\":{\"in\":\"3\"}},"
		      "{\"over\":200,\"rates\":{\"in\":\"0.666666666667\",\"out\":\"2.666666666667\",\"web\":\"3."
		      "333333333334\"}},"
		      "{\"service\":\"flex\",\"rates\":{\"in\":\"0.166666666667\"}}]");
	json_decref(book);
}

static void what_the_book_says_already_is_not_kept(void **state)
{
	json_t *book = json_of(base), *local = import_local_new();
	json_t *fresh =
	    json_of("{\"providers\":[{\"id\":\"openai\",\"models\":["
		    "{\"id\":\"gpt-1\",\"origin\":\"import\",\"prices\":[{\"rates\":{\"in\":\"1.0\",\"out\":\"4\"}},"
		    "{\"over\":200,\"rates\":{\"in\":\"2\"}},{\"to\":\"2020-01-01\",\"rates\":{\"in\":\"99\"}}]},"
		    "{\"id\":\"gpt\",\"origin\":\"import\",\"prices\":[{\"rates\":{\"in\":\"1\"}},"
		    "{\"over\":300,\"rates\":{\"in\":\"2\"}}]},"
		    "{\"id\":\"night\",\"origin\":\"import\",\"prices\":[{\"rates\":{\"in\":\"1\"}},"
		    "{\"tod\":[\"00:00\",\"06:00\"],\"rates\":{\"in\":\"2\"}}]}]}]}");

	(void)state;
	assert_int_equal(import_drop_same(book, local, fresh, TODAY), BUR_OK);
	assert_null(model_of(fresh, "openai", "gpt-1"));
	assert_null(model_of(fresh, "openai", "night"));
	assert_non_null(model_of(fresh, "openai", "gpt")); /* another threshold */
	json_decref(book);
	json_decref(local);
	json_decref(fresh);
}

static void differences_are_told_and_judged(void **state)
{
	json_t *before = json_of(base), *local = import_local_new(), *after, *diff, *model;
	size_t wild = 9;

	(void)state;
	model = json_of("{\"id\":\"gpt\",\"prices\":[{\"rates\":{\"in\":\"3.1\",\"out\":\"1.9\",\"cr\":\"1\"}}]}");
	assert_int_equal(import_set(local, "openai", model), BUR_OK);
	after = laid_over(local);
	diff = import_diff(before, after, TODAY, &wild);
	assert_int_equal(wild, 2); /* more than three times; less than half */
	assert_int_equal(json_array_size(diff), 3);
	assert_string_equal(json_string_value(json_object_get(json_array_get(diff, 0), "change")), "+210.0 %");
	assert_string_equal(json_string_value(json_object_get(json_array_get(diff, 1), "change")), "-52.5 %");
	assert_string_equal(json_string_value(json_object_get(json_array_get(diff, 2), "change")), "");
	json_decref(diff);
	json_decref(after);
	model = json_of("{\"id\":\"gpt\",\"prices\":[{\"rates\":{\"in\":\"3\",\"out\":\"2\"}}]}");
	assert_int_equal(import_set(local, "openai", model), BUR_OK); /* instead of the one before */
	after = laid_over(local);
	diff = import_diff(before, after, TODAY, &wild);
	assert_int_equal(wild, 0);
	assert_int_equal(json_array_size(diff), 2);
	json_decref(diff);
	json_decref(after);
	json_decref(local);
	json_decref(before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(numbers_stay_text),
	    cmocka_unit_test(bad_documents_are_refused),
	    cmocka_unit_test(rates_are_exact),
	    cmocka_unit_test(litellm_keys),
	    cmocka_unit_test(genai_dates_windows_and_tiers),
	    cmocka_unit_test(models_dev),
	    cmocka_unit_test(openrouter),
	    cmocka_unit_test(what_is_not_known_is_refused),
	    cmocka_unit_test(hostile_shapes),
	    cmocka_unit_test(an_import_begins_today_and_keeps_the_rest),
	    cmocka_unit_test(the_operator_wins_over_imports),
	    cmocka_unit_test(windows_are_not_lost_to_a_list_without),
	    cmocka_unit_test(history_builds_up),
	    cmocka_unit_test(factors_are_exact),
	    cmocka_unit_test(what_the_book_says_already_is_not_kept),
	    cmocka_unit_test(differences_are_told_and_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
