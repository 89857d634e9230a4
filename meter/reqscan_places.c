#include "meter/reqscan_places.h"

#include "base/check.h"

/* --- bodies, vendor by vendor ---------------------------------------------------------------------------------------
 */

static const struct walk_key chat_keys[] = {
    WALK_KEY("model", ID_MODEL, 0),
    WALK_KEY("messages", ID_MESSAGES, PL_TOP_LIST),
    WALK_KEY("stream", ID_STREAM, 0),
    WALK_KEY("stream_options", ID_OPTIONS, PL_OPTIONS),
    WALK_KEY("max_tokens", ID_MAX, 0),
    WALK_KEY("max_completion_tokens", ID_MAX_COMPLETION, 0),
    WALK_KEY("n", ID_N, 0),
    WALK_KEY("best_of", ID_BEST_OF, 0),
    WALK_KEY("service_tier", ID_TIER, 0),
    WALK_KEY("tools", ID_TOOLS, PL_TOOLS),
    WALK_KEY("modalities", ID_MODALITIES, PL_MODALITIES),
    WALK_KEY("prediction", ID_PREDICTION, 0),
    WALK_KEY("web_search_options", ID_HOSTED, 0),
    WALK_KEY("search_parameters", ID_HOSTED, 0), /* xAI */
    WALK_KEY("compound_custom", ID_HOSTED, 0),   /* Groq */
    WALK_KEY("models", ID_FALLBACKS, PL_HOSTED_LIST),
    WALK_KEY("plugins", ID_PLUGINS, PL_HOSTED_LIST), /* OpenRouter */
    WALK_KEY("provider", ID_HOSTED, 0),              /* OpenRouter: dearer sellers of the same model */
    WALK_KEY("preset", ID_HOSTED, 0),                /* OpenRouter: models and settings that are kept there */
    WALK_KEY("cache_control", ID_CACHE_CONTROL, PL_CACHE_CONTROL),
    WALK_KEY("agent_id", ID_AGENT, 0),      /* Mistral: model, tools and instructions that are kept there */
    WALK_KEY("data_sources", ID_HOSTED, 0), /* Azure: what is found there is put into the prompt */
    WALK_KEY("dataSources", ID_HOSTED, 0),
    WALK_KEY("thinking", ID_THINKING, PL_THINKING),
    WALK_KEY("reasoning", ID_REASONING, PL_THINKING), /* OpenRouter's number */
    WALK_KEY("reasoning_effort", ID_REASONS, 0),
    WALK_KEY("extra_body", ID_REASONS, 0),                /* Google's thinking_config stands in it */
    WALK_KEY("include_reasoning", ID_REASONING_SHOWN, 0), /* Groq, OpenRouter */
    WALK_KEY("reasoning_format", ID_REASONING_FORMAT, 0), /* Groq */
};

static const struct walk_key completions_keys[] = {
    WALK_KEY("model", ID_MODEL, 0),
    WALK_KEY("prompt", ID_MESSAGES, PL_TOP_LIST),
    WALK_KEY("stream", ID_STREAM, 0),
    WALK_KEY("stream_options", ID_OPTIONS, PL_OPTIONS),
    WALK_KEY("max_tokens", ID_MAX, 0),
    WALK_KEY("n", ID_N, 0),
    WALK_KEY("best_of", ID_BEST_OF, 0),
    WALK_KEY("service_tier", ID_TIER, 0),
    WALK_KEY("models", ID_FALLBACKS, PL_HOSTED_LIST),
    WALK_KEY("plugins", ID_PLUGINS, PL_HOSTED_LIST),
    WALK_KEY("provider", ID_HOSTED, 0),
    WALK_KEY("preset", ID_HOSTED, 0),
};

static const struct walk_key responses_keys[] = {
    WALK_KEY("model", ID_MODEL, 0),
    WALK_KEY("input", ID_MESSAGES, PL_TOP_LIST),
    WALK_KEY("instructions", ID_SYSTEM, PL_TOP_LIST),
    WALK_KEY("stream", ID_STREAM, 0),
    WALK_KEY("max_output_tokens", ID_MAX, 0),
    WALK_KEY("max_tool_calls", ID_TOOL_CALLS_MAX, 0),
    WALK_KEY("service_tier", ID_TIER, 0),
    WALK_KEY("tools", ID_TOOLS, PL_TOOLS),
    WALK_KEY("background", ID_BACKGROUND, 0),
    WALK_KEY("previous_response_id", ID_PREVIOUS, 0),
    WALK_KEY("conversation", ID_CONVERSATION, 0),
    WALK_KEY("prompt", ID_PROMPT, 0),
    WALK_KEY("context_management", ID_CONTEXT_MANAGEMENT, PL_EDITS),
    WALK_KEY("modalities", ID_MODALITIES, PL_MODALITIES),
    WALK_KEY("preset", ID_HOSTED, 0), /* Perplexity, OpenRouter: tools and models by one name */
    WALK_KEY("search_parameters", ID_HOSTED, 0),
    WALK_KEY("models", ID_FALLBACKS, PL_HOSTED_LIST),
    WALK_KEY("plugins", ID_PLUGINS, PL_HOSTED_LIST),
    WALK_KEY("provider", ID_HOSTED, 0),
    WALK_KEY("reasoning", ID_REASONING, PL_THINKING), /* OpenRouter's number */
};

