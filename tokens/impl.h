/* impl.h - what the files of this room share: an encoding's tables and scanner, and the counting of a piece. */
#ifndef TOKENS_IMPL_H
#define TOKENS_IMPL_H

#include "tokens/scan.h"
#include "tokens/tokens.h"
#include "tokens/vocab.h"

/* Where tokens go: counted, and the first `max` ids kept. */
struct tok_sink {
	struct vocab vocab;
	scan_fn *scan;
	struct tok_cache *cache; /* NULL where ids are wanted */
	uint32_t *dst;
	size_t max;
	uint64_t n;
};

/* CHECKs that the vocabulary is there. */
struct tok_sink tok_sink_of(enum tok_encoding, struct tok_cache *, uint32_t *dst, size_t max);
/* Whole pieces of [p, end), valid UTF-8, up to the first that is open, or all when `last`; stops once n > limit.
 * Returns how many bytes were taken. */
size_t tok_sink_text(struct tok_sink *, const uint8_t *p, const uint8_t *end, bool last, uint64_t limit) NONNULL(1);
void tok_sink_ids(struct tok_sink *, const uint32_t *ids, size_t n) NONNULL(1, 2);
/* Feeds any bytes through a stream into the sink. */
void tok_sink_stream(struct tok_sink *, struct tok_stream *, const char *p, size_t n) NONNULL(1, 2);
void tok_sink_finish(struct tok_sink *, const struct tok_stream *) NONNULL(1, 2);

#endif
