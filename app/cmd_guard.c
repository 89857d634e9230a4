/* bursar stop, bursar resume, bursar breakers: what stops calls beside their budgets. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/args.h"
#include "app/ask.h"
#include "app/table.h"
#include "policy/stops.h"

static const struct table_column stop_columns[] = {
    {"WHAT", "what", false},   {"VALUE", "value", false}, {"SINCE", "since", false},
    {"ACTOR", "actor", false}, {"CUT", "cut", false},     {"REASON", "reason", false},
};
static const struct table_column breaker_columns[] = {
    {"NAME", "name", false},   {"STATE", "state", false},    {"CAUSE", "cause", false},  {"SINCE", "since", false},
    {"UNTIL", "until", false}, {"REFUSED", "refused", true}, {"FAILED", "failed", true}, {"LIMITED", "limited", true},
};
static const struct table_column quarantine_columns[] = {
    {"KEY", "key", false},          {"CAUSE", "cause", false}, {"COUNT", "value", true},
    {"COST USD", "cost_usd", true}, {"UNTIL", "until", false},
};

struct what {
	const char *value[STOP_EVERYTHING]; /* by enum fact */
	const char *reason, *format;
	bool everything, cut, list;
};

/* The options that say what; -1 with a message when it is not exactly one. */
static int body_of(const struct cmd *cmd, const struct what *w, char **ret)
{
	json_t *o = json_object();
	int n = w->everything;

	if (w->everything)
		(void)json_object_set_new(o, "everything", json_true());
	for (int i = 0; i < STOP_EVERYTHING; i++) {
		if (!w->value[i])
			continue;
		(void)json_object_set_new(o, stop_word(i), json_string(w->value[i]));
		n++;
	}
	if (n != 1 || !w->reason) {
		json_decref(o);
		return n != 1
			   ? cmd_usage_error(cmd, "say one of --key, --user, --team, --project, --provider, --model, "
						  "--everything")
			   : cmd_usage_error(cmd, "say why: --reason TEXT");
	}
	(void)json_object_set_new(o, "reason", json_string(w->reason));
	if (w->cut)
		(void)json_object_set_new(o, "cut", json_true());
	*ret = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return *ret ? EXIT_OK : EXIT_FAILED;
}

static int ask(const struct cmd *cmd, const char *config, const char *method, const char *target, const char *body,
	       json_t **ret)
{
	struct admin_question q = {
	    .config = config, .method = method, .target = target, .body = slice_of(body), .needs_data = true};

	return ask_json(cmd, &q, ret);
}

static int list_stops(const struct cmd *cmd, const struct args *args, const struct what *w)
{
	enum table_format format;
	json_t *answer;
	int r;

	if (!table_format(cmd, w->format, &format))
		return EXIT_USAGE;
	r = ask(cmd, args->config, "GET", "/api/v1/stops", NULL, &answer);
	if (r != EXIT_OK)
		return r;
	r = table_print(stdout, json_object_get(answer, "stops"), stop_columns, ARRAY_LEN(stop_columns), format);
	json_decref(answer);
	return r;
}

