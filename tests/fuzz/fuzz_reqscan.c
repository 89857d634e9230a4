/* fuzz_reqscan - the request scanner on hostile bodies: whole and split must agree, and the planned edit must make a
 * request that asks for usage. First byte: which API. */
#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "meter/reqscan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int scan(struct reqscan *s, enum api_kind kind, const char *p, size_t n, unsigned split)
{
	size_t i, k;

	reqscan_init(s, kind);
	for (i = 0; i < n; i += k) {
		char *piece;

		k = split == 0 ? n : 1 + (i * 7 + split) % split;
		if (k > n - i)
			k = n - i;
		piece = malloc(k); /* so that the sanitizer sees the borders */
		CHECK(piece);
		memcpy(piece, p + i, k);
		if (reqscan_feed(s, piece, k) < 0)
			i = n - k;
		free(piece);
	}
	return reqscan_finish(s);
}

static void check_edit(const struct reqscan *s, const char *p, size_t n)
{
	const struct body_edit *e = &s->info.usage_edit;
	size_t text_n = strlen(e->text);
	static struct reqscan again;
	char *edited;

	CHECK(e->from <= e->to && e->to <= n);
	edited = malloc(n + text_n);
	CHECK(edited);
	memcpy(edited, p, e->from);
	memcpy(edited + e->from, e->text, text_n);
	memcpy(edited + e->from + text_n, p + e->to, n - e->to);
	CHECK(scan(&again, API_CHAT, edited, n + text_n - (e->to - e->from), 0) == BUR_OK);
	CHECK(again.info.include_usage && !again.info.has_usage_edit);
	free(edited);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct reqscan whole, split;
	enum api_kind kind;
	const char *p;
	size_t n;
	int r;

	if (size < 2)
		return 0;
	kind = (enum api_kind)(data[0] % (API_GENERATE + 1));
	p = (const char *)data + 1;
	n = size - 1;
	r = scan(&whole, kind, p, n, 0);
	CHECK(scan(&split, kind, p, n, 1 + data[0] % 5) == r);
	CHECK(whole.error == split.error && strcmp(whole.error_key, split.error_key) == 0);
	if (r != BUR_OK)
		return 0;
	CHECK(memcmp(&whole.info, &split.info, sizeof(whole.info)) == 0);
	CHECK(whole.info.image_bytes <= whole.info.body_bytes);
	if (whole.info.has_usage_edit)
		check_edit(&whole, p, n);
	return 0;
}
