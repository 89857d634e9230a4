#include "policy/window_ring.h"

#include <stdbool.h>
#include <string.h>

#include "base/amount.h"
#include "base/check.h"
#include "base/error.h"

void window_ring_init(struct window_ring *r, int64_t head)
{
	CHECK(head >= 0);
	memset(r, 0, sizeof(*r));
	r->head = head;
}

void window_ring_advance(struct window_ring *r, int64_t head)
{
	if (head <= r->head)
		return;
	if (head - r->head >= RING_SIZE) {
		window_ring_init(r, head);
		return;
	}
	while (r->head < head) {
		struct ring_bucket *oldest = &r->at[++r->head % RING_SIZE];

		r->posted -= oldest->posted;
		r->credit -= oldest->credit;
		*oldest = (struct ring_bucket){0, 0, 0, 0};
	}
}

struct ring_bucket *window_ring_bucket(struct window_ring *r, int64_t number)
{
	if (number < 0 || number > r->head || r->head - number >= RING_SIZE)
		return NULL;
	return &r->at[number % RING_SIZE];
}

int window_ring_post(struct window_ring *r, int64_t number, int64_t delta)
{
	struct ring_bucket *b = window_ring_bucket(r, number);
	int64_t posted, sum;

	if (!b)
		return BUR_NOTFOUND;
	if (amount_add(b->posted, delta, &posted) < 0 || amount_add(r->posted, delta, &sum) < 0 || posted < 0)
		return BUR_OVERFLOW;
	b->posted = posted;
	r->posted = sum;
	return BUR_OK;
}

int window_ring_credit(struct window_ring *r, int64_t number, int64_t delta)
{
	struct ring_bucket *b = window_ring_bucket(r, number);
	int64_t credit, sum;

	if (!b)
		return BUR_NOTFOUND;
	if (amount_add(b->credit, delta, &credit) < 0 || amount_add(r->credit, delta, &sum) < 0)
		return BUR_OVERFLOW;
	b->credit = credit;
	r->credit = sum;
	return BUR_OK;
}

uint32_t window_ring_mask(const struct window_ring *r)
{
	uint32_t mask = 0;

	for (size_t i = 0; i < RING_SIZE; i++)
		mask |= r->at[i].mask;
	return mask;
}

uint32_t window_ring_would_block(const struct window_ring *r)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < RING_SIZE; i++)
		sum += r->at[i].would_block;
	return sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
}

int64_t window_ring_relief(const struct window_ring *r, int64_t amount)
{
	int64_t left = 0, oldest = r->head - RING_BUCKETS;

	for (int64_t i = 0; i < RING_SIZE; i++) {
		/* Before the beginning of time there is nothing. */
		if (oldest + i >= 0)
			left += r->at[(oldest + i) % RING_SIZE].posted;
		if (left >= amount)
			return r->head + 1 + i;
	}
	return INT64_MAX;
}
