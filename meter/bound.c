#include "meter/bound.h"

#include "base/error.h"

/* Tokens that a vendor wraps around a message (role, separators), and around a request. */
#define MESSAGE_OVERHEAD_TOKENS 8
#define REQUEST_OVERHEAD_TOKENS 32
/* Anthropic adds a system prompt when tools are offered: 159 to 804 tokens by model ("Tool use", pricing section). */
#define TOOLS_OVERHEAD_TOKENS 1024
/* Dearest picture, unless the book names a model's own: OpenAI 10 000 patches at detail "original" (images guide),
 * Anthropic 4 784 tokens at 2576 pixels (vision guide), Gemini two times the 2 240 of ultra-high media resolution,
 * for pictures that are cut into tiles. */
#define OPENAI_IMAGE_TOKENS 10000
#define ANTHROPIC_IMAGE_TOKENS 4784
#define GEMINI_IMAGE_TOKENS 4480
/* A call may begin before and be priced after a change of the time of day; this is as long as one may wait. */
#define CALL_SECONDS_MAX 600

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* --- money -------------------------------------------------------------------------------------------------------- */

/* Which tiers may the call be served on? Named: "auto" and whatever is new may become priority. Not named: what the
 * vendor calls its default. A project whose default is set to priority at the vendor settles dearer than it was held,
 * and shows as an overrun. Flex is held as standard, for models that do not have it. */
static bool may_be_priority(const char *tier)
{
	static const char *const standard[] = {"", "default", "standard", "standard_only", "flex", "batch"};

	for (size_t i = 0; i < ARRAY_LEN(standard); i++)
		if (slice_ieq(slice_of(tier), slice_of(standard[i])))
			return false;
	return true;
}

/* An absent geography is the workspace's own, which may be the dear one. */
static struct price_terms terms_of(const struct request_info *q, int64_t at_s)
{
	return (struct price_terms){.at_s = at_s,
				    .service = SERVICE_STANDARD,
				    .fast = slice_ieq(slice_of(q->speed), SLICE("fast")),
				    .us = !slice_ieq(slice_of(q->inference_geo), SLICE("global"))};
}

/* Anthropic writes a cache only where the request marks it, others on their own. */
static struct price_doubt doubt_of(enum api_kind kind, const struct request_info *q, int64_t at_s)
{
	return (struct price_doubt){.until_s = at_s + CALL_SECONDS_MAX,
				    .may_priority = may_be_priority(q->service_tier),
				    .may_write_cache = kind != API_MESSAGES || q->cache_marks,
				    .may_write_cache_1h = kind == API_MESSAGES && q->cache_marks_1h};
}

static struct quantities quantities_of(const struct request_info *q, uint64_t input, uint64_t output)
{
	struct quantities n = {{0}};

	n.n[PRICE_REQ] = 1;
	n.n[PRICE_IN] = input;
	n.n[PRICE_IN_AUDIO] = q->audios > 0 ? input : 0;
	n.n[PRICE_IN_IMAGE] = q->images > 0 ? input : 0;
	n.n[PRICE_OUT] = n.n[PRICE_OUT_AUDIO] = n.n[PRICE_OUT_IMAGE] = output;
	return n;
}

static int worst(const struct price_model *m, enum api_kind kind, const struct request_info *q, uint64_t input,
		 uint64_t output, int64_t at_s, int64_t *ret_nanousd)
{
	struct quantities n = quantities_of(q, input, output);
	struct price_doubt doubt = doubt_of(kind, q, at_s);
	struct price_terms terms = terms_of(q, at_s);
	struct cost_sum sum;
	int r = price_worst(m, &n, &terms, &doubt, &sum);

	return r < 0 ? r : cost_ceil_nanousd(&sum, ret_nanousd);
}

/* --- tokens ------------------------------------------------------------------------------------------------------- */

static uint64_t image_tokens(const struct price_model *m, enum api_kind kind)
{
	uint64_t own = price_model_image_max(m);

	if (own > 0)
		return own;
	switch (kind) {
	case API_MESSAGES:
		return ANTHROPIC_IMAGE_TOKENS;
	case API_GENERATE:
		return GEMINI_IMAGE_TOKENS;
	default:
		return OPENAI_IMAGE_TOKENS;
	}
}

