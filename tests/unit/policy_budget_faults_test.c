/* Definitions without memory, and every number of a definition just out of its range. */
#include "tests/unit/policy_build.h"

#include "policy/budget_window.h"
#include "policy/overlap.h"
#include "policy/pace.h"
#include "policy/parent.h"
#include "policy/window_ring.h"
#include "tests/unit/faults.h"

static void refused(struct budget b, const char *what)
{
	struct budget_set *set = NULL;
	char err[400] = "";

	assert_int_equal(budget_set_new(&b, 1, &set, err, sizeof(err)), BUR_INVALID);
	if (!strstr(err, what))
		fail_msg("`%s` does not say `%s`", err, what);
	assert_int_equal(budget_set_new(&b, 1, &set, err, 0), BUR_INVALID);
}

#define REFUSED(change, what)                                                                                          \
	do {                                                                                                           \
		struct budget b = budget_of("b", 1);                                                                   \
                                                                                                                       \
		change;                                                                                                \
		refused(b, what);                                                                                      \
	} while (0)

static void out_of_range(void **state)
{
	(void)state;
	REFUSED(b.window.week_start = -1, "week");
	REFUSED(b.window.month_anchor = -1, "28");
	REFUSED(b.fiscal_month = -1, "fiscal");
	REFUSED(b.fiscal_month = 13, "fiscal");
	REFUSED(b.rolling_s = -60, "rolling");
	REFUSED(b.rolling_s = 90, "rolling");
	REFUSED(b.rolling_s = 367 * DAY_S, "rolling");
	REFUSED((b.breaker.on = true, b.breaker.max_request_nanousd = -1), "breaker");
	REFUSED((b.breaker.on = true, b.breaker.velocity_nanousd = -1), "breaker");
	REFUSED((b.breaker.on = true, b.breaker.probe_nanousd = -1), "breaker");
	REFUSED((b.per[0] = (struct per){FACT_TAG, "BAD"}, b.n_per = 1), "`per`");
	REFUSED((b.per[0] = (struct per){FACT_TAG, NULL}, b.n_per = 1), "`per`");
	REFUSED((b.per[0] = (struct per){(enum fact)99, "x"}, b.n_per = 1), "`per`");
	REFUSED((b.per[0] = b.per[1] = (struct per){FACT_TAG, "env"}, b.n_per = 2), "twice");
	assert_string_equal(budget_mode_name(MODE_HARD), "hard");
	assert_string_equal(budget_mode_name(MODE_SHADOW), "shadow");
}

static int too_many(size_t reterr_size)
{
	struct budget_set *set = NULL;
	struct budget b = budget_of("b", 1);
	char err[100] = "own";
	int r = budget_set_new(&b, BUDGETS_MAX + 1, &set, err, reterr_size);

	assert_int_equal(strcmp(err, "own") == 0, reterr_size == 0);
	return r;
}

static void what_is_left_out_has_a_meaning(void **state)
{
	struct budget b = budget_of("b", 1);
	struct budget_set *set;

	(void)state;
	b.window.month_anchor = b.fiscal_month = 0;
	b.per[b.n_per++] = (struct per){FACT_TAG, "env"};
	b.per[b.n_per++] = (struct per){FACT_TAG, "team"};
	set = set_of(&b, 1);
	assert_int_equal(budget_set_at(set, 0)->window.month_anchor, 1);
	assert_int_equal(budget_set_at(set, 0)->fiscal_month, 1);
	budget_set_free(set);
	b = budget_of("b", 1);
	b.window = (struct window_spec){.kind = WINDOW_TOTAL}; /* needs no zone */
	b.fiscal_month = 4;
	set = set_of(&b, 1);
	assert_int_equal(budget_set_at(set, 0)->fiscal_month, 4);
	budget_set_free(set);
	assert_int_equal(too_many(100), BUR_INVALID);
	assert_int_equal(too_many(0), BUR_INVALID);
}

static int load_rich(void *arg)
{
	struct budget defs[2] = {budget_of("org", 100), budget_of("team", 50)};
	struct budget_set *set = NULL;
	char err[300] = "";
	int r;

	defs[1].parent = "org";
	defs[1].group = "team";
	budget_select(&defs[1], FACT_TEAM, "search");
	defs[1].match[defs[1].n_match++] = (struct selector){FACT_TAG, "env", "prod"};
	budget_select(&defs[1], FACT_MODEL, "gpt*");
	defs[1].per[defs[1].n_per++] = (struct per){FACT_TAG, "who"};
	budget_per(&defs[1], FACT_USER);
	budget_step(&defs[1], 80, STEP_DEGRADE);
	budget_step(&defs[1], 100, STEP_BLOCK);
	r = budget_set_new(defs, 2, &set, err, arg ? 0 : sizeof(err));
	if (r == BUR_NOMEM && !arg)
		assert_string_equal(err, "out of memory");
	budget_set_free(set);
	return r;
}

