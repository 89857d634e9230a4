#include "policy/engine_internal.h"

static bool amounts_ok(const struct amounts *a)
{
	return a->nanousd >= 0 && a->tokens >= 0 && a->requests >= 0;
}

static int amounts_add(const struct amounts *a, const struct amounts *b, struct amounts *ret)
{
	int r = amount_add(a->nanousd, b->nanousd, &ret->nanousd);

	if (r == BUR_OK)
		r = amount_add(a->tokens, b->tokens, &ret->tokens);
	if (r == BUR_OK)
		r = amount_add(a->requests, b->requests, &ret->requests);
	return r;
}

/* Nearly always the window is the current one. */
static inline void hold_place(struct engine *e, const struct hold *h, size_t i, const struct by_unit *worst,
			      struct place *p)
{
	const struct hold_meter *hm = &h->m[i];
	struct meter *m = meter_at(e, hm->meter);

	p->meter = m;
	p->in = m->ring || m->now.win_start == hm->win_start ? &m->now : engine_window_instance(m, hm->win_start);
	CHECK(m->uid == hm->uid && p->in && p->in->open > 0);
	p->own = worst->of[hm->unit];
	p->would_block = hm->would_block;
	CHECK(p->in->held >= p->own);
}

/* Only the owner of a hold sends it, without the lock; everything else that changes a hold has the lock. */
static enum hold_state hold_state(const struct hold *h)
{
	return __atomic_load_n(&h->state, __ATOMIC_ACQUIRE);
}

static void hold_become(struct hold *h, enum hold_state state)
{
	__atomic_store_n(&h->state, state, __ATOMIC_RELEASE);
}

static void hold_fill(struct engine *e, const struct place *places, size_t n, const struct amounts *worst,
		      struct hold *h)
{
	h->id = ++e->next_id;
	hold_become(h, HOLD_RESERVED);
	h->worst = *worst;
	h->n = (uint8_t)n;
	for (size_t i = 0; i < n; i++) {
		struct meter *m = places[i].meter;

		places[i].in->open++;
		h->m[i] = (struct hold_meter){.meter = places[i].index,
					      .unit = m->entry->unit,
					      .would_block = places[i].would_block,
					      .uid = m->uid,
					      .win_start = places[i].in->win_start};
	}
	e->open_holds++;
	e->open_places += n;
}

/* The windows of now of every meter. BUR_FULL: one has no room for it; a shadow budget is then left out. */
static int places_open(struct engine *e, const struct match *match, const struct amounts *worst, int64_t now_s,
		       struct place *places, size_t *ret_n)
{
	const struct by_unit need = by_unit(worst);
	size_t n = 0;

	for (size_t i = 0; i < match->n; i++) {
		struct meter *m = meter_at(e, match->meter[i]);
		const struct entry *b = m->entry;
		int r = engine_window_roll(e, m, now_s);

		if (r < 0 && b->mode == MODE_SHADOW)
			continue;
		if (r < 0)
			return r;
		CHECK(m->now.open < UINT32_MAX);
		places[n].meter = m;
		places[n].in = &m->now;
		places[n].need = need.of[b->unit];
		places[n].own = 0;
		places[n].index = match->meter[i];
		places[n].would_block = false;
		places[n].degrade = match->degrade[i];
		places[n++].degrade_entry = match->degrade_entry[i];
	}
	*ret_n = n;
	return BUR_OK;
}

/* `ret_hold` is NULL for a preview. */
static int reserve(struct engine *e, const struct match *match, const struct amounts *worst, int64_t now_s,
		   enum decide how, struct hold *ret_hold, struct decision *ret)
{
	struct place places[MATCH_MAX];
	size_t n;
	int r;

