#include "alerts/deliver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alerts/deliver_impl.h"
#include "base/calendar.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "store/note.h"

#define WRITE_AGAIN_NS NS_PER_S
#define BEGIN_AGAIN_NS NS_PER_S

static void lane_run(struct lane *l, int64_t now_ns);

int64_t deliver_now(const struct deliver *d)
{
	return d->deps.now_ns ? d->deps.now_ns(d->deps.ctx) : clock_wall_ns();
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

int deliver_compose(const struct alerts_config *cfg, const struct channel *ch, struct message *m, struct brief *b,
		    struct request *ret)
{
	int rc = brief_make(ret->arena, m->facts, m->op, b);

	if (rc != BUR_OK)
		return rc;
	m->brief = b;
	if (!m->public_url)
		m->public_url = cfg->public_url ? cfg->public_url : "";
	if (!m->node)
		m->node = cfg->node ? cfg->node : "";
	return ch->ops->request(ch, m, ret);
}

/* The same for every try: as the facts say it, or made of the row. */
static const char *message_name(struct job *j)
{
	const char *id = fact_text(j->facts, "id");

	if (id[0])
		return id;
	return arena_printf(&j->arena, "%s-d%lld", j->lane->deliver->instance, (long long)j->row.id).p;
}

static int job_message(struct job *j, int64_t now_ns)
{
	struct message *m = &j->message;
	int64_t at_ns;

	j->facts = json_loadb(j->row.facts.p, j->row.facts.n, 0, NULL);
	if (!json_is_object(j->facts) || j->row.op < 0 || j->row.op >= SAY_COUNT || j->row.severity < 0 ||
	    j->row.severity >= SEVERITY_COUNT)
		return BUR_INVALID;
	if (time_parse(slice_of(fact_text(j->facts, "at")), &at_ns) != BUR_OK)
		at_ns = j->row.created_ns;
	*m = (struct message){.op = (enum message_op)j->row.op,
			      .severity = (enum severity)j->row.severity,
			      .facts = j->facts,
			      .id = message_name(j),
			      .dedup_key = fact_text(j->facts, "dedup_key"),
			      .ref = j->told.ref.p ? j->told.ref.p : "",
			      .at_ns = at_ns,
			      .now_ns = now_ns,
			      .attempt = j->row.attempts + 1};
	return m->id ? BUR_OK : BUR_NOMEM;
}

/* --- a job -------------------------------------------------------------------------------------------------------- */

static void job_free(struct job *j)
{
	if (!j)
		return;
	json_decref(j->facts);
	arena_reset(&j->arena);
	free(j);
}

static void lane_release(struct lane *l)
{
	job_free(l->job);
	l->job = NULL;
}

/* The result, until it is written; nothing else of this channel goes on before. */
static void job_finish(struct job *j, int64_t now_ns)
{
	struct lane *l = j->lane;
	int rc = job_write(j);

	if (rc != BUR_OK) {
		log_limited(LOG_ERROR, "alerts.deliver",
			    "what came of a message cannot be written, again in a second: %s", bur_strerror(rc));
		j->write_ns = now_ns + WRITE_AGAIN_NS;
		return;
	}
	job_count(j);
	if (j->outcome != TOLD_SENT && j->outcome != TOLD_DROPPED)
		log_limited(LOG_WARN, "alerts.deliver", "channel %s: %s", l->channel->name, j->error);
	if (!j->silent)
		l->free_ns = now_ns + l->channel->ops->interval_ns;
	l->look = true;
	lane_release(l);
}

static void job_end(struct job *j, const struct answer *a)
{
	int64_t now_ns = deliver_now(j->lane->deliver);

	job_decide(j, a, now_ns);
	job_finish(j, now_ns);
}

/* Ended without a peer: what is ours. */
static void job_fail(struct job *j, enum outcome outcome, const char *why)
{
	const struct answer none = {.fault = ANSWER_INTERNAL, .error = "", .retry_after_s = -1};

	j->verdict = (struct verdict){.outcome = outcome};
	(void)snprintf(j->verdict.why, sizeof(j->verdict.why), "%s", why);
	job_end(j, &none);
}

static void on_answer(void *ctx, const struct answer *a);

static int job_request(struct job *j)
{
	struct lane *l = j->lane;

	j->request = (struct request){.arena = &j->arena};
	return deliver_compose(l->deliver->config, l->channel, &j->message, &j->brief, &j->request);
}

/* One request of the try: the first, or one more. */
static void job_send(struct job *j)
{
	struct lane *l = j->lane;
	int rc = job_request(j);

	if (rc == BUR_OK)
		rc = transport_send(l->deliver->transport, l->channel, &j->request, on_answer, j);
	if (rc == BUR_OK)
		return;
	if (rc == BUR_ALREADY && j->message.step == 0) {
		static const struct answer none = {.error = "", .retry_after_s = -1};

		j->silent = true;
		job_end(j, &none);
	} else if (rc == BUR_ALREADY) { /* the steps so far were all */
		static const struct answer last = {.error = "", .retry_after_s = -1};

		j->verdict.outcome = OUTCOME_SENT;
		job_end(j, &last);
	} else if (rc == BUR_NOMEM || rc == BUR_FULL) {
		job_fail(j, OUTCOME_RETRY, "out of memory");
	} else if (!j->message.plain) {
		j->message.plain = true;
		job_send(j);
	} else {
		job_fail(j, OUTCOME_DEAD, "the message cannot be put into this channel's form");
	}
}

static void refresh_done(struct job *j)
{
	struct lane *l = j->lane;

	if (j->verdict.outcome != OUTCOME_SENT) {
		transport_hide(l->channel, &j->request, j->verdict.why);
		log_limited(LOG_WARN, "alerts.deliver", "channel %s: what fires could not be told again: %s",
			    l->channel->name, j->verdict.why);
	}
	l->look = true;
	lane_release(l);
}

static void job_judge(struct job *j, const struct answer *a)
{
	struct message *m = &j->message;
	char ref[MESSAGE_REF_MAX];

	(void)slice_to_cstr(slice_of(j->verdict.ref), ref, sizeof(ref));
	j->verdict = (struct verdict){.outcome = OUTCOME_RETRY};
	j->lane->channel->ops->judge(j->lane->channel, m, a, &j->verdict);
	if (!j->verdict.ref[0]) /* what an earlier step said holds */
		(void)slice_to_cstr(slice_of(ref), j->verdict.ref, sizeof(j->verdict.ref));
}

/* MORE and PLAIN go on at once; a peer that always wants more does not get it. */
static bool job_goes_on(struct job *j)
{
	struct message *m = &j->message;
	struct slice ref;

	if (j->verdict.outcome == OUTCOME_PLAIN && !m->plain) {
		m->plain = true;
		return true;
	}
	if (j->verdict.outcome != OUTCOME_MORE || m->step + 1 >= JOB_STEPS_MAX)
		return false;
	m->step++;
	if (j->verdict.ref[0]) {
		ref = arena_dup(&j->arena, slice_of(j->verdict.ref));
		m->ref = ref.p ? ref.p : m->ref;
	}
	return true;
}

static void on_answer(void *ctx, const struct answer *a)
{
	struct job *j = ctx;
	struct lane *l = j->lane;

	job_judge(j, a);
	if (j->refresh) {
		refresh_done(j);
	} else if (job_goes_on(j)) {
		job_send(j);
	} else {
		job_end(j, a);
	}
	lane_run(l, deliver_now(l->deliver));
}

/* --- lanes -------------------------------------------------------------------------------------------------------- */

static struct job *job_new(struct lane *l)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->lane = l;
	arena_init(&j->arena, JOB_BYTES_MAX);
	return j;
}

