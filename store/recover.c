#include <stdio.h>
#include <string.h>

#include "base/amount.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "store/internal.h"

#define RECOVERY_TOLD_S 3600 /* a start after a crash is news for so long */

/* --- journal into ledger ------------------------------------------------------------------------------------------ */

/* The call's own words: what the journal kept of trace and tags, as JSON for the column `extra`. The slot's note holds
 * it until the row is written. */
static struct slice trace_extra(const struct journal_entry *e, struct end_note *note)
{
	struct slice trace = slice_mem((const char *)e->trace, strnlen((const char *)e->trace, sizeof e->trace));
	char text[6 * sizeof e->trace + 1];
	int n;

	if (trace.n == 0)
		return SLICE_NONE;
	(void)json_escape(trace, text, sizeof text);
	n = snprintf(note->extra, sizeof note->extra, "{\"trace\":\"%s\"}", text);
	CHECK(n > 0 && (size_t)n < sizeof note->extra);
	return slice_mem(note->extra, (size_t)n);
}

/* What is known of the cost: settled calls have it, sent ones are charged the worst case. */
static void conclude(struct journal_entry *e, uint32_t last_id)
{
	e->cell.flags |= ROW_RECOVERED;
	if (e->state == SLOT_SENT) {
		e->cell.actual_nanousd = e->cell.worst_nanousd;
		e->cell.source = SOURCE_WORST;
		e->cell.flags |= ROW_ESTIMATED;
		/* Its bill may be learned later; what was fetched to learn another's is not known. */
		if (e->cell.flags & ROW_LATE)
			e->cell.late_key = 0;
		if (e->cell.late_key != 0)
			e->cell.flags |= ROW_PENDING;
		e->cell.flags &= ~ROW_LATE;
	}
	for (int i = 0; i < JOURNAL_NAMES; i++) {
		if (e->ids[i] > last_id)
			e->ids[i] = 0; /* lost in a power cut; the number will go to another name */
	}
}

static void report_row(const struct row *r, struct recovery_report *rep)
{
	if (!r->fresh)
		return;
	if (!r->charged) {
		rep->settled++;
		return;
	}
	rep->charged_worst++;
	if (__builtin_add_overflow(rep->charged_nanousd, r->v[R_AMOUNT], &rep->charged_nanousd))
		rep->charged_nanousd = INT64_MAX;
}

static int flush(struct writer *w, struct recovery_report *rep)
{
	int rc = writer_flush(w);

	for (size_t i = 0; i < w->n_rows && rc == SQLITE_OK; i++)
		report_row(&w->rows[i], rep);
	w->n_rows = 0;
	return rc;
}

static int recover_slot(struct store *s, uint32_t slot, uint32_t last_id, struct recovery_report *rep)
{
	struct journal_entry e;
	int r = journal_read(s->journal, slot, &e);

	if (r == BUR_NOTFOUND)
		return SQLITE_OK;
	if (r == BUR_CORRUPT) {
		rep->quarantined++;
		return writer_quarantine(&s->writer, slot, journal_raw(s->journal, slot), clock_wall_ns());
	}
	if (e.state == SLOT_RESERVED) {
		rep->voided++; /* nothing was sent, nothing is owed */
		return SQLITE_OK;
	}
	conclude(&e, last_id);
	if (e.cell.flags & ROW_LATE)
		return SQLITE_OK; /* after all others, see recover_late */
	writer_row(&s->writer, &e, clock_wall_ns(), trace_extra(&e, &s->ends[slot]), s->names);
	s->writer.rows[s->writer.n_rows - 1].charged = e.state == SLOT_SENT;
	return s->writer.n_rows == BATCH_ROWS ? flush(&s->writer, rep) : SQLITE_OK;
}

