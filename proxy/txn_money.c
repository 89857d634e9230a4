/* txn_money.c - the money of a call: its price, its hold, its settlement. Every exit of a call passes txn_settle. */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "meter/tier.h"
#include "proxy/txn.h"

/* Output the vendor may have produced and billed while it was still on the wire when a stream broke off. */
#define INFLIGHT_TOKENS 64

static struct store *store_of(const struct txn *t)
{
	return t->worker->proxy->deps.store;
}

static struct engine *engine_of(const struct txn *t)
{
	return t->worker->proxy->deps.engine;
}

/* --- price ----------------------------------------------------------------------------------------------------------
 */

static bool take_model(struct txn *t)
{
	if (t->info.model[0] != '\0')
		return true;
	if (t->target.api.model.n == 0 || t->target.api.model.n > MODEL_NAME_MAX)
		return false;
	(void)slice_to_cstr(t->target.api.model, t->info.model, sizeof(t->info.model));
	return true;
}

/* The facts are scratch; the ledger row wants the tags when the call is over. */
static bool keep_tags(struct txn *t, const struct facts *f)
{
	char text[400], name[80], value[300];
	size_t n = 0;

	for (size_t i = 0; i < f->n_tags; i++) {
		size_t a = json_escape(f->tags[i].name, name, sizeof(name) - 1);
		size_t b = json_escape(f->tags[i].value, value, sizeof(value) - 1);
		int w = snprintf(text + n, sizeof(text) - n, "%s\"tag.%.*s\":\"%.*s\"", n ? "," : "", (int)a, name,
				 (int)b, value);

		n += w > 0 && (size_t)w < sizeof(text) - n ? (size_t)w : 0; /* those that do not fit are left out */
	}
	if (n > 0)
		t->tags_json = arena_dup(&t->arena, slice_mem(text, n));
	return n == 0 || t->tags_json.p;
}

static bool match_budgets(struct txn *t, enum step_result *ret)
{
	struct facts *f = &t->worker->facts;
	int r;

	if (txn_gather_facts(t, f) < 0 || !keep_tags(t, f)) {
		*ret = txn_refuse(t, REFUSE_BAD_REQUEST, "malformed x-bursar-tags; write k=v,k2=v2");
		return false;
	}
	r = engine_match(engine_of(t), f, &t->worker->match);
	if (r == BUR_OK) {
		t->hard = t->worker->match.any_hard;
		return true;
	}
	if (r == BUR_NOTFOUND)
		*ret =
		    txn_refuse(t, REFUSE_NO_BUDGET,
			       "no budget covers the key " SLICE_FMT " and the configuration says default: deny; add a "
			       "budget that matches it",
			       SLICE_ARG(t->key_name));
	else
		*ret =
		    txn_refuse(t, REFUSE_OVERLOADED, "the table of budget counters is full; raise limits.max_meters");
	return false;
}

/* A model or route without a price: only budgets that say so by name let it pass. */
static enum step_result without_price(struct txn *t, enum refusal_reason reason, const char *why)
{
	bool charge = t->worker->match.unknown_model == UNKNOWN_CHARGE;

	if (t->hard && t->worker->match.unknown_model == UNKNOWN_BLOCK)
		return txn_refuse(t, reason, "%s", why);
	t->no_price = true;
	t->price = NULL;
	t->row_flags |= ROW_NO_PRICE;
	t->bound.worst_nanousd = charge ? t->worker->match.unknown_charge_nanousd : 0;
	if (!t->hard && !charge)
		t->price = price_find(t->book, SLICE("default"), SLICE("default"), &t->inherited_price);
	t->step = TXN_HOLD;
	return STEP_MORE;
}

static enum step_result find_bound(struct txn *t)
{
	const char *why = "";
	char text[400];

