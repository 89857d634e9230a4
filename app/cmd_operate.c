/* bursar budgets raise, lower, credit, charge, refund, adjust, audit: changes while it runs, asked of the admin API (or
 * done in this process when no server runs). Every question has an id, so that one whose answer was lost can be asked
 * again. */
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/args.h"
#include "app/ask.h"
#include "app/budgets_cmd.h"
#include "app/table.h"

struct options {
	const char *reason, *scope, *expires, *id, *format, *n, *cursor;
	bool carry_over, take_back;
};

static const struct table_column audit_columns[] = {
    {"SEQ", "seq", true},        {"TIME", "at", false},       {"WHO", "actor", false},   {"DID", "action", false},
    {"OBJECT", "object", false}, {"BEFORE", "before", false}, {"AFTER", "after", false}, {"REASON", "reason", false},
};

/* --- asking ------------------------------------------------------------------------------------------------------- */

static void put(json_t *o, const char *name, const char *value)
{
	if (value)
		(void)json_object_set_new(o, name, json_string(value));
}

/* A name or number inside a path; buf_done it. */
static int make_target(struct buf *b, const char *before, const char *name, const char *after)
{
	struct buf query;
	int r;

	/* admin_query writes "?n=value": what follows the "=" is the encoded name */
	buf_init(&query, 4096);
	r = admin_query(&query, "n", name);
	if (r == 0)
		r = buf_printf(b, "%s" SLICE_FMT "%s", before,
			       SLICE_ARG(slice_sub(buf_slice(&query), 3, buf_len(&query))), after);
	buf_done(&query);
	return r == 0 ? buf_append(b, "", 1) : r;
}

static void make_id(char dst[41])
{
	uint8_t bytes[16] = {0};

	dst[0] = '\0';
	if (RAND_bytes(bytes, sizeof(bytes)) == 1)
		hex_encode(bytes, sizeof(bytes), dst);
}

static int show(const json_t *answer, const struct options *o)
{
	const json_t *name = json_object_get(answer, "budget");
	char *what = table_cell(name ? name : json_object_get(answer, "call"));
	char *scope = table_cell(json_object_get(answer, "scope")),
	     *before = table_cell(json_object_get(answer, "before"));
	char *after = table_cell(json_object_get(answer, "after"));
	int r = what && scope && before && after ? EXIT_OK : EXIT_FAILED;

	if (r == EXIT_OK && o->format && strcmp(o->format, "json") == 0)
		r = json_dumpf(answer, stdout, JSON_INDENT(2)) == 0 && putchar('\n') != EOF ? EXIT_OK : EXIT_FAILED;
	else if (r == EXIT_OK)
		printf("%s%s%s: %s -> %s%s\n", what, scope[0] ? " " : "", scope, before, after,
		       json_is_true(json_object_get(answer, "repeated")) ? " (done before)" : "");
	free(what);
	free(scope);
	free(before);
	free(after);
	return r;
}

/* Takes `body` over. */
static int change(const struct cmd *cmd, const struct args *args, const struct options *o, const char *before,
		  const char *after, json_t *body)
{
	struct admin_question q = {.config = args->config, .method = "POST", .needs_data = true};
	struct buf target;
	char id[41], *text;
	json_t *answer;
	int r;

	make_id(id);
	put(body, "reason", o->reason);
	put(body, "id", o->id ? o->id : id[0] ? id : NULL);
	text = json_dumps(body, JSON_COMPACT);
	json_decref(body);
	buf_init(&target, 8192);
	if (!text || make_target(&target, before, args->words[1], after) < 0) {
		free(text);
		buf_done(&target);
		return cmd_usage_error(cmd, "`%s` is too long, or no text", args->words[1]);
	}
	q.body = slice_of(text);
	q.target = buf_slice(&target).p;
	r = ask_json(cmd, &q, &answer);
	if (r == EXIT_OK) {
		r = show(answer, o);
		json_decref(answer);
	} else if (r == EXIT_NO_SERVER) {
		(void)fprintf(stderr, "it may have been done; ask again with --id %s\n", o->id ? o->id : id);
	}
	buf_done(&target);
	free(text);
	return r;
}

/* --- one verb after the other ------------------------------------------------------------------------------------- */

/* NAME AMOUNT, the amount in one word or two ("80 USD"). false: said. */
static bool take_words(const struct cmd *cmd, const struct args *args, const struct options *o, const char *what,
		       char amount[64])
{
	int n;

	if (args->n_words < 3)
		return (void)cmd_usage_error(cmd, "%s: expected %s and an amount such as `80 USD`", args->words[0],
					     what),
		       false;
	if (!o->reason || !o->reason[0])
		return (void)cmd_usage_error(cmd, "%s: say why with --reason TEXT; it is kept in the audit log",
					     args->words[0]),
		       false;
	n = snprintf(amount, 64, "%s%s%s%s", o->take_back ? "-" : "", args->words[2], args->n_words > 3 ? " " : "",
		     args->n_words > 3 ? args->words[3] : "");
	if (n < 0 || n >= 64)
		return (void)cmd_usage_error(cmd, "the amount is too long"), false;
	return true;
}

