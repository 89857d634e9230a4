/* price_price_test - a small book of its own: choice of rows, leaves, terms; random books for the dearest cost. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/amount.h"
#include "tests/unit/price_help.h"

#define SECONDS_PER_DAY INT64_C(86400)
/* Midnight UTC */
#define AT_2026_01_01 INT64_C(1767225600)
#define AT_2026_06_01 INT64_C(1780272000)

static const char book_json[] =
    "{\"format\":\"bursar-prices/1\",\"version\":7,\"currency\":\"USD\",\"providers\":[{\"id\":\"acme\","
    "\"multipliers\":{\"flex\":\"0.5\",\"priority\":\"2\",\"speed:fast\":\"6\",\"geo:us\":\"1.1\"},\"models\":["
    "{\"id\":\"basic\",\"match\":[[\"eq\",\"basic\"]],\"prices\":[{\"rates\":{\"in\":\"1\",\"out\":\"2\"}}]},"
    "{\"id\":\"full\",\"match\":[[\"eq\",\"full\"]],\"prices\":[{\"rates\":{\"in\":\"10\",\"out\":\"20\",\"cr\":\"1\","
    "\"cw\":\"12.5\",\"cw1h\":\"20\",\"in_audio\":\"40\",\"cr_audio\":\"4\",\"out_audio\":\"80\",\"in_image\":\"15\","
    "\"out_image\":\"60\",\"req\":\"1\",\"web\":\"10\",\"file\":\"2.5\"}}]},"
    "{\"id\":\"joins\",\"match\":[[\"eq\",\"joins\"]],\"prices\":[{\"rates\":{\"in\":\"10\",\"cr\":\"1\",\"in_audio\":"
    "\"40\"}}"
    "]},"
    "{\"id\":\"tiered\",\"match\":[[\"eq\",\"tiered\"]],\"prices\":[{\"from\":\"2026-01-01\",\"rates\":{\"in\":\"1\","
    "\"out\":\"1\"}},"
    "{\"from\":\"2026-01-01\",\"over\":1000,\"rates\":{\"in\":\"3\",\"out\":\"3\"}},"
    "{\"from\":\"2026-01-01\",\"tod\":[\"22:00\",\"02:00\"],\"rates\":{\"in\":\"5\",\"out\":\"5\"}},"
    "{\"from\":\"2026-06-01\",\"to\":\"2026-07-01\",\"rates\":{\"in\":\"2\",\"out\":\"2\"}}]},"
    "{\"id\":\"twice\",\"match\":[[\"eq\",\"twice\"]],\"prices\":[{\"rates\":{\"in\":\"1\"}},{\"rates\":{\"in\":\"7\"}}"
    "]},"
    "{\"id\":\"own-flex\",\"match\":[[\"eq\",\"own-flex\"]],\"prices\":[{\"rates\":{\"in\":\"1\",\"out\":\"1\",\"web\":"
    "\"10\"}"
    "},{\"service\":\"flex\",\"rates\":{\"in\":\"0.3\",\"out\":\"0.3\"}}]},"
    "{\"id\":\"regions\",\"multipliers\":{\"residency\":\"1.1\",\"priority\":\"1.75\"},\"match\":[[\"eq\",\"regions\"]]"
    ","
    "\"prices\":[{\"rates\":{\"in\":\"10\",\"req\":\"1\"}},{\"region\":\"us\",\"rates\":{\"in\":\"13\"}}]},"
    "{\"id\":\"media\",\"min_audio_ms\":10000,\"match\":[[\"eq\",\"media\"]],\"prices\":[{\"rates\":{\"audio_ms\":\"3."
    "6\","
    "\"in_audio_ms\":\"7.2\",\"pages\":\"2\",\"pages_annotated\":\"3\",\"chars\":\"15\",\"img\":\"40\",\"sec\":\"100\","
    "\"px\":\"1000\",\"msgs\":\"4\",\"rerank\":\"2\",\"code\":\"30\",\"social\":\"5\"}}]}"
    "]}]}";

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

