/* The admin side's server, over real sockets; the client is a plain socket driven by the same loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "net/httpd.h"
#include "net/listen.h"
#include "net/stream.h"
#include "net/tls.h"
#include "tests/unit/net_testing.h"

static struct loop *loop;
static struct httpd *httpd;
static struct addr bound;
static int requests;
static struct httpd_request *held; /* a request that is answered later */

struct client {
	struct stream s;
	char in[1 << 20];
	size_t n;
	bool ended;
	int handshake;
};
static struct client client;

/* --- the handler under test ----------------------------------------------------------------------------------------
 */

static void handle(void *ctx, struct httpd_request *q)
{
	struct slice value, text;

	(void)ctx;
	requests++;
	if (slice_eq(q->path, SLICE("/later"))) {
		held = q;
		return;
	}
	if (slice_eq(q->path, SLICE("/echo"))) {
		httpd_reply(q, 200, SLICE("text/plain"), SLICE("x-one: 1\r\nx-two: 2\r\n"), q->body);
		return;
	}
	if (slice_eq(q->path, SLICE("/query"))) {
		int r = httpd_query(q, "q", &value);

		text = r < 0 ? SLICE("bad") : value.p ? value : SLICE("absent");
		httpd_reply(q, 200, SLICE("text/plain"), SLICE_NONE, text);
		return;
	}
	if (slice_eq(q->path, SLICE("/none"))) {
		httpd_reply(q, 204, SLICE_NONE, SLICE_NONE, SLICE_NONE);
		return;
	}
	if (slice_eq(q->path, SLICE("/split"))) {
		httpd_reply(q, 200, SLICE("text/plain"), SLICE("x: a\r\n\r\nevil"), SLICE("ok"));
		return;
	}
	text = arena_printf(&q->arena, "%.*s %.*s?%.*s", SLICE_ARG(q->head->method_text), SLICE_ARG(q->path),
			    SLICE_ARG(q->query));
	httpd_reply(q, 200, SLICE("text/plain"), SLICE_NONE, text);
}

/* --- fixture -------------------------------------------------------------------------------------------------------
 */

static void start(SSL_CTX *tls, size_t max_connections, int64_t timeout_ns)
{
	struct httpd_config config = {.max_body_bytes = 100000,
				      .max_connections = max_connections,
				      .head_timeout_ns = timeout_ns,
				      .idle_timeout_ns = timeout_ns,
				      .tls = tls};
	int fd;

	httpd = httpd_new(loop, &config, handle, NULL);
	assert_non_null(httpd);
	assert_int_equal(listen_open("127.0.0.1:0", &fd, &bound), BUR_OK);
	assert_int_equal(httpd_listen(httpd, fd), BUR_OK);
}

static int setup(void **state)
{
	(void)state;
	alarm(60);
	requests = 0;
	held = NULL;
	loop = loop_new();
	return loop ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	stream_close(&client.s);
	httpd_free(httpd);
	httpd = NULL;
	loop_turn(loop, false);
	loop_free(loop);
	return 0;
}

static void client_ready(void *ctx, unsigned what)
{
	struct client *c = ctx;
	long r;

	(void)what;
	if (c->handshake == BUR_AGAIN) {
		c->handshake = stream_handshake(&c->s);
		return;
	}
	for (;;) {
		assert_true(c->n < sizeof(c->in));
		r = stream_read(&c->s, c->in + c->n, sizeof(c->in) - c->n - 1);
		if (r <= 0)
			break;
		c->n += (size_t)r;
		c->in[c->n] = '\0';
	}
	if (r != BUR_AGAIN) {
		c->ended = true;
		stream_want(&c->s, 0);
	}
}

static void client_connect(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, &bound.sa, bound.len), 0);
	stream_close(&client.s);
	memset(&client, 0, sizeof(client));
	assert_int_equal(stream_open(&client.s, loop, fd, client_ready, &client), BUR_OK);
}

static void send_bytes(const char *p, size_t n)
{
	long r;

	while (n > 0) {
		r = stream_write(&client.s, p, n);
		if (r == BUR_AGAIN) {
			loop_turn(loop, false);
			continue;
		}
		assert_true(r > 0);
		p += r;
		n -= (size_t)r;
	}
}

static void send_text(const char *text)
{
	send_bytes(text, strlen(text));
}

