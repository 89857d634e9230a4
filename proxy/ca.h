/* ca.h - the installation's own certificate authority, and the leaf certificates it mints.
 *
 * Files in the CA folder: root.pem (root certificate, 10 years), ca.pem (what people trust and download: the root
 * alone, because a verifier may ignore the constraints of a certificate it trusts directly), bundle.pem (system roots +
 * root), intermediate.pem, intermediate.key (0600), hosts (the patterns, one a line). The root's key is never
 * written: it is destroyed once it has signed the intermediate, which is constrained to DNS names of the intercepted
 * hosts (critical nameConstraints, pathlen 0): a stolen intermediate key cannot speak for other sites. New hosts then
 * need `bursar ca init --force` or, in a later version, a second intermediate. Leaves: EC P-256, one key per process
 * kept in memory only, SAN = the name asked for, valid from 2 days ago for 7 days in the future, renewed at 80 %.
 * Threads: ca_leaf from any thread. */
#ifndef PROXY_CA_H
#define PROXY_CA_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

struct ca;

/* Creates the CA. `hosts`: patterns it may mint for ("api.openai.com", "*.openai.azure.com"; "*" = unconstrained).
 * BUR_ALREADY: exists and !force. reterr says what failed. Umask 077, key 0600. */
int ca_create(const char *dir, const char *const *hosts, size_t n_hosts, bool force, char *reterr, size_t reterr_size)
    NONNULL(1, 5) MUST_USE;
/* Loads; BUR_NOTFOUND: there is none. Refuses a key that others can read (BUR_DENIED). `cache_max` bounds the leaf
 * cache (LRU). */
int ca_load(const char *dir, size_t cache_max, struct ca **ret, char *reterr, size_t reterr_size)
    NONNULL(1, 3, 4) MUST_USE;
void ca_free(struct ca *);
/* Puts certificate, chain and key for `host` on this server connection. BUR_DENIED: the name is outside of what the CA
 * may sign. BUR_CRYPTO, BUR_NOMEM. */
int ca_use_leaf(struct ca *, SSL *, const char *host, int64_t now_s) NONNULL(1, 2, 3) MUST_USE;
/* May this CA sign for the host? */
bool ca_covers(const struct ca *, const char *host) NONNULL(1, 2);
/* Server context for intercepted connections: no certificate of its own, TLS 1.2+, ALPN http/1.1. Owned by the CA. */
SSL_CTX *ca_server_ctx(struct ca *) NONNULL(1);
/* PEM of the root, for GET /ca.pem. Valid as long as the CA. */
struct slice ca_pem(const struct ca *) NONNULL(1);
/* "subject, valid until, SHA-256 fingerprint, hosts" as lines for `bursar ca status`. */
struct buf;
int ca_describe(const struct ca *, struct buf *out) NONNULL(1, 2) MUST_USE;
/* The leaf cache: how many are in it, how many were minted. */
void ca_counts(struct ca *, uint64_t *ret_cached, uint64_t *ret_minted) NONNULL(1, 2, 3);

#endif
