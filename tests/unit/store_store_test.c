#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/unit/store_dir.h"

static struct store_health health_of(struct store *s)
{
	struct store_health h;

	store_health(s, &h);
	return h;
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

static void call_becomes_a_row_with_postings(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	struct store_health h;

	(void)state;
	assert_int_equal(store_start(s), BUR_OK);
	whole_call(s, 1234);
	whole_call(s, 766);
	assert_int_equal(store_sync(s, 10 * NS_PER_S), BUR_OK);
	h = health_of(s);
	assert_int_equal(h.rows_written, 2);
	assert_int_equal(h.slots_used, 0);
	assert_int_equal(h.unpersisted_nanousd, 0);
	assert_int_equal(h.state, STORE_OK);
	assert_int_equal(sql_int(dir, "SELECT sum(amount_n) FROM ledger"), 2000);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM posting"), 6);
	assert_int_equal(sql_int(dir, "SELECT posted_n FROM meter WHERE meter_uid=-1152921504606846975"), 2000);
	assert_int_equal(sql_int(dir, "SELECT posted_n FROM meter WHERE meter_uid=2"), 2000);
	assert_int_equal(sql_int(dir, "SELECT posted_n FROM meter WHERE meter_uid=3"), 66); /* tokens */
	assert_int_equal(sql_int(dir, "SELECT flags FROM ledger WHERE seq=1"), ROW_STREAM);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM ledger WHERE extra='{\"end\":\"ok\"}'"), 2);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM ledger JOIN name ON id=user_id WHERE text='ann'"), 2);
	assert_verified(dir);
	store_close(s);
	assert_verified(dir);
}

static void void_and_update_leave_no_row(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	struct call c = make_call(s, 0, 10);
	uint32_t slot;

	(void)state;
	assert_int_equal(store_call_begin(s, 0, &c, &slot), BUR_OK);
	assert_int_equal(health_of(s).slots_used, 1);
	c.entry.cell.worst_nanousd = 20;
	store_call_update(s, slot, &c.entry.cell);
	store_call_void(s, 0, slot);
	assert_int_equal(health_of(s).slots_used, 0);
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM ledger"), 0);
	store_close(s);
}

static void slots_run_out_and_come_back(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	struct call c = make_call(s, 0, 10);
	uint32_t slot[64], more;

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 64; i++) {
			store_uid(s, 0, c.entry.uid);
			assert_int_equal(store_call_begin(s, 0, &c, &slot[i]), BUR_OK);
		}
		assert_int_equal(store_call_begin(s, 0, &c, &more), BUR_FULL);
		for (int i = 0; i < 64; i++) {
			struct call_end e = make_end(1);

			store_call_sent(s, slot[i]);
			store_call_settle(s, 0, slot[i], &e);
		}
		assert_int_equal(store_call_begin(s, 0, &c, &more), BUR_FULL);
		assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
	}
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM ledger"), 192);
	store_close(s);
}

static void batches_larger_than_one_transaction(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s;

	(void)state;
	cfg.journal_slots = 4096;
	s = must_open(&cfg, NULL);
	for (int i = 0; i < 3500; i++)
		whole_call(s, i);
	assert_int_equal(health_of(s).unpersisted_nanousd, 3500 * 3499 / 2);
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
	assert_int_equal(health_of(s).commits, 4);
	assert_int_equal(sql_int(dir, "SELECT sum(amount_n) FROM ledger"), 3500 * 3499 / 2);
	assert_verified(dir);
	store_close(s);
}

static void uids_ascend_and_never_repeat_across_starts(void **state)
{
	struct store_config cfg = test_config(dir);
	uint8_t before[16] = {0}, now[16];

	(void)state;
	for (int start = 0; start < 3; start++) {
		struct store *s = must_open(&cfg, NULL);

		for (int i = 0; i < 300; i++) {
			store_uid(s, 0, now);
			assert_true(memcmp(before, now, 12) < 0);
			memcpy(before, now, 16);
		}
		store_close(s);
	}
	{
		char path[100];
		struct store *s;

		(void)snprintf(path, sizeof path, "%s/inflight.jnl", dir);
		assert_int_equal(unlink(path), 0); /* the journal counts anew, the ids do not */
		s = must_open(&cfg, NULL);
		store_uid(s, 0, now);
		assert_true(memcmp(before, now, 12) < 0);
		store_close(s);
	}
}

