/* Counting text as it comes: pieces are counted once nothing that follows can change them. */
#include <string.h>

#include "base/check.h"
#include "tokens/bpe.h"
#include "tokens/impl.h"
#include "tokens/unicode.h"

#define LOOK_MIN 64   /* small deltas are gathered */
#define KEEP_OPEN 512 /* of a piece that is cut: so far from its end, tokens are those of the whole */

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

void tok_stream_init(struct tok_stream *s, enum tok_encoding encoding, struct tok_cache *cache)
{
	s->encoding = encoding;
	s->cache = cache;
	s->closed = 0;
	s->open_n = 0;
	s->look_at = LOOK_MIN;
	s->cut_n = 0;
}

static void drop_open(struct tok_stream *s, size_t n)
{
	s->open_n -= (uint32_t)n;
	memmove(s->open, s->open + n, s->open_n);
	s->look_at = 2 * s->open_n < LOOK_MIN ? LOOK_MIN : 2 * s->open_n;
}

/* The open piece fills all the room. It is cut behind a token that ends with a character, KEEP_OPEN before its end. */
static void cut_open(struct tok_sink *out, struct tok_stream *s)
{
	const uint8_t *p = (const uint8_t *)s->open;
	uint32_t ids[TOK_OPEN_MAX];
	bool open = false;
	size_t piece = out->scan(p, p + s->open_n, &open);
	size_t n = bpe_encode(&out->vocab, p, piece, ids, TOK_OPEN_MAX), cut = piece, cut_tokens = n, end = 0;

	for (size_t i = 0; i < n && piece == s->open_n; i++) {
		end += TOKEN_BYTES(out->vocab.token[ids[i]]);
		if (end + KEEP_OPEN > piece)
			break;
		if ((p[end] & 0xc0) != 0x80) {
			cut = end;
			cut_tokens = i + 1;
		}
	}
	tok_sink_ids(out, ids, cut_tokens);
	drop_open(s, cut);
}

static void close_pieces(struct tok_sink *out, struct tok_stream *s)
{
	const uint8_t *p = (const uint8_t *)s->open;

	drop_open(s, tok_sink_text(out, p, p + s->open_n, false, UINT64_MAX));
}

/* As many whole characters of p[0..n) as there is room for. */
static size_t fitting(const struct tok_stream *s, const char *p, size_t n)
{
	size_t room = TOK_OPEN_MAX - s->open_n;

	if (n <= room)
		return n;
	while (room > 0 && ((uint8_t)p[room] & 0xc0) == 0x80)
		room--;
	return room;
}

static void feed_valid(struct tok_sink *out, struct tok_stream *s, const char *p, size_t n)
{
	while (n > 0) {
		size_t take = fitting(s, p, n);

		memcpy(s->open + s->open_n, p, take);
		s->open_n += (uint32_t)take;
		p += take;
		n -= take;
		if (s->open_n >= s->look_at || n > 0)
			close_pieces(out, s);
		if (n > 0 && fitting(s, p, n) == 0)
			cut_open(out, s);
	}
}

/* Goes on with the character that was cut; returns how many bytes belonged to it. */
static size_t feed_cut(struct tok_sink *out, struct tok_stream *s, const char *p, size_t n)
{
	size_t bad, took = 0;

	while (took < n) {
		s->cut[s->cut_n] = p[took];
		if (utf8_valid((const uint8_t *)s->cut, s->cut_n + 1u, &bad) > 0) {
			feed_valid(out, s, s->cut, s->cut_n + 1u);
			s->cut_n = 0;
			return took + 1;
		}
		if (bad > 0) {
			feed_valid(out, s, REPLACEMENT, sizeof(REPLACEMENT) - 1);
			took += bad - s->cut_n; /* what is bad ends before a byte that may be good */
			s->cut_n = 0;
			return took;
		}
		s->cut_n++;
		took++;
	}
	return took;
}

void tok_sink_stream(struct tok_sink *out, struct tok_stream *s, const char *p, size_t n)
{
	size_t i = s->cut_n > 0 ? feed_cut(out, s, p, n) : 0;

	while (i < n) {
		size_t bad, valid = utf8_valid((const uint8_t *)p + i, n - i, &bad);

		feed_valid(out, s, p + i, valid);
		i += valid;
		if (bad > 0) {
			feed_valid(out, s, REPLACEMENT, sizeof(REPLACEMENT) - 1);
			i += bad;
		} else if (i < n) {
			s->cut_n = (uint8_t)(n - i);
			memcpy(s->cut, p + i, n - i);
			i = n;
		}
	}
}

void tok_sink_finish(struct tok_sink *out, const struct tok_stream *s)
{
	char text[TOK_OPEN_MAX + sizeof(REPLACEMENT)];
	size_t n = s->open_n;

	memcpy(text, s->open, n);
	if (s->cut_n > 0) {
		memcpy(text + n, REPLACEMENT, sizeof(REPLACEMENT) - 1);
		n += sizeof(REPLACEMENT) - 1;
	}
	(void)tok_sink_text(out, (const uint8_t *)text, (const uint8_t *)text + n, true, UINT64_MAX);
}

void tok_stream_feed(struct tok_stream *s, const char *p, size_t n)
{
	struct tok_sink out = tok_sink_of(s->encoding, s->cache, NULL, 0);

	tok_sink_stream(&out, s, p, n);
	s->closed += out.n;
}

uint64_t tok_stream_count(const struct tok_stream *s)
{
	struct tok_sink out = tok_sink_of(s->encoding, s->cache, NULL, 0);

	tok_sink_finish(&out, s);
	return s->closed + out.n;
}
