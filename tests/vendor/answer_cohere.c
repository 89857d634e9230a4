/* Cohere v2: chat, embed, rerank. What is billed stands in billed_units; the raw counts beside it are larger. */
#include "tests/vendor/shape.h"

#define TEMPLATE_TOKENS 66 /* hidden, counted, not billed */

/* Counts are reals in streams. */
static int put_usage(struct buf *out, const struct answer *a, const char *real)
{
	uint64_t in = bill_input(&a->usage), o = a->usage.output;

	return buf_printf(out,
			  "\"usage\":{\"billed_units\":{\"input_tokens\":%" PRIu64 "%s,\"output_tokens\":%" PRIu64
			  "%s},\"tokens\":{\"input_tokens\":%" PRIu64 "%s,\"output_tokens\":%" PRIu64
			  "%s},\"cached_tokens\":%" PRIu64 "%s}",
			  in, real, o, real, in + TEMPLATE_TOKENS, real, o, real, a->usage.cached, real);
}

static const char *finish(const struct answer *a)
{
	return shape_cut_short(a) ? "MAX_TOKENS" : "COMPLETE";
}

static int whole(struct answer *a, struct buf *out)
{
	TRY(buf_printf(
	    out,
	    "{\"id\":\"%s\",\"finish_reason\":\"%s\",\"message\":{\"role\":\"assistant\",\"content\":[{\"type\":"
	    "\"text\",\"text\":\"",
	    a->id, finish(a)));
	TRY(shape_text(out, a));
	TRY(buf_printf(out, "\"}]}"));
	if (a->with_usage) {
		TRY(buf_printf(out, ","));
		TRY(put_usage(out, a, ""));
	}
	return buf_printf(out, "}");
}

static int begin(struct answer *a, struct buf *out)
{
	return buf_printf(
	    out,
	    "event: message-start\ndata: {\"id\":\"%s\",\"type\":\"message-start\",\"delta\":{\"message\":{"
	    "\"role\":\"assistant\",\"content\":[],\"tool_plan\":\"\",\"tool_calls\":[],\"citations\":[]}}}"
	    "\n\nevent: content-start\ndata: {\"type\":\"content-start\",\"index\":0,\"delta\":{\"message\":"
	    "{\"content\":{\"type\":\"text\",\"text\":\"\"}}}}\n\n",
	    a->id);
}

static int content(struct answer *a, struct buf *out, uint64_t from, uint64_t to)
{
	TRY(buf_printf(out,
		       "event: content-delta\ndata: {\"type\":\"content-delta\",\"index\":0,\"delta\":{\"message\":{"
		       "\"content\":{\"text\":\""));
	TRY(shape_words(out, a, from, to));
	return buf_printf(out, "\"}}}}\n\n");
}

static int end(struct answer *a, struct buf *out)
{
	TRY(buf_printf(out,
		       "event: content-end\ndata: {\"type\":\"content-end\",\"index\":0}\n\nevent: message-end\ndata: {"
		       "\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"%s\"",
		       finish(a)));
	if (a->with_usage) {
		TRY(buf_printf(out, ","));
		TRY(put_usage(out, a, ".0"));
	}
	return buf_printf(out, "}}\n\n");
}

static int embed_whole(struct answer *a, struct buf *out)
{
	uint64_t n = a->request->inputs ? a->request->inputs : 1;

	TRY(buf_printf(out, "{\"id\":\"%s\",\"embeddings\":{\"float\":[", a->id));
	for (uint64_t i = 0; i < n; i++)
		TRY(buf_printf(out, "%s[0.5,0.5,0.5,0.5]", i ? "," : ""));
	TRY(buf_printf(out, "]},\"texts\":[],\"meta\":{\"api_version\":{\"version\":\"2\"}"));
	if (a->with_usage)
		TRY(buf_printf(out, ",\"billed_units\":{\"input_tokens\":%" PRIu64 "}", bill_input(&a->usage)));
	return buf_printf(out, "},\"response_type\":\"embeddings_by_type\"}");
}

static int rerank_whole(struct answer *a, struct buf *out)
{
	TRY(buf_printf(out, "{\"id\":\"%s\",\"results\":[", a->id));
	for (uint64_t i = 0; i < a->request->inputs; i++)
		TRY(buf_printf(out, "%s{\"index\":%" PRIu64 ",\"relevance_score\":0.5}", i ? "," : "", i));
	TRY(buf_printf(out, "],\"meta\":{\"api_version\":{\"version\":\"2\"}"));
	if (a->with_usage)
		TRY(buf_printf(out, ",\"billed_units\":{\"search_units\":%" PRIu64 "}", a->usage.searches));
	return buf_printf(out, "}}");
}

const struct shape shape_cohere_chat = {whole, begin, content, end, NULL, NULL, NULL};
const struct shape shape_cohere_embed = {.whole = embed_whole};
const struct shape shape_cohere_rerank = {.whole = rerank_whole};
