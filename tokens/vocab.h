/* vocab.h - a byte-pair vocabulary as tables in read-only memory, made by tools/make-vocab.c and linked in as it is.
 *
 * Pure, any thread. Token ids are ranks: the pair whose token has the lowest id is merged first. */
#ifndef TOKENS_VOCAB_H
#define TOKENS_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

/* --- the image: header, then tables at byte offsets from its begin, each aligned to 64; little-endian ------------- */
#define VOCAB_MAGIC 0x31636f76u /* "voc1" */
#define VOCAB_ALIGN 64

struct vocab_header {
	uint32_t magic, n_tokens, max_token_bytes, trie_root;
	uint32_t pair_bits; /* the table of pairs has 1 << pair_bits slots */
	uint32_t trie_at, trie_n, token_at, pair_at, begin_at, text_at, size_bytes;
};

/* A slot of the trie (a double array): the child of a node for byte c is at node's base ^ c, if that slot says so.
 * Bases are unique and never 0, so the byte alone identifies the parent, and a base of 0 has no child. */
#define TRIE_BASE(slot) ((uint32_t)(slot)&0xffffff)
#define TRIE_BYTE(slot) ((uint32_t)((slot) >> 24) & 0x1ff) /* byte | 0x100; 0: the slot is free */
#define TRIE_TOKEN(slot) ((uint32_t)((slot) >> 33))        /* id + 1; 0: no token ends here */
#define TRIE_SLOT(base, byte, token_1) ((uint64_t)(base) | (uint64_t)((byte) | 0x100) << 24 | (uint64_t)(token_1) << 33)

/* A token: the two it is merged from (itself twice: a single byte), the longest other token it begins with, bytes. */
#define VOCAB_ID_BITS 18
#define VOCAB_NONE ((1u << VOCAB_ID_BITS) - 1)
#define TOKEN_LEFT(t) ((uint32_t)(t)&VOCAB_NONE)
#define TOKEN_RIGHT(t) ((uint32_t)((t) >> 18) & VOCAB_NONE)
#define TOKEN_PREFIX(t) ((uint32_t)((t) >> 36) & VOCAB_NONE)
#define TOKEN_BYTES(t) ((uint32_t)((t) >> 54))
#define TOKEN_OF(left, right, prefix, bytes)                                                                           \
	((uint64_t)(left) | (uint64_t)(right) << 18 | (uint64_t)(prefix) << 36 | (uint64_t)(bytes) << 54)

/* A slot of the pairs, open addressing with linear probing: key | merged id << 36. */
#define PAIR_FREE UINT64_MAX
#define PAIR_KEY_MASK ((1ull << 36) - 1)
#define PAIR_KEY(left, right) ((uint64_t)(left) << 18 | (right))
#define PAIR_SLOT(key, bits) ((uint32_t)(((key)*0x9e3779b97f4a7c15ull) >> (64 - (bits))))

/* --- reading ------------------------------------------------------------------------------------------------------ */
struct vocab {
	const uint64_t *trie, *token, *pair;
	const uint32_t *begin; /* of each token's bytes in text; n_tokens + 1 of them */
	const uint8_t *text;
	uint32_t n_tokens, trie_root, pair_bits, max_token_bytes;
};

enum vocab_name { VOCAB_O200K, VOCAB_CL100K, VOCAB_COUNT };

/* false: not built in. */
bool vocab_get(enum vocab_name, struct vocab *ret) NONNULL(2) MUST_USE;

/* The longest token that p[0..n) begins with, n > 0: there is one, every byte is a token. */
static inline uint32_t vocab_longest(const struct vocab *v, const uint8_t *p, size_t n)
{
	uint32_t base = v->trie_root, token_1 = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t slot = v->trie[base ^ p[i]];

		if (TRIE_BYTE(slot) != (p[i] | 0x100u))
			break;
		if (TRIE_TOKEN(slot) != 0)
			token_1 = TRIE_TOKEN(slot);
		base = TRIE_BASE(slot);
	}
	return token_1 - 1;
}

/* The token that these two are merged into, or VOCAB_NONE. */
static inline uint32_t vocab_merged(const struct vocab *v, uint32_t left, uint32_t right)
{
	uint64_t key = PAIR_KEY(left, right);
	uint32_t mask = (1u << v->pair_bits) - 1;

	for (uint32_t i = PAIR_SLOT(key, v->pair_bits);; i = (i + 1) & mask) {
		uint64_t slot = v->pair[i];

		if (slot == PAIR_FREE)
			return VOCAB_NONE;
		if ((slot & PAIR_KEY_MASK) == key)
			return (uint32_t)(slot >> 36);
	}
}

#endif
