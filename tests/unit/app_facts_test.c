/* What is known of an alert beside its event: whose budget it is, how it stands, who spends most, what comes next, and
 * what to type; names that came from outside stay words of that command. */
#include "tests/unit/store_help.h"

#include "app/facts.h"
#include "app/facts_next.h"
#include "store/keys.h"

static char dir[64];
static struct tz *berlin;

static int setup(void **state)
{
	(void)state;
	new_dir(dir);
	log_init(STDERR_FILENO, LOG_ERROR);
	return tz_load("Europe/Berlin", &berlin);
}

static int teardown(void **state)
{
	(void)state;
	tz_free(berlin);
	remove_dir(dir);
	return 0;
}

/* --- a store with calls in it ------------------------------------------------------------------------------------- */

static const struct degrade cheaper = {"gpt-4.1", "gpt-4.1-mini"};

struct world {
	struct store *store;
	struct budget_set *set;
	struct engine *engine;
	struct facts_source facts;
	int64_t now_s;
};

static struct budget search(void)
{
	struct budget b = {.name = "search",
			   .window_name = "month",
			   .limit = 50 * NANOUSD_PER_USD,
			   .window = {.kind = WINDOW_MONTH, .month_anchor = 1, .tz = berlin},
			   .match[0] = {.fact = FACT_TEAM, .value = "search"},
			   .match[1] = {.fact = FACT_MODEL, .value = "gpt-*"},
			   .n_match = 2,
			   .per[0] = {.fact = FACT_USER},
			   .per[1] = {.fact = FACT_TAG, .tag = "env"},
			   .n_per = 2,
			   .n_steps = 3};

	b.steps[0] = (struct budget_step){.at_ppm = 500000, .action = STEP_ALERT};
	b.steps[1] = (struct budget_step){.at_ppm = 900000, .action = STEP_DEGRADE, .map = &cheaper, .n_map = 1};
	b.steps[2] = (struct budget_step){.at_ppm = 1000000, .action = STEP_BLOCK};
	return b;
}

static struct world world_new(void)
{
	struct budget defs[] = {search(),
				{.name = "tokens",
				 .window_name = "total",
				 .limit = 1000,
				 .unit = UNIT_TOKENS,
				 .mode = MODE_SOFT,
				 .window = {.kind = WINDOW_TOTAL}}};
	struct store_config cfg = test_config(dir);
	struct engine_config config = {.max_meters = 10, .believe_clock = true};
	struct world w = {.now_s = clock_wall_ns() / NS_PER_S};
	char err[200];

	w.store = must_open(&cfg, NULL);
	assert_int_equal(budget_set_new(defs, ARRAY_LEN(defs), &w.set, err, sizeof(err)), BUR_OK);
	w.engine = engine_new(w.set, &config);
	assert_non_null(w.engine);
	assert_int_equal(facts_open(&w.facts, w.store, w.engine, w.set), BUR_OK);
	assert_int_equal(store_start(w.store), BUR_OK);
	return w;
}

static void world_done(struct world *w)
{
	facts_close(&w->facts);
	engine_free(w->engine);
	budget_set_free(w->set);
	store_close(w->store);
}

static struct engine_change charge(struct world *w, const char *budget, const char *scope, int64_t amount)
{
	struct engine_change c;

	assert_int_equal(engine_adjust(w->engine, slice_of(budget), slice_of(scope), amount, w->now_s, &c), BUR_OK);
	return c;
}

static void call_of(struct world *w, const char *key, const char *model, const char *scope, int64_t nanousd)
{
	struct engine_change c = charge(w, "search", scope, nanousd);
	struct call call = make_call(w->store, 0, nanousd);
	struct call_end end = make_end(nanousd);
	uint32_t slot;

	assert_int_equal(store_meter_known(w->store, c.uid, SLICE("search"), slice_of(scope), UNIT_USD), BUR_OK);
	call.entry.ids[NAME_KEY] = store_name(w->store, NAME_KEY, slice_of(key));
	call.entry.ids[NAME_MODEL] = store_name(w->store, NAME_MODEL, slice_of(model));
	call.entry.n_meters = 1;
	call.entry.meters[0] = (struct journal_meter){c.uid, c.win_start};
	slot = begin_sent(w->store, &call);
	end.cell.worst_nanousd = nanousd;
	store_call_settle(w->store, 0, slot, &end);
	assert_int_equal(store_sync(w->store, 5 * NS_PER_S), BUR_OK);
}

static const char *text(const json_t *o, const char *name)
{
	return json_string_value(json_object_get(o, name));
}

