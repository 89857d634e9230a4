/* The tables of breakers and loops: all or none over several counters, each admission settled once, what is told, what
 * a restart brings back, bounds, and eight threads at once. */
#include "policy/guard.h"

#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/policy_build.h"

#define USD NANOUSD_PER_USD
#define SEC INT64_C(1000000000)
#define OPENAI SLICE("openai"), SLICE("api.openai.com"), 443

static _Atomic int woken;

static void wake(void *ctx)
{
	(void)ctx;
	atomic_fetch_add(&woken, 1);
}

static struct guard *guard_of(size_t max_cost)
{
	struct guard_config c = {.max_cost = max_cost, .loops = RUNAWAY_CONFIG_DEFAULT, .wake = wake};
	struct guard *g;

	c.loops.repeat_max = 3;
	c.loops.min_nanousd = 0;
	g = guard_new(&c);
	assert_non_null(g);
	return g;
}

static struct budget watched(const char *name, int64_t limit)
{
	struct budget b = budget_of(name, limit);

	b.breaker = (struct budget_breaker){.on = true, .cool_down_s = 900};
	return b;
}

static struct guard_counter counter_of(const struct budget *b, const char *scope)
{
	return (struct guard_counter){.uid = meter_uid(b->name, slice_of(scope)), .budget = b, .scope = scope};
}

static struct guard_event only_event(struct guard *g)
{
	struct guard_event e[4];
	bool lost;

	assert_int_equal(guard_take_events(g, e, 4, &lost), 1);
	assert_false(lost);
	return e[0];
}

static struct guard_cost_view view_of(struct guard *g, uint64_t uid)
{
	struct guard_cost_view v;

	for (size_t i = 0; guard_cost_at(g, i, &v); i++)
		if (v.uid == uid)
			return v;
	fail_msg("no such counter");
	return v;
}

static int admit(struct guard *g, const struct guard_counter *c, size_t n, int64_t worst, int64_t now_s,
		 struct guard_admission *ret, struct guard_refusal *why)
{
	return guard_cost_admit(g, c, n, worst, now_s, ret, why);
}

/* --- cost --------------------------------------------------------------------------------------------------------- */

static void a_refusal_leaves_no_trace_in_the_others(void **state)
{
	struct guard *g = guard_of(8);
	struct budget a = watched("a", 100 * USD), b = watched("b", 100 * USD);
	struct guard_counter c[2] = {counter_of(&a, ""), counter_of(&b, "")};
	struct guard_admission adm;
	struct guard_refusal why;
	const struct guard_hand hand = {"test", "me"};

	(void)state;
	a.breaker.probe_nanousd = USD;
	assert_int_equal(guard_cost_open(g, &c[0]), BUR_OK);
	assert_int_equal(guard_cost_open(g, &c[1]), BUR_OK);
	assert_int_equal(guard_cost_force(g, SLICE("a"), BREAKER_HALF_OPEN, false, &hand, NOON), BUR_OK);
	assert_int_equal(guard_cost_force(g, SLICE("b"), BREAKER_OPEN, false, &hand, NOON), BUR_OK);
	assert_int_equal(admit(g, c, 2, USD / 2, NOON, &adm, &why), BUR_DENIED);
	assert_ptr_equal(why.budget, &b);
	assert_int_equal(why.why, BREAKER_REFUSED_OPEN);
	assert_int_equal(view_of(g, c[0].uid).probe_held_nanousd, 0);
	assert_int_equal(view_of(g, c[0].uid).open_calls, 0);
	assert_int_equal(view_of(g, c[0].uid).admitted, 0);
	assert_int_equal(view_of(g, c[1].uid).refused, 1);
	assert_int_equal(guard_cost_force(g, SLICE("none"), BREAKER_OPEN, false, &hand, NOON), BUR_NOTFOUND);
	guard_free(g);
}

