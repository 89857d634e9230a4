/* httpd.c - whole requests in, whole answers out.
 *
 * A connection is in one state at a time:
 *   TLS > HEAD > BODY > HANDLER > WRITE > HEAD ... ; an answer that must close: WRITE > LINGER > gone.
 * Pipelined requests wait in the input buffer until the answer before them has been written. */
#include "net/httpd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "net/listen.h"
#include "net/stream.h"

#define HTTPD_MAGIC 0x68747470u
#define CONN_MAGIC 0x68636f6eu
#define READ_BYTES 16384
#define IN_MAX (H1_HEAD_MAX + 4 * READ_BYTES)
#define OUT_MAX (64u << 20)
#define ARENA_MAX (16u << 20)
#define LINGER_BYTES_MAX (16u << 20)
#define READS_PER_WAKE 4

enum conn_state { CONN_TLS, CONN_HEAD, CONN_BODY, CONN_HANDLER, CONN_WRITE, CONN_LINGER, CONN_CLOSED };

struct httpd_conn {
	unsigned magic;
	enum conn_state state;
	struct httpd *httpd; /* NULL: the server has gone, a handler still owes its answer */
	struct loop *loop;
	LIST_ENTRY(httpd_conn) entry;
	struct stream stream;
	struct deadline deadline;
	struct loop_free_node free_node;
	struct addr peer;
	struct buf in, out, body;
	struct h1_scan scan;
	struct h1_head head;
	struct h1_body decoder;
	struct httpd_request request;
	size_t lingered_bytes;
	bool running;    /* conn_run is on the stack: it will go on, httpd_reply need not */
	bool in_handler; /* the handler has not answered */
	bool keep_alive, input_ended;
};

struct httpd {
	unsigned magic;
	struct loop *loop;
	struct httpd_config config;
	httpd_handler *handler;
	void *ctx;
	struct listener *listeners[4];
	size_t n_listeners;
	LIST_HEAD(conn_list, httpd_conn) conns;
	size_t n_conns;
	struct deadline_queue head_queue, idle_queue;
};

static void conn_run(struct httpd_conn *c);

/* --- life of a connection ------------------------------------------------------------------------------------------
 */

static void conn_destroy(void *arg)
{
	struct httpd_conn *c = arg;

	arena_reset(&c->request.arena);
	buf_done(&c->in);
	buf_done(&c->out);
	buf_done(&c->body);
	c->magic = 0;
	free(c);
}

/* The memory stays while a handler may still answer. */
static void conn_close(struct httpd_conn *c)
{
	if (c->state == CONN_CLOSED)
		return;
	c->state = CONN_CLOSED;
	deadline_disarm(&c->deadline);
	stream_close(&c->stream);
	if (c->httpd) {
		LIST_REMOVE(c, entry);
		c->httpd->n_conns--;
		c->httpd = NULL;
	}
	if (!c->in_handler)
		loop_free_later(c->loop, &c->free_node, conn_destroy, c);
}

static struct httpd_conn *conn_of_deadline(struct deadline *d)
{
	return (struct httpd_conn *)(void *)((char *)d - offsetof(struct httpd_conn, deadline));
}

static void conn_expired(struct deadline *d)
{
	struct httpd_conn *c = conn_of_deadline(d);

	CHECK_OBJ(c, CONN_MAGIC);
	conn_close(c);
}

/* --- answers -------------------------------------------------------------------------------------------------------
 */

static struct slice http_date(struct loop *loop, char dst[40])
{
	time_t now_s = (time_t)(loop_wall_ns(loop) / NS_PER_S);
	struct tm tm;

	if (!gmtime_r(&now_s, &tm))
		return SLICE_NONE;
	return slice_mem(dst, strftime(dst, 40, "%a, %d %b %Y %H:%M:%S GMT", &tm));
}

/* The handler's own lines pass the same check as every other value. */
static void write_extra(struct h1_writer *w, struct slice lines)
{
	struct slice line, rest = lines, name, value;
	bool more = lines.n > 0;

	while (more) {
		more = slice_cut(rest, '\n', &line, &rest);
		if (line.n == 0 && !more)
			return;
		if (line.n == 0 || line.p[line.n - 1] != '\r' || !slice_cut(line, ':', &name, &value)) {
			w->err = w->err ? w->err : BUR_INVALID;
			return;
		}
		value.n--; /* the CR */
		h1_write_field(w, name, slice_trim(value));
	}
}

