/* usage_anthropic.h - rows of Anthropic's blocks and usage object, which stand in messages, in results of batches
 * and in Bedrock's answers. Internal to the meter room. */
#ifndef METER_USAGE_ANTHROPIC_H
#define METER_USAGE_ANTHROPIC_H

#include "meter/extract.h"

/* The arguments are places whose tables hold the rows below. */
#define MESSAGE_USAGE_ROWS(creation, details, tools, iterations)                                                       \
	ROW_COUNT("input_tokens", RAW_INPUT_FRESH), ROW_COUNT("output_tokens", RAW_OUTPUT),                            \
	    ROW_COUNT("cache_creation_input_tokens", RAW_CACHE_WRITE),                                                 \
	    ROW_COUNT("cache_read_input_tokens", RAW_CACHED), ROW_OPEN("cache_creation", creation),                    \
	    ROW_OPEN("output_tokens_details", details), ROW_OPEN("server_tool_use", tools),                            \
	    ROW_MARK("service_tier", MARK_TIER), ROW_MARK("speed", MARK_SPEED), ROW_MARK("inference_geo", MARK_GEO),   \
	    WALK_KEY("iterations", MARK_PARTS, iterations)
#define CACHE_CREATION_ROWS ROW_COUNT("ephemeral_1h_input_tokens", RAW_CACHE_WRITE_1H)
#define MESSAGE_DETAIL_ROWS ROW_COUNT("thinking_tokens", RAW_REASONING)
#define MESSAGE_TOOL_ROWS ROW_COUNT("web_search_requests", RAW_WEB)
#define ITERATION_ROWS(creation)                                                                                       \
	ROW_MARK("type", MARK_ENTRY_TYPE), ROW_MARK("model", MARK_ENTRY_MODEL),                                        \
	    ROW_ENTRY("input_tokens", RAW_INPUT_FRESH), ROW_ENTRY("output_tokens", RAW_OUTPUT),                        \
	    ROW_ENTRY("cache_read_input_tokens", RAW_CACHED),                                                          \
	    ROW_ENTRY("cache_creation_input_tokens", RAW_CACHE_WRITE), ROW_OPEN("cache_creation", creation)
#define ITERATION_CREATION_ROWS ROW_ENTRY("ephemeral_1h_input_tokens", RAW_CACHE_WRITE_1H)

/* What an event of a stream adds to a block, and a block itself; `whole` is a place below which all text counts. The
 * words around a call of a tool are billed and not sent: its id, which is as long, stands for them. */
#define DELTA_ROWS                                                                                                     \
	ROW_MARK("text", MARK_TEXT), ROW_MARK("thinking", MARK_TEXT), ROW_MARK("partial_json", MARK_TEXT),             \
	    ROW_MARK("signature", MARK_TEXT), ROW_MARK("stop_reason", MARK_FINISH)
#define BLOCK_ROWS(whole)                                                                                              \
	ROW_MARK("text", MARK_TEXT), ROW_MARK("thinking", MARK_TEXT), ROW_MARK("data", MARK_TEXT),                     \
	    ROW_MARK("name", MARK_TEXT), ROW_MARK("signature", MARK_TEXT), WALK_KEY("input", MARK_TEXT, whole),        \
	    ROW_MARK("id", MARK_TEXT)
/* For the hook, at the end of an iteration's place. */
void iteration_end(struct extract *) NONNULL(1);

#endif
