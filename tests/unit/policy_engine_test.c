/* The engine's rules and invariants, one test each; the names begin with the rule of the budget specification. */
#include "policy/engine_internal.h" /* for the table of counters */

#include "tests/unit/policy_build.h"

struct world {
	struct budget_set *set;
	struct engine *e;
	struct decision d;
	struct settlement s;
};

static struct world world_of(const struct budget *defs, size_t n)
{
	struct engine_config cfg = {.max_meters = 64};
	struct world w = {.set = set_of(defs, n)};

	w.e = engine_new(w.set, &cfg);
	assert_non_null(w.e);
	return w;
}

static void world_done(struct world *w)
{
	engine_check(w->e);
	engine_free(w->e);
	budget_set_free(w->set);
}

static struct match match_of(struct world *w, const char *user, const char *team)
{
	struct facts f = facts_of(user, team);
	struct match m;

	assert_int_equal(engine_match(w->e, &f, &m), BUR_OK);
	return m;
}

static int try_reserve(struct world *w, int64_t nanousd, int64_t now_s, struct hold *h)
{
	struct match m = match_of(w, "ann", "search");
	struct amounts worst = usd(nanousd);

	return engine_reserve(w->e, &m, &worst, now_s, h, &w->d);
}

static struct hold reserved(struct world *w, int64_t nanousd, int64_t now_s)
{
	struct hold h = {.state = HOLD_NONE};

	assert_int_equal(try_reserve(w, nanousd, now_s, &h), BUR_OK);
	assert_int_equal(h.state, HOLD_RESERVED);
	return h;
}

static struct hold sent(struct world *w, int64_t nanousd, int64_t now_s)
{
	struct hold h = reserved(w, nanousd, now_s);

	assert_int_equal(engine_mark_sent(w->e, &h), BUR_OK);
	return h;
}

static void settled(struct world *w, struct hold *h, int64_t nanousd)
{
	struct amounts actual = usd(nanousd);

	assert_int_equal(engine_settle(w->e, h, &actual, &w->s), BUR_OK);
	assert_int_equal(h->state, HOLD_SETTLED);
}

static void spend(struct world *w, int64_t nanousd, int64_t now_s)
{
	struct hold h = sent(w, nanousd, now_s);

	settled(w, &h, nanousd);
}

static void assert_denied(struct world *w, int64_t nanousd, int64_t now_s, enum verdict verdict)
{
	struct hold h = {.state = HOLD_NONE};

	assert_int_equal(try_reserve(w, nanousd, now_s, &h), BUR_DENIED);
	assert_int_equal(w->d.verdict, verdict);
	assert_int_equal(h.state, HOLD_NONE);
}

/* The i-th view; the current window of the i-th meter while none is closing. */
static struct meter_view view_of(struct world *w, size_t i, int64_t now_s)
{
	struct meter_view views[64];
	size_t n = engine_snapshot(w->e, now_s, views, ARRAY_LEN(views));

	assert_true(i < n && n <= ARRAY_LEN(views));
	return views[i];
}

static void assert_meter(struct world *w, size_t i, int64_t now_s, int64_t posted, int64_t held)
{
	struct meter_view v = view_of(w, i, now_s);

	assert_int_equal(v.posted, posted);
	assert_int_equal(v.held, held);
}

/* --- R4, I1, I4: admission ---------------------------------------------------------------------------------------- */

static void i1_the_limit_is_exact(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	struct hold one, two;

	(void)state;
	one = reserved(&w, 60, NOON);
	two = reserved(&w, 40, NOON);
	assert_denied(&w, 1, NOON, VERDICT_HELD);
	assert_int_equal(engine_void(w.e, &two), BUR_OK);
	assert_denied(&w, 41, NOON, VERDICT_HELD);
	two = reserved(&w, 40, NOON);
	assert_true(one.id != two.id && one.id != 0);
	world_done(&w);
}

static void i1_the_largest_limit_does_not_wrap(void **state)
{
	struct budget b = budget_of("b", INT64_MAX);
	struct world w = world_of(&b, 1);
	struct hold h;

	(void)state;
	h = reserved(&w, INT64_MAX, NOON);
	assert_denied(&w, INT64_MAX, NOON, VERDICT_HELD);
	assert_int_equal(engine_void(w.e, &h), BUR_OK);
	spend(&w, INT64_MAX, NOON);
	assert_denied(&w, 1, NOON, VERDICT_SPENT);
	world_done(&w);
}

static void i4_all_budgets_or_none(void **state)
{
	struct budget defs[3] = {budget_of("wide", 100), budget_of("narrow", 10), budget_of("other", 10)};
	struct world w = world_of(defs, 3);

	(void)state;
	(void)reserved(&w, 10, NOON);
	assert_denied(&w, 1, NOON, VERDICT_HELD);
	assert_meter(&w, 0, NOON, 0, 10);
	assert_meter(&w, 1, NOON, 0, 10);
	assert_meter(&w, 2, NOON, 0, 10);
	/* All that block are told, not only the first. */
	assert_int_equal(w.d.n_blocked, 2);
	assert_string_equal(w.d.blocked[0].budget->name, "narrow");
	assert_string_equal(w.d.blocked[1].budget->name, "other");
	assert_int_equal(w.d.blocked[0].limit, 10);
	assert_int_equal(w.d.blocked[0].held, 10);
	assert_int_equal(w.d.blocked[0].posted, 0);
	assert_int_equal(w.d.blocked[0].need, 1);
	assert_int_equal(w.d.blocked[0].win_end, NOON + DAY_S / 2);
	world_done(&w);
}

static void verdict_tells_spent_from_held(void **state)
{
	struct budget defs[2] = {budget_of("a", 100), budget_of("b", 50)};
	struct world w = world_of(defs, 2);
	struct hold h;

	(void)state;
	spend(&w, 30, NOON);
	h = reserved(&w, 20, NOON);
	assert_denied(&w, 20, NOON, VERDICT_HELD); /* fits once the hold is gone: 429 */
	assert_true(w.d.blocked[0].only_held);
	assert_denied(&w, 21, NOON, VERDICT_SPENT); /* never fits: 402 */
	assert_false(w.d.blocked[0].only_held);
	assert_int_equal(w.d.n_blocked, 1);
	assert_denied(&w, 60, NOON, VERDICT_SPENT); /* one only held, one spent: 402 */
	assert_int_equal(w.d.n_blocked, 2);
	assert_true(w.d.blocked[0].only_held);
	assert_int_equal(engine_void(w.e, &h), BUR_OK);
	world_done(&w);
}

