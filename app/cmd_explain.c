/* bursar explain: why a call is, would be or was admitted or refused. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/args.h"
#include "app/ask.h"
#include "app/files.h"
#include "app/table.h"
#include "base/error.h"

#define REQUEST_MAX (64 * 1024 * 1024)
#define COLUMNS_MAX 16
#define SERVER_BODY_MAX (256 * 1024) /* of the admin listener */

static const struct table_column budget_columns[] = {
    {"BUDGET", "name", false},
    {"SCOPE", "scope", false},
    {"MODE", "mode", false},
    {"UNIT", "unit", false},
    {"LIMIT", "limit", true},
    {"CREDIT", "credit", true},
    {"SPENT", "spent", true},
    {"HELD", "held", true},
    {"LEFT", "left", true},
    {"NEED", "need", true},
    {"SHARE%", "share_percent", true},
    {"STEPS REACHED", "reached", false},
    {"VERDICT", "verdict", false},
};
static const struct table_column window_columns[] = {
    {"BUDGET", "name", false}, {"WINDOW", "window", false}, {"FROM", "from", false},
    {"TO", "to", false},       {"ZONE", "zone", false},
};
static const struct table_column other_columns[] = {{"NOT MATCHING", "name", false}, {"BECAUSE", "because", false}};
static const struct table_column rung_columns[] = {
    {"RUNG", "rung", false}, {"RESULT", "result", false}, {"WHY", "text", false}};
static const struct table_column counter_columns[] = {
    {"BUDGET", "budget", false},
    {"SCOPE", "scope", false},
    {"UNIT", "unit", false},
    {"FROM", "from", false},
    {"TO", "to", false},
    {"ADDED", "amount", true},
    {"WINDOW NOW", "window_total", true},
};
static const struct table_column line_columns[] = {
    {"MODEL", "model", false},     {"UNIT", "unit", false}, {"QUANTITY", "quantity", true},
    {"USD", "rate_usd", true},     {"PER", "per", true},    {"COSTS USD", "usd", true},
    {"SERVICE", "service", false}, {"FROM", "from", false}, {"UNTIL", "until", false},
};
static const struct table_column correction_columns[] = {
    {"CORRECTION", "id", false}, {"KIND", "kind", false}, {"WRITTEN", "settled_at", false}, {"USD", "usd", true}};

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static long long number(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

/* Names come from elsewhere: nothing of them may move the cursor. */
static void print_value(const char *label, const json_t *v)
{
	char *cell = table_cell(v);

	if (cell && cell[0])
		printf("%-11s %s\n", label, cell);
	free(cell);
}

/* Columns in which nothing stands are left out. */
static bool is_empty(const json_t *rows, const char *key)
{
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *v = json_object_get(json_array_get(rows, i), key);

		if (v && !json_is_null(v) && !(json_is_string(v) && json_string_length(v) == 0))
			return false;
	}
	return true;
}

static int print_table(const json_t *rows, const struct table_column *columns, size_t n)
{
	struct table_column used[COLUMNS_MAX];
	size_t n_used = 0;

	if (json_array_size(rows) == 0)
		return EXIT_OK;
	for (size_t i = 0; i < n; i++)
		if (!is_empty(rows, columns[i].key))
			used[n_used++] = columns[i];
	putchar('\n');
	return table_print(stdout, rows, used, n_used, TABLE_TEXT);
}

/* --- a call that is asked about ----------------------------------------------------------------------------------- */

/* "alert 75, block 100", of those that are reached. */
static void name_steps(json_t *budgets)
{
	for (size_t i = 0; i < json_array_size(budgets); i++) {
		json_t *b = json_array_get(budgets, i), *steps = json_object_get(b, "steps");
		char all[400] = "";
		size_t n = 0;

		for (size_t k = 0; k < json_array_size(steps) && n < sizeof(all); k++) {
			const json_t *s = json_array_get(steps, k);

			if (json_is_true(json_object_get(s, "reached")))
				n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s %g", n ? ", " : "",
						      text(s, "action"),
						      json_real_value(json_object_get(s, "at_percent")));
		}
		(void)json_object_set_new(b, "reached", json_string(all));
	}
}

static void print_question(const json_t *a)
{
	static const char *const who[] = {"key", "user", "team", "project", "tags"};
	const json_t *p = json_object_get(a, "principal"), *q = json_object_get(a, "request");

	for (size_t i = 0; i < ARRAY_LEN(who); i++)
		print_value(who[i], json_object_get(p, who[i]));
	printf("%-11s %s\n", "key is", text(p, "key_state"));
	printf("%-11s %s %s, %s%s, input %s", "call", text(q, "provider"), text(q, "model"), text(q, "route"),
	       json_is_true(json_object_get(q, "stream")) ? ", stream" : "", text(q, "input"));
	if (json_is_integer(json_object_get(q, "max_out")))
		printf(", at most %lld tokens out", number(q, "max_out"));
	printf("\n%-11s %s, price book %lld\n", "priced as", text(a, "priced_as")[0] ? text(a, "priced_as") : "unknown",
	       number(a, "price_version"));
}

