/* txn_price.c - what the call may cost at most, before anything of it leaves. */
#include <stdio.h>

#include "base/log.h"
#include "proxy/txn.h"

/* --- what it is --------------------------------------------------------------------------------------------------- */

bool txn_is_late(const struct txn *t)
{
	switch (t->target.api.kind) {
	case API_RESPONSE_LATE:
	case API_BATCH:
	case API_BATCH_RESULTS:
	case API_INTERACTION_LATE:
		return true;
	default:
		return false;
	}
}

uint64_t txn_requests(const struct txn *t)
{
	if (txn_is_late(t))
		return 0;
	return t->info.batch_items > 0 ? t->info.batch_items : 1;
}

/* A vendor's regional host, whose prices may have a surcharge: something before the vendor's own host name. */
bool txn_is_residency(const struct txn *t)
{
	const struct proxy_provider *p = t->target.provider;
	struct slice host = slice_of(t->target.host), main_host = slice_of(p->hosts ? p->hosts[0] : NULL);

	return main_host.n > 0 && host.n > main_host.n && slice_ends(host, main_host) &&
	       host.p[host.n - main_host.n - 1] == '.';
}

/* Where the path names a model, that one runs, whatever the body says beside it. */
static enum step_result take_model(struct txn *t)
{
	const struct api_match *m = &t->target.api;

	if (m->model.n > 0 && api_decode_model(m->model, t->info.model, sizeof(t->info.model)) < 0)
		return txn_refuse(t, REFUSE_BAD_REQUEST, "the model's name in the path is malformed");
	if (t->info.model[0] == '\0')
		return txn_refuse(t, REFUSE_BAD_REQUEST, "the request names no model");
	return STEP_MORE;
}

/* --- budgets ------------------------------------------------------------------------------------------------------ */

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

