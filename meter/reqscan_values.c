/* What the values of a request mean: bounds, words, and the parts of messages that are not plain text. */
#include "base/error.h"
#include "meter/reqscan_places.h"

/* --- values ------------------------------------------------------------------------------------------------------- */

static bool contains(struct slice s, const char *word)
{
	size_t n = strlen(word), i;

	for (i = 0; i + n <= s.n; i++)
		if (memcmp(s.p + i, word, n) == 0)
			return true;
	return false;
}

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

/* --- tools -------------------------------------------------------------------------------------------------------- */

/* Tools the client runs itself; every other type is run, and perhaps billed, by the vendor. */
static bool tool_is_local(struct slice type)
{
	static const char *const names[] = {"function", "custom",    "local_shell", "computer_use_preview",
					    "computer", "namespace", "apply_patch"};
	static const char *const prefixes[] = {"bash_", "text_editor_", "computer_", "memory_"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++)
		if (slice_eq(type, slice_of(names[i])))
			return true;
	for (i = 0; i < ARRAY_LEN(prefixes); i++)
		if (slice_starts(type, slice_of(prefixes[i])))
			return true;
	return false;
}

static uint8_t hosted_kind(struct slice type)
{
	if (contains(type, "web_search") || contains(type, "web_fetch"))
		return HOSTED_WEB;
	if (contains(type, "file_search"))
		return HOSTED_FILE;
	if (contains(type, "code_interpreter") || contains(type, "code_execution"))
		return HOSTED_CODE;
	return contains(type, "image_generation") ? HOSTED_IMAGE : HOSTED_OTHER;
}

/* --- parts of messages -------------------------------------------------------------------------------------------- */

/* What a part of this type costs beyond its bytes. New types are taken by their words. */
static uint16_t type_flags(struct slice type)
{
	if (slice_eq(type, SLICE("text")) || slice_eq(type, SLICE("input_text")) || slice_eq(type, SLICE("message")) ||
	    contains(type, "file_search"))
		return 0;
	if (contains(type, "image") || contains(type, "screenshot"))
		return FLAG_IMAGE;
	if (contains(type, "audio"))
		return FLAG_AUDIO;
	if (slice_eq(type, SLICE("document")))
		return FLAG_DOCUMENT;
	if (slice_eq(type, SLICE("container_upload")))
		return FLAG_FILE | FLAG_REMOTE;
	if (contains(type, "video") || contains(type, "file") || contains(type, "document") || contains(type, "media"))
		return FLAG_FILE;
	return 0;
}

static uint16_t mime_flags(struct slice mime)
{
	if (slice_istarts(mime, SLICE("image/")))
		return FLAG_TYPED_BLOB | FLAG_IMAGE;
	if (slice_istarts(mime, SLICE("audio/")))
		return FLAG_TYPED_BLOB | FLAG_AUDIO;
	if (slice_istarts(mime, SLICE("text/")) || slice_ieq(mime, SLICE("application/json")))
		return FLAG_TYPED_BLOB | FLAG_PLAIN;
	return FLAG_TYPED_BLOB | FLAG_FILE;
}

static uint16_t url_flags(struct slice url)
{
	return slice_istarts(url, SLICE("data:")) ? 0 : FLAG_REMOTE;
}

static uint16_t source_flags(struct slice type)
{
	if (slice_eq(type, SLICE("text")) || slice_eq(type, SLICE("content")))
		return FLAG_PLAIN;
	return slice_eq(type, SLICE("base64")) ? 0 : FLAG_REMOTE;
}

static uint16_t detail_flags(struct slice detail)
{
	if (slice_eq(detail, SLICE("low")))
		return FLAG_DETAIL_LOW;
	if (slice_eq(detail, SLICE("high")))
		return FLAG_DETAIL_HIGH;
	return slice_eq(detail, SLICE("original")) ? FLAG_DETAIL_ORIGINAL : 0;
}

/* Depth of the part in which the reader stands; 0: in none. */
static unsigned node_depth(const struct reqscan *s)
{
	unsigned d = s->walk.depth;

	while (d > 0 && s->walk.place[d] != PL_NODE)
		d--;
	return d;
}

static void mark(struct reqscan *s, uint16_t flags)
{
	s->flags[node_depth(s)] |= flags;
}

/* Data of a part that may turn out to be a picture. Escapes make it longer in the body than decoded: that errs on the
 * dear side. */
