#include "alerts/payload.h"

#include <stdio.h>
#include <string.h>

#include "alerts/words.h"
#include "base/calendar.h"
#include "base/clock.h"
#include "base/error.h"

/* --- facts that fit ----------------------------------------------------------------------------------------------- */

static size_t bytes_of(const json_t *j)
{
	return json_dumpb(j, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
}

/* The text cut to at most max bytes on a character's border; our texts are short, those of others need not be. */
static json_t *cut(const json_t *text, size_t max)
{
	const char *s = json_string_value(text);
	size_t n = max;

	while (n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80)
		n--;
	return json_sprintf("%.*s…", (int)n, s);
}

#define DEPTH_MAX 32

/* Every text of more than max bytes. BUR_OK, BUR_NOMEM. */
static int cut_texts(json_t *j, size_t max, int depth)
{
	const char *name;
	json_t *child;
	void *next;
	size_t i;
	int r = BUR_OK;

	if (depth > DEPTH_MAX)
		return json_is_object(j) ? json_object_clear(j) : json_is_array(j) ? json_array_clear(j) : BUR_OK;
	json_object_foreach_safe(j, next, name, child)
	{
		if (!json_is_string(child))
			r = cut_texts(child, max, depth + 1);
		else if (json_string_length(child) > max)
			r = json_object_set_new(j, name, cut(child, max)) < 0 ? BUR_NOMEM : BUR_OK;
		if (r < 0)
			return r;
	}
	json_array_foreach(j, i, child)
	{
		if (!json_is_string(child))
			r = cut_texts(child, max, depth + 1);
		else if (json_string_length(child) > max)
			r = json_array_set_new(j, i, cut(child, max)) < 0 ? BUR_NOMEM : BUR_OK;
		if (r < 0)
			return r;
	}
	return BUR_OK;
}

/* Without these a receiver still knows what is going on. */
static const char *const essential[] = {
    "id",          "type",        "severity",       "level",     "state",    "title",        "message",
    "incident",    "dedup_key",   "scope",          "budget_id", "period",   "window_start", "window_end",
    "limit_nanos", "spent_nanos", "reserved_nanos", "unit",      "currency", "ratio",        "threshold",
    "at",          "since",       "node",           "revision",
};

static bool is_essential(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(essential); i++)
		if (strcmp(name, essential[i]) == 0)
			return true;
	return false;
}

static void keep_essential(json_t *facts)
{
	const char *name;
	json_t *child;
	void *next;

	json_object_foreach_safe(facts, next, name, child)
	{
		if (!is_essential(name))
			(void)json_object_del(facts, name);
	}
}

static int fit(json_t *facts, size_t max_bytes)
{
	/* what is left out, one after the other, and to how many bytes texts are cut */
	static const struct {
		const char *member;
		size_t text_max;
	} steps[] = {{NULL, 2000}, {"details", 2000}, {"top", 2000}, {NULL, 500}, {"labels", 500}, {NULL, 120}};
	int r = BUR_OK;

	if (bytes_of(facts) <= max_bytes)
		return BUR_OK;
	if (json_object_set_new(facts, "truncated", json_true()) < 0)
		return BUR_NOMEM;
	for (size_t i = 0; i < ARRAY_LEN(steps) && r == BUR_OK && bytes_of(facts) > max_bytes; i++) {
		if (steps[i].member)
			(void)json_object_del(facts, steps[i].member);
		r = cut_texts(facts, steps[i].text_max, 0);
	}
	if (r == BUR_OK && bytes_of(facts) > max_bytes)
		keep_essential(facts);
	return r;
}

json_t *payload_facts(const struct message *m, size_t max_bytes)
{
	json_t *facts = json_deep_copy(m->facts);

	if (!facts || json_object_set_new(facts, "state", json_string(message_op_name(m->op))) < 0 ||
	    fit(facts, max_bytes) < 0) {
		json_decref(facts);
		return NULL;
	}
	return facts;
}

/* --- what it is about --------------------------------------------------------------------------------------------- */

const char *payload_subject(struct arena *arena, const json_t *facts, size_t max)
{
	const json_t *scope = json_object_get(facts, "scope");
	const char *kind = fact_text(scope, "kind"), *id = fact_text(scope, "id"),
		   *budget = fact_text(facts, "budget_id");
	struct slice text;
	char *clean;

	if (*kind && *id)
		text = arena_printf(arena, "%s:%s", kind, id);
	else if (*budget)
		text = arena_printf(arena, "budget:%s", budget);
	else
		text = arena_dup(arena, *kind ? slice_of(kind) : SLICE("global"));
	clean = arena_alloc(arena, max + 1);
	if (!text.p || !clean)
		return NULL;
	(void)words_clean(text, clean, max + 1);
	return clean;
}

