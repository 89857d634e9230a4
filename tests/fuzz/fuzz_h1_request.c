/* Request heads: fed whole and byte by byte the verdict must be the same; accepted ones must survive being written
 * anew. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "net/h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_rewritten(const struct h1_head *h)
{
	static struct h1_head again;
	struct h1_scan scan = {0};
	struct h1_writer w;
	enum h1_error e;
	struct buf out;

	buf_init(&out, 4 * H1_HEAD_MAX);
	h1_write_request(&w, &out, h->method_text, h->target);
	for (size_t i = 0; i < h->n_fields; i++)
		h1_write_field(&w, h->fields[i].name, h->fields[i].value);
	CHECK(h1_write_end(&w) == BUR_OK);
	if (h->minor == 1 && buf_len(&out) <= H1_HEAD_MAX) {
		CHECK(h1_parse_request(&scan, out.mem + out.head, buf_len(&out), &again, &e) == BUR_OK);
		CHECK(again.framing == h->framing && again.content_length == h->content_length);
		CHECK(again.n_fields == h->n_fields && again.method == h->method && slice_eq(again.target, h->target));
		for (size_t i = 0; i < h->n_fields; i++)
			CHECK(again.fields[i].id == h->fields[i].id &&
			      slice_eq(again.fields[i].value, h->fields[i].value));
	}
	buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct h1_head whole, pieces;
	struct h1_scan scan = {0};
	enum h1_error e1 = H1_NONE, e2 = H1_NONE;
	int r1 = h1_parse_request(&scan, (const char *)data, size, &whole, &e1), r2 = BUR_AGAIN;

	scan = (struct h1_scan){0};
	for (size_t n = 1; n <= size && r2 == BUR_AGAIN; n++)
		r2 = h1_parse_request(&scan, (const char *)data, n, &pieces, &e2);
	CHECK(r1 == r2 && (r1 != BUR_INVALID || e1 == e2));
	if (r1 != BUR_OK)
		return 0;
	CHECK(whole.head_bytes == pieces.head_bytes && whole.head_bytes <= size && whole.framing == pieces.framing);
	check_rewritten(&whole);
	return 0;
}
