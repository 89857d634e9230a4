/* Definitions: what is accepted, whom a budget matches, and the identity of its counters. */
#include "tests/unit/policy_build.h"

#include "policy/overlap.h"

/* --- facts -------------------------------------------------------------------------------------------------------- */

static void fact_words(void **state)
{
	static const char *const names[FACT_COUNT] = {"provider", "model", "key", "user", "team", "project"};
	static const char *const bad[] = {
	    "", "Team", "teams", "tag", "tag.", "tag.A", "tag.a b", "tag.ä", "tag.abcdefghijklmnopqrstuvwxyz0123456"};
	enum fact fact;
	struct slice tag;

	(void)state;
	for (size_t i = 0; i < FACT_COUNT; i++) {
		assert_int_equal(fact_parse(slice_of(names[i]), &fact, &tag), BUR_OK);
		assert_int_equal(fact, i);
		assert_int_equal(tag.n, 0);
	}
	assert_int_equal(fact_parse(SLICE("tag.env_1.x-y"), &fact, &tag), BUR_OK);
	assert_int_equal(fact, FACT_TAG);
	assert_true(slice_eq(tag, SLICE("env_1.x-y")));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(fact_parse(slice_of(bad[i]), &fact, &tag), BUR_INVALID);
}

static void fact_values(void **state)
{
	struct facts f = facts_of("ann", NULL);

	(void)state;
	f.tags[0] = (struct tag){SLICE("env"), SLICE("old")};
	f.tags[1] = (struct tag){SLICE("env"), SLICE("prod")};
	f.n_tags = 2;
	assert_true(slice_eq(facts_get(&f, FACT_USER, SLICE_NONE), SLICE("ann")));
	assert_int_equal(facts_get(&f, FACT_TEAM, SLICE_NONE).n, 0);
	assert_true(slice_eq(facts_get(&f, FACT_TAG, SLICE("env")), SLICE("prod")));
	assert_int_equal(facts_get(&f, FACT_TAG, SLICE("other")).n, 0);
}

static void selectors(void **state)
{
	struct budget b = budget_of("b", 1);
	struct facts f = facts_of("ann", "search");

	(void)state;
	assert_true(budget_matches(&b, &f)); /* none = everything */
	budget_select(&b, FACT_TEAM, "search");
	assert_true(budget_matches(&b, &f));
	budget_select(&b, FACT_MODEL, "gpt-*");
	assert_false(budget_matches(&b, &f)); /* not known */
	f.v[FACT_MODEL] = SLICE("gpt-5");
	assert_true(budget_matches(&b, &f));
	f.v[FACT_MODEL] = SLICE("gpt-");
	assert_true(budget_matches(&b, &f));
	f.v[FACT_MODEL] = SLICE("gpt");
	assert_false(budget_matches(&b, &f));
	f.v[FACT_MODEL] = SLICE("o3");
	assert_false(budget_matches(&b, &f));
}

static void star_needs_a_value(void **state)
{
	struct budget b = budget_of("b", 1);
	struct facts known = facts_of("ann", NULL), unknown = facts_of(NULL, NULL);

	(void)state;
	budget_select(&b, FACT_USER, "*");
	assert_true(budget_matches(&b, &known));
	assert_false(budget_matches(&b, &unknown));
}

static void selector_by_tag(void **state)
{
	struct budget b = budget_of("b", 1);
	struct facts f = facts_of("ann", NULL);

	(void)state;
	b.match[b.n_match++] = (struct selector){FACT_TAG, "env", "prod"};
	assert_false(budget_matches(&b, &f));
	f.tags[f.n_tags++] = (struct tag){SLICE("env"), SLICE("prod")};
	assert_true(budget_matches(&b, &f));
}

/* --- scopes ------------------------------------------------------------------------------------------------------- */

static void assert_scope(const struct budget *b, const struct facts *f, const char *want)
{
	char got[SCOPE_SIZE];
	size_t n = budget_scope(b, f, got, sizeof(got));

	assert_string_equal(got, want);
	assert_int_equal(n, strlen(want));
}

static void scope_text(void **state)
{
	struct budget b = budget_of("b", 1);
	struct facts f = facts_of("ann", NULL);

	(void)state;
	assert_scope(&b, &f, "");
	budget_per(&b, FACT_USER);
	assert_scope(&b, &f, "user=ann");
	b.per[b.n_per++] = (struct per){FACT_TAG, "env"};
	assert_scope(&b, &f, "user=ann,tag.env=");
	f.tags[f.n_tags++] = (struct tag){SLICE("env"), SLICE("prod")};
	assert_scope(&b, &f, "user=ann,tag.env=prod");
}

