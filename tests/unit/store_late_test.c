/* Bills that come later than their call, and answers that are fetched again: each is charged once, whatever the order
 * and whoever dies in between. */
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/unit/store_dir.h"

#define WORST 5000

/* What an engine would have for counter A: filled at the start, then told. */
static struct {
	int64_t a, tokens;
	int64_t unknown;
} engine;

static void on_post(void *ctx, uint64_t meter_uid, int64_t win_start, int64_t delta)
{
	(void)ctx;
	assert_int_equal(win_start, WINDOW);
	if (meter_uid == METER_A)
		engine.a += delta;
	if (meter_uid == METER_TOKENS)
		engine.tokens += delta;
}

static void on_unknown(void *ctx, uint64_t key, int64_t nanousd)
{
	(void)ctx;
	assert_int_not_equal(key, 0);
	engine.unknown += nanousd;
}

static int on_meter(void *ctx, const struct meter_row *m)
{
	(void)ctx;
	if (m->uid == METER_A)
		engine.a += m->posted;
	if (m->uid == METER_TOKENS)
		engine.tokens += m->posted;
	return BUR_OK;
}

static struct store *open_store(uint32_t workers)
{
	static const struct store_hooks hooks = {.post = on_post, .late_unknown = on_unknown};
	struct store_config cfg = test_config(dir);
	struct store *s;

	cfg.workers = workers;
	s = must_open(&cfg, NULL);
	memset(&engine, 0, sizeof engine);
	assert_int_equal(store_each_meter(s, WINDOW, on_meter, NULL), BUR_OK);
	store_set_hooks(s, &hooks);
	return s;
}

static int64_t posted(uint64_t uid)
{
	char sql[160];

	(void)snprintf(sql, sizeof sql,
		       "SELECT coalesce((SELECT posted_n FROM meter WHERE meter_uid=%lld AND win_start=%d),0)",
		       (long long)(int64_t)uid, WINDOW);
	return sql_int(dir, sql);
}

/* Nothing is lost or doubled between ledger, counters and engine. */
static void check(struct store *s, int64_t expect_nanousd, int64_t expect_tokens)
{
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
	assert_int_equal(posted(METER_A), expect_nanousd);
	assert_int_equal(posted(METER_TOKENS), expect_tokens);
	assert_int_equal(engine.a, expect_nanousd);
	assert_int_equal(engine.tokens, expect_tokens);
}

static uint64_t key_of(const char *id)
{
	return late_key(SLICE("openai"), slice_of(id));
}

struct end {
	uint64_t key;
	int64_t nanousd;
	uint32_t in, out, flags;
};

/* A call from begin to end. What the engine is told when it ends is the caller's part: zero for fetched bills. */
static void end_call(struct store *s, uint32_t worker, struct end e, uint8_t ret_uid[16])
{
	struct call c = make_call(s, worker, WORST);
	struct call_end end = {.settled_ns = clock_wall_ns()};
	uint32_t slot;

	assert_int_equal(store_call_begin(s, worker, &c, &slot), BUR_OK);
	store_call_sent(s, slot);
	end.cell = (struct journal_cell){.worst_nanousd = WORST,
					 .actual_nanousd = e.nanousd,
					 .input_tokens = e.in,
					 .output_tokens = e.out,
					 .requests = 1,
					 .source = e.flags & ROW_PENDING ? SOURCE_WORST : SOURCE_USAGE,
					 .status = 200,
					 .flags = e.flags,
					 .late_key = e.key};
	end.extra_n = (uint32_t)snprintf(end.extra, sizeof end.extra, "{\"images\":2}");
	store_call_settle(s, worker, slot, &end);
	if (ret_uid)
		memcpy(ret_uid, c.entry.uid, 16);
	if (!(e.flags & ROW_LATE)) {
		engine.a += e.nanousd;
		engine.tokens += e.in + e.out;
	}
}

static void create(struct store *s, const char *id)
{
	end_call(s, 0, (struct end){key_of(id), WORST, 10, 100, ROW_PENDING}, NULL);
}

static void fetch(struct store *s, const char *id, int64_t nanousd, uint32_t in, uint32_t out, uint32_t flags)
{
	end_call(s, 0, (struct end){key_of(id), nanousd, in, out, ROW_LATE | flags}, NULL);
}

