/* fuzz_json - the reader must say the same of a document however it is cut, and stay inside the input.
 *
 * The first byte picks the mode and the seed of the cuts; the rest is the document. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/json.h"

#define TOKENS_MAX 4096

struct seen {
	uint64_t hash;
	size_t n_tokens;
	bool complete;
};

static uint64_t mix(uint64_t hash, uint64_t v)
{
	return (hash ^ v) * UINT64_C(0x9e3779b97f4a7c15) ^ hash >> 29;
}

static void note(struct seen *s, const struct json_reader *r, enum json_token token)
{
	CHECK(r->depth >= 0 && r->depth <= JSON_DEPTH_MAX && r->text_n <= JSON_CAPTURE_MAX);
	s->n_tokens++;
	s->hash = mix(mix(mix(s->hash, token), (uint64_t)r->depth), r->offset);
	if (token != JT_KEY && token != JT_STRING && token != JT_NUMBER)
		return;
	s->hash = mix(mix(mix(s->hash, r->token_begin), r->length_bytes), r->cut);
	s->hash = mix(s->hash, stable_hash64(r->text, r->text_n));
	CHECK(r->text[r->text_n] == '\0');
}

/* Some values are skipped, by their key or place. */
static bool skips(const struct json_reader *r, enum json_token token)
{
	if (token == JT_KEY)
		return (r->text_n & 1) != 0;
	return (token == JT_OBJECT_BEGIN || token == JT_ARRAY_BEGIN) && (r->token_begin & 3) == 0;
}

/* Each piece is copied to memory of its exact size, so that a read beyond it is caught. */
static struct seen run(const char *p, size_t n, size_t piece, unsigned seed, uint8_t mode)
{
	struct json_reader r;
	struct seen s = {0};
	enum json_token token = JT_MORE;
	uint64_t count;

	json_reader_init(&r);
	r.utf8_strict = mode & 1;
	r.want_text = (mode & 2) != 0;
	for (size_t at = 0; at < n && token != JT_ERROR;) {
		size_t len = piece ? piece : (seed = seed * 1103515245u + 12345u) >> 16 & 31, i = 0;
		char *copy;

		len = len < n - at ? len : n - at;
		copy = malloc(len ? len : 1);
		CHECK(copy != NULL);
		memcpy(copy, p + at, len);
		while ((token = json_next(&r, copy, len, &i)) != JT_MORE && token != JT_ERROR) {
			note(&s, &r, token);
			if ((mode & 4) != 0 && skips(&r, token))
				json_skip_value(&r);
			if (token == JT_NUMBER)
				(void)json_count(json_text(&r), &count);
		}
		CHECK(token == JT_ERROR || i == len);
		at += i;
		free(copy);
	}
	note(&s, &r, token);
	s.complete = token != JT_ERROR && json_reader_complete(&r);
	return s;
}

static void same(struct seen a, struct seen b)
{
	CHECK(a.n_tokens == b.n_tokens && a.hash == b.hash && a.complete == b.complete);
}

/* What the writer makes of any bytes is one string to the reader. */
static void write_and_read(const char *p, size_t n)
{
	struct json_reader r;
	struct buf out;
	size_t i = 0;

	buf_init(&out, n * 6 + 16);
	CHECK(json_write_string(&out, slice_mem(p, n)) == 0);
	json_reader_init(&r);
	r.utf8_strict = true;
	CHECK(json_next(&r, buf_slice(&out).p, buf_len(&out), &i) == JT_STRING);
	CHECK(i == buf_len(&out) && json_reader_complete(&r));
	buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data + 1;
	struct seen whole;

	if (size < 2)
		return 0;
	whole = run(p, size - 1, size - 1, 0, data[0]);
	same(whole, run(p, size - 1, 1, 0, data[0]));
	same(whole, run(p, size - 1, 0, data[0], data[0]));
	write_and_read(p, size - 1);
	return 0;
}
