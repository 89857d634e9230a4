/* Idle connections: who gets which, and when they go. */
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
#include "net/pool.h"

static struct loop *loop;
static struct pool *pool;

static int setup(void **state)
{
	struct pool_config config = {.max_idle = 4, .max_idle_per_key = 3, .idle_timeout_ns = 10 * NS_PER_S};

	(void)state;
	alarm(60);
	loop = loop_new();
	pool = loop ? pool_new(loop, &config) : NULL;
	return pool ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	pool_free(pool);
	loop_free(loop);
	return 0;
}

static void on_ready(void *ctx, unsigned what)
{
	(void)ctx;
	(void)what;
}

/* A connection whose other end is *ret_peer. */
static struct stream *connection(int *ret_peer)
{
	struct stream *s = malloc(sizeof(*s));
	int fds[2];

	assert_non_null(s);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(stream_open(s, loop, fds[0], on_ready, NULL), BUR_OK);
	*ret_peer = fds[1];
	return s;
}

static struct pool_key key_of(const char *host, uint16_t port, uint8_t tls, uint64_t credential)
{
	struct pool_key k = {.port = port, .tls = tls, .credential = credential};

	(void)snprintf(k.host, sizeof(k.host), "%s", host);
	return k;
}

static void drop(struct stream *s)
{
	stream_close(s);
	free(s);
}

/* Is the other end told that the connection has ended? */
static bool peer_sees_end(int fd)
{
	char byte;

	return recv(fd, &byte, 1, 0) == 0;
}

static void test_most_recently_used_first(void **state)
{
	struct pool_key k = key_of("a", 443, 1, 7);
	struct stream *s[3];
	int peer[3];

	(void)state;
	assert_null(pool_get(pool, &k));
	for (int i = 0; i < 3; i++) {
		s[i] = connection(&peer[i]);
		pool_put(pool, &k, s[i]);
	}
	assert_int_equal(pool_len(pool), 3);
	for (int i = 2; i >= 0; i--) {
		assert_ptr_equal(pool_get(pool, &k), s[i]);
		drop(s[i]);
		(void)close(peer[i]);
	}
	assert_int_equal(pool_len(pool), 0);
	assert_null(pool_get(pool, &k));
}

/* Every part of the key separates; above all the credential. */
static void test_keys_are_kept_apart(void **state)
{
	struct pool_key mine = key_of("a", 443, 1, 7);
	struct pool_key others[] = {key_of("a", 443, 1, 8),  key_of("a", 443, 1, 0), key_of("a", 443, 2, 7),
				    key_of("a", 443, 0, 7),  key_of("a", 444, 1, 7), key_of("b", 443, 1, 7),
				    key_of("aa", 443, 1, 7), key_of("", 443, 1, 7)};
	struct stream *s;
	int peer;

	(void)state;
	s = connection(&peer);
	pool_put(pool, &mine, s);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_null(pool_get(pool, &others[i]));
	assert_ptr_equal(pool_get(pool, &mine), s);
	drop(s);
	(void)close(peer);
}

static void test_limits(void **state)
{
	struct pool_key a = key_of("a", 1, 0, 0), b = key_of("b", 1, 0, 0);
	int peer[6];

	(void)state;
	for (int i = 0; i < 4; i++)
		pool_put(pool, &a, connection(&peer[i]));
	assert_int_equal(pool_len(pool), 3); /* of one key */
	assert_true(peer_sees_end(peer[0]));
	assert_false(peer_sees_end(peer[1]));
	pool_put(pool, &b, connection(&peer[4]));
	assert_int_equal(pool_len(pool), 4);
	pool_put(pool, &b, connection(&peer[5]));
	assert_int_equal(pool_len(pool), 4); /* in all: the oldest goes */
	assert_true(peer_sees_end(peer[1]));
	for (int i = 0; i < 6; i++)
		(void)close(peer[i]);
}

