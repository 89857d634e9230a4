#include "app/row_cost.h"

#include <jansson.h>

#include "base/clock.h"
#include "base/error.h"
#include "meter/tier.h"
#include "meter/usage_extra.h"
#include "proxy/route.h"
#include "store/ledger.h"

static const struct proxy_provider *provider_of(const struct settings *s, struct slice name)
{
	for (size_t i = 0; i < s->proxy.n_providers; i++)
		if (slice_ieq(slice_of(s->proxy.providers[i].name), name))
			return &s->proxy.providers[i];
	return NULL; /* one that was configured when the call was made */
}

/* The bill that came later, when the row itself was only its worst case. */
static bool late_bill_counts(const struct ledger_row *row, const struct adjust_total *total)
{
	return total && (row->flags & ROW_PENDING) && total->late_source == SOURCE_USAGE &&
	       !(total->late_flags & ROW_PENDING);
}

bool row_cost_applies(const struct settings *s, const struct ledger_row *row, const struct adjust_total *total)
{
	const struct proxy_provider *p = provider_of(s, row->provider);

	if (row->kind != LEDGER_SPEND || (row->flags & (ROW_RECOVERED | ROW_UNITS_CUT)) || (p && p->price_free))
		return false;
	if (late_bill_counts(row, total))
		return true;
	/* A fetched bill was priced as of the day of the job, which the row does not tell. */
	return row->source == SOURCE_USAGE && !(row->flags & (ROW_ESTIMATED | ROW_PENDING | ROW_LATE));
}

/* --- units -------------------------------------------------------------------------------------------------------- */

static uint64_t count(int64_t v)
{
	return v > 0 ? (uint64_t)v : 0;
}

static struct adjust_units units_of(const struct ledger_row *row)
{
	return (struct adjust_units){.input_tokens = row->input_tokens,
				     .output_tokens = row->output_tokens,
				     .cached_tokens = row->cached_tokens,
				     .cache_write_tokens = row->cache_write_tokens,
				     .cache_write_1h_tokens = row->cache_write_1h_tokens,
				     .reasoning_tokens = row->reasoning_tokens,
				     .requests = row->requests,
				     .searches = row->searches};
}

static int usage_of(const struct ledger_row *row, const struct adjust_units *n, struct slice extra, struct usage *u)
{
	*u = (struct usage){.has_input = true,
			    .has_output = true,
			    .complete = true,
			    .input_tokens = count(n->input_tokens),
			    .output_tokens = count(n->output_tokens),
			    .cached_input_tokens = count(n->cached_tokens),
			    .cache_write_tokens = count(n->cache_write_tokens),
			    .cache_write_1h_tokens = count(n->cache_write_1h_tokens),
			    .reasoning_tokens = count(n->reasoning_tokens),
			    .requests = count(n->requests),
			    .web_searches = count(n->searches)};
	tier_unpack((uint8_t)row->tier, u);
	return usage_extra_read(extra, u);
}

/* --- models ------------------------------------------------------------------------------------------------------- */

struct pricing {
	const struct price_book *book;
	const struct proxy_provider *provider;
	const struct ledger_row *row;
	struct cost_sum sum;
	struct row_bill *bill; /* NULL: only the sum is wanted */
};

static const struct price_model *find(const struct pricing *p, struct slice model, bool *ret_inherited)
{
	const struct proxy_provider *v = p->provider;
	const char *as = v ? route_price_model(v, model) : NULL;
	struct slice provider = v ? slice_of(v->price_id ? v->price_id : v->name) : p->row->provider;

	return price_find(p->book, provider, as ? slice_of(as) : model, ret_inherited);
}

/* The answer may have named the model that ran; it counts as it counts when a call ends. */
static const struct price_model *billed_model(const struct pricing *p, struct slice extra)
{
	json_t *o = extra.n > 0 ? json_loadb(extra.p, extra.n, 0, NULL) : NULL;
	const char *as = json_string_value(json_object_get(o, "priced_as"));
	const char *answer = json_string_value(json_object_get(o, "answer_model"));
	const struct price_model *m = NULL, *asked;
	bool inherited = false;

	if (as)
		m = find(p, slice_of(as), &inherited);
	asked = m ? m : find(p, p->row->model, &inherited);
	if (!m && answer) {
		m = find(p, slice_of(answer), &inherited);
		m = inherited && asked ? NULL : m;
	}
	json_decref(o);
	return m ? m : asked;
}

static int add_part(struct row_bill *b, const struct price_model *m, const struct quantities *q,
		    const struct price_terms *terms, struct cost_sum *ret)
{
	struct price_bill *part = &b->parts[b->n];
	int r = price_bill(m, q, terms, part);

	b->models[b->n++] = m;
	*ret = part->sum;
	return r;
}

static int add(struct pricing *p, const struct price_model *m, const struct usage *u)
{
	struct price_terms terms;
	struct cost_sum more = {0};
	struct quantities q;
	int r;

	usage_quantities(u, &q);
	usage_terms(u, p->row->ts_admit_ns / NS_PER_S, (p->row->tier & TIER_RESIDENCY) != 0, &terms);
	r = p->bill ? add_part(p->bill, m, &q, &terms, &more) : price_cost(m, &q, &terms, &more);
	if (r == BUR_OK && __builtin_add_overflow(p->sum.num, more.num, &p->sum.num))
		r = BUR_OVERFLOW;
	return r;
}

/* Tokens of another model inside the same answer: at its price, else at this one's. */
static int add_other(struct pricing *p, const struct price_model *m, const struct usage_other *o)
{
	const struct usage u = {.input_tokens = o->input_tokens,
				.cached_input_tokens = o->cached_input_tokens,
				.cache_write_tokens = o->cache_write_tokens,
				.cache_write_1h_tokens = o->cache_write_1h_tokens,
				.audio_input_tokens = o->audio_input_tokens,
				.audio_ms = o->audio_ms,
				.output_tokens = o->output_tokens};
	bool inherited;
	const struct price_model *own = find(p, slice_of(o->model), &inherited);

	return add(p, own ? own : m, &u);
}

static int cost(const struct settings *s, const struct price_book *book, const struct ledger_row *row,
		const struct adjust_total *total, struct row_bill *bill, int64_t *ret_nanousd)
{
	struct pricing p = {.book = book, .provider = provider_of(s, row->provider), .row = row, .bill = bill};
	struct adjust_units units = total ? total->units : units_of(row);
	struct slice extra = late_bill_counts(row, total) ? slice_of(total->late_extra) : row->extra;
	const struct price_model *m;
	struct usage u;
	int r = usage_of(row, &units, extra, &u);

	if (r < 0)
		return r;
	m = billed_model(&p, extra);
	if (!m)
		return BUR_NOTFOUND;
	r = add(&p, m, &u);
	for (size_t i = 0; i < u.n_others && r == BUR_OK; i++)
		r = add_other(&p, m, &u.others[i]);
	return r == BUR_OK ? cost_ceil_nanousd(&p.sum, ret_nanousd) : r;
}

int row_cost(const struct settings *s, const struct price_book *book, const struct ledger_row *row,
	     const struct adjust_total *total, int64_t *ret_nanousd)
{
	return cost(s, book, row, total, NULL, ret_nanousd);
}

int row_bill(const struct settings *s, const struct price_book *book, const struct ledger_row *row,
	     const struct adjust_total *total, struct row_bill *ret)
{
	ret->n = 0;
	return cost(s, book, row, total, ret, &ret->nanousd);
}
