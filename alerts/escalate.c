#include "alerts/escalate.h"

#include <stdlib.h>
#include <string.h>

#include "alerts/tell.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"

#define PREFIX "ESCALATED ALERT: "
#define RECENT_KEYS_MAX 100
#define TICK_NS (15 * NS_PER_MS) /* of looking things up, in one transaction */
#define LOOK_AGAIN_S 30          /* nobody was told yet, or it is muted */

/* Two alerts of one severity, the first of them older than this: nobody takes care. 0: no such rule. */
static const int64_t persistent_s[SEVERITY_COUNT] = {0, 1800, 900, 300};

/* --- telling ------------------------------------------------------------------------------------------------------ */

static json_t *escalated_facts(struct batch *b, struct live *l, const char *reason, int64_t events)
{
	json_t *facts = json_deep_copy(l->facts);
	enum severity was = (enum severity)l->row.severity;

	if (!batch_keep(b, facts) || event_set_severity(facts, SEVERITY_CRITICAL) < 0 ||
	    json_object_set_new(facts, "threshold", json_real(1)) < 0 ||
	    json_object_set_new(facts, "message", event_words(PREFIX "%s", fact_text(l->facts, "message"))) < 0 ||
	    json_object_set_new(facts, "escalated",
				json_pack("{s:s,s:s,s:I}", "original_level", severity_level(was), "reason", reason,
					  "events", (json_int_t)events)) < 0)
		return NULL;
	return facts;
}

/* The gate is for what comes by itself; what nobody reacted to passes it, but for the cap against floods: a thousand
 * budgets that escalate at once are still a few messages and a digest. `event` 0: no event made it so. */
static int escalate(struct batch *b, struct live *l, uint64_t channels, int64_t event, const char *reason,
		    int64_t events)
{
	struct gate *gate = b->alerts->gate;
	json_t *facts = escalated_facts(b, l, reason, events);
	struct telling t;

	if (!facts)
		return BUR_NOMEM;
	tell_begin(&t, b, l, facts);
	if (t.muted_ns > b->now_ns)
		return BUR_OK;
	t.event = event;
	for (size_t i = 0; i < b->alerts->config->n_channels; i++) {
		int64_t opens_ns;

		if (!(channels & UINT64_C(1) << i))
			continue;
		opens_ns = gate_opens_ns(gate, i, true, b->now_ns);
		if (opens_ns == 0)
			gate_count(gate, i, b->now_ns);
		tell_as(&t, i, SAY_ESCALATE, opens_ns == 0 ? OUTBOX_QUEUED : OUTBOX_HELD,
			gate_answer_name(opens_ns == 0 ? GATE_PASS : GATE_RATE), opens_ns == 0 ? b->now_ns : opens_ns);
	}
	l->row.escalated_ns = b->now_ns;
	l->changed = true;
	return tell_write(&t);
}

/* --- the general rule --------------------------------------------------------------------------------------------- */

/* What was heard of one key within the window: of this incident, and of those before it that are over. */
struct heard {
	struct alerts *alerts;
	int64_t since_ns, n, n_same, first_same_ns, escalated_ns;
	int severity, r;
};

static void hear(struct heard *h, int64_t n, int64_t n_same, int64_t first_ns)
{
	h->n += n;
	h->n_same += n_same;
	if (n_same > 0 && (h->first_same_ns == 0 || first_ns < h->first_same_ns))
		h->first_same_ns = first_ns;
}

static int hear_incident(void *ctx, const struct incident *row)
{
	struct heard *h = ctx;
	int64_t n, n_same, first_ns;
	int r = alerts_incident_events(h->alerts->reader, row->id, h->since_ns, h->severity, &n, &n_same, &first_ns);

	if (r < 0)
		return r;
	hear(h, n, n_same, first_ns);
	if (row->escalated_ns > h->escalated_ns)
		h->escalated_ns = row->escalated_ns;
	return BUR_OK;
}

static void hear_pending(struct heard *h, const struct batch *b, struct slice key)
{
	for (const struct live *l = b->first; l; l = l->next) {
		if (!slice_eq(l->row.key, key))
			continue;
		if (l->row.escalated_ns > h->escalated_ns)
			h->escalated_ns = l->row.escalated_ns;
		for (size_t i = 0; i < b->n_events; i++) {
			const struct incident_event *e = &b->events[i];

			if (e->incident == l->row.id && e->ts_ns >= h->since_ns)
				hear(h, 1, e->severity == h->severity, e->ts_ns);
		}
	}
}