static const struct walk_key embeddings_keys[] = {
    WALK_KEY("model", ID_MODEL, 0),
    WALK_KEY("input", ID_MESSAGES, PL_TOP_LIST),
    WALK_KEY("service_tier", ID_TIER, 0),
};

static const struct walk_key moderations_keys[] = {WALK_KEY("model", ID_MODEL, 0)};

static const struct walk_key images_keys[] = {
    WALK_KEY("model", ID_MODEL, 0),
    WALK_KEY("n", ID_N, 0),
    WALK_KEY("size", ID_SIZE, 0),
    WALK_KEY("width", ID_WIDTH, 0),
    WALK_KEY("height", ID_HEIGHT, 0),
    WALK_KEY("quality", ID_QUALITY, 0),
    WALK_KEY("stream", ID_STREAM, 0),
    WALK_KEY("partial_images", ID_PARTIAL_IMAGES, 0),
    WALK_KEY("image", ID_IMAGES, PL_IMAGE_LIST),
    WALK_KEY("images", ID_IMAGE_ITEM, PL_IMAGE_LIST),
    WALK_KEY("mask", ID_UPLOAD_IMAGE, PL_NODE),
};

static const struct walk_key speech_keys[] = {
    WALK_KEY("model", ID_MODEL, 0),
    WALK_KEY("input", ID_SPEECH_INPUT, 0),
    WALK_KEY("stream_format", ID_STREAM_FORMAT, 0),
    WALK_KEY("stream", ID_STREAM, 0),
};

static const struct walk_key transcriptions_keys[] = {
    WALK_KEY("model", ID_MODEL, 0),
    WALK_KEY("stream", ID_STREAM, 0),
    WALK_KEY("file", ID_REMOTE_FILE, 0),
    WALK_KEY("file_url", ID_REMOTE_FILE, 0),
    WALK_KEY("file_id", ID_REMOTE_FILE, 0),
    WALK_KEY("url", ID_REMOTE_FILE, 0),
    WALK_KEY("response_format", ID_RESPONSE_FORMAT, 0),
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
    WALK_KEY("models", ID_FALLBACKS, PL_HOSTED_LIST),
    WALK_KEY("plugins", ID_PLUGINS, PL_HOSTED_LIST),
    WALK_KEY("context_management", ID_CONTEXT_MANAGEMENT, PL_CONTEXT),
    WALK_KEY("provider", ID_HOSTED, 0),
    WALK_KEY("preset", ID_HOSTED, 0),
    WALK_KEY("thinking", ID_THINKING, PL_THINKING),
    WALK_KEY("reasoning", ID_REASONING, PL_THINKING), /* OpenRouter's number */
};

/* Protobuf's JSON reader takes both spellings of a key as the same field. */
static const struct walk_key generate_keys[] = {
    WALK_KEY("contents", ID_MESSAGES, PL_TOP_LIST),
    WALK_KEY("systemInstruction", ID_SYSTEM, PL_TOP_LIST),
    WALK_KEY("system_instruction", ID_SYSTEM, PL_TOP_LIST),
    WALK_KEY("generationConfig", ID_CONFIG, PL_CONFIG),
    WALK_KEY("generation_config", ID_CONFIG, PL_CONFIG),
    WALK_KEY("tools", ID_TOOLS, PL_G_TOOLS),
    WALK_KEY("cachedContent", ID_CACHED_CONTENT, 0),
    WALK_KEY("cached_content", ID_CACHED_CONTENT, 0),
    WALK_KEY("serviceTier", ID_TIER, 0),
    WALK_KEY("service_tier", ID_TIER, 0),
};

static const struct walk_key interactions_keys[] = {
    WALK_KEY("model", ID_MODEL, 0),
    WALK_KEY("input", ID_MESSAGES, PL_TOP_LIST),
    WALK_KEY("system_instruction", ID_SYSTEM, PL_TOP_LIST),
    WALK_KEY("systemInstruction", ID_SYSTEM, PL_TOP_LIST),
    WALK_KEY("generation_config", ID_CONFIG, PL_CONFIG),
    WALK_KEY("generationConfig", ID_CONFIG, PL_CONFIG),
    WALK_KEY("stream", ID_STREAM, 0),
    WALK_KEY("background", ID_BACKGROUND, 0),
    WALK_KEY("tools", ID_TOOLS, PL_TOOLS),
    WALK_KEY("agent", ID_HOSTED, 0),
    WALK_KEY("previous_interaction_id", ID_PREVIOUS, 0),
    WALK_KEY("previousInteractionId", ID_PREVIOUS, 0),
    WALK_KEY("cached_content", ID_CACHED_CONTENT, 0),
    WALK_KEY("cachedContent", ID_CACHED_CONTENT, 0),
    WALK_KEY("response_modalities", ID_MODALITIES, PL_MODALITIES),
    WALK_KEY("responseModalities", ID_MODALITIES, PL_MODALITIES),
    WALK_KEY("service_tier", ID_TIER, 0),
    WALK_KEY("serviceTier", ID_TIER, 0),
};

static const struct walk_key embed_content_keys[] = {
    WALK_KEY("content", ID_MESSAGES, PL_TOP_LIST),
    WALK_KEY("requests", ID_BATCH_REQUESTS, PL_TOP_LIST),
};

