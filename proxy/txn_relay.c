/* txn_relay.c - the answer as it streams back.
 *
 * Bytes go on as they come; a copy goes to the tap. A slow client stops the vendor's side (back-pressure), a client
 * that left does not stop the meter. */
#include "base/check.h"
#include "proxy/txn.h"

#define ROUNDS_MAX 4 /* reads per wake, for fairness */

/* The one place that says what we want of the vendor's socket. */
void txn_relay_interest(struct txn *t)
{
	unsigned want = t->paused ? 0 : STREAM_READ;

	if (t->step == TXN_SEND && !t->waits_for_client)
		want |= STREAM_WRITE;
	stream_want(t->up.stream, want);
}

/* --- answer: body ---------------------------------------------------------------------------------------------------
 */

/* One delivery to the client: head if it has not left, a chunk's frame, the pieces, the end. */
struct delivery {
	struct iovec iov[TXN_PIECES_MAX + 5]; /* [0] head, [1] chunk line, pieces, tail */
	int n;
	size_t bytes;
};

static void delivery_init(struct delivery *d)
{
	d->n = 2;
	d->bytes = 0;
}

static void delivery_add(struct delivery *d, struct slice s)
{
	d->iov[d->n++] = (struct iovec){(void *)(uintptr_t)s.p, s.n};
	d->bytes += s.n;
}

/* Sends. false: the client is gone (and the call knows it). */
static bool deliver(struct txn *t, struct delivery *d, bool end)
{
	static const char crlf[] = "\r\n", last[] = "0\r\n\r\n", crlf_last[] = "\r\n0\r\n\r\n";
	struct client *c = t->client;
	char line[H1_CHUNK_LINE_MAX];
	struct buf head;
	size_t line_n = 0;
	bool ok = true;

	if (!c)
		return false;
	buf_init(&head, 2 * H1_HEAD_MAX);
	if (!t->answer_head_sent) {
		t->answer_head_sent = true;
		ok = txn_answer_write_head(t, &head) == BUR_OK;
	}
	if (t->out_framing == OUT_CHUNKED) {
		if (d->bytes > 0)
			line_n = h1_chunk_line(line, d->bytes);
		struct slice tail = !end ? SLICE(crlf) : d->bytes > 0 ? SLICE(crlf_last) : SLICE(last);
		if (d->bytes > 0 || end)
			d->iov[d->n++] = (struct iovec){(void *)(uintptr_t)tail.p, tail.n};
	}
	d->iov[0] = (struct iovec){(void *)(uintptr_t)buf_slice(&head).p, buf_len(&head)};
	d->iov[1] = (struct iovec){line, line_n};
	ok = ok && client_send(c, d->iov, d->n);
	buf_done(&head);
	delivery_init(d);
	if (!ok)
		client_close(c); /* tells us through txn_client_gone */
	return ok;
}

static enum step_result finish(struct txn *t, bool clean)
{
	if (clean && t->upstream_keep_alive && t->sent_all && !stream_pending(t->up.stream))
		upstream_keep(&t->up);
	t->end = t->client ? TXN_END_COMPLETE : TXN_END_CLIENT_ANSWER;
	t->step = TXN_END;
	return STEP_MORE;
}

/* The vendor's side failed after its head: the client must see a broken answer, not a short one. */
enum step_result txn_relay_cut(struct txn *t, enum txn_end end)
{
	t->end = end;
	t->client_keep_alive = false;
	t->step = TXN_END;
	if (t->client && t->out_framing == OUT_CLOSE)
		client_reset(t->client);
	return STEP_MORE;
}

static enum step_result after_delivery(struct txn *t)
{
	if (t->step == TXN_END)
		return STEP_MORE; /* the client's end ended the call */
	if (t->client && buf_len(&t->client->out) > 0 && !t->paused) {
		t->paused = true;
		txn_relay_interest(t);
	}
	if (!t->draining && t->sent_all)
		deadline_arm(&t->worker->idle_deadline, &t->deadline);
	txn_compact(t);
	return STEP_WAIT;
}

static bool pass_piece(struct txn *t, struct delivery *d, struct slice piece)
{
	t->answer_bytes += piece.n;
	if (t->tap)
		tap_feed(t->tap, piece.p, piece.n);
	if (t->generic)
		generic_call_answer_body(t->generic, piece.p, piece.n);
	txn_upload_answer_body(t, piece);
	if (!t->client)
		return true;
	if (t->hide)
		return usage_hide_feed(t->hide, piece.p, piece.n, &t->hidden) == BUR_OK;
	delivery_add(d, piece);
	if (d->n == TXN_PIECES_MAX + 2)
		(void)deliver(t, d, false);
	return true;
}

static void take_hidden(struct txn *t, struct delivery *d, bool end)
{
	if (!t->hide || !t->client)
		return;
	if (end && usage_hide_finish(t->hide, &t->hidden) < 0)
		return;
	if (buf_len(&t->hidden) > 0)
		delivery_add(d, buf_slice(&t->hidden));
}

static void drop_hidden(struct txn *t)
{
	if (t->hide) {
		buf_consume(&t->hidden, buf_len(&t->hidden));
		buf_relax(&t->hidden);
	}
}

/* Before the client can know that the call is over. */
static void answer_over(struct txn *t)
{
	txn_settle(t);
	txn_upload_end(t);
}

static enum step_result answer_body(struct txn *t, struct slice s)
{
	struct delivery d;
	struct slice piece;
	size_t i = 0;
	int r;