static int recover_late(struct store *s, uint32_t slot, uint32_t last_id, struct recovery_report *rep)
{
	struct writer *w = &s->writer;
	struct journal_entry e;
	int rc;

	if (journal_read(s->journal, slot, &e) != BUR_OK || e.state != SLOT_SETTLED || !(e.cell.flags & ROW_LATE))
		return SQLITE_OK;
	conclude(&e, last_id);
	rc = late_call(w, &e, clock_wall_ns(), trace_extra(&e, &s->ends[slot]), s->names);
	rep->settled += (uint32_t)w->n_rows;
	w->n_rows = w->n_posts = 0; /* the counters are read after this */
	return rc;
}

static int recover_rows(struct store *s, struct recovery_report *rep)
{
	uint32_t last_id = names_last_id(s->names);
	int rc = SQLITE_OK;

	for (uint32_t i = 0; i < journal_slots(s->journal) && rc == SQLITE_OK; i++)
		rc = recover_slot(s, i, last_id, rep);
	if (rc == SQLITE_OK)
		rc = flush(&s->writer, rep);
	for (uint32_t i = 0; i < journal_slots(s->journal) && rc == SQLITE_OK; i++)
		rc = recover_late(s, i, last_id, rep);
	return rc;
}

static void release_all(struct store *s)
{
	struct journal_entry e;

	for (uint32_t i = 0; i < journal_slots(s->journal); i++) {
		if (journal_read(s->journal, i, &e) != BUR_NOTFOUND)
			journal_release(s->journal, i);
	}
}

static bool any_corrupt(const struct store *s)
{
	struct journal_entry e;

	for (uint32_t i = 0; i < journal_slots(s->journal); i++) {
		if (journal_read(s->journal, i, &e) == BUR_CORRUPT)
			return true;
	}
	return false;
}

/* What happened, for people; written with the rows. */
static int tell_charged(struct store *s, const struct recovery_report *rep, int64_t now_ns)
{
	char text[250], details[160], usd[AMOUNT_TEXT_MAX];
	const struct own_event e = {.kind = "system.degraded",
				    .object = "recovery",
				    .message = text,
				    .severity = "warning",
				    .details = details,
				    .since_s = now_ns / NS_PER_S,
				    .part = s->boot,
				    .at_ns = now_ns,
				    .ends_s = now_ns / NS_PER_S + RECOVERY_TOLD_S,
				    .state = NOTE_BEGAN};

	(void)snprintf(text, sizeof text,
		       "bursar did not end in order: %u call%s under way and charged the most possible, %s USD in all,"
		       " until the bill says otherwise",
		       rep->charged_worst, rep->charged_worst == 1 ? " was" : "s were",
		       amount_format_usd(rep->charged_nanousd, usd));
	(void)snprintf(details, sizeof details, "\"calls\":%u,\"charged_nanos\":%lld,\"settled\":%u,\"voided\":%u",
		       rep->charged_worst, (long long)rep->charged_nanousd, rep->settled, rep->voided);
	return event_put(&s->writer, &e);
}

static int tell_recovery(struct store *s, const struct recovery_report *rep)
{
	int64_t now_ns = clock_wall_ns();
	int rc = SQLITE_OK;

	if (rep->quarantined > 0)
		rc = event_of_quarantine(&s->writer, rep->quarantined, s->boot, now_ns);
	if (rep->charged_worst > 0 && rc == SQLITE_OK)
		rc = tell_charged(s, rep, now_ns);
	kill_point();
	return rc;
}

int recover_journal(struct store *s, struct recovery_report *rep)
{
	struct writer *w = &s->writer;
	int rc;

	if (s->cfg.strict_journal && any_corrupt(s))
		return BUR_CORRUPT;
	rc = writer_begin(w);
	if (rc == SQLITE_OK)
		rc = names_mirror(s->names, w->st[W_NAME], w->st[W_METER_DEF]);
	if (rc == SQLITE_OK)
		rc = recover_rows(s, rep);
	if (rc == SQLITE_OK)
		rc = tell_recovery(s, rep);
	if (rc == SQLITE_OK)
		rc = seal_end(&w->seal, clock_wall_ns());
	if (rc == SQLITE_OK)
		rc = writer_commit(w);
	if (rc != SQLITE_OK) {
		db_rollback(w->db);
		seal_unknown(&w->seal);
		return db_is_damage(rc) ? BUR_CORRUPT : BUR_IO;
	}
	names_mirrored(s->names);
	seal_committed(&w->seal);
	release_all(s);
	return BUR_OK;
}

