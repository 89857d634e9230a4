/* meter_multipart_test - forms: the same parts however the bytes are split; what readers could split differently is
 * refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "meter/multipart.h"

#define TYPE "multipart/form-data; boundary=B"

/* "name[F]=data;" for each part, then "." when complete or "!" on an error. */
static void read_form(const char *type, const char *body, size_t n, size_t piece, char *out, size_t out_size)
{
	struct multipart m;
	size_t at = 0, k;

	out[0] = '\0';
	if (multipart_init(&m, slice_of(type)) < 0) {
		(void)snprintf(out, out_size, "type!");
		return;
	}
	for (size_t from = 0; from < n; from += k) {
		char *copy;
		size_t i = 0;
		struct slice data;
		enum multipart_event e;

		k = piece < n - from ? piece : n - from;
		copy = malloc(k); /* so that the sanitizer sees the borders */
		assert_non_null(copy);
		memcpy(copy, body + from, k);
		while ((e = multipart_next(&m, copy, k, &i, &data)) != MULTIPART_MORE) {
			if (e == MULTIPART_PART)
				at +=
				    (size_t)snprintf(out + at, out_size - at, "%s%s=", m.name, m.is_file ? "[F]" : "");
			else if (e == MULTIPART_DATA)
				at += (size_t)snprintf(out + at, out_size - at, "%.*s", (int)data.n, data.p);
			else if (e == MULTIPART_PART_END)
				at += (size_t)snprintf(out + at, out_size - at, ";");
			if (e == MULTIPART_ERROR)
				break;
		}
		free(copy);
		if (e == MULTIPART_ERROR) {
			(void)snprintf(out + at, out_size - at, "!");
			return;
		}
	}
	(void)snprintf(out + at, out_size - at, multipart_complete(&m) ? "." : "...");
}

static void gives(const char *type, const char *body, const char *want)
{
	char whole[2048], split[2048];
	size_t n = strlen(body), piece;

	read_form(type, body, n, n + 1, whole, sizeof(whole));
	if (strcmp(whole, want) != 0)
		fail_msg("%s\ngives %s\nnot   %s", body, whole, want);
	for (piece = 1; piece <= 7; piece++) {
		read_form(type, body, n, piece, split, sizeof(split));
		assert_string_equal(split, whole);
	}
}

static void test_parts(void **state)
{
	(void)state;
	gives(TYPE,
	      "--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--B\r\n"
	      "content-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n"
	      "RI\r\nFF\r\n-\r\n--\r\r\n--A\r\n--B--\r\n",
	      "model=whisper-1;file[F]=RI\r\nFF\r\n-\r\n--\r\r\n--A;.");
	gives("Multipart/Form-Data;charset=utf-8; Boundary=\"a b\"",
	      "--a b\r\nContent-Disposition: form-data; name=x; filename*=utf-8''q\r\n\r\n\r\n--a b--", "x[F]=;.");
	gives(TYPE, "--B\r\nContent-Disposition:form-data; name=\"\"; filename=\"q\\\"x\"\r\n\r\n1\r\n--B--",
	      "[F]=1;.");
	gives(TYPE, "--B--\r\n", ".");
	gives(TYPE, "--B\r\nContent-Disposition: form-data; name=\"m\"\r\n\r\n1", "m=1...");
	gives(TYPE, "--B\r\nContent-Disposition: form-data; name=\"m\"\r\n\r\n1\r\n--B-", "m=1;...");
}

