/* A request is walked by a table of places (walk.h). Every key that is interpreted may stand once in its object: the
 * vendor's parser would take the last one and ours could take another, and that is a way round a budget. */
#include "meter/reqscan.h"

#include <stdio.h>

#include "base/check.h"
#include "base/error.h"

/* --- the map of a request ----------------------------------------------------------------------------------------- */

/* Names of what is interpreted. Below 64: each is a bit in `seen`. */
enum id {
	ID_NONE,
	ID_MODEL,
	ID_STREAM,
	ID_N,
	ID_MAX,
	ID_MAX_COMPLETION,
	ID_OPTIONS,
	ID_INCLUDE_USAGE,
	ID_TIER,
	ID_SPEED,
	ID_GEO,
	ID_BACKGROUND,
	ID_PREVIOUS, /* these four: input that is kept at the vendor */
	ID_CONVERSATION,
	ID_PROMPT,
	ID_CACHED_CONTENT,
	ID_MESSAGES,
	ID_SYSTEM,
	ID_ITEM,
	ID_TOOLS,
	ID_TOOL_TYPE,
	ID_TOOL_LOCAL,
	ID_HOSTED, /* present at all means: the vendor does more than one pass */
	ID_FALLBACKS,
	ID_MCP_SERVERS,
	ID_CONTEXT_MANAGEMENT,
	ID_EDITS,
	ID_EDIT_TYPE,
	ID_MODALITIES,
	ID_MODALITY,
	ID_GENERATION_CONFIG,
	ID_PREDICTION,
	ID_CACHE_CONTROL,
	ID_TTL,
	ID_TYPE,
	ID_CONTENT,
	ID_PARTS,
	ID_OUTPUT,
	ID_SOURCE,
	ID_SOURCE_TYPE,
	ID_BLOB,
	ID_FILE_DATA,
	ID_MIME,
	ID_IMAGE_URL,
	ID_URL,
	ID_DATA,
	ID_FILE,
	ID_FILE_ID,
	ID_FILE_URL,
	ID_AUDIO,
	ID_COUNT,
};
_Static_assert(ID_COUNT <= 64, "ids are bits of a 64-bit mask");

enum place {
	PL_IGNORE = WALK_IGNORE,
	PL_DEAD, /* an object nobody looks into */
	PL_CHAT,
	PL_RESPONSES,
	PL_EMBEDDINGS,
	PL_MESSAGES_API,
	PL_GENERATE,
	PL_TOP_LIST, /* messages[], input[], contents[], system[] */
	PL_LIST,     /* content[], parts[], output[] */
	PL_NODE,     /* a message or a part of one */
	PL_OPTIONS,
	PL_CACHE_CONTROL,
	PL_SOURCE,
	PL_BLOB,
	PL_IMAGE_URL,
	PL_FILE,
	PL_TOOLS,
	PL_TOOL,
	PL_G_TOOLS,
	PL_G_TOOL,
	PL_HOSTED_LIST,
	PL_CONTEXT,
	PL_EDITS,
	PL_EDIT,
	PL_MODALITIES,
	PL_GENERATION_CONFIG,
};

static const struct walk_key chat_keys[] = {
    WALK_KEY("model", ID_MODEL, 0),
    WALK_KEY("messages", ID_MESSAGES, PL_TOP_LIST),
    WALK_KEY("stream", ID_STREAM, 0),
    WALK_KEY("stream_options", ID_OPTIONS, PL_OPTIONS),
    WALK_KEY("max_tokens", ID_MAX, 0),
    WALK_KEY("max_completion_tokens", ID_MAX_COMPLETION, 0),
    WALK_KEY("n", ID_N, 0),
    WALK_KEY("service_tier", ID_TIER, 0),
    WALK_KEY("tools", ID_TOOLS, PL_TOOLS),
    WALK_KEY("modalities", ID_MODALITIES, PL_MODALITIES),
    WALK_KEY("web_search_options", ID_HOSTED, 0),
    WALK_KEY("prediction", ID_PREDICTION, 0),
};

