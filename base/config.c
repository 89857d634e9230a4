#include "base/config_impl.h"

#include <stdio.h>

#include "base/amount.h"
#include "base/check.h"
#include "base/error.h"

/* Where the reader stands; `path` is the dotted name of the map being read. */
struct reading {
	struct arena *arena;
	const char *file_name;
	struct config_error *err;
};

const struct config_unit config_durations[] = {{"ns", 1},
					       {"us", 1000},
					       {"ms", 1000000},
					       {"s", INT64_C(1000000000)},
					       {"m", INT64_C(60000000000)},
					       {"h", INT64_C(3600000000000)},
					       {"d", INT64_C(86400000000000)},
					       {NULL, 0}};
const struct config_unit config_bytes[] = {{"B", 1},
					   {"kB", 1000},
					   {"KB", 1000},
					   {"KiB", 1024},
					   {"MB", 1000000},
					   {"MiB", 1048576},
					   {"GB", 1000000000},
					   {"GiB", 1073741824},
					   {"TB", INT64_C(1000000000000)},
					   {"TiB", INT64_C(1099511627776)},
					   {NULL, 0}};

/* --- small helpers ------------------------------------------------------------------------------------------------ */

bool config_choice(const char *choices, size_t i, struct slice *ret)
{
	struct slice rest = slice_of(choices);

	for (;; i--) {
		bool more = slice_cut(rest, '|', ret, &rest);

		if (i == 0)
			return ret->n > 0;
		if (!more)
			return false;
	}
}

#define SHOWN_MAX 64

/* What was found, as words for a message; never a secret. */
static const char *shown(const struct node *node, const struct option *row, char dst[SHOWN_MAX])
{
	if (node->kind != NODE_SCALAR)
		return node->kind == NODE_MAP ? "a map" : "a list";
	if (node->secret || row->secret)
		return "`***`";
	if (config_is_null(node))
		return "nothing";
	(void)snprintf(dst, SHOWN_MAX, "`%.40s`%s", node->text.p, node->text.n > 40 ? " (cut)" : "");
	return dst;
}

static int expected(const struct reading *rd, const char *path, const struct option *row, const struct node *node,
		    const char *what)
{
	char text[SHOWN_MAX];

	return config_fail(rd->err, rd->file_name, node, "%s: expected %s, found %s", path, what,
			   shown(node, row, text));
}

#define WORD_MAX 64

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

/* Levenshtein distance; words over WORD_MAX are far from everything. */
static size_t distance(struct slice a, struct slice b)
{
	size_t row[WORD_MAX + 1];

	if (a.n > WORD_MAX || b.n > WORD_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= b.n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t above = row[j];

			row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a.p[i - 1] != b.p[j - 1]));
			diagonal = above;
		}
	}
	return row[b.n];
}

void config_consider(struct slice word, struct slice candidate, struct slice *inout_best, size_t *inout_distance)
{
	size_t d = distance(word, candidate), limit = word.n > 6 ? word.n / 3 : 2;

	if (d <= limit && d < candidate.n && d < *inout_distance) {
		*inout_best = candidate;
		*inout_distance = d;
	}
}

static int unknown_key(const struct reading *rd, const char *path, const struct option_table *table,
		       const struct node *child)
{
	struct slice best = SLICE_NONE;
	size_t best_distance = SIZE_MAX;

	for (size_t i = 0; i < table->n_rows; i++)
		config_consider(child->key, slice_of(table->rows[i].name), &best, &best_distance);
	if (best.n > 0)
		return config_fail(rd->err, rd->file_name, child,
				   "%s%s%.64s: unknown option `%.64s`; did you mean `" SLICE_FMT "`?", path,
				   *path ? "." : "", child->key.p, child->key.p, SLICE_ARG(best));
	return config_fail(rd->err, rd->file_name, child, "%s%s%.64s: unknown option `%.64s`", path, *path ? "." : "",
			   child->key.p, child->key.p);
}

/* --- scalars ------------------------------------------------------------------------------------------------------ */

