/* request.h - what a call to the test vendor asks for: its route, its body, and the script in its headers. */
#ifndef VENDOR_REQUEST_H
#define VENDOR_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/json.h"
#include "base/slice.h"
#include "net/h1.h"

#define MODEL_MAX 128
#define CALL_NAME_MAX 80

enum api {
	API_NONE, /* no such route */
	API_CONTROL,
	API_MODELS,
	API_CHAT,
	API_RESPONSES,
	API_EMBEDDINGS,
	API_MESSAGES,
	API_COUNT_TOKENS,
	API_GENERATE,
	API_GOOGLE_COUNT,
	API_ECHO,
};

#define FAULTS(X)                                                                                                      \
	X(ERROR_BEFORE, "error-before")                                                                                \
	X(RATE_LIMIT, "429")                                                                                           \
	X(OVERLOADED, "529")                                                                                           \
	X(CUT_MID, "cut-mid")                                                                                          \
	X(CUT_HEAD, "cut-head")                                                                                        \
	X(NO_USAGE, "no-usage")                                                                                        \
	X(NONSENSE, "nonsense")                                                                                        \
	X(GARBAGE, "garbage")                                                                                          \
	X(SLOW, "slow")                                                                                                \
	X(HUGE, "huge")                                                                                                \
	X(RESET, "reset")                                                                                              \
	X(GZIP_BOMB, "gzip-bomb")                                                                                      \
	X(TRUNCATED_GZIP, "truncated-gzip")                                                                            \
	X(WRONG_LENGTH, "wrong-length")

enum fault {
	FAULT_NONE,
#define X(uc, text) FAULT_##uc,
	FAULTS(X)
#undef X
};

/* Headers "x-vendor-…". */
struct script {
	bool has_out, gzip;
	uint64_t out, delay_ms, chunk_ms, chunks, cached, write_5m, write_1h;
	enum fault fault;
	char call[CALL_NAME_MAX + 1];
};

struct request {
	enum api api;
	bool stream, json_array, include_usage, has_max_out, base64, bad_json;
	uint64_t max_out, candidates, inputs, text_bytes;
	char model[MODEL_MAX + 1];
	struct script script;
};

/* Reads the body as it arrives. */
struct body_scan {
	struct json_reader json;
	struct request *request;
	int depth;
	bool failed;
	char key[2][32]; /* names at depth 1 and 2 */
};

const char *api_name(enum api);
const char *api_provider(enum api); /* "openai", "anthropic", "google" */
bool api_is_billed(enum api);

/* Route and script from the head. */
void request_from_head(struct request *, const struct h1_head *) NONNULL(1, 2);
void body_scan_init(struct body_scan *, struct request *) NONNULL(1, 2);
void body_scan_feed(struct body_scan *, const char *p, size_t n) NONNULL(1);
/* Sets request->bad_json when the body was not a whole JSON document. */
void body_scan_finish(struct body_scan *) NONNULL(1);
/* A function of the text only: a quarter of its bytes and one; never above the bytes of the body. */
uint64_t request_input_tokens(const struct request *) NONNULL(1);
uint64_t request_output_tokens(const struct request *) NONNULL(1); /* all candidates */

#endif
