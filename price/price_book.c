/* Loading a price book: strict, since an unread key would make something cheaper than it is. */
#include <jansson.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "price/price_impl.h"

#define BOOK_BYTES_MAX (16u << 20)
#define NAMES_MAX 65536
#define PROVIDERS_MAX 256
#define HOSTS_MAX 1024

int price_complain(const struct price_loader *l, const char *fmt, ...)
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

int price_only_keys(const struct price_loader *l, json_t *obj, const char *const *keys)
{
	const char *key;
	json_t *v;

	json_object_foreach(obj, key, v)
	{
		size_t i;

		for (i = 0; keys[i] && strcmp(keys[i], key) != 0; i++)
			;
		if (!keys[i])
			return price_complain(l, "unknown key \"%.64s\"", key);
	}
	return BUR_OK;
}

int price_load_count(const struct price_loader *l, json_t *obj, const char *key, uint64_t *ret)
{
	json_t *v = json_object_get(obj, key);

	*ret = 0;
	if (!v || json_is_null(v))
		return BUR_OK;
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return price_complain(l, "\"%s\" must be a whole number", key);
	*ret = (uint64_t)json_integer_value(v);
	return BUR_OK;
}

static bool is_name(const char *s)
{
	size_t n = 0;

	for (; s && s[n]; n++)
		if ((s[n] >= 'A' && s[n] <= 'Z') || n >= 128)
			return false;
	return n > 0;
}

/* --- models ------------------------------------------------------------------------------------------------------- */

/* true, false, or "if_asked": only when the request says something about reasoning. */
static int load_reasoning(struct price_loader *l, json_t *v, struct price_model *m)
{
	const char *word = json_string_value(v);

	m->reasons_if_asked = word && strcmp(word, "if_asked") == 0;
	m->hides_reasoning = json_is_true(v) || m->reasons_if_asked;
	if (v && !json_is_boolean(v) && !m->reasons_if_asked)
		return price_complain(l, "\"hides_reasoning\" is true, false or \"if_asked\"");
	return BUR_OK;
}

static int load_model(struct price_loader *l, struct price_provider *p, json_t *obj,
		      const struct price_multipliers *inherited, struct price_model *m)
{
	static const char *const keys[] = {
	    "id",          "ctx",   "max_out", "image_max", "min_audio_ms", "hides_reasoning",
	    "multipliers", "match", "prices",  NULL};
	struct price_multipliers mul = *inherited;
	const char *id = json_string_value(json_object_get(obj, "id"));
	int r;

	if (!id || !is_name(id))
		return price_complain(l, "a model needs an \"id\" in lower case");
	l->model = id;
	m->id = strdup(id);
	r = m->id ? price_only_keys(l, obj, keys) : BUR_NOMEM;
	if (r == BUR_OK)
		r = load_reasoning(l, json_object_get(obj, "hides_reasoning"), m);
	if (r == BUR_OK)
		r = price_load_count(l, obj, "ctx", &m->context);
	if (r == BUR_OK)
		r = price_load_count(l, obj, "max_out", &m->max_out);
	if (r == BUR_OK)
		r = price_load_count(l, obj, "image_max", &m->image_max);
	if (r == BUR_OK)
		r = price_load_count(l, obj, "min_audio_ms", &m->min_audio_ms);
	if (r == BUR_OK)
		r = price_load_multipliers(l, json_object_get(obj, "multipliers"), &mul);
	if (r == BUR_OK)
		r = price_load_rows(l, json_object_get(obj, "prices"), &mul, m);
	if (r == BUR_OK)
		r = price_load_matches(l, p, json_object_get(obj, "match"), m);
	l->model = NULL;
	return r;
}

static int load_models(struct price_loader *l, struct price_provider *p, json_t *obj)
{
	struct price_multipliers mul = {{0}, MULTIPLIER_ONE, {MULTIPLIER_ONE, MULTIPLIER_ONE, MULTIPLIER_ONE}};
	json_t *models = json_object_get(obj, "models");
	size_t n = json_array_size(models);
	int r = price_load_multipliers(l, json_object_get(obj, "multipliers"), &mul);

	if (r == BUR_OK && (!json_is_array(models) || n > NAMES_MAX))
		r = price_complain(l, "a provider needs a list of \"models\"");
	if (r < 0)
		return r;
	p->models = calloc(n > 0 ? n : 1, sizeof(*p->models));
	if (!p->models)
		return BUR_NOMEM;
	for (size_t i = 0; i < n && r == BUR_OK; i++) {
		p->n_models = i + 1;
		r = load_model(l, p, json_array_get(models, i), &mul, &p->models[i]);
	}
	price_sort_rules(p);
	return r;
}

