/* Questions and answers of alerts_ask, JSON both. Who asks is "actor" (a text for the audit log).
 *
 *   list      level, state, provider, since, limit   {"at","active_alerts","alerts":[B5.5]}
 *   show      id                                     {"alert","facts","events","messages":[{..,"tries"}],"channels"}
 *             test                                   what became of a test: cost-endpoints C5.2
 *   outbox    state, channel, since, limit           {"messages"}
 *   ack       id, reason                             {"id","state","said"}
 *   resolve   id, reason                             the same
 *   retry     id or outbox                           {"retried","said"}
 *   mute      budget, type, one of key user team project model provider tag.NAME, everything; for or until; reason
 *   unmute    id, reason                             {"id"}
 *   mutes                                            {"mutes"}
 *   test      channel                                {"test","channels"}, or {"skipped":true,"reason"}
 *   preview   channel, type, incident                {"previews"}
 *   channels                                         {"channels"}
 *   enable    name                                   {"name"}
 *   stats                                            {"alert_history_size","channels","config_summary"}
 *   dashboard time_range, include_escalation         cost-endpoints C8.8 */
#include "alerts/ask.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alerts/deliver.h"
#include "alerts/incident.h"
#include "alerts/link.h"
#include "base/calendar.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/audit.h"

#define NAME_MAX_BYTES 500
#define DAY_S INT64_C(86400)
#define MUTE_MAX_S (366 * DAY_S)
#define LINK_HERE_S 3600 /* of links on pages that a link has opened */

/* --- reading what is asked ---------------------------------------------------------------------------------------- */

int ask_refuse(struct ask *q, const char *field, const char *fmt, ...)
{
	va_list args;

	*q->ret_field = field;
	va_start(args, fmt);
	(void)vsnprintf(q->err, q->err_size, fmt, args);
	va_end(args);
	return BUR_INVALID;
}

static int not_found(struct ask *q, const char *text)
{
	(void)snprintf(q->err, q->err_size, "%s", text);
	return BUR_NOTFOUND;
}

int ask_read_text(struct ask *q, const char *name, size_t max, const char **ret)
{
	const json_t *v = json_object_get(q->in, name);

	*ret = "";
	if (!v || json_is_null(v))
		return BUR_OK;
	if (!json_is_string(v))
		return ask_refuse(q, name, "Input should be a valid string");
	if (json_string_length(v) > max)
		return ask_refuse(q, name, "Input should have at most %zu bytes", max);
	if (strlen(json_string_value(v)) != json_string_length(v))
		return ask_refuse(q, name, "Input should have no NUL");
	*ret = json_string_value(v);
	return BUR_OK;
}

int ask_read_id(struct ask *q, const char *name, int64_t *ret)
{
	const json_t *v = json_object_get(q->in, name);

	*ret = json_is_integer(v) ? json_integer_value(v) : 0;
	return *ret > 0 ? BUR_OK : BUR_NOTFOUND;
}

int ask_read_limit(struct ask *q, size_t *ret)
{
	const json_t *v = json_object_get(q->in, "limit");

	*ret = 100;
	if (!v)
		return BUR_OK;
	if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > 1000)
		return ask_refuse(q, "limit", "Input should be a whole number from 1 to 1000");
	*ret = (size_t)json_integer_value(v);
	return BUR_OK;
}

/* The audit log wants to know who, always. */
static int read_who(struct ask *q, const char **ret_actor, const char **ret_reason)
{
	int r = ask_read_text(q, "actor", AUDIT_ACTOR_MAX, ret_actor);

	if (r == BUR_OK)
		r = ask_read_text(q, "reason", AUDIT_REASON_MAX, ret_reason);
	if (r == BUR_OK && (*ret_actor)[0] == '\0')
		*ret_actor = "administrator";
	return r;
}

bool ask_channel_is(const struct channel *c, const char *name)
{
	return !name || name[0] == '\0' || strcmp(c->name, name) == 0 || (c->group && strcmp(c->group, name) == 0);
}

