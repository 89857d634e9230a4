#include "proxy/ca.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/map.h"
#include "net/addr.h"
#include "net/tls.h"
#include "proxy/ca_x509.h"

#define CA_MAGIC 0x63615f31u
#define FILE_MAX_BYTES (4 * 1024 * 1024)
#define HOSTS_MAX 4096
#define DAY_S INT64_C(86400)
#define LEAF_RENEW_S (7 * DAY_S * 8 / 10)

struct leaf {
	TAILQ_ENTRY(leaf) entry; /* newest use first */
	X509 *crt;
	int64_t made_s;
	char host[HOST_MAX + 1];
};

struct ca {
	unsigned magic;
	X509 *root, *intermediate;
	EVP_PKEY *key;      /* the intermediate's */
	EVP_PKEY *leaf_key; /* of every leaf; lives and dies with the process */
	SSL_CTX *ctx;
	char *pem;
	size_t pem_n;
	char *hosts_text; /* owns what hosts point into */
	struct slice *hosts;
	size_t n_hosts;
	pthread_mutex_t lock; /* guards the cache only; taken last, nothing is called under it but OpenSSL */
	struct map *by_host;
	TAILQ_HEAD(leaf_list, leaf) leaves;
	size_t cache_max, cached;
	uint64_t minted;
};

static int fail(char *reterr, size_t size, int r, const char *what)
{
	char text[200] = "";
	const char *why = bur_strerror(r);

	if (r == BUR_IO && errno != 0)
		why = strerror_r(errno, text, sizeof(text));
	if (r == BUR_CRYPTO) {
		tls_error_text(text, sizeof(text));
		why = text;
	}
	(void)snprintf(reterr, size, "%s: %s", what, why);
	return r;
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static int file_path(char dst[PATH_MAX], const char *dir, const char *name)
{
	int n = snprintf(dst, PATH_MAX, "%s/%s", dir, name);

	return n > 0 && n < PATH_MAX ? BUR_OK : BUR_TOOBIG;
}

/* Whole or not at all; the key file is never readable by others, not even for a moment. */
static int write_file(const char *dir, const char *name, const char *p, size_t n, mode_t mode)
{
	char path[PATH_MAX], tmp[PATH_MAX];
	int fd, r = file_path(path, dir, name);

	if (r == BUR_OK && snprintf(tmp, sizeof(tmp), "%.*s.new", PATH_MAX - 8, path) < 0)
		r = BUR_TOOBIG;
	if (r < 0)
		return r;
	(void)unlink(tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return BUR_IO;
	for (size_t done = 0; done < n && r == BUR_OK;) {
		ssize_t w = write(fd, p + done, n - done);

		if (w > 0)
			done += (size_t)w;
		else if (errno != EINTR)
			r = BUR_IO;
	}
	if (r == BUR_OK && (fchmod(fd, mode) < 0 || fsync(fd) < 0))
		r = BUR_IO;
	(void)close(fd);
	if (r == BUR_OK && rename(tmp, path) < 0)
		r = BUR_IO;
	if (r < 0)
		(void)unlink(tmp);
	return r;
}

static int write_bio(const char *dir, const char *name, BIO *bio, mode_t mode)
{
	char *p = NULL;
	long n = BIO_get_mem_data(bio, &p);

	return n > 0 ? write_file(dir, name, p, (size_t)n, mode) : BUR_NOMEM;
}

static int read_path(const char *path, char **ret, size_t *ret_n)
{
	FILE *f = fopen(path, "re");
	char *p = NULL;
	long size;
	int r = BUR_IO;

	if (!f)
		return errno == ENOENT || errno == ENOTDIR ? BUR_NOTFOUND : BUR_IO;
	if (fseek(f, 0, SEEK_END) < 0 || (size = ftell(f)) < 0 || fseek(f, 0, SEEK_SET) < 0)
		goto out;
	if (size > FILE_MAX_BYTES) {
		r = BUR_TOOBIG;
		goto out;
	}
	p = malloc((size_t)size + 1);
	if (!p) {
		r = BUR_NOMEM;
		goto out;
	}
	if (fread(p, 1, (size_t)size, f) != (size_t)size)
		goto out;
	p[size] = '\0';
	*ret = p;
	*ret_n = (size_t)size;
	p = NULL;
	r = BUR_OK;
out:
	free(p);
	(void)fclose(f);
	return r;
}

static int read_file(const char *dir, const char *name, char **ret, size_t *ret_n)
{
	char path[PATH_MAX];
	int r = file_path(path, dir, name);

	return r < 0 ? r : read_path(path, ret, ret_n);
}

/* --- making an authority ------------------------------------------------------------------------------------------ */

static int write_cert(const char *dir, const char *name, X509 *crt)
{
	BIO *bio = BIO_new(BIO_s_mem());
	int r = BUR_CRYPTO;

	if (bio && PEM_write_bio_X509(bio, crt) == 1)
		r = write_bio(dir, name, bio, 0644);
	BIO_free(bio);
	return r;
}

static int write_key(const char *dir, const char *name, EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_secmem()); /* wiped when freed, unlike plain memory */
	int r = BUR_CRYPTO;

	if (bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1)
		r = write_bio(dir, name, bio, 0600);
	BIO_free(bio);
	return r;
}

static int read_system_roots(char **ret, size_t *ret_n)
{
	const char *const places[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
				      "/etc/ssl/cert.pem", X509_get_default_cert_file()};

	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (read_path(places[i], ret, ret_n) == BUR_OK)
			return BUR_OK;
	return BUR_NOTFOUND;
}

/* For programs that take one file instead of the system's roots. Without system roots it is ours alone. */
static int write_bundle(const char *dir, X509 *root)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *roots = NULL;
	size_t n = 0;
	int r = BUR_CRYPTO;

	if (!bio || PEM_write_bio_X509(bio, root) != 1)
		goto out;
	r = read_system_roots(&roots, &n);
	if (r == BUR_OK && BIO_write(bio, roots, (int)n) != (int)n)
		r = BUR_NOMEM;
	if (r == BUR_OK || r == BUR_NOTFOUND)
		r = write_bio(dir, "bundle.pem", bio, 0644);
out:
	free(roots);
	BIO_free(bio);
	return r;
}

