/* bursar prices import and diff: price lists of others over the book; and how every change of local prices is made. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/args.h"
#include "app/ask.h"
#include "app/book.h"
#include "app/boot.h"
#include "app/fetch.h"
#include "app/prices_cmd.h"
#include "app/table.h"
#include "base/error.h"
#include "price/import.h"

#define ERROR_MAX 600
#define NOTES_SHOWN 20

static int say(const struct cmd *cmd, int exit_code, const char *text)
{
	(void)fprintf(stderr, "bursar %s: %s\n", cmd->name, text);
	return exit_code;
}

/* --- what changes ------------------------------------------------------------------------------------------------- */

static const struct table_column diff_columns[] = {
    {"PROVIDER", "provider", false}, {"MODEL", "model", false}, {"UNIT", "unit", false}, {"SERVICE", "service", false},
    {"OVER", "over", true},          {"OLD", "old", true},      {"NEW", "new", true},    {"CHANGE", "change", true},
};

static void print_notes(const json_t *notes)
{
	size_t n = json_array_size(notes);

	for (size_t i = 0; i < n && i < NOTES_SHOWN; i++)
		(void)fprintf(stderr, "  %s\n", json_string_value(json_array_get(notes, i)));
	if (n > NOTES_SHOWN)
		(void)fprintf(stderr, "  and %zu more models were left out\n", n - NOTES_SHOWN);
}

/* The first change may come before the first start. */
static int make_data(const struct settings *s, char err[BOOT_ERROR_MAX])
{
	struct boot boot = {0};
	int exit_code, r;

	if (access(s->data_dir, F_OK) == 0)
		return BUR_OK;
	r = boot_open(s, &boot, &exit_code, err);
	boot_close(&boot);
	return r;
}

static int write_local(const struct prices_change *c, const json_t *local)
{
	char err[BOOT_ERROR_MAX] = "";

	if (make_data(c->settings, err) < 0 || book_write_local(c->settings, local, err, sizeof(err)) < 0)
		return say(c->cmd, EXIT_FAILED, err);
	return prices_tell_server(c->cmd, c->config);
}

int prices_apply(const struct prices_change *c, const struct books *b, const json_t *new_local)
{
	char today[BOOK_DAY_MAX], err[ERROR_MAX] = "";
	json_t *after = NULL, *diff = NULL;
	size_t wild = 0, n;
	int r = EXIT_FAILED;

	if (book_with(c->settings, b->base, new_local, &after, err, sizeof(err)) < 0)
		return say(c->cmd, EXIT_FAILED, err[0] ? err : "out of memory");
	diff = import_diff(b->now, after, book_today(today), &wild);
	n = json_array_size(diff);
	if (!diff || table_print(stdout, diff, diff_columns, ARRAY_LEN(diff_columns), c->format) != EXIT_OK)
		goto out;
	if (c->format == TABLE_TEXT)
		printf("%zu prices change\n", n);
	if (wild > 0 && !c->force) {
		(void)snprintf(err, sizeof(err),
			       "%zu prices fall by more than half or rise to more than three times; nothing was "
			       "written. Look at them, then say --force",
			       wild);
		r = say(c->cmd, EXIT_FAILED, err);
		goto out;
	}
	r = EXIT_OK;
	if (c->dry_run || json_equal(b->local, new_local))
		goto out;
	r = write_local(c, new_local);
out:
	json_decref(after);
	json_decref(diff);
	return r;
}

/* --- import and diff ---------------------------------------------------------------------------------------------- */

static const char *const format_names[] = {"auto", "bursar", "genai", "litellm", "models.dev", "openrouter"};

struct import_options {
	const char *format, *provider, *sha256, *output;
	bool dry_run, force;
};

