/* txn_settle.c - every exit of a call passes txn_settle: its hold ends, its row goes to the writer. */
#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "meter/tier.h"
#include "meter/usage_extra.h"
#include "proxy/txn_outcome.h"
#include "store/late.h"

#define EXTRA_BYTES sizeof(((struct call_end *)0)->extra)

/* --- the row ------------------------------------------------------------------------------------------------------ */

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

/* A try of the SDK after others: a call like any other, but people want to know. */
static void put_retry(struct extra *e, uint32_t retry)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "\"retry\":%u", retry);

	(void)put_members(e, slice_mem(text, (size_t)n));
}

/* Most calls have nothing. What a row is priced again from comes first, and is missed when there is no room for it. */
static uint32_t write_extra(struct txn *t, char dst[EXTRA_BYTES])
{
	const struct usage *u = txn_usage(t);
	struct extra e = {dst, 0, EXTRA_BYTES - 2};
	char usd[AMOUNT_TEXT_MAX];
	char ladder[2 * MODEL_NAME_MAX + 96];
	bool renamed = u->model[0] != '\0' && strcmp(u->model, t->info.model) != 0;

	if (!put_usage(&e, u) ||
	    (renamed && !put_text(&e, t->priced_as_answer ? "priced_as" : "answer_model", slice_of(u->model))))
		t->row_flags |= ROW_UNITS_CUT;
	(void)put_text(&e, "deployment", slice_of(u->deployment));
	if (t->book_cost_nanousd > 0)
		(void)put_text(&e, "book_usd", slice_of(amount_format_usd(t->book_cost_nanousd, usd)));
	(void)put_text(&e, "bill", slice_of(u->dedupe_key));
	(void)put_members(&e, txn_ladder_extra(t, ladder, sizeof(ladder)));
	if (t->sdk_retry > 0)
		put_retry(&e, t->sdk_retry);
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
	const struct usage *u = txn_usage(t);

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
	const char *also = txn_usage(t)->also_key, *id = txn_usage(t)->dedupe_key;
	struct slice provider = slice_of(t->target.provider->name);
	uint64_t key = o->late_key;

	if (key == 0 && txn_is_late(t) && id[0] != '\0' && txn_is_as_asked(t))
		key = late_key(provider, slice_of(id));
	if (key == 0 || also[0] == '\0')
		return;
	if (store_late_also(t->worker->proxy->deps.store, t->worker->index, key, late_key(provider, slice_of(also))) <
	    0)
		log_limited(LOG_WARN, "late.queue", "%s: %s is not known to be the bill of %s", t->id_text, also,
			    txn_usage(t)->dedupe_key);
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
	struct txn_once once;
	struct call_end end;

	memset(txn_usage(t), 0, sizeof(*txn_usage(t)));
	txn_find_outcome(t, &o);
	once = txn_once_begin(t, &o);
	note_overrun(t, &o);
	learn(t, &o);
	txn_grow_last(t, o.output_tokens);
	if (txn_usage(t)->stream)
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
	txn_once_end(t, &once);
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
	txn_ladder_end(t, t->cost_nanousd);
	txn_guard_end(t, t->cost_nanousd);
}
