#include "app/facts.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "app/facts_next.h"
#include "base/calendar.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "policy/budget_window.h"
#include "policy/engine_meter.h"
#include "store/keys.h"
#include "store/series.h"
#include "store/spenders.h"

#define HOUR_S 3600
#define DAY_S 86400
#define TOP 3
#define NAME_MAX_BYTES 300

int facts_open(struct facts_source *f, struct store *store, struct engine *engine, const struct budget_set *set)
{
	*f = (struct facts_source){.engine = engine, .set = set};
	return store_reader(store, &f->reader);
}

void facts_close(struct facts_source *f)
{
	(void)sqlite3_close(f->reader);
	*f = (struct facts_source){0};
}

/* --- which budget ------------------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "";
}

static const struct budget *budget_of(const struct facts_source *f, const json_t *facts)
{
	const char *name = text_of(facts, "budget_id");

	for (size_t i = 0; name[0] && i < budget_set_len(f->set); i++)
		if (strcmp(budget_set_at(f->set, i)->name, name) == 0)
			return budget_set_at(f->set, i);
	return NULL;
}

static void label_of(enum fact fact, const char *tag, char dst[NAME_MAX_BYTES])
{
	(void)snprintf(dst, NAME_MAX_BYTES, "%s%s", fact_name(fact), fact == FACT_TAG && tag ? tag : "");
}

/* The counter's scope, put together again from the labels that it became. */
static void scope_of(const struct budget *b, const json_t *facts, char dst[SCOPE_SIZE])
{
	const json_t *labels = json_object_get(facts, "labels");
	char label[NAME_MAX_BYTES];
	size_t n = 0;

	dst[0] = '\0';
	for (size_t i = 0; i < b->n_per; i++) {
		int w;

		label_of(b->per[i].fact, b->per[i].tag, label);
		w = snprintf(dst + n, SCOPE_SIZE - n, "%s%s=%s", n ? "," : "", label, text_of(labels, label));
		if (w < 0 || (size_t)w >= SCOPE_SIZE - n)
			return; /* no such counter will be found */
		n += (size_t)w;
	}
}

static bool view_of(const struct facts_source *f, const struct budget *b, const json_t *facts, struct meter_view *ret)
{
	int64_t now_s = engine_time_s(f->engine, clock_wall_ns(), clock_mono_ns());
	char scope[SCOPE_SIZE];

	if (!b)
		return false;
	scope_of(b, facts, scope);
	return engine_meter_view(f->engine, meter_uid(b->name, slice_of(scope)), now_s, ret) == BUR_OK;
}

/* --- describing --------------------------------------------------------------------------------------------------- */

static void set(json_t *o, const char *name, json_t *value)
{
	if (json_object_set_new(o, name, value) < 0)
		log_limited(LOG_ERROR, "alerts.facts", "out of memory for what an alert says");
}

static void set_once(json_t *o, const char *name, json_t *value)
{
	if (json_object_get(o, name))
		json_decref(value);
	else
		set(o, name, value);
}

/* What the budget is for; a prefix is no value. */
static void put_labels(const struct budget *b, json_t *labels)
{
	char label[NAME_MAX_BYTES];

	for (size_t i = 0; i < b->n_match; i++) {
		const char *value = b->match[i].value;
		size_t n = strlen(value);

		if (n == 0 || value[n - 1] == '*')
			continue;
		label_of(b->match[i].fact, b->match[i].tag, label);
		set_once(labels, label, json_string(value));
	}
}

