/* reqscan.h - reads a request body once, as it arrives: what bounds its cost, and where to edit it.
 *
 * Builds no tree; memory is fixed. Refuses what two readers could read differently: a repeated `model` or output-bound
 * key, invalid UTF-8, nesting over 128. One owner thread. */
#ifndef METER_REQSCAN_H
#define METER_REQSCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "meter/api.h"
#include "meter/walk.h"

/* A replacement of bytes [from, to) of the body; from == to inserts. */
struct body_edit {
	uint64_t from, to;
	const char *text; /* static */
};

struct request_info {
	char model[MODEL_NAME_MAX + 1]; /* from the body, else filled by the caller from the path */
	bool stream;
	bool has_max_out;
	uint64_t max_out;               /* output tokens per candidate that the vendor will honour */
	uint64_t candidates;            /* n, candidateCount; 1 when absent */
	uint64_t messages;              /* for the per-message overhead of the bound */
	uint64_t images, audios, files; /* parts that are not plain text, inline or by reference */
	bool remote_parts;              /* some part is named by URL or id, so its size is not in the body */
	bool stored_context; /* previous_response_id, conversation, prompt id, cachedContent: input beyond the body */
	bool hosted_tools;   /* tools the vendor runs and bills beside the tokens (web search, code interpreter, …) */
	bool cache_marks;    /* cache_control present */
	bool cache_marks_1h; /* one with a ttl of one hour */
	bool background;
	bool audio_output;                 /* modalities ask for audio or image output */
	bool prediction;                   /* predicted output: what is rejected of it is billed as output */
	char service_tier[16];             /* "" when absent */
	char speed[16], inference_geo[16]; /* Anthropic; "" when absent */
	bool include_usage;                /* the client itself asks for usage in the stream */
	bool has_usage_edit;               /* chat stream that does not: this edit makes the vendor send it */
	struct body_edit usage_edit;
	bool tools; /* some tool is offered */
	uint64_t body_bytes;
	uint64_t image_bytes; /* of the body: data of inline pictures, which are bounded by picture and not by byte */
};

enum reqscan_error {
	REQSCAN_OK,
	REQSCAN_NOT_JSON,
	REQSCAN_DUPLICATE_KEY,
	REQSCAN_BAD_VALUE, /* a bound that is no whole number >= 0, a model that is no string */
	REQSCAN_TOO_DEEP,
};

struct reqscan {
	struct json_reader json;
	enum api_kind kind;
	enum reqscan_error error;
	char error_key[64]; /* the key it is about, for the message */
	struct request_info info;
	/* place in the document; private to reqscan.c */
	struct walk walk;
	uint64_t seen[JSON_DEPTH_MAX + 1];  /* keys met in the object at each depth */
	uint16_t flags[JSON_DEPTH_MAX + 1]; /* what is known of the part at each depth */
	uint64_t blob_bytes[JSON_DEPTH_MAX + 1];
	uint64_t body_brace; /* offsets, for the edit */
	uint64_t options_begin, options_end, include_begin, include_end;
	uint8_t options_token, include_token; /* enum json_token, 0 = absent */
	bool options_empty, root_seen;
};

void reqscan_init(struct reqscan *, enum api_kind) NONNULL(1);
/* Any split of the bytes gives the same result. BUR_OK, or BUR_INVALID (sticky). */
int reqscan_feed(struct reqscan *, const char *p, size_t n) NONNULL(1) MUST_USE;
/* The whole body was fed. BUR_OK: scan->info is complete. BUR_INVALID: scan->error, error_key. */
int reqscan_finish(struct reqscan *) NONNULL(1) MUST_USE;
/* "the key \"model\" stands twice in the request; …" for people. */
const char *reqscan_error_text(const struct reqscan *, char *dst, size_t dst_size) NONNULL(1, 2);

#endif
