/* txn_ladder.c - what is done about a call that does not fit: a cheaper model, fewer output tokens. */
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "proxy/txn.h"

#define RUNGS_TRIED_MAX 8 /* reserves after which no other model is looked for */

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static int64_t at_s(const struct txn *t)
{
	return t->start_wall_ns / NS_PER_S;
}

/* --- the output's bound ------------------------------------------------------------------------------------------- */

/* The share of thinking that was asked for goes down with the answer. False: what is left is no answer, or the place of
 * the number is not known. */
static bool edit_thinking(struct txn *t, uint64_t asked_out, uint64_t max_out)
{
	const struct request_info *q = &t->info;
	uint64_t budget;
	struct slice text;

	txn_edit_drop(t, EDIT_THINKING);
	if (q->thinking_budget == 0)
		return true;
	budget = bound_thinking(q, asked_out, max_out);
	if (budget == q->thinking_budget)
		return true;
	if (budget == 0)
		return false;
	if (q->thinking_edit.to == 0)
		return q->thinking_budget < max_out;
	text = arena_printf(&t->arena, "%llu", (unsigned long long)budget);
	return text.p && txn_edit_set(t, EDIT_THINKING, q->thinking_edit.from, q->thinking_edit.to, text) == BUR_OK;
}

static bool edit_max_out(struct txn *t, uint64_t n)
{
	const struct max_out_edit *e = &t->info.max_out_edit;
	struct slice text;

	if (!e->before)
		return false;
	text = arena_printf(&t->arena, "%s%llu%s", e->before, (unsigned long long)n, e->after);
	return text.p && txn_edit_set(t, EDIT_MAX_OUT, e->from, e->to, text) == BUR_OK;
}

/* As the client wrote it, before another bound is put there. */
static void restore_max_out(struct txn *t)
{
	txn_edit_drop(t, EDIT_MAX_OUT);
	txn_edit_drop(t, EDIT_THINKING);
	t->info.has_max_out = t->asked_has_max_out;
	t->info.max_out = t->asked_max_out;
	t->clamped_to = 0;
	t->default_out = false;
}

static void set_max_out(struct txn *t, uint64_t n)
{
	t->info.has_max_out = true;
	t->info.max_out = n;
	t->clamped_to = n;
}

static bool can_clamp(const struct txn *t)
{
	return t->price && !t->no_price && !t->unbounded && !t->batch && txn_edit_allowed(t) &&
	       bound_can_clamp(t->price, t->target.api.kind, &t->info);
}

void txn_ladder_default_out(struct txn *t)
{
	uint64_t n = t->worker->match.default_max_out, model_max;

	if (t->degrades == 0) {
		t->asked_has_max_out = t->info.has_max_out;
		t->asked_max_out = t->info.max_out;
	}
	if (n == 0 || t->info.has_max_out || !can_clamp(t))
		return;
	model_max = price_model_max_out(t->price);
	if (model_max > 0)
		n = least(n, model_max);
	if (!edit_max_out(t, n))
		return;
	(void)edit_thinking(t, 0, n); /* a vendor that minds says so */
	set_max_out(t, n);
	t->default_out = true;
}

/* The model that is called instead may answer less than was asked of the other. */
static bool lower_to_model(struct txn *t)
{
	uint64_t model_max = price_model_max_out(t->price);

	if (model_max == 0 || !t->info.has_max_out || t->info.max_out <= model_max || !can_clamp(t))
		return true;
	if (!edit_max_out(t, model_max) || !edit_thinking(t, t->info.max_out, model_max))
		return false;
	set_max_out(t, model_max);
	return true;
}

/* `b` is the call's bound with n tokens. */
static bool clamp_to(struct txn *t, uint64_t n, const struct bound *b)
{
	uint64_t asked = bound_answer_tokens(t->price, t->target.api.kind, &t->info);

	if (t->asked_has_max_out)
		asked = t->asked_max_out;
	if (n < asked) {
		if (!edit_thinking(t, asked, n) || !edit_max_out(t, n))
			return false;
		set_max_out(t, n);
		t->default_out = false;
	}
	t->bound = t->full_bound = *b;
	txn_grow_begin(t);
	return true;
}

