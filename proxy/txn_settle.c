/* txn_settle.c - what the call did cost. Every exit of a call passes txn_settle. */
#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "meter/exchange.h"
#include "meter/tier.h"
#include "meter/usage_extra.h"
#include "proxy/txn.h"
#include "store/late.h"

/* Output the vendor may have produced and billed while it was still on the wire when a stream broke off. */
#define INFLIGHT_TOKENS 64
/* A usage that costs more than this is no usage but nonsense of a broken vendor. */
#define COST_MAX_NANOUSD (1000000 * NANOUSD_PER_USD)
#define EXTRA_BYTES sizeof(((struct call_end *)0)->extra)

struct outcome {
	int64_t actual_nanousd;
	uint64_t input_tokens, output_tokens;
	enum settle_source source;
	uint64_t requests;
	uint64_t late_key; /* see store/late.h */
	bool fetched;      /* the bill is another call's: this one pays nothing */
};

static struct usage *usage_of(const struct txn *t)
{
	return &t->worker->usage;
}

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
	const struct usage *u = usage_of(t);
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
	const char *named = usage_of(t)->model;
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

/* Is the bill made of tokens alone? Characters, seconds, pictures and pages do not show in what goes by, nor do the
 * fees of tools that the vendor ran. A chat model's price for pictures is that of such a tool. */
static bool is_by_tokens(const struct txn *t, const struct price_model *m)
{
	static const enum price_unit things[] = {PRICE_CHARS,   PRICE_AUDIO_MS, PRICE_IN_AUDIO_MS, PRICE_OUT_AUDIO_MS,
						 PRICE_VIDEO_S, PRICE_PIXELS,   PRICE_PAGES,       PRICE_RERANK};
	bool pictures = t->target.api.kind == API_IMAGES || t->target.api.kind == API_PREDICT;

	for (size_t i = 0; i < ARRAY_LEN(things); i++)
		if (price_model_has(m, things[i]))
			return false;
	return !t->info.hosted_tools && !(pictures && price_model_has(m, PRICE_IMAGES));
}

