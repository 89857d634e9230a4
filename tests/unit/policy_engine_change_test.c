/* R5.8, R5.9, I15: limits, credits and charges that are changed while calls run. */
#include "tests/unit/policy_world.h"

#define FOREVER INT64_MAX
#define MIDNIGHT (NOON + DAY_S / 2)

static struct engine_change change; /* the last one */

/* Exactly so much fits now. */
static void assert_left(struct world *w, int64_t left, int64_t now_s)
{
	struct hold h;

	assert_int_equal(try_sent(w, left < 0 ? 1 : left + 1, now_s, &h), BUR_DENIED);
	assert_int_equal(w->d.tightest_left_nanousd, left);
	if (left <= 0)
		return;
	assert_int_equal(try_sent(w, left, now_s, &h), BUR_OK);
	assert_int_equal(engine_void(w->e, &h), BUR_OK);
}

static int credit(struct world *w, int64_t amount, int64_t expires_s, bool carry_over, int64_t now_s)
{
	struct engine_credit c = {.amount = amount, .expires_s = expires_s, .carry_over = carry_over};

	return engine_credit(w->e, SLICE("b"), SLICE_NONE, &c, now_s, &change);
}

/* --- limits ------------------------------------------------------------------------------------------------------- */

static void r5_9_a_raise_counts_for_the_next_call(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);

	(void)state;
	spend(&w, 100, NOON);
	assert_left(&w, 0, NOON);
	assert_int_equal(engine_set_limit(w.e, SLICE("b"), 150, &change), BUR_OK);
	assert_int_equal(change.before, 100);
	assert_int_equal(change.after, 150);
	assert_left(&w, 50, NOON);
	assert_int_equal(view_of(&w, 0, NOON).limit, 150);
	assert_left(&w, 150, NOON + DAY_S); /* of every window from now on */
	world_done(&w);
}

static void i15_a_lower_limit_changes_no_counter(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	struct amounts one = usd(1);
	struct hold h;

	(void)state;
	spend(&w, 50, NOON);
	assert_int_equal(try_sent(&w, 40, NOON, &h), BUR_OK);
	assert_int_equal(engine_set_limit(w.e, SLICE("b"), 60, &change), BUR_OK);
	assert_int_equal(view_of(&w, 0, NOON).posted, 50);
	assert_int_equal(view_of(&w, 0, NOON).held, 40);
	assert_left(&w, -30, NOON); /* never clamped */
	assert_int_equal(engine_extend(w.e, &h, &one, NOON, &w.d), BUR_DENIED);
	settled(&w, &h, 5); /* what was admitted goes on */
	assert_left(&w, 5, NOON);
	assert_int_equal(engine_set_limit(w.e, SLICE("b"), 100, &change), BUR_OK);
	assert_left(&w, 45, NOON); /* as if nothing had been */
	world_done(&w);
}

static void r5_9_shares_move_with_the_limit(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w;
	struct hold h;

	(void)state;
	budget_step(&b, 50, STEP_ALERT);
	budget_step(&b, 80, STEP_BLOCK);
	w = world_of(&b, 1);
	assert_int_equal(engine_set_limit(w.e, SLICE("b"), 1000, &change), BUR_OK);
	assert_left(&w, 800, NOON);
	assert_int_equal(try_sent(&w, 499, NOON, &h), BUR_OK);
	assert_int_equal(w.d.n_events, 0);
	assert_int_equal(try_sent(&w, 1, NOON, &h), BUR_OK);
	assert_int_equal(w.d.n_events, 0); /* was told when 800 were asked for */
	assert_int_equal(view_of(&w, 0, NOON).warned_mask, 3);
	world_done(&w);
}

static void odd_limits_are_refused(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);

	(void)state;
	assert_int_equal(engine_set_limit(w.e, SLICE("b"), 0, &change), BUR_INVALID);
	assert_int_equal(engine_set_limit(w.e, SLICE("b"), -1, &change), BUR_INVALID);
	assert_int_equal(engine_set_limit(w.e, SLICE("c"), 1, &change), BUR_NOTFOUND);
	assert_int_equal(engine_set_limit(w.e, SLICE("b"), INT64_MAX, &change), BUR_OK);
	assert_int_equal(credit(&w, INT64_MAX, FOREVER, false, NOON), BUR_OK);
	assert_int_equal(try_sent(&w, INT64_MAX, NOON, &(struct hold){.n = 0}), BUR_OK);
	world_done(&w);
}

