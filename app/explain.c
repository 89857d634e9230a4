#include "app/explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/explain_impl.h"
#include "base/clock.h"
#include "base/error.h"

#define NAME_BYTES_MAX 191
#define TOKENS_MAX INT64_C(1000000000000)
#define TOKENS_ASSUMED 1000
#define ARENA_BYTES (1024 * 1024)

/* --- figures as text ---------------------------------------------------------------------------------------------- */

json_t *explain_usd(int64_t nanousd)
{
	char text[AMOUNT_TEXT_MAX];

	return json_string(amount_format_usd(nanousd, text));
}

json_t *explain_amount(enum amount_unit unit, int64_t v)
{
	return unit == UNIT_USD ? explain_usd(v) : json_sprintf("%lld", (long long)v);
}

const char *explain_unit(enum amount_unit unit)
{
	return unit == UNIT_USD ? "USD" : unit == UNIT_TOKENS ? "tokens" : "requests";
}

json_t *explain_time(const struct tz *tz, int64_t unix_s)
{
	char text[TIME_TEXT_MAX];

	return tz && unix_s > 0 && unix_s < INT64_MAX / NS_PER_S ? json_string(time_format(tz, unix_s, text))
								 : json_null();
}

struct slice explain_vendor(const struct question *q)
{
	return slice_of(q->provider->price_id ? q->provider->price_id : q->provider->name);
}

/* --- reading the question ----------------------------------------------------------------------------------------- */

static int bad(struct question *q, const char *field, const char *text)
{
	q->field = field;
	(void)snprintf(q->err, q->err_size, "%s", text);
	return BUR_INVALID;
}

/* A text of the question; empty when absent. */
static int take(struct question *q, const char *field, size_t max, struct slice *ret)
{
	const json_t *v = json_object_get(q->ask, field);

	*ret = SLICE_NONE;
	if (!v || json_is_null(v))
		return BUR_OK;
	if (!json_is_string(v))
		return bad(q, field, "Input should be a valid string");
	*ret = slice_mem(json_string_value(v), json_string_length(v));
	return ret->n <= max ? BUR_OK : bad(q, field, "Input is too long");
}

static int take_number(struct question *q, const char *field, int64_t fallback, int64_t *ret)
{
	const json_t *v = json_object_get(q->ask, field);

	*ret = fallback;
	if (!v || json_is_null(v))
		return BUR_OK;
	if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > TOKENS_MAX)
		return bad(q, field, "Input should be a valid integer, 0 or more");
	*ret = json_integer_value(v);
	return BUR_OK;
}

/* --- who ---------------------------------------------------------------------------------------------------------- */

static int find_key(void *ctx, const struct key_row *row)
{
	struct question *q = ctx;

	if (!slice_eq(q->facts.v[FACT_KEY], slice_of(row->name)) &&
	    memcmp(q->key_digest, row->digest, sizeof(q->key_digest)) != 0)
		return BUR_OK;
	q->key = *row;
	q->key_known = true;
	return BUR_OK;
}

static int take_tags(struct question *q)
{
	const json_t *tags = json_object_get(q->ask, "tags");
	struct facts *f = &q->facts;
	const char *name;
	json_t *v;

	if (tags && !json_is_null(tags) && !json_is_object(tags))
		return bad(q, "tags", "Input should be an object of strings");
	json_object_foreach((json_t *)(uintptr_t)tags, name, v)
	{
		if (!json_is_string(v))
			return bad(q, "tags", "Input should be an object of strings");
		if (f->n_tags == TAGS_MAX)
			return bad(q, "tags", "A call has 16 tags at most");
		f->tags[f->n_tags++] =
		    (struct tag){slice_of(name), slice_mem(json_string_value(v), json_string_length(v))};
	}
	return BUR_OK;
}

