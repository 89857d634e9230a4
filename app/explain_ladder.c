/* explain_ladder.c - the rungs in the order in which the data path asks them (proxy/txn_price.c, txn_hold.c,
 * txn_ladder.c), by the same functions, on a copy of what is known of the call. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/explain_impl.h"
#include "app/guards.h"
#include "base/error.h"
#include "policy/rung.h"
#include "proxy/route.h"

#define PACE_NO_JITTER 100000 /* the middle of a tenth more or less, in ppm */
#define ASKED_MOST 16
#define TEXT_MAX 600

static void rung(struct question *q, const char *name, const char *result, const char *fmt, ...) PRINTF_LIKE(4, 5);
static void rung(struct question *q, const char *name, const char *result, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	(void)json_array_append_new(q->rungs, json_pack("{s:s,s:s,s:s}", "rung", name, "result", result, "text", text));
}

static int refuse(struct explained *o, enum refusal_reason reason, const char *fmt, ...) PRINTF_LIKE(3, 4);
static int refuse(struct explained *o, enum refusal_reason reason, const char *fmt, ...)
{
	va_list args;

	o->admitted = false;
	o->reason = reason;
	va_start(args, fmt);
	(void)vsnprintf(o->message, sizeof(o->message), fmt, args);
	va_end(args);
	return BUR_OK;
}

static const char *usd_text(int64_t nanousd, char dst[AMOUNT_TEXT_MAX])
{
	return amount_format_usd(nanousd, dst);
}

/* --- asking the engine -------------------------------------------------------------------------------------------- */

static uint64_t requests_of(const struct question *q)
{
	return q->info.batch_items > 0 ? q->info.batch_items : 1;
}

/* BUR_OK or BUR_DENIED: decision is filled. */
static int ask(struct question *q)
{
	q->worst = (struct amounts){.nanousd = q->bound.worst_nanousd,
				    .tokens = (int64_t)(q->bound.input_tokens + q->bound.output_tokens),
				    .requests = (int64_t)requests_of(q)};
	return engine_preview(q->engine, &q->match, &q->worst, q->now_s, q->decision);
}

static void blocking_names(const struct decision *d, char *dst, size_t size)
{
	size_t n = 0;

	dst[0] = '\0';
	for (size_t i = 0; i < d->n_blocked && n < size; i++) {
		int w = snprintf(dst + n, size - n, "%s%s", i ? ", " : "", d->blocked[i].budget->name);

		n += w > 0 ? (size_t)w : 0;
	}
}

/* --- bounds ------------------------------------------------------------------------------------------------------- */

static const struct price_model *find_price(const struct question *q, const char *model, bool *ret_inherited)
{
	const char *as = route_price_model(q->provider, slice_of(model));

	return price_find(q->e->prices->book, explain_vendor(q), slice_of(as ? as : model), ret_inherited);
}

/* With the tokens of the prompt as they were given, or counted. */
static enum bound_result find_bound(struct question *q, const char **ret_why)
{
	enum bound_result r = bound_upper(q->price, q->api.kind, &q->info, q->now_s, &q->bound, ret_why);

	if (r == BOUND_OK && q->counted)
		r = bound_tighten(q->price, q->api.kind, &q->info, q->now_s, &q->count, true, &q->bound);
	return r;
}

static bool count_prompt(struct question *q)
{
	static const struct prompt_caches none;
	int64_t before = q->bound.worst_nanousd;

	if (!q->has_body || !q->price ||
	    prompt_count(q->api.kind, explain_vendor(q), slice_of(price_model_id(q->price)), &q->info, q->body, &none,
			 &q->count) < 0)
		return false;
	q->has_count = true;
	if (bound_tighten(q->price, q->api.kind, &q->info, q->now_s, &q->count, q->match.estimate_input, &q->bound) !=
	    BOUND_OK)
		return false;
	return q->bound.worst_nanousd < before;
}

static bool can_clamp(const struct question *q)
{
	return q->price && bound_can_clamp(q->price, q->api.kind, &q->info) &&
	       (!q->has_body || q->info.max_out_edit.before);
}

static void take_default_out(struct question *q)
{
	uint64_t n = q->match.default_max_out, model_max;

	if (n == 0 || q->info.has_max_out || !can_clamp(q))
		return;
	model_max = price_model_max_out(q->price);
	n = model_max > 0 && model_max < n ? model_max : n;
	q->info.has_max_out = true;
	q->info.max_out = n;
	rung(q, "default_max_out", "changed", "the request bounds no output, so %llu tokens are put into it",
	     (unsigned long long)n);
}