static int limit(const struct cmd *cmd, const struct args *args, const struct options *o)
{
	char amount[64];
	json_t *body;

	if (!take_words(cmd, args, o, "a budget", amount))
		return EXIT_USAGE;
	body = json_object();
	put(body, "limit", amount);
	put(body, "direction", args->words[0]);
	return change(cmd, args, o, "/api/v1/budgets/", "/limit", body);
}

static int credit(const struct cmd *cmd, const struct args *args, const struct options *o)
{
	char amount[64];
	json_t *body;

	if (!take_words(cmd, args, o, "a budget", amount))
		return EXIT_USAGE;
	body = json_object();
	put(body, "amount", amount);
	put(body, "scope", o->scope);
	put(body, "expires", o->expires);
	if (o->carry_over)
		(void)json_object_set_new(body, "carry_over", json_true());
	return change(cmd, args, o, "/api/v1/budgets/", "/credit", body);
}

static int charge(const struct cmd *cmd, const struct args *args, const struct options *o)
{
	char amount[64];
	json_t *body;

	if (!take_words(cmd, args, o, "a budget", amount))
		return EXIT_USAGE;
	body = json_object();
	put(body, "amount", amount);
	put(body, "scope", o->scope);
	return change(cmd, args, o, "/api/v1/budgets/", "/charge", body);
}

static int correct(const struct cmd *cmd, const struct args *args, const struct options *o)
{
	bool refund = strcmp(args->words[0], "refund") == 0;
	char amount[64];
	json_t *body;

	if (!take_words(cmd, args, o, "a call (id or number of its row in `bursar ledger`)", amount))
		return EXIT_USAGE;
	body = json_object();
	put(body, refund ? "amount" : "total", amount);
	return change(cmd, args, o, "/api/v1/ledger/", refund ? "/refund" : "/adjust", body);
}

static int audit(const struct cmd *cmd, const struct args *args, const struct options *o)
{
	struct admin_question q = {.config = args->config, .method = "GET", .needs_data = true};
	const char *next, *n = o->n ? o->n : "20";
	unsigned long long limit_rows;
	enum table_format format;
	struct buf target;
	json_t *answer;
	int r;

	if (!table_format(cmd, o->format, &format) || !args_number(cmd, "limit", n, 1, 1000, &limit_rows))
		return EXIT_USAGE;
	buf_init(&target, 8192);
	r = buf_printf(&target, "/api/v1/audit") | admin_query(&target, "limit", n) |
	    admin_query(&target, "cursor", o->cursor) | admin_query(&target, "object", args->words[1]) |
	    buf_append(&target, "", 1);
	q.target = r < 0 ? "" : buf_slice(&target).p;
	r = r < 0 ? cmd_usage_error(cmd, "the filter is too long") : ask_json(cmd, &q, &answer);
	buf_done(&target);
	if (r != EXIT_OK)
		return r;
	r = table_print(stdout, json_object_get(answer, "rows"), audit_columns, ARRAY_LEN(audit_columns), format);
	next = json_string_value(json_object_get(answer, "next"));
	if (next && format == TABLE_TEXT)
		(void)fprintf(stderr, "more: --cursor %s\n", next);
	json_decref(answer);
	return r;
}

int cmd_budgets(const struct cmd *cmd, int argc, char **argv)
{
	static const struct {
		const char *word;
		int (*run)(const struct cmd *, const struct args *, const struct options *);
	} verbs[] = {{"raise", limit},    {"lower", limit},    {"credit", credit}, {"charge", charge},
		     {"refund", correct}, {"adjust", correct}, {"audit", audit}};
	struct options o = {0};
	const struct arg list[] = {
	    {.name = "reason", .value = &o.reason},      {.name = "scope", .value = &o.scope},
	    {.name = "expires", .value = &o.expires},    {.name = "id", .value = &o.id},
	    {.name = "format", .value = &o.format},      {.name = "limit", .letter = 'n', .value = &o.n},
	    {.name = "cursor", .value = &o.cursor},      {.name = "carry-over", .flag = &o.carry_over},
	    {.name = "take-back", .flag = &o.take_back},
	};
	struct args args;
	int r = args_read(cmd, argc, argv, list, ARRAY_LEN(list), 4, &args);

	if (r != ARGS_GO)
		return r;
	for (size_t i = 0; args.n_words > 0 && i < ARRAY_LEN(verbs); i++)
		if (strcmp(args.words[0], verbs[i].word) == 0)
			return verbs[i].run(cmd, &args, &o);
	if (args.n_words > 0 && strcmp(args.words[0], "list") == 0)
		return budgets_list(cmd, args.config, args.words[1], o.format);
	if (args.n_words > 1)
		return cmd_usage_error(cmd,
				       "expected raise, lower, credit, charge, refund, adjust, audit or a budget's "
				       "name, got `%s`",
				       args.words[0]);
	return budgets_list(cmd, args.config, args.words[0], o.format);
}
