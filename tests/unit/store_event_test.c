/* What the store itself tells: of rows, in their transaction, in normal running and after a crash alike; of repairs; of
 * storage that fails, once it works again. */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "store/note.h"
#include "tests/unit/store_dir.h"

/* --- rows --------------------------------------------------------------------------------------------------------- */

static void settle(struct store *s, const char *model, uint32_t flags, int64_t actual, int status)
{
	struct call c = make_call(s, 0, 5000);
	struct call_end e = make_end(actual);
	uint32_t slot;

	c.entry.ids[NAME_MODEL] = store_name(s, NAME_MODEL, slice_of(model));
	slot = begin_sent(s, &c);
	e.cell.flags = flags;
	e.cell.status = (uint16_t)status;
	store_call_settle(s, 0, slot, &e);
}

#define OVERRUNS "SELECT count(*) FROM event WHERE kind='budget.overrun'"
#define UNPRICED "SELECT count(*) FROM event WHERE kind='price.unknown_model'"

static void overruns_are_events_of_their_rows(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);

	(void)state;
	settle(s, "gpt-x", 0, 100, 200);
	settle(s, "gpt\"x", ROW_OVERRUN, 12345678, 200);
	settle(s, "gpt\"x", ROW_OVERRUN, 12345678, 200); /* each call is one */
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
	assert_int_equal(sql_int(dir, OVERRUNS), 2);
	assert_int_equal(
	    sql_int(
		dir, OVERRUNS
		" AND payload->>'message'='A call to gpt\"x cost 0.012345678 USD, but only 0.000005 USD were held for"
		" it' AND payload->>'object'='gpt\"x' AND payload->>'object_kind'='model' AND payload->>'key'='bur_abc'"
		" AND payload->>'user'='ann' AND payload->>'provider'='openai' AND payload->>'cost_nanos'=12345678"
		" AND payload->>'held_nanos'=5000 AND payload->>'$.budgets[0]' IN ('a','b','t')"
		" AND json_array_length(payload,'$.budgets')=3 AND action=100"
		" AND payload->>'call' IN (SELECT lower(hex(uid)) FROM ledger)"),
	    2);
	store_close(s);
}

static void models_without_a_price_are_told_once_a_day(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	char object[] = "openai/new";
	const struct note refused = {.kind = "price.unknown_model",
				     .object = slice_of(object),
				     .since_s = clock_wall_ns() / NS_PER_S / 86400 * 86400,
				     .state = NOTE_BEGAN,
				     .payload = SLICE("{}")};

	(void)state;
	for (int i = 0; i < 5; i++) {
		settle(s, "new", ROW_NO_PRICE, 0, 200);
		settle(s, "newer", ROW_NO_PRICE, 0, 200);
		settle(s, "made up", ROW_NO_PRICE, 0, 404); /* the vendor does not know it either */
		settle(s, "", ROW_NO_PRICE, 0, 200);        /* a route without models */
	}
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
	assert_int_equal(sql_int(dir, UNPRICED), 2);
	assert_int_equal(sql_int(dir, UNPRICED " AND payload->>'object'='openai/new' AND payload->>'model'='new'"
					       " AND payload->>'object_kind'='model' AND win_start%86400=0"),
			 1);
	assert_int_equal(store_note(s, &refused), BUR_ALREADY); /* the same as of a refused call */
	store_close(s);
	s = must_open(&cfg, NULL);
	settle(s, "new", ROW_NO_PRICE, 0, 200);
	store_close(s);
	assert_int_equal(sql_int(dir, UNPRICED), 2);
}

/* The longest names there are, all of them escaped to six times their size. */
static void long_names_fit(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	struct call c = make_call(s, 0, 5000);
	struct call_end e = make_end(9000);
	char name[300];

	(void)state;
	memset(name, 1, sizeof name);
	for (int i = 0; i < JOURNAL_NAMES; i++)
		c.entry.ids[i] = store_name(s, (enum name_kind)i, slice_mem(name, sizeof name));
	e.cell.flags = ROW_OVERRUN | ROW_NO_PRICE;
	store_call_settle(s, 0, begin_sent(s, &c), &e);
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
	assert_int_equal(sql_int(dir, "SELECT sum(json_valid(payload)) FROM event"), 2);
	store_close(s);
}

