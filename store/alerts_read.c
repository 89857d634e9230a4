#include "store/alerts.h"

#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "store/internal.h"

#define LIMIT_MAX 1000

/* --- questions with conditions ------------------------------------------------------------------------------------ */

/* Conditions are texts of ours, values are bound. */
#define CONDITIONS_MAX 10
struct query {
	char sql[1400];
	size_t n;
	struct {
		struct slice text; /* .p NULL: the number */
		int64_t number;
	} value[CONDITIONS_MAX];
	int n_values;
};

static void add(struct query *q, const char *sql)
{
	size_t n = strlen(sql);

	CHECK(n < sizeof q->sql - q->n);
	memcpy(q->sql + q->n, sql, n + 1);
	q->n += n;
}

static void add_number(struct query *q, const char *sql, int64_t v)
{
	CHECK(q->n_values < CONDITIONS_MAX);
	add(q, sql);
	q->value[q->n_values++].number = v;
}

static void add_text(struct query *q, const char *sql, struct slice text)
{
	CHECK(q->n_values < CONDITIONS_MAX);
	add(q, sql);
	q->value[q->n_values++].text = text.n ? text : SLICE("");
}

static int begin(sqlite3 *db, const struct query *q, sqlite3_stmt **ret)
{
	int rc = db_prepare(db, q->sql, ret);

	for (int i = 0; i < q->n_values && rc == SQLITE_OK; i++) {
		if (q->value[i].text.p)
			db_bind_slice(*ret, i + 1, q->value[i].text);
		else
			rc = sqlite3_bind_int64(*ret, i + 1, q->value[i].number);
	}
	return rc;
}

/* Reads all rows of a statement that was prepared with this code; finalizes it. `take` turns a row into the caller's
 * visit. */
struct walk {
	int (*take)(struct walk *, sqlite3_stmt *);
	union {
		int (*event)(void *, const struct event_row *);
		int (*part)(void *, const struct event_row *, int);
		int (*incident)(void *, const struct incident *);
		int (*outbox)(void *, const struct outbox_row *);
		int (*delivery)(void *, const struct delivery_try *);
		int (*told)(void *, const struct told *);
		int (*mute)(void *, const struct mute *);
		int (*channel)(void *, const struct channel_state *);
	} visit;
	void *ctx;
};

static int each(sqlite3_stmt *st, int rc, struct walk *w)
{
	int r = BUR_OK;

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	while (rc == SQLITE_ROW && r == BUR_OK) {
		r = w->take(w, st);
		if (r == BUR_OK)
			rc = sqlite3_step(st);
	}
	(void)sqlite3_finalize(st);
	return r != BUR_OK ? r : rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}

static int each_of(sqlite3 *db, const struct query *q, struct walk *w)
{
	sqlite3_stmt *st = NULL;
	int rc = begin(db, q, &st);

	return each(st, rc, w);
}

static int one_number(sqlite3 *db, const struct query *q, int64_t *ret)
{
	sqlite3_stmt *st = NULL;
	int rc = begin(db, q, &st);

	*ret = 0;
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW ? BUR_OK : db_err(rc);
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static struct event_row event_of(sqlite3_stmt *st)
{
	return (struct event_row){.id = sqlite3_column_int64(st, 0),
				  .ts_ns = sqlite3_column_int64(st, 1),
				  .uid = sqlite3_column_int64(st, 2),
				  .since = sqlite3_column_int64(st, 3),
				  .part = sqlite3_column_int64(st, 4),
				  .action = sqlite3_column_int(st, 5),
				  .kind = db_slice(st, 6),
				  .payload = db_slice(st, 7)};
}

static int take_event(struct walk *w, sqlite3_stmt *st)
{
	const struct event_row row = event_of(st);

	return w->visit.event(w->ctx, &row);
}

int alerts_each_event(struct sqlite3 *db, int64_t after, size_t max, int (*visit)(void *ctx, const struct event_row *),
		      void *ctx)
{
	struct walk w = {.take = take_event, .visit.event = visit, .ctx = ctx};
	struct query q = {.n = 0};

	add_number(&q, "SELECT id,ts,uid,win_start,at_ppm,action,kind,payload FROM event WHERE id>?", after);
	add_number(&q, " ORDER BY id LIMIT ?", max < INT64_MAX ? (int64_t)max : INT64_MAX);
	return each_of(db, &q, &w);
}

int alerts_cursor(struct sqlite3 *db, int64_t *ret)
{
	return db_meta_int(db, "alerts_cursor", 0, ret);
}

int alerts_instance(struct sqlite3 *db, char ret[13])
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db, "SELECT value FROM meta WHERE key='database_uuid'", &st), r;

	memset(ret, 0, 13);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW && sqlite3_column_bytes(st, 0) == 16) {
		hex_encode(sqlite3_column_blob(st, 0), 6, ret);
		r = BUR_OK;
	} else {
		r = rc == SQLITE_ROW ? BUR_CORRUPT : rc == SQLITE_DONE ? BUR_NOTFOUND : db_err(rc);
	}
	(void)sqlite3_finalize(st);
	return r;
}

