#include "policy/engine.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"

#define ENGINE_MAGIC 0xe9613e01u
#define INSTANCES_MAX 8 /* window instances of one meter: the current one and past ones that still have holds */
#define METERS_MAX ((size_t)1 << 26)
#define NO_STEP STEPS_MAX
#define PPM 1000000

typedef __int128 wide; /* sums of several int64 */

/* What one meter spent and holds in one window. Free when it is not the meter's current one and `open` is 0.
 * Invariant: posted, held >= 0; posted + held <= INT64_MAX; held = sum of `worst` over the open holds in it. */
struct instance {
	int64_t win_start, win_end, posted, held, credit;
	uint32_t warned_mask;
	uint32_t open; /* holds taken here and not resolved; a hold of zero counts too */
};

/* A budget with what is the same for all its meters. */
struct entry {
	const struct budget *budget;
	int64_t block_limit; /* where a hard budget blocks: the first block step's share, never above the limit */
	size_t block_step;   /* NO_STEP: none */
	uint32_t own_meter;  /* without `per`: its only meter */
	int64_t win_start, win_end; /* the current window; under the lock */
};

/* One counter. All but the instances is fixed before the meter is published. */
struct meter {
	struct entry *entry;
	uint64_t uid;
	uint8_t current; /* under the lock, like the instances */
	struct instance instance[INSTANCES_MAX];
	size_t scope_n;
	char scope[]; /* with NUL */
};

struct engine {
	unsigned magic;
	bool deny_without_budget;
	size_t n_entries, max_meters, table_mask;
	struct entry *entries;
	/* Written under `create`, read by anybody; meters are never freed while the engine lives. */
	_Atomic(struct meter *) *meters; /* by index */
	_Atomic(uint32_t) *table;        /* open addressing by uid: index + 1, 0 = empty */
	_Atomic(uint32_t) n_meters;
	pthread_mutex_t create;
	/* R4.1: one lock for all below and for every instance. */
	CACHE_ALIGNED pthread_mutex_t lock;
	int64_t last_now_s;
	uint64_t next_id;
	size_t open_holds, open_places; /* places: (hold, meter) pairs */
	wide held[UNIT_REQUESTS + 1];   /* sum of `worst` over all places */
};

static void engine_lock(struct engine *e)
{
	CHECK(e->magic == ENGINE_MAGIC);
	CHECK(pthread_mutex_lock(&e->lock) == 0);
}

static void engine_unlock(struct engine *e)
{
	CHECK(pthread_mutex_unlock(&e->lock) == 0);
}

static struct meter *meter_at(struct engine *e, uint32_t index)
{
	CHECK(index < atomic_load_explicit(&e->n_meters, memory_order_acquire));
	return atomic_load_explicit(&e->meters[index], memory_order_relaxed);
}

/* --- finding meters, without the lock ----------------------------------------------------------------------------- */

static size_t table_place(const struct engine *e, uint64_t uid)
{
	/* Seeded: an attacker who chooses scopes cannot make long runs. */
	return (size_t)hash_bytes(&uid, sizeof(uid)) & e->table_mask;
}

/* BUR_OK, BUR_NOTFOUND, or BUR_FULL when another counter already has this identity (it would share the stored row, so
 * the newcomer is refused). */
static int meter_lookup(struct engine *e, const struct entry *entry, struct slice scope, uint64_t uid, uint32_t *ret)
{
	for (size_t i = table_place(e, uid);; i = (i + 1) & e->table_mask) {
		uint32_t place = atomic_load_explicit(&e->table[i], memory_order_acquire);
		const struct meter *m;

		if (place == 0)
			return BUR_NOTFOUND;
		m = atomic_load_explicit(&e->meters[place - 1], memory_order_relaxed);
		if (m->uid != uid)
			continue;
		if (m->entry != entry || !slice_eq((struct slice){m->scope, m->scope_n}, scope))
			return BUR_FULL;
		*ret = place - 1;
		return BUR_OK;
	}
}