static void take_data(struct reqscan *s)
{
	unsigned d = node_depth(s);
	uint32_t w, h;

	s->blob_bytes[d] += s->json.length_bytes;
	if (s->flags[d] & FLAG_PICTURE)
		s->flags[d] |= FLAG_PICTURES;
	s->flags[d] |= FLAG_PICTURE | FLAG_BINARY;
	if (!image_sniff_size(&s->sniff, &w, &h))
		return;
	s->flags[d] |= FLAG_SIZED;
	s->picture_depth = d;
	s->picture_width = w;
	s->picture_height = h;
}

static void take_url(struct reqscan *s, struct slice url, uint16_t flags)
{
	mark(s, flags | url_flags(url));
	if (url_flags(url) == 0)
		take_data(s);
}

/* A picture in a list of them: data, a data URL, or a URL. */
static void take_listed_picture(struct reqscan *s, struct slice text)
{
	bool remote = slice_find(text, ':') < text.n && url_flags(text) != 0;
	uint32_t w, h;

	s->info.images++;
	s->info.remote_parts |= remote;
	if (remote)
		return;
	s->info.image_bytes += s->json.length_bytes;
	if (image_sniff_size(&s->sniff, &w, &h))
		image_sums_add(&s->info.image_sums, w, h, DETAIL_AUTO);
}

static void take_tool_type(struct reqscan *s, struct slice type)
{
	if (tool_is_local(type))
		return;
	s->tool_hosted = true;
	s->info.hosted_tools = true;
	s->info.hosted |= hosted_kind(type);
}

/* A name that does not fit is as none: nothing is known under a part of it. */
static void take_name(const struct reqscan *s, char *dst, size_t dst_size)
{
	struct slice text = json_text(&s->json);

	dst[0] = '\0';
	if (!s->json.cut && text.n < dst_size && !memchr(text.p, '\0', text.n))
		(void)slice_to_cstr(text, dst, dst_size);
}

/* A line of a batch's file that is no POST is something else than the request that is read. */
static int take_line_method(struct reqscan *s, enum json_token t)
{
	return t == JT_STRING && slice_eq(json_text(&s->json), SLICE("POST")) ? BUR_OK
									      : reqscan_bad_value(s, ID_LINE_METHOD);
}

static void take_part_string(struct reqscan *s, uint8_t id)
{
	struct slice text = json_text(&s->json);

	switch ((enum reqscan_id)id) {
	case ID_TYPE:
		mark(s, type_flags(text));
		s->info.stored_context |= slice_eq(text, SLICE("item_reference"));
		break;
	case ID_IMAGE_URL:
		take_url(s, text, FLAG_IMAGE);
		break;
	case ID_URL:
		take_url(s, text, 0);
		break;
	case ID_DATA:
		take_data(s);
		break;
	case ID_DETAIL:
		mark(s, detail_flags(text));
		break;
	case ID_FILE_ID: /* in the part, or in its "file" object */
	case ID_FILE_URL:
		mark(s, FLAG_REMOTE);
		break;
	case ID_FILE_DATA: /* OpenAI's file_data is inline base64 in the part; the type says the rest */
	case ID_DOCUMENT:
	case ID_VIDEO:
		mark(s, FLAG_FILE);
		break;
	case ID_SOURCE_TYPE:
		mark(s, source_flags(text));
		break;
	case ID_SOURCE_TEXT:
		mark(s, s->kind == API_CONVERSE ? FLAG_PLAIN : 0);
		break;
	case ID_MIME:
		mark(s, mime_flags(text));
		break;
	case ID_IMAGES:
	case ID_IMAGE_ITEM:
	case ID_UPLOAD_IMAGE:
		take_listed_picture(s, text);
		break;
	case ID_TTL:
		s->info.cache_marks_1h |= !slice_eq(text, SLICE("5m"));
		break;
	case ID_TOOL_TYPE:
		take_tool_type(s, text);
		break;
	case ID_EDIT_TYPE:
		if (contains(text, "compact")) {
			s->info.hosted_tools = true;
			s->info.hosted |= HOSTED_OTHER;
		}
		break;
	case ID_MODALITY:
		s->info.audio_output |= slice_ieq(text, SLICE("audio")) || slice_ieq(text, SLICE("image"));
		break;
	case ID_STREAM_FORMAT:
		s->info.stream = slice_eq(text, SLICE("sse"));
		break;
	case ID_RESPONSE_FORMAT:
		reqscan_take_format(s, text);
		break;
	case ID_PAGES:
	case ID_PAGE_ITEM:
		s->pages_open = true;
		break;
	case ID_MESSAGES:
	case ID_SYSTEM:
	case ID_ITEM:
		s->info.messages++;
		break;
	case ID_DOCUMENT_ITEM:
		s->info.documents++;
		break;
	case ID_BATCH_FILE:
		take_name(s, s->info.batch_input, sizeof(s->info.batch_input));
		break;
	case ID_BATCH_ENDPOINT:
		take_name(s, s->info.batch_endpoint, sizeof(s->info.batch_endpoint));
		break;
	default:
		break;
	}
}

