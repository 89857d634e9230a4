/* frames.h - for fuzzers of framings: feeds bytes whole or split, each piece in memory of its own, and returns the
 * events as meter_frames.h writes them. */
#ifndef TESTS_FUZZ_FRAMES_H
#define TESTS_FUZZ_FRAMES_H

#include "base/check.h"
#include "tests/unit/meter_frames.h"

typedef void frames_feed(void *framing, const char *p, size_t n);

/* `split` 0: whole; else pieces of at most that many bytes. */
static inline void frames_split(void *framing, frames_feed *feed, const uint8_t *p, size_t n, unsigned split)
{
	for (size_t i = 0, k; i < n; i += k) {
		char *piece;

		k = split == 0 ? n : 1 + (i * 5 + split) % split;
		if (k > n - i)
			k = n - i;
		piece = malloc(k);
		CHECK(piece);
		memcpy(piece, p + i, k);
		feed(framing, piece, k);
		free(piece);
	}
}

#endif