static json_t *facts_of(const char *type, const char *budget, const char *labels)
{
	return json_pack("{s:s,s:s,s:o,s:{s:s,s:s}}", "type", type, "budget_id", budget, "labels",
			 json_loads(labels, 0, NULL), "scope", "kind", "global", "id", "");
}

/* --- tests -------------------------------------------------------------------------------------------------------- */

static void a_budget_is_described(void **state)
{
	struct world w = world_new();
	json_t *f = facts_of("breaker.opened", "search", "{\"user\":\"ann\",\"tag.env\":\"prod\"}"), *labels, *scope;

	(void)state;
	(void)charge(&w, "search", "user=ann,tag.env=prod", 40 * NANOUSD_PER_USD);
	facts_describe(&w.facts, f);
	labels = json_object_get(f, "labels");
	scope = json_object_get(f, "scope");
	assert_string_equal(text(f, "unit"), "USD");
	assert_string_equal(text(f, "currency"), "USD");
	assert_string_equal(text(f, "period"), "month");
	assert_string_equal(text(f, "mode"), "hard");
	assert_string_equal(text(labels, "team"), "search");
	assert_null(text(labels, "model")); /* gpt-* is no model */
	assert_string_equal(text(scope, "kind"), "user");
	assert_string_equal(text(scope, "id"), "ann");
	assert_int_equal(json_integer_value(json_object_get(f, "spent_nanos")), 40 * NANOUSD_PER_USD);
	assert_true(json_real_value(json_object_get(f, "ratio")) == 0.8);
	assert_true(json_integer_value(json_object_get(f, "window_end")) > w.now_s);
	json_decref(f);
	/* what the event says stays; a budget that is not configured any more has nothing to add */
	f = facts_of("budget.threshold", "search", "{\"user\":\"ann\",\"tag.env\":\"prod\"}");
	assert_int_equal(json_object_set_new(f, "spent_nanos", json_integer(7)), 0);
	facts_describe(&w.facts, f);
	assert_int_equal(json_integer_value(json_object_get(f, "spent_nanos")), 7);
	json_decref(f);
	f = facts_of("budget.threshold", "gone", "{}");
	facts_describe(&w.facts, f);
	facts_figures(&w.facts, f);
	assert_null(json_object_get(f, "unit"));
	assert_null(json_object_get(f, "next"));
	json_decref(f);
	f = facts_of("budget.threshold", "tokens", "{}");
	facts_describe(&w.facts, f);
	assert_string_equal(text(f, "unit"), "tokens");
	assert_null(json_object_get(f, "currency"));
	assert_null(json_object_get(f, "window_end"));
	json_decref(f);
	world_done(&w);
}

static void a_key_has_an_owner_and_a_model_a_vendor(void **state)
{
	const struct key_row row = {.name = "ci", .user = "ann", .team = "search", .created_s = 1};
	struct world w = world_new();
	char key[KEY_TEXT_MAX];
	json_t *f;

	(void)state;
	assert_int_equal(keys_create(w.store, &row, key), BUR_OK);
	f = facts_of("key.expiring", "", "{\"key\":\"ci\"}");
	facts_describe(&w.facts, f);
	assert_string_equal(text(json_object_get(f, "labels"), "team"), "search");
	assert_string_equal(text(json_object_get(f, "labels"), "user"), "ann");
	assert_null(text(json_object_get(f, "labels"), "project"));
	json_decref(f);
	f = facts_of("price.unknown_model", "", "{\"model\":\"openrouter/meta/llama\"}");
	facts_describe(&w.facts, f);
	assert_string_equal(text(json_object_get(f, "labels"), "provider"), "openrouter");
	assert_string_equal(text(json_object_get(f, "labels"), "model"), "meta/llama");
	json_decref(f);
	f = facts_of("breaker.opened", "", "{\"provider\":\"openai@127.0.0.1:443\"}");
	facts_describe(&w.facts, f);
	assert_string_equal(text(json_object_get(f, "labels"), "provider"), "openai");
	json_decref(f);
	world_done(&w);
}