	engine_decide_init(ret);
	if (!amounts_ok(worst))
		return BUR_OVERFLOW;
	CHECK(match->n <= MATCH_MAX);
	engine_lock(e);
	while (UNLIKELY(e->n_past < e->open_places + match->n)) {
		engine_unlock(e);
		if (engine_window_grow(e, match->n) < 0)
			return BUR_FULL;
		engine_lock(e);
	}
	now_s = engine_window_now(e, now_s);
	r = places_open(e, match, worst, now_s, places, &n);
	if (r == BUR_OK)
		r = engine_decide_take(e, places, n, how, now_s, ret);
	if (r == BUR_OK && ret_hold)
		hold_fill(e, places, n, worst, ret_hold);
	engine_unlock(e);
	return r;
}

int engine_reserve(struct engine *e, const struct match *match, const struct amounts *worst, int64_t now_s,
		   struct hold *ret_hold, struct decision *ret)
{
	return reserve(e, match, worst, now_s, DECIDE_RESERVE, ret_hold, ret);
}

int engine_try(struct engine *e, const struct match *match, const struct amounts *worst, int64_t now_s,
	       struct hold *ret_hold, struct decision *ret)
{
	return reserve(e, match, worst, now_s, DECIDE_TRY, ret_hold, ret);
}

int engine_preview(struct engine *e, const struct match *match, const struct amounts *worst, int64_t now_s,
		   struct decision *ret)
{
	return reserve(e, match, worst, now_s, DECIDE_PREVIEW, NULL, ret);
}

