/* ring.h - bounded queue of fixed-size records between exactly two threads: one writer, one reader.
 *
 * Full means the writer waits or refuses; nothing is dropped silently. */
#ifndef BASE_RING_H
#define BASE_RING_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct ring {
	size_t record_bytes, mask;
	char *mem;
	CACHE_ALIGNED _Atomic uint64_t head; /* next to read; written by the reader */
	CACHE_ALIGNED _Atomic uint64_t tail; /* next to write; written by the writer */
};

/* `capacity` is rounded up to a power of two. BUR_OK or BUR_NOMEM. */
int ring_init(struct ring *, size_t record_bytes, size_t capacity) NONNULL(1) MUST_USE;
void ring_done(struct ring *) NONNULL(1);

/* Writer: NULL when full; fill the record in place, then publish it. */
void *ring_claim(struct ring *) NONNULL(1) MUST_USE;
void ring_publish(struct ring *) NONNULL(1);
/* Reader: the i-th unread record (0 = oldest), NULL when there are not that many; then release n. */
void *ring_peek(struct ring *, size_t i) NONNULL(1) MUST_USE;
void ring_release(struct ring *, size_t n) NONNULL(1);
/* Either side; a snapshot. */
size_t ring_len(const struct ring *) NONNULL(1);

#endif