/* What the key says, and over it what the question says. */
static int read_who(struct question *q)
{
	static const struct {
		const char *field;
		enum fact fact;
	} names[] = {{"key", FACT_KEY}, {"user", FACT_USER}, {"team", FACT_TEAM}, {"project", FACT_PROJECT}};
	struct slice *v = q->facts.v;
	int r = BUR_OK;

	for (size_t i = 0; i < ARRAY_LEN(names) && r == BUR_OK; i++)
		r = take(q, names[i].field, NAME_BYTES_MAX, &v[names[i].fact]);
	key_digest(v[FACT_KEY], q->key_digest);
	if (r == BUR_OK && v[FACT_KEY].n > 0)
		r = keys_each(q->e->store, find_key, q);
	if (r < 0)
		return r;
	if (v[FACT_KEY].n == 0)
		v[FACT_KEY] = SLICE("anonymous");
	if (q->key_known) {
		v[FACT_KEY] = slice_of(q->key.name); /* the text of a key is a secret, its name is not */
		v[FACT_USER] = v[FACT_USER].n ? v[FACT_USER] : slice_of(q->key.user);
		v[FACT_TEAM] = v[FACT_TEAM].n ? v[FACT_TEAM] : slice_of(q->key.team);
		v[FACT_PROJECT] = v[FACT_PROJECT].n ? v[FACT_PROJECT] : slice_of(q->key.project);
		if (tags_parse(slice_of(q->key.tags), q->facts.tags, &q->facts.n_tags) < 0)
			q->facts.n_tags = 0;
	}
	return take_tags(q);
}

/* --- what --------------------------------------------------------------------------------------------------------- */

static enum api_kind usual_kind(enum api_family family)
{
	switch (family) {
	case FAMILY_ANTHROPIC:
		return API_MESSAGES;
	case FAMILY_GOOGLE:
		return API_GENERATE;
	case FAMILY_AWS:
		return API_CONVERSE;
	case FAMILY_COHERE:
		return API_COHERE_CHAT;
	case FAMILY_OLLAMA:
		return API_OLLAMA;
	default:
		return API_CHAT;
	}
}

static int read_provider(struct question *q)
{
	const struct settings *s = q->e->settings;
	struct slice name;
	int r = take(q, "provider", NAME_BYTES_MAX, &name);

	if (r < 0)
		return r;
	if (name.n == 0)
		return bad(q, "provider", "Field required: which vendor is called, such as openai");
	for (size_t i = 0; i < s->proxy.n_providers; i++)
		if (slice_ieq(slice_of(s->proxy.providers[i].name), name))
			q->provider = &s->proxy.providers[i];
	if (!q->provider)
		return bad(q, "provider", "No such provider is configured");
	q->facts.v[FACT_PROVIDER] = slice_of(q->provider->name);
	return BUR_OK;
}

/* The route, from the path as it is sent to the vendor; without one the vendor's usual one. */
static int read_route(struct question *q)
{
	struct slice path, method = SLICE("POST");
	int r = take(q, "path", 8192, &path);

	if (r < 0)
		return r;
	if (path.n == 0) {
		q->api = (struct api_match){.kind = usual_kind(q->provider->family),
					    .family = api_family_shape(q->provider->family)};
		return BUR_OK;
	}
	if (path.p[0] != '/')
		return bad(q, "path", "The path as sent to the vendor, such as /v1/chat/completions");
	(void)slice_cut(path, '?', &path, &q->query);
	q->api = api_classify(q->provider->family, method, path);
	q->rule = generic_find(q->provider->meters, q->provider->n_meters, method, path);
	if (q->rule)
		q->api.kind = API_GENERIC;
	q->info.stream = q->api.stream_by_path;
	return BUR_OK;
}

static int scan_body(struct question *q)
{
	struct reqscan *scan = malloc(sizeof(*scan));
	char text[200], model[MODEL_NAME_MAX + 1];
	bool by_path = q->info.stream;
	int r;

	if (!scan)
		return BUR_NOMEM;
	if (api_decode_model(q->api.model, model, sizeof(model)) < 0)
		model[0] = '\0';
	reqscan_begin(scan, &(struct reqscan_options){.kind = q->api.kind,
						      .provider = slice_of(q->provider->name),
						      .model = slice_of(model),
						      .content_type = SLICE("application/json")});
	r = reqscan_feed(scan, q->body.p, q->body.n);
	if (r == BUR_OK)
		r = reqscan_finish(scan);
	if (r == BUR_OK)
		q->info = scan->info;
	else
		r = bad(q, "body", reqscan_error_text(scan, text, sizeof(text)));
	q->info.stream = q->info.stream || by_path;
	free(scan);
	return r;
}

