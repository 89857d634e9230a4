/* net_testing.h - what several tests of this room need: certificates made on the spot, and temporary files. */
#ifndef TESTS_NET_TESTING_H
#define TESTS_NET_TESTING_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct test_cert {
	char dir[64], cert_path[96], key_path[96];
};

static inline X509 *test_cert_sign(EVP_PKEY *key, const char *san, long from_s, long to_s)
{
	X509 *crt = X509_new();
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	if (!crt || !X509_set_version(crt, 2) || !ASN1_INTEGER_set(X509_get_serialNumber(crt), 1) ||
	    !X509_gmtime_adj(X509_getm_notBefore(crt), from_s) || !X509_gmtime_adj(X509_getm_notAfter(crt), to_s))
		abort();
	/* The common name is a lie on purpose: only the subjectAltName may count. */
	if (!X509_NAME_add_entry_by_txt(X509_get_subject_name(crt), "CN", MBSTRING_ASC,
					(const unsigned char *)"common.example", -1, -1, 0) ||
	    !X509_set_issuer_name(crt, X509_get_subject_name(crt)) || !X509_set_pubkey(crt, key))
		abort();
	X509V3_set_ctx(&ctx, crt, crt, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, NID_basic_constraints, "critical,CA:TRUE");
	if (!ext || !X509_add_ext(crt, ext, -1))
		abort();
	X509_EXTENSION_free(ext);
	if (san) {
		ext = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, san);
		if (!ext || !X509_add_ext(crt, ext, -1))
			abort();
		X509_EXTENSION_free(ext);
	}
	if (!X509_sign(crt, key, EVP_sha256()))
		abort();
	return crt;
}

/* A self-signed certificate and its key (mode 0600) in a directory of their own; san NULL = none. */
static inline void test_cert_make(struct test_cert *t, const char *san, long from_s, long to_s)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *crt = test_cert_sign(key, san, from_s, to_s);
	FILE *f;

	(void)snprintf(t->dir, sizeof(t->dir), "/tmp/bursar-net-test-XXXXXX");
	if (!mkdtemp(t->dir))
		abort();
	(void)snprintf(t->cert_path, sizeof(t->cert_path), "%s/cert.pem", t->dir);
	(void)snprintf(t->key_path, sizeof(t->key_path), "%s/key.pem", t->dir);
	f = fopen(t->cert_path, "w");
	if (!f || !PEM_write_X509(f, crt) || fclose(f) != 0)
		abort();
	f = fopen(t->key_path, "w");
	if (!f || fchmod(fileno(f), 0600) != 0 || !PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) ||
	    fclose(f) != 0)
		abort();
	X509_free(crt);
	EVP_PKEY_free(key);
}

static inline void test_cert_remove(struct test_cert *t)
{
	(void)unlink(t->cert_path);
	(void)unlink(t->key_path);
	(void)rmdir(t->dir);
}

#endif
