/* fuzz_ws - frames of a WebSocket server: whole and split agree. First byte: the split. */
#include <stdint.h>

#include "base/error.h"
#include "meter/frame_ws.h"
#include "tests/fuzz/frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(void *ctx, const char *p, size_t n)
{
	struct frame_ws *f = ctx;
	bool failed = f->failed;

	CHECK(frame_ws_feed(f, p, n) == (f->failed ? BUR_INVALID : BUR_OK));
	CHECK(f->failed || !failed);
}

static char *run(const uint8_t *p, size_t n, unsigned split, size_t *ret_n, int *ret_finish)
{
	struct frames got = {0};
	struct frame_ws f;
	char *text;

	frame_ws_init(&f, (struct frame_out){&frames_ops, &got});
	frames_split(&f, feed, p, n, split);
	*ret_finish = frame_ws_finish(&f);
	text = frames_take(&got);
	*ret_n = got.n;
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *a, *b;
	size_t n, m;
	int r, s;

	if (size < 1)
		return 0;
	a = run(data + 1, size - 1, 0, &n, &r);
	b = run(data + 1, size - 1, 1 + data[0] % 9, &m, &s);
	CHECK(r == s && n == m && memcmp(a, b, n) == 0);
	free(a);
	free(b);
	return 0;
}
