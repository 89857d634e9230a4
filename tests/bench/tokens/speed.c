/* speed.c - megabytes a second of counting tokens, one thread; usage: speed FILE [passes]
 *
 * A line for each figure: name, value; processor time. `first` is the first pass of a new process with an empty cache:
 * the tables are in the page cache, nothing else is prepared. `warm` is the fastest of the passes after it; `short`
 * counts the text in messages of 500 bytes. `worst` are the texts that slow tokenizers choke on, 1 MB each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "tokens/tokens.h"

#define MESSAGE_BYTES 500
#define WORST_BYTES 1000000

static char *read_file(const char *path, size_t *ret_n)
{
	FILE *f = fopen(path, "rb");
	char *p = NULL;
	long n;

	CHECK(f && fseek(f, 0, SEEK_END) == 0 && (n = ftell(f)) > 0 && fseek(f, 0, SEEK_SET) == 0);
	p = malloc((size_t)n);
	CHECK(p && fread(p, 1, (size_t)n, f) == (size_t)n);
	(void)fclose(f);
	*ret_n = (size_t)n;
	return p;
}

static int64_t cpu_ns(void)
{
	struct timespec t;

	CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0);
	return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

static double mb_s(size_t bytes, int64_t ns)
{
	return (double)bytes * 1e3 / (double)(ns > 0 ? ns : 1);
}

static int64_t count_whole(enum tok_encoding e, struct tok_cache *c, struct slice text, uint64_t *ret_tokens)
{
	int64_t began = cpu_ns();

	*ret_tokens = tok_count(e, c, text.p, text.n, UINT64_MAX);
	return cpu_ns() - began;
}

static int64_t count_messages(enum tok_encoding e, struct tok_cache *c, struct slice text, uint64_t *ret_tokens)
{
	int64_t began = cpu_ns();

	*ret_tokens = 0;
	for (size_t i = 0, n; i < text.n; i += n) {
		n = text.n - i < MESSAGE_BYTES ? text.n - i : MESSAGE_BYTES;
		while (i + n < text.n && ((unsigned char)text.p[i + n] & 0xc0) == 0x80)
			n++;
		*ret_tokens += tok_count(e, c, text.p + i, n, UINT64_MAX);
	}
	return cpu_ns() - began;
}

static void speed(enum tok_encoding e, struct slice text, int passes)
{
	struct tok_cache *cache = tok_cache_new(e);
	const char *name = tok_encoding_name(e);
	int64_t first, warm = INT64_MAX, messages = INT64_MAX, bare, ns;
	uint64_t tokens;

	CHECK(cache);
	first = count_whole(e, cache, text, &tokens);
	printf("%s tokens %llu\n%s first %.1f\n", name, (unsigned long long)tokens, name, mb_s(text.n, first));
	for (int i = 0; i < passes; i++) {
		ns = count_whole(e, cache, text, &tokens);
		warm = ns < warm ? ns : warm;
		ns = count_messages(e, cache, text, &tokens);
		messages = ns < messages ? ns : messages;
	}
	bare = passes > 0 ? count_whole(e, NULL, text, &tokens) : 0;
	printf("%s warm %.1f\n%s short %.1f\n%s uncached %.1f\n", name, mb_s(text.n, warm), name,
	       mb_s(text.n, messages), name, mb_s(text.n, bare));
	tok_cache_free(cache);
}

static void fill(char *p, size_t n, const char *with)
{
	size_t k = strlen(with);

	for (size_t i = 0; i + k <= n; i += k)
		memcpy(p + i, with, k);
}

static void worst(enum tok_encoding e)
{
	static const char *const texts[][2] = {{"a", "a"},        {"spaces", " "},           {"newlines", "\n"},
					       {"letters", NULL}, {"accents", "\xcc\x81"},   {"dashes", "-"},
					       {"ab", "ab"},      {"hangul", "\xea\xb0\x80"}};
	static char p[WORST_BYTES];
	uint64_t seed = 1;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		uint64_t tokens;
		int64_t ns;

		memset(p, ' ', sizeof(p));
		if (texts[i][1])
			fill(p, sizeof(p), texts[i][1]);
		for (size_t k = 0; !texts[i][1] && k < sizeof(p); k++)
			p[k] =
			    (char)('a' + ((seed = seed * 6364136223846793005ull + 1442695040888963407ull) >> 33) % 26);
		ns = count_whole(e, NULL, slice_mem(p, sizeof(p)), &tokens);
		printf("%s worst_%s_ms %.1f\n", tok_encoding_name(e), texts[i][0], (double)ns / 1e6);
	}
}

int main(int argc, char **argv)
{
	int passes = argc > 2 ? atoi(argv[2]) : 10; /* a developer's own argument */
	struct slice text;
	char *p;

	if (argc < 2 || !tok_available(TOK_O200K) || !tok_available(TOK_CL100K)) {
		(void)fputs("usage: speed FILE [passes]; needs the vocabularies built in\n", stderr);
		return 2;
	}
	p = read_file(argv[1], &text.n);
	text.p = p;
	for (enum tok_encoding e = 0; e < TOK_ENCODING_COUNT; e++)
		speed(e, text, passes);
	for (enum tok_encoding e = 0; e < TOK_ENCODING_COUNT && passes > 0; e++)
		worst(e);
	free(p);
	return 0;
}
