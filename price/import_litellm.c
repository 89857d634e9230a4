/* LiteLLM's model map: an object of models with one flat record each; prices per token, tiers and service tiers in the
 * keys' names. Format as in BerriAI/litellm: model_prices_and_context_window.json. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "price/import_impl.h"

/* Its names of providers, where they are not ours with `-` for `_`. A prefix ends with `*`. */
static const struct {
	const char *theirs, *ours;
} providers[] = {
    {"text-completion-openai", "openai"},
    {"vertex_ai*", "google"},
    {"gemini", "google"},
    {"bedrock*", "aws"},
    {"azure*", "azure"},
    {"cohere_chat", "cohere"},
    {"xai", "x-ai"},
    {"together_ai", "together"},
    {"fireworks_ai*", "fireworks"},
    {"moonshot", "moonshotai"},
    {"codestral", "mistral"},
    {"text-completion-codestral", "mistral"},
    {"github_copilot", "github-copilot"},
};

/* Keys with a price, without their suffixes. times 0: known, and not a price that this book keeps apart. */
static const struct {
	const char *key, *unit;
	int64_t times;
} prices[] = {
    {"input_cost_per_token", "in", 1000000},
    {"output_cost_per_token", "out", 1000000},
    {"cache_read_input_token_cost", "cr", 1000000},
    {"cache_creation_input_token_cost", "cw", 1000000},
    {"cache_creation_input_token_cost_above_1hr", "cw1h", 1000000},
    {"input_cost_per_audio_token", "in_audio", 1000000},
    {"output_cost_per_audio_token", "out_audio", 1000000},
    {"cache_read_input_audio_token_cost", "cr_audio", 1000000},
    {"cache_read_input_token_cost_per_audio_token", "cr_audio", 1000000},
    {"input_cost_per_image_token", "in_image", 1000000},
    {"output_cost_per_image_token", "out_image", 1000000},
    {"cache_read_input_image_token_cost", "cr_image", 1000000},
    {"input_cost_per_video_token", "in_video", 1000000},
    {"output_cost_per_video_token", "out_video", 1000000},
    {"output_cost_per_reasoning_token", "out_reasoning", 1000000},
    {"citation_cost_per_token", "out_citation", 1000000},
    {"input_cost_per_query", "req", 1000},
    {"input_cost_per_request", "req", 1000},
    {"input_cost_per_second", "in_audio_ms", 3600},
    {"ocr_cost_per_page", "pages", 1000},
    {"annotation_cost_per_page", "pages_annotated", 1000},
    {"file_search_cost_per_1k_calls", "file", 1},
    {"code_interpreter_cost_per_session", "code", 1000},
    {"output_cost_per_image", "img", 1000},
    {"input_cost_per_pixel", "px", 1000000000},
};

static const char *const services[][2] = {{"_batches", "batch"}, {"_flex", "flex"}, {"_priority", "priority"}};

/* --- names -------------------------------------------------------------------------------------------------------- */

static bool provider_matches(const char *pattern, const char *name)
{
	size_t n = strlen(pattern);

	return pattern[n - 1] == '*' ? strncmp(pattern, name, n - 1) == 0 : strcmp(pattern, name) == 0;
}

static void our_provider(const char *theirs, char *dst, size_t size)
{
	for (size_t i = 0; i < ARRAY_LEN(providers); i++)
		if (provider_matches(providers[i].theirs, theirs)) {
			(void)snprintf(dst, size, "%s", providers[i].ours);
			return;
		}
	(void)snprintf(dst, size, "%s", theirs);
	for (; *dst; dst++)
		*dst = *dst == '_' ? '-' : *dst >= 'A' && *dst <= 'Z' ? (char)(*dst + 32) : *dst;
}

/* "gemini/gemini-2.5-pro" is called "gemini-2.5-pro"; NULL: one entry of many for a region, which this book has no row
 * for. */
static const char *our_model(const char *key, const char *theirs)
{
	const char *slash = strchr(key, '/');
	size_t n = slash ? (size_t)(slash - key) : 0, m = strlen(theirs);
	bool prefix =
	    slash && n <= m && strncmp(key, theirs, n) == 0 && (n == m || theirs[n] == '_' || theirs[n] == '-');

	if (prefix)
		key = slash + 1;
	if (!strchr(key, '/') || strcmp(theirs, "openrouter") == 0 || strcmp(theirs, "together_ai") == 0 ||
	    strcmp(theirs, "groq") == 0 || strncmp(theirs, "fireworks_ai", 12) == 0)
		return key;
	return prefix || !slash ? NULL : key;
}

/* --- one price ---------------------------------------------------------------------------------------------------- */

struct parsed {
	const char *unit, *service;
	int64_t times;
	uint64_t over;
};

static bool cut_suffix(char *key, const char *suffix)
{
	size_t n = strlen(key), m = strlen(suffix);

	if (n < m || strcmp(key + n - m, suffix) != 0)
		return false;
	key[n - m] = '\0';
	return true;
}

/* "…_above_272k_tokens" anywhere in the key: over 272000. */
static bool cut_threshold(char *key, uint64_t *ret)
{
	char *at = strstr(key, "_above_"), *p = at ? at + 7 : NULL;
	uint64_t n = 0;

	for (; p && *p >= '0' && *p <= '9' && n < 1000000; p++)
		n = n * 10 + (uint64_t)(*p - '0');
	if (!p || n == 0 || strncmp(p, "k_tokens", 8) != 0)
		return false;
	*ret = n * 1000;
	memmove(at, p + 8, strlen(p + 8) + 1);
	return true;
}

