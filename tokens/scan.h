/* scan.h - cuts text into the pieces that tokens never cross: the two vocabularies' patterns, written out by hand.
 *
 * Pure, any thread; linear. The text is valid UTF-8. Patterns: openai/tiktoken, tiktoken_ext/openai_public.py. */
#ifndef TOKENS_SCAN_H
#define TOKENS_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

/* Length of the first piece of [p, end), p < end. *inout_open is set when the answer may be another if text followed
 * at `end`; it is never cleared. */
typedef size_t scan_fn(const uint8_t *p, const uint8_t *end, bool *inout_open);
size_t scan_o200k(const uint8_t *p, const uint8_t *end, bool *inout_open) NONNULL(1, 2, 3);
size_t scan_cl100k(const uint8_t *p, const uint8_t *end, bool *inout_open) NONNULL(1, 2, 3);

#endif
