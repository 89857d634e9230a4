/* fuzz_decode - content codings on hostile bytes: whole and split agree, limits hold. First byte: which codings. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "meter/decode.h"

#define MAX_BYTES (256 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
	char *p;
	size_t n;
	int feed, finish;
};

static int sink(void *ctx, const char *p, size_t n)
{
	struct result *r = ctx;

	CHECK(n > 0 && r->n + n <= MAX_BYTES);
	memcpy(r->p + r->n, p, n);
	r->n += n;
	return BUR_OK;
}

static struct result run(const char *codings, bool strict, const uint8_t *p, size_t n, unsigned split)
{
	struct decode_limits l = {MAX_BYTES, UINT64_C(1) << 40, MAX_BYTES, strict};
	struct result r = {malloc(MAX_BYTES), 0, BUR_OK, BUR_OK};
	struct decode *d;
	size_t i, k;

	CHECK(r.p && decode_new(slice_of(codings), &l, sink, &r, &d) == BUR_OK);
	for (i = 0; i < n; i += k) {
		char *piece;

		k = split == 0 ? n : 1 + (i * 5 + split) % split;
		if (k > n - i)
			k = n - i;
		piece = malloc(k);
		CHECK(piece);
		memcpy(piece, p + i, k);
		r.feed = decode_feed(d, piece, k);
		free(piece);
	}
	r.finish = decode_finish(d);
	CHECK(r.feed == BUR_OK || r.finish == r.feed);
	decode_free(d);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const codings[] = {"gzip",     "deflate",    "br",       "zstd",
					      "gzip, br", "zstd, gzip", "identity", "deflate, zstd"};
	struct result a, b;
	const char *c;

	if (size < 1)
		return 0;
	c = codings[data[0] & 7];
	a = run(c, data[0] & 8, data + 1, size - 1, 0);
	b = run(c, data[0] & 8, data + 1, size - 1, 1 + (data[0] >> 4));
	CHECK(a.feed == b.feed && a.finish == b.finish);
	/* of broken input a library may keep some to itself */
	if (a.feed == BUR_OK)
		CHECK(a.n == b.n && memcmp(a.p, b.p, a.n) == 0);
	free(a.p);
	free(b.p);
	return 0;
}
