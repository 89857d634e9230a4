/* histogram.h - latencies in buckets of at most 1.6 % width; fixed memory. One thread. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

#include "base/attr.h"

#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct latency {
	uint64_t count[HISTOGRAM_BUCKETS];
	uint64_t n, max_ns;
};

void latency_add(struct latency *, uint64_t ns) NONNULL(1);
/* The upper edge of the bucket in which the fraction per_mille / 1000 is reached; 0 when empty. */
uint64_t latency_at(const struct latency *, unsigned per_mille) NONNULL(1);

#endif
