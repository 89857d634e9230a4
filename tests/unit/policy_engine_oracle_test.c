/* The engine against a model that is too simple to be wrong (policy_oracle_model.h): random budgets, random operations;
 * every window of every counter, each decision and event are compared after every operation, none is sampled.
 *
 * BURSAR_ORACLE_OPS=n operations (default 300000), half of them by a seed that is always the same and half by a fresh
 * one, or BURSAR_ORACLE_SEED=n. A failure prints the seed, the episode, and a shrunken trace in words, which runs
 * again by BURSAR_ORACLE_TRACE=text. BURSAR_ORACLE_SHRINK=0: no shrinking. */
#include "tests/unit/policy_oracle_ops.h"
#include "tests/unit/policy_oracle_run.h"

#define OPS_DEFAULT 300000

/* --- random budgets ----------------------------------------------------------------------------------------------- */

static void random_step(struct budget *b, int64_t at)
{
	static const struct degrade maps[3][2] = {{{"big*", "mid"}, {"mid", "small"}},
						  {{"*", "small"}, {"nobody", "mid"}},
						  {{"big-1", "big-2"}, {"*", "big-1"}}};
	static const enum step_action actions[] = {STEP_ALERT,    STEP_ALERT, STEP_ALERT,   STEP_BLOCK, STEP_BLOCK,
						   STEP_THROTTLE, STEP_PACE,  STEP_DEGRADE, STEP_CLAMP, STEP_CLAMP};
	enum step_action action = actions[pick(ARRAY_LEN(actions))];
	struct budget_step *s = &b->steps[b->n_steps];

	budget_step(b, 1, action == STEP_PACE && b->unit != UNIT_USD ? STEP_THROTTLE : action);
	s->at_ppm = at;
	s->min_out = (uint64_t)between(1, 1000);
	s->map = maps[pick(3)];
	s->n_map = 2;
}

static void random_steps(struct budget *b)
{
	int64_t at = 0;
	int n = pick(7);

	for (int i = 0; i < n; i++)
		random_step(b, at += between(1, 350000));
	if (n == 0) { /* what the set makes of it */
		budget_step(b, 75, STEP_ALERT);
		budget_step(b, 90, STEP_ALERT);
		budget_step(b, 100, STEP_ALERT);
		budget_step(b, 100, STEP_CLAMP);
		budget_step(b, 100, STEP_BLOCK);
	}
}

static struct budget random_budget(int i, int64_t scale)
{
	static const char *const names[BUDGETS] = {"b0", "b1", "b2", "b3", "b4"};
	static const enum window_kind kinds[] = {WINDOW_HOUR, WINDOW_HOUR, WINDOW_DAY, WINDOW_MONTH, WINDOW_TOTAL};
	static const int64_t rollings[] = {1800, 7200, 3 * DAY_S};
	struct budget b = budget_of(names[i], between(1, 2000) * scale);

	b.unit = pick(3) ? UNIT_USD : pick(2) ? UNIT_TOKENS : UNIT_REQUESTS;
	if (b.unit == UNIT_REQUESTS)
		b.limit = between(1, 30);
	b.mode = pick(3) ? MODE_HARD : pick(2) ? MODE_SOFT : MODE_SHADOW;
	b.window.kind = kinds[pick(5)];
	if (pick(3) == 0)
		b.rolling_s = rollings[pick(3)];
	if (pick(3) == 0)
		budget_select(&b, FACT_TEAM, teams[pick(2)]);
	if (pick(3) == 0)
		budget_per(&b, FACT_USER);
	if (pick(4) == 0)
		budget_per(&b, FACT_TEAM);
	b.hold = (enum hold_mode)pick(3);
	b.default_max_out = pick(3) ? 0 : (uint64_t)between(1, 1000);
	b.breaker.on = pick(6) == 0;
	random_steps(&b);
	return b;
}