static void a_repeated_batch_tells_once(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);

	(void)state;
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
	for (int done = 0; done < 2; done++) {
		settle(s, "gpt-x", ROW_OVERRUN | ROW_NO_PRICE, 100, 200);
		store_test_fail(0, 1, SQLITE_IOERR, done == 1);
		assert_int_equal(store_sync(s, NS_PER_S), BUR_IO);
		assert_int_equal(sql_int(dir, OVERRUNS), done == 1 ? 2 : 0);
		assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
		assert_int_equal(sql_int(dir, OVERRUNS), done + 1);
		assert_int_equal(sql_int(dir, UNPRICED), 1);
	}
	store_close(s);
}

/* --- after a crash ------------------------------------------------------------------------------------------------ */

/* Two calls are settled and not written, one is under way; the process dies at the n-th point from here, or in the end.
 */
static void die(int n)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct store_config cfg = test_config(dir);
		struct store *s = must_open(&cfg, NULL);
		struct call c = make_call(s, 0, 700);
		char text[16];

		settle(s, "gpt-x", ROW_OVERRUN, 9000, 200);
		settle(s, "new", ROW_NO_PRICE, 0, 200);
		(void)begin_sent(s, &c);
		(void)snprintf(text, sizeof text, "%d", n);
		(void)setenv("BURSAR_KILL_AT", text, 1);
		if (n > 0) { /* the next start dies as well */
			store_close(s);
			s = must_open(&cfg, NULL);
		}
		(void)raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void check_told(void)
{
	struct store_config cfg = test_config(dir);
	struct recovery_report rep;

	store_close(must_open(&cfg, &rep));
	store_close(must_open(&cfg, NULL));
	assert_int_equal(sql_int(dir, OVERRUNS), 1);
	assert_int_equal(sql_int(dir, UNPRICED), 1);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM ledger"), 3);
	assert_int_equal(
	    sql_int(dir,
		    "SELECT count(*) FROM event WHERE kind='system.degraded' AND payload->>'object'='recovery'"
		    " AND payload->>'object_kind'='store' AND payload->>'calls'=1 AND payload->>'charged_nanos'=700"
		    " AND payload->>'ends_s'=ts/1000000000+3600 AND payload->>'severity'='warning'"),
	    1);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM event"), 3);
}

static void recovery_tells_of_rows_and_of_itself(void **state)
{
	(void)state;
	die(0);
	check_told();
}

static void recovery_that_dies_tells_once(void **state)
{
	(void)state;
	for (int n = 1; n < 40; n++) {
		die(n);
		check_told();
		remove_dir(dir);
		assert_int_equal(mkdir(dir, 0700), 0);
	}
}

#define REPAIRS "SELECT count(*) FROM event WHERE kind='ledger.repaired'"

static void repairs_are_told(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	char path[100];
	int fd;

	(void)state;
	whole_call(s, 40);
	store_close(s);
	sql_change(dir, "UPDATE meter SET posted_n=1 WHERE meter_uid=2");
	sql_change(dir, "UPDATE rollup SET amount_n=amount_n+1 WHERE kind=7");
	die(0);
	(void)snprintf(path, sizeof path, "%s/inflight.jnl", dir);
	fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, "\xff", 1, 4096 + 300), 1);
	(void)close(fd);
	store_close(must_open(&cfg, NULL));
	assert_int_equal(sql_int(dir, REPAIRS), 3);
	assert_int_equal(sql_int(dir, REPAIRS " AND payload->>'object'='journal' AND payload->>'slots'=1 AND"
					      " payload->>'severity'='critical'"),
			 1);
	assert_int_equal(sql_int(dir, REPAIRS " AND payload->>'object'='counters' AND payload->>'severity'='error'"
					      " AND payload->>'$.counters[0].budget'='b'"
					      " AND payload->>'$.counters[0].scope'='user=ann'"
					      " AND payload->>'$.counters[0].was'<payload->>'$.counters[0].is'"),
			 1);
	assert_int_equal(sql_int(dir, REPAIRS " AND payload->>'object'='sums'"), 1);
	store_close(must_open(&cfg, NULL));
	assert_int_equal(sql_int(dir, REPAIRS), 3);
}

/* --- storage ------------------------------------------------------------------------------------------------------ */

#define TROUBLES "SELECT count(*) FROM event WHERE kind='system.degraded' AND payload->>'object'='store'"

static int state_of(struct store *s)
{
	struct store_health h;

	store_health(s, &h);
	return h.state;
}

