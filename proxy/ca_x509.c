#include "proxy/ca_x509.h"

#include <arpa/inet.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"

#define DAY_S INT64_C(86400)
#define BACKDATE_S (2 * DAY_S)
#define LEAF_S (7 * DAY_S)
#define INTERMEDIATE_S (5 * 365 * DAY_S)
#define ROOT_S (10 * 365 * DAY_S)
#define SERIAL_BYTES 16
#define CN_MAX 64 /* ub-common-name */

int ca_x509_key(EVP_PKEY **ret)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");

	if (!key)
		return BUR_CRYPTO;
	*ret = key;
	return BUR_OK;
}

/* 127 random bits, never zero, positive, 16 bytes long. */
static int set_serial(X509 *crt)
{
	unsigned char bytes[SERIAL_BYTES];
	BIGNUM *n = NULL;
	int r = BUR_CRYPTO;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return BUR_CRYPTO;
	bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40);
	n = BN_bin2bn(bytes, sizeof(bytes), NULL);
	if (n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(crt)))
		r = BUR_OK;
	BN_free(n);
	return r;
}

static int set_times(X509 *crt, int64_t from_s, int64_t to_s)
{
	return ASN1_TIME_set(X509_getm_notBefore(crt), (time_t)from_s) &&
		       ASN1_TIME_set(X509_getm_notAfter(crt), (time_t)to_s)
		   ? BUR_OK
		   : BUR_CRYPTO;
}

static int add_name(X509_NAME *name, const char *field, const char *text)
{
	return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)text, -1, -1, 0) == 1
		   ? BUR_OK
		   : BUR_CRYPTO;
}

/* The text is one of ours, never a peer's: hosts go through set_san. */
static int add_ext(X509 *crt, X509 *issuer, int nid, const char *text)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	int ok;

	X509V3_set_ctx(&ctx, issuer, crt, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, text);
	if (!ext)
		return BUR_CRYPTO;
	ok = X509_add_ext(crt, ext, -1);
	X509_EXTENSION_free(ext);
	return ok == 1 ? BUR_OK : BUR_CRYPTO;
}

struct ext_text {
	int nid;
	const char *text;
};

static int add_exts(X509 *crt, X509 *issuer, const struct ext_text *list, size_t n)
{
	int r = BUR_OK;

	for (size_t i = 0; i < n && r == BUR_OK; i++)
		r = add_ext(crt, issuer, list[i].nid, list[i].text);
	return r;
}

/* Version, serial, times, key: what every certificate has. */
static int begin(EVP_PKEY *key, int64_t from_s, int64_t to_s, X509 **ret)
{
	X509 *crt = X509_new();
	int r = BUR_NOMEM;

	if (!crt)
		return r;
	r = X509_set_version(crt, X509_VERSION_3) == 1 && X509_set_pubkey(crt, key) == 1 ? BUR_OK : BUR_CRYPTO;
	if (r == BUR_OK)
		r = set_serial(crt);
	if (r == BUR_OK)
		r = set_times(crt, from_s, to_s);
	if (r < 0) {
		X509_free(crt);
		return r;
	}
	*ret = crt;
	return BUR_OK;
}

static int finish(X509 *crt, EVP_PKEY *signer, int r, X509 **ret)
{
	if (r == BUR_OK && X509_sign(crt, signer, EVP_sha256()) == 0)
		r = BUR_CRYPTO;
	if (r < 0) {
		X509_free(crt);
		return r;
	}
	*ret = crt;
	return BUR_OK;
}

/* Two installations must not have the same name, or clients that trust both mix them up. */
static int set_ca_subject(X509 *crt, const char *what)
{
	unsigned char id[4];
	char hex[2 * sizeof(id) + 1], cn[CN_MAX];
	int r;

	if (RAND_bytes(id, sizeof(id)) != 1)
		return BUR_CRYPTO;
	hex_encode(id, sizeof(id), hex);
	(void)snprintf(cn, sizeof(cn), "bursar %s %s", what, hex);
	r = add_name(X509_get_subject_name(crt), "O", "bursar");
	return r == BUR_OK ? add_name(X509_get_subject_name(crt), "CN", cn) : r;
}

