/* overlap.h - how many budgets can one call match at once?
 *
 * Two budgets exclude each other when they ask for values of the same fact that no call can have together. Budgets that
 * are compatible in pairs are compatible all together (equal values and prefixes of one fact form a chain), so the
 * question is a clique in the graph of compatible pairs; it is answered exactly, by branch and bound, within a fixed
 * amount of work. Pure, at load time only. */
#ifndef POLICY_OVERLAP_H
#define POLICY_OVERLAP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "policy/budget.h"

/* May one call match both? */
bool overlap_pair(const struct budget *, const struct budget *) NONNULL(1, 2);
/* BUR_OK: no call can match more than `max`. BUR_TOOBIG: some call can, or the configuration is too entangled to tell.
 * BUR_NOMEM. */
int overlap_check(const struct budget *list, size_t n, size_t max) MUST_USE;

#endif
