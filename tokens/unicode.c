#include "tokens/unicode.h"

#include <string.h>

/* Bytes of the character that a first byte announces; 0: none begins so. */
static unsigned announced(uint8_t b)
{
	if (b < 0x80)
		return 1;
	if (b < 0xc2 || b > 0xf4)
		return 0;
	return b < 0xe0 ? 2 : b < 0xf0 ? 3 : 4;
}

/* May b stand second behind `first`? Keeps out long forms, surrogates and what is over U+10FFFF. */
static bool second_fits(uint8_t first, uint8_t b)
{
	switch (first) {
	case 0xe0:
		return b >= 0xa0 && b <= 0xbf;
	case 0xed:
		return b >= 0x80 && b <= 0x9f;
	case 0xf0:
		return b >= 0x90 && b <= 0xbf;
	case 0xf4:
		return b >= 0x80 && b <= 0x8f;
	default:
		return (b & 0xc0) == 0x80;
	}
}

/* How many of the character's bytes are there and right. */
static size_t character(const uint8_t *p, size_t n, unsigned want)
{
	size_t i = 1;

	if (n < 2 || want < 2 || !second_fits(p[0], p[1]))
		return 1;
	for (i = 2; i < want && i < n && (p[i] & 0xc0) == 0x80; i++)
		;
	return i;
}

size_t utf8_valid(const uint8_t *p, size_t n, size_t *ret_bad)
{
	size_t i = 0;

	while (i < n) {
		uint64_t eight;
		unsigned want;
		size_t got;

		if (n - i >= sizeof(eight)) {
			memcpy(&eight, p + i, sizeof(eight));
			if ((eight & 0x8080808080808080ull) == 0) {
				i += sizeof(eight);
				continue;
			}
		}
		want = announced(p[i]);
		got = want == 1 ? 1 : character(p + i, n - i, want);
		if (want == 0 || got < want) {
			*ret_bad = want != 0 && i + got == n ? 0 : got;
			return i;
		}
		i += want;
	}
	*ret_bad = 0;
	return n;
}