static void scope_escapes_what_would_be_ambiguous(void **state)
{
	struct budget b = budget_of("b", 1);
	struct facts f = facts_of(NULL, NULL);

	(void)state;
	budget_per(&b, FACT_USER);
	f.v[FACT_USER] = SLICE("a,team=x%~ \n\x7f");
	assert_scope(&b, &f, "user=a%2Cteam%3Dx%25%7E%20%0A%7F");
	f.v[FACT_USER] = slice_mem("a\0b", 3);
	assert_scope(&b, &f, "user=a%00b");
	f.v[FACT_USER] = SLICE("M\xc3\xbcller");
	assert_scope(&b, &f, "user=M\xc3\xbcller");
	f.v[FACT_USER] = SLICE("\xc3\xff\xc2\x85"); /* malformed, and a C1 control character */
	assert_scope(&b, &f, "user=%C3%FF%C2%85");
}

static void long_scopes_are_cut_and_stay_distinct(void **state)
{
	struct budget b = budget_of("b", 1);
	struct facts f = facts_of(NULL, NULL);
	char text[600], one[SCOPE_SIZE], two[SCOPE_SIZE];

	(void)state;
	budget_per(&b, FACT_USER);
	memset(text, 'x', sizeof(text));
	for (size_t n = 240; n < 260; n++) {
		f.v[FACT_USER] = slice_mem(text, n);
		assert_int_equal(budget_scope(&b, &f, one, sizeof(one)), n + 5 > 255 ? 255 : n + 5);
	}
	f.v[FACT_USER] = slice_mem(text, sizeof(text));
	assert_int_equal(budget_scope(&b, &f, one, sizeof(one)), 255);
	text[599] = 'y';
	assert_int_equal(budget_scope(&b, &f, two, sizeof(two)), 255);
	assert_memory_equal(one, two, 238);
	assert_string_not_equal(one, two);
	text[599] = 'x';
	assert_int_equal(budget_scope(&b, &f, two, sizeof(two)), 255);
	assert_string_equal(one, two);
	memset(text, ',', sizeof(text)); /* three bytes each: never cut within an escape */
	assert_in_range(budget_scope(&b, &f, one, sizeof(one)), 253, 255);
	assert_memory_equal(strchr(one, '~') - 3, "%2C", 3);
}

static void identity_is_stable(void **state)
{
	(void)state;
	/* Stored in databases: must never change. */
	assert_true(meter_uid("daily", SLICE("")) == meter_uid("daily", SLICE("")));
	assert_true(meter_uid("daily", SLICE("")) == UINT64_C(0xfef9c814092ff880));
	assert_true(meter_uid("daily", SLICE("user=ann")) == UINT64_C(0xd65709eb98b9c8fc));
	assert_true(meter_uid("a", SLICE("bc")) != meter_uid("ab", SLICE("c")));
}

/* --- what is refused ---------------------------------------------------------------------------------------------- */

static void assert_refused(const struct budget *defs, size_t n, const char *who, const char *what)
{
	struct budget_set *set = NULL;
	char err[256] = "";

	assert_int_equal(budget_set_new(defs, n, &set, err, sizeof(err)), BUR_INVALID);
	assert_null(set);
	if (!strstr(err, who) || !strstr(err, what))
		fail_msg("`%s` does not say `%s` and `%s`", err, who, what);
}

static void bad_numbers(void **state)
{
	struct budget b = budget_of("b", 0);

	(void)state;
	assert_refused(&b, 1, "`b`", "no limit");
	b.limit = -1;
	assert_refused(&b, 1, "`b`", "no limit");
	b = budget_of("b", 1);
	b.unknown_charge_nanousd = -1;
	assert_refused(&b, 1, "`b`", "unknown_model");
	b = budget_of("b", 1);
	b.window.month_anchor = 29;
	assert_refused(&b, 1, "`b`", "28");
	b = budget_of("b", 1);
	b.window.week_start = 7;
	assert_refused(&b, 1, "`b`", "week");
	b = budget_of("b", 1);
	b.window.tz = NULL;
	assert_refused(&b, 1, "`b`", "time zone");
}

