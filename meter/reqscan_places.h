/* reqscan_places.h - the map of requests: which keys of which vendor's body mean what. Internal to the scanner. */
#ifndef METER_REQSCAN_PLACES_H
#define METER_REQSCAN_PLACES_H

#include "meter/reqscan.h"
#include "meter/walk.h"

/* Names of what is interpreted. Below 128: each is a bit in `seen`. */
enum reqscan_id {
	ID_NONE,
	ID_MODEL,
	ID_STREAM,
	ID_N,
	ID_BEST_OF,
	ID_MAX,
	ID_MAX_COMPLETION, /* a second name of the same bound */
	ID_CONFIG,         /* the object in which the bound stands */
	ID_OPTIONS,
	ID_INCLUDE_USAGE,
	ID_TIER,
	ID_TIER_OBJECT,
	ID_SPEED,
	ID_LATENCY,
	ID_ADDITIONAL,
	ID_GEO,
	ID_BACKGROUND,
	ID_PREVIOUS, /* these five: input that is kept at the vendor */
	ID_CONVERSATION,
	ID_PROMPT,
	ID_CACHED_CONTENT,
	ID_AGENT,
	ID_MESSAGES,
	ID_SYSTEM,
	ID_ITEM,
	ID_TOOLS,
	ID_TOOL_TYPE,
	ID_TOOL_LOCAL,
	ID_TOOL_USES,
	ID_TOOL_CALLS_MAX,
	ID_HOSTED, /* present at all means: the vendor does more than one pass */
	ID_FALLBACKS,
	ID_MCP_SERVERS,
	ID_PLUGINS,
	ID_CONTEXT_MANAGEMENT,
	ID_EDITS,
	ID_EDIT_TYPE,
	ID_MODALITIES,
	ID_MODALITY,
	ID_MEDIA_RESOLUTION,
	ID_PREDICTION,
	ID_THINKING, /* these four: how much of the output may be thought */
	ID_REASONING,
	ID_THINKING_BUDGET,
	ID_REASONING_BUDGET,
	ID_REASONS, /* these four: what else is said about it, and whether it is shown */
	ID_REASONING_SHOWN,
	ID_REASONING_FORMAT,
	ID_REASONING_EXCLUDED,
	ID_CACHE_CONTROL,
	ID_TTL,
	ID_TYPE,
	ID_CONTENT,
	ID_PARTS,
	ID_OUTPUT,
	ID_SOURCE,
	ID_SOURCE_TYPE,
	ID_SOURCE_TEXT,
	ID_BLOB,
	ID_FILE_DATA,
	ID_MIME,
	ID_IMAGE_URL,
	ID_DETAIL,
	ID_URL,
	ID_DATA,
	ID_FILE,
	ID_FILE_ID,
	ID_FILE_URL,
	ID_DOCUMENT,
	ID_VIDEO,
	ID_AUDIO,
	ID_IMAGES,
	ID_IMAGE_ITEM,
	/* pictures asked for */
	ID_SIZE,
	ID_WIDTH,
	ID_HEIGHT,
	ID_QUALITY,
	ID_PARTIAL_IMAGES,
	ID_IMAGE_CONFIG,
	/* speech */
	ID_SPEECH_INPUT,
	ID_STREAM_FORMAT,
	ID_RESPONSE_FORMAT,
	/* files in a form, and their fellows in JSON */
	ID_UPLOAD,
	ID_UPLOAD_IMAGE,
	ID_REMOTE_FILE,
	ID_DOCUMENTS,
	ID_DOCUMENT_ITEM,
	ID_PAGES,
	ID_PAGE_ITEM,
	ID_ANNOTATIONS,
	ID_BOX_ANNOTATIONS,
	/* batches */
	ID_BATCH_FILE,
	ID_BATCH_ENDPOINT,
	ID_LINE_METHOD,
	ID_BATCH_REQUESTS,
	ID_BATCH_BODY,
	ID_COUNT,
};
_Static_assert(ID_COUNT <= 128, "ids are bits of a 128-bit mask");

enum reqscan_place {
	PL_IGNORE = WALK_IGNORE,
	PL_DEAD, /* an object nobody looks into */
	/* bodies */
	PL_CHAT,
	PL_COMPLETIONS,
	PL_RESPONSES,
	PL_EMBEDDINGS,
	PL_MODERATIONS,
	PL_IMAGES,
	PL_SPEECH,
	PL_TRANSCRIPTIONS,
	PL_MESSAGES_API,
	PL_GENERATE,
	PL_INTERACTIONS,
	PL_EMBED_CONTENT,
	PL_PREDICT,
	PL_CONVERSE,
	PL_INVOKE_MESSAGES, /* bodies of Bedrock's models: bound is max_tokens */
	PL_INVOKE_META,
	PL_INVOKE_NOVA,
	PL_INVOKE_TITAN,
	PL_INVOKE_ANY, /* no name of a bound is trusted */
	PL_COHERE_CHAT,
	PL_COHERE_UNITS,
	PL_OCR,
	PL_OLLAMA,
	PL_BATCH,
	/* parts */
	PL_TOP_LIST, /* messages[], input[], contents[], system[] */
	PL_LIST,     /* content[], parts[], output[] */
	PL_NODE,     /* a message or a part of one */
	PL_OPTIONS,
	PL_CACHE_CONTROL,
	PL_SOURCE,
	PL_DOCUMENT,
	PL_BLOB,
	PL_IMAGE_URL,
	PL_FILE,
	PL_IMAGE_LIST,
	PL_TOOLS,
	PL_TOOL,
	PL_G_TOOLS,
	PL_G_TOOL,
	PL_C_TOOL_CONFIG,
	PL_C_TOOLS,
	PL_C_TOOL,
	PL_HOSTED_LIST,
	PL_CONTEXT,
	PL_EDITS,
	PL_EDIT,
	PL_MODALITIES,
	PL_CONFIG,
	PL_C_CONFIG,
	PL_NOVA_CONFIG,
	PL_TITAN_CONFIG,
	PL_OLLAMA_CONFIG,
	PL_C_ADDITIONAL,
	PL_C_ADDITIONAL_CONFIG,
	PL_THINKING,
	PL_G_THINKING,
	PL_LATENCY,
	PL_C_TIER,
	PL_PARAMETERS,
	PL_IMAGE_CONFIG,
	PL_DOCUMENTS,
	PL_PAGES,
	PL_BATCH_LIST,
	PL_BATCH_ITEM,
	PL_LINE_CHAT,
	PL_LINE_COMPLETIONS,
	PL_LINE_RESPONSES,
	PL_LINE_EMBEDDINGS,
	PL_LINE_MODERATIONS,
	PL_G_BATCH,
	PL_G_INPUT,
	PL_G_REQUESTS,
	PL_COUNT,
};

