/* Streams, plain and TLS, over socket pairs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "net/loop.h"
#include "net/stream.h"
#include "net/tls.h"
#include "tests/unit/net_testing.h"

#define DAY 86400L

/* One end: drains what comes into a big buffer. */
struct end {
	struct stream s;
	char *in;
	size_t n, cap, per_wake;
	long last;     /* what the last read said when it was not data */
	int handshake; /* BUR_AGAIN until done */
	int wakes;
	bool paused, close_on_wake;
};

static struct loop *loop;
static struct test_cert cert;
static SSL_CTX *server_ctx, *client_ctx;
static struct end a, b;

static void end_ready(void *ctx, unsigned what)
{
	struct end *e = ctx;
	size_t room;
	long r;

	e->wakes++;
	if (e->close_on_wake) {
		stream_close(&e->s);
		return;
	}
	if (e->handshake == BUR_AGAIN) {
		e->handshake = stream_handshake(&e->s);
		return;
	}
	if (!(what & STREAM_READ))
		return;
	room = e->cap - e->n < e->per_wake ? e->cap - e->n : e->per_wake; /* one read a wake: fairness is ours */
	if (room == 0)
		return;
	r = stream_read(&e->s, e->in + e->n, room);
	if (r > 0)
		e->n += (size_t)r;
	else
		e->last = r;
	if (r == BUR_EOF || r == BUR_CLOSED_DIRTY || r == BUR_IO)
		stream_want(&e->s, 0);
}

static void end_open(struct end *e, int fd)
{
	memset(e, 0, sizeof(*e));
	e->cap = 4u << 20;
	e->per_wake = 1u << 20;
	e->in = malloc(e->cap);
	assert_non_null(e->in);
	assert_int_equal(stream_open(&e->s, loop, fd, end_ready, e), BUR_OK);
}

static void end_done(struct end *e)
{
	stream_close(&e->s);
	stream_close(&e->s);
	free(e->in);
	e->in = NULL;
}

static void pair_open(void)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	end_open(&a, fds[0]);
	end_open(&b, fds[1]);
}

static void handshakes(void)
{
	a.handshake = stream_handshake(&a.s);
	b.handshake = stream_handshake(&b.s);
	while (a.handshake == BUR_AGAIN || (b.handshake == BUR_AGAIN && a.handshake == BUR_OK))
		loop_turn(loop, true);
}

static void pair_tls(const char *host)
{
	pair_open();
	assert_int_equal(stream_tls_client(&a.s, client_ctx, host), BUR_OK);
	assert_int_equal(stream_tls_server(&b.s, server_ctx, NULL, 0), BUR_OK);
	handshakes();
}

static void pair_done(void)
{
	end_done(&a);
	end_done(&b);
}

static int setup(void **state)
{
	char err[256];
	struct tls_client_options options = {.alpn = "http/1.1"};

	(void)state;
	alarm(120);
	loop = loop_new();
	test_cert_make(&cert, "DNS:api.example.com,DNS:*.wild.example,IP:127.0.0.1", -DAY, DAY);
	options.extra_ca_file = cert.cert_path;
	client_ctx = tls_client_ctx(&options, err, sizeof(err));
	server_ctx = tls_server_ctx(cert.cert_path, cert.key_path, "http/1.1", err, sizeof(err));
	return loop && client_ctx && server_ctx ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	SSL_CTX_free(client_ctx);
	SSL_CTX_free(server_ctx);
	test_cert_remove(&cert);
	loop_free(loop);
	return 0;
}

static void write_all(struct end *from, struct end *to, const char *p, size_t n)
{
	size_t done = 0, target = to->n + n;
	long r;

	while (done < n) {
		r = stream_write(&from->s, p + done, n - done);
		if (r == BUR_AGAIN)
			loop_turn(loop, true);
		else
			assert_true(r > 0);
		done += r > 0 ? (size_t)r : 0;
	}
	while (to->n < target)
		loop_turn(loop, true);
}

/* --- both kinds ----------------------------------------------------------------------------------------------------
 */

