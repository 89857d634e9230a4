/* fuzz_batch_file - uploads of batch files from hostile bytes: whole and split must agree. First byte: whether the
 * bytes stand in a form made here; second: the size of pieces. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "meter/batch_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEAD                                                                                                           \
	"--B\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--B\r\nContent-Disposition: "         \
	"form-data; name=\"file\"; filename=\"f\"\r\n\r\n"

static void feed(struct batch_file *b, const char *p, size_t n, size_t piece)
{
	for (size_t i = 0, k; i < n; i += k) {
		char *copy;

		k = piece < n - i ? piece : n - i;
		copy = malloc(k); /* so that the sanitizer sees the borders */
		CHECK(copy);
		memcpy(copy, p + i, k);
		batch_file_feed(b, copy, k);
		free(copy);
	}
}

/* A copy; false: no batch. */
static bool read_all(const char *p, size_t n, size_t piece, bool framed, struct batch_sum *ret)
{
	struct batch_file *b = batch_file_new(SLICE("openai"), SLICE("multipart/form-data; boundary=B"));
	const struct batch_sum *sum;

	CHECK(b);
	if (framed)
		feed(b, HEAD, sizeof(HEAD) - 1, piece);
	feed(b, p, n, piece);
	if (framed)
		feed(b, "\r\n--B--\r\n", 9, piece);
	sum = batch_file_end(b);
	memset(ret, 0, sizeof(*ret));
	if (sum) {
		CHECK(sum->n <= BATCH_MODELS_MAX && (sum->why[0] == '\0' || sum->n == 0));
		memcpy(ret->why, sum->why, sizeof(ret->why));
		ret->kind = sum->kind;
		ret->items = sum->items;
		ret->n = sum->n;
		memcpy(ret->of, sum->of, sum->n * sizeof(sum->of[0]));
	}
	batch_file_free(b);
	return sum != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct batch_sum whole, split;
	bool framed, is_batch;
	size_t piece;

	if (size < 2)
		return 0;
	framed = data[0] & 1;
	piece = data[1] % 40 + 1;
	data += 2;
	size -= 2;
	is_batch = read_all((const char *)data, size, size + 1, framed, &whole);
	CHECK(read_all((const char *)data, size, piece, framed, &split) == is_batch);
	CHECK(strcmp(whole.why, split.why) == 0);
	if (whole.why[0] == '\0') /* how far a line was read before it was given up is nobody's business */
		CHECK(memcmp(&whole, &split, sizeof(whole)) == 0);
	return 0;
}
