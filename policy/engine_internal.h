/* engine_internal.h - what the files of the engine share; nobody else includes it (unit tests of the room may).
 *
 * engine.c making and freeing | engine_table.c finding counters, matching | engine_window.c which window is open |
 * engine_decide.c may it be taken, and what is told | engine_ladder.c the rungs: another model, fewer tokens, waiting |
 * engine_hold.c the life of a hold | engine_credit.c credits that
 * expire or are carried over | engine_change.c what changes counters beside calls | engine_view.c looking in. */
#ifndef POLICY_ENGINE_INTERNAL_H
#define POLICY_ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/check.h"
#include "base/error.h"
#include "policy/budget_window.h"
#include "policy/clock_guard.h"
#include "policy/engine.h"
#include "policy/window_ring.h"

#define ENGINE_MAGIC 0xe9613e01u
#define PAST_MAX 7     /* past windows of one meter that still have holds */
#define CREDITS_MAX 32 /* of one meter, that expire or are carried over */
#define NO_STEP STEPS_MAX
#define PPM 1000000

typedef __int128 wide; /* sums of several int64 */

/* What one meter spent and holds in one window: the current one, or a past one that still has holds.
 * Invariant: posted, held >= 0; posted + held <= INT64_MAX; held = sum of `worst` over the open holds in it.
 * A rolling meter has one instance for ever: win_start and win_end are its youngest bucket, posted is what the ring
 * counts, held are all its holds of any age (R7.6). */
struct instance {
	int64_t win_start, win_end, posted, held, credit;
	uint32_t warned_mask;
	uint32_t would_block; /* calls that a shadow budget would have refused */
	uint32_t open;        /* holds taken here and not resolved; a hold of zero counts too */
	uint32_t window;      /* its number, see struct entry; 0: the counter was not used yet */
};

/* A past window, on its meter's list or spare. */
struct past {
	struct instance in;
	struct past *next;
};
/* They are allocated by the block, and freed with the engine. */
struct past_block {
	struct past_block *next;
	struct past at[];
};

/* A budget with what is the same for all its meters. */
struct entry {
	const struct budget *budget;
	enum budget_mode mode;
	enum amount_unit unit;
	int64_t limit; /* in force; under the lock, like the next five */
	/* While less than this is used (and no credit is negative) nothing is told, reached, refused or over. */
	uint64_t first_event;
	uint64_t first_alert; /* nothing is told while less than this is used */
	uint64_t first_rung;  /* no step throttles, paces or degrades while less than this is used */
	int64_t use_limit;    /* how much may be used: the next one, or of a soft budget the limit */
	int64_t block_limit;  /* where a hard budget blocks: the first block step's share, never above the limit */
	int64_t bucket_s;     /* rolling: length of a bucket, else 0 */
	size_t block_step;    /* NO_STEP: none */
	uint32_t own_meter;   /* without `per`: its only meter */
	int64_t win_start, win_end; /* the current window or bucket; under the lock */
	uint32_t window;            /* its number; 0: none was looked up yet */
};

/* Credit that ends at an instant, or goes on into the next window. */
struct credit {
	struct credit *next; /* expires later */
	int64_t left, expires_s;
	bool carry_over;
};

/* One counter. All but the windows, credits and the ring is fixed before the meter is published. */
struct meter {
	struct entry *entry;
	struct instance now;      /* under the lock, like all below but the scope */
	struct window_ring *ring; /* rolling; else NULL; behind the scope */
	struct past *past;
	struct credit *credits; /* part of the current instance's `credit` */
	uint64_t uid;
	uint8_t n_past, n_credits;
	uint16_t scope_n;
	char scope[]; /* with NUL */
};

struct engine {
	unsigned magic;
	bool deny_without_budget, believe_clock;
	size_t n_entries, max_meters, table_mask;
	struct entry *entries;
	/* Written under `create`, read by anybody; meters are never freed while the engine lives. */
	_Atomic(struct meter *) *meters; /* by index */
	_Atomic(uint32_t) *table;        /* open addressing by uid: index + 1, 0 = empty */
	_Atomic(uint32_t) n_meters;
	pthread_mutex_t create;
	/* Taken with no other. */
	CACHE_ALIGNED pthread_mutex_t clock_lock;
	struct clock_guard clock;
	enum clock_event clock_event; /* not told yet */
	/* R4.1: one lock for all below and for every instance. */
	CACHE_ALIGNED pthread_mutex_t lock;
	int64_t last_now_s;
	uint64_t next_id;
	struct credit *dead_credits;    /* to be freed outside the lock */
	size_t open_holds, open_places; /* places: (hold, meter) pairs */
	/* Past windows for as many places as there are, so that a window can always end without malloc. */
	struct past *spare;
	struct past_block *past_blocks;
	size_t n_past;
	uint64_t held[UNIT_REQUESTS + 1]; /* sum of `worst` over all places, modulo 2^64: only compared */
};

