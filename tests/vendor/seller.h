/* seller.h - the vendors this program stands for: how each is found, and in what its answers differ from its family. */
#ifndef VENDOR_SELLER_H
#define VENDOR_SELLER_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/slice.h"

enum seller {
	SELLER_OPENAI, /* whoever is not named */
	SELLER_AZURE,
	SELLER_ANTHROPIC,
	SELLER_GOOGLE,
	SELLER_AWS,
	SELLER_COHERE,
	SELLER_MISTRAL,
	SELLER_GROQ,
	SELLER_TOGETHER,
	SELLER_OPENROUTER,
	SELLER_OLLAMA,
	SELLER_PERPLEXITY,
	SELLER_XAI,
	SELLER_DEEPSEEK,
	SELLER_FIREWORKS,
	SELLER_COUNT
};

/* When a chat stream tells its usage. */
enum usage_time {
	USAGE_IF_ASKED,   /* one chunk without choices, when stream_options.include_usage asks for it */
	USAGE_LAST,       /* in the chunk with the finish_reason */
	USAGE_OWN_CHUNK,  /* one chunk without choices, always */
	USAGE_EVERYWHERE, /* in every chunk, cumulative */
	USAGE_X_GROQ,     /* in the last chunk's x_groq, and as USAGE_IF_ASKED */
};

struct dialect {
	enum usage_time usage;
	bool nulls;                /* "usage":null until it is told */
	bool filter_chunk;         /* a first chunk without id, model and choices */
	bool no_done;              /* no "[DONE]" */
	bool reasoning_apart;      /* completion_tokens leave reasoning out, total_tokens do not */
	bool hit_and_miss;         /* cache counters of DeepSeek */
	bool cached_at_top;        /* "cached_tokens" beside the totals */
	bool headers;              /* counts in header fields too */
	const char *comment;       /* between chunks */
	const char *cost;          /* how the charge is told: "cost", "ticks", "total_cost"; NULL: not */
	const char *finish, *tier; /* finish_reason of a complete answer; service_tier, or NULL */
};

const char *seller_name(enum seller);             /* also the provider in the bill */
const char *seller_request_id_field(enum seller); /* header field naming the request */
const struct dialect *seller_dialect(enum seller);
/* Takes "/as-NAME" off the path, or goes by the host; else *ret is left as it is. */
struct slice seller_find(struct slice path, struct slice host, enum seller *ret) NONNULL(3);
/* The error body. */
int seller_error(enum seller, int status, const char *type, const char *message, struct buf *out)
    NONNULL(3, 4, 5) MUST_USE;
/* Header lines that go with it. */
const char *seller_error_fields(enum seller, int status);

#endif
