/* txn_outcome.c - what the call did cost: by the vendor's final usage or cost, else the larger of what it said and what
 * was seen, else the hold. */
#include "base/log.h"
#include "meter/exchange.h"
#include "proxy/txn_outcome.h"
#include "store/late.h"

/* A usage that costs more than this is no usage but nonsense of a broken vendor. */
#define COST_MAX_NANOUSD (1000000 * NANOUSD_PER_USD)

static int64_t at_s(const struct txn *t)
{
	return t->start_wall_ns / NS_PER_S;
}

static void outcome_worst(const struct txn *t, struct outcome *o)
{
	*o = (struct outcome){.actual_nanousd = t->bound.worst_nanousd,
			      .input_tokens = t->bound.input_tokens,
			      .output_tokens = t->bound.output_tokens,
			      .source = SOURCE_WORST,
			      .requests = txn_requests(t)};
}

/* --- cost of a usage ---------------------------------------------------------------------------------------------- */

static int add_cost(const struct txn *t, const struct price_model *m, const struct usage *u, struct cost_sum *sum)
{
	struct price_terms terms;
	struct quantities q;
	struct cost_sum more = {0};
	int r;

	usage_quantities(u, &q);
	usage_terms(u, at_s(t), txn_is_residency(t), &terms);
	r = price_cost(m, &q, &terms, &more);
	if (r == BUR_OK && __builtin_add_overflow(sum->num, more.num, &sum->num))
		r = BUR_OVERFLOW;
	return r;
}

/* Tokens that another model used inside the same answer, at that model's price; at this one's when it has none. */
static int add_other(struct txn *t, const struct price_model *m, const struct usage_other *other, struct cost_sum *sum)
{
	const struct usage u = {.input_tokens = other->input_tokens,
				.cached_input_tokens = other->cached_input_tokens,
				.cache_write_tokens = other->cache_write_tokens,
				.cache_write_1h_tokens = other->cache_write_1h_tokens,
				.audio_input_tokens = other->audio_input_tokens,
				.audio_ms = other->audio_ms,
				.output_tokens = other->output_tokens};
	const struct price_model *own = txn_find_price(t, other->model, NULL);

	if (!own)
		t->row_flags |= ROW_ESTIMATED;
	return add_cost(t, own ? own : m, &u, sum);
}

static int cost_of(struct txn *t, const struct price_model *m, const struct usage *u, int64_t *ret)
{
	struct cost_sum sum = {0};
	int64_t cost = 0;
	int r = add_cost(t, m, u, &sum);

	for (size_t i = 0; i < u->n_others && r == BUR_OK; i++)
		r = add_other(t, m, &u->others[i], &sum);
	if (r == BUR_OK)
		r = cost_ceil_nanousd(&sum, &cost);
	if (r == BUR_OK && cost > COST_MAX_NANOUSD)
		r = BUR_OVERFLOW;
	if (r == BUR_OK)
		*ret = cost;
	return r;
}

/* What the vendor itself says the call cost. */
static bool reported_cost(const struct txn *t, int64_t *ret)
{
	const struct usage *u = txn_usage(t);
	int64_t pusd;

	if (!t->target.provider->tells_cost || !u->has_reported_cost ||
	    amount_add(u->reported_cost_pusd, u->upstream_cost_pusd, &pusd) < 0 || pusd < 0)
		return false;
	*ret = pusd / PICOUSD_PER_NANOUSD + (pusd % PICOUSD_PER_NANOUSD > 0);
	return *ret <= COST_MAX_NANOUSD;
}

/* The answer may name the model that really ran (a dated snapshot, an alias resolved): its own price counts. */
static const struct price_model *billed_model(struct txn *t)
{
	const char *named = txn_usage(t)->model;
	bool inherited = false;
	const struct price_model *m;

	if (t->no_price || named[0] == '\0' || strcmp(named, t->info.model) == 0)
		return t->price;
	m = txn_find_price(t, named, &inherited);
	if (!m || (inherited && t->price))
		return t->price;
	t->priced_as_answer = true;
	return m;
}

/* --- outcomes ----------------------------------------------------------------------------------------------------- */

