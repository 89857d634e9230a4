/* genai-prices: an array of providers with models, matching rules, dates and times of day. Format as in
 * pydantic/genai-prices: prices/new_data/v2/data.json. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "price/import_impl.h"

static const struct {
	const char *key, *unit;
	int64_t times;
} prices[] = {
    {"input_mtok", "in", 1},
    {"output_mtok", "out", 1},
    {"cache_read_mtok", "cr", 1},
    {"cache_write_mtok", "cw", 1},
    {"cache_write_5m_mtok", "cw5m", 1},
    {"cache_write_1h_mtok", "cw1h", 1},
    {"input_audio_mtok", "in_audio", 1},
    {"input_image_mtok", "in_image", 1},
    {"input_video_mtok", "in_video", 1},
    {"input_text_mtok", "in_text", 1},
    {"cache_audio_read_mtok", "cr_audio", 1},
    {"cache_image_read_mtok", "cr_image", 1},
    {"cache_video_read_mtok", "cr_video", 1},
    {"cache_text_read_mtok", "cr_text", 1},
    {"output_audio_mtok", "out_audio", 1},
    {"output_image_mtok", "out_image", 1},
    {"output_video_mtok", "out_video", 1},
    {"output_text_mtok", "out_text", 1},
    {"output_reasoning_mtok", "out_reasoning", 1},
    {"output_citation_mtok", "out_citation", 1},
    {"requests_kcount", "req", 1},
    {"web_searches_kcount", "web", 1},
    {"storage_searches_kcount", "file", 1},
    {"social_searches_kcount", "social", 1},
    {"code_executions_kcount", "code", 1},
    {"rerank_searches_kcount", "rerank", 1},
    {"input_document_kpages", "pages", 1},
    {"input_annotated_document_kpages", "pages_annotated", 1},
    {"input_mchars", "chars", 1},
    {"input_text_messages_kcount", "msgs", 1},
    {"audio_hours", "audio_ms", 1},
    {"input_audio_hours", "in_audio_ms", 1},
    {"output_audio_hours", "out_audio_ms", 1},
    {"input_gpixels", "px", 1},
};

static const char *const ops[][2] = {
    {"equals", "eq"}, {"starts_with", "starts_with"}, {"ends_with", "ends_with"}, {"contains", "contains"}};

/* --- rules -------------------------------------------------------------------------------------------------------- */

static bool lower_text(const char *text, char *dst, size_t size)
{
	size_t n = strlen(text);

	if (n == 0 || n >= size)
		return false;
	for (size_t i = 0; i <= n; i++)
		dst[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] + 32) : text[i];
	return true;
}

/* Plain rules only: patterns of another kind of expression are left out, the exact name always stands. */
static void put_rules(struct import_work *w, json_t *match, json_t *rule)
{
	char text[192];
	json_t *part, *one;
	size_t i;

	json_array_foreach(json_object_get(rule, "or"), i, part) put_rules(w, match, part);
	for (i = 0; i < ARRAY_LEN(ops); i++) {
		const char *arg = json_string_value(json_object_get(rule, ops[i][0]));

		if (!arg || !lower_text(arg, text, sizeof(text)))
			continue;
		one = json_pack("[s,s]", ops[i][1], text);
		if (!one || json_array_append_new(match, one) < 0)
			w->no_memory = true;
	}
}

/* --- prices ------------------------------------------------------------------------------------------------------- */

struct model_ctx {
	struct import_work *w;
	json_t *model;
	const char *from, *to; /* dates, or NULL */
	json_t *tod;           /* or NULL */
	size_t first_row;      /* of the price that is being read */
};

static json_t *row_over(const struct model_ctx *c, uint64_t over)
{
	json_t *rows = json_object_get(c->model, "prices"), *row;

	for (size_t i = c->first_row; i < json_array_size(rows); i++) {
		row = json_array_get(rows, i);
		if ((uint64_t)json_integer_value(json_object_get(row, "over")) == over)
			return row;
	}
	row = json_pack("{s:s*,s:s*,s:O*,s:{}}", "from", c->from, "to", c->to, "tod", c->tod, "rates");
	if (row && over > 0 && json_object_set_new(row, "over", json_integer((json_int_t)over)) < 0)
		c->w->no_memory = true;
	if (!row || json_array_append_new(rows, row) < 0) {
		c->w->no_memory = true;
		return NULL;
	}
	return row;
}

static bool put_one(const struct model_ctx *c, const char *unit, int64_t times, uint64_t over, const json_t *v)
{
	json_t *row;
	int64_t pusd;

	if (!import_rate(v, times, &pusd))
		return false;
	row = row_over(c, over);
	if (row)
		import_put_rate(c->w, row, unit, pusd);
	return true;
}

