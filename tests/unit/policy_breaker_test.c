/* Every transition of the upstream and the cost breaker (budget specification 6.2), and what must not move them. */
#include "policy/breaker.h"

#include "tests/unit/policy_build.h"

#define USD NANOUSD_PER_USD
#define SEC INT64_C(1000000000)
#define MIDDLE 100000 /* this hash means no jitter */

/* --- upstream ----------------------------------------------------------------------------------------------------- */

struct up {
	struct breaker_upstream b;
	struct breaker_event ev;
	int64_t now;
	int retry_s;
};

static struct up up_new(void)
{
	struct up u = {.now = 1000 * SEC};

	breaker_upstream_init(&u.b);
	return u;
}

static struct breaker_ticket admitted(struct up *u)
{
	struct breaker_ticket t = {0};

	assert_int_equal(breaker_upstream_admit(&u->b, u->now, &t, &u->retry_s, &u->ev), BUR_OK);
	return t;
}

static void refused(struct up *u, int retry_s)
{
	struct breaker_ticket t = {0};

	assert_int_equal(breaker_upstream_admit(&u->b, u->now, &t, &u->retry_s, &u->ev), BUR_DENIED);
	assert_int_equal(u->retry_s, retry_s);
}

static void report(struct up *u, struct breaker_ticket t, enum breaker_outcome outcome)
{
	breaker_upstream_report(&u->b, t, outcome, 0, MIDDLE, u->now, &u->ev);
}

static void call(struct up *u, enum breaker_outcome outcome)
{
	report(u, admitted(u), outcome);
}

static void opened_by_streak(struct up *u)
{
	for (int i = 0; i < BREAKER_STREAK; i++)
		call(u, BREAKER_FAILURE);
	assert_int_equal(u->b.state, BREAKER_OPEN);
}

static void cooled(struct up *u)
{
	u->now = u->b.until_ns;
	breaker_upstream_tick(&u->b, u->now, &u->ev);
	assert_int_equal(u->b.state, BREAKER_HALF_OPEN);
}

static void five_failures_in_a_row_open(void **state)
{
	struct up u = up_new();

	(void)state;
	for (int i = 0; i < 4; i++)
		call(&u, BREAKER_FAILURE);
	call(&u, BREAKER_SUCCESS); /* not in a row any more */
	for (int i = 0; i < 4; i++)
		call(&u, BREAKER_FAILURE);
	assert_int_equal(u.b.state, BREAKER_CLOSED);
	assert_int_equal(u.ev.cause, BREAKER_NO_CHANGE);
	call(&u, BREAKER_FAILURE);
	assert_int_equal(u.b.state, BREAKER_OPEN);
	assert_int_equal(u.ev.cause, BREAKER_FAILURE_STREAK);
	assert_int_equal(u.ev.from, BREAKER_CLOSED);
	assert_int_equal(u.ev.to, BREAKER_OPEN);
	assert_int_equal(u.ev.value, 5);
	assert_int_equal(u.ev.until, u.now + 5 * SEC);
}

static void half_of_twenty_calls_open(void **state)
{
	struct up u = up_new();

	(void)state;
	for (int i = 0; i < 9; i++) {
		call(&u, BREAKER_FAILURE);
		call(&u, BREAKER_SUCCESS);
	}
	call(&u, BREAKER_FAILURE); /* 10 of 19: too few calls to judge */
	assert_int_equal(u.b.state, BREAKER_CLOSED);
	call(&u, BREAKER_SUCCESS); /* 10 of 20 */
	assert_int_equal(u.b.state, BREAKER_OPEN);
	assert_int_equal(u.ev.cause, BREAKER_FAILURE_RATE);
	assert_int_equal(u.ev.value, 500000);
}

static void less_than_half_stays_closed(void **state)
{
	struct up u = up_new();

	(void)state;
	for (int i = 0; i < 1000; i++) {
		call(&u, i % 5 % 2 == 1 ? BREAKER_FAILURE : BREAKER_SUCCESS);
		u.now += SEC / 50;
	}
	assert_int_equal(u.b.state, BREAKER_CLOSED);
}