static void tell_bound(struct question *q)
{
	char usd[AMOUNT_TEXT_MAX];

	rung(q, "bound", "known", "%s %llu tokens in, at most %llu out: at most %s USD",
	     q->counted ? (q->tokens_assumed ? "assumed" : "as given") : "at most",
	     (unsigned long long)q->bound.input_tokens, (unsigned long long)q->bound.output_tokens,
	     usd_text(q->bound.worst_nanousd, usd));
}

static void tell_answer(struct question *q)
{
	const struct decision *d = q->decision;
	char names[300];

	blocking_names(d, names, sizeof(names));
	if (d->n_blocked > 0)
		rung(q, "hold", "does not fit", "in %s", names);
}

static void tell_count(struct question *q)
{
	char usd[AMOUNT_TEXT_MAX];

	rung(q, "exact_count", "less", "the prompt has %llu tokens%s: at most %s USD",
	     (unsigned long long)q->bound.input_tokens, q->count.exact ? "" : " by estimate",
	     usd_text(q->bound.worst_nanousd, usd));
}

/* A stream of unknown length begins on a usual answer. */
static void begin_growing(struct question *q)
{
	char usd[AMOUNT_TEXT_MAX];

	if (explain_grow_counts(q) && count_prompt(q))
		tell_count(q);
	if (explain_grow_begin(q))
		rung(q, "growing", "begins on less",
		     "the stream begins on %llu output tokens, %s USD, and its hold grows with its words",
		     (unsigned long long)q->bound.output_tokens, usd_text(q->bound.worst_nanousd, usd));
}

/* --- bending ------------------------------------------------------------------------------------------------------ */

static int call_other(struct question *q, const struct price_model *price, bool inherited, const char *to)
{
	const char *why = "";
	int r;

	(void)slice_to_cstr(slice_of(to), q->info.model, sizeof(q->info.model));
	q->facts.v[FACT_MODEL] = slice_of(q->info.model);
	q->price = price;
	q->inherited = inherited;
	q->has_count = false;
	r = explain_match(q);
	if (r < 0)
		return r;
	take_default_out(q);
	if (find_bound(q, &why) != BOUND_OK)
		return BUR_UNSUPPORTED;
	q->full = q->bound;
	return BUR_OK;
}

/* BUR_OK: ask again. BUR_DENIED: the caller said that it takes no other model. */
static int degrade(struct question *q, struct explained *o, unsigned *degrades)
{
	const struct decision *d = q->decision;
	const struct price_model *price;
	char usd[AMOUNT_TEXT_MAX], by[64], to[MODEL_NAME_MAX + 1];
	bool inherited = false;
	int r;

	(void)slice_to_cstr(slice_of(d->degrade_to), to, sizeof(to));
	(void)snprintf(by, sizeof(by), "%s", d->degrade_by->name);
	price = find_price(q, to, &inherited);
	if (*degrades >= RUNG_DEGRADES_MAX || !price) {
		rung(q, "degrade", "passed over", "%s names %s, %s", by, to,
		     price ? "but three models were tried" : "which has no price");
		rung_leave(q->engine, &q->match, d, price != NULL);
		return BUR_OK;
	}
	if (json_is_true(json_object_get(q->ask, "no_degrade"))) {
		rung(q, "degrade", "refused", "%s names %s, and the request says x-bursar-no-degrade", by, to);
		(void)refuse(o, REFUSE_BUDGET_EXCEEDED,
			     "%s: from %lld.%02lld %% of its limit on %s is called in place of %s, and this request "
			     "says x-bursar-no-degrade",
			     by, (long long)(d->degrade_step->at_ppm / 10000),
			     (long long)(d->degrade_step->at_ppm / 100 % 100), to, q->info.model);
		return BUR_DENIED;
	}
	if (*degrades == 0)
		(void)snprintf(o->degraded_from, sizeof(o->degraded_from), "%s", q->info.model);
	++*degrades;
	r = call_other(q, price, inherited, to);
	if (r < 0)
		return r;
	rung(q, "degrade", "changed", "%s is called instead, as %s says: at most %s USD", to, by,
	     usd_text(q->bound.worst_nanousd, usd));
	begin_growing(q);
	return BUR_OK;
}

static uint64_t find_max_out(const struct question *q, const struct request_info *info, const struct bound_room *room,
			     struct bound *ret)
{
	return bound_max_out(q->price, q->api.kind, info, q->now_s, q->has_count || q->counted ? &q->count : NULL,
			     q->counted || q->match.estimate_input, room, ret);
}

