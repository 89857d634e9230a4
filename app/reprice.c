#include "app/reprice.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/row_cost.h"
#include "base/amount.h"
#include "base/error.h"
#include "base/map.h"
#include "store/ledger.h"

#define PAGE_ROWS 500
#define MODELS_MAX 10000
_Static_assert(PAGE_ROWS <= ADJUST_MANY_MAX, "a page is one transaction");

/* What changes for one model. */
struct changed_model {
	char provider[64], model[192];
	int64_t calls, old_nanousd, new_nanousd;
};

struct work {
	const struct prices *prices;
	const struct reprice_ask *ask;
	struct sqlite3 *reader;
	struct map *models;                /* "provider/model" to struct changed_model */
	struct adjustment list[PAGE_ROWS]; /* of this page */
	size_t n_list;
	int64_t rows, changed, unpriced, last_seq;
	size_t page_rows;
};

/* --- one call ----------------------------------------------------------------------------------------------------- */

static struct changed_model *model_of(struct work *w, const struct ledger_row *row)
{
	char key[300];
	int n = snprintf(key, sizeof(key), SLICE_FMT "/" SLICE_FMT, SLICE_ARG(row->provider), SLICE_ARG(row->model));
	struct slice name = slice_mem(key, n < 0 || (size_t)n >= sizeof(key) ? 0 : (size_t)n);
	struct changed_model *m = map_get(w->models, name);

	if (m)
		return m;
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	(void)slice_to_cstr(row->provider, m->provider, sizeof(m->provider));
	(void)slice_to_cstr(row->model, m->model, sizeof(m->model));
	if (map_put(w->models, name, m) == BUR_OK)
		return m;
	free(m);
	return NULL;
}

/* One id for one step from what the call costs now to what the book says: asked twice at once it is written once. */
static void correction_uid(const struct work *w, const struct ledger_row *row, const struct adjust_total *t,
			   uint8_t ret[16])
{
	char key[64];
	int n = snprintf(key, sizeof(key), "%016llx/%u", (unsigned long long)price_book_hash(w->prices->book),
			 t->n_adjusts);

	adjust_uid(row->uid, "reprice", slice_mem(key, (size_t)n), ret);
}

static void plan(struct work *w, const struct ledger_row *row, const struct adjust_total *t, int64_t delta)
{
	struct adjustment *a = &w->list[w->n_list++];
	uint32_t version = price_book_version(w->prices->book);

	*a = (struct adjustment){.kind = LEDGER_ADJUST, .nanousd = delta, .price_version = version};
	memcpy(a->ref_uid, row->uid, sizeof(a->ref_uid));
	correction_uid(w, row, t, a->uid);
	(void)snprintf(a->reason, sizeof(a->reason), "priced again with price book %u", version);
	(void)snprintf(a->actor, sizeof(a->actor), "%s", w->ask->actor);
}

static int change(struct work *w, const struct ledger_row *row, const struct adjust_total *t, int64_t nanousd)
{
	struct changed_model *m;
	int64_t delta;

	if (amount_sub(nanousd, t->nanousd, &delta) < 0)
		return BUR_OK;
	if (delta < -t->all_nanousd)
		delta = -t->all_nanousd; /* part of it was refunded */
	if (delta == 0)
		return BUR_OK;
	m = model_of(w, row);
	if (!m)
		return BUR_NOMEM;
	w->changed++;
	m->calls++;
	if (amount_add(m->old_nanousd, t->nanousd, &m->old_nanousd) < 0 ||
	    amount_add(m->new_nanousd, t->nanousd + delta, &m->new_nanousd) < 0)
		return BUR_OVERFLOW;
	if (!w->ask->dry_run)
		plan(w, row, t, delta);
	return BUR_OK;
}

static int look_at(void *ctx, const struct ledger_row *row)
{
	struct work *w = ctx;
	const struct settings *s = w->prices->settings;
	struct adjust_total total;
	int64_t nanousd;
	int r;

	w->page_rows++;
	w->last_seq = row->seq;
	if (row->kind != LEDGER_SPEND)
		return BUR_OK;
	w->rows++;
	r = adjust_total(w->reader, row->uid, &total);
	if (r < 0)
		return r;
	if (!row_cost_applies(s, row, &total))
		return BUR_OK;
	r = row_cost(s, w->prices->book, row, &total, &nanousd);
	if (r < 0) {
		w->unpriced++;
		return BUR_OK;
	}
	return change(w, row, &total, nanousd);
}

/* --- pages -------------------------------------------------------------------------------------------------------- */

/* Rows are read whole before any is corrected: the visit never sees its own writing. */
static int one_page(struct work *w, bool *ret_more)
{
	struct ledger_filter f = {.after_seq = w->last_seq,
				  .from_ns = w->ask->from_ns,
				  .to_ns = w->ask->to_ns,
				  .provider = w->ask->provider,
				  .model = w->ask->model,
				  .limit = PAGE_ROWS};
	int r;

	w->n_list = w->page_rows = 0;
	r = ledger_each(w->reader, &f, look_at, w);
	*ret_more = w->page_rows == PAGE_ROWS;
	if (r == BUR_OK && w->n_list > 0)
		r = store_adjust(w->prices->store, w->list, w->n_list);
	return r;
}

static bool add_model(void *ctx, struct slice key, void *value)
{
	const struct changed_model *m = value;
	char before[AMOUNT_TEXT_MAX], after[AMOUNT_TEXT_MAX], delta[AMOUNT_TEXT_MAX];
	json_t *o = json_pack("{s:s,s:s,s:I,s:s,s:s,s:s}", "provider", m->provider, "model", m->model, "calls",
			      (json_int_t)m->calls, "old_usd", amount_format_usd(m->old_nanousd, before), "new_usd",
			      amount_format_usd(m->new_nanousd, after), "delta_usd",
			      amount_format_usd(m->new_nanousd - m->old_nanousd, delta));

	(void)key;
	return json_array_append_new(ctx, o) == 0;
}

static json_t *answer(const struct work *w, bool more)
{
	json_t *models = json_array();

	if (!models)
		return NULL;
	map_each(w->models, add_model, models);
	if (json_array_size(models) != map_len(w->models)) {
		json_decref(models);
		return NULL;
	}
	return json_pack("{s:b,s:I,s:I,s:I,s:I,s:o,s:o}", "dry_run", w->ask->dry_run, "price_version",
			 (json_int_t)price_book_version(w->prices->book), "rows", (json_int_t)w->rows, "changed",
			 (json_int_t)w->changed, "unpriced", (json_int_t)w->unpriced, "models", models, "next",
			 more ? json_integer(w->last_seq) : json_null());
}

int reprice(const struct prices *prices, const struct reprice_ask *ask, json_t **ret)
{
	struct work *w = calloc(1, sizeof(*w));
	bool more = true;
	int r = BUR_NOMEM;

	if (!w)
		return BUR_NOMEM;
	w->prices = prices;
	w->ask = ask;
	w->last_seq = ask->after_seq;
	w->models = map_new(MODELS_MAX);
	if (w->models)
		r = store_reader(prices->store, &w->reader);
	for (size_t seen = 0; r == BUR_OK && more && seen < REPRICE_ROWS; seen += PAGE_ROWS)
		r = one_page(w, &more);
	if (r == BUR_OK) {
		*ret = answer(w, more);
		r = *ret ? BUR_OK : BUR_NOMEM;
	}
	(void)sqlite3_close(w->reader);
	map_free(w->models, free);
	free(w);
	return r;
}
