/* Rows of the store as JSON. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "alerts/ask.h"
#include "alerts/sentence.h"
#include "base/calendar.h"
#include "base/clock.h"
#include "base/utf8.h"

#define DAY_S 86400

/* --- small things ------------------------------------------------------------------------------------------------- */

json_t *ask_text(struct slice s)
{
	char fixed[2048];
	size_t n = 0, step;
	uint32_t cp;
	json_t *whole = s.n ? json_stringn(s.p, s.n) : json_string("");

	if (whole)
		return whole;
	for (size_t i = 0; i < s.n && n + 4 < sizeof(fixed); i += step) {
		step = utf8_decode(s.p + i, s.n - i, &cp);
		if (step == 0) {
			step = 1;
			cp = 0xfffd;
		}
		n += utf8_encode(cp, fixed + n);
	}
	return json_stringn(fixed, n);
}

/* Years past 9999 are no times of ours. */
static bool civil(int64_t unix_s, int64_t *year, int *month, int *mday, int *second)
{
	int64_t day = unix_s / DAY_S, left = unix_s % DAY_S;

	if (unix_s < 0 || unix_s > INT64_C(253402300799))
		return false;
	civil_from_days(day, year, month, mday);
	*second = (int)left;
	return true;
}

json_t *ask_time(int64_t unix_ns)
{
	int64_t year;
	int month, mday, s;
	char text[TIME_TEXT_MAX];

	if (unix_ns == 0 || !civil(unix_ns / NS_PER_S, &year, &month, &mday, &s))
		return json_null();
	(void)snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02dZ", (int)year, month, mday, s / 3600,
		       s / 60 % 60, s % 60);
	return json_string(text);
}

json_t *ask_facts(struct slice text)
{
	json_t *o = text.n ? json_loadb(text.p, text.n, 0, NULL) : NULL;

	if (json_is_object(o))
		return o;
	json_decref(o);
	return json_object();
}

const char *ask_state(enum incident_state state)
{
	static const char *const names[] = {
	    [INCIDENT_FIRING] = "firing", [INCIDENT_ACKED] = "acknowledged", [INCIDENT_RESOLVED] = "resolved"};

	return (unsigned)state < ARRAY_LEN(names) ? names[state] : "unknown";
}

const char *ask_outbox_state(enum outbox_state state)
{
	static const char *const names[] = {
	    [OUTBOX_QUEUED] = "queued", [OUTBOX_SENT] = "sent",     [OUTBOX_DEAD] = "dead",
	    [OUTBOX_HELD] = "held",     [OUTBOX_MERGED] = "merged", [OUTBOX_DROPPED] = "dropped"};

	return (unsigned)state < ARRAY_LEN(names) ? names[state] : "unknown";
}

const char *ask_provider(const json_t *facts)
{
	const json_t *labels = json_object_get(facts, "labels");
	const char *provider = labels ? fact_text(labels, "provider") : "";

	return provider;
}

/* --- figures ------------------------------------------------------------------------------------------------------ */

static bool is_money(const json_t *facts)
{
	return strcmp(fact_text(facts, "unit"), "USD") == 0;
}

/* Money with at most 6 decimals, as the cost API has it; counts as they are. */
static json_t *amount(const json_t *facts, int64_t value)
{
	if (!is_money(facts))
		return json_integer(value);
	return json_real(round((double)value / 1e3) / 1e6);
}

static json_t *member_amount(const json_t *facts, const char *name)
{
	return json_object_get(facts, name) ? amount(facts, fact_int(facts, name)) : json_null();
}

/* What is in use: spent, and held by calls that run. Thresholds are crossed by it. */
static int64_t in_use(const json_t *facts)
{
	int64_t sum;

	return __builtin_add_overflow(fact_int(facts, "spent_nanos"), fact_int(facts, "reserved_nanos"), &sum)
		   ? INT64_MAX
		   : sum;
}

static json_t *in_use_amount(const json_t *facts)
{
	return json_object_get(facts, "spent_nanos") ? amount(facts, in_use(facts)) : json_null();
}

static json_t *threshold_amount(const json_t *facts)
{
	double share = fact_real(facts, "threshold");
	int64_t limit = fact_int(facts, "limit_nanos");

	if (!json_object_get(facts, "limit_nanos"))
		return json_null();
	return amount(facts,
		      share > 0 && share * (double)limit < 9e18 ? (int64_t)llround(share * (double)limit) : limit);
}