static const struct walk_key predict_keys[] = {
    WALK_KEY("instances", ID_MESSAGES, PL_TOP_LIST),
    WALK_KEY("parameters", ID_CONFIG, PL_PARAMETERS),
};

static const struct walk_key converse_keys[] = {
    WALK_KEY("messages", ID_MESSAGES, PL_TOP_LIST),
    WALK_KEY("system", ID_SYSTEM, PL_TOP_LIST),
    WALK_KEY("inferenceConfig", ID_CONFIG, PL_C_CONFIG),
    WALK_KEY("toolConfig", ID_TOOLS, PL_C_TOOL_CONFIG),
    WALK_KEY("additionalModelRequestFields", ID_ADDITIONAL, PL_C_ADDITIONAL),
    WALK_KEY("promptVariables", ID_PROMPT, 0),
    WALK_KEY("performanceConfig", ID_LATENCY, PL_LATENCY),
    WALK_KEY("serviceTier", ID_TIER_OBJECT, PL_C_TIER),
};

/* Anthropic's, Mistral's, Cohere's, … bodies inside Bedrock. */
static const struct walk_key invoke_messages_keys[] = {
    WALK_KEY("messages", ID_MESSAGES, PL_TOP_LIST),
    WALK_KEY("system", ID_SYSTEM, PL_TOP_LIST),
    WALK_KEY("max_tokens", ID_MAX, 0),
    WALK_KEY("n", ID_N, 0),
    WALK_KEY("num_generations", ID_N, 0),
    WALK_KEY("tools", ID_TOOLS, PL_TOOLS),
    WALK_KEY("images", ID_IMAGES, PL_IMAGE_LIST),
};

static const struct walk_key invoke_meta_keys[] = {
    WALK_KEY("max_gen_len", ID_MAX, 0),
    WALK_KEY("images", ID_IMAGES, PL_IMAGE_LIST),
};

static const struct walk_key invoke_nova_keys[] = {
    WALK_KEY("messages", ID_MESSAGES, PL_TOP_LIST),
    WALK_KEY("system", ID_SYSTEM, PL_TOP_LIST),
    WALK_KEY("inferenceConfig", ID_CONFIG, PL_NOVA_CONFIG),
    WALK_KEY("toolConfig", ID_TOOLS, PL_C_TOOL_CONFIG),
    WALK_KEY("imageGenerationConfig", ID_IMAGE_CONFIG, PL_IMAGE_CONFIG),
};

static const struct walk_key invoke_titan_keys[] = {
    WALK_KEY("textGenerationConfig", ID_CONFIG, PL_TITAN_CONFIG),
    WALK_KEY("inputImage", ID_IMAGES, PL_IMAGE_LIST),
    WALK_KEY("imageGenerationConfig", ID_IMAGE_CONFIG, PL_IMAGE_CONFIG),
};

static const struct walk_key invoke_any_keys[] = {
    WALK_KEY("messages", ID_MESSAGES, PL_TOP_LIST),
    WALK_KEY("tools", ID_TOOLS, PL_TOOLS),
    WALK_KEY("images", ID_IMAGES, PL_IMAGE_LIST),
    WALK_KEY("image", ID_IMAGE_ITEM, PL_IMAGE_LIST),
};

static const struct walk_key cohere_chat_keys[] = {
    WALK_KEY("model", ID_MODEL, 0),
    WALK_KEY("messages", ID_MESSAGES, PL_TOP_LIST),
    WALK_KEY("stream", ID_STREAM, 0),
    WALK_KEY("max_tokens", ID_MAX, 0),
    WALK_KEY("tools", ID_TOOLS, PL_TOOLS),
    WALK_KEY("documents", ID_DOCUMENTS, PL_DOCUMENTS),
    WALK_KEY("thinking", ID_THINKING, PL_THINKING),
};

static const struct walk_key cohere_units_keys[] = {
    WALK_KEY("model", ID_MODEL, 0),
    WALK_KEY("documents", ID_DOCUMENTS, PL_DOCUMENTS),
    WALK_KEY("texts", ID_MESSAGES, PL_TOP_LIST),
    WALK_KEY("inputs", ID_SYSTEM, PL_TOP_LIST),
    WALK_KEY("chat_history", ID_CONTENT, PL_TOP_LIST),
    WALK_KEY("images", ID_IMAGES, PL_IMAGE_LIST),
    WALK_KEY("connectors", ID_PLUGINS, PL_HOSTED_LIST),
    WALK_KEY("conversation_id", ID_CONVERSATION, 0),
    WALK_KEY("max_tokens", ID_MAX, 0),
    WALK_KEY("num_generations", ID_N, 0),
    WALK_KEY("stream", ID_STREAM, 0),
};

static const struct walk_key ocr_keys[] = {
    WALK_KEY("model", ID_MODEL, 0),
    WALK_KEY("document", ID_MESSAGES, PL_TOP_LIST),
    WALK_KEY("pages", ID_PAGES, PL_PAGES),
    WALK_KEY("document_annotation_format", ID_ANNOTATIONS, 0),
    WALK_KEY("bbox_annotation_format", ID_BOX_ANNOTATIONS, 0),
};

