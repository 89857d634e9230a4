/* txn_grow.c - holds that grow with the answer.
 *
 * A stream whose end nobody knows would hold the model's longest answer, and a few of them a whole budget. Where the
 * vendor stops when it is hung up on, and shows what it bills, the call begins on less: its input and an answer of
 * usual length. What arrives is counted, and the hold grows before the count and what may be on the wire reach it. When
 * there is no money to grow by the stream is cut off.
 *
 * Money that others hold mostly comes back. So a hold begins to grow while there is still some way to go, takes what
 * there is when that is less than it wants, and asks again; and calls that could only begin on little wait for others
 * to end, until the money that is left is all that there will be. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "meter/grow.h"
#include "policy/rung.h"
#include "proxy/txn_outcome.h"

#define GROW_MIN 1024
/* The hold grows when so much or less of it is left... */
#define AHEAD_TOKENS 256
/* ...and having been refused, asks again after so many more. */
#define ASK_AGAIN_TOKENS 16

struct growing {
	uint64_t out;    /* output tokens that the hold pays */
	uint64_t ask_at; /* not before so many were seen */
	bool fits;       /* the hold pays the whole call: there is nothing to watch */
	uint32_t ticket; /* see learn_output_begin */
	bool waits;      /* it could have begun on little, but waits for what others hold */
	char *why;       /* the money is gone: for people */
};

static struct engine *engine_of(const struct txn *t)
{
	return t->worker->proxy->deps.engine;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static struct grow_call call_of(const struct txn *t)
{
	return (struct grow_call){.price = t->price,
				  .kind = t->target.api.kind,
				  .info = &t->info,
				  .full = &t->full_bound,
				  .allow_tokens = t->worker->proxy->config.limits.inflight_allow_tokens,
				  .at_s = t->start_wall_ns / NS_PER_S};
}

static uint64_t answers(const struct txn *t)
{
	return grow_answers(t->target.api.kind, &t->info);
}

uint64_t txn_grow_allowance(const struct txn *t)
{
	const struct grow_call c = call_of(t);

	return grow_allowance(&c);
}

static struct slice vendor_of(const struct txn *t)
{
	const struct proxy_provider *p = t->target.provider;

