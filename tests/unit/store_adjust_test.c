/* Corrections: rows that refer to rows. They move the same counters in the same windows, are never written twice, and
 * never make a call cost less than nothing (R5.5, R5.7, R5.10). */
#include "tests/unit/store_dir.h"

/* What the engine would have been told. */
static struct {
	int64_t a, b, tokens;
	int calls;
} told;

static void on_post(void *ctx, uint64_t meter_uid, int64_t win_start, int64_t delta)
{
	assert_ptr_equal(ctx, &told);
	assert_int_equal(win_start, WINDOW);
	told.calls++;
	if (meter_uid == METER_A)
		told.a += delta;
	else if (meter_uid == METER_B)
		told.b += delta;
	else
		told.tokens += delta;
}

static struct store *open_with_hooks(void)
{
	static const struct store_hooks hooks = {.post = on_post, .ctx = &told};
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);

	memset(&told, 0, sizeof told);
	store_set_hooks(s, &hooks);
	return s;
}

/* A call of 1000 nano-USD, 11 tokens in, 22 out. */
static void one_call(struct store *s, uint8_t ret_uid[16])
{
	struct call c = make_call(s, 0, 5000);
	uint32_t slot = begin_sent(s, &c);
	struct call_end e = make_end(1000);

	memcpy(ret_uid, c.entry.uid, 16);
	store_call_settle(s, 0, slot, &e);
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
}

static struct adjustment make(const uint8_t ref[16], int kind, int64_t nanousd, const char *cause)
{
	struct adjustment a = {.kind = kind, .nanousd = nanousd, .reason = "the vendor's \"bill\"", .actor = "ann"};

	memcpy(a.ref_uid, ref, 16);
	adjust_uid(ref, cause, SLICE("1"), a.uid);
	return a;
}

static int put(struct store *s, struct adjustment a)
{
	assert_int_equal(store_adjust(s, &a, 1), BUR_OK);
	return a.result;
}

static int64_t posted(uint64_t uid)
{
	char sql[120];

	(void)snprintf(sql, sizeof sql, "SELECT posted_n FROM meter WHERE meter_uid=%lld AND win_start=%d",
		       (long long)(int64_t)uid, WINDOW);
	return sql_int(dir, sql);
}

static void a_correction_moves_the_same_counters(void **state)
{
	struct store *s = open_with_hooks();
	struct adjust_total t;
	struct adjustment a;
	struct sqlite3 *db;
	uint8_t uid[16];

	(void)state;
	one_call(s, uid);
	a = make(uid, LEDGER_ADJUST, -300, "x");
	a.units = (struct adjust_units){.input_tokens = -4, .output_tokens = 2, .cached_tokens = -1};
	a.price_version = 9;
	assert_int_equal(put(s, a), BUR_OK);
	assert_int_equal(told.a, -300);
	assert_int_equal(told.b, -300);
	assert_int_equal(told.tokens, -2);
	assert_int_equal(told.calls, 3);
	assert_int_equal(posted(METER_A), 700);
	assert_int_equal(posted(METER_TOKENS), 31);
	assert_int_equal(store_reader(s, &db), BUR_OK);
	assert_int_equal(adjust_total(db, uid, &t), BUR_OK);
	assert_int_equal(t.nanousd, 700);
	assert_int_equal(t.units.input_tokens, 7);
	assert_int_equal(t.units.cached_tokens, 2);
	assert_int_equal(t.n_adjusts, 1);
	(void)sqlite3_close(db);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM ledger a JOIN ledger r ON a.ref_uid=r.uid WHERE a.kind=2"
				      " AND a.ts_admit=r.ts_admit AND a.key_id=r.key_id AND a.model_id=r.model_id"
				      " AND a.price_version=9 AND a.ts_settle>=r.ts_settle AND a.worst_n=0"
				      " AND json_extract(a.extra,'$.reason')='the vendor''s \"bill\"'"
				      " AND json_extract(a.extra,'$.actor')='ann'"),
			 1);
	store_close(s);
	assert_verified(dir);
}

static int look(void *ctx, const struct ledger_row *row)
{
	struct ledger_row *to = ctx;

	*to = *row;
	return BUR_OK;
}

