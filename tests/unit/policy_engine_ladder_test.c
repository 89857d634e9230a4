/* The rungs between alert and block, as the engine tells them: degrade, clamp, throttle, pace; looking without taking;
 * and the engine's time. */
#include "tests/unit/policy_world.h"

/* Ann calls the model gpt-big-1. */
static struct world ladder_of(const struct budget *defs, size_t n)
{
	struct facts f = facts_model("ann", "gpt-big-1");
	struct world w = world_of(defs, n);

	assert_int_equal(engine_match(w.e, &f, &w.m), BUR_OK);
	return w;
}

static struct hold reserve(struct world *w, struct amounts worst, int result)
{
	struct hold h = {.state = HOLD_NONE};

	assert_int_equal(engine_reserve(w->e, &w->m, &worst, NOON, &h, &w->d), result);
	return h;
}

static void preview(struct world *w, struct amounts worst, int result)
{
	assert_int_equal(engine_preview(w->e, &w->m, &worst, NOON, &w->d), result);
}

static struct budget stepped(const char *name, int64_t limit, int64_t percent, enum step_action action)
{
	struct budget b = budget_of(name, limit);

	budget_step(&b, percent, action);
	return b;
}

/* --- what a match knows ------------------------------------------------------------------------------------------- */

static struct match match_in(struct budget *defs, size_t n, const char *model)
{
	struct engine_config cfg = {.max_meters = 64};
	struct facts f = facts_model("ann", model);
	struct budget_set *set = set_of(defs, n);
	struct engine *e = engine_new(set, &cfg);
	struct match m;

	assert_non_null(e);
	assert_int_equal(engine_match(e, &f, &m), BUR_OK);
	engine_free(e);
	budget_set_free(set);
	return m;
}

static void the_strictest_hold_of_hard_budgets_counts(void **state)
{
	struct budget defs[3] = {budget_of("a", 1), budget_of("b", 1), soft_of("c", 1)};

	(void)state;
	defs[2].hold = HOLD_WORST;
	assert_int_equal(match_in(defs, 3, "m").hold, HOLD_AUTO);
	defs[0].hold = HOLD_GROWING;
	assert_int_equal(match_in(defs, 3, "m").hold, HOLD_AUTO);
	defs[1].hold = HOLD_GROWING;
	assert_int_equal(match_in(defs, 3, "m").hold, HOLD_GROWING);
	defs[0].hold = HOLD_WORST;
	assert_int_equal(match_in(defs, 3, "m").hold, HOLD_WORST);
	assert_int_equal(match_in(&defs[2], 1, "m").hold, HOLD_AUTO); /* no hard one */
}

static void the_least_default_of_output_counts(void **state)
{
	struct budget defs[3] = {budget_of("a", 1), soft_of("b", 1), budget_of("c", 1)};

	(void)state;
	assert_int_equal(match_in(defs, 3, "m").default_max_out, 0);
	defs[0].default_max_out = 500;
	assert_int_equal(match_in(defs, 3, "m").default_max_out, 500);
	defs[1].default_max_out = 400;
	defs[2].default_max_out = 300;
	assert_int_equal(match_in(defs, 3, "m").default_max_out, 300);
	defs[2].mode = MODE_SHADOW; /* changes no call */
	assert_int_equal(match_in(defs, 3, "m").default_max_out, 400);
}

static void a_match_says_whether_there_is_a_breaker(void **state)
{
	struct budget defs[2] = {budget_of("a", 1), budget_of("b", 1)};

	(void)state;
	assert_false(match_in(defs, 2, "m").has_breaker);
	defs[1].breaker.on = true;
	assert_true(match_in(defs, 2, "m").has_breaker);
}

