/* txn_send.c - a call on its way to the vendor: the connection, then the request. */
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "proxy/auth.h"
#include "proxy/txn.h"

static void upstream_ready(void *ctx, unsigned what)
{
	struct txn *t = ctx;

	CHECK_OBJ(t, TXN_MAGIC);
	if (what & STREAM_READ)
		t->answer_ready = true;
	txn_run(t);
}

/* --- dial -----------------------------------------------------------------------------------------------------------
 */

static enum step_result dial_failed(struct txn *t, int err, const char *text)
{
	enum refusal_reason reason = err == BUR_DENIED    ? REFUSE_FORBIDDEN
				     : err == BUR_CRYPTO  ? REFUSE_UPSTREAM_TLS
				     : err == BUR_TIMEOUT ? REFUSE_UPSTREAM_TIMEOUT
							  : REFUSE_UPSTREAM_CONNECT;

	log_limited(LOG_WARN, "upstream.connect", "%s:%u: %s", t->target.host, t->target.port, text);
	t->end = err == BUR_CRYPTO ? TXN_END_UPSTREAM_TLS : TXN_END_UPSTREAM_CONNECT;
	return txn_refuse(t, reason, "%s", text);
}

static void upstream_opened(void *ctx, int err, const char *text)
{
	struct txn *t = ctx;

	CHECK_OBJ(t, TXN_MAGIC);
	if (err < 0)
		(void)dial_failed(t, err, text);
	else
		t->step = TXN_SEND;
	txn_run(t);
}

/* Connections are shared only among calls that show the vendor the same key. */
static uint64_t credential_hash(const struct txn *t)
{
	struct slice c = t->swap_credential ? t->vendor_credential : auth_credential(t->head, t->target.query);

	return c.n > 0 ? hash_bytes(c.p, c.n) : 0;
}

enum step_result txn_step_dial(struct txn *t)
{
	enum step_result refused;
	int r;

	if (t->dialling)
		return STEP_WAIT;
	if (!txn_guard_dial(t, &refused))
		return refused;
	t->dialling = true;
	t->up.on_open = upstream_opened;
	t->up.on_ready = upstream_ready;
	r = upstream_open(&t->up, t->worker, t->target.host, t->target.port, t->target.tls_profile, credential_hash(t));
	if (r == BUR_AGAIN)
		return STEP_WAIT;
	if (r < 0)
		return dial_failed(t, r, t->worker->open_text);
	t->step = TXN_SEND;
	return STEP_MORE;
}

/* --- send -----------------------------------------------------------------------------------------------------------
 */

static int skip_iov(const struct txn *t, struct iovec *dst)
{
	size_t skip = t->sent_bytes;
	int n = 0;

	for (int i = 0; i < t->n_request_iov; i++) {
		struct iovec v = t->request_iov[i];

		if (skip >= v.iov_len) {
			skip -= v.iov_len;
			continue;
		}
		dst[n++] = (struct iovec){(char *)v.iov_base + skip, v.iov_len - skip};
		skip = 0;
	}
	return n;
}

/* BUR_OK: all of it left. */
static int send_request(struct txn *t)
{
	struct iovec iov[ARRAY_LEN(t->request_iov)];

	if (t->body_in_place) /* the connection's buffer may have moved */
		txn_gather_request(t);
	while (t->sent_bytes < t->request_bytes) {
		long n = stream_writev(t->up.stream, iov, skip_iov(t, iov));

		if (n < 0)
			return (int)n;
		t->sent_bytes += (size_t)n;
	}
	return BUR_OK;
}

static int frame_piece(struct txn *t, struct slice piece)
{
	char line[H1_CHUNK_LINE_MAX];
	int r;

	if (t->head->framing != H1_CHUNKED)
		return buf_append_slice(&t->send, piece);
	r = buf_append(&t->send, line, h1_chunk_line(line, piece.n));
	if (r == BUR_OK)
		r = buf_append_slice(&t->send, piece);
	return r == BUR_OK ? buf_append(&t->send, "\r\n", 2) : r;
}

/* Moves what the client has sent into the send queue. BUR_AGAIN: more must come from the client. */
static int take_body(struct txn *t)
{
	struct slice have = buf_slice(&t->client->in), piece;
	size_t i = 0;
	int r;

	while ((r = h1_body_next(&t->body_in, have.p, have.n, &i, &piece)) == BUR_OK) {
		if (frame_piece(t, piece) < 0)
			return BUR_INVALID;
		txn_upload_body(t, piece);
	}
	buf_consume(&t->client->in, i);
	client_update_interest(t->client);
	if (t->generic)
		generic_call_request_bytes(t->generic, t->body_in.total, r == BUR_EOF);
	if (r == BUR_EOF) {
		t->body_complete = true;
		if (t->head->framing == H1_CHUNKED && buf_append(&t->send, "0\r\n\r\n", 5) < 0)
			return BUR_INVALID;
		return BUR_OK;
	}
	if (t->body_in.total > (uint64_t)t->worker->proxy->config.limits.max_upload_bytes)
		return BUR_TOOBIG;
	return r == BUR_AGAIN && buf_len(&t->send) > 0 ? BUR_OK : r;
}

