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

		for (size_t k = 0; k < m->n_instances; k++) {
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
	const struct entry *b = m->entry;

	CHECK(in->posted >= 0 && in->held >= 0);
	CHECK((wide)in->posted + in->held <= INT64_MAX);
	CHECK(in->open > 0 || in->held == 0);
	CHECK(in->win_start <= in->win_end);
	CHECK(!m->ring || m->ring->posted == in->posted);
	CHECK(b->limit > 0 && b->block_limit <= b->limit);
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

		CHECK(m->current < m->n_instances);
		for (size_t k = 0; k < m->n_instances; k++) {
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