static void wait_for(const char *part)
{
	while (!strstr(client.in, part)) {
		if (client.ended)
			fail_msg("ended before \"%s\": %s", part, client.in);
		loop_turn(loop, true);
	}
}

static void wait_end(void)
{
	while (!client.ended)
		loop_turn(loop, true);
}

static int count_of(const char *part)
{
	int n = 0;

	for (const char *p = client.in; (p = strstr(p, part)) != NULL; p++)
		n++;
	return n;
}

/* --- exchanges -----------------------------------------------------------------------------------------------------
 */

static void test_exchange_and_keep_alive(void **state)
{
	(void)state;
	start(NULL, 10, 10 * NS_PER_S);
	client_connect();
	for (int i = 1; i <= 3; i++) {
		send_text("GET /a/b?x=1 HTTP/1.1\r\nHost: a\r\n\r\n");
		while (count_of("GET /a/b?x=1") < i)
			loop_turn(loop, true);
	}
	assert_int_equal(count_of("HTTP/1.1 200 OK\r\n"), 3);
	assert_int_equal(count_of("content-length: 12\r\n"), 3);
	assert_int_equal(count_of("content-type: text/plain\r\n"), 3);
	assert_int_equal(count_of(" GMT\r\n"), 3);
	assert_int_equal(count_of("connection: close"), 0);
	assert_false(client.ended);
}

