/* meter - speed of the meter room alone: ns for one chunk of a stream in the tap, MB/s of the request scanner. With
 * `chunks NAME COUNT` only that, for counting instructions (meter.py). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "meter/reqscan.h"
#include "meter/tap.h"

#define VARIANTS 32
#define ROUNDS 5
#define CHUNKS (INT64_C(1) << 18)
#define SCAN_BYTES (INT64_C(256) << 20)

/* `@` stands for a word of the answer, `#` for a number that grows. */
static const struct stream {
	const char *name;
	enum api_kind kind;
	const char *chunk;
} streams[] = {
    {"chat", API_CHAT,
     "data: {\"id\":\"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT\",\"object\":\"chat.completion.chunk\",\"created\":"
     "1793000000,\"model\":\"gpt-4.1-2025-04-14\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"@\"},"
     "\"finish_reason\":null}]}\n\n"},
    {"responses", API_RESPONSES,
     "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":#,"
     "\"item_id\":\"msg_67c9fdcf37fc8190ba82116e33fb28c5\",\"output_index\":0,\"content_index\":0,\"delta\":\"@\","
     "\"logprobs\":[]}\n\n"},
    {"anthropic", API_MESSAGES,
     "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
     "\"text_delta\",\"text\":\"@ of a sentence that is somewhat longer, as this vendor sends several tokens "
     "at once\"}}\n\n"},
    {"gemini", API_GENERATE,
     "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"@\"}],\"role\":\"model\"},\"index\":0}],"
     "\"usageMetadata\":{\"promptTokenCount\":1234,\"candidatesTokenCount\":#,\"totalTokenCount\":2290},"
     "\"modelVersion\":\"gemini-3.8-flash\"}\r\n\r\n"},
};

static const char *const words[] = {" Hello", " the", ",", " understand", "ing", " of", " \\n\\n", " caf\xc3\xa9"};

struct chunk {
	char p[512];
	size_t n;
};

static void make_chunk(const char *form, size_t i, struct chunk *ret)
{
	FILE *out = fmemopen(ret->p, sizeof(ret->p), "w");

	CHECK(out);
	for (; *form; form++) {
		if (*form == '@')
			fputs(words[i % ARRAY_LEN(words)], out);
		else if (*form == '#')
			fprintf(out, "%zu", 1000 + i);
		else
			fputc(*form, out);
	}
	ret->n = (size_t)ftell(out);
	CHECK(fclose(out) == 0 && ret->n < sizeof(ret->p));
}

static void make_chunks(const struct stream *s, struct chunk *ret)
{
	for (size_t i = 0; i < VARIANTS; i++)
		make_chunk(s->chunk, i, &ret[i]);
}

/* Feeds the chunks of one stream, each in a piece of its own. */
static void feed(const struct stream *s, const struct chunk *chunks, int64_t count)
{
	static struct tap_scratch scratch;
	struct tap_options o = {s->kind, 200, SLICE("text/event-stream"), SLICE_NONE, .scratch = &scratch};
	struct tap *t = tap_new(&o);
	struct usage u;

	CHECK(t);
	for (int64_t i = 0; i < count; i++)
		tap_feed(t, chunks[i % VARIANTS].p, chunks[i % VARIANTS].n);
	tap_finish(t, true, &u);
	CHECK(u.output_bytes > 0);
	tap_free(t);
}

static void bench_stream(const struct stream *s)
{
	struct chunk chunks[VARIANTS];
	int64_t best = INT64_MAX;

	make_chunks(s, chunks);
	for (int i = 0; i < ROUNDS; i++) {
		int64_t begin = clock_mono_ns(), took;

		feed(s, chunks, CHUNKS);
		took = clock_mono_ns() - begin;
		best = took < best ? took : best;
	}
	printf("tap, %-10s %4zu bytes  %7.1f ns a chunk\n", s->name, chunks[0].n, (double)best / (double)CHUNKS);
}