/* Under `create`. Everything of the meter is written before its index can be seen. */
static int meter_insert(struct engine *e, struct entry *entry, struct slice scope, uint64_t uid, uint32_t *ret)
{
	uint32_t index = atomic_load_explicit(&e->n_meters, memory_order_relaxed);
	size_t i = table_place(e, uid);
	struct meter *m;

	if (index >= e->max_meters)
		return BUR_FULL;
	m = calloc(1, sizeof(*m) + scope.n + 1);
	if (!m)
		return BUR_FULL;
	m->entry = entry;
	m->uid = uid;
	m->scope_n = scope.n;
	if (scope.n > 0)
		memcpy(m->scope, scope.p, scope.n);
	while (atomic_load_explicit(&e->table[i], memory_order_relaxed) != 0)
		i = (i + 1) & e->table_mask;
	atomic_store_explicit(&e->meters[index], m, memory_order_relaxed);
	atomic_store_explicit(&e->n_meters, index + 1, memory_order_release);
	atomic_store_explicit(&e->table[i], index + 1, memory_order_release);
	*ret = index;
	return BUR_OK;
}

static int meter_get(struct engine *e, struct entry *entry, struct slice scope, uint32_t *ret)
{
	uint64_t uid = meter_uid(entry->budget->name, scope);
	int r = meter_lookup(e, entry, scope, uid, ret);

	if (r != BUR_NOTFOUND)
		return r;
	CHECK(pthread_mutex_lock(&e->create) == 0);
	r = meter_lookup(e, entry, scope, uid, ret);
	if (r == BUR_NOTFOUND)
		r = meter_insert(e, entry, scope, uid, ret);
	CHECK(pthread_mutex_unlock(&e->create) == 0);
	return r;
}

static void match_put(struct match *m, uint32_t meter)
{
	size_t i = m->n++;

	for (; i > 0 && m->meter[i - 1] > meter; i--)
		m->meter[i] = m->meter[i - 1];
	m->meter[i] = meter;
}

static void match_unknown(struct match *m, const struct budget *b)
{
	static const int strictness[] = {
	    [UNKNOWN_FREE] = 0, [UNKNOWN_CHARGE] = 1, [UNKNOWN_DEFAULT] = 2, [UNKNOWN_BLOCK] = 3};

	if (strictness[b->unknown_model] > strictness[m->unknown_model])
		m->unknown_model = b->unknown_model;
	if (b->unknown_model == UNKNOWN_CHARGE && b->unknown_charge_nanousd > m->unknown_charge_nanousd)
		m->unknown_charge_nanousd = b->unknown_charge_nanousd;
}

int engine_match(struct engine *e, const struct facts *f, struct match *ret)
{
	struct match found = {.unknown_model = UNKNOWN_FREE, .estimate_input = true};
	char scope[SCOPE_SIZE];
	uint32_t meter;

	CHECK(e->magic == ENGINE_MAGIC);
	for (size_t i = 0; i < e->n_entries; i++) {
		struct entry *entry = &e->entries[i];
		const struct budget *b = entry->budget;

		if (!budget_matches(b, f))
			continue;
		meter = entry->own_meter;
		if (b->n_per > 0) {
			size_t n = budget_scope(b, f, scope, sizeof(scope));
			int r = meter_get(e, entry, (struct slice){scope, n}, &meter);

			if (r < 0)
				return r;
		}
		CHECK(found.n < MATCH_MAX); /* budget_set_new saw to it */
		match_put(&found, meter);
		found.any_money = found.any_money || b->unit == UNIT_USD;
		if (b->mode == MODE_HARD) {
			found.any_hard = true;
			found.estimate_input = found.estimate_input && b->estimate_input;
			match_unknown(&found, b);
		}
	}
	if (found.n == 0 && e->deny_without_budget)
		return BUR_NOTFOUND;
	*ret = found;
	return BUR_OK;
}

/* --- windows ------------------------------------------------------------------------------------------------------ */

/* R7.5: the engine's time never goes back. */
static int64_t engine_now(struct engine *e, int64_t now_s)
{
	if (now_s > e->last_now_s)
		e->last_now_s = now_s;
	return e->last_now_s;
}

static struct instance *current(struct meter *m)
{
	return &m->instance[m->current];
}

/* The window is computed once per budget and window, not per meter: computing it may be slow. */
static void roll_entry(struct entry *b, int64_t now_s)
{
	if (now_s >= b->win_end || b->win_start == b->win_end)
		window_at(&b->budget->window, now_s, &b->win_start, &b->win_end);
}