static bool parse_key(const char *key, struct parsed *ret)
{
	char text[128];

	if (strlen(key) >= sizeof(text))
		return false;
	(void)snprintf(text, sizeof(text), "%s", key);
	*ret = (struct parsed){.service = ""};
	for (size_t i = 0; i < ARRAY_LEN(services); i++)
		if (cut_suffix(text, services[i][0])) {
			ret->service = services[i][1];
			break;
		}
	(void)cut_threshold(text, &ret->over);
	for (size_t i = 0; i < ARRAY_LEN(prices); i++)
		if (strcmp(prices[i].key, text) == 0) {
			ret->unit = prices[i].unit;
			ret->times = prices[i].times;
			return true;
		}
	return false;
}

/* Does the key tell a price at all? */
static bool is_price(const char *key)
{
	return strstr(key, "cost") != NULL;
}

static bool is_zero(const json_t *v)
{
	int64_t pusd;

	return json_is_null(v) || (import_rate(v, 1, &pusd) && pusd == 0);
}

/* --- one model ---------------------------------------------------------------------------------------------------- */

struct model_ctx {
	struct import_work *w;
	const char *provider, *name;
	json_t *model;
};

static bool put_price(const struct model_ctx *c, const struct parsed *p, const json_t *v)
{
	json_t *row;
	int64_t pusd;

	if (!import_rate(v, p->times, &pusd))
		return false;
	row = import_row(c->w, c->model, p->service, p->over);
	if (row)
		import_put_rate(c->w, row, p->unit, pusd);
	return true;
}

static bool put_searches(const struct model_ctx *c, const json_t *sizes)
{
	const json_t *v = json_object_get(sizes, "search_context_size_medium");
	const struct parsed p = {.unit = "web", .service = "", .times = 1000};

	return !v || put_price(c, &p, v);
}

/* A list of {"range":[from,to], keys…}: the range's start is the threshold. */
static const char *put_tiers(const struct model_ctx *c, json_t *tiers)
{
	const char *key;
	json_t *tier, *v;
	size_t i;

	json_array_foreach(tiers, i, tier)
	{
		uint64_t from = (uint64_t)import_count(json_array_get(json_object_get(tier, "range"), 0));

		json_object_foreach(tier, key, v)
		{
			struct parsed p;

			if (strcmp(key, "range") == 0)
				continue;
			if (!parse_key(key, &p) || p.over > 0)
				return key;
			p.over = from;
			if (!put_price(c, &p, v))
				return key;
		}
	}
	return NULL;
}

/* The key that cannot be taken, or NULL. Characters stand beside tokens for the same text: tokens are what is counted.
 */
static const char *put_prices(const struct model_ctx *c, json_t *record)
{
	bool tokens = json_object_get(record, "input_cost_per_token") != NULL;
	const char *key;
	json_t *v;

	json_object_foreach(record, key, v)
	{
		struct parsed p;

		if (strcmp(key, "tiered_pricing") == 0) {
			const char *wrong = put_tiers(c, v);

			if (wrong)
				return wrong;
		} else if (strcmp(key, "search_context_cost_per_query") == 0) {
			if (!put_searches(c, v))
				return key;
		} else if (!is_price(key) || json_is_null(v) || (tokens && strstr(key, "_per_character"))) {
			continue;
		} else if (!parse_key(key, &p)) {
			if (!is_zero(v))
				return key;
		} else if (!put_price(c, &p, v)) {
			return key;
		}
	}
	return NULL;
}

static void take_model(struct import_work *w, const char *key, json_t *record)
{
	const char *theirs = import_text(json_object_get(record, "litellm_provider")), *wrong;
	char provider[64];
	struct model_ctx c = {.w = w, .provider = provider};

	if (!theirs || !*theirs || strlen(theirs) >= sizeof(provider))
		return;
	our_provider(theirs, provider, sizeof(provider));
	if (!import_wants(w, provider))
		return;
	c.name = our_model(key, theirs);
	if (!c.name) {
		import_note(w, provider, key, "a price for one region or size only; left out");
		return;
	}
	c.model = import_model(w, provider, c.name);
	if (!c.model)
		return;
	wrong = put_prices(&c, record);
	if (wrong) {
		import_note(w, provider, c.name, "left out: no unit for %.80s", wrong);
		import_drop_model(w, provider, c.model);
		return;
	}
	import_put_count(w, c.model, "ctx", import_count(json_object_get(record, "max_input_tokens")));
	import_put_count(w, c.model, "max_out", import_count(json_object_get(record, "max_output_tokens")));
}

int import_litellm(struct import_work *w, json_t *tree, char *reterr, size_t reterr_size)
{
	const char *key;
	json_t *record;

	if (!json_is_object(tree)) {
		(void)snprintf(reterr, reterr_size, "expected an object of models");
		return BUR_INVALID;
	}
	json_object_foreach(tree, key, record)
	{
		if (json_is_object(record) && strcmp(key, "sample_spec") != 0)
			take_model(w, key, record);
	}
	return BUR_OK;
}
