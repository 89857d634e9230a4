/* What people change while it runs: once, with who and why, in a log that shows every later change of it; charges and
 * corrections are rows of the ledger like any other (R5.7, R5.8, R5.9, R5.10). */
#include "tests/unit/store_dir.h"

#include "store/operate.h"

static int64_t told; /* what the engine would have been told of METER_A */

static void on_post(void *ctx, uint64_t meter_uid, int64_t win_start, int64_t delta)
{
	(void)ctx;
	if (meter_uid == METER_A && win_start == WINDOW)
		told += delta;
}

static struct store *open_store(void)
{
	static const struct store_hooks hooks = {.post = on_post};
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);

	told = 0;
	store_set_hooks(s, &hooks);
	return s;
}

static struct operation by_ann(const char *id)
{
	return (struct operation){.actor = SLICE("ann"),
				  .reason = SLICE("the \"launch\" week"),
				  .id = slice_of(id),
				  .now_ns = clock_wall_ns()};
}

static int64_t count(const char *table)
{
	char sql[80];

	(void)snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", table);
	return sql_int(dir, sql);
}

static struct audit_report verify_audit(void)
{
	sqlite3 *db = raw_db(dir, false);
	struct audit_report rep;

	assert_int_equal(audit_verify(db, &rep), BUR_OK);
	(void)sqlite3_close(db);
	return rep;
}

/* A call of 1000 nano-USD. */
static void one_call(struct store *s, uint8_t ret_uid[16])
{
	struct call c = make_call(s, 0, 5000);
	uint32_t slot = begin_sent(s, &c);
	struct call_end e = make_end(1000);

	memcpy(ret_uid, c.entry.uid, 16);
	store_call_settle(s, 0, slot, &e);
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
}

/* --- limits ------------------------------------------------------------------------------------------------------- */

static int limit(struct store *s, const char *id, int64_t to, struct operated *ret, int64_t *ret_in_force)
{
	struct operation op = by_ann(id);
	const struct operate_limit l = {.budget = SLICE("a"), .unit = UNIT_USD, .configured = 50, .limit = to};

	return operate_limit(s, &op, &l, ret, ret_in_force);
}

static void a_limit_is_changed_once(void **state)
{
	struct store *s = open_store();
	struct operated done;
	int64_t now;

	(void)state;
	assert_int_equal(limit(s, "k1", 80, &done, &now), BUR_OK);
	assert_false(done.repeated);
	assert_string_equal(done.before, "0.00000005 USD");
	assert_string_equal(done.after, "0.00000008 USD");
	assert_int_equal(limit(s, "k2", 60, &done, &now), BUR_OK);
	assert_string_equal(done.before, "0.00000008 USD");
	/* asked again: what was answered then, and what is in force now */
	assert_int_equal(limit(s, "k1", 80, &done, &now), BUR_OK);
	assert_true(done.repeated);
	assert_string_equal(done.after, "0.00000008 USD");
	assert_int_equal(now, 60);
	assert_int_equal(limit(s, "k1", 81, &done, &now), BUR_ALREADY);
	assert_int_equal(limit(s, "", 0, &done, &now), BUR_INVALID);
	assert_int_equal(limit(s, "", -5, &done, &now), BUR_INVALID);
	assert_int_equal(limit(s, "", OPERATE_AMOUNT_MAX + 1, &done, &now), BUR_INVALID);
	assert_int_equal(count("audit"), 2);
	assert_int_equal(sql_int(dir, "SELECT limit_n FROM limit_change WHERE budget='a'"), 60);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM audit WHERE actor='ann' AND action='limit' AND object='a'"
				      " AND reason='the \"launch\" week' AND ts>0"),
			 2);
	store_close(s);
	assert_int_equal(verify_audit().errors, 0);
}

static struct {
	int calls;
	int64_t before, by_hand;
} edit;

static void on_edit(void *ctx, const struct operate_limit *l, int64_t before, int64_t by_hand)
{
	(void)ctx;
	assert_true(slice_eq(l->budget, SLICE("a")));
	edit.calls++;
	edit.before = before;
	edit.by_hand = by_hand;
}