static void zero_need_passes_an_exhausted_budget(void **state)
{
	struct budget defs[2] = {budget_of("money", 10), budget_of("tokens", 10)};
	struct amounts tokens = {.tokens = 5};
	struct world w;
	struct match m;
	struct hold h;

	(void)state;
	defs[1].unit = UNIT_TOKENS;
	w = world_of(defs, 2);
	spend(&w, 10, NOON);
	assert_denied(&w, 1, NOON, VERDICT_SPENT);
	h = sent(&w, 0, NOON);
	settled(&w, &h, 0);
	m = match_of(&w, NULL, NULL);
	assert_int_equal(engine_reserve(w.e, &m, &tokens, NOON, &h, &w.d), BUR_OK);
	assert_int_equal(engine_reserve(w.e, &m, &tokens, NOON, &h, &w.d), BUR_OK);
	assert_int_equal(engine_reserve(w.e, &m, &tokens, NOON, &h, &w.d), BUR_DENIED);
	assert_string_equal(w.d.blocked[0].budget->name, "tokens");
	world_done(&w);
}

static void r2_4_each_budget_counts_its_own_unit(void **state)
{
	struct budget defs[3] = {budget_of("usd", 1000), budget_of("tokens", 1000), budget_of("requests", 2)};
	struct amounts worst = {.nanousd = 7, .tokens = 50, .requests = 1}, actual = {5, 40, 1};
	struct world w;
	struct match m;
	struct hold h;

	(void)state;
	defs[1].unit = UNIT_TOKENS;
	defs[2].unit = UNIT_REQUESTS;
	w = world_of(defs, 3);
	m = match_of(&w, NULL, NULL);
	assert_true(m.any_money && m.any_hard);
	assert_int_equal(engine_reserve(w.e, &m, &worst, NOON, &h, &w.d), BUR_OK);
	assert_meter(&w, 0, NOON, 0, 7);
	assert_meter(&w, 1, NOON, 0, 50);
	assert_meter(&w, 2, NOON, 0, 1);
	assert_int_equal(engine_mark_sent(w.e, &h), BUR_OK);
	assert_int_equal(engine_settle(w.e, &h, &actual, &w.s), BUR_OK);
	assert_meter(&w, 0, NOON, 5, 0);
	assert_meter(&w, 1, NOON, 40, 0);
	assert_meter(&w, 2, NOON, 1, 0);
	world_done(&w);
}

static void r2_3_odd_amounts_are_refused(void **state)
{
	struct budget defs[2] = {soft_of("soft", 100), budget_of("hard", INT64_MAX)};
	const struct amounts bad[] = {{-1, 0, 0}, {0, -1, 0}, {0, 0, -1}, {INT64_MIN, 0, 0}};
	struct world w = world_of(defs, 1);
	struct match m = match_of(&w, NULL, NULL);
	struct amounts most = usd(INT64_MAX), one = usd(1);
	struct hold h, full;

	(void)state;
	full = reserved(&w, 5, NOON);
	assert_int_equal(engine_mark_sent(w.e, &full), BUR_OK);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(engine_reserve(w.e, &m, &bad[i], NOON, &h, &w.d), BUR_OVERFLOW);
		assert_int_equal(engine_extend(w.e, &full, &bad[i], NOON, &w.d), BUR_OVERFLOW);
		assert_int_equal(engine_shrink(w.e, &full, &bad[i]), BUR_INVALID);
		assert_int_equal(engine_settle(w.e, &full, &bad[i], &w.s), BUR_OVERFLOW);
	}
	/* A soft budget never blocks, but its counter never wraps either. */
	assert_int_equal(engine_reserve(w.e, &m, &most, NOON, &h, &w.d), BUR_OVERFLOW);
	assert_int_equal(engine_extend(w.e, &full, &most, NOON, &w.d), BUR_OVERFLOW);
	assert_meter(&w, 0, NOON, 0, 5);
	/* Nor in settling, where the other holds count too. */
	h = reserved(&w, 10, NOON);
	assert_int_equal(engine_settle(w.e, &full, &most, &w.s), BUR_OVERFLOW);
	assert_int_equal(engine_void(w.e, &h), BUR_OK);
	settled(&w, &full, INT64_MAX);
	full = sent(&w, 0, NOON);
	assert_int_equal(engine_settle(w.e, &full, &one, &w.s), BUR_OVERFLOW);
	assert_int_equal(full.state, HOLD_SENT);
	settled(&w, &full, 0);
	world_done(&w);
}

static void no_budget_at_all_holds_nothing(void **state)
{
	struct world w = world_of(NULL, 0);
	struct hold h;

	(void)state;
	h = sent(&w, 1000, NOON);
	assert_int_equal(h.n, 0);
	assert_null(w.d.tightest);
	assert_int_equal(engine_open_holds(w.e), 1);
	settled(&w, &h, 5000);
	assert_int_equal(engine_open_holds(w.e), 0);
	assert_int_equal(w.s.overrun.nanousd, 4000);
	world_done(&w);
}

static void soft_budgets_never_block(void **state)
{
	struct budget b = soft_of("b", 100);
	struct world w = world_of(&b, 1);

	(void)state;
	(void)reserved(&w, 100, NOON);
	assert_false(w.d.over_budget);
	(void)reserved(&w, 1, NOON);
	assert_true(w.d.over_budget);
	assert_int_equal(w.d.n_blocked, 0);
	assert_int_equal(w.d.tightest_left_nanousd, -1);
	world_done(&w);
}

static void tightest_is_the_one_with_least_left(void **state)
{
	struct budget defs[4] = {budget_of("a", 1000), soft_of("b", 400), budget_of("c", 500), budget_of("t", 1)};
	struct world w;

	(void)state;
	defs[3].unit = UNIT_TOKENS;
	w = world_of(defs, 4);
	(void)reserved(&w, 100, NOON);
	assert_string_equal(w.d.tightest->name, "b");
	assert_int_equal(w.d.tightest_left_nanousd, 300);
	assert_denied(&w, 700, NOON, VERDICT_SPENT);
	assert_string_equal(w.d.tightest->name, "b"); /* refused: what is left without it */
	assert_int_equal(w.d.tightest_left_nanousd, 300);
	world_done(&w);
}

