/* models.dev (an object of providers, USD per million tokens) and OpenRouter ({"data":[…]}, USD per token as text). */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "price/import_impl.h"

struct unit_row {
	const char *key, *unit;
	int64_t times;
};

static const struct unit_row dev_units[] = {
    {"input", "in", 1},
    {"output", "out", 1},
    {"cache_read", "cr", 1},
    {"cache_write", "cw", 1},
    {"reasoning", "out_reasoning", 1},
    {"input_audio", "in_audio", 1},
    {"output_audio", "out_audio", 1},
};

static const struct unit_row router_units[] = {
    {"prompt", "in", 1000000},
    {"completion", "out", 1000000},
    {"input_cache_read", "cr", 1000000},
    {"input_cache_write", "cw", 1000000},
    {"input_cache_write_1h", "cw1h", 1000000},
    {"internal_reasoning", "out_reasoning", 1000000},
    {"audio", "in_audio", 1000000},
    {"input_audio_cache", "cr_audio", 1000000},
    {"audio_output", "out_audio", 1000000},
    {"image_output", "out_image", 1000000},
    {"request", "req", 1000},
    {"web_search", "web", 1000},
};

struct list_ctx {
	struct import_work *w;
	json_t *model;
	const struct unit_row *units;
	size_t n_units;
	int64_t keep_ppm; /* after the discount */
};

static const struct unit_row *unit_of(const struct list_ctx *c, const char *key)
{
	for (size_t i = 0; i < c->n_units; i++)
		if (strcmp(c->units[i].key, key) == 0)
			return &c->units[i];
	return NULL;
}

static bool put(const struct list_ctx *c, const char *key, const json_t *v, uint64_t over)
{
	const struct unit_row *u = unit_of(c, key);
	int64_t pusd;
	json_t *row;

	if (!u || !import_rate(v, u->times, &pusd))
		return false;
	pusd = (int64_t)(((__int128)pusd * c->keep_ppm + 999999) / 1000000);
	row = import_row(c->w, c->model, "", over);
	if (row)
		import_put_rate(c->w, row, u->unit, pusd);
	return true;
}

/* A tier names what changes; the rest stays as it is below. */
static void fill_row(const struct list_ctx *c, uint64_t over)
{
	json_t *base = json_object_get(import_row(c->w, c->model, "", 0), "rates"), *v;
	json_t *rates = json_object_get(import_row(c->w, c->model, "", over), "rates");
	const char *key;

	json_object_foreach(base, key, v)
	{
		if (!json_object_get(rates, key) && json_object_set(rates, key, v) < 0)
			c->w->no_memory = true;
	}
}

static void leave_out(const struct list_ctx *c, const char *provider, const char *id, const char *why)
{
	import_note(c->w, provider, id, "left out: no unit for %.80s", why);
	import_drop_model(c->w, provider, c->model);
}

/* --- models.dev --------------------------------------------------------------------------------------------------- */

static const char *dev_rates(const struct list_ctx *c, json_t *cost, uint64_t over);

/* [{"tier":{"size":N},…}]: from N on. */
static const char *dev_tiers(const struct list_ctx *c, json_t *tiers)
{
	const char *wrong;
	json_t *tier;
	size_t i;

	json_array_foreach(tiers, i, tier)
	{
		json_int_t size = import_count(json_object_get(json_object_get(tier, "tier"), "size"));

		wrong = size > 1 ? dev_rates(c, tier, (uint64_t)size - 1) : "tiers";
		if (wrong)
			return wrong;
	}
	return NULL;
}

static const char *dev_rates(const struct list_ctx *c, json_t *cost, uint64_t over)
{
	const char *key, *wrong = NULL;
	json_t *v;

	json_object_foreach(cost, key, v)
	{
		if (over > 0 && strcmp(key, "tier") == 0)
			continue;
		if (over == 0 && strcmp(key, "tiers") == 0)
			wrong = dev_tiers(c, v);
		else if (over == 0 && strcmp(key, "context_over_200k") == 0)
			wrong = dev_rates(c, v, 200000);
		else if (!put(c, key, v, over))
			wrong = key;
		if (wrong)
			return wrong;
	}
	if (over > 0)
		fill_row(c, over);
	return NULL;
}

static void dev_model(struct import_work *w, const char *provider, const char *id, json_t *record)
{
	json_t *cost = json_object_get(record, "cost"), *limit = json_object_get(record, "limit");
	struct list_ctx c = {.w = w, .units = dev_units, .n_units = ARRAY_LEN(dev_units), .keep_ppm = 1000000};
	const char *wrong;

	if (!json_is_object(cost) || !json_object_get(cost, "input"))
		return; /* without a price */
	c.model = import_model(w, provider, id);
	if (!c.model)
		return;
	(void)import_row(w, c.model, "", 0); /* first, whatever the order of the keys */
	wrong = dev_rates(&c, cost, 0);
	if (wrong) {
		leave_out(&c, provider, id, wrong);
		return;
	}
	import_put_count(w, c.model, "ctx", import_count(json_object_get(limit, "context")));
	import_put_count(w, c.model, "max_out", import_count(json_object_get(limit, "output")));
}