	switch (bound_upper(t->price, t->target.api.kind, &t->info, t->start_wall_ns / NS_PER_S, &t->bound, &why)) {
	case BOUND_OK:
		t->step = TXN_HOLD;
		return STEP_MORE;
	case BOUND_NO_PRICE:
	case BOUND_UNBOUNDED:
		(void)snprintf(text, sizeof(text), "the call to %s has no upper price, which a hard budget needs: %s",
			       t->info.model, why);
		if (t->hard)
			return txn_refuse(t, REFUSE_PRICE_UNKNOWN, "%s", text);
		t->unbounded = true;
		t->step = TXN_HOLD;
		return STEP_MORE;
	case BOUND_OVERFLOW:
		break;
	}
	return txn_refuse(t, REFUSE_PRICE_ERROR,
			  "the price of this call is too large to be counted; lower its token limits");
}

enum step_result txn_step_price(struct txn *t)
{
	enum step_result r = STEP_MORE;
	char text[512];

	t->book = price_book_ref(t->worker->proxy->deps.book);
	if (t->target.api.kind == API_UNKNOWN) {
		if (!match_budgets(t, &r))
			return r;
		return without_price(t, REFUSE_ROUTE_UNMETERED,
				     "bursar cannot price this route, and a hard budget applies; use a route it knows "
				     "(chat/completions, responses, embeddings, messages, generateContent)");
	}
	if (!take_model(t))
		return txn_refuse(t, REFUSE_BAD_REQUEST, "the request names no model");
	if (!match_budgets(t, &r))
		return r;
	t->price =
	    price_find(t->book, slice_of(t->target.provider->name), slice_of(t->info.model), &t->inherited_price);
	if (!t->price) {
		(void)snprintf(
		    text, sizeof(text),
		    "no price is known for model %s of %s, and a hard budget applies; add it to the price book, or "
		    "set unknown_model on the budget",
		    t->info.model, t->target.provider->name);
		return without_price(t, REFUSE_PRICE_UNKNOWN, text);
	}
	if (t->inherited_price)
		t->row_flags |= ROW_INHERITED_PRICE;
	return find_bound(t);
}

/* --- hold -----------------------------------------------------------------------------------------------------------
 */

static void tell_events(struct txn *t, const struct engine_event *events, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct engine_event *e = &events[i];
		struct threshold_event row = {.uid = e->uid,
					      .win_start = e->win_start,
					      .win_end = e->win_end,
					      .at_ppm = e->at_ppm,
					      .posted = e->posted,
					      .held = e->held,
					      .limit = e->limit,
					      .at_ns = t->start_wall_ns,
					      .warned_mask = e->warned_mask,
					      .action = e->action};

		(void)slice_to_cstr(slice_of(e->budget->name), row.budget, sizeof(row.budget));
		(void)slice_to_cstr(slice_of(e->scope), row.scope, sizeof(row.scope));
		if (store_event(store_of(t), t->worker->index, &row) < 0)
			log_limited(LOG_WARN, "budget.event", "an alert of budget %s could not be queued",
				    e->budget->name);
		log_msg(LOG_WARN, "budget.threshold", "budget %s %s reached %lld %% of its limit", e->budget->name,
			e->scope, (long long)(e->at_ppm / 10000));
	}
}

static const char *unit_name(enum amount_unit u)
{
	return u == UNIT_USD ? "USD" : u == UNIT_TOKENS ? "tokens" : "requests";
}

static enum step_result blocked(struct txn *t, const struct decision *d)
{
	struct refusal_budget *list = arena_zalloc(&t->arena, d->n_blocked * sizeof(*list));
	struct buf text;
	char when[TIME_TEXT_MAX];
	int64_t soonest = INT64_MAX, now_s = t->start_wall_ns / NS_PER_S;
	enum step_result r;

