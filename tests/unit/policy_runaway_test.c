/* The runaway detector: finds each of its three signs, lets ordinary traffic alone however parallel it is, stays within
 * its memory, and stops one identity only. */
#include "policy/runaway.h"

#include "tests/unit/policy_build.h"

#define SEC INT64_C(1000000000)
#define MIN (60 * SEC)
#define CENT INT64_C(10000000)
#define ANN UINT64_C(11)
#define BOB UINT64_C(22)

struct w {
	struct runaway *r;
	struct runaway_config cfg;
	struct runaway_event ev;
	int64_t now, until;
	uint64_t x;
};

static struct w w_new(void)
{
	struct w w = {.r = calloc(1, sizeof(struct runaway)), .cfg = RUNAWAY_CONFIG_DEFAULT, .now = 1000 * MIN, .x = 9};

	assert_non_null(w.r);
	return w;
}

static uint64_t rnd(struct w *w)
{
	w->x = w->x * 6364136223846793005 + 1442695040888963407;
	return w->x >> 20;
}

static int start(struct w *w, uint64_t id, uint64_t print, uint64_t prefix, struct runaway_ticket *t)
{
	struct runaway_call c = {id, print, prefix};

	return runaway_start(w->r, &w->cfg, &c, w->now, t, &w->until, &w->ev);
}

static void end(struct w *w, const struct runaway_ticket *t, int64_t nanousd, bool hit)
{
	struct runaway_outcome o = {.nanousd = nanousd, .answered = true, .cache_hit = hit};

	runaway_end(w->r, &w->cfg, t, &o, w->now, &w->ev);
}

/* A call of a second; false: refused. */
static bool call(struct w *w, uint64_t id, uint64_t print, uint64_t prefix, bool hit)
{
	struct runaway_ticket t;

	if (start(w, id, print, prefix, &t) != BUR_OK)
		return false;
	w->now += SEC;
	end(w, &t, CENT, hit);
	return true;
}

/* How many calls pass until one is refused; at most max. */
static int calls_until_refused(struct w *w, uint64_t id, uint64_t print, int max)
{
	for (int i = 0; i < max; i++)
		if (!call(w, id, print, 0, false))
			return i;
	return max;
}

/* --- repeats ------------------------------------------------------------------------------------------------------ */

static void a_tight_loop_is_found(void **state)
{
	struct w w = w_new();
	int n;

	(void)state;
	n = calls_until_refused(&w, ANN, 7, 1000);
	assert_in_range(n, 52, 65); /* 50 rounds, and one more for every six seconds that it took */
	assert_int_equal(w.ev.cause, RUNAWAY_REPEAT);
	assert_int_equal(w.ev.id, ANN);
	assert_int_equal(w.ev.print, 7);
	assert_int_equal(w.ev.value, n);
	assert_int_equal(w.ev.threshold, 50);
	assert_in_range(w.ev.nanousd, (n - 2) * CENT, n * CENT);
	assert_int_equal(w.ev.until_ns, w.now + 5 * MIN);
	assert_int_equal(w.until, w.ev.until_ns);
	free(w.r);
}

static void a_health_check_never_adds_up(void **state)
{
	struct w w = w_new();

	(void)state;
	for (int i = 0; i < 20000; i++) {
		assert_true(call(&w, ANN, 7, 0, false));
		w.now += 9 * SEC; /* every ten seconds */
	}
	free(w.r);
}

/* 5000 samples of one prompt, 500 at a time: ten rounds. */
static void sampling_one_prompt_in_parallel_is_no_loop(void **state)
{
	struct w w = w_new();
	static struct runaway_ticket t[500];

	(void)state;
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 500; i++)
			assert_int_equal(start(&w, ANN, 7, 0, &t[i]), BUR_OK);
		for (int i = 0; i < 500; i++) {
			w.now += SEC / 100;
			end(&w, &t[i], CENT, false);
		}
	}
	/* The same with workers that begin the next sample as soon as one has ended. */
	for (int i = 0; i < 500; i++)
		assert_int_equal(start(&w, ANN, 8, 0, &t[i]), BUR_OK);
	for (int i = 0; i < 4500; i++) {
		w.now += SEC / 100;
		end(&w, &t[i % 500], CENT, false);
		assert_int_equal(start(&w, ANN, 8, 0, &t[i % 500]), BUR_OK);
	}
	free(w.r);
}

