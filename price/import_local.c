/* The local document: what it keeps of an import, its history, and what a change changes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/amount.h"
#include "base/error.h"
#include "price/import.h"
#include "price/import_impl.h"

/* --- the local document ------------------------------------------------------------------------------------------- */

static json_t *find_model(json_t *models, const char *id, const char *origin)
{
	json_t *m;
	size_t i;

	json_array_foreach(models, i, m)
	{
		if (strcmp(import_member(m, "id"), id) == 0 && strcmp(import_member(m, "origin"), origin) == 0)
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
		json_t *now = import_row_on(have, row, import_over(row), today);

		if (!now || import_over(now) != import_over(row) ||
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
		if (strcmp(import_member(row, "from"), today) >= 0)
			continue; /* of an import earlier today */
		if (import_in_force(row, today) && json_object_set_new(row, "to", json_string(today)) < 0)
			break;
		(void)json_array_append(merged, row);
	}
	for (size_t i = 0; i < json_array_size(fresh_rows); i++) {
		row = json_deep_copy(json_array_get(fresh_rows, i));
		/* What has no date of its own holds from now on: the past was priced as it was. */
		if (row && !*import_member(row, "from"))
			(void)json_object_set_new(row, "from", json_string(today));
		(void)json_array_append_new(merged, row);
	}
	(void)json_object_del(have, "stale");
	return json_object_set_new(have, "prices", merged) == 0 ? BUR_OK : BUR_NOMEM;
}

static int keep_model(json_t *models, const json_t *fresh, const char *today)
{
	json_t *have = find_model(models, import_member(fresh, "id"), "import");

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
		if (strcmp(import_member(m, "origin"), "import") == 0 &&
		    !find_model(fresh_models, import_member(m, "id"), "import"))
			(void)json_object_set_new(m, "stale", json_true());
	}
}