static void check_exchange(void)
{
	struct iovec iov[3] = {{(void *)"head", 4}, {(void *)"", 0}, {(void *)"body", 4}};

	write_all(&a, &b, "ping", 4);
	assert_memory_equal(b.in, "ping", 4);
	write_all(&b, &a, "pong", 4);
	assert_memory_equal(a.in, "pong", 4);
	assert_int_equal(stream_writev(&a.s, iov, 3), 8);
	while (b.n < 12)
		loop_turn(loop, true);
	assert_memory_equal(b.in, "pingheadbody", 12);
	assert_int_equal(a.s.bytes_out, 12);
	assert_int_equal(b.s.bytes_in, 12);
}

static void test_plain_exchange(void **state)
{
	(void)state;
	pair_open();
	assert_int_equal(stream_handshake(&a.s), BUR_OK);
	check_exchange();
	assert_false(stream_pending(&a.s));
	pair_done();
}

static void test_tls_exchange(void **state)
{
	(void)state;
	pair_tls("api.example.com");
	assert_int_equal(a.handshake, BUR_OK);
	assert_int_equal(b.handshake, BUR_OK);
	check_exchange();
	pair_done();
}

/* Megabytes through small socket buffers, read in small bites: every byte arrives, in order, without a stall. */
static void check_bulk(size_t per_wake)
{
	size_t n = 1u << 20;
	char *data = malloc(n);

	assert_non_null(data);
	for (size_t i = 0; i < n; i++)
		data[i] = (char)(i * 31 + (i >> 10));
	b.per_wake = per_wake;
	write_all(&a, &b, data, n);
	assert_memory_equal(b.in, data, n);
	free(data);
}

static void test_plain_bulk(void **state)
{
	(void)state;
	pair_open();
	check_bulk(5000);
	pair_done();
}

static void test_tls_bulk(void **state)
{
	(void)state;
	pair_tls("api.example.com");
	check_bulk(777); /* most wakes are for bytes that no socket event announces */
	pair_done();
}

static void check_end_seen(void)
{
	write_all(&a, &b, "last", 4);
	stream_shutdown(&a.s);
	stream_shutdown(&a.s);
	while (b.last != BUR_EOF)
		loop_turn(loop, true);
	write_all(&b, &a, "still", 5); /* only one direction has ended */
	assert_memory_equal(a.in, "still", 5);
}

static void test_half_close(void **state)
{
	(void)state;
	pair_open();
	check_end_seen();
	pair_done();
	pair_tls("api.example.com");
	check_end_seen();
	pair_done();
}

/* --- interest ------------------------------------------------------------------------------------------------------
 */

static void check_pause(void)
{
	int wakes;

	stream_want(&b.s, 0);
	assert_int_equal(stream_write(&a.s, "hello", 5), 5);
	for (int i = 0; i < 5; i++)
		loop_turn(loop, false);
	wakes = b.wakes;
	for (int i = 0; i < 5; i++)
		loop_turn(loop, false);
	assert_int_equal(b.wakes, wakes);
	assert_int_equal(b.n, 0);
	assert_int_equal(b.s.registered & STREAM_READ, 0);
	stream_want(&b.s, STREAM_READ);
	while (b.n < 5)
		loop_turn(loop, true);
}

static void test_pause(void **state)
{
	(void)state;
	pair_open();
	check_pause();
	pair_done();
	pair_tls("api.example.com");
	while (b.wakes == 0)
		loop_turn(loop, true);
	check_pause();
	pair_done();
}

/* A pause during which the peer is silent does not touch epoll. */
static void test_quiet_pause_is_free(void **state)
{
	(void)state;
	pair_open();
	stream_want(&b.s, 0);
	loop_turn(loop, false);
	assert_int_equal(b.s.registered, STREAM_READ);
	stream_want(&b.s, STREAM_READ);
	assert_int_equal(b.s.registered, STREAM_READ);
	write_all(&a, &b, "x", 1);
	pair_done();
}