/* "1.5 MiB" by a table of units; without a unit only when `bare` (zero always). */
static int parse_with_unit(struct slice text, const struct config_unit *units, bool bare, int64_t *ret)
{
	struct slice s = slice_trim(text), unit;
	size_t n = 0;
	int64_t size = 0, value;
	__int128 product;

	while (n < s.n && ((s.p[n] >= '0' && s.p[n] <= '9') || s.p[n] == '.'))
		n++;
	unit = slice_trim(slice_sub(s, n, s.n));
	if (n == 0 || decimal_parse(slice_sub(s, 0, n), 6, false, &value) < 0)
		return BUR_INVALID;
	if (unit.n == 0 && (bare || value == 0))
		size = 1;
	for (; units->name; units++) {
		if (slice_eq(unit, slice_of(units->name)))
			size = units->size;
	}
	product = (__int128)value * size;
	if (size == 0 || product % 1000000 != 0 || product / 1000000 > INT64_MAX)
		return BUR_INVALID;
	*ret = (int64_t)(product / 1000000);
	return BUR_OK;
}

static int parse_usd(struct slice text, int64_t *ret)
{
	enum amount_unit unit;
	int64_t value;

	if (amount_parse_limit(text, &unit, &value) < 0 || unit != UNIT_USD)
		return BUR_INVALID;
	*ret = value;
	return BUR_OK;
}

static int parse_number(enum option_type type, struct slice text, int64_t *ret)
{
	switch (type) {
	case OPT_DURATION:
		return parse_with_unit(text, config_durations, false, ret);
	case OPT_BYTES:
		return parse_with_unit(text, config_bytes, true, ret);
	case OPT_USD:
		return parse_usd(text, ret);
	default:
		return slice_i64(text, ret);
	}
}

static const char *number_words(enum option_type type)
{
	switch (type) {
	case OPT_DURATION:
		return "a duration such as `10s`, `250ms` or `5m`";
	case OPT_BYTES:
		return "a size such as `64KiB` or `1GB`";
	case OPT_USD:
		return "an amount such as `50 USD`";
	default:
		return "a whole number";
	}
}

/* Both zero: no bounds. A maximum of zero under a positive minimum: no maximum. */
static bool has_max(const struct option *row)
{
	return row->max != 0 || row->min < 0;
}

void config_number_text(enum option_type type, int64_t v, char dst[CONFIG_NUMBER_TEXT_MAX])
{
	const struct config_unit *units = type == OPT_DURATION ? config_durations : config_bytes, *best = units;
	char usd[AMOUNT_TEXT_MAX];

	if (type == OPT_USD) {
		(void)snprintf(dst, CONFIG_NUMBER_TEXT_MAX, "%s USD", amount_format_usd(v, usd));
		return;
	}
	if (type == OPT_INT) {
		(void)snprintf(dst, CONFIG_NUMBER_TEXT_MAX, "%lld", (long long)v);
		return;
	}
	for (; units->name && v != 0; units++) {
		/* of sizes that divide exactly the one with the shortest number */
		if (v % units->size == 0 && units->size > best->size)
			best = units;
	}
	(void)snprintf(dst, CONFIG_NUMBER_TEXT_MAX, "%lld%s", (long long)(v / best->size), best->name);
}

static int check_bounds(const struct reading *rd, const char *path, const struct option *row, const struct node *node,
			int64_t v)
{
	char min[CONFIG_NUMBER_TEXT_MAX], max[CONFIG_NUMBER_TEXT_MAX], what[160];

	if ((row->min == 0 && row->max == 0) || (v >= row->min && (!has_max(row) || v <= row->max)))
		return BUR_OK;
	config_number_text(row->type, row->min, min);
	config_number_text(row->type, row->max, max);
	if (has_max(row))
		(void)snprintf(what, sizeof(what), "%s to %s", min, max);
	else
		(void)snprintf(what, sizeof(what), "at least %s", min);
	return expected(rd, path, row, node, what);
}

