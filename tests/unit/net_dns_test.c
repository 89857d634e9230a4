/* Names to addresses, with a DNS server of our own. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/dns.c" /* for the cache's clock */
#include "net/loop.h"
#include "tests/unit/net_dns_testing.h"

static struct loop *loop;
static struct dns_server server;
static struct dns *dns;

struct answer {
	int calls, err;
	size_t n;
	struct addr a[DNS_ADDRS_MAX];
};

static void on_answer(void *ctx, int err, const struct addr *addrs, size_t n)
{
	struct answer *w = ctx;

	w->calls++;
	w->err = err;
	w->n = n;
	if (n > 0)
		memcpy(w->a, addrs, n * sizeof(*addrs));
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
	if (!dns)
		return -1;
	dns_set_hosts_file(dns, "/dev/null/none");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dns_free(dns);
	for (int i = 0; i < 3; i++)
		loop_turn(loop, false);
	dns_server_stop(&server);
	loop_free(loop);
	return 0;
}

static struct answer resolve(const char *name)
{
	struct answer w = {0};
	struct dns_query *q = dns_resolve(dns, name, on_answer, &w);

	assert_int_equal(q == NULL, w.calls == 1);
	while (w.calls == 0)
		loop_turn(loop, true);
	assert_int_equal(w.calls, 1);
	return w;
}

static void assert_ip(const struct addr *a, const char *expected)
{
	char text[ADDR_TEXT_MAX];

	assert_string_equal(addr_format(&a->sa, text), expected);
}

static void test_both_families_alternate(void **state)
{
	struct answer w;

	(void)state;
	server.v4[0] = "1.1.1.1";
	server.v4[1] = "2.2.2.2";
	server.v4[2] = "3.3.3.3";
	server.v6[0] = "2606::1";
	w = resolve("two.example");
	assert_int_equal(w.err, BUR_OK);
	assert_int_equal(w.n, 4);
	assert_ip(&w.a[0], "[2606::1]:0");
	assert_ip(&w.a[1], "1.1.1.1:0");
	assert_ip(&w.a[3], "3.3.3.3:0");
	assert_int_equal(server.questions, 2);
}

static void test_cache(void **state)
{
	(void)state;
	server.v4[0] = "1.1.1.1";
	(void)resolve("cached.example");
	server.v4[0] = "9.9.9.9";
	assert_ip(&resolve("cached.example").a[0], "1.1.1.1:0");
	assert_ip(&resolve("CACHED.example.").a[0], "1.1.1.1:0");
	assert_int_equal(server.questions, 2);
	assert_ip(&resolve("other.example").a[0], "9.9.9.9:0");
	assert_int_equal(server.questions, 4);
}

static void test_negative_answers_are_cached(void **state)
{
	struct answer w;

	(void)state;
	server.rcode = 3;
	w = resolve("none.example");
	assert_int_equal(w.err, BUR_NOTFOUND);
	assert_int_equal(w.n, 0);
	assert_int_equal(resolve("none.example").err, BUR_NOTFOUND);
	assert_int_equal(server.questions, 2);
	server.rcode = 0; /* a name without addresses */
	assert_int_equal(resolve("empty.example").err, BUR_NOTFOUND);
}

/* When the resolver fails, the last answer serves for a minute past its end, and no longer. */
static void test_failing_resolver(void **state)
{
	struct dns_entry *e;
	int err;

	(void)state;
	server.v4[0] = "1.1.1.1";
	assert_int_equal(resolve("broken.example").err, BUR_OK);
	e = map_get(dns->cache, SLICE("broken.example"));
	assert_non_null(e);
	e->expires_ns = 0; /* its time is over */
	server.rcode = 2;
	assert_ip(&resolve("broken.example").a[0], "1.1.1.1:0");
	e->expires_ns = 0;
	e->stale_until_ns = 0;
	err = resolve("broken.example").err;
	assert_true(err == BUR_TIMEOUT || err == BUR_IO); /* libevent tries again until its time is over */
}

static void test_time_to_live_is_clamped(void **state)
{
	struct dns_entry *e;

	(void)state;
	server.v4[0] = "1.1.1.1";
	server.ttl_s = 0;
	(void)resolve("short.example");
	e = map_get(dns->cache, SLICE("short.example"));
	assert_in_range(e->expires_ns - loop_mono_ns(loop), 4 * NS_PER_S, 5 * NS_PER_S);
	server.ttl_s = 86400;
	(void)resolve("long.example");
	e = map_get(dns->cache, SLICE("long.example"));
	assert_in_range(e->expires_ns - loop_mono_ns(loop), 299 * NS_PER_S, 300 * NS_PER_S);
}

