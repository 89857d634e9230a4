/* client.h - a connection from an application: gateway, absolute-form, CONNECT tunnel or intercepted, all in one.
 *
 * Owns the stream, what was read and not yet used (`in`), and what could not be written yet (`out`). At most one
 * transaction runs on it at a time; pipelined bytes wait in `in`. Private to the proxy room; worker's thread only. */
#ifndef PROXY_CLIENT_H
#define PROXY_CLIENT_H

#include "base/buf.h"
#include "net/addr.h"
#include "net/h1.h"
#include "net/stream.h"
#include "proxy/worker.h"

#define CLIENT_OUT_MAX (128 * 1024) /* waiting for a slow reader, before the other side is stopped */
#define CLIENT_EVENT_MAX                                                                                               \
	(1280 * 1024) /* beyond it: the largest single delivery, one event that was held back whole                    \
		       */

enum client_state {
	CLIENT_SNIFF,     /* first byte decides: TLS or not */
	CLIENT_HANDSHAKE, /* TLS to us, or an intercepted one */
	CLIENT_HEAD,      /* waiting for a request */
	CLIENT_TXN,       /* a transaction owns the exchange */
	CLIENT_TUNNEL,    /* blind */
	CLIENT_FLUSH,     /* the last answer is leaving; then close */
	CLIENT_LINGER,    /* closed for writing; reading the rest so that the answer is not reset away */
	CLIENT_CLOSED,
};

/* The digest of a credential this connection showed last, so that keep-alive requests hash it once. */
struct credential_cache {
	uint16_t n;
	char text[200];
	uint8_t digest[KEY_DIGEST_BYTES];
	char fingerprint[24]; /* "vendor-…" of a vendor's key; empty until asked for */
};

struct client {
	unsigned magic;
	enum client_state state;
	struct worker *worker;
	struct stream stream;
	struct addr peer;
	struct buf in, out;
	struct h1_scan scan;
	struct deadline deadline;
	struct txn *txn;
	struct tunnel *tunnel;
	struct authority *authority; /* of the CONNECT; NULL without one */
	bool intercepted;
	bool tls;
	bool in_read_head;       /* breaks the recursion of pipelined requests */
	bool close_after;        /* no further request on this connection */
	bool has_proxy_identity; /* Proxy-Authorization of the CONNECT, bound to the tunnel */
	uint8_t proxy_digest[KEY_DIGEST_BYTES];
	struct credential_cache cache;
	uint64_t linger_bytes;
	TAILQ_ENTRY(client) entry;
	struct loop_free_node free_node;
};
#define CLIENT_MAGIC 0x434c4945u

void client_accept(void *worker, int fd, const struct addr *peer);
/* Sends now what the socket takes and queues the rest. false: the connection is dead (client_gone was not called). */
bool client_send(struct client *, const struct iovec *, int n_iov) MUST_USE;
/* Bytes were taken from `in` or `out`: read or write again. */
void client_update_interest(struct client *);
/* The transaction is over; the next request may come, or the connection closes. */
void client_txn_done(struct client *, bool keep_alive);
/* Closes at once; a running transaction is told (txn_client_gone). */
void client_close(struct client *);
/* Closes with a reset: for an answer that broke off where the end of the connection would look like its end. */
void client_reset(struct client *);
/* Ends the connection after `out` has left, reading on for a moment if the request was not read whole. */
void client_finish(struct client *, bool request_unread);
/* The tunnel answered 200: from now on TLS with a leaf for `authority`, then requests inside. */
void client_intercept(struct client *);
/* Once at start: connections of this context must ask for the name of their tunnel. */
void client_check_sni(SSL_CTX *);
void client_head_expired(struct deadline *);
void client_linger_expired(struct deadline *);

#endif