/* What the vendor does then has no bound. */
static void hosted_other(struct reqscan *s)
{
	s->info.hosted_tools = true;
	s->info.hosted |= HOSTED_OTHER;
}

/* Kept at the vendor, or done by the vendor: its mere presence matters. */
static void take_presence(struct reqscan *s, uint8_t id)
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
		take_presence(s, id);
	if (t == JT_STRING)
		take_part_string(s, id);
	return BUR_OK;
}

/* --- parts, from begin to end ------------------------------------------------------------------------------------ */

void reqscan_begin_part(struct reqscan *s, uint8_t id, bool object)
{
	if (object && (id == ID_MESSAGES || id == ID_SYSTEM || id == ID_ITEM))
		s->info.messages++;
	switch ((enum reqscan_id)id) {
	case ID_ITEM: /* inputs of token numbers; inputs that are no text */
		s->info.messages += !object;
		s->info.files += object && s->kind == API_EMBEDDINGS;
		break;
	case ID_CACHE_CONTROL:
		s->info.cache_marks = true;
		break;
	case ID_TOOLS:
		s->info.tools = true;
		break;
	case ID_BLOB:
		mark(s, FLAG_BLOB);
		break;
	case ID_FILE_DATA:
		mark(s, FLAG_BLOB | FLAG_REMOTE);
		break;
	case ID_IMAGE_URL:
		mark(s, FLAG_IMAGE);
		break;
	case ID_DOCUMENT:
		mark(s, FLAG_DOCUMENT);
		break;
	case ID_VIDEO:
		mark(s, FLAG_FILE);
		break;
	case ID_FILE_URL:
		mark(s, FLAG_REMOTE);
		break;
	case ID_AUDIO: /* an answer's audio by its id; Bedrock's by its source */
		if (object && s->kind != API_RESPONSES)
			mark(s, FLAG_AUDIO | FLAG_REMOTE);
		break;
	case ID_CONTENT:
		if (s->kind == API_CONVERSE && walk_here(&s->walk) == PL_SOURCE)
			mark(s, FLAG_PLAIN);
		break;
	case ID_DOCUMENT_ITEM:
		s->info.documents++;
		break;
	default:
		break;
	}
	take_presence(s, id);
}

static enum image_detail detail_of(uint16_t f)
{
	if (f & FLAG_DETAIL_ORIGINAL)
		return DETAIL_ORIGINAL;
	if (f & FLAG_DETAIL_HIGH)
		return DETAIL_HIGH;
	return f & FLAG_DETAIL_LOW ? DETAIL_LOW : DETAIL_AUTO;
}

/* Where several pictures or details compete nothing is taken as known. */
static void close_picture(struct reqscan *s, uint16_t f)
{
	uint16_t details = f & (FLAG_DETAIL_LOW | FLAG_DETAIL_HIGH | FLAG_DETAIL_ORIGINAL);

	s->info.image_bytes += s->blob_bytes[s->walk.depth];
	if ((f & FLAG_SIZED) && !(f & (FLAG_PICTURES | FLAG_REMOTE)) && (details & (details - 1)) == 0 &&
	    s->picture_depth == s->walk.depth)
		image_sums_add(&s->info.image_sums, s->picture_width, s->picture_height, detail_of(f));
}

/* The part is complete: what is it? */
void reqscan_close_part(struct reqscan *s)
{
	uint16_t f = s->flags[s->walk.depth];

	if ((f & FLAG_DOCUMENT) && (!(f & FLAG_PLAIN) || (s->kind == API_CONVERSE && (f & FLAG_BINARY))))
		f |= FLAG_FILE;
	if ((f & FLAG_BLOB) && (!(f & FLAG_TYPED_BLOB) || ((f & FLAG_PLAIN) && (f & FLAG_REMOTE))))
		f |= FLAG_FILE;
	if ((f & FLAG_IMAGE) && !(f & (FLAG_AUDIO | FLAG_FILE | FLAG_DOCUMENT | FLAG_PLAIN)))
		close_picture(s, f);
	s->info.images += (f & FLAG_IMAGE) != 0;
	s->info.audios += (f & FLAG_AUDIO) != 0;
	s->info.files += (f & FLAG_FILE) != 0;
	if ((f & FLAG_REMOTE) && (f & (FLAG_IMAGE | FLAG_AUDIO | FLAG_FILE)))
		s->info.remote_parts = true;
}