static void a_late_bill_replaces_the_worst_case(void **state)
{
	struct store *s = open_store(1);

	(void)state;
	create(s, "resp_1");
	check(s, WORST, 110);
	fetch(s, "resp_1", 1234, 15, 42, 0);
	check(s, 1234, 57);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM ledger"), 3); /* call, fetch, correction */
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM ledger c JOIN ledger r ON r.uid=c.ref_uid"
				      " WHERE c.kind=2 AND r.seq=1 AND c.amount_n=-3766 AND c.input_tokens=5"
				      " AND c.output_tokens=-58 AND c.requests=0"),
			 1);
	assert_int_equal(sql_int(dir, "SELECT json_extract(extra,'$.images') FROM ledger WHERE kind=2"), 2);
	assert_int_equal(sql_int(dir, "SELECT amount_n+input_tokens+output_tokens+requests FROM ledger WHERE seq=2"),
			 0);
	for (int i = 0; i < 5; i++)
		fetch(s, "resp_1", 1234, 15, 42, 0);
	check(s, 1234, 57);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM ledger WHERE kind=2"), 1);
	store_close(s);
	assert_verified(dir);
}

static void all_in_one_batch(void **state)
{
	struct store *s = open_store(2);

	(void)state;
	/* The other worker goes first in the batch: what it fetched is still booked after the call itself. */
	end_call(s, 1, (struct end){key_of("r"), WORST, 10, 100, ROW_PENDING}, NULL);
	end_call(s, 0, (struct end){key_of("r"), 700, 1, 2, ROW_LATE}, NULL);
	end_call(s, 0, (struct end){key_of("r"), 700, 1, 2, ROW_LATE}, NULL);
	end_call(s, 1, (struct end){key_of("r"), 700, 1, 2, ROW_LATE}, NULL);
	check(s, 700, 3);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM ledger WHERE kind=2"), 1);
	store_close(s);
	assert_verified(dir);
}

static void a_final_answer_that_is_fetched_costs_nothing(void **state)
{
	struct store *s = open_store(1);

	(void)state;
	end_call(s, 0, (struct end){key_of("resp_2"), 800, 20, 30, 0}, NULL);
	check(s, 800, 50);
	fetch(s, "resp_2", 800, 20, 30, 0);
	fetch(s, "resp_2", 900, 20, 30, 0); /* the same units at another hour's price */
	check(s, 800, 50);
	fetch(s, "resp_2", 880, 22, 33, 0); /* the newest final figures win */
	check(s, 880, 55);
	fetch(s, "resp_2", 100, 1, 1, ROW_PENDING); /* what is not final says nothing of one that is */
	check(s, 880, 55);
	store_close(s);
	assert_verified(dir);
}

static void an_unfinished_bill_only_raises(void **state)
{
	struct store *s = open_store(1);

	(void)state;
	create(s, "resp_3");
	fetch(s, "resp_3", 100, 1, 1, ROW_PENDING);
	check(s, WORST, 110);
	fetch(s, "resp_3", 7000, 10, 300, ROW_PENDING);
	check(s, 7000, 310);
	fetch(s, "resp_3", 6000, 10, 250, 0);
	check(s, 6000, 260);
	store_close(s);
	assert_verified(dir);
}

/* Created before bursar, or beside it: the first fetch pays, the next ones do not. */
static void a_bill_of_an_unknown_call_is_paid_once(void **state)
{
	struct store *s = open_store(1);

	(void)state;
	fetch(s, "resp_old", 450, 3, 4, 0);
	check(s, 450, 7);
	fetch(s, "resp_old", 450, 3, 4, 0);
	fetch(s, "resp_old", 450, 3, 4, 0);
	check(s, 450, 7);
	fetch(s, "resp_new", 10, 1, 1, ROW_PENDING);
	check(s, 460, 9);
	fetch(s, "resp_new", 40, 2, 2, 0);
	check(s, 490, 11);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM ledger WHERE kind=2"), 1);
	store_close(s);
	s = open_store(1);
	fetch(s, "resp_old", 450, 3, 4, 0);
	check(s, 490, 11);
	store_close(s);
	assert_verified(dir);
}

static void ids_of_two_vendors_are_two(void **state)
{
	struct store *s = open_store(1);

	(void)state;
	assert_int_not_equal(late_key(SLICE("openai"), SLICE("x")), late_key(SLICE("azure"), SLICE("x")));
	assert_int_equal(key_of("x"), late_key(SLICE("openai"), SLICE("x")));
	create(s, "a");
	create(s, "b");
	create(s, "a"); /* a vendor that repeats itself: the second keeps its worst case */
	fetch(s, "a", 0, 0, 0, 0);
	check(s, 2 * WORST, 220);
	store_close(s);
	assert_verified(dir);
}

