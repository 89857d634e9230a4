/* R7.6 and I12: rolling windows of the engine. */
#include "tests/unit/policy_world.h"

#include "policy/budget_window.h"

#define W DAY_S
#define BUCKET (W / 60)
#define CALLS 3000

static uint64_t rng = 11;

static int64_t pick(int64_t n)
{
	rng = rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (int64_t)(rng >> 33) % n;
}

static struct budget rolling_of(const char *name, int64_t limit)
{
	struct budget b = budget_of(name, limit);

	b.rolling_s = W;
	b.window_name = "rolling 24h";
	return b;
}

/* --- what counts -------------------------------------------------------------------------------------------------- */

static void r7_6_spend_counts_for_w_and_at_most_a_bucket_more(void **state)
{
	struct budget b = rolling_of("b", 100);
	struct world w = world_of(&b, 1);
	struct hold h;

	(void)state;
	spend(&w, 100, NOON + 5);
	assert_int_equal(try_sent(&w, 1, NOON + 5 + W, &h), BUR_DENIED); /* W later to the second */
	assert_int_equal(try_sent(&w, 1, NOON + W + BUCKET - 1, &h), BUR_DENIED);
	assert_int_equal(w.d.blocked[0].win_end, NOON + W + BUCKET); /* when it fits again */
	assert_int_equal(try_sent(&w, 100, NOON + W + BUCKET, &h), BUR_OK);
	world_done(&w);
}

static void r7_6_there_is_no_boundary_to_wait_for(void **state)
{
	struct budget b = rolling_of("b", 100);
	struct world w = world_of(&b, 1);
	struct hold h;

	(void)state;
	spend(&w, 60, NOON + 11 * HOUR_S); /* an hour before midnight */
	spend(&w, 40, NOON + 12 * HOUR_S);
	assert_int_equal(try_sent(&w, 1, NOON + 20 * HOUR_S, &h), BUR_DENIED);
	assert_int_equal(w.d.verdict, VERDICT_SPENT);
	assert_int_equal(view_of(&w, 0, NOON + 35 * HOUR_S + BUCKET).posted, 40);
	world_done(&w);
}

static void r7_6_holds_of_any_age_count(void **state)
{
	struct budget b = rolling_of("b", 100);
	struct world w = world_of(&b, 1);
	struct hold old, h;

	(void)state;
	assert_int_equal(try_sent(&w, 70, NOON, &old), BUR_OK);
	assert_int_equal(try_sent(&w, 31, NOON + 5 * W, &h), BUR_DENIED);
	assert_true(w.d.blocked[0].only_held);
	assert_int_equal(view_of(&w, 0, NOON + 5 * W).held, 70);
	settled(&w, &old, 70); /* dated to its admission, which has left */
	assert_int_equal(view_of(&w, 0, NOON + 5 * W).posted, 0);
	spend(&w, 100, NOON + 5 * W);
	world_done(&w);
}

static void r7_6_spend_is_dated_by_admission(void **state)
{
	struct budget b = rolling_of("b", 100);
	struct world w = world_of(&b, 1);
	struct hold h;

	(void)state;
	assert_int_equal(try_sent(&w, 70, NOON, &h), BUR_OK);
	assert_int_equal(h.m[0].win_start, NOON);
	spend(&w, 10, NOON + W / 2);
	settled(&w, &h, 50);
	assert_int_equal(view_of(&w, 0, NOON + W / 2).posted, 60);
	assert_int_equal(view_of(&w, 0, NOON + W + BUCKET).posted, 10);
	world_done(&w);
}

