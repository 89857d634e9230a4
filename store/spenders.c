#include "store/spenders.h"

#include "base/error.h"
#include "store/internal.h"

#define HOUR_S 3600
#define CALLS_MAX 10000 /* looked at one by one: some milliseconds */
#define PARTS_MAX 12000
#define TEXT_OF(n) #n
#define TEXT(n) TEXT_OF(n)

static const char of_calls[] =
    "SELECT l.key_id,l.model_id,l.user_id,sum(p.amount),count(*) FROM ledger l JOIN posting p ON p.seq=l.seq"
    " AND p.meter_uid=?1 AND p.win_start>=?2 AND p.win_start<?3 WHERE l.seq>?4 GROUP BY 1,2,3 HAVING sum(p.amount)>0"
    " ORDER BY 4 DESC,1,2,3 LIMIT ?5";
static const char of_hours[] =
    "SELECT key_id,model_id,user_id,sum(amount_n),sum(calls) FROM (SELECT * FROM rollup_part WHERE hour>=?1"
    " AND hour<?2 ORDER BY hour DESC LIMIT " TEXT(
	PARTS_MAX) ") WHERE (?3=0 OR key_id=?3) AND (?4=0 OR user_id=?4)"
		   " AND (?5=0 OR team_id=?5) AND (?6=0 OR model_id=?6) GROUP BY 1,2,3 HAVING sum(amount_n)>0"
		   " ORDER BY 4 DESC,1,2,3 LIMIT ?7";

static int take(sqlite3_stmt *st, int rc, struct series_part *dst, size_t max, size_t *ret_n)
{
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	for (; rc == SQLITE_ROW && *ret_n < max; rc = sqlite3_step(st))
		dst[(*ret_n)++] = (struct series_part){.key = sqlite3_column_int64(st, 0),
						       .model = sqlite3_column_int64(st, 1),
						       .user = sqlite3_column_int64(st, 2),
						       .nanousd = sqlite3_column_int64(st, 3),
						       .calls = sqlite3_column_int64(st, 4)};
	(void)sqlite3_finalize(st);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? BUR_OK : db_err(rc);
}

static int top_of_calls(sqlite3 *db, const struct spenders_of *q, int64_t after, struct series_part *dst, size_t max,
			size_t *ret_n)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db, of_calls, &st);

	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_int64(st, 1, (int64_t)q->uid);
		(void)sqlite3_bind_int64(st, 2, q->from_s);
		(void)sqlite3_bind_int64(st, 3, q->to_s);
		(void)sqlite3_bind_int64(st, 4, after);
		(void)sqlite3_bind_int64(st, 5, (int64_t)max);
	}
	return take(st, rc, dst, max, ret_n);
}

/* Hours that lie in the window in part count whole. */
static int top_of_hours(sqlite3 *db, const struct spenders_of *q, struct series_part *dst, size_t max, size_t *ret_n)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db, of_hours, &st);

	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_int64(st, 1, q->from_s / HOUR_S);
		(void)sqlite3_bind_int64(st, 2, q->to_s / HOUR_S + (q->to_s % HOUR_S > 0));
		(void)sqlite3_bind_int64(st, 3, q->key);
		(void)sqlite3_bind_int64(st, 4, q->user);
		(void)sqlite3_bind_int64(st, 5, q->team);
		(void)sqlite3_bind_int64(st, 6, q->model);
		(void)sqlite3_bind_int64(st, 7, (int64_t)max);
	}
	return take(st, rc, dst, max, ret_n);
}

/* *ret_after: the latest calls come after this row. *ret_all: they are all of the window's. */
static int find_latest(sqlite3 *db, const struct spenders_of *q, int64_t *ret_after, bool *ret_all)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(
	    db,
	    "SELECT seq,ts_admit/1000000000<?1 FROM ledger WHERE seq=(SELECT max(seq) FROM ledger)-" TEXT(CALLS_MAX),
	    &st);

	*ret_after = 0;
	*ret_all = true;
	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_int64(st, 1, q->from_s);
		rc = sqlite3_step(st);
	}
	if (rc == SQLITE_ROW) {
		*ret_after = sqlite3_column_int64(st, 0);
		*ret_all = sqlite3_column_int(st, 1) != 0;
	}
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}

int spenders_top(struct sqlite3 *db, const struct spenders_of *q, struct series_part *dst, size_t max, size_t *ret_n)
{
	int64_t after;
	bool all;
	int r;

	*ret_n = 0;
	if (q->uid == 0)
		return q->by_names ? top_of_hours(db, q, dst, max, ret_n) : BUR_INVALID;
	r = find_latest(db, q, &after, &all);
	if (r < 0)
		return r;
	return all || !q->by_names ? top_of_calls(db, q, after, dst, max, ret_n) : top_of_hours(db, q, dst, max, ret_n);
}

int spenders_name(struct sqlite3 *db, int kind, struct slice text, int64_t *ret)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db, "SELECT id FROM name WHERE kind=?1 AND text=?2", &st);

	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_int(st, 1, kind);
		(void)sqlite3_bind_text64(st, 2, text.n ? text.p : "", text.n, SQLITE_STATIC, SQLITE_UTF8);
		rc = sqlite3_step(st);
	}
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW ? BUR_OK : rc == SQLITE_DONE ? BUR_NOTFOUND : db_err(rc);
}