static void a_wide_loop_is_found_too(void **state)
{
	struct w w = w_new();
	struct runaway_ticket t[8];
	int rounds = 0;
	bool found = false;

	(void)state;
	while (!found && rounds < 1000) {
		for (int i = 0; i < 8 && !found; i++)
			found = start(&w, ANN, 7, 0, &t[i]) != BUR_OK;
		w.now += SEC;
		for (int i = 0; i < 8 && !found; i++)
			end(&w, &t[i], CENT, false);
		rounds++;
	}
	assert_in_range(rounds, 51, 65);
	free(w.r);
}

static void loops_that_cost_nothing_are_let_be(void **state)
{
	struct w w = w_new();
	struct runaway_ticket t;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(start(&w, ANN, 7, 0, &t), BUR_OK);
		w.now += SEC;
		end(&w, &t, 0, false); /* retries of a call that fails */
	}
	for (int i = 0; i < 1000; i++) {
		int r = start(&w, ANN, 7, 0, &t);

		if (r != BUR_OK) {
			assert_in_range(i, 10, 12); /* ten cents */
			free(w.r);
			return;
		}
		w.now += SEC;
		end(&w, &t, CENT, false);
	}
	fail();
}

static void calls_without_an_end_are_no_rounds(void **state)
{
	struct w w = w_new();
	struct runaway_ticket t;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(start(&w, ANN, 7, 7, &t), BUR_OK);
		w.now += 20 * SEC;
	}
	free(w.r);
}

static void a_loop_among_other_calls_is_found(void **state)
{
	struct w w = w_new();

	(void)state;
	for (int i = 0; i < 1000; i++) {
		for (uint64_t k = 0; k < 10; k++) {
			struct runaway_ticket t;

			if (start(&w, ANN, rnd(&w) | 1, 0, &t) != BUR_OK)
				break;
			end(&w, &t, CENT, false);
		}
		if (!call(&w, ANN, 8, 0, false)) {
			assert_int_equal(w.ev.cause, RUNAWAY_REPEAT);
			assert_int_equal(w.ev.print, 8);
			assert_in_range(i, 52, 65);
			free(w.r);
			return;
		}
	}
	fail();
}

/* --- fan-out ------------------------------------------------------------------------------------------------------ */

/* Starts n calls spread over one interval; false: refused in it. */
static bool interval(struct w *w, uint64_t id, int n)
{
	int64_t begin = w->now;
	bool ok = true;

	for (int i = 0; i < n && ok; i++) {
		struct runaway_ticket t;

		w->now = begin + 10 * SEC * i / n;
		ok = start(w, id, rnd(w) | 1, 0, &t) == BUR_OK;
	}
	if (ok)
		w->now = begin + 10 * SEC;
	return ok;
}

static void calls_that_breed_are_found(void **state)
{
	struct w w = w_new();
	int n = 2;

	(void)state;
	while (n < 100000 && interval(&w, ANN, n))
		n *= 2;
	assert_int_equal(n, 128);
	assert_int_equal(w.ev.cause, RUNAWAY_FANOUT);
	assert_int_equal(w.ev.value, 128);
	assert_int_equal(w.ev.threshold, 128);
	free(w.r);
}

static void batches_and_ramps_are_not_fan_out(void **state)
{
	struct w w = w_new();

	(void)state;
	assert_true(interval(&w, ANN, 3));
	for (int i = 0; i < 30; i++)
		assert_true(interval(&w, ANN, 5000)); /* a batch */
	for (int i = 0; i < 30; i++)
		assert_true(interval(&w, ANN, 1));
	for (int i = 1; i < 100; i++)
		assert_true(interval(&w, ANN, i * 50)); /* a ramp */
	for (int i = 0; i < 50; i++) {
		assert_true(interval(&w, ANN, 4)); /* bursts */
		assert_true(interval(&w, ANN, 40));
		assert_true(interval(&w, ANN, 400));
	}
	for (int n = 1; n < 5000; n *= 2) {
		assert_true(interval(&w, ANN, n)); /* doubles, but with a pause after each */
		w.now += 10 * SEC;
	}
	free(w.r);
}

