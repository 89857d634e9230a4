/* meter_decode_test - content codings: every coding and stacks of them in any pieces, cuts, bombs, nonsense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

#include "base/error.h"
#include "meter/decode.h"

#define TEXT_BYTES 60000

struct bytes {
	char *p;
	size_t n;
};

static struct bytes bytes_new(size_t n)
{
	struct bytes b = {malloc(n + 1), n};

	assert_non_null(b.p);
	return b;
}

static struct bytes deflated(struct bytes in, int window_bits)
{
	struct bytes out;
	z_stream z = {0};

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
	out = bytes_new(deflateBound(&z, in.n) + 64);
	z.next_in = (unsigned char *)in.p;
	z.avail_in = (uInt)in.n;
	z.next_out = (unsigned char *)out.p;
	z.avail_out = (uInt)out.n;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	out.n -= z.avail_out;
	deflateEnd(&z);
	return out;
}

/* Frees `in`. "raw" is deflate without its wrapper. */
static struct bytes encode(struct bytes in, const char *coding)
{
	struct bytes out;

	if (strcmp(coding, "gzip") == 0) {
		out = deflated(in, 31);
	} else if (strcmp(coding, "deflate") == 0) {
		out = deflated(in, 15);
	} else if (strcmp(coding, "raw") == 0) {
		out = deflated(in, -15);
	} else if (strcmp(coding, "br") == 0) {
		out = bytes_new(BrotliEncoderMaxCompressedSize(in.n) + 64);
		assert_true(BrotliEncoderCompress(5, 22, BROTLI_MODE_TEXT, in.n, (const uint8_t *)in.p, &out.n,
						  (uint8_t *)out.p));
	} else {
		assert_string_equal(coding, "zstd");
		out = bytes_new(ZSTD_compressBound(in.n));
		out.n = ZSTD_compress(out.p, out.n, in.p, in.n, 3);
		assert_false(ZSTD_isError(out.n));
	}
	free(in.p);
	return out;
}

/* Text that packs like answers do. */
static struct bytes text(size_t n)
{
	struct bytes b = bytes_new(n);
	size_t i;

	for (i = 0; i < n; i++)
		b.p[i] = i % 97 < 60
			     ? "data: {\"choices\":[{\"delta\":{\"content\":\"word\"},\"index\":0}]}\n\n"[i % 97]
			     : (char)('a' + (i * 7919 >> 5) % 26);
	return b;
}

static struct bytes zeros(size_t n)
{
	struct bytes b = bytes_new(n);

	memset(b.p, 0, n);
	return b;
}

static struct bytes join(struct bytes a, struct bytes b)
{
	struct bytes out = bytes_new(a.n + b.n);

	memcpy(out.p, a.p, a.n);
	memcpy(out.p + a.n, b.p, b.n);
	free(a.p);
	free(b.p);
	return out;
}

struct got {
	char *p;
	size_t n, cap;
	size_t fail_at;
	int feed, finish;
};

static int sink(void *ctx, const char *p, size_t n)
{
	struct got *g = ctx;

	if (g->fail_at > 0 && g->n + n > g->fail_at)
		return BUR_FULL;
	if (g->n + n > g->cap) {
		g->cap = (g->n + n) * 2;
		g->p = realloc(g->p, g->cap);
		assert_non_null(g->p);
	}
	memcpy(g->p + g->n, p, n);
	g->n += n;
	return BUR_OK;
}

/* piece 0: random pieces */
static struct got run(const char *codings, struct bytes in, size_t piece, const struct decode_limits *l, size_t fail_at)
{
	struct got g = {.fail_at = fail_at};
	struct decode *d;
	size_t i, k;

	assert_int_equal(decode_new(slice_of(codings), l, sink, &g, &d), BUR_OK);
	for (i = 0; i < in.n; i += k) {
		char *copy;

		k = piece > 0 ? piece : 1 + (size_t)rand() % 3000;
		if (k > in.n - i)
			k = in.n - i;
		copy = malloc(k); /* so that a reader that goes too far is seen */
		assert_non_null(copy);
		memcpy(copy, in.p + i, k);
		g.feed = decode_feed(d, copy, k);
		free(copy);
		if (g.feed < 0)
			break;
	}
	g.finish = decode_finish(d);
	decode_free(d);
	return g;
}

