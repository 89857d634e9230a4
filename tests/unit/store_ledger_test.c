#include <fcntl.h>

#include "tests/unit/store_dir.h"

/* --- pages -------------------------------------------------------------------------------------------------------- */

struct page {
	int n;
	int64_t seq[64], amount[64];
	struct ledger_row last;
	char user[32], extra[64];
};

static int take(void *ctx, const struct ledger_row *r)
{
	struct page *p = ctx;

	p->seq[p->n] = r->seq;
	p->amount[p->n++] = r->amount_nanousd;
	p->last = *r;
	(void)slice_to_cstr(r->user, p->user, sizeof p->user);
	(void)slice_to_cstr(r->extra, p->extra, sizeof p->extra);
	return BUR_OK;
}

static struct page page_of(struct store *s, struct ledger_filter f)
{
	struct page p = {0};
	sqlite3 *db;

	if (f.limit == 0)
		f.limit = 64;
	assert_int_equal(store_reader(s, &db), BUR_OK);
	assert_int_equal(ledger_each(db, &f, take, &p), BUR_OK);
	(void)sqlite3_close(db);
	return p;
}

static void call_of(struct store *s, const char *user, int64_t created_ns, int64_t amount)
{
	struct call c = make_call(s, 0, 5000);
	struct call_end e = make_end(amount);
	uint32_t slot;

	c.entry.ids[NAME_USER] = store_name(s, NAME_USER, slice_of(user));
	c.entry.created_ns = created_ns;
	slot = begin_sent(s, &c);
	store_call_settle(s, 0, slot, &e);
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
}

static void pages_and_filters(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	struct page p;

	(void)state;
	for (int i = 1; i <= 10; i++)
		call_of(s, i % 2 ? "ann" : "bob", i * NS_PER_S, i);
	p = page_of(s, (struct ledger_filter){.limit = 3});
	assert_int_equal(p.n, 3);
	assert_int_equal(p.amount[2], 3);
	p = page_of(s, (struct ledger_filter){.limit = 3, .after_seq = p.seq[2]});
	assert_int_equal(p.amount[0], 4);
	p = page_of(s, (struct ledger_filter){.limit = 3, .descending = true});
	assert_int_equal(p.amount[0], 10);
	p = page_of(s, (struct ledger_filter){.limit = 3, .descending = true, .after_seq = p.seq[2]});
	assert_int_equal(p.amount[0], 7);
	p = page_of(s, (struct ledger_filter){.user = SLICE("bob")});
	assert_int_equal(p.n, 5);
	assert_string_equal(p.user, "bob");
	assert_string_equal(p.extra, "{\"end\":\"ok\"}");
	assert_int_equal(p.last.input_tokens, 11);
	assert_int_equal(p.last.cache_write_1h_tokens, 5);
	assert_int_equal(p.last.searches, 2);
	assert_int_equal(p.last.price_version, 3);
	assert_int_equal(p.last.tier, 1);
	p = page_of(s, (struct ledger_filter){.user = SLICE("bob' OR 1=1 --")});
	assert_int_equal(p.n, 0);
	p = page_of(s, (struct ledger_filter){.from_ns = 4 * NS_PER_S, .to_ns = 6 * NS_PER_S, .model = SLICE("gpt-x")});
	assert_int_equal(p.n, 2);
	p = page_of(s, (struct ledger_filter){.from_ns = 4 * NS_PER_S, .descending = true});
	assert_int_equal(p.n, 7);
	store_close(s);
}

/* The seals' times narrow the search; a row from the past, written late, is still found, and one from the future too.
 */
static void time_index_loses_no_row(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	int64_t now = clock_wall_ns(), day = 86400 * NS_PER_S;
	struct page p;

	(void)state;
	call_of(s, "ann", now + day, 1);
	call_of(s, "ann", now - day, 2);
	call_of(s, "ann", now, 3);
	p = page_of(s, (struct ledger_filter){.from_ns = now + day});
	assert_int_equal(p.n, 1);
	p = page_of(s, (struct ledger_filter){.from_ns = now - day, .to_ns = now});
	assert_int_equal(p.n, 1);
	assert_int_equal(p.amount[0], 2);
	p = page_of(s, (struct ledger_filter){.from_ns = now - 1});
	assert_int_equal(p.n, 2);
	store_close(s);
}

static int stop(void *ctx, const struct ledger_row *r)
{
	(void)r;
	++*(int *)ctx;
	return BUR_DENIED;
}