static void tell_budget(const struct budget *b)
{
	static const char *const actions[] = {"alert", "block", "throttle", "pace", "degrade", "clamp"};
	static const char *const units[] = {"nano-USD", "tokens", "requests"};

	tell("budget %s: %s, %lld %s, ", b->name, budget_mode_name(b->mode), (long long)b->limit, units[b->unit]);
	if (b->rolling_s > 0)
		tell("rolling %lld s", (long long)b->rolling_s);
	else
		tell("window kind %d", (int)b->window.kind);
	if (b->n_match > 0)
		tell(", team %s", b->match[0].value);
	for (size_t i = 0; i < b->n_per; i++)
		tell(", per %s", fact_name(b->per[i].fact));
	for (size_t i = 0; i < b->n_steps; i++)
		tell(", %s at %.4f %%", actions[b->steps[i].action], (double)b->steps[i].at_ppm / 1e4);
	tell("\n");
}

static void scope_text(const struct counter *c, char *dst, size_t size)
{
	int n = 0;

	dst[0] = '\0';
	if (c->user >= 0)
		n = snprintf(dst, size, "user=%s", users[c->user]);
	if (c->team >= 0)
		(void)snprintf(dst + n, size - (size_t)n, "%steam=%s", n ? "," : "", teams[c->team]);
}

static int counter_of(int budget, int user, int team)
{
	const struct budget *b = &model.defs[budget];
	struct counter c = {budget, -1, -1};

	for (size_t i = 0; i < b->n_per; i++) {
		if (b->per[i].fact == FACT_USER)
			c.user = user;
		else
			c.team = team;
	}
	for (int i = 0; i < model.n_counters; i++) {
		if (memcmp(&model.counters[i], &c, sizeof(c)) == 0)
			return i;
	}
	REQUIRE(model.n_counters < COUNTERS);
	model.counters[model.n_counters] = c;
	scope_text(&c, model.scopes[model.n_counters], sizeof(model.scopes[0]));
	model.current[model.n_counters] = counter_window(model.n_counters);
	return model.n_counters++;
}

static void engine_begin(void)
{
	struct engine_config cfg = {.max_meters = COUNTERS, .deny_without_budget = model.deny};
	char err[512] = "";

	if (budget_set_new(model.defs, (size_t)model.n_budgets, &set, err, sizeof(err)) < 0)
		broken("%s", err);
	engine = engine_new(set, &cfg);
	REQUIRE(engine);
}

static void engine_end(void)
{
	engine_free(engine);
	budget_set_free(set);
}

static void episode_begin(const struct trace *t)
{
	int64_t scale;
	int n;

	episode_seed = rng = t->seed;
	memset(&model, 0, sizeof(model));
	scale = pick(8) ? 1 : between(1, INT64_MAX / 2000);
	n = 1 + pick(BUDGETS);
	model.now = NOON + between(0, 400 * DAY_S);
	model.deny = pick(2);
	for (int i = 0; i < n; i++) {
		struct budget b = random_budget(i, scale);

		if (t->budgets >> i & 1)
			model.defs[model.n_budgets++] = b;
	}
	for (int i = 0; i < model.n_budgets; i++) {
		tell_budget(&model.defs[i]);
		if (model.defs[i].n_per == 0)
			(void)counter_of(i, 0, 0);
	}
	engine_begin();
}

/* --- episodes ----------------------------------------------------------------------------------------------------- */

/* Mostly young holds; now and then one that has long been resolved. */
static int random_hold(void)
{
	int n = model.n_holds;

	return pick(3) ? n - 1 - pick(n < 12 ? n : 12) : pick(n);
}

static void op_on_hold(int op, int i)
{
	if (op < 5)
		op_mark_sent(i);
	else if (op < 7)
		op_extend(i);
	else if (op < 8)
		op_shrink(i);
	else if (op < 12)
		op_settle(i);
	else if (op < 14)
		op_void(i);
	else
		op_post(i);
}

