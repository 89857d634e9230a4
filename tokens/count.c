/* Counting whole texts fast. Most text is ASCII in short pieces: 64 bytes at a time are sorted into classes, a bit for
 * each byte, and the ends of pieces are found by counting bits. Whatever is not that simple is left to the scanner. */
#include <string.h>

#include "tokens/bpe.h"
#include "tokens/cache.h"
#include "tokens/impl.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define WINDOW 64
#define AHEAD 20                   /* bytes that are looked at from a piece's begin */
#define READABLE (WINDOW + 16)     /* bytes that may be read from a window's begin */
#define SIMPLE_MAX CACHE_SHORT_MAX /* longer pieces are not simple */

/* Bit i tells of byte i. */
struct classes {
	uint64_t upper, lower, digit, space, white, newline, high, quote, slash;
};

#ifdef __SSE2__
static inline uint64_t in_range(__m128i x, char first, char n)
{
	__m128i moved = _mm_add_epi8(x, _mm_set1_epi8((char)(-128 - first)));

	return (uint64_t)_mm_movemask_epi8(_mm_cmplt_epi8(moved, _mm_set1_epi8((char)(-128 + n))));
}

static inline uint64_t equal(__m128i x, char c)
{
	return (uint64_t)_mm_movemask_epi8(_mm_cmpeq_epi8(x, _mm_set1_epi8(c)));
}

static inline struct classes classify(const uint8_t *p)
{
	struct classes c = {0};

	for (int i = 0; i < WINDOW; i += 16) {
		__m128i x = _mm_loadu_si128((const void *)(p + i));

		c.upper |= in_range(x, 'A', 26) << i;
		c.lower |= in_range(x, 'a', 26) << i;
		c.digit |= in_range(x, '0', 10) << i;
		c.space |= equal(x, ' ') << i;
		c.white |= in_range(x, '\t', 5) << i;
		c.newline |= (equal(x, '\n') | equal(x, '\r')) << i;
		c.high |= (uint64_t)_mm_movemask_epi8(x) << i;
		c.quote |= equal(x, '\'') << i;
		c.slash |= equal(x, '/') << i;
	}
	c.white |= c.space;
	return c;
}
#else
static inline struct classes classify(const uint8_t *p)
{
	struct classes c = {0};

	for (int i = 0; i < WINDOW; i++) {
		uint8_t b = p[i];

		c.upper |= (uint64_t)((uint8_t)(b - 'A') < 26) << i;
		c.lower |= (uint64_t)((uint8_t)(b - 'a') < 26) << i;
		c.digit |= (uint64_t)((uint8_t)(b - '0') < 10) << i;
		c.space |= (uint64_t)(b == ' ') << i;
		c.white |= (uint64_t)((uint8_t)(b - '\t') < 5 || b == ' ') << i;
		c.newline |= (uint64_t)(b == '\n' || b == '\r') << i;
		c.high |= (uint64_t)(b >> 7) << i;
		c.quote |= (uint64_t)(b == '\'') << i;
		c.slash |= (uint64_t)(b == '/') << i;
	}
	return c;
}
#endif

/* How many ones from bit i on. What lies behind bit 63 does not matter: no such piece is simple. */
static inline unsigned ones(uint64_t bits, unsigned i)
{
	uint64_t zeros = ~(bits >> (i % WINDOW));

	return zeros ? (unsigned)__builtin_ctzll(zeros) : WINDOW;
}

static inline unsigned bit(uint64_t bits, unsigned i)
{
	return bits >> (i % WINDOW) & 1;
}

/* Each of these gives the bit behind the piece that begins at bit i, and the last bit that had to be looked at; 0: not
 * simple. */
static inline unsigned word(const struct classes *c, unsigned i, unsigned *ret_seen, bool o200k)
{
	uint64_t letters = c->upper | c->lower;
	unsigned end = i + !bit(letters, i);

	if (o200k) {
		end += ones(c->upper, end);
		end += ones(c->lower, end);
	} else {
		end += ones(letters, end);
	}
	*ret_seen = end;
	if (o200k && bit(c->quote, end)) { /* perhaps a contraction */
		*ret_seen = end + 1;
		return bit(letters, end + 1) ? 0 : end;
	}
	return end;
}

static inline unsigned punctuation(const struct classes *c, uint64_t punct, unsigned i, unsigned *ret_seen, bool o200k)
{
	unsigned run, end = i + bit(c->space, i);

	end += ones(punct, end);
	run = ones(c->newline, end);
	end += run;
	*ret_seen = end;
	return o200k && run > 0 && bit(c->slash, end) ? 0 : end;
}

static inline unsigned white(const struct classes *c, unsigned i, unsigned *ret_seen)
{
	unsigned run = ones(c->white, i);
	uint64_t newlines = c->newline >> i & ((1ull << (run % WINDOW)) - 1);

	*ret_seen = i + run;
	if (newlines)
		return i + WINDOW - (unsigned)__builtin_clzll(newlines);
	return run == 1 ? i + 1 : i + run - 1;
}