static void clamp_to(struct question *q, uint64_t n, const struct bound *b)
{
	q->info.has_max_out = true;
	q->info.max_out = n;
	q->bound = *b;
	begin_growing(q);
}

/* A call for which not even the least answer fits is refused for that least, not for all that it asked for. */
static void ask_for_least(struct question *q, uint64_t n)
{
	struct bound_room all = {INT64_MAX, INT64_MAX};
	struct request_info info = q->info;
	struct bound b;

	if (explain_grows(q) || n >= bound_answer_tokens(q->price, q->api.kind, &info))
		return;
	info.has_max_out = true;
	info.max_out = n;
	if (find_max_out(q, &info, &all, &b) == n)
		clamp_to(q, n, &b);
}

/* True: ask again. */
static bool clamp(struct question *q, struct explained *o)
{
	const struct decision *d = q->decision;
	struct bound_room room = {d->room.nanousd, d->room.tokens};
	uint64_t n, floor = bound_least_out(&q->info, d->min_out);
	char usd[AMOUNT_TEXT_MAX];
	struct bound b;

	if (!d->may_clamp || !can_clamp(q)) {
		rung(q, "clamp", "not possible", "%s",
		     d->may_clamp ? "a bound of its output is no bound of what this call costs"
				  : "not every budget that blocks has a clamp step, or one counts requests");
		return false;
	}
	n = find_max_out(q, &q->info, &room, &b);
	if (n < floor) {
		rung(q, "clamp", "not possible",
		     "the money pays for %llu output tokens, and fewer than %llu are no answer", (unsigned long long)n,
		     (unsigned long long)floor);
		ask_for_least(q, floor);
		return false;
	}
	o->clamped_to = n;
	rung(q, "clamp", "changed", "%llu output tokens fit (at least %llu): at most %s USD", (unsigned long long)n,
	     (unsigned long long)floor, usd_text(b.worst_nanousd, usd));
	clamp_to(q, n, &b);
	return true;
}

/* --- waiting ------------------------------------------------------------------------------------------------------ */

static int64_t throttle(struct question *q, const struct reached *at)
{
	int64_t ns = rung_delay_ns(at, PACE_NO_JITTER);

	rung(q, "throttle", "delays", "%s stands at %lld.%lld %%: the call waits %lld.%03d s, give or take a tenth",
	     at->budget->name, (long long)(at->u_ppm / 10000), (long long)(at->u_ppm / 1000 % 10),
	     (long long)(ns / NS_PER_S), (int)(ns % NS_PER_S / NS_PER_MS));
	return ns;
}

static void pace(struct question *q, const struct reached *at)
{
	struct pace_rate rate = rung_rate(at);
	__int128 minute = rate.per_ns > 0 ? (__int128)rate.nanousd * 60 * NS_PER_S / rate.per_ns : 0;
	char usd[AMOUNT_TEXT_MAX];

	if (at->budget->unit != UNIT_USD || rate.per_ns <= 0)
		return;
	rung(q, "pace", "may delay",
	     "%s lets %s USD a minute flow; a call may wait %lld s for it, else it is answered 429 (how much is owed "
	     "now only the data path knows)",
	     at->budget->name, usd_text(minute > INT64_MAX ? INT64_MAX : (int64_t)minute, usd),
	     (long long)(at->step->pace.max_wait_ns / NS_PER_S));
}

static void slow_down(struct question *q, struct explained *o)
{
	const struct decision *d = q->decision;

	for (size_t i = 0; i < d->n_reached; i++) {
		int64_t ns;

		if (d->reached[i].step->action == STEP_PACE) {
			pace(q, &d->reached[i]);
			continue;
		}
		ns = throttle(q, &d->reached[i]);
		o->delay_ns = ns > o->delay_ns ? ns : o->delay_ns;
	}
}

/* --- the decision ------------------------------------------------------------------------------------------------- */

static int block(struct question *q, struct explained *o)
{
	bool held = q->decision->verdict == VERDICT_HELD;
	char names[300];

	blocking_names(q->decision, names, sizeof(names));
	o->admitted = false;
	o->reason = held ? REFUSE_BUDGET_HELD : REFUSE_BUDGET_EXCEEDED;
	o->blocked = q->decision;
	o->retry_after_s = held ? 2 : 0;
	rung(q, "block", "refused", "%s: %s", names,
	     held ? "it would fit if other calls gave back what they hold" : "the money is spent");
	return BUR_OK;
}

