/* The figures people see, asked through the route table: the acceptance values of the cost endpoints (D3.1, D3.3 to
 * D3.7), forecasts and burn of a budget, anomalies. The ledger is filled with rows of chosen times; the answers' clock
 * is ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <jansson.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/api.h"
#include "api/foresight.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "policy/engine.h"
#include "store/alerts.h"
#include "store/note.h"
#include "store/store.h"

#define USD NANOUSD_PER_USD
#define HOUR_S 3600
#define DAY_S 86400

struct fixture {
	char dir[64];
	struct store *store;
	struct budget_set *set;
	struct engine *engine;
	struct tz *tz;
	struct api *api;
	struct arena arena;
	struct api_call call;
	int64_t now_s;
};
static struct fixture f;
static const char *zone = "UTC"; /* of the budgets */

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int64_t fixed_now(void *ctx)
{
	(void)ctx;
	return f.now_s * NS_PER_S;
}

static int64_t at(const char *text)
{
	int64_t ns;

	assert_int_equal(time_parse(slice_of(text), &ns), BUR_OK);
	return ns / NS_PER_S;
}

static void make_engine(int64_t day_limit, int64_t month_limit)
{
	struct budget defs[2] = {
	    {.name = "daily", .window_name = "day", .unit = UNIT_USD, .limit = day_limit},
	    {.name = "monthly", .window_name = "month", .unit = UNIT_USD, .limit = month_limit},
	};
	struct engine_config config = {.max_meters = 100};
	char err[200];

	defs[0].window = (struct window_spec){.kind = WINDOW_DAY, .month_anchor = 1, .tz = f.tz};
	defs[1].window = (struct window_spec){.kind = WINDOW_MONTH, .month_anchor = 1, .tz = f.tz};
	assert_int_equal(budget_set_new(defs, day_limit ? 2 : 0, &f.set, err, sizeof(err)), BUR_OK);
	f.engine = engine_new(f.set, &config);
	assert_non_null(f.engine);
}

static void open_store(void)
{
	struct store_config config = {
	    .dir = f.dir, .workers = 1, .journal_slots = 64, .writer_interval_ns = NS_PER_MS, .min_free_bytes = -1};
	struct recovery_report report;
	char err[256];
	int exit_code;

	if (store_open(&config, &f.store, &report, &exit_code, err, sizeof(err)) < 0)
		fail_msg("%s", err);
	assert_int_equal(store_meter_known(f.store, meter_uid("daily", SLICE("")), SLICE("daily"), SLICE(""), UNIT_USD),
			 BUR_OK);
	assert_int_equal(
	    store_meter_known(f.store, meter_uid("monthly", SLICE("")), SLICE("monthly"), SLICE(""), UNIT_USD), BUR_OK);
	assert_int_equal(store_start(f.store), BUR_OK);
}

static void begin(const char *now, int64_t day_limit, int64_t month_limit)
{
	struct api_deps deps = {.now_ns = fixed_now, .version = "test"};

	memset(&f, 0, sizeof(f));
	f.now_s = at(now);
	(void)snprintf(f.dir, sizeof(f.dir), "/tmp/bursar-foresight-XXXXXX");
	assert_non_null(mkdtemp(f.dir));
	assert_int_equal(tz_load(zone, &f.tz), BUR_OK);
	open_store();
	make_engine(day_limit, month_limit);
	deps.store = f.store;
	deps.engine = f.engine;
	deps.budgets = f.set;
	f.api = api_new(&deps);
	assert_non_null(f.api);
	arena_init(&f.arena, 1024 * 1024);
}

