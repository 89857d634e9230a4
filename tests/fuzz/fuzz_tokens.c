/* Any bytes as text: the fast count, the ids, the stream in pieces and the scanner's own pieces all agree; the tokens'
 * bytes are the text again; and no count is over one a byte of mended text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tokens/bpe.h"
#include "tokens/impl.h"
#include "tokens/unicode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tok_cache *caches[TOK_ENCODING_COUNT];

static uint64_t in_pieces(enum tok_encoding e, const char *p, size_t n, uint8_t seed)
{
	static struct tok_stream s;
	size_t take;

	tok_stream_init(&s, e, caches[e]);
	for (size_t i = 0; i < n; i += take) {
		take = 1 + (seed = (uint8_t)(seed * 5 + 3)) % 37;
		take = take < n - i ? take : n - i;
		tok_stream_feed(&s, p + i, take);
	}
	return tok_stream_count(&s);
}

/* One piece at a time, by the scanner alone. */
static uint64_t by_scanner(enum tok_encoding e, const uint8_t *p, size_t n)
{
	struct tok_sink s = tok_sink_of(e, NULL, NULL, 0);
	uint64_t count = 0;
	bool open = false;

	for (size_t i = 0, piece; i < n; i += piece) {
		piece = s.scan(p + i, p + n, &open);
		CHECK(piece > 0 && piece <= n - i);
		count += bpe_encode(&s.vocab, p + i, piece, NULL, 0);
	}
	return count;
}

static void ids_are_the_text(enum tok_encoding e, const char *p, size_t n, size_t count)
{
	uint32_t *ids = malloc((count + 1) * sizeof(*ids));
	size_t at = 0;

	CHECK(ids && tok_encode(e, p, n, ids, count) == count);
	for (size_t i = 0; i < count; i++) {
		struct slice token = tok_bytes(e, ids[i]);

		CHECK(token.n > 0 && token.n <= n - at && memcmp(p + at, token.p, token.n) == 0);
		at += token.n;
	}
	CHECK(at == n);
	free(ids);
}

static void check(enum tok_encoding e, const uint8_t *data, size_t n, uint8_t seed)
{
	char *p = malloc(n + 1); /* exact, so that the sanitizer sees a byte too far */
	uint64_t count;
	size_t bad;

	CHECK(p);
	memcpy(p, data, n);
	p = n > 0 ? realloc(p, n) : p;
	count = tok_count(e, caches[e], p, n, UINT64_MAX);
	CHECK(count <= 3 * (uint64_t)n && tok_count(e, NULL, p, n, UINT64_MAX) == count);
	CHECK(tok_count(e, caches[e], p, n, UINT64_MAX) == count && tok_encode(e, p, n, NULL, 0) == count);
	if (count > 0)
		CHECK(tok_count(e, caches[e], p, n, count - 1) >= count);
	if (n < TOK_OPEN_MAX)
		CHECK(in_pieces(e, p, n, seed) == count);
	CHECK(in_pieces(e, p, n, seed) == in_pieces(e, p, n, (uint8_t)(seed + 1)));
	if (utf8_valid((const uint8_t *)p, n, &bad) == n) {
		CHECK(by_scanner(e, (const uint8_t *)p, n) == count);
		ids_are_the_text(e, p, n, (size_t)count);
	}
	free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || !tok_available(TOK_O200K) || !tok_available(TOK_CL100K))
		return 0;
	for (enum tok_encoding e = 0; e < TOK_ENCODING_COUNT; e++) {
		if (!caches[e])
			caches[e] = tok_cache_new(e);
		check(e, data + 1, size - 1, data[0]);
	}
	return 0;
}