static void failing_storage_is_told_when_it_works_again(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s;

	(void)state;
	cfg.storage_grace_ns = 1500 * NS_PER_MS;
	s = must_open(&cfg, NULL);
	assert_int_equal(store_start(s), BUR_OK);
	store_test_fail(0, 1000000, SQLITE_FULL, false);
	whole_call(s, 100);
	WAIT_FOR(state_of(s) == STORE_DOWN);
	WAIT_FOR(s->health.trouble.told == TROUBLE_DOWN);
	assert_int_equal(sql_int(dir, TROUBLES), 0);
	store_test_fail(0, 0, 0, false);
	WAIT_FOR(sql_int(dir, TROUBLES) == 3);
	assert_int_equal(sql_int(dir,
				 TROUBLES " AND action=100 AND payload->>'severity'='error' AND"
					  " payload->>'message' LIKE 'Storage: the ledger cannot be written%full%'"),
			 1);
	assert_int_equal(sql_int(dir, TROUBLES " AND action=100 AND payload->>'severity'='critical' AND"
					       " payload->>'message' LIKE '%; hard budgets are refused'"),
			 1);
	assert_int_equal(sql_int(dir, TROUBLES " AND action=101 AND payload->>'message' LIKE 'Storage works again%' AND"
					       " id=(SELECT max(id) FROM event)"),
			 1);
	assert_int_equal(sql_int(dir, "SELECT count(DISTINCT win_start) FROM event"), 1);
	store_close(s);
}

static void one_repeated_commit_is_no_trouble(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);

	(void)state;
	assert_int_equal(store_start(s), BUR_OK);
	store_test_fail(0, 3, SQLITE_BUSY, false);
	whole_call(s, 100);
	assert_int_equal(store_sync(s, 5 * NS_PER_S), BUR_OK);
	store_close(s);
	assert_int_equal(sql_int(dir, TROUBLES), 0);
}

static void little_room_is_told_and_ended_by_the_next_run(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s;

	(void)state;
	cfg.min_free_bytes = INT64_MAX;
	s = must_open(&cfg, NULL);
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK); /* at once: there is room for this */
	assert_int_equal(sql_int(dir, TROUBLES " AND action=100 AND payload->>'severity'='critical'"), 1);
	store_close(s);
	s = must_open(&cfg, NULL); /* still so: nothing new */
	store_close(s);
	assert_int_equal(sql_int(dir, TROUBLES), 1);
	cfg.min_free_bytes = -1;
	s = must_open(&cfg, NULL);
	store_close(s);
	assert_int_equal(sql_int(dir, TROUBLES), 2);
	assert_int_equal(sql_int(dir, TROUBLES " AND action=101 AND win_start=(SELECT min(win_start) FROM event)"), 1);
	s = must_open(&cfg, NULL);
	store_close(s);
	assert_int_equal(sql_int(dir, TROUBLES), 2);
}

/* Comes and goes without any commit: the queue keeps its size, and what holds in the end is told in the end. */
static void many_troubles_are_bounded(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	struct trouble *t = &s->health.trouble;

	(void)state;
	for (int i = 0; i < 50; i++) {
		trouble_is(t, TROUBLE_DOWN, "x");
		trouble_is(t, TROUBLE_NONE, "");
	}
	assert_int_equal(t->n, TROUBLES_MAX);
	assert_int_equal(t->waiting[TROUBLES_MAX - 1].level, TROUBLE_NONE);
	store_close(s);
	assert_true(sql_int(dir, TROUBLES) >= 2);
	assert_int_equal(sql_int(dir, "SELECT action FROM event ORDER BY id DESC LIMIT 1"), NOTE_ENDED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(overruns_are_events_of_their_rows, setup, teardown),
	    cmocka_unit_test_setup_teardown(models_without_a_price_are_told_once_a_day, setup, teardown),
	    cmocka_unit_test_setup_teardown(long_names_fit, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_repeated_batch_tells_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(recovery_tells_of_rows_and_of_itself, setup, teardown),
	    cmocka_unit_test_setup_teardown(recovery_that_dies_tells_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(repairs_are_told, setup, teardown),
	    cmocka_unit_test_setup_teardown(failing_storage_is_told_when_it_works_again, setup, teardown),
	    cmocka_unit_test_setup_teardown(one_repeated_commit_is_no_trouble, setup, teardown),
	    cmocka_unit_test_setup_teardown(little_room_is_told_and_ended_by_the_next_run, setup, teardown),
	    cmocka_unit_test_setup_teardown(many_troubles_are_bounded, setup, teardown),
	};

	log_init(-1, LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