int import_keep(json_t *local, const json_t *fresh, const char *today)
{
	json_t *p, *m;
	size_t i, k;

	json_array_foreach(json_object_get(fresh, "providers"), i, p)
	{
		json_t *to = import_provider(local, import_member(p, "id")), *models = json_object_get(to, "models");

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
	json_t *p = import_provider(local, provider), *models = json_object_get(p, "models"), *have;
	size_t i;

	if (!p || json_object_set_new(model, "origin", json_string("operator")) < 0) {
		json_decref(model);
		return BUR_NOMEM;
	}
	json_array_foreach(models, i, have)
	{
		if (strcmp(import_member(have, "id"), import_member(model, "id")) == 0 &&
		    strcmp(import_member(have, "origin"), "operator") == 0)
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
	const char *service = import_member(row, "service");
	int64_t was = 0, is = 0;
	char change[32] = "";
	bool had = read_rate(old_rate, &was), has = read_rate(new_rate, &is);

	if (had && has && was == is)
		return 0;
	if (had && has && change_of(was, is, change) && ((__int128)is * 2 < was || (__int128)was * 3 < is))
		d->wild++;
	return json_array_append_new(d->out, json_pack("{s:s,s:s,s:s,s:s,s:I,s:s,s:s,s:s}", "provider", provider,
						       "model", import_member(model, "id"), "unit", unit, "service",
						       *service ? service : "standard", "over", import_over(row), "old",
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
	json_t *before = import_lookup(d->before_index, provider, import_member(model, "id")), *rows, *row;
	size_t i;
	int rc = 0;

	rows = json_object_get(model, "prices");
	json_array_foreach(rows, i, row)
	{
		/* Only what is in force: one row for each threshold. */
		if (rc == 0 && import_row_on(rows, row, import_over(row), d->day) == row)
			rc = diff_row(d, provider, model, row,
				      import_row_on(json_object_get(before, "prices"), row, import_over(row), d->day));
	}
	return rc;
}

json_t *import_diff(const json_t *before, const json_t *after, const char *day, size_t *ret_wild)
{
	struct differ d = {.out = json_array(), .before_index = import_index((json_t *)before), .day = day};
	json_t *p, *m;
	size_t i, k;
	int rc = d.out && d.before_index ? 0 : -1;

	json_array_foreach(json_object_get(after, "providers"), i, p)
	{
		json_array_foreach(json_object_get(p, "models"), k, m)
		{
			if (rc == 0)
				rc = diff_model(&d, import_member(p, "id"), m);
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

/* --- what an import need not keep
 * -------------------------------------------------------------------------------------- */

static bool same_rates(const json_t *row, json_t *fresh)
{
	const char *unit;
	json_t *v;

	json_object_foreach(json_object_get(fresh, "rates"), unit, v)
	{
		int64_t a, b;

		if (!read_rate(v, &a) || !read_rate(json_object_get(json_object_get(row, "rates"), unit), &b) || a != b)
			return false;
	}
	return true;
}

static bool has_window_row(json_t *rows, json_t *fresh)
{
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		if (json_equal(json_object_get(row, "tod"), json_object_get(fresh, "tod")) &&
		    import_same_terms(row, fresh) && import_over(row) == import_over(fresh) && same_rates(row, fresh))
			return true;
	}
	return false;
}

/* From today on, the book says the same. */
static bool says_the_same(json_t *rows, json_t *fresh_rows, const char *today)
{
	json_t *fresh;
	size_t i;

	json_array_foreach(fresh_rows, i, fresh)
	{
		const char *from = import_member(fresh, "from"), *to = import_member(fresh, "to");
		json_t *row;

		if (*to && strcmp(to, today) <= 0)
			continue;
		if (json_is_array(json_object_get(fresh, "tod"))) {
			if (!has_window_row(rows, fresh))
				return false;
			continue;
		}
		row = import_row_on(rows, fresh, import_over(fresh), strcmp(from, today) > 0 ? from : today);
		if (!row || import_over(row) != import_over(fresh) || !same_rates(row, fresh))
			return false;
	}
	return true;
}

int import_drop_same(const json_t *book, const json_t *local, json_t *fresh, const char *today)
{
	json_t *index = import_index((json_t *)book), *p;
	size_t i;

	if (!index)
		return BUR_NOMEM;
	json_array_foreach(json_object_get(fresh, "providers"), i, p)
	{
		json_t *models = json_object_get(p, "models");
		json_t *mine = json_object_get(
		    import_find_id(json_object_get(local, "providers"), import_member(p, "id")), "models");

		for (size_t k = json_array_size(models); k-- > 0;) {
			json_t *m = json_array_get(models, k),
			       *target = import_lookup(index, import_member(p, "id"), import_member(m, "id"));

			if (target && !find_model(mine, import_member(m, "id"), "import") &&
			    says_the_same(json_object_get(target, "prices"), json_object_get(m, "prices"), today))
				(void)json_array_remove(models, k);
		}
	}
	json_decref(index);
	return BUR_OK;
}

/* --- what an import must not lose --------------------------------------------------------------------------------- */

/* Prices by the time of day, where the list knows none: the book is the better one. */
static bool loses_windows(json_t *target, json_t *model)
{
	return target && import_has_windows(json_object_get(target, "prices")) &&
	       !import_has_windows(json_object_get(model, "prices"));
}

int import_keep_windows(const json_t *book, json_t *fresh, json_t *notes)
{
	json_t *index = import_index((json_t *)book), *p;
	char text[400];
	size_t i;

	if (!index)
		return BUR_NOMEM;
	json_array_foreach(json_object_get(fresh, "providers"), i, p)
	{
		json_t *models = json_object_get(p, "models");

		for (size_t k = json_array_size(models); k-- > 0;) {
			json_t *m = json_array_get(models, k);

			if (!loses_windows(import_lookup(index, import_member(p, "id"), import_member(m, "id")), m))
				continue;
			(void)snprintf(
			    text, sizeof(text),
			    "%.64s/%.191s: left out: the book has prices by the time of day, the list has not",
			    import_member(p, "id"), import_member(m, "id"));
			(void)json_array_append_new(notes, json_string(text));
			(void)json_array_remove(models, k);
		}
	}
	json_decref(index);
	return BUR_OK;
}