static bool is_due(const struct heard *h, const struct event *e)
{
	int64_t limit_s = persistent_s[e->severity];

	if (h->escalated_ns > 0 && e->at_ns - h->escalated_ns < ESCALATE_WINDOW_S * NS_PER_S)
		return false;
	if (h->n >= ESCALATE_EVENTS)
		return true;
	return limit_s > 0 && h->n_same >= 2 && e->at_ns - h->first_same_ns > limit_s * NS_PER_S;
}

int escalate_event(struct batch *b, struct live *l, const struct event *e)
{
	struct alerts *a = b->alerts;
	struct heard h = {
	    .alerts = a, .since_ns = e->at_ns - ESCALATE_WINDOW_S * NS_PER_S, .severity = (int)e->severity};
	struct incident_filter f = {.key = l->row.key, .limit = 20};
	int64_t after_s;
	int r;

	if (!a->config->escalate || l->row.state != INCIDENT_FIRING || e->severity == SEVERITY_INFO || e->route == 0)
		return BUR_OK;
	f.since_ns = h.since_ns > 0 ? h.since_ns : 1;
	r = alerts_each_incident(a->reader, &f, hear_incident, &h);
	if (r < 0)
		return r;
	hear_pending(&h, b, l->row.key);
	if (!is_due(&h, e))
		return BUR_OK;
	return escalate(b, l, rules_escalate(a->config, l->facts, &after_s), e->id,
			"repeated_alerts_or_persistent_condition", h.n);
}

/* --- nobody acknowledged ------------------------------------------------------------------------------------------ */

void escalate_watch(struct alerts *a, int64_t incident, const json_t *facts, int64_t now_ns)
{
	int64_t after_s;
	struct deadline *list;

	(void)rules_escalate(a->config, facts, &after_s);
	if (after_s == 0 || a->n_deadlines == DEADLINES_MAX)
		return;
	for (size_t i = 0; i < a->n_deadlines; i++)
		if (a->deadlines[i].incident == incident)
			return;
	if (!a->deadlines) {
		list = calloc(DEADLINES_MAX, sizeof(*list));
		if (!list)
			return; /* the general rule still holds */
		a->deadlines = list;
	}
	a->deadlines[a->n_deadlines++] = (struct deadline){.incident = incident, .due_ns = now_ns + after_s * NS_PER_S};
}

struct opened {
	struct alerts *alerts;
	int64_t last_id;
	size_t n;
};

static int watch_opened(void *ctx, const struct incident *row)
{
	struct opened *q = ctx;
	json_t *facts = json_loadb(row->facts.p, row->facts.n, 0, NULL);

	q->last_id = row->id;
	q->n++;
	if (facts && row->state == INCIDENT_FIRING)
		escalate_watch(q->alerts, row->id, facts, row->opened_ns);
	json_decref(facts);
	return BUR_OK;
}

int escalate_load(struct alerts *a)
{
	struct opened q = {.alerts = a};
	bool wanted = false;
	int r = BUR_OK;

	a->n_deadlines = 0;
	for (size_t i = 0; i < a->config->n_rules; i++)
		wanted = wanted || a->config->rules[i].escalate_s > 0;
	if (!wanted)
		return BUR_OK;
	do {
		q.n = 0;
		r = alerts_each_incident(
		    a->reader, &(struct incident_filter){.open_only = true, .before_id = q.last_id, .limit = 1000},
		    watch_opened, &q);
	} while (r == BUR_OK && q.n == 1000);
	return r;
}

/* When somebody was told of it first; a digest tells a little later than this. 0: nobody was. */
static int earliest(void *ctx, const struct outbox_row *row)
{
	int64_t *first = ctx, at_ns = row->state == OUTBOX_SENT     ? row->sent_ns
				      : row->state == OUTBOX_MERGED ? row->created_ns
								    : 0;

	if (at_ns > 0 && (*first == 0 || at_ns < *first))
		*first = at_ns;
	return BUR_OK;
}