/* The most specific that the labels name. */
static void put_scope(json_t *facts, const json_t *labels)
{
	static const char *const kinds[] = {"key", "user", "team", "project", "model", "provider"};
	const char *kind = "global", *id = "", *label;
	json_t *value;

	for (size_t i = 0; i < ARRAY_LEN(kinds) && id[0] == '\0'; i++) {
		id = text_of(labels, kinds[i]);
		kind = id[0] ? kinds[i] : "global";
	}
	if (id[0] == '\0') {
		json_object_foreach((json_t *)labels, label, value)
		{
			char pair[2 * NAME_MAX_BYTES];

			if (strncmp(label, "tag.", 4) != 0)
				continue;
			(void)snprintf(pair, sizeof(pair), "%s=%s", label + 4, text_of(labels, label));
			set(facts, "scope", json_pack("{s:s,s:s}", "kind", "tag", "id", pair));
			return;
		}
	}
	set(facts, "scope", json_pack("{s:s,s:s}", "kind", kind, "id", id));
}

static void put_state(json_t *facts, const struct meter_view *v)
{
	__int128 used = (__int128)v->posted + v->held;

	if (json_object_get(facts, "spent_nanos"))
		return;
	set(facts, "limit_nanos", json_integer(v->limit));
	set(facts, "spent_nanos", json_integer(v->posted));
	set(facts, "reserved_nanos", json_integer(v->held));
	if (v->limit > 0)
		set(facts, "ratio", json_real((double)(used * 10000 / v->limit) / 1e4));
	if (budget_is_rolling(v->budget) || v->budget->window.kind == WINDOW_TOTAL)
		return;
	set_once(facts, "window_start", json_integer(v->win_start));
	set_once(facts, "window_end", json_integer(v->win_end));
}

/* What is about a key is about its user, team and project too. */
static void put_owner(const struct facts_source *f, json_t *labels)
{
	const char *name = text_of(labels, "key");
	struct key_row k;

	if (name[0] == '\0' || keys_find(f->reader, slice_of(name), &k) != BUR_OK)
		return;
	if (k.user[0])
		set_once(labels, "user", json_string(k.user));
	if (k.team[0])
		set_once(labels, "team", json_string(k.team));
	if (k.project[0])
		set_once(labels, "project", json_string(k.project));
}

/* "openai/gpt-x" is a model of a vendor; "openai@api.openai.com:443" a host of one. */
static void put_provider(json_t *labels)
{
	const char *model = text_of(labels, "model"), *provider = text_of(labels, "provider"), *cut;
	json_t *name;

	cut = strchr(provider, '@');
	if (cut) {
		set(labels, "provider", json_stringn(provider, (size_t)(cut - provider)));
		return;
	}
	cut = strchr(model, '/');
	if (!cut || provider[0])
		return;
	name = json_string(cut + 1);
	set(labels, "provider", json_stringn(model, (size_t)(cut - model)));
	set(labels, "model", name);
}

static void describe_object(const struct facts_source *f, const json_t *facts)
{
	json_t *labels = json_object_get(facts, "labels");

	if (!labels)
		return;
	put_owner(f, labels);
	if (strcmp(text_of(facts, "type"), "price.unknown_model") == 0 ||
	    strncmp(text_of(facts, "type"), "breaker.", 8) == 0)
		put_provider(labels);
}

void facts_describe(void *ctx, json_t *facts)
{
	static const char *const units[] = {[UNIT_USD] = "USD", [UNIT_TOKENS] = "tokens", [UNIT_REQUESTS] = "requests"};
	const struct facts_source *f = ctx;
	const struct budget *b = budget_of(f, facts);
	json_t *labels = json_object_get(facts, "labels");
	struct meter_view v;

	if (!b) {
		describe_object(f, facts);
		return;
	}
	set(facts, "unit", json_string(units[b->unit]));
	if (b->unit == UNIT_USD)
		set(facts, "currency", json_string("USD"));
	set(facts, "period", json_string(b->window_name ? b->window_name : ""));
	set(facts, "mode", json_string(budget_mode_name(b->mode)));
	if (!json_object_get(facts, "spent_nanos") && view_of(f, b, facts, &v))
		put_state(facts, &v);
	if (!labels) {
		labels = json_object();
		set(facts, "labels", labels);
	}
	if (!labels)
		return;
	put_labels(b, labels);
	put_scope(facts, labels);
	put_owner(f, labels);
}

