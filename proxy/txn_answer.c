/* txn_answer.c - the head of the vendor's answer: read, and written anew for the client. */
#include "proxy/txn.h"

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

/* A hold that grows goes by the words of the answer where they can be counted as the vendor counts them. */
static void count_words(struct txn *t, struct tap_options *o)
{
	const struct proxy_provider *p = t->target.provider;
	struct slice vendor = slice_of(p->price_id ? p->price_id : p->name);

	if (!t->growing || t->info.candidates > 1 || (t->target.api.kind == API_COMPLETIONS && t->info.messages > 1))
		return;
	o->encoding = tok_for_model(vendor, slice_of(price_model_id(t->price)), &o->count);
	o->count = o->count && tok_available(o->encoding);
	o->cache = t->worker->prompt_caches.of[o->encoding];
	t->counts_words = o->count;
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
	count_words(t, &o);
	txn_grow_first(t);
	tap_edge_init(&t->edge, t->target.api.kind, o.content_type);
	t->answer_coded = coding.n > 0 && !slice_ieq(coding, SLICE("identity"));
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
int txn_answer_head(struct txn *t, struct slice *s)
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
	txn_guard_answer(t, h);
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
	txn_ladder_fields(t, w);
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

int txn_answer_write_head(struct txn *t, struct buf *out)
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
