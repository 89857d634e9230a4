#include "proxy/txn.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "proxy/refuse.h"

#define TXN_ARENA_MAX (512 * 1024)

typedef enum step_result txn_step_f(struct txn *);
static enum step_result txn_step_end(struct txn *t);

static const struct {
	const char *name;
	txn_step_f *run;
} steps[] = {
#define X(uc, lc) [TXN_##uc] = {#lc, txn_step_##lc},
    TXN_STEPS(X)
#undef X
};

static const char *const end_names[] = {
#define X(uc, text) [TXN_END_##uc] = text,
    TXN_ENDS(X)
#undef X
};

static struct metric metric_ends[TXN_END_COUNT], metric_refusals[REFUSE_COUNT];
static char refusal_labels[REFUSE_COUNT][64], end_labels[TXN_END_COUNT][64];
static struct histogram histogram_seconds = {
    .name = "bursar_request_seconds",
    .help = "Time from a request's head to the end of its answer",
    .bound_ns = {1000000, 2500000, 5000000, 10000000, 25000000, 50000000, 100000000, 250000000, 500000000, 1000000000,
		 2500000000, 5000000000, 10000000000, 30000000000, 60000000000, 300000000000},
    .n_bounds = 16,
};

const char *txn_end_name(enum txn_end e)
{
	return end_names[e];
}

void txn_metrics_register(void)
{
	for (int i = 1; i < TXN_END_COUNT; i++) {
		(void)snprintf(end_labels[i], sizeof(end_labels[i]), "end=\"%s\"", end_names[i]);
		metric_ends[i] = (struct metric){
		    .name = "bursar_requests_total", .labels = end_labels[i], .help = "Calls by how they ended"};
		metric_register(&metric_ends[i]);
	}
	for (int i = 0; i < REFUSE_COUNT; i++) {
		(void)snprintf(refusal_labels[i], sizeof(refusal_labels[i]), "reason=\"%s\"",
			       refusal_code((enum refusal_reason)i));
		metric_refusals[i] = (struct metric){.name = "bursar_refusals_total",
						     .labels = refusal_labels[i],
						     .help = "Calls that bursar refused, by reason"};
		metric_register(&metric_refusals[i]);
	}
	histogram_register(&histogram_seconds);
	metric_register(&metric_streams_cut);
	txn_pace_metrics();
}

/* The head is parsed in the worker's scratch over bytes of client->in; both change, so the call keeps a copy. */
static struct h1_head *copy_head(struct arena *a, const struct h1_head *h, const char *bytes)
{
	size_t size = offsetof(struct h1_head, fields) + h->n_fields * sizeof(h->fields[0]);
	struct h1_head *copy = arena_alloc(a, size);
	char *text = arena_alloc(a, h->head_bytes);

	if (!copy || !text)
		return NULL;
	memcpy(copy, h, size);
	memcpy(text, bytes, h->head_bytes);
#define MOVE(s)                                                                                                        \
	if ((s).p)                                                                                                     \
	(s).p = text + ((s).p - bytes)
	MOVE(copy->method_text);
	MOVE(copy->target);
	for (size_t i = 0; i < copy->n_fields; i++) {
		MOVE(copy->fields[i].name);
		MOVE(copy->fields[i].value);
	}
#undef MOVE
	return copy;
}

static void open_failed(struct client *c)
{
	refuse_and_close(c, REFUSE_OVERLOADED, 0, "out of memory");
}

void txn_start(struct client *c)
{
	struct worker *w = c->worker;
	const struct h1_head *h = &w->head;
	struct txn *t = calloc(1, sizeof(*t));

	if (!t) {
		open_failed(c);
		return;
	}
	t->magic = TXN_MAGIC;
	t->worker = w;
	arena_init(&t->arena, TXN_ARENA_MAX);
	t->head = copy_head(&t->arena, h, buf_slice(&c->in).p);
	if (!t->head) {
		arena_reset(&t->arena);
		free(t);
		open_failed(c);
		return;
	}
	buf_consume(&c->in, h->head_bytes);
	t->method = t->head->method_text;
	t->number = ++w->next_request;
	t->start_mono_ns = loop_mono_ns(w->loop);
	t->start_wall_ns = loop_wall_ns(w->loop);
	store_uid(w->proxy->deps.store, w->index, t->uid);
	memcpy(t->id_text, "req_", 4);
	hex_encode(t->uid, sizeof(t->uid), t->id_text + 4);
	t->client = c;
	c->txn = t;
	c->state = CLIENT_TXN;
	t->client_keep_alive = h->keep_alive;
	t->up.worker = w;
	t->up.ctx = t;
	buf_init(&t->send, 256 * 1024);
	buf_init(&t->answer_in, H1_HEAD_MAX + SCRATCH_BYTES);
	TAILQ_INSERT_TAIL(&w->txns, t, entry);
	atomic_fetch_add_explicit(&w->n_txns, 1, memory_order_relaxed);
	t->step = TXN_ROUTE;
	txn_run(t);
}

