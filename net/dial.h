/* dial.h - from a host and port to a connected socket: resolve, check every address, race IPv6 and IPv4.
 *
 * The address policy is applied to the very sockaddr passed to connect(), so a name that changes its answer between
 * check and use gains nothing; if any answer of a name is forbidden, the whole name is. One owner thread. */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include "base/attr.h"
#include "net/addr.h"
#include "net/dns.h"
#include "net/loop.h"

struct dial;

struct dial_policy {
	const struct cidr *allow; /* ranges that may be reached although not global */
	size_t n_allow;
	const struct addr *deny; /* our own listeners; port counts; unspecified listener addresses match any local */
	size_t n_deny;
};

struct dial_options {
	const struct dial_policy *policy;
	int64_t attempt_timeout_ns; /* per address */
	int64_t total_timeout_ns;
};

/* err: BUR_OK with fd (non-blocking, owned by the callee); BUR_DENIED (forbidden address: *peer says which);
 * BUR_NOTFOUND (no such name), BUR_TIMEOUT, BUR_IO. `text` is for people: "api.example.com has the private address
 * 10.0.0.5, which is not allowed". Called exactly once, perhaps before dial_start returns (then it returns NULL). */
typedef void dial_cb(void *ctx, int err, int fd, const struct addr *peer, const char *text);
struct dial *dial_start(struct dns *, struct loop *, const char *host, uint16_t port, const struct dial_options *,
			dial_cb *cb, void *ctx) NONNULL(1, 2, 3, 5, 6);
void dial_cancel(struct dial *); /* no callback after this; NULL is fine */
/* BUR_OK or BUR_DENIED for one address. Pure. */
int dial_check(const struct dial_policy *, const struct sockaddr *) NONNULL(1, 2) MUST_USE;

#endif