	return slice_of(p->price_id ? p->price_id : p->name);
}

/* --- what a hold pays --------------------------------------------------------------------------------------------- */

static bool may_grow(const struct txn *t)
{
	const struct proxy_provider *p = t->target.provider;
	bool stream = t->info.stream || t->target.api.stream_by_path;

	if (!t->hard || !t->price || t->no_price || t->unbounded || t->batch || t->generic || t->stream_body || !stream)
		return false;
	return !p->full_bill_on_abort && !p->price_free && grow_shows_bill(t->price, t->target.api.kind, &t->info) &&
	       rung_may_grow(engine_of(t), &t->worker->match, t->info.has_max_out);
}

static bool bound_of(const struct txn *t, uint64_t out, struct bound *ret)
{
	const struct grow_call c = call_of(t);

	return grow_bound(&c, out, ret);
}

static uint64_t most_that_fits(const struct txn *t, uint64_t from, uint64_t to, const struct bound *base,
			       const struct amounts *room)
{
	const struct grow_call c = call_of(t);
	const struct bound_room left = {room->nanousd, room->tokens};

	return grow_most(&c, from, to, base, &left);
}

/* --- the beginning ------------------------------------------------------------------------------------------------ */

static bool set_out(struct txn *t, uint64_t out)
{
	struct growing *g = t->growing;
	struct bound b;

	if (!bound_of(t, out, &b))
		return false;
	g->out = out;
	g->fits = out >= t->full_bound.output_tokens;
	t->bound = b;
	return true;
}

static bool make(struct txn *t)
{
	if (!t->growing)
		t->growing = calloc(1, sizeof(*t->growing));
	return t->growing != NULL;
}

void txn_grow_free(struct txn *t)
{
	if (t->growing)
		free(t->growing->why);
	free(t->growing);
	t->growing = NULL;
}

static bool is_plenty(struct txn *t)
{
	const struct bound *b = &t->full_bound;
	struct decision d;

	return rung_is_plenty(engine_of(t), &t->worker->match, b->worst_nanousd, b->input_tokens + b->output_tokens,
			      txn_engine_time_s(t), &d);
}

void txn_grow_begin(struct txn *t)
{
	const struct grow_call c = call_of(t);
	uint64_t start;

	if (t->growing)
		t->bound = t->full_bound;
	txn_grow_free(t);
	if (!may_grow(t))
		return;
	if (!t->tightened && t->body.n <= GROW_COUNT_BYTES_MAX && !is_plenty(t)) {
		(void)txn_tighten(t);
		t->full_bound = t->bound;
	}
	start = grow_start(&c, t->worker->learn, vendor_of(t));
	if (start >= t->full_bound.output_tokens || !make(t))
		return;
	if (!set_out(t, start))
		txn_grow_free(t);
}

/* Is money of a budget that blocks held by others, and may come back? */
static bool others_hold(struct txn *t)
{
	struct amounts worst = {.nanousd = t->bound.worst_nanousd,
				.tokens = (int64_t)(t->bound.input_tokens + t->bound.output_tokens),
				.requests = (int64_t)txn_requests(t)};
	struct decision d;

	if (engine_preview(engine_of(t), &t->worker->match, &worst, txn_engine_time_s(t), &d) != BUR_DENIED)
		return true;
	for (size_t i = 0; i < d.n_blocked; i++)
		if (d.blocked[i].held > 0)
			return true;
	return false;
}

bool txn_grow_begin_with(struct txn *t, const struct amounts *room)
{
	const struct grow_call c = call_of(t);
	const struct bound nothing = {0};
	uint64_t floor = grow_least(&c), now = t->bound.output_tokens, out;

	if (!may_grow(t) || room->requests < (int64_t)txn_requests(t) || now <= floor || !make(t) || t->growing->waits)
		return false;
	out = most_that_fits(t, floor, now - 1, &nothing, room);
	t->growing->waits = out < floor || others_hold(t);
	/* refused, it shall be by the least that would do: it waits for what others hold, or there is nothing for it */
	if (out < floor)
		out = floor;
	else if (t->growing->waits)
		out++;
	if (out >= now || !set_out(t, out)) {
		t->bound = t->full_bound;
		txn_grow_free(t);
		return false;
	}
	return true;
}

/* --- while it streams --------------------------------------------------------------------------------------------- */

/* A killed process charges what the slot says: it must know before more is read. */
static void tell_journal(struct txn *t)
{
	struct journal_cell cell = {.worst_nanousd = t->bound.worst_nanousd,
				    .input_tokens = clip_u32(t->bound.input_tokens),
				    .output_tokens = clip_u32(t->bound.output_tokens),
				    .requests = clip_u32(txn_requests(t)),
				    .source = SOURCE_WORST,
				    .status = (uint16_t)t->answer_status,
				    .flags = t->row_flags};

	store_call_update(t->worker->proxy->deps.store, t->slot, &cell);
}

/* BUR_OK, or BUR_DENIED with *ret. */
static int extend(struct txn *t, uint64_t out, struct decision *ret)
{
	struct bound b;
	struct amounts delta;
	int r;

	if (!bound_of(t, out, &b))
		return BUR_OVERFLOW;
	delta = (struct amounts){.nanousd = b.worst_nanousd - t->bound.worst_nanousd,
				 .tokens = (int64_t)(b.output_tokens - t->bound.output_tokens)};
	r = engine_extend(engine_of(t), &t->hold, &delta, txn_engine_time_s(t), ret);
	if (r != BUR_OK)
		return r;
	CHECK(set_out(t, out));
	t->tightest_left_nanousd -= delta.nanousd; /* for a head that is still to be written */
	tell_journal(t);
	return BUR_OK;
}

/* To `to` tokens, or as near to it as the money goes; money that comes back meanwhile may be another's. */
static void extend_towards(struct txn *t, uint64_t to, struct decision *d)
{
	struct growing *g = t->growing;

	for (int i = 0; i < 4 && to > g->out; i++) {
		int r = extend(t, to, d);

		txn_tell_events(t, d->events, d->n_events);
		if (r != BUR_DENIED)
			return;
		txn_tell_limits(t, d);
		to = most_that_fits(t, g->out + 1, to - 1, &t->bound, &d->room);
	}
}

/* The wish: a tenth of what is held, or as much as is worth the asking; never beyond the whole call. */
static void grow(struct txn *t, uint64_t seen, uint64_t need, struct decision *d)
{
	struct growing *g = t->growing;
	uint64_t step = most(g->out / 10, GROW_MIN * answers(t)), to = most(g->out + step, need);

	d->n_blocked = d->n_events = 0;
	extend_towards(t, least(to, t->full_bound.output_tokens), d);
	g->ask_at = d->n_blocked > 0 ? seen + ASK_AGAIN_TOKENS : 0;
}

static struct refusal_budget refusal_budget_of(const struct blocked *b, char when[TIME_TEXT_MAX])
{
	static const char *const units[] = {[UNIT_USD] = "USD", [UNIT_TOKENS] = "tokens", [UNIT_REQUESTS] = "requests"};
	struct refusal_budget r = {.name = slice_of(b->budget->name),
				   .window = slice_of(b->budget->window_name),
				   .scope = slice_of(b->scope),
				   .unit = slice_of(units[b->budget->unit]),
				   .limit = b->limit,
				   .posted = b->posted,
				   .held = b->held,
				   .need = b->need};

