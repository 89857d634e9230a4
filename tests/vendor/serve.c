#include "tests/vendor/serve.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "net/h1.h"
#include "net/stream.h"
#include "tests/vendor/answer.h"
#include "tests/vendor/request.h"

#define CONN_MAGIC 0x56436f6eu
#define IN_MAX (256 * 1024)
#define OUT_MAX (96 * 1024 * 1024)
#define OUT_ENOUGH (256 * 1024) /* no new pieces while this much waits for the client */
#define HUGE_BYTES (64 * 1024 * 1024)
#define BOMB_BYTES (256u * 1024 * 1024)
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
	struct buf in, out, body;
	struct h1_scan scan;
	struct h1_body decoder;
	struct body_scan json;
	struct request request;
	struct answer answer;
	struct bill_entry bill;
	struct loop_timer *timer;
	z_stream *gzip;
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

static void gzip_end(struct conn *c)
{
	if (!c->gzip)
		return;
	(void)deflateEnd(c->gzip);
	free(c->gzip);
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
		c->bill.usage.output = c->answer.generated;
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
	gzip_end(c);
	buf_done(&c->in);
	buf_done(&c->out);
	buf_done(&c->body);
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

	c->bill = (struct bill_entry){.number = c->server->numbers,
				      .call = c->request.script.call,
				      .api = api_name(c->request.api),
				      .provider = api_provider(c->request.api),
				      .model = c->request.model,
				      .usage = c->answer.usage};
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
	gzip_end(c);
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
	const char *provider = api_provider(c->request.api);

	CHECK(buf_printf(&c->out,
			 "HTTP/1.1 %d %s\r\ndate: %s\r\nserver: vendor\r\ncontent-type: %s\r\n%s: req_%s\r\n%s%s",
			 status, h1_reason(status), date_text(), type,
			 strcmp(provider, "anthropic") == 0 ? "request-id" : "x-request-id", c->answer.id,
			 gzip ? "content-encoding: gzip\r\n" : "", extra) == BUR_OK);
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

/* --- gzip ----------------------------------------------------------------------------------------------------------
 */

static void gzip_begin(struct conn *c)
{
	c->gzip = calloc(1, sizeof(*c->gzip));
	CHECK(c->gzip != NULL);
	CHECK(deflateInit2(c->gzip, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
}

static void gzip_add(struct conn *c, struct slice data, int flush, struct buf *to)
{
	unsigned char block[16384];

	c->gzip->next_in = (unsigned char *)(uintptr_t)data.p; /* zlib only reads it */
	c->gzip->avail_in = (unsigned)data.n;
	do {
		c->gzip->next_out = block;
		c->gzip->avail_out = sizeof(block);
		CHECK(deflate(c->gzip, flush) != Z_STREAM_ERROR);
		CHECK(buf_append(to, block, sizeof(block) - c->gzip->avail_out) == BUR_OK);
	} while (c->gzip->avail_out == 0);
}

/* A quarter of a gigabyte of spaces before the answer's JSON. */
static void gzip_bomb(struct conn *c, struct slice body, struct buf *to)
{
	static char spaces[65536];

	memset(spaces, ' ', sizeof(spaces));
	gzip_begin(c);
	for (size_t n = 0; n < BOMB_BYTES; n += sizeof(spaces))
		gzip_add(c, slice_mem(spaces, sizeof(spaces)), Z_NO_FLUSH, to);
	gzip_add(c, body, Z_FINISH, to);
	gzip_end(c);
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

static void send_error(struct conn *c, int status, const char *type, const char *message, const char *extra)
{
	call_end(c, BILL_ERROR);
	CHECK(answer_error(&c->request, status, type, message, &c->body) == BUR_OK);
	put_head(c, status, "application/json", (int64_t)buf_len(&c->body), false, extra);
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
	struct buf coded;

	switch (c->request.script.fault) {
	case FAULT_NONSENSE:
		send_whole(c, 200, "application/json", slice_of(nonsense), "");
		return;
	case FAULT_CUT_MID:
		put_head(c, 200, "application/json", (int64_t)body.n, false, "");
		put(c, body.p, body.n / 2);
		break_off(c, BILL_COMPLETE);
		return;
	case FAULT_WRONG_LENGTH:
		put_head(c, 200, "application/json", (int64_t)body.n + 100, false, "");
		put(c, body.p, body.n);
		break_off(c, BILL_COMPLETE);
		return;
	case FAULT_GZIP_BOMB:
	case FAULT_TRUNCATED_GZIP:
		buf_init(&coded, OUT_MAX);
		if (c->request.script.fault == FAULT_GZIP_BOMB) {
			gzip_bomb(c, body, &coded);
		} else {
			gzip_begin(c);
			gzip_add(c, body, Z_FINISH, &coded);
			gzip_end(c);
			coded.tail = coded.head + buf_len(&coded) / 2;
		}
		put_head(c, 200, "application/json", (int64_t)buf_len(&coded), true, "");
		put(c, buf_slice(&coded).p, buf_len(&coded));
		buf_done(&coded);
		finish(c);
		return;
	default:
		send_body(c, 200);
		return;
	}
}

static void send_gzipped(struct conn *c)
{
	struct buf coded;

	buf_init(&coded, OUT_MAX);
	gzip_begin(c);
	gzip_add(c, buf_slice(&c->body), Z_FINISH, &coded);
	gzip_end(c);
	put_head(c, 200, "application/json", (int64_t)buf_len(&coded), true, "");
	put(c, buf_slice(&coded).p, buf_len(&coded));
	buf_done(&coded);
	finish(c);
}

static void answer_unary(struct conn *c)
{
	enum fault fault = c->request.script.fault;

	if (fault == FAULT_HUGE)
		c->answer.pad_bytes = HUGE_BYTES;
	CHECK(answer_whole(&c->answer, &c->body) == BUR_OK);
	call_end(c, BILL_COMPLETE);
	if (fault == FAULT_SLOW)
		c->dribble = true;
	if (fault != FAULT_NONE && fault != FAULT_SLOW)
		send_spoiled(c, buf_slice(&c->body));
	else if (c->request.script.gzip)
		send_gzipped(c);
	else
		send_body(c, 200);
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
		gzip_add(c, buf_slice(&c->body), last ? Z_FINISH : Z_SYNC_FLUSH, &coded);
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
		gzip_begin(c);
	put_head(c, 200, answer_stream_type(&c->request), -1, c->request.script.gzip, "");
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
	if (c->request.stream && api_is_billed(c->request.api))
		answer_stream(c);
	else
		answer_unary(c);
}

/* --- control routes ------------------------------------------------------------------------------------------------
 */

static void control_bill(struct conn *c)
{
	const struct bill_totals *t = bill_totals(c->server->bill);

	CHECK(buf_printf(&c->body,
			 "{\"begun\":%" PRIu64 ",\"ended\":%" PRIu64 ",\"complete\":%" PRIu64 ",\"aborted\":%" PRIu64
			 ",\"cut\":%" PRIu64 ",\"error\":%" PRIu64 ",\"input\":%" PRIu64 ",\"output\":%" PRIu64
			 ",\"nanousd\":%" PRId64 "}\n",
			 t->begun, t->ended, t->by_status[BILL_COMPLETE], t->by_status[BILL_ABORTED],
			 t->by_status[BILL_CUT], t->by_status[BILL_ERROR], t->input, t->output, t->nanousd) == BUR_OK);
}

static void control_hits(struct conn *c)
{
	const struct server_stats *s = &c->server->stats;

	CHECK(buf_printf(&c->body,
			 "{\"hits\":%" PRIu64 ",\"connections\":%" PRIu64 ",\"open_calls\":%" PRIu64
			 ",\"peak_calls\":%" PRIu64 ",\"client_gone\":%" PRIu64 "}\n",
			 s->hits, s->connections, s->open_calls, s->peak_calls, s->client_gone) == BUR_OK);
}

static void control_route(struct conn *c, struct slice target)
{
	bill_flush(c->server->bill);
	if (slice_eq(target, SLICE("/__bill")))
		control_bill(c);
	else if (slice_eq(target, SLICE("/__hits")))
		control_hits(c);
	else if (slice_eq(target, SLICE("/__last")))
		CHECK(buf_printf(&c->body, "%s\n", c->server->last_head) == BUR_OK);
	else
		CHECK(buf_printf(&c->body, "{}\n") == BUR_OK);
	send_body(c, 200);
}

/* {"method":…,"target":…,"fields":[[name,value],…]} into dst; what does not fit is left out. */
static void head_to_json(const struct h1_head *head, char *dst, size_t size)
{
	size_t n = 0;
	char name[256], value[4096];

	(void)json_escape(head->target, value, sizeof(value));
	n += (size_t)snprintf(dst, size, "{\"method\":\"%.*s\",\"target\":\"%s\",\"fields\":[",
			      SLICE_ARG(head->method_text), value);
	for (size_t i = 0; i < head->n_fields; i++) {
		(void)json_escape(head->fields[i].name, name, sizeof(name));
		(void)json_escape(head->fields[i].value, value, sizeof(value));
		if (n + strlen(name) + strlen(value) + 32 > size)
			break;
		n += (size_t)snprintf(dst + n, size - n, "%s[\"%s\",\"%s\"]", i ? "," : "", name, value);
	}
	(void)snprintf(dst + n, size - n, "]}");
}

/* --- requests ------------------------------------------------------------------------------------------------------
 */

static void request_arrived(struct conn *c)
{
	struct request *r = &c->request;

	body_scan_finish(&c->json);
	c->server->stats.hits++;
	answer_init(&c->answer, r, ++c->server->numbers);
	if (r->api == API_NONE) {
		send_error(c, 404, "invalid_request_error", "no such route", "");
		return;
	}
	if (r->api == API_ECHO) {
		send_whole(c, 200, "application/json", slice_of(c->server->last_head), "x-echo: 1\r\n");
		return;
	}
	if (r->api != API_MODELS && r->bad_json) {
		send_error(c, 400, "invalid_request_error", "the body is not JSON", "");
		return;
	}
	if (api_is_billed(r->api)) {
		if (bill_price(api_provider(r->api), slice_of(r->model), &c->answer.usage) < 0) {
			send_error(c, 404, "invalid_request_error", "no such model", "");
			return;
		}
		call_begin(c);
	}
	if (r->script.delay_ms) {
		c->state = CONN_DELAY;
		conn_sleep(c, r->script.delay_ms);
		return;
	}
	call_answer(c);
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
		control_route(c, target);
		if (c->state != CONN_CLOSED)
			buf_consume(&c->in, head.head_bytes);
		return true;
	}
	if (c->server->keep_last || c->request.api == API_ECHO)
		head_to_json(&head, c->server->last_head, sizeof(c->server->last_head));
	body_scan_init(&c->json, &c->request);
	h1_body_init(&c->decoder, head.framing, head.content_length);
	c->state = CONN_BODY;
	buf_consume(&c->in, head.head_bytes);
	if (head.expect_continue && head.framing != H1_NO_BODY)
		send_continue(c);
	return true;
}

/* false: more bytes needed. */
static bool read_body(struct conn *c)
{
	struct slice s = buf_slice(&c->in), data;
	size_t i = 0;
	int r;

	while ((r = h1_body_next(&c->decoder, s.p, s.n, &i, &data)) == BUR_OK)
		body_scan_feed(&c->json, data.p, data.n);
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