/* A request that is only described. */
static int describe(struct question *q)
{
	int64_t tokens, max_out;
	int r = take_number(q, "input_tokens", -1, &tokens);

	if (r == BUR_OK)
		r = take_number(q, "max_out", -1, &max_out);
	if (r < 0)
		return r;
	q->tokens_assumed = tokens < 0;
	tokens = tokens < 0 ? TOKENS_ASSUMED : tokens;
	q->info.stream = json_is_true(json_object_get(q->ask, "stream"));
	q->info.body_bytes = (uint64_t)tokens;
	q->info.candidates = 1;
	q->info.has_max_out = max_out >= 0;
	q->info.max_out = max_out >= 0 ? (uint64_t)max_out : 0;
	q->info.max_out_edit = (struct max_out_edit){.before = "", .after = ""}; /* there is a place for it */
	q->counted = tokens > 0;
	q->count = (struct prompt_count){.tokens = (uint64_t)tokens, .exact = true};
	return BUR_OK;
}

/* Where the path names a model, that one runs. */
static int read_model(struct question *q)
{
	struct slice model;
	int r = take(q, "model", MODEL_NAME_MAX, &model);

	if (r < 0)
		return r;
	if (q->rule)
		model = slice_of(q->rule->name);
	if (q->api.model.n > 0) {
		if (api_decode_model(q->api.model, q->info.model, sizeof(q->info.model)) < 0)
			return bad(q, "path", "the model's name in the path is malformed");
	} else if (model.n > 0) {
		(void)slice_to_cstr(model, q->info.model, sizeof(q->info.model));
	}
	if (q->info.model[0] == '\0' && !api_kind_is_unbilled(q->api.kind))
		return bad(q, "model", "Field required: the request names no model");
	q->facts.v[FACT_MODEL] = slice_of(q->info.model);
	return BUR_OK;
}

static int read_what(struct question *q)
{
	const json_t *body = json_object_get(q->ask, "body");
	int r = read_provider(q);

	if (r == BUR_OK)
		r = read_route(q);
	if (r < 0)
		return r;
	q->has_body = body && !json_is_null(body);
	if (q->has_body) {
		r = take(q, "body", SIZE_MAX, &q->body);
		if (r == BUR_OK && !q->rule && !api_kind_is_unbilled(q->api.kind))
			r = scan_body(q);
	} else {
		r = describe(q);
	}
	return r == BUR_OK ? read_model(q) : r;
}

/* --- the answer --------------------------------------------------------------------------------------------------- */

static json_t *text_json(struct slice s)
{
	json_t *v = json_stringn(s.n ? s.p : "", s.n);

	return v ? v : json_string("");
}

static json_t *principal_json(const struct question *q)
{
	const struct slice *v = q->facts.v;
	json_t *tags = json_object(), *o;
	const char *state = !q->key_known                                               ? "no virtual key of this name"
			    : q->key.revoked_s != 0                                     ? "revoked"
			    : q->key.not_after_s != 0 && q->key.not_after_s <= q->now_s ? "expired"
											: "valid";

	for (size_t i = 0; tags && i < q->facts.n_tags; i++) {
		char name[64];

		(void)slice_to_cstr(q->facts.tags[i].name, name, sizeof(name));
		(void)json_object_set_new(tags, name, text_json(q->facts.tags[i].value));
	}
	o = json_pack("{s:o,s:s,s:o,s:o,s:o,s:o}", "key", text_json(v[FACT_KEY]), "key_state", state, "user",
		      text_json(v[FACT_USER]), "team", text_json(v[FACT_TEAM]), "project", text_json(v[FACT_PROJECT]),
		      "tags", tags);
	return o;
}

/* As it was asked: before a rung changed anything. */
static json_t *question_json(const struct question *q)
{
	const struct request_info *i = &q->info;

	return json_pack("{s:s,s:s,s:s,s:b,s:o,s:s}", "provider", q->provider->name, "model", i->model, "route",
			 api_kind_name(q->api.kind), "stream", i->stream, "max_out",
			 i->has_max_out ? json_integer((json_int_t)i->max_out) : json_null(), "input",
			 q->has_body         ? "as in the body"
			 : q->tokens_assumed ? "1000 tokens assumed"
					     : "as given");
}

