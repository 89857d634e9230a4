/* connect.c - CONNECT: who asks, for which host, and what is done with it. */
#include "base/log.h"
#include "proxy/auth.h"
#include "proxy/ca.h"
#include "proxy/refuse.h"
#include "proxy/route.h"
#include "proxy/tunnel.h"
#include "proxy/txn.h"

#include <stdio.h>
#include <stdlib.h>

static const char established[] = "HTTP/1.1 200 Connection established\r\n\r\n";

static bool identify(struct client *c, const struct h1_head *h)
{
	char text[512];
	struct slice credential = auth_proxy_credential(h, text, sizeof(text));
	bool known = false;

	if (credential.n > 0) {
		memcpy(c->proxy_digest, auth_digest(c, credential), KEY_DIGEST_BYTES);
		c->has_proxy_identity = true;
		known = principal_find(c->worker->principals, c->proxy_digest,
				       loop_wall_ns(c->worker->loop) / NS_PER_S) != NULL;
	}
	bytes_wipe(text, sizeof(text));
	return known || (!c->worker->proxy->config.require_key && credential.n == 0);
}

static void intercept(struct client *c)
{
	struct iovec iov = {(void *)(uintptr_t)established, sizeof(established) - 1};

	if (c->tls) {
		refuse_and_close(c, REFUSE_BAD_REQUEST, 0,
				 "interception inside TLS to the proxy is not supported; write http:// in HTTPS_PROXY");
		return;
	}
	if (!c->worker->proxy->deps.ca) {
		refuse_and_close(c, REFUSE_INTERNAL, 0, "bursar has no CA; run `bursar ca init`");
		return;
	}
	if (!client_send(c, &iov, 1) || buf_len(&c->out) > 0) {
		client_close(c); /* not even forty bytes fit into the socket */
		return;
	}
	client_intercept(c);
}

static void deny(struct client *c, const char *why)
{
	char text[HOST_MAX + 300];

	(void)snprintf(text, sizeof(text), "CONNECT to %s:%u is refused: %s", c->authority->host, c->authority->port,
		       why);
	log_limited(LOG_INFO, "connect.denied", "%s", text);
	refuse_and_close(c, REFUSE_FORBIDDEN, 0, text);
}

/* Inside an intercepted tunnel each call is judged; of a blind one only the beginning. */
static void blind(struct client *c)
{
	char text[800];

	if (txn_stop_client(c, text, sizeof(text)))
		refuse_and_close(c, REFUSE_STOPPED, 0, text);
	else
		tunnel_start(c, c->authority);
}

void connect_request(struct client *c)
{
	const struct h1_head *h = &c->worker->head;
	struct authority a;
	const char *why = "";
	size_t head_bytes = h->head_bytes;

	if (c->authority) {
		refuse_and_close(c, REFUSE_BAD_REQUEST, 0, "CONNECT inside a tunnel");
		return;
	}
	if (authority_parse(h->target, 0, &a) < 0) {
		refuse_and_close(
		    c, REFUSE_BAD_REQUEST, 0,
		    "malformed CONNECT target; it must be host:port, numeric hosts in dotted or bracketed form");
		return;
	}
	if (h->framing != H1_NO_BODY) {
		refuse_and_close(c, REFUSE_BAD_REQUEST, 0, "a CONNECT request has no body");
		return;
	}
	c->authority = malloc(sizeof(*c->authority));
	if (!c->authority) {
		refuse_and_close(c, REFUSE_OVERLOADED, 0, "out of memory");
		return;
	}
	*c->authority = a;
	if (!identify(c, h)) {
		refuse_and_close(
		    c, REFUSE_PROXY_AUTH, 0,
		    "bursar needs a virtual key: HTTPS_PROXY=http://user:KEY@host:port, made by `bursar keys create`");
		return;
	}
	buf_consume(&c->in, head_bytes);
	if (buf_len(&c->out) > 0) {
		client_close(
		    c); /* answers before the tunnel are still unread: who pipelines into a CONNECT is no client */
		return;
	}
	switch (route_verb(&c->worker->proxy->config, &a, &why)) {
	case VERB_INTERCEPT:
		intercept(c);
		break;
	case VERB_TUNNEL:
		blind(c);
		break;
	case VERB_DENY:
		deny(c, why);
		break;
	}
}
