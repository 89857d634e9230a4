/* bursar alerts test, preview, channels, enable: does it reach people, and what do they see? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alerts/words.h"
#include "app/alerts_cmd.h"
#include "app/ask.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/utf8.h"

#define TEST_WAIT_NS (30 * NS_PER_S)

/* --- test --------------------------------------------------------------------------------------------------------- */

struct test {
	const struct cmd *cmd;
	char target[128];
	json_t *told; /* names of channels whose line is printed */
	int64_t until_ns;
	int result;
	size_t n_ok, n_failed, n_people; /* people: all that are no log */
};

static void paint(const char *color, const char *text)
{
	bool on = alerts_colors(stdout);

	printf("%s%-7s%s", on ? color : "", text, on ? "\033[0m" : "");
}

/* A cell without control characters, in lines of at most 100 characters below the channel's line. */
static void print_wrapped(const char *text)
{
	json_t *v = json_string(text);
	char *clean = table_cell(v), *rest = clean, *word;
	size_t column = 0;

	for (word = clean ? strtok_r(clean, " ", &rest) : NULL; word; word = strtok_r(NULL, " ", &rest)) {
		size_t n = strlen(word);

		if (column == 0 || column + 1 + n > 100) {
			printf("%s        %s", column ? "\n" : "", word);
			column = n;
		} else {
			printf(" %s", word);
			column += 1 + n;
		}
	}
	if (column)
		putchar('\n');
	free(clean);
	json_decref(v);
}

static void print_channel(struct test *t, const char *name, const json_t *c)
{
	bool ok = json_is_true(json_object_get(c, "success"));
	json_t *cell = json_string(name);
	char *clean = table_cell(cell);

	paint(ok ? "\033[32m" : "\033[1;31m", ok ? "ok" : "failed");
	printf(" %-24s %-12s %.2f s\n", clean ? clean : "", alerts_text(c, "type"),
	       json_number_value(json_object_get(c, "delivery_time_ms")) / 1e3);
	if (!ok)
		print_wrapped(alerts_text(c, "error"));
	(void)fflush(stdout);
	free(clean);
	json_decref(cell);
	t->n_ok += ok;
	t->n_people += strcmp(alerts_text(c, "type"), "log") != 0;
	t->n_failed += !ok;
}

/* Prints what is known now and was not before. Is there anything still under way? */
static bool look(struct test *t, const json_t *answer)
{
	json_t *channels = json_object_get(answer, "channels"), *c;
	const char *name;
	bool waiting = false;

	json_object_foreach(channels, name, c)
	{
		if (json_object_get(t->told, name))
			continue;
		if (!json_is_boolean(json_object_get(c, "success"))) {
			waiting = true;
			continue;
		}
		print_channel(t, name, c);
		(void)json_object_set_new(t->told, name, json_true());
	}
	return waiting;
}

static void tell_waiting(struct test *t, const json_t *answer)
{
	json_t *channels = json_object_get(answer, "channels"), *c;
	const char *name;

	json_object_foreach(channels, name, c) if (!json_object_get(t->told, name))
	{
		paint("\033[33m", "waiting");
		printf(" %-24s %-12s\n", name, alerts_text(c, "type"));
		print_wrapped(
		    "there was no answer within 30 seconds; `bursar alerts channels` shows what becomes of it");
		t->n_failed++;
	}
}

static void finish(struct test *t)
{
	static const char hint[] =
	    "nobody but the log is told; add a channel under alerts.channels in bursar.yaml, as in "
	    "the README, \"Get warned in two minutes\"";

	if (t->n_failed == 0)
		printf("\n%zu channel%s work%s: the message should be there\n", t->n_ok, t->n_ok == 1 ? "" : "s",
		       t->n_ok == 1 ? "s" : "");
	else
		printf("\n%zu of %zu channels failed\n", t->n_failed, t->n_failed + t->n_ok);
	if (t->n_people == 0 && t->n_failed == 0)
		puts(hint);
	t->result = t->n_failed == 0 ? EXIT_OK : EXIT_FAILED;
}