static void tightest_of_equals_is_the_first(void **state)
{
	struct budget defs[3] = {budget_of("a", 1000), budget_of("b", 400), budget_of("c", 400)};
	struct world w = world_of(defs, 3);

	(void)state;
	(void)reserved(&w, 100, NOON);
	assert_string_equal(w.d.tightest->name, "b");
	world_done(&w);
}

static void i14_same_history_same_decisions(void **state)
{
	struct budget defs[3] = {budget_of("a", 1000), soft_of("b", 400), budget_of("c", 900)};
	struct world w[2] = {world_of(defs, 3), world_of(defs, 3)};
	struct hold h[2];

	(void)state;
	for (int i = 0; i < 50; i++) {
		int r0 = try_reserve(&w[0], i * 7 % 90, NOON + i * 1000, &h[0]);
		int r1 = try_reserve(&w[1], i * 7 % 90, NOON + i * 1000, &h[1]);

		assert_int_equal(r0, r1);
		assert_int_equal(w[0].d.verdict, w[1].d.verdict);
		assert_int_equal(w[0].d.n_blocked, w[1].d.n_blocked);
		assert_int_equal(w[0].d.n_events, w[1].d.n_events);
		assert_int_equal(w[0].d.over_budget, w[1].d.over_budget);
		assert_int_equal(w[0].d.tightest_left_nanousd, w[1].d.tightest_left_nanousd);
		assert_string_equal(w[0].d.tightest->name, w[1].d.tightest->name);
	}
	world_done(&w[0]);
	world_done(&w[1]);
}

/* --- R4.2, I5, I8, I17: the life of a hold ------------------------------------------------------------------------ */

static void i5_each_hold_ends_once(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	struct amounts ten = usd(10);
	struct hold h = reserved(&w, 20, NOON);

	(void)state;
	assert_int_equal(engine_extend(w.e, &h, &ten, NOON, &w.d), BUR_ALREADY);
	assert_int_equal(engine_settle(w.e, &h, &ten, &w.s), BUR_INVALID); /* nothing was sent */
	assert_int_equal(engine_mark_sent(w.e, &h), BUR_OK);
	assert_int_equal(engine_mark_sent(w.e, &h), BUR_ALREADY);
	settled(&w, &h, 10);
	assert_int_equal(engine_settle(w.e, &h, &ten, &w.s), BUR_ALREADY);
	assert_int_equal(engine_void(w.e, &h), BUR_ALREADY);
	assert_int_equal(engine_extend(w.e, &h, &ten, NOON, &w.d), BUR_ALREADY);
	assert_int_equal(engine_shrink(w.e, &h, &ten), BUR_ALREADY);
	assert_int_equal(engine_mark_sent(w.e, &h), BUR_ALREADY);
	assert_int_equal(h.state, HOLD_SETTLED);
	assert_meter(&w, 0, NOON, 10, 0);
	world_done(&w);
}

static void i5_a_void_hold_stays_void(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	struct amounts ten = usd(10);
	struct hold h = reserved(&w, 20, NOON);

	(void)state;
	assert_int_equal(engine_void(w.e, &h), BUR_OK);
	assert_int_equal(engine_void(w.e, &h), BUR_ALREADY);
	assert_int_equal(engine_settle(w.e, &h, &ten, &w.s), BUR_ALREADY);
	assert_int_equal(engine_mark_sent(w.e, &h), BUR_ALREADY);
	assert_int_equal(h.state, HOLD_VOIDED);
	assert_meter(&w, 0, NOON, 0, 0);
	world_done(&w);
}

static void i8_void_leaves_everything_as_before(void **state)
{
	struct budget defs[2] = {budget_of("a", 100), soft_of("b", 100)};
	struct world w = world_of(defs, 2);
	struct meter_view before[2], after[2];
	struct hold h;

	(void)state;
	spend(&w, 10, NOON);
	for (int i = 0; i < 2; i++)
		before[i] = view_of(&w, (size_t)i, NOON);
	h = reserved(&w, 20, NOON);
	assert_int_equal(engine_void(w.e, &h), BUR_OK);
	h = sent(&w, 30, NOON); /* it did not reach the vendor */
	assert_int_equal(engine_void(w.e, &h), BUR_OK);
	for (int i = 0; i < 2; i++) {
		after[i] = view_of(&w, (size_t)i, NOON);
		assert_int_equal(after[i].posted, before[i].posted);
		assert_int_equal(after[i].held, before[i].held);
		assert_int_equal(after[i].win_start, before[i].win_start);
	}
	world_done(&w);
}

static void i17_nothing_is_held_at_idle(void **state)
{
	struct budget defs[2] = {budget_of("a", 100000), budget_of("per", 100000)};
	struct world w;
	struct hold h[30];

	(void)state;
	budget_per(&defs[1], FACT_USER);
	w = world_of(defs, 2);
	for (int i = 0; i < 30; i++)
		h[i] = sent(&w, i * 10, NOON + i * HOUR_S);
	assert_int_equal(engine_open_holds(w.e), 30);
	for (int i = 0; i < 30; i++) {
		if (i % 3 == 0)
			assert_int_equal(engine_void(w.e, &h[i]), BUR_OK);
		else
			settled(&w, &h[i], i * 5);
		engine_check(w.e);
	}
	assert_int_equal(engine_open_holds(w.e), 0);
	assert_int_equal(engine_snapshot(w.e, NOON + 40 * HOUR_S, NULL, 0), 2);
	assert_meter(&w, 0, NOON, 0, 0);
	world_done(&w);
}

static void extend_is_all_or_nothing(void **state)
{
	struct budget defs[2] = {budget_of("a", 100), budget_of("b", 50)};
	struct world w = world_of(defs, 2);
	struct amounts ten = usd(10), eleven = usd(11), most = usd(INT64_MAX);
	struct hold h;

	(void)state;
	h = sent(&w, 30, NOON);
	(void)reserved(&w, 10, NOON);
	assert_int_equal(engine_extend(w.e, &h, &eleven, NOON, &w.d), BUR_DENIED);
	assert_int_equal(w.d.n_blocked, 1);
	assert_true(w.d.blocked[0].only_held); /* only the other call's 10 are in the way */
	assert_int_equal(w.d.verdict, VERDICT_HELD);
	assert_int_equal(h.worst.nanousd, 30);
	assert_meter(&w, 0, NOON, 0, 40);
	assert_int_equal(engine_extend(w.e, &h, &ten, NOON, &w.d), BUR_OK);
	assert_int_equal(h.worst.nanousd, 40);
	assert_meter(&w, 0, NOON, 0, 50);
	assert_meter(&w, 1, NOON, 0, 50);
	assert_int_equal(engine_extend(w.e, &h, &eleven, NOON, &w.d), BUR_DENIED);
	assert_false(w.d.blocked[0].only_held); /* what the call itself holds stays its own */
	assert_int_equal(w.d.verdict, VERDICT_SPENT);
	assert_int_equal(engine_extend(w.e, &h, &most, NOON, &w.d), BUR_OVERFLOW);
	settled(&w, &h, 40);
	world_done(&w);
}

