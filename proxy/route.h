/* route.h - where does this request go? Gateway prefix, absolute form, or the host of the tunnel it came through. */
#ifndef PROXY_ROUTE_H
#define PROXY_ROUTE_H

#include "base/arena.h"
#include "base/error.h"
#include "meter/envelope.h"
#include "net/addr.h"
#include "net/h1.h"
#include "proxy/proxy.h"

enum way_in { WAY_GATEWAY, WAY_ABSOLUTE, WAY_INTERCEPTED };

struct target {
	enum way_in way;
	const struct proxy_provider *provider; /* NULL: a host nobody meters */
	size_t tls_profile;                    /* 0 plain, 1 other hosts, 2 + index of the provider */
	const char *host;                      /* in the arena or the configuration */
	uint16_t port;
	struct slice path_query; /* origin form to send */
	struct slice path, query;
	struct api_match api;  /* its family is known as soon as the provider is, for refusals */
	bool signed_by_client; /* AWS SigV4: host, path, query, body and the fields it names must leave as they came */
};

/* Fills *ret. On failure *reterr is the reason and *ret_message a sentence in the arena. `authority` is the CONNECT
 * target of an intercepted connection, else NULL. */
int route_resolve(const struct proxy_config *, const struct authority *authority, const struct h1_head *,
		  struct arena *, struct target *ret, enum refusal_reason *reterr, struct slice *ret_message)
    NONNULL(1, 3, 4, 5, 6, 7) MUST_USE;
/* As host_matches; a '*' elsewhere in the pattern stands for one or more characters of one label. */
bool route_host_matches(struct slice pattern, struct slice host);
/* The name under which the price of `model` (decoded) is found when the configuration renames it, else NULL. */
const char *route_price_model(const struct proxy_provider *, struct slice model) NONNULL(1);
/* The provider whose hosts contain `host`, or NULL. */
const struct proxy_provider *route_provider_of(const struct proxy_config *, const char *host) NONNULL(1, 2);
/* What to do with a CONNECT to this host. */
enum host_verb route_verb(const struct proxy_config *, const struct authority *, const char **ret_why) NONNULL(1, 2, 3);

/* May a blind tunnel carry TLS for this name? Not for a metered host, whatever the CONNECT called it. */
bool route_tunnel_may_carry(const struct proxy_config *, const char *name) NONNULL(1, 2);

#endif