int ask_check_channel(struct ask *q, const char *name)
{
	const struct alerts_config *config = q->a->config;

	if (name[0] == '\0')
		return BUR_OK;
	for (size_t i = 0; i < config->n_channels; i++)
		if (ask_channel_is(&config->channels[i], name))
			return BUR_OK;
	return ask_refuse(q, "channel", "there is no channel of this name; `bursar alerts channels` lists them");
}

/* --- acknowledge, resolve ----------------------------------------------------------------------------------------- */

struct seen {
	bool found;
	enum incident_state state;
};

static int see(void *ctx, const struct incident *row)
{
	*(struct seen *)ctx = (struct seen){true, row->state};
	return BUR_OK;
}

static const char *said(bool ack, int r, enum incident_state state)
{
	if (r == BUR_ALREADY)
		return state == INCIDENT_RESOLVED ? "was over already" : "was acknowledged already";
	return ack ? "acknowledged; it is not escalated unless it gets worse" : "resolved";
}

static int act_on_incident(struct ask *q, bool ack)
{
	struct incident_filter filter = {.limit = 1};
	struct seen seen = {false, INCIDENT_FIRING};
	const char *actor, *reason;
	int r = read_who(q, &actor, &reason), done;

	if (r == BUR_OK && ask_read_id(q, "id", &filter.id) < 0)
		r = not_found(q, "There is no such incident");
	if (r < 0)
		return r;
	/* The audit log wants a reason; who clicks in a message gives none. */
	if (reason[0] == '\0')
		reason = ack ? "acknowledged" : "resolved by hand";
	done = ack ? incident_ack(q->a, filter.id, actor, reason) : incident_resolve(q->a, filter.id, actor, reason);
	if (done == BUR_INVALID)
		return ask_refuse(q, "reason", "Input should be text that the audit log takes");
	if (done == BUR_NOTFOUND)
		return not_found(q, "There is no such incident");
	if (done < 0 && done != BUR_ALREADY)
		return done;
	r = alerts_each_incident(q->a->reader, &filter, see, &seen);
	if (r < 0)
		return r;
	*q->ret = json_pack("{s:I,s:s,s:s,s:b}", "id", (json_int_t)filter.id, "state", ask_state(seen.state), "said",
			    said(ack, done, seen.state), "changed", done == BUR_OK);
	return *q->ret ? BUR_OK : BUR_NOMEM;
}

/* --- retry -------------------------------------------------------------------------------------------------------- */

#define RETRY_MAX 1000

struct dead {
	struct outbox_row *rows;
	size_t n;
	int64_t now_ns, incident;
	char channel[ALERTS_NAME_MAX + 1]; /* "": all of the incident */
};

/* Texts of the row are not written again, but for those that are cleared. */
static void send_again(struct dead *d, const struct outbox_row *row)
{
	CHECK(d->n < 2 * RETRY_MAX);
	d->rows[d->n++] = (struct outbox_row){.id = row->id,
					      .event = row->event,
					      .incident = row->incident,
					      .op = row->op,
					      .severity = row->severity,
					      .state = OUTBOX_QUEUED,
					      .created_ns = row->created_ns,
					      .next_ns = d->now_ns,
					      .last_status = row->last_status};
}

static int take_dead(void *ctx, const struct outbox_row *row)
{
	struct dead *d = ctx;

	if (row->state != OUTBOX_DEAD)
		return BUR_OK;
	d->incident = row->incident;
	(void)slice_to_cstr(row->channel, d->channel, sizeof(d->channel));
	send_again(d, row);
	return BUR_OK;
}

/* Its end was left out because its beginning had not arrived (deliver_pick.c). Now that arrives. */
static int take_end(void *ctx, const struct outbox_row *row)
{
	struct dead *d = ctx;
	bool here = d->channel[0] == '\0' || slice_eq(row->channel, slice_of(d->channel));

	if (here && row->op == SAY_RESOLVE && slice_eq(row->reason, SLICE("never_told")))
		send_again(d, row);
	return BUR_OK;
}

