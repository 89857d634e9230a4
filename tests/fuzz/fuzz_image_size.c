/* fuzz_image_size - picture headers: whole and split must agree, as bytes and as text, and the formulas stay in their
 * bounds. First byte: the split and the form. */
#include <stdlib.h>

#include "base/check.h"
#include "meter/image_size.h"
#include "meter/image_tokens.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool sniff(const char *p, size_t n, size_t split, bool text, uint32_t *ret_w, uint32_t *ret_h)
{
	static struct image_sniff s;
	size_t i, k;

	image_sniff_init(&s);
	for (i = 0; i < n; i += k) {
		char *piece;

		k = split == 0 || split > n - i ? n - i : split;
		piece = malloc(k);
		CHECK(piece);
		memcpy(piece, p + i, k);
		if (text)
			image_sniff_text(&s, piece, k);
		else
			image_sniff_bytes(&s, piece, k);
		free(piece);
	}
	return image_sniff_size(&s, ret_w, ret_h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t w = 0, h = 0, w2 = 0, h2 = 0;
	struct image_sums sums = {0};
	bool known, text;

	if (size < 2)
		return 0;
	text = data[0] & 1;
	known = sniff((const char *)data + 1, size - 1, 0, text, &w, &h);
	CHECK(sniff((const char *)data + 1, size - 1, 1 + data[0] / 2 % 9, text, &w2, &h2) == known);
	CHECK(w == w2 && h == h2);
	if (!known)
		return 0;
	CHECK(w > 0 && h > 0);
	image_sums_add(&sums, w, h, DETAIL_AUTO);
	if (sums.sized == 0)
		return 0;
	CHECK(sums.tiles <= 8 && sums.patches <= 1536 && sums.patches_large <= 10000);
	CHECK(sums.claude_standard <= 1568 && sums.claude_large <= 4784);
	return 0;
}
