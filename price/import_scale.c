/* Discounts and markups on what a book says. */
#include <string.h>

#include "base/amount.h"
#include "base/error.h"
#include "price/import.h"
#include "price/import_impl.h"

/* `*` stands for any text, also none. Linear: the last star only is gone back to. */
static bool glob_matches(const char *pattern, const char *text)
{
	const char *star = NULL, *from = NULL;

	while (*text) {
		if (*pattern == '*') {
			star = pattern++;
			from = text;
		} else if (*pattern == *text) {
			pattern++;
			text++;
		} else if (star) {
			pattern = star + 1;
			text = ++from;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

static int scale_rates(json_t *rates, int64_t num, int64_t den)
{
	char text[RATE_TEXT_MAX];
	const char *unit;
	json_t *v;
	void *next;

	json_object_foreach_safe(rates, next, unit, v)
	{
		int64_t pusd;
		__int128 scaled;

		if (!json_is_string(v) || decimal_parse(slice_of(json_string_value(v)), 12, true, &pusd) < 0)
			return BUR_INVALID;
		scaled = ((__int128)pusd * num + den - 1) / den;
		if (scaled < 0 || scaled > INT64_MAX)
			return BUR_OVERFLOW;
		if (json_object_set_new(rates, unit, json_string(import_rate_text((int64_t)scaled, text))) < 0)
			return BUR_NOMEM;
	}
	return BUR_OK;
}

static int scale_model(json_t *model, int64_t num, int64_t den)
{
	json_t *row;
	size_t i;
	int r = BUR_OK;

	json_array_foreach(json_object_get(model, "prices"), i, row)
	{
		if (r == BUR_OK)
			r = scale_rates(json_object_get(row, "rates"), num, den);
	}
	return r;
}

static const struct import_factor *factor_of(const struct import_factor *list, size_t n, const char *provider,
					     const char *model)
{
	for (size_t i = 0; i < n; i++)
		if (glob_matches(list[i].provider, provider) && glob_matches(list[i].model, model))
			return &list[i];
	return NULL;
}

int import_scale(json_t *book, const struct import_factor *list, size_t n)
{
	json_t *p, *m;
	size_t i, k;
	int r = BUR_OK;

	json_array_foreach(json_object_get(book, "providers"), i, p)
	{
		json_array_foreach(json_object_get(p, "models"), k, m)
		{
			const struct import_factor *f =
			    factor_of(list, n, import_member(p, "id"), import_member(m, "id"));

			if (f && r == BUR_OK)
				r = scale_model(m, f->num, f->den);
		}
	}
	return r;
}
