#include "alerts/event.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "store/note.h"

#define PPM INT64_C(1000000)
#define ERROR_FROM_PPM 900000

/* --- building facts ----------------------------------------------------------------------------------------------- */

/* Sets members of one object and remembers whether all went well. A value that is NULL was out of memory. */
struct facts {
	json_t *o;
	bool failed;
};

static void put(struct facts *f, const char *name, json_t *value)
{
	if (json_object_set_new(f->o, name, value) < 0)
		f->failed = true;
}

static void put_text(struct facts *f, const char *name, const char *text)
{
	put(f, name, json_string(text));
}

static void put_int(struct facts *f, const char *name, int64_t v)
{
	put(f, name, json_integer(v));
}

json_t *event_time(int64_t unix_ns)
{
	char date[32], text[48];
	time_t s = (time_t)(unix_ns / NS_PER_S);
	struct tm tm;

	if (unix_ns <= 0 || !gmtime_r(&s, &tm) || strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		return json_null();
	(void)snprintf(text, sizeof(text), "%s.%03dZ", date, (int)(unix_ns % NS_PER_S / NS_PER_MS));
	return json_string(text);
}

json_t *event_words(const char *fmt, ...)
{
	char *text = NULL;
	json_t *words;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return NULL;
	if (n > EVENT_WORDS_MAX) {
		n = EVENT_WORDS_MAX;
		while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
			n--;
	}
	words = json_stringn(text, (size_t)n);
	free(text);
	return words;
}

int event_set_severity(json_t *facts, enum severity s)
{
	struct facts f = {.o = facts};

	put_text(&f, "severity", severity_name(s));
	put_text(&f, "level", severity_level(s));
	return f.failed ? BUR_NOMEM : BUR_OK;
}

/* --- what the producer says --------------------------------------------------------------------------------------- */

struct payload {
	json_t *o;
	const char *budget, *scope, *object, *object_kind, *message;
	int64_t win_start, win_end, limit, posted, held, at_ppm, ends_s;
};

/* Our own producers write objects; should one be damaged, the event is told all the same. */
static int read_payload(struct slice text, struct payload *p)
{
	json_t *o = json_loadb(text.p ? text.p : "", text.n, JSON_REJECT_DUPLICATES, NULL);

	if (!json_is_object(o)) {
		json_decref(o);
		o = json_object();
	}
	if (!o)
		return BUR_NOMEM;
	*p = (struct payload){
	    .o = o,
	    .budget = fact_text(o, "budget"),
	    .scope = fact_text(o, "scope"),
	    .object = fact_text(o, "object"),
	    .object_kind = fact_text(o, "object_kind"),
	    .message = fact_text(o, "message"),
	    .win_start = fact_int(o, "win_start"),
	    .win_end = fact_int(o, "win_end"),
	    .limit = fact_int(o, "limit"),
	    .posted = fact_int(o, "posted"),
	    .held = fact_int(o, "held"),
	    .at_ppm = fact_int(o, "at_ppm"),
	    .ends_s = fact_int(o, "ends_s"),
	};
	/* A step that only tells is reached by a call that is let through: what it needs is held from then on. */
	if (strcmp(fact_text(o, "action"), "alert") == 0 &&
	    __builtin_add_overflow(p->held, fact_int(o, "need"), &p->held))
		p->held = INT64_MAX;
	return BUR_OK;
}

/* What is not known goes on as it is. */
static json_t *details_of(const struct payload *p)
{
	static const char *const known[] = {"message",     "severity",  "budget",  "scope", "object",
					    "object_kind", "win_start", "win_end", "limit", "posted",
					    "held",        "at_ppm",    "ends_s",  "unit"};
	json_t *rest = json_copy(p->o);
	char *text;

	for (size_t i = 0; rest && i < ARRAY_LEN(known); i++)
		(void)json_object_del(rest, known[i]);
	text = rest ? json_dumps(rest, JSON_COMPACT) : NULL;
	if (!text || strlen(text) > EVENT_DETAILS_MAX) {
		json_decref(rest);
		rest = text ? json_object() : NULL;
	}
	free(text);
	return rest;
}

/* "user=ann,model=x" names one thing for each of the budget's `per`; the first says of what kind it is. */
static void put_scope(struct facts *f, const struct payload *p)
{
	struct slice kind = SLICE("global"), id = SLICE(""), name, value, text = slice_of(p->scope);

	if (p->object[0] != '\0') {
		kind = p->object_kind[0] ? slice_of(p->object_kind) : kind;
		id = slice_of(p->object);
	} else if (slice_cut(text, '=', &name, &value)) {
		bool tag = slice_starts(name, SLICE("tag."));

		kind = tag ? SLICE("tag") : name;
		id = tag ? slice_sub(text, 4, text.n) : value;
	}
	put(f, "scope", json_pack("{s:s%,s:s%}", "kind", kind.p, kind.n, "id", id.p, id.n));
}

/* The labels that the scope itself is; whoever knows more adds it. */
static void put_labels(struct facts *f, const struct payload *p)
{
	static const char *const kinds[] = {"team", "user", "key", "project", "model", "provider"};
	json_t *labels = json_object();
	struct slice rest = slice_of(p->scope), one, name, value;
	bool failed = !labels;

	while (!failed && rest.n > 0) {
		(void)slice_cut(rest, ',', &one, &rest);
		if (slice_cut(one, '=', &name, &value) && name.n < 64) {
			char key[64];

			(void)slice_to_cstr(name, key, sizeof(key));
			failed = json_object_set_new(labels, key, json_stringn(value.p, value.n)) < 0;
		}
	}
	for (size_t i = 0; !failed && p->object[0] && i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i], p->object_kind) == 0)
			failed = json_object_set_new(labels, kinds[i], json_string(p->object)) < 0;
	f->failed = f->failed || failed;
	put(f, "labels", labels);
}

