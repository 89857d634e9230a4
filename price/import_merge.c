/* Local prices over the shipped book, local history, and what a change changes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/amount.h"
#include "base/error.h"
#include "price/import.h"
#include "price/import_impl.h"

static const char *text_of(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

static json_t *find_id(json_t *list, const char *id)
{
	json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
	{
		if (strcmp(text_of(v, "id"), id) == 0)
			return v;
	}
	return NULL;
}

/* The provider of that id, made when it is not there; borrowed. */
static json_t *provider_make(json_t *book, const char *id)
{
	json_t *list = json_object_get(book, "providers"), *p = find_id(list, id);

	if (p)
		return p;
	p = json_pack("{s:s,s:[]}", "id", id, "models");
	return p && json_array_append_new(list, p) == 0 ? p : NULL;
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

static json_int_t over_of(const json_t *row)
{
	return json_integer_value(json_object_get(row, "over"));
}

/* Same terms: service and region. */
static bool same_terms(const json_t *a, const json_t *b)
{
	const char *x = text_of(a, "service"), *y = text_of(b, "service");

	x = *x ? x : "standard";
	y = *y ? y : "standard";
	return strcmp(x, y) == 0 && strcmp(text_of(a, "region"), text_of(b, "region")) == 0;
}

static bool has_terms(json_t *rows, const json_t *like)
{
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		if (same_terms(row, like))
			return true;
	}
	return false;
}

static bool has_windows(json_t *rows)
{
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		if (json_is_array(json_object_get(row, "tod")))
			return true;
	}
	return false;
}

/* Dates are "YYYY-MM-DD": they compare as texts; "" is the beginning of time. */
static bool in_force(const json_t *row, const char *day)
{
	const char *to = text_of(row, "to");

	return strcmp(text_of(row, "from"), day) <= 0 && (!*to || strcmp(to, day) > 0);
}

/* What holds on that day for this much input, outside windows: the largest threshold, then the latest date, then the
 * later in the list, as when a call is priced. NULL: nothing. */
static json_t *row_on(json_t *rows, const json_t *like, json_int_t over, const char *day)
{
	json_t *row, *best = NULL;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		int later = best ? strcmp(text_of(row, "from"), text_of(best, "from")) : 1;

		if (!same_terms(row, like) || !in_force(row, day) || over_of(row) > over ||
		    json_is_array(json_object_get(row, "tod")))
			continue;
		if (later > 0 || (later == 0 && over_of(row) >= over_of(best)))
			best = row;
	}
	return best;
}

static const char *first_date(json_t *rows)
{
	const char *first = NULL;
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const char *from = text_of(row, "from");

		if (!first || strcmp(from, first) < 0)
			first = from;
	}
	return first ? first : "";
}

/* Rows below that end where the local ones begin. */
static int keep_old_rows(json_t *out, json_t *lower, json_t *upper, const char *from)
{
	json_t *row;
	size_t i;

	json_array_foreach(lower, i, row)
	{
		bool same = has_terms(upper, row);
		const char *to = text_of(row, "to");
		json_t *copy;

		if (same && (!*from || strcmp(text_of(row, "from"), from) >= 0))
			continue;
		copy = json_deep_copy(row);
		if (!copy || json_array_append_new(out, copy) < 0)
			return BUR_NOMEM;
		if (same && (!*to || strcmp(to, from) > 0) && json_object_set_new(copy, "to", json_string(from)) < 0)
			return BUR_NOMEM;
	}
	return BUR_OK;
}

/* A unit that the local row does not price keeps the price that it has below. */
static int add_local_row(json_t *out, json_t *lower, const json_t *row, const char *today)
{
	const char *from = text_of(row, "from"), *key;
	json_t *copy = json_deep_copy(row), *below = row_on(lower, row, over_of(row), *from ? from : today), *rates, *v;

	if (!copy || json_array_append_new(out, copy) < 0)
		return BUR_NOMEM;
	rates = json_object_get(copy, "rates");
	json_object_foreach(json_object_get(below, "rates"), key, v)
	{
		if (!json_object_get(rates, key) && json_object_set(rates, key, v) < 0)
			return BUR_NOMEM;
	}
	return BUR_OK;
}

static json_t *overlay_rows(json_t *lower, json_t *upper, const char *today)
{
	json_t *out = json_array(), *row;
	int r = out ? keep_old_rows(out, lower, upper, first_date(upper)) : BUR_NOMEM;
	size_t i;

	json_array_foreach(upper, i, row)
	{
		if (r == BUR_OK)
			r = add_local_row(out, lower, row, today);
	}
	if (r == BUR_OK)
		return out;
	json_decref(out);
	return NULL;
}

/* --- models ------------------------------------------------------------------------------------------------------- */

