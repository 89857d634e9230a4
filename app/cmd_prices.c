/* bursar prices: the price book as people look at it and set it. Import and reprice have files of their own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/args.h"
#include "app/ask.h"
#include "app/boot.h"
#include "app/prices_cmd.h"
#include "base/calendar.h"
#include "base/clock.h"
#include "base/error.h"
#include "price/import.h"
#include "price/price.h"

static int say(const struct cmd *cmd, int exit_code, const char *text)
{
	(void)fprintf(stderr, "bursar %s: %s\n", cmd->name, text);
	return exit_code;
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

int prices_tell_server(const struct cmd *cmd, const char *config)
{
	struct admin_question q = {.config = config,
				   .method = "POST",
				   .target = "/api/v1/prices/reload",
				   .body = SLICE("{}"),
				   .needs_data = true};
	json_t *answer;
	int r = ask_json(cmd, &q, &answer);

	if (r != EXIT_OK)
		return r;
	(void)fprintf(stderr, "price book %lld is in force, %lld models\n",
		      (long long)json_integer_value(json_object_get(answer, "price_version")),
		      (long long)json_integer_value(json_object_get(answer, "models")));
	json_decref(answer);
	return EXIT_OK;
}

/* --- looking ------------------------------------------------------------------------------------------------------ */

struct view {
	struct settings *settings;
	struct books books;
	struct price_book *book;
};

static void view_close(struct view *v)
{
	price_book_unref(v->book);
	book_done(&v->books);
	settings_free(v->settings);
}

/* EXIT_OK, or the exit code: what is wrong was said. */
static int view_open(const struct cmd *cmd, const char *config, struct view *v)
{
	char err[BOOT_ERROR_MAX] = "out of memory", *text = NULL;
	int r = cmd_settings(cmd, config, &v->settings);

	if (r != EXIT_OK)
		return r;
	r = book_open(v->settings, &v->books, err, sizeof(err));
	if (r == BUR_OK) {
		text = json_dumps(v->books.now, JSON_COMPACT);
		r = text ? price_book_parse(slice_of(text), &v->book, err, sizeof(err)) : BUR_NOMEM;
		free(text);
		if (r == BUR_OK)
			return EXIT_OK;
		book_done(&v->books);
	}
	settings_free(v->settings);
	return say(cmd, EXIT_FAILED, err);
}

static json_t *provider_named(const json_t *book, const char *id)
{
	json_t *p;
	size_t i;

	json_array_foreach(json_object_get(book, "providers"), i, p)
	{
		if (strcmp(text_of(p, "id"), id) == 0)
			return p;
	}
	return NULL;
}

/* The model that a name means, found as calls find it; borrowed from the tree. */
static json_t *model_named(const struct view *v, const char *provider, const char *name, bool *ret_inherited)
{
	const struct price_model *m = price_find(v->book, slice_of(provider), slice_of(name), ret_inherited);
	json_t *p, *o;
	size_t i, k;

	if (!m)
		return NULL;
	json_array_foreach(json_object_get(v->books.now, "providers"), i, p)
	{
		/* The provider itself first; a fallback's model has the same id there. */
		json_array_foreach(json_object_get(p, "models"), k, o)
		{
			if (strcmp(text_of(o, "id"), price_model_id(m)) == 0 &&
			    (strcmp(text_of(p, "id"), provider) == 0 || !provider_named(v->books.now, provider)))
				return o;
		}
	}
	json_array_foreach(json_object_get(v->books.now, "providers"), i, p)
	{
		json_array_foreach(json_object_get(p, "models"), k, o)
		{
			if (strcmp(text_of(o, "id"), price_model_id(m)) == 0)
				return o;
		}
	}
	return NULL;
}

static json_t *provider_rows(const json_t *book)
{
	json_t *rows = json_array(), *p;
	size_t i;

	json_array_foreach(json_object_get(book, "providers"), i, p)(void)
	    json_array_append_new(rows, json_pack("{s:s,s:I}", "provider", text_of(p, "id"), "models",
						  (json_int_t)json_array_size(json_object_get(p, "models"))));
	return rows;
}

static bool row_holds(const json_t *row, const char *day)
{
	const char *to = text_of(row, "to");

	return !day || (strcmp(text_of(row, "from"), day) <= 0 && (!*to || strcmp(to, day) > 0));
}

