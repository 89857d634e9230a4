/* link.h - links in messages that let whoever holds them look at one incident, acknowledge or resolve it, without
 * logging in: HMAC-SHA256 over incident, action and expiry with a secret of this installation. A link does nothing but
 * what it names, and a GET of it changes nothing (mail scanners follow links). Pure; any thread. */
#ifndef ALERTS_LINK_H
#define ALERTS_LINK_H

#include <jansson.h>

#include "alerts/alerts.h"
#include "base/slice.h"

#define LINK_SECRET_BYTES 32
#define LINK_QUERY_MAX 128 /* with its NUL */
#define LINK_PATH "/alerts/act"

const char *link_action_name(enum link_action); /* "ack", "resolve", "open" */

/* "i=12&a=ack&e=1795248000&s=..." into dst; expires_s: unix seconds. BUR_OK, BUR_CRYPTO. */
int link_query(const unsigned char secret[LINK_SECRET_BYTES], int64_t incident, enum link_action, int64_t expires_s,
	       char dst[LINK_QUERY_MAX]) NONNULL(1, 5) MUST_USE;
/* The opposite. Every member exactly once, nothing else. BUR_OK; BUR_DENIED: not made with this secret; BUR_TIMEOUT: it
 * was, but is too old (incident and action are told). */
int link_check(const unsigned char secret[LINK_SECRET_BYTES], struct slice query, int64_t now_s, int64_t *ret_incident,
	       enum link_action *ret_action, int64_t *ret_expires_s) NONNULL(1, 4, 5, 6) MUST_USE;
/* A link for a page that a link has opened: good for an hour. BUR_DENIED: there is no secret. */
int alerts_link_query(struct alerts *, int64_t incident, enum link_action, char dst[LINK_QUERY_MAX])
    NONNULL(1, 4) MUST_USE;
/* facts.links: "open", and while the incident is not over "acknowledge" and "resolve"; an empty object when the
 * configuration has no public_url, or secret is NULL, or incident is 0. BUR_OK, BUR_NOMEM, BUR_CRYPTO. */
int link_add(json_t *facts, const struct alerts_config *, const unsigned char *secret, int64_t incident, bool over,
	     int64_t now_ns) NONNULL(1, 2) MUST_USE;

#endif