static void bad_pages_and_stopping(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	struct ledger_filter f = {.limit = 1001};
	int n = 0;
	sqlite3 *db;

	(void)state;
	call_of(s, "ann", 1, 1);
	call_of(s, "ann", 2, 1);
	assert_int_equal(store_reader(s, &db), BUR_OK);
	assert_int_equal(ledger_each(db, &f, stop, &n), BUR_INVALID);
	f.limit = 0;
	assert_int_equal(ledger_each(db, &f, stop, &n), BUR_INVALID);
	f.limit = 10;
	assert_int_equal(ledger_each(db, &f, stop, &n), BUR_DENIED);
	assert_int_equal(n, 1);
	(void)sqlite3_close(db);
	store_close(s);
}

/* --- verifying ---------------------------------------------------------------------------------------------------- */

static int price(void *ctx, const struct ledger_row *r)
{
	(void)ctx;
	return r->amount_nanousd == 1 ? BUR_OK : r->amount_nanousd == 2 ? BUR_INVALID : BUR_NOTFOUND;
}

static void ledger_of_five(void)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);

	for (int i = 1; i <= 5; i++)
		call_of(s, "ann", i * NS_PER_S, i);
	store_close(s);
}

static void verify_counts_and_prices(void **state)
{
	struct verify_report rep;
	sqlite3 *db;

	(void)state;
	ledger_of_five();
	db = raw_db(dir, false);
	assert_int_equal(ledger_verify(db, price, NULL, &rep), BUR_OK);
	(void)sqlite3_close(db);
	assert_int_equal(rep.rows, 5);
	assert_int_equal(rep.seals, 5);
	assert_int_equal(rep.seal_errors + rep.sum_errors, 0);
	assert_int_equal(rep.price_rows, 5);
	assert_int_equal(rep.price_errors, 1);
	assert_int_equal(rep.price_skipped, 3);
}

/* I16: whatever is changed in a sealed row is found. */
static void every_change_breaks_the_seal(void **state)
{
	static const char *const changes[] = {
	    "UPDATE ledger SET uid=randomblob(16) WHERE seq=3",
	    "UPDATE ledger SET ref_uid=randomblob(16) WHERE seq=3",
	    "UPDATE ledger SET extra='{\"end\":\"oK\"}' WHERE seq=3",
	    "UPDATE ledger SET extra=NULL WHERE seq=3",
	    "UPDATE ledger SET kind=2 WHERE seq=3",
	    "UPDATE ledger SET ts_admit=ts_admit+1 WHERE seq=3",
	    "UPDATE ledger SET ts_settle=ts_settle+1 WHERE seq=3",
	    "UPDATE ledger SET node=node+1 WHERE seq=3",
	    "UPDATE ledger SET amount_n=amount_n+1 WHERE seq=3",
	    "UPDATE ledger SET amount_n=CASE seq WHEN 3 THEN amount_n-1 ELSE amount_n+1 END WHERE seq IN(3,4)",
	    "UPDATE ledger SET worst_n=worst_n+1 WHERE seq=3",
	    "UPDATE ledger SET source=source+1 WHERE seq=3",
	    "UPDATE ledger SET flags=flags|2 WHERE seq=3",
	    "UPDATE ledger SET key_id=0 WHERE seq=3",
	    "UPDATE ledger SET route_id=1 WHERE seq=3",
	    "UPDATE ledger SET model_id=model_id+1 WHERE seq=3",
	    "UPDATE ledger SET input_tokens=0 WHERE seq=3",
	    "UPDATE ledger SET searches=searches+1 WHERE seq=3",
	    "UPDATE ledger SET tier=0 WHERE seq=3",
	    "UPDATE ledger SET price_version=4 WHERE seq=3",
	    "UPDATE ledger SET fx_ppb=1 WHERE seq=3",
	    "UPDATE ledger SET status=500 WHERE seq=3",
	    "UPDATE ledger SET seq=6 WHERE seq=3",
	    "DELETE FROM ledger WHERE seq=3",
	    "DELETE FROM ledger WHERE seq=5",
	    "INSERT INTO ledger SELECT "
	    "6,randomblob(16),ref_uid,extra,kind,ts_admit,ts_settle,node,amount_n,worst_n,source,"
	    "flags,key_id,user_id,team_id,project_id,provider_id,model_id,route_id,0,0,0,0,0,0,0,0,0,0,0,0 FROM ledger"
	    " WHERE seq=5",
	    "UPDATE posting SET amount=amount+1 WHERE seq=3 AND meter_uid=2",
	    "UPDATE posting SET win_start=1 WHERE seq=3 AND meter_uid=2",
	    "DELETE FROM posting WHERE seq=3 AND meter_uid=3",
	    "INSERT INTO posting VALUES(3,99,1,1)",
	    "INSERT INTO posting VALUES(99,99,1,1)",
	    "UPDATE ledger_seal SET ts=ts+1 WHERE seq_to=3",
	    "UPDATE ledger_seal SET hash=randomblob(32) WHERE seq_to=3",
	    "UPDATE ledger_seal SET prev=randomblob(32) WHERE seq_to=3",
	    "UPDATE ledger_seal SET sum_n=sum_n+1 WHERE seq_to=3",
	    "UPDATE ledger_seal SET rows=2 WHERE seq_to=3",
	    "DELETE FROM ledger_seal WHERE seq_to=3",
	    "DELETE FROM ledger_seal WHERE seq_to=5",
	};
	sqlite3 *db;

	(void)state;
	ledger_of_five();
	db = raw_db(dir, true);
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		struct verify_report rep;
		struct seal_report seals;

		assert_int_equal(sqlite3_exec(db, "SAVEPOINT x", NULL, NULL, NULL), SQLITE_OK);
		assert_int_equal(sqlite3_exec(db, changes[i], NULL, NULL, NULL), SQLITE_OK);
		assert_int_equal(seal_verify(db, 0, NULL, NULL, &seals), BUR_OK);
		if (seals.errors == 0)
			print_message("not found: %s\n", changes[i]);
		assert_true(seals.errors > 0);
		assert_true(seals.first_error[0] != 0);
		assert_int_equal(sqlite3_exec(db, "ROLLBACK TO x; RELEASE x", NULL, NULL, NULL), SQLITE_OK);
		assert_int_equal(ledger_verify(db, NULL, NULL, &rep), BUR_OK);
		assert_int_equal(rep.seal_errors, 0);
	}
	(void)sqlite3_close(db);
}

