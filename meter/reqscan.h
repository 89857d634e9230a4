/* reqscan.h - reads a request body once, as it arrives: what bounds its cost, and where to edit it.
 *
 * JSON of every metered kind, and the forms of the kinds that take files. Builds no tree; memory is fixed. Refuses what
 * two readers could read differently: a repeated `model` or output-bound key, invalid UTF-8, nesting over 128, loose
 * form syntax. Request fields as documented by each vendor. One owner thread. */
#ifndef METER_REQSCAN_H
#define METER_REQSCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "meter/api.h"
#include "meter/image_size.h"
#include "meter/image_tokens.h"
#include "meter/multipart.h"
#include "meter/unescape.h"
#include "meter/walk.h"

/* A replacement of bytes [from, to) of the body; from == to inserts. */
struct body_edit {
	uint64_t from, to;
	const char *text; /* static */
};

/* Where the bound of the output stands, or could: bytes [from, to) become `before`, the number, `after`. */
struct max_out_edit {
	uint64_t from, to;
	const char *before, *after; /* static; NULL: it cannot be edited */
};

/* Where a value stands in the body; to == 0: nowhere that could be edited. */
struct body_span {
	uint64_t from, to;
};

/* Which tools the vendor is asked to run. */
enum hosted_tool {
	HOSTED_WEB = 1,
	HOSTED_FILE = 2,
	HOSTED_CODE = 4,
	HOSTED_IMAGE = 8,  /* pictures drawn by another model, not in the usage */
	HOSTED_OTHER = 16, /* whatever has no bound at all: MCP, agents, fallbacks, compaction, unknown tools */
};

enum image_quality {
	QUALITY_ABSENT,
	QUALITY_LOW,
	QUALITY_MEDIUM,
	QUALITY_HIGH,
	QUALITY_STANDARD,
	QUALITY_HD,
	QUALITY_OTHER
};

#define BATCH_INPUT_MAX 95
#define BATCH_ENDPOINT_MAX 63

struct request_info {
	char model[MODEL_NAME_MAX + 1];        /* from the body, else filled by the caller from the path */
	char service_tier[16];                 /* "" when absent */
	char speed[16];                        /* Anthropic speed, Bedrock latency; "" when absent */
	char inference_geo[16];                /* Anthropic */
	char batch_input[BATCH_INPUT_MAX + 1]; /* of a batch: the file of its requests; "" when not told, or too long */
	char batch_endpoint[BATCH_ENDPOINT_MAX + 1]; /* of a batch, or a line of its file: where its requests go */
	uint64_t body_bytes;
	uint64_t max_out;    /* output tokens per candidate that the vendor will honour; of a batch: of all its items */
	uint64_t candidates; /* n, candidateCount, best_of, pictures asked for; 1 when absent (4 in Vertex predict) */
	uint64_t messages;   /* for the per-message overhead of the bound; inputs of an embedding */
	uint64_t images, audios, files; /* parts that are not plain text, inline or by reference */
	uint64_t image_bytes; /* of the body: data of inline pictures, which are bounded by picture and not by byte */
	struct image_sums image_sums;
	uint64_t upload_bytes;   /* of form files */
	uint64_t documents;      /* to be ranked */
	uint64_t pages;          /* asked for, of a document to be read; 0: all */
	uint64_t input_chars;    /* Unicode code points of the text to be spoken */
	uint64_t hosted_calls;   /* at most so many calls of hosted tools, when hosted_bounded */
	uint64_t batch_items;    /* requests inside a batch */
	uint64_t call_input;     /* of a batch: tokens that one of its requests can have as input; 0: not known */
	uint64_t batch_uncapped; /* of them, answers without an output bound */
	uint32_t width, height;  /* of pictures asked for; 0: the vendor chooses */
	uint8_t hosted;          /* enum hosted_tool */
	uint8_t quality;         /* enum image_quality */
	uint8_t partial_images;  /* previews while a picture is drawn */
	bool stream;
	bool has_max_out;
	bool has_candidates;
	bool remote_parts;   /* some part is named by URL or id, so its size is not in the body */
	bool stored_context; /* previous_response_id, conversation, prompt id, cachedContent: input beyond the body */
	bool hosted_tools;   /* tools the vendor runs and bills beside the tokens (web search, code interpreter, …) */
	bool hosted_bounded; /* and the request says how often at most */
	bool cache_marks;    /* cache_control or cachePoint present */
	bool cache_marks_1h; /* one with a ttl of one hour */
	bool background;
	bool agent;            /* the vendor keeps model, tools and instructions under an id */
	bool audio_output;     /* audio, or for Gemini also pictures, are asked for */
	bool prediction;       /* predicted output: what is rejected of it is billed as output */
	bool media_resolution; /* Gemini: pictures may cost more than the default */
	bool tools;            /* some tool is offered */
	bool annotations;      /* OCR with structured annotations */
	bool plain_answer;     /* transcription as text or subtitles: the answer will not tell its usage */
	bool batch_file;       /* a batch whose requests stand in a file at the vendor */
	bool batch_lines;      /* set by batch_file.h: the sum of such a file's requests */
	bool residency;        /* set by the caller: the vendor's regional host, with a surcharge */
	bool mixed_models;     /* items of a batch name several models */
	bool include_usage;    /* the client itself asks for usage in the stream */
	bool has_usage_edit;   /* chat stream that does not: this edit makes the vendor send it */
	struct body_edit usage_edit;
	struct max_out_edit max_out_edit;
	const char *max_out_field;   /* the bound's name in this body, for people; NULL: the vendor has none */
	struct body_span model_edit; /* the model's string, with its quotes */
	/* Tokens of the output that may be thought at most, where the request says so by a number (0: it does not); the
	 * number's place, and the least that the vendor takes. */
	uint64_t thinking_budget, thinking_min;
	struct body_span thinking_edit;
	bool thinking;         /* the request says something about reasoning */
	bool reasoning_hidden; /* it asks for an answer without it: what is billed is then not all seen */
};

