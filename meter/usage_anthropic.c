/* Anthropic messages: counters are cumulative over a stream; a null or absent one keeps what was said before. */
#include "meter/usage_anthropic.h"

enum place {
	PL_IGNORE = WALK_IGNORE,
	PL_EVENT, /* a message, or an event of its stream */
	PL_MESSAGE,
	PL_DELTA,
	PL_CONTENT,
	PL_BLOCK,
	PL_WHOLE,
	PL_USAGE,
	PL_CREATION,
	PL_DETAILS,
	PL_TOOLS,
	PL_ITERATIONS,
	PL_ITERATION,
	PL_ITERATION_CREATION,
};

static const struct walk_key event_keys[] = {
    ROW_MARK("type", MARK_TYPE),         ROW_OPEN("delta", PL_DELTA),
    ROW_OPEN("content_block", PL_BLOCK), WALK_KEY("usage", MARK_USAGE, PL_USAGE),
    ROW_OPEN("message", PL_MESSAGE),     ROW_MARK("model", MARK_MODEL),
    ROW_OPEN("content", PL_CONTENT),     ROW_MARK("error", MARK_ERROR),
};
static const struct walk_key message_keys[] = {
    ROW_MARK("model", MARK_MODEL),
    WALK_KEY("usage", MARK_USAGE, PL_USAGE),
};
static const struct walk_key delta_keys[] = {DELTA_ROWS};
static const struct walk_key block_keys[] = {BLOCK_ROWS(PL_WHOLE)};
static const struct walk_key usage_keys[] = {MESSAGE_USAGE_ROWS(PL_CREATION, PL_DETAILS, PL_TOOLS, PL_ITERATIONS)};
static const struct walk_key creation_keys[] = {CACHE_CREATION_ROWS};
static const struct walk_key detail_keys[] = {MESSAGE_DETAIL_ROWS};
static const struct walk_key tool_keys[] = {MESSAGE_TOOL_ROWS};
static const struct walk_key iteration_keys[] = {ITERATION_ROWS(PL_ITERATION_CREATION)};
static const struct walk_key iteration_creation_keys[] = {ITERATION_CREATION_ROWS};

static const struct walk_place places[] = {
    [PL_IGNORE] = PLACE_DEAD,
    [PL_EVENT] = WALK_OBJECT(event_keys),
    [PL_MESSAGE] = WALK_OBJECT(message_keys),
    [PL_DELTA] = WALK_OBJECT(delta_keys),
    [PL_CONTENT] = WALK_ARRAY(PL_BLOCK, MARK_NONE),
    [PL_BLOCK] = WALK_OBJECT(block_keys),
    [PL_WHOLE] = PLACE_TEXT(PL_WHOLE),
    [PL_USAGE] = WALK_OBJECT(usage_keys),
    [PL_CREATION] = WALK_OBJECT(creation_keys),
    [PL_DETAILS] = WALK_OBJECT(detail_keys),
    [PL_TOOLS] = WALK_OBJECT(tool_keys),
    [PL_ITERATIONS] = WALK_ARRAY(PL_ITERATION, MARK_NONE),
    [PL_ITERATION] = WALK_OBJECT(iteration_keys),
    [PL_ITERATION_CREATION] = WALK_OBJECT(iteration_creation_keys),
};

/* A compaction is billed beside the totals, an advisor besides at its own model's rates, other iterations in them. */
void iteration_end(struct extract *x)
{
	struct staged *ev = x->ev;

	if (entry_is(x, "compaction"))
		counts_sum(&ev->sum, &ev->entry);
	else if (entry_is(x, "advisor_message"))
		others_add(&ev->others, ev->entry_model, "", &ev->entry);
	extract_entry_clear(x);
}

static void end(struct extract *x, uint8_t place)
{
	if (place == PL_ITERATION)
		iteration_end(x);
}

static void commit(struct extract *x)
{
	const struct staged *ev = x->ev;

	x->started |= event_is(x, "message_start");
	if (ev->usage && (!x->stream || (x->started && ev->finish && event_is(x, "message_delta"))))
		x->final = true;
}

const struct extract_ops extract_messages = {
    .places = places,
    .root = PL_EVENT,
    .take = TAKE_MERGE,
    .final = FINAL_HOOK,
    .end = end,
    .commit = commit,
};