static bool status_has_body(int status)
{
	return status >= 200 && status != 204 && status != 304;
}

static int answer_write(struct httpd_conn *c, int status, struct slice content_type, struct slice extra,
			struct slice body)
{
	bool is_head = c->head.method == H1_HEAD;
	size_t before = buf_len(&c->out);
	struct h1_writer w;
	char date[40];
	int r;

	h1_write_status(&w, &c->out, status, slice_of(h1_reason(status)));
	h1_write_field(&w, SLICE("date"), http_date(c->loop, date));
	if (content_type.n > 0)
		h1_write_field(&w, SLICE("content-type"), content_type);
	if (status_has_body(status))
		h1_write_field_u64(&w, SLICE("content-length"), body.n);
	write_extra(&w, extra);
	if (!c->keep_alive)
		h1_write_field(&w, SLICE("connection"), SLICE("close"));
	else if (c->head.minor == 0)
		h1_write_field(&w, SLICE("connection"), SLICE("keep-alive"));
	r = h1_write_end(&w);
	if (r == BUR_OK && !is_head && status_has_body(status))
		r = buf_append_slice(&c->out, body);
	if (r < 0)
		c->out.tail = c->out.head + before;
	return r;
}

static void answer(struct httpd_conn *c, int status, struct slice content_type, struct slice extra, struct slice body)
{
	if (answer_write(c, status, content_type, extra, body) < 0) {
		log_limited(LOG_ERROR, "net.httpd", "an answer is malformed or too large");
		c->keep_alive = false;
		if (answer_write(c, 500, SLICE("text/plain"), SLICE_NONE, SLICE("internal error\n")) < 0) {
			conn_close(c);
			return;
		}
	}
	c->state = CONN_WRITE;
	deadline_arm(&c->httpd->idle_queue, &c->deadline);
}

/* Refusals of our own: the request cannot be trusted to end where it says, so the connection ends. */
static void refuse(struct httpd_conn *c, int status, const char *text)
{
	char body[160];
	int n = snprintf(body, sizeof(body), "%s\n", text);

	c->keep_alive = false;
	answer(c, status, SLICE("text/plain; charset=utf-8"), SLICE_NONE, slice_mem(body, n > 0 ? (size_t)n : 0));
}

void httpd_reply(struct httpd_request *q, int status, struct slice content_type, struct slice extra_fields,
		 struct slice body)
{
	struct httpd_conn *c = q->conn;

	CHECK_OBJ(c, CONN_MAGIC);
	CHECK(c->in_handler);
	c->in_handler = false;
	if (c->state == CONN_CLOSED) { /* the client or the server left meanwhile */
		loop_free_later(c->loop, &c->free_node, conn_destroy, c);
		return;
	}
	CHECK(c->state == CONN_HANDLER);
	answer(c, status, content_type, extra_fields, body);
	if (!c->running)
		conn_run(c);
}

/* --- steps: each returns true to go on with the state it has set, false to wait -------------------------------------
 */

static bool step_tls(struct httpd_conn *c)
{
	int r = stream_handshake(&c->stream);

	if (r == BUR_AGAIN)
		return false;
	if (r < 0) {
		conn_close(c);
		return true;
	}
	c->state = CONN_HEAD;
	deadline_arm(&c->httpd->idle_queue, &c->deadline);
	return true;
}

static void split_target(struct httpd_conn *c)
{
	struct slice target = c->head.target;
	size_t skip;

	if (target.p[0] != '/' && target.p[0] != '*') { /* absolute-form: what follows the authority */
		skip = slice_find(target, ':') + 3;
		target = slice_sub(target, skip, target.n);
		target = slice_sub(target, slice_find(target, '/'), target.n);
		if (target.n == 0)
			target = SLICE("/");
	}
	(void)slice_cut(target, '?', &c->request.path, &c->request.query);
}

/* The head moves to the arena, for the input buffer moves under the body. */
static enum h1_error head_keep(struct httpd_conn *c)
{
	struct slice text = slice_sub(buf_slice(&c->in), 0, c->head.head_bytes),
		     copy = arena_dup(&c->request.arena, text);
	struct h1_scan scan = {0};
	enum h1_error e = H1_HEAD_TOO_LARGE;