static bool grow_with(struct question *q)
{
	char usd[AMOUNT_TEXT_MAX];

	if (!explain_grow_with(q, &q->decision->room))
		return false;
	if (q->grow_waits)
		rung(q, "growing", "waits",
		     "it needs %llu output tokens to begin with, %s USD, and waits while others hold money",
		     (unsigned long long)q->bound.output_tokens, usd_text(q->bound.worst_nanousd, usd));
	else
		rung(q, "growing", "begins on less", "it begins on %llu output tokens, %s USD, all that fits",
		     (unsigned long long)q->bound.output_tokens, usd_text(q->bound.worst_nanousd, usd));
	return true;
}

/* Of the whole call, also when it begins on less. */
static bool count(struct question *q)
{
	struct bound begun = q->bound;

	q->bound = q->full;
	if (q->has_count || !count_prompt(q)) {
		q->bound = begun;
		return false;
	}
	tell_count(q);
	begin_growing(q);
	return true;
}

/* BUR_OK: ask again. BUR_DENIED: that was the last word, *o is filled. */
static int bend(struct question *q, struct explained *o, unsigned *degrades)
{
	int r;

	if (q->decision->n_blocked > 0 && count(q))
		return BUR_OK;
	if (!q->budgets)
		q->budgets = explain_budgets(q);
	if (q->decision->verdict != VERDICT_DEGRADE && grow_with(q))
		return BUR_OK;
	if (q->decision->verdict == VERDICT_DEGRADE)
		return degrade(q, o, degrades);
	if (o->clamped_to == 0 && clamp(q, o))
		return BUR_OK;
	r = ask(q); /* the last word, which may be about less than before */
	if (r == BUR_DENIED)
		(void)block(q, o);
	return r;
}

/* From the first answer of the engine to the last. */
static int climb(struct question *q, struct explained *o)
{
	unsigned degrades = 0;
	int r;

	tell_bound(q);
	begin_growing(q);
	r = ask(q);
	for (int tries = 0; r == BUR_DENIED && tries < ASKED_MOST; tries++) {
		tell_answer(q);
		r = bend(q, o, &degrades);
		if (r == BUR_DENIED)
			return BUR_OK;
		if (r == BUR_OK)
			r = ask(q);
	}
	if (r == BUR_DENIED)
		return block(q, o);
	if (r < 0)
		return r;
	if (!q->budgets)
		q->budgets = explain_budgets(q);
	o->admitted = true;
	rung(q, "hold", "fits", "%s", q->n_counters > 0 ? "in every budget" : "no budget matches");
	slow_down(q, o);
	return BUR_OK;
}

/* --- before the engine -------------------------------------------------------------------------------------------- */

/* No upper price: hard budgets refuse it. */
static int no_bound(struct question *q, struct explained *o, const char *why)
{
	if (q->match.any_hard) {
		rung(q, "price", "refused", "no upper price, which a hard budget needs: %s", why);
		return refuse(o, REFUSE_PRICE_UNKNOWN,
			      "the call to %s has no upper price, which a hard budget needs: %s", q->info.model, why);
	}
	q->bound = (struct bound){0};
	rung(q, "price", "none", "no upper price (%s); soft budgets hold nothing for it", why);
	return climb(q, o);
}

/* No price at all: only budgets that say so by name let it pass. */
static int without_price(struct question *q, struct explained *o)
{
	enum unknown_model policy = q->match.any_hard ? q->match.unknown_model : UNKNOWN_DEFAULT;
	struct slice vendor = explain_vendor(q);
	const char *why = "";

	if (policy == UNKNOWN_BLOCK) {
		rung(q, "price", "refused", "no price is known for %s, and a hard budget applies", q->info.model);
		return refuse(o, REFUSE_PRICE_UNKNOWN,
			      "no price is known for model %s of %s, and a hard budget applies; set one with `bursar "
			      "prices set " SLICE_FMT " %s --in USD --out USD` (per million tokens), or set "
			      "unknown_model on the budget",
			      q->info.model, q->provider->name, SLICE_ARG(vendor), q->info.model);
	}
	q->bound.worst_nanousd = policy == UNKNOWN_CHARGE ? q->match.unknown_charge_nanousd : 0;
	if (policy == UNKNOWN_DEFAULT)
		q->price = price_find(q->e->prices->book, SLICE("default"), SLICE("default"), &q->inherited);
	rung(q, "price", "none", "no price is known for %s: it is recorded at %s", q->info.model,
	     policy == UNKNOWN_DEFAULT  ? "the default price"
	     : policy == UNKNOWN_CHARGE ? "a fixed charge"
					: "nothing");
	if (q->price && q->match.any_hard && find_bound(q, &why) != BOUND_OK)
		return no_bound(q, o, why);
	return climb(q, o);
}

