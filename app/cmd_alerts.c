/* bursar alerts: what goes on, who was told, and what to do about it. Channels are in cmd_alerts_channels.c. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alerts/words.h"
#include "app/alerts_cmd.h"
#include "app/args.h"
#include "app/ask.h"
#include "app/table.h"
#include "base/error.h"

/* --- asking ------------------------------------------------------------------------------------------------------- */

const char *alerts_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void clean_text(json_t *v)
{
	size_t size = json_string_length(v) * 3 + 8; /* a mark behind text from right to left */
	char *clean = malloc(size);

	if (clean) {
		size = words_clean(slice_mem(json_string_value(v), json_string_length(v)), clean, size);
		(void)json_string_setn(v, clean, size);
	} else {
		(void)json_string_set(v, "");
	}
	free(clean);
}

static void clean_texts(json_t *v)
{
	const char *name;
	json_t *child;
	size_t i;

	if (json_is_string(v))
		clean_text(v);
	json_object_foreach(v, name, child) clean_texts(child);
	json_array_foreach(v, i, child) clean_texts(child);
}

int alerts_get(const struct cmd *cmd, const struct args *args, struct buf *target, enum table_format format,
	       json_t **ret)
{
	struct admin_question q = {.config = args->config, .method = "GET", .needs_data = true};
	int r;

	if (buf_append(target, "", 1) < 0)
		return cmd_usage_error(cmd, "that is too long");
	q.target = buf_slice(target).p;
	r = ask_json(cmd, &q, ret);
	/* Names of others: what a terminal obeys, what hides and what turns text around is for no eyes. */
	if (r == EXIT_OK && (format != TABLE_JSON || isatty(STDOUT_FILENO)))
		clean_texts(*ret);
	return r;
}

int alerts_send(const struct cmd *cmd, const struct args *args, const char *method, const char *target, json_t *body,
		json_t **ret)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	/* A preview needs no data: it can be looked at before anything ran. */
	struct admin_question q = {.config = args->config,
				   .method = method,
				   .target = target,
				   .body = slice_of(text),
				   .needs_data = strcmp(target, ALERTS_PREVIEW) != 0};
	int r = text ? ask_json(cmd, &q, ret) : EXIT_FAILED;

	json_decref(body);
	free(text);
	return r;
}

/* --- list --------------------------------------------------------------------------------------------------------- */

static const struct table_column csv_columns[] = {
    {"ID", "id", true},
    {"TIME", "timestamp", false},
    {"LEVEL", "alert_level", false},
    {"STATE", "state", false},
    {"TYPE", "alert_type", false},
    {"PROVIDER", "provider", false},
    {"CURRENT", "current_value", true},
    {"THRESHOLD", "threshold_value", true},
    {"UNIT", "unit", false},
    {"MESSAGE", "message", false},
};

enum list_column { COL_TIME, COL_LEVEL, COL_PROVIDER, COL_CURRENT, COL_THRESHOLD, COL_MESSAGE };
#define LIST_COLUMNS 6
static const struct {
	const char *title;
	size_t width; /* at least */
	bool right;
} list_columns[LIST_COLUMNS] = {
    {"TIME", 10, false},  {"LEVEL", 8, false},    {"PROVIDER", 10, false},
    {"CURRENT", 8, true}, {"THRESHOLD", 9, true}, {"MESSAGE", 7, false},
};

/* Of today the time, else the day: ten characters. */
static json_t *short_time(const char *at, const char *now)
{
	if (strlen(at) < 19)
		return json_string(at);
	return strncmp(at, now, 10) == 0 ? json_stringn(at + 11, 8) : json_stringn(at, 10);
}

static json_t *figure(const json_t *v, const char *unit)
{
	char text[64];

	if (!json_is_number(v))
		return json_string("");
	if (strcmp(unit, "USD") != 0)
		(void)snprintf(text, sizeof(text), "%.0f", json_number_value(v));
	else /* less than a cent is not nothing */
		(void)snprintf(text, sizeof(text), fabs(json_number_value(v)) < 0.01 ? "%.3g" : "%.2f",
			       json_number_value(v));
	return json_string(text);
}

static json_t *message(const json_t *alert)
{
	const char *state = alerts_text(alert, "state");

	return json_sprintf("[%lld] %s%s%s%s", (long long)json_integer_value(json_object_get(alert, "id")),
			    alerts_text(alert, "title"), strcmp(state, "firing") == 0 ? "" : " (",
			    strcmp(state, "firing") == 0 ? "" : state, strcmp(state, "firing") == 0 ? "" : ")");
}