	if (!copy.p || h1_parse_request(&scan, copy.p, copy.n, &c->head, &e) != BUR_OK)
		return e;
	buf_consume(&c->in, text.n);
	return H1_NONE;
}

static bool body_expected(const struct httpd_conn *c)
{
	return c->head.framing == H1_CHUNKED || (c->head.framing == H1_LENGTH && c->head.content_length > 0);
}

static void begin_request(struct httpd_conn *c)
{
	c->scan = (struct h1_scan){0};
	c->keep_alive = c->head.keep_alive;
	c->request.head = &c->head;
	c->request.peer = &c->peer;
	c->request.conn = c;
	if (c->head.method == H1_CONNECT) {
		refuse(c, 405, "CONNECT is not for this port");
		return;
	}
	split_target(c);
	if (c->head.framing == H1_LENGTH && c->head.content_length > c->httpd->config.max_body_bytes) {
		refuse(c, 413, "the request body is too large");
		return;
	}
	h1_body_init(&c->decoder, c->head.framing, c->head.content_length);
	c->state = CONN_BODY;
	deadline_arm(&c->httpd->idle_queue, &c->deadline);
	if (c->head.expect_continue && body_expected(c) && buf_len(&c->in) == 0 &&
	    buf_append_slice(&c->out, SLICE("HTTP/1.1 100 Continue\r\n\r\n")) < 0)
		conn_close(c);
}

static bool step_head(struct httpd_conn *c)
{
	struct slice in = buf_slice(&c->in);
	bool was_waiting = c->deadline.queue != &c->httpd->head_queue;
	enum h1_error e = H1_NONE;
	int r;

	if (in.n == 0)
		return false;
	r = h1_parse_request(&c->scan, in.p, in.n, &c->head, &e);
	if (r == BUR_AGAIN) {
		if (was_waiting) /* from its first byte on, a head has one deadline */
			deadline_arm(&c->httpd->head_queue, &c->deadline);
		return false;
	}
	if (r == BUR_OK)
		e = head_keep(c);
	if (e != H1_NONE) {
		c->head.method = H1_OTHER;
		c->head.minor = 1;
		refuse(c, h1_error_status(e), h1_error_text(e));
		return true;
	}
	begin_request(c);
	return true;
}

static bool step_body(struct httpd_conn *c)
{
	struct slice in = buf_slice(&c->in), piece;
	size_t i = 0;
	int r;

	for (;;) {
		r = h1_body_next(&c->decoder, in.p, in.n, &i, &piece);
		if (r != BUR_OK)
			break;
		if (piece.n > c->httpd->config.max_body_bytes - buf_len(&c->body) ||
		    buf_append_slice(&c->body, piece) < 0) {
			refuse(c, 413, "the request body is too large");
			return true;
		}
	}
	buf_consume(&c->in, i);
	if (r == BUR_AGAIN)
		return false;
	if (r != BUR_EOF) {
		refuse(c, h1_error_status(c->decoder.error), h1_error_text(c->decoder.error));
		return true;
	}
	c->request.body = buf_slice(&c->body);
	c->state = CONN_HANDLER;
	c->in_handler = true;
	deadline_disarm(&c->deadline);
	c->httpd->handler(c->httpd->ctx, &c->request);
	return c->state != CONN_HANDLER;
}

/* The answer is out: the connection takes the next request, or ends. */
static void finish_answer(struct httpd_conn *c)
{
	buf_relax(&c->out);
	buf_consume(&c->body, buf_len(&c->body));
	buf_relax(&c->body);
	arena_reset(&c->request.arena);
	arena_init(&c->request.arena, ARENA_MAX);
	memset(&c->head, 0, offsetof(struct h1_head, fields));
	c->request.path = c->request.query = c->request.body = SLICE_NONE;
	if (c->keep_alive && !c->input_ended) {
		c->state = CONN_HEAD;
		deadline_arm(&c->httpd->idle_queue, &c->deadline);
		return;
	}
	if (c->input_ended) {
		conn_close(c);
		return;
	}
	/* Closing with unread bytes would reset the connection, and the answer might be lost with it. */
	stream_shutdown(&c->stream);
	c->state = CONN_LINGER;
	c->lingered_bytes = 0;
	deadline_arm(&c->httpd->head_queue, &c->deadline);
}

