/* TLS contexts: files, ALPN, resumption, versions. Two SSL objects talk through memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "net/tls.c" /* for the age of the ticket keys */
#include "tests/unit/net_testing.h"

#define DAY 86400L

static struct test_cert cert;

static SSL_CTX *client_with(const char *alpn)
{
	struct tls_client_options o = {.extra_ca_file = cert.cert_path, .alpn = alpn};
	char err[256] = "";
	SSL_CTX *ctx = tls_client_ctx(&o, err, sizeof(err));

	if (!ctx)
		fail_msg("%s", err);
	return ctx;
}

static SSL_CTX *server_with(const char *alpn)
{
	char err[256] = "";
	SSL_CTX *ctx = tls_server_ctx(cert.cert_path, cert.key_path, alpn, err, sizeof(err));

	if (!ctx)
		fail_msg("%s", err);
	return ctx;
}

struct link {
	SSL *client, *server;
};

static struct link link_new(SSL_CTX *client_ctx, SSL_CTX *server_ctx, const char *session_key)
{
	struct link l = {SSL_new(client_ctx), SSL_new(server_ctx)};
	BIO *a, *b;

	assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
	SSL_set_bio(l.client, a, a);
	SSL_set_bio(l.server, b, b);
	SSL_set_connect_state(l.client);
	SSL_set_accept_state(l.server);
	assert_int_equal(SSL_set1_host(l.client, "api.example.com"), 1);
	if (session_key)
		tls_session_resume(l.client, session_key);
	return l;
}

/* true: both sides are done, and a byte went each way (which carries the tickets). */
static bool link_run(struct link *l)
{
	char byte = 'x';
	int c = 0, s = 0;

	for (int i = 0; i < 20 && (c != 1 || s != 1); i++) {
		c = SSL_do_handshake(l->client);
		s = SSL_do_handshake(l->server);
	}
	if (c == 1 && s == 1 && SSL_write(l->server, &byte, 1) == 1 && SSL_read(l->client, &byte, 1) == 1 &&
	    SSL_write(l->client, &byte, 1) == 1 && SSL_read(l->server, &byte, 1) == 1)
		return true;
	ERR_clear_error();
	return false;
}

static void link_free(struct link *l)
{
	(void)SSL_shutdown(l->client);
	(void)SSL_shutdown(l->server);
	SSL_free(l->client);
	SSL_free(l->server);
	ERR_clear_error();
}

static bool resumed(SSL_CTX *c, SSL_CTX *s, const char *key)
{
	struct link l = link_new(c, s, key);
	bool reused;

	assert_true(link_run(&l));
	reused = SSL_session_reused(l.client) == 1;
	link_free(&l);
	return reused;
}

static int setup(void **state)
{
	(void)state;
	test_cert_make(&cert, "DNS:api.example.com", -DAY, DAY);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_cert_remove(&cert);
	return 0;
}

/* --- resumption ----------------------------------------------------------------------------------------------------
 */

static void check_resumption(int version)
{
	SSL_CTX *c = client_with(NULL), *s = server_with(NULL);

	assert_int_equal(SSL_CTX_set_max_proto_version(s, version), 1);
	assert_false(resumed(c, s, "a:443/1"));
	assert_true(resumed(c, s, "a:443/1"));
	assert_true(resumed(c, s, "a:443/1"));
	assert_false(resumed(c, s, "a:443/2")); /* another credential shares nothing */
	assert_false(resumed(c, s, "b:443/1"));
	assert_false(resumed(c, s, NULL));
	SSL_CTX_free(c);
	SSL_CTX_free(s);
}

static void test_resumption(void **state)
{
	(void)state;
	check_resumption(TLS1_2_VERSION);
	check_resumption(TLS1_3_VERSION);
}

static void test_tickets_of_tls13_are_used_once(void **state)
{
	SSL_CTX *c = client_with(NULL), *s = server_with(NULL);
	struct tls_extra *x = extra_of(c);
	struct session_entry *e;
	struct link l;

	(void)state;
	assert_false(resumed(c, s, "a"));
	e = map_get(x->by_key, SLICE("a"));
	assert_non_null(e);
	assert_int_equal(e->n, 1);
	l = link_new(c, s, "a");
	assert_int_equal(e->n, 0);
	assert_true(link_run(&l));
	assert_int_equal(SSL_session_reused(l.client), 1);
	assert_int_equal(e->n, 1); /* the new one */
	link_free(&l);
	for (int i = 0; i < 10; i++) { /* many new ones: bounded */
		l = link_new(c, s, NULL);
		assert_int_equal(SSL_set_ex_data(l.client, ssl_index, strdup("a")), 1);
		assert_true(link_run(&l));
		link_free(&l);
	}
	assert_int_equal(e->n, SESSIONS_PER_KEY);
	SSL_CTX_free(c);
	SSL_CTX_free(s);
}