bool txn_match_budgets(struct txn *t, enum step_result *ret)
{
	struct facts *f = &t->worker->facts;
	int r;

	if (txn_gather_facts(t, f) < 0 || !keep_tags(t, f)) {
		*ret = txn_refuse(t, REFUSE_BAD_REQUEST, "malformed x-bursar-tags; write k=v,k2=v2");
		return false;
	}
	r = engine_match(t->worker->proxy->deps.engine, f, &t->worker->match);
	if (r == BUR_OK) {
		t->hard = t->worker->match.any_hard;
		if (t->no_rungs)
			memset(t->worker->match.degrade, 0, sizeof(t->worker->match.degrade));
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

/* --- price -------------------------------------------------------------------------------------------------------- */

static enum step_result to_hold(struct txn *t)
{
	t->step = TXN_HOLD;
	return STEP_MORE;
}

static enum step_result no_bound(struct txn *t, const char *why)
{
	if (t->hard)
		return txn_refuse(t, REFUSE_PRICE_UNKNOWN,
				  "the call to %s has no upper price, which a hard budget needs: %s", t->info.model,
				  why);
	t->unbounded = true;
	return to_hold(t);
}

static enum step_result too_large(struct txn *t)
{
	return txn_refuse(t, REFUSE_PRICE_ERROR,
			  "the price of this call is too large to be counted; lower its token limits");
}

enum bound_result txn_find_bound(struct txn *t, const char **ret_why)
{
	enum bound_result r;

	t->info.residency = txn_is_residency(t);
	r = bound_upper(t->price, t->target.api.kind, &t->info, t->start_wall_ns / NS_PER_S, &t->bound, ret_why);
	if (r == BOUND_OK && t->batch)
		r = txn_batch_rest(t, ret_why);
	t->full_bound = t->bound;
	return r;
}

static enum step_result find_bound(struct txn *t)
{
	const char *why = "";

	txn_ladder_default_out(t);
	switch (txn_find_bound(t, &why)) {
	case BOUND_OK:
		return to_hold(t);
	case BOUND_NO_PRICE:
	case BOUND_UNBOUNDED:
		return no_bound(t, why);
	case BOUND_OVERFLOW:
		break;
	}
	return too_large(t);
}

const struct price_model *txn_find_price(struct txn *t, const char *model, bool *ret_inherited)
{
	const struct proxy_provider *p = t->target.provider;
	const char *as = route_price_model(p, slice_of(model));

	return price_find(t->book, slice_of(p->price_id ? p->price_id : p->name), slice_of(as ? as : model),
			  ret_inherited);
}

/* A model or route without a price: only budgets that say so by name let it pass. Without hard ones it is recorded at
 * the default price, which is dear on purpose. */
static enum step_result without_price(struct txn *t, enum refusal_reason reason, const char *why)
{
	enum unknown_model policy = t->hard ? t->worker->match.unknown_model : UNKNOWN_DEFAULT;

	if (policy == UNKNOWN_BLOCK || (t->hard && policy == UNKNOWN_DEFAULT && reason == REFUSE_ROUTE_UNMETERED)) {
		if (reason == REFUSE_PRICE_UNKNOWN)
			txn_tell_unknown_model(t);
		return txn_refuse(t, reason, "%s", why);
	}
	t->no_price = true;
	t->price = NULL;
	t->row_flags |= ROW_NO_PRICE;
	t->bound.worst_nanousd = policy == UNKNOWN_CHARGE ? t->worker->match.unknown_charge_nanousd : 0;
	if (policy == UNKNOWN_DEFAULT && reason == REFUSE_PRICE_UNKNOWN)
		t->price = price_find(t->book, SLICE("default"), SLICE("default"), &t->inherited_price);
	return t->price && t->hard ? find_bound(t) : to_hold(t); /* soft ones must not warn for so dear a hold */
}

static enum step_result unknown_model(struct txn *t)
{
	const char *name = t->target.provider->name, *model = t->info.model;
	char text[800];

	if (t->target.api.model_is_deployment)
		(void)snprintf(text, sizeof(text),
			       "%s is a name of your own, and a hard budget applies; say which model it stands for: "
			       "providers.%s.models: {%s: MODEL}",
			       model, name, model);
	else
		(void)snprintf(text, sizeof(text),
			       "no price is known for model %s of %s, and a hard budget applies; set one with `bursar "
			       "prices set %s %s --in USD --out USD` (per million tokens), or set unknown_model on the "
			       "budget",
			       model, name, t->target.provider->price_id ? t->target.provider->price_id : name, model);
	return without_price(t, REFUSE_PRICE_UNKNOWN, text);
}

/* The requests stand in a file at the vendor. False: *ret is what becomes of the call. */
static bool take_batch(struct txn *t, enum step_result *ret)
{
	char why[2 * BATCH_WHY_MAX];
	enum txn_batch known = txn_batch_take(t, why, sizeof(why));

	if (known == TXN_BATCH_BOUNDED)
		return true;
	if (!txn_match_budgets(t, ret))
		return false;
	t->unbounded = known == TXN_BATCH_UNBOUNDED;
	*ret = t->unbounded && t->hard && !t->target.provider->price_free
		   ? txn_refuse(t, REFUSE_PRICE_UNKNOWN, "%s", why)
		   : to_hold(t);
	return false;
}

static enum step_result price_by_model(struct txn *t)
{
	enum step_result r;

	if (t->info.agent && t->info.model[0] == '\0')
		return txn_match_budgets(t, &r)
			   ? no_bound(t, "its model is kept at the vendor, under the agent's id; name "
					 "the model and call it directly, or use a soft budget")
			   : r;
	if (t->info.batch_file && !take_batch(t, &r))
		return r;
	r = take_model(t);
	if (t->end != TXN_END_NONE || !txn_match_budgets(t, &r))
		return r;
	if (t->batch && !txn_batch_same_budgets(t))
		return no_bound(t, "its file names several models, which fall under different budgets; make a file for "
				   "each");
	if (t->target.provider->price_free)
		return to_hold(t); /* the operator's own machine: the bound stays nothing */
	t->price = txn_find_price(t, t->info.model, &t->inherited_price);
	if (!t->price)
		return unknown_model(t);
	if (t->inherited_price)
		t->row_flags |= ROW_INHERITED_PRICE;
	return find_bound(t);
}

/* An answer is fetched that was paid for elsewhere: nothing is spent now, and what the vendor tells is booked there. */
static enum step_result price_of_late(struct txn *t)
{
	enum step_result r;

	return txn_match_budgets(t, &r) ? to_hold(t) : r;
}

static enum step_result price_of_generic(struct txn *t)
{
	const struct generic_meter *m = generic_call_rule(t->generic);
	enum step_result r;

	(void)slice_to_cstr(slice_of(m->name), t->info.model, sizeof(t->info.model));
	if (!txn_match_budgets(t, &r))
		return r;
	switch (generic_call_bound(t->generic, &t->bound.worst_nanousd)) {
	case BUR_OK:
		return to_hold(t);
	case BUR_INVALID:
		return no_bound(t, "what it is billed by is not in the request; see the quantity of its rule under "
				   "meters");
	case BUR_NOTFOUND:
		return no_bound(t, "how much it uses is known only afterwards; set `maximum` on its rule under meters");
	default:
		return too_large(t);
	}
}

enum step_result txn_step_price(struct txn *t)
{
	enum step_result r;

	t->book = price_book_ref(t->worker->book);
	if (t->target.api.kind == API_GENERIC)
		return price_of_generic(t);
	if (txn_is_late(t))
		return price_of_late(t);
	if (t->target.api.kind != API_UNKNOWN)
		return price_by_model(t);
	if (!txn_match_budgets(t, &r))
		return r;
	return without_price(t, REFUSE_ROUTE_UNMETERED,
			     "bursar cannot price this route, and a hard budget applies; docs/providers.md lists the "
			     "routes it knows, and `meters:` in the configuration can price others");
}
