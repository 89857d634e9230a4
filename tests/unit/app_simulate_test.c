/* Small ledgers whose simulation is worked out by hand: what another policy would have blocked, slowed and saved. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/simulate.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "store/adjust.h"
#include "store/past.h"

#define DAY_S INT64_C(86400)
#define MICRO INT64_C(1000) /* nano-USD */

/* `big` costs 10 and 20 USD for a million tokens, so 0.03 USD for 1000 in and 1000 out; `small` a tenth of it. */
static const char book_json[] =
    "{\"format\":\"bursar-prices/1\",\"version\":7,\"currency\":\"USD\",\"providers\":[{\"id\":\"openai\",\"models\":["
    "{\"id\":\"big\",\"match\":[[\"eq\",\"big\"]],\"prices\":[{\"rates\":{\"in\":\"10\",\"out\":\"20\"}}]},"
    "{\"id\":\"small\",\"match\":[[\"eq\",\"small\"]],\"prices\":[{\"rates\":{\"in\":\"1\",\"out\":\"2\"}}]}]}]}";

struct ledger {
	char dir[64];
	struct store *store;
	struct price_book *book;
	int64_t noon_s; /* three days ago, UTC */
};

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int begin(void **state)
{
	struct ledger *l = calloc(1, sizeof(*l));
	struct store_config cfg = {
	    .workers = 1, .journal_slots = 64, .writer_interval_ns = NS_PER_MS, .min_free_bytes = -1};
	struct recovery_report rep;
	char err[400];
	int code;

	assert_non_null(l);
	log_init(STDERR_FILENO, LOG_ERROR);
	(void)snprintf(l->dir, sizeof(l->dir), "/tmp/bursar-simulate-XXXXXX");
	assert_non_null(mkdtemp(l->dir));
	cfg.dir = l->dir;
	assert_int_equal(store_open(&cfg, &l->store, &rep, &code, err, sizeof(err)), BUR_OK);
	assert_int_equal(store_start(l->store), BUR_OK);
	assert_int_equal(price_book_parse(SLICE(book_json), &l->book, err, sizeof(err)), BUR_OK);
	l->noon_s = (clock_wall_ns() / NS_PER_S / DAY_S - 3) * DAY_S + DAY_S / 2;
	*state = l;
	return 0;
}