static const struct walk_key responses_keys[] = {
    WALK_KEY("model", ID_MODEL, 0),
    WALK_KEY("input", ID_MESSAGES, PL_TOP_LIST),
    WALK_KEY("instructions", ID_SYSTEM, PL_TOP_LIST),
    WALK_KEY("stream", ID_STREAM, 0),
    WALK_KEY("max_output_tokens", ID_MAX, 0),
    WALK_KEY("service_tier", ID_TIER, 0),
    WALK_KEY("tools", ID_TOOLS, PL_TOOLS),
    WALK_KEY("background", ID_BACKGROUND, 0),
    WALK_KEY("previous_response_id", ID_PREVIOUS, 0),
    WALK_KEY("conversation", ID_CONVERSATION, 0),
    WALK_KEY("prompt", ID_PROMPT, 0),
    WALK_KEY("context_management", ID_CONTEXT_MANAGEMENT, PL_EDITS),
    WALK_KEY("modalities", ID_MODALITIES, PL_MODALITIES),
};

static const struct walk_key embeddings_keys[] = {
    WALK_KEY("model", ID_MODEL, 0),
    WALK_KEY("input", ID_MESSAGES, 0),
    WALK_KEY("service_tier", ID_TIER, 0),
};

static const struct walk_key messages_keys[] = {
    WALK_KEY("model", ID_MODEL, 0),
    WALK_KEY("messages", ID_MESSAGES, PL_TOP_LIST),
    WALK_KEY("system", ID_SYSTEM, PL_TOP_LIST),
    WALK_KEY("stream", ID_STREAM, 0),
    WALK_KEY("max_tokens", ID_MAX, 0),
    WALK_KEY("service_tier", ID_TIER, 0),
    WALK_KEY("speed", ID_SPEED, 0),
    WALK_KEY("inference_geo", ID_GEO, 0),
    WALK_KEY("tools", ID_TOOLS, PL_TOOLS),
    WALK_KEY("cache_control", ID_CACHE_CONTROL, PL_CACHE_CONTROL),
    WALK_KEY("mcp_servers", ID_MCP_SERVERS, PL_HOSTED_LIST),
    WALK_KEY("fallbacks", ID_FALLBACKS, PL_HOSTED_LIST),
    WALK_KEY("context_management", ID_CONTEXT_MANAGEMENT, PL_CONTEXT),
};

/* Protobuf's JSON reader takes both spellings of a key as the same field. */
static const struct walk_key generate_keys[] = {
    WALK_KEY("contents", ID_MESSAGES, PL_TOP_LIST),
    WALK_KEY("systemInstruction", ID_SYSTEM, PL_TOP_LIST),
    WALK_KEY("system_instruction", ID_SYSTEM, PL_TOP_LIST),
    WALK_KEY("generationConfig", ID_GENERATION_CONFIG, PL_GENERATION_CONFIG),
    WALK_KEY("generation_config", ID_GENERATION_CONFIG, PL_GENERATION_CONFIG),
    WALK_KEY("tools", ID_TOOLS, PL_G_TOOLS),
    WALK_KEY("cachedContent", ID_CACHED_CONTENT, 0),
    WALK_KEY("cached_content", ID_CACHED_CONTENT, 0),
    WALK_KEY("serviceTier", ID_TIER, 0),
    WALK_KEY("service_tier", ID_TIER, 0),
};

static const struct walk_key generation_config_keys[] = {
    WALK_KEY("maxOutputTokens", ID_MAX, 0),
    WALK_KEY("max_output_tokens", ID_MAX, 0),
    WALK_KEY("candidateCount", ID_N, 0),
    WALK_KEY("candidate_count", ID_N, 0),
    WALK_KEY("responseModalities", ID_MODALITIES, PL_MODALITIES),
    WALK_KEY("response_modalities", ID_MODALITIES, PL_MODALITIES),
};