static int answer(struct question *q, json_t **ret)
{
	json_t *o = json_object(), *decision = NULL;
	struct tz *utc = NULL;
	int r = o && q->rungs ? tz_load("UTC", &utc) : BUR_NOMEM;

	if (r == BUR_OK) {
		(void)json_object_set_new(o, "at", explain_time(utc, q->now_s));
		(void)json_object_set_new(o, "principal", principal_json(q));
		(void)json_object_set_new(o, "request", question_json(q));
		r = explain_ladder(q, &decision);
	}
	tz_free(utc);
	if (r < 0) {
		json_decref(o);
		return r;
	}
	(void)json_object_set_new(o, "priced_as", q->price ? json_string(price_model_id(q->price)) : json_null());
	(void)json_object_set_new(o, "price_version", json_integer((json_int_t)price_book_version(q->e->prices->book)));
	(void)json_object_set_new(o, "budgets", q->budgets ? json_incref(q->budgets) : explain_budgets(q));
	if (json_is_true(json_object_get(q->ask, "all")))
		(void)json_object_set_new(o, "others", explain_others(q));
	(void)json_object_set(o, "ladder", q->rungs);
	(void)json_object_set_new(o, "decision", decision);
	*ret = o;
	return BUR_OK;
}

static int explain_request(struct question *q, json_t **ret)
{
	int r;

	q->counters = calloc(MATCH_MAX, sizeof(*q->counters));
	q->decision = calloc(1, sizeof(*q->decision));
	q->rungs = json_array();
	r = q->counters && q->decision ? read_who(q) : BUR_NOMEM;
	if (r == BUR_OK)
		r = read_what(q);
	if (r == BUR_OK)
		r = answer(q, ret);
	for (size_t i = 0; i < q->n_own; i++) {
		engine_free(q->own_engines[i]);
		budget_set_free(q->own_sets[i]);
	}
	json_decref(q->rungs);
	json_decref(q->budgets);
	free(q->counters);
	free(q->decision);
	return r;
}

/* "req_" and 32 hexadecimal digits, as in logs and answers; or the digits alone, as in the ledger. */
static int read_uid(struct question *q, uint8_t ret[16])
{
	struct slice text;
	size_t n = 0;
	int r = take(q, "call", 64, &text);

	if (r < 0)
		return r;
	if (slice_starts(text, SLICE("req_")))
		text = slice_sub(text, 4, text.n);
	if (text.n != 32 || hex_decode(text, ret, 16, &n) < 0)
		return bad(q, "call", "The id of a call, such as req_00000001000000000000002a51b3c8d4");
	return BUR_OK;
}

static int only_known(struct question *q)
{
	static const char *const known[] = {"key",      "user",       "team", "project",      "tags",
					    "provider", "model",      "path", "input_tokens", "max_out",
					    "stream",   "no_degrade", "body", "call",         "all"};
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)q->ask, name, v)
	{
		size_t i = 0;

		while (i < ARRAY_LEN(known) && strcmp(known[i], name) != 0)
			i++;
		if (i == ARRAY_LEN(known))
			return bad(q, "field", "Extra inputs are not permitted");
	}
	return BUR_OK;
}

int explain_api(void *ctx, const struct json_t *ask, struct json_t **ret, const char **ret_field, char *reterr,
		size_t reterr_size)
{
	const struct explain *e = ctx;
	struct question *q = calloc(1, sizeof(*q));
	char why[BOOT_ERROR_MAX] = "";
	uint8_t uid[16];
	int r;

	if (!q)
		return BUR_NOMEM;
	*q = (struct question){.e = e, .ask = ask, .err = reterr, .err_size = reterr_size, .field = "body"};
	arena_init(&q->arena, ARENA_BYTES);
	q->now_s = engine_time_s(e->engine, clock_wall_ns(), clock_mono_ns());
	r = only_known(q);
	if (r == BUR_OK && !e->prices->book && prices_load(e->prices, why) < 0) {
		(void)snprintf(reterr, reterr_size, "%s", why);
		r = BUR_IO;
	}
	if (r == BUR_OK && json_object_get(ask, "call")) {
		r = read_uid(q, uid);
		if (r == BUR_OK)
			r = explain_call(e, uid, ret);
	} else if (r == BUR_OK) {
		r = explain_request(q, ret);
	}
	if (r < 0 && r != BUR_INVALID && why[0] == '\0')
		(void)snprintf(reterr, reterr_size, "%s",
			       r == BUR_NOTFOUND ? "There is no such call in the ledger" : bur_strerror(r));
	*ret_field = q->field;
	arena_reset(&q->arena);
	free(q);
	return r;
}
