#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/amount.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "store/internal.h"

static const char *const texts[W_COUNT] = {
    [W_BEGIN] = "BEGIN IMMEDIATE",
    [W_COMMIT] = "COMMIT",
    [W_ROW] =
	"INSERT INTO ledger(" LEDGER_COLUMNS ") VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,"
	"?18,?19,?20,?21,?22,?23,?24,?25,?26,?27,?28,?29,?30) ON CONFLICT(uid) DO NOTHING",
    [W_POSTING] = "INSERT INTO posting(seq,meter_uid,win_start,amount) VALUES(?1,?2,?3,?4)",
    /* Saturates: a sum beyond int64 would become a real number, which the table refuses for ever. */
    [W_METER] = "INSERT INTO meter(meter_uid,win_start,posted_n,last_ts) VALUES(?1,?2,?3,?4)"
		" ON CONFLICT(meter_uid,win_start) DO UPDATE SET posted_n=CASE"
		" WHEN ?3>0 AND posted_n>9223372036854775807-?3 THEN 9223372036854775807 ELSE posted_n+?3 END,"
		" last_ts=max(last_ts,?4)",
    [W_WARNED] = "INSERT INTO meter(meter_uid,win_start,win_end,limit_n,warned_mask) VALUES(?1,?2,?3,?4,?5)"
		 " ON CONFLICT(meter_uid,win_start) DO UPDATE SET win_end=?3,limit_n=?4,warned_mask=warned_mask|?5",
    [W_OUTBOX] = "INSERT INTO outbox(ts,kind,uid,win_start,at_ppm,action,payload) VALUES(?1,?2,?3,?4,?5,?6,?7)"
		 " ON CONFLICT DO NOTHING",
    [W_QUARANTINE] = "INSERT INTO journal_quarantine(ts,slot,raw) VALUES(?1,?2,?3)",
    [W_NAME] = "INSERT INTO name(id,kind,text) VALUES(?1,?2,?3) ON CONFLICT(id) DO NOTHING",
    [W_METER_DEF] = "INSERT INTO meter_def(uid,budget,scope,unit) VALUES(?1,?2,?3,?4) ON CONFLICT(uid) DO NOTHING",
};

int writer_init(struct writer *w)
{
	int rc = SQLITE_OK;

	w->sums = calloc(SUMS_SIZE, sizeof *w->sums);
	w->sums_used = malloc(SUMS_SIZE * sizeof *w->sums_used);
	if (!w->sums || !w->sums_used)
		return BUR_NOMEM;
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
	free(w->sums);
	free(w->sums_used);
	(void)sqlite3_close(w->db);
	*w = (struct writer){0};
}

/* --- one row ------------------------------------------------------------------------------------------------------ */

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

void writer_row(const struct journal_entry *e, int64_t settled_ns, struct slice extra, struct names *names,
		struct row *r)
{
	const struct journal_cell *c = &e->cell;
	struct meter_def def;