static void job_begin(struct job *j, int64_t now_ns)
{
	int rc;

	if (j->silent) { /* the end of what was never told */
		j->facts = json_object();
		static const struct answer none = {.error = "", .retry_after_s = -1};

		job_end(j, &none);
		return;
	}
	rc = job_message(j, now_ns);
	if (rc == BUR_OK)
		job_send(j);
	else if (rc == BUR_NOMEM)
		job_fail(j, OUTCOME_RETRY, "out of memory");
	else
		job_fail(j, OUTCOME_DEAD, "what was kept of the message cannot be read");
}

static bool lane_is_shut(const struct lane *l, int64_t now_ns)
{
	return l->state.disabled || l->hold_ns > now_ns;
}

/* Is there reason to look into the outbox? */
static bool lane_wants(const struct lane *l, int64_t now_ns)
{
	if (l->job || now_ns < l->free_ns)
		return false;
	return l->look || (l->due_ns <= now_ns && !lane_is_shut(l, now_ns));
}

static bool lane_begin_next(struct lane *l, int64_t now_ns)
{
	struct job *j = job_new(l);
	int rc = j ? lane_pick(l, j, now_ns) : BUR_NOMEM;

	if (rc == BUR_OK) {
		l->job = j;
		job_begin(j, now_ns);
		return true;
	}
	job_free(j);
	if (rc == BUR_NOTFOUND)
		return false;
	log_limited(LOG_ERROR, "alerts.deliver", "the outbox cannot be read: %s", bur_strerror(rc));
	l->free_ns = now_ns + BEGIN_AGAIN_NS;
	l->look = true;
	return false;
}