static int fill_row(char *cells[LIST_COLUMNS], const json_t *alert, const char *now)
{
	const char *unit = alerts_text(alert, "unit");
	json_t *v[LIST_COLUMNS] = {
	    [COL_TIME] = short_time(alerts_text(alert, "timestamp"), now),
	    [COL_LEVEL] = json_string(alerts_text(alert, "alert_level")),
	    [COL_PROVIDER] = json_string(alerts_text(alert, "provider")),
	    [COL_CURRENT] = figure(json_object_get(alert, "current_value"), unit),
	    [COL_THRESHOLD] = figure(json_object_get(alert, "threshold_value"), unit),
	    [COL_MESSAGE] = message(alert),
	};
	int r = EXIT_OK;

	for (size_t c = 0; c < LIST_COLUMNS; c++) {
		cells[c] = table_cell(v[c]); /* loses control characters */
		json_decref(v[c]);
		if (!cells[c])
			r = EXIT_FAILED;
	}
	return r;
}

static size_t shown(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

bool alerts_colors(FILE *out)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fileno(out)) && !(no && no[0] != '\0') && !(term && strcmp(term, "dumb") == 0);
}

static const char *color_of(const char *level)
{
	static const struct {
		const char *level, *color;
	} colors[] = {
	    {"info", "\033[36m"}, {"warning", "\033[33m"}, {"critical", "\033[31m"}, {"exceeded", "\033[1;31m"}};

	for (size_t i = 0; i < ARRAY_LEN(colors); i++)
		if (strcmp(level, colors[i].level) == 0)
			return colors[i].color;
	return "";
}

static void print_cell(const char *text, size_t c, size_t width, const char *color)
{
	size_t n = shown(text), pad = n < width ? width - n : 0;

	if (c == COL_MESSAGE) {
		puts(text);
		return;
	}
	if (list_columns[c].right)
		printf("%*s", (int)pad, "");
	printf("%s%s%s", color, text, color[0] ? "\033[0m" : "");
	printf("%*s ", list_columns[c].right ? 0 : (int)pad, "");
}

static void print_rows(char *const *cells, size_t n)
{
	size_t width[LIST_COLUMNS], line = 0;
	bool colors = alerts_colors(stdout);

	for (size_t c = 0; c < LIST_COLUMNS; c++) {
		width[c] = list_columns[c].width;
		for (size_t i = 0; i < n && c != COL_MESSAGE; i++)
			if (shown(cells[i * LIST_COLUMNS + c]) > width[c])
				width[c] = shown(cells[i * LIST_COLUMNS + c]);
		line += width[c] + (c != COL_MESSAGE);
	}
	for (size_t c = 0; c < LIST_COLUMNS; c++)
		printf("%-*s%s", c == COL_MESSAGE ? 0 : (int)width[c], list_columns[c].title,
		       c == COL_MESSAGE ? "\n" : " ");
	for (size_t i = 0; i < line; i++)
		putchar('-');
	putchar('\n');
	for (size_t i = 0; i < n; i++)
		for (size_t c = 0; c < LIST_COLUMNS; c++) {
			const char *text = cells[i * LIST_COLUMNS + c];

			print_cell(text, c, width[c], colors && c == COL_LEVEL ? color_of(text) : "");
		}
}

/* "2 Alerts: 1 Critical, 1 Warning" */
static void print_summary(const json_t *alerts, bool active)
{
	static const char *const levels[] = {"exceeded", "critical", "warning", "info"};
	static const char *const words[] = {"Exceeded", "Critical", "Warning", "Info"};
	size_t total = json_array_size(alerts), i;
	const char *separator = ": ";
	const json_t *a;

	if (total == 0) {
		puts(active ? "No active alerts" : "No alerts");
		return;
	}
	printf("%zu Alert%s", total, total == 1 ? "" : "s");
	for (size_t k = 0; k < ARRAY_LEN(levels); k++) {
		size_t n = 0;

		json_array_foreach(alerts, i, a) n += strcmp(alerts_text(a, "alert_level"), levels[k]) == 0;
		if (n > 0)
			printf("%s%zu %s", separator, n, words[k]);
		separator = n > 0 ? ", " : separator;
	}
	putchar('\n');
}

