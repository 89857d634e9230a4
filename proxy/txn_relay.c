/* txn_relay.c - the answer as it streams back.
 *
 * Bytes go on as they come; a copy goes to the tap. A slow client stops the vendor's side (back-pressure), a client
 * that left does not stop the meter. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "proxy/txn.h"

#define ROUNDS_MAX 4 /* reads per wake, for fairness */
/* Of an event that the client has got a part of when the call is cut off: longer ones stay a part. */
#define CUT_REST_MAX (1024 * 1024)

struct metric metric_streams_cut = {.name = "bursar_streams_cut_total",
				    .help = "Running answers that bursar ended: the budget was used up, or a person "
					    "said so"};

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
	if (t->metered)
		for (int i = 2; i < d->n; i++)
			tap_edge_feed(&t->edge, d->iov[i].iov_base, d->iov[i].iov_len);
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

static enum step_result cut(struct txn *t, const char *why);

/* The client is slow. What the vendor writes meanwhile is billed and not seen: a hold that grows must then be that of
 * the whole call. Until much has gathered it is read on, and seen. */
static bool may_pause(struct txn *t)
{
	return buf_len(&t->client->out) > 0 && (!t->growing || buf_len(&t->client->out) >= CLIENT_OUT_MAX / 2);
}

static enum step_result after_delivery(struct txn *t)
{
	if (t->step == TXN_END)
		return STEP_MORE; /* the client's end ended the call */
	if (t->client && !t->paused && may_pause(t)) {
		if (!txn_grow_whole(t))
			return cut(t, txn_grow_why(t));
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

/* --- cutting off ---------------------------------------------------------------------------------------------------
 */

static bool write_end(struct txn *t, enum tap_edge_place at, const char *why, struct buf *out)
{
	const struct refusal f = {
	    .reason = REFUSE_BUDGET_EXCEEDED, .message = slice_of(why), .request_id = slice_of(t->id_text)};
	bool comma = at == EDGE_OPEN || at == EDGE_COMMA;

	if (t->edge.form != EDGE_FORM_ARRAY)
		return envelope_stream_end(t->target.api.kind, &f, out) == BUR_OK;
	if (envelope_array_end(&f, at == EDGE_FIRST, out) < 0)
		return false;
	if (comma) /* it stands there already, or must not */
		buf_consume(out, 1);
	return true;
}

/* The money's side of it, before the client can know. */
static void cut_over(struct txn *t, const char *why)
{
	upstream_close(&t->up);
	t->end = TXN_END_BUDGET_CUT;
	t->step = TXN_END;
	metric_add(&metric_streams_cut, 1);
	answer_over(t);
	log_msg(LOG_WARN, "budget.cut", "%s: " SLICE_FMT ": %s", t->id_text, SLICE_ARG(t->key_name), why);
}

/* Nothing can be said any more. */
static enum step_result cut_hard(struct txn *t, const char *why)
{
	cut_over(t, why);
	t->client_keep_alive = false;
	if (t->client)
		client_reset(t->client);
	return STEP_MORE;
}

/* What is in `d` ends with a whole event. */
static enum step_result cut_after(struct txn *t, struct delivery *d, enum tap_edge_place at, const char *why)
{
	struct buf end;
	bool ok;

	buf_init(&end, 64 * 1024);
	ok = write_end(t, at, why, &end);
	if (ok) {
		cut_over(t, why);
		delivery_add(d, buf_slice(&end));
		(void)deliver(t, d, true);
	}
	buf_done(&end);
	return ok ? STEP_MORE : cut_hard(t, why);
}

/* Leaves of the pieces what ends with a whole event. INSIDE: none of them does, and the client has a part of one. */
static enum tap_edge_place trim(const struct txn *t, struct delivery *d)
{
	struct tap_edge at = t->edge;
	enum tap_edge_place found = tap_edge_place(&at);
	int last = 1;
	size_t last_n = 0;

	for (int i = 2; i < d->n; i++) {
		struct tap_edge edge = at;
		size_t n = tap_edge_last(&edge, d->iov[i].iov_base, d->iov[i].iov_len);

		if (n != SIZE_MAX && n > 0) {
			found = tap_edge_place(&edge);
			last = i;
			last_n = n;
		}
		tap_edge_feed(&at, d->iov[i].iov_base, d->iov[i].iov_len);
	}
	if (found == EDGE_INSIDE)
		return found;
	d->n = last + 1;
	if (last >= 2)
		d->iov[last].iov_len = last_n;
	d->bytes = 0;
	for (int i = 2; i < d->n; i++)
		d->bytes += d->iov[i].iov_len;
	return found;
}

/* The rest of the event comes first. */
static enum step_result cut_later(struct txn *t, struct delivery *d, const char *why)
{
	if (!t->cut_why) {
		t->cut_why = strdup(why);
		t->cut_at_bytes = t->answer_bytes;
	}
	if (!t->cut_why || t->answer_bytes - t->cut_at_bytes > CUT_REST_MAX)
		return cut_hard(t, why);
	(void)deliver(t, d, false);
	drop_hidden(t);
	return after_delivery(t);
}

/* Of a running answer whose pieces in `d` have not left. */
static enum step_result cut_pieces(struct txn *t, struct delivery *d, const char *why)
{
	enum tap_edge_place at;
	enum step_result r;

	if (!t->client) {
		cut_over(t, why);
		return STEP_MORE;
	}
	if (t->answer_coded || t->edge.form == EDGE_FORM_NONE ||
	    (t->out_framing != OUT_CHUNKED && t->out_framing != OUT_CLOSE))
		return cut_hard(t, why);
	at = trim(t, d);
	if (at == EDGE_INSIDE && (t->paused || may_pause(t))) /* nor does anybody read the rest of the event */
		return cut_hard(t, why);
	if (at == EDGE_INSIDE)
		return cut_later(t, d, why);
	r = cut_after(t, d, at, why);
	drop_hidden(t);
	return r;
}

static enum step_result cut(struct txn *t, const char *why)
{
	struct delivery d;

	delivery_init(&d);
	return cut_pieces(t, &d, why);
}

static enum step_result cut_now(struct txn *t, const char *why)
{
	bool sent = t->sending && (t->sent_all || t->answer_head_seen);

	if (t->answer_head_sent)
		return cut(t, why);
	if (!t->client) {
		cut_over(t, why);
		return STEP_MORE;
	}
	upstream_close(&t->up);
	if (sent)
		t->end = TXN_END_BUDGET_CUT;
	return txn_refuse(t, REFUSE_BUDGET_EXCEEDED, "%s", why);
}

void txn_cut_off(struct txn *t, const char *why)
{
	CHECK_OBJ(t, TXN_MAGIC);
	if (t->step == TXN_END || t->cut_why)
		return;
	if (t->running) /* from inside a step: it looks when it is done */
		t->cut_why = strdup(why);
	else if (cut_now(t, why) == STEP_MORE)
		txn_run(t);
}

/* Nobody waits for the answer of a client that left: it is the end of its being read on. */
static enum step_result out_of_money(struct txn *t, struct delivery *d)
{
	if (t->client)
		return cut_pieces(t, d, txn_grow_why(t));
	upstream_close(&t->up);
	return txn_relay_cut(t, TXN_END_CLIENT_ANSWER);
}

/* --- pieces of the body --------------------------------------------------------------------------------------------
 */

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
	if (r == BUR_AGAIN && t->cut_why)
		return cut_pieces(t, &d, t->cut_why);
	if (r == BUR_AGAIN && !txn_grow_on(t))
		return out_of_money(t, &d);
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
	upstream_close(&t->up);
	t->end = TXN_END_UPSTREAM_PROTOCOL;
	return txn_refuse(t, REFUSE_UPSTREAM_PROTOCOL,
			  t->sent_all && t->metered
			      ? "the vendor's answer is not valid HTTP; the call was charged in full"
			      : "the vendor's answer is not valid HTTP");
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
	t->end = t->sent_all ? TXN_END_UPSTREAM_HEAD : TXN_END_UPSTREAM_SEND;
	return txn_refuse(
	    t, t->sent_all ? REFUSE_UPSTREAM_PROTOCOL : REFUSE_UPSTREAM_CONNECT,
	    t->sent_all && t->metered
		? "the vendor closed the connection before it answered; it may have billed the call, so it was "
		  "charged in full"
		: "the vendor closed the connection before it answered");
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
	if (t->paused &&
	    t->client) { /* it is the client that does not read; the vendor goes on, and so does its bill */
		t->timed_out = false;
		client_close(t->client);
		return t->step == TXN_END ? STEP_MORE : STEP_WAIT;
	}
	if (t->draining || t->answer_head_seen)
		return txn_relay_cut(t, t->draining ? TXN_END_CLIENT_ANSWER : TXN_END_UPSTREAM_TIMEOUT);
	t->end = TXN_END_UPSTREAM_TIMEOUT;
	return txn_refuse(
	    t, REFUSE_UPSTREAM_TIMEOUT,
	    t->metered ? "the vendor did not answer in time; it may have billed the call, so it was charged in full"
		       : "the vendor did not answer in time");
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
