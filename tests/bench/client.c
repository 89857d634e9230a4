#include "tests/bench/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"

#define CLIENT_MAGIC 0x4c436c69u
#define IN_MAX (1024 * 1024)

enum client_state { CLIENT_CONNECTING, CLIENT_TUNNEL, CLIENT_HANDSHAKE, CLIENT_IDLE, CLIENT_HEAD, CLIENT_BODY };

struct client {
	unsigned magic;
	TAILQ_ENTRY(client) entry;
	struct load *load;
	struct stream stream;
	enum client_state state;
	bool on_idle_list, keep_alive;
	size_t sent;
	struct buf in;
	struct h1_scan scan;
	struct h1_body body;
	int64_t due_ns, last_piece_ns;
	struct loop_task reconnect;
};

static void client_ready(void *ctx, unsigned what);
static void client_connect(void *arg);
static void client_handshake(struct client *c);

static void client_drop(struct client *c, bool error)
{
	if (error && c->load->measuring)
		c->load->errors++;
	if (c->on_idle_list) {
		TAILQ_REMOVE(&c->load->idle, c, entry);
		c->on_idle_list = false;
	}
	stream_close(&c->stream);
	buf_done(&c->in);
	loop_defer(c->load->loop, &c->reconnect);
}

static void client_is_idle(struct client *c)
{
	c->state = CLIENT_IDLE;
	c->load->on_idle(c->load, c);
}

static void client_write(struct client *c)
{
	struct slice s = buf_slice(&c->load->request);

	while (c->sent < s.n) {
		long w = stream_write(&c->stream, s.p + c->sent, s.n - c->sent);

		if (w == BUR_AGAIN) {
			stream_want(&c->stream, STREAM_READ | STREAM_WRITE);
			return;
		}
		if (w <= 0) {
			client_drop(c, true);
			return;
		}
		c->sent += (size_t)w;
	}
	stream_want(&c->stream, STREAM_READ);
}

void client_send(struct client *c, int64_t due_ns)
{
	CHECK(c->magic == CLIENT_MAGIC && c->state == CLIENT_IDLE);
	if (c->on_idle_list) {
		TAILQ_REMOVE(&c->load->idle, c, entry);
		c->on_idle_list = false;
	}
	c->state = CLIENT_HEAD;
	c->sent = 0;
	memset(&c->scan, 0, sizeof(c->scan));
	c->due_ns = due_ns;
	client_write(c);
}

static void tunnel_begin(struct client *c)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", c->load->connect_to,
			 c->load->connect_to);

	c->state = CLIENT_TUNNEL;
	if (stream_write(&c->stream, text, (size_t)n) != n)
		client_drop(c, true);
}

static void tls_begin(struct client *c)
{
	c->state = CLIENT_HANDSHAKE;
	if (stream_tls_client(&c->stream, c->load->tls, c->load->tls_name) < 0)
		client_drop(c, true);
	else
		client_handshake(c);
}

static void connected(struct client *c)
{
	int err = 0;
	socklen_t n = sizeof(err);

	if (getsockopt(c->stream.fd, SOL_SOCKET, SO_ERROR, &err, &n) != 0 || err != 0) {
		client_drop(c, true);
		return;
	}
	stream_want(&c->stream, STREAM_READ);
	c->load->connects++;
	if (c->load->connect_to)
		tunnel_begin(c);
	else if (c->load->tls)
		tls_begin(c);
	else
		client_is_idle(c);
}

static void call_done(struct client *c)
{
	struct load *l = c->load;

	if (l->measuring) {
		l->calls++;
		latency_add(&l->latency, (uint64_t)(clock_mono_ns() - c->due_ns));
	}
	if (l->fresh || !c->keep_alive) {
		client_drop(c, false);
		return;
	}
	buf_relax(&c->in);
	client_is_idle(c);
}

static uint64_t count_events(struct slice s)
{
	uint64_t n = 0;

	for (const char *p = s.p, *end = s.p + s.n; p; n += p != NULL) {
		p = memmem(p, (size_t)(end - p), "data:", 5);
		if (p)
			p += 5;
	}
	return n;
}

static void head_seen(struct client *c, const struct h1_head *head)
{
	struct load *l = c->load;

	c->keep_alive = head->keep_alive;
	c->last_piece_ns = 0;
	h1_body_init(&c->body, head->framing, head->content_length);
	c->state = CLIENT_BODY;
	l->streams_begun += head->framing == H1_CHUNKED;
	if (!l->measuring)
		return;
	l->status_4xx += head->status >= 400 && head->status < 500;
	l->status_5xx += head->status >= 500;
	latency_add(&l->first_byte, (uint64_t)(clock_mono_ns() - c->due_ns));
}

