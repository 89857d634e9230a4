/* crossing.h - what is told of the windows of budgets beside calls: steps that were crossed without a call or whose
 * telling was lost, and what ends them. Each in the transaction of the state it reports. Control thread. */
#ifndef STORE_CROSSING_H
#define STORE_CROSSING_H

#include "base/attr.h"
#include "store/store.h"

/* As store_event, written at once. BUR_IO, BUR_CORRUPT: nothing is known to be written; the same again does no harm. */
int crossings_tell(struct store *, const struct threshold_event *, size_t n) NONNULL(1) MUST_USE;

/* A window is over, or its use fell. */
struct crossing_end {
	uint64_t uid;
	int64_t win_start;
	bool rolling;   /* the steps stand in the rows of all buckets */
	uint32_t steps; /* may be told anew */
	/* "budget.reset", "budget.recovered"; NULL: nobody is told. State NOTE_ENDED. */
	const char *kind;
	int64_t after; /* a reset: the last event that it ends, told once for it; else 0 */
	int64_t at_ns;
	struct slice payload;
};
/* All or none. Events up to `mark` have their ends: after a restart nobody looks at them. Errors as above. */
int crossings_end(struct store *, const struct crossing_end *, size_t n, int64_t mark) NONNULL(1) MUST_USE;
int crossings_mark(struct sqlite3 *, int64_t *ret) NONNULL(1, 2) MUST_USE;

/* What was spent in a window; 0: nothing is known of it. */
int crossing_posted(struct sqlite3 *, uint64_t uid, int64_t win_start, int64_t *ret) NONNULL(1, 4) MUST_USE;

#endif