static const char *dev_provider(const char *theirs)
{
	static const char *const names[][2] = {
	    {"amazon-bedrock", "aws"}, {"google-vertex", "google"}, {"google-vertex-anthropic", "google"},
	    {"xai", "x-ai"},           {"togetherai", "together"},  {"fireworks-ai", "fireworks"}};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i][0], theirs) == 0)
			return names[i][1];
	return theirs;
}

int import_models_dev(struct import_work *w, json_t *tree, char *reterr, size_t reterr_size)
{
	const char *theirs, *id;
	json_t *p, *m;

	if (!json_is_object(tree)) {
		(void)snprintf(reterr, reterr_size, "expected an object of providers");
		return BUR_INVALID;
	}
	json_object_foreach(tree, theirs, p)
	{
		const char *provider = dev_provider(theirs);

		if (!import_wants(w, provider) || strlen(provider) > 64)
			continue;
		json_object_foreach(json_object_get(p, "models"), id, m) dev_model(w, provider, id, m);
	}
	return BUR_OK;
}

/* --- OpenRouter --------------------------------------------------------------------------------------------------- */

/* Pictures that go in are tokens of the prompt; their price a piece is not billed besides. */
static bool router_skips(const char *key)
{
	return strcmp(key, "image") == 0 || strcmp(key, "image_token") == 0 || strcmp(key, "discount") == 0 ||
	       strcmp(key, "overrides") == 0;
}

static const char *router_rates(const struct list_ctx *c, json_t *pricing, uint64_t over)
{
	const char *key;
	json_t *v;

	json_object_foreach(pricing, key, v)
	{
		if (router_skips(key) || strcmp(key, "min_prompt_tokens") == 0)
			continue;
		if (!put(c, key, v, over))
			return key;
	}
	return NULL;
}

static const char *router_overrides(const struct list_ctx *c, json_t *overrides)
{
	const char *wrong = NULL;
	json_t *o;
	size_t i;

	json_array_foreach(overrides, i, o)
	{
		json_int_t from = import_count(json_object_get(o, "min_prompt_tokens"));

		wrong = from > 1 ? router_rates(c, o, (uint64_t)from - 1) : "overrides";
		if (wrong)
			return wrong;
		fill_row(c, (uint64_t)from - 1);
	}
	return NULL;
}

/* "0.25": a quarter less. */
static bool read_discount(const json_t *pricing, int64_t *ret_keep_ppm)
{
	const json_t *v = json_object_get(pricing, "discount");
	int64_t pusd;

	*ret_keep_ppm = 1000000;
	if (!v || json_is_null(v))
		return true;
	if (!import_rate(v, 1, &pusd) || pusd > INT64_C(1000000000000))
		return false;
	*ret_keep_ppm = 1000000 - pusd / 1000000; /* what is finer is rounded to the dearer side */
	return true;
}

static bool is_negative(const json_t *v)
{
	const char *text = json_string_value(v);

	return text && text[0] == '-';
}

static void router_model(struct import_work *w, json_t *record)
{
	const char *id = json_string_value(json_object_get(record, "id")), *wrong;
	json_t *pricing = json_object_get(record, "pricing");
	struct list_ctx c = {.w = w, .units = router_units, .n_units = ARRAY_LEN(router_units)};

	if (!id || !json_is_object(pricing) || is_negative(json_object_get(pricing, "prompt")))
		return; /* a router of routers: the price varies and is not known */
	c.model = import_model(w, "openrouter", id);
	if (!c.model)
		return;
	(void)import_row(w, c.model, "", 0);
	wrong = read_discount(pricing, &c.keep_ppm) ? router_rates(&c, pricing, 0) : "discount";
	if (!wrong)
		wrong = router_overrides(&c, json_object_get(pricing, "overrides"));
	if (wrong) {
		leave_out(&c, "openrouter", id, wrong);
		return;
	}
	import_put_count(w, c.model, "ctx", import_count(json_object_get(record, "context_length")));
	import_put_count(
	    w, c.model, "max_out",
	    import_count(json_object_get(json_object_get(record, "top_provider"), "max_completion_tokens")));
}

int import_openrouter(struct import_work *w, json_t *tree, char *reterr, size_t reterr_size)
{
	json_t *list = json_object_get(tree, "data"), *record;
	size_t i;

	if (!json_is_array(list)) {
		(void)snprintf(reterr, reterr_size, "expected {\"data\": [models]}");
		return BUR_INVALID;
	}
	if (!import_wants(w, "openrouter"))
		return BUR_OK;
	json_array_foreach(list, i, record) router_model(w, record);
	return BUR_OK;
}
