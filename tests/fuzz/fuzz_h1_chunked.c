/* Chunked bodies: whole and byte by byte must give the same payload, the same end, the same error. */
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "base/error.h"
#include "base/slice.h"
#include "net/h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
	struct h1_body body;
	int result;
	size_t read;
	uint32_t payload_crc;
};

static void decode(const char *p, size_t size, size_t step, struct outcome *ret)
{
	struct slice piece;

	*ret = (struct outcome){.result = BUR_AGAIN};
	h1_body_init(&ret->body, H1_CHUNKED, 0);
	while (ret->result == BUR_AGAIN && ret->read < size) {
		size_t n = size - ret->read < step ? size - ret->read : step, i = 0;

		while ((ret->result = h1_body_next(&ret->body, p + ret->read, n, &i, &piece)) == BUR_OK) {
			CHECK(piece.n > 0);
			ret->payload_crc = crc32c(ret->payload_crc, piece.p, piece.n);
		}
		CHECK(ret->result != BUR_AGAIN || i == n);
		ret->read += i;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole, pieces;

	decode((const char *)data, size, SIZE_MAX, &whole);
	decode((const char *)data, size, 1, &pieces);
	CHECK(whole.result == pieces.result && whole.read == pieces.read && whole.body.error == pieces.body.error);
	CHECK(whole.payload_crc == pieces.payload_crc && whole.body.total == pieces.body.total);
	CHECK(h1_body_eof_ok(&whole.body) == (whole.result == BUR_EOF));
	return 0;
}
