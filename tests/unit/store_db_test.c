#include <fcntl.h>
#include <sys/wait.h>

#include "store/alerts.h"
#include "tests/unit/store_help.h"

static char dir[64];

static int setup(void **state)
{
	struct store_config cfg;

	(void)state;
	cfg = test_config(new_dir(dir));
	store_close(must_open(&cfg, NULL));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	remove_dir(dir);
	return 0;
}

static struct opened reopen(void)
{
	struct store_config cfg = test_config(dir);

	return try_open(&cfg);
}

static void newer_database_is_refused(void **state)
{
	struct opened o;

	(void)state;
	sql_change(dir, "PRAGMA user_version=99");
	o = reopen();
	assert_int_equal(o.exit_code, EXIT_STORE);
	assert_non_null(strstr(o.text, "newer bursar (schema 99"));
	assert_int_equal(sql_int(dir, "PRAGMA user_version"), 99); /* untouched */
}

static void foreign_database_is_refused(void **state)
{
	struct opened o;

	(void)state;
	sql_change(dir, "PRAGMA application_id=5");
	o = reopen();
	assert_int_equal(o.exit_code, EXIT_STORE);
	assert_non_null(strstr(o.text, "not a bursar database"));
}

static void damaged_database_is_refused_and_kept(void **state)
{
	char path[128];
	struct opened o;
	int fd;

	(void)state;
	(void)snprintf(path, sizeof path, "%s/bursar.db", dir);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "this is not what it was", 23, 4096), 23);
	(void)close(fd);
	o = reopen();
	assert_int_equal(o.exit_code, EXIT_STORE);
	assert_non_null(strstr(o.text, "damaged"));
	assert_int_equal(access(path, F_OK), 0);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "no header", 9, 0), 9);
	(void)close(fd);
	o = reopen();
	assert_int_equal(o.exit_code, EXIT_STORE);
}

static void journal_of_another_database_is_refused(void **state)
{
	char path[128];
	struct opened o;

	(void)state;
	(void)snprintf(path, sizeof path, "%s/bursar.db", dir);
	assert_int_equal(unlink(path), 0);
	o = reopen();
	assert_int_equal(o.exit_code, EXIT_STORE);
	assert_non_null(strstr(o.text, "another database"));
}

