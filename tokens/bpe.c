#include "tokens/bpe.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define WINDOW_BYTES 4096

/* May b follow a? Not when merging in order of rank would have joined something across the seam before both were whole.
 * So the two are taken apart again, latest merge first: `limit` is the rank a join must have to come before that merge.
 * A single byte comes apart into itself. */
static bool may_follow(const struct vocab *v, uint32_t a, uint32_t b)
{
	uint32_t limit = UINT32_MAX;

	for (;;) {
		uint32_t merged = vocab_merged(v, a, b), right = TOKEN_RIGHT(v->token[a]),
			 left = TOKEN_LEFT(v->token[b]);

		if (merged != VOCAB_NONE && merged < limit)
			return false;
		if (right == a && left == b)
			return true;
		if (left == b || (a > b && right != a)) {
			limit = a;
			a = right;
		} else {
			limit = b + 1;
			b = left;
		}
	}
}

static size_t give(uint32_t *dst, size_t max, size_t at, const uint32_t *ids, size_t n)
{
	size_t room = at < max ? max - at : 0;

	if (room > 0 && n > 0)
		memcpy(dst + at, ids, (n < room ? n : room) * sizeof(*dst));
	return at + n;
}

/* A piece up to BPE_SMALL_BYTES, token by token. */
struct small {
	const uint8_t *p;
	size_t n, pos, k;
	uint64_t dead;  /* bit i: no encoding reaches the end with a token's end at i */
	uint32_t next;  /* the longest token at pos, to be tried */
	uint32_t inner; /* it is to be looked up by this base, if not 0 */
	uint32_t stack[BPE_SMALL_BYTES];
};

/* Takes `next`, or else what is shorter or lies before it. true: on to the longest token at the new pos; false: done.
 */
static bool small_step(const struct vocab *v, struct small *s)
{
	/* cppcheck-suppress ctuuninitvar ; both callers set it right before */
	uint32_t next = s->next;

	for (;;) {
		size_t end = s->pos + TOKEN_BYTES(v->token[next]);

		if ((end == s->n || !(s->dead >> end & 1)) && (s->k == 0 || may_follow(v, s->stack[s->k - 1], next))) {
			s->stack[s->k++] = next;
			s->pos = end;
			return end < s->n;
		}
		next = TOKEN_PREFIX(v->token[next]);
		while (next == VOCAB_NONE) {
			CHECK(s->k > 0);
			s->dead |= 1ull << s->pos;
			next = s->stack[--s->k];
			s->pos -= TOKEN_BYTES(v->token[next]);
			next = TOKEN_PREFIX(v->token[next]);
		}
	}
}

static size_t encode_small(const struct vocab *v, const uint8_t *p, size_t n, uint32_t *dst, size_t max)
{
	struct small s;

	s.p = p;
	s.n = n;
	s.pos = s.k = 0;
	s.dead = 0;
	do {
		s.next = vocab_longest(v, p + s.pos, n - s.pos);
	} while (small_step(v, &s));
	return give(dst, max, 0, s.stack, s.k);
}

/* One walk down the trie for each piece, a level at a time for all. */
static void walk_many(const struct vocab *v, struct small *s, const uint8_t *active, size_t n_active)
{
	uint32_t base[BPE_MANY_MAX];
	uint8_t walking[BPE_MANY_MAX];
	size_t n_walking = n_active;

	for (size_t i = 0; i < n_active; i++) {
		walking[i] = active[i];
		base[active[i]] = v->trie_root;
	}
	for (size_t depth = 0; n_walking > 0; depth++) {
		size_t n_left = 0;

		for (size_t i = 0; i < n_walking; i++) {
			uint8_t lane = walking[i], byte = s[lane].p[s[lane].pos + depth];
			uint32_t slot = v->trie[base[lane] ^ byte];

			if (TRIE_BYTE(slot) != (byte | 0x100u))
				continue;
			base[lane] = TRIE_VALUE(slot);
			if (slot & TRIE_LEAF) {
				s[lane].next = base[lane];
				s[lane].inner = 0;
				continue;
			}
			s[lane].inner = slot & TRIE_HAS_TOKEN ? base[lane] : s[lane].inner;
			walking[n_left] = lane;
			n_left += s[lane].pos + depth + 1 < s[lane].n;
		}
		n_walking = n_left;
	}
}