int ca_x509_root(EVP_PKEY *key, int64_t now_s, X509 **ret)
{
	static const struct ext_text exts[] = {
	    {NID_basic_constraints, "critical,CA:TRUE,pathlen:1"},
	    {NID_key_usage, "critical,keyCertSign,cRLSign"},
	    {NID_subject_key_identifier, "hash"},
	};
	X509 *crt = NULL;
	int r = begin(key, now_s - BACKDATE_S, now_s + ROOT_S, &crt);

	if (r < 0)
		return r;
	r = set_ca_subject(crt, "root");
	if (r == BUR_OK && X509_set_issuer_name(crt, X509_get_subject_name(crt)) != 1)
		r = BUR_CRYPTO;
	if (r == BUR_OK)
		r = add_exts(crt, crt, exts, ARRAY_LEN(exts));
	return finish(crt, key, r, ret);
}

/* --- name constraints --------------------------------------------------------------------------------------------- */

static bool is_ip(const char *host)
{
	unsigned char ip[16];

	return inet_pton(AF_INET, host, ip) == 1 || inet_pton(AF_INET6, host, ip) == 1;
}

/* "*.x" as "x", which RFC 5280 reads as x and all below it. */
static int add_permitted(NAME_CONSTRAINTS *nc, const char *pattern)
{
	const char *dns = strncmp(pattern, "*.", 2) == 0 ? pattern + 2 : pattern;
	GENERAL_SUBTREE *tree = GENERAL_SUBTREE_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();

	if (!tree || !text || ASN1_STRING_set(text, dns, -1) != 1)
		goto fail;
	GENERAL_NAME_set0_value(tree->base, GEN_DNS, text);
	text = NULL;
	if (sk_GENERAL_SUBTREE_push(nc->permittedSubtrees, tree) <= 0)
		goto fail;
	return BUR_OK;
fail:
	ASN1_IA5STRING_free(text);
	GENERAL_SUBTREE_free(tree);
	return BUR_NOMEM;
}

/* Only DNS kind: verifiers that do not know another kind must refuse the whole certificate when it is critical. */
static int add_constraints(X509 *crt, const char *const *hosts, size_t n_hosts)
{
	NAME_CONSTRAINTS *nc;
	int r = BUR_OK;

	for (size_t i = 0; i < n_hosts; i++)
		if (strcmp(hosts[i], "*") == 0)
			return BUR_OK;
	nc = NAME_CONSTRAINTS_new();
	if (!nc)
		return BUR_NOMEM;
	nc->permittedSubtrees = sk_GENERAL_SUBTREE_new_null();
	if (!nc->permittedSubtrees)
		r = BUR_NOMEM;
	for (size_t i = 0; i < n_hosts && r == BUR_OK; i++)
		if (!is_ip(hosts[i]))
			r = add_permitted(nc, hosts[i]);
	/* nothing but addresses, or nothing at all: a name that cannot exist, so that no DNS name is permitted */
	if (r == BUR_OK && sk_GENERAL_SUBTREE_num(nc->permittedSubtrees) == 0)
		r = add_permitted(nc, "bursar.invalid");
	if (r == BUR_OK && X509_add1_ext_i2d(crt, NID_name_constraints, nc, 1, 0) != 1)
		r = BUR_CRYPTO;
	NAME_CONSTRAINTS_free(nc);
	return r;
}

int ca_x509_intermediate(X509 *root, EVP_PKEY *root_key, EVP_PKEY *key, const char *const *hosts, size_t n_hosts,
			 int64_t now_s, X509 **ret)
{
	static const struct ext_text exts[] = {
	    {NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
	    {NID_key_usage, "critical,keyCertSign,cRLSign"},
	    {NID_ext_key_usage, "serverAuth"},
	    {NID_subject_key_identifier, "hash"},
	    {NID_authority_key_identifier, "keyid:always"},
	};
	X509 *crt = NULL;
	int r = begin(key, now_s - BACKDATE_S, now_s + INTERMEDIATE_S, &crt);

	if (r < 0)
		return r;
	r = set_ca_subject(crt, "intermediate");
	if (r == BUR_OK && X509_set_issuer_name(crt, X509_get_subject_name(root)) != 1)
		r = BUR_CRYPTO;
	if (r == BUR_OK)
		r = add_exts(crt, root, exts, ARRAY_LEN(exts));
	if (r == BUR_OK)
		r = add_constraints(crt, hosts, n_hosts);
	return finish(crt, root_key, r, ret);
}

static bool name_below(struct slice host, struct slice dns)
{
	if (slice_ieq(host, dns))
		return true;
	return host.n > dns.n + 1 && slice_iends(host, dns) && host.p[host.n - dns.n - 1] == '.';
}

int ca_x509_permits(X509 *intermediate, const char *host)
{
	NAME_CONSTRAINTS *nc = X509_get_ext_d2i(intermediate, NID_name_constraints, NULL, NULL);
	int found = 0;

	if (!nc || is_ip(host)) {
		NAME_CONSTRAINTS_free(nc);
		return 1;
	}
	for (int i = 0; i < sk_GENERAL_SUBTREE_num(nc->permittedSubtrees) && !found; i++) {
		const GENERAL_NAME *base = sk_GENERAL_SUBTREE_value(nc->permittedSubtrees, i)->base;
		const ASN1_STRING *text = base->type == GEN_DNS ? base->d.dNSName : NULL;

		if (text)
			found = name_below(slice_of(host),
					   slice_mem(ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text)));
	}
	NAME_CONSTRAINTS_free(nc);
	return found;
}