static void r7_6_a_hold_grows_at_any_age(void **state)
{
	struct budget b = rolling_of("b", 100);
	struct amounts more = usd(31), ten = usd(10);
	struct world w = world_of(&b, 1);
	struct hold h;

	(void)state;
	assert_int_equal(try_sent(&w, 70, NOON, &h), BUR_OK);
	assert_int_equal(engine_extend(w.e, &h, &more, NOON + 3 * W, &w.d), BUR_DENIED);
	assert_int_equal(engine_extend(w.e, &h, &ten, NOON + 3 * W, &w.d), BUR_OK);
	assert_int_equal(engine_shrink(w.e, &h, &ten), BUR_OK);
	assert_int_equal(engine_void(w.e, &h), BUR_OK);
	assert_int_equal(view_of(&w, 0, NOON + 3 * W).held, 0);
	world_done(&w);
}

static void r7_6_never_too_many_windows(void **state)
{
	struct budget b = rolling_of("b", 10000);
	struct world w = world_of(&b, 1);
	struct hold h[50];

	(void)state;
	for (int i = 0; i < 50; i++)
		assert_int_equal(try_sent(&w, 10, NOON + i * 2 * W, &h[i]), BUR_OK);
	for (int i = 0; i < 50; i++)
		settled(&w, &h[i], 10);
	assert_int_equal(view_of(&w, 0, NOON + 98 * W).posted, 10);
	assert_int_equal(engine_open_holds(w.e), 0);
	world_done(&w);
}

static void the_view_tells_what_counts_and_when_it_leaves(void **state)
{
	struct budget b = rolling_of("b", 100);
	struct world w = world_of(&b, 1);
	struct meter_view v = view_of(&w, 0, NOON);

	(void)state;
	assert_int_equal(v.win_start, NOON - W);
	assert_int_equal(v.win_end, NOON + W + BUCKET); /* what is spent now leaves then */
	spend(&w, 10, NOON + 3 * BUCKET);
	spend(&w, 10, NOON + 9 * BUCKET);
	v = view_of(&w, 0, NOON + 20 * BUCKET);
	assert_int_equal(v.win_start, NOON + 20 * BUCKET - W);
	assert_int_equal(v.win_end, NOON + 4 * BUCKET + W); /* the first relief */
	assert_int_equal(v.posted, 20);
	assert_false(v.closing);
	world_done(&w);
}

/* I10: a step is told once in any W. */
static void i10_one_event_per_step_in_any_w(void **state)
{
	struct budget b = rolling_of("b", 100);
	struct world w;
	size_t told = 0;

	(void)state;
	b.mode = MODE_SOFT;
	budget_step(&b, 50, STEP_ALERT);
	w = world_of(&b, 1);
	for (int64_t t = NOON; t < NOON + 4 * W; t += HOUR_S) { /* always above half of the limit after a while */
		struct hold h;

		assert_int_equal(try_sent(&w, 4, t, &h), BUR_OK);
		if (w.d.n_events > 0) {
			assert_int_equal(w.d.events[0].win_start, t / BUCKET * BUCKET);
			assert_int_equal(w.d.events[0].win_end, t / BUCKET * BUCKET + BUCKET + W);
			assert_int_equal(w.d.events[0].warned_mask, 1);
		}
		told += w.d.n_events;
		settled(&w, &h, 4);
		told += w.s.n_events;
	}
	assert_int_equal(told, 4);
	world_done(&w);
}

static void r7_5_time_never_goes_back(void **state)
{
	struct budget b = rolling_of("b", 100);
	struct world w = world_of(&b, 1);
	struct hold h;

	(void)state;
	spend(&w, 60, NOON);
	spend(&w, 40, NOON + W / 2);
	assert_int_equal(try_sent(&w, 1, NOON - 3 * W, &h), BUR_DENIED);
	assert_int_equal(try_sent(&w, 1, INT64_MIN, &h), BUR_DENIED);
	assert_int_equal(try_sent(&w, 100, INT64_MAX, &h), BUR_OK);
	world_done(&w);
}

/* --- I12 ---------------------------------------------------------------------------------------------------------- */

struct call {
	int64_t admitted_s, actual;
	struct hold hold;
	bool open;
};

