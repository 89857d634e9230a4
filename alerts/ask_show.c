/* What goes on and went on: incidents, their messages, channels, figures. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alerts/ask.h"
#include "alerts/escalate.h"
#include "base/calendar.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/note.h"

#define PAGE 1000
#define SHOWN_MAX 1000
#define RECENT 100 /* alerts on the dashboard */

/* --- list --------------------------------------------------------------------------------------------------------- */

enum which { WHICH_ACTIVE, WHICH_FIRING, WHICH_ACKED, WHICH_RESOLVED, WHICH_ALL };

struct list {
	json_t *rows;
	const char *provider;
	enum which which;
	size_t limit, seen; /* seen: rows of this page */
	int64_t last_id;
};

static int read_word(struct ask *q, const char *name, const char *const *words, size_t n, int *inout)
{
	char expected[160] = "";
	const char *text;
	size_t at = 0;
	int r = ask_read_text(q, name, 40, &text);

	if (r < 0 || text[0] == '\0')
		return r;
	for (size_t i = 0; i < n; i++)
		if (strcmp(text, words[i]) == 0) {
			*inout = (int)i;
			return BUR_OK;
		}
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(expected + at, sizeof(expected) - at, "%s'%s'",
				       i == 0       ? ""
				       : i + 1 == n ? " or "
						    : ", ",
				       words[i]);
	return ask_refuse(q, name, "Input should be %s", expected);
}

static int read_since(struct ask *q, int64_t *ret_ns)
{
	const char *text;
	int r = ask_read_text(q, "since", 60, &text);

	if (r == BUR_OK && text[0] != '\0' && time_parse(slice_of(text), ret_ns) < 0)
		return ask_refuse(q, "since", "Input should be a valid date or datetime");
	return r;
}

static bool is_wanted(const struct list *l, const struct incident *row)
{
	json_t *facts;
	bool same;

	if ((l->which == WHICH_FIRING && row->state != INCIDENT_FIRING) ||
	    (l->which == WHICH_ACKED && row->state != INCIDENT_ACKED) ||
	    (l->which == WHICH_RESOLVED && row->state != INCIDENT_RESOLVED))
		return false;
	if (l->provider[0] == '\0' || strcmp(l->provider, "all") == 0)
		return true;
	facts = ask_facts(row->facts);
	same = facts && strcmp(ask_provider(facts), l->provider) == 0;
	json_decref(facts);
	return same;
}

static int add_incident(void *ctx, const struct incident *row)
{
	struct list *l = ctx;

	l->seen++;
	l->last_id = row->id;
	if (json_array_size(l->rows) >= l->limit || !is_wanted(l, row))
		return BUR_OK;
	return json_array_append_new(l->rows, ask_alert(row)) == 0 ? BUR_OK : BUR_NOMEM;
}

/* Page by page, because only some of what the store gives may be wanted. */
static int fill_list(struct ask *q, struct incident_filter *filter, struct list *l)
{
	int r;

	do {
		l->seen = 0;
		r = alerts_each_incident(q->a->reader, filter, add_incident, l);
		filter->before_id = l->last_id;
	} while (r == BUR_OK && l->seen == filter->limit && json_array_size(l->rows) < l->limit);
	return r;
}

static int count_one(void *ctx, const struct incident *row)
{
	struct list *l = ctx;

	l->seen++;
	l->last_id = row->id;
	return BUR_OK;
}

static int count_active(struct ask *q, json_int_t *ret)
{
	struct incident_filter filter = {.open_only = true, .limit = PAGE};
	struct list l = {.seen = 0};
	int r;

	*ret = 0;
	do {
		l.seen = 0;
		r = alerts_each_incident(q->a->reader, &filter, count_one, &l);
		filter.before_id = l.last_id;
		*ret += (json_int_t)l.seen;
	} while (r == BUR_OK && l.seen == filter.limit);
	return r;
}

