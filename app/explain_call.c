/* explain_call.c - a call of the past: what it held, what it cost and why, and which counters it moved. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/explain_impl.h"
#include "app/row_cost.h"
#include "base/clock.h"
#include "base/error.h"
#include "policy/budget_window.h"
#include "store/past.h"

struct past_look {
	const struct explain *e;
	struct sqlite3 *reader;
	struct tz *utc;
	json_t *call, *rows; /* the call's own row; those that correct it */
	struct price_book *book;
	int64_t sum_nanousd;
};

static json_t *text_json(struct slice s)
{
	json_t *v = json_stringn(s.n ? s.p : "", s.n);

	return v ? v : json_string("");
}

/* --- prices ------------------------------------------------------------------------------------------------------- */

static struct price_book *book_of(const struct past_look *l, uint32_t version)
{
	struct price_book *book = NULL;
	char *json = NULL, why[64];
	size_t n = 0;

	if (ledger_price_book(l->reader, version, &json, &n) == BUR_OK &&
	    price_book_parse(slice_mem(json, n), &book, why, sizeof(why)) < 0)
		book = NULL;
	free(json);
	return book;
}

static json_t *exact_usd(const struct cost_sum *sum)
{
	char text[64];

	return cost_format_usd(sum, text, sizeof(text)) == BUR_OK ? json_string(text) : json_null();
}

static json_t *rate_text(int64_t rate_pusd)
{
	char text[48];
	int n = snprintf(text, sizeof(text), "%lld.%012lld", (long long)(rate_pusd / 1000000000000),
			 (long long)(rate_pusd % 1000000000000));

	while (n > 1 && text[n - 1] == '0')
		n--;
	if (text[n - 1] == '.')
		n--;
	return json_stringn(text, (size_t)n);
}

static json_t *line_json(const struct past_look *l, const struct price_model *m, const struct price_line *p)
{
	static const char *const units[PRICE_UNIT_COUNT] = {
#define X(uc, key, per, parent, parent2) [PRICE_##uc] = key,
	    PRICE_UNITS(X)
#undef X
	};
	static const char *const services[SERVICE_COUNT] = {"standard", "flex", "priority", "batch"};
	struct cost_sum sum = {0};
	int r = cost_add(&sum, p->quantity, p->rate_pusd, p->per);
	json_t *o = json_pack("{s:s,s:s,s:I,s:o,s:I,s:o,s:s,s:o,s:o}", "model", price_model_id(m), "unit",
			      units[p->unit], "quantity", (json_int_t)p->quantity, "rate_usd", rate_text(p->rate_pusd),
			      "per", (json_int_t)p->per, "usd", r == BUR_OK ? exact_usd(&sum) : json_null(), "service",
			      services[p->service], "from", explain_time(l->utc, p->from_s), "until",
			      explain_time(l->utc, p->to_s));

	if (o && p->over > 0)
		(void)json_object_set_new(o, "over_tokens", json_integer((json_int_t)p->over));
	return o;
}

static bool put_lines(const struct past_look *l, const struct ledger_row *row, json_t *o)
{
	struct row_bill *bill = calloc(1, sizeof(*bill));
	json_t *lines = json_array();
	struct cost_sum sum = {0};
	int r = bill && lines ? row_bill(l->e->settings, l->book, row, NULL, bill) : BUR_NOMEM;

	for (size_t i = 0; r == BUR_OK && i < bill->n; i++) {
		sum.num += bill->parts[i].sum.num;
		for (size_t k = bill->parts[i].n; k-- > 0;) /* wholes first */
			(void)json_array_append_new(lines, line_json(l, bill->models[i], &bill->parts[i].lines[k]));
	}
	if (r == BUR_OK) {
		(void)json_object_set_new(o, "exact_usd", exact_usd(&sum));
		(void)json_object_set_new(o, "rounded_up_usd", explain_usd(bill->nanousd));
		(void)json_object_set_new(o, "same_as_charged", json_boolean(bill->nanousd == row->amount_nanousd));
	}
	(void)json_object_set_new(o, "lines", lines);
	free(bill);
	return r == BUR_OK;
}

/* What it cost, from the book that held then; or why that is not where the figure comes from. */
static json_t *price_json(struct past_look *l, const struct ledger_row *row)
{
	static const char *const sources[] = {"", "usage", "partial", "counted", "worst", "reported"};
	int source = row->source >= SOURCE_USAGE && row->source <= SOURCE_REPORTED ? row->source : 0;
	json_t *o = json_pack("{s:I,s:s}", "version", (json_int_t)row->price_version, "source", sources[source]);
	const char *why = NULL;

	l->book = book_of(l, row->price_version);
	if (row->flags & ROW_NO_PRICE)
		why = "no price was known: it was recorded as the budget says";
	else if (!row_cost_applies(l->e->settings, row, NULL))
		why = source == SOURCE_REPORTED ? "the vendor said itself what it charges"
		      : source == SOURCE_WORST  ? "what it cost is not known: its whole hold was charged"
						: "the charge is an estimate of what was seen, or its bill comes later";
	else if (!l->book)
		why = "the price book of that time is not in the ledger";
	else if (!put_lines(l, row, o))
		why = "its units cannot be priced again";
	(void)json_object_set_new(o, "note", why ? json_string(why) : json_null());
	price_book_unref(l->book);
	l->book = NULL;
	return o;
}

