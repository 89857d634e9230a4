#include "store/alerts.h"

#include <string.h>

#include "base/error.h"
#include "store/audit.h"
#include "store/internal.h"

/* --- rows --------------------------------------------------------------------------------------------------------- */

/* NULL where the caller gave none: the statement then keeps what is there. */
static void bind_facts(sqlite3_stmt *st, int i, struct slice facts)
{
	if (facts.p)
		db_bind_slice(st, i, facts);
	else
		(void)sqlite3_bind_null(st, i);
}

static void bind_incident(sqlite3_stmt *st, const void *at, size_t i)
{
	const struct incident *r = (const struct incident *)at + i;

	(void)sqlite3_bind_int64(st, 1, r->id);
	db_bind_slice(st, 2, r->key);
	db_bind_slice(st, 3, r->type);
	db_bind_slice(st, 4, r->budget);
	db_bind_slice(st, 5, r->scope);
	bind_facts(st, 6, r->facts);
	(void)sqlite3_bind_int(st, 7, (int)r->state);
	(void)sqlite3_bind_int(st, 8, r->severity);
	(void)sqlite3_bind_int64(st, 9, r->first_event);
	(void)sqlite3_bind_int64(st, 10, r->last_event);
	(void)sqlite3_bind_int64(st, 11, r->events);
	(void)sqlite3_bind_int64(st, 12, r->opened_ns);
	(void)sqlite3_bind_int64(st, 13, r->changed_ns);
	(void)sqlite3_bind_int64(st, 14, r->acked_ns);
	(void)sqlite3_bind_int64(st, 15, r->resolved_ns);
	(void)sqlite3_bind_int64(st, 16, r->escalated_ns);
	(void)sqlite3_bind_int64(st, 17, r->ends_ns);
	db_bind_slice(st, 18, r->by);
}

static void bind_event(sqlite3_stmt *st, const void *at, size_t i)
{
	const struct incident_event *r = (const struct incident_event *)at + i;

	(void)sqlite3_bind_int64(st, 1, r->incident);
	(void)sqlite3_bind_int64(st, 2, r->event);
	(void)sqlite3_bind_int64(st, 3, r->ts_ns);
	(void)sqlite3_bind_int(st, 4, r->severity);
}

static void bind_outbox(sqlite3_stmt *st, const void *at, size_t i)
{
	const struct outbox_row *r = (const struct outbox_row *)at + i;

	(void)sqlite3_bind_int64(st, 1, r->id);
	(void)sqlite3_bind_int64(st, 2, r->event);
	(void)sqlite3_bind_int64(st, 3, r->incident);
	db_bind_slice(st, 4, r->channel);
	(void)sqlite3_bind_int(st, 5, r->op);
	(void)sqlite3_bind_int(st, 6, r->severity);
	(void)sqlite3_bind_int(st, 7, (int)r->state);
	db_bind_slice(st, 8, r->reason);
	bind_facts(st, 9, r->facts);
	(void)sqlite3_bind_int(st, 10, r->attempts);
	(void)sqlite3_bind_int64(st, 11, r->created_ns);
	(void)sqlite3_bind_int64(st, 12, r->next_ns);
	(void)sqlite3_bind_int64(st, 13, r->sent_ns);
	(void)sqlite3_bind_int(st, 14, r->last_status);
	db_bind_slice(st, 15, r->last_error);
}

static void bind_try(sqlite3_stmt *st, const void *at, size_t i)
{
	const struct delivery_try *r = (const struct delivery_try *)at + i;

	(void)sqlite3_bind_int64(st, 1, r->outbox);
	(void)sqlite3_bind_int(st, 2, r->attempt);
	(void)sqlite3_bind_int64(st, 3, r->ts_ns);
	(void)sqlite3_bind_int(st, 4, r->success);
	(void)sqlite3_bind_int(st, 5, r->status);
	(void)sqlite3_bind_int64(st, 6, r->took_ms);
	db_bind_slice(st, 7, r->error);
}

static void bind_told(sqlite3_stmt *st, const void *at, size_t i)
{
	const struct told *r = (const struct told *)at + i;

	(void)sqlite3_bind_int64(st, 1, r->incident);
	db_bind_slice(st, 2, r->channel);
	db_bind_slice(st, 3, r->ref);
	(void)sqlite3_bind_int(st, 4, r->severity);
	(void)sqlite3_bind_int64(st, 5, r->ts_ns);
	(void)sqlite3_bind_int(st, 6, r->resolved);
}