/* In every interval of length W, what was admitted in it and posted is within the limit. */
static void assert_i12(const struct call *calls, size_t n, int64_t limit)
{
	int64_t sum = 0;

	for (size_t first = 0, end = 0; first < n; sum -= calls[first++].actual) {
		while (end < n && calls[end].admitted_s < calls[first].admitted_s + W)
			sum += calls[end++].actual;
		assert_true(sum <= limit);
	}
}

static void i12_no_interval_of_w_passes_the_limit(void **state)
{
	static struct call calls[CALLS];
	struct budget b = rolling_of("b", 1000);
	struct world w = world_of(&b, 1);
	int64_t now = NOON;
	size_t n = 0, refused = 0, open = 0;

	(void)state;
	while (n < CALLS) {
		struct call *c = &calls[n];

		now += pick(30) == 0 ? pick(2 * W) : pick(20 * 60);
		if (open < 60 && try_sent(&w, 1 + pick(120), now, &c->hold) == BUR_OK) {
			c->admitted_s = now;
			c->open = true;
			open++;
			n++;
		} else {
			refused++;
		}
		for (size_t i = n > 200 ? n - 200 : 0; i < n; i++) { /* bills come late and in any order */
			if (!calls[i].open || pick(12) != 0)
				continue;
			calls[i].actual = pick(calls[i].hold.worst.nanousd + 1);
			settled(&w, &calls[i].hold, calls[i].actual);
			calls[i].open = false;
			open--;
		}
	}
	assert_true(refused > CALLS / 10);
	assert_i12(calls, n, 1000);
	world_done(&w);
}

/* --- I13: a restart ----------------------------------------------------------------------------------------------- */

/* Restores what the store keeps: one row for each bucket in which something was posted. */
static void restore_rows(struct world *to, const struct call *calls, size_t n, int64_t now)
{
	for (size_t i = n; i-- > 0;) { /* in any order, several rows of one bucket */
		int r = engine_restore(to->e, SLICE("b"), SLICE_NONE, calls[i].hold.m[0].win_start, INT64_MAX,
				       calls[i].actual, 0, 0, now);

		assert_true(r == BUR_OK || r == BUR_NOTFOUND);
	}
}

static void i13_a_restart_keeps_what_was_spent_in_the_last_w(void **state)
{
	static struct call calls[CALLS];
	struct budget b = rolling_of("b", 1000);
	struct world w = world_of(&b, 1), again;
	int64_t now = NOON;
	size_t n = 0;

	(void)state;
	while (n < 400) {
		now += pick(30 * 60);
		if (try_sent(&w, 1 + pick(50), now, &calls[n].hold) != BUR_OK)
			continue;
		calls[n].actual = pick(calls[n].hold.worst.nanousd + 1);
		settled(&w, &calls[n].hold, calls[n].actual);
		n++;
	}
	again = world_of(&b, 1);
	restore_rows(&again, calls, n, now);
	assert_true(view_of(&w, 0, now).posted > 500);
	for (int64_t t = now; t < now + W + 3 * BUCKET; t += BUCKET / 2)
		assert_int_equal(view_of(&w, 0, t).posted, view_of(&again, 0, t).posted);
	world_done(&w);
	world_done(&again);
}

