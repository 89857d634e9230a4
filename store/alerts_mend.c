/* alerts_mend.c - what waits to be told when the world around it has changed: channels that are configured no more, a
 * clock that was set back. */
#include "base/error.h"
#include "store/alerts.h"
#include "store/internal.h"

_Static_assert(OUTBOX_QUEUED == 0 && OUTBOX_HELD == 3 && OUTBOX_DROPPED == 5 && INCIDENT_RESOLVED == 2,
	       "the numbers in the statements");

/* --- channels ----------------------------------------------------------------------------------------------------- */

struct gone {
	const struct slice *channels;
	size_t n, dropped;
};

static bool is_configured(const struct gone *g, struct slice channel)
{
	for (size_t i = 0; i < g->n; i++)
		if (slice_eq(channel, g->channels[i]))
			return true;
	return false;
}

static int drop_waiting(sqlite3 *db, struct gone *g, struct slice channel)
{
	sqlite3_stmt *st = NULL;
	int rc =
	    db_prepare(db, "UPDATE outbox SET state=5,reason='channel_gone' WHERE channel=?1 AND state IN (0,3)", &st);

	if (rc == SQLITE_OK) {
		db_bind_slice(st, 1, channel);
		rc = db_run(st);
	}
	(void)sqlite3_finalize(st);
	if (rc == SQLITE_OK)
		g->dropped += (size_t)sqlite3_changes(db);
	kill_point();
	return rc;
}

/* The first whose name is greater that has something waiting. SQLITE_ROW: *st holds it; the caller finalizes. */
static int next_channel(sqlite3 *db, struct slice after, sqlite3_stmt **st)
{
	/* Left to itself SQLite sorts all that waits. */
	int rc = db_prepare(db,
			    "SELECT channel FROM outbox INDEXED BY outbox_channel_due WHERE state IN (0,3)"
			    " AND channel>?1 ORDER BY channel LIMIT 1",
			    st);

	if (rc != SQLITE_OK)
		return rc;
	db_bind_slice(*st, 1, after);
	return sqlite3_step(*st);
}

static int drop_gone(sqlite3 *db, void *arg)
{
	struct gone *g = arg;
	sqlite3_stmt *st = NULL, *before = NULL;
	int rc;

	g->dropped = 0;
	while ((rc = next_channel(db, before ? db_slice(before, 0) : SLICE(""), &st)) == SQLITE_ROW) {
		(void)sqlite3_finalize(before);
		before = st;
		st = NULL;
		if (!is_configured(g, db_slice(before, 0))) {
			rc = drop_waiting(db, g, db_slice(before, 0));
			if (rc != SQLITE_OK)
				break;
		}
	}
	(void)sqlite3_finalize(before);
	(void)sqlite3_finalize(st);
	return rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}

int alerts_drop_gone(struct store *s, const struct slice *channels, size_t n, size_t *ret_n)
{
	struct gone g = {.channels = channels, .n = n};
	int r = store_execute(s, drop_gone, &g);

	*ret_n = r == BUR_OK ? g.dropped : 0;
	return r;
}

/* --- the clock ---------------------------------------------------------------------------------------------------- */

struct set_back {
	int64_t back_ns, now_ns;
};

static int set_back(sqlite3 *db, void *arg)
{
	static const char *const changes[] = {
	    "UPDATE outbox SET created=min(created,?2),sent=min(sent,?2),next=min(next,max(next-?1,?2))"
	    " WHERE created>?2 OR sent>?2 OR (state IN (0,3) AND next>?2)",
	    "UPDATE incident SET opened=min(opened,?2),changed=min(changed,?2),acked=min(acked,?2),"
	    "escalated=min(escalated,?2) WHERE changed>?2 OR escalated>?2",
	    "UPDATE told SET ts=?2 WHERE ts>?2",
	};
	const struct set_back *b = arg;
	int rc = SQLITE_OK;

	for (size_t i = 0; i < ARRAY_LEN(changes) && rc == SQLITE_OK; i++) {
		sqlite3_stmt *st = NULL;

		rc = db_prepare(db, changes[i], &st);
		if (rc == SQLITE_OK) {
			if (i == 0)
				(void)sqlite3_bind_int64(st, 1, b->back_ns);
			(void)sqlite3_bind_int64(st, 2, b->now_ns);
			rc = db_run(st);
		}
		(void)sqlite3_finalize(st);
		kill_point();
	}
	return db_err(rc);
}

int alerts_set_back(struct store *s, int64_t back_ns, int64_t now_ns)
{
	struct set_back b = {back_ns, now_ns};

	return store_execute(s, set_back, &b);
}
