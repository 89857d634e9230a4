/* Dialling: the policy on every address, rebinding, the race of addresses, timeouts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "net/dial.h"
#include "net/listen.h"
#include "tests/unit/net_dns_testing.h"

static struct loop *loop;
static struct dns_server server;
static struct dns *dns;
static int listen_fd;
static struct addr bound;
static struct cidr loopback;
static struct dial_policy policy;
static struct dial_options options;

struct outcome {
	int calls, err, fd;
	struct addr peer;
	char text[400];
};

static void on_dialled(void *ctx, int err, int fd, const struct addr *peer, const char *text)
{
	struct outcome *o = ctx;

	o->calls++;
	o->err = err;
	o->fd = fd;
	o->peer = *peer;
	(void)snprintf(o->text, sizeof(o->text), "%s", text);
}

static uint16_t bound_port(void)
{
	return ntohs(bound.in.sin_port);
}

static int setup(void **state)
{
	const char *servers[1];

	(void)state;
	alarm(60);
	loop = loop_new();
	if (!loop)
		return -1;
	dns_server_start(&server, loop);
	servers[0] = server.text;
	dns = dns_new(loop, servers, 1);
	if (!dns || listen_open("127.0.0.1:0", &listen_fd, &bound) < 0 ||
	    cidr_parse(SLICE("127.0.0.0/8"), &loopback) < 0)
		return -1;
	dns_set_hosts_file(dns, "/dev/null/none");
	policy = (struct dial_policy){.allow = NULL};
	options = (struct dial_options){&policy, 5 * NS_PER_S, 15 * NS_PER_S};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dns_free(dns);
	for (int i = 0; i < 3; i++)
		loop_turn(loop, false);
	dns_server_stop(&server);
	(void)close(listen_fd);
	loop_free(loop);
	return 0;
}

static struct outcome dial_to(const char *host, uint16_t port)
{
	struct outcome o = {.fd = -1};
	struct dial *d = dial_start(dns, loop, host, port, &options, on_dialled, &o);

	assert_int_equal(d == NULL, o.calls == 1);
	while (o.calls == 0)
		loop_turn(loop, true);
	assert_int_equal(o.calls, 1);
	assert_int_equal(o.err == BUR_OK, o.fd >= 0);
	if (o.fd >= 0)
		(void)close(o.fd);
	return o;
}

static void allow_loopback(void)
{
	policy.allow = &loopback;
	policy.n_allow = 1;
}

static void test_connects(void **state)
{
	struct outcome o;

	(void)state;
	allow_loopback();
	server.v4[0] = "127.0.0.1";
	o = dial_to("api.example", bound_port());
	assert_int_equal(o.err, BUR_OK);
	assert_int_equal(memcmp(&o.peer.in.sin_addr, &bound.in.sin_addr, 4), 0);
	assert_int_equal(dial_to("127.0.0.1", bound_port()).err, BUR_OK);
}

static void test_forbidden_addresses(void **state)
{
	struct outcome o;

	(void)state;
	server.v4[0] = "10.0.0.5";
	o = dial_to("inside.example", 443);
	assert_int_equal(o.err, BUR_DENIED);
	assert_string_equal(o.text, "inside.example has the private address 10.0.0.5:443, which is not allowed");
	assert_int_equal(dial_to("127.0.0.1", bound_port()).err, BUR_DENIED);
	assert_int_equal(dial_to("::1", bound_port()).err, BUR_DENIED);
	assert_int_equal(dial_to("::ffff:127.0.0.1", bound_port()).err, BUR_DENIED);
	assert_int_equal(dial_to("0.0.0.0", bound_port()).err, BUR_DENIED);
	assert_int_equal(dial_to("localhost", bound_port()).err, BUR_DENIED);
	assert_int_equal(dial_to("169.254.169.254", 80).err, BUR_DENIED);
}

/* One bad address among good ones condemns the name: whoever controls it chooses the order. */
static void test_any_forbidden_address_denies_the_name(void **state)
{
	(void)state;
	server.v4[0] = "8.8.8.8";
	server.v4[1] = "9.9.9.9";
	server.v4[2] = "192.168.1.1";
	assert_int_equal(dial_to("mixed.example", 443).err, BUR_DENIED);
	server.v4[2] = NULL;
	server.v6[0] = "::ffff:127.0.0.1";
	assert_int_equal(dial_to("mixed6.example", 443).err, BUR_DENIED);
}

struct looked_up {
	int calls, err;
	struct addr first;
};

static void on_looked_up(void *ctx, int err, const struct addr *addrs, size_t n)
{
	struct looked_up *l = ctx;

	l->calls++;
	l->err = err;
	if (n > 0)
		l->first = addrs[0];
}

