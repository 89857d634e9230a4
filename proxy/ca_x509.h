/* ca_x509.h - certificates of the authority: made here and nowhere else. Internal to ca.c. */
#ifndef PROXY_CA_X509_H
#define PROXY_CA_X509_H

#include <openssl/x509.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

/* Every function: BUR_OK, BUR_CRYPTO (OpenSSL's queue has the detail) or BUR_NOMEM; *ret is the caller's. */

int ca_x509_key(EVP_PKEY **ret) NONNULL(1) MUST_USE; /* EC P-256 */
/* Self-signed, 10 years, pathlen 1. */
int ca_x509_root(EVP_PKEY *key, int64_t now_s, X509 **ret) NONNULL(1, 3) MUST_USE;
/* 5 years, pathlen 0, critical nameConstraints of DNS kind for `hosts`; none when a pattern is "*". */
int ca_x509_intermediate(X509 *root, EVP_PKEY *root_key, EVP_PKEY *key, const char *const *hosts, size_t n_hosts,
			 int64_t now_s, X509 **ret) NONNULL(1, 2, 3, 7) MUST_USE;
/* For one name or address; from 2 days ago for 7 days, but never longer than the issuer. */
int ca_x509_leaf(X509 *issuer, EVP_PKEY *issuer_key, EVP_PKEY *key, const char *host, int64_t now_s, X509 **ret)
    NONNULL(1, 2, 3, 4, 6) MUST_USE;
/* Do the constraints of this certificate permit the name? Addresses and certificates without constraints: yes. */
int ca_x509_permits(X509 *intermediate, const char *host) NONNULL(1, 2) MUST_USE; /* 1 or 0 */

#endif
