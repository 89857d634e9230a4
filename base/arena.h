/* arena.h - memory that lives as long as one request, dropped in one call.
 *
 * One owner thread. Every arena has a maximum; over it, allocations give NULL and the request is refused.
 * Blocks come from a per-thread free list, so that a request allocates nothing from malloc in the steady state. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/slice.h"

struct arena_block;
struct arena_cleanup;

struct arena {
	struct arena_block *blocks; /* newest first */
	char *next, *end;           /* room in the newest block */
	struct arena_cleanup *cleanups;
	size_t used_bytes, max_bytes;
};

/* No allocation happens before the first arena_alloc. */
void arena_init(struct arena *, size_t max_bytes) NONNULL(1);
/* Runs the cleanups in reverse order, then frees all memory. The arena may be used again. */
void arena_reset(struct arena *) NONNULL(1);

void *arena_alloc(struct arena *, size_t n) NONNULL(1) MUST_USE; /* 16-aligned, not zeroed; NULL over the maximum */
void *arena_zalloc(struct arena *, size_t n) NONNULL(1) MUST_USE;
/* NUL-terminated copy; .p is NULL when out of memory. */
struct slice arena_dup(struct arena *, struct slice s) NONNULL(1) MUST_USE;
struct slice arena_printf(struct arena *, const char *fmt, ...) NONNULL(1, 2) PRINTF_LIKE(2, 3) MUST_USE;
/* Calls fn(arg) at reset. BUR_NOMEM: not registered. */
int arena_on_reset(struct arena *, void (*fn)(void *), void *arg) NONNULL(1, 2) MUST_USE;

#endif