enum reqscan_error {
	REQSCAN_OK,
	REQSCAN_NOT_JSON,
	REQSCAN_DUPLICATE_KEY,
	REQSCAN_KEY_CASE,  /* a key that some readers take for one that matters: Go's and .NET's ignore case */
	REQSCAN_BAD_VALUE, /* a bound that is no whole number >= 0, a model that is no string */
	REQSCAN_TOO_DEEP,
	REQSCAN_NOT_FORM, /* a form where none is understood, or one that readers could split differently */
};

#define REQSCAN_FIELD_MAX 256 /* bytes of a form field that are kept */

typedef unsigned __int128 reqscan_set; /* of keys */

struct reqscan {
	struct json_reader json;
	enum api_kind kind;
	enum reqscan_error error;
	char error_key[64]; /* the key it is about, for the message */
	struct request_info info;
	/* place in the document; private to reqscan*.c */
	struct walk walk;
	uint8_t root_place, bound, member;    /* which table; whose names an output bound has (reqscan_edit.c) */
	reqscan_set seen[JSON_DEPTH_MAX + 1]; /* keys met in the object at each depth */
	uint16_t flags[JSON_DEPTH_MAX + 1];   /* what is known of the part at each depth */
	uint64_t blob_bytes[JSON_DEPTH_MAX + 1];
	uint64_t body_brace; /* offsets, for the edits */
	uint64_t options_begin, options_end, include_begin, include_end, config_brace;
	struct {
		uint64_t value, begin, end;
		bool seen;
	} max[2];                                           /* the two names of a bound */
	uint8_t options_token, include_token, config_token; /* enum json_token, 0 = absent */
	bool thinking_seen;
	bool options_empty, root_seen, root_empty, config_empty, config_open, is_openai, is_openrouter;
	/* tools */
	uint64_t tool_uses, uses_sum, calls_max;
	bool tool_hosted, tool_has_uses, tools_unbounded, has_calls_max, calls_max_counts;
	bool pages_open; /* a range of pages, or all */
	uint64_t batch_out;
	/* of a line of a batch's file: the table of its body, and where that begins */
	uint8_t line_body;
	uint64_t line_body_begin;
	/* long strings that are looked into as they pass */
	uint8_t follow; /* enum follow */
	struct unescape text;
	struct image_sniff sniff;
	uint64_t chars;
	uint32_t picture_depth, picture_width, picture_height; /* depth 0: none */
	/* forms */
	bool is_form, form_bad, field_cut;
	uint8_t field; /* id of the open part */
	uint16_t field_n;
	struct multipart form;
	char field_text[REQSCAN_FIELD_MAX];
};

struct reqscan_options {
	enum api_kind kind;
	struct slice provider;     /* shipped name ("deepseek"); which names of a bound it knows. Empty: any */
	struct slice model;        /* from the path, decoded: Bedrock's bodies differ by it. Not kept */
	struct slice content_type; /* forms are recognised by it */
	/* The bytes are a line of a batch's file, whose `body` is a request of the kind (one that batches can have, see
	 * batch_file.h); info.body_bytes are those of it, and info.batch_items is 1 when it has one. */
	bool batch_line;
};

void reqscan_init(struct reqscan *, enum api_kind) NONNULL(1);
/* A content type that names a form without a proper boundary shows as REQSCAN_NOT_FORM with the first feed. */
void reqscan_begin(struct reqscan *, const struct reqscan_options *) NONNULL(1, 2);
/* Any split of the bytes gives the same result. BUR_OK, or BUR_INVALID (sticky). */
int reqscan_feed(struct reqscan *, const char *p, size_t n) NONNULL(1) MUST_USE;
/* The whole body was fed. BUR_OK: scan->info is complete. BUR_INVALID: scan->error, error_key. */
int reqscan_finish(struct reqscan *) NONNULL(1) MUST_USE;
/* Is a body for the one model a body for the other? Bedrock's differ by the vendor of the model. */
bool reqscan_same_body(enum api_kind, struct slice model, struct slice other);
/* "the key \"model\" stands twice in the request; …" for people. */
const char *reqscan_error_text(const struct reqscan *, char *dst, size_t dst_size) NONNULL(1, 2);

#endif