static int print_list(const json_t *answer, bool active)
{
	const json_t *alerts = json_object_get(answer, "alerts"), *a;
	size_t n = json_array_size(alerts), i;
	char **cells = calloc(n * LIST_COLUMNS + 1, sizeof(*cells));
	int r = cells ? EXIT_OK : EXIT_FAILED;

	json_array_foreach(alerts, i, a) if (r == EXIT_OK) r =
	    fill_row(&cells[i * LIST_COLUMNS], a, alerts_text(answer, "at"));
	if (r == EXIT_OK && n > 0) {
		print_rows(cells, n);
		putchar('\n');
	}
	if (r == EXIT_OK)
		print_summary(alerts, active);
	for (i = 0; cells && i < n * LIST_COLUMNS; i++)
		free(cells[i]);
	free(cells);
	return r;
}

/* "colored" is the table too: whether there are colours is decided by where it goes. */
bool alerts_format(const struct cmd *cmd, const char *text, enum table_format *ret)
{
	return table_format(cmd, text && strcmp(text, "colored") == 0 ? "table" : text, ret);
}

int alerts_rows(const struct cmd *cmd, const struct args *args, const char *path, enum table_format format,
		const struct alerts_rows *what)
{
	struct buf target;
	json_t *answer, *rows;
	int r;

	buf_init(&target, 256);
	r = buf_printf(&target, "%s", path);
	r = r < 0 ? EXIT_FAILED : alerts_get(cmd, args, &target, format, &answer);
	buf_done(&target);
	if (r != EXIT_OK)
		return r;
	rows = json_object_get(answer, what->member);
	if (format == TABLE_TEXT && json_array_size(rows) == 0)
		puts(what->none);
	else
		r = table_print(stdout, rows, what->columns,
				what->n_columns - (format == TABLE_TEXT ? what->n_wide : 0), format);
	if (r == EXIT_OK && format == TABLE_TEXT && what->below)
		what->below(rows);
	json_decref(answer);
	return r;
}

int alerts_rows_cmd(const struct cmd *cmd, int argc, char **argv, const char *path, const struct alerts_rows *what)
{
	const char *format_text = NULL;
	const struct arg options[] = {{.name = "format", .value = &format_text}};
	enum table_format format;
	struct args args;
	int r = args_read(cmd, argc, argv, options, ARRAY_LEN(options), 0, &args);

	if (r != ARGS_GO)
		return r;
	if (!alerts_format(cmd, format_text, &format))
		return EXIT_USAGE;
	return alerts_rows(cmd, &args, path, format, what);
}

#define SHOWN "100"

static int list(const struct cmd *cmd, int argc, char **argv)
{
	const char *level = NULL, *state = NULL, *provider = NULL, *since = NULL, *limit = SHOWN, *format_text = NULL;
	const struct arg options[] = {{.name = "level", .value = &level},
				      {.name = "state", .value = &state},
				      {.name = "provider", .value = &provider},
				      {.name = "since", .value = &since},
				      {.name = "limit", .letter = 'n', .value = &limit},
				      {.name = "format", .value = &format_text}};
	enum table_format format;
	unsigned long long shown_max;
	struct buf target;
	struct args args;
	json_t *answer;
	int r = args_read(cmd, argc, argv, options, ARRAY_LEN(options), 0, &args);

	if (r != ARGS_GO)
		return r;
	if (!alerts_format(cmd, format_text, &format) || !args_number(cmd, "limit", limit, 1, 1000, &shown_max))
		return EXIT_USAGE;
	buf_init(&target, 4096);
	r = buf_printf(&target, "/api/v1/alerts") | admin_query(&target, "level", level) |
	    admin_query(&target, "state", state) | admin_query(&target, "provider", provider) |
	    admin_query(&target, "since", since) | admin_query(&target, "limit", limit);
	r = r < 0 ? cmd_usage_error(cmd, "the filter is too long") : alerts_get(cmd, &args, &target, format, &answer);
	buf_done(&target);
	if (r != EXIT_OK)
		return r;
	if (format == TABLE_JSON)
		r = table_print(stdout, answer, csv_columns, ARRAY_LEN(csv_columns), format);
	else if (format == TABLE_CSV)
		r = table_print(stdout, json_object_get(answer, "alerts"), csv_columns, ARRAY_LEN(csv_columns), format);
	else
		r = print_list(answer, !state || strcmp(state, "active") == 0);
	if (r == EXIT_OK && json_array_size(json_object_get(answer, "alerts")) == shown_max)
		(void)fprintf(stderr, "there may be more: --limit, at most 1000\n");
	json_decref(answer);
	return r;
}

