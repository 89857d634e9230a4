/* The edits of a request: to ask for usage, and to set or lower the bound of the output. */
#include "base/check.h"
#include "meter/reqscan_places.h"

/* How a vendor writes the bound: in the body itself, or in an object of it. */
enum member {
	MEMBER_NONE,
	MEMBER_MAX_TOKENS,
	MEMBER_MAX_COMPLETION,
	MEMBER_MAX_OUTPUT,
	MEMBER_META,
	MEMBER_GENERATE,
	MEMBER_INTERACTIONS,
	MEMBER_CONVERSE,
	MEMBER_TITAN,
	MEMBER_OLLAMA,
	MEMBER_COUNT
};

/* `first`, `second`: the names under which it may stand already. `config`: where the whole object is missing; NULL: it
 * stands in the body itself. */
static const struct {
	const char *name, *first, *second, *member, *config;
} members[MEMBER_COUNT] = {
    [MEMBER_NONE] = {NULL, NULL, NULL, NULL, NULL},
    [MEMBER_MAX_TOKENS] = {"max_tokens", "max_tokens", "max_completion_tokens", "\"max_tokens\":", NULL},
    [MEMBER_MAX_COMPLETION] = {"max_completion_tokens", "max_tokens", "max_completion_tokens",
			       "\"max_completion_tokens\":", NULL},
    [MEMBER_MAX_OUTPUT] = {"max_output_tokens", "max_output_tokens", NULL, "\"max_output_tokens\":", NULL},
    [MEMBER_META] = {"max_gen_len", "max_gen_len", NULL, "\"max_gen_len\":", NULL},
    [MEMBER_GENERATE] = {"maxOutputTokens", "maxOutputTokens", NULL,
			 "\"maxOutputTokens\":", "\"generationConfig\":{\"maxOutputTokens\":"},
    [MEMBER_INTERACTIONS] = {"max_output_tokens", "max_output_tokens", NULL,
			     "\"max_output_tokens\":", "\"generation_config\":{\"max_output_tokens\":"},
    [MEMBER_CONVERSE] = {"maxTokens", "maxTokens", "max_new_tokens",
			 "\"maxTokens\":", "\"inferenceConfig\":{\"maxTokens\":"},
    [MEMBER_TITAN] = {"maxTokenCount", "maxTokenCount", NULL,
		      "\"maxTokenCount\":", "\"textGenerationConfig\":{\"maxTokenCount\":"},
    [MEMBER_OLLAMA] = {"num_predict", "num_predict", NULL, "\"num_predict\":", "\"options\":{\"num_predict\":"},
};

static bool is_one_of(struct slice s, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (slice_ieq(s, slice_of(names[i])))
			return true;
	return false;
}

/* Chat's newer name of the bound: a vendor that does not know it would answer without any. */
static bool knows_max_completion(struct slice provider)
{
	static const char *const names[] = {"openai",     "azure",    "groq",    "xai",
					    "openrouter", "cerebras", "bedrock", "vllm"};

	return provider.n == 0 || is_one_of(provider, names, ARRAY_LEN(names));
}

uint8_t reqscan_bound_names(enum api_kind kind, uint8_t root_place, struct slice provider)
{
	if (kind == API_CHAT)
		return knows_max_completion(provider) ? BOUND_EITHER : BOUND_FIRST;
	return root_place == PL_CHAT || root_place == PL_INVOKE_NOVA || root_place == PL_BATCH ? BOUND_EITHER
											       : BOUND_FIRST;
}

static uint8_t chat_member(struct slice provider)
{
	static const char *const names[] = {"openai", "azure"};

	return is_one_of(provider, names, ARRAY_LEN(names)) ? MEMBER_MAX_COMPLETION : MEMBER_MAX_TOKENS;
}

uint8_t reqscan_member(enum api_kind kind, uint8_t root_place, struct slice provider)
{
	switch ((enum reqscan_place)root_place) {
	case PL_CHAT:
		return kind == API_CHAT ? chat_member(provider) : MEMBER_MAX_TOKENS;
	case PL_COMPLETIONS:
	case PL_MESSAGES_API:
	case PL_INVOKE_MESSAGES:
	case PL_COHERE_CHAT:
		return MEMBER_MAX_TOKENS;
	case PL_RESPONSES:
		return MEMBER_MAX_OUTPUT;
	case PL_GENERATE:
		return MEMBER_GENERATE;
	case PL_INTERACTIONS:
		return MEMBER_INTERACTIONS;
	case PL_CONVERSE:
	case PL_INVOKE_NOVA:
		return MEMBER_CONVERSE;
	case PL_INVOKE_TITAN:
		return MEMBER_TITAN;
	case PL_INVOKE_META:
		return MEMBER_META;
	case PL_OLLAMA:
		return MEMBER_OLLAMA;
	default:
		return MEMBER_NONE;
	}
}

