/* bursar meter: what recorded exchanges used, read as the proxy reads a call that passes through. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "app/args.h"
#include "base/amount.h"
#include "base/error.h"
#include "meter/exchange.h"

#define SPLIT_WHOLE 0
#define SPLIT_RANDOM UINT64_MAX
#define RANDOM_PIECE_MAX 64
#define FIELDS_MAX 128

/* --- output ------------------------------------------------------------------------------------------------------- */

static json_t *number(uint64_t v)
{
	return json_integer((json_int_t)v);
}

static void put(json_t *o, const char *key, json_t *value)
{
	(void)json_object_set_new(o, key, value);
}

static void put_text(json_t *o, const char *key, const char *text)
{
	if (text[0] != '\0')
		put(o, key, json_string(text));
}

static void put_number(json_t *o, const char *key, uint64_t v)
{
	put(o, key, number(v));
}

static void put_count(json_t *o, const char *key, uint64_t v)
{
	if (v > 0)
		put_number(o, key, v);
}

/* v / 10^decimals as decimal text without trailing zeros. */
static void put_decimal(json_t *o, const char *key, uint64_t v, int decimals)
{
	char text[48];
	int n = snprintf(text, sizeof(text), "%0*llu", decimals + 1, (unsigned long long)v), end = n;

	while (end > n - decimals && text[end - 1] == '0')
		end--;
	if (end > n - decimals) {
		memmove(text + n - decimals + 1, text + n - decimals, (size_t)(end - (n - decimals)));
		text[n - decimals] = '.';
		end++;
	}
	put(o, key, json_stringn(text, (size_t)end));
}

/* A helper of another kind (a role) reads audio; a model like the main one reads caches. */
static json_t *other_json(const struct usage_other *v)
{
	json_t *o = json_object();
	bool helper = v->role[0] != '\0';
	void (*put_cache)(json_t *, const char *, uint64_t) = helper ? put_count : put_number;
	void (*put_audio)(json_t *, const char *, uint64_t) = helper ? put_number : put_count;

	put(o, "model", v->model[0] != '\0' ? json_string(v->model) : json_null());
	put_text(o, "role", v->role);
	put_number(o, "input_tokens", v->input_tokens);
	put_cache(o, "cached_input_tokens", v->cached_input_tokens);
	put_cache(o, "cache_write_tokens", v->cache_write_tokens);
	put_cache(o, "cache_write_1h_tokens", v->cache_write_1h_tokens);
	put_audio(o, "audio_input_tokens", v->audio_input_tokens);
	put_number(o, "output_tokens", v->output_tokens);
	if (v->audio_ms > 0)
		put_decimal(o, "audio_seconds", v->audio_ms, 3);
	return o;
}

/* What only some APIs tell; absent when they do not. */
static json_t *extra_json(const struct usage *u)
{
	json_t *o = json_object(), *others = json_array();

	put_text(o, "service_tier", u->service_tier);
	put_text(o, "speed", u->speed);
	put_text(o, "inference_geo", u->inference_geo);
	put_count(o, "web_search_requests", u->web_searches);
	put_count(o, "file_search_calls", u->file_searches);
	put_count(o, "code_sessions", u->code_sessions);
	put_count(o, "search_units", u->search_units);
	put_count(o, "pages", u->pages);
	put_count(o, "pages_annotated", u->pages_annotated);
	if (u->audio_ms > 0)
		put_decimal(o, "audio_seconds", u->audio_ms, 3);
	put_count(o, "input_characters", u->input_characters);
	put_count(o, "image_input_tokens", u->image_input_tokens);
	put_count(o, "image_output_tokens", u->image_output_tokens);
	put_count(o, "cached_audio_tokens", u->cached_audio_tokens);
	put_count(o, "citation_tokens", u->citation_tokens);
	if (u->has_reported_cost)
		put_decimal(o, "provider_cost_usd", (uint64_t)u->reported_cost_pusd, 12);
	if (u->upstream_cost_pusd > 0)
		put_decimal(o, "upstream_cost_usd", (uint64_t)u->upstream_cost_pusd, 12);
	put_text(o, "deployment", u->deployment);
	put_text(o, "dedupe_key", u->dedupe_key);
	put_text(o, "also_key", u->also_key);
	for (size_t i = 0; i < u->n_others; i++)
		(void)json_array_append_new(others, other_json(&u->others[i]));
	if (u->n_others > 0)
		(void)json_object_set(o, "other_models", others);
	json_decref(others);
	return o;
}

