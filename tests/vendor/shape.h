/* shape.h - what each family's file gives to answer.c, and what they share. Internal to the answers. */
#ifndef VENDOR_SHAPE_H
#define VENDOR_SHAPE_H

#include <inttypes.h>

#include "base/error.h"
#include "tests/vendor/answer.h"

#define CREATED "1793000000"
#define SSE_TYPE "text/event-stream; charset=utf-8"
#define EVENTSTREAM_TYPE "application/vnd.amazon.eventstream"
#define NDJSON_TYPE "application/x-ndjson"

#define TRY(call)                                                                                                      \
	do {                                                                                                           \
		int try_ = (call);                                                                                     \
		if (try_ < 0)                                                                                          \
			return try_;                                                                                   \
	} while (0)

/* Unset functions: no such form. Types: NULL is JSON, and SSE of streams. */
struct shape {
	int (*whole)(struct answer *, struct buf *);
	int (*begin)(struct answer *, struct buf *);
	int (*content)(struct answer *, struct buf *, uint64_t from, uint64_t to);
	int (*end)(struct answer *, struct buf *);
	int (*fields)(const struct answer *, struct buf *);
	const char *whole_type, *stream_type;
};

extern const struct shape shape_chat, shape_completions, shape_responses, shape_embeddings, shape_moderations,
    shape_models, shape_images, shape_speech, shape_transcriptions, shape_messages, shape_count_tokens, shape_generate,
    shape_google_count, shape_embed_content, shape_embed_contents, shape_converse, shape_invoke, shape_cohere_chat,
    shape_cohere_embed, shape_cohere_rerank, shape_ocr, shape_ollama_chat, shape_ollama_generate, shape_ollama_embed;

uint64_t shape_per_candidate(const struct answer *) NONNULL(1);
bool shape_cut_short(const struct answer *) NONNULL(1); /* by the request's bound */
/* Tokens [from, to) as words; those that were thought only are not told. */
int shape_words(struct buf *out, const struct answer *, uint64_t from, uint64_t to) NONNULL(1, 2) MUST_USE;
int shape_text(struct buf *out, const struct answer *) NONNULL(1, 2) MUST_USE; /* all of one candidate */
/* The model as answers name it. */
const char *shape_model(const struct answer *) NONNULL(1);
/* Nano-USD as decimal dollars, a JSON number. */
int shape_dollars(struct buf *out, int64_t nanousd) NONNULL(1) MUST_USE;
/* "{...}" of an OpenAI response: queued (background), in progress, or done. */
int shape_response(struct buf *out, const struct answer *, const char *status) NONNULL(1, 2, 3) MUST_USE;

#endif
