/* Loading the prices of a model. */
#include <jansson.h>
#include <stdlib.h>

#include "base/calendar.h"
#include "base/error.h"
#include "price/price_impl.h"

#define ROWS_MAX 64
#define RATE_MAX_PUSD INT64_C(10000000000000000) /* 10 000 USD */
#define MULTIPLIER_MAX (100 * MULTIPLIER_ONE)

static const char *const unit_keys[PRICE_UNIT_COUNT] = {
#define X(uc, key, per, parent, parent2) [PRICE_##uc] = key,
    PRICE_UNITS(X)
#undef X
};
static const char *const service_names[SERVICE_COUNT] = {"standard", "flex", "priority", "batch"};
static const char *const region_names[REGION_COUNT] = {"any", "us", "residency"};

/* Index in the list, or `n`. */
static size_t index_of(const char *const *list, size_t n, const char *text)
{
	size_t i;

	for (i = 0; text && i < n && strcmp(list[i], text) != 0; i++)
		;
	return text ? i : n;
}

/* --- scalars ------------------------------------------------------------------------------------------------------ */

/* "2026-08-21": midnight UTC. */
static bool parse_date(const char *s, int64_t *ret_s)
{
	struct slice text = slice_of(s);
	uint64_t y, m, d;

	if (text.n != 10 || s[4] != '-' || s[7] != '-' || slice_u64(slice_sub(text, 0, 4), &y) < 0 ||
	    slice_u64(slice_sub(text, 5, 2), &m) < 0 || slice_u64(slice_sub(text, 8, 2), &d) < 0)
		return false;
	if (y < 1970 || m < 1 || m > 12 || d < 1 || d > 31)
		return false;
	*ret_s = days_from_civil((int64_t)y, (int)m, (int)d) * SECONDS_PER_DAY;
	return true;
}

/* "HH:MM" */
static bool parse_time(const char *s, int32_t *ret_s)
{
	struct slice text = slice_of(s);
	uint64_t h, m;

	if (text.n != 5 || s[2] != ':' || slice_u64(slice_sub(text, 0, 2), &h) < 0 ||
	    slice_u64(slice_sub(text, 3, 2), &m) < 0 || h > 23 || m > 59)
		return false;
	*ret_s = (int32_t)(h * 3600 + m * 60);
	return true;
}

/* --- multipliers -------------------------------------------------------------------------------------------------- */

static int64_t *multiplier_slot(struct price_multipliers *m, const char *key)
{
	size_t service = index_of(service_names, SERVICE_COUNT, key);

	if (service > SERVICE_STANDARD && service < SERVICE_COUNT)
		return &m->service_ppm[service];
	if (strcmp(key, "speed:fast") == 0)
		return &m->fast_ppm;
	if (strcmp(key, "geo:us") == 0)
		return &m->region_ppm[REGION_US];
	return strcmp(key, "residency") == 0 ? &m->region_ppm[REGION_RESIDENCY] : NULL;
}

int price_load_multipliers(const struct price_loader *l, json_t *obj, struct price_multipliers *m)
{
	const char *key;
	json_t *v;

	if (!obj || json_is_null(obj))
		return BUR_OK;
	if (!json_is_object(obj))
		return price_complain(l, "\"multipliers\" must be an object");
	json_object_foreach(obj, key, v)
	{
		int64_t *slot = multiplier_slot(m, key), ppm;

		if (!slot)
			return price_complain(l, "unknown multiplier \"%s\"", key);
		if (!json_is_string(v) || decimal_parse(slice_of(json_string_value(v)), 6, false, &ppm) < 0 ||
		    ppm <= 0 || ppm > MULTIPLIER_MAX)
			return price_complain(l,
					      "a multiplier must be a decimal string over 0 with at most 6 decimals");
		*slot = ppm;
	}
	return BUR_OK;
}

/* --- a row -------------------------------------------------------------------------------------------------------- */