static void degrade_steps_are_found_by_model(void **state)
{
	static const struct degrade chain[] = {{"gpt-*", "gpt-mini"}, {"gpt-mini", "gpt-nano"}, {"opus", "haiku"}};
	struct budget defs[2] = {stepped("a", 100, 75, STEP_ALERT), stepped("b", 100, 50, STEP_DEGRADE)};
	struct match m;

	(void)state;
	budget_step(&defs[0], 80, STEP_DEGRADE);
	defs[0].steps[1].map = chain;
	defs[0].steps[1].n_map = 3;
	m = match_in(defs, 2, "gpt-big");
	assert_int_equal(m.degrade[0], 2);
	assert_int_equal(m.degrade_entry[0][1], 0);
	assert_int_equal(m.degrade[1], 1);
	m = match_in(defs, 2, "gpt-mini"); /* not by itself */
	assert_int_equal(m.degrade[0], 2);
	assert_int_equal(m.degrade_entry[0][1], 1);
	assert_int_equal(m.degrade[1], 0);
	m = match_in(defs, 2, "opus");
	assert_int_equal(m.degrade_entry[0][1], 2);
	assert_int_equal(m.degrade[1], 1);
	assert_int_equal(match_in(defs, 2, "opus-5").degrade[0], 0);
	assert_int_equal(match_in(defs, 2, "").degrade[0], 0); /* not known */
	defs[0].mode = MODE_SHADOW;
	assert_int_equal(match_in(defs, 2, "gpt-big").degrade[0], 0);
}

static void bits_follow_their_meter(void **state)
{
	/* The counters with `per` are made later, so the later budgets have the lower numbers. */
	struct budget defs[3] = {stepped("a", 100, 50, STEP_DEGRADE), budget_of("b", 100), budget_of("c", 100)};
	struct match m;

	(void)state;
	budget_per(&defs[0], FACT_USER);
	budget_per(&defs[1], FACT_USER);
	m = match_in(defs, 3, "opus");
	assert_int_equal(m.meter[1], 1);
	assert_int_equal(m.degrade[0], 0);
	assert_int_equal(m.degrade[1], 1);
	assert_int_equal(m.degrade_entry[1][0], 1);
	assert_int_equal(m.degrade[2], 0);
}

/* --- degrade ------------------------------------------------------------------------------------------------------ */

static void degrade_from_the_step_on(void **state)
{
	struct budget b = stepped("b", 100, 50, STEP_DEGRADE);
	struct world w = ladder_of(&b, 1);
	struct hold h;

	(void)state;
	h = reserve(&w, usd(49), BUR_OK);
	assert_int_equal(engine_void(w.e, &h), BUR_OK);
	(void)reserve(&w, usd(50), BUR_DENIED); /* itself counted in */
	assert_int_equal(w.d.verdict, VERDICT_DEGRADE);
	assert_string_equal(w.d.degrade_to, "gpt-small");
	assert_string_equal(w.d.degrade_by->name, "b");
	assert_int_equal(w.d.degrade_step->at_ppm, 500000);
	assert_int_equal(w.d.n_blocked, 0);
	assert_int_equal(engine_open_holds(w.e), 0);
	assert_int_equal(view_of(&w, 0, NOON).held, 0);
	h = reserve(&w, usd(0), BUR_OK); /* what needs nothing stands on no rung */
	w.m.degrade[0] = 0;
	h = reserve(&w, usd(50), BUR_OK);
	assert_null(w.d.degrade_to);
	world_done(&w);
}

static void the_highest_degrade_step_with_a_model_decides(void **state)
{
	static const struct degrade far[] = {{"gpt-big-1", "gpt-tiny"}}, others[] = {{"opus", "haiku"}};
	struct budget b = stepped("b", 100, 50, STEP_DEGRADE);
	struct world w;

	(void)state;
	budget_step(&b, 80, STEP_DEGRADE);
	b.steps[1].map = far;
	b.steps[1].n_map = 1;
	budget_step(&b, 90, STEP_DEGRADE);
	b.steps[2].map = others;
	b.steps[2].n_map = 1;
	w = ladder_of(&b, 1);
	preview(&w, usd(79), BUR_DENIED);
	assert_string_equal(w.d.degrade_to, "gpt-small");
	preview(&w, usd(80), BUR_DENIED);
	assert_string_equal(w.d.degrade_to, "gpt-tiny");
	preview(&w, usd(95), BUR_DENIED);
	assert_string_equal(w.d.degrade_to, "gpt-tiny");
	assert_int_equal(w.d.degrade_step->at_ppm, 800000);
	world_done(&w);
}

