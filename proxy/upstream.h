/* upstream.h - a connection to a vendor for one call: from the pool, or dialled and handshaken. */
#ifndef PROXY_UPSTREAM_H
#define PROXY_UPSTREAM_H

#include "net/pool.h"
#include "net/stream.h"
#include "proxy/worker.h"

struct upstream {
	struct stream *stream; /* NULL: none yet */
	struct dial *dial;
	const char *host; /* the caller's; lives as long as this */
	uint16_t port;
	uint8_t tls_profile;
	uint64_t credential;
	struct worker *worker;
	SSL_CTX *tls; /* NULL = plain */
	bool reused, handshaking;
	bool opening, early; /* private: an answer that came while upstream_open was still running */
	int early_err;
	/* Connected and ready (BUR_OK), or why not; `text` is for people. Called once, after upstream_open returned
	 * BUR_AGAIN. */
	void (*on_open)(void *ctx, int err, const char *text);
	void (*on_ready)(void *ctx, unsigned what);
	void *ctx;
	struct deadline deadline;
};

/* BUR_OK: open now. BUR_AGAIN: on_open will be called. Else it failed at once and worker->open_text says why. The
 * callbacks and ctx must be set before. */
int upstream_open(struct upstream *, struct worker *, const char *host, uint16_t port, size_t tls_profile,
		  uint64_t credential) NONNULL(1, 2, 3) MUST_USE;
/* Back to the pool: only after a complete, clean exchange. */
void upstream_keep(struct upstream *) NONNULL(1);
/* Closes and cancels; fine in any state. */
void upstream_close(struct upstream *) NONNULL(1);
void upstream_deadline(struct deadline *);

#endif
