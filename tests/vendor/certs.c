#include "tests/vendor/certs.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/error.h"

#define DAY_S (24 * 3600L)
#define GOOD_NAMES                                                                                                     \
	"DNS:api.openai.com,DNS:api.anthropic.com,DNS:generativelanguage.googleapis.com,"                              \
	"DNS:bedrock-runtime.us-east-1.amazonaws.com,DNS:us-central1-aiplatform.googleapis.com,"                       \
	"DNS:contoso.openai.azure.com,DNS:api.cohere.com,DNS:api.mistral.ai,DNS:api.groq.com,DNS:api.together.xyz,"    \
	"DNS:openrouter.ai,DNS:api.x.ai,DNS:api.perplexity.ai,DNS:api.deepseek.com,DNS:api.fireworks.ai,"              \
	"DNS:localhost,DNS:vendor.test,IP:127.0.0.1,IP:127.0.0.2,IP:::1"

static bool add_extension(X509 *crt, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	int ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, crt, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	if (!ext)
		return false;
	ok = X509_add_ext(crt, ext, -1);
	X509_EXTENSION_free(ext);
	return ok == 1;
}

static bool set_serial(X509 *crt)
{
	uint64_t serial;

	if (RAND_bytes((unsigned char *)&serial, sizeof(serial)) != 1)
		return false;
	return ASN1_INTEGER_set_uint64(X509_get_serialNumber(crt), serial >> 1) == 1;
}

/* `issuer` NULL: self-signed. */
static X509 *make_cert(const char *name, EVP_PKEY *key, X509 *issuer, long from_s, long to_s)
{
	X509 *crt = X509_new();
	X509_NAME *subject;

	if (!crt)
		return NULL;
	subject = X509_get_subject_name(crt);
	if (X509_set_version(crt, X509_VERSION_3) != 1 || !set_serial(crt) ||
	    !X509_gmtime_adj(X509_getm_notBefore(crt), from_s) || !X509_gmtime_adj(X509_getm_notAfter(crt), to_s) ||
	    X509_set_pubkey(crt, key) != 1 ||
	    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0) != 1 ||
	    X509_set_issuer_name(crt, issuer ? X509_get_subject_name(issuer) : subject) != 1)
		goto fail;
	return crt;
fail:
	X509_free(crt);
	return NULL;
}

static X509 *make_ca(EVP_PKEY *key)
{
	X509 *crt = make_cert("Test vendor CA", key, NULL, -DAY_S, 30 * DAY_S);

	if (!crt)
		return NULL;
	if (!add_extension(crt, crt, NID_basic_constraints, "critical,CA:TRUE") ||
	    !add_extension(crt, crt, NID_key_usage, "critical,keyCertSign,cRLSign") ||
	    !add_extension(crt, crt, NID_subject_key_identifier, "hash") || X509_sign(crt, key, EVP_sha256()) == 0) {
		X509_free(crt);
		return NULL;
	}
	return crt;
}

static X509 *make_leaf(enum leaf_kind kind, EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key)
{
	bool alone = kind == LEAF_SELF_SIGNED;
	long to_s = kind == LEAF_EXPIRED ? -DAY_S : 7 * DAY_S;
	const char *names = kind == LEAF_WRONG_HOST ? "DNS:other.test" : GOOD_NAMES;
	X509 *crt = make_cert("vendor.test", key, alone ? NULL : ca, -2 * DAY_S, to_s);
	X509 *issuer = alone ? crt : ca;

	if (!crt)
		return NULL;
	if (!add_extension(crt, issuer, NID_basic_constraints, "critical,CA:FALSE") ||
	    !add_extension(crt, issuer, NID_key_usage, "critical,digitalSignature") ||
	    !add_extension(crt, issuer, NID_ext_key_usage, "serverAuth") ||
	    !add_extension(crt, issuer, NID_subject_alt_name, names) ||
	    !add_extension(crt, issuer, NID_subject_key_identifier, "hash") ||
	    (!alone && !add_extension(crt, issuer, NID_authority_key_identifier, "keyid")) ||
	    X509_sign(crt, alone ? key : ca_key, EVP_sha256()) == 0) {
		X509_free(crt);
		return NULL;
	}
	return crt;
}

static FILE *open_in(const char *dir, const char *name, mode_t mode)
{
	char path[4096];
	FILE *f;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return NULL;
	f = fopen(path, "w");
	if (f)
		(void)chmod(path, mode);
	return f;
}

static int write_certs(const char *dir, const char *name, X509 *first, X509 *second)
{
	FILE *f = open_in(dir, name, 0644);
	bool ok;

	if (!f)
		return BUR_IO;
	ok = PEM_write_X509(f, first) == 1 && (!second || PEM_write_X509(f, second) == 1);
	return fclose(f) == 0 && ok ? BUR_OK : BUR_IO;
}

static int write_key(const char *dir, const char *name, EVP_PKEY *key)
{
	FILE *f = open_in(dir, name, 0600);
	bool ok;

	if (!f)
		return BUR_IO;
	ok = PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1;
	return fclose(f) == 0 && ok ? BUR_OK : BUR_IO;
}

int certs_write(const char *dir, enum leaf_kind kind)
{
	EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
	X509 *ca = NULL, *leaf = NULL;
	int r = BUR_CRYPTO;

	if (!ca_key || !key)
		goto out;
	ca = make_ca(ca_key);
	if (!ca)
		goto out;
	leaf = make_leaf(kind, key, ca, ca_key);
	if (!leaf)
		goto out;
	r = write_certs(dir, "ca.pem", ca, NULL);
	if (r == BUR_OK)
		r = write_certs(dir, "leaf.pem", leaf, kind == LEAF_SELF_SIGNED ? NULL : ca);
	if (r == BUR_OK)
		r = write_key(dir, "leaf.key", key);
out:
	X509_free(leaf);
	X509_free(ca);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
	return r;
}
