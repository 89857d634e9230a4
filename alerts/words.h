/* words.h - amounts, shares, times and names as people read them. Pure; any thread. */
#ifndef ALERTS_WORDS_H
#define ALERTS_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

#define WORDS_MAX 64      /* room for each figure below */
#define WORDS_NAME_MAX 96 /* a name, its NUL included */

/* "40.12 USD", "0.0021 USD", "1,234,567 tokens", "1 request". `value` is in nano-USD when the unit is "USD". Money is
 * cut to cents, never rounded up: what is not spent is not shown as spent; under a cent, to two digits. */
char *words_amount(int64_t value, const char *unit, char dst[WORDS_MAX]) NONNULL(2, 3);
/* The same to the last digit, for limits: "0.125 USD". */
char *words_exactly(int64_t value, const char *unit, char dst[WORDS_MAX]) NONNULL(2, 3);
/* Without the unit: "40.12 of 50.00 USD" has it once. */
char *words_figure(int64_t value, const char *unit, char dst[WORDS_MAX]) NONNULL(2, 3);
/* "80 %", "80.2 %", cut to a tenth; whole: "80 %". */
char *words_share(double ratio, bool whole, char dst[WORDS_MAX]) NONNULL(3);
/* "2026-11-21 08:00 UTC"; "" out of the years 1970 to 9999. */
char *words_time(int64_t unix_s, char dst[WORDS_MAX]) NONNULL(2);
/* "45 seconds", "97 minutes", "16 hours", "9 days": two digits are enough. Negative is 0. */
char *words_duration(int64_t seconds, char dst[WORDS_MAX]) NONNULL(2);

/* Text of others, made safe to be put into a line of ours: UTF-8; line ends, tabs and control characters become spaces;
 * what turns or hides text (bidi controls, zero-width characters, tags) goes; text that runs from right to left is
 * fenced by a mark, so that ours around it keeps its order. At most dst_size - 1 bytes, cut on a character's border
 * with an ellipsis. Returns the length. */
size_t words_clean(struct slice text, char *dst, size_t dst_size) NONNULL(2);

bool words_is_control(uint32_t codepoint); /* C0 with line ends and tabs, DEL, C1, line and paragraph separators */
/* Turns text around or cannot be seen; marks that shape text (joiners, the fence above) are none of these. */
bool words_is_hidden(uint32_t codepoint);

/* A text that grows by pieces and is cut when it is full. */
struct text {
	char mem[4096];
	size_t n;
};
void text_add(struct text *, const char *fmt, ...) NONNULL(1, 2) PRINTF_LIKE(2, 3);

#endif
