/* What the store itself tells: of rows, in their transaction, in normal running and after a crash alike. */
#include "store/note.h"
#include "tests/unit/store_dir.h"

/* --- rows --------------------------------------------------------------------------------------------------------- */

static void settle(struct store *s, const char *model, uint32_t flags, int64_t actual, int status)
{
	struct call c = make_call(s, 0, 5000);
	struct call_end e = make_end(actual);
	uint32_t slot;

	c.entry.ids[NAME_MODEL] = store_name(s, NAME_MODEL, slice_of(model));
	slot = begin_sent(s, &c);
	e.cell.flags = flags;
	e.cell.status = (uint16_t)status;
	store_call_settle(s, 0, slot, &e);
}

#define OVERRUNS "SELECT count(*) FROM event WHERE kind='budget.overrun'"
#define UNPRICED "SELECT count(*) FROM event WHERE kind='price.unknown_model'"

static void overruns_are_events_of_their_rows(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);

	(void)state;
	settle(s, "gpt-x", 0, 100, 200);
	settle(s, "gpt\"x", ROW_OVERRUN, 12345678, 200);
	settle(s, "gpt\"x", ROW_OVERRUN, 12345678, 200); /* each call is one */
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
	assert_int_equal(sql_int(dir, OVERRUNS), 2);
	assert_int_equal(
	    sql_int(
		dir, OVERRUNS
		" AND payload->>'message'='A call to gpt\"x cost 0.012345678 USD, but only 0.000005 USD were held for"
		" it' AND payload->>'object'='gpt\"x' AND payload->>'object_kind'='model' AND payload->>'key'='bur_abc'"
		" AND payload->>'user'='ann' AND payload->>'provider'='openai' AND payload->>'cost_nanos'=12345678"
		" AND payload->>'held_nanos'=5000 AND payload->>'$.budgets[0]' IN ('a','b','t')"
		" AND json_array_length(payload,'$.budgets')=3 AND action=100"
		" AND payload->>'call' IN (SELECT lower(hex(uid)) FROM ledger)"),
	    2);
	store_close(s);
}

static void models_without_a_price_are_told_once_a_day(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	char object[] = "openai/new";
	const struct note refused = {.kind = "price.unknown_model",
				     .object = slice_of(object),
				     .since_s = clock_wall_ns() / NS_PER_S / 86400 * 86400,
				     .state = NOTE_BEGAN,
				     .payload = SLICE("{}")};

	(void)state;
	for (int i = 0; i < 5; i++) {
		settle(s, "new", ROW_NO_PRICE, 0, 200);
		settle(s, "newer", ROW_NO_PRICE, 0, 200);
		settle(s, "made up", ROW_NO_PRICE, 0, 404); /* the vendor does not know it either */
		settle(s, "", ROW_NO_PRICE, 0, 200);        /* a route without models */
	}
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
	assert_int_equal(sql_int(dir, UNPRICED), 2);
	assert_int_equal(sql_int(dir, UNPRICED " AND payload->>'object'='openai/new' AND payload->>'model'='new'"
					       " AND payload->>'object_kind'='model' AND win_start%86400=0"),
			 1);
	assert_int_equal(store_note(s, &refused), BUR_ALREADY); /* the same as of a refused call */
	store_close(s);
	s = must_open(&cfg, NULL);
	settle(s, "new", ROW_NO_PRICE, 0, 200);
	store_close(s);
	assert_int_equal(sql_int(dir, UNPRICED), 2);
}

/* The longest names there are, all of them escaped to six times their size. */
static void long_names_fit(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);
	struct call c = make_call(s, 0, 5000);
	struct call_end e = make_end(9000);
	char name[300];

	(void)state;
	memset(name, 1, sizeof name);
	for (int i = 0; i < JOURNAL_NAMES; i++)
		c.entry.ids[i] = store_name(s, (enum name_kind)i, slice_mem(name, sizeof name));
	e.cell.flags = ROW_OVERRUN | ROW_NO_PRICE;
	store_call_settle(s, 0, begin_sent(s, &c), &e);
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
	assert_int_equal(sql_int(dir, "SELECT sum(json_valid(payload)) FROM event"), 2);
	store_close(s);
}

static void a_repeated_batch_tells_once(void **state)
{
	struct store_config cfg = test_config(dir);
	struct store *s = must_open(&cfg, NULL);

	(void)state;
	assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
	for (int done = 0; done < 2; done++) {
		settle(s, "gpt-x", ROW_OVERRUN | ROW_NO_PRICE, 100, 200);
		store_test_fail(0, 1, SQLITE_IOERR, done == 1);
		assert_int_equal(store_sync(s, NS_PER_S), BUR_IO);
		assert_int_equal(sql_int(dir, OVERRUNS), done == 1 ? 2 : 0);
		assert_int_equal(store_sync(s, NS_PER_S), BUR_OK);
		assert_int_equal(sql_int(dir, OVERRUNS), done + 1);
		assert_int_equal(sql_int(dir, UNPRICED), 1);
	}
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(overruns_are_events_of_their_rows, setup, teardown),
	    cmocka_unit_test_setup_teardown(models_without_a_price_are_told_once_a_day, setup, teardown),
	    cmocka_unit_test_setup_teardown(long_names_fit, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_repeated_batch_tells_once, setup, teardown),
	};

	log_init(-1, LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
