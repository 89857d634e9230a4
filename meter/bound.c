#include "meter/bound.h"

#include "base/error.h"
#include "meter/bound_impl.h"

/* Tokens that a vendor wraps around a message (role, separators), and around a request. */
#define MESSAGE_OVERHEAD_TOKENS 8
#define REQUEST_OVERHEAD_TOKENS 32
/* Anthropic adds a system prompt when tools are offered: 159 to 804 tokens by model ("Tool use", pricing section). */
#define TOOLS_OVERHEAD_TOKENS 1024
/* Dearest picture of a kind of call, when neither the book nor the model's name tells (image_tokens.h): OpenAI 10 000
 * patches at detail "original" (images guide), Anthropic 4 784 tokens at 2576 pixels (vision guide), Gemini two times
 * the 2 240 of ultra-high media resolution, for pictures that are cut into tiles. */
#define OPENAI_IMAGE_TOKENS 10000
#define ANTHROPIC_IMAGE_TOKENS 4784
#define GEMINI_IMAGE_TOKENS 4480
/* A call may begin before and be priced after a change of the time of day; this is as long as one may wait. */
#define CALL_SECONDS_MAX 600
#define BATCH_SECONDS_MAX 86400

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

uint64_t bound_plus(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

uint64_t bound_times(uint64_t a, uint64_t b)
{
	uint64_t product;

	return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

enum bound_result bound_unbounded(struct sketch *s, const char *why)
{
	s->why = why;
	return BOUND_UNBOUNDED;
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
static struct price_terms terms_of(enum api_kind kind, const struct request_info *q, int64_t at_s)
{
	struct slice speed = slice_of(q->speed);

	return (struct price_terms){.at_s = at_s,
				    .service = kind == API_BATCH_SUBMIT ? SERVICE_BATCH : SERVICE_STANDARD,
				    .fast = slice_ieq(speed, SLICE("fast")) || slice_ieq(speed, SLICE("optimized")),
				    .us = !slice_ieq(slice_of(q->inference_geo), SLICE("global")),
				    .call_input = q->call_input,
				    .residency = q->residency};
}

/* Anthropic's models write a cache only where the request marks it, others on their own. */
static struct price_doubt doubt_of(enum api_kind kind, const struct request_info *q, int64_t at_s)
{
	bool batch = kind == API_BATCH_SUBMIT;
	bool marked = kind == API_MESSAGES || kind == API_CONVERSE || kind == API_INVOKE || (batch && !q->batch_lines);

	return (struct price_doubt){.until_s = at_s + (batch ? BATCH_SECONDS_MAX : CALL_SECONDS_MAX),
				    .may_priority = !batch && may_be_priority(q->service_tier),
				    .may_write_cache = !marked || q->cache_marks,
				    .may_write_cache_1h = q->cache_marks_1h};
}

static void set_tokens(struct quantities *n, const struct request_info *q, uint64_t input, uint64_t output)
{
	n->n[PRICE_IN] = input;
	n->n[PRICE_IN_AUDIO] = q->audios > 0 || q->upload_bytes > 0 ? input : 0;
	n->n[PRICE_IN_IMAGE] = q->images > 0 ? input : 0;
	n->n[PRICE_IN_VIDEO] = q->files > 0 ? input : 0;
	n->n[PRICE_OUT] = n->n[PRICE_OUT_AUDIO] = n->n[PRICE_OUT_IMAGE] = n->n[PRICE_OUT_VIDEO] = output;
}

static int worst(const struct price_model *m, enum api_kind kind, const struct request_info *q,
		 const struct quantities *n, int64_t at_s, int64_t *ret_nanousd)
{
	struct price_doubt doubt = doubt_of(kind, q, at_s);
	struct price_terms terms = terms_of(kind, q, at_s);
	struct cost_sum sum;
	int r = price_worst(m, n, &terms, &doubt, &sum);

	return r < 0 ? r : cost_ceil_nanousd(&sum, ret_nanousd);
}

/* --- input tokens ------------------------------------------------------------------------------------------------- */

static uint64_t dearest_image(const struct sketch *s)
{
	switch (s->kind) {
	case API_MESSAGES:
		return ANTHROPIC_IMAGE_TOKENS;
	case API_GENERATE:
	case API_INTERACTIONS:
		return GEMINI_IMAGE_TOKENS;
	default:
		return OPENAI_IMAGE_TOKENS;
	}
}

/* By the formula of the model, which the book's name tells better than the caller's own; the book may know less. */
static uint64_t image_tokens(const struct sketch *s)
{
	const struct request_info *q = s->q;
	struct slice id = slice_of(price_model_id(s->model)), asked = slice_of(q->model);
	uint64_t own = price_model_image_max(s->model), tokens;

	if (image_model_known(id))
		tokens = image_tokens_bound(id, &q->image_sums, q->images, q->media_resolution);
	else if (image_model_known(asked))
		tokens = image_tokens_bound(asked, &q->image_sums, q->images, q->media_resolution);
	else
		tokens = bound_times(q->images, dearest_image(s));
	return own > 0 ? least(tokens, bound_times(q->images, own)) : tokens;
}

uint64_t bound_text_tokens(const struct request_info *q)
{
	uint64_t data = most(q->image_bytes, q->upload_bytes);
	uint64_t tokens = q->body_bytes - least(q->body_bytes, data);
	uint64_t around = REQUEST_OVERHEAD_TOKENS + (q->tools ? TOOLS_OVERHEAD_TOKENS : 0);

	tokens = bound_plus(tokens, bound_times(q->messages, MESSAGE_OVERHEAD_TOKENS));
	return bound_plus(tokens, bound_times(around, most(q->batch_items, 1)));
}

/* Text is at most a token a byte. Pictures and files are bounded by what they are. */
uint64_t bound_text(const struct sketch *s)
{
	uint64_t tokens = bound_plus(bound_text_tokens(s->q), image_tokens(s));

	return s->counted > 0 ? least(tokens, s->counted) : tokens;
}

/* Input that is not in the body, or whose tokens are no matter of bytes, can still not exceed the model's context. */
static bool input_is_elsewhere(const struct sketch *s)
{
	const struct request_info *q = s->q;
	bool loose_audio = s->kind != API_CHAT && s->kind != API_RESPONSES;

	return q->stored_context || q->files > 0 || (q->audios > 0 && (q->remote_parts || loose_audio));
}

static enum bound_result bound_input(struct sketch *s)
{
	uint64_t context = price_model_context(s->model);

	s->input = bound_text(s);
	if (!input_is_elsewhere(s))
		return BOUND_OK;
	if (context == 0)
		return bound_unbounded(
		    s, "the request refers to files, audio or a conversation whose size is not in it, and the price "
		       "book does not know the model's context size; send it inline, or use a soft budget");
	s->input = most(s->input, bound_times(context, most(s->q->batch_items, 1)));
	return BOUND_OK;
}

/* --- output tokens ------------------------------------------------------------------------------------------------ */

uint64_t bound_model_out(const struct sketch *s)
{
	uint64_t max_out = price_model_max_out(s->model);

	return max_out > 0 ? max_out : price_model_context(s->model);
}

bool bound_is_for_text(const struct sketch *s)
{
	return (s->kind == API_GENERATE || s->kind == API_INTERACTIONS) &&
	       (s->q->audio_output || price_model_has(s->model, PRICE_OUT_IMAGE));
}

uint64_t bound_answer(const struct sketch *s)
{
	uint64_t model_max = most(price_model_max_out(s->model), price_model_context(s->model));

	if (!s->q->has_max_out)
		return bound_model_out(s);
	if (bound_is_for_text(s))
		return bound_model_out(s) > 0 ? most(bound_model_out(s), s->q->max_out) : 0;
	return model_max > 0 ? least(s->q->max_out, model_max) : s->q->max_out;
}

static enum bound_result no_output_bound(struct sketch *s)
{
	return bound_unbounded(s, "neither the request nor the price book says how much the model may answer; set a "
				  "maximum of output tokens in the request");
}

static enum bound_result bound_output(struct sketch *s)
{
	const struct request_info *q = s->q;
	uint64_t tokens = bound_answer(s);

	if (tokens == 0)
		return no_output_bound(s);
	/* rejected parts of a prediction are billed as output */
	if (q->prediction)
		tokens = bound_plus(tokens, q->body_bytes);
	s->output = bound_times(tokens, most(q->candidates, 1));
	if (s->kind == API_COMPLETIONS) /* each of several prompts is answered */
		s->output = bound_times(s->output, most(q->messages, 1));
	return BOUND_OK;
}

/* --- tools that the vendor runs ----------------------------------------------------------------------------------- */

static bool fees_known(const struct sketch *s)
{
	static const struct {
		uint8_t tool;
		enum price_unit fee;
	} tools[] = {{HOSTED_WEB, PRICE_WEB},
		     {HOSTED_FILE, PRICE_FILE},
		     {HOSTED_CODE, PRICE_CODE},
		     {HOSTED_IMAGE, PRICE_IMAGES}};

	for (size_t i = 0; i < ARRAY_LEN(tools); i++)
		if ((s->q->hosted & tools[i].tool) && !price_model_has(s->model, tools[i].fee))
			return false;
	return true;
}

/* Every call of a tool is followed by another pass over all that was said so far; the answer's own bound holds for all
 * passes together. */
static enum bound_result bound_hosted(struct sketch *s)
{
	const struct request_info *q = s->q;
	uint64_t context = price_model_context(s->model);

	if (!q->hosted_tools)
		return BOUND_OK;
	if (q->hosted & HOSTED_OTHER)
		return bound_unbounded(
		    s,
		    "the request lets the vendor run tools or models that have no bound (MCP, agents, code, fallbacks, "
		    "compaction, search as often as it likes); remove them, or use a soft budget");
	if (!q->hosted_bounded)
		return bound_unbounded(
		    s, "the request lets the vendor run tools as often as it likes; set `max_tool_calls` (OpenAI) or "
		       "`max_uses` of each tool (Anthropic), remove them, or use a soft budget");
	if (context == 0)
		return bound_unbounded(s,
				       "each call of a tool bills the conversation again, and the price book does not "
				       "know the model's context size; remove the tools, or use a soft budget");
	if (!fees_known(s))
		return bound_unbounded(s,
				       "the price book does not know what a call of the vendor's tool costs with this "
				       "model; remove the tool, or set its price (`web`, `file`, `code`, `img`)");
	s->input = most(s->input, bound_times(context, most(q->batch_items, 1)));
	s->input = q->batch_items > 0 ? bound_plus(s->input, bound_times(context, q->hosted_calls))
				      : bound_times(s->input, bound_plus(q->hosted_calls, 1));
	s->n.n[PRICE_WEB] = q->hosted & HOSTED_WEB ? q->hosted_calls : 0;
	s->n.n[PRICE_FILE] = q->hosted & HOSTED_FILE ? q->hosted_calls : 0;
	s->n.n[PRICE_CODE] = q->hosted & HOSTED_CODE ? q->hosted_calls : 0;
	s->n.n[PRICE_IMAGES] = q->hosted & HOSTED_IMAGE ? q->hosted_calls : 0;
	return BOUND_OK;
}

/* --- kinds of calls ----------------------------------------------------------------------------------------------- */

static enum bound_result bound_tokens(struct sketch *s)
{
	enum bound_result r;

	if (price_model_has(s->model, PRICE_OUT_CITATION))
		return bound_unbounded(s, "this model searches by itself as often as it likes, and bills what it cites "
					  "beside the answer; use another model, or a soft budget");
	r = bound_input(s);
	if (r == BOUND_OK)
		r = bound_hosted(s);
	return r == BOUND_OK ? bound_output(s) : r;
}

static enum bound_result bound_embeddings(struct sketch *s)
{
	s->n.n[PRICE_CHARS] = s->q->body_bytes;
	return bound_input(s);
}

/* One kind for several endpoints: the model's own prices tell which of the quantities count. */
static enum bound_result bound_cohere_units(struct sketch *s)
{
	enum bound_result r = bound_input(s);

	bound_rerank(s);
	if (r == BOUND_OK)
		r = bound_hosted(s);
	return r == BOUND_OK && price_model_has(s->model, PRICE_OUT) ? bound_output(s) : r;
}

static enum bound_result bound_batch(struct sketch *s)
{
	const struct request_info *q = s->q;
	uint64_t each = bound_model_out(s);
	enum bound_result r;

	if (q->batch_file && !q->batch_lines)
		return bound_unbounded(s, "the batch's requests stand in a file at the vendor that is not known here");
	if (q->mixed_models)
		return bound_unbounded(s, "the batch names several models; order one batch for each model");
	if (q->batch_uncapped > 0 && each == 0 && price_model_has(s->model, PRICE_OUT))
		return no_output_bound(s);
	r = bound_input(s);
	if (r == BOUND_OK)
		r = bound_hosted(s);
	s->output = bound_plus(q->max_out, bound_times(q->batch_uncapped, each));
	s->n.n[PRICE_REQ] = q->batch_items;
	s->n.n[PRICE_CHARS] = q->batch_lines ? q->body_bytes : 0;
	return r;
}

static enum bound_result bound_kind(struct sketch *s)
{
	switch (s->kind) {
	case API_CHAT:
	case API_COMPLETIONS:
	case API_RESPONSES:
	case API_MESSAGES:
	case API_GENERATE:
	case API_INTERACTIONS:
	case API_CONVERSE:
	case API_INVOKE:
	case API_COHERE_CHAT:
	case API_OLLAMA:
		return bound_tokens(s);
	case API_EMBEDDINGS:
	case API_EMBED_CONTENT:
	case API_OLLAMA_EMBED:
		return bound_embeddings(s);
	case API_COHERE_UNITS:
		return bound_cohere_units(s);
	case API_IMAGES:
		return bound_images(s);
	case API_PREDICT:
		return bound_predict(s);
	case API_SPEECH:
		return bound_speech(s);
	case API_TRANSCRIPTIONS:
		return bound_transcriptions(s);
	case API_OCR:
		return bound_ocr(s);
	case API_BATCH_SUBMIT:
		return bound_batch(s);
	case API_REALTIME:
		return bound_unbounded(s, "a realtime session goes on as long as it likes; use a soft budget");
	default:
		return bound_unbounded(s, "what this call may cost is not known; use a soft budget");
	}
}

/* Calls that cost nothing, or whose bill belongs to an earlier one. */
static bool is_free(enum api_kind kind)
{
	return api_kind_is_unbilled(kind) || kind == API_RESPONSE_LATE || kind == API_INTERACTION_LATE ||
	       kind == API_BATCH || kind == API_BATCH_RESULTS;
}

/* --- bounds ------------------------------------------------------------------------------------------------------- */

static int price_sketch(struct sketch *s, int64_t at_s, struct bound *ret)
{
	struct quantities input = s->n;
	int r;

	if (s->input > INT64_MAX || s->output > INT64_MAX)
		return BUR_OVERFLOW;
	*ret = (struct bound){.input_tokens = s->input, .output_tokens = s->output};
	set_tokens(&s->n, s->q, s->input, s->output);
	set_tokens(&input, s->q, s->input, 0);
	r = worst(s->model, s->kind, s->q, &input, at_s, &ret->input_nanousd);
	return r < 0 ? r : worst(s->model, s->kind, s->q, &s->n, at_s, &ret->worst_nanousd);
}

static enum bound_result upper(struct sketch *s, int64_t at_s, struct bound *ret)
{
	enum bound_result b = bound_kind(s);
	int r;

	if (b != BOUND_OK)
		return b;
	r = price_sketch(s, at_s, ret);
	return r == BUR_OK ? BOUND_OK : r == BUR_NOTFOUND ? BOUND_NO_PRICE : BOUND_OVERFLOW;
}

enum bound_result bound_upper(const struct price_model *m, enum api_kind kind, const struct request_info *q,
			      int64_t at_s, struct bound *ret, const char **ret_why)
{
	struct sketch s = {.model = m, .kind = kind, .q = q, .n = {{[PRICE_REQ] = 1}}};
	enum bound_result b;

	*ret = (struct bound){0};
	if (is_free(kind))
		return BOUND_OK;
	b = upper(&s, at_s, ret);
	if (b == BOUND_UNBOUNDED)
		*ret_why = s.why;
	return b;
}

enum bound_result bound_tighten(const struct price_model *m, enum api_kind kind, const struct request_info *q,
				int64_t at_s, const struct prompt_count *count, bool estimate, struct bound *inout)
{
	struct sketch s = {.model = m, .kind = kind, .q = q, .n = {{[PRICE_REQ] = 1}}};
	struct bound tight = {0};
	enum bound_result b;

	s.counted = bound_plus(count->tokens, count->margin_tokens);
	if (is_free(kind) || s.counted == 0 || (!count->exact && !estimate))
		return BOUND_OK;
	b = upper(&s, at_s, &tight);
	if (b == BOUND_OK && tight.worst_nanousd < inout->worst_nanousd)
		*inout = tight;
	return b;
}

int bound_estimate(const struct price_model *m, const struct request_info *q, uint64_t input_tokens,
		   uint64_t output_tokens, int64_t at_s, int64_t *ret_nanousd)
{
	struct quantities n = {{[PRICE_REQ] = 1}};

	/* no kind here: cache writes are taken as possible, which is the dearer reading */
	set_tokens(&n, q, input_tokens, output_tokens);
	return worst(m, q->cache_marks ? API_MESSAGES : API_CHAT, q, &n, at_s, ret_nanousd);
}

bool bound_is_seen(const struct price_model *m, enum api_kind kind, const struct request_info *q)
{
	static const enum price_unit things[] = {PRICE_CHARS,   PRICE_AUDIO_MS, PRICE_IN_AUDIO_MS, PRICE_OUT_AUDIO_MS,
						 PRICE_VIDEO_S, PRICE_PIXELS,   PRICE_PAGES,       PRICE_RERANK};
	bool pictures = kind == API_IMAGES || kind == API_PREDICT;

	for (size_t i = 0; i < ARRAY_LEN(things); i++)
		if (price_model_has(m, things[i]))
			return false;
	return !(pictures && price_model_has(m, PRICE_IMAGES)) && !q->hosted_tools && !q->prediction &&
	       !q->reasoning_hidden && !price_model_hides_reasoning(m, q->thinking);
}
