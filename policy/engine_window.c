#include "policy/engine_internal.h"

int64_t engine_window_now(struct engine *e, int64_t now_s)
{
	if (now_s > e->last_now_s)
		e->last_now_s = now_s;
	return e->last_now_s;
}

/* The window is computed once per budget and window, not per meter: computing it may be slow. */
static void roll_entry(struct entry *b, int64_t now_s)
{
	if (now_s >= b->win_end || b->win_start == b->win_end)
		window_at(&b->budget->window, now_s, &b->win_start, &b->win_end);
}

int engine_window_roll(struct meter *m, int64_t now_s)
{
	struct entry *entry = m->entry;
	size_t i = m->current;

	roll_entry(entry, now_s);
	if (meter_current(m)->win_start == entry->win_start && meter_current(m)->win_end == entry->win_end)
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

struct instance *engine_window_instance(struct meter *m, int64_t win_start)
{
	for (size_t i = 0; i < INSTANCES_MAX; i++) {
		struct instance *in = &m->instance[i];

		/* A window of no length: the counter was not used yet. */
		if ((i == m->current || in->open > 0) && in->win_start == win_start && in->win_end > in->win_start)
			return in;
	}
	return NULL;
}
