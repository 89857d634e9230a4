/* cache.h - counts of pieces seen before: fixed memory, a newer piece takes the place of an older one.
 *
 * One owner thread. A piece is its own key: up to 15 bytes with length and count fill two words, up to 30 fill four. */
#ifndef TOKENS_CACHE_H
#define TOKENS_CACHE_H

#include <stdint.h>
#include <string.h>

#include "tokens/tokens.h"

#define CACHE_SHORT_BITS 15 /* of sets */
#define CACHE_WAYS 4        /* a set is a line of the processor's cache; each piece has its place of choice in it */
#define CACHE_LONG_BITS 14
#define CACHE_SHORT_MAX 15u
#define CACHE_LONG_MAX 30u

/* The bytes, zeros behind them; in the last 8 bits of `hi` the length below the count. */
struct cache_short {
	uint64_t lo, hi;
};

/* In the last 16 bits of w[3] the length below the count. */
struct cache_long {
	uint64_t w[4];
};

struct tok_cache {
	CACHE_ALIGNED struct cache_short shorts[1u << CACHE_SHORT_BITS][CACHE_WAYS];
	enum tok_encoding encoding;
	struct cache_long longs[1u << CACHE_LONG_BITS];
};

#define CACHE_MIX_A 0x9e3779b97f4a7c15ull
#define CACHE_MIX_B 0xc2b2ae3d27d4eb4full

/* p has 16 readable bytes, n <= CACHE_SHORT_MAX. */
static inline struct cache_short cache_short_key(const uint8_t *p, size_t n)
{
	static const uint8_t keep[32] = {255, 255, 255, 255, 255, 255, 255, 255,
					 255, 255, 255, 255, 255, 255, 255, 255};
	uint64_t a[2], mask[2];

	memcpy(a, p, sizeof(a));
	memcpy(mask, keep + 16 - n, sizeof(mask));
	return (struct cache_short){a[0] & mask[0], (a[1] & mask[1]) | (uint64_t)n << 56};
}

static inline uint64_t cache_short_hash(struct cache_short key)
{
	return (key.lo * CACHE_MIX_A + key.hi * CACHE_MIX_B) >> (62 - CACHE_SHORT_BITS);
}

static inline struct cache_short *cache_short_at(struct tok_cache *c, uint64_t hash)
{
	return &c->shorts[hash / CACHE_WAYS][hash % CACHE_WAYS];
}

/* The count, or 0. */
static inline unsigned cache_short_get(const struct cache_short *at, struct cache_short key)
{
	return ((at->lo ^ key.lo) | (at->hi ^ key.hi) << 4) == 0 ? (unsigned)(at->hi >> 60) : 0;
}

/* --- longer pieces ------------------------------------------------------------------------------------------------ */
static inline struct cache_long cache_long_key(const uint8_t *p, size_t n)
{
	struct cache_long key = {{0}};

	memcpy(key.w, p, n);
	key.w[3] |= (uint64_t)n << 48;
	return key;
}

static inline struct cache_long *cache_long_at(struct tok_cache *c, const struct cache_long *key)
{
	uint64_t h = key->w[0] * CACHE_MIX_A + key->w[1] * CACHE_MIX_B;

	h = (h ^ h >> 32) + key->w[2] * CACHE_MIX_B + key->w[3] * CACHE_MIX_A;
	return &c->longs[(h * CACHE_MIX_A) >> (64 - CACHE_LONG_BITS)];
}

/* The count, or 0. */
static inline unsigned cache_long_get(struct tok_cache *c, const uint8_t *p, size_t n)
{
	struct cache_long key = cache_long_key(p, n);
	const struct cache_long *at = cache_long_at(c, &key);
	uint64_t differ = (at->w[0] ^ key.w[0]) | (at->w[1] ^ key.w[1]) | (at->w[2] ^ key.w[2]);

	return (differ | (at->w[3] ^ key.w[3]) << 8) == 0 ? (unsigned)(at->w[3] >> 56) : 0;
}

static inline void cache_long_put(struct tok_cache *c, const uint8_t *p, size_t n, uint64_t count)
{
	struct cache_long key = cache_long_key(p, n), *at = cache_long_at(c, &key);

	key.w[3] |= count << 56;
	*at = key;
}

#endif
