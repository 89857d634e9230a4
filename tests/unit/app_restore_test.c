/* What people changed is there again after a start, to the last cent: limits unless the configuration was edited,
 * credits with what is left of them; never more than the engine had, and never twice. */
#include "tests/unit/store_help.h"

#include "app/restore.h"
#include "policy/budget_window.h"

#define DAY INT64_C(86400)
#define T0 (19700 * DAY) /* a midnight */

static char dir[64];
static struct tz *utc;

static int setup(void **state)
{
	(void)state;
	new_dir(dir);
	log_init(STDERR_FILENO, LOG_ERROR);
	return tz_load("UTC", &utc);
}

static int teardown(void **state)
{
	(void)state;
	tz_free(utc);
	remove_dir(dir);
	return 0;
}

/* --- a run of the program ----------------------------------------------------------------------------------------- */

struct run {
	struct store *store;
	struct budget_set *set;
	struct engine *engine;
	struct restored restored;
};

static int restore_meter(void *ctx, const struct meter_row *m)
{
	struct run *r = ctx;
	int e = engine_restore(r->engine, m->budget, m->scope, m->win_start, m->win_end, m->posted, m->credit,
			       m->warned_mask, m->win_start);

	assert_true(e == BUR_OK || e == BUR_NOTFOUND);
	return BUR_OK;
}

/* The budgets: "d" of 100 a day, "r" of 100 in 24 hours. */
static struct run start(int64_t limit, int64_t now_s)
{
	struct budget defs[] = {
	    {.name = "d", .window_name = "day", .limit = limit},
	    {.name = "r", .window_name = "rolling 24h", .limit = 100, .rolling_s = DAY},
	};
	struct engine_config config = {.max_meters = 100};
	struct store_config cfg = test_config(dir);
	struct run r = {.store = must_open(&cfg, NULL)};
	char err[200];

	for (size_t i = 0; i < ARRAY_LEN(defs); i++)
		defs[i].window = (struct window_spec){.kind = WINDOW_DAY, .month_anchor = 1, .tz = utc};
	assert_int_equal(budget_set_new(defs, ARRAY_LEN(defs), &r.set, err, sizeof(err)), BUR_OK);
	r.engine = engine_new(r.set, &config);
	assert_non_null(r.engine);
	assert_int_equal(store_each_meter(r.store, now_s - 2 * DAY, restore_meter, &r), BUR_OK);
	assert_int_equal(restore_changes(r.store, r.set, r.engine, now_s, &r.restored), BUR_OK);
	return r;
}

static void settle(struct run *r)
{
	assert_int_equal(restore_settle(r->store, r->set, r->engine, &r->restored), BUR_OK);
}

static void stop(struct run *r)
{
	restore_done(&r->restored);
	engine_check(r->engine);
	engine_free(r->engine);
	budget_set_free(r->set);
	store_close(r->store);
}

static struct meter_view view(const struct run *r, const char *name, int64_t now_s)
{
	struct meter_view v[8];
	size_t n = engine_snapshot(r->engine, now_s, v, 8);

	for (size_t i = 0; i < n && i < 8; i++)
		if (strcmp(v[i].budget->name, name) == 0)
			return v[i];
	fail_msg("no %s", name);
	return v[0];
}

static struct operation why(void)
{
	return (struct operation){.actor = SLICE("ann"), .reason = SLICE("test"), .now_ns = clock_wall_ns()};
}

static int64_t window_of(const struct run *r, const char *name, int64_t now_s)
{
	int64_t start_s, end_s;

	budget_window_at(budget_set_at(r->set, name[0] == 'r'), now_s, &start_s, &end_s);
	return start_s;
}

static void credit(struct run *r, const char *name, int64_t amount, int64_t now_s, int64_t expires_s, bool carry)
{
	struct operate_credit c = {.budget = slice_of(name),
				   .unit = UNIT_USD,
				   .amount = amount,
				   .win_start = window_of(r, name, now_s),
				   .expires_s = expires_s,
				   .carry_over = carry};
	struct operation op = why();
	struct operated done;

	op.now_ns = now_s * NS_PER_S;
	assert_int_equal(operate_credit(r->store, &op, &c, &done), BUR_OK);
}

static void spend(struct run *r, const char *name, int64_t amount, int64_t now_s)
{
	const struct operate_charge c = {.budget = slice_of(name),
					 .unit = UNIT_USD,
					 .meter_uid = meter_uid(name, SLICE_NONE),
					 .win_start = window_of(r, name, now_s),
					 .amount = amount};
	struct operation op = why();
	struct operated done;
	uint8_t uid[16];

	op.now_ns = now_s * NS_PER_S;
	assert_int_equal(operate_charge(r->store, &op, &c, &done, uid), BUR_OK);
}

