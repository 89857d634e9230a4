#include "tests/vendor/answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

#define CREATED "1793000000"
#define CHUNKS_DEFAULT_MAX 20

/* One token of the usual vocabularies each. */
static const char *const words[] = {" the",   " money", " is",   " counted", " before", " it",     " leaves", " and",
				    " after", " every", " word", " of",      " an",     " answer", " comes",  " back"};

#define TRY(call)                                                                                                      \
	do {                                                                                                           \
		int try_ = (call);                                                                                     \
		if (try_ < 0)                                                                                          \
			return try_;                                                                                   \
	} while (0)

static uint64_t per_candidate(const struct answer *a)
{
	return a->usage.output / a->request->candidates;
}

static bool cut_short(const struct answer *a)
{
	const struct request *r = a->request;

	return r->has_max_out && r->script.has_out && r->script.out > r->max_out;
}

/* Tokens [from, to) of the text. */
static int put_words(struct buf *out, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++) {
		const char *w = words[i % ARRAY_LEN(words)];

		TRY(buf_append(out, w, strlen(w)));
	}
	return BUR_OK;
}

static int put_text(struct buf *out, const struct answer *a)
{
	char *room;

	TRY(put_words(out, 0, per_candidate(a)));
	if (a->pad_bytes == 0)
		return BUR_OK;
	room = buf_reserve(out, a->pad_bytes, NULL);
	if (!room)
		return BUR_TOOBIG;
	memset(room, 'x', a->pad_bytes);
	buf_commit(out, a->pad_bytes);
	return BUR_OK;
}

void answer_init(struct answer *a, const struct request *r, uint64_t number)
{
	const struct script *s = &r->script;
	uint64_t in = request_input_tokens(r), per;

	memset(a, 0, sizeof(*a));
	a->request = r;
	a->usage.cached = s->cached < in ? s->cached : in;
	in -= a->usage.cached;
	a->usage.write_5m = s->write_5m < in ? s->write_5m : in;
	in -= a->usage.write_5m;
	a->usage.write_1h = s->write_1h < in ? s->write_1h : in;
	a->usage.fresh = in - a->usage.write_1h;
	a->usage.output = request_output_tokens(r);
	a->with_usage = s->fault != FAULT_NO_USAGE;
	if (s->call[0])
		(void)snprintf(a->id, sizeof(a->id), "%s", s->call);
	else
		(void)snprintf(a->id, sizeof(a->id), "%016" PRIx64, number);
	per = per_candidate(a);
	a->chunks = s->chunks ? s->chunks : per < CHUNKS_DEFAULT_MAX ? per : CHUNKS_DEFAULT_MAX;
	if (a->chunks > per)
		a->chunks = per;
}

static uint64_t input_sum(const struct answer *a)
{
	const struct bill_usage *u = &a->usage;

	return u->fresh + u->cached + u->write_5m + u->write_1h;
}

/* --- OpenAI chat ---------------------------------------------------------------------------------------------------
 */

static int chat_usage(struct buf *out, const struct answer *a)
{
	uint64_t in = input_sum(a), o = a->usage.output;

	return buf_printf(out,
			  "\"usage\":{\"prompt_tokens\":%" PRIu64 ",\"completion_tokens\":%" PRIu64
			  ",\"total_tokens\":%" PRIu64 ",\"prompt_tokens_details\":{\"cached_tokens\":%" PRIu64
			  ",\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0,"
			  "\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}",
			  in, o, in + o, a->usage.cached);
}

static const char *chat_finish(const struct answer *a)
{
	return cut_short(a) ? "length" : "stop";
}

static int chat_whole(struct answer *a, struct buf *out)
{
	TRY(buf_printf(out,
		       "{\"id\":\"chatcmpl-%s\",\"object\":\"chat.completion\",\"created\":" CREATED
		       ",\"model\":\"%s\",\"choices\":[",
		       a->id, a->request->model));
	for (uint64_t i = 0; i < a->request->candidates; i++) {
		TRY(buf_printf(out, "%s{\"index\":%" PRIu64 ",\"message\":{\"role\":\"assistant\",\"content\":\"",
			       i ? "," : "", i));
		TRY(put_text(out, a));
		TRY(buf_printf(out,
			       "\",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"%s\"}",
			       chat_finish(a)));
	}
	TRY(buf_printf(out, "]"));
	if (a->with_usage) {
		TRY(buf_printf(out, ","));
		TRY(chat_usage(out, a));
	}
	return buf_printf(out, ",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_vendor\"}");
}

