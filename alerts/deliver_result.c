/* deliver_result.c - what a verdict means: for the message (sent, again, dead), for its channel (held, disabled), and
 * for people, who are told by other channels when one does not work. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alerts/deliver_impl.h"
#include "alerts/words.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "store/note.h"

#define DAY_S INT64_C(86400)
#define WAIT_MAX_S DAY_S
#define MEND_S 3600           /* a channel that is set up wrongly is tried again */
#define DISABLE_S (5 * DAY_S) /* nothing got through for so long */
#define DISABLE_TRIES 3       /* and a channel that had little to say was tried again before */
#define PAUSE_STEP_S 5
#define PAUSE_MAX_S 60

/* --- delays ------------------------------------------------------------------------------------------------------- */

static const int64_t delays_s[DELIVER_TRIES_MAX] = {5, 30, 120, 600, 1800, 3600, 10800, 21600, 43200, 86400};

int64_t deliver_delay_s(int attempt, uint32_t seed)
{
	size_t i = attempt < 1 ? 0 : attempt > DELIVER_TRIES_MAX ? DELIVER_TRIES_MAX - 1 : (size_t)attempt - 1;
	int64_t spread_s = delays_s[i] / 5;

	return delays_s[i] - spread_s + (int64_t)((uint64_t)(2 * spread_s + 1) * seed >> 32);
}

static int64_t retry_delay_s(const struct job *j)
{
	const int64_t what[2] = {j->row.id, j->attempt.attempt};
	int64_t delay_s = deliver_delay_s(j->attempt.attempt, (uint32_t)hash_bytes(what, sizeof(what)));
	int64_t wait_s = j->verdict.wait_s < WAIT_MAX_S ? j->verdict.wait_s : WAIT_MAX_S;

	return wait_s > delay_s ? wait_s : delay_s;
}

/* --- words -------------------------------------------------------------------------------------------------------- */

#define ERROR_MAX 1024

/* Words of others may have been cut within a character, and what is no UTF-8 can be neither written nor told: then the
 * result of the try would never be kept. */
static void clean(char *text, size_t size)
{
	char copy[ERROR_MAX];

	(void)snprintf(copy, sizeof(copy), "%s", text);
	(void)words_clean(slice_of(copy), text, size);
}

/* --- the verdict -------------------------------------------------------------------------------------------------- */

static void hold(struct lane *l, int64_t until_ns)
{
	if (until_ns > l->hold_ns)
		l->hold_ns = until_ns;
}

static void decide_dead(struct job *j)
{
	j->row.state = OUTBOX_DEAD;
	j->outcome = TOLD_DEAD;
	j->give_notice = j->row.op != SAY_TEST;
}

/* The channel is not tried for every message that waits when the last ones failed. */
static void decide_retry(struct job *j)
{
	struct lane *l = j->lane;
	int64_t pause_s = (int64_t)(l->failures - 1) * PAUSE_STEP_S;

	j->outcome = TOLD_RETRY;
	if (j->row.attempts >= DELIVER_TRIES_MAX) {
		decide_dead(j);
		return;
	}
	j->row.next_ns = j->ended_ns + retry_delay_s(j) * NS_PER_S;
	hold(l, j->ended_ns + (pause_s < PAUSE_MAX_S ? pause_s : PAUSE_MAX_S) * NS_PER_S);
	if (j->verdict.wait_s > 0)
		hold(l, j->ended_ns + (j->verdict.wait_s < WAIT_MAX_S ? j->verdict.wait_s : WAIT_MAX_S) * NS_PER_S);
}

static void disable(struct job *j)
{
	j->outcome = TOLD_DISABLED;
	j->state.disabled = true;
	j->state.since_ns = j->ended_ns;
	j->give_notice = true;
}

static void decide_failed(struct job *j)
{
	struct lane *l = j->lane;
	bool lost = l->state.since_ns > 0 && j->ended_ns - l->state.since_ns >= DISABLE_S * NS_PER_S &&
		    l->failures >= DISABLE_TRIES;

	j->state.failed++;
	if (j->row.op == SAY_TEST) { /* whoever tests looks at this try; for the channel nothing follows from it */
		decide_dead(j);
		return;
	}
	l->failures++;
	if (j->state.since_ns == 0)
		j->state.since_ns = j->ended_ns;
	j->state.why = slice_of(j->verdict.why);
	switch (j->verdict.outcome) {
	case OUTCOME_DISABLE:
		disable(j);
		break;
	case OUTCOME_CHANNEL:
		j->outcome = TOLD_CHANNEL;
		j->give_notice = true;
		j->row.next_ns = j->ended_ns + MEND_S * NS_PER_S;
		hold(l, j->row.next_ns);
		break;
	case OUTCOME_RETRY:
		decide_retry(j);
		break;
	case OUTCOME_DEAD:
	case OUTCOME_SENT:
	case OUTCOME_MORE:
	case OUTCOME_PLAIN:
		decide_dead(j);
		break;
	}
	if (lost && !j->state.disabled && j->verdict.outcome != OUTCOME_DEAD)
		disable(j);
}

