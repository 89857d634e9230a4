#include "tokens/tokens.h"

#include <string.h>
#include <sys/mman.h>

#include "base/check.h"
#include "tokens/cache.h"
#include "tokens/impl.h"
#include "tokens/unicode.h"

static const struct {
	const char *name;
	enum vocab_name vocab;
	scan_fn *scan;
} encodings[TOK_ENCODING_COUNT] = {
    [TOK_O200K] = {"o200k_base", VOCAB_O200K, scan_o200k},
    [TOK_CL100K] = {"cl100k_base", VOCAB_CL100K, scan_cl100k},
};

bool tok_available(enum tok_encoding e)
{
	struct vocab v;

	return (unsigned)e < TOK_ENCODING_COUNT && vocab_get(encodings[e].vocab, &v);
}

const char *tok_encoding_name(enum tok_encoding e)
{
	CHECK((unsigned)e < TOK_ENCODING_COUNT);
	return encodings[e].name;
}

/* From the system as it is: zeroed, aligned, and no page of it taken before it is used. */
struct tok_cache *tok_cache_new(enum tok_encoding e)
{
	struct tok_cache *c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (c == MAP_FAILED)
		return NULL;
	c->encoding = e;
	vocab_prepare(encodings[e].vocab);
	return c;
}

void tok_cache_free(struct tok_cache *c)
{
	if (c)
		CHECK(munmap(c, sizeof(*c)) == 0);
}

struct tok_sink tok_sink_of(enum tok_encoding e, struct tok_cache *cache, uint32_t *dst, size_t max)
{
	struct tok_sink s = {.cache = cache, .dst = dst, .max = max};

	CHECK((unsigned)e < TOK_ENCODING_COUNT && vocab_get(encodings[e].vocab, &s.vocab));
	CHECK(!cache || cache->encoding == e);
	s.scan = encodings[e].scan;
	return s;
}

void tok_sink_ids(struct tok_sink *s, const uint32_t *ids, size_t n)
{
	for (size_t i = 0; i < n; i++, s->n++)
		if (s->n < s->max)
			s->dst[s->n] = ids[i];
}

/* Bad UTF-8 is rare: only then the text goes the longer way, which mends it. */
static uint64_t run(struct tok_sink *out, enum tok_encoding e, const char *p, size_t n, uint64_t limit)
{
	const uint8_t *text = (const uint8_t *)p;
	struct tok_stream s;
	size_t bad;

	if (utf8_valid(text, n, &bad) == n) {
		(void)tok_sink_text(out, text, text + n, true, limit);
		return out->n;
	}
	tok_stream_init(&s, e, out->cache);
	tok_sink_stream(out, &s, p, n);
	tok_sink_finish(out, &s);
	return out->n;
}

uint64_t tok_count(enum tok_encoding e, struct tok_cache *cache, const char *p, size_t n, uint64_t limit)
{
	struct tok_sink out = tok_sink_of(e, cache, NULL, 0);

	return run(&out, e, p, n, limit);
}

size_t tok_encode(enum tok_encoding e, const char *p, size_t n, uint32_t *dst, size_t max)
{
	struct tok_sink out = tok_sink_of(e, NULL, dst, max);

	return (size_t)run(&out, e, p, n, UINT64_MAX);
}

struct slice tok_bytes(enum tok_encoding e, uint32_t id)
{
	struct tok_sink s = tok_sink_of(e, NULL, NULL, 0);

	if (id >= s.vocab.n_tokens)
		return SLICE_NONE;
	return slice_mem(s.vocab.text + s.vocab.begin[id], s.vocab.begin[id + 1] - s.vocab.begin[id]);
}