static const struct walk_key ollama_keys[] = {
    WALK_KEY("model", ID_MODEL, 0),
    WALK_KEY("messages", ID_MESSAGES, PL_TOP_LIST),
    WALK_KEY("input", ID_SYSTEM, PL_TOP_LIST),
    WALK_KEY("images", ID_IMAGES, PL_IMAGE_LIST),
    WALK_KEY("stream", ID_STREAM, 0),
    WALK_KEY("options", ID_CONFIG, PL_OLLAMA_CONFIG),
    WALK_KEY("tools", ID_TOOLS, PL_TOOLS),
};

static const struct walk_key batch_keys[] = {
    WALK_KEY("model", ID_MODEL, 0),
    WALK_KEY("requests", ID_BATCH_REQUESTS, PL_BATCH_LIST),
    WALK_KEY("input_file_id", ID_BATCH_FILE, 0),
    WALK_KEY("input_files", ID_BATCH_FILE, 0),
    WALK_KEY("input_blob", ID_BATCH_FILE, 0), /* Azure */
    WALK_KEY("endpoint", ID_BATCH_ENDPOINT, 0),
    WALK_KEY("batch", ID_BATCH_BODY, PL_G_BATCH),
};

/* --- parts ----------------------------------------------------------------------------------------------------------
 */

static const struct walk_key batch_item_keys[] = {
    WALK_KEY("params", ID_BATCH_BODY, PL_MESSAGES_API),
    WALK_KEY("body", ID_BATCH_BODY, PL_CHAT),
    WALK_KEY("request", ID_BATCH_BODY, PL_GENERATE),
};
/* A line of the file that a batch of OpenAI's is made of. */
#define LINE_KEYS(place)                                                                                               \
	WALK_KEY("url", ID_BATCH_ENDPOINT, 0), WALK_KEY("method", ID_LINE_METHOD, 0),                                  \
	    WALK_KEY("body", ID_BATCH_BODY, place)
static const struct walk_key line_chat_keys[] = {LINE_KEYS(PL_CHAT)};
static const struct walk_key line_completions_keys[] = {LINE_KEYS(PL_COMPLETIONS)};
static const struct walk_key line_responses_keys[] = {LINE_KEYS(PL_RESPONSES)};
static const struct walk_key line_embeddings_keys[] = {LINE_KEYS(PL_EMBEDDINGS)};
static const struct walk_key line_moderations_keys[] = {LINE_KEYS(PL_MODERATIONS)};
static const struct walk_key g_batch_keys[] = {
    WALK_KEY("inputConfig", ID_CONFIG, PL_G_INPUT),
    WALK_KEY("input_config", ID_CONFIG, PL_G_INPUT),
};
static const struct walk_key g_input_keys[] = {
    WALK_KEY("requests", ID_BATCH_REQUESTS, PL_G_REQUESTS),
    WALK_KEY("fileName", ID_BATCH_FILE, 0),
    WALK_KEY("file_name", ID_BATCH_FILE, 0),
};
static const struct walk_key g_requests_keys[] = {WALK_KEY("requests", ID_BATCH_REQUESTS, PL_BATCH_LIST)};

static const struct walk_key config_keys[] = {
    WALK_KEY("maxOutputTokens", ID_MAX, 0),
    WALK_KEY("max_output_tokens", ID_MAX, 0),
    WALK_KEY("candidateCount", ID_N, 0),
    WALK_KEY("candidate_count", ID_N, 0),
    WALK_KEY("responseModalities", ID_MODALITIES, PL_MODALITIES),
    WALK_KEY("response_modalities", ID_MODALITIES, PL_MODALITIES),
    WALK_KEY("mediaResolution", ID_MEDIA_RESOLUTION, 0),
    WALK_KEY("media_resolution", ID_MEDIA_RESOLUTION, 0),
    WALK_KEY("thinkingConfig", ID_THINKING, PL_G_THINKING),
    WALK_KEY("thinking_config", ID_THINKING, PL_G_THINKING),
};
static const struct walk_key c_config_keys[] = {WALK_KEY("maxTokens", ID_MAX, 0)};
static const struct walk_key nova_config_keys[] = {WALK_KEY("maxTokens", ID_MAX, 0),
						   WALK_KEY("max_new_tokens", ID_MAX_COMPLETION, 0)};
