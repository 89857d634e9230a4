/* Bedrock: Converse, and InvokeModel, whose body is the model vendor's own. */
#include "meter/usage_anthropic.h"

enum place {
	PL_IGNORE = WALK_IGNORE,
	PL_WHOLE,
	/* Converse, and events of its stream */
	PL_CONVERSE,
	PL_OUTPUT,
	PL_MESSAGE,
	PL_START,
	PL_DELTA,
	PL_TOOL_USE,
	PL_REASONING,
	PL_TIER,
	PL_PERFORMANCE,
	PL_CONVERSE_USAGE,
	PL_CACHE_DETAILS,
	PL_CACHE_DETAIL,
	/* a model's body, and events of its stream */
	PL_BODY,
	PL_BODY_MESSAGE,
	PL_BODY_DELTA,
	PL_BODY_BLOCK,
	PL_BLOCK_START,
	PL_BLOCK_DELTA,
	PL_TEXTS,
	PL_TEXT,
	PL_BODY_USAGE,
	PL_CREATION,
	PL_DETAILS,
	PL_TOOLS,
	PL_ITERATIONS,
	PL_ITERATION,
	PL_ITERATION_CREATION,
	PL_INPUT_DETAILS,
	PL_METADATA,
	PL_METRICS,
	PL_RESULTS,
	PL_RESULT,
};

/* Input excludes both cache classes. Converse and Nova's own body name these the same or nearly so. */
#define CONVERSE_USAGE_ROWS                                                                                            \
	ROW_COUNT("inputTokens", RAW_INPUT_FRESH), ROW_COUNT("outputTokens", RAW_OUTPUT),                              \
	    ROW_COUNT("cacheReadInputTokens", RAW_CACHED), ROW_COUNT("cacheWriteInputTokens", RAW_CACHE_WRITE),        \
	    ROW_COUNT("cacheReadInputTokenCount", RAW_CACHED),                                                         \
	    ROW_COUNT("cacheWriteInputTokenCount", RAW_CACHE_WRITE), ROW_OPEN("cacheDetails", PL_CACHE_DETAILS)

static const struct walk_key converse_keys[] = {
    WALK_KEY("usage", MARK_USAGE, PL_CONVERSE_USAGE),
    ROW_OPEN("output", PL_OUTPUT),
    ROW_OPEN("delta", PL_DELTA),
    ROW_OPEN("start", PL_START),
    ROW_OPEN("serviceTier", PL_TIER),
    ROW_OPEN("performanceConfig", PL_PERFORMANCE),
};
static const struct walk_key output_keys[] = {ROW_OPEN("message", PL_MESSAGE)};
static const struct walk_key message_keys[] = {WALK_KEY("content", MARK_NONE, PL_WHOLE)};
static const struct walk_key start_keys[] = {ROW_OPEN("toolUse", PL_TOOL_USE)};
static const struct walk_key delta_keys[] = {
    ROW_MARK("text", MARK_TEXT),
    ROW_OPEN("toolUse", PL_TOOL_USE),
    ROW_OPEN("reasoningContent", PL_REASONING),
};
/* A call of a tool: its name as the block starts, then its input, JSON in pieces. Its id stands for the words around
 * it, which are billed and not sent. */
static const struct walk_key tool_use_keys[] = {
    ROW_MARK("toolUseId", MARK_TEXT),
    ROW_MARK("name", MARK_TEXT),
    WALK_KEY("input", MARK_TEXT, PL_WHOLE),
};
static const struct walk_key reasoning_keys[] = {
    ROW_MARK("text", MARK_TEXT),
    ROW_MARK("signature", MARK_TEXT),
    ROW_MARK("redactedContent", MARK_TEXT),
};
static const struct walk_key tier_keys[] = {ROW_MARK("type", MARK_TIER)};
static const struct walk_key performance_keys[] = {ROW_MARK("latency", MARK_SPEED)};
static const struct walk_key converse_usage_keys[] = {CONVERSE_USAGE_ROWS};
static const struct walk_key cache_detail_keys[] = {
    ROW_MARK("ttl", MARK_ENTRY_TYPE),
    ROW_ENTRY("inputTokens", RAW_CACHE_WRITE),
};