static int by_rule(struct question *q, struct explained *o)
{
	struct generic_call *c = generic_call_new(q->rule);
	int r;

	if (!c)
		return BUR_NOMEM;
	generic_call_query(c, q->query);
	generic_call_request_body(c, q->body.p, q->body.n);
	generic_call_request_bytes(c, q->body.n, true);
	r = generic_call_bound(c, &q->bound.worst_nanousd);
	generic_call_free(c);
	if (r < 0)
		return no_bound(q, o,
				r == BUR_NOTFOUND ? "how much it uses is known only afterwards; set `maximum` on its "
						    "rule under meters"
						  : "what it is billed by is not in the request; see the quantity of "
						    "its rule under meters");
	return climb(q, o);
}

static int by_model(struct question *q, struct explained *o)
{
	const char *why = "";

	if (q->provider->price_free)
		return climb(q, o);
	q->price = find_price(q, q->info.model, &q->inherited);
	if (!q->price)
		return without_price(q, o);
	take_default_out(q);
	switch (find_bound(q, &why)) {
	case BOUND_OK:
		return climb(q, o);
	case BOUND_NO_PRICE:
	case BOUND_UNBOUNDED:
		return no_bound(q, o, why);
	case BOUND_OVERFLOW:
		break;
	}
	return refuse(o, REFUSE_PRICE_ERROR, "the price of this call is too large to be counted");
}

/* An outstanding key is refused before any budget is asked; the budgets are shown all the same. */
static void judge_key(struct question *q, struct explained *o)
{
	bool expired = q->key.not_after_s != 0 && q->key.not_after_s <= q->now_s;

	if (!q->key_known || (!expired && q->key.revoked_s == 0))
		return;
	rung(q, "key", "refused", "the key is %s", expired ? "expired" : "revoked");
	(void)refuse(o, REFUSE_UNAUTHENTICATED, "unknown, expired or revoked virtual key");
	o->blocked = NULL;
}

/* A kill switch. */
static bool is_stopped(struct question *q, struct explained *o)
{
	const struct stop *s = q->e->guards ? stop_set_find(q->e->guards->stops, &q->facts, false) : NULL;
	char why[STOP_SENTENCE_MAX];

	if (!s)
		return false;
	stop_sentence(s, why);
	rung(q, "stop", "refused", "%s%s%s", stop_word(s->what), s->value[0] ? " " : "", s->value);
	(void)refuse(o, REFUSE_STOPPED, "%s", why);
	o->blocked = NULL;
	return true;
}

static int decide(struct question *q, struct explained *o)
{
	int r;

	if (api_kind_is_unbilled(q->api.kind)) {
		rung(q, "route", "free", "this route is not billed: no budget is asked");
		o->admitted = true;
		return BUR_OK;
	}
	r = explain_match(q);
	if (r == BUR_NOTFOUND) {
		rung(q, "budgets", "refused", "no budget matches, and the configuration says default: deny");
		return refuse(o, REFUSE_NO_BUDGET,
			      "no budget covers the key " SLICE_FMT
			      " and the configuration says default: deny; add a budget that matches it",
			      SLICE_ARG(q->facts.v[FACT_KEY]));
	}
	if (r < 0)
		return r;
	if (q->rule)
		return by_rule(q, o);
	if (q->api.kind == API_UNKNOWN && q->match.any_hard) {
		rung(q, "route", "refused", "this route is not known, and a hard budget applies");
		return refuse(o, REFUSE_ROUTE_UNMETERED,
			      "bursar cannot price this route, and a hard budget applies; docs/providers.md lists the "
			      "routes it knows, and `meters:` in the configuration can price others");
	}
	return by_model(q, o);
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

int explain_ladder(struct question *q, json_t **ret_decision)
{
	struct explained o = {.admitted = false, .reason = REFUSE_INTERNAL};
	int r = decide(q, &o);

	if (r == BUR_FULL)
		r = refuse(&o, REFUSE_OVERLOADED, "the table of budget counters is full; raise limits.max_meters");
	if (r == BUR_OVERFLOW)
		r = refuse(&o, REFUSE_PRICE_ERROR, "the price of this call is too large to be counted");
	if (r == BUR_UNSUPPORTED)
		r = refuse(&o, REFUSE_PRICE_UNKNOWN, "the call to %s has no upper price, which a hard budget needs",
			   q->info.model);
	if (r < 0)
		return r;
	(void)is_stopped(q, &o);
	judge_key(q, &o);
	*ret_decision = explain_answer(q, &o);
	return *ret_decision ? BUR_OK : BUR_NOMEM;
}
