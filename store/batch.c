/* Feeds a whole batch to SQLite as virtual tables, so that one INSERT ... SELECT takes a thousand rows: a third of the
 * CPU of a thousand statements. They exist on the writer's connection only. */
#include <stdlib.h>

#include "base/check.h"
#include "store/internal.h"

enum source { FROM_ROWS, FROM_POSTINGS, FROM_SUMS };

struct batch_table {
	sqlite3_vtab base;
	const struct writer *w;
	enum source source;
};
struct batch_cursor {
	sqlite3_vtab_cursor base;
	size_t i, j; /* row and its posting, or sum */
};

static const struct {
	const char *name, *columns;
} tables[] = {
    [FROM_ROWS] = {"batch_rows", "CREATE TABLE x(seq," LEDGER_COLUMNS ")"},
    [FROM_POSTINGS] = {"batch_postings", "CREATE TABLE x(seq,meter_uid,win_start,amount)"},
    [FROM_SUMS] = {"batch_sums", "CREATE TABLE x(meter_uid,win_start,amount,last_ts)"},
};

struct batch_module {
	const struct writer *w;
	enum source source;
};

static int vt_connect(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **ret, char **reterr)
{
	const struct batch_module *m = aux;
	struct batch_table *t;
	int rc = sqlite3_declare_vtab(db, tables[m->source].columns);

	(void)argc;
	(void)argv;
	(void)reterr;
	if (rc != SQLITE_OK)
		return rc;
	t = calloc(1, sizeof *t);
	if (!t)
		return SQLITE_NOMEM;
	t->w = m->w;
	t->source = m->source;
	*ret = &t->base;
	return SQLITE_OK;
}

static int vt_disconnect(sqlite3_vtab *t)
{
	free(t);
	return SQLITE_OK;
}

static int vt_best_index(sqlite3_vtab *t, sqlite3_index_info *info)
{
	(void)t;
	info->estimatedCost = BATCH_ROWS;
	info->estimatedRows = BATCH_ROWS;
	return SQLITE_OK;
}

static int vt_open(sqlite3_vtab *t, sqlite3_vtab_cursor **ret)
{
	struct batch_cursor *c = calloc(1, sizeof *c);

	(void)t;
	if (!c)
		return SQLITE_NOMEM;
	*ret = &c->base;
	return SQLITE_OK;
}

static int vt_close(sqlite3_vtab_cursor *c)
{
	free(c);
	return SQLITE_OK;
}

static struct batch_cursor *cursor_of(sqlite3_vtab_cursor *c)
{
	return (struct batch_cursor *)(void *)c;
}

static const struct batch_table *table_of(const struct batch_cursor *c)
{
	return (const struct batch_table *)(const void *)c->base.pVtab;
}

/* Postings of rows that were there before are left out. */
static void skip_empty(struct batch_cursor *c, const struct writer *w)
{
	while (c->i < w->n_rows && (!w->rows[c->i].fresh || c->j >= w->rows[c->i].n_postings)) {
		c->i++;
		c->j = 0;
	}
}

static int vt_filter(sqlite3_vtab_cursor *cur, int index, const char *text, int argc, sqlite3_value **argv)
{
	struct batch_cursor *c = cursor_of(cur);

	(void)index;
	(void)text;
	(void)argc;
	(void)argv;
	c->i = c->j = 0;
	if (table_of(c)->source == FROM_POSTINGS)
		skip_empty(c, table_of(c)->w);
	return SQLITE_OK;
}

static int vt_next(sqlite3_vtab_cursor *cur)
{
	struct batch_cursor *c = cursor_of(cur);

	if (table_of(c)->source != FROM_POSTINGS) {
		c->i++;
		return SQLITE_OK;
	}
	c->j++;
	skip_empty(c, table_of(c)->w);
	return SQLITE_OK;
}

static int vt_eof(sqlite3_vtab_cursor *cur)
{
	const struct batch_cursor *c = cursor_of(cur);
	const struct batch_table *t = table_of(c);

	return c->i >= (t->source == FROM_SUMS ? t->w->n_sums : t->w->n_rows);
}

static void row_column(sqlite3_context *ctx, const struct row *r, int i)
{
	switch (i) {
	case 0:
		sqlite3_result_int64(ctx, r->seq);
		break;
	case 1:
		sqlite3_result_blob(ctx, r->uid, sizeof r->uid, SQLITE_STATIC);
		break;
	case 2:
		if (r->has_ref)
			sqlite3_result_blob(ctx, r->ref_uid, sizeof r->ref_uid, SQLITE_STATIC);
		break;
	case 3:
		if (r->extra.p)
			sqlite3_result_text(ctx, r->extra.p, (int)r->extra.n, SQLITE_STATIC);
		break;
	default:
		sqlite3_result_int64(ctx, r->v[i - 4]);
	}
}

static int64_t sum_column(const struct meter_sum *m, int i)
{
	return i == 0 ? m->uid : i == 1 ? m->win_start : i == 2 ? m->amount : m->last_ts;
}

static int vt_column(sqlite3_vtab_cursor *cur, sqlite3_context *ctx, int i)
{
	const struct batch_cursor *c = cursor_of(cur);
	const struct batch_table *t = table_of(c);
	const struct writer *w = t->w;
	const struct posting *p;

	switch (t->source) {
	case FROM_ROWS:
		row_column(ctx, &w->rows[c->i], i);
		break;
	case FROM_SUMS:
		sqlite3_result_int64(ctx, sum_column(&w->sums[w->sums_used[c->i]], i));
		break;
	case FROM_POSTINGS:
		p = &w->rows[c->i].postings[c->j];
		sqlite3_result_int64(ctx, i == 0   ? w->rows[c->i].seq
					  : i == 1 ? p->meter_uid
					  : i == 2 ? p->win_start
						   : p->amount);
		break;
	}
	return SQLITE_OK;
}

static int vt_rowid(sqlite3_vtab_cursor *cur, sqlite3_int64 *ret)
{
	const struct batch_cursor *c = cursor_of(cur);

	*ret = (sqlite3_int64)(c->i * ROW_POSTINGS_MAX + c->j);
	return SQLITE_OK;
}

/* No xCreate: the tables exist by their names, without a schema entry. */
static const sqlite3_module module = {
    .xConnect = vt_connect,
    .xDisconnect = vt_disconnect,
    .xBestIndex = vt_best_index,
    .xOpen = vt_open,
    .xClose = vt_close,
    .xFilter = vt_filter,
    .xNext = vt_next,
    .xEof = vt_eof,
    .xColumn = vt_column,
    .xRowid = vt_rowid,
};

int batch_register(struct writer *w)
{
	int rc = SQLITE_OK;

	for (int i = 0; i < (int)ARRAY_LEN(tables) && rc == SQLITE_OK; i++) {
		struct batch_module *m = malloc(sizeof *m);

		if (!m)
			return SQLITE_NOMEM;
		*m = (struct batch_module){.w = w, .source = (enum source)i};
		rc = sqlite3_create_module_v2(w->db, tables[i].name, &module, m, free);
	}
	return rc;
}
