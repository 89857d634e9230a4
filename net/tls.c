/* tls.c - TLS contexts, the store of upstream sessions, and ticket keys that rotate. */
#include "net/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/map.h"
#include "base/slice.h"

#define SESSION_KEYS_MAX 1024
#define SESSIONS_PER_KEY 4 /* TLS 1.3 tickets are used once; servers send a few */
#define TICKET_KEY_LIFE_NS (12 * 3600 * NS_PER_S)
#define ALPN_WIRE_MAX 128
#define CIPHERS_12                                                                                                     \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"                     \
	"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

struct session_entry {
	TAILQ_ENTRY(session_entry) entry; /* most recently used first */
	char *key;
	SSL_SESSION *sessions[SESSIONS_PER_KEY]; /* newest last */
	int n;
};

struct ticket_key {
	unsigned char name[16], aes[32], hmac[32];
	int64_t made_ns; /* 0 = not made yet */
};

/* What we hang on an SSL_CTX; freed with it. */
struct tls_extra {
	pthread_mutex_t lock; /* sessions and tickets */
	struct map *by_key;
	TAILQ_HEAD(session_list, session_entry) lru;
	struct ticket_key tickets[2]; /* in use, and the one before */
	unsigned char alpn[ALPN_WIRE_MAX];
	unsigned alpn_n;
};

static int ctx_index = -1, ssl_index = -1;

/* --- our data on OpenSSL's objects ---------------------------------------------------------------------------------
 */

static void session_entry_free(void *p)
{
	struct session_entry *e = p;

	for (int i = 0; i < e->n; i++)
		SSL_SESSION_free(e->sessions[i]);
	free(e->key);
	free(e);
}

static void extra_free(struct tls_extra *x)
{
	if (!x)
		return;
	map_free(x->by_key, session_entry_free);
	(void)pthread_mutex_destroy(&x->lock);
	bytes_wipe(x->tickets, sizeof(x->tickets));
	free(x);
}

static void extra_free_cb(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	(void)parent;
	(void)ad;
	(void)idx;
	(void)argl;
	(void)argp;
	extra_free(ptr);
}

static void key_free_cb(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	(void)parent;
	(void)ad;
	(void)idx;
	(void)argl;
	(void)argp;
	free(ptr);
}

static void indexes_make(void)
{
	ctx_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, extra_free_cb);
	ssl_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, key_free_cb);
}

static struct tls_extra *extra_of(SSL_CTX *ctx)
{
	return ctx_index < 0 ? NULL : SSL_CTX_get_ex_data(ctx, ctx_index);
}

/* NULL: out of memory. */
static struct tls_extra *extra_attach(SSL_CTX *ctx)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct tls_extra *x;

	CHECK(pthread_once(&once, indexes_make) == 0);
	if (ctx_index < 0 || ssl_index < 0)
		return NULL;
	x = calloc(1, sizeof(*x));
	if (!x)
		return NULL;
	TAILQ_INIT(&x->lru);
	CHECK(pthread_mutex_init(&x->lock, NULL) == 0);
	x->by_key = map_new(SESSION_KEYS_MAX);
	if (!x->by_key || SSL_CTX_set_ex_data(ctx, ctx_index, x) != 1) {
		extra_free(x);
		return NULL;
	}
	return x;
}

static void lock(struct tls_extra *x)
{
	CHECK(pthread_mutex_lock(&x->lock) == 0);
}

static void unlock(struct tls_extra *x)
{
	CHECK(pthread_mutex_unlock(&x->lock) == 0);
}

/* --- upstream sessions ---------------------------------------------------------------------------------------------
 */

static void session_evict(struct tls_extra *x)
{
	struct session_entry *e = TAILQ_LAST(&x->lru, session_list);

	TAILQ_REMOVE(&x->lru, e, entry);
	CHECK(map_remove(x->by_key, slice_of(e->key)) == e);
	session_entry_free(e);
}

/* The entry for `key`, made when absent, moved to the front. NULL: out of memory. */
static struct session_entry *session_entry_get(struct tls_extra *x, const char *key)
{
	struct session_entry *e = map_get(x->by_key, slice_of(key));

	if (e) {
		TAILQ_REMOVE(&x->lru, e, entry);
		TAILQ_INSERT_HEAD(&x->lru, e, entry);
		return e;
	}
	if (map_len(x->by_key) >= SESSION_KEYS_MAX)
		session_evict(x);
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->key = strdup(key);
	if (!e->key || map_put(x->by_key, slice_of(key), e) < 0) {
		session_entry_free(e);
		return NULL;
	}
	TAILQ_INSERT_HEAD(&x->lru, e, entry);
	return e;
}