static void put_budget(struct facts *f, const struct payload *p)
{
	const char *unit = fact_text(p->o, "unit");

	put_text(f, "budget_id", p->budget);
	if (unit[0] != '\0')
		put_text(f, "unit", unit);
	if (p->win_start != 0 || p->win_end != 0) {
		put_int(f, "window_start", p->win_start);
		put_int(f, "window_end", p->win_end);
	}
	if (!json_object_get(p->o, "posted"))
		return;
	put_int(f, "limit_nanos", p->limit);
	put_int(f, "spent_nanos", p->posted);
	put_int(f, "reserved_nanos", p->held);
	/* What is in use: spent, and promised to calls that run. */
	if (p->limit > 0)
		put(f, "ratio", json_real((double)((p->posted + (__int128)p->held) * 10000 / p->limit) / 1e4));
}

/* --- what it is --------------------------------------------------------------------------------------------------- */

static const struct alert_type *type_of(const struct event_row *row, const struct payload *p)
{
	const struct alert_type *type = alert_type_find(row->kind);

	if (!type || strcmp(type->name, "budget.threshold") != 0)
		return type;
	if (strcmp(fact_text(p->o, "action"), "block") == 0)
		return alert_type_find(SLICE("budget.blocked"));
	if (p->at_ppm >= PPM || (p->limit > 0 && p->posted >= p->limit))
		return alert_type_find(SLICE("budget.exceeded"));
	return type;
}

static enum severity severity_of(const struct alert_type *type, const struct payload *p)
{
	enum severity s;

	if (severity_parse(slice_of(fact_text(p->o, "severity")), &s) == BUR_OK)
		return s;
	if (strcmp(type->name, "budget.threshold") == 0 && p->at_ppm >= ERROR_FROM_PPM)
		return SEVERITY_ERROR;
	return type->severity;
}

/* A budget that stops nothing wakes nobody up. */
static enum severity capped(const json_t *facts, enum severity s)
{
	const json_t *details = json_object_get(facts, "details");
	const char *mode = fact_text(facts, "mode")[0] ? fact_text(facts, "mode") : fact_text(details, "mode");
	enum severity most = strcmp(mode, "shadow") == 0 ? SEVERITY_WARNING
			     : strcmp(mode, "soft") == 0 ? SEVERITY_ERROR
							 : SEVERITY_CRITICAL;

	return s < most ? s : most;
}

static int64_t ends_of(const struct event *e, const struct payload *p)
{
	const int64_t most = INT64_MAX / NS_PER_S - EVENT_WINDOW_GRACE_S;
	bool windowed = strcmp(e->type->family, "budget") == 0 || strcmp(e->type->family, "forecast") == 0;

	if (p->ends_s > 0 && p->ends_s < most)
		return p->ends_s * NS_PER_S;
	if (e->type->quiet_s > 0)
		return e->at_ns + e->type->quiet_s * NS_PER_S;
	if (windowed && p->win_end > 0 && p->win_end < most)
		return (p->win_end + EVENT_WINDOW_GRACE_S) * NS_PER_S;
	return 0;
}

