#include "alerts/incident.h"

#include <stdio.h>
#include <string.h>

#include "alerts/digest.h"
#include "alerts/escalate.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/audit.h"

/* --- parts -------------------------------------------------------------------------------------------------------- */

/* details.parts: which parts of it go on (rows of burn rates). */
static json_t *parts_of(const json_t *facts)
{
	json_t *parts = json_object_get(json_object_get(facts, "details"), "parts");

	return json_is_array(parts) ? json_copy(parts) : json_array();
}

static size_t part_index(const json_t *parts, int64_t part)
{
	size_t i = 0;

	while (i < json_array_size(parts) && json_integer_value(json_array_get(parts, i)) != part)
		i++;
	return i;
}

/* Takes parts over. */
static int set_parts(json_t *facts, json_t *parts)
{
	json_t *details = json_object_get(facts, "details");

	if (!json_is_object(details)) {
		details = json_object();
		if (json_object_set_new(facts, "details", details) < 0) {
			json_decref(parts);
			return BUR_NOMEM;
		}
	}
	return json_object_set_new(details, "parts", parts) < 0 ? BUR_NOMEM : BUR_OK;
}

static int begin_part(const json_t *before, json_t *facts, int64_t part)
{
	json_t *parts = parts_of(before);

	if (part_index(parts, part) == json_array_size(parts) && json_array_append_new(parts, json_integer(part)) < 0) {
		json_decref(parts);
		return BUR_NOMEM;
	}
	return set_parts(facts, parts);
}

/* *ret_left: others go on. */
static int end_part(json_t *facts, int64_t part, bool *ret_left)
{
	json_t *parts = parts_of(facts);
	size_t i = part_index(parts, part);

	if (i < json_array_size(parts))
		(void)json_array_remove(parts, i);
	*ret_left = json_array_size(parts) > 0;
	return set_parts(facts, parts);
}

/* --- by events ---------------------------------------------------------------------------------------------------- */

static void adapt(struct batch *b, struct live *l, const struct event *e)
{
	bool worse = (int)e->severity > l->row.severity;

	if (worse && l->row.state == INCIDENT_ACKED) {
		l->row.state = INCIDENT_FIRING;
		l->row.acked_ns = 0;
		l->row.by = SLICE("");
	}
	if (worse || l->row.events == 0)
		l->row.severity = (int)e->severity;
	if (e->ends_ns != 0)
		l->row.ends_ns = e->ends_ns;
	l->row.type = slice_of(e->type->name);
	l->row.last_event = e->id;
	l->row.changed_ns = b->now_ns;
	l->row.events++;
	l->changed = true;
}

static int set_facts(struct batch *b, struct live *l, json_t *facts)
{
	if (json_object_set_new(facts, "incident", json_integer(l->row.id)) < 0 ||
	    json_object_set_new(facts, "since", event_time(l->row.opened_ns)) < 0 || !batch_keep(b, json_incref(facts)))
		return BUR_NOMEM;
	l->facts = facts;
	return BUR_OK;
}

