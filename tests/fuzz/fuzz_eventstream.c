/* fuzz_eventstream - AWS event streams: whole and split agree; a wrapped chunk is what jansson and base64_decode make
 * of it. First byte: the split, and what the rest is: bytes as they are, messages to be given checksums, or the payload
 * of one chunk. */
#include <stdint.h>

#include <jansson.h>
#include <zlib.h>

#include "base/error.h"
#include "meter/frame_aws.h"
#include "tests/fuzz/frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(void *ctx, const char *p, size_t n)
{
	struct frame_aws *f = ctx;
	bool failed = f->failed;

	CHECK(frame_aws_feed(f, p, n) == (f->failed ? BUR_INVALID : BUR_OK));
	CHECK(f->failed || !failed);
}

static char *run(const uint8_t *p, size_t n, unsigned split, size_t *ret_n, int *ret_finish)
{
	struct frame_aws *f = malloc(sizeof(*f));
	struct frames got = {0};
	char *text;

	CHECK(f);
	frame_aws_init(f, (struct frame_out){&frames_ops, &got});
	frames_split(f, feed, p, n, split);
	*ret_finish = frame_aws_finish(f);
	free(f);
	text = frames_take(&got);
	*ret_n = got.n;
	return text;
}

static void put_u32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* Appends a message with the right lengths and checksums; returns its length. */
static size_t message(uint8_t *dst, const void *headers, size_t headers_n, const void *payload, size_t n)
{
	size_t total = 16 + headers_n + n;

	put_u32(dst, (uint32_t)total);
	put_u32(dst + 4, (uint32_t)headers_n);
	put_u32(dst + 8, (uint32_t)crc32(0, dst, 8));
	if (headers_n > 0)
		memcpy(dst + 12, headers, headers_n);
	if (n > 0)
		memcpy(dst + 12 + headers_n, payload, n);
	put_u32(dst + total - 4, (uint32_t)crc32(0, dst, (uInt)total - 4));
	return total;
}

/* Each message: length of its headers, length of its payload, both. */
static size_t messages(uint8_t *dst, const uint8_t *p, size_t n)
{
	size_t i = 0, used = 0;

	while (n - i >= 2) {
		size_t headers_n = p[i], payload_n = p[i + 1];

		i += 2;
		headers_n = headers_n < n - i ? headers_n : n - i;
		payload_n = payload_n < n - i - headers_n ? payload_n : n - i - headers_n;
		used += message(dst + used, p + i, headers_n, p + i + headers_n, payload_n);
		i += headers_n + payload_n;
	}
	return used;
}

static const char chunk_headers[] = "\13:event-type\7\0\5chunk\15:message-type\7\0\5event";

/* What stands in a chunk, when jansson can read it. */
static void check_chunk(const uint8_t *p, size_t n, const char *got, size_t got_n)
{
	json_t *doc = json_loadb((const char *)p, n, 0, NULL);
	const char *text = json_string_value(json_object_get(doc, "bytes"));
	char *want = malloc(n + 2);
	size_t want_n = 0;

	CHECK(want);
	want[0] = '[';
	if (text && strlen(text) % 4 == 0 && base64_decode(slice_of(text), want + 1, n, &want_n) == BUR_OK) {
		want[1 + want_n] = ']';
		CHECK(got_n == want_n + 2 && memcmp(got, want, got_n) == 0);
	} else if (doc) {
		CHECK(got_n == 0);
	}
	free(want);
	json_decref(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *wire;
	size_t n = size - 1, a_n, b_n;
	char *a, *b;
	int r, s;

	if (size < 1)
		return 0;
	wire = malloc(size * 10 + 100);
	CHECK(wire);
	if ((data[0] & 3) == 0)
		memcpy(wire, data + 1, n);
	else if ((data[0] & 3) == 1)
		n = messages(wire, data + 1, n);
	else
		n = message(wire, chunk_headers, sizeof(chunk_headers) - 1, data + 1, n);
	a = run(wire, n, 0, &a_n, &r);
	b = run(wire, n, 1 + (data[0] >> 2), &b_n, &s);
	CHECK(r == s && a_n == b_n && memcmp(a, b, a_n) == 0);
	if (data[0] & 2)
		check_chunk(data + 1, size - 1, a, a_n);
	free(a);
	free(b);
	free(wire);
	return 0;
}
