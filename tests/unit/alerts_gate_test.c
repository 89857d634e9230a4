/* The gate alone: what passes when, with nothing but times. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "alerts/gate.h"
#include "base/clock.h"
#include "base/error.h"

#define S NS_PER_S
#define T0 (INT64_C(1795248000) * S) /* 2026-11-21 08:00 UTC, a Saturday */

static const struct channel_ops chat = {.type = "chat"}, page = {.type = "page", .stateful = true},
				edit = {.type = "edit", .in_place = true};
static struct channel channels[3];
static const struct alerts_config config = {.channels = channels, .n_channels = 3};
static struct gate *gate;

static int setup(void **state)
{
	const struct channel_ops *ops[] = {&chat, &page, &edit};

	(void)state;
	for (size_t i = 0; i < 3; i++)
		channels[i] = (struct channel){.name = "c",
					       .ops = ops[i],
					       .window_s = 300,
					       .per_window = 10,
					       .critical_per_window = 30,
					       .gap_s = 300,
					       .critical_gap_s = 60};
	gate = gate_new(&config);
	return gate ? 0 : 1;
}

static int teardown(void **state)
{
	(void)state;
	gate_free(gate);
	return 0;
}

static enum gate_answer ask(struct gate_ask a)
{
	int64_t until_ns;
	enum gate_answer answer = gate_ask(gate, &a, &until_ns);

	if (answer == GATE_PASS)
		assert_true(until_ns == 0 || until_ns == a.now_ns || answer == GATE_PASS);
	else if (answer != GATE_DUPLICATE)
		assert_true(until_ns > a.now_ns);
	return answer;
}

static void duplicates(void **state)
{
	uint64_t at_75 = gate_mark("budget.threshold", 0.75), at_90 = gate_mark("budget.threshold", 0.9);
	struct gate_recent told = {.channel = 0, .at_ns = T0, .severity = SEVERITY_WARNING, .mark = at_75};
	struct gate_ask a = {.op = SAY_UPDATE,
			     .severity = SEVERITY_WARNING,
			     .threshold = 0.75,
			     .mark = at_75,
			     .recent = &told,
			     .n_recent = 1,
			     .now_ns = T0 + 299 * S};

	(void)state;
	assert_true(at_75 != at_90);
	assert_true(at_75 != gate_mark("budget.exceeded", 0.75));
	assert_true(gate_mark("x", 0.1 + 0.2) == gate_mark("x", 0.3));
	assert_int_equal(ask(a), GATE_DUPLICATE);
	a.now_ns = T0 + 300 * S;
	assert_int_equal(ask(a), GATE_PASS);
	a.now_ns = T0 + S;
	a.mark = at_90; /* another threshold */
	a.threshold = 0.9;
	assert_int_equal(ask(a), GATE_PASS);
	a.threshold = 0; /* no threshold: any news of the incident counts */
	assert_int_equal(ask(a), GATE_DUPLICATE);
	a.severity = SEVERITY_ERROR; /* worse */
	assert_int_equal(ask(a), GATE_PASS);
	a.severity = SEVERITY_WARNING;
	a.channel = 1; /* another channel */
	assert_int_equal(ask(a), GATE_PASS);
	a.channel = 0;
	a.op = SAY_RESOLVE;
	assert_int_equal(ask(a), GATE_PASS);
	a.op = SAY_UPDATE;
	a.again = true;
	assert_int_equal(ask(a), GATE_PASS);
	a.again = false;
	told.severity = a.severity = SEVERITY_CRITICAL;
	a.now_ns = T0 + 59 * S;
	assert_int_equal(ask(a), GATE_DUPLICATE);
	a.now_ns = T0 + 60 * S;
	assert_int_equal(ask(a), GATE_PASS);
	told.channel = a.channel = 2; /* can be edited in place */
	a.now_ns = T0 + S;
	a.told = true;
	assert_int_equal(ask(a), GATE_DUPLICATE);
	a.editable = true;
	assert_int_equal(ask(a), GATE_PASS);
}

