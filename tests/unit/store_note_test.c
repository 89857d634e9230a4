/* What is told beside thresholds: once, in order, and found again by another process. */
#include "store/note.h"
#include "tests/unit/store_dir.h"

static int put(struct store *s, const char *object, int64_t since_s, int64_t part, enum note_state state, int64_t at_s)
{
	const struct note n = {.kind = "spend.anomaly",
			       .object = slice_of(object),
			       .since_s = since_s,
			       .part = part,
			       .state = state,
			       .at_ns = at_s * NS_PER_S,
			       .payload = SLICE("{\"a\":1}")};

	return store_note(s, &n);
}

struct seen {
	int n;
	int64_t since[8];
	char payload[16];
};

static int take(void *ctx, const struct note_row *row)
{
	struct seen *s = ctx;

	s->since[s->n++] = row->since_s;
	(void)slice_to_cstr(row->payload, s->payload, sizeof s->payload);
	return BUR_OK;
}

static void once_and_in_order(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	struct note_filter f = {.kind = "spend.anomaly", .object = SLICE("a"), .limit = 10};
	struct seen seen = {0};
	int64_t n, since;
	sqlite3 *db;

	(void)state;
	assert_int_equal(store_start(s), BUR_OK);
	assert_int_equal(put(s, "a", 10, 1, NOTE_BEGAN, 100), BUR_OK);
	assert_int_equal(put(s, "a", 10, 1, NOTE_BEGAN, 110), BUR_ALREADY);
	assert_int_equal(put(s, "a", 10, 2, NOTE_BEGAN, 120), BUR_OK);
	assert_int_equal(put(s, "b", 10, 1, NOTE_BEGAN, 130), BUR_OK);
	assert_int_equal(put(s, "a", 10, 1, NOTE_ENDED, 140), BUR_OK);
	assert_int_equal(put(s, "a", 20, 2, NOTE_BEGAN, 150), BUR_OK);
	store_close(s);
	s = must_open(&cfg, NULL);
	assert_int_equal(store_reader(s, &db), BUR_OK);
	assert_int_equal(note_each(db, &f, take, &seen), BUR_OK);
	assert_int_equal(seen.n, 4);
	assert_int_equal(seen.since[0], 20); /* newest first */
	assert_string_equal(seen.payload, "{\"a\":1}");
	assert_int_equal(note_open(db, "spend.anomaly", SLICE("a"), 1, &since), BUR_NOTFOUND); /* ended */
	assert_int_equal(note_open(db, "spend.anomaly", SLICE("a"), 2, &since), BUR_OK);
	assert_int_equal(since, 20);
	assert_int_equal(note_open(db, "spend.anomaly", SLICE("c"), 2, &since), BUR_NOTFOUND);
	assert_int_equal(note_open(db, "other", SLICE("a"), 2, &since), BUR_NOTFOUND);
	assert_int_equal(note_count(db, 110 * NS_PER_S, 200 * NS_PER_S, &n), BUR_OK);
	assert_int_equal(n, 3); /* ends do not count */
	f = (struct note_filter){.limit = 2};
	seen = (struct seen){0};
	assert_int_equal(note_each(db, &f, take, &seen), BUR_OK);
	assert_int_equal(seen.n, 2);
	f = (struct note_filter){.object = SLICE("a"), .limit = 2};
	assert_int_equal(note_each(db, &f, take, &seen), BUR_INVALID);
	(void)sqlite3_close(db);
	store_close(s);
}

static void payloads_have_a_maximum(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	char *big = calloc(1, NOTE_PAYLOAD_MAX + 1);
	const struct note n = {.kind = "x", .state = NOTE_BEGAN, .payload = slice_mem(big, NOTE_PAYLOAD_MAX + 1)};

	(void)state;
	assert_int_equal(store_note(s, &n), BUR_TOOBIG);
	free(big);
	store_close(s);
}

/* --- from workers ------------------------------------------------------------------------------------------------- */

static int tell(struct store *s, uint32_t worker, const char *object, int64_t part, const char *payload)
{
	char kind[] = "budget.blocked", about[300];
	struct note n = {.kind = kind, .since_s = 10, .part = part, .state = NOTE_BEGAN, .at_ns = 100 * NS_PER_S};
	int r;

	(void)snprintf(about, sizeof about, "%s", object);
	n.object = slice_of(about);
	n.payload = slice_of(payload);
	r = store_tell(s, worker, &n);
	memset(kind, 'x', sizeof kind - 1); /* all was copied */
	memset(about, 'x', sizeof about);
	return r;
}