static void settings_are_in_force(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	sqlite3_stmt *st;

	(void)state;
	assert_int_equal(db_prepare(s->writer.db,
				    "SELECT (SELECT * FROM pragma_journal_mode)='wal' AND"
				    " (SELECT * FROM pragma_synchronous)=2 AND"
				    " (SELECT * FROM pragma_trusted_schema)=0",
				    &st),
			 SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	assert_int_equal(sqlite3_column_int(st, 0), 1);
	(void)sqlite3_finalize(st);
	store_close(s);
	assert_int_equal(sql_int(dir, "PRAGMA user_version"), db_schema_version());
	assert_int_equal(sql_int(dir, "SELECT length(value) FROM meta WHERE key='database_uuid'"), 16);
}

static void migrating_twice_changes_nothing(void **state)
{
	sqlite3 *db = raw_db(dir, true);
	char text[100];

	(void)state;
	assert_int_equal(db_migrate(db, text, sizeof text), BUR_OK);
	assert_int_equal(db_meta_set_int(db, "x", 5), BUR_OK);
	{
		int64_t v;

		assert_int_equal(db_meta_int(db, "x", 1, &v), BUR_OK);
		assert_int_equal(v, 5);
		assert_int_equal(db_meta_int(db, "y", 1, &v), BUR_OK);
		assert_int_equal(v, 1);
	}
	(void)sqlite3_close(db);
}

/* --- upgrades ----------------------------------------------------------------------------------------------------- */

/* What schema 5 had in the place of all that step 6 makes. */
static void back_to_5(void)
{
	sql_change(dir, "DROP VIEW alerts; DROP VIEW alert_deliveries; DROP TABLE incident; DROP TABLE incident_event;"
			"DROP TABLE outbox; DROP TABLE delivery; DROP TABLE told; DROP TABLE mute;"
			"DROP TABLE channel_state; DROP TABLE event; DELETE FROM meta WHERE key='alerts_cursor';"
			"CREATE TABLE outbox(id INTEGER PRIMARY KEY, ts INTEGER NOT NULL, kind TEXT NOT NULL,"
			" uid INTEGER NOT NULL, win_start INTEGER NOT NULL, at_ppm INTEGER NOT NULL,"
			" action INTEGER NOT NULL, payload TEXT NOT NULL, state INTEGER NOT NULL DEFAULT 0,"
			" UNIQUE(uid, win_start, at_ppm, action)) STRICT;"
			"CREATE INDEX outbox_open ON outbox(id) WHERE state=0;"
			"PRAGMA user_version=5");
}

static int64_t cursor(void)
{
	sqlite3 *db = raw_db(dir, false);
	int64_t v;

	assert_int_equal(alerts_cursor(db, &v), BUR_OK);
	(void)sqlite3_close(db);
	return v;
}

static void old_events_stay_and_are_not_told(void **state)
{
	struct store_config cfg = test_config(dir);
	const struct note same = {
	    .kind = "spend.anomaly", .object = SLICE("a"), .since_s = 5, .state = NOTE_BEGAN, .payload = SLICE("{}")};
	struct store *s;

	(void)state;
	back_to_5();
	sql_change(dir, "INSERT INTO outbox(id,ts,kind,uid,win_start,at_ppm,action,payload) VALUES"
			"(3,100,'budget.threshold',2,5,750000,0,'{\"a\":1}'),"
			"(9,200,'spend.anomaly',77,5,0,100,'{\"a\":2}')");
	s = must_open(&cfg, NULL);
	assert_int_equal(sql_int(dir, "PRAGMA user_version"), db_schema_version());
	assert_int_equal(sql_int(dir,
				 "SELECT count(*) FROM event WHERE (id=3 AND ts=100 AND kind='budget.threshold' AND"
				 " uid=2 AND win_start=5 AND at_ppm=750000 AND action=0 AND payload='{\"a\":1}')"
				 " OR (id=9 AND ts=200 AND action=100 AND payload='{\"a\":2}')"),
			 2);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM outbox"), 0);
	assert_int_equal(cursor(), 9); /* no flood of old news */
	assert_int_equal(store_note(s, &same), BUR_OK);
	assert_int_equal(sql_int(dir, "SELECT max(id) FROM event"), 10); /* this one is told */
	store_close(s);
	store_close(must_open(&cfg, NULL));
	assert_int_equal(cursor(), 9);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check='ok'"), 1);
}

static void a_database_without_events_tells_all_that_comes(void **state)
{
	struct store_config cfg = test_config(dir);

	(void)state;
	assert_int_equal(cursor(), 0);
	back_to_5();
	store_close(must_open(&cfg, NULL));
	assert_int_equal(cursor(), 0);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM meta WHERE key='alerts_cursor'"), 0);
}

/* Killed at each point of the step: the old schema or the new one, and nothing is lost. */
static void a_killed_upgrade_goes_on(void **state)
{
	struct store_config cfg = test_config(dir);
	int deaths = 0;

	(void)state;
	for (int n = 1; n < 12; n++) {
		char text[16];
		pid_t pid;
		int status;

		back_to_5();
		sql_change(dir, "INSERT INTO outbox(id,ts,kind,uid,win_start,at_ppm,action,payload)"
				" VALUES(4,1,'x',1,2,3,100,'{}')");
		pid = fork();
		if (pid == 0) {
			(void)snprintf(text, sizeof text, "%d", n);
			(void)setenv("BURSAR_KILL_AT", text, 1);
			store_close(must_open(&cfg, NULL));
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		deaths += WIFSIGNALED(status) ? 1 : 0;
		store_close(must_open(&cfg, NULL));
		assert_int_equal(sql_int(dir, "SELECT count(*) FROM event WHERE id=4"), 1);
		assert_int_equal(cursor(), 4);
	}
	assert_true(deaths >= 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(newer_database_is_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(foreign_database_is_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(damaged_database_is_refused_and_kept, setup, teardown),
	    cmocka_unit_test_setup_teardown(journal_of_another_database_is_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(settings_are_in_force, setup, teardown),
	    cmocka_unit_test_setup_teardown(migrating_twice_changes_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(old_events_stay_and_are_not_told, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_database_without_events_tells_all_that_comes, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_killed_upgrade_goes_on, setup, teardown),
	};

	log_init(STDERR_FILENO, LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
