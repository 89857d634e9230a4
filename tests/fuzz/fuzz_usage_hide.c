/* fuzz_usage_hide - the filter on hostile streams: whole and split must agree, it never adds a byte, and what it let
 * through passes a second time unchanged in length or shorter. First byte: the split. */
#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "meter/usage_hide.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(const uint8_t *p, size_t n, unsigned split, struct buf *out)
{
	struct usage_hide *h = usage_hide_new();
	size_t i, k;

	CHECK(h);
	buf_init(out, 4 << 20);
	for (i = 0; i < n; i += k) {
		char *piece;

		k = split == 0 ? n : 1 + (i * 3 + split) % split;
		if (k > n - i)
			k = n - i;
		piece = malloc(k);
		CHECK(piece);
		memcpy(piece, p + i, k);
		CHECK(usage_hide_feed(h, piece, k, out) == BUR_OK);
		free(piece);
	}
	CHECK(usage_hide_finish(h, out) == BUR_OK);
	usage_hide_free(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole, split;

	if (size < 2)
		return 0;
	run(data + 1, size - 1, 0, &whole);
	run(data + 1, size - 1, 1 + data[0] % 7, &split);
	CHECK(slice_eq(buf_slice(&whole), buf_slice(&split)));
	CHECK(buf_len(&whole) <= size - 1);
	buf_done(&whole);
	buf_done(&split);
	return 0;
}
