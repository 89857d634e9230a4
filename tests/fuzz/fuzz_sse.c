/* fuzz_sse - event streams: whole and split agree, and both with a plain reading of the rules line by line. First byte:
 * the split. */
#include <stdint.h>

#include "meter/frame_sse.h"
#include "tests/fuzz/frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(void *f, const char *p, size_t n)
{
	frame_sse_feed(f, p, n);
}

static char *run(const uint8_t *p, size_t n, unsigned split)
{
	struct frames got = {0};
	struct frame_sse f;

	frame_sse_init(&f, (struct frame_out){&frames_ops, &got});
	frames_split(&f, feed, p, n, split);
	frame_sse_finish(&f);
	return frames_take(&got);
}

/* The data of one event, taken over. */
static void plain_event(struct frames *got, char *text, size_t n, bool any)
{
	if (any && n >= 6 && memcmp(text, "[DONE]", 6) == 0)
		frames_done(got);
	else if (any)
		frames_whole(got, text, n);
}

static char *plain(const char *p, size_t n)
{
	struct frames got = {0};
	char *data = malloc(n + 1);
	size_t i = 0, data_n = 0, skip;
	bool any = false;

	CHECK(data);
	if (n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
		i = 3;
	while (i < n) {
		size_t end = i;

		while (end < n && p[end] != '\r' && p[end] != '\n')
			end++;
		if (end == i) {
			plain_event(&got, data, data_n, any);
			any = false;
		} else if (end - i >= 4 && memcmp(p + i, "data", 4) == 0 && (end - i == 4 || p[i + 4] == ':')) {
			skip = end - i == 4 ? 4 : end - i > 5 && p[i + 5] == ' ' ? 6 : 5;
			data_n = any ? data_n : 0;
			if (any)
				data[data_n++] = '\n';
			memcpy(data + data_n, p + i + skip, end - i - skip);
			data_n += end - i - skip;
			any = true;
		}
		i = end + 1 + (end + 1 < n && p[end] == '\r' && p[end + 1] == '\n');
	}
	plain_event(&got, data, data_n, any);
	free(data);
	return frames_take(&got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *a, *b, *c;

	/* the events are compared as text */
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