static const char *text_in(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static int change(const struct cmd *cmd, const struct args *args, const struct what *w, bool stop)
{
	char *body = NULL;
	json_t *answer;
	int r = body_of(cmd, w, &body);

	if (r != EXIT_OK)
		return r;
	r = ask(cmd, args->config, stop ? "POST" : "DELETE", "/api/v1/stops", body, &answer);
	free(body);
	if (r != EXIT_OK)
		return r;
	printf("%s%s%s", text_in(answer, "what"), text_in(answer, "value")[0] ? " " : "", text_in(answer, "value"));
	if (stop)
		printf(" is stopped; `bursar resume` with the same words lets it go on\n");
	else if (json_is_true(json_object_get(answer, "resumed")))
		printf(" may go on\n");
	else
		printf(json_is_true(json_object_get(answer, "quarantine_lifted")) ? " is out of quarantine\n"
										  : " was not stopped\n");
	json_decref(answer);
	return EXIT_OK;
}

static int stop_or_resume(const struct cmd *cmd, int argc, char **argv, bool stop)
{
	struct what w = {0};
	struct arg list[STOP_EVERYTHING + 5] = {{.name = "everything", .flag = &w.everything},
						{.name = "reason", .value = &w.reason}};
	size_t n = 2;
	struct args args;
	int r;

	for (int i = 0; i < STOP_EVERYTHING; i++)
		list[n++] = (struct arg){.name = stop_word(i), .value = &w.value[i]};
	if (stop) {
		list[n++] = (struct arg){.name = "cut", .flag = &w.cut};
		list[n++] = (struct arg){.name = "list", .flag = &w.list};
		list[n++] = (struct arg){.name = "format", .value = &w.format};
	}
	r = args_read(cmd, argc, argv, list, n, 0, &args);
	if (r != ARGS_GO)
		return r;
	return w.list ? list_stops(cmd, &args, &w) : change(cmd, &args, &w, stop);
}

int cmd_stop(const struct cmd *cmd, int argc, char **argv)
{
	return stop_or_resume(cmd, argc, argv, true);
}

int cmd_resume(const struct cmd *cmd, int argc, char **argv)
{
	return stop_or_resume(cmd, argc, argv, false);
}

/* --- breakers ----------------------------------------------------------------------------------------------------- */

static int force(const struct cmd *cmd, const struct args *args, const char *reason, bool stay)
{
	struct buf name;
	char target[2048], *body;
	json_t *o = json_pack("{s:s*,s:b}", "reason", reason, "stay", stay), *answer;
	int r;

	if (strcmp(args->words[0], "open") != 0 && strcmp(args->words[0], "close") != 0 &&
	    strcmp(args->words[0], "half-open") != 0) {
		json_decref(o);
		return cmd_usage_error(cmd, "expected open, close or half-open, got `%s`", args->words[0]);
	}
	if (args->n_words < 2 || !reason) {
		json_decref(o);
		return cmd_usage_error(cmd, "which breaker, and why (--reason TEXT)?");
	}
	buf_init(&name, 2048);
	/* admin_query writes "?n=value": what follows the "=" is the encoded name */
	if (admin_query(&name, "n", args->words[1]) < 0 || buf_len(&name) < 3) {
		buf_done(&name);
		json_decref(o);
		return cmd_usage_error(cmd, "the name is too long");
	}
	(void)snprintf(target, sizeof(target), "/api/v1/breakers/" SLICE_FMT "/%s",
		       SLICE_ARG(slice_sub(buf_slice(&name), 3, buf_len(&name))), args->words[0]);
	buf_done(&name);
	body = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	r = body ? ask(cmd, args->config, "POST", target, body, &answer) : EXIT_FAILED;
	free(body);
	if (r != EXIT_OK)
		return r;
	printf("%s is %s\n", text_in(answer, "name"), text_in(answer, "state"));
	json_decref(answer);
	return EXIT_OK;
}

int cmd_breakers(const struct cmd *cmd, int argc, char **argv)
{
	const char *format_text = NULL, *reason = NULL;
	bool stay = false;
	const struct arg list[] = {{.name = "format", .value = &format_text},
				   {.name = "reason", .value = &reason},
				   {.name = "stay", .flag = &stay}};
	enum table_format format;
	struct args args;
	json_t *answer;
	int r = args_read(cmd, argc, argv, list, ARRAY_LEN(list), 2, &args);

	if (r != ARGS_GO)
		return r;
	if (args.n_words > 0)
		return force(cmd, &args, reason, stay);
	if (!table_format(cmd, format_text, &format))
		return EXIT_USAGE;
	r = ask(cmd, args.config, "GET", "/api/v1/breakers", NULL, &answer);
	if (r != EXIT_OK)
		return r;
	r = table_print(stdout, json_object_get(answer, "breakers"), breaker_columns, ARRAY_LEN(breaker_columns),
			format);
	if (r == EXIT_OK && format == TABLE_TEXT && json_array_size(json_object_get(answer, "quarantine")) > 0) {
		printf("\nin quarantine:\n");
		r = table_print(stdout, json_object_get(answer, "quarantine"), quarantine_columns,
				ARRAY_LEN(quarantine_columns), format);
	}
	json_decref(answer);
	return r;
}
