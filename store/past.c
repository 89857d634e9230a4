#include "store/past.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "store/internal.h"

/* When a row takes effect: a call when it is admitted, a correction when it is written. */
#define WHEN "iif(kind=1,ts_admit,ts_settle)"

struct past {
	sqlite3 *db;
	sqlite3_stmt *order, *row, *corrected;
};

int past_connect(const char *data_dir, struct sqlite3 **ret)
{
	size_t size = strlen(data_dir) + sizeof "/bursar.db";
	char *path = malloc(size);
	int rc;

	if (!path)
		return BUR_NOMEM;
	(void)snprintf(path, size, "%s/bursar.db", data_dir);
	if (access(path, F_OK) != 0 && errno == ENOENT) {
		free(path);
		return BUR_NOTFOUND;
	}
	rc = db_connect(path, false, ret);
	free(path);
	if (rc == SQLITE_OK)
		return BUR_OK;
	(void)sqlite3_close(*ret);
	*ret = NULL;
	return BUR_IO;
}

/* --- in the order of time ----------------------------------------------------------------------------------------- */

/* Only times and numbers are sorted, by SQLite, which does it in files when they are many; rows are fetched one by one.
 */
static int prepare(struct past *p, int64_t from_ns, int64_t to_ns)
{
	int rc = db_prepare(
	    p->db, "SELECT seq," WHEN " AS t FROM ledger WHERE " WHEN ">=?1 AND " WHEN "<?2 ORDER BY t,seq", &p->order);

	if (rc == SQLITE_OK)
		rc = db_prepare(p->db, ROW_SELECT "WHERE seq=?1", &p->row);
	if (rc == SQLITE_OK)
		rc = db_prepare(p->db, "SELECT 1 FROM ledger WHERE ref_uid=?1 LIMIT 1", &p->corrected);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(p->order, 1, from_ns);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(p->order, 2, to_ns);
	return rc;
}

static int count(struct past *p, int64_t from_ns, int64_t to_ns, uint64_t *ret)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(p->db, "SELECT count(*) FROM ledger WHERE " WHEN ">=?1 AND " WHEN "<?2", &st);

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 1, from_ns);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 2, to_ns);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret = (uint64_t)sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

int past_open(struct sqlite3 *reader, int64_t from_ns, int64_t to_ns, struct past **ret, uint64_t *ret_rows)
{
	struct past *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return BUR_NOMEM;
	p->db = reader;
	rc = db_exec(reader, "BEGIN"); /* one state for all that follows */
	if (rc == SQLITE_OK)
		rc = prepare(p, from_ns, to_ns);
	if (rc == SQLITE_OK)
		rc = count(p, from_ns, to_ns, ret_rows);
	if (rc != SQLITE_OK) {
		past_close(p);
		return db_err(rc);
	}
	*ret = p;
	return BUR_OK;
}

int past_next(struct past *p, struct ledger_row *ret)
{
	struct row row;
	int rc = sqlite3_step(p->order);

	if (rc == SQLITE_DONE)
		return BUR_EOF;
	if (rc != SQLITE_ROW)
		return db_err(rc);
	(void)sqlite3_reset(p->row);
	rc = sqlite3_bind_int64(p->row, 1, sqlite3_column_int64(p->order, 0));
	if (rc == SQLITE_OK)
		rc = sqlite3_step(p->row);
	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? BUR_CORRUPT : db_err(rc);
	row_read(p->row, &row);
	ledger_row_of(&row, ret);
	return BUR_OK;
}

int past_is_corrected(struct past *p, const uint8_t uid[16], bool *ret)
{
	int rc = sqlite3_bind_blob(p->corrected, 1, uid, 16, SQLITE_STATIC);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(p->corrected);
	*ret = rc == SQLITE_ROW;
	(void)sqlite3_reset(p->corrected);
	(void)sqlite3_clear_bindings(p->corrected);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}

void past_close(struct past *p)
{
	if (!p)
		return;
	(void)sqlite3_finalize(p->order);
	(void)sqlite3_finalize(p->row);
	(void)sqlite3_finalize(p->corrected);
	db_rollback(p->db);
	free(p);
}

/* --- one call ----------------------------------------------------------------------------------------------------- */

int past_call(struct sqlite3 *reader, const uint8_t uid[16], int (*visit)(void *ctx, const struct ledger_row *),
	      void *ctx)
{
	sqlite3_stmt *st = NULL;
	struct ledger_row l;
	struct row row;
	int rc = db_prepare(reader, ROW_SELECT "WHERE (uid=?1 AND kind=1) OR ref_uid=?1 ORDER BY kind<>1,seq", &st);
	int r = BUR_NOTFOUND;

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_blob(st, 1, uid, 16, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	for (; rc == SQLITE_ROW; rc = sqlite3_step(st)) {
		row_read(st, &row);
		ledger_row_of(&row, &l);
		r = visit(ctx, &l);
		if (r != BUR_OK)
			break;
	}
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? r : db_err(rc);
}

static struct slice text_of(sqlite3_stmt *st, int column)
{
	const void *p = sqlite3_column_text(st, column);

	return slice_mem(p, (size_t)sqlite3_column_bytes(st, column));
}

int past_postings(struct sqlite3 *reader, int64_t seq, int (*visit)(void *ctx, const struct past_posting *), void *ctx)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(reader,
			    "SELECT p.meter_uid,p.win_start,p.amount,coalesce(d.budget,''),coalesce(d.scope,''),"
			    "coalesce(d.unit,0),coalesce(m.posted_n,0) FROM posting p LEFT JOIN meter_def d"
			    " ON d.uid=p.meter_uid LEFT JOIN meter m ON m.meter_uid=p.meter_uid AND"
			    " m.win_start=p.win_start WHERE p.seq=?1 ORDER BY d.budget,d.scope",
			    &st);
	int r = BUR_OK;

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 1, seq);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	for (; rc == SQLITE_ROW && r == BUR_OK; rc = r == BUR_OK ? sqlite3_step(st) : rc) {
		const struct past_posting p = {.meter_uid = (uint64_t)sqlite3_column_int64(st, 0),
					       .win_start = sqlite3_column_int64(st, 1),
					       .amount = sqlite3_column_int64(st, 2),
					       .budget = text_of(st, 3),
					       .scope = text_of(st, 4),
					       .unit = sqlite3_column_int(st, 5),
					       .window_total = sqlite3_column_int64(st, 6)};

		r = visit(ctx, &p);
	}
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? r : db_err(rc);
}