static void test_leaves(void **state)
{
	struct price_book *b = book_of(book_json);
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
	/* cached audio without a price of its own costs the dearer of cached and audio, and is not billed twice */
	q = Q([PRICE_IN] = 100, [PRICE_CR] = 60, [PRICE_IN_AUDIO] = 50, [PRICE_CR_AUDIO] = 50);
	assert_string_equal(cost(find(b, "joins"), q, 0), "0.00241");
	price_book_unref(b);
}

static void test_contradictions(void **state)
{
	struct price_book *b = book_of(book_json);
	const struct price_model *full = find(b, "full"), *basic = find(b, "basic");

	(void)state;
	assert_string_equal(cost(full, Q([PRICE_IN] = 10, [PRICE_CR] = 1000), 0), "0.001");
	/* a part of a whole that is not told, with and without a price of its own */
	assert_string_equal(cost(full, Q([PRICE_CW1H] = 1000), 0), "0.02");
	assert_string_equal(cost(basic, Q([PRICE_CW1H] = 1000), 0), "0.001");
	assert_string_equal(cost(basic, Q([PRICE_CW5M] = 600, [PRICE_CW1H] = 400, [PRICE_CR] = 1000), 0), "0.002");
	assert_string_equal(cost(basic, Q([PRICE_OUT] = 5, [PRICE_OUT_REASONING] = 1000), 0), "0.002");
	price_book_unref(b);
}

static void test_media(void **state)
{
	struct price_book *b = book_of(book_json);
	const struct price_model *m = find(b, "media");

	(void)state;
	assert_string_equal(cost(m, Q([PRICE_AUDIO_MS] = 3600000), 0), "3.6");
	assert_string_equal(cost(m, Q([PRICE_AUDIO_MS] = 12345), 0), "0.012345");
	assert_string_equal(cost(m, Q([PRICE_AUDIO_MS] = 1), 0), "0.01"); /* ten seconds at least */
	assert_string_equal(cost(m, Q([PRICE_AUDIO_MS] = 20000, [PRICE_IN_AUDIO_MS] = 12000), 0), "0.032");
	assert_string_equal(cost(m, Q([PRICE_IN_AUDIO_MS] = 500), 0), "0.02");
	assert_string_equal(cost(m, Q([PRICE_PAGES] = 10, [PRICE_PAGES_ANNOTATED] = 4), 0), "0.024");
	assert_string_equal(cost(m, Q([PRICE_CHARS] = 1234), 0), "0.01851");
	assert_string_equal(cost(m, Q([PRICE_IMAGES] = 2, [PRICE_VIDEO_S] = 8, [PRICE_PIXELS] = 1048576), 0),
			    "1.928576");
	assert_string_equal(
	    cost(m, Q([PRICE_MESSAGES] = 3, [PRICE_RERANK] = 1, [PRICE_CODE] = 1, [PRICE_SOCIAL] = 1), 0), "0.049");
	assert_string_equal(cost(m, Q([PRICE_IN] = 1000000), 0), "0"); /* nothing is asked for tokens */
	price_book_unref(b);
}

static void test_rows(void **state)
{
	struct price_book *b = book_of(book_json);
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
	assert_string_equal(cost(t, Q([PRICE_CR] = 1001), noon), "0.003003"); /* cached input counts too */
	assert_string_equal(cost(t, q, AT_2026_01_01 + 22 * 3600), "0.005");
	assert_string_equal(cost(t, q, AT_2026_01_01 + 7199), "0.005");
	assert_string_equal(cost(t, q, AT_2026_01_01 + 7200), "0.001");
	/* the newest date wins over an older tier; the end of it is exclusive */
	q = Q([PRICE_IN] = 5000);
	assert_string_equal(cost(t, q, AT_2026_06_01 + 12 * 3600), "0.01");
	assert_string_equal(cost(t, q, AT_2026_06_01 + 30 * 86400 + 12 * 3600), "0.015");
	/* of equals the later in the book */
	assert_string_equal(cost(find(b, "twice"), q, 0), "0.035");
	price_book_unref(b);
}

