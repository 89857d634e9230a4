/* tap.h - reads a copy of an answer as it streams by and keeps only what the bill needs.
 *
 * Undoes content codings on the side; understands whole JSON answers, Gemini's JSON array, event streams (SSE), JSON
 * lines, AWS event streams and a server's WebSocket frames. Bytes may come in any pieces with the same result. Never
 * fails the call: on anything it cannot read (nonsense, a bomb over the ratio or size cap, a wrong checksum) it goes
 * blind and the usage stays incomplete. Memory per tap is bounded and taken when it is needed: between events some
 * hundred bytes. One owner thread. */
#ifndef METER_TAP_H
#define METER_TAP_H

#include "base/attr.h"
#include "base/slice.h"
#include "meter/api.h"
#include "meter/usage.h"
#include "tokens/tokens.h"

struct tap;
struct tap_event;

/* What a tap needs only while it reads an event, kept for the next one: thousands of streams share it. One for a
 * thread, all zero at first; it must outlive its taps. */
struct tap_scratch {
	struct tap_event *spare;
};
void tap_scratch_done(struct tap_scratch *) NONNULL(1);

struct tap_options {
	enum api_kind kind;
	int status;
	struct slice content_type, content_encoding; /* as in the answer; empty when absent */
	struct tap_scratch *scratch;                 /* NULL: such memory is taken anew each time */
	/* Count the answer's words as they come, for a hold that grows with them. Exact: the vendor is known to count
	 * with this vocabulary, and the answer is one text. */
	bool count;
	enum tok_encoding encoding;
	struct tok_cache *cache; /* outlives the tap; may be NULL */
};

/* How far a running answer is. */
struct tap_progress {
	uint64_t most;     /* tokens of output that were seen, at most */
	uint64_t reported; /* by the vendor so far */
	bool final;        /* `reported` is the vendor's last word */
	bool blind;        /* something could not be read: no figure is a bound */
};

/* NULL: out of memory (the caller then settles the hold in full). */
struct tap *tap_new(const struct tap_options *) NONNULL(1) MUST_USE;
void tap_free(struct tap *);
/* A field of the answer's head; to be called for each, before tap_feed. Cheap for those that do not count. */
void tap_header(struct tap *, struct slice name, struct slice value) NONNULL(1);
void tap_feed(struct tap *, const char *p, size_t n) NONNULL(1);
/* `clean`: the body ended as framed. Call once; *ret is what is known. */
void tap_finish(struct tap *, bool clean, struct usage *ret) NONNULL(1, 3);
/* What is known so far, for a stream still running. */
void tap_peek(const struct tap *, struct usage *ret) NONNULL(1, 2);
/* Codings the tap can read, as an Accept-Encoding value; a request's own list is cut to these. */
#define TAP_CODINGS "gzip, deflate, br, zstd, identity"
/* Does the answer come in events, whatever was asked for? Else it is one body, or elements of one. */
bool tap_in_events(const struct tap *) NONNULL(1);
/* For after each piece; costs next to nothing. */
void tap_progress(const struct tap *, struct tap_progress *ret) NONNULL(1, 2);
/* As progress.most, and the last word counted as well, which may go on: for when the cheap figure does not do. */
uint64_t tap_counted(const struct tap *) NONNULL(1);
/* The client's Accept-Encoding cut to what the tap reads; writes to dst, returns its length (0: send "identity"). */
size_t tap_cut_accept_encoding(struct slice value, char *dst, size_t dst_size) NONNULL(2);

#endif