/* Makes the window that contains now the current one. BUR_FULL: every other instance still has holds. */
static int meter_roll(struct meter *m, int64_t now_s)
{
	struct entry *entry = m->entry;
	size_t i = m->current;

	roll_entry(entry, now_s);
	if (current(m)->win_start == entry->win_start && current(m)->win_end == entry->win_end)
		return BUR_OK;
	if (m->instance[i].open > 0) {
		for (i = 0; i < INSTANCES_MAX && (i == m->current || m->instance[i].open > 0);)
			i++;
		if (i == INSTANCES_MAX)
			return BUR_FULL;
	}
	m->instance[i] = (struct instance){.win_start = entry->win_start, .win_end = entry->win_end};
	m->current = (uint8_t)i;
	return BUR_OK;
}

/* --- one place of a hold: a meter and one of its instances -------------------------------------------------------- */

struct place {
	struct meter *meter;
	struct instance *in;
	int64_t need; /* asked for now */
	int64_t own;  /* already held here by the same call */
};

static int64_t amount_of(const struct amounts *a, enum amount_unit unit)
{
	return unit == UNIT_USD ? a->nanousd : unit == UNIT_TOKENS ? a->tokens : a->requests;
}

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

static int64_t clamp64(wide v)
{
	return v > INT64_MAX ? INT64_MAX : v < INT64_MIN ? INT64_MIN : (int64_t)v;
}

static bool is_hard(const struct place *p)
{
	return p->meter->entry->budget->mode == MODE_HARD;
}

/* What may be used in this window: hard budgets end at their block step. */
static wide place_limit(const struct place *p)
{
	const struct entry *b = p->meter->entry;

	return (wide)(is_hard(p) ? b->block_limit : b->budget->limit) + p->in->credit;
}

/* Never clamped: negative after an overrun or when more was spent than the limit allows today. */
static wide place_avail(const struct place *p)
{
	return place_limit(p) - p->in->posted - p->in->held;
}

static bool place_blocks(const struct place *p)
{
	return is_hard(p) && p->need > 0 && place_avail(p) < p->need;
}

static bool place_overflows(const struct place *p)
{
	return (wide)p->in->posted + p->in->held + p->need > INT64_MAX;
}

static struct place hold_place(struct engine *e, const struct hold *h, size_t i)
{
	const struct hold_meter *hm = &h->m[i];
	struct place p = {.meter = meter_at(e, hm->meter)};

	CHECK(hm->instance < INSTANCES_MAX);
	p.in = &p.meter->instance[hm->instance];
	CHECK(p.meter->uid == hm->uid && p.in->win_start == hm->win_start && p.in->open > 0);
	p.own = amount_of(&h->worst, hm->unit);
	CHECK(p.in->held >= p.own);
	return p;
}

/* --- thresholds --------------------------------------------------------------------------------------------------- */

struct event_list {
	struct engine_event *at;
	size_t *n;
};

/* A step whose event found no room keeps its bit clear and is told at the next chance. */
static void step_tell(const struct place *p, size_t step, int64_t need, struct event_list *to)
{
	const struct budget *b = p->meter->entry->budget;
	uint32_t bit = UINT32_C(1) << step;

	if ((p->in->warned_mask & bit) != 0 || *to->n == EVENTS_MAX)
		return;
	p->in->warned_mask |= bit;
	to->at[(*to->n)++] = (struct engine_event){
	    .action = b->steps[step].action,
	    .at_ppm = b->steps[step].at_ppm,
	    .posted = p->in->posted,
	    .held = p->in->held,
	    .need = need,
	    .limit = b->limit,
	    .uid = p->meter->uid,
	    .win_start = p->in->win_start,
	    .win_end = p->in->win_end,
	    .warned_mask = p->in->warned_mask,
	    .budget = b,
	    .scope = p->meter->scope,
	};
}