static void set_limit(struct run *r, int64_t configured, int64_t limit, int64_t at_s)
{
	const struct operate_limit l = {
	    .budget = SLICE("d"), .unit = UNIT_USD, .configured = configured, .limit = limit};
	struct operation op = why();
	struct operated done;
	int64_t now;

	op.now_ns = at_s * NS_PER_S;
	assert_int_equal(operate_limit(r->store, &op, &l, &done, &now), BUR_OK);
}

/* The credit in force after a start at that instant; twice, as a killed start changes nothing. */
static int64_t credit_after(const char *name, int64_t now_s, bool settled)
{
	struct run r = start(100, now_s);
	int64_t first = view(&r, name, now_s).credit;

	if (settled)
		settle(&r);
	stop(&r);
	r = start(100, now_s);
	assert_int_equal(view(&r, name, now_s).credit, first);
	stop(&r);
	return first;
}

/* --- limits ------------------------------------------------------------------------------------------------------- */

static void limits_last_until_the_file_is_edited(void **state)
{
	struct run r = start(100, T0);

	(void)state;
	settle(&r);
	set_limit(&r, 100, 150, T0);
	stop(&r);
	r = start(100, T0);
	assert_int_equal(view(&r, "d", T0).limit, 150);
	settle(&r);
	assert_int_equal(view(&r, "d", T0).limit, 150);
	stop(&r);
	r = start(120, T0); /* a look with another file drops nothing */
	assert_int_equal(view(&r, "d", T0).limit, 120);
	stop(&r);
	r = start(100, T0);
	assert_int_equal(view(&r, "d", T0).limit, 150);
	stop(&r);
	r = start(120, T0); /* a server with it does */
	settle(&r);
	stop(&r);
	r = start(100, T0);
	settle(&r);
	assert_int_equal(view(&r, "d", T0).limit, 100);
	stop(&r);
}

/* --- credits ------------------------------------------------------------------------------------------------------ */

static void credit_ends_with_its_window(void **state)
{
	struct run r = start(100, T0);

	(void)state;
	credit(&r, "d", 5, T0, OPERATE_NEVER, false);
	credit(&r, "d", 6, T0, OPERATE_NEVER, false);
	credit(&r, "r", 7, T0, OPERATE_NEVER, false);
	stop(&r);
	assert_int_equal(credit_after("d", T0 + 100, true), 11);
	assert_int_equal(credit_after("d", T0 + DAY, false), 0);
	assert_int_equal(credit_after("r", T0 + DAY / 2, true), 7);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM credit"), 3);
	assert_int_equal(credit_after("r", T0 + 2 * DAY, true), 0);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM credit"), 0);
}

static void what_was_used_of_an_expired_credit_stays(void **state)
{
	struct run r = start(100, T0);

	(void)state;
	credit(&r, "d", 10, T0, T0 + 3600, false);
	credit(&r, "r", 10, T0, T0 + 3600, false);
	stop(&r);
	assert_int_equal(credit_after("d", T0 + 3599, true), 10);
	assert_int_equal(credit_after("r", T0 + 3599, true), 10);
	assert_int_equal(credit_after("d", T0 + 3600, false), 0);
	r = start(100, T0);
	spend(&r, "d", 103, T0);
	stop(&r);
	assert_int_equal(credit_after("d", T0 + 3599, true), 10);
	assert_int_equal(credit_after("d", T0 + 3600, true), 3);
	assert_int_equal(credit_after("r", T0 + 3600, true), 0);
	assert_int_equal(credit_after("d", T0 + DAY, true), 0);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM credit"), 0);
}

/* Over three days, with a start in between or without. */
static void carry(bool settled)
{
	struct run r = start(100, T0);

	credit(&r, "d", 10, T0, OPERATE_NEVER, true);
	spend(&r, "d", 104, T0);
	stop(&r);
	assert_int_equal(credit_after("d", T0 + 500, settled), 10);
	assert_int_equal(credit_after("d", T0 + DAY, settled), 6);
	r = start(100, T0 + DAY);
	spend(&r, "d", 101, T0 + DAY);
	stop(&r);
	assert_int_equal(credit_after("d", T0 + DAY + 7, settled), 6);
	assert_int_equal(credit_after("d", T0 + 9 * DAY, settled), 5);
	r = start(100, T0 + 9 * DAY);
	spend(&r, "d", 400, T0 + 9 * DAY);
	stop(&r);
	assert_int_equal(credit_after("d", T0 + 10 * DAY, settled), 0);
}

static void credit_that_is_carried_over_is_used_up_once(void **state)
{
	(void)state;
	carry(false);
	remove_dir(dir);
	new_dir(dir);
	carry(true);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM credit"), 0);
}