/* Length of the piece that begins at bit i; 0: not simple. A simple piece is short, and it and all that decides about
 * its end is ASCII before bit `stop`. */
static inline unsigned simple(const struct classes *c, unsigned i, unsigned stop, bool o200k)
{
	uint64_t letters = c->upper | c->lower, punct = ~(letters | c->digit | c->white | c->high);
	uint64_t no_lead = c->digit | c->newline | c->high | (o200k ? 0 : c->quote);
	unsigned end, seen;

	if (bit(letters, i + !bit(letters, i)) && !bit(no_lead, i)) {
		end = word(c, i, &seen, o200k);
	} else if (bit(punct, i + bit(c->space, i))) {
		if (!o200k && bit(c->quote, i))
			return 0;
		end = punctuation(c, punct, i, &seen, o200k);
	} else if (bit(c->white, i)) {
		end = white(c, i, &seen);
	} else {
		seen = ones(c->digit, i);
		seen = end = i + (seen < 3 ? seen : 3);
	}
	if (end <= i || end - i > SIMPLE_MAX || seen >= stop || bit(c->high, seen))
		return 0;
	return end - i;
}

/* --- adding up ---------------------------------------------------------------------------------------------------- */
static __attribute__((noinline)) size_t short_miss(const struct tok_sink *s, struct cache_short *at,
						   struct cache_short key, const uint8_t *p, size_t n)
{
	size_t count = bpe_encode(&s->vocab, p, n, NULL, 0);

	cache_short_put(at, key, count);
	return count;
}

static __attribute__((noinline)) size_t long_piece(const struct tok_sink *s, const uint8_t *p, size_t n)
{
	struct cache_long key, *at;
	size_t count;

	if (n > CACHE_LONG_MAX)
		return bpe_encode(&s->vocab, p, n, NULL, 0);
	key = cache_long_key(p, n);
	at = cache_long_at(s->cache, &key);
	count = cache_long_get(at, &key);
	if (count == 0) {
		count = bpe_encode(&s->vocab, p, n, NULL, 0);
		cache_long_put(at, &key, count);
	}
	return count;
}

static __attribute__((noinline)) size_t uncached(const struct tok_sink *s, size_t before, const uint8_t *p, size_t n)
{
	size_t room = before < s->max ? s->max - before : 0;

	return bpe_encode(&s->vocab, p, n, room > 0 ? s->dst + before : NULL, room);
}

/* p has 16 readable bytes. */
static inline size_t piece(const struct tok_sink *s, size_t before, const uint8_t *p, size_t n)
{
	struct cache_short key, *at;
	unsigned count;

	if (UNLIKELY(!s->cache))
		return uncached(s, before, p, n);
	if (n > CACHE_SHORT_MAX)
		return long_piece(s, p, n);
	key = cache_short_key(p, n);
	at = cache_short_at(s->cache, key);
	count = cache_short_get(at, key);
	return LIKELY(count) ? count : short_miss(s, at, key, p, n);
}

/* The pieces that begin in the window at p. Returns where the next begins; *ret_open: it is open, and not counted. */
static inline const uint8_t *window(struct tok_sink *s, const uint8_t *p, const uint8_t *end, bool last, bool *ret_open,
				    bool o200k)
{
	struct classes c = classify(p);
	size_t left = (size_t)(end - p), i = 0, n, count = s->n;
	unsigned stop = left < WINDOW ? (unsigned)left : WINDOW;

	while (i < WINDOW - AHEAD && i < stop) {
		n = simple(&c, (unsigned)i, stop, o200k);
		if (n == 0) {
			n = (o200k ? scan_o200k : scan_cl100k)(p + i, end, ret_open);
			if (*ret_open && !last)
				break;
		}
		count += piece(s, count, p + i, n);
		i += n;
	}
	s->n = count;
	return p + i;
}

static inline size_t text(struct tok_sink *s, const uint8_t *p, const uint8_t *end, bool last, uint64_t limit,
			  bool o200k)
{
	uint8_t tail[2 * READABLE];
	const uint8_t *begin = p;
	size_t left, taken = 0;
	bool open = false;

	while (end - p >= READABLE && s->n <= limit && (last || !open))
		p = window(s, p, end, last, &open, o200k);
	taken = (size_t)(p - begin);
	left = (size_t)(end - p);
	if (left == 0 || left >= READABLE || s->n > limit || (open && !last))
		return taken;
	memcpy(tail, p, left);
	memset(tail + left, 0, sizeof(tail) - left);
	begin = p = tail;
	end = tail + left;
	while (p < end && s->n <= limit && (last || !open))
		p = window(s, p, end, last, &open, o200k);
	return taken + (size_t)(p - begin);
}

size_t tok_sink_text(struct tok_sink *s, const uint8_t *p, const uint8_t *end, bool last, uint64_t limit)
{
	if (s->scan == scan_o200k)
		return text(s, p, end, last, limit, true);
	return text(s, p, end, last, limit, false);
}
