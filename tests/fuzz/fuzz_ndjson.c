/* fuzz_ndjson - JSON lines: whole and split agree, and both with a plain cut at line feeds. First byte: the split. */
#include <stdint.h>

#include "meter/frame_lines.h"
#include "tests/fuzz/frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(void *f, const char *p, size_t n)
{
	frame_lines_feed(f, p, n);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* White space at the ends of a line counts for nothing; which of it is handed on depends on the split. */
static void end_trimmed(void *ctx)
{
	struct frames *f = ctx;

	while (f->n > f->begun_at + 1 && is_space(f->text[f->n - 1]))
		f->n--;
	frames_end(ctx);
}

static const struct frame_ops ops = {frames_begin, frames_data, frames_name, end_trimmed, frames_whole, frames_done};

static char *run(const uint8_t *p, size_t n, unsigned split)
{
	struct frames got = {0};
	struct frame_lines f;

	frame_lines_init(&f, (struct frame_out){&ops, &got});
	frames_split(&f, feed, p, n, split);
	frame_lines_finish(&f);
	return frames_take(&got);
}

static char *plain(const char *p, size_t n)
{
	struct frames got = {0};
	const char *end = p + n, *stop, *next;

	for (; p < end; p = next) {
		stop = memchr(p, '\n', (size_t)(end - p));
		stop = stop ? stop : end;
		next = stop + 1;
		while (p < stop && is_space(*p))
			p++;
		while (p < stop && is_space(stop[-1]))
			stop--;
		if (p < stop)
			frames_whole(&got, p, (size_t)(stop - p));
	}
	return frames_take(&got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *a, *b, *c;

	if (size < 1 || memchr(data + 1, '\0', size - 1))
		return 0;
	a = run(data + 1, size - 1, 0);
	b = run(data + 1, size - 1, 1 + data[0] % 9);
	c = plain((const char *)data + 1, size - 1);
	CHECK(strcmp(a, b) == 0);
	CHECK(strcmp(a, c) == 0);
	free(a);
	free(b);
	free(c);
	return 0;
}
