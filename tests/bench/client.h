/* client.h - one keep-alive connection of the load generator: sends the same call again and again, measures. */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/attr.h"
#include "base/buf.h"
#include "net/addr.h"
#include "net/h1.h"
#include "net/stream.h"
#include "tests/bench/histogram.h"

struct client;
TAILQ_HEAD(client_list, client);

/* What all clients share. */
struct load {
	struct loop *loop;
	struct addr target;
	SSL_CTX *tls;                      /* NULL = plain */
	const char *tls_name, *connect_to; /* name to verify; authority of a CONNECT before all else, or NULL */
	struct buf request;                /* the bytes of a call */
	bool fresh;                        /* a new connection for every call */
	bool measuring;
	struct client_list idle;
	/* Called when a client may send its next call; the owner calls client_send, or puts it on the idle list. */
	void (*on_idle)(struct load *, struct client *);
	uint64_t calls, errors, status_4xx, status_5xx, events, bytes, connects, streams_begun;
	struct latency latency;    /* of calls: from when they were due to the last byte */
	struct latency first_byte; /* to the head of the answer */
	struct latency gap;        /* between pieces of a stream */
};

/* Connects; NULL when out of memory. */
struct client *client_new(struct load *) NONNULL(1) MUST_USE;
/* Sends the next call, which was due at due_ns (monotonic). */
void client_send(struct client *, int64_t due_ns) NONNULL(1);
/* Puts it on the idle list, from which client_send takes it again. */
void client_park(struct client *) NONNULL(1);
void client_free(struct client *);

#endif