/* The first answer says which test it is; the next ones how it stands. */
static bool on_answer(void *ctx, const json_t *answer, struct admin_question *next)
{
	struct test *t = ctx;
	bool waiting;

	if (strcmp(alerts_text(answer, "reason"), "alerts_disabled") == 0) {
		(void)fprintf(stderr,
			      "bursar alerts: alerts.enabled is false in bursar.yaml: nobody is told of anything\n");
		return false;
	}
	if (json_is_true(json_object_get(answer, "skipped"))) {
		(void)fprintf(stderr,
			      "bursar alerts: no channel is configured; add one under alerts.channels in bursar.yaml "
			      "(docs/alerts.md, \"Get warned in two minutes\" in the README)\n");
		return false;
	}
	if (t->target[0] == '\0') {
		(void)snprintf(t->target, sizeof(t->target), "/api/v1/alerts/%.80s", alerts_text(answer, "test"));
		if (isatty(STDERR_FILENO))
			(void)fprintf(stderr, "sending to %zu channels, which may take some seconds ...\n",
				      json_array_size(json_object_get(answer, "channels")));
	} else {
		waiting = look(t, answer);
		if (waiting && clock_mono_ns() >= t->until_ns)
			tell_waiting(t, answer);
		else if (waiting)
			return true;
		finish(t);
		return false;
	}
	*next = (struct admin_question){
	    .config = next->config, .method = "GET", .target = t->target, .needs_data = next->needs_data};
	return true;
}

int alerts_test_cmd(const struct cmd *cmd, int argc, char **argv)
{
	const char *channel = NULL;
	const struct arg options[] = {{.name = "channel", .value = &channel}};
	struct test t = {.cmd = cmd, .until_ns = clock_mono_ns() + TEST_WAIT_NS, .result = EXIT_FAILED};
	struct admin_question q = {.method = "POST", .target = "/api/v1/alerts/test"};
	struct args args;
	json_t *body;
	char *text;
	int r = args_read(cmd, argc, argv, options, ARRAY_LEN(options), 0, &args);

	if (r != ARGS_GO)
		return r;
	body = json_pack("{s:s*}", "channel", channel);
	text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	json_decref(body);
	t.told = json_object();
	q.config = args.config;
	q.body = slice_of(text);
	r = text && t.told ? ask_dialog(cmd, &q, on_answer, &t) : EXIT_FAILED;
	json_decref(t.told);
	free(text);
	return r != EXIT_OK ? r : t.result;
}

/* --- preview ------------------------------------------------------------------------------------------------------ */

enum raw { RAW_NO, RAW_HTML, RAW_JSON };

/* Text of the request as it is sent, but for what could move a terminal's cursor, hide or turn text around. */
static void print_text(const char *text)
{
	struct slice s = slice_of(text);
	bool tty = isatty(STDOUT_FILENO);
	uint32_t cp;
	size_t n;

	for (size_t i = 0; i < s.n; i += n) {
		n = utf8_decode(s.p + i, s.n - i, &cp);
		if (n == 0 ||
		    (tty && cp != '\n' && cp != '\t' && cp != '\r' && (words_is_control(cp) || words_is_hidden(cp)))) {
			n = n ? n : 1;
			putchar('?');
		} else if (cp != '\r') {
			(void)fwrite(s.p + i, 1, n, stdout);
		}
	}
	putchar('\n');
}

static void print_body(const char *body)
{
	json_t *o = json_loads(body, JSON_DECODE_ANY, NULL);
	char *pretty = o && !json_is_string(o) ? json_dumps(o, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) : NULL;

	print_text(pretty ? pretty : body);
	free(pretty);
	json_decref(o);
}

static void print_request(const json_t *p)
{
	const json_t *header;
	size_t i;

	printf("=== %s (%s)\n", alerts_text(p, "channel"), alerts_text(p, "type"));
	if (alerts_text(p, "error")[0] != '\0') {
		printf("cannot be made: %s\n", alerts_text(p, "error"));
		return;
	}
	if (json_is_true(json_object_get(p, "nothing"))) {
		puts("says nothing in this case");
		return;
	}
	if (strcmp(alerts_text(p, "kind"), "http") == 0)
		printf("%s %s\n", alerts_text(p, "method"), alerts_text(p, "url"));
	else if (strcmp(alerts_text(p, "kind"), "mail") == 0)
		printf("%s\n", alerts_text(p, "url"));
	json_array_foreach(json_object_get(p, "headers"), i, header) print_text(json_string_value(header));
	if (json_array_size(json_object_get(p, "headers")) > 0)
		putchar('\n');
	if (strcmp(alerts_text(p, "kind"), "mail") == 0)
		print_text(alerts_text(p, "text"));
	else
		print_body(alerts_text(p, "body"));
}

static int print_previews(const struct cmd *cmd, const json_t *answer, enum raw raw)
{
	const json_t *list = json_object_get(answer, "previews"), *p;
	size_t i, n = 0;

	if (raw == RAW_JSON) {
		/* for a program it is as it was, for eyes only what they can see */
		char *text = json_dumps(list, JSON_INDENT(2) | JSON_REAL_PRECISION(15));

		if (text)
			print_text(text);
		free(text);
		return text ? EXIT_OK : EXIT_FAILED;
	}
	json_array_foreach(list, i, p)
	{
		if (raw == RAW_HTML && alerts_text(p, "html")[0] != '\0' && n++ == 0)
			print_text(alerts_text(p, "html"));
		else if (raw == RAW_NO)
			print_request(p);
		if (raw == RAW_NO && i + 1 < json_array_size(list))
			putchar('\n');
	}
	if (raw == RAW_HTML && n == 0) {
		(void)fprintf(stderr, "bursar %s: none of these channels sends HTML\n", cmd->name);
		return EXIT_FAILED;
	}
	if (raw == RAW_NO && json_array_size(list) == 0)
		(void)fprintf(stderr, "bursar %s: no channel is configured; see docs/alerts.md\n", cmd->name);
	return EXIT_OK;
}