static void print_decision(const json_t *d)
{
	const json_t *headers = json_object_get(d, "headers"), *wait = json_object_get(d, "delay_s");
	const char *name;
	json_t *v;

	putchar('\n');
	if (!json_is_true(json_object_get(d, "admitted"))) {
		printf("REFUSED with %lld %s%s\n", number(d, "status"), text(d, "code"),
		       json_is_true(json_object_get(d, "retry")) ? ", the client may try again" : "");
		print_value("message", json_object_get(d, "message"));
		return;
	}
	printf("ADMITTED: %s USD are held, %s is called", text(d, "held_usd"), text(d, "model"));
	if (json_is_integer(json_object_get(d, "max_out")))
		printf(" with at most %lld output tokens", number(d, "max_out"));
	if (json_real_value(wait) > 0)
		printf(", after about %.3f s", json_real_value(wait));
	putchar('\n');
	json_object_foreach((json_t *)(uintptr_t)headers, name, v) print_value(name, v);
}

static int print_request(json_t *a)
{
	json_t *budgets = json_object_get(a, "budgets");
	int r;

	name_steps(budgets);
	print_question(a);
	if (json_array_size(budgets) == 0)
		printf("\nno budget matches\n");
	r = print_table(budgets, budget_columns, ARRAY_LEN(budget_columns));
	r |= print_table(budgets, window_columns, ARRAY_LEN(window_columns));
	r |= print_table(json_object_get(a, "others"), other_columns, ARRAY_LEN(other_columns));
	r |= print_table(json_object_get(a, "ladder"), rung_columns, ARRAY_LEN(rung_columns));
	print_decision(json_object_get(a, "decision"));
	return r;
}

/* --- a call of the past ------------------------------------------------------------------------------------------- */

static int print_price(const json_t *p)
{
	int r = print_table(json_object_get(p, "lines"), line_columns, ARRAY_LEN(line_columns));

	if (text(p, "note")[0])
		printf("\nthe figure comes from %s: %s\n", text(p, "source"), text(p, "note"));
	else
		printf("\nexactly %s USD, rounded up once: %s USD%s\n", text(p, "exact_usd"), text(p, "rounded_up_usd"),
		       json_is_true(json_object_get(p, "same_as_charged")) ? ", as charged"
									   : "; the row says another amount");
	return r;
}

static int print_call(const json_t *a)
{
	static const char *const names[] = {"key",   "user",  "team", "project",     "provider",   "model",
					    "route", "extra", "id",   "admitted_at", "settled_at", "status"};
	const json_t *c = json_object_get(a, "call"), *p = json_object_get(c, "price");
	const json_t *corrections = json_object_get(a, "corrections");
	int r;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		print_value(names[i], json_object_get(c, names[i]));
	printf("%-11s %lld in, %lld out\n%-11s %s USD\n%-11s %s USD\n%-11s %lld\n", "tokens", number(c, "input_tokens"),
	       number(c, "output_tokens"), "held", text(c, "held_usd"), "charged", text(c, "usd"), "price book",
	       number(p, "version"));
	r = print_price(p);
	r |= print_table(json_object_get(c, "counters"), counter_columns, ARRAY_LEN(counter_columns));
	r |= print_table(corrections, correction_columns, ARRAY_LEN(correction_columns));
	if (json_array_size(corrections) > 0)
		printf("\nwith its corrections it costs %s USD\n", text(a, "costs_usd"));
	return r;
}

/* --- the command -------------------------------------------------------------------------------------------------- */

struct options {
	const char *key, *user, *team, *project, *provider, *model, *path, *tokens, *max_out, *request, *call, *format;
	struct args_many tags;
	bool stream, no_degrade, all;
};

static int put_texts(const struct options *o, json_t *q)
{
	const struct {
		const char *field, *value;
	} texts[] = {{"key", o->key},           {"user", o->user},   {"team", o->team}, {"project", o->project},
		     {"provider", o->provider}, {"model", o->model}, {"path", o->path}, {"call", o->call}};
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i].value)
			r |= json_object_set_new(q, texts[i].field, json_string(texts[i].value));
	if (o->stream)
		r |= json_object_set_new(q, "stream", json_true());
	if (o->no_degrade)
		r |= json_object_set_new(q, "no_degrade", json_true());
	if (o->all)
		r |= json_object_set_new(q, "all", json_true());
	return r;
}

static int put_tags(const struct cmd *cmd, const struct options *o, json_t *q)
{
	json_t *tags = json_object();

	for (size_t i = 0; i < o->tags.n; i++) {
		const char *eq = strchr(o->tags.v[i], '=');

		if (!eq || eq == o->tags.v[i]) {
			json_decref(tags);
			return cmd_usage_error(cmd, "--tag %s: expected such as env=prod", o->tags.v[i]);
		}
		(void)json_object_setn_new(tags, o->tags.v[i], (size_t)(eq - o->tags.v[i]), json_string(eq + 1));
	}
	return json_object_set_new(q, "tags", tags) == 0 ? EXIT_OK : EXIT_FAILED;
}

