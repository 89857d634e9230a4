/* tokens_count_test - counting against plain merging of pairs by rank, on random texts made of what the patterns tell
 * apart; streams, limits, bad UTF-8, hostile texts. BURSAR_TOKEN_RANDOM is the number of random texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tokens/bpe.h"
#include "tokens/impl.h"

#define RANDOM_TEXTS 4000
#define TEXT_MAX 4000
#define PIECE_MAX 600 /* plain merging takes quadratic time */
#define HOSTILE_BYTES 300000

static struct tok_cache *caches[TOK_ENCODING_COUNT];
static uint64_t seed = 20260101;

static unsigned draw(unsigned n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(seed >> 33) % n;
}

static int set_up(void **state)
{
	(void)state;
	for (enum tok_encoding e = 0; e < TOK_ENCODING_COUNT; e++)
		if (tok_available(e) && !(caches[e] = tok_cache_new(e)))
			return -1;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (enum tok_encoding e = 0; e < TOK_ENCODING_COUNT; e++)
		tok_cache_free(caches[e]);
	return 0;
}

static void need_vocabularies(void)
{
	if (!tok_available(TOK_O200K) || !tok_available(TOK_CL100K))
		skip();
}

/* --- plain merging -------------------------------------------------------------------------------------------------
 */
static uint32_t rank_of(const struct vocab *v, const uint8_t *p, size_t n)
{
	uint32_t id = vocab_longest(v, p, n);

	return TOKEN_BYTES(v->token[id]) == n ? id : VOCAB_NONE;
}

static size_t merge_plainly(const struct vocab *v, const uint8_t *p, size_t n, uint32_t *ids)
{
	size_t begin[PIECE_MAX + 1], parts = n;

	for (size_t i = 0; i <= n; i++)
		begin[i] = i;
	for (;;) {
		uint32_t best = VOCAB_NONE, rank;
		size_t at = 0;

		for (size_t i = 0; i + 2 <= parts; i++)
			if ((rank = rank_of(v, p + begin[i], begin[i + 2] - begin[i])) < best) {
				best = rank;
				at = i;
			}
		if (best == VOCAB_NONE)
			break;
		memmove(&begin[at + 1], &begin[at + 2], (parts - at - 1) * sizeof(begin[0]));
		parts--;
	}
	for (size_t i = 0; i < parts; i++)
		ids[i] = rank_of(v, p + begin[i], begin[i + 1] - begin[i]);
	return parts;
}

/* --- random texts --------------------------------------------------------------------------------------------------
 */
static const char *const fragments[] = {
    "a",
    "b",
    "the",
    "ing",
    "z",
    "A",
    "B",
    "HTML",
    "Get",
    " ",
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\n\n",
    "\n",
    "    ",
    "'",
    "'s",
    "'S",
    "'t",
    "'re",
    "'LL",
    "'d",
    "'v",
    "'ve",
    "1",
    "22",
    "345",
    "6789",
    ".",
    ",",
    "(",
    ")",
    "//",
    "/",
    "*/",
    ";\n/",
    "--",
    "{",
    "}",
    "\"",
    "=",
    "==",
    "_",
    "é",
    "ß",
    "É",
    "ſ",
    "中",
    "文",
    "日本語",
    "я",
    "Я",
    "ω",
    "Ω",
    "ǅ",
    "ʰ",
    "\xcc\x81",
    "\xe2\x80\x8d",
    "\xc2\xa0",
    "\xe3\x80\x80",
    "\xc2\x85",
    "\xef\xbb\xbf",
    "٣",
    "Ⅷ",
    "½",
    "😀",
    "👨‍👩‍👧",
    "ก",
    "ำ",
    "한",
    "\x01",
    "\x7f",
    "<|endoftext|>",
};

