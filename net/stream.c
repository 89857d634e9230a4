/* stream.c - plain and TLS byte streams on raw libevent events.
 *
 * libevent keeps one persistent read event per stream. Reading that is not wanted for a while is not unregistered at
 * once but when an event comes that nobody wants: a pause during which the peer is silent costs nothing. */
#include "net/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "net/addr.h"
#include "net/tls.h"

#define STREAM_MAGIC 0x5374726du
#define TLS_RECORD_BYTES 16384
#define IOV_LIMIT 64

static void stream_read_cb(evutil_socket_t fd, short what, void *arg);
static void stream_write_cb(evutil_socket_t fd, short what, void *arg);
static void stream_again_cb(void *arg);
static const struct stream_ops plain_ops, tls_ops;

static void set_error(struct stream *s, const char *text)
{
	(void)snprintf(s->error, sizeof(s->error), "%s", text);
}

static long fail_errno(struct stream *s)
{
	char text[80];

	set_error(s, strerror_r(errno, text, sizeof(text)));
	return BUR_IO;
}

static bool would_block(int e)
{
	return e == EAGAIN || e == EWOULDBLOCK;
}

/* --- life ----------------------------------------------------------------------------------------------------------
 */

static int socket_prepare(int fd)
{
	int flags = fcntl(fd, F_GETFL), one = 1;

	if (flags < 0)
		return BUR_IO;
	if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return BUR_IO;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one,
			 sizeof(one)); /* fails on local sockets, which have no Nagle */
	return BUR_OK;
}

int stream_open(struct stream *s, struct loop *loop, int fd, void (*on_ready)(void *, unsigned), void *ctx)
{
	struct event_base *base = loop_base(loop);

	memset(s, 0, sizeof(*s));
	s->magic = STREAM_MAGIC;
	s->fd = fd;
	s->loop = loop;
	s->ops = &plain_ops;
	s->on_ready = on_ready;
	s->ctx = ctx;
	s->again.fn = stream_again_cb;
	s->again.arg = s;
	if (socket_prepare(fd) < 0)
		goto fail;
	if (event_assign(&s->read_event, base, fd, EV_READ | EV_PERSIST, stream_read_cb, s) != 0 ||
	    event_assign(&s->write_event, base, fd, EV_WRITE | EV_PERSIST, stream_write_cb, s) != 0)
		goto fail;
	if (event_add(&s->read_event, NULL) != 0)
		goto fail;
	s->want = s->registered = STREAM_READ;
	return BUR_OK;
fail:
	(void)fail_errno(s);
	(void)close(fd);
	s->fd = -1;
	return BUR_IO;
}

/* Best effort, at most once. */
static void tls_close_notify(struct stream *s)
{
	if (s->tls_failed || !s->tls_established || (SSL_get_shutdown(s->ssl) & SSL_SENT_SHUTDOWN))
		return;
	(void)SSL_shutdown(s->ssl);
	ERR_clear_error();
}

static void tls_free(struct stream *s)
{
	if (s->ssl) {
		/* Without a sent close_notify OpenSSL would take the session for broken and forbid its resumption. */
		tls_close_notify(s);
		SSL_free(s->ssl);
		ERR_clear_error();
		s->ssl = NULL;
	}
	free(s->early);
	s->early = NULL;
}

void stream_close(struct stream *s)
{
	if (s->fd < 0)
		return;
	CHECK(s->magic == STREAM_MAGIC);
	loop_defer_cancel(s->loop, &s->again);
	(void)event_del(&s->read_event);
	(void)event_del(&s->write_event);
	tls_free(s);
	(void)close(s->fd);
	s->fd = -1;
	s->want = s->registered = 0;
	s->ops = &plain_ops;
}

/* --- interest ------------------------------------------------------------------------------------------------------
 */

/* Out of memory or of epoll watches: the owner is told as if the event had come, finds out by trying, and its deadline
 * ends the stream if it stays so. */
static void event_register(struct event *ev, short what)
{
	if (event_add(ev, NULL) != 0)
		event_active(ev, what, 0);
}