static const struct walk_key titan_config_keys[] = {WALK_KEY("maxTokenCount", ID_MAX, 0)};
static const struct walk_key ollama_config_keys[] = {WALK_KEY("num_predict", ID_MAX, 0)};
/* What is passed on to the model could raise the bound that stands beside it. */
static const struct walk_key c_additional_keys[] = {
    WALK_KEY("max_tokens", ID_MAX_COMPLETION, 0),
    WALK_KEY("max_gen_len", ID_MAX_COMPLETION, 0),
    WALK_KEY("max_new_tokens", ID_MAX_COMPLETION, 0),
    WALK_KEY("max_completion_tokens", ID_MAX_COMPLETION, 0),
    WALK_KEY("n", ID_N, 0),
    WALK_KEY("tools", ID_TOOLS, PL_TOOLS),
    WALK_KEY("inferenceConfig", ID_ADDITIONAL, PL_C_ADDITIONAL_CONFIG),
    WALK_KEY("textGenerationConfig", ID_ADDITIONAL, PL_C_ADDITIONAL_CONFIG),
    WALK_KEY("thinking", ID_THINKING, PL_THINKING),
    WALK_KEY("reasoning_config", ID_REASONING, PL_THINKING),
};
static const struct walk_key c_additional_config_keys[] = {
    WALK_KEY("maxTokens", ID_MAX_COMPLETION, 0),
    WALK_KEY("max_new_tokens", ID_MAX_COMPLETION, 0),
    WALK_KEY("maxTokenCount", ID_MAX_COMPLETION, 0),
};
/* Anthropic's, Cohere's and OpenRouter's names of the same. */
static const struct walk_key thinking_keys[] = {
    WALK_KEY("budget_tokens", ID_THINKING_BUDGET, 0), WALK_KEY("token_budget", ID_THINKING_BUDGET, 0),
    WALK_KEY("max_tokens", ID_REASONING_BUDGET, 0), WALK_KEY("exclude", ID_REASONING_EXCLUDED, 0), /* OpenRouter */
};
static const struct walk_key g_thinking_keys[] = {
    WALK_KEY("thinkingBudget", ID_THINKING_BUDGET, 0),
    WALK_KEY("thinking_budget", ID_THINKING_BUDGET, 0),
};
static const struct walk_key latency_keys[] = {WALK_KEY("latency", ID_SPEED, 0)};
static const struct walk_key c_tier_keys[] = {WALK_KEY("type", ID_TIER, 0)};
static const struct walk_key parameters_keys[] = {WALK_KEY("sampleCount", ID_N, 0), WALK_KEY("sample_count", ID_N, 0)};
static const struct walk_key image_config_keys[] = {
    WALK_KEY("numberOfImages", ID_N, 0),
    WALK_KEY("width", ID_WIDTH, 0),
    WALK_KEY("height", ID_HEIGHT, 0),
    WALK_KEY("quality", ID_QUALITY, 0),
};

static const struct walk_key node_keys[] = {
    WALK_KEY("type", ID_TYPE, 0),
    WALK_KEY("content", ID_CONTENT, PL_LIST),
    WALK_KEY("parts", ID_PARTS, PL_LIST),
    WALK_KEY("cache_control", ID_CACHE_CONTROL, PL_CACHE_CONTROL),
    WALK_KEY("cachePoint", ID_CACHE_CONTROL, PL_CACHE_CONTROL),
    WALK_KEY("image_url", ID_IMAGE_URL, PL_IMAGE_URL),
    WALK_KEY("image", ID_IMAGE_URL, PL_IMAGE_URL),
    WALK_KEY("images", ID_IMAGES, PL_IMAGE_LIST),
    WALK_KEY("detail", ID_DETAIL, 0),
    WALK_KEY("source", ID_SOURCE, PL_SOURCE),
    WALK_KEY("output", ID_OUTPUT, PL_LIST),
    WALK_KEY("data", ID_DATA, 0),
    WALK_KEY("uri", ID_FILE_URL, 0),
    WALK_KEY("document", ID_DOCUMENT, PL_DOCUMENT),
    WALK_KEY("video", ID_VIDEO, PL_DOCUMENT),
    WALK_KEY("file", ID_FILE, PL_FILE),
    WALK_KEY("file_id", ID_FILE_ID, 0),
    WALK_KEY("file_url", ID_FILE_URL, 0),
    WALK_KEY("audio", ID_AUDIO, 0),
    WALK_KEY("inlineData", ID_BLOB, PL_BLOB),
    WALK_KEY("inline_data", ID_BLOB, PL_BLOB),
    WALK_KEY("fileData", ID_FILE_DATA, PL_BLOB),
    WALK_KEY("file_data", ID_FILE_DATA, PL_BLOB),
    WALK_KEY("mimeType", ID_MIME, 0),
    WALK_KEY("mime_type", ID_MIME, 0),
    WALK_KEY("functionResponse", ID_OUTPUT, PL_NODE),
    WALK_KEY("function_response", ID_OUTPUT, PL_NODE),
    WALK_KEY("toolResult", ID_OUTPUT, PL_NODE),
    WALK_KEY("guardContent", ID_PARTS, PL_NODE),
    WALK_KEY("mediaResolution", ID_MEDIA_RESOLUTION, 0),
    WALK_KEY("media_resolution", ID_MEDIA_RESOLUTION, 0),
    WALK_KEY("resolution", ID_MEDIA_RESOLUTION, 0),
};

static const struct walk_key options_keys[] = {WALK_KEY("include_usage", ID_INCLUDE_USAGE, 0)};
static const struct walk_key cache_control_keys[] = {WALK_KEY("ttl", ID_TTL, 0)};
static const struct walk_key source_keys[] = {
    WALK_KEY("type", ID_SOURCE_TYPE, 0), WALK_KEY("content", ID_CONTENT, PL_LIST),
    WALK_KEY("data", ID_DATA, 0),        WALK_KEY("bytes", ID_DATA, 0),
    WALK_KEY("text", ID_SOURCE_TEXT, 0), WALK_KEY("s3Location", ID_FILE_URL, 0),
};
static const struct walk_key document_keys[] = {WALK_KEY("source", ID_SOURCE, PL_SOURCE)};
static const struct walk_key blob_keys[] = {WALK_KEY("mimeType", ID_MIME, 0), WALK_KEY("mime_type", ID_MIME, 0),
					    WALK_KEY("data", ID_DATA, 0)};
