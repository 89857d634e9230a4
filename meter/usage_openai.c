/* OpenAI's shape: chat completions, completions, responses, and the places of all its other answers. */
#include "meter/usage_openai.h"

#include "meter/usage_anthropic.h"

/* --- usage ------------------------------------------------------------------------------------------------------- */

/* Both generations' names, and what compatibles add: cached tokens by other names (DeepSeek's hits, Together, Mistral),
 * Perplexity's and xAI's fees and costs, OpenRouter's costs, Mistral's connectors and audio. */
static const struct walk_key usage_keys[] = {
    ROW_COUNT("prompt_tokens", RAW_INPUT),
    ROW_COUNT("input_tokens", RAW_INPUT),
    ROW_COUNT("completion_tokens", RAW_OUTPUT),
    ROW_COUNT("output_tokens", RAW_OUTPUT),
    ROW_COUNT("total_tokens", RAW_TOTAL),
    ROW_OPEN("prompt_tokens_details", PL_INPUT_DETAILS),
    ROW_OPEN("input_tokens_details", PL_INPUT_DETAILS),
    ROW_OPEN("input_token_details", PL_INPUT_DETAILS),
    ROW_OPEN("completion_tokens_details", PL_OUTPUT_DETAILS),
    ROW_OPEN("output_tokens_details", PL_OUTPUT_DETAILS),
    ROW_OPEN("output_token_details", PL_OUTPUT_DETAILS),
    ROW_COUNT("prompt_cache_hit_tokens", RAW_CACHED_ALT),
    ROW_COUNT("cached_tokens", RAW_CACHED_ALT),
    ROW_COUNT("num_cached_tokens", RAW_CACHED_ALT),
    ROW_COUNT("reasoning_tokens", RAW_REASONING_TOP),
    ROW_COUNT("citation_tokens", RAW_CITATION),
    ROW_COUNT("num_search_queries", RAW_WEB),
    ROW_COUNT("num_sources_used", RAW_XAI),
    ROW_MARK("cost_in_usd_ticks", MARK_TICKS),
    WALK_KEY("cost", MARK_COST, PL_COST),
    ROW_MARK("is_byok", MARK_BYOK),
    ROW_OPEN("cost_details", PL_COST_DETAILS),
    ROW_OPEN("server_tool_use", PL_SERVER_TOOLS),
    ROW_OPEN("server_tool_use_details", PL_SERVER_TOOLS),
    ROW_OPEN("server_side_tool_usage_details", PL_SERVER_TOOLS),
    ROW_COUNT("connector_tokens", RAW_INPUT_TOOL),
    ROW_OPEN("connectors", PL_CONNECTORS),
    ROW_MARK("prompt_audio_seconds", MARK_SECONDS),
    ROW_MARK("seconds", MARK_SECONDS),
};
static const struct walk_key input_detail_keys[] = {
    ROW_COUNT("cached_tokens", RAW_CACHED),
    ROW_COUNT("cache_write_tokens", RAW_CACHE_WRITE),
    ROW_COUNT("audio_tokens", RAW_AUDIO_IN),
    ROW_COUNT("image_tokens", RAW_IMAGE_IN),
    ROW_OPEN("cached_tokens_details", PL_CACHED_DETAILS),
};
static const struct walk_key cached_detail_keys[] = {ROW_COUNT("audio_tokens", RAW_CACHED_AUDIO)};
static const struct walk_key output_detail_keys[] = {
    ROW_COUNT("reasoning_tokens", RAW_REASONING),
    ROW_COUNT("audio_tokens", RAW_AUDIO_OUT),
    ROW_COUNT("image_tokens", RAW_IMAGE_OUT),
};
static const struct walk_key cost_keys[] = {ROW_MARK("total_cost", MARK_COST)};
static const struct walk_key cost_detail_keys[] = {ROW_MARK("upstream_inference_cost", MARK_UPSTREAM)};
static const struct walk_key server_tool_keys[] = {
    ROW_COUNT("web_search_requests", RAW_WEB),
    ROW_COUNT("web_search_calls", RAW_WEB),
    ROW_COUNT("file_search_calls", RAW_FILES),
    ROW_COUNT("code_interpreter_calls", RAW_CODE),
};
static const struct walk_key connector_keys[] = {
    ROW_COUNT("web_search", RAW_WEB),
    ROW_COUNT("code_interpreter", RAW_CODE),
    ROW_COUNT("image_generation", RAW_IMAGES),
};

/* --- chat, completions -------------------------------------------------------------------------------------------- */

