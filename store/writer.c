#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/amount.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "store/fault.h"

static const char *const texts[W_COUNT] = {
    [W_BEGIN] = "BEGIN IMMEDIATE",
    [W_COMMIT] = "COMMIT",
    [W_ROWS] = "INSERT INTO ledger(seq," LEDGER_COLUMNS ") SELECT * FROM batch_rows WHERE true"
	       " ON CONFLICT(uid) DO NOTHING",
    [W_POSTINGS] = "INSERT INTO posting(seq,meter_uid,win_start,amount) SELECT * FROM batch_postings",
    /* Saturates: a sum beyond int64 would become a real number, which the table refuses for ever. */
    [W_SUMS] = "INSERT INTO meter(meter_uid,win_start,posted_n,last_ts) SELECT * FROM batch_sums WHERE true"
	       " ON CONFLICT(meter_uid,win_start) DO UPDATE SET posted_n=CASE"
	       " WHEN excluded.posted_n>0 AND posted_n>9223372036854775807-excluded.posted_n THEN 9223372036854775807"
	       " ELSE posted_n+excluded.posted_n END, last_ts=max(last_ts,excluded.last_ts)",
    [W_IS_NEW] = "SELECT 1 FROM ledger WHERE seq=?1 AND uid=?2",
    [W_WARNED] = "INSERT INTO meter(meter_uid,win_start,win_end,limit_n,warned_mask) VALUES(?1,?2,?3,?4,?5)"
		 " ON CONFLICT(meter_uid,win_start) DO UPDATE SET win_end=?3,limit_n=?4,warned_mask=warned_mask|?5",
    /* `state` counts how often steps of the window were told anew: such an event is another one. */
    [W_EVENT] = "INSERT INTO event(ts,kind,uid,win_start,at_ppm,action,payload)"
		" SELECT ?1,?2,?3,?4,?5+(state<<32),?6,?7 FROM meter WHERE meter_uid=?3 AND win_start=?4"
		" ON CONFLICT DO NOTHING",
    [W_QUARANTINE] = "INSERT INTO journal_quarantine(ts,slot,raw) VALUES(?1,?2,?3)",
    [W_NAME] = "INSERT INTO name(id,kind,text) VALUES(?1,?2,?3) ON CONFLICT(id) DO NOTHING",
    [W_METER_DEF] = "INSERT INTO meter_def(uid,budget,scope,unit) VALUES(?1,?2,?3,?4) ON CONFLICT(uid) DO NOTHING",
    [W_NAME_OF] = "SELECT text FROM name WHERE id=?1",
    [W_BUDGET_OF] = "SELECT budget FROM meter_def WHERE uid=?1",
    [W_UID] = "SELECT 1 FROM ledger WHERE uid=?1",
    [W_ROW_OF] = ROW_SELECT "WHERE uid=?1",
    [W_POSTINGS_OF] = "SELECT meter_uid,win_start,coalesce(unit,0) FROM posting LEFT JOIN meter_def ON uid=meter_uid"
		      " WHERE seq=?1 ORDER BY meter_uid,win_start",
    [W_CALL_OF] = CALL_SELECT,
    [W_LATE_FIND] = "SELECT uid,state,bills FROM late WHERE key=?1",
    [W_LATE_ADD] = "INSERT INTO late(key,uid,state,bills,ts) VALUES(?1,?2,?3,0,?4) ON CONFLICT(key) DO NOTHING",
    [W_LATE_SET] = "UPDATE late SET state=?2,bills=bills+1 WHERE key=?1",
    [W_LATE_ALSO] = "INSERT INTO late(key,uid,state,bills,ts) SELECT ?2,uid,state,0,?3 FROM late WHERE key=?1"
		    " ON CONFLICT(key) DO NOTHING",
    [W_LATE_OVER] = "DELETE FROM late WHERE id IN (SELECT id FROM late WHERE id<=(SELECT max(id) FROM late)-?1"
		    " ORDER BY id LIMIT ?2)",
    [W_LATE_OLD] = "DELETE FROM late WHERE id IN (SELECT id FROM (SELECT id,ts FROM late ORDER BY id LIMIT ?2)"
		   " WHERE ts<?1)",
    [W_NOTE] = "INSERT INTO event(ts,kind,uid,win_start,at_ppm,action,payload) VALUES(?1,?2,?3,?4,?5,?6,?7)"
	       " ON CONFLICT DO NOTHING",
};