/* Is what was seen, by this model's price, a measure of the bill? */
static bool is_countable(const struct txn *t, const struct price_model *m)
{
	const struct usage *u = txn_usage(t);

	return bound_is_seen(m, t->target.api.kind, &t->info) && (u->stream || t->answer_ended) &&
	       (u->output_bytes > 0 || u->has_output);
}

/* Soft budgets let pass what has no bound or no price of its own, and nothing was held for it. */
static bool is_unheld(const struct txn *t)
{
	return t->unbounded || (t->no_price && t->bound.worst_nanousd == 0);
}

/* Input that the vendor did not count: what was held for, or else the text, for it is all there is to go by. */
static uint64_t input_at_most(const struct txn *t)
{
	const struct request_info *q = &t->info;
	uint64_t data = q->image_bytes > q->upload_bytes ? q->image_bytes : q->upload_bytes;

	return is_unheld(t) ? q->body_bytes - (data < q->body_bytes ? data : q->body_bytes) : t->bound.input_tokens;
}

/* No final usage: the larger of what the vendor said last and what was seen go by. Text is counted in tokens where
 * the vocabulary is known, else in bytes, which are never fewer; where something is billed that nobody sees, only the
 * hold is a bound. */
static void outcome_estimate(struct txn *t, const struct price_model *m, struct outcome *o)
{
	const struct usage *u = txn_usage(t);
	uint64_t out = u->output_tokens > u->output_counted ? u->output_tokens : u->output_counted;
	uint64_t in = u->has_input && u->input_tokens > 0 ? u->input_tokens : input_at_most(t);
	int64_t estimate = 0, floor = 0;

	outcome_worst(t, o);
	if (!m || (!is_unheld(t) && !is_countable(t, m)))
		goto floor;
	/* what the vendor made and bills while it was still on the wire when the stream broke off */
	out += t->answer_ended ? 0 : txn_grow_allowance(t);
	if (bound_estimate(m, &t->info, in, out, at_s(t), &estimate) < 0 ||
	    (!is_unheld(t) && estimate >= t->bound.worst_nanousd))
		goto floor;
	*o = (struct outcome){.actual_nanousd = estimate,
			      .input_tokens = in,
			      .output_tokens = out,
			      .source = u->has_output ? SOURCE_PARTIAL : SOURCE_COUNTED,
			      .requests = 1};
floor:
	if (m && (u->has_input || u->has_output) && cost_of(t, m, u, &floor) == BUR_OK && floor > o->actual_nanousd)
		o->actual_nanousd = floor;
	if (reported_cost(t, &floor) && floor > o->actual_nanousd)
		o->actual_nanousd = floor;
	/* an exact count is billed, also where more came at once than was held for */
	if (m && t->counts_words && bound_estimate(m, &t->info, in, u->output_counted, at_s(t), &floor) == BUR_OK &&
	    floor > o->actual_nanousd)
		o->actual_nanousd = floor;
	/* what the vendor told is no less than it told */
	o->input_tokens = o->input_tokens > u->input_tokens ? o->input_tokens : u->input_tokens;
	o->output_tokens = o->output_tokens > u->output_tokens ? o->output_tokens : u->output_tokens;
}

/* No price: a fixed charge, or nothing; the counts are kept. */
static void outcome_unpriced(const struct txn *t, struct outcome *o)
{
	outcome_worst(t, o);
	o->input_tokens = txn_usage(t)->input_tokens;
	o->output_tokens = txn_usage(t)->output_tokens;
	o->source = txn_usage(t)->complete ? SOURCE_USAGE : SOURCE_COUNTED;
}

/* A job that was ordered now and is billed when it is done: background responses, batches. */
static bool is_ordered(const struct txn *t)
{
	const struct usage *u = txn_usage(t);

	return t->answer_ended && u->dedupe_key[0] != '\0' && !u->complete && !u->error_seen &&
	       (t->target.api.kind == API_BATCH_SUBMIT || t->info.background);
}

static void outcome_usage(const struct txn *t, struct outcome *o, enum settle_source source)
{
	const struct usage *u = txn_usage(t);

	o->input_tokens = u->input_tokens;
	o->output_tokens = u->output_tokens;
	o->source = source;
	o->requests = u->requests;
}

