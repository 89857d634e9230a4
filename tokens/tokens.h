/* tokens.h - how many tokens is a text? Exact byte-pair encoding for the two public vocabularies of OpenAI.
 *
 * Pure: the tables are part of the program, or absent when it was built without them; then tok_available is false and
 * callers stay on byte bounds. Any thread; a cache belongs to one thread. Time is linear in the text, whatever it is.
 * Formats and figures: openai/tiktoken (patterns, ranks), Unicode 16.0. Text is plain: look-alikes of special tokens
 * are text. Bad UTF-8 counts as U+FFFD for each maximal bad sequence, as vendors decode JSON first. */
#ifndef TOKENS_TOKENS_H
#define TOKENS_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

enum tok_encoding { TOK_O200K, TOK_CL100K, TOK_ENCODING_COUNT };

/* Is the vocabulary built in? */
bool tok_available(enum tok_encoding);
const char *tok_encoding_name(enum tok_encoding); /* "o200k_base", "cl100k_base" */
/* The encoding of a model by its (requested or reported) name. *ret_exact: the vendor is known to count with it; false:
 * it is the best proxy (an unknown or foreign model), whose count needs a factor (estimate.h). */
enum tok_encoding tok_for_model(struct slice provider, struct slice model, bool *ret_exact) NONNULL(3);

/* Remembers counts of pieces of text: at most 2.6 MB, taken as it fills. NULL is allowed wherever a cache is taken. */
struct tok_cache;
struct tok_cache *tok_cache_new(enum tok_encoding) MUST_USE; /* NULL: out of memory */
void tok_cache_free(struct tok_cache *);

/* Tokens of the text. Stops early once the count is over `limit` (any value above it is then returned). */
uint64_t tok_count(enum tok_encoding, struct tok_cache *, const char *p, size_t n, uint64_t limit);
/* Token ids, at most `max` written to dst; returns how many there are. */
size_t tok_encode(enum tok_encoding, const char *p, size_t n, uint32_t *dst, size_t max);
/* Bytes of one token; empty when there is none of this id. */
struct slice tok_bytes(enum tok_encoding, uint32_t id);

/* Counting as the text comes: any split gives the count of the whole. Fixed memory: a piece that is still open is
 * kept up to TOK_OPEN_MAX bytes. One that goes on behind that is cut where a token ends; what follows is a piece of its
 * own. For letters and punctuation this changes nothing, for kilobytes of white space a few tokens. */
#define TOK_OPEN_MAX 4096
struct tok_stream {
	enum tok_encoding encoding;
	struct tok_cache *cache; /* borrowed; may be NULL */
	uint64_t closed;         /* tokens of what can change no more */
	uint32_t open_n;
	uint32_t look_at; /* bytes that must be open before it pays to look for the end of a piece again */
	uint8_t cut_n;    /* bytes of a character whose rest is to come */
	char cut[4];
	char open[TOK_OPEN_MAX];
};
void tok_stream_init(struct tok_stream *, enum tok_encoding, struct tok_cache *) NONNULL(1);
void tok_stream_feed(struct tok_stream *, const char *p, size_t n) NONNULL(1);
/* Of all that was fed; more may follow. */
uint64_t tok_stream_count(const struct tok_stream *) NONNULL(1);

#endif
