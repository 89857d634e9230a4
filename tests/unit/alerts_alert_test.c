/* Types, severities, keys of incidents, and how an event of the store becomes facts. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "alerts/event.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/note.h"

static void severities(void **state)
{
	static const struct {
		const char *word;
		enum severity s;
	} words[] = {{"info", SEVERITY_INFO},         {"warning", SEVERITY_WARNING},
		     {"error", SEVERITY_ERROR},       {"critical", SEVERITY_CRITICAL},
		     {"exceeded", SEVERITY_CRITICAL}, {"emergency", SEVERITY_CRITICAL}};
	enum severity s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		assert_int_equal(severity_parse(slice_of(words[i].word), &s), BUR_OK);
		assert_int_equal(s, words[i].s);
	}
	assert_int_equal(severity_parse(SLICE("Warning"), &s), BUR_INVALID);
	assert_int_equal(severity_parse(SLICE_NONE, &s), BUR_INVALID);
	assert_string_equal(severity_level(SEVERITY_ERROR), "critical");
	assert_string_equal(severity_level(SEVERITY_CRITICAL), "exceeded");
	assert_string_equal(severity_name(SEVERITY_ERROR), "error");
}

static void types(void **state)
{
	static const char *const all[] = {"budget.threshold",      "budget.exceeded",
					  "budget.reset",          "budget.throttled",
					  "budget.degraded",       "budget.blocked",
					  "budget.overrun",        "budget.burn_rate",
					  "breaker.opened",        "breaker.closed",
					  "ledger.repaired",       "spend.anomaly",
					  "forecast.over",         "cloud.source_failed",
					  "cloud.late_correction", "cloud.empty_answer",
					  "reconcile.drift",       "reconcile.unproxied",
					  "vendor.balance_low",    "price.unknown_model",
					  "system.degraded",       "test",
					  "breaker.half_open",     "loop.quarantined",
					  "loop.released",         "stop.set",
					  "stop.lifted",           "budget.recovered",
					  "key.expiring"};
	size_t n;
	const struct alert_type *list = alert_types(&n);

	(void)state;
	assert_int_equal(n, ARRAY_LEN(all));
	for (size_t i = 0; i < n; i++) {
		const struct alert_type *t = alert_type_find(slice_of(all[i]));

		assert_non_null(t);
		assert_true(list[i].title[0] != '\0');
		/* what ends nothing and is ended by nothing would go on for ever */
		if (list[i].ends)
			assert_non_null(list[i].family);
	}
	assert_null(alert_type_find(SLICE("budget")));
	assert_string_equal(alert_type_find(SLICE("budget.reset"))->family, "budget");
	assert_true(strcmp(alert_type_find(SLICE("budget.burn_rate"))->family, "budget") != 0);
	assert_null(alert_type_find(SLICE("breaker.half_open"))->family);
}