/* The vendor's own figure counts; the book's stands beside it, and a difference says that the book needs care. */
static void compare_with_book(struct txn *t, const struct price_model *m, int64_t reported_nanousd)
{
	uint32_t flags = t->row_flags; /* what the book has to guess at does not make the vendor's figure a guess */
	int64_t ours, apart;
	int r = m ? cost_of(t, m, txn_usage(t), &ours) : BUR_NOTFOUND;

	t->row_flags = flags;
	if (r < 0)
		return;
	t->book_cost_nanousd = ours;
	apart = ours > reported_nanousd ? ours - reported_nanousd : reported_nanousd - ours;
	if (apart <= reported_nanousd / 100)
		return;
	metric_add(&metric_price_differs, 1);
	log_limited(LOG_WARN, "price.differs", "%s: %s says %lld nano-USD for %s, the price book %lld", t->id_text,
		    t->target.provider->name, (long long)reported_nanousd, t->info.model, (long long)ours);
}

/* Speech that is billed by the characters of its text: the request has said it all. */
static bool is_by_characters(const struct txn *t, const struct price_model *m)
{
	return t->target.api.kind == API_SPEECH && t->answer_ended && txn_usage(t)->output_bytes > 0 &&
	       price_model_has(m, PRICE_CHARS) && !price_model_has(m, PRICE_IN) && !price_model_has(m, PRICE_OUT);
}

static void outcome_of_answer(struct txn *t, struct outcome *o)
{
	const struct price_model *m = billed_model(t);
	const struct usage *u = txn_usage(t);

	if (u->dedupe_key[0] != '\0')
		o->late_key = late_key(slice_of(t->target.provider->name), slice_of(u->dedupe_key));
	if (is_ordered(t)) {
		uint64_t key = o->late_key;

		txn_batch_ordered(t, slice_of(u->dedupe_key));
		t->row_flags |= ROW_PENDING | ROW_ESTIMATED;
		outcome_worst(t, o);
		o->late_key = key;
	} else if (t->target.provider->price_free) {
		outcome_usage(t, o, u->complete ? SOURCE_USAGE : SOURCE_COUNTED);
		o->requests = 1;
	} else if (u->complete && reported_cost(t, &o->actual_nanousd)) {
		outcome_usage(t, o, SOURCE_REPORTED);
		compare_with_book(t, m, o->actual_nanousd);
	} else if (t->target.api.kind == API_UNKNOWN || !m) {
		outcome_unpriced(t, o);
	} else if (u->complete && cost_of(t, m, u, &o->actual_nanousd) == BUR_OK) {
		outcome_usage(t, o, SOURCE_USAGE);
	} else if (is_by_characters(t, m) && cost_of(t, m, u, &o->actual_nanousd) == BUR_OK) {
		t->row_flags |= ROW_ESTIMATED;
		outcome_usage(t, o, SOURCE_COUNTED);
	} else {
		t->row_flags |= ROW_ESTIMATED;
		outcome_estimate(t, m, o);
	}
}

bool txn_is_as_asked(const struct txn *t)
{
	const struct usage *u = txn_usage(t);
	char asked[sizeof(u->dedupe_key)];

	(void)slice_to_cstr(t->target.api.late_id, asked, sizeof(asked));
	return asked[0] == '\0' || strcmp(asked, u->dedupe_key) == 0;
}

