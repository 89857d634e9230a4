/* base_json_test - the reader: same tokens for every split, validity as jansson judges; the writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <jansson.h>

#include "base/error.h"
#include "base/json.h"

static const char *const valid[] = {
    "{}",
    "[]",
    " \t\r\n{ \"a\" : [ 1 , -0.5e+10 , \"x\" , true , false , null , {} ] } \n",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"",
    "\"plain long text that runs over several sixteen byte blocks, with \\n and \xc3\xa9 and \xf0\x9f\x98\x80 in it\"",
    "{\"model\":\"gpt-5\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":100,\"stream\":true}",
    "{\"\":{\"\":[[[[[0]]]]]},\"a\":-1,\"b\":0,\"c\":1.0,\"d\":1e5,\"e\":1E-5,\"f\":123456789.25}",
    "0",
    "-12.5e3",
    "true",
    "null",
    "\"\"",
    "[\"\\u0000\",\"\\uDBFF\\uDFFF\",\"\xef\xbf\xbd\"]",
    "[1,[2,[3,{\"k\":[4,{\"l\":5}]}]],6]",
};

static const char *const invalid[] = {
    "",
    " ",
    "{",
    "}",
    "[",
    "]",
    "[,]",
    "[1,]",
    "{,}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{a:1}",
    "{'a':1}",
    "[1 2]",
    "[1}",
    "{\"a\":1]",
    "01",
    "-",
    "+1",
    "1.",
    ".5",
    "1e",
    "1e+",
    "0x1",
    "--1",
    "1.2.3",
    "1e5e5",
    "tru",
    "truex",
    "nul",
    "True",
    "NaN",
    "Infinity",
    "\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u12g4\"",
    "\"a\nb\"",
    "\"a\tb\"",
    "{} {}",
    "1 2",
    "[] x",
    "//",
    "/**/1",
    "[1,,2]",
    "{\"a\" 1}",
    "{1:2}",
    "{\"a\":1 \"b\":2}",
    "\xef\xbb\xbf{}",
    "-a",
    "[-]",
    "[1.]",
    "[0123]",
    "[\"a]",
    "nullnull",
    "[truefalse]",
};

/* A printable log of all tokens, to compare runs. */
struct stream {
	char *text;
	size_t n, cap;
};

static void stream_add(struct stream *s, const struct json_reader *r, enum json_token token)
{
	bool has_text = token == JT_KEY || token == JT_STRING || token == JT_NUMBER;

	if (s->cap - s->n < 1024) {
		s->cap = s->cap * 2 + 4096;
		s->text = realloc(s->text, s->cap);
		assert_non_null(s->text);
	}
	s->n += (size_t)snprintf(s->text + s->n, s->cap - s->n, "%d:%d:%llu:", (int)token, r->depth,
				 (unsigned long long)r->offset);
	if (!has_text)
		return;
	s->n += (size_t)snprintf(s->text + s->n, s->cap - s->n, "%llu:%llu:%d:", (unsigned long long)r->token_begin,
				 (unsigned long long)r->length_bytes, r->cut);
	memcpy(s->text + s->n, r->text, r->text_n);
	s->n += r->text_n;
}

/* `piece`: bytes at a time, 0 = random. */
static bool run(struct slice doc, size_t piece, bool strict, bool want_text, struct stream *s)
{
	struct json_reader r;
	enum json_token token = JT_MORE;

	json_reader_init(&r);
	r.utf8_strict = strict;
	r.want_text = want_text;
	for (size_t at = 0; at < doc.n && token != JT_ERROR;) {
		size_t n = piece ? piece : (size_t)rand() % 40, i = 0;
		char *copy;

		n = n < doc.n - at ? n : doc.n - at;
		copy = malloc(n ? n : 1); /* exact size: reading past it is seen */
		assert_non_null(copy);
		memcpy(copy, doc.p + at, n);
		while ((token = json_next(&r, copy, n, &i)) != JT_MORE && token != JT_ERROR)
			stream_add(s, &r, token);
		if (token == JT_MORE)
			assert_int_equal(i, n);
		at += i;
		free(copy);
	}
	stream_add(s, &r, token);
	if (token == JT_ERROR)
		assert_int_equal(json_next(&r, "", 0, &(size_t){0}), JT_ERROR); /* sticky */
	return token != JT_ERROR && json_reader_complete(&r);
}