static void shrink_frees_at_once(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	struct amounts forty = usd(40), more = usd(61), tokens = {.tokens = 1}, requests = {.requests = 1};
	struct hold h = reserved(&w, 100, NOON);

	(void)state;
	assert_denied(&w, 40, NOON, VERDICT_HELD);
	assert_int_equal(engine_shrink(w.e, &h, &forty), BUR_OK);
	assert_int_equal(engine_shrink(w.e, &h, &more), BUR_INVALID);
	assert_int_equal(engine_shrink(w.e, &h, &tokens), BUR_INVALID);
	assert_int_equal(engine_shrink(w.e, &h, &requests), BUR_INVALID);
	assert_int_equal(h.worst.nanousd, 60);
	(void)reserved(&w, 40, NOON);
	assert_int_equal(engine_mark_sent(w.e, &h), BUR_OK);
	assert_int_equal(engine_shrink(w.e, &h, &forty), BUR_OK);
	assert_meter(&w, 0, NOON, 0, 60);
	settled(&w, &h, 20);
	assert_int_equal(w.s.overrun.nanousd, 0);
	world_done(&w);
}

/* --- R5: settling ------------------------------------------------------------------------------------------------- */

static void r5_4_a_usage_of_zero_is_zero(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	struct hold h = sent(&w, 50, NOON);

	(void)state;
	settled(&w, &h, 0);
	assert_meter(&w, 0, NOON, 0, 0);
	(void)reserved(&w, 100, NOON);
	world_done(&w);
}

static void r5_6_overrun_posts_the_whole_bill(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	struct amounts actual = {.nanousd = 130, .tokens = 7};
	struct hold h = sent(&w, 50, NOON);

	(void)state;
	assert_int_equal(engine_settle(w.e, &h, &actual, &w.s), BUR_OK);
	assert_int_equal(w.s.overrun.nanousd, 80);
	assert_int_equal(w.s.overrun.tokens, 7);
	assert_int_equal(w.s.overrun.requests, 0);
	assert_int_equal(w.s.n_events, 3); /* 75, 90 and 100 % were crossed by the bill */
	assert_meter(&w, 0, NOON, 130, 0);
	assert_denied(&w, 1, NOON, VERDICT_SPENT); /* nothing that needs money while it is negative */
	assert_int_equal(w.d.tightest_left_nanousd, -30);
	(void)reserved(&w, 0, NOON);
	world_done(&w);
}

static void i9_parts_add_up_to_the_whole(void **state)
{
	struct budget defs[2] = {soft_of("all", 1000000), soft_of("team", 1000)};
	static const char *const teams[] = {"a", "b", "c", ""};
	struct meter_view v[8];
	int64_t sum = 0;
	struct world w;

	(void)state;
	budget_per(&defs[1], FACT_TEAM);
	w = world_of(defs, 2);
	for (int i = 0; i < 40; i++) {
		struct match m = match_of(&w, "u", teams[i % 4]);
		struct amounts worst = usd(i * 3);
		struct hold h;

		assert_int_equal(engine_reserve(w.e, &m, &worst, NOON, &h, &w.d), BUR_OK);
		assert_int_equal(engine_mark_sent(w.e, &h), BUR_OK);
		settled(&w, &h, i * 2);
	}
	assert_int_equal(engine_snapshot(w.e, NOON, v, ARRAY_LEN(v)), 5);
	for (int i = 1; i < 5; i++)
		sum += v[i].posted;
	assert_int_equal(v[0].posted, sum);
	assert_int_equal(sum, 40 * 39);
	world_done(&w);
}

/* R5.9, I15: a limit changes with a new set, into which the counters are restored. */
static void i15_a_lower_limit_changes_no_counter(void **state)
{
	struct budget high = budget_of("b", 100), low = budget_of("b", 60);
	struct world w = world_of(&high, 1), next;
	struct meter_view v;

	(void)state;
	spend(&w, 80, NOON);
	v = view_of(&w, 0, NOON);
	next = world_of(&low, 1);
	assert_int_equal(engine_restore(next.e, SLICE("b"), SLICE_NONE, v.win_start, v.win_end, v.posted, v.credit,
					v.warned_mask, NOON),
			 BUR_OK);
	assert_meter(&next, 0, NOON, 80, 0);
	assert_denied(&next, 1, NOON, VERDICT_SPENT);
	assert_int_equal(next.d.tightest_left_nanousd, -20);
	world_done(&w);
	world_done(&next);
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

static void a_block_step_blocks_at_its_share(void **state)
{
	struct budget b = budget_of("b", 1001);
	struct world w;

	(void)state;
	budget_step(&b, 95, STEP_BLOCK); /* 950.95: rounded down */
	w = world_of(&b, 1);
	assert_denied(&w, 951, NOON, VERDICT_SPENT);
	assert_int_equal(w.d.blocked[0].limit, 950);
	(void)reserved(&w, 950, NOON);
	assert_int_equal(w.d.tightest_left_nanousd, 0);
	assert_denied(&w, 1, NOON, VERDICT_HELD);
	world_done(&w);
}

static void the_limit_holds_whatever_the_steps_say(void **state)
{
	struct budget defs[2] = {budget_of("only alerts", 100), budget_of("blocks late", 100)};
	struct world w;

	(void)state;
	budget_step(&defs[0], 50, STEP_ALERT);
	budget_step(&defs[1], 200, STEP_BLOCK);
	w = world_of(defs, 2);
	assert_denied(&w, 101, NOON, VERDICT_SPENT);
	assert_int_equal(w.d.n_blocked, 2);
	assert_int_equal(w.d.n_events, 1); /* no block step, no event */
	assert_int_equal(w.d.events[0].action, STEP_BLOCK);
	assert_string_equal(w.d.events[0].budget->name, "blocks late");
	world_done(&w);
}

static void i10_one_event_per_step_and_window(void **state)
{
	struct budget b = soft_of("b", 100);
	struct world w;

	(void)state;
	budget_step(&b, 50, STEP_ALERT);
	budget_step(&b, 100, STEP_ALERT);
	w = world_of(&b, 1);
	spend(&w, 49, NOON);
	assert_int_equal(w.d.n_events, 0);
	(void)reserved(&w, 1, NOON); /* u = exactly 50 % */
	assert_int_equal(w.d.n_events, 1);
	assert_int_equal(w.d.events[0].at_ppm, 500000);
	assert_int_equal(w.d.events[0].posted, 49);
	assert_int_equal(w.d.events[0].held, 0);
	assert_int_equal(w.d.events[0].need, 1);
	assert_int_equal(w.d.events[0].limit, 100);
	assert_int_equal(w.d.events[0].warned_mask, 1);
	assert_int_equal(w.d.events[0].win_end, NOON + DAY_S / 2);
	(void)reserved(&w, 1, NOON);
	assert_int_equal(w.d.n_events, 0);
	(void)reserved(&w, 200, NOON);
	assert_int_equal(w.d.n_events, 1);
	assert_int_equal(w.d.events[0].warned_mask, 3);
	(void)reserved(&w, 200, NOON);
	assert_int_equal(w.d.n_events, 0);
	(void)reserved(&w, 200, NOON + DAY_S); /* a new window tells again */
	assert_int_equal(w.d.n_events, 2);
	world_done(&w);
}

static void i10_a_refused_call_counts_only_what_is_there(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);

	(void)state;
	assert_denied(&w, 101, NOON, VERDICT_SPENT);
	assert_int_equal(w.d.n_events, 1); /* the refusal itself; the budget is empty, so no alert */
	assert_int_equal(w.d.events[0].action, STEP_BLOCK);
	assert_int_equal(w.d.events[0].need, 101);
	assert_int_equal(w.d.events[0].warned_mask, 16);
	assert_denied(&w, 101, NOON, VERDICT_SPENT);
	assert_int_equal(w.d.n_events, 0);
	assert_int_equal(view_of(&w, 0, NOON).warned_mask, 16);
	world_done(&w);
}