/* --- counters ----------------------------------------------------------------------------------------------------- */

struct counters {
	const struct past_look *l;
	json_t *list;
};

static const struct budget *budget_of(const struct explain *e, struct slice name)
{
	for (size_t i = 0; i < e->settings->n_budgets; i++)
		if (slice_eq(slice_of(e->settings->budgets[i].name), name))
			return &e->settings->budgets[i];
	return NULL;
}

static int add_counter(void *ctx, const struct past_posting *p)
{
	const struct counters *c = ctx;
	const struct budget *b = budget_of(c->l->e, p->budget);
	const struct tz *tz = b && b->window.tz ? b->window.tz : c->l->utc;
	int64_t start = 0, end = INT64_MAX;
	json_t *o;

	if (b)
		budget_window_at(b, p->win_start, &start, &end);
	o = json_pack("{s:o,s:o,s:s,s:o,s:o,s:o,s:o,s:b}", "budget", text_json(p->budget), "scope", text_json(p->scope),
		      "unit", explain_unit((enum amount_unit)p->unit), "from", explain_time(tz, p->win_start), "to",
		      b && start == p->win_start ? explain_time(tz, end) : json_null(), "amount",
		      explain_amount((enum amount_unit)p->unit, p->amount), "window_total",
		      explain_amount((enum amount_unit)p->unit, p->window_total), "configured", b != NULL);
	return json_array_append_new(c->list, o) == 0 ? BUR_OK : BUR_NOMEM;
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

static void put_names(json_t *o, const struct ledger_row *row)
{
	const struct {
		const char *key;
		struct slice v;
	} names[] = {{"key", row->key},         {"user", row->user},         {"team", row->team},
		     {"project", row->project}, {"provider", row->provider}, {"model", row->model},
		     {"route", row->route}};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)json_object_set_new(o, names[i].key, text_json(names[i].v));
}

static json_t *row_json(struct past_look *l, const struct ledger_row *row)
{
	static const char *const kinds[] = {"", "spend", "adjust", "refund", "charge", "credit"};
	char id[40] = "req_";
	struct counters counters = {l, json_array()};
	json_t *extra = row->extra.n ? json_loadb(row->extra.p, row->extra.n, 0, NULL) : NULL;
	json_t *o;

	hex_encode(row->uid, sizeof(row->uid), id + 4);
	o = json_pack("{s:s,s:s,s:o,s:o,s:i,s:o,s:o,s:o}", "id", id, "kind",
		      kinds[row->kind >= LEDGER_SPEND && row->kind <= LEDGER_CREDIT ? row->kind : 0], "admitted_at",
		      explain_time(l->utc, row->ts_admit_ns / NS_PER_S), "settled_at",
		      explain_time(l->utc, row->ts_settle_ns / NS_PER_S), "status", row->status, "held_usd",
		      explain_usd(row->worst_nanousd), "usd", explain_usd(row->amount_nanousd), "extra",
		      extra ? extra : json_null());
	if (!o || !counters.list || past_postings(l->reader, row->seq, add_counter, &counters) < 0) {
		json_decref(counters.list);
		json_decref(o);
		return NULL;
	}
	(void)json_object_set_new(o, "counters", counters.list);
	return o;
}

static int add_row(void *ctx, const struct ledger_row *row)
{
	struct past_look *l = ctx;
	json_t *o = row_json(l, row);

	if (!o)
		return BUR_NOMEM;
	if (amount_add(l->sum_nanousd, row->amount_nanousd, &l->sum_nanousd) < 0)
		l->sum_nanousd = INT64_MAX;
	if (row->kind != LEDGER_SPEND)
		return json_array_append_new(l->rows, o) == 0 ? BUR_OK : BUR_NOMEM;
	put_names(o, row);
	(void)json_object_set_new(o, "input_tokens", json_integer(row->input_tokens));
	(void)json_object_set_new(o, "output_tokens", json_integer(row->output_tokens));
	(void)json_object_set_new(o, "price", price_json(l, row));
	l->call = o;
	return BUR_OK;
}

int explain_call(const struct explain *e, const uint8_t uid[16], json_t **ret)
{
	struct past_look l = {.e = e, .rows = json_array()};
	int r = l.rows ? store_reader(e->store, &l.reader) : BUR_NOMEM;

	if (r == BUR_OK)
		r = tz_load("UTC", &l.utc);
	if (r == BUR_OK)
		r = past_call(l.reader, uid, add_row, &l);
	if (r == BUR_OK && !l.call)
		r = BUR_NOTFOUND;
	if (r == BUR_OK) {
		*ret = json_pack("{s:O,s:O,s:o}", "call", l.call, "corrections", l.rows, "costs_usd",
				 explain_usd(l.sum_nanousd));
		r = *ret ? BUR_OK : BUR_NOMEM;
	}
	tz_free(l.utc);
	json_decref(l.call);
	json_decref(l.rows);
	(void)sqlite3_close(l.reader);
	return r;
}
