/* digits.h - decimal digits two at a time (inline; log and amount stand on it). Pure. */
#ifndef BASE_DIGITS_H
#define BASE_DIGITS_H

#include <stdint.h>
#include <string.h>

/* Writes the two digits of v <= 99. */
static inline void digits_two(char *dst, uint32_t v)
{
	static const char pairs[] = "0001020304050607080910111213141516171819"
				    "2021222324252627282930313233343536373839"
				    "4041424344454647484950515253545556575859"
				    "6061626364656667686970717273747576777879"
				    "8081828384858687888990919293949596979899";

	memcpy(dst, pairs + 2 * v, 2);
}

/* The digits of v right-aligned in front of `end` (at most 20); returns where they begin. */
static inline char *digits_before(char *end, uint64_t v)
{
	for (; v >= 100; v /= 100) {
		end -= 2;
		digits_two(end, (uint32_t)(v % 100));
	}
	if (v >= 10) {
		end -= 2;
		digits_two(end, (uint32_t)v);
	} else {
		*--end = (char)('0' + (int)v);
	}
	return end;
}

#endif