/* --- show --------------------------------------------------------------------------------------------------------- */

static const struct table_column event_columns[] = {
    {"EVENT", "id", true}, {"TIME", "at", false}, {"TYPE", "type", false}, {"WHAT", "message", false}};
static const struct table_column message_columns[] = {
    {"MESSAGE", "id", true},    {"CHANNEL", "channel", false},  {"WHAT", "op", false},
    {"STATE", "state", false},  {"TRIES", "attempts", true},    {"STATUS", "status", true},
    {"SENT", "sent_at", false}, {"NEXT TRY", "next_at", false}, {"WHY", "why", false},
};

static void print_line(const char *name, const char *text)
{
	json_t *v = json_string(text);
	char *clean = text[0] ? table_cell(v) : NULL;

	if (clean)
		printf("%-14s%s\n", name, clean);
	free(clean);
	json_decref(v);
}

static void print_amount(const char *name, const json_t *alert, const char *key)
{
	const char *unit = alerts_text(alert, "unit");
	json_t *v = figure(json_object_get(alert, key), unit);
	char text[128];

	(void)snprintf(text, sizeof(text), "%s %s", json_string_value(v), unit);
	print_line(name, json_string_length(v) ? text : "");
	json_decref(v);
}

static int print_part(const char *title, const json_t *rows, const struct table_column *columns, size_t n)
{
	if (json_array_size(rows) == 0)
		return EXIT_OK;
	printf("\n%s\n", title);
	return table_print(stdout, rows, columns, n, TABLE_TEXT);
}

static int print_alert(const json_t *answer)
{
	const json_t *a = json_object_get(answer, "alert");
	char number[32];
	int r;

	(void)snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(json_object_get(a, "id")));
	print_line("Incident", number);
	print_line("Title", alerts_text(a, "title"));
	print_line("What", alerts_text(a, "message"));
	print_line("Type", alerts_text(a, "alert_type"));
	print_line("Severity", alerts_text(a, "severity"));
	print_line("State", alerts_text(a, "state"));
	print_line("By", alerts_text(a, "by"));
	print_line("Budget", alerts_text(a, "budget"));
	print_line("Scope", strcmp(alerts_text(a, "scope"), "global") == 0 ? "" : alerts_text(a, "scope"));
	print_line("Provider", alerts_text(a, "provider"));
	print_amount("In use", a, "current_value");
	print_amount("Threshold", a, "threshold_value");
	print_amount("Limit", a, "limit_value");
	print_line("Since", alerts_text(a, "opened_at"));
	print_line("Last heard", alerts_text(a, "timestamp"));
	print_line("Escalated", alerts_text(a, "escalated_at"));
	print_line("Over", alerts_text(a, "resolved_at"));
	r = print_part("EVENTS", json_object_get(answer, "events"), event_columns, ARRAY_LEN(event_columns));
	if (r == EXIT_OK)
		r = print_part("MESSAGES", json_object_get(answer, "messages"), message_columns,
			       ARRAY_LEN(message_columns));
	return r;
}

/* Numbers go into paths as they are; anything else is no number. */
static bool is_number(const char *text)
{
	uint64_t n;

	return slice_u64(slice_of(text), &n) == BUR_OK && n > 0;
}

static int show(const struct cmd *cmd, int argc, char **argv)
{
	const char *format_text = NULL;
	const struct arg options[] = {{.name = "format", .value = &format_text}};
	enum table_format format;
	struct buf target;
	struct args args;
	json_t *answer;
	int r = args_read(cmd, argc, argv, options, ARRAY_LEN(options), 1, &args);

	if (r != ARGS_GO)
		return r;
	if (!alerts_format(cmd, format_text, &format))
		return EXIT_USAGE;
	if (args.n_words != 1 || !is_number(args.words[0]))
		return cmd_usage_error(cmd, "which one? The number in brackets of `bursar alerts`");
	buf_init(&target, 4096);
	r = buf_printf(&target, "/api/v1/alerts/%s", args.words[0]);
	r = r < 0 ? EXIT_FAILED : alerts_get(cmd, &args, &target, format, &answer);
	buf_done(&target);
	if (r != EXIT_OK)
		return r;
	if (format == TABLE_TEXT)
		r = print_alert(answer);
	else
		r = table_print(stdout, format == TABLE_CSV ? json_object_get(answer, "messages") : answer,
				message_columns, ARRAY_LEN(message_columns), format);
	json_decref(answer);
	return r;
}