static void bind_mute(sqlite3_stmt *st, const void *at, size_t i)
{
	const struct mute *r = (const struct mute *)at + i;

	if (r->id != 0)
		(void)sqlite3_bind_int64(st, 1, r->id);
	else
		(void)sqlite3_bind_null(st, 1); /* SQLite gives it the next one */
	db_bind_slice(st, 2, r->budget);
	db_bind_slice(st, 3, r->label);
	db_bind_slice(st, 4, r->value);
	db_bind_slice(st, 5, r->type);
	(void)sqlite3_bind_int64(st, 6, r->from_ns);
	(void)sqlite3_bind_int64(st, 7, r->until_ns);
	db_bind_slice(st, 8, r->by);
	db_bind_slice(st, 9, r->reason);
}

static void bind_channel(sqlite3_stmt *st, const void *at, size_t i)
{
	const struct channel_state *r = (const struct channel_state *)at + i;

	db_bind_slice(st, 1, r->channel);
	db_bind_slice(st, 2, r->why);
	(void)sqlite3_bind_int(st, 3, r->disabled);
	(void)sqlite3_bind_int64(st, 4, r->since_ns);
	(void)sqlite3_bind_int64(st, 5, r->sent);
	(void)sqlite3_bind_int64(st, 6, r->failed);
	(void)sqlite3_bind_int64(st, 7, r->took_ms);
	(void)sqlite3_bind_int64(st, 8, r->last_ns);
}

/* --- statements --------------------------------------------------------------------------------------------------- */

static const char put_incident[] =
    "INSERT INTO incident(id,key,type,budget,scope,facts,state,severity,first_event,last_event,events,opened,changed,"
    "acked,resolved,escalated,ends,actor)"
    " VALUES(?1,?2,?3,?4,?5,coalesce(?6,'{}'),?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18)"
    " ON CONFLICT(id) DO UPDATE SET key=?2,type=?3,budget=?4,scope=?5,facts=coalesce(?6,facts),state=?7,severity=?8,"
    "first_event=?9,last_event=?10,events=?11,opened=?12,changed=?13,acked=?14,resolved=?15,escalated=?16,ends=?17,"
    "actor=?18";
static const char put_event[] =
    "INSERT INTO incident_event(incident,event,ts,severity) VALUES(?1,?2,?3,?4) ON CONFLICT DO NOTHING";
/* SENT and MERGED are final: a change that is repeated because its answer was lost must not send anything again. */
static const char put_outbox[] =
    "INSERT INTO outbox(id,event,incident,channel,op,severity,state,reason,facts,attempts,created,next,sent,status,"
    "error) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,coalesce(?9,'{}'),?10,?11,?12,?13,?14,?15)"
    " ON CONFLICT(id) DO UPDATE SET state=?7,reason=?8,facts=coalesce(?9,facts),attempts=?10,next=?12,sent=?13,"
    "status=?14,error=?15 WHERE state NOT IN (1,4)"
    " ON CONFLICT DO NOTHING";
_Static_assert(OUTBOX_SENT == 1 && OUTBOX_MERGED == 4, "the numbers in put_outbox");
static const char put_try[] =
    "INSERT INTO delivery(outbox,attempt,ts,success,status,took_ms,error) VALUES(?1,?2,?3,?4,?5,?6,?7)"
    " ON CONFLICT DO NOTHING";
static const char put_told[] = "INSERT INTO told(incident,channel,ref,severity,ts,resolved) VALUES(?1,?2,?3,?4,?5,?6)"
			       " ON CONFLICT(incident,channel) DO UPDATE SET ref=?3,severity=?4,ts=?5,resolved=?6";
static const char put_mute[] =
    "INSERT INTO mute(id,budget,label,value,type,begins,ends,actor,reason) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)"
    " ON CONFLICT(id) DO UPDATE SET budget=?2,label=?3,value=?4,type=?5,begins=?6,ends=?7,actor=?8,reason=?9"
    " ON CONFLICT DO NOTHING";
static const char put_channel[] =
    "INSERT INTO channel_state(channel,why,disabled,since,sent,failed,took_ms,last) VALUES(?1,?2,?3,?4,?5,?6,?7,?8)"
    " ON CONFLICT(channel) DO UPDATE SET why=?2,disabled=?3,since=?4,sent=?5,failed=?6,took_ms=?7,last=?8";

/* --- one change --------------------------------------------------------------------------------------------------- */

static int put_rows(sqlite3 *db, const char *sql, const void *rows, size_t n,
		    void (*bind)(sqlite3_stmt *, const void *rows, size_t i))
{
	sqlite3_stmt *st = NULL;
	int rc = n > 0 ? db_prepare(db, sql, &st) : SQLITE_OK;

	for (size_t i = 0; i < n && rc == SQLITE_OK; i++) {
		bind(st, rows, i);
		rc = db_run(st);
	}
	(void)sqlite3_finalize(st);
	kill_point();
	return rc;
}