static int put_counts(const struct cmd *cmd, const struct options *o, json_t *q)
{
	const struct {
		const char *option, *field, *value;
	} counts[] = {{"input-tokens", "input_tokens", o->tokens}, {"max-out", "max_out", o->max_out}};
	unsigned long long n;

	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		if (!counts[i].value)
			continue;
		if (!args_number(cmd, counts[i].option, counts[i].value, 0, 1000000000000ull, &n))
			return EXIT_USAGE;
		(void)json_object_set_new(q, counts[i].field, json_integer((json_int_t)n));
	}
	return EXIT_OK;
}

static int put_request(const struct cmd *cmd, const char *path, json_t *q)
{
	char *body = NULL;
	json_t *v;
	size_t n = 0;
	int r;

	if (!path)
		return EXIT_OK;
	r = files_read(path, REQUEST_MAX, &body, &n);
	if (r < 0) {
		(void)fprintf(stderr, "bursar %s: %s: %s\n", cmd->name, path, bur_strerror(r));
		return EXIT_FAILED;
	}
	v = json_stringn(body, n);
	free(body);
	if (!v) {
		(void)fprintf(stderr, "bursar %s: %s is no UTF-8 text; a request body in JSON is expected\n", cmd->name,
			      path);
		return EXIT_FAILED;
	}
	return json_object_set_new(q, "body", v) == 0 ? EXIT_OK : EXIT_FAILED;
}

static int check(const struct cmd *cmd, const struct options *o)
{
	if (o->call && (o->provider || o->request || o->key))
		return cmd_usage_error(cmd, "--call alone names a call of the past");
	if (!o->call && !o->provider)
		return cmd_usage_error(cmd,
				       "which call? --provider openai --model gpt-5, --request FILE, or --call ID");
	if (!o->call && !o->request && !o->model && !o->path)
		return cmd_usage_error(cmd, "which model? --model gpt-5");
	if (o->request && !o->path)
		return cmd_usage_error(cmd, "--request needs --path: where it is sent, such as /v1/chat/completions");
	if (o->request && (o->tokens || o->max_out || o->stream))
		return cmd_usage_error(cmd, "--request says itself how much it asks for");
	return EXIT_OK;
}

static int ask(const struct cmd *cmd, const char *config, const json_t *q, enum table_format format, bool past)
{
	char *body = json_dumps(q, JSON_COMPACT);
	struct admin_question wire = {.config = config,
				      .method = "POST",
				      .target = "/api/v1/explain",
				      .body = slice_of(body),
				      .needs_data = true};
	json_t *answer = NULL;
	int r = body ? ask_json(cmd, &wire, &answer) : EXIT_FAILED;

	if (r != EXIT_OK && body && strlen(body) > SERVER_BODY_MAX)
		(void)fprintf(stderr,
			      "bursar %s: a running server reads requests up to 256 KiB here; shorten the text, or ask "
			      "while it is stopped\n",
			      cmd->name);
	free(body);
	if (r != EXIT_OK)
		return r;
	if (format == TABLE_JSON)
		r = json_dumpf(answer, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) == 0 && putchar('\n') != EOF
			? EXIT_OK
			: EXIT_FAILED;
	else
		r = past ? print_call(answer) : print_request(answer);
	json_decref(answer);
	return r;
}

int cmd_explain(const struct cmd *cmd, int argc, char **argv)
{
	struct options o = {0};
	const struct arg list[] = {
	    {.name = "key", .value = &o.key},         {.name = "user", .value = &o.user},
	    {.name = "team", .value = &o.team},       {.name = "project", .value = &o.project},
	    {.name = "tag", .many = &o.tags},         {.name = "provider", .value = &o.provider},
	    {.name = "model", .value = &o.model},     {.name = "path", .value = &o.path},
	    {.name = "request", .value = &o.request}, {.name = "input-tokens", .value = &o.tokens},
	    {.name = "max-out", .value = &o.max_out}, {.name = "stream", .flag = &o.stream},
	    {.name = "all", .flag = &o.all},          {.name = "no-degrade", .flag = &o.no_degrade},
	    {.name = "call", .value = &o.call},       {.name = "format", .value = &o.format},
	};
	enum table_format format;
	struct args args;
	json_t *q;
	int r = args_read(cmd, argc, argv, list, ARRAY_LEN(list), 0, &args);

	if (r != ARGS_GO)
		return r;
	r = check(cmd, &o);
	if (r != EXIT_OK || !table_format(cmd, o.format, &format))
		return EXIT_USAGE;
	if (format == TABLE_CSV)
		return cmd_usage_error(cmd, "--format: expected table or json");
	q = json_object();
	if (!q || put_texts(&o, q) != 0)
		r = EXIT_FAILED;
	if (r == EXIT_OK && o.tags.n > 0)
		r = put_tags(cmd, &o, q);
	if (r == EXIT_OK)
		r = put_counts(cmd, &o, q);
	if (r == EXIT_OK)
		r = put_request(cmd, o.request, q);
	if (r == EXIT_OK)
		r = ask(cmd, args.config, q, format, o.call != NULL);
	json_decref(q);
	return r;
}
