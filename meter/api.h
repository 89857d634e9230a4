/* api.h - which vendor API is this call? One table of method, path pattern and kind per family.
 *
 * Pure, any thread. Adding a vendor that speaks a known family is configuration, not code. */
#ifndef METER_API_H
#define METER_API_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/slice.h"

#define MODEL_NAME_MAX 191 /* bytes of a model's name, wherever it comes from */

/* Decides the shape of errors and of usage. */
enum api_family { FAMILY_OTHER, FAMILY_OPENAI, FAMILY_ANTHROPIC, FAMILY_GOOGLE };

enum api_kind {
	API_UNKNOWN,    /* not in the table: refused on a metered host while a hard budget applies */
	API_FREE,       /* known and unbilled: lists of models, token counting, … */
	API_CHAT,       /* OpenAI chat completions */
	API_RESPONSES,  /* OpenAI responses (foreground) */
	API_EMBEDDINGS, /* OpenAI embeddings */
	API_MESSAGES,   /* Anthropic messages */
	API_GENERATE,   /* Gemini generateContent, and streamGenerateContent in SSE or array form */
};

struct api_match {
	enum api_kind kind;
	struct slice model; /* from the path, percent-encoded as sent; empty when the body names it */
	bool stream_by_path;
};

struct provider {
	const char *name; /* price book id and label: "openai" */
	enum api_family family;
	const char *const *hosts;   /* patterns as in host_matches, NULL-terminated */
	const char *default_origin; /* "https://api.openai.com" */
	const char *gateway_prefix; /* "openai": served under /openai/ */
};

/* The shipped providers; n entries. */
const struct provider *providers_builtin(size_t *ret_n) NONNULL(1);
/* "openai", "anthropic", "google" to family; FAMILY_OTHER when unknown. */
enum api_family api_family_from_name(struct slice name);
const char *api_kind_name(enum api_kind);
/* `path` without query, as sent to the vendor ("/v1/chat/completions"). */
struct api_match api_classify(enum api_family, struct slice method, struct slice path);
/* Whether the vendor key in this request stands in the URL (`?key=`), which must never be logged. */
bool api_query_has_secret(struct slice query);

#endif