static void set_max(struct reqscan *s, const char *name, uint64_t from, uint64_t to, const char *before,
		    const char *after)
{
	s->info.max_out_field = name;
	s->info.max_out_edit = (struct max_out_edit){from, to, before, after};
}

/* The name that counts stands there: its value is replaced. Two names at once are left alone, and so is one that counts
 * only with some vendors: a lower bound beside it might not hold. */
static bool plan_max_value(struct reqscan *s)
{
	unsigned which = !s->max[0].seen && s->max[1].seen;

	if (!s->max[which].seen)
		return false;
	if ((s->max[0].seen && s->max[1].seen) || (which == 1 && s->bound != BOUND_EITHER))
		return true;
	set_max(s, which ? members[s->member].second : members[s->member].first, s->max[which].begin, s->max[which].end,
		"", "");
	return true;
}

static void plan_max(struct reqscan *s)
{
	const char *name = members[s->member].name, *member = members[s->member].member;
	const char *config = members[s->member].config;
	uint64_t body = s->body_brace + 1, inner = s->config_brace + 1;

	if (!member || plan_max_value(s))
		return;
	if (!config)
		set_max(s, name, body, body, member, s->root_empty ? "" : ",");
	else if (s->config_token == 0)
		set_max(s, name, body, body, config, s->root_empty ? "}" : "},");
	else if (s->config_token == JT_OBJECT_BEGIN)
		set_max(s, name, inner, inner, member, s->config_empty ? "" : ",");
}

/* The least that may be thought: Anthropic's and OpenRouter's documented 1024, Gemini's dearest 512. */
static uint64_t thinking_min(const struct reqscan *s)
{
	if (s->kind == API_COHERE_CHAT)
		return 1;
	return s->kind == API_GENERATE ? 512 : 1024;
}

static void set_usage(struct reqscan *s, uint64_t from, uint64_t to, const char *text)
{
	s->info.has_usage_edit = true;
	s->info.usage_edit = (struct body_edit){from, to, text};
}

/* The one change that makes a chat stream end with its usage. */
static void plan_usage(struct reqscan *s)
{
	if ((s->kind != API_CHAT && s->kind != API_COMPLETIONS) || !s->info.stream || s->info.include_usage)
		return;
	if (s->options_token == 0)
		set_usage(s, s->body_brace + 1, s->body_brace + 1, "\"stream_options\":{\"include_usage\":true},");
	else if (s->options_token == JT_NULL)
		set_usage(s, s->options_begin, s->options_end, "{\"include_usage\":true}");
	else if (s->include_token != 0)
		set_usage(s, s->include_begin, s->include_end, "true");
	else
		set_usage(s, s->options_begin + 1, s->options_begin + 1,
			  s->options_empty ? "\"include_usage\":true" : "\"include_usage\":true,");
}

/* Only a plain number above zero is one: Gemini says "as you like" with -1 and "none" with 0. Two of them are left
 * alone. What is not understood bounds nothing that is paid for: the output's own bound does. */
void reqscan_take_thinking(struct reqscan *s, enum json_token t, bool quoted)
{
	struct slice text = json_text(&s->json);
	uint64_t v = 0, begin = s->json.token_begin;

	if ((t != JT_NUMBER && !quoted) || s->json.cut || slice_u64(text, &v) < 0 || v == 0)
		return;
	if (s->thinking_seen)
		s->info.thinking_edit = (struct body_span){0, 0};
	else
		s->info.thinking_edit = (struct body_span){begin, quoted ? s->json.offset : begin + text.n};
	s->thinking_seen = true;
	if (v > s->info.thinking_budget)
		s->info.thinking_budget = v;
}

void reqscan_plan_edits(struct reqscan *s)
{
	CHECK(s->member < MEMBER_COUNT);
	plan_usage(s);
	s->info.thinking_min = thinking_min(s);
	if (!s->is_form)
		plan_max(s);
}
