/* Sums by time are the ledger's, whatever was written how; questions about hours, days, minutes and names. */
#include "base/calendar.h"
#include "store/series.h"
#include "tests/unit/store_dir.h"

#define HOUR (3600 * NS_PER_S)

/* The present hour, and the one before, are what these tests spend in. */
static int64_t this_hour_s(void)
{
	return clock_wall_ns() / HOUR * 3600;
}

static void spend(struct store *s, const char *user, int64_t at_ns, int64_t amount, int status)
{
	struct call c = make_call(s, 0, amount);
	struct call_end e = make_end(amount);
	uint32_t slot;

	c.entry.ids[NAME_USER] = store_name(s, NAME_USER, slice_of(user));
	c.entry.created_ns = at_ns;
	e.settled_ns = at_ns + 250 * NS_PER_MS;
	e.cell.status = (uint16_t)status;
	slot = begin_sent(s, &c);
	store_call_settle(s, 0, slot, &e);
	assert_int_equal(store_sync(s, 5 * NS_PER_S), BUR_OK);
}

static sqlite3 *reader_of(struct store *s)
{
	sqlite3 *db;

	assert_int_equal(store_reader(s, &db), BUR_OK);
	return db;
}

static struct series_scope scope_of_ann(void)
{
	char sql[80];

	(void)snprintf(sql, sizeof(sql), "SELECT id FROM name WHERE kind=%d AND text='ann'", (int)SERIES_USER);
	return (struct series_scope){SERIES_USER, sql_int(dir, sql)};
}

static void assert_equal_to_ledger(struct store *s)
{
	sqlite3 *db = reader_of(s);
	uint64_t n = 99;

	assert_int_equal(rollup_compare(db, &n), SQLITE_OK);
	assert_int_equal(n, 0);
	(void)sqlite3_close(db);
}

static void correct(struct store *s, const char *user, int64_t nanousd)
{
	struct adjustment a = {.kind = LEDGER_ADJUST, .nanousd = nanousd, .reason = "test", .actor = "me"};
	sqlite3 *db = raw_db(dir, false);
	sqlite3_stmt *st;

	assert_int_equal(sqlite3_prepare_v2(db,
					    "SELECT uid FROM ledger WHERE kind=1 AND user_id=(SELECT id FROM name WHERE"
					    " kind=1 AND text=?1) ORDER BY seq LIMIT 1",
					    -1, &st, NULL),
			 SQLITE_OK);
	(void)sqlite3_bind_text(st, 1, user, -1, SQLITE_STATIC);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	memcpy(a.ref_uid, sqlite3_column_blob(st, 0), 16);
	(void)sqlite3_finalize(st);
	(void)sqlite3_close(db);
	adjust_uid(a.ref_uid, "test", SLICE("1"), a.uid);
	assert_int_equal(store_adjust(s, &a, 1), BUR_OK);
	assert_int_equal(a.result, BUR_OK);
}

static void hours_and_corrections(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	int64_t now_s = this_hour_s(), hours[3];
	struct series_scope ann;
	struct series_sum sum;
	sqlite3 *db;

	(void)state;
	assert_int_equal(store_start(s), BUR_OK);
	spend(s, "ann", (now_s - 3600) * NS_PER_S, 100, 200);
	spend(s, "ann", now_s * NS_PER_S - 1, 20, 500);
	spend(s, "bob", now_s * NS_PER_S, 7, 200);
	correct(s, "ann", -60); /* now, but it belongs to the hour of its call */
	assert_equal_to_ledger(s);
	db = reader_of(s);
	assert_int_equal(series_hours(db, SERIES_EVERYTHING, now_s - 7200, 3, hours), BUR_OK);
	assert_int_equal(hours[0], 0);
	assert_int_equal(hours[1], 60);
	assert_int_equal(hours[2], 7);
	ann = scope_of_ann();
	assert_int_equal(series_total(db, ann, now_s - 7200, now_s + 3600, &sum), BUR_OK);
	assert_int_equal(sum.amount, 60);
	assert_int_equal(sum.calls, 2);
	assert_int_equal(sum.failed, 1);
	assert_int_equal(sum.failed_nanousd, 20);
	assert_int_equal(sum.output_tokens, 44);
	assert_int_equal(sum.took_ms, 500);
	assert_int_equal(series_hours(db, series_counter(METER_A), now_s - 3600, 2, hours), BUR_OK);
	assert_int_equal(hours[0], 60);
	assert_int_equal(hours[1], 7);
	assert_int_equal(series_hours(db, series_counter(METER_TOKENS), now_s - 3600, 2, hours), BUR_OK);
	assert_int_equal(hours[0], 66); /* in its own unit; the correction had no tokens */
	assert_int_equal(series_first(db, ann, &hours[0]), BUR_OK);
	assert_int_equal(hours[0], now_s - 3600);
	assert_int_equal(series_hours(db, ann, now_s + 1, 1, hours), BUR_INVALID);
	(void)sqlite3_close(db);
	store_close(s);
}