/* "in 0.15, out 0.6" */
static json_t *rates_text(const json_t *rates)
{
	char text[1024];
	const char *unit;
	size_t n = 0;
	json_t *v;

	text[0] = '\0';
	json_object_foreach((json_t *)rates, unit, v)
	{
		int w = snprintf(text + n, sizeof(text) - n, "%s%s %s", n ? ", " : "", unit, json_string_value(v));

		n += w > 0 && (size_t)w < sizeof(text) - n ? (size_t)w : 0;
	}
	return json_string(text);
}

static void add_rows(json_t *rows, const json_t *model, const char *day)
{
	json_t *row, *tod;
	char window[16];
	size_t i;

	json_array_foreach(json_object_get(model, "prices"), i, row)
	{
		const char *service = text_of(row, "service");

		if (!row_holds(row, day))
			continue;
		tod = json_object_get(row, "tod");
		(void)snprintf(window, sizeof(window), tod ? "%.5s-%.5s" : "%s%s",
			       tod ? json_string_value(json_array_get(tod, 0)) : "",
			       tod ? json_string_value(json_array_get(tod, 1)) : "");
		(void)json_array_append_new(
		    rows, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:o}", "model", text_of(model, "id"), "from",
				    text_of(row, "from"), "to", text_of(row, "to"), "time", window, "service",
				    *service ? service : "standard", "region", text_of(row, "region"), "over",
				    json_integer_value(json_object_get(row, "over")), "rates",
				    rates_text(json_object_get(row, "rates"))));
	}
}

static int show(const struct cmd *cmd, const struct args *args, const char *day, enum table_format format,
		const struct view *v)
{
	static const struct table_column providers[] = {{"PROVIDER", "provider", false}, {"MODELS", "models", true}};
	static const struct table_column prices[] = {
	    {"MODEL", "model", false},     {"FROM", "from", false},     {"TO", "to", false},    {"UTC", "time", false},
	    {"SERVICE", "service", false}, {"REGION", "region", false}, {"OVER", "over", true}, {"USD", "rates", false},
	};
	bool inherited = false;
	json_t *rows, *m;
	size_t i;
	int r;

	if (args->n_words == 1) {
		rows = provider_rows(v->books.now);
		r = rows ? table_print(stdout, rows, providers, ARRAY_LEN(providers), format) : EXIT_FAILED;
		json_decref(rows);
		return r;
	}
	rows = json_array();
	if (args->n_words == 2) {
		json_array_foreach(json_object_get(provider_named(v->books.now, args->words[1]), "models"), i, m)
		    add_rows(rows, m, day);
	} else {
		m = model_named(v, args->words[1], args->words[2], &inherited);
		if (m)
			add_rows(rows, m, day);
	}
	if (json_array_size(rows) == 0)
		r = say(cmd, EXIT_FAILED, "no price is known for that name");
	else
		r = table_print(stdout, rows, prices, ARRAY_LEN(prices), format);
	if (inherited && r == EXIT_OK)
		(void)fprintf(stderr, "the price of a related name\n");
	json_decref(rows);
	return r;
}

/* "2026-08-21T00:00:00Z" or "2026-08-21" to the day in UTC. */
static bool read_day(const struct cmd *cmd, const char *text, char dst[BOOK_DAY_MAX])
{
	int64_t ns;

	if (time_parse(slice_of(text), &ns) < 0 || ns < 0) {
		(void)cmd_usage_error(cmd, "expected a date such as 2026-08-21, got `%s`", text);
		return false;
	}
	(void)book_day(ns / NS_PER_S, dst);
	return true;
}

int prices_show(const struct cmd *cmd, int argc, char **argv)
{
	const char *at = NULL, *format_text = NULL;
	const struct arg list[] = {{.name = "at", .value = &at}, {.name = "format", .value = &format_text}};
	enum table_format format;
	char day[BOOK_DAY_MAX];
	struct view v = {0};
	struct args args;
	int r = args_read(cmd, argc, argv, list, ARRAY_LEN(list), 3, &args);

	if (r != ARGS_GO)
		return r;
	if (!table_format(cmd, format_text, &format) || (at && !read_day(cmd, at, day)))
		return EXIT_USAGE;
	r = view_open(cmd, args.config, &v);
	if (r != EXIT_OK)
		return r;
	r = show(cmd, &args, at ? day : NULL, format, &v);
	view_close(&v);
	return r;
}

