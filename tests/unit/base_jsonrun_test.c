/* base_jsonrun_test - runs inside JSON strings: random text against a reading byte by byte, at every cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/jsonrun.h"
#include "base/utf8.h"

static int digits(const char *p, size_t n)
{
	int v = 0;

	if (n < 6 || p[0] != '\\' || p[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++) {
		const char *hex = "0123456789abcdefABCDEF", *at = p[i] ? strchr(hex, p[i]) : NULL;

		if (!at)
			return -1;
		v = v * 16 + (int)(at - hex < 16 ? at - hex : at - hex - 6);
	}
	return v;
}

/* One character or escape: its length, 0 when the run stops. */
static size_t plain_step(const char *p, size_t n, uint64_t *decoded)
{
	uint32_t cp;
	int unit, low;

	if (n == 0 || *p == '"' || (unsigned char)*p < 0x20)
		return 0;
	if (*p != '\\') {
		size_t len = utf8_decode(p, n, &cp);

		*decoded += len;
		return len;
	}
	if (n >= 2 && p[1] != '\0' && strchr("\"\\/bfnrt", p[1])) {
		*decoded += 1;
		return 2;
	}
	unit = digits(p, n);
	low = n > 6 ? digits(p + 6, n - 6) : -1;
	if (unit < 0 || (unit >= 0xdc00 && unit < 0xe000) ||
	    (unit >= 0xd800 && unit < 0xdc00 && (low < 0xdc00 || low >= 0xe000)))
		return 0;
	*decoded += unit < 0x80 ? 1 : unit < 0x800 ? 2 : unit >= 0xd800 && unit < 0xdc00 ? 4 : 3;
	return unit >= 0xd800 && unit < 0xdc00 ? 12 : 6;
}

static void check(const char *text, size_t n)
{
	char *p = malloc(n + 1);
	uint64_t want = 0, got = 0;
	size_t at = 0, step;

	assert_non_null(p);
	memcpy(p, text, n);
	while ((step = plain_step(p + at, n - at, &want)) > 0)
		at += step;
	if (jsonrun_text(p, n, &got) != at || got != want)
		fail_msg("%.*s", (int)n, text);
	free(p);
}

static const char *const parts[] = {
    "a",
    "plain text of some length, longer than a block of it",
    " ",
    "\\n",
    "\\\\",
    "\\\"",
    "\\/",
    "\\u00e9",
    "\\u0000",
    "\\uFFFF",
    "\\u07ff",
    "\\ud83d\\ude00",
    "\xc3\xa9",
    "\xc2\x80",
    "\xdf\xbf",
    "\xe2\x82\xac",
    "\xe0\xa0\x80",
    "\xef\xbf\xbf",
    "\xed\x9f\xbf",
    "\xee\x80\x80",
    "\xf0\x9f\x98\x80",
    "\xf4\x8f\xbf\xbf",
    "\xe6\x95\x8f\xe6\x8d\xb7\xe7\x9a\x84",
    "\x7f",
};
static const char *const stops[] = {
    "\"",
    "\n",
    "\x01",
    "\\x",
    "\\u12",
    "\\u123g",
    "\\ud83d",
    "\\ud83dx",
    "\\ude00",
    "\\ud83d\\u0041",
    "\xc1\xbf",
    "\xc0\x80",
    "\xe0\x9f\xbf",
    "\xed\xa0\x80",
    "\xf0\x8f\xbf\xbf",
    "\xf4\x90\x80\x80",
    "\xf5\x80\x80\x80",
    "\x80",
    "\xc3(",
    "\xe2\x82(",
    "\xff",
    "\xf0\x9f\x98",
};

static void test_random(void **state)
{
	char text[2048];

	(void)state;
	for (int round = 0; round < 20000; round++) {
		size_t n = 0, count = (size_t)rand() % 20;

		for (size_t i = 0; i < count; i++) {
			const char *s = parts[(size_t)rand() % ARRAY_LEN(parts)];

			memcpy(text + n, s, strlen(s));
			n += strlen(s);
		}
		if (rand() % 2) {
			const char *s = stops[(size_t)rand() % ARRAY_LEN(stops)];

			memcpy(text + n, s, strlen(s));
			n += strlen(s);
			memcpy(text + n, "more", 4);
			n += 4;
		}
		check(text, n > 2000 ? 2000 : n);
		check(text, n > 0 ? (size_t)rand() % n : 0);
	}
}

/* The reader gives the same length whether it keeps the text or not, in any pieces. */
static void test_reader(void **state)
{
	char text[2048];

	(void)state;
	for (int round = 0; round < 3000; round++) {
		uint64_t lengths[4] = {0};
		size_t n = 1, count = (size_t)rand() % 12;

		text[0] = '"';
		for (size_t i = 0; i < count; i++) {
			const char *s = rand() % 9 ? parts[(size_t)rand() % ARRAY_LEN(parts)]
						   : stops[(size_t)rand() % ARRAY_LEN(stops)];

			memcpy(text + n, s, strlen(s));
			n += strlen(s);
		}
		text[n++] = '"';
		for (int way = 0; way < 4; way++) {
			struct json_reader r;
			size_t i, k, at;

			json_reader_init(&r);
			r.want_text = way & 1;
			for (i = 0; i < n; i += k) {
				k = way & 2 ? 1 + (size_t)rand() % 9 : n;
				k = k > n - i ? n - i : k;
				at = 0;
				switch (json_next(&r, text + i, k, &at)) {
				case JT_STRING:
					lengths[way] = r.length_bytes + 1;
					i = n;
					break;
				case JT_ERROR:
					i = n;
					break;
				default:
					break;
				}
				if (i == n)
					break;
			}
		}
		for (int way = 1; way < 4; way++)
			assert_int_equal(lengths[0], lengths[way]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_random),
	    cmocka_unit_test(test_reader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
