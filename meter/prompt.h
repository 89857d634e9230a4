/* prompt.h - how many tokens is the prompt in this body?
 *
 * Reads a body that the scanner has understood once more, and counts its text with the vendor's own vocabulary where
 * that is public, else with the nearest one and a factor. Framing: OpenAI cookbook, "How to count tokens with
 * tiktoken"; factors measured by family and script. Pure; no memory beyond the call. */
#ifndef METER_PROMPT_H
#define METER_PROMPT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/json.h"
#include "base/slice.h"
#include "meter/api.h"
#include "meter/reqscan.h"
#include "meter/unescape.h"
#include "tokens/tokens.h"

/* What most of the letters are. */
enum script { SCRIPT_LATIN, SCRIPT_CJK, SCRIPT_OTHER, SCRIPT_COUNT };

struct prompt_count {
	uint64_t tokens;        /* best figure, pictures and framing included */
	uint64_t margin_tokens; /* above it, for what is not known */
	/* The vendor is known to count so: it bills no more than tokens + margin. Else both are estimates, no bound. */
	bool exact;
	uint64_t text_tokens;  /* as counted, before any factor: what learning compares (learn.h) */
	uint64_t image_tokens; /* by formula, at their dearest where no size is known */
	enum script script;
};

/* One cache for each encoding, any of them NULL. */
struct prompt_caches {
	struct tok_cache *of[TOK_ENCODING_COUNT];
};

/* `model` is the name the price book knows it by, or the requested one. The caches may be NULL. BUR_OK; BUR_NOTFOUND:
 * no vocabulary is built in, or the kind or the request's parts (files, sound, a stored conversation, a form) cannot be
 * counted; BUR_INVALID: the body is no JSON. */
int prompt_count(enum api_kind, struct slice provider, struct slice model, const struct request_info *,
		 struct slice body, const struct prompt_caches *, struct prompt_count *ret) NONNULL(4, 7) MUST_USE;

/* The same in slices, for bodies that take longer to count than others can wait. */
struct prompt_scan {
	/* what is asked */
	enum api_kind kind;
	bool exact; /* see prompt_count */
	struct slice model;
	const struct request_info *info;
	uint64_t images;
	enum tok_encoding encoding;
	struct tok_cache *cache;
	/* where the reading stands */
	struct json_reader json;
	struct slice body; /* while a step runs */
	size_t at;         /* bytes of it that were read */
	uint8_t area;
	bool first;    /* no comma stands before what comes */
	bool in_loose; /* a member inside the prompt that counts by its bytes */
	uint64_t area_begin, loose_begin;
	/* a long string, read and not yet counted whole: the raw bytes left of it */
	bool in_string, string_is_key;
	size_t string_at, string_end;
	struct unescape unescape;
	struct tok_stream text, schema;
	/* what was found */
	uint64_t tokens, schema_tokens, schema_bytes, other_bytes;
	uint64_t framing, items;
	uint64_t letters, cjk, others; /* characters */
};

/* As prompt_count; BUR_OK: step until it is done. `model`, `info` and the caches must outlive the scan, which needs no
 * other end. */
int prompt_scan_begin(struct prompt_scan *, enum api_kind, struct slice provider, struct slice model,
		      const struct request_info *, const struct prompt_caches *) NONNULL(1, 5) MUST_USE;
/* Looks at about `max_bytes` (> 0) of the body, which is the same each time but may have moved. BUR_AGAIN: there is
 * more; BUR_OK: all was counted; BUR_INVALID: the body is no JSON. Whatever the steps, the count is the same. */
int prompt_scan_step(struct prompt_scan *, struct slice body, size_t max_bytes) NONNULL(1) MUST_USE;
/* After BUR_OK. */
void prompt_scan_finish(const struct prompt_scan *, struct prompt_count *ret) NONNULL(1, 2);

/* Tokens of foreign text in thousandths of o200k_base's: mean, and to reserve with. */
struct prompt_factor {
	uint32_t mean, reserve;
};
struct prompt_factor prompt_factor(struct slice model, enum script);

#endif