	if (!list)
		return txn_refuse(t, REFUSE_BUDGET_EXCEEDED, "the budget is exceeded");
	for (size_t i = 0; i < d->n_blocked; i++) {
		const struct blocked *b = &d->blocked[i];

		list[i] = (struct refusal_budget){.name = slice_of(b->budget->name),
						  .window = slice_of(b->budget->window_name),
						  .scope = arena_dup(&t->arena, slice_of(b->scope)),
						  .unit = slice_of(unit_name(b->budget->unit)),
						  .limit = b->limit,
						  .posted = b->posted,
						  .held = b->held,
						  .need = b->need};
		if (b->budget->window.kind != WINDOW_TOTAL)
			list[i].resets_at =
			    arena_dup(&t->arena, slice_of(time_format(b->budget->window.tz, b->win_end, when)));
		if (b->win_end - now_s < soonest)
			soonest = b->win_end - now_s;
	}
	t->refusal_budgets = list;
	t->n_refusal_budgets = d->n_blocked;
	/* money that is only held comes back within seconds, or with the next window */
	t->retry_after_s = d->verdict == VERDICT_HELD ? (soonest < 2 ? (int)soonest : 2) : 0;
	buf_init(&text, 8192);
	if (refusal_budget_message(list, d->n_blocked, &text) < 0)
		buf_consume(&text, buf_len(&text));
	r = txn_refuse(t, d->verdict == VERDICT_HELD ? REFUSE_BUDGET_HELD : REFUSE_BUDGET_EXCEEDED, SLICE_FMT,
		       SLICE_ARG(buf_slice(&text)));
	buf_done(&text);
	return r;
}