static const struct walk_key node_keys[] = {
    WALK_KEY("type", ID_TYPE, 0),
    WALK_KEY("content", ID_CONTENT, PL_LIST),
    WALK_KEY("parts", ID_PARTS, PL_LIST),
    WALK_KEY("cache_control", ID_CACHE_CONTROL, PL_CACHE_CONTROL),
    WALK_KEY("image_url", ID_IMAGE_URL, PL_IMAGE_URL),
    WALK_KEY("source", ID_SOURCE, PL_SOURCE),
    WALK_KEY("output", ID_OUTPUT, PL_LIST),
    WALK_KEY("file", ID_FILE, PL_FILE),
    WALK_KEY("file_id", ID_FILE_ID, 0),
    WALK_KEY("file_url", ID_FILE_URL, 0),
    WALK_KEY("audio", ID_AUDIO, 0),
    WALK_KEY("inlineData", ID_BLOB, PL_BLOB),
    WALK_KEY("inline_data", ID_BLOB, PL_BLOB),
    WALK_KEY("fileData", ID_FILE_DATA, PL_BLOB),
    WALK_KEY("file_data", ID_FILE_DATA, PL_BLOB),
    WALK_KEY("functionResponse", ID_SOURCE, PL_NODE),
    WALK_KEY("function_response", ID_SOURCE, PL_NODE),
};

static const struct walk_key options_keys[] = {WALK_KEY("include_usage", ID_INCLUDE_USAGE, 0)};
static const struct walk_key cache_control_keys[] = {WALK_KEY("ttl", ID_TTL, 0)};
static const struct walk_key source_keys[] = {WALK_KEY("type", ID_SOURCE_TYPE, 0),
					      WALK_KEY("content", ID_CONTENT, PL_LIST), WALK_KEY("data", ID_DATA, 0)};
static const struct walk_key blob_keys[] = {WALK_KEY("mimeType", ID_MIME, 0), WALK_KEY("mime_type", ID_MIME, 0),
					    WALK_KEY("data", ID_DATA, 0)};
static const struct walk_key image_url_keys[] = {WALK_KEY("url", ID_URL, 0)};
static const struct walk_key file_keys[] = {WALK_KEY("file_id", ID_FILE_ID, 0)};
static const struct walk_key tool_keys[] = {WALK_KEY("type", ID_TOOL_TYPE, 0),
					    WALK_KEY("cache_control", ID_CACHE_CONTROL, PL_CACHE_CONTROL)};
static const struct walk_key g_tool_keys[] = {
    WALK_KEY("functionDeclarations", ID_TOOL_LOCAL, 0),
    WALK_KEY("function_declarations", ID_TOOL_LOCAL, 0),
    WALK_KEY("computerUse", ID_NONE, 0),
    WALK_KEY("computer_use", ID_NONE, 0),
};
static const struct walk_key context_keys[] = {WALK_KEY("edits", ID_EDITS, PL_EDITS)};
static const struct walk_key edit_keys[] = {WALK_KEY("type", ID_EDIT_TYPE, 0)};