static int end(void **state)
{
	struct ledger *l = *state;

	store_close(l->store);
	price_book_unref(l->book);
	(void)nftw(l->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(l);
	return 0;
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

struct past {
	const char *key, *team, *model, *extra;
	int64_t worst_micro, actual_micro;
	uint32_t in, out, flags;
	int seconds; /* that it ran; 0: ten */
};
/* Held 0.04 USD, cost 0.03. */
#define BIG .model = "big", .worst_micro = 40000, .actual_micro = 30000, .in = 1000, .out = 1000

static void put_uid(const struct call *c, uint8_t ret[16])
{
	memcpy(ret, c->entry.uid, 16);
}

static void add(struct ledger *l, int64_t at_s, const struct past *p, uint8_t ret_uid[16])
{
	struct call c = {.hard = true};
	struct call_end e = {.settled_ns = (at_s + (p->seconds ? p->seconds : 10)) * NS_PER_S};
	uint32_t slot = 0;

	store_uid(l->store, 0, c.entry.uid);
	c.entry.created_ns = at_s * NS_PER_S;
	c.entry.price_version = 7;
	c.entry.cell = (struct journal_cell){.worst_nanousd = p->worst_micro * MICRO};
	c.entry.ids[NAME_KEY] = store_name(l->store, NAME_KEY, slice_of(p->key ? p->key : "ann"));
	c.entry.ids[NAME_TEAM] = store_name(l->store, NAME_TEAM, slice_of(p->team ? p->team : "red"));
	c.entry.ids[NAME_MODEL] = store_name(l->store, NAME_MODEL, slice_of(p->model));
	c.entry.ids[NAME_PROVIDER] = store_name(l->store, NAME_PROVIDER, SLICE("openai"));
	assert_int_equal(store_call_begin(l->store, 0, &c, &slot), BUR_OK);
	store_call_sent(l->store, slot);
	e.cell = (struct journal_cell){.worst_nanousd = p->worst_micro * MICRO,
				       .actual_nanousd = p->actual_micro * MICRO,
				       .input_tokens = p->in,
				       .output_tokens = p->out,
				       .requests = 1,
				       .flags = p->flags,
				       .source = SOURCE_USAGE,
				       .status = 200};
	if (p->extra)
		e.extra_n = (uint32_t)snprintf(e.extra, sizeof(e.extra), "%s", p->extra);
	store_call_settle(l->store, 0, slot, &e);
	assert_int_equal(store_sync(l->store, 10 * NS_PER_S), BUR_OK);
	if (ret_uid)
		put_uid(&c, ret_uid);
}

/* To nothing. */
static void refund(struct ledger *l, const uint8_t uid[16], int64_t micro)
{
	struct adjustment a = {.kind = LEDGER_REFUND, .nanousd = -micro * MICRO, .reason = "wrong", .actor = "test"};

	memcpy(a.ref_uid, uid, sizeof(a.ref_uid));
	adjust_uid(uid, "test", SLICE("1"), a.uid);
	assert_int_equal(store_adjust(l->store, &a, 1), BUR_OK);
	assert_int_equal(a.result, BUR_OK);
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

static json_t *run(struct ledger *l, const char *budgets, int64_t from_s)
{
	struct simulate_ask ask = {
	    .book = l->book, .from_ns = from_s * NS_PER_S, .to_ns = clock_wall_ns() + DAY_S * NS_PER_S};
	struct config_error why;
	struct settings *s = NULL;
	struct sqlite3 *reader;
	char text[2000], err[300] = "";
	json_t *answer = NULL;

	(void)snprintf(text, sizeof(text), "default: allow\nbudgets:\n%s", budgets);
	if (settings_parse(slice_of(text), "other.yaml", NULL, &s, &why) != BUR_OK)
		fail_msg("%s", why.text);
	ask.settings = s;
	assert_int_equal(past_connect(l->dir, &reader), BUR_OK);
	if (simulate(&ask, reader, &answer, err, sizeof(err)) != BUR_OK)
		fail_msg("%s", err);
	assert_int_equal(sqlite3_close(reader), SQLITE_OK);
	settings_free(s);
	return answer;
}

static long long count(const json_t *o, const char *key)
{
	assert_true(json_is_integer(json_object_get(o, key)));
	return (long long)json_integer_value(json_object_get(o, key));
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static const json_t *first(const json_t *o, const char *list)
{
	return json_array_get(json_object_get(o, list), 0);
}

/* --- the cases ---------------------------------------------------------------------------------------------------- */

#define BLOCK_ONLY "steps: [{at: 100%, do: block}]"

/* 0.1 USD a day. Two at once hold 0.08; a third must wait; after them 0.06 are spent and one more fits; then none. */
static void holds_and_spend_are_as_they_were(void **state)
{
	struct ledger *l = *state;
	const int64_t at[] = {0, 2, 4, 20, 40, DAY_S};
	uint8_t uid[6][16];
	json_t *a;

	for (size_t i = 0; i < ARRAY_LEN(at); i++)
		add(l, l->noon_s + at[i], &(struct past){BIG}, uid[i]);
	a = run(l, "  - {name: day, window: day, limit: 0.1 USD, " BLOCK_ONLY "}\n", l->noon_s - DAY_S);
	assert_int_equal(count(a, "calls"), 6);
	assert_int_equal(count(a, "admitted"), 4);
	assert_int_equal(count(a, "held_back"), 1);
	assert_int_equal(count(a, "blocked"), 1);
	assert_string_equal(text_of(a, "spent_usd"), "0.18");
	assert_string_equal(text_of(a, "blocked_usd"), "0.06");
	assert_string_equal(text_of(a, "not_spent_usd"), "0.06");
	assert_string_equal(text_of(a, "would_have_spent_usd"), "0.12");
	assert_int_equal(count(first(a, "budgets"), "held_back"), 1);
	assert_int_equal(count(first(a, "budgets"), "blocked"), 1);
	assert_true(strncmp(text_of(a, "first_block_call"), "req_", 4) == 0);
	assert_string_equal(text_of(first(a, "keys"), "name"), "ann");
	assert_int_equal(count(first(a, "keys"), "refused"), 2);
	assert_string_equal(text_of(first(a, "models"), "not_spent_usd"), "0.06");
	json_decref(a);
}

static void the_same_again_is_the_same(void **state)
{
	struct ledger *l = *state;
	json_t *a, *b;

	for (int i = 0; i < 30; i++)
		add(l, l->noon_s + i, &(struct past){BIG, .key = i % 3 ? "ann" : "bob"}, NULL);
	a = run(l, "  - {name: day, window: day, limit: 0.3 USD, per: [key]}\n", l->noon_s);
	b = run(l, "  - {name: day, window: day, limit: 0.3 USD, per: [key]}\n", l->noon_s);
	(void)json_object_del(a, "to");
	(void)json_object_del(b, "to");
	assert_true(json_equal(a, b));
	assert_true(count(a, "blocked") + count(a, "held_back") > 0);
	json_decref(a);
	json_decref(b);
}

/* What a budget let in when the calls were made it lets in now. */
static void the_policy_that_was_in_force_blocks_nothing(void **state)
{
	struct ledger *l = *state;
	json_t *a;

	for (int i = 0; i < 20; i++) /* one after another, until 0.6 of 0.64 are spent */
		add(l, l->noon_s + 11 * i, &(struct past){BIG}, NULL);
	a = run(l, "  - {name: day, window: day, limit: 0.61 USD, " BLOCK_ONLY "}\n", l->noon_s);
	assert_int_equal(count(a, "admitted"), 20);
	assert_int_equal(count(a, "blocked") + count(a, "held_back"), 0);
	assert_string_equal(text_of(a, "not_spent_usd"), "0");
	json_decref(a);
	/* and where the next hold begins within a second of the end of the one before */
	a = run(l, "  - {name: day, window: day, limit: 0.60 USD, " BLOCK_ONLY "}\n", l->noon_s);
	assert_int_equal(count(a, "admitted"), 19);
	json_decref(a);
}

/* The first stands at 40 %; the second at 70 %, and goes to the model that costs a tenth. */
static void degraded_calls_save_the_difference(void **state)
{
	struct ledger *l = *state;
	json_t *a;

	add(l, l->noon_s, &(struct past){BIG}, NULL);
	add(l, l->noon_s + 20, &(struct past){BIG, .extra = "{\"answer_model\":\"big\"}"}, NULL);
	a = run(l,
		"  - {name: day, window: day, limit: 0.1 USD, steps: [{at: 50%, do: degrade, map: {big: small}}, "
		"{at: 100%, do: block}]}\n",
		l->noon_s);
	assert_int_equal(count(a, "admitted"), 2);
	assert_int_equal(count(a, "degraded"), 1);
	assert_string_equal(text_of(a, "degrade_saved_usd"), "0.027");
	assert_string_equal(text_of(a, "not_spent_usd"), "0.027");
	assert_int_equal(count(first(a, "teams"), "degraded"), 1);
	json_decref(a);
}

/* 0.02 USD are left: the input costs 0.01, so 500 tokens of output are paid for; half of what was written. */
static void clamped_calls_save_at_most_what_is_cut(void **state)
{
	struct ledger *l = *state;
	json_t *a;

	add(l, l->noon_s, &(struct past){BIG}, NULL);
	add(l, l->noon_s + 20, &(struct past){BIG}, NULL);
	a = run(l, "  - {name: day, window: day, limit: 0.05 USD}\n", l->noon_s);
	assert_int_equal(count(a, "admitted"), 2);
	assert_int_equal(count(a, "clamped"), 1);
	assert_string_equal(text_of(a, "clamp_saved_usd"), "0.01");
	json_decref(a);
	a = run(l, "  - {name: day, window: day, limit: 0.05 USD, steps: [{do: clamp, min_out: 501}, {do: block}]}\n",
		l->noon_s);
	assert_int_equal(count(a, "clamped"), 0);
	assert_int_equal(count(a, "blocked"), 1);
	json_decref(a);
}

/* At 70 % of a curve from 50 % on: (0.2 / 0.5)^2 of 5 s, give or take a tenth. */
static void throttled_calls_wait(void **state)
{
	struct ledger *l = *state;
	json_t *a;
	double s;

	add(l, l->noon_s, &(struct past){BIG}, NULL);
	add(l, l->noon_s + 20, &(struct past){BIG}, NULL);
	a = run(l,
		"  - {name: day, window: day, limit: 0.1 USD, steps: [{at: 50%, do: throttle, max_delay: 5s}, "
		"{at: 100%, do: block}]}\n",
		l->noon_s);
	s = strtod(text_of(a, "delay_s"), NULL);
	assert_int_equal(count(a, "throttled"), 1);
	assert_true(s > 0.719 && s < 0.881);
	assert_string_equal(text_of(a, "delay_s"), text_of(first(a, "budgets"), "worst_delay_s"));
	assert_int_equal(count(first(a, "keys"), "slowed"), 1);
	json_decref(a);
}

/* 0.06 USD a minute, and one minute's money at once: the first hold takes 40 s of it; the second, ten seconds later
 * (when 10 s of the first came back), would have to wait for 10 more; the third is too early. */
static void paced_calls_wait_or_are_refused(void **state)
{
	struct ledger *l = *state;
	json_t *a;

	add(l, l->noon_s, &(struct past){BIG, .seconds = 100}, NULL);
	add(l, l->noon_s + 10, &(struct past){BIG, .seconds = 100}, NULL);
	add(l, l->noon_s + 11, &(struct past){BIG, .seconds = 100}, NULL);
	a = run(l,
		"  - {name: day, window: day, limit: 10 USD, steps: [{at: 0.1%, do: pace, rate: 0.06 USD, burst: 1m, "
		"max_wait: 20s}, {at: 100%, do: block}]}\n",
		l->noon_s);
	assert_int_equal(count(a, "paced"), 1);
	assert_string_equal(text_of(a, "delay_s"), "10.000");
	assert_int_equal(count(a, "paced_out"), 1);
	assert_int_equal(count(a, "admitted"), 2);
	assert_string_equal(text_of(a, "not_spent_usd"), "0.03");
	json_decref(a);
}

/* What a correction takes back can be spent again; of a call that was never let in there is nothing to take back. */
static void corrections_follow_their_calls(void **state)
{
	static const char policy[] = "  - {name: all, window: total, limit: 0.07 USD, " BLOCK_ONLY "}\n";
	int64_t later_s = clock_wall_ns() / NS_PER_S + 600;
	struct ledger *l = *state;
	uint8_t first_uid[16], third_uid[16];
	json_t *a;

	add(l, l->noon_s, &(struct past){BIG}, first_uid);
	add(l, l->noon_s + 20, &(struct past){BIG}, NULL);
	add(l, l->noon_s + 40, &(struct past){BIG}, third_uid); /* refused: 0.06 are spent */
	add(l, later_s, &(struct past){BIG}, NULL);
	a = run(l, policy, l->noon_s);
	assert_int_equal(count(a, "admitted"), 2);
	json_decref(a);
	refund(l, third_uid, 30000);
	a = run(l, policy, l->noon_s);
	assert_int_equal(count(a, "admitted"), 2);
	assert_string_equal(text_of(a, "spent_usd"), "0.09");
	assert_string_equal(text_of(a, "would_have_spent_usd"), "0.06");
	json_decref(a);
	refund(l, first_uid, 30000);
	a = run(l, policy, l->noon_s);
	assert_int_equal(count(a, "admitted"), 3);
	assert_string_equal(text_of(a, "would_have_spent_usd"), "0.06");
	json_decref(a);
}

static void windows_begin_with_what_was_spent_in_them(void **state)
{
	struct ledger *l = *state;
	json_t *a;

	add(l, l->noon_s, &(struct past){BIG}, NULL);
	add(l, l->noon_s + 20, &(struct past){BIG}, NULL);
	add(l, l->noon_s + 3600, &(struct past){BIG}, NULL);
	a = run(l, "  - {name: day, window: day, limit: 0.09 USD, " BLOCK_ONLY "}\n", l->noon_s + 60);
	assert_int_equal(count(a, "calls"), 1);
	assert_int_equal(count(a, "blocked"), 1);
	assert_string_equal(text_of(a, "spent_usd"), "0.03");
	json_decref(a);
	a = run(l, "  - {name: hour, window: hour, limit: 0.09 USD, " BLOCK_ONLY "}\n", l->noon_s + 60);
	assert_int_equal(count(a, "admitted"), 1);
	json_decref(a);
	a = run(l, "  - {name: roll, window: rolling 2h, limit: 0.09 USD, " BLOCK_ONLY "}\n", l->noon_s + 60);
	assert_int_equal(count(a, "blocked"), 1);
	json_decref(a);
}

static void budgets_match_as_they_did(void **state)
{
	struct ledger *l = *state;
	json_t *a;

	add(l, l->noon_s, &(struct past){BIG, .extra = "{\"tag.env\":\"prod\"}"}, NULL);
	add(l, l->noon_s + 20, &(struct past){BIG, .team = "blue"}, NULL);
	a = run(l, "  - {name: prod, match: {tag.env: prod}, window: day, limit: 0.01 USD, " BLOCK_ONLY "}\n",
		l->noon_s);
	assert_int_equal(count(a, "blocked"), 1);
	assert_string_equal(text_of(first(a, "teams"), "name"), "red");
	json_decref(a);
	a = run(l, "  - {name: sh, mode: shadow, window: day, limit: 0.01 USD}\n", l->noon_s);
	assert_int_equal(count(a, "admitted"), 2);
	assert_int_equal(count(a, "would_block"), 2);
	json_decref(a);
	a = run(l, "  - {name: tok, window: day, limit: 3000 tokens, " BLOCK_ONLY "}\n", l->noon_s);
	assert_int_equal(count(a, "blocked"), 1);
	json_decref(a);
	a = run(l, "  - {name: one, window: day, limit: 1 requests, " BLOCK_ONLY "}\n", l->noon_s);
	assert_int_equal(count(a, "blocked"), 1);
	json_decref(a);
}

static void calls_without_a_price_meet_hard_budgets(void **state)
{
	struct ledger *l = *state;
	json_t *a;

	add(l, l->noon_s, &(struct past){.model = "odd", .flags = ROW_NO_PRICE, .actual_micro = 0}, NULL);
	a = run(l, "  - {name: day, window: day, limit: 1 USD}\n", l->noon_s);
	assert_int_equal(count(a, "price_unknown"), 1);
	json_decref(a);
	a = run(l, "  - {name: day, window: day, limit: 1 USD, mode: soft}\n", l->noon_s);
	assert_int_equal(count(a, "admitted"), 1);
	json_decref(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(holds_and_spend_are_as_they_were, begin, end),
	    cmocka_unit_test_setup_teardown(the_same_again_is_the_same, begin, end),
	    cmocka_unit_test_setup_teardown(the_policy_that_was_in_force_blocks_nothing, begin, end),
	    cmocka_unit_test_setup_teardown(degraded_calls_save_the_difference, begin, end),
	    cmocka_unit_test_setup_teardown(clamped_calls_save_at_most_what_is_cut, begin, end),
	    cmocka_unit_test_setup_teardown(throttled_calls_wait, begin, end),
	    cmocka_unit_test_setup_teardown(paced_calls_wait_or_are_refused, begin, end),
	    cmocka_unit_test_setup_teardown(corrections_follow_their_calls, begin, end),
	    cmocka_unit_test_setup_teardown(windows_begin_with_what_was_spent_in_them, begin, end),
	    cmocka_unit_test_setup_teardown(budgets_match_as_they_did, begin, end),
	    cmocka_unit_test_setup_teardown(calls_without_a_price_meet_hard_budgets, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