/* In every split: these bytes and these results. */
static void check(const char *codings, struct bytes in, struct bytes want, const struct decode_limits *l, int feed,
		  int finish)
{
	static const size_t pieces[] = {SIZE_MAX, 1, 0, 0, 7, 8192};

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		struct got g = run(codings, in, pieces[i], l, 0);

		if (g.feed != feed || g.finish != finish || g.n != want.n ||
		    (want.n > 0 && memcmp(g.p, want.p, want.n) != 0))
			fail_msg("%s in pieces of %zu: feed %d, finish %d, %zu of %zu bytes", codings, pieces[i],
				 g.feed, g.finish, g.n, want.n);
		free(g.p);
	}
}

static const struct decode_limits answer = {UINT64_C(64) << 20, 100, UINT64_C(1) << 20, false};
static const struct decode_limits request = {UINT64_C(64) << 20, 100, UINT64_C(1) << 20, true};

static void test_codings(void **state)
{
	static const struct {
		const char *field, *inner, *outer;
	} cases[] = {
	    {"gzip", "gzip", NULL},
	    {" X-GZip ", "gzip", NULL},
	    {"deflate", "deflate", NULL},
	    {"deflate", "raw", NULL},
	    {"br", "br", NULL},
	    {"zstd", "zstd", NULL},
	    {"gzip, br", "gzip", "br"},
	    {"br,identity,gzip", "br", "gzip"},
	    {"deflate, zstd", "raw", "zstd"},
	    {"zstd, zstd", "zstd", "zstd"},
	};
	struct bytes plain = text(TEXT_BYTES);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bytes b = encode(text(TEXT_BYTES), cases[i].inner);

		if (cases[i].outer)
			b = encode(b, cases[i].outer);
		check(cases[i].field, b, plain, &answer, BUR_OK, BUR_OK);
		check(cases[i].field, b, plain, &request, BUR_OK, BUR_OK);
		free(b.p);
	}
	check("", plain, plain, &answer, BUR_OK, BUR_OK);
	check("identity", plain, plain, &answer, BUR_OK, BUR_OK);
	free(plain.p);
}

static void test_members(void **state)
{
	static const char *const codings[] = {"gzip", "zstd"};
	struct bytes plain = join(text(5000), text(7000)), first = text(5000);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const char *c = codings[i];
		struct bytes two = join(encode(text(5000), c), encode(text(7000), c));
		struct bytes padded = join(encode(text(5000), c), zeros(64));

		check(c, two, plain, &answer, BUR_OK, BUR_OK);
		check(c, two, first, &request, BUR_INVALID, BUR_INVALID);
		check(c, padded, first, &answer, i == 0 ? BUR_OK : BUR_INVALID, i == 0 ? BUR_OK : BUR_INVALID);
		check(c, padded, first, &request, BUR_INVALID, BUR_INVALID);
		free(two.p);
		free(padded.p);
	}
	free(plain.p);
	free(first.p);
}

static void test_behind_the_end(void **state)
{
	static const char *const codings[] = {"br", "deflate"};
	struct bytes plain = text(5000);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct bytes b = join(encode(text(5000), codings[i]), text(100));

		check(codings[i], b, plain, &answer, BUR_OK, BUR_OK);
		check(codings[i], b, plain, &request, BUR_INVALID, BUR_INVALID);
		free(b.p);
	}
	free(plain.p);
}

/* What stands before the cut is read, nothing is invented. */
static void test_cut(void **state)
{
	static const char *const codings[] = {"gzip", "deflate", "br", "zstd"};
	struct bytes plain = text(TEXT_BYTES);

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct bytes b = encode(text(TEXT_BYTES), codings[i]);
		size_t whole = b.n, last = 0;

		for (b.n = 0; b.n < whole; b.n += 1 + whole / 37) {
			struct got g = run(codings[i], b, 1 + (size_t)rand() % 50, &answer, 0);

			assert_int_equal(g.feed, BUR_OK);
			assert_int_equal(g.finish, BUR_EOF);
			assert_true(g.n >= last && g.n <= plain.n);
			assert_true(g.n == 0 || memcmp(g.p, plain.p, g.n) == 0);
			last = g.n;
			free(g.p);
		}
		assert_true(last > 0 || strcmp(codings[i], "zstd") == 0); /* zstd is read in blocks */
		free(b.p);
	}
	free(plain.p);
}