/* Text is at most a token a byte. False: more than 2^63. */
static bool bound_input(const struct price_model *m, enum api_kind kind, const struct request_info *q, uint64_t *ret)
{
	uint64_t tokens = q->body_bytes - least(q->body_bytes, q->image_bytes), part;

	if (__builtin_mul_overflow(q->messages, (uint64_t)MESSAGE_OVERHEAD_TOKENS, &part) ||
	    __builtin_add_overflow(tokens, part, &tokens))
		return false;
	if (__builtin_mul_overflow(q->images, image_tokens(m, kind), &part) ||
	    __builtin_add_overflow(tokens, part, &tokens))
		return false;
	part = REQUEST_OVERHEAD_TOKENS + (q->tools ? TOOLS_OVERHEAD_TOKENS : 0);
	if (__builtin_add_overflow(tokens, part, &tokens) || tokens > INT64_MAX)
		return false;
	*ret = tokens;
	return true;
}

/* Input that is not in the body can still not exceed the model's context. */
static bool input_is_elsewhere(enum api_kind kind, const struct request_info *q)
{
	return q->stored_context || q->files > 0 || (q->audios > 0 && (q->remote_parts || kind == API_GENERATE));
}

static enum bound_result bound_output(const struct price_model *m, enum api_kind kind, const struct request_info *q,
				      uint64_t *ret)
{
	uint64_t max_out = price_model_max_out(m), context = price_model_context(m);
	uint64_t model_max = most(max_out, context), tokens;

	*ret = 0;
	if (kind == API_EMBEDDINGS)
		return BOUND_OK;
	if (q->has_max_out)
		tokens = model_max > 0 ? least(q->max_out, model_max) : q->max_out;
	else
		tokens = max_out > 0 ? max_out : context;
	if (tokens == 0)
		return BOUND_UNBOUNDED;
	/* rejected parts of a prediction are billed as output */
	if (q->prediction && __builtin_add_overflow(tokens, q->body_bytes, &tokens))
		return BOUND_OVERFLOW;
	if (__builtin_mul_overflow(tokens, q->candidates > 0 ? q->candidates : 1, ret) || *ret > INT64_MAX)
		return BOUND_OVERFLOW;
	return BOUND_OK;
}

static enum bound_result unbounded_reason(const struct price_model *m, enum api_kind kind, const struct request_info *q,
					  const char **ret_why)
{
	if (q->background)
		*ret_why = "the request asks for background mode, whose bill comes with a later call; send it without "
			   "`background`, or use a soft budget";
	else if (q->hosted_tools)
		*ret_why =
		    "the request lets the vendor run tools (web search, file search, code execution, MCP, "
		    "compaction, fallbacks) and go round as often as it likes; remove them, or use a soft budget";
	else if (input_is_elsewhere(kind, q) && price_model_context(m) == 0)
		*ret_why =
		    "the request refers to files, audio or a conversation whose size is not in it, and the price "
		    "book does not know the model's context size; send it inline, or use a soft budget";
	else
		return BOUND_OK;
	return BOUND_UNBOUNDED;
}

/* --- bounds ------------------------------------------------------------------------------------------------------- */

enum bound_result bound_upper(const struct price_model *m, enum api_kind kind, const struct request_info *q,
			      int64_t at_s, struct bound *ret, const char **ret_why)
{
	enum bound_result b = unbounded_reason(m, kind, q, ret_why);
	uint64_t input, output;
	int r;

	if (b != BOUND_OK)
		return b;
	b = bound_output(m, kind, q, &output);
	if (b == BOUND_UNBOUNDED)
		*ret_why =
		    "neither the request nor the price book says how much the model may answer; set a maximum of "
		    "output tokens in the request";
	if (b != BOUND_OK)
		return b;
	if (!bound_input(m, kind, q, &input))
		return BOUND_OVERFLOW;
	if (input_is_elsewhere(kind, q))
		input = most(input, price_model_context(m));
	*ret = (struct bound){.input_tokens = input, .output_tokens = output};
	r = worst(m, kind, q, input, 0, at_s, &ret->input_nanousd);
	if (r == BUR_OK)
		r = worst(m, kind, q, input, output, at_s, &ret->worst_nanousd);
	return r == BUR_OK ? BOUND_OK : r == BUR_NOTFOUND ? BOUND_NO_PRICE : BOUND_OVERFLOW;
}

int bound_estimate(const struct price_model *m, const struct request_info *q, uint64_t input_tokens,
		   uint64_t output_tokens, int64_t at_s, int64_t *ret_nanousd)
{
	/* no kind here: cache writes are taken as possible, which is the dearer reading */
	return worst(m, q->cache_marks ? API_MESSAGES : API_CHAT, q, input_tokens, output_tokens, at_s, ret_nanousd);
}
