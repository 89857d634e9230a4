#include "alerts/alert.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"

#define HOUR_S INT64_C(3600)
#define DAY_S (24 * HOUR_S)

static const struct {
	const char *name, *level;
} severities[SEVERITY_COUNT] = {
    [SEVERITY_INFO] = {"info", "info"},
    [SEVERITY_WARNING] = {"warning", "warning"},
    [SEVERITY_ERROR] = {"error", "critical"},
    [SEVERITY_CRITICAL] = {"critical", "exceeded"},
};

const char *severity_name(enum severity s)
{
	CHECK((unsigned)s < SEVERITY_COUNT);
	return severities[s].name;
}

const char *severity_level(enum severity s)
{
	CHECK((unsigned)s < SEVERITY_COUNT);
	return severities[s].level;
}

/* "critical" is a word of both languages: it is ours (the worst) here; only what is no word of ours is looked for in
 * the cost API's. */
int severity_parse(struct slice text, enum severity *ret)
{
	for (int i = 0; i < SEVERITY_COUNT; i++) {
		if (slice_eq(text, slice_of(severities[i].name))) {
			*ret = (enum severity)i;
			return BUR_OK;
		}
	}
	if (!slice_eq(text, SLICE("exceeded")) && !slice_eq(text, SLICE("emergency")))
		return BUR_INVALID;
	*ret = SEVERITY_CRITICAL;
	return BUR_OK;
}

/* Families. What a budget's window has come to is one incident: thresholds, blocks and what the ladder did follow each
 * other, and the window's end ends all of them. Everything else has a family of its own even when it is about a budget:
 * the end of a burn must not end a threshold that stays crossed, and a forecast is still true when a throttle ends.
 * A burn whose budget is taken out of the configuration is heard of no more: it fades.
 *
 * Severities. Thresholds are told apart in event.c: whoever asks to be told at 50 % wants to be told, so everything
 * below 90 % is a warning, from 90 % on an error, from 100 % on critical. A refused call is critical: somebody's work
 * has stopped. */
static const struct alert_type types[] = {
    {"budget.threshold", "budget", SEVERITY_WARNING, false, 0, "Budget threshold reached", false},
    {"budget.exceeded", "budget", SEVERITY_CRITICAL, false, 0, "Budget exceeded", false},
    {"budget.blocked", "budget", SEVERITY_CRITICAL, false, 0, "Calls are refused: budget used up", false},
    {"budget.throttled", "budget", SEVERITY_WARNING, false, 0, "Calls are slowed down", false},
    {"budget.degraded", "budget", SEVERITY_WARNING, false, 0, "Calls get a cheaper model", false},
    {"budget.reset", "budget", SEVERITY_INFO, true, 0, "Budget starts anew", false},
    {"budget.recovered", "budget", SEVERITY_INFO, true, 0, "Budget is below its threshold again", false},
    {"budget.overrun", "overrun", SEVERITY_ERROR, false, HOUR_S, "A bill was above its hold", false},
    {"budget.burn_rate", "burn", SEVERITY_ERROR, false, 30 * DAY_S, "Budget is spent too fast", true},
    {"forecast.over", "forecast", SEVERITY_WARNING, false, 0, "Budget will probably not last", false},
    {"breaker.opened", "breaker", SEVERITY_ERROR, false, 0, "Circuit breaker opened", false},
    {"breaker.half_open", NULL, SEVERITY_INFO, false, 0, "Circuit breaker tries again", false},
    {"breaker.closed", "breaker", SEVERITY_INFO, true, 0, "Circuit breaker closed", false},
    {"loop.quarantined", "loop", SEVERITY_ERROR, false, 0, "A loop was stopped", false},
    {"loop.released", "loop", SEVERITY_INFO, true, 0, "A stopped loop may go on", false},
    {"stop.set", "stop", SEVERITY_ERROR, false, 0, "Calls are stopped by hand", false},
    {"stop.lifted", "stop", SEVERITY_INFO, true, 0, "Calls may go on", false},
    {"spend.anomaly", "anomaly", SEVERITY_WARNING, false, 2 * HOUR_S, "Unusual spending", false},
    {"price.unknown_model", "price", SEVERITY_WARNING, false, DAY_S, "A model without a price", false},
    {"ledger.repaired", "ledger", SEVERITY_WARNING, false, HOUR_S, "The ledger was repaired", false},
    {"cloud.source_failed", "cloud", SEVERITY_ERROR, false, 0, "A cloud's bill cannot be read", false},
    {"cloud.late_correction", "cloud.correction", SEVERITY_INFO, false, DAY_S, "A cloud's bill was corrected", false},
    {"cloud.empty_answer", "cloud.empty", SEVERITY_WARNING, false, DAY_S, "A cloud's bill is empty", false},
    {"reconcile.drift", "reconcile", SEVERITY_ERROR, false, DAY_S, "Ledger and vendor's bill differ", false},
    {"reconcile.unproxied", "unproxied", SEVERITY_ERROR, false, DAY_S, "Spending that does not pass here", false},
    {"vendor.balance_low", "balance", SEVERITY_ERROR, false, DAY_S, "A vendor's balance is low", false},
    {"system.degraded", "system", SEVERITY_ERROR, false, 0, "bursar needs attention", false},
    {"key.expiring", "key", SEVERITY_WARNING, false, 7 * DAY_S, "A key is about to expire", false},
    {"test", NULL, SEVERITY_INFO, false, 0, "Test", false},
};

const struct alert_type *alert_types(size_t *ret_n)
{
	*ret_n = ARRAY_LEN(types);
	return types;
}

const struct alert_type *alert_type_find(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (slice_eq(name, slice_of(types[i].name)))
			return &types[i];
	return NULL;
}

/* Names are far shorter than these; what is cut at worst puts two incidents into one. */
#define KEY_SCOPE_MAX 1000
#define KEY_BUDGET_MAX 500

void alert_dedup_key(const char *family, struct slice scope, struct slice budget, int64_t window_start,
		     char ret[DEDUP_KEY_LEN + 1])
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	struct slice s = slice_sub(scope, 0, KEY_SCOPE_MAX), b = slice_sub(budget, 0, KEY_BUDGET_MAX);
	char text[KEY_SCOPE_MAX + KEY_BUDGET_MAX + 128];
	int n = snprintf(text, sizeof(text), "%s|%.*s|%.*s|%lld", family, (int)s.n, s.p ? s.p : "", (int)b.n,
			 b.p ? b.p : "", (long long)window_start);

	CHECK(n > 0 && (size_t)n < sizeof(text));
	(void)SHA256((const unsigned char *)text, (size_t)n, digest);
	hex_encode(digest, DEDUP_KEY_LEN / 2, ret);
}

/* --- members of facts --------------------------------------------------------------------------------------------- */

const char *fact_text(const json_t *facts, const char *name)
{
	const char *text = json_string_value(json_object_get(facts, name));

	return text ? text : "";
}

int64_t fact_int(const json_t *facts, const char *name)
{
	return json_integer_value(json_object_get(facts, name));
}

double fact_real(const json_t *facts, const char *name)
{
	return json_number_value(json_object_get(facts, name));
}

enum severity fact_severity(const json_t *facts)
{
	enum severity s = SEVERITY_INFO;

	return severity_parse(slice_of(fact_text(facts, "severity")), &s) == BUR_OK ? s : SEVERITY_INFO;
}