static int write_hosts(const char *dir, const char *const *hosts, size_t n_hosts)
{
	struct buf b;
	int r = BUR_OK;

	buf_init(&b, FILE_MAX_BYTES);
	for (size_t i = 0; i < n_hosts && r == BUR_OK; i++)
		r = buf_printf(&b, "%s\n", hosts[i]);
	if (r == BUR_OK)
		r = write_file(dir, "hosts", buf_slice(&b).p, buf_len(&b), 0644);
	buf_done(&b);
	return r;
}

static int write_all(const char *dir, X509 *root, X509 *intermediate, EVP_PKEY *key, const char *const *hosts,
		     size_t n_hosts)
{
	int r = write_cert(dir, "root.pem", root);

	if (r == BUR_OK)
		r = write_cert(dir, "ca.pem", root);
	if (r == BUR_OK)
		r = write_bundle(dir, root);
	if (r == BUR_OK)
		r = write_hosts(dir, hosts, n_hosts);
	if (r == BUR_OK)
		r = write_key(dir, "intermediate.key", key);
	if (r == BUR_OK) /* last: a folder without it is not an authority yet, and is made anew */
		r = write_cert(dir, "intermediate.pem", intermediate);
	return r;
}

static bool exists(const char *dir)
{
	char path[PATH_MAX];

	return file_path(path, dir, "intermediate.pem") == BUR_OK && access(path, F_OK) == 0;
}

/* The old intermediate goes first, so that a crash in between leaves no mixture that loads. */
static int prepare_dir(const char *dir)
{
	char path[PATH_MAX];

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return BUR_IO;
	if (file_path(path, dir, "intermediate.pem") < 0)
		return BUR_TOOBIG;
	return unlink(path) < 0 && errno != ENOENT ? BUR_IO : BUR_OK;
}

