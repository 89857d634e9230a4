/* bursar tokens: how many tokens a text is. Needs no configuration and no server. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "app/args.h"
#include "base/error.h"
#include "tokens/tokens.h"

#define READ_BYTES (64u << 10)

static int say(const struct cmd *cmd, const char *text)
{
	(void)fprintf(stderr, "bursar %s: %s\n", cmd->name, text);
	return EXIT_FAILED;
}

/* NULL: out of memory; free() it. */
static uint32_t *encode(enum tok_encoding e, struct slice text, size_t *ret_n)
{
	size_t n = tok_encode(e, text.p, text.n, NULL, 0);
	uint32_t *ids = malloc((n > 0 ? n : 1) * sizeof(*ids));

	*ret_n = ids ? tok_encode(e, text.p, text.n, ids, n) : 0;
	return ids;
}

static bool print_ids(enum tok_encoding e, struct slice text)
{
	size_t n;
	uint32_t *ids = encode(e, text, &n);

	for (size_t i = 0; ids && i < n; i++)
		printf("%s%u", i > 0 ? "," : "", ids[i]);
	free(ids);
	return ids != NULL;
}

/* --- one text ----------------------------------------------------------------------------------------------------- */
static char *read_all(FILE *f, size_t *ret_n)
{
	char *p = NULL, *grown;
	size_t room = 0, n = 0, got;

	do {
		if (room - n < READ_BYTES) {
			room = 2 * room + 2 * READ_BYTES;
			grown = realloc(p, room);
			if (!grown) {
				free(p);
				return NULL;
			}
			p = grown;
		}
		n += got = fread(p + n, 1, READ_BYTES, f);
	} while (got > 0);
	*ret_n = n;
	return p;
}

static int print_text(const struct cmd *cmd, enum tok_encoding e, struct slice text, bool with_ids)
{
	printf("%llu tokens  (%s)\n", (unsigned long long)tok_count(e, NULL, text.p, text.n, UINT64_MAX),
	       tok_encoding_name(e));
	if (with_ids && !print_ids(e, text))
		return say(cmd, bur_strerror(BUR_NOMEM));
	if (with_ids)
		(void)putchar('\n');
	return EXIT_OK;
}

static int one_text(const struct cmd *cmd, enum tok_encoding e, const char *word, bool with_ids)
{
	struct slice text = slice_of(word);
	char *read = NULL;
	int r;

	if (!word || strcmp(word, "-") == 0) {
		read = read_all(stdin, &text.n);
		text.p = read;
		if (!read)
			return say(cmd, bur_strerror(BUR_NOMEM));
	}
	r = print_text(cmd, e, text, with_ids);
	free(read);
	return r;
}

/* --- a text on each line -------------------------------------------------------------------------------------------
 */
struct lines {
	const struct cmd *cmd;
	bool with_ids;
	struct tok_cache *cache[TOK_ENCODING_COUNT];
	unsigned long long number;
	bool failed;
};

static void print_line(struct lines *l, json_t *id, struct slice text)
{
	char *id_text = json_dumps(id, JSON_ENCODE_ANY | JSON_COMPACT);

	printf("{\"id\":%s", id_text ? id_text : "null");
	free(id_text);
	for (enum tok_encoding e = 0; e < TOK_ENCODING_COUNT; e++) {
		printf(",\"%s\":%llu", tok_encoding_name(e),
		       (unsigned long long)tok_count(e, l->cache[e], text.p, text.n, UINT64_MAX));
		if (!l->with_ids)
			continue;
		printf(",\"%s_ids\":[", tok_encoding_name(e));
		l->failed |= !print_ids(e, text);
		(void)putchar(']');
	}
	printf("}\n");
}

/* Only `id` and `text` are looked at. */
static void take_line(struct lines *l, const char *p, size_t n)
{
	json_error_t err;
	json_t *line = json_loadb(p, n, JSON_ALLOW_NUL, &err), *text = json_object_get(line, "text");

	if (json_is_string(text)) {
		print_line(l, json_object_get(line, "id"),
			   slice_mem(json_string_value(text), json_string_length(text)));
	} else {
		l->failed = true;
		(void)fprintf(stderr, "bursar %s: line %llu: %s\n", l->cmd->name, l->number,
			      line ? "no `text` in it" : err.text);
	}
	json_decref(line);
}

static int all_lines(const struct cmd *cmd, const char *path, bool with_ids)
{
	struct lines l = {cmd, with_ids, {NULL}, 0, false};
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	if (!f) {
		(void)fprintf(stderr, "bursar %s: cannot open %s: %s\n", cmd->name, path, strerror(errno));
		return EXIT_FAILED;
	}
	for (enum tok_encoding e = 0; e < TOK_ENCODING_COUNT; e++)
		l.cache[e] = tok_cache_new(e); /* without: slower */
	while ((n = getline(&line, &room, f)) > 0) {
		l.number++;
		if (line[strspn(line, " \t\r\n")] != '\0')
			take_line(&l, line, (size_t)n);
	}
	free(line);
	for (enum tok_encoding e = 0; e < TOK_ENCODING_COUNT; e++)
		tok_cache_free(l.cache[e]);
	if (f != stdin)
		(void)fclose(f);
	return l.failed || fflush(stdout) != 0 ? EXIT_FAILED : EXIT_OK;
}

/* --- which vocabulary --------------------------------------------------------------------------------------------- */
static bool find_encoding(const struct cmd *cmd, const char *name, enum tok_encoding *ret)
{
	for (enum tok_encoding e = 0; e < TOK_ENCODING_COUNT; e++)
		if (strcmp(name, tok_encoding_name(e)) == 0) {
			*ret = e;
			return true;
		}
	(void)cmd_usage_error(cmd, "--encoding is o200k_base or cl100k_base, not `%s`", name);
	return false;
}

static enum tok_encoding encoding_of(const struct cmd *cmd, const char *model)
{
	bool exact;
	enum tok_encoding e = tok_for_model(SLICE_NONE, slice_of(model), &exact);

	if (!exact)
		(void)fprintf(
		    stderr, "bursar %s: the vocabulary of %s is not published or not known here; this is an estimate\n",
		    cmd->name, model);
	return e;
}

int cmd_tokens(const struct cmd *cmd, int argc, char **argv)
{
	const char *model = NULL, *encoding = NULL, *jsonl = NULL;
	bool with_ids = false;
	const struct arg list[] = {
	    {.name = "model", .value = &model},
	    {.name = "encoding", .value = &encoding},
	    {.name = "jsonl", .value = &jsonl},
	    {.name = "ids", .flag = &with_ids},
	};
	enum tok_encoding e = TOK_O200K;
	struct args args;
	int r = args_read(cmd, argc, argv, list, ARRAY_LEN(list), 1, &args);

	if (r != ARGS_GO)
		return r;
	if (jsonl && (model || encoding || args.n_words > 0))
		return cmd_usage_error(cmd, "--jsonl counts with every vocabulary and takes no text");
	if (model && encoding)
		return cmd_usage_error(cmd, "either --model or --encoding");
	if (encoding && !find_encoding(cmd, encoding, &e))
		return EXIT_USAGE;
	if (!tok_available(TOK_O200K) || !tok_available(TOK_CL100K))
		return say(cmd, "this bursar was built without vocabularies (npm was not there, or had no network)");
	if (jsonl)
		return all_lines(cmd, jsonl, with_ids);
	if (model)
		e = encoding_of(cmd, model);
	return one_text(cmd, e, args.n_words > 0 ? args.words[0] : NULL, with_ids);
}
