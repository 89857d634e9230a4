/* policy_world.h - budgets with their engine, and short ways to send calls through it. Unless a test says who calls, it
 * is ann of the team search. */
#ifndef TESTS_POLICY_WORLD_H
#define TESTS_POLICY_WORLD_H

#include "tests/unit/policy_build.h"

struct world {
	struct budget_set *set;
	struct engine *e;
	struct match m;      /* tests of the rungs: of the call that they try */
	struct decision d;   /* of the last reserve */
	struct settlement s; /* of the last settle */
};

UNUSED static struct world world_with(const struct budget *defs, size_t n, const struct engine_config *cfg)
{
	struct world w = {.set = set_of(defs, n)};

	w.e = engine_new(w.set, cfg);
	assert_non_null(w.e);
	return w;
}

UNUSED static struct world world_of(const struct budget *defs, size_t n)
{
	struct engine_config cfg = {.max_meters = 64};

	return world_with(defs, n, &cfg);
}

UNUSED static void world_done(struct world *w)
{
	engine_check(w->e);
	engine_free(w->e);
	budget_set_free(w->set);
}

UNUSED static struct match match_of(struct world *w, const char *user, const char *team)
{
	struct facts f = facts_of(user, team);
	struct match m;

	assert_int_equal(engine_match(w->e, &f, &m), BUR_OK);
	return m;
}

UNUSED static int try_reserve(struct world *w, int64_t nanousd, int64_t now_s, struct hold *h)
{
	struct match m = match_of(w, "ann", "search");
	struct amounts worst = usd(nanousd);

	return engine_reserve(w->e, &m, &worst, now_s, h, &w->d);
}

UNUSED static struct hold reserved(struct world *w, int64_t nanousd, int64_t now_s)
{
	struct hold h = {.state = HOLD_NONE};

	assert_int_equal(try_reserve(w, nanousd, now_s, &h), BUR_OK);
	assert_int_equal(h.state, HOLD_RESERVED);
	return h;
}

UNUSED static int try_sent(struct world *w, int64_t nanousd, int64_t now_s, struct hold *h)
{
	int r = try_reserve(w, nanousd, now_s, h);

	if (r == BUR_OK)
		assert_int_equal(engine_mark_sent(w->e, h), BUR_OK);
	return r;
}

UNUSED static struct hold sent(struct world *w, int64_t nanousd, int64_t now_s)
{
	struct hold h = reserved(w, nanousd, now_s);

	assert_int_equal(engine_mark_sent(w->e, &h), BUR_OK);
	return h;
}

UNUSED static void settled(struct world *w, struct hold *h, int64_t nanousd)
{
	struct amounts actual = usd(nanousd);

	assert_int_equal(engine_settle(w->e, h, &actual, &w->s), BUR_OK);
	assert_int_equal(h->state, HOLD_SETTLED);
}

UNUSED static void spend(struct world *w, int64_t nanousd, int64_t now_s)
{
	struct hold h = sent(w, nanousd, now_s);

	settled(w, &h, nanousd);
}

UNUSED static void assert_denied(struct world *w, int64_t nanousd, int64_t now_s, enum engine_verdict verdict)
{
	struct hold h = {.state = HOLD_NONE};

	assert_int_equal(try_reserve(w, nanousd, now_s, &h), BUR_DENIED);
	assert_int_equal(w->d.verdict, verdict);
	assert_int_equal(h.state, HOLD_NONE);
}

/* The i-th view; the current window of the i-th meter while none is closing. */
UNUSED static struct meter_view view_of(struct world *w, size_t i, int64_t now_s)
{
	struct meter_view views[64];
	size_t n = engine_snapshot(w->e, now_s, views, ARRAY_LEN(views));

	assert_true(i < n && n <= ARRAY_LEN(views));
	return views[i];
}

UNUSED static void assert_meter(struct world *w, size_t i, int64_t now_s, int64_t posted, int64_t held)
{
	struct meter_view v = view_of(w, i, now_s);

	assert_int_equal(v.posted, posted);
	assert_int_equal(v.held, held);
}

#endif