static void the_tightest_budget_degrades(void **state)
{
	static const struct degrade maps[3][1] = {{{"gpt*", "a-model"}}, {{"gpt*", "b-model"}}, {{"gpt*", "c-model"}}};
	struct budget defs[3] = {stepped("a", 100, 10, STEP_DEGRADE), stepped("b", 90, 10, STEP_DEGRADE),
				 stepped("c", 90, 10, STEP_DEGRADE)};
	struct world w;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		defs[i].steps[0].map = maps[i];
		defs[i].steps[0].n_map = 1;
	}
	w = ladder_of(defs, 3);
	preview(&w, usd(20), BUR_DENIED);
	assert_string_equal(w.d.degrade_to, "b-model"); /* the first of equals */
	world_done(&w);
	defs[1].unit = UNIT_TOKENS; /* units cannot be compared: money goes first */
	defs[1].limit = 50;
	w = ladder_of(defs, 3);
	preview(&w, (struct amounts){20, 45, 1}, BUR_DENIED);
	assert_string_equal(w.d.degrade_to, "c-model");
	preview(&w, (struct amounts){1, 45, 1}, BUR_DENIED);
	assert_string_equal(w.d.degrade_to, "b-model"); /* only tokens have reached it */
	world_done(&w);
}

static void degrade_comes_before_a_refusal(void **state)
{
	struct budget defs[2] = {stepped("a", 100, 50, STEP_DEGRADE), budget_of("b", 60)};
	struct world w = ladder_of(defs, 2);

	(void)state;
	(void)reserve(&w, usd(70), BUR_DENIED);
	assert_int_equal(w.d.verdict, VERDICT_DEGRADE);
	assert_int_equal(w.d.n_blocked, 1); /* listed, */
	assert_int_equal(w.d.n_events, 0);  /* but not told: nothing was refused yet */
	assert_int_equal(view_of(&w, 1, NOON).warned_mask, 0);
	w.m.degrade[0] = 0;
	(void)reserve(&w, usd(70), BUR_DENIED);
	assert_int_equal(w.d.verdict, VERDICT_SPENT);
	assert_int_equal(w.d.n_events, 1);
	assert_int_equal(w.d.events[0].action, STEP_BLOCK);
	world_done(&w);
}

static void a_degraded_call_leaves_no_trace_but_alerts(void **state)
{
	struct budget defs[2] = {budget_of("a", 100), budget_of("b", 30)};
	struct world w;

	(void)state;
	budget_step(&defs[0], 40, STEP_ALERT);
	budget_step(&defs[0], 60, STEP_DEGRADE);
	defs[1].mode = MODE_SHADOW;
	w = ladder_of(defs, 2);
	(void)reserve(&w, usd(60), BUR_DENIED);
	assert_int_equal(w.d.verdict, VERDICT_DEGRADE);
	assert_int_equal(w.d.n_events, 0); /* what is there is nothing */
	assert_int_equal(w.d.n_would_block, 0);
	assert_int_equal(view_of(&w, 1, NOON).would_block, 0);
	(void)reserve(&w, usd(40), BUR_OK);
	assert_int_equal(w.d.n_events, 5); /* the alert, and all of the shadow budget's */
	world_done(&w);
}

static void soft_budgets_degrade_shadow_ones_do_not(void **state)
{
	struct budget b = stepped("b", 100, 50, STEP_DEGRADE);
	struct world w;

	(void)state;
	b.mode = MODE_SOFT;
	w = ladder_of(&b, 1);
	(void)reserve(&w, usd(500), BUR_DENIED);
	assert_int_equal(w.d.verdict, VERDICT_DEGRADE);
	world_done(&w);
	b.mode = MODE_SHADOW;
	w = ladder_of(&b, 1);
	(void)reserve(&w, usd(500), BUR_OK);
	world_done(&w);
}

static void a_degrade_step_never_stops_a_growing_hold(void **state)
{
	struct budget b = stepped("b", 100, 50, STEP_DEGRADE);
	struct world w;
	struct amounts more = usd(30);
	struct hold h;

	(void)state;
	budget_step(&b, 60, STEP_THROTTLE);
	budget_step(&b, 100, STEP_BLOCK);
	w = ladder_of(&b, 1);
	h = reserve(&w, usd(40), BUR_OK);
	assert_int_equal(engine_mark_sent(w.e, &h), BUR_OK);
	assert_int_equal(engine_extend(w.e, &h, &more, NOON, &w.d), BUR_OK);
	assert_int_equal(w.d.verdict, VERDICT_ALLOW);
	assert_int_equal(w.d.n_reached, 0);
	assert_int_equal(h.worst.nanousd, 70);
	world_done(&w);
}

