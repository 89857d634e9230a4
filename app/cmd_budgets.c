/* bursar budgets and bursar ledger: the two lists people look at. Changes are in cmd_operate.c. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/args.h"
#include "app/ask.h"
#include "app/budgets_cmd.h"
#include "app/table.h"

static const struct table_column budget_columns[] = {
    {"NAME", "name", false},        {"SCOPE", "scope", false},       {"WINDOW", "window", false},
    {"MODE", "mode", false},        {"UNIT", "unit", false},         {"LIMIT", "limit", true},
    {"CREDIT", "credit", true},     {"SPENT", "spent", true},        {"HELD", "held", true},
    {"LEFT", "remaining", true},    {"USED%", "used_percent", true}, {"STEP", "step", false},
    {"RESETS", "resets_at", false},
};

static const struct table_column ledger_columns[] = {
    {"SEQ", "seq", true},
    {"KIND", "kind", false},
    {"TIME", "admitted_at", false},
    {"KEY", "key", false},
    {"USER", "user", false},
    {"TEAM", "team", false},
    {"PROVIDER", "provider", false},
    {"MODEL", "model", false},
    {"IN", "input_tokens", true},
    {"OUT", "output_tokens", true},
    {"USD", "usd", true},
    {"SOURCE", "source", false},
    {"STATUS", "status", true},
    {"FLAGS", "flags", false},
};

/* What is stopped by hand is no budget, but whoever looks at these wonders. */
static void tell_stops(const struct cmd *cmd, const char *config)
{
	struct admin_question q = {.config = config, .method = "GET", .target = "/api/v1/stops", .needs_data = true};
	json_t *answer;
	size_t n;

	if (ask_json(cmd, &q, &answer) != EXIT_OK)
		return;
	n = json_array_size(json_object_get(answer, "stops"));
	if (n > 0)
		(void)fprintf(stderr, "%zu kill switch%s set: `bursar stop --list`\n", n, n == 1 ? " is" : "es are");
	json_decref(answer);
}

int budgets_list(const struct cmd *cmd, const char *config, const char *name, const char *format_text)
{
	struct admin_question q = {.config = config, .method = "GET", .needs_data = true};
	enum table_format format;
	struct buf target;
	json_t *answer;
	int r;

	if (!table_format(cmd, format_text, &format))
		return EXIT_USAGE;
	buf_init(&target, 4096);
	r = buf_printf(&target, "/api/v1/budgets") | admin_query(&target, "name", name) | buf_append(&target, "", 1);
	if (r < 0) {
		buf_done(&target);
		return cmd_usage_error(cmd, "the name is too long");
	}
	q.target = buf_slice(&target).p;
	r = ask_json(cmd, &q, &answer);
	buf_done(&target);
	if (r != EXIT_OK)
		return r;
	r = table_print(stdout, json_object_get(answer, "budgets"), budget_columns, ARRAY_LEN(budget_columns), format);
	json_decref(answer);
	if (r == EXIT_OK && format == TABLE_TEXT)
		tell_stops(cmd, config);
	return r;
}

static int print_ledger(const json_t *answer, enum table_format format)
{
	const char *next = json_string_value(json_object_get(answer, "next"));
	int r = table_print(stdout, json_object_get(answer, "rows"), ledger_columns, ARRAY_LEN(ledger_columns), format);

	if (next && format == TABLE_TEXT && isatty(STDERR_FILENO))
		(void)fprintf(stderr, "more: --cursor %s\n", next);
	return r;
}

static int ask_ledger(const struct cmd *cmd, const char *config, struct buf *target, enum table_format format)
{
	struct admin_question q = {.config = config, .method = "GET", .needs_data = true};
	json_t *answer;
	int r;

	if (buf_append(target, "", 1) < 0)
		return EXIT_FAILED;
	q.target = buf_slice(target).p;
	r = ask_json(cmd, &q, &answer);
	if (r != EXIT_OK)
		return r;
	r = print_ledger(answer, format);
	json_decref(answer);
	return r;
}

int cmd_ledger(const struct cmd *cmd, int argc, char **argv)
{
	static const char *const names[] = {"key",   "user", "team", "project", "provider",
					    "model", "from", "to",   "cursor"};
	const char *values[ARRAY_LEN(names)] = {0}, *format_text = NULL, *n = "20";
	bool oldest_first = false;
	struct arg list[ARRAY_LEN(names) + 3] = {{.name = "format", .value = &format_text},
						 {.name = "limit", .letter = 'n', .value = &n},
						 {.name = "oldest-first", .flag = &oldest_first}};
	unsigned long long limit;
	enum table_format format;
	struct buf target;
	struct args args;
	int r;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		list[i + 3] = (struct arg){.name = names[i], .value = &values[i]};
	r = args_read(cmd, argc, argv, list, ARRAY_LEN(list), 0, &args);
	if (r != ARGS_GO)
		return r;
	if (!table_format(cmd, format_text, &format) || !args_number(cmd, "limit", n, 1, 1000, &limit))
		return EXIT_USAGE;
	buf_init(&target, 16384);
	r = buf_printf(&target, "/api/v1/ledger") | admin_query(&target, "limit", n) |
	    admin_query(&target, "order", oldest_first ? "asc" : "desc");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		r |= admin_query(&target, names[i], values[i]);
	r = r < 0 ? cmd_usage_error(cmd, "the filter is too long") : ask_ledger(cmd, args.config, &target, format);
	buf_done(&target);
	return r;
}