static void refunds_are_left_alone(void **state)
{
	struct store *s = open_store(1);
	struct adjustment a = {.kind = LEDGER_REFUND, .nanousd = -4500, .reason = "goodwill", .actor = "ann"};
	uint8_t uid[16];

	(void)state;
	end_call(s, 0, (struct end){key_of("r"), WORST, 10, 100, ROW_PENDING}, uid);
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
	memcpy(a.ref_uid, uid, 16);
	adjust_uid(uid, "refund", SLICE("1"), a.uid);
	assert_int_equal(store_adjust(s, &a, 1), BUR_OK);
	assert_int_equal(a.result, BUR_OK);
	check(s, 500, 110);
	fetch(s, "r", 100, 1, 1, 0); /* 4900 less than charged, but only 500 are left */
	check(s, 0, 2);
	store_close(s);
	assert_verified(dir);
}

/* --- bills beside calls ------------------------------------------------------------------------------------------- */

static void bills_beside_calls(void **state)
{
	struct late_bill b = {.nanousd = 60, .units = {.input_tokens = 4, .output_tokens = 5}, .final = true};
	struct store *s = open_store(1);

	(void)state;
	create(s, "batch_1");
	assert_int_equal(store_late_bill(s, 0, key_of("batch_1"), &b), BUR_OK); /* at once after it */
	check(s, 60, 9);
	assert_int_equal(store_late_bill(s, 0, key_of("batch_1"), &b), BUR_OK);
	check(s, 60, 9);
	assert_int_equal(store_late_bill(s, 0, key_of("batch_2"), &b), BUR_OK); /* nobody's */
	check(s, 60, 9);
	assert_int_equal(engine.unknown, 60);
	end_call(s, 0, (struct end){0, 7, 0, 0, 0}, b.learned_by);
	for (int i = 0; i < 3; i++)
		assert_int_equal(store_late_bill(s, 0, key_of("batch_2"), &b),
				 BUR_OK); /* paid where it was found, once */
	check(s, 127, 18);
	b.nanousd = -1;
	assert_int_equal(store_late_bill(s, 0, key_of("x"), &b), BUR_INVALID);
	b.nanousd = 1;
	assert_int_equal(store_late_bill(s, 0, 0, &b), BUR_INVALID);
	b.units.searches = -1;
	assert_int_equal(store_late_bill(s, 0, 1, &b), BUR_INVALID);
	store_close(s);
	assert_verified(dir);
}

/* A batch and the file of its results are one bill, whichever is fetched first and how often. */
static void two_ids_of_one_bill(void **state)
{
	struct store *s = open_store(1);

	(void)state;
	create(s, "batch_1");
	fetch(s, "batch_1", 300, 10, 20, 0);
	assert_int_equal(store_late_also(s, 0, key_of("batch_1"), key_of("file-1")), BUR_OK);
	assert_int_equal(store_late_also(s, 0, key_of("batch_1"), key_of("file-1")), BUR_OK);
	assert_int_equal(store_late_also(s, 0, key_of("nobody"), key_of("file-2")), BUR_OK);
	assert_int_equal(store_late_also(s, 0, 7, 7), BUR_INVALID);
	check(s, 300, 30);
	fetch(s, "file-1", 300, 10, 20, 0);
	check(s, 300, 30);
	fetch(s, "file-1", 310, 11, 20, 0); /* other figures: the newest win, once */
	fetch(s, "batch_1", 310, 11, 20, 0);
	check(s, 310, 31);
	fetch(s, "batch_1", 300, 10, 20, 0);
	fetch(s, "file-1", 310, 11, 20, 0);
	check(s, 310, 31);
	store_close(s);
	assert_verified(dir);
}

static void the_queue_of_bills_is_bounded(void **state)
{
	struct late_bill b = {.nanousd = 1, .final = true};
	struct store *s = open_store(1);
	int n = 0;

	(void)state;
	while (store_late_bill(s, 0, (uint64_t)n + 1, &b) == BUR_OK)
		n++;
	assert_int_equal(n, BILLS_PER_WORKER);
	check(s, 0, 0);
	assert_int_equal(engine.unknown, n);
	assert_int_equal(store_late_bill(s, 0, 1, &b), BUR_OK);
	store_close(s);
}

/* --- the table's size --------------------------------------------------------------------------------------------- */