static size_t random_text(char *dst)
{
	size_t n = 0, parts = 1 + draw(draw(8) == 0 ? 300 : 30);
	unsigned only = draw(4) == 0 ? 1 + draw(48) : 0; /* sometimes few kinds, or one again and again */
	unsigned base = draw(ARRAY_LEN(fragments));

	for (size_t i = 0; i < parts; i++) {
		const char *f = fragments[(base + draw(only ? only : ARRAY_LEN(fragments))) % ARRAY_LEN(fragments)];
		size_t repeat = draw(12) == 0 ? 1 + draw(20) : 1;

		for (; repeat > 0 && n + strlen(f) <= TEXT_MAX; repeat--) {
			memcpy(dst + n, f, strlen(f));
			n += strlen(f);
		}
	}
	return n;
}

static uint64_t count_in_pieces(enum tok_encoding e, const char *p, size_t n, unsigned piece)
{
	struct tok_stream s;
	size_t take;

	tok_stream_init(&s, e, caches[e]);
	for (size_t i = 0; i < n; i += take) {
		take = 1 + draw(piece);
		take = take < n - i ? take : n - i;
		tok_stream_feed(&s, p + i, take);
	}
	return tok_stream_count(&s);
}

/* The scanner's pieces one by one: each merged plainly, its tokens those of the encoder and in place among all. */
static void check_pieces(enum tok_encoding e, const char *text, size_t n, const uint32_t *ids, size_t n_ids)
{
	struct tok_sink s = tok_sink_of(e, NULL, NULL, 0);
	const uint8_t *p = (const uint8_t *)text;
	uint32_t want[PIECE_MAX], got[PIECE_MAX];
	size_t at = 0;
	bool open = false;

	for (size_t i = 0, piece; i < n; i += piece) {
		size_t k;

		piece = s.scan(p + i, p + n, &open);
		assert_true(piece > 0 && piece <= n - i);
		if (piece > PIECE_MAX) {
			at += bpe_encode(&s.vocab, p + i, piece, NULL, 0);
			continue;
		}
		k = merge_plainly(&s.vocab, p + i, piece, want);
		assert_int_equal(bpe_encode(&s.vocab, p + i, piece, got, PIECE_MAX), k);
		assert_memory_equal(got, want, k * sizeof(got[0]));
		assert_true(at + k <= n_ids);
		assert_memory_equal(ids + at, want, k * sizeof(got[0]));
		at += k;
	}
	assert_int_equal(at, n_ids);
}

static void check_bytes(enum tok_encoding e, const char *text, size_t n, const uint32_t *ids, size_t n_ids)
{
	size_t at = 0;

	for (size_t i = 0; i < n_ids; i++) {
		struct slice token = tok_bytes(e, ids[i]);

		assert_true(token.n > 0 && token.n <= n - at);
		assert_memory_equal(text + at, token.p, token.n);
		at += token.n;
	}
	assert_int_equal(at, n);
}

static void random_texts(void **state)
{
	const char *wanted = getenv("BURSAR_TOKEN_RANDOM");
	unsigned long n_texts = wanted ? strtoul(wanted, NULL, 10) : RANDOM_TEXTS;
	static uint32_t ids[TEXT_MAX];
	static char text[TEXT_MAX];

	(void)state;
	need_vocabularies();
	for (unsigned long i = 0; i < n_texts; i++) {
		size_t n = random_text(text);

		for (enum tok_encoding e = 0; e < TOK_ENCODING_COUNT; e++) {
			char *exact = malloc(n); /* so that a sanitizer sees a byte too far */
			size_t n_ids;

			assert_non_null(exact);
			memcpy(exact, text, n);
			n_ids = tok_encode(e, exact, n, ids, TEXT_MAX);
			assert_int_equal(tok_count(e, caches[e], exact, n, UINT64_MAX), n_ids);
			assert_int_equal(tok_count(e, NULL, exact, n, UINT64_MAX), n_ids);
			assert_int_equal(count_in_pieces(e, exact, n, i % 2 ? 5 : 900), n_ids);
			check_pieces(e, exact, n, ids, n_ids);
			check_bytes(e, exact, n, ids, n_ids);
			free(exact);
		}
	}
}

/* --- single facts --------------------------------------------------------------------------------------------------
 */
