/* request.h - what a call to the test vendor asks for: its route, its body, and the script in its headers. */
#ifndef VENDOR_REQUEST_H
#define VENDOR_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/json.h"
#include "base/slice.h"
#include "net/h1.h"
#include "tests/vendor/seller.h"

#define MODEL_MAX 191
#define CALL_NAME_MAX 80
#define OBJECT_ID_MAX 160

/* enum, name in the bill; what the body is; whether it costs */
#define APIS(X)                                                                                                        \
	X(NONE, "none", BODY_JSON, false) /* no such route */                                                          \
	X(CONTROL, "control", BODY_JSON, false)                                                                        \
	X(ECHO, "echo", BODY_ANY, false)                                                                               \
	X(MODELS, "models", BODY_ANY, false)                                                                           \
	X(CHAT, "chat", BODY_JSON, true)                                                                               \
	X(COMPLETIONS, "completions", BODY_JSON, true)                                                                 \
	X(RESPONSES, "responses", BODY_JSON, true)                                                                     \
	X(RESPONSE_LATE, "response-late", BODY_ANY, false)                                                             \
	X(EMBEDDINGS, "embeddings", BODY_JSON, true)                                                                   \
	X(MODERATIONS, "moderations", BODY_JSON, true)                                                                 \
	X(IMAGES, "images", BODY_JSON, true)                                                                           \
	X(IMAGE_EDITS, "images", BODY_FORM, true)                                                                      \
	X(SPEECH, "speech", BODY_JSON, true)                                                                           \
	X(TRANSCRIPTIONS, "transcriptions", BODY_FORM, true)                                                           \
	X(FILE_UPLOAD, "file-upload", BODY_FORM, false)                                                                \
	X(FILE_CONTENT, "file-content", BODY_ANY, false)                                                               \
	X(BATCH, "batch", BODY_KEPT, false) /* billed by what is in it */                                              \
	X(BATCH_LATE, "batch-late", BODY_ANY, false)                                                                   \
	X(MESSAGES, "messages", BODY_JSON, true)                                                                       \
	X(COUNT_TOKENS, "count_tokens", BODY_JSON, false)                                                              \
	X(MESSAGE_BATCH, "message-batch", BODY_KEPT, false)                                                            \
	X(MESSAGE_BATCH_LATE, "message-batch-late", BODY_ANY, false)                                                   \
	X(MESSAGE_BATCH_RESULTS, "message-batch-results", BODY_ANY, false)                                             \
	X(GENERATE, "generate", BODY_JSON, true)                                                                       \
	X(GOOGLE_COUNT, "count", BODY_JSON, false)                                                                     \
	X(EMBED_CONTENT, "embed-content", BODY_JSON, true)                                                             \
	X(EMBED_CONTENTS, "embed-content", BODY_JSON, true)                                                            \
	X(CONVERSE, "converse", BODY_JSON, true)                                                                       \
	X(INVOKE, "invoke", BODY_JSON, true)                                                                           \
	X(COHERE_CHAT, "cohere-chat", BODY_JSON, true)                                                                 \
	X(COHERE_EMBED, "cohere-embed", BODY_JSON, true)                                                               \
	X(COHERE_RERANK, "cohere-rerank", BODY_JSON, true)                                                             \
	X(OCR, "ocr", BODY_JSON, true)                                                                                 \
	X(OLLAMA_CHAT, "ollama-chat", BODY_JSON, true)                                                                 \
	X(OLLAMA_GENERATE, "ollama-generate", BODY_JSON, true)                                                         \
	X(OLLAMA_EMBED, "ollama-embed", BODY_JSON, true)

enum api {
#define X(uc, name, body, billed) API_##uc,
	APIS(X)
#undef X
	    API_COUNT
};

enum body_kind {
	BODY_JSON, /* scanned as it arrives */
	BODY_KEPT, /* JSON, kept whole */
	BODY_FORM, /* multipart/form-data, kept whole */
	BODY_ANY,  /* not looked at */
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
	bool has_out, gzip, has_cost;
	uint64_t out, delay_ms, chunk_ms, chunks, cached, write_5m, write_1h, reasoning, cost_nanousd;
	enum fault fault;
	char call[CALL_NAME_MAX + 1];
};

struct request {
	enum api api;
	enum seller seller;
	bool stream, json_array, include_usage, has_max_out, base64, bad_json, background, model_in_path;
	bool has_thinking;
	uint64_t max_out, thinking, candidates, inputs, text_bytes, file_bytes;
	char model[MODEL_MAX + 1];
	char object_id[OBJECT_ID_MAX + 1]; /* in the path: of a response, a batch, a file */
	struct script script;
};

/* Reads the body as it arrives. */
struct body_scan {
	struct json_reader json;
	struct request *request;
	int depth;
	bool failed;
	char key[3][32]; /* names at depth 1 to 3 */
};

const char *api_name(enum api);
enum body_kind api_body(enum api);
bool api_is_billed(enum api);

/* Route and script from the head. */
void request_from_head(struct request *, const struct h1_head *) NONNULL(1, 2);
/* Route alone, into a zeroed request; also for the parts of a batch. `path` without query. */
void request_route(struct request *, struct slice method, struct slice path, struct slice query) NONNULL(1);

void body_scan_init(struct body_scan *, struct request *) NONNULL(1, 2);
void body_scan_feed(struct body_scan *, const char *p, size_t n) NONNULL(1);
/* Sets request->bad_json when the body was not a whole JSON document. */
void body_scan_finish(struct body_scan *) NONNULL(1);
/* A form, whole: its model, its text, and the bytes of its file; *ret_file is the file. False: no form. */
bool request_from_form(struct request *, struct slice body, struct slice *ret_file) NONNULL(1, 3);

/* Why such a request is refused (400), as the vendors document it; NULL: it is not. */
const char *request_refusal(const struct request *) NONNULL(1);
/* A function of the text only: a quarter of its bytes and one; never above the bytes of the body. */
uint64_t request_input_tokens(const struct request *) NONNULL(1);
uint64_t request_output_tokens(const struct request *) NONNULL(1); /* all candidates */

#endif