/* --- incidents ---------------------------------------------------------------------------------------------------- */

int alerts_next_incident(struct sqlite3 *db, int64_t *ret)
{
	const struct query q = {.sql = "SELECT coalesce(max(id),0)+1 FROM incident"};

	return one_number(db, &q, ret);
}

static int take_incident(struct walk *w, sqlite3_stmt *st)
{
	const struct incident row = {.id = sqlite3_column_int64(st, 0),
				     .key = db_slice(st, 1),
				     .type = db_slice(st, 2),
				     .budget = db_slice(st, 3),
				     .scope = db_slice(st, 4),
				     .facts = db_slice(st, 5),
				     .state = (enum incident_state)sqlite3_column_int(st, 6),
				     .severity = sqlite3_column_int(st, 7),
				     .first_event = sqlite3_column_int64(st, 8),
				     .last_event = sqlite3_column_int64(st, 9),
				     .events = sqlite3_column_int64(st, 10),
				     .opened_ns = sqlite3_column_int64(st, 11),
				     .changed_ns = sqlite3_column_int64(st, 12),
				     .acked_ns = sqlite3_column_int64(st, 13),
				     .resolved_ns = sqlite3_column_int64(st, 14),
				     .escalated_ns = sqlite3_column_int64(st, 15),
				     .ends_ns = sqlite3_column_int64(st, 16),
				     .by = db_slice(st, 17)};

	return w->visit.incident(w->ctx, &row);
}

/* The ids are found first, by an index alone: rows are large. `+id` keeps SQLite from walking through all rows
 * backwards for the order's sake. */
int alerts_each_incident(struct sqlite3 *db, const struct incident_filter *f,
			 int (*visit)(void *ctx, const struct incident *), void *ctx)
{
	struct walk w = {.take = take_incident, .visit.incident = visit, .ctx = ctx};
	bool open = f->open_only || f->ends_before_ns > 0;
	struct query q = {.n = 0};

	if (f->limit == 0 || f->limit > LIMIT_MAX)
		return BUR_INVALID;
	add(&q, "SELECT id,key,type,budget,scope,facts,state,severity,first_event,last_event,events,opened,changed,"
		"acked,resolved,escalated,ends,actor FROM incident WHERE id IN (SELECT id FROM incident WHERE true");
	if (open)
		add(&q, " AND state<>2");
	if (f->id != 0)
		add_number(&q, " AND id=?", f->id);
	if (f->key.p)
		add_text(&q, " AND key=?", f->key);
	if (f->min_severity > 0)
		add_number(&q, " AND severity>=?", f->min_severity);
	if (f->since_ns > 0)
		add_number(&q, " AND changed>=?", f->since_ns);
	if (f->before_id > 0)
		add_number(&q, " AND id<?", f->before_id);
	if (f->ends_before_ns > 0)
		add_number(&q, " AND ends>0 AND ends<=?", f->ends_before_ns);
	add_number(&q, open || f->since_ns > 0 ? " ORDER BY +id DESC LIMIT ?" : " ORDER BY id DESC LIMIT ?",
		   (int64_t)f->limit);
	add(&q, ") ORDER BY id DESC");
	return each_of(db, &q, &w);
}

static int take_part(struct walk *w, sqlite3_stmt *st)
{
	const struct event_row row = event_of(st);

	return w->visit.part(w->ctx, &row, sqlite3_column_int(st, 8));
}

int alerts_each_incident_event(struct sqlite3 *db, int64_t incident, size_t max,
			       int (*visit)(void *ctx, const struct event_row *, int severity), void *ctx)
{
	struct walk w = {.take = take_part, .visit.part = visit, .ctx = ctx};
	struct query q = {.n = 0};

	add_number(&q,
		   "SELECT e.id,e.ts,e.uid,e.win_start,e.at_ppm,e.action,e.kind,e.payload,i.severity"
		   " FROM incident_event i JOIN event e ON e.id=i.event WHERE i.incident=?",
		   incident);
	add_number(&q, " ORDER BY e.id DESC LIMIT ?", max < INT64_MAX ? (int64_t)max : INT64_MAX);
	return each_of(db, &q, &w);
}