static void test_terms(void **state)
{
	const struct price_terms flex = {.service = SERVICE_FLEX}, priority = {.service = SERVICE_PRIORITY};
	const struct price_terms batch = {.service = SERVICE_BATCH}, fast_us = {.fast = true, .us = true};
	struct price_book *b = book_of(book_json);
	const struct price_model *basic = find(b, "basic");
	const struct quantities *q = Q([PRICE_IN] = 1000);

	(void)state;
	/* a row of its own, else the multiplier, else standard */
	assert_string_equal(cost_on(find(b, "own-flex"), q, &flex), "0.0003");
	assert_string_equal(cost_on(basic, q, &flex), "0.0005");
	assert_string_equal(cost_on(basic, q, &batch), "0.001");
	assert_string_equal(cost_on(basic, q, &fast_us), "0.0066");
	q = Q([PRICE_IN] = 1000, [PRICE_REQ] = 1);
	assert_string_equal(cost_on(basic, q, &priority), "0.002");
	assert_string_equal(cost_on(find(b, "full"), q, &priority), "0.021"); /* the fee is not doubled */
	/* what a tier's own row does not name has its standard price */
	assert_string_equal(cost_on(find(b, "own-flex"), Q([PRICE_IN] = 1000, [PRICE_WEB] = 1), &flex), "0.0103");
	price_book_unref(b);
}

/* Calls that are priced together: tiers go by the largest of them. */
static void test_sums_of_calls(void **state)
{
	struct price_terms at = {.at_s = AT_2026_01_01 + 12 * 3600, .call_input = 1000};
	const struct price_doubt doubt = {.until_s = at.at_s};
	struct price_book *b = book_of(book_json);
	const struct price_model *t = find(b, "tiered");
	const struct quantities *q = Q([PRICE_IN] = 100000);
	struct cost_sum worst;
	int64_t nanousd;

	(void)state;
	assert_string_equal(cost_on(t, q, &at), "0.1");
	assert_int_equal(price_worst(t, q, &at, &doubt, &worst), BUR_OK);
	assert_int_equal(cost_ceil_nanousd(&worst, &nanousd), BUR_OK);
	assert_int_equal(nanousd, 100000000);
	at.call_input = 1001;
	assert_string_equal(cost_on(t, q, &at), "0.3");
	assert_int_equal(price_worst(t, q, &at, &doubt, &worst), BUR_OK);
	assert_int_equal(cost_ceil_nanousd(&worst, &nanousd), BUR_OK);
	assert_int_equal(nanousd, 300000000);
	/* more than there is in all says nothing */
	at.call_input = UINT64_MAX;
	assert_string_equal(cost_on(t, Q([PRICE_IN] = 1000), &at), "0.001");
	price_book_unref(b);
}

static void test_regions(void **state)
{
	const struct price_terms us = {.us = true}, host = {.residency = true};
	const struct price_terms both = {.us = true, .residency = true, .service = SERVICE_PRIORITY};
	struct price_book *b = book_of(book_json);
	const struct price_model *m = find(b, "regions");
	const struct quantities *q = Q([PRICE_IN] = 1000, [PRICE_REQ] = 1);

	(void)state;
	assert_string_equal(cost(m, q, 0), "0.011");
	assert_string_equal(cost_on(m, q, &host), "0.012");
	/* a row of the region instead of the multiplier; it names no fee */
	assert_string_equal(cost_on(m, q, &us), "0.013");
	assert_string_equal(cost_on(m, Q([PRICE_IN] = 1000), &both), "0.025025"); /* 13 * 1.75 * 1.1 */
	price_book_unref(b);
}

