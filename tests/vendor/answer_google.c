/* Gemini API and Vertex: generateContent, embeddings, token counting. */
#include "tests/vendor/shape.h"

static int open_chunk(struct buf *out)
{
	return buf_printf(out, "{\"candidates\":[");
}

static int tail(struct buf *out, const struct answer *a, uint64_t output)
{
	uint64_t in = bill_input(&a->usage), thought = a->request->script.reasoning;

	TRY(buf_printf(out, "],\"modelVersion\":\"%s\",\"responseId\":\"%s\"", shape_model(a), a->id));
	if (a->with_usage) {
		TRY(buf_printf(out,
			       ",\"usageMetadata\":{\"promptTokenCount\":%" PRIu64 ",\"candidatesTokenCount\":%" PRIu64
			       ",\"totalTokenCount\":%" PRIu64,
			       in, output - (thought < output ? thought : output), in + output));
		if (thought)
			TRY(buf_printf(out, ",\"thoughtsTokenCount\":%" PRIu64, thought < output ? thought : output));
		if (a->usage.cached)
			TRY(buf_printf(out, ",\"cachedContentTokenCount\":%" PRIu64, a->usage.cached));
		TRY(buf_printf(out, ",\"promptTokensDetails\":[{\"modality\":\"TEXT\",\"tokenCount\":%" PRIu64 "}]}",
			       in));
	}
	return buf_printf(out, "}");
}

static int candidates(struct answer *a, struct buf *out, uint64_t from, uint64_t to, bool all, bool last)
{
	for (uint64_t i = 0; i < a->request->candidates; i++) {
		TRY(buf_printf(out, "%s{\"content\":{\"parts\":[{\"text\":\"", i ? "," : ""));
		if (all)
			TRY(shape_text(out, a));
		else
			TRY(shape_words(out, a, from, to));
		TRY(buf_printf(out, "\"}],\"role\":\"model\"}"));
		if (last)
			TRY(buf_printf(out, ",\"finishReason\":\"%s\"", shape_cut_short(a) ? "MAX_TOKENS" : "STOP"));
		TRY(buf_printf(out, ",\"index\":%" PRIu64 "}", i));
	}
	return BUR_OK;
}

static int whole(struct answer *a, struct buf *out)
{
	TRY(open_chunk(out));
	TRY(candidates(a, out, 0, 0, true, true));
	return tail(out, a, a->usage.output);
}

static int chunk(struct answer *a, struct buf *out, uint64_t from, uint64_t to, bool last)
{
	bool array = a->request->json_array;

	if (array)
		TRY(buf_printf(out, "%s", a->piece == 1 || (last && a->chunks == 0) ? "[" : ",\r\n"));
	else
		TRY(buf_printf(out, "data: "));
	TRY(open_chunk(out));
	TRY(candidates(a, out, from, to, false, last));
	TRY(tail(out, a, a->generated));
	return buf_printf(out, "%s", !array ? "\r\n\r\n" : last ? "\n]\n" : "\n");
}

static int begin(struct answer *a, struct buf *out)
{
	(void)a;
	(void)out;
	return BUR_OK; /* Gemini has no preamble */
}

static int content(struct answer *a, struct buf *out, uint64_t from, uint64_t to)
{
	return chunk(a, out, from, to, false);
}

static int end(struct answer *a, struct buf *out)
{
	return chunk(a, out, 0, 0, true);
}

static int count_whole(struct answer *a, struct buf *out)
{
	return buf_printf(out, "{\"totalTokens\":%" PRIu64 "}", bill_input(&a->usage));
}

static int embed_usage(struct answer *a, struct buf *out)
{
	return a->with_usage
		   ? buf_printf(out, ",\"usageMetadata\":{\"promptTokenCount\":%" PRIu64 "}}", bill_input(&a->usage))
		   : buf_printf(out, "}");
}

static int embed_whole(struct answer *a, struct buf *out)
{
	TRY(buf_printf(out, "{\"embedding\":{\"values\":[0.5,0.5,0.5,0.5]}"));
	return embed_usage(a, out);
}

static int embeds_whole(struct answer *a, struct buf *out)
{
	TRY(buf_printf(out, "{\"embeddings\":["));
	for (uint64_t i = 0; i < a->request->inputs; i++)
		TRY(buf_printf(out, "%s{\"values\":[0.5,0.5,0.5,0.5]}", i ? "," : ""));
	TRY(buf_printf(out, "]"));
	return embed_usage(a, out);
}

const struct shape shape_generate = {whole, begin, content, end, NULL, NULL, NULL};
const struct shape shape_google_count = {.whole = count_whole};
const struct shape shape_embed_content = {.whole = embed_whole};
const struct shape shape_embed_contents = {.whole = embeds_whole};
