/* vocab.h - a byte-pair vocabulary as tables in read-only memory, made by tools/make-vocab.c and linked in as it is.
 *
 * Pure, any thread. Token ids are ranks: the pair whose token has the lowest id is merged first. */
#ifndef TOKENS_VOCAB_H
#define TOKENS_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

/* --- the image: header, then tables at byte offsets from its begin, each aligned to 64; little-endian. What is read
 * for most texts is kept small: to wait for memory is most of the work. ------------------------------------------- */
#define VOCAB_MAGIC 0x33636f76u /* "voc3" */
#define VOCAB_ALIGN 64

struct vocab_header {
	uint32_t magic, n_tokens, max_token_bytes, trie_root, trie_n;
	uint32_t pair_bits; /* the table of pairs has 1 << pair_bits slots */
	uint32_t trie_at, inner_at, token_at, pair_at, filter_at, begin_at, text_at, size_bytes;
};

#define VOCAB_ID_BITS 18
#define VOCAB_NONE ((1u << VOCAB_ID_BITS) - 1)

/* A slot of the trie (a double array): the child of a node for byte c is at node's base ^ c, if that slot says so.
 * Bases are unique and never 0, so the byte alone identifies the parent. A leaf has a token instead of a base; a token
 * that ends at an inner node is in a table of its own, by the node's base. 0: the slot is free. */
#define TRIE_VALUE(slot) ((slot)&0xfffff)
#define TRIE_BYTE(slot) ((slot) >> 20 & 0x1ff) /* byte | 0x100 */
#define TRIE_LEAF (1u << 29)
#define TRIE_HAS_TOKEN (1u << 30) /* an inner node */
#define TRIE_SLOT(value, byte) ((uint32_t)(value) | ((uint32_t)(byte) | 0x100u) << 20)

/* A token: the two it is merged from (itself twice: a single byte), the longest other token it begins with, bytes. */
#define TOKEN_LEFT(t) ((uint32_t)(t)&VOCAB_NONE)
#define TOKEN_RIGHT(t) ((uint32_t)((t) >> 18) & VOCAB_NONE)
#define TOKEN_PREFIX(t) ((uint32_t)((t) >> 36) & VOCAB_NONE)
#define TOKEN_BYTES(t) ((uint32_t)((t) >> 54))
#define TOKEN_OF(left, right, prefix, bytes)                                                                           \
	((uint64_t)(left) | (uint64_t)(right) << 18 | (uint64_t)(prefix) << 36 | (uint64_t)(bytes) << 54)

/* A slot of the pairs, open addressing with linear probing: the merged token, and above it bits of the pair's hash.
 * Whether it is that token's pair, the token itself tells. Before the table is read, a filter with eight bits for each
 * slot says of most pairs that they are not there. */
#define PAIR_FREE UINT32_MAX
#define PAIR_HASH(left, right) (((uint64_t)(left) << 18 | (right)) * 0x9e3779b97f4a7c15ull)
#define PAIR_SLOT(hash, bits) ((uint32_t)((hash) >> (64 - (bits))))
#define PAIR_TAG(hash) ((uint32_t)((hash) >> 20) & ~VOCAB_NONE)
#define FILTER_BIT(hash, bits) PAIR_SLOT(hash, (bits) + 3)

/* --- reading ------------------------------------------------------------------------------------------------------ */
struct vocab {
	const uint32_t *trie, *inner, *pair;
	const uint64_t *token, *filter;
	const uint32_t *begin; /* of each token's bytes in text; n_tokens + 1 of them */
	const uint8_t *text;
	uint32_t n_tokens, trie_root, pair_bits, max_token_bytes;
};

enum vocab_name { VOCAB_O200K, VOCAB_CL100K, VOCAB_COUNT };

/* false: not built in. */
bool vocab_get(enum vocab_name, struct vocab *ret) NONNULL(2) MUST_USE;

/* Maps the tables at once instead of page by page when they are first read: some 0.1 ms. Where the system cannot,
 * nothing is lost but time. */
void vocab_prepare(enum vocab_name);

/* The longest token that p[0..n) begins with, n > 0: there is one, every byte is a token. */
static inline uint32_t vocab_longest(const struct vocab *v, const uint8_t *p, size_t n)
{
	uint32_t base = v->trie_root, last = 0;

	for (size_t i = 0; i < n; i++) {
		uint32_t slot = v->trie[base ^ p[i]];

		if (TRIE_BYTE(slot) != (p[i] | 0x100u))
			break;
		base = TRIE_VALUE(slot);
		if (slot & TRIE_LEAF)
			return base;
		if (slot & TRIE_HAS_TOKEN)
			last = base;
	}
	return v->inner[last];
}

/* Is `id` the token that these two are merged into? */
static inline bool vocab_is_merge(const struct vocab *v, uint32_t id, uint32_t left, uint32_t right)
{
	return (v->token[id] & ((1ull << 2 * VOCAB_ID_BITS) - 1)) == ((uint64_t)right << VOCAB_ID_BITS | left);
}

/* The token that these two are merged into, or VOCAB_NONE. */
static inline uint32_t vocab_merged(const struct vocab *v, uint32_t left, uint32_t right)
{
	uint64_t hash = PAIR_HASH(left, right);
	uint32_t mask = (1u << v->pair_bits) - 1, bit = FILTER_BIT(hash, v->pair_bits);

	if (!(v->filter[bit / 64] >> (bit % 64) & 1))
		return VOCAB_NONE;
	for (uint32_t i = PAIR_SLOT(hash, v->pair_bits);; i = (i + 1) & mask) {
		uint32_t slot = v->pair[i], id = slot & VOCAB_NONE;

		if (slot == PAIR_FREE)
			return VOCAB_NONE;
		if ((slot & ~VOCAB_NONE) == PAIR_TAG(hash) && vocab_is_merge(v, id, left, right))
			return id;
	}
}

/* Soon to be asked for: vocab_merged of these two, and the second. */
static inline void vocab_prefetch(const struct vocab *v, uint32_t left, uint32_t right)
{
	uint64_t hash = PAIR_HASH(left, right);

	__builtin_prefetch(&v->filter[FILTER_BIT(hash, v->pair_bits) / 64]);
	__builtin_prefetch(&v->pair[PAIR_SLOT(hash, v->pair_bits)]);
	__builtin_prefetch(&v->token[right]);
}

#endif