static bool check_splits(struct slice doc, bool strict, bool want_text)
{
	struct stream whole = {0}, part = {0};
	bool ok = run(doc, doc.n, strict, want_text, &whole);

	for (size_t piece = 0; piece <= 17; piece += piece < 3 ? 1 : 7) {
		part.n = 0;
		if (run(doc, piece, strict, want_text, &part) != ok)
			fail_msg("pieces of %zu: %d not %d: " SLICE_FMT, piece, !ok, ok, SLICE_ARG(doc));
		assert_int_equal(part.n, whole.n);
		if (whole.n)
			assert_memory_equal(part.text, whole.text, whole.n);
	}
	free(whole.text);
	free(part.text);
	return ok;
}

static void test_tables(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(valid); i++) {
		if (!check_splits(slice_of(valid[i]), true, true) || !check_splits(slice_of(valid[i]), false, false))
			fail_msg("refused: %s", valid[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(invalid); i++) {
		if (check_splits(slice_of(invalid[i]), true, true) || check_splits(slice_of(invalid[i]), false, false))
			fail_msg("accepted: %s", invalid[i]);
	}
}

/* jansson is the judge, but for its own limits: huge numbers, and lone surrogates, which we replace. */
static void compare_with_jansson(struct slice doc)
{
	json_error_t err;
	json_t *tree = json_loadb(doc.p, doc.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &err);
	bool theirs = tree != NULL, ours = check_splits(doc, true, true);

	json_decref(tree);
	if (theirs == ours)
		return;
	if (!theirs && (json_error_code(&err) == json_error_numeric_overflow || strstr(err.text, "Unicode '\\u")))
		return;
	fail_msg("jansson %d (%s), ours %d: " SLICE_FMT, theirs, err.text, ours, SLICE_ARG(doc));
}

static void test_mutations(void **state)
{
	static const char alphabet[] = "{}[]\",:\\u0123456789.eE+-truefalsn \n\x01\x7f\x80\xc3\xe2\xf0\xff";
	char doc[512];

	(void)state;
	srand(3);
	for (int round = 0; round < 6000; round++) {
		const char *base = valid[(size_t)rand() % ARRAY_LEN(valid)];
		size_t n = slice_to_cstr(slice_of(base), doc, sizeof(doc) - 8);

		for (int k = rand() % 4; k >= 0; k--) {
			size_t at = n ? (size_t)rand() % n : 0;
			char c = alphabet[(size_t)rand() % (sizeof(alphabet) - 1)];

			switch (rand() % 3) {
			case 0:
				doc[at] = c;
				n += n == 0;
				break;
			case 1:
				memmove(doc + at + 1, doc + at, n - at);
				doc[at] = c;
				n++;
				break;
			default:
				n -= n > 0;
				memmove(doc + at, doc + at + 1, n - at);
				break;
			}
		}
		compare_with_jansson(slice_mem(doc, n));
		(void)check_splits(slice_mem(doc, n), false, round % 2);
	}
}

/* The first string of a document. */
static enum json_token first_string(struct json_reader *r, struct slice doc, bool strict)
{
	enum json_token token;
	size_t i = 0;

	json_reader_init(r);
	r->utf8_strict = strict;
	do
		token = json_next(r, doc.p, doc.n, &i);
	while (token != JT_STRING && token != JT_ERROR && token != JT_MORE);
	return token;
}

static void test_utf8(void **state)
{
#define FFFD "\xef\xbf\xbd"
	static const struct {
		const char *in, *out;
	} bad[] = {
	    {"\"\x80\"", FFFD},
	    {"\"\xc0\xaf\"", FFFD FFFD},
	    {"\"a\xe2\x82\"", "a" FFFD},
	    {"\"\xe2\x82z\"", FFFD "z"},
	    {"\"\xe0\x80\x80\"", FFFD FFFD FFFD},
	    {"\"\xed\xa0\x80\"", FFFD FFFD FFFD},
	    {"\"\xf0\x9f\x98\"", FFFD},
	    {"\"\xf4\x90\x80\x80\"", FFFD FFFD FFFD FFFD},
	    {"\"\xf5\"", FFFD},
	    {"\"\xc3\\n\"", FFFD "\n"},
	    {"\"\xe2\x82\xc3\xa9\"", FFFD "\xc3\xa9"},
	};
	static const struct {
		const char *in, *out;
	} lone[] = {
	    {"\"\\ud800\"", FFFD},
	    {"\"\\ud800x\"", FFFD "x"},
	    {"\"\\udc00\"", FFFD},
	    {"\"\\ud800\\ud83d\\ude00\"", FFFD "\xf0\x9f\x98\x80"},
	    {"\"\\ud800\\u0041\"", FFFD "A"},
	    {"\"\\ud800\\n\"", FFFD "\n"},
	    {"\"\\ud83d\xc3\xa9\"", FFFD "\xc3\xa9"},
	};
	struct json_reader r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(first_string(&r, slice_of(bad[i].in), true), JT_ERROR);
		assert_int_equal(first_string(&r, slice_of(bad[i].in), false), JT_STRING);
		assert_string_equal(r.text, bad[i].out);
		assert_int_equal(r.length_bytes, strlen(bad[i].out));
		(void)check_splits(slice_of(bad[i].in), false, true);
	}
	for (size_t i = 0; i < ARRAY_LEN(lone); i++) {
		assert_int_equal(first_string(&r, slice_of(lone[i].in), true), JT_STRING);
		assert_string_equal(r.text, lone[i].out);
		(void)check_splits(slice_of(lone[i].in), true, true);
	}
}