static void keys(void **state)
{
	char a[DEDUP_KEY_LEN + 1], b[DEDUP_KEY_LEN + 1], text[3000];

	(void)state;
	/* printf 'budget|user=ann|daily|1795248000' | sha256sum */
	alert_dedup_key("budget", SLICE("user=ann"), SLICE("daily"), 1795248000, a);
	assert_string_equal(a, "fe5b756b62144fec39683f460bd7fb31");
	alert_dedup_key("budget", SLICE_NONE, SLICE_NONE, 0, b);
	assert_int_equal(strlen(b), DEDUP_KEY_LEN);
	memset(text, 'x', sizeof(text));
	alert_dedup_key("budget", slice_mem(text, sizeof(text)), slice_mem(text, sizeof(text)), INT64_MIN, b);
	assert_int_equal(strlen(b), DEDUP_KEY_LEN);
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static const struct alerts_config config = {.node = "node-1"};
static struct alerts_deps deps;

static void describe(void *ctx, json_t *facts)
{
	(void)json_object_set_new(facts, "mode", json_string(ctx));
}

static struct event must_read(const char *kind, int action, const char *payload)
{
	const struct event_row row = {.id = 5,
				      .ts_ns = INT64_C(1795248000123000000),
				      .uid = -1,
				      .action = action,
				      .kind = slice_of(kind),
				      .payload = slice_of(payload)};
	struct event e;

	assert_int_equal(event_read(&config, &deps, &row, &e), BUR_OK);
	return e;
}

static void check_severity(const char *kind, const char *payload, const char *type, enum severity s)
{
	struct event e = must_read(kind, 0, payload);

	assert_string_equal(e.type->name, type);
	assert_string_equal(fact_text(e.facts, "type"), type);
	assert_int_equal(e.severity, s);
	assert_int_equal(fact_severity(e.facts), s);
	assert_string_equal(fact_text(e.facts, "level"), severity_level(s));
	json_decref(e.facts);
}

static void threshold_facts(void **state)
{
	struct event e =
	    must_read("budget.threshold", 0,
		      "{\"budget\":\"daily\",\"scope\":\"user=ann,model=x\",\"action\":\"alert\",\"at_ppm\":"
		      "800000,\"posted\":80120000000,\"held\":1000000000,\"limit\":100000000000,\"win_start\":"
		      "1795219200,\"win_end\":1795305600,\"why\":{\"a\":[1]}}");
	const json_t *scope = json_object_get(e.facts, "scope"), *labels = json_object_get(e.facts, "labels");

	(void)state;
	assert_int_equal(e.severity, SEVERITY_WARNING);
	assert_true(e.crossing);
	assert_false(e.ends);
	assert_int_equal(e.ends_ns, (INT64_C(1795305600) + EVENT_WINDOW_GRACE_S) * NS_PER_S);
	assert_string_equal(fact_text(e.facts, "budget_id"), "daily");
	assert_string_equal(fact_text(scope, "kind"), "user");
	assert_string_equal(fact_text(scope, "id"), "ann,model=x");
	assert_string_equal(fact_text(labels, "user"), "ann");
	assert_string_equal(fact_text(labels, "model"), "x");
	assert_true(fact_real(e.facts, "ratio") == 0.8112);
	assert_true(fact_real(e.facts, "threshold") == 0.8);
	assert_int_equal(fact_int(e.facts, "limit_nanos"), 100000000000);
	assert_int_equal(fact_int(e.facts, "spent_nanos"), 80120000000);
	assert_int_equal(fact_int(e.facts, "reserved_nanos"), 1000000000);
	assert_string_equal(fact_text(e.facts, "unit"), "USD");
	assert_string_equal(fact_text(e.facts, "currency"), "USD");
	assert_string_equal(fact_text(e.facts, "at"), "2026-11-21T08:00:00.123Z");
	assert_string_equal(fact_text(e.facts, "node"), "node-1");
	assert_int_equal(fact_int(e.facts, "revision"), 1);
	assert_int_equal(
	    json_array_size(json_object_get(json_object_get(json_object_get(e.facts, "details"), "why"), "a")), 1);
	assert_null(json_object_get(json_object_get(e.facts, "details"), "limit"));
	assert_string_equal(fact_text(e.facts, "message"),
			    "Budget threshold reached: daily user=ann,model=x, 81.1 % in use");
	json_decref(e.facts);
}

static char soft[] = "soft", shadow[] = "shadow", hard[] = "hard";

static void severity_of_thresholds(void **state)
{
	(void)state;
	check_severity("budget.threshold", "{\"budget\":\"a\",\"at_ppm\":500000}", "budget.threshold",
		       SEVERITY_WARNING);
	check_severity("budget.threshold", "{\"budget\":\"a\",\"at_ppm\":899999}", "budget.threshold",
		       SEVERITY_WARNING);
	check_severity("budget.threshold", "{\"budget\":\"a\",\"at_ppm\":900000}", "budget.threshold", SEVERITY_ERROR);
	check_severity("budget.threshold", "{\"budget\":\"a\",\"at_ppm\":1000000}", "budget.exceeded",
		       SEVERITY_CRITICAL);
	check_severity("budget.threshold", "{\"budget\":\"a\",\"at_ppm\":900000,\"posted\":101,\"limit\":100}",
		       "budget.exceeded", SEVERITY_CRITICAL);
	check_severity("budget.threshold", "{\"budget\":\"a\",\"at_ppm\":1000000,\"action\":\"block\"}",
		       "budget.blocked", SEVERITY_CRITICAL);
	check_severity("budget.threshold", "{\"budget\":\"a\",\"at_ppm\":1000000,\"severity\":\"info\"}",
		       "budget.exceeded", SEVERITY_INFO);
	deps = (struct alerts_deps){.describe = describe, .ctx = soft};
	check_severity("budget.exceeded", "{\"budget\":\"a\"}", "budget.exceeded", SEVERITY_ERROR);
	deps.ctx = shadow;
	check_severity("budget.exceeded", "{\"budget\":\"a\"}", "budget.exceeded", SEVERITY_WARNING);
	deps.ctx = hard;
	check_severity("budget.exceeded", "{\"budget\":\"a\"}", "budget.exceeded", SEVERITY_CRITICAL);
	deps = (struct alerts_deps){.describe = NULL};
}

static void check_same(const char *kind_a, const char *a, const char *kind_b, const char *b, bool same)
{
	struct event x = must_read(kind_a, NOTE_BEGAN, a), y = must_read(kind_b, NOTE_BEGAN, b);

	assert_int_equal(strcmp(x.key, y.key) == 0, same);
	json_decref(x.facts);
	json_decref(y.facts);
}

static void one_incident_or_two(void **state)
{
	(void)state;
	check_same("budget.threshold", "{\"budget\":\"a\",\"at_ppm\":1,\"win_start\":7}", "budget.reset",
		   "{\"budget\":\"a\",\"win_start\":7,\"object\":\"a\"}", true);
	check_same("budget.threshold", "{\"budget\":\"a\",\"win_start\":7}", "budget.threshold",
		   "{\"budget\":\"a\",\"win_start\":8}", false);
	check_same("budget.threshold", "{\"budget\":\"a\",\"scope\":\"user=b\"}", "budget.threshold",
		   "{\"budget\":\"a\",\"scope\":\"user=c\"}", false);
	check_same("budget.threshold", "{\"budget\":\"a\"}", "budget.burn_rate", "{\"budget\":\"a\"}", false);
	/* a burn that goes on into the next window is the same burn */
	check_same("budget.burn_rate", "{\"budget\":\"a\",\"win_start\":7}", "budget.burn_rate",
		   "{\"budget\":\"a\",\"win_start\":8}", true);
	check_same("breaker.opened", "{\"object\":\"openai@x:443\"}", "breaker.closed", "{\"object\":\"openai@x:443\"}",
		   true);
	check_same("breaker.opened", "{\"object\":\"openai@x:443\"}", "breaker.opened", "{\"object\":\"openai@y:443\"}",
		   false);
}

static void ends_of_incidents(void **state)
{
	struct event e = must_read("budget.threshold", 0, "{\"budget\":\"a\",\"win_end\":9223372036854775807}");

	(void)state;
	assert_int_equal(e.ends_ns, 0);
	json_decref(e.facts);
	e = must_read("key.expiring", NOTE_BEGAN, "{\"object\":\"k\",\"ends_s\":1795250000}");
	assert_int_equal(e.ends_ns, INT64_C(1795250000) * NS_PER_S);
	json_decref(e.facts);
	e = must_read("spend.anomaly", NOTE_BEGAN, "{\"object\":\"k\"}");
	assert_int_equal(e.ends_ns, e.at_ns + e.type->quiet_s * NS_PER_S);
	assert_false(e.ends);
	json_decref(e.facts);
	e = must_read("spend.anomaly", NOTE_ENDED, "{\"object\":\"k\"}");
	assert_true(e.ends);
	json_decref(e.facts);
	e = must_read("breaker.closed", NOTE_BEGAN, "{\"object\":\"k\",\"object_kind\":\"provider\"}");
	assert_true(e.ends);
	assert_string_equal(fact_text(json_object_get(e.facts, "labels"), "provider"), "k");
	json_decref(e.facts);
}

/* Whatever an event carries, it is told in bounded words of valid UTF-8. */
static void hostile_events(void **state)
{
	static const char *const bad[] = {"",
					  "{",
					  "null",
					  "[]",
					  "{\"budget\":7,\"scope\":null}",
					  "\xff\xfe",
					  "{\"budget\":\"\xff\"}",
					  "{\"at_ppm\":-9223372036854775808,"
					  "\"posted\":9223372036854775807,\"held\":9223372036854775807,\"limit\":1,"
					  "\"budget\":\"x\"}"};
	static char large[20000];
	struct event e;
	int n;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		e = must_read("system.degraded", NOTE_BEGAN, bad[i]);
		assert_true(fact_text(e.facts, "message")[0] != '\0');
		json_decref(e.facts);
	}
	n = snprintf(large, sizeof(large), "{\"object\":\"");
	for (; n < 12000; n += 4)
		memcpy(large + n, "\xf0\x9f\x98\x80", 4);
	(void)snprintf(large + n, sizeof(large) - (size_t)n, "\",\"more\":\"%s\"}", "x");
	e = must_read("price.unknown_model", NOTE_BEGAN, large);
	assert_true(strlen(fact_text(e.facts, "message")) <= EVENT_WORDS_MAX);
	json_decref(e.facts);
	memset(large, 'y', sizeof(large));
	memcpy(large, "{\"more\":\"", 9);
	memcpy(large + 15000, "\"}", 3);
	e = must_read("price.unknown_model", NOTE_BEGAN, large);
	assert_int_equal(json_object_size(json_object_get(e.facts, "details")), 0);
	json_decref(e.facts);
}

static void nobody_is_told(void **state)
{
	struct event_row row = {.id = 1, .kind = SLICE("breaker.half_open"), .payload = SLICE("{}")};
	struct event e;

	(void)state;
	assert_int_equal(event_read(&config, &deps, &row, &e), BUR_NOTFOUND);
	row.kind = SLICE("no.such.kind");
	assert_int_equal(event_read(&config, &deps, &row, &e), BUR_NOTFOUND);
}

static void times(void **state)
{
	json_t *t = event_time(INT64_C(1795248000999999999));

	(void)state;
	assert_string_equal(json_string_value(t), "2026-11-21T08:00:00.999Z");
	json_decref(t);
	t = event_time(0);
	assert_true(json_is_null(t));
	json_decref(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(severities),
	    cmocka_unit_test(types),
	    cmocka_unit_test(keys),
	    cmocka_unit_test(threshold_facts),
	    cmocka_unit_test(severity_of_thresholds),
	    cmocka_unit_test(one_incident_or_two),
	    cmocka_unit_test(ends_of_incidents),
	    cmocka_unit_test(hostile_events),
	    cmocka_unit_test(nobody_is_told),
	    cmocka_unit_test(times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
