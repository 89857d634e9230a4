#include "proxy/census.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "base/map.h"

struct address_count {
	size_t n;
};

static struct slice address_key(const struct addr *a)
{
	if (a->sa.sa_family == AF_INET6)
		return slice_mem(&a->in6.sin6_addr, sizeof(a->in6.sin6_addr));
	return slice_mem(&a->in.sin_addr, sizeof(a->in.sin_addr));
}

int census_init(struct census *c, size_t max, size_t max_per_address)
{
	*c = (struct census){.max = max, .max_per_address = max_per_address};
	(void)pthread_mutex_init(&c->lock, NULL);
	c->per_address = map_new(max + 1);
	return c->per_address ? BUR_OK : BUR_NOMEM;
}

void census_done(struct census *c)
{
	map_free(c->per_address, free);
	c->per_address = NULL;
	(void)pthread_mutex_destroy(&c->lock);
}

/* A new address, or NULL when out of memory. */
static struct address_count *add_address(struct census *c, const struct addr *a)
{
	struct address_count *k = calloc(1, sizeof(*k));

	if (k && map_put(c->per_address, address_key(a), k) == BUR_OK)
		return k;
	free(k);
	return NULL;
}

bool census_enter(struct census *c, const struct addr *a)
{
	struct address_count *k = NULL;
	bool admitted = false;

	CHECK(pthread_mutex_lock(&c->lock) == 0);
	if (c->n < c->max) {
		k = map_get(c->per_address, address_key(a));
		if (!k)
			k = add_address(c, a);
	}
	if (k && k->n < c->max_per_address) {
		k->n++;
		c->n++;
		admitted = true;
	}
	CHECK(pthread_mutex_unlock(&c->lock) == 0);
	return admitted;
}

void census_leave(struct census *c, const struct addr *a)
{
	struct address_count *k;

	CHECK(pthread_mutex_lock(&c->lock) == 0);
	k = map_get(c->per_address, address_key(a));
	CHECK(k && k->n > 0 && c->n > 0);
	c->n--;
	if (--k->n == 0)
		free(map_remove(c->per_address, address_key(a)));
	CHECK(pthread_mutex_unlock(&c->lock) == 0);
}
