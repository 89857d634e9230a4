/* transport.h - sends requests by libcurl's multi interface on a loop, and tells what came of them.
 *
 * Only https and smtp(s); http where the channel allows it. The address that is really connected is judged
 * (net/addr.h): private, loopback, link-local and reserved ones only where the channel allows them, so neither a
 * redirect (none is followed) nor a name that resolves differently twice leads inside. At most 5 s to connect, 15 s in
 * all (a mail 30 s); of an answer ANSWER_BODY_MAX bytes are read. Proxy variables of the environment are not obeyed.
 * Mails have a thread each, because libcurl waits for the end of a mail and for the farewell without giving the loop
 * back. Control thread. */
#ifndef ALERTS_TRANSPORT_H
#define ALERTS_TRANSPORT_H

#include "alerts/channel.h"

struct loop;
struct transport;

#define TRANSPORT_ACTIVE_MAX 64
struct transport *transport_new(struct loop *) NONNULL(1) MUST_USE; /* NULL: out of memory */
void transport_free(struct transport *); /* what is under way is dropped; done is not called. NULL is fine */

/* done is called once, from the loop, never from within transport_send; the request lives until then. BUR_OK; BUR_FULL:
 * too many are under way; BUR_NOMEM. */
int transport_send(struct transport *, const struct channel *, const struct request *,
		   void (*done)(void *ctx, const struct answer *), void *ctx) NONNULL(1, 2, 3, 4) MUST_USE;
size_t transport_active(const struct transport *) NONNULL(1);

/* Takes what is secret in the request (its path and query, credentials, the values of headers) out of a text that the
 * peer or the channel wrote: "***" stands there then. */
void transport_hide(const struct channel *, const struct request *, char *text) NONNULL(1, 2, 3);
/* "https://hooks.slack.com/..." : scheme and host, what follows may be a secret. */
char *transport_redact(const char *url, char *dst, size_t size) NONNULL(1, 2);

#endif