static json_t *usage_json(json_t *id, const struct usage *u)
{
	json_t *o = json_object();

	if (id)
		(void)json_object_set(o, "id", id);
	put(o, "model", json_string(u->model));
	put(o, "stream", json_boolean(u->stream));
	put(o, "input_tokens", u->has_input ? number(u->input_tokens) : json_null());
	put_number(o, "cached_input_tokens", u->cached_input_tokens);
	put_number(o, "cache_write_tokens", u->cache_write_tokens);
	put_number(o, "cache_write_1h_tokens", u->cache_write_1h_tokens);
	put(o, "output_tokens", u->has_output ? number(u->output_tokens) : json_null());
	put_number(o, "reasoning_tokens", u->reasoning_tokens);
	put_number(o, "audio_input_tokens", u->audio_input_tokens);
	put_number(o, "audio_output_tokens", u->audio_output_tokens);
	put_number(o, "images", u->images);
	put_number(o, "requests", u->requests);
	put(o, "complete", json_boolean(u->complete));
	put(o, "extra", extra_json(u));
	return o;
}

/* --- input -------------------------------------------------------------------------------------------------------- */

static struct slice member(json_t *o, const char *key)
{
	json_t *v = json_object_get(o, key);

	return (struct slice){json_string_value(v), json_string_length(v)};
}

/* Fields that are no text are left out. */
static size_t read_head(json_t *o, struct exchange_field fields[FIELDS_MAX])
{
	const char *name;
	json_t *value;
	size_t n = 0;

	json_object_foreach(o, name, value)
	{
		if (n < FIELDS_MAX && json_is_string(value))
			fields[n++] = (struct exchange_field){slice_of(name),
							      {json_string_value(value), json_string_length(value)}};
	}
	return n;
}

/* The body as it stood on the wire; *ret_buf is the caller's to free. BUR_OK, BUR_INVALID, BUR_NOMEM. */
static int read_body(json_t *o, struct slice *ret, char **ret_buf)
{
	struct slice text = member(o, "response_body");
	size_t n;
	int r;

	*ret = text;
	*ret_buf = NULL;
	if (!slice_eq(member(o, "encoding"), SLICE("base64")) || text.n == 0)
		return BUR_OK;
	*ret_buf = malloc(text.n);
	if (!*ret_buf)
		return BUR_NOMEM;
	r = base64_decode(text, *ret_buf, text.n, &n);
	if (r < 0)
		return r;
	*ret = slice_mem(*ret_buf, n);
	return BUR_OK;
}

/* The same pieces in every run. */
static size_t random_piece(void)
{
	static uint64_t state = 0x9e3779b97f4a7c15u;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return 1 + (size_t)(state % RANDOM_PIECE_MAX);
}

static void feed(struct exchange_run *run, struct slice body, uint64_t split)
{
	size_t piece;

	for (size_t i = 0; i < body.n; i += piece) {
		piece = split == SPLIT_RANDOM ? random_piece() : split == SPLIT_WHOLE ? body.n : (size_t)split;
		if (piece > body.n - i)
			piece = body.n - i;
		exchange_feed(run, body.p + i, piece);
	}
}