static void test_overflow(void **state)
{
	const struct quantities *q = Q([PRICE_IN] = UINT64_MAX, [PRICE_CR] = UINT64_MAX, [PRICE_CW] = 1);
	const struct price_terms terms = {0};
	const struct price_doubt doubt = {0};
	struct price_book *b = book_of(book_json);
	struct cost_sum sum;

	(void)state;
	assert_int_equal(price_cost(find(b, "full"), q, &terms, &sum), BUR_OVERFLOW);
	q = Q([PRICE_IN] = UINT64_MAX, [PRICE_OUT] = UINT64_MAX);
	assert_true(price_worst(find(b, "full"), q, &terms, &doubt, &sum) == BUR_OK); /* fits 128 bits */
	price_book_unref(b);
}

/* Prices so high that a sum of them has no room: only in a tier, only in the evening, only from February on, only on
 * the priority tier, and not even text is free of them. */
static const char dear_json[] =
    "{\"format\":\"bursar-prices/1\",\"currency\":\"USD\",\"providers\":[{\"id\":\"acme\",\"models\":["
    "{\"id\":\"always\",\"match\":[[\"eq\",\"always\"]],\"prices\":[{\"rates\":{\"in\":\"10000\"}}]},"
    "{\"id\":\"tier\",\"match\":[[\"eq\",\"tier\"]],\"prices\":[{\"rates\":{\"in\":\"1\"}},{\"over\":10,\"rates\":"
    "{\"in\":\"10000\"}},{\"over\":20,\"rates\":{\"in\":\"10000\"}}]},"
    "{\"id\":\"evening\",\"match\":[[\"eq\",\"evening\"]],\"prices\":[{\"rates\":{\"in\":\"1\"}},{\"tod\":[\"22:00\","
    "\"23:00\"],\"rates\":{\"in\":\"10000\"}}]},"
    "{\"id\":\"february\",\"match\":[[\"eq\",\"february\"]],\"prices\":[{\"rates\":{\"in\":\"1\"}},{\"from\":"
    "\"2026-02-01\",\"rates\":{\"in\":\"10000\"}}]},"
    "{\"id\":\"priority\",\"match\":[[\"eq\",\"priority\"]],\"prices\":[{\"rates\":{\"in\":\"1\"}},{\"service\":"
    "\"priority\",\"rates\":{\"in\":\"10000\"}}]},"
    "{\"id\":\"gift\",\"match\":[[\"eq\",\"gift\"]],\"prices\":[{\"rates\":{\"in\":\"1\",\"cr\":\"0\",\"in_audio\":"
    "\"0\"}}]}"
    "]}]}";

static void test_sums_without_room(void **state)
{
	static const char *const names[] = {"always", "tier", "evening", "february", "priority"};
	const struct quantities *q = Q([PRICE_IN] = UINT64_MAX);
	const struct price_terms terms = {.at_s = AT_2026_01_01};
	const struct price_doubt doubt = {.until_s = AT_2026_01_01 + 60 * SECONDS_PER_DAY, .may_priority = true};
	struct price_book *b = NULL;
	struct cost_sum sum = {.num = 7};
	char err[256] = "";

	(void)state;
	if (price_book_parse(SLICE(dear_json), &b, err, sizeof(err)) < 0)
		fail_msg("%s", err);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_int_equal(price_worst(find(b, names[i]), q, &terms, &doubt, &sum), BUR_OVERFLOW);
	assert_int_equal(price_cost(find(b, "always"), q, &terms, &sum), BUR_OVERFLOW);
	assert_true(sum.num == 7);
	/* More is taken out of the whole than a number holds: nothing of it is left to be billed. */
	q = Q([PRICE_CR] = UINT64_MAX / 2 + 1, [PRICE_IN_AUDIO] = UINT64_MAX / 2 + 1);
	assert_string_equal(cost(find(b, "gift"), q, 0), "0");
	price_book_unref(b);
}

/* --- dearest cost ------------------------------------------------------------------------------------------------- */

static const char *worst(const struct price_model *m, const struct quantities *q, const struct price_terms *t,
			 const struct price_doubt *d)
{
	static char text[64];
	struct cost_sum sum;

	assert_int_equal(price_worst(m, q, t, d, &sum), BUR_OK);
	assert_int_equal(cost_format_usd(&sum, text, sizeof(text)), BUR_OK);
	return text;
}

