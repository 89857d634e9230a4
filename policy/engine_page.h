/* engine_page.h - the engine's counters piece by piece, for those who look at all of them beside running calls:
 * engine_snapshot holds the lock for as long as there are counters. */
#ifndef POLICY_ENGINE_PAGE_H
#define POLICY_ENGINE_PAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct engine;

/* The uids of the counters from the from-th on, in the order in which they were made (those of budgets without `per`
 * first); returns how many dst got, 0: there are no more. Counters stay where they are; new ones come at the end.
 * No lock; any thread. See engine_meter.h for what they are. */
size_t engine_uids(struct engine *, size_t from, uint64_t *dst, size_t max) NONNULL(1, 3);

#endif