static const struct walk_key chat_keys[] = {
    WALK_KEY("choices", MARK_LIST, PL_CHOICES),
    WALK_KEY("usage", MARK_USAGE, PL_USAGE),
    ROW_MARK("model", MARK_MODEL),
    ROW_MARK("service_tier", MARK_TIER),
    ROW_MARK("error", MARK_ERROR),
    ROW_MARK("type", MARK_TYPE),
    ROW_OPEN("x_groq", PL_X_GROQ),
    ROW_OPEN("perf_metrics", PL_PERF_METRICS),
    /* an event of Mistral's conversations */
    WALK_KEY("content", MARK_TEXT, PL_PARTS),
    ROW_MARK("arguments", MARK_TEXT),
    ROW_MARK("name", MARK_TEXT),
};
static const struct walk_key choice_keys[] = {
    ROW_OPEN("delta", PL_DELTA),
    ROW_OPEN("message", PL_DELTA),
    ROW_MARK("finish_reason", MARK_FINISH),
    ROW_MARK("text", MARK_SAID),
    WALK_KEY("reasoning", MARK_THOUGHT_TWIN, PL_THOUGHTS), /* OpenRouter's completions */
};
/* Thoughts: `reasoning_content` with DeepSeek, Fireworks, Qwen, xAI, llama.cpp; `reasoning` with Groq, Together,
 * OpenRouter, Ollama, newer vLLM; both with some vLLM. OpenRouter says them in `reasoning_details` once more, LiteLLM
 * in `thinking_blocks`; what is hidden stands only there, encrypted. Mistral's are parts of the content. */
static const struct walk_key delta_keys[] = {
    WALK_KEY("content", MARK_SAID, PL_PARTS),
    WALK_KEY("reasoning_content", MARK_THOUGHT, PL_THOUGHTS),
    WALK_KEY("reasoning", MARK_THOUGHT_TWIN, PL_THOUGHTS),
    WALK_KEY("reasoning_details", MARK_THOUGHT_LIST, PL_THOUGHTS),
    WALK_KEY("thinking_blocks", MARK_THOUGHT_LIST, PL_THOUGHTS),
    WALK_KEY("thinking", MARK_THOUGHT_LIST, PL_THOUGHTS),
    ROW_MARK("refusal", MARK_TEXT),
    ROW_OPEN("tool_calls", PL_CALLS),
    ROW_OPEN("function_call", PL_FUNCTION),
    ROW_OPEN("audio", PL_AUDIO),
};
static const struct walk_key part_keys[] = {
    ROW_MARK("text", MARK_TEXT),
    WALK_KEY("thinking", MARK_TEXT, PL_PARTS),
    WALK_KEY("reasoning", MARK_TEXT, PL_PARTS),
    WALK_KEY("summary", MARK_TEXT, PL_PARTS),
    WALK_KEY("content", MARK_TEXT, PL_PARTS),
    ROW_MARK("refusal", MARK_TEXT),
    ROW_MARK("signature", MARK_TEXT),
};
static const struct walk_key thought_keys[] = {
    ROW_MARK("text", MARK_THOUGHT_LIST),
    WALK_KEY("thinking", MARK_THOUGHT_LIST, PL_THOUGHTS),
    WALK_KEY("summary", MARK_THOUGHT_LIST, PL_THOUGHTS),
    WALK_KEY("content", MARK_THOUGHT_LIST, PL_THOUGHTS),
    ROW_MARK("data", MARK_THOUGHT_LIST),
    ROW_MARK("signature", MARK_THOUGHT_LIST),
};
/* Each call of a tool is billed with some words around it, which are not sent; its id is as long. */
static const struct walk_key call_keys[] = {
    ROW_MARK("id", MARK_TEXT),
    ROW_OPEN("function", PL_FUNCTION),
    ROW_OPEN("custom", PL_FUNCTION),
};
static const struct walk_key function_keys[] = {
    WALK_KEY("arguments", MARK_TEXT, PL_WHOLE),
    ROW_MARK("name", MARK_TEXT),
    ROW_MARK("input", MARK_TEXT),
};
static const struct walk_key audio_keys[] = {
    ROW_MARK("data", MARK_AUDIO),
    ROW_MARK("transcript", MARK_TEXT),
};
static const struct walk_key x_groq_keys[] = {
    WALK_KEY("usage", MARK_USAGE, PL_USAGE),
    ROW_MARK("error", MARK_ERROR),
};
static const struct walk_key perf_metrics_keys[] = {ROW_FOUND("cached-prompt-tokens", RAW_CACHED_ALT)};

/* --- responses, sockets ------------------------------------------------------------------------------------------- */

