/* tls.h - TLS contexts: servers, and clients that always verify.
 *
 * A context is shared by threads once built (SSL_CTX is thread-safe for making connections). */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <openssl/ssl.h>
#include <stddef.h>

#include "base/attr.h"

struct tls_client_options {
	SSL_CTX *roots_of;         /* a context whose system roots are used too: reading them takes long; NULL = read */
	const char *extra_ca_file; /* appended to the system's roots, never replaces them; NULL = none */
	const char *cert_file, *key_file; /* client certificate; NULL = none */
	const char *alpn;                 /* "http/1.1" */
};

/* TLS 1.2+, system roots (+ extra), session cache for resumption, read-ahead, released buffers, partial writes.
 * NULL: reterr (size reterr_size) says what is wrong, naming the file. */
SSL_CTX *tls_client_ctx(const struct tls_client_options *, char *reterr, size_t reterr_size) NONNULL(1, 2) MUST_USE;
/* A server context without certificate (for interception) or with one. `alpn` is what we accept. */
SSL_CTX *tls_server_ctx(const char *cert_chain_file, const char *key_file, const char *alpn, char *reterr,
			size_t reterr_size) NONNULL(4) MUST_USE;
/* Upstream sessions are kept per context under `key` (host:port and credential), bounded; call before the handshake. */
void tls_session_resume(SSL *, const char *key) NONNULL(1, 2);
/* Refuses a key file that others can read. BUR_OK, BUR_DENIED, BUR_IO. */
int tls_check_private_file(const char *path) NONNULL(1) MUST_USE;
/* Text of OpenSSL's oldest queued error, then the queue is cleared. */
void tls_error_text(char *dst, size_t dst_size) NONNULL(1);

#endif
