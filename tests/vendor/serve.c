#include "tests/vendor/serve.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "net/h1.h"
#include "net/stream.h"
#include "tests/vendor/answer.h"
#include "tests/vendor/coding.h"
#include "tests/vendor/control.h"
#include "tests/vendor/later.h"
#include "tests/vendor/request.h"

#define CONN_MAGIC 0x56436f6eu
#define IN_MAX (256 * 1024)
#define RAW_MAX (64 * 1024 * 1024)
#define OUT_MAX (96 * 1024 * 1024)
#define OUT_ENOUGH (256 * 1024) /* no new pieces while this much waits for the client */
#define HUGE_BYTES (64 * 1024 * 1024)
#define DRIBBLE_BYTES 64
#define DRIBBLE_MS 20

enum conn_state { CONN_HEAD, CONN_BODY, CONN_DELAY, CONN_STREAM, CONN_FLUSH, CONN_CLOSED };

struct conn {
	unsigned magic;
	TAILQ_ENTRY(conn) entry;
	struct server *server;
	struct stream stream;
	enum conn_state state;
	bool handshaking, keep_alive, close_after, dribble, chunked, billed_open, head_only;
	struct buf in, out, body, raw; /* raw: the request's body, where it is kept whole */
	struct h1_scan scan;
	struct h1_body decoder;
	struct body_scan json;
	struct request request;
	struct answer answer;
	struct bill_entry bill;
	struct loop_timer *timer;
	struct z_stream_s *gzip;
	struct loop_free_node free_node;
};

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

static void coding_end(struct conn *c)
{
	gzip_end(c->gzip);
	c->gzip = NULL;
}

static void call_end(struct conn *c, enum bill_status status)
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
	call_end(c, BILL_ABORTED);
	c->state = CONN_CLOSED;
	stream_close(&c->stream);
	loop_timer_free(c->timer);
	c->timer = NULL;
	coding_end(c);
	buf_done(&c->in);
	buf_done(&c->out);
	buf_done(&c->body);
	buf_done(&c->raw);
	TAILQ_REMOVE(&c->server->conns, c, entry);
	loop_free_later(c->server->loop, &c->free_node, conn_free, c);
}

static void conn_reset(struct conn *c)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(c->stream.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	conn_close(c, false);
}

static void call_begin(struct conn *c)
{
	struct server_stats *stats = &c->server->stats;
	const struct script *s = &c->request.script;

	c->bill = (struct bill_entry){.number = c->server->numbers,
				      .call = c->request.script.call,
				      .api = api_name(c->request.api),
				      .provider = seller_name(c->request.seller),
				      .model = c->request.model,
				      .usage = c->answer.usage,
				      .special_nanousd = s->has_cost ? (int64_t)s->cost_nanousd : -1};
	c->bill.usage.output = 0;
	c->billed_open = true;
	if (++stats->open_calls > stats->peak_calls)
		stats->peak_calls = stats->open_calls;
	bill_begin(c->server->bill, &c->bill);
}

static void conn_sleep(struct conn *c, uint64_t ms)
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
	coding_end(c);
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

static void conn_flush(struct conn *c)
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

static void put(struct conn *c, const void *p, size_t n)
{
	CHECK(buf_append(&c->out, p, n) == BUR_OK);
}