static const struct walk_key image_url_keys[] = {
    WALK_KEY("url", ID_URL, 0),
    WALK_KEY("detail", ID_DETAIL, 0),
    WALK_KEY("source", ID_SOURCE, PL_SOURCE),
    WALK_KEY("bytesBase64Encoded", ID_DATA, 0), /* Vertex */
    WALK_KEY("gcsUri", ID_FILE_URL, 0),
};
static const struct walk_key file_keys[] = {WALK_KEY("file_id", ID_FILE_ID, 0)};
static const struct walk_key tool_keys[] = {WALK_KEY("type", ID_TOOL_TYPE, 0), WALK_KEY("max_uses", ID_TOOL_USES, 0),
					    WALK_KEY("cache_control", ID_CACHE_CONTROL, PL_CACHE_CONTROL)};
static const struct walk_key g_tool_keys[] = {
    WALK_KEY("functionDeclarations", ID_TOOL_LOCAL, 0),
    WALK_KEY("function_declarations", ID_TOOL_LOCAL, 0),
    WALK_KEY("computerUse", ID_NONE, 0),
    WALK_KEY("computer_use", ID_NONE, 0),
};
static const struct walk_key c_tool_config_keys[] = {WALK_KEY("tools", ID_TOOLS, PL_C_TOOLS)};
static const struct walk_key c_tool_keys[] = {
    WALK_KEY("toolSpec", ID_TOOL_LOCAL, 0),
    WALK_KEY("cachePoint", ID_CACHE_CONTROL, PL_CACHE_CONTROL),
};
static const struct walk_key context_keys[] = {WALK_KEY("edits", ID_EDITS, PL_EDITS)};
static const struct walk_key edit_keys[] = {WALK_KEY("type", ID_EDIT_TYPE, 0)};

#define WALK_TOOLS(keys)                                                                                               \
	{                                                                                                              \
		keys, ARRAY_LEN(keys), 0, 0, ID_HOSTED, 0                                                              \
	}

const struct walk_place reqscan_places[PL_COUNT] = {
    [PL_IGNORE] = {NULL, 0, 0, 0, 0, 0},
    [PL_DEAD] = {NULL, 0, 0, 0, 0, 0},
    [PL_CHAT] = WALK_OBJECT(chat_keys),
    [PL_COMPLETIONS] = WALK_OBJECT(completions_keys),
    [PL_RESPONSES] = WALK_OBJECT(responses_keys),
    [PL_EMBEDDINGS] = WALK_OBJECT(embeddings_keys),
    [PL_MODERATIONS] = WALK_OBJECT(moderations_keys),
    [PL_IMAGES] = WALK_OBJECT(images_keys),
    [PL_SPEECH] = WALK_OBJECT(speech_keys),
    [PL_TRANSCRIPTIONS] = WALK_OBJECT(transcriptions_keys),
    [PL_MESSAGES_API] = WALK_OBJECT(messages_keys),
    [PL_GENERATE] = WALK_OBJECT(generate_keys),
    [PL_INTERACTIONS] = WALK_OBJECT(interactions_keys),
    [PL_EMBED_CONTENT] = WALK_OBJECT(embed_content_keys),
    [PL_PREDICT] = WALK_OBJECT(predict_keys),
    [PL_CONVERSE] = WALK_OBJECT(converse_keys),
    [PL_INVOKE_MESSAGES] = WALK_OBJECT(invoke_messages_keys),
    [PL_INVOKE_META] = WALK_OBJECT(invoke_meta_keys),
    [PL_INVOKE_NOVA] = WALK_OBJECT(invoke_nova_keys),
    [PL_INVOKE_TITAN] = WALK_OBJECT(invoke_titan_keys),
    [PL_INVOKE_ANY] = WALK_OBJECT(invoke_any_keys),
    [PL_COHERE_CHAT] = WALK_OBJECT(cohere_chat_keys),
    [PL_COHERE_UNITS] = WALK_OBJECT(cohere_units_keys),
    [PL_OCR] = WALK_OBJECT(ocr_keys),
    [PL_OLLAMA] = WALK_OBJECT(ollama_keys),
    [PL_BATCH] = WALK_OBJECT(batch_keys),
    [PL_TOP_LIST] = WALK_ARRAY(PL_NODE, ID_ITEM),
    [PL_LIST] = WALK_ARRAY(PL_NODE, ID_NONE),
    [PL_NODE] = WALK_OBJECT(node_keys),
    [PL_OPTIONS] = WALK_OBJECT(options_keys),
    [PL_CACHE_CONTROL] = WALK_OBJECT(cache_control_keys),
    [PL_SOURCE] = WALK_OBJECT(source_keys),
    [PL_DOCUMENT] = WALK_OBJECT(document_keys),
    [PL_BLOB] = WALK_OBJECT(blob_keys),
    [PL_IMAGE_URL] = WALK_OBJECT(image_url_keys),
    [PL_FILE] = WALK_OBJECT(file_keys),
    [PL_IMAGE_LIST] = WALK_ARRAY(PL_NODE, ID_IMAGE_ITEM),
    [PL_TOOLS] = WALK_ARRAY(PL_TOOL, ID_NONE),
    [PL_TOOL] = WALK_OBJECT(tool_keys),
    [PL_G_TOOLS] = WALK_ARRAY(PL_G_TOOL, ID_NONE),
    [PL_G_TOOL] = WALK_TOOLS(g_tool_keys),
    [PL_C_TOOL_CONFIG] = WALK_OBJECT(c_tool_config_keys),
    [PL_C_TOOLS] = WALK_ARRAY(PL_C_TOOL, ID_NONE),
    [PL_C_TOOL] = WALK_TOOLS(c_tool_keys),
    [PL_HOSTED_LIST] = WALK_ARRAY(PL_DEAD, ID_HOSTED),
    [PL_CONTEXT] = WALK_OBJECT(context_keys),
    [PL_EDITS] = WALK_ARRAY(PL_EDIT, ID_NONE),
    [PL_EDIT] = WALK_OBJECT(edit_keys),
    [PL_MODALITIES] = WALK_ARRAY(PL_DEAD, ID_MODALITY),
    [PL_CONFIG] = WALK_OBJECT(config_keys),
    [PL_C_CONFIG] = WALK_OBJECT(c_config_keys),
    [PL_NOVA_CONFIG] = WALK_OBJECT(nova_config_keys),
    [PL_TITAN_CONFIG] = WALK_OBJECT(titan_config_keys),
    [PL_OLLAMA_CONFIG] = WALK_OBJECT(ollama_config_keys),
    [PL_C_ADDITIONAL] = WALK_OBJECT(c_additional_keys),
    [PL_C_ADDITIONAL_CONFIG] = WALK_OBJECT(c_additional_config_keys),
    [PL_THINKING] = WALK_OBJECT(thinking_keys),
    [PL_G_THINKING] = WALK_OBJECT(g_thinking_keys),
    [PL_LATENCY] = WALK_OBJECT(latency_keys),
    [PL_C_TIER] = WALK_OBJECT(c_tier_keys),
    [PL_PARAMETERS] = WALK_OBJECT(parameters_keys),
    [PL_IMAGE_CONFIG] = WALK_OBJECT(image_config_keys),
    [PL_DOCUMENTS] = WALK_ARRAY(PL_DEAD, ID_DOCUMENT_ITEM),
    [PL_PAGES] = WALK_ARRAY(PL_DEAD, ID_PAGE_ITEM),
    [PL_BATCH_LIST] = WALK_ARRAY(PL_BATCH_ITEM, ID_NONE),
    [PL_BATCH_ITEM] = WALK_OBJECT(batch_item_keys),
    [PL_LINE_CHAT] = WALK_OBJECT(line_chat_keys),
    [PL_LINE_COMPLETIONS] = WALK_OBJECT(line_completions_keys),
    [PL_LINE_RESPONSES] = WALK_OBJECT(line_responses_keys),
    [PL_LINE_EMBEDDINGS] = WALK_OBJECT(line_embeddings_keys),
    [PL_LINE_MODERATIONS] = WALK_OBJECT(line_moderations_keys),
    [PL_G_BATCH] = WALK_OBJECT(g_batch_keys),
    [PL_G_INPUT] = WALK_OBJECT(g_input_keys),
    [PL_G_REQUESTS] = WALK_OBJECT(g_requests_keys),
};