/* --- clamp -------------------------------------------------------------------------------------------------------- */

static void clamp_tells_what_would_fit(void **state)
{
	struct budget defs[3] = {budget_of("a", 100), budget_of("b", 90), budget_of("c", 1000)};
	struct world w;

	(void)state;
	defs[2].unit = UNIT_TOKENS;
	for (size_t i = 0; i < 3; i++) {
		budget_step(&defs[i], 100, STEP_CLAMP);
		defs[i].steps[0].min_out = 100 + 10 * i;
	}
	w = ladder_of(defs, 3);
	(void)reserve(&w, (struct amounts){30, 400, 1}, BUR_OK);
	assert_false(w.d.may_clamp);
	(void)reserve(&w, (struct amounts){80, 400, 1}, BUR_DENIED);
	assert_true(w.d.may_clamp);
	assert_int_equal(w.d.room.nanousd, 60); /* of b */
	assert_int_equal(w.d.room.tokens, INT64_MAX);
	assert_int_equal(w.d.room.requests, INT64_MAX);
	assert_int_equal(w.d.min_out, 110);
	(void)reserve(&w, (struct amounts){65, 700, 1}, BUR_DENIED);
	assert_int_equal(w.d.room.nanousd, 60);
	assert_int_equal(w.d.room.tokens, 600);
	assert_int_equal(w.d.min_out, 120);
	(void)reserve(&w, (struct amounts){60, 600, 1}, BUR_OK); /* it does fit */
	(void)reserve(&w, (struct amounts){1, 1, 1}, BUR_DENIED);
	assert_int_equal(w.d.room.nanousd, 0);
	world_done(&w);
}

static void every_blocking_budget_must_allow_the_clamp(void **state)
{
	struct budget defs[2] = {stepped("a", 100, 100, STEP_CLAMP), stepped("b", 90, 100, STEP_BLOCK)};
	struct world w = ladder_of(defs, 2);

	(void)state;
	(void)reserve(&w, usd(95), BUR_DENIED); /* b has no such step */
	assert_false(w.d.may_clamp);
	assert_int_equal(w.d.min_out, 0);
	assert_int_equal(w.d.room.nanousd, 90);
	world_done(&w);
	defs[1] = stepped("b", 110, 100, STEP_BLOCK);
	w = ladder_of(defs, 2);
	(void)reserve(&w, usd(105), BUR_DENIED); /* b does not block */
	assert_true(w.d.may_clamp);
	assert_int_equal(w.d.room.nanousd, 100);
	world_done(&w);
}

static void a_clamp_step_counts_from_where_it_stands(void **state)
{
	struct budget b = stepped("b", 100, 80, STEP_BLOCK);
	struct world w;

	(void)state;
	budget_step(&b, 90, STEP_CLAMP);
	budget_step(&b, 95, STEP_CLAMP);
	b.steps[1].min_out = 500;
	b.steps[2].min_out = 100;
	w = ladder_of(&b, 1);
	(void)reserve(&w, usd(89), BUR_DENIED);
	assert_false(w.d.may_clamp);
	(void)reserve(&w, usd(90), BUR_DENIED);
	assert_true(w.d.may_clamp);
	assert_int_equal(w.d.min_out, 500);
	assert_int_equal(w.d.room.nanousd, 80); /* up to the block step */
	(void)reserve(&w, usd(95), BUR_DENIED);
	assert_int_equal(w.d.min_out, 100); /* of the highest */
	world_done(&w);
}

static void requests_do_not_get_fewer(void **state)
{
	struct budget b = stepped("b", 1, 100, STEP_CLAMP);
	struct world w;

	(void)state;
	b.unit = UNIT_REQUESTS;
	w = ladder_of(&b, 1);
	(void)reserve(&w, (struct amounts){0, 0, 2}, BUR_DENIED);
	assert_false(w.d.may_clamp);
	assert_int_equal(w.d.room.requests, 1);
	world_done(&w);
}