static void put_text(struct conn *c, const char *text)
{
	put(c, text, strlen(text));
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
static void put_head(struct conn *c, int status, const char *type, int64_t length, bool gzip, const char *extra)
{
	CHECK(buf_printf(&c->out,
			 "HTTP/1.1 %d %s\r\ndate: %s\r\nserver: vendor\r\ncontent-type: %s\r\n%s: req_%s\r\n%s%s",
			 status, h1_reason(status), date_text(), type, seller_request_id_field(c->request.seller),
			 c->answer.id, gzip ? "content-encoding: gzip\r\n" : "", extra) == BUR_OK);
	if (!c->keep_alive)
		put_text(c, "connection: close\r\n");
	if (length < 0)
		put_text(c, "transfer-encoding: chunked\r\n\r\n");
	else
		CHECK(buf_printf(&c->out, "content-length: %" PRId64 "\r\n\r\n", length) == BUR_OK);
}

static void put_chunk(struct conn *c, struct slice data)
{
	char line[H1_CHUNK_LINE_MAX];

	if (data.n == 0)
		return;
	put(c, line, h1_chunk_line(line, data.n));
	put(c, data.p, data.n);
	put(c, "\r\n", 2);
}

/* --- answers -------------------------------------------------------------------------------------------------------
 */

static void finish(struct conn *c)
{
	c->state = CONN_FLUSH;
	conn_flush(c);
}

static void send_whole(struct conn *c, int status, const char *type, struct slice body, const char *extra)
{
	put_head(c, status, type, (int64_t)body.n, false, extra);
	if (!c->head_only)
		put(c, body.p, body.n);
	finish(c);
}

static void send_body(struct conn *c, int status)
{
	send_whole(c, status, "application/json", buf_slice(&c->body), "");
	if (c->state != CONN_CLOSED)
		buf_consume(&c->body, buf_len(&c->body));
}

/* The head of the answer that was asked for. */
static void put_answer_head(struct conn *c, int64_t length, bool gzip)
{
	struct buf fields;

	buf_init(&fields, H1_HEAD_MAX);
	CHECK(answer_fields(&c->answer, &fields) == BUR_OK && buf_append(&fields, "", 1) == BUR_OK);
	put_head(c, 200, answer_type(&c->request), length, gzip, buf_slice(&fields).p);
	buf_done(&fields);
}

static void send_answer(struct conn *c, struct slice body, bool gzip)
{
	put_answer_head(c, (int64_t)body.n, gzip);
	put(c, body.p, body.n);
	finish(c);
}

static void send_error(struct conn *c, int status, const char *type, const char *message, const char *extra)
{
	char fields[256];

	call_end(c, BILL_ERROR);
	CHECK(seller_error(c->request.seller, status, type, message, &c->body) == BUR_OK);
	(void)snprintf(fields, sizeof(fields), "%s%s", extra, seller_error_fields(c->request.seller, status));
	put_head(c, status, "application/json", (int64_t)buf_len(&c->body), false, fields);
	put(c, buf_slice(&c->body).p, buf_len(&c->body));
	buf_consume(&c->body, buf_len(&c->body));
	finish(c);
}

static void break_off(struct conn *c, enum bill_status status)
{
	call_end(c, status);
	c->close_after = true;
	finish(c);
}

/* Faults that spoil a whole answer; `body` is what it would have been. */
static void send_spoiled(struct conn *c, struct slice body)
{
	static const char nonsense[] = "<html>this is not what you asked for</html>";
	const char *type = answer_type(&c->request);
	struct buf coded;

	switch (c->request.script.fault) {
	case FAULT_NONSENSE:
		send_whole(c, 200, type, slice_of(nonsense), "");
		return;
	case FAULT_CUT_MID:
		put_answer_head(c, (int64_t)body.n, false);
		put(c, body.p, body.n / 2);
		break_off(c, BILL_COMPLETE);
		return;
	case FAULT_WRONG_LENGTH:
		put_answer_head(c, (int64_t)body.n + 100, false);
		put(c, body.p, body.n);
		break_off(c, BILL_COMPLETE);
		return;
	case FAULT_GZIP_BOMB:
	case FAULT_TRUNCATED_GZIP:
		buf_init(&coded, OUT_MAX);
		if (c->request.script.fault == FAULT_GZIP_BOMB) {
			gzip_bomb(body, &coded);
		} else {
			gzip_whole(body, &coded);
			coded.tail = coded.head + buf_len(&coded) / 2;
		}
		send_answer(c, buf_slice(&coded), true);
		buf_done(&coded);
		return;
	default:
		send_answer(c, body, false);
		return;
	}
}

static void send_gzipped(struct conn *c)
{
	struct buf coded;

	buf_init(&coded, OUT_MAX);
	gzip_whole(buf_slice(&c->body), &coded);
	send_answer(c, buf_slice(&coded), true);
	buf_done(&coded);
}

static void answer_unary(struct conn *c)
{
	enum fault fault = c->request.script.fault;

	if (fault == FAULT_HUGE)
		c->answer.pad_bytes = HUGE_BYTES;
	CHECK(answer_whole(&c->answer, &c->body) == BUR_OK);
	if (c->request.background)
		later_keep_response(c->server->shelf, &c->answer);
	call_end(c, BILL_COMPLETE);
	if (fault == FAULT_SLOW)
		c->dribble = true;
	if (fault != FAULT_NONE && fault != FAULT_SLOW)
		send_spoiled(c, buf_slice(&c->body));
	else if (c->request.script.gzip)
		send_gzipped(c);
	else
		send_answer(c, buf_slice(&c->body), false);
	if (c->state != CONN_CLOSED) {
		buf_consume(&c->body, buf_len(&c->body));
		buf_relax(&c->body);
	}
}

static void emit_piece(struct conn *c, bool last)
{
	struct buf coded;

	if (!c->gzip) {
		put_chunk(c, buf_slice(&c->body));
	} else {
		buf_init(&coded, OUT_MAX);
		gzip_add(c->gzip, buf_slice(&c->body), last, &coded);
		put_chunk(c, buf_slice(&coded));
		buf_done(&coded);
	}
	buf_consume(&c->body, buf_len(&c->body));
}

static void stream_end(struct conn *c)
{
	call_end(c, BILL_COMPLETE);
	put_text(c, "0\r\n\r\n");
	finish(c);
}

/* Produces pieces until the script says wait, the client has enough to read, or the end. */
static void stream_pieces(struct conn *c)
{
	const struct script *s = &c->request.script;
	bool done = false;

	while (buf_len(&c->out) < OUT_ENOUGH) {
		if (s->fault == FAULT_CUT_MID && c->answer.piece > c->answer.chunks / 2) {
			break_off(c, BILL_CUT);
			return;
		}
		CHECK(answer_piece(&c->answer, &c->body, &done) == BUR_OK);
		if (s->fault == FAULT_NONSENSE) {
			buf_consume(&c->body, buf_len(&c->body));
			CHECK(buf_printf(&c->body, "data: {\"not\": json at all\n\n") == BUR_OK);
		}
		emit_piece(c, done);
		if (done) {
			stream_end(c);
			return;
		}
		/* The pieces before the first word and after the last are not waited for. */
		if (s->chunk_ms && c->answer.piece > 1 && c->answer.piece <= c->answer.chunks) {
			conn_sleep(c, s->chunk_ms);
			break;
		}
	}
	conn_flush(c);
}

static void answer_stream(struct conn *c)
{
	c->chunked = true;
	c->dribble = c->request.script.fault == FAULT_SLOW;
	if (c->request.script.gzip)
		c->gzip = gzip_begin();
	put_answer_head(c, -1, c->request.script.gzip);
	c->state = CONN_STREAM;
	stream_pieces(c);
}

/* true: the fault was the answer. */
static bool answer_fault(struct conn *c)
{
	switch (c->request.script.fault) {
	case FAULT_ERROR_BEFORE:
		send_error(c, 500, "server_error", "the vendor is unwell", "");
		return true;
	case FAULT_RATE_LIMIT:
		send_error(c, 429, "rate_limit_error", "slow down", "retry-after: 1\r\n");
		return true;
	case FAULT_OVERLOADED:
		send_error(c, 529, "overloaded_error", "Overloaded", "");
		return true;
	case FAULT_CUT_HEAD:
		c->answer.generated = c->answer.usage.output;
		put_text(c, "HTTP/1.1 200 OK\r\ncontent-type: applic");
		break_off(c, BILL_CUT);
		return true;
	case FAULT_GARBAGE:
		c->answer.generated = c->answer.usage.output;
		put_text(c, "\x16\x03\x01 what is HTTP?\r\n\r\n");
		break_off(c, BILL_CUT);
		return true;
	case FAULT_RESET:
		call_end(c, BILL_ERROR);
		conn_reset(c);
		return true;
	default:
		return false;
	}
}

static void call_answer(struct conn *c)
{
	if (answer_fault(c))
		return;
	if (answer_is_stream(&c->request))
		answer_stream(c);
	else
		answer_unary(c);
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
		return r->bad_json ? "the body is not JSON" : NULL;
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
		send_answer(c, buf_slice(&c->body), false);
		buf_consume(&c->body, buf_len(&c->body));
	} else {
		send_error(c, status, "invalid_request_error", status == 404 ? "no such object" : "no batch to do", "");
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
		send_error(c, 404, "invalid_request_error", "no such route", "");
	} else if (r->api == API_ECHO) {
		send_whole(c, 200, "application/json", slice_of(c->server->last_head), "x-echo: 1\r\n");
	} else if (wrong) {
		send_error(c, 400, "invalid_request_error", wrong, "");
	} else if (later_handles(r->api)) {
		answer_later(c, file);
	} else if (api_is_billed(r->api) && !c->answer.tariff) {
		send_error(c, 404, "invalid_request_error", "no such model", "");
	} else {
		if (api_is_billed(r->api))
			call_begin(c);
		if (!r->script.delay_ms) {
			call_answer(c);
			return;
		}
		c->state = CONN_DELAY;
		conn_sleep(c, r->script.delay_ms);
	}
}

static void send_continue(struct conn *c)
{
	put_text(c, "HTTP/1.1 100 Continue\r\n\r\n");
	conn_flush(c);
}

static void refuse_head(struct conn *c, enum h1_error e)
{
	c->keep_alive = false;
	c->close_after = true;
	(void)snprintf(c->answer.id, sizeof(c->answer.id), "bad");
	send_whole(c, h1_error_status(e), "text/plain", slice_of(h1_error_text(e)), "");
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
		send_body(c, 200);
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
		call_answer(c);
	else if (c->state == CONN_STREAM)
		stream_pieces(c);
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
		stream_pieces(c);
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