static void test_long_strings(void **state)
{
	char *doc = malloc(100000);
	struct json_reader r;

	(void)state;
	assert_non_null(doc);
	for (int kind = 0; kind < 3; kind++) {
		static const char *const units[] = {"x", "\xe4\xb8\xad", "\\u4e2d"};
		static const size_t decoded[] = {1, 3, 3};
		size_t n = 1, count;

		for (count = 508 / decoded[kind]; count < 20000 / decoded[kind]; count += count < 560 ? 1 : 5000) {
			doc[0] = '"';
			n = 1;
			for (size_t i = 0; i < count; i++) {
				memcpy(doc + n, units[kind], strlen(units[kind]));
				n += strlen(units[kind]);
			}
			doc[n++] = '"';
			assert_int_equal(first_string(&r, slice_mem(doc, n), true), JT_STRING);
			assert_int_equal(r.length_bytes, count * decoded[kind]);
			assert_int_equal(r.cut, count * decoded[kind] > JSON_CAPTURE_MAX);
			assert_true(r.text_n <= JSON_CAPTURE_MAX && r.text_n % decoded[kind] == 0);
			assert_true(check_splits(slice_mem(doc, n), true, true));
		}
	}
	free(doc);
}

static void test_depth(void **state)
{
	char doc[300];

	(void)state;
	memset(doc, '[', JSON_DEPTH_MAX);
	memset(doc + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	assert_true(check_splits(slice_mem(doc, 2 * JSON_DEPTH_MAX), true, true));
	memset(doc, '[', JSON_DEPTH_MAX + 1);
	memset(doc + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	assert_false(check_splits(slice_mem(doc, 2 * JSON_DEPTH_MAX + 2), true, true));
}

static void test_keys_without_text(void **state)
{
	struct json_reader r;
	struct slice doc = SLICE("{\"key\":\"value\",\"n\":1.5}x");
	size_t i = 0;

	(void)state;
	json_reader_init(&r);
	r.want_text = false;
	assert_int_equal(json_next(&r, doc.p, doc.n, &i), JT_OBJECT_BEGIN);
	assert_int_equal(json_next(&r, doc.p, doc.n, &i), JT_KEY);
	assert_string_equal(r.text, "key");
	assert_int_equal(json_next(&r, doc.p, doc.n, &i), JT_STRING);
	assert_int_equal(json_text(&r).n, 0);
	assert_int_equal(r.length_bytes, 5);
	assert_int_equal(r.token_begin, 7);
	assert_int_equal(r.offset, 14);
	assert_int_equal(json_next(&r, doc.p, doc.n, &i), JT_KEY);
	assert_int_equal(json_next(&r, doc.p, doc.n, &i), JT_NUMBER);
	assert_string_equal(r.text, "1.5");
	assert_int_equal(json_next(&r, doc.p, doc.n, &i), JT_OBJECT_END);
	assert_int_equal(json_next(&r, doc.p, doc.n, &i), JT_END);
	assert_int_equal(json_next(&r, doc.p, doc.n, &i), JT_ERROR);
}

/* Reads doc in pieces, skipping every value whose key begins with 's' and every container in an array when `items`;
 * the tokens left over go to `out`. */
static bool run_skipping(struct slice doc, size_t piece, bool items, struct stream *out)
{
	struct json_reader r;
	enum json_token token = JT_MORE;

	json_reader_init(&r);
	r.want_text = true;
	for (size_t at = 0; at < doc.n && token != JT_ERROR;) {
		size_t n = piece < doc.n - at ? piece : doc.n - at, i = 0;
		char *copy = malloc(n);

		assert_non_null(copy);
		memcpy(copy, doc.p + at, n);
		while ((token = json_next(&r, copy, n, &i)) != JT_MORE && token != JT_ERROR) {
			stream_add(out, &r, token);
			if (token == JT_KEY && r.text[0] == 's')
				json_skip_value(&r);
			else if (items && token == JT_ARRAY_BEGIN)
				json_skip_value(&r);
		}
		at += i;
		free(copy);
	}
	stream_add(out, &r, token);
	return token != JT_ERROR && json_reader_complete(&r);
}

static bool skip_splits(struct slice doc, bool items, struct stream *whole)
{
	struct stream part = {0};
	bool ok;

	whole->n = 0;
	ok = run_skipping(doc, doc.n ? doc.n : 1, items, whole);
	for (size_t piece = 1; piece < 40; piece++) {
		part.n = 0;
		if (run_skipping(doc, piece, items, &part) != ok)
			fail_msg("skipping, pieces of %zu: " SLICE_FMT, piece, SLICE_ARG(doc));
		assert_int_equal(part.n, whole->n);
		if (part.n)
			assert_memory_equal(part.text, whole->text, part.n);
	}
	free(part.text);
	return ok;
}

static void test_skip(void **state)
{
	static const char *const good[] = {
	    "{\"s\":1,\"a\":2}",
	    "{\"s\" : \"text with \\\" and \\\\ and ]}[{ in it, over more than one block\" , \"b\":\"x\"}",
	    "{\"s\":{\"x\":[1,2,{\"y\":\"}]\"}],\"z\":{}},\"s2\":[],\"s3\":-1.5e3,\"s4\":null,\"k\":true}",
	    "{\"s\":\t\r\n [ [ [ [ \"\" ] ] ] ] \n}",
	    "{\"s\":false}",
	    "{\"a\":{\"s\":{}},\"b\":[{\"s\":[{}]},{\"s\":\"\\u4e2d\xe4\xb8\xad\"}]} ",
	    "[[1,[2]],{\"s\":3}]",
	    "{\"s\":\"\xff\xc0 never looked at\",\"a\":1}",
	    "{\"s\":{\"never\" looked at,,},\"a\":1}",
	};
	static const char *const bad[] = {
	    "{\"s\":}",        "{\"s\":[}]}",       "{\"s\":{]}",         "{\"s\":[[]}", "{\"s\":\"a\nb\"}",
	    "{\"s\":\"\\x\"}", "{\"s\":[\"\\x\"]}", "{\"s\":[\"\x01\"]}", "{\"s\":01}",  "{\"s\":tru}",
	    "{\"s\":1 2}",     "{\"s\",1}",         "{\"s\":[]]}",        "{\"s\":[],}", "{\"s\":{\"a\":[}",
	    "{\"s\":\"",       "{\"s\":[",          "{\"s\":[\"",         "{\"s\":[1,2", "{\"s\":",
	};
	struct stream a = {0}, b = {0};
	char deep[2 * JSON_DEPTH_MAX + 8] = "{\"s\":";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		if (!skip_splits(slice_of(good[i]), false, &a) || !skip_splits(slice_of(good[i]), true, &b))
			fail_msg("skipping: refused: %s", good[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (skip_splits(slice_of(bad[i]), false, &a))
			fail_msg("skipping: accepted: %s", bad[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(valid); i++)
		assert_true(skip_splits(slice_of(valid[i]), true, &a));
	for (size_t i = 0; i < ARRAY_LEN(invalid); i++)
		(void)skip_splits(slice_of(invalid[i]), true, &a);
	memset(deep + 5, '[', JSON_DEPTH_MAX - 1);
	memset(deep + 5 + JSON_DEPTH_MAX - 1, ']', JSON_DEPTH_MAX - 1);
	deep[5 + 2 * (JSON_DEPTH_MAX - 1)] = '}';
	assert_true(skip_splits(slice_of(deep), false, &a));
	memset(deep + 5, '[', JSON_DEPTH_MAX);
	assert_false(skip_splits(slice_of(deep), false, &a));
	free(a.text);
	free(b.text);
}

/* What stands outside of the skipped parts is reported as ever. */
static void test_skip_tokens(void **state)
{
	struct slice doc = SLICE("{\"s\":{\"x\":[1]},\"a\":7,\"l\":[[1],2] }x");
	struct json_reader r;
	size_t i = 0;

	(void)state;
	json_reader_init(&r);
	assert_int_equal(json_next(&r, doc.p, doc.n, &i), JT_OBJECT_BEGIN);
	assert_int_equal(json_next(&r, doc.p, doc.n, &i), JT_KEY);
	json_skip_value(&r);
	assert_int_equal(json_next(&r, doc.p, doc.n, &i), JT_KEY);
	assert_string_equal(r.text, "a");
	assert_int_equal(r.depth, 1);
	assert_int_equal(r.token_begin, 15);
	assert_int_equal(json_next(&r, doc.p, doc.n, &i), JT_NUMBER);
	assert_string_equal(r.text, "7");
	assert_int_equal(json_next(&r, doc.p, doc.n, &i), JT_KEY);
	assert_int_equal(json_next(&r, doc.p, doc.n, &i), JT_ARRAY_BEGIN);
	assert_int_equal(r.depth, 2);
	json_skip_value(&r); /* the rest of the array, its end too */
	assert_int_equal(json_next(&r, doc.p, doc.n, &i), JT_OBJECT_END);
	assert_int_equal(r.depth, 0);
	assert_int_equal(json_next(&r, doc.p, doc.n, &i), JT_END);
	assert_int_equal(json_next(&r, doc.p, doc.n, &i), JT_ERROR);
	i = 0;
	json_reader_init(&r);
	assert_int_equal(json_next(&r, doc.p, doc.n - 1, &i), JT_OBJECT_BEGIN);
	json_skip_value(&r);
	assert_int_equal(json_next(&r, doc.p, doc.n - 1, &i), JT_END);
	assert_int_equal(i, doc.n - 1);
	assert_int_equal(json_next(&r, doc.p, doc.n - 1, &i), JT_MORE);
	assert_true(json_reader_complete(&r));
}

static void test_counts(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t value;
	} cases[] = {
	    {"0", BUR_OK, 0},
	    {"-0", BUR_OK, 0},
	    {"-0.0e5", BUR_OK, 0},
	    {"12", BUR_OK, 12},
	    {"12.9", BUR_OK, 12},
	    {"1.29e1", BUR_OK, 12},
	    {"1299e-2", BUR_OK, 12},
	    {"1e3", BUR_OK, 1000},
	    {"1E+3", BUR_OK, 1000},
	    {"0.999", BUR_OK, 0},
	    {"1e-400", BUR_OK, 0},
	    {"0e999999999", BUR_OK, 0},
	    {"18446744073709551615", BUR_OK, UINT64_MAX},
	    {"18446744073709551615.9", BUR_OK, UINT64_MAX},
	    {"18446744073709551616", BUR_INVALID, 0},
	    {"1e20", BUR_INVALID, 0},
	    {"1e999999999999", BUR_INVALID, 0},
	    {"-1", BUR_INVALID, 0},
	    {"-0.5", BUR_INVALID, 0},
	    {"", BUR_INVALID, 0},
	    {"01", BUR_INVALID, 0},
	    {"1.", BUR_INVALID, 0},
	    {"+1", BUR_INVALID, 0},
	    {" 1", BUR_INVALID, 0},
	    {"NaN", BUR_INVALID, 0},
	    {"--1", BUR_INVALID, 0},
	    {"-", BUR_INVALID, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t v = 0;
		int r = json_count(slice_of(cases[i].text), &v);

		if (r != cases[i].r || v != cases[i].value)
			fail_msg("%s: %d %llu", cases[i].text, r, (unsigned long long)v);
	}
}

static void test_writer(void **state)
{
	struct buf b;
	char text[16];
	json_t *tree;

	(void)state;
	buf_init(&b, 4096);
	assert_int_equal(json_write_string(&b, SLICE("a\"\\\n\x01\x1f\xc3\xa9\xff z/")), BUR_OK);
	assert_int_equal(buf_append(&b, "", 1), BUR_OK);
	assert_string_equal(b.mem, "\"a\\\"\\\\\\n\\u0001\\u001f\xc3\xa9" FFFD " z/\"");
	buf_done(&b);
	srand(4);
	for (int round = 0; round < 2000; round++) {
		char bytes[64];
		size_t n = (size_t)rand() % sizeof(bytes);

		for (size_t i = 0; i < n; i++)
			bytes[i] = (char)rand();
		assert_int_equal(json_write_string(&b, slice_mem(bytes, n)), BUR_OK);
		tree = json_loadb(buf_slice(&b).p, buf_len(&b), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		assert_non_null(tree);
		json_decref(tree);
		buf_done(&b);
	}
	buf_init(&b, 6);
	assert_int_equal(json_write_string(&b, SLICE("abcde")), BUR_TOOBIG);
	assert_int_equal(buf_len(&b), 0); /* all or nothing */
	buf_done(&b);
	assert_int_equal(json_escape(SLICE("ab\"\xe4\xb8\xad"), text, sizeof(text)), 7);
	assert_string_equal(text, "ab\\\"\xe4\xb8\xad");
	assert_int_equal(json_escape(SLICE("ab\"\xe4\xb8\xad"), text, 7), 4); /* whole characters */
	assert_int_equal(json_escape(SLICE("ab\"x"), text, 4), 2);
	assert_int_equal(json_escape(SLICE("ab"), text, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_tables), cmocka_unit_test(test_mutations),
	    cmocka_unit_test(test_utf8),   cmocka_unit_test(test_long_strings),
	    cmocka_unit_test(test_depth),  cmocka_unit_test(test_keys_without_text),
	    cmocka_unit_test(test_skip),   cmocka_unit_test(test_skip_tokens),
	    cmocka_unit_test(test_counts), cmocka_unit_test(test_writer),
	};

	return cmocka_run_group_tests_name("base_json", tests, NULL, NULL);
}
