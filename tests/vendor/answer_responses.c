/* OpenAI responses: whole, streamed, and in the background. */
#include <string.h>

#include "tests/vendor/shape.h"

static int item(struct buf *out, const struct answer *a)
{
	TRY(buf_printf(out,
		       "{\"id\":\"msg_%s\",\"type\":\"message\",\"status\":\"%s\",\"role\":\"assistant\",\"content\":[{"
		       "\"type\":\"output_text\",\"text\":\"",
		       a->id, shape_cut_short(a) ? "incomplete" : "completed"));
	TRY(shape_text(out, a));
	return buf_printf(out, "\",\"annotations\":[],\"logprobs\":[]}]}");
}

int shape_response(struct buf *out, const struct answer *a, const char *status)
{
	uint64_t in = bill_input(&a->usage), o = a->usage.output;
	bool done = strcmp(status, "completed") == 0, cut = done && shape_cut_short(a);

	TRY(buf_printf(
	    out,
	    "{\"id\":\"resp_%s\",\"object\":\"response\",\"created_at\":" CREATED
	    ",\"status\":\"%s\",\"background\":%s,\"error\":null,\"incomplete_details\":%s,\"instructions\":null,"
	    "\"metadata\":{},\"model\":\"%s\",\"output\":[",
	    a->id, cut ? "incomplete" : status, a->request->background ? "true" : "false",
	    cut ? "{\"reason\":\"max_output_tokens\"}" : "null", shape_model(a)));
	if (done)
		TRY(item(out, a));
	TRY(buf_printf(out,
		       "],\"parallel_tool_calls\":true,\"temperature\":1.0,\"text\":{\"format\":{\"type\":\"text\"}}"
		       ",\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":1.0,\"service_tier\":\"default\""));
	if (!done)
		return buf_printf(out, ",\"usage\":null}");
	if (!a->with_usage)
		return buf_printf(out, "}");
	TRY(buf_printf(out,
		       ",\"usage\":{\"input_tokens\":%" PRIu64 ",\"input_tokens_details\":{\"cached_tokens\":%" PRIu64
		       "},\"output_tokens\":%" PRIu64 ",\"output_tokens_details\":{\"reasoning_tokens\":%" PRIu64 "},"
		       "\"total_tokens\":%" PRIu64,
		       in, a->usage.cached, o, a->request->script.reasoning, in + o));
	if (a->request->seller == SELLER_XAI)
		TRY(buf_printf(out, ",\"cost_in_usd_ticks\":%" PRId64, answer_price(a, o) * 10));
	return buf_printf(out, "}}");
}

static int whole(struct answer *a, struct buf *out)
{
	return shape_response(out, a, a->request->background ? "queued" : "completed");
}

static int event(struct buf *out, const char *type, uint64_t sequence)
{
	return buf_printf(out, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%" PRIu64 ",", type, type,
			  sequence);
}

static int begin(struct answer *a, struct buf *out)
{
	TRY(event(out, "response.created", 0));
	TRY(buf_printf(out, "\"response\":"));
	TRY(shape_response(out, a, "in_progress"));
	TRY(buf_printf(out, "}\n\n"));
	TRY(event(out, "response.in_progress", 1));
	TRY(buf_printf(out, "\"response\":"));
	TRY(shape_response(out, a, "in_progress"));
	TRY(buf_printf(out, "}\n\n"));
	TRY(event(out, "response.output_item.added", 2));
	TRY(buf_printf(out,
		       "\"output_index\":0,\"item\":{\"id\":\"msg_%s\",\"type\":\"message\",\"status\":\"in_progress\","
		       "\"role\":\"assistant\",\"content\":[]}}\n\n",
		       a->id));
	TRY(event(out, "response.content_part.added", 3));
	return buf_printf(out,
			  "\"item_id\":\"msg_%s\",\"output_index\":0,\"content_index\":0,\"part\":{\"type\":"
			  "\"output_text\",\"text\":\"\",\"annotations\":[],\"logprobs\":[]}}\n\n",
			  a->id);
}

static int content(struct answer *a, struct buf *out, uint64_t from, uint64_t to)
{
	TRY(event(out, "response.output_text.delta", 3 + a->piece));
	TRY(buf_printf(out, "\"item_id\":\"msg_%s\",\"output_index\":0,\"content_index\":0,\"delta\":\"", a->id));
	TRY(shape_words(out, a, from, to));
	return buf_printf(out, "\",\"logprobs\":[]}\n\n");
}

static int end(struct answer *a, struct buf *out)
{
	uint64_t sequence = 3 + a->piece;

	TRY(event(out, "response.output_text.done", sequence));
	TRY(buf_printf(out, "\"item_id\":\"msg_%s\",\"output_index\":0,\"content_index\":0,\"logprobs\":[],\"text\":\"",
		       a->id));
	TRY(shape_text(out, a));
	TRY(buf_printf(out, "\"}\n\n"));
	TRY(event(out, "response.content_part.done", sequence + 1));
	TRY(buf_printf(
	    out,
	    "\"item_id\":\"msg_%s\",\"output_index\":0,\"content_index\":0,\"part\":{\"type\":\"output_text\","
	    "\"annotations\":[],\"logprobs\":[],\"text\":\"",
	    a->id));
	TRY(shape_text(out, a));
	TRY(buf_printf(out, "\"}}\n\n"));
	TRY(event(out, "response.output_item.done", sequence + 2));
	TRY(buf_printf(out, "\"output_index\":0,\"item\":"));
	TRY(item(out, a));
	TRY(buf_printf(out, "}\n\n"));
	TRY(event(out, shape_cut_short(a) ? "response.incomplete" : "response.completed", sequence + 3));
	TRY(buf_printf(out, "\"response\":"));
	TRY(shape_response(out, a, "completed"));
	return buf_printf(out, "}\n\n");
}

const struct shape shape_responses = {whole, begin, content, end, NULL, NULL, NULL};