static void room_is_never_negative(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = ladder_of(&b, 1);
	struct engine_change ignored;

	(void)state;
	assert_int_equal(engine_adjust(w.e, SLICE("b"), SLICE_NONE, 150, NOON, &ignored), BUR_OK);
	(void)reserve(&w, usd(1), BUR_DENIED);
	assert_true(w.d.may_clamp);
	assert_int_equal(w.d.room.nanousd, 0);
	world_done(&w);
}

static void a_growing_hold_learns_what_is_left(void **state)
{
	struct budget defs[2] = {stepped("a", 100, 100, STEP_BLOCK), budget_of("b", 130)};
	struct world w = ladder_of(defs, 2);
	struct amounts more = usd(50), rest;
	struct hold h, other;

	(void)state;
	h = reserve(&w, usd(60), BUR_OK);
	other = reserve(&w, usd(10), BUR_OK);
	assert_int_equal(engine_mark_sent(w.e, &h), BUR_OK);
	assert_int_equal(engine_extend(w.e, &h, &more, NOON, &w.d), BUR_DENIED);
	assert_int_equal(w.d.room.nanousd, 30);
	assert_int_equal(w.d.room.tokens, INT64_MAX);
	assert_false(w.d.may_clamp);
	more = usd(70);
	assert_int_equal(engine_extend(w.e, &h, &more, NOON, &w.d), BUR_DENIED);
	assert_int_equal(w.d.room.nanousd, 30); /* the tightest of two */
	rest = w.d.room;
	rest.tokens = rest.requests = 0;
	assert_int_equal(engine_extend(w.e, &h, &rest, NOON, &w.d), BUR_OK);
	assert_int_equal(engine_extend(w.e, &h, &more, NOON, &w.d), BUR_DENIED);
	assert_int_equal(w.d.room.nanousd, 0);
	assert_int_equal(engine_void(w.e, &other), BUR_OK);
	world_done(&w);
}

/* --- throttle and pace -------------------------------------------------------------------------------------------- */

static void an_admitted_call_learns_where_it_stands(void **state)
{
	struct budget b = stepped("b", 1000, 50, STEP_THROTTLE);
	struct world w;
	const struct reached *at;
	struct engine_change ignored;

	(void)state;
	budget_step(&b, 60, STEP_PACE);
	budget_step(&b, 80, STEP_THROTTLE);
	w = ladder_of(&b, 1);
	assert_int_equal(engine_adjust(w.e, SLICE("b"), SLICE_NONE, 100, NOON, &ignored), BUR_OK);
	(void)reserve(&w, usd(399), BUR_OK);
	assert_int_equal(w.d.n_reached, 0);
	(void)reserve(&w, usd(101), BUR_OK);
	assert_int_equal(w.d.n_reached, 2);
	at = &w.d.reached[0];
	assert_int_equal(at->step->action, STEP_THROTTLE);
	assert_int_equal(at->step->at_ppm, 500000);
	assert_string_equal(at->budget->name, "b");
	assert_string_equal(at->scope, "");
	assert_int_equal(at->uid, view_of(&w, 0, NOON).uid);
	assert_int_equal(at->meter, w.m.meter[0]);
	assert_int_equal(at->u_ppm, 600000);
	assert_int_equal(at->limit, 1000);
	assert_int_equal(at->posted, 100);
	assert_int_equal(at->held, 399);
	assert_int_equal(at->need, 101);
	assert_int_equal(at->now_s, NOON);
	assert_int_equal(at->win_start, NOON - 12 * HOUR_S);
	assert_int_equal(at->win_end, NOON + 12 * HOUR_S);
	assert_int_equal(w.d.reached[1].step->action, STEP_PACE);
	(void)reserve(&w, usd(200), BUR_OK);
	assert_int_equal(w.d.reached[0].step->at_ppm, 800000); /* the highest of its kind */
	assert_int_equal(w.d.n_reached, 2);
	(void)reserve(&w, usd(0), BUR_OK);
	assert_int_equal(w.d.n_reached, 0);
	(void)reserve(&w, usd(500), BUR_DENIED);
	assert_int_equal(w.d.n_reached, 0);
	world_done(&w);
}