	delivery_init(&d);
	while ((r = h1_body_next(&t->answer_body, s.p, s.n, &i, &piece)) == BUR_OK)
		if (!pass_piece(t, &d, piece))
			return txn_relay_cut(t, TXN_END_UPSTREAM_PROTOCOL);
	t->answer_ended = r == BUR_EOF;
	take_hidden(t, &d, t->answer_ended);
	if (t->answer_ended)
		answer_over(t);
	(void)deliver(t, &d, t->answer_ended);
	drop_hidden(t);
	if (r == BUR_INVALID)
		return t->step == TXN_END ? STEP_MORE : txn_relay_cut(t, TXN_END_UPSTREAM_PROTOCOL);
	return t->answer_ended ? finish(t, i == s.n) : after_delivery(t);
}

static enum step_result bad_answer(struct txn *t)
{
	enum step_result r;

	upstream_close(&t->up);
	r = txn_refuse(t, REFUSE_UPSTREAM_PROTOCOL,
		       t->sent_all && t->metered ? "the vendor's answer is not valid HTTP; the call was charged in full"
						 : "the vendor's answer is not valid HTTP");
	t->end = TXN_END_UPSTREAM_PROTOCOL;
	return r;
}

static enum step_result answer_bytes(struct txn *t, const char *p, size_t n)
{
	struct slice s = slice_mem(p, n);
	bool gathered = buf_len(&t->answer_in) > 0;
	enum step_result res;
	int r;

	if (t->answer_head_seen)
		return answer_body(t, s);
	if (gathered) {
		if (buf_append_slice(&t->answer_in, s) < 0)
			return bad_answer(t);
		s = buf_slice(&t->answer_in);
	}
	r = txn_answer_head(t, &s);
	if (r == BUR_AGAIN) {
		if (gathered)
			buf_consume(&t->answer_in, buf_len(&t->answer_in) - s.n);
		else if (buf_append_slice(&t->answer_in, s) < 0)
			return bad_answer(t);
		return STEP_WAIT;
	}
	if (r < 0)
		return bad_answer(t);
	res = answer_body(t, s);
	buf_done(&t->answer_in);
	return res;
}

/* The vendor closed, orderly or not. */
static enum step_result answer_eof(struct txn *t, bool orderly)
{
	struct delivery d;
	enum step_result r;

	if (t->answer_head_seen && orderly && h1_body_eof_ok(&t->answer_body)) {
		t->answer_ended = true;
		delivery_init(&d);
		take_hidden(t, &d, true);
		answer_over(t);
		(void)deliver(t, &d, true);
		drop_hidden(t);
		return finish(t, false);
	}
	if (t->answer_head_seen)
		return txn_relay_cut(t, TXN_END_UPSTREAM_ANSWER);
	if (txn_send_again(t))
		return STEP_MORE;
	r = txn_refuse(
	    t, t->sent_all ? REFUSE_UPSTREAM_PROTOCOL : REFUSE_UPSTREAM_CONNECT,
	    t->sent_all && t->metered
		? "the vendor closed the connection before it answered; it may have billed the call, so it was "
		  "charged in full"
		: "the vendor closed the connection before it answered");
	t->end = t->sent_all ? TXN_END_UPSTREAM_HEAD : TXN_END_UPSTREAM_SEND;
	return r;
}

enum step_result txn_relay_read(struct txn *t)
{
	char *scratch = t->worker->scratch;

	t->answer_ready = false;
	for (int i = 0; i < ROUNDS_MAX && !t->paused; i++) {
		long n = stream_read(t->up.stream, scratch, SCRATCH_BYTES);
		enum step_result r;

		if (n == BUR_AGAIN)
			return STEP_WAIT;
		if (n < 0)
			return answer_eof(t, n == BUR_EOF);
		r = answer_bytes(t, scratch, (size_t)n);
		if (r != STEP_WAIT)
			return r;
		/* a short read emptied the socket: the next read would only say so */
		if ((size_t)n < SCRATCH_BYTES && !stream_pending(t->up.stream))
			return STEP_WAIT;
	}
	return STEP_WAIT;
}

static enum step_result answer_timed_out(struct txn *t)
{
	enum step_result r;

	if (t->paused &&
	    t->client) { /* it is the client that does not read; the vendor goes on, and so does its bill */
		t->timed_out = false;
		client_close(t->client);
		return t->step == TXN_END ? STEP_MORE : STEP_WAIT;
	}
	if (t->draining || t->answer_head_seen)
		return txn_relay_cut(t, t->draining ? TXN_END_CLIENT_ANSWER : TXN_END_UPSTREAM_TIMEOUT);
	r = txn_refuse(t, REFUSE_UPSTREAM_TIMEOUT,
		       t->metered
			   ? "the vendor did not answer in time; it may have billed the call, so it was charged in full"
			   : "the vendor did not answer in time");
	t->end = TXN_END_UPSTREAM_TIMEOUT;
	return r;
}

enum step_result txn_step_answer(struct txn *t)
{
	if (t->timed_out)
		return answer_timed_out(t);
	return txn_relay_read(t);
}

/* --- events of the client -------------------------------------------------------------------------------------------
 */

void txn_client_readable(struct txn *t)
{
	if (t->step == TXN_BODY || (t->step == TXN_SEND && t->stream_body))
		txn_run(t);
}

void txn_client_writable(struct txn *t)
{
	if (!t->paused || buf_len(&t->client->out) > 0)
		return;
	t->paused = false;
	txn_relay_interest(t);
	txn_run(t);
}