static const struct walk_key body_keys[] = {
    /* Claude, and the shape of OpenAI that other models share */
    ROW_MARK("type", MARK_TYPE),
    ROW_OPEN("delta", PL_BODY_DELTA),
    ROW_OPEN("content_block", PL_BODY_BLOCK),
    ROW_OPEN("message", PL_BODY_MESSAGE),
    WALK_KEY("usage", MARK_USAGE, PL_BODY_USAGE),
    ROW_MARK("error", MARK_ERROR),
    WALK_KEY("content", MARK_TEXT, PL_WHOLE),
    WALK_KEY("choices", MARK_TEXT, PL_WHOLE),
    /* Nova */
    WALK_KEY("output", MARK_NONE, PL_WHOLE),
    ROW_OPEN("contentBlockStart", PL_BLOCK_START),
    ROW_OPEN("contentBlockDelta", PL_BLOCK_DELTA),
    ROW_OPEN("metadata", PL_METADATA),
    /* Llama */
    ROW_MARK("generation", MARK_TEXT),
    ROW_FOUND("prompt_token_count", RAW_INPUT_FRESH),
    ROW_FOUND("generation_token_count", RAW_OUTPUT),
    /* Mistral's text, Cohere's two generations */
    ROW_OPEN("outputs", PL_TEXTS),
    ROW_OPEN("generations", PL_TEXTS),
    ROW_MARK("text", MARK_TEXT),
    ROW_MARK("completion", MARK_TEXT), /* Claude 2 */
    /* Titan, vectors of several vendors */
    ROW_MARK("outputText", MARK_TEXT),
    ROW_FOUND("inputTextTokenCount", RAW_INPUT_FRESH),
    ROW_FOUND("totalOutputTextTokenCount", RAW_OUTPUT),
    ROW_OPEN("results", PL_RESULTS),
    ROW_MARK("embedding", MARK_LIST),
    ROW_MARK("embeddings", MARK_LIST),
    /* Bedrock itself */
    WALK_KEY("amazon-bedrock-invocationMetrics", MARK_METRICS, PL_METRICS),
};
static const struct walk_key body_message_keys[] = {
    WALK_KEY("usage", MARK_USAGE, PL_BODY_USAGE),
    WALK_KEY("content", MARK_TEXT, PL_WHOLE),
};
static const struct walk_key body_delta_keys[] = {DELTA_ROWS};
static const struct walk_key body_block_keys[] = {BLOCK_ROWS(PL_WHOLE)};
static const struct walk_key block_start_keys[] = {ROW_OPEN("start", PL_START)};
static const struct walk_key block_delta_keys[] = {ROW_OPEN("delta", PL_DELTA)};
static const struct walk_key text_keys[] = {ROW_MARK("text", MARK_TEXT)};
static const struct walk_key body_usage_keys[] = {
    MESSAGE_USAGE_ROWS(PL_CREATION, PL_DETAILS, PL_TOOLS, PL_ITERATIONS),
    CONVERSE_USAGE_ROWS,
    ROW_COUNT("prompt_tokens", RAW_INPUT),
    ROW_COUNT("completion_tokens", RAW_OUTPUT),
    ROW_OPEN("prompt_tokens_details", PL_INPUT_DETAILS),
};
static const struct walk_key creation_keys[] = {CACHE_CREATION_ROWS};
static const struct walk_key detail_keys[] = {MESSAGE_DETAIL_ROWS};
static const struct walk_key tool_keys[] = {MESSAGE_TOOL_ROWS};
static const struct walk_key iteration_keys[] = {ITERATION_ROWS(PL_ITERATION_CREATION)};
static const struct walk_key iteration_creation_keys[] = {ITERATION_CREATION_ROWS};
static const struct walk_key input_detail_keys[] = {ROW_COUNT("cached_tokens", RAW_CACHED)};
static const struct walk_key metadata_keys[] = {WALK_KEY("usage", MARK_USAGE, PL_BODY_USAGE)};
static const struct walk_key metrics_keys[] = {
    ROW_COUNT("inputTokenCount", RAW_INPUT_FRESH),
    ROW_COUNT("outputTokenCount", RAW_OUTPUT),
    ROW_COUNT("cacheReadInputTokenCount", RAW_CACHED),
    ROW_COUNT("cacheWriteInputTokenCount", RAW_CACHE_WRITE),
};
static const struct walk_key result_keys[] = {
    ROW_ENTRY("tokenCount", RAW_OUTPUT),
    ROW_MARK("outputText", MARK_TEXT),
};