static void soft_budgets_throttle_shadow_ones_do_not(void **state)
{
	struct budget defs[3] = {stepped("a", 10, 50, STEP_THROTTLE), stepped("b", 10, 50, STEP_PACE),
				 stepped("c", 10, 50, STEP_THROTTLE)};
	struct world w;

	(void)state;
	defs[0].mode = MODE_SOFT;
	defs[1].mode = MODE_SHADOW;
	w = ladder_of(defs, 3);
	(void)reserve(&w, usd(7), BUR_OK);
	assert_int_equal(w.d.n_reached, 2);
	assert_string_equal(w.d.reached[0].budget->name, "a");
	assert_string_equal(w.d.reached[1].budget->name, "c");
	(void)reserve(&w, usd(7), BUR_DENIED);
	world_done(&w);
	w = ladder_of(defs, 1);
	(void)reserve(&w, usd(15), BUR_OK);
	assert_int_equal(w.d.reached[0].u_ppm, 1500000);
	world_done(&w);
}

static void a_rolling_window_reaches_to_when_its_spend_leaves(void **state)
{
	struct budget b = stepped("b", 10, 50, STEP_PACE);
	struct world w;

	(void)state;
	b.rolling_s = HOUR_S;
	w = ladder_of(&b, 1);
	(void)reserve(&w, usd(7), BUR_OK);
	assert_int_equal(w.d.n_reached, 1);
	assert_int_equal(w.d.reached[0].win_start, NOON);
	assert_int_equal(w.d.reached[0].win_end, NOON + HOUR_S + 60);
	world_done(&w);
}

static void a_new_limit_moves_the_rungs(void **state)
{
	struct budget b = stepped("b", 100, 50, STEP_THROTTLE);
	struct world w = ladder_of(&b, 1);
	struct engine_change ignored;

	(void)state;
	(void)reserve(&w, usd(50), BUR_OK);
	assert_int_equal(w.d.n_reached, 1);
	assert_int_equal(engine_set_limit(w.e, SLICE("b"), 200, &ignored), BUR_OK);
	(void)reserve(&w, usd(49), BUR_OK);
	assert_int_equal(w.d.n_reached, 0);
	(void)reserve(&w, usd(1), BUR_OK);
	assert_int_equal(w.d.n_reached, 1);
	world_done(&w);
}

/* --- looking ------------------------------------------------------------------------------------------------------ */

static void preview_decides_and_changes_nothing(void **state)
{
	struct budget defs[2] = {budget_of("a", 100), budget_of("b", 80)};
	struct meter_view before[2], after[2];
	struct world w;

	(void)state;
	budget_step(&defs[0], 50, STEP_ALERT);
	budget_step(&defs[0], 60, STEP_THROTTLE);
	budget_step(&defs[0], 100, STEP_BLOCK);
	defs[1].mode = MODE_SHADOW;
	w = ladder_of(defs, 2);
	assert_int_equal(engine_snapshot(w.e, NOON, before, 2), 2);
	preview(&w, usd(90), BUR_OK);
	assert_int_equal(w.d.verdict, VERDICT_ALLOW);
	assert_int_equal(w.d.n_reached, 1);
	assert_int_equal(w.d.n_would_block, 1);
	assert_int_equal(w.d.n_events, 0);
	assert_string_equal(w.d.tightest->name, "a");
	assert_int_equal(w.d.tightest_left_nanousd, 10); /* as if it were taken */
	preview(&w, usd(101), BUR_DENIED);
	assert_int_equal(w.d.verdict, VERDICT_SPENT);
	assert_int_equal(w.d.n_blocked, 1);
	assert_int_equal(w.d.n_events, 0);
	assert_int_equal(w.d.tightest_left_nanousd, 100);
	preview(&w, usd(-1), BUR_OVERFLOW);
	assert_int_equal(engine_snapshot(w.e, NOON, after, 2), 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(after[i].posted, before[i].posted);
		assert_int_equal(after[i].held, before[i].held);
		assert_int_equal(after[i].warned_mask, before[i].warned_mask);
		assert_int_equal(after[i].would_block, before[i].would_block);
	}
	assert_int_equal(engine_open_holds(w.e), 0);
	(void)reserve(&w, usd(90), BUR_OK);
	assert_int_equal(w.d.n_events, 5); /* all there is to tell is told now */
	world_done(&w);
}