/* Bytes that TLS decrypted before the pause are reported after it, though the socket stays silent. */
static void test_tls_pause_with_pending_bytes(void **state)
{
	char byte;
	size_t before;

	(void)state;
	pair_tls("api.example.com");
	b.per_wake = 1;
	assert_int_equal(stream_write(&a.s, "0123456789", 10), 10);
	while (b.n == 0)
		loop_turn(loop, true);
	stream_want(&b.s, 0);
	before = b.n;
	assert_true(before < 10);
	assert_true(stream_pending(&b.s));
	for (int i = 0; i < 5; i++)
		loop_turn(loop, false);
	assert_int_equal(b.n, before);
	b.per_wake = 100;
	stream_want(&b.s, STREAM_READ);
	while (b.n < 10)
		loop_turn(loop, true);
	assert_memory_equal(b.in, "0123456789", 10);
	assert_int_equal(stream_read(&b.s, &byte, 1), BUR_AGAIN);
	assert_false(stream_pending(&b.s));
	pair_done();
}

static void test_write_interest(void **state)
{
	static char block[65536];
	int wakes;

	(void)state;
	pair_open();
	stream_want(&b.s, 0);
	while (stream_write(&a.s, block, sizeof(block)) > 0)
		;
	stream_want(&a.s, STREAM_READ | STREAM_WRITE);
	wakes = a.wakes;
	for (int i = 0; i < 3; i++)
		loop_turn(loop, false);
	assert_int_equal(a.wakes, wakes);
	stream_want(&b.s, STREAM_READ);
	while (a.wakes == wakes)
		loop_turn(loop, true);
	stream_want(&a.s, STREAM_READ);
	assert_int_equal(a.s.registered, STREAM_READ);
	pair_done();
}

static void test_close_inside_the_callback(void **state)
{
	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		if (tls)
			pair_tls("api.example.com");
		else
			pair_open();
		b.close_on_wake = true;
		assert_int_equal(stream_write(&a.s, "x", 1), 1);
		while (b.s.fd >= 0)
			loop_turn(loop, true);
		assert_int_equal(stream_read(&b.s, b.in, 1), BUR_IO);
		assert_int_equal(stream_write(&b.s, "x", 1), BUR_IO);
		assert_int_equal(stream_handshake(&b.s), BUR_IO);
		stream_want(&b.s, STREAM_READ);
		stream_shutdown(&b.s);
		pair_done();
	}
}

/* --- ends and failures ---------------------------------------------------------------------------------------------
 */

/* Writing to a peer that has gone is an error, not a signal. */
static void test_no_sigpipe(void **state)
{
	long r;

	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		if (tls)
			pair_tls("api.example.com");
		else
			pair_open();
		(void)shutdown(b.s.fd, SHUT_RDWR);
		do {
			r = stream_write(&a.s, "x", 1);
		} while (r > 0);
		assert_int_equal(r, BUR_IO);
		assert_string_not_equal(a.s.error, "");
		pair_done();
	}
}

static void test_tls_end_without_close_notify(void **state)
{
	(void)state;
	pair_tls("api.example.com");
	write_all(&a, &b, "part", 4);
	(void)shutdown(a.s.fd, SHUT_WR); /* beneath TLS */
	while (b.last != BUR_CLOSED_DIRTY)
		loop_turn(loop, true);
	assert_string_equal(b.s.error, "closed without close_notify");
	pair_done();
}

static void test_tls_bytes_before_close_notify_are_not_lost(void **state)
{
	(void)state;
	pair_tls("api.example.com");
	b.per_wake = 3;
	assert_int_equal(stream_write(&a.s, "0123456789", 10), 10);
	stream_close(&a.s); /* sends close_notify */
	while (b.last != BUR_EOF)
		loop_turn(loop, true);
	assert_int_equal(b.n, 10);
	pair_done();
}

static void test_tls_garbage(void **state)
{
	(void)state;
	pair_open();
	assert_int_equal(stream_tls_server(&b.s, server_ctx, NULL, 0), BUR_OK);
	b.handshake = BUR_AGAIN;
	assert_int_equal(stream_write(&a.s, "GET / HTTP/1.1\r\n\r\n", 18), 18);
	while (b.handshake == BUR_AGAIN)
		loop_turn(loop, true);
	assert_int_equal(b.handshake, BUR_CRYPTO);
	assert_string_equal(b.s.error, "http request");
	assert_int_equal(stream_read(&b.s, b.in, 1), BUR_IO);
	pair_done();
}

