/* stream.h - a byte stream over a non-blocking socket, plain or TLS alike above an ops table.
 *
 * No buffers of its own: the owner reads into and writes from its buffers, so a stream that waits costs a record (and
 * OpenSSL's state). The read event stays registered for the life of the stream; interest is changed only under
 * back-pressure, so that a keep-alive exchange costs no epoll_ctl. One place (stream_want) decides interest; after
 * TLS reads the stream re-enters by itself while decrypted bytes are pending.
 * One owner thread: the loop's. */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/attr.h"
#include "net/loop.h"

struct ssl_st;
struct ssl_ctx_st;
struct stream;

#define STREAM_READ 1u
#define STREAM_WRITE 2u

struct stream_ops {
	const char *name;
	long (*read)(struct stream *, void *dst, size_t n);
	long (*writev)(struct stream *, const struct iovec *, int n_iov);
	int (*handshake)(struct stream *);
	void (*shutdown)(struct stream *);
};

struct stream {
	unsigned magic;
	int fd; /* -1 when closed */
	struct loop *loop;
	const struct stream_ops *ops;
	struct ssl_st *ssl;
	struct event read_event, write_event;
	/* `what` is STREAM_READ and/or STREAM_WRITE. May call anything here, stream_close included. */
	void (*on_ready)(void *ctx, unsigned what);
	void *ctx;
	unsigned want;        /* interest asked for */
	unsigned registered;  /* interest libevent knows */
	bool tls_wants_write; /* a TLS read waits for the socket to take bytes, or the other way round */
	bool tls_wants_read;
	bool tls_established;   /* the handshake has been completed */
	bool tls_failed;        /* no close_notify after a fatal error */
	bool tls_drained;       /* OpenSSL asked for more bytes: what it holds is part of a record */
	bool saw_eof;           /* the socket, not TLS, said so */
	struct loop_task again; /* reports bytes that no socket event will announce */
	char *early;            /* bytes read before TLS was put on */
	size_t early_n, early_i;
	uint64_t bytes_in, bytes_out;
	char error[96]; /* what went wrong last, for the log: "certificate has expired" */
};

/* Takes the fd (made non-blocking, TCP_NODELAY set); interest is STREAM_READ. BUR_OK or BUR_IO (fd is then closed). */
int stream_open(struct stream *, struct loop *, int fd, void (*on_ready)(void *, unsigned), void *ctx)
    NONNULL(1, 2, 4) MUST_USE;
/* Put TLS over an open plain stream. `already_read` are bytes the owner read before it knew (they are fed first).
 * Server: certificate and key come from the SSL_CTX or from stream_ssl(). Client: verifies chain and `host` (name or
 * IP literal) always; sends SNI for names. BUR_OK, BUR_NOMEM, BUR_CRYPTO. */
int stream_tls_server(struct stream *, struct ssl_ctx_st *, const void *already_read, size_t n) NONNULL(1, 2) MUST_USE;
int stream_tls_client(struct stream *, struct ssl_ctx_st *, const char *host) NONNULL(1, 2, 3) MUST_USE;
/* BUR_OK when done, BUR_AGAIN (call again when ready), else failure with s->error set. */
int stream_handshake(struct stream *) NONNULL(1) MUST_USE;
static inline struct ssl_st *stream_ssl(const struct stream *s)
{
	return s->ssl;
}

/* > 0 bytes, BUR_AGAIN, BUR_EOF (orderly end; with TLS: close_notify was seen), BUR_IO (errno or s->error; a TLS peer
 * that vanished without close_notify is BUR_CLOSED_DIRTY below). */
#define BUR_CLOSED_DIRTY (-64)
long stream_read(struct stream *, void *dst, size_t n) NONNULL(1, 2) MUST_USE;
/* > 0 bytes taken (perhaps fewer than offered), BUR_AGAIN, BUR_IO. With TLS the parts are joined into one record up to
 * 16 KiB, so a head and a body leave in one record and one system call.
 * With TLS a record may be sealed and wait for the socket when fewer bytes were taken than offered: bytes once offered
 * stay at the front of what is offered next, until they are taken (more may follow them; the address may change). */
long stream_writev(struct stream *, const struct iovec *, int n_iov) NONNULL(1, 2) MUST_USE;
long stream_write(struct stream *, const void *p, size_t n) NONNULL(1) MUST_USE;
/* Set interest (STREAM_READ | STREAM_WRITE). Cheap when nothing changes. Wanting to read again after a pause reports
 * bytes that TLS already holds. */
void stream_want(struct stream *, unsigned what) NONNULL(1);
/* true when TLS holds decrypted or unprocessed bytes that no socket event will announce. */
bool stream_pending(const struct stream *) NONNULL(1);
/* Sends close_notify (best effort), shuts down writing only. */
void stream_shutdown(struct stream *) NONNULL(1);
/* Frees TLS, removes events, closes the fd. Fine when closed already. No callback comes after it. */
void stream_close(struct stream *) NONNULL(1);

#endif
