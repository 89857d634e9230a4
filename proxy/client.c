#include "proxy/client.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "proxy/auth.h"
#include "proxy/ca.h"
#include "proxy/refuse.h"
#include "proxy/tunnel.h"
#include "proxy/txn.h"

#define CLIENT_IN_MAX (H1_HEAD_MAX + 64 * 1024) /* a head and some pipelined or early body bytes */
#define ROUNDS_MAX 5                            /* reads per wake, for fairness */
#define LINGER_BYTES_MAX (1024 * 1024)

static void client_ready(void *ctx, unsigned what);
static void read_head(struct client *c);

static void client_free(void *arg)
{
	struct client *c = arg;

	bytes_wipe(&c->cache, sizeof(c->cache));
	free(c->authority);
	c->magic = 0;
	free(c);
}

void client_accept(void *arg, int fd, const struct addr *peer)
{
	struct worker *w = arg;
	struct client *c;

	if (!census_enter(&w->proxy->census, peer)) {
		log_limited(LOG_WARN, "client.limit", "connection refused: too many connections");
		(void)close(fd);
		return;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		census_leave(&w->proxy->census, peer);
		(void)close(fd);
		return;
	}
	c->magic = CLIENT_MAGIC;
	c->worker = w;
	c->peer = *peer;
	buf_init(&c->in, CLIENT_IN_MAX);
	buf_init(&c->out, CLIENT_OUT_MAX + CLIENT_EVENT_MAX);
	if (stream_open(&c->stream, w->loop, fd, client_ready, c) < 0) {
		census_leave(&w->proxy->census, peer);
		free(c);
		return;
	}
	TAILQ_INSERT_TAIL(&w->clients, c, entry);
	atomic_fetch_add_explicit(&w->n_clients, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&w->proxy->n_connections, 1, memory_order_relaxed);
	metric_add(&metric_connections, 1);
	c->state = w->proxy->server_tls ? CLIENT_SNIFF : CLIENT_HEAD;
	deadline_arm(&w->head_deadline, &c->deadline);
}

void client_close(struct client *c)
{
	struct worker *w = c->worker;
	struct txn *t = c->txn;

	CHECK_OBJ(c, CLIENT_MAGIC);
	if (c->state == CLIENT_CLOSED)
		return;
	c->state = CLIENT_CLOSED;
	deadline_disarm(&c->deadline);
	stream_close(&c->stream);
	buf_done(&c->out);
	c->txn = NULL;
	if (t)
		txn_client_gone(t); /* before `in` goes: its body may stand there */
	buf_done(&c->in);
	if (c->tunnel)
		tunnel_free(c->tunnel);
	c->tunnel = NULL;
	TAILQ_REMOVE(&w->clients, c, entry);
	atomic_fetch_sub_explicit(&w->n_clients, 1, memory_order_relaxed);
	census_leave(&w->proxy->census, &c->peer);
	loop_free_later(w->loop, &c->free_node, client_free, c);
}

