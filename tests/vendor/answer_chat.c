/* Chat completions and completions: OpenAI, and all who speak alike, each in its dialect. */
#include <string.h>

#include "tests/vendor/shape.h"

static const struct dialect *dialect(const struct answer *a)
{
	return seller_dialect(a->request->seller);
}

static bool is_chat(const struct answer *a)
{
	return a->request->api == API_CHAT;
}

/* --- usage ---------------------------------------------------------------------------------------------------------
 */

static int put_cost(struct buf *out, const struct answer *a, uint64_t output)
{
	const char *how = dialect(a)->cost;
	int64_t nanousd = answer_price(a, output);

	if (!how)
		return BUR_OK;
	if (strcmp(how, "ticks") == 0)
		return buf_printf(out, ",\"num_sources_used\":0,\"cost_in_usd_ticks\":%" PRId64, nanousd * 10);
	if (strcmp(how, "total_cost") == 0) {
		TRY(buf_printf(out, ",\"search_context_size\":\"low\",\"cost\":{\"total_cost\":"));
		TRY(shape_dollars(out, nanousd));
		return buf_printf(out, "}");
	}
	TRY(buf_printf(out, ",\"is_byok\":false,\"cost_details\":{\"upstream_inference_cost\":null,\"upstream_"
			    "inference_prompt_cost\":0,\"upstream_inference_completions_cost\":0},\"cost\":"));
	return shape_dollars(out, nanousd);
}

static int put_details(struct buf *out, const struct answer *a)
{
	const struct bill_usage *u = &a->usage;
	const struct dialect *d = dialect(a);

	if (d->cached_at_top)
		return buf_printf(out, ",\"cached_tokens\":%" PRIu64, u->cached);
	if (d->hit_and_miss)
		TRY(buf_printf(out, ",\"prompt_cache_hit_tokens\":%" PRIu64 ",\"prompt_cache_miss_tokens\":%" PRIu64,
			       u->cached, bill_input(u) - u->cached));
	TRY(buf_printf(out, ",\"prompt_tokens_details\":{\"cached_tokens\":%" PRIu64 ",\"audio_tokens\":0", u->cached));
	if (u->write_5m)
		TRY(buf_printf(out, ",\"cache_write_tokens\":%" PRIu64, u->write_5m));
	return buf_printf(out,
			  "},\"completion_tokens_details\":{\"reasoning_tokens\":%" PRIu64
			  ",\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}",
			  a->request->script.reasoning);
}

/* "{...}" after so many output tokens. */
static int put_usage(struct buf *out, const struct answer *a, uint64_t output)
{
	uint64_t in = bill_input(&a->usage), apart = dialect(a)->reasoning_apart ? a->request->script.reasoning : 0;

	TRY(buf_printf(out,
		       "{\"prompt_tokens\":%" PRIu64 ",\"completion_tokens\":%" PRIu64 ",\"total_tokens\":%" PRIu64, in,
		       output - (apart < output ? apart : output), in + output));
	TRY(put_details(out, a));
	TRY(put_cost(out, a, output));
	return buf_printf(out, "}");
}

static int fields(const struct answer *a, struct buf *out)
{
	if (!dialect(a)->headers)
		return BUR_OK;
	return buf_printf(out,
			  "fireworks-prompt-tokens: %" PRIu64 "\r\nfireworks-cached-prompt-tokens: %" PRIu64 "\r\n",
			  bill_input(&a->usage), a->usage.cached);
}

/* --- whole ---------------------------------------------------------------------------------------------------------
 */

static int put_id(struct buf *out, const struct answer *a, const char *object)
{
	return buf_printf(out, "\"id\":\"%s-%s\",\"object\":\"%s\",\"created\":" CREATED ",\"model\":\"%s\"",
			  is_chat(a) ? "chatcmpl" : "cmpl", a->id, object, shape_model(a));
}

static int put_tier(struct buf *out, const struct answer *a)
{
	const char *tier = dialect(a)->tier;

	if (tier)
		TRY(buf_printf(out, ",\"service_tier\":\"%s\"", tier));
	return buf_printf(out, ",\"system_fingerprint\":\"fp_vendor\"");
}

static const char *finish(const struct answer *a)
{
	return shape_cut_short(a) ? "length" : dialect(a)->finish;
}

static int whole(struct answer *a, struct buf *out)
{
	TRY(buf_printf(out, "{"));
	TRY(put_id(out, a, is_chat(a) ? "chat.completion" : "text_completion"));
	TRY(buf_printf(out, ",\"choices\":["));
	for (uint64_t i = 0; i < a->request->candidates; i++) {
		TRY(buf_printf(out, "%s{\"index\":%" PRIu64 ",%s", i ? "," : "", i,
			       is_chat(a) ? "\"message\":{\"role\":\"assistant\",\"content\":\"" : "\"text\":\""));
		TRY(shape_text(out, a));
		TRY(buf_printf(out, "\"%s,\"logprobs\":null,\"finish_reason\":\"%s\"}",
			       is_chat(a) ? ",\"refusal\":null,\"annotations\":[]}" : "", finish(a)));
	}
	TRY(buf_printf(out, "]"));
	if (a->with_usage) {
		TRY(buf_printf(out, ",\"usage\":"));
		TRY(put_usage(out, a, a->usage.output));
	}
	TRY(put_tier(out, a));
	return buf_printf(out, "}");
}

