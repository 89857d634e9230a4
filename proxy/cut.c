#include "proxy/cut.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "policy/engine_meter.h"
#include "proxy/txn.h"

#define COUNTERS_MAX 65536

void cut_init(struct cutting *c)
{
	*c = (struct cutting){0};
	CHECK(pthread_mutex_init(&c->lock, NULL) == 0);
}

void cut_done(struct cutting *c)
{
	(void)pthread_mutex_destroy(&c->lock);
	free(c->uid);
}

static void lock(struct cutting *c)
{
	CHECK(pthread_mutex_lock(&c->lock) == 0);
}

static void unlock(struct cutting *c)
{
	CHECK(pthread_mutex_unlock(&c->lock) == 0);
}

/* Under the lock; the workers are woken after it. */
static void next_round(struct cutting *c)
{
	c->state = CUT_LOOK;
	c->round++;
	c->reported = 0;
	c->victim_of = NULL;
	c->ending = 0;
}

/* --- what a worker has -------------------------------------------------------------------------------------------- */

/* What the call holds in the counter, in its unit; 0: nothing. */
static int64_t holds(const struct txn *t, uint64_t uid)
{
	const struct amounts *w = &t->hold.worst;

	if (t->hold.state != HOLD_SENT)
		return 0;
	for (size_t i = 0; i < t->hold.n; i++)
		if (t->hold.m[i].uid == uid)
			return t->hold.m[i].unit == UNIT_USD      ? w->nanousd
			       : t->hold.m[i].unit == UNIT_TOKENS ? w->tokens
								  : w->requests;
	return 0;
}

static bool may_be_cut(const struct txn *t)
{
	return t->step != TXN_END && t->answer_head_sent && t->info.stream && !t->target.provider->full_bill_on_abort;
}

static void look(struct cutting *c, struct worker *w)
{
	uint64_t uid = c->uid[c->at];
	struct txn *t;

	TAILQ_FOREACH (t, &w->txns, entry) {
		int64_t held = holds(t, uid);

		if (held <= 0 || !may_be_cut(t))
			continue;
		if (t->cut_why) {
			if (amount_add(c->ending, held, &c->ending) < 0)
				c->ending = INT64_MAX;
		} else if (!c->victim_of || t->start_mono_ns > c->victim_start_ns) {
			c->victim_of = w;
			c->victim = t->number;
			c->victim_start_ns = t->start_mono_ns;
		}
	}
}

/* --- what is done ------------------------------------------------------------------------------------------------- */

/* As the engine believes it. */
static int64_t now_s(struct engine *e)
{
	int64_t wall_ns = clock_wall_ns();

	return engine_time_s(e, wall_ns, clock_mono_ns());
}

/* How far the counter is over what it may spend; 0: it fits. */
static __int128 deficit(struct worker *w, uint64_t uid)
{
	struct engine *e = w->proxy->deps.engine;
	struct meter_view v;
	__int128 left;

	if (engine_meter_view(e, uid, now_s(e), &v) < 0)
		return 0;
	left = (__int128)v.limit + v.credit - v.posted - v.held;
	return left < 0 ? -left : 0;
}

/* Whose turn it is then. */
enum turn { TURN_NOBODY, TURN_VICTIM, TURN_ALL };

/* Every worker has looked. */
static enum turn decide(struct cutting *c, struct worker *w)
{
	__int128 over = deficit(w, c->uid[c->at]);

	if (over > 0 && over > c->ending && c->victim_of) {
		c->state = CUT_END;
		return TURN_VICTIM;
	}
	if (over > 0 && c->ending > 0) {
		c->state = CUT_WAIT;
		return TURN_NOBODY;
	}
	c->at++;
	if (c->at < c->n) {
		next_round(c);
		return TURN_ALL;
	}
	if (c->n_cut > 0)
		log_msg(LOG_WARN, "budget.cut", "%zu streams were ended because limits were lowered", c->n_cut);
	c->state = CUT_IDLE;
	c->n = c->at = c->n_cut = 0;
	return TURN_NOBODY;
}

static void wake(struct proxy *p, const struct worker *only)
{
	for (uint32_t i = 0; i < p->config.workers; i++)
		if (p->workers[i].started && (!only || only == &p->workers[i]))
			loop_wake(p->workers[i].loop);
}

static void end_one(struct worker *w, uint64_t number)
{
	struct txn *t;

	TAILQ_FOREACH (t, &w->txns, entry) {
		if (t->number == number && may_be_cut(t)) {
			txn_cut_off(t, "the limit of its budget was lowered below what is spent and held");
			return;
		}
	}
}

void cut_turn(struct worker *w)
{
	struct proxy *p = w->proxy;
	struct cutting *c = &p->cutting;
	const struct worker *victim_of;
	enum turn turn = TURN_NOBODY;

	lock(c);
	if (c->state == CUT_END && c->victim_of == w) {
		uint64_t victim = c->victim;

		c->n_cut++;
		unlock(c);
		end_one(w, victim);
		lock(c);
		next_round(c);
		turn = TURN_ALL;
	}
	if (c->state == CUT_LOOK && w->cut_seen != c->round) {
		w->cut_seen = c->round;
		look(c, w);
		if (++c->reported == p->config.workers)
			turn = decide(c, w);
	}
	victim_of = c->victim_of;
	unlock(c);
	if (turn != TURN_NOBODY)
		wake(p, turn == TURN_VICTIM ? victim_of : NULL);
}

/* --- what the application asks ------------------------------------------------------------------------------------ */

static bool is_over(const struct meter_view *v)
{
	return !v->closing && (__int128)v->limit + v->credit - v->posted - v->held < 0;
}

/* The counters of the budget that are over, behind those that wait already. */
static void add_counters(struct cutting *c, struct engine *e, struct slice budget, int64_t now_s)
{
	size_t max = engine_snapshot(e, now_s, NULL, 0), n;
	struct meter_view *v = calloc(max + 1, sizeof(*v));
	uint64_t *uid;

	n = v ? engine_snapshot(e, now_s, v, max) : 0;
	for (size_t i = 0; i < n && i < max && c->n < COUNTERS_MAX; i++) {
		if (!slice_eq(slice_of(v[i].budget->name), budget) || !is_over(&v[i]))
			continue;
		uid = realloc(c->uid, (c->n + 1) * sizeof(*uid));
		if (!uid)
			break;
		c->uid = uid;
		c->uid[c->n++] = v[i].uid;
	}
	free(v);
}

void proxy_cut_over(struct proxy *p, struct slice budget)
{
	struct cutting *c = &p->cutting;
	bool begin;

	lock(c);
	add_counters(c, p->deps.engine, budget, now_s(p->deps.engine));
	begin = c->state == CUT_IDLE && c->n > 0;
	if (begin)
		next_round(c);
	unlock(c);
	if (begin)
		wake(p, NULL);
}

void proxy_tick(struct proxy *p)
{
	struct cutting *c = &p->cutting;
	bool again;

	lock(c);
	again = c->state == CUT_WAIT;
	if (again)
		next_round(c);
	unlock(c);
	if (again)
		wake(p, NULL);
}
