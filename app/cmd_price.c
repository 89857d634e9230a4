/* bursar price: what one call costs, or each of a file of calls, exactly. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "app/args.h"
#include "app/boot.h"
#include "base/calendar.h"
#include "base/clock.h"
#include "base/error.h"
#include "meter/usage.h"

#define COUNT_MAX 1000000000000ull
#define USD_TEXT_MAX 64

/* --- one call ----------------------------------------------------------------------------------------------------- */

struct question {
	struct slice provider, model;
	struct quantities used;
	struct price_terms terms;
};

struct price_answer {
	const struct price_model *model; /* NULL: unknown */
	bool inherited;
	char usd[USD_TEXT_MAX];
};

/* A vendor may be named by its address too. */
static struct slice provider_of(const struct price_book *book, struct slice name)
{
	char url[256];
	const char *id = slice_istarts(name, SLICE("https://")) && slice_to_cstr(name, url, sizeof(url)) == name.n
			     ? price_provider_at(book, url)
			     : NULL;

	return id ? slice_of(id) : name;
}

/* BUR_OK, BUR_NOTFOUND (unknown, or no price in force), BUR_OVERFLOW. */
static int price_one(const struct price_book *book, const struct question *q, struct price_answer *ret)
{
	struct cost_sum sum = {0};
	int r;

	ret->model = price_find(book, provider_of(book, q->provider), q->model, &ret->inherited);
	if (!ret->model)
		return BUR_NOTFOUND;
	r = price_cost(ret->model, &q->used, &q->terms, &sum);
	return r == BUR_OK ? cost_format_usd(&sum, ret->usd, sizeof(ret->usd)) : r;
}

static int print_price(const struct cmd *cmd, const struct price_book *book, const struct question *q, bool json)
{
	struct price_answer a = {0};
	int r = price_one(book, q, &a);

	if (r < 0) {
		(void)fprintf(stderr, "bursar %s: " SLICE_FMT " " SLICE_FMT ": %s\n", cmd->name, SLICE_ARG(q->provider),
			      SLICE_ARG(q->model),
			      r == BUR_NOTFOUND ? "no price is known" : "the price is too large to be counted");
		return EXIT_FAILED;
	}
	if (json)
		printf("{\"provider\":\"" SLICE_FMT "\",\"model\":\"%s\",\"inherited\":%s,\"usd\":\"%s\"}\n",
		       SLICE_ARG(q->provider), price_model_id(a.model), a.inherited ? "true" : "false", a.usd);
	else
		printf("%s USD  (%s%s)\n", a.usd, price_model_id(a.model),
		       a.inherited ? ", price of a related name" : "");
	return EXIT_OK;
}

/* --- names of units ----------------------------------------------------------------------------------------------- */

/* As genai-prices names what was used. Seconds are counted in milliseconds. */
static const struct {
	const char *name;
	enum price_unit unit;
	bool seconds;
} used_names[] = {
    {"input_tokens", PRICE_IN, false},
    {"output_tokens", PRICE_OUT, false},
    {"cache_read_tokens", PRICE_CR, false},
    {"cache_write_tokens", PRICE_CW, false},
    {"cache_write_5m_tokens", PRICE_CW5M, false},
    {"cache_write_1h_tokens", PRICE_CW1H, false},
    {"input_audio_tokens", PRICE_IN_AUDIO, false},
    {"input_image_tokens", PRICE_IN_IMAGE, false},
    {"input_video_tokens", PRICE_IN_VIDEO, false},
    {"input_text_tokens", PRICE_IN_TEXT, false},
    {"cache_audio_read_tokens", PRICE_CR_AUDIO, false},
    {"cache_image_read_tokens", PRICE_CR_IMAGE, false},
    {"cache_video_read_tokens", PRICE_CR_VIDEO, false},
    {"cache_text_read_tokens", PRICE_CR_TEXT, false},
    {"output_audio_tokens", PRICE_OUT_AUDIO, false},
    {"output_image_tokens", PRICE_OUT_IMAGE, false},
    {"output_video_tokens", PRICE_OUT_VIDEO, false},
    {"output_text_tokens", PRICE_OUT_TEXT, false},
    {"output_reasoning_tokens", PRICE_OUT_REASONING, false},
    {"output_citation_tokens", PRICE_OUT_CITATION, false},
    {"input_characters", PRICE_CHARS, false},
    {"input_pixels", PRICE_PIXELS, false},
    {"audio_seconds", PRICE_AUDIO_MS, true},
    {"input_audio_seconds", PRICE_IN_AUDIO_MS, true},
    {"output_audio_seconds", PRICE_OUT_AUDIO_MS, true},
    {"requests", PRICE_REQ, false},
    {"web_searches", PRICE_WEB, false},
    {"storage_searches", PRICE_FILE, false},
    {"social_searches", PRICE_SOCIAL, false},
    {"code_executions", PRICE_CODE, false},
    {"rerank_searches", PRICE_RERANK, false},
    {"input_document_pages", PRICE_PAGES, false},
    {"input_annotated_document_pages", PRICE_PAGES_ANNOTATED, false},
    {"input_text_messages", PRICE_MESSAGES, false},
    {"output_images", PRICE_IMAGES, false},
    {"output_video_seconds", PRICE_VIDEO_S, false},
};