static void failures_older_than_the_window_do_not_count(void **state)
{
	struct up u = up_new();

	(void)state;
	for (int i = 0; i < 9; i++) {
		call(&u, BREAKER_FAILURE);
		call(&u, BREAKER_SUCCESS);
	}
	call(&u, BREAKER_FAILURE);
	u.now += 29 * SEC;
	assert_int_equal(breaker_upstream_counts(&u.b, u.now).failed, 10);
	u.now += SEC;
	assert_int_equal(breaker_upstream_counts(&u.b, u.now).failed, 0);
	assert_int_equal(u.b.second[1000 % BREAKER_WINDOW_S].failed, 10); /* looking changes nothing */
	call(&u, BREAKER_SUCCESS);
	assert_int_equal(u.b.state, BREAKER_CLOSED);
	assert_int_equal(breaker_upstream_counts(&u.b, u.now).good, 1);
}

static void limits_and_aborts_are_neither(void **state)
{
	struct up u = up_new();

	(void)state;
	for (int i = 0; i < 100; i++)
		call(&u, i % 2 ? BREAKER_LIMITED : BREAKER_ABORT);
	assert_int_equal(u.b.state, BREAKER_CLOSED);
	assert_int_equal(breaker_upstream_counts(&u.b, u.now).limited, 50);
	assert_int_equal(breaker_upstream_counts(&u.b, u.now).failed, 0);
	for (int i = 0; i < 4; i++)
		call(&u, BREAKER_FAILURE);
	call(&u, BREAKER_LIMITED);
	call(&u, BREAKER_ABORT);
	call(&u, BREAKER_FAILURE); /* they did not interrupt the row */
	assert_int_equal(u.b.state, BREAKER_OPEN);

	cooled(&u);
	call(&u, BREAKER_ABORT);
	call(&u, BREAKER_LIMITED);
	assert_int_equal(u.b.state, BREAKER_HALF_OPEN);
	for (int i = 0; i < 3; i++) {
		call(&u, BREAKER_SUCCESS);
		call(&u, i % 2 ? BREAKER_ABORT : BREAKER_LIMITED);
	}
	assert_int_equal(u.b.state, BREAKER_CLOSED);
}

static void open_refuses_until_it_has_cooled(void **state)
{
	struct up u = up_new();
	int64_t start;

	(void)state;
	opened_by_streak(&u);
	start = u.now;
	refused(&u, 5);
	u.now = start + 4 * SEC;
	refused(&u, 1);
	u.now = start + 5 * SEC - 1;
	refused(&u, 1);
	u.now = start + 5 * SEC;
	(void)admitted(&u);
	assert_int_equal(u.ev.cause, BREAKER_COOLED);
	assert_int_equal(u.ev.from, BREAKER_OPEN);
	assert_int_equal(u.ev.to, BREAKER_HALF_OPEN);
	assert_int_equal(u.ev.value, 5 * SEC);
}

static void cool_downs_double_to_300_s(void **state)
{
	static const int64_t seconds[] = {5, 10, 20, 40, 80, 160, 300, 300, 300};
	struct up u = up_new();

	(void)state;
	opened_by_streak(&u);
	for (size_t i = 0; i < ARRAY_LEN(seconds); i++) {
		assert_int_equal(u.b.until_ns - u.now, seconds[i] * SEC);
		refused(&u, seconds[i] < 60 ? (int)seconds[i] : 60);
		cooled(&u);
		call(&u, BREAKER_FAILURE);
		assert_int_equal(u.b.state, BREAKER_OPEN);
		assert_int_equal(u.ev.cause, BREAKER_PROBE_FAILED);
		assert_int_equal(u.ev.from, BREAKER_HALF_OPEN);
		assert_int_equal(u.b.opens, i + 2);
	}
	u.b.opens = UINT32_MAX;
	cooled(&u);
	call(&u, BREAKER_FAILURE);
	assert_int_equal(u.b.until_ns - u.now, 300 * SEC);
}