/* Registers what is missing. Reading that is no longer wanted is left to stream_read_cb. */
static void interest_update(struct stream *s)
{
	bool need_read = (s->want & STREAM_READ) || s->tls_wants_read;
	bool need_write = (s->want & STREAM_WRITE) || s->tls_wants_write;

	if (need_read && !(s->registered & STREAM_READ)) {
		event_register(&s->read_event, EV_READ);
		s->registered |= STREAM_READ;
	}
	if (need_write && !(s->registered & STREAM_WRITE)) {
		event_register(&s->write_event, EV_WRITE);
		s->registered |= STREAM_WRITE;
	} else if (!need_write && (s->registered & STREAM_WRITE)) {
		(void)event_del(&s->write_event);
		s->registered &= ~STREAM_WRITE;
	}
}

static void stream_read_cb(evutil_socket_t fd, short events, void *arg)
{
	struct stream *s = arg;
	unsigned what = 0;

	(void)fd;
	(void)events;
	CHECK_OBJ(s, STREAM_MAGIC);
	s->tls_drained = false;
	if (s->want & STREAM_READ)
		what |= STREAM_READ;
	if (s->tls_wants_read) {
		s->tls_wants_read = false;
		what |= STREAM_WRITE;
	}
	if (what == 0) {
		(void)event_del(&s->read_event);
		s->registered &= ~STREAM_READ;
		return;
	}
	s->on_ready(s->ctx, what);
}

static void stream_write_cb(evutil_socket_t fd, short events, void *arg)
{
	struct stream *s = arg;
	unsigned what = 0;

	(void)fd;
	(void)events;
	CHECK_OBJ(s, STREAM_MAGIC);
	if (s->want & STREAM_WRITE)
		what |= STREAM_WRITE;
	if (s->tls_wants_write) {
		s->tls_wants_write = false;
		what |= STREAM_READ;
	}
	interest_update(s);
	if (what != 0)
		s->on_ready(s->ctx, what);
}

static void stream_again_cb(void *arg)
{
	struct stream *s = arg;

	CHECK_OBJ(s, STREAM_MAGIC);
	if (s->fd >= 0 && (s->want & STREAM_READ) && stream_pending(s))
		s->on_ready(s->ctx, STREAM_READ);
}

void stream_want(struct stream *s, unsigned what)
{
	unsigned added = what & ~s->want;

	CHECK(s->magic == STREAM_MAGIC);
	if (s->fd < 0 || what == s->want)
		return;
	s->want = what;
	interest_update(s);
	if ((added & STREAM_READ) && s->ssl && stream_pending(s))
		loop_defer(s->loop, &s->again);
}

bool stream_pending(const struct stream *s)
{
	if (!s->ssl || s->tls_failed)
		return false;
	if (SSL_pending(s->ssl) > 0 || s->early_i < s->early_n)
		return true;
	return !s->tls_drained && SSL_has_pending(s->ssl);
}

/* --- plain ---------------------------------------------------------------------------------------------------------
 */

static long plain_read(struct stream *s, void *dst, size_t n)
{
	ssize_t r;

	do {
		r = recv(s->fd, dst, n, 0);
	} while (r < 0 && errno == EINTR);
	if (r > 0)
		return r;
	if (r == 0)
		return BUR_EOF;
	return would_block(errno) ? BUR_AGAIN : fail_errno(s);
}

static long plain_writev(struct stream *s, const struct iovec *iov, int n_iov)
{
	struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n_iov};
	ssize_t r;

	do {
		r = n_iov == 1 ? send(s->fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL)
			       : sendmsg(s->fd, &msg, MSG_NOSIGNAL);
	} while (r < 0 && errno == EINTR);
	if (r >= 0)
		return r;
	return would_block(errno) ? BUR_AGAIN : fail_errno(s);
}

static int plain_handshake(struct stream *s)
{
	(void)s;
	return BUR_OK;
}

static void plain_shutdown(struct stream *s)
{
	(void)shutdown(s->fd, SHUT_WR);
}

