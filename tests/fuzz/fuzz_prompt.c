/* fuzz_prompt - the prompt of hostile bodies: what the scanner takes is counted without fault, and what is called exact
 * is no more than the bytes and the framing. First byte: which API; second: which model. */
#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "meter/prompt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct reqscan scan;

/* In slices it is the same. */
static void count_slices(enum api_kind kind, struct slice model, struct slice body, size_t slice,
			 const struct prompt_count *whole)
{
	static struct prompt_scan c;
	struct prompt_count count;
	int r = prompt_scan_begin(&c, kind, SLICE("openai"), model, &scan.info, NULL);

	CHECK(r == BUR_OK);
	while ((r = prompt_scan_step(&c, body, slice)) == BUR_AGAIN)
		continue;
	CHECK(r == BUR_OK);
	prompt_scan_finish(&c, &count);
	CHECK(count.tokens == whole->tokens && count.margin_tokens == whole->margin_tokens &&
	      count.text_tokens == whole->text_tokens && count.script == whole->script);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const models[] = {"gpt-5.4", "gpt-4", "claude-opus-5-5", "gemini-3-pro"};
	struct reqscan_options o = {0};
	struct prompt_count count;
	char *body;
	size_t n;
	int r;

	if (size < 3)
		return 0;
	o.kind = (enum api_kind)(data[0] % API_KIND_COUNT);
	n = size - 2;
	body = malloc(n); /* so that the sanitizer sees the end */
	CHECK(body);
	memcpy(body, data + 2, n);
	reqscan_begin(&scan, &o);
	if (reqscan_feed(&scan, body, n) == BUR_OK && reqscan_finish(&scan) == BUR_OK) {
		r = prompt_count(o.kind, SLICE("openai"), slice_of(models[data[1] % 4]), &scan.info, slice_mem(body, n),
				 NULL, &count);
		CHECK(r == BUR_OK || r == BUR_NOTFOUND);
		if (r == BUR_OK)
			count_slices(o.kind, slice_of(models[data[1] % 4]), slice_mem(body, n), 1 + data[1] / 4,
				     &count);
		if (r == BUR_OK && count.exact)
			CHECK(count.tokens <= n + 8 * scan.info.messages + 64 + count.image_tokens + 5 * n);
	}
	free(body);
	return 0;
}