/* false: more must wait for the socket, or the connection has gone. */
static bool flush(struct httpd_conn *c)
{
	struct slice out;
	long r;

	while (buf_len(&c->out) > 0) {
		out = buf_slice(&c->out);
		r = stream_write(&c->stream, out.p, out.n);
		if (r == BUR_AGAIN)
			return false;
		if (r < 0) {
			conn_close(c);
			return false;
		}
		buf_consume(&c->out, (size_t)r);
		if (c->state == CONN_WRITE)
			deadline_arm(&c->httpd->idle_queue, &c->deadline);
	}
	return true;
}

static bool step_linger(struct httpd_conn *c)
{
	c->lingered_bytes += buf_len(&c->in);
	buf_consume(&c->in, buf_len(&c->in));
	if (c->input_ended || c->lingered_bytes > LINGER_BYTES_MAX) {
		conn_close(c);
		return true;
	}
	return false;
}

static bool conn_step(struct httpd_conn *c)
{
	switch (c->state) {
	case CONN_TLS:
		return step_tls(c);
	case CONN_HEAD:
		return step_head(c);
	case CONN_BODY:
		return step_body(c);
	case CONN_WRITE:
		if (buf_len(&c->out) > 0)
			return false;
		finish_answer(c);
		return true;
	case CONN_LINGER:
		return step_linger(c);
	case CONN_HANDLER:
	case CONN_CLOSED:
		break;
	}
	return false;
}

static unsigned conn_interest(const struct httpd_conn *c)
{
	bool read = c->state == CONN_TLS || c->state == CONN_HEAD || c->state == CONN_BODY || c->state == CONN_LINGER;
	unsigned want = read && buf_space(&c->in) > 0 && !c->input_ended ? STREAM_READ : 0;

	return buf_len(&c->out) > 0 ? want | STREAM_WRITE : want;
}

/* Goes on as far as bytes and answers allow, then sets what to wait for. */
static void conn_run(struct httpd_conn *c)
{
	bool more = true;

	c->running = true;
	while (more && c->state != CONN_CLOSED) {
		more = conn_step(c);
		if (c->state == CONN_CLOSED)
			break;
		if (buf_len(&c->out) > 0 && flush(c))
			more = true;
	}
	c->running = false;
	if (c->state == CONN_CLOSED)
		return;
	if (c->input_ended && (c->state == CONN_HEAD || c->state == CONN_BODY || c->state == CONN_TLS)) {
		conn_close(c); /* nothing more will come to complete it */
		return;
	}
	if (buf_len(&c->in) == 0)
		buf_relax(&c->in);
	stream_want(&c->stream, conn_interest(c));
}

/* --- socket --------------------------------------------------------------------------------------------------------
 */

/* false: the connection has gone. */
static bool conn_fill(struct httpd_conn *c)
{
	char *dst;
	size_t room;
	long r;

	for (int i = 0; i < READS_PER_WAKE && buf_space(&c->in) > 0; i++) {
		room = buf_space(&c->in) < READ_BYTES ? buf_space(&c->in) : READ_BYTES;
		dst = buf_reserve(&c->in, room, &room);
		if (!dst) {
			conn_close(c);
			return false;
		}
		r = stream_read(&c->stream, dst, room);
		if (r == BUR_AGAIN)
			break;
		if (r == BUR_IO) {
			conn_close(c);
			return false;
		}
		if (r < 0) { /* an end; a request needs its whole body, so a dirty one does no harm */
			c->input_ended = true;
			break;
		}
		buf_commit(&c->in, (size_t)r);
		if ((size_t)r < room)
			break;
	}
	return true;
}

static void conn_ready(void *ctx, unsigned what)
{
	struct httpd_conn *c = ctx;

	CHECK_OBJ(c, CONN_MAGIC);
	if (c->state == CONN_CLOSED)
		return;
	if ((what & STREAM_READ) && c->state != CONN_TLS && (c->stream.want & STREAM_READ) && !conn_fill(c))
		return;
	conn_run(c);
}