static const struct walk_place places[] = {
    [PL_IGNORE] = {NULL, 0, 0, 0, 0, 0},
    [PL_DEAD] = {NULL, 0, 0, 0, 0, 0},
    [PL_CHAT] = WALK_OBJECT(chat_keys),
    [PL_RESPONSES] = WALK_OBJECT(responses_keys),
    [PL_EMBEDDINGS] = WALK_OBJECT(embeddings_keys),
    [PL_MESSAGES_API] = WALK_OBJECT(messages_keys),
    [PL_GENERATE] = WALK_OBJECT(generate_keys),
    [PL_TOP_LIST] = WALK_ARRAY(PL_NODE, ID_ITEM),
    [PL_LIST] = WALK_ARRAY(PL_NODE, ID_NONE),
    [PL_NODE] = WALK_OBJECT(node_keys),
    [PL_OPTIONS] = WALK_OBJECT(options_keys),
    [PL_CACHE_CONTROL] = WALK_OBJECT(cache_control_keys),
    [PL_SOURCE] = WALK_OBJECT(source_keys),
    [PL_BLOB] = WALK_OBJECT(blob_keys),
    [PL_IMAGE_URL] = WALK_OBJECT(image_url_keys),
    [PL_FILE] = WALK_OBJECT(file_keys),
    [PL_TOOLS] = WALK_ARRAY(PL_TOOL, ID_NONE),
    [PL_TOOL] = WALK_OBJECT(tool_keys),
    [PL_G_TOOLS] = WALK_ARRAY(PL_G_TOOL, ID_NONE),
    [PL_G_TOOL] = {g_tool_keys, ARRAY_LEN(g_tool_keys), 0, 0, ID_HOSTED, 0},
    [PL_HOSTED_LIST] = WALK_ARRAY(PL_DEAD, ID_HOSTED),
    [PL_CONTEXT] = WALK_OBJECT(context_keys),
    [PL_EDITS] = WALK_ARRAY(PL_EDIT, ID_NONE),
    [PL_EDIT] = WALK_OBJECT(edit_keys),
    [PL_MODALITIES] = WALK_ARRAY(PL_DEAD, ID_MODALITY),
    [PL_GENERATION_CONFIG] = WALK_OBJECT(generation_config_keys),
};

static const uint8_t root_places[] = {
    [API_UNKNOWN] = PL_IGNORE,      [API_FREE] = PL_IGNORE,           [API_CHAT] = PL_CHAT,
    [API_RESPONSES] = PL_RESPONSES, [API_EMBEDDINGS] = PL_EMBEDDINGS, [API_MESSAGES] = PL_MESSAGES_API,
    [API_GENERATE] = PL_GENERATE,
};

/* Whose string values are read; the others are skipped at memory speed. */
static const bool wants_text[ID_COUNT] = {
    [ID_MODEL] = true,     [ID_TIER] = true,      [ID_SPEED] = true,    [ID_GEO] = true,         [ID_TOOL_TYPE] = true,
    [ID_EDIT_TYPE] = true, [ID_TTL] = true,       [ID_TYPE] = true,     [ID_SOURCE_TYPE] = true, [ID_MIME] = true,
    [ID_URL] = true,       [ID_IMAGE_URL] = true, [ID_MODALITY] = true, [ID_MAX] = true,         [ID_N] = true,
};

/* Values that must be scalars: a bound hidden in an object is no bound. */
#define BIT(id) (UINT64_C(1) << (id))
#define SCALARS                                                                                                        \
	(BIT(ID_MODEL) | BIT(ID_STREAM) | BIT(ID_N) | BIT(ID_MAX) | BIT(ID_MAX_COMPLETION) | BIT(ID_INCLUDE_USAGE) |   \
	 BIT(ID_TIER) | BIT(ID_SPEED) | BIT(ID_GEO) | BIT(ID_BACKGROUND) | BIT(ID_TTL))

/* What is known of a part so far. */
enum flag {
	FLAG_IMAGE = 1,
	FLAG_AUDIO = 2,
	FLAG_FILE = 4,
	FLAG_DOCUMENT = 8, /* a file, unless its source is plain text */
	FLAG_PLAIN = 16,   /* source: text or content */
	FLAG_REMOTE = 32,
	FLAG_BLOB = 64,        /* inlineData, fileData */
	FLAG_TYPED_BLOB = 128, /* with a MIME type */
};

/* --- errors ------------------------------------------------------------------------------------------------------- */

static int fail(struct reqscan *s, enum reqscan_error error, struct slice key)
{
	s->error = error;
	(void)slice_to_cstr(key, s->error_key, sizeof(s->error_key));
	return BUR_INVALID;
}