static void known_ids(void **state)
{
	uint32_t ids[4];

	(void)state;
	need_vocabularies();
	assert_int_equal(tok_encode(TOK_O200K, "hello world", 11, ids, 4), 2);
	assert_int_equal(ids[0], 24912);
	assert_int_equal(ids[1], 2375);
	assert_int_equal(tok_encode(TOK_CL100K, "hello world", 11, ids, 4), 2);
	assert_int_equal(ids[0], 15339);
	assert_int_equal(ids[1], 1917);
	assert_int_equal(tok_count(TOK_O200K, NULL, "", 0, 0), 0);
	assert_int_equal(tok_bytes(TOK_O200K, 199998).n, 0);
	assert_int_equal(tok_bytes(TOK_CL100K, UINT32_MAX).n, 0);
}

static void ids_stop_at_the_room_there_is(void **state)
{
	char text[5000];
	uint32_t ids[3] = {0, 0, 77};

	(void)state;
	need_vocabularies();
	memset(text, '-', sizeof(text));
	assert_true(tok_encode(TOK_O200K, text, sizeof(text), ids, 2) > 2);
	assert_int_equal(ids[2], 77);
	assert_true(tok_encode(TOK_O200K, "a b c d e f", 11, ids, 2) == 6);
	assert_int_equal(ids[2], 77);
}

static void stops_over_the_limit(void **state)
{
	static char text[1 << 20];
	uint64_t all, some;

	(void)state;
	need_vocabularies();
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 5 ? 'x' : ' ';
	all = tok_count(TOK_O200K, caches[TOK_O200K], text, sizeof(text), UINT64_MAX);
	some = tok_count(TOK_O200K, caches[TOK_O200K], text, sizeof(text), 100);
	assert_true(some > 100 && some < all / 10);
	assert_int_equal(tok_count(TOK_O200K, caches[TOK_O200K], text, sizeof(text), all), all);
}