/* --- ack, resolve, retry ------------------------------------------------------------------------------------------ */

static int on_one(const struct cmd *cmd, const struct args *args, const char *id, const char *kind, const char *action,
		  const char *reason)
{
	char target[128], what[160];
	json_t *answer;
	int r;

	(void)snprintf(target, sizeof(target), "/api/v1/alerts/%s%.20s/%s", kind, id, action);
	r = alerts_send(cmd, args, "POST", target, json_pack("{s:s*}", "reason", reason), &answer);
	if (r != EXIT_OK)
		return r;
	(void)snprintf(what, sizeof(what), "%s", alerts_text(answer, "said"));
	printf("%s %s: %s\n", kind[0] ? "message" : "incident", id, what);
	json_decref(answer);
	return EXIT_OK;
}

/* ARGS_GO, or the exit code. */
static int check_numbers(const struct cmd *cmd, const struct args *args)
{
	for (size_t i = 0; i < args->n_words; i++)
		if (!is_number(args->words[i]))
			return cmd_usage_error(cmd, "expected a number, got `%s`", args->words[i]);
	return ARGS_GO;
}

static int on_each(const struct cmd *cmd, const struct args *args, const char *kind, const char *action,
		   const char *reason)
{
	int worst = EXIT_OK;

	for (size_t i = 0; i < args->n_words; i++) {
		int r = on_one(cmd, args, args->words[i], kind, action, reason);

		worst = r != EXIT_OK ? r : worst;
	}
	return worst;
}

static int by_people(const struct cmd *cmd, int argc, char **argv, const char *action)
{
	const char *reason = NULL;
	const struct arg options[] = {{.name = "reason", .value = &reason}};
	struct args args;
	int r = args_read(cmd, argc, argv, options, ARRAY_LEN(options), ARGS_WORDS_MAX, &args);

	if (r == ARGS_GO && args.n_words == 0)
		return cmd_usage_error(cmd, "which one? The number in brackets of `bursar alerts`");
	if (r == ARGS_GO)
		r = check_numbers(cmd, &args);
	return r == ARGS_GO ? on_each(cmd, &args, "", action, reason) : r;
}

static int ack(const struct cmd *cmd, int argc, char **argv)
{
	return by_people(cmd, argc, argv, "ack");
}

static int resolve(const struct cmd *cmd, int argc, char **argv)
{
	return by_people(cmd, argc, argv, "resolve");
}

static const struct table_column dead_columns[] = {
    {"MESSAGE", "id", true},       {"INCIDENT", "incident", true}, {"CHANNEL", "channel", false}, {"WHAT", "op", false},
    {"MADE", "created_at", false}, {"TRIES", "attempts", true},    {"STATUS", "status", true},    {"WHY", "why", false},
};

static const struct alerts_rows dead_rows = {.member = "messages",
					     .columns = dead_columns,
					     .n_columns = ARRAY_LEN(dead_columns),
					     .none = "No message was given up"};

/* Without a number: what could be sent again. */
static int retry(const struct cmd *cmd, int argc, char **argv)
{
	bool message = false;
	const char *format_text = NULL;
	const struct arg options[] = {{.name = "message", .flag = &message}, {.name = "format", .value = &format_text}};
	enum table_format format;
	struct args args;
	int r = args_read(cmd, argc, argv, options, ARRAY_LEN(options), ARGS_WORDS_MAX, &args);

	if (r != ARGS_GO)
		return r;
	if (!alerts_format(cmd, format_text, &format))
		return EXIT_USAGE;
	if (args.n_words == 0)
		return alerts_rows(cmd, &args, "/api/v1/alerts/outbox?state=dead", format, &dead_rows);
	r = check_numbers(cmd, &args);
	return r == ARGS_GO ? on_each(cmd, &args, message ? "outbox/" : "", "retry", NULL) : r;
}

/* --- mutes -------------------------------------------------------------------------------------------------------- */

static const struct table_column mute_columns[] = {
    {"ID", "id", true},        {"BUDGET", "budget", false}, {"LABEL", "label", false},
    {"VALUE", "value", false}, {"TYPE", "type", false},     {"FROM", "from", false},
    {"UNTIL", "until", false}, {"BY", "by", false},         {"REASON", "reason", false},
};