/* --- credits ------------------------------------------------------------------------------------------------------ */

static void r5_8_a_credit_is_of_its_window(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);

	(void)state;
	assert_int_equal(credit(&w, 20, FOREVER, false, NOON), BUR_OK);
	assert_int_equal(change.before, 0);
	assert_int_equal(change.after, 20);
	assert_true(change.uid == meter_uid("b", SLICE_NONE));
	assert_int_equal(change.win_start, MIDNIGHT - DAY_S);
	assert_int_equal(change.win_end, MIDNIGHT);
	assert_int_equal(credit(&w, 5, MIDNIGHT, false, NOON), BUR_OK); /* a top-up */
	assert_int_equal(change.before, 20);
	assert_int_equal(change.after, 25);
	assert_left(&w, 125, NOON);
	assert_left(&w, 100, MIDNIGHT);
	world_done(&w);
}

static void r5_8_a_credit_expires(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);

	(void)state;
	assert_int_equal(credit(&w, 20, NOON + 100, false, NOON), BUR_OK);
	assert_left(&w, 120, NOON + 99);
	assert_left(&w, 100, NOON + 100);
	assert_int_equal(view_of(&w, 0, NOON + 100).credit, 0);
	world_done(&w);
}

static void r5_8_what_was_used_stays_used(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);

	(void)state;
	assert_int_equal(credit(&w, 20, NOON + 100, false, NOON), BUR_OK);
	assert_int_equal(credit(&w, 30, NOON + 200, false, NOON), BUR_OK);
	assert_int_equal(credit(&w, 10, FOREVER, false, NOON), BUR_OK);
	spend(&w, 115, NOON); /* the limit, the 10 that last, then 5 of the 20 */
	assert_left(&w, 45, NOON);
	assert_left(&w, 30, NOON + 100); /* 15 are gone */
	assert_int_equal(view_of(&w, 0, NOON + 100).credit, 45);
	spend(&w, 10, NOON + 150);
	assert_left(&w, 0, NOON + 200);
	assert_left(&w, 100, MIDNIGHT);
	world_done(&w);
}

static void r5_8_a_call_that_grows_finds_no_expired_credit(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	struct amounts one = usd(1);
	struct hold h;

	(void)state;
	assert_int_equal(credit(&w, 20, NOON + 100, false, NOON), BUR_OK);
	assert_int_equal(try_sent(&w, 110, NOON, &h), BUR_OK);
	assert_int_equal(engine_extend(w.e, &h, &one, NOON + 99, &w.d), BUR_OK);
	assert_int_equal(engine_extend(w.e, &h, &one, NOON + 100, &w.d), BUR_DENIED);
	settled(&w, &h, 111);
	world_done(&w);
}

static void r5_8_a_credit_is_carried_over_if_asked(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	struct hold h;

	(void)state;
	assert_int_equal(credit(&w, 50, NOON + 10 * DAY_S, true, NOON), BUR_OK);
	assert_int_equal(credit(&w, 7, FOREVER, false, NOON), BUR_OK); /* this one is not */
	spend(&w, 120, NOON);                                          /* 13 of the 50 */
	assert_left(&w, 137, NOON + DAY_S);
	spend(&w, 100, NOON + DAY_S); /* a day within its limit uses none of it */
	assert_left(&w, 137, NOON + 3 * DAY_S);
	assert_int_equal(try_sent(&w, 130, NOON + 3 * DAY_S, &h), BUR_OK); /* held: used */
	assert_left(&w, 107, NOON + 4 * DAY_S);
	settled(&w, &h, 0);
	assert_left(&w, 107, NOON + 4 * DAY_S);
	assert_left(&w, 100, NOON + 10 * DAY_S); /* and then it expires */
	world_done(&w);
}

static void r5_8_no_credit_is_used_twice(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	struct amounts more = usd(60), rest = usd(20);
	struct hold h;

	(void)state;
	assert_int_equal(credit(&w, 50, FOREVER, true, NOON), BUR_OK);
	assert_int_equal(try_sent(&w, 80, NOON, &h), BUR_OK);
	spend(&w, 150, NOON + DAY_S); /* all of it, today */
	assert_int_equal(engine_extend(w.e, &h, &more, NOON + DAY_S, &w.d), BUR_DENIED);
	assert_int_equal(engine_extend(w.e, &h, &rest, NOON + DAY_S, &w.d), BUR_OK); /* yesterday's limit is there */
	settled(&w, &h, 100);
	assert_left(&w, 100, NOON + 2 * DAY_S);
	world_done(&w);
}