int ask_list(struct ask *q)
{
	static const char *const levels[] = {"info", "warning", "critical", "exceeded", "all"};
	static const char *const states[] = {"active", "firing", "acknowledged", "resolved", "all"};
	struct incident_filter filter = {.limit = PAGE};
	struct list l = {.rows = json_array()};
	int level = 0, which = WHICH_ACTIVE, r = l.rows ? BUR_OK : BUR_NOMEM;
	json_int_t active;

	if (r == BUR_OK)
		r = read_word(q, "level", levels, ARRAY_LEN(levels), &level);
	if (r == BUR_OK)
		r = read_word(q, "state", states, ARRAY_LEN(states), &which);
	if (r == BUR_OK)
		r = ask_read_text(q, "provider", 200, &l.provider);
	if (r == BUR_OK)
		r = read_since(q, &filter.since_ns);
	if (r == BUR_OK)
		r = ask_read_limit(q, &l.limit);
	l.which = (enum which)which;
	filter.min_severity = level < SEVERITY_COUNT ? level : 0;
	filter.open_only = which != WHICH_RESOLVED && which != WHICH_ALL;
	if (r == BUR_OK)
		r = fill_list(q, &filter, &l);
	if (r == BUR_OK)
		r = count_active(q, &active);
	if (r == BUR_OK)
		*q->ret = json_pack("{s:o,s:I,s:O}", "at", ask_time(alerts_now(q->a)), "active_alerts", active,
				    "alerts", l.rows);
	json_decref(l.rows);
	return r < 0 ? r : *q->ret ? BUR_OK : BUR_NOMEM;
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

static int add_message(void *ctx, const struct outbox_row *row)
{
	return json_array_append_new(ctx, ask_message(row)) == 0 ? BUR_OK : BUR_NOMEM;
}

int ask_outbox(struct ask *q)
{
	static const char *const states[] = {"queued", "sent", "dead", "held", "merged", "dropped"};
	struct outbox_filter filter = {.state = -1};
	json_t *rows = json_array();
	const char *channel = "";
	int r = rows ? read_word(q, "state", states, ARRAY_LEN(states), &filter.state) : BUR_NOMEM;

	if (r == BUR_OK)
		r = ask_read_text(q, "channel", ALERTS_NAME_MAX, &channel);
	if (r == BUR_OK)
		r = read_since(q, &filter.since_ns);
	if (r == BUR_OK)
		r = ask_read_limit(q, &filter.limit);
	if (channel[0] != '\0')
		filter.channel = slice_of(channel);
	if (r == BUR_OK)
		r = alerts_each_outbox(q->a->reader, &filter, add_message, rows);
	if (r == BUR_OK)
		*q->ret = json_pack("{s:O}", "messages", rows);
	json_decref(rows);
	return r < 0 ? r : *q->ret ? BUR_OK : BUR_NOMEM;
}

/* --- show --------------------------------------------------------------------------------------------------------- */

struct shown {
	json_t *alert, *facts;
};

static int take_one(void *ctx, const struct incident *row)
{
	struct shown *s = ctx;

	s->alert = ask_alert(row);
	s->facts = ask_facts(row->facts);
	return s->alert && s->facts ? BUR_OK : BUR_NOMEM;
}

static int add_try(void *ctx, const struct delivery_try *t)
{
	return json_array_append_new(ctx, ask_try(t)) == 0 ? BUR_OK : BUR_NOMEM;
}

static int add_tries(struct sqlite3 *db, json_t *messages)
{
	json_t *m, *tries;
	size_t i;
	int r = BUR_OK;

	json_array_foreach(messages, i, m)
	{
		tries = json_array();
		r = tries ? alerts_each_try(db, json_integer_value(json_object_get(m, "id")), add_try, tries)
			  : BUR_NOMEM;
		if (r == BUR_OK && json_object_set(m, "tries", tries) != 0)
			r = BUR_NOMEM;
		json_decref(tries);
		if (r < 0)
			break;
	}
	return r;
}

/* What its producer said, else what kind it is. */
static json_t *event_message(const struct event_row *e, const json_t *payload)
{
	const struct alert_type *type = alert_type_find(e->kind);
	const char *said = fact_text(payload, "message"), *title = type ? type->title : "";
	int64_t at_ppm = fact_int(payload, "at_ppm");

	if (said[0] != '\0')
		return json_string(said);
	return at_ppm > 0 ? json_sprintf("%s: %g %%", title, (double)at_ppm / 1e4) : json_string(title);
}

static json_t *event_json(const struct event_row *e, int severity)
{
	json_t *payload = ask_facts(e->payload), *o;
	json_t *message = payload ? event_message(e, payload) : NULL;

	o = json_pack(
	    "{s:I,s:o,s:o,s:s,s:o,s:b}", "id", (json_int_t)e->id, "at", ask_time(e->ts_ns), "type", ask_text(e->kind),
	    "severity",
	    severity_name(severity >= 0 && severity < SEVERITY_COUNT ? (enum severity)severity : SEVERITY_INFO),
	    "message", message, "ended", e->action == NOTE_ENDED);
	json_decref(payload);
	return o;
}

static int add_event(void *ctx, const struct event_row *e, int severity)
{
	return json_array_append_new(ctx, event_json(e, severity)) == 0 ? BUR_OK : BUR_NOMEM;
}

static int add_told(void *ctx, const struct told *t)
{
	json_t *o =
	    json_pack("{s:o,s:o,s:s,s:b}", "channel", ask_text(t->channel), "at", ask_time(t->ts_ns), "severity",
		      severity_name(t->severity >= 0 && t->severity < SEVERITY_COUNT ? (enum severity)t->severity
										     : SEVERITY_INFO),
		      "resolved", t->resolved);

	return json_array_append_new(ctx, o) == 0 ? BUR_OK : BUR_NOMEM;
}

int ask_show(struct ask *q)
{
	struct incident_filter filter = {.limit = 1};
	struct outbox_filter of_incident = {.state = -1, .limit = SHOWN_MAX};
	json_t *messages = json_array(), *events = json_array(), *told = json_array();
	struct shown s = {NULL, NULL};
	struct sqlite3 *db = q->a->reader;
	int r = messages && events && told ? ask_read_id(q, "id", &filter.id) : BUR_NOMEM;

	if (r == BUR_OK)
		r = alerts_each_incident(db, &filter, take_one, &s);
	if (r == BUR_OK && !s.alert)
		r = BUR_NOTFOUND;
	of_incident.incident = filter.id;
	if (r == BUR_OK)
		r = alerts_each_incident_event(db, filter.id, SHOWN_MAX, add_event, events);
	if (r == BUR_OK)
		r = alerts_each_outbox(db, &of_incident, add_message, messages);
	if (r == BUR_OK)
		r = add_tries(db, messages);
	if (r == BUR_OK)
		r = alerts_each_told(db, filter.id, add_told, told);
	if (r == BUR_OK)
		*q->ret = json_pack("{s:O,s:O,s:O,s:O,s:O}", "alert", s.alert, "facts", s.facts, "events", events,
				    "messages", messages, "channels", told);
	else if (r == BUR_NOTFOUND)
		(void)snprintf(q->err, q->err_size, "There is no such incident");
	json_decref(messages);
	json_decref(events);
	json_decref(told);
	json_decref(s.alert);
	json_decref(s.facts);
	return r < 0 ? r : *q->ret ? BUR_OK : BUR_NOMEM;
}

/* --- channels ----------------------------------------------------------------------------------------------------- */

/* C5.9, of all time. */
static int put_statistics(json_t *o, const struct channel_state *s)
{
	int64_t tries = s->sent + s->failed;
	int bad = 0;

	bad |= json_object_set_new(o, "total_attempts", json_integer(tries));
	bad |= json_object_set_new(o, "successful_deliveries", json_integer(s->sent));
	bad |= json_object_set_new(o, "failed_deliveries", json_integer(s->failed));
	bad |=
	    json_object_set_new(o, "average_delivery_time_ms",
				json_real(s->sent > 0 ? round(100 * (double)s->took_ms / (double)s->sent) / 100 : 0));
	bad |= json_object_set_new(o, "last_delivery", ask_time(s->last_ns));
	bad |= json_object_set_new(o, "success_rate",
				   json_real(tries > 0 ? round(1e4 * (double)s->sent / (double)tries) / 1e4 : 0));
	return bad ? BUR_NOMEM : BUR_OK;
}

static const char *state_word(const struct channel_state *s)
{
	if (s->disabled)
		return "disabled";
	if (s->since_ns > 0)
		return "failing";
	return s->sent > 0 ? "ok" : "untried";
}

static int put_queues(struct ask *q, const struct channel *c, json_t *o)
{
	static const struct {
		const char *name;
		enum outbox_state state;
	} queues[] = {{"queued", OUTBOX_QUEUED}, {"held", OUTBOX_HELD}, {"dead", OUTBOX_DEAD}};
	int r = BUR_OK;

	for (size_t i = 0; i < ARRAY_LEN(queues) && r == BUR_OK; i++) {
		int64_t n = 0;

		r = alerts_count_outbox(q->a->reader, slice_of(c->name), queues[i].state, &n);
		if (r == BUR_OK && json_object_set_new(o, queues[i].name, json_integer(n)) != 0)
			r = BUR_NOMEM;
	}
	return r;
}

static json_t *channel_json(const struct channel *c, const struct channel_state *s)
{
	json_t *o = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:b,s:o,s:o}", "name", c->name, "group",
			      c->group ? c->group : c->name, "type", c->ops->type, "severity",
			      severity_name(c->severity), "level", severity_level(c->severity), "state", state_word(s),
			      "enabled", !s->disabled, "why", ask_text(s->why), "since", ask_time(s->since_ns));

	if (o && put_statistics(o, s) < 0) {
		json_decref(o);
		return NULL;
	}
	return o;
}