static void httpd_accept(void *ctx, int fd, const struct addr *peer)
{
	struct httpd *h = ctx;
	struct httpd_conn *c = NULL;

	if (h->n_conns < h->config.max_connections)
		c = calloc(1, sizeof(*c));
	if (!c) {
		log_limited(LOG_WARN, "net.httpd", "connection refused: %zu are open", h->n_conns);
		(void)close(fd);
		return;
	}
	c->magic = CONN_MAGIC;
	c->httpd = h;
	c->loop = h->loop;
	c->peer = *peer;
	buf_init(&c->in, IN_MAX);
	buf_init(&c->out, OUT_MAX);
	buf_init(&c->body, h->config.max_body_bytes > 0 ? h->config.max_body_bytes : 1);
	arena_init(&c->request.arena, ARENA_MAX);
	if (stream_open(&c->stream, h->loop, fd, conn_ready, c) < 0) {
		free(c);
		return;
	}
	LIST_INSERT_HEAD(&h->conns, c, entry);
	h->n_conns++;
	c->state = h->config.tls ? CONN_TLS : CONN_HEAD;
	deadline_arm(&h->head_queue, &c->deadline);
	if (h->config.tls && stream_tls_server(&c->stream, h->config.tls, NULL, 0) < 0)
		conn_close(c);
}

/* --- the server ----------------------------------------------------------------------------------------------------
 */

struct httpd *httpd_new(struct loop *loop, const struct httpd_config *config, httpd_handler *handler, void *ctx)
{
	struct httpd *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	*h = (struct httpd){.magic = HTTPD_MAGIC, .loop = loop, .config = *config, .handler = handler, .ctx = ctx};
	LIST_INIT(&h->conns);
	deadline_queue_init(&h->head_queue, loop, config->head_timeout_ns, conn_expired);
	deadline_queue_init(&h->idle_queue, loop, config->idle_timeout_ns, conn_expired);
	return h;
}

int httpd_listen(struct httpd *h, int fd)
{
	struct listener *l;

	CHECK(h->magic == HTTPD_MAGIC);
	if (h->n_listeners == ARRAY_LEN(h->listeners))
		return BUR_FULL;
	l = listener_new(h->loop, fd, httpd_accept, h);
	if (!l)
		return BUR_NOMEM;
	(void)close(fd); /* the listener has its own */
	h->listeners[h->n_listeners++] = l;
	return BUR_OK;
}

void httpd_free(struct httpd *h)
{
	struct httpd_conn *c;

	if (!h)
		return;
	CHECK_OBJ(h, HTTPD_MAGIC);
	for (size_t i = 0; i < h->n_listeners; i++)
		listener_free(h->listeners[i]);
	while ((c = LIST_FIRST(&h->conns)) != NULL)
		conn_close(c);
	h->magic = 0;
	free(h);
}

/* --- query strings -------------------------------------------------------------------------------------------------
 */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent and plus decoding into dst (room for s.n); -1 on bad encoding. NUL is refused: values end up in C strings. */
static long percent_decode(struct slice s, char *dst)
{
	size_t n = 0;
	int hi, lo;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '%') {
			dst[n++] = s.p[i] == '+' ? ' ' : s.p[i];
			continue;
		}
		hi = s.n - i > 2 ? hex_value(s.p[i + 1]) : -1;
		lo = s.n - i > 2 ? hex_value(s.p[i + 2]) : -1;
		if (hi < 0 || lo < 0 || (hi == 0 && lo == 0))
			return -1;
		dst[n++] = (char)(hi << 4 | lo);
		i += 2;
	}
	return (long)n;
}

int httpd_query(struct httpd_request *q, const char *name, struct slice *ret)
{
	struct slice rest = q->query, pair, key, value;
	bool more = rest.n > 0;
	char *dst;
	long n;

	*ret = SLICE_NONE;
	while (more) {
		more = slice_cut(rest, '&', &pair, &rest);
		if (!slice_cut(pair, '=', &key, &value))
			value = slice_mem(pair.p + pair.n, 0);
		if (!slice_eq(key, slice_of(name)))
			continue;
		dst = arena_alloc(&q->arena, value.n + 1);
		if (!dst)
			return BUR_NOMEM;
		n = percent_decode(value, dst);
		if (n < 0)
			return BUR_INVALID;
		dst[n] = '\0';
		*ret = slice_mem(dst, (size_t)n);
		return BUR_OK;
	}
	return BUR_OK;
}
