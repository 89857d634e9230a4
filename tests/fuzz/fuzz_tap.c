/* fuzz_tap - the tap on hostile answers: whole and split must agree. First byte: which API; second: framing and coding;
 * third: the split. */
#include <stdlib.h>

#include "base/check.h"
#include "meter/tap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct usage run(const struct tap_options *o, const uint8_t *p, size_t n, unsigned split)
{
	struct tap *t = tap_new(o);
	struct usage u;
	size_t i, k;

	CHECK(t);
	for (i = 0; i < n; i += k) {
		char *piece;

		k = split == 0 ? n : 1 + (i * 5 + split) % split;
		if (k > n - i)
			k = n - i;
		piece = malloc(k);
		CHECK(piece);
		memcpy(piece, p + i, k);
		tap_feed(t, piece, k);
		free(piece);
	}
	tap_finish(t, n % 2 == 0, &u);
	tap_free(t);
	return u;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const types[] = {"text/event-stream", "application/json", "application/x-ndjson",
					    "application/vnd.amazon.eventstream"};
	static const char *const codings[] = {"", "gzip", "deflate", "br", "zstd", "gzip, br", "", ""};
	static struct tap_scratch scratch;
	struct tap_options o;
	struct usage a, b;

	if (size < 3)
		return 0;
	o = (struct tap_options){(enum api_kind)(data[0] % API_KIND_COUNT), 200, slice_of(types[data[1] & 3]),
				 slice_of(codings[(data[1] >> 2) & 7]), .count = (data[1] & 0x40) != 0};
	if (o.kind == API_REALTIME && (data[1] & 0x20))
		o.status = 101;
	a = run(&o, data + 3, size - 3, 0);
	o.scratch = &scratch;
	b = run(&o, data + 3, size - 3, 1 + data[2] % 64);
	CHECK(memcmp(&a, &b, sizeof(a)) == 0);
	CHECK(a.output_counted <= a.output_bytes);
	CHECK(!a.complete || (a.has_input && a.has_output));
	CHECK(a.cache_write_1h_tokens <= a.cache_write_tokens);
	return 0;
}