int ca_create(const char *dir, const char *const *hosts, size_t n_hosts, bool force, char *reterr, size_t reterr_size)
{
	EVP_PKEY *root_key = NULL, *key = NULL;
	X509 *root = NULL, *intermediate = NULL;
	int64_t now_s = clock_wall_ns() / NS_PER_S;
	int r;

	if (n_hosts > HOSTS_MAX)
		return fail(reterr, reterr_size, BUR_TOOBIG, "hosts");
	if (exists(dir) && !force)
		return fail(reterr, reterr_size, BUR_ALREADY, dir);
	r = ca_x509_key(&root_key);
	if (r == BUR_OK)
		r = ca_x509_key(&key);
	if (r == BUR_OK)
		r = ca_x509_root(root_key, now_s, &root);
	if (r == BUR_OK)
		r = ca_x509_intermediate(root, root_key, key, hosts, n_hosts, now_s, &intermediate);
	EVP_PKEY_free(root_key); /* its memory is cleansed; it was never on disk */
	if (r == BUR_OK)
		r = prepare_dir(dir);
	if (r == BUR_OK)
		r = write_all(dir, root, intermediate, key, hosts, n_hosts);
	if (r < 0)
		(void)fail(reterr, reterr_size, r, dir);
	EVP_PKEY_free(key);
	X509_free(root);
	X509_free(intermediate);
	return r;
}

/* --- loading ------------------------------------------------------------------------------------------------------ */

static int load_cert(const char *dir, const char *name, X509 **ret)
{
	char *text = NULL;
	size_t n = 0;
	BIO *bio;
	int r = read_file(dir, name, &text, &n);

	if (r < 0)
		return r;
	bio = BIO_new_mem_buf(text, (int)n);
	*ret = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	BIO_free(bio);
	free(text);
	return *ret ? BUR_OK : BUR_CRYPTO;
}

static int load_key(const char *dir, EVP_PKEY **ret)
{
	char path[PATH_MAX], *text = NULL;
	size_t n = 0;
	BIO *bio;
	int r = file_path(path, dir, "intermediate.key");

	if (r == BUR_OK)
		r = tls_check_private_file(path);
	if (r == BUR_OK)
		r = read_path(path, &text, &n);
	if (r < 0)
		return r;
	bio = BIO_new_mem_buf(text, (int)n);
	*ret = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
	BIO_free(bio);
	bytes_wipe(text, n);
	free(text);
	return *ret ? BUR_OK : BUR_CRYPTO;
}

static int load_hosts(struct ca *ca, const char *dir)
{
	struct slice rest, line;
	size_t n = 0;
	int r = read_file(dir, "hosts", &ca->hosts_text, &n);

	if (r < 0)
		return r;
	ca->hosts = calloc(HOSTS_MAX, sizeof(*ca->hosts));
	if (!ca->hosts)
		return BUR_NOMEM;
	rest = slice_mem(ca->hosts_text, n);
	while (rest.n > 0 && ca->n_hosts < HOSTS_MAX) {
		(void)slice_cut(rest, '\n', &line, &rest);
		line = slice_trim(line);
		if (line.n > 0)
			ca->hosts[ca->n_hosts++] = line;
	}
	return BUR_OK;
}

static int check_pair(const struct ca *ca)
{
	if (X509_check_private_key(ca->intermediate, ca->key) != 1)
		return BUR_CORRUPT;
	if (X509_verify(ca->intermediate, X509_get0_pubkey(ca->root)) != 1)
		return BUR_CORRUPT;
	return BUR_OK;
}

static int load_parts(struct ca *ca, const char *dir, const char **ret_what)
{
	int r;

	*ret_what = "intermediate.pem";
	r = load_cert(dir, "intermediate.pem", &ca->intermediate);
	if (r < 0)
		return r;
	*ret_what = "root.pem";
	r = load_cert(dir, "root.pem", &ca->root);
	if (r == BUR_OK) {
		*ret_what = "ca.pem";
		r = read_file(dir, "ca.pem", &ca->pem, &ca->pem_n);
	}
	if (r == BUR_OK) {
		*ret_what = "hosts";
		r = load_hosts(ca, dir);
	}
	if (r == BUR_OK) {
		*ret_what = "intermediate.key (must be readable by its owner only)";
		r = load_key(dir, &ca->key);
	}
	if (r == BUR_OK) {
		*ret_what = "root.pem, intermediate.pem and intermediate.key do not belong together";
		r = check_pair(ca);
	}
	if (r == BUR_NOTFOUND) /* there is an authority, but a part of it is missing */
		r = BUR_CORRUPT;
	return r;
}

