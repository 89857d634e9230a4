/* Gemini generateContent: usageMetadata is cumulative and replaced whole by each newer one. */
#include "meter/extract.h"

enum id {
	ID_NONE,
	ID_ROOT,
	ID_MODEL,
	ID_USAGE,
	ID_ERROR,
	ID_FINISH, /* finishReason, promptFeedback */
	ID_TEXT,
	ID_BLOB,
	ID_QUERIES,
	ID_QUERY,
	ID_TIER,
	ID_INPUT,
	ID_CACHED,
	ID_TOOL_INPUT,
	ID_OUTPUT,
	ID_THOUGHTS,
	ID_MODALITY,
	ID_TOKEN_COUNT,
	ID_COUNT,
};

enum place {
	PL_IGNORE = WALK_IGNORE,
	PL_ROOT_LIST,
	PL_ROOT,
	PL_CANDIDATES,
	PL_CANDIDATE,
	PL_CONTENT,
	PL_PARTS,
	PL_PART,
	PL_BLOB,
	PL_WHOLE,
	PL_GROUNDING,
	PL_QUERIES,
	PL_DEAD,
	PL_USAGE,
	PL_INPUT_DETAILS, /* each list is followed by its element */
	PL_INPUT_DETAIL,
	PL_CACHE_DETAILS,
	PL_CACHE_DETAIL,
	PL_OUTPUT_DETAILS,
	PL_OUTPUT_DETAIL,
};

static const struct walk_key root_keys[] = {
    WALK_KEY("candidates", ID_NONE, PL_CANDIDATES),
    WALK_KEY("usageMetadata", ID_USAGE, PL_USAGE),
    WALK_KEY("modelVersion", ID_MODEL, 0),
    WALK_KEY("promptFeedback", ID_FINISH, 0),
    WALK_KEY("error", ID_ERROR, 0),
};
static const struct walk_key candidate_keys[] = {
    WALK_KEY("content", ID_NONE, PL_CONTENT),
    WALK_KEY("finishReason", ID_FINISH, 0),
    WALK_KEY("groundingMetadata", ID_NONE, PL_GROUNDING),
};
static const struct walk_key content_keys[] = {WALK_KEY("parts", ID_NONE, PL_PARTS)};
static const struct walk_key part_keys[] = {
    WALK_KEY("text", ID_TEXT, 0),
    WALK_KEY("functionCall", ID_TEXT, PL_WHOLE),
    WALK_KEY("executableCode", ID_TEXT, PL_WHOLE),
    WALK_KEY("codeExecutionResult", ID_TEXT, PL_WHOLE),
    WALK_KEY("inlineData", ID_NONE, PL_BLOB),
};
static const struct walk_key blob_keys[] = {WALK_KEY("data", ID_BLOB, 0)};
static const struct walk_key grounding_keys[] = {WALK_KEY("webSearchQueries", ID_QUERIES, PL_QUERIES)};
static const struct walk_key usage_keys[] = {
    WALK_KEY("promptTokenCount", ID_INPUT, 0),
    WALK_KEY("candidatesTokenCount", ID_OUTPUT, 0),
    WALK_KEY("thoughtsTokenCount", ID_THOUGHTS, 0),
    WALK_KEY("cachedContentTokenCount", ID_CACHED, 0),
    WALK_KEY("toolUsePromptTokenCount", ID_TOOL_INPUT, 0),
    WALK_KEY("promptTokensDetails", ID_NONE, PL_INPUT_DETAILS),
    WALK_KEY("toolUsePromptTokensDetails", ID_NONE, PL_INPUT_DETAILS),
    WALK_KEY("cacheTokensDetails", ID_NONE, PL_CACHE_DETAILS),
    WALK_KEY("candidatesTokensDetails", ID_NONE, PL_OUTPUT_DETAILS),
    WALK_KEY("serviceTier", ID_TIER, 0),
    WALK_KEY("trafficType", ID_TIER, 0),
};
static const struct walk_key detail_keys[] = {
    WALK_KEY("modality", ID_MODALITY, 0),
    WALK_KEY("tokenCount", ID_TOKEN_COUNT, 0),
};

static const struct walk_place places[] = {
    [PL_IGNORE] = {NULL, 0, 0, 0, 0, 0},
    [PL_ROOT_LIST] = WALK_ARRAY(PL_ROOT, ID_ROOT),
    [PL_ROOT] = WALK_OBJECT(root_keys),
    [PL_CANDIDATES] = WALK_ARRAY(PL_CANDIDATE, ID_NONE),
    [PL_CANDIDATE] = WALK_OBJECT(candidate_keys),
    [PL_CONTENT] = WALK_OBJECT(content_keys),
    [PL_PARTS] = WALK_ARRAY(PL_PART, ID_NONE),
    [PL_PART] = WALK_OBJECT(part_keys),
    [PL_BLOB] = WALK_OBJECT(blob_keys),
    [PL_WHOLE] = {NULL, 0, PL_WHOLE, ID_TEXT, ID_TEXT, PL_WHOLE},
    [PL_GROUNDING] = WALK_OBJECT(grounding_keys),
    [PL_QUERIES] = WALK_ARRAY(PL_DEAD, ID_QUERY),
    [PL_DEAD] = {NULL, 0, 0, 0, 0, 0},
    [PL_USAGE] = WALK_OBJECT(usage_keys),
    [PL_INPUT_DETAILS] = WALK_ARRAY(PL_INPUT_DETAIL, ID_NONE),
    [PL_INPUT_DETAIL] = WALK_OBJECT(detail_keys),
    [PL_CACHE_DETAILS] = WALK_ARRAY(PL_CACHE_DETAIL, ID_NONE),
    [PL_CACHE_DETAIL] = WALK_OBJECT(detail_keys),
    [PL_OUTPUT_DETAILS] = WALK_ARRAY(PL_OUTPUT_DETAIL, ID_NONE),
    [PL_OUTPUT_DETAIL] = WALK_OBJECT(detail_keys),
};