#define RESPONSE_ROWS                                                                                                  \
	ROW_MARK("id", MARK_ID), ROW_MARK("model", MARK_MODEL), ROW_MARK("service_tier", MARK_TIER),                   \
	    ROW_MARK("status", MARK_PHASE), WALK_KEY("output", MARK_ITEMS, PL_OUTPUT),                                 \
	    WALK_KEY("usage", MARK_USAGE, PL_USAGE)

static const struct walk_key response_keys[] = {RESPONSE_ROWS};
static const struct walk_key event_keys[] = {
    ROW_MARK("type", MARK_TYPE), ROW_MARK("delta", MARK_DELTA), ROW_OPEN("response", PL_RESPONSE),
    ROW_OPEN("item", PL_ITEM),   ROW_MARK("error", MARK_ERROR), RESPONSE_ROWS, /* a whole response, not an event */
};
static const struct walk_key item_keys[] = {
    ROW_MARK("type", MARK_ENTRY_TYPE),
    ROW_MARK("container_id", MARK_ENTRY_KEY),
    ROW_MARK("status", MARK_STATUS),
    ROW_OPEN("action", PL_ACTION),
    WALK_KEY("content", MARK_TEXT, PL_WHOLE),
    WALK_KEY("summary", MARK_TEXT, PL_WHOLE),
    ROW_MARK("arguments", MARK_TEXT),
    ROW_MARK("input", MARK_TEXT),
    ROW_MARK("code", MARK_TEXT),
    ROW_MARK("call_id", MARK_TEXT),
};
static const struct walk_key action_keys[] = {ROW_MARK("type", MARK_ENTRY_MODEL)};
static const struct walk_key socket_keys[] = {
    ROW_MARK("type", MARK_TYPE),
    ROW_MARK("delta", MARK_DELTA),
    ROW_OPEN("response", PL_RESPONSE),
    ROW_OPEN("session", PL_SESSION),
    ROW_MARK("error", MARK_ERROR),
    ROW_OPEN("item", PL_ITEM),
    WALK_KEY("usage", MARK_USAGE, PL_USAGE),
};
static const struct walk_key session_keys[] = {
    ROW_MARK("model", MARK_MODEL),
    ROW_OPEN("input_audio_transcription", PL_TRANSCRIPTION),
    ROW_OPEN("audio", PL_SESSION_AUDIO),
};
static const struct walk_key session_audio_keys[] = {ROW_OPEN("input", PL_SESSION_INPUT)};
static const struct walk_key session_input_keys[] = {ROW_OPEN("transcription", PL_TRANSCRIPTION)};
static const struct walk_key transcription_keys[] = {ROW_MARK("model", MARK_SIDE_MODEL)};

/* --- pictures, speech, transcripts -------------------------------------------------------------------------------- */

static const struct walk_key media_keys[] = {
    ROW_MARK("type", MARK_TYPE),
    ROW_MARK("model", MARK_MODEL),
    WALK_KEY("data", MARK_ITEMS, PL_DATA),
    WALK_KEY("usage", MARK_USAGE, PL_USAGE),
    ROW_MARK("error", MARK_ERROR),
    ROW_MARK("delta", MARK_DELTA),
    ROW_MARK("text", MARK_TEXT),
    ROW_MARK("audio", MARK_AUDIO),
    ROW_MARK("b64_json", MARK_BLOB),
    /* whole transcripts without usage say how long the audio was */
    ROW_MARK("duration", MARK_DURATION),
};
static const struct walk_key datum_keys[] = {ROW_MARK("b64_json", MARK_BLOB)};

/* --- batches ------------------------------------------------------------------------------------------------------ */

