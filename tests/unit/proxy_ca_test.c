/* The installation's certificate authority: what it makes verifies, what it must not make it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "proxy/ca.h"
#include "proxy/ca_x509.h"

#define DAY_S INT64_C(86400)

static const char *const hosts[] = {"api.openai.com", "*.openai.azure.com", "127.0.0.2"};

struct fixture {
	char dir[64];
	struct ca *ca;
	int64_t now_s;
};

static char err[256];

static void load(struct fixture *f, size_t cache_max)
{
	ca_free(f->ca);
	f->ca = NULL;
	assert_int_equal(ca_load(f->dir, cache_max, &f->ca, err, sizeof(err)), BUR_OK);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/bursar-ca-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->now_s = clock_wall_ns() / NS_PER_S;
	assert_int_equal(ca_create(f->dir, hosts, ARRAY_LEN(hosts), false, err, sizeof(err)), BUR_OK);
	load(f, 8);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {"root.pem",         "ca.pem",           "bundle.pem",
					    "intermediate.pem", "intermediate.key", "hosts"};
	struct fixture *f = *state;
	char path[PATH_MAX];

	ca_free(f->ca);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", f->dir, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(f->dir);
	free(f);
	return 0;
}

static char *path_of(const struct fixture *f, const char *name)
{
	static char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	return path;
}

static X509 *read_cert(const struct fixture *f, const char *name)
{
	FILE *in = fopen(path_of(f, name), "re");
	X509 *crt;

	assert_non_null(in);
	crt = PEM_read_X509(in, NULL, NULL, NULL);
	(void)fclose(in);
	assert_non_null(crt);
	return crt;
}

/* The leaf that a connection to this host gets; the chain beside it. */
static int leaf_for(struct fixture *f, const char *host, int64_t now_s, X509 **ret_leaf, X509 **ret_intermediate)
{
	SSL *ssl = SSL_new(ca_server_ctx(f->ca));
	STACK_OF(X509) *chain = NULL;
	int r;

	assert_non_null(ssl);
	r = ca_use_leaf(f->ca, ssl, host, now_s);
	if (r == BUR_OK) {
		*ret_leaf = SSL_get_certificate(ssl);
		assert_int_equal(X509_up_ref(*ret_leaf), 1);
		assert_int_equal(SSL_get0_chain_certs(ssl, &chain), 1);
		assert_int_equal(sk_X509_num(chain), 1); /* no root: clients have it */
		if (ret_intermediate) {
			*ret_intermediate = sk_X509_value(chain, 0);
			assert_int_equal(X509_up_ref(*ret_intermediate), 1);
		}
	}
	SSL_free(ssl);
	return r;
}

/* What a client does that trusts the root only. X509_V_OK or OpenSSL's code. */
static int verify(const struct fixture *f, X509 *leaf, X509 *intermediate, const char *host, int64_t at_s)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	STACK_OF(X509) *chain = sk_X509_new_null();
	X509 *root = read_cert(f, "ca.pem");
	X509_VERIFY_PARAM *param;
	unsigned char ip[16];
	int result;

	assert_int_equal(X509_STORE_add_cert(store, root), 1);
	assert_true(sk_X509_push(chain, intermediate) > 0);
	assert_int_equal(X509_STORE_CTX_init(ctx, store, leaf, chain), 1);
	param = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_time(param, (time_t)at_s);
	X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
	if (inet_pton(AF_INET, host, ip) == 1)
		assert_int_equal(X509_VERIFY_PARAM_set1_ip_asc(param, host), 1);
	else
		assert_int_equal(X509_VERIFY_PARAM_set1_host(param, host, 0), 1);
	result = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	sk_X509_free(chain);
	X509_free(root);
	return result;
}

static int verify_host(struct fixture *f, const char *asked, const char *expected)
{
	X509 *leaf = NULL, *intermediate = NULL;
	int result;

	assert_int_equal(leaf_for(f, asked, f->now_s, &leaf, &intermediate), BUR_OK);
	result = verify(f, leaf, intermediate, expected, f->now_s);
	X509_free(leaf);
	X509_free(intermediate);
	return result;
}