static int read_number(const struct reading *rd, const char *path, const struct option *row, const struct node *node,
		       int64_t *dst)
{
	int64_t v;
	int r;

	if (parse_number(row->type, node->text, &v) < 0)
		return expected(rd, path, row, node, number_words(row->type));
	r = check_bounds(rd, path, row, node, v);
	if (r == BUR_OK)
		*dst = v;
	return r;
}

static int read_bool(const struct reading *rd, const char *path, const struct option *row, const struct node *node,
		     bool *dst)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = {{"true", true}, {"false", false}, {"yes", true}, {"no", false}, {"on", true}, {"off", false}};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (slice_eq(node->text, slice_of(words[i].word))) {
			*dst = words[i].value;
			return BUR_OK;
		}
	}
	return expected(rd, path, row, node, "`true` or `false`");
}

static int bad_choice(const struct reading *rd, const char *path, const struct option *row, const struct node *node)
{
	struct slice best = SLICE_NONE, choice;
	size_t best_distance = SIZE_MAX;
	char text[SHOWN_MAX];

	for (size_t i = 0; config_choice(row->choices, i, &choice); i++)
		config_consider(node->text, choice, &best, &best_distance);
	if (best.n > 0 && !node->secret)
		return config_fail(rd->err, rd->file_name, node,
				   "%s: expected one of %.200s, found %s; did you mean `" SLICE_FMT "`?", path,
				   row->choices, shown(node, row, text), SLICE_ARG(best));
	return config_fail(rd->err, rd->file_name, node, "%s: expected one of %.200s, found %s", path, row->choices,
			   shown(node, row, text));
}

static int read_enum(const struct reading *rd, const char *path, const struct option *row, const struct node *node,
		     int *dst)
{
	struct slice choice;

	CHECK(row->choices != NULL);
	for (size_t i = 0; config_choice(row->choices, i, &choice); i++) {
		if (slice_eq(choice, node->text)) {
			*dst = (int)i;
			return BUR_OK;
		}
	}
	return bad_choice(rd, path, row, node);
}

static int read_scalar(const struct reading *rd, const char *path, const struct option *row, const struct node *node,
		       void *dst)
{
	bool text = row->type == OPT_STRING;

	if (node->kind != NODE_SCALAR || (config_is_null(node) && row->type != OPT_ENUM))
		return expected(rd, path, row, node,
				text                    ? "text"
				: row->type == OPT_BOOL ? "`true` or `false`"
				: row->type == OPT_ENUM ? "one word"
							: number_words(row->type));
	switch (row->type) {
	case OPT_STRING:
		*(const char **)dst = node->text.p;
		return BUR_OK;
	case OPT_BOOL:
		return read_bool(rd, path, row, node, dst);
	case OPT_ENUM:
		return read_enum(rd, path, row, node, dst);
	default:
		return read_number(rd, path, row, node, dst);
	}
}

/* --- collections -------------------------------------------------------------------------------------------------- */

static int no_memory(const struct reading *rd, const struct node *node)
{
	(void)config_fail(rd->err, rd->file_name, node, "the configuration needs too much memory");
	return BUR_NOMEM;
}

static int check_length(const struct reading *rd, const char *path, const struct option *row, const struct node *node,
			size_t n)
{
	if ((row->min == 0 && row->max == 0) || ((int64_t)n >= row->min && (!has_max(row) || (int64_t)n <= row->max)))
		return BUR_OK;
	if (has_max(row))
		return config_fail(rd->err, rd->file_name, node, "%s: expected %lld to %lld entries, found %zu", path,
				   (long long)row->min, (long long)row->max, n);
	return config_fail(rd->err, rd->file_name, node, "%s: expected at least %lld entries, found %zu", path,
			   (long long)row->min, n);
}

/* A node of the wanted kind, or nothing at all (which is an empty one), with an allowed number of children. */
static int check_collection(const struct reading *rd, const char *path, const struct option *row,
			    const struct node *node, enum node_kind kind, size_t *ret_n)
{
	size_t n = 0;

	if (node->kind != kind && !config_is_null(node))
		return expected(rd, path, row, node, kind == NODE_MAP ? "a map" : "a list");
	for (const struct node *c = node->first_child; c; c = c->next)
		n++;
	*ret_n = n;
	return check_length(rd, path, row, node, n);
}