static const struct walk_key batch_keys[] = {
    ROW_MARK("id", MARK_ID),
    ROW_MARK("name", MARK_ID), /* Google */
    ROW_MARK("model", MARK_MODEL),
    ROW_MARK("status", MARK_STATUS),
    ROW_MARK("output_file_id", MARK_FILE),
    ROW_MARK("output_file", MARK_FILE), /* Mistral */
    ROW_OPEN("request_counts", PL_REQUEST_COUNTS),
    WALK_KEY("usage", MARK_USAGE, PL_USAGE),
};
static const struct walk_key request_count_keys[] = {ROW_ENTRY("completed", RAW_REQUESTS)};
static const struct walk_key line_keys[] = {
    ROW_OPEN("response", PL_LINE_RESPONSE), ROW_OPEN("result", PL_LINE_RESULT), /* Anthropic */
};
static const struct walk_key line_response_keys[] = {
    ROW_ENTRY("status_code", RAW_REQUESTS),
    ROW_OPEN("body", PL_LINE_BODY),
};
static const struct walk_key line_body_keys[] = {
    ROW_MARK("model", MARK_MODEL),
    WALK_KEY("usage", MARK_USAGE, PL_USAGE),
    WALK_KEY("output", MARK_ITEMS, PL_OUTPUT),
    WALK_KEY("data", MARK_LIST, PL_IGNORE),
};
static const struct walk_key line_result_keys[] = {
    ROW_MARK("type", MARK_STATUS),
    ROW_OPEN("message", PL_LINE_MESSAGE),
};
static const struct walk_key line_message_keys[] = {
    ROW_MARK("model", MARK_MODEL),
    WALK_KEY("usage", MARK_USAGE, PL_MESSAGE_USAGE),
};
static const struct walk_key message_usage_keys[] = {
    MESSAGE_USAGE_ROWS(PL_CACHE_CREATION, PL_MESSAGE_DETAILS, PL_SERVER_TOOLS, PL_ITERATIONS)};
static const struct walk_key cache_creation_keys[] = {CACHE_CREATION_ROWS};
static const struct walk_key message_detail_keys[] = {MESSAGE_DETAIL_ROWS};
static const struct walk_key iteration_keys[] = {ITERATION_ROWS(PL_ITERATION_CREATION)};
static const struct walk_key iteration_creation_keys[] = {ITERATION_CREATION_ROWS};

const struct walk_place openai_places[] = {
    [PL_IGNORE] = PLACE_DEAD,
    [PL_USAGE] = WALK_OBJECT(usage_keys),
    [PL_INPUT_DETAILS] = WALK_OBJECT(input_detail_keys),
    [PL_CACHED_DETAILS] = WALK_OBJECT(cached_detail_keys),
    [PL_OUTPUT_DETAILS] = WALK_OBJECT(output_detail_keys),
    [PL_COST] = WALK_OBJECT(cost_keys),
    [PL_COST_DETAILS] = WALK_OBJECT(cost_detail_keys),
    [PL_SERVER_TOOLS] = WALK_OBJECT(server_tool_keys),
    [PL_CONNECTORS] = WALK_OBJECT(connector_keys),
    [PL_DELTA] = WALK_OBJECT(delta_keys),
    [PL_CALLS] = WALK_ARRAY(PL_CALL, MARK_NONE),
    [PL_CALL] = WALK_OBJECT(call_keys),
    [PL_FUNCTION] = WALK_OBJECT(function_keys),
    [PL_AUDIO] = WALK_OBJECT(audio_keys),
    [PL_WHOLE] = PLACE_TEXT(PL_WHOLE),
    [PL_PARTS] = WALK_ARRAY(PL_PART, MARK_TEXT),
    [PL_PART] = WALK_OBJECT(part_keys),
    [PL_THOUGHTS] = WALK_ARRAY(PL_THOUGHT, MARK_THOUGHT_LIST),
    [PL_THOUGHT] = WALK_OBJECT(thought_keys),
    [PL_CHAT] = WALK_OBJECT(chat_keys),
    [PL_CHOICES] = WALK_ARRAY(PL_CHOICE, MARK_LIST_ITEM),
    [PL_CHOICE] = WALK_OBJECT(choice_keys),
    [PL_X_GROQ] = WALK_OBJECT(x_groq_keys),
    [PL_PERF_METRICS] = WALK_OBJECT(perf_metrics_keys),
    [PL_EVENT] = WALK_OBJECT(event_keys),
    [PL_RESPONSE] = WALK_OBJECT(response_keys),
    [PL_OUTPUT] = WALK_ARRAY(PL_ITEM, MARK_NONE),
    [PL_ITEM] = WALK_OBJECT(item_keys),
    [PL_ACTION] = WALK_OBJECT(action_keys),
    [PL_SOCKET] = WALK_OBJECT(socket_keys),
    [PL_SESSION] = WALK_OBJECT(session_keys),
    [PL_SESSION_AUDIO] = WALK_OBJECT(session_audio_keys),
    [PL_SESSION_INPUT] = WALK_OBJECT(session_input_keys),
    [PL_TRANSCRIPTION] = WALK_OBJECT(transcription_keys),
    [PL_MEDIA] = WALK_OBJECT(media_keys),
    [PL_DATA] = WALK_ARRAY(PL_DATUM, MARK_NONE),
    [PL_DATUM] = WALK_OBJECT(datum_keys),
    [PL_BATCH] = WALK_OBJECT(batch_keys),
    [PL_REQUEST_COUNTS] = WALK_OBJECT(request_count_keys),
    [PL_LINE] = WALK_OBJECT(line_keys),
    [PL_LINE_RESPONSE] = WALK_OBJECT(line_response_keys),
    [PL_LINE_BODY] = WALK_OBJECT(line_body_keys),
    [PL_LINE_RESULT] = WALK_OBJECT(line_result_keys),
    [PL_LINE_MESSAGE] = WALK_OBJECT(line_message_keys),
    [PL_MESSAGE_USAGE] = WALK_OBJECT(message_usage_keys),
    [PL_CACHE_CREATION] = WALK_OBJECT(cache_creation_keys),
    [PL_MESSAGE_DETAILS] = WALK_OBJECT(message_detail_keys),
    [PL_ITERATIONS] = WALK_ARRAY(PL_ITERATION, MARK_NONE),
    [PL_ITERATION] = WALK_OBJECT(iteration_keys),
    [PL_ITERATION_CREATION] = WALK_OBJECT(iteration_creation_keys),
};