static void readers_see_differences(void **state)
{
	struct ledger_filter f = {.limit = 1, .descending = true};
	struct store *s = open_with_hooks();
	struct ledger_row row;
	struct adjustment a;
	struct sqlite3 *db;
	uint8_t uid[16];

	(void)state;
	one_call(s, uid);
	a = make(uid, LEDGER_ADJUST, -1, "x");
	a.units.input_tokens = -5;
	assert_int_equal(put(s, a), BUR_OK);
	assert_int_equal(store_reader(s, &db), BUR_OK);
	assert_int_equal(ledger_each(db, &f, look, &row), BUR_OK);
	assert_true(row.has_ref);
	assert_memory_equal(row.ref_uid, uid, 16);
	assert_int_equal(row.kind, LEDGER_ADJUST);
	assert_int_equal(row.input_tokens, -5);
	assert_int_equal(row.amount_nanousd, -1);
	(void)sqlite3_close(db);
	store_close(s);
}

static void the_same_correction_is_written_once(void **state)
{
	struct store *s = open_with_hooks();
	uint8_t uid[16];

	(void)state;
	one_call(s, uid);
	assert_int_equal(put(s, make(uid, LEDGER_ADJUST, 50, "x")), BUR_OK);
	assert_int_equal(put(s, make(uid, LEDGER_ADJUST, 50, "x")), BUR_ALREADY);
	assert_int_equal(put(s, make(uid, LEDGER_ADJUST, 50, "y")), BUR_OK);
	assert_int_equal(told.a, 100);
	store_close(s);
	s = open_with_hooks();
	assert_int_equal(put(s, make(uid, LEDGER_ADJUST, 50, "x")), BUR_ALREADY);
	assert_int_equal(told.calls, 0);
	assert_int_equal(posted(METER_A), 1100);
	store_close(s);
	assert_verified(dir);
}

static void sums_never_go_below_nothing(void **state)
{
	struct store *s = open_with_hooks();
	struct adjustment a;
	uint8_t uid[16];

	(void)state;
	one_call(s, uid);
	assert_int_equal(put(s, make(uid, LEDGER_ADJUST, -1001, "a")), BUR_DENIED);
	assert_int_equal(put(s, make(uid, LEDGER_REFUND, -600, "b")), BUR_OK);
	assert_int_equal(put(s, make(uid, LEDGER_REFUND, -401, "c")), BUR_DENIED);
	assert_int_equal(put(s, make(uid, LEDGER_CHARGE, 5000, "d")), BUR_OK);
	assert_int_equal(put(s, make(uid, LEDGER_REFUND, -401, "e")), BUR_DENIED); /* R5.7: more than the row */
	assert_int_equal(put(s, make(uid, LEDGER_REFUND, -400, "f")), BUR_OK);
	a = make(uid, LEDGER_ADJUST, 0, "g");
	a.units.output_tokens = -23;
	assert_int_equal(put(s, a), BUR_DENIED);
	assert_int_equal(put(s, make(uid, LEDGER_ADJUST, INT64_MAX, "h")), BUR_DENIED);
	assert_int_equal(put(s, make(uid, LEDGER_ADJUST, INT64_MIN, "i")), BUR_DENIED);
	assert_int_equal(posted(METER_A), 5000);
	assert_int_equal(told.a, 4000);
	store_close(s);
	assert_verified(dir);
}

static void what_makes_no_sense_is_refused(void **state)
{
	struct store *s = open_with_hooks();
	struct adjustment a;
	uint8_t uid[16], nobody[16] = {1};

	(void)state;
	one_call(s, uid);
	assert_int_equal(put(s, make(nobody, LEDGER_ADJUST, 5, "a")), BUR_NOTFOUND);
	assert_int_equal(put(s, make(uid, LEDGER_SPEND, 5, "b")), BUR_INVALID);
	assert_int_equal(put(s, make(uid, 6, 5, "b")), BUR_INVALID);
	assert_int_equal(put(s, make(uid, LEDGER_REFUND, 5, "c")), BUR_INVALID);
	assert_int_equal(put(s, make(uid, LEDGER_CREDIT, 0, "d")), BUR_INVALID);
	assert_int_equal(put(s, make(uid, LEDGER_CHARGE, -5, "e")), BUR_INVALID);
	a = make(uid, LEDGER_ADJUST, 5, "f");
	a.actor[0] = '\0';
	assert_int_equal(put(s, a), BUR_INVALID);
	a = make(uid, LEDGER_ADJUST, 5, "f");
	memset(a.reason, 'x', sizeof a.reason); /* no end */
	assert_int_equal(put(s, a), BUR_INVALID);
	a = make(uid, LEDGER_ADJUST, 5, "g");
	assert_int_equal(put(s, a), BUR_OK);
	assert_int_equal(put(s, make(a.uid, LEDGER_ADJUST, 5, "h")), BUR_INVALID); /* a correction of a correction */
	store_close(s);
	assert_verified(dir);
}

