/* txn_body.c - the request's body: read whole and looked into where it decides what the call may cost, else passed
 * through as it comes. */
#include <stdlib.h>

#include "base/log.h"
#include "meter/decode.h"
#include "proxy/txn.h"

#define IN_PLACE_MAX (64 * 1024) /* a body up to this stays in the connection's buffer */

static enum step_result too_large(struct txn *t)
{
	return txn_refuse(t, REFUSE_BODY_TOO_LARGE, "the request body is over the limit of %lld bytes",
			  (long long)t->worker->proxy->config.limits.max_body_bytes);
}

static enum step_result no_memory(struct txn *t)
{
	return txn_refuse(t, REFUSE_OVERLOADED, "too many large requests are waiting; try again");
}

static bool reserve_memory(struct txn *t, int64_t bytes)
{
	struct proxy *p = t->worker->proxy;
	int64_t before = atomic_fetch_add_explicit(&p->body_bytes, bytes, memory_order_relaxed);

	t->body_reserved_bytes += bytes;
	return before + bytes <= p->config.limits.max_body_memory_bytes;
}

/* --- looking into it ---------------------------------------------------------------------------------------------- */

/* Most bodies arrive with their head and are scanned at once, in the worker's scratch. */
static struct reqscan *new_scan(struct txn *t)
{
	if (t->head->framing == H1_LENGTH && t->head->content_length <= buf_len(&t->client->in))
		return &t->worker->scan;
	return malloc(sizeof(*t->scan));
}

void txn_free_scan(struct txn *t)
{
	if (t->scan != &t->worker->scan)
		free(t->scan);
	t->scan = NULL;
	decode_free(t->body_decode);
	t->body_decode = NULL;
}

/* Decoded bytes: to the scanner, or to the rule of the configuration. */
static int look_into(void *ctx, const char *p, size_t n)
{
	struct txn *t = ctx;

	if (t->scan)
		return reqscan_feed(t->scan, p, n);
	generic_call_request_body(t->generic, p, n);
	return BUR_OK;
}

static struct decode_limits decode_limits(const struct txn *t)
{
	struct decode_limits l = DECODE_LIMITS;

	l.max_bytes = (uint64_t)t->worker->proxy->config.limits.max_body_bytes;
	l.strict = true;
	return l;
}

bool txn_field_repeats(const struct h1_head *h, enum h1_field_id id)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n_fields; i++)
		n += h->fields[i].id == id;
	return n > 1;
}

/* The same type said twice is one type. */
static bool types_differ(const struct h1_head *h)
{
	const struct h1_field *first = h1_find(h, H1_F_CONTENT_TYPE);

	for (size_t i = 0; i < h->n_fields; i++)
		if (h->fields[i].id == H1_F_CONTENT_TYPE && !slice_eq(h->fields[i].value, first->value))
			return true;
	return false;
}

static int look_begin(struct txn *t)
{
	const struct h1_field *coding = h1_find(t->head, H1_F_CONTENT_ENCODING);
	const struct h1_field *type = h1_find(t->head, H1_F_CONTENT_TYPE);
	struct decode_limits limits = decode_limits(t);
	char model[MODEL_NAME_MAX + 1];

	if (api_decode_model(t->target.api.model, model, sizeof(model)) < 0)
		model[0] = '\0'; /* refused when it is priced */
	if (!t->generic) {
		t->scan = new_scan(t);
		if (!t->scan)
			return BUR_NOMEM;
		reqscan_begin(t->scan, &(struct reqscan_options){.kind = t->target.api.kind,
								 .provider = slice_of(t->target.provider->name),
								 .model = slice_of(model),
								 .content_type = type ? type->value : SLICE_NONE});
	}
	if (!coding || decode_is_identity(coding->value))
		return BUR_OK;
	t->body_coding = arena_dup(&t->arena, coding->value);
	return decode_new(t->body_coding, &limits, look_into, t, &t->body_decode);
}

static enum step_result refused(struct txn *t, int err)
{
	char text[200];

	if (err == BUR_TOOBIG)
		return too_large(t);
	if (t->scan && t->scan->error != REQSCAN_OK)
		return txn_refuse(t, REFUSE_BAD_REQUEST, "%s", reqscan_error_text(t->scan, text, sizeof(text)));
	return txn_refuse(t, REFUSE_BAD_REQUEST,
			  "the request body is not what its Content-Encoding says; send it plain, or compressed once "
			  "and whole");
}

static int look_at(struct txn *t, const char *p, size_t n)
{
	return t->body_decode ? decode_feed(t->body_decode, p, n) : look_into(t, p, n);
}

static int into_buffer(void *ctx, const char *p, size_t n)
{
	return buf_append(ctx, p, n);
}