static void test_worst(void **state)
{
	struct price_book *b = book_of(book_json);
	const struct price_model *full = find(b, "full"), *t = find(b, "tiered"), *basic = find(b, "basic");
	const struct quantities *q = Q([PRICE_IN] = 1000, [PRICE_OUT] = 100, [PRICE_REQ] = 1);
	struct price_terms terms = {.at_s = AT_2026_01_01 + 12 * 3600};
	struct price_doubt doubt = {.until_s = terms.at_s};
	struct cost_sum sum;

	(void)state;
	assert_string_equal(worst(full, q, &terms, &doubt), "0.013");
	doubt.may_write_cache = true;
	assert_string_equal(worst(full, q, &terms, &doubt), "0.0155");
	doubt = (struct price_doubt){.until_s = terms.at_s, .may_write_cache_1h = true};
	assert_string_equal(worst(full, q, &terms, &doubt), "0.023");
	doubt.may_write_cache = true;
	assert_string_equal(worst(full, q, &terms, &doubt), "0.023");
	q = Q([PRICE_IN] = 1000, [PRICE_IN_AUDIO] = 1, [PRICE_OUT] = 100, [PRICE_OUT_IMAGE] = 1);
	assert_string_equal(worst(full, q, &terms, &doubt), "0.046");
	doubt.may_priority = true;
	assert_string_equal(worst(full, q, &terms, &doubt), "0.092");
	terms.service = SERVICE_FLEX;
	doubt.may_priority = false;
	assert_string_equal(worst(full, q, &terms, &doubt), "0.023");
	terms.service = SERVICE_STANDARD;
	/* tiers that can be reached, windows and dates that come while it may still run */
	assert_string_equal(worst(t, Q([PRICE_IN] = 1000), &terms, &doubt), "0.001");
	assert_string_equal(worst(t, Q([PRICE_IN] = 1001), &terms, &doubt), "0.003003");
	doubt.until_s = AT_2026_01_01 + 22 * 3600 - 1;
	assert_string_equal(worst(t, Q([PRICE_IN] = 1000), &terms, &doubt), "0.001");
	doubt.until_s++;
	assert_string_equal(worst(t, Q([PRICE_IN] = 1000), &terms, &doubt), "0.005");
	terms.at_s = AT_2026_06_01 - 40000;
	doubt.until_s = terms.at_s + 1;
	assert_string_equal(worst(t, Q([PRICE_IN] = 10), &terms, &doubt), "0.00001");
	/* no price yet, but one within the time */
	terms.at_s = AT_2026_01_01 - 10;
	doubt.until_s = AT_2026_01_01 - 1;
	assert_int_equal(price_worst(t, Q([PRICE_IN] = 1), &terms, &doubt, &sum), BUR_NOTFOUND);
	doubt.until_s = AT_2026_01_01;
	assert_string_equal(worst(t, Q([PRICE_IN] = 10), &terms, &doubt), "0.00005");
	assert_string_equal(worst(basic, Q([PRICE_IN_IMAGE] = 10), &terms, &doubt), "0.00001");
	assert_string_equal(worst(find(b, "media"), Q([PRICE_AUDIO_MS] = 1), &terms, &doubt), "0.01");
	price_book_unref(b);
}

/* --- any book, any call ------------------------------------------------------------------------------------------- */

static const char *const keys[PRICE_UNIT_COUNT] = {
#define X(uc, key, per, parent, parent2) [PRICE_##uc] = key,
    PRICE_UNITS(X)
#undef X
};

static uint64_t below(uint64_t n)
{
	return n > 0 ? (uint64_t)rand() % n : 0;
}