static const struct text {
	const char *name, *text;
} texts[] = {
    {"prose", "The quick brown fox jumps over the lazy dog, and then it sleeps for a while in the sun. Nothing else "
	      "happens in this text, which a caller once wrote.\\n"},
    {"code", "\\tif (!node->left) {\\n\\t\\tprintf(\\\"no left child of %s\\\\n\\\", node->name);\\n\\t\\treturn "
	     "NULL;\\n\\t}\\n"},
    {"German", "Der gro\xc3\x9f"
	       "e B\xc3\xa4r l\xc3\xa4uft \xc3\xbc"
	       "ber die Stra\xc3\x9f"
	       "e und schl\xc3\xa4"
	       "ft dann "
	       "ein paar Stunden in der Sonne.\\n"},
    {"Chinese",
     "\xe6\x95\x8f\xe6\x8d\xb7\xe7\x9a\x84\xe6\xa3\x95\xe8\x89\xb2\xe7\x8b\x90\xe7\x8b\xb8\xe8\xb7\xb3"
     "\xe8\xbf\x87\xe4\xba\x86\xe6\x87\x92\xe7\x8b\x97\xef\xbc\x8c\xe7\x84\xb6\xe5\x90\x8e\xe7\x9d\xa1\xe4\xba\x86"
     "\xe3\x80\x82\\n"},
};

/* A chat with one message of so many bytes. */
static char *make_body(const char *text, size_t size, size_t *ret_n)
{
	static const char head[] =
	    "{\"model\":\"gpt-4.1\",\"max_tokens\":100,\"messages\":[{\"role\":\"user\",\"content\":\"";
	static const char tail[] = "\"}]}";
	size_t n = sizeof(head) - 1, text_n = strlen(text);
	char *body = malloc(size + sizeof(head) + sizeof(tail) + text_n);

	CHECK(body);
	memcpy(body, head, n);
	while (n < size) {
		memcpy(body + n, text, text_n);
		n += text_n;
	}
	memcpy(body + n, tail, sizeof(tail) - 1);
	*ret_n = n + sizeof(tail) - 1;
	return body;
}

/* In the piece sizes of the proxy. */
static void scan(const char *body, size_t n)
{
	static struct reqscan s;
	const size_t piece = 16384;

	reqscan_init(&s, API_CHAT);
	for (size_t i = 0; i < n; i += piece)
		CHECK(reqscan_feed(&s, body + i, n - i < piece ? n - i : piece) == 0);
	CHECK(reqscan_finish(&s) == 0 && s.info.max_out == 100);
}

static void bench_scan(const struct text *text, size_t size)
{
	size_t n;
	char *body = make_body(text->text, size, &n);
	int64_t count = SCAN_BYTES / (int64_t)n, best = INT64_MAX;

	for (int i = 0; i < ROUNDS; i++) {
		int64_t begin = clock_mono_ns(), took;

		for (int64_t k = 0; k < count; k++)
			scan(body, n);
		took = clock_mono_ns() - begin;
		best = took < best ? took : best;
	}
	printf("scanner, %7zu bytes of %-8s %6.0f MB/s\n", n, text->name,
	       (double)n * (double)count * 1e3 / (double)best);
	free(body);
}

static int count_chunks(const char *name, int64_t count)
{
	struct chunk chunks[VARIANTS];

	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		if (strcmp(streams[i].name, name) != 0)
			continue;
		make_chunks(&streams[i], chunks);
		feed(&streams[i], chunks, count);
		return 0;
	}
	return 2;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "chunks") == 0)
		return count_chunks(argv[2], strtoll(argv[3], NULL, 10));
	for (size_t i = 0; i < ARRAY_LEN(streams); i++)
		bench_stream(&streams[i]);
	bench_scan(&texts[0], 10000);
	bench_scan(&texts[0], 100000);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		bench_scan(&texts[i], 1000000);
	return 0;
}