/* What was given up, of one message or of an incident. BUR_NOTFOUND. */
static int find_dead(struct ask *q, struct dead *d, bool one, int64_t id)
{
	struct outbox_filter f = {.state = OUTBOX_DEAD, .limit = RETRY_MAX};
	int r;

	*(one ? &f.id : &f.incident) = id;
	r = alerts_each_outbox(q->a->reader, &f, take_dead, d);
	if (r < 0 || d->n == 0)
		return r < 0 ? r : BUR_NOTFOUND;
	if (!one)
		d->channel[0] = '\0';
	f = (struct outbox_filter){.state = OUTBOX_DROPPED, .incident = d->incident, .limit = RETRY_MAX};
	return d->incident == 0 ? BUR_OK : alerts_each_outbox(q->a->reader, &f, take_end, d);
}

static int write_retry(struct ask *q, const struct dead *d, const char *what, int64_t id, const char *actor)
{
	char object[64];
	struct alerts_change change = {.outbox = d->rows,
				       .n_outbox = d->n,
				       .action = "alert.retry",
				       .object = object,
				       .actor = actor,
				       .reason = "sent again by hand",
				       .now_ns = d->now_ns};
	int r;

	(void)snprintf(object, sizeof(object), "%s:%lld", what, (long long)id);
	r = alerts_write(q->a->deps.store, &change);
	if (r == BUR_OK && q->a->deliver)
		deliver_wake(q->a->deliver);
	return r;
}

static int retry(struct ask *q)
{
	struct dead d = {.rows = calloc((size_t)2 * RETRY_MAX, sizeof(*d.rows)), .now_ns = alerts_now(q->a)};
	bool one = json_object_get(q->in, "outbox") != NULL;
	const char *actor, *reason;
	int64_t id;
	int r = d.rows ? read_who(q, &actor, &reason) : BUR_NOMEM;

	if (r == BUR_OK && ask_read_id(q, one ? "outbox" : "id", &id) < 0)
		r = not_found(q, "There is no such message");
	if (r == BUR_OK) {
		r = find_dead(q, &d, one, id);
		if (r == BUR_NOTFOUND)
			r = not_found(q, one ? "There is no message of this number that was given up"
					     : "No message about this incident was given up");
	}
	if (r == BUR_OK)
		r = write_retry(q, &d, one ? "message" : "incident", id, actor);
	if (r == BUR_OK) {
		*q->ret = json_pack("{s:I,s:o}", "retried", (json_int_t)d.n, "said",
				    json_sprintf("%zu message%s sent again", d.n, d.n == 1 ? " is" : "s are"));
		r = *q->ret ? BUR_OK : BUR_NOMEM;
	}
	free(d.rows);
	return r;
}

/* --- mutes -------------------------------------------------------------------------------------------------------- */