static void restore_takes_only_what_still_counts(void **state)
{
	struct budget b = rolling_of("b", 100);
	struct world w = world_of(&b, 1);
	static const struct {
		int64_t start, end;
		int expect;
	} rows[] = {
	    {NOON, INT64_MAX, BUR_OK},
	    {NOON - W, INT64_MAX, BUR_OK},
	    {NOON - W - BUCKET, INT64_MAX, BUR_NOTFOUND},
	    {NOON + BUCKET, INT64_MAX, BUR_NOTFOUND}, /* not yet */
	    {NOON - 5 * BUCKET, NOON, BUR_NOTFOUND},  /* known to be over */
	    {0, INT64_MAX, BUR_NOTFOUND},
	    {-1, INT64_MAX, BUR_NOTFOUND},
	    {INT64_MIN, INT64_MAX, BUR_NOTFOUND},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(
		    engine_restore(w.e, SLICE("b"), SLICE_NONE, rows[i].start, rows[i].end, 10, 0, 2, NOON),
		    rows[i].expect);
	assert_int_equal(view_of(&w, 0, NOON).posted, 20);
	assert_int_equal(view_of(&w, 0, NOON).warned_mask, 2);
	assert_int_equal(view_of(&w, 0, NOON + BUCKET).posted, 10);
	world_done(&w);
}

static void r5_8_restored_credit_leaves_with_its_bucket(void **state)
{
	struct budget b = rolling_of("b", 100);
	struct world w = world_of(&b, 1);
	struct hold h;

	(void)state;
	assert_int_equal(engine_restore(w.e, SLICE("b"), SLICE_NONE, NOON - W / 2, INT64_MAX, 100, 20, 0, NOON),
			 BUR_OK);
	assert_int_equal(engine_restore(w.e, SLICE("b"), SLICE_NONE, NOON, INT64_MAX, 1, INT64_MAX, 0, NOON),
			 BUR_OVERFLOW); /* and nothing of it stays */
	assert_int_equal(view_of(&w, 0, NOON).posted, 100);
	assert_int_equal(try_sent(&w, 21, NOON, &h), BUR_DENIED);
	assert_int_equal(try_sent(&w, 20, NOON, &h), BUR_OK);
	settled(&w, &h, 20);
	assert_int_equal(view_of(&w, 0, NOON + W / 2 + BUCKET).credit, 0);
	assert_int_equal(try_sent(&w, 81, NOON + W / 2 + BUCKET, &h), BUR_DENIED);
	assert_int_equal(try_sent(&w, 80, NOON + W / 2 + BUCKET, &h), BUR_OK);
	world_done(&w);
}

static void r5_5_corrections_move_their_bucket(void **state)
{
	struct budget b = rolling_of("b", 100);
	struct world w = world_of(&b, 1);
	uint64_t uid = meter_uid("b", SLICE_NONE);

	(void)state;
	assert_int_equal(engine_post(w.e, uid, NOON, 5), BUR_NOTFOUND); /* not used yet */
	spend(&w, 50, NOON);
	spend(&w, 30, NOON + BUCKET);
	assert_int_equal(engine_post(w.e, uid, NOON, -20), BUR_OK);
	assert_int_equal(engine_post(w.e, uid, NOON + BUCKET, -31), BUR_OVERFLOW);
	assert_int_equal(engine_post(w.e, uid, NOON + 2 * BUCKET, 1), BUR_NOTFOUND);
	assert_int_equal(engine_post(w.e, uid, -1, 1), BUR_NOTFOUND);
	assert_int_equal(view_of(&w, 0, NOON + BUCKET).posted, 60);
	assert_int_equal(view_of(&w, 0, NOON + W + BUCKET).posted, 30);
	assert_int_equal(engine_post(w.e, uid, NOON, 1), BUR_NOTFOUND); /* has left */
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(r7_6_spend_counts_for_w_and_at_most_a_bucket_more),
	    cmocka_unit_test(r7_6_there_is_no_boundary_to_wait_for),
	    cmocka_unit_test(r7_6_holds_of_any_age_count),
	    cmocka_unit_test(r7_6_spend_is_dated_by_admission),
	    cmocka_unit_test(r7_6_a_hold_grows_at_any_age),
	    cmocka_unit_test(r7_6_never_too_many_windows),
	    cmocka_unit_test(the_view_tells_what_counts_and_when_it_leaves),
	    cmocka_unit_test(i10_one_event_per_step_in_any_w),
	    cmocka_unit_test(r7_5_time_never_goes_back),
	    cmocka_unit_test(i12_no_interval_of_w_passes_the_limit),
	    cmocka_unit_test(i13_a_restart_keeps_what_was_spent_in_the_last_w),
	    cmocka_unit_test(restore_takes_only_what_still_counts),
	    cmocka_unit_test(r5_8_restored_credit_leaves_with_its_bucket),
	    cmocka_unit_test(r5_5_corrections_move_their_bucket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