int alerts_incident_events(struct sqlite3 *db, int64_t incident, int64_t since_ns, int severity, int64_t *ret_n,
			   int64_t *ret_n_same, int64_t *ret_first_same_ns)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db,
			    "SELECT count(*),coalesce(sum(severity=?3),0),min(CASE WHEN severity=?3 THEN ts END)"
			    " FROM incident_event WHERE incident=?1 AND ts>=?2",
			    &st);

	*ret_n = *ret_n_same = *ret_first_same_ns = 0;
	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_int64(st, 1, incident);
		(void)sqlite3_bind_int64(st, 2, since_ns);
		(void)sqlite3_bind_int(st, 3, severity);
		rc = sqlite3_step(st);
	}
	if (rc == SQLITE_ROW) {
		*ret_n = sqlite3_column_int64(st, 0);
		*ret_n_same = sqlite3_column_int64(st, 1);
		*ret_first_same_ns = sqlite3_column_int64(st, 2); /* NULL reads as 0 */
	}
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW ? BUR_OK : db_err(rc);
}

/* --- outbox ------------------------------------------------------------------------------------------------------- */

int alerts_next_outbox(struct sqlite3 *db, int64_t *ret)
{
	const struct query q = {.sql = "SELECT coalesce(max(id),0)+1 FROM outbox"};

	return one_number(db, &q, ret);
}

static int take_outbox(struct walk *w, sqlite3_stmt *st)
{
	const struct outbox_row row = {.id = sqlite3_column_int64(st, 0),
				       .event = sqlite3_column_int64(st, 1),
				       .incident = sqlite3_column_int64(st, 2),
				       .channel = db_slice(st, 3),
				       .op = sqlite3_column_int(st, 4),
				       .severity = sqlite3_column_int(st, 5),
				       .state = (enum outbox_state)sqlite3_column_int(st, 6),
				       .reason = db_slice(st, 7),
				       .facts = db_slice(st, 8),
				       .attempts = sqlite3_column_int(st, 9),
				       .created_ns = sqlite3_column_int64(st, 10),
				       .next_ns = sqlite3_column_int64(st, 11),
				       .sent_ns = sqlite3_column_int64(st, 12),
				       .last_status = sqlite3_column_int(st, 13),
				       .last_error = db_slice(st, 14)};

	return w->visit.outbox(w->ctx, &row);
}

/* Some words are for SQLite's choice of an index: messages of an incident are few, what is recent is found by its time,
 * and a partial index fits only where its own condition stands. */
static void add_outbox_conditions(struct query *q, const struct outbox_filter *f)
{
	bool few = f->incident != 0 || f->event > 0 || f->id != 0 || (f->since_ns > 0 && f->due_ns <= 0);

	if (f->state >= 0)
		add_number(q, few ? " AND +state=?" : " AND state=?", f->state);
	if (!few && f->due_ns > 0 && (f->state == OUTBOX_QUEUED || f->state == OUTBOX_HELD))
		add(q, " AND state IN (0,3)");
	if (f->channel.p)
		add_text(q, few ? " AND +channel=?" : " AND channel=?", f->channel);
	if (f->incident != 0)
		add_number(q, " AND incident=?", f->incident);
	if (f->event != 0)
		add_number(q, " AND event=?", f->event);
	if (f->event > 0)
		add(q, " AND event>0");
	if (f->id != 0)
		add_number(q, " AND id=?", f->id);
	if (f->since_ns > 0)
		add_number(q, " AND created>=?", f->since_ns);
	if (f->due_ns > 0)
		add_number(q, " AND next<=?", f->due_ns);
}
_Static_assert(OUTBOX_QUEUED == 0 && OUTBOX_HELD == 3, "the numbers in the text and in db.c");

int alerts_each_outbox(struct sqlite3 *db, const struct outbox_filter *f,
		       int (*visit)(void *ctx, const struct outbox_row *), void *ctx)
{
	struct walk w = {.take = take_outbox, .visit.outbox = visit, .ctx = ctx};
	struct query q = {.n = 0};

	if (f->limit == 0 || f->limit > LIMIT_MAX)
		return BUR_INVALID;
	add(&q, "SELECT id,event,incident,channel,op,severity,state,reason,facts,attempts,created,next,sent,status,"
		"error FROM outbox WHERE id IN (SELECT id FROM outbox WHERE true");
	add_outbox_conditions(&q, f);
	add(&q, f->due_ns > 0 ? " ORDER BY next,id" : f->since_ns > 0 ? " ORDER BY +id DESC" : " ORDER BY id DESC");
	add_number(&q, " LIMIT ?", (int64_t)f->limit);
	add(&q, f->due_ns > 0 ? ") ORDER BY next,id" : ") ORDER BY id DESC");
	return each_of(db, &q, &w);
}