static void minutes_parts_and_names(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	int64_t now_s = this_hour_s(), minutes[3];
	struct series_part parts[4];
	struct series_scope ann;
	size_t n;
	char text[8];
	sqlite3 *db;

	(void)state;
	assert_int_equal(store_start(s), BUR_OK);
	spend(s, "ann", now_s * NS_PER_S, 5, 200);
	spend(s, "bob", (now_s + 59) * NS_PER_S, 6, 200);
	spend(s, "bob", (now_s + 60) * NS_PER_S, 7, 200);
	spend(s, "bob", (now_s - 10 * 86400) * NS_PER_S, 8, 200); /* too old for minutes */
	spend(s, "bob", (now_s - 70 * 86400) * NS_PER_S, 9, 200); /* and for parts */
	assert_equal_to_ledger(s);
	db = reader_of(s);
	assert_int_equal(series_minutes(db, METER_A, now_s - 60, 3, minutes), BUR_OK);
	assert_int_equal(minutes[0], 0);
	assert_int_equal(minutes[1], 11);
	assert_int_equal(minutes[2], 7);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM rollup_minute WHERE amount_n=8"), 0);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM rollup_part"), 3);
	assert_int_equal(series_parts(db, SERIES_EVERYTHING, now_s, parts, 4, &n), BUR_OK);
	assert_int_equal(n, 2);
	assert_int_equal(parts[0].nanousd, 13);
	assert_int_equal(series_name_text(db, parts[0].user, text, sizeof text), BUR_OK);
	assert_string_equal(text, "bob");
	ann = scope_of_ann();
	assert_int_equal(series_parts(db, ann, now_s, parts, 4, &n), BUR_OK);
	assert_int_equal(n, 1);
	assert_int_equal(series_parts(db, series_counter(1), now_s, parts, 4, &n), BUR_INVALID);
	(void)sqlite3_close(db);
	store_close(s);
}

/* A day in Kolkata begins at half past an hour of UTC; the day of the change in New York has 25 hours. */
static void days_of_zones(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	struct tz *kolkata, *york;
	int64_t midnight_ns, days[3];
	sqlite3 *db;

	(void)state;
	assert_int_equal(store_start(s), BUR_OK);
	assert_int_equal(tz_load("Asia/Kolkata", &kolkata), BUR_OK);
	assert_int_equal(tz_load("America/New_York", &york), BUR_OK);
	assert_int_equal(time_parse(SLICE("2025-08-05T18:30:00Z"), &midnight_ns), BUR_OK);
	spend(s, "ann", midnight_ns - 1, 1, 200);
	spend(s, "ann", midnight_ns, 10, 200);
	spend(s, "ann", midnight_ns + 24 * HOUR - 1, 100, 200);
	spend(s, "ann", midnight_ns + 24 * HOUR, 1000, 200);
	assert_int_equal(time_parse(SLICE("2025-11-02T05:30:00Z"), &midnight_ns), BUR_OK); /* 01:30 EDT */
	spend(s, "ann", midnight_ns, 3, 200);
	spend(s, "ann", midnight_ns + HOUR, 4, 200); /* 01:30 EST */
	assert_int_equal(time_parse(SLICE("2025-11-03T04:59:59Z"), &midnight_ns), BUR_OK);
	spend(s, "ann", midnight_ns, 5, 200);
	spend(s, "ann", midnight_ns + NS_PER_S, 6, 200);
	assert_equal_to_ledger(s);
	db = reader_of(s);
	assert_int_equal(time_parse(SLICE("2025-08-05T12:00:00Z"), &midnight_ns), BUR_OK);
	assert_int_equal(series_days(db, SERIES_EVERYTHING, kolkata, midnight_ns / NS_PER_S, 3, days), BUR_OK);
	assert_int_equal(days[0], 1);
	assert_int_equal(days[1], 110);
	assert_int_equal(days[2], 1000);
	assert_int_equal(time_parse(SLICE("2025-11-01T12:00:00Z"), &midnight_ns), BUR_OK);
	assert_int_equal(series_days(db, SERIES_EVERYTHING, york, midnight_ns / NS_PER_S, 3, days), BUR_OK);
	assert_int_equal(days[0], 0);
	assert_int_equal(days[1], 12);
	assert_int_equal(days[2], 6);
	(void)sqlite3_close(db);
	store_close(s);
	tz_free(kolkata);
	tz_free(york);
}