static int chat_chunk_open(struct buf *out, const struct answer *a)
{
	return buf_printf(out,
			  "data: {\"id\":\"chatcmpl-%s\",\"object\":\"chat.completion.chunk\",\"created\":" CREATED
			  ",\"model\":\"%s\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_vendor\","
			  "\"choices\":[",
			  a->id, a->request->model);
}

static int chat_chunk_close(struct buf *out, const struct answer *a)
{
	return buf_printf(out, "]%s}\n\n", a->request->include_usage ? ",\"usage\":null" : "");
}

static int chat_begin(struct answer *a, struct buf *out)
{
	TRY(chat_chunk_open(out, a));
	for (uint64_t i = 0; i < a->request->candidates; i++)
		TRY(buf_printf(out,
			       "%s{\"index\":%" PRIu64
			       ",\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":"
			       "null},\"logprobs\":null,\"finish_reason\":null}",
			       i ? "," : "", i));
	return chat_chunk_close(out, a);
}

static int chat_content(struct answer *a, struct buf *out, uint64_t from, uint64_t to)
{
	TRY(chat_chunk_open(out, a));
	for (uint64_t i = 0; i < a->request->candidates; i++) {
		TRY(buf_printf(out, "%s{\"index\":%" PRIu64 ",\"delta\":{\"content\":\"", i ? "," : "", i));
		TRY(put_words(out, from, to));
		TRY(buf_printf(out, "\"},\"logprobs\":null,\"finish_reason\":null}"));
	}
	return chat_chunk_close(out, a);
}

static int chat_end(struct answer *a, struct buf *out)
{
	TRY(chat_chunk_open(out, a));
	for (uint64_t i = 0; i < a->request->candidates; i++)
		TRY(buf_printf(out, "%s{\"index\":%" PRIu64 ",\"delta\":{},\"logprobs\":null,\"finish_reason\":\"%s\"}",
			       i ? "," : "", i, chat_finish(a)));
	TRY(chat_chunk_close(out, a));
	if (a->request->include_usage && a->with_usage) {
		TRY(chat_chunk_open(out, a));
		TRY(buf_printf(out, "],"));
		TRY(chat_usage(out, a));
		TRY(buf_printf(out, "}\n\n"));
	}
	return buf_printf(out, "data: [DONE]\n\n");
}

/* --- OpenAI responses ----------------------------------------------------------------------------------------------
 */

static int responses_item(struct buf *out, const struct answer *a)
{
	TRY(buf_printf(out,
		       "{\"id\":\"msg_%s\",\"type\":\"message\",\"status\":\"%s\",\"role\":\"assistant\",\"content\":[{"
		       "\"type\":\"output_text\",\"text\":\"",
		       a->id, cut_short(a) ? "incomplete" : "completed"));
	TRY(put_text(out, a));
	return buf_printf(out, "\",\"annotations\":[],\"logprobs\":[]}]}");
}

/* `done`: with output and usage. */
static int responses_object(struct buf *out, const struct answer *a, bool done)
{
	uint64_t in = input_sum(a), o = a->usage.output;

	TRY(buf_printf(out,
		       "{\"id\":\"resp_%s\",\"object\":\"response\",\"created_at\":" CREATED
		       ",\"status\":\"%s\",\"error\":null,\"incomplete_details\":%s,\"instructions\":null,"
		       "\"metadata\":{},\"model\":\"%s\",\"output\":[",
		       a->id,
		       !done          ? "in_progress"
		       : cut_short(a) ? "incomplete"
				      : "completed",
		       done && cut_short(a) ? "{\"reason\":\"max_output_tokens\"}" : "null", a->request->model));
	if (done)
		TRY(responses_item(out, a));
	TRY(buf_printf(out,
		       "],\"parallel_tool_calls\":true,\"temperature\":1.0,\"text\":{\"format\":{\"type\":\"text\"}}"
		       ",\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":1.0,\"service_tier\":\"default\""));
	if (!done)
		return buf_printf(out, ",\"usage\":null}");
	if (!a->with_usage)
		return buf_printf(out, "}");
	return buf_printf(out,
			  ",\"usage\":{\"input_tokens\":%" PRIu64
			  ",\"input_tokens_details\":{\"cached_tokens\":%" PRIu64 "},\"output_tokens\":%" PRIu64
			  ",\"output_tokens_details\":{\"reasoning_tokens\":0},"
			  "\"total_tokens\":%" PRIu64 "}}",
			  in, a->usage.cached, o, in + o);
}

static int responses_event(struct buf *out, const char *type, uint64_t sequence)
{
	return buf_printf(out, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%" PRIu64 ",", type, type,
			  sequence);
}