int engine_mark_sent(struct engine *e, struct hold *h)
{
	enum hold_state reserved = HOLD_RESERVED;

	CHECK(e->magic == ENGINE_MAGIC);
	engine_perturb(PERTURB_SENT);
	return __atomic_compare_exchange_n(&h->state, &reserved, HOLD_SENT, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
		   ? BUR_OK
		   : BUR_ALREADY;
}

int engine_extend(struct engine *e, struct hold *h, const struct amounts *delta, int64_t now_s, struct decision *ret)
{
	const struct by_unit more = by_unit(delta);
	struct place places[MATCH_MAX];
	struct by_unit worst_of;
	struct amounts worst;
	int r = BUR_ALREADY;

	engine_decide_init(ret);
	if (!amounts_ok(delta))
		return BUR_OVERFLOW;
	engine_lock(e);
	now_s = engine_window_now(e, now_s);
	if (hold_state(h) != HOLD_SENT)
		goto out;
	r = amounts_add(&h->worst, delta, &worst);
	if (r < 0)
		goto out;
	worst_of = by_unit(&h->worst);
	/* R7.4: in the windows where the hold was taken, also when they have ended. */
	for (size_t i = 0; i < h->n; i++) {
		hold_place(e, h, i, &worst_of, &places[i]);
		places[i].need = more.of[h->m[i].unit];
		if (UNLIKELY(places[i].meter->credits))
			engine_credit_expire(e, places[i].meter, now_s);
	}
	r = engine_decide_take(e, places, h->n, DECIDE_EXTEND, now_s, ret);
	if (r < 0)
		goto out;
	h->worst = worst;
	for (size_t i = 0; i < h->n; i++)
		h->m[i].would_block = places[i].would_block;
out:
	engine_unlock(e);
	return r;
}

static bool is_open(enum hold_state s)
{
	return s == HOLD_RESERVED || s == HOLD_SENT;
}

static bool amounts_within(const struct amounts *a, const struct amounts *worst)
{
	return amounts_ok(a) && a->nanousd <= worst->nanousd && a->tokens <= worst->tokens &&
	       a->requests <= worst->requests;
}

int engine_shrink(struct engine *e, struct hold *h, const struct amounts *delta)
{
	const struct by_unit less_of = by_unit(delta);
	struct by_unit worst_of;
	int r = BUR_ALREADY;

	engine_lock(e);
	if (!is_open(hold_state(h)))
		goto out;
	r = BUR_INVALID;
	if (!amounts_within(delta, &h->worst))
		goto out;
	worst_of = by_unit(&h->worst);
	for (size_t i = 0; i < h->n; i++) {
		int64_t less = less_of.of[h->m[i].unit];
		struct place p;

		hold_place(e, h, i, &worst_of, &p);
		p.in->held -= less;
		e->held[h->m[i].unit] -= (uint64_t)less;
	}
	h->worst.nanousd -= delta->nanousd;
	h->worst.tokens -= delta->tokens;
	h->worst.requests -= delta->requests;
	r = BUR_OK;
out:
	engine_unlock(e);
	return r;
}

/* The hold leaves its instance. */
static void place_release(struct engine *e, const struct place *p)
{
	p->in->held -= p->own;
	p->in->open--;
	e->held[p->meter->entry->unit] -= (uint64_t)p->own;
}

static void hold_end(struct engine *e, struct hold *h, enum hold_state end)
{
	CHECK(e->open_holds > 0 && e->open_places >= h->n);
	e->open_holds--;
	e->open_places -= h->n;
	hold_become(h, end);
}

static bool settle_overflows(const struct place *places, const struct hold *h)
{
	for (size_t i = 0; i < h->n; i++) {
		const struct place *p = &places[i];

		if (UNLIKELY(place_used(p, p->need) - (uint64_t)p->own > INT64_MAX) &&
		    engine_window_counts(p->meter, h->m[i].win_start))
			return true;
	}
	return false;
}

static int64_t above(int64_t actual, int64_t worst)
{
	return actual > worst ? actual - worst : 0;
}

static void overrun_fill(struct amounts *ret, const struct amounts *actual, const struct amounts *worst)
{
	ret->nanousd = above(actual->nanousd, worst->nanousd);
	ret->tokens = above(actual->tokens, worst->tokens);
	ret->requests = above(actual->requests, worst->requests);
}

static void place_settle(struct engine *e, struct place *p, int64_t win_start, struct event_list *events)
{
	place_release(e, p);
	engine_perturb(PERTURB_SETTLE);
	if (p->meter->ring)
		CHECK(engine_window_post(p->meter, p->in, win_start, p->need) == BUR_OK);
	else
		p->in->posted += p->need;
	engine_decide_alerts(p, 0, events);
	engine_window_drop(e, p->meter, p->in);
}

/* BUR_OK: the hold can be settled. */
static int settle_may(const struct hold *h, const struct amounts *actual)
{
	enum hold_state s = hold_state(h);

	if (s == HOLD_SETTLED || s == HOLD_VOIDED)
		return BUR_ALREADY;
	if (s != HOLD_SENT)
		return BUR_INVALID;
	return amounts_ok(actual) ? BUR_OK : BUR_OVERFLOW;
}

int engine_settle(struct engine *e, struct hold *h, const struct amounts *actual, struct settlement *ret)
{
	struct event_list events = {ret->events, &ret->n_events};
	const struct by_unit bill = by_unit(actual);
	struct place places[MATCH_MAX];
	struct by_unit worst_of;
	int r;

	ret->n_events = 0;
	ret->overrun = (struct amounts){0, 0, 0};
	engine_lock(e);
	r = settle_may(h, actual);
	if (r < 0)
		goto out;
	worst_of = by_unit(&h->worst);
	for (size_t i = 0; i < h->n; i++) {
		hold_place(e, h, i, &worst_of, &places[i]);
		places[i].need = bill.of[h->m[i].unit];
	}
	r = BUR_OVERFLOW;
	if (settle_overflows(places, h))
		goto out;
	for (size_t i = 0; i < h->n; i++)
		place_settle(e, &places[i], h->m[i].win_start, &events);
	overrun_fill(&ret->overrun, actual, &h->worst);
	hold_end(e, h, HOLD_SETTLED);
	r = BUR_OK;
out:
	engine_unlock(e);
	return r;
}

int engine_void(struct engine *e, struct hold *h)
{
	struct by_unit worst_of;
	int r = BUR_ALREADY;

	engine_lock(e);
	if (is_open(hold_state(h))) {
		worst_of = by_unit(&h->worst);
		for (size_t i = 0; i < h->n; i++) {
			struct place p;

			hold_place(e, h, i, &worst_of, &p);
			place_release(e, &p);
			engine_window_drop(e, p.meter, p.in);
		}
		hold_end(e, h, HOLD_VOIDED);
		r = BUR_OK;
	}
	engine_unlock(e);
	return r;
}