static void the_soonest_to_expire_is_used_first(void **state)
{
	struct run r = start(100, T0);

	(void)state;
	credit(&r, "d", 10, T0, T0 + 20 * DAY, true);
	credit(&r, "d", 10, T0, T0 + 2 * DAY, true);
	credit(&r, "d", 3, T0, OPERATE_NEVER, false); /* before both */
	spend(&r, "d", 109, T0);
	stop(&r);
	assert_int_equal(credit_after("d", T0 + 1, false), 23);
	assert_int_equal(credit_after("d", T0 + DAY, false), 14);
	assert_int_equal(credit_after("d", T0 + 3 * DAY, false), 10);
	assert_int_equal(credit_after("d", T0 + 21 * DAY, true), 0);
}

/* What the limit was when a window ended decides what it took of the credit. */
static void past_windows_had_their_own_limits(void **state)
{
	struct run r = start(100, T0);

	(void)state;
	settle(&r);
	credit(&r, "d", 50, T0, OPERATE_NEVER, true);
	spend(&r, "d", 120, T0); /* 20 over 100 */
	set_limit(&r, 100, 130, T0 + DAY + 5);
	spend(&r, "d", 140, T0 + DAY); /* 10 over 130 */
	set_limit(&r, 100, 90, T0 + 2 * DAY + 5);
	stop(&r);
	assert_int_equal(credit_after("d", T0 + 2 * DAY + 6, false), 20);
}

static void an_edited_budget_leaves_credits_alone(void **state)
{
	struct run r = start(100, T0);
	struct operate_credit c = {.budget = SLICE("gone"),
				   .unit = UNIT_USD,
				   .amount = 5,
				   .win_start = T0,
				   .expires_s = OPERATE_NEVER,
				   .carry_over = true};
	struct operation op = why();
	struct operated done;

	(void)state;
	assert_int_equal(operate_credit(r.store, &op, &c, &done), BUR_OK);
	c.budget = SLICE("d");
	c.scope = SLICE("user=ann"); /* of another `per` */
	assert_int_equal(operate_credit(r.store, &op, &c, &done), BUR_OK);
	c.scope = SLICE_NONE;
	c.unit = UNIT_TOKENS;
	assert_int_equal(operate_credit(r.store, &op, &c, &done), BUR_OK);
	stop(&r);
	assert_int_equal(credit_after("d", T0 + DAY, true), 0);
	assert_int_equal(sql_int(dir, "SELECT count(*) FROM credit"), 3);
}

/* --- against the engine ------------------------------------------------------------------------------------------- */

static uint64_t seed = 0x9e3779b97f4a7c15;

static int64_t below(int64_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (int64_t)(seed % (uint64_t)n);
}

static void grant(struct run *r, int64_t now_s)
{
	bool carries = below(2);
	int64_t expires = below(3) == 0 ? OPERATE_NEVER : now_s + 1 + below(3 * DAY), amount = 1 + below(60), start_s,
		end_s;
	struct engine_credit c = {.amount = amount, .expires_s = expires, .carry_over = carries};
	struct engine_change change;

	budget_window_at(budget_set_at(r->set, 0), now_s, &start_s, &end_s);
	if (!carries && expires >= end_s)
		c.expires_s = expires = OPERATE_NEVER;
	if (engine_credit(r->engine, SLICE("d"), SLICE_NONE, &c, now_s, &change) == BUR_OK)
		credit(r, "d", amount, now_s, expires, carries);
}

/* Random credits and spend over days: a program that is started anew at any instant has what the one that ran on has,
 * no more and no less. */
static void any_start_has_what_the_engine_had(void **state)
{
	struct run live = start(100, T0);
	int64_t now = T0;

	(void)state;
	for (int i = 0; i < 400; i++) {
		struct engine_change change;
		struct meter_view v;

		now += below(DAY / 4);
		if (below(4) == 0)
			grant(&live, now);
		else if (below(3) > 0) {
			int64_t amount = 1 + below(50);

			assert_int_equal(engine_adjust(live.engine, SLICE("d"), SLICE_NONE, amount, now, &change),
					 BUR_OK);
			spend(&live, "d", amount, now);
		}
		if (i % 4 != 0)
			continue;
		v = view(&live, "d", now);
		stop(&live);
		live = start(100, now);
		if (below(2))
			settle(&live);
		assert_int_equal(view(&live, "d", now).posted, v.posted);
		assert_int_equal(view(&live, "d", now).credit, v.credit);
	}
	stop(&live);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(limits_last_until_the_file_is_edited, setup, teardown),
	    cmocka_unit_test_setup_teardown(credit_ends_with_its_window, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_was_used_of_an_expired_credit_stays, setup, teardown),
	    cmocka_unit_test_setup_teardown(credit_that_is_carried_over_is_used_up_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(the_soonest_to_expire_is_used_first, setup, teardown),
	    cmocka_unit_test_setup_teardown(past_windows_had_their_own_limits, setup, teardown),
	    cmocka_unit_test_setup_teardown(an_edited_budget_leaves_credits_alone, setup, teardown),
	    cmocka_unit_test_setup_teardown(any_start_has_what_the_engine_had, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