/* "90s", "30m", "2h", "7d", "1w". BUR_INVALID. */
static int read_span(const char *text, int64_t *ret_s)
{
	static const struct {
		char unit;
		int64_t s;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', DAY_S}, {'w', 7 * DAY_S}};
	struct slice all = slice_of(text);
	uint64_t n;

	if (all.n < 2 || slice_u64(slice_sub(all, 0, all.n - 1), &n) < 0 || n == 0 || n > MUTE_MAX_S)
		return BUR_INVALID;
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (text[all.n - 1] == units[i].unit && (int64_t)n <= MUTE_MAX_S / units[i].s) {
			*ret_s = (int64_t)n * units[i].s;
			return BUR_OK;
		}
	return BUR_INVALID;
}

static int read_until(struct ask *q, struct mute *m)
{
	const char *span, *until;
	int64_t s;
	int r = ask_read_text(q, "for", 40, &span);

	if (r == BUR_OK)
		r = ask_read_text(q, "until", 60, &until);
	if (r < 0)
		return r;
	if ((span[0] == '\0') == (until[0] == '\0'))
		return ask_refuse(q, "for", "say how long (\"2h\"), or until when, one of both");
	if (span[0] != '\0') {
		if (read_span(span, &s) < 0)
			return ask_refuse(q, "for", "Input should be a time such as 30m, 2h or 7d, at most 366d");
		m->until_ns = m->from_ns + s * NS_PER_S;
		return BUR_OK;
	}
	if (time_parse(slice_of(until), &m->until_ns) < 0)
		return ask_refuse(q, "until", "Input should be a valid date or datetime");
	if (m->until_ns <= m->from_ns || m->until_ns - m->from_ns > MUTE_MAX_S * NS_PER_S)
		return ask_refuse(q, "until", "Input should be in the future, and at most 366 days");
	return BUR_OK;
}

/* One label with its value, of what is asked. */
static int read_label(struct ask *q, struct mute *m)
{
	static const char *const names[] = {"key", "user", "team", "project", "model", "provider"};
	const char *name, *text;
	json_t *v;
	int r = BUR_OK;

	json_object_foreach((json_t *)(uintptr_t)q->in, name, v)
	{
		bool known = strncmp(name, "tag.", 4) == 0 && name[4] != '\0';

		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			known |= strcmp(name, names[i]) == 0;
		if (!known)
			continue;
		r = ask_read_text(q, name, NAME_MAX_BYTES, &text);
		if (r < 0)
			return r;
		if (text[0] == '\0' || strlen(name) > NAME_MAX_BYTES)
			return ask_refuse(q, "body", "a label needs a value");
		if (m->label.n > 0)
			return ask_refuse(q, "body", "one of key, user, team, project, model, provider, tag at a time");
		m->label = slice_of(name);
		m->value = slice_of(text);
	}
	return r;
}

static int check_type(struct ask *q, const char *pattern)
{
	const struct alert_type *types;
	size_t n;

	if (pattern[0] == '\0')
		return BUR_OK;
	types = alert_types(&n);
	for (size_t i = 0; i < n; i++)
		if (rule_text_matches(pattern, types[i].name))
			return BUR_OK;
	return ask_refuse(q, "type", "there is no such kind of alert; docs/alerts.md lists them");
}

static int read_mute(struct ask *q, struct mute *m)
{
	const char *budget, *type, *actor, *reason;
	int r = ask_read_text(q, "budget", NAME_MAX_BYTES, &budget);

	if (r == BUR_OK)
		r = ask_read_text(q, "type", NAME_MAX_BYTES, &type);
	if (r == BUR_OK)
		r = check_type(q, type);
	if (r == BUR_OK)
		r = read_who(q, &actor, &reason);
	if (r == BUR_OK)
		r = read_label(q, m);
	if (r == BUR_OK)
		r = read_until(q, m);
	if (r < 0)
		return r;
	if (reason[0] == '\0')
		return ask_refuse(q, "reason", "say why: others will wonder why it is silent");
	m->budget = slice_of(budget);
	m->type = slice_of(type);
	m->by = slice_of(actor);
	m->reason = slice_of(reason);
	if (!m->budget.n && !m->type.n && !m->label.n && !json_is_true(json_object_get(q->in, "everything")))
		return ask_refuse(q, "body",
				  "say what: budget, type, key, user, team, project, model, provider, tag, or "
				  "everything");
	return BUR_OK;
}

static int mute(struct ask *q)
{
	struct mute m = {.from_ns = alerts_now(q->a)};
	int r = read_mute(q, &m);

	if (r < 0)
		return r;
	r = mute_add(q->a, &m, &m.id);
	if (r == BUR_INVALID)
		return ask_refuse(q, "reason", "Input should be text that the audit log takes");
	if (r == BUR_FULL)
		(void)snprintf(q->err, q->err_size, "Too many mutes are in force; end some");
	if (r < 0)
		return r;
	*q->ret = ask_mute(&m);
	return *q->ret ? BUR_OK : BUR_NOMEM;
}

static int unmute(struct ask *q)
{
	const char *actor, *reason;
	int64_t id;
	int r = read_who(q, &actor, &reason);

	if (r == BUR_OK)
		r = ask_read_id(q, "id", &id) < 0 ? BUR_NOTFOUND
						  : mute_end(q->a, id, actor, reason[0] ? reason : "ended by hand");
	if (r == BUR_NOTFOUND)
		return not_found(q, "There is no such mute, or it is over");
	if (r == BUR_OK)
		*q->ret = json_pack("{s:I}", "id", (json_int_t)id);
	return r < 0 ? r : *q->ret ? BUR_OK : BUR_NOMEM;
}

static int add_mute(void *ctx, const struct mute *m)
{
	return json_array_append_new(ctx, ask_mute(m)) == 0 ? BUR_OK : BUR_NOMEM;
}

static int mutes(struct ask *q)
{
	json_t *list = json_array();
	int r = list ? alerts_each_mute(q->a->reader, alerts_now(q->a), add_mute, list) : BUR_NOMEM;

	if (r == BUR_OK)
		*q->ret = json_pack("{s:O}", "mutes", list);
	json_decref(list);
	return r < 0 ? r : *q->ret ? BUR_OK : BUR_NOMEM;
}

/* --- channels ----------------------------------------------------------------------------------------------------- */

static int enable(struct ask *q)
{
	const char *name, *actor, *reason;
	int r = ask_read_text(q, "name", ALERTS_NAME_MAX, &name);

	if (r == BUR_OK)
		r = read_who(q, &actor, &reason);
	if (r == BUR_OK)
		r = q->a->deliver ? deliver_enable(q->a->deliver, name, actor) : BUR_NOTFOUND;
	if (r == BUR_NOTFOUND)
		return not_found(q, "There is no such channel");
	if (r == BUR_OK)
		*q->ret = json_pack("{s:s}", "name", name);
	return r < 0 ? r : *q->ret ? BUR_OK : BUR_NOMEM;
}

/* --- all of them -------------------------------------------------------------------------------------------------- */

static int ack(struct ask *q)
{
	return act_on_incident(q, true);
}

static int resolve(struct ask *q)
{
	return act_on_incident(q, false);
}

static int show(struct ask *q)
{
	return json_object_get(q->in, "test") ? ask_test_result(q) : ask_show(q);
}

static const struct {
	const char *name;
	int (*run)(struct ask *);
} actions[] = {
    {"list", ask_list}, {"show", show},           {"outbox", ask_outbox},
    {"ack", ack},       {"resolve", resolve},     {"retry", retry},
    {"mute", mute},     {"unmute", unmute},       {"mutes", mutes},
    {"test", ask_test}, {"preview", ask_preview}, {"channels", ask_channels},
    {"enable", enable}, {"stats", ask_stats},     {"dashboard", ask_dashboard},
};

int alerts_ask(struct alerts *a, const char *action, const json_t *in, json_t **ret, const char **ret_field,
	       char *reterr, size_t reterr_size)
{
	struct ask q = {.a = a, .in = in, .ret = ret, .ret_field = ret_field, .err = reterr, .err_size = reterr_size};

	CHECK(a->magic == ALERTS_MAGIC);
	*ret = NULL;
	*ret_field = "body";
	reterr[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(actions); i++)
		if (strcmp(action, actions[i].name) == 0)
			return actions[i].run(&q);
	return BUR_NOTFOUND;
}

/* --- links -------------------------------------------------------------------------------------------------------- */

int alerts_link_check(struct alerts *a, struct slice query, int64_t *ret_incident, enum link_action *ret_action)
{
	int64_t expires_s;

	if (!a->deps.link_secret)
		return BUR_DENIED;
	return link_check(a->deps.link_secret, query, alerts_now(a) / NS_PER_S, ret_incident, ret_action, &expires_s);
}

int alerts_link_query(struct alerts *a, int64_t incident, enum link_action action, char dst[LINK_QUERY_MAX])
{
	if (!a->deps.link_secret)
		return BUR_DENIED;
	return link_query(a->deps.link_secret, incident, action, alerts_now(a) / NS_PER_S + LINK_HERE_S, dst);
}