static int read_strings(const struct reading *rd, const char *path, const struct option *row, const struct node *node,
			struct string_list *dst)
{
	bool is_single = node->kind == NODE_SCALAR && !config_is_null(node);
	const struct node *c = is_single ? node : node->first_child;
	size_t n = 1, i = 0;
	int r = is_single ? check_length(rd, path, row, node, 1) : check_collection(rd, path, row, node, NODE_LIST, &n);

	if (r < 0)
		return r;
	dst->items = arena_zalloc(rd->arena, (n + 1) * sizeof(*dst->items)); /* ended by NULL too */
	if (!dst->items)
		return no_memory(rd, node);
	for (; i < n; c = c->next) {
		if (c->kind != NODE_SCALAR || config_is_null(c))
			return expected(rd, path, row, c, "text");
		dst->items[i++] = c->text.p;
	}
	dst->n = n;
	return BUR_OK;
}

static int read_pairs(const struct reading *rd, const char *path, const struct option *row, const struct node *node,
		      struct pair_list *dst)
{
	size_t n, i = 0;
	int r;

	r = check_collection(rd, path, row, node, NODE_MAP, &n);
	if (r < 0)
		return r;
	dst->items = arena_zalloc(rd->arena, (n + 1) * sizeof(*dst->items));
	if (!dst->items)
		return no_memory(rd, node);
	for (const struct node *c = node->first_child; c; c = c->next) {
		if (c->kind != NODE_SCALAR || config_is_null(c))
			return expected(rd, path, row, c, "a map of texts");
		dst->items[i++] = (struct pair){c->key.p, c->text.p};
	}
	dst->n = n;
	return BUR_OK;
}

static int read_table(const struct reading *rd, const char *path, const struct node *map,
		      const struct option_table *table, void *record);

/* One record of a list or map; `path` already names it. */
static int read_record(const struct reading *rd, const char *path, const struct option *row, const struct node *node,
		       char *record)
{
	if (node->kind != NODE_MAP && !config_is_null(node))
		return expected(rd, path, row, node, "a map");
	if (row->type == OPT_MAP)
		*(const char **)(void *)record = node->key.p;
	return read_table(rd, path, node, row->sub, record);
}

static int read_records(const struct reading *rd, const char *path, const struct option *row, const struct node *node,
			struct record_list *dst)
{
	bool is_map = row->type == OPT_MAP;
	size_t n, i = 0, bytes;
	char *items;
	int r;

	CHECK(row->sub != NULL && row->sub->record_bytes > 0);
	r = check_collection(rd, path, row, node, is_map ? NODE_MAP : NODE_LIST, &n);
	if (r < 0)
		return r;
	if (__builtin_mul_overflow(n, row->sub->record_bytes, &bytes))
		return no_memory(rd, node);
	items = arena_zalloc(rd->arena, bytes);
	if (!items)
		return no_memory(rd, node);
	for (const struct node *c = node->first_child; c; c = c->next, i++) {
		struct slice at = is_map ? arena_printf(rd->arena, "%s.%.128s", path, c->key.p)
					 : arena_printf(rd->arena, "%s[%zu]", path, i);

		r = at.p ? read_record(rd, at.p, row, c, items + i * row->sub->record_bytes) : no_memory(rd, c);
		if (r < 0)
			return r;
	}
	dst->items = items;
	dst->n = n;
	return BUR_OK;
}

/* --- tables ------------------------------------------------------------------------------------------------------- */

static int read_option(const struct reading *rd, const char *path, const struct option *row, const struct node *node,
		       void *dst)
{
	switch (row->type) {
	case OPT_STRINGS:
		return read_strings(rd, path, row, node, dst);
	case OPT_PAIRS:
		return read_pairs(rd, path, row, node, dst);
	case OPT_LIST:
	case OPT_MAP:
		return read_records(rd, path, row, node, dst);
	case OPT_GROUP:
		if (node->kind != NODE_MAP && !config_is_null(node))
			return expected(rd, path, row, node, "a map");
		return read_table(rd, path, node, row->sub, dst);
	case OPT_NODE:
		*(const struct node **)dst = node;
		return BUR_OK;
	default:
		return read_scalar(rd, path, row, node, dst);
	}
}

