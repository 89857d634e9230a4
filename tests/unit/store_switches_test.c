/* What stands switched, the event that tells of it and the row of the audit log: all or none, and after a restart. */
#include "store/switches.h"

#include "store/audit.h"
#include "tests/unit/store_help.h"

static struct store *open_store(const char *dir)
{
	struct store_config cfg = test_config(dir);
	struct opened o = try_open(&cfg);

	assert_int_equal(o.r, BUR_OK);
	return o.s;
}

struct seen {
	char text[512];
};

static int collect(void *ctx, struct slice name, struct slice json, int64_t ts_ns)
{
	struct seen *s = ctx;
	size_t n = strlen(s->text);

	assert_true(ts_ns > 0);
	(void)snprintf(s->text + n, sizeof(s->text) - n, "%.*s=%.*s;", (int)name.n, name.p, (int)json.n, json.p);
	return BUR_OK;
}

static const char *all(struct store *s, const char *prefix, struct seen *seen)
{
	seen->text[0] = '\0';
	assert_int_equal(switches_each(s, slice_of(prefix), collect, seen), BUR_OK);
	return seen->text;
}

static int64_t count(struct store *s, const char *sql)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;
	int64_t n;

	assert_int_equal(store_reader(s, &db), BUR_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	(void)sqlite3_close(db);
	return n;
}

static void kept_changed_and_removed(void **state)
{
	struct switch_change list[] = {{.name = "stop/key/ann", .json = "{}"},
				       {.name = "stop/key/a/b", .json = "{\"x\":1}"},
				       {.name = "cost/0011", .json = "{}"}};
	struct switch_change change = {.name = "stop/key/ann", .json = "{\"y\":2}"};
	struct switch_change gone = {.name = "stop/key/a/b"};
	struct seen seen;
	char dir[64];
	struct store *s = open_store(new_dir(dir));

	(void)state;
	assert_string_equal(all(s, "", &seen), "");
	assert_int_equal(switches_put(s, list, 3), BUR_OK);
	assert_string_equal(all(s, "stop/", &seen), "stop/key/a/b={\"x\":1};stop/key/ann={};");
	assert_int_equal(switches_put(s, &change, 1), BUR_OK);
	assert_int_equal(switches_put(s, &gone, 1), BUR_OK);
	store_close(s);
	s = open_store(dir);
	assert_string_equal(all(s, "", &seen), "cost/0011={};stop/key/ann={\"y\":2};");
	assert_string_equal(all(s, "stop/key/ann/", &seen), "");
	store_close(s);
	remove_dir(dir);
}

static void the_same_event_is_told_once(void **state)
{
	struct switch_change e = {
	    .kind = "breaker.cost", .payload = "{}", .uid = METER_A, .at_ns = 5, .cause = 3, .to = 1};
	char dir[64];
	struct store *s = open_store(new_dir(dir));

	(void)state;
	assert_int_equal(switches_put(s, &e, 1), BUR_OK);
	assert_int_equal(switches_put(s, &e, 1), BUR_OK);
	e.to = 2;
	assert_int_equal(switches_put(s, &e, 1), BUR_OK);
	assert_int_equal(count(s, "SELECT count(*) FROM event WHERE kind='breaker.cost'"), 2);
	store_close(s);
	remove_dir(dir);
}

static void all_or_none_with_the_audit_row(void **state)
{
	struct switch_change c = {.name = "stop/everything",
				  .json = "{}",
				  .kind = "stop",
				  .payload = "{}",
				  .at_ns = 9,
				  .action = "stop",
				  .object = "everything",
				  .actor = "ops",
				  .reason = "",
				  .before = "",
				  .after = "stopped"};
	struct seen seen;
	char dir[64];
	struct store *s = open_store(new_dir(dir));

	(void)state;
	assert_int_equal(switches_put(s, &c, 1), BUR_INVALID); /* no reason */
	assert_string_equal(all(s, "", &seen), "");
	assert_int_equal(count(s, "SELECT count(*) FROM event"), 0);
	c.reason = "fire";
	assert_int_equal(switches_put(s, &c, 1), BUR_OK);
	assert_int_equal(count(s, "SELECT count(*) FROM audit WHERE action='stop' AND reason='fire'"), 1);
	store_test_fail_next(1, SQLITE_IOERR);
	c.json = NULL;
	assert_int_equal(switches_put(s, &c, 1), BUR_IO);
	assert_string_equal(all(s, "", &seen), "stop/everything={};");
	store_close(s);
	remove_dir(dir);
}

static void too_much_is_refused(void **state)
{
	static struct switch_change many[SWITCHES_MAX + 1];
	char name[SWITCH_NAME_MAX + 1], dir[64];
	struct switch_change c = {.name = name, .json = "{}"};
	struct store *s = open_store(new_dir(dir));

	(void)state;
	memset(name, 'a', SWITCH_NAME_MAX);
	name[SWITCH_NAME_MAX] = '\0';
	assert_int_equal(switches_put(s, &c, 1), BUR_TOOBIG);
	assert_int_equal(switches_put(s, many, SWITCHES_MAX + 1), BUR_TOOBIG);
	assert_int_equal(switches_put(s, many, 0), BUR_OK);
	store_close(s);
	remove_dir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(kept_changed_and_removed),
	    cmocka_unit_test(the_same_event_is_told_once),
	    cmocka_unit_test(all_or_none_with_the_audit_row),
	    cmocka_unit_test(too_much_is_refused),
	};

	log_init(2, LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