/* --- providers ---------------------------------------------------------------------------------------------------- */

static int put_provider(const struct price_loader *l, struct map *map, const char *name, struct price_provider *p)
{
	int r = is_name(name) ? map_put(map, slice_of(name), p) : BUR_INVALID;

	if (r == BUR_INVALID)
		return price_complain(l, "names of a provider and its hosts must be in lower case");
	if (r == BUR_ALREADY && map_get(map, slice_of(name)) != p)
		return price_complain(l, "\"%s\" already belongs to another provider", name);
	return r == BUR_ALREADY ? BUR_OK : r;
}

/* A list of texts, each given to `put`. */
static int load_names(const struct price_loader *l, json_t *obj, const char *key, struct map *map,
		      struct price_provider *p)
{
	json_t *list = json_object_get(obj, key);
	int r = BUR_OK;

	if (list && !json_is_array(list))
		return price_complain(l, "\"%s\" must be a list", key);
	for (size_t i = 0; i < json_array_size(list) && r == BUR_OK; i++)
		r = put_provider(l, map, json_string_value(json_array_get(list, i)), p);
	return r;
}

static int load_url_patterns(const struct price_loader *l, json_t *obj, struct price_provider *p)
{
	json_t *list = json_object_get(obj, "host_re");
	size_t n = json_array_size(list);
	int r = BUR_OK;

	if (n == 0)
		return !list || json_is_array(list) ? BUR_OK : price_complain(l, "\"host_re\" must be a list");
	if (n > HOSTS_MAX)
		return price_complain(l, "\"host_re\" may have at most %d patterns", HOSTS_MAX);
	p->url_res = calloc(n, sizeof(*p->url_res));
	if (!p->url_res)
		return BUR_NOMEM;
	for (size_t i = 0; i < n && r == BUR_OK; i++) {
		const char *text = json_string_value(json_array_get(list, i));

		r = text ? price_compile(l, text, &p->url_res[i]) : price_complain(l, "\"host_re\" must be a list");
		p->n_url_res += r == BUR_OK;
	}
	return r;
}

static int load_aliases(const struct price_loader *l, json_t *obj, struct price_provider *p)
{
	json_t *aliases = json_object_get(obj, "aliases"), *v;
	const char *key;
	int r = BUR_OK;

	if (aliases && !json_is_object(aliases))
		return price_complain(l, "\"aliases\" must be an object");
	json_object_foreach(aliases, key, v)
	{
		char *name = NULL;

		if (!is_name(key) || !is_name(json_string_value(v)))
			return price_complain(l, "an alias must be a pair of names in lower case");
		name = strdup(json_string_value(v));
		r = name ? map_put(p->aliases, slice_of(key), name) : BUR_NOMEM;
		if (r < 0) {
			free(name);
			return r;
		}
	}
	return BUR_OK;
}

static int load_provider(struct price_loader *l, json_t *obj, struct price_provider *p)
{
	static const char *const keys[] = {"id",       "names",       "hosts",  "host_re", "aliases",
					   "fallback", "multipliers", "models", NULL};
	const char *id = json_string_value(json_object_get(obj, "id"));
	int r;

	l->provider = NULL;
	if (!id || !is_name(id))
		return price_complain(l, "a provider needs an \"id\" in lower case");
	l->provider = id;
	p->id = strdup(id);
	p->names = map_new(NAMES_MAX);
	p->aliases = map_new(NAMES_MAX);
	if (!p->id || !p->names || !p->aliases)
		return BUR_NOMEM;
	r = price_only_keys(l, obj, keys);
	if (r == BUR_OK)
		r = put_provider(l, l->book->by_name, id, p);
	if (r == BUR_OK)
		r = load_names(l, obj, "names", l->book->by_name, p);
	if (r == BUR_OK)
		r = load_names(l, obj, "hosts", l->book->by_host, p);
	if (r == BUR_OK)
		r = load_url_patterns(l, obj, p);
	if (r == BUR_OK)
		r = load_aliases(l, obj, p);
	return r == BUR_OK ? load_models(l, p, obj) : r;
}