/* --- how fast ----------------------------------------------------------------------------------------------------- */

static double in_unit(const struct budget *b, int64_t v)
{
	return b->unit == UNIT_USD ? (double)v / 1e9 : (double)v;
}

/* Of the last hour. NULL: nothing was spent. */
static json_t *rate_json(const struct facts_source *f, const struct meter_view *v, int64_t now_s)
{
	int64_t minutes[60], sum = 0, end_s = 0;
	char when[TIME_TEXT_MAX];
	double left = (double)v->limit + (double)v->credit - (double)v->posted - (double)v->held, seconds;
	struct tz *utc = NULL;
	bool slides = budget_is_rolling(v->budget);
	json_t *runs_out;

	if (series_minutes(f->reader, v->uid, now_s - now_s % 60 - 59 * 60, ARRAY_LEN(minutes), minutes) < 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(minutes); i++)
		if (__builtin_add_overflow(sum, minutes[i], &sum))
			sum = INT64_MAX;
	if (sum <= 0)
		return NULL;
	seconds = left > 0 ? left / (double)sum * HOUR_S : -1;
	if (seconds >= 0 && seconds < 366.0 * DAY_S)
		end_s = now_s + (int64_t)seconds;
	if (end_s > 0 && !slides && end_s >= v->win_end)
		end_s = 0; /* the window is over before */
	if (end_s > 0 && tz_load("UTC", &utc) == BUR_OK)
		runs_out = json_string(time_format(utc, end_s, when));
	else
		runs_out = json_null();
	if (utc)
		tz_free(utc);
	return json_pack("{s:f,s:o}", "per_hour", in_unit(v->budget, sum), "runs_out_at", runs_out);
}

/* --- who spends --------------------------------------------------------------------------------------------------- */

/* "12.34 USD"; small sums exactly. */
static json_t *spent_json(enum amount_unit unit, int64_t v)
{
	char usd[AMOUNT_TEXT_MAX];

	if (unit == UNIT_TOKENS || unit == UNIT_REQUESTS)
		return json_sprintf("%lld %s", (long long)v, unit == UNIT_TOKENS ? "tokens" : "requests");
	if (v < NANOUSD_PER_USD / 100)
		return json_sprintf("%s USD", amount_format_usd(v, usd));
	v = v / 10000000 + (v % 10000000 >= 5000000);
	return json_sprintf("%lld.%02lld USD", (long long)(v / 100), (long long)(v % 100));
}

static json_t *top_json(const struct facts_source *f, const struct spenders_of *q, enum amount_unit unit)
{
	struct series_part parts[TOP];
	json_t *list = json_array();
	size_t n = 0;
	int r = spenders_top(f->reader, q, parts, TOP, &n);

	if (r < 0)
		log_limited(LOG_WARN, "alerts.facts", "who spends most cannot be read: %s", bur_strerror(r));
	for (size_t i = 0; i < n; i++) {
		char key[NAME_MAX_BYTES] = "", user[NAME_MAX_BYTES] = "", model[NAME_MAX_BYTES] = "";

		if (series_name_text(f->reader, parts[i].key, key, sizeof(key)) < 0 ||
		    series_name_text(f->reader, parts[i].user, user, sizeof(user)) < 0 ||
		    series_name_text(f->reader, parts[i].model, model, sizeof(model)) < 0)
			break;
		(void)json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:o}", "key", key, "user", user, "model",
							    model, "spent", spent_json(unit, parts[i].nanousd)));
	}
	return list;
}

/* A name that never spent cannot be the one that did. */
static int64_t number_of(const struct facts_source *f, int kind, const char *text)
{
	int64_t id;

	return spenders_name(f->reader, kind, slice_of(text), &id) == BUR_OK ? id : -1;
}