static void r5_8_in_a_rolling_window_it_lasts_w(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w;

	(void)state;
	b.rolling_s = DAY_S;
	w = world_of(&b, 1);
	assert_int_equal(credit(&w, 20, FOREVER, false, NOON), BUR_OK);
	assert_int_equal(credit(&w, 30, NOON + HOUR_S, false, NOON), BUR_OK);
	assert_int_equal(credit(&w, 1, FOREVER, true, NOON), BUR_INVALID);
	assert_left(&w, 150, NOON);
	spend(&w, 140, NOON);
	assert_left(&w, -20, NOON + HOUR_S);
	assert_left(&w, -20, NOON + DAY_S);
	assert_left(&w, 100, NOON + DAY_S + DAY_S / 60);
	world_done(&w);
}

static void r5_8_a_total_is_a_purse(void **state)
{
	struct budget b = budget_of("b", 1);
	struct world w;

	(void)state;
	b.window.kind = WINDOW_TOTAL;
	w = world_of(&b, 1);
	assert_int_equal(credit(&w, 99, FOREVER, false, NOON), BUR_OK);
	spend(&w, 90, NOON + 100 * DAY_S);
	assert_int_equal(credit(&w, 50, NOON + 200 * DAY_S, false, NOON + 100 * DAY_S), BUR_OK);
	spend(&w, 30, NOON + 150 * DAY_S);
	assert_left(&w, 30, NOON + 150 * DAY_S);
	assert_left(&w, 0, NOON + 200 * DAY_S);
	world_done(&w);
}

static void odd_credits_are_refused(void **state)
{
	struct budget b = budget_of("b", 100);
	struct engine_credit one = {.amount = 1, .expires_s = FOREVER};
	struct world w = world_of(&b, 1);

	(void)state;
	assert_int_equal(credit(&w, 0, FOREVER, false, NOON), BUR_INVALID);
	assert_int_equal(credit(&w, -1, FOREVER, false, NOON), BUR_INVALID);
	assert_int_equal(credit(&w, 1, NOON, false, NOON), BUR_INVALID);
	assert_int_equal(credit(&w, 1, NOON, true, NOON), BUR_INVALID);
	assert_int_equal(engine_credit(w.e, SLICE("c"), SLICE_NONE, &one, NOON, &change), BUR_NOTFOUND);
	assert_int_equal(engine_credit(w.e, SLICE("b"), SLICE("user=ann"), &one, NOON, &change), BUR_NOTFOUND);
	for (int i = 0; i < 32; i++)
		assert_int_equal(credit(&w, 1, NOON + 1 + i % 7, false, NOON), BUR_OK);
	assert_int_equal(credit(&w, 1, NOON + 5, false, NOON), BUR_FULL);
	assert_int_equal(credit(&w, INT64_MAX - 32, FOREVER, false, NOON), BUR_OK);
	assert_int_equal(credit(&w, 1, FOREVER, false, NOON), BUR_OVERFLOW);
	assert_int_equal(credit(&w, 1, NOON + 9, false, NOON + 8), BUR_OK); /* the others have gone */
	assert_int_equal(change.before, INT64_MAX - 32);
	world_done(&w);
}

/* Random credits against a rule of thumb: nothing is ever left above the limit and the credits that have not expired,
 * and nothing is spent above the limits of the days and the credits granted. */
static void i1_credits_never_make_money(void **state)
{
	uint64_t rng = 5;

	(void)state;
	for (int round = 0; round < 200; round++) {
		struct budget b = budget_of("b", 100);
		struct world w = world_of(&b, 1);
		int64_t now = NOON, granted = 0, spent = 0, days = 1, day = NOON / DAY_S;

		for (int i = 0; i < 100; i++) {
			struct hold h;

			rng = rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
			now += (int64_t)(rng >> 40) % (DAY_S / 8);
			if (now / DAY_S != day) {
				days += now / DAY_S - day;
				day = now / DAY_S;
			}
			if (rng >> 60 == 0) {
				int64_t amount = 1 + (int64_t)(rng >> 33) % 80;

				if (credit(&w, amount, now + 1 + (int64_t)(rng >> 30) % (3 * DAY_S), rng >> 59 & 1,
					   now) == BUR_OK)
					granted += amount;
			}
			if (try_sent(&w, 1 + (int64_t)(rng >> 35) % 60, now, &h) == BUR_OK) {
				spent += h.worst.nanousd;
				settled(&w, &h, h.worst.nanousd);
			}
			assert_true(spent <= days * 100 + granted);
			assert_true(view_of(&w, 0, now).credit >= 0);
		}
		world_done(&w);
	}
}

