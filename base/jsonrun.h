/* jsonrun.h - the inside of long JSON strings at memory speed. Pure, any thread. */
#ifndef BASE_JSONRUN_H
#define BASE_JSONRUN_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

/* p[0..n) stands inside a string, at the beginning of a character. Length of the run of whole characters and escapes
 * that are valid beyond doubt; adds what they decode to, in UTF-8, to *inout_decoded. The run stops before the closing
 * quote, a control byte, bad UTF-8, half of a surrogate pair, and what is cut off at the end: all that is for the
 * caller. */
size_t jsonrun_text(const char *p, size_t n, uint64_t *inout_decoded) NONNULL(1, 3);

#endif