/* Tells each alert step at or below u = (posted + held + need) / limit that was not told in this window. */
static void alerts_tell(const struct place *p, int64_t need, struct event_list *to)
{
	const struct budget *b = p->meter->entry->budget;
	wide used_ppm = ((wide)p->in->posted + p->in->held + need) * PPM;

	for (size_t i = 0; i < b->n_steps && used_ppm >= (wide)b->steps[i].at_ppm * b->limit; i++) {
		if (b->steps[i].action == STEP_ALERT)
			step_tell(p, i, need, to);
	}
}

/* --- deciding ----------------------------------------------------------------------------------------------------- */

static void block_put(const struct place *p, struct decision *d)
{
	d->blocked[d->n_blocked++] = (struct blocked){
	    .budget = p->meter->entry->budget,
	    .scope = p->meter->scope,
	    .limit = clamp64(place_limit(p)),
	    .posted = p->in->posted,
	    .held = p->in->held,
	    .need = p->need,
	    .win_end = p->in->win_end,
	    .only_held = place_avail(p) + p->in->held - p->own >= p->need,
	};
	if (!d->blocked[d->n_blocked - 1].only_held)
		d->verdict = VERDICT_SPENT;
	else if (d->verdict == VERDICT_ALLOW)
		d->verdict = VERDICT_HELD;
}

/* What the answer says about the state after the call, allowed or not. */
static void decision_describe(const struct place *p, struct decision *d)
{
	const struct budget *b = p->meter->entry->budget;
	wide left = place_avail(p);

	if (b->mode == MODE_SOFT && left < 0)
		d->over_budget = true;
	if (b->unit == UNIT_USD && (!d->tightest || left < d->tightest_left_nanousd)) {
		d->tightest = b;
		d->tightest_left_nanousd = clamp64(left);
	}
}

/* Not a memset: the arrays are several KiB and only their first entries are ever used. */
static void decision_init(struct decision *d)
{
	d->verdict = VERDICT_ALLOW;
	d->n_blocked = 0;
	d->over_budget = false;
	d->tightest = NULL;
	d->tightest_left_nanousd = 0;
	d->n_events = 0;
}

/* All needs are taken, or none. Alerts of a refused call count what is there without it: its need never got in. */
static int places_take(struct engine *e, struct place *places, size_t n, struct decision *d)
{
	struct event_list events = {d->events, &d->n_events};
	bool allowed;

	for (size_t i = 0; i < n; i++) {
		if (place_blocks(&places[i]))
			block_put(&places[i], d);
		else if (place_overflows(&places[i]))
			return BUR_OVERFLOW;
	}
	allowed = d->n_blocked == 0;
	for (size_t i = 0; i < n; i++) {
		struct place *p = &places[i];
		const struct entry *b = p->meter->entry;

		alerts_tell(p, allowed ? p->need : 0, &events);
		if (place_blocks(p) && b->block_step != NO_STEP)
			step_tell(p, b->block_step, p->need, &events);
		if (allowed) {
			p->in->held += p->need;
			e->held[b->budget->unit] += p->need;
		}
		decision_describe(p, d);
	}
	return allowed ? BUR_OK : BUR_DENIED;
}

/* --- the life of a hold ------------------------------------------------------------------------------------------- */

static void hold_fill(struct engine *e, const struct match *match, const struct place *places,
		      const struct amounts *worst, struct hold *h)
{
	h->id = ++e->next_id;
	h->state = HOLD_RESERVED;
	h->worst = *worst;
	h->n = (uint8_t)match->n;
	for (size_t i = 0; i < match->n; i++) {
		struct meter *m = places[i].meter;

		places[i].in->open++;
		h->m[i] = (struct hold_meter){.meter = match->meter[i],
					      .instance = m->current,
					      .unit = m->entry->budget->unit,
					      .uid = m->uid,
					      .win_start = places[i].in->win_start};
	}
	e->open_holds++;
	e->open_places += match->n;
}

int engine_reserve(struct engine *e, const struct match *match, const struct amounts *worst, int64_t now_s,
		   struct hold *ret_hold, struct decision *ret)
{
	struct place places[MATCH_MAX];
	int r = BUR_OK;

