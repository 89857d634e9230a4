/* txn_relay.c - the upstream side of a call: dial, send, and the answer as it streams back.
 *
 * Bytes go on as they come; a copy goes to the tap. A slow client stops the vendor's side (back-pressure), a client
 * that left does not stop the meter. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "proxy/auth.h"
#include "proxy/txn.h"

#define ROUNDS_MAX 4 /* reads per wake, for fairness */

static void upstream_ready(void *ctx, unsigned what)
{
	struct txn *t = ctx;

	CHECK_OBJ(t, TXN_MAGIC);
	if (what & STREAM_READ)
		t->answer_ready = true;
	txn_run(t);
}

/* The one place that says what we want of the vendor's socket. */
static void update_interest(struct txn *t)
{
	unsigned want = t->paused ? 0 : STREAM_READ;

	if (t->step == TXN_SEND && !t->waits_for_client)
		want |= STREAM_WRITE;
	stream_want(t->up.stream, want);
}

/* --- dial -----------------------------------------------------------------------------------------------------------
 */

static enum step_result dial_failed(struct txn *t, int err, const char *text)
{
	enum refusal_reason reason = err == BUR_DENIED    ? REFUSE_FORBIDDEN
				     : err == BUR_CRYPTO  ? REFUSE_UPSTREAM_TLS
				     : err == BUR_TIMEOUT ? REFUSE_UPSTREAM_TIMEOUT
							  : REFUSE_UPSTREAM_CONNECT;
	enum step_result r;

	log_limited(LOG_WARN, "upstream.connect", "%s:%u: %s", t->target.host, t->target.port, text);
	r = txn_refuse(t, reason, "%s", text);
	t->end = err == BUR_CRYPTO ? TXN_END_UPSTREAM_TLS : TXN_END_UPSTREAM_CONNECT;
	return r;
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
	int r;

	if (t->dialling)
		return STEP_WAIT;
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
static bool try_again(struct txn *t)
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

static enum step_result read_answer(struct txn *t);

static enum step_result send_failed(struct txn *t)
{
	/* the vendor may have answered before it closed: only when nothing came is the call sent again */
	t->step = TXN_ANSWER;
	deadline_arm(&t->worker->first_byte_deadline, &t->deadline);
	return read_answer(t);
}

static enum step_result cut(struct txn *t, enum txn_end end);

/* A refusal, or once the vendor's answer is on its way to the client, its end. */
static enum step_result stop_sending(struct txn *t, enum txn_end end, enum refusal_reason reason, const char *why)
{
	enum step_result r;

	if (t->answer_head_seen)
		return cut(t, end);
	r = txn_refuse(t, reason, "%s", why);
	t->end = end;
	return r;
}

/* BUR_AGAIN from either side. */
static enum step_result send_waits(struct txn *t)
{
	struct worker *w = t->worker;

	update_interest(t);
	if (!t->waits_for_client)
		deadline_arm(&w->idle_deadline, &t->deadline);
	else if (t->deadline.queue != &w->body_deadline) /* a trickle does not push it on: see upload_is_slow */
		deadline_arm(&w->body_deadline, &t->deadline);
	return t->answer_ready ? read_answer(t) : STEP_WAIT;
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
	update_interest(t);
	deadline_arm(t->answer_head_seen ? &w->idle_deadline : &w->first_byte_deadline, &t->deadline);
	/* TLS may hold an answer that no socket event will announce */
	return t->answer_ready || stream_pending(t->up.stream) ? STEP_MORE : STEP_WAIT;
}

/* --- answer: head ---------------------------------------------------------------------------------------------------
 */

static bool is_event_stream(const struct h1_head *h)
{
	const struct h1_field *f = h1_find(h, H1_F_CONTENT_TYPE);

	return f && slice_istarts(f->value, SLICE("text/event-stream"));
}

/* One that stands twice is a coding nobody knows: the answer is passed on, and charged as one that cannot be read. */
static struct slice answer_coding(const struct h1_head *h)
{
	const struct h1_field *f = h1_find(h, H1_F_CONTENT_ENCODING);

