#include "tests/bench/histogram.h"

static unsigned bucket_of(uint64_t ns)
{
	unsigned top, shift;

	if (ns < (1u << HISTOGRAM_SUB_BITS))
		return (unsigned)ns;
	top = 63u - (unsigned)__builtin_clzll(ns);
	shift = top - HISTOGRAM_SUB_BITS;
	return ((shift + 1) << HISTOGRAM_SUB_BITS) + (unsigned)((ns >> shift) - (1u << HISTOGRAM_SUB_BITS));
}

static uint64_t bucket_top(unsigned i)
{
	unsigned shift;

	if (i < (1u << HISTOGRAM_SUB_BITS))
		return i;
	shift = (i >> HISTOGRAM_SUB_BITS) - 1;
	return ((((uint64_t)i & ((1u << HISTOGRAM_SUB_BITS) - 1)) + (1u << HISTOGRAM_SUB_BITS) + 1) << shift) - 1;
}

void latency_add(struct latency *h, uint64_t ns)
{
	h->count[bucket_of(ns)]++;
	h->n++;
	if (ns > h->max_ns)
		h->max_ns = ns;
}

uint64_t latency_at(const struct latency *h, unsigned per_mille)
{
	uint64_t want = (h->n * per_mille + 999) / 1000, seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS && h->n > 0; i++) {
		seen += h->count[i];
		if (seen >= want)
			return bucket_top(i) < h->max_ns ? bucket_top(i) : h->max_ns;
	}
	return h->max_ns;
}
