#include "alerts/tell.h"

#include <stdio.h>
#include <string.h>

#include "alerts/link.h"
#include "base/check.h"
#include "base/error.h"

void message_id(const struct alerts *a, int64_t event, bool own_event, enum message_op op, int64_t outbox,
		char dst[MESSAGE_ID_MAX])
{
	if (event == 0)
		(void)snprintf(dst, MESSAGE_ID_MAX, "%s-d%lld", a->instance, (long long)outbox);
	else if (own_event)
		(void)snprintf(dst, MESSAGE_ID_MAX, "%s-%lld", a->instance, (long long)event);
	else
		(void)snprintf(dst, MESSAGE_ID_MAX, "%s-%lld-%s", a->instance, (long long)event, message_op_name(op));
}

void tell_begin(struct telling *t, struct batch *b, struct live *l, json_t *facts)
{
	memset(t, 0, sizeof(*t));
	t->batch = b;
	t->live = l;
	t->facts = facts;
	t->severity = fact_severity(facts);
	t->threshold = fact_real(facts, "threshold");
	t->mark = gate_mark(fact_text(facts, "type"), t->threshold);
	t->muted_ns = mutes_cover(&b->alerts->mutes, facts, b->now_ns);
}

void tell_as(struct telling *t, size_t channel, enum message_op op, enum outbox_state state, const char *reason,
	     int64_t next_ns)
{
	CHECK(channel < t->batch->alerts->config->n_channels);
	t->to[channel].on = true;
	t->to[channel].op = op;
	t->to[channel].state = state;
	t->to[channel].reason = reason;
	t->to[channel].next_ns = next_ns;
}

static enum outbox_state state_of(enum gate_answer answer, enum message_op op)
{
	if (answer == GATE_PASS)
		return OUTBOX_QUEUED;
	/* That somebody took care of it is no news later. */
	return answer == GATE_DUPLICATE || op == SAY_ACK ? OUTBOX_DROPPED : OUTBOX_HELD;
}

int tell_ask(struct telling *t, size_t channel, enum message_op op)
{
	struct batch *b = t->batch;
	const struct reach *reach = &t->live->reach[channel];
	struct gate_ask ask = {
	    .channel = channel,
	    .op = op,
	    .severity = t->severity,
	    .threshold = t->threshold,
	    .mark = t->mark,
	    .told = reach->told,
	    .editable = reach->told && reach->ref.n > 0,
	    .muted_ns = t->muted_ns,
	    .recent = t->live->recent,
	    .n_recent = t->live->n_recent,
	    .now_ns = b->now_ns,
	};
	int64_t until_ns = 0;
	enum gate_answer answer;
	int r = batch_waiting(b, channel, &ask.waiting);

	if (r < 0)
		return r;
	answer = gate_ask(b->alerts->gate, &ask, &until_ns);
	if (answer == GATE_PASS && gate_counts(b->alerts->gate, &ask))
		gate_count(b->alerts->gate, channel, b->now_ns);
	tell_as(t, channel, op, state_of(answer, op), gate_answer_name(answer),
		answer == GATE_PASS ? b->now_ns : until_ns);
	return BUR_OK;
}

int tell_figures(struct alerts *a, json_t *facts, int64_t incident, bool over, int64_t now_ns)
{
	if (a->deps.figures)
		a->deps.figures(a->deps.ctx, facts);
	return link_add(facts, a->config, a->deps.link_secret, incident, over, now_ns);
}

struct slice tell_short_facts(struct batch *b, const json_t *facts)
{
	static const char *const kept[] = {"id",      "type",     "severity",  "level",     "state", "title",
					   "message", "incident", "budget_id", "threshold", "at"};
	json_t *o = json_object();
	struct slice text = SLICE_NONE;

	for (size_t i = 0; o && i < ARRAY_LEN(kept); i++) {
		json_t *v = json_object_get(facts, kept[i]);

		if (v && json_object_set(o, kept[i], v) < 0) {
			json_decref(o);
			return SLICE_NONE;
		}
	}
	if (o)
		text = batch_json(b, o);
	json_decref(o);
	return text;
}