	memcpy(r->uid, e->uid, sizeof r->uid);
	r->has_ref = r->malformed = false;
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
	r->n_postings = 0;
	for (size_t i = 0; i < e->n_meters; i++) {
		struct posting p = {.meter_uid = (int64_t)e->meters[i].uid, .win_start = e->meters[i].win_start};

		p.unit = names_meter_find(names, e->meters[i].uid, &def) ? def.unit : UNIT_USD;
		p.amount = posting_amount(c, p.unit);
		posting_add(r, &p);
	}
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
			m->amount = INT64_MAX;
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

int writer_flush_sums(struct writer *w)
{
	sqlite3_stmt *st = w->st[W_METER];
	int rc = SQLITE_OK;

	for (size_t i = 0; i < w->n_sums && rc == SQLITE_OK; i++) {
		const struct meter_sum *m = &w->sums[w->sums_used[i]];

		(void)sqlite3_bind_int64(st, 1, m->uid);
		(void)sqlite3_bind_int64(st, 2, m->win_start);
		(void)sqlite3_bind_int64(st, 3, m->amount);
		(void)sqlite3_bind_int64(st, 4, m->last_ts);
		rc = db_run(st);
	}
	sums_clear(w);
	return rc;
}

static int add_postings(struct writer *w, const struct row *r)
{
	sqlite3_stmt *st = w->st[W_POSTING];
	int rc = SQLITE_OK;

	for (size_t i = 0; i < r->n_postings && rc == SQLITE_OK; i++) {
		(void)sqlite3_bind_int64(st, 1, r->seq);
		(void)sqlite3_bind_int64(st, 2, r->postings[i].meter_uid);
		(void)sqlite3_bind_int64(st, 3, r->postings[i].win_start);
		(void)sqlite3_bind_int64(st, 4, r->postings[i].amount);
		rc = db_run(st);
	}
	return rc;
}

int writer_add(struct writer *w, struct row *r, bool *ret_new)
{
	sqlite3_stmt *st = w->st[W_ROW];
	int rc;

	(void)sqlite3_bind_blob(st, 1, r->uid, sizeof r->uid, SQLITE_STATIC);
	(void)sqlite3_bind_null(st, 2);
	if (r->extra.p)
		(void)sqlite3_bind_text(st, 3, r->extra.p, (int)r->extra.n, SQLITE_STATIC);
	else
		(void)sqlite3_bind_null(st, 3);
	for (int i = 0; i < R_INTS; i++)
		(void)sqlite3_bind_int64(st, 4 + i, r->v[i]);
	rc = db_run(st);
	if (rc != SQLITE_OK)
		return rc;
	*ret_new = sqlite3_changes(w->db) == 1;
	if (!*ret_new)
		return SQLITE_OK;
	r->seq = sqlite3_last_insert_rowid(w->db);
	kill_point();
	rc = add_postings(w, r);
	if (rc == SQLITE_OK && w->n_sums > SUMS_SIZE / 2)
		rc = writer_flush_sums(w);
	sum_add(w, r);
	seal_row(&w->seal, r);
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

static int add_item(struct store *s, const struct batch_item *it, int64_t now_ns)
{
	const struct end_note *end = &s->ends[it->slot];
	struct journal_entry e;
	struct row row;
	bool fresh = false;
	int rc;

	if (journal_read(s->journal, it->slot, &e) < 0 || e.state != SLOT_SETTLED) {
		log_msg(LOG_ERROR, "store.quarantine", "journal slot %u changed under way; kept in journal_quarantine",
			it->slot);
		return writer_quarantine(&s->writer, it->slot, journal_raw(s->journal, it->slot), now_ns);
	}
	writer_row(&e, end->settled_ns, slice_mem(end->extra, end->extra_n), s->names, &row);
	rc = writer_add(&s->writer, &row, &fresh);
	if (rc == SQLITE_OK && !fresh && !s->writer.retrying)
		log_msg(LOG_ERROR, "store.ledger", "a call's id is in the ledger already; its row was left out");
	return rc;
}

static int event_payload(const struct threshold_event *e, char *dst, size_t size)
{
	char budget[6 * sizeof e->budget], scope[6 * sizeof e->scope];

	(void)json_escape(slice_mem(e->budget, strnlen(e->budget, sizeof e->budget)), budget, sizeof budget);
	(void)json_escape(slice_mem(e->scope, strnlen(e->scope, sizeof e->scope)), scope, sizeof scope);
	return snprintf(dst, size,
			"{\"budget\":\"%s\",\"scope\":\"%s\",\"action\":\"%s\",\"at_ppm\":%lld,\"posted\":%lld,"
			"\"held\":%lld,\"limit\":%lld,\"win_start\":%lld,\"win_end\":%lld,\"at_ns\":%lld}",
			budget, scope, e->action == 0 ? "alert" : "block", (long long)e->at_ppm, (long long)e->posted,
			(long long)e->held, (long long)e->limit, (long long)e->win_start, (long long)e->win_end,
			(long long)e->at_ns);
}

static int add_event(struct writer *w, const struct threshold_event *e)
{
	sqlite3_stmt *m = w->st[W_WARNED], *o = w->st[W_OUTBOX];
	char payload[3072];
	int rc, n = event_payload(e, payload, sizeof payload);

	CHECK(n > 0 && (size_t)n < sizeof payload);
	(void)sqlite3_bind_int64(m, 1, (int64_t)e->uid);
	(void)sqlite3_bind_int64(m, 2, e->win_start);
	(void)sqlite3_bind_int64(m, 3, e->win_end);
	(void)sqlite3_bind_int64(m, 4, e->limit);
	(void)sqlite3_bind_int64(m, 5, e->warned_mask);
	rc = db_run(m);
	if (rc != SQLITE_OK)
		return rc;
	(void)sqlite3_bind_int64(o, 1, e->at_ns);
	(void)sqlite3_bind_text(o, 2, "budget.threshold", -1, SQLITE_STATIC);
	(void)sqlite3_bind_int64(o, 3, (int64_t)e->uid);
	(void)sqlite3_bind_int64(o, 4, e->win_start);
	(void)sqlite3_bind_int64(o, 5, e->at_ppm);
	(void)sqlite3_bind_int(o, 6, e->action);
	(void)sqlite3_bind_text(o, 7, payload, n, SQLITE_STATIC);
	rc = db_run(o);
	(void)sqlite3_clear_bindings(o);
	return rc;
}

static int add_events(struct store *s)
{
	int rc = SQLITE_OK;

	for (uint32_t i = 0; i < s->cfg.workers; i++) {
		for (uint32_t k = 0; k < s->writer.events[i] && rc == SQLITE_OK; k++) {
			const struct threshold_event *e = ring_peek(&s->workers[i].events, k);

			CHECK(e);
			rc = add_event(&s->writer, e);
		}
	}
	return rc;
}

int writer_commit(struct writer *w)
{
	bool done;
	int rc, injected = fault_commit(&done);

	kill_point();
	if (injected != SQLITE_OK && !done)
		return injected;
	rc = db_run(w->st[W_COMMIT]);
	kill_point();
	return injected != SQLITE_OK ? injected : rc;
}

static int begin(struct writer *w)
{
	int rc = db_run(w->st[W_BEGIN]);

	return rc == SQLITE_OK ? seal_begin(&w->seal, w->db) : rc;
}

static int write_batch(struct store *s)
{
	struct writer *w = &s->writer;
	int64_t now_ns = clock_wall_ns();
	int rc;

	kill_point();
	rc = begin(w);
	if (rc == SQLITE_OK)
		rc = names_mirror(s->names, w->st[W_NAME], w->st[W_METER_DEF]);
	for (size_t i = 0; i < w->n_items && rc == SQLITE_OK; i++)
		rc = add_item(s, &w->items[i], now_ns);
	if (rc == SQLITE_OK)
		rc = writer_flush_sums(w);
	kill_point();
	if (rc == SQLITE_OK)
		rc = add_events(s);
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
	for (uint32_t i = 0; i < s->cfg.workers; i++) {
		ring_release(&s->workers[i].settled, w->taken[i]);
		ring_release(&s->workers[i].events, w->events[i]);
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
		sums_clear(w);
		seal_unknown(&w->seal);
		w->retrying = true;
		health_failed(s, rc, cause);
		return db_err(rc);
	}
	*ret_n = w->n_items;
	w->retrying = false;
	names_mirrored(s->names);
	seal_committed(&w->seal);
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

int writer_execute(struct store *s, int (*fn)(sqlite3 *, void *), void *arg)
{
	struct writer *w = &s->writer;
	int rc, r = BUR_IO;

	rc = db_run(w->st[W_BEGIN]);
	if (rc == SQLITE_OK)
		rc = names_mirror(s->names, w->st[W_NAME], w->st[W_METER_DEF]);
	if (rc == SQLITE_OK)
		r = fn(w->db, arg);
	if (rc == SQLITE_OK && r == BUR_OK) {
		rc = seal_catch_up(&w->seal, w->db, clock_wall_ns());
		if (rc == SQLITE_OK)
			rc = writer_commit(w);
	}
	if (rc == SQLITE_OK && r == BUR_OK) {
		names_mirrored(s->names);
		seal_committed(&w->seal);
		return BUR_OK;
	}
	if (db_is_damage(rc))
		health_damaged(s, sqlite3_errstr(rc));
	db_rollback(w->db);
	seal_unknown(&w->seal);
	return rc != SQLITE_OK ? BUR_IO : r;
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
		if (!s->jobs)
			s->jobs_end = &s->jobs;
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
