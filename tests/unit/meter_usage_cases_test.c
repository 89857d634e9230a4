/* meter_usage_cases_test - the acceptance cases of usage extraction (path in BURSAR_USAGE_CASES), each fed whole, byte
 * by byte and in random pieces. Skipped without the variable; meter_tap_test has cases of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>

#include "base/error.h"
#include "meter/api.h"
#include "meter/reqscan.h"
#include "meter/tap.h"

#define RANDOM_RUNS 20

struct body {
	char *p;
	size_t n;
};

static const char *text(json_t *obj, const char *key)
{
	const char *s = json_string_value(json_object_get(obj, key));

	return s ? s : "";
}

static struct body body_of(json_t *c)
{
	json_t *v = json_object_get(c, "response_body");
	struct body b = {NULL, json_string_length(v)};

	b.p = malloc(b.n + 1);
	assert_non_null(b.p);
	if (strcmp(text(c, "encoding"), "base64") == 0)
		assert_true(base64_decode(slice_mem(json_string_value(v), b.n), b.p, b.n + 1, &b.n) >= 0);
	else if (b.n > 0)
		memcpy(b.p, json_string_value(v), b.n);
	return b;
}

static struct usage run(const struct tap_options *o, const struct body *b, unsigned piece)
{
	struct tap *t = tap_new(o);
	struct usage u;
	size_t i, n;

	assert_non_null(t);
	for (i = 0; i < b->n; i += n) {
		n = piece == 0 ? b->n : piece == 1 ? 1 : 1 + (size_t)rand() % piece;
		if (n > b->n - i)
			n = b->n - i;
		tap_feed(t, b->p + i, n);
	}
	tap_finish(t, true, &u);
	tap_free(t);
	return u;
}

static int failures;

static void same(const char *id, const char *field, json_t *want, uint64_t got)
{
	if (!want || (json_is_integer(want) && (uint64_t)json_integer_value(want) == got))
		return;
	printf("%s: %s is %llu, expected %s\n", id, field, (unsigned long long)got, json_dumps(want, JSON_ENCODE_ANY));
	failures++;
}

static void same_opt(const char *id, const char *field, json_t *want, bool has, uint64_t got)
{
	if (!json_is_null(want)) {
		same(id, field, want, got);
		return;
	}
	if (has) {
		printf("%s: %s was not reported\n", id, field);
		failures++;
	}
}

static void same_text(const char *id, const char *field, json_t *want, const char *got)
{
	if (!want || strcmp(json_string_value(want), got) == 0)
		return;
	printf("%s: %s is \"%s\", expected \"%s\"\n", id, field, got, json_string_value(want));
	failures++;
}

static void same_flag(const char *id, const char *field, json_t *want, bool got)
{
	if (json_is_true(want) == got)
		return;
	printf("%s: %s is %d\n", id, field, got);
	failures++;
}

static void check(const char *id, json_t *e, const struct usage *u)
{
	json_t *extra = json_object_get(e, "extra");

	same(id, "cached", json_object_get(e, "cached_input_tokens"), u->cached_input_tokens);
	same(id, "cache_write", json_object_get(e, "cache_write_tokens"), u->cache_write_tokens);
	same(id, "cache_write_1h", json_object_get(e, "cache_write_1h_tokens"), u->cache_write_1h_tokens);
	same(id, "reasoning", json_object_get(e, "reasoning_tokens"), u->reasoning_tokens);
	same(id, "audio_in", json_object_get(e, "audio_input_tokens"), u->audio_input_tokens);
	same(id, "audio_out", json_object_get(e, "audio_output_tokens"), u->audio_output_tokens);
	same(id, "requests", json_object_get(e, "requests"), u->requests);
	same_opt(id, "input", json_object_get(e, "input_tokens"), u->has_input, u->input_tokens);
	same_opt(id, "output", json_object_get(e, "output_tokens"), u->has_output, u->output_tokens);
	same_flag(id, "stream", json_object_get(e, "stream"), u->stream);
	same_flag(id, "complete", json_object_get(e, "complete"), u->complete);
	if (u->model[0])
		same_text(id, "model", json_object_get(e, "model"), u->model);
	same(id, "web", json_object_get(extra, "web_search_requests"), u->web_searches);
	same(id, "image_out", json_object_get(extra, "image_output_tokens"), u->image_output_tokens);
	same(id, "cached_audio", json_object_get(extra, "cached_audio_tokens"), u->cached_audio_tokens);
	same_text(id, "speed", json_object_get(extra, "speed"), u->speed);
	same_text(id, "geo", json_object_get(extra, "inference_geo"), u->inference_geo);
	same_text(id, "dedupe_key", json_object_get(extra, "dedupe_key"), u->dedupe_key);
	if (strncmp(text(extra, "service_tier"), "ON_DEMAND", 9) != 0) /* normalised here */
		same_text(id, "service_tier", json_object_get(extra, "service_tier"), u->service_tier);
}