	decision_init(ret);
	if (!amounts_ok(worst))
		return BUR_OVERFLOW;
	CHECK(match->n <= MATCH_MAX);
	engine_lock(e);
	now_s = engine_now(e, now_s);
	for (size_t i = 0; i < match->n; i++) {
		struct meter *m = meter_at(e, match->meter[i]);

		r = meter_roll(m, now_s);
		if (r < 0)
			goto out;
		CHECK(current(m)->open < UINT32_MAX);
		places[i] = (struct place){m, current(m), amount_of(worst, m->entry->budget->unit), 0};
	}
	r = places_take(e, places, match->n, ret);
	if (r == BUR_OK)
		hold_fill(e, match, places, worst, ret_hold);
out:
	engine_unlock(e);
	return r;
}

int engine_mark_sent(struct engine *e, struct hold *h)
{
	int r = BUR_ALREADY;

	engine_lock(e);
	if (h->state == HOLD_RESERVED) {
		h->state = HOLD_SENT;
		r = BUR_OK;
	}
	engine_unlock(e);
	return r;
}

int engine_extend(struct engine *e, struct hold *h, const struct amounts *delta, int64_t now_s, struct decision *ret)
{
	struct place places[MATCH_MAX];
	struct amounts worst;
	int r = BUR_ALREADY;

	decision_init(ret);
	if (!amounts_ok(delta))
		return BUR_OVERFLOW;
	engine_lock(e);
	(void)engine_now(e, now_s);
	if (h->state != HOLD_SENT)
		goto out;
	r = amounts_add(&h->worst, delta, &worst);
	if (r < 0)
		goto out;
	/* R7.4: in the windows where the hold was taken, also when they have ended. */
	for (size_t i = 0; i < h->n; i++) {
		places[i] = hold_place(e, h, i);
		places[i].need = amount_of(delta, h->m[i].unit);
	}
	r = places_take(e, places, h->n, ret);
	if (r == BUR_OK)
		h->worst = worst;
out:
	engine_unlock(e);
	return r;
}

int engine_shrink(struct engine *e, struct hold *h, const struct amounts *delta)
{
	int r = BUR_ALREADY;

	engine_lock(e);
	if (h->state != HOLD_RESERVED && h->state != HOLD_SENT)
		goto out;
	r = BUR_INVALID;
	if (!amounts_ok(delta) || delta->nanousd > h->worst.nanousd || delta->tokens > h->worst.tokens ||
	    delta->requests > h->worst.requests)
		goto out;
	for (size_t i = 0; i < h->n; i++) {
		struct place p = hold_place(e, h, i);
		int64_t less = amount_of(delta, h->m[i].unit);

		p.in->held -= less;
		e->held[h->m[i].unit] -= less;
	}
	h->worst.nanousd -= delta->nanousd;
	h->worst.tokens -= delta->tokens;
	h->worst.requests -= delta->requests;
	r = BUR_OK;
out:
	engine_unlock(e);
	return r;
}

/* The hold leaves its instances; a past one without holds is free from now on. */
static void hold_release(struct engine *e, struct hold *h, enum hold_state end)
{
	for (size_t i = 0; i < h->n; i++) {
		struct place p = hold_place(e, h, i);

		p.in->held -= p.own;
		p.in->open--;
		e->held[h->m[i].unit] -= p.own;
	}
	CHECK(e->open_holds > 0 && e->open_places >= h->n);
	e->open_holds--;
	e->open_places -= h->n;
	h->state = end;
}

static bool settle_overflows(struct engine *e, const struct hold *h, const struct amounts *actual)
{
	for (size_t i = 0; i < h->n; i++) {
		struct place p = hold_place(e, h, i);

		if ((wide)p.in->posted + amount_of(actual, h->m[i].unit) + p.in->held - p.own > INT64_MAX)
			return true;
	}
	return false;
}

static int64_t above(int64_t actual, int64_t worst)
{
	return actual > worst ? actual - worst : 0;
}