/* --- time --------------------------------------------------------------------------------------------------------- */

#define S INT64_C(1000000000)

static void r7_5_the_engines_time_is_guarded(void **state)
{
	struct budget b = budget_of("b", 100);
	struct world w = ladder_of(&b, 1);

	(void)state;
	assert_int_equal(engine_time_s(w.e, NOON * S + 5, 7 * S), NOON);
	assert_int_equal(engine_time_s(w.e, (NOON + 9) * S, 16 * S), NOON + 9);
	assert_int_equal(engine_time_s(w.e, (NOON + 5) * S, 17 * S), NOON + 9); /* never back */
	assert_int_equal(engine_time_event(w.e), CLOCK_WENT_BACK);
	assert_int_equal(engine_time_event(w.e), CLOCK_STEADY);
	assert_int_equal(engine_time_s(w.e, (NOON + DAY_S) * S, 20 * S), NOON + 9);
	assert_int_equal(engine_time_event(w.e), CLOCK_JUMPED);
	/* A jump of a day is believed when it has stood for a minute. */
	assert_int_equal(engine_time_s(w.e, (NOON + DAY_S + 50) * S, 70 * S), NOON + 58);
	assert_int_equal(engine_time_s(w.e, (NOON + DAY_S + 60) * S, 80 * S), NOON + DAY_S + 60);
	world_done(&w);
	w = ladder_of(&b, 1);
	assert_int_equal(engine_time_s(w.e, -1, 0), -1);
	world_done(&w);
}

static void r7_5_the_guard_can_be_off(void **state)
{
	struct engine_config cfg = {.max_meters = 1, .believe_clock = true};
	struct budget b = budget_of("b", 100);
	struct budget_set *set = set_of(&b, 1);
	struct engine *e = engine_new(set, &cfg);

	(void)state;
	assert_non_null(e);
	assert_int_equal(engine_time_s(e, NOON * S, 7 * S), NOON);
	assert_int_equal(engine_time_s(e, (NOON + DAY_S) * S, 8 * S), NOON + DAY_S);
	engine_free(e);
	budget_set_free(set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_strictest_hold_of_hard_budgets_counts),
	    cmocka_unit_test(the_least_default_of_output_counts),
	    cmocka_unit_test(a_match_says_whether_there_is_a_breaker),
	    cmocka_unit_test(degrade_steps_are_found_by_model),
	    cmocka_unit_test(bits_follow_their_meter),
	    cmocka_unit_test(degrade_from_the_step_on),
	    cmocka_unit_test(the_highest_degrade_step_with_a_model_decides),
	    cmocka_unit_test(the_tightest_budget_degrades),
	    cmocka_unit_test(degrade_comes_before_a_refusal),
	    cmocka_unit_test(a_degraded_call_leaves_no_trace_but_alerts),
	    cmocka_unit_test(soft_budgets_degrade_shadow_ones_do_not),
	    cmocka_unit_test(a_degrade_step_never_stops_a_growing_hold),
	    cmocka_unit_test(clamp_tells_what_would_fit),
	    cmocka_unit_test(every_blocking_budget_must_allow_the_clamp),
	    cmocka_unit_test(a_clamp_step_counts_from_where_it_stands),
	    cmocka_unit_test(requests_do_not_get_fewer),
	    cmocka_unit_test(room_is_never_negative),
	    cmocka_unit_test(a_growing_hold_learns_what_is_left),
	    cmocka_unit_test(an_admitted_call_learns_where_it_stands),
	    cmocka_unit_test(soft_budgets_throttle_shadow_ones_do_not),
	    cmocka_unit_test(a_rolling_window_reaches_to_when_its_spend_leaves),
	    cmocka_unit_test(a_new_limit_moves_the_rungs),
	    cmocka_unit_test(preview_decides_and_changes_nothing),
	    cmocka_unit_test(r7_5_the_engines_time_is_guarded),
	    cmocka_unit_test(r7_5_the_guard_can_be_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