static void each_admission_is_settled_once(void **state)
{
	struct guard *g = guard_of(8);
	struct budget a = watched("a", 100 * USD);
	struct guard_counter c = counter_of(&a, "");
	struct guard_admission adm;
	struct guard_refusal why;

	(void)state;
	assert_int_equal(admit(g, &c, 1, USD, NOON, &adm, &why), BUR_OK);
	assert_int_equal(view_of(g, c.uid).open_calls, 1);
	guard_cost_settle(g, &adm, USD / 2, NOON);
	assert_int_equal(view_of(g, c.uid).open_calls, 0);
	guard_cost_settle(g, &adm, USD / 2, NOON); /* nothing is left of it */
	assert_int_equal(view_of(g, c.uid).open_calls, 0);
	guard_free(g);
}

static void velocity_is_what_people_wrote(void **state)
{
	struct guard *g = guard_of(8);
	struct budget a = watched("a", 100 * USD);
	struct guard_counter c = counter_of(&a, "");
	struct guard_admission adm;
	struct guard_refusal why;
	struct guard_event e;

	(void)state;
	a.breaker.velocity_nanousd = 2 * USD; /* in ten minutes */
	a.breaker.velocity_window_s = 600;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(admit(g, &c, 1, USD, NOON + i, &adm, &why), BUR_OK);
		guard_cost_settle(g, &adm, USD * 9 / 10, NOON + i);
	}
	e = only_event(g);
	assert_int_equal(e.kind, GUARD_COST);
	assert_string_equal(e.name, "a");
	assert_int_equal(e.change.cause, BREAKER_VELOCITY);
	assert_int_equal(e.change.to, BREAKER_OPEN);
	assert_int_equal(e.change.until, NOON + 2 + 900);
	assert_int_equal(admit(g, &c, 1, USD, NOON + 3, &adm, &why), BUR_DENIED);
	assert_int_equal(admit(g, &c, 1, 0, NOON + 3, &adm, &why), BUR_OK); /* costs nothing */
	guard_cost_settle(g, &adm, 0, NOON + 3);
	guard_free(g);
}

static void a_shadow_breaker_only_counts(void **state)
{
	struct guard *g = guard_of(8);
	struct budget a = watched("a", 100 * USD);
	struct guard_counter c = counter_of(&a, "user=ann");
	struct guard_admission adm;
	struct guard_refusal why;
	struct guard_event e;

	(void)state;
	a.mode = MODE_SHADOW;
	a.breaker.max_request_nanousd = USD;
	assert_int_equal(admit(g, &c, 1, 2 * USD, NOON, &adm, &why), BUR_OK);
	guard_cost_settle(g, &adm, 2 * USD, NOON);
	e = only_event(g);
	assert_true(e.shadow);
	assert_string_equal(e.name, "a:user=ann");
	assert_int_equal(view_of(g, c.uid).state, BREAKER_OPEN);
	assert_int_equal(view_of(g, c.uid).refused, 1);
	guard_free(g);
}

static bool month_of_100(void *ctx, uint64_t uid, int64_t now_s, int64_t *limit, int64_t *start, int64_t *end)
{
	(void)ctx;
	(void)uid;
	*limit = 100 * USD;
	*start = now_s - 15 * DAY_S;
	*end = now_s + 15 * DAY_S;
	return true;
}

/* 2 % of a month's limit in an hour, and still going on. */
static void a_fast_burn_opens_it_also_when_it_began_before_a_restart(void **state)
{
	struct budget a = watched("a", 100 * USD);
	struct guard_counter c = counter_of(&a, "");
	int64_t minutes[60];

	(void)state;
	a.window.kind = WINDOW_MONTH;
	a.breaker.trip_on_burn = true;
	for (int restarted = 0; restarted < 2; restarted++) {
		struct guard *g = guard_of(8);
		struct guard_admission adm;
		struct guard_refusal why;
		struct guard_event e;

		assert_int_equal(guard_cost_open(g, &c), BUR_OK);
		for (int i = 0; i < 60; i++) {
			int64_t at = NOON - 3600 + i * 60;

			minutes[i] = USD / 20;
			if (restarted)
				continue;
			assert_int_equal(admit(g, &c, 1, USD, at, &adm, &why), BUR_OK);
			guard_cost_settle(g, &adm, minutes[i], at);
		}
		if (restarted)
			guard_cost_past(g, c.uid, NOON - 3600, 60, minutes, 60);
		guard_cost_tick(g, NOON, month_of_100, NULL);
		e = only_event(g);
		assert_int_equal(e.change.cause, BREAKER_BURN);
		assert_true(e.change.value >= 14400);
		assert_true(view_of(g, c.uid).burn_1h_milli >= 14400);
		guard_free(g);
	}
}