static void test_session_store_is_bounded(void **state)
{
	SSL_CTX *c = client_with(NULL);
	struct tls_extra *x = extra_of(c);
	char key[32];

	(void)state;
	for (int i = 0; i < SESSION_KEYS_MAX + 10; i++) {
		(void)snprintf(key, sizeof(key), "host%d", i);
		assert_non_null(session_entry_get(x, key));
		assert_non_null(session_entry_get(x, "host0")); /* in use: stays */
	}
	assert_int_equal(map_len(x->by_key), SESSION_KEYS_MAX);
	assert_non_null(map_get(x->by_key, SLICE("host0")));
	assert_null(map_get(x->by_key, SLICE("host1")));
	SSL_CTX_free(c);
}

static void test_ticket_keys_rotate(void **state)
{
	SSL_CTX *c = client_with(NULL), *s = server_with(NULL);
	struct tls_extra *x = extra_of(s);
	unsigned char first[16];

	(void)state;
	assert_false(resumed(c, s, "a"));
	memcpy(first, x->tickets[0].name, sizeof(first));
	x->tickets[0].made_ns -= TICKET_KEY_LIFE_NS + 1;
	assert_true(resumed(c, s, "a")); /* the key before still opens */
	assert_memory_not_equal(x->tickets[0].name, first, sizeof(first));
	assert_memory_equal(x->tickets[1].name, first, sizeof(first));
	assert_true(resumed(c, s, "a"));
	x->tickets[0].made_ns -= 2 * TICKET_KEY_LIFE_NS + 1;
	assert_false(resumed(c, s, "a")); /* too old: a full handshake */
	SSL_CTX_free(c);
	SSL_CTX_free(s);
}

/* --- ALPN and versions ---------------------------------------------------------------------------------------------
 */

static void check_alpn(const char *client_alpn, const char *server_alpn, const char *expected)
{
	SSL_CTX *c = client_with(client_alpn), *s = server_with(server_alpn);
	struct link l = link_new(c, s, NULL);
	bool ok = link_run(&l);
	const unsigned char *p = NULL;
	unsigned n = 0;

	assert_int_equal(ok, expected != NULL);
	if (expected) {
		SSL_get0_alpn_selected(l.client, &p, &n);
		assert_int_equal(n, strlen(expected));
		assert_memory_equal(p ? p : (const unsigned char *)"", expected, n);
	}
	link_free(&l);
	SSL_CTX_free(c);
	SSL_CTX_free(s);
}

static void test_alpn(void **state)
{
	(void)state;
	check_alpn("http/1.1", "http/1.1", "http/1.1");
	check_alpn("h2,http/1.1", "http/1.1", "http/1.1");
	check_alpn("http/1.1, h2", "h2,http/1.1", "h2"); /* the server's preference */
	check_alpn(NULL, "http/1.1", "");
	check_alpn("http/1.1", NULL, "");
	check_alpn("h2", "http/1.1", NULL);
	check_alpn("smtp", "http/1.1", NULL);
}

static void test_old_versions_are_refused(void **state)
{
	SSL_CTX *c = client_with(NULL), *s = server_with(NULL);
	struct link l;

	(void)state;
	assert_int_equal(SSL_CTX_get_min_proto_version(c), TLS1_2_VERSION);
	assert_int_equal(SSL_CTX_set_min_proto_version(s, TLS1_VERSION), 1);
	assert_int_equal(SSL_CTX_set_max_proto_version(s, TLS1_1_VERSION), 1);
	SSL_CTX_set_security_level(s, 0);
	l = link_new(c, s, NULL);
	assert_false(link_run(&l));
	link_free(&l);
	SSL_CTX_free(c);
	SSL_CTX_free(s);
}

static void test_client_always_verifies(void **state)
{
	struct tls_client_options o = {.alpn = NULL}; /* without our test root */
	char err[256];
	SSL_CTX *c = tls_client_ctx(&o, err, sizeof(err)), *s = server_with(NULL);
	struct link l;

	(void)state;
	assert_non_null(c);
	assert_int_equal(SSL_CTX_get_verify_mode(c), SSL_VERIFY_PEER);
	l = link_new(c, s, NULL);
	assert_false(link_run(&l));
	assert_int_equal(SSL_get_verify_result(l.client), X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT);
	link_free(&l);
	SSL_CTX_free(c);
	SSL_CTX_free(s);
}

