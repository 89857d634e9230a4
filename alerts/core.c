#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "alerts/digest.h"
#include "alerts/escalate.h"
#include "alerts/incident.h"
#include "alerts/intake.h"
#include "alerts/core.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#define RETRY_NS NS_PER_S /* after a write that failed */
#define LOOK_NS NS_PER_S  /* between looks for incidents that are over */
#define PRUNE_NS (3600 * NS_PER_S)
#define PRUNE_AGAIN_NS NS_PER_S /* there was more than one step */
#define PRUNE_STEP 500
#define TRANSACTIONS_MAX 8
#define TICK_NS (60 * NS_PER_MS) /* of events, in one tick, when many wait */
#define COUNT_LOOK 1000
#define SET_BACK_NS (2 * NS_PER_S) /* less is no matter */

int64_t alerts_now(const struct alerts *a)
{
	return a->deps.now_ns ? a->deps.now_ns(a->deps.ctx) : clock_wall_ns();
}

void core_forget(struct alerts *a, int code)
{
	if (a->loaded)
		log_limited(LOG_ERROR, "alerts.store", "alerts wait: what is to be told cannot be written down: %s",
			    bur_strerror(code));
	a->loaded = false;
	a->retry_ns = clock_mono_ns() + RETRY_NS;
}

/* --- what the store knows ----------------------------------------------------------------------------------------- */

struct counting {
	struct alerts *alerts;
	size_t channel;
	int64_t since_ns;
};

/* When it was queued is known to be no later than when it was sent, which at worst holds a message back longer. */
static int count_row(void *ctx, const struct outbox_row *row)
{
	struct counting *q = ctx;
	int64_t at_ns = row->created_ns;

	if (row->op == SAY_TEST || row->created_ns < q->since_ns)
		return BUR_OK;
	if (row->state == OUTBOX_SENT && row->sent_ns > at_ns)
		at_ns = row->sent_ns;
	else if (row->state == OUTBOX_QUEUED && row->attempts == 0 && row->next_ns > at_ns)
		at_ns = row->next_ns;
	gate_count(q->alerts->gate, q->channel, at_ns);
	return BUR_OK;
}

/* The first that may be released. A digest that is being gathered has its place in the rate already. */
static int take_held(void *ctx, const struct outbox_row *row)
{
	struct counting *q = ctx;

	q->alerts->held_ns[q->channel] = row->next_ns;
	if (row->op == SAY_DIGEST)
		gate_count(q->alerts->gate, q->channel, row->created_ns);
	return BUR_OK;
}

/* What counts against the channel's rate, and what is held for it. */
static int load_channel(struct alerts *a, size_t i)
{
	static const enum outbox_state states[] = {OUTBOX_QUEUED, OUTBOX_SENT, OUTBOX_DEAD};
	const struct channel *c = &a->config->channels[i];
	/* A message that was held may have been released within the window; such are older. Found by channel and state,
	 * newest first: by their time, all messages of the day would be looked at for each channel. */
	struct counting q = {
	    .alerts = a, .channel = i, .since_ns = alerts_now(a) - 2 * c->window_s * NS_PER_S - 86400 * NS_PER_S};
	struct outbox_filter f = {.channel = slice_of(c->name), .limit = COUNT_LOOK};
	int r = BUR_OK;

	for (size_t k = 0; k < ARRAY_LEN(states) && r == BUR_OK; k++) {
		f.state = (int)states[k];
		r = alerts_each_outbox(a->reader, &f, count_row, &q);
	}
	f = (struct outbox_filter){.state = OUTBOX_HELD, .channel = slice_of(c->name), .due_ns = INT64_MAX, .limit = 1};
	a->held_ns[i] = INT64_MAX;
	return r < 0 ? r : alerts_each_outbox(a->reader, &f, take_held, &q);
}

/* --- a clock that is set back ------------------------------------------------------------------------------------- */

static int take_created(void *ctx, const struct outbox_row *row)
{
	*(int64_t *)ctx = row->created_ns;
	return BUR_OK;
}

/* By how much: since the last turn, or since the last message was made. */
static int find_set_back(struct alerts *a, int64_t now_ns, int64_t *ret_ns)
{
	const struct outbox_filter newest = {.state = -1, .limit = 1};
	int64_t created_ns = now_ns;
	int r = alerts_each_outbox(a->reader, &newest, take_created, &created_ns);

	*ret_ns = (created_ns > a->seen_ns ? created_ns : a->seen_ns) - now_ns;
	return r;
}

/* What waits was given times that come much later now; rates and gaps would count what was told in the future. */
static int follow_clock(struct alerts *a)
{
	int64_t now_ns = alerts_now(a), back_ns;
	int r = find_set_back(a, now_ns, &back_ns);

	if (r < 0 || back_ns <= SET_BACK_NS)
		return r;
	log_msg(LOG_WARN, "alerts.clock", "the clock was set back by %lld s: what waits to be told is moved with it",
		(long long)(back_ns / NS_PER_S));
	r = alerts_set_back(a->deps.store, back_ns, now_ns);
	if (r == BUR_OK)
		a->seen_ns = now_ns;
	a->loaded = false; /* what was read before is not true any more */
	return r;
}

