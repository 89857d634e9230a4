#include "store/switches.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/audit.h"
#include "store/internal.h"

enum { S_PUT, S_DROP, S_TELL, S_COUNT };

static const char *const texts[S_COUNT] = {
    [S_PUT] = "INSERT INTO switch(name,value,ts) VALUES(?1,?2,?3) ON CONFLICT(name) DO UPDATE SET value=?2,ts=?3",
    [S_DROP] = "DELETE FROM switch WHERE name=?1",
    [S_TELL] = ("INSERT INTO event(ts,kind,uid,win_start,at_ppm,action,payload) VALUES(?1,?2,?3,?1,?4,?5,?6)"
		" ON CONFLICT DO NOTHING"),
};

struct job_of_changes {
	const struct switch_change *at;
	size_t n;
};

static int set(sqlite3_stmt *const st[S_COUNT], const struct switch_change *c, int64_t now_ns)
{
	sqlite3_stmt *s = c->json ? st[S_PUT] : st[S_DROP];

	(void)sqlite3_bind_text(s, 1, c->name, -1, SQLITE_STATIC);
	if (c->json) {
		(void)sqlite3_bind_text(s, 2, c->json, -1, SQLITE_STATIC);
		(void)sqlite3_bind_int64(s, 3, now_ns);
	}
	return db_run(s);
}

static int tell(sqlite3_stmt *s, const struct switch_change *c)
{
	(void)sqlite3_bind_int64(s, 1, c->at_ns);
	(void)sqlite3_bind_text(s, 2, c->kind, -1, SQLITE_STATIC);
	(void)sqlite3_bind_int64(s, 3, (int64_t)c->uid);
	(void)sqlite3_bind_int(s, 4, c->cause);
	(void)sqlite3_bind_int(s, 5, c->to);
	(void)sqlite3_bind_text(s, 6, c->payload, -1, SQLITE_STATIC);
	return db_run(s);
}

static int note(sqlite3 *db, const struct switch_change *c, int64_t now_ns)
{
	const struct audit_entry row = {.ts_ns = now_ns,
					.actor = slice_of(c->actor),
					.action = slice_of(c->action),
					.object = slice_of(c->object),
					.reason = slice_of(c->reason),
					.before = slice_of(c->before),
					.after = slice_of(c->after)};
	int64_t seq;

	return audit_append(db, &row, &seq);
}

static int put_all(sqlite3 *db, void *arg)
{
	const struct job_of_changes *job = arg;
	sqlite3_stmt *st[S_COUNT] = {NULL};
	int64_t now_ns = clock_wall_ns();
	int rc = SQLITE_OK, r = BUR_OK;

	for (int i = 0; i < S_COUNT && rc == SQLITE_OK; i++)
		rc = db_prepare(db, texts[i], &st[i]);
	for (size_t i = 0; i < job->n && rc == SQLITE_OK && r == BUR_OK; i++) {
		const struct switch_change *c = &job->at[i];

		if (c->name)
			rc = set(st, c, now_ns);
		if (rc == SQLITE_OK && c->kind)
			rc = tell(st[S_TELL], c);
		if (rc == SQLITE_OK && c->action)
			r = note(db, c, now_ns);
	}
	for (int i = 0; i < S_COUNT; i++)
		(void)sqlite3_finalize(st[i]);
	return rc != SQLITE_OK ? db_err(rc) : r;
}

int switches_put(struct store *s, const struct switch_change *changes, size_t n)
{
	struct job_of_changes job = {.at = changes, .n = n};

	if (n > SWITCHES_MAX)
		return BUR_TOOBIG;
	for (size_t i = 0; i < n; i++)
		if (changes[i].name && strnlen(changes[i].name, SWITCH_NAME_MAX) == SWITCH_NAME_MAX)
			return BUR_TOOBIG;
	return n > 0 ? store_execute(s, put_all, &job) : BUR_OK;
}

int switches_each(struct store *s, struct slice prefix,
		  int (*visit)(void *ctx, struct slice name, struct slice json, int64_t ts_ns), void *ctx)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;
	int rc, r = store_reader(s, &db);

	if (r < 0)
		return r;
	rc = db_prepare(db, "SELECT name,value,ts FROM switch WHERE substr(name,1,?1)=?2 ORDER BY name", &st);
	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_int64(st, 1, (int64_t)prefix.n);
		(void)sqlite3_bind_text64(st, 2, prefix.n ? prefix.p : "", prefix.n, SQLITE_STATIC, SQLITE_UTF8);
		rc = sqlite3_step(st);
	}
	while (rc == SQLITE_ROW && r == BUR_OK) {
		r = visit(ctx, db_slice(st, 0), db_slice(st, 1), sqlite3_column_int64(st, 2));
		rc = sqlite3_step(st);
	}
	(void)sqlite3_finalize(st);
	(void)sqlite3_close(db);
	if (r < 0)
		return r;
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? BUR_OK : BUR_IO;
}