/* So much text that it needs several blocks of memory, whose ends lie at other texts for another `pad`. */
static int load_long(size_t pad)
{
	enum { N = 96 };
	static char names[N][128], values[N][257];
	static const char tag[] = "abcdefghijklmnopqrstuvwxyz012345";
	struct budget *defs = __real_calloc(N, sizeof(*defs));
	struct degrade map[2] = {{.from = values[0]}, {.from = values[1]}};
	struct budget_set *set = NULL;
	char err[300] = "";
	int r;

	for (size_t i = 0; i < N; i++) {
		memset(names[i], 'n', sizeof(names[i]));
		(void)snprintf(names[i], 16, "%07zu", i);
		names[i][7] = 'n';
		names[i][64 + (pad + i) % 60] = '\0';
		memset(values[i], 'v', sizeof(values[i]));
		(void)snprintf(values[i], 16, "%07zu", i);
		values[i][7] = 'v';
		values[i][130 + (pad * 7) % 120] = '\0';
		defs[i] = budget_of(names[i], 1);
		defs[i].group = names[i];
		budget_select(&defs[i], FACT_TEAM, values[i]);
		defs[i].match[defs[i].n_match++] = (struct selector){FACT_TAG, tag, values[i]};
		defs[i].per[defs[i].n_per++] = (struct per){FACT_TAG, tag};
		defs[i].per[defs[i].n_per++] = (struct per){FACT_TAG, "other"};
		budget_step(&defs[i], 80, STEP_DEGRADE);
		budget_step(&defs[i], 90, STEP_ALERT);
		map[0].to = map[1].to = "small";
		defs[i].steps[0].map = map;
	}
	r = budget_set_new(defs, N, &set, err, sizeof(err));
	budget_set_free(set);
	free(defs);
	return r;
}

static void out_of_memory_anywhere(void **state)
{
	static int no_words;
	int failures = 0;

	(void)state;
	assert_true(every_fault(FAULTY_ALLOC, ENOMEM, BUR_NOMEM, load_rich, NULL) >= 2);
	assert_true(every_fault(FAULTY_ALLOC, ENOMEM, BUR_NOMEM, load_rich, &no_words) >= 2);
	/* Blocks come from mmap, under a sanitizer from malloc, or are there already from before. */
	for (int i = 0; i < 400; i++) {
		enum faulty call = i % 2 ? FAULTY_MAP : FAULTY_ALLOC;
		int r;

		fault_arm(call, 1 + i % 23, ENOMEM);
		r = load_long((size_t)i);
		assert_int_equal(r, fault_met(call) ? BUR_NOMEM : BUR_OK);
		failures += r < 0;
	}
	assert_true(failures > 5);
}

/* Too many at once, of which the first that fails is looked for; without memory in the midst of it. */
static int load_too_many(void *arg)
{
	static char names[64][8];
	struct budget defs[64];
	struct budget_set *set = NULL;
	char err[300];
	int r;

	for (size_t i = 0; i < ARRAY_LEN(defs); i++) {
		(void)snprintf(names[i], sizeof(names[i]), "b%zu", i);
		defs[i] = budget_of(names[i], 1);
	}
	r = budget_set_new(defs, ARRAY_LEN(defs), &set, err, sizeof(err));
	if (r == BUR_INVALID)
		assert_non_null(strstr(err, "`b16`"));
	(void)arg;
	return r == BUR_INVALID ? BUR_OK : r;
}

static void too_many_without_memory(void **state)
{
	(void)state;
	assert_true(every_fault(FAULTY_ALLOC, ENOMEM, BUR_NOMEM, load_too_many, NULL) > 4);
}

static void credit_of_a_ring_has_a_limit(void **state)
{
	struct window_ring r;

	(void)state;
	window_ring_init(&r, 10);
	assert_int_equal(window_ring_credit(&r, 10, INT64_MAX), BUR_OK);
	assert_int_equal(window_ring_credit(&r, 10, 1), BUR_OVERFLOW);
	assert_int_equal(window_ring_credit(&r, 9, 1), BUR_OVERFLOW); /* the bucket has room, the sum has not */
	assert_true(r.credit == INT64_MAX);
}

static void odd_rates(void **state)
{
	struct pace_limits lim = {.burst_ns = 1, .max_wait_ns = 1};
	struct pace p = {.tat_ns = 77};
	struct pace_rate none = {1, 0};
	int64_t wait;
	int retry;

	(void)state;
	assert_int_equal(pace_rate_share(1, 0, 1000).nanousd, 0);
	assert_int_equal(pace_rate_share(1, 60, 0).nanousd, 0);
	assert_int_equal(pace_admit(&p, &none, &lim, 1, 0, &wait, &retry), BUR_DENIED);
	pace_give_back(&p, &none, &lim, 1, 0);
	none = (struct pace_rate){0, 1};
	pace_give_back(&p, &none, &lim, 1, 0);
	assert_int_equal(p.tat_ns, 77);
}