static void bad_utf8_is_replaced(void **state)
{
	static const char *const pairs[][2] = {
	    {"a\xff"
	     "b",
	     "a\xef\xbf\xbd"
	     "b"},
	    {"\xe4\xb8", "\xef\xbf\xbd"},                             /* cut off: one */
	    {"\xe4\xb8 x", "\xef\xbf\xbd x"},                         /* a maximal part: one */
	    {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* a surrogate: each byte */
	    {"\xf0\x9f\x98", "\xef\xbf\xbd"},                         /* cut off */
	    {"\xc0\xaf\xe0\x80\xaf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
	    {"word\xf4\x90\x80\x80word", "word\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdword"},
	};

	(void)state;
	need_vocabularies();
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		for (enum tok_encoding e = 0; e < TOK_ENCODING_COUNT; e++) {
			const char *bad = pairs[i][0], *good = pairs[i][1];
			uint64_t want = tok_count(e, NULL, good, strlen(good), UINT64_MAX);

			assert_int_equal(tok_count(e, caches[e], bad, strlen(bad), UINT64_MAX), want);
			for (unsigned piece = 1; piece < 4; piece++)
				assert_int_equal(count_in_pieces(e, bad, strlen(bad), piece), want);
		}
}

/* --- hostile texts -------------------------------------------------------------------------------------------------
 */
static const char *const hostile[] = {
    "a", " ", "\n", "-", "=", "ab", "\xcc\x81", "中", "\t ", "\xf0\x9f\x98\x80", "aA", NULL /* random letters */,
};

static char *make_hostile(size_t which)
{
	char *p = malloc(HOSTILE_BYTES);
	const char *f = hostile[which];

	assert_non_null(p);
	memset(p, 'e', HOSTILE_BYTES);
	for (size_t i = 0; f && i + strlen(f) <= HOSTILE_BYTES; i += strlen(f))
		memcpy(p + i, f, strlen(f));
	for (size_t i = 0; !f && i < HOSTILE_BYTES; i++)
		p[i] = (char)('a' + draw(26));
	return p;
}

/* No look back over a window: each position is left for good at most once, so the work grows with the text only. */
static void long_pieces_need_no_look_back(void **state)
{
	(void)state;
	need_vocabularies();
	for (size_t i = 0; i < ARRAY_LEN(hostile); i++)
		for (enum tok_encoding e = 0; e < TOK_ENCODING_COUNT; e++) {
			struct tok_sink s = tok_sink_of(e, NULL, NULL, 0);
			char *p = make_hostile(i);
			size_t narrow = 0, wide = 0;

			assert_true(bpe_encode_within(&s.vocab, 1024, (uint8_t *)p, HOSTILE_BYTES, NULL, 0, &narrow));
			assert_true(bpe_encode_within(&s.vocab, 1 << 20, (uint8_t *)p, HOSTILE_BYTES, NULL, 0, &wide));
			assert_int_equal(narrow, wide);
			assert_int_equal(bpe_encode(&s.vocab, (uint8_t *)p, HOSTILE_BYTES, NULL, 0), wide);
			free(p);
		}
}

/* A piece over the window is cut; the count hardly moves, and no split of the bytes changes it. */
static void streams_of_endless_pieces(void **state)
{
	(void)state;
	need_vocabularies();
	for (size_t i = 0; i < ARRAY_LEN(hostile); i++)
		for (enum tok_encoding e = 0; e < TOK_ENCODING_COUNT; e++) {
			char *p = make_hostile(i);
			uint64_t whole = tok_count(e, caches[e], p, HOSTILE_BYTES, UINT64_MAX);
			uint64_t got = count_in_pieces(e, p, HOSTILE_BYTES, 100000);

			assert_int_equal(count_in_pieces(e, p, HOSTILE_BYTES, 300), got);
			assert_in_range(got, whole - whole / 100, whole + whole / 100);
			free(p);
		}
}

static void models(void **state)
{
	static const struct {
		const char *provider, *model;
		enum tok_encoding want;
		bool exact;
	} rows[] = {
	    {"openai", "gpt-4o", TOK_O200K, true},
	    {"openai", "gpt-4o-mini-2024-07-18", TOK_O200K, true},
	    {"openai", "gpt-5.6-sol", TOK_O200K, true},
	    {"openai", "gpt-4.1-nano", TOK_O200K, true},
	    {"openai", "o3-pro", TOK_O200K, true},
	    {"openai", "ft:gpt-4o-mini:acme::x", TOK_O200K, true},
	    {"openai", "ft:gpt-4-0613:acme::x", TOK_CL100K, true},
	    {"azure", "gpt-35-turbo", TOK_CL100K, true},
	    {"azure", "gpt-35-turbo-16k", TOK_CL100K, true},
	    {"openai", "gpt-4", TOK_CL100K, true},
	    {"openai", "gpt-4-turbo", TOK_CL100K, true},
	    {"openai", "text-embedding-3-small", TOK_CL100K, true},
	    {"groq", "openai/gpt-oss-120b", TOK_O200K, true},
	    {"openrouter", "openai/gpt-4", TOK_CL100K, true},
	    {"", "gpt-4o", TOK_O200K, true},
	    {"openai", "something-new", TOK_O200K, false},
	    {"anthropic", "claude-opus-4-7", TOK_O200K, false},
	    {"anthropic", "gpt-4", TOK_O200K, false},
	    {"", "", TOK_O200K, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool exact;

		assert_int_equal(tok_for_model(slice_of(rows[i].provider), slice_of(rows[i].model), &exact),
				 rows[i].want);
		assert_int_equal(exact, rows[i].exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(known_ids),
	    cmocka_unit_test(random_texts),
	    cmocka_unit_test(ids_stop_at_the_room_there_is),
	    cmocka_unit_test(stops_over_the_limit),
	    cmocka_unit_test(bad_utf8_is_replaced),
	    cmocka_unit_test(long_pieces_need_no_look_back),
	    cmocka_unit_test(streams_of_endless_pieces),
	    cmocka_unit_test(models),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
