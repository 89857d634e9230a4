/* bursar simulate: the calls of the last days once more, under another policy file. */
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/args.h"
#include "app/boot.h"
#include "app/simulate.h"
#include "app/table.h"
#include "base/calendar.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "store/past.h"

#define DAYS_MAX 36500
#define DAY_NS (86400 * NS_PER_S)

static const struct table_column budget_columns[] = {
    {"BUDGET", "name", false},        {"MODE", "mode", false},          {"WINDOW", "window", false},
    {"UNIT", "unit", false},          {"LIMIT", "limit", true},         {"BLOCKED", "blocked", true},
    {"HELD", "held_back", true},      {"PACED OUT", "paced_out", true}, {"USD NOT SPENT", "blocked_usd", true},
    {"THROTTLED", "throttled", true}, {"PACED", "paced", true},         {"DEGRADED", "degraded", true},
    {"CLAMPED", "clamped", true},     {"SHADOW", "would_block", true},  {"FIRST BLOCK", "first_block_at", false},
};
#define COLUMNS_ALWAYS 6 /* the first ones */
/* A spreadsheet has room for all of it. */
static const struct table_column csv_columns[] = {
    {"", "name", false},
    {"", "mode", false},
    {"", "window", false},
    {"", "unit", false},
    {"", "limit", true},
    {"", "blocked", true},
    {"", "held_back", true},
    {"", "paced_out", true},
    {"", "blocked_usd", true},
    {"", "throttled", true},
    {"", "paced", true},
    {"", "delay_s", true},
    {"", "worst_delay_s", true},
    {"", "degraded", true},
    {"", "degrade_saved_usd", true},
    {"", "clamped", true},
    {"", "clamp_saved_usd", true},
    {"", "would_block", true},
    {"", "first_block_at", false},
    {"", "first_block_call", false},
};

/* --- for people --------------------------------------------------------------------------------------------------- */

static long long number(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void line(const char *what, long long n, const char *more, const char *after)
{
	if (n > 0)
		printf("  %-34s %10lld  %s%s\n", what, n, more, after);
}

static void print_totals(const json_t *a)
{
	printf("%s to %s: %lld calls that cost %s USD\n\n", text(a, "from"), text(a, "to"), number(a, "calls"),
	       text(a, "spent_usd"));
	printf("  %-34s %10lld\n", "admitted", number(a, "admitted"));
	line("blocked, budget spent (402)", number(a, "blocked"), "", "");
	line("blocked, money held by others (429)", number(a, "held_back"), "", "");
	line("blocked, paced too long (429)", number(a, "paced_out"), "", "");
	line("refused, no budget (403)", number(a, "no_budget"), "", "");
	line("refused, price unknown (400)", number(a, "price_unknown"), "", "");
	line("throttled", number(a, "throttled"), "", "");
	line("paced", number(a, "paced"), "", "");
	line("degraded to a cheaper model", number(a, "degraded"), text(a, "degrade_saved_usd"), " USD saved");
	line("clamped to fewer tokens, at most", number(a, "clamped"), text(a, "clamp_saved_usd"), " USD saved");
	line("shadow budgets would have blocked", number(a, "would_block"), "", "");
	line("not simulated (too many counters)", number(a, "not_simulated"), "", "");
	if (strcmp(text(a, "delay_s"), "0.000") != 0)
		printf("  %-34s %10s  worst %s\n", "seconds waited", text(a, "delay_s"), text(a, "worst_delay_s"));
	printf("\n  not spent %s USD: %s instead of %s\n", text(a, "not_spent_usd"), text(a, "would_have_spent_usd"),
	       text(a, "spent_usd"));
	if (text(a, "first_block_at")[0])
		printf("  first refusal %s, call %s\n", text(a, "first_block_at"), text(a, "first_block_call"));
}

static int print_top(const json_t *a, const char *key, const char *title)
{
	const struct table_column columns[] = {
	    {title, "name", false},         {"REFUSED", "refused", true}, {"SLOWED", "slowed", true},
	    {"DEGRADED", "degraded", true}, {"CLAMPED", "clamped", true}, {"NOT SPENT USD", "not_spent_usd", true},
	};
	const json_t *rows = json_object_get(a, key);

	if (json_array_size(rows) == 0)
		return EXIT_OK;
	putchar('\n');
	return table_print(stdout, rows, columns, ARRAY_LEN(columns), TABLE_TEXT);
}

/* A column of counts in which nothing stands says nothing. */
static bool says_something(const json_t *rows, const char *key)
{
	const json_t *v = json_object_get(json_array_get(rows, 0), key);

	if (!json_is_integer(v))
		return true;
	for (size_t i = 0; i < json_array_size(rows); i++)
		if (number(json_array_get(rows, i), key) != 0)
			return true;
	return false;
}

static int print_budgets(const json_t *rows)
{
	struct table_column columns[ARRAY_LEN(budget_columns)];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(budget_columns); i++)
		if (i < COLUMNS_ALWAYS || says_something(rows, budget_columns[i].key))
			columns[n++] = budget_columns[i];
	putchar('\n');
	return table_print(stdout, rows, columns, n, TABLE_TEXT);
}