/* OpenSSL has a new session of an upstream. Returns 1 when we keep the reference. */
static int session_new_cb(SSL *ssl, SSL_SESSION *session)
{
	struct tls_extra *x = extra_of(SSL_get_SSL_CTX(ssl));
	const char *key = SSL_get_ex_data(ssl, ssl_index);
	struct session_entry *e;

	if (!x || !key)
		return 0;
	lock(x);
	e = session_entry_get(x, key);
	if (e && e->n == SESSIONS_PER_KEY) {
		SSL_SESSION_free(e->sessions[0]);
		memmove(e->sessions, e->sessions + 1, sizeof(e->sessions[0]) * (SESSIONS_PER_KEY - 1));
		e->n--;
	}
	if (e)
		e->sessions[e->n++] = session;
	unlock(x);
	return e != NULL;
}

/* A session to try, with a reference for the caller. TLS 1.3 tickets are handed out once, so that connections cannot be
 * linked and the server's single-use rule is met; older sessions stay. */
static SSL_SESSION *session_take(struct tls_extra *x, const char *key)
{
	SSL_SESSION *session = NULL;
	struct session_entry *e;

	lock(x);
	e = map_get(x->by_key, slice_of(key));
	while (e && e->n > 0 && !session) {
		SSL_SESSION *newest = e->sessions[e->n - 1];
		bool usable = SSL_SESSION_is_resumable(newest) == 1;

		if (!usable || SSL_SESSION_get_protocol_version(newest) >= TLS1_3_VERSION)
			e->n--; /* its reference is ours now */
		else if (SSL_SESSION_up_ref(newest) != 1)
			break;
		if (usable)
			session = newest;
		else
			SSL_SESSION_free(newest);
	}
	unlock(x);
	return session;
}

void tls_session_resume(SSL *ssl, const char *key)
{
	struct tls_extra *x = extra_of(SSL_get_SSL_CTX(ssl));
	SSL_SESSION *session;
	char *copy;

	if (!x)
		return;
	copy = strdup(key);
	if (!copy)
		return; /* a full handshake, then */
	free(SSL_get_ex_data(ssl, ssl_index));
	if (SSL_set_ex_data(ssl, ssl_index, copy) != 1) {
		free(copy);
		return;
	}
	session = session_take(x, key);
	if (!session)
		return;
	(void)SSL_set_session(ssl, session);
	SSL_SESSION_free(session);
}

/* --- tickets to our clients ----------------------------------------------------------------------------------------
 */

static bool ticket_key_make(struct ticket_key *k)
{
	if (RAND_bytes(k->name, sizeof(k->name)) != 1 || RAND_priv_bytes(k->aes, sizeof(k->aes)) != 1 ||
	    RAND_priv_bytes(k->hmac, sizeof(k->hmac)) != 1)
		return false;
	k->made_ns = clock_mono_ns();
	return true;
}

/* A copy of the key to seal with, made anew every 12 h. */
static bool ticket_key_current(struct tls_extra *x, struct ticket_key *ret)
{
	bool ok = true;
	struct ticket_key fresh;

	lock(x);
	if (x->tickets[0].made_ns == 0 || clock_mono_ns() - x->tickets[0].made_ns > TICKET_KEY_LIFE_NS) {
		ok = ticket_key_make(&fresh);
		if (ok) {
			x->tickets[1] = x->tickets[0];
			x->tickets[0] = fresh;
		}
		bytes_wipe(&fresh, sizeof(fresh));
	}
	*ret = x->tickets[0];
	unlock(x);
	return ok;
}

/* 0 = unknown, 1 = current, 2 = the one before (the client should get a new ticket). */
static int ticket_key_find(struct tls_extra *x, const unsigned char name[16], struct ticket_key *ret)
{
	int found = 0;

	lock(x);
	for (int i = 0; i < 2 && found == 0; i++) {
		const struct ticket_key *k = &x->tickets[i];

		if (k->made_ns != 0 && memcmp(k->name, name, sizeof(k->name)) == 0 &&
		    clock_mono_ns() - k->made_ns <= 2 * TICKET_KEY_LIFE_NS) {
			*ret = *k;
			found = i + 1;
		}
	}
	unlock(x);
	return found;
}

