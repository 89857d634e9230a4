/* Cohere, both generations: billed units are the bill; raw token counts are not. */
#include "meter/extract.h"

enum place {
	PL_IGNORE = WALK_IGNORE,
	PL_EVENT, /* an answer, or an event of its stream */
	PL_RESPONSE,
	PL_DELTA,
	PL_WHOLE,
	PL_USAGE,
	PL_BILLED,
};

static const struct walk_key event_keys[] = {
    ROW_MARK("type", MARK_TYPE),       ROW_MARK("event_type", MARK_TYPE), ROW_OPEN("delta", PL_DELTA),
    ROW_OPEN("usage", PL_USAGE),       ROW_OPEN("meta", PL_USAGE),        WALK_KEY("message", MARK_NONE, PL_WHOLE),
    ROW_OPEN("response", PL_RESPONSE), ROW_MARK("text", MARK_TEXT),       ROW_MARK("finish_reason", MARK_STATUS),
    ROW_MARK("error", MARK_ERROR),
};
static const struct walk_key response_keys[] = {
    ROW_OPEN("meta", PL_USAGE),
    ROW_MARK("finish_reason", MARK_STATUS),
};
static const struct walk_key delta_keys[] = {
    WALK_KEY("message", MARK_NONE, PL_WHOLE),
    ROW_OPEN("usage", PL_USAGE),
    ROW_MARK("finish_reason", MARK_STATUS),
    ROW_MARK("error", MARK_ERROR),
};
static const struct walk_key usage_keys[] = {
    WALK_KEY("billed_units", MARK_USAGE, PL_BILLED),
    ROW_FOUND("cached_tokens", RAW_CACHED),
};
static const struct walk_key billed_keys[] = {
    ROW_COUNT("input_tokens", RAW_INPUT),
    ROW_COUNT("output_tokens", RAW_OUTPUT),
    ROW_COUNT("image_tokens", RAW_INPUT_IMAGE),
    ROW_COUNT("search_units", RAW_SEARCH_UNITS),
    ROW_COUNT("pages", RAW_PAGES),
};

static const struct walk_place places[] = {
    [PL_IGNORE] = PLACE_DEAD,
    [PL_EVENT] = WALK_OBJECT(event_keys),
    [PL_RESPONSE] = WALK_OBJECT(response_keys),
    [PL_DELTA] = WALK_OBJECT(delta_keys),
    [PL_WHOLE] = PLACE_TEXT(PL_WHOLE),
    [PL_USAGE] = WALK_OBJECT(usage_keys),
    [PL_BILLED] = WALK_OBJECT(billed_keys),
};

static void commit(struct extract *x)
{
	x->ev->error |= strcmp(x->ev->status, "ERROR") == 0;
}

static const char *const terminal[] = {"message-end", "stream-end", NULL};

const struct extract_ops extract_cohere = {
    .places = places,
    .root = PL_EVENT,
    .take = TAKE_REPLACE,
    .final = FINAL_TYPE,
    .zero = ZERO_INPUT | ZERO_OUTPUT,
    .terminal = terminal,
    .commit = commit,
};