	if (b->budget->window.kind != WINDOW_TOTAL)
		r.resets_at = slice_of(time_format(b->budget->window.tz, b->win_end, when));
	return r;
}

/* For the one who reads the end of the stream. */
static void explain(struct txn *t, const struct decision *d, uint64_t seen)
{
	struct growing *g = t->growing;
	struct refusal_budget list[MATCH_MAX];
	char when[MATCH_MAX][TIME_TEXT_MAX];
	struct buf text;

	free(g->why);
	g->why = NULL;
	for (size_t i = 0; i < d->n_blocked; i++)
		list[i] = refusal_budget_of(&d->blocked[i], when[i]);
	buf_init(&text, 8192);
	if (buf_printf(&text, "cut off after about %llu output tokens: ", (unsigned long long)seen) == BUR_OK &&
	    refusal_budget_message(list, d->n_blocked, &text) == BUR_OK && buf_append(&text, "", 1) == BUR_OK)
		g->why = strdup(buf_slice(&text).p);
	buf_done(&text);
}

const char *txn_grow_why(const struct txn *t)
{
	return t->growing && t->growing->why ? t->growing->why : "the budget is used up";
}

void txn_grow_first(struct txn *t)
{
	if (t->growing && t->worker->learn && t->answer_status >= 200 && t->answer_status <= 299)
		t->growing->ticket =
		    learn_output_begin(t->worker->learn, vendor_of(t), slice_of(price_model_id(t->price)));
}

void txn_grow_last(struct txn *t, uint64_t output_tokens)
{
	const struct growing *g = t->growing;
	uint64_t n = t->end == TXN_END_BUDGET_CUT && g ? most(output_tokens, g->out) : output_tokens;

	if (g && g->ticket > 0)
		learn_output_end(t->worker->learn, vendor_of(t), slice_of(price_model_id(t->price)), g->ticket,
				 n / answers(t));
}

/* Nothing of the answer can be counted: only the whole hold will do. */
static bool grow_blind(struct txn *t, struct decision *d)
{
	d->n_blocked = d->n_events = 0;
	extend_towards(t, t->full_bound.output_tokens, d);
	if (!t->growing->fits)
		explain(t, d, 0);
	return t->growing->fits;
}

bool txn_grow_whole(struct txn *t)
{
	struct growing *g = t->growing;
	struct decision d;

	if (!g || g->fits || t->hold.state != HOLD_SENT)
		return true;
	d.n_blocked = d.n_events = 0;
	if (extend(t, t->full_bound.output_tokens, &d) == BUR_DENIED)
		explain(t, &d, 0);
	txn_tell_events(t, d.events, d.n_events);
	return g->fits;
}

bool txn_grow_on(struct txn *t)
{
	struct growing *g = t->growing;
	struct tap_progress p = {.blind = true};
	uint64_t allowance, seen, need;
	struct decision d;

	if (!g || g->fits || t->hold.state != HOLD_SENT || t->answer_status < 200 || t->answer_status > 299)
		return true;
	if (t->tap)
		tap_progress(t->tap, &p);
	if (p.blind)
		return grow_blind(t, &d);
	if (p.final && answers(t) == 1) /* no more will come; of several answers the others may go on */
		return true;
	allowance = txn_grow_allowance(t);
	seen = most(p.most, p.reported);
	need = seen + allowance;
	if (need + AHEAD_TOKENS <= g->out)
		return true;
	seen = most(tap_counted(t->tap), p.reported);
	need = seen + allowance;
	if (need + least(AHEAD_TOKENS, g->out / 4) <= g->out || (need <= g->out && seen < g->ask_at))
		return true;
	grow(t, seen, need, &d);
	if (need <= g->out)
		return true;
	/* a whole answer where a stream was asked for: it is made and billed, and there is nothing left to save */
	if (t->edge.form == EDGE_FORM_NONE && !tap_in_events(t->tap))
		return true;
	explain(t, &d, seen);
	return false;
}
