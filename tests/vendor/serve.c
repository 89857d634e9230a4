#include "tests/vendor/serve.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "tests/vendor/coding.h"
#include "tests/vendor/conn.h"
#include "tests/vendor/control.h"
#include "tests/vendor/later.h"

#define CONN_MAGIC 0x56436f6eu
#define IN_MAX (256 * 1024)
#define RAW_MAX (64 * 1024 * 1024)
#define DRIBBLE_BYTES 64
#define DRIBBLE_MS 20

static void conn_ready(void *ctx, unsigned what);
static void conn_timer(void *arg);
static void conn_advance(struct conn *c);
static void conn_process(struct conn *c);

/* --- life and bill -------------------------------------------------------------------------------------------------
 */

static struct conn *conn_new(struct server *s, int fd)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c) {
		(void)close(fd);
		return NULL;
	}
	c->magic = CONN_MAGIC;
	c->server = s;
	buf_init(&c->in, IN_MAX);
	buf_init(&c->out, OUT_MAX);
	buf_init(&c->body, OUT_MAX);
	buf_init(&c->raw, RAW_MAX);
	if (stream_open(&c->stream, s->loop, fd, conn_ready, c) < 0) {
		free(c);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&s->conns, c, entry);
	s->stats.connections++;
	return c;
}

static void conn_free(void *arg)
{
	struct conn *c = arg;

	c->magic = 0;
	free(c);
}

static void conn_coding_end(struct conn *c)
{
	gzip_end(c->gzip);
	c->gzip = NULL;
}

void conn_call_end(struct conn *c, enum bill_status status)
{
	if (!c->billed_open)
		return;
	c->billed_open = false;
	c->server->stats.open_calls--;
	c->bill.usage = c->answer.usage;
	if (status == BILL_ABORTED || status == BILL_CUT)
		c->bill.usage = answer_usage(&c->answer, c->answer.generated);
	bill_end(c->server->bill, &c->bill, status);
}

static void conn_close(struct conn *c, bool client_gone)
{
	if (c->state == CONN_CLOSED)
		return;
	if (client_gone && c->billed_open)
		c->server->stats.client_gone++;
	conn_call_end(c, BILL_ABORTED);
	c->state = CONN_CLOSED;
	stream_close(&c->stream);
	loop_timer_free(c->timer);
	c->timer = NULL;
	conn_coding_end(c);
	buf_done(&c->in);
	buf_done(&c->out);
	buf_done(&c->body);
	buf_done(&c->raw);
	TAILQ_REMOVE(&c->server->conns, c, entry);
	loop_free_later(c->server->loop, &c->free_node, conn_free, c);
}

void conn_reset(struct conn *c)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(c->stream.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	conn_close(c, false);
}

void conn_call_begin(struct conn *c)
{
	struct server_stats *stats = &c->server->stats;
	const struct script *s = &c->request.script;

	c->bill = (struct bill_entry){.number = c->server->numbers,
				      .call = c->request.script.call,
				      .api = api_name(c->request.api),
				      .provider = seller_name(c->request.seller),
				      .model = c->request.model,
				      .usage = c->answer.usage,
				      .max_out = c->request.has_max_out ? (int64_t)c->request.max_out : -1,
				      .thinking = c->request.has_thinking ? (int64_t)c->request.thinking : -1,
				      .special_nanousd = s->has_cost ? (int64_t)s->cost_nanousd : -1};
	c->bill.usage.output = 0;
	c->billed_open = true;
	if (++stats->open_calls > stats->peak_calls)
		stats->peak_calls = stats->open_calls;
	bill_begin(c->server->bill, &c->bill);
}

void conn_sleep(struct conn *c, uint64_t ms)
{
	if (!c->timer)
		c->timer = loop_timer_new(c->server->loop, conn_timer, c);
	CHECK(c->timer != NULL);
	loop_timer_set(c->timer, (int64_t)ms * NS_PER_MS);
}

/* --- output --------------------------------------------------------------------------------------------------------
 */

static void request_done(struct conn *c)
{
	c->dribble = false;
	conn_coding_end(c);
	if (c->close_after || !c->keep_alive) {
		stream_shutdown(&c->stream);
		conn_close(c, false);
		return;
	}
	c->state = CONN_HEAD;
	memset(&c->scan, 0, sizeof(c->scan));
	buf_relax(&c->out);
	stream_want(&c->stream, STREAM_READ);
}

void conn_flush(struct conn *c)
{
	while (buf_len(&c->out) > 0) {
		struct slice s = buf_slice(&c->out);
		long w;

		if (c->dribble && s.n > DRIBBLE_BYTES)
			s.n = DRIBBLE_BYTES;
		w = stream_write(&c->stream, s.p, s.n);
		if (w == BUR_AGAIN) {
			stream_want(&c->stream, STREAM_READ | STREAM_WRITE);
			return;
		}
		if (w <= 0) {
			conn_close(c, true);
			return;
		}
		buf_consume(&c->out, (size_t)w);
		if (c->dribble && buf_len(&c->out) > 0) {
			conn_sleep(c, DRIBBLE_MS);
			return;
		}
	}
	stream_want(&c->stream, STREAM_READ);
	if (c->state == CONN_FLUSH)
		request_done(c);
}

