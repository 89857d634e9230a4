/* unicode.h - classes of characters, as the tokenizers' patterns tell them apart. Unicode 16.0; pure, any thread. */
#ifndef TOKENS_UNICODE_H
#define TOKENS_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

enum unicode_class {
	UC_OTHER,   /* punctuation, symbols, controls, unassigned */
	UC_UPPER,   /* Lu Lt */
	UC_LOWER,   /* Ll */
	UC_LETTER,  /* Lm Lo: letters without case */
	UC_MARK,    /* M */
	UC_NUMBER,  /* N */
	UC_SPACE,   /* White_Space but the next two */
	UC_NEWLINE, /* U+000A, U+000D */
};

#define UNICODE_BLOCK 128
#define UNICODE_BLOCKS (0x110000 / UNICODE_BLOCK)
extern const uint8_t unicode_stage1[UNICODE_BLOCKS];
extern const uint8_t unicode_stage2[][UNICODE_BLOCK];

/* cp < 0x110000. */
static inline enum unicode_class unicode_class(uint32_t cp)
{
	return unicode_stage2[unicode_stage1[cp / UNICODE_BLOCK]][cp % UNICODE_BLOCK];
}

/* Reads one character of valid UTF-8; *ret_n is its length. */
static inline uint32_t utf8_read(const uint8_t *p, size_t *ret_n)
{
	if (p[0] < 0x80) {
		*ret_n = 1;
		return p[0];
	}
	if (p[0] < 0xe0) {
		*ret_n = 2;
		return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
	}
	if (p[0] < 0xf0) {
		*ret_n = 3;
		return (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
	}
	*ret_n = 4;
	return (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
}

/* The length of the valid UTF-8 that p begins with (RFC 3629: no surrogates, nothing over U+10FFFF, shortest form).
 * When it is less than n, *ret_bad is how many of the bytes behind it are one maximal bad sequence (Unicode 16.0,
 * 3.9 "substitution of maximal subparts"), or 0 when they are the beginning of a character that n cuts off. */
size_t utf8_valid(const uint8_t *p, size_t n, size_t *ret_bad) NONNULL(3);

#endif