struct states {
	struct ask *q;
	json_t *by_name;
};

static int add_state(void *ctx, const struct channel_state *s)
{
	struct states *st = ctx;
	const struct alerts_config *config = st->q->a->config;

	for (size_t i = 0; i < config->n_channels; i++)
		if (slice_eq(s->channel, slice_of(config->channels[i].name)) &&
		    json_object_set_new(st->by_name, config->channels[i].name, channel_json(&config->channels[i], s)))
			return BUR_NOMEM;
	return BUR_OK;
}

/* Every configured channel, in the order of the configuration: an object by name. */
static int read_channels(struct ask *q, json_t **ret)
{
	static const struct channel_state none;
	const struct alerts_config *config = q->a->config;
	struct states st = {q, json_object()};
	int r = st.by_name ? BUR_OK : BUR_NOMEM;

	for (size_t i = 0; i < config->n_channels && r == BUR_OK; i++)
		if (json_object_set_new(st.by_name, config->channels[i].name,
					channel_json(&config->channels[i], &none)) != 0)
			r = BUR_NOMEM;
	if (r == BUR_OK)
		r = alerts_each_channel(q->a->reader, add_state, &st);
	for (size_t i = 0; i < config->n_channels && r == BUR_OK; i++)
		r = put_queues(q, &config->channels[i], json_object_get(st.by_name, config->channels[i].name));
	if (r < 0)
		json_decref(st.by_name);
	else
		*ret = st.by_name;
	return r;
}