static void jitter_is_a_tenth_and_from_the_hash(void **state)
{
	int64_t min = INT64_MAX, max = 0;

	(void)state;
	for (uint64_t h = 0; h < 4000; h++) {
		struct up u = up_new();

		for (int i = 0; i < BREAKER_STREAK; i++)
			breaker_upstream_report(&u.b, admitted(&u), BREAKER_FAILURE, 0, h * 0x9e3779b97f4a7c15, u.now,
						&u.ev);
		min = u.b.until_ns - u.now < min ? u.b.until_ns - u.now : min;
		max = u.b.until_ns - u.now > max ? u.b.until_ns - u.now : max;
	}
	assert_in_range(min, 4500 * SEC / 1000, 4510 * SEC / 1000);
	assert_in_range(max, 5490 * SEC / 1000, 5500 * SEC / 1000);
}

static void three_good_probes_close(void **state)
{
	struct up u = up_new();

	(void)state;
	opened_by_streak(&u);
	cooled(&u);
	call(&u, BREAKER_FAILURE);
	cooled(&u);
	call(&u, BREAKER_SUCCESS);
	call(&u, BREAKER_SUCCESS);
	assert_int_equal(u.b.state, BREAKER_HALF_OPEN);
	call(&u, BREAKER_SUCCESS);
	assert_int_equal(u.b.state, BREAKER_CLOSED);
	assert_int_equal(u.ev.cause, BREAKER_PROBES_GOOD);
	assert_int_equal(u.ev.value, 3);
	assert_int_equal(u.b.opens, 0);
	opened_by_streak(&u); /* n began anew: five seconds, not twenty */
	assert_int_equal(u.b.until_ns - u.now, 5 * SEC);
}

static void one_probe_at_a_time(void **state)
{
	struct up u = up_new();
	struct breaker_ticket t;

	(void)state;
	opened_by_streak(&u);
	cooled(&u);
	t = admitted(&u);
	assert_true(t.probe);
	refused(&u, 1);
	report(&u, t, BREAKER_SUCCESS);
	t = admitted(&u);
	refused(&u, 1);
	report(&u, t, BREAKER_ABORT);
	(void)admitted(&u);
}

static void a_lost_probe_does_not_block_for_ever(void **state)
{
	struct up u = up_new();
	struct breaker_ticket lost, next;

	(void)state;
	opened_by_streak(&u);
	cooled(&u);
	lost = admitted(&u);
	u.now += BREAKER_PROBE_MAX_NS - 1;
	refused(&u, 1);
	u.now += 1;
	next = admitted(&u);
	report(&u, lost, BREAKER_FAILURE); /* too late to mean anything */
	assert_int_equal(u.b.state, BREAKER_HALF_OPEN);
	refused(&u, 1);
	report(&u, next, BREAKER_SUCCESS);
	(void)admitted(&u);
}

static void calls_of_an_older_state_tell_nothing(void **state)
{
	struct up u = up_new();
	struct breaker_ticket old[8];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(old); i++)
		old[i] = admitted(&u);
	opened_by_streak(&u);
	report(&u, old[0], BREAKER_FAILURE);
	assert_int_equal(u.b.opens, 1);
	cooled(&u);
	report(&u, old[1], BREAKER_FAILURE);
	assert_int_equal(u.b.state, BREAKER_HALF_OPEN);
	for (size_t i = 2; i < 6; i++)
		report(&u, old[i], BREAKER_SUCCESS);
	assert_int_equal(u.b.state, BREAKER_HALF_OPEN);
	for (int i = 0; i < 3; i++)
		call(&u, BREAKER_SUCCESS);
	report(&u, old[6], BREAKER_FAILURE);
	assert_int_equal(u.b.streak, 0);
}

static void retry_after_wins_when_longer(void **state)
{
	static const struct {
		int64_t asked, want;
	} cases[] = {{2 * SEC, 5 * SEC}, {30 * SEC, 30 * SEC}, {INT64_MAX, BREAKER_RETRY_AFTER_MAX_NS}, {-7, 5 * SEC}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct up u = up_new();

		for (int k = 0; k < BREAKER_STREAK; k++)
			breaker_upstream_report(&u.b, admitted(&u), BREAKER_FAILURE, cases[i].asked, MIDDLE, u.now,
						&u.ev);
		assert_int_equal(u.b.until_ns - u.now, cases[i].want);
		cooled(&u);
		breaker_upstream_report(&u.b, admitted(&u), BREAKER_FAILURE, 40 * SEC, MIDDLE, u.now, &u.ev);
		assert_int_equal(u.b.until_ns - u.now, 40 * SEC);
	}
}