/* An event that the vendor flushed is read at once. */
static void test_flushed(void **state)
{
	static const char event[] = "data: {\"a\":1}\n\n";
	char out[256];
	struct got g = {0};
	struct decode *d;
	z_stream z = {0};
	uint8_t *at = (uint8_t *)out;
	const uint8_t *from = (const uint8_t *)event;
	size_t n_in = sizeof(event) - 1, n_out = sizeof(out);
	BrotliEncoderState *br = BrotliEncoderCreateInstance(NULL, NULL, NULL);
	ZSTD_CStream *zs = ZSTD_createCStream();
	ZSTD_inBuffer in = {event, sizeof(event) - 1, 0};
	ZSTD_outBuffer to = {out, sizeof(out), 0};

	(void)state;
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (unsigned char *)(uintptr_t)event;
	z.avail_in = sizeof(event) - 1;
	z.next_out = (unsigned char *)out;
	z.avail_out = sizeof(out);
	assert_int_equal(deflate(&z, Z_SYNC_FLUSH), Z_OK);
	assert_int_equal(decode_new(SLICE("gzip"), &answer, sink, &g, &d), BUR_OK);
	assert_int_equal(decode_feed(d, out, sizeof(out) - z.avail_out), BUR_OK);
	assert_int_equal(g.n, sizeof(event) - 1);
	assert_int_equal(decode_finish(d), BUR_EOF);
	decode_free(d);
	deflateEnd(&z);

	g.n = 0;
	assert_true(BrotliEncoderCompressStream(br, BROTLI_OPERATION_FLUSH, &n_in, &from, &n_out, &at, NULL));
	assert_int_equal(decode_new(SLICE("br"), &answer, sink, &g, &d), BUR_OK);
	assert_int_equal(decode_feed(d, out, sizeof(out) - n_out), BUR_OK);
	assert_int_equal(g.n, sizeof(event) - 1);
	decode_free(d);
	BrotliEncoderDestroyInstance(br);

	g.n = 0;
	assert_int_equal(ZSTD_compressStream2(zs, &to, &in, ZSTD_e_flush), 0);
	assert_int_equal(decode_new(SLICE("zstd"), &answer, sink, &g, &d), BUR_OK);
	assert_int_equal(decode_feed(d, out, to.pos), BUR_OK);
	assert_int_equal(g.n, sizeof(event) - 1);
	decode_free(d);
	(void)ZSTD_freeCStream(zs);
	free(g.p);
}

static void test_bombs(void **state)
{
	static const char *const codings[] = {"gzip", "deflate", "br", "zstd"};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct bytes b = encode(zeros(32 << 20), codings[i]);

		for (size_t piece = 1; piece <= b.n; piece = piece * 50) {
			struct got g = run(codings[i], b, piece, &answer, 0);

			assert_int_equal(g.feed, BUR_TOOBIG);
			assert_int_equal(g.finish, BUR_TOOBIG);
			assert_true(g.n <= answer.any_ratio_bytes + 100 * b.n + 8192);
			free(g.p);
		}
		free(b.p);
	}
}

/* Each coding for itself may stay below the ratio, the stack is what counts. */
static void test_nested_bomb(void **state)
{
	struct bytes b = encode(encode(encode(zeros(32 << 20), "gzip"), "gzip"), "br");
	struct got g = run("gzip, gzip, br", b, SIZE_MAX, &answer, 0);

	(void)state;
	assert_int_equal(g.feed, BUR_TOOBIG);
	assert_true(g.n < (3 << 20));
	free(g.p);
	free(b.p);
}

