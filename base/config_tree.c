#include "base/config_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "base/error.h"
#include "base/map.h"

#define CONFIG_BYTES_MAX (4 * 1024 * 1024)
#define SUBSTITUTE_FILE_MAX (64 * 1024)
#define SUBSTITUTED_MAX (256 * 1024) /* one scalar, after substitution */
#define DEPTH_MAX 32
#define NODES_MAX 400000
#define LINEAR_KEYS 16 /* maps with more keys find duplicates by hash */

struct tree {
	struct arena *arena;
	const char *file_name;
	struct config_error *err;
	yaml_parser_t parser;
	size_t n_nodes;
};

/* --- messages ----------------------------------------------------------------------------------------------------- */

/* Control bytes would let a file write to the reader's terminal. */
static void make_printable(char *p)
{
	for (; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	}
}

int config_fail(struct config_error *err, const char *file_name, const struct node *node, const char *fmt, ...)
{
	va_list ap;
	int n;

	n = snprintf(err->text, sizeof(err->text), "%s:%d:%d: ", file_name, node ? node->line : 1,
		     node ? node->column : 1);
	if (n > 0 && n < (int)sizeof(err->text)) {
		va_start(ap, fmt);
		(void)vsnprintf(err->text + n, sizeof(err->text) - (size_t)n, fmt, ap);
		va_end(ap);
	}
	make_printable(err->text);
	return BUR_INVALID;
}

static struct node place(yaml_mark_t mark)
{
	return (struct node){.line = (int)mark.line + 1, .column = (int)mark.column + 1};
}

static int no_memory(struct tree *t)
{
	(void)snprintf(t->err->text, sizeof(t->err->text), "%s:1:1: the configuration needs too much memory",
		       t->file_name);
	return BUR_NOMEM;
}

/* --- substitution ------------------------------------------------------------------------------------------------- */

/* Text that grows in the arena up to SUBSTITUTED_MAX. */
struct text {
	char *p;
	size_t n, cap;
};

static int text_append(struct arena *arena, struct text *t, struct slice s)
{
	if (s.n > SUBSTITUTED_MAX - t->n)
		return BUR_TOOBIG;
	if (s.n > t->cap - t->n) {
		size_t cap = (t->n + s.n) * 2;
		char *p = arena_alloc(arena, cap);

		if (!p)
			return BUR_NOMEM;
		if (t->n > 0)
			memcpy(p, t->p, t->n);
		t->p = p;
		t->cap = cap;
	}
	if (s.n > 0)
		memcpy(t->p + t->n, s.p, s.n);
	t->n += s.n;
	return BUR_OK;
}

