/* tap_edge.h - where in a running answer may something of ours stand? Only between two of the vendor's events.
 *
 * Follows the bytes that the client was given: event streams, lines, AWS messages and Gemini's JSON array. Any pieces
 * give the same result; costs some instructions for a piece of an event stream. Pure; one owner thread. */
#ifndef METER_TAP_EDGE_H
#define METER_TAP_EDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"
#include "meter/api.h"

enum tap_edge_form { EDGE_FORM_NONE, EDGE_FORM_EVENTS, EDGE_FORM_LINES, EDGE_FORM_AWS, EDGE_FORM_ARRAY };

enum tap_edge_place {
	EDGE_INSIDE, /* of an event; or the form is none that could be ended early */
	EDGE_FIRST,  /* nothing was sent yet */
	EDGE_OPEN,   /* array: behind its bracket */
	EDGE_AFTER,  /* a whole event */
	EDGE_COMMA,  /* array: behind the comma that follows an element */
};

struct tap_edge {
	uint8_t form, place;
	bool in_string, escaped; /* array */
	uint8_t n;               /* AWS: bytes of the length at hand; events: bytes in `last` */
	uint8_t last[4];
	uint32_t left; /* AWS: of the message at hand; array: depth */
};

/* By the answer's content type and the kind of call, which both must be such that envelope_stream_end (or _array_end)
 * has words for them. */
void tap_edge_init(struct tap_edge *, enum api_kind, struct slice content_type) NONNULL(1);
/* The next bytes that the client gets. */
void tap_edge_feed(struct tap_edge *, const char *p, size_t n) NONNULL(1);
static inline enum tap_edge_place tap_edge_place(const struct tap_edge *e)
{
	return (enum tap_edge_place)e->place;
}
/* The longest beginning of p[0..n) behind which an edge lies: its length, and *inout is there. SIZE_MAX: there is none,
 * nor are we at one now; nothing was changed. */
size_t tap_edge_last(struct tap_edge *inout, const char *p, size_t n) NONNULL(1);

#endif
