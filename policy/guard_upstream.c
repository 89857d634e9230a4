/* guard_upstream.c - the breakers of upstreams: a table of sets, each with a lock of its own. */
#include <stdio.h>

#include "policy/guard_internal.h"

static uint64_t hash_of(struct slice provider, struct slice host, uint16_t port)
{
	uint64_t h[3] = {hash_bytes(provider.p, provider.n), hash_bytes(host.p, host.n), port}, all;

	all = hash_bytes(h, sizeof(h));
	return all != 0 ? all : 1;
}

static void name_of(const struct upstream_place *p, char dst[GUARD_NAME_MAX])
{
	(void)snprintf(dst, GUARD_NAME_MAX, "%s@%s:%u", p->provider, p->host, p->port);
}

static void tell(struct guard *g, const struct upstream_place *p, const struct breaker_event *change,
		 const struct guard_hand *hand)
{
	struct guard_event e = {.kind = GUARD_UPSTREAM, .change = *change};

	if (change->cause == BREAKER_NO_CHANGE)
		return;
	name_of(p, e.name);
	e.uid = stable_hash64(e.name, strlen(e.name));
	guard_set_hand(&e, hand);
	guard_tell(g, &e);
}

/* The one that was silent longest makes room, unless it keeps calls away. NULL: none. */
static struct upstream_place *place_for(struct upstream_set *s, uint64_t hash, struct slice provider, struct slice host,
					uint16_t port)
{
	struct upstream_place *p = NULL;

	for (size_t i = 0; i < UPSTREAM_WAYS; i++)
		if (s->way[i].hash == hash)
			return &s->way[i];
	for (size_t i = 0; i < UPSTREAM_WAYS; i++) {
		struct upstream_place *w = &s->way[i];

		if (w->hash != 0 && w->breaker.state != BREAKER_CLOSED)
			continue;
		if (!p || w->hash == 0 || (p->hash != 0 && w->used_ns < p->used_ns))
			p = w;
	}
	if (!p)
		return NULL;
	p->hash = hash;
	p->life++;
	p->port = port;
	(void)slice_to_cstr(provider, p->provider, sizeof(p->provider));
	(void)slice_to_cstr(host, p->host, sizeof(p->host));
	breaker_upstream_init(&p->breaker);
	return p;
}

int guard_upstream_admit(struct guard *g, struct slice provider, struct slice host, uint16_t port, int64_t now_ns,
			 struct guard_upstream_ticket *ret, int *ret_retry_s)
{
	uint64_t hash = hash_of(provider, host, port);
	size_t set = hash % UPSTREAM_SETS;
	struct upstream_set *s = &g->upstreams[set];
	struct breaker_event change;
	struct upstream_place *p;
	int r = BUR_OK;

	*ret = (struct guard_upstream_ticket){0};
	guard_lock(&s->lock);
	p = place_for(s, hash, provider, host, port);
	if (p) {
		p->used_ns = now_ns;
		r = breaker_upstream_admit(&p->breaker, now_ns, &ret->ticket, ret_retry_s, &change);
		ret->on = r == BUR_OK;
		ret->place = (uint32_t)(set * UPSTREAM_WAYS + (size_t)(p - s->way));
		ret->life = p->life;
		tell(g, p, &change, NULL);
	}
	guard_unlock(&s->lock);
	return r;
}

void guard_upstream_report(struct guard *g, const struct guard_upstream_ticket *t, enum breaker_outcome outcome,
			   int64_t retry_after_ns, uint64_t jitter, int64_t now_ns)
{
	struct upstream_set *s = &g->upstreams[t->place / UPSTREAM_WAYS];
	struct upstream_place *p = &s->way[t->place % UPSTREAM_WAYS];
	struct breaker_event change;

	if (!t->on)
		return;
	guard_lock(&s->lock);
	if (p->life == t->life) {
		breaker_upstream_report(&p->breaker, t->ticket, outcome, retry_after_ns, jitter, now_ns, &change);
		tell(g, p, &change, NULL);
	}
	guard_unlock(&s->lock);
}

static void fill_view(const struct upstream_place *p, int64_t now_ns, struct guard_upstream_view *v)
{
	*v = (struct guard_upstream_view){.state = p->breaker.state,
					  .counts = breaker_upstream_counts(&p->breaker, now_ns),
					  .streak = p->breaker.streak,
					  .opens = p->breaker.opens,
					  .latched = p->breaker.latched,
					  .opened_ns = p->breaker.opened_ns,
					  .until_ns = p->breaker.until_ns};
	name_of(p, v->name);
}

size_t guard_upstream_list(struct guard *g, int64_t now_ns, struct guard_upstream_view *dst, size_t max)
{
	struct breaker_event change;
	size_t n = 0;

	for (size_t i = 0; i < UPSTREAM_SETS; i++) {
		struct upstream_set *s = &g->upstreams[i];

		guard_lock(&s->lock);
		for (size_t k = 0; k < UPSTREAM_WAYS && n < max; k++) {
			if (s->way[k].hash == 0)
				continue;
			breaker_upstream_tick(&s->way[k].breaker, now_ns, &change);
			tell(g, &s->way[k], &change, NULL);
			fill_view(&s->way[k], now_ns, &dst[n++]);
		}
		guard_unlock(&s->lock);
	}
	return n;
}

int guard_upstream_force(struct guard *g, struct slice name, enum breaker_state to, const struct guard_hand *hand,
			 int64_t now_ns)
{
	struct breaker_event change;
	char text[GUARD_NAME_MAX];
	int r = BUR_NOTFOUND;

	for (size_t i = 0; i < UPSTREAM_SETS && r == BUR_NOTFOUND; i++) {
		struct upstream_set *s = &g->upstreams[i];

		guard_lock(&s->lock);
		for (size_t k = 0; k < UPSTREAM_WAYS && r == BUR_NOTFOUND; k++) {
			struct upstream_place *p = &s->way[k];

			if (p->hash == 0)
				continue;
			name_of(p, text);
			if (!slice_eq(slice_of(text), name))
				continue;
			breaker_upstream_force(&p->breaker, to, now_ns, &change);
			tell(g, p, &change, hand);
			r = BUR_OK;
		}
		guard_unlock(&s->lock);
	}
	return r;
}