static const struct stream_ops plain_ops = {"plain", plain_read, plain_writev, plain_handshake, plain_shutdown};

/* --- OpenSSL's way to the socket -----------------------------------------------------------------------------------
 */

/* Our own BIO rather than SSL_set_fd: no SIGPIPE, bytes that were read before TLS come first, and an end of the socket
 * is told apart from an end of TLS. */
static int bio_read(BIO *bio, char *dst, int n)
{
	struct stream *s = BIO_get_data(bio);
	ssize_t r;

	BIO_clear_retry_flags(bio);
	if (n <= 0)
		return 0;
	if (s->early_i < s->early_n) {
		size_t take = s->early_n - s->early_i;

		if (take > (size_t)n)
			take = (size_t)n;
		memcpy(dst, s->early + s->early_i, take);
		s->early_i += take;
		if (s->early_i == s->early_n) {
			free(s->early);
			s->early = NULL;
			s->early_i = s->early_n = 0;
		}
		return (int)take;
	}
	do {
		r = recv(s->fd, dst, (size_t)n, 0);
	} while (r < 0 && errno == EINTR);
	if (r < 0 && would_block(errno))
		BIO_set_retry_read(bio);
	else if (r == 0)
		s->saw_eof = true;
	return (int)r;
}

static int bio_write(BIO *bio, const char *p, int n)
{
	struct stream *s = BIO_get_data(bio);
	ssize_t r;

	BIO_clear_retry_flags(bio);
	if (n <= 0)
		return 0;
	do {
		r = send(s->fd, p, (size_t)n, MSG_NOSIGNAL);
	} while (r < 0 && errno == EINTR);
	if (r < 0 && would_block(errno))
		BIO_set_retry_write(bio);
	return (int)r;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	const struct stream *s = BIO_get_data(bio);

	(void)num;
	(void)ptr;
	switch (cmd) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return s && s->saw_eof;
	default:
		return 0;
	}
}

static BIO_METHOD *bio_method;

static void bio_method_make(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "bursar stream");

	if (m && BIO_meth_set_read(m, bio_read) == 1 && BIO_meth_set_write(m, bio_write) == 1 &&
	    BIO_meth_set_ctrl(m, bio_ctrl) == 1)
		bio_method = m;
}

static BIO *bio_for(struct stream *s)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	BIO *bio;

	CHECK(pthread_once(&once, bio_method_make) == 0);
	if (!bio_method)
		return NULL;
	bio = BIO_new(bio_method);
	if (bio) {
		BIO_set_data(bio, s);
		BIO_set_init(bio, 1);
	}
	return bio;
}

/* --- TLS -----------------------------------------------------------------------------------------------------------
 */

static int tls_put_on(struct stream *s, SSL_CTX *ctx)
{
	BIO *bio;

	CHECK(s->magic == STREAM_MAGIC && s->fd >= 0 && !s->ssl);
	s->ssl = SSL_new(ctx);
	if (!s->ssl)
		return BUR_NOMEM;
	bio = bio_for(s);
	if (!bio) {
		SSL_free(s->ssl);
		s->ssl = NULL;
		return BUR_NOMEM;
	}
	SSL_set_bio(s->ssl, bio, bio);
	s->ops = &tls_ops;
	s->tls_established = s->tls_failed = s->tls_drained = s->saw_eof = false;
	return BUR_OK;
}

static void tls_take_off(struct stream *s)
{
	tls_error_text(s->error, sizeof(s->error));
	SSL_free(s->ssl);
	s->ssl = NULL;
	s->ops = &plain_ops;
}

int stream_tls_server(struct stream *s, SSL_CTX *ctx, const void *already_read, size_t n)
{
	int r = tls_put_on(s, ctx);

	if (r < 0)
		return r;
	SSL_set_accept_state(s->ssl);
	if (n == 0)
		return BUR_OK;
	s->early = malloc(n);
	if (!s->early) {
		tls_take_off(s);
		return BUR_NOMEM;
	}
	memcpy(s->early, already_read, n);
	s->early_n = n;
	s->early_i = 0;
	loop_defer(s->loop, &s->again); /* they will not be announced by the socket */
	return BUR_OK;
}