static void an_anomaly_of_level_2_opens_it_after_eight_weeks_of_calm(void **state)
{
	struct guard *g = guard_of(8);
	struct budget a = watched("a", 100000 * USD);
	struct guard_counter c = counter_of(&a, "");
	static int64_t hours[8 * 168];
	struct guard_event e;

	(void)state;
	a.breaker.trip_on_anomaly = true;
	for (size_t i = 0; i < ARRAY_LEN(hours); i++)
		hours[i] = USD;
	assert_int_equal(guard_cost_open(g, &c), BUR_OK);
	guard_cost_hours(g, c.uid, NOON, hours, ARRAY_LEN(hours), 0);
	guard_cost_tick(g, NOON + 1800, month_of_100, NULL);
	assert_int_equal(view_of(g, c.uid).state, BREAKER_CLOSED);
	guard_cost_spent(g, c.uid, 50 * USD, NOON + 1800);
	guard_cost_tick(g, NOON + 1860, month_of_100, NULL);
	e = only_event(g);
	assert_int_equal(e.change.cause, BREAKER_ANOMALY);
	assert_int_equal(view_of(g, c.uid).anomaly_level, 2);
	guard_free(g);
}

static void an_open_breaker_is_open_after_a_restart(void **state)
{
	struct guard *g = guard_of(8);
	struct budget a = watched("a", 100 * USD);
	struct guard_counter c = counter_of(&a, "");
	struct guard_admission adm;
	struct guard_refusal why;

	(void)state;
	assert_int_equal(guard_cost_restore(g, c.uid, BREAKER_OPEN, BREAKER_BURN, false, NOON), BUR_NOTFOUND);
	assert_int_equal(guard_cost_open(g, &c), BUR_OK);
	assert_int_equal(guard_cost_restore(g, c.uid, BREAKER_OPEN, BREAKER_BURN, false, NOON), BUR_OK);
	assert_int_equal(admit(g, &c, 1, USD, NOON + 899, &adm, &why), BUR_DENIED);
	assert_int_equal(why.cause, BREAKER_BURN);
	assert_int_equal(why.until_s, NOON + 900);
	assert_int_equal(admit(g, &c, 1, USD / 2, NOON + 900, &adm, &why), BUR_OK); /* tries with 1 % */
	assert_int_equal(only_event(g).change.to, BREAKER_HALF_OPEN);
	guard_cost_settle(g, &adm, 0, NOON + 901);
	guard_free(g);
}

static void a_full_table_makes_room_from_what_is_idle(void **state)
{
	struct guard *g = guard_of(2);
	struct budget a = watched("a", 100 * USD);
	struct guard_counter x = counter_of(&a, "user=x"), y = counter_of(&a, "user=y"), z = counter_of(&a, "user=z");
	struct guard_admission ax, ay, az;
	struct guard_refusal why;

	(void)state;
	assert_int_equal(admit(g, &x, 1, USD, NOON, &ax, &why), BUR_OK);
	assert_int_equal(admit(g, &y, 1, USD, NOON, &ay, &why), BUR_OK);
	assert_int_equal(admit(g, &z, 1, USD, NOON, &az, &why), BUR_FULL);
	guard_cost_settle(g, &ay, 0, NOON);
	assert_int_equal(admit(g, &z, 1, USD, NOON + 3600, &az, &why), BUR_FULL); /* y was asked an hour ago */
	assert_int_equal(admit(g, &z, 1, USD, NOON + 3601, &az, &why), BUR_OK);
	guard_cost_settle(g, &az, USD, NOON + 3602);
	guard_cost_settle(g, &ax, USD, NOON + 3602); /* its place was never taken */
	assert_int_equal(guard_cost_len(g), 2);
	assert_int_equal(view_of(g, x.uid).open_calls, 0);
	guard_free(g);
}