int alerts_preview_cmd(const struct cmd *cmd, int argc, char **argv)
{
	const char *channel = NULL, *type = NULL, *incident = NULL;
	bool html = false, json = false;
	const struct arg options[] = {{.name = "channel", .value = &channel},
				      {.name = "type", .value = &type},
				      {.name = "incident", .value = &incident},
				      {.name = "html", .flag = &html},
				      {.name = "json", .flag = &json}};
	struct args args;
	unsigned long long id = 0;
	json_t *body, *answer;
	int r = args_read(cmd, argc, argv, options, ARRAY_LEN(options), 0, &args);

	if (r != ARGS_GO)
		return r;
	if (html && json)
		return cmd_usage_error(cmd, "--html or --json, not both");
	if (incident && !args_number(cmd, "incident", incident, 1, INT64_MAX, &id))
		return EXIT_USAGE;
	body = json_pack("{s:s*,s:s*}", "channel", channel, "type", type);
	if (id)
		(void)json_object_set_new(body, "incident", json_integer((json_int_t)id));
	r = alerts_send(cmd, &args, "POST", ALERTS_PREVIEW, body, &answer);
	if (r != EXIT_OK)
		return r;
	r = print_previews(cmd, answer, html ? RAW_HTML : json ? RAW_JSON : RAW_NO);
	json_decref(answer);
	return r;
}

/* --- channels ----------------------------------------------------------------------------------------------------- */

static const struct table_column channel_columns[] = {
    {"NAME", "name", false},
    {"TYPE", "type", false},
    {"SEVERITY", "severity", false},
    {"STATE", "state", false},
    {"QUEUED", "queued", true},
    {"HELD", "held", true},
    {"DEAD", "dead", true},
    {"SENT", "successful_deliveries", true},
    {"FAILED", "failed_deliveries", true},
    {"LAST SENT", "last_delivery", false},
    {"SINCE", "since", false},
    {"WHY", "why", false},
};
#define CHANNEL_COLUMNS_WIDE 2 /* the last of them, for programs: no terminal has room for sentences */

static void explain_channels(const json_t *rows)
{
	const json_t *c;
	size_t i;

	json_array_foreach(rows, i, c)
	{
		if (alerts_text(c, "why")[0] == '\0')
			continue;
		printf("\n%s, %s since %s\n", alerts_text(c, "name"), alerts_text(c, "state"), alerts_text(c, "since"));
		print_wrapped(alerts_text(c, "why"));
	}
}

int alerts_channels_cmd(const struct cmd *cmd, int argc, char **argv)
{
	static const struct alerts_rows rows = {.member = "channels",
						.columns = channel_columns,
						.n_columns = ARRAY_LEN(channel_columns),
						.n_wide = CHANNEL_COLUMNS_WIDE,
						.none = "No channel is configured; see docs/alerts.md",
						.below = explain_channels};

	return alerts_rows_cmd(cmd, argc, argv, "/api/v1/alerts/channels", &rows);
}

int alerts_enable_cmd(const struct cmd *cmd, int argc, char **argv)
{
	struct buf target;
	struct args args;
	json_t *answer;
	int r = args_read(cmd, argc, argv, NULL, 0, 1, &args);

	if (r != ARGS_GO)
		return r;
	if (args.n_words != 1)
		return cmd_usage_error(cmd, "which channel? A NAME of `bursar alerts channels`");
	buf_init(&target, 4096);
	r = buf_printf(&target, "/api/v1/alerts/channels/");
	for (const char *c = args.words[0]; *c && r == BUR_OK; c++)
		r = buf_printf(&target, "%%%02X", (unsigned char)*c);
	r |= buf_printf(&target, "/enable") | buf_append(&target, "", 1);
	r = r < 0 ? cmd_usage_error(cmd, "the name is too long")
		  : alerts_send(cmd, &args, "POST", buf_slice(&target).p, json_object(), &answer);
	buf_done(&target);
	if (r != EXIT_OK)
		return r;
	printf("%s is tried again from now on\n", alerts_text(answer, "name"));
	json_decref(answer);
	return EXIT_OK;
}
