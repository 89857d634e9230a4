/* Start-up after every kind of death. I7: each request that the vendor saw is in the ledger exactly once, with at least
 * what it cost; one that was settled with exactly that. */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/unit/store_help.h"

#define SEEN_MAX 4096

/* What the vendor knows; shared with the child that dies. */
struct vendor {
	_Atomic uint32_t n;
	struct {
		uint8_t uid[16];
		int64_t cost;
		_Atomic bool settled;
	} seen[SEEN_MAX];
};

static char dir[64];
static struct vendor *vendor;

static int setup(void **state)
{
	(void)state;
	new_dir(dir);
	vendor = mmap(NULL, sizeof *vendor, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return vendor == MAP_FAILED;
}

static int teardown(void **state)
{
	(void)state;
	(void)munmap(vendor, sizeof *vendor);
	remove_dir(dir);
	return 0;
}

static uint32_t vendor_sees(const struct call *c, int64_t cost)
{
	uint32_t i = atomic_load(&vendor->n);

	memcpy(vendor->seen[i].uid, c->entry.uid, 16);
	vendor->seen[i].cost = cost;
	atomic_store(&vendor->seen[i].settled, false);
	atomic_store(&vendor->n, i + 1);
	return i;
}

/* --- checks after the restart ------------------------------------------------------------------------------------- */

static void check_ledger(void)
{
	sqlite3 *db = raw_db(dir, false);
	sqlite3_stmt *st;
	uint32_t n = atomic_load(&vendor->n);

	assert_int_equal(
	    sqlite3_prepare_v2(db, "SELECT count(*),max(amount_n) FROM ledger WHERE uid=?1", -1, &st, NULL), SQLITE_OK);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(sqlite3_bind_blob(st, 1, vendor->seen[i].uid, 16, SQLITE_STATIC), SQLITE_OK);
		assert_int_equal(sqlite3_step(st), SQLITE_ROW);
		assert_int_equal(sqlite3_column_int(st, 0), 1);
		assert_true(sqlite3_column_int64(st, 1) >= vendor->seen[i].cost);
		if (atomic_load(&vendor->seen[i].settled))
			assert_int_equal(sqlite3_column_int64(st, 1), vendor->seen[i].cost);
		(void)sqlite3_reset(st);
	}
	(void)sqlite3_finalize(st);
	(void)sqlite3_close(db);
}

static void reopen_and_check(bool whole_chain)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	struct journal_entry e;
	struct store_health h;

	for (uint32_t i = 0; i < journal_slots(s->journal); i++)
		assert_int_equal(journal_read(s->journal, i, &e), BUR_NOTFOUND);
	store_health(s, &h);
	assert_int_equal(h.slots_used, 0);
	check_ledger();
	if (whole_chain)
		assert_verified(dir);
	store_close(s);
}

/* --- the script that dies ----------------------------------------------------------------------------------------- */

static uint32_t script_call(struct store *s, int64_t cost, struct call *ret)
{
	uint32_t slot;

	*ret = make_call(s, 0, 5000);
	slot = begin_sent(s, ret);
	(void)vendor_sees(ret, cost);
	return slot;
}

static void script_settle(struct store *s, uint32_t slot, uint32_t seen, int64_t cost)
{
	struct call_end e = make_end(cost);

	store_call_settle(s, 0, slot, &e);
	atomic_store(&vendor->seen[seen].settled, true);
}

