/* What the values of a request mean: bounds and words. */
#include "base/error.h"
#include "meter/reqscan_places.h"

/* --- values ------------------------------------------------------------------------------------------------------- */

int reqscan_take_model(struct reqscan *s, struct slice name, bool cut)
{
	size_t i;

	if (cut || name.n == 0 || name.n > MODEL_NAME_MAX)
		return reqscan_bad_value(s, ID_MODEL);
	for (i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] < 0x20 || name.p[i] == 0x7f)
			return reqscan_bad_value(s, ID_MODEL);
	if (s->info.model[0] != '\0' && !slice_eq(name, slice_of(s->info.model)))
		s->info.mixed_models = true;
	if (s->is_openrouter && (slice_iends(name, SLICE(":nitro")) || slice_iends(name, SLICE(":exacto")) ||
				 slice_iends(name, SLICE(":online")))) {
		s->info.hosted_tools = true; /* by dearer sellers, or with searches */
		s->info.hosted |= HOSTED_OTHER;
	}
	(void)slice_to_cstr(name, s->info.model, sizeof(s->info.model));
	return BUR_OK;
}

static int take_model(struct reqscan *s, enum json_token t)
{
	if (t == JT_NULL)
		return BUR_OK;
	if (t != JT_STRING)
		return reqscan_bad_value(s, ID_MODEL);
	if (s->walk.depth == 1) /* not that of a batch's item */
		s->info.model_edit = (struct body_span){s->json.token_begin, s->json.offset};
	return reqscan_take_model(s, json_text(&s->json), s->json.cut);
}

/* Protobuf's reader takes numbers in quotes as well. */
static bool takes_quoted(const struct reqscan *s)
{
	return s->kind == API_GENERATE || s->kind == API_BATCH_SUBMIT || s->kind == API_INTERACTIONS ||
	       s->kind == API_PREDICT;
}

/* A count: digits only. null is as absent. */
static int take_count(struct reqscan *s, uint8_t id, enum json_token t, uint64_t *ret)
{
	bool quoted = t == JT_STRING && takes_quoted(s);

	if (t == JT_NULL)
		return BUR_OK;
	if ((t != JT_NUMBER && !quoted) || s->json.cut || slice_u64(json_text(&s->json), ret) < 0)
		return reqscan_bad_value(s, id);
	return BUR_OK;
}

/* Ollama says "no bound" with negative numbers. */
static bool is_no_bound(const struct reqscan *s, enum json_token t)
{
	int64_t v;

	return s->kind == API_OLLAMA && t == JT_NUMBER && slice_i64(json_text(&s->json), &v) == BUR_OK && v < 0;
}

/* Which of two names counts is decided when both are known. */
static int take_max(struct reqscan *s, uint8_t id, enum json_token t)
{
	unsigned which = id == ID_MAX_COMPLETION;
	uint64_t v = 0;
	int r = is_no_bound(s, t) ? BUR_OK : take_count(s, id, t, &v);

	if (r < 0)
		return r;
	/* two objects of the same body can name it: the larger is safe, and neither is edited */
	if (s->max[which].seen)
		s->max[!which].seen = true;
	if (v > s->max[which].value)
		s->max[which].value = v;
	s->max[which].seen = true;
	s->max[which].begin = s->json.token_begin;
	s->max[which].end =
	    t == JT_STRING ? s->json.offset : s->json.token_begin + (t == JT_NULL ? 4 : json_text(&s->json).n);
	return BUR_OK;
}

void reqscan_take_candidates(struct reqscan *s, uint64_t n)
{
	if (n == 0)
		return;
	if (!s->info.has_candidates || n > s->info.candidates)
		s->info.candidates = n;
	s->info.has_candidates = true;
}

static int take_candidates(struct reqscan *s, uint8_t id, enum json_token t)
{
	uint64_t v = 0;
	int r = take_count(s, id, t, &v);

	if (r == BUR_OK)
		reqscan_take_candidates(s, v);
	return r;
}

static int take_bool(struct reqscan *s, uint8_t id, enum json_token t, bool *ret)
{
	if (t != JT_TRUE && t != JT_FALSE && t != JT_NULL)
		return reqscan_bad_value(s, id);
	if (t != JT_NULL || s->kind != API_OLLAMA)
		*ret = t == JT_TRUE;
	return BUR_OK;
}

static int take_word(struct reqscan *s, uint8_t id, enum json_token t, char dst[16])
{
	if (t == JT_NULL)
		return BUR_OK;
	if (t != JT_STRING)
		return reqscan_bad_value(s, id);
	(void)slice_to_cstr(json_text(&s->json), dst, 16);
	return BUR_OK;
}

