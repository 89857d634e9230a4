/* fuzz_prompt - the prompt of hostile bodies: what the scanner takes is counted without fault, and what is called exact
 * is no more than the bytes and the framing. First byte: which API; second: which model. */
#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "meter/prompt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const models[] = {"gpt-5.4", "gpt-4", "claude-opus-5-5", "gemini-3-pro"};
	static struct reqscan scan;
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
		if (r == BUR_OK && count.exact)
			CHECK(count.tokens <= n + 8 * scan.info.messages + 64 + count.image_tokens + 5 * n);
	}
	free(body);
	return 0;
}