/* --- threads ------------------------------------------------------------------------------------------------------ */

#define WORKERS 4
#define CALLS 5000
struct load {
	struct store *s;
	uint32_t worker;
};

static void *load_main(void *arg)
{
	struct load *l = arg;
	struct call c = make_call(l->s, l->worker, 5000);
	struct call_end e = make_end(0);
	uint32_t slot;

	for (int i = 0; i < CALLS; i++) {
		store_uid(l->s, l->worker, c.entry.uid);
		while (store_call_begin(l->s, l->worker, &c, &slot) != BUR_OK)
			(void)usleep(200);
		if (i % 7 == 0) {
			store_call_void(l->s, l->worker, slot);
			continue;
		}
		store_call_sent(l->s, slot);
		e.cell.actual_nanousd = i;
		store_call_settle(l->s, l->worker, slot, &e);
	}
	return NULL;
}

static void many_workers(void **state)
{
	struct store_config cfg = test_config(dir);
	struct load l[WORKERS];
	pthread_t t[WORKERS];
	int64_t rows = 0, sum = 0;
	struct store *s;

	(void)state;
	cfg.workers = WORKERS;
	cfg.journal_slots = 1024;
	s = must_open(&cfg, NULL);
	assert_int_equal(store_start(s), BUR_OK);
	for (uint32_t i = 0; i < WORKERS; i++) {
		l[i] = (struct load){s, i};
		assert_int_equal(pthread_create(&t[i], NULL, load_main, &l[i]), 0);
	}
	for (int i = 0; i < 20; i++) {
		store_tick(s);
		(void)usleep(1000);
	}
	for (int i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	for (int i = 0; i < CALLS; i++) {
		rows += i % 7 != 0;
		sum += i % 7 != 0 ? i : 0;
	}
	assert_int_equal(store_sync(s, 10 * NS_PER_S), BUR_OK);
	assert_int_equal(health_of(s).slots_used, 0);
	store_close(s);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM ledger"), WORKERS * rows);
	assert_int_equal(sql_int(dir, "SELECT sum(amount_n) FROM ledger"), WORKERS * sum);
	assert_verified(dir);
}

/* --- thresholds and meters ---------------------------------------------------------------------------------------- */

static struct threshold_event event_at(int64_t ppm, uint32_t mask)
{
	struct threshold_event e = {.kind = "budget.threshold",
				    .word = "alert",
				    .uid = METER_B,
				    .win_start = WINDOW,
				    .win_end = WINDOW + 100,
				    .at_ppm = ppm};

	e.limit = 5000;
	e.posted = 4000;
	e.warned_mask = mask;
	(void)snprintf(e.budget, sizeof e.budget, "b\"udget");
	(void)snprintf(e.scope, sizeof e.scope, "user=ann");
	return e;
}

static void events_are_written_once(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	struct threshold_event e;

	(void)state;
	for (int i = 0; i < 2; i++) {
		e = event_at(750000, 1);
		assert_int_equal(store_event(s, 0, &e), BUR_OK);
		e = event_at(900000, 2);
		assert_int_equal(store_event(s, 0, &e), BUR_OK);
		assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
	}
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM event"), 2);
	assert_int_equal(sql_int(dir, "SELECT warned_mask FROM meter WHERE meter_uid=2"), 3);
	assert_int_equal(sql_int(dir, "SELECT win_end FROM meter WHERE meter_uid=2"), WINDOW + 100);
	assert_int_equal(sql_int(dir, "SELECT payload->>'budget'='b\"udget' FROM event"), 1);
	for (int i = 0; i < EVENTS_PER_WORKER; i++)
		assert_int_equal(store_event(s, 0, &e), BUR_OK);
	assert_int_equal(store_event(s, 0, &e), BUR_FULL);
	store_close(s);
}

struct seen {
	int n;
	struct {
		uint64_t uid;
		int64_t win_start, win_end, posted;
		uint32_t mask;
		char text[64];
	} row[16];
};

static int see(void *ctx, const struct meter_row *m)
{
	struct seen *seen = ctx;

	assert_true(seen->n < 16);
	seen->row[seen->n].uid = m->uid;
	seen->row[seen->n].win_start = m->win_start;
	seen->row[seen->n].win_end = m->win_end;
	seen->row[seen->n].posted = m->posted;
	seen->row[seen->n].mask = m->warned_mask;
	(void)snprintf(seen->row[seen->n].text, 64, SLICE_FMT "/" SLICE_FMT, SLICE_ARG(m->budget), SLICE_ARG(m->scope));
	seen->n++;
	return BUR_OK;
}

static void post_at(struct store *s, int64_t win_start, int64_t settled_s, int64_t amount)
{
	struct call c = make_call(s, 0, 5000);
	struct call_end e = make_end(amount);
	uint32_t slot;

	c.entry.n_meters = 1;
	c.entry.meters[0] = (struct journal_meter){METER_B, win_start};
	slot = begin_sent(s, &c);
	e.settled_ns = settled_s * NS_PER_S;
	store_call_settle(s, 0, slot, &e);
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
}

static void open_counters_come_back(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	struct threshold_event e = event_at(750000, 5);
	struct seen seen = {0};

	(void)state;
	post_at(s, WINDOW - 100, WINDOW - 50, 7); /* yesterday */
	post_at(s, WINDOW, WINDOW + 1, 9);
	assert_int_equal(store_each_meter(s, WINDOW + 10, see, &seen), BUR_OK);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.row[0].win_start, WINDOW);
	assert_int_equal(seen.row[0].win_end, INT64_MAX); /* not known yet */
	assert_int_equal(seen.row[0].posted, 9);
	assert_string_equal(seen.row[0].text, "b/user=ann");
	assert_int_equal(store_event(s, 0, &e), BUR_OK);
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
	seen.n = 0;
	assert_int_equal(store_each_meter(s, WINDOW + 10, see, &seen), BUR_OK);
	assert_int_equal(seen.row[0].win_end, WINDOW + 100);
	assert_int_equal(seen.row[0].mask, 5);
	seen.n = 0;
	assert_int_equal(store_each_meter(s, WINDOW + 100, see, &seen), BUR_OK);
	assert_int_equal(seen.n, 0); /* over */
	/* The budget's window became longer: its start lies before, but it is what is posted to now. */
	post_at(s, WINDOW - 5000, WINDOW + 50, 11);
	assert_int_equal(store_each_meter(s, WINDOW + 60, see, &seen), BUR_OK);
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.row[1].win_start, WINDOW - 5000);
	store_close(s);
}