static void verifies_against_the_root(void **state)
{
	assert_int_equal(verify_host(*state, "api.openai.com", "api.openai.com"), X509_V_OK);
	assert_int_equal(verify_host(*state, "eu.openai.azure.com", "eu.openai.azure.com"), X509_V_OK);
	assert_int_equal(verify_host(*state, "127.0.0.2", "127.0.0.2"), X509_V_OK);
}

static void wrong_name_is_refused_by_clients(void **state)
{
	assert_int_equal(verify_host(*state, "api.openai.com", "api.anthropic.com"), X509_V_ERR_HOSTNAME_MISMATCH);
	assert_int_equal(verify_host(*state, "127.0.0.2", "127.0.0.3"), X509_V_ERR_IP_ADDRESS_MISMATCH);
}

static void signer_refuses_other_names(void **state)
{
	static const char *const bad[] = {"api.anthropic.com",  "openai.com",
					  "xapi.openai.com",    "api.openai.com.evil.com",
					  "openai.azure.com",   "evilopenai.azure.com",
					  "127.0.0.1",          "*",
					  "*.openai.azure.com", "",
					  "sub.api.openai.com"};
	struct fixture *f = *state;
	X509 *leaf = NULL;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (leaf_for(f, bad[i], f->now_s, &leaf, NULL) != BUR_DENIED)
			fail_msg("signed for `%s`", bad[i]);
}

/* A thief of the intermediate key signs what he likes; clients must not believe it. */
static void constraints_hold_outside_of_our_signer(void **state)
{
	struct fixture *f = *state;
	X509 *intermediate = read_cert(f, "intermediate.pem"), *leaf = NULL;
	EVP_PKEY *leaf_key = NULL, *key;
	FILE *in = fopen(path_of(f, "intermediate.key"), "re");

	assert_non_null(in);
	key = PEM_read_PrivateKey(in, NULL, NULL, NULL);
	(void)fclose(in);
	assert_non_null(key);
	assert_int_equal(ca_x509_key(&leaf_key), BUR_OK);
	assert_int_equal(ca_x509_leaf(intermediate, key, leaf_key, "www.bank.example", f->now_s, &leaf), BUR_OK);
	assert_int_equal(verify(f, leaf, intermediate, "www.bank.example", f->now_s), X509_V_ERR_PERMITTED_VIOLATION);
	assert_false(ca_x509_permits(intermediate, "www.bank.example"));
	assert_true(ca_x509_permits(intermediate, "api.openai.com"));
	X509_free(leaf);
	X509_free(intermediate);
	EVP_PKEY_free(key);
	EVP_PKEY_free(leaf_key);
}

static void extensions_are_right(void **state)
{
	struct fixture *f = *state;
	X509 *root = read_cert(f, "root.pem"), *intermediate = read_cert(f, "intermediate.pem"), *leaf = NULL;
	NAME_CONSTRAINTS *nc;
	int critical = 0;

	assert_int_equal(X509_get_pathlen(root), 1);
	assert_int_equal(X509_get_pathlen(intermediate), 0);
	nc = X509_get_ext_d2i(intermediate, NID_name_constraints, &critical, NULL);
	assert_non_null(nc);
	assert_int_equal(critical, 1);
	assert_null(nc->excludedSubtrees);
	assert_int_equal(sk_GENERAL_SUBTREE_num(nc->permittedSubtrees), 2); /* the address is not of DNS kind */
	for (int i = 0; i < 2; i++)
		assert_int_equal(sk_GENERAL_SUBTREE_value(nc->permittedSubtrees, i)->base->type, GEN_DNS);
	NAME_CONSTRAINTS_free(nc);
	assert_int_equal(leaf_for(f, "api.openai.com", f->now_s, &leaf, NULL), BUR_OK);
	assert_int_equal(X509_get_extension_flags(leaf) & EXFLAG_CA, 0);
	assert_int_equal(X509_get_extended_key_usage(leaf), XKU_SSL_SERVER);
	assert_int_equal(X509_get_key_usage(leaf), KU_DIGITAL_SIGNATURE);
	assert_non_null(X509_get0_authority_key_id(leaf));
	assert_non_null(X509_get0_subject_key_id(leaf));
	assert_int_equal(ASN1_STRING_length(X509_get0_serialNumber(leaf)), 16);
	assert_int_equal(X509_cmp_time(X509_get0_notBefore(leaf), &(time_t){f->now_s - 2 * DAY_S + 60}), -1);
	assert_int_equal(X509_cmp_time(X509_get0_notAfter(leaf), &(time_t){f->now_s + 7 * DAY_S + 60}), -1);
	assert_int_equal(X509_cmp_time(X509_get0_notAfter(leaf), &(time_t){f->now_s + 7 * DAY_S - 60}), 1);
	X509_free(leaf);
	X509_free(root);
	X509_free(intermediate);
}