int writer_init(struct writer *w)
{
	int rc;

	w->rows = malloc(BATCH_ROWS * sizeof *w->rows);
	w->sums = calloc(SUMS_SIZE, sizeof *w->sums);
	w->sums_used = malloc(SUMS_SIZE * sizeof *w->sums_used);
	w->posts = malloc(POSTS_MAX * sizeof *w->posts);
	w->unsure = malloc(POSTS_MAX * sizeof *w->unsure);
	if (!w->rows || !w->sums || !w->sums_used || !w->posts || !w->unsure)
		return BUR_NOMEM;
	rc = batch_register(w);
	for (int i = 0; i < W_COUNT && rc == SQLITE_OK; i++)
		rc = db_prepare(w->db, texts[i], &w->st[i]);
	if (rc == SQLITE_OK)
		rc = seal_init(&w->seal, w->db);
	return db_err(rc);
}

void writer_done(struct writer *w)
{
	for (int i = 0; i < W_COUNT; i++)
		(void)sqlite3_finalize(w->st[i]);
	seal_done(&w->seal);
	free(w->rows);
	free(w->sums);
	free(w->sums_used);
	free(w->posts);
	free(w->unsure);
	(void)sqlite3_close(w->db);
	*w = (struct writer){0};
}

/* --- rows ------------------------------------------------------------------------------------------------------ */

static int64_t posting_amount(const struct journal_cell *c, int unit)
{
	switch (unit) {
	case UNIT_TOKENS:
		return (int64_t)c->input_tokens + c->output_tokens;
	case UNIT_REQUESTS:
		return c->requests; /* 0 when the vendor refused the call */
	default:
		return c->actual_nanousd;
	}
}

static int posting_order(const struct posting *a, const struct posting *b)
{
	if (a->meter_uid != b->meter_uid)
		return a->meter_uid < b->meter_uid ? -1 : 1;
	return (a->win_start > b->win_start) - (a->win_start < b->win_start);
}

/* Keeps the postings in the table's order, which the seal needs; one counter is posted to once. */
static void posting_add(struct row *r, const struct posting *p)
{
	size_t i = r->n_postings;

	while (i > 0 && posting_order(p, &r->postings[i - 1]) < 0)
		i--;
	if (i > 0 && posting_order(p, &r->postings[i - 1]) == 0)
		return;
	memmove(&r->postings[i + 1], &r->postings[i], (r->n_postings - i) * sizeof *p);
	r->postings[i] = *p;
	r->n_postings++;
}

static void row_units(struct row *r, const struct journal_cell *c)
{
	r->v[R_INPUT] = c->input_tokens;
	r->v[R_OUTPUT] = c->output_tokens;
	r->v[R_CACHED] = c->cached_tokens;
	r->v[R_CACHE_WRITE] = c->cache_write_tokens;
	r->v[R_CACHE_WRITE_1H] = c->cache_write_1h_tokens;
	r->v[R_REASONING] = c->reasoning_tokens;
	r->v[R_REQUESTS] = c->requests;
	r->v[R_SEARCHES] = c->searches;
	r->v[R_TIER] = c->tier;
	r->v[R_STATUS] = c->status;
}