static int print_text(const json_t *a)
{
	const json_t *notes = json_object_get(a, "assumptions");
	int r;

	print_totals(a);
	r = print_budgets(json_object_get(a, "budgets"));
	r |= print_top(a, "keys", "KEY");
	r |= print_top(a, "teams", "TEAM");
	r |= print_top(a, "models", "MODEL");
	printf("\nwhat this assumes, and where it ends:\n");
	for (size_t i = 0; i < json_array_size(notes); i++)
		printf("  - %s\n", json_string_value(json_array_get(notes, i)));
	return r;
}

static int print(const json_t *a, enum table_format format)
{
	switch (format) {
	case TABLE_JSON:
		return table_print(stdout, a, csv_columns, ARRAY_LEN(csv_columns), TABLE_JSON);
	case TABLE_CSV:
		return table_print(stdout, json_object_get(a, "budgets"), csv_columns, ARRAY_LEN(csv_columns),
				   TABLE_CSV);
	case TABLE_TEXT:
		break;
	}
	return print_text(a);
}

/* --- progress ----------------------------------------------------------------------------------------------------- */

struct watch {
	int64_t begin_ns, told_ns;
	bool terminal;
};

static void tell(void *ctx, uint64_t rows, uint64_t of)
{
	struct watch *w = ctx;
	int64_t now = clock_mono_ns(), ms = (now - w->begin_ns) / NS_PER_MS;
	bool done = rows == of;

	if (!done && now - w->told_ns < NS_PER_S)
		return;
	w->told_ns = now;
	(void)fprintf(stderr, "%s%llu of %llu rows, %llu rows/s%s", w->terminal ? "\r" : "", (unsigned long long)rows,
		      (unsigned long long)of, (unsigned long long)(rows * 1000 / (uint64_t)(ms > 0 ? ms : 1)),
		      done || !w->terminal ? "\n" : "");
}

/* --- the command -------------------------------------------------------------------------------------------------- */

struct options {
	const char *days, *from, *to, *data, *format;
};

static bool read_span(const struct cmd *cmd, const struct options *o, struct simulate_ask *ask)
{
	unsigned long long days = 30;

	ask->to_ns = clock_wall_ns();
	if (o->days && o->from) {
		(void)cmd_usage_error(cmd, "--days or --from, not both");
		return false;
	}
	if (o->days && !args_number(cmd, "days", o->days, 1, DAYS_MAX, &days))
		return false;
	if ((o->to && time_parse(slice_of(o->to), &ask->to_ns) < 0) ||
	    (o->from && time_parse(slice_of(o->from), &ask->from_ns) < 0)) {
		(void)cmd_usage_error(cmd, "expected a date or time such as 2026-11-21 or 2026-11-21T12:00:00Z");
		return false;
	}
	if (!o->from)
		ask->from_ns = ask->to_ns - (int64_t)days * DAY_NS;
	if (ask->from_ns < ask->to_ns)
		return true;
	(void)cmd_usage_error(cmd, "--from is not before --to");
	return false;
}

static int run(const struct cmd *cmd, struct simulate_ask *ask, const char *data, enum table_format format)
{
	char err[BOOT_ERROR_MAX] = "";
	struct sqlite3 *reader = NULL;
	json_t *answer = NULL;
	int r = past_connect(data, &reader);

	if (r < 0) {
		(void)fprintf(stderr, "bursar %s: there is no ledger to read in %s: %s\n", cmd->name, data,
			      bur_strerror(r));
		return EXIT_FAILED;
	}
	r = simulate(ask, reader, &answer, err, sizeof(err));
	(void)sqlite3_close(reader);
	if (r < 0) {
		(void)fprintf(stderr, "bursar %s: %s\n", cmd->name, err[0] ? err : bur_strerror(r));
		return r == BUR_INVALID ? EXIT_USAGE : EXIT_FAILED;
	}
	r = print(answer, format);
	json_decref(answer);
	return r;
}

int cmd_simulate(const struct cmd *cmd, int argc, char **argv)
{
	struct options o = {0};
	const struct arg list[] = {
	    {.name = "days", .value = &o.days}, {.name = "from", .value = &o.from},     {.name = "to", .value = &o.to},
	    {.name = "data", .value = &o.data}, {.name = "format", .value = &o.format},
	};
	struct watch watch = {.terminal = isatty(STDERR_FILENO)};
	struct simulate_ask ask = {.progress = tell, .ctx = &watch};
	struct price_book *book = NULL;
	char err[BOOT_ERROR_MAX];
	enum table_format format;
	struct settings *s;
	struct args args;
	int r = args_read(cmd, argc, argv, list, ARRAY_LEN(list), 0, &args);

	if (r != ARGS_GO)
		return r;
	if (!table_format(cmd, o.format, &format) || !read_span(cmd, &o, &ask))
		return EXIT_USAGE;
	r = cmd_settings(cmd, args.config, &s);
	if (r != EXIT_OK)
		return r;
	log_init(STDERR_FILENO, LOG_ERROR);
	if (boot_price_book(s, &book, NULL, NULL, err) < 0) {
		(void)fprintf(stderr, "bursar %s: %s\n", cmd->name, err);
		r = EXIT_FAILED;
	}
	ask.settings = s;
	ask.book = book;
	watch.begin_ns = watch.told_ns = clock_mono_ns();
	if (r == EXIT_OK)
		r = run(cmd, &ask, o.data ? o.data : s->data_dir, format);
	price_book_unref(book);
	settings_free(s);
	return r;
}
