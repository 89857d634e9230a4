/* txn_hold.c - takes the hold in every budget of the call, or says which of them blocks; then the journal's slot. */
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "proxy/txn.h"

#define RESERVES_MAX 16 /* of one call; others may take the room it was bent to fit into */

static struct store *store_of(const struct txn *t)
{
	return t->worker->proxy->deps.store;
}

static struct engine *engine_of(const struct txn *t)
{
	return t->worker->proxy->deps.engine;
}

static const char *unit_name(enum amount_unit u)
{
	return u == UNIT_USD ? "USD" : u == UNIT_TOKENS ? "tokens" : "requests";
}

bool txn_list_blocked(struct txn *t, const struct decision *d)
{
	struct refusal_budget *list = arena_zalloc(&t->arena, d->n_blocked * sizeof(*list));
	char when[TIME_TEXT_MAX];

	for (size_t i = 0; list && i < d->n_blocked; i++) {
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
	}
	t->refusal_budgets = list;
	t->n_refusal_budgets = list ? d->n_blocked : 0;
	return list != NULL;
}

/* Money that is only held comes back within seconds, or with the next window. */
static int seconds_to_wait(struct txn *t, const struct decision *d)
{
	int64_t now_s = txn_engine_time_s(t), soonest = 2;

	for (size_t i = 0; i < d->n_blocked; i++)
		if (d->blocked[i].win_end - now_s < soonest)
			soonest = d->blocked[i].win_end - now_s;
	return d->verdict == VERDICT_HELD ? (int)soonest : 0;
}

static enum step_result blocked(struct txn *t, const struct decision *d)
{
	enum step_result r;
	struct buf text;

	txn_tell_limits(t, d);
	if (!txn_list_blocked(t, d))
		return txn_refuse(t, REFUSE_BUDGET_EXCEEDED, "the budget is exceeded");
	t->retry_after_s = seconds_to_wait(t, d);
	buf_init(&text, 8192);
	if (refusal_budget_message(t->refusal_budgets, t->n_refusal_budgets, &text) < 0)
		buf_consume(&text, buf_len(&text));
	r = txn_refuse(t, d->verdict == VERDICT_HELD ? REFUSE_BUDGET_HELD : REFUSE_BUDGET_EXCEEDED, SLICE_FMT,
		       SLICE_ARG(buf_slice(&text)));
	buf_done(&text);
	return r;
}

