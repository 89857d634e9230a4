#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "tests/vendor/coding.h"
#include "tests/vendor/conn.h"
#include "tests/vendor/later.h"

#define OUT_ENOUGH (256 * 1024) /* no new pieces while this much waits for the client */
#define HUGE_BYTES (64 * 1024 * 1024)

void play_whole(struct conn *c, int status, const char *type, struct slice body, const char *extra)
{
	conn_put_head(c, status, type, (int64_t)body.n, false, extra);
	if (!c->head_only)
		conn_put(c, body.p, body.n);
	conn_finish(c);
}

void play_body(struct conn *c, int status)
{
	play_whole(c, status, "application/json", buf_slice(&c->body), "");
	if (c->state != CONN_CLOSED)
		buf_consume(&c->body, buf_len(&c->body));
}

/* The head of the answer that was asked for. */
static void put_answer_head(struct conn *c, int64_t length, bool gzip)
{
	struct buf fields;

	buf_init(&fields, H1_HEAD_MAX);
	CHECK(answer_fields(&c->answer, &fields) == BUR_OK && buf_append(&fields, "", 1) == BUR_OK);
	conn_put_head(c, 200, answer_type(&c->request), length, gzip, buf_slice(&fields).p);
	buf_done(&fields);
}

void play_answer(struct conn *c, struct slice body, bool gzip)
{
	put_answer_head(c, (int64_t)body.n, gzip);
	conn_put(c, body.p, body.n);
	conn_finish(c);
}

void play_error(struct conn *c, int status, const char *type, const char *message, const char *extra)
{
	char fields[256];

	conn_call_end(c, BILL_ERROR);
	CHECK(seller_error(c->request.seller, status, type, message, &c->body) == BUR_OK);
	(void)snprintf(fields, sizeof(fields), "%s%s", extra, seller_error_fields(c->request.seller, status));
	conn_put_head(c, status, "application/json", (int64_t)buf_len(&c->body), false, fields);
	conn_put(c, buf_slice(&c->body).p, buf_len(&c->body));
	buf_consume(&c->body, buf_len(&c->body));
	conn_finish(c);
}

static void break_off(struct conn *c, enum bill_status status)
{
	conn_call_end(c, status);
	c->close_after = true;
	conn_finish(c);
}

/* Faults that spoil a whole answer; `body` is what it would have been. */
static void send_spoiled(struct conn *c, struct slice body)
{
	static const char nonsense[] = "<html>this is not what you asked for</html>";
	const char *type = answer_type(&c->request);
	struct buf coded;

	switch (c->request.script.fault) {
	case FAULT_NONSENSE:
		play_whole(c, 200, type, slice_of(nonsense), "");
		return;
	case FAULT_CUT_MID:
		put_answer_head(c, (int64_t)body.n, false);
		conn_put(c, body.p, body.n / 2);
		break_off(c, BILL_COMPLETE);
		return;
	case FAULT_WRONG_LENGTH:
		put_answer_head(c, (int64_t)body.n + 100, false);
		conn_put(c, body.p, body.n);
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
		play_answer(c, buf_slice(&coded), true);
		buf_done(&coded);
		return;
	default:
		play_answer(c, body, false);
		return;
	}
}

static void send_gzipped(struct conn *c)
{
	struct buf coded;

	buf_init(&coded, OUT_MAX);
	gzip_whole(buf_slice(&c->body), &coded);
	play_answer(c, buf_slice(&coded), true);
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
	conn_call_end(c, BILL_COMPLETE);
	if (fault == FAULT_SLOW)
		c->dribble = true;
	if (fault != FAULT_NONE && fault != FAULT_SLOW)
		send_spoiled(c, buf_slice(&c->body));
	else if (c->request.script.gzip)
		send_gzipped(c);
	else
		play_answer(c, buf_slice(&c->body), false);
	if (c->state != CONN_CLOSED) {
		buf_consume(&c->body, buf_len(&c->body));
		buf_relax(&c->body);
	}
}

static void emit_piece(struct conn *c, bool last)
{
	struct buf coded;

	if (!c->gzip) {
		conn_put_chunk(c, buf_slice(&c->body));
	} else {
		buf_init(&coded, OUT_MAX);
		gzip_add(c->gzip, buf_slice(&c->body), last, &coded);
		conn_put_chunk(c, buf_slice(&coded));
		buf_done(&coded);
	}
	buf_consume(&c->body, buf_len(&c->body));
}

static void stream_end(struct conn *c)
{
	conn_call_end(c, BILL_COMPLETE);
	conn_put_text(c, "0\r\n\r\n");
	conn_finish(c);
}

/* Produces pieces until the script says wait, the client has enough to read, or the end. */
void play_stream(struct conn *c)
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
	play_stream(c);
}

/* true: the fault was the answer. */
static bool answer_fault(struct conn *c)
{
	switch (c->request.script.fault) {
	case FAULT_ERROR_BEFORE:
		play_error(c, 500, "server_error", "the vendor is unwell", "");
		return true;
	case FAULT_RATE_LIMIT:
		play_error(c, 429, "rate_limit_error", "slow down", "retry-after: 1\r\n");
		return true;
	case FAULT_OVERLOADED:
		play_error(c, 529, "overloaded_error", "Overloaded", "");
		return true;
	case FAULT_CUT_HEAD:
		c->answer.generated = c->answer.usage.output;
		conn_put_text(c, "HTTP/1.1 200 OK\r\ncontent-type: applic");
		break_off(c, BILL_CUT);
		return true;
	case FAULT_GARBAGE:
		c->answer.generated = c->answer.usage.output;
		conn_put_text(c, "\x16\x03\x01 what is HTTP?\r\n\r\n");
		break_off(c, BILL_CUT);
		return true;
	case FAULT_RESET:
		conn_call_end(c, BILL_ERROR);
		conn_reset(c);
		return true;
	default:
		return false;
	}
}

void play(struct conn *c)
{
	if (answer_fault(c))
		return;
	if (answer_is_stream(&c->request))
		answer_stream(c);
	else
		answer_unary(c);
}