/* Decimal text to a quantity; a part of a millisecond counts as a whole one. */
static bool read_used(const char *name, const char *text, struct quantities *q)
{
	int64_t n;

	for (size_t i = 0; i < ARRAY_LEN(used_names); i++) {
		if (strcmp(used_names[i].name, name) != 0)
			continue;
		if (decimal_parse(slice_of(text), used_names[i].seconds ? 6 : 0, used_names[i].seconds, &n) < 0 ||
		    n < 0)
			return false;
		q->n[used_names[i].unit] = used_names[i].seconds ? ((uint64_t)n + 999) / 1000 : (uint64_t)n;
		return true;
	}
	return false;
}

/* --- a file of calls ---------------------------------------------------------------------------------------------- */

static struct slice member(json_t *o, const char *key)
{
	json_t *v = json_object_get(o, key);

	return (struct slice){json_string_value(v), json_string_length(v)};
}

/* NULL, or the name of what cannot be read. */
static const char *read_usage(json_t *usage, struct quantities *q)
{
	const char *name;
	char text[64];
	json_t *v;

	*q = (struct quantities){{[PRICE_REQ] = 1}};
	if (!json_is_object(usage))
		return "usage";
	json_object_foreach(usage, name, v)
	{
		if (json_is_integer(v))
			(void)snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		else if (json_is_real(v)) /* as many digits as are sure to be those of the text */
			(void)snprintf(text, sizeof(text), "%.15g", json_real_value(v));
		else
			return name;
		if (!read_used(name, text, q))
			return name;
	}
	return NULL;
}

/* The words of vendors for the terms, as in answers. */
static const char *read_terms(json_t *o, struct price_terms *ret)
{
	json_t *at = json_object_get(o, "at");
	int64_t at_ns = clock_wall_ns();
	struct usage words = {0};

	if (at && time_parse(member(o, "at"), &at_ns) < 0)
		return "at";
	(void)slice_to_cstr(member(o, "service_tier"), words.service_tier, sizeof(words.service_tier));
	(void)slice_to_cstr(member(o, "speed"), words.speed, sizeof(words.speed));
	(void)slice_to_cstr(member(o, "inference_geo"), words.inference_geo, sizeof(words.inference_geo));
	usage_terms(&words, at_ns / NS_PER_S, json_is_true(json_object_get(o, "residency")), ret);
	return NULL;
}

static json_t *line_answer(const struct price_book *book, json_t *o)
{
	struct question q = {.provider = member(o, "provider"), .model = member(o, "model")};
	json_t *id = json_object_get(o, "id"), *out = json_object();
	const char *bad = read_usage(json_object_get(o, "usage"), &q.used);
	struct price_answer a = {0};
	int r;

	if (!bad)
		bad = read_terms(o, &q.terms);
	r = bad ? BUR_INVALID : price_one(book, &q, &a);
	if (id)
		(void)json_object_set(out, "id", id);
	(void)json_object_set_new(out, "usd", r == BUR_OK ? json_string(a.usd) : json_null());
	if (bad)
		(void)json_object_set_new(out, "error", json_sprintf("cannot read \"%.64s\"", bad));
	else if (r < 0)
		(void)json_object_set_new(out, "error",
					  json_string(r == BUR_NOTFOUND ? "price_unknown" : "price_error"));
	return out;
}

static int price_line(const struct cmd *cmd, const struct price_book *book, unsigned long line_no, const char *line,
		      size_t n)
{
	json_error_t err;
	json_t *o = json_loadb(line, n, JSON_REJECT_DUPLICATES, &err), *out = NULL;
	int r = EXIT_FAILED;

	if (json_is_object(o))
		out = line_answer(book, o);
	else
		(void)fprintf(stderr, "bursar %s: line %lu: %s\n", cmd->name, line_no, o ? "not an object" : err.text);
	if (out && json_dumpf(out, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER) == 0 && putchar('\n') != EOF)
		r = json_is_string(json_object_get(out, "usd")) ? EXIT_OK : EXIT_FAILED;
	json_decref(out);
	json_decref(o);
	return r;
}

static int price_lines(const struct cmd *cmd, const struct price_book *book, const char *path)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	int result = EXIT_OK;
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	if (!f) {
		(void)fprintf(stderr, "bursar %s: %s: %s\n", cmd->name, path, strerror(errno));
		return EXIT_FAILED;
	}
	for (unsigned long line_no = 1; (n = getline(&line, &cap, f)) > 0; line_no++)
		if (line[strspn(line, " \t\r\n")] != '\0' && price_line(cmd, book, line_no, line, (size_t)n) != EXIT_OK)
			result = EXIT_FAILED;
	free(line);
	if (ferror(f) || fflush(stdout) != 0) {
		(void)fprintf(stderr, "bursar %s: %s: %s\n", cmd->name, path, strerror(errno));
		result = EXIT_FAILED;
	}
	if (f != stdin)
		(void)fclose(f);
	return result;
}