/* --- other writers ------------------------------------------------------------------------------------------------ */

static int set_thing(sqlite3 *db, void *arg)
{
	return db_meta_set_int(db, "thing", *(int *)arg);
}

static int fail_after_writing(sqlite3 *db, void *arg)
{
	int r = set_thing(db, arg);

	return r < 0 ? r : BUR_DENIED;
}

static int add_adjustment(sqlite3 *db, void *arg)
{
	(void)arg;
	return db_exec(db, "INSERT INTO ledger SELECT seq+1,randomblob(16),uid,extra,2,ts_admit,ts_settle,0,-5,0,5,0,"
			   "key_id,user_id,team_id,project_id,provider_id,model_id,route_id,0,0,0,0,0,0,0,0,0,3,0,0"
			   " FROM ledger ORDER BY seq DESC LIMIT 1") == SQLITE_OK
		   ? BUR_OK
		   : BUR_IO;
}

static int break_reference(sqlite3 *db, void *arg)
{
	(void)arg;
	return db_exec(db, "INSERT INTO posting VALUES(999999,1,1,1)") == SQLITE_OK ? BUR_OK : BUR_IO;
}

static void execute_is_a_transaction(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	int one = 1, two = 2;

	(void)state;
	assert_int_equal(store_execute(s, set_thing, &one), BUR_OK); /* before the thread runs */
	assert_int_equal(store_start(s), BUR_OK);
	assert_int_equal(store_execute(s, fail_after_writing, &two), BUR_DENIED);
	assert_int_equal(sql_int(dir, "SELECT value FROM meta WHERE key='thing'"), 1);
	assert_int_equal(store_execute(s, set_thing, &two), BUR_OK);
	assert_int_equal(sql_int(dir, "SELECT value FROM meta WHERE key='thing'"), 2);
	whole_call(s, 5);
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
	assert_int_equal(store_execute(s, add_adjustment, NULL), BUR_OK);
	assert_int_equal(store_execute(s, break_reference, NULL), BUR_IO);
	whole_call(s, 6);
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
	store_close(s);
	assert_int_equal(verify_dir(dir).rows, 3);
	assert_int_equal(verify_dir(dir).seal_errors, 0);
}