static int responses_begin(struct answer *a, struct buf *out)
{
	TRY(responses_event(out, "response.created", 0));
	TRY(buf_printf(out, "\"response\":"));
	TRY(responses_object(out, a, false));
	TRY(buf_printf(out, "}\n\n"));
	TRY(responses_event(out, "response.in_progress", 1));
	TRY(buf_printf(out, "\"response\":"));
	TRY(responses_object(out, a, false));
	TRY(buf_printf(out, "}\n\n"));
	TRY(responses_event(out, "response.output_item.added", 2));
	TRY(buf_printf(out,
		       "\"output_index\":0,\"item\":{\"id\":\"msg_%s\",\"type\":\"message\",\"status\":\"in_progress\","
		       "\"role\":\"assistant\",\"content\":[]}}\n\n",
		       a->id));
	TRY(responses_event(out, "response.content_part.added", 3));
	return buf_printf(out,
			  "\"item_id\":\"msg_%s\",\"output_index\":0,\"content_index\":0,\"part\":{\"type\":"
			  "\"output_text\",\"text\":\"\",\"annotations\":[],\"logprobs\":[]}}\n\n",
			  a->id);
}

static int responses_content(struct answer *a, struct buf *out, uint64_t from, uint64_t to)
{
	TRY(responses_event(out, "response.output_text.delta", 3 + a->piece));
	TRY(buf_printf(out, "\"item_id\":\"msg_%s\",\"output_index\":0,\"content_index\":0,\"delta\":\"", a->id));
	TRY(put_words(out, from, to));
	return buf_printf(out, "\",\"logprobs\":[]}\n\n");
}

static int responses_end(struct answer *a, struct buf *out)
{
	uint64_t sequence = 3 + a->piece;

	TRY(responses_event(out, "response.output_text.done", sequence));
	TRY(buf_printf(out, "\"item_id\":\"msg_%s\",\"output_index\":0,\"content_index\":0,\"logprobs\":[],\"text\":\"",
		       a->id));
	TRY(put_text(out, a));
	TRY(buf_printf(out, "\"}\n\n"));
	TRY(responses_event(out, "response.content_part.done", sequence + 1));
	TRY(buf_printf(
	    out,
	    "\"item_id\":\"msg_%s\",\"output_index\":0,\"content_index\":0,\"part\":{\"type\":\"output_text\","
	    "\"annotations\":[],\"logprobs\":[],\"text\":\"",
	    a->id));
	TRY(put_text(out, a));
	TRY(buf_printf(out, "\"}}\n\n"));
	TRY(responses_event(out, "response.output_item.done", sequence + 2));
	TRY(buf_printf(out, "\"output_index\":0,\"item\":"));
	TRY(responses_item(out, a));
	TRY(buf_printf(out, "}\n\n"));
	TRY(responses_event(out, cut_short(a) ? "response.incomplete" : "response.completed", sequence + 3));
	TRY(buf_printf(out, "\"response\":"));
	TRY(responses_object(out, a, true));
	return buf_printf(out, "}\n\n");
}

/* --- OpenAI embeddings, models -------------------------------------------------------------------------------------
 */

static int embeddings_whole(struct answer *a, struct buf *out)
{
	/* Eight little-endian floats of 0.5. */
	const char *vector = a->request->base64 ? "\"AAAAPwAAAD8AAAA/AAAAPwAAAD8AAAA/AAAAPwAAAD8=\""
						: "[0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5]";
	uint64_t n = a->request->inputs ? a->request->inputs : 1;

	TRY(buf_printf(out, "{\"object\":\"list\",\"data\":["));
	for (uint64_t i = 0; i < n; i++)
		TRY(buf_printf(out, "%s{\"object\":\"embedding\",\"index\":%" PRIu64 ",\"embedding\":%s}", i ? "," : "",
			       i, vector));
	TRY(buf_printf(out, "],\"model\":\"%s\"", a->request->model));
	if (a->with_usage)
		TRY(buf_printf(out, ",\"usage\":{\"prompt_tokens\":%" PRIu64 ",\"total_tokens\":%" PRIu64 "}",
			       input_sum(a), input_sum(a)));
	return buf_printf(out, "}");
}

static int models_whole(struct buf *out)
{
	return buf_printf(out,
			  "{\"object\":\"list\",\"data\":[{\"id\":\"gpt-4.1-mini\",\"object\":\"model\",\"created\":"
			  "1744318707,\"owned_by\":\"system\"},{\"id\":\"gpt-4o\",\"object\":\"model\",\"created\":"
			  "1715367049,\"owned_by\":\"system\"}]}");
}

/* --- Anthropic -----------------------------------------------------------------------------------------------------
 */