/* --- upstreams ---------------------------------------------------------------------------------------------------- */

static void an_upstream_opens_for_itself_alone(void **state)
{
	struct guard *g = guard_of(1);
	struct guard_upstream_ticket t;
	struct guard_upstream_view v[4];
	struct guard_event e;
	int retry_s;

	(void)state;
	for (int i = 0; i < 5; i++) {
		assert_int_equal(guard_upstream_admit(g, OPENAI, SEC, &t, &retry_s), BUR_OK);
		guard_upstream_report(g, &t, BREAKER_FAILURE, 0, 100000, SEC);
	}
	e = only_event(g);
	assert_string_equal(e.name, "openai@api.openai.com:443");
	assert_int_equal(guard_upstream_admit(g, OPENAI, SEC, &t, &retry_s), BUR_DENIED);
	assert_int_equal(retry_s, 5);
	assert_false(t.on);
	guard_upstream_report(g, &t, BREAKER_FAILURE, 0, 0, SEC); /* of nothing */
	assert_int_equal(guard_upstream_admit(g, SLICE("openai"), SLICE("eu.api.openai.com"), 443, SEC, &t, &retry_s),
			 BUR_OK);
	assert_int_equal(guard_upstream_list(g, SEC, v, 4), 2);
	guard_free(g);
}

static void many_hosts_never_push_out_an_open_one(void **state)
{
	struct guard *g = guard_of(1);
	struct guard_upstream_ticket t;
	struct guard_upstream_view *v = calloc(GUARD_UPSTREAMS_MAX, sizeof(*v));
	const struct guard_hand hand = {"test", "me"};
	char host[32];
	int retry_s;

	(void)state;
	assert_non_null(v);
	assert_int_equal(guard_upstream_admit(g, OPENAI, SEC, &t, &retry_s), BUR_OK);
	assert_int_equal(guard_upstream_force(g, SLICE("openai@api.openai.com:443"), BREAKER_OPEN, &hand, SEC), BUR_OK);
	for (int i = 0; i < 20000; i++) {
		int n = snprintf(host, sizeof(host), "h%d.example.com", i);

		assert_int_equal(
		    guard_upstream_admit(g, SLICE("azure"), slice_mem(host, (size_t)n), 443, SEC + i, &t, &retry_s),
		    BUR_OK);
		guard_upstream_report(g, &t, BREAKER_SUCCESS, 0, 0, SEC + i);
	}
	assert_int_equal(guard_upstream_admit(g, OPENAI, SEC, &t, &retry_s), BUR_DENIED);
	assert_true(guard_upstream_list(g, SEC, v, GUARD_UPSTREAMS_MAX) <= GUARD_UPSTREAMS_MAX);
	assert_int_equal(guard_upstream_force(g, SLICE("nobody@x:1"), BREAKER_OPEN, &hand, SEC), BUR_NOTFOUND);
	free(v);
	guard_free(g);
}

/* --- loops -------------------------------------------------------------------------------------------------------- */

static int64_t loop_until_caught(struct guard *g, const struct runaway_call *call, struct slice name)
{
	struct runaway_ticket t;
	struct runaway_outcome o = {.nanousd = USD, .answered = true};
	int64_t until = 0;

	for (int i = 0; i < 20; i++) {
		if (guard_loop_start(g, call, name, SEC + i, &t, &until) < 0)
			return until;
		guard_loop_end(g, &t, name, &o, SEC + i);
	}
	return 0;
}