static void by_hand(void **state)
{
	struct up u = up_new();

	(void)state;
	breaker_upstream_force(&u.b, BREAKER_OPEN, u.now, &u.ev);
	assert_int_equal(u.ev.cause, BREAKER_MANUAL);
	assert_int_equal(u.ev.until, INT64_MAX);
	u.now += 100000 * SEC;
	refused(&u, 60);
	breaker_upstream_force(&u.b, BREAKER_HALF_OPEN, u.now, &u.ev);
	assert_true(admitted(&u).probe);
	breaker_upstream_force(&u.b, BREAKER_CLOSED, u.now, &u.ev);
	assert_false(admitted(&u).probe);
	opened_by_streak(&u);
	breaker_upstream_force(&u.b, BREAKER_CLOSED, u.now, &u.ev);
	assert_int_equal(u.b.opens, 0);
}

static void time_that_goes_back_stands_still(void **state)
{
	struct up u = up_new();

	(void)state;
	opened_by_streak(&u);
	u.now -= 500 * SEC;
	refused(&u, 5);
	u.now = INT64_MIN;
	refused(&u, 5);
	u.now = INT64_MAX;
	call(&u, BREAKER_FAILURE);
	assert_int_equal(u.b.until_ns, INT64_MAX);
}

/* --- cost --------------------------------------------------------------------------------------------------------- */

struct cost {
	struct breaker_cost_config cfg;
	struct breaker_cost b;
	struct breaker_event ev;
	struct breaker_cost_hold hold;
	int64_t now;
};

static struct cost cost_new(void)
{
	struct cost c = {.cfg = breaker_cost_defaults(1000 * USD), .now = NOON};

	c.cfg.trip_on_burn = c.cfg.trip_on_anomaly = true;
	c.cfg.max_request_nanousd = 5 * USD;
	breaker_cost_init(&c.b, &c.cfg);
	return c;
}

static enum breaker_refusal ask(struct cost *c, int64_t worst)
{
	return breaker_cost_admit(&c->b, &c->cfg, worst, c->now, &c->hold, &c->ev);
}

static void settle(struct cost *c, int64_t actual)
{
	breaker_cost_settle(&c->b, &c->cfg, &c->hold, actual, c->now, &c->ev);
}

static void spend(struct cost *c, int64_t worst, int64_t actual)
{
	assert_int_equal(ask(c, worst), BREAKER_ADMITTED);
	settle(c, actual);
}

static void tick(struct cost *c, bool fast, int64_t burn_5m_milli, int level)
{
	struct breaker_signals s = {fast, 20000, burn_5m_milli, level};

	breaker_cost_tick(&c->b, &c->cfg, &s, c->now, &c->ev);
}

static void open_it(struct cost *c)
{
	tick(c, true, 20000, 0);
	assert_int_equal(c->b.state, BREAKER_OPEN);
}

static void half_open_it(struct cost *c)
{
	open_it(c);
	c->now += c->cfg.cool_down_s;
	tick(c, false, 0, 0);
	assert_int_equal(c->b.state, BREAKER_HALF_OPEN);
}

static void expect(const struct cost *c, enum breaker_cause cause, enum breaker_state from, enum breaker_state to)
{
	assert_int_equal(c->ev.cause, cause);
	assert_int_equal(c->ev.from, from);
	assert_int_equal(c->ev.to, to);
	assert_int_equal(c->b.state, to);
}

static void defaults_are_those_of_the_table(void **state)
{
	struct breaker_cost_config d = breaker_cost_defaults(1000 * USD);

	(void)state;
	assert_int_equal(d.cool_down_s, 15 * 60);
	assert_int_equal(d.probe_budget_nanousd, 10 * USD);
	assert_int_equal(d.burn_milli, 14400);
	assert_false(d.latch || d.trip_on_burn || d.trip_on_anomaly);
	assert_int_equal(d.max_request_nanousd, 0);
	assert_int_equal(breaker_cost_defaults(5).probe_budget_nanousd, 1);
}

