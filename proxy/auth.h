/* auth.h - credentials in a request head: which virtual key, or which vendor key. */
#ifndef PROXY_AUTH_H
#define PROXY_AUTH_H

#include "net/h1.h"
#include "proxy/client.h"

/* The credential a head carries for the vendor or for us: Bearer token, the access key id of an AWS signature,
 * x-api-key, x-goog-api-key, api-key, or `key=` of the query. Empty when none. */
struct slice auth_credential(const struct h1_head *, struct slice query) NONNULL(1);
/* Proxy-Authorization: Basic user:KEY or Bearer KEY. Decodes into dst; empty when absent or malformed. */
struct slice auth_proxy_credential(const struct h1_head *, char *dst, size_t dst_size) NONNULL(1, 2);
/* true when the text has the form of one of our virtual keys. */
bool auth_is_virtual(struct slice credential);
/* One of our virtual keys stands somewhere in the text. */
bool auth_has_virtual(struct slice text);
/* How many places of the head carry a credential, repeated fields counted each. */
size_t auth_credential_count(const struct h1_head *, struct slice query) NONNULL(1);
/* SHA-256 of the credential, kept on the connection for the next request. */
const uint8_t *auth_digest(struct client *, struct slice credential) NONNULL(1);
/* "vendor-" and 12 hex digits of the keyed hash of a vendor key: a name for who uses it, useless for anything else.
 * Lives as long as the connection shows the same credential. */
struct slice auth_fingerprint(struct client *, struct slice credential) NONNULL(1);

#endif