static int make_machinery(struct ca *ca, char *reterr, size_t reterr_size)
{
	int r = ca_x509_key(&ca->leaf_key);

	if (r < 0)
		return fail(reterr, reterr_size, r, "leaf key");
	ca->by_host = map_new(ca->cache_max);
	if (!ca->by_host)
		return fail(reterr, reterr_size, BUR_NOMEM, "leaf cache");
	ca->ctx = tls_server_ctx(NULL, NULL, "http/1.1", reterr, reterr_size);
	return ca->ctx ? BUR_OK : BUR_CRYPTO;
}

int ca_load(const char *dir, size_t cache_max, struct ca **ret, char *reterr, size_t reterr_size)
{
	struct ca *ca = calloc(1, sizeof(*ca));
	char where[PATH_MAX + 128];
	const char *what = "";
	int r;

	if (!ca)
		return fail(reterr, reterr_size, BUR_NOMEM, dir);
	ca->magic = CA_MAGIC;
	ca->cache_max = cache_max ? cache_max : 1;
	TAILQ_INIT(&ca->leaves);
	CHECK(pthread_mutex_init(&ca->lock, NULL) == 0);
	errno = 0;
	r = load_parts(ca, dir, &what);
	if (r < 0) {
		(void)snprintf(where, sizeof(where), "%s/%s", dir, what);
		(void)fail(reterr, reterr_size, r, where);
	} else {
		r = make_machinery(ca, reterr, reterr_size);
	}
	if (r < 0) {
		ca_free(ca);
		return r;
	}
	*ret = ca;
	return BUR_OK;
}

static void leaf_free(struct leaf *leaf)
{
	X509_free(leaf->crt);
	free(leaf);
}

void ca_free(struct ca *ca)
{
	struct leaf *leaf;

	if (!ca)
		return;
	CHECK_OBJ(ca, CA_MAGIC);
	while ((leaf = TAILQ_FIRST(&ca->leaves)) != NULL) {
		TAILQ_REMOVE(&ca->leaves, leaf, entry);
		leaf_free(leaf);
	}
	map_free(ca->by_host, NULL);
	SSL_CTX_free(ca->ctx);
	EVP_PKEY_free(ca->leaf_key);
	EVP_PKEY_free(ca->key);
	X509_free(ca->intermediate);
	X509_free(ca->root);
	free(ca->hosts);
	free(ca->hosts_text);
	free(ca->pem);
	(void)pthread_mutex_destroy(&ca->lock);
	ca->magic = 0;
	free(ca);
}

/* --- leaves ------------------------------------------------------------------------------------------------------- */

bool ca_covers(const struct ca *ca, const char *host)
{
	for (size_t i = 0; i < ca->n_hosts; i++)
		/* a pattern stands for itself, so that a configuration can be compared with the authority */
		if (slice_eq(ca->hosts[i], slice_of(host)) || host_matches(ca->hosts[i], slice_of(host)))
			return ca_x509_permits(ca->intermediate, host[0] == '*' && host[1] == '.' ? host + 2 : host);
	return false;
}

/* A leaf is used until 80 % of its life; one from the future means that the clock was set back. */
static bool leaf_fresh(const struct leaf *leaf, int64_t now_s)
{
	return now_s >= leaf->made_s - DAY_S && now_s - leaf->made_s < LEAF_RENEW_S;
}

static void cache_drop(struct ca *ca, struct leaf *leaf)
{
	TAILQ_REMOVE(&ca->leaves, leaf, entry);
	(void)map_remove(ca->by_host, slice_of(leaf->host));
	ca->cached--;
	leaf_free(leaf);
}

static int cache_add(struct ca *ca, const char *host, X509 *crt, int64_t now_s)
{
	struct leaf *leaf = calloc(1, sizeof(*leaf));

	if (!leaf)
		return BUR_NOMEM;
	while (ca->cached >= ca->cache_max)
		cache_drop(ca, TAILQ_LAST(&ca->leaves, leaf_list));
	leaf->made_s = now_s;
	(void)snprintf(leaf->host, sizeof(leaf->host), "%s", host);
	if (map_put(ca->by_host, slice_of(leaf->host), leaf) < 0) {
		free(leaf);
		return BUR_NOMEM;
	}
	CHECK(X509_up_ref(crt) == 1);
	leaf->crt = crt;
	TAILQ_INSERT_HEAD(&ca->leaves, leaf, entry);
	ca->cached++;
	return BUR_OK;
}