static void rate(void **state)
{
	struct gate_ask a = {.op = SAY_FIRE, .severity = SEVERITY_WARNING, .now_ns = T0};
	int64_t until_ns;

	(void)state;
	for (int i = 0; i < 10; i++) {
		assert_int_equal(ask(a), GATE_PASS);
		gate_count(gate, 0, a.now_ns);
		a.now_ns += S;
	}
	assert_int_equal(gate_ask(gate, &a, &until_ns), GATE_RATE);
	assert_int_equal(until_ns, T0 + 300 * S);
	a.op = SAY_RESOLVE; /* of mail and chat: as everything */
	assert_int_equal(ask(a), GATE_RATE);
	a.op = SAY_FIRE;
	a.severity = SEVERITY_CRITICAL;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(ask(a), GATE_PASS);
		gate_count(gate, 0, a.now_ns);
	}
	assert_int_equal(ask(a), GATE_RATE);
	a.op = SAY_RESOLVE; /* an end is not critical */
	assert_int_equal(ask(a), GATE_RATE);
	a.op = SAY_FIRE;
	a.now_ns = T0 + 300 * S; /* the first has left the window */
	assert_int_equal(ask(a), GATE_PASS);
	a.severity = SEVERITY_WARNING;
	assert_int_equal(ask(a), GATE_RATE);
	assert_int_equal(gate_opens_ns(gate, 0, false, a.now_ns), T0 + 310 * S);
	a.now_ns = T0 + 310 * S;
	assert_int_equal(ask(a), GATE_PASS);
	a.channel = 1;
	a.now_ns = T0;
	assert_int_equal(ask(a), GATE_PASS);
}

/* In whatever order the store tells what was queued. */
static void counted_backwards(void **state)
{
	struct gate_ask a = {.op = SAY_FIRE, .severity = SEVERITY_WARNING, .now_ns = T0};

	(void)state;
	for (int i = 0; i < 100; i++)
		gate_count(gate, 0, T0 - i * S);
	assert_int_equal(ask(a), GATE_RATE);
	assert_int_equal(gate_opens_ns(gate, 0, false, T0), T0 + 291 * S);
	a.now_ns = T0 + 291 * S;
	assert_int_equal(ask(a), GATE_PASS);
}

static void stateful(void **state)
{
	struct gate_ask a = {.channel = 1, .op = SAY_UPDATE, .severity = SEVERITY_WARNING, .told = true, .now_ns = T0};

	(void)state;
	for (int i = 0; i < 10; i++)
		gate_count(gate, 1, T0);
	assert_int_equal(ask(a), GATE_PASS);
	assert_false(gate_counts(gate, &a));
	a.told = false;
	assert_int_equal(ask(a), GATE_RATE);
	assert_true(gate_counts(gate, &a));
	a.told = true;
	a.muted_ns = T0 + S;
	assert_int_equal(ask(a), GATE_MUTED);
	a.op = SAY_RESOLVE; /* what is known there is closed, whatever goes on */
	a.waiting = 5000;
	assert_int_equal(ask(a), GATE_PASS);
}

static void order(void **state)
{
	struct gate_ask a = {.op = SAY_FIRE, .severity = SEVERITY_WARNING, .now_ns = T0, .muted_ns = T0 + S};
	struct tz *utc;

	(void)state;
	assert_int_equal(tz_load("UTC", &utc), BUR_OK);
	channels[0].quiet = (struct quiet_hours){.on = true, .zone = utc, .from_min = 0, .to_min = 1440, .days = 127};
	a.waiting = 1000;
	for (int i = 0; i < 10; i++)
		gate_count(gate, 0, T0);
	assert_int_equal(ask(a), GATE_MUTED);
	a.muted_ns = T0;
	assert_int_equal(ask(a), GATE_QUIET);
	a.severity = SEVERITY_CRITICAL;
	assert_int_equal(ask(a), GATE_QUEUE);
	channels[0].quiet.on = false;
	a.severity = SEVERITY_WARNING;
	assert_int_equal(ask(a), GATE_RATE);
	a.waiting = 999;
	a.severity = SEVERITY_CRITICAL;
	assert_int_equal(ask(a), GATE_PASS);
	assert_string_equal(gate_answer_name(GATE_QUIET), "quiet");
	tz_free(utc);
}

/* --- quiet hours -------------------------------------------------------------------------------------------------- */

static int64_t at(const char *text)
{
	int64_t ns = 0;

	assert_int_equal(time_parse(slice_of(text), &ns), BUR_OK);
	return ns;
}

