/* late.h - bills that come later than their call: background responses, batches, videos; and answers fetched again.
 *
 * The vendor names such a call by an id ("resp_...", "batch_..."). The number of provider and id is kept with the row
 * of the call that created it, in the same transaction. Three cases, all told by two things in the journal cell with
 * which a call ends, so that kill -9 at any instruction neither loses nor doubles one:
 *
 *   the call                                            cell.late_key   cell.flags
 *   its bill comes later (charged its worst case now)   the number      ROW_PENDING
 *   it is final, but can be fetched again by its id     the number      -
 *   it fetched the bill of some call                    the number      ROW_LATE, and ROW_PENDING when not final
 *
 * A call that ends with ROW_LATE carries the fetched bill in its cell (amount and units, priced as of the time when the
 * vendor says the job was created) and settles ZERO amounts in the engine. The writer decides: with a number that it
 * knows, this call's own row costs nothing and an adjusting row brings the other call to the bill; else this row is the
 * bill and the number is known from now on. What the counters then change by is told to store_hooks.post.
 *
 * The bill of a call that is still pending replaces what was charged; one that is not final only raises it. Of a final
 * one the same units are the same bill, whatever they cost today: nothing happens; other units replace it (newest final
 * wins). As soon as the number is seen in an answer, store_call_update may put it into the cell: a call that dies
 * under way is then known by it too.
 *
 * Numbers are remembered for LATE_DAYS, at most LATE_MAX of them, oldest out first. */
#ifndef STORE_LATE_H
#define STORE_LATE_H

#include "base/attr.h"
#include "store/adjust.h"
#include "store/store.h"

#define LATE_DAYS 35
#define LATE_MAX 4000000

/* The number of an id at a provider: 64 bits of a SHA-256, never 0. Pure. */
uint64_t late_key(struct slice provider, struct slice id) MUST_USE;

/* A bill that was learned aside of a call's end: one of several in an answer, or by asking on our own account. */
struct late_bill {
	int64_t nanousd;
	struct adjust_units units; /* the bill's, not differences */
	/* The call in whose answer it stood. When the number is unknown, the bill becomes a row of its own with this
	 * call's names and counters. Zeros = nobody: store_hooks.late_unknown is told. */
	uint8_t learned_by[16];
	bool final;
};
/* Bounded: BUR_FULL, or BUR_INVALID (a negative figure, key 0). Unlike the end of a call this is not in the journal: a
 * bill that is lost to kill -9 leaves the call pending, at its worst case, until it is learned again. Settle
 * `learned_by` before. Worker `worker`'s thread only; never blocks. */
int store_late_bill(struct store *, uint32_t worker, uint64_t key, const struct late_bill *) NONNULL(1, 4) MUST_USE;

/* One bill that can be fetched under two ids: a batch, and the file with its results. Under `also` the writer then
 * knows what it knows under `key`; a fetch of either is the same bill. Bounded: BUR_FULL (then a fetch of the second id
 * is charged again). After the end of the call that learned of it. Same thread as store_late_bill. */
int store_late_also(struct store *, uint32_t worker, uint64_t key, uint64_t also) NONNULL(1) MUST_USE;

#endif