static void test_body_and_extra_fields(void **state)
{
	(void)state;
	start(NULL, 10, 10 * NS_PER_S);
	client_connect();
	send_text("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
	wait_for("hello");
	assert_int_equal(count_of("x-one: 1\r\nx-two: 2\r\n"), 1);
	send_text(
	    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
	wait_for("abcdefg");
}

static void test_byte_by_byte(void **state)
{
	static const char text[] = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";

	(void)state;
	start(NULL, 10, 10 * NS_PER_S);
	client_connect();
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		send_bytes(text + i, 1);
		loop_turn(loop, false);
	}
	wait_for("hello");
	assert_int_equal(requests, 1);
}

static void test_pipelining(void **state)
{
	(void)state;
	start(NULL, 10, 10 * NS_PER_S);
	client_connect();
	send_text("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\ntwo"
		  "GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /4 HTTP/1.1\r\nHost: a\r\n\r\n");
	wait_end();
	assert_int_equal(requests, 3); /* what follows a close is not read */
	assert_true(strstr(client.in, "GET /1") < strstr(client.in, "two"));
	assert_true(strstr(client.in, "two") < strstr(client.in, "GET /3"));
	assert_int_equal(count_of("connection: close"), 1);
}

static void test_head(void **state)
{
	(void)state;
	start(NULL, 10, 10 * NS_PER_S);
	client_connect();
	send_text("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n");
	wait_for("\r\n\r\n");
	assert_non_null(strstr(client.in, "content-length: 8\r\n"));
	send_text("GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
	wait_for("204 No Content");
	assert_null(strstr(client.in, "HEAD /x"));
	assert_int_equal(count_of("content-length"), 1);
}

static void test_http10(void **state)
{
	(void)state;
	start(NULL, 10, 10 * NS_PER_S);
	client_connect();
	send_text("GET /old HTTP/1.0\r\n\r\n");
	wait_end();
	assert_non_null(strstr(client.in, "GET /old"));
	client_connect();
	send_text("GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	wait_for("GET /old");
	assert_non_null(strstr(client.in, "connection: keep-alive\r\n"));
	assert_false(client.ended);
}

static void test_absolute_form(void **state)
{
	(void)state;
	start(NULL, 10, 10 * NS_PER_S);
	client_connect();
	send_text("GET http://a.example/p?q HTTP/1.1\r\nHost: a.example\r\n\r\n");
	wait_for("GET /p?q");
	send_text("GET http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n");
	wait_for("GET /?");
}

static void test_expect_continue(void **state)
{
	(void)state;
	start(NULL, 10, 10 * NS_PER_S);
	client_connect();
	send_text("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
	wait_for("HTTP/1.1 100 Continue\r\n\r\n");
	assert_int_equal(requests, 0);
	send_text("hello");
	wait_for("hello");
	assert_int_equal(count_of("100 Continue"), 1);
}

static void test_answer_later(void **state)
{
	(void)state;
	start(NULL, 10, 10 * NS_PER_S);
	client_connect();
	send_text("GET /later HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n");
	while (!held)
		loop_turn(loop, true);
	for (int i = 0; i < 5; i++)
		loop_turn(loop, false);
	assert_int_equal(requests, 1);
	assert_int_equal(client.n, 0);
	httpd_reply(held, 200, SLICE("text/plain"), SLICE_NONE, SLICE("finally"));
	wait_for("GET /next");
	assert_true(strstr(client.in, "finally") < strstr(client.in, "GET /next"));
}

static void test_answer_after_the_client_left(void **state)
{
	(void)state;
	start(NULL, 10, 10 * NS_PER_S);
	client_connect();
	send_text("GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
	while (!held)
		loop_turn(loop, true);
	stream_close(&client.s);
	for (int i = 0; i < 5; i++)
		loop_turn(loop, false);
	httpd_reply(held, 200, SLICE("text/plain"), SLICE_NONE, SLICE("nobody"));
	for (int i = 0; i < 5; i++)
		loop_turn(loop, false);
}

static void test_answer_after_the_server_left(void **state)
{
	(void)state;
	start(NULL, 10, 10 * NS_PER_S);
	client_connect();
	send_text("GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
	while (!held)
		loop_turn(loop, true);
	httpd_free(httpd);
	httpd = NULL;
	loop_turn(loop, false);
	httpd_reply(held, 200, SLICE("text/plain"), SLICE_NONE, SLICE("nobody"));
	loop_turn(loop, false);
}

static void test_large_answer_to_a_slow_reader(void **state)
{
	static char body[100000];
	char head[128];
	int n =
	    snprintf(head, sizeof(head), "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", sizeof(body));

	(void)state;
	memset(body, 'z', sizeof(body));
	start(NULL, 10, 10 * NS_PER_S);
	client_connect();
	for (int i = 0; i < 5; i++) {
		send_bytes(head, (size_t)n);
		send_bytes(body, sizeof(body));
	}
	while (client.n < 5 * sizeof(body))
		loop_turn(loop, true);
	while (requests < 5)
		loop_turn(loop, true);
}

/* --- refusals ------------------------------------------------------------------------------------------------------
 */

static void check_refusal(const char *request, const char *status)
{
	int before = requests;

	client_connect();
	send_text(request);
	wait_end();
	if (!strstr(client.in, status))
		fail_msg("%s: %s", request, client.in);
	assert_non_null(strstr(client.in, "connection: close\r\n"));
	assert_int_equal(count_of("HTTP/1.1 "), 1);
	assert_int_equal(requests, before);
}

static void test_refusals(void **state)
{
	(void)state;
	start(NULL, 10, 10 * NS_PER_S);
	check_refusal("GET / HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400 ");
	check_refusal("GET / HTTP/2.0\r\n\r\n", "HTTP/1.1 505 ");
	check_refusal("\x16\x03\x01", "HTTP/1.1 400 ");
	check_refusal("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		      "HTTP/1.1 400 ");
	check_refusal("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 501 ");
	check_refusal("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 400 ");
	check_refusal("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\nabc", "HTTP/1.1 413 ");
	check_refusal("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 405 ");
}

static void test_chunked_body_is_bounded(void **state)
{
	static char chunk[20000];

	(void)state;
	start(NULL, 10, 10 * NS_PER_S);
	client_connect();
	memset(chunk, 'c', sizeof(chunk));
	send_text("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 6; i++) { /* 120000 bytes; 100000 are allowed */
		send_text("4e20\r\n");
		send_bytes(chunk, sizeof(chunk));
		send_text("\r\n");
	}
	wait_for("HTTP/1.1 413 ");
	assert_int_equal(requests, 0);
}

/* A handler's mistake must not become somebody's response splitting. */
static void test_malformed_extra_fields(void **state)
{
	(void)state;
	start(NULL, 10, 10 * NS_PER_S);
	client_connect();
	send_text("GET /split HTTP/1.1\r\nHost: a\r\n\r\n");
	wait_end();
	assert_non_null(strstr(client.in, "HTTP/1.1 500 "));
	assert_null(strstr(client.in, "evil"));
}

static void test_slow_heads_are_cut(void **state)
{
	(void)state;
	start(NULL, 10, 50 * NS_PER_MS);
	client_connect();
	wait_end(); /* says nothing at all */
	client_connect();
	send_text("GET / HTTP/1.1\r\n");
	while (!client.ended) { /* a trickle does not buy time */
		if (stream_write(&client.s, "a", 1) == BUR_IO)
			break;
		loop_turn(loop, false);
	}
	client_connect();
	send_text("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
	wait_end();
	assert_int_equal(requests, 0);
}

static void test_connections_are_bounded(void **state)
{
	int first;

	(void)state;
	start(NULL, 1, 10 * NS_PER_S);
	first = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(first, &bound.sa, bound.len), 0);
	loop_turn(loop, true);
	client_connect();
	wait_end();
	assert_int_equal(client.n, 0);
	(void)close(first);
	for (int i = 0; i < 5; i++)
		loop_turn(loop, false);
	client_connect();
	send_text("GET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
	wait_for("GET /ok");
}

/* --- query strings -------------------------------------------------------------------------------------------------
 */

static void test_query(void **state)
{
	static const char *const cases[][2] = {
	    {"", "absent"},        {"?", "absent"},         {"?x=1", "absent"},        {"?q=abc", "abc"},
	    {"?x=1&q=2&q=3", "2"}, {"?q=a+b%20c", "a b c"}, {"?q=%C3%A9", "\xc3\xa9"}, {"?q=a%26b%3Dc", "a&b=c"},
	    {"?q=a=b", "a=b"},     {"?q=%", "bad"},         {"?q=%4", "bad"},          {"?q=%zz", "bad"},
	    {"?q=a%00b", "bad"},   {"?qq=1", "absent"},     {"?q=1%2", "bad"},         {"?q=%41", "A"},
	};
	char request[256];

	(void)state;
	start(NULL, 10, 10 * NS_PER_S);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *body;

		client_connect();
		(void)snprintf(request, sizeof(request),
			       "GET /query%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", cases[i][0]);
		send_text(request);
		wait_end();
		body = strstr(client.in, "\r\n\r\n");
		assert_non_null(body);
		assert_string_equal(body + 4, cases[i][1]);
	}
}

/* --- TLS -----------------------------------------------------------------------------------------------------------
 */

static void test_tls(void **state)
{
	struct test_cert cert;
	struct tls_client_options options = {.alpn = "http/1.1"};
	SSL_CTX *server_ctx, *client_ctx;
	char err[256];

	(void)state;
	test_cert_make(&cert, "IP:127.0.0.1", -86400, 86400);
	options.extra_ca_file = cert.cert_path;
	server_ctx = tls_server_ctx(cert.cert_path, cert.key_path, "http/1.1", err, sizeof(err));
	client_ctx = tls_client_ctx(&options, err, sizeof(err));
	assert_non_null(server_ctx);
	assert_non_null(client_ctx);
	start(server_ctx, 10, 10 * NS_PER_S);
	client_connect();
	assert_int_equal(stream_tls_client(&client.s, client_ctx, "127.0.0.1"), BUR_OK);
	client.handshake = stream_handshake(&client.s);
	while (client.handshake == BUR_AGAIN)
		loop_turn(loop, true);
	assert_int_equal(client.handshake, BUR_OK);
	send_text("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\ntwo");
	wait_for("two");
	send_text("GET /bye HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	wait_end();
	assert_non_null(strstr(client.in, "GET /bye"));
	client_connect(); /* plain on the TLS port */
	send_text("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	wait_end();
	assert_int_equal(requests, 3);
	SSL_CTX_free(server_ctx);
	SSL_CTX_free(client_ctx);
	test_cert_remove(&cert);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_exchange_and_keep_alive),
	    T(test_body_and_extra_fields),
	    T(test_byte_by_byte),
	    T(test_pipelining),
	    T(test_head),
	    T(test_http10),
	    T(test_absolute_form),
	    T(test_expect_continue),
	    T(test_answer_later),
	    T(test_answer_after_the_client_left),
	    T(test_answer_after_the_server_left),
	    T(test_large_answer_to_a_slow_reader),
	    T(test_refusals),
	    T(test_chunked_body_is_bounded),
	    T(test_malformed_extra_fields),
	    T(test_slow_heads_are_cut),
	    T(test_connections_are_bounded),
	    T(test_query),
	    T(test_tls),
	};

	client.s.fd = -1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