static int mute(const struct cmd *cmd, int argc, char **argv)
{
	static const char *const names[] = {"budget",   "key",  "user", "team",  "project", "model",
					    "provider", "type", "for",  "until", "reason"};
	const char *values[ARRAY_LEN(names)] = {0}, *tag = NULL;
	bool everything = false;
	struct arg options[ARRAY_LEN(names) + 2] = {{.name = "tag", .value = &tag},
						    {.name = "everything", .flag = &everything}};
	json_t *body, *answer;
	struct args args;
	int r;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		options[i + 2] = (struct arg){.name = names[i], .value = &values[i]};
	r = args_read(cmd, argc, argv, options, ARRAY_LEN(options), 0, &args);
	if (r != ARGS_GO)
		return r;
	body = json_object();
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (values[i])
			(void)json_object_set_new(body, names[i], json_string(values[i]));
	if (everything)
		(void)json_object_set_new(body, "everything", json_true());
	if (tag && strchr(tag, '=')) {
		json_t *name = json_sprintf("tag.%.*s", (int)strcspn(tag, "="), tag);

		(void)json_object_set_new(body, json_string_value(name) ? json_string_value(name) : "tag.",
					  json_string(strchr(tag, '=') + 1));
		json_decref(name);
	} else if (tag) {
		json_decref(body);
		return cmd_usage_error(cmd, "--tag: expected NAME=VALUE, got `%s`", tag);
	}
	r = alerts_send(cmd, &args, "POST", "/api/v1/alerts/mutes", body, &answer);
	if (r != EXIT_OK)
		return r;
	printf("mute %lld is in force until %s; `bursar alerts unmute %lld` ends it\n",
	       (long long)json_integer_value(json_object_get(answer, "id")), alerts_text(answer, "until"),
	       (long long)json_integer_value(json_object_get(answer, "id")));
	json_decref(answer);
	return EXIT_OK;
}

static int mutes(const struct cmd *cmd, int argc, char **argv)
{
	static const struct alerts_rows rows = {.member = "mutes",
						.columns = mute_columns,
						.n_columns = ARRAY_LEN(mute_columns),
						.none = "Nothing is muted"};

	return alerts_rows_cmd(cmd, argc, argv, "/api/v1/alerts/mutes", &rows);
}

static int unmute(const struct cmd *cmd, int argc, char **argv)
{
	char target[96];
	struct args args;
	json_t *answer;
	int r = args_read(cmd, argc, argv, NULL, 0, 1, &args);

	if (r != ARGS_GO)
		return r;
	if (args.n_words != 1 || !is_number(args.words[0]))
		return cmd_usage_error(cmd, "which one? The ID of `bursar alerts mutes`");
	(void)snprintf(target, sizeof(target), "/api/v1/alerts/mutes/%.20s", args.words[0]);
	r = alerts_send(cmd, &args, "DELETE", target, json_object(), &answer);
	if (r != EXIT_OK)
		return r;
	printf("mute %s is over\n", args.words[0]);
	json_decref(answer);
	return EXIT_OK;
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	int (*run)(const struct cmd *, int argc, char **argv);
} actions[] = {
    {"list", list},
    {"show", show},
    {"ack", ack},
    {"resolve", resolve},
    {"mute", mute},
    {"mutes", mutes},
    {"unmute", unmute},
    {"retry", retry},
    {"test", alerts_test_cmd},
    {"preview", alerts_preview_cmd},
    {"channels", alerts_channels_cmd},
    {"enable", alerts_enable_cmd},
};

int cmd_alerts(const struct cmd *cmd, int argc, char **argv)
{
	static char full_name[64];

	if (argc < 2 || argv[1][0] == '-')
		return list(cmd, argc, argv);
	for (size_t i = 0; i < ARRAY_LEN(actions); i++)
		if (strcmp(argv[1], actions[i].name) == 0) {
			(void)snprintf(full_name, sizeof(full_name), "bursar alerts %s", actions[i].name);
			argv[1] = full_name; /* getopt's messages begin with it */
			return actions[i].run(cmd, argc - 1, argv + 1);
		}
	return cmd_usage_error(cmd,
			       "expected list, show, ack, resolve, mute, mutes, unmute, test, retry, preview, "
			       "channels or enable, got `%s`",
			       argv[1]);
}