/* A name over 64 bytes has no common name, and must work all the same. */
static void long_names_work(void **state)
{
	char host[160];

	(void)snprintf(host, sizeof(host), "%060d.%060d.openai.azure.com", 1, 2);
	assert_int_equal(verify_host(*state, host, host), X509_V_OK);
}

static void leaf_does_not_outlive_its_issuer(void **state)
{
	struct fixture *f = *state;
	X509 *leaf = NULL, *intermediate = NULL;
	int64_t late_s = f->now_s + 5 * 365 * DAY_S - DAY_S;

	assert_int_equal(leaf_for(f, "api.openai.com", late_s, &leaf, &intermediate), BUR_OK);
	assert_int_equal(ASN1_TIME_compare(X509_get0_notAfter(leaf), X509_get0_notAfter(intermediate)), 0);
	X509_free(leaf);
	X509_free(intermediate);
}

static X509 *peek(struct fixture *f, const char *host, int64_t now_s)
{
	X509 *leaf = NULL;

	assert_int_equal(leaf_for(f, host, now_s, &leaf, NULL), BUR_OK);
	X509_free(leaf); /* the address alone is compared; the cache holds it */
	return leaf;
}

static void cache_keeps_and_renews(void **state)
{
	struct fixture *f = *state;
	int64_t t = f->now_s, renew_s = 7 * DAY_S * 8 / 10;
	X509 *first = peek(f, "api.openai.com", t), *kept = peek(f, "api.openai.com", t + renew_s - 1);
	uint64_t cached, minted;

	assert_ptr_equal(first, kept);
	ca_counts(f->ca, &cached, &minted);
	assert_int_equal(minted, 1);
	(void)peek(f, "api.openai.com", t + renew_s);
	ca_counts(f->ca, &cached, &minted);
	assert_int_equal(minted, 2);
	assert_int_equal(cached, 1);
	(void)peek(f, "api.openai.com", t - 30 * DAY_S); /* the clock was set back */
	ca_counts(f->ca, &cached, &minted);
	assert_int_equal(minted, 3);
}

static void cache_is_bounded_and_drops_the_oldest(void **state)
{
	struct fixture *f = *state;
	char host[64];
	uint64_t cached, minted;

	load(f, 4);
	for (int i = 0; i < 20; i++) {
		(void)snprintf(host, sizeof(host), "h%d.openai.azure.com", i);
		(void)peek(f, host, f->now_s);
		(void)peek(f, "api.openai.com", f->now_s); /* used again and again: stays */
	}
	ca_counts(f->ca, &cached, &minted);
	assert_int_equal(cached, 4);
	assert_int_equal(minted, 21);
}

static void files_have_their_modes(void **state)
{
	static const struct {
		const char *name;
		mode_t mode;
	} files[] = {{"intermediate.key", 0600}, {"ca.pem", 0644}, {"root.pem", 0644}, {"bundle.pem", 0644}};
	struct fixture *f = *state;
	struct stat st;

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		assert_int_equal(stat(path_of(f, files[i].name), &st), 0);
		assert_int_equal(st.st_mode & 0777, files[i].mode);
	}
	assert_int_equal(access(path_of(f, "root.key"), F_OK), -1); /* destroyed: it never was there */
}