static int64_t begin(struct store *s, int64_t configured)
{
	struct operate_limit l = {.budget = SLICE("a"), .unit = UNIT_USD, .configured = configured};

	memset(&edit, 0, sizeof edit);
	assert_int_equal(operate_limits_begin(s, &l, 1, clock_wall_ns(), on_edit, NULL), BUR_OK);
	return l.limit;
}

static void a_limit_lasts_until_the_configuration_is_edited(void **state)
{
	struct store *s = open_store();
	struct operated done;
	sqlite3 *db = NULL;
	int64_t now;

	(void)state;
	assert_int_equal(begin(s, 50), 50);
	assert_int_equal(edit.calls, 0);
	assert_int_equal(limit(s, "", 80, &done, &now), BUR_OK);
	store_close(s);
	s = open_store();
	assert_int_equal(begin(s, 50), 80);
	assert_int_equal(edit.calls, 0);
	assert_int_equal(begin(s, 70), 70);
	assert_int_equal(edit.calls, 1);
	assert_int_equal(edit.before, 50);
	assert_int_equal(edit.by_hand, 80);
	assert_int_equal(begin(s, 50), 50); /* edited back: what people had set is gone for good */
	assert_int_equal(edit.by_hand, 0);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM audit WHERE actor='configuration'"), 2);
	/* what held when */
	assert_int_equal(store_reader(s, &db), BUR_OK);
	assert_int_equal(operate_limit_at(db, SLICE("a"), 1, 7, &now), BUR_OK);
	assert_int_equal(now, 50);
	assert_int_equal(operate_limit_at(db, SLICE("a"), INT64_MAX, 7, &now), BUR_OK);
	assert_int_equal(now, 50);
	assert_int_equal(operate_limit_at(db, SLICE("b"), 1, 7, &now), BUR_OK);
	assert_int_equal(now, 7);
	assert_int_equal(operate_limit_at(db, SLICE("a"), sql_int(dir, "SELECT ts FROM audit WHERE seq=2"), 7, &now),
			 BUR_OK);
	assert_int_equal(now, 80);
	(void)sqlite3_close(db);
	store_close(s);
	assert_int_equal(verify_audit().errors, 0);
}

/* --- credits ------------------------------------------------------------------------------------------------------ */

static struct operate_credit credits[8];
static size_t n_credits;

static int keep_credit(void *ctx, const struct operate_credit *c)
{
	(void)ctx;
	assert_true(n_credits < 8);
	credits[n_credits] = *c;
	credits[n_credits].budget = credits[n_credits].scope = SLICE_NONE;
	n_credits++;
	return BUR_OK;
}

static size_t read_credits(struct store *s)
{
	sqlite3 *db = NULL;

	n_credits = 0;
	assert_int_equal(store_reader(s, &db), BUR_OK);
	assert_int_equal(operate_each_credit(db, keep_credit, NULL), BUR_OK);
	(void)sqlite3_close(db);
	return n_credits;
}

static void credits_are_kept_undone_and_used_up(void **state)
{
	struct operate_credit c = {.budget = SLICE("b"),
				   .scope = SLICE("user=ann"),
				   .unit = UNIT_USD,
				   .amount = 30,
				   .win_start = WINDOW,
				   .expires_s = OPERATE_NEVER,
				   .before = 5};
	struct operation op = by_ann("c1");
	struct store *s = open_store();
	struct operated done;

	(void)state;
	assert_int_equal(operate_credit(s, &op, &c, &done), BUR_OK);
	assert_string_equal(done.before, "0.000000005 USD");
	assert_non_null(strstr(done.after, "0.000000035 USD: 0.00000003 USD more for this window"));
	assert_int_equal(operate_credit(s, &op, &c, &done), BUR_OK);
	assert_true(done.repeated);
	assert_int_equal(read_credits(s), 1);
	assert_true(credits[0].amount == 30 && credits[0].win_start == WINDOW && !credits[0].carry_over);
	op = by_ann("c2");
	c.carry_over = true;
	c.expires_s = WINDOW + 1000;
	assert_int_equal(operate_credit(s, &op, &c, &done), BUR_OK);
	assert_int_equal(read_credits(s), 2);
	/* the engine had no room: it goes, and its id is free again */
	assert_int_equal(operate_credit_undo(s, &op, &c), BUR_OK);
	assert_int_equal(read_credits(s), 1);
	assert_int_equal(operate_credit(s, &op, &c, &done), BUR_OK);
	assert_false(done.repeated);
	assert_int_equal(read_credits(s), 2);
	credits[0].amount = 0;
	credits[1].amount = 12;
	credits[1].win_start = WINDOW + 500;
	assert_int_equal(operate_credits_left(s, credits, 2), BUR_OK);
	assert_int_equal(read_credits(s), 1);
	assert_true(credits[0].amount == 12 && credits[0].win_start == WINDOW + 500 && credits[0].carry_over);
	c.amount = 0;
	assert_int_equal(operate_credit(s, &op, &c, &done), BUR_INVALID);
	store_close(s);
	assert_int_equal(verify_audit().errors, 0);
	assert_int_equal(count("audit"), 4);
}