static json_t *percent(double ratio)
{
	return json_real(round(ratio * 1e8) / 1e6);
}

/* --- incidents ---------------------------------------------------------------------------------------------------- */

/* Short, as messages begin: "Budget search-daily: 80 % used". */
static json_t *title(const json_t *facts, const struct incident *row)
{
	struct text t = {.n = 0};

	sentence_title(facts, row->state == INCIDENT_RESOLVED ? SAY_RESOLVE : SAY_FIRE, &t);
	return ask_text(slice_mem(t.mem, t.n));
}

static enum severity severity_of(const struct incident *row)
{
	return row->severity >= 0 && row->severity < SEVERITY_COUNT ? (enum severity)row->severity : SEVERITY_INFO;
}

static json_t *metadata(const json_t *facts)
{
	static const char *const names[] = {"dedup_key", "period",    "window_start",   "window_end",
					    "ratio",     "threshold", "scope",          "labels",
					    "rate",      "top",       "reserved_nanos", "details"};
	json_t *o = json_object(), *v;

	for (size_t i = 0; o && i < ARRAY_LEN(names); i++) {
		v = json_object_get(facts, names[i]);
		if (v)
			(void)json_object_set(o, names[i], v);
	}
	return o;
}

/* The facts are of the latest event; the severity is of the worst. */
json_t *ask_alert(const struct incident *row)
{
	json_t *facts = ask_facts(row->facts), *o;
	enum severity severity = severity_of(row);
	const char *currency = fact_text(facts, "currency");

	if (!facts)
		return NULL;
	o = json_pack("{s:I,s:o,s:o,s:s,s:s,s:o,s:o,s:s,s:s,s:o,s:o,s:b,s:b}", "id", (json_int_t)row->id, "rule_name",
		      row->budget.n ? ask_text(row->budget) : ask_text(row->type), "alert_type", ask_text(row->type),
		      "alert_level", severity_level(severity), "provider", ask_provider(facts), "current_value",
		      in_use_amount(facts), "threshold_value", threshold_amount(facts), "currency",
		      currency[0]       ? currency
		      : is_money(facts) ? "USD"
					: "",
		      "message", fact_text(facts, "message"), "timestamp", ask_time(row->changed_ns), "metadata",
		      metadata(facts), "acknowledged", row->state == INCIDENT_ACKED || row->acked_ns > 0, "resolved",
		      row->state == INCIDENT_RESOLVED);
	if (o) {
		(void)json_object_set_new(o, "severity", json_string(severity_name(severity)));
		(void)json_object_set_new(o, "state", json_string(ask_state(row->state)));
		(void)json_object_set_new(o, "title", title(facts, row));
		(void)json_object_set_new(o, "budget", ask_text(row->budget));
		(void)json_object_set_new(o, "scope", ask_text(row->scope));
		(void)json_object_set_new(o, "unit", json_string(fact_text(facts, "unit")));
		(void)json_object_set_new(o, "limit_value", member_amount(facts, "limit_nanos"));
		(void)json_object_set_new(o, "events", json_integer(row->events));
		(void)json_object_set_new(o, "by", ask_text(row->by));
		(void)json_object_set_new(o, "opened_at", ask_time(row->opened_ns));
		(void)json_object_set_new(o, "acknowledged_at", ask_time(row->acked_ns));
		(void)json_object_set_new(o, "escalated_at", ask_time(row->escalated_ns));
		(void)json_object_set_new(o, "resolved_at", ask_time(row->resolved_ns));
	}
	json_decref(facts);
	return o;
}

static const char *period_type(const char *window)
{
	static const char *const words[][2] = {
	    {"day", "daily"}, {"month", "monthly"}, {"week", "weekly"}, {"hour", "hourly"}, {"year", "yearly"}};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(window, words[i][0]) == 0)
			return words[i][1];
	return window;
}

/* "2025-08-06", "2025-08": the window begins at a midnight of its zone, and twelve hours later it is that day in UTC
 * too. */
static json_t *period_key(const json_t *facts)
{
	const char *window = fact_text(facts, "period");
	int64_t start = fact_int(facts, "window_start"), year;
	int month, mday, s;

	if (start <= 0 || !civil(start + DAY_S / 2, &year, &month, &mday, &s))
		return json_string("");
	return strcmp(window, "month") == 0 ? json_sprintf("%04d-%02d", (int)year, month)
					    : json_sprintf("%04d-%02d-%02d", (int)year, month, mday);
}