static bool read_format(const struct cmd *cmd, const char *text, enum import_format *ret)
{
	*ret = IMPORT_AUTO;
	for (size_t i = 0; text && i < ARRAY_LEN(format_names); i++)
		if (strcmp(format_names[i], text) == 0) {
			*ret = (enum import_format)i;
			return true;
		}
	if (!text)
		return true;
	(void)cmd_usage_error(
	    cmd, "--format: expected auto, litellm, models.dev, openrouter, genai or bursar, got `%s`", text);
	return false;
}

/* The list as local prices; what could not be taken is said. */
static int read_list(const struct cmd *cmd, const char *from, const struct import_options *o, const struct books *b,
		     const struct import_ask *ask, json_t **ret)
{
	struct fetched f = {0};
	char err[ERROR_MAX] = "out of memory";
	json_t *tree = NULL, *notes = NULL;
	int r = fetch_list(from, o->sha256, &f, err, sizeof(err));

	if (r == BUR_OK)
		r = import_read(slice_mem(f.mem, f.n), &tree, err, sizeof(err));
	if (r == BUR_OK)
		r = import_convert(tree, ask, ret, &notes, err, sizeof(err));
	if (r == BUR_OK) {
		import_our_names(b->base, *ret);
		r = import_keep_windows(b->base, *ret, notes);
		if (json_array_size(notes) > 0) {
			(void)fprintf(stderr, "left out:\n");
			print_notes(notes);
		}
	}
	json_decref(notes);
	json_decref(tree);
	free(f.mem);
	return r == BUR_OK ? EXIT_OK : say(cmd, EXIT_FAILED, err);
}

static int import_with(const struct prices_change *c, const char *from, const struct import_options *o,
		       enum import_format format)
{
	char today[BOOK_DAY_MAX], err[BOOT_ERROR_MAX] = "";
	struct import_ask ask = {.format = format, .provider = o->provider, .today = book_today(today)};
	json_t *fresh = NULL, *local = NULL;
	struct books b;
	int r;

	if (book_open(c->settings, &b, err, sizeof(err)) < 0)
		return say(c->cmd, EXIT_FAILED, err[0] ? err : "out of memory");
	r = read_list(c->cmd, from, o, &b, &ask, &fresh);
	if (r == EXIT_OK) {
		local = json_deep_copy(b.local);
		r = local && import_drop_same(b.base, local, fresh, today) == BUR_OK &&
			    import_keep(local, fresh, today) == BUR_OK
			? prices_apply(c, &b, local)
			: say(c->cmd, EXIT_FAILED, "out of memory");
	}
	json_decref(local);
	json_decref(fresh);
	book_done(&b);
	return r;
}

static int import_or_diff(const struct cmd *cmd, int argc, char **argv, bool diff)
{
	struct import_options o = {.dry_run = diff};
	const struct arg list[] = {
	    {.name = "format", .value = &o.format},  {.name = "provider", .value = &o.provider},
	    {.name = "sha256", .value = &o.sha256},  {.name = "output", .value = &o.output},
	    {.name = "dry-run", .flag = &o.dry_run}, {.name = "force", .flag = &o.force},
	};
	struct prices_change c = {.cmd = cmd};
	enum import_format format;
	struct settings *s;
	struct args args;
	int r = args_read(cmd, argc, argv, list, ARRAY_LEN(list), 2, &args);

	if (r != ARGS_GO)
		return r;
	if (args.n_words != 2)
		return cmd_usage_error(cmd, "which file or https:// address?");
	if (!read_format(cmd, o.format, &format) || !table_format(cmd, o.output, &c.format))
		return EXIT_USAGE;
	r = cmd_settings(cmd, args.config, &s);
	if (r != EXIT_OK)
		return r;
	c.settings = s;
	c.config = args.config;
	c.dry_run = o.dry_run || diff;
	c.force = o.force || diff;
	r = import_with(&c, args.words[1], &o, format);
	settings_free(s);
	return r;
}

int prices_import(const struct cmd *cmd, int argc, char **argv)
{
	return import_or_diff(cmd, argc, argv, false);
}

int prices_diff(const struct cmd *cmd, int argc, char **argv)
{
	return import_or_diff(cmd, argc, argv, true);
}