static void i10_events_beyond_the_room_come_later(void **state)
{
	struct budget defs[MATCH_MAX];
	char names[MATCH_MAX][8];
	size_t told = 0;
	struct world w;

	(void)state;
	for (size_t i = 0; i < MATCH_MAX; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "b%zu", i);
		defs[i] = soft_of(names[i], 100);
	}
	w = world_of(defs, MATCH_MAX);
	(void)reserved(&w, 100, NOON);
	assert_int_equal(w.d.n_events, EVENTS_MAX);
	told += w.d.n_events;
	(void)reserved(&w, 0, NOON);
	told += w.d.n_events;
	assert_int_equal(told, 3 * MATCH_MAX);
	(void)reserved(&w, 0, NOON);
	assert_int_equal(w.d.n_events, 0);
	world_done(&w);
}

static void i10_a_restart_never_repeats_an_event(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1), next = world_of(&b, 1);
	struct meter_view v;

	(void)state;
	spend(&w, 95, NOON);
	v = view_of(&w, 0, NOON);
	assert_int_equal(v.warned_mask, 3);
	assert_int_equal(engine_restore(next.e, SLICE("b"), SLICE_NONE, v.win_start, v.win_end, v.posted, v.credit,
					v.warned_mask, NOON),
			 BUR_OK);
	(void)reserved(&next, 1, NOON);
	assert_int_equal(next.d.n_events, 0);
	(void)reserved(&next, 4, NOON);
	assert_int_equal(next.d.n_events, 1);
	assert_int_equal(next.d.events[0].at_ppm, 1000000);
	world_done(&w);
	world_done(&next);
}

/* --- R7: windows -------------------------------------------------------------------------------------------------- */

static void r7_4_a_hold_belongs_to_its_window(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	int64_t tomorrow = NOON + DAY_S;
	struct meter_view v[4];
	struct hold h, young;

	(void)state;
	spend(&w, 20, NOON);
	h = sent(&w, 80, NOON);
	young = reserved(&w, 100, tomorrow); /* the new window has its whole limit */
	assert_int_equal(engine_snapshot(w.e, tomorrow, v, 4), 2);
	assert_true(v[1].win_start == v[0].win_end || v[0].win_start == v[1].win_end);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(v[i].posted, v[i].closing ? 20 : 0);
		assert_int_equal(v[i].held, v[i].closing ? 80 : 100);
	}
	settled(&w, &h, 70);
	assert_int_equal(engine_snapshot(w.e, tomorrow, v, 4), 1);
	assert_int_equal(v[0].posted, 0);
	assert_int_equal(v[0].held, 100);
	assert_int_equal(engine_void(w.e, &young), BUR_OK);
	world_done(&w);
}

static void r7_4_a_hold_grows_in_its_own_window(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	struct amounts ten = usd(10), eleven = usd(11);
	struct hold h = sent(&w, 90, NOON);

	(void)state;
	(void)reserved(&w, 5, NOON + DAY_S);
	assert_int_equal(engine_extend(w.e, &h, &eleven, NOON + DAY_S, &w.d), BUR_DENIED);
	assert_int_equal(engine_extend(w.e, &h, &ten, NOON + DAY_S, &w.d), BUR_OK);
	assert_int_equal(engine_shrink(w.e, &h, &ten), BUR_OK);
	settled(&w, &h, 500);
	assert_meter(&w, 0, NOON + DAY_S, 0, 5); /* the old window's overrun is not today's */
	world_done(&w);
}

static void r7_4_an_overrun_after_the_boundary_alerts_for_its_window(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	struct hold h = sent(&w, 10, NOON);

	(void)state;
	(void)reserved(&w, 0, NOON + DAY_S);
	settled(&w, &h, 80);
	assert_int_equal(w.s.n_events, 1);
	assert_int_equal(w.s.events[0].win_end, NOON + DAY_S / 2);
	assert_int_equal(w.s.events[0].posted, 80);
	assert_int_equal(view_of(&w, 0, NOON + DAY_S).warned_mask, 0);
	world_done(&w);
}

static void r7_2_the_boundary_is_exact(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	int64_t midnight = NOON + DAY_S / 2;

	(void)state;
	spend(&w, 100, midnight - 1);
	assert_denied(&w, 1, midnight - 1, VERDICT_SPENT);
	spend(&w, 100, midnight);
	assert_denied(&w, 1, midnight + 1, VERDICT_SPENT);
	world_done(&w);
}