/* The name that the certificate must carry: OpenSSL compares, we only say what. */
static bool tls_expect_host(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	struct addr ip;

	X509_VERIFY_PARAM_set_hostflags(param,
					X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	if (addr_from_ip(host, 0, &ip) == BUR_OK)
		return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
	return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

int stream_tls_client(struct stream *s, SSL_CTX *ctx, const char *host)
{
	int r;

	if (host[0] == '\0') { /* OpenSSL takes an empty name for "any" */
		set_error(s, "no host name to verify");
		return BUR_CRYPTO;
	}
	r = tls_put_on(s, ctx);
	if (r < 0)
		return r;
	SSL_set_connect_state(s->ssl);
	SSL_set_verify(s->ssl, SSL_VERIFY_PEER, NULL);
	if (!tls_expect_host(s->ssl, host)) {
		tls_take_off(s);
		return BUR_CRYPTO;
	}
	return BUR_OK;
}

/* SSL_get_error reads the thread's error queue, so nothing old may be in it. */
static void tls_queue_clear(void)
{
	if (ERR_peek_error() != 0)
		ERR_clear_error();
}

static long tls_fatal(struct stream *s, int ssl_error)
{
	int e = errno;
	long verify = SSL_get_verify_result(s->ssl);

	s->tls_failed = true;
	if (verify != X509_V_OK && !s->tls_established) {
		set_error(s, X509_verify_cert_error_string(verify));
		ERR_clear_error();
		return BUR_CRYPTO;
	}
	if (s->saw_eof) {
		set_error(s, "closed without close_notify");
		ERR_clear_error();
		return s->tls_established ? BUR_CLOSED_DIRTY : BUR_IO;
	}
	if (ssl_error == SSL_ERROR_SYSCALL && ERR_peek_error() == 0) {
		errno = e;
		return fail_errno(s);
	}
	tls_error_text(s->error, sizeof(s->error));
	return ssl_error == SSL_ERROR_SYSCALL ? BUR_IO : BUR_CRYPTO;
}

static long tls_read(struct stream *s, void *dst, size_t n)
{
	size_t got = 0;
	int err;

	if (s->tls_failed)
		return BUR_IO;
	tls_queue_clear();
	if (SSL_read_ex(s->ssl, dst, n, &got) == 1) {
		if (SSL_has_pending(s->ssl) || s->early_i < s->early_n)
			loop_defer(s->loop, &s->again);
		return (long)got;
	}
	err = SSL_get_error(s->ssl, 0);
	switch (err) {
	case SSL_ERROR_WANT_READ:
		s->tls_drained = true;
		loop_defer_cancel(s->loop, &s->again);
		return BUR_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		s->tls_wants_write = true;
		interest_update(s);
		return BUR_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return BUR_EOF;
	default:
		return tls_fatal(s, err) == BUR_CLOSED_DIRTY ? BUR_CLOSED_DIRTY : BUR_IO;
	}
}

/* One record. > 0, BUR_AGAIN, BUR_IO. */
static long tls_write_record(struct stream *s, const void *p, size_t n)
{
	size_t put = 0;
	int err;

	tls_queue_clear();
	if (SSL_write_ex(s->ssl, p, n, &put) == 1)
		return (long)put;
	err = SSL_get_error(s->ssl, 0);
	switch (err) {
	case SSL_ERROR_WANT_WRITE:
		return BUR_AGAIN;
	case SSL_ERROR_WANT_READ:
		s->tls_wants_read = true;
		interest_update(s);
		return BUR_AGAIN;
	default:
		(void)tls_fatal(s, err);
		return BUR_IO;
	}
}

/* Up to one record's worth of the parts from `skip` on: where they are, or gathered into this thread's scratch. */
static size_t tls_gather(const struct iovec *iov, int n_iov, size_t skip, const void **ret_p)
{
	static _Thread_local char scratch[TLS_RECORD_BYTES];
	size_t have = 0, take;
	const char *p;

	for (int i = 0; i < n_iov && have < sizeof(scratch); i++) {
		if (skip >= iov[i].iov_len) {
			skip -= iov[i].iov_len;
			continue;
		}
		p = (const char *)iov[i].iov_base + skip;
		take = iov[i].iov_len - skip;
		skip = 0;
		if (have == 0 && (take >= sizeof(scratch) || i == n_iov - 1)) {
			*ret_p = p;
			return take < sizeof(scratch) ? take : sizeof(scratch);
		}
		if (take > sizeof(scratch) - have)
			take = sizeof(scratch) - have;
		memcpy(scratch + have, p, take);
		have += take;
	}
	*ret_p = scratch;
	return have;
}

static long tls_writev(struct stream *s, const struct iovec *iov, int n_iov)
{
	const void *p;
	size_t n, taken = 0;
	long r;

	if (s->tls_failed)
		return BUR_IO;
	for (;;) {
		n = tls_gather(iov, n_iov, taken, &p);
		if (n == 0)
			return (long)taken;
		r = tls_write_record(s, p, n);
		if (r < 0)
			return r == BUR_AGAIN && taken > 0 ? (long)taken : r;
		taken += (size_t)r;
	}
}

static int tls_handshake(struct stream *s)
{
	int r, err;

	if (s->tls_failed)
		return BUR_IO;
	tls_queue_clear();
	r = SSL_do_handshake(s->ssl);
	if (r == 1) {
		s->tls_established = true;
		if (SSL_has_pending(s->ssl) || s->early_i < s->early_n)
			loop_defer(s->loop, &s->again); /* the first request came with the last flight */
		return BUR_OK;
	}
	err = SSL_get_error(s->ssl, r);
	switch (err) {
	case SSL_ERROR_WANT_READ:
		s->tls_drained = true;
		s->tls_wants_read = !(s->want & STREAM_READ);
		break;
	case SSL_ERROR_WANT_WRITE:
		s->tls_wants_write = true;
		break;
	case SSL_ERROR_WANT_CLIENT_HELLO_CB:
	case SSL_ERROR_WANT_X509_LOOKUP:
		return BUR_AGAIN; /* the owner's callback will call again */
	default:
		return (int)tls_fatal(s, err);
	}
	interest_update(s);
	return BUR_AGAIN;
}

static void tls_shutdown(struct stream *s)
{
	tls_close_notify(s);
	(void)shutdown(s->fd, SHUT_WR);
}

static const struct stream_ops tls_ops = {"tls", tls_read, tls_writev, tls_handshake, tls_shutdown};

/* --- the stream ----------------------------------------------------------------------------------------------------
 */

int stream_handshake(struct stream *s)
{
	CHECK(s->magic == STREAM_MAGIC);
	return s->fd < 0 ? BUR_IO : s->ops->handshake(s);
}

long stream_read(struct stream *s, void *dst, size_t n)
{
	long r;

	CHECK(s->magic == STREAM_MAGIC && n > 0);
	if (s->fd < 0)
		return BUR_IO;
	r = s->ops->read(s, dst, n);
	if (r > 0)
		s->bytes_in += (uint64_t)r;
	return r;
}

long stream_writev(struct stream *s, const struct iovec *iov, int n_iov)
{
	long r;

	CHECK(s->magic == STREAM_MAGIC && n_iov > 0);
	if (s->fd < 0)
		return BUR_IO;
	r = s->ops->writev(s, iov, n_iov < IOV_LIMIT ? n_iov : IOV_LIMIT);
	if (r > 0)
		s->bytes_out += (uint64_t)r;
	return r;
}

long stream_write(struct stream *s, const void *p, size_t n)
{
	struct iovec iov = {.iov_base = (void *)p, .iov_len = n};

	return stream_writev(s, &iov, 1);
}

void stream_shutdown(struct stream *s)
{
	CHECK(s->magic == STREAM_MAGIC);
	if (s->fd >= 0)
		s->ops->shutdown(s);
}
