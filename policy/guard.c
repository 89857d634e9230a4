#include "policy/guard_internal.h"

#include <stdlib.h>

const char *guard_kind_name(enum guard_kind kind)
{
	static const char *const names[] = {"upstream", "cost", "loop"};

	return (size_t)kind < ARRAY_LEN(names) ? names[kind] : "unknown";
}

struct guard *guard_new(const struct guard_config *config)
{
	struct guard *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->config = *config;
	if (g->config.max_cost > GUARD_COST_MAX)
		g->config.max_cost = GUARD_COST_MAX;
	CHECK(pthread_mutex_init(&g->cost_lock, NULL) == 0);
	CHECK(pthread_mutex_init(&g->loop_lock, NULL) == 0);
	CHECK(pthread_mutex_init(&g->event_lock, NULL) == 0);
	g->upstreams = aligned_alloc(_Alignof(struct upstream_set), UPSTREAM_SETS * sizeof(*g->upstreams));
	g->cost = calloc(g->config.max_cost + 1, sizeof(*g->cost));
	g->cost_by_uid = map_new(g->config.max_cost + 1);
	g->loops = calloc(1, sizeof(*g->loops));
	g->events = calloc(GUARD_EVENTS_MAX, sizeof(*g->events));
	if (g->upstreams) {
		memset(g->upstreams, 0, UPSTREAM_SETS * sizeof(*g->upstreams));
		for (size_t i = 0; i < UPSTREAM_SETS; i++)
			CHECK(pthread_mutex_init(&g->upstreams[i].lock, NULL) == 0);
	}
	if (!g->upstreams || !g->cost || !g->cost_by_uid || !g->loops || !g->events) {
		guard_free(g);
		return NULL;
	}
	return g;
}

void guard_free(struct guard *g)
{
	if (!g)
		return;
	for (size_t i = 0; g->upstreams && i < UPSTREAM_SETS; i++)
		(void)pthread_mutex_destroy(&g->upstreams[i].lock);
	guard_cost_done(g);
	(void)pthread_mutex_destroy(&g->cost_lock);
	(void)pthread_mutex_destroy(&g->loop_lock);
	(void)pthread_mutex_destroy(&g->event_lock);
	free(g->upstreams);
	free(g->loops);
	free(g->events);
	free(g);
}

/* --- what happened ------------------------------------------------------------------------------------------------ */

void guard_tell(struct guard *g, const struct guard_event *e)
{
	bool first;

	guard_lock(&g->event_lock);
	first = g->n_events == 0;
	if (g->n_events < GUARD_EVENTS_MAX)
		g->events[(g->first_event + g->n_events++) % GUARD_EVENTS_MAX] = *e;
	else
		g->lost = true;
	guard_unlock(&g->event_lock);
	if (first && g->config.wake)
		g->config.wake(g->config.ctx);
}

size_t guard_take_events(struct guard *g, struct guard_event *dst, size_t max, bool *ret_lost)
{
	size_t n;

	guard_lock(&g->event_lock);
	n = g->n_events < max ? g->n_events : max;
	for (size_t i = 0; i < n; i++)
		dst[i] = g->events[(g->first_event + i) % GUARD_EVENTS_MAX];
	g->first_event = (g->first_event + n) % GUARD_EVENTS_MAX;
	g->n_events -= n;
	*ret_lost = g->lost;
	g->lost = false;
	guard_unlock(&g->event_lock);
	return n;
}

void guard_set_hand(struct guard_event *e, const struct guard_hand *hand)
{
	if (!hand)
		return;
	(void)slice_to_cstr(slice_of(hand->reason), e->reason, sizeof(e->reason));
	(void)slice_to_cstr(slice_of(hand->actor), e->actor, sizeof(e->actor));
}