static void old_numbers_go(void **state)
{
	struct store *s = open_store(1);
	char sql[200];

	(void)state;
	for (int i = 0; i < 60; i++) {
		char id[16];

		(void)snprintf(id, sizeof id, "old_%d", i);
		create(s, id);
		assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
	}
	store_close(s);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM late"), 60);
	(void)snprintf(sql, sizeof sql, "UPDATE late SET ts=ts-%lld WHERE id<=50",
		       (long long)((LATE_DAYS + 1) * 86400 * NS_PER_S));
	sql_change(dir, sql);
	s = open_store(1);
	create(s, "new_1");
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM late"), 43); /* 18 at a time */
	for (int i = 2; i < 6; i++) {
		char id[16];

		(void)snprintf(id, sizeof id, "new_%d", i);
		create(s, id);
		assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
	}
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM late"), 15);
	assert_int_equal(sql_int(dir, "SELECT min(id) FROM late"), 51);
	store_close(s);
	sql_change(dir, "INSERT INTO late VALUES(9000000,77,randomblob(16),0,0,9000000000000000000)");
	s = open_store(1);
	create(s, "newest");
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM late"),
			 2); /* all others are beyond the most there may be */
	store_close(s);
	assert_verified(dir);
}

/* --- commits without an answer ------------------------------------------------------------------------------------ */

static void lost_answers_of_commits(void **state)
{
	(void)state;
	for (int done = 0; done < 2; done++) {
		for (int times = 1; times < 4; times++) {
			struct store *s = open_store(1);
			struct late_bill b = {.nanousd = 60, .units = {.input_tokens = 4}, .final = true};

			create(s, "x");
			create(s, "z");
			assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
			store_test_fail(0, times, SQLITE_IOERR, done != 0);
			fetch(s, "x", 300, 1, 2, 0); /* known */
			fetch(s, "y", 400, 3, 4, 0); /* unknown */
			assert_int_equal(store_late_bill(s, 0, key_of("z"), &b), BUR_OK);
			for (int i = 0; i < times; i++)
				assert_int_not_equal(store_sync(s, NS_PER_S), BUR_OK);
			check(s, 760, 14);
			assert_int_equal(sql_int(dir, "SELECT count(*) FROM ledger"), 6);
			store_close(s);
			assert_verified(dir);
			remove_dir(dir);
			assert_int_equal(mkdir(dir, 0700), 0);
		}
	}
}

/* --- deaths ------------------------------------------------------------------------------------------------------- */

static void script(struct store *s)
{
	struct late_bill b = {.nanousd = 60, .units = {.input_tokens = 4}, .final = true};

	create(s, "x"); /* 5000, then 300 */
	(void)!store_sync(s, NS_PER_S);
	fetch(s, "x", 300, 1, 2, 0);
	create(s, "y"); /* 5000, then 200; never alone in the database */
	fetch(s, "y", 200, 1, 2, 0);
	(void)!store_sync(s, NS_PER_S);
	fetch(s, "w", 400, 3, 4, 0); /* 400 or nothing, until it is fetched again */
	create(s, "z");
	(void)!store_late_bill(s, 0, key_of("z"), &b);
	(void)!store_sync(s, NS_PER_S);
	fetch(s, "z", 60, 4, 0, 0);
	fetch(s, "x", 300, 1, 2, 0);
}

static bool die_at(int n)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct store_config cfg = test_config(dir);
		struct opened o;
		char text[16];

		(void)snprintf(text, sizeof text, "%d", n);
		(void)setenv("BURSAR_KILL_AT", text, 1);
		o = try_open(&cfg);
		if (o.r < 0 || store_meter_known(o.s, METER_TOKENS, SLICE("t"), SLICE(""), UNIT_TOKENS) < 0)
			_exit(2);
		script(o.s);
		store_close(o.s);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status);
}

static int64_t sum_of_calls(void)
{
	return sql_int(dir, "SELECT coalesce(sum(amount_n),0) FROM ledger");
}

/* Whatever was written before the end, the same script once more ends where it would have ended. */
static void every_kill_point(void **state)
{
	int n = 1;

	(void)state;
	for (bool dead = true; dead; n++) {
		struct store *s;
		int64_t open;

		dead = die_at(n);
		s = open_store(1);
		/* A call that died before its id was seen is charged its worst case for good. */
		open = sql_int(dir, "SELECT count(*) FROM ledger WHERE flags&1");
		assert_in_range(open, 0, 1);
		assert_int_equal(engine.a, sum_of_calls());
		assert_true(sql_int(dir, "SELECT count(*) FROM ledger r WHERE kind=1 AND amount_n+coalesce((SELECT"
					 " sum(amount_n) FROM ledger c WHERE c.ref_uid=r.uid),0) NOT IN"
					 " (0,60,200,300,400,5000)") == 0);
		/* Fetching all again brings each call that is known to its bill. */
		fetch(s, "x", 300, 1, 2, 0);
		fetch(s, "y", 200, 1, 2, 0);
		fetch(s, "z", 60, 4, 0, 0);
		fetch(s, "w", 400, 3, 4, 0);
		assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
		assert_int_equal(sum_of_calls(), 960 + open * WORST);
		check(s, 960 + open * WORST, 17 + open * 110);
		store_close(s);
		assert_verified(dir);
		remove_dir(dir);
		assert_int_equal(mkdir(dir, 0700), 0);
	}
	print_message("%d kill points\n", n - 2);
	assert_true(n > 100);
}