static bool put_name(const struct facts_source *f, const char *label, const char *value, struct spenders_of *q)
{
	if (strcmp(label, "key") == 0)
		q->key = number_of(f, NAME_KEY, value);
	else if (strcmp(label, "user") == 0)
		q->user = number_of(f, NAME_USER, value);
	else if (strcmp(label, "team") == 0)
		q->team = number_of(f, NAME_TEAM, value);
	else if (strcmp(label, "model") == 0)
		q->model = number_of(f, NAME_MODEL, value);
	else
		return false;
	return true;
}

/* Do names alone say whose spend the counter counts? */
static bool names_of(const struct facts_source *f, const struct budget *b, const json_t *facts, struct spenders_of *q)
{
	const json_t *labels = json_object_get(facts, "labels");
	bool all = b->unit == UNIT_USD;

	for (size_t i = 0; i < b->n_match && all; i++) {
		size_t n = strlen(b->match[i].value);

		all = n > 0 && b->match[i].value[n - 1] != '*' &&
		      put_name(f, fact_name(b->match[i].fact), b->match[i].value, q);
	}
	for (size_t i = 0; i < b->n_per && all; i++) {
		const char *name = fact_name(b->per[i].fact);

		all = text_of(labels, name)[0] != '\0' && put_name(f, name, text_of(labels, name), q);
	}
	return all;
}

static json_t *top_of_budget(const struct facts_source *f, const struct meter_view *v, const json_t *facts,
			     int64_t now_s)
{
	struct spenders_of q = {.uid = v->uid, .from_s = v->win_start, .to_s = v->win_end};
	int64_t told_start = json_integer_value(json_object_get(facts, "window_start"));

	if (budget_is_rolling(v->budget)) {
		q.from_s = now_s - v->budget->rolling_s;
		q.to_s = now_s + 1;
	} else if (v->budget->window.kind == WINDOW_TOTAL) {
		q.from_s = 0;
		q.to_s = now_s + 1;
	} else if (told_start > 0) { /* it may be over by now */
		q.from_s = told_start;
		q.to_s = json_integer_value(json_object_get(facts, "window_end"));
	}
	q.by_names = names_of(f, v->budget, facts, &q);
	return top_json(f, &q, v->budget->unit);
}

/* What is about a key, a user, a team or a model, or about all: of the last day. */
static json_t *top_of_object(const struct facts_source *f, const json_t *facts, int64_t now_s)
{
	const json_t *scope = json_object_get(facts, "scope");
	const char *kind = text_of(scope, "kind");
	struct spenders_of q = {.from_s = now_s - DAY_S, .to_s = now_s + 1, .by_names = true};

	if (strcmp(text_of(facts, "type"), "spend.anomaly") != 0)
		return NULL;
	if (strcmp(kind, "global") != 0 && !put_name(f, kind, text_of(scope, "id"), &q))
		return NULL;
	return top_json(f, &q, UNIT_USD);
}

/* --- figures ------------------------------------------------------------------------------------------------------ */

static void set_unless_empty(json_t *facts, const char *name, const char *text)
{
	if (text[0])
		set(facts, name, json_string(text));
}

void facts_figures(void *ctx, json_t *facts)
{
	const struct facts_source *f = ctx;
	int64_t now_s = engine_time_s(f->engine, clock_wall_ns(), clock_mono_ns());
	int64_t end_s = json_integer_value(json_object_get(facts, "window_end"));
	const struct budget *b = budget_of(f, facts);
	char text[FACTS_TEXT_MAX];
	struct meter_view v;
	bool known = view_of(f, b, facts, &v), over = end_s > 0 && end_s <= now_s;
	json_t *rate = known && !over ? rate_json(f, &v, now_s) : NULL;
	json_t *top = known ? top_of_budget(f, &v, facts, now_s) : top_of_object(f, facts, now_s);

	if (rate)
		set(facts, "rate", rate);
	if (top && json_array_size(top) > 0)
		set(facts, "top", top);
	else
		json_decref(top);
	if (known && !over)
		set_unless_empty(facts, "next", facts_next(&v, text));
	set_unless_empty(facts, "command", facts_command(facts, known ? &v : NULL, text));
}