static void bad_names(void **state)
{
	struct budget two[2] = {budget_of("same", 1), budget_of("same", 2)};
	char longest[130];

	(void)state;
	assert_refused(two, 2, "`same`", "two of this name");
	two[1].name = NULL;
	assert_refused(two, 2, "budget number 2", "name");
	two[1].name = "";
	assert_refused(two, 2, "budget number 2", "name");
	two[1].name = "line\nbreak";
	assert_refused(two, 2, "budget number 2", "control");
	memset(longest, 'n', sizeof(longest));
	longest[129] = '\0';
	two[1].name = longest;
	assert_refused(two, 2, "budget number 2", "longer");
}

static void bad_steps(void **state)
{
	struct budget b = budget_of("b", 1);

	(void)state;
	budget_step(&b, 90, STEP_ALERT);
	budget_step(&b, 80, STEP_BLOCK);
	assert_refused(&b, 1, "`b`", "out of order");
	b.n_steps = 0;
	budget_step(&b, 0, STEP_ALERT);
	assert_refused(&b, 1, "`b`", "step 1");
	b.n_steps = 0;
	budget_step(&b, 1001, STEP_ALERT);
	assert_refused(&b, 1, "`b`", "step 1");
	b.n_steps = 0;
	budget_step(&b, 90, STEP_ALERT);
	budget_step(&b, 90, STEP_ALERT);
	assert_refused(&b, 1, "`b`", "twice");
	b.n_steps = STEPS_MAX + 1;
	assert_refused(&b, 1, "`b`", "steps");
}

static void bad_kinds_and_figures(void **state)
{
	struct budget b = budget_of("b", 1);

	(void)state;
	b.unit = (enum amount_unit)(UNIT_REQUESTS + 1);
	assert_refused(&b, 1, "`b`", "unit");
	b = budget_of("b", 1);
	b.mode = (enum budget_mode)(MODE_SHADOW + 1);
	assert_refused(&b, 1, "`b`", "mode");
	b = budget_of("b", 1);
	b.unknown_model = (enum unknown_model)(UNKNOWN_CHARGE + 1);
	assert_refused(&b, 1, "`b`", "unknown_model");
	b = budget_of("b", 1);
	b.unknown_charge_nanousd = -1;
	assert_refused(&b, 1, "`b`", "unknown_model");
	b = budget_of("b", 1);
	b.group = "";
	assert_refused(&b, 1, "`b`", "group");
	b = budget_of("b", 1);
	b.parent = "\x7f";
	assert_refused(&b, 1, "`b`", "parent");
	b = budget_of("b", 1);
	b.window.kind = (enum window_kind)(WINDOW_TOTAL + 1);
	assert_refused(&b, 1, "`b`", "window");
	b = budget_of("b", 1);
	b.window.month_anchor = 29;
	assert_refused(&b, 1, "`b`", "28");
	b = budget_of("b", 1);
	b.fiscal_month = 13;
	assert_refused(&b, 1, "`b`", "fiscal");
	b = budget_of("b", 1);
	b.rolling_s = 61;
	assert_refused(&b, 1, "`b`", "rolling");
	b.rolling_s = INT64_C(367) * DAY_S;
	assert_refused(&b, 1, "`b`", "rolling");
	assert_refused(&b, BUDGETS_MAX + 1, "4097", "4096");
}

static void the_longest_rolling_window_is_known(void **state)
{
	struct budget defs[3] = {budget_of("a", 1), budget_of("b", 1), budget_of("c", 1)};
	struct budget_set *set = set_of(defs, 1);

	(void)state;
	assert_int_equal(budget_set_longest_rolling_s(set), 0);
	budget_set_free(set);
	defs[1].rolling_s = DAY_S;
	defs[2].rolling_s = HOUR_S;
	set = set_of(defs, 3);
	assert_int_equal(budget_set_longest_rolling_s(set), DAY_S + DAY_S / 60);
	budget_set_free(set);
}

static void assert_bad_step(const struct budget_step *s, enum amount_unit unit, const char *what)
{
	struct budget b = budget_of("b", 1);

	b.unit = unit;
	b.steps[b.n_steps++] = *s;
	assert_refused(&b, 1, "`b`", what);
}

static struct budget_step sane_step(enum step_action action)
{
	struct budget b = {.n_steps = 0};

	budget_step(&b, 50, action);
	return b.steps[0];
}

