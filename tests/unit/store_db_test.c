#include <fcntl.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(newer_database_is_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(foreign_database_is_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(damaged_database_is_refused_and_kept, setup, teardown),
	    cmocka_unit_test_setup_teardown(journal_of_another_database_is_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(settings_are_in_force, setup, teardown),
	    cmocka_unit_test_setup_teardown(migrating_twice_changes_nothing, setup, teardown),
	};

	log_init(STDERR_FILENO, LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