/* Messages of one kind have the same facts, whatever channel they go to. */
struct texts {
	struct slice whole[SAY_COUNT], brief[SAY_COUNT];
};

static int facts_text(struct telling *t, enum message_op op, bool brief, int64_t outbox, struct texts *texts,
		      struct slice *ret)
{
	struct slice *known = brief ? &texts->brief[op] : &texts->whole[op];
	char id[MESSAGE_ID_MAX];

	if (known->p && t->event != 0) {
		*ret = *known;
		return BUR_OK;
	}
	message_id(t->batch->alerts, t->event, t->own_event, op, outbox, id);
	if (json_object_set_new(t->facts, "id", json_string(id)) < 0 ||
	    json_object_set_new(t->facts, "state", json_string(message_op_name(op))) < 0)
		return BUR_NOMEM;
	*known = brief ? tell_short_facts(t->batch, t->facts) : batch_json(t->batch, t->facts);
	*ret = *known;
	return known->p ? BUR_OK : BUR_NOMEM;
}

/* What the decision means for later ones of the same batch. */
static int remember(struct telling *t, size_t i)
{
	struct alerts *a = t->batch->alerts;
	struct reach *reach = &t->live->reach[i];
	enum message_op op = t->to[i].op;
	bool opens = op == SAY_FIRE || op == SAY_UPDATE || op == SAY_ESCALATE;

	if (t->to[i].state == OUTBOX_DROPPED)
		return BUR_OK;
	if (t->to[i].state == OUTBOX_QUEUED && t->batch->waiting[i] >= 0)
		t->batch->waiting[i]++;
	if (t->to[i].state == OUTBOX_HELD && t->to[i].next_ns < a->held_ns[i])
		a->held_ns[i] = t->to[i].next_ns;
	if (opens && t->to[i].state == OUTBOX_HELD)
		reach->held = true;
	if (opens && t->to[i].state == OUTBOX_QUEUED && (!reach->told || reach->severity < t->severity)) {
		reach->told = reach->changed = true;
		reach->severity = t->severity;
	}
	/* What is held because it comes and goes must not be what holds the next one. */
	if ((op != SAY_FIRE && op != SAY_UPDATE) || slice_eq(slice_of(t->to[i].reason), SLICE("flapping")))
		return BUR_OK;
	return live_recent(
	    t->batch, t->live,
	    &(struct gate_recent){.channel = i, .at_ns = t->batch->now_ns, .severity = t->severity, .mark = t->mark});
}

static int write_row(struct telling *t, size_t i, struct texts *texts)
{
	struct batch *b = t->batch;
	struct outbox_row row = {
	    .id = b->alerts->next_outbox,
	    .event = t->event,
	    .incident = t->live->row.id,
	    .channel = slice_of(b->alerts->config->channels[i].name),
	    .op = (int)t->to[i].op,
	    .severity = (int)t->severity,
	    .state = t->to[i].state,
	    .reason = slice_of(t->to[i].reason),
	    .created_ns = b->now_ns,
	    .next_ns = t->to[i].next_ns,
	    .last_error = SLICE(""),
	};
	int r = facts_text(t, t->to[i].op, row.state == OUTBOX_DROPPED, row.id, texts, &row.facts);

	if (r < 0)
		return r;
	b->alerts->next_outbox++;
	r = batch_outbox(b, &row, NULL);
	return r < 0 ? r : remember(t, i);
}

int tell_write(struct telling *t)
{
	struct batch *b = t->batch;
	size_t n = b->alerts->config->n_channels;
	struct texts texts = {.whole[0] = SLICE_NONE};
	bool queued = false;
	int r = BUR_OK;

	for (size_t i = 0; i < n; i++)
		queued = queued || (t->to[i].on && t->to[i].state == OUTBOX_QUEUED);
	if (queued)
		r = tell_figures(b->alerts, t->facts, t->live->row.id, t->live->row.state == INCIDENT_RESOLVED,
				 b->now_ns);
	for (size_t i = 0; i < n && r == BUR_OK; i++)
		if (t->to[i].on)
			r = write_row(t, i, &texts);
	return r;
}