static bool ticket_ctx_init(const struct ticket_key *k, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
			    bool seal)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)k->hmac, sizeof(k->hmac)),
	    OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
	    OSSL_PARAM_construct_end(),
	};

	if (EVP_MAC_CTX_set_params(mac, params) != 1)
		return false;
	return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->aes, iv, seal ? 1 : 0) == 1;
}

/* OpenSSL's contract: 1 go on, 2 go on and renew, 0 no such key (full handshake), -1 failure. */
static int ticket_cb(SSL *ssl, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
		     int seal)
{
	struct tls_extra *x = extra_of(SSL_get_SSL_CTX(ssl));
	struct ticket_key key;
	int r = -1;

	if (!x)
		return -1;
	if (seal) {
		if (!ticket_key_current(x, &key) || RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1)
			return -1;
		memcpy(name, key.name, sizeof(key.name));
		r = 1;
	} else {
		r = ticket_key_find(x, name, &key);
		if (r == 0)
			return 0;
		if (SSL_version(ssl) >= TLS1_3_VERSION)
			r = 2; /* its tickets are used once: each connection needs a new one */
	}
	if (!ticket_ctx_init(&key, iv, cipher, mac, seal != 0))
		r = -1;
	bytes_wipe(&key, sizeof(key));
	return r;
}

/* --- ALPN ----------------------------------------------------------------------------------------------------------
 */

/* "h2,http/1.1" to the wire form. */
static bool alpn_encode(const char *text, struct tls_extra *x)
{
	struct slice rest = slice_of(text), one;
	bool more = rest.n > 0;

	while (more) {
		more = slice_cut(rest, ',', &one, &rest);
		one = slice_trim(one);
		if (one.n == 0 || one.n > 255 || x->alpn_n + 1 + one.n > sizeof(x->alpn))
			return false;
		x->alpn[x->alpn_n++] = (unsigned char)one.n;
		memcpy(x->alpn + x->alpn_n, one.p, one.n);
		x->alpn_n += (unsigned)one.n;
	}
	return true;
}

/* A client that names protocols, none of them ours, means to speak another one: end it here. */
static int alpn_select_cb(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
			  unsigned in_n, void *arg)
{
	const struct tls_extra *x = arg;
	unsigned char *chosen;

	(void)ssl;
	if (SSL_select_next_proto(&chosen, out_n, x->alpn, x->alpn_n, in, in_n) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* --- contexts ------------------------------------------------------------------------------------------------------
 */

/* Returns false, for use in a return statement. */
static bool explain(char *dst, size_t dst_size, const char *what, const char *name)
{
	char detail[160];

	tls_error_text(detail, sizeof(detail));
	if (dst_size > 0)
		(void)snprintf(dst, dst_size, "%s%s%s: %s", what, name ? " " : "", name ? name : "", detail);
	return false;
}

static bool ctx_common(SSL_CTX *ctx)
{
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 1);
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 && SSL_CTX_set_cipher_list(ctx, CIPHERS_12) == 1;
}

static bool ctx_identity(SSL_CTX *ctx, const char *cert_file, const char *key_file, char *reterr, size_t reterr_size)
{
	int r = tls_check_private_file(key_file);

	if (r == BUR_DENIED) {
		(void)snprintf(reterr, reterr_size,
			       "private key %s: must be a regular file that only its owner can read", key_file);
		return false;
	}
	if (r < 0) {
		(void)snprintf(reterr, reterr_size, "private key %s: %s", key_file, strerror(errno));
		return false;
	}
	if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1)
		return explain(reterr, reterr_size, "certificate", cert_file);
	if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1)
		return explain(reterr, reterr_size, "private key", key_file);
	if (SSL_CTX_check_private_key(ctx) != 1)
		return explain(reterr, reterr_size, "private key does not fit the certificate:", key_file);
	return true;
}

/* A store of its own with the roots of another, for a context that trusts one more. Looked up by hash as well, as the
 * default paths are. */
static bool roots_copy(SSL_CTX *ctx, SSL_CTX *from)
{
	const STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(SSL_CTX_get_cert_store(from));
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	X509_LOOKUP *by_hash = X509_STORE_add_lookup(store, X509_LOOKUP_hash_dir());

	if (!by_hash || X509_LOOKUP_add_dir(by_hash, NULL, X509_FILETYPE_DEFAULT) != 1)
		return false;
	for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
		X509 *x = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));

		if (x && X509_STORE_add_cert(store, x) != 1)
			return false;
	}
	return true;
}