/* The name under which the id stands in the tables, for messages. */
static struct slice id_name(const struct reqscan *s, uint8_t id)
{
	size_t i, k;

	for (i = 0; i < ARRAY_LEN(places); i++) {
		const struct walk_place *p = &places[(root_places[s->kind] + i) % ARRAY_LEN(places)];

		for (k = 0; k < p->n_keys; k++)
			if (p->keys[k].id == id)
				return slice_mem(p->keys[k].name, p->keys[k].n);
	}
	return SLICE("value");
}

static int bad_value(struct reqscan *s, uint8_t id)
{
	return fail(s, REQSCAN_BAD_VALUE, id_name(s, id));
}

const char *reqscan_error_text(const struct reqscan *s, char *dst, size_t dst_size)
{
	switch (s->error) {
	case REQSCAN_OK:
		(void)snprintf(dst, dst_size, "the request was understood");
		break;
	case REQSCAN_NOT_JSON:
		(void)snprintf(dst, dst_size, "the request body is not a JSON object in valid UTF-8");
		break;
	case REQSCAN_DUPLICATE_KEY:
		(void)snprintf(
		    dst, dst_size,
		    "the key \"%s\" stands twice in the request; send it once, since readers differ in which "
		    "one they take",
		    s->error_key);
		break;
	case REQSCAN_BAD_VALUE:
		(void)snprintf(dst, dst_size, "the value of \"%s\" has the wrong type or is out of range",
			       s->error_key);
		break;
	case REQSCAN_TOO_DEEP:
		(void)snprintf(dst, dst_size, "the request body is nested deeper than %d levels", JSON_DEPTH_MAX);
		break;
	}
	return dst;
}

/* --- values ------------------------------------------------------------------------------------------------------- */

static bool contains(struct slice s, const char *word)
{
	size_t n = strlen(word), i;

	for (i = 0; i + n <= s.n; i++)
		if (memcmp(s.p + i, word, n) == 0)
			return true;
	return false;
}

static void copy_word(struct slice s, char dst[16])
{
	(void)slice_to_cstr(s, dst, 16);
}

static int take_model(struct reqscan *s, enum json_token t)
{
	struct slice name = json_text(&s->json);
	size_t i;

	if (t == JT_NULL)
		return BUR_OK;
	if (t != JT_STRING || name.n == 0 || name.n > MODEL_NAME_MAX)
		return bad_value(s, ID_MODEL);
	for (i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] < 0x20 || name.p[i] == 0x7f)
			return bad_value(s, ID_MODEL);
	(void)slice_to_cstr(name, s->info.model, sizeof(s->info.model));
	return BUR_OK;
}

/* A count: digits only. Gemini's reader takes them in quotes as well. null is as absent. */
static int take_count(struct reqscan *s, uint8_t id, enum json_token t, uint64_t *ret)
{
	bool quoted = t == JT_STRING && s->kind == API_GENERATE;

	if (t == JT_NULL)
		return BUR_OK;
	if ((t != JT_NUMBER && !quoted) || s->json.cut || slice_u64(json_text(&s->json), ret) < 0)
		return bad_value(s, id);
	return BUR_OK;
}

/* Two different keys may bound the output: the larger is safe. 0 bounds nothing (protobuf's way to say "default"). */
static int take_max(struct reqscan *s, uint8_t id, enum json_token t)
{
	uint64_t v = 0;
	int r = take_count(s, id, t, &v);

	if (r < 0 || v == 0)
		return r;
	s->info.has_max_out = true;
	if (v > s->info.max_out)
		s->info.max_out = v;
	return BUR_OK;
}

static int take_candidates(struct reqscan *s, enum json_token t)
{
	uint64_t v = 0;
	int r = take_count(s, ID_N, t, &v);

	if (r == BUR_OK && v > 0)
		s->info.candidates = v;
	return r;
}

static int take_bool(struct reqscan *s, uint8_t id, enum json_token t, bool *ret)
{
	if (t != JT_TRUE && t != JT_FALSE && t != JT_NULL)
		return bad_value(s, id);
	*ret = t == JT_TRUE;
	return BUR_OK;
}