static int load(struct alerts *a)
{
	int r = alerts_cursor(a->reader, &a->cursor);

	gate_free(a->gate);
	a->gate = gate_new(a->config);
	if (!a->gate)
		return BUR_NOMEM;
	if (r == BUR_OK)
		r = alerts_next_incident(a->reader, &a->next_incident);
	if (r == BUR_OK)
		r = alerts_next_outbox(a->reader, &a->next_outbox);
	if (r == BUR_OK)
		r = mutes_load(&a->mutes, a->reader, alerts_now(a));
	for (size_t i = 0; i < a->config->n_channels && r == BUR_OK; i++)
		r = load_channel(a, i);
	if (r == BUR_OK)
		r = escalate_load(a);
	a->loaded = r == BUR_OK;
	a->behind = true;
	return r;
}

static int set_instance(struct alerts *a)
{
	char text[13];
	const char *given = a->config->from_instance;
	int r = BUR_OK;

	if (given && given[0] != '\0') {
		(void)slice_to_cstr(slice_of(given), a->instance, sizeof(a->instance));
		return BUR_OK;
	}
	r = alerts_instance(a->reader, text);
	(void)slice_to_cstr(slice_of(r == BUR_OK ? text : ""), a->instance, sizeof(a->instance));
	return r;
}

int core_open(struct alerts *a)
{
	int r = store_reader(a->deps.store, &a->reader);

	a->magic = ALERTS_MAGIC;
	a->intake_max = INTAKE_EVENTS_MIN * 4;
	if (r == BUR_OK)
		r = set_instance(a);
	return r < 0 ? r : load(a);
}

void core_close(struct alerts *a)
{
	(void)sqlite3_close(a->reader);
	gate_free(a->gate);
	mutes_free(&a->mutes);
	free(a->deadlines);
	a->reader = NULL;
	a->gate = NULL;
	a->deadlines = NULL;
	a->loaded = false;
}

/* --- every turn --------------------------------------------------------------------------------------------------- */

static int look(struct alerts *a)
{
	int64_t now_ns = alerts_now(a);
	bool more = false;
	int r = BUR_OK;

	if (now_ns < a->look_ns && a->look_ns - now_ns <= LOOK_NS)
		return BUR_OK;
	r = incidents_look(a, 100, &more);
	if (r == BUR_OK)
		r = escalate_tick(a);
	a->look_ns = more ? now_ns : now_ns + LOOK_NS;
	return r;
}

static int prune(struct alerts *a)
{
	int64_t now_ns = alerts_now(a);
	bool more = false;
	int r;

	if (a->config->retention_s <= 0 || (now_ns < a->prune_ns && a->prune_ns - now_ns <= PRUNE_NS))
		return BUR_OK;
	r = alerts_prune(a->deps.store, now_ns - a->config->retention_s * NS_PER_S, PRUNE_STEP, &more);
	a->prune_ns = now_ns + (r == BUR_OK && more ? PRUNE_AGAIN_NS : PRUNE_NS);
	return r;
}

static int take_in(struct alerts *a)
{
	int64_t until_ns = clock_mono_ns() + TICK_NS;
	int r = intake_tick(a);

	for (int i = 1; i < TRANSACTIONS_MAX && r == BUR_OK && a->behind && clock_mono_ns() < until_ns; i++)
		r = intake_tick(a);
	return r;
}

/* What was held goes first: it has waited longest for its place in the rate. */
void core_tick(struct alerts *a)
{
	int r = BUR_OK;

	CHECK(a->magic == ALERTS_MAGIC);
	if (!a->loaded && clock_mono_ns() < a->retry_ns)
		return;
	if (a->seen_ns == 0 || a->seen_ns - alerts_now(a) > SET_BACK_NS)
		r = follow_clock(a);
	if (r == BUR_OK && !a->loaded)
		r = load(a);
	if (r == BUR_OK)
		a->seen_ns = alerts_now(a);
	if (r == BUR_OK)
		r = digest_tick(a);
	if (r == BUR_OK)
		r = take_in(a);
	if (r == BUR_OK)
		r = look(a);
	if (r == BUR_OK)
		r = prune(a);
	if (r < 0)
		core_forget(a, r);
}

bool core_idle(const struct alerts *a)
{
	int64_t now_ns = alerts_now(a);

	if (!a->loaded || a->behind || a->mutes_changed)
		return false;
	for (size_t i = 0; i < a->config->n_channels; i++)
		if (a->held_ns[i] <= now_ns)
			return false;
	return true;
}