static uint64_t least_of(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static size_t put(char *dst, size_t n, size_t size, const char *fmt, ...) PRINTF_LIKE(4, 5);
static size_t put(char *dst, size_t n, size_t size, const char *fmt, ...)
{
	va_list ap;
	int w;

	va_start(ap, fmt);
	w = vsnprintf(dst + n, size - n, fmt, ap);
	va_end(ap);
	assert_true(w >= 0 && (size_t)w < size - n);
	return n + (size_t)w;
}

static size_t put_row(char *dst, size_t n, size_t size)
{
	static const char *const services[] = {"standard", "standard", "flex", "priority", "batch"};
	static const char *const regions[] = {"any", "any", "us", "residency"};

	n = put(dst, n, size, "{\"service\":\"%s\",\"region\":\"%s\",\"over\":%d", services[below(5)],
		regions[below(4)], below(2) ? (int)below(500) : 0);
	if (below(3) == 0)
		n = put(dst, n, size, ",\"from\":\"2026-01-%02d\"", 1 + (int)below(20));
	if (below(4) == 0)
		n = put(dst, n, size, ",\"to\":\"2026-01-%02d\"", 21 + (int)below(10));
	if (below(3) == 0)
		n = put(dst, n, size, ",\"tod\":[\"%02d:00\",\"%02d:30\"]", (int)below(24), (int)below(24));
	n = put(dst, n, size, ",\"rates\":{\"in\":\"%d.%d\"", (int)below(9), (int)below(10));
	for (unsigned u = 1; u < PRICE_UNIT_COUNT; u++)
		if (below(3) == 0)
			n = put(dst, n, size, ",\"%s\":\"%d.%02d\"", keys[u], (int)below(9), (int)below(100));
	return put(dst, n, size, "}}");
}

static struct price_book *random_book(void)
{
	static char text[1 << 16];
	struct price_book *b = NULL;
	char err[256] = "";
	size_t n =
	    put(text, 0, sizeof(text),
		"{\"format\":\"bursar-prices/1\",\"currency\":\"USD\",\"providers\":[{\"id\":\"acme\","
		"\"multipliers\":{\"priority\":\"%d.5\",\"flex\":\"0.%d\",\"speed:fast\":\"0.%d\",\"geo:us\":\"1.%d\"},"
		"\"models\":[{\"id\":\"m\",\"min_audio_ms\":%d,\"match\":[[\"eq\",\"m\"]],\"prices\":[",
		(int)below(3), 1 + (int)below(9), 1 + (int)below(9), (int)below(10), (int)below(300));

	for (int i = (int)below(6); i >= 0; i--) {
		n = put_row(text, n, sizeof(text));
		n = put(text, n, sizeof(text), i > 0 ? "," : "]}]}]}");
	}
	if (price_book_parse(slice_mem(text, n), &b, err, sizeof(err)) < 0)
		fail_msg("%s in %s", err, text);
	return b;
}

/* Splits `total` over the units of a range, and leaves some of it to none of them. */
static void split(struct quantities *q, unsigned first, unsigned last, uint64_t total)
{
	for (unsigned u = first; u <= last; u++) {
		q->n[u] = below(2) ? below(total + 1) : 0;
		total -= q->n[u];
	}
}

/* Quantities that do not contradict each other, of what the request and the doubt allow: cached input is cut from each
 * kind of input, what is written is plain. */
static void random_use(const struct quantities *most, const struct price_doubt *d, struct quantities *q)
{
	uint64_t plain;

	*q = (struct quantities){{0}};
	for (unsigned u = PRICE_CHARS; u < PRICE_UNIT_COUNT; u++)
		q->n[u] = below(most->n[u] + 1);
	q->n[PRICE_IN_AUDIO_MS] = least_of(most->n[PRICE_IN_AUDIO_MS], below(q->n[PRICE_AUDIO_MS] + 1));
	q->n[PRICE_OUT_AUDIO_MS] =
	    least_of(most->n[PRICE_OUT_AUDIO_MS], below(q->n[PRICE_AUDIO_MS] - q->n[PRICE_IN_AUDIO_MS] + 1));
	q->n[PRICE_PAGES_ANNOTATED] = least_of(most->n[PRICE_PAGES_ANNOTATED], below(q->n[PRICE_PAGES] + 1));
	q->n[PRICE_IN] = below(most->n[PRICE_IN] + 1);
	q->n[PRICE_OUT] = below(most->n[PRICE_OUT] + 1);
	plain = q->n[PRICE_IN];
	for (unsigned i = 0; i < 4; i++) {
		unsigned kind = PRICE_IN_AUDIO + i, cached = PRICE_CR_AUDIO + i;

		if (most->n[kind] == 0 && kind != PRICE_IN_TEXT)
			continue;
		q->n[kind] = below(plain + 1);
		q->n[cached] = below(q->n[kind] + 1);
		q->n[PRICE_CR] += q->n[cached];
		plain -= q->n[kind];
	}
	if (d->may_write_cache) {
		q->n[PRICE_CW] = below(plain + 1);
		q->n[PRICE_CW1H] = d->may_write_cache_1h ? below(q->n[PRICE_CW] + 1) : 0;
		q->n[PRICE_CW5M] = below(q->n[PRICE_CW] - q->n[PRICE_CW1H] + 1);
		plain -= q->n[PRICE_CW];
	}
	q->n[PRICE_CR] += below(plain + 1);
	split(q, PRICE_OUT_AUDIO, PRICE_OUT_CITATION, q->n[PRICE_OUT]);
	for (unsigned u = PRICE_OUT_AUDIO; u <= PRICE_OUT_VIDEO; u++)
		q->n[u] = most->n[u] > 0 ? q->n[u] : 0;
}

static void random_most(struct quantities *q)
{
	*q = (struct quantities){{0}};
	for (unsigned u = 0; u < PRICE_UNIT_COUNT; u++)
		q->n[u] = below(3) ? below(1000) : 0;
	q->n[PRICE_IN] += 1000; /* parts are marks here: any of it may be them */
	q->n[PRICE_OUT] += 1000;
	q->n[PRICE_AUDIO_MS] += 1000;
	q->n[PRICE_PAGES] += 1000;
}

static void test_worst_covers_cost(void **state)
{
	size_t priced = 0;

	(void)state;
	srand(1);
	for (int i = 0; i < 3000; i++) {
		struct price_book *b = random_book();
		const struct price_model *m = find(b, "m");

		for (int k = 0; k < 20; k++) {
			struct price_terms t = {.at_s = AT_2026_01_01 + (int64_t)below(35 * 86400),
						.service = (enum price_service)below(SERVICE_COUNT),
						.fast = below(2),
						.us = below(2),
						.residency = below(2)};
			struct price_doubt d = {.until_s = t.at_s + (int64_t)below(below(2) ? 600 : 4 * 86400),
						.may_priority = below(2),
						.may_write_cache = below(2)};
			struct cost_sum dearest, sum;
			struct quantities most, q;

			d.may_write_cache_1h = d.may_write_cache && below(2);
			random_most(&most);
			random_use(&most, &d, &q);
			int r = price_worst(m, &most, &t, &d, &dearest);

			t.at_s += (int64_t)below((uint64_t)(d.until_s - t.at_s) + 1);
			if (d.may_priority && below(2))
				t.service = SERVICE_PRIORITY;
			if (price_cost(m, &q, &t, &sum) < 0)
				continue;
			assert_int_equal(r, BUR_OK);
			assert_true(sum.num <= dearest.num);
			priced++;
		}
		price_book_unref(b);
	}
	assert_true(priced > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_leaves),
	    cmocka_unit_test(test_contradictions),
	    cmocka_unit_test(test_media),
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_terms),
	    cmocka_unit_test(test_regions),
	    cmocka_unit_test(test_overflow),
	    cmocka_unit_test(test_sums_of_calls),
	    cmocka_unit_test(test_sums_without_room),
	    cmocka_unit_test(test_worst),
	    cmocka_unit_test(test_worst_covers_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