int engine_settle(struct engine *e, struct hold *h, const struct amounts *actual, struct settlement *ret)
{
	struct event_list events = {ret->events, &ret->n_events};
	int r = BUR_ALREADY;

	ret->n_events = 0;
	ret->overrun = (struct amounts){0, 0, 0};
	engine_lock(e);
	if (h->state == HOLD_SETTLED || h->state == HOLD_VOIDED)
		goto out;
	r = BUR_INVALID;
	if (h->state != HOLD_SENT)
		goto out;
	r = BUR_OVERFLOW;
	if (!amounts_ok(actual) || settle_overflows(e, h, actual))
		goto out;
	ret->overrun.nanousd = above(actual->nanousd, h->worst.nanousd);
	ret->overrun.tokens = above(actual->tokens, h->worst.tokens);
	ret->overrun.requests = above(actual->requests, h->worst.requests);
	for (size_t i = 0; i < h->n; i++) {
		struct place p = hold_place(e, h, i);

		p.in->posted += amount_of(actual, h->m[i].unit);
		p.in->held -= p.own; /* as it will be; alerts_tell looks at the sum */
		alerts_tell(&p, 0, &events);
		p.in->held += p.own;
	}
	hold_release(e, h, HOLD_SETTLED);
	r = BUR_OK;
out:
	engine_unlock(e);
	return r;
}

int engine_void(struct engine *e, struct hold *h)
{
	int r = BUR_ALREADY;

	engine_lock(e);
	if (h->state == HOLD_RESERVED || h->state == HOLD_SENT) {
		hold_release(e, h, HOLD_VOIDED);
		r = BUR_OK;
	}
	engine_unlock(e);
	return r;
}

/* --- corrections -------------------------------------------------------------------------------------------------- */

static struct meter *meter_by_uid(struct engine *e, uint64_t uid)
{
	for (size_t i = table_place(e, uid);; i = (i + 1) & e->table_mask) {
		uint32_t place = atomic_load_explicit(&e->table[i], memory_order_acquire);
		struct meter *m;

		if (place == 0)
			return NULL;
		m = atomic_load_explicit(&e->meters[place - 1], memory_order_relaxed);
		if (m->uid == uid)
			return m;
	}
}

static struct instance *instance_of(struct meter *m, int64_t win_start)
{
	for (size_t i = 0; i < INSTANCES_MAX; i++) {
		struct instance *in = &m->instance[i];

		/* A window of no length: the counter was not used yet. */
		if ((i == m->current || in->open > 0) && in->win_start == win_start && in->win_end > in->win_start)
			return in;
	}
	return NULL;
}

int engine_post(struct engine *e, uint64_t uid, int64_t win_start, int64_t delta)
{
	struct meter *m = meter_by_uid(e, uid);
	struct instance *in;
	int r = BUR_NOTFOUND;
	wide posted;

	if (!m)
		return r;
	engine_lock(e);
	in = instance_of(m, win_start);
	if (in) {
		posted = (wide)in->posted + delta;
		r = posted < 0 || posted + in->held > INT64_MAX ? BUR_OVERFLOW : BUR_OK;
		if (r == BUR_OK)
			in->posted = (int64_t)posted;
	}
	engine_unlock(e);
	return r;
}

/* --- start-up ----------------------------------------------------------------------------------------------------- */

static struct entry *entry_named(struct engine *e, struct slice name)
{
	for (size_t i = 0; i < e->n_entries; i++) {
		if (slice_eq(slice_of(e->entries[i].budget->name), name))
			return &e->entries[i];
	}
	return NULL;
}

/* Could this scope come from the budget as it is written today? (`per` may have been edited.) */
static bool scope_fits(const struct budget *b, struct slice scope)
{
	char none[SCOPE_SIZE];
	struct facts nothing = {.n_tags = 0};
	size_t n;

	if (b->n_per == 0 || scope.n == 0)
		return b->n_per == 0 && scope.n == 0;
	(void)budget_scope(b, &nothing, none, sizeof(none));
	n = slice_find(slice_of(none), '=');
	return scope.n < SCOPE_SIZE && slice_starts(scope, (struct slice){none, n + 1});
}

static int restore_locked(struct engine *e, struct meter *m, int64_t win_start, int64_t posted, int64_t credit,
			  uint32_t warned_mask, int64_t now_s)
{
	int64_t new_posted, new_credit, used;
	struct instance *in;
	int r = meter_roll(m, engine_now(e, now_s));

	if (r < 0)
		return r;
	in = current(m);
	if (in->win_start != win_start)
		return BUR_NOTFOUND;
	r = amount_add(in->posted, posted, &new_posted);
	if (r == BUR_OK)
		r = amount_add(new_posted, in->held, &used);
	if (r == BUR_OK)
		r = amount_add(in->credit, credit, &new_credit);
	if (r < 0)
		return r;
	in->posted = new_posted;
	in->credit = new_credit;
	in->warned_mask |= warned_mask;
	return BUR_OK;
}

