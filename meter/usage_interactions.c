/* Gemini interactions: one usage an interaction, in its last event; another hop is another bill. */
#include "meter/extract.h"

enum place {
	PL_IGNORE = WALK_IGNORE,
	PL_EVENT, /* an interaction, or an event of its stream */
	PL_INTERACTION,
	PL_DELTA,
	PL_OUTPUTS,
	PL_WHOLE,
	PL_USAGE,
	PL_INPUT_DETAILS,
	PL_INPUT_DETAIL,
	PL_CACHE_DETAILS,
	PL_CACHE_DETAIL,
	PL_OUTPUT_DETAILS,
	PL_OUTPUT_DETAIL,
	PL_TOOLS,
	PL_TOOL,
};

#define INTERACTION_ROWS                                                                                               \
	ROW_MARK("id", MARK_ID), ROW_MARK("model", MARK_MODEL), ROW_MARK("agent", MARK_SIDE_MODEL),                    \
	    ROW_MARK("status", MARK_STATUS), ROW_MARK("service_tier", MARK_TIER), ROW_OPEN("outputs", PL_OUTPUTS),     \
	    ROW_OPEN("steps", PL_OUTPUTS), WALK_KEY("usage", MARK_USAGE, PL_USAGE)

static const struct walk_key interaction_keys[] = {INTERACTION_ROWS};
static const struct walk_key event_keys[] = {
    ROW_MARK("event_type", MARK_TYPE),
    ROW_OPEN("interaction", PL_INTERACTION),
    ROW_OPEN("delta", PL_DELTA),
    ROW_MARK("error", MARK_ERROR),
    INTERACTION_ROWS,
};
static const struct walk_key delta_keys[] = {
    ROW_MARK("text", MARK_DELTA),
    ROW_MARK("thought", MARK_DELTA),
    ROW_MARK("data", MARK_BLOB),
    ROW_MARK("signature", MARK_DELTA),
    WALK_KEY("arguments", MARK_DELTA, PL_WHOLE),
    WALK_KEY("content", MARK_DELTA, PL_WHOLE),
};
static const struct walk_key usage_keys[] = {
    ROW_COUNT("total_input_tokens", RAW_INPUT),
    ROW_COUNT("total_cached_tokens", RAW_CACHED),
    ROW_COUNT("total_output_tokens", RAW_OUTPUT),
    ROW_COUNT("total_thought_tokens", RAW_REASONING_BESIDE),
    ROW_COUNT("total_tool_use_tokens", RAW_INPUT_TOOL),
    ROW_OPEN("input_tokens_by_modality", PL_INPUT_DETAILS),
    ROW_OPEN("tool_use_tokens_by_modality", PL_INPUT_DETAILS),
    ROW_OPEN("cached_tokens_by_modality", PL_CACHE_DETAILS),
    ROW_OPEN("output_tokens_by_modality", PL_OUTPUT_DETAILS),
    ROW_OPEN("grounding_tool_count", PL_TOOLS),
};
static const struct walk_key detail_keys[] = {
    ROW_MARK("modality", MARK_ENTRY_TYPE),
    ROW_ENTRY("tokens", RAW_INPUT),
};
static const struct walk_key tool_keys[] = {
    ROW_MARK("type", MARK_ENTRY_TYPE),
    ROW_ENTRY("count", RAW_INPUT),
};

static const struct walk_place places[] = {
    [PL_IGNORE] = PLACE_DEAD,
    [PL_EVENT] = WALK_OBJECT(event_keys),
    [PL_INTERACTION] = WALK_OBJECT(interaction_keys),
    [PL_DELTA] = WALK_OBJECT(delta_keys),
    [PL_OUTPUTS] = PLACE_TEXT(PL_OUTPUTS),
    [PL_WHOLE] = {NULL, 0, PL_WHOLE, MARK_DELTA, MARK_DELTA, PL_WHOLE},
    [PL_USAGE] = WALK_OBJECT(usage_keys),
    [PL_INPUT_DETAILS] = WALK_ARRAY(PL_INPUT_DETAIL, MARK_NONE),
    [PL_INPUT_DETAIL] = WALK_OBJECT(detail_keys),
    [PL_CACHE_DETAILS] = WALK_ARRAY(PL_CACHE_DETAIL, MARK_NONE),
    [PL_CACHE_DETAIL] = WALK_OBJECT(detail_keys),
    [PL_OUTPUT_DETAILS] = WALK_ARRAY(PL_OUTPUT_DETAIL, MARK_NONE),
    [PL_OUTPUT_DETAIL] = WALK_OBJECT(detail_keys),
    [PL_TOOLS] = WALK_ARRAY(PL_TOOL, MARK_NONE),
    [PL_TOOL] = WALK_OBJECT(tool_keys),
};

/* An element of a list in the usage: what it counts is its type's, at that place. */
static void end(struct extract *x, uint8_t place)
{
	static const struct {
		uint8_t place;
		const char *type;
		enum raw raw;
	} kinds[] = {
	    {PL_INPUT_DETAIL, "audio", RAW_AUDIO_IN},   {PL_CACHE_DETAIL, "audio", RAW_CACHED_AUDIO},
	    {PL_OUTPUT_DETAIL, "audio", RAW_AUDIO_OUT}, {PL_INPUT_DETAIL, "image", RAW_IMAGE_IN},
	    {PL_OUTPUT_DETAIL, "image", RAW_IMAGE_OUT}, {PL_TOOL, "google_search", RAW_WEB},
	};
	struct staged *ev = x->ev;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].place == place && entry_is(x, kinds[i].type))
			counts_add(&ev->counts, kinds[i].raw, counts_get(&ev->entry, RAW_INPUT));
	extract_entry_clear(x);
}

/* An interaction in the background may show how far it is; an agent has no model. */
static void commit(struct extract *x)
{
	struct staged *ev = x->ev;

	if (ev->names.model[0] == '\0')
		memcpy(ev->names.model, ev->names.side_model, sizeof(ev->names.model));
	if (!x->stream && (strcmp(ev->status, "in_progress") == 0 || strcmp(ev->status, "queued") == 0))
		ev->usage = false;
}

static const char *const terminal[] = {"interaction.completed", "interaction.complete", NULL};

const struct extract_ops extract_interactions = {
    .places = places,
    .root = PL_EVENT,
    .take = TAKE_REPLACE,
    .final = FINAL_TYPE,
    .zero = ZERO_INPUT | ZERO_OUTPUT,
    .terminal = terminal,
    .deltas_only = true,
    .end = end,
    .commit = commit,
};