static void fast_burn_opens_when_told_to(void **state)
{
	struct cost c = cost_new();

	(void)state;
	tick(&c, false, 30000, 1); /* one window only, and an anomaly of level 1 */
	assert_int_equal(c.b.state, BREAKER_CLOSED);
	c.cfg.trip_on_burn = false;
	tick(&c, true, 30000, 0);
	assert_int_equal(c.b.state, BREAKER_CLOSED);
	c.cfg.trip_on_burn = true;
	tick(&c, true, 30000, 0);
	expect(&c, BREAKER_BURN, BREAKER_CLOSED, BREAKER_OPEN);
	assert_int_equal(c.ev.value, 20000);
	assert_int_equal(c.ev.threshold, 14400);
	assert_int_equal(c.ev.until, c.now + 900);
	tick(&c, true, 30000, 2);
	assert_int_equal(c.ev.cause, BREAKER_NO_CHANGE); /* one event per transition */
}

static void anomaly_of_level_2_opens_when_told_to(void **state)
{
	struct cost c = cost_new();

	(void)state;
	c.cfg.trip_on_anomaly = false;
	tick(&c, false, 0, 2);
	assert_int_equal(c.b.state, BREAKER_CLOSED);
	c.cfg.trip_on_anomaly = true;
	tick(&c, false, 0, 2); /* switched on during the anomaly: it waits for the next one */
	assert_int_equal(c.b.state, BREAKER_CLOSED);
	tick(&c, false, 0, 1);
	tick(&c, false, 0, 2);
	expect(&c, BREAKER_ANOMALY, BREAKER_CLOSED, BREAKER_OPEN);
}

static void one_bad_hour_opens_once(void **state)
{
	struct cost c = cost_new();

	(void)state;
	tick(&c, false, 0, 2);
	for (int i = 0; i < 40; i++) {
		c.now += 60;
		tick(&c, false, 0, 2); /* the hour's figures stay bad although nothing is spent */
	}
	assert_int_equal(c.b.state, BREAKER_CLOSED);
}

static void a_too_dear_call_opens(void **state)
{
	struct cost c = cost_new();

	(void)state;
	assert_int_equal(ask(&c, 5 * USD), BREAKER_ADMITTED);
	assert_int_equal(ask(&c, 5 * USD + 1), BREAKER_REFUSED_SINGLE_CALL);
	expect(&c, BREAKER_SINGLE_CALL, BREAKER_CLOSED, BREAKER_OPEN);
	assert_int_equal(c.ev.value, 5 * USD + 1);
	assert_int_equal(c.ev.threshold, 5 * USD);
	assert_int_equal(ask(&c, 1), BREAKER_REFUSED_OPEN);
	c.now += 900;
	assert_int_equal(ask(&c, 6 * USD), BREAKER_REFUSED_SINGLE_CALL); /* half-open: refused, no more */
	assert_int_equal(c.b.state, BREAKER_HALF_OPEN);
}

static void velocity_opens(void **state)
{
	struct cost c = cost_new();

	(void)state;
	c.cfg.velocity_nanousd_per_hour = 10 * USD;
	c.cfg.velocity_window_s = 900;
	breaker_cost_init(&c.b, &c.cfg);
	c.now = NOON;
	spend(&c, USD, USD);
	c.now += 300;
	spend(&c, USD, USD); /* 2 USD in 15 min: 8 an hour */
	assert_int_equal(c.b.state, BREAKER_CLOSED);
	c.now += 300;
	spend(&c, USD, USD);
	expect(&c, BREAKER_VELOCITY, BREAKER_CLOSED, BREAKER_OPEN);
	assert_int_equal(c.ev.value, 12 * USD);
	assert_int_equal(c.ev.threshold, 10 * USD);
	c.now += 900;
	tick(&c, false, 0, 0);
	c.now += 600;
	tick(&c, false, 0, 0);
	assert_int_equal(c.b.state, BREAKER_CLOSED);
	spend(&c, 2 * USD, 2 * USD); /* counts anew */
	assert_int_equal(c.b.state, BREAKER_CLOSED);
}