/* --- check -------------------------------------------------------------------------------------------------------- */

static void count_local(const json_t *local, size_t *ret_import, size_t *ret_operator, size_t *ret_stale)
{
	json_t *p, *m;
	size_t i, k;

	*ret_import = *ret_operator = *ret_stale = 0;
	json_array_foreach(json_object_get(local, "providers"), i, p)
	{
		json_array_foreach(json_object_get(p, "models"), k, m)
		{
			bool own = strcmp(text_of(m, "origin"), "operator") == 0;

			*ret_operator += own;
			*ret_import += !own;
			*ret_stale += json_is_true(json_object_get(m, "stale"));
		}
	}
}

static void print_sources(const json_t *book)
{
	json_t *s;
	size_t i;

	json_array_foreach(json_object_get(book, "sources"), i, s)
	{
		const char *version = text_of(s, "version");

		printf("source    %s %s\n", text_of(s, "name"), *version ? version : text_of(s, "reviewed"));
	}
}

int prices_check(const struct cmd *cmd, int argc, char **argv)
{
	size_t imported, own, stale;
	struct view v = {0};
	struct args args;
	int r = args_read(cmd, argc, argv, NULL, 0, 1, &args);

	if (r != ARGS_GO)
		return r;
	r = view_open(cmd, args.config, &v);
	if (r != EXIT_OK)
		return r;
	count_local(v.books.local, &imported, &own, &stale);
	printf("book      %u\nmodels    %zu of %zu providers\n", price_book_version(v.book), price_book_models(v.book),
	       json_array_size(json_object_get(v.books.now, "providers")));
	print_sources(v.books.base);
	printf("local     %zu imported (%zu of them gone from their list), %zu set by hand\nthe price book is good\n",
	       imported, stale, own);
	view_close(&v);
	return EXIT_OK;
}

/* --- set ---------------------------------------------------------------------------------------------------------- */

struct set_options {
	const char *rates[5], *like, *from;
	struct args_many more;
	bool dry_run;
};
static const char *const rate_names[] = {"in", "out", "cached", "cache-write", "cache-write-1h"};
static const char *const rate_units[] = {"in", "out", "cr", "cw", "cw1h"};

static bool put_rate(const struct cmd *cmd, json_t *rates, const char *unit, struct slice text)
{
	int64_t pusd;
	json_t *v;

	if (decimal_parse(text, 12, false, &pusd) < 0 || pusd < 0) {
		(void)cmd_usage_error(cmd, "%s: expected USD such as 0.15, got `" SLICE_FMT "`", unit, SLICE_ARG(text));
		return false;
	}
	v = json_stringn(text.p, text.n);
	return json_object_set_new(rates, unit, v) == 0;
}

static bool read_rates(const struct cmd *cmd, const struct set_options *o, json_t *rates)
{
	for (size_t i = 0; i < ARRAY_LEN(rate_units); i++)
		if (o->rates[i] && !put_rate(cmd, rates, rate_units[i], slice_of(o->rates[i])))
			return false;
	for (size_t i = 0; i < o->more.n; i++) {
		struct slice name, value;
		char unit[32];

		if (!slice_cut(slice_of(o->more.v[i]), '=', &name, &value) ||
		    slice_to_cstr(name, unit, sizeof(unit)) != name.n) {
			(void)cmd_usage_error(cmd, "--rate: expected UNIT=USD, got `%s`", o->more.v[i]);
			return false;
		}
		if (!put_rate(cmd, rates, unit, value))
			return false;
	}
	return true;
}

/* As another model, under its own name: what the rates given do not say. */
static json_t *like_model(const struct view *v, const char *provider, const char *like)
{
	static const char *const left[] = {"id", "match"};
	bool inherited;
	json_t *m = model_named(v, provider, like, &inherited), *copy = m ? json_deep_copy(m) : NULL;

	for (size_t i = 0; copy && i < ARRAY_LEN(left); i++)
		(void)json_object_del(copy, left[i]);
	return copy;
}