int alerts_count_outbox(struct sqlite3 *db, struct slice channel, enum outbox_state state, int64_t *ret)
{
	struct query q = {.n = 0};

	add_number(&q, "SELECT count(*) FROM outbox WHERE state=?", state);
	if (channel.p)
		add_text(&q, " AND channel=?", channel);
	return one_number(db, &q, ret);
}

static int take_try(struct walk *w, sqlite3_stmt *st)
{
	const struct delivery_try row = {.outbox = sqlite3_column_int64(st, 0),
					 .attempt = sqlite3_column_int(st, 1),
					 .ts_ns = sqlite3_column_int64(st, 2),
					 .success = sqlite3_column_int(st, 3) != 0,
					 .status = sqlite3_column_int(st, 4),
					 .took_ms = sqlite3_column_int64(st, 5),
					 .error = db_slice(st, 6)};

	return w->visit.delivery(w->ctx, &row);
}

int alerts_each_try(struct sqlite3 *db, int64_t outbox, int (*visit)(void *ctx, const struct delivery_try *), void *ctx)
{
	struct walk w = {.take = take_try, .visit.delivery = visit, .ctx = ctx};
	struct query q = {.n = 0};

	add_number(&q,
		   "SELECT outbox,attempt,ts,success,status,took_ms,error FROM delivery WHERE outbox=?"
		   " ORDER BY ts,attempt",
		   outbox);
	return each_of(db, &q, &w);
}

/* --- told, mutes, channels ---------------------------------------------------------------------------------------- */

static int take_told(struct walk *w, sqlite3_stmt *st)
{
	const struct told row = {.incident = sqlite3_column_int64(st, 0),
				 .channel = db_slice(st, 1),
				 .ref = db_slice(st, 2),
				 .severity = sqlite3_column_int(st, 3),
				 .ts_ns = sqlite3_column_int64(st, 4),
				 .resolved = sqlite3_column_int(st, 5) != 0};

	return w->visit.told(w->ctx, &row);
}

int alerts_each_told(struct sqlite3 *db, int64_t incident, int (*visit)(void *ctx, const struct told *), void *ctx)
{
	struct walk w = {.take = take_told, .visit.told = visit, .ctx = ctx};
	struct query q = {.n = 0};

	add(&q, "SELECT incident,channel,ref,severity,ts,resolved FROM told WHERE ");
	if (incident != 0)
		add_number(&q, "incident=?", incident);
	else
		add(&q, "incident IN (SELECT id FROM incident WHERE state<>2)");
	add(&q, " ORDER BY incident,channel");
	return each_of(db, &q, &w);
}

static int take_mute(struct walk *w, sqlite3_stmt *st)
{
	const struct mute row = {.id = sqlite3_column_int64(st, 0),
				 .budget = db_slice(st, 1),
				 .label = db_slice(st, 2),
				 .value = db_slice(st, 3),
				 .type = db_slice(st, 4),
				 .from_ns = sqlite3_column_int64(st, 5),
				 .until_ns = sqlite3_column_int64(st, 6),
				 .by = db_slice(st, 7),
				 .reason = db_slice(st, 8)};

	return w->visit.mute(w->ctx, &row);
}

int alerts_each_mute(struct sqlite3 *db, int64_t now_ns, int (*visit)(void *ctx, const struct mute *), void *ctx)
{
	struct walk w = {.take = take_mute, .visit.mute = visit, .ctx = ctx};
	struct query q = {.n = 0};

	add_number(&q, "SELECT id,budget,label,value,type,begins,ends,actor,reason FROM mute WHERE ends>? ORDER BY id",
		   now_ns);
	return each_of(db, &q, &w);
}

static int take_channel(struct walk *w, sqlite3_stmt *st)
{
	const struct channel_state row = {.channel = db_slice(st, 0),
					  .why = db_slice(st, 1),
					  .disabled = sqlite3_column_int(st, 2) != 0,
					  .since_ns = sqlite3_column_int64(st, 3),
					  .sent = sqlite3_column_int64(st, 4),
					  .failed = sqlite3_column_int64(st, 5),
					  .took_ms = sqlite3_column_int64(st, 6),
					  .last_ns = sqlite3_column_int64(st, 7)};

	return w->visit.channel(w->ctx, &row);
}

int alerts_each_channel(struct sqlite3 *db, int (*visit)(void *ctx, const struct channel_state *), void *ctx)
{
	struct walk w = {.take = take_channel, .visit.channel = visit, .ctx = ctx};
	const struct query q = {
	    .sql = "SELECT channel,why,disabled,since,sent,failed,took_ms,last FROM channel_state ORDER BY channel"};

	return each_of(db, &q, &w);
}