/* --- charges ------------------------------------------------------------------------------------------------------ */

static int charge(struct store *s, const char *id, uint64_t meter, int unit, int64_t amount)
{
	struct operation op = by_ann(id);
	const struct operate_charge c = {.budget = meter == METER_A ? SLICE("a") : SLICE("t"),
					 .unit = unit,
					 .meter_uid = meter,
					 .win_start = WINDOW,
					 .amount = amount};
	struct operated done;
	uint8_t uid[16];

	return operate_charge(s, &op, &c, &done, uid);
}

static void charges_are_rows_of_the_ledger(void **state)
{
	struct store *s = open_store();

	(void)state;
	assert_int_equal(charge(s, "", METER_A, UNIT_USD, 700), BUR_OK);
	assert_int_equal(charge(s, "x", METER_A, UNIT_USD, 50), BUR_OK);
	assert_int_equal(charge(s, "x", METER_A, UNIT_USD, 50), BUR_OK);
	assert_int_equal(charge(s, "x", METER_A, UNIT_USD, 51), BUR_ALREADY);
	assert_int_equal(charge(s, "", METER_A, UNIT_USD, -751), BUR_DENIED);
	assert_int_equal(charge(s, "", METER_A, UNIT_USD, -150), BUR_OK);
	assert_int_equal(charge(s, "", METER_A, UNIT_USD, 0), BUR_INVALID);
	assert_int_equal(charge(s, "", METER_TOKENS, UNIT_TOKENS, 9000), BUR_OK);
	assert_int_equal(told, 600);
	assert_int_equal(sql_int(dir, "SELECT sum(amount_n) FROM ledger WHERE kind IN (4,5) AND ref_uid IS NULL"), 600);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM ledger WHERE kind=5 AND amount_n=-150"), 1);
	assert_int_equal(sql_int(dir, "SELECT sum(input_tokens) FROM ledger WHERE amount_n=0"), 9000);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM ledger WHERE json_extract(extra,'$.actor')='ann' AND"
				      " json_extract(extra,'$.reason')='the \"launch\" week' AND"
				      " json_extract(extra,'$.budget') IN ('a','t')"),
			 4);
	assert_int_equal(sql_int(dir, "SELECT posted_n FROM meter WHERE win_start=1700000000 AND meter_uid=3"), 9000);
	store_close(s);
	assert_verified(dir);
	assert_int_equal(verify_audit().errors, 0);
	s = open_store(); /* counters are compared with their postings here */
	assert_int_equal(sql_int(dir, "SELECT sum(posted_n) FROM meter WHERE meter_uid<0"), 600);
	store_close(s);
}