static void decide_sent(struct job *j)
{
	struct lane *l = j->lane;

	j->outcome = TOLD_SENT;
	j->row.state = OUTBOX_SENT;
	j->row.sent_ns = j->ended_ns;
	j->attempt.success = true;
	j->state.sent++;
	j->state.took_ms += j->attempt.took_ms;
	j->state.last_ns = j->ended_ns;
	if (!j->state.disabled) {
		j->state.since_ns = 0;
		j->state.why = SLICE("");
	}
	l->failures = 0;
	l->hold_ns = 0;
	j->end_notice = l->noticed && !j->state.disabled;
}

/* What the channel is now known to have been told. */
static void decide_told(struct job *j)
{
	struct told *t = &j->told;
	const char *ref = j->verdict.ref[0] ? j->verdict.ref : j->message.ref;

	t->incident = j->row.incident;
	t->channel = j->row.channel;
	t->ref = slice_of(ref ? ref : "");
	if (j->row.severity > t->severity)
		t->severity = j->row.severity;
	if (!j->silent)
		t->ts_ns = j->ended_ns;
	t->resolved = j->row.op == SAY_RESOLVE || (t->resolved && j->row.op == SAY_ACK);
}

void job_decide(struct job *j, const struct answer *a, int64_t now_ns)
{
	j->ended = true;
	j->ended_ns = now_ns;
	j->state = j->lane->state;
	j->row.facts = SLICE_NONE; /* as it is */
	if (j->silent && j->verdict.outcome == OUTCOME_DEAD) {
		j->row.state = OUTBOX_DROPPED;
		j->row.reason = SLICE("never_told");
		j->outcome = TOLD_DROPPED;
		return;
	}
	if (j->silent) {
		j->row.state = OUTBOX_SENT;
		j->row.sent_ns = now_ns;
		j->outcome = TOLD_SENT;
		decide_told(j);
		return;
	}
	transport_hide(j->lane->channel, &j->request, j->verdict.why);
	clean(j->verdict.why, sizeof(j->verdict.why));
	j->row.attempts++;
	j->attempt = (struct delivery_try){
	    .outbox = j->row.id, .ts_ns = now_ns, .attempt = j->row.attempts, .status = a->code, .took_ms = a->took_ms};
	if (j->verdict.outcome == OUTCOME_SENT) {
		decide_sent(j);
		decide_told(j);
	} else {
		decide_failed(j);
		(void)snprintf(j->error, sizeof(j->error), "%s", j->verdict.why[0] ? j->verdict.why : a->error);
		clean(j->error, sizeof(j->error));
	}
	j->row.last_status = a->code;
	j->row.last_error = slice_of(j->error);
	j->attempt.error = slice_of(j->error);
}

/* --- telling the others ------------------------------------------------------------------------------------------- */

static const char *notice_words(const struct job *j, const char *name, char *dst, size_t size)
{
	const char *why = j->error;

	if (j->state.disabled)
		(void)snprintf(dst, size,
			       "Channel %s is disabled: %s. Its messages wait until it is mended and enabled: "
			       "bursar alerts enable %s",
			       name, why, name);
	else if (j->outcome == TOLD_CHANNEL)
		(void)snprintf(dst, size,
			       "Channel %s is set up wrongly: %s. Its messages wait; it is tried again hourly.", name,
			       why);
	else
		(void)snprintf(dst, size, "A message could not be delivered by channel %s: %s", name, why);
	clean(dst, size);
	return dst;
}

static int note(struct lane *l, enum note_state state, const char *message, const char *severity, int64_t now_ns)
{
	char object[ALERTS_NAME_MAX + 16];
	json_t *payload = json_pack("{s:s,s:s,s:s,s:s}", "message", message, "severity", severity, "object",
				    l->channel->name, "object_kind", "channel");
	char *text = payload ? json_dumps(payload, JSON_COMPACT) : NULL;
	struct note n = {.kind = "system.degraded", .since_s = l->noticed_s, .state = state, .at_ns = now_ns};
	int rc = BUR_NOMEM;

	(void)snprintf(object, sizeof(object), "channel %s", l->channel->name);
	n.object = slice_of(object);
	n.payload = slice_of(text);
	if (text)
		rc = store_note(l->deliver->deps.store, &n);
	free(text);
	json_decref(payload);
	return rc == BUR_ALREADY ? BUR_OK : rc;
}