static int put_cursor(sqlite3 *db, int64_t cursor)
{
	sqlite3_stmt *st = NULL;
	int rc;

	if (cursor <= 0)
		return SQLITE_OK;
	rc = db_prepare(db,
			"INSERT INTO meta(key,value) VALUES('alerts_cursor',?1) ON CONFLICT(key)"
			" DO UPDATE SET value=max(value,?1)",
			&st);
	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_int64(st, 1, cursor);
		rc = db_run(st);
	}
	(void)sqlite3_finalize(st);
	return rc;
}

static int drop_mute(sqlite3 *db, int64_t id)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db, "DELETE FROM mute WHERE id=?1", &st);

	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_int64(st, 1, id);
		rc = db_run(st);
	}
	(void)sqlite3_finalize(st);
	return rc;
}

static int put_mutes(sqlite3 *db, const struct mute *mutes, size_t n)
{
	int rc = SQLITE_OK;

	for (size_t i = 0; i < n && rc == SQLITE_OK; i++)
		rc = mutes[i].until_ns == 0 ? drop_mute(db, mutes[i].id)
					    : put_rows(db, put_mute, &mutes[i], 1, bind_mute);
	return rc;
}

static int put_rest(sqlite3 *db, const struct alerts_change *c)
{
	int rc = put_rows(db, put_told, c->told, c->n_told, bind_told);

	if (rc == SQLITE_OK)
		rc = put_mutes(db, c->mutes, c->n_mutes);
	if (rc == SQLITE_OK)
		rc = put_rows(db, put_channel, c->channels, c->n_channels, bind_channel);
	return rc;
}

/* The same action of the same instant is one row, however often it is written. */
static int noted_before(sqlite3 *db, const struct audit_entry *e, bool *ret)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db, "SELECT 1 FROM audit WHERE object=?1 AND ts=?2 AND action=?3 AND actor=?4", &st);

	if (rc == SQLITE_OK) {
		db_bind_slice(st, 1, e->object);
		(void)sqlite3_bind_int64(st, 2, e->ts_ns);
		db_bind_slice(st, 3, e->action);
		db_bind_slice(st, 4, e->actor);
		rc = sqlite3_step(st);
	}
	(void)sqlite3_finalize(st);
	*ret = rc == SQLITE_ROW;
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}

static int put_audit(sqlite3 *db, const struct alerts_change *c)
{
	const struct audit_entry e = {.ts_ns = c->now_ns,
				      .actor = slice_of(c->actor),
				      .action = slice_of(c->action),
				      .object = slice_of(c->object),
				      .reason = slice_of(c->reason)};
	bool known;
	int64_t seq;
	int r = noted_before(db, &e, &known);

	return r < 0 || known ? r : audit_append(db, &e, &seq);
}

static int put_all(sqlite3 *db, void *arg)
{
	const struct alerts_change *c = arg;
	int rc = put_cursor(db, c->cursor);

	if (rc == SQLITE_OK) {
		rc = put_rows(db, put_incident, c->incidents, c->n_incidents, bind_incident);
		if ((rc & 0xff) == SQLITE_CONSTRAINT)
			return BUR_ALREADY;
	}
	if (rc == SQLITE_OK)
		rc = put_rows(db, put_event, c->events, c->n_events, bind_event);
	if (rc == SQLITE_OK)
		rc = put_rows(db, put_outbox, c->outbox, c->n_outbox, bind_outbox);
	if (rc == SQLITE_OK)
		rc = put_rows(db, put_try, c->tries, c->n_tries, bind_try);
	if (rc == SQLITE_OK)
		rc = put_rest(db, c);
	if (rc != SQLITE_OK)
		return db_err(rc);
	return c->action ? put_audit(db, c) : BUR_OK;
}

static bool text_fits(struct slice s)
{
	return s.n <= ALERTS_TEXT_MAX;
}

static bool name_fits(struct slice s)
{
	return s.n <= ALERTS_NAME_MAX;
}

