/* bursar prices reprice: past calls at today's prices. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/args.h"
#include "app/ask.h"
#include "app/prices_cmd.h"
#include "app/table.h"
#include "base/amount.h"
#include "base/error.h"

/* --- reprice ------------------------------------------------------------------------------------------------------ */

static const struct table_column reprice_columns[] = {
    {"PROVIDER", "provider", false}, {"MODEL", "model", false},    {"CALLS", "calls", true},
    {"OLD USD", "old_usd", true},    {"NEW USD", "new_usd", true}, {"DELTA USD", "delta_usd", true},
};

struct reprice_options {
	const char *config, *since, *until, *provider, *model, *format;
	bool dry_run, yes;
};

/* What all pieces together say. */
struct reprice_sum {
	json_t *models; /* array of the answer's models, one for each model */
	json_int_t rows, changed, unpriced;
};

static json_t *ask_piece(const struct cmd *cmd, const struct reprice_options *o, bool dry_run, json_int_t after)
{
	struct admin_question q = {
	    .config = o->config, .method = "POST", .target = "/api/v1/prices/reprice", .needs_data = true};
	json_t *body = json_pack("{s:b,s:I,s:s*,s:s*,s:s*,s:s*,s:s}", "dry_run", dry_run, "after", after, "since",
				 o->since, "until", o->until, "provider", o->provider, "model", o->model, "actor",
				 "bursar prices reprice"),
	       *answer = NULL;
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	json_decref(body);
	if (!text)
		return NULL;
	q.body = slice_of(text);
	if (ask_json(cmd, &q, &answer) != EXIT_OK)
		answer = NULL;
	free(text);
	return answer;
}

static bool add_usd(json_t *to, const json_t *from, const char *key)
{
	const char *a = json_string_value(json_object_get(to, key)), *b = json_string_value(json_object_get(from, key));
	char text[AMOUNT_TEXT_MAX];
	int64_t x, y;

	return a && b && decimal_parse(slice_of(a), 9, false, &x) == BUR_OK &&
	       decimal_parse(slice_of(b), 9, false, &y) == BUR_OK && amount_add(x, y, &x) == BUR_OK &&
	       json_object_set_new(to, key, json_string(amount_format_usd(x, text))) == 0;
}

static bool add_model(json_t *models, json_t *m)
{
	json_t *have;
	size_t i;

	json_array_foreach(models, i, have)
	{
		if (!json_equal(json_object_get(have, "provider"), json_object_get(m, "provider")) ||
		    !json_equal(json_object_get(have, "model"), json_object_get(m, "model")))
			continue;
		return json_object_set_new(have, "calls",
					   json_integer(json_integer_value(json_object_get(have, "calls")) +
							json_integer_value(json_object_get(m, "calls")))) == 0 &&
		       add_usd(have, m, "old_usd") && add_usd(have, m, "new_usd") && add_usd(have, m, "delta_usd");
	}
	return json_array_append(models, m) == 0;
}

/* false: told already, or out of memory. */
static bool all_pieces(const struct cmd *cmd, const struct reprice_options *o, bool dry_run, struct reprice_sum *sum)
{
	json_int_t after = 0;
	bool more = true, good = true;

	while (more && good) {
		json_t *answer = ask_piece(cmd, o, dry_run, after), *next, *m;
		size_t i;

		if (!answer)
			return false;
		json_array_foreach(json_object_get(answer, "models"), i, m) good = add_model(sum->models, m) && good;
		sum->rows += json_integer_value(json_object_get(answer, "rows"));
		sum->changed += json_integer_value(json_object_get(answer, "changed"));
		sum->unpriced += json_integer_value(json_object_get(answer, "unpriced"));
		next = json_object_get(answer, "next");
		more = json_is_integer(next) && json_integer_value(next) > after;
		after = json_integer_value(next);
		json_decref(answer);
	}
	return good;
}

static int print_reprice(const struct reprice_sum *sum, bool dry_run, enum table_format format)
{
	int r;

	if (format == TABLE_JSON) {
		json_t *o = json_pack("{s:b,s:I,s:I,s:I,s:O}", "dry_run", dry_run, "rows", sum->rows, "changed",
				      sum->changed, "unpriced", sum->unpriced, "models", sum->models);

		r = o && json_dumpf(o, stdout, JSON_INDENT(2)) == 0 && putchar('\n') != EOF ? EXIT_OK : EXIT_FAILED;
		json_decref(o);
		return r;
	}
	r = json_array_size(sum->models) > 0
		? table_print(stdout, sum->models, reprice_columns, ARRAY_LEN(reprice_columns), format)
		: EXIT_OK;
	if (format == TABLE_TEXT)
		printf("%lld calls looked at, %lld %s%s\n", (long long)sum->rows, (long long)sum->changed,
		       dry_run ? "would change" : "corrected", sum->unpriced ? "; some have no price in the book" : "");
	return r;
}

static bool confirmed(const struct cmd *cmd)
{
	char line[16];

	if (!isatty(STDIN_FILENO)) {
		(void)cmd_usage_error(cmd, "say --yes to write corrections, or --dry-run to look");
		return false;
	}
	(void)fprintf(stderr, "write these corrections to the ledger? [y/N] ");
	return fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y');
}

static int reprice_all(const struct cmd *cmd, const struct reprice_options *o, enum table_format format)
{
	struct reprice_sum sum = {.models = json_array()};
	bool write = !o->dry_run, good = sum.models != NULL;
	int r = EXIT_FAILED;

	/* Without --yes it is first shown, then asked. */
	if (good && (o->dry_run || !o->yes)) {
		good = all_pieces(cmd, o, true, &sum);
		r = good ? print_reprice(&sum, true, format) : EXIT_FAILED;
		write = good && write && sum.changed > 0 && confirmed(cmd);
		if (write) {
			(void)json_array_clear(sum.models);
			sum = (struct reprice_sum){.models = sum.models};
		}
	}
	if (good && write) {
		good = all_pieces(cmd, o, false, &sum);
		r = good ? print_reprice(&sum, false, format) : EXIT_FAILED;
	}
	json_decref(sum.models);
	return r;
}

int prices_reprice(const struct cmd *cmd, int argc, char **argv)
{
	struct reprice_options o = {0};
	const struct arg list[] = {
	    {.name = "since", .value = &o.since},           {.name = "until", .value = &o.until},
	    {.name = "provider", .value = &o.provider},     {.name = "model", .value = &o.model},
	    {.name = "format", .value = &o.format},         {.name = "dry-run", .flag = &o.dry_run},
	    {.name = "yes", .letter = 'y', .flag = &o.yes},
	};
	enum table_format format;
	struct args args;
	int r = args_read(cmd, argc, argv, list, ARRAY_LEN(list), 1, &args);

	if (r != ARGS_GO)
		return r;
	if (!table_format(cmd, o.format, &format))
		return EXIT_USAGE;
	o.config = args.config;
	if (!o.dry_run && !o.yes && !isatty(STDIN_FILENO))
		return cmd_usage_error(cmd, "say --yes to write corrections, or --dry-run to look");
	return reprice_all(cmd, &o, format);
}
