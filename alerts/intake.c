#include "alerts/intake.h"

#include <string.h>

#include "alerts/escalate.h"
#include "alerts/incident.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#define TICK_NS (15 * NS_PER_MS) /* of looking things up, in one transaction */
#define INTAKE_FAILURES_MAX 5    /* of one event alone, before it is left out */

struct intake {
	struct batch b;
	struct event *events;
	size_t n, max;
	int64_t seen;  /* the last event that was read */
	size_t n_seen; /* those nobody is told of too */
};

static int take(void *ctx, const struct event_row *row)
{
	struct intake *in = ctx;
	struct event *e = &in->events[in->n];
	struct alerts *a = in->b.alerts;
	int r = event_read(a->config, &a->deps, row, e);

	if (r == BUR_OK && !batch_keep(&in->b, e->facts))
		r = BUR_NOMEM;
	if (r < 0 && r != BUR_NOTFOUND)
		return r;
	in->seen = row->id;
	in->n_seen++;
	if (r == BUR_OK) {
		e->route = a->config->enabled ? rules_route(a->config, e->facts) : 0;
		in->n++;
	}
	return BUR_OK;
}

/* --- one event ---------------------------------------------------------------------------------------------------- */

/* Did the same call cross a higher threshold that the channel is told of? Then this one is no news. */
static bool is_superseded(const struct intake *in, const struct event *e, size_t channel)
{
	if (!e->crossing)
		return false;
	for (size_t i = 0; i < in->n; i++) {
		const struct event *other = &in->events[i];

		if (other->crossing && other->threshold > e->threshold && other->at_ns == e->at_ns &&
		    (channel == SIZE_MAX || other->route & UINT64_C(1) << channel) && strcmp(other->key, e->key) == 0)
			return true;
	}
	return false;
}

static int tell_channels(struct intake *in, struct event *e, struct live *l)
{
	struct telling t;
	int r = BUR_OK;

	tell_begin(&t, &in->b, l, e->facts);
	t.event = e->id;
	t.own_event = true;
	for (size_t i = 0; i < in->b.alerts->config->n_channels && r == BUR_OK; i++) {
		enum message_op op = l->reach[i].told ? SAY_UPDATE : SAY_FIRE;

		if (!(e->route & UINT64_C(1) << i))
			continue;
		if (is_superseded(in, e, i))
			tell_as(&t, i, op, OUTBOX_DROPPED, "higher", 0);
		else
			r = tell_ask(&t, i, op);
	}
	return r < 0 ? r : tell_write(&t);
}

static int take_in(struct intake *in, struct event *e)
{
	struct live *l = NULL;
	int r;

	if (e->ends)
		return incident_end(&in->b, e);
	r = incident_update(&in->b, e, &l);
	if (r == BUR_OK)
		r = tell_channels(in, e, l);
	if (r < 0 || is_superseded(in, e, SIZE_MAX))
		return r; /* one call is one alert to escalation, however many thresholds it crosses */
	r = batch_event(&in->b,
			&(struct incident_event){
			    .incident = l->row.id, .event = e->id, .ts_ns = e->at_ns, .severity = (int)e->severity});
	if (r == BUR_OK)
		r = escalate_event(&in->b, l, e);
	if (r == BUR_OK && l->row.state == INCIDENT_FIRING)
		escalate_watch(in->b.alerts, l->row.id, l->facts, in->b.now_ns);
	return r;
}

/* --- a transaction ------------------------------------------------------------------------------------------------ */

/* Events one after another while there is time and room; the cursor is behind the last. */
static int take_all(struct intake *in, bool *ret_all)
{
	int64_t until_ns = clock_mono_ns() + TICK_NS;
	size_t i = 0;
	int r = BUR_OK;

	for (; i < in->n && r == BUR_OK; i++) {
		if (i > 0 && (clock_mono_ns() >= until_ns || batch_is_full(&in->b)))
			break;
		r = take_in(in, &in->events[i]);
	}
	*ret_all = i == in->n;
	in->b.cursor = *ret_all ? in->seen : in->events[i].id - 1;
	return r;
}

/* What cannot be told by itself, though the store can be written, must not stop what comes after it. */
static int skip(struct alerts *a, int64_t event, int code)
{
	struct batch b;
	int r;

	log_msg(LOG_ERROR, "alerts.skipped", "nobody can be told of event %lld: %s", (long long)event,
		bur_strerror(code));
	batch_begin(&b, a);
	b.cursor = event;
	r = batch_write(&b);
	batch_end(&b);
	return r;
}

static bool is_ours(int code)
{
	return code == BUR_NOMEM || code == BUR_TOOBIG || code == BUR_INVALID || code == BUR_ALREADY;
}

/* Fewer at a time while something fails; one that fails alone is left out. */
static int failed(struct alerts *a, const struct intake *in, int code)
{
	if (!is_ours(code))
		return code;
	if (a->intake_max > 1) {
		a->intake_max /= 2;
		return code;
	}
	return ++a->intake_failures < INTAKE_FAILURES_MAX || in->n != 1 ? code : skip(a, in->events[0].id, code);
}

static int run(struct intake *in)
{
	struct alerts *a = in->b.alerts;
	bool all = true;
	int r;

	in->max = a->intake_max;
	in->events = arena_alloc(&in->b.arena, in->max * sizeof(*in->events));
	if (!in->events)
		return BUR_NOMEM;
	r = alerts_each_event(a->reader, a->cursor, in->max, take, in);
	if (r < 0 || in->n_seen == 0) {
		a->behind = r < 0;
		return r;
	}
	r = take_all(in, &all);
	if (r == BUR_OK)
		r = batch_write(&in->b);
	else
		core_forget(a, r);
	if (r < 0)
		return r;
	a->cursor = in->b.cursor;
	a->behind = !all || in->n_seen == in->max;
	if (!all && a->intake_max > INTAKE_EVENTS_MIN)
		a->intake_max /= 2; /* to read more than there is time for is waste */
	else if (all && in->n_seen == in->max && a->intake_max < INTAKE_EVENTS_MAX)
		a->intake_max *= 2;
	return BUR_OK;
}

int intake_tick(struct alerts *a)
{
	struct intake in = {.n = 0};
	int r;

	batch_begin(&in.b, a);
	r = run(&in);
	if (r < 0) {
		a->behind = true;
		r = failed(a, &in, r);
	} else {
		a->intake_failures = 0;
	}
	batch_end(&in.b);
	return r;
}
