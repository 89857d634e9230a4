/* Server names out of hellos that OpenSSL makes, whole, in pieces, cut into records, and broken at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "base/error.h"
#include "net/sni.h"

static size_t make_hello(const char *name, uint8_t *dst, size_t size)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	int n;

	assert_non_null(ssl);
	SSL_set_bio(ssl, in, out);
	if (name)
		assert_int_equal(SSL_set_tlsext_host_name(ssl, name), 1);
	SSL_set_connect_state(ssl);
	assert_int_equal(SSL_do_handshake(ssl), -1);
	n = BIO_read(out, dst, (int)size);
	assert_true(n > 50);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return (size_t)n;
}

/* The same hello in records of `piece` bytes. */
static size_t cut_records(const uint8_t *hello, size_t n, size_t piece, uint8_t *dst)
{
	size_t out = 0;

	for (size_t i = 5; i < n; i += piece) {
		size_t part = n - i < piece ? n - i : piece;

		memcpy(dst + out, (uint8_t[]){22, 3, 1, (uint8_t)(part >> 8), (uint8_t)part}, 5);
		memcpy(dst + out + 5, hello + i, part);
		out += 5 + part;
	}
	return out;
}

static void test_name_is_found_and_every_prefix_waits(void **state)
{
	uint8_t hello[4096];
	char name[256];
	size_t n = make_hello("API.OpenAI.com", hello, sizeof(hello));

	(void)state;
	for (size_t i = 0; i < n; i++)
		assert_int_equal(sni_peek(hello, i, name, sizeof(name)), BUR_AGAIN);
	assert_int_equal(sni_peek(hello, n, name, sizeof(name)), BUR_OK);
	assert_string_equal(name, "api.openai.com");
}

static void test_name_across_records(void **state)
{
	static uint8_t hello[4096], cut[65536];
	char name[256];
	size_t n = make_hello("a.example", hello, sizeof(hello));

	(void)state;
	for (size_t piece = 1; piece < 80; piece++) {
		size_t m = cut_records(hello, n, piece, cut);

		if (m > SNI_PEEK_MAX)
			continue;
		assert_int_equal(sni_peek(cut, m - 1, name, sizeof(name)), BUR_AGAIN);
		assert_int_equal(sni_peek(cut, m, name, sizeof(name)), BUR_OK);
		assert_string_equal(name, "a.example");
	}
}

static void test_no_name_and_no_tls(void **state)
{
	uint8_t hello[4096];
	char name[256];
	size_t n = make_hello(NULL, hello, sizeof(hello));

	(void)state;
	assert_int_equal(sni_peek(hello, n, name, sizeof(name)), BUR_NOTFOUND);
	assert_int_equal(sni_peek("GET / HTTP/1.1\r\n", 16, name, sizeof(name)), BUR_NOTFOUND);
	assert_int_equal(sni_peek("S", 1, name, sizeof(name)), BUR_NOTFOUND);
	assert_int_equal(sni_peek("", 0, name, sizeof(name)), BUR_AGAIN);
}

static void test_broken_hellos_never_read_past_their_end(void **state)
{
	uint8_t hello[4096], bad[4096];
	char name[256];
	size_t n = make_hello("api.openai.com", hello, sizeof(hello));

	(void)state;
	for (size_t i = 0; i < n; i++)
		for (int x = 0; x < 256; x += 5) {
			memcpy(bad, hello, n);
			bad[i] = (uint8_t)x;
			assert_true(sni_peek(bad, n, name, sizeof(name)) <= BUR_OK);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_name_is_found_and_every_prefix_waits),
	    cmocka_unit_test(test_name_across_records),
	    cmocka_unit_test(test_no_name_and_no_tls),
	    cmocka_unit_test(test_broken_hellos_never_read_past_their_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