/* The answer is the bill of a call that was made before. A poll that finds nothing yet says nothing. */
static void outcome_of_fetch(struct txn *t, struct outcome *o)
{
	struct usage *u = txn_usage(t);
	const struct price_model *m;

	*o = (struct outcome){.source = SOURCE_USAGE};
	if (u->dedupe_key[0] == '\0' || (!u->complete && !u->has_output))
		return;
	if (!txn_is_as_asked(t)) {
		log_limited(LOG_WARN, "late.other",
			    "%s: the answer is of %s, which was not asked for; it changes nothing", t->id_text,
			    u->dedupe_key);
		return;
	}
	txn_batch_fetched(t, u);
	m = txn_find_price(t, u->model, NULL);
	if (reported_cost(t, &o->actual_nanousd)) {
		o->source = SOURCE_REPORTED;
	} else if (!m || cost_of(t, m, u, &o->actual_nanousd) < 0) {
		log_limited(LOG_WARN, "price.unknown",
			    "%s: the bill of %s is for %s, which has no price; the call it belongs to keeps its hold",
			    t->id_text, u->dedupe_key, u->model);
		o->actual_nanousd = 0;
		t->row_flags |= ROW_NO_PRICE;
		return;
	}
	outcome_usage(t, o, o->source);
	o->late_key = late_key(slice_of(t->target.provider->name), slice_of(u->dedupe_key));
	o->fetched = true;
	t->priced_as_answer = true;
	t->row_flags |= ROW_LATE | (u->complete ? 0 : ROW_PENDING | ROW_ESTIMATED);
}

static void outcome_of_generic(struct txn *t, struct outcome *o)
{
	int64_t now_ns = loop_mono_ns(t->worker->loop);
	bool sure = false;

	*o = (struct outcome){.source = SOURCE_USAGE, .requests = 1};
	generic_call_cost(t->generic, t->answer_ended, now_ns - t->sent_mono_ns, &o->actual_nanousd, &sure);
	if (o->actual_nanousd > COST_MAX_NANOUSD)
		o->actual_nanousd = t->bound.worst_nanousd;
	if (!sure) {
		t->row_flags |= ROW_ESTIMATED;
		o->source = SOURCE_WORST;
	}
}

/* Did we hang up on a vendor that was still at it? What it goes on to bill nobody here will see. */
static bool we_hung_up(const struct txn *t)
{
	switch (t->end) {
	case TXN_END_UPSTREAM_SEND:
	case TXN_END_UPSTREAM_HEAD:
	case TXN_END_UPSTREAM_ANSWER:
		return false;
	default:
		return !t->answer_ended;
	}
}

/* Is what was seen no measure of what will be billed? */
static bool only_worst_holds(const struct txn *t)
{
	const struct proxy_provider *p = t->target.provider;

	if (t->answer_ended)
		return false;
	/* nobody knows what the vendor did with it, or more of the answer stands unread than was seen */
	if (!t->answer_head_seen || t->paused || p->full_bill_on_abort)
		return true;
	/* a hold that grows is of calls whose vendor stops; one that was cut off was hung up on for that */
	if (t->growing || t->end == TXN_END_BUDGET_CUT)
		return false;
	return t->hard && we_hung_up(t) && p->on_client_abort == ABORT_DRAIN;
}

void txn_find_outcome(struct txn *t, struct outcome *o)
{
	bool ok_status = t->answer_status >= 200 && t->answer_status < 300;

	if (t->answer_head_seen && !ok_status)
		t->row_flags |= ROW_ERROR_STATUS;
	if (t->end == TXN_END_BUDGET_CUT)
		t->row_flags |= ROW_BUDGET_CUT;
	else if (!t->answer_ended)
		t->row_flags |= t->client || t->end >= TXN_END_UPSTREAM_CONNECT ? ROW_UPSTREAM_CUT : ROW_CLIENT_GONE;
	if (t->generic) {
		outcome_of_generic(t, o);
		return;
	}
	if (t->answer_head_seen && !ok_status && !t->target.provider->bills_errors) {
		*o = (struct outcome){.source = SOURCE_USAGE}; /* refused by the vendor before output: not billed */
		return;
	}
	if (t->tap)
		tap_finish(t->tap, t->answer_ended, txn_usage(t));
	usage_apply_request(txn_usage(t), &t->target.api, &t->info, t->answer_status);
	/* a part of it; or one of several answers has finished, and the others were still at it */
	if (t->answer_status == 206 || (!t->answer_ended && t->info.candidates > 1))
		txn_usage(t)->complete = false;
	if (txn_is_late(t)) {
		outcome_of_fetch(t, o);
	} else if (only_worst_holds(t)) {
		t->row_flags |= ROW_ESTIMATED;
		outcome_worst(t, o);
	} else {
		outcome_of_answer(t, o);
	}
}