static void test_cache_is_bounded(void **state)
{
	char name[64];

	(void)state;
	server.rcode = 3;
	for (int i = 0; i < DNS_CACHE_MAX + 50; i++) {
		(void)snprintf(name, sizeof(name), "n%d.example", i);
		assert_non_null(entry_get(dns, name));
	}
	assert_int_equal(map_len(dns->cache), DNS_CACHE_MAX);
	assert_null(map_get(dns->cache, SLICE("n0.example")));
	assert_non_null(map_get(dns->cache, SLICE("n50.example")));
}

static void test_equal_names_share_a_look_up(void **state)
{
	struct answer w[5] = {{0}};
	struct dns_query *cancelled;

	(void)state;
	server.v4[0] = "1.1.1.1";
	for (int i = 0; i < 4; i++)
		assert_non_null(dns_resolve(dns, "same.example", on_answer, &w[i]));
	cancelled = dns_resolve(dns, "same.example", on_answer, &w[4]);
	dns_cancel(cancelled);
	dns_cancel(NULL);
	while (w[0].calls + w[1].calls + w[2].calls + w[3].calls < 4)
		loop_turn(loop, true);
	assert_int_equal(w[4].calls, 0);
	assert_int_equal(w[3].calls, 1);
	assert_int_equal(server.questions, 2);
}

static struct dns_query *to_cancel;
static struct answer nested;

static void on_answer_cancel_and_ask(void *ctx, int err, const struct addr *addrs, size_t n)
{
	on_answer(ctx, err, addrs, n);
	dns_cancel(to_cancel);
	to_cancel = NULL;
	(void)dns_resolve(dns, "same.example", on_answer, &nested);
}

static void test_callbacks_may_ask_and_cancel(void **state)
{
	struct answer first = {0}, other = {0};

	(void)state;
	server.v4[0] = "1.1.1.1";
	nested = (struct answer){0};
	to_cancel = dns_resolve(dns, "same.example", on_answer, &other);
	assert_non_null(dns_resolve(dns, "same.example", on_answer_cancel_and_ask, &first)); /* is called first */
	while (first.calls == 0)
		loop_turn(loop, true);
	assert_int_equal(other.calls, 0);
	assert_int_equal(nested.calls, 1);
}

static void test_literals_and_localhost(void **state)
{
	struct answer w;

	(void)state;
	assert_ip(&resolve("1.2.3.4").a[0], "1.2.3.4:0");
	assert_ip(&resolve("::1").a[0], "[::1]:0");
	w = resolve("localhost");
	assert_int_equal(w.n, 2);
	assert_ip(&w.a[0], "[::1]:0");
	assert_ip(&resolve("a.LOCALHOST").a[1], "127.0.0.1:0");
	assert_int_equal(resolve("").err, BUR_NOTFOUND);
	assert_int_equal(server.questions, 0);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void test_hosts_file(void **state)
{
	char path[] = "/tmp/bursar-hosts-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	(void)close(fd);
	write_file(path,
		   "# comment\n10.1.1.1 Db.example alias # other\n\n  \t\nbad line\nfd00::5\tdb.example\r\n10.1.1.2");
	dns_set_hosts_file(dns, path);
	assert_ip(&resolve("db.example").a[0], "[fd00::5]:0");
	assert_ip(&resolve("DB.example").a[1], "10.1.1.1:0");
	assert_ip(&resolve("alias").a[0], "10.1.1.1:0");
	assert_int_equal(server.questions, 0);
	server.v4[0] = "1.1.1.1";
	assert_ip(&resolve("comment").a[0], "1.1.1.1:0");
	write_file(path, "10.9.9.9 db.example other.example\n");
	while (resolve("db.example").n != 1) /* seen within a second */
		loop_turn(loop, false);
	assert_ip(&resolve("db.example").a[0], "10.9.9.9:0");
	(void)unlink(path);
}

static void test_free_with_questions_open(void **state)
{
	struct answer w = {0};

	(void)state;
	server.silent = true;
	assert_non_null(dns_resolve(dns, "silent.example", on_answer, &w));
	loop_turn(loop, false);
	dns_free(dns);
	for (int i = 0; i < 5; i++)
		loop_turn(loop, false);
	assert_int_equal(w.calls, 0);
	dns = NULL;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_both_families_alternate),     T(test_cache),
	    T(test_time_to_live_is_clamped),     T(test_cache_is_bounded),
	    T(test_negative_answers_are_cached), T(test_failing_resolver),
	    T(test_equal_names_share_a_look_up), T(test_callbacks_may_ask_and_cancel),
	    T(test_literals_and_localhost),      T(test_hosts_file),
	    T(test_free_with_questions_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
