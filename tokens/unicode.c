#include "tokens/unicode.h"

#include <string.h>

/* Bytes of the character that a first byte over 0x7f announces; 0: none begins so. */
static unsigned announced(uint8_t b)
{
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

/* Steps of 32 bytes that are ASCII. */
static size_t skip_ascii(const uint8_t *p, size_t i, size_t n)
{
	uint64_t w[4];

	for (; n - i >= sizeof(w); i += sizeof(w)) {
		memcpy(w, p + i, sizeof(w));
		if ((w[0] | w[1] | w[2] | w[3]) & 0x8080808080808080ull)
			break;
	}
	return i;
}

size_t utf8_valid(const uint8_t *p, size_t n, size_t *ret_bad)
{
	size_t i = 0;

	while (i < n) {
		unsigned want;
		size_t got;

		if (p[i] < 0x80) {
			i = skip_ascii(p, i, n);
			while (i < n && p[i] < 0x80)
				i++;
			continue;
		}
		want = announced(p[i]);
		got = character(p + i, n - i, want);
		if (want == 0 || got < want) {
			*ret_bad = want != 0 && i + got == n ? 0 : got;
			return i;
		}
		i += want;
	}
	*ret_bad = 0;
	return n;
}