static void test_limit(void **state)
{
	struct decode_limits l = {TEXT_BYTES, 1000, 1 << 20, true};
	static const char *const codings[] = {"gzip", "br", "zstd", "identity"};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct bytes plain = text(TEXT_BYTES), b = text(TEXT_BYTES);

		if (i < 3)
			b = encode(b, codings[i]);
		l.max_bytes = TEXT_BYTES;
		check(codings[i], b, plain, &l, BUR_OK, BUR_OK);
		l.max_bytes = plain.n = TEXT_BYTES - 1;
		check(codings[i], b, plain, &l, BUR_TOOBIG, BUR_TOOBIG);
		l.max_bytes = plain.n = 10;
		check(codings[i], b, plain, &l, BUR_TOOBIG, BUR_TOOBIG);
		free(b.p);
		free(plain.p);
	}
}

static void test_nonsense(void **state)
{
	static const char *const codings[] = {"gzip", "deflate", "br", "zstd", "gzip, zstd"};
	struct bytes b = bytes_new(300), none = {NULL, 0};

	(void)state;
	memset(b.p, 0xff, b.n);
	for (size_t i = 0; i < 5; i++)
		check(codings[i], b, none, &answer, BUR_INVALID, BUR_INVALID);
	b.n = 0;
	check("gzip", b, none, &answer, BUR_OK, BUR_EOF);
	free(b.p);
}

/* The library reads formats of before RFC 8878 too; whether it does must not depend on how it was built. */
static void test_old_zstd(void **state)
{
	char old[] = "\x27\xb5\x2f\xfd\x10\0\0\0\0", skipped[] = "\x5a\x2a\x4d\x18\2\0\0\0x";
	struct bytes b = {old, sizeof(old)}, none = {NULL, 0};

	(void)state;
	check("zstd", b, none, &answer, BUR_INVALID, BUR_INVALID);
	b.n = 3;
	check("zstd", b, none, &answer, BUR_OK, BUR_EOF);
	b = (struct bytes){skipped, sizeof(skipped)};
	check("zstd", b, none, &answer, BUR_OK, BUR_OK);
}

static void test_checksum(void **state)
{
	struct bytes b = encode(text(5000), "gzip"), plain = text(5000);

	(void)state;
	b.p[b.n - 6] ^= 1;
	check("gzip", b, plain, &answer, BUR_INVALID, BUR_INVALID);
	free(b.p);
	free(plain.p);
}

static void test_sink_ends_it(void **state)
{
	struct bytes b = encode(text(TEXT_BYTES), "zstd");
	struct got g = run("zstd", b, 100, &answer, 20000);

	(void)state;
	assert_int_equal(g.feed, BUR_FULL);
	assert_int_equal(g.finish, BUR_FULL);
	assert_true(g.n <= 20000);
	free(g.p);
	free(b.p);
}

static void test_names(void **state)
{
	struct decode *d = NULL;

	(void)state;
	assert_true(decode_knows(SLICE(" BR ")) && decode_knows(SLICE("identity")) && decode_knows(SLICE("")));
	assert_false(decode_knows(SLICE("compress")) || decode_knows(SLICE("gzip, br")));
	assert_true(decode_is_identity(SLICE("")) && decode_is_identity(SLICE("identity, Identity")));
	assert_false(decode_is_identity(SLICE("identity, gzip")) || decode_is_identity(SLICE("x")));
	assert_int_equal(decode_new(SLICE("gzip, snappy"), &answer, sink, NULL, &d), BUR_UNSUPPORTED);
	assert_int_equal(decode_new(SLICE("br, br, br, br"), &answer, sink, NULL, &d), BUR_UNSUPPORTED);
	assert_null(d);
	decode_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_codings),     cmocka_unit_test(test_members),  cmocka_unit_test(test_behind_the_end),
	    cmocka_unit_test(test_cut),         cmocka_unit_test(test_flushed),  cmocka_unit_test(test_bombs),
	    cmocka_unit_test(test_nested_bomb), cmocka_unit_test(test_limit),    cmocka_unit_test(test_nonsense),
	    cmocka_unit_test(test_old_zstd),    cmocka_unit_test(test_checksum), cmocka_unit_test(test_sink_ends_it),
	    cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