/* After all providers are there. */
static int load_fallback(struct price_loader *l, json_t *obj, struct price_provider *p)
{
	json_t *list = json_object_get(obj, "fallback");
	size_t n = json_array_size(list);

	l->provider = p->id;
	if ((list && !json_is_array(list)) || n > ARRAY_LEN(p->fallback))
		return price_complain(l, "\"fallback\" must be a list of at most %zu providers",
				      ARRAY_LEN(p->fallback));
	for (size_t i = 0; i < n; i++) {
		struct slice name = slice_of(json_string_value(json_array_get(list, i)));
		struct price_provider *to = name.n > 0 ? map_get(l->book->by_name, name) : NULL;

		if (!to || to == p)
			return price_complain(l, "\"fallback\" names an unknown provider");
		p->fallback[p->n_fallback++] = to;
	}
	return BUR_OK;
}

/* --- the book ----------------------------------------------------------------------------------------------------- */

/* A book without a number is known by its content. */
static int load_version(struct price_loader *l, json_t *root)
{
	uint64_t version;
	int r = price_load_count(l, root, "version", &version);

	if (r < 0)
		return r;
	if (json_object_get(root, "version") ? version == 0 || version > UINT32_MAX : false)
		return price_complain(l, "\"version\" must be a number from 1");
	l->book->version = version > 0 ? (uint32_t)version : (uint32_t)(l->book->hash >> 32) | 1u << 31;
	return BUR_OK;
}

static int load_book(struct price_loader *l, json_t *root)
{
	static const char *const keys[] = {"format", "version", "currency", "generated", "sources", "providers", NULL};
	json_t *providers = json_object_get(root, "providers");
	const char *format = json_string_value(json_object_get(root, "format"));
	const char *currency = json_string_value(json_object_get(root, "currency"));
	struct price_book *b = l->book;
	size_t n = json_array_size(providers);
	int r;

	if (!format || strcmp(format, "bursar-prices/1") != 0)
		return price_complain(l, "\"format\" must be \"bursar-prices/1\"");
	if (!currency || strcmp(currency, "USD") != 0)
		return price_complain(l, "\"currency\" must be \"USD\"");
	if (!json_is_array(providers) || n > PROVIDERS_MAX)
		return price_complain(l, "\"providers\" must be a list of at most %d", PROVIDERS_MAX);
	r = price_only_keys(l, root, keys);
	if (r == BUR_OK)
		r = load_version(l, root);
	b->providers = r == BUR_OK ? calloc(n > 0 ? n : 1, sizeof(*b->providers)) : NULL;
	if (!b->providers)
		return r < 0 ? r : BUR_NOMEM;
	for (size_t i = 0; i < n && r == BUR_OK; i++) {
		b->n_providers = i + 1;
		r = load_provider(l, json_array_get(providers, i), &b->providers[i]);
	}
	for (size_t i = 0; i < n && r == BUR_OK; i++)
		r = load_fallback(l, json_array_get(providers, i), &b->providers[i]);
	return r;
}

static void free_provider(struct price_provider *p)
{
	for (size_t i = 0; i < p->n_rules; i++)
		price_free_rule(&p->rules[i]);
	for (size_t i = 0; i < p->n_models; i++) {
		free(p->models[i].id);
		free(p->models[i].rows);
	}
	for (size_t i = 0; i < p->n_url_res; i++) {
		regfree(p->url_res[i]);
		free(p->url_res[i]);
	}
	map_free(p->names, NULL);
	map_free(p->aliases, free);
	free(p->url_res);
	free(p->rules);
	free(p->models);
	free(p->id);
}

static void free_book(struct price_book *b)
{
	for (size_t i = 0; i < b->n_providers; i++)
		free_provider(&b->providers[i]);
	free(b->providers);
	map_free(b->by_name, NULL);
	map_free(b->by_host, NULL);
	free(b);
}

int price_book_parse(struct slice json, struct price_book **ret, char *reterr, size_t reterr_size)
{
	struct price_loader l = {NULL, NULL, NULL, reterr, reterr_size};
	json_error_t error;
	json_t *root = NULL;
	int r = BUR_NOMEM;

	if (json.n > BOOK_BYTES_MAX)
		return price_complain(&l, "a price book may have at most %u bytes", BOOK_BYTES_MAX);
	l.book = calloc(1, sizeof(*l.book));
	if (!l.book)
		return BUR_NOMEM;
	atomic_init(&l.book->refs, 1);
	l.book->hash = stable_hash64(json.p, json.n);
	l.book->by_name = map_new(PROVIDERS_MAX * 8);
	l.book->by_host = map_new(HOSTS_MAX);
	if (!l.book->by_name || !l.book->by_host)
		goto out;
	root = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, &error);
	if (!root) {
		r = price_complain(&l, "line %d: %s", error.line, error.text);
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
	size_t n = 0;

	for (size_t i = 0; i < b->n_providers; i++)
		n += b->providers[i].n_models;
	return n;
}
