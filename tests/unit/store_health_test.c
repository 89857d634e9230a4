/* Storage failures, section 8.5: injected at the commit, and underneath SQLite by a file system that fails. */
#include <fcntl.h>

#include "tests/unit/store_help.h"

static char dir[64];

/* --- a VFS whose n-th write or sync fails ------------------------------------------------------------------------- */

struct shim_file {
	sqlite3_file base;
	sqlite3_file *real;
};
static struct {
	sqlite3_vfs vfs, *real;
	sqlite3_io_methods methods;
	_Atomic int left, code; /* the operation that brings left from 1 to 0 fails, and all after it while left is 0 */
	_Atomic bool armed, sticky;
} shim;

static sqlite3_file *real_of(sqlite3_file *f)
{
	return ((struct shim_file *)(void *)f)->real;
}

static int shim_fault(void)
{
	if (!atomic_load(&shim.armed))
		return SQLITE_OK;
	if (atomic_load(&shim.left) > 0 && atomic_fetch_sub(&shim.left, 1) > 1)
		return SQLITE_OK;
	if (!atomic_load(&shim.sticky))
		atomic_store(&shim.armed, false);
	return atomic_load(&shim.code);
}

static int x_close(sqlite3_file *f)
{
	int rc = real_of(f)->pMethods->xClose(real_of(f));

	free(real_of(f));
	return rc;
}
static int x_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	return real_of(f)->pMethods->xRead(real_of(f), p, n, at);
}
static int x_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	int rc = shim_fault();

	return rc != SQLITE_OK ? rc : real_of(f)->pMethods->xWrite(real_of(f), p, n, at);
}
static int x_truncate(sqlite3_file *f, sqlite3_int64 n)
{
	int rc = shim_fault();

	return rc != SQLITE_OK ? rc : real_of(f)->pMethods->xTruncate(real_of(f), n);
}
static int x_sync(sqlite3_file *f, int flags)
{
	int rc = shim_fault();

	return rc != SQLITE_OK ? rc : real_of(f)->pMethods->xSync(real_of(f), flags);
}
static int x_size(sqlite3_file *f, sqlite3_int64 *ret)
{
	return real_of(f)->pMethods->xFileSize(real_of(f), ret);
}
static int x_lock(sqlite3_file *f, int l)
{
	return real_of(f)->pMethods->xLock(real_of(f), l);
}
static int x_unlock(sqlite3_file *f, int l)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), l);
}
static int x_check(sqlite3_file *f, int *ret)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), ret);
}
static int x_control(sqlite3_file *f, int op, void *arg)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}
static int x_sector(sqlite3_file *f)
{
	return real_of(f)->pMethods->xSectorSize(real_of(f));
}
static int x_device(sqlite3_file *f)
{
	return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}
static int x_shm_map(sqlite3_file *f, int page, int n, int extend, void volatile **ret)
{
	return real_of(f)->pMethods->xShmMap(real_of(f), page, n, extend, ret);
}
static int x_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return real_of(f)->pMethods->xShmLock(real_of(f), at, n, flags);
}
static void x_shm_barrier(sqlite3_file *f)
{
	real_of(f)->pMethods->xShmBarrier(real_of(f));
}
static int x_shm_unmap(sqlite3_file *f, int del)
{
	return real_of(f)->pMethods->xShmUnmap(real_of(f), del);
}

static int x_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
	struct shim_file *file = (struct shim_file *)(void *)f;
	int rc;

	(void)v;
	file->base.pMethods = NULL;
	file->real = calloc(1, (size_t)shim.real->szOsFile);
	if (!file->real)
		return SQLITE_NOMEM;
	rc = shim.real->xOpen(shim.real, name, file->real, flags, ret_flags);
	if (file->real->pMethods)
		file->base.pMethods = &shim.methods;
	else
		free(file->real);
	return rc;
}

static void shim_install(void)
{
	shim.real = sqlite3_vfs_find(NULL);
	shim.methods = (sqlite3_io_methods){
	    2,         x_close,  x_read,   x_write,   x_truncate, x_sync,        x_size,      x_lock, x_unlock, x_check,
	    x_control, x_sector, x_device, x_shm_map, x_shm_lock, x_shm_barrier, x_shm_unmap, NULL,   NULL};
	shim.vfs = *shim.real;
	shim.vfs.zName = "shim";
	shim.vfs.szOsFile = (int)sizeof(struct shim_file);
	shim.vfs.pNext = NULL;
	shim.vfs.xOpen = x_open;
	assert_int_equal(sqlite3_vfs_register(&shim.vfs, 1), SQLITE_OK);
}

