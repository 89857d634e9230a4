/* Loading a price book: strict, since an unread key would make something cheaper than it is. */
#include <jansson.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/calendar.h"
#include "base/error.h"
#include "price/price_impl.h"

#define BOOK_BYTES_MAX (16u << 20)
#define NAMES_MAX 65536
#define ROWS_MAX 256
#define RATE_MAX_PUSD INT64_C(10000000000000000) /* 10 000 USD */
#define MULTIPLIER_MAX (100 * MULTIPLIER_ONE)

/* Where we are, for messages. */
struct loader {
	struct price_book *book;
	const char *provider, *model;
	char *err;
	size_t err_size;
};

static int PRINTF_LIKE(2, 3) complain(const struct loader *l, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (l->err_size > 0)
		(void)snprintf(l->err, l->err_size, "%s%s%s%s%s", l->provider ? l->provider : "", l->model ? "/" : "",
			       l->model ? l->model : "", l->provider ? ": " : "", text);
	return BUR_INVALID;
}

static char *copy_text(const char *s)
{
	return strdup(s);
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
	*ret_s = days_from_civil((int64_t)y, (int)m, (int)d) * 86400;
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

static int load_count(const struct loader *l, json_t *obj, const char *key, uint64_t *ret)
{
	json_t *v = json_object_get(obj, key);

	*ret = 0;
	if (!v || json_is_null(v))
		return BUR_OK;
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return complain(l, "\"%s\" must be a whole number", key);
	*ret = (uint64_t)json_integer_value(v);
	return BUR_OK;
}

static int load_multiplier(const struct loader *l, json_t *v, int64_t *ret)
{
	if (!json_is_string(v) || decimal_parse(slice_of(json_string_value(v)), 6, false, ret) < 0 || *ret <= 0 ||
	    *ret > MULTIPLIER_MAX)
		return complain(l, "a multiplier must be a decimal string over 0 with at most 6 decimals");
	return BUR_OK;
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

static const char *const unit_keys[PRICE_UNIT_COUNT] = {
#define X(uc, key, per, parent, parent2) [PRICE_##uc] = key,
    PRICE_UNITS(X)
#undef X
};
static const char *const service_names[SERVICE_COUNT] = {"standard", "flex", "priority", "batch"};

static int load_rates(const struct loader *l, json_t *rates, struct price_row *row)
{
	const char *key;
	json_t *v;
	int i;

	for (i = 0; i < PRICE_UNIT_COUNT; i++)
		row->rate_pusd[i] = RATE_NONE;
	if (!json_is_object(rates) || json_object_size(rates) == 0)
		return complain(l, "\"rates\" must name at least one price");
	json_object_foreach(rates, key, v)
	{
		for (i = 0; i < PRICE_UNIT_COUNT && strcmp(unit_keys[i], key) != 0; i++)
			;
		if (i == PRICE_UNIT_COUNT)
			return complain(l, "unknown unit \"%s\"", key);
		if (!json_is_string(v) ||
		    decimal_parse(slice_of(json_string_value(v)), 12, true, &row->rate_pusd[i]) < 0 ||
		    row->rate_pusd[i] < 0 || row->rate_pusd[i] > RATE_MAX_PUSD)
			return complain(l, "the price of \"%s\" must be a decimal string from 0 to 10000", key);
	}
	return BUR_OK;
}

static int load_bounds(const struct loader *l, json_t *obj, struct price_row *row)
{
	json_t *from = json_object_get(obj, "from"), *to = json_object_get(obj, "to");

	row->from_s = INT64_MIN;
	row->to_s = INT64_MAX;
	if (from && !json_is_null(from) && !(json_is_string(from) && parse_date(json_string_value(from), &row->from_s)))
		return complain(l, "\"from\" must be a date, YYYY-MM-DD");
	if (to && !json_is_null(to) && !(json_is_string(to) && parse_date(json_string_value(to), &row->to_s)))
		return complain(l, "\"to\" must be a date, YYYY-MM-DD");
	return row->from_s < row->to_s ? BUR_OK : complain(l, "\"to\" must be later than \"from\"");
}

static int load_window(const struct loader *l, json_t *obj, struct price_row *row)
{
	json_t *tod = json_object_get(obj, "tod");

	row->tod_begin = row->tod_end = -1;
	if (!tod || json_is_null(tod))
		return BUR_OK;
	if (!json_is_array(tod) || json_array_size(tod) != 2 || !json_is_string(json_array_get(tod, 0)) ||
	    !json_is_string(json_array_get(tod, 1)) ||
	    !parse_time(json_string_value(json_array_get(tod, 0)), &row->tod_begin) ||
	    !parse_time(json_string_value(json_array_get(tod, 1)), &row->tod_end))
		return complain(l, "\"tod\" must be two times, [\"HH:MM\",\"HH:MM\"]");
	return BUR_OK;
}

static int load_service(const struct loader *l, json_t *obj, struct price_row *row)
{
	json_t *v = json_object_get(obj, "service");
	size_t i;

	row->service = SERVICE_STANDARD;
	if (!v || json_is_null(v))
		return BUR_OK;
	for (i = 0; i < SERVICE_COUNT; i++)
		if (json_is_string(v) && strcmp(json_string_value(v), service_names[i]) == 0) {
			row->service = (uint8_t)i;
			return BUR_OK;
		}
	return complain(l, "\"service\" must be standard, flex, priority or batch");
}

static int load_row(const struct loader *l, json_t *obj, struct price_row *row)
{
	int r;

	if (!json_is_object(obj))
		return complain(l, "a price must be an object");
	r = load_bounds(l, obj, row);
	if (r == BUR_OK)
		r = load_window(l, obj, row);
	if (r == BUR_OK)
		r = load_service(l, obj, row);
	if (r == BUR_OK)
		r = load_count(l, obj, "over", &row->over);
	if (r == BUR_OK)
		r = load_rates(l, json_object_get(obj, "rates"), row);
	return r;
}

/* A multiple, rounded up at the twelfth decimal. */
static int64_t scaled_up(int64_t rate, int64_t ppm)
{
	__int128 v = (__int128)rate * ppm + MULTIPLIER_ONE - 1;

	return (int64_t)(v / MULTIPLIER_ONE);
}

static bool has_service(const struct price_model *m, size_t n, uint8_t service)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (m->rows[i].service == service)
			return true;
	return false;
}

/* Service multipliers become rows, so that a call only ever looks rows up. Rows of the book itself win. */
static void expand_services(struct price_model *m, const int64_t ppm[SERVICE_COUNT], size_t n)
{
	uint8_t s;
	size_t i;
	int u;

	for (s = SERVICE_STANDARD + 1; s < SERVICE_COUNT; s++) {
		if (ppm[s] == 0 || has_service(m, n, s))
			continue;
		for (i = 0; i < n; i++) {
			struct price_row *row = &m->rows[m->n_rows];

			if (m->rows[i].service != SERVICE_STANDARD)
				continue;
			*row = m->rows[i];
			row->service = s;
			for (u = 0; u < PRICE_FIRST_FEE; u++)
				if (row->rate_pusd[u] != RATE_NONE)
					row->rate_pusd[u] = scaled_up(row->rate_pusd[u], ppm[s]);
			m->n_rows++;
		}
	}
}

static int better_first(const void *a, const void *b)
{
	const struct price_row *x = a, *y = b;

	if ((x->tod_begin >= 0) != (y->tod_begin >= 0))
		return x->tod_begin >= 0 ? -1 : 1;
	if (x->from_s != y->from_s)
		return x->from_s > y->from_s ? -1 : 1;
	if (x->over != y->over)
		return x->over > y->over ? -1 : 1;
	return x->place > y->place ? -1 : 1; /* the later in the book */
}

static void sort_rows(struct price_model *m)
{
	for (size_t i = 0; i < m->n_rows; i++)
		m->rows[i].place = (uint32_t)i;
	qsort(m->rows, m->n_rows, sizeof(*m->rows), better_first);
}

static int load_rows(const struct loader *l, json_t *prices, const int64_t ppm[SERVICE_COUNT], struct price_model *m)
{
	size_t n = json_array_size(prices), i;
	int r = BUR_OK;

	if (!json_is_array(prices) || n == 0 || n > ROWS_MAX)
		return complain(l, "\"prices\" must be a list of 1 to %d prices", ROWS_MAX);
	m->rows = calloc(n * SERVICE_COUNT, sizeof(*m->rows));
	if (!m->rows)
		return BUR_NOMEM;
	for (i = 0; i < n && r == BUR_OK; i++)
		r = load_row(l, json_array_get(prices, i), &m->rows[i]);
	m->n_rows = n;
	if (r == BUR_OK)
		expand_services(m, ppm, n);
	if (r == BUR_OK)
		sort_rows(m);
	return r;
}

/* --- multipliers -------------------------------------------------------------------------------------------------- */

struct multipliers {
	int64_t service_ppm[SERVICE_COUNT]; /* 0 = none */
	int64_t fast_ppm, us_ppm;
};

static int64_t *multiplier_slot(struct multipliers *m, const char *key)
{
	size_t i;

	for (i = SERVICE_STANDARD + 1; i < SERVICE_COUNT; i++)
		if (strcmp(service_names[i], key) == 0)
			return &m->service_ppm[i];
	if (strcmp(key, "speed:fast") == 0)
		return &m->fast_ppm;
	return strcmp(key, "geo:us") == 0 ? &m->us_ppm : NULL;
}

/* Overrides in *m what `obj` names. */
static int load_multipliers(const struct loader *l, json_t *obj, struct multipliers *m)
{
	const char *key;
	json_t *v;
	int r;

	if (!obj || json_is_null(obj))
		return BUR_OK;
	if (!json_is_object(obj))
		return complain(l, "\"multipliers\" must be an object");
	json_object_foreach(obj, key, v)
	{
		int64_t *slot = multiplier_slot(m, key);

		if (!slot)
			return complain(l, "unknown multiplier \"%s\"", key);
		r = load_multiplier(l, v, slot);
		if (r < 0)
			return r;
	}
	return BUR_OK;
}

/* --- names -------------------------------------------------------------------------------------------------------- */

static int put_name(const struct loader *l, struct map *names, const char *name, struct price_model *m)
{
	char key[MODEL_NAME_MAX + 128];
	int n = snprintf(key, sizeof(key), "%s/%s", l->provider, name), r;

	if (n < 0 || (size_t)n >= sizeof(key))
		return complain(l, "the name \"%.40s…\" is too long", name);
	r = map_put(names, slice_mem(key, (size_t)n), m);
	if (r == BUR_ALREADY && map_get(names, slice_mem(key, (size_t)n)) == m)
		return BUR_OK;
	return r == BUR_ALREADY ? complain(l, "the name \"%s\" already belongs to another model", name) : r;
}

static bool is_lower(const char *s)
{
	for (; *s; s++)
		if (*s >= 'A' && *s <= 'Z')
			return false;
	return true;
}

static int add_rule(struct price_provider *p, enum price_op op, const char *text, const char *without,
		    struct price_model *m)
{
	struct price_rule *rules = realloc(p->rules, (p->n_rules + 1) * sizeof(*rules)), *rule;

	if (!rules)
		return BUR_NOMEM;
	p->rules = rules;
	rule = &rules[p->n_rules];
	*rule = (struct price_rule){op, copy_text(text), without ? copy_text(without) : NULL, strlen(text), m};
	p->n_rules++; /* freed with the book, complete or not */
	return rule->text && (!without || rule->without) ? BUR_OK : BUR_NOMEM;
}

static int load_match(struct loader *l, struct price_provider *p, json_t *rule, struct price_model *m)
{
	json_t *op_v = json_array_get(rule, 0), *text_v = json_array_get(rule, 1), *without_v = json_array_get(rule, 2);
	const char *op = json_string_value(op_v), *text = json_string_value(text_v);
	const char *without = json_string_value(without_v);

	if (!op || !text || !*text || !is_lower(text) || (without_v && !without))
		return complain(l, "a match must be [operation, lower-case text] or [operation, text, excluded text]");
	if (strcmp(op, "eq") == 0)
		return put_name(l, l->book->exact, text, m);
	if (strcmp(op, "dated") == 0)
		return put_name(l, l->book->dated, text, m);
	if (strcmp(op, "starts_with") == 0)
		return add_rule(p, OP_STARTS_WITH, text, without, m);
	if (strcmp(op, "ends_with") == 0)
		return add_rule(p, OP_ENDS_WITH, text, without, m);
	if (strcmp(op, "contains") == 0)
		return add_rule(p, OP_CONTAINS, text, without, m);
	return complain(l, "unknown match operation \"%s\"", op);
}

static int load_matches(struct loader *l, struct price_provider *p, json_t *match, struct price_model *m)
{
	size_t i;
	int r = BUR_OK;

	if (match && !json_is_array(match))
		return complain(l, "\"match\" must be a list");
	for (i = 0; i < json_array_size(match) && r == BUR_OK; i++)
		r = load_match(l, p, json_array_get(match, i), m);
	return r;
}

/* Longest first within one operation, so that the more precise rule wins. */
static int compare_rules(const void *a, const void *b)
{
	const struct price_rule *x = a, *y = b;

	if (x->op != y->op)
		return x->op < y->op ? -1 : 1;
	if (x->text_n != y->text_n)
		return x->text_n > y->text_n ? -1 : 1;
	return strcmp(x->text, y->text);
}

/* --- models and providers ----------------------------------------------------------------------------------------- */

static int load_model(struct loader *l, struct price_provider *p, json_t *obj, const struct multipliers *inherited,
		      struct price_model *m)
{
	struct multipliers mul = *inherited;
	const char *id = json_string_value(json_object_get(obj, "id"));
	int r;

	if (!id || !*id || !is_lower(id))
		return complain(l, "a model needs an \"id\" in lower case");
	l->model = id;
	m->id = copy_text(id);
	if (!m->id)
		return BUR_NOMEM;
	m->hides_reasoning = json_is_true(json_object_get(obj, "hides_reasoning"));
	r = load_count(l, obj, "ctx", &m->context);
	if (r == BUR_OK)
		r = load_count(l, obj, "max_out", &m->max_out);
	if (r == BUR_OK)
		r = load_count(l, obj, "image_max", &m->image_max);
	if (r == BUR_OK)
		r = load_multipliers(l, json_object_get(obj, "multipliers"), &mul);
	m->fast_ppm = mul.fast_ppm;
	m->us_ppm = mul.us_ppm;
	if (r == BUR_OK)
		r = load_rows(l, json_object_get(obj, "prices"), mul.service_ppm, m);
	if (r == BUR_OK)
		r = load_matches(l, p, json_object_get(obj, "match"), m);
	l->model = NULL;
	return r;
}

static int load_provider(struct loader *l, json_t *obj, struct price_provider *p)
{
	struct multipliers mul = {{0}, MULTIPLIER_ONE, MULTIPLIER_ONE};
	json_t *models = json_object_get(obj, "models");
	const char *id = json_string_value(json_object_get(obj, "id"));
	size_t n = json_array_size(models), i;
	int r;

	l->provider = NULL;
	if (!id || !*id || strlen(id) > 64 || !json_is_array(models) || n > NAMES_MAX)
		return complain(l, "a provider needs an \"id\" and a list of \"models\"");
	l->provider = id;
	p->id = copy_text(id);
	p->models = calloc(n > 0 ? n : 1, sizeof(*p->models));
	if (!p->id || !p->models)
		return BUR_NOMEM;
	r = load_multipliers(l, json_object_get(obj, "multipliers"), &mul);
	for (i = 0; i < n && r == BUR_OK; i++) {
		p->n_models = i + 1;
		r = load_model(l, p, json_array_get(models, i), &mul, &p->models[i]);
	}
	if (r == BUR_OK && p->n_rules > 0)
		qsort(p->rules, p->n_rules, sizeof(*p->rules), compare_rules);
	return r;
}

static int load_book(struct loader *l, json_t *root)
{
	json_t *providers = json_object_get(root, "providers");
	const char *format = json_string_value(json_object_get(root, "format"));
	const char *currency = json_string_value(json_object_get(root, "currency"));
	size_t n = json_array_size(providers), i;
	uint64_t version;
	int r;

	if (!format || strcmp(format, "bursar-prices/1") != 0)
		return complain(l, "\"format\" must be \"bursar-prices/1\"");
	if (!currency || strcmp(currency, "USD") != 0)
		return complain(l, "\"currency\" must be \"USD\"");
	r = load_count(l, root, "version", &version);
	if (r < 0)
		return r;
	if (version == 0 || version > UINT32_MAX)
		return complain(l, "\"version\" must be a number from 1");
	if (!json_is_array(providers) || n > 256)
		return complain(l, "\"providers\" must be a list");
	l->book->version = (uint32_t)version;
	l->book->providers = calloc(n > 0 ? n : 1, sizeof(*l->book->providers));
	if (!l->book->providers)
		return BUR_NOMEM;
	for (i = 0; i < n && r == BUR_OK; i++) {
		l->book->n_providers = i + 1;
		r = load_provider(l, json_array_get(providers, i), &l->book->providers[i]);
	}
	return r;
}

static void free_provider(struct price_provider *p)
{
	size_t i;

	for (i = 0; i < p->n_rules; i++) {
		free(p->rules[i].text);
		free(p->rules[i].without);
	}
	for (i = 0; i < p->n_models; i++) {
		free(p->models[i].id);
		free(p->models[i].rows);
	}
	free(p->rules);
	free(p->models);
	free(p->id);
}

static void free_book(struct price_book *b)
{
	size_t i;

	for (i = 0; i < b->n_providers; i++)
		free_provider(&b->providers[i]);
	free(b->providers);
	map_free(b->exact, NULL);
	map_free(b->dated, NULL);
	free(b);
}

int price_book_parse(struct slice json, struct price_book **ret, char *reterr, size_t reterr_size)
{
	struct loader l = {NULL, NULL, NULL, reterr, reterr_size};
	json_error_t error;
	json_t *root = NULL;
	int r = BUR_NOMEM;

	if (json.n > BOOK_BYTES_MAX)
		return complain(&l, "a price book may have at most %u bytes", BOOK_BYTES_MAX);
	l.book = calloc(1, sizeof(*l.book));
	if (!l.book)
		return BUR_NOMEM;
	atomic_init(&l.book->refs, 1);
	l.book->hash = stable_hash64(json.p, json.n);
	l.book->exact = map_new(NAMES_MAX);
	l.book->dated = map_new(NAMES_MAX);
	if (!l.book->exact || !l.book->dated)
		goto out;
	root = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, &error);
	if (!root) {
		r = complain(&l, "line %d: %s", error.line, error.text);
		goto out;
	}
	r = load_book(&l, root);
	if (r < 0)
		goto out;
	*ret = l.book;
	l.book = NULL; /* ownership went to the caller */
out:
	json_decref(root); /* NULL is fine */
	if (l.book)
		free_book(l.book);
	return r;
}

struct price_book *price_book_ref(struct price_book *b)
{
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

void price_book_unref(struct price_book *b)
{
	if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
		free_book(b);
}

uint32_t price_book_version(const struct price_book *b)
{
	return b->version;
}

uint64_t price_book_hash(const struct price_book *b)
{
	return b->hash;
}

size_t price_book_models(const struct price_book *b)
{
	size_t n = 0, i;

	for (i = 0; i < b->n_providers; i++)
		n += b->providers[i].n_models;
	return n;
}
