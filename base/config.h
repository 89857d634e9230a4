/* config.h - one option table per kind of thing, from which checking, dumping and the reference page come.
 *
 * YAML (JSON is valid too) is read into a tree that knows line and column; `${ENV}` and `${file:PATH}` are replaced in
 * scalars; unknown keys are errors that name the nearest key. A table fills a plain struct by offset.
 * Not thread-safe; used at start and on reload. */
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/slice.h"

enum node_kind { NODE_SCALAR, NODE_MAP, NODE_LIST };

struct node {
	enum node_kind kind;
	int line, column;    /* 1-based */
	struct slice key;    /* name in the parent map, else empty */
	struct slice text;   /* scalar, after substitution */
	bool quoted, secret; /* secret: came from ${file:} or ${ENV}; never printed */
	struct node *first_child, *next;
};

struct config_error {
	char text[512]; /* "bursar.yaml:12:5: limit: expected an amount such as `50 USD`, got `fifty`" */
};

/* Tree in the arena. Depth, size and alias limits hold. BUR_INVALID fills *reterr. */
int config_parse(struct arena *, struct slice text, const char *file_name, struct node **ret,
		 struct config_error *reterr) NONNULL(1, 3, 4, 5) MUST_USE;
int config_load(struct arena *, const char *path, struct node **ret, struct config_error *reterr)
    NONNULL(1, 2, 3, 4) MUST_USE;
const struct node *node_get(const struct node *map, const char *key) NONNULL(1, 2);

enum option_type {
	OPT_STRING,   /* const char * (in the arena) */
	OPT_BOOL,     /* bool */
	OPT_INT,      /* int64_t */
	OPT_DURATION, /* int64_t nanoseconds; "10s", "250ms", "5m", "2h", "1d" */
	OPT_BYTES,    /* int64_t; "64KiB", "32MiB", "1GB" */
	OPT_USD,      /* int64_t nano-USD; "10 USD", "$10" */
	OPT_ENUM,     /* int; choices are "a|b|c" in declaration order, value = index */
	OPT_STRINGS,  /* struct string_list: a scalar or a list of scalars */
	OPT_PAIRS,    /* struct pair_list: a map of scalars */
	OPT_LIST,     /* struct record_list of `sub` records */
	OPT_MAP,      /* struct record_list of `sub` records, each with its map key in the string at offset 0 */
	OPT_GROUP,    /* a nested map read into the same struct at `offset` by `sub` */
	OPT_NODE,     /* const struct node *: left to the owner to read */
};

struct string_list {
	const char **items;
	size_t n;
};
struct pair {
	const char *key, *value;
};
struct pair_list {
	struct pair *items;
	size_t n;
};
struct record_list {
	void *items; /* array of sub->record_bytes each */
	size_t n;
};

struct option {
	const char *name;
	enum option_type type;
	size_t offset;
	const char *fallback; /* default as text, NULL = required unless `optional` */
	int64_t min, max;     /* for numbers, durations, bytes, amounts; list length for lists */
	const char *choices;  /* OPT_ENUM */
	const struct option_table *sub;
	bool optional, reloadable, secret;
	const char *sentence; /* what it does, for the reference page and --help */
};

struct option_table {
	const char *name; /* "budget" */
	size_t record_bytes;
	const struct option *rows;
	size_t n_rows;
	size_t node_offset; /* where to store the `const struct node *` for later messages; SIZE_MAX = nowhere */
};

/* Fills `record` (zeroed by the caller). On BUR_INVALID *reterr has file:line:column, what was expected, what was
 * found, and for an unknown key the nearest known one. */
int config_read(struct arena *, const char *file_name, const struct node *map, const struct option_table *,
		void *record, struct config_error *reterr) NONNULL(1, 2, 4, 5, 6) MUST_USE;
/* Formats "file:line:column: …" for a node; for owners of OPT_NODE and cross-checks. Returns BUR_INVALID. */
int config_fail(struct config_error *, const char *file_name, const struct node *, const char *fmt, ...)
    NONNULL(1, 2, 4) PRINTF_LIKE(4, 5);
/* The nearer of *inout_best and `candidate` to a word that is none of those known, when near enough to be a slip: for
 * "did you mean". Start with SLICE_NONE and SIZE_MAX. */
void config_consider(struct slice word, struct slice candidate, struct slice *inout_best, size_t *inout_distance)
    NONNULL(3, 4);
/* The effective configuration as YAML with comments; secrets as ***. */
int config_dump(const struct option_table *, const void *record, struct buf *out) NONNULL(1, 2, 3) MUST_USE;
/* The reference page (Markdown table) of a table and its sub-tables. */
int config_reference(const struct option_table *, struct buf *out) NONNULL(1, 2) MUST_USE;

#endif