static enum api_kind kind_of(json_t *c)
{
	const char *provider = text(c, "provider"), *path = text(c, "path");
	enum api_family family =
	    strcmp(provider, "vertex") == 0 ? FAMILY_GOOGLE : api_family_from_name(slice_of(provider));
	struct slice origin, query;
	struct api_match m;

	if (strncmp(path, "/v1/files/", 10) == 0 || strcmp(path, "/v1/moderations") == 0)
		return API_UNKNOWN; /* batch results; free, and no call of this room's kinds */
	slice_cut(slice_of(path), '?', &origin, &query);
	m = api_classify(family, slice_of(text(c, "method")), origin);
	/* the poll of a background response is free as a call and read as a response */
	if (m.kind == API_FREE && strncmp(path, "/v1/responses/resp_", 19) == 0)
		return API_RESPONSES;
	return m.kind;
}

/* The request of a case is understood, and names the model. */
static void check_request(json_t *c, enum api_kind kind)
{
	struct slice body = slice_of(text(c, "request_body"));
	struct reqscan s;

	if (body.n == 0)
		return;
	reqscan_init(&s, kind);
	if (reqscan_feed(&s, body.p, body.n) < 0 || reqscan_finish(&s) < 0) {
		printf("%s: the request was not understood\n", text(c, "id"));
		failures++;
	}
}

static bool run_case(json_t *c)
{
	json_t *headers = json_object_get(c, "response_headers");
	struct tap_options o = {.kind = kind_of(c),
				.status = (int)json_integer_value(json_object_get(c, "response_status")),
				.content_type = slice_of(text(headers, "content-type")),
				.content_encoding = slice_of(text(headers, "content-encoding"))};
	struct body b;
	struct usage u;
	int i;

	if (o.kind == API_UNKNOWN || o.status == 101)
		return false;
	check_request(c, o.kind);
	b = body_of(c);
	for (i = 0; i < RANDOM_RUNS + 2; i++) {
		u = run(&o, &b, i == 0 ? 0 : i == 1 ? 1 : 64);
		check(text(c, "id"), json_object_get(c, "expect"), &u);
	}
	free(b.p);
	return true;
}

static void test_cases(void **state)
{
	const char *path = getenv("BURSAR_USAGE_CASES");
	char *line = NULL;
	size_t cap = 0, n = 0;
	FILE *f;

	(void)state;
	if (!path)
		skip();
	f = fopen(path, "r");
	assert_non_null(f);
	srand(1);
	while (getline(&line, &cap, f) > 0) {
		json_t *c = json_loads(line, 0, NULL);

		assert_non_null(c);
		n += run_case(c);
		json_decref(c);
	}
	free(line);
	(void)fclose(f);
	printf("%zu cases\n", n);
	assert_int_equal(failures, 0);
	assert_true(n > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
