/* fuzz_reqscan - the request scanner on hostile bodies: whole and split must agree, and the planned edits must make a
 * request that asks for usage, and one that has the bound. First byte: which API; second: form, model, provider. */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "meter/reqscan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int scan(struct reqscan *s, const struct reqscan_options *o, const char *p, size_t n, unsigned split)
{
	size_t i, k;

	reqscan_begin(s, o);
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

/* The body with bytes [from, to) replaced by a text. */
static int scan_edited(struct reqscan *s, const struct reqscan_options *o, const char *p, size_t n, uint64_t from,
		       uint64_t to, const char *text)
{
	size_t text_n = strlen(text);
	char *edited;
	int r;

	CHECK(from <= to && to <= n);
	edited = malloc(n + text_n);
	CHECK(edited);
	memcpy(edited, p, from);
	memcpy(edited + from, text, text_n);
	memcpy(edited + from + text_n, p + to, n - to);
	r = scan(s, o, edited, n + text_n - (to - from), 0);
	free(edited);
	return r;
}

static void check_usage_edit(const struct reqscan *s, const struct reqscan_options *o, const char *p, size_t n)
{
	const struct body_edit *e = &s->info.usage_edit;
	static struct reqscan again;

	CHECK(scan_edited(&again, o, p, n, e->from, e->to, e->text) == BUR_OK);
	CHECK(again.info.include_usage && !again.info.has_usage_edit);
}

static void check_max_out_edit(const struct reqscan *s, const struct reqscan_options *o, const char *p, size_t n)
{
	const struct max_out_edit *e = &s->info.max_out_edit;
	static struct reqscan again;
	char text[128];

	(void)snprintf(text, sizeof(text), "%s7%s", e->before, e->after);
	CHECK(scan_edited(&again, o, p, n, e->from, e->to, text) == BUR_OK);
	CHECK(again.info.has_max_out && again.info.max_out == 7);
}

static void check_model_edit(const struct reqscan *s, const struct reqscan_options *o, const char *p, size_t n)
{
	static struct reqscan again;

	CHECK(p[s->info.model_edit.from] == '"' && p[s->info.model_edit.to - 1] == '"');
	CHECK(scan_edited(&again, o, p, n, s->info.model_edit.from, s->info.model_edit.to, "\"m-2\"") == BUR_OK);
	CHECK(strcmp(again.info.model, "m-2") == 0);
}

static void check_thinking_edit(const struct reqscan *s, const struct reqscan_options *o, const char *p, size_t n)
{
	static struct reqscan again;

	CHECK(s->info.thinking_budget > 0);
	CHECK(scan_edited(&again, o, p, n, s->info.thinking_edit.from, s->info.thinking_edit.to, "1234") == BUR_OK);
	CHECK(again.info.thinking_budget == 1234 && again.info.thinking_edit.to > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const models[] = {
	    "",         "us.anthropic.claude-x", "meta.llama4", "amazon.titan-x", "amazon.nova-x", "mistral.x",
	    "openai.x", "cohere.rerank-x"};
	static const char *const providers[] = {"", "openai", "deepseek"};
	static struct reqscan whole, split;
	struct reqscan_options o = {0};
	const char *p;
	size_t n;
	int r;

	if (size < 3)
		return 0;
	o.kind = (enum api_kind)(data[0] % API_KIND_COUNT);
	o.model = slice_of(models[data[1] % 8]);
	o.provider = slice_of(providers[data[1] / 8 % 3]);
	if (data[1] & 0x80)
		o.content_type = SLICE("multipart/form-data; boundary=B");
	p = (const char *)data + 2;
	n = size - 2;
	memset(&whole, 0xaa, sizeof(whole));
	memset(&split, 0x55, sizeof(split));
	r = scan(&whole, &o, p, n, 0);
	CHECK(scan(&split, &o, p, n, 1 + data[0] % 5) == r);
	CHECK(whole.error == split.error && strcmp(whole.error_key, split.error_key) == 0);
	if (r != BUR_OK)
		return 0;
	CHECK(memcmp(&whole.info, &split.info, sizeof(whole.info)) == 0);
	CHECK(whole.info.image_bytes <= whole.info.body_bytes && whole.info.upload_bytes <= whole.info.body_bytes);
	CHECK(whole.info.image_sums.sized <= whole.info.images && whole.info.input_chars <= whole.info.body_bytes);
	if (whole.info.has_usage_edit)
		check_usage_edit(&whole, &o, p, n);
	if (whole.info.max_out_edit.before)
		check_max_out_edit(&whole, &o, p, n);
	if (whole.info.model_edit.to > 0)
		check_model_edit(&whole, &o, p, n);
	if (whole.info.thinking_edit.to > 0)
		check_thinking_edit(&whole, &o, p, n);
	return 0;
}
