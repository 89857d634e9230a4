/* Gemini and Vertex: generateContent, embeddings, predict. */
#include "meter/extract.h"

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
	PL_PREDICT,
	PL_PREDICTIONS,
	PL_PREDICTION,
	PL_EMBEDDINGS,
	PL_STATISTICS,
	PL_METADATA,
};

static const struct walk_key root_keys[] = {
    ROW_OPEN("candidates", PL_CANDIDATES), WALK_KEY("usageMetadata", MARK_USAGE, PL_USAGE),
    ROW_MARK("modelVersion", MARK_MODEL),  ROW_MARK("promptFeedback", MARK_FINISH),
    ROW_MARK("error", MARK_ERROR),
};
static const struct walk_key candidate_keys[] = {
    ROW_OPEN("content", PL_CONTENT),
    ROW_MARK("finishReason", MARK_FINISH),
    ROW_OPEN("groundingMetadata", PL_GROUNDING),
};
static const struct walk_key content_keys[] = {ROW_OPEN("parts", PL_PARTS)};
static const struct walk_key part_keys[] = {
    ROW_MARK("text", MARK_TEXT),
    WALK_KEY("functionCall", MARK_TEXT, PL_WHOLE),
    WALK_KEY("executableCode", MARK_TEXT, PL_WHOLE),
    WALK_KEY("codeExecutionResult", MARK_TEXT, PL_WHOLE),
    ROW_OPEN("inlineData", PL_BLOB),
};
static const struct walk_key blob_keys[] = {
    ROW_MARK("data", MARK_BLOB),
    ROW_MARK("mimeType", MARK_ENTRY_TYPE),
};
static const struct walk_key grounding_keys[] = {ROW_OPEN("webSearchQueries", PL_QUERIES)};
static const struct walk_key usage_keys[] = {
    ROW_COUNT("promptTokenCount", RAW_INPUT),
    ROW_COUNT("candidatesTokenCount", RAW_OUTPUT),
    ROW_COUNT("thoughtsTokenCount", RAW_REASONING_BESIDE),
    ROW_COUNT("cachedContentTokenCount", RAW_CACHED),
    ROW_COUNT("toolUsePromptTokenCount", RAW_INPUT_TOOL),
    ROW_OPEN("promptTokensDetails", PL_INPUT_DETAILS),
    ROW_OPEN("toolUsePromptTokensDetails", PL_INPUT_DETAILS),
    ROW_OPEN("cacheTokensDetails", PL_CACHE_DETAILS),
    ROW_OPEN("candidatesTokensDetails", PL_OUTPUT_DETAILS),
    ROW_MARK("serviceTier", MARK_TIER),
    ROW_MARK("trafficType", MARK_TIER),
};
static const struct walk_key detail_keys[] = {
    ROW_MARK("modality", MARK_ENTRY_TYPE),
    ROW_ENTRY("tokenCount", RAW_INPUT),
};
static const struct walk_key predict_keys[] = {
    ROW_OPEN("predictions", PL_PREDICTIONS),
    ROW_OPEN("metadata", PL_METADATA),
    ROW_MARK("error", MARK_ERROR),
};
static const struct walk_key prediction_keys[] = {
    ROW_OPEN("embeddings", PL_EMBEDDINGS),
    WALK_KEY("bytesBase64Encoded", MARK_BLOB, 0),
    ROW_MARK("mimeType", MARK_ENTRY_TYPE),
};
static const struct walk_key embeddings_keys[] = {ROW_OPEN("statistics", PL_STATISTICS)};
static const struct walk_key statistics_keys[] = {ROW_ENTRY("token_count", RAW_INPUT)};
static const struct walk_key metadata_keys[] = {ROW_FOUND("billableCharacterCount", RAW_CHARS)};