/* Budgets are one incident for each window, forecasts too. What else goes on may last from one window into the next.
 * What names no object is told apart by the number that it has in the store. */
static void set_key(struct event *e, const struct payload *p, int64_t uid)
{
	bool windowed = strcmp(e->type->family, "budget") == 0 || strcmp(e->type->family, "forecast") == 0;
	char number[32];
	struct slice scope = slice_of(p->object[0] ? p->object : p->scope);

	if (scope.n == 0 && p->budget[0] == '\0') {
		(void)snprintf(number, sizeof(number), "#%016llx", (unsigned long long)uid);
		scope = slice_of(number);
	}
	/* A budget's events name the same object in different words, if any. */
	if (windowed)
		scope = slice_of(p->scope);
	alert_dedup_key(e->type->family, scope, slice_of(p->budget), windowed ? p->win_start : 0, e->key);
}

/* --- for people --------------------------------------------------------------------------------------------------- */

/* One sentence where the producer gave none. */
static void put_message(struct facts *f, const struct event *e, const struct payload *p)
{
	const char *between = p->scope[0] ? " " : "";

	if (p->message[0] != '\0')
		put_text(f, "message", p->message);
	else if (p->budget[0] == '\0')
		put(f, "message", event_words("%s%s%s", e->type->title, p->object[0] ? ": " : "", p->object));
	else if (json_object_get(f->o, "ratio"))
		put(f, "message",
		    event_words("%s: %s%s%s, %.1f %% in use", e->type->title, p->budget, between, p->scope,
				fact_real(f->o, "ratio") * 100));
	else
		put(f, "message", event_words("%s: %s%s%s", e->type->title, p->budget, between, p->scope));
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

static int build(const struct alerts_config *config, const struct alerts_deps *deps, const struct payload *p,
		 struct event *e)
{
	struct facts f = {.o = json_object()};
	enum severity s = severity_of(e->type, p);

	if (!f.o)
		return BUR_NOMEM;
	put_text(&f, "type", e->type->name);
	put_text(&f, "title", e->type->title);
	put_text(&f, "dedup_key", e->key);
	put_text(&f, "node", config->node ? config->node : "");
	put_int(&f, "revision", 1);
	put(&f, "at", event_time(e->at_ns));
	put_scope(&f, p);
	put_labels(&f, p);
	if (p->budget[0] != '\0')
		put_budget(&f, p);
	if (e->threshold > 0)
		put(&f, "threshold", json_real(e->threshold));
	put_message(&f, e, p);
	put(&f, "details", details_of(p));
	f.failed = f.failed || event_set_severity(f.o, s) < 0;
	if (!f.failed && deps->describe)
		deps->describe(deps->ctx, f.o);
	e->severity = capped(f.o, fact_severity(f.o));
	f.failed = f.failed || event_set_severity(f.o, e->severity) < 0;
	if (p->budget[0] != '\0' && !json_object_get(f.o, "unit"))
		put_text(&f, "unit", "USD");
	if (strcmp(fact_text(f.o, "unit"), "USD") == 0 && !json_object_get(f.o, "currency"))
		put_text(&f, "currency", "USD");
	if (f.failed) {
		json_decref(f.o);
		return BUR_NOMEM;
	}
	e->facts = f.o;
	return BUR_OK;
}

int event_read(const struct alerts_config *config, const struct alerts_deps *deps, const struct event_row *row,
	       struct event *ret)
{
	struct payload p;
	const struct alert_type *type;
	int r = read_payload(row->payload, &p);

	if (r < 0)
		return r;
	type = type_of(row, &p);
	if (!type)
		log_limited(LOG_WARN, "alerts.kind", "nobody is told of events of kind " SLICE_FMT,
			    SLICE_ARG(slice_sub(row->kind, 0, 60)));
	if (!type || !type->family) {
		json_decref(p.o);
		return BUR_NOTFOUND;
	}
	*ret = (struct event){.id = row->id, .at_ns = row->ts_ns, .part = row->part, .type = type};
	ret->ends = type->ends || row->action == NOTE_ENDED;
	ret->threshold = p.at_ppm > 0 && strcmp(type->name, "budget.blocked") != 0 ? (double)p.at_ppm / 1e6 : 0;
	ret->crossing = ret->threshold > 0 &&
			(strcmp(type->name, "budget.threshold") == 0 || strcmp(type->name, "budget.exceeded") == 0);
	ret->ends_ns = ends_of(ret, &p);
	set_key(ret, &p, row->uid);
	r = build(config, deps, &p, ret);
	json_decref(p.o);
	return r;
}
