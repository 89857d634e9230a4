/* meter_usage_cases_test - the acceptance cases of usage extraction (path in BURSAR_USAGE_CASES), each answer fed
 * whole, byte by byte and in random pieces. Skipped without the variable; meter_extract_test, meter_exchange_test and
 * meter_tap_test have cases of their own. */
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
#include "base/error.h"
#include "meter/exchange.h"

#define RANDOM_RUNS 20
#define FIELDS_MAX 32

static int failures;

/* --- comparing ---------------------------------------------------------------------------------------------------- */

static void differ(const char *id, const char *field, json_t *want, const char *got)
{
	char *text = json_dumps(want, JSON_ENCODE_ANY);

	printf("%s: %s is %s, expected %s\n", id, field, got, text);
	free(text);
	failures++;
}

static void same(const char *id, const char *field, json_t *want, bool has, uint64_t got)
{
	char text[32];

	if (!want || (json_is_null(want) && !has) ||
	    (json_is_integer(want) && has && (uint64_t)json_integer_value(want) == got))
		return;
	(void)snprintf(text, sizeof(text), has ? "%llu" : "null", (unsigned long long)got);
	differ(id, field, want, text);
}

static void same_text(const char *id, const char *field, json_t *want, const char *got)
{
	if (want && strcmp(json_is_string(want) ? json_string_value(want) : "", got) != 0)
		differ(id, field, want, got);
}

static void same_flag(const char *id, const char *field, json_t *want, bool got)
{
	if (json_is_true(want) != got)
		differ(id, field, want, got ? "true" : "false");
}

/* A decimal number in a string. */
static void same_decimal(const char *id, const char *field, json_t *want, int decimals, int64_t got)
{
	int64_t v;

	if (want && (decimal_parse(slice_of(json_string_value(want)), decimals, false, &v) < 0 || v != got))
		differ(id, field, want, "another");
}

static void check_others(const char *id, json_t *list, const struct usage *u)
{
	size_t i;
	json_t *o;

	if (json_array_size(list) != u->n_others)
		differ(id, "other_models", list, "of another length");
	json_array_foreach(list, i, o)
	{
		const struct usage_other *v = &u->others[i];

		same_text(id, "model", json_object_get(o, "model"), v->model);
		same_text(id, "role", json_object_get(o, "role"), v->role);
		same(id, "other input", json_object_get(o, "input_tokens"), true, v->input_tokens);
		same(id, "other cached", json_object_get(o, "cached_input_tokens"), true, v->cached_input_tokens);
		same(id, "other written", json_object_get(o, "cache_write_tokens"), true, v->cache_write_tokens);
		same(id, "other audio", json_object_get(o, "audio_input_tokens"), true, v->audio_input_tokens);
		same(id, "other output", json_object_get(o, "output_tokens"), true, v->output_tokens);
	}
}

static void check_extra(const char *id, json_t *extra, const struct usage *u)
{
	const struct {
		const char *key;
		uint64_t got;
	} numbers[] = {
	    {"web_search_requests", u->web_searches},
	    {"search_units", u->search_units},
	    {"pages", u->pages},
	    {"input_characters", u->input_characters},
	    {"image_input_tokens", u->image_input_tokens},
	    {"image_output_tokens", u->image_output_tokens},
	    {"cached_audio_tokens", u->cached_audio_tokens},
	    {"citation_tokens", u->citation_tokens},
	};
	const struct {
		const char *key, *got;
	} texts[] = {
	    {"service_tier", u->service_tier}, {"speed", u->speed},           {"inference_geo", u->inference_geo},
	    {"deployment", u->deployment},     {"dedupe_key", u->dedupe_key},
	};

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		same(id, numbers[i].key, json_object_get(extra, numbers[i].key), true, numbers[i].got);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		same_text(id, texts[i].key, json_object_get(extra, texts[i].key), texts[i].got);
	same_decimal(id, "audio_seconds", json_object_get(extra, "audio_seconds"), 3, (int64_t)u->audio_ms);
	same_decimal(id, "provider_cost_usd", json_object_get(extra, "provider_cost_usd"), 12, u->reported_cost_pusd);
	check_others(id, json_object_get(extra, "other_models"), u);
}

