/* Ollama's own API: one JSON object a line. */
#include "tests/vendor/shape.h"

#define WHEN "\"created_at\":\"2026-11-21T00:00:00.000000Z\""

static int open_line(struct buf *out, const struct answer *a)
{
	return buf_printf(out, "{\"model\":\"%s\"," WHEN ",%s", shape_model(a),
			  a->request->api == API_OLLAMA_CHAT ? "\"message\":{\"role\":\"assistant\",\"content\":\""
							     : "\"response\":\"");
}

static const char *close_text(const struct answer *a)
{
	return a->request->api == API_OLLAMA_CHAT ? "\"}" : "\"";
}

static int close_last(struct buf *out, const struct answer *a)
{
	TRY(buf_printf(
	    out, "%s,\"done\":true,\"done_reason\":\"%s\",\"total_duration\":4883583458,\"load_duration\":1334875",
	    close_text(a), shape_cut_short(a) ? "length" : "stop"));
	if (a->with_usage)
		TRY(buf_printf(out,
			       ",\"prompt_eval_count\":%" PRIu64
			       ",\"prompt_eval_duration\":342546000,\"eval_count\":%" PRIu64
			       ",\"eval_duration\":4535599000",
			       bill_input(&a->usage), a->usage.output));
	return buf_printf(out, "}");
}

static int whole(struct answer *a, struct buf *out)
{
	TRY(open_line(out, a));
	TRY(shape_text(out, a));
	return close_last(out, a);
}

static int begin(struct answer *a, struct buf *out)
{
	(void)a;
	(void)out;
	return BUR_OK;
}

static int content(struct answer *a, struct buf *out, uint64_t from, uint64_t to)
{
	TRY(open_line(out, a));
	TRY(shape_words(out, a, from, to));
	return buf_printf(out, "%s,\"done\":false}\n", close_text(a));
}

static int end(struct answer *a, struct buf *out)
{
	TRY(open_line(out, a));
	TRY(close_last(out, a));
	return buf_printf(out, "\n");
}

static int embed_whole(struct answer *a, struct buf *out)
{
	uint64_t n = a->request->inputs ? a->request->inputs : 1;

	TRY(buf_printf(out, "{\"model\":\"%s\",\"embeddings\":[", shape_model(a)));
	for (uint64_t i = 0; i < n; i++)
		TRY(buf_printf(out, "%s[0.5,0.5,0.5,0.5]", i ? "," : ""));
	TRY(buf_printf(out, "],\"total_duration\":14143917,\"load_duration\":1019500"));
	if (a->with_usage)
		TRY(buf_printf(out, ",\"prompt_eval_count\":%" PRIu64, bill_input(&a->usage)));
	return buf_printf(out, "}");
}

const struct shape shape_ollama_chat = {whole, begin, content, end, NULL, NULL, NDJSON_TYPE};
const struct shape shape_ollama_generate = {whole, begin, content, end, NULL, NULL, NDJSON_TYPE};
const struct shape shape_ollama_embed = {.whole = embed_whole};