static void test_refused(void **state)
{
	static const char *const types[] = {
	    "multipart/form-data",
	    "multipart/form-data; boundary=",
	    "multipart/form-data; boundary=\"a\\b\"",
	    "multipart/form-data; boundary=a; boundary=b",
	    "multipart/form-data; boundary=\"a\x01\"",
	    "multipart/form-data; boundary=\"a \"",
	    "multipart/mixed; boundary=a",
	    "multipart/form-datax; boundary=a",
	    "multipart/form-data; boundary=\"a",
	    "multipart/form-data boundary=a",
	    "application/json",
	    ("multipart/form-data; "
	     "boundary=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")};
	static const char *const heads[] = {
	    "Content-Disposition: form-data; name=\"m\"\n\n1\r\n--B--",
	    "Content-Disposition: form-data\r\n\r\n1\r\n--B--",
	    "Content-Disposition: attachment; name=\"m\"\r\n\r\n1\r\n--B--",
	    "Content-Disposition: form-data; name=\"m\"; name=\"n\"\r\n\r\n1\r\n--B--",
	    "Content-Disposition: form-data; name=\"m\"; name*=utf-8''n\r\n\r\n1\r\n--B--",
	    "Content-Disposition: form-data; name=\"m\\\"\"\r\n\r\n1\r\n--B--",
	    "Content-Disposition: form-data; name=\"m\r\n\r\n1\r\n--B--",
	    "Content-Disposition: form-data;\r\n name=\"m\"\r\n\r\n1\r\n--B--",
	    "Content-Disposition: form-data; name=\"m\"\r\nContent-Disposition: "
	    "form-data; name=\"n\"\r\n\r\n1\r\n--B--",
	    "Content-Disposition: form-data; name=\"m\"\r\n"
	    "Content-Transfer-Encoding: base64\r\n\r\n1\r\n--B--",
	    "Content-Disposition: form-data; name=\"m\"\r\n"
	    "Content-Type: multipart/mixed; boundary=C\r\n\r\n1\r\n--B--",
	    "X: y\r\n\r\n1\r\n--B--",
	    "no colon\r\n\r\n1\r\n--B--"};
	char body[600], out[600];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(types); i++)
		gives(types[i], "", "type!");
	for (i = 0; i < ARRAY_LEN(heads); i++) {
		(void)snprintf(body, sizeof(body), "--B\r\n%s", heads[i]);
		gives(TYPE, body, "!");
	}
	gives(TYPE, "x--B\r\n", "!");
	gives(TYPE, "\r\n--B\r\n", "!");
	gives(TYPE, "--B \r\n", "!");
	gives(TYPE, "--Bx\r\n", "!");
	gives(TYPE, "--B\n", "!");
	gives(TYPE, "--B--\r\nx", "!");
	/* a line that begins with the boundary is one to some readers and data to others */
	gives(TYPE, "--B\r\nContent-Disposition: form-data; name=\"m\"\r\n\r\n1\r\n--Bx\r\n--B--", "m=1;!");
	/* a NUL in a header */
	read_form(TYPE, "--B\r\nX\0Y: z\r\n", 13, 20, out, sizeof(out));
	assert_string_equal(out, "!");
}

static void test_limits(void **state)
{
	static char body[MULTIPART_LINE_MAX + 200];
	char out[200];
	size_t i, n;

	(void)state;
	memset(body, 'a', sizeof(body));
	memcpy(body, "--B\r\nX:", 7);
	read_form(TYPE, body, sizeof(body), 100, out, sizeof(out));
	assert_string_equal(out, "!");
	n = (size_t)snprintf(body, sizeof(body), "--B\r\n");
	for (i = 0; i < MULTIPART_HEADERS_MAX + 1; i++)
		n += (size_t)snprintf(body + n, sizeof(body) - n, "X: y\r\n");
	read_form(TYPE, body, n, n, out, sizeof(out));
	assert_string_equal(out, "!");
}

static void test_charsets(void **state)
{
	static const char *const good[] = {"", "application/json", "application/json; charset=utf-8",
					   "application/json;charset=\"UTF-8\"; x=y", "text/plain; charset=us-ascii"};
	static const char *const bad[] = {"application/json; charset=utf-7",
					  "application/json;Charset = \"utf-16\"",
					  "application/json; charset=",
					  "application/json; charset",
					  "application/json; charset=utf-8; charset=utf-7",
					  "application/json; charset*=utf-8''utf-7"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(multipart_charset_plain(slice_of(good[i])));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(multipart_charset_plain(slice_of(bad[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parts),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_charsets),
	    cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