/* A literal, or {"base":…,"tiers":[{"start":N,"price":…}]}: over means more than start, as with us. */
static bool put_price(const struct model_ctx *c, const char *unit, int64_t times, json_t *v)
{
	json_t *tier;
	size_t i;

	if (!json_is_object(v))
		return put_one(c, unit, times, 0, v);
	if (!put_one(c, unit, times, 0, json_object_get(v, "base")))
		return false;
	json_array_foreach(json_object_get(v, "tiers"), i, tier)
	{
		json_int_t start = import_count(json_object_get(tier, "start"));

		if (start <= 0 || !put_one(c, unit, times, (uint64_t)start, json_object_get(tier, "price")))
			return false;
	}
	return true;
}

/* A tier names what changes; what it does not name stays as below it. */
static void fill_tiers(const struct model_ctx *c)
{
	json_t *rows = json_object_get(c->model, "prices"), *base = row_over(c, 0), *v;
	const char *key;

	for (size_t i = c->first_row; base && i < json_array_size(rows); i++) {
		json_t *rates = json_object_get(json_array_get(rows, i), "rates");

		json_object_foreach(json_object_get(base, "rates"), key, v)
		{
			if (!json_object_get(rates, key) && json_object_set(rates, key, v) < 0)
				c->w->no_memory = true;
		}
	}
}

/* The key that cannot be taken, or NULL. */
static const char *put_prices(const struct model_ctx *c, json_t *obj)
{
	const char *key;
	json_t *v;

	json_object_foreach(obj, key, v)
	{
		size_t i = 0;

		while (i < ARRAY_LEN(prices) && strcmp(prices[i].key, key) != 0)
			i++;
		if (i == ARRAY_LEN(prices) || !put_price(c, prices[i].unit, prices[i].times, v))
			return key;
	}
	fill_tiers(c);
	return NULL;
}

/* "HH:MM:SSZ" to "HH:MM". */
static json_t *minutes(const json_t *constraint)
{
	const char *from = json_string_value(json_object_get(constraint, "start_time"));
	const char *to = json_string_value(json_object_get(constraint, "end_time"));
	char a[6], b[6];

	if (!from || !to || strlen(from) < 5 || strlen(to) < 5)
		return NULL;
	(void)snprintf(a, sizeof(a), "%.5s", from);
	(void)snprintf(b, sizeof(b), "%.5s", to);
	return json_pack("[s,s]", a, b);
}

static const char *date_of(json_t *entry)
{
	return json_string_value(json_object_get(json_object_get(entry, "constraint"), "start_date"));
}

/* One entry of a list of prices with its condition. It ends where the next date begins; a window without a date holds
 * from the newest date before it on. */
static const char *put_conditional(struct model_ctx *c, json_t *list, size_t i, const char **inout_from)
{
	json_t *entry = json_array_get(list, i), *constraint = json_object_get(entry, "constraint");
	const char *date = date_of(entry), *wrong;

	c->tod = minutes(constraint);
	if (constraint && !json_is_null(constraint) && !date && !c->tod)
		return "constraint";
	if (date)
		*inout_from = date;
	c->from = *inout_from;
	c->to = NULL;
	for (size_t k = i + 1; k < json_array_size(list) && !c->to; k++)
		c->to = date_of(json_array_get(list, k));
	c->first_row = json_array_size(json_object_get(c->model, "prices"));
	wrong = put_prices(c, json_object_get(entry, "prices"));
	json_decref(c->tod);
	c->tod = NULL;
	return wrong;
}

static const char *put_all(struct model_ctx *c, json_t *list)
{
	const char *from = NULL, *wrong = NULL;

	if (json_is_object(list))
		return put_prices(c, list);
	for (size_t i = 0; i < json_array_size(list) && !wrong; i++)
		wrong = put_conditional(c, list, i, &from);
	return wrong;
}

static void take_model(struct import_work *w, const char *provider, json_t *record)
{
	const char *id = json_string_value(json_object_get(record, "id")), *wrong;
	struct model_ctx c = {.w = w, .model = id ? import_model(w, provider, id) : NULL};

	if (!c.model)
		return;
	put_rules(w, json_object_get(c.model, "match"), json_object_get(record, "match"));
	wrong = put_all(&c, json_object_get(record, "prices"));
	if (wrong) {
		import_note(w, provider, id, "left out: no unit for %.80s", wrong);
		import_drop_model(w, provider, c.model);
		return;
	}
	import_put_count(w, c.model, "ctx", import_count(json_object_get(record, "context_window")));
}

int import_genai(struct import_work *w, json_t *tree, char *reterr, size_t reterr_size)
{
	json_t *p, *m;
	size_t i, k;

	if (!json_is_array(tree)) {
		(void)snprintf(reterr, reterr_size, "expected an array of providers");
		return BUR_INVALID;
	}
	json_array_foreach(tree, i, p)
	{
		const char *id = json_string_value(json_object_get(p, "id"));

		if (!id || !import_wants(w, id))
			continue;
		json_array_foreach(json_object_get(p, "models"), k, m) take_model(w, id, m);
	}
	return BUR_OK;
}