/* Decoded once more, this time to be kept. */
static int make_plain(struct txn *t)
{
	struct decode_limits limits = decode_limits(t);
	struct decode *d = NULL;
	struct buf plain;
	int r;

	if (t->body_in_place) /* the connection's buffer may have moved */
		t->body.p = buf_slice(&t->client->in).p;
	buf_init(&plain, (size_t)limits.max_bytes);
	r = decode_new(t->body_coding, &limits, into_buffer, &plain, &d);
	if (r == BUR_OK)
		r = decode_feed(d, t->body.p, t->body.n);
	if (r == BUR_OK)
		r = decode_finish(d);
	decode_free(d);
	if (r < 0 || !reserve_memory(t, (int64_t)buf_len(&plain))) {
		buf_done(&plain);
		return r < 0 ? r : BUR_FULL;
	}
	buf_done(&t->body_buf);
	t->body_buf = plain;
	t->body = buf_slice(&t->body_buf);
	t->body_in_place = false;
	t->body_made_plain = true;
	return BUR_OK;
}

int txn_body_make_plain(struct txn *t)
{
	return t->body_coding.n == 0 || t->body_made_plain ? BUR_OK : make_plain(t);
}

/* --- gathering it ------------------------------------------------------------------------------------------------- */

/* Must the body be known before the call may leave? */
static bool needs_body(const struct txn *t)
{
	if (t->generic)
		return generic_call_needs_body(t->generic);
	return t->metered && t->target.api.kind != API_UNKNOWN && !txn_is_late(t);
}

static void go_on(struct txn *t)
{
	static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct iovec iov = {(void *)(uintptr_t)line, sizeof(line) - 1};

	if (t->head->expect_continue && buf_len(&t->client->in) == 0 && !t->body_complete &&
	    !client_send(t->client, &iov, 1))
		t->client->close_after = true;
}

static enum step_result gather_begin(struct txn *t)
{
	const struct proxy_limits *l = &t->worker->proxy->config.limits;
	const struct h1_field *type = h1_find(t->head, H1_F_CONTENT_TYPE);
	bool sized = t->head->framing == H1_LENGTH;
	size_t room;
	int r;

	if (types_differ(t->head) || txn_field_repeats(t->head, H1_F_CONTENT_ENCODING))
		return txn_refuse(t, REFUSE_BAD_REQUEST,
				  "Content-Type or Content-Encoding stands twice in the request; which one would the "
				  "vendor read?");
	if (type && !multipart_charset_plain(type->value))
		return txn_refuse(t, REFUSE_BAD_REQUEST,
				  "the charset of the request's Content-Type is none that is read here; send UTF-8");
	r = look_begin(t);
	if (r == BUR_UNSUPPORTED)
		return txn_refuse(t, REFUSE_BAD_REQUEST,
				  "this Content-Encoding of the request body cannot be read; send gzip, deflate, br, "
				  "zstd, or plain");
	if (r < 0)
		return txn_refuse(t, REFUSE_OVERLOADED, "out of memory");
	t->body_in_place = sized && t->head->content_length <= IN_PLACE_MAX;
	buf_init(&t->body_buf, (size_t)l->max_body_bytes);
	if (sized && !reserve_memory(t, (int64_t)t->head->content_length))
		return no_memory(t);
	/* all at once: growing step by step would copy a large prompt over and over */
	if (sized && !t->body_in_place && !buf_reserve(&t->body_buf, (size_t)t->head->content_length, &room))
		return no_memory(t);
	return STEP_WAIT;
}

static enum step_result body_begin(struct txn *t)
{
	const struct proxy_limits *l = &t->worker->proxy->config.limits;
	int64_t max = t->stream_body ? l->max_upload_bytes : l->max_body_bytes;
	enum step_result r = STEP_WAIT;

	if (t->head->framing == H1_LENGTH && t->head->content_length > (uint64_t)max)
		return txn_refuse(t, REFUSE_BODY_TOO_LARGE, "the request body is over the limit of %lld bytes",
				  (long long)max);
	if (t->generic && t->head->framing != H1_CHUNKED)
		generic_call_request_bytes(t->generic, t->head->framing == H1_LENGTH ? t->head->content_length : 0,
					   true);
	if (!t->stream_body)
		r = gather_begin(t);
	if (r != STEP_WAIT)
		return r;
	if (t->target.api.kind == API_FILE_UPLOAD && t->target.provider)
		txn_upload_begin(t);
	go_on(t);
	t->body_begun = true;
	return STEP_WAIT;
}

/* The body fits the connection's buffer: it stays there until it has been sent. */
static enum step_result body_in_place(struct txn *t)
{
	struct slice have = buf_slice(&t->client->in);
	size_t want = (size_t)t->head->content_length;
	size_t n = have.n < want ? have.n : want;
	int r;

