/* What quick.h accepts must be what the reader accepts, with the same lengths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/json.h"
#include "meter/quick.h"

static const char *ends_at(const char *text, size_t n)
{
	return quick_skip(text, text + n, 0);
}

/* The reader's opinion of text[0..n). */
static bool reads(const char *text, size_t n)
{
	struct json_reader r;
	enum json_token t;
	size_t i = 0;

	json_reader_init(&r);
	do
		t = json_next(&r, text, n, &i);
	while (t != JT_MORE && t != JT_ERROR);
	return t == JT_MORE && json_reader_complete(&r);
}

static void test_accepts(void **state)
{
	static const char *const good[] = {
	    "{}",
	    "{\"a\":1}",
	    "{ \"a\" : [ ] , \"b\" : [ 1 , -0.5 , true ] }",
	    "{\"a\":{\"b\":[[],{}]},\"c\":\"\\n\\u00e9\\ud83d\\ude00\\\"\"}",
	    "{\"a\":null,\"b\":false,\"t\":\"\xc3\xa9 sixteen bytes and more of them\"}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		size_t n = strlen(good[i]);

		assert_ptr_equal(ends_at(good[i], n), good[i] + n);
		assert_true(reads(good[i], n));
	}
}

static void test_leaves_to_the_reader(void **state)
{
	static const char *const bad[] = {
	    "{\"a\"}",         "{\"a\":}",         "{\"a\":1,}",          "{,}",
	    "{\"a\":[1,]}",    "{\"a\":01}",       "{\"a\":1e5}",         "{\"a\":nul}",
	    "{\"a\":\"\\x\"}", "{\"a\":\"\n\"}",   "{\"a\":\"\\ud83d\"}", "{\"a\":\"}",
	    "{\"a\":[}",       "{\"a\":\"\xff\"}", "{\"a\" 1}",           "{\"a\":1.}",
	    "{\"a\":-}",       "{\"\\u0061\":1}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_null(ends_at(bad[i], strlen(bad[i])));
}

static void test_depth(void **state)
{
	char text[4 * QUICK_DEPTH_MAX];

	(void)state;
	for (int depth = QUICK_DEPTH_MAX - 1; depth <= QUICK_DEPTH_MAX; depth++) {
		char *end = text;

		memcpy(end, "{\"a\":", 5);
		end += 5;
		memset(end, '[', (size_t)depth);
		end += depth;
		memset(end, ']', (size_t)depth);
		end += depth;
		*end++ = '}';
		if (depth < QUICK_DEPTH_MAX)
			assert_ptr_equal(ends_at(text, (size_t)(end - text)), end);
		else
			assert_null(ends_at(text, (size_t)(end - text)));
	}
}

static void test_lengths(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
		bool plain;
	} cases[] = {{"\"}", 0, true},
		     {"abc\"}", 3, true},
		     {"a\\n\\u0041\\u00e9\\u20ac\"}", 8, false},
		     {"\\ud83d\\ude00!\"}", 5, false},
		     {"\xe2\x82\xac and plain text of many bytes\"}", 3 + 29, false}};
	uint64_t bytes;
	bool plain;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *end = cases[i].text + strlen(cases[i].text);

		assert_ptr_equal(quick_string(cases[i].text, end, &bytes, &plain), end - 2);
		assert_int_equal(bytes, cases[i].bytes);
		assert_int_equal(plain, cases[i].plain);
	}
}

/* Random damage to a document, in memory that ends where the document does. */
static void test_agrees_with_reader(void **state)
{
	static const char good[] =
	    "{\"id\":\"x\\u00e9\",\"n\":[1,-2.5,0,{\"a\":{}}],\"t\":\"long enough for a block \xc3\xa9\",\"b\":[true,"
	    "false,null]}";
	static const char letters[] = "{}[]\",:\\u0019.-eEtrufalsn \n\xc3\xa9\x01";
	const size_t n = sizeof(good) - 1;
	size_t accepted = 0;

	(void)state;
	srand(7);
	for (int i = 0; i < 20000; i++) {
		char *text = malloc(n);

		assert_non_null(text);
		memcpy(text, good, n);
		for (int k = rand() % 3; k > 0; k--)
			text[1 + (size_t)rand() % (n - 2)] = letters[(size_t)rand() % (sizeof(letters) - 1)];
		if (ends_at(text, n) == text + n) {
			accepted++;
			assert_true(reads(text, n));
		}
		free(text);
	}
	assert_true(accepted > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_accepts), cmocka_unit_test(test_leaves_to_the_reader), cmocka_unit_test(test_depth),
	    cmocka_unit_test(test_lengths), cmocka_unit_test(test_agrees_with_reader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