static void price_books_are_kept(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	sqlite3 *db;
	char *json;
	size_t n;

	(void)state;
	assert_int_equal(store_save_price_book(s, 4, 77, SLICE("{\"a\":1}")), BUR_OK);
	assert_int_equal(store_save_price_book(s, 4, 77, SLICE("{\"a\":1}")), BUR_OK);
	assert_int_equal(store_save_price_book(s, 4, 78, SLICE("{}")), BUR_ALREADY);
	assert_int_equal(store_reader(s, &db), BUR_OK);
	assert_int_equal(ledger_price_book(db, 4, &json, &n), BUR_OK);
	assert_string_equal(json, "{\"a\":1}");
	assert_int_equal(n, 7);
	free(json);
	assert_int_equal(ledger_price_book(db, 5, &json, &n), BUR_NOTFOUND);
	assert_int_not_equal(sqlite3_exec(db, "DELETE FROM price_book", NULL, NULL, NULL), SQLITE_OK); /* read-only */
	(void)sqlite3_close(db);
	store_close(s);
}

/* --- directory ---------------------------------------------------------------------------------------------------- */

static void files_are_private(void **state)
{
	static const char *const names[] = {"", "/lock", "/bursar.db", "/bursar.db-wal", "/inflight.jnl", "/names.log"};
	struct store_config cfg = test_config(dir);
	char sub[100], path[200];
	mode_t before = umask(0);
	struct store *s;
	struct stat st;

	(void)state;
	(void)snprintf(sub, sizeof sub, "%s/data", dir);
	cfg.dir = sub;
	s = must_open(&cfg, NULL);
	whole_call(s, 1);
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof path, "%s%s", sub, names[i]);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0077, 0);
	}
	store_close(s);
	(void)umask(before);
}

static void second_instance_is_told_who_holds_it(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	struct opened second = try_open(&cfg);
	char pid[32];

	(void)state;
	assert_int_equal(second.r, BUR_BUSY);
	assert_int_equal(second.exit_code, EXIT_BUSY);
	(void)snprintf(pid, sizeof pid, "pid %ld)", (long)getpid());
	assert_non_null(strstr(second.text, pid));
	store_close(s);
	s = must_open(&cfg, NULL);
	store_close(s);
}

static void bad_directories_have_clear_errors(void **state)
{
	struct store_config cfg = test_config("/proc/nobody/deeper");
	struct opened o = try_open(&cfg);

	(void)state;
	assert_int_equal(o.exit_code, EXIT_STORAGE_IO);
	assert_non_null(strstr(o.text, "/proc/nobody/deeper"));
	cfg.dir = "/etc/passwd";
	o = try_open(&cfg);
	assert_int_equal(o.exit_code, EXIT_STORAGE_IO);
	assert_non_null(strstr(o.text, "not a directory"));
	cfg.workers = 0;
	assert_int_equal(try_open(&cfg).r, BUR_INVALID);
}

