/* bursar keys: make, list, revoke. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/args.h"
#include "app/ask.h"
#include "app/table.h"

struct key_options {
	const char *user, *team, *project, *role, *expires, *format;
	struct args_many tags;
	bool may_set_user;
};

static const struct table_column columns[] = {
    {"NAME", "name", false},          {"ROLE", "role", false},          {"FIRST", "first", false},
    {"USER", "user", false},          {"TEAM", "team", false},          {"PROJECT", "project", false},
    {"TAGS", "tags", false},          {"CREATED", "created_at", false}, {"EXPIRES", "expires_at", false},
    {"REVOKED", "revoked_at", false},
};

static int list(const struct cmd *cmd, const struct args *args, const struct key_options *o)
{
	struct admin_question q = {
	    .config = args->config, .method = "GET", .target = "/api/v1/keys", .needs_data = true};
	enum table_format format;
	json_t *answer;
	int r;

	if (!table_format(cmd, o->format, &format))
		return EXIT_USAGE;
	r = ask_json(cmd, &q, &answer);
	if (r != EXIT_OK)
		return r;
	r = table_print(stdout, json_object_get(answer, "keys"), columns, ARRAY_LEN(columns), format);
	json_decref(answer);
	return r;
}

static void put(json_t *o, const char *name, const char *value)
{
	if (value)
		(void)json_object_set_new(o, name, json_string(value));
}

static json_t *tags_of(const struct cmd *cmd, const struct args_many *tags)
{
	json_t *o = json_object();

	for (size_t i = 0; i < tags->n; i++) {
		struct slice name, value;
		char key[128];

		if (!slice_cut(slice_of(tags->v[i]), '=', &name, &value)) {
			(void)cmd_usage_error(cmd, "--tag: expected name=value, got `%s`", tags->v[i]);
			json_decref(o);
			return NULL;
		}
		(void)slice_to_cstr(name, key, sizeof(key));
		(void)json_object_set_new(o, key, json_stringn(value.p, value.n));
	}
	return o;
}

/* The text alone on standard output when that is no terminal, so that scripts can take it. */
static int show_key(const json_t *answer, enum table_format format)
{
	const char *key = json_string_value(json_object_get(answer, "key"));
	const char *name = json_string_value(json_object_get(answer, "name"));

	if (!key)
		return EXIT_FAILED;
	if (format == TABLE_JSON)
		return json_dumpf(answer, stdout, JSON_INDENT(2)) == 0 && putchar('\n') != EOF ? EXIT_OK : EXIT_FAILED;
	(void)fprintf(stderr, "key `%s`, shown this once:\n", name ? name : "");
	printf("%s\n", key);
	return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}

static int create(const struct cmd *cmd, const struct args *args, const struct key_options *o)
{
	struct admin_question q = {.config = args->config, .method = "POST", .target = "/api/v1/keys"};
	json_t *body = json_object(), *tags = tags_of(cmd, &o->tags), *answer;
	enum table_format format;
	char *text;
	int r;

	if (!tags || !table_format(cmd, o->format, &format)) {
		json_decref(tags);
		json_decref(body);
		return EXIT_USAGE;
	}
	put(body, "name", args->n_words > 1 ? args->words[1] : NULL);
	put(body, "user", o->user);
	put(body, "team", o->team);
	put(body, "project", o->project);
	put(body, "role", o->role);
	put(body, "expires_at", o->expires);
	if (o->may_set_user)
		(void)json_object_set_new(body, "may_set_user", json_true());
	(void)json_object_set_new(body, "tags", tags);
	text = json_dumps(body, JSON_COMPACT);
	json_decref(body);
	if (!text)
		return EXIT_FAILED;
	q.body = slice_of(text);
	r = ask_json(cmd, &q, &answer);
	free(text);
	if (r != EXIT_OK)
		return r;
	r = show_key(answer, format);
	json_decref(answer);
	return r;
}

static int revoke(const struct cmd *cmd, const struct args *args)
{
	struct admin_question q = {.config = args->config, .method = "DELETE", .needs_data = true};
	struct buf target;
	json_t *answer;
	int r;

	if (args->n_words < 2)
		return cmd_usage_error(cmd, "revoke: which key?");
	buf_init(&target, 4096);
	/* admin_query writes "?n=value": what follows the "=" is the encoded name */
	r = admin_query(&target, "n", args->words[1]);
	if (r == 0) {
		struct slice encoded = slice_sub(buf_slice(&target), 3, buf_len(&target));
		char path[1024];

		(void)snprintf(path, sizeof(path), "/api/v1/keys/" SLICE_FMT, SLICE_ARG(encoded));
		q.target = path;
		r = ask_json(cmd, &q, &answer);
		if (r == EXIT_OK) {
			bool changed = json_is_true(json_object_get(answer, "changed"));

			printf("key `%s` %s\n", args->words[1], changed ? "is revoked" : "was revoked before");
			json_decref(answer);
		}
	}
	buf_done(&target);
	return r;
}

int cmd_keys(const struct cmd *cmd, int argc, char **argv)
{
	struct key_options o = {0};
	const struct arg list_of_args[] = {
	    {.name = "user", .value = &o.user},       {.name = "team", .value = &o.team},
	    {.name = "project", .value = &o.project}, {.name = "role", .value = &o.role},
	    {.name = "expires", .value = &o.expires}, {.name = "format", .value = &o.format},
	    {.name = "tag", .many = &o.tags},         {.name = "may-set-user", .flag = &o.may_set_user},
	};
	struct args args;
	int r = args_read(cmd, argc, argv, list_of_args, ARRAY_LEN(list_of_args), 2, &args);

	if (r != ARGS_GO)
		return r;
	if (args.n_words == 0 || strcmp(args.words[0], "list") == 0)
		return list(cmd, &args, &o);
	if (strcmp(args.words[0], "create") == 0)
		return create(cmd, &args, &o);
	if (strcmp(args.words[0], "revoke") == 0)
		return revoke(cmd, &args);
	return cmd_usage_error(cmd, "expected list, create or revoke, got `%s`", args.words[0]);
}