void client_reset(struct client *c)
{
	struct linger hard = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(c->stream.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	client_close(c);
}

static bool flush_out(struct client *c)
{
	while (buf_len(&c->out) > 0) {
		struct slice s = buf_slice(&c->out);
		long n = stream_write(&c->stream, s.p, s.n);

		if (n == BUR_AGAIN)
			break;
		if (n < 0)
			return false;
		buf_consume(&c->out, (size_t)n);
	}
	if (buf_len(&c->out) == 0)
		buf_relax(&c->out);
	return true;
}

void client_update_interest(struct client *c)
{
	unsigned want = buf_len(&c->out) > 0 ? STREAM_WRITE : 0;

	if (c->state != CLIENT_FLUSH && buf_space(&c->in) > 0)
		want |= STREAM_READ;
	stream_want(&c->stream, want);
}

static size_t iov_total(const struct iovec *iov, int n)
{
	size_t total = 0;

	for (int i = 0; i < n; i++)
		total += iov[i].iov_len;
	return total;
}

static bool queue_rest(struct client *c, const struct iovec *iov, int n, size_t skip)
{
	for (int i = 0; i < n; i++) {
		if (skip >= iov[i].iov_len) {
			skip -= iov[i].iov_len;
			continue;
		}
		if (buf_append(&c->out, (char *)iov[i].iov_base + skip, iov[i].iov_len - skip) < 0)
			return false;
		skip = 0;
	}
	return true;
}

bool client_send(struct client *c, const struct iovec *iov, int n_iov)
{
	size_t total = iov_total(iov, n_iov), sent = 0;

	if (buf_len(&c->out) == 0 && total > 0) {
		long n = stream_writev(&c->stream, iov, n_iov);

		if (n < 0 && n != BUR_AGAIN)
			return false;
		sent = n > 0 ? (size_t)n : 0;
	}
	if (sent < total) {
		if (!queue_rest(c, iov, n_iov, sent))
			return false;
		client_update_interest(c);
	}
	return true;
}

static void start_linger(struct client *c)
{
	c->state = CLIENT_LINGER;
	c->linger_bytes = 0;
	buf_consume(&c->in, buf_len(&c->in));
	stream_shutdown(&c->stream);
	deadline_arm(&c->worker->linger_deadline, &c->deadline);
	stream_want(&c->stream, STREAM_READ);
}

void client_finish(struct client *c, bool request_unread)
{
	c->close_after = true;
	c->linger_bytes = request_unread;
	if (buf_len(&c->out) > 0) {
		c->state = CLIENT_FLUSH;
		deadline_arm(&c->worker->flush_deadline, &c->deadline);
		client_update_interest(c);
		return;
	}
	if (request_unread)
		start_linger(c);
	else
		client_close(c);
}

void client_linger_expired(struct deadline *d)
{
	client_close((struct client *)((char *)d - offsetof(struct client, deadline)));
}

void client_head_expired(struct deadline *d)
{
	struct client *c = (struct client *)((char *)d - offsetof(struct client, deadline));

	CHECK_OBJ(c, CLIENT_MAGIC);
	if (buf_len(&c->out) > 0) /* the last answer is still leaving, slowly */
		client_finish(c, false);
	else if (c->state == CLIENT_HEAD && buf_len(&c->in) > 0)
		refuse_and_close(c, REFUSE_BAD_REQUEST, 408, "the request head did not arrive in time");
	else
		client_close(c);
}

void client_txn_done(struct client *c, bool keep_alive)
{
	CHECK_OBJ(c, CLIENT_MAGIC);
	c->txn = NULL;
	if (!keep_alive || c->close_after || c->worker->draining) {
		client_finish(c, !keep_alive);
		return;
	}
	c->state = CLIENT_HEAD;
	memset(&c->scan, 0, sizeof(c->scan));
	if (buf_len(&c->in) == 0)
		buf_relax(&c->in);
	deadline_arm(&c->worker->keepalive_deadline, &c->deadline);
	client_update_interest(c);
	if (buf_len(&c->in) > 0)
		read_head(c); /* pipelined */
}

/* --- TLS ------------------------------------------------------------------------------------------------------------
 */

/* SNI must be the CONNECT name; a literal address has no SNI. */
static int check_sni(SSL *ssl, int *alert, void *arg)
{
	struct client *c = SSL_get_app_data(ssl);
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	struct authority a;

	(void)arg;
	if (!c || !c->intercepted || !name)
		return SSL_TLSEXT_ERR_OK;
	if (authority_parse(slice_of(name), 443, &a) == BUR_OK && strcmp(a.host, c->authority->host) == 0)
		return SSL_TLSEXT_ERR_OK;
	log_limited(LOG_WARN, "intercept.sni", "SNI %s inside a tunnel to %s: refused", name, c->authority->host);
	*alert = SSL_AD_UNRECOGNIZED_NAME;
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

void client_check_sni(SSL_CTX *ctx)
{
	SSL_CTX_set_tlsext_servername_callback(ctx, check_sni);
}

static void handshake(struct client *c)
{
	int r = stream_handshake(&c->stream);

	if (r == BUR_AGAIN)
		return;
	if (r < 0) {
		if (c->intercepted) {
			metric_add(&metric_leaf_rejected, 1);
			log_limited(
			    LOG_WARN, "intercept.rejected",
			    "the client ended the TLS handshake for %s: %s. If it pins certificates, add a rule "
			    "{host: %s, do: tunnel, allow_priced: true}; if it does not trust bursar's CA, run `bursar "
			    "env`",
			    c->authority->host, c->stream.error, c->authority->host);
		}
		client_close(c);
		return;
	}
	c->tls = true;
	c->state = CLIENT_HEAD;
	deadline_arm(&c->worker->head_deadline, &c->deadline);
	if (stream_pending(&c->stream))
		client_ready(c, STREAM_READ);
}

static void start_tls(struct client *c, SSL_CTX *ctx)
{
	struct slice early = buf_slice(&c->in);

	c->state = CLIENT_HANDSHAKE;
	deadline_arm(&c->worker->client_handshake_deadline, &c->deadline);
	if (stream_tls_server(&c->stream, ctx, early.p, early.n) < 0) {
		client_close(c);
		return;
	}
	buf_consume(&c->in, early.n);
	buf_relax(&c->in);
	SSL_set_app_data(stream_ssl(&c->stream), c);
	if (c->intercepted && ca_use_leaf(c->worker->proxy->deps.ca, stream_ssl(&c->stream), c->authority->host,
					  loop_wall_ns(c->worker->loop) / NS_PER_S) < 0) {
		log_limited(LOG_ERROR, "intercept.leaf",
			    "the CA may not sign for %s; run `bursar ca init --force` to renew it", c->authority->host);
		client_close(c);
		return;
	}
	handshake(c);
}

void client_intercept(struct client *c)
{
	SSL_CTX *ctx = ca_server_ctx(c->worker->proxy->deps.ca);

	c->intercepted = true;
	metric_add(&metric_intercepted, 1);
	start_tls(c, ctx);
}

static void sniff(struct client *c)
{
	if (buf_len(&c->in) == 0)
		return;
	if (buf_slice(&c->in).p[0] == 0x16) { /* a TLS handshake record */
		start_tls(c, c->worker->proxy->server_tls);
		return;
	}
	c->state = CLIENT_HEAD;
	read_head(c);
}

/* --- requests -------------------------------------------------------------------------------------------------------
 */

static void head_failed(struct client *c, enum h1_error e)
{
	int status = h1_error_status(e);

	refuse_and_close(c, REFUSE_BAD_REQUEST, status ? status : 400, h1_error_text(e));
}

/* true: a request was taken and the next one may follow. */
static bool read_one_head(struct client *c)
{
	struct slice s = buf_slice(&c->in);
	struct h1_head *h = &c->worker->head;
	enum h1_error e = H1_NONE;
	int r;

	r = h1_parse_request(&c->scan, s.p, s.n, h, &e);
	if (r == BUR_AGAIN) {
		if (buf_space(&c->in) == 0)
			head_failed(c, H1_HEAD_TOO_LARGE);
		else if (c->deadline.queue == &c->worker->keepalive_deadline)
			deadline_arm(&c->worker->head_deadline, &c->deadline);
		return false;
	}
	if (r < 0) {
		head_failed(c, e);
		return false;
	}
	deadline_disarm(&c->deadline);
	if (h->method == H1_CONNECT)
		connect_request(c);
	else
		txn_start(c);
	return true;
}

/* A loop and not a recursion: pipelined requests that are answered at once come back here through client_txn_done. */
static void read_head(struct client *c)
{
	if (c->in_read_head)
		return;
	c->in_read_head = true;
	/* the next request waits until the last answer has left: a slow reader cannot pile up answers */
	while (c->state == CLIENT_HEAD && buf_len(&c->in) > 0 && buf_len(&c->out) == 0 && read_one_head(c))
		;
	c->in_read_head = false;
}

static void linger_read(struct client *c)
{
	long n = stream_read(&c->stream, c->worker->scratch, SCRATCH_BYTES);

	if (n == BUR_AGAIN)
		return;
	c->linger_bytes += n > 0 ? (uint64_t)n : 0;
	if (n < 0 || c->linger_bytes > LINGER_BYTES_MAX)
		client_close(c);
}

/* Reads into `in`. false: the connection ended (and is closed, or the transaction knows). */
static bool fill_in(struct client *c)
{
	size_t room = 0;
	char *p;
	long n;

	if (buf_space(&c->in) == 0) {
		client_update_interest(c);
		return false;
	}
	p = buf_reserve(&c->in, 1, &room);
	if (!p) {
		client_close(c);
		return false;
	}
	n = stream_read(&c->stream, p, room);
	if (n == BUR_AGAIN) {
		if (buf_len(&c->in) == 0)
			buf_relax(&c->in);
		return false;
	}
	if (n < 0) {
		client_close(c);
		return false;
	}
	buf_commit(&c->in, (size_t)n);
	return true;
}

static void client_writable(struct client *c)
{
	if (!flush_out(c)) {
		client_close(c);
		return;
	}
	if (c->state == CLIENT_FLUSH && buf_len(&c->out) == 0) {
		if (c->linger_bytes)
			start_linger(c);
		else
			client_close(c);
		return;
	}
	client_update_interest(c);
	if (c->txn)
		txn_client_writable(c->txn);
	else
		read_head(c);
}

static void client_readable(struct client *c)
{
	for (int i = 0; i < ROUNDS_MAX; i++) {
		switch (c->state) {
		case CLIENT_LINGER:
			linger_read(c);
			return;
		case CLIENT_HANDSHAKE:
			handshake(c);
			return;
		case CLIENT_FLUSH:
		case CLIENT_TUNNEL:
		case CLIENT_CLOSED:
			return;
		default:
			break;
		}
		if (!fill_in(c))
			return;
		if (c->state == CLIENT_SNIFF)
			sniff(c);
		else if (c->state == CLIENT_HEAD)
			read_head(c);
		else if (c->state == CLIENT_TXN && c->txn)
			txn_client_readable(c->txn);
		if (c->state == CLIENT_CLOSED || !stream_pending(&c->stream))
			return;
	}
}

static void client_ready(void *ctx, unsigned what)
{
	struct client *c = ctx;

	CHECK_OBJ(c, CLIENT_MAGIC);
	if (c->state == CLIENT_TUNNEL) {
		tunnel_client_ready(c->tunnel, what);
		return;
	}
	if ((what & STREAM_WRITE) && c->state != CLIENT_HANDSHAKE)
		client_writable(c);
	if (c->state != CLIENT_CLOSED && ((what & STREAM_READ) || c->state == CLIENT_HANDSHAKE))
		client_readable(c);
}
