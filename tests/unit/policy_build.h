/* policy_build.h - short ways to write budgets, calls and amounts in the tests of policy. */
#ifndef TESTS_POLICY_BUILD_H
#define TESTS_POLICY_BUILD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "policy/engine.h"

#define HOUR_S INT64_C(3600)
#define DAY_S INT64_C(86400)
#define NOON INT64_C(1763726400) /* 2025-11-21T12:00:00Z */

UNUSED static const struct tz *utc(void)
{
	static struct tz *tz;

	if (!tz)
		assert_int_equal(tz_load("UTC", &tz), BUR_OK);
	return tz;
}

/* A hard budget in USD over a UTC day that matches everything; the test changes what it is about. */
UNUSED static struct budget budget_of(const char *name, int64_t limit)
{
	return (struct budget){
	    .name = name,
	    .window = {.kind = WINDOW_DAY, .month_anchor = 1, .tz = utc()},
	    .window_name = "day",
	    .unit = UNIT_USD,
	    .limit = limit,
	    .mode = MODE_HARD,
	};
}

UNUSED static struct budget soft_of(const char *name, int64_t limit)
{
	struct budget b = budget_of(name, limit);

	b.mode = MODE_SOFT;
	return b;
}

UNUSED static void budget_select(struct budget *b, enum fact fact, const char *value)
{
	b->match[b->n_match++] = (struct selector){.fact = fact, .value = value};
}

UNUSED static void budget_per(struct budget *b, enum fact fact)
{
	b->per[b->n_per++] = (struct per){.fact = fact};
}

/* The kind's own figures are sane ones. */
UNUSED static void budget_step(struct budget *b, int64_t percent, enum step_action action)
{
	static const struct degrade map[] = {{"gpt-big*", "gpt-small"}, {"opus", "haiku"}};
	struct budget_step *s = &b->steps[b->n_steps++];

	*s = (struct budget_step){.at_ppm = percent * 10000, .action = action};
	s->max_delay_ns = INT64_C(5000000000);
	s->pace.factor_milli = 3000;
	s->pace.burst_ns = INT64_C(600000000000);
	s->pace.max_wait_ns = INT64_C(10000000000);
	s->min_out = STEP_MIN_OUT;
	s->map = map;
	s->n_map = ARRAY_LEN(map);
}

UNUSED static struct budget_set *set_of(const struct budget *defs, size_t n)
{
	struct budget_set *set = NULL;
	char err[256] = "";
	int r = budget_set_new(defs, n, &set, err, sizeof(err));

	if (r < 0)
		fail_msg("budget_set_new: %s", err);
	return set;
}

UNUSED static struct facts facts_of(const char *user, const char *team)
{
	struct facts f = {.n_tags = 0};

	f.v[FACT_USER] = slice_of(user);
	f.v[FACT_TEAM] = slice_of(team);
	return f;
}

UNUSED static struct facts facts_model(const char *user, const char *model)
{
	struct facts f = facts_of(user, "");

	f.v[FACT_MODEL] = slice_of(model);
	return f;
}

UNUSED static struct amounts usd(int64_t nanousd)
{
	return (struct amounts){.nanousd = nanousd};
}

#endif