static void shim_fail(int n, int code, bool sticky)
{
	atomic_store(&shim.left, n);
	atomic_store(&shim.code, code);
	atomic_store(&shim.sticky, sticky);
	atomic_store(&shim.armed, n > 0);
}

/* --- tests -------------------------------------------------------------------------------------------------------- */

static int setup(void **state)
{
	(void)state;
	new_dir(dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	shim_fail(0, 0, false);
	store_test_fail(0, 0, 0, false);
	remove_dir(dir);
	return 0;
}

static struct store_health health_of(struct store *s)
{
	struct store_health h;

	store_health(s, &h);
	return h;
}

static int begin_void(struct store *s, bool hard, int64_t worst)
{
	struct call c = make_call(s, 0, worst);
	uint32_t slot;
	int r;

	c.hard = hard;
	r = store_call_begin(s, 0, &c, &slot);
	if (r == BUR_OK)
		store_call_void(s, 0, slot);
	return r;
}

static void full_disk_lags_then_stops_hard_budgets(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s;

	(void)state;
	cfg.storage_grace_ns = 300 * NS_PER_MS;
	s = must_open(&cfg, NULL);
	assert_int_equal(store_start(s), BUR_OK);
	store_test_fail(0, 1000000, SQLITE_FULL, false);
	whole_call(s, 100);
	WAIT_FOR(health_of(s).state == STORE_LAGGING);
	assert_non_null(strstr(health_of(s).text, "full"));
	assert_int_equal(begin_void(s, true, 10), BUR_OK);
	assert_int_equal(store_sync(s, 10 * NS_PER_MS), BUR_TIMEOUT);
	WAIT_FOR(health_of(s).state == STORE_DOWN);
	assert_int_equal(begin_void(s, true, 10), BUR_DENIED);
	assert_int_equal(begin_void(s, false, 10), BUR_OK);
	assert_int_equal(health_of(s).unpersisted_nanousd, 100);
	assert_true(health_of(s).oldest_unwritten_ns >= cfg.storage_grace_ns);
	assert_true(health_of(s).commit_errors > 1);
	store_test_fail(0, 0, 0, false);
	assert_int_equal(store_sync(s, 5 * NS_PER_S), BUR_OK);
	assert_int_equal(health_of(s).state, STORE_OK);
	assert_string_equal(health_of(s).text, "");
	assert_int_equal(begin_void(s, true, 10), BUR_OK);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM ledger"), 1);
	store_close(s);
	assert_verified(dir);
}

static void too_much_unpersisted_stops_at_once(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s;

	(void)state;
	cfg.max_unpersisted_nanousd = 250;
	s = must_open(&cfg, NULL);
	store_test_fail(0, 1000000, SQLITE_IOERR_WRITE, false);
	whole_call(s, 100);
	assert_int_equal(store_sync(s, NS_PER_S), BUR_IO);
	assert_int_equal(health_of(s).state, STORE_LAGGING);
	whole_call(s, 100);
	whole_call(s, 100);
	assert_int_equal(begin_void(s, true, 10), BUR_DENIED); /* before the writer looked again */
	assert_int_equal(store_sync(s, NS_PER_S), BUR_IO);
	assert_int_equal(health_of(s).state, STORE_DOWN);
	store_test_fail(0, 0, 0, false);
	store_close(s);
	assert_int_equal(sql_int(dir, "SELECT sum(amount_n) FROM ledger"), 300);
}

/* The commit happened, only its answer was an error: the same batch goes in again and changes nothing. */
static void unknown_commit_is_repeated_without_effect(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);

	(void)state;
	whole_call(s, 1);
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
	store_test_fail(0, 1, SQLITE_IOERR_FSYNC, true);
	whole_call(s, 10);
	whole_call(s, 20);
	assert_int_equal(store_sync(s, NS_PER_S), BUR_IO);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM ledger"), 3); /* they are in */
	whole_call(s, 30);                                                /* joins the repeated batch */
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM ledger"), 4);
	assert_int_equal(sql_int(dir, "SELECT posted_n FROM meter WHERE meter_uid=2"), 61);
	assert_int_equal(health_of(s).slots_used, 0);
	store_close(s);
	assert_verified(dir);
}

static void one_failed_commit(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);

	(void)state;
	store_test_fail_next(2, SQLITE_BUSY);
	for (int i = 0; i < 3; i++) {
		whole_call(s, 5);
		assert_int_equal(store_sync(s, NS_PER_S), i == 1 ? BUR_BUSY : BUR_OK);
	}
	store_close(s);
	assert_int_equal(sql_int(dir, "SELECT sum(amount_n) FROM ledger"), 15);
	assert_verified(dir);
}

