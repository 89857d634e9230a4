#include "policy/engine_internal.h"

#include <string.h>

static void view_fill(struct meter_view *v, const struct meter *m, const struct instance *in, bool closing)
{
	v->budget = m->entry->budget;
	memcpy(v->scope, m->scope, m->scope_n + 1);
	v->uid = m->uid;
	v->win_start = m->ring ? in->win_start - RING_BUCKETS * m->entry->bucket_s : in->win_start;
	v->win_end = engine_window_relief(m, in, 1);
	v->limit = m->entry->limit;
	v->credit = in->credit;
	v->posted = in->posted;
	v->held = in->held;
	v->warned_mask = in->warned_mask;
	v->would_block = in->would_block;
	v->closing = closing;
}

size_t engine_snapshot(struct engine *e, int64_t now_s, struct meter_view *dst, size_t max)
{
	size_t n = 0;
	uint32_t n_meters;

	engine_lock(e);
	now_s = engine_window_now(e, now_s);
	n_meters = atomic_load_explicit(&e->n_meters, memory_order_acquire);
	for (uint32_t i = 0; i < n_meters; i++) {
		struct meter *m = meter_at(e, i);
		bool stuck = engine_window_roll(e, m, now_s) < 0; /* then the last window stays on as the current one */

		if (n < max)
			view_fill(&dst[n], m, &m->now, stuck);
		n++;
		for (const struct past *p = m->past; p; p = p->next, n++) {
			if (n < max)
				view_fill(&dst[n], m, &p->in, true);
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
	const struct entry *b = m->entry;

	int64_t sum;

	CHECK(in->posted >= 0 && in->held >= 0);
	CHECK(amount_add(in->posted, in->held, &sum) == BUR_OK);
	CHECK(in->open > 0 || in->held == 0);
	CHECK(in->win_start <= in->win_end);
	CHECK(!m->ring || m->ring->posted == in->posted);
	CHECK(b->limit > 0 && b->block_limit <= b->limit);
}

struct totals {
	uint64_t held[UNIT_REQUESTS + 1];
	size_t places, past;
};

static void instance_count(const struct meter *m, const struct instance *in, struct totals *t)
{
	instance_check(m, in);
	t->held[m->entry->unit] += (uint64_t)in->held;
	t->places += in->open;
}

void engine_check(struct engine *e)
{
	struct totals t = {.places = 0};
	uint32_t n;

	engine_lock(e);
	n = atomic_load_explicit(&e->n_meters, memory_order_acquire);
	for (uint32_t i = 0; i < n; i++) {
		const struct meter *m = meter_at(e, i);
		size_t n_past = 0;

		instance_count(m, &m->now, &t);
		for (const struct past *p = m->past; p; p = p->next, n_past++) {
			CHECK(p->in.open > 0 && p->in.win_end <= m->now.win_end);
			instance_count(m, &p->in, &t);
		}
		CHECK(n_past == m->n_past);
		t.past += n_past;
	}
	for (const struct past *p = e->spare; p; p = p->next)
		t.past++;
	for (size_t u = 0; u < ARRAY_LEN(t.held); u++)
		CHECK(t.held[u] == e->held[u]);
	CHECK(t.past == e->n_past && t.places == e->open_places && e->n_past >= e->open_places);
	CHECK(e->open_holds > 0 || t.places == 0);
	engine_unlock(e);
}