static int messages_usage(struct buf *out, const struct answer *a, uint64_t output)
{
	const struct bill_usage *u = &a->usage;

	return buf_printf(out,
			  "\"usage\":{\"input_tokens\":%" PRIu64 ",\"cache_creation_input_tokens\":%" PRIu64
			  ",\"cache_read_input_tokens\":%" PRIu64
			  ",\"cache_creation\":{\"ephemeral_5m_input_tokens\":%" PRIu64
			  ",\"ephemeral_1h_input_tokens\":%" PRIu64 "},\"output_tokens\":%" PRIu64
			  ",\"service_tier\":\"standard\",\"server_tool_use\":null,\"inference_geo\":\"global\"}",
			  u->fresh, u->write_5m + u->write_1h, u->cached, u->write_5m, u->write_1h, output);
}

static const char *messages_stop(const struct answer *a)
{
	return cut_short(a) ? "max_tokens" : "end_turn";
}

static int messages_whole(struct answer *a, struct buf *out)
{
	TRY(buf_printf(out,
		       "{\"id\":\"msg_%s\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"%s\",\"content\":[{"
		       "\"type\":\"text\",\"text\":\"",
		       a->id, a->request->model));
	TRY(put_text(out, a));
	TRY(buf_printf(out, "\"}],\"stop_reason\":\"%s\",\"stop_sequence\":null", messages_stop(a)));
	if (a->with_usage) {
		TRY(buf_printf(out, ","));
		TRY(messages_usage(out, a, a->usage.output));
	}
	return buf_printf(out, "}");
}

static int messages_begin(struct answer *a, struct buf *out)
{
	TRY(buf_printf(
	    out,
	    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_%s\",\"type\":"
	    "\"message\",\"role\":\"assistant\",\"model\":\"%s\",\"content\":[],\"stop_reason\":null,"
	    "\"stop_sequence\":null",
	    a->id, a->request->model));
	if (a->with_usage) {
		TRY(buf_printf(out, ","));
		TRY(messages_usage(out, a, a->usage.output > 0 ? 1 : 0));
	}
	return buf_printf(out, "}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
			       "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: ping\ndata: {\"type\":"
			       "\"ping\"}\n\n");
}

static int messages_content(struct answer *a, struct buf *out, uint64_t from, uint64_t to)
{
	(void)a;
	TRY(buf_printf(out,
		       "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{"
		       "\"type\":\"text_delta\",\"text\":\""));
	TRY(put_words(out, from, to));
	return buf_printf(out, "\"}}\n\n");
}

