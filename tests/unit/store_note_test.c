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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(once_and_in_order, setup, teardown),
	    cmocka_unit_test_setup_teardown(payloads_have_a_maximum, setup, teardown),
	};

	log_init(-1, LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