/* Names by which a provider's models are found exactly: "provider/name" to the model (borrowed). */
static void index_model(json_t *index, const char *provider, json_t *model)
{
	json_t *rule;
	char key[400];
	size_t i;

	json_array_foreach(json_object_get(model, "match"), i, rule)
	{
		const char *op = json_string_value(json_array_get(rule, 0));
		const char *name = json_string_value(json_array_get(rule, 1));

		if (!op || !name || strcmp(op, "eq") != 0)
			continue;
		(void)snprintf(key, sizeof(key), "%.64s/%.300s", provider, name);
		(void)json_object_set(index, key, model);
	}
	(void)snprintf(key, sizeof(key), "%.64s/=%.300s", provider, text_of(model, "id"));
	(void)json_object_set(index, key, model);
}

static json_t *index_book(json_t *book)
{
	json_t *index = json_object(), *p, *m;
	size_t i, k;

	json_array_foreach(json_object_get(book, "providers"), i, p)
	{
		json_array_foreach(json_object_get(p, "models"), k, m) index_model(index, text_of(p, "id"), m);
	}
	return index;
}

static json_t *lookup(json_t *index, const char *provider, const char *name)
{
	char key[400];
	json_t *m;

	(void)snprintf(key, sizeof(key), "%.64s/%.300s", provider, name);
	m = json_object_get(index, key);
	if (m)
		return m;
	(void)snprintf(key, sizeof(key), "%.64s/=%.300s", provider, name);
	return json_object_get(index, key);
}

/* What a book knows of a model; the local document's own notes stay behind. */
static json_t *book_model(const json_t *local)
{
	static const char *const keys[] = {
	    "id", "ctx", "max_out", "image_max", "min_audio_ms", "hides_reasoning", "multipliers", "match", "prices"};
	json_t *m = json_object();

	for (size_t i = 0; m && i < ARRAY_LEN(keys); i++) {
		json_t *v = json_object_get(local, keys[i]), *copy = v ? json_deep_copy(v) : NULL;

		if (v && (!copy || json_object_set_new(m, keys[i], copy) < 0)) {
			json_decref(m);
			return NULL;
		}
	}
	return m;
}

/* Only names that are free: a name of a shipped model stays there. */
static int free_names_only(json_t *index, const char *provider, json_t *model)
{
	json_t *match = json_object_get(model, "match");

	for (size_t i = json_array_size(match); i-- > 0;) {
		json_t *rule = json_array_get(match, i);
		const char *op = json_string_value(json_array_get(rule, 0));
		const char *name = json_string_value(json_array_get(rule, 1));

		if (op && name && strcmp(op, "eq") == 0 && lookup(index, provider, name))
			(void)json_array_remove(match, i);
	}
	return BUR_OK;
}

static int add_new(json_t *book, json_t *index, const char *provider, const json_t *local)
{
	json_t *p = provider_make(book, provider), *m = p ? book_model(local) : NULL;

	if (!m)
		return BUR_NOMEM;
	(void)free_names_only(index, provider, m);
	if (json_array_append_new(json_object_get(p, "models"), m) < 0)
		return BUR_NOMEM;
	index_model(index, provider, m);
	return BUR_OK;
}

static int lay_over(json_t *target, const json_t *local, const char *today)
{
	static const char *const keys[] = {"ctx", "max_out", "image_max"};
	json_t *rows = overlay_rows(json_object_get(target, "prices"), json_object_get(local, "prices"), today);

	if (!rows || json_object_set_new(target, "prices", rows) < 0)
		return BUR_NOMEM;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		json_t *v = json_object_get(local, keys[i]);

		if (v && !json_object_get(target, keys[i]) && json_object_set(target, keys[i], v) < 0)
			return BUR_NOMEM;
	}
	return BUR_OK;
}

static int overlay_origin(json_t *book, json_t *index, const json_t *local, const char *origin, const char *today)
{
	json_t *p, *m;
	size_t i, k;
	int r = BUR_OK;

	json_array_foreach(json_object_get(local, "providers"), i, p)
	{
		const char *provider = text_of(p, "id");

		json_array_foreach(json_object_get(p, "models"), k, m)
		{
			json_t *target = lookup(index, provider, text_of(m, "id"));

			if (strcmp(text_of(m, "origin"), origin) != 0 || r < 0)
				continue;
			r = target ? lay_over(target, m, today) : add_new(book, index, provider, m);
		}
	}
	return r;
}