static void test_server_without_certificate(void **state)
{
	char err[256];
	SSL_CTX *s = tls_server_ctx(NULL, NULL, "http/1.1", err, sizeof(err));

	(void)state;
	assert_non_null(s); /* interception sets one per connection */
	SSL_CTX_free(s);
}

/* --- files ---------------------------------------------------------------------------------------------------------
 */

static void expect_server_error(const char *cert_file, const char *key_file, const char *alpn, const char *part)
{
	char err[256] = "";

	assert_null(tls_server_ctx(cert_file, key_file, alpn, err, sizeof(err)));
	if (!strstr(err, part))
		fail_msg("\"%s\" lacks \"%s\"", err, part);
	assert_int_equal(ERR_peek_error(), 0);
}

static void test_bad_files(void **state)
{
	struct tls_client_options o = {.extra_ca_file = "/none/ca.pem"};
	struct test_cert other;
	char err[256] = "", tiny[4];

	(void)state;
	test_cert_make(&other, NULL, -DAY, DAY);
	expect_server_error("/none/cert.pem", cert.key_path, NULL, "/none/cert.pem: No such file or directory");
	expect_server_error(cert.cert_path, "/none/key.pem", NULL, "/none/key.pem: No such file or directory");
	expect_server_error(cert.key_path, cert.key_path, NULL, cert.key_path);
	expect_server_error(cert.cert_path, other.key_path, NULL, "private key");
	expect_server_error(cert.cert_path, NULL, NULL, "both");
	expect_server_error(cert.cert_path, cert.key_path, "a,,b", "ALPN");
	assert_null(tls_client_ctx(&o, err, sizeof(err)));
	assert_non_null(strstr(err, "/none/ca.pem"));
	o = (struct tls_client_options){.cert_file = cert.cert_path};
	assert_null(tls_client_ctx(&o, err, sizeof(err)));
	assert_null(tls_client_ctx(&o, tiny, sizeof(tiny)));
	o.key_file = cert.key_path;
	{
		SSL_CTX *c = tls_client_ctx(&o, err, sizeof(err));

		assert_non_null(c);
		SSL_CTX_free(c);
	}
	test_cert_remove(&other);
}

static void test_private_files(void **state)
{
	char link_path[128];

	(void)state;
	assert_int_equal(tls_check_private_file(cert.key_path), BUR_OK);
	assert_int_equal(chmod(cert.key_path, 0640), 0);
	assert_int_equal(tls_check_private_file(cert.key_path), BUR_DENIED);
	expect_server_error(cert.cert_path, cert.key_path, NULL, "only its owner can read");
	assert_int_equal(chmod(cert.key_path, 0604), 0);
	assert_int_equal(tls_check_private_file(cert.key_path), BUR_DENIED);
	assert_int_equal(chmod(cert.key_path, 0400), 0);
	assert_int_equal(tls_check_private_file(cert.key_path), BUR_OK);
	(void)snprintf(link_path, sizeof(link_path), "%s/link", cert.dir);
	assert_int_equal(symlink(cert.key_path, link_path), 0);
	assert_int_equal(tls_check_private_file(link_path), BUR_DENIED);
	assert_int_equal(unlink(link_path), 0);
	assert_int_equal(tls_check_private_file("/dev/null"), BUR_DENIED);
	assert_int_equal(tls_check_private_file("/none"), BUR_IO);
}

static void test_error_text(void **state)
{
	char text[64];

	(void)state;
	ERR_clear_error();
	tls_error_text(text, sizeof(text));
	assert_string_equal(text, "unknown error");
	ERR_raise(ERR_LIB_SSL, SSL_R_WRONG_VERSION_NUMBER);
	ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
	tls_error_text(text, sizeof(text));
	assert_string_equal(text, "wrong version number");
	assert_int_equal(ERR_peek_error(), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_resumption),
	    T(test_tickets_of_tls13_are_used_once),
	    T(test_session_store_is_bounded),
	    T(test_ticket_keys_rotate),
	    T(test_alpn),
	    T(test_old_versions_are_refused),
	    T(test_client_always_verifies),
	    T(test_server_without_certificate),
	    T(test_bad_files),
	    T(test_private_files),
	    T(test_error_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
