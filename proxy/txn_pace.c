/* txn_pace.c - throttled and paced calls wait before they leave, on a timer; nothing of the worker waits with them. */
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "proxy/pacing.h"
#include "proxy/txn.h"

#define WAITING_MAX 1024 /* calls of one worker */

/* Malloc'ed: the pacing is settled with the call, long after its arena is gone. */
struct waiting {
	TAILQ_ENTRY(waiting) entry; /* of the worker's list, while it waits */
	struct txn *txn;
	struct loop_timer *timer; /* NULL: it does not wait */
	bool queued, due;
	size_t n;
	struct pacing_claim claims[MATCH_MAX];
};

static struct metric metric_throttled = {.name = "bursar_throttled_total",
					 .help =
					     "Calls that a budget delayed, or refused because they had to wait longer"};
static struct metric metric_degraded = {.name = "bursar_degraded_total",
					.help = "Calls that went to another model than they asked for"};
static struct metric metric_clamped = {.name = "bursar_clamped_total",
				       .help = "Calls whose output was bounded to what the budget had left"};
static struct histogram histogram_delay = {
    .name = "bursar_throttle_delay_seconds",
    .help = "How long budgets delayed calls",
    .bound_ns = {10000000, 25000000, 50000000, 100000000, 250000000, 500000000, 1000000000, 2500000000, 5000000000,
		 10000000000, 30000000000, 60000000000},
    .n_bounds = 12,
};

void txn_pace_metrics(void)
{
	metric_register(&metric_throttled);
	metric_register(&metric_degraded);
	metric_register(&metric_clamped);
	histogram_register(&histogram_delay);
}

int64_t txn_engine_time_s(struct txn *t)
{
	int64_t wall_ns = loop_wall_ns(t->worker->loop);

	return engine_time_s(t->worker->proxy->deps.engine, wall_ns, loop_mono_ns(t->worker->loop));
}

/* --- how long ----------------------------------------------------------------------------------------------------- */

static bool too_long(struct txn *t, const struct decision *d, int retry_s, enum step_result *ret)
{
	t->refused_by = d->reached[0].budget->name;
	t->retry_after_s = retry_s;
	metric_add(&metric_throttled, 1);
	CHECK(engine_void(t->worker->proxy->deps.engine, &t->hold) == BUR_OK);
	*ret = txn_refuse(t, REFUSE_THROTTLED, "the budget is spent faster than it is meant to last; try again in %d s",
			  retry_s);
	return false;
}

static void count_bends(const struct txn *t)
{
	metric_add(&metric_degraded, t->degraded_from.n > 0);
	metric_add(&metric_clamped, t->clamped_to > 0 && !t->default_out);
}

static int64_t most(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static void tell_paces(struct txn *t, const struct decision *d)
{
	for (size_t i = 0; i < d->n_reached; i++)
		if (d->reached[i].step->action == STEP_PACE)
			txn_tell_delay(t, &d->reached[i]);
}

/* The longer delay holds; they are not added. */
static bool find_delay(struct txn *t, const struct decision *d, enum step_result *ret)
{
	struct waiting *w = t->waiting;
	int64_t now_ns = loop_mono_ns(t->worker->loop), paced_ns = 0, curved_ns = 0;
	uint64_t jitter = hash_bytes(t->uid, sizeof(t->uid));
	int retry_s = 1;

	for (size_t i = 0; i < d->n_reached; i++) {
		int64_t delay_ns = 0;

		if (d->reached[i].step->action == STEP_THROTTLE)
			delay_ns = rung_delay_ns(&d->reached[i], jitter);
		if (delay_ns > 0)
			txn_tell_delay(t, &d->reached[i]);
		curved_ns = most(curved_ns, delay_ns);
	}
	w->n = pacing_claims_of(d, w->claims);
	if (w->n > 0 && pacing_take(t->worker->proxy->pacing, w->claims, w->n, now_ns, &paced_ns, &retry_s) != BUR_OK) {
		w->n = 0;
		tell_paces(t, d);
		return too_long(t, d, retry_s, ret);
	}
	if (paced_ns > 0)
		tell_paces(t, d);
	t->delay_ns = most(paced_ns, curved_ns);
	return true;
}

static void due(void *arg)
{
	struct waiting *w = arg;

	w->due = true;
	txn_run(w->txn); /* w may be gone now */
}

static bool wait_begin(struct txn *t, const struct decision *d, enum step_result *ret)
{
	struct waiting *w = t->waiting;

	if (t->worker->n_waiting >= WAITING_MAX)
		return too_long(t, d, 1, ret);
	w->timer = loop_timer_new(t->worker->loop, due, w);
	if (!w->timer)
		return too_long(t, d, 1, ret);
	loop_timer_set(w->timer, t->delay_ns);
	TAILQ_INSERT_TAIL(&t->worker->waiting, w, entry);
	t->worker->n_waiting++;
	w->queued = true;
	metric_add(&metric_throttled, 1);
	histogram_observe(&histogram_delay, t->delay_ns);
	return true;
}

bool txn_ladder_pace(struct txn *t, const struct decision *d, enum step_result *ret)
{
	count_bends(t);
	if (d->n_reached == 0)
		return true;
	t->waiting = calloc(1, sizeof(*t->waiting));
	if (!t->waiting)
		return too_long(t, d, 1, ret);
	t->waiting->txn = t;
	if (!find_delay(t, d, ret))
		return false;
	return t->delay_ns <= 0 || wait_begin(t, d, ret);
}

/* --- waiting ------------------------------------------------------------------------------------------------------ */

static void leave_queue(struct txn *t)
{
	if (!t->waiting->queued)
		return;
	t->waiting->queued = false;
	TAILQ_REMOVE(&t->worker->waiting, t->waiting, entry);
	t->worker->n_waiting--;
}

enum step_result txn_step_pace(struct txn *t)
{
	struct waiting *w = t->waiting;

	if (w && w->queued && !w->due) {
		if (!t->worker->draining)
			return STEP_WAIT;
		return txn_refuse(t, REFUSE_DRAINING, "bursar is shutting down; try again");
	}
	if (w)
		leave_queue(t);
	t->step = TXN_DIAL;
	return STEP_MORE;
}

void txn_pace_drain(struct worker *w)
{
	while (!TAILQ_EMPTY(&w->waiting))
		txn_run(TAILQ_FIRST(&w->waiting)->txn);
}

void txn_ladder_end(struct txn *t, int64_t actual_nanousd)
{
	struct waiting *w = t->waiting;

	if (!w)
		return;
	if (w->n > 0)
		pacing_give_back(t->worker->proxy->pacing, w->claims, w->n, actual_nanousd,
				 loop_mono_ns(t->worker->loop));
	leave_queue(t);
	loop_timer_free(w->timer);
	t->waiting = NULL;
	free(w);
}