const bool reqscan_wants_text[ID_COUNT] = {
    [ID_MODEL] = true,
    [ID_TIER] = true,
    [ID_SPEED] = true,
    [ID_GEO] = true,
    [ID_TOOL_TYPE] = true,
    [ID_EDIT_TYPE] = true,
    [ID_TTL] = true,
    [ID_TYPE] = true,
    [ID_SOURCE_TYPE] = true,
    [ID_MIME] = true,
    [ID_URL] = true,
    [ID_IMAGE_URL] = true,
    [ID_MODALITY] = true,
    [ID_MAX] = true,
    [ID_MAX_COMPLETION] = true,
    [ID_THINKING_BUDGET] = true,
    [ID_REASONING_BUDGET] = true,
    [ID_REASONING_FORMAT] = true,
    [ID_N] = true,
    [ID_DETAIL] = true,
    [ID_SIZE] = true,
    [ID_QUALITY] = true,
    [ID_STREAM_FORMAT] = true,
    [ID_RESPONSE_FORMAT] = true,
    [ID_IMAGE_ITEM] = true,
    [ID_IMAGES] = true,
    [ID_FILE_URL] = true,
    [ID_BATCH_FILE] = true,
    [ID_BATCH_ENDPOINT] = true,
    [ID_LINE_METHOD] = true,
};

const uint8_t reqscan_follows[ID_COUNT] = {
    [ID_DATA] = FOLLOW_PICTURE,       [ID_URL] = FOLLOW_PICTURE,    [ID_IMAGE_URL] = FOLLOW_PICTURE,
    [ID_IMAGE_ITEM] = FOLLOW_PICTURE, [ID_IMAGES] = FOLLOW_PICTURE, [ID_SPEECH_INPUT] = FOLLOW_CHARS,
};

/* --- choosing -------------------------------------------------------------------------------------------------------
 */

/* "us.anthropic.claude-…", "arn:aws:…/anthropic.claude-…": what stands from the vendor on. */
static struct slice bedrock_model(struct slice model)
{
	static const char *const regions[] = {"us.", "eu.", "apac.", "au.", "jp.", "ca.", "global.", "us-gov."};
	size_t i;

	for (i = model.n; i > 0 && model.p[i - 1] != '/'; i--)
		;
	model = slice_sub(model, i, model.n - i);
	for (i = 0; i < ARRAY_LEN(regions); i++)
		if (slice_istarts(model, slice_of(regions[i])))
			return slice_sub(model, strlen(regions[i]), model.n);
	return model;
}