static uint64_t find_max_out(const struct txn *t, const struct request_info *q, const struct bound_room *room,
			     struct bound *ret)
{
	return bound_max_out(t->price, t->target.api.kind, q, at_s(t), t->has_count ? &t->count : NULL,
			     t->worker->match.estimate_input, room, ret);
}

/* What is left is too little even for the least answer. It is refused for that, and not for all that it asked for:
 * money that others hold would be enough when it comes back, and then the refusal is not final. */
static void ask_for_least(struct txn *t, uint64_t n)
{
	struct bound_room all = {INT64_MAX, INT64_MAX};
	struct request_info q = t->info;
	struct bound b;

	if (t->growing || n >= bound_answer_tokens(t->price, t->target.api.kind, &q))
		return;
	q.has_max_out = true;
	q.max_out = n;
	if (find_max_out(t, &q, &all, &b) == n)
		(void)clamp_to(t, n, &b);
}

static bool clamp(struct txn *t, const struct decision *d)
{
	struct bound_room room = {d->room.nanousd, d->room.tokens};
	uint64_t n, floor = bound_least_out(&t->info, d->min_out);
	struct bound b;

	if (!can_clamp(t))
		return false;
	n = find_max_out(t, &t->info, &room, &b);
	if (n >= floor)
		return clamp_to(t, n, &b);
	ask_for_least(t, floor);
	return false;
}

/* --- another model ------------------------------------------------------------------------------------------------ */

static bool says_no_degrade(const struct txn *t)
{
	const struct h1_field *f = h1_find_name(t->head, SLICE("x-bursar-no-degrade"));

	return f && !slice_eq(f->value, SLICE("0")) && !slice_ieq(f->value, SLICE("false"));
}

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
	       c == '_' || c == '~' || c == '@';
}

static struct slice encode_segment(struct arena *a, struct slice name)
{
	static const char hex[] = "0123456789ABCDEF";
	char *out = arena_alloc(a, 3 * name.n + 1);
	size_t n = 0;