static int take_include_usage(struct reqscan *s, enum json_token t)
{
	s->include_token = (uint8_t)t;
	s->include_begin = s->json.token_begin;
	s->include_end = s->include_begin + (t == JT_FALSE ? 5 : 4);
	return take_bool(s, ID_INCLUDE_USAGE, t, &s->info.include_usage);
}

static int take_options_scalar(struct reqscan *s, enum json_token t)
{
	if (t != JT_NULL)
		return reqscan_bad_value(s, ID_OPTIONS);
	s->options_token = (uint8_t)t;
	s->options_begin = s->json.token_begin;
	s->options_end = s->options_begin + 4;
	return BUR_OK;
}

/* --- pictures asked for, speech, transcription -------------------------------------------------------------------- */

/* "1024x1024"; words ("auto") leave it to the vendor. */
int reqscan_take_size(struct reqscan *s, struct slice text)
{
	struct slice w, h;
	uint64_t width, height;

	s->info.width = s->info.height = 0;
	if (!slice_cut(text, 'x', &w, &h) || slice_u64(w, &width) < 0 || slice_u64(h, &height) < 0 ||
	    width > UINT32_MAX || height > UINT32_MAX)
		return BUR_OK;
	s->info.width = (uint32_t)width;
	s->info.height = (uint32_t)height;
	return BUR_OK;
}

void reqscan_take_quality(struct reqscan *s, struct slice text)
{
	static const struct {
		const char *word;
		uint8_t quality;
	} words[] = {{"low", QUALITY_LOW},
		     {"medium", QUALITY_MEDIUM},
		     {"high", QUALITY_HIGH},
		     {"standard", QUALITY_STANDARD},
		     {"hd", QUALITY_HD}};

	s->info.quality = QUALITY_OTHER;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (slice_eq(text, slice_of(words[i].word)))
			s->info.quality = words[i].quality;
}

void reqscan_take_format(struct reqscan *s, struct slice text)
{
	s->info.plain_answer |=
	    s->kind == API_TRANSCRIPTIONS &&
	    (slice_eq(text, SLICE("text")) || slice_eq(text, SLICE("srt")) || slice_eq(text, SLICE("vtt")));
}

static int take_small(struct reqscan *s, uint8_t id, enum json_token t, uint64_t max, uint64_t *ret)
{
	int r = take_count(s, id, t, ret);

	return r == BUR_OK && *ret > max ? reqscan_bad_value(s, id) : r;
}

static int take_dimension(struct reqscan *s, uint8_t id, enum json_token t)
{
	uint64_t v = 0;
	int r = take_small(s, id, t, UINT32_MAX, &v);

	*(id == ID_WIDTH ? &s->info.width : &s->info.height) = (uint32_t)v;
	return r;
}

static int take_partial_images(struct reqscan *s, enum json_token t)
{
	uint64_t v = 0;
	int r = take_small(s, ID_PARTIAL_IMAGES, t, UINT8_MAX, &v);

	s->info.partial_images = (uint8_t)v;
	return r;
}

static int take_calls_max(struct reqscan *s, enum json_token t)
{
	s->has_calls_max = t != JT_NULL;
	return take_count(s, ID_TOOL_CALLS_MAX, t, &s->calls_max);
}

static int take_tool_uses(struct reqscan *s, enum json_token t)
{
	s->tool_has_uses = t != JT_NULL;
	return take_count(s, ID_TOOL_USES, t, &s->tool_uses);
}

/* Whatever is no text is refused: its characters could not be counted. */
static int take_speech(struct reqscan *s, enum json_token t)
{
	if (t != JT_STRING)
		return reqscan_bad_value(s, ID_SPEECH_INPUT);
	s->info.input_chars = s->chars;
	return BUR_OK;
}

/* --- by id -------------------------------------------------------------------------------------------------------- */

/* A line of a batch's file that is no POST is something else than the request that is read. */
static int take_line_method(struct reqscan *s, enum json_token t)
{
	return t == JT_STRING && slice_eq(json_text(&s->json), SLICE("POST")) ? BUR_OK
									      : reqscan_bad_value(s, ID_LINE_METHOD);
}

/* What the vendor does then has no bound. */
static void hosted_other(struct reqscan *s)
{
	s->info.hosted_tools = true;
	s->info.hosted |= HOSTED_OTHER;
}