static void row_postings(struct row *r, const struct journal_entry *e, struct names *names)
{
	struct meter_def def;

	r->n_postings = 0;
	for (size_t i = 0; i < e->n_meters; i++) {
		struct posting p = {.meter_uid = (int64_t)e->meters[i].uid, .win_start = e->meters[i].win_start};

		p.unit = names_meter_find(names, e->meters[i].uid, &def) ? def.unit : UNIT_USD;
		p.amount = posting_amount(&e->cell, p.unit);
		posting_add(r, &p);
	}
}

void writer_row(struct writer *w, const struct journal_entry *e, int64_t settled_ns, struct slice extra,
		struct names *names)
{
	const struct journal_cell *c = &e->cell;
	struct row *r = &w->rows[w->n_rows];

	CHECK(w->n_rows < BATCH_ROWS);
	w->n_rows++;
	memcpy(r->uid, e->uid, sizeof r->uid);
	r->has_ref = r->malformed = r->fresh = r->charged = false;
	r->extra = extra.n > 0 ? extra : SLICE_NONE;
	r->v[R_KIND] = LEDGER_SPEND;
	r->v[R_TS_ADMIT] = e->created_ns;
	r->v[R_TS_SETTLE] = settled_ns;
	r->v[R_NODE] = 0;
	r->v[R_AMOUNT] = c->actual_nanousd;
	r->v[R_WORST] = c->worst_nanousd;
	r->v[R_SOURCE] = c->source;
	r->v[R_FLAGS] = c->flags | e->flags;
	for (int i = 0; i < JOURNAL_NAMES; i++)
		r->v[R_IDS + i] = e->ids[i];
	row_units(r, c);
	r->v[R_PRICE_VERSION] = e->price_version;
	r->v[R_FX_PPB] = 0;
	r->late_key = c->late_key;
	row_postings(r, e, names);
}

static struct meter_sum *sum_of(struct writer *w, int64_t uid, int64_t win_start)
{
	uint64_t h =
	    ((uint64_t)uid ^ (uint64_t)win_start * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xff51afd7ed558ccd);
	struct meter_sum *m;

	for (uint32_t i = (uint32_t)(h >> 32);; i++) {
		m = &w->sums[i % SUMS_SIZE];
		if (m->used && m->uid == uid && m->win_start == win_start)
			return m;
		if (!m->used)
			break;
	}
	*m = (struct meter_sum){.uid = uid, .win_start = win_start, .used = true};
	w->sums_used[w->n_sums++] = (uint32_t)(m - w->sums);
	return m;
}

static void sum_add(struct writer *w, const struct row *r)
{
	for (size_t i = 0; i < r->n_postings; i++) {
		struct meter_sum *m = sum_of(w, r->postings[i].meter_uid, r->postings[i].win_start);

		if (__builtin_add_overflow(m->amount, r->postings[i].amount, &m->amount))
			m->amount = r->postings[i].amount > 0 ? INT64_MAX : INT64_MIN;
		if (r->v[R_TS_SETTLE] > m->last_ts)
			m->last_ts = r->v[R_TS_SETTLE];
	}
}

static void sums_clear(struct writer *w)
{
	for (size_t i = 0; i < w->n_sums; i++)
		w->sums[w->sums_used[i]].used = false;
	w->n_sums = 0;
}