	if (n == want) { /* known before it is judged: a refused body has been read whole all the same */
		t->in_place_bytes = want;
		t->body_complete = true;
	}
	if (n > t->body_scanned) {
		r = look_at(t, have.p + t->body_scanned, n - t->body_scanned);
		if (r < 0)
			return refused(t, r);
		t->body_scanned = n;
	}
	if (n < want)
		return STEP_WAIT;
	t->body = slice_mem(have.p, want);
	return STEP_MORE;
}

static enum step_result body_gather(struct txn *t)
{
	struct client *c = t->client;
	struct slice have = buf_slice(&c->in), piece;
	size_t i = 0;
	int r;

	while ((r = h1_body_next(&t->body_in, have.p, have.n, &i, &piece)) == BUR_OK) {
		if (t->head->framing == H1_CHUNKED && !reserve_memory(t, (int64_t)piece.n))
			return no_memory(t);
		if (buf_append_slice(&t->body_buf, piece) < 0)
			return too_large(t);
		r = look_at(t, piece.p, piece.n);
		if (r < 0)
			return refused(t, r);
	}
	buf_consume(&c->in, i);
	if (r == BUR_INVALID)
		return txn_refuse(t, REFUSE_BAD_REQUEST, "%s", h1_error_text(t->body_in.error));
	if (r == BUR_AGAIN) {
		client_update_interest(c);
		return STEP_WAIT;
	}
	t->body = buf_slice(&t->body_buf);
	t->body_complete = true;
	return STEP_MORE;
}

static enum step_result body_slow(struct txn *t)
{
	const struct proxy_limits *l = &t->worker->proxy->config.limits;
	uint64_t got = t->body_in_place ? t->body_scanned : t->body_in.total;
	uint64_t need = (uint64_t)(l->body_min_rate * (l->body_grace_ns / NS_PER_S));

	t->timed_out = false;
	if (got - t->body_last_total >= need) {
		t->body_last_total = got;
		deadline_arm(&t->worker->body_deadline, &t->deadline);
		return STEP_WAIT;
	}
	t->end = TXN_END_CLIENT_SLOW;
	t->client_keep_alive = false;
	t->step = TXN_END;
	return STEP_MORE;
}

static void take_term(const struct txn *t, struct slice name, char dst[16])
{
	for (size_t i = 0; i < t->head->n_fields; i++) {
		const struct h1_field *f = &t->head->fields[i];

		if (slice_ieq(f->name, name) && !slice_ieq(f->value, SLICE("default")) &&
		    !slice_ieq(f->value, SLICE("standard")))
			(void)slice_to_cstr(f->value, dst, 16);
	}
}

/* Bedrock's InvokeModel takes them in the head; its other calls in the body. */
static void take_terms(struct txn *t)
{
	if (t->target.provider->family != FAMILY_AWS)
		return;
	take_term(t, SLICE("x-amzn-bedrock-service-tier"), t->info.service_tier);
	take_term(t, SLICE("x-amzn-bedrock-performanceconfig-latency"), t->info.speed);
}

/* The request is known whole. Only now is it said whether its edit for usage is wanted. */
static int take_info(struct txn *t)
{
	int r = reqscan_finish(t->scan);

	if (r < 0)
		return r;
	t->info = t->scan->info;
	take_terms(t);
	if (!t->target.provider->ask_usage || !txn_edit_allowed(t))
		t->info.has_usage_edit = false;
	if (!t->info.has_usage_edit)
		return BUR_OK;
	return txn_edit_set(t, EDIT_USAGE, t->info.usage_edit.from, t->info.usage_edit.to,
			    slice_of(t->info.usage_edit.text));
}

static enum step_result body_end(struct txn *t)
{
	int r = t->body_decode ? decode_finish(t->body_decode) : BUR_OK;

	deadline_disarm(&t->deadline);
	if (r == BUR_OK && t->scan)
		r = take_info(t);
	if (r == BUR_FULL)
		return no_memory(t);
	if (r < 0)
		return refused(t, r);
	txn_free_scan(t);
	t->step = TXN_PRICE;
	return STEP_MORE;
}

enum step_result txn_step_body(struct txn *t)
{
	enum step_result r = STEP_WAIT;

	if (!t->body_begun) {
		t->stream_body = !needs_body(t);
		r = body_begin(t);
		if (r != STEP_WAIT)
			return r;
		if (t->stream_body) {
			t->step = t->metered ? TXN_PRICE : TXN_DIAL;
			return STEP_MORE;
		}
		if (!t->body_complete)
			deadline_arm(&t->worker->body_deadline, &t->deadline);
	}
	if (t->timed_out)
		return body_slow(t);
	if (!t->body_complete) {
		r = t->body_in_place ? body_in_place(t) : body_gather(t);
		if (r == STEP_WAIT || t->end != TXN_END_NONE)
			return r;
	}
	return body_end(t);
}