int incident_update(struct batch *b, struct event *e, struct live **ret)
{
	struct live *l = NULL;
	int r = live_by_key(b, slice_of(e->key), &l);

	if (r == BUR_NOTFOUND)
		r = live_open(b, e, &l);
	if (r == BUR_OK && e->type->by_part)
		r = begin_part(l->facts, e->facts, e->part);
	if (r < 0)
		return r;
	adapt(b, l, e);
	*ret = l;
	return set_facts(b, l, e->facts);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

/* Who was told of it is told of its end; who was told in a digest, in a digest; who was not told at all is not.
 * `faded`: nothing ended it but that nothing more was heard. That is no news for people; who keeps incidents, and
 * messages that can be changed in place, are brought up to date. */
static int tell_end(struct telling *t, size_t i, bool faded)
{
	const struct channel *c = &t->batch->alerts->config->channels[i];
	const struct reach *reach = &t->live->reach[i];
	int r = BUR_OK;

	/* Elsewhere what was held is still worth a line of a digest. */
	if (reach->held && c->ops->stateful)
		r = held_drop(t->batch, t->live->row.id, i, "over");
	if (r < 0 || !c->resolves || (faded && !c->ops->stateful && !(c->ops->in_place && reach->told)))
		return r;
	if (reach->told)
		return tell_ask(t, i, SAY_RESOLVE);
	if (reach->merged)
		tell_as(t, i, SAY_RESOLVE, OUTBOX_HELD, "digest", t->batch->now_ns + DIGEST_GATHER_NS);
	else if (reach->held)
		tell_as(t, i, SAY_RESOLVE, OUTBOX_DROPPED, "untold", 0);
	return BUR_OK;
}

/* `event` 0: it ended without one. */
static int end_live(struct batch *b, struct live *l, int64_t event, const char *by, bool faded)
{
	struct telling t;
	int r = live_history(b, l);

	if (r < 0)
		return r;
	l->row.state = INCIDENT_RESOLVED;
	l->row.resolved_ns = l->row.changed_ns = b->now_ns;
	l->row.ends_ns = 0;
	l->row.by = batch_text(b, slice_of(by));
	l->changed = true;
	if (!l->row.by.p)
		return BUR_NOMEM;
	tell_begin(&t, b, l, l->facts);
	t.event = event ? event : l->row.last_event;
	t.own_event = event != 0;
	for (size_t i = 0; i < b->alerts->config->n_channels && r == BUR_OK; i++)
		r = tell_end(&t, i, faded);
	return r < 0 ? r : tell_write(&t);
}

/* The end is about what went on: its severity and threshold stay, so that whoever keeps incidents by their labels finds
 * it again; what the end itself knows takes the place of what was known before. */
static int merge_facts(json_t *into, const json_t *end)
{
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)end, name, v)
	{
		bool stays = strcmp(name, "severity") == 0 || strcmp(name, "level") == 0 ||
			     strcmp(name, "threshold") == 0 || strcmp(name, "scope") == 0;

		if (!stays && json_object_set(into, name, v) < 0)
			return BUR_NOMEM;
	}
	return BUR_OK;
}

int incident_end(struct batch *b, struct event *e)
{
	struct live *l = NULL;
	bool left = false;
	int r = live_by_key(b, slice_of(e->key), &l);

	if (r == BUR_NOTFOUND)
		return BUR_OK;
	if (r == BUR_OK && e->type->by_part)
		r = end_part(l->facts, e->part, &left);
	if (r < 0)
		return r;
	l->row.last_event = e->id;
	l->row.events++;
	l->row.changed_ns = b->now_ns;
	l->changed = true;
	if (left)
		return BUR_OK;
	r = merge_facts(l->facts, e->facts);
	if (r == BUR_OK)
		r = event_set_severity(l->facts, (enum severity)l->row.severity);
	return r < 0 ? r : end_live(b, l, e->id, "", false);
}

/* --- without an event --------------------------------------------------------------------------------------------- */

/* What was done now, by a person or by time. Takes the message over. */
static int set_act(json_t *facts, int64_t now_ns, json_t *message, const char *actor, const char *reason)
{
	json_t *details = json_object_get(facts, "details");
	int r = json_object_set_new(facts, "message", message) | json_object_set_new(facts, "at", event_time(now_ns));

	if (!json_is_object(details)) {
		details = json_object();
		r |= json_object_set_new(facts, "details", details);
	}
	if (r == 0 && actor)
		r = json_object_set_new(details, "by", json_string(actor));
	if (r == 0 && actor && reason && reason[0])
		r = json_object_set_new(details, "reason", json_string(reason));
	return r < 0 ? BUR_NOMEM : BUR_OK;
}

static int end_silently(struct batch *b, struct live *l)
{
	const struct alert_type *type = alert_type_find(l->row.type);
	bool faded = type && type->quiet_s > 0;
	const char *why = faded ? "Nothing more was heard of it for a while." : "Its time is over.";
	int r =
	    set_act(l->facts, b->now_ns, event_words("%s It was: %s", why, fact_text(l->facts, "message")), NULL, NULL);

	return r < 0 ? r : end_live(b, l, 0, "", faded);
}

#define LOOK_MAX 100
#define LOOK_NS (15 * NS_PER_MS) /* of looking things up, in one transaction */
struct found {
	int64_t ids[LOOK_MAX];
	size_t n;
};

static int find_over(void *ctx, const struct incident *row)
{
	struct found *f = ctx;

	if (f->n < LOOK_MAX)
		f->ids[f->n++] = row->id;
	return BUR_OK;
}