static void test_tls_peer_leaves_during_handshake(void **state)
{
	(void)state;
	pair_open();
	assert_int_equal(stream_tls_client(&a.s, client_ctx, "api.example.com"), BUR_OK);
	a.handshake = stream_handshake(&a.s);
	stream_close(&b.s);
	while (a.handshake == BUR_AGAIN)
		loop_turn(loop, true);
	assert_int_equal(a.handshake, BUR_IO);
	pair_done();
}

/* The owner had read the beginning of the ClientHello, or all of it, before it knew. */
static void test_tls_bytes_read_before(void **state)
{
	char early[4096];
	size_t want[] = {1, 5, 60, sizeof(early)};

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		long n;

		pair_open();
		assert_int_equal(stream_tls_client(&a.s, client_ctx, "api.example.com"), BUR_OK);
		a.handshake = stream_handshake(&a.s);
		n = stream_read(&b.s, early, want[i]);
		assert_true(n > 0);
		assert_int_equal(stream_tls_server(&b.s, server_ctx, early, (size_t)n), BUR_OK);
		memset(early, 0, sizeof(early)); /* it has its own copy */
		b.handshake = stream_handshake(&b.s);
		while (a.handshake == BUR_AGAIN || b.handshake == BUR_AGAIN)
			loop_turn(loop, true);
		assert_int_equal(a.handshake, BUR_OK);
		assert_int_equal(b.handshake, BUR_OK);
		b.s.bytes_in = 0;
		check_exchange();
		pair_done();
	}
}

/* A record that waits for the socket is finished when the same bytes are offered again from another place. */
static void test_tls_blocked_write_goes_on(void **state)
{
	size_t n = 2u << 20, done = 0;
	char *data = malloc(n), *copy;
	long r = 0;

	(void)state;
	assert_non_null(data);
	for (size_t i = 0; i < n; i++)
		data[i] = (char)(i * 7 + (i >> 12));
	pair_tls("api.example.com");
	stream_want(&b.s, 0);
	do {
		r = stream_write(&a.s, data + done, n - done);
		done += r > 0 ? (size_t)r : 0;
	} while (r > 0);
	assert_int_equal(r, BUR_AGAIN);
	assert_true(done < n);
	stream_want(&b.s, STREAM_READ);
	while (done < n) {
		struct iovec iov[2];
		size_t half = (n - done) / 2;

		copy = malloc(n - done);
		assert_non_null(copy);
		memcpy(copy, data + done, n - done);
		iov[0] = (struct iovec){copy, half};
		iov[1] = (struct iovec){copy + half, n - done - half};
		r = stream_writev(&a.s, iov, 2);
		free(copy);
		if (r == BUR_AGAIN)
			loop_turn(loop, true);
		else
			assert_true(r > 0);
		done += r > 0 ? (size_t)r : 0;
	}
	while (b.n < n)
		loop_turn(loop, true);
	assert_memory_equal(b.in, data, n);
	free(data);
	pair_done();
}

/* --- certificates --------------------------------------------------------------------------------------------------
 */

struct verify_case {
	const char *san;
	long from_s, to_s;
	bool trusted;
	const char *host;
	const char *error; /* NULL: accepted */
};