static int take_word(struct reqscan *s, uint8_t id, enum json_token t, char dst[16])
{
	if (t == JT_NULL)
		return BUR_OK;
	if (t != JT_STRING)
		return bad_value(s, id);
	copy_word(json_text(&s->json), dst);
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
		return bad_value(s, ID_OPTIONS);
	s->options_token = (uint8_t)t;
	s->options_begin = s->json.token_begin;
	s->options_end = s->options_begin + 4;
	return BUR_OK;
}

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

/* Data of a part that may turn out to be a picture. Escapes make it longer in the body than decoded: that errs on the
 * dear side. */
static void count_blob(struct reqscan *s, unsigned up)
{
	if (s->walk.depth >= up)
		s->blob_bytes[s->walk.depth - up] += s->json.length_bytes;
}

/* A part's own object is `up` levels above. */
static void mark(struct reqscan *s, unsigned up, uint16_t flags)
{
	if (s->walk.depth >= up)
		s->flags[s->walk.depth - up] |= flags;
}

static void take_part_string(struct reqscan *s, uint8_t id)
{
	struct slice text = json_text(&s->json);

	switch ((enum id)id) {
	case ID_TYPE:
		mark(s, 0, type_flags(text));
		s->info.stored_context |= slice_eq(text, SLICE("item_reference"));
		break;
	case ID_IMAGE_URL:
		mark(s, 0, FLAG_IMAGE | url_flags(text));
		if (url_flags(text) == 0)
			count_blob(s, 0);
		break;
	case ID_URL:
		mark(s, 1, url_flags(text));
		if (url_flags(text) == 0)
			count_blob(s, 1);
		break;
	case ID_DATA:
		count_blob(s, 1);
		break;
	case ID_FILE_ID: /* in the part, or in its "file" object */
		mark(s, walk_here(&s->walk) == PL_FILE ? 1 : 0, FLAG_REMOTE);
		break;
	case ID_FILE_URL:
		mark(s, 0, FLAG_REMOTE);
		break;
	case ID_FILE_DATA: /* OpenAI's file_data is inline base64 in the part; the type says the rest */
		mark(s, 0, FLAG_FILE);
		break;
	case ID_SOURCE_TYPE:
		mark(s, 1, source_flags(text));
		break;
	case ID_MIME:
		mark(s, 1, mime_flags(text));
		break;
	case ID_TTL:
		s->info.cache_marks_1h |= !slice_eq(text, SLICE("5m"));
		break;
	case ID_TOOL_TYPE:
		s->info.hosted_tools |= !tool_is_local(text);
		break;
	case ID_EDIT_TYPE:
		s->info.hosted_tools |= contains(text, "compact");
		break;
	case ID_MODALITY:
		s->info.audio_output |= slice_ieq(text, SLICE("audio")) || slice_ieq(text, SLICE("image"));
		break;
	case ID_MESSAGES:
	case ID_SYSTEM:
	case ID_ITEM:
		s->info.messages++;
		break;
	default:
		break;
	}
}

/* Kept at the vendor, or done by the vendor: its mere presence matters. */
static void take_presence(struct reqscan *s, uint8_t id)
{
	switch ((enum id)id) {
	case ID_PREVIOUS:
	case ID_CONVERSATION:
	case ID_PROMPT:
	case ID_CACHED_CONTENT:
		s->info.stored_context = true;
		break;
	case ID_HOSTED:
		s->info.hosted_tools = true;
		break;
	case ID_PREDICTION:
		s->info.prediction = true;
		break;
	default:
		break;
	}
}