static bool sizes_fit(const struct alerts_change *c)
{
	bool ok = c->n_incidents <= ALERTS_ROWS_MAX && c->n_events <= ALERTS_ROWS_MAX &&
		  c->n_outbox <= ALERTS_ROWS_MAX && c->n_tries <= ALERTS_ROWS_MAX && c->n_told <= ALERTS_ROWS_MAX &&
		  c->n_mutes <= ALERTS_ROWS_MAX && c->n_channels <= ALERTS_ROWS_MAX;

	for (size_t i = 0; ok && i < c->n_incidents; i++)
		ok = text_fits(c->incidents[i].facts) && text_fits(c->incidents[i].budget) &&
		     text_fits(c->incidents[i].scope) && text_fits(c->incidents[i].key) &&
		     text_fits(c->incidents[i].type) && text_fits(c->incidents[i].by);
	for (size_t i = 0; ok && i < c->n_outbox; i++)
		ok = text_fits(c->outbox[i].facts) && name_fits(c->outbox[i].channel) &&
		     text_fits(c->outbox[i].reason) && text_fits(c->outbox[i].last_error);
	for (size_t i = 0; ok && i < c->n_tries; i++)
		ok = text_fits(c->tries[i].error);
	for (size_t i = 0; ok && i < c->n_told; i++)
		ok = name_fits(c->told[i].channel) && text_fits(c->told[i].ref);
	for (size_t i = 0; ok && i < c->n_mutes; i++)
		ok = text_fits(c->mutes[i].budget) && text_fits(c->mutes[i].label) && text_fits(c->mutes[i].value) &&
		     text_fits(c->mutes[i].type) && text_fits(c->mutes[i].by) && text_fits(c->mutes[i].reason);
	for (size_t i = 0; ok && i < c->n_channels; i++)
		ok = name_fits(c->channels[i].channel) && text_fits(c->channels[i].why);
	return ok;
}

int alerts_write(struct store *s, const struct alerts_change *c)
{
	struct alerts_change copy = *c;

	return sizes_fit(c) ? store_execute(s, put_all, &copy) : BUR_TOOBIG;
}

/* --- what is too old ---------------------------------------------------------------------------------------------- */

/* The newest ids stay, so that none is given out twice. */
#define OLD_MESSAGES                                                                                                   \
	"(SELECT id FROM outbox WHERE +state IN (1,2,4,5) AND created<?1 AND id<(SELECT max(id) FROM outbox)"          \
	" ORDER BY created,id LIMIT ?2)"
#define OLD_INCIDENTS                                                                                                  \
	"(SELECT id FROM incident AS i WHERE state=2 AND resolved<?1 AND id<(SELECT max(id) FROM incident)"            \
	" AND NOT EXISTS (SELECT 1 FROM outbox WHERE incident=i.id) ORDER BY resolved,id LIMIT ?2)"
_Static_assert(OUTBOX_DEAD == 2 && OUTBOX_DROPPED == 5 && INCIDENT_RESOLVED == 2, "the numbers in the statements");

struct prune {
	int64_t before_ns;
	size_t max;
	bool more;
};

/* Rows that only belong to others do not count. */
static int drop(sqlite3 *db, const char *sql, struct prune *p, bool counts)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db, sql, &st);

	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_int64(st, 1, p->before_ns);
		(void)sqlite3_bind_int64(st, 2, (int64_t)p->max);
		rc = db_run(st);
	}
	(void)sqlite3_finalize(st);
	if (rc == SQLITE_OK && counts && (size_t)sqlite3_changes(db) >= p->max)
		p->more = true;
	kill_point();
	return rc;
}

static int drop_all(sqlite3 *db, void *arg)
{
	static const struct {
		const char *sql;
		bool counts;
	} steps[] = {
	    {"DELETE FROM delivery WHERE outbox IN " OLD_MESSAGES, false},
	    {"DELETE FROM outbox WHERE id IN " OLD_MESSAGES, true},
	    {"DELETE FROM told WHERE incident IN " OLD_INCIDENTS, false},
	    {"DELETE FROM incident_event WHERE incident IN " OLD_INCIDENTS, false},
	    {"DELETE FROM incident WHERE id IN " OLD_INCIDENTS, true},
	    {"DELETE FROM mute WHERE id IN (SELECT id FROM mute WHERE ends<?1 ORDER BY ends LIMIT ?2)", true},
	};
	int rc = SQLITE_OK;

	for (size_t i = 0; i < ARRAY_LEN(steps) && rc == SQLITE_OK; i++)
		rc = drop(db, steps[i].sql, arg, steps[i].counts);
	return db_err(rc);
}

int alerts_prune(struct store *s, int64_t before_ns, size_t max, bool *ret_more)
{
	struct prune p = {.before_ns = before_ns, .max = max};
	int r;

	*ret_more = false;
	if (max == 0 || max > ALERTS_ROWS_MAX)
		return BUR_INVALID;
	r = store_execute(s, drop_all, &p);
	*ret_more = r == BUR_OK && p.more;
	return r;
}