int engine_restore(struct engine *e, struct slice budget_name, struct slice scope, int64_t win_start, int64_t win_end,
		   int64_t posted, int64_t credit, uint32_t warned_mask, int64_t now_s)
{
	struct entry *entry;
	int64_t start, end;
	uint32_t meter;
	int r;

	CHECK(e->magic == ENGINE_MAGIC);
	if (posted < 0)
		return BUR_INVALID;
	entry = entry_named(e, budget_name);
	if (!entry || win_end <= now_s || !scope_fits(entry->budget, scope))
		return BUR_NOTFOUND;
	window_at(&entry->budget->window, now_s, &start, &end);
	if (start != win_start)
		return BUR_NOTFOUND; /* before a meter is spent on it */
	r = meter_get(e, entry, scope, &meter);
	if (r < 0)
		return r;
	engine_lock(e);
	r = restore_locked(e, meter_at(e, meter), win_start, posted, credit, warned_mask, now_s);
	engine_unlock(e);
	return r;
}

/* --- looking in --------------------------------------------------------------------------------------------------- */

static void view_fill(struct meter_view *v, const struct meter *m, const struct instance *in, bool closing)
{
	v->budget = m->entry->budget;
	memcpy(v->scope, m->scope, m->scope_n + 1);
	v->uid = m->uid;
	v->win_start = in->win_start;
	v->win_end = in->win_end;
	v->limit = m->entry->budget->limit;
	v->credit = in->credit;
	v->posted = in->posted;
	v->held = in->held;
	v->warned_mask = in->warned_mask;
	v->closing = closing;
}

size_t engine_snapshot(struct engine *e, int64_t now_s, struct meter_view *dst, size_t max)
{
	size_t n = 0;
	uint32_t n_meters;

	engine_lock(e);
	now_s = engine_now(e, now_s);
	n_meters = atomic_load_explicit(&e->n_meters, memory_order_acquire);
	for (uint32_t i = 0; i < n_meters; i++) {
		struct meter *m = meter_at(e, i);
		bool stuck = meter_roll(m, now_s) < 0; /* then the last window stays on as the current one */

		for (size_t k = 0; k < INSTANCES_MAX; k++) {
			if (k != m->current && m->instance[k].open == 0)
				continue;
			if (n < max)
				view_fill(&dst[n], m, &m->instance[k], k != m->current || stuck);
			n++;
		}
	}
	engine_unlock(e);
	return n;
}

size_t engine_open_holds(struct engine *e)
{
	size_t n;

	engine_lock(e);
	n = e->open_holds;
	engine_unlock(e);
	return n;
}

static void instance_check(const struct meter *m, const struct instance *in)
{
	const struct budget *b = m->entry->budget;

	CHECK(in->posted >= 0 && in->held >= 0);
	CHECK((wide)in->posted + in->held <= INT64_MAX);
	CHECK(in->open > 0 || in->held == 0);
	CHECK(in->win_start <= in->win_end);
	CHECK(b->limit > 0 && m->entry->block_limit <= b->limit);
}

void engine_check(struct engine *e)
{
	wide held[ARRAY_LEN(e->held)] = {0};
	size_t places = 0;
	uint32_t n;

	engine_lock(e);
	n = atomic_load_explicit(&e->n_meters, memory_order_acquire);
	for (uint32_t i = 0; i < n; i++) {
		struct meter *m = meter_at(e, i);

		CHECK(m->current < INSTANCES_MAX);
		for (size_t k = 0; k < INSTANCES_MAX; k++) {
			instance_check(m, &m->instance[k]);
			held[m->entry->budget->unit] += m->instance[k].held;
			places += m->instance[k].open;
		}
	}
	for (size_t u = 0; u < ARRAY_LEN(held); u++)
		CHECK(held[u] == e->held[u]);
	CHECK(places == e->open_places);
	CHECK(e->open_holds > 0 || places == 0);
	engine_unlock(e);
}

