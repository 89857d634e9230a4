/* guard_loop.c - programs that have lost their way: one table under one lock, and who was caught. */
#include "policy/guard_internal.h"

/* The newest in the place of the oldest; one entry for each identity. */
static void remember(struct guard *g, struct slice name, const struct runaway_event *e)
{
	struct guard_loop_view *v = NULL;

	for (size_t i = 0; i < GUARD_LOOPS_MAX && !v; i++)
		if (g->caught[i].id == e->id)
			v = &g->caught[i];
	if (!v)
		v = &g->caught[g->caught_next++ % GUARD_LOOPS_MAX];
	*v = (struct guard_loop_view){.id = e->id,
				      .cause = e->cause,
				      .value = e->value,
				      .threshold = e->threshold,
				      .nanousd = e->nanousd,
				      .until_ns = e->until_ns};
	(void)slice_to_cstr(name, v->name, sizeof(v->name));
}

static void tell(struct guard *g, struct slice name, const struct runaway_event *loop)
{
	struct guard_event e = {.kind = GUARD_LOOP, .uid = loop->id, .loop = *loop};

	if (loop->cause == RUNAWAY_NONE)
		return;
	remember(g, name, loop);
	(void)slice_to_cstr(name, e.name, sizeof(e.name));
	guard_tell(g, &e);
}

int guard_loop_start(struct guard *g, const struct runaway_call *call, struct slice name, int64_t now_ns,
		     struct runaway_ticket *ret, int64_t *ret_until_ns)
{
	struct runaway_event e;
	int r;

	guard_lock(&g->loop_lock);
	r = runaway_start(g->loops, &g->config.loops, call, now_ns, ret, ret_until_ns, &e);
	tell(g, name, &e);
	guard_unlock(&g->loop_lock);
	return r;
}

void guard_loop_end(struct guard *g, const struct runaway_ticket *t, struct slice name, const struct runaway_outcome *o,
		    int64_t now_ns)
{
	struct runaway_event e;

	guard_lock(&g->loop_lock);
	runaway_end(g->loops, &g->config.loops, t, o, now_ns, &e);
	tell(g, name, &e);
	guard_unlock(&g->loop_lock);
}

int guard_loop_release(struct guard *g, uint64_t id, int64_t now_ns)
{
	int r;

	guard_lock(&g->loop_lock);
	r = runaway_release(g->loops, id, now_ns);
	guard_unlock(&g->loop_lock);
	return r;
}

int guard_loop_restore(struct guard *g, const struct guard_loop_view *v, int64_t now_ns)
{
	const struct runaway_event e = {.cause = v->cause,
					.id = v->id,
					.value = v->value,
					.threshold = v->threshold,
					.nanousd = v->nanousd,
					.until_ns = v->until_ns};
	int r;

	guard_lock(&g->loop_lock);
	r = runaway_quarantine(g->loops, v->id, now_ns, v->until_ns);
	if (r == BUR_OK)
		remember(g, slice_of(v->name), &e);
	guard_unlock(&g->loop_lock);
	return r;
}

size_t guard_loop_list(struct guard *g, int64_t now_ns, struct guard_loop_view *dst, size_t max)
{
	size_t n = 0;

	guard_lock(&g->loop_lock);
	for (size_t i = 0; i < GUARD_LOOPS_MAX && n < max; i++) {
		int64_t until_ns = runaway_until(g->loops, g->caught[i].id, now_ns);

		if (until_ns == 0)
			continue;
		dst[n] = g->caught[i];
		dst[n++].until_ns = until_ns;
	}
	guard_unlock(&g->loop_lock);
	return n;
}
