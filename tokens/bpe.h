/* bpe.h - the tokens of one piece of text: exactly those that merging pairs in order of rank gives, in linear time.
 *
 * Merging itself is not done. Whether two tokens may stand side by side is a question to the two alone, so the longest
 * token that fits is taken, and taken back when it leads nowhere (github/rust-gems, crates/bpe, has the proof).
 * Pure, any thread. */
#ifndef TOKENS_BPE_H
#define TOKENS_BPE_H

#include "tokens/vocab.h"

/* Tokens of p[0..n), n > 0; the first `max` ids go to dst, which may be NULL when max is 0. Stack: about 20 kB.
 * A piece that needs more memory to be exact, and gets none, counts one token a byte. */
size_t bpe_encode(const struct vocab *, const uint8_t *p, size_t n, uint32_t *dst, size_t max) NONNULL(1, 2);

/* Counts of many pieces of at most BPE_SMALL_BYTES at a time, at most BPE_MANY_MAX: what each waits for from memory
 * comes while the others are worked on. */
#define BPE_SMALL_BYTES 64u
#define BPE_MANY_MAX 16u
struct bpe_piece {
	const uint8_t *p;
	uint32_t n, count; /* count is the result */
};
void bpe_count_many(const struct vocab *, struct bpe_piece *pieces, size_t n) NONNULL(1, 2);

/* As bpe_encode, looking back no more than window_bytes (a power of two, at least 4 * max_token_bytes); false: that was
 * not enough. For tests; bpe_encode chooses the window itself. */
bool bpe_encode_within(const struct vocab *, size_t window_bytes, const uint8_t *p, size_t n, uint32_t *dst, size_t max,
		       size_t *ret_n) NONNULL(1, 3, 7) MUST_USE;

#endif