static void random_op(void)
{
	int op = pick(32), counter = pick(COUNTERS);

	if (op < 8 || (model.n_holds == 0 && op < 23))
		op_reserve(false);
	else if (op < 23)
		op_on_hold(op - 8, random_hold());
	else if (op < 26)
		op_time();
	else if (op < 27)
		op_restore();
	else if (op < 28)
		op_reserve(true);
	else if (op < 29)
		op_limit();
	else if (op < 31 && model.n_counters > 0)
		op < 30 ? op_credit(counter % model.n_counters) : op_adjust(counter % model.n_counters);
	else if (pick(3) == 0)
		op_restart();
}

static void episode_done(void)
{
	for (int i = 0; i < model.n_holds; i++)
		op_void(i);
	same_state(engine);
	SAME(engine_open_holds(engine), 0);
	engine_end();
}

static void episode(const struct trace *t)
{
	step_no = -1;
	episode_begin(t);
	same_state(engine); /* the engine now knows the time, so that going back means something */
	for (int i = 0; i < t->n; i++) {
		step_no = t->op[i];
		if (progress)
			progress->step = step_no;
		rng = mixed(t->seed + UINT64_C(0x9e3779b97f4a7c15) * (uint64_t)(step_no + 1));
		random_op();
		same_state(engine);
	}
	episode_done();
}

/* --- tests -------------------------------------------------------------------------------------------------------- */

static long ops_wanted(void)
{
	const char *text = getenv("BURSAR_ORACLE_OPS");

	return text && text[0] ? strtol(text, NULL, 10) : OPS_DEFAULT;
}

static void run(uint64_t seed)
{
	const char *shrinks = getenv("BURSAR_ORACLE_SHRINK");
	struct trace t;

	print_message("seed %llu, %ld operations\n", (unsigned long long)seed, ops_wanted() / 2);
	if (passes(seed, ops_wanted() / 2, true, &t))
		return;
	print_error("seed %llu, episode %016llx, after %d operations\n", (unsigned long long)seed,
		    (unsigned long long)t.seed, t.n);
	if (!shrinks || strcmp(shrinks, "0") != 0)
		report(&t);
	fail();
}

static void fixed_seed(void **state)
{
	(void)state;
	run(20261121);
}

static void fresh_seed(void **state)
{
	const char *text = getenv("BURSAR_ORACLE_SEED");

	(void)state;
	run(text && text[0] ? strtoull(text, NULL, 10) : (uint64_t)time(NULL));
}

/* A model that forgets credits: found, and shrunken to hardly more than the credit. */
static void a_failure_is_shrunken(void **state)
{
	char text[TRACE_TEXT_SIZE];
	struct trace t, again;

	(void)state;
	planted = true;
	assert_false(passes(1, 100 * EPISODE_OPS, false, &t));
	assert_false(trial(&t, false));
	shrink(&t);
	assert_in_range(t.n, 1, 3);
	assert_true(trace_parse(trace_text(&t, text), &again));
	assert_int_equal(again.n, t.n);
	assert_false(trial(&again, false));
	planted = false;
	assert_true(trial(&again, false));
}

static void replay(void **state)
{
	struct trace t;

	(void)state;
	if (!trace_parse(getenv("BURSAR_ORACLE_TRACE"), &t))
		fail_msg("BURSAR_ORACLE_TRACE is no trace");
	assert_true(trial(&t, true));
}

int main(void)
{
	const char *trace = getenv("BURSAR_ORACLE_TRACE");
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fixed_seed),
	    cmocka_unit_test(fresh_seed),
	    cmocka_unit_test(a_failure_is_shrunken),
	};
	const struct CMUnitTest one[] = {cmocka_unit_test(replay)};

	return trace && trace[0] ? cmocka_run_group_tests(one, NULL, NULL) : cmocka_run_group_tests(tests, NULL, NULL);
}