/* Places where a test may let other threads go first; nothing in any other build. From LOCKED to UNLOCK the engine's
 * lock is held, at PUBLISH and TABLE the other one. */
enum perturb {
	PERTURB_FIND,    /* a counter is looked for */
	PERTURB_CREATE,  /* it is not there */
	PERTURB_PUBLISH, /* it is made, its index is not */
	PERTURB_TABLE,   /* its index is, the table is not */
	PERTURB_LOCK,
	PERTURB_LOCKED,
	PERTURB_ROLL,   /* a window is over */
	PERTURB_TAKE,   /* decided, not taken */
	PERTURB_SETTLE, /* no longer held, not posted */
	PERTURB_UNLOCK,
	PERTURB_GROW, /* there are too few past windows */
	PERTURB_SENT,
	PERTURB_COUNT
};
#ifdef ENGINE_PERTURB
void engine_perturb(enum perturb);
#else
static inline void engine_perturb(enum perturb at)
{
	(void)at;
}
#endif

static inline void engine_lock(struct engine *e)
{
	CHECK(e->magic == ENGINE_MAGIC);
	engine_perturb(PERTURB_LOCK);
	CHECK(pthread_mutex_lock(&e->lock) == 0);
	engine_perturb(PERTURB_LOCKED);
}

static inline void engine_unlock(struct engine *e)
{
	engine_perturb(PERTURB_UNLOCK);
	CHECK(pthread_mutex_unlock(&e->lock) == 0);
}

static inline struct meter *meter_at(struct engine *e, uint32_t index)
{
	CHECK(index < atomic_load_explicit(&e->n_meters, memory_order_acquire));
	return atomic_load_explicit(&e->meters[index], memory_order_relaxed);
}

/* Amounts by their unit. */
struct by_unit {
	int64_t of[UNIT_REQUESTS + 1];
};
static inline struct by_unit by_unit(const struct amounts *a)
{
	return (struct by_unit){{[UNIT_USD] = a->nanousd, [UNIT_TOKENS] = a->tokens, [UNIT_REQUESTS] = a->requests}};
}

/* --- engine.c: under the lock ------------------------------------------------------------------------------------- */

void engine_limit_set(struct entry *, int64_t limit);

/* --- engine_table.c: without the lock ----------------------------------------------------------------------------- */

/* The counter's index; it is made when it is new. BUR_FULL: no room or memory, or another one has its identity. */
int engine_table_get(struct engine *, struct entry *, struct slice scope, uint32_t *ret) MUST_USE;
/* BUR_NOTFOUND: there is none yet. BUR_FULL: another counter has this identity. */
int engine_table_find(struct engine *, const struct entry *, struct slice scope, uint64_t uid, uint32_t *ret) MUST_USE;
struct meter *engine_table_by_uid(struct engine *, uint64_t uid);            /* NULL: there is none */
struct entry *engine_table_entry(struct engine *, struct slice budget_name); /* NULL: there is none */

/* --- engine_window.c: under the lock ------------------------------------------------------------------------------ */

/* R7.5: the engine's time never goes back. */
int64_t engine_window_now(struct engine *, int64_t now_s);
/* There are past windows for `places` more places. Locks and unlocks. BUR_NOMEM. */
int engine_window_grow(struct engine *, size_t places) MUST_USE;
/* Makes the window that contains now the current one. BUR_FULL: PAST_MAX past ones still have holds. */
int engine_window_roll_slowly(struct engine *, struct meter *, int64_t now_s) MUST_USE;
MUST_USE static inline int engine_window_roll(struct engine *e, struct meter *m, int64_t now_s)
{
	const struct entry *b = m->entry;

	/* The budget's window is never behind its counters'. */
	if (LIKELY(now_s < b->win_end && m->now.window == b->window && !m->credits))
		return BUR_OK;
	return engine_window_roll_slowly(e, m, now_s);
}
/* The instance that began then, or has the bucket that began then; only when it is current or still has holds. */
struct instance *engine_window_instance(struct meter *, int64_t win_start);
/* A hold has left this instance: a past one without holds is forgotten. */
void engine_window_forget(struct engine *, struct meter *, struct instance *);
static inline void engine_window_drop(struct engine *e, struct meter *m, struct instance *in)
{
	if (UNLIKELY(in != &m->now && in->open == 0))
		engine_window_forget(e, m, in);
}
/* Does what is settled for the window or bucket of that start still count? Buckets leave, windows do not. */
bool engine_window_counts(struct meter *, int64_t win_start);
/* delta is spent (or taken back) in the window of `in` that began at win_start; a bucket that has left takes nothing.
 * BUR_OVERFLOW: posted would be negative, or with what is held too large; nothing was changed. */