static void workers_tell_without_waiting(void **state)
{
	struct store_config cfg = test_config(dir);
	struct note_filter f = {.kind = "budget.blocked", .object = SLICE("a"), .limit = 10};
	struct seen seen = {0};
	struct store *s;
	struct note same = {.kind = "budget.blocked",
			    .object = SLICE("a"),
			    .since_s = 10,
			    .part = 1,
			    .state = NOTE_BEGAN,
			    .payload = SLICE("{}")};
	sqlite3 *db;

	(void)state;
	cfg.workers = 2;
	s = must_open(&cfg, NULL);
	assert_int_equal(store_start(s), BUR_OK);
	assert_int_equal(tell(s, 0, "a", 1, "{\"n\":1}"), BUR_OK);
	assert_int_equal(tell(s, 1, "a", 1, "{\"n\":2}"), BUR_OK); /* the same, elsewhere */
	assert_int_equal(tell(s, 1, "a", 2, ""), BUR_OK);
	assert_int_equal(tell(s, 0, "", 2, "{}"), BUR_OK);
	assert_int_equal(store_sync(s, 5 * NS_PER_S), BUR_OK);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM event"), 3);
	assert_int_equal(store_note(s, &same), BUR_ALREADY); /* one identity for both ways */
	assert_int_equal(tell(s, 0, "a", 1, "{}"), BUR_OK);
	store_close(s); /* writes what waits */
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM event"), 3);
	s = must_open(&cfg, NULL);
	assert_int_equal(store_reader(s, &db), BUR_OK);
	assert_int_equal(note_each(db, &f, take, &seen), BUR_OK);
	assert_int_equal(seen.n, 2);
	assert_string_equal(seen.payload, "{\"n\":1}");
	(void)sqlite3_close(db);
	store_close(s);
}

static void a_full_ring_is_counted(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	struct store_health h;

	(void)state;
	for (int i = 0; i < TELLS_PER_WORKER; i++)
		assert_int_equal(tell(s, 0, "a", i, "{}"), BUR_OK);
	assert_int_equal(tell(s, 0, "a", TELLS_PER_WORKER, "{}"), BUR_FULL);
	store_health(s, &h);
	assert_int_equal(h.untold, 1);
	assert_int_equal(store_sync(s, 5 * NS_PER_S), BUR_OK);
	assert_int_equal(tell(s, 0, "a", TELLS_PER_WORKER, "{}"), BUR_OK);
	store_close(s);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM event"), TELLS_PER_WORKER + 1);
}

static void what_workers_tell_survives_failing_commits(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);

	(void)state;
	assert_int_equal(store_sync(s, 5 * NS_PER_S), BUR_OK);
	for (int done = 0; done < 2; done++) {
		assert_int_equal(tell(s, 0, "a", done, "{}"), BUR_OK);
		store_test_fail(0, 1, SQLITE_IOERR, done == 1);
		assert_int_equal(store_sync(s, 5 * NS_PER_S), BUR_IO);
		assert_int_equal(sql_int(dir, "SELECT count(*) FROM event"), done == 1 ? 2 : 0);
		assert_int_equal(store_sync(s, 5 * NS_PER_S), BUR_OK);
		assert_int_equal(sql_int(dir, "SELECT count(*) FROM event"), done + 1);
	}
	store_close(s);
}

static void what_workers_tell_has_a_maximum(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	static char big[2000], kind[64];
	struct note n = {.kind = "x", .object = slice_mem(big, 300), .payload = slice_mem(big, TELL_PAYLOAD_MAX)};

	(void)state;
	memset(big, 'a', sizeof big);
	memset(kind, 'a', sizeof kind - 1);
	assert_int_equal(store_tell(s, 0, &n), BUR_OK);
	n.object.n++;
	assert_int_equal(store_tell(s, 0, &n), BUR_TOOBIG);
	n.object.n--;
	n.payload.n++;
	assert_int_equal(store_tell(s, 0, &n), BUR_TOOBIG);
	n.payload.n--;
	n.kind = kind;
	assert_int_equal(store_tell(s, 0, &n), BUR_TOOBIG);
	store_close(s);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM event WHERE length(payload)=1024"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(once_and_in_order, setup, teardown),
	    cmocka_unit_test_setup_teardown(payloads_have_a_maximum, setup, teardown),
	    cmocka_unit_test_setup_teardown(workers_tell_without_waiting, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_full_ring_is_counted, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_workers_tell_survives_failing_commits, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_workers_tell_has_a_maximum, setup, teardown),
	};

	log_init(-1, LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