static int messages_end(struct answer *a, struct buf *out)
{
	TRY(buf_printf(out,
		       "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: "
		       "message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"%s\","
		       "\"stop_sequence\":null}",
		       messages_stop(a)));
	if (a->with_usage)
		TRY(buf_printf(out, ",\"usage\":{\"output_tokens\":%" PRIu64 "}", a->usage.output));
	return buf_printf(out, "}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
}

/* --- Gemini --------------------------------------------------------------------------------------------------------
 */

static int generate_open(struct buf *out)
{
	return buf_printf(out, "{\"candidates\":[");
}

static int generate_tail(struct buf *out, const struct answer *a, uint64_t output)
{
	uint64_t in = input_sum(a);

	TRY(buf_printf(out, "],\"modelVersion\":\"%s\",\"responseId\":\"%s\"", a->request->model, a->id));
	if (a->with_usage) {
		TRY(buf_printf(out,
			       ",\"usageMetadata\":{\"promptTokenCount\":%" PRIu64 ",\"candidatesTokenCount\":%" PRIu64
			       ",\"totalTokenCount\":%" PRIu64,
			       in, output, in + output));
		if (a->usage.cached)
			TRY(buf_printf(out, ",\"cachedContentTokenCount\":%" PRIu64, a->usage.cached));
		TRY(buf_printf(out, ",\"promptTokensDetails\":[{\"modality\":\"TEXT\",\"tokenCount\":%" PRIu64 "}]}",
			       in));
	}
	return buf_printf(out, "}");
}

static int generate_candidates(struct answer *a, struct buf *out, uint64_t from, uint64_t to, bool whole, bool last)
{
	for (uint64_t i = 0; i < a->request->candidates; i++) {
		TRY(buf_printf(out, "%s{\"content\":{\"parts\":[{\"text\":\"", i ? "," : ""));
		if (whole)
			TRY(put_text(out, a));
		else
			TRY(put_words(out, from, to));
		TRY(buf_printf(out, "\"}],\"role\":\"model\"}"));
		if (last)
			TRY(buf_printf(out, ",\"finishReason\":\"%s\"", cut_short(a) ? "MAX_TOKENS" : "STOP"));
		TRY(buf_printf(out, ",\"index\":%" PRIu64 "}", i));
	}
	return BUR_OK;
}

static int generate_whole(struct answer *a, struct buf *out)
{
	TRY(generate_open(out));
	TRY(generate_candidates(a, out, 0, 0, true, true));
	return generate_tail(out, a, a->usage.output);
}

static int generate_chunk(struct answer *a, struct buf *out, uint64_t from, uint64_t to, bool last)
{
	bool array = a->request->json_array;

	if (array)
		TRY(buf_printf(out, "%s", a->piece == 1 || (last && a->chunks == 0) ? "[" : ",\r\n"));
	else
		TRY(buf_printf(out, "data: "));
	TRY(generate_open(out));
	TRY(generate_candidates(a, out, from, to, false, last));
	TRY(generate_tail(out, a, a->generated));
	return buf_printf(out, "%s", !array ? "\r\n\r\n" : last ? "\n]\n" : "\n");
}

static int generate_begin(struct answer *a, struct buf *out)
{
	(void)a;
	(void)out;
	return BUR_OK; /* Gemini has no preamble */
}

static int generate_content(struct answer *a, struct buf *out, uint64_t from, uint64_t to)
{
	return generate_chunk(a, out, from, to, false);
}

static int generate_end(struct answer *a, struct buf *out)
{
	return generate_chunk(a, out, 0, 0, true);
}

/* --- all -----------------------------------------------------------------------------------------------------------
 */

static const struct {
	int (*whole)(struct answer *, struct buf *);
	int (*begin)(struct answer *, struct buf *);
	int (*content)(struct answer *, struct buf *, uint64_t from, uint64_t to);
	int (*end)(struct answer *, struct buf *);
} shapes[] = {
    [API_CHAT] = {chat_whole, chat_begin, chat_content, chat_end},
    [API_RESPONSES] = {NULL, responses_begin, responses_content, responses_end},
    [API_EMBEDDINGS] = {embeddings_whole, NULL, NULL, NULL},
    [API_MESSAGES] = {messages_whole, messages_begin, messages_content, messages_end},
    [API_GENERATE] = {generate_whole, generate_begin, generate_content, generate_end},
};

int answer_whole(struct answer *a, struct buf *out)
{
	a->generated = a->usage.output;
	switch (a->request->api) {
	case API_MODELS:
		return models_whole(out);
	case API_COUNT_TOKENS:
		return buf_printf(out, "{\"input_tokens\":%" PRIu64 "}", input_sum(a));
	case API_GOOGLE_COUNT:
		return buf_printf(out, "{\"totalTokens\":%" PRIu64 "}", input_sum(a));
	case API_RESPONSES:
		return responses_object(out, a, true);
	default:
		return shapes[a->request->api].whole(a, out);
	}
}

int answer_piece(struct answer *a, struct buf *out, bool *ret_done)
{
	uint64_t per = per_candidate(a), i = a->piece, from, to;

	*ret_done = false;
	if (i == 0) {
		TRY(shapes[a->request->api].begin(a, out));
	} else if (i <= a->chunks) {
		from = per * (i - 1) / a->chunks;
		to = per * i / a->chunks;
		a->generated = to * a->request->candidates;
		TRY(shapes[a->request->api].content(a, out, from, to));
	} else {
		TRY(shapes[a->request->api].end(a, out));
		*ret_done = true;
	}
	a->piece++;
	return BUR_OK;
}

int answer_error(const struct request *r, int status, const char *type, const char *message, struct buf *out)
{
	const char *provider = api_provider(r->api);

	if (strcmp(provider, "anthropic") == 0)
		return buf_printf(out,
				  "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"%s\"},\"request_id\":"
				  "\"req_vendor\"}",
				  type, message);
	if (strcmp(provider, "google") == 0)
		return buf_printf(out, "{\"error\":{\"code\":%d,\"message\":\"%s\",\"status\":\"%s\"}}", status,
				  message,
				  status == 429   ? "RESOURCE_EXHAUSTED"
				  : status == 404 ? "NOT_FOUND"
						  : "INTERNAL");
	return buf_printf(out, "{\"error\":{\"message\":\"%s\",\"type\":\"%s\",\"param\":null,\"code\":null}}", message,
			  type);
}

const char *answer_stream_type(const struct request *r)
{
	if (r->api == API_CHAT || r->api == API_MESSAGES || r->api == API_RESPONSES)
		return "text/event-stream; charset=utf-8";
	return r->json_array ? "application/json; charset=UTF-8" : "text/event-stream";
}