static void open_refuses_all_that_costs(void **state)
{
	struct cost c = cost_new();

	(void)state;
	open_it(&c);
	assert_int_equal(ask(&c, 1), BREAKER_REFUSED_OPEN);
	assert_int_equal(ask(&c, 0), BREAKER_ADMITTED);
	c.now += 899;
	assert_int_equal(ask(&c, 1), BREAKER_REFUSED_OPEN);
	c.now += 1;
	assert_int_equal(ask(&c, 1), BREAKER_ADMITTED);
	expect(&c, BREAKER_COOLED, BREAKER_OPEN, BREAKER_HALF_OPEN);
	assert_int_equal(c.ev.value, 900);
}

static void opening_does_not_touch_open_calls(void **state)
{
	struct cost c = cost_new();
	struct breaker_cost_hold early;

	(void)state;
	assert_int_equal(ask(&c, USD), BREAKER_ADMITTED);
	early = c.hold;
	half_open_it(&c);
	breaker_cost_settle(&c.b, &c.cfg, &early, USD, c.now, &c.ev);
	assert_int_equal(c.b.probe_spent, 0); /* admitted before: no part of the probe */
	assert_int_equal(c.b.state, BREAKER_HALF_OPEN);
}

static void latch_waits_for_a_person(void **state)
{
	struct cost c = cost_new();

	(void)state;
	c.cfg.latch = true;
	tick(&c, true, 20000, 0);
	assert_int_equal(c.ev.until, INT64_MAX);
	c.now += 1000 * DAY_S;
	tick(&c, false, 0, 0);
	assert_int_equal(ask(&c, 1), BREAKER_REFUSED_OPEN);
	breaker_cost_force(&c.b, &c.cfg, BREAKER_HALF_OPEN, false, c.now, &c.ev);
	expect(&c, BREAKER_MANUAL, BREAKER_OPEN, BREAKER_HALF_OPEN);
	assert_int_equal(ask(&c, 1), BREAKER_ADMITTED);
}

static void opened_by_hand(void **state)
{
	struct cost c = cost_new();

	(void)state;
	breaker_cost_force(&c.b, &c.cfg, BREAKER_OPEN, false, c.now, &c.ev);
	expect(&c, BREAKER_MANUAL, BREAKER_CLOSED, BREAKER_OPEN);
	c.now += 900;
	assert_int_equal(ask(&c, 1), BREAKER_ADMITTED); /* cooled down as any other */
	breaker_cost_force(&c.b, &c.cfg, BREAKER_OPEN, true, c.now, &c.ev);
	assert_int_equal(c.ev.until, INT64_MAX);
	c.now += DAY_S;
	assert_int_equal(ask(&c, 1), BREAKER_REFUSED_OPEN);
	breaker_cost_force(&c.b, &c.cfg, BREAKER_CLOSED, false, c.now, &c.ev);
	assert_int_equal(ask(&c, 5 * USD), BREAKER_ADMITTED);
}

static void probe_budget_limits_half_open(void **state)
{
	struct cost c = cost_new();
	struct breaker_cost_hold first;

	(void)state;
	half_open_it(&c);
	c.now += 30;
	assert_int_equal(ask(&c, 5 * USD), BREAKER_ADMITTED);
	first = c.hold;
	assert_int_equal(ask(&c, 5 * USD), BREAKER_ADMITTED);
	assert_int_equal(ask(&c, 1), BREAKER_REFUSED_PROBE_HELD); /* the holds may come back */
	settle(&c, USD);
	assert_int_equal(ask(&c, 4 * USD), BREAKER_ADMITTED);
	settle(&c, 0);
	breaker_cost_settle(&c.b, &c.cfg, &first, 5 * USD, c.now, &c.ev);
	assert_int_equal(c.b.probe_held, 0);
	assert_int_equal(c.b.probe_spent, 6 * USD);
	assert_int_equal(ask(&c, 4 * USD + 1), BREAKER_REFUSED_PROBE);
	assert_int_equal(ask(&c, 4 * USD), BREAKER_ADMITTED);
	assert_int_equal(ask(&c, 0), BREAKER_ADMITTED);
}