static void r7_2_days_in_berlin_tile(void **state)
{
	struct budget b = budget_of("b", 100);
	int64_t last_end = 0;
	struct tz *tz = NULL;
	struct world w;

	(void)state;
	assert_int_equal(tz_load("Europe/Berlin", &tz), BUR_OK);
	b.window.tz = tz;
	w = world_of(&b, 1);
	/* 2025-10-25 to 27, with the day of 25 hours. */
	for (int64_t t = 1761350400; t < 1761350400 + 3 * DAY_S; t += HOUR_S) {
		struct meter_view v = view_of(&w, 0, t);

		assert_true(v.win_start <= t && t < v.win_end);
		if (v.win_end != last_end && last_end != 0) {
			assert_int_equal(v.win_start, last_end);
			assert_int_equal(v.win_end - v.win_start, (v.win_start == 1761429600 ? 25 : 24) * HOUR_S);
		}
		last_end = v.win_end;
	}
	world_done(&w);
	tz_free(tz);
}

static void r7_5_time_never_goes_back(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);

	(void)state;
	spend(&w, 100, NOON);
	spend(&w, 60, NOON + DAY_S);
	assert_denied(&w, 41, NOON, VERDICT_SPENT); /* yesterday is not opened again, today goes on */
	assert_int_equal(w.d.blocked[0].posted, 60);
	assert_int_equal(w.d.blocked[0].win_end, NOON + DAY_S + DAY_S / 2);
	assert_denied(&w, 41, INT64_MIN, VERDICT_SPENT);
	world_done(&w);
}

static void r7_1_total_never_resets(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w;

	(void)state;
	b.window = (struct window_spec){.kind = WINDOW_TOTAL};
	w = world_of(&b, 1);
	spend(&w, 100, NOON);
	assert_denied(&w, 1, NOON + 1000 * DAY_S, VERDICT_SPENT);
	assert_denied(&w, 1, INT64_MAX, VERDICT_SPENT);
	world_done(&w);
}

#define OPEN_WINDOWS (PAST_MAX + 1)

static void too_many_open_windows_refuse(void **state)
{
	struct budget defs[2] = {budget_of("day", 100), budget_of("hour", 100)};
	struct world w;
	struct hold h[OPEN_WINDOWS], extra;
	struct meter_view v[32];

	(void)state;
	defs[1].window.kind = WINDOW_HOUR;
	w = world_of(defs, 2);
	for (int i = 0; i < OPEN_WINDOWS; i++)
		h[i] = sent(&w, 10, NOON + i * HOUR_S);
	assert_int_equal(try_reserve(&w, 10, NOON + 8 * HOUR_S, &extra), BUR_FULL);
	engine_check(w.e);
	assert_int_equal(engine_snapshot(w.e, NOON + 8 * HOUR_S, v, 32), 1 + OPEN_WINDOWS);
	for (int i = 1; i <= OPEN_WINDOWS; i++)
		assert_true(v[i].closing);
	assert_int_equal(v[0].held, 80); /* nothing was taken in the other budget */
	settled(&w, &h[3], 10);
	(void)reserved(&w, 10, NOON + 8 * HOUR_S);
	world_done(&w);
}

static void a_hold_of_zero_keeps_its_window(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	struct hold h = sent(&w, 0, NOON);

	(void)state;
	(void)reserved(&w, 5, NOON + DAY_S);
	settled(&w, &h, 3); /* its bill goes to yesterday */
	assert_meter(&w, 0, NOON + DAY_S, 0, 5);
	world_done(&w);
}

/* --- matching ----------------------------------------------------------------------------------------------------- */

static void match_finds_one_counter_per_value(void **state)
{
	struct budget defs[3] = {budget_of("all", 9), budget_of("user", 9), soft_of("search", 9)};
	struct match ann, bob, again;
	const struct budget *budget;
	const char *scope;
	struct world w;

	(void)state;
	budget_per(&defs[1], FACT_USER);
	budget_select(&defs[2], FACT_TEAM, "search");
	w = world_of(defs, 3);
	ann = match_of(&w, "ann", "search");
	bob = match_of(&w, "bob", "ads");
	again = match_of(&w, "ann", "search");
	assert_int_equal(ann.n, 3);
	assert_int_equal(bob.n, 2);
	assert_int_equal(again.n, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(ann.meter[i], again.meter[i]);
		assert_true(i == 0 || ann.meter[i] > ann.meter[i - 1]);
	}
	assert_true(ann.meter[2] != bob.meter[1]);
	assert_string_equal(view_of(&w, 2, NOON).scope, "user=ann");
	engine_meter_name(w.e, bob.meter[1], &budget, &scope);
	assert_string_equal(budget->name, "user");
	assert_string_equal(scope, "user=bob");
	world_done(&w);
}

static void r4_3_the_number_of_counters_is_bounded(void **state)
{
	struct budget b = budget_of("b", 9);
	struct world w;
	char user[16];
	struct facts f;
	struct match m;

	(void)state;
	budget_per(&b, FACT_USER);
	w = world_of(&b, 1);
	for (int i = 0; i < 100; i++) {
		(void)snprintf(user, sizeof(user), "user%d", i);
		f = facts_of(user, NULL);
		assert_int_equal(engine_match(w.e, &f, &m), i < 64 ? BUR_OK : BUR_FULL);
	}
	f = facts_of("user7", NULL);
	assert_int_equal(engine_match(w.e, &f, &m), BUR_OK); /* those that are there go on */
	assert_int_equal(m.meter[0], 7);
	world_done(&w);
}

static void two_counters_never_share_an_identity(void **state)
{
	struct budget b = budget_of("b", 9);
	struct world w;
	uint64_t uid;
	uint32_t meter = 99;

	(void)state;
	budget_per(&b, FACT_USER);
	w = world_of(&b, 1);
	(void)match_of(&w, "ann", NULL);
	uid = meter_uid("b", SLICE("user=ann"));
	assert_int_equal(engine_table_find(w.e, &w.e->entries[0], SLICE("user=ann"), uid, &meter), BUR_OK);
	assert_int_equal(meter, 0);
	assert_int_equal(engine_table_find(w.e, &w.e->entries[0], SLICE("user=eve"), uid, &meter), BUR_FULL);
	world_done(&w);
}

