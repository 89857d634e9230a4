/* The HTTP/1.1 parser and writer: tables of heads and bodies, each fed whole, byte by byte and in random pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "net/h1.h"

#define V(text) text, sizeof(text) - 1

static unsigned rng_state = 12345;

static unsigned rng(void)
{
	rng_state = rng_state * 1664525u + 1013904223u;
	return rng_state >> 8;
}

/* --- requests ------------------------------------------------------------------------------------------------------
 */

#define G "GET / HTTP/1.1\r\n"
#define GH G "Host: a\r\n"
#define P "POST /v1 HTTP/1.1\r\nHost: a\r\n"

struct request_case {
	const char *text;
	size_t n;
	enum h1_error error; /* H1_NONE: accepted */
	enum h1_framing framing;
	uint64_t length;
};

#define OKAY(text, framing, length)                                                                                    \
	{                                                                                                              \
		V(text), H1_NONE, framing, length                                                                      \
	}
#define BAD(text, why)                                                                                                 \
	{                                                                                                              \
		V(text), H1_##why, H1_NO_BODY, 0                                                                       \
	}

static const struct request_case requests[] = {
    /* accepted */
    OKAY(GH "\r\n", H1_NO_BODY, 0),
    OKAY("\r\n" GH "\r\n", H1_NO_BODY, 0),
    OKAY("\r\n\r\n" GH "\r\n", H1_NO_BODY, 0),
    OKAY("GET / HTTP/1.0\r\n\r\n", H1_NO_BODY, 0),
    OKAY("GET / HTTP/1.0\r\nHost: a\r\n\r\n", H1_NO_BODY, 0),
    OKAY(P "Content-Length: 5\r\n\r\n", H1_LENGTH, 5),
    OKAY(P "content-length:5\r\n\r\n", H1_LENGTH, 5),
    OKAY(P "CONTENT-LENGTH:\t5 \t\r\n\r\n", H1_LENGTH, 5),
    OKAY(P "Content-Length: 0\r\n\r\n", H1_LENGTH, 0),
    OKAY(P "Content-Length: 0005\r\n\r\n", H1_LENGTH, 5),
    OKAY(P "Content-Length: 9223372036854775807\r\n\r\n", H1_LENGTH, INT64_MAX),
    OKAY(P "Transfer-Encoding: chunked\r\n\r\n", H1_CHUNKED, 0),
    OKAY(P "transfer-encoding:Chunked\r\n\r\n", H1_CHUNKED, 0),
    OKAY(P "Transfer-Encoding: \tchunked\t \r\n\r\n", H1_CHUNKED, 0),
    OKAY("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", H1_NO_BODY, 0),
    OKAY("CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n", H1_NO_BODY, 0),
    OKAY("CONNECT a:443 HTTP/1.0\r\n\r\n", H1_NO_BODY, 0),
    OKAY("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 0\r\n\r\n", H1_NO_BODY, 0),
    OKAY("GET http://a.example/x?y HTTP/1.1\r\nHost: a.example\r\n\r\n", H1_NO_BODY, 0),
    OKAY("GET HTTPS://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", H1_NO_BODY, 0),
    OKAY("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", H1_NO_BODY, 0),
    OKAY("PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", H1_NO_BODY, 0),
    OKAY("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.1\r\nHost: a\r\n\r\n", H1_NO_BODY, 0),
    OKAY("G!#$%&'*+-.^_`|~1 / HTTP/1.1\r\nHost: a\r\n\r\n", H1_NO_BODY, 0),
    OKAY(GH "X: a\tb \x80\xff\r\n\r\n", H1_NO_BODY, 0),
    OKAY(GH "X:\r\n\r\n", H1_NO_BODY, 0),
    OKAY(GH "X: \t \r\n\r\n", H1_NO_BODY, 0),
    OKAY(GH "!#$%&'*+-.^_`|~09azAZ: v\r\n\r\n", H1_NO_BODY, 0),
    OKAY(GH "X: a:b:c\r\n\r\n", H1_NO_BODY, 0),
    OKAY(GH "Connection: close\r\n\r\n", H1_NO_BODY, 0),
    OKAY(GH "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n", H1_NO_BODY, 0),
    OKAY(GH "Connection: , ,x-foo,\r\n\r\n", H1_NO_BODY, 0),
    OKAY(GH "Connection: TE\r\nTE: trailers\r\n\r\n", H1_NO_BODY, 0),
    OKAY(G "Host: a.example:8080\r\n\r\n", H1_NO_BODY, 0),
    OKAY(G "Host: [2001:db8::1]\r\n\r\n", H1_NO_BODY, 0),
    OKAY(G "Host: [2001:db8::1]:80\r\n\r\n", H1_NO_BODY, 0),
    OKAY(G "Host: my_service:1\r\n\r\n", H1_NO_BODY, 0),
    OKAY(GH "Expect: 100-continue\r\n\r\n", H1_NO_BODY, 0),
    OKAY(GH "Transfer-Encoding-X: chunked\r\n\r\n", H1_NO_BODY, 0),
    OKAY(GH "X-Content-Length: 7\r\n\r\n", H1_NO_BODY, 0),

    /* start line */
    BAD(" GET / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_METHOD),
    BAD("\tGET / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_METHOD),
    BAD("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_METHOD),
    BAD("G\x00T / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_METHOD),
    BAD("G\xc3\xa9T / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_METHOD),
    BAD("\x16\x03\x01\x02\x00\x01", BAD_METHOD),
    BAD("\x80\x2e\x01", BAD_METHOD),
    BAD("{\"a\":1}\r\n\r\n", BAD_METHOD),
    BAD("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_METHOD),
    BAD("GET\r\n\r\n", BAD_LINE),
    BAD("GET /\r\n\r\n", BAD_LINE),
    BAD("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_LINE),
    BAD("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", BAD_LINE),
    BAD("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", BAD_LINE),
    BAD("GET / a HTTP/1.1\r\nHost: a\r\n\r\n", BAD_LINE),
    BAD("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD_METHOD),
    BAD("GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", BAD_LINE),
    BAD("GET / HTTP/1.1\rHost: a\r\n\r\n", BARE_CR),
    BAD("GET / http/1.1\r\nHost: a\r\n\r\n", BAD_LINE),
    BAD("GET / HTTP/11\r\nHost: a\r\n\r\n", BAD_LINE),
    BAD("GET / HTTP/1.10\r\nHost: a\r\n\r\n", BAD_LINE),
    BAD("GET / HTTP/01.1\r\nHost: a\r\n\r\n", BAD_LINE),
    BAD("GET / HTTP/+1.1\r\nHost: a\r\n\r\n", BAD_LINE),
    BAD("GET / HTTP/1,1\r\nHost: a\r\n\r\n", BAD_LINE),
    BAD("GET / HTTP/1.\r\nHost: a\r\n\r\n", BAD_LINE),
    BAD("GET / HTTPS/1.1\r\nHost: a\r\n\r\n", BAD_LINE),
    BAD("GET / ICY/1.1\r\nHost: a\r\n\r\n", BAD_LINE),
    BAD("GET / HTTP/1.1\x00\r\nHost: a\r\n\r\n", BAD_LINE),
    BAD("GET / HTTP/1.2\r\nHost: a\r\n\r\n", BAD_VERSION),
    BAD("GET / HTTP/0.9\r\nHost: a\r\n\r\n", BAD_VERSION),
    BAD("GET / HTTP/2.0\r\nHost: a\r\n\r\n", BAD_VERSION),
    BAD("GET / HTTP/9.9\r\nHost: a\r\n\r\n", BAD_VERSION),
    BAD("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD_VERSION),
    BAD("GET x HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET),
    BAD("GET * HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET),
    BAD("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET),
    BAD("GET javascript:x HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET),
    BAD("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET),
    BAD("GET ?x HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET),
    BAD("GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET),
    BAD("GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET),
    BAD("GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET),
    BAD("GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET),
    BAD("CONNECT http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET),
    BAD("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET),
    BAD("CONNECT u@a:443 HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET),
    BAD("OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET),

    /* line ends */
    BAD("\n" GH "\r\n", BARE_LF),
    BAD("\r\n\n" GH "\r\n", BARE_LF),
    BAD("\r" GH "\r\n", BARE_CR),
    BAD("\r\r\n" GH "\r\n", BARE_CR),
    BAD("\r\n\r\n\r\n" GH "\r\n", BAD_LINE),
    BAD("GET / HTTP/1.1\nHost: a\r\n\r\n", BARE_LF),
    BAD("GET / HTTP/1.1\nHost: a\n\n", BARE_LF),
    BAD("GET / HTTP/1.1\r\nHost: a\n\r\n", BARE_LF),
    BAD("GET / HTTP/1.1\r\nHost: a\r\n\n", BARE_LF),
    BAD(GH "X: a\nTransfer-Encoding: chunked\r\n\r\n", BARE_LF),
    BAD(GH "X: a\rTransfer-Encoding: chunked\r\n\r\n", BARE_CR),
    BAD(GH "X: a\r\r\n\r\n", BARE_CR),
    BAD(GH "X\r: a\r\n\r\n", BAD_NAME),
    BAD(GH "\rX: a\r\n\r\n", BAD_NAME),
    BAD(GH "X: a\r\n\rGET / HTTP/1.1\r\n\r\n", BAD_NAME),

    /* names and values */
    BAD(GH "X : a\r\n\r\n", BAD_NAME),
    BAD(GH "X\t: a\r\n\r\n", BAD_NAME),
    BAD(GH ": a\r\n\r\n", BAD_NAME),
    BAD(GH "X\r\n\r\n", BAD_NAME),
    BAD(GH "X a: b\r\n\r\n", BAD_NAME),
    BAD(GH "X(a): b\r\n\r\n", BAD_NAME),
    BAD(GH "X\x00: b\r\n\r\n", BAD_NAME),
    BAD(GH "X\x7f: b\r\n\r\n", BAD_NAME),
    BAD(GH "X\xe9: b\r\n\r\n", BAD_NAME),
    BAD(GH "\"X\": b\r\n\r\n", BAD_NAME),
    BAD(GH "X/Y: b\r\n\r\n", BAD_NAME),
    BAD(GH "X@Y: b\r\n\r\n", BAD_NAME),
    BAD(GH "X[Y]: b\r\n\r\n", BAD_NAME),
    BAD(GH "Content-Length : 5\r\n\r\n", BAD_NAME),
    BAD(GH "Transfer-Encoding : chunked\r\n\r\n", BAD_NAME),
    BAD(GH "\x0bTransfer-Encoding: chunked\r\n\r\n", BAD_NAME),
    BAD(GH "Transfer-Encoding\x0b: chunked\r\n\r\n", BAD_NAME),
    BAD(GH "GET / HTTP/1.1\r\n\r\n", BAD_NAME),
    BAD(GH "X: a\x00"
	   "b\r\n\r\n",
	BAD_VALUE),
    BAD(GH "X: \x01\r\n\r\n", BAD_VALUE),
    BAD(GH "X: a\x0b\r\n\r\n", BAD_VALUE),
    BAD(GH "X: a\x0c\r\n\r\n", BAD_VALUE),
    BAD(GH "X: a\x1b[31m\r\n\r\n", BAD_VALUE),
    BAD(GH "X: 0123456789abcdef0123456789\x7f\r\n\r\n", BAD_VALUE),
    BAD(GH "X: 0123456789abcdef\x1f"
	   "0123456789abcdef\r\n\r\n",
	BAD_VALUE),
    BAD(GH " X: a\r\n\r\n", OBS_FOLD),
    BAD(GH "X: a\r\n b\r\n\r\n", OBS_FOLD),
    BAD(GH "X: a\r\n\tb\r\n\r\n", OBS_FOLD),
    BAD(G " Host: a\r\n\r\n", OBS_FOLD),
    BAD(GH "Transfer-Encoding:\r\n chunked\r\n\r\n", OBS_FOLD),
    BAD(GH "Content-Length: 1\r\n 0\r\n\r\n", OBS_FOLD),
    BAD(GH " \r\n\r\n", OBS_FOLD),

    /* lengths */
    BAD(P "Content-Length:\r\n\r\n", BAD_LENGTH),
    BAD(P "Content-Length: \r\n\r\n", BAD_LENGTH),
    BAD(P "Content-Length: +5\r\n\r\n", BAD_LENGTH),
    BAD(P "Content-Length: -5\r\n\r\n", BAD_LENGTH),
    BAD(P "Content-Length: -0\r\n\r\n", BAD_LENGTH),
    BAD(P "Content-Length: 0x5\r\n\r\n", BAD_LENGTH),
    BAD(P "Content-Length: 5a\r\n\r\n", BAD_LENGTH),
    BAD(P "Content-Length: 5 5\r\n\r\n", BAD_LENGTH),
    BAD(P "Content-Length: 5,5\r\n\r\n", BAD_LENGTH),
    BAD(P "Content-Length: 5, 5\r\n\r\n", BAD_LENGTH),
    BAD(P "Content-Length: 5,\r\n\r\n", BAD_LENGTH),
    BAD(P "Content-Length: 5;\r\n\r\n", BAD_LENGTH),
    BAD(P "Content-Length: 5.0\r\n\r\n", BAD_LENGTH),
    BAD(P "Content-Length: 1e1\r\n\r\n", BAD_LENGTH),
    BAD(P "Content-Length: 1_0\r\n\r\n", BAD_LENGTH),
    BAD(P "Content-Length: \"5\"\r\n\r\n", BAD_LENGTH),
    BAD(P "Content-Length: \xef\xbc\x95\r\n\r\n", BAD_LENGTH),
    BAD(P "Content-Length: 9223372036854775808\r\n\r\n", BAD_LENGTH),
    BAD(P "Content-Length: 18446744073709551616\r\n\r\n", BAD_LENGTH),
    BAD(P "Content-Length: 18446744073709551621\r\n\r\n", BAD_LENGTH),
    BAD(P "Content-Length: 99999999999999999999999999999999\r\n\r\n", BAD_LENGTH),
    BAD(P "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", TWO_LENGTHS),
    BAD(P "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", TWO_LENGTHS),
    BAD(P "Content-Length: 5\r\ncontent-length: 5\r\n\r\n", TWO_LENGTHS),
    BAD(P "Content-Length: x\r\nContent-Length: 5\r\n\r\n", TWO_LENGTHS),
    BAD("GET / HTTP/1.0\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", TWO_LENGTHS),
    BAD("CONNECT a:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", BAD_LENGTH),

    /* codings */
    BAD(P "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", LENGTH_AND_CODING),
    BAD(P "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", LENGTH_AND_CODING),
    BAD(P "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\n", LENGTH_AND_CODING),
    BAD(P "Transfer-Encoding:\r\nContent-Length: 5\r\n\r\n", LENGTH_AND_CODING),
    BAD(P "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", LENGTH_AND_CODING),
    BAD(P "Transfer-Encoding: identity\r\n\r\n", BAD_CODING),
    BAD(P "Transfer-Encoding:\r\n\r\n", BAD_CODING),
    BAD(P "Transfer-Encoding: gzip\r\n\r\n", BAD_CODING),
    BAD(P "Transfer-Encoding: gzip, chunked\r\n\r\n", BAD_CODING),
    BAD(P "Transfer-Encoding: chunked, gzip\r\n\r\n", BAD_CODING),
    BAD(P "Transfer-Encoding: chunked, chunked\r\n\r\n", BAD_CODING),
    BAD(P "Transfer-Encoding: chunked, identity\r\n\r\n", BAD_CODING),
    BAD(P "Transfer-Encoding: chunked,\r\n\r\n", BAD_CODING),
    BAD(P "Transfer-Encoding: ,chunked\r\n\r\n", BAD_CODING),
    BAD(P "Transfer-Encoding: chunked;q=1\r\n\r\n", BAD_CODING),
    BAD(P "Transfer-Encoding: \"chunked\"\r\n\r\n", BAD_CODING),
    BAD(P "Transfer-Encoding: 'chunked'\r\n\r\n", BAD_CODING),
    BAD(P "Transfer-Encoding: xchunked\r\n\r\n", BAD_CODING),
    BAD(P "Transfer-Encoding: chunkedx\r\n\r\n", BAD_CODING),
    BAD(P "Transfer-Encoding: chunk\r\n\r\n", BAD_CODING),
    BAD(P "Transfer-Encoding: x chunked\r\n\r\n", BAD_CODING),
    BAD(P "Transfer-Encoding: chunked\xa0\r\n\r\n", BAD_CODING),
    BAD(P "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", BAD_CODING),
    BAD(P "Transfer-Encoding: chunked\r\nTransfer-encoding: x\r\n\r\n", BAD_CODING),
    BAD(P "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n", BAD_CODING),
    BAD(P "Transfer-Encoding: \x0b"
	  "chunked\r\n\r\n",
	BAD_VALUE),
    BAD(P "Transfer-Encoding: chun\x00ked\r\n\r\n", BAD_VALUE),
    BAD("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", CODING_IN_10),
    BAD("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", CODING_IN_10),
    BAD("CONNECT a:443 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", BAD_CODING),

    /* Host and Connection */
    BAD(G "\r\n", BAD_HOST),
    BAD(G "Host:\r\n\r\n", BAD_HOST),
    BAD(G "Host: a\r\nHost: a\r\n\r\n", BAD_HOST),
    BAD(G "Host: a\r\nhost: b\r\n\r\n", BAD_HOST),
    BAD("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", BAD_HOST),
    BAD(G "Host: a b\r\n\r\n", BAD_HOST),
    BAD(G "Host: a,b\r\n\r\n", BAD_HOST),
    BAD(G "Host: u@a\r\n\r\n", BAD_HOST),
    BAD(G "Host: a/b\r\n\r\n", BAD_HOST),
    BAD(G "Host: a?b\r\n\r\n", BAD_HOST),
    BAD(G "Host: a#b\r\n\r\n", BAD_HOST),
    BAD(G "Host: a:\r\n\r\n", BAD_HOST),
    BAD(G "Host: a:x\r\n\r\n", BAD_HOST),
    BAD(G "Host: a:+1\r\n\r\n", BAD_HOST),
    BAD(G "Host: a:65536\r\n\r\n", BAD_HOST),
    BAD(G "Host: a:1:2\r\n\r\n", BAD_HOST),
    BAD(G "Host: :80\r\n\r\n", BAD_HOST),
    BAD(G "Host: ::1\r\n\r\n", BAD_HOST),
    BAD(G "Host: [::1\r\n\r\n", BAD_HOST),
    BAD(G "Host: []\r\n\r\n", BAD_HOST),
    BAD(G "Host: [::1]x\r\n\r\n", BAD_HOST),
    BAD(G "Host: [[::1]]\r\n\r\n", BAD_HOST),
    BAD(G "Host: a]\r\n\r\n", BAD_HOST),
    BAD(G "Host: a[b\r\n\r\n", BAD_HOST),
    BAD(G "Host: \xe3\x80\x82\r\n\r\n", BAD_HOST),
    BAD(G "Host: a%2eb\r\n\r\n", BAD_HOST),
    BAD(G "Hos: a\r\n\r\n", BAD_HOST),
    BAD(GH "Connection: Host\r\n\r\n", BAD_CONNECTION),
    BAD(GH "Connection: close, content-length\r\n\r\n", BAD_CONNECTION),
    BAD(GH "Connection: Transfer-Encoding\r\n\r\n", BAD_CONNECTION),
    BAD(GH "Connection: Authorization\r\n\r\n", BAD_CONNECTION),
    BAD(GH "Connection: x-api-key\r\n\r\n", BAD_CONNECTION),
    BAD(GH "Connection: api-key\r\n\r\n", BAD_CONNECTION),
    BAD(GH "Connection: x-goog-api-key\r\n\r\n", BAD_CONNECTION),
    BAD(GH "Connection: cookie\r\n\r\n", BAD_CONNECTION),
    BAD(GH "Connection: Content-Type\r\n\r\n", BAD_CONNECTION),
    BAD(GH "Connection: x\r\nConnection: host\r\n\r\n", BAD_CONNECTION),
    BAD(GH "Connection: a b\r\n\r\n", BAD_CONNECTION),
    BAD(GH "Connection: \"close\"\r\n\r\n", BAD_CONNECTION),
};

/* Feeds `text` in growing pieces as chosen by `step`; what the parser says last. */
static int feed_request(const char *text, size_t n, unsigned (*step)(void), struct h1_head *head, enum h1_error *error)
{
	struct h1_scan scan = {0};
	size_t have = 0;
	char *copy;
	int r = BUR_AGAIN;

	while (have < n && r == BUR_AGAIN) {
		have += step();
		if (have > n)
			have = n;
		copy = malloc(have); /* of exactly that size, so that ASan sees reads beyond it */
		assert_non_null(copy);
		memcpy(copy, text, have);
		r = h1_parse_request(&scan, copy, have, head, error);
		free(copy);
	}
	return r;
}

static unsigned step_one(void)
{
	return 1;
}

static unsigned step_all(void)
{
	return 1u << 30;
}

static unsigned step_random(void)
{
	return 1 + rng() % 13;
}

static unsigned (*const steps[])(void) = {step_all, step_one, step_random, step_random};

static void check_request(const struct request_case *c, unsigned (*step)(void))
{
	struct h1_head head = {.status = 0};
	enum h1_error error = H1_NONE;
	int r = feed_request(c->text, c->n, step, &head, &error);

	if (c->error != H1_NONE) {
		if (r != BUR_INVALID || error != c->error)
			fail_msg("%.*s: got %d %s, not %s", (int)c->n, c->text, r, h1_error_text(error),
				 h1_error_text(c->error));
		return;
	}
	if (r != BUR_OK || head.framing != c->framing || head.content_length != c->length || head.head_bytes != c->n)
		fail_msg("%.*s: got %d %s, framing %d", (int)c->n, c->text, r, h1_error_text(error), (int)head.framing);
}

static void test_requests(void **state)
{
	(void)state;
	assert_true(sizeof(requests) / sizeof(requests[0]) >= 150);
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++)
			check_request(&requests[i], steps[s]);
	}
}

/* What follows the head does not change it. */
static void test_requests_with_more_behind(void **state)
{
	char text[1024];
	struct h1_head head;
	enum h1_error error;

	(void)state;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		const struct request_case *c = &requests[i];
		struct h1_scan scan = {0};
		size_t n = c->n;

		if (c->error != H1_NONE)
			continue;
		memcpy(text, c->text, n);
		memcpy(text + n, "\nGET / HTTP/1.1\r\n\r\n", 19);
		assert_int_equal(h1_parse_request(&scan, text, n + 19, &head, &error), BUR_OK);
		assert_int_equal(head.head_bytes, n);
	}
}

static int parse_once(const char *text, size_t n, struct h1_head *head, enum h1_error *error)
{
	struct h1_scan scan = {0};

	return h1_parse_request(&scan, text, n, head, error);
}

static void test_request_values(void **state)
{
	static const char text[] = "POST /v1/x?y=1 HTTP/1.1\r\nHost: api.example.com\r\nX-Api-Key:  sk-1 \r\n"
				   "User-agent:\tcurl\r\nTE: gzip, trailers\r\nConnection: te, x-drop\r\nX-Drop: 1\r\n"
				   "Expect: 100-Continue\r\nContent-Length: 12\r\n\r\nhello";
	struct h1_head head;
	enum h1_error error;

	(void)state;
	assert_int_equal(parse_once(text, sizeof(text) - 1, &head, &error), BUR_OK);
	assert_int_equal(head.method, H1_POST);
	assert_true(slice_eq(head.method_text, SLICE("POST")));
	assert_true(slice_eq(head.target, SLICE("/v1/x?y=1")));
	assert_int_equal(head.minor, 1);
	assert_int_equal(head.n_fields, 8);
	assert_int_equal(head.head_bytes, sizeof(text) - 1 - 5);
	assert_true(head.keep_alive && head.expect_continue && head.te_trailers && !head.upgrade);
	assert_true(slice_eq(h1_find(&head, H1_F_X_API_KEY)->value, SLICE("sk-1")));
	assert_true(slice_eq(h1_find(&head, H1_F_USER_AGENT)->value, SLICE("curl")));
	assert_null(h1_find(&head, H1_F_COOKIE));
	assert_true(h1_is_hop_by_hop(&head, h1_find_name(&head, SLICE("x-drop"))));
	assert_true(h1_is_hop_by_hop(&head, h1_find(&head, H1_F_TE)));
	assert_true(h1_is_hop_by_hop(&head, h1_find(&head, H1_F_CONNECTION)));
	assert_false(h1_is_hop_by_hop(&head, h1_find(&head, H1_F_HOST)));
	assert_false(h1_is_hop_by_hop(&head, h1_find(&head, H1_F_X_API_KEY)));
}

static void check_keep_alive(const char *text, bool expected)
{
	struct h1_head head;
	enum h1_error error;

	assert_int_equal(parse_once(text, strlen(text), &head, &error), BUR_OK);
	assert_int_equal(head.keep_alive, expected);
}

static void test_keep_alive(void **state)
{
	(void)state;
	check_keep_alive(GH "\r\n", true);
	check_keep_alive(GH "Connection: close\r\n\r\n", false);
	check_keep_alive(GH "Connection: x, CLOSE\r\n\r\n", false);
	check_keep_alive(GH "Connection: keep-alive\r\nConnection: close\r\n\r\n", false);
	check_keep_alive(GH "Proxy-Connection: close\r\n\r\n", false);
	check_keep_alive("GET / HTTP/1.0\r\n\r\n", false);
	check_keep_alive("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true);
	check_keep_alive("GET / HTTP/1.0\r\nConnection: Keep-Alive, close\r\n\r\n", false);
	check_keep_alive("GET / HTTP/1.0\r\nProxy-Connection: Keep-Alive\r\n\r\n", false);
}

static void test_upgrade_needs_both(void **state)
{
	static const char both[] = GH "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
	static const char one[] = GH "Upgrade: websocket\r\n\r\n";
	static const char old[] = "GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
	struct h1_head head;
	enum h1_error error;

	(void)state;
	assert_int_equal(parse_once(both, sizeof(both) - 1, &head, &error), BUR_OK);
	assert_true(head.upgrade);
	assert_int_equal(parse_once(one, sizeof(one) - 1, &head, &error), BUR_OK);
	assert_false(head.upgrade);
	assert_int_equal(parse_once(old, sizeof(old) - 1, &head, &error), BUR_OK);
	assert_false(head.upgrade);
}

static void test_known_fields(void **state)
{
	static const char *const names[] = {
#define X(uc, text) [H1_F_##uc] = text,
	    H1_KNOWN_FIELDS(X)
#undef X
	};
	char text[256];
	struct h1_head head;
	enum h1_error error;
	int n;

	(void)state;
	for (int id = 1; id < H1_F_COUNT; id++) {
		if (id == H1_F_HOST || id == H1_F_CONTENT_LENGTH || id == H1_F_TRANSFER_ENCODING)
			continue;
		for (int upper = 0; upper < 2; upper++) {
			n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nhost: a\r\n%s: x\r\n\r\n", names[id]);
			for (int i = 25; upper && text[i] != ':'; i++) {
				if (text[i] >= 'a' && text[i] <= 'z')
					text[i] = (char)(text[i] - 32);
			}
			assert_int_equal(parse_once(text, (size_t)n, &head, &error), BUR_OK);
			assert_int_equal(head.fields[1].id, id);
			text[25] = 'q'; /* another name of the same length */
			assert_int_equal(parse_once(text, (size_t)n, &head, &error), BUR_OK);
			assert_int_equal(head.fields[1].id, H1_F_OTHER);
		}
	}
}

/* Every byte in every place of the grammar, against a second opinion. */
static bool naive_token(int c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c != 0 && strchr("!#$%&'*+-.^_`|~", c));
}

static void test_every_byte(void **state)
{
	struct h1_head head;
	enum h1_error error;

	(void)state;
	for (int c = 0; c < 256; c++) {
		char name[] = GH "Xa_a: v\r\n\r\n", value[] = GH "X: a_a\r\n\r\n",
		     target[] = "GET /a_a HTTP/1.1\r\nHost: a\r\n\r\n";
		char method[] = "GE_T / HTTP/1.1\r\nHost: a\r\n\r\n";

		*strchr(name, '_') = (char)c;
		*strchr(value, '_') = (char)c;
		*strchr(target, '_') = (char)c;
		*strchr(method, '_') = (char)c;
		if (c != ':')
			assert_int_equal(parse_once(name, sizeof(name) - 1, &head, &error) == BUR_OK, naive_token(c));
		assert_int_equal(parse_once(value, sizeof(value) - 1, &head, &error) == BUR_OK,
				 c == '\t' || (c >= 0x20 && c != 0x7f));
		assert_int_equal(parse_once(target, sizeof(target) - 1, &head, &error) == BUR_OK, c > 0x20 && c < 0x7f);
		assert_int_equal(parse_once(method, sizeof(method) - 1, &head, &error) == BUR_OK, naive_token(c));
	}
}

/* --- limits --------------------------------------------------------------------------------------------------------
 */

static char big[2 * H1_HEAD_MAX];

static size_t put_text(size_t at, const char *s)
{
	size_t n = strlen(s);

	assert_true(at + n <= sizeof(big));
	memcpy(big + at, s, n);
	return at + n;
}

static size_t put_fill(size_t at, char c, size_t n)
{
	assert_true(at + n <= sizeof(big));
	memset(big + at, c, n);
	return at + n;
}

static int parse_big(size_t n, enum h1_error *error)
{
	static struct h1_head head;
	struct h1_scan scan = {0};
	int whole, r = BUR_AGAIN;
	enum h1_error again = H1_NONE;

	*error = H1_NONE;
	whole = h1_parse_request(&scan, big, n, &head, error);
	scan = (struct h1_scan){0};
	for (size_t have = 1; have <= n && r == BUR_AGAIN; have++)
		r = h1_parse_request(&scan, big, have, &head, &again);
	assert_int_equal(whole, r);
	assert_int_equal(*error, again);
	return whole;
}

static void test_limits(void **state)
{
	enum h1_error error;
	size_t n;

	(void)state;
	n = put_fill(put_text(0, "GET /"), 'a', H1_LINE_MAX - 14);
	n = put_text(n, " HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_int_equal(parse_big(n, &error), BUR_OK);
	n = put_fill(put_text(0, "GET /"), 'a', H1_LINE_MAX - 13);
	n = put_text(n, " HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_int_equal(parse_big(n, &error), BUR_INVALID);
	assert_int_equal(error, H1_TARGET_TOO_LONG);

	n = put_text(put_fill(put_text(0, GH "X: "), 'a', H1_LINE_MAX - 3), "\r\n\r\n");
	assert_int_equal(parse_big(n, &error), BUR_OK);
	n = put_text(put_fill(put_text(0, GH "X: "), 'a', H1_LINE_MAX - 2), "\r\n\r\n");
	assert_int_equal(parse_big(n, &error), BUR_INVALID);
	assert_int_equal(error, H1_HEAD_TOO_LARGE);

	n = put_text(0, GH);
	for (int i = 1; i < H1_FIELDS_MAX; i++)
		n = put_text(n, "a: b\r\n");
	assert_int_equal(parse_big(put_text(n, "\r\n"), &error), BUR_OK);
	assert_int_equal(parse_big(put_text(n, "a: b\r\n\r\n"), &error), BUR_INVALID);
	assert_int_equal(error, H1_TOO_MANY_FIELDS);
}

static void test_head_max(void **state)
{
	enum h1_error error;
	size_t n, i;

	(void)state;
	for (int over = 0; over < 2; over++) {
		n = put_text(0, GH);
		for (i = 0; i < 8; i++) {
			n = put_fill(put_text(n, "a: "), 'a', 8000);
			n = put_text(n, "\r\n");
		}
		n = put_text(n, "b: ");
		n = put_fill(n, 'b', H1_HEAD_MAX - n - 4 + (size_t)over);
		n = put_text(n, "\r\n\r\n");
		assert_int_equal(parse_big(n, &error), over ? BUR_INVALID : BUR_OK);
		assert_int_equal(error, over ? H1_HEAD_TOO_LARGE : H1_NONE);
	}
	memset(big, 'a', sizeof(big));
	assert_int_equal(parse_big(sizeof(big), &error), BUR_INVALID);
	assert_int_equal(error, H1_HEAD_TOO_LARGE);
}

/* --- answers -------------------------------------------------------------------------------------------------------
 */

struct response_case {
	const char *text;
	size_t n;
	enum h1_method method;
	enum h1_error error;
	int status;
	enum h1_framing framing;
	uint64_t length;
	bool keep_alive;
};

#define S "HTTP/1.1 200 OK\r\n"
#define ROK(text, method, status, framing, length, ka)                                                                 \
	{                                                                                                              \
		V(text), method, H1_NONE, status, framing, length, ka                                                  \
	}
#define RBAD(text, why)                                                                                                \
	{                                                                                                              \
		V(text), H1_GET, H1_##why, 0, H1_NO_BODY, 0, false                                                     \
	}

static const struct response_case responses[] = {
    ROK(S "Content-Length: 5\r\n\r\n", H1_GET, 200, H1_LENGTH, 5, true),
    ROK(S "Transfer-Encoding: chunked\r\n\r\n", H1_GET, 200, H1_CHUNKED, 0, true),
    ROK(S "\r\n", H1_GET, 200, H1_UNTIL_EOF, 0, false),
    ROK(S "Content-Length: 5\r\nConnection: close\r\n\r\n", H1_GET, 200, H1_LENGTH, 5, false),
    ROK(S "Content-Length: 5\r\n\r\n", H1_HEAD, 200, H1_NO_BODY, 5, true),
    ROK(S "Transfer-Encoding: chunked\r\n\r\n", H1_HEAD, 200, H1_NO_BODY, 0, true),
    ROK(S "\r\n", H1_CONNECT, 200, H1_NO_BODY, 0, true),
    ROK(S "Content-Length: 5\r\n\r\n", H1_CONNECT, 200, H1_NO_BODY, 5, true),
    ROK("HTTP/1.1 407 No\r\nContent-Length: 5\r\n\r\n", H1_CONNECT, 407, H1_LENGTH, 5, true),
    ROK("HTTP/1.1 204 No Content\r\n\r\n", H1_GET, 204, H1_NO_BODY, 0, true),
    ROK("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", H1_GET, 304, H1_NO_BODY, 9, true),
    ROK("HTTP/1.1 100 Continue\r\n\r\n", H1_POST, 100, H1_NO_BODY, 0, true),
    ROK("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", H1_POST, 103, H1_NO_BODY, 0, true),
    ROK("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", H1_GET, 101, H1_NO_BODY, 0,
	true),
    ROK("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", H1_GET, 200, H1_LENGTH, 0, true),
    ROK("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", H1_GET, 200, H1_LENGTH, 0, true),
    ROK("HTTP/1.1 999 odd\r\nContent-Length: 0\r\n\r\n", H1_GET, 999, H1_LENGTH, 0, true),
    ROK("HTTP/1.1 200 caf\xe9 \t x\r\nContent-Length: 0\r\n\r\n", H1_GET, 200, H1_LENGTH, 0, true),
    ROK("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", H1_GET, 200, H1_LENGTH, 5, false),
    ROK("HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", H1_GET, 200, H1_LENGTH, 5, true),
    ROK("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", H1_GET, 200, H1_UNTIL_EOF, 0, false),
    ROK(S "Connection: keep-alive, Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n", H1_GET, 200, H1_CHUNKED, 0,
	true),
    ROK(S "Host: a\r\nHost: b\r\nContent-Length: 1\r\n\r\n", H1_GET, 200, H1_LENGTH, 1, true),

    RBAD("\r\n" S "\r\n", BAD_LINE),
    RBAD(" " S "\r\n", BAD_LINE),
    RBAD("ICY 200 OK\r\n\r\n", BAD_LINE),
    RBAD("HTTP/1.1\r\n\r\n", BAD_LINE),
    RBAD("HTTP 200 OK\r\n\r\n", BAD_LINE),
    RBAD("http/1.1 200 OK\r\n\r\n", BAD_LINE),
    RBAD("HTTP/1.1\t200 OK\r\n\r\n", BAD_LINE),
    RBAD("HTTP/1.1 200 a\x01\r\n\r\n", BAD_LINE),
    RBAD("HTTP/1.1 200 a\x7f\r\n\r\n", BAD_LINE),
    RBAD("HTTP/1.1 200 a\x00\r\n\r\n", BAD_LINE),
    RBAD("HTTP/2.0 200 OK\r\n\r\n", BAD_VERSION),
    RBAD("HTTP/0.9 200 OK\r\n\r\n", BAD_VERSION),
    RBAD("HTTP/1.9 200 OK\r\n\r\n", BAD_VERSION),
    RBAD("HTTP/2 200 OK\r\n\r\n", BAD_LINE),
    RBAD("HTTP/1.1  200 OK\r\n\r\n", BAD_STATUS),
    RBAD("HTTP/1.1 20 OK\r\n\r\n", BAD_STATUS),
    RBAD("HTTP/1.1 2000 OK\r\n\r\n", BAD_STATUS),
    RBAD("HTTP/1.1 099 OK\r\n\r\n", BAD_STATUS),
    RBAD("HTTP/1.1 -20 OK\r\n\r\n", BAD_STATUS),
    RBAD("HTTP/1.1 +20 OK\r\n\r\n", BAD_STATUS),
    RBAD("HTTP/1.1 2x0 OK\r\n\r\n", BAD_STATUS),
    RBAD("HTTP/1.1 200\tOK\r\n\r\n", BAD_STATUS),
    RBAD("HTTP/1.1 OK\r\n\r\n", BAD_STATUS),
    RBAD("HTTP/1.1 \r\n\r\n", BAD_STATUS),
    RBAD("HTTP/1.1 200 OK\n\r\n", BARE_LF),
    RBAD("HTTP/1.1 200 OK\n\n", BARE_LF),
    RBAD("HTTP/1.1 200 a\rb\r\n\r\n", BARE_CR),
    RBAD(S "X: a\rb\r\n\r\n", BARE_CR),
    RBAD(S "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", TWO_LENGTHS),
    RBAD(S "Content-Length: 5, 5\r\n\r\n", BAD_LENGTH),
    RBAD(S "Content-Length: -1\r\n\r\n", BAD_LENGTH),
    RBAD(S "Content-Length:\r\n\r\n", BAD_LENGTH),
    RBAD(S "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", LENGTH_AND_CODING),
    RBAD(S "Transfer-Encoding: gzip\r\n\r\n", BAD_CODING),
    RBAD(S "Transfer-Encoding: gzip, chunked\r\n\r\n", BAD_CODING),
    RBAD(S "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", BAD_CODING),
    RBAD("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", CODING_IN_10),
    RBAD(S " X: a\r\n\r\n", OBS_FOLD),
    RBAD(S "X: a\r\n b\r\n\r\n", OBS_FOLD),
    RBAD(S "X : a\r\n\r\n", BAD_NAME),
    RBAD(S ": a\r\n\r\n", BAD_NAME),
    RBAD(S "X: \x00\r\n\r\n", BAD_VALUE),
    RBAD(S "Connection: content-length\r\n\r\n", BAD_CONNECTION),
    RBAD(S "Connection: content-encoding\r\n\r\n", BAD_CONNECTION),
};

static void check_response(const struct response_case *c, unsigned (*step)(void))
{
	struct h1_scan scan = {0};
	struct h1_head head = {.status = 0};
	enum h1_error error = H1_NONE;
	size_t have = 0;
	int r = BUR_AGAIN;
	char *copy;

	while (have < c->n && r == BUR_AGAIN) {
		have += step();
		have = have > c->n ? c->n : have;
		copy = malloc(have);
		assert_non_null(copy);
		memcpy(copy, c->text, have);
		r = h1_parse_response(&scan, copy, have, c->method, &head, &error);
		free(copy);
	}
	if (c->error != H1_NONE) {
		if (r != BUR_INVALID || error != c->error)
			fail_msg("%.*s: got %d %s", (int)c->n, c->text, r, h1_error_text(error));
		return;
	}
	if (r != BUR_OK || head.status != c->status || head.framing != c->framing || head.content_length != c->length ||
	    head.keep_alive != c->keep_alive || head.head_bytes != c->n)
		fail_msg("%.*s: got %d %s, framing %d", (int)c->n, c->text, r, h1_error_text(error), (int)head.framing);
}

static void test_responses(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(responses) / sizeof(responses[0]); i++) {
		for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++)
			check_response(&responses[i], steps[s]);
	}
}

/* --- bodies --------------------------------------------------------------------------------------------------------
 */

struct body_case {
	const char *text;
	size_t n;
	enum h1_error error; /* H1_NONE: see `result` */
	const char *payload;
	int result;    /* BUR_EOF or BUR_AGAIN */
	size_t unread; /* bytes left after the end */
};

#define BOK(text, payload)                                                                                             \
	{                                                                                                              \
		V(text), H1_NONE, payload, BUR_EOF, 0                                                                  \
	}
#define BMORE(text, payload)                                                                                           \
	{                                                                                                              \
		V(text), H1_NONE, payload, BUR_AGAIN, 0                                                                \
	}
#define BBAD(text, why)                                                                                                \
	{                                                                                                              \
		V(text), H1_##why, NULL, BUR_INVALID, 0                                                                \
	}

static const struct body_case bodies[] = {
    BOK("0\r\n\r\n", ""),
    BOK("5\r\nhello\r\n0\r\n\r\n", "hello"),
    BOK("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world"),
    BOK("A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
    BOK("a\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
    BOK("0005\r\nhello\r\n0000\r\n\r\n", "hello"),
    BOK("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello"),
    BOK("5;a\r\nhello\r\n0;b=\"c d\"\r\n\r\n", "hello"),
    BOK("5;\r\nhello\r\n0\r\n\r\n", "hello"),
    BOK("5\r\nhello\r\n0\r\nX: y\r\nZ:\r\n\r\n", "hello"),
    BOK("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
    {V("0\r\n\r\nGET"), H1_NONE, "", BUR_EOF, 3},
    {V("1\r\na\r\n0\r\nA: b\r\n\r\n\r\n"), H1_NONE, "a", BUR_EOF, 2},
    BMORE("", ""),
    BMORE("5", ""),
    BMORE("5\r\n", ""),
    BMORE("5\r\nhel", "hel"),
    BMORE("5\r\nhello\r\n", "hello"),
    BMORE("5\r\nhello\r\n0\r\n", "hello"),
    BMORE("0\r\nX: y\r\n", ""),
    BMORE("0\r\n\r", ""),

    BBAD("\r\n", BAD_CHUNK),
    BBAD(" 5\r\nhello\r\n", BAD_CHUNK),
    BBAD("5 \r\nhello\r\n", BAD_CHUNK),
    BBAD("5 ;a\r\nhello\r\n", BAD_CHUNK),
    BBAD("5\t\r\nhello\r\n", BAD_CHUNK),
    BBAD("0x5\r\nhello\r\n", BAD_CHUNK),
    BBAD("+5\r\nhello\r\n", BAD_CHUNK),
    BBAD("-5\r\nhello\r\n", BAD_CHUNK),
    BBAD("5_0\r\nhello\r\n", BAD_CHUNK),
    BBAD("g\r\nhello\r\n", BAD_CHUNK),
    BBAD(";a\r\n", BAD_CHUNK),
    BBAD("5\nhello\r\n", BAD_CHUNK),
    BBAD("5\rhello\r\n", BAD_CHUNK),
    BBAD("5\r\r\nhello\r\n", BAD_CHUNK),
    BBAD("5\r\nhello0\r\n\r\n", BAD_CHUNK),
    BBAD("5\r\nhello\n0\r\n\r\n", BAD_CHUNK),
    BBAD("5\r\nhello\r0\r\n\r\n", BAD_CHUNK),
    BBAD("5\r\nhelloXX0\r\n\r\n", BAD_CHUNK),
    BBAD("5\r\nhello\r\n\r\n0\r\n\r\n", BAD_CHUNK),
    BBAD("4\r\nhello\r\n0\r\n\r\n", BAD_CHUNK),
    BBAD("6\r\nhello\r\n0\r\n\r\n", BAD_CHUNK),
    BBAD("00000000000000005\r\nhello\r\n", BAD_CHUNK),
    BBAD("8000000000000000\r\n", BAD_CHUNK),
    BBAD("ffffffffffffffff\r\n", BAD_CHUNK),
    BBAD("fffffffffffffffff\r\n", BAD_CHUNK),
    BBAD("10000000000000005\r\nhello\r\n", BAD_CHUNK),
    BBAD("5;a\nhello\r\n", BAD_CHUNK),
    BBAD("5;a\x00\r\nhello\r\n", BAD_CHUNK),
    BBAD("5;a\rb\r\nhello\r\n", BAD_CHUNK),
    BBAD("0\n\n", BAD_CHUNK),
    BBAD("0\r\n\n", BAD_TRAILER),
    BBAD("0\r\n\rX", BAD_CHUNK),
    BBAD("0\r\nX\r\n\r\n", BAD_TRAILER),
    BBAD("0\r\nX : y\r\n\r\n", BAD_TRAILER),
    BBAD("0\r\n: y\r\n\r\n", BAD_TRAILER),
    BBAD("0\r\n X: y\r\n\r\n", BAD_TRAILER),
    BBAD("0\r\nX: y\r\n z\r\n\r\n", BAD_TRAILER),
    BBAD("0\r\nX: y\nZ: a\r\n\r\n", BAD_TRAILER),
    BBAD("0\r\nX: y\rZ: a\r\n\r\n", BAD_TRAILER),
    BBAD("0\r\nX: \x00\r\n\r\n", BAD_TRAILER),
    BBAD("0\r\nGET / HTTP/1.1\r\n\r\n", BAD_TRAILER),
};

/* Decodes in pieces; returns the last result, the payload and the number of bytes that were read. */
static int decode(const char *text, size_t n, unsigned (*step)(void), struct h1_body *b, char *payload,
		  size_t *ret_payload, size_t *ret_read)
{
	size_t at = 0, end, i;
	int r = BUR_AGAIN;
	struct slice data;
	char *copy;

	*ret_payload = *ret_read = 0;
	while (at < n && r == BUR_AGAIN) {
		end = at + step();
		end = end > n ? n : end;
		copy = malloc(end - at);
		assert_non_null(copy);
		memcpy(copy, text + at, end - at);
		i = 0;
		while ((r = h1_body_next(b, copy, end - at, &i, &data)) == BUR_OK) {
			assert_true(data.n > 0);
			memcpy(payload + *ret_payload, data.p, data.n);
			*ret_payload += data.n;
		}
		free(copy);
		*ret_read += i;
		if (r == BUR_AGAIN)
			assert_int_equal(i, end - at);
		at = end;
	}
	return r;
}

static void check_body(const struct body_case *c, unsigned (*step)(void))
{
	char payload[512];
	struct h1_body b;
	size_t n, read;
	int r;

	h1_body_init(&b, H1_CHUNKED, 0);
	r = decode(c->text, c->n, step, &b, payload, &n, &read);
	if (r != c->result || b.error != c->error)
		fail_msg("%.*s: got %d %s", (int)c->n, c->text, r, h1_error_text(b.error));
	if (c->error != H1_NONE) {
		assert_false(h1_body_eof_ok(&b));
		return;
	}
	assert_int_equal(n, strlen(c->payload));
	assert_memory_equal(payload, c->payload, n);
	assert_int_equal(b.total, n);
	assert_int_equal(c->n - read, c->unread);
	assert_int_equal(h1_body_eof_ok(&b), r == BUR_EOF);
}

static void test_chunked(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++)
			check_body(&bodies[i], steps[s]);
	}
}

static enum h1_error chunked_error(size_t n)
{
	struct h1_body b;
	struct slice data;
	size_t i = 0;
	int r;

	h1_body_init(&b, H1_CHUNKED, 0);
	do {
		r = h1_body_next(&b, big, n, &i, &data);
	} while (r == BUR_OK);
	return r == BUR_INVALID ? b.error : H1_NONE;
}

static void test_chunk_limits(void **state)
{
	size_t n;

	(void)state;
	n = put_text(put_fill(put_text(0, "1;"), 'x', H1_CHUNK_EXT_MAX), "\r\na\r\n0\r\n\r\n");
	assert_int_equal(chunked_error(n), H1_NONE);
	n = put_text(put_fill(put_text(0, "1;"), 'x', H1_CHUNK_EXT_MAX + 1), "\r\na\r\n0\r\n\r\n");
	assert_int_equal(chunked_error(n), H1_CHUNK_EXT_TOO_LARGE);
	n = 0;
	for (int i = 0; i < 100; i++) /* each is small, together they are an attack */
		n = put_text(put_fill(put_text(n, "1;"), 'x', 200), "\r\na\r\n");
	assert_int_equal(chunked_error(n), H1_CHUNK_EXT_TOO_LARGE);
	n = put_text(put_fill(put_text(0, "0\r\nX:"), 'x', H1_TRAILERS_MAX - 10), "\r\n\r\n");
	assert_int_equal(chunked_error(n), H1_NONE);
	n = put_text(put_fill(put_text(0, "0\r\nX:"), 'x', H1_TRAILERS_MAX), "\r\n\r\n");
	assert_int_equal(chunked_error(n), H1_BAD_TRAILER);
}

static void test_plain_bodies(void **state)
{
	char payload[64];
	struct h1_body b;
	size_t n, read;

	(void)state;
	for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++) {
		h1_body_init(&b, H1_LENGTH, 5);
		assert_int_equal(decode("helloGET", 8, steps[s], &b, payload, &n, &read), BUR_EOF);
		assert_int_equal(n, 5);
		assert_int_equal(read, 5);
		h1_body_init(&b, H1_LENGTH, 9);
		assert_int_equal(decode("hello", 5, steps[s], &b, payload, &n, &read), BUR_AGAIN);
		assert_false(h1_body_eof_ok(&b));
		assert_int_equal(b.left, 4);
		h1_body_init(&b, H1_UNTIL_EOF, 0);
		assert_int_equal(decode("hello", 5, steps[s], &b, payload, &n, &read), BUR_AGAIN);
		assert_int_equal(n, 5);
		assert_true(h1_body_eof_ok(&b));
		h1_body_init(&b, H1_NO_BODY, 0);
		assert_int_equal(decode("GET", 3, steps[s], &b, payload, &n, &read), BUR_EOF);
		assert_int_equal(read, 0);
		h1_body_init(&b, H1_LENGTH, 0);
		assert_int_equal(decode("GET", 3, steps[s], &b, payload, &n, &read), BUR_EOF);
		assert_int_equal(read, 0);
	}
}

static void test_body_failure_is_sticky(void **state)
{
	struct h1_body b;
	struct slice data;
	size_t i = 0;

	(void)state;
	h1_body_init(&b, H1_CHUNKED, 0);
	assert_int_equal(h1_body_next(&b, "x", 1, &i, &data), BUR_INVALID);
	i = 0;
	assert_int_equal(h1_body_next(&b, "0\r\n\r\n", 5, &i, &data), BUR_INVALID);
}

/* --- writer --------------------------------------------------------------------------------------------------------
 */

static void test_writer(void **state)
{
	static const char expected[] =
	    "POST /v1?x HTTP/1.1\r\nhost: a\r\nx-empty: \r\ncontent-length: 18446744073709551615\r\n\r\n";
	struct h1_writer w;
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	h1_write_request(&w, &out, SLICE("POST"), SLICE("/v1?x"));
	h1_write_field(&w, SLICE("host"), SLICE("a"));
	h1_write_field(&w, SLICE("x-empty"), SLICE_NONE);
	h1_write_field_u64(&w, SLICE("content-length"), UINT64_MAX);
	assert_int_equal(h1_write_end(&w), BUR_OK);
	assert_true(slice_eq(buf_slice(&out), SLICE(expected)));
	buf_consume(&out, buf_len(&out));
	h1_write_status(&w, &out, 402, slice_of(h1_reason(402)));
	h1_write_field_u64(&w, SLICE("content-length"), 0);
	assert_int_equal(h1_write_end(&w), BUR_OK);
	assert_true(slice_eq(buf_slice(&out), SLICE("HTTP/1.1 402 Payment Required\r\ncontent-length: 0\r\n\r\n")));
	buf_done(&out);
}

static int write_one(struct buf *out, struct slice method, struct slice target, struct slice name, struct slice value)
{
	struct h1_writer w;

	h1_write_request(&w, out, method, target);
	h1_write_field(&w, name, value);
	return h1_write_end(&w);
}

static void test_writer_refuses(void **state)
{
	static const struct slice bad_names[] = {{"", 0},    {"a b", 3}, {"a:", 2},   {"a\r", 2},
						 {"a\n", 2}, {"a\0", 2}, {"\xe9", 1}, {" a", 2}};
	static const struct slice bad_values[] = {{"a\r\nX: y", 7}, {"\n", 1},   {"\r", 1},
						  {"a\0b", 3},      {"\x1b", 1}, {"\x7f", 1}};
	static const struct slice bad_targets[] = {
	    {"", 0}, {"/ HTTP/1.1\r\nX: y", 16}, {"/a b", 4}, {"/\xe9", 2}, {"/\0", 2}};
	struct h1_writer w;
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	assert_int_equal(buf_append_slice(&out, SLICE("before")), BUR_OK);
	for (size_t i = 0; i < ARRAY_LEN(bad_names); i++)
		assert_int_equal(write_one(&out, SLICE("GET"), SLICE("/"), bad_names[i], SLICE("v")), BUR_INVALID);
	for (size_t i = 0; i < ARRAY_LEN(bad_values); i++)
		assert_int_equal(write_one(&out, SLICE("GET"), SLICE("/"), SLICE("x"), bad_values[i]), BUR_INVALID);
	for (size_t i = 0; i < ARRAY_LEN(bad_targets); i++)
		assert_int_equal(write_one(&out, SLICE("GET"), bad_targets[i], SLICE("x"), SLICE("v")), BUR_INVALID);
	assert_int_equal(write_one(&out, SLICE("G T"), SLICE("/"), SLICE("x"), SLICE("v")), BUR_INVALID);
	h1_write_status(&w, &out, 99, SLICE("x"));
	assert_int_equal(h1_write_end(&w), BUR_INVALID);
	h1_write_status(&w, &out, 200, SLICE("a\r\nX: y"));
	assert_int_equal(h1_write_end(&w), BUR_INVALID);
	assert_true(slice_eq(buf_slice(&out), SLICE("before"))); /* nothing of a bad head leaves */
	buf_done(&out);
}

static void test_writer_is_bounded(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 40);
	assert_int_equal(
	    write_one(&out, SLICE("GET"), SLICE("/"), SLICE("x"), SLICE("0123456789012345678901234567890")),
	    BUR_TOOBIG);
	assert_int_equal(buf_len(&out), 0);
	assert_int_equal(write_one(&out, SLICE("GET"), SLICE("/"), SLICE("x"), SLICE("v")), BUR_OK);
	buf_done(&out);
}

static size_t random_bytes(char *dst, size_t max)
{
	size_t n = rng() % max;

	for (size_t i = 0; i < n; i++)
		dst[i] = rng() % 4 ? (char)(0x21 + rng() % 94) : (char)rng();
	return n;
}

/* Whatever is asked of it, the writer's output has CR and LF at line ends only and parses back to the same fields. */
static void test_writer_property(void **state)
{
	char name[24], value[48];
	struct h1_head head;
	enum h1_error error;
	struct h1_writer w;
	struct buf out;
	int accepted = 0;

	(void)state;
	buf_init(&out, 65536);
	for (int round = 0; round < 20000; round++) {
		struct slice n = {name, random_bytes(name, sizeof(name))},
			     v = {value, random_bytes(value, sizeof(value))};
		struct slice text;
		size_t lines = 0;

		h1_write_request(&w, &out, SLICE("GET"), SLICE("/"));
		h1_write_field(&w, SLICE("host"), SLICE("a"));
		h1_write_field(&w, n, v);
		if (h1_write_end(&w) != BUR_OK) {
			assert_int_equal(buf_len(&out), 0);
			continue;
		}
		text = buf_slice(&out);
		for (size_t i = 0; i < text.n; i++) {
			if (text.p[i] == '\n') {
				lines++;
				assert_true(i > 0 && text.p[i - 1] == '\r');
			}
			if (text.p[i] == '\r')
				assert_true(i + 1 < text.n && text.p[i + 1] == '\n');
		}
		assert_int_equal(lines, 4);
		if (parse_once(text.p, text.n, &head, &error) == BUR_OK) {
			assert_int_equal(head.n_fields, 2);
			assert_true(slice_eq(head.fields[1].name, n));
			assert_true(slice_eq(head.fields[1].value, slice_trim(v)));
			accepted++;
		}
		buf_consume(&out, buf_len(&out));
	}
	assert_true(accepted > 50);
	buf_done(&out);
}

static void test_chunk_line(void **state)
{
	char line[H1_CHUNK_LINE_MAX];

	(void)state;
	assert_int_equal(h1_chunk_line(line, 0x1f), 4);
	assert_memory_equal(line, "1f\r\n", 4);
	assert_int_equal(h1_chunk_line(line, 16384), 6);
	assert_memory_equal(line, "4000\r\n", 6);
	assert_int_equal(h1_chunk_line(line, 0), 3);
	assert_memory_equal(line, "0\r\n", 3);
	assert_int_equal(h1_chunk_line(line, SIZE_MAX), 18);
	assert_memory_equal(line, "ffffffffffffffff\r\n", 18);
}

static void test_texts(void **state)
{
	(void)state;
	assert_int_equal(h1_error_status(H1_BAD_VERSION), 505);
	assert_int_equal(h1_error_status(H1_HEAD_TOO_LARGE), 431);
	assert_int_equal(h1_error_status((enum h1_error)999), 400);
	assert_string_equal(h1_error_text(H1_BARE_LF), "line end without CR");
	assert_string_equal(h1_reason(200), "OK");
	assert_string_equal(h1_reason(777), "Unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_requests),
	    cmocka_unit_test(test_requests_with_more_behind),
	    cmocka_unit_test(test_request_values),
	    cmocka_unit_test(test_keep_alive),
	    cmocka_unit_test(test_upgrade_needs_both),
	    cmocka_unit_test(test_known_fields),
	    cmocka_unit_test(test_every_byte),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_head_max),
	    cmocka_unit_test(test_responses),
	    cmocka_unit_test(test_chunked),
	    cmocka_unit_test(test_chunk_limits),
	    cmocka_unit_test(test_plain_bodies),
	    cmocka_unit_test(test_body_failure_is_sticky),
	    cmocka_unit_test(test_writer),
	    cmocka_unit_test(test_writer_refuses),
	    cmocka_unit_test(test_writer_is_bounded),
	    cmocka_unit_test(test_writer_property),
	    cmocka_unit_test(test_chunk_line),
	    cmocka_unit_test(test_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