static void txn_free(void *arg)
{
	struct txn *t = arg;

	arena_reset(&t->arena);
	free(t->kept);
	principal_dir_unref(t->principals);
	price_book_unref(t->book);
	t->magic = 0;
	free(t);
}

static void log_call(struct txn *t)
{
	struct log_line l;
	int64_t now = loop_mono_ns(t->worker->loop);
	char peer[ADDR_TEXT_MAX];

	if (!t->worker->proxy->config.log_requests || !log_enabled(LOG_INFO))
		return;
	log_begin(&l, LOG_INFO, "request");
	log_word(&l, "id", slice_of(t->id_text));
	if (t->client)
		log_word(&l, "client", slice_of(addr_format(&t->client->peer.sa, peer)));
	log_str(&l, "key", t->key_name);
	log_str(&l, "method", t->method);
	log_str(&l, "host", slice_of(t->target.host));
	log_str(&l, "path", t->target.path);
	log_word(&l, "end", slice_of(end_names[t->end]));
	if (t->end == TXN_END_REFUSED)
		log_word(&l, "refusal", slice_of(refusal_code(t->refusal)));
	log_int(&l, "status", t->answer_status);
	if (t->metered) {
		log_word(&l, "provider", slice_of(t->target.provider->name));
		log_str(&l, "model", slice_of(t->info.model));
		log_usd(&l, "cost_usd", t->cost_nanousd);
		log_usd(&l, "held_usd", t->bound.worst_nanousd);
		log_int(&l, "input_tokens", (int64_t)t->input_tokens);
		log_int(&l, "output_tokens", (int64_t)t->output_tokens);
		log_int(&l, "flags", t->row_flags);
		txn_ladder_log(t, &l);
	}
	log_int(&l, "bytes_out", (int64_t)t->answer_bytes);
	log_int(&l, "us_total", (now - t->start_mono_ns) / 1000);
	if (t->sent_mono_ns)
		log_int(&l, "us_to_send", (t->sent_mono_ns - t->start_mono_ns) / 1000);
	if (t->first_byte_mono_ns)
		log_int(&l, "us_first_byte", (t->first_byte_mono_ns - t->sent_mono_ns) / 1000);
	log_end_buffered(&l);
	worker_logged(t->worker);
}

/* Everything of the call but its memory, which lives until the end of the loop's turn. */
static void txn_retire(struct txn *t)
{
	struct worker *w = t->worker;
	struct client *c = t->client;
	bool keep = t->client_keep_alive && t->body_complete && !t->refused_early;

	txn_settle(t);
	CHECK(t->hold.state != HOLD_RESERVED && t->hold.state != HOLD_SENT && !t->has_slot);
	deadline_disarm(&t->deadline);
	metric_add(&metric_ends[t->end], 1);
	histogram_observe(&histogram_seconds, loop_mono_ns(w->loop) - t->start_mono_ns);
	log_call(t);
	upstream_close(&t->up);
	tap_free(t->tap);
	generic_call_free(t->generic);
	usage_hide_free(t->hide);
	txn_upload_free(t);
	txn_free_scan(t);
	txn_count_free(t);
	txn_grow_free(t);
	free(t->cut_why);
	t->cut_why = NULL;
	buf_done(&t->body_buf);
	buf_done(&t->send);
	buf_done(&t->answer_in);
	buf_done(&t->hidden);
	atomic_fetch_sub_explicit(&w->proxy->body_bytes, t->body_reserved_bytes, memory_order_relaxed);
	if (t->draining)
		atomic_fetch_sub_explicit(&w->n_drains, 1, memory_order_relaxed);
	TAILQ_REMOVE(&w->txns, t, entry);
	atomic_fetch_sub_explicit(&w->n_txns, 1, memory_order_relaxed);
	t->tap = NULL;
	t->generic = NULL;
	t->hide = NULL;
	t->client = NULL;
	loop_free_later(w->loop, &t->free_node, txn_free, t);
	if (!c)
		return;
	if (t->in_place_bytes)
		buf_consume(&c->in, t->in_place_bytes);
	client_txn_done(c, keep);
}

static enum step_result txn_step_end(struct txn *t)
{
	CHECK(t->end != TXN_END_NONE);
	return STEP_DONE;
}

void txn_run(struct txn *t)
{
	enum step_result r;

	CHECK_OBJ(t, TXN_MAGIC);
	if (t->running) /* an event inside a step: the loop below goes on with it */
		return;
	t->running = true;
	do {
		r = steps[t->step].run(t);
	} while (r == STEP_MORE);
	t->running = false;
	if (r == STEP_DONE)
		txn_retire(t);
}

