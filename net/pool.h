/* pool.h - idle upstream connections, kept for the next call with the same key. One per loop.
 *
 * The key says everything that makes two connections interchangeable: scheme, host, port, TLS settings, and the
 * credential, so that one tenant never gets a connection another one used with its own key. */
#ifndef NET_POOL_H
#define NET_POOL_H

#include <stdint.h>

#include "base/attr.h"
#include "net/loop.h"
#include "net/stream.h"

struct pool;

struct pool_key {
	char host[256];
	uint16_t port;
	uint8_t tls;         /* 0 plain, else the number of the TLS profile */
	uint64_t credential; /* hash of route and vendor key; 0 = none */
};

struct pool_config {
	size_t max_idle; /* in all */
	size_t max_idle_per_key;
	int64_t idle_timeout_ns;
};

struct pool *pool_new(struct loop *, const struct pool_config *) NONNULL(1, 2) MUST_USE;
void pool_free(struct pool *); /* closes all */
/* Takes the stream (allocated with malloc; freed by the pool when it goes bad). It must be clean: no unread bytes, no
 * pending output. Full: the oldest idle one is closed. */
void pool_put(struct pool *, const struct pool_key *, struct stream *) NONNULL(1, 2, 3);
/* The most recently used idle connection for the key, now owned by the caller (callbacks must be set anew with
 * stream_rebind), or NULL. */
struct stream *pool_get(struct pool *, const struct pool_key *) NONNULL(1, 2);
size_t pool_len(const struct pool *) NONNULL(1); /* any thread, while the pool lives */

/* New owner for an open stream. */
void stream_rebind(struct stream *, void (*on_ready)(void *, unsigned), void *ctx) NONNULL(1, 2);

#endif