bool payload_is_over(const struct message *m)
{
	return m->op == SAY_RESOLVE;
}

/* --- times -------------------------------------------------------------------------------------------------------- */

char *payload_time(int64_t unix_ns, char dst[PAYLOAD_TIME_MAX])
{
	int64_t s = unix_ns / NS_PER_S, day = s / 86400, rest = s % 86400, year;
	int month, mday;

	if (unix_ns <= 0) {
		(void)snprintf(dst, PAYLOAD_TIME_MAX, "0001-01-01T00:00:00Z");
		return dst;
	}
	civil_from_days(day, &year, &month, &mday);
	(void)snprintf(dst, PAYLOAD_TIME_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (int)year, month, mday,
		       (int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60), (int)(unix_ns / 1000000 % 1000));
	return dst;
}

int64_t payload_time_ns(const struct message *m, const char *member)
{
	int64_t ns = 0;
	const char *text = fact_text(m->facts, member);

	return *text && time_parse(slice_of(text), &ns) == BUR_OK && ns > 0 ? ns : m->at_ns;
}

/* --- signing in --------------------------------------------------------------------------------------------------- */

static int basic(struct request *q, const char *user, const char *password)
{
	struct slice pair = arena_printf(q->arena, "%s:%s", user, password ? password : "");
	size_t size = (pair.n + 2) / 3 * 4 + 1;
	char *text = pair.p ? arena_alloc(q->arena, size) : NULL;
	int r = BUR_NOMEM;

	if (text && base64_encode(pair.p, pair.n, text, size) >= 0)
		r = request_header(q, "Authorization: Basic %s", text);
	if (pair.p)
		bytes_wipe((void *)(uintptr_t)pair.p, pair.n);
	return r;
}

int payload_sign_in(struct request *q, const char *bearer, const char *user, const char *password)
{
	if (bearer)
		return request_header(q, "Authorization: Bearer %s", bearer);
	return user ? basic(q, user, password) : BUR_OK;
}

/* --- the cost API's alert ----------------------------------------------------------------------------------------- */

/* "2026-11-21" of a day, "2026-11" of a month. A window begins at midnight of its own zone, which may be yesterday in
 * UTC: its middle is within the right day wherever it is. */
static void period_key(const struct message *m, const char *period, char *dst, size_t size)
{
	int64_t start = fact_int(m->facts, "window_start"), end = fact_int(m->facts, "window_end"), year;
	int month, day;

	dst[0] = '\0';
	if (start <= 0 || end <= start || end > INT64_C(253402300799))
		return;
	civil_from_days((start + (end - start) / 2) / 86400, &year, &month, &day);
	if (strcmp(period, "month") == 0)
		(void)snprintf(dst, size, "%04d-%02d", (int)year, month);
	else if (strcmp(period, "day") == 0)
		(void)snprintf(dst, size, "%04d-%02d-%02d", (int)year, month, day);
}

/* Dollars of the nano-dollars that facts have; counts stay counts. */
static double amount(const struct message *m, const char *name)
{
	double value = (double)fact_int(m->facts, name);

	return strcmp(fact_text(m->facts, "unit"), "USD") == 0 ? value / 1e9 : value;
}

json_t *payload_cost_alert(const struct message *m)
{
	static const char *const words[][2] = {{"day", "daily"},   {"month", "monthly"},     {"week", "weekly"},
					       {"hour", "hourly"}, {"quarter", "quarterly"}, {"year", "yearly"}};
	const char *period = fact_text(m->facts, "period"), *type = period;
	double ratio = fact_real(m->facts, "ratio"), threshold = fact_real(m->facts, "threshold");
	double limit = amount(m, "limit_nanos"), used = amount(m, "spent_nanos") + amount(m, "reserved_nanos");
	char key[32];

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(period, words[i][0]) == 0)
			type = words[i][1];
	period_key(m, period, key, sizeof(key));
	return json_pack("{s:f, s:s, s:s, s:s, s:f, s:f, s:f, s:f, s:{s:f, s:s, s:f}}", "timestamp",
			 (double)m->at_ns / 1e9, "alert_level", severity_level(m->severity), "period_type", type,
			 "period_key", key, "current_cost", used, "budget_limit", limit, "percentage_used", ratio * 100,
			 "threshold_percentage", threshold * 100, "metadata", "remaining_budget", limit - used,
			 "period_type", type, "threshold_crossed", threshold * 100);
}
