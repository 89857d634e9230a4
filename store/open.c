#include "store/store.h"

#include <errno.h>
#include <limits.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "store/internal.h"

#define SLOTS_DEFAULT 16384
#define INTERVAL_DEFAULT_NS (50 * NS_PER_MS)
#define GRACE_DEFAULT_NS (30 * NS_PER_S)
#define UNPERSISTED_DEFAULT_NANOUSD INT64_C(10000000000)
#define MIN_FREE_DEFAULT_BYTES (INT64_C(256) << 20)
#define LAST_SEALS 64 /* verified at every start */
#define QUICK_CHECK_BYTES (INT64_C(512) << 20)

/* --- a lost disk under the journal's map -------------------------------------------------------------------------- */

static struct {
	_Atomic uintptr_t from, to;
} bus_range;

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	static const char line[] =
	    "bursar: the disk under the journal failed (SIGBUS); stopped. Calls in flight are kept in "
	    "inflight.jnl\n";
	uintptr_t at = (uintptr_t)info->si_addr;

	(void)context;
	if (at >= atomic_load(&bus_range.from) && at < atomic_load(&bus_range.to)) {
		(void)!write(STDERR_FILENO, line, sizeof line - 1);
		_exit(EXIT_STORAGE_IO);
	}
	(void)signal(sig, SIG_DFL); /* not ours: happens again and leaves a core */
}

static int guard_map(const struct journal *j)
{
	struct sigaction sa = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};
	size_t bytes;
	uintptr_t from = (uintptr_t)journal_map(j, &bytes);

	atomic_store(&bus_range.from, from);
	atomic_store(&bus_range.to, from + bytes);
	(void)sigemptyset(&sa.sa_mask);
	return sigaction(SIGBUS, &sa, NULL) == 0 ? BUR_OK : BUR_IO;
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

struct opening {
	struct store *s;
	int *ret_exit;
	char *reterr;
	size_t reterr_size;
};

static int fail(struct opening *o, int exit_code, int code, const char *fmt, ...) PRINTF_LIKE(4, 5);

static int fail(struct opening *o, int exit_code, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(o->reterr, o->reterr_size, fmt, ap);
	va_end(ap);
	*o->ret_exit = exit_code;
	return code;
}

char *store_path(const struct store *s, const char *file)
{
	size_t n = strlen(s->dir) + strlen(file) + 2;
	char *p = malloc(n);

	if (p)
		(void)snprintf(p, n, "%s/%s", s->dir, file);
	return p;
}