static void each_kind_of_step_has_its_bounds(void **state)
{
	struct budget b = budget_of("b", 1);
	struct budget_step s;

	(void)state;
	for (int action = STEP_ALERT; action <= STEP_CLAMP; action++)
		b.steps[b.n_steps++] = sane_step((enum step_action)action);
	budget_set_free(set_of(&b, 1));
	s = sane_step((enum step_action)(STEP_CLAMP + 1));
	assert_bad_step(&s, UNIT_USD, "unknown action");
	s = sane_step(STEP_THROTTLE);
	s.max_delay_ns = INT64_C(60000000001);
	assert_bad_step(&s, UNIT_USD, "throttle");
	s.max_delay_ns = -1;
	assert_bad_step(&s, UNIT_USD, "throttle");
	s = sane_step(STEP_CLAMP);
	s.min_out = 0;
	assert_bad_step(&s, UNIT_USD, "clamp");
	s.min_out = 10000001;
	assert_bad_step(&s, UNIT_USD, "clamp");
}

static void pace_steps_are_sane(void **state)
{
	struct budget_step s = sane_step(STEP_PACE);

	(void)state;
	assert_bad_step(&s, UNIT_TOKENS, "USD");
	s.pace.factor_milli = 0;
	assert_bad_step(&s, UNIT_USD, "factor");
	s.pace.factor_milli = 1000001;
	assert_bad_step(&s, UNIT_USD, "factor");
	s.pace.per_minute_nanousd = -1;
	assert_bad_step(&s, UNIT_USD, "rate");
	s = sane_step(STEP_PACE);
	s.pace.burst_ns = -1;
	assert_bad_step(&s, UNIT_USD, "burst");
	s.pace.burst_ns = INT64_MAX;
	assert_bad_step(&s, UNIT_USD, "burst");
	s = sane_step(STEP_PACE);
	s.pace.max_wait_ns = INT64_C(60000000001);
	assert_bad_step(&s, UNIT_USD, "wait");
	s.pace.max_wait_ns = -1;
	assert_bad_step(&s, UNIT_USD, "wait");
}

static void degrade_maps_name_two_models(void **state)
{
	static const struct degrade bad[][2] = {
	    {{"a", "a"}, {"b", "c"}},  {{"a", "b"}, {"a", "c"}},   {{"", "b"}, {"x", "c"}},   {{"a", ""}, {"x", "c"}},
	    {{"a", "b*"}, {"b", "c"}}, {{"a*b", "c"}, {"b", "c"}}, {{NULL, "b"}, {"b", "c"}}, {{"a", NULL}, {"b", "c"}},
	};
	struct budget_step s = sane_step(STEP_DEGRADE);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		s.map = bad[i];
		s.n_map = 2;
		assert_bad_step(&s, UNIT_USD, "degrade");
	}
	s = sane_step(STEP_DEGRADE);
	s.n_map = 0;
	assert_bad_step(&s, UNIT_USD, "map");
	s.n_map = DEGRADES_MAX + 1;
	assert_bad_step(&s, UNIT_USD, "map");
	s.n_map = 1;
	s.map = NULL;
	assert_bad_step(&s, UNIT_USD, "map");
}

static void bad_output_bounds_and_breakers(void **state)
{
	struct budget b = budget_of("b", 1);

	(void)state;
	b.default_max_out = 10000001;
	assert_refused(&b, 1, "`b`", "output");
	b = budget_of("b", 1);
	b.hold = (enum hold_mode)3;
	assert_refused(&b, 1, "`b`", "hold");
	b = budget_of("b", 1);
	b.breaker = (struct budget_breaker){.on = true, .cool_down_s = 900};
	budget_set_free(set_of(&b, 1));
	b.breaker.max_request_nanousd = -1;
	assert_refused(&b, 1, "`b`", "breaker");
	b.breaker = (struct budget_breaker){.on = true, .velocity_nanousd = 1};
	assert_refused(&b, 1, "`b`", "breaker");
	b.breaker = (struct budget_breaker){.on = true, .cool_down_s = 86401};
	assert_refused(&b, 1, "`b`", "breaker");
}

static void bad_selectors(void **state)
{
	struct budget b = budget_of("b", 1);

	(void)state;
	budget_select(&b, FACT_MODEL, "gpt*mini");
	assert_refused(&b, 1, "`b`", "`*`");
	b.match[0].value = "";
	assert_refused(&b, 1, "`b`", "empty");
	b.match[0].value = "a";
	budget_select(&b, FACT_MODEL, "b");
	assert_refused(&b, 1, "`b`", "twice");
	b.match[1] = (struct selector){FACT_TAG, NULL, "x"};
	assert_refused(&b, 1, "`b`", "unknown");
	b.match[1] = (struct selector){FACT_TAG, "BAD", "x"};
	assert_refused(&b, 1, "`b`", "unknown");
	b.n_match = SELECTORS_MAX + 1;
	assert_refused(&b, 1, "`b`", "selectors");
	b.n_match = 0;
	budget_per(&b, FACT_USER);
	budget_per(&b, FACT_USER);
	assert_refused(&b, 1, "`b`", "`per`");
	b.n_per = SELECTORS_MAX + 1;
	assert_refused(&b, 1, "`b`", "`per`");
}