/* --- making ------------------------------------------------------------------------------------------------------- */

static void entry_init(struct entry *entry, const struct budget *b)
{
	entry->budget = b;
	entry->block_limit = b->limit;
	entry->block_step = NO_STEP;
	entry->own_meter = UINT32_MAX;
	for (size_t i = 0; i < b->n_steps && entry->block_step == NO_STEP; i++) {
		if (b->steps[i].action != STEP_BLOCK)
			continue;
		entry->block_step = i;
		/* A step above 100 % never lifts the promise. */
		if (b->steps[i].at_ppm < PPM)
			entry->block_limit = (int64_t)((wide)b->limit * b->steps[i].at_ppm / PPM);
	}
}

static bool mutex_init(pthread_mutex_t *m, int kind)
{
	pthread_mutexattr_t attr;
	bool ok = false;

	if (pthread_mutexattr_init(&attr) != 0)
		return false;
	if (pthread_mutexattr_settype(&attr, kind) == 0)
		ok = pthread_mutex_init(m, &attr) == 0;
	(void)pthread_mutexattr_destroy(&attr);
	return ok;
}

/* Budgets without `per` have their meter from the start: listed without calls, and found without a look-up. */
static bool own_meters_new(struct engine *e)
{
	for (size_t i = 0; i < e->n_entries; i++) {
		if (e->entries[i].budget->n_per == 0 &&
		    meter_get(e, &e->entries[i], SLICE_NONE, &e->entries[i].own_meter) < 0)
			return false;
	}
	return true;
}

static bool tables_new(struct engine *e, const struct budget_set *set, size_t max_meters)
{
	size_t own = 0, slots = 16;

	e->n_entries = budget_set_len(set);
	e->entries = calloc(e->n_entries > 0 ? e->n_entries : 1, sizeof(*e->entries));
	if (!e->entries)
		return false;
	for (size_t i = 0; i < e->n_entries; i++) {
		entry_init(&e->entries[i], budget_set_at(set, i));
		own += e->entries[i].budget->n_per == 0;
	}
	e->max_meters = max_meters > METERS_MAX ? METERS_MAX : max_meters > own ? max_meters : own + 1;
	while (slots < 2 * e->max_meters)
		slots *= 2;
	e->table_mask = slots - 1;
	e->meters = calloc(e->max_meters, sizeof(*e->meters));
	e->table = calloc(slots, sizeof(*e->table));
	return e->meters && e->table && own_meters_new(e);
}

struct engine *engine_new(const struct budget_set *set, const struct engine_config *cfg)
{
	struct engine *e = aligned_alloc(64, (sizeof(*e) + 63) / 64 * 64);

	if (!e)
		return NULL;
	memset(e, 0, sizeof(*e));
	if (!mutex_init(&e->lock, PTHREAD_MUTEX_ADAPTIVE_NP)) {
		free(e);
		return NULL;
	}
	if (!mutex_init(&e->create, PTHREAD_MUTEX_NORMAL)) {
		(void)pthread_mutex_destroy(&e->lock);
		free(e);
		return NULL;
	}
	e->magic = ENGINE_MAGIC;
	e->last_now_s = INT64_MIN;
	e->deny_without_budget = cfg->deny_without_budget;
	if (!tables_new(e, set, cfg->max_meters)) {
		engine_free(e);
		return NULL;
	}
	return e;
}

void engine_free(struct engine *e)
{
	if (!e)
		return;
	CHECK(e->magic == ENGINE_MAGIC);
	e->magic = 0;
	for (uint32_t i = 0; i < e->n_meters; i++)
		free(e->meters[i]);
	free(e->table);
	free(e->meters);
	free(e->entries);
	(void)pthread_mutex_destroy(&e->create);
	(void)pthread_mutex_destroy(&e->lock);
	free(e);
}

void engine_meter_name(const struct engine *e, uint32_t meter, const struct budget **ret_budget, const char **ret_scope)
{
	const struct meter *m;

	CHECK(meter < atomic_load_explicit(&e->n_meters, memory_order_acquire));
	m = atomic_load_explicit(&e->meters[meter], memory_order_relaxed);
	*ret_budget = m->entry->budget;
	*ret_scope = m->scope;
}