static void end(void)
{
	buf_done(&f.call.out);
	arena_reset(&f.arena);
	api_free(f.api);
	engine_free(f.engine);
	budget_set_free(f.set);
	tz_free(f.tz);
	store_close(f.store);
	(void)nftw(f.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* --- a ledger of our own ------------------------------------------------------------------------------------------ */

static void spend_as(int64_t at_s, int64_t nanousd, const char *key, const char *model, int status)
{
	struct call c = {.hard = true};
	struct call_end e = {.settled_ns = (at_s + 1) * NS_PER_S};
	struct window_spec w = {.kind = WINDOW_DAY, .month_anchor = 1, .tz = f.tz};
	int64_t stop;
	uint32_t slot;

	store_uid(f.store, 0, c.entry.uid);
	c.entry.created_ns = at_s * NS_PER_S;
	c.entry.price_version = 1;
	c.entry.ids[NAME_KEY] = store_name(f.store, NAME_KEY, slice_of(key));
	c.entry.ids[NAME_MODEL] = store_name(f.store, NAME_MODEL, slice_of(model));
	c.entry.cell.worst_nanousd = nanousd;
	c.entry.n_meters = 2;
	c.entry.meters[0].uid = meter_uid("daily", SLICE(""));
	window_at(&w, at_s, &c.entry.meters[0].win_start, &stop);
	c.entry.meters[1].uid = meter_uid("monthly", SLICE(""));
	w.kind = WINDOW_MONTH;
	window_at(&w, at_s, &c.entry.meters[1].win_start, &stop);
	e.cell = (struct journal_cell){.worst_nanousd = nanousd,
				       .actual_nanousd = nanousd,
				       .input_tokens = 1000,
				       .output_tokens = 100,
				       .requests = 1,
				       .source = SOURCE_USAGE,
				       .status = (uint16_t)status};
	while (store_call_begin(f.store, 0, &c, &slot) == BUR_FULL)
		(void)!store_sync(f.store, NS_PER_S);
	store_call_sent(f.store, slot);
	store_call_settle(f.store, 0, slot, &e);
}

static void spend(int64_t at_s, int64_t nanousd)
{
	spend_as(at_s, nanousd, "k", "m", 200);
}

static void restore(const char *budget, enum window_kind kind, int64_t posted)
{
	struct window_spec w = {.kind = kind, .month_anchor = 1, .tz = f.tz};
	int64_t start, stop;

	window_at(&w, f.now_s, &start, &stop);
	assert_int_equal(engine_restore(f.engine, slice_of(budget), SLICE(""), start, stop, posted, 0, 0, f.now_s),
			 BUR_OK);
}

/* --- questions ---------------------------------------------------------------------------------------------------- */

static json_t *ask(const char *method, const char *target, const char *body, int want_status)
{
	json_t *o;

	assert_int_equal(store_sync(f.store, 10 * NS_PER_S), BUR_OK);
	buf_done(&f.call.out);
	arena_reset(&f.arena);
	f.call = (struct api_call){.arena = &f.arena,
				   .method = slice_of(method),
				   .host = SLICE("localhost:8050"),
				   .content_type = SLICE("application/json"),
				   .actor = SLICE("tester"),
				   .body = slice_of(body)};
	(void)slice_cut(slice_of(target), '?', &f.call.path, &f.call.query);
	buf_init(&f.call.out, 8 * 1024 * 1024);
	api_run(f.api, &f.call, true);
	if (f.call.status != want_status)
		print_message("%s: " SLICE_FMT "\n", target, SLICE_ARG(buf_slice(&f.call.out)));
	assert_int_equal(f.call.status, want_status);
	o = json_loadb(buf_slice(&f.call.out).p, buf_len(&f.call.out), 0, NULL);
	assert_non_null(o);
	return o;
}

/* "data.daily.total_cost", "list.0.x" */
static const json_t *find(const json_t *o, const char *path)
{
	char word[64];

	while (*path && o) {
		size_t n = strcspn(path, ".");

		(void)snprintf(word, sizeof(word), "%.*s", (int)n, path);
		o = json_is_array(o) ? json_array_get(o, (size_t)strtoul(word, NULL, 10)) : json_object_get(o, word);
		path += n + (path[n] == '.');
	}
	if (!o)
		fail_msg("no %s", path);
	return o;
}

static void number_is(const json_t *o, const char *path, double want)
{
	const json_t *v = find(o, path);

	assert_true(json_is_number(v));
	if (fabs(json_number_value(v) - want) > 1e-6)
		fail_msg("%s: %.9g is not %.9g", path, json_number_value(v), want);
}

static void text_is(const json_t *o, const char *path, const char *want)
{
	assert_string_equal(json_string_value(find(o, path)), want);
}

/* --- D3.1 --------------------------------------------------------------------------------------------------------- */

static const struct check_case {
	double day, month, reserved, estimate;
	bool allowed;
	const char *health, *period, *level; /* NULL: no alert */
	double percent;
} checks[] = {
    {23.45, 346.78, 0, 5.00, true, "healthy", NULL, NULL, 0},
    {37.00, 346.78, 0, 0.50, true, "healthy", "daily", "warning", 75},
    {45.00, 346.78, 0, 5.00, true, "critical", "daily", "exceeded", 100},
    {45.00, 346.78, 0, 5.01, false, "critical", "daily", "exceeded", 100.02},
    {45.00, 346.78, 4.00, 1.50, false, "critical", "daily", "exceeded", 101},
    {10.00, 999.50, 0, 1.00, false, "critical", "monthly", "exceeded", 100.05},
    {50.01, 346.78, 0, 0, false, "exceeded", "daily", "exceeded", 100.02},
};

static void reserve(int64_t nanousd)
{
	struct amounts worst = {.nanousd = nanousd};
	struct facts facts = {.n_tags = 0};
	struct decision d;
	struct match m;
	struct hold h;

	if (nanousd == 0)
		return;
	assert_int_equal(engine_match(f.engine, &facts, &m), BUR_OK);
	assert_int_equal(engine_reserve(f.engine, &m, &worst, f.now_s, &h, &d), BUR_OK);
}

static int64_t nano(double usd)
{
	return (int64_t)llround(usd * 1e9);
}

static void check_one(const struct check_case *c)
{
	char body[128], path[64];
	json_t *o;

	begin("2025-08-06T13:00:00Z", 50 * USD, 1000 * USD);
	restore("daily", WINDOW_DAY, nano(c->day));
	restore("monthly", WINDOW_MONTH, nano(c->month));
	reserve(nano(c->reserved));
	(void)snprintf(body, sizeof(body), "{\"cost_amount\":%.2f,\"operation_type\":\"llm_call\"}", c->estimate);
	for (int again = 0; again < 2; again++) {
		o = ask("POST", "/api/v1/budget/check", body, 200);
		assert_int_equal(json_is_true(find(o, "data.operation_allowed")), c->allowed);
		text_is(o, "data.budget_health", c->health);
		number_is(o, "data.daily_status.total_cost", c->day);
		number_is(o, "data.daily_status.reserved", c->reserved);
		number_is(o, "data.daily_status.projected_cost", c->day + c->reserved + c->estimate);
		number_is(o, "data.monthly_status.budget_limit", 1000);
		/* the second time within 300 s it is not listed again */
		assert_int_equal(json_array_size(find(o, "data.alerts_generated")), c->period && !again);
		if (c->period && !again) {
			text_is(o, "data.alerts_generated.0.period_type", c->period);
			text_is(o, "data.alerts_generated.0.alert_level", c->level);
			number_is(o, "data.alerts_generated.0.percentage_used", c->percent);
			(void)snprintf(path, sizeof(path), "data.%s_status.alerts.0.alert_level", c->period);
			text_is(o, path, c->level);
		}
		json_decref(o);
		f.now_s += 100;
	}
	f.now_s += 300;
	o = ask("POST", "/api/v1/budget/check", body, 200);
	assert_int_equal(json_array_size(find(o, "data.alerts_generated")), c->period != NULL);
	json_decref(o);
	end();
}

static void d31_checks(void **state)
{
	json_t *o;

	(void)state;
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		check_one(&checks[i]);
	begin("2025-08-06T13:00:00Z", 0, 0);
	o = ask("POST", "/api/v1/budget/check", "{\"cost_amount\":\"100000\"}", 200);
	assert_true(json_is_true(find(o, "data.operation_allowed")));
	assert_true(json_is_null(find(o, "data.daily_status.budget_limit")));
	text_is(o, "data.budget_health", "healthy");
	json_decref(o);
	json_decref(ask("POST", "/api/v1/budget/check", "{\"cost_amount\":-1}", 422));
	json_decref(ask("POST", "/api/v1/budget/check", "{\"cost\":1}", 422));
	json_decref(ask("POST", "/api/v1/budget/check", "[]", 422));
	o = ask("GET", "/api/v1/budget/trends?days=0", NULL, 422);
	text_is(o, "error.code", "INVALID_PARAMETERS");
	json_decref(o);
	end();
}

/* --- D3.3, D3.4, D3.6 ------------------------------------------------------------------------------------------- */

static json_t *status(void)
{
	return ask("GET", "/api/v1/budget/status", NULL, 200);
}

/* The shape of C3.2 with its example. */
static void status_of_a_period(void **state)
{
	json_t *o;

	(void)state;
	begin("2025-08-06T13:00:00Z", 50 * USD, 1000 * USD);
	restore("daily", WINDOW_DAY, nano(23.45));
	o = status();
	text_is(o, "status", "success");
	text_is(o, "meta.version", "test");
	text_is(o, "data.daily.date", "2025-08-06");
	text_is(o, "data.monthly.month", "2025-08");
	number_is(o, "data.daily.total_cost", 23.45);
	number_is(o, "data.daily.remaining_budget", 26.55);
	number_is(o, "data.daily.percentage_used", 46.9);
	number_is(o, "data.monthly.days_in_period", 31);
	assert_true(json_is_false(find(o, "data.daily.over_budget")));
	text_is(o, "data.budget_summary.budget_health", "healthy");
	json_decref(o);
	end();
}

static void d33_day_projections(void **state)
{
	int64_t day = at("2025-08-06T00:00:00Z");
	json_t *o;

	(void)state;
	begin("2025-08-06T06:00:00Z", 50 * USD, 1000 * USD);
	for (int h = 0; h < 6; h++)
		for (int i = 0; i < 20; i++)
			spend(day + h * HOUR_S + i * 60, (1 + h / 2) * USD / 20);
	o = status();
	number_is(o, "data.projections.daily.current_cost", 12);
	number_is(o, "data.projections.daily.projections.linear", 48);
	number_is(o, "data.projections.daily.projections.trend", 66);
	number_is(o, "data.projections.daily.projections.seasonal", 48);
	number_is(o, "data.projections.daily.projected_cost", 55.2);
	assert_true(fabs(json_number_value(find(o, "data.projections.daily.confidence")) - 0.72302) < 1e-5);
	text_is(o, "data.projections.daily.method", "weighted_ensemble");
	number_is(o, "data.projections.daily.hours_remaining", 18);
	json_decref(o);
	end();

	begin("2025-08-06T00:20:00Z", 50 * USD, 1000 * USD);
	for (int i = 1; i <= 3; i++)
		spend(day - i * DAY_S + 5 * HOUR_S, i * 10 * USD);
	spend(day + 60, USD);
	o = status();
	number_is(o, "data.projections.daily.projected_cost", 20);
	number_is(o, "data.projections.daily.confidence", 0.1);
	text_is(o, "data.projections.daily.method", "historical_average");
	json_decref(o);
	spend(day + 61, 24 * USD);
	o = status();
	number_is(o, "data.projections.daily.projected_cost", 25);
	json_decref(o);
	end();

	begin("2025-08-06T05:00:00Z", 50 * USD, 1000 * USD);
	o = status();
	number_is(o, "data.projections.daily.projected_cost", 0);
	text_is(o, "data.projections.daily.method", "no_data");
	json_decref(o);
	end();
}

/* The day of 25 hours in New York, 5 hours after its midnight; one complete hour has cost. */
static void d33_long_day(void **state)
{
	json_t *o;

	(void)state;
	zone = "America/New_York";
	begin("2025-11-02T09:00:00Z", 500 * USD, 1000 * USD);
	zone = "UTC";
	spend(at("2025-11-02T08:10:00Z"), 10 * USD);
	o = status();
	text_is(o, "data.daily.date", "2025-11-02");
	number_is(o, "data.projections.daily.hours_elapsed", 5);
	number_is(o, "data.projections.daily.hours_remaining", 20);
	number_is(o, "data.projections.daily.projected_cost", 50);
	number_is(o, "data.monthly.days_in_period", 30);
	json_decref(o);
	end();
}

/* Twelve even hours, 25 calls: confidence 0.85; with 46.9 % used the first row of D3.6. */
static void d36_health(void **state)
{
	int64_t day = at("2025-08-06T00:00:00Z");
	json_t *o;

	(void)state;
	begin("2025-08-06T12:00:00Z", 50 * USD, 1000 * USD);
	restore("daily", WINDOW_DAY, nano(23.45));
	for (int h = 0; h < 12; h++)
		for (int i = 0; i < (h ? 2 : 3); i++)
			spend(day + h * HOUR_S + i, 2 * USD / (h ? 2 : 3) + (h == 0 && i == 0 ? 2 : 0));
	o = status();
	number_is(o, "data.projections.daily.projected_cost", 48);
	number_is(o, "data.projections.daily.confidence", 0.85);
	number_is(o, "data.health_score.overall_score", 97.0);
	text_is(o, "data.health_score.health_status", "excellent");
	number_is(o, "data.health_score.component_scores.projection_accuracy", 85);
	json_decref(o);
	end();
}

/* Fifteen complete days (confidence 0.5 in the first half hour), the last seven of them dearer; alerts of the last
 * hour. The last two rows of D3.6 have confidences that no ledger gives with their trends. */
static void health_case(double used, double last_days, int alerts, double overall, const char *want)
{
	int64_t today = at("2025-08-20T00:00:00Z");
	json_t *o;

	begin("2025-08-20T00:20:00Z", 50 * USD, 1000 * USD);
	restore("daily", WINDOW_DAY, nano(used / 2));
	for (int i = 1; i <= 15; i++)
		spend(today - i * DAY_S + HOUR_S, nano(i <= 7 ? last_days : 4));
	for (int i = 0; i < alerts; i++)
		assert_int_equal(store_note(f.store, &(struct note){.kind = "forecast.over",
								    .object = SLICE("x"),
								    .since_s = i,
								    .state = NOTE_BEGAN,
								    .at_ns = (f.now_s - 60) * NS_PER_S,
								    .payload = SLICE("{}")}),
				 BUR_OK);
	o = status();
	number_is(o, "data.projections.daily.confidence", 0.5);
	number_is(o, "data.health_score.overall_score", overall);
	text_is(o, "data.health_score.health_status", want);
	json_decref(o);
	end();
}

static void d36_more_health(void **state)
{
	(void)state;
	health_case(75, 4.5, 1, 70.9, "good");
	health_case(90, 4, 3, 59.3, "warning");
}

static void month_case(const char *now, const double *days, size_t n, double cost, double projected, double confidence)
{
	int64_t today = at(now) / DAY_S * DAY_S;
	json_t *o;

	begin(now, 50 * USD, 1000 * USD);
	for (size_t i = 0; i < n; i++)
		if (days[i] > 0)
			spend(today - (int64_t)(n - i) * DAY_S + HOUR_S, nano(days[i]));
	o = status();
	number_is(o, "data.projections.monthly.current_cost", cost);
	assert_true(fabs(json_number_value(find(o, "data.projections.monthly.projected_cost")) - projected) < 1e-4);
	assert_true(fabs(json_number_value(find(o, "data.projections.monthly.confidence")) - confidence) < 1e-5);
	text_is(o, "data.projections.monthly.method", "weighted_daily_projection");
	json_decref(o);
	end();
}

static void d34_month_projections(void **state)
{
	const double three[] = {60, 45, 45};
	double twenty_seven[27];
	int64_t day = at("2025-08-07T00:00:00Z");
	json_t *o;

	(void)state;
	begin("2025-08-07T12:00:00Z", 50 * USD, 1000 * USD);
	spend(day - 6 * DAY_S, nano(346.78 - 24.1));
	for (int h = 0; h < 12; h++)
		spend(day + h * HOUR_S, nano(24.1) / 12 + (h == 0) * (nano(24.1) % 12));
	o = status();
	number_is(o, "data.projections.daily.projected_cost", 48.2);
	number_is(o, "data.projections.monthly.days_elapsed", 6.5);
	assert_true(fabs(json_number_value(find(o, "data.projections.monthly.projected_cost")) - 1590.0043) < 1e-4);
	number_is(o, "data.projections.monthly.confidence", 0.75);
	json_decref(o);
	end();
	month_case("2025-09-03T00:00:00Z", three, 3, 90, 1455, 0.6);
	for (size_t i = 0; i < 27; i++)
		twenty_seven[i] = i < 7 ? 380.0 / 7 : 35;
	month_case("2025-09-21T00:00:00Z", twenty_seven, 27, 700, 1080, 0.76667);
}

/* --- D3.5 --------------------------------------------------------------------------------------------------------- */

static void d35_spikes(void **state)
{
	static const double five[] = {1.0, 1.2, 0.8, 1.1, 0.9}, last[] = {1.0, 1.1, 0.9, 1.0, 2.0};
	int64_t day = at("2025-08-06T00:00:00Z");
	json_t *o;

	(void)state;
	begin("2025-08-06T12:00:00Z", 50 * USD, 1000 * USD);
	for (int i = 0; i < 19; i++)
		spend(day + i, USD);
	o = ask("GET", "/api/v1/anomalies", NULL, 200);
	assert_int_equal(json_array_size(find(o, "data.cost_spikes")), 0);
	json_decref(o);
	spend(day + 19, 10 * USD);
	o = ask("GET", "/api/v1/anomalies", NULL, 200);
	assert_int_equal(json_array_size(find(o, "data.cost_spikes")), 1);
	text_is(o, "data.cost_spikes.0.severity", "high");
	number_is(o, "data.cost_spikes.0.expected_range.1", 5.474922);
	text_is(o, "data.cost_spikes.0.description", "Cost spike detected: 10.0000 (expected < 5.4749)");
	text_is(o, "data.hours.0.baseline", "learning");
	json_decref(o);
	end();

	begin("2025-08-06T12:00:00Z", 50 * USD, 1000 * USD);
	for (int i = 0; i < 20; i++)
		spend(day + i, nano(i < 15 ? five[i % 5] : last[i - 15]));
	o = ask("GET", "/api/v1/anomalies", NULL, 200);
	assert_int_equal(json_array_size(find(o, "data.cost_spikes")), 1);
	text_is(o, "data.cost_spikes.0.severity", "medium");
	number_is(o, "data.cost_spikes.0.expected_range.1", 1.567077);
	json_decref(o);
	end();
}

/* --- D3.7 --------------------------------------------------------------------------------------------------------- */

static void days_of(const char *now, const double *v, size_t n)
{
	int64_t today = at(now) / DAY_S * DAY_S;

	begin(now, 50 * USD, 1000 * USD);
	for (size_t i = 0; i < n; i++)
		if (v[i] > 0)
			spend(today - (int64_t)(n - 1 - i) * DAY_S + HOUR_S, nano(v[i]));
}

static void d37_trends_and_forecast(void **state)
{
	static const double week[] = {10, 12, 11, 13, 14, 15, 16}, level[] = {5, 5, 5, 5, 5, 5, 5};
	static const double want[] = {13.666667, 14.333333, 15, 15.666667, 16.333333, 17, 17.666667};
	double two[14];
	char path[64];
	json_t *o;

	(void)state;
	days_of("2025-08-07T12:00:00Z", week, 7);
	o = ask("GET", "/api/v1/analytics/costs", NULL, 200);
	number_is(o, "data.trends.trend_analysis.slope", 0.964286);
	number_is(o, "data.trends.trend_analysis.trend_percentage", 51.92);
	text_is(o, "data.trends.trend_analysis.direction", "increasing");
	number_is(o, "data.trends.trend_analysis.confidence", 0.93);
	number_is(o, "data.trends.data_points", 7);
	number_is(o, "data.trends.time_series.2025-08-01", 10);
	number_is(o, "data.trends.total_cost", 91);
	for (int i = 0; i < 7; i++) {
		(void)snprintf(path, sizeof(path), "data.trends.forecast.%d.predicted_cost", i);
		number_is(o, path, want[i]);
		(void)snprintf(path, sizeof(path), "data.trends.forecast.%d.confidence", i);
		number_is(o, path, 0.8 - 0.1 * i);
	}
	number_is(o, "data.category_analysis.category_breakdown.general_query", 91);
	json_decref(o);
	o = ask("GET",
		"/api/v1/analytics/costs?time_range=custom&start=2025-08-01T00:00:00Z&end=2025-08-01T23:00:00Z"
		"&granularity=hourly&include_categories=off",
		NULL, 200);
	number_is(o, "data.trends.data_points", 24);
	number_is(o, "data.trends.time_series.2025-08-01T01", 10);
	assert_true(json_is_null(find(o, "data.category_analysis")));
	json_decref(o);
	end();

	days_of("2025-08-07T12:00:00Z", level, 7);
	o = ask("GET", "/api/v1/analytics/costs?time_range=nonsense", NULL, 200);
	text_is(o, "data.trends.time_range", "last_7_days");
	number_is(o, "data.trends.trend_analysis.trend_percentage", 0);
	number_is(o, "data.trends.trend_analysis.confidence", 0);
	text_is(o, "data.trends.trend_analysis.direction", "stable");
	json_decref(o);
	end();

	for (size_t i = 0; i < 14; i++)
		two[i] = i < 7 ? 4 : 5;
	days_of("2025-08-14T12:00:00Z", two, 14);
	o = ask("GET", "/api/v1/budget/trends", NULL, 200);
	number_is(o, "data.trend_percentage", 25);
	text_is(o, "data.trend_direction", "increasing");
	number_is(o, "data.average_daily_cost", 4.5);
	number_is(o, "data.budget_projections.daily_limit_needed", 5.4);
	number_is(o, "data.projected_monthly_cost", 63 / 13.5 * 31);
	assert_int_equal(json_object_size(find(o, "data.daily_breakdown")), 14);
	json_decref(o);
	o = ask("GET", "/api/v1/budget/trends?days=13", NULL, 200);
	number_is(o, "data.trend_percentage", 0);
	text_is(o, "data.trend_direction", "stable");
	json_decref(o);
	end();
}

/* --- limits ------------------------------------------------------------------------------------------------------- */

static void limits_change(void **state)
{
	json_t *o;

	(void)state;
	begin("2025-08-06T13:00:00Z", 50 * USD, 1000 * USD);
	restore("daily", WINDOW_DAY, 40 * USD);
	o = ask("PUT", "/api/v1/budget/limits", "{\"daily_budget\":80}", 200);
	number_is(o, "data.daily_budget.budget_limit", 80);
	number_is(o, "data.daily_budget.percentage_used", 50);
	number_is(o, "data.monthly_budget.budget_limit", 1000);
	json_decref(o);
	o = ask("PUT", "/api/v1/budget/limits", "{\"daily_budget\":80,\"monthly_budget\":900.5,\"reason\":\"less\"}",
		200);
	number_is(o, "data.monthly_budget.budget_limit", 900.5);
	json_decref(o);
	json_decref(ask("PUT", "/api/v1/budget/limits", "{\"daily_budget\":10001}", 422));
	json_decref(ask("PUT", "/api/v1/budget/limits", "{\"daily_budget\":0.001}", 422));
	json_decref(ask("PUT", "/api/v1/budget/limits", "{\"weekly\":1}", 422));
	o = status();
	number_is(o, "data.daily.budget_limit", 80);
	json_decref(o);
	end();
	begin("2025-08-06T13:00:00Z", 0, 0);
	o = ask("PUT", "/api/v1/budget/limits", "{\"daily_budget\":80}", 500);
	text_is(o, "error.code", "CONFIGURATION_ERROR");
	json_decref(o);
	end();
}

/* --- foresight ---------------------------------------------------------------------------------------------------- */

/* Eight weeks of 20 USD a day, a limit of 1000 a month; then an hour in which 50 USD burn. */
static void forecasts_and_burn(void **state)
{
	int64_t now = clock_wall_ns() / NS_PER_S / DAY_S * DAY_S + 12 * HOUR_S, month, stop;
	struct window_spec w = {.kind = WINDOW_MONTH, .month_anchor = 1};
	json_t *o, *again;
	char *first, *second;

	(void)state;
	/* minutes are kept for the last days only: this one is about the present */
	begin("2025-08-06T13:00:00Z", 500 * USD, 1000 * USD);
	f.now_s = now;
	w.tz = f.tz;
	window_at(&w, now, &month, &stop);
	for (int64_t day = now / DAY_S - 60; day < now / DAY_S; day++)
		for (int h = 0; h < 4; h++)
			spend(day * DAY_S + h * 6 * HOUR_S, 5 * USD);
	o = ask("GET", "/api/v1/budgets/monthly/forecast", NULL, 200);
	assert_int_equal(json_array_size(find(o, "data.budgets")), 1);
	text_is(o, "data.budgets.0.forecast.method", "weekday_medians");
	number_is(o, "data.budgets.0.forecast.trend", 1);
	assert_true(json_is_false(find(o, "data.budgets.0.forecast.over")));
	assert_true(json_is_false(find(o, "data.budgets.0.forecast.low_confidence")));
	assert_true(json_is_null(find(o, "data.budgets.0.runs_out_at")));
	assert_true(json_is_false(find(o, "data.budgets.0.burn.rows.0.over")));
	text_is(o, "data.budgets.0.burn.expected_by", "hours_of_the_week");
	json_decref(o);
	for (int i = 0; i < 50; i++)
		spend(now - 50 * 60 + i * 60, 2 * USD);
	o = ask("GET", "/api/v1/budgets/monthly/forecast", NULL, 200);
	assert_true(json_is_true(find(o, "data.budgets.0.burn.rows.0.over")));
	text_is(o, "data.budgets.0.burn.rows.0.name", "fast");
	text_is(o, "data.budgets.0.burn.rows.0.long.spent", "100");
	assert_true(json_is_string(find(o, "data.budgets.0.rate_per_hour")));
	json_decref(o);
	/* same ledger, same verdict, also for another process */
	o = ask("GET", "/api/v1/forecast", NULL, 200);
	api_free(f.api);
	store_close(f.store);
	open_store();
	f.api = api_new(&(struct api_deps){.now_ns = fixed_now, .store = f.store, .engine = f.engine});
	again = ask("GET", "/api/v1/forecast", NULL, 200);
	first = json_dumps(find(o, "data"), JSON_SORT_KEYS);
	second = json_dumps(find(again, "data"), JSON_SORT_KEYS);
	assert_string_equal(first, second);
	free(first);
	free(second);
	json_decref(o);
	json_decref(again);
	json_decref(ask("GET", "/api/v1/budgets/nobody/forecast", NULL, 404));
	end();
}

/* Nine weeks in which each hour of the week has its spend; then one hour has a hundred times of it. */
static void anomalies_of_hours(void **state)
{
	int64_t now = clock_wall_ns() / NS_PER_S / HOUR_S * HOUR_S + 30 * 60, hour = now / HOUR_S * HOUR_S;
	struct foresight_scope scopes[FORESIGHT_SCOPES_MAX];
	struct anomaly_state s = {0};
	struct foresight_anomaly a;
	struct sqlite3 *db;
	json_t *o;
	int n;

	(void)state;
	begin("2025-08-06T13:00:00Z", 500 * USD, 1000 * USD);
	f.now_s = now;
	for (int64_t h = hour - 63 * DAY_S; h < hour; h += HOUR_S)
		spend_as(h, USD + h % 7 * (USD / 100), "calm", "gpt-x", 200);
	spend_as(hour + 60, USD / 2, "calm", "gpt-x", 200);
	spend_as(hour + 120, 50 * USD, "wild", "gpt-y", 200);
	assert_int_equal(store_sync(f.store, 10 * NS_PER_S), BUR_OK);
	assert_int_equal(store_reader(f.store, &db), BUR_OK);
	n = foresight_scopes(db, now, scopes);
	assert_int_equal(n, 1 + 2 + 2); /* everything, two keys, two models */
	assert_string_equal(scopes[0].object, "everything");
	assert_string_equal(scopes[1].object, "key:wild"); /* dearest first */
	assert_int_equal(foresight_anomaly(db, &scopes[0], &s, now, &a), BUR_OK);
	assert_int_equal(a.hour.baseline.basis, ANOMALY_HOUR_OF_WEEK);
	assert_int_equal(a.hour.baseline.n_samples, 8);
	assert_true(a.hour.z_milli >= ANOMALY_Z2_MILLI);
	assert_int_equal(a.hour.level, 2);
	assert_true(a.hour.began);
	assert_int_equal(foresight_anomaly(db, &scopes[0], &s, now + 60, &a), BUR_OK);
	assert_false(a.hour.began);
	assert_false(a.shift.over);
	o = ask("GET", "/api/v1/anomalies", NULL, 200);
	number_is(o, "data.hours.0.level", 2);
	text_is(o, "data.hours.0.most_increased.0.key", "wild");
	text_is(o, "data.hours.0.most_increased.0.model", "gpt-y");
	text_is(o, "data.hours.0.most_increased.0.spent", "50");
	json_decref(o);
	(void)sqlite3_close(db);
	end();
}

static void overview_has_all_keys(void **state)
{
	static const char *const keys[] = {"budget_health_score",
					   "budget_health_status",
					   "daily_cost",
					   "daily_budget",
					   "daily_percentage",
					   "monthly_cost",
					   "monthly_budget",
					   "monthly_percentage",
					   "daily_projected_cost",
					   "daily_projection_confidence",
					   "monthly_projected_cost",
					   "monthly_projection_confidence",
					   "cost_trend_percentage",
					   "cost_trend_direction",
					   "average_daily_cost",
					   "cost_efficiency_score",
					   "active_alerts",
					   "critical_alerts",
					   "alerts_last_24h",
					   "last_alert_time",
					   "last_alert_time_iso",
					   "circuit_breakers_healthy",
					   "circuit_breakers_degraded",
					   "circuit_breakers_open",
					   "total_operations_blocked",
					   "cost_savings_from_protection",
					   "total_api_calls",
					   "average_response_time",
					   "error_rate_percentage",
					   "tokens_consumed",
					   "top_research_categories",
					   "category_cost_breakdown",
					   "system_uptime",
					   "monitoring_active",
					   "last_update_time",
					   "last_update_time_iso"};
	const struct incident goes_on = {.id = 1,
					 .key = SLICE("0123456789abcdef0123456789abcdef"),
					 .type = SLICE("budget.burn_rate"),
					 .facts = SLICE("{}"),
					 .severity = 2,
					 .opened_ns = 1,
					 .changed_ns = 1};
	const struct channel_state failing = {.channel = SLICE("mail"), .sent = 4, .failed = 1};
	int64_t day = at("2025-08-06T00:00:00Z");
	json_t *o;

	(void)state;
	begin("2025-08-06T12:00:00Z", 50 * USD, 1000 * USD);
	for (int i = 0; i < 4; i++)
		spend_as(day + i, USD, "k", "m", i ? 200 : 500);
	assert_int_equal(
	    store_note(f.store, &(struct note){.kind = "budget.burn_rate",
					       .object = SLICE("daily"),
					       .since_s = f.now_s - 60,
					       .state = NOTE_BEGAN,
					       .at_ns = (f.now_s - 60) * NS_PER_S,
					       .payload = SLICE("{\"action\":\"page\",\"message\":\"m\"}")}),
	    BUR_OK);
	assert_int_equal(alerts_write(f.store, &(struct alerts_change){.incidents = &goes_on,
								       .n_incidents = 1,
								       .channels = &failing,
								       .n_channels = 1,
								       .now_ns = f.now_s * NS_PER_S}),
			 BUR_OK);
	o = ask("GET", "/api/v1/dashboard/overview", NULL, 200);
	text_is(o, "data.system_health.components.alert_system", "degraded");
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!json_object_get(find(o, "data.metrics"), keys[i]))
			fail_msg("no %s", keys[i]);
	number_is(o, "data.metrics.total_api_calls", 4);
	number_is(o, "data.metrics.error_rate_percentage", 25);
	number_is(o, "data.metrics.average_response_time", 1000);
	number_is(o, "data.metrics.tokens_consumed", 4400);
	number_is(o, "data.metrics.active_alerts", 1);
	number_is(o, "data.metrics.critical_alerts", 1);
	text_is(o, "data.recent_alerts.0.type", "budget.burn_rate");
	number_is(o, "data.trends.spending_trends.total_cost", 4);
	json_decref(o);
	end();
}

/* A cheaper model of the family that does a fifth of the calls as well. */
static void advice_from_the_ledger(void **state)
{
	int64_t day = at("2025-08-06T00:00:00Z");
	const char *text;
	json_t *o;

	(void)state;
	begin("2025-08-06T12:00:00Z", 50 * USD, 1000 * USD);
	for (int i = 0; i < 80; i++)
		spend_as(day + i, USD / 10, "k", "gpt-4o", 200);
	for (int i = 0; i < 20; i++)
		spend_as(day + 100 + i, USD / 100, "k", "gpt-4o-mini", 200);
	o = status();
	assert_int_equal(json_array_size(find(o, "data.health_score.recommendations")), 1);
	text = json_string_value(find(o, "data.health_score.recommendations.0"));
	assert_non_null(strstr(text, "gpt-4o to gpt-4o-mini"));
	assert_non_null(strstr(text, "$7.20"));
	json_decref(o);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(d31_checks),
	    cmocka_unit_test(status_of_a_period),
	    cmocka_unit_test(d33_day_projections),
	    cmocka_unit_test(d33_long_day),
	    cmocka_unit_test(d36_health),
	    cmocka_unit_test(d36_more_health),
	    cmocka_unit_test(d34_month_projections),
	    cmocka_unit_test(d35_spikes),
	    cmocka_unit_test(d37_trends_and_forecast),
	    cmocka_unit_test(limits_change),
	    cmocka_unit_test(forecasts_and_burn),
	    cmocka_unit_test(anomalies_of_hours),
	    cmocka_unit_test(overview_has_all_keys),
	    cmocka_unit_test(advice_from_the_ledger),
	};

	log_init(STDERR_FILENO, LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