static int send_stream(struct txn *t)
{
	for (;;) {
		while (buf_len(&t->send) > 0) {
			struct slice s = buf_slice(&t->send);
			long n = stream_write(t->up.stream, s.p, s.n);

			if (n < 0)
				return n == BUR_AGAIN ? BUR_AGAIN : BUR_IO;
			buf_consume(&t->send, (size_t)n);
		}
		if (t->body_complete)
			return BUR_OK;
		int r = take_body(t);
		if (r == BUR_AGAIN) {
			t->waits_for_client = true;
			return BUR_AGAIN;
		}
		if (r < 0)
			return r;
	}
}

static void release_body(struct txn *t)
{
	if (t->in_place_bytes && t->client) {
		buf_consume(&t->client->in, t->in_place_bytes);
		buf_relax(&t->client->in);
		client_update_interest(t->client);
	}
	t->in_place_bytes = 0;
	t->body = SLICE_NONE;
	buf_done(&t->body_buf);
	buf_done(&t->send);
	atomic_fetch_sub_explicit(&t->worker->proxy->body_bytes, t->body_reserved_bytes, memory_order_relaxed);
	t->body_reserved_bytes = 0;
}

/* A pooled connection that the vendor had closed meanwhile: the request did not leave whole, so once more on a new
 * one. A streamed body is gone and cannot be sent again. */
bool txn_send_again(struct txn *t)
{
	if (!t->up.reused || t->sent_all || t->retried || t->answer_head_seen || t->stream_body || !t->client ||
	    buf_len(&t->answer_in) > 0)
		return false;
	t->retried = true;
	upstream_close(&t->up);
	t->sent_bytes = 0;
	buf_done(&t->answer_in);
	memset(&t->answer_scan, 0, sizeof(t->answer_scan));
	t->dialling = false;
	t->answer_ready = false;
	t->step = TXN_DIAL;
	return true;
}

static enum step_result send_failed(struct txn *t)
{
	/* the vendor may have answered before it closed: only when nothing came is the call sent again */
	t->step = TXN_ANSWER;
	deadline_arm(&t->worker->first_byte_deadline, &t->deadline);
	return txn_relay_read(t);
}

/* A refusal, or once the vendor's answer is on its way to the client, its end. */
static enum step_result stop_sending(struct txn *t, enum txn_end end, enum refusal_reason reason, const char *why)
{
	if (t->answer_head_seen)
		return txn_relay_cut(t, end);
	t->end = end;
	return txn_refuse(t, reason, "%s", why);
}

/* BUR_AGAIN from either side. */
static enum step_result send_waits(struct txn *t)
{
	struct worker *w = t->worker;

	txn_relay_interest(t);
	if (!t->waits_for_client)
		deadline_arm(&w->idle_deadline, &t->deadline);
	else if (t->deadline.queue != &w->body_deadline) /* a trickle does not push it on: see upload_is_slow */
		deadline_arm(&w->body_deadline, &t->deadline);
	return t->answer_ready ? txn_relay_read(t) : STEP_WAIT;
}

static bool upload_is_slow(struct txn *t)
{
	const struct proxy_limits *l = &t->worker->proxy->config.limits;
	uint64_t got = t->body_in.total - t->body_last_total;

	t->body_last_total = t->body_in.total;
	return got < (uint64_t)(l->body_min_rate * (l->body_grace_ns / NS_PER_S));
}

static enum step_result send_timed_out(struct txn *t)
{
	t->timed_out = false;
	if (!t->waits_for_client)
		return stop_sending(t, TXN_END_UPSTREAM_TIMEOUT, REFUSE_UPSTREAM_TIMEOUT,
				    "the vendor did not take the request in time");
	if (upload_is_slow(t))
		return stop_sending(t, TXN_END_CLIENT_SLOW, REFUSE_BAD_REQUEST, "the request body came too slowly");
	return send_waits(t);
}

enum step_result txn_step_send(struct txn *t)
{
	struct worker *w = t->worker;
	int r;

	if (!t->sending) {
		/* only now: a call that waits for its connection holds no buffer for it */
		if (txn_write_request_head(t) < 0)
			return txn_refuse(t, REFUSE_BAD_REQUEST, "the request head cannot be forwarded");
		t->sending = true;
		t->sent_mono_ns = loop_mono_ns(w->loop);
		txn_money_sent(t);
	}
	if (t->timed_out)
		return send_timed_out(t);
	t->waits_for_client = false;
	r = t->stream_body ? send_stream(t) : send_request(t);
	if (r == BUR_AGAIN)
		return send_waits(t);
	if (r == BUR_TOOBIG)
		return stop_sending(t, TXN_END_REFUSED, REFUSE_BODY_TOO_LARGE, "the upload is over limits.max_upload");
	if (r == BUR_INVALID)
		return stop_sending(t, TXN_END_REFUSED, REFUSE_BAD_REQUEST, h1_error_text(t->body_in.error));
	if (r < 0)
		return send_failed(t);
	t->sent_all = true;
	release_body(t);
	t->step = TXN_ANSWER;
	txn_relay_interest(t);
	deadline_arm(t->answer_head_seen ? &w->idle_deadline : &w->first_byte_deadline, &t->deadline);
	/* TLS may hold an answer that no socket event will announce */
	return t->answer_ready || stream_pending(t->up.stream) ? STEP_MORE : STEP_WAIT;
}