/* Whose body stands inside Bedrock's. A vendor that is not here bounds nothing: its model's maximum is held. */
static uint8_t invoke_place(struct slice model)
{
	static const struct {
		const char *prefix;
		uint8_t place;
	} vendors[] = {
	    {"anthropic.", PL_MESSAGES_API},
	    {"meta.", PL_INVOKE_META},
	    {"amazon.nova", PL_INVOKE_NOVA},
	    {"amazon.titan", PL_INVOKE_TITAN},
	    {"mistral.", PL_INVOKE_MESSAGES},
	    {"cohere.embed", PL_COHERE_UNITS},
	    {"cohere.rerank", PL_COHERE_UNITS},
	    {"cohere.", PL_INVOKE_MESSAGES},
	    {"ai21.jamba", PL_INVOKE_MESSAGES},
	    {"deepseek.", PL_INVOKE_MESSAGES},
	    {"writer.", PL_INVOKE_MESSAGES},
	    {"openai.", PL_CHAT},
	    {"qwen.", PL_CHAT},
	};
	struct slice name = bedrock_model(model);

	for (size_t i = 0; i < ARRAY_LEN(vendors); i++)
		if (slice_istarts(name, slice_of(vendors[i].prefix)))
			return vendors[i].place;
	return PL_INVOKE_ANY;
}

uint8_t reqscan_root_place(enum api_kind kind, struct slice model)
{
	static const uint8_t roots[API_KIND_COUNT] = {
	    [API_CHAT] = PL_CHAT,
	    [API_RESPONSES] = PL_RESPONSES,
	    [API_EMBEDDINGS] = PL_EMBEDDINGS,
	    [API_MESSAGES] = PL_MESSAGES_API,
	    [API_GENERATE] = PL_GENERATE,
	    [API_COMPLETIONS] = PL_COMPLETIONS,
	    [API_MODERATIONS] = PL_MODERATIONS,
	    [API_IMAGES] = PL_IMAGES,
	    [API_SPEECH] = PL_SPEECH,
	    [API_TRANSCRIPTIONS] = PL_TRANSCRIPTIONS,
	    [API_BATCH_SUBMIT] = PL_BATCH,
	    [API_INTERACTIONS] = PL_INTERACTIONS,
	    [API_EMBED_CONTENT] = PL_EMBED_CONTENT,
	    [API_PREDICT] = PL_PREDICT,
	    [API_CONVERSE] = PL_CONVERSE,
	    [API_COHERE_CHAT] = PL_COHERE_CHAT,
	    [API_COHERE_UNITS] = PL_COHERE_UNITS,
	    [API_OCR] = PL_OCR,
	    [API_OLLAMA] = PL_OLLAMA,
	    [API_OLLAMA_EMBED] = PL_EMBEDDINGS,
	};

	CHECK((size_t)kind < ARRAY_LEN(roots));
	return kind == API_INVOKE ? invoke_place(model) : roots[kind];
}

bool reqscan_same_body(enum api_kind kind, struct slice model, struct slice other)
{
	return reqscan_root_place(kind, model) == reqscan_root_place(kind, other);
}

uint8_t reqscan_line_place(enum api_kind kind)
{
	switch (kind) {
	case API_CHAT:
		return PL_LINE_CHAT;
	case API_COMPLETIONS:
		return PL_LINE_COMPLETIONS;
	case API_RESPONSES:
		return PL_LINE_RESPONSES;
	case API_EMBEDDINGS:
		return PL_LINE_EMBEDDINGS;
	case API_MODERATIONS:
		return PL_LINE_MODERATIONS;
	default:
		return PL_IGNORE;
	}
}

uint8_t reqscan_form_field(enum api_kind kind, struct slice name)
{
	static const struct {
		const char *name;
		uint8_t id;
	} fields[] = {
	    {"model", ID_MODEL},         {"n", ID_N},
	    {"size", ID_SIZE},           {"quality", ID_QUALITY},
	    {"stream", ID_STREAM},       {"partial_images", ID_PARTIAL_IMAGES},
	    {"image", ID_UPLOAD_IMAGE},  {"image[]", ID_UPLOAD_IMAGE},
	    {"mask", ID_UPLOAD_IMAGE},   {"response_format", ID_RESPONSE_FORMAT},
	    {"file", ID_UPLOAD},         {"file_url", ID_REMOTE_FILE},
	    {"file_id", ID_REMOTE_FILE}, {"url", ID_REMOTE_FILE},
	    {"service_tier", ID_TIER},
	};

	if (kind != API_IMAGES && kind != API_TRANSCRIPTIONS)
		return ID_NONE;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (slice_eq(name, slice_of(fields[i].name)))
			return fields[i].id;
	return ID_NONE;
}

struct slice reqscan_id_name(uint8_t root_place, uint8_t id)
{
	size_t i, k;

	for (i = 0; i < PL_COUNT; i++) {
		const struct walk_place *p = &reqscan_places[(root_place + i) % PL_COUNT];

		for (k = 0; k < p->n_keys; k++)
			if (p->keys[k].id == id)
				return slice_mem(p->keys[k].name, p->keys[k].n);
	}
	return SLICE("value");
}