static void check_quiet(const struct quiet_hours *q, const char *now, const char *until)
{
	assert_int_equal(quiet_until_ns(q, at(now)), until ? at(until) : 0);
}

static void quiet(void **state)
{
	struct quiet_hours q = {.on = true, .from_min = 22 * 60, .to_min = 7 * 60, .days = 127};
	struct tz *berlin, *lord_howe;

	(void)state;
	assert_int_equal(tz_load("Europe/Berlin", &berlin), BUR_OK);
	assert_int_equal(tz_load("Australia/Lord_Howe", &lord_howe), BUR_OK);
	q.zone = berlin;
	check_quiet(&q, "2026-01-10T22:00:00+01:00", "2026-01-11T07:00:00+01:00");
	check_quiet(&q, "2026-01-10T21:59:59+01:00", NULL);
	check_quiet(&q, "2026-01-11T06:59:59+01:00", "2026-01-11T07:00:00+01:00");
	check_quiet(&q, "2026-01-11T07:00:00+01:00", NULL);
	/* the clock goes forward and back in the night: 07:00 stays 07:00 */
	check_quiet(&q, "2026-03-28T23:00:00+01:00", "2026-03-29T07:00:00+02:00");
	check_quiet(&q, "2026-03-29T06:30:00+02:00", "2026-03-29T07:00:00+02:00");
	check_quiet(&q, "2026-10-24T23:00:00+02:00", "2026-10-25T07:00:00+01:00");
	check_quiet(&q, "2026-10-25T06:59:00+01:00", "2026-10-25T07:00:00+01:00");
	/* an hour that comes twice ends the first time; one that does not come, as much later */
	q.from_min = 60;
	q.to_min = 150;
	check_quiet(&q, "2026-10-25T01:30:00+02:00", "2026-10-25T02:30:00+02:00");
	check_quiet(&q, "2026-10-25T02:10:00+01:00", NULL);
	check_quiet(&q, "2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00");
	/* only nights that begin on a Friday or Saturday */
	q.from_min = 22 * 60;
	q.to_min = 7 * 60;
	q.days = 1U << 4 | 1U << 5;
	check_quiet(&q, "2026-11-20T23:00:00+01:00", "2026-11-21T07:00:00+01:00");
	check_quiet(&q, "2026-11-22T06:00:00+01:00", "2026-11-22T07:00:00+01:00");
	check_quiet(&q, "2026-11-22T23:00:00+01:00", NULL);
	check_quiet(&q, "2026-11-20T06:00:00+01:00", NULL);
	/* half an hour of summer time */
	q.zone = lord_howe;
	q.days = 127;
	check_quiet(&q, "2026-10-04T01:00:00+10:30", "2026-10-04T07:00:00+11:00");
	q.on = false;
	check_quiet(&q, "2026-10-04T01:00:00+10:30", NULL);
	tz_free(berlin);
	tz_free(lord_howe);
}

/* Every minute of a year, in a zone with two changes: quiet exactly when the wall clock says so. */
static void quiet_by_the_wall_clock(void **state)
{
	struct quiet_hours q = {.on = true, .from_min = 20 * 60 + 15, .to_min = 6 * 60 + 45, .days = 127};
	int64_t begin = at("2026-01-01T00:00:00Z") / S;
	struct tz *tz;

	(void)state;
	assert_int_equal(tz_load("America/New_York", &tz), BUR_OK);
	q.zone = tz;
	for (int64_t t = begin; t < begin + 366 * 86400; t += 60) {
		struct civil c;
		int64_t until = quiet_until_ns(&q, t * S) / S;
		int minute;
		bool expected;

		civil_from_unix(tz, t, &c);
		minute = c.hour * 60 + c.minute;
		expected = minute >= q.from_min || minute < q.to_min;
		assert_int_equal(until != 0, expected);
		if (!expected)
			continue;
		assert_true(until > t && until <= t + 12 * 3600);
		civil_from_unix(tz, until, &c);
		assert_int_equal(c.hour * 60 + c.minute, q.to_min);
	}
	tz_free(tz);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(duplicates), TEST(rate),  TEST(counted_backwards),       TEST(stateful),
	    TEST(order),      TEST(quiet), TEST(quiet_by_the_wall_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