/* --- cache misses ------------------------------------------------------------------------------------------------- */

static void a_broken_cache_is_found(void **state)
{
	struct w w = w_new();
	int n = 0;

	(void)state;
	while (n < 1000 && w.ev.cause == RUNAWAY_NONE) {
		assert_true(call(&w, ANN, rnd(&w) | 1, 77, false));
		n++;
	}
	assert_int_equal(n, 21); /* the first could not hit */
	assert_int_equal(w.ev.cause, RUNAWAY_MISSES);
	assert_int_equal(w.ev.print, 77);
	assert_int_equal(w.ev.value, 20);
	assert_int_equal(w.ev.nanousd, 20 * CENT);
	assert_false(call(&w, ANN, 5, 0, false));
	free(w.r);
}

static void one_hit_forgives(void **state)
{
	struct w w = w_new();

	(void)state;
	for (int i = 0; i < 500; i++)
		assert_true(call(&w, ANN, rnd(&w) | 1, 77, i % 20 == 19));
	free(w.r);
}

static void calls_that_cannot_hit_do_not_count(void **state)
{
	struct w w = w_new();
	static struct runaway_ticket t[400];

	(void)state;
	for (int i = 0; i < 500; i++) { /* long after the cache has forgotten */
		assert_true(call(&w, ANN, rnd(&w) | 1, 77, false));
		w.now += 5 * MIN;
	}
	for (int i = 0; i < 500; i++) /* another document each time */
		assert_true(call(&w, ANN, rnd(&w) | 1, rnd(&w) | 1, false));
	for (int k = 0; k < 10; k++) { /* all at once: nothing can be in the cache yet, and then one round of misses */
		for (int i = 0; i < 400; i++)
			assert_int_equal(start(&w, ANN, rnd(&w) | 1, 78, &t[i]), BUR_OK);
		w.now += SEC;
		for (int i = 0; i < 400; i++)
			end(&w, &t[i], CENT, false);
		w.now += 9 * SEC;
	}
	for (int i = 0; i < 400; i++) { /* answers that tell nothing */
		struct runaway_outcome o = {.nanousd = CENT};

		assert_int_equal(start(&w, ANN, rnd(&w) | 1, 79, &t[0]), BUR_OK);
		w.now += SEC;
		runaway_end(w.r, &w.cfg, &t[0], &o, w.now, &w.ev);
	}
	free(w.r);
}

/* --- quarantine --------------------------------------------------------------------------------------------------- */

static void one_identity_only(void **state)
{
	struct w w = w_new();

	(void)state;
	for (int i = 0; i < 200; i++) {
		(void)call(&w, ANN, 7, 0, false);
		assert_true(call(&w, BOB, 1000 + (uint64_t)i, 0, false));
	}
	assert_true(runaway_until(w.r, ANN, w.now) > w.now);
	assert_int_equal(runaway_until(w.r, BOB, w.now), 0);
	free(w.r);
}

static void it_ends_by_itself_and_doubles(void **state)
{
	static const int64_t minutes[] = {5, 10, 20, 40, 60, 60};
	struct w w = w_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(minutes); i++) {
		assert_in_range(calls_until_refused(&w, ANN, 7, 1000), 52, 65); /* begins anew each time */
		assert_int_equal(w.until - w.now, minutes[i] * MIN);
		w.now = w.until - 1;
		assert_false(call(&w, ANN, 5, 0, false));   /* any call */
		assert_int_equal(w.ev.cause, RUNAWAY_NONE); /* told once */
		w.now += 1;
		assert_true(call(&w, ANN, 5, 0, false));
	}
	w.now += 61 * MIN;
	(void)calls_until_refused(&w, ANN, 7, 1000);
	assert_int_equal(w.until - w.now, 5 * MIN); /* a good hour is enough */
	free(w.r);
}