static void missing_parents_are_made(void **state)
{
	char deep[PATH_MAX];
	struct store_config cfg = test_config(deep);
	struct stat st;

	(void)state;
	(void)snprintf(deep, sizeof deep, "%s/a/b", dir);
	store_close(must_open(&cfg, NULL));
	(void)snprintf(deep, sizeof deep, "%s/a", dir);
	assert_int_equal(stat(deep, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

/* As an ordinary user: root may write everywhere. */
static void read_only_database_is_refused(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	char path[100];
	int status;
	pid_t pid;

	(void)state;
	store_close(s);
	(void)snprintf(path, sizeof path, "%s/bursar.db", dir);
	assert_int_equal(chmod(path, 0444), 0);
	if (geteuid() == 0) {
		char lock[100];

		(void)snprintf(lock, sizeof lock, "%s/lock", dir);
		assert_int_equal(chmod(dir, 0777), 0);
		assert_int_equal(chmod(lock, 0666), 0);
	}
	pid = fork();
	if (pid == 0) {
		struct opened o;

		if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setgid(65534) < 0 || setuid(65534) < 0))
			_exit(9);
		log_init(open("/dev/null", O_WRONLY), LOG_ERROR);
		o = try_open(&cfg);
		_exit(o.exit_code == EXIT_STORAGE_IO && strstr(o.text, "cannot be opened for writing") ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void lost_disk_under_the_map_stops_with_a_line(void **state)
{
	struct store_config cfg = test_config(dir);
	char path[100], said[200] = "";
	int out[2], status;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(out), 0);
	pid = fork();
	if (pid == 0) {
		struct opened o = try_open(&cfg);
		struct call c = make_call(o.s, 0, 1);
		uint32_t slot;

		(void)dup2(out[1], STDERR_FILENO);
		(void)snprintf(path, sizeof path, "%s/inflight.jnl", dir);
		(void)!truncate(path, 0);
		(void)!store_call_begin(o.s, 0, &c, &slot);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), EXIT_STORAGE_IO);
	assert_true(read(out[0], said, sizeof said - 1) > 0);
	assert_non_null(strstr(said, "SIGBUS"));
	(void)close(out[0]);
	(void)close(out[1]);
}

static void tick_truncates_the_log_when_idle(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	char path[100];
	struct stat st;

	(void)state;
	(void)snprintf(path, sizeof path, "%s/bursar.db-wal", dir);
	for (int i = 0; i < 50; i++)
		whole_call(s, 1);
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size > 0);
	store_tick(s);
	s->checkpoint_ns -= 6 * NS_PER_S;
	store_tick(s);
	s->checkpoint_ns -= 6 * NS_PER_S;
	store_tick(s);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 0);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(call_becomes_a_row_with_postings, setup, teardown),
	    cmocka_unit_test_setup_teardown(void_and_update_leave_no_row, setup, teardown),
	    cmocka_unit_test_setup_teardown(slots_run_out_and_come_back, setup, teardown),
	    cmocka_unit_test_setup_teardown(batches_larger_than_one_transaction, setup, teardown),
	    cmocka_unit_test_setup_teardown(uids_ascend_and_never_repeat_across_starts, setup, teardown),
	    cmocka_unit_test_setup_teardown(many_workers, setup, teardown),
	    cmocka_unit_test_setup_teardown(events_are_written_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(open_counters_come_back, setup, teardown),
	    cmocka_unit_test_setup_teardown(execute_is_a_transaction, setup, teardown),
	    cmocka_unit_test_setup_teardown(price_books_are_kept, setup, teardown),
	    cmocka_unit_test_setup_teardown(files_are_private, setup, teardown),
	    cmocka_unit_test_setup_teardown(second_instance_is_told_who_holds_it, setup, teardown),
	    cmocka_unit_test_setup_teardown(bad_directories_have_clear_errors, setup, teardown),
	    cmocka_unit_test_setup_teardown(missing_parents_are_made, setup, teardown),
	    cmocka_unit_test_setup_teardown(read_only_database_is_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(lost_disk_under_the_map_stops_with_a_line, setup, teardown),
	    cmocka_unit_test_setup_teardown(tick_truncates_the_log_when_idle, setup, teardown),
	};

	log_init(STDERR_FILENO, LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