/* A reference to a fresh leaf, or NULL. */
static X509 *cache_find(struct ca *ca, const char *host, int64_t now_s)
{
	struct leaf *leaf = map_get(ca->by_host, slice_of(host));

	if (!leaf)
		return NULL;
	if (!leaf_fresh(leaf, now_s)) {
		cache_drop(ca, leaf);
		return NULL;
	}
	TAILQ_REMOVE(&ca->leaves, leaf, entry);
	TAILQ_INSERT_HEAD(&ca->leaves, leaf, entry);
	CHECK(X509_up_ref(leaf->crt) == 1);
	return leaf->crt;
}

/* Minting (some 50 us) happens under the lock: two connections to a new host then share one leaf. */
static int leaf_get(struct ca *ca, const char *host, int64_t now_s, X509 **ret)
{
	int r = BUR_OK;

	CHECK(pthread_mutex_lock(&ca->lock) == 0);
	*ret = cache_find(ca, host, now_s);
	if (!*ret) {
		r = ca_x509_leaf(ca->intermediate, ca->key, ca->leaf_key, host, now_s, ret);
		if (r == BUR_OK) {
			ca->minted++;
			(void)cache_add(ca, host, *ret, now_s); /* out of memory: it serves this once */
		}
	}
	CHECK(pthread_mutex_unlock(&ca->lock) == 0);
	return r;
}

int ca_use_leaf(struct ca *ca, SSL *ssl, const char *host, int64_t now_s)
{
	X509 *crt = NULL;
	int r = BUR_CRYPTO;

	CHECK(ca->magic == CA_MAGIC);
	if (host[0] == '\0' || strlen(host) > HOST_MAX || strchr(host, '*') || !ca_covers(ca, host))
		return BUR_DENIED;
	r = leaf_get(ca, host, now_s, &crt);
	if (r < 0)
		return r;
	r = SSL_use_certificate(ssl, crt) == 1 && SSL_use_PrivateKey(ssl, ca->leaf_key) == 1 &&
		    SSL_clear_chain_certs(ssl) == 1 && SSL_add1_chain_cert(ssl, ca->intermediate) == 1
		? BUR_OK
		: BUR_CRYPTO;
	X509_free(crt);
	return r;
}

SSL_CTX *ca_server_ctx(struct ca *ca)
{
	return ca->ctx;
}

struct slice ca_pem(const struct ca *ca)
{
	return slice_mem(ca->pem, ca->pem_n);
}

void ca_counts(struct ca *ca, uint64_t *ret_cached, uint64_t *ret_minted)
{
	CHECK(pthread_mutex_lock(&ca->lock) == 0);
	*ret_cached = ca->cached;
	*ret_minted = ca->minted;
	CHECK(pthread_mutex_unlock(&ca->lock) == 0);
}

/* --- for people --------------------------------------------------------------------------------------------------- */

static int describe_cert(X509 *crt, const char *what, struct buf *out)
{
	char subject[256] = "", until[64] = "", hex[2 * EVP_MAX_MD_SIZE + 1] = "";
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned md_n = 0;
	struct tm tm;

	(void)X509_NAME_oneline(X509_get_subject_name(crt), subject, sizeof(subject));
	if (ASN1_TIME_to_tm(X509_get0_notAfter(crt), &tm) == 1)
		(void)strftime(until, sizeof(until), "%Y-%m-%d", &tm);
	if (X509_digest(crt, EVP_sha256(), md, &md_n) == 1)
		hex_encode(md, md_n, hex);
	return buf_printf(out, "%-13s %s\n  valid until %s\n  SHA-256     %s\n", what, subject, until, hex);
}

int ca_describe(const struct ca *ca, struct buf *out)
{
	int r = describe_cert(ca->root, "root", out);

	if (r == BUR_OK)
		r = describe_cert(ca->intermediate, "intermediate", out);
	if (r == BUR_OK)
		r = buf_printf(out, "may sign for\n");
	for (size_t i = 0; i < ca->n_hosts && r == BUR_OK; i++)
		r = buf_printf(out, "  " SLICE_FMT "\n", SLICE_ARG(ca->hosts[i]));
	return r;
}