static int take_scalar(struct reqscan *s, uint8_t id, enum json_token t)
{
	switch ((enum id)id) {
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
	case ID_N:
		return take_candidates(s, t);
	case ID_MAX:
	case ID_MAX_COMPLETION:
		return take_max(s, id, t);
	case ID_TIER:
		return take_word(s, id, t, s->info.service_tier);
	case ID_SPEED:
		return take_word(s, id, t, s->info.speed);
	case ID_GEO:
		return take_word(s, id, t, s->info.inference_geo);
	default:
		break;
	}
	if (t != JT_NULL)
		take_presence(s, id);
	if (t == JT_STRING)
		take_part_string(s, id);
	return BUR_OK;
}

/* --- structure ---------------------------------------------------------------------------------------------------- */

static int take_key(struct reqscan *s)
{
	uint64_t *seen = &s->seen[s->walk.depth];

	walk_key(&s->walk, places, json_text(&s->json));
	/* ID_HOSTED stands for any number of different keys */
	if (s->walk.key_id != ID_NONE && s->walk.key_id != ID_HOSTED) {
		if (*seen & BIT(s->walk.key_id))
			return fail(s, REQSCAN_DUPLICATE_KEY, json_text(&s->json));
		*seen |= BIT(s->walk.key_id);
	}
	if (walk_here(&s->walk) == PL_OPTIONS)
		s->options_empty = false;
	return BUR_OK;
}

static int take_begin(struct reqscan *s, bool object)
{
	uint8_t id = walk_value_id(&s->walk, places);

	if (s->walk.depth == 0) {
		if (!object && root_places[s->kind] != PL_IGNORE)
			return fail(s, REQSCAN_NOT_JSON, SLICE_NONE);
		s->root_seen = true;
		s->body_brace = s->json.token_begin;
	} else if (id != ID_NONE && (SCALARS & BIT(id))) {
		return bad_value(s, id);
	}
	if (id == ID_OPTIONS) {
		if (!object)
			return bad_value(s, id);
		s->options_token = JT_OBJECT_BEGIN;
		s->options_begin = s->json.token_begin;
		s->options_empty = true;
	}
	if (object && (id == ID_MESSAGES || id == ID_SYSTEM || id == ID_ITEM))
		s->info.messages++;
	if (id == ID_CACHE_CONTROL)
		s->info.cache_marks = true;
	if (id == ID_TOOLS)
		s->info.tools = true;
	if (id == ID_BLOB || id == ID_FILE_DATA)
		mark(s, 0, id == ID_BLOB ? FLAG_BLOB : FLAG_BLOB | FLAG_REMOTE);
	if (id == ID_IMAGE_URL)
		mark(s, 0, FLAG_IMAGE);
	if (id == ID_AUDIO && object && s->kind == API_CHAT)
		mark(s, 0, FLAG_AUDIO | FLAG_REMOTE);
	take_presence(s, id);
	walk_enter(&s->walk, walk_next(&s->walk, places, object));
	s->seen[s->walk.depth] = 0;
	s->flags[s->walk.depth] = 0;
	s->blob_bytes[s->walk.depth] = 0;
	return BUR_OK;
}

/* The part is complete: what is it? */
static void close_node(struct reqscan *s)
{
	uint16_t f = s->flags[s->walk.depth];

	if ((f & FLAG_DOCUMENT) && !(f & FLAG_PLAIN))
		f |= FLAG_FILE;
	if ((f & FLAG_BLOB) && (!(f & FLAG_TYPED_BLOB) || ((f & FLAG_PLAIN) && (f & FLAG_REMOTE))))
		f |= FLAG_FILE;
	if ((f & FLAG_IMAGE) && !(f & (FLAG_AUDIO | FLAG_FILE | FLAG_DOCUMENT | FLAG_PLAIN)))
		s->info.image_bytes += s->blob_bytes[s->walk.depth];
	s->info.images += (f & FLAG_IMAGE) != 0;
	s->info.audios += (f & FLAG_AUDIO) != 0;
	s->info.files += (f & FLAG_FILE) != 0;
	if ((f & FLAG_REMOTE) && (f & (FLAG_IMAGE | FLAG_AUDIO | FLAG_FILE)))
		s->info.remote_parts = true;
}