/* --- leaves ------------------------------------------------------------------------------------------------------- */

static GENERAL_NAME *general_name(const char *host)
{
	GENERAL_NAME *gen = GENERAL_NAME_new();
	ASN1_STRING *value = NULL;

	if (!gen)
		return NULL;
	if (is_ip(host)) {
		value = a2i_IPADDRESS(host);
		if (value)
			GENERAL_NAME_set0_value(gen, GEN_IPADD, value);
	} else {
		value = ASN1_IA5STRING_new();
		if (value && ASN1_STRING_set(value, host, -1) == 1) {
			GENERAL_NAME_set0_value(gen, GEN_DNS, value);
		} else {
			ASN1_STRING_free(value);
			value = NULL;
		}
	}
	if (!value) {
		GENERAL_NAME_free(gen);
		return NULL;
	}
	return gen;
}

/* Built as a structure, not as configuration text: the host is a client's word. */
static int set_san(X509 *crt, const char *host, bool critical)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	GENERAL_NAME *gen = general_name(host);
	int r = BUR_NOMEM;

	if (!names || !gen || sk_GENERAL_NAME_push(names, gen) <= 0)
		goto out;
	gen = NULL;
	r = X509_add1_ext_i2d(crt, NID_subject_alt_name, names, critical, 0) == 1 ? BUR_OK : BUR_CRYPTO;
out:
	GENERAL_NAME_free(gen);
	sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
	return r;
}

static int leaf_end(X509 *issuer, int64_t now_s, int64_t *ret_s)
{
	struct tm tm;
	int64_t end;

	if (ASN1_TIME_to_tm(X509_get0_notAfter(issuer), &tm) != 1)
		return BUR_CRYPTO;
	end = (int64_t)timegm(&tm);
	*ret_s = now_s + LEAF_S < end ? now_s + LEAF_S : end;
	return BUR_OK;
}

int ca_x509_leaf(X509 *issuer, EVP_PKEY *issuer_key, EVP_PKEY *key, const char *host, int64_t now_s, X509 **ret)
{
	static const struct ext_text exts[] = {
	    {NID_basic_constraints, "critical,CA:FALSE"},
	    {NID_key_usage, "critical,digitalSignature"},
	    {NID_ext_key_usage, "serverAuth"},
	    {NID_subject_key_identifier, "hash"},
	    {NID_authority_key_identifier, "keyid:always"},
	};
	/* a name over 64 bytes, or an address, has no common name; an empty subject makes the SAN critical */
	bool has_cn = strlen(host) <= CN_MAX && !is_ip(host);
	X509 *crt = NULL;
	int64_t end_s;
	int r = leaf_end(issuer, now_s, &end_s);

	if (r == BUR_OK)
		r = begin(key, now_s - BACKDATE_S, end_s, &crt);
	if (r < 0)
		return r;
	if (has_cn)
		r = add_name(X509_get_subject_name(crt), "CN", host);
	if (r == BUR_OK && X509_set_issuer_name(crt, X509_get_subject_name(issuer)) != 1)
		r = BUR_CRYPTO;
	if (r == BUR_OK)
		r = add_exts(crt, issuer, exts, ARRAY_LEN(exts));
	if (r == BUR_OK)
		r = set_san(crt, host, !has_cn);
	return finish(crt, issuer_key, r, ret);
}
