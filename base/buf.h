/* buf.h - a bounded queue of bytes, contiguous in memory.
 *
 * The maximum is fixed at init: there is no unlimited buffer. A buffer that is empty holds no memory once
 * buf_relax is called; small blocks come from a per-thread free list. One owner thread. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/slice.h"

#define BUF_BLOCK_BYTES 16384 /* first size; grows by doubling up to the maximum */

struct buf {
	char *mem;
	size_t head, tail; /* bytes mem[head..tail) are queued */
	size_t cap, max;
};

void buf_init(struct buf *, size_t max_bytes) NONNULL(1);
void buf_done(struct buf *) NONNULL(1); /* frees; the buffer may be used again */
/* Gives the memory back when the buffer is empty: a connection that waits holds none. */
void buf_relax(struct buf *) NONNULL(1);

static inline size_t buf_len(const struct buf *b)
{
	return b->tail - b->head;
}

static inline struct slice buf_slice(const struct buf *b)
{
	return (struct slice){b->mem ? b->mem + b->head : NULL, b->tail - b->head};
}

/* Bytes that may still be added. */
static inline size_t buf_space(const struct buf *b)
{
	return b->max - (b->tail - b->head);
}

/* Room for at least `want` bytes at the tail (moves or grows); *ret_room is what is really there, perhaps more.
 * NULL when the maximum forbids it (BUR_TOOBIG) or memory is out. */
char *buf_reserve(struct buf *, size_t want, size_t *ret_room) NONNULL(1) MUST_USE;
void buf_commit(struct buf *, size_t n) NONNULL(1);  /* n bytes were written at the reserved place */
void buf_consume(struct buf *, size_t n) NONNULL(1); /* n bytes at the head are done with */
/* BUR_OK, BUR_TOOBIG or BUR_NOMEM; all or nothing. */
int buf_append(struct buf *, const void *p, size_t n) NONNULL(1) MUST_USE;
int buf_printf(struct buf *, const char *fmt, ...) NONNULL(1, 2) PRINTF_LIKE(2, 3) MUST_USE;
static inline int buf_append_slice(struct buf *b, struct slice s)
{
	return buf_append(b, s.p, s.n);
}

#endif