static void who_spends_most_and_how_fast(void **state)
{
	static const char scope[] = "user=ann,tag.env=prod";
	struct world w = world_new();
	json_t *f = facts_of("budget.threshold", "search", "{\"user\":\"ann\",\"tag.env\":\"prod\"}"), *top, *rate;

	(void)state;
	call_of(&w, "one", "gpt-a", scope, 12340000000);
	call_of(&w, "two", "gpt-a", scope, 2000000000);
	call_of(&w, "two", "gpt-b", scope, 1000000000);
	call_of(&w, "two", "gpt-b", scope, 4000000000);
	call_of(&w, "three", "gpt-b", scope, 1000);
	call_of(&w, "other", "gpt-b", "user=bob,tag.env=prod", 20000000000);
	facts_describe(&w.facts, f);
	facts_figures(&w.facts, f);
	top = json_object_get(f, "top");
	assert_int_equal(json_array_size(top), 3);
	assert_string_equal(text(json_array_get(top, 0), "key"), "one");
	assert_string_equal(text(json_array_get(top, 0), "user"), "ann");
	assert_string_equal(text(json_array_get(top, 0), "spent"), "12.34 USD");
	assert_string_equal(text(json_array_get(top, 1), "model"), "gpt-b");
	assert_string_equal(text(json_array_get(top, 1), "spent"), "5.00 USD");
	rate = json_object_get(f, "rate");
	assert_true(json_real_value(json_object_get(rate, "per_hour")) > 19.34);
	assert_true(json_real_value(json_object_get(rate, "per_hour")) < 19.35);
	assert_string_equal(text(f, "command"), "bursar budgets raise search '75 USD' --reason '...'");
	assert_true(
	    strncmp(text(f, "next"), "At 90 % calls get cheaper models; at 100 % calls are refused until ", 66) == 0);
	assert_non_null(strstr(text(f, "next"), "00:00 Europe/Berlin."));
	json_decref(f);
	world_done(&w);
}

static const char *next_of(struct meter_view *v, int64_t posted)
{
	static char dst[FACTS_TEXT_MAX];

	v->posted = posted;
	return facts_next(v, dst);
}

static void what_comes_next(void **state)
{
	struct budget b = search();
	struct meter_view v = {.budget = &b, .limit = 1000, .win_end = 1763766000};

	(void)state;
	assert_string_equal(next_of(&v, 100), "At 90 % calls get cheaper models; at 100 % calls are refused until "
					      "2025-11-22 00:00 Europe/Berlin.");
	assert_string_equal(next_of(&v, 950), "Now calls get cheaper models; at 100 % calls are refused until "
					      "2025-11-22 00:00 Europe/Berlin.");
	assert_string_equal(next_of(&v, 1000), "Now calls get cheaper models; now calls are refused until "
					       "2025-11-22 00:00 Europe/Berlin.");
	v.credit = 500;
	assert_non_null(strstr(next_of(&v, 1000), "at 100 % calls are refused"));
	v.credit = 0;
	b.n_steps = 1; /* it refuses all the same */
	assert_string_equal(next_of(&v, 1000), "Now calls are refused until 2025-11-22 00:00 Europe/Berlin.");
	b.mode = MODE_SOFT;
	assert_string_equal(next_of(&v, 1000), "Nothing is refused: it is a soft budget.");
	b.mode = MODE_SHADOW;
	assert_string_equal(next_of(&v, 1000), "Nothing: it is a shadow budget, which only counts.");
	b.mode = MODE_HARD;
	b.window.kind = WINDOW_TOTAL;
	assert_string_equal(next_of(&v, 10), "At 100 % calls are refused until its limit is raised.");
}

static const char *command_of(const char *type, const char *kind, const char *id)
{
	static char dst[FACTS_TEXT_MAX];
	json_t *f = json_pack("{s:s,s:{s:s,s:s},s:{s:s,s:s}}", "type", type, "scope", "kind", kind, "id", id, "details",
			      "kind", "upstream", "name", id);

	(void)facts_command(f, NULL, dst);
	json_decref(f);
	return dst;
}

static void commands_are_safe_to_paste(void **state)
{
	(void)state;
	assert_string_equal(command_of("stop.set", "key", "ann"), "bursar resume --key ann --reason '...'");
	assert_string_equal(command_of("stop.set", "global", "everything"),
			    "bursar resume --everything --reason '...'");
	assert_string_equal(command_of("loop.quarantined", "key", "a'; rm -rf / #$(id)`x`"),
			    "bursar resume --key 'a'\\''; rm -rf / #$(id)`x`' --reason '...'");
	assert_string_equal(command_of("loop.quarantined", "key", "a\nb"), "");
	assert_string_equal(command_of("loop.quarantined", "key", "--config=x"), "");
	assert_string_equal(command_of("price.unknown_model", "model", "openai/gpt-x%n"),
			    "bursar prices set openai 'gpt-x%n' --in USD --out USD");
	assert_string_equal(command_of("breaker.opened", "provider", "openai@api.openai.com:443"),
			    "bursar breakers close upstream:openai@api.openai.com:443 --reason '...'");
	assert_string_equal(command_of("spend.anomaly", "team", "x"), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_budget_is_described, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_key_has_an_owner_and_a_model_a_vendor, setup, teardown),
	    cmocka_unit_test_setup_teardown(who_spends_most_and_how_fast, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_comes_next, setup, teardown),
	    cmocka_unit_test(commands_are_safe_to_paste),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