static void a_loop_is_told_once_listed_and_lifted(void **state)
{
	struct guard *g = guard_of(1);
	struct runaway_call call = {.id = 7, .fingerprint = 99};
	struct guard_loop_view v[2];
	struct guard_event e;

	(void)state;
	assert_true(loop_until_caught(g, &call, SLICE("ann")) > 0);
	e = only_event(g);
	assert_int_equal(e.kind, GUARD_LOOP);
	assert_string_equal(e.name, "ann");
	assert_int_equal(e.loop.cause, RUNAWAY_REPEAT);
	assert_int_equal(guard_loop_list(g, SEC, v, 2), 1);
	assert_string_equal(v[0].name, "ann");
	assert_int_equal(guard_loop_release(g, 7, SEC + 30), BUR_OK);
	assert_int_equal(guard_loop_release(g, 7, SEC + 30), BUR_NOTFOUND);
	assert_int_equal(guard_loop_list(g, SEC + 30, v, 2), 0);
	guard_free(g);
	g = guard_of(1);
	assert_int_equal(guard_loop_restore(g, &v[0], SEC), BUR_OK);
	assert_int_equal(guard_loop_list(g, SEC, v, 2), 1);
	assert_int_equal(v[0].cause, RUNAWAY_REPEAT);
	guard_free(g);
}

/* --- the queue ---------------------------------------------------------------------------------------------------- */

static void more_than_fits_is_said_to_be_lost(void **state)
{
	struct guard *g = guard_of(1);
	struct budget a = watched("a", 100 * USD);
	struct guard_counter c = counter_of(&a, "");
	const struct guard_hand hand = {"because", "ops"};
	struct guard_event *e = calloc(GUARD_EVENTS_MAX, sizeof(*e));
	bool lost;

	(void)state;
	assert_non_null(e);
	atomic_store(&woken, 0);
	assert_int_equal(guard_cost_open(g, &c), BUR_OK);
	for (int i = 0; i <= GUARD_EVENTS_MAX; i++)
		assert_int_equal(
		    guard_cost_force(g, SLICE("a"), i % 2 ? BREAKER_CLOSED : BREAKER_OPEN, false, &hand, NOON), BUR_OK);
	assert_int_equal(atomic_load(&woken), 1); /* until somebody looks */
	assert_int_equal(guard_take_events(g, e, GUARD_EVENTS_MAX, &lost), GUARD_EVENTS_MAX);
	assert_true(lost);
	assert_string_equal(e[0].reason, "because");
	assert_string_equal(e[0].actor, "ops");
	assert_int_equal(guard_take_events(g, e, GUARD_EVENTS_MAX, &lost), 0);
	assert_false(lost);
	free(e);
	guard_free(g);
}

/* --- threads ------------------------------------------------------------------------------------------------------ */

#define THREADS 8
#define ROUNDS 4000

struct shared {
	struct guard *g;
	struct budget budgets[4];
	int number;
};

static void *hammer(void *arg)
{
	struct shared *s = arg;
	uint64_t seed = (uint64_t)s->number * 7919 + 1;

	for (int i = 0; i < ROUNDS; i++) {
		struct guard_counter c[4];
		struct guard_admission adm;
		struct guard_refusal why;
		struct guard_upstream_ticket t;
		struct runaway_ticket loop;
		struct runaway_call call = {.id = seed % 5 + 1, .fingerprint = seed % 3 + 1};
		struct runaway_outcome o = {.nanousd = 1, .answered = true};
		int64_t now = NOON + i, until;
		int retry_s;
		size_t n = seed % 4 + 1;

		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		for (size_t k = 0; k < n; k++)
			c[k] = counter_of(&s->budgets[k], "");
		if (guard_cost_admit(s->g, c, n, (int64_t)(seed % USD), now, &adm, &why) == BUR_OK)
			guard_cost_settle(s->g, &adm, (int64_t)(seed % USD) / 2, now);
		if (guard_upstream_admit(s->g, OPENAI, now * SEC, &t, &retry_s) == BUR_OK)
			guard_upstream_report(s->g, &t, seed % 9 ? BREAKER_SUCCESS : BREAKER_FAILURE, 0, seed,
					      now * SEC);
		if (guard_loop_start(s->g, &call, SLICE("k"), now * SEC, &loop, &until) == BUR_OK)
			guard_loop_end(s->g, &loop, SLICE("k"), &o, now * SEC);
	}
	return NULL;
}