void conn_put(struct conn *c, const void *p, size_t n)
{
	CHECK(buf_append(&c->out, p, n) == BUR_OK);
}

void conn_put_text(struct conn *c, const char *text)
{
	conn_put(c, text, strlen(text));
}

static const char *date_text(void)
{
	static char text[40];
	static int64_t at_s = -1;
	int64_t now_s = clock_wall_ns() / NS_PER_S;
	time_t t = (time_t)now_s;
	struct tm tm;

	if (now_s != at_s && gmtime_r(&t, &tm)) {
		(void)strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		at_s = now_s;
	}
	return text;
}

/* length < 0: chunked. */
void conn_put_head(struct conn *c, int status, const char *type, int64_t length, bool gzip, const char *extra)
{
	CHECK(buf_printf(&c->out,
			 "HTTP/1.1 %d %s\r\ndate: %s\r\nserver: vendor\r\ncontent-type: %s\r\n%s: req_%s\r\n%s%s",
			 status, h1_reason(status), date_text(), type, seller_request_id_field(c->request.seller),
			 c->answer.id, gzip ? "content-encoding: gzip\r\n" : "", extra) == BUR_OK);
	if (!c->keep_alive)
		conn_put_text(c, "connection: close\r\n");
	if (length < 0)
		conn_put_text(c, "transfer-encoding: chunked\r\n\r\n");
	else
		CHECK(buf_printf(&c->out, "content-length: %" PRId64 "\r\n\r\n", length) == BUR_OK);
}

void conn_put_chunk(struct conn *c, struct slice data)
{
	char line[H1_CHUNK_LINE_MAX];

	if (data.n == 0)
		return;
	conn_put(c, line, h1_chunk_line(line, data.n));
	conn_put(c, data.p, data.n);
	conn_put(c, "\r\n", 2);
}

void conn_finish(struct conn *c)
{
	c->state = CONN_FLUSH;
	conn_flush(c);
}

/* --- requests ------------------------------------------------------------------------------------------------------
 */

/* Why the request is no good; NULL: it is. */
static const char *request_fault(struct conn *c, struct slice *ret_file)
{
	struct request *r = &c->request;

	switch (api_body(r->api)) {
	case BODY_JSON:
		body_scan_finish(&c->json);
		return request_refusal(r);
	case BODY_FORM:
		return request_from_form(r, buf_slice(&c->raw), ret_file) ? NULL : "the body is not a form";
	default:
		return NULL;
	}
}

static void answer_later(struct conn *c, struct slice file)
{
	struct server *s = c->server;
	int status = later_answer(s->shelf, s->bill, &c->answer, s->numbers, buf_slice(&c->raw), file, &c->body);

	if (status == 200) {
		play_answer(c, buf_slice(&c->body), false);
		buf_consume(&c->body, buf_len(&c->body));
	} else {
		play_error(c, status, "invalid_request_error", status == 404 ? "no such object" : "no batch to do", "");
	}
}

static void request_arrived(struct conn *c)
{
	struct request *r = &c->request;
	struct slice file = {NULL, 0};
	const char *wrong = request_fault(c, &file);

	c->server->stats.hits++;
	answer_init(&c->answer, r, ++c->server->numbers);
	if (r->api == API_NONE) {
		play_error(c, 404, "invalid_request_error", "no such route", "");
	} else if (r->api == API_ECHO) {
		play_whole(c, 200, "application/json", slice_of(c->server->last_head), "x-echo: 1\r\n");
	} else if (wrong) {
		play_error(c, 400, "invalid_request_error", wrong, "");
	} else if (later_handles(r->api)) {
		answer_later(c, file);
	} else if (api_is_billed(r->api) && !c->answer.tariff) {
		play_error(c, 404, "invalid_request_error", "no such model", "");
	} else {
		if (api_is_billed(r->api))
			conn_call_begin(c);
		if (!r->script.delay_ms) {
			play(c);
			return;
		}
		c->state = CONN_DELAY;
		conn_sleep(c, r->script.delay_ms);
	}
}

static void send_continue(struct conn *c)
{
	conn_put_text(c, "HTTP/1.1 100 Continue\r\n\r\n");
	conn_flush(c);
}

static void refuse_head(struct conn *c, enum h1_error e)
{
	c->keep_alive = false;
	c->close_after = true;
	(void)snprintf(c->answer.id, sizeof(c->answer.id), "bad");
	play_whole(c, h1_error_status(e), "text/plain", slice_of(h1_error_text(e)), "");
}