/* Some ids were in the ledger already: a commit whose answer was lost, or recovery after recovery. */
static int find_fresh(struct writer *w)
{
	sqlite3_stmt *st = w->st[W_IS_NEW];
	int rc = SQLITE_DONE;

	for (size_t i = 0; i < w->n_rows && (rc == SQLITE_DONE || rc == SQLITE_ROW); i++) {
		(void)sqlite3_bind_int64(st, 1, w->rows[i].seq);
		(void)sqlite3_bind_blob(st, 2, w->rows[i].uid, sizeof w->rows[i].uid, SQLITE_STATIC);
		rc = sqlite3_step(st);
		w->rows[i].fresh = rc == SQLITE_ROW;
		(void)sqlite3_reset(st);
	}
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int insert_rows(struct writer *w)
{
	int rc;

	for (size_t i = 0; i < w->n_rows; i++) {
		w->rows[i].seq = w->seal.next_seq_to + 1 + (int64_t)i;
		w->rows[i].fresh = true;
	}
	rc = db_run(w->st[W_ROWS]);
	if (rc == SQLITE_OK && (size_t)sqlite3_changes(w->db) != w->n_rows)
		rc = find_fresh(w);
	return rc;
}

int writer_flush(struct writer *w)
{
	int rc;

	if (w->n_rows == 0)
		return SQLITE_OK;
	rc = insert_rows(w);
	kill_point();
	if (rc != SQLITE_OK)
		return rc;
	sums_clear(w);
	for (size_t i = 0; i < w->n_rows; i++) {
		if (w->rows[i].fresh) {
			sum_add(w, &w->rows[i]);
			seal_row(&w->seal, &w->rows[i]);
		}
	}
	rc = db_run(w->st[W_POSTINGS]);
	kill_point();
	if (rc == SQLITE_OK)
		rc = db_run(w->st[W_SUMS]);
	kill_point();
	for (size_t i = 0; i < w->n_rows && rc == SQLITE_OK; i++) {
		rc = late_note(w, &w->rows[i]);
		if (UNLIKELY(w->rows[i].v[R_FLAGS] & EVENT_FLAGS) && rc == SQLITE_OK)
			rc = event_of_row(w, &w->rows[i]);
	}
	return rc;
}

int writer_quarantine(struct writer *w, uint32_t slot, const void *raw, int64_t now_ns)
{
	sqlite3_stmt *st = w->st[W_QUARANTINE];

	(void)sqlite3_bind_int64(st, 1, now_ns);
	(void)sqlite3_bind_int64(st, 2, slot);
	(void)sqlite3_bind_blob(st, 3, raw, JOURNAL_SLOT_BYTES, SQLITE_STATIC);
	return db_run(st);
}

/* --- one batch ---------------------------------------------------------------------------------------------------- */

static void gather_events(struct store *s)
{
	struct writer *w = &s->writer;

	for (uint32_t i = 0; i < s->cfg.workers; i++)
		w->events[i] = (uint32_t)ring_len(&s->workers[i].events);
}

static bool gather(struct store *s)
{
	struct writer *w = &s->writer;
	bool any = names_pending(s->names);

	w->n_items = 0;
	memset(w->taken, 0, sizeof w->taken);
	any = late_gather(s) || any;
	any = note_gather(s) || any;
	any = trouble_gather(s) || any;
	gather_events(s); /* first: the row that crossed a threshold is then in this batch or before it */
	for (uint32_t k = 0; k < s->cfg.workers; k++) {
		uint32_t i = (w->turn + k) % s->cfg.workers;
		const uint32_t *slot;

		while (w->n_items < BATCH_ROWS && (slot = ring_peek(&s->workers[i].settled, w->taken[i])) != NULL) {
			w->items[w->n_items++] = (struct batch_item){.worker = i, .slot = *slot};
			w->taken[i]++;
		}
		any = any || w->taken[i] > 0 || w->events[i] > 0;
	}
	return any;
}

static int set_aside(struct store *s, uint32_t slot, int64_t now_ns)
{
	int rc = writer_quarantine(&s->writer, slot, journal_raw(s->journal, slot), now_ns);

	log_msg(LOG_ERROR, "store.quarantine", "journal slot %u changed under way; kept in journal_quarantine", slot);
	return rc == SQLITE_OK ? event_of_quarantine(&s->writer, 1, slot, now_ns) : rc;
}

static int add_item(struct store *s, const struct batch_item *it, int64_t now_ns)
{
	const struct end_note *end = &s->ends[it->slot];
	struct journal_entry e;

	if (journal_read(s->journal, it->slot, &e) < 0 || e.state != SLOT_SETTLED)
		return set_aside(s, it->slot, now_ns);
	if (UNLIKELY(e.cell.flags & ROW_LATE))
		s->writer.late[s->writer.n_late++] = *it;
	else
		writer_row(&s->writer, &e, end->settled_ns, slice_mem(end->extra, end->extra_n), s->names);
	return SQLITE_OK;
}

/* After all other rows of the batch: the call that the bill belongs to is then known. */
static int add_late(struct store *s)
{
	struct writer *w = &s->writer;
	int rc = SQLITE_OK;

	for (size_t i = 0; i < w->n_late && rc == SQLITE_OK; i++) {
		const struct end_note *end = &s->ends[w->late[i].slot];
		struct journal_entry e;

		CHECK(journal_read(s->journal, w->late[i].slot, &e) == BUR_OK);
		w->n_rows = 0;
		rc = late_call(w, &e, end->settled_ns, slice_mem(end->extra, end->extra_n), s->names);
		w->n_known += w->n_rows == 0;
	}
	w->n_rows = 0;
	return rc;
}

static int add_items(struct store *s, int64_t now_ns)
{
	struct writer *w = &s->writer;
	int rc = SQLITE_OK;

	w->n_late = w->n_known = 0;
	for (size_t i = 0; i < w->n_items && rc == SQLITE_OK; i++)
		rc = add_item(s, &w->items[i], now_ns);
	if (rc == SQLITE_OK)
		rc = writer_flush(w);
	for (size_t i = 0; i < w->n_rows; i++)
		w->n_known += !w->rows[i].fresh;
	if (rc == SQLITE_OK && w->n_late > 0)
		rc = late_names(s, now_ns);
	return rc == SQLITE_OK ? add_late(s) : rc;
}

static void report_known(const struct writer *w)
{
	if (w->n_known > 0 && !w->retrying)
		log_msg(LOG_ERROR, "store.ledger", "%zu calls have ids that are in the ledger already; left out",
			w->n_known);
}

/* The earliest of those that the workers have left; NULL: none. */
static const struct threshold_event *next_event(struct store *s, uint32_t done[STORE_WORKERS_MAX])
{
	const struct threshold_event *first = NULL;
	uint32_t from = 0;

	for (uint32_t i = 0; i < s->cfg.workers; i++) {
		const struct threshold_event *e =
		    done[i] < s->writer.events[i] ? ring_peek(&s->workers[i].events, done[i]) : NULL;

		if (e && (!first || e->at_ns < first->at_ns)) {
			first = e;
			from = i;
		}
	}
	done[from] += first != NULL;
	return first;
}

/* In the order of time over all workers: whoever is told of 100 % before 50 % wonders. */
static int add_events(struct store *s)
{
	uint32_t done[STORE_WORKERS_MAX] = {0};
	const struct threshold_event *e;
	int rc = SQLITE_OK;

	while (rc == SQLITE_OK && (e = next_event(s, done)))
		rc = event_of_step(&s->writer, e);
	return rc;
}

int writer_commit(struct writer *w)
{
	bool done;
	int rc, injected = fault_commit(&done);

	kill_step(KILL_COMMITTED, false);
	if (injected != SQLITE_OK && !done)
		return injected;
	rc = db_run(w->st[W_COMMIT]);
	kill_step(KILL_COMMITTED, true);
	return injected != SQLITE_OK ? injected : rc;
}

int writer_begin(struct writer *w)
{
	int rc;

	w->n_rows = w->n_posts = w->n_unknown = w->n_late_keys = 0;
	kill_point();
	rc = db_run(w->st[W_BEGIN]);
	return rc == SQLITE_OK ? seal_begin(&w->seal, w->db) : rc;
}

static int write_batch(struct store *s)
{
	struct writer *w = &s->writer;
	int64_t now_ns = clock_wall_ns();
	int rc = writer_begin(w);

	if (rc == SQLITE_OK)
		rc = names_mirror(s->names, w->st[W_NAME], w->st[W_METER_DEF]);
	if (rc == SQLITE_OK)
		rc = posts_resolve(s);
	if (rc == SQLITE_OK)
		rc = add_items(s, now_ns);
	if (rc == SQLITE_OK)
		rc = late_bills(s, now_ns);
	if (rc == SQLITE_OK)
		rc = late_prune(w, now_ns);
	if (rc == SQLITE_OK)
		rc = add_events(s);
	if (rc == SQLITE_OK)
		rc = note_tells(s);
	if (rc == SQLITE_OK)
		rc = trouble_write(s);
	if (rc == SQLITE_OK)
		rc = seal_end(&w->seal, now_ns);
	if (rc == SQLITE_OK)
		rc = writer_commit(w);
	return rc;
}

/* After the commit, and only then: the slots go back. */
static void batch_done(struct store *s)
{
	struct writer *w = &s->writer;

	note_committed(s);
	trouble_committed(s);
	/* First: a worker that has its slot back may settle it again, and there is one place per slot. */
	for (uint32_t i = 0; i < s->cfg.workers; i++) {
		ring_release(&s->workers[i].settled, w->taken[i]);
		ring_release(&s->workers[i].events, w->events[i]);
	}
	for (size_t i = 0; i < w->n_items; i++) {
		struct worker *k = &s->workers[w->items[i].worker];
		uint32_t slot = w->items[i].slot, *back;

		journal_release(s->journal, slot);
		atomic_fetch_add_explicit(&k->written_nanousd, s->ends[slot].amount_nanousd, memory_order_relaxed);
		atomic_fetch_add_explicit(&k->released, 1, memory_order_relaxed);
		back = ring_claim(&k->back);
		CHECK(back);
		*back = slot;
		ring_publish(&k->back);
	}
	atomic_fetch_add_explicit(&s->health.rows, w->n_items, memory_order_relaxed);
	w->turn = (w->turn + 1) % s->cfg.workers;
}

static int batch(struct store *s, size_t *ret_n)
{
	struct writer *w = &s->writer;
	int64_t none = 0;
	char cause[160];
	int rc;

	*ret_n = 0;
	if (!gather(s))
		return BUR_OK;
	(void)atomic_compare_exchange_strong(&s->health.busy_since_ns, &none, clock_mono_ns());
	rc = write_batch(s);
	if (rc != SQLITE_OK) {
		(void)snprintf(cause, sizeof cause, "%s", sqlite3_errstr(rc));
		db_rollback(w->db);
		seal_unknown(&w->seal);
		note_unknown(w);
		posts_failed(w);
		w->retrying = true;
		health_failed(s, rc, cause);
		return db_err(rc);
	}
	*ret_n = w->n_items > w->n_bills ? w->n_items : w->n_bills;
	report_known(w);
	w->retrying = false;
	names_mirrored(s->names);
	seal_committed(&w->seal);
	posts_committed(s);
	late_committed(s);
	batch_done(s);
	health_committed(s);
	return BUR_OK;
}

int writer_drain(struct store *s)
{
	uint32_t most = s->cfg.journal_slots / BATCH_ROWS + s->cfg.workers + 1; /* what was there when it began */
	size_t n = 0;
	int r;

	do {
		r = s->health.damaged ? BUR_CORRUPT : batch(s, &n);
	} while (r == BUR_OK && n == BATCH_ROWS && --most > 0);
	return r;
}

/* --- other people's transactions ---------------------------------------------------------------------------------- */

static int run_in_transaction(struct store *s, int (*fn)(sqlite3 *, void *), void *arg)
{
	struct writer *w = &s->writer;
	int rc, r = BUR_IO;

	w->n_posts = 0;
	rc = db_run(w->st[W_BEGIN]);
	if (rc == SQLITE_OK)
		rc = names_mirror(s->names, w->st[W_NAME], w->st[W_METER_DEF]);
	if (rc == SQLITE_OK)
		rc = posts_resolve(s);
	if (rc == SQLITE_OK)
		r = fn(w->db, arg);
	if (rc == SQLITE_OK && r < 0 && db_is_damage(sqlite3_extended_errcode(w->db)))
		rc = sqlite3_extended_errcode(w->db); /* what fn met, whatever it calls it */
	if (rc == SQLITE_OK && r == BUR_OK) {
		rc = seal_catch_up(&w->seal, w->db, clock_wall_ns());
		if (rc == SQLITE_OK)
			rc = writer_commit(w);
	}
	if (rc == SQLITE_OK && r == BUR_OK) {
		names_mirrored(s->names);
		seal_committed(&w->seal);
		posts_committed(s);
		return BUR_OK;
	}
	if (db_is_damage(rc))
		health_damaged(s, sqlite3_errstr(rc));
	db_rollback(w->db);
	seal_unknown(&w->seal);
	note_unknown(w);
	posts_failed(w);
	return rc != SQLITE_OK ? BUR_IO : r;
}

/* The writer's own batches cannot break a reference and are spared the look-ups; other people's statements can. */
int writer_execute(struct store *s, int (*fn)(sqlite3 *, void *), void *arg)
{
	int r;

	if (db_exec(s->writer.db, "PRAGMA foreign_keys=ON") != SQLITE_OK)
		return BUR_IO;
	r = run_in_transaction(s, fn, arg);
	if (db_exec(s->writer.db, "PRAGMA foreign_keys=OFF") != SQLITE_OK)
		return BUR_IO;
	return r;
}

/* --- the thread --------------------------------------------------------------------------------------------------- */

static void wait_for_work(struct store *s)
{
	struct timespec until;
	int64_t ns = clock_mono_ns() + s->cfg.writer_interval_ns;
	int e = 0;

	until.tv_sec = (time_t)(ns / NS_PER_S);
	until.tv_nsec = (long)(ns % NS_PER_S);
	while (!s->poked && !s->stopping && e != ETIMEDOUT)
		e = pthread_cond_timedwait(&s->wake, &s->lock, &until);
	s->poked = false;
}

static void run_jobs(struct store *s)
{
	while (s->jobs) {
		struct job *j = s->jobs;

		s->jobs = j->next;
		(void)pthread_mutex_unlock(&s->lock);
		j->result = writer_execute(s, j->fn, j->arg);
		(void)pthread_mutex_lock(&s->lock);
		j->done = true;
		(void)pthread_cond_broadcast(&s->done);
	}
}

/* One round; the lock is held at both ends. */
static int turn(struct store *s)
{
	uint64_t sync = s->sync_wanted;
	int r;

	(void)pthread_mutex_unlock(&s->lock);
	r = writer_drain(s);
	health_refresh(s);
	(void)pthread_mutex_lock(&s->lock);
	if (r == BUR_OK && s->sync_done < sync) {
		s->sync_done = sync;
		(void)pthread_cond_broadcast(&s->done);
	}
	run_jobs(s);
	return r;
}

static void *writer_main(void *arg)
{
	struct store *s = arg;
	bool last = false;

	(void)pthread_mutex_lock(&s->lock);
	while (!last) {
		wait_for_work(s);
		last = s->stopping;
		(void)turn(s);
	}
	(void)pthread_mutex_unlock(&s->lock);
	return NULL;
}

int writer_start(struct store *s)
{
	CHECK(!s->started);
	if (pthread_create(&s->thread, NULL, writer_main, s) != 0)
		return BUR_NOMEM;
	(void)pthread_setname_np(s->thread, "bursar-writer");
	s->started = true;
	return BUR_OK;
}

void writer_stop(struct store *s)
{
	if (!s->started)
		return;
	(void)pthread_mutex_lock(&s->lock);
	s->stopping = true;
	(void)pthread_cond_signal(&s->wake);
	(void)pthread_mutex_unlock(&s->lock);
	(void)pthread_join(s->thread, NULL);
	s->started = false;
}