/* The rates of every standard row, or a row of their own where there is none. Service tiers keep what they have. */
static int put_rows(json_t *model, const json_t *rates, const char *from)
{
	json_t *rows = json_object_get(model, "prices"), *row;
	size_t i;

	if (!rows) {
		row = json_pack("{s:s*,s:O}", "from", from, "rates", (json_t *)rates);
		return json_object_set_new(model, "prices", json_pack("[o]", row));
	}
	json_array_foreach(rows, i, row)
	{
		const char *service = text_of(row, "service");

		if (*service && strcmp(service, "standard") != 0)
			continue;
		if (json_object_update(json_object_get(row, "rates"), (json_t *)rates) < 0)
			return -1;
	}
	return 0;
}

static int set_model(const struct cmd *cmd, const struct args *args, const struct set_options *o, const struct view *v)
{
	struct prices_change c = {.cmd = cmd,
				  .settings = v->settings,
				  .config = args->config,
				  .dry_run = o->dry_run,
				  .force = true}; /* somebody wrote the figures by hand */
	json_t *rates = json_object(), *model, *local = json_deep_copy(v->books.local);
	char from[BOOK_DAY_MAX], name[MODEL_NAME_MAX + 1];
	int r = EXIT_USAGE;

	model = o->like ? like_model(v, args->words[1], o->like) : json_object();
	if (!model) {
		r = say(cmd, EXIT_FAILED, "--like: no price is known for that name");
		goto out;
	}
	if (!read_rates(cmd, o, rates) || (o->from && !read_day(cmd, o->from, from)))
		goto out;
	if (!o->like && json_object_size(rates) == 0) {
		r = cmd_usage_error(cmd, "which prices? --in USD --out USD, --rate UNIT=USD, or --like MODEL");
		goto out;
	}
	(void)snprintf(name, sizeof(name), "%s", args->words[2]);
	for (char *p = name; *p; p++)
		*p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
	r = EXIT_FAILED;
	if (json_object_set_new(model, "id", json_string(name)) < 0 ||
	    json_object_set_new(model, "match", json_pack("[[s,s]]", "eq", name)) < 0 ||
	    put_rows(model, rates, o->from ? from : NULL) < 0)
		goto out;
	if (local && import_set(local, args->words[1], json_incref(model)) == BUR_OK)
		r = prices_apply(&c, &v->books, local);
out:
	json_decref(rates);
	json_decref(model);
	json_decref(local);
	return r;
}

int prices_set(const struct cmd *cmd, int argc, char **argv)
{
	struct set_options o = {0};
	struct arg list[ARRAY_LEN(rate_names) + 4] = {{.name = "like", .value = &o.like},
						      {.name = "from", .value = &o.from},
						      {.name = "rate", .many = &o.more},
						      {.name = "dry-run", .flag = &o.dry_run}};
	struct view v = {0};
	struct args args;
	int r;

	for (size_t i = 0; i < ARRAY_LEN(rate_names); i++)
		list[4 + i] = (struct arg){.name = rate_names[i], .value = &o.rates[i]};
	r = args_read(cmd, argc, argv, list, ARRAY_LEN(list), 3, &args);
	if (r != ARGS_GO)
		return r;
	if (args.n_words != 3 || strlen(args.words[2]) > MODEL_NAME_MAX || strlen(args.words[1]) > 64)
		return cmd_usage_error(cmd, "which provider and model?");
	r = view_open(cmd, args.config, &v);
	if (r != EXIT_OK)
		return r;
	r = set_model(cmd, &args, &o, &v);
	view_close(&v);
	return r;
}

/* --- the words ---------------------------------------------------------------------------------------------------- */

static const struct {
	const char *word;
	int (*run)(const struct cmd *, int argc, char **argv);
} words[] = {
    {"show", prices_show},     {"check", prices_check}, {"set", prices_set},
    {"import", prices_import}, {"diff", prices_diff},   {"reprice", prices_reprice},
};

/* The word may stand behind options, as with every command. */
int cmd_prices(const struct cmd *cmd, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return cmd_print_help(cmd);
		for (size_t k = 0; k < ARRAY_LEN(words); k++)
			if (strcmp(words[k].word, argv[i]) == 0)
				return words[k].run(cmd, argc, argv);
	}
	return cmd_usage_error(cmd, "expected show, check, set, import, diff or reprice");
}
