/* Local prices over the shipped book. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "price/import.h"
#include "price/import_impl.h"

const char *import_member(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

json_t *import_find_id(json_t *list, const char *id)
{
	json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
	{
		if (strcmp(import_member(v, "id"), id) == 0)
			return v;
	}
	return NULL;
}

json_t *import_provider(json_t *book, const char *id)
{
	json_t *list = json_object_get(book, "providers"), *p = import_find_id(list, id);

	if (p)
		return p;
	p = json_pack("{s:s,s:[]}", "id", id, "models");
	return p && json_array_append_new(list, p) == 0 ? p : NULL;
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

json_int_t import_over(const json_t *row)
{
	return json_integer_value(json_object_get(row, "over"));
}

static bool same_word(const json_t *a, const json_t *b, const char *key, const char *usual)
{
	const char *x = import_member(a, key), *y = import_member(b, key);

	return strcmp(*x ? x : usual, *y ? y : usual) == 0;
}

bool import_same_terms(const json_t *a, const json_t *b)
{
	return same_word(a, b, "service", "standard") && same_word(a, b, "region", "any");
}

static bool has_terms(json_t *rows, const json_t *like)
{
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		if (import_same_terms(row, like))
			return true;
	}
	return false;
}

bool import_has_windows(json_t *rows)
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
bool import_in_force(const json_t *row, const char *day)
{
	const char *to = import_member(row, "to");

	return strcmp(import_member(row, "from"), day) <= 0 && (!*to || strcmp(to, day) > 0);
}

/* What holds on that day for this much input, outside windows: the largest threshold, then the latest date, then the
 * later in the list, as when a call is priced. NULL: nothing. */
json_t *import_row_on(json_t *rows, const json_t *like, json_int_t over, const char *day)
{
	json_t *row, *best = NULL;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		int later = best ? strcmp(import_member(row, "from"), import_member(best, "from")) : 1;

		if (!import_same_terms(row, like) || !import_in_force(row, day) || import_over(row) > over ||
		    json_is_array(json_object_get(row, "tod")))
			continue;
		if (later > 0 || (later == 0 && import_over(row) >= import_over(best)))
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
		const char *from = import_member(row, "from");

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
		const char *to = import_member(row, "to");
		json_t *copy;

		if (same && (!*from || strcmp(import_member(row, "from"), from) >= 0))
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
	const char *from = import_member(row, "from"), *key;
	json_t *copy = json_deep_copy(row), *below = import_row_on(lower, row, import_over(row), *from ? from : today),
	       *rates, *v;

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
	(void)snprintf(key, sizeof(key), "%.64s/=%.300s", provider, import_member(model, "id"));
	(void)json_object_set(index, key, model);
}

json_t *import_index(json_t *book)
{
	json_t *index = json_object(), *p, *m;
	size_t i, k;

	json_array_foreach(json_object_get(book, "providers"), i, p)
	{
		json_array_foreach(json_object_get(p, "models"), k, m) index_model(index, import_member(p, "id"), m);
	}
	return index;
}

json_t *import_lookup(json_t *index, const char *provider, const char *name)
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

		if (op && name && strcmp(op, "eq") == 0 && import_lookup(index, provider, name))
			(void)json_array_remove(match, i);
	}
	return BUR_OK;
}

static int add_new(json_t *book, json_t *index, const char *provider, const json_t *local)
{
	json_t *p = import_provider(book, provider), *m = p ? book_model(local) : NULL;

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

/* A provider may be named otherwise in a list: the book knows its names. */
static const char *our_name(const json_t *book, const char *id)
{
	json_t *p, *name;
	size_t i, k;

	if (import_find_id(json_object_get(book, "providers"), id))
		return id;
	json_array_foreach(json_object_get(book, "providers"), i, p)
	{
		json_array_foreach(json_object_get(p, "names"), k, name)
		{
			const char *s = json_string_value(name);

			if (s && strcmp(s, id) == 0)
				return import_member(p, "id");
		}
	}
	return id;
}

void import_our_names(const json_t *book, json_t *fresh)
{
	json_t *p;
	size_t i;

	json_array_foreach(json_object_get(fresh, "providers"), i, p)
	{
		const char *id = import_member(p, "id"), *ours = our_name(book, id);

		if (ours != id)
			(void)json_object_set_new(p, "id", json_string(ours));
	}
}

static int overlay_origin(json_t *book, json_t *index, const json_t *local, const char *origin, const char *today)
{
	json_t *p, *m;
	size_t i, k;
	int r = BUR_OK;

	json_array_foreach(json_object_get(local, "providers"), i, p)
	{
		const char *provider = import_member(p, "id");

		json_array_foreach(json_object_get(p, "models"), k, m)
		{
			json_t *target = import_lookup(index, provider, import_member(m, "id"));

			if (strcmp(import_member(m, "origin"), origin) != 0 || r < 0)
				continue;
			r = target ? lay_over(target, m, today) : add_new(book, index, provider, m);
		}
	}
	return r;
}

int import_overlay(json_t *book, const json_t *local, const char *origin, const char *today, char *reterr,
		   size_t reterr_size)
{
	json_t *index = import_index(book);
	int r = BUR_INVALID;

	if (!json_is_array(json_object_get(book, "providers")) || !json_is_array(json_object_get(local, "providers")))
		(void)snprintf(reterr, reterr_size, "it is no price book");
	else
		r = index ? overlay_origin(book, index, local, origin, today) : BUR_NOMEM;
	if (r == BUR_NOMEM)
		(void)snprintf(reterr, reterr_size, "out of memory");
	json_decref(index);
	return r;
}
