/* tap_text.h - how many tokens is the text of an answer, while it comes? Internal to the meter room.
 *
 * A tok_stream that keeps only the bytes of its open piece: some hundred bytes for a stream that waits. Exact for the
 * vendor's own vocabulary. One owner thread. */
#ifndef METER_TAP_TEXT_H
#define METER_TAP_TEXT_H

#include "base/attr.h"
#include "base/slice.h"
#include "tokens/tokens.h"

struct tap_text {
	enum tok_encoding encoding;
	struct tok_cache *cache; /* borrowed; may be NULL */
	uint64_t closed;         /* tokens that nothing can change any more */
	uint64_t lost_bytes;     /* of text for which there was no memory */
	uint32_t open_n, cap, look_at;
	uint8_t cut_n;
	char cut[4];
	char *open; /* the piece that may go on */
};

void tap_text_init(struct tap_text *, enum tok_encoding, struct tok_cache *) NONNULL(1);
void tap_text_done(struct tap_text *) NONNULL(1);
/* Decoded text, in any pieces. */
void tap_text_feed(struct tap_text *, const char *p, size_t n) NONNULL(1);
/* The raw bytes of a JSON string, without its quotes, or of a number. Returns the length of its text. */
uint64_t tap_text_feed_json(struct tap_text *, struct slice raw) NONNULL(1);
/* Of all that was fed; more may follow. */
uint64_t tap_text_count(const struct tap_text *) NONNULL(1);
/* The same for nothing: the open piece as bytes, which are never fewer than tokens. */
static inline uint64_t tap_text_most(const struct tap_text *t)
{
	return t->closed + t->lost_bytes + t->open_n + t->cut_n;
}

#endif