static const struct verify_case verify_cases[] = {
    {"DNS:api.example.com", -DAY, DAY, true, "api.example.com", NULL},
    {"DNS:api.example.com", -DAY, DAY, true, "API.example.com", NULL},
    {"DNS:api.example.com", -DAY, DAY, true, "other.example.com", "hostname mismatch"},
    {"DNS:api.example.com", -DAY, DAY, true, "example.com", "hostname mismatch"},
    {"DNS:api.example.com", -DAY, DAY, true, "xapi.example.com", "hostname mismatch"},
    {"DNS:*.example.com", -DAY, DAY, true, "api.example.com", NULL},
    {"DNS:*.example.com", -DAY, DAY, true, "a.api.example.com", "hostname mismatch"},
    {"DNS:*.example.com", -DAY, DAY, true, "example.com", "hostname mismatch"},
    {"DNS:a*.example.com", -DAY, DAY, true, "api.example.com", "hostname mismatch"},
    {"DNS:other.example", -DAY, DAY, true, "common.example", "hostname mismatch"},
    {NULL, -DAY, DAY, true, "common.example", "hostname mismatch"},
    {"IP:127.0.0.1", -DAY, DAY, true, "127.0.0.1", NULL},
    {"IP:::1", -DAY, DAY, true, "::1", NULL},
    {"IP:127.0.0.1", -DAY, DAY, true, "127.0.0.2", "IP address mismatch"},
    {"DNS:127.0.0.1", -DAY, DAY, true, "127.0.0.1", "IP address mismatch"},
    {"DNS:api.example.com", -2 * DAY, -DAY, true, "api.example.com", "certificate has expired"},
    {"DNS:api.example.com", DAY, 2 * DAY, true, "api.example.com", "certificate is not yet valid"},
    {"DNS:api.example.com", -DAY, DAY, false, "api.example.com", "self-signed certificate"},
};

static void check_verify(const struct verify_case *c)
{
	struct tls_client_options options = {.alpn = NULL};
	SSL_CTX *saved_client = client_ctx, *saved_server = server_ctx;
	struct test_cert t;
	char err[256];

	test_cert_make(&t, c->san, c->from_s, c->to_s);
	options.extra_ca_file = c->trusted ? t.cert_path : cert.cert_path;
	client_ctx = tls_client_ctx(&options, err, sizeof(err));
	server_ctx = tls_server_ctx(t.cert_path, t.key_path, NULL, err, sizeof(err));
	assert_non_null(client_ctx);
	assert_non_null(server_ctx);
	pair_tls(c->host);
	if (c->error) {
		assert_int_equal(a.handshake, BUR_CRYPTO);
		assert_string_equal(a.s.error, c->error);
	} else {
		if (a.handshake != BUR_OK)
			fail_msg("%s for %s: %s", c->san, c->host, a.s.error);
	}
	pair_done();
	SSL_CTX_free(client_ctx);
	SSL_CTX_free(server_ctx);
	client_ctx = saved_client;
	server_ctx = saved_server;
	test_cert_remove(&t);
}

static void test_verification(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(verify_cases) / sizeof(verify_cases[0]); i++)
		check_verify(&verify_cases[i]);
}

static void test_no_name_no_connection(void **state)
{
	(void)state;
	pair_open();
	assert_int_equal(stream_tls_client(&a.s, client_ctx, ""), BUR_CRYPTO);
	assert_string_equal(a.s.error, "no host name to verify");
	pair_done();
}

static void test_sni(void **state)
{
	(void)state;
	pair_tls("api.example.com");
	assert_string_equal(SSL_get_servername(stream_ssl(&b.s), TLSEXT_NAMETYPE_host_name), "api.example.com");
	pair_done();
	pair_tls("127.0.0.1"); /* RFC 6066: no SNI for addresses */
	assert_int_equal(b.handshake, BUR_OK);
	assert_null(SSL_get_servername(stream_ssl(&b.s), TLSEXT_NAMETYPE_host_name));
	pair_done();
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_plain_exchange),
	    T(test_tls_exchange),
	    T(test_plain_bulk),
	    T(test_tls_bulk),
	    T(test_half_close),
	    T(test_pause),
	    T(test_quiet_pause_is_free),
	    T(test_tls_pause_with_pending_bytes),
	    T(test_write_interest),
	    T(test_close_inside_the_callback),
	    T(test_no_sigpipe),
	    T(test_tls_end_without_close_notify),
	    T(test_tls_bytes_before_close_notify_are_not_lost),
	    T(test_tls_garbage),
	    T(test_tls_peer_leaves_during_handshake),
	    T(test_tls_bytes_read_before),
	    T(test_tls_blocked_write_goes_on),
	    T(test_verification),
	    T(test_no_name_no_connection),
	    T(test_sni),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