/* The default text as a node: a scalar, or for OPT_STRINGS a list "a,b". */
static struct node *fallback_node(const struct reading *rd, const struct option *row, const struct node *map)
{
	struct node *node = arena_zalloc(rd->arena, sizeof(*node)), **tail;
	struct slice rest = slice_of(row->fallback), item;
	bool more = rest.n > 0;

	if (!node)
		return NULL;
	*node = (struct node){.line = map->line, .column = map->column, .text = rest, .quoted = true};
	if (row->type <= OPT_ENUM)
		return node;
	node->kind = row->type == OPT_STRINGS || row->type == OPT_LIST ? NODE_LIST : NODE_MAP;
	tail = &node->first_child;
	while (more && row->type == OPT_STRINGS) {
		more = slice_cut(rest, ',', &item, &rest);
		*tail = arena_zalloc(rd->arena, sizeof(**tail));
		if (!*tail)
			return NULL;
		**tail = (struct node){.line = map->line, .column = map->column, .quoted = true};
		(*tail)->text = arena_dup(rd->arena, slice_trim(item));
		if (!(*tail)->text.p)
			return NULL;
		tail = &(*tail)->next;
	}
	return node;
}

static int absent(const struct reading *rd, const char *path, const struct option *row, const struct node *map,
		  void *dst)
{
	struct node *node;

	if (row->type == OPT_GROUP && !row->optional) {
		node = arena_zalloc(rd->arena, sizeof(*node));
		if (!node)
			return no_memory(rd, map);
		*node = (struct node){.kind = NODE_MAP, .line = map->line, .column = map->column};
		return read_table(rd, path, node, row->sub, dst);
	}
	if (!row->fallback && row->optional)
		return BUR_OK;
	if (!row->fallback)
		return config_fail(rd->err, rd->file_name, map,
				   "%s: expected this option, found nothing: it is required", path);
	node = fallback_node(rd, row, map);
	if (!node)
		return no_memory(rd, map);
	return read_option(rd, path, row, node, dst);
}

static bool table_knows(const struct option_table *table, struct slice key)
{
	for (size_t i = 0; i < table->n_rows; i++) {
		if (slice_eq(key, slice_of(table->rows[i].name)))
			return true;
	}
	return false;
}

/* `map` may also be a null scalar: then it has no children. */
static int read_table(const struct reading *rd, const char *path, const struct node *map,
		      const struct option_table *table, void *record)
{
	for (const struct node *c = map->first_child; c; c = c->next) {
		if (!table_knows(table, c->key))
			return unknown_key(rd, path, table, c);
	}
	if (table->node_offset != SIZE_MAX)
		*(const struct node **)(void *)((char *)record + table->node_offset) = map;
	for (size_t i = 0; i < table->n_rows; i++) {
		const struct option *row = &table->rows[i];
		const struct node *child = node_get(map, row->name);
		struct slice at = arena_printf(rd->arena, "%s%s%s", path, *path ? "." : "", row->name);
		char *dst = (char *)record + row->offset;
		int r;

		if (!at.p)
			return no_memory(rd, map);
		r = child ? read_option(rd, at.p, row, child, dst) : absent(rd, at.p, row, map, dst);
		if (r < 0)
			return r;
	}
	return BUR_OK;
}

int config_read(struct arena *arena, const char *file_name, const struct node *map, const struct option_table *table,
		void *record, struct config_error *reterr)
{
	const struct reading rd = {arena, file_name, reterr};

	if (map->kind != NODE_MAP && !config_is_null(map))
		return config_fail(reterr, file_name, map, "expected a map of options, found %s",
				   map->kind == NODE_LIST ? "a list" : "text");
	return read_table(&rd, "", map, table, record);
}