	if (!out)
		return SLICE_NONE;
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (is_unreserved((char)c)) {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '%';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	return slice_mem(out, n);
}

/* The model's segment of the path becomes another; everything else stays as it was sent, byte for byte. */
static bool edit_path(struct txn *t, struct slice name)
{
	struct target *g = &t->target;
	size_t from = (size_t)(g->api.model.p - g->path_query.p), to = from + g->api.model.n, path_n = g->path.n;
	struct slice segment = encode_segment(&t->arena, name), all;

	CHECK(g->api.model.p >= g->path_query.p && to <= g->path_query.n);
	if (!segment.p)
		return false;
	all = arena_printf(&t->arena, SLICE_FMT SLICE_FMT SLICE_FMT, (int)from, g->path_query.p, SLICE_ARG(segment),
			   SLICE_ARG(slice_sub(g->path_query, to, g->path_query.n)));
	if (!all.p)
		return false;
	path_n = path_n - g->api.model.n + segment.n;
	g->query = g->query.n > 0 ? slice_sub(all, path_n + 1, all.n) : SLICE_NONE;
	g->path = slice_sub(all, 0, path_n);
	g->api.model = slice_sub(all, from, segment.n);
	g->path_query = all;
	return true;
}

static bool edit_body_model(struct txn *t, struct slice name)
{
	char text[2 * MODEL_NAME_MAX + 3];
	size_t n = json_escape(name, text + 1, sizeof(text) - 2);
	struct slice quoted;

	text[0] = text[n + 1] = '"';
	quoted = arena_dup(&t->arena, slice_mem(text, n + 2));
	return quoted.p &&
	       txn_edit_set(t, EDIT_MODEL, t->info.model_edit.from, t->info.model_edit.to, quoted) == BUR_OK;
}

static bool model_has_a_place(const struct txn *t)
{
	const struct api_match *m = &t->target.api;

	if (!txn_edit_allowed(t) || t->batch || m->kind == API_BATCH_SUBMIT || t->info.batch_items > 0 ||
	    t->info.mixed_models)
		return false;
	if (m->model.n > 0) /* a tuned model or an endpoint stands under another path */
		return !(t->target.provider->family == FAMILY_GOOGLE && m->model_is_deployment);
	return t->info.model_edit.to > 0;
}

/* In the same vendor's book, with an upper price, and for a body of the same kind. */
static bool is_callable(struct txn *t, struct slice name, const struct price_model **ret_price, bool *ret_inherited)
{
	struct request_info q = t->info;
	const char *why;
	struct bound b;

	*ret_price = NULL;
	if (name.n == 0 || name.n > MODEL_NAME_MAX || slice_eq(name, slice_of(t->info.model)) ||
	    slice_eq(name, t->degraded_from) || !reqscan_same_body(t->target.api.kind, slice_of(t->info.model), name))
		return false;
	if (t->target.provider->price_free)
		return true;
	(void)slice_to_cstr(name, q.model, sizeof(q.model));
	*ret_price = txn_find_price(t, q.model, ret_inherited);
	if (!*ret_price)
		return false;
	return bound_upper(*ret_price, t->target.api.kind, &q, at_s(t), &b, &why) == BOUND_OK || !t->hard;
}

/* No more than one of these can fail after something was changed: an arena that is full. The call is then refused. */
static bool take_model(struct txn *t, struct slice name, const struct price_model *price, bool inherited)
{
	if (t->degraded_from.n == 0) {
		t->degraded_from = arena_dup(&t->arena, slice_of(t->info.model));
		if (!t->degraded_from.p)
			return false;
	}
	if (t->target.api.model.n > 0 ? !edit_path(t, name) : !edit_body_model(t, name))
		return false;
	restore_max_out(t);
	(void)slice_to_cstr(name, t->info.model, sizeof(t->info.model));
	t->price = price;
	t->inherited_price = inherited;
	t->no_price = t->unbounded = false;
	t->row_flags &= ~(uint32_t)(ROW_INHERITED_PRICE | ROW_NO_PRICE);
	t->row_flags |= inherited ? ROW_INHERITED_PRICE : 0;
	t->has_count = t->tightened = false; /* it may count otherwise */
	t->degrades++;
	return true;
}

static bool refuse_failed(struct txn *t)
{
	(void)txn_refuse(t, REFUSE_OVERLOADED, "the request could not be rewritten for the model %s", t->info.model);
	return false;
}

/* What is known of the call depends on its model: budgets, price, bounds. */
static bool call_other(struct txn *t, struct slice name, const struct price_model *price, bool inherited)
{
	enum step_result ignored;
	const char *why;

	if (!take_model(t, name, price, inherited))
		return refuse_failed(t);
	if (!txn_match_budgets(t, &ignored))
		return false;
	if (t->target.provider->price_free)
		return true;
	txn_ladder_default_out(t);
	if (!lower_to_model(t))
		return refuse_failed(t);
	t->unbounded = txn_find_bound(t, &why) != BOUND_OK;
	if (t->unbounded && t->hard) { /* budgets of this model are hard, where those of the other were not */
		(void)txn_refuse(t, REFUSE_PRICE_UNKNOWN,
				 "the call to %s has no upper price, which a hard budget needs", t->info.model);
		return false;
	}
	txn_grow_begin(t);
	return true;
}

/* This rung is not there for this call; a lower one, or that of another budget, may be. */
static void leave_rung(struct txn *t, const struct decision *d)
{
	if (t->degrades >= RUNG_DEGRADES_MAX || t->reserves >= RUNGS_TRIED_MAX || !model_has_a_place(t))
		t->no_rungs = true;
	rung_leave(t->worker->proxy->deps.engine, &t->worker->match, d, t->no_rungs);
}

static void refuse_degrade(struct txn *t, const struct decision *d)
{
	if (d->tightest) {
		t->tightest_budget = d->tightest->name;
		t->tightest_left_nanousd = d->tightest_left_nanousd;
	}
	(void)txn_list_blocked(t, d);
	t->refused_by = d->degrade_by->name;
	(void)txn_refuse(t, REFUSE_BUDGET_EXCEEDED,
			 "%s: from %lld.%02lld %% of its limit on %s is called in place of %s, and this request says "
			 "x-bursar-no-degrade",
			 d->degrade_by->name, (long long)(d->degrade_step->at_ppm / 10000),
			 (long long)(d->degrade_step->at_ppm / 100 % 100), d->degrade_to, t->info.model);
}

static bool degrade(struct txn *t, const struct decision *d)
{
	struct slice name = slice_of(d->degrade_to);
	const struct price_model *price;
	bool inherited = false;

	if (t->degrades < RUNG_DEGRADES_MAX && !t->no_rungs && model_has_a_place(t) &&
	    is_callable(t, name, &price, &inherited)) {
		if (!says_no_degrade(t)) {
			txn_tell_degrade(t, d);
			return call_other(t, name, price, inherited);
		}
		refuse_degrade(t, d);
		return false;
	}
	if (t->degrades == 0 && model_has_a_place(t))
		log_limited(LOG_WARN, "budget.degrade",
			    "budget %s: %s cannot be called in place of %s: %s has no price of it, or it is called in "
			    "another way",
			    d->degrade_by->name, d->degrade_to, t->info.model, t->target.provider->name);
	leave_rung(t, d);
	return true;
}

bool txn_ladder_bend(struct txn *t, const struct decision *d)
{
	if (d->verdict == VERDICT_DEGRADE)
		return degrade(t, d);
	return d->may_clamp && clamp(t, d);
}

/* --- what people see ---------------------------------------------------------------------------------------------- */

void txn_ladder_fields(const struct txn *t, struct h1_writer *w)
{
	char text[96];
	int n;

	if (t->degraded_from.n > 0)
		h1_write_field(w, SLICE("x-bursar-degraded-from"), t->degraded_from);
	if (t->clamped_to > 0 && t->info.max_out_field) {
		n = snprintf(text, sizeof(text), "%s=%llu", t->info.max_out_field, (unsigned long long)t->clamped_to);
		h1_write_field(w, SLICE("x-bursar-clamped"), slice_mem(text, (size_t)n));
	}
	if (t->delay_ns > 0)
		h1_write_field_u64(w, SLICE("x-bursar-delayed"), (uint64_t)(t->delay_ns / NS_PER_MS));
}

/* Cut short rather than written wrongly: what does not fit is left out whole. */
static PRINTF_LIKE(4, 5) void put(char *dst, size_t dst_size, size_t *inout_n, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(dst + *inout_n, dst_size - *inout_n, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < dst_size - *inout_n)
		*inout_n += (size_t)n;
}

struct slice txn_ladder_extra(const struct txn *t, char *dst, size_t dst_size)
{
	char model[2 * MODEL_NAME_MAX];
	size_t n = 0, m = json_escape(t->degraded_from, model, sizeof(model));

	if (t->degraded_from.n > 0)
		put(dst, dst_size, &n, "\"degraded_from\":\"%.*s\"", (int)m, model);
	if (t->clamped_to > 0 && !t->default_out)
		put(dst, dst_size, &n, "%s\"clamped\":%llu", n > 0 ? "," : "", (unsigned long long)t->clamped_to);
	if (t->delay_ns > 0)
		put(dst, dst_size, &n, "%s\"delayed_ms\":%lld", n > 0 ? "," : "", (long long)(t->delay_ns / NS_PER_MS));
	return slice_mem(dst, n);
}

void txn_ladder_log(const struct txn *t, struct log_line *l)
{
	if (t->degraded_from.n > 0)
		log_str(l, "degraded_from", t->degraded_from);
	if (t->clamped_to > 0)
		log_int(l, "clamped", (int64_t)t->clamped_to);
	if (t->delay_ns > 0)
		log_int(l, "delayed_ms", t->delay_ns / NS_PER_MS);
}
