/* api.h - which vendor API is this call? One table of method, path pattern and kind per family.
 *
 * Pure, any thread. Adding a vendor that speaks a known family is configuration, not code. */
#ifndef METER_API_H
#define METER_API_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/slice.h"
#include "price/price.h"

/* Decides the shape of errors and which routes there are. */
enum api_family {
	FAMILY_OTHER,
	FAMILY_OPENAI, /* and all that are compatible: Groq, Together, xAI, DeepSeek, Fireworks, vLLM, … */
	FAMILY_AZURE,  /* routes of its own; its errors are OpenAI's, or Anthropic's below /anthropic */
	FAMILY_ANTHROPIC,
	FAMILY_GOOGLE, /* Gemini API and Vertex */
	FAMILY_AWS,    /* Bedrock */
	FAMILY_COHERE,
	FAMILY_MISTRAL,
	FAMILY_OPENROUTER,
	FAMILY_OLLAMA,
};

enum api_kind {
	API_UNKNOWN,        /* not in the table: refused on a metered host while a hard budget applies */
	API_FREE,           /* known and unbilled: lists of models, token counting, … */
	API_CHAT,           /* OpenAI chat completions, also of compatibles (fim, agents) */
	API_RESPONSES,      /* OpenAI responses */
	API_EMBEDDINGS,     /* OpenAI embeddings */
	API_MESSAGES,       /* Anthropic messages, also rawPredict and streamRawPredict of Vertex */
	API_GENERATE,       /* Gemini generateContent, and streamGenerateContent in SSE or array form */
	API_COMPLETIONS,    /* OpenAI completions (prompt, best_of) */
	API_MODERATIONS,    /* metered at no price */
	API_IMAGES,         /* images/generations, edits, variations */
	API_SPEECH,         /* text to speech */
	API_TRANSCRIPTIONS, /* and translations: speech to text */
	API_RESPONSE_LATE,  /* GET of a stored or background response: its bill may come here */
	API_BATCH_SUBMIT,   /* a batch is ordered: held then, billed when its result is fetched */
	API_BATCH,          /* GET of a batch object */
	API_FILE_UPLOAD,    /* unbilled; a batch that is ordered later may consist of the file's lines (batch_file.h) */
	API_BATCH_RESULTS,  /* JSON lines of a batch's results (OpenAI file content, Anthropic results) */
	API_INTERACTIONS,   /* Gemini interactions, POST */
	API_INTERACTION_LATE, /* GET of one */
	API_EMBED_CONTENT,    /* Gemini embedContent, batchEmbedContents */
	API_PREDICT,          /* Vertex :predict (embeddings; images by sample count) */
	API_CONVERSE,         /* Bedrock Converse, and ConverseStream in event stream framing */
	API_INVOKE,           /* Bedrock InvokeModel, and its stream: the vendor's body inside */
	API_COHERE_CHAT,      /* v2/chat */
	API_COHERE_UNITS,     /* embed, rerank, classify, v1: meta.billed_units */
	API_OCR,              /* Mistral */
	API_OLLAMA,           /* api/chat, api/generate: NDJSON */
	API_OLLAMA_EMBED,     /* api/embed, api/embeddings */
	API_REALTIME,         /* WebSocket: OpenAI realtime, responses; frames of the server */
	API_GENERIC,          /* no LLM: a rule of the configuration says what it costs (generic.h) */
	API_KIND_COUNT
};

struct api_match {
	enum api_kind kind;
	enum api_family family; /* whose errors this route speaks; never FAMILY_AZURE */
	struct slice model; /* from the path, percent-encoded as sent (api_decode_model); empty: the body names it */
	bool stream_by_path;
	bool model_is_deployment; /* Azure, tuned endpoints: the model, in path or body, is the operator's own name */
	bool model_is_final;      /* Bedrock: the path's model is the price key, whatever the body says */
	struct slice late_id;     /* id in the path under which a bill is known (response, batch, file); else empty */
};

enum provider_trait {
	PROVIDER_SENDS_USAGE = 1, /* streams tell their usage unasked: the request is never edited for it */
	PROVIDER_FULL_BILL = 2,   /* an abandoned stream is generated and billed to its end */
	PROVIDER_TELLS_COST = 8,  /* what its answers say a call cost is what it charges */
	PROVIDER_LOCAL = 4,       /* usually runs on the operator's own machines: a price of nothing may be right */
};

struct provider {
	const char *name; /* label in configuration and ledger: "bedrock" */
	enum api_family family;
	const char *const *hosts;   /* patterns, NULL-terminated: as in host_matches, or one '*' inside a label */
	const char *default_origin; /* "https://api.openai.com"; NULL: each customer has one of its own */
	const char *gateway_prefix; /* "openai": served under /openai/ */
	const char *price_id;       /* the price book's provider: "aws" */
	unsigned traits;            /* enum provider_trait */
};

/* The shipped providers; n entries. */
const struct provider *providers_builtin(size_t *ret_n) NONNULL(1);
/* The shipped provider of this name, or NULL. */
const struct provider *provider_builtin(struct slice name);
/* What holds for every provider of a family. */
unsigned api_family_traits(enum api_family);
/* "openai", "bedrock", "gemini", or the name of a shipped provider ("groq") to family; FAMILY_OTHER when unknown. */
enum api_family api_family_from_name(struct slice name);
/* The family whose errors stand for this one where no route tells. */
enum api_family api_family_shape(enum api_family);
const char *api_kind_name(enum api_kind);
/* Known and unbilled whatever is in it: no budget is asked, and the ledger has no row of it. */
bool api_kind_is_unbilled(enum api_kind);
/* `path` without query, as sent to the vendor ("/v1/chat/completions"). */
struct api_match api_classify(enum api_family, struct slice method, struct slice path);
/* Percent-decodes a model of a path, NUL-terminated. BUR_OK, BUR_INVALID (malformed, or a control character),
 * BUR_TOOBIG.
 */
int api_decode_model(struct slice model, char *dst, size_t dst_size) NONNULL(2) MUST_USE;
/* Whether the vendor key in this request stands in the URL (`?key=`), which must never be logged. */
bool api_query_has_secret(struct slice query);
/* Whether the query asks Google for a part of the answer only ("fields", a parameter of all Google APIs: Google Cloud,
 * "System parameters"), so that the usage in it may be missing or not all. */
bool api_query_has_mask(struct slice query);

#endif