static void fill_entry(struct txn *t, struct journal_entry *e)
{
	const struct facts *f = &t->worker->facts; /* of this call: they were gathered in this same turn */
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
					.requests = clip_u32(txn_requests(t)),
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

static struct amounts needs(const struct txn *t)
{
	return (struct amounts){.nanousd = t->bound.worst_nanousd,
				.tokens = (int64_t)(t->bound.input_tokens + t->bound.output_tokens),
				.requests = (int64_t)txn_requests(t)};
}

/* A call that can still be bent has not been refused: nobody is told so. */
static int reserve(struct txn *t, bool last_word, struct decision *ret)
{
	struct amounts worst = needs(t);
	int64_t now_s = txn_engine_time_s(t);
	int r = last_word ? engine_reserve(engine_of(t), &t->worker->match, &worst, now_s, &t->hold, ret)
			  : engine_try(engine_of(t), &t->worker->match, &worst, now_s, &t->hold, ret);

	txn_tell_events(t, ret->events, ret->n_events);
	return r;
}

/* --- making it fit ------------------------------------------------------------------------------------------------ */

enum fit { FIT_AGAIN, FIT_NOT, FIT_LATER, FIT_ENDED, FIT_DECIDED };

/* Near the limit the exact count decides, which far from it nobody pays for. It is made of the whole call, also when
 * the hold begins with less. */
static enum fit count(struct txn *t)
{
	struct bound begun = t->bound;
	enum tighten closer;

	t->bound = t->full_bound;
	closer = txn_tighten(t);
	if (closer == TIGHTEN_LATER)
		return FIT_LATER;
	if (closer == TIGHTEN_REFUSED)
		return FIT_ENDED;
	t->full_bound = t->bound;
	if (closer == TIGHTEN_DONE) {
		txn_grow_begin(t);
		return FIT_AGAIN;
	}
	t->bound = begun;
	return FIT_NOT;
}

/* The count in slices is over; the match is new. */
static enum fit count_on(struct txn *t)
{
	enum fit fit = count(t);

	if (fit == FIT_NOT) {
		t->bound = t->full_bound;
		txn_grow_begin(t);
	}
	return fit == FIT_NOT ? FIT_AGAIN : fit;
}

static enum fit bend(struct txn *t, const struct decision *d)
{
	enum fit fit;

	if (t->reserves >= RESERVES_MAX)
		return FIT_NOT;
	fit = d->n_blocked > 0 ? count(t) : FIT_NOT;
	if (fit != FIT_NOT)
		return fit;
	if (d->verdict != VERDICT_DEGRADE && txn_grow_begin_with(t, &d->room))
		return FIT_AGAIN;
	if (txn_ladder_bend(t, d))
		return FIT_AGAIN;
	return t->end != TXN_END_NONE ? FIT_ENDED : FIT_NOT;
}

/* Bends the call until it fits or nothing can be done about it; then the engine has the last word. */
static enum fit take_hold(struct txn *t, struct decision *d, int *ret_err)
{
	enum fit fit = FIT_AGAIN;

	while (fit == FIT_AGAIN) {
		t->reserves++;
		*ret_err = reserve(t, false, d);
		fit = *ret_err == BUR_DENIED ? bend(t, d) : FIT_DECIDED;
	}
	if (fit == FIT_NOT) {
		*ret_err = reserve(t, true, d);
		fit = FIT_DECIDED;
	}
	return fit;
}

/* --- the step ----------------------------------------------------------------------------------------------------- */

static enum step_result admitted(struct txn *t, const struct decision *d)
{
	struct call call = {.hard = t->hard};
	enum step_result refused;

	t->over_budget = d->over_budget;
	if (!txn_guard_admit(t, &refused))
		return refused;
	txn_tell_degrades(t);
	if (!txn_ladder_pace(t, d, &refused))
		return refused;
	if (!meters_are_known(t))
		return storage_refused(t);
	fill_entry(t, &call.entry);
	if (store_call_begin(store_of(t), t->worker->index, &call, &t->slot) < 0)
		return storage_refused(t);
	t->has_slot = true;
	t->step = TXN_PACE;
	return STEP_MORE;
}

enum step_result txn_step_hold(struct txn *t)
{
	enum fit fit = FIT_AGAIN;
	struct decision d;
	int r = BUR_DENIED;

	if (t->counting) {
		fit = count_on(t);
	} else {
		t->full_bound = t->bound;
		txn_grow_begin(t);
	}
	if (fit == FIT_AGAIN)
		fit = take_hold(t, &d, &r);
	if (fit == FIT_LATER)
		return STEP_WAIT;
	if (fit == FIT_ENDED)
		return STEP_MORE;
	if (r == BUR_OVERFLOW)
		return txn_refuse(t, REFUSE_PRICE_ERROR, "the price of this call is too large to be counted");
	if (r == BUR_FULL)
		return txn_refuse(t, REFUSE_OVERLOADED, "too many windows of one budget are still open; try again");
	if (d.tightest) {
		t->tightest_budget = d.tightest->name;
		t->tightest_left_nanousd = d.tightest_left_nanousd;
	}
	return r == BUR_DENIED ? blocked(t, &d) : admitted(t, &d);
}

void txn_money_sent(struct txn *t)
{
	if (!t->has_slot || t->hold.state != HOLD_RESERVED)
		return;
	CHECK(engine_mark_sent(engine_of(t), &t->hold) == BUR_OK);
	store_call_sent(store_of(t), t->slot);
}