/* What is cached and audio costs the dearer of the two where the book has no price for both. */
static void fill_joins(struct price_row *row)
{
	static const uint8_t joins[][3] = {
#define X(uc, key, per, parent, parent2) {PRICE_##uc, PRICE_##parent, PRICE_##parent2},
	    PRICE_UNITS(X)
#undef X
	};

	for (size_t i = 0; i < ARRAY_LEN(joins); i++) {
		int64_t a, b;

		if (joins[i][2] == PRICE_NONE || row->rate_pusd[joins[i][0]] != RATE_NONE)
			continue;
		a = row->rate_pusd[joins[i][1]];
		b = row->rate_pusd[joins[i][2]];
		if (a != RATE_NONE && b != RATE_NONE)
			row->rate_pusd[joins[i][0]] = a > b ? a : b;
	}
}

static int load_rates(const struct price_loader *l, json_t *rates, struct price_row *row)
{
	const char *key;
	json_t *v;

	for (size_t i = 0; i < PRICE_UNIT_COUNT; i++)
		row->rate_pusd[i] = RATE_NONE;
	if (!json_is_object(rates) || json_object_size(rates) == 0)
		return price_complain(l, "\"rates\" must name at least one price");
	json_object_foreach(rates, key, v)
	{
		size_t u = index_of(unit_keys, PRICE_UNIT_COUNT, key);

		if (u == PRICE_UNIT_COUNT)
			return price_complain(l, "unknown unit \"%s\"", key);
		if (!json_is_string(v) ||
		    decimal_parse(slice_of(json_string_value(v)), 12, true, &row->rate_pusd[u]) < 0 ||
		    row->rate_pusd[u] < 0 || row->rate_pusd[u] > RATE_MAX_PUSD)
			return price_complain(l, "the price of \"%s\" must be a decimal string from 0 to 10000", key);
	}
	fill_joins(row);
	return BUR_OK;
}

static int load_dates(const struct price_loader *l, json_t *obj, struct price_row *row)
{
	json_t *from = json_object_get(obj, "from"), *to = json_object_get(obj, "to");

	row->from_s = INT64_MIN;
	row->to_s = INT64_MAX;
	if (from && !json_is_null(from) && !(json_is_string(from) && parse_date(json_string_value(from), &row->from_s)))
		return price_complain(l, "\"from\" must be a date, YYYY-MM-DD");
	if (to && !json_is_null(to) && !(json_is_string(to) && parse_date(json_string_value(to), &row->to_s)))
		return price_complain(l, "\"to\" must be a date, YYYY-MM-DD");
	return row->from_s < row->to_s ? BUR_OK : price_complain(l, "\"to\" must be later than \"from\"");
}

static int load_window(const struct price_loader *l, json_t *obj, struct price_row *row)
{
	json_t *tod = json_object_get(obj, "tod");

	row->tod_begin = row->tod_end = -1;
	if (!tod || json_is_null(tod))
		return BUR_OK;
	if (!json_is_array(tod) || json_array_size(tod) != 2 || !json_is_string(json_array_get(tod, 0)) ||
	    !json_is_string(json_array_get(tod, 1)) ||
	    !parse_time(json_string_value(json_array_get(tod, 0)), &row->tod_begin) ||
	    !parse_time(json_string_value(json_array_get(tod, 1)), &row->tod_end))
		return price_complain(l, "\"tod\" must be two times, [\"HH:MM\",\"HH:MM\"]");
	return BUR_OK;
}

static int load_word(const struct price_loader *l, json_t *obj, const char *key, const char *const *words, size_t n,
		     uint8_t *ret)
{
	json_t *v = json_object_get(obj, key);
	size_t i = v && !json_is_null(v) ? index_of(words, n, json_string_value(v)) : 0;

	*ret = (uint8_t)i;
	return i < n ? BUR_OK
		     : price_complain(l, "\"%s\" must be one of %s, %s, %s%s%s", key, words[0], words[1], words[2],
				      n > 3 ? ", " : "", n > 3 ? words[3] : "");
}

