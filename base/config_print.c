#include "base/config_impl.h"

#include "base/amount.h"
#include "base/error.h"
#include "base/json.h"

/* --- the effective configuration ---------------------------------------------------------------------------------- */

struct dump {
	struct buf *out;
	int indent;
};

static int indent(const struct dump *d)
{
	return buf_printf(d->out, "%*s", d->indent, "");
}

/* A double-quoted text. JSON's quoting is valid YAML; "${" must not be substituted when it is read again. */
static int print_text(const struct dump *d, struct slice s)
{
	struct buf quoted;
	struct slice q;
	int r;

	buf_init(&quoted, s.n * 6 + 16);
	r = json_write_string(&quoted, s);
	q = buf_slice(&quoted);
	for (size_t i = 0; i < q.n && r == BUR_OK; i++) {
		if (q.p[i] == '$' && i + 1 < q.n && q.p[i + 1] == '{')
			r = buf_append(d->out, "$", 1);
		if (r == BUR_OK)
			r = buf_append(d->out, q.p + i, 1);
	}
	buf_done(&quoted);
	return r;
}

static int print_cstr(const struct dump *d, const char *text, bool secret)
{
	return secret ? buf_append_slice(d->out, SLICE("\"***\"")) : print_text(d, slice_of(text));
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	return is_digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* Words and numbers may stand without quotes; all else means something in YAML somewhere. */
static bool plain_is_safe(struct slice s)
{
	bool number = s.n > 1 && (s.p[0] == '-' || s.p[0] == '.') && is_digit(s.p[1]);

	if (s.n == 0 || (!number && !is_alnum(s.p[0])))
		return false;
	for (size_t i = 1; i < s.n; i++) {
		if (!is_alnum(s.p[i]) && !strchr("_.%+-/", s.p[i]))
			return false;
	}
	return true;
}

static int print_node(const struct dump *d, const struct node *node, bool secret);

static int print_children(const struct dump *d, const struct node *node, bool secret)
{
	struct dump inner = {d->out, d->indent + 2};
	int r = BUR_OK;

	for (const struct node *c = node->first_child; c && r == BUR_OK; c = c->next) {
		r = buf_printf(d->out, "\n%*s", inner.indent, "");
		if (r == BUR_OK && node->kind == NODE_LIST)
			r = buf_append_slice(d->out, SLICE("-"));
		else if (r == BUR_OK)
			r = print_text(d, c->key);
		if (r == BUR_OK && node->kind == NODE_MAP)
			r = buf_append_slice(d->out, SLICE(":"));
		if (r == BUR_OK)
			r = print_node(&inner, c, secret);
	}
	return r;
}

/* What follows "name:", with its leading space or line breaks. */
static int print_node(const struct dump *d, const struct node *node, bool secret)
{
	int r;

	if (node->kind != NODE_SCALAR && !node->first_child)
		return buf_append_slice(d->out, node->kind == NODE_MAP ? SLICE(" {}") : SLICE(" []"));
	if (node->kind != NODE_SCALAR)
		return print_children(d, node, secret);
	r = buf_append_slice(d->out, SLICE(" "));
	if (r < 0)
		return r;
	if (secret || node->secret)
		return buf_append_slice(d->out, SLICE("\"***\""));
	if (config_is_null(node))
		return buf_append_slice(d->out, SLICE("null"));
	if (node->quoted || !plain_is_safe(node->text))
		return print_text(d, node->text);
	return buf_append_slice(d->out, node->text);
}

static int print_strings(const struct dump *d, const struct string_list *list, bool secret)
{
	int r = buf_append_slice(d->out, SLICE("["));

	for (size_t i = 0; i < list->n && r == BUR_OK; i++) {
		r = buf_append_slice(d->out, i ? SLICE(", ") : SLICE_NONE);
		if (r == BUR_OK)
			r = print_cstr(d, list->items[i], secret);
	}
	return r == BUR_OK ? buf_append_slice(d->out, SLICE("]")) : r;
}

static int print_pairs(const struct dump *d, const struct pair_list *list, bool secret)
{
	int r = buf_append_slice(d->out, SLICE("{"));

	for (size_t i = 0; i < list->n && r == BUR_OK; i++) {
		r = buf_append_slice(d->out, i ? SLICE(", ") : SLICE_NONE);
		if (r == BUR_OK)
			r = print_text(d, slice_of(list->items[i].key));
		if (r == BUR_OK)
			r = buf_append_slice(d->out, SLICE(": "));
		if (r == BUR_OK)
			r = print_cstr(d, list->items[i].value, secret);
	}
	return r == BUR_OK ? buf_append_slice(d->out, SLICE("}")) : r;
}

static int print_number(const struct dump *d, const struct option *row, int64_t v, bool secret)
{
	char text[CONFIG_NUMBER_TEXT_MAX];

	if (secret)
		return buf_append_slice(d->out, SLICE("\"***\""));
	config_number_text(row->type, v, text);
	return buf_append_slice(d->out, slice_of(text));
}

static int print_table(const struct dump *d, const struct option_table *table, const char *record,
		       const struct node *map);

static int print_records(const struct dump *d, const struct option *row, const struct record_list *list,
			 const struct node *node)
{
	const struct dump inner = {d->out, d->indent + 4};
	const struct node *child = node ? node->first_child : NULL;
	int r = BUR_OK;

	if (list->n == 0)
		return buf_append_slice(d->out, row->type == OPT_MAP ? SLICE(" {}\n") : SLICE(" []\n"));
	r = buf_append_slice(d->out, SLICE("\n"));
	for (size_t i = 0; i < list->n && r == BUR_OK; i++) {
		const char *record = (const char *)list->items + i * row->sub->record_bytes;

		r = buf_printf(d->out, "%*s%s", d->indent + 2, "", row->type == OPT_MAP ? "" : "-\n");
		if (r == BUR_OK && row->type == OPT_MAP)
			r = print_text(d, slice_of(*(const char *const *)(const void *)record));
		if (r == BUR_OK && row->type == OPT_MAP)
			r = buf_append_slice(d->out, SLICE(":\n"));
		if (r == BUR_OK)
			r = print_table(&inner, row->sub, record, child);
		child = child ? child->next : NULL;
	}
	return r;
}

static int print_scalar(const struct dump *d, const struct option *row, const void *at, bool secret)
{
	struct slice choice;

	switch (row->type) {
	case OPT_STRING:
		return print_cstr(d, *(const char *const *)at, secret);
	case OPT_BOOL:
		return buf_append_slice(d->out, *(const bool *)at ? SLICE("true") : SLICE("false"));
	case OPT_ENUM:
		if (*(const int *)at < 0 || !config_choice(row->choices, (size_t) * (const int *)at, &choice))
			return BUR_INVALID;
		return print_text(d, choice);
	case OPT_STRINGS:
		return print_strings(d, at, secret);
	case OPT_PAIRS:
		return print_pairs(d, at, secret);
	default:
		return print_number(d, row, *(const int64_t *)at, secret);
	}
}

/* Optional, without a default, and nothing there. */
static bool is_unset(const struct option *row, const void *at)
{
	if (row->type == OPT_STRING || row->type == OPT_NODE)
		return *(void *const *)at == NULL;
	if (!row->optional || row->fallback)
		return false;
	return (row->type == OPT_INT || row->type == OPT_DURATION || row->type == OPT_BYTES || row->type == OPT_USD) &&
	       *(const int64_t *)at == 0;
}

static int print_value(const struct dump *d, const struct option *row, const void *at, bool secret,
		       const struct node *node)
{
	const struct dump inner = {d->out, d->indent + 2};
	int r;

	switch (row->type) {
	case OPT_GROUP:
		r = buf_append_slice(d->out, SLICE("\n"));
		return r == BUR_OK ? print_table(&inner, row->sub, at, node) : r;
	case OPT_LIST:
	case OPT_MAP:
		return print_records(d, row, at, node);
	case OPT_NODE:
		r = print_node(d, *(const struct node *const *)at, secret);
		break;
	default:
		r = buf_append_slice(d->out, SLICE(" "));
		if (r == BUR_OK)
			r = print_scalar(d, row, at, secret);
		break;
	}
	return r == BUR_OK ? buf_append_slice(d->out, SLICE("\n")) : r;
}

static bool any_secret(const struct node *node)
{
	if (!node || node->secret)
		return node != NULL;
	for (const struct node *c = node->first_child; c; c = c->next) {
		if (any_secret(c))
			return true;
	}
	return false;
}

/* Secret by its row, or because the file took it from the environment or another file (a node knows its own). */
static bool row_secret(const struct option *row, const struct node *node)
{
	return row->secret || (row->type != OPT_NODE && any_secret(node));
}

static int print_row(const struct dump *d, const struct option *row, const char *record, const struct node *node)
{
	const void *at = record + row->offset;
	bool nested = row->type == OPT_GROUP || row->type == OPT_LIST || row->type == OPT_MAP, unset = false;
	int r = BUR_OK;

	if (row->sentence)
		r = buf_printf(d->out, "%*s# %s\n", d->indent, "", row->sentence);
	if (r == BUR_OK)
		unset = nested ? row->type == OPT_GROUP && row->optional && !node : is_unset(row, at);
	if (r == BUR_OK)
		r = indent(d);
	if (r < 0)
		return r;
	if (unset)
		return buf_printf(d->out, "# %s: not set\n", row->name);
	r = buf_printf(d->out, "%s:", row->name);
	return r == BUR_OK ? print_value(d, row, at, !nested && row_secret(row, node), node) : r;
}

/* `map` is what the record was read from, NULL when not known; the table may know it better. */
static int print_table(const struct dump *d, const struct option_table *table, const char *record,
		       const struct node *map)
{
	int r = BUR_OK;

	if (table->node_offset != SIZE_MAX)
		map = *(const struct node *const *)(const void *)(record + table->node_offset);
	for (size_t i = 0; i < table->n_rows && r == BUR_OK; i++)
		r = print_row(d, &table->rows[i], record, map ? node_get(map, table->rows[i].name) : NULL);
	return r;
}

int config_dump(const struct option_table *table, const void *record, struct buf *out)
{
	const struct dump d = {out, 0};

	return print_table(&d, table, record, NULL);
}

/* --- the reference page ------------------------------------------------------------------------------------------- */

static const char *const type_words[] = {
    [OPT_STRING] = "text",
    [OPT_BOOL] = "true or false",
    [OPT_INT] = "whole number",
    [OPT_DURATION] = "duration",
    [OPT_BYTES] = "size",
    [OPT_USD] = "amount",
    [OPT_ENUM] = "one of",
    [OPT_STRINGS] = "list of texts",
    [OPT_PAIRS] = "map of texts",
    [OPT_LIST] = "list",
    [OPT_MAP] = "map",
    [OPT_GROUP] = "group",
    [OPT_NODE] = "see the text",
};

/* A cell of a Markdown table: '|' would end it. */
static int print_cell(struct buf *out, struct slice s)
{
	int r = BUR_OK;

	for (size_t i = 0; i < s.n && r == BUR_OK; i++) {
		if (s.p[i] == '|')
			r = buf_append_slice(out, SLICE("\\"));
		if (r == BUR_OK)
			r = buf_append(out, s.p[i] == '\n' ? " " : s.p + i, 1);
	}
	return r;
}

static int print_type(struct buf *out, const struct option *row)
{
	struct slice choice;
	int r = buf_append_slice(out, slice_of(type_words[row->type]));

	for (size_t i = 0; r == BUR_OK && row->type == OPT_ENUM && config_choice(row->choices, i, &choice); i++)
		r = buf_printf(out, "%s `" SLICE_FMT "`", i ? "," : "", SLICE_ARG(choice));
	return r;
}

static int print_default(struct buf *out, const struct option *row)
{
	int r;

	if (!row->fallback)
		return buf_append_slice(out, row->optional || row->type == OPT_GROUP ? SLICE("–") : SLICE("required"));
	if (!*row->fallback)
		return buf_append_slice(out, SLICE("empty"));
	r = buf_append_slice(out, SLICE("`"));
	if (r == BUR_OK)
		r = print_cell(out, slice_of(row->fallback));
	return r == BUR_OK ? buf_append_slice(out, SLICE("`")) : r;
}

static int print_bounds(struct buf *out, const struct option *row)
{
	char min[CONFIG_NUMBER_TEXT_MAX], max[CONFIG_NUMBER_TEXT_MAX];
	enum option_type type = row->type < OPT_STRINGS ? row->type : OPT_INT; /* lists: a count of entries */

	if (row->min == 0 && row->max == 0)
		return buf_append_slice(out, SLICE("–"));
	config_number_text(type, row->min, min);
	config_number_text(type, row->max, max);
	if (row->max == 0 && row->min > 0)
		return buf_printf(out, "at least %s", min);
	return buf_printf(out, "%s to %s", min, max);
}

static int print_reference_row(struct buf *out, struct slice prefix, const struct option *row)
{
	int r = buf_printf(out, "| `" SLICE_FMT "%s` | ", SLICE_ARG(prefix), row->name);

	if (r == BUR_OK)
		r = print_type(out, row);
	if (r == BUR_OK)
		r = buf_append_slice(out, SLICE(" | "));
	if (r == BUR_OK)
		r = print_default(out, row);
	if (r == BUR_OK)
		r = buf_append_slice(out, SLICE(" | "));
	if (r == BUR_OK)
		r = print_bounds(out, row);
	if (r == BUR_OK)
		r = buf_append_slice(out, row->reloadable ? SLICE(" | yes | ") : SLICE(" | no | "));
	if (r == BUR_OK && row->sentence)
		r = print_cell(out, slice_of(row->sentence));
	return r == BUR_OK ? buf_append_slice(out, SLICE(" |\n")) : r;
}

static int print_reference(struct buf *out, struct slice prefix, const struct option_table *table)
{
	int r = BUR_OK;

	for (size_t i = 0; i < table->n_rows && r == BUR_OK; i++) {
		const struct option *row = &table->rows[i];
		struct buf inner;

		r = print_reference_row(out, prefix, row);
		if (r < 0 || !row->sub)
			continue;
		buf_init(&inner, 1024);
		r = buf_printf(&inner, SLICE_FMT "%s%s", SLICE_ARG(prefix), row->name,
			       row->type == OPT_LIST  ? "[]."
			       : row->type == OPT_MAP ? ".*."
						      : ".");
		if (r == BUR_OK)
			r = print_reference(out, buf_slice(&inner), row->sub);
		buf_done(&inner);
	}
	return r;
}

int config_reference(const struct option_table *table, struct buf *out)
{
	int r = buf_append_slice(out, SLICE("| Option | Type | Default | Bounds | Reload | What it does |\n"
					    "|---|---|---|---|---|---|\n"));

	return r == BUR_OK ? print_reference(out, SLICE(""), table) : r;
}