/* Killed with everything settled and nothing written; and the recovery dies at each of its points too. */
static void the_journal_alone_is_enough(void **state)
{
	bool dead = true;

	(void)state;
	for (int n = 1; dead; n++) {
		pid_t pid = fork();
		struct store *s;
		int status;

		if (pid == 0) {
			struct store_config cfg = test_config(dir);

			s = must_open(&cfg, NULL);
			fetch(s, "x", 300, 1, 2, 0); /* before the call in the journal */
			create(s, "x");
			fetch(s, "old", 70, 1, 0, 0);
			(void)raise(SIGKILL);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		pid = fork();
		if (pid == 0) {
			struct store_config cfg = test_config(dir);
			char text[16];

			(void)snprintf(text, sizeof text, "%d", n);
			(void)setenv("BURSAR_KILL_AT", text, 1);
			store_close(try_open(&cfg).s);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		dead = WIFSIGNALED(status);
		s = open_store(1);
		check(s, 370, 4);
		store_close(s);
		assert_verified(dir);
		remove_dir(dir);
		assert_int_equal(mkdir(dir, 0700), 0);
	}
}

/* A call that died under way after its id was seen: charged its worst case, and its bill still finds it. */
static void a_call_that_died_under_way(void **state)
{
	pid_t pid = fork();
	struct store *s;
	int status;

	(void)state;
	if (pid == 0) {
		struct store_config cfg = test_config(dir);
		struct call c;
		uint32_t slot;

		s = must_open(&cfg, NULL);
		c = make_call(s, 0, WORST);
		slot = begin_sent(s, &c);
		c.entry.cell.late_key = key_of("r");
		store_call_update(s, slot, &c.entry.cell);
		store_uid(s, 0, c.entry.uid);
		slot = begin_sent(s, &c);
		c.entry.cell.late_key = key_of("other"); /* one that was fetching */
		c.entry.cell.flags = ROW_LATE;
		c.entry.cell.worst_nanousd = 0;
		store_call_update(s, slot, &c.entry.cell);
		(void)raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	s = open_store(1);
	check(s, WORST, 220);
	fetch(s, "r", 30, 1, 1, 0);
	check(s, 30, 112);
	fetch(s, "other", 40, 1, 1, 0);
	check(s, 70, 114);
	store_close(s);
	assert_verified(dir);
}

static void with_the_thread(void **state)
{
	struct store *s = open_store(1);
	struct late_bill b = {.nanousd = 60, .units = {.input_tokens = 4}, .final = true};
	int64_t expect = 0;

	(void)state;
	assert_int_equal(store_start(s), BUR_OK);
	for (int i = 0; i < 200; i++) {
		char id[16];

		(void)snprintf(id, sizeof id, "r%d", i);
		create(s, id);
		if (i % 3 == 0)
			fetch(s, id, 100 + i, 1, 1, 0);
		else
			assert_int_equal(store_late_bill(s, 0, key_of(id), &b), BUR_OK);
		expect += i % 3 == 0 ? 100 + i : 60;
		if (i % 20 == 19) /* no more slots than that */
			assert_int_equal(store_sync(s, 10 * NS_PER_S), BUR_OK);
	}
	assert_int_equal(store_sync(s, 10 * NS_PER_S), BUR_OK);
	store_close(s);
	assert_int_equal(posted(METER_A), expect);
	assert_int_equal(engine.a, expect);
	assert_verified(dir);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(a_late_bill_replaces_the_worst_case),
	    T(all_in_one_batch),
	    T(a_final_answer_that_is_fetched_costs_nothing),
	    T(an_unfinished_bill_only_raises),
	    T(a_bill_of_an_unknown_call_is_paid_once),
	    T(ids_of_two_vendors_are_two),
	    T(refunds_are_left_alone),
	    T(bills_beside_calls),
	    T(two_ids_of_one_bill),
	    T(the_queue_of_bills_is_bounded),
	    T(old_numbers_go),
	    T(lost_answers_of_commits),
	    T(every_kill_point),
	    T(the_journal_alone_is_enough),
	    T(a_call_that_died_under_way),
	    T(with_the_thread),
	};

	log_init(-1, LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