int ask_channels(struct ask *q)
{
	json_t *by_name = NULL, *list = json_array(), *c;
	const char *name;
	int r = list ? read_channels(q, &by_name) : BUR_NOMEM;

	json_object_foreach(by_name, name, c) if (json_array_append(list, c) != 0) r = BUR_NOMEM;
	if (r == BUR_OK)
		*q->ret = json_pack("{s:b,s:O}", "enabled", q->a->config->enabled, "channels", list);
	json_decref(by_name);
	json_decref(list);
	return r < 0 ? r : *q->ret ? BUR_OK : BUR_NOMEM;
}

/* --- figures ------------------------------------------------------------------------------------------------------ */

static int count_messages(struct ask *q, json_int_t *ret)
{
	int r = BUR_OK;

	*ret = 0;
	for (int state = OUTBOX_QUEUED; state <= OUTBOX_DROPPED && r == BUR_OK; state++) {
		int64_t n = 0;

		r = alerts_count_outbox(q->a->reader, SLICE_NONE, (enum outbox_state)state, &n);
		*ret += n;
	}
	return r;
}

int ask_stats(struct ask *q)
{
	const struct alerts_config *config = q->a->config;
	json_t *channels = NULL;
	json_int_t size = 0;
	int r = count_messages(q, &size);

	if (r == BUR_OK)
		r = read_channels(q, &channels);
	if (r == BUR_OK)
		*q->ret = json_pack("{s:I,s:O,s:{s:b,s:I,s:I,s:b,s:s,s:I,s:I}}", "alert_history_size", size, "channels",
				    channels, "config_summary", "enabled", config->enabled, "channels",
				    (json_int_t)config->n_channels, "rules", (json_int_t)config->n_rules, "escalation",
				    config->escalate, "public_url", config->public_url ? config->public_url : "",
				    "link_valid_seconds", (json_int_t)config->link_valid_s, "retention_seconds",
				    (json_int_t)config->retention_s);
	json_decref(channels);
	return r < 0 ? r : *q->ret ? BUR_OK : BUR_NOMEM;
}

