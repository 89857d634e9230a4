#include "store/crossing.h"

#include "base/error.h"
#include "store/alerts.h"
#include "store/internal.h"
#include "store/note.h"

/* --- steps that were crossed -------------------------------------------------------------------------------------- */

struct tell_job {
	struct writer *writer;
	const struct threshold_event *at;
	size_t n;
};

static int tell_all(sqlite3 *db, void *arg)
{
	const struct tell_job *job = arg;
	int rc = SQLITE_OK;

	(void)db;
	for (size_t i = 0; i < job->n && rc == SQLITE_OK; i++)
		rc = event_of_step(job->writer, &job->at[i]);
	return db_err(rc);
}

int crossings_tell(struct store *s, const struct threshold_event *events, size_t n)
{
	struct tell_job job = {.writer = &s->writer, .at = events, .n = n};

	return n > 0 ? store_execute(s, tell_all, &job) : BUR_OK;
}

/* --- what ends them ----------------------------------------------------------------------------------------------- */

enum { E_CALENDAR, E_ROLLING, E_TELL, E_COUNT };

/* `state` counts how often steps were told anew, see W_EVENT. A reset's part is below nothing. */
static const char *const texts[E_COUNT] = {
    [E_CALENDAR] = "UPDATE meter SET warned_mask=warned_mask&~?3,state=state+1 WHERE meter_uid=?1 AND win_start=?2",
    [E_ROLLING] = "UPDATE meter SET warned_mask=warned_mask&~?3,state=state+1 WHERE meter_uid=?1"
		  " AND warned_mask&?3<>0",
    [E_TELL] = "INSERT INTO event(ts,kind,uid,win_start,at_ppm,action,payload) VALUES(?3,?4,?1,?2,"
	       " iif(?5<>0,-?5,coalesce((SELECT max(state) FROM meter WHERE meter_uid=?1 AND win_start=?2),0)),101,?6)"
	       " ON CONFLICT DO NOTHING",
};
_Static_assert(NOTE_ENDED == 101, "the number in the text");

struct end_job {
	const struct crossing_end *at;
	size_t n;
	int64_t mark;
};
#define MARK "crossings_mark"

static int forget_steps(sqlite3_stmt *s, const struct crossing_end *c)
{
	(void)sqlite3_bind_int64(s, 1, (int64_t)c->uid);
	if (!c->rolling)
		(void)sqlite3_bind_int64(s, 2, c->win_start);
	(void)sqlite3_bind_int64(s, 3, c->steps);
	return db_run(s);
}

static int tell_end(sqlite3_stmt *s, const struct crossing_end *c)
{
	int rc;

	(void)sqlite3_bind_int64(s, 1, (int64_t)c->uid);
	(void)sqlite3_bind_int64(s, 2, c->win_start);
	(void)sqlite3_bind_int64(s, 3, c->at_ns);
	(void)sqlite3_bind_text(s, 4, c->kind, -1, SQLITE_STATIC);
	(void)sqlite3_bind_int64(s, 5, c->after);
	(void)sqlite3_bind_text64(s, 6, c->payload.p, c->payload.n, SQLITE_STATIC, SQLITE_UTF8);
	rc = db_run(s);
	(void)sqlite3_clear_bindings(s);
	return rc;
}

static int end_all(sqlite3 *db, void *arg)
{
	const struct end_job *job = arg;
	sqlite3_stmt *st[E_COUNT] = {NULL};
	int rc = SQLITE_OK;

	for (int i = 0; i < E_COUNT && rc == SQLITE_OK; i++)
		rc = db_prepare(db, texts[i], &st[i]);
	for (size_t i = 0; i < job->n && rc == SQLITE_OK; i++) {
		const struct crossing_end *c = &job->at[i];

		if (c->steps != 0)
			rc = forget_steps(st[c->rolling ? E_ROLLING : E_CALENDAR], c);
		if (rc == SQLITE_OK && c->kind)
			rc = tell_end(st[E_TELL], c);
	}
	for (int i = 0; i < E_COUNT; i++)
		(void)sqlite3_finalize(st[i]);
	return rc == SQLITE_OK ? db_meta_set_int(db, MARK, job->mark) : db_err(rc);
}

int crossings_end(struct store *s, const struct crossing_end *ends, size_t n, int64_t mark)
{
	struct end_job job = {.at = ends, .n = n, .mark = mark};

	return store_execute(s, end_all, &job);
}

int crossings_mark(struct sqlite3 *db, int64_t *ret)
{
	int r = db_meta_int(db, MARK, -1, ret);

	/* What happened before this was kept is not told, and so its end is not. */
	return r == BUR_OK && *ret < 0 ? alerts_cursor(db, ret) : r;
}

int crossing_posted(struct sqlite3 *db, uint64_t uid, int64_t win_start, int64_t *ret)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db, "SELECT posted_n FROM meter WHERE meter_uid=?1 AND win_start=?2", &st);

	*ret = 0;
	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_int64(st, 1, (int64_t)uid);
		(void)sqlite3_bind_int64(st, 2, win_start);
		rc = sqlite3_step(st);
	}
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}