/* Batches of many calls, with commits that fail and commits whose answer is lost. */
static void random_calls_with_failing_commits(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	uint32_t x = 12345;
	struct verify_report rep;
	sqlite3 *db;

	(void)state;
	assert_int_equal(store_start(s), BUR_OK);
	for (int i = 0; i < 400; i++) {
		struct call c = make_call(s, 0, 50);
		struct call_end e;
		uint32_t slot;
		char user[8];

		x = x * 1664525 + 1013904223;
		e = make_end((int64_t)(x >> 20));
		(void)snprintf(user, sizeof user, "u%u", x >> 28);
		c.entry.ids[NAME_USER] = store_name(s, NAME_USER, slice_of(user));
		c.entry.created_ns -= (int64_t)(x >> 8 & 0xfff) * 60 * NS_PER_S;
		if (i % 50 == 7)
			store_test_fail(0, 2, SQLITE_IOERR, i % 100 == 7);
		while (store_call_begin(s, 0, &c, &slot) == BUR_FULL)
			(void)!store_sync(s, NS_PER_S);
		store_call_sent(s, slot);
		store_call_settle(s, 0, slot, &e);
	}
	assert_int_equal(store_sync(s, 5 * NS_PER_S), BUR_OK);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM ledger"), 400);
	assert_equal_to_ledger(s);
	assert_int_equal(store_reader(s, &db), BUR_OK);
	assert_int_equal(ledger_verify(db, NULL, NULL, &rep), BUR_OK);
	assert_int_equal(rep.sum_errors, 0);
	(void)sqlite3_close(db);
	store_close(s);
}

static void differences_are_found_and_mended(void **state)
{
	static const char *const changes[] = {
	    "UPDATE rollup SET failed=1 WHERE kind=1",
	    "UPDATE rollup SET took_ms=took_ms+1 WHERE kind=7",
	    "UPDATE rollup SET amount_n=6 WHERE kind=8 AND id=2",
	    "DELETE FROM rollup WHERE kind=0",
	    "INSERT INTO rollup VALUES(5,77,1,1,1,0,0,0,0,0,0)",
	    "UPDATE rollup_minute SET amount_n=amount_n+1 WHERE uid=2",
	    "DELETE FROM rollup_part",
	    "UPDATE rollup SET amount_n=6 WHERE kind=7", /* the last one is mended at the start */
	};
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	struct verify_report rep;
	sqlite3 *db;

	(void)state;
	assert_int_equal(store_start(s), BUR_OK);
	spend(s, "ann", clock_wall_ns(), 5, 200);
	store_close(s);
	assert_verified(dir);
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		if (i > 0)
			sql_change(
			    dir, "DELETE FROM rollup; DELETE FROM rollup_minute; DELETE FROM rollup_part;" ROLLUP_FILL);
		assert_verified(dir);
		sql_change(dir, changes[i]);
		db = raw_db(dir, false);
		assert_int_equal(ledger_verify(db, NULL, NULL, &rep), BUR_OK);
		if (rep.sum_errors != 1)
			print_message("not found: %s\n", changes[i]);
		assert_int_equal(rep.sum_errors, 1);
		assert_non_null(strstr(rep.first_error, "sums by time"));
		(void)sqlite3_close(db);
	}
	s = must_open(&cfg, NULL);
	assert_equal_to_ledger(s);
	store_close(s);
}

/* A ledger of the schema before is summed up once. */
static void older_databases_are_summed_up(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);

	(void)state;
	assert_int_equal(store_start(s), BUR_OK);
	for (int i = 0; i < 20; i++)
		spend(s, i % 3 ? "ann" : "bob", clock_wall_ns() - i * HOUR / 3, 5 + i, i % 5 ? 200 : 429);
	store_close(s);
	sql_change(dir, "DROP TABLE rollup");
	sql_change(dir, "DROP TABLE rollup_minute");
	sql_change(dir, "DROP TABLE rollup_part");
	sql_change(dir, ROLLUP_TABLES ROLLUP_FILL); /* the step of the schema */
	s = must_open(&cfg, NULL);
	assert_int_equal(sql_int(dir, "SELECT sum(calls) FROM rollup WHERE kind=7"), 20);
	assert_equal_to_ledger(s);
	assert_int_equal(store_start(s), BUR_OK);
	spend(s, "ann", clock_wall_ns(), 5, 200);
	assert_equal_to_ledger(s);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(hours_and_corrections, setup, teardown),
	    cmocka_unit_test_setup_teardown(minutes_parts_and_names, setup, teardown),
	    cmocka_unit_test_setup_teardown(days_of_zones, setup, teardown),
	    cmocka_unit_test_setup_teardown(random_calls_with_failing_commits, setup, teardown),
	    cmocka_unit_test_setup_teardown(differences_are_found_and_mended, setup, teardown),
	    cmocka_unit_test_setup_teardown(older_databases_are_summed_up, setup, teardown),
	};

	log_init(-1, LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