/* --- dashboard ---------------------------------------------------------------------------------------------------- */

struct counted {
	json_t *recent, *by_severity, *by_type;
	json_int_t total;
	size_t seen;
	int64_t last_id;
};

static int count_in(json_t *o, const char *name)
{
	return json_object_set_new(o, name, json_integer(json_integer_value(json_object_get(o, name)) + 1));
}

static int count_incident(void *ctx, const struct incident *row)
{
	struct counted *c = ctx;
	char type[128];

	c->seen++;
	c->last_id = row->id;
	c->total++;
	(void)slice_to_cstr(row->type, type, sizeof(type));
	if (count_in(c->by_severity,
		     severity_level(row->severity >= 0 && row->severity < SEVERITY_COUNT ? (enum severity)row->severity
											 : SEVERITY_INFO)) != 0 ||
	    count_in(c->by_type, type) != 0)
		return BUR_NOMEM;
	if (json_array_size(c->recent) < RECENT && json_array_append_new(c->recent, ask_cost_alert(row)) != 0)
		return BUR_NOMEM;
	return BUR_OK;
}

static int count_all(struct ask *q, int64_t since_ns, struct counted *c)
{
	struct incident_filter filter = {.since_ns = since_ns, .limit = PAGE};
	int r;

	do {
		c->seen = 0;
		r = alerts_each_incident(q->a->reader, &filter, count_incident, c);
		filter.before_id = c->last_id;
	} while (r == BUR_OK && c->seen == filter.limit);
	return r;
}

/* Since the first of the month or year in UTC, begun hours included. */
static int64_t hours_since_first(int64_t now_s, bool of_year)
{
	int64_t year;
	int month, mday;

	civil_from_days(now_s / 86400, &year, &month, &mday);
	return (now_s - days_from_civil(year, of_year ? 1 : month, 1) * 86400) / 3600 + 1;
}

/* Unknown words are the last day. */
static int64_t range_hours(const char *word, int64_t now_s)
{
	static const struct {
		const char *word;
		int64_t hours;
	} ranges[] = {
	    {"last_hour", 1}, {"last_6_hours", 6}, {"last_24_hours", 24}, {"last_7_days", 168}, {"last_30_days", 720}};

	for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
		if (strcmp(word, ranges[i].word) == 0)
			return ranges[i].hours;
	if (strcmp(word, "current_month") == 0 || strcmp(word, "current_year") == 0)
		return hours_since_first(now_s, strcmp(word, "current_year") == 0);
	return 24;
}

static json_t *dashboard_json(struct ask *q, const struct counted *c, int64_t hours, json_t *stats)
{
	double rate = round(100 * (double)c->total / (double)(hours > 1 ? hours : 1)) / 100;
	json_t *o = json_pack("{s:O,s:{s:I,s:O,s:O,s:f},s:O}", "recent_alerts", c->recent, "alert_statistics",
			      "total_alerts", c->total, "by_severity", c->by_severity, "by_type", c->by_type,
			      "alert_rate_per_hour", rate, "delivery_stats", stats);
	json_t *escalation;

	if (!o || json_is_false(json_object_get(q->in, "include_escalation")))
		return o;
	escalation = escalation_status(q->a);
	(void)json_object_set_new(o, "escalation_status", escalation ? escalation : json_null());
	return o;
}

int ask_dashboard(struct ask *q)
{
	struct counted c = {.recent = json_array(), .by_severity = json_object(), .by_type = json_object()};
	const char *range;
	json_t *stats = NULL;
	int64_t hours;
	int r = ask_read_text(q, "time_range", 40, &range);

	if (r == BUR_OK && (!c.recent || !c.by_severity || !c.by_type))
		r = BUR_NOMEM;
	hours = r == BUR_OK ? range_hours(range, alerts_now(q->a) / NS_PER_S) : 24;
	if (r == BUR_OK)
		r = count_all(q, alerts_now(q->a) - hours * 3600 * NS_PER_S, &c);
	if (r == BUR_OK)
		r = ask_stats(q);
	stats = *q->ret;
	*q->ret = NULL;
	if (r == BUR_OK)
		*q->ret = dashboard_json(q, &c, hours, stats);
	json_decref(stats);
	json_decref(c.recent);
	json_decref(c.by_severity);
	json_decref(c.by_type);
	return r < 0 ? r : *q->ret ? BUR_OK : BUR_NOMEM;
}