/* Is what was seen, by this model's price, a measure of the bill? */
static bool is_countable(const struct txn *t, const struct price_model *m)
{
	const struct usage *u = usage_of(t);

	return !price_model_hides_reasoning(m) && is_by_tokens(t, m) && (u->stream || t->answer_ended) &&
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

/* No final usage: the larger of what the vendor said last and what was seen go by. Text is counted in bytes, which are
 * never fewer than tokens; where something is billed that nobody sees, only the hold is a bound. */
static void outcome_estimate(struct txn *t, const struct price_model *m, struct outcome *o)
{
	const struct usage *u = usage_of(t);
	uint64_t out = u->output_tokens > u->output_bytes ? u->output_tokens : u->output_bytes;
	uint64_t in = u->has_input && u->input_tokens > 0 ? u->input_tokens : input_at_most(t);
	int64_t estimate = 0, floor = 0;

	outcome_worst(t, o);
	if (!m || (!is_unheld(t) && !is_countable(t, m)))
		goto floor;
	out += t->answer_ended ? 0 : INFLIGHT_TOKENS;
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
	/* what the vendor told is no less than it told */
	o->input_tokens = o->input_tokens > u->input_tokens ? o->input_tokens : u->input_tokens;
	o->output_tokens = o->output_tokens > u->output_tokens ? o->output_tokens : u->output_tokens;
}

/* No price: a fixed charge, or nothing; the counts are kept. */
static void outcome_unpriced(const struct txn *t, struct outcome *o)
{
	outcome_worst(t, o);
	o->input_tokens = usage_of(t)->input_tokens;
	o->output_tokens = usage_of(t)->output_tokens;
	o->source = usage_of(t)->complete ? SOURCE_USAGE : SOURCE_COUNTED;
}

/* A job that was ordered now and is billed when it is done: background responses, batches. */
static bool is_ordered(const struct txn *t)
{
	const struct usage *u = usage_of(t);

	return t->answer_ended && u->dedupe_key[0] != '\0' && !u->complete && !u->error_seen &&
	       (t->target.api.kind == API_BATCH_SUBMIT || t->info.background);
}

static void outcome_usage(const struct txn *t, struct outcome *o, enum settle_source source)
{
	const struct usage *u = usage_of(t);

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
	int r = m ? cost_of(t, m, usage_of(t), &ours) : BUR_NOTFOUND;

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
	return t->target.api.kind == API_SPEECH && t->answer_ended && usage_of(t)->output_bytes > 0 &&
	       price_model_has(m, PRICE_CHARS) && !price_model_has(m, PRICE_IN) && !price_model_has(m, PRICE_OUT);
}

static void outcome_of_answer(struct txn *t, struct outcome *o)
{
	const struct price_model *m = billed_model(t);
	const struct usage *u = usage_of(t);

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

/* Is the answer about what was asked for? One that names another call must not change what that one costs. */
static bool is_as_asked(const struct txn *t, const struct usage *u)
{
	char asked[sizeof(u->dedupe_key)];

	(void)slice_to_cstr(t->target.api.late_id, asked, sizeof(asked));
	return asked[0] == '\0' || strcmp(asked, u->dedupe_key) == 0;
}

/* The answer is the bill of a call that was made before. A poll that finds nothing yet says nothing. */
static void outcome_of_fetch(struct txn *t, struct outcome *o)
{
	struct usage *u = usage_of(t);
	const struct price_model *m;

	*o = (struct outcome){.source = SOURCE_USAGE};
	if (u->dedupe_key[0] == '\0' || (!u->complete && !u->has_output))
		return;
	if (!is_as_asked(t, u)) {
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
	return t->hard && we_hung_up(t) && p->on_client_abort == ABORT_DRAIN;
}

static void find_outcome(struct txn *t, struct outcome *o)
{
	bool ok_status = t->answer_status >= 200 && t->answer_status < 300;

	if (t->answer_head_seen && !ok_status)
		t->row_flags |= ROW_ERROR_STATUS;
	if (!t->answer_ended)
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
		tap_finish(t->tap, t->answer_ended, usage_of(t));
	usage_apply_request(usage_of(t), &t->target.api, &t->info, t->answer_status);
	/* a part of it; or one of several answers has finished, and the others were still at it */
	if (t->answer_status == 206 || (!t->answer_ended && t->info.candidates > 1))
		usage_of(t)->complete = false;
	if (txn_is_late(t)) {
		outcome_of_fetch(t, o);
	} else if (only_worst_holds(t)) {
		t->row_flags |= ROW_ESTIMATED;
		outcome_worst(t, o);
	} else {
		outcome_of_answer(t, o);
	}
}

/* --- the row ------------------------------------------------------------------------------------------------------ */

static uint32_t clip_u32(uint64_t n)
{
	return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

/* What the columns of the ledger have no place for, as members of a JSON object. What does not fit is left out whole.
 */
struct extra {
	char *dst;
	size_t n, size;
};

static bool put_text(struct extra *e, const char *key, struct slice value)
{
	char text[2 * MODEL_NAME_MAX];
	size_t m = json_escape(value, text, sizeof(text) - 1);
	int w;

	if (value.n == 0)
		return true;
	w = snprintf(e->dst + e->n, e->size - e->n, "%s\"%s\":\"%.*s\"", e->n ? "," : "{", key, (int)m, text);
	if (w < 0 || (size_t)w >= e->size - e->n)
		return false;
	e->n += (size_t)w;
	return true;
}

static bool put_members(struct extra *e, struct slice members)
{
	if (members.n == 0)
		return true;
	if (members.n + 1 > e->size - e->n)
		return false;
	e->dst[e->n] = e->n ? ',' : '{';
	memcpy(e->dst + e->n + 1, members.p, members.n);
	e->n += 1 + members.n;
	return true;
}

static bool put_usage(struct extra *e, const struct usage *u)
{
	char text[EXTRA_BYTES];
	bool all;
	size_t n = usage_extra_write(u, text, e->size, &all);

	return put_members(e, slice_mem(text, n)) && all;
}

static void put_units(struct extra *e, int64_t milli)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%lld.%03d", (long long)(milli / 1000), (int)(milli % 1000));

	(void)put_text(e, "units", slice_mem(text, (size_t)n));
}

/* Most calls have nothing. What a row is priced again from comes first, and is missed when there is no room for it. */
static uint32_t write_extra(struct txn *t, char dst[EXTRA_BYTES])
{
	const struct usage *u = usage_of(t);
	struct extra e = {dst, 0, EXTRA_BYTES - 2};
	char usd[AMOUNT_TEXT_MAX];
	bool renamed = u->model[0] != '\0' && strcmp(u->model, t->info.model) != 0;

	if (!put_usage(&e, u) ||
	    (renamed && !put_text(&e, t->priced_as_answer ? "priced_as" : "answer_model", slice_of(u->model))))
		t->row_flags |= ROW_UNITS_CUT;
	(void)put_text(&e, "deployment", slice_of(u->deployment));
	if (t->book_cost_nanousd > 0)
		(void)put_text(&e, "book_usd", slice_of(amount_format_usd(t->book_cost_nanousd, usd)));
	(void)put_text(&e, "bill", slice_of(u->dedupe_key));
	if (t->generic)
		put_units(&e, generic_call_milli(t->generic));
	if (t->end != TXN_END_NONE && t->end != TXN_END_COMPLETE) /* NONE: a whole answer is settled before it ends */
		(void)put_text(&e, "end", slice_of(txn_end_name(t->end)));
	(void)put_members(&e, t->tags_json);
	if (e.n > 0)
		dst[e.n++] = '}';
	return (uint32_t)e.n;
}

static void note_overrun(struct txn *t, const struct outcome *o)
{
	if (o->fetched || o->actual_nanousd <= t->bound.worst_nanousd || t->no_price || t->unbounded)
		return;
	t->row_flags |= ROW_OVERRUN;
	metric_add(&metric_overrun_nanousd, o->actual_nanousd - t->bound.worst_nanousd);
	log_msg(LOG_ERROR, "budget.overrun", "%s: %s billed %lld nano-USD, held were %lld", t->id_text, t->info.model,
		(long long)o->actual_nanousd, (long long)t->bound.worst_nanousd);
}

static void fill_cell(const struct txn *t, const struct outcome *o, struct journal_cell *cell)
{
	const struct usage *u = usage_of(t);

	*cell = (struct journal_cell){.worst_nanousd = t->bound.worst_nanousd,
				      .actual_nanousd = o->actual_nanousd,
				      .input_tokens = clip_u32(o->input_tokens),
				      .output_tokens = clip_u32(o->output_tokens),
				      .cached_tokens = clip_u32(u->cached_input_tokens),
				      .cache_write_tokens = clip_u32(u->cache_write_tokens),
				      .cache_write_1h_tokens = clip_u32(u->cache_write_1h_tokens),
				      .reasoning_tokens = clip_u32(u->reasoning_tokens),
				      .requests = clip_u32(o->requests),
				      .searches = clip_u32(u->web_searches),
				      .source = (uint8_t)o->source,
				      .tier = (uint8_t)(tier_pack(u) | (txn_is_residency(t) ? TIER_RESIDENCY : 0)),
				      .status = (uint16_t)t->answer_status,
				      .flags = t->row_flags,
				      .late_key = o->late_key};
}

static void settle_hold(struct txn *t, const struct outcome *o)
{
	struct engine *engine = t->worker->proxy->deps.engine;
	struct amounts actual = {o->actual_nanousd, (int64_t)(o->input_tokens + o->output_tokens),
				 (int64_t)o->requests};
	struct settlement s;

	if (o->fetched) /* the writer finds whose bill it is, and moves those counters */
		actual = (struct amounts){0};
	if (engine_settle(engine, &t->hold, &actual, &s) != BUR_OK) {
		/* a counter is at the end of its range: the ledger row stands, the hold must not */
		log_msg(LOG_ERROR, "budget.overflow", "%s: a budget counter overflows; its sum is only in the ledger",
			t->id_text);
		actual = (struct amounts){0};
		CHECK(engine_settle(engine, &t->hold, &actual, &s) == BUR_OK);
	}
	txn_tell_events(t, s.events, s.n_events);
}

/* A batch and the file of its results are one bill, which may stand in the file only. */
static void link_bills(struct txn *t, const struct outcome *o)
{
	const char *also = usage_of(t)->also_key, *id = usage_of(t)->dedupe_key;
	struct slice provider = slice_of(t->target.provider->name);
	uint64_t key = o->late_key;

	if (key == 0 && txn_is_late(t) && id[0] != '\0' && is_as_asked(t, usage_of(t)))
		key = late_key(provider, slice_of(id));
	if (key == 0 || also[0] == '\0')
		return;
	if (store_late_also(t->worker->proxy->deps.store, t->worker->index, key, late_key(provider, slice_of(also))) <
	    0)
		log_limited(LOG_WARN, "late.queue", "%s: %s is not known to be the bill of %s", t->id_text, also,
			    usage_of(t)->dedupe_key);
}

/* What we counted of a prompt of text only, beside what the vendor did. */
static void learn(const struct txn *t, const struct outcome *o)
{
	const struct proxy_provider *p = t->target.provider;

	if (t->counted_tokens == 0 || o->source != SOURCE_USAGE || !t->worker->learn || t->info.images > 0)
		return;
	learn_add(t->worker->learn, slice_of(p->price_id ? p->price_id : p->name), slice_of(price_model_id(t->price)),
		  t->counted_script, t->counted_tokens, o->input_tokens);
}

static void settle_sent(struct txn *t)
{
	struct outcome o = {0};
	struct call_end end;

	memset(usage_of(t), 0, sizeof(*usage_of(t)));
	find_outcome(t, &o);
	note_overrun(t, &o);
	learn(t, &o);
	if (usage_of(t)->stream)
		t->row_flags |= ROW_STREAM;
	t->cost_nanousd = o.fetched ? 0 : o.actual_nanousd;
	/* what the ledger can hold; a price was refused long before */
	o.input_tokens = clip_u32(o.input_tokens);
	o.output_tokens = clip_u32(o.output_tokens);
	t->input_tokens = o.input_tokens;
	t->output_tokens = o.output_tokens;
	end.extra_n = write_extra(t, end.extra);
	fill_cell(t, &o, &end.cell);
	end.settled_ns = loop_wall_ns(t->worker->loop);
	store_call_settle(t->worker->proxy->deps.store, t->worker->index, t->slot, &end);
	link_bills(t, &o);
	settle_hold(t, &o);
}

void txn_settle(struct txn *t)
{
	if (t->settled)
		return;
	t->settled = true;
	/* what did not leave whole and was not answered cannot be billed */
	if (t->hold.state == HOLD_SENT && (t->sent_all || t->answer_head_seen)) {
		settle_sent(t);
	} else if (t->hold.state == HOLD_RESERVED || t->hold.state == HOLD_SENT) {
		if (t->has_slot)
			store_call_void(t->worker->proxy->deps.store, t->worker->index, t->slot);
		CHECK(engine_void(t->worker->proxy->deps.engine, &t->hold) == BUR_OK);
	}
	t->has_slot = false;
}
