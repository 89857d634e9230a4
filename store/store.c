#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "store/internal.h"

int store_start(struct store *s)
{
	CHECK(s->magic == STORE_MAGIC);
	return writer_start(s);
}

const char *store_dir(const struct store *s)
{
	return s->dir;
}

/* --- names -------------------------------------------------------------------------------------------------------- */

uint32_t store_name(struct store *s, enum name_kind kind, struct slice text)
{
	return names_id(s->names, kind, text);
}

int store_meter_known(struct store *s, uint64_t uid, struct slice budget, struct slice scope, int unit)
{
	return names_meter(s->names, uid, budget, scope, unit);
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

static struct worker *worker_at(struct store *s, uint32_t i)
{
	CHECK(s->magic == STORE_MAGIC);
	CHECK(i < s->cfg.workers);
	return &s->workers[i];
}

/* Big-endian boot, worker, counter: one worker's ids ascend, so that the index of the ledger grows at its ends. */
void store_uid(struct store *s, uint32_t worker, uint8_t ret[16])
{
	struct worker *w = worker_at(s, worker);
	uint64_t n = ++w->counter, x;

	for (int i = 0; i < 4; i++)
		ret[i] = (uint8_t)(s->boot >> (24 - 8 * i));
	ret[4] = (uint8_t)(worker >> 8);
	ret[5] = (uint8_t)worker;
	for (int i = 0; i < 6; i++)
		ret[6 + i] = (uint8_t)(n >> (40 - 8 * i));
	w->random += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
	x = (w->random ^ w->random >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	x ^= x >> 31;
	memcpy(ret + 12, &x, 4);
}

static void take_back(struct worker *w)
{
	const uint32_t *slot;
	size_t n = 0;

	while ((slot = ring_peek(&w->back, n)) != NULL) {
		CHECK(w->n_free < w->n);
		w->free[w->n_free++] = *slot;
		n++;
	}
	if (n > 0)
		ring_release(&w->back, n);
}

static void count(_Atomic uint64_t *c)
{
	/* One writer each: no locked instruction needed. */
	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + 1, memory_order_relaxed);
}

int store_call_begin(struct store *s, uint32_t worker, const struct call *c, uint32_t *ret_slot)
{
	struct worker *w = worker_at(s, worker);

	CHECK(c->entry.cell.worst_nanousd >= 0);
	if (UNLIKELY(atomic_load_explicit(&s->health.state, memory_order_relaxed) != STORE_OK) && !health_admits(s, c))
		return BUR_DENIED;
	take_back(w);
	if (w->n_free == 0)
		return BUR_FULL;
	*ret_slot = w->free[--w->n_free];
	journal_reserve(s->journal, *ret_slot, &c->entry);
	count(&w->begun);
	return BUR_OK;
}

void store_call_sent(struct store *s, uint32_t slot)
{
	journal_sent(s->journal, slot);
}

void store_call_update(struct store *s, uint32_t slot, const struct journal_cell *cell)
{
	journal_update(s->journal, slot, cell);
}

static void check_owner(const struct worker *w, uint32_t slot)
{
	CHECK(slot >= w->first && slot - w->first < w->n);
}

void store_call_void(struct store *s, uint32_t worker, uint32_t slot)
{
	struct worker *w = worker_at(s, worker);

	check_owner(w, slot);
	journal_release(s->journal, slot);
	CHECK(w->n_free < w->n);
	w->free[w->n_free++] = slot;
	count(&w->voided);
}

void store_call_settle(struct store *s, uint32_t worker, uint32_t slot, const struct call_end *e)
{
	struct worker *w = worker_at(s, worker);
	struct end_note *note = &s->ends[slot];
	uint32_t *record;
	int64_t sum;

	check_owner(w, slot);
	CHECK(e->extra_n <= sizeof e->extra);
	CHECK(e->cell.actual_nanousd >= 0);
	note->settled_ns = e->settled_ns;
	note->amount_nanousd = e->cell.actual_nanousd;
	note->extra_n = e->extra_n;
	memcpy(note->extra, e->extra, e->extra_n);
	journal_settle(s->journal, slot, &e->cell);
	sum = (int64_t)((uint64_t)atomic_load_explicit(&w->settled_nanousd, memory_order_relaxed) +
			(uint64_t)e->cell.actual_nanousd);
	atomic_store_explicit(&w->settled_nanousd, sum, memory_order_relaxed);
	record = ring_claim(&w->settled);
	CHECK(record); /* one place per slot */
	*record = slot;
	ring_publish(&w->settled);
}

int store_event(struct store *s, uint32_t worker, const struct threshold_event *e)
{
	struct worker *w = worker_at(s, worker);
	struct threshold_event *record = ring_claim(&w->events);

	if (!record)
		return BUR_FULL;
	*record = *e;
	ring_publish(&w->events);
	return BUR_OK;
}

/* --- health and periodic work ------------------------------------------------------------------------------------- */

static uint32_t slots_used(struct store *s)
{
	uint64_t used = 0;

	for (uint32_t i = 0; i < s->cfg.workers; i++) {
		struct worker *w = &s->workers[i];
		uint64_t ended = atomic_load(&w->released) + atomic_load(&w->voided);
		uint64_t begun = atomic_load(&w->begun);

		used += begun > ended ? begun - ended : 0;
	}
	return (uint32_t)used;
}

void store_health(struct store *s, struct store_health *ret)
{
	int64_t since = atomic_load(&s->health.busy_since_ns);

	*ret = (struct store_health){
	    .slots = s->cfg.journal_slots,
	    .slots_used = slots_used(s),
	    .unpersisted_nanousd = health_unpersisted(s),
	    .oldest_unwritten_ns = since ? clock_mono_ns() - since : 0,
	    .rows_written = atomic_load(&s->health.rows),
	    .commits = atomic_load(&s->health.commits),
	    .commit_errors = atomic_load(&s->health.commit_errors),
	    .untold = atomic_load(&s->health.untold),
	    .free_bytes = atomic_load(&s->health.free_bytes),
	};
	(void)pthread_mutex_lock(&s->health.lock);
	ret->state = (enum store_state)atomic_load(&s->health.state);
	memcpy(ret->text, s->health.text, sizeof ret->text);
	(void)pthread_mutex_unlock(&s->health.lock);
}

static struct timespec monotonic_after(int64_t ns)
{
	int64_t at = clock_mono_ns() + ns;

	return (struct timespec){.tv_sec = (time_t)(at / NS_PER_S), .tv_nsec = (long)(at % NS_PER_S)};
}

static void poke(struct store *s)
{
	s->poked = true;
	(void)pthread_cond_signal(&s->wake);
}

int store_sync(struct store *s, int64_t timeout_ns)
{
	struct timespec until = monotonic_after(timeout_ns);
	uint64_t mine;
	int e = 0, r;

	CHECK(s->magic == STORE_MAGIC);
	if (!s->started) {
		r = writer_drain(s);
		health_refresh(s);
		return r;
	}
	(void)pthread_mutex_lock(&s->lock);
	mine = ++s->sync_wanted;
	poke(s);
	while (s->sync_done < mine && e != ETIMEDOUT)
		e = pthread_cond_timedwait(&s->done, &s->lock, &until);
	r = s->sync_done >= mine ? BUR_OK : BUR_TIMEOUT;
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

int store_execute(struct store *s, int (*fn)(struct sqlite3 *, void *arg), void *arg)
{
	struct job j = {.fn = fn, .arg = arg}, **last = &s->jobs;

	CHECK(s->magic == STORE_MAGIC);
	if (!s->started)
		return writer_execute(s, fn, arg);
	(void)pthread_mutex_lock(&s->lock);
	while (*last)
		last = &(*last)->next;
	*last = &j;
	poke(s);
	while (!j.done)
		(void)pthread_cond_wait(&s->done, &s->lock);
	(void)pthread_mutex_unlock(&s->lock);
	return j.result;
}

#define CHECKPOINT_PAGES 1000
#define CHECKPOINT_NS (5 * NS_PER_S)
#define RESTART_PAGES 32768 /* the log does not come to rest by itself any more */
#define DISK_NS (10 * NS_PER_S)

static void checkpoint(struct store *s, int mode, int64_t now)
{
	int rc = sqlite3_wal_checkpoint_v2(s->checkpoint_db, NULL, mode, NULL, NULL);

	s->checkpoint_ns = now;
	if (db_is_damage(rc))
		health_damaged(s, sqlite3_errstr(rc));
}

static void tick_checkpoint(struct store *s, int64_t now)
{
	int pages = atomic_load_explicit(&s->wal_pages, memory_order_relaxed);
	uint64_t commits = atomic_load(&s->health.commits);
	bool idle = commits == s->checkpoint_commits, due = now - s->checkpoint_ns >= CHECKPOINT_NS;

	if (pages >= RESTART_PAGES) {
		checkpoint(s, SQLITE_CHECKPOINT_RESTART, now);
	} else if (due && idle && !s->wal_truncated) {
		checkpoint(s, SQLITE_CHECKPOINT_TRUNCATE, now);
		s->wal_truncated = true;
	} else if (!idle && (due || pages >= CHECKPOINT_PAGES)) {
		checkpoint(s, SQLITE_CHECKPOINT_PASSIVE, now);
		s->wal_truncated = false;
		s->checkpoint_commits = commits;
	}
}

void store_tick(struct store *s)
{
	int64_t now = clock_mono_ns();

	CHECK(s->magic == STORE_MAGIC);
	tick_checkpoint(s, now);
	if (journal_flush(s->journal) < 0 || names_flush(s->names) < 0)
		log_limited(LOG_ERROR, "store.flush", "%s: cannot flush to the disk: %s", s->dir, os_error(errno));
	if (now - s->disk_ns >= DISK_NS) {
		s->disk_ns = now;
		health_check_disk(s);
	}
	health_refresh(s);
}

/* --- start-up ----------------------------------------------------------------------------------------------------- */

/* One counter's windows, newest first, until one that cannot be open any more. */
struct meter_walk {
	int64_t uid, newer_start; /* of the row before it, which is younger */
	bool first;
};

/* A counter is open in its youngest window that has begun. Where the budget's window was changed meanwhile, an older
 * row may be the one in use: it was then posted to after the younger one began. */
static bool maybe_open(struct meter_walk *w, sqlite3_stmt *st, int64_t now_s)
{
	int64_t uid = sqlite3_column_int64(st, 0), start = sqlite3_column_int64(st, 1);
	int64_t last_s = sqlite3_column_int64(st, 6) / NS_PER_S;
	bool first = w->first || uid != w->uid, open;

	open = first || start > now_s || last_s >= w->newer_start;
	w->first = first && start > now_s; /* the next one is still the youngest that has begun */
	if (first)
		w->newer_start = start;
	w->uid = uid;
	return open;
}

static int64_t known_end(sqlite3_stmt *st)
{
	int64_t end = sqlite3_column_int64(st, 2), last_s = sqlite3_column_int64(st, 6) / NS_PER_S;

	if (sqlite3_column_type(st, 2) == SQLITE_NULL || last_s >= end)
		return INT64_MAX;
	return end;
}

static int visit_meter(struct store *s, sqlite3_stmt *st, int64_t now_s,
		       int (*visit)(void *ctx, const struct meter_row *), void *ctx)
{
	struct meter_row row = {.uid = (uint64_t)sqlite3_column_int64(st, 0),
				.win_start = sqlite3_column_int64(st, 1),
				.win_end = known_end(st),
				.posted = sqlite3_column_int64(st, 3),
				.credit = sqlite3_column_int64(st, 4),
				.warned_mask = (uint32_t)sqlite3_column_int64(st, 5)};
	struct meter_def def;

	if (row.win_end <= now_s || !names_meter_find(s->names, row.uid, &def))
		return BUR_OK;
	row.budget = def.budget;
	row.scope = def.scope;
	return visit(ctx, &row);
}

int store_each_meter(struct store *s, int64_t now_s, int (*visit)(void *ctx, const struct meter_row *), void *ctx)
{
	struct meter_walk walk = {.first = true};
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;
	int rc, r = store_reader(s, &db);

	if (r < 0)
		return r;
	rc = db_prepare(db,
			"SELECT meter_uid,win_start,win_end,posted_n,credit_n,warned_mask,last_ts FROM meter"
			" ORDER BY meter_uid DESC,win_start DESC",
			&st);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	while (rc == SQLITE_ROW && r == BUR_OK) {
		if (maybe_open(&walk, st, now_s))
			r = visit_meter(s, st, now_s, visit, ctx);
		rc = sqlite3_step(st);
	}
	(void)sqlite3_finalize(st);
	(void)sqlite3_close(db);
	if (r < 0)
		return r;
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? BUR_OK : BUR_IO;
}

struct book {
	uint32_t version;
	uint64_t hash;
	struct slice json;
};

static int put_book(sqlite3 *db, void *arg)
{
	const struct book *b = arg;
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db,
			    "INSERT INTO price_book(version,hash,json,ts) VALUES(?1,?2,?3,?4)"
			    " ON CONFLICT(version) DO UPDATE SET hash=NULL WHERE hash<>?2",
			    &st);

	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_int64(st, 1, b->version);
		(void)sqlite3_bind_int64(st, 2, (int64_t)b->hash);
		(void)sqlite3_bind_text64(st, 3, b->json.p, b->json.n, SQLITE_STATIC, SQLITE_UTF8);
		(void)sqlite3_bind_int64(st, 4, clock_wall_ns());
		rc = db_run(st);
	}
	(void)sqlite3_finalize(st);
	/* Another book under this number: rows priced by it could not be priced again. */
	return (rc & 0xff) == SQLITE_CONSTRAINT ? BUR_ALREADY : db_err(rc);
}

int store_save_price_book(struct store *s, uint32_t version, uint64_t hash, struct slice json)
{
	struct book b = {.version = version, .hash = hash, .json = json};

	return store_execute(s, put_book, &b);
}

int store_reader(struct store *s, struct sqlite3 **ret)
{
	char *path = store_path(s, "bursar.db");
	sqlite3 *db = NULL;
	int rc;

	if (!path)
		return BUR_NOMEM;
	rc = db_connect(path, false, &db);
	free(path);
	if (rc != SQLITE_OK) {
		(void)sqlite3_close(db);
		return BUR_IO;
	}
	*ret = db;
	return BUR_OK;
}