/* The name is public when it is looked up and checked; when it is dialled, its server says 127.0.0.1. */
static void test_rebinding(void **state)
{
	const char *servers[1] = {server.text};
	struct dns *naive = dns_new(loop, servers, 1); /* a cache of its own, so that the dial asks anew */
	struct looked_up l = {0};
	struct outcome o;

	(void)state;
	assert_non_null(naive);
	server.v4[0] = "8.8.8.8";
	(void)dns_resolve(naive, "rebind.example", on_looked_up, &l);
	while (l.calls == 0)
		loop_turn(loop, true);
	assert_int_equal(l.err, BUR_OK);
	assert_int_equal(dial_check(&policy, &l.first.sa), BUR_OK);
	server.v4[0] = "127.0.0.1";
	o = dial_to("rebind.example", bound_port());
	assert_int_equal(o.err, BUR_DENIED);
	assert_int_equal(server.questions, 4);
	assert_int_equal(accept(listen_fd, NULL, NULL), -1); /* nobody knocked */
	dns_free(naive);
}

/* Three connections fill a backlog of nothing: the next one hangs, as behind a firewall that drops. */
struct tarpit {
	int fd, clients[8];
};

static void tarpit_open(struct tarpit *t, const char *ip)
{
	struct addr a;
	int one = 1;

	assert_int_equal(addr_from_ip(ip, bound_port(), &a), BUR_OK);
	t->fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(setsockopt(t->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
	assert_int_equal(bind(t->fd, &a.sa, a.len), 0);
	assert_int_equal(listen(t->fd, 0), 0);
	for (size_t i = 0; i < ARRAY_LEN(t->clients); i++) {
		t->clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		assert_true(t->clients[i] >= 0);
		(void)connect(t->clients[i], &a.sa, a.len);
	}
}

static void tarpit_close(struct tarpit *t)
{
	for (size_t i = 0; i < ARRAY_LEN(t->clients); i++)
		(void)close(t->clients[i]);
	(void)close(t->fd);
}

/* The second address is tried 250 ms after the first, which still hangs, and wins. */
static void test_race(void **state)
{
	int64_t begin_ns, took_ns;
	struct outcome o;
	struct tarpit t;

	(void)state;
	allow_loopback();
	tarpit_open(&t, "127.0.0.2");
	server.v4[0] = "127.0.0.2";
	server.v4[1] = "127.0.0.1";
	begin_ns = clock_mono_ns();
	o = dial_to("race.example", bound_port());
	took_ns = clock_mono_ns() - begin_ns;
	assert_int_equal(o.err, BUR_OK);
	assert_int_equal(memcmp(&o.peer.in.sin_addr, &bound.in.sin_addr, 4), 0);
	assert_in_range(took_ns, 245 * NS_PER_MS, 4 * NS_PER_S); /* long before the first one's own timeout */
	tarpit_close(&t);
}

static void test_attempt_and_total_timeouts(void **state)
{
	int64_t begin_ns = clock_mono_ns();
	struct outcome o;
	struct tarpit t;

	(void)state;
	allow_loopback();
	tarpit_open(&t, "127.0.0.2");
	server.v4[0] = "127.0.0.2";
	server.v4[1] = "127.0.0.1";
	options.attempt_timeout_ns = 30 * NS_PER_MS; /* the next address need not wait for the stagger then */
	assert_int_equal(dial_to("attempt.example", bound_port()).err, BUR_OK);
	assert_true(clock_mono_ns() - begin_ns >= 29 * NS_PER_MS);
	server.v4[1] = NULL;
	o = dial_to("all.example", bound_port());
	assert_int_equal(o.err, BUR_TIMEOUT);
	assert_non_null(strstr(o.text, "cannot connect to all.example"));
	options.attempt_timeout_ns = 5 * NS_PER_S;
	options.total_timeout_ns = 30 * NS_PER_MS;
	o = dial_to("127.0.0.2", bound_port());
	assert_int_equal(o.err, BUR_TIMEOUT);
	assert_non_null(strstr(o.text, "connecting to 127.0.0.2"));
	tarpit_close(&t);
}

static void test_own_listener(void **state)
{
	struct addr own[2] = {bound, bound};
	struct outcome o;

	(void)state;
	allow_loopback();
	policy.deny = own;
	policy.n_deny = 1;
	o = dial_to("127.0.0.1", bound_port());
	assert_int_equal(o.err, BUR_DENIED);
	assert_non_null(strstr(o.text, "leads back to this proxy"));
	assert_int_equal(addr_from_ip("0.0.0.0", bound_port(), &own[0]), BUR_OK); /* listening everywhere */
	assert_int_equal(dial_to("127.0.0.1", bound_port()).err, BUR_DENIED);
	assert_int_equal(dial_to("127.0.0.9", bound_port()).err, BUR_DENIED);
	assert_int_equal(addr_from_ip("::", bound_port(), &own[0]), BUR_OK);
	assert_int_equal(dial_to("127.0.0.1", bound_port()).err, BUR_DENIED);
	addr_set_port(&own[0], (uint16_t)(bound_port() ^ 1)); /* another port is another service */
	assert_int_equal(dial_to("127.0.0.1", bound_port()).err, BUR_OK);
}

static int check_ip(const char *ip)
{
	struct addr a;

	assert_int_equal(addr_from_ip(ip, 443, &a), BUR_OK);
	return dial_check(&policy, &a.sa);
}

static void test_check(void **state)
{
	struct cidr allow[3];
	struct sockaddr other = {.sa_family = AF_UNIX};

	(void)state;
	assert_int_equal(check_ip("8.8.8.8"), BUR_OK);
	assert_int_equal(check_ip("2606:4700::1"), BUR_OK);
	assert_int_equal(check_ip("10.0.0.1"), BUR_DENIED);
	assert_int_equal(dial_check(&policy, &other), BUR_DENIED);
	assert_int_equal(cidr_parse(SLICE("10.1.0.0/16"), &allow[0]), BUR_OK);
	assert_int_equal(cidr_parse(SLICE("64:ff9b::/96"), &allow[1]), BUR_OK);
	policy.allow = allow;
	policy.n_allow = 2;
	assert_int_equal(check_ip("10.1.2.3"), BUR_OK);
	assert_int_equal(check_ip("::ffff:10.1.2.3"), BUR_OK);
	assert_int_equal(check_ip("10.2.0.1"), BUR_DENIED);
	assert_int_equal(check_ip("64:ff9b::8.8.8.8"), BUR_OK);
	assert_int_equal(check_ip("64:ff9b::10.1.2.3"), BUR_OK);
	assert_int_equal(check_ip("64:ff9b::10.2.0.1"), BUR_DENIED); /* a gateway into the private network */
	assert_int_equal(check_ip("64:ff9b::169.254.169.254"), BUR_DENIED);
}

static void test_falls_back_to_the_next_address(void **state)
{
	struct cidr all[2];
	struct outcome o;

	(void)state;
	assert_int_equal(cidr_parse(SLICE("127.0.0.0/8"), &all[0]), BUR_OK);
	assert_int_equal(cidr_parse(SLICE("::1"), &all[1]), BUR_OK);
	policy.allow = all;
	policy.n_allow = 2;
	server.v6[0] = "::1";       /* nobody listens there: refused, or there is no IPv6 at all */
	server.v4[0] = "127.0.0.3"; /* neither here */
	server.v4[1] = "127.0.0.1";
	o = dial_to("fallback.example", bound_port());
	assert_int_equal(o.err, BUR_OK);
	assert_int_equal(memcmp(&o.peer.in.sin_addr, &bound.in.sin_addr, 4), 0);
}

static void test_nobody_listens(void **state)
{
	struct outcome o;

	(void)state;
	allow_loopback();
	server.v4[0] = "127.0.0.3";
	o = dial_to("refused.example", bound_port());
	assert_int_equal(o.err, BUR_IO);
	assert_non_null(strstr(o.text, "cannot connect to refused.example port"));
	assert_non_null(strstr(o.text, "Connection refused"));
}

static void test_no_such_name(void **state)
{
	char long_name[300];

	(void)state;
	server.rcode = 3;
	assert_int_equal(dial_to("none.example", 443).err, BUR_NOTFOUND);
	memset(long_name, 'a', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	assert_int_equal(dial_to(long_name, 443).err, BUR_NOTFOUND);
}

static void test_total_timeout(void **state)
{
	struct outcome o;

	(void)state;
	server.silent = true;
	options.total_timeout_ns = 50 * NS_PER_MS;
	o = dial_to("silent.example", 443);
	assert_int_equal(o.err, BUR_TIMEOUT);
	assert_string_equal(o.text, "looking up silent.example port 443 takes too long");
}

static void test_cancel(void **state)
{
	struct outcome o = {0};
	struct dial *d;

	(void)state;
	server.silent = true;
	d = dial_start(dns, loop, "silent.example", 443, &options, on_dialled, &o);
	assert_non_null(d);
	dial_cancel(d);
	dial_cancel(NULL);
	allow_loopback();
	d = dial_start(dns, loop, "127.0.0.1", bound_port(), &options, on_dialled, &o);
	if (d) { /* not connected at once: cancel under way */
		dial_cancel(d);
		assert_int_equal(o.calls, 0);
	} else {
		(void)close(o.fd);
	}
	for (int i = 0; i < 5; i++)
		loop_turn(loop, false);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_connects),
	    T(test_forbidden_addresses),
	    T(test_any_forbidden_address_denies_the_name),
	    T(test_rebinding),
	    T(test_race),
	    T(test_attempt_and_total_timeouts),
	    T(test_own_listener),
	    T(test_check),
	    T(test_falls_back_to_the_next_address),
	    T(test_nobody_listens),
	    T(test_no_such_name),
	    T(test_total_timeout),
	    T(test_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
