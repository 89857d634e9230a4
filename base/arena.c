#include "base/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/blocks.h"
#include "base/error.h"

#define ARENA_ALIGN 16
#define OWN_BLOCK_BYTES (BLOCK_ARENA_BYTES / 4) /* from here on a block of its own: at most a quarter is wasted */

struct arena_block {
	struct arena_block *next;
	size_t own; /* true: from malloc, not from the cache */
};

struct arena_cleanup {
	struct arena_cleanup *next;
	void (*fn)(void *);
	void *arg;
};

_Static_assert(sizeof(struct arena_block) % ARENA_ALIGN == 0, "payload must stay aligned");

void arena_init(struct arena *a, size_t max_bytes)
{
	*a = (struct arena){.max_bytes = max_bytes};
}

void arena_reset(struct arena *a)
{
	/* A cleanup may register another one; it then runs too. */
	while (a->cleanups) {
		struct arena_cleanup *c = a->cleanups;

		a->cleanups = c->next;
		c->fn(c->arg);
	}
	while (a->blocks) {
		struct arena_block *b = a->blocks;

		a->blocks = b->next;
		if (b->own)
			free(b);
		else
			blocks_give(BLOCK_ARENA, b);
	}
	arena_init(a, a->max_bytes);
}

/* Goes behind the newest block, whose room stays in use. */
static void *own_block(struct arena *a, size_t n)
{
	struct arena_block *b = malloc(sizeof(*b) + n);

	if (!b)
		return NULL;
	b->own = 1;
	if (a->blocks) {
		b->next = a->blocks->next;
		a->blocks->next = b;
	} else {
		b->next = NULL;
		a->blocks = b;
	}
	return b + 1;
}

static int fresh_block(struct arena *a)
{
	struct arena_block *b = blocks_take(BLOCK_ARENA);

	if (!b)
		return BUR_NOMEM;
	b->own = 0;
	b->next = a->blocks;
	a->blocks = b;
	a->next = (char *)(b + 1);
	a->end = (char *)b + BLOCK_ARENA_BYTES;
	return BUR_OK;
}

void *arena_alloc(struct arena *a, size_t n)
{
	void *p;

	if (n > a->max_bytes || n > SIZE_MAX / 2)
		return NULL;
	n = n ? (n + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1) : ARENA_ALIGN;
	if (a->used_bytes > a->max_bytes || n > a->max_bytes - a->used_bytes)
		return NULL;
	if (n > (size_t)(a->end - a->next)) {
		if (n >= OWN_BLOCK_BYTES) {
			p = own_block(a, n);
			if (p)
				a->used_bytes += n;
			return p;
		}
		if (fresh_block(a) < 0)
			return NULL;
	}
	p = a->next;
	a->next += n;
	a->used_bytes += n;
	return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
	void *p = arena_alloc(a, n);

	if (p)
		memset(p, 0, n);
	return p;
}

struct slice arena_dup(struct arena *a, struct slice s)
{
	char *p = s.n < SIZE_MAX ? arena_alloc(a, s.n + 1) : NULL;

	if (!p)
		return SLICE_NONE;
	if (s.n > 0)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return (struct slice){p, s.n};
}

struct slice arena_printf(struct arena *a, const char *fmt, ...)
{
	char *p;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	p = n >= 0 ? arena_alloc(a, (size_t)n + 1) : NULL;
	if (!p)
		return SLICE_NONE;
	va_start(ap, fmt);
	(void)vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return (struct slice){p, (size_t)n};
}

int arena_on_reset(struct arena *a, void (*fn)(void *), void *arg)
{
	struct arena_cleanup *c = arena_alloc(a, sizeof(*c));

	if (!c)
		return BUR_NOMEM;
	c->fn = fn;
	c->arg = arg;
	c->next = a->cleanups;
	a->cleanups = c;
	return BUR_OK;
}