	if (!f)
		return SLICE_NONE;
	return txn_field_repeats(h, H1_F_CONTENT_ENCODING) ? SLICE("stands-twice") : f->value;
}

static void open_generic(struct txn *t, const struct h1_head *h)
{
	generic_call_answer_begin(t->generic, h->status, answer_coding(h));
	for (size_t i = 0; i < h->n_fields; i++)
		generic_call_answer_field(t->generic, h->fields[i].name, h->fields[i].value);
}

static void open_tap(struct txn *t, const struct h1_head *h)
{
	const struct h1_field *type = h1_find(h, H1_F_CONTENT_TYPE);
	struct slice coding = answer_coding(h);
	struct tap_options o = {.kind = t->target.api.kind, .status = h->status, .scratch = &t->worker->tap_scratch};

	if (t->generic)
		open_generic(t, h);
	txn_upload_answer(t, h);
	if (!t->metered || t->generic || t->target.api.kind == API_UNKNOWN)
		return;
	o.content_type = type ? type->value : SLICE_NONE;
	o.content_encoding = coding;
	t->tap = tap_new(&o);
	for (size_t i = 0; t->tap && i < h->n_fields; i++)
		tap_header(t->tap, h->fields[i].name, h->fields[i].value);
	if (t->info.has_usage_edit && h->status == 200 && is_event_stream(h) &&
	    (coding.n == 0 || slice_ieq(coding, SLICE("identity")))) {
		t->hide = usage_hide_new();
		buf_init(&t->hidden, CLIENT_EVENT_MAX);
	}
}

static enum out_framing framing_for(const struct txn *t, const struct h1_head *h)
{
	if (h->framing == H1_NO_BODY)
		return OUT_NONE;
	if (h->framing == H1_LENGTH && !t->hide)
		return OUT_LENGTH;
	return t->head->minor >= 1 ? OUT_CHUNKED : OUT_CLOSE;
}

/* Reads past interim answers. BUR_OK: the final head is in worker->head and *s stands at the body. */
static int answer_head(struct txn *t, struct slice *s)
{
	struct h1_head *h = &t->worker->head;
	enum h1_error e = H1_NONE;

	for (;;) {
		int r = h1_parse_response(&t->answer_scan, s->p, s->n, t->head->method, h, &e);

		if (r == BUR_AGAIN)
			return s->n >= H1_HEAD_MAX ? BUR_INVALID : BUR_AGAIN;
		if (r < 0 || h->status == 101)
			return BUR_INVALID;
		*s = slice_sub(*s, h->head_bytes, s->n);
		memset(&t->answer_scan, 0, sizeof(t->answer_scan));
		if (h->status >= 200)
			break;
	}
	t->answer_head_seen = true;
	t->first_byte_mono_ns = loop_mono_ns(t->worker->loop);
	t->answer_status = h->status;
	t->upstream_keep_alive = h->keep_alive;
	h1_body_init(&t->answer_body, h->framing, h->content_length);
	open_tap(t, h);
	t->out_framing = framing_for(t, h);
	if (t->out_framing == OUT_CLOSE)
		t->client_keep_alive = false;
	return BUR_OK;
}

static void write_our_fields(struct h1_writer *w, struct txn *t)
{
	char text[AMOUNT_TEXT_MAX];

	h1_write_field(w, SLICE("x-bursar-request-id"), slice_of(t->id_text));
	if (t->settled && t->metered)
		h1_write_field(w, SLICE("x-bursar-cost"), slice_of(amount_format_usd(t->cost_nanousd, text)));
	if (t->tightest_budget) {
		int64_t left = t->tightest_left_nanousd + (t->settled ? t->bound.worst_nanousd - t->cost_nanousd : 0);

		h1_write_field(w, SLICE("x-bursar-budget"), slice_of(t->tightest_budget));
		h1_write_field(w, SLICE("x-bursar-budget-remaining"), slice_of(amount_format_usd(left, text)));
	}
	if (t->over_budget)
		h1_write_field(w, SLICE("x-bursar-over-budget"), SLICE("1"));
}

static void write_framing(struct h1_writer *w, struct txn *t, const struct h1_head *h)
{
	const struct h1_field *length = h1_find(h, H1_F_CONTENT_LENGTH);

	if (t->out_framing == OUT_LENGTH)
		h1_write_field_u64(w, SLICE("content-length"), h->content_length);
	else if (t->out_framing == OUT_CHUNKED)
		h1_write_field(w, SLICE("transfer-encoding"), SLICE("chunked"));
	else if (t->out_framing == OUT_NONE && length && t->head->method == H1_HEAD)
		h1_write_field(w, SLICE("content-length"), length->value);
	if (!t->client_keep_alive || t->worker->draining)
		h1_write_field(w, SLICE("connection"), SLICE("close"));
	else if (t->head->minor == 0)
		h1_write_field(w, SLICE("connection"), SLICE("keep-alive"));
}

static int write_answer_head(struct txn *t, struct buf *out)
{
	const struct h1_head *h = &t->worker->head;
	struct h1_writer w = {0};
	bool events = is_event_stream(h);

	h1_write_status(&w, out, h->status, h->reason.n > 0 ? h->reason : slice_of(h1_reason(h->status)));
	for (size_t i = 0; i < h->n_fields; i++) {
		const struct h1_field *f = &h->fields[i];

		if (h1_is_hop_by_hop(h, f) || f->id == H1_F_CONTENT_LENGTH ||
		    slice_istarts(f->name, SLICE("x-bursar-")))
			continue;
		if (events && f->id == H1_F_X_ACCEL_BUFFERING)
			continue;
		h1_write_field(&w, f->name, f->value);
	}
	if (events) {
		h1_write_field(&w, SLICE("x-accel-buffering"), SLICE("no"));
		if (!h1_find(h, H1_F_CACHE_CONTROL))
			h1_write_field(&w, SLICE("cache-control"), SLICE("no-cache, no-transform"));
	}
	write_our_fields(&w, t);
	write_framing(&w, t, h);
	return h1_write_end(&w);
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
		ok = write_answer_head(t, &head) == BUR_OK;
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
static enum step_result cut(struct txn *t, enum txn_end end)
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
		update_interest(t);
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
			return cut(t, TXN_END_UPSTREAM_PROTOCOL);
	t->answer_ended = r == BUR_EOF;
	take_hidden(t, &d, t->answer_ended);
	if (t->answer_ended)
		answer_over(t);
	(void)deliver(t, &d, t->answer_ended);
	drop_hidden(t);
	if (r == BUR_INVALID)
		return t->step == TXN_END ? STEP_MORE : cut(t, TXN_END_UPSTREAM_PROTOCOL);
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
	r = answer_head(t, &s);
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
		return cut(t, TXN_END_UPSTREAM_ANSWER);
	if (try_again(t))
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

static enum step_result read_answer(struct txn *t)
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
		return cut(t, t->draining ? TXN_END_CLIENT_ANSWER : TXN_END_UPSTREAM_TIMEOUT);
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
	return read_answer(t);
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
	update_interest(t);
	txn_run(t);
}