/* --- the set ------------------------------------------------------------------------------------------------------ */

static void set_owns_its_text(void **state)
{
	char name[] = "mine", value[] = "search", tag[] = "env";
	struct budget def = budget_of(name, 5);
	struct budget_set *set;
	const struct budget *b;

	(void)state;
	budget_select(&def, FACT_TEAM, value);
	def.per[def.n_per++] = (struct per){FACT_TAG, tag};
	set = set_of(&def, 1);
	memset(name, 'x', 4);
	memset(value, 'x', 6);
	memset(tag, 'x', 3);
	assert_int_equal(budget_set_len(set), 1);
	b = budget_set_at(set, 0);
	assert_string_equal(b->name, "mine");
	assert_string_equal(b->match[0].value, "search");
	assert_string_equal(b->per[0].tag, "env");
	budget_set_free(set);
	budget_set_free(NULL);
	set = set_of(NULL, 0);
	assert_int_equal(budget_set_len(set), 0);
	budget_set_free(set);
}

static void set_owns_its_maps(void **state)
{
	char from[] = "big", to[] = "small";
	struct degrade map[] = {{from, to}};
	struct budget def = budget_of("b", 5);
	const struct budget_step *s;
	struct budget_set *set;

	(void)state;
	budget_step(&def, 50, STEP_DEGRADE);
	def.steps[0].map = map;
	def.steps[0].n_map = 1;
	budget_step(&def, 60, STEP_ALERT);
	set = set_of(&def, 1);
	from[0] = to[0] = 'x';
	map[0] = (struct degrade){"", ""};
	s = budget_set_at(set, 0)->steps;
	assert_string_equal(s[0].map[0].from, "big");
	assert_string_equal(s[0].map[0].to, "small");
	assert_null(s[1].map); /* of no meaning there */
	assert_int_equal(s[1].n_map, 0);
	budget_set_free(set);
}

static void steps_when_none_are_written(void **state)
{
	static const int64_t at[] = {750000, 900000, 1000000, 1000000, 1000000};
	static const enum step_action actions[] = {STEP_ALERT, STEP_ALERT, STEP_ALERT, STEP_CLAMP, STEP_BLOCK};
	struct budget def = budget_of("b", 1);
	struct budget_set *set = set_of(&def, 1);
	const struct budget *b = budget_set_at(set, 0);

	(void)state;
	assert_int_equal(b->n_steps, ARRAY_LEN(at));
	for (size_t i = 0; i < ARRAY_LEN(at); i++) {
		assert_int_equal(b->steps[i].at_ppm, at[i]);
		assert_int_equal(b->steps[i].action, actions[i]);
	}
	assert_int_equal(b->steps[3].min_out, STEP_MIN_OUT);
	budget_set_free(set);
}

/* --- at most sixteen at once -------------------------------------------------------------------------------------- */

static void seventeen_at_once_is_refused(void **state)
{
	struct budget defs[MATCH_MAX + 1];
	char names[MATCH_MAX + 1][8];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(defs); i++) {
		(void)snprintf(names[i], sizeof(names[i]), "b%zu", i);
		defs[i] = budget_of(names[i], 1);
	}
	budget_set_free(set_of(defs, MATCH_MAX));
	assert_refused(defs, MATCH_MAX + 1, "`b16`", "more than 16");
	/* One of them for another team: with it the others are fifteen. */
	budget_select(&defs[0], FACT_TEAM, "a");
	budget_select(&defs[16], FACT_TEAM, "b");
	budget_set_free(set_of(defs, MATCH_MAX + 1));
	defs[16].match[0].value = "*";
	assert_refused(defs, MATCH_MAX + 1, "`b16`", "more than 16");
}