static void probe_budget_gone_in_a_minute_opens(void **state)
{
	struct cost c = cost_new();

	(void)state;
	half_open_it(&c);
	c.now += 30;
	spend(&c, 5 * USD, 5 * USD);
	c.now += 29;
	spend(&c, 5 * USD, 5 * USD);
	expect(&c, BREAKER_PROBE_FAST, BREAKER_HALF_OPEN, BREAKER_OPEN);
	assert_int_equal(c.ev.value, 59);
	assert_int_equal(c.ev.threshold, 60);
	assert_int_equal(c.ev.until, c.now + 900);
}

static void probe_budget_gone_slowly_closes(void **state)
{
	struct cost c = cost_new();

	(void)state;
	half_open_it(&c);
	c.now += 60;
	spend(&c, 5 * USD, 5 * USD);
	spend(&c, 5 * USD, 5 * USD);
	assert_int_equal(c.b.state, BREAKER_HALF_OPEN);
	assert_int_equal(ask(&c, 1), BREAKER_REFUSED_PROBE);
	tick(&c, false, 7200, 0); /* half of 14.4: not yet under it */
	assert_int_equal(c.b.state, BREAKER_HALF_OPEN);
	tick(&c, false, 7199, 0);
	expect(&c, BREAKER_PROBE_CALM, BREAKER_HALF_OPEN, BREAKER_CLOSED);
	assert_int_equal(ask(&c, 5 * USD), BREAKER_ADMITTED);
}

static void ten_calm_minutes_close(void **state)
{
	struct cost c = cost_new();

	(void)state;
	half_open_it(&c);
	c.now += 599;
	tick(&c, false, 0, 0);
	assert_int_equal(c.b.state, BREAKER_HALF_OPEN);
	c.now += 1;
	tick(&c, false, 7200, 0);
	assert_int_equal(c.b.state, BREAKER_HALF_OPEN);
	tick(&c, false, 7199, 0);
	expect(&c, BREAKER_PROBE_CALM, BREAKER_HALF_OPEN, BREAKER_CLOSED);
	assert_int_equal(c.ev.threshold, 7200);
}

static void burn_while_probing_opens(void **state)
{
	struct cost c = cost_new();

	(void)state;
	half_open_it(&c);
	tick(&c, true, 14399, 2);
	assert_int_equal(c.b.state, BREAKER_HALF_OPEN);
	tick(&c, false, 14400, 0);
	expect(&c, BREAKER_PROBE_BURN, BREAKER_HALF_OPEN, BREAKER_OPEN);
	assert_int_equal(c.ev.value, 14400);
}

static void restored_as_it_was(void **state)
{
	struct cost c = cost_new();

	(void)state;
	breaker_cost_restore(&c.b, &c.cfg, BREAKER_OPEN, BREAKER_BURN, false, NOON - 899);
	assert_int_equal(ask(&c, 1), BREAKER_REFUSED_OPEN);
	c.now = NOON + 1;
	assert_int_equal(ask(&c, 1), BREAKER_ADMITTED);
	breaker_cost_restore(&c.b, &c.cfg, BREAKER_OPEN, BREAKER_MANUAL, true, 0);
	assert_int_equal(ask(&c, 1), BREAKER_REFUSED_OPEN);
	breaker_cost_restore(&c.b, &c.cfg, BREAKER_HALF_OPEN, BREAKER_BURN, false, NOON);
	assert_int_equal(ask(&c, 5 * USD), BREAKER_ADMITTED);
	assert_int_equal(c.b.probe_held, 5 * USD);
	breaker_cost_restore(&c.b, &c.cfg, BREAKER_CLOSED, BREAKER_NO_CHANGE, true, NOON);
	assert_int_equal(ask(&c, 5 * USD), BREAKER_ADMITTED);
}

