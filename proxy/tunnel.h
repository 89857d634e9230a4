/* tunnel.h - a blind tunnel after CONNECT: bytes both ways, back-pressure both ways, half-close kept. */
#ifndef PROXY_TUNNEL_H
#define PROXY_TUNNEL_H

#include "proxy/client.h"

struct tunnel;

/* Dials; on success answers 200 and starts to relay, else answers with an error. Takes the client into
 * CLIENT_TUNNEL. The authority is the client's own: it lives as long as the tunnel. */
void tunnel_start(struct client *, const struct authority *) NONNULL(1, 2);
void tunnel_client_ready(struct tunnel *, unsigned what);
void tunnel_free(struct tunnel *); /* the client is closing */
void tunnel_expired(struct deadline *);

/* connect.c: a CONNECT head in worker->head. */
void connect_request(struct client *) NONNULL(1);

#endif