/* false: no whole head yet. */
static bool read_head(struct conn *c)
{
	struct slice s = buf_slice(&c->in);
	struct h1_head head;
	enum h1_error error;
	int r;

	while (s.n >= 2 && s.p[0] == '\r' && s.p[1] == '\n') {
		buf_consume(&c->in, 2);
		s = buf_slice(&c->in);
	}
	if (s.n == 0)
		return false;
	r = h1_parse_request(&c->scan, s.p, s.n, &head, &error);
	if (r == BUR_AGAIN)
		return false;
	if (r < 0) {
		refuse_head(c, error);
		return true;
	}
	request_from_head(&c->request, &head);
	c->keep_alive = head.keep_alive;
	c->head_only = head.method == H1_HEAD;
	c->close_after = c->chunked = false;
	c->answer.id[0] = '\0';
	if (c->request.api == API_CONTROL) {
		struct slice target = head.target;

		(void)snprintf(c->answer.id, sizeof(c->answer.id), "control");
		control_answer(c->server, target, &c->body);
		play_body(c, 200);
		if (c->state != CONN_CLOSED)
			buf_consume(&c->in, head.head_bytes);
		return true;
	}
	if (c->server->keep_last || c->request.api == API_ECHO)
		control_head_json(&head, c->server->last_head, sizeof(c->server->last_head));
	body_scan_init(&c->json, &c->request);
	buf_consume(&c->raw, buf_len(&c->raw));
	h1_body_init(&c->decoder, head.framing, head.content_length);
	c->state = CONN_BODY;
	buf_consume(&c->in, head.head_bytes);
	if (head.expect_continue && head.framing != H1_NO_BODY)
		send_continue(c);
	return true;
}

static void take_body(struct conn *c, struct slice data)
{
	enum body_kind kind = api_body(c->request.api);

	if (kind == BODY_JSON)
		body_scan_feed(&c->json, data.p, data.n);
	else if (kind != BODY_ANY)
		CHECK(buf_append_slice(&c->raw, data) == BUR_OK);
}

/* false: more bytes needed. */
static bool read_body(struct conn *c)
{
	struct slice s = buf_slice(&c->in), data;
	size_t i = 0;
	int r;

	while ((r = h1_body_next(&c->decoder, s.p, s.n, &i, &data)) == BUR_OK)
		take_body(c, data);
	buf_consume(&c->in, i);
	if (r == BUR_AGAIN)
		return false;
	if (r == BUR_EOF)
		request_arrived(c);
	else
		refuse_head(c, c->decoder.error);
	return true;
}

static void conn_process(struct conn *c)
{
	bool more = true;

	while (more) {
		if (c->state == CONN_HEAD)
			more = read_head(c);
		else if (c->state == CONN_BODY)
			more = read_body(c);
		else
			return;
	}
	buf_relax(&c->in);
}

static void conn_advance(struct conn *c)
{
	if (c->state == CONN_DELAY)
		play(c);
	else if (c->state == CONN_STREAM)
		play_stream(c);
	else if (c->state == CONN_FLUSH)
		conn_flush(c);
	if (c->state == CONN_HEAD)
		conn_process(c);
}

static void conn_timer(void *arg)
{
	struct conn *c = arg;

	CHECK_OBJ(c, CONN_MAGIC);
	conn_advance(c);
}

static void conn_read(struct conn *c)
{
	for (int round = 0; round < 4; round++) {
		size_t room;
		char *dst = buf_reserve(&c->in, 8192, &room);
		long n;

		if (!dst) { /* a client that pipelines into a running answer waits */
			stream_want(&c->stream, buf_len(&c->out) ? STREAM_WRITE : 0);
			return;
		}
		n = stream_read(&c->stream, dst, room);
		if (n == BUR_AGAIN)
			return;
		if (n <= 0) {
			conn_close(c, true);
			return;
		}
		buf_commit(&c->in, (size_t)n);
		conn_process(c);
		if (c->state == CONN_CLOSED || (size_t)n < room)
			return;
	}
}

static bool conn_handshake(struct conn *c)
{
	int r = stream_handshake(&c->stream);

	if (r == BUR_AGAIN)
		return false;
	if (r < 0) {
		conn_close(c, true);
		return false;
	}
	c->handshaking = false;
	stream_want(&c->stream, STREAM_READ);
	return true;
}

static void conn_ready(void *ctx, unsigned what)
{
	struct conn *c = ctx;

	CHECK_OBJ(c, CONN_MAGIC);
	if (c->state == CONN_CLOSED || (c->handshaking && !conn_handshake(c)))
		return;
	if ((what & STREAM_WRITE) && buf_len(&c->out) > 0 && !c->dribble)
		conn_flush(c);
	if (c->state == CONN_STREAM && buf_len(&c->out) == 0 && c->request.script.chunk_ms == 0)
		play_stream(c);
	if (c->state == CONN_HEAD)
		conn_process(c);
	if (c->state != CONN_CLOSED && (what & STREAM_READ))
		conn_read(c);
}

void server_accept_plain(void *ctx, int fd, const struct addr *peer)
{
	(void)peer;
	(void)conn_new(ctx, fd);
}

void server_accept_tls(void *ctx, int fd, const struct addr *peer)
{
	struct server *s = ctx;
	struct conn *c = conn_new(s, fd);

	(void)peer;
	if (!c)
		return;
	c->handshaking = true;
	if (stream_tls_server(&c->stream, s->tls, NULL, 0) < 0)
		conn_close(c, false);
}

void server_close_all(struct server *s)
{
	while (!TAILQ_EMPTY(&s->conns))
		conn_close(TAILQ_FIRST(&s->conns), false);
}