static void lane_refresh(struct lane *l, int64_t now_ns)
{
	const struct channel_ops *ops = l->channel->ops;
	struct message list[REFRESH_MESSAGES];
	struct job *j = job_new(l);
	size_t n = 0;
	int rc = j ? lane_pick_refresh(l, j, list, &n, now_ns) : BUR_NOMEM;

	if (l->refresh_after == 0 || rc != BUR_OK)
		l->refresh_ns = now_ns + ops->refresh_ns;
	if (rc == BUR_OK) {
		j->refresh = true;
		j->message = list[0];
		j->request = (struct request){.arena = &j->arena};
		rc = ops->refresh(l->channel, list, n, &j->request);
	}
	if (rc == BUR_OK)
		rc = transport_send(l->deliver->transport, l->channel, &j->request, on_answer, j);
	if (rc == BUR_OK)
		l->job = j;
	else
		job_free(j);
	if (rc != BUR_OK && rc != BUR_NOTFOUND && rc != BUR_ALREADY)
		log_limited(LOG_WARN, "alerts.deliver", "channel %s: what fires could not be told again: %s",
			    l->channel->name, bur_strerror(rc));
}

/* A channel at a time, a message at a time: what hangs here is seen by nobody else. */
static void lane_run(struct lane *l, int64_t now_ns)
{
	if (l->job && l->job->ended && l->job->write_ns <= now_ns)
		job_finish(l->job, now_ns);
	if (lane_wants(l, now_ns) && lane_begin_next(l, now_ns))
		return;
	if (!l->job && l->channel->ops->refresh && l->refresh_ns <= now_ns && !lane_is_shut(l, now_ns))
		lane_refresh(l, now_ns);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static int take_state(void *ctx, const struct channel_state *s)
{
	struct deliver *d = ctx;

	for (size_t i = 0; i < d->n_lanes; i++) {
		struct lane *l = &d->lane[i];

		if (!slice_eq(s->channel, slice_of(l->channel->name)))
			continue;
		l->state = *s;
		(void)slice_to_cstr(s->why, l->why, sizeof(l->why));
		l->state.channel = slice_of(l->channel->name);
		l->state.why = slice_of(l->why);
	}
	return BUR_OK;
}

/* A channel that was disabled gets one more chance after a start, because its configuration may be another; the five
 * days of failures begin anew. */
static int lane_second_chance(struct lane *l, int64_t now_ns)
{
	struct channel_state s = l->state;
	const struct alerts_change change = {.channels = &s, .n_channels = 1, .now_ns = now_ns};
	int rc;

	if (!s.disabled)
		return BUR_OK;
	s.disabled = false;
	s.since_ns = now_ns;
	rc = alerts_write(l->deliver->deps.store, &change);
	if (rc == BUR_OK)
		l->state = s;
	return rc;
}

static int deliver_load(struct deliver *d, int64_t now_ns)
{
	int rc = alerts_instance(d->reader, d->instance);

	if (rc == BUR_OK)
		rc = deliver_drop_gone(d, now_ns);
	if (rc == BUR_OK)
		rc = alerts_each_channel(d->reader, take_state, d);
	for (size_t i = 0; i < d->n_lanes && rc == BUR_OK; i++) {
		struct lane *l = &d->lane[i];
		char object[ALERTS_NAME_MAX + 16];

		(void)snprintf(object, sizeof(object), "channel %s", l->channel->name);
		rc = note_open(d->reader, "system.degraded", slice_of(object), 0, &l->noticed_s);
		l->noticed = rc == BUR_OK;
		if (rc == BUR_OK || rc == BUR_NOTFOUND)
			rc = lane_second_chance(l, now_ns);
	}
	return rc;
}

struct deliver *deliver_new(const struct alerts_config *cfg, const struct alerts_deps *deps, struct sqlite3 *reader)
{
	static const int64_t bounds_ms[] = {50,    100,   250,   500,    1000,    2500,     5000,
					    10000, 30000, 60000, 300000, 1800000, 14400000, 86400000};
	struct deliver *d;

	CHECK(cfg->n_channels <= ALERTS_CHANNELS_MAX);
	d = calloc(1, sizeof(*d) + cfg->n_channels * sizeof(d->lane[0]));
	if (!d)
		return NULL;
	d->config = cfg;
	d->deps = *deps;
	d->reader = reader;
	d->n_lanes = cfg->n_channels;
	for (size_t i = 0; i < d->n_lanes; i++) {
		d->lane[i] = (struct lane){.deliver = d, .channel = &cfg->channels[i], .look = true};
		d->lane[i].state.channel = slice_of(cfg->channels[i].name);
		d->lane[i].state.why = slice_of("");
	}
	for (size_t i = 0; i < ARRAY_LEN(bounds_ms); i++)
		d->seconds.bound_ns[i] = bounds_ms[i] * NS_PER_MS;
	d->seconds.n_bounds = ARRAY_LEN(bounds_ms);
	d->transport = transport_new(deps->loop);
	if (!d->transport) {
		free(d);
		return NULL;
	}
	return d;
}

void deliver_free(struct deliver *d)
{
	if (!d)
		return;
	transport_free(d->transport); /* before what it reads from */
	for (size_t i = 0; i < d->n_lanes; i++)
		lane_release(&d->lane[i]);
	free(d);
}

/* The clock was set back: nothing waits longer for that. What stands in the outbox was moved by core.c. */
static void set_back(struct deliver *d, int64_t back_ns)
{
	for (size_t i = 0; i < d->n_lanes; i++) {
		struct lane *l = &d->lane[i];

		l->free_ns -= back_ns;
		l->hold_ns -= back_ns;
		l->refresh_ns -= back_ns;
		l->look = true;
		if (l->job)
			l->job->write_ns -= back_ns;
	}
}

void deliver_tick(struct deliver *d, int64_t now_ns)
{
	int rc;

	if (d->seen_ns - now_ns > DELIVER_SET_BACK_NS)
		set_back(d, d->seen_ns - now_ns);
	d->seen_ns = now_ns;
	if (!d->loaded) {
		rc = deliver_load(d, now_ns);
		if (rc != BUR_OK) {
			log_limited(LOG_ERROR, "alerts.deliver", "the states of channels cannot be read: %s",
				    bur_strerror(rc));
			return;
		}
		d->loaded = true;
	}
	for (size_t i = 0; i < d->n_lanes; i++)
		lane_run(&d->lane[i], now_ns);
}

void deliver_wake(struct deliver *d)
{
	for (size_t i = 0; i < d->n_lanes; i++)
		d->lane[i].look = true;
}

bool deliver_idle(const struct deliver *d)
{
	int64_t now_ns = deliver_now(d);

	for (size_t i = 0; i < d->n_lanes; i++) {
		const struct lane *l = &d->lane[i];

		if (!d->loaded || l->job || l->look || (l->due_ns <= now_ns && !lane_is_shut(l, now_ns)))
			return false;
	}
	return true;
}

int deliver_enable(struct deliver *d, const char *channel, const char *actor)
{
	int64_t now_ns = deliver_now(d);
	struct lane *l = NULL;
	struct channel_state s;
	struct alerts_change change = {.channels = &s, .n_channels = 1, .now_ns = now_ns};
	int rc;

	for (size_t i = 0; i < d->n_lanes && !l; i++) {
		if (slice_eq(slice_of(d->lane[i].channel->name), slice_of(channel)))
			l = &d->lane[i];
	}
	if (!l)
		return BUR_NOTFOUND;
	s = l->state;
	s.disabled = false;
	s.since_ns = 0;
	change.action = "alerts.enable";
	change.object = channel;
	change.actor = actor;
	change.reason = "enabled by hand";
	rc = alerts_write(d->deps.store, &change);
	if (rc != BUR_OK)
		return rc;
	l->state = s;
	l->hold_ns = 0;
	l->failures = 0;
	l->look = true;
	return BUR_OK;
}
