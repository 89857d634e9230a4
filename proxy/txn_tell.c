/* txn_tell.c - what a call makes known to people: steps of budgets, and models without a price. Queued for the writer;
 * what finds no room is told at the next chance or, of thresholds, by the sweep (app/reset.c). */
#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "policy/engine_tell.h"
#include "proxy/threshold.h"
#include "proxy/txn.h"
#include "store/note.h"

#define DAY_S 86400

static struct engine *engine_of(const struct txn *t)
{
	return t->worker->proxy->deps.engine;
}

/* --- budgets ------------------------------------------------------------------------------------------------------ */

static void log_event(const struct engine_event *e, const char *kind)
{
	static const char *const said[] = {[STEP_ALERT] = "reached this part of its limit",
					   [STEP_BLOCK] = "refuses calls",
					   [STEP_THROTTLE] = "delays calls",
					   [STEP_PACE] = "delays calls",
					   [STEP_DEGRADE] = "sends calls to other models",
					   [STEP_CLAMP] = "shortens answers"};

	log_msg(LOG_WARN, kind, "budget %s%s%s %s: %lld.%02lld %%", e->budget->name, e->scope[0] ? " " : "", e->scope,
		said[e->action], (long long)(e->at_ppm / 10000), (long long)(e->at_ppm / 100 % 100));
}

void txn_tell_events(struct txn *t, const struct engine_event *events, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct engine_event *e = &events[i];
		struct threshold_event row;

		threshold_of(e, t->start_wall_ns, &row);
		if (store_event(t->worker->proxy->deps.store, t->worker->index, &row) == BUR_OK)
			log_event(e, row.kind);
		else /* too many at once: later, and as if it had not happened yet */
			(void)engine_untell(engine_of(t), e->uid, e->win_start, UINT32_C(1) << e->step);
	}
}

static void tell_step(struct txn *t, uint64_t uid, int64_t win_start, size_t step)
{
	struct engine_event e;

	if (engine_tell(engine_of(t), uid, win_start, step, &e) == BUR_OK)
		txn_tell_events(t, &e, 1);
}

void txn_tell_limits(struct txn *t, const struct decision *d)
{
	for (size_t i = 0; i < d->n_blocked; i++)
		if (UNLIKELY(d->blocked[i].untold))
			tell_step(t, d->blocked[i].uid, d->blocked[i].win_start, TELL_LIMIT);
}

void txn_tell_delay(struct txn *t, const struct reached *r)
{
	if (!r->told)
		tell_step(t, r->uid, r->win_start, (size_t)(r->step - r->budget->steps));
}

void txn_tell_degrade(struct txn *t, const struct decision *d)
{
	if (d->degrade_told || t->n_rungs_used == RUNG_DEGRADES_MAX)
		return;
	t->rungs_used[t->n_rungs_used++] =
	    (struct rung_used){d->degrade_uid, d->degrade_win_start, (size_t)(d->degrade_step - d->degrade_by->steps)};
}

void txn_tell_degrades(struct txn *t)
{
	for (size_t i = 0; i < t->n_rungs_used; i++)
		tell_step(t, t->rungs_used[i].uid, t->rungs_used[i].win_start, t->rungs_used[i].step);
	t->n_rungs_used = 0;
}

/* --- models ------------------------------------------------------------------------------------------------------- */

/* Names that clients invent must not fill the store: from then on one stands for all. False: it was told today. */
static bool is_news(struct worker *w, int64_t day_s, struct slice *inout_object)
{
	uint64_t hash = stable_hash64(inout_object->p, inout_object->n);

	if (w->unpriced.day_s != day_s) {
		w->unpriced.day_s = day_s;
		w->unpriced.n = 0;
	}
	for (size_t i = 0; i < w->unpriced.n; i++)
		if (w->unpriced.seen[i] == hash)
			return false;
	if (w->unpriced.n == UNPRICED_MAX)
		return false;
	w->unpriced.seen[w->unpriced.n++] = hash;
	if (w->unpriced.n == UNPRICED_MAX)
		*inout_object = SLICE("(other)/(other)");
	return true;
}

void txn_tell_unknown_model(struct txn *t)
{
	char object[300], text[384], payload[TELL_PAYLOAD_MAX];
	int64_t now_s = loop_wall_ns(t->worker->loop) / NS_PER_S;
	struct note note = {.kind = "price.unknown_model",
			    .since_s = now_s - now_s % DAY_S,
			    .state = NOTE_BEGAN,
			    .at_ns = t->start_wall_ns};
	int n = snprintf(object, sizeof(object), "%s/%s", t->target.provider->name, t->info.model);

	note.object = slice_mem(object, n < 0 ? 0 : (size_t)n < sizeof(object) ? (size_t)n : sizeof(object) - 1);
	if (!is_news(t->worker, note.since_s, &note.object))
		return;
	n = (int)json_escape(note.object, text, sizeof(text));
	n = snprintf(payload, sizeof(payload),
		     "{\"message\":\"Calls to %.*s are refused: no price is known for it\",\"object\":\"%.*s\","
		     "\"object_kind\":\"model\",\"refused\":true}",
		     n, text, n, text);
	note.payload = slice_mem(payload, n < 0 ? 0 : (size_t)n);
	if (n < 0 || (size_t)n >= sizeof(payload))
		return; /* not with a name that is so long */
	if (store_tell(t->worker->proxy->deps.store, t->worker->index, &note) < 0)
		t->worker->unpriced.n--; /* at the next call */
}
