/* tokens_cases_test - the acceptance cases of token counting (path in BURSAR_TOKEN_CASES): counts and ids, whole and in
 * pieces. Skipped without the variable or the vocabularies; tokens_count_test has cases of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <jansson.h>

#include "tokens/tokens.h"

#define IDS_MAX 20000

static unsigned n_cases, n_wrong;

static void wrong(json_t *c, enum tok_encoding e, const char *what, uint64_t got, uint64_t want)
{
	n_wrong++;
	print_error("%s %s %s: %llu, expected %llu\n", json_string_value(json_object_get(c, "id")),
		    tok_encoding_name(e), what, (unsigned long long)got, (unsigned long long)want);
}

static void check_ids(json_t *c, enum tok_encoding e, struct slice text, uint64_t want_n)
{
	static uint32_t ids[IDS_MAX];
	char key[32];
	json_t *want;
	size_t n = tok_encode(e, text.p, text.n, ids, IDS_MAX), i;

	if (n != want_n)
		wrong(c, e, "tok_encode", n, want_n);
	(void)snprintf(key, sizeof(key), "%s_ids", tok_encoding_name(e));
	want = json_object_get(c, key);
	for (i = 0; i < json_array_size(want) && i < n; i++)
		if ((json_int_t)ids[i] != json_integer_value(json_array_get(want, i)))
			wrong(c, e, "id", ids[i], (uint64_t)json_integer_value(json_array_get(want, i)));
}

static uint64_t count_stream(enum tok_encoding e, struct slice text, size_t step)
{
	static struct tok_stream s;

	tok_stream_init(&s, e, NULL);
	for (size_t i = 0; i < text.n; i += step)
		tok_stream_feed(&s, text.p + i, text.n - i < step ? text.n - i : step);
	return tok_stream_count(&s);
}

static void check_case(json_t *c, struct tok_cache *const caches[TOK_ENCODING_COUNT])
{
	json_t *t = json_object_get(c, "text");
	struct slice text = slice_mem(json_string_value(t), json_string_length(t));

	for (enum tok_encoding e = 0; e < TOK_ENCODING_COUNT; e++) {
		uint64_t want = (uint64_t)json_integer_value(json_object_get(c, tok_encoding_name(e))), got;

		for (int again = 0; again < 2; again++)
			if ((got = tok_count(e, caches[e], text.p, text.n, UINT64_MAX)) != want)
				wrong(c, e, again ? "tok_count again" : "tok_count", got, want);
		if ((got = tok_count(e, NULL, text.p, text.n, UINT64_MAX)) != want)
			wrong(c, e, "tok_count without cache", got, want);
		for (size_t step = 1; step < 6000; step = step * 3 + 1)
			if ((got = count_stream(e, text, step)) != want)
				wrong(c, e, "stream", got, want);
		check_ids(c, e, text, want);
	}
	n_cases++;
}

static void every_case(void **state)
{
	const char *path = getenv("BURSAR_TOKEN_CASES");
	struct tok_cache *caches[TOK_ENCODING_COUNT] = {tok_cache_new(TOK_O200K), tok_cache_new(TOK_CL100K)};
	json_error_t err;
	json_t *c;
	FILE *f;

	(void)state;
	if (!path || !tok_available(TOK_O200K) || !tok_available(TOK_CL100K)) {
		tok_cache_free(caches[0]);
		tok_cache_free(caches[1]);
		skip();
	}
	f = fopen(path, "r");
	assert_non_null(f);
	while ((c = json_loadf(f, JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, &err))) {
		check_case(c, caches);
		json_decref(c);
	}
	(void)fclose(f);
	tok_cache_free(caches[0]);
	tok_cache_free(caches[1]);
	print_message("%u cases, %u wrong\n", n_cases, n_wrong);
	assert_true(n_cases > 0);
	assert_int_equal(n_wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_case)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