/* The longest token for each, and what it will be asked. */
static void find_many(const struct vocab *v, struct small *s, const uint8_t *active, size_t n_active)
{
	walk_many(v, s, active, n_active);
	for (size_t i = 0; i < n_active; i++)
		__builtin_prefetch(&v->inner[s[active[i]].inner]);
	for (size_t i = 0; i < n_active; i++) {
		struct small *one = &s[active[i]];

		if (one->inner)
			one->next = v->inner[one->inner];
		if (one->k > 0)
			vocab_prefetch(v, one->stack[one->k - 1], one->next);
		else
			__builtin_prefetch(&v->token[one->next]);
	}
}

void bpe_count_many(const struct vocab *v, struct bpe_piece *pieces, size_t n)
{
	struct small s[BPE_MANY_MAX];
	uint8_t active[BPE_MANY_MAX];
	size_t n_active = n;

	CHECK(n <= BPE_MANY_MAX);
	for (size_t i = 0; i < n; i++) {
		CHECK(pieces[i].n > 0 && pieces[i].n <= BPE_SMALL_BYTES);
		s[i].p = pieces[i].p;
		s[i].n = pieces[i].n;
		s[i].pos = s[i].k = 0;
		s[i].dead = 0;
		active[i] = (uint8_t)i;
	}
	while (n_active > 0) {
		size_t n_left = 0;

		find_many(v, s, active, n_active);
		for (size_t i = 0; i < n_active; i++) {
			active[n_left] = active[i];
			n_left += small_step(v, &s[active[i]]);
		}
		n_active = n_left;
	}
	for (size_t i = 0; i < n; i++)
		pieces[i].count = (uint32_t)s[i].k;
}

#define MEMO_BITS 10

struct window {
	const struct vocab *v;
	uint64_t memo[1 << MEMO_BITS]; /* answers of may_follow: one text repeated asks the same again and again */
	size_t bytes;
	uint32_t *stack; /* tokens of [base, pos) */
	uint64_t *dead;  /* a ring of a bit for each position */
	size_t base, pos, k, given;
	size_t run_begin, run_end; /* one byte again and again */
	uint32_t run_token;        /* the longest of it, once known, else VOCAB_NONE */
};

/* A remembered answer is the pair with the answer below and a bit above. */
static bool may_follow_again(struct window *w, uint32_t a, uint32_t b)
{
	uint64_t pair = 1ull << 63 | (uint64_t)a << 19 | (uint64_t)b << 1;
	uint64_t *at = &w->memo[PAIR_SLOT(PAIR_HASH(a, b), MEMO_BITS)];

	if ((*at & ~1ull) != pair)
		*at = pair | may_follow(w->v, a, b);
	return *at & 1;
}

static bool is_dead(const struct window *w, size_t pos)
{
	size_t i = pos & (w->bytes - 1);

	return w->dead[i / 64] >> (i % 64) & 1;
}

static void set_dead(struct window *w, size_t pos, bool dead)
{
	size_t i = pos & (w->bytes - 1);
	uint64_t bit = 1ull << (i % 64);

	w->dead[i / 64] = dead ? w->dead[i / 64] | bit : w->dead[i / 64] & ~bit;
}

/* Lets go of the oldest tokens: three quarters of the window. */
static void window_slide(struct window *w, uint32_t *dst, size_t max)
{
	size_t from = w->base, n = 0;

	while (w->pos - w->base > w->bytes / 4)
		w->base += TOKEN_BYTES(w->v->token[w->stack[n++]]);
	for (size_t i = from; i < w->base; i++)
		set_dead(w, i, false);
	w->given = give(dst, max, w->given, w->stack, n);
	memmove(w->stack, w->stack + n, (w->k - n) * sizeof(w->stack[0]));
	w->k -= n;
}

