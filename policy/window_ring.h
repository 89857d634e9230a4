/* window_ring.h - what was spent in the last W seconds, in buckets of W/60 (specification R7.6).
 *
 * Counted are the 61 buckets that overlap [now - W, now], so the effective length lies between W and W + W/60: never
 * less than what was promised. A bucket has the number floor(time / bucket length); the ring knows numbers only.
 * Pure, no allocation; the owner locks. */
#ifndef POLICY_WINDOW_RING_H
#define POLICY_WINDOW_RING_H

#include <stdint.h>

#include "base/attr.h"

#define RING_BUCKETS 60
#define RING_SIZE (RING_BUCKETS + 1) /* buckets that overlap an interval of W */

/* `posted` and `credit` of the ring are the sums of its buckets and fit; what is posted is not negative. */
struct window_ring {
	int64_t head, posted, credit; /* head: number of the youngest bucket */
	struct ring_bucket {
		int64_t posted, credit;
		uint32_t mask;        /* steps that were told in it */
		uint32_t would_block; /* calls of it that a shadow budget would have refused */
	} at[RING_SIZE];              /* by number modulo RING_SIZE */
};

/* Empty, with `head` as the youngest bucket; head >= 0. */
void window_ring_init(struct window_ring *, int64_t head) NONNULL(1);
/* Makes `head` the youngest; buckets that do not overlap the last W any more are emptied. A smaller one does nothing.
 */
void window_ring_advance(struct window_ring *, int64_t head) NONNULL(1);
/* NULL: the bucket has left, or is not there yet. */
struct ring_bucket *window_ring_bucket(struct window_ring *, int64_t number) NONNULL(1);
/* Dates `delta` to the bucket. BUR_NOTFOUND: it has left (what was spent in it counts no more) or is not there yet.
 * BUR_OVERFLOW: its sum or the ring's would be negative or too large; nothing was changed. */
int window_ring_post(struct window_ring *, int64_t number, int64_t delta) NONNULL(1) MUST_USE;
/* Credit that ends when the bucket leaves. Errors as above; a credit may be negative. */
int window_ring_credit(struct window_ring *, int64_t number, int64_t delta) NONNULL(1) MUST_USE;
/* All steps told in buckets that still count. */
uint32_t window_ring_mask(const struct window_ring *) NONNULL(1);
uint32_t window_ring_would_block(const struct window_ring *) NONNULL(1);
/* The number of the head with which at least `amount` of what is posted will have left. INT64_MAX: there is less. */
int64_t window_ring_relief(const struct window_ring *, int64_t amount) NONNULL(1);

#endif