/* --- the command -------------------------------------------------------------------------------------------------- */

struct options {
	const char *in, *out, *cached, *written, *at, *service, *format, *jsonl, *book;
	struct args_many use;
};

static bool read_counts(const struct cmd *cmd, const struct options *o, struct quantities *q)
{
	const struct {
		const char *name, *text;
		enum price_unit unit;
	} counts[] = {{"in", o->in, PRICE_IN},
		      {"out", o->out, PRICE_OUT},
		      {"cached", o->cached, PRICE_CR},
		      {"cache-write", o->written, PRICE_CW}};
	unsigned long long n;

	*q = (struct quantities){{[PRICE_REQ] = 1}};
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		if (!args_number(cmd, counts[i].name, counts[i].text, 0, COUNT_MAX, &n))
			return false;
		q->n[counts[i].unit] = n;
	}
	if (q->n[PRICE_CR] + q->n[PRICE_CW] > q->n[PRICE_IN]) {
		(void)cmd_usage_error(cmd, "--in counts all input: it is at least --cached plus --cache-write");
		return false;
	}
	for (size_t i = 0; i < o->use.n; i++) {
		const char *eq = strchr(o->use.v[i], '=');
		char name[64];

		if (eq)
			(void)slice_to_cstr(slice_mem(o->use.v[i], (size_t)(eq - o->use.v[i])), name, sizeof(name));
		if (!eq || !read_used(name, eq + 1, q)) {
			(void)cmd_usage_error(cmd, "--use %s: expected such as web_searches=2 or audio_seconds=12.5",
					      o->use.v[i]);
			return false;
		}
	}
	return true;
}

static bool read_service(const char *text, enum price_service *ret)
{
	static const char *const names[SERVICE_COUNT] = {"standard", "flex", "priority", "batch"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], text) == 0) {
			*ret = (enum price_service)i;
			return true;
		}
	return false;
}

static bool read_question(const struct cmd *cmd, const struct options *o, const struct args *args, struct question *q)
{
	int64_t at_ns = clock_wall_ns();

	if (args->n_words != 2 || strpbrk(args->words[0], "\"\\")) {
		(void)cmd_usage_error(cmd, "which provider and model? Such as openai gpt-4o");
		return false;
	}
	if (o->at && time_parse(slice_of(o->at), &at_ns) < 0) {
		(void)cmd_usage_error(cmd, "--at: expected a date or time such as 2026-11-21T12:00:00Z");
		return false;
	}
	q->terms = (struct price_terms){.at_s = at_ns / NS_PER_S};
	if (!read_service(o->service, &q->terms.service)) {
		(void)cmd_usage_error(cmd, "--service: expected standard, flex, priority or batch");
		return false;
	}
	q->provider = slice_of(args->words[0]);
	q->model = slice_of(args->words[1]);
	return read_counts(cmd, o, &q->used);
}

/* The book of --book, else of the configuration, where there is one, else the one built in. */
static int open_book(const struct cmd *cmd, const char *config, const char *path, struct price_book **ret)
{
	struct settings none = {.prices = path}, *s = NULL;
	char err[BOOT_ERROR_MAX];
	int r = EXIT_OK;

	if (!path && (config || settings_default_path()))
		r = cmd_settings(cmd, config, &s);
	if (r == EXIT_OK && boot_price_book(s ? s : &none, ret, NULL, NULL, err) < 0) {
		(void)fprintf(stderr, "bursar %s: %s\n", cmd->name, err);
		r = EXIT_FAILED;
	}
	settings_free(s);
	return r;
}

int cmd_price(const struct cmd *cmd, int argc, char **argv)
{
	struct options o = {
	    .in = "0", .out = "0", .cached = "0", .written = "0", .service = "standard", .format = "table"};
	const struct arg list[] = {
	    {.name = "in", .value = &o.in},           {.name = "out", .value = &o.out},
	    {.name = "cached", .value = &o.cached},   {.name = "cache-write", .value = &o.written},
	    {.name = "use", .many = &o.use},          {.name = "at", .value = &o.at},
	    {.name = "service", .value = &o.service}, {.name = "format", .value = &o.format},
	    {.name = "jsonl", .value = &o.jsonl},     {.name = "book", .value = &o.book},
	};
	struct price_book *book = NULL;
	struct question q = {0};
	struct args args;
	int r = args_read(cmd, argc, argv, list, ARRAY_LEN(list), 2, &args);

	if (r != ARGS_GO)
		return r;
	if (o.jsonl && args.n_words > 0)
		return cmd_usage_error(cmd, "--jsonl: the file's lines name provider and model");
	if (!o.jsonl && !read_question(cmd, &o, &args, &q))
		return EXIT_USAGE;
	r = open_book(cmd, args.config, o.book, &book);
	if (r != EXIT_OK)
		return r;
	r = o.jsonl ? price_lines(cmd, book, o.jsonl) : print_price(cmd, book, &q, strcmp(o.format, "json") == 0);
	price_book_unref(book);
	return r;
}
