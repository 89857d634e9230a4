/* Ollama's own API: counts stand in the last object, and in that of vectors. */
#include "meter/extract.h"

enum place {
	PL_IGNORE = WALK_IGNORE,
	PL_ANSWER,
	PL_MESSAGE,
	PL_WHOLE,
};

static const struct walk_key answer_keys[] = {
    ROW_MARK("model", MARK_MODEL),       ROW_OPEN("message", PL_MESSAGE),   ROW_MARK("response", MARK_TEXT),
    ROW_MARK("thinking", MARK_TEXT),     ROW_MARK("done", MARK_DONE),       ROW_COUNT("prompt_eval_count", RAW_INPUT),
    ROW_COUNT("eval_count", RAW_OUTPUT), ROW_MARK("embeddings", MARK_LIST), ROW_MARK("embedding", MARK_LIST),
    ROW_MARK("error", MARK_ERROR),
};

static const struct walk_key message_keys[] = {
    ROW_MARK("content", MARK_TEXT),
    ROW_MARK("thinking", MARK_TEXT),
    WALK_KEY("tool_calls", MARK_NONE, PL_WHOLE),
};

static const struct walk_place places[] = {
    [PL_IGNORE] = PLACE_DEAD,
    [PL_ANSWER] = WALK_OBJECT(answer_keys),
    [PL_MESSAGE] = WALK_OBJECT(message_keys),
    [PL_WHOLE] = PLACE_TEXT(PL_WHOLE),
};

/* A prompt that was cached whole is not counted; vectors have no output, and older ones no count. */
static void commit(struct extract *x)
{
	struct staged *ev = x->ev;

	if (ev->list_seen)
		counts_set(&ev->found, RAW_OUTPUT, 0);
	/* text without a count of it is no free text */
	if (ev->done)
		ev->usage = counts_have(&ev->counts, RAW_OUTPUT) || x->output_bytes == 0;
	else
		ev->usage = ev->list_seen && counts_have(&ev->counts, RAW_INPUT);
}

const struct extract_ops extract_ollama = {
    .places = places,
    .root = PL_ANSWER,
    .take = TAKE_REPLACE,
    .final = FINAL_USAGE,
    .zero = ZERO_INPUT | ZERO_OUTPUT,
    .commit = commit,
};