/* false: more bytes needed, or the client is gone. */
static bool read_head(struct client *c)
{
	struct slice s = buf_slice(&c->in);
	struct h1_head head;
	enum h1_error error;
	int r;

	if (s.n == 0)
		return false;
	r = h1_parse_response(&c->scan, s.p, s.n, H1_POST, &head, &error);
	if (r == BUR_AGAIN)
		return false;
	if (r < 0) {
		client_drop(c, true);
		return false;
	}
	head_seen(c, &head);
	buf_consume(&c->in, head.head_bytes);
	return true;
}

static void piece_seen(struct client *c, struct slice data)
{
	struct load *l = c->load;
	int64_t now;

	if (!l->measuring)
		return;
	l->bytes += data.n;
	if (c->body.framing != H1_CHUNKED)
		return;
	l->events += count_events(data);
	now = loop_mono_ns(l->loop);
	if (c->last_piece_ns > 0 && now > c->last_piece_ns)
		latency_add(&l->gap, (uint64_t)(now - c->last_piece_ns));
	c->last_piece_ns = now;
}

static bool read_body(struct client *c)
{
	struct slice s = buf_slice(&c->in), data;
	size_t i = 0;
	int r;

	while ((r = h1_body_next(&c->body, s.p, s.n, &i, &data)) == BUR_OK)
		piece_seen(c, data);
	buf_consume(&c->in, i);
	if (r == BUR_AGAIN) {
		buf_relax(&c->in);
		return false;
	}
	if (r == BUR_EOF)
		call_done(c);
	else
		client_drop(c, true);
	return false;
}

static bool read_tunnel(struct client *c)
{
	struct slice s = buf_slice(&c->in);
	struct h1_head head;
	enum h1_error error;
	int r;

	r = h1_parse_response(&c->scan, s.p, s.n, H1_CONNECT, &head, &error);
	if (r == BUR_AGAIN)
		return false;
	if (r < 0 || head.status != 200) {
		client_drop(c, true);
		return false;
	}
	buf_consume(&c->in, head.head_bytes);
	tls_begin(c);
	return false;
}

static void client_read(struct client *c)
{
	size_t room;
	char *dst = buf_reserve(&c->in, 16384, &room);
	long n;
	bool more = true;

	CHECK(dst != NULL);
	n = stream_read(&c->stream, dst, room);
	if (n == BUR_AGAIN)
		return;
	if (n <= 0) {
		client_drop(c, c->state != CLIENT_IDLE);
		return;
	}
	buf_commit(&c->in, (size_t)n);
	while (more) {
		if (c->state == CLIENT_TUNNEL)
			more = read_tunnel(c);
		else if (c->state == CLIENT_HEAD)
			more = read_head(c);
		else if (c->state == CLIENT_BODY)
			more = read_body(c);
		else
			more = false;
	}
}

static void client_handshake(struct client *c)
{
	int r = stream_handshake(&c->stream);

	if (r == BUR_AGAIN)
		return;
	if (r < 0) {
		(void)fprintf(stderr, "load: TLS: %s\n", c->stream.error);
		client_drop(c, true);
		return;
	}
	stream_want(&c->stream, STREAM_READ);
	client_is_idle(c);
}

static void client_ready(void *ctx, unsigned what)
{
	struct client *c = ctx;

	CHECK_OBJ(c, CLIENT_MAGIC);
	if (c->state == CLIENT_CONNECTING)
		connected(c);
	else if (c->state == CLIENT_HANDSHAKE)
		client_handshake(c);
	else if ((what & STREAM_WRITE) && c->sent < buf_len(&c->load->request))
		client_write(c);
	else if (what & STREAM_READ)
		client_read(c);
}

static void client_connect(void *arg)
{
	struct client *c = arg;
	const struct addr *to = &c->load->target;
	int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0);
	memset(&c->scan, 0, sizeof(c->scan));
	c->state = CLIENT_CONNECTING;
	if (connect(fd, &to->sa, to->len) != 0 && errno != EINPROGRESS) {
		(void)fprintf(stderr, "load: connect: %s\n", strerror(errno));
		(void)close(fd);
		exit(1);
	}
	CHECK(stream_open(&c->stream, c->load->loop, fd, client_ready, c) == BUR_OK);
	stream_want(&c->stream, STREAM_WRITE);
}

struct client *client_new(struct load *l)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->magic = CLIENT_MAGIC;
	c->load = l;
	c->stream.fd = -1;
	buf_init(&c->in, IN_MAX);
	c->reconnect.fn = client_connect;
	c->reconnect.arg = c;
	client_connect(c);
	return c;
}

void client_park(struct client *c)
{
	CHECK(!c->on_idle_list);
	TAILQ_INSERT_TAIL(&c->load->idle, c, entry);
	c->on_idle_list = true;
}

void client_free(struct client *c)
{
	if (!c)
		return;
	loop_defer_cancel(c->load->loop, &c->reconnect);
	stream_close(&c->stream);
	buf_done(&c->in);
	free(c);
}
