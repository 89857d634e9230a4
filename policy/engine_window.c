#include "policy/engine_internal.h"

#include <stdlib.h>

#define PAST_MIN 64

int64_t engine_window_now(struct engine *e, int64_t now_s)
{
	if (now_s > e->last_now_s)
		e->last_now_s = now_s;
	return e->last_now_s;
}

/* The window is computed once per budget and window, not per meter: computing it may be slow. */
static void roll_entry(struct entry *b, int64_t now_s)
{
	int64_t start = b->win_start;

	if (now_s < b->win_end && b->window != 0)
		return;
	budget_window_at(b->budget, now_s, &b->win_start, &b->win_end);
	if (b->win_start != start || b->window == 0)
		b->window++; /* the last one of all time never ends */
}

/* Buckets that have left take what was spent in them along. */
static void ring_roll(struct meter *m)
{
	const struct entry *entry = m->entry;
	struct instance *in = &m->now;
	int64_t head = entry->win_start / entry->bucket_s, credit = m->ring->credit;

	if (m->now.window == 0)
		window_ring_init(m->ring, head);
	else
		window_ring_advance(m->ring, head);
	in->credit += m->ring->credit - credit;
	in->win_start = entry->win_start;
	in->win_end = entry->win_end;
	in->window = entry->window;
	in->posted = m->ring->posted;
	in->warned_mask = window_ring_mask(m->ring);
	in->would_block = window_ring_would_block(m->ring);
}

int engine_window_grow(struct engine *e, size_t places)
{
	struct past_block *block;
	size_t n;

	engine_lock(e);
	n = e->n_past > PAST_MIN ? e->n_past : PAST_MIN;
	n = n > places ? n : places;
	engine_unlock(e);
	engine_perturb(PERTURB_GROW);
	block = calloc(1, sizeof(*block) + n * sizeof(block->at[0]));
	if (!block)
		return BUR_NOMEM;
	engine_lock(e);
	for (size_t i = 0; i < n; i++) {
		block->at[i].next = e->spare;
		e->spare = &block->at[i];
	}
	block->next = e->past_blocks;
	e->past_blocks = block;
	e->n_past += n;
	engine_unlock(e);
	return BUR_OK;
}

/* The window is over; when it still has holds it goes on the list of past ones. */
static int past_put(struct engine *e, struct meter *m)
{
	struct past *p = e->spare;

	if (m->now.open == 0)
		return BUR_OK;
	if (m->n_past == PAST_MAX)
		return BUR_FULL;
	CHECK(p); /* there are as many as places */
	e->spare = p->next;
	p->in = m->now;
	p->next = m->past;
	m->past = p;
	m->n_past++;
	return BUR_OK;
}

void engine_window_forget(struct engine *e, struct meter *m, struct instance *in)
{
	struct past **at = &m->past, *p;

	while (*at && &(*at)->in != in)
		at = &(*at)->next;
	p = *at;
	CHECK(p);
	*at = p->next;
	p->next = e->spare;
	e->spare = p;
	m->n_past--;
}

static struct instance *past_find(struct meter *m, int64_t win_start)
{
	for (struct past *p = m->past; p; p = p->next) {
		if (p->in.win_start == win_start)
			return &p->in;
	}
	return NULL;
}

int engine_window_roll_slowly(struct engine *e, struct meter *m, int64_t now_s)
{
	struct entry *entry = m->entry;
	struct instance *past;
	int64_t credit = 0;
	int r;

	engine_perturb(PERTURB_ROLL);
	roll_entry(entry, now_s);
	if (UNLIKELY(m->credits))
		engine_credit_expire(e, m, now_s);
	if (m->now.window == entry->window)
		return BUR_OK;
	if (m->ring) {
		ring_roll(m);
		return BUR_OK;
	}
	r = past_put(e, m);
	if (r < 0)
		return r;
	past = m->now.open > 0 ? &m->past->in : &m->now;
	if (m->credits)
		credit = engine_credit_carry(e, m, past);
	m->now = (struct instance){
	    .win_start = entry->win_start, .win_end = entry->win_end, .credit = credit, .window = entry->window};
	return BUR_OK;
}

/* Nearly always it is the youngest, which needs no division. -1: before the beginning of time. */
static int64_t number_of(const struct meter *m, int64_t win_start)
{
	if (win_start == m->now.win_start)
		return m->ring->head;
	return win_start < 0 ? -1 : win_start / m->entry->bucket_s;
}

static struct ring_bucket *bucket_of(struct meter *m, int64_t win_start)
{
	return window_ring_bucket(m->ring, number_of(m, win_start));
}

struct instance *engine_window_instance(struct meter *m, int64_t win_start)
{
	struct instance *in = &m->now;

	if (m->now.window == 0)
		return NULL;
	if (m->ring)
		return bucket_of(m, win_start) ? in : NULL;
	return in->win_start == win_start ? in : past_find(m, win_start);
}

bool engine_window_counts(struct meter *m, int64_t win_start)
{
	return !m->ring || bucket_of(m, win_start);
}

int engine_window_post(struct meter *m, struct instance *in, int64_t win_start, int64_t delta)
{
	wide posted = (wide)in->posted + delta;

	if (!engine_window_counts(m, win_start))
		return BUR_OK;
	if (posted < 0 || posted + in->held > INT64_MAX)
		return BUR_OVERFLOW;
	if (m->ring && window_ring_post(m->ring, number_of(m, win_start), delta) < 0)
		return BUR_OVERFLOW;
	in->posted = (int64_t)posted;
	return BUR_OK;
}

int engine_window_credit(struct meter *m, struct instance *in, int64_t win_start, int64_t delta)
{
	int64_t credit;
	int r = amount_add(in->credit, delta, &credit);

	if (r == BUR_OK && m->ring)
		r = window_ring_credit(m->ring, number_of(m, win_start), delta);
	if (r == BUR_OK)
		in->credit = credit;
	return r;
}

uint32_t engine_window_warned(struct meter *m, struct instance *in, int64_t win_start, uint32_t steps)
{
	struct ring_bucket *b = m->ring ? bucket_of(m, win_start) : NULL;

	in->warned_mask |= steps;
	if (!b)
		return in->warned_mask;
	b->mask |= steps;
	return b->mask;
}

void engine_window_would_block(struct meter *m, struct instance *in)
{
	struct ring_bucket *b = m->ring ? bucket_of(m, in->win_start) : NULL;

	if (in->would_block < UINT32_MAX)
		in->would_block++;
	if (b && b->would_block < UINT32_MAX)
		b->would_block++;
}

int64_t engine_window_end(const struct meter *m, const struct instance *in)
{
	return m->ring ? in->win_end + RING_BUCKETS * m->entry->bucket_s : in->win_end;
}

int64_t engine_window_relief(const struct meter *m, const struct instance *in, int64_t amount)
{
	int64_t number;

	if (!m->ring)
		return in->win_end;
	number = window_ring_relief(m->ring, amount);
	return number == INT64_MAX ? engine_window_end(m, in) : number * m->entry->bucket_s;
}
