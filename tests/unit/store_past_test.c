/* The ledger in the order in which things happened, and one call with what belongs to it. */
#include "tests/unit/store_help.h"

#include "store/adjust.h"
#include "store/past.h"

#define S NS_PER_S

static void put(struct store *s, int64_t admit_s, int64_t settle_s, uint8_t ret_uid[16])
{
	struct call c = make_call(s, 0, 5000);
	struct call_end e = make_end(admit_s);
	uint32_t slot;

	c.entry.created_ns = admit_s * S;
	e.settled_ns = settle_s * S;
	slot = begin_sent(s, &c);
	store_call_settle(s, 0, slot, &e);
	assert_int_equal(store_sync(s, 10 * S), BUR_OK);
	if (ret_uid)
		memcpy(ret_uid, c.entry.uid, 16);
}

static void correct(struct store *s, const uint8_t uid[16])
{
	struct adjustment a = {.kind = LEDGER_ADJUST, .nanousd = 7, .reason = "r", .actor = "a"};

	memcpy(a.ref_uid, uid, 16);
	adjust_uid(uid, "t", SLICE("1"), a.uid);
	assert_int_equal(store_adjust(s, &a, 1), BUR_OK);
	assert_int_equal(a.result, BUR_OK);
}

static struct store *opened(char dir[64])
{
	struct store_config cfg;
	struct store *s;

	cfg = test_config(new_dir(dir));
	s = must_open(&cfg, NULL);
	assert_int_equal(store_start(s), BUR_OK);
	return s;
}

static void calls_come_as_they_were_admitted(void **state)
{
	const int64_t order[] = {100, 200, 300};
	struct ledger_row row;
	struct sqlite3 *db;
	uint8_t uid[16];
	struct past *p;
	uint64_t n = 0;
	char dir[64];
	struct store *s = opened(dir);
	bool corrected;

	(void)state;
	put(s, 300, 310, uid); /* written first, admitted last */
	put(s, 100, 400, NULL);
	put(s, 200, 210, NULL);
	correct(s, uid);
	assert_int_equal(past_connect(dir, &db), BUR_OK);
	assert_int_equal(past_open(db, 100 * S, INT64_MAX, &p, &n), BUR_OK);
	assert_int_equal(n, 4);
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		assert_int_equal(past_next(p, &row), BUR_OK);
		assert_int_equal(row.ts_admit_ns, order[i] * S);
		assert_int_equal(row.kind, LEDGER_SPEND);
		assert_int_equal(past_is_corrected(p, row.uid, &corrected), BUR_OK);
		assert_true(corrected == (order[i] == 300));
	}
	assert_int_equal(past_next(p, &row), BUR_OK); /* written now, about the call of 300 */
	assert_int_equal(row.kind, LEDGER_ADJUST);
	assert_memory_equal(row.ref_uid, uid, 16);
	assert_int_equal(past_next(p, &row), BUR_EOF);
	past_close(p);
	/* the end is outside */
	assert_int_equal(past_open(db, 100 * S, 300 * S, &p, &n), BUR_OK);
	assert_int_equal(n, 2);
	past_close(p);
	past_close(NULL);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	store_close(s);
	remove_dir(dir);
}

struct seen {
	size_t rows, postings;
	int64_t seq, usd, tokens;
};

static int see_row(void *ctx, const struct ledger_row *row)
{
	struct seen *seen = ctx;

	if (seen->rows++ == 0)
		seen->seq = row->seq;
	assert_true((row->kind == LEDGER_SPEND) == (seen->rows == 1));
	return BUR_OK;
}

static int see_posting(void *ctx, const struct past_posting *p)
{
	struct seen *seen = ctx;

	seen->postings++;
	assert_int_equal(p->win_start, WINDOW);
	if (p->unit == UNIT_TOKENS)
		seen->tokens = p->amount;
	if (p->meter_uid == METER_A) {
		assert_true(slice_eq(p->budget, SLICE("a")));
		seen->usd = p->amount;
		assert_int_equal(p->window_total, p->amount + 7 + 100);
	}
	return BUR_OK;
}

static void a_call_has_its_counters_and_corrections(void **state)
{
	const uint8_t nobody[16] = {1};
	struct seen seen = {0};
	struct sqlite3 *db;
	uint8_t uid[16];
	char dir[64];
	struct store *s = opened(dir);

	(void)state;
	put(s, 300, 310, uid);
	put(s, 100, 400, NULL);
	correct(s, uid);
	assert_int_equal(store_reader(s, &db), BUR_OK);
	assert_int_equal(past_call(db, uid, see_row, &seen), BUR_OK);
	assert_int_equal(seen.rows, 2);
	assert_int_equal(past_postings(db, seen.seq, see_posting, &seen), BUR_OK);
	assert_int_equal(seen.postings, 3);
	assert_int_equal(seen.usd, 300);
	assert_int_equal(seen.tokens, 33);
	assert_int_equal(past_call(db, nobody, see_row, &seen), BUR_NOTFOUND);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	store_close(s);
	remove_dir(dir);
}

static void no_ledger_is_no_ledger(void **state)
{
	struct sqlite3 *db = NULL;
	char dir[64];

	(void)state;
	assert_int_equal(past_connect(new_dir(dir), &db), BUR_NOTFOUND);
	remove_dir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(calls_come_as_they_were_admitted),
	    cmocka_unit_test(a_call_has_its_counters_and_corrections),
	    cmocka_unit_test(no_ledger_is_no_ledger),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