/* Kept at the vendor, or done by the vendor: its mere presence matters. */
void reqscan_take_presence(struct reqscan *s, uint8_t id)
{
	switch ((enum reqscan_id)id) {
	case ID_PREVIOUS:
	case ID_CONVERSATION:
	case ID_CACHED_CONTENT:
		s->info.stored_context = true;
		break;
	case ID_AGENT:
	case ID_PROMPT: /* a prompt that is kept there may bring tools of its own */
		s->info.stored_context = true;
		s->info.agent |= id == ID_AGENT;
		if (id == ID_AGENT || s->kind == API_RESPONSES)
			hosted_other(s);
		break;
	case ID_HOSTED:
		hosted_other(s);
		break;
	case ID_PREDICTION:
		s->info.prediction = true;
		break;
	case ID_THINKING:
	case ID_REASONING:
	case ID_REASONS:
		s->info.thinking = true;
		break;
	case ID_REASONING_SHOWN: /* no known value of them */
	case ID_REASONING_FORMAT:
	case ID_REASONING_EXCLUDED:
		s->info.thinking = s->info.reasoning_hidden = true;
		break;
	case ID_MEDIA_RESOLUTION:
		s->info.media_resolution = true;
		break;
	case ID_REMOTE_FILE:
		s->info.files++;
		s->info.remote_parts = true;
		break;
	case ID_ANNOTATIONS:
	case ID_BOX_ANNOTATIONS:
		s->info.annotations = true;
		break;
	case ID_BATCH_FILE:
		s->info.batch_file = true;
		break;
	default:
		break;
	}
}

/* What is not one of the known ways to have it shown may hide it. */
static void take_reasoning_shown(struct reqscan *s, uint8_t id, enum json_token t)
{
	struct slice text = json_text(&s->json);
	bool shown = t == JT_NULL || t == (id == ID_REASONING_SHOWN ? JT_TRUE : JT_FALSE);

	if (id == ID_REASONING_FORMAT)
		shown = t == JT_NULL ||
			(t == JT_STRING && (slice_eq(text, SLICE("parsed")) || slice_eq(text, SLICE("raw"))));
	s->info.reasoning_hidden |= !shown;
	s->info.thinking |= t != JT_NULL;
}

int reqscan_take_scalar(struct reqscan *s, uint8_t id, enum json_token t)
{
	switch ((enum reqscan_id)id) {
	case ID_NONE:
		return BUR_OK;
	case ID_MODEL:
		return take_model(s, t);
	case ID_STREAM:
		return take_bool(s, id, t, &s->info.stream);
	case ID_BACKGROUND:
		return take_bool(s, id, t, &s->info.background);
	case ID_INCLUDE_USAGE:
		return take_include_usage(s, t);
	case ID_OPTIONS:
		return take_options_scalar(s, t);
	case ID_CONFIG:
		s->config_token = (uint8_t)t;
		return BUR_OK;
	case ID_N:
	case ID_BEST_OF:
		return take_candidates(s, id, t);
	case ID_MAX:
	case ID_MAX_COMPLETION:
		return take_max(s, id, t);
	case ID_THINKING_BUDGET:
	case ID_REASONING_BUDGET:
		reqscan_take_thinking(s, t, t == JT_STRING && takes_quoted(s));
		return BUR_OK;
	case ID_REASONING_SHOWN:
	case ID_REASONING_FORMAT:
	case ID_REASONING_EXCLUDED:
		take_reasoning_shown(s, id, t);
		return BUR_OK;
	case ID_TOOL_CALLS_MAX:
		return take_calls_max(s, t);
	case ID_TOOL_USES:
		return take_tool_uses(s, t);
	case ID_WIDTH:
	case ID_HEIGHT:
		return take_dimension(s, id, t);
	case ID_PARTIAL_IMAGES:
		return take_partial_images(s, t);
	case ID_SPEECH_INPUT:
		return take_speech(s, t);
	case ID_LINE_METHOD:
		return take_line_method(s, t);
	case ID_TIER:
		return take_word(s, id, t, s->info.service_tier);
	case ID_SPEED:
		return take_word(s, id, t, s->info.speed);
	case ID_GEO:
		return take_word(s, id, t, s->info.inference_geo);
	default:
		break;
	}
	if (id == ID_SIZE && t == JT_STRING)
		return reqscan_take_size(s, json_text(&s->json));
	if (id == ID_QUALITY && t == JT_STRING)
		reqscan_take_quality(s, json_text(&s->json));
	if (id == ID_PAGE_ITEM && t == JT_NUMBER)
		s->info.pages++;
	if (t != JT_NULL)
		reqscan_take_presence(s, id);
	if (t == JT_STRING)
		reqscan_take_part_text(s, id);
	return BUR_OK;
}