/* --- charges ------------------------------------------------------------------------------------------------------ */

static void r5_8_a_charge_is_spent(void **state)
{
	struct budget d[2] = {budget_of("b", 100), budget_of("u", 100)};
	struct world w;

	(void)state;
	budget_per(&d[1], FACT_USER);
	w = world_of(d, 2);
	assert_int_equal(engine_adjust(w.e, SLICE("u"), SLICE("user=ann"), 130, NOON, &change), BUR_OK);
	assert_int_equal(change.before, 0);
	assert_int_equal(change.after, 130);
	assert_int_equal(change.win_start, MIDNIGHT - DAY_S);
	assert_true(change.uid == meter_uid("u", SLICE("user=ann")));
	assert_left(&w, -30, NOON);
	assert_int_equal(engine_adjust(w.e, SLICE("u"), SLICE("user=ann"), -131, NOON, &change), BUR_OVERFLOW);
	assert_int_equal(engine_adjust(w.e, SLICE("u"), SLICE("user=ann"), -130, NOON, &change), BUR_OK);
	assert_int_equal(change.after, 0);
	assert_left(&w, 100, NOON);
	assert_int_equal(engine_adjust(w.e, SLICE("b"), SLICE("user=ann"), 1, NOON, &change), BUR_NOTFOUND);
	assert_int_equal(engine_adjust(w.e, SLICE("x"), SLICE_NONE, 1, NOON, &change), BUR_NOTFOUND);
	assert_int_equal(engine_adjust(w.e, SLICE("b"), SLICE_NONE, INT64_MAX, NOON, &change), BUR_OK);
	assert_int_equal(engine_adjust(w.e, SLICE("b"), SLICE_NONE, 1, NOON, &change), BUR_OVERFLOW);
	world_done(&w);
}

static void r5_8_a_charge_in_a_rolling_window_is_of_now(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w;

	(void)state;
	b.rolling_s = DAY_S;
	w = world_of(&b, 1);
	spend(&w, 40, NOON);
	assert_int_equal(engine_adjust(w.e, SLICE("b"), SLICE_NONE, 30, NOON + HOUR_S, &change), BUR_OK);
	assert_int_equal(change.before, 40);
	assert_int_equal(change.after, 70);
	assert_true(change.win_start <= NOON + HOUR_S && change.win_start > NOON + HOUR_S - DAY_S / 60);
	assert_int_equal(engine_adjust(w.e, SLICE("b"), SLICE_NONE, -31, NOON + HOUR_S, &change), BUR_OVERFLOW);
	assert_int_equal(view_of(&w, 0, NOON + DAY_S + DAY_S / 60).posted, 30);
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(r5_9_a_raise_counts_for_the_next_call),
	    cmocka_unit_test(i15_a_lower_limit_changes_no_counter),
	    cmocka_unit_test(r5_9_shares_move_with_the_limit),
	    cmocka_unit_test(odd_limits_are_refused),
	    cmocka_unit_test(r5_8_a_credit_is_of_its_window),
	    cmocka_unit_test(r5_8_a_credit_expires),
	    cmocka_unit_test(r5_8_what_was_used_stays_used),
	    cmocka_unit_test(r5_8_a_call_that_grows_finds_no_expired_credit),
	    cmocka_unit_test(r5_8_a_credit_is_carried_over_if_asked),
	    cmocka_unit_test(r5_8_no_credit_is_used_twice),
	    cmocka_unit_test(r5_8_in_a_rolling_window_it_lasts_w),
	    cmocka_unit_test(r5_8_a_total_is_a_purse),
	    cmocka_unit_test(odd_credits_are_refused),
	    cmocka_unit_test(i1_credits_never_make_money),
	    cmocka_unit_test(r5_8_a_charge_is_spent),
	    cmocka_unit_test(r5_8_a_charge_in_a_rolling_window_is_of_now),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