static void *watcher(void *arg)
{
	struct shared *s = arg;
	struct guard_event e[16];
	struct guard_cost_view v;
	struct guard_upstream_view u[8];
	const struct guard_hand hand = {"r", "a"};
	bool lost;
	int forced = 0;

	for (int i = 0; i < ROUNDS / 10; i++) {
		(void)guard_take_events(s->g, e, 16, &lost);
		guard_cost_tick(s->g, NOON + i * 10, month_of_100, NULL);
		for (size_t k = 0; guard_cost_at(s->g, k, &v); k++)
			assert_true(v.probe_held_nanousd >= 0);
		(void)guard_upstream_list(s->g, NOON * SEC, u, 8);
		forced += guard_cost_force(s->g, SLICE("b0"), (enum breaker_state)(i % 3), false, &hand,
					   NOON + i * 10) == BUR_OK;
	}
	assert_true(forced <= ROUNDS / 10);
	return NULL;
}

static void eight_threads_settle_all_that_they_were_given(void **state)
{
	struct shared s[THREADS + 1];
	pthread_t thread[THREADS + 1];
	struct guard *g = guard_of(8);
	struct guard_cost_view v;

	(void)state;
	for (int i = 0; i <= THREADS; i++) {
		s[i] = (struct shared){.g = g, .number = i};
		for (int k = 0; k < 4; k++) {
			static const char *const names[] = {"b0", "b1", "b2", "b3"};
			static struct budget budgets[4];

			if (i == 0) {
				budgets[k] = watched(names[k], 100 * USD);
				budgets[k].breaker.velocity_nanousd = 3000 * USD;
				budgets[k].breaker.velocity_window_s = 600;
				budgets[k].breaker.cool_down_s = 5;
				budgets[k].breaker.probe_nanousd = 20 * USD;
			}
			s[i].budgets[k] = budgets[k];
		}
	}
	/* one set of definitions, as in the program */
	for (int i = 1; i <= THREADS; i++)
		memcpy(s[i].budgets, s[0].budgets, sizeof(s[0].budgets));
	for (int i = 0; i <= THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, i < THREADS ? hammer : watcher, &s[i]), 0);
	for (int i = 0; i <= THREADS; i++)
		(void)pthread_join(thread[i], NULL);
	for (size_t k = 0; guard_cost_at(g, k, &v); k++) {
		assert_int_equal(v.open_calls, 0);
		assert_int_equal(v.probe_held_nanousd, 0);
	}
	guard_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_refusal_leaves_no_trace_in_the_others),
	    cmocka_unit_test(each_admission_is_settled_once),
	    cmocka_unit_test(velocity_is_what_people_wrote),
	    cmocka_unit_test(a_shadow_breaker_only_counts),
	    cmocka_unit_test(a_fast_burn_opens_it_also_when_it_began_before_a_restart),
	    cmocka_unit_test(an_anomaly_of_level_2_opens_it_after_eight_weeks_of_calm),
	    cmocka_unit_test(an_open_breaker_is_open_after_a_restart),
	    cmocka_unit_test(a_full_table_makes_room_from_what_is_idle),
	    cmocka_unit_test(an_upstream_opens_for_itself_alone),
	    cmocka_unit_test(many_hosts_never_push_out_an_open_one),
	    cmocka_unit_test(a_loop_is_told_once_listed_and_lifted),
	    cmocka_unit_test(more_than_fits_is_said_to_be_lost),
	    cmocka_unit_test(eight_threads_settle_all_that_they_were_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