static uint32_t clip_u32(uint64_t n)
{
	return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

static void fill_entry(struct txn *t, struct journal_entry *e)
{
	const struct facts *f = &t->worker->facts; /* of this call: its price was found in this same turn */
	struct store *s = store_of(t);

	memcpy(e->uid, t->uid, sizeof(e->uid));
	e->state = SLOT_RESERVED;
	e->hold_id = t->hold.id;
	e->created_ns = t->start_wall_ns;
	e->price_version = price_book_version(t->book);
	e->input_bound_nanousd = t->bound.input_nanousd;
	e->cell = (struct journal_cell){.worst_nanousd = t->bound.worst_nanousd,
					.input_tokens = clip_u32(t->bound.input_tokens),
					.output_tokens = clip_u32(t->bound.output_tokens),
					.requests = 1,
					.source = SOURCE_WORST,
					.flags = t->row_flags};
	e->ids[NAME_KEY] = store_name(s, NAME_KEY, t->key_name);
	e->ids[NAME_USER] = store_name(s, NAME_USER, f->v[FACT_USER]);
	e->ids[NAME_TEAM] = store_name(s, NAME_TEAM, f->v[FACT_TEAM]);
	e->ids[NAME_PROJECT] = store_name(s, NAME_PROJECT, f->v[FACT_PROJECT]);
	e->ids[NAME_PROVIDER] = store_name(s, NAME_PROVIDER, slice_of(t->target.provider->name));
	e->ids[NAME_MODEL] = store_name(s, NAME_MODEL, slice_of(t->info.model));
	e->ids[NAME_ROUTE] = store_name(s, NAME_ROUTE, slice_of(api_kind_name(t->target.api.kind)));
	e->n_meters = t->hold.n;
	for (size_t i = 0; i < t->hold.n; i++)
		e->meters[i] = (struct journal_meter){t->hold.m[i].uid, t->hold.m[i].win_start};
}

static bool meters_are_known(struct txn *t)
{
	for (size_t i = 0; i < t->hold.n; i++) {
		const struct budget *b = NULL;
		const char *scope = NULL;

		engine_meter_name(engine_of(t), t->hold.m[i].meter, &b, &scope);
		if (store_meter_known(store_of(t), t->hold.m[i].uid, slice_of(b->name), slice_of(scope), (int)b->unit) <
		    0)
			return false;
	}
	return true;
}

static enum step_result storage_refused(struct txn *t)
{
	CHECK(engine_void(engine_of(t), &t->hold) == BUR_OK);
	t->retry_after_s = 1;
	return txn_refuse(
	    t, REFUSE_STORAGE_UNAVAILABLE,
	    "bursar cannot write its ledger now, so it spends nothing; see /health/ready on the admin port");
}

enum step_result txn_step_hold(struct txn *t)
{
	struct amounts worst = {.nanousd = t->bound.worst_nanousd,
				.tokens = (int64_t)(t->bound.input_tokens + t->bound.output_tokens),
				.requests = 1};
	struct decision d;
	struct call call = {.hard = t->hard};
	int r;

	d.n_events = 0;
	r = engine_reserve(engine_of(t), &t->worker->match, &worst, t->start_wall_ns / NS_PER_S, &t->hold, &d);
	if (r == BUR_OVERFLOW)
		return txn_refuse(t, REFUSE_PRICE_ERROR, "the price of this call is too large to be counted");
	if (r == BUR_FULL)
		return txn_refuse(t, REFUSE_OVERLOADED, "too many windows of one budget are still open; try again");
	tell_events(t, d.events, d.n_events);
	if (d.tightest) {
		t->tightest_budget = d.tightest->name;
		t->tightest_left_nanousd = d.tightest_left_nanousd;
	}
	if (r == BUR_DENIED)
		return blocked(t, &d);
	t->over_budget = d.over_budget;
	if (!meters_are_known(t))
		return storage_refused(t);
	fill_entry(t, &call.entry);
	if (store_call_begin(store_of(t), t->worker->index, &call, &t->slot) < 0)
		return storage_refused(t);
	t->has_slot = true;
	t->step = TXN_DIAL;
	return STEP_MORE;
}

void txn_money_sent(struct txn *t)
{
	if (!t->has_slot || t->hold.state != HOLD_RESERVED)
		return;
	CHECK(engine_mark_sent(engine_of(t), &t->hold) == BUR_OK);
	store_call_sent(store_of(t), t->slot);
}

/* --- settlement -----------------------------------------------------------------------------------------------------
 */

struct outcome {
	int64_t actual_nanousd;
	uint64_t input_tokens, output_tokens;
	enum settle_source source;
	uint64_t requests;
};

static void outcome_worst(const struct txn *t, struct outcome *o)
{
	*o = (struct outcome){.actual_nanousd = t->bound.worst_nanousd,
			      .input_tokens = t->bound.input_tokens,
			      .output_tokens = t->bound.output_tokens,
			      .source = SOURCE_WORST,
			      .requests = 1};
}

/* A usage that costs more than this is no usage but nonsense of a broken vendor. */
#define COST_MAX_NANOUSD (1000000 * NANOUSD_PER_USD)

static int cost_of(const struct txn *t, const struct price_model *m, const struct usage *u, int64_t *ret)
{
	struct cost_sum sum = {0};
	struct price_terms terms;
	struct quantities q;
	int64_t cost = 0;
	int r;

	usage_quantities(u, &q);
	usage_terms(u, t->start_wall_ns / NS_PER_S, false, &terms);
	r = price_cost(m, &q, &terms, &sum);

	if (r == BUR_OK)
		r = cost_ceil_nanousd(&sum, &cost);
	if (r == BUR_OK && cost > COST_MAX_NANOUSD)
		r = BUR_OVERFLOW;
	if (r == BUR_OK)
		*ret = cost;
	return r;
}

/* The answer may name the model that really ran (a dated snapshot, an alias resolved): its own price counts. */
static const struct price_model *billed_model(struct txn *t)
{
	bool inherited = false;
	const struct price_model *m;

	if (!t->price || t->no_price || t->worker->usage.model[0] == '\0' ||
	    strcmp(t->worker->usage.model, t->info.model) == 0)
		return t->price;
	m = price_find(t->book, slice_of(t->target.provider->name), slice_of(t->worker->usage.model), &inherited);
	return m && !inherited ? m : t->price;
}

/* No final usage: the larger of what the vendor said last and what was seen go by. Text is counted in bytes, which are
 * never fewer than tokens; where output is billed that nobody sees, only the hold is a bound. */
static void outcome_estimate(struct txn *t, const struct price_model *m, struct outcome *o)
{
	const struct usage *u = &t->worker->usage;
	bool whole = t->answer_ended;
	uint64_t out = u->output_tokens > u->output_bytes ? u->output_tokens : u->output_bytes;
	uint64_t in = u->has_input && u->input_tokens > 0 ? u->input_tokens : t->bound.input_tokens;
	int64_t estimate = 0, floor = 0;

	outcome_worst(t, o);
	if (!m || price_model_hides_reasoning(m) || (!u->stream && !whole) || (u->output_bytes == 0 && !u->has_output))
		goto floor;
	out += whole ? 0 : INFLIGHT_TOKENS;
	if (bound_estimate(m, &t->info, in, out, t->start_wall_ns / NS_PER_S, &estimate) < 0 ||
	    estimate >= t->bound.worst_nanousd)
		goto floor;
	*o = (struct outcome){.actual_nanousd = estimate,
			      .input_tokens = in,
			      .output_tokens = out,
			      .source = u->has_output ? SOURCE_PARTIAL : SOURCE_COUNTED,
			      .requests = 1};
floor:
	if (m && (u->has_input || u->has_output) && cost_of(t, m, u, &floor) == BUR_OK && floor > o->actual_nanousd)
		o->actual_nanousd = floor;
}

static void outcome_of_answer(struct txn *t, struct outcome *o)
{
	const struct price_model *m = billed_model(t);
	const struct usage *u = &t->worker->usage;

	if (t->target.api.kind == API_UNKNOWN || (t->no_price && !m)) {
		outcome_worst(t, o);
		o->input_tokens = u->input_tokens;
		o->output_tokens = u->output_tokens;
		o->source = SOURCE_COUNTED;
		return;
	}
	if (u->complete && m && cost_of(t, m, u, &o->actual_nanousd) == BUR_OK) {
		o->input_tokens = u->input_tokens;
		o->output_tokens = u->output_tokens;
		o->source = SOURCE_USAGE;
		o->requests = 1;
		return;
	}
	t->row_flags |= ROW_ESTIMATED;
	outcome_estimate(t, m, o);
}

static void find_outcome(struct txn *t, struct outcome *o)
{
	bool ok_status = t->answer_status >= 200 && t->answer_status < 300;

	if (t->answer_head_seen && !ok_status) { /* refused by the vendor before output: not billed */
		*o = (struct outcome){.source = SOURCE_USAGE};
		t->row_flags |= ROW_ERROR_STATUS;
		return;
	}
	if (!t->answer_ended)
		t->row_flags |= t->client || t->end >= TXN_END_UPSTREAM_CONNECT ? ROW_UPSTREAM_CUT : ROW_CLIENT_GONE;
	/* nobody knows what the vendor did with it, or more of the answer stands unread than was seen */
	if (!t->answer_head_seen || (!t->answer_ended && t->paused)) {
		t->row_flags |= ROW_ESTIMATED;
		outcome_worst(t, o);
		return;
	}
	if (t->tap)
		tap_finish(t->tap, t->answer_ended, &t->worker->usage);
	outcome_of_answer(t, o);
}

static size_t put_extra(char *dst, size_t size, size_t n, const char *key, uint64_t value)
{
	int w;

	if (value == 0)
		return n;
	w = snprintf(dst + n, size - n, "%s\"%s\":%llu", n ? "," : "{", key, (unsigned long long)value);
	return w > 0 && (size_t)w < size - n ? n + (size_t)w : n;
}

/* What the columns of the ledger have no place for. Most calls have nothing. */
static uint32_t write_extra(const struct txn *t, char dst[500])
{
	const struct usage *u = &t->worker->usage;
	size_t n = 0, size = 490;

	n = put_extra(dst, size, n, "audio_input_tokens", u->audio_input_tokens);
	n = put_extra(dst, size, n, "cached_audio_tokens", u->cached_audio_tokens);
	n = put_extra(dst, size, n, "audio_output_tokens", u->audio_output_tokens);
	n = put_extra(dst, size, n, "image_input_tokens", u->image_input_tokens);
	n = put_extra(dst, size, n, "image_output_tokens", u->image_output_tokens);
	n = put_extra(dst, size, n, "file_searches", u->file_searches);
	if (u->model[0] != '\0' && strcmp(u->model, t->info.model) != 0) {
		char text[2 * MODEL_NAME_MAX];
		size_t m = json_escape(slice_of(u->model), text, sizeof(text) - 1);
		int w = snprintf(dst + n, size - n, "%s\"answer_model\":\"%.*s\"", n ? "," : "{", (int)m, text);

		n += w > 0 && (size_t)w < size - n ? (size_t)w : 0;
	}
	if (t->end != TXN_END_NONE && t->end != TXN_END_COMPLETE) { /* NONE: a whole answer is settled before it ends */
		int w = snprintf(dst + n, size - n, "%s\"end\":\"%s\"", n ? "," : "{", txn_end_name(t->end));

		n += w > 0 && (size_t)w < size - n ? (size_t)w : 0;
	}
	if (t->tags_json.n > 0) {
		int w = snprintf(dst + n, size - n, "%s" SLICE_FMT, n ? "," : "{", SLICE_ARG(t->tags_json));

		n += w > 0 && (size_t)w < size - n ? (size_t)w : 0;
	}
	if (n > 0)
		dst[n++] = '}';
	return (uint32_t)n;
}

static void note_overrun(struct txn *t, const struct outcome *o)
{
	if (o->actual_nanousd <= t->bound.worst_nanousd || t->no_price || t->unbounded)
		return;
	t->row_flags |= ROW_OVERRUN;
	metric_add(&metric_overrun_nanousd, o->actual_nanousd - t->bound.worst_nanousd);
	log_msg(LOG_ERROR, "budget.overrun", "%s: %s billed %lld nano-USD, held were %lld", t->id_text, t->info.model,
		(long long)o->actual_nanousd, (long long)t->bound.worst_nanousd);
}

static void settle_sent(struct txn *t)
{
	struct outcome o = {0};
	struct settlement s;
	struct call_end end;
	struct amounts actual;

	memset(&t->worker->usage, 0, sizeof(t->worker->usage));
	find_outcome(t, &o);
	note_overrun(t, &o);
	if (t->worker->usage.stream)
		t->row_flags |= ROW_STREAM;
	t->cost_nanousd = o.actual_nanousd;
	o.input_tokens = clip_u32(o.input_tokens); /* what the ledger can hold; a price was refused long before */
	o.output_tokens = clip_u32(o.output_tokens);
	t->input_tokens = o.input_tokens;
	t->output_tokens = o.output_tokens;
	actual = (struct amounts){o.actual_nanousd, (int64_t)(o.input_tokens + o.output_tokens), (int64_t)o.requests};
	end.cell = (struct journal_cell){.worst_nanousd = t->bound.worst_nanousd,
					 .actual_nanousd = o.actual_nanousd,
					 .input_tokens = clip_u32(o.input_tokens),
					 .output_tokens = clip_u32(o.output_tokens),
					 .cached_tokens = clip_u32(t->worker->usage.cached_input_tokens),
					 .cache_write_tokens = clip_u32(t->worker->usage.cache_write_tokens),
					 .cache_write_1h_tokens = clip_u32(t->worker->usage.cache_write_1h_tokens),
					 .reasoning_tokens = clip_u32(t->worker->usage.reasoning_tokens),
					 .requests = (uint32_t)o.requests,
					 .searches = clip_u32(t->worker->usage.web_searches),
					 .source = (uint8_t)o.source,
					 .tier = tier_pack(&t->worker->usage),
					 .status = (uint16_t)t->answer_status,
					 .flags = t->row_flags};
	end.settled_ns = loop_wall_ns(t->worker->loop);
	end.extra_n = write_extra(t, end.extra);
	store_call_settle(store_of(t), t->worker->index, t->slot, &end);
	if (engine_settle(engine_of(t), &t->hold, &actual, &s) != BUR_OK) {
		/* a counter is at the end of its range: the ledger row stands, the hold must not */
		log_msg(LOG_ERROR, "budget.overflow", "%s: a budget counter overflows; its sum is only in the ledger",
			t->id_text);
		actual = (struct amounts){0};
		CHECK(engine_settle(engine_of(t), &t->hold, &actual, &s) == BUR_OK);
	}
	tell_events(t, s.events, s.n_events);
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
			store_call_void(store_of(t), t->worker->index, t->slot);
		CHECK(engine_void(engine_of(t), &t->hold) == BUR_OK);
	}
	t->has_slot = false;
}
