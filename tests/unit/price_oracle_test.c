/* price_oracle_test - the shipped book against the acceptance prices (path in BURSAR_PRICE_ORACLE), exact to the
 * last digit. Skipped without the variable. The book is BURSAR_PRICES or conf/prices.json. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>

#include "base/amount.h"
#include "base/calendar.h"
#include "base/error.h"
#include "price/price.h"

#define BOOK_MAX (1 << 20)

static struct price_book *load(void)
{
	const char *path = getenv("BURSAR_PRICES");
	char *mem = malloc(BOOK_MAX), err[256] = "";
	struct price_book *b = NULL;
	FILE *f = fopen(path ? path : "conf/prices.json", "r");
	size_t n;

	assert_non_null(mem);
	assert_non_null(f);
	n = fread(mem, 1, BOOK_MAX, f);
	(void)fclose(f);
	if (price_book_parse(slice_mem(mem, n), &b, err, sizeof(err)) < 0)
		fail_msg("%s", err);
	free(mem);
	return b;
}

/* False: a unit that no metered call of this room reports. */
static bool usage_of(json_t *units, struct quantities *u)
{
	const char *key;
	json_t *v;

	memset(u, 0, sizeof(*u));
	u->n[PRICE_REQ] = 1;
	json_object_foreach(units, key, v)
	{
		const struct {
			const char *key;
			uint64_t *to;
		} map[] = {
		    {"input_tokens", &u->n[PRICE_IN]},
		    {"output_tokens", &u->n[PRICE_OUT]},
		    {"cache_read_tokens", &u->n[PRICE_CR]},
		    {"cache_write_tokens", &u->n[PRICE_CW]},
		    {"cache_write_1h_tokens", &u->n[PRICE_CW1H]},
		    {"web_searches", &u->n[PRICE_WEB]},
		    {"storage_searches", &u->n[PRICE_FILE]},
		    {"input_audio_tokens", &u->n[PRICE_IN_AUDIO]},
		    {"cache_audio_read_tokens", &u->n[PRICE_CR_AUDIO]},
		    {"output_audio_tokens", &u->n[PRICE_OUT_AUDIO]},
		    {"input_image_tokens", &u->n[PRICE_IN_IMAGE]},
		    {"output_image_tokens", &u->n[PRICE_OUT_IMAGE]},
		};
		size_t i;

		for (i = 0; i < sizeof(map) / sizeof(map[0]) && strcmp(map[i].key, key) != 0; i++)
			;
		if (i == sizeof(map) / sizeof(map[0]))
			return false;
		*map[i].to = (uint64_t)json_integer_value(v);
	}
	return true;
}

static const char *text(json_t *c, const char *key)
{
	const char *s = json_string_value(json_object_get(c, key));

	return s ? s : "";
}

/* 1 = right, 0 = not ours, -1 = wrong */
static int run_line(const struct price_book *b, json_t *c)
{
	const char *provider = text(c, "provider");
	const struct price_model *m;
	struct price_terms terms = {0};
	struct cost_sum sum;
	struct quantities u;
	int64_t at_ns;
	char usd[64] = "";

	if (strcmp(provider, "openai") != 0 && strcmp(provider, "anthropic") != 0 && strcmp(provider, "google") != 0)
		return 0;
	/* left out of the book: they have video prices, and no usage counts video apart */
	if (strncmp(text(c, "matched"), "gemini-3.1-flash-live", 21) == 0 ||
	    strncmp(text(c, "matched"), "gemini-omni", 11) == 0)
		return 0;
	if (!usage_of(json_object_get(c, "usage"), &u))
		return 0;
	m = price_find(b, slice_of(provider), slice_of(text(c, "model")), NULL);
	if (!m) {
		printf("%s: no price for %s\n", text(c, "id"), text(c, "model"));
		return -1;
	}
	assert_int_equal(time_parse(slice_of(text(c, "at")), &at_ns), BUR_OK);
	terms.at_s = at_ns / 1000000000;
	assert_int_equal(price_cost(m, &u, &terms, &sum), BUR_OK);
	assert_int_equal(cost_format_usd(&sum, usd, sizeof(usd)), BUR_OK);
	if (strcmp(usd, text(c, "expect_usd")) == 0 && strcmp(price_model_id(m), text(c, "matched")) == 0)
		return 1;
	printf("%s: %s (%s) costs %s, expected %s (%s)\n", text(c, "id"), text(c, "model"), price_model_id(m), usd,
	       text(c, "expect_usd"), text(c, "matched"));
	return -1;
}

static void test_oracle(void **state)
{
	const char *path = getenv("BURSAR_PRICE_ORACLE");
	size_t right = 0, wrong = 0, cap = 0;
	struct price_book *b;
	char *line = NULL;
	FILE *f;

	(void)state;
	if (!path)
		skip();
	b = load();
	f = fopen(path, "r");
	assert_non_null(f);
	while (getline(&line, &cap, f) > 0) {
		json_t *c = json_loads(line, 0, NULL);
		int r = run_line(b, c);

		right += r > 0;
		wrong += r < 0;
		json_decref(c);
	}
	free(line);
	(void)fclose(f);
	price_book_unref(b);
	printf("%zu prices right, %zu wrong\n", right, wrong);
	assert_true(right > 0);
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_oracle)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