static bool roots_fill(SSL_CTX *ctx, const struct tls_client_options *o)
{
	if (!o->roots_of)
		return SSL_CTX_set_default_verify_paths(ctx) == 1;
	if (o->extra_ca_file)
		return roots_copy(ctx, o->roots_of);
	SSL_CTX_set1_cert_store(ctx, SSL_CTX_get_cert_store(o->roots_of));
	return true;
}

static bool client_fill(SSL_CTX *ctx, const struct tls_client_options *o, char *reterr, size_t reterr_size)
{
	struct tls_extra *x = extra_attach(ctx);

	if (!x || !ctx_common(ctx))
		return explain(reterr, reterr_size, "TLS client context", NULL);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if (!roots_fill(ctx, o))
		return explain(reterr, reterr_size, "system roots", NULL);
	if (o->extra_ca_file && SSL_CTX_load_verify_file(ctx, o->extra_ca_file) != 1)
		return explain(reterr, reterr_size, "CA file", o->extra_ca_file);
	if ((o->cert_file != NULL) != (o->key_file != NULL)) {
		(void)snprintf(reterr, reterr_size, "a client certificate needs both a certificate and a key file");
		return false;
	}
	if (o->cert_file && !ctx_identity(ctx, o->cert_file, o->key_file, reterr, reterr_size))
		return false;
	if (o->alpn && (!alpn_encode(o->alpn, x) || SSL_CTX_set_alpn_protos(ctx, x->alpn, x->alpn_n) != 0))
		return explain(reterr, reterr_size, "ALPN list", o->alpn);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, session_new_cb);
	return true;
}

SSL_CTX *tls_client_ctx(const struct tls_client_options *o, char *reterr, size_t reterr_size)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (!ctx) {
		(void)explain(reterr, reterr_size, "TLS client context", NULL);
		return NULL;
	}
	if (!client_fill(ctx, o, reterr, reterr_size)) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

static bool server_fill(SSL_CTX *ctx, const char *cert_file, const char *key_file, const char *alpn, char *reterr,
			size_t reterr_size)
{
	static const unsigned char session_context[] = "bursar";
	struct tls_extra *x = extra_attach(ctx);

	if (!x || !ctx_common(ctx))
		return explain(reterr, reterr_size, "TLS server context", NULL);
	(void)SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	/* Tickets only: nothing of a client that left stays in memory. */
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (SSL_CTX_set_session_id_context(ctx, session_context, sizeof(session_context) - 1) != 1 ||
	    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_cb) != 1 || SSL_CTX_set_num_tickets(ctx, 1) != 1)
		return explain(reterr, reterr_size, "session tickets", NULL);
	if ((cert_file != NULL) != (key_file != NULL)) {
		(void)snprintf(reterr, reterr_size, "a server needs both a certificate and a key file");
		return false;
	}
	if (cert_file && !ctx_identity(ctx, cert_file, key_file, reterr, reterr_size))
		return false;
	if (alpn && !alpn_encode(alpn, x))
		return explain(reterr, reterr_size, "ALPN list", alpn);
	if (alpn)
		SSL_CTX_set_alpn_select_cb(ctx, alpn_select_cb, x);
	return true;
}

SSL_CTX *tls_server_ctx(const char *cert_chain_file, const char *key_file, const char *alpn, char *reterr,
			size_t reterr_size)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (!ctx) {
		(void)explain(reterr, reterr_size, "TLS server context", NULL);
		return NULL;
	}
	if (!server_fill(ctx, cert_chain_file, key_file, alpn, reterr, reterr_size)) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

int tls_check_private_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	int r;

	if (fd < 0)
		return errno == ELOOP ? BUR_DENIED : BUR_IO;
	r = fstat(fd, &st) < 0 ? BUR_IO : BUR_OK;
	if (r == BUR_OK && (!S_ISREG(st.st_mode) || (st.st_mode & (S_IRWXG | S_IRWXO)) != 0))
		r = BUR_DENIED;
	(void)close(fd);
	return r;
}

void tls_error_text(char *dst, size_t dst_size)
{
	unsigned long e = ERR_get_error();
	const char *reason = NULL;

	if (dst_size > 0) {
		if (e != 0 && ERR_SYSTEM_ERROR(e))
			reason = strerror(ERR_GET_REASON(e));
		else if (e != 0)
			reason = ERR_reason_error_string(e);
		(void)snprintf(dst, dst_size, "%s", reason ? reason : "unknown error");
	}
	ERR_clear_error();
}