static void a_change_without_reason_leaves_nothing(void **state)
{
	struct store *s = open_store();
	struct operation op = by_ann("");
	const struct operate_charge c = {
	    .budget = SLICE("a"), .unit = UNIT_USD, .meter_uid = METER_A, .win_start = WINDOW, .amount = 5};
	struct operated done;
	char text[AUDIT_REASON_MAX + 2];
	uint8_t uid[16];

	(void)state;
	op.reason = SLICE_NONE;
	assert_int_equal(operate_charge(s, &op, &c, &done, uid), BUR_INVALID);
	memset(text, 'x', sizeof text);
	op.reason = slice_mem(text, sizeof text - 1);
	assert_int_equal(operate_charge(s, &op, &c, &done, uid), BUR_INVALID);
	op.reason = SLICE("\xff");
	assert_int_equal(operate_charge(s, &op, &c, &done, uid), BUR_INVALID);
	op = by_ann("");
	op.actor = SLICE_NONE;
	assert_int_equal(operate_charge(s, &op, &c, &done, uid), BUR_INVALID);
	assert_int_equal(count("ledger"), 0);
	assert_int_equal(told, 0);
	op = by_ann("");
	assert_int_equal(operate_charge(s, &op, &c, &done, uid), BUR_OK);
	assert_int_equal(told, 5);
	store_close(s);
	assert_verified(dir);
}

/* The commit took place and its answer was lost; and the other way about. */
static void a_lost_answer_is_looked_up(void **state)
{
	struct store *s = open_store();

	(void)state;
	store_test_fail(0, 1, SQLITE_IOERR, true);
	assert_int_equal(charge(s, "x", METER_A, UNIT_USD, 700), BUR_OK);
	store_test_fail(0, 1, SQLITE_IOERR, false);
	assert_int_equal(charge(s, "y", METER_A, UNIT_USD, 30), BUR_IO);
	assert_int_equal(charge(s, "y", METER_A, UNIT_USD, 30), BUR_OK);
	assert_int_equal(charge(s, "y", METER_A, UNIT_USD, 30), BUR_OK);
	assert_int_equal(told, 730);
	assert_int_equal(sql_int(dir, "SELECT sum(amount_n) FROM ledger"), 730);
	store_close(s);
	assert_verified(dir);
}

/* --- corrections -------------------------------------------------------------------------------------------------- */

static int correct(struct store *s, const uint8_t uid[16], const char *id, struct operate_correction c)
{
	struct operation op = by_ann(id);
	struct operated done;
	uint8_t row[16];

	memcpy(c.ref_uid, uid, 16);
	return operate_correct(s, &op, &c, &done, row);
}

static void calls_are_refunded_and_adjusted(void **state)
{
	struct store *s = open_store();
	static const uint8_t nobody[16] = {9};
	uint8_t uid[16], row[16];
	sqlite3 *db = NULL;

	(void)state;
	one_call(s, uid);
	assert_int_equal(correct(s, uid, "r", (struct operate_correction){.refund = true, .nanousd = 400}), BUR_OK);
	assert_int_equal(correct(s, uid, "r", (struct operate_correction){.refund = true, .nanousd = 400}), BUR_OK);
	assert_int_equal(told, -400);
	assert_int_equal(correct(s, uid, "", (struct operate_correction){.refund = true, .nanousd = 601}), BUR_DENIED);
	assert_int_equal(correct(s, uid, "", (struct operate_correction){.refund = true}), BUR_INVALID);
	assert_int_equal(correct(s, uid, "", (struct operate_correction){.refund = true, .nanousd = -1}), BUR_INVALID);
	/* the vendor bills 1300 for it */
	assert_int_equal(correct(s, uid, "", (struct operate_correction){.is_total = true, .nanousd = 1300}), BUR_OK);
	assert_int_equal(correct(s, uid, "", (struct operate_correction){.is_total = true, .nanousd = 1300}),
			 BUR_INVALID);
	assert_int_equal(correct(s, uid, "", (struct operate_correction){.nanousd = -100}), BUR_OK);
	assert_int_equal(correct(s, uid, "", (struct operate_correction){.nanousd = -5000}), BUR_DENIED);
	assert_int_equal(correct(s, nobody, "", (struct operate_correction){.nanousd = 5}), BUR_NOTFOUND);
	assert_int_equal(told, -400 + 300 - 100);
	assert_int_equal(sql_int(dir, "SELECT sum(amount_n) FROM ledger"), 800);
	assert_int_equal(store_reader(s, &db), BUR_OK);
	assert_int_equal(operate_row_uid(db, 1, row), BUR_OK);
	assert_memory_equal(row, uid, 16);
	assert_int_equal(operate_row_uid(db, 100, row), BUR_NOTFOUND);
	(void)sqlite3_close(db);
	store_close(s);
	assert_verified(dir);
	assert_int_equal(count("audit"), 3);
	assert_int_equal(verify_audit().errors, 0);
}

