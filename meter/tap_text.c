#include "meter/tap_text.h"

#include <stdlib.h>
#include <string.h>

#include "meter/unescape.h"

void tap_text_init(struct tap_text *t, enum tok_encoding encoding, struct tok_cache *cache)
{
	struct tok_stream s;

	tok_stream_init(&s, encoding, cache);
	memset(t, 0, sizeof(*t));
	t->encoding = encoding;
	t->cache = cache;
	t->look_at = s.look_at;
}

void tap_text_done(struct tap_text *t)
{
	free(t->open);
	t->open = NULL;
	t->open_n = t->cap = 0;
}

static void load(const struct tap_text *t, struct tok_stream *s)
{
	tok_stream_init(s, t->encoding, t->cache);
	s->closed = t->closed;
	s->open_n = t->open_n;
	s->look_at = t->look_at;
	s->cut_n = t->cut_n;
	memcpy(s->cut, t->cut, sizeof(s->cut));
	if (t->open_n > 0)
		memcpy(s->open, t->open, t->open_n);
}

/* A piece that cannot be kept counts as bytes. */
static void lose(struct tap_text *t, const struct tok_stream *s)
{
	struct tok_stream fresh;

	tok_stream_init(&fresh, t->encoding, t->cache);
	t->lost_bytes += s->open_n + s->cut_n;
	t->open_n = 0;
	t->cut_n = 0;
	t->look_at = fresh.look_at;
}

static bool make_room(struct tap_text *t, uint32_t n)
{
	uint32_t cap = t->cap > 0 ? t->cap : 64;
	char *p;

	while (cap < n)
		cap *= 2;
	if (cap == t->cap)
		return true;
	p = realloc(t->open, cap);
	if (!p)
		return false;
	t->open = p;
	t->cap = cap;
	return true;
}

static void save(struct tap_text *t, const struct tok_stream *s)
{
	t->closed = s->closed;
	if (!make_room(t, s->open_n)) {
		lose(t, s);
		return;
	}
	t->open_n = s->open_n;
	t->look_at = s->look_at;
	t->cut_n = s->cut_n;
	memcpy(t->cut, s->cut, sizeof(t->cut));
	if (s->open_n > 0)
		memcpy(t->open, s->open, s->open_n);
}

void tap_text_feed(struct tap_text *t, const char *p, size_t n)
{
	struct tok_stream s;

	load(t, &s);
	tok_stream_feed(&s, p, n);
	save(t, &s);
}

static void feed_run(struct tok_stream *s, struct slice run, uint64_t *inout_total)
{
	tok_stream_feed(s, run.p, run.n);
	*inout_total += run.n;
}

uint64_t tap_text_feed_json(struct tap_text *t, struct slice raw)
{
	struct tok_stream s;
	struct unescape u;
	struct slice run;
	size_t i = 0;
	uint64_t total = 0;

	load(t, &s);
	unescape_init(&u);
	(void)unescape_next(&u, "\"", 1, &i, &run);
	for (i = 0; unescape_next(&u, raw.p, raw.n, &i, &run);)
		feed_run(&s, run, &total);
	i = 0; /* the closing quote lets go what a lone surrogate held back */
	while (unescape_next(&u, "\"", 1, &i, &run))
		feed_run(&s, run, &total);
	save(t, &s);
	return total;
}

uint64_t tap_text_count(const struct tap_text *t)
{
	struct tok_stream s;

	load(t, &s);
	return tok_stream_count(&s) + t->lost_bytes;
}