/* --- counters against postings ------------------------------------------------------------------------------------ */

/* A small ledger is summed whole; a large one from the last check on, so that start-up stays short. */
#define FULL_CHECK_ROWS 250000

static int collect_sums(sqlite3 *db, int64_t after_seq)
{
	sqlite3_stmt *st = NULL;
	int rc = db_exec(db, "CREATE TEMP TABLE sums(meter_uid INTEGER, win_start INTEGER, n INTEGER,"
			     " PRIMARY KEY(meter_uid,win_start)) WITHOUT ROWID");

	if (rc == SQLITE_OK)
		rc = db_prepare(db,
				"INSERT INTO temp.sums SELECT meter_uid,win_start,sum(amount) FROM posting WHERE seq>?1"
				" GROUP BY meter_uid,win_start",
				&st);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 1, after_seq);
	if (rc == SQLITE_OK)
		rc = db_run(st);
	(void)sqlite3_finalize(st);
	return rc;
}

#define DIFFERS "m.posted_n<>m.checked_n+coalesce(s.n,0)"
#define COUNTERS_TOLD 5

/* Some of the counters that will be repaired, as members of JSON. */
static int list_differing(sqlite3 *db, char *dst, size_t size)
{
	char budget[256], scope[256];
	sqlite3_stmt *st = NULL;
	size_t n = (size_t)snprintf(dst, size, "\"counters\":[");
	int rc = db_prepare(db,
			    "SELECT coalesce(d.budget,''),coalesce(d.scope,''),m.win_start,m.posted_n,"
			    "m.checked_n+coalesce(s.n,0) FROM meter m LEFT JOIN temp.sums s ON s.meter_uid=m.meter_uid"
			    " AND s.win_start=m.win_start LEFT JOIN meter_def d ON d.uid=m.meter_uid WHERE " DIFFERS
			    " LIMIT ?1",
			    &st);

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int(st, 1, COUNTERS_TOLD);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	for (bool first = true; rc == SQLITE_ROW; first = false, rc = sqlite3_step(st)) {
		(void)json_escape(db_slice(st, 0), budget, sizeof budget);
		(void)json_escape(db_slice(st, 1), scope, sizeof scope);
		n += (size_t)snprintf(
		    dst + n, size - n,
		    "%s{\"budget\":\"%s\",\"scope\":\"%s\",\"win_start\":%lld,\"was\":%lld,\"is\":%lld}",
		    first ? "" : ",", budget, scope, (long long)sqlite3_column_int64(st, 2),
		    (long long)sqlite3_column_int64(st, 3), (long long)sqlite3_column_int64(st, 4));
		CHECK(n < size);
	}
	(void)sqlite3_finalize(st);
	n += (size_t)snprintf(dst + n, size - n, "]");
	CHECK(n < size);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int tell_repair(struct store *s, const char *object, const char *severity, const char *message,
		       const char *details)
{
	int64_t now_ns = clock_wall_ns();
	const struct own_event e = {.kind = "ledger.repaired",
				    .object = object,
				    .message = message,
				    .severity = severity,
				    .details = details,
				    .since_s = now_ns / NS_PER_S,
				    .part = s->boot,
				    .at_ns = now_ns,
				    .state = NOTE_BEGAN};

	return event_put(&s->writer, &e);
}

static int repair(struct store *s, bool whole, uint64_t *ret_repaired)
{
	char details[COUNTERS_TOLD * 700], text[120];
	sqlite3 *db = s->writer.db;
	/* checked_n is what the counter was at the last check; a whole check starts from nothing. */
	int rc = whole ? db_exec(db, "UPDATE meter SET checked_n=0 WHERE checked_n<>0") : SQLITE_OK;

	if (rc == SQLITE_OK)
		rc = db_exec(db, "INSERT INTO meter(meter_uid,win_start,posted_n) SELECT meter_uid,win_start,0"
				 " FROM temp.sums WHERE n<>0 ON CONFLICT DO NOTHING");
	if (rc == SQLITE_OK)
		rc = list_differing(db, details, sizeof details);
	if (rc == SQLITE_OK)
		rc = db_exec(db, "UPDATE meter SET posted_n=checked_n+coalesce((SELECT n FROM temp.sums s"
				 " WHERE s.meter_uid=meter.meter_uid AND s.win_start=meter.win_start),0)"
				 " WHERE posted_n<>checked_n+coalesce((SELECT n FROM temp.sums s"
				 " WHERE s.meter_uid=meter.meter_uid AND s.win_start=meter.win_start),0)");
	*ret_repaired = rc == SQLITE_OK ? (uint64_t)sqlite3_changes(db) : 0;
	if (rc == SQLITE_OK)
		rc = db_exec(db, "UPDATE meter SET checked_n=posted_n WHERE checked_n<>posted_n");
	if (rc != SQLITE_OK || *ret_repaired == 0)
		return rc;
	(void)snprintf(text, sizeof text, "%llu counter%s not the sum of what was posted and set right",
		       (unsigned long long)*ret_repaired, *ret_repaired == 1 ? " was" : "s were");
	return tell_repair(s, "counters", "error", text, details);
}

int recover_meters(struct store *s, uint64_t *ret_repaired)
{
	sqlite3 *db = s->writer.db;
	int64_t last = 0, checked = 0;
	int rc, r;

	*ret_repaired = 0;
	r = db_meta_int(db, "checked_seq", 0, &checked);
	if (r < 0)
		return r;
	rc = db_scalar(db, "SELECT coalesce(max(seq),0) FROM ledger", &last);
	if (rc == SQLITE_OK)
		rc = db_exec(db, "BEGIN IMMEDIATE");
	if (last <= FULL_CHECK_ROWS)
		checked = 0;
	if (rc == SQLITE_OK)
		rc = collect_sums(db, checked);
	if (rc == SQLITE_OK)
		rc = repair(s, checked == 0, ret_repaired);
	kill_point();
	if (rc == SQLITE_OK && db_meta_set_int(db, "checked_seq", last) < 0)
		rc = SQLITE_IOERR;
	if (rc == SQLITE_OK)
		rc = db_exec(db, "DROP TABLE temp.sums");
	if (rc == SQLITE_OK)
		rc = db_exec(db, "COMMIT");
	if (rc != SQLITE_OK)
		db_rollback(db);
	return db_err(rc);
}

/* --- sums by time ------------------------------------------------------------------------------------------------- */

/* They change in the transactions of their rows and cannot differ, unless other hands were at the database. */
int recover_rollups(struct store *s, bool *ret_repaired)
{
	sqlite3 *db = s->writer.db;
	int64_t rows = 0, differ = 0;
	int rc = db_scalar(db, "SELECT coalesce(max(seq),0) FROM ledger", &rows);

	*ret_repaired = false;
	if (rc == SQLITE_OK && rows <= FULL_CHECK_ROWS)
		rc = db_scalar(db,
			       "SELECT (SELECT total(amount_n) FROM ledger)<>(SELECT total(amount_n) FROM rollup WHERE"
			       " kind=7) OR (SELECT total(kind=1) FROM ledger)<>(SELECT total(calls) FROM rollup WHERE"
			       " kind=7)",
			       &differ);
	if (rc != SQLITE_OK || differ == 0)
		return db_err(rc);
	rc = db_exec(db, "BEGIN IMMEDIATE");
	if (rc == SQLITE_OK)
		rc = rollup_rebuild(db);
	if (rc == SQLITE_OK)
		rc = tell_repair(s, "sums", "warning", "Sums by time were not those of the ledger and were made anew",
				 NULL);
	if (rc == SQLITE_OK)
		rc = db_exec(db, "COMMIT");
	if (rc != SQLITE_OK)
		db_rollback(db);
	*ret_repaired = rc == SQLITE_OK;
	return db_err(rc);
}