/* --- hooks -------------------------------------------------------------------------------------------------------- */

/* Usage is final in a chunk without choices, or once a choice has finished; Mistral's conversations say it in words. */
static void commit_chat(struct extract *x)
{
	const struct staged *ev = x->ev;

	if (ev->usage && (!x->stream || x->finish_seen || ev->finish || (ev->list_seen && !ev->list_any) ||
			  event_is(x, "conversation.response.done")))
		x->final = true;
}

static bool is_new_session(const struct staged *ev)
{
	return ev->entry_key[0] == '\0' || strcmp(ev->entry_key, ev->names.session) != 0;
}

/* Only searches cost a fee; opening or searching in a page does not. An item that names no action is a search. Code is
 * billed by the container it runs in. */
static void item_end(struct extract *x)
{
	struct staged *ev = x->ev;
	const char *action = ev->entry_model;

	if (entry_is(x, "web_search_call") && (action[0] == '\0' || strcmp(action, "search") == 0)) {
		counts_add(&ev->found, RAW_WEB, 1);
	} else if (entry_is(x, "file_search_call")) {
		counts_add(&ev->found, RAW_FILES, 1);
	} else if (entry_is(x, "code_interpreter_call") && is_new_session(ev)) {
		counts_add(&ev->found, RAW_CODE, 1);
		memcpy(ev->names.session, ev->entry_key, sizeof(ev->names.session));
	} else if (entry_is(x, "image_generation_call") && strcmp(ev->status, "completed") == 0) {
		counts_add(&ev->found, RAW_IMAGES, 1);
	}
	ev->status[0] = ev->entry_type[0] = ev->entry_key[0] = ev->entry_model[0] = '\0';
}

void openai_end(struct extract *x, uint8_t place)
{
	if (place == PL_ITEM)
		item_end(x);
	else if (place == PL_ITERATION)
		iteration_end(x);
}

/* Items of a stream are counted as they are done; the terminal event repeats them all. */
static void commit_responses(struct extract *x)
{
	struct staged *ev = x->ev;

	/* one in the background may show how far it is */
	if (!x->stream && (strcmp(ev->phase, "in_progress") == 0 || strcmp(ev->phase, "queued") == 0))
		ev->usage = false;
	if (!x->stream || event_is(x, "response.failed")) {
		/* inside a response an error explains why it failed; beside one it ends the stream */
		x->error_seen |= ev->error || x->stream;
		ev->error = false;
	}
	if (event_is(x, "response.output_item.done")) {
		if (ev->names.session[0] != '\0' && strcmp(ev->names.session, extract_word(x, WORD_SESSION)) == 0)
			counts_drop(&ev->found, RAW_CODE);
		if (ev->found.have != 0)
			counts_sum(extract_known(x, &x->found), &ev->found);
	} else if (ev->found.have != 0 && !event_is(x, "response.output_item.added")) {
		counts_raise(extract_known(x, &x->found), &ev->found);
	}
	ev->found.have = 0;
}

static const char *const terminal[] = {"response.completed", "response.incomplete", "response.failed", NULL};

const struct extract_ops extract_chat = {
    .places = openai_places,
    .root = PL_CHAT,
    .take = TAKE_REPLACE,
    .final = FINAL_HOOK,
    .commit = commit_chat,
};
const struct extract_ops extract_responses = {
    .places = openai_places,
    .root = PL_EVENT,
    .take = TAKE_REPLACE,
    .final = FINAL_TYPE,
    .terminal = terminal,
    .deltas_only = true,
    .end = openai_end,
    .commit = commit_responses,
};