/* --- stream --------------------------------------------------------------------------------------------------------
 */

static int chunk_open(struct buf *out, const struct answer *a)
{
	TRY(buf_printf(out, "data: {"));
	TRY(put_id(out, a, is_chat(a) ? "chat.completion.chunk" : "text_completion"));
	TRY(put_tier(out, a));
	return buf_printf(out, ",\"choices\":[");
}

/* "usage" behind the choices of a chunk, where the dialect has it; `last`: with the finish_reason. */
static int chunk_usage(struct buf *out, const struct answer *a, bool last)
{
	const struct dialect *d = dialect(a);
	bool asks = d->usage == USAGE_IF_ASKED || d->usage == USAGE_X_GROQ;

	if (a->with_usage && (d->usage == USAGE_EVERYWHERE || (d->usage == USAGE_LAST && last))) {
		TRY(buf_printf(out, ",\"usage\":"));
		return put_usage(out, a, a->generated);
	}
	return d->nulls || (asks && a->request->include_usage) ? buf_printf(out, ",\"usage\":null") : BUR_OK;
}

static int chunk_close(struct buf *out, const struct answer *a, bool first, bool last)
{
	bool groq = dialect(a)->usage == USAGE_X_GROQ;

	TRY(buf_printf(out, "]"));
	TRY(chunk_usage(out, a, last));
	if (groq && (first || last))
		TRY(buf_printf(out, ",\"x_groq\":{\"id\":\"req_%s\"", a->id));
	if (groq && last && a->with_usage) {
		TRY(buf_printf(out, ",\"usage\":"));
		TRY(put_usage(out, a, a->usage.output));
	}
	return buf_printf(out, "%s}\n\n", groq && (first || last) ? "}" : "");
}

static int put_comment(struct buf *out, const struct answer *a)
{
	const char *comment = dialect(a)->comment;

	return comment ? buf_append(out, comment, strlen(comment)) : BUR_OK;
}

static int begin(struct answer *a, struct buf *out)
{
	TRY(put_comment(out, a));
	if (dialect(a)->filter_chunk)
		TRY(buf_printf(out,
			       "data: {\"choices\":[],\"created\":0,\"id\":\"\",\"model\":\"\",\"object\":\"\","
			       "\"prompt_filter_results\":[{\"prompt_index\":0,\"content_filter_results\":{}}]}\n\n"));
	if (!is_chat(a))
		return BUR_OK;
	TRY(chunk_open(out, a));
	for (uint64_t i = 0; i < a->request->candidates; i++)
		TRY(buf_printf(out,
			       "%s{\"index\":%" PRIu64
			       ",\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":"
			       "null},\"logprobs\":null,\"finish_reason\":null}",
			       i ? "," : "", i));
	return chunk_close(out, a, true, false);
}

static int content(struct answer *a, struct buf *out, uint64_t from, uint64_t to)
{
	TRY(chunk_open(out, a));
	for (uint64_t i = 0; i < a->request->candidates; i++) {
		TRY(buf_printf(out, "%s{\"index\":%" PRIu64 ",%s\"", i ? "," : "", i,
			       is_chat(a) ? "\"delta\":{\"content\":" : "\"text\":"));
		TRY(shape_words(out, a, from, to));
		TRY(buf_printf(out, "\"%s,\"logprobs\":null,\"finish_reason\":null}", is_chat(a) ? "}" : ""));
	}
	return chunk_close(out, a, false, false);
}

static int usage_chunk(struct buf *out, const struct answer *a)
{
	TRY(chunk_open(out, a));
	TRY(buf_printf(out, "],\"usage\":"));
	TRY(put_usage(out, a, a->usage.output));
	return buf_printf(out, "}\n\n");
}

static int end(struct answer *a, struct buf *out)
{
	const struct dialect *d = dialect(a);
	bool asked = a->request->include_usage && (d->usage == USAGE_IF_ASKED || d->usage == USAGE_X_GROQ);

	TRY(put_comment(out, a));
	TRY(chunk_open(out, a));
	for (uint64_t i = 0; i < a->request->candidates; i++)
		TRY(buf_printf(out, "%s{\"index\":%" PRIu64 ",%s,\"logprobs\":null,\"finish_reason\":\"%s\"}",
			       i ? "," : "", i, is_chat(a) ? "\"delta\":{}" : "\"text\":\"\"", finish(a)));
	TRY(chunk_close(out, a, false, true));
	if (a->with_usage && (asked || d->usage == USAGE_OWN_CHUNK))
		TRY(usage_chunk(out, a));
	return d->no_done ? BUR_OK : buf_printf(out, "data: [DONE]\n\n");
}

const struct shape shape_chat = {whole, begin, content, end, fields, NULL, NULL};
const struct shape shape_completions = {whole, begin, content, end, fields, NULL, NULL};