static void deny_without_budget(void **state)
{
	struct budget b = budget_of("b", 9);
	struct engine_config cfg = {.max_meters = 4, .deny_without_budget = true};
	struct facts f = facts_of("ann", "search"), other = facts_of("ann", "ads");
	struct budget_set *set;
	struct engine *e;
	struct match m;

	(void)state;
	budget_select(&b, FACT_TEAM, "search");
	set = set_of(&b, 1);
	e = engine_new(set, &cfg);
	assert_int_equal(engine_match(e, &f, &m), BUR_OK);
	assert_int_equal(engine_match(e, &other, &m), BUR_NOTFOUND);
	engine_free(e);
	engine_free(NULL);
	budget_set_free(set);
}

static void strictest_hard_budget_answers_for_unknown_models(void **state)
{
	struct budget defs[3] = {soft_of("soft", 9), budget_of("free", 9), budget_of("charge", 9)};
	struct match m;
	struct world w;

	(void)state;
	defs[1].unknown_model = UNKNOWN_FREE;
	defs[2].unknown_model = UNKNOWN_CHARGE;
	defs[2].unknown_charge_nanousd = 7;
	for (size_t n = 1; n <= 3; n++) {
		w = world_of(defs, n);
		m = match_of(&w, NULL, NULL);
		assert_int_equal(m.any_hard, n > 1);
		assert_int_equal(m.unknown_model, n < 3 ? UNKNOWN_FREE : UNKNOWN_CHARGE);
		assert_int_equal(m.unknown_charge_nanousd, n < 3 ? 0 : 7);
		world_done(&w);
	}
	defs[0] = budget_of("block", 9);
	w = world_of(defs, 3);
	assert_int_equal(match_of(&w, NULL, NULL).unknown_model, UNKNOWN_BLOCK);
	world_done(&w);
}

/* --- restoring and looking in ------------------------------------------------------------------------------------- */

static int restore(struct world *w, const char *name, const char *scope, int64_t start, int64_t posted, int64_t credit)
{
	return engine_restore(w->e, slice_of(name), slice_of(scope), start, start + DAY_S, posted, credit, 0, NOON);
}

/* R5.5, R5.7: corrections and late bills move an open window at once, and nothing else. */
static void r5_5_corrections_move_open_windows(void **state)
{
	struct budget b = budget_of("b", 1000);
	struct world w = world_of(&b, 1);
	struct hold h;
	uint64_t uid;
	int64_t start;

	(void)state;
	h = sent(&w, 600, NOON);
	uid = h.m[0].uid;
	start = h.m[0].win_start;
	settled(&w, &h, 600);
	assert_int_equal(engine_post(w.e, uid, start, -500), BUR_OK);
	h = sent(&w, 800, NOON);
	assert_int_equal(engine_post(w.e, uid, start, 400), BUR_OK); /* beyond the limit: it was spent */
	assert_denied(&w, 1, NOON, VERDICT_HELD);
	settled(&w, &h, 0);
	assert_denied(&w, 501, NOON, VERDICT_SPENT);
	spend(&w, 500, NOON);
	assert_int_equal(engine_post(w.e, uid, start, -1001), BUR_OVERFLOW);
	assert_int_equal(engine_post(w.e, uid, start, INT64_MAX), BUR_OVERFLOW);
	assert_int_equal(engine_post(w.e, uid, start, INT64_MIN), BUR_OVERFLOW);
	assert_denied(&w, 1, NOON, VERDICT_SPENT);
	world_done(&w);
}

static void r5_5_closed_windows_are_left_alone(void **state)
{
	struct budget b = budget_of("b", 1000);
	struct world w = world_of(&b, 1);
	struct hold old, h;
	uint64_t uid;
	int64_t start;

	(void)state;
	assert_int_equal(engine_post(w.e, meter_uid("b", SLICE_NONE), 0, 5), BUR_NOTFOUND); /* not used yet */
	old = sent(&w, 600, NOON);
	uid = old.m[0].uid;
	start = old.m[0].win_start;
	spend(&w, 100, NOON + DAY_S);
	assert_int_equal(engine_post(w.e, uid, start, 50), BUR_OK); /* a call is still under way in it */
	settled(&w, &old, 600);
	assert_int_equal(engine_post(w.e, uid, start, 50), BUR_NOTFOUND);
	assert_int_equal(engine_post(w.e, uid + 1, start, 50), BUR_NOTFOUND);
	h = sent(&w, 900, NOON + DAY_S); /* the new window knows nothing of it */
	settled(&w, &h, 900);
	world_done(&w);
}

static void restore_adds_to_the_open_window(void **state)
{
	struct budget defs[2] = {budget_of("all", 100), budget_of("user", 100)};
	int64_t today = NOON - DAY_S / 2;
	struct world w;

	(void)state;
	budget_per(&defs[1], FACT_USER);
	w = world_of(defs, 2);
	assert_int_equal(restore(&w, "all", "", today, 30, 0), BUR_OK);
	assert_int_equal(restore(&w, "all", "", today, 40, 5), BUR_OK);
	assert_int_equal(restore(&w, "user", "user=ann", today, 90, 0), BUR_OK);
	assert_meter(&w, 0, NOON, 70, 0);
	assert_int_equal(view_of(&w, 0, NOON).credit, 5);
	assert_denied(&w, 11, NOON, VERDICT_SPENT);
	assert_string_equal(w.d.blocked[0].scope, "user=ann");
	(void)reserved(&w, 10, NOON);
	world_done(&w);
}

static void r5_8_credit_lasts_one_window(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);

	(void)state;
	assert_int_equal(restore(&w, "b", "", NOON - DAY_S / 2, 100, 20), BUR_OK);
	assert_denied(&w, 21, NOON, VERDICT_SPENT);
	assert_int_equal(w.d.blocked[0].limit, 120);
	spend(&w, 20, NOON);
	assert_denied(&w, 101, NOON + DAY_S, VERDICT_SPENT);
	(void)reserved(&w, 100, NOON + DAY_S);
	world_done(&w);
}

