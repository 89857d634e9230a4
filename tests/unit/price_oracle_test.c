/* price_oracle_test - the shipped book against the acceptance prices (path in BURSAR_PRICE_ORACLE), exact to the
 * last digit. The book is the file in BURSAR_PRICES. Skipped without either. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include <jansson.h>

#include "base/amount.h"
#include "base/calendar.h"
#include "base/error.h"
#include "price/price.h"

#define BOOK_MAX (16 << 20)

static struct price_book *load(const char *path)
{
	char *mem = malloc(BOOK_MAX), err[256] = "";
	struct price_book *b = NULL;
	FILE *f = fopen(path, "r");
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

static const struct {
	const char *key;
	enum price_unit unit;
	unsigned per; /* of our units in one of theirs */
} map[] = {
    {"input_tokens", PRICE_IN, 1},
    {"output_tokens", PRICE_OUT, 1},
    {"cache_read_tokens", PRICE_CR, 1},
    {"cache_write_tokens", PRICE_CW, 1},
    {"cache_write_1h_tokens", PRICE_CW1H, 1},
    {"input_audio_tokens", PRICE_IN_AUDIO, 1},
    {"cache_audio_read_tokens", PRICE_CR_AUDIO, 1},
    {"output_audio_tokens", PRICE_OUT_AUDIO, 1},
    {"input_image_tokens", PRICE_IN_IMAGE, 1},
    {"cache_image_read_tokens", PRICE_CR_IMAGE, 1},
    {"output_image_tokens", PRICE_OUT_IMAGE, 1},
    {"output_reasoning_tokens", PRICE_OUT_REASONING, 1},
    {"output_citation_tokens", PRICE_OUT_CITATION, 1},
    {"audio_seconds", PRICE_AUDIO_MS, 1000},
    {"input_audio_seconds", PRICE_IN_AUDIO_MS, 1000},
    {"input_document_pages", PRICE_PAGES, 1},
    {"input_annotated_document_pages", PRICE_PAGES_ANNOTATED, 1},
    {"web_searches", PRICE_WEB, 1},
    {"storage_searches", PRICE_FILE, 1},
};

static void usage_of(json_t *units, struct quantities *q)
{
	const char *key;
	json_t *v;

	memset(q, 0, sizeof(*q));
	q->n[PRICE_REQ] = 1;
	json_object_foreach(units, key, v)
	{
		size_t i;

		for (i = 0; i < ARRAY_LEN(map) && strcmp(map[i].key, key) != 0; i++)
			;
		if (i == ARRAY_LEN(map))
			fail_msg("unknown unit %s", key);
		q->n[map[i].unit] = (uint64_t)llround(json_number_value(v) * map[i].per);
	}
}

static const char *text(json_t *c, const char *key)
{
	const char *s = json_string_value(json_object_get(c, key));

	return s ? s : "";
}

/* A picodollar more or less, where the expected price is rounded. */
static bool about(const char *a, const char *b)
{
	int64_t x, y;

	assert_int_equal(decimal_parse(slice_of(a), 12, true, &x), BUR_OK);
	assert_int_equal(decimal_parse(slice_of(b), 12, true, &y), BUR_OK);
	return x - y <= 1 && y - x <= 1;
}

static bool run_line(const struct price_book *b, json_t *c)
{
	const struct price_model *m = price_find(b, slice_of(text(c, "provider")), slice_of(text(c, "model")), NULL);
	bool exact = json_is_true(json_object_get(c, "exact")), right;
	struct price_terms terms = {0};
	struct cost_sum sum;
	struct quantities q;
	int64_t at_ns;
	char usd[64] = "";

	if (!m) {
		printf("%s: no price for %s %s\n", text(c, "id"), text(c, "provider"), text(c, "model"));
		return false;
	}
	usage_of(json_object_get(c, "usage"), &q);
	assert_int_equal(time_parse(slice_of(text(c, "at")), &at_ns), BUR_OK);
	terms.at_s = at_ns / 1000000000;
	assert_int_equal(price_cost(m, &q, &terms, &sum), BUR_OK);
	assert_int_equal(cost_format_usd(&sum, usd, sizeof(usd)), BUR_OK);
	right = exact ? strcmp(usd, text(c, "expect_usd")) == 0 : about(usd, text(c, "expect_usd"));
	if (!right || strcasecmp(price_model_id(m), text(c, "matched")) != 0) {
		printf("%s: %s (%s) costs %s, expected %s (%s)\n", text(c, "id"), text(c, "model"), price_model_id(m),
		       usd, text(c, "expect_usd"), text(c, "matched"));
		return false;
	}
	return true;
}

static void test_oracle(void **state)
{
	const char *path = getenv("BURSAR_PRICE_ORACLE"), *prices = getenv("BURSAR_PRICES");
	size_t right = 0, wrong = 0, cap = 0;
	struct price_book *b;
	char *line = NULL;
	FILE *f;

	(void)state;
	if (!path || !prices)
		skip();
	b = load(prices);
	f = fopen(path, "r");
	assert_non_null(f);
	while (getline(&line, &cap, f) > 0) {
		json_t *c = json_loads(line, 0, NULL);
		bool good = run_line(b, c);

		right += good;
		wrong += !good;
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