/* *ret_due_ns: when to look again; 0: never. */
static int look_at(struct batch *b, const struct deadline *d, int64_t *ret_due_ns)
{
	const struct outbox_filter f = {.state = -1, .incident = d->incident, .limit = 1000};
	struct live *l = NULL;
	int64_t after_s, told_ns = 0, due_ns;
	uint64_t channels;
	int r = live_by_id(b, d->incident, &l);

	*ret_due_ns = 0;
	if (r == BUR_NOTFOUND || (r == BUR_OK && l->row.state != INCIDENT_FIRING))
		return BUR_OK;
	if (r == BUR_OK)
		r = alerts_each_outbox(b->alerts->reader, &f, earliest, &told_ns);
	if (r < 0)
		return r;
	channels = rules_escalate(b->alerts->config, l->facts, &after_s);
	due_ns = told_ns + after_s * NS_PER_S;
	if (after_s == 0 || (told_ns > 0 && l->row.escalated_ns >= due_ns))
		return BUR_OK;
	*ret_due_ns = told_ns > 0 && due_ns > b->now_ns ? due_ns : b->now_ns + LOOK_AGAIN_S * NS_PER_S;
	if (told_ns == 0 || due_ns > b->now_ns)
		return BUR_OK;
	r = escalate(b, l, channels, 0, "not_acknowledged", l->row.events);
	if (r == BUR_OK && l->row.escalated_ns == b->now_ns)
		*ret_due_ns = 0;
	return r;
}

/* Forgets those with nothing left to look for. */
static void compact(struct alerts *a)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n_deadlines; i++)
		if (a->deadlines[i].due_ns > 0)
			a->deadlines[n++] = a->deadlines[i];
	a->n_deadlines = n;
}

int escalate_tick(struct alerts *a)
{
	int64_t until_ns = clock_mono_ns() + TICK_NS;
	struct batch b;
	bool any = false;
	int r = BUR_OK;

	for (size_t i = 0; i < a->n_deadlines && !any; i++)
		any = a->deadlines[i].due_ns <= alerts_now(a);
	if (!any)
		return BUR_OK;
	batch_begin(&b, a);
	for (size_t i = 0; i < a->n_deadlines && r == BUR_OK && !batch_is_full(&b) && clock_mono_ns() < until_ns; i++)
		if (a->deadlines[i].due_ns <= b.now_ns)
			r = look_at(&b, &a->deadlines[i], &a->deadlines[i].due_ns);
	if (r < 0)
		core_forget(a, r);
	else if (b.n_outbox > 0)
		r = batch_write(&b);
	if (r == BUR_OK)
		compact(a);
	batch_end(&b);
	return r;
}

/* --- for people --------------------------------------------------------------------------------------------------- */

struct status {
	struct alerts *alerts;
	json_t *recent;
	int64_t since_ns;
	bool failed;
};

static int add_status(void *ctx, const struct incident *row)
{
	struct status *q = ctx;
	int64_t n, n_same, first_ns;
	char key[64];
	json_t *facts, *one;
	int r = alerts_incident_events(q->alerts->reader, row->id, q->since_ns, row->severity, &n, &n_same, &first_ns);

	if (r < 0)
		return r;
	if (n == 0)
		return BUR_OK;
	(void)slice_to_cstr(row->key, key, sizeof(key));
	facts = json_loadb(row->facts.p, row->facts.n, 0, NULL);
	one = json_pack("{s:I,s:s,s:f,s:f}", "event_count", (json_int_t)n, "latest_alert_level",
			severity_level(fact_severity(facts)), "latest_percentage", fact_real(facts, "ratio") * 100,
			"escalation_risk", (double)n / ESCALATE_EVENTS);
	json_decref(facts);
	return json_object_set_new(q->recent, key, one) < 0 ? BUR_NOMEM : BUR_OK;
}

json_t *escalation_status(struct alerts *a)
{
	struct status q = {.alerts = a, .recent = json_object()};
	int64_t since_ns = alerts_now(a) - ESCALATE_WINDOW_S * NS_PER_S;
	struct incident_filter f = {.limit = RECENT_KEYS_MAX};

	q.since_ns = f.since_ns = since_ns > 0 ? since_ns : 1;
	if (!q.recent || alerts_each_incident(a->reader, &f, add_status, &q) < 0) {
		json_decref(q.recent);
		return NULL;
	}
	return json_pack("{s:I,s:{s:b,s:i,s:i,s:{s:I,s:I,s:I}},s:o}", "active_escalation_keys",
			 (json_int_t)json_object_size(q.recent), "escalation_rules", "enabled", a->config->escalate,
			 "window_seconds", ESCALATE_WINDOW_S, "events", ESCALATE_EVENTS, "persistent_seconds",
			 "warning", (json_int_t)persistent_s[SEVERITY_WARNING], "critical",
			 (json_int_t)persistent_s[SEVERITY_ERROR], "exceeded",
			 (json_int_t)persistent_s[SEVERITY_CRITICAL], "recent_activity", q.recent);
}
