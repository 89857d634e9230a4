/* pacing.h - how fast money flows, by budget counter: the state of every paced counter (pace.h), shared by all workers.
 *
 * One mutex, taken last, nothing slow inside. Bounded: a counter that owes nothing needs no entry, and beyond
 * PACING_MAX counters that do, further ones are not paced (their limits hold all the same). Any thread. Times:
 * monotonic ns. */
#ifndef PROXY_PACING_H
#define PROXY_PACING_H

#include <stddef.h>

#include "base/attr.h"
#include "policy/engine.h"
#include "policy/pace.h"

#define PACING_MAX 65536

struct pacing_table;

struct pacing_table *pacing_table_new(void) MUST_USE; /* NULL: out of memory */
void pacing_table_free(struct pacing_table *);

/* What one call takes of one counter. */
struct pacing_claim {
	uint64_t uid;
	struct pace_rate rate;
	struct pace_limits limits;
	int64_t cost_nanousd;
};
/* What an admitted call takes where it stands on a pace step of a budget in USD; how many those are. `ret` has room for
 * n_reached claims, and need not for more than MATCH_MAX. */
size_t pacing_claims_of(const struct decision *, struct pacing_claim *ret) NONNULL(1, 2) MUST_USE;
/* All or nothing. BUR_OK: start after *ret_wait_ns, the longest of them. BUR_DENIED: try again after *ret_retry_s. */
int pacing_take(struct pacing_table *, const struct pacing_claim *, size_t n, int64_t now_ns, int64_t *ret_wait_ns,
		int *ret_retry_s) NONNULL(1, 5, 6) MUST_USE;
/* Once for what was taken: it cost `actual` (0: it never left). */
void pacing_give_back(struct pacing_table *, const struct pacing_claim *, size_t n, int64_t actual_nanousd,
		      int64_t now_ns) NONNULL(1);
size_t pacing_table_len(struct pacing_table *) NONNULL(1); /* counters that have an entry */

#endif