static const struct walk_place places[] = {
    [PL_IGNORE] = PLACE_DEAD,
    [PL_WHOLE] = PLACE_TEXT(PL_WHOLE),
    [PL_CONVERSE] = WALK_OBJECT(converse_keys),
    [PL_OUTPUT] = WALK_OBJECT(output_keys),
    [PL_MESSAGE] = WALK_OBJECT(message_keys),
    [PL_START] = WALK_OBJECT(start_keys),
    [PL_DELTA] = WALK_OBJECT(delta_keys),
    [PL_TOOL_USE] = WALK_OBJECT(tool_use_keys),
    [PL_REASONING] = WALK_OBJECT(reasoning_keys),
    [PL_TIER] = WALK_OBJECT(tier_keys),
    [PL_PERFORMANCE] = WALK_OBJECT(performance_keys),
    [PL_CONVERSE_USAGE] = WALK_OBJECT(converse_usage_keys),
    [PL_CACHE_DETAILS] = WALK_ARRAY(PL_CACHE_DETAIL, MARK_NONE),
    [PL_CACHE_DETAIL] = WALK_OBJECT(cache_detail_keys),
    [PL_BODY] = WALK_OBJECT(body_keys),
    [PL_BODY_MESSAGE] = WALK_OBJECT(body_message_keys),
    [PL_BODY_DELTA] = WALK_OBJECT(body_delta_keys),
    [PL_BODY_BLOCK] = WALK_OBJECT(body_block_keys),
    [PL_BLOCK_START] = WALK_OBJECT(block_start_keys),
    [PL_BLOCK_DELTA] = WALK_OBJECT(block_delta_keys),
    [PL_TEXTS] = WALK_ARRAY(PL_TEXT, MARK_NONE),
    [PL_TEXT] = WALK_OBJECT(text_keys),
    [PL_BODY_USAGE] = WALK_OBJECT(body_usage_keys),
    [PL_CREATION] = WALK_OBJECT(creation_keys),
    [PL_DETAILS] = WALK_OBJECT(detail_keys),
    [PL_TOOLS] = WALK_OBJECT(tool_keys),
    [PL_ITERATIONS] = WALK_ARRAY(PL_ITERATION, MARK_NONE),
    [PL_ITERATION] = WALK_OBJECT(iteration_keys),
    [PL_ITERATION_CREATION] = WALK_OBJECT(iteration_creation_keys),
    [PL_INPUT_DETAILS] = WALK_OBJECT(input_detail_keys),
    [PL_METADATA] = WALK_OBJECT(metadata_keys),
    [PL_METRICS] = WALK_OBJECT(metrics_keys),
    [PL_RESULTS] = WALK_ARRAY(PL_RESULT, MARK_NONE),
    [PL_RESULT] = WALK_OBJECT(result_keys),
};

static void end(struct extract *x, uint8_t place)
{
	struct staged *ev = x->ev;

	if (place == PL_ITERATION)
		iteration_end(x);
	else if (place == PL_CACHE_DETAIL && entry_is(x, "1h"))
		counts_add(&ev->counts, RAW_CACHE_WRITE_1H, counts_get(&ev->entry, RAW_CACHE_WRITE));
	else if (place == PL_RESULT && counts_have(&ev->entry, RAW_OUTPUT))
		counts_add(&ev->found, RAW_OUTPUT, ev->entry.n[RAW_OUTPUT]);
	else if (place != PL_CACHE_DETAIL && place != PL_RESULT)
		return;
	extract_entry_clear(x);
}

/* Counts that stand in the body by themselves become its usage. */
static void take_loose_counts(struct extract *x)
{
	struct staged *ev = x->ev;
	uint32_t loose = ev->found.have;

	if (loose == 0)
		return;
	if (ev->list_seen) /* vectors: there is no output */
		counts_set(&ev->found, RAW_OUTPUT, counts_get(&ev->found, RAW_OUTPUT));
	if (!ev->usage && !ev->metrics)
		counts_merge(&ev->counts, &ev->found);
	ev->usage = true;
	ev->found.have = 0;
}

/* Bedrock's own metrics come last and are the bill; a lifetime of cached input that they do not tell stands. */
static void commit_invoke(struct extract *x)
{
	struct staged *ev = x->ev;

	take_loose_counts(x);
	if (ev->metrics) {
		if (x->counts)
			counts_drop(x->counts, RAW_INPUT);
		counts_drop(&ev->counts, RAW_INPUT);
		ev->usage = true;
	}
	x->started |= event_is(x, "message_start");
	if (ev->usage && (!x->stream || ev->metrics || (x->started && ev->finish && event_is(x, "message_delta"))))
		x->final = true;
}

const struct extract_ops extract_converse = {
    .places = places,
    .root = PL_CONVERSE,
    .take = TAKE_REPLACE,
    .final = FINAL_USAGE,
    .end = end,
};
const struct extract_ops extract_invoke = {
    .places = places,
    .root = PL_BODY,
    .take = TAKE_MERGE,
    .final = FINAL_HOOK,
    .end = end,
    .commit = commit_invoke,
};
