/* dns.h - names to addresses without blocking: hosts file, cache, then the resolver.
 *
 * Positive answers live TTL clamped to [5 s, 300 s], negative 10 s; when the resolver fails, an answer up to 60 s past
 * its end still serves. One per loop. */
#ifndef NET_DNS_H
#define NET_DNS_H

#include "base/attr.h"
#include "net/addr.h"
#include "net/loop.h"

struct dns;
struct dns_query;

#define DNS_ADDRS_MAX 16
#define DNS_CACHE_MAX 4096
#define DNS_PENDING_MAX 1024 /* names being asked for at once; more are BUR_IO */

/* `servers`: "ip[:port]" texts to use instead of resolv.conf (tests, split horizon); n = 0 uses the system's. */
struct dns *dns_new(struct loop *, const char *const *servers, size_t n_servers) NONNULL(1) MUST_USE;
/* Not from within a dns_cb. Queries still waiting are dropped without a callback: cancel them first. What the resolver
 * still owes is released in the loop's next turn. */
void dns_free(struct dns *);
/* Another hosts file than /etc/hosts; read again when it changes. */
void dns_set_hosts_file(struct dns *, const char *path) NONNULL(1, 2);

/* Calls cb exactly once, perhaps before returning (cache, literals). Addresses carry the port 0, IPv6 and IPv4
 * alternating with IPv6 first. err: BUR_OK, BUR_NOTFOUND, BUR_TIMEOUT, BUR_IO. The query dies with cb; NULL is returned
 * when cb has been called already. */
typedef void dns_cb(void *ctx, int err, const struct addr *addrs, size_t n);
struct dns_query *dns_resolve(struct dns *, const char *host, dns_cb *cb, void *ctx) NONNULL(1, 2, 3);
void dns_cancel(struct dns_query *); /* no callback after this; NULL is fine */

#endif
