/* bursar forecast: how fast budgets are spent, what their windows will have cost, and when they run out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/args.h"
#include "app/ask.h"
#include "app/table.h"
#include "base/amount.h"
#include "base/error.h"

static const struct table_column columns[] = {
    {"NAME", "name", false},     {"SCOPE", "scope", false},
    {"WINDOW", "window", false}, {"SPENT", "spent", true},
    {"LIMIT", "limit", true},    {"PER HOUR", "rate_per_hour", true},
    {"P10", "p10", true},        {"P50", "p50", true},
    {"P90", "p90", true},        {"RUNS OUT", "runs_out", false},
    {"BURN", "burn", false},     {"RESETS", "resets_at", false},
};

/* To cents: estimates have no more. What cannot be said is a dash. */
static json_t *cents(const json_t *usd)
{
	const char *text = json_string_value(usd);
	char rounded[40];
	int64_t v;

	if (!text || decimal_parse(slice_of(text), 2, true, &v) < 0)
		return json_string("-");
	(void)snprintf(rounded, sizeof(rounded), "%s%lld.%02lld", v < 0 ? "-" : "", llabs(v / 100), llabs(v % 100));
	return json_string(rounded);
}

/* "fast 15.20, slow 3.10": the rows that speak; else the burn of the long window of the slowest. */
static json_t *burn_text(const json_t *burn)
{
	char text[200] = "";
	const json_t *row;
	size_t i, n = 0;

	json_array_foreach(json_object_get(burn, "rows"), i, row)
	{
		const json_t *rate = json_object_get(json_object_get(row, "long"), "burn");

		if (!json_is_true(json_object_get(row, "over")) || n >= sizeof(text) - 40)
			continue;
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %.1f", n ? ", " : "",
				      json_string_value(json_object_get(row, "name")), json_number_value(rate));
	}
	return json_string(n ? text : json_is_object(burn) ? "calm" : "-");
}

/* The sooner of what the rate and the forecast say. */
static json_t *runs_out(const json_t *budget, const json_t *forecast)
{
	const char *a = json_string_value(json_object_get(budget, "runs_out_at")),
		   *b = json_string_value(json_object_get(forecast, "runs_out_at"));

	if (a && b)
		return json_string(strcmp(a, b) < 0 ? a : b);
	return json_string(a ? a : b ? b : "not in this window");
}

static json_t *flat(const json_t *budget)
{
	static const char *const same[] = {"name", "scope", "window", "resets_at"};
	static const char *const money[] = {"spent", "limit", "rate_per_hour"};
	static const char *const estimates[] = {"p10", "p50", "p90"};
	const json_t *forecast = json_object_get(budget, "forecast");
	json_t *o = json_object();

	for (size_t i = 0; i < ARRAY_LEN(same); i++)
		(void)json_object_set(o, same[i], json_object_get(budget, same[i]));
	for (size_t i = 0; i < ARRAY_LEN(money); i++)
		(void)json_object_set_new(o, money[i], cents(json_object_get(budget, money[i])));
	for (size_t i = 0; i < ARRAY_LEN(estimates); i++)
		(void)json_object_set_new(o, estimates[i], cents(json_object_get(forecast, estimates[i])));
	(void)json_object_set_new(o, "runs_out", runs_out(budget, forecast));
	(void)json_object_set_new(o, "burn", burn_text(json_object_get(budget, "burn")));
	return o;
}

static int print(const json_t *answer, enum table_format format)
{
	const json_t *budgets = json_object_get(json_object_get(answer, "data"), "budgets"), *b;
	json_t *rows;
	size_t i;
	int r;

	if (format == TABLE_JSON)
		return table_print(stdout, budgets, columns, ARRAY_LEN(columns), format);
	rows = json_array();
	json_array_foreach(budgets, i, b)(void) json_array_append_new(rows, flat(b));
	r = table_print(stdout, rows, columns, ARRAY_LEN(columns), format);
	json_decref(rows);
	return r;
}

/* A name may have a slash, which is none of the path's. */
static int path_of(struct buf *target, const char *name)
{
	int r = buf_printf(target, name ? "/api/v1/budgets/" : "/api/v1/forecast");

	for (; name && *name && r == BUR_OK; name++)
		r = buf_printf(target, "%%%02X", (unsigned char)*name);
	if (name && r == BUR_OK)
		r = buf_printf(target, "/forecast");
	return r == BUR_OK ? buf_append(target, "", 1) : r;
}

int cmd_forecast(const struct cmd *cmd, int argc, char **argv)
{
	const char *format_text = NULL;
	const struct arg list[] = {{.name = "format", .value = &format_text}};
	struct admin_question q = {.method = "GET", .needs_data = true};
	enum table_format format;
	struct buf target;
	struct args args;
	json_t *answer;
	int r = args_read(cmd, argc, argv, list, ARRAY_LEN(list), 1, &args);

	if (r != ARGS_GO)
		return r;
	if (!table_format(cmd, format_text, &format))
		return EXIT_USAGE;
	buf_init(&target, 4096);
	if (path_of(&target, args.words[0]) < 0) {
		buf_done(&target);
		return cmd_usage_error(cmd, "the name is too long");
	}
	q.config = args.config;
	q.target = buf_slice(&target).p;
	r = ask_json(cmd, &q, &answer);
	buf_done(&target);
	if (r != EXIT_OK)
		return r;
	r = print(answer, format);
	json_decref(answer);
	return r;
}