static void script(struct store *s)
{
	struct threshold_event ev = {.kind = "budget.threshold",
				     .word = "alert",
				     .uid = METER_B,
				     .win_start = WINDOW,
				     .win_end = WINDOW + 9,
				     .at_ppm = 750000};
	struct call c;
	uint32_t slot, seen = atomic_load(&vendor->n);

	slot = script_call(s, 100, &c);
	script_settle(s, slot, seen, 100);
	slot = script_call(s, 4000, &c); /* grows on the way */
	c.entry.cell.worst_nanousd = 9000;
	store_call_update(s, slot, &c.entry.cell);
	script_settle(s, slot, seen + 1, 4000);
	assert_int_equal(store_event(s, 0, &ev), BUR_OK);
	if (store_sync(s, NS_PER_S) != BUR_OK)
		_exit(3);
	c = make_call(s, 0, 10);
	if (store_call_begin(s, 0, &c, &slot) != BUR_OK)
		_exit(4);
	store_call_void(s, 0, slot);
	(void)store_name(s, NAME_USER, SLICE("new name"));
	slot = script_call(s, 300, &c);
	script_settle(s, slot, seen + 2, 300);
	(void)script_call(s, 5000, &c); /* still under way */
}

/* Returns false when the child came to its end without reaching point n. */
static bool die_at(int n, bool thread)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct store_config cfg = test_config(dir);
		struct opened o;
		char text[16];

		(void)snprintf(text, sizeof text, "%d", n);
		(void)setenv("BURSAR_KILL_AT", text, 1);
		o = try_open(&cfg);
		if (o.r < 0)
			_exit(2);
		if (store_meter_known(o.s, METER_TOKENS, SLICE("t"), SLICE(""), UNIT_TOKENS) < 0)
			_exit(5);
		if (thread && store_start(o.s) != BUR_OK)
			_exit(6);
		script(o.s);
		store_close(o.s);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		assert_int_equal(WTERMSIG(status), SIGKILL);
		return true;
	}
	assert_int_equal(WEXITSTATUS(status), 0);
	return false;
}

static void every_kill_point_from_an_empty_directory(void **state)
{
	int n = 1;

	(void)state;
	for (bool dead = true; dead; n++) {
		atomic_store(&vendor->n, 0);
		dead = die_at(n, false);
		reopen_and_check(true);
		remove_dir(dir);
		assert_int_equal(mkdir(dir, 0700), 0);
	}
	print_message("%d kill points\n", n - 2);
	assert_true(n > 60);
}

/* The same over one directory that lives on, with the writer's thread. */
static void every_kill_point_with_the_thread(void **state)
{
	(void)state;
	reopen_and_check(true);
	for (int n = 1; n < 120; n++) {
		(void)die_at(n, true);
		reopen_and_check(true);
	}
}