static void take_end(struct reqscan *s)
{
	if (walk_here(&s->walk) == PL_NODE)
		close_node(s);
	walk_leave(&s->walk);
}

static int take_token(struct reqscan *s, enum json_token t)
{
	switch (t) {
	case JT_KEY:
		return walk_here(&s->walk) == PL_IGNORE ? BUR_OK : take_key(s);
	case JT_OBJECT_BEGIN:
	case JT_ARRAY_BEGIN:
		return take_begin(s, t == JT_OBJECT_BEGIN);
	case JT_OBJECT_END:
	case JT_ARRAY_END:
		take_end(s);
		return BUR_OK;
	case JT_STRING:
	case JT_NUMBER:
	case JT_TRUE:
	case JT_FALSE:
	case JT_NULL:
		return take_scalar(s, walk_value_id(&s->walk, places), t);
	default:
		return BUR_OK;
	}
}

/* --- public ------------------------------------------------------------------------------------------------------- */

void reqscan_init(struct reqscan *s, enum api_kind kind)
{
	CHECK((size_t)kind < ARRAY_LEN(root_places));
	json_reader_init(&s->json);
	s->json.utf8_strict = true;
	s->json.want_text = false;
	s->kind = kind;
	s->error = REQSCAN_OK;
	s->error_key[0] = '\0';
	memset(&s->info, 0, sizeof(s->info));
	s->info.candidates = 1;
	walk_init(&s->walk, root_places[kind]);
	s->seen[0] = 0;
	s->flags[0] = 0;
	s->blob_bytes[0] = 0;
	s->body_brace = s->options_begin = s->options_end = s->include_begin = s->include_end = 0;
	s->options_token = s->include_token = 0;
	s->options_empty = s->root_seen = false;
}

int reqscan_feed(struct reqscan *s, const char *p, size_t n)
{
	size_t i = 0;

	if (s->error != REQSCAN_OK)
		return BUR_INVALID;
	s->info.body_bytes += n;
	for (;;) {
		enum json_token t = json_next(&s->json, p, n, &i);

		if (t == JT_MORE)
			return BUR_OK;
		if (t == JT_ERROR)
			return fail(s, s->json.depth >= JSON_DEPTH_MAX ? REQSCAN_TOO_DEEP : REQSCAN_NOT_JSON,
				    SLICE_NONE);
		if (take_token(s, t) < 0)
			return BUR_INVALID;
		s->json.want_text = wants_text[walk_value_id(&s->walk, places)];
	}
}

static void set_edit(struct reqscan *s, uint64_t from, uint64_t to, const char *text)
{
	s->info.has_usage_edit = true;
	s->info.usage_edit = (struct body_edit){from, to, text};
}

/* The one change that makes a chat stream end with its usage. */
static void plan_edit(struct reqscan *s)
{
	if (s->kind != API_CHAT || !s->info.stream || s->info.include_usage)
		return;
	if (s->options_token == 0)
		set_edit(s, s->body_brace + 1, s->body_brace + 1, "\"stream_options\":{\"include_usage\":true},");
	else if (s->options_token == JT_NULL)
		set_edit(s, s->options_begin, s->options_end, "{\"include_usage\":true}");
	else if (s->include_token != 0)
		set_edit(s, s->include_begin, s->include_end, "true");
	else
		set_edit(s, s->options_begin + 1, s->options_begin + 1,
			 s->options_empty ? "\"include_usage\":true" : "\"include_usage\":true,");
}

int reqscan_finish(struct reqscan *s)
{
	if (s->error != REQSCAN_OK)
		return BUR_INVALID;
	if (!json_reader_complete(&s->json) || (!s->root_seen && root_places[s->kind] != PL_IGNORE))
		return fail(s, REQSCAN_NOT_JSON, SLICE_NONE);
	plan_edit(s);
	return BUR_OK;
}