static const bool wants_text[ID_COUNT] = {[ID_MODEL] = true, [ID_TIER] = true, [ID_MODALITY] = true};

/* An image is at most a few thousand tokens, however many bytes it has. */
#define BLOB_BYTES_COUNTED 4096

/* --- tokens ------------------------------------------------------------------------------------------------------- */

static void on_begin(struct extract *x, uint8_t id, bool object)
{
	switch ((enum id)id) {
	case ID_USAGE:
		if (!object)
			break;
		x->ev.usage = true;
		x->ev.counts.have = 0;
		break;
	case ID_FINISH:
		x->ev.finish = true;
		break;
	case ID_ERROR:
		x->ev.error = true;
		break;
	default:
		break;
	}
}

static bool modality_is(const struct staged *ev, const char *name)
{
	return strcmp(ev->entry_type, name) == 0;
}

static void close_detail(struct staged *ev, uint8_t place)
{
	uint64_t n = (ev->entry.have & 1u << RAW_INPUT) ? ev->entry.n[RAW_INPUT] : 0;

	if (modality_is(ev, "AUDIO"))
		extract_add(&ev->counts,
			    place == PL_INPUT_DETAIL   ? RAW_AUDIO_IN
			    : place == PL_CACHE_DETAIL ? RAW_CACHED_AUDIO
						       : RAW_AUDIO_OUT,
			    n);
	else if (modality_is(ev, "IMAGE") && place != PL_CACHE_DETAIL)
		extract_add(&ev->counts, place == PL_INPUT_DETAIL ? RAW_IMAGE_IN : RAW_IMAGE_OUT, n);
	ev->entry.have = 0;
	ev->entry_type[0] = '\0';
}

static void on_end(struct extract *x, uint8_t place)
{
	if (place == PL_INPUT_DETAIL || place == PL_CACHE_DETAIL || place == PL_OUTPUT_DETAIL)
		close_detail(&x->ev, place);
}

static void on_number(struct extract *x, uint8_t id, const struct scalar *s)
{
	static const int8_t raws[ID_COUNT] = {
	    [ID_INPUT] = RAW_INPUT + 1,   [ID_CACHED] = RAW_CACHED + 1,      [ID_TOOL_INPUT] = RAW_TOOL_INPUT + 1,
	    [ID_OUTPUT] = RAW_OUTPUT + 1, [ID_THOUGHTS] = RAW_REASONING + 1,
	};

	if (id == ID_TOKEN_COUNT)
		extract_set(&x->ev.entry, RAW_INPUT, s);
	else if (raws[id] != 0)
		extract_set(&x->ev.counts, (enum raw)(raws[id] - 1), s);
}

/* "ON_DEMAND_PRIORITY" and "priority" are the same tier under two names. */
static void take_tier(struct staged *ev, struct slice tier)
{
	static const char prefix[] = "ON_DEMAND";
	static const struct {
		const char *cloud, *name;
	} tiers[] = {{"", "standard"}, {"_PRIORITY", "priority"}, {"_FLEX", "flex"}, {"_OFFPEAK", "standard"}};
	size_t i;

	if (slice_starts(tier, SLICE(prefix)))
		for (i = 0; i < ARRAY_LEN(tiers); i++)
			if (slice_eq(slice_sub(tier, sizeof(prefix) - 1, tier.n), slice_of(tiers[i].cloud)))
				tier = slice_of(tiers[i].name);
	(void)slice_to_cstr(tier, ev->names.tier, sizeof(ev->names.tier));
}

static void on_string(struct extract *x, uint8_t id, const struct scalar *s)
{
	struct staged *ev = &x->ev;

	if (id == ID_MODEL)
		extract_word(ev->names.model, sizeof(ev->names.model), s);
	else if (id == ID_TIER)
		take_tier(ev, s->text);
	else if (id == ID_MODALITY)
		extract_word(ev->entry_type, sizeof(ev->entry_type), s);
	else if (id == ID_QUERY)
		ev->web++;
}

static void on_scalar(struct extract *x, uint8_t id, enum json_token t, const struct scalar *s)
{
	switch ((enum id)id) {
	case ID_TEXT:
		if (t == JT_STRING || t == JT_NUMBER)
			extract_text(x, s);
		break;
	case ID_BLOB:
		if (t == JT_STRING)
			x->output_bytes += s->length_bytes < BLOB_BYTES_COUNTED ? s->length_bytes : BLOB_BYTES_COUNTED;
		break;
	case ID_FINISH:
		x->ev.finish |= t != JT_NULL;
		break;
	case ID_ERROR:
		x->ev.error |= t != JT_NULL;
		break;
	default:
		if (t == JT_STRING)
			on_string(x, id, s);
		else if (t == JT_NUMBER)
			on_number(x, id, s);
		break;
	}
}

static void commit(struct extract *x)
{
	const struct staged *ev = &x->ev;

	x->fatal |= ev->error;
	x->finish_seen |= ev->finish;
	if (ev->web > x->items_web)
		x->items_web = ev->web; /* later chunks repeat the list */
	if (ev->usage) {
		x->counts = ev->counts;
		x->usage_seen = true;
	}
	x->counts.n[RAW_WEB] = x->items_web;
	x->counts.have |= 1u << RAW_WEB;
	if (x->usage_seen && (!x->stream || x->finish_seen))
		x->final = true;
}

const struct extract_ops extract_generate = {places, wants_text, PL_ROOT_LIST, on_begin, on_end, on_scalar, commit};