static const struct walk_place places[] = {
    [PL_IGNORE] = PLACE_DEAD,
    [PL_ROOT_LIST] = WALK_ARRAY(PL_ROOT, MARK_NONE),
    [PL_ROOT] = WALK_OBJECT(root_keys),
    [PL_CANDIDATES] = WALK_ARRAY(PL_CANDIDATE, MARK_NONE),
    [PL_CANDIDATE] = WALK_OBJECT(candidate_keys),
    [PL_CONTENT] = WALK_OBJECT(content_keys),
    [PL_PARTS] = WALK_ARRAY(PL_PART, MARK_NONE),
    [PL_PART] = WALK_OBJECT(part_keys),
    [PL_BLOB] = WALK_OBJECT(blob_keys),
    [PL_WHOLE] = PLACE_TEXT(PL_WHOLE),
    [PL_GROUNDING] = WALK_OBJECT(grounding_keys),
    [PL_QUERIES] = WALK_ARRAY(PL_DEAD, MARK_QUERY),
    [PL_DEAD] = PLACE_DEAD,
    [PL_USAGE] = WALK_OBJECT(usage_keys),
    [PL_INPUT_DETAILS] = WALK_ARRAY(PL_INPUT_DETAIL, MARK_NONE),
    [PL_INPUT_DETAIL] = WALK_OBJECT(detail_keys),
    [PL_CACHE_DETAILS] = WALK_ARRAY(PL_CACHE_DETAIL, MARK_NONE),
    [PL_CACHE_DETAIL] = WALK_OBJECT(detail_keys),
    [PL_OUTPUT_DETAILS] = WALK_ARRAY(PL_OUTPUT_DETAIL, MARK_NONE),
    [PL_OUTPUT_DETAIL] = WALK_OBJECT(detail_keys),
    [PL_PREDICT] = WALK_OBJECT(predict_keys),
    [PL_PREDICTIONS] = WALK_ARRAY(PL_PREDICTION, MARK_NONE),
    [PL_PREDICTION] = WALK_OBJECT(prediction_keys),
    [PL_EMBEDDINGS] = WALK_OBJECT(embeddings_keys),
    [PL_STATISTICS] = WALK_OBJECT(statistics_keys),
    [PL_METADATA] = WALK_OBJECT(metadata_keys),
};

/* Tokens of one modality, in the list that stands at `place`. */
static void detail_end(struct staged *ev, uint8_t place)
{
	static const struct {
		uint8_t place;
		const char *modality;
		enum raw raw;
	} kinds[] = {
	    {PL_INPUT_DETAIL, "AUDIO", RAW_AUDIO_IN},   {PL_CACHE_DETAIL, "AUDIO", RAW_CACHED_AUDIO},
	    {PL_OUTPUT_DETAIL, "AUDIO", RAW_AUDIO_OUT}, {PL_INPUT_DETAIL, "IMAGE", RAW_IMAGE_IN},
	    {PL_OUTPUT_DETAIL, "IMAGE", RAW_IMAGE_OUT},
	};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].place == place && strcmp(kinds[i].modality, ev->entry_type) == 0)
			counts_add(&ev->counts, kinds[i].raw, counts_get(&ev->entry, RAW_INPUT));
}

static void end(struct extract *x, uint8_t place)
{
	struct staged *ev = x->ev;

	if (place == PL_INPUT_DETAIL || place == PL_CACHE_DETAIL || place == PL_OUTPUT_DETAIL)
		detail_end(ev, place);
	else if (place == PL_BLOB && strncmp(ev->entry_type, "image/", 6) == 0)
		counts_add(&ev->found, RAW_IMAGES, 1);
	else if (place != PL_BLOB)
		return;
	extract_entry_clear(x);
}

/* Later chunks repeat the list of queries, but not pictures. */
static void commit_generate(struct extract *x)
{
	const struct counts *known = counts_or_none(x->found);
	struct counts *found = &x->ev->found;

	if (counts_have(found, RAW_WEB) && counts_get(known, RAW_WEB) > found->n[RAW_WEB])
		counts_drop(found, RAW_WEB);
	if (counts_have(found, RAW_IMAGES))
		counts_add(found, RAW_IMAGES, counts_get(known, RAW_IMAGES));
}

static void end_predict(struct extract *x, uint8_t place)
{
	struct staged *ev = x->ev;

	if (place != PL_PREDICTION)
		return;
	if (counts_have(&ev->entry, RAW_INPUT)) {
		counts_add(&ev->counts, RAW_INPUT, ev->entry.n[RAW_INPUT]);
		ev->usage = true;
	} else if (strncmp(ev->entry_type, "image/", 6) == 0) {
		counts_add(&ev->found, RAW_IMAGES, 1);
		counts_set(&ev->counts, RAW_INPUT, 0);
		ev->usage = true;
	}
	extract_entry_clear(x);
}

const struct extract_ops extract_generate = {
    .places = places,
    .root = PL_ROOT_LIST,
    .take = TAKE_REPLACE,
    .final = FINAL_FINISH,
    .zero = ZERO_INPUT | ZERO_OUTPUT,
    .end = end,
    .commit = commit_generate,
};
const struct extract_ops extract_embed_content = {
    .places = places,
    .root = PL_ROOT,
    .take = TAKE_REPLACE,
    .final = FINAL_USAGE,
    .zero = ZERO_NO_OUTPUT,
    .end = end,
};
const struct extract_ops extract_predict = {
    .places = places,
    .root = PL_PREDICT,
    .take = TAKE_REPLACE,
    .final = FINAL_USAGE,
    .zero = ZERO_NO_OUTPUT,
    .end = end_predict,
};