/* Dies during recovery, at each of its points, and recovers all the same. */
static void every_kill_point_of_recovery(void **state)
{
	bool dead = true;

	(void)state;
	for (int n = 1; dead; n++) {
		pid_t pid;
		int status;

		atomic_store(&vendor->n, 0);
		(void)die_at(1000000, false); /* leaves a call under way */
		pid = fork();
		if (pid == 0) { /* and three that are settled but not written */
			struct store_config cfg = test_config(dir);
			struct opened o = try_open(&cfg);

			if (o.r < 0)
				_exit(1);
			script(o.s);
			(void)raise(SIGKILL);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		dead = die_at(n, false);
		reopen_and_check(true);
		if (n > 40)
			break;
	}
}

/* --- random deaths under load ------------------------------------------------------------------------------------- */

static void load(struct store *s)
{
	unsigned seed = (unsigned)getpid();
	struct call_end e = make_end(0);
	int lost = 0;

	for (;;) {
		struct call c = make_call(s, 0, 5000);
		uint32_t slot, seen;

		while (store_call_begin(s, 0, &c, &slot) != BUR_OK)
			(void)usleep(100);
		if (rand_r(&seed) % 8 == 0) {
			store_call_void(s, 0, slot);
			continue;
		}
		if (atomic_load(&vendor->n) >= SEEN_MAX)
			(void)pause();
		store_call_sent(s, slot);
		e.cell.actual_nanousd = rand_r(&seed) % 5000;
		seen = vendor_sees(&c, e.cell.actual_nanousd);
		if (rand_r(&seed) % 64 == 0 && lost++ < 32)
			continue; /* never comes to an end */
		store_call_settle(s, 0, slot, &e);
		atomic_store(&vendor->seen[seen].settled, true);
		if (rand_r(&seed) % 16 == 0)
			(void)usleep(100);
	}
}

static void live_until_killed(void)
{
	struct store_config cfg = test_config(dir);
	struct opened o;

	cfg.writer_interval_ns = NS_PER_MS;
	o = try_open(&cfg);
	if (o.r < 0 || store_start(o.s) < 0)
		_exit(1);
	load(o.s);
}

/* A quarter dies anywhere, mostly while it starts; the others after some calls. */
static void wait_to_kill(int round, unsigned *seed)
{
	uint32_t calls = 1 + (uint32_t)rand_r(seed) % 20;
	useconds_t a_while = (useconds_t)rand_r(seed) % 20000;

	if (round % 4 == 0) {
		(void)usleep(a_while);
		return;
	}
	for (int i = 0; atomic_load(&vendor->n) < calls && i < 60000; i++)
		(void)usleep(1000);
	(void)usleep(a_while / 8);
}

static void random_kills_under_load(void **state)
{
	unsigned seed = 12345;
	uint64_t seen = 0;
	int64_t begin = clock_mono_ns();

	(void)state;
	for (int i = 0; i < 200; i++) {
		pid_t pid;
		int status;

		atomic_store(&vendor->n, 0);
		pid = fork();
		if (pid == 0) {
			live_until_killed();
			_exit(1);
		}
		wait_to_kill(i, &seed);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		seen += atomic_load(&vendor->n);
		reopen_and_check(i % 20 == 19);
	}
	print_message("200 kills, %llu requests seen, %.1f s\n", (unsigned long long)seen,
		      (double)(clock_mono_ns() - begin) / 1e9);
	assert_true(seen > 1000);
}

/* --- single cases ------------------------------------------------------------------------------------------------- */

static void child_leaves(void (*what)(struct store *))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct store_config cfg = test_config(dir);

		what(must_open(&cfg, NULL));
		(void)raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void one_of_each(struct store *s)
{
	struct call c = make_call(s, 0, 700);
	struct call_end e = make_end(30);
	uint32_t slot;

	(void)!store_call_begin(s, 0, &c, &slot); /* reserved */
	store_uid(s, 0, c.entry.uid);
	(void)begin_sent(s, &c);
	store_uid(s, 0, c.entry.uid);
	slot = begin_sent(s, &c);
	store_call_settle(s, 0, slot, &e);
}

static void report_tells_what_was_done(void **state)
{
	struct store_config cfg = test_config(dir);
	struct recovery_report rep;
	struct store *s;

	(void)state;
	child_leaves(one_of_each);
	s = must_open(&cfg, &rep);
	assert_true(rep.unclean);
	assert_int_equal(rep.voided, 1);
	assert_int_equal(rep.charged_worst, 1);
	assert_int_equal(rep.charged_nanousd, 700);
	assert_int_equal(rep.settled, 1);
	assert_int_equal(rep.quarantined, 0);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM ledger WHERE amount_n=700 AND source=4 AND flags&3=3"), 1);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM ledger WHERE amount_n=30 AND source=1 AND flags&3=2"), 1);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM ledger WHERE extra->>'trace'='t\"1'"), 2);
	assert_int_equal(sql_int(dir, "SELECT posted_n FROM meter WHERE meter_uid=2"), 730);
	store_close(s);
	s = must_open(&cfg, &rep);
	assert_false(rep.unclean);
	assert_int_equal(rep.settled + rep.charged_worst + rep.voided, 0);
	store_close(s);
}