static void corruption_stops_all_that_needs_money(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);

	(void)state;
	store_test_fail_next(1, SQLITE_CORRUPT);
	whole_call(s, 5);
	assert_int_equal(store_sync(s, NS_PER_S), BUR_CORRUPT);
	assert_int_equal(health_of(s).state, STORE_DAMAGED);
	assert_non_null(strstr(health_of(s).text, "bursar verify"));
	assert_int_equal(begin_void(s, true, 10), BUR_DENIED);
	assert_int_equal(begin_void(s, false, 10), BUR_DENIED);
	assert_int_equal(begin_void(s, false, 0), BUR_OK);
	store_tick(s);
	assert_int_equal(health_of(s).state, STORE_DAMAGED);
	store_close(s);
	s = must_open(&cfg, NULL); /* the call was kept in the journal */
	assert_int_equal(sql_int(dir, "SELECT sum(amount_n) FROM ledger"), 5);
	store_close(s);
}

static void little_free_space_stops_hard_budgets(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s;

	(void)state;
	cfg.min_free_bytes = INT64_MAX;
	s = must_open(&cfg, NULL);
	assert_int_equal(health_of(s).state, STORE_DOWN);
	assert_non_null(strstr(health_of(s).text, "MiB free"));
	assert_int_equal(begin_void(s, true, 10), BUR_DENIED);
	assert_int_equal(begin_void(s, false, 10), BUR_OK);
	s->cfg.min_free_bytes = 1;
	s->disk_ns -= 11 * NS_PER_S;
	store_tick(s);
	assert_int_equal(health_of(s).state, STORE_OK);
	assert_true(health_of(s).free_bytes > 0);
	store_close(s);
}

/* T6: the n-th write, sync or truncation of any file of SQLite fails, once. */
static void each_io_operation_fails_once(void **state)
{
	static const int codes[] = {SQLITE_FULL, SQLITE_IOERR_WRITE, SQLITE_IOERR_FSYNC};
	int failures = 0;

	(void)state;
	for (int n = 1; n <= 120; n++) {
		struct store_config cfg = test_config(dir);
		struct store *s = must_open(&cfg, NULL);
		int64_t before = sql_int(dir, "SELECT count(*) FROM ledger");

		shim_fail(n, codes[n % 3], false);
		for (int i = 0; i < 4; i++) {
			whole_call(s, 7);
			failures += store_sync(s, NS_PER_S) != BUR_OK;
			s->checkpoint_ns -= 6 * NS_PER_S;
			store_tick(s);
		}
		shim_fail(0, 0, false);
		assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
		assert_int_equal(health_of(s).slots_used, 0);
		assert_int_equal(sql_int(dir, "SELECT count(*) FROM ledger"), before + 4);
		store_close(s);
		assert_int_equal(sql_int(dir, "SELECT count(*) FROM ledger"), before + 4);
	}
	assert_verified(dir);
	print_message("%d failed batches\n", failures);
	assert_true(failures > 10);
}

static void disk_that_stays_full_is_survived(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s;

	(void)state;
	cfg.storage_grace_ns = 1;
	s = must_open(&cfg, NULL);
	shim_fail(1, SQLITE_FULL, true);
	whole_call(s, 7);
	assert_true(store_sync(s, NS_PER_S) < 0);
	assert_int_equal(health_of(s).state, STORE_DOWN);
	store_close(s); /* cannot be written: stays in the journal */
	assert_true(try_open(&cfg).r < 0);
	shim_fail(0, 0, false);
	{
		struct recovery_report rep;

		s = must_open(&cfg, &rep);
		assert_true(rep.unclean);
		assert_int_equal(rep.settled, 1);
		store_close(s);
	}
	assert_int_equal(sql_int(dir, "SELECT sum(amount_n) FROM ledger"), 7);
	assert_verified(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(full_disk_lags_then_stops_hard_budgets, setup, teardown),
	    cmocka_unit_test_setup_teardown(too_much_unpersisted_stops_at_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(unknown_commit_is_repeated_without_effect, setup, teardown),
	    cmocka_unit_test_setup_teardown(one_failed_commit, setup, teardown),
	    cmocka_unit_test_setup_teardown(corruption_stops_all_that_needs_money, setup, teardown),
	    cmocka_unit_test_setup_teardown(little_free_space_stops_hard_budgets, setup, teardown),
	    cmocka_unit_test_setup_teardown(each_io_operation_fails_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(disk_that_stays_full_is_survived, setup, teardown),
	};

	log_init(open("/dev/null", O_WRONLY), LOG_ERROR);
	shim_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