static void check(const char *id, json_t *e, const struct usage *u)
{
	const struct {
		const char *key;
		uint64_t got;
	} numbers[] = {
	    {"cached_input_tokens", u->cached_input_tokens},
	    {"cache_write_tokens", u->cache_write_tokens},
	    {"cache_write_1h_tokens", u->cache_write_1h_tokens},
	    {"reasoning_tokens", u->reasoning_tokens},
	    {"audio_input_tokens", u->audio_input_tokens},
	    {"audio_output_tokens", u->audio_output_tokens},
	    {"images", u->images},
	    {"requests", u->requests},
	};

	same_text(id, "model", json_object_get(e, "model"), u->model);
	same_flag(id, "stream", json_object_get(e, "stream"), u->stream);
	same_flag(id, "complete", json_object_get(e, "complete"), u->complete);
	same(id, "input_tokens", json_object_get(e, "input_tokens"), u->has_input, u->input_tokens);
	same(id, "output_tokens", json_object_get(e, "output_tokens"), u->has_output, u->output_tokens);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		same(id, numbers[i].key, json_object_get(e, numbers[i].key), true, numbers[i].got);
	check_extra(id, json_object_get(e, "extra"), u);
}

/* --- running ------------------------------------------------------------------------------------------------------ */

static struct slice member(json_t *c, const char *key)
{
	json_t *v = json_object_get(c, key);

	return (struct slice){json_string_value(v), json_string_length(v)};
}

static size_t head_of(json_t *headers, struct exchange_field fields[FIELDS_MAX])
{
	const char *name;
	json_t *value;
	size_t n = 0;

	json_object_foreach(headers, name, value)
	{
		assert_true(n < FIELDS_MAX);
		fields[n++] = (struct exchange_field){slice_of(name), slice_of(json_string_value(value))};
	}
	return n;
}

static struct usage run(const struct exchange *x, struct slice body, unsigned piece)
{
	struct exchange_run *run;
	struct usage u;
	size_t n;

	assert_int_equal(exchange_begin(x, &run), BUR_OK);
	for (size_t i = 0; i < body.n; i += n) {
		n = piece == 0 ? body.n : piece == 1 ? 1 : 1 + (size_t)rand() % piece;
		if (n > body.n - i)
			n = body.n - i;
		exchange_feed(run, body.p + i, n);
	}
	exchange_end(run, true, &u);
	return u;
}

static void run_case(json_t *c)
{
	struct exchange_field request_head[FIELDS_MAX], answer_head[FIELDS_MAX];
	const struct exchange x = {
	    .provider = member(c, "provider"),
	    .method = member(c, "method"),
	    .target = member(c, "path"),
	    .request_head = request_head,
	    .n_request_head = head_of(json_object_get(c, "request_headers"), request_head),
	    .answer_head = answer_head,
	    .n_answer_head = head_of(json_object_get(c, "response_headers"), answer_head),
	    .request_body = member(c, "request_body"),
	    .status = (int)json_integer_value(json_object_get(c, "response_status")),
	};
	const char *id = json_string_value(json_object_get(c, "id"));
	struct slice text = member(c, "response_body"), body = text;
	char *buf = malloc(text.n + 1);
	struct usage first, u;

	assert_non_null(buf);
	if (slice_eq(member(c, "encoding"), SLICE("base64"))) {
		body.p = buf;
		assert_int_equal(base64_decode(text, buf, text.n + 1, &body.n), BUR_OK);
	}
	first = run(&x, body, 0);
	check(id, json_object_get(c, "expect"), &first);
	for (int i = 0; i < RANDOM_RUNS + 1; i++) {
		u = run(&x, body, i == 0 ? 1 : 64);
		if (memcmp(&u, &first, sizeof(u)) != 0) {
			printf("%s: another split gives another usage\n", id);
			failures++;
		}
	}
	free(buf);
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
	for (; getline(&line, &cap, f) > 0; n++) {
		json_t *c = json_loads(line, 0, NULL);

		assert_non_null(c);
		run_case(c);
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
