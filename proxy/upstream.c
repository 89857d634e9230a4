#include "proxy/upstream.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

/* Everything that makes two connections interchangeable. */
static void fill_key(const struct upstream *u, struct pool_key *key)
{
	memset(key, 0, sizeof(*key));
	(void)slice_to_cstr(slice_of(u->host), key->host, sizeof(key->host));
	key->port = u->port;
	key->tls = u->tls_profile;
	key->credential = u->credential;
}

/* A stream is closed from inside its own callbacks, so its memory waits for the end of the turn. The stream stands
 * first, so that the pool may free() it as what it is. */
struct owned_stream {
	struct stream stream;
	struct loop_free_node free_node;
};

static void drop_stream(struct upstream *u)
{
	struct owned_stream *o = (struct owned_stream *)u->stream;

	if (!o)
		return;
	u->stream = NULL;
	stream_close(&o->stream);
	loop_free_later(u->worker->loop, &o->free_node, free, o);
}

static void opened(struct upstream *u, int err, const char *text)
{
	deadline_disarm(&u->deadline);
	u->handshaking = false;
	if (err < 0)
		drop_stream(u);
	if (u->opening) { /* still inside upstream_open: its result says it */
		u->early = true;
		u->early_err = err;
		(void)slice_to_cstr(slice_of(text), u->worker->open_text, sizeof(u->worker->open_text));
		return;
	}
	u->on_open(u->ctx, err, text);
}

static void handshake(struct upstream *u)
{
	int r = stream_handshake(u->stream);
	char text[HOST_MAX + 160];

	if (r == BUR_AGAIN)
		return;
	if (r == BUR_OK) {
		stream_rebind(u->stream, u->on_ready, u->ctx);
		opened(u, BUR_OK, "");
		return;
	}
	(void)snprintf(text, sizeof(text), "TLS with %s failed: %s", u->host, u->stream->error);
	opened(u, BUR_CRYPTO, text);
}

static void handshake_ready(void *ctx, unsigned what)
{
	(void)what;
	handshake(ctx);
}

void upstream_deadline(struct deadline *d)
{
	struct upstream *u = (struct upstream *)((char *)d - offsetof(struct upstream, deadline));

	opened(u, BUR_TIMEOUT, "the TLS handshake with the vendor took too long");
}

static int start_tls(struct upstream *u)
{
	char key[HOST_MAX + 40];
	int r = stream_tls_client(u->stream, u->tls, u->host);

	if (r < 0)
		return r;
	(void)snprintf(key, sizeof(key), "%s:%u:%u", u->host, u->port, u->tls_profile);
	tls_session_resume(stream_ssl(u->stream), key);
	u->handshaking = true;
	deadline_arm(&u->worker->handshake_deadline, &u->deadline);
	return BUR_OK;
}

static void dialled(void *ctx, int err, int fd, const struct addr *peer, const char *text)
{
	struct upstream *u = ctx;

	u->dial = NULL;
	if (err < 0) {
		opened(u, err, text);
		return;
	}
	(void)peer;
	u->stream = calloc(1, sizeof(struct owned_stream));
	if (!u->stream) {
		(void)close(fd);
		opened(u, BUR_NOMEM, "out of memory");
		return;
	}
	if (!u->tls) {
		if (stream_open(u->stream, u->worker->loop, fd, u->on_ready, u->ctx) < 0) {
			free(u->stream);
			u->stream = NULL;
			opened(u, BUR_IO, "cannot use the socket");
			return;
		}
		opened(u, BUR_OK, "");
		return;
	}
	if (stream_open(u->stream, u->worker->loop, fd, handshake_ready, u) < 0) {
		free(u->stream);
		u->stream = NULL;
		opened(u, BUR_IO, "cannot use the socket");
		return;
	}
	if (start_tls(u) < 0) {
		opened(u, BUR_CRYPTO, "cannot set up TLS towards the vendor");
		return;
	}
	handshake(u);
}

static SSL_CTX *context_for(const struct proxy *p, size_t profile)
{
	return profile == 0 ? NULL : profile == 1 ? p->default_tls : p->provider_tls[profile - 2];
}

int upstream_open(struct upstream *u, struct worker *w, const char *host, uint16_t port, size_t profile,
		  uint64_t credential)
{
	const struct proxy_limits *l = &w->proxy->config.limits;
	struct dial_options o = {.policy = &w->proxy->config.dial,
				 .attempt_timeout_ns = l->connect_timeout_ns,
				 .total_timeout_ns = l->connect_total_ns};
	struct pool_key key;

	u->worker = w;
	u->tls = context_for(w->proxy, profile);
	u->host = host;
	u->port = port;
	u->tls_profile = (uint8_t)profile;
	u->credential = credential;
	fill_key(u, &key);
	u->stream = pool_get(w->pool, &key);
	u->reused = u->stream != NULL;
	if (u->stream) {
		stream_rebind(u->stream, u->on_ready, u->ctx);
		return BUR_OK;
	}
	u->early = false;
	u->opening = true;
	struct dial *d = dial_start(w->dns, w->loop, host, port, &o, dialled, u);
	u->opening = false;
	if (u->early)
		return u->early_err;
	u->dial = u->stream ? NULL : d;
	return BUR_AGAIN;
}

void upstream_keep(struct upstream *u)
{
	struct pool_key key;

	if (!u->stream)
		return;
	fill_key(u, &key);
	pool_put(u->worker->pool, &key, u->stream);
	u->stream = NULL;
}

void upstream_close(struct upstream *u)
{
	deadline_disarm(&u->deadline);
	dial_cancel(u->dial);
	u->dial = NULL;
	drop_stream(u);
}