/* The longest token at pos. Walks of a hundred steps for every byte of a line of dashes are saved. */
static uint32_t longest_at(struct window *w, const uint8_t *p, size_t n)
{
	size_t pos = w->pos, end = pos + 1;

	if (pos < w->run_begin || pos >= w->run_end) {
		while (end < n && p[end] == p[pos] && end - pos < WINDOW_BYTES)
			end++;
		w->run_begin = pos;
		w->run_end = end;
		w->run_token = VOCAB_NONE;
	}
	if (w->run_end - pos < w->v->max_token_bytes)
		return vocab_longest(w->v, p + pos, n - pos);
	if (w->run_token == VOCAB_NONE)
		w->run_token = vocab_longest(w->v, p + pos, n - pos);
	return w->run_token;
}

/* false: had to look back behind the window. */
static bool window_run(struct window *w, const uint8_t *p, size_t n, uint32_t *dst, size_t max)
{
	const uint64_t *token = w->v->token;
	uint32_t next = longest_at(w, p, n);

	for (;;) {
		size_t end = w->pos + TOKEN_BYTES(token[next]);

		if (!is_dead(w, end) && (w->k == 0 || may_follow_again(w, w->stack[w->k - 1], next))) {
			w->stack[w->k++] = next;
			w->pos = end;
			if (end == n)
				return true;
			if (end - w->base + w->v->max_token_bytes >= w->bytes)
				window_slide(w, dst, max);
			next = longest_at(w, p, n);
			continue;
		}
		next = TOKEN_PREFIX(token[next]);
		while (next == VOCAB_NONE) {
			if (w->k == 0 || (w->k == 1 && w->base > 0))
				return false;
			set_dead(w, w->pos, true);
			next = w->stack[--w->k];
			w->pos -= TOKEN_BYTES(token[next]);
			next = TOKEN_PREFIX(token[next]);
		}
	}
}

static bool encode_with(struct window *w, const uint8_t *p, size_t n, uint32_t *dst, size_t max, size_t *ret_n)
{
	size_t bits = n < w->bytes ? n + 1 : w->bytes;

	memset(w->dead, 0, (bits + 63) / 64 * sizeof(w->dead[0]));
	if (!window_run(w, p, n, dst, max))
		return false;
	*ret_n = give(dst, max, w->given, w->stack, w->k);
	return true;
}

bool bpe_encode_within(const struct vocab *v, size_t window_bytes, const uint8_t *p, size_t n, uint32_t *dst,
		       size_t max, size_t *ret_n)
{
	struct window w = {.v = v, .bytes = window_bytes};
	bool found;

	CHECK((window_bytes & (window_bytes - 1)) == 0 && window_bytes >= 4 * (size_t)v->max_token_bytes);
	w.stack = malloc(window_bytes * sizeof(w.stack[0]));
	w.dead = malloc(window_bytes / 8);
	found = w.stack && w.dead && encode_with(&w, p, n, dst, max, ret_n);
	free(w.stack);
	free(w.dead);
	return found;
}

/* No text is known that needs this: the way through is lost within a few tokens and found again, or never. */
static size_t encode_unbounded(const struct vocab *v, const uint8_t *p, size_t n, uint32_t *dst, size_t max)
{
	size_t bytes = 4 * WINDOW_BYTES, found;

	while (bytes < n + v->max_token_bytes && bytes < SIZE_MAX / 16)
		bytes *= 2;
	if (bpe_encode_within(v, bytes, p, n, dst, max, &found))
		return found;
	for (size_t i = 0; i < n; i++)
		(void)give(dst, max, i, &(uint32_t){vocab_longest(v, p + i, 1)}, 1);
	return n;
}

static size_t encode_long(const struct vocab *v, const uint8_t *p, size_t n, uint32_t *dst, size_t max)
{
	uint32_t stack[WINDOW_BYTES];
	uint64_t dead[WINDOW_BYTES / 64];
	struct window w = {.v = v, .bytes = WINDOW_BYTES, .stack = stack, .dead = dead};
	size_t found;

	if (encode_with(&w, p, n, dst, max, &found))
		return found;
	return encode_unbounded(v, p, n, dst, max);
}

size_t bpe_encode(const struct vocab *v, const uint8_t *p, size_t n, uint32_t *dst, size_t max)
{
	return n > BPE_SMALL_BYTES ? encode_long(v, p, n, dst, max) : encode_small(v, p, n, dst, max);
}