static void sums_are_compared(void **state)
{
	(void)state;
	ledger_of_five();
	sql_change(dir, "UPDATE meter SET posted_n=posted_n+1 WHERE meter_uid=2");
	assert_int_equal(verify_dir(dir).sum_errors, 1);
	sql_change(dir, "UPDATE posting SET amount=amount+1 WHERE seq=3 AND meter_uid=2"); /* evens the counter out */
	assert_int_equal(verify_dir(dir).sum_errors, 2); /* the row's, and the sums by time */
	assert_int_equal(verify_dir(dir).seal_errors, 1);
}

static void changed_ledger_does_not_start(void **state)
{
	struct store_config cfg = test_config(dir);
	struct opened o;

	(void)state;
	ledger_of_five();
	sql_change(dir, "UPDATE ledger SET amount_n=0 WHERE seq=5");
	o = try_open(&cfg);
	assert_int_equal(o.exit_code, EXIT_STORE);
	assert_non_null(strstr(o.text, "bursar verify"));
}

/* The last part of a long chain is checked at each start, all of it on request. */
static void long_chains_are_checked_in_part(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	struct opened o;

	(void)state;
	for (int i = 1; i <= 100; i++)
		call_of(s, "ann", i * NS_PER_S, i);
	store_close(s);
	sql_change(dir, "UPDATE ledger SET status=1 WHERE seq=5");
	s = must_open(&cfg, NULL);
	store_close(s);
	cfg.verify_all = true;
	o = try_open(&cfg);
	assert_int_equal(o.exit_code, EXIT_STORE);
	sql_change(dir, "UPDATE ledger SET status=200 WHERE seq=5");
	s = must_open(&cfg, NULL);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(pages_and_filters, setup, teardown),
	    cmocka_unit_test_setup_teardown(time_index_loses_no_row, setup, teardown),
	    cmocka_unit_test_setup_teardown(bad_pages_and_stopping, setup, teardown),
	    cmocka_unit_test_setup_teardown(verify_counts_and_prices, setup, teardown),
	    cmocka_unit_test_setup_teardown(every_change_breaks_the_seal, setup, teardown),
	    cmocka_unit_test_setup_teardown(sums_are_compared, setup, teardown),
	    cmocka_unit_test_setup_teardown(changed_ledger_does_not_start, setup, teardown),
	    cmocka_unit_test_setup_teardown(long_chains_are_checked_in_part, setup, teardown),
	};

	log_init(STDERR_FILENO, LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