int import_overlay(json_t *book, const json_t *local, const char *today, char *reterr, size_t reterr_size)
{
	json_t *index = index_book(book);
	int r = BUR_INVALID;

	if (!json_is_array(json_object_get(book, "providers")) || !json_is_array(json_object_get(local, "providers")))
		(void)snprintf(reterr, reterr_size, "it is no price book");
	else if (!index)
		r = BUR_NOMEM;
	else
		r = overlay_origin(book, index, local, "import", today);
	if (r == BUR_OK)
		r = overlay_origin(book, index, local, "operator", today);
	if (r == BUR_NOMEM)
		(void)snprintf(reterr, reterr_size, "out of memory");
	json_decref(index);
	return r;
}

/* --- the local document ------------------------------------------------------------------------------------------- */

static json_t *find_model(json_t *models, const char *id, const char *origin)
{
	json_t *m;
	size_t i;

	json_array_foreach(models, i, m)
	{
		if (strcmp(text_of(m, "id"), id) == 0 && strcmp(text_of(m, "origin"), origin) == 0)
			return m;
	}
	return NULL;
}

/* The rows say the same prices as those that are in force. */
static bool same_prices(json_t *have, json_t *fresh, const char *today)
{
	json_t *row;
	size_t i;

	json_array_foreach(fresh, i, row)
	{
		json_t *now = row_on(have, row, over_of(row), today);

		if (!now || over_of(now) != over_of(row) ||
		    !json_equal(json_object_get(now, "rates"), json_object_get(row, "rates")))
			return false;
	}
	return true;
}

/* History: what held until today is closed today. */
static int add_history(json_t *have, const json_t *fresh, const char *today)
{
	json_t *rows = json_object_get(have, "prices"), *row, *fresh_rows = json_object_get(fresh, "prices");
	json_t *merged;

	if (same_prices(rows, fresh_rows, today)) {
		(void)json_object_del(have, "stale");
		return BUR_OK;
	}
	merged = json_array();
	if (!merged)
		return BUR_NOMEM;
	for (size_t i = 0; i < json_array_size(rows); i++) {
		row = json_array_get(rows, i);
		if (strcmp(text_of(row, "from"), today) >= 0)
			continue; /* of an import earlier today */
		if (in_force(row, today) && json_object_set_new(row, "to", json_string(today)) < 0)
			break;
		(void)json_array_append(merged, row);
	}
	(void)json_array_extend(merged, fresh_rows);
	(void)json_object_del(have, "stale");
	return json_object_set_new(have, "prices", merged) == 0 ? BUR_OK : BUR_NOMEM;
}

static int keep_model(json_t *models, const json_t *fresh, const char *today)
{
	json_t *have = find_model(models, text_of(fresh, "id"), "import");

	if (have)
		return add_history(have, fresh, today);
	return json_array_append_new(models, json_deep_copy(fresh)) == 0 ? BUR_OK : BUR_NOMEM;
}

static void mark_stale(json_t *models, json_t *fresh_models)
{
	json_t *m;
	size_t i;

	json_array_foreach(models, i, m)
	{
		if (strcmp(text_of(m, "origin"), "import") == 0 &&
		    !find_model(fresh_models, text_of(m, "id"), "import"))
			(void)json_object_set_new(m, "stale", json_true());
	}
}

int import_keep(json_t *local, const json_t *fresh, const char *today)
{
	json_t *p, *m;
	size_t i, k;

	json_array_foreach(json_object_get(fresh, "providers"), i, p)
	{
		json_t *to = provider_make(local, text_of(p, "id")), *models = json_object_get(to, "models");

		if (!to)
			return BUR_NOMEM;
		mark_stale(models, json_object_get(p, "models"));
		json_array_foreach(json_object_get(p, "models"), k, m)
		{
			if (keep_model(models, m, today) < 0)
				return BUR_NOMEM;
		}
	}
	return BUR_OK;
}

int import_set(json_t *local, const char *provider, json_t *model)
{
	json_t *p = provider_make(local, provider), *models = json_object_get(p, "models"), *have;
	size_t i;

	if (!p || json_object_set_new(model, "origin", json_string("operator")) < 0) {
		json_decref(model);
		return BUR_NOMEM;
	}
	json_array_foreach(models, i, have)
	{
		if (strcmp(text_of(have, "id"), text_of(model, "id")) == 0 &&
		    strcmp(text_of(have, "origin"), "operator") == 0)
			return json_array_set_new(models, i, model) == 0 ? BUR_OK : BUR_NOMEM;
	}
	return json_array_append_new(models, model) == 0 ? BUR_OK : BUR_NOMEM;
}

/* --- what changes ------------------------------------------------------------------------------------------------- */

struct differ {
	json_t *out, *before_index;
	const char *day;
	size_t wild;
};