static void test_full_with_one_of_each_key(void **state)
{
	struct pool_key k;
	int peer[10];
	char host[16];

	(void)state;
	for (int i = 0; i < 10; i++) {
		(void)snprintf(host, sizeof(host), "h%d", i);
		k = key_of(host, 1, 0, 0);
		pool_put(pool, &k, connection(&peer[i]));
	}
	assert_int_equal(pool_len(pool), 4);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(peer_sees_end(peer[i]), i < 6);
		(void)close(peer[i]);
	}
}

static void wait_empty(void)
{
	while (pool_len(pool) > 0)
		loop_turn(loop, true);
}

static void test_connections_that_go_bad(void **state)
{
	struct pool_key k = key_of("a", 1, 0, 0);
	int peer;

	(void)state;
	pool_put(pool, &k, connection(&peer));
	(void)close(peer); /* the server has had enough */
	wait_empty();
	pool_put(pool, &k, connection(&peer));
	assert_int_equal(send(peer, "HTTP/1.1 408\r\n", 14, 0), 14); /* an answer that nobody asked for */
	wait_empty();
	assert_null(pool_get(pool, &k));
	(void)close(peer);
}

static void test_idle_timeout(void **state)
{
	struct pool_config config = {.max_idle = 4, .max_idle_per_key = 3, .idle_timeout_ns = 10 * NS_PER_MS};
	struct pool_key k = key_of("a", 1, 0, 0);
	int peer;

	(void)state;
	pool_free(pool);
	pool = pool_new(loop, &config);
	assert_non_null(pool);
	pool_put(pool, &k, connection(&peer));
	wait_empty();
	assert_true(peer_sees_end(peer));
	(void)close(peer);
}

static void test_unclean_connections_are_not_kept(void **state)
{
	struct pool_key k = key_of("a", 1, 0, 0);
	struct stream *s;
	int peer;

	(void)state;
	s = connection(&peer);
	stream_want(s, STREAM_READ | STREAM_WRITE); /* somebody still has bytes to write */
	pool_put(pool, &k, s);
	assert_int_equal(pool_len(pool), 0);
	(void)close(peer);
	s = connection(&peer);
	stream_close(s);
	pool_put(pool, &k, s);
	assert_int_equal(pool_len(pool), 0);
	(void)close(peer);
}

/* Taken and put back ten thousand times, with paused reading in between: the records are used again. */
static void test_many_rounds(void **state)
{
	struct pool_key k[2] = {key_of("a", 1, 0, 0), key_of("b", 1, 0, 0)};
	struct stream *s;
	int peer[2];

	(void)state;
	for (int i = 0; i < 2; i++)
		pool_put(pool, &k[i], connection(&peer[i]));
	for (int i = 0; i < 10000; i++) {
		s = pool_get(pool, &k[i & 1]);
		assert_non_null(s);
		stream_rebind(s, on_ready, NULL);
		stream_want(s, 0);
		pool_put(pool, &k[i & 1], s);
		assert_int_equal(s->registered, STREAM_READ); /* no epoll_ctl */
	}
	assert_int_equal(pool_len(pool), 2);
	(void)close(peer[0]);
	(void)close(peer[1]);
	wait_empty();
}

static void test_pool_that_keeps_nothing(void **state)
{
	struct pool_config config = {.max_idle = 0, .max_idle_per_key = 3, .idle_timeout_ns = NS_PER_S};
	struct pool_key k = key_of("a", 1, 0, 0);
	int peer;

	(void)state;
	pool_free(pool);
	pool = pool_new(loop, &config);
	assert_non_null(pool);
	pool_put(pool, &k, connection(&peer));
	assert_int_equal(pool_len(pool), 0);
	assert_true(peer_sees_end(peer));
	(void)close(peer);
	pool_free(NULL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_most_recently_used_first),
	    T(test_keys_are_kept_apart),
	    T(test_limits),
	    T(test_full_with_one_of_each_key),
	    T(test_connections_that_go_bad),
	    T(test_idle_timeout),
	    T(test_unclean_connections_are_not_kept),
	    T(test_many_rounds),
	    T(test_pool_that_keeps_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
