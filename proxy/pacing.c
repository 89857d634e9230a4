#include "proxy/pacing.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/error.h"
#include "policy/rung.h"

#define SLOTS_MIN 64

/* Open addressing; an entry goes only when the table is built anew. */
struct entry {
	uint64_t uid;
	struct pace pace;
	bool used;
};

struct pacing_table {
	pthread_mutex_t lock;
	struct entry *slots;
	size_t n_slots, n; /* n_slots is a power of two */
};

struct pacing_table *pacing_table_new(void)
{
	struct pacing_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->slots = calloc(SLOTS_MIN, sizeof(*t->slots));
	t->n_slots = SLOTS_MIN;
	if (!t->slots || pthread_mutex_init(&t->lock, NULL) != 0) {
		free(t->slots);
		free(t);
		return NULL;
	}
	return t;
}

void pacing_table_free(struct pacing_table *t)
{
	if (!t)
		return;
	pthread_mutex_destroy(&t->lock);
	free(t->slots);
	free(t);
}

size_t pacing_claims_of(const struct decision *d, struct pacing_claim *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n_reached && n < MATCH_MAX; i++) {
		const struct reached *r = &d->reached[i];

		if (r->step->action != STEP_PACE || r->budget->unit != UNIT_USD)
			continue;
		ret[n] = (struct pacing_claim){.uid = r->uid,
					       .rate = rung_rate(r),
					       .limits = {r->step->pace.burst_ns, r->step->pace.max_wait_ns},
					       .cost_nanousd = r->need};
		n += ret[n].rate.per_ns > 0;
	}
	return n;
}

/* The counter's slot, or the free one where it belongs. */
static struct entry *slot_of(struct entry *slots, size_t n_slots, uint64_t uid)
{
	size_t i = (size_t)(uid ^ uid >> 32) & (n_slots - 1);

	while (slots[i].used && slots[i].uid != uid)
		i = (i + 1) & (n_slots - 1);
	return &slots[i];
}

static size_t count_owing(const struct pacing_table *t, int64_t now_ns)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n_slots; i++)
		n += t->slots[i].used && t->slots[i].pace.tat_ns > now_ns;
	return n;
}

/* Into a table at most a quarter full, without the counters that owe nothing. */
static bool build_anew(struct pacing_table *t, int64_t now_ns)
{
	size_t owing = count_owing(t, now_ns), n_slots = SLOTS_MIN;
	struct entry *slots;

	if (owing >= PACING_MAX)
		return false;
	while (n_slots / 4 <= owing)
		n_slots *= 2;
	slots = calloc(n_slots, sizeof(*slots));
	if (!slots)
		return false;
	for (size_t i = 0; i < t->n_slots; i++)
		if (t->slots[i].used && t->slots[i].pace.tat_ns > now_ns)
			*slot_of(slots, n_slots, t->slots[i].uid) = t->slots[i];
	free(t->slots);
	t->slots = slots;
	t->n_slots = n_slots;
	t->n = owing;
	return true;
}

/* NULL: there is no room. */
static struct pace *state_of(struct pacing_table *t, uint64_t uid, int64_t now_ns)
{
	struct entry *e = slot_of(t->slots, t->n_slots, uid);

	if (e->used)
		return &e->pace;
	if (t->n >= t->n_slots / 2) {
		if (!build_anew(t, now_ns))
			return NULL;
		e = slot_of(t->slots, t->n_slots, uid);
	}
	*e = (struct entry){.uid = uid, .used = true};
	t->n++;
	return &e->pace;
}

static void give_back(struct pacing_table *t, const struct pacing_claim *c, int64_t actual_nanousd, int64_t now_ns)
{
	struct entry *e = slot_of(t->slots, t->n_slots, c->uid);

	/* a counter that is not there any more owes nothing */
	if (e->used && actual_nanousd < c->cost_nanousd)
		pace_give_back(&e->pace, &c->rate, &c->limits, c->cost_nanousd - actual_nanousd, now_ns);
}

int pacing_take(struct pacing_table *t, const struct pacing_claim *claims, size_t n, int64_t now_ns,
		int64_t *ret_wait_ns, int *ret_retry_s)
{
	int64_t wait;
	int r = BUR_OK;
	size_t i;

	*ret_wait_ns = 0;
	*ret_retry_s = 0;
	pthread_mutex_lock(&t->lock);
	for (i = 0; i < n && r == BUR_OK; i++) {
		struct pace *p = state_of(t, claims[i].uid, now_ns);

		if (!p)
			continue;
		r = pace_admit(p, &claims[i].rate, &claims[i].limits, claims[i].cost_nanousd, now_ns, &wait,
			       ret_retry_s);
		if (r == BUR_OK && wait > *ret_wait_ns)
			*ret_wait_ns = wait;
	}
	if (r != BUR_OK)
		for (size_t k = 0; k + 1 < i; k++)
			give_back(t, &claims[k], 0, now_ns);
	pthread_mutex_unlock(&t->lock);
	return r;
}

void pacing_give_back(struct pacing_table *t, const struct pacing_claim *claims, size_t n, int64_t actual_nanousd,
		      int64_t now_ns)
{
	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < n; i++)
		give_back(t, &claims[i], actual_nanousd, now_ns);
	pthread_mutex_unlock(&t->lock);
}

size_t pacing_table_len(struct pacing_table *t)
{
	size_t n;

	pthread_mutex_lock(&t->lock);
	n = t->n;
	pthread_mutex_unlock(&t->lock);
	return n;
}