static void key_that_others_can_read_is_refused(void **state)
{
	struct fixture *f = *state;
	struct ca *ca = NULL;

	assert_int_equal(chmod(path_of(f, "intermediate.key"), 0640), 0);
	assert_int_equal(ca_load(f->dir, 8, &ca, err, sizeof(err)), BUR_DENIED);
	assert_non_null(strstr(err, "intermediate.key"));
}

static void foreign_key_is_refused(void **state)
{
	struct fixture *f = *state, other = {0};
	struct ca *ca = NULL;
	char from[PATH_MAX];

	(void)snprintf(other.dir, sizeof(other.dir), "%.50s-other", f->dir);
	assert_int_equal(ca_create(other.dir, hosts, 1, false, err, sizeof(err)), BUR_OK);
	(void)snprintf(from, sizeof(from), "%s", path_of(&other, "intermediate.key"));
	assert_int_equal(rename(from, path_of(f, "intermediate.key")), 0);
	assert_int_equal(ca_load(f->dir, 8, &ca, err, sizeof(err)), BUR_CORRUPT);
	(void)snprintf(from, sizeof(from), "rm -rf %s", other.dir);
	assert_int_equal(system(from), 0);
}

static void is_made_once_unless_forced(void **state)
{
	struct fixture *f = *state;
	static const char *const all[] = {"*"};
	struct buf text;

	assert_int_equal(ca_create(f->dir, hosts, 1, false, err, sizeof(err)), BUR_ALREADY);
	assert_int_equal(ca_create(f->dir, all, 1, true, err, sizeof(err)), BUR_OK);
	load(f, 8);
	assert_true(ca_covers(f->ca, "anything.example"));
	assert_int_equal(verify_host(f, "anything.example", "anything.example"), X509_V_OK);
	buf_init(&text, 65536);
	assert_int_equal(ca_describe(f->ca, &text), BUR_OK);
	assert_true(buf_len(&text) > 100);
	buf_done(&text);
}

static void missing_and_damaged(void **state)
{
	struct fixture *f = *state;
	struct ca *ca = NULL;

	assert_int_equal(ca_load("/nonexistent", 8, &ca, err, sizeof(err)), BUR_NOTFOUND);
	assert_int_equal(unlink(path_of(f, "hosts")), 0);
	assert_int_equal(ca_load(f->dir, 8, &ca, err, sizeof(err)), BUR_CORRUPT);
	assert_int_equal(truncate(path_of(f, "intermediate.pem"), 40), 0);
	assert_int_equal(ca_load(f->dir, 8, &ca, err, sizeof(err)), BUR_CRYPTO);
}

/* The bundle replaces the system's roots for programs that take one file, so it must have them. */
static void bundle_has_ours_and_the_systems(void **state)
{
	struct fixture *f = *state;
	FILE *in = fopen(path_of(f, "bundle.pem"), "re");
	X509 *first, *root = read_cert(f, "root.pem"), *next;
	int n = 0;

	assert_non_null(in);
	first = PEM_read_X509(in, NULL, NULL, NULL);
	assert_non_null(first);
	assert_int_equal(X509_cmp(first, root), 0);
	while ((next = PEM_read_X509(in, NULL, NULL, NULL)) != NULL) {
		X509_free(next);
		n++;
	}
	if (access("/etc/ssl/certs/ca-certificates.crt", R_OK) == 0)
		assert_true(n > 10);
	(void)fclose(in);
	X509_free(first);
	X509_free(root);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(verifies_against_the_root),
	    T(wrong_name_is_refused_by_clients),
	    T(signer_refuses_other_names),
	    T(constraints_hold_outside_of_our_signer),
	    T(extensions_are_right),
	    T(long_names_work),
	    T(leaf_does_not_outlive_its_issuer),
	    T(cache_keeps_and_renews),
	    T(cache_is_bounded_and_drops_the_oldest),
	    T(files_have_their_modes),
	    T(key_that_others_can_read_is_refused),
	    T(foreign_key_is_refused),
	    T(is_made_once_unless_forced),
	    T(missing_and_damaged),
	    T(bundle_has_ours_and_the_systems),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