static void windows_far_away(void **state)
{
	struct budget b = budget_of("b", 1), week = b, month = b;
	int64_t start, end, s;

	(void)state;
	b.window.kind = WINDOW_YEAR;
	b.fiscal_month = 4;
	budget_window_at(&b, INT64_MIN, &start, &end);
	assert_true(start < end);
	budget_window_at(&b, INT64_MAX, &start, &end);
	assert_true(start < end);
	assert_int_equal(budget_window_parse_rolling(SLICE("rolling    "), &s), BUR_INVALID);
	week.window.kind = WINDOW_WEEK;
	month.window.kind = WINDOW_MONTH;
	assert_true(budget_window_within(&week, &week));
	assert_false(budget_window_within(&week, &month));
}

static void empty_patterns_hold_nothing(void **state)
{
	struct budget a = budget_of("a", 1), b = budget_of("b", 1);
	struct facts f = facts_of("ann", NULL);
	enum fact fact;
	struct slice tag;

	(void)state;
	budget_select(&a, FACT_USER, "");
	budget_select(&b, FACT_USER, "");
	assert_false(budget_matches(&a, &f));
	assert_true(overlap_pair(&a, &b));
	b.match[0].value = "*";
	assert_true(overlap_pair(&a, &b));
	assert_int_equal(fact_parse(SLICE("tag.{"), &fact, &tag), BUR_INVALID);
}

static void the_first_bad_one_is_named(void **state)
{
	struct budget defs[2] = {budget_of("first", 0), budget_of("second", 0)};
	struct budget_set *set = NULL;
	char err[200] = "";

	(void)state;
	assert_int_equal(budget_set_new(defs, 2, &set, err, sizeof(err)), BUR_INVALID);
	assert_non_null(strstr(err, "`first`"));
	defs[0] = budget_of("paced", 100);
	budget_step(&defs[0], 80, STEP_PACE);
	defs[0].steps[0].pace.per_minute_nanousd = 5;
	defs[0].steps[0].pace.factor_milli = 0; /* not asked for */
	budget_set_free(set_of(defs, 1));
}

/* Where the clock goes back over the midnight with which the fiscal year begins, it begins once. */
static void fiscal_year_begins_once(void **state)
{
	struct budget b = budget_of("b", 1);
	struct tz *tz = NULL;
	int64_t start, end, first = 1194143400; /* 2007-11-04T02:30:00Z, midnight in St John's; back at 00:01 */

	(void)state;
	if (tz_load("America/St_Johns", &tz) < 0)
		skip();
	b.window = (struct window_spec){.kind = WINDOW_YEAR, .month_anchor = 4, .tz = tz};
	b.fiscal_month = 11;
	budget_window_at(&b, first - 1, &start, &end);
	assert_int_equal(end, first);
	budget_window_at(&b, first + 900, &start, &end); /* 23:15 of the day before once more */
	assert_int_equal(start, first);
	tz_free(tz);
}

static void words_of_parents(void **state)
{
	struct budget d[2] = {budget_of("org", 5), budget_of("team", 9)};
	struct budget_set *set = NULL;
	char err[400] = "";

	(void)state;
	d[0].unit = d[1].unit = UNIT_REQUESTS;
	d[0].window_name = d[1].window_name = NULL;
	d[1].parent = "org";
	assert_int_equal(budget_set_new(d, 2, &set, err, sizeof(err)), BUR_INVALID);
	assert_non_null(strstr(err, "9 requests"));
	d[0].per[d[0].n_per++] = (struct per){FACT_TAG, "env"};
	budget_select(&d[1], FACT_TEAM, "search");
	assert_int_equal(budget_set_new(d, 2, &set, err, sizeof(err)), BUR_INVALID);
	assert_non_null(strstr(err, "each tag.env"));
	d[0].n_per = 0;
	budget_select(&d[0], FACT_TEAM, "");
	d[0].match[0].value = "other";
	assert_int_equal(budget_set_new(d, 2, &set, err, sizeof(err)), BUR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(out_of_range),
	    cmocka_unit_test(what_is_left_out_has_a_meaning),
	    cmocka_unit_test(out_of_memory_anywhere),
	    cmocka_unit_test(too_many_without_memory),
	    cmocka_unit_test(credit_of_a_ring_has_a_limit),
	    cmocka_unit_test(odd_rates),
	    cmocka_unit_test(windows_far_away),
	    cmocka_unit_test(empty_patterns_hold_nothing),
	    cmocka_unit_test(the_first_bad_one_is_named),
	    cmocka_unit_test(fiscal_year_begins_once),
	    cmocka_unit_test(words_of_parents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