static int load_row(const struct price_loader *l, json_t *obj, struct price_row *row)
{
	static const char *const keys[] = {"from", "to", "tod", "service", "region", "over", "rates", NULL};
	int r;

	if (!json_is_object(obj))
		return price_complain(l, "a price must be an object");
	r = price_only_keys(l, obj, keys);
	if (r == BUR_OK)
		r = load_dates(l, obj, row);
	if (r == BUR_OK)
		r = load_window(l, obj, row);
	if (r == BUR_OK)
		r = load_word(l, obj, "service", service_names, SERVICE_COUNT, &row->service);
	if (r == BUR_OK)
		r = load_word(l, obj, "region", region_names, REGION_COUNT, &row->region);
	if (r == BUR_OK)
		r = price_load_count(l, obj, "over", &row->over);
	if (r == BUR_OK)
		r = load_rates(l, json_object_get(obj, "rates"), row);
	return r;
}

/* --- all rows of a model ------------------------------------------------------------------------------------------ */

/* A multiple, rounded up at the twelfth decimal. */
static int64_t scaled_up(int64_t rate, int64_t ppm)
{
	__int128 v = (__int128)rate * ppm + MULTIPLIER_ONE - 1;

	return (int64_t)(v / MULTIPLIER_ONE);
}

static bool has_service(const struct price_model *m, size_t n, uint8_t service)
{
	for (size_t i = 0; i < n; i++)
		if (m->rows[i].service == service)
			return true;
	return false;
}

/* Service multipliers become rows, so that a call only ever looks rows up. Rows of the book itself win. */
static void expand_services(struct price_model *m, const int64_t ppm[SERVICE_COUNT], size_t n)
{
	for (uint8_t s = SERVICE_STANDARD + 1; s < SERVICE_COUNT; s++) {
		if (ppm[s] == 0 || has_service(m, n, s))
			continue;
		for (size_t i = 0; i < n; i++) {
			struct price_row *row = &m->rows[m->n_rows];

			if (m->rows[i].service != SERVICE_STANDARD)
				continue;
			*row = m->rows[i];
			row->service = s;
			for (int u = 0; u < PRICE_FIRST_FEE; u++)
				if (row->rate_pusd[u] != RATE_NONE)
					row->rate_pusd[u] = scaled_up(row->rate_pusd[u], ppm[s]);
			m->n_rows++;
		}
	}
}

static int better_first(const void *a, const void *b)
{
	const struct price_row *x = a, *y = b;

	if ((x->region != REGION_ANY) != (y->region != REGION_ANY))
		return x->region != REGION_ANY ? -1 : 1;
	if ((x->tod_begin >= 0) != (y->tod_begin >= 0))
		return x->tod_begin >= 0 ? -1 : 1;
	if (x->from_s != y->from_s)
		return x->from_s > y->from_s ? -1 : 1;
	if (x->over != y->over)
		return x->over > y->over ? -1 : 1;
	return (x->place < y->place) - (x->place > y->place); /* the later in the book */
}

int price_load_rows(const struct price_loader *l, json_t *prices, const struct price_multipliers *mul,
		    struct price_model *m)
{
	size_t n = json_array_size(prices);
	int r = BUR_OK;

	if (!json_is_array(prices) || n == 0 || n > ROWS_MAX)
		return price_complain(l, "\"prices\" must be a list of 1 to %d prices", ROWS_MAX);
	m->rows = calloc(n * SERVICE_COUNT, sizeof(*m->rows));
	if (!m->rows)
		return BUR_NOMEM;
	for (size_t i = 0; i < n && r == BUR_OK; i++)
		r = load_row(l, json_array_get(prices, i), &m->rows[i]);
	if (r < 0)
		return r;
	m->n_rows = n;
	expand_services(m, mul->service_ppm, n);
	for (size_t i = 0; i < m->n_rows; i++)
		m->rows[i].place = (uint32_t)i;
	qsort(m->rows, m->n_rows, sizeof(*m->rows), better_first);
	m->fast_ppm = mul->fast_ppm;
	memcpy(m->region_ppm, mul->region_ppm, sizeof(m->region_ppm));
	return BUR_OK;
}