/* In tenths of a percent; false when there is nothing to compare with. */
static bool change_of(int64_t was, int64_t is, char dst[32])
{
	__int128 permille;

	dst[0] = '\0';
	if (was <= 0)
		return false;
	permille = ((__int128)is - was) * 1000 / was;
	if (permille > 9999999)
		permille = 9999999;
	(void)snprintf(dst, 32, "%s%lld.%lld %%", is >= was ? "+" : "-", llabs((long long)permille) / 10,
		       llabs((long long)permille) % 10);
	return true;
}

static bool read_rate(const json_t *v, int64_t *ret)
{
	return json_is_string(v) && decimal_parse(slice_of(json_string_value(v)), 12, true, ret) == BUR_OK;
}

static int put_change(struct differ *d, const char *provider, const json_t *model, const json_t *row, const char *unit,
		      const json_t *old_rate, const json_t *new_rate)
{
	const char *service = text_of(row, "service");
	int64_t was = 0, is = 0;
	char change[32] = "";
	bool had = read_rate(old_rate, &was), has = read_rate(new_rate, &is);

	if (had && has && was == is)
		return 0;
	if (had && has && change_of(was, is, change) && ((__int128)is * 2 < was || (__int128)was * 3 < is))
		d->wild++;
	return json_array_append_new(d->out, json_pack("{s:s,s:s,s:s,s:s,s:I,s:s,s:s,s:s}", "provider", provider,
						       "model", text_of(model, "id"), "unit", unit, "service",
						       *service ? service : "standard", "over", over_of(row), "old",
						       had ? json_string_value(old_rate) : "", "new",
						       has ? json_string_value(new_rate) : "", "change", change));
}

/* A row of one side against what the other side has for the same terms. */
static int diff_row(struct differ *d, const char *provider, const json_t *model, const json_t *row, const json_t *other)
{
	json_t *old_rates = json_object_get(other, "rates"), *new_rates = json_object_get(row, "rates"), *v;
	const char *unit;
	int rc = 0;

	json_object_foreach(new_rates, unit, v)
	{
		if (rc == 0)
			rc = put_change(d, provider, model, row, unit, json_object_get(old_rates, unit), v);
	}
	json_object_foreach(old_rates, unit, v)
	{
		if (rc == 0 && !json_object_get(new_rates, unit))
			rc = put_change(d, provider, model, row, unit, v, NULL);
	}
	return rc;
}

static int diff_model(struct differ *d, const char *provider, json_t *model)
{
	json_t *before = lookup(d->before_index, provider, text_of(model, "id")), *rows, *row;
	size_t i;
	int rc = 0;

	rows = json_object_get(model, "prices");
	json_array_foreach(rows, i, row)
	{
		/* Only what is in force: one row for each threshold. */
		if (rc == 0 && row_on(rows, row, over_of(row), d->day) == row)
			rc = diff_row(d, provider, model, row,
				      row_on(json_object_get(before, "prices"), row, over_of(row), d->day));
	}
	return rc;
}

json_t *import_diff(const json_t *before, const json_t *after, const char *day, size_t *ret_wild)
{
	struct differ d = {.out = json_array(), .before_index = index_book((json_t *)before), .day = day};
	json_t *p, *m;
	size_t i, k;
	int rc = d.out && d.before_index ? 0 : -1;

	json_array_foreach(json_object_get(after, "providers"), i, p)
	{
		json_array_foreach(json_object_get(p, "models"), k, m)
		{
			if (rc == 0)
				rc = diff_model(&d, text_of(p, "id"), m);
		}
	}
	json_decref(d.before_index);
	if (rc != 0) {
		json_decref(d.out);
		return NULL;
	}
	*ret_wild = d.wild;
	return d.out;
}

/* --- what an import must not lose --------------------------------------------------------------------------------- */

/* Prices by the time of day, where the list knows none: the book is the better one. */
static bool loses_windows(json_t *target, json_t *model)
{
	return target && has_windows(json_object_get(target, "prices")) &&
	       !has_windows(json_object_get(model, "prices"));
}

int import_keep_windows(const json_t *book, json_t *fresh, json_t *notes)
{
	json_t *index = index_book((json_t *)book), *p;
	char text[400];
	size_t i;

	if (!index)
		return BUR_NOMEM;
	json_array_foreach(json_object_get(fresh, "providers"), i, p)
	{
		json_t *models = json_object_get(p, "models");

		for (size_t k = json_array_size(models); k-- > 0;) {
			json_t *m = json_array_get(models, k);

			if (!loses_windows(lookup(index, text_of(p, "id"), text_of(m, "id")), m))
				continue;
			(void)snprintf(
			    text, sizeof(text),
			    "%.64s/%.191s: left out: the book has prices by the time of day, the list has not",
			    text_of(p, "id"), text_of(m, "id"));
			(void)json_array_append_new(notes, json_string(text));
			(void)json_array_remove(models, k);
		}
	}
	json_decref(index);
	return BUR_OK;
}
