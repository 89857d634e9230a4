/* unescape.h - the text of a JSON string, decoded as its raw bytes come. For what the JSON reader does not keep:
 * strings of any length. The reader stays the judge of what is well-formed; this follows it. Pure; one owner thread. */
#ifndef METER_UNESCAPE_H
#define METER_UNESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

struct unescape {
	uint8_t state, digits;
	uint16_t unit, high; /* \uXXXX being read; a high surrogate that waits for its fellow */
	char text[8];
};

/* What is fed first stands before the opening quote (white space, colon, comma), which is skipped. */
void unescape_init(struct unescape *) NONNULL(1);
/* The next run of decoded text; it points into p or into the decoder, and is good until the next call. False: p is used
 * up, or the closing quote was met (unescape_over). A lone surrogate is U+FFFD. A run may end inside a character. */
bool unescape_next(struct unescape *, const char *p, size_t n, size_t *inout_i, struct slice *ret) NONNULL(1, 4, 5);
bool unescape_over(const struct unescape *) NONNULL(1);

#endif