static void by_hand(void **state)
{
	struct w w = w_new();

	(void)state;
	assert_int_equal(runaway_release(w.r, ANN, w.now), BUR_NOTFOUND);
	assert_int_equal(runaway_quarantine(w.r, ANN, w.now, w.now + MIN), BUR_OK);
	assert_false(call(&w, ANN, 5, 0, false));
	assert_int_equal(w.until, w.now + MIN);
	assert_int_equal(runaway_release(w.r, ANN, w.now), BUR_OK);
	assert_true(call(&w, ANN, 5, 0, false));
	assert_int_equal(runaway_release(w.r, ANN, w.now), BUR_NOTFOUND);
	assert_string_equal(runaway_cause_name(RUNAWAY_FANOUT), "fanout");
	free(w.r);
}

static void ends_of_calls_from_before_do_no_harm(void **state)
{
	struct w w = w_new();
	struct runaway_ticket t[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(start(&w, ANN, 7, 77, &t[i]), BUR_OK);
	assert_int_equal(runaway_quarantine(w.r, ANN, w.now, w.now + MIN), BUR_OK);
	end(&w, &t[0], CENT, false);
	w.now += MIN;
	end(&w, &t[1], CENT, false);
	memset(w.r, 0, sizeof(*w.r)); /* or was pushed out */
	end(&w, &t[2], CENT, false);
	assert_int_equal(w.ev.cause, RUNAWAY_NONE);
	free(w.r);
}

static void signs_can_be_switched_off(void **state)
{
	struct w w = w_new();

	(void)state;
	w.cfg = (struct runaway_config){.quarantine_ns = MIN};
	assert_int_equal(calls_until_refused(&w, ANN, 7, 2000), 2000);
	for (int i = 0; i < 100; i++)
		assert_true(call(&w, ANN, 7, 77, false));
	for (int n = 1; n < 5000; n *= 2)
		assert_true(interval(&w, ANN, n));
	free(w.r);
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

static void memory_is_bounded_and_the_guilty_stay(void **state)
{
	struct w w = w_new();

	(void)state;
	assert_true(sizeof(struct runaway) < 2 * 1024 * 1024);
	(void)calls_until_refused(&w, ANN, 7, 1000);
	w.cfg.quarantine_ns = 60 * MIN;
	for (uint64_t i = 1; i <= 100000; i++) { /* a crowd, all within a second */
		struct runaway_ticket t;

		w.now += SEC / 100000;
		assert_int_equal(start(&w, 1000 + i, 7, 77, &t), BUR_OK);
		end(&w, &t, CENT, false);
	}
	assert_false(call(&w, ANN, 5, 0, false));
	free(w.r);
}

static void a_set_full_of_quarantined_lets_others_pass(void **state)
{
	struct w w = w_new();
	uint64_t id = 0;
	int put = 0, full = 0;

	(void)state;
	while (full < 3) {
		int r = runaway_quarantine(w.r, ++id, w.now, w.now + 10 * MIN);

		assert_true(r == BUR_OK || r == BUR_FULL);
		put += r == BUR_OK;
		full += r == BUR_FULL;
	}
	assert_in_range(put, RUNAWAY_WAYS, RUNAWAY_SETS * RUNAWAY_WAYS);
	assert_int_equal(calls_until_refused(&w, id, 7, 100), 100); /* unwatched, not refused */
	w.now += 10 * MIN;
	assert_in_range(calls_until_refused(&w, id, 7, 100), 52, 65);
	free(w.r);
}

/* A day of many identities, each with parallel calls of all kinds: nobody is stopped. */
static void ordinary_traffic_is_never_stopped(void **state)
{
	struct w w = w_new();
	static struct {
		struct runaway_ticket t;
		int64_t ends;
		bool open, hit;
	} slot[600];

	(void)state;
	for (int i = 0; i < 600000; i++) {
		size_t k = rnd(&w) % ARRAY_LEN(slot);
		uint64_t id = 1 + rnd(&w) % 40, kind = rnd(&w) % 10;

		w.now += (int64_t)(rnd(&w) % (SEC / 4));
		if (slot[k].open && slot[k].ends <= w.now) {
			end(&w, &slot[k].t, (int64_t)(rnd(&w) % (5 * CENT)), slot[k].hit);
			assert_int_equal(w.ev.cause, RUNAWAY_NONE);
			slot[k].open = false;
		}
		if (slot[k].open)
			continue;
		/* Seven in ten are new prompts, two in ten one of 2000 that come again, one in ten a retry storm's kin.
		 */
		slot[k].open = true;
		slot[k].hit = rnd(&w) % 10 < 6;
		slot[k].ends = w.now + (int64_t)(rnd(&w) % (60 * SEC));
		assert_int_equal(
		    start(&w, id, kind < 7 ? rnd(&w) | 1 : 1 + rnd(&w) % 2000, kind < 5 ? 0 : 500 + id, &slot[k].t),
		    BUR_OK);
	}
	free(w.r);
}

static void extremes(void **state)
{
	struct w w = w_new();
	struct runaway_ticket t;

	(void)state;
	w.cfg = (struct runaway_config){UINT32_MAX, INT64_MAX, UINT32_MAX, UINT32_MAX, INT64_MAX,
					UINT32_MAX, INT64_MAX, INT64_MAX,  INT64_MAX};
	for (int i = 0; i < 100; i++) {
		w.now = i % 3 == 0 ? INT64_MIN : i % 3 == 1 ? INT64_MAX : i;
		assert_int_equal(start(&w, ANN, 7, 77, &t), BUR_OK);
		end(&w, &t, INT64_MAX, false);
	}
	w.cfg = (struct runaway_config){1, 1, 1, 1, 1, 1, INT64_MIN, INT64_MIN, INT64_MIN};
	for (int i = 0; i < 100; i++) {
		w.now = i % 3 == 0 ? INT64_MIN : i % 3 == 1 ? INT64_MAX : i;
		if (start(&w, BOB, 7, 77, &t) == BUR_OK)
			end(&w, &t, INT64_MIN, false);
	}
	assert_int_equal(start(&w, 0, 7, 77, &t), BUR_OK); /* nobody */
	end(&w, &t, CENT, false);
	assert_int_equal(runaway_quarantine(w.r, 0, w.now, w.now + MIN), BUR_FULL);
	assert_int_equal(runaway_until(w.r, 0, w.now), 0);
	free(w.r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_tight_loop_is_found),
	    cmocka_unit_test(a_health_check_never_adds_up),
	    cmocka_unit_test(sampling_one_prompt_in_parallel_is_no_loop),
	    cmocka_unit_test(a_wide_loop_is_found_too),
	    cmocka_unit_test(loops_that_cost_nothing_are_let_be),
	    cmocka_unit_test(calls_without_an_end_are_no_rounds),
	    cmocka_unit_test(a_loop_among_other_calls_is_found),
	    cmocka_unit_test(calls_that_breed_are_found),
	    cmocka_unit_test(batches_and_ramps_are_not_fan_out),
	    cmocka_unit_test(a_broken_cache_is_found),
	    cmocka_unit_test(one_hit_forgives),
	    cmocka_unit_test(calls_that_cannot_hit_do_not_count),
	    cmocka_unit_test(one_identity_only),
	    cmocka_unit_test(it_ends_by_itself_and_doubles),
	    cmocka_unit_test(by_hand),
	    cmocka_unit_test(ends_of_calls_from_before_do_no_harm),
	    cmocka_unit_test(signs_can_be_switched_off),
	    cmocka_unit_test(memory_is_bounded_and_the_guilty_stay),
	    cmocka_unit_test(a_set_full_of_quarantined_lets_others_pass),
	    cmocka_unit_test(ordinary_traffic_is_never_stopped),
	    cmocka_unit_test(extremes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
