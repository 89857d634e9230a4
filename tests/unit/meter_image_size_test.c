/* meter_image_size_test - sizes from header bytes, whole and in pieces, as bytes and as text; and the vendors'
 * formulas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "meter/image_size.h"
#include "meter/image_tokens.h"

struct picture {
	const char *what;
	size_t n;
	const char *bytes;
	uint32_t w, h; /* 0: unknown */
};
#define P(what, lit, w, h)                                                                                             \
	{                                                                                                              \
		what, sizeof(lit) - 1, lit, w, h                                                                       \
	}

static const struct picture pictures[] = {
    P("png", "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x04\0\0\0\x03\0\x08\x06\0\0\0", 1024, 768),
    P("png without IHDR", "\x89PNG\r\n\x1a\n\0\0\0\rIDAT\0\0\x04\0\0\0\x03\0", 0, 0),
    P("png of nothing", "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\0\0\0\x03\0", 0, 0),
    P("png over 2^31", "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\x80\0\0\0\0\0\x03\0", 0, 0),
    P("png cut", "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x04", 0, 0),
    P("gif", "GIF89a\x20\x03\x58\x02\0\0\0", 800, 600),
    P("gif of no version", "GIF8aa\x20\x03\x58\x02\0\0\0", 0, 0),
    P("webp lossy", "RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x40\x01\xf0\x40", 320, 240),
    P("webp lossless", "RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\x3f\xc1\x3b\0\0\0\0\0\0", 320, 240),
    P("webp extended", "RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0\x3f\x01\0\xef\0\0", 320, 240),
    P("wave", "RIFF\0\0\0\0WAVEfmt \0\0\0\0\0\0\0\0\0\0\0\0\0\0", 0, 0),
    P("jpeg", "\xff\xd8\xff\xe0\0\4ab\xff\xff\xc0\0\x11\x08\x02\x58\x03\x20\x03", 800, 600),
    P("jpeg progressive", "\xff\xd8\xff\xdb\0\2\xff\xd0\xff\xc2\0\x11\x08\x02\x58\x03\x20\x03", 800, 600),
    P("jpeg with a frame inside a segment",
      "\xff\xd8\xff\xe1\0\x0b\xff\xc0\0\x11\x08\0\1\0\1\xff\xc4\0\2\xff\xc1\0\x11\x08\2\x58\3\x20", 800, 600),
    P("jpeg with a scan before any frame", "\xff\xd8\xff\xda\0\2\xff\xc0\0\x11\x08\2\x58\3\x20", 0, 0),
    P("jpeg of unknown height", "\xff\xd8\xff\xc0\0\x11\x08\0\0\3\x20", 0, 0),
    P("jpeg with a length of 1", "\xff\xd8\xff\xe0\0\1\xff\xc0\0\x11\x08\2\x58\3\x20", 0, 0),
    P("jpeg with rubbish between", "\xff\xd8\xff\xe0\0\2xx\xff\xc0\0\x11\x08\2\x58\3\x20", 0, 0),
    P("bmp", "BM\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 0, 0),
};

static size_t encode(const struct picture *p, char *dst, size_t dst_size, bool url_alphabet)
{
	size_t i, n = (p->n + 2) / 3 * 4;

	assert_int_equal(base64_encode(p->bytes, p->n, dst, dst_size), (int)n);
	for (i = 0; url_alphabet && i < n; i++)
		dst[i] = dst[i] == '+' ? '-' : dst[i] == '/' ? '_' : dst[i];
	return n;
}

static void check(const struct picture *p, const struct image_sniff *s)
{
	uint32_t w = 0, h = 0;
	bool known = image_sniff_size(s, &w, &h);

	if (known != (p->w > 0) || w != p->w || h != p->h)
		fail_msg("%s: %ux%u", p->what, w, h);
}

static void test_bytes(void **state)
{
	struct image_sniff s;
	size_t i, k, piece;

	(void)state;
	for (i = 0; i < ARRAY_LEN(pictures); i++) {
		for (piece = 1; piece < 64; piece += 7) {
			image_sniff_init(&s);
			for (k = 0; k < pictures[i].n; k += piece)
				image_sniff_bytes(&s, pictures[i].bytes + k,
						  piece < pictures[i].n - k ? piece : pictures[i].n - k);
			check(&pictures[i], &s);
		}
	}
}

static void test_text(void **state)
{
	char text[256], *data;
	struct image_sniff s;
	size_t i, k, n;

	(void)state;
	for (i = 0; i < ARRAY_LEN(pictures); i++) {
		struct picture padded = pictures[i];
		char bytes[100] = {0};

		memcpy(bytes, padded.bytes, padded.n);
		padded.bytes = bytes;
		if (padded.w > 0) /* whole quads */
			padded.n = 96;
		(void)snprintf(text, sizeof(text), "data:image/x;base64,");
		data = text + strlen(text);
		n = encode(&padded, data, sizeof(text) - 20, i % 2 == 0);
		image_sniff_init(&s);
		image_sniff_text(&s, data, n);
		check(&padded, &s);
		image_sniff_init(&s);
		for (k = 0; k < n + 20; k++)
			image_sniff_text(&s, text + k, 1);
		check(&padded, &s);
	}
}

static bool known(const char *text)
{
	struct image_sniff s;
	uint32_t w, h;

	image_sniff_init(&s);
	image_sniff_text(&s, text, strlen(text));
	return image_sniff_size(&s, &w, &h);
}

static void test_text_forms(void **state)
{
	(void)state;
	assert_true(known("R0lGODlhIANYAgAAAAAA"));
	assert_true(known("R0lG\nODlh IANYAgAAAAAA"));
	assert_true(known("DATA:image/gif;BASE64,R0lGODlhIANYAgAAAAAA"));
	assert_false(known("data:image/gif,R0lGODlhIANYAgAAAAAA"));
	assert_false(known("data:image/gif;base64;x,R0lGODlhIANYAgAAAAAA"));
	assert_false(known("https://x/R0lGODlhIANYAgAAAAAA"));
	assert_false(known("R0lG=ODlhIANYAgAAAAAA"));
	assert_false(known("dataR0lGODlhIANYAgAAAAAA"));
	assert_false(
	    known("data:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		  "aaaaaa;base64,R0lGODlhIANYAgAAAAAA"));
	assert_false(known(""));
}

static void test_header_max(void **state)
{
	static char file[IMAGE_HEADER_MAX + 200];
	struct image_sniff s;
	uint32_t w, h;
	size_t n;

	(void)state;
	/* segments of 65 535 bytes until the frame stands too far back */
	memcpy(file, "\xff\xd8", 2);
	for (n = 2; n < IMAGE_HEADER_MAX; n += 65537)
		memcpy(file + n, "\xff\xe2\xff\xff", 4);
	memcpy(file + 2 + 65537, "\xff\xc0\0\x11\x08\2\x58\3\x20", 9);
	image_sniff_init(&s);
	image_sniff_bytes(&s, file, sizeof(file));
	assert_true(image_sniff_size(&s, &w, &h));
	memcpy(file + 2 + 65537, "\xff\xe2\xff\xff", 4);
	image_sniff_init(&s);
	image_sniff_bytes(&s, file, sizeof(file));
	assert_false(image_sniff_size(&s, &w, &h));
	assert_true(image_sniff_done(&s));
}

/* --- formulas -------------------------------------------------------------------------------------------------------
 */

static uint64_t tokens(const char *model, uint32_t w, uint32_t h, enum image_detail detail)
{
	struct image_sums sums = {0};

	image_sums_add(&sums, w, h, detail);
	return image_tokens_bound(slice_of(model), &sums, 1, false);
}

static uint64_t unknown(const char *model)
{
	struct image_sums sums = {0};

	return image_tokens_bound(slice_of(model), &sums, 1, false);
}

static void test_published(void **state)
{
	(void)state;
	assert_int_equal(tokens("gpt-4o", 1024, 1024, DETAIL_HIGH), 765); /* documented */
	assert_int_equal(tokens("gpt-4o", 1024, 1024, DETAIL_LOW), 85);
	assert_int_equal(tokens("gpt-4o", 2048, 4096, DETAIL_HIGH), 1105);
	assert_int_equal(tokens("gpt-4o-mini-2024-07-18", 1024, 1024, DETAIL_AUTO), 2833 + 4 * 5667);
	assert_int_equal(unknown("gpt-4o"), 1445);
	assert_int_equal(image_patches(1024, 1024, 1536), 1024);
	assert_int_equal(image_patches(1800, 2400, 1536), 1536); /* documented: 1 452 after scaling */
	assert_int_equal(image_claude(1000, 1000, 1568, 1568), 1334);
	assert_int_equal(unknown("claude-sonnet-4-6"), 1568);
	assert_int_equal(unknown("us.anthropic.claude-opus-5-5-v1:0"), 4784);
	assert_int_equal(unknown("anthropic/claude-haiku-4.5"), 1568);
	assert_int_equal(tokens("gemini-2.5-flash", 384, 384, DETAIL_AUTO), 258);
	assert_int_equal(tokens("gemini-3.8-flash", 384, 384, DETAIL_AUTO), 1120);
	assert_int_equal(tokens("gpt-5-nano", 1024, 1024, DETAIL_AUTO), (1024 * 246 + 99) / 100 + 1);
	assert_int_equal(unknown("mistral-large"), 10000);
}

/* A picture of known size never costs more than the dearest, and the sum of none is nothing. */
static void test_random(void **state)
{
	static const char *const models[] = {"gpt-4o", "gpt-4o-mini",     "gpt-5-mini",       "gpt-5.4", "gpt-5.1",
					     "gpt-9",  "claude-opus-4-8", "claude-haiku-4-5", "o3-mini", "other"};
	struct image_sums none = {0};
	int i;
	size_t k;

	(void)state;
	srand(3);
	for (i = 0; i < 20000; i++) {
		uint32_t w = 1 + (uint32_t)rand() % (i % 2 ? 300 : IMAGE_SIDE_MAX);
		uint32_t h = 1 + (uint32_t)rand() % (i % 3 ? 3000 : IMAGE_SIDE_MAX);

		assert_true(image_tiles(w, h) >= 1 && image_tiles(w, h) <= 8);
		assert_true(image_patches(w, h, 1536) >= 1 && image_patches(w, h, 1536) <= 1536);
		for (k = 0; k < ARRAY_LEN(models); k++)
			assert_true(tokens(models[k], w, h, DETAIL_AUTO) <= unknown(models[k]) + 1);
	}
	assert_int_equal(image_tokens_bound(SLICE("gpt-4o"), &none, 0, false), 0);
	assert_true(image_tokens_bound(SLICE("gpt-4o"), &none, UINT64_MAX, false) == UINT64_MAX);
	image_sums_add(&none, IMAGE_SIDE_MAX + 1, 1, DETAIL_AUTO);
	assert_int_equal(none.sized, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bytes),      cmocka_unit_test(test_text),      cmocka_unit_test(test_text_forms),
	    cmocka_unit_test(test_header_max), cmocka_unit_test(test_published), cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