static void restore_skips_what_is_gone(void **state)
{
	struct budget defs[2] = {budget_of("all", 100), budget_of("user", 100)};
	int64_t today = NOON - DAY_S / 2;
	char scope[400];
	struct world w;

	(void)state;
	budget_per(&defs[1], FACT_USER);
	w = world_of(defs, 2);
	assert_int_equal(restore(&w, "deleted", "", today, 1, 0), BUR_NOTFOUND);
	assert_int_equal(restore(&w, "all", "", today - DAY_S, 1, 0), BUR_NOTFOUND);  /* closed */
	assert_int_equal(restore(&w, "all", "", today + 1, 1, 0), BUR_NOTFOUND);      /* other bounds */
	assert_int_equal(restore(&w, "all", "user=ann", today, 1, 0), BUR_NOTFOUND);  /* `per` was dropped */
	assert_int_equal(restore(&w, "user", "", today, 1, 0), BUR_NOTFOUND);         /* `per` was added */
	assert_int_equal(restore(&w, "user", "team=ads", today, 1, 0), BUR_NOTFOUND); /* `per` was changed */
	memset(scope, 'u', sizeof(scope));
	memcpy(scope, "user=", 5);
	scope[399] = '\0';
	assert_int_equal(restore(&w, "user", scope, today, 1, 0), BUR_NOTFOUND);
	assert_int_equal(restore(&w, "all", "", today, -1, 0), BUR_INVALID);
	assert_int_equal(restore(&w, "all", "", today, INT64_MAX, INT64_MAX), BUR_OK);
	assert_int_equal(restore(&w, "all", "", today, 1, 0), BUR_OVERFLOW);
	assert_int_equal(restore(&w, "all", "", today, 0, 1), BUR_OVERFLOW);
	assert_int_equal(engine_snapshot(w.e, NOON, NULL, 0), 1);
	world_done(&w);
}

/* The day began with the same second as the hour that was written once, and that hour is over. */
static void restore_skips_a_window_that_ended(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = world_of(&b, 1);
	int64_t today = NOON - DAY_S / 2;

	(void)state;
	assert_int_equal(engine_restore(w.e, SLICE("b"), SLICE_NONE, today, today + HOUR_S, 5, 0, 0, NOON),
			 BUR_NOTFOUND);
	assert_meter(&w, 0, NOON + DAY_S, 0, 0);
	/* The engine is already in tomorrow: yesterday's row is late. */
	assert_int_equal(restore(&w, "b", "", today, 5, 0), BUR_NOTFOUND);
	assert_meter(&w, 0, NOON + DAY_S, 0, 0);
	world_done(&w);
}

static void snapshot_lists_budgets_without_calls(void **state)
{
	struct budget defs[3] = {budget_of("a", 1), budget_of("per", 2), soft_of("c", 3)};
	struct meter_view v[3] = {{.uid = 1}, {.uid = 2}, {.uid = 3}};
	struct world w;

	(void)state;
	budget_per(&defs[1], FACT_USER);
	w = world_of(defs, 3);
	assert_int_equal(engine_snapshot(w.e, NOON, v, 1), 2); /* tells how many there are, fills what fits */
	assert_string_equal(v[0].budget->name, "a");
	assert_int_equal(v[1].uid, 2);
	assert_int_equal(engine_snapshot(w.e, NOON, v, 3), 2);
	assert_string_equal(v[1].budget->name, "c");
	assert_int_equal(v[1].limit, 3);
	assert_true(v[1].uid == meter_uid("c", SLICE_NONE));
	assert_int_equal(v[1].win_start, NOON - DAY_S / 2);
	assert_int_equal(v[2].uid, 3);
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(i1_the_limit_is_exact),
	    cmocka_unit_test(i1_the_largest_limit_does_not_wrap),
	    cmocka_unit_test(i4_all_budgets_or_none),
	    cmocka_unit_test(verdict_tells_spent_from_held),
	    cmocka_unit_test(zero_need_passes_an_exhausted_budget),
	    cmocka_unit_test(r2_4_each_budget_counts_its_own_unit),
	    cmocka_unit_test(r2_3_odd_amounts_are_refused),
	    cmocka_unit_test(no_budget_at_all_holds_nothing),
	    cmocka_unit_test(soft_budgets_never_block),
	    cmocka_unit_test(tightest_is_the_one_with_least_left),
	    cmocka_unit_test(tightest_of_equals_is_the_first),
	    cmocka_unit_test(i14_same_history_same_decisions),
	    cmocka_unit_test(i5_each_hold_ends_once),
	    cmocka_unit_test(i5_a_void_hold_stays_void),
	    cmocka_unit_test(i8_void_leaves_everything_as_before),
	    cmocka_unit_test(i17_nothing_is_held_at_idle),
	    cmocka_unit_test(extend_is_all_or_nothing),
	    cmocka_unit_test(shrink_frees_at_once),
	    cmocka_unit_test(r5_4_a_usage_of_zero_is_zero),
	    cmocka_unit_test(r5_6_overrun_posts_the_whole_bill),
	    cmocka_unit_test(i9_parts_add_up_to_the_whole),
	    cmocka_unit_test(i15_a_lower_limit_changes_no_counter),
	    cmocka_unit_test(a_block_step_blocks_at_its_share),
	    cmocka_unit_test(the_limit_holds_whatever_the_steps_say),
	    cmocka_unit_test(i10_one_event_per_step_and_window),
	    cmocka_unit_test(i10_a_refused_call_counts_only_what_is_there),
	    cmocka_unit_test(i10_events_beyond_the_room_come_later),
	    cmocka_unit_test(i10_a_restart_never_repeats_an_event),
	    cmocka_unit_test(r7_4_a_hold_belongs_to_its_window),
	    cmocka_unit_test(r7_4_a_hold_grows_in_its_own_window),
	    cmocka_unit_test(r7_4_an_overrun_after_the_boundary_alerts_for_its_window),
	    cmocka_unit_test(r7_2_the_boundary_is_exact),
	    cmocka_unit_test(r7_2_days_in_berlin_tile),
	    cmocka_unit_test(r7_5_time_never_goes_back),
	    cmocka_unit_test(r7_1_total_never_resets),
	    cmocka_unit_test(too_many_open_windows_refuse),
	    cmocka_unit_test(a_hold_of_zero_keeps_its_window),
	    cmocka_unit_test(match_finds_one_counter_per_value),
	    cmocka_unit_test(r4_3_the_number_of_counters_is_bounded),
	    cmocka_unit_test(two_counters_never_share_an_identity),
	    cmocka_unit_test(deny_without_budget),
	    cmocka_unit_test(strictest_hard_budget_answers_for_unknown_models),
	    cmocka_unit_test(r5_5_corrections_move_open_windows),
	    cmocka_unit_test(r5_5_closed_windows_are_left_alone),
	    cmocka_unit_test(restore_adds_to_the_open_window),
	    cmocka_unit_test(r5_8_credit_lasts_one_window),
	    cmocka_unit_test(restore_skips_what_is_gone),
	    cmocka_unit_test(restore_skips_a_window_that_ended),
	    cmocka_unit_test(snapshot_lists_budgets_without_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
