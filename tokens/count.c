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
#define AHEAD 20               /* bytes that are looked at from a piece's begin */
#define READABLE (WINDOW + 16) /* bytes that may be read from a window's begin */
#define BATCH 256
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

/* --- all pieces of a window at once ------------------------------------------------------------------------------- */
static inline uint64_t below(unsigned i)
{
	return i < WINDOW ? (1ull << i) - 1 : UINT64_MAX;
}

/* (?:s|t|re|ve|m|ll|d) in any case: its length, or 0. */
static inline unsigned contracted(const uint8_t *p)
{
	uint8_t a = p[0] | 0x20, b = p[1] | 0x20;

	if (a == 's' || a == 't' || a == 'm' || a == 'd')
		return 1;
	return ((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l') ? 2 : 0;
}

/* A contraction belongs to the word before it in o200k, and stands alone in cl100k. Letters behind it are a new word.
 * `quotes` are those that lead letters; *inout_known is lowered to one that stands too near to it. */
static inline uint64_t contractions(uint64_t begins, uint64_t quotes, uint64_t letters, const uint8_t *p, bool o200k,
				    unsigned *inout_known)
{
	unsigned behind = 0; /* the last contraction */

	for (; quotes != 0; quotes &= quotes - 1) {
		unsigned i = (unsigned)__builtin_ctzll(quotes), n;

		if (i + 4 > *inout_known) {
			*inout_known = i < *inout_known ? i : *inout_known;
			break;
		}
		n = o200k && i == behind ? 0 : contracted(p + i + 1);
		if (n == 0)
			continue;
		behind = i + 1 + n;
		begins &= ~(below(behind) & ~below(o200k ? i : i + 1));
		begins |= letters & 1ull << behind;
	}
	return begins;
}

/* Blanks at the end of what is known, behind a newline: whether another follows is not known. */
static inline unsigned before_blanks(const struct classes *c, uint64_t blank, unsigned known)
{
	uint64_t others = ~blank & below(known);
	unsigned last = others ? WINDOW - 1 - (unsigned)__builtin_clzll(others) : 0;

	return bit(c->newline, last) ? last + 1 : known - 1;
}

/* Where pieces begin, given that one begins at bit 0 (left out) and none behind what is known. Each bit is decided by
 * the classes before it and the one behind, so shifts and carries find all at once. 0: none, or it takes a closer look.
 */
static inline uint64_t all_begins(const struct classes *c, const uint8_t *p, bool o200k)
{
	uint64_t letters = c->upper | c->lower, blank = c->white & ~c->newline, visible = letters | c->digit, begins,
		 more;
	uint64_t punct = ~(visible | c->white | c->high);
	/* What hangs on to punctuation: newlines, in o200k with slashes between them. */
	uint64_t hangs = c->newline | (o200k ? c->slash : 0), first = c->newline & punct << 1, carry = hangs + first;
	uint64_t tail = (hangs & ~carry) | first, behind_tail = carry & ~hangs;
	uint64_t blanks, between, leads;
	unsigned known = c->high ? (unsigned)__builtin_ctzll(c->high) : WINDOW;

	if (known < 3)
		return 0;
	known = before_blanks(c, blank, known);
	blanks = blank & ~(blank << 1);
	between = blanks & c->newline << 1 & ~behind_tail;
	if (((blank + between) & ~blank) & c->newline)
		return 0; /* a line of blanks only */
	punct &= ~tail;
	visible |= punct;
	begins = punct & ~(punct << 1) & ~(c->space << 1);
	leads = begins & letters >> 1;
	begins |= blanks | (blank & visible >> 1);                   /* leads what follows */
	begins |= letters & ~((letters | blank | leads) << 1);       /* words that nothing leads */
	begins |= o200k ? c->upper & c->lower << 1 : 0;              /* camelCase */
	begins |= c->newline & ~tail & ~((c->newline | blank) << 1); /* newlines behind words and digits */
	for (more = c->digit & ~(c->digit << 1); more != 0; more &= c->digit << 1 & c->digit << 2 & c->digit << 3) {
		begins |= more;
		more = more << 3 & c->digit;
	}
	leads &= c->quote & (o200k ? letters << 1 : UINT64_MAX);
	if (UNLIKELY(leads))
		begins = contractions(begins, leads, letters, p, o200k, &known);
	return begins & below(known) & ~1ull;
}

/* --- adding up ---------------------------------------------------------------------------------------------------- */

/* Pieces are first found, then looked up, then, where nothing is remembered, encoded: each many at a time, because what
 * takes long is to wait for memory. */
struct batch {
	const uint8_t *begin[BATCH + 1]; /* the last one is where the next begins */
	size_t n;
};

static inline size_t bytes_of(const struct batch *b, size_t i)
{
	return (size_t)(b->begin[i + 1] - b->begin[i]);
}

/* Pieces to encode; their counts are put where `hash` says. */
struct todo {
	size_t n;
	struct bpe_piece piece[BPE_MANY_MAX];
	struct cache_short key[BPE_MANY_MAX];
	uint64_t hash[BPE_MANY_MAX];
};

/* Another place in the set: a free one, else any. */
static inline struct cache_short *free_way(struct tok_cache *c, uint64_t hash, struct cache_short old)
{
	for (uint64_t i = 1; i < CACHE_WAYS; i++)
		if (cache_short_at(c, hash ^ i)->hi == 0)
			return cache_short_at(c, hash ^ i);
	return cache_short_at(c, hash ^ (1 + (old.lo ^ old.lo >> 7) % (CACHE_WAYS - 1)));
}

/* Into its place of choice; what stood there moves on. */
static void put_short(struct tok_cache *c, uint64_t hash, struct cache_short key, uint64_t count)
{
	struct cache_short *first = cache_short_at(c, hash), old = *first;

	if (cache_short_get(first, key))
		return; /* the same piece twice among the missing */
	if (old.hi != 0)
		*free_way(c, hash, old) = old;
	*first = (struct cache_short){key.lo, key.hi | count << 60};
}

/* In one of the other places of its set? Then it changes places. Returns the count, or 0. */
static unsigned get_other_way(struct tok_cache *c, uint64_t hash, struct cache_short key)
{
	struct cache_short *first = cache_short_at(c, hash), old = *first;

	for (uint64_t i = 0; i < CACHE_WAYS; i++) {
		struct cache_short *at = cache_short_at(c, hash ^ i), found = *at;

		if (cache_short_get(at, key)) {
			*at = old;
			*first = found;
			return (unsigned)(found.hi >> 60);
		}
	}
	return 0;
}

static size_t work_off(const struct tok_sink *s, struct todo *t)
{
	size_t count = 0;

	bpe_count_many(&s->vocab, t->piece, t->n);
	for (size_t i = 0; i < t->n; i++) {
		const struct bpe_piece *piece = &t->piece[i];

		count += piece->count;
		if (piece->n <= CACHE_SHORT_MAX)
			put_short(s->cache, t->hash[i], t->key[i], piece->count);
		else if (piece->n <= CACHE_LONG_MAX)
			cache_long_put(s->cache, piece->p, piece->n, piece->count);
	}
	t->n = 0;
	return count;
}

static inline size_t todo_add(const struct tok_sink *s, struct todo *t, const uint8_t *p, size_t n)
{
	t->piece[t->n++] = (struct bpe_piece){p, (uint32_t)n, 0};
	return t->n == BPE_MANY_MAX ? work_off(s, t) : 0;
}

static size_t count_long(const struct tok_sink *s, struct todo *t, const uint8_t *p, size_t n)
{
	unsigned count = n <= CACHE_LONG_MAX ? cache_long_get(s->cache, p, n) : 0;

	if (count != 0)
		return count;
	if (n > BPE_SMALL_BYTES)
		return bpe_encode(&s->vocab, p, n, NULL, 0);
	return todo_add(s, t, p, n);
}

/* Begins have 16 readable bytes. */
static size_t count_cached(const struct tok_sink *s, const struct batch *b)
{
	struct cache_short key[BATCH];
	uint32_t hash[BATCH];
	uint16_t missing[BATCH];
	size_t count = 0, n_missing = 0;
	struct todo todo;

	for (size_t i = 0; i < b->n; i++) {
		key[i] = cache_short_key(b->begin[i], bytes_of(b, i) & CACHE_SHORT_MAX);
		hash[i] = (uint32_t)cache_short_hash(key[i]);
		__builtin_prefetch(cache_short_at(s->cache, hash[i]));
	}
	for (size_t i = 0; i < b->n; i++) {
		unsigned got =
		    bytes_of(b, i) > CACHE_SHORT_MAX ? 0 : cache_short_get(cache_short_at(s->cache, hash[i]), key[i]);

		count += got;
		missing[n_missing] = (uint16_t)i;
		n_missing += got == 0;
	}
	todo.n = 0;
	for (size_t m = 0; m < n_missing; m++) {
		/* cppcheck-suppress uninitvar ; set for every m below n_missing */
		size_t i = missing[m], n = bytes_of(b, i);
		unsigned got;

		if (n > CACHE_SHORT_MAX) {
			count += count_long(s, &todo, b->begin[i], n);
		} else if ((got = get_other_way(s->cache, hash[i], key[i])) != 0) {
			count += got;
		} else {
			todo.key[todo.n] = key[i];
			todo.hash[todo.n] = hash[i];
			count += todo_add(s, &todo, b->begin[i], n);
		}
	}
	return count + work_off(s, &todo);
}

static size_t count_uncached(const struct tok_sink *s, const struct batch *b)
{
	size_t count = s->n;

	for (size_t i = 0; i < b->n; i++) {
		size_t room = count < s->max ? s->max - count : 0;

		count += bpe_encode(&s->vocab, b->begin[i], bytes_of(b, i), room > 0 ? s->dst + count : NULL, room);
	}
	return count - s->n;
}

static void count_batch(struct tok_sink *s, struct batch *b)
{
	s->n += s->cache ? count_cached(s, b) : count_uncached(s, b);
	b->begin[0] = b->begin[b->n];
	b->n = 0;
}

/* One piece after the other: begins at begin[n], ends behind the window's first half. false: the last one is open, and
 * left out. */
static bool step_through(struct batch *b, const struct classes *c, const uint8_t *end, bool last, bool o200k)
{
	const uint8_t *p = b->begin[b->n];
	size_t left = (size_t)(end - p), i = 0, n;
	unsigned stop = left < WINDOW ? (unsigned)left : WINDOW;
	bool open = false;

	while (i < WINDOW - AHEAD && i < stop) {
		n = simple(c, (unsigned)i, stop, o200k);
		if (UNLIKELY(n == 0)) {
			n = (o200k ? scan_o200k : scan_cl100k)(p + i, end, &open);
			if (open && !last)
				return false;
		}
		i += n;
		b->begin[++b->n] = p + i;
	}
	return true;
}

static inline bool window(struct batch *b, const uint8_t *end, bool whole, bool last, bool o200k)
{
	const uint8_t *p = b->begin[b->n];
	struct classes c = classify(p);
	uint64_t begins = whole ? all_begins(&c, p, o200k) : 0;

	if (UNLIKELY(begins == 0))
		return step_through(b, &c, end, last, o200k);
	do {
		b->begin[++b->n] = p + __builtin_ctzll(begins);
		begins &= begins - 1;
	} while (begins);
	return true;
}

/* Windows as long as READABLE bytes are there, or, where more may be read than text is there, to the end. */
static inline bool windows(struct tok_sink *s, struct batch *b, const uint8_t *end, bool to_end, bool last,
			   uint64_t limit, bool o200k)
{
	size_t needed = to_end ? 1 : READABLE;
	bool go_on = true;

	while (go_on && (size_t)(end - b->begin[b->n]) >= needed) {
		go_on = window(b, end, !to_end, last, o200k);
		if (b->n > BATCH - WINDOW) {
			count_batch(s, b);
			go_on = go_on && s->n <= limit;
		}
	}
	count_batch(s, b);
	return go_on;
}

static inline size_t text(struct tok_sink *s, const uint8_t *p, const uint8_t *end, bool last, uint64_t limit,
			  bool o200k)
{
	uint8_t tail[2 * READABLE];
	struct batch b = {.begin = {p}};
	size_t left, taken;
	bool go_on = windows(s, &b, end, false, last, limit, o200k);

	taken = (size_t)(b.begin[0] - p);
	left = (size_t)(end - b.begin[0]);
	if (!go_on || left == 0)
		return taken;
	memcpy(tail, b.begin[0], left);
	memset(tail + left, 0, sizeof(tail) - left);
	b.begin[0] = tail;
	(void)windows(s, &b, tail + left, true, last, limit, o200k);
	return taken + (size_t)(b.begin[0] - tail);
}

size_t tok_sink_text(struct tok_sink *s, const uint8_t *p, const uint8_t *end, bool last, uint64_t limit)
{
	if (s->scan == scan_o200k)
		return text(s, p, end, last, limit, true);
	return text(s, p, end, last, limit, false);
}