static int read_limited(int fd, char *dst, size_t size, size_t *ret_n)
{
	size_t n = 0;

	while (n < size) {
		ssize_t got = read(fd, dst + n, size - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return BUR_IO;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	*ret_n = n;
	return BUR_OK;
}

/* A whole regular file into the arena. BUR_TOOBIG: over `max`; BUR_INVALID: not a regular file. */
static int slurp(struct arena *arena, const char *path, size_t max, struct slice *ret)
{
	struct stat st;
	char *mem;
	size_t n;
	int fd, r = BUR_IO;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return BUR_IO;
	if (fstat(fd, &st) < 0)
		goto out;
	r = S_ISREG(st.st_mode) ? BUR_OK : BUR_INVALID;
	if (r == BUR_OK && (st.st_size < 0 || (uint64_t)st.st_size > max))
		r = BUR_TOOBIG;
	if (r < 0)
		goto out;
	/* the size may be a lie (procfs): one byte more tells "all" from "too much" */
	mem = arena_alloc(arena, (st.st_size > 0 ? (size_t)st.st_size : max) + 1);
	if (!mem) {
		r = BUR_NOMEM;
		goto out;
	}
	r = read_limited(fd, mem, (st.st_size > 0 ? (size_t)st.st_size : max) + 1, &n);
	if (r == BUR_OK && n > max)
		r = BUR_TOOBIG;
	if (r == BUR_OK)
		*ret = slice_mem(mem, n);
out:
	(void)close(fd);
	return r;
}

static int substitute_file(struct tree *t, const struct node *node, struct slice path, struct slice *ret)
{
	struct slice name = arena_dup(t->arena, path);
	int r;

	if (!name.p)
		return no_memory(t);
	r = slurp(t->arena, name.p, SUBSTITUTE_FILE_MAX, ret);
	switch (r) {
	case BUR_OK:
		break;
	case BUR_NOMEM:
		return no_memory(t);
	case BUR_TOOBIG:
		return config_fail(t->err, t->file_name, node, SLICE_FMT ": expected a file of at most %d bytes: %s",
				   SLICE_ARG(node->key), SUBSTITUTE_FILE_MAX, name.p);
	case BUR_INVALID:
		return config_fail(t->err, t->file_name, node, SLICE_FMT ": expected a regular file: %s",
				   SLICE_ARG(node->key), name.p);
	default:
		return config_fail(t->err, t->file_name, node, SLICE_FMT ": cannot read %s: %s", SLICE_ARG(node->key),
				   name.p, strerror(errno));
	}
	if (ret->n > 0 && ret->p[ret->n - 1] == '\n')
		ret->n--;
	if (slice_find(*ret, '\0') != ret->n)
		return config_fail(t->err, t->file_name, node, SLICE_FMT ": expected text in %s, found a NUL byte",
				   SLICE_ARG(node->key), name.p);
	return BUR_OK;
}

/* NAME or NAME:-default; the default also stands in for an empty value, as in the shell. */
static int substitute_env(struct tree *t, const struct node *node, struct slice inside, struct slice *ret)
{
	size_t end = 0;
	struct slice name;
	bool has_default;
	const char *value;

	while (end < inside.n &&
	       (inside.p[end] == '_' || ((inside.p[end] | 32) >= 'a' && (inside.p[end] | 32) <= 'z') ||
		(end > 0 && inside.p[end] >= '0' && inside.p[end] <= '9')))
		end++;
	has_default = slice_starts(slice_sub(inside, end, inside.n), SLICE(":-"));
	if (end == 0 || (end < inside.n && !has_default))
		return config_fail(t->err, t->file_name, node,
				   SLICE_FMT ": expected `${NAME}`, `${NAME:-default}` or `${file:PATH}`, found "
					     "`${%.64s}`",
				   SLICE_ARG(node->key), arena_dup(t->arena, slice_sub(inside, 0, 64)).p);
	name = arena_dup(t->arena, slice_sub(inside, 0, end));
	if (!name.p)
		return no_memory(t);
	value = getenv(name.p);
	if (has_default && (!value || !*value)) {
		*ret = slice_sub(inside, end + 2, inside.n);
		return BUR_OK;
	}
	if (!value)
		return config_fail(t->err, t->file_name, node,
				   SLICE_FMT ": environment variable %.128s is not set and has no default",
				   SLICE_ARG(node->key), name.p);
	*ret = slice_of(value);
	return BUR_OK;
}

/* One `${…}` at s[*inout_i]. */
static int substitute_one(struct tree *t, const struct node *node, struct slice s, size_t *inout_i, struct text *out)
{
	struct slice rest = slice_sub(s, *inout_i + 2, s.n), inside, value = SLICE_NONE;
	size_t end = slice_find(rest, '}');
	int r;

	if (end == rest.n)
		return config_fail(t->err, t->file_name, node, SLICE_FMT ": expected `}` after `${`, found the end",
				   SLICE_ARG(node->key));
	inside = slice_sub(rest, 0, end);
	if (slice_starts(inside, SLICE("file:")))
		r = substitute_file(t, node, slice_sub(inside, 5, inside.n), &value);
	else
		r = substitute_env(t, node, inside, &value);
	if (r < 0)
		return r;
	*inout_i += 2 + end + 1;
	return text_append(t->arena, out, value);
}

/* `$${` is a plain `${`. What was put in is not looked at again. */
static int substitute(struct tree *t, struct node *node)
{
	struct slice s = node->text;
	struct text out = {0};
	size_t i = 0;
	int r = BUR_OK;

	while (i < s.n && r == BUR_OK) {
		size_t dollar = i + slice_find(slice_sub(s, i, s.n), '$');

		r = text_append(t->arena, &out, slice_sub(s, i, dollar - i));
		i = dollar;
		if (r < 0 || i == s.n)
			break;
		if (slice_starts(slice_sub(s, i, s.n), SLICE("$${"))) {
			r = text_append(t->arena, &out, SLICE("${"));
			i += 3;
		} else if (slice_starts(slice_sub(s, i, s.n), SLICE("${"))) {
			node->secret = true;
			r = substitute_one(t, node, s, &i, &out);
		} else {
			r = text_append(t->arena, &out, slice_sub(s, i++, 1));
		}
	}
	if (r == BUR_TOOBIG)
		return config_fail(t->err, t->file_name, node, SLICE_FMT ": expected at most %d bytes of text",
				   SLICE_ARG(node->key), SUBSTITUTED_MAX);
	if (r == BUR_NOMEM)
		return no_memory(t);
	if (r < 0)
		return r;
	node->text = arena_dup(t->arena, (struct slice){out.p, out.n});
	return node->text.p ? BUR_OK : no_memory(t);
}

/* --- YAML to nodes ------------------------------------------------------------------------------------------------ */

static int next_event(struct tree *t, yaml_event_t *ev)
{
	struct node at;

	if (yaml_parser_parse(&t->parser, ev) == 1)
		return BUR_OK;
	at = place(t->parser.problem_mark);
	if (t->parser.error == YAML_MEMORY_ERROR)
		return no_memory(t);
	return config_fail(t->err, t->file_name, &at, "expected YAML: %s%s%s",
			   t->parser.context ? t->parser.context : "", t->parser.context ? ", " : "",
			   t->parser.problem ? t->parser.problem : "malformed");
}

static struct node *new_node(struct tree *t, enum node_kind kind, yaml_mark_t mark)
{
	struct node *node;

	if (t->n_nodes++ >= NODES_MAX)
		return NULL;
	node = arena_zalloc(t->arena, sizeof(*node));
	if (!node)
		return NULL;
	*node = place(mark);
	node->kind = kind;
	return node;
}

/* Anchors and tags have no meaning here, and aliases can make a small file a huge tree. */
static int check_plain(struct tree *t, const yaml_event_t *ev)
{
	struct node at = place(ev->start_mark);
	const yaml_char_t *anchor = NULL, *tag = NULL;

	switch (ev->type) {
	case YAML_ALIAS_EVENT:
		return config_fail(t->err, t->file_name, &at,
				   "expected a value, found an alias: aliases are not supported");
	case YAML_SCALAR_EVENT:
		anchor = ev->data.scalar.anchor;
		tag = ev->data.scalar.tag;
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = ev->data.sequence_start.anchor;
		tag = ev->data.sequence_start.tag;
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = ev->data.mapping_start.anchor;
		tag = ev->data.mapping_start.tag;
		break;
	default:
		break;
	}
	if (anchor || tag)
		return config_fail(t->err, t->file_name, &at, "expected a plain value, found %s: not supported",
				   anchor ? "an anchor (`&`)" : "a tag (`!`)");
	return BUR_OK;
}

static int scalar_text(struct tree *t, const yaml_event_t *ev, struct slice *ret)
{
	struct slice raw = slice_mem(ev->data.scalar.value, ev->data.scalar.length);
	struct node at = place(ev->start_mark);

	if (slice_find(raw, '\0') != raw.n)
		return config_fail(t->err, t->file_name, &at, "expected text, found a NUL character");
	*ret = arena_dup(t->arena, raw);
	return ret->p ? BUR_OK : no_memory(t);
}

static int parse_value(struct tree *t, const yaml_event_t *ev, const struct node *key, int depth, struct node **ret);

static int parse_scalar(struct tree *t, const yaml_event_t *ev, struct node *node)
{
	int r;

	node->quoted = ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	r = scalar_text(t, ev, &node->text);
	if (r == BUR_OK && slice_find(node->text, '$') != node->text.n)
		r = substitute(t, node);
	return r;
}

static int parse_list(struct tree *t, struct node *list, int depth)
{
	struct node **tail = &list->first_child;
	yaml_event_t ev;
	int r;

	for (;;) {
		r = next_event(t, &ev);
		if (r < 0)
			return r;
		if (ev.type == YAML_SEQUENCE_END_EVENT)
			break;
		r = parse_value(t, &ev, NULL, depth, tail);
		yaml_event_delete(&ev);
		if (r < 0)
			return r;
		tail = &(*tail)->next;
	}
	yaml_event_delete(&ev);
	return BUR_OK;
}

/* Keys seen in one map: a short list is searched, a long one hashed. */
struct seen_keys {
	const struct node *map;
	struct map *hashed;
	size_t n;
};

static int seen_add(struct seen_keys *seen, struct slice key)
{
	seen->n++;
	if (seen->n <= LINEAR_KEYS)
		return node_get(seen->map, key.p) ? BUR_ALREADY : BUR_OK;
	if (!seen->hashed) {
		seen->hashed = map_new(NODES_MAX);
		for (const struct node *c = seen->map->first_child; c && seen->hashed; c = c->next) {
			if (map_put(seen->hashed, c->key, NULL) < 0)
				return BUR_NOMEM;
		}
	}
	return seen->hashed ? map_put(seen->hashed, key, NULL) : BUR_NOMEM;
}

/* The event that begins a key. */
static int parse_key(struct tree *t, const yaml_event_t *ev, struct seen_keys *seen, struct node *ret_key)
{
	int r;

	*ret_key = place(ev->start_mark);
	r = check_plain(t, ev);
	if (r < 0)
		return r;
	if (ev->type != YAML_SCALAR_EVENT)
		return config_fail(t->err, t->file_name, ret_key, "expected a name as key, found a map or list");
	r = scalar_text(t, ev, &ret_key->key);
	if (r < 0)
		return r;
	if (ret_key->key.n > 256)
		return config_fail(t->err, t->file_name, ret_key, "expected a key of at most 256 bytes, found %zu",
				   ret_key->key.n);
	r = seen_add(seen, ret_key->key);
	if (r == BUR_ALREADY)
		return config_fail(t->err, t->file_name, ret_key, SLICE_FMT ": expected each key once, found it again",
				   SLICE_ARG(ret_key->key));
	return r == BUR_OK ? BUR_OK : no_memory(t);
}

static int parse_entry(struct tree *t, const yaml_event_t *key_event, struct seen_keys *seen, int depth,
		       struct node **ret)
{
	struct node key;
	yaml_event_t ev;
	int r;

	r = parse_key(t, key_event, seen, &key);
	if (r < 0)
		return r;
	r = next_event(t, &ev);
	if (r < 0)
		return r;
	r = parse_value(t, &ev, &key, depth, ret);
	yaml_event_delete(&ev);
	return r;
}

static int parse_map(struct tree *t, struct node *map, int depth)
{
	struct seen_keys seen = {.map = map};
	struct node **tail = &map->first_child;
	yaml_event_t ev;
	bool end = false;
	int r = BUR_OK;

	while (!end && r == BUR_OK) {
		r = next_event(t, &ev);
		if (r < 0)
			break;
		end = ev.type == YAML_MAPPING_END_EVENT;
		if (!end) {
			r = parse_entry(t, &ev, &seen, depth, tail);
			if (r == BUR_OK)
				tail = &(*tail)->next;
		}
		yaml_event_delete(&ev);
	}
	map_free(seen.hashed, NULL);
	return r;
}

/* `key` gives the name and the place of a map's member; NULL elsewhere. */
static int parse_value(struct tree *t, const yaml_event_t *ev, const struct node *key, int depth, struct node **ret)
{
	struct node *node;
	enum node_kind kind;
	int r;

	r = check_plain(t, ev);
	if (r < 0)
		return r;
	kind = ev->type == YAML_SCALAR_EVENT          ? NODE_SCALAR
	       : ev->type == YAML_MAPPING_START_EVENT ? NODE_MAP
						      : NODE_LIST;
	node = new_node(t, kind, ev->start_mark);
	if (!node)
		return no_memory(t);
	if (key) {
		node->key = key->key;
		node->line = key->line;
		node->column = key->column;
	}
	if (kind != NODE_SCALAR && depth >= DEPTH_MAX)
		return config_fail(t->err, t->file_name, node, "expected at most %d levels, found more", DEPTH_MAX);
	switch (kind) {
	case NODE_SCALAR:
		r = parse_scalar(t, ev, node);
		break;
	case NODE_MAP:
		r = parse_map(t, node, depth + 1);
		break;
	case NODE_LIST:
		r = parse_list(t, node, depth + 1);
		break;
	}
	if (r == BUR_OK)
		*ret = node;
	return r;
}

/* The one document of the stream; an empty file is an empty map. */
static int parse_stream(struct tree *t, struct node **ret)
{
	yaml_event_t ev;
	struct node at;
	bool end = false;
	int r = BUR_OK;

	while (!end && r == BUR_OK) {
		r = next_event(t, &ev);
		if (r < 0)
			return r;
		at = place(ev.start_mark);
		switch (ev.type) {
		case YAML_STREAM_START_EVENT:
		case YAML_DOCUMENT_END_EVENT:
			break;
		case YAML_STREAM_END_EVENT:
			end = true;
			break;
		case YAML_DOCUMENT_START_EVENT:
			if (*ret)
				r = config_fail(t->err, t->file_name, &at, "expected one document, found another");
			break;
		default:
			r = parse_value(t, &ev, NULL, 0, ret);
			break;
		}
		yaml_event_delete(&ev);
	}
	if (r == BUR_OK && !*ret) {
		*ret = new_node(t, NODE_MAP, (yaml_mark_t){0});
		r = *ret ? BUR_OK : no_memory(t);
	}
	return r;
}

int config_parse(struct arena *arena, struct slice text, const char *file_name, struct node **ret,
		 struct config_error *reterr)
{
	struct tree t = {.arena = arena, .file_name = file_name, .err = reterr};
	struct node *root = NULL;
	int r;

	if (text.n > CONFIG_BYTES_MAX)
		return config_fail(reterr, file_name, NULL, "expected at most %d bytes, found %zu", CONFIG_BYTES_MAX,
				   text.n);
	if (yaml_parser_initialize(&t.parser) != 1)
		return no_memory(&t);
	yaml_parser_set_input_string(&t.parser, (const unsigned char *)(text.p ? text.p : ""), text.n);
	yaml_parser_set_encoding(&t.parser, YAML_UTF8_ENCODING);
	r = parse_stream(&t, &root);
	yaml_parser_delete(&t.parser);
	if (r == BUR_OK)
		*ret = root;
	return r;
}

int config_load(struct arena *arena, const char *path, struct node **ret, struct config_error *reterr)
{
	struct slice text = SLICE_NONE;
	int r;

	r = slurp(arena, path, CONFIG_BYTES_MAX, &text);
	if (r == BUR_OK)
		return config_parse(arena, text, path, ret, reterr);
	if (r == BUR_IO)
		(void)config_fail(reterr, path, NULL, "cannot read the file: %s", strerror(errno));
	else
		(void)config_fail(reterr, path, NULL, "expected a regular file of at most %d bytes", CONFIG_BYTES_MAX);
	return r == BUR_IO && errno == ENOENT ? BUR_NOTFOUND : r;
}

/* --- nodes -------------------------------------------------------------------------------------------------------- */

const struct node *node_get(const struct node *map, const char *key)
{
	struct slice name = slice_of(key);

	if (map->kind != NODE_MAP)
		return NULL;
	for (const struct node *c = map->first_child; c; c = c->next) {
		if (slice_eq(c->key, name))
			return c;
	}
	return NULL;
}

bool config_is_null(const struct node *node)
{
	return node->kind == NODE_SCALAR && !node->quoted && !node->secret &&
	       (node->text.n == 0 || slice_eq(node->text, SLICE("~")) || slice_eq(node->text, SLICE("null")));
}