static void damaged_slot_is_kept_apart(void **state)
{
	struct store_config cfg = test_config(dir);
	struct recovery_report rep;
	struct opened o;
	struct store *s;
	char path[100];
	int fd;

	(void)state;
	child_leaves(one_of_each);
	(void)snprintf(path, sizeof path, "%s/inflight.jnl", dir);
	fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, "\xff", 1, 4096 + 512 + 300), 1);
	(void)close(fd);
	cfg.strict_journal = true;
	o = try_open(&cfg);
	assert_int_equal(o.exit_code, EXIT_STORE);
	cfg.strict_journal = false;
	s = must_open(&cfg, &rep);
	assert_int_equal(rep.quarantined, 1);
	assert_int_equal(rep.charged_worst + rep.settled, 1);
	assert_int_equal(sql_int(dir, "SELECT length(raw) FROM journal_quarantine"), 512);
	store_close(s);
	assert_int_equal(verify_dir(dir).quarantined, 1);
}

static void counters_are_set_to_the_sum_of_their_postings(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);

	(void)state;
	whole_call(s, 40);
	whole_call(s, 2);
	store_close(s);
	sql_change(dir, "UPDATE meter SET posted_n=1 WHERE meter_uid=2");
	sql_change(dir, "DELETE FROM meter WHERE meter_uid=3");
	assert_int_equal(verify_dir(dir).sum_errors, 2);
	log_init(open("/dev/null", O_WRONLY), LOG_ERROR);
	s = must_open(&cfg, NULL);
	log_init(STDERR_FILENO, LOG_ERROR);
	assert_int_equal(sql_int(dir, "SELECT posted_n FROM meter WHERE meter_uid=2"), 42);
	assert_int_equal(sql_int(dir, "SELECT posted_n FROM meter WHERE meter_uid=3"), 66);
	store_close(s);
	assert_verified(dir);
}

static void fill_16384(struct store *s)
{
	struct call c = make_call(s, 0, 5000);
	struct call_end e = make_end(7);

	c.entry.n_meters = JOURNAL_METERS_MAX;
	for (int i = 0; i < 16384; i++) {
		uint32_t slot;

		for (int k = 0; k < JOURNAL_METERS_MAX; k++)
			c.entry.meters[k] = (struct journal_meter){(uint64_t)(i % 1000 * 16 + k), WINDOW};
		store_uid(s, 0, c.entry.uid);
		slot = begin_sent(s, &c);
		if (i % 2)
			store_call_settle(s, 0, slot, &e);
	}
}

static void a_full_journal_is_recovered(void **state)
{
	struct store_config cfg = test_config(dir);
	struct recovery_report rep;
	struct store *s;
	clock_t begin;
	pid_t pid;
	int status;

	(void)state;
	cfg.journal_slots = 16384;
	pid = fork();
	if (pid == 0) {
		fill_16384(must_open(&cfg, NULL));
		(void)raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	begin = clock();
	s = must_open(&cfg, &rep);
	print_message("16384 slots with 16 meters each: %.2f s of processor time (goal: 2 s)\n",
		      (double)(clock() - begin) / CLOCKS_PER_SEC);
	assert_int_equal(rep.charged_worst, 8192);
	assert_int_equal(rep.settled, 8192);
	store_close(s);
	assert_verified(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(report_tells_what_was_done, setup, teardown),
	    cmocka_unit_test_setup_teardown(damaged_slot_is_kept_apart, setup, teardown),
	    cmocka_unit_test_setup_teardown(counters_are_set_to_the_sum_of_their_postings, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_full_journal_is_recovered, setup, teardown),
	    cmocka_unit_test_setup_teardown(every_kill_point_from_an_empty_directory, setup, teardown),
	    cmocka_unit_test_setup_teardown(every_kill_point_with_the_thread, setup, teardown),
	    cmocka_unit_test_setup_teardown(every_kill_point_of_recovery, setup, teardown),
	    cmocka_unit_test_setup_teardown(random_kills_under_load, setup, teardown),
	};

	log_init(STDERR_FILENO, LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
