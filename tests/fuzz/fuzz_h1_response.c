/* Answer heads: the first byte chooses the request's method; whole and byte by byte must agree. */
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "base/error.h"
#include "net/h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct h1_head whole, pieces;
	struct h1_scan scan = {0};
	enum h1_error e1 = H1_NONE, e2 = H1_NONE;
	enum h1_method method;
	const char *p;
	int r1, r2 = BUR_AGAIN;

	if (size == 0)
		return 0;
	method = (enum h1_method)(data[0] % (H1_OTHER + 1));
	p = (const char *)data + 1;
	size--;
	r1 = h1_parse_response(&scan, p, size, method, &whole, &e1);
	scan = (struct h1_scan){0};
	for (size_t n = 1; n <= size && r2 == BUR_AGAIN; n++)
		r2 = h1_parse_response(&scan, p, n, method, &pieces, &e2);
	CHECK(r1 == r2 && (r1 != BUR_INVALID || e1 == e2));
	if (r1 == BUR_OK) {
		CHECK(whole.status == pieces.status && whole.status >= 100 && whole.status <= 999);
		CHECK(whole.framing == pieces.framing && whole.content_length == pieces.content_length);
		CHECK(whole.framing != H1_UNTIL_EOF || !whole.keep_alive);
		for (size_t i = 0; i < whole.n_fields; i++)
			(void)h1_is_hop_by_hop(&whole, &whole.fields[i]);
	}
	return 0;
}
