#include "base/ring.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"

#define RING_RECORDS_MAX ((size_t)1 << 30)

int ring_init(struct ring *r, size_t record_bytes, size_t capacity)
{
	size_t n = 1, bytes;

	CHECK(record_bytes > 0 && capacity > 0 && capacity <= RING_RECORDS_MAX);
	while (n < capacity)
		n *= 2;
	if (__builtin_mul_overflow(n, record_bytes, &bytes) || bytes > SIZE_MAX - 63)
		return BUR_NOMEM;
	*r = (struct ring){.record_bytes = record_bytes, .mask = n - 1};
	r->mem = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
	return r->mem ? BUR_OK : BUR_NOMEM;
}

void ring_done(struct ring *r)
{
	free(r->mem);
	*r = (struct ring){0};
}

static void *record(struct ring *r, uint64_t i)
{
	return r->mem + ((size_t)i & r->mask) * r->record_bytes;
}

void *ring_claim(struct ring *r)
{
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	uint64_t head = atomic_load_explicit(&r->head, memory_order_acquire);

	return tail - head > r->mask ? NULL : record(r, tail);
}

void ring_publish(struct ring *r)
{
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

	CHECK(tail - atomic_load_explicit(&r->head, memory_order_relaxed) <= r->mask);
	atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
}

void *ring_peek(struct ring *r, size_t i)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);

	return i < tail - head ? record(r, head + i) : NULL;
}

void ring_release(struct ring *r, size_t n)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

	CHECK(n <= atomic_load_explicit(&r->tail, memory_order_relaxed) - head);
	atomic_store_explicit(&r->head, head + n, memory_order_release);
}

size_t ring_len(const struct ring *r)
{
	/* Head first: the tail read later is never behind it. */
	uint64_t head = atomic_load_explicit(&r->head, memory_order_acquire);
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
	uint64_t n = tail - head;

	return n > r->mask + 1 ? r->mask + 1 : (size_t)n;
}