/* --- the log ------------------------------------------------------------------------------------------------------ */

static void every_later_change_of_the_log_shows(void **state)
{
	static const char *const changes[] = {
	    "UPDATE audit SET reason='other' WHERE seq=2",
	    "UPDATE audit SET actor='bob' WHERE seq=2",
	    "UPDATE audit SET action='credit' WHERE seq=1",
	    "UPDATE audit SET object='b' WHERE seq=3",
	    "UPDATE audit SET before=after, after=before WHERE seq=2",
	    "UPDATE audit SET before=before||after, after='' WHERE seq=2",
	    "UPDATE audit SET ts=ts+1 WHERE seq=3",
	    "UPDATE audit SET hash=zeroblob(32) WHERE seq=2",
	    "UPDATE audit SET prev=zeroblob(32) WHERE seq=2",
	    "UPDATE audit SET hash=x'00' WHERE seq=3",
	    "DELETE FROM audit WHERE seq=1",
	    "DELETE FROM audit WHERE seq=2",
	    "DELETE FROM audit WHERE seq=3",
	    "DELETE FROM audit",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		struct store *s = open_store();
		struct operated done;
		int64_t now;

		for (int k = 0; k < 3; k++)
			assert_int_equal(limit(s, "", 80 + k, &done, &now), BUR_OK);
		store_close(s);
		assert_int_equal(verify_audit().errors, 0);
		assert_int_equal(verify_audit().rows, 3);
		sql_change(dir, changes[i]);
		if (verify_audit().errors == 0)
			fail_msg("unseen: %s", changes[i]);
		remove_dir(dir);
		new_dir(dir);
	}
}

static int64_t seen[8];
static size_t n_seen;

static int see(void *ctx, const struct audit_entry *e)
{
	(void)ctx;
	seen[n_seen++] = e->seq;
	return BUR_OK;
}

static void the_log_is_read_in_pages(void **state)
{
	struct store *s = open_store();
	struct operated done;
	sqlite3 *db = NULL;
	int64_t now;

	(void)state;
	for (int k = 0; k < 5; k++)
		assert_int_equal(limit(s, "", 80 + k, &done, &now), BUR_OK);
	assert_int_equal(store_reader(s, &db), BUR_OK);
	n_seen = 0;
	assert_int_equal(audit_each(db, &(struct audit_filter){.limit = 2}, see, NULL), BUR_OK);
	assert_int_equal(audit_each(db, &(struct audit_filter){.limit = 9, .before_seq = 3}, see, NULL), BUR_OK);
	assert_true(n_seen == 4 && seen[0] == 5 && seen[1] == 4 && seen[2] == 2 && seen[3] == 1);
	assert_int_equal(audit_each(db, &(struct audit_filter){.limit = 9, .object = SLICE("b")}, see, NULL), BUR_OK);
	assert_int_equal(n_seen, 4);
	assert_int_equal(audit_each(db, &(struct audit_filter){.limit = 0}, see, NULL), BUR_INVALID);
	(void)sqlite3_close(db);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_limit_is_changed_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_limit_lasts_until_the_configuration_is_edited, setup, teardown),
	    cmocka_unit_test_setup_teardown(credits_are_kept_undone_and_used_up, setup, teardown),
	    cmocka_unit_test_setup_teardown(charges_are_rows_of_the_ledger, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_change_without_reason_leaves_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_lost_answer_is_looked_up, setup, teardown),
	    cmocka_unit_test_setup_teardown(calls_are_refunded_and_adjusted, setup, teardown),
	    cmocka_unit_test_setup_teardown(every_later_change_of_the_log_shows, setup, teardown),
	    cmocka_unit_test_setup_teardown(the_log_is_read_in_pages, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