int incidents_look(struct alerts *a, size_t max, bool *ret_more)
{
	struct found f = {.n = 0};
	struct batch b;
	struct live *l;
	int64_t until_ns;
	size_t n = 0;
	int r;

	*ret_more = false;
	max = max > LOOK_MAX ? LOOK_MAX : max;
	r = alerts_each_incident(a->reader, &(struct incident_filter){.ends_before_ns = alerts_now(a), .limit = max},
				 find_over, &f);
	if (r < 0 || f.n == 0)
		return r;
	until_ns = clock_mono_ns() + LOOK_NS;
	batch_begin(&b, a);
	for (size_t i = 0; i < f.n && r == BUR_OK && !batch_is_full(&b) && clock_mono_ns() < until_ns; i++) {
		r = live_by_id(&b, f.ids[i], &l);
		if (r == BUR_OK)
			r = end_silently(&b, l);
		n++;
	}
	*ret_more = n < f.n || f.n == max;
	if (r < 0)
		core_forget(a, r);
	else
		r = batch_write(&b);
	batch_end(&b);
	return r;
}

/* --- by hand ------------------------------------------------------------------------------------------------------ */

/* SAY_ACK to those who were told. */
static int acknowledge(struct batch *b, struct live *l, const char *actor, const char *reason)
{
	struct telling t;
	json_t *facts;
	int r;

	if (l->row.state != INCIDENT_FIRING)
		return BUR_ALREADY;
	l->row.state = INCIDENT_ACKED;
	l->row.acked_ns = l->row.changed_ns = b->now_ns;
	l->row.by = batch_text(b, slice_of(actor));
	l->changed = true;
	facts = json_deep_copy(l->facts);
	if (!l->row.by.p || !batch_keep(b, facts))
		return BUR_NOMEM;
	r = set_act(facts, b->now_ns, event_words("%s takes care of it: %s", actor, fact_text(l->facts, "message")),
		    actor, reason);
	if (r < 0)
		return r;
	tell_begin(&t, b, l, facts);
	t.event = l->row.last_event;
	for (size_t i = 0; i < b->alerts->config->n_channels && r == BUR_OK; i++)
		if (l->reach[i].told)
			r = tell_ask(&t, i, SAY_ACK);
	return r < 0 ? r : tell_write(&t);
}

static int end_by_hand(struct batch *b, struct live *l, const char *actor, const char *reason)
{
	int r;

	if (l->row.state == INCIDENT_RESOLVED)
		return BUR_ALREADY;
	r = set_act(l->facts, b->now_ns,
		    event_words("%s says that it is over. It was: %s", actor, fact_text(l->facts, "message")), actor,
		    reason);
	return r < 0 ? r : end_live(b, l, 0, actor, false);
}

static bool is_text(const char *text, size_t max)
{
	json_t *words = strlen(text) <= max ? json_string(text) : NULL;

	json_decref(words);
	return words != NULL;
}

static int by_hand(struct alerts *a, int64_t id, const char *action, const char *actor, const char *reason,
		   int (*change)(struct batch *, struct live *, const char *actor, const char *reason))
{
	struct batch b;
	struct live *l = NULL;
	char object[64];
	int r;

	if (!is_text(actor, AUDIT_ACTOR_MAX) || actor[0] == '\0' || (reason && !is_text(reason, AUDIT_REASON_MAX)))
		return BUR_INVALID;
	if (id <= 0)
		return BUR_NOTFOUND;
	if (!a->loaded)
		return BUR_IO;
	batch_begin(&b, a);
	r = live_by_id(&b, id, &l);
	if (r == BUR_OK)
		r = change(&b, l, actor, reason);
	if (r == BUR_OK) {
		(void)snprintf(object, sizeof(object), "incident %lld", (long long)id);
		b.action = action;
		b.object = object;
		b.actor = actor;
		b.reason = reason && reason[0] ? reason : "-";
		r = batch_write(&b);
	} else if (r != BUR_NOTFOUND && r != BUR_ALREADY) {
		core_forget(a, r);
	}
	batch_end(&b);
	return r;
}

int incident_ack(struct alerts *a, int64_t id, const char *actor, const char *reason)
{
	return by_hand(a, id, "alerts.ack", actor, reason, acknowledge);
}

int incident_resolve(struct alerts *a, int64_t id, const char *actor, const char *reason)
{
	return by_hand(a, id, "alerts.resolve", actor, reason, end_by_hand);
}
