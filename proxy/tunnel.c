#include "proxy/tunnel.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "net/sni.h"
#include "proxy/refuse.h"
#include "proxy/route.h"
#include "proxy/upstream.h"

#define TUNNEL_BUF_MAX 65536
#define TUNNEL_MAGIC 0x54554e4eu

static const char established[] = "HTTP/1.1 200 Connection established\r\n\r\n";

struct tunnel {
	unsigned magic;
	struct client *client;
	struct upstream up;
	struct buf to_client, to_upstream;
	bool open, client_ended, upstream_ended; /* ended: its EOF was read */
	bool judged, refused;                    /* the name in the client's hello was looked at; it is a metered one */
	bool client_shut, upstream_shut;         /* our FIN was sent to it */
	struct loop_free_node free_node;
};

static void tunnel_freed(void *arg)
{
	struct tunnel *t = arg;

	t->magic = 0;
	free(t);
}

void tunnel_free(struct tunnel *t)
{
	struct worker *w = t->up.worker;

	CHECK_OBJ(t, TUNNEL_MAGIC);
	upstream_close(&t->up);
	buf_done(&t->to_client);
	buf_done(&t->to_upstream);
	loop_free_later(w->loop, &t->free_node, tunnel_freed, t);
}

/* Reads what fits. false: broken. *ended: orderly end. */
static bool pull(struct stream *s, struct buf *b, bool *ended)
{
	for (int i = 0; i < 4 && buf_space(b) > 0 && !*ended; i++) {
		size_t room = 0;
		char *p = buf_reserve(b, 1, &room);
		long n;

		if (!p)
			return false;
		n = stream_read(s, p, room);
		if (n == BUR_AGAIN)
			break;
		if (n == BUR_EOF)
			*ended = true;
		else if (n < 0)
			return false;
		else
			buf_commit(b, (size_t)n);
	}
	return true;
}

static bool push(struct stream *s, struct buf *b, bool source_ended, bool *shut)
{
	while (buf_len(b) > 0) {
		struct slice d = buf_slice(b);
		long n = stream_write(s, d.p, d.n);

		if (n == BUR_AGAIN)
			return true;
		if (n < 0)
			return false;
		buf_consume(b, (size_t)n);
	}
	buf_relax(b);
	if (source_ended && !*shut) {
		*shut = true;
		stream_shutdown(s);
	}
	return true;
}

/* The CONNECT may have named anything (an alias, an address); the hello says whom the client means. true: nothing of
 * the client's may leave yet. */
static bool must_wait(struct tunnel *t)
{
	struct slice s = buf_slice(&t->to_upstream);
	char name[HOST_MAX + 1];
	int r;

	if (t->judged || s.n == 0)
		return false;
	r = sni_peek(s.p, s.n, name, sizeof(name));
	if (r == BUR_AGAIN && !t->client_ended)
		return true;
	t->judged = true;
	if (r == BUR_NOTFOUND || r == BUR_AGAIN ||
	    (r == BUR_OK && route_tunnel_may_carry(&t->client->worker->proxy->config, name)))
		return false;
	log_limited(LOG_WARN, "tunnel.sni", "TLS for %s inside a tunnel to %s: refused",
		    r == BUR_OK ? name : "an unreadable name", t->client->authority->host);
	t->refused = true;
	return true;
}

static void pump(struct tunnel *t)
{
	struct client *c = t->client;
	struct stream *up = t->up.stream;
	bool ok = pull(&c->stream, &t->to_upstream, &t->client_ended) && pull(up, &t->to_client, &t->upstream_ended) &&
		  (must_wait(t) || push(up, &t->to_upstream, t->client_ended, &t->upstream_shut)) &&
		  push(&c->stream, &t->to_client, t->upstream_ended, &t->client_shut);

	if (!ok || t->refused || (t->client_shut && t->upstream_shut)) {
		client_close(c);
		return;
	}
	deadline_arm(&c->worker->tunnel_deadline, &c->deadline);
	stream_want(&c->stream, (!t->client_ended && buf_space(&t->to_upstream) > 0 ? STREAM_READ : 0) |
				    (buf_len(&t->to_client) > 0 ? STREAM_WRITE : 0));
	stream_want(up, (!t->upstream_ended && buf_space(&t->to_client) > 0 ? STREAM_READ : 0) |
			    (buf_len(&t->to_upstream) > 0 && t->judged ? STREAM_WRITE : 0));
}

void tunnel_client_ready(struct tunnel *t, unsigned what)
{
	CHECK_OBJ(t, TUNNEL_MAGIC);
	if (t->open) {
		pump(t);
		return;
	}
	/* still dialling: only the client's end matters; early bytes wait */
	if ((what & STREAM_READ) && (!pull(&t->client->stream, &t->to_upstream, &t->client_ended) || t->client_ended))
		client_close(t->client);
	else if (buf_space(&t->to_upstream) == 0)
		stream_want(&t->client->stream, 0);
}

static void upstream_ready(void *ctx, unsigned what)
{
	struct tunnel *t = ctx;

	(void)what;
	CHECK_OBJ(t, TUNNEL_MAGIC);
	pump(t);
}

static void opened(void *ctx, int err, const char *text)
{
	struct tunnel *t = ctx;
	struct client *c = t->client;

	CHECK_OBJ(t, TUNNEL_MAGIC);
	if (err < 0) {
		c->tunnel = NULL;
		tunnel_free(t);
		refuse_and_close(c,
				 err == BUR_DENIED    ? REFUSE_FORBIDDEN
				 : err == BUR_TIMEOUT ? REFUSE_UPSTREAM_TIMEOUT
						      : REFUSE_UPSTREAM_CONNECT,
				 0, text);
		return;
	}
	t->open = true;
	metric_add(&metric_tunnels, 1);
	if (buf_append(&t->to_client, established, sizeof(established) - 1) < 0) {
		client_close(c);
		return;
	}
	pump(t);
}

void tunnel_expired(struct deadline *d)
{
	client_close((struct client *)((char *)d - offsetof(struct client, deadline)));
}

void tunnel_start(struct client *c, const struct authority *a)
{
	struct tunnel *t = calloc(1, sizeof(*t));
	struct slice early = buf_slice(&c->in);
	int r;

	if (!t) {
		refuse_and_close(c, REFUSE_OVERLOADED, 0, "out of memory");
		return;
	}
	t->magic = TUNNEL_MAGIC;
	t->client = c;
	t->up.worker = c->worker;
	t->up.on_open = opened;
	t->up.on_ready = upstream_ready;
	t->up.ctx = t;
	buf_init(&t->to_client, TUNNEL_BUF_MAX);
	buf_init(&t->to_upstream, 2 * CLIENT_OUT_MAX); /* what came with the CONNECT fits */
	c->state = CLIENT_TUNNEL;
	c->tunnel = t;
	if (early.n > 0 && buf_append(&t->to_upstream, early.p, early.n) < 0) {
		client_close(c);
		return;
	}
	buf_consume(&c->in, early.n);
	buf_relax(&c->in);
	/* a credential that nobody has: a tunnel never takes a pooled connection */
	r = upstream_open(&t->up, c->worker, a->host, a->port, 0, UINT64_MAX);
	if (r != BUR_AGAIN)
		opened(t, r, c->worker->open_text);
}