static void many_are_one_transaction(void **state)
{
	static struct adjustment list[ADJUST_MANY_MAX];
	struct store *s = open_with_hooks();
	struct store_health before, after;
	uint8_t uid[16];

	(void)state;
	one_call(s, uid);
	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		list[i] = make(uid, LEDGER_ADJUST, 1, "n");
		adjust_uid(uid, "n", slice_mem(&i, sizeof i), list[i].uid);
	}
	assert_int_equal(store_start(s), BUR_OK);
	store_health(s, &before);
	assert_int_equal(store_adjust(s, list, ARRAY_LEN(list)), BUR_OK);
	store_health(s, &after);
	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		assert_int_equal(list[i].result, BUR_OK);
	assert_int_equal(store_adjust(s, list, ARRAY_LEN(list) + 1), BUR_TOOBIG);
	assert_int_equal(told.a, ARRAY_LEN(list));
	store_close(s);
	assert_int_equal(posted(METER_A), 1000 + ARRAY_LEN(list));
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM ledger_seal"), 2);
	assert_verified(dir);
}

/* The commit took place, only its answer was lost: asked again, the row is known, and the engine hears of it once. */
static void a_lost_answer_is_found_out(void **state)
{
	struct store *s = open_with_hooks();
	struct adjustment a;
	uint8_t uid[16];

	(void)state;
	one_call(s, uid);
	a = make(uid, LEDGER_ADJUST, 70, "x");
	store_test_fail(0, 1, SQLITE_IOERR, true);
	assert_int_equal(store_adjust(s, &a, 1), BUR_IO);
	assert_int_equal(told.calls, 0);
	assert_int_equal(put(s, a), BUR_ALREADY);
	assert_int_equal(told.a, 70);
	a = make(uid, LEDGER_ADJUST, 5, "y");
	store_test_fail(0, 1, SQLITE_FULL, false); /* and this one did not take place */
	assert_int_equal(store_adjust(s, &a, 1), BUR_IO);
	one_call(s, uid);
	assert_int_equal(told.a, 70);
	store_close(s);
	assert_int_equal(posted(METER_A), 2070);
	assert_verified(dir);
}

static void verify_finds_corrections_without_a_call(void **state)
{
	struct store *s = open_with_hooks();
	uint8_t uid[16];

	(void)state;
	one_call(s, uid);
	assert_int_equal(put(s, make(uid, LEDGER_ADJUST, -70, "x")), BUR_OK);
	store_close(s);
	sql_change(dir, "UPDATE ledger SET ref_uid=randomblob(16) WHERE kind=2");
	assert_int_equal(verify_dir(dir).sum_errors, 1);
	assert_int_equal(verify_dir(dir).seal_errors, 1);
}

static void ids_differ_by_each_part(void **state)
{
	uint8_t ref[16] = {0}, ids[5][16];

	(void)state;
	adjust_uid(ref, "ab", SLICE("c"), ids[0]);
	adjust_uid(ref, "a", SLICE("bc"), ids[1]);
	adjust_uid(ref, "ab", SLICE_NONE, ids[2]);
	ref[3] = 1;
	adjust_uid(ref, "ab", SLICE("c"), ids[3]);
	ref[3] = 0;
	adjust_uid(ref, "ab", SLICE("c"), ids[4]);
	assert_memory_equal(ids[0], ids[4], 16);
	for (int i = 0; i < 4; i++)
		for (int j = 0; j < i; j++)
			assert_memory_not_equal(ids[i], ids[j], 16);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(a_correction_moves_the_same_counters),
	    T(readers_see_differences),
	    T(the_same_correction_is_written_once),
	    T(sums_never_go_below_nothing),
	    T(what_makes_no_sense_is_refused),
	    T(many_are_one_transaction),
	    T(a_lost_answer_is_found_out),
	    T(verify_finds_corrections_without_a_call),
	    T(ids_differ_by_each_part),
	};

	log_init(-1, LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