/* One event while it lasts, before the result is written: so a crash in between at worst says it for a try that is made
 * once more. */
static int give_notice(struct job *j)
{
	struct lane *l = j->lane;
	char words[VERDICT_WHY_MAX + 400];
	int rc;

	if (!j->give_notice || l->noticed)
		return BUR_OK;
	l->noticed_s = j->ended_ns / NS_PER_S;
	rc = note(l, NOTE_BEGAN, notice_words(j, l->channel->name, words, sizeof(words)), "error", j->ended_ns);
	l->noticed = rc == BUR_OK;
	return rc;
}

static void end_notice(struct job *j)
{
	struct lane *l = j->lane;
	char words[ALERTS_NAME_MAX + 100];

	if (!j->end_notice)
		return;
	(void)snprintf(words, sizeof(words), "Channel %s works again.", l->channel->name);
	l->noticed = note(l, NOTE_ENDED, words, "info", j->ended_ns) != BUR_OK; /* else at the next success */
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void lane_take_state(struct lane *l, const struct channel_state *s)
{
	l->state = *s;
	l->state.channel = slice_of(l->channel->name);
	(void)slice_to_cstr(s->why, l->why, sizeof(l->why));
	l->state.why = slice_of(l->why);
}

int job_write(struct job *j)
{
	struct lane *l = j->lane;
	bool tried = !j->silent, told = j->row.state == OUTBOX_SENT && j->row.incident != 0;
	const struct alerts_change change = {.outbox = &j->row,
					     .n_outbox = 1,
					     .tries = &j->attempt,
					     .n_tries = tried ? 1 : 0,
					     .told = &j->told,
					     .n_told = told ? 1 : 0,
					     .channels = &j->state,
					     .n_channels = tried ? 1 : 0,
					     .now_ns = j->ended_ns};
	int rc = give_notice(j);

	if (rc == BUR_OK)
		rc = alerts_write(l->deliver->deps.store, &change);
	if (rc != BUR_OK)
		return rc;
	if (tried)
		lane_take_state(l, &j->state);
	end_notice(j);
	return BUR_OK;
}

/* --- counts ------------------------------------------------------------------------------------------------------- */

static size_t type_index(const char *name)
{
	size_t n;
	const struct alert_type *types = alert_types(&n), *type = alert_type_find(slice_of(name));

	CHECK(n <= TYPES_MAX);
	return type ? (size_t)(type - types) : TYPES_MAX;
}

void job_count(struct job *j)
{
	struct lane *l = j->lane;

	l->count[type_index(fact_text(j->facts, "type"))][j->outcome]++;
	if (j->outcome == TOLD_SENT) {
		l->counts.sent++;
		if (!j->silent && j->ended_ns > j->message.at_ns)
			histogram_observe(&l->deliver->seconds, j->ended_ns - j->message.at_ns);
	} else if (j->outcome != TOLD_DROPPED) {
		l->counts.failed++;
	}
	if (j->outcome == TOLD_DEAD)
		l->counts.dead++;
}

void deliver_count(const struct deliver *d, size_t channel, struct deliver_counts *ret)
{
	CHECK(channel < d->n_lanes);
	*ret = d->lane[channel].counts;
}

void deliver_each_count(const struct deliver *d,
			void (*visit)(void *ctx, const char *channel, const char *type, const char *outcome,
				      uint64_t n),
			void *ctx)
{
	static const char *const words[TOLD_COUNT] = {"sent", "retry", "dead", "channel", "disabled", "dropped"};
	size_t n_types;
	const struct alert_type *types = alert_types(&n_types);

	for (size_t i = 0; i < d->n_lanes; i++) {
		const struct lane *l = &d->lane[i];

		for (size_t t = 0; t <= TYPES_MAX; t++) {
			for (size_t o = 0; o < TOLD_COUNT; o++) {
				if (l->count[t][o] > 0)
					visit(ctx, l->channel->name, t < n_types ? types[t].name : "other", words[o],
					      l->count[t][o]);
			}
		}
	}
}

const struct histogram *deliver_seconds(const struct deliver *d)
{
	return &d->seconds;
}
