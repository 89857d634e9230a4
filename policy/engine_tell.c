#include "policy/engine_tell.h"

#include "policy/engine_internal.h"

static struct instance *instance_of(struct meter *m, int64_t win_start)
{
	/* What is told of a rolling window is told in the bucket of now. */
	return m->ring ? (m->now.window == 0 ? NULL : &m->now) : engine_window_instance(m, win_start);
}

static struct engine_event event_of(const struct meter *m, const struct instance *in, size_t step)
{
	const struct budget *b = m->entry->budget;
	bool limit = step == TELL_LIMIT;

	return (struct engine_event){.action = limit ? STEP_BLOCK : b->steps[step].action,
				     .at_ppm = limit ? PPM : b->steps[step].at_ppm,
				     .posted = in->posted,
				     .held = in->held,
				     .limit = m->entry->limit,
				     .credit = in->credit,
				     .uid = m->uid,
				     .win_start = in->win_start,
				     .win_end = engine_window_end(m, in),
				     .step = (uint8_t)step,
				     .budget = b,
				     .scope = m->scope};
}

int engine_tell(struct engine *e, uint64_t uid, int64_t win_start, size_t step, struct engine_event *ret)
{
	struct meter *m = engine_table_by_uid(e, uid);
	struct instance *in;
	uint32_t bit;
	int r = BUR_NOTFOUND;

	if (!m || (step != TELL_LIMIT && step >= m->entry->budget->n_steps))
		return r;
	bit = UINT32_C(1) << step;
	engine_lock(e);
	in = instance_of(m, win_start);
	if (in)
		r = (in->warned_mask & bit) != 0 ? BUR_ALREADY : BUR_OK;
	if (r == BUR_OK) {
		*ret = event_of(m, in, step);
		ret->warned_mask = engine_window_warned(m, in, in->win_start, bit);
	}
	engine_unlock(e);
	return r;
}

size_t engine_tell_due(struct engine *e, size_t from, size_t n, int64_t now_s, struct engine_event dst[EVENTS_MAX],
		       size_t *ret_next)
{
	size_t got = 0, end = atomic_load_explicit(&e->n_meters, memory_order_acquire);
	struct event_list list = {dst, &got};

	end = end < from + n ? end : from + n;
	engine_lock(e);
	now_s = engine_window_now(e, now_s);
	/* Room for all steps of one counter, or they would be looked for twice. */
	while (from < end && got <= EVENTS_MAX - STEPS_MAX) {
		struct meter *m = meter_at(e, (uint32_t)from++);
		struct place p = {.meter = m, .in = &m->now};

		if (m->now.window != 0 && engine_window_roll(e, m, now_s) == BUR_OK)
			engine_decide_alerts(&p, 0, &list);
	}
	engine_unlock(e);
	*ret_next = from;
	return got;
}

static void untell_buckets(struct meter *m, uint32_t mask)
{
	for (size_t i = 0; i < RING_SIZE; i++)
		m->ring->at[i].mask &= ~mask;
}

int engine_untell(struct engine *e, uint64_t uid, int64_t win_start, uint32_t mask)
{
	struct meter *m = engine_table_by_uid(e, uid);
	struct instance *in;

	if (!m)
		return BUR_NOTFOUND;
	engine_lock(e);
	in = instance_of(m, win_start);
	if (in) {
		in->warned_mask &= ~mask;
		if (m->ring)
			untell_buckets(m, mask);
	}
	engine_unlock(e);
	return in ? BUR_OK : BUR_NOTFOUND;
}