/* Extremes wrap nothing; causes and states have names. */
static void extremes(void **state)
{
	struct cost c = cost_new();

	(void)state;
	c.cfg.cool_down_s = INT64_MAX;
	c.cfg.velocity_nanousd_per_hour = INT64_MAX;
	spend(&c, 5 * USD, INT64_MAX);
	assert_int_equal(c.b.state, BREAKER_OPEN);
	assert_int_equal(c.ev.until, INT64_MAX);
	c.now = INT64_MIN;
	assert_int_equal(ask(&c, 1), BREAKER_REFUSED_OPEN);
	breaker_cost_force(&c.b, &c.cfg, BREAKER_HALF_OPEN, false, c.now, &c.ev);
	spend(&c, 1, INT64_MAX);
	assert_int_equal(c.b.state, BREAKER_OPEN);
	for (int i = BREAKER_NO_CHANGE; i <= BREAKER_MANUAL; i++)
		assert_string_not_equal(breaker_cause_name((enum breaker_cause)i), "unknown");
	assert_string_equal(breaker_state_name(BREAKER_HALF_OPEN), "half_open");
}

/* The sum of what the probe admits never passes the probe budget, whatever comes. */
static void probe_budget_holds_under_random_calls(void **state)
{
	struct breaker_cost_hold open[64];
	struct cost c = cost_new();
	size_t n = 0;
	uint64_t x = 42;
	uint32_t generation;
	int64_t worst[64];

	(void)state;
	half_open_it(&c);
	generation = c.b.generation;
	for (int i = 0; i < 20000; i++) {
		x = x * 6364136223846793005 + 1442695040888963407;
		if ((x >> 33) % 3 && n < 64) {
			worst[n] = (int64_t)(x >> 40) % (USD / 50) + 1;
			if (ask(&c, worst[n]) == BREAKER_ADMITTED && c.hold.generation == generation)
				open[n++] = c.hold;
		} else if (n > 0) {
			c.hold = open[--n];
			settle(&c, worst[n] / 2);
		}
		if (i % 100 == 99)
			c.now++;
		if (c.b.generation != generation)
			break;
		assert_true(c.b.probe_held + c.b.probe_spent <= c.cfg.probe_budget_nanousd);
	}
	while (n > 0) {
		c.hold = open[--n];
		settle(&c, 0);
	}
	assert_int_equal(c.b.probe_held, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(five_failures_in_a_row_open),
	    cmocka_unit_test(half_of_twenty_calls_open),
	    cmocka_unit_test(less_than_half_stays_closed),
	    cmocka_unit_test(failures_older_than_the_window_do_not_count),
	    cmocka_unit_test(limits_and_aborts_are_neither),
	    cmocka_unit_test(open_refuses_until_it_has_cooled),
	    cmocka_unit_test(cool_downs_double_to_300_s),
	    cmocka_unit_test(jitter_is_a_tenth_and_from_the_hash),
	    cmocka_unit_test(three_good_probes_close),
	    cmocka_unit_test(one_probe_at_a_time),
	    cmocka_unit_test(a_lost_probe_does_not_block_for_ever),
	    cmocka_unit_test(calls_of_an_older_state_tell_nothing),
	    cmocka_unit_test(retry_after_wins_when_longer),
	    cmocka_unit_test(by_hand),
	    cmocka_unit_test(time_that_goes_back_stands_still),
	    cmocka_unit_test(defaults_are_those_of_the_table),
	    cmocka_unit_test(fast_burn_opens_when_told_to),
	    cmocka_unit_test(anomaly_of_level_2_opens_when_told_to),
	    cmocka_unit_test(one_bad_hour_opens_once),
	    cmocka_unit_test(a_too_dear_call_opens),
	    cmocka_unit_test(velocity_opens),
	    cmocka_unit_test(open_refuses_all_that_costs),
	    cmocka_unit_test(opening_does_not_touch_open_calls),
	    cmocka_unit_test(latch_waits_for_a_person),
	    cmocka_unit_test(opened_by_hand),
	    cmocka_unit_test(probe_budget_limits_half_open),
	    cmocka_unit_test(probe_budget_gone_in_a_minute_opens),
	    cmocka_unit_test(probe_budget_gone_slowly_closes),
	    cmocka_unit_test(ten_calm_minutes_close),
	    cmocka_unit_test(burn_while_probing_opens),
	    cmocka_unit_test(restored_as_it_was),
	    cmocka_unit_test(extremes),
	    cmocka_unit_test(probe_budget_holds_under_random_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