int engine_window_post(struct meter *, struct instance *in, int64_t win_start, int64_t delta) MUST_USE;
/* More (or less) credit until the window ends or the bucket leaves. BUR_OVERFLOW: nothing was changed. */
int engine_window_credit(struct meter *, struct instance *in, int64_t win_start, int64_t delta) MUST_USE;
/* The steps were told in the window or bucket that began then. Returns its whole mask, as the store keeps it. */
uint32_t engine_window_warned(struct meter *, struct instance *in, int64_t win_start, uint32_t steps);
/* One more call that would have been refused, now. */
void engine_window_would_block(struct meter *, struct instance *in);
/* When the store may forget what began then. */
int64_t engine_window_end(const struct meter *, const struct instance *);
/* When, without further spend, at least `amount` of what is posted counts no more. */
int64_t engine_window_relief(const struct meter *, const struct instance *, int64_t amount);

/* --- engine_credit.c: under the lock, but the last ---------------------------------------------------------------- */

/* What was not used of the credits that end by now is gone. */
void engine_credit_expire(struct engine *, struct meter *, int64_t now_s);
/* The window of `old` is over: returns what the next one begins with. */
int64_t engine_credit_carry(struct engine *, struct meter *, struct instance *old);
/* There is room (CREDITS_MAX); the instance's sum is the caller's. */
void engine_credit_put(struct meter *, struct credit *);
void engine_credit_free(struct credit *list);

/* --- engine_decide.c: under the lock ------------------------------------------------------------------------------ */

/* One place of a hold: a meter and one of its instances. */
struct place {
	struct meter *meter;
	struct instance *in;
	int64_t need;     /* asked for now */
	int64_t own;      /* already held here by the same call */
	uint32_t index;   /* of the meter; not for an extension */
	uint16_t degrade; /* its steps that have another model, by bit */
	bool refuses;     /* hard or shadow, and it does not fit */
	bool would_block; /* the call was, or is now, counted as one that this shadow budget would have refused */
	const uint8_t *degrade_entry;
};
struct event_list {
	struct engine_event *at;
	size_t *n;
};

/* What is decided: a new call, one whose refusal is not the last word, one that only looks, or a hold that grows. */
enum decide { DECIDE_RESERVE, DECIDE_TRY, DECIDE_PREVIEW, DECIDE_EXTEND };

void engine_decide_init(struct decision *);
/* All needs are taken (BUR_OK), or none (BUR_DENIED, BUR_OVERFLOW); a preview takes none. `refuses` is set here. */
int engine_decide_take(struct engine *, struct place *, size_t n, enum decide, int64_t now_s,
		       struct decision *) MUST_USE;
/* posted + held + need. Fits, as posted + held fit an int64. */
static inline uint64_t place_used(const struct place *p, int64_t need)
{
	return (uint64_t)p->in->posted + (uint64_t)p->in->held + (uint64_t)need;
}

/* Has what is used reached this step? */
static inline bool step_reached(const struct place *p, const struct budget_step *s, int64_t need)
{
	return (wide)place_used(p, need) * PPM >= (wide)s->at_ppm * p->meter->entry->limit;
}

static inline int64_t clamp64(wide v)
{
	return v > INT64_MAX ? INT64_MAX : v < INT64_MIN ? INT64_MIN : (int64_t)v;
}

/* What may be used in this window: hard budgets end at their block step, and shadow ones as if they were hard. */
static inline wide place_limit(const struct place *p)
{
	return (wide)p->meter->entry->use_limit + p->in->credit;
}

/* Never clamped: negative after an overrun or when more was spent than the limit allows today. */
static inline wide place_avail(const struct place *p)
{
	return place_limit(p) - p->in->posted - p->in->held;
}

static inline bool place_blocks(const struct place *p)
{
	return p->refuses && p->meter->entry->mode == MODE_HARD;
}

void engine_decide_tell_alerts(const struct place *, int64_t need, struct event_list *to);
/* Tells each alert step at or below u = (posted + held + need) / limit that was not told in this window. */
static inline void engine_decide_alerts(const struct place *p, int64_t need, struct event_list *to)
{
	if (UNLIKELY(place_used(p, need) >= p->meter->entry->first_alert))
		engine_decide_tell_alerts(p, need, to);
}

/* --- engine_ladder.c: under the lock; nothing is changed but the decision ------------------------------------------
 */

/* Another model is to be called: *d says which. */
bool engine_ladder_degrade(const struct place *, size_t n, struct decision *d);
/* Some budget blocks: what would fit? */
void engine_ladder_room(const struct place *, size_t n, struct decision *d);
/* May the call have fewer output tokens instead of being refused? */
void engine_ladder_clamp(const struct place *, size_t n, struct decision *d);
/* On which rungs the call, which is admitted, has to wait. */
void engine_ladder_reached(const struct place *, size_t n, int64_t now_s, struct decision *d);

#endif