static void pairs(void **state)
{
	static const struct {
		const char *a, *b;
		bool meet;
	} rows[] = {{"x", "x", true},    {"x", "y", false},   {"x*", "xy", true}, {"xy*", "x", false},
		    {"x*", "xy*", true}, {"a*", "b*", false}, {"*", "x", true},   {"x*", "x", true},
		    {"xy", "x*", true},  {"xa*", "xb", false}};
	struct budget a = budget_of("a", 1), b = budget_of("b", 1);

	(void)state;
	assert_true(overlap_pair(&a, &b));
	budget_select(&a, FACT_USER, "");
	assert_true(overlap_pair(&a, &b));
	budget_select(&b, FACT_USER, "");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		a.match[0].value = rows[i].a;
		b.match[0].value = rows[i].b;
		assert_int_equal(overlap_pair(&a, &b), rows[i].meet);
		assert_int_equal(overlap_pair(&b, &a), rows[i].meet);
	}
	a.match[0] = (struct selector){FACT_TAG, "env", "x"};
	b.match[0] = (struct selector){FACT_TAG, "env", "y"};
	assert_false(overlap_pair(&a, &b));
	b.match[0].tag = "other";
	assert_true(overlap_pair(&a, &b));
}

/* The search against trying every call, on random small sets. */
static void overlap_is_exact(void **state)
{
	static const char *const values[] = {"a", "b", "c*", "ca", "cb"};
	static const char *const calls[] = {"a", "b", "ca", "cb", "d"};
	struct budget defs[24];

	(void)state;
	srand(7);
	for (int round = 0; round < 2000; round++) {
		size_t n = 1 + (size_t)rand() % ARRAY_LEN(defs), most = 0;

		for (size_t i = 0; i < n; i++) {
			defs[i] = budget_of("b", 1);
			for (int fact = FACT_USER; fact <= FACT_PROJECT; fact++) {
				if (rand() % 2)
					budget_select(&defs[i], (enum fact)fact, values[rand() % 5]);
			}
		}
		for (int call = 0; call < 125; call++) {
			struct facts f = facts_of(calls[call % 5], calls[call / 5 % 5]);
			size_t hits = 0;

			f.v[FACT_PROJECT] = slice_of(calls[call / 25]);
			for (size_t i = 0; i < n; i++)
				hits += budget_matches(&defs[i], &f);
			most = hits > most ? hits : most;
		}
		assert_int_equal(overlap_check(defs, n, most), BUR_OK);
		if (most > 0)
			assert_int_equal(overlap_check(defs, n, most - 1), BUR_TOOBIG);
	}
}

static void many_separate_budgets_load_quickly(void **state)
{
	size_t n = BUDGETS_MAX;
	struct budget *defs = calloc(n + 1, sizeof(*defs));
	char(*names)[16] = calloc(n + 1, sizeof(*names));
	struct budget_set *set;

	(void)state;
	assert_true(defs && names);
	for (size_t i = 0; i <= n; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "b%zu", i);
		defs[i] = budget_of(names[i], 1);
		budget_select(&defs[i], (enum fact)(FACT_MODEL + i % 4), names[i]);
	}
	set = set_of(defs, n);
	budget_set_free(set);
	assert_refused(defs, n + 1, "4097", "at most 4096");
	free(names);
	free(defs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fact_words),
	    cmocka_unit_test(fact_values),
	    cmocka_unit_test(selectors),
	    cmocka_unit_test(star_needs_a_value),
	    cmocka_unit_test(selector_by_tag),
	    cmocka_unit_test(scope_text),
	    cmocka_unit_test(scope_escapes_what_would_be_ambiguous),
	    cmocka_unit_test(long_scopes_are_cut_and_stay_distinct),
	    cmocka_unit_test(identity_is_stable),
	    cmocka_unit_test(bad_numbers),
	    cmocka_unit_test(bad_names),
	    cmocka_unit_test(bad_steps),
	    cmocka_unit_test(bad_kinds_and_figures),
	    cmocka_unit_test(the_longest_rolling_window_is_known),
	    cmocka_unit_test(each_kind_of_step_has_its_bounds),
	    cmocka_unit_test(pace_steps_are_sane),
	    cmocka_unit_test(degrade_maps_name_two_models),
	    cmocka_unit_test(bad_output_bounds_and_breakers),
	    cmocka_unit_test(set_owns_its_maps),
	    cmocka_unit_test(bad_selectors),
	    cmocka_unit_test(set_owns_its_text),
	    cmocka_unit_test(steps_when_none_are_written),
	    cmocka_unit_test(seventeen_at_once_is_refused),
	    cmocka_unit_test(pairs),
	    cmocka_unit_test(overlap_is_exact),
	    cmocka_unit_test(many_separate_budgets_load_quickly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
