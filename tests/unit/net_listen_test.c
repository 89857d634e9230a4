/* Listening sockets and the accept loop. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "net/listen.h"
#include "net/loop.h"

static struct loop *loop;
static struct listener *listener;
static int accepted;
static struct addr last_peer;
static bool free_on_accept, pause_on_accept;

static int setup(void **state)
{
	(void)state;
	alarm(60);
	accepted = 0;
	free_on_accept = pause_on_accept = false;
	loop = loop_new();
	return loop ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	loop_free(loop);
	return 0;
}

static void on_accept(void *ctx, int fd, const struct addr *peer)
{
	(void)ctx;
	accepted++;
	last_peer = *peer;
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	(void)close(fd);
	if (free_on_accept) {
		listener_free(listener);
		listener = NULL;
	} else if (pause_on_accept) {
		listener_pause(listener, true);
	}
}

static int knock(uint16_t port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = port};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	return fd;
}

static void test_open(void **state)
{
	static const char *const bad[] = {
	    "",          "8080",         "127.0.0.1",    "127.0.0.1:",     "127.0.0.1:65536", "127.0.0.1:x",
	    "::1:80",    "[::1]",        "[::1:80",      "example.com:80", "localhost:80",    "127.1:80",
	    "[::1]x:80", "127.0.0.1:-1", "127.0.0.1:+1", " 127.0.0.1:0"};
	struct addr bound, again;
	char text[ADDR_TEXT_MAX];
	int fd, other;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(listen_open(bad[i], &fd, &bound), BUR_INVALID);
	assert_int_equal(listen_open("127.0.0.1:0", &fd, &bound), BUR_OK);
	assert_int_equal(bound.sa.sa_family, AF_INET);
	assert_int_not_equal(bound.in.sin_port, 0);
	(void)addr_format(&bound.sa, text);
	assert_int_equal(listen_open(text, &other, &again), BUR_BUSY);
	(void)close(fd);
	assert_int_equal(listen_open(text, &fd, &bound), BUR_OK);
	(void)close(fd);
	assert_int_equal(listen_open("203.0.113.7:0", &fd, &bound), BUR_IO); /* not ours */
}

static void test_accepts(void **state)
{
	struct addr bound;
	int fd, clients[20];

	(void)state;
	assert_int_equal(listen_open("127.0.0.1:0", &fd, &bound), BUR_OK);
	listener = listener_new(loop, fd, on_accept, NULL);
	assert_non_null(listener);
	(void)close(fd); /* it has its own */
	for (int i = 0; i < 20; i++)
		clients[i] = knock(bound.in.sin_port);
	while (accepted < 20)
		loop_turn(loop, true);
	assert_int_equal(addr_classify(&last_peer.sa), ADDR_LOOPBACK);
	listener_free(listener);
	listener_free(NULL);
	for (int i = 0; i < 20; i++)
		(void)close(clients[i]);
}

/* On all addresses, IPv4 clients look like IPv4. */
static void test_all_addresses(void **state)
{
	struct addr bound;
	int fd, client;
	uint16_t port;

	(void)state;
	assert_int_equal(listen_open(":0", &fd, &bound), BUR_OK);
	port = bound.sa.sa_family == AF_INET ? bound.in.sin_port : bound.in6.sin6_port;
	listener = listener_new(loop, fd, on_accept, NULL);
	assert_non_null(listener);
	(void)close(fd);
	client = knock(port);
	while (accepted < 1)
		loop_turn(loop, true);
	assert_int_equal(last_peer.sa.sa_family, AF_INET);
	listener_free(listener);
	(void)close(client);
}

static void test_pause_and_free_inside_the_callback(void **state)
{
	struct addr bound;
	int fd, clients[3];

	(void)state;
	assert_int_equal(listen_open("127.0.0.1:0", &fd, &bound), BUR_OK);
	listener = listener_new(loop, fd, on_accept, NULL);
	assert_non_null(listener);
	pause_on_accept = true;
	for (int i = 0; i < 3; i++)
		clients[i] = knock(bound.in.sin_port);
	while (accepted < 1)
		loop_turn(loop, true);
	for (int i = 0; i < 5; i++)
		loop_turn(loop, false);
	assert_int_equal(accepted, 1);
	pause_on_accept = false;
	free_on_accept = true;
	listener_pause(listener, false);
	while (accepted < 2)
		loop_turn(loop, true);
	for (int i = 0; i < 5; i++)
		loop_turn(loop, false);
	assert_int_equal(accepted, 2);
	assert_null(listener);
	(void)close(fd);
	for (int i = 0; i < 3; i++)
		(void)close(clients[i]);
}

/* Without descriptors it waits and goes on when there are some again; it does not spin meanwhile. */
static void test_descriptor_exhaustion(void **state)
{
	struct rlimit old, low;
	struct addr bound;
	int fd, client, next, turns = 0;

	(void)state;
	assert_int_equal(listen_open("127.0.0.1:0", &fd, &bound), BUR_OK);
	listener = listener_new(loop, fd, on_accept, NULL);
	assert_non_null(listener);
	client = knock(bound.in.sin_port);
	next = dup(fd);
	assert_true(next >= 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = (struct rlimit){(rlim_t)next, old.rlim_max}; /* the next descriptor is one too many */
	(void)close(next);
	next = dup(fd); /* and none is left below it */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	for (int i = 0; i < 10; i++)
		loop_turn(loop, false);
	assert_int_equal(accepted, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	while (accepted < 1) {
		loop_turn(loop, true);
		turns++;
	}
	assert_true(turns < 10);
	listener_free(listener);
	(void)close(next);
	(void)close(fd);
	(void)close(client);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_open),
	    T(test_accepts),
	    T(test_all_addresses),
	    T(test_pause_and_free_inside_the_callback),
	    T(test_descriptor_exhaustion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