/* What is known of a part so far. */
enum flag {
	FLAG_IMAGE = 1,
	FLAG_AUDIO = 2,
	FLAG_FILE = 4,
	FLAG_DOCUMENT = 8, /* a file, unless its source is plain text */
	FLAG_PLAIN = 16,   /* source: text or content */
	FLAG_REMOTE = 32,
	FLAG_BLOB = 64,        /* inlineData, fileData */
	FLAG_TYPED_BLOB = 128, /* with a MIME type */
	FLAG_BINARY = 256,     /* data beside whatever is plain */
	FLAG_DETAIL_LOW = 512,
	FLAG_DETAIL_HIGH = 1024,
	FLAG_DETAIL_ORIGINAL = 2048,
	FLAG_PICTURE = 4096, /* there are data of one */
	FLAG_SIZED = 8192,   /* whose size is known */
	FLAG_PICTURES = 16384,
};

/* Of a string that is longer than the reader keeps. */
enum follow { FOLLOW_NONE, FOLLOW_PICTURE, FOLLOW_CHARS };

extern const struct walk_place reqscan_places[PL_COUNT];
/* Whose string values are read (the others are skipped at memory speed), and whose are followed. */
extern const bool reqscan_wants_text[ID_COUNT];
extern const uint8_t reqscan_follows[ID_COUNT];

/* The table of a body; Bedrock's by the vendor in its model. */
uint8_t reqscan_root_place(enum api_kind, struct slice model);
/* The table of a line of a batch's file; PL_IGNORE: none for this kind. */
uint8_t reqscan_line_place(enum api_kind);
/* Id of a form's field; ID_NONE: nobody's. */
uint8_t reqscan_form_field(enum api_kind, struct slice name);
/* The name under which the id stands in the tables, for messages. */
struct slice reqscan_id_name(uint8_t root_place, uint8_t id);

/* --- parts of the scanner, for one another ------------------------------------------------------------------------ */

int reqscan_fail(struct reqscan *, enum reqscan_error, struct slice key) NONNULL(1);
int reqscan_bad_value(struct reqscan *, uint8_t id) NONNULL(1);
/* Values by id that a form and a body have in common. */
int reqscan_take_model(struct reqscan *, struct slice name, bool cut) NONNULL(1);
int reqscan_take_size(struct reqscan *, struct slice text) NONNULL(1);
void reqscan_take_quality(struct reqscan *, struct slice text) NONNULL(1);
void reqscan_take_format(struct reqscan *, struct slice text) NONNULL(1);
void reqscan_take_candidates(struct reqscan *, uint64_t n) NONNULL(1);

/* reqscan_values.c: what a key or an element says. */
int reqscan_take_scalar(struct reqscan *, uint8_t id, enum json_token) NONNULL(1);
/* Of values and parts: kept at the vendor, or done by the vendor, so that its mere presence matters. */
void reqscan_take_presence(struct reqscan *, uint8_t id) NONNULL(1);
/* reqscan_parts.c: a part of a message that is not plain text, from begin to end. */
void reqscan_take_part_text(struct reqscan *, uint8_t id) NONNULL(1);
void reqscan_begin_part(struct reqscan *, uint8_t id, bool object) NONNULL(1);
void reqscan_close_part(struct reqscan *) NONNULL(1);

/* reqscan_form.c */
void reqscan_form_begin(struct reqscan *, struct slice content_type) NONNULL(1);
int reqscan_form_feed(struct reqscan *, const char *p, size_t n) NONNULL(1);
int reqscan_form_finish(struct reqscan *) NONNULL(1);

/* reqscan_edit.c */
/* Which of the two names of a bound does the vendor honour? */
enum reqscan_bound { BOUND_EITHER, BOUND_FIRST };
uint8_t reqscan_bound_names(enum api_kind, uint8_t root_place, struct slice provider);
uint8_t reqscan_member(enum api_kind, uint8_t root_place, struct slice provider);
void reqscan_take_thinking(struct reqscan *, enum json_token, bool quoted) NONNULL(1);
void reqscan_plan_edits(struct reqscan *) NONNULL(1);

#endif