static int meter_one(json_t *o, uint64_t split, struct usage *ret)
{
	struct exchange_field request_head[FIELDS_MAX], answer_head[FIELDS_MAX];
	struct exchange x = {
	    .provider = member(o, "provider"),
	    .method = member(o, "method"),
	    .target = member(o, "path"),
	    .request_head = request_head,
	    .n_request_head = read_head(json_object_get(o, "request_headers"), request_head),
	    .answer_head = answer_head,
	    .n_answer_head = read_head(json_object_get(o, "response_headers"), answer_head),
	    .request_body = member(o, "request_body"),
	    .status = (int)json_integer_value(json_object_get(o, "response_status")),
	};
	struct exchange_run *run;
	struct slice body;
	char *buf;
	int r = read_body(o, &body, &buf);

	if (r == BUR_OK)
		r = exchange_begin(&x, &run);
	if (r == BUR_OK) {
		feed(run, body, split);
		exchange_end(run, true, ret);
	}
	free(buf);
	return r;
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

static int meter_line(const struct cmd *cmd, unsigned long line_no, const char *line, size_t n, uint64_t split)
{
	json_error_t err;
	json_t *o = json_loadb(line, n, JSON_ALLOW_NUL, &err), *out;
	struct usage u;
	int r;

	if (!json_is_object(o)) {
		(void)fprintf(stderr, "bursar %s: line %lu: %s\n", cmd->name, line_no, o ? "not an object" : err.text);
		json_decref(o);
		return EXIT_FAILED;
	}
	r = meter_one(o, split, &u);
	if (r < 0) {
		(void)fprintf(stderr, "bursar %s: line %lu: %s\n", cmd->name, line_no, bur_strerror(r));
	} else {
		out = usage_json(json_object_get(o, "id"), &u);
		(void)json_dumpf(out, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
		(void)putchar('\n');
		json_decref(out);
	}
	json_decref(o);
	return r < 0 ? EXIT_FAILED : EXIT_OK;
}

static int meter_file(const struct cmd *cmd, FILE *f, uint64_t split)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	int result = EXIT_OK, r;

	for (unsigned long line_no = 1; (n = getline(&line, &cap, f)) > 0; line_no++) {
		if (line[strspn(line, " \t\r\n")] == '\0')
			continue;
		r = meter_line(cmd, line_no, line, (size_t)n, split);
		if (r != EXIT_OK)
			result = r;
	}
	free(line);
	if (ferror(f) || fflush(stdout) != 0) {
		(void)fprintf(stderr, "bursar %s: %s\n", cmd->name, strerror(errno));
		return EXIT_FAILED;
	}
	return result;
}

static bool read_split(const struct cmd *cmd, const char *text, uint64_t *ret)
{
	unsigned long long n;

	if (!text) {
		*ret = SPLIT_WHOLE;
		return true;
	}
	if (strcmp(text, "random") == 0) {
		*ret = SPLIT_RANDOM;
		return true;
	}
	if (!args_number(cmd, "split", text, 1, UINT32_MAX, &n))
		return false;
	*ret = n;
	return true;
}

int cmd_meter(const struct cmd *cmd, int argc, char **argv)
{
	const char *path = NULL, *split_text = NULL;
	const struct arg list[] = {
	    {.name = "jsonl", .value = &path},
	    {.name = "split", .value = &split_text},
	};
	struct args args;
	uint64_t split;
	FILE *f;
	int r = args_read(cmd, argc, argv, list, ARRAY_LEN(list), 0, &args);

	if (r != ARGS_GO)
		return r;
	if (!path)
		return cmd_usage_error(cmd, "which recorded exchanges? name a file with --jsonl FILE");
	if (!read_split(cmd, split_text, &split))
		return EXIT_USAGE;
	f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	if (!f) {
		(void)fprintf(stderr, "bursar %s: %s: %s\n", cmd->name, path, strerror(errno));
		return EXIT_FAILED;
	}
	r = meter_file(cmd, f, split);
	if (f != stdin)
		(void)fclose(f);
	return r;
}