static void keep(char **at, struct slice *s)
{
	if (s->n > 0)
		memcpy(*at, s->p, s->n);
	s->p = *at;
	*at += s->n;
	*(*at)++ = '\0';
}

/* Only for a call that was sent whole and whose answer has begun: nothing of the request will be looked at again but
 * what the log line and the ledger row name. */
void txn_compact(struct txn *t)
{
	struct slice host = slice_of(t->target.host);
	struct slice *texts[] = {&t->method, &t->target.path,      &t->key_name,           &t->tags_json,
				 &host,      &t->target.api.model, &t->target.api.late_id, &t->degraded_from};
	size_t n = 0;
	char *at;

	if (t->kept || !t->answer_head_sent || !t->sent_all)
		return;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		n += texts[i]->n + 1;
	t->kept = at = malloc(n);
	if (!at)
		return;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		keep(&at, texts[i]);
	t->target.host = t->up.host = host.p;
	t->target.path_query = t->target.query = t->body_coding = SLICE_NONE;
	t->head = NULL;
	arena_reset(&t->arena);
}

void txn_abort(struct txn *t, enum txn_end end)
{
	if (t->step == TXN_END)
		return;
	t->end = end;
	t->step = TXN_END;
	t->client_keep_alive = false;
	txn_run(t);
}

static PRINTF_LIKE(2, 0) const char *refusal_sentence(struct txn *t, const char *fmt, va_list ap)
{
	char text[1024];

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	struct slice s = arena_dup(&t->arena, slice_of(text));
	return s.p ? s.p : "";
}

enum step_result txn_refuse(struct txn *t, enum refusal_reason reason, const char *fmt, ...)
{
	const struct proxy_provider *p = t->target.provider;
	va_list ap;

	CHECK(!t->answer_head_sent); /* nothing of ours may stand inside a vendor's answer */
	struct refusal r = {.reason = reason, .request_id = slice_of(t->id_text)};
	struct refuse_options o = {.family = t->target.api.family,
				   .retry_after_s = t->retry_after_s > 0 ? t->retry_after_s : 1,
				   .head_only = t->head->method == H1_HEAD,
				   .keep_alive = t->client_keep_alive && t->body_complete};
	char remaining[AMOUNT_TEXT_MAX];

	va_start(ap, fmt);
	r.message = slice_of(refusal_sentence(t, fmt, ap));
	va_end(ap);
	r.budgets = t->refusal_budgets;
	r.n_budgets = t->n_refusal_budgets;
	if (reason == REFUSE_BUDGET_EXCEEDED && p && p->block_status)
		o.status = p->block_status;
	if (t->refused_by)
		o.budget = slice_of(t->refused_by);
	else if (t->n_refusal_budgets > 0)
		o.budget = t->refusal_budgets[0].name;
	if (t->tightest_budget)
		o.remaining_usd = slice_of(amount_format_usd(t->tightest_left_nanousd, remaining));
	t->refusal = reason;
	if (t->end == TXN_END_NONE)
		t->end = TXN_END_REFUSED;
	t->answer_status = envelope_status(o.family, reason, o.status);
	metric_add(&metric_refusals[reason], 1);
	txn_settle(t); /* before the client can know: its next call meets neither this hold nor an older breaker */
	if (t->client) {
		refuse_write(t->client, &r, &o);
		t->refused_early = !o.keep_alive;
	}
	t->step = TXN_END;
	return STEP_MORE;
}

void txn_deadline(struct deadline *d)
{
	struct txn *t = (struct txn *)((char *)d - offsetof(struct txn, deadline));

	CHECK_OBJ(t, TXN_MAGIC);
	t->timed_out = true;
	txn_run(t);
}

/* The application left. What has not been sent costs nothing and ends here; what has been sent is billed by the vendor,
 * so the answer is read on to its final usage, within bounds. */
void txn_client_gone(struct txn *t)
{
	struct worker *w = t->worker;
	bool sent = t->sending && t->sent_all;

	CHECK_OBJ(t, TXN_MAGIC);
	t->client = NULL;
	if (t->step == TXN_END)
		return; /* retiring already, or about to */
	t->row_flags |= ROW_CLIENT_GONE;
	if (sent && t->metered && !w->ending &&
	    atomic_load_explicit(&w->n_drains, memory_order_relaxed) < (size_t)w->proxy->config.limits.max_drains) {
		t->draining = true;
		atomic_fetch_add_explicit(&w->n_drains, 1, memory_order_relaxed);
		deadline_arm(&w->drain_deadline, &t->deadline);
		if (t->paused)
			stream_want(t->up.stream, STREAM_READ);
		t->paused = false;
		return;
	}
	txn_abort(t, t->answer_head_seen                 ? TXN_END_CLIENT_ANSWER
		     : t->sending || t->step == TXN_PACE ? TXN_END_CLIENT_WAIT
							 : TXN_END_CLIENT_BODY);
}
