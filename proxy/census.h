/* census.h - how many connections are open, in all and from each address, over all workers.
 *
 * One lock, taken once when a connection comes and once when it goes. Private to the proxy room; any thread. */
#ifndef PROXY_CENSUS_H
#define PROXY_CENSUS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "net/addr.h"

struct map;

struct census {
	pthread_mutex_t lock;
	struct map *per_address; /* ip bytes -> count */
	size_t n, max, max_per_address;
};

int census_init(struct census *, size_t max, size_t max_per_address) NONNULL(1) MUST_USE; /* BUR_OK, BUR_NOMEM */
void census_done(struct census *) NONNULL(1); /* fine after a failed init of zeroed memory */
/* Counts a connection; false: over a limit, nothing was counted. */
bool census_enter(struct census *, const struct addr *) NONNULL(1, 2) MUST_USE;
void census_leave(struct census *, const struct addr *) NONNULL(1, 2);

#endif