static json_t *cost_metadata(const json_t *facts)
{
	const char *window = period_type(fact_text(facts, "period"));
	int64_t left;

	if (__builtin_sub_overflow(fact_int(facts, "limit_nanos"), in_use(facts), &left))
		left = 0;

	return json_pack("{s:s,s:s,s:o,s:s,s:o}", "operation_type", "", "research_category", "", "remaining_budget",
			 json_object_get(facts, "limit_nanos") ? amount(facts, left) : json_null(), "period_type",
			 window, "threshold_crossed", percent(fact_real(facts, "threshold")));
}

/* "Daily budget warning! Current: $37.50, Limit: $50.00 (75.0%)"; what is about no money says what it always says. */
static json_t *cost_message(const json_t *facts, const char *level)
{
	const char *period = period_type(fact_text(facts, "period"));
	int64_t limit = fact_int(facts, "limit_nanos"), used = in_use(facts);

	if (!is_money(facts) || limit <= 0 || period[0] == '\0')
		return json_string(fact_text(facts, "message"));
	return json_sprintf("%c%s budget %s! Current: $%.2f, Limit: $%.2f (%.1f%%)",
			    period[0] >= 'a' && period[0] <= 'z' ? period[0] - 'a' + 'A' : period[0], period + 1, level,
			    (double)used / 1e9, (double)limit / 1e9, 100 * (double)used / (double)limit);
}

json_t *ask_cost_alert(const struct incident *row)
{
	json_t *facts = ask_facts(row->facts), *o;
	enum severity severity = severity_of(row);

	if (!facts)
		return NULL;
	o = json_pack("{s:I,s:f,s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "id", (json_int_t)row->id, "timestamp",
		      (double)(row->changed_ns / 1000) / 1e6, "alert_level", severity_level(severity), "period_type",
		      period_type(fact_text(facts, "period")), "period_key", period_key(facts), "current_cost",
		      in_use_amount(facts), "budget_limit", member_amount(facts, "limit_nanos"), "percentage_used",
		      percent(fact_real(facts, "ratio")), "threshold_percentage",
		      percent(fact_real(facts, "threshold")), "message", cost_message(facts, severity_level(severity)),
		      "metadata", cost_metadata(facts));
	if (o) {
		(void)json_object_set_new(o, "type", ask_text(row->type));
		(void)json_object_set_new(o, "severity", json_string(severity_name(severity)));
		(void)json_object_set_new(o, "state", json_string(ask_state(row->state)));
		(void)json_object_set_new(o, "source", row->budget.n ? ask_text(row->budget) : ask_text(row->type));
	}
	json_decref(facts);
	return o;
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

json_t *ask_message(const struct outbox_row *row)
{
	const char *op = row->op >= 0 && row->op < SAY_COUNT ? message_op_name((enum message_op)row->op) : "unknown";
	bool open = row->state == OUTBOX_QUEUED || row->state == OUTBOX_HELD;
	json_t *o = json_pack("{s:I,s:I,s:I,s:o,s:s,s:s,s:o,s:i,s:o,s:o,s:o,s:o,s:o}", "id", (json_int_t)row->id,
			      "incident", (json_int_t)row->incident, "event", (json_int_t)row->event, "channel",
			      ask_text(row->channel), "op", op, "state", ask_outbox_state(row->state), "reason",
			      ask_text(row->reason), "attempts", row->attempts, "created_at", ask_time(row->created_ns),
			      "next_at", open ? ask_time(row->next_ns) : json_null(), "sent_at", ask_time(row->sent_ns),
			      "status", row->last_status ? json_integer(row->last_status) : json_null(), "why",
			      row->last_error.n ? ask_text(row->last_error) : ask_text(row->reason));

	return o;
}

json_t *ask_try(const struct delivery_try *t)
{
	return json_pack("{s:i,s:o,s:b,s:o,s:I,s:o}", "attempt", t->attempt, "at", ask_time(t->ts_ns), "success",
			 t->success, "status_code", t->status ? json_integer(t->status) : json_null(), "ms",
			 (json_int_t)t->took_ms, "error", ask_text(t->error));
}

json_t *ask_mute(const struct mute *m)
{
	return json_pack("{s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "id", (json_int_t)m->id, "budget",
			 ask_text(m->budget), "label", ask_text(m->label), "value", ask_text(m->value), "type",
			 ask_text(m->type), "from", ask_time(m->from_ns), "until", ask_time(m->until_ns), "by",
			 ask_text(m->by), "reason", ask_text(m->reason));
}