/* Its parents too: the default folder stands in one that a fresh checkout does not have. 0, or -1 with errno. */
static int make_dirs(const char *dir)
{
	char path[PATH_MAX];
	size_t n = slice_to_cstr(slice_of(dir), path, sizeof(path));

	if (n != strlen(dir)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	for (size_t i = 1; i <= n; i++) {
		char c = path[i];

		if (c != '/' && c != '\0')
			continue;
		path[i] = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return -1;
		path[i] = c;
	}
	return 0;
}

static int open_dir(struct opening *o)
{
	const char *dir = o->s->dir;
	struct stat st;

	if (make_dirs(dir) < 0)
		return fail(o, EXIT_STORAGE_IO, BUR_IO, "%s: cannot create the data directory: %s", dir,
			    os_error(errno));
	if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
		return fail(o, EXIT_STORAGE_IO, BUR_IO, "%s: is not a directory", dir);
	if (access(dir, W_OK | X_OK) < 0)
		return fail(o, EXIT_STORAGE_IO, BUR_IO, "%s: the data directory cannot be written: %s", dir,
			    os_error(errno));
	if (st.st_mode & 0077)
		log_msg(LOG_WARN, "store.open", "%s: others may look into the data directory; chmod 700 is safer", dir);
	return BUR_OK;
}

static int busy(struct opening *o, const char *path)
{
	char pid[32] = "";
	ssize_t n = pread(o->s->lock_fd, pid, sizeof pid - 1, 0);

	pid[n > 0 ? n : 0] = 0;
	pid[strcspn(pid, "\n")] = 0;
	return fail(o, EXIT_BUSY, BUR_BUSY, "%s: another bursar (pid %s) uses this data directory", path,
		    pid[0] ? pid : "unknown");
}

static int take_lock(struct opening *o, const char *path)
{
	char pid[32];
	int n;

	o->s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (o->s->lock_fd < 0)
		return fail(o, EXIT_STORAGE_IO, BUR_IO, "%s: %s", path, os_error(errno));
	if (flock(o->s->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return busy(o, path);
		return fail(o, EXIT_STORAGE_IO, BUR_IO, "%s: %s", path, os_error(errno));
	}
	n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
	if (ftruncate(o->s->lock_fd, 0) < 0 || pwrite(o->s->lock_fd, pid, (size_t)n, 0) != n)
		return fail(o, EXIT_STORAGE_IO, BUR_IO, "%s: %s", path, os_error(errno));
	return BUR_OK;
}

/* SQLite gives its side files the mode of the database file, so we make that one ourselves. */
static int touch_database(struct opening *o, const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return fail(o, EXIT_STORAGE_IO, BUR_IO, "%s: cannot be opened for writing: %s", path, os_error(errno));
	(void)close(fd);
	return BUR_OK;
}

static int database_failed(struct opening *o, const char *path, int rc, const char *what)
{
	if (db_is_damage(rc))
		return fail(
		    o, EXIT_STORE, BUR_CORRUPT,
		    "%s: the database is damaged (%s). Keep a copy of the directory, restore a backup or recover it "
		    "with `sqlite3 .recover`; nothing was changed",
		    path, what);
	if ((rc & 0xff) == SQLITE_BUSY)
		return fail(o, EXIT_BUSY, BUR_BUSY, "%s: another program holds the database", path);
	return fail(o, EXIT_STORAGE_IO, BUR_IO, "%s: %s", path, what);
}

static int open_database(struct opening *o, const char *path)
{
	struct writer *w = &o->s->writer;
	char what[160] = "";
	int rc, r;

	r = touch_database(o, path);
	if (r < 0)
		return r;
	rc = db_connect(path, true, &w->db);
	if (rc != SQLITE_OK)
		return database_failed(o, path, rc, w->db ? sqlite3_errmsg(w->db) : sqlite3_errstr(rc));
	if (sqlite3_db_readonly(w->db, "main") == 1)
		return fail(o, EXIT_STORAGE_IO, BUR_IO, "%s: the database is read-only", path);
	r = db_migrate(w->db, what, sizeof what);
	if (r == BUR_UNSUPPORTED || r == BUR_CORRUPT)
		return fail(o, EXIT_STORE, r, "%s: %s", path, what);
	if (r < 0)
		return database_failed(o, path, sqlite3_extended_errcode(w->db), what);
	rc = db_connect(path, true, &o->s->checkpoint_db);
	if (rc != SQLITE_OK)
		return database_failed(o, path, rc, sqlite3_errstr(rc));
	/* A checkpoint that waits for a reader keeps the writer out: better to come back later. */
	(void)sqlite3_busy_timeout(o->s->checkpoint_db, 100);
	return BUR_OK;
}

/* --- checks before anything is written ---------------------------------------------------------------------------- */

static int quick_check(sqlite3 *db)
{
	sqlite3_stmt *st = NULL;
	int rc = db_prepare(db, "PRAGMA quick_check(1)", &st);
	const char *text;

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		text = (const char *)sqlite3_column_text(st, 0);
		rc = text && strcmp(text, "ok") == 0 ? SQLITE_OK : SQLITE_CORRUPT;
	}
	(void)sqlite3_finalize(st);
	return rc;
}

static int64_t seal_before_last(sqlite3 *db)
{
	sqlite3_stmt *st = NULL;
	int64_t seq = 0;

	if (db_prepare(db, "SELECT seq_to FROM ledger_seal ORDER BY seq_to DESC LIMIT 1 OFFSET ?1", &st) == SQLITE_OK &&
	    sqlite3_bind_int(st, 1, LAST_SEALS) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
		seq = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	return seq;
}

static int check_database(struct opening *o, const char *path, bool unclean)
{
	sqlite3 *db = o->s->writer.db;
	struct seal_report rep;
	struct stat st;
	int rc = SQLITE_OK, r;

	/* It reads the whole file: a large one that was closed in order is spared, unless asked for. */
	if (o->s->cfg.verify_all || unclean || (stat(path, &st) == 0 && st.st_size <= QUICK_CHECK_BYTES))
		rc = quick_check(db);
	if (rc != SQLITE_OK)
		return database_failed(o, path, rc, "quick_check found errors");
	r = seal_verify(db, o->s->cfg.verify_all ? 0 : seal_before_last(db), NULL, NULL, &rep);
	if (r < 0)
		return database_failed(o, path, r == BUR_CORRUPT ? SQLITE_CORRUPT : SQLITE_IOERR, sqlite3_errmsg(db));
	if (rep.errors > 0)
		return fail(
		    o, EXIT_STORE, BUR_CORRUPT,
		    "%s: the ledger was changed by something else (%s). Run `bursar verify` on a copy and restore a "
		    "backup; nothing was changed",
		    path, rep.first_error);
	return BUR_OK;
}

/* --- journal and names -------------------------------------------------------------------------------------------- */

static int open_journal(struct opening *o, const char *path)
{
	struct store *s = o->s;
	struct journal_ids ids;
	int64_t boot = 0, running = 0;
	char what[300];
	int r;

	if (db_meta_uuid(s->writer.db, "node_uuid", ids.node) < 0 ||
	    db_meta_uuid(s->writer.db, "database_uuid", ids.database) < 0 ||
	    db_meta_int(s->writer.db, "boot", 0, &boot) < 0 || db_meta_int(s->writer.db, "running", 0, &running) < 0)
		return fail(o, EXIT_STORAGE_IO, BUR_IO, "%s: %s", s->dir, sqlite3_errmsg(s->writer.db));
	if (running != 0 && access(path, F_OK) < 0 && errno == ENOENT)
		log_msg(LOG_ERROR, "store.journal",
			"%s is gone: calls that were under way at the last stop are not recorded", path);
	r = journal_open(path, s->cfg.journal_slots, &ids, &s->journal, &s->boot, what, sizeof what);
	if (r < 0)
		return fail(o, r == BUR_CORRUPT ? EXIT_STORE : EXIT_STORAGE_IO, r, "%s", what);
	s->cfg.journal_slots = journal_slots(s->journal);
	/* A journal that was made anew must not give out ids a second time. */
	if (s->boot <= boot)
		s->boot = (uint32_t)boot + 1;
	if (s->cfg.workers > s->cfg.journal_slots)
		return fail(o, EXIT_STORE, BUR_INVALID, "%s: fewer slots (%u) than workers", path,
			    s->cfg.journal_slots);
	if (db_meta_set_int(s->writer.db, "boot", s->boot) < 0 || guard_map(s->journal) < 0)
		return fail(o, EXIT_STORAGE_IO, BUR_IO, "%s: cannot note the start", s->dir);
	return BUR_OK;
}

static int open_names(struct opening *o, const char *path)
{
	char what[300];
	int r = names_open(path, &o->s->names, what, sizeof what);

	if (r < 0)
		return fail(o, EXIT_STORAGE_IO, r, "%s", what);
	r = names_merge(o->s->names, o->s->writer.db);
	if (r == BUR_CORRUPT)
		return fail(o, EXIT_STORE, r, "%s: belongs to another database: restore it together with bursar.db",
			    path);
	if (r < 0)
		return fail(o, EXIT_STORAGE_IO, r, "%s: %s", path, bur_strerror(r));
	return BUR_OK;
}

static int recover(struct opening *o, struct recovery_report *rep)
{
	struct store *s = o->s;
	uint64_t repaired = 0;
	bool summed = false;
	int r = recover_journal(s, rep);

	if (r == BUR_CORRUPT)
		return fail(o, EXIT_STORE, r, "%s/inflight.jnl: damaged slots, and strict_journal is on", s->dir);
	if (r == BUR_OK)
		r = recover_meters(s, &repaired);
	if (r == BUR_OK)
		r = recover_rollups(s, &summed);
	if (r < 0)
		return fail(o, EXIT_STORAGE_IO, r, "%s: recovery failed: %s", s->dir, sqlite3_errmsg(s->writer.db));
	if (repaired > 0)
		log_msg(LOG_ERROR, "ledger.repaired",
			"%llu counters differed from their postings and were set to the sums",
			(unsigned long long)repaired);
	if (summed)
		log_msg(LOG_ERROR, "ledger.repaired", "sums by time differed from the ledger and were made anew");
	if (rep->quarantined > 0)
		log_msg(LOG_ERROR, "store.quarantine", "%u damaged journal slots are kept in table journal_quarantine",
			rep->quarantined);
	return BUR_OK;
}

/* --- workers ------------------------------------------------------------------------------------------------------ */

static int worker_init(struct worker *w, uint32_t first, uint32_t n)
{
	w->first = first;
	w->n = n;
	w->free = malloc(n * sizeof *w->free);
	if (!w->free || getrandom(&w->random, sizeof w->random, 0) != sizeof w->random)
		return BUR_NOMEM;
	for (uint32_t i = 0; i < n; i++)
		w->free[i] = first + n - 1 - i; /* low slots first: what is used stays in the cache */
	w->n_free = n;
	if (ring_init(&w->settled, sizeof(uint32_t), n) < 0 || ring_init(&w->back, sizeof(uint32_t), n) < 0)
		return BUR_NOMEM;
	if (ring_init(&w->bills, sizeof(struct late_item), BILLS_PER_WORKER) < 0 ||
	    ring_init(&w->tells, sizeof(struct tell), TELLS_PER_WORKER) < 0)
		return BUR_NOMEM;
	return ring_init(&w->events, sizeof(struct threshold_event), EVENTS_PER_WORKER);
}

static int workers_init(struct store *s)
{
	uint32_t each = s->cfg.journal_slots / s->cfg.workers, over = s->cfg.journal_slots % s->cfg.workers, at = 0;

	s->workers = aligned_alloc(64, s->cfg.workers * sizeof *s->workers);
	s->ends = calloc(s->cfg.journal_slots, sizeof *s->ends);
	if (!s->workers || !s->ends)
		return BUR_NOMEM;
	memset(s->workers, 0, s->cfg.workers * sizeof *s->workers);
	for (uint32_t i = 0; i < s->cfg.workers; i++) {
		uint32_t n = each + (i < over);
		int r = worker_init(&s->workers[i], at, n);

		if (r < 0)
			return r;
		at += n;
	}
	return BUR_OK;
}

static void worker_done(struct worker *w)
{
	free(w->free);
	ring_done(&w->settled);
	ring_done(&w->back);
	ring_done(&w->events);
	ring_done(&w->bills);
	ring_done(&w->tells);
}

static void store_free(struct store *s)
{
	for (uint32_t i = 0; s->workers && i < s->cfg.workers; i++)
		worker_done(&s->workers[i]);
	free(s->workers);
	free(s->ends);
	atomic_store(&bus_range.to, 0);
	journal_close(s->journal);
	names_close(s->names);
	(void)sqlite3_close(s->checkpoint_db);
	writer_done(&s->writer);
	(void)pthread_mutex_destroy(&s->lock);
	(void)pthread_mutex_destroy(&s->health.lock);
	(void)pthread_cond_destroy(&s->wake);
	(void)pthread_cond_destroy(&s->done);
	if (s->lock_fd >= 0)
		(void)close(s->lock_fd); /* last: the lock covers all the rest */
	free(s->dir);
	s->magic = 0;
	free(s);
}

static void defaults(struct store_config *c)
{
	if (c->journal_slots == 0)
		c->journal_slots = SLOTS_DEFAULT;
	if (c->writer_interval_ns <= 0)
		c->writer_interval_ns = INTERVAL_DEFAULT_NS;
	if (c->storage_grace_ns <= 0)
		c->storage_grace_ns = GRACE_DEFAULT_NS;
	if (c->max_unpersisted_nanousd <= 0)
		c->max_unpersisted_nanousd = UNPERSISTED_DEFAULT_NANOUSD;
	if (c->min_free_bytes == 0)
		c->min_free_bytes = MIN_FREE_DEFAULT_BYTES; /* negative: no check */
}

static struct store *store_new(const struct store_config *cfg)
{
	struct store *s = calloc(1, sizeof *s);
	pthread_condattr_t monotonic;

	if (!s)
		return NULL;
	s->magic = STORE_MAGIC;
	s->cfg = *cfg;
	s->lock_fd = -1;
	defaults(&s->cfg);
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_mutex_init(&s->health.lock, NULL);
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&s->wake, &monotonic);
	(void)pthread_cond_init(&s->done, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
	s->dir = strdup(cfg->dir);
	if (!s->dir) {
		store_free(s);
		return NULL;
	}
	s->cfg.dir = s->dir;
	return s;
}

static int on_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct store *s = arg;

	(void)db;
	(void)name;
	atomic_store_explicit(&s->wal_pages, pages, memory_order_relaxed);
	return SQLITE_OK;
}

static int with_path(struct opening *o, const char *file, int (*step)(struct opening *, const char *path))
{
	char *path = store_path(o->s, file);
	int r;

	if (!path)
		return fail(o, EXIT_STORAGE_IO, BUR_NOMEM, "out of memory");
	r = step(o, path);
	free(path);
	return r;
}

static int check_step(struct opening *o, const char *path)
{
	int64_t running = 0;

	if (db_meta_int(o->s->writer.db, "running", 0, &running) < 0)
		return database_failed(o, path, sqlite3_extended_errcode(o->s->writer.db),
				       sqlite3_errmsg(o->s->writer.db));
	return check_database(o, path, running != 0);
}

static int open_files(struct opening *o)
{
	int r = open_dir(o);

	if (r == BUR_OK)
		r = with_path(o, "lock", take_lock);
	if (r == BUR_OK)
		r = with_path(o, "bursar.db", open_database);
	if (r == BUR_OK)
		r = with_path(o, "bursar.db", check_step);
	if (r == BUR_OK)
		r = with_path(o, "names.log", open_names);
	if (r == BUR_OK)
		r = with_path(o, "inflight.jnl", open_journal);
	return r;
}

/* From here on things are written. */
static int start_up(struct opening *o, struct recovery_report *rep)
{
	struct store *s = o->s;
	int64_t running = 0;
	int r;

	r = writer_init(&s->writer);
	if (r == BUR_OK)
		r = workers_init(s);
	if (r == BUR_OK)
		r = db_meta_int(s->writer.db, "running", 0, &running);
	if (r < 0)
		return fail(o, EXIT_STORAGE_IO, r, "%s: %s", s->dir, bur_strerror(r));
	rep->unclean = running != 0;
	(void)sqlite3_wal_hook(s->writer.db, on_wal, s);
	r = recover(o, rep);
	if (r < 0)
		return r;
	if (db_meta_set_int(s->writer.db, "running", 1) < 0)
		return fail(o, EXIT_STORAGE_IO, BUR_IO, "%s: %s", s->dir, sqlite3_errmsg(s->writer.db));
	r = trouble_load(s);
	if (r < 0)
		return fail(o, EXIT_STORAGE_IO, r, "%s: %s", s->dir, bur_strerror(r));
	s->clean_possible = true;
	health_check_disk(s);
	health_refresh(s);
	return BUR_OK;
}

int store_open(const struct store_config *cfg, struct store **ret, struct recovery_report *ret_report, int *ret_exit,
	       char *reterr, size_t reterr_size)
{
	struct opening o = {.ret_exit = ret_exit, .reterr = reterr, .reterr_size = reterr_size};
	int r;

	*ret_report = (struct recovery_report){0};
	fault_kill_arm();
	if (cfg->workers == 0 || cfg->workers > STORE_WORKERS_MAX)
		return fail(&o, EXIT_STORE, BUR_INVALID, "the number of workers must be 1 to %d", STORE_WORKERS_MAX);
	o.s = store_new(cfg);
	if (!o.s)
		return fail(&o, EXIT_STORAGE_IO, BUR_NOMEM, "out of memory");
	r = open_files(&o);
	if (r == BUR_OK)
		r = start_up(&o, ret_report);
	if (r < 0) {
		store_free(o.s);
		return r;
	}
	*ret = o.s;
	return BUR_OK;
}

void store_close(struct store *s)
{
	int r;

	if (!s)
		return;
	CHECK(s->magic == STORE_MAGIC);
	writer_stop(s);
	r = writer_drain(s);
	/* What could not be written stays in the journal for the next start, which then is not a clean one. */
	if (r == BUR_OK && s->clean_possible && db_meta_set_int(s->writer.db, "running", 0) == BUR_OK)
		(void)sqlite3_wal_checkpoint_v2(s->writer.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	(void)!journal_flush(s->journal);
	(void)!names_flush(s->names);
	store_free(s);
}
