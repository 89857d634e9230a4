/* Bedrock: Converse and InvokeModel, whole and in event stream framing. InvokeModel carries each maker's own body. */
#include <openssl/evp.h>
#include <string.h>

#include "tests/vendor/eventstream.h"
#include "tests/vendor/shape.h"

#define INNER_MAX (96u * 1024 * 1024)

/* --- Converse ------------------------------------------------------------------------------------------------------
 */

static int put_usage(struct buf *out, const struct answer *a)
{
	const struct bill_usage *u = &a->usage;

	TRY(buf_printf(out,
		       "\"usage\":{\"inputTokens\":%" PRIu64 ",\"outputTokens\":%" PRIu64 ",\"totalTokens\":%" PRIu64,
		       u->fresh, u->output, bill_input(u) + u->output));
	if (u->cached || u->write_5m || u->write_1h)
		TRY(buf_printf(out,
			       ",\"cacheReadInputTokens\":%" PRIu64 ",\"cacheWriteInputTokens\":%" PRIu64
			       ",\"cacheDetails\":[{\"ttl\":\"1h\",\"inputTokens\":%" PRIu64
			       "},{\"ttl\":\"5m\",\"inputTokens\":%" PRIu64 "}]",
			       u->cached, u->write_5m + u->write_1h, u->write_1h, u->write_5m));
	return buf_printf(out, "}");
}

static const char *stop_reason(const struct answer *a)
{
	return shape_cut_short(a) ? "max_tokens" : "end_turn";
}

static int converse_whole(struct answer *a, struct buf *out)
{
	TRY(buf_printf(out,
		       "{\"metrics\":{\"latencyMs\":900},\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{"
		       "\"text\":\""));
	TRY(shape_text(out, a));
	TRY(buf_printf(out, "\"}]}},\"stopReason\":\"%s\"", stop_reason(a)));
	if (a->with_usage) {
		TRY(buf_printf(out, ","));
		TRY(put_usage(out, a));
	}
	return buf_printf(out, "}");
}

/* One event whose payload `write` makes. */
static int framed(struct answer *a, struct buf *out, const char *type, uint64_t from, uint64_t to,
		  int (*write)(struct answer *, struct buf *, uint64_t from, uint64_t to))
{
	struct buf payload;
	int r;

	buf_init(&payload, INNER_MAX);
	r = write(a, &payload, from, to);
	if (r == BUR_OK)
		r = eventstream_event(out, type, buf_slice(&payload));
	buf_done(&payload);
	return r;
}

static int delta_payload(struct answer *a, struct buf *out, uint64_t from, uint64_t to)
{
	TRY(buf_printf(out, "{\"contentBlockIndex\":0,\"delta\":{\"text\":\""));
	TRY(shape_words(out, a, from, to));
	return buf_printf(out, "\"},\"p\":\"abcdefgh\"}");
}

static int metadata_payload(struct answer *a, struct buf *out, uint64_t from, uint64_t to)
{
	(void)from;
	(void)to;
	TRY(buf_printf(out, "{\"metrics\":{\"latencyMs\":1200},\"p\":\"abcdef\""));
	if (a->with_usage) {
		TRY(buf_printf(out, ","));
		TRY(put_usage(out, a));
	}
	return buf_printf(out, "}");
}

static int stop_payload(struct answer *a, struct buf *out, uint64_t from, uint64_t to)
{
	(void)from;
	(void)to;
	return buf_printf(out, "{\"p\":\"ab\",\"stopReason\":\"%s\"}", stop_reason(a));
}

static int converse_begin(struct answer *a, struct buf *out)
{
	(void)a;
	return eventstream_event(out, "messageStart", SLICE("{\"p\":\"abcdefghijklm\",\"role\":\"assistant\"}"));
}

static int converse_content(struct answer *a, struct buf *out, uint64_t from, uint64_t to)
{
	return framed(a, out, "contentBlockDelta", from, to, delta_payload);
}

static int converse_end(struct answer *a, struct buf *out)
{
	TRY(eventstream_event(out, "contentBlockStop", SLICE("{\"contentBlockIndex\":0,\"p\":\"a\"}")));
	TRY(framed(a, out, "messageStop", 0, 0, stop_payload));
	return framed(a, out, "metadata", 0, 0, metadata_payload);
}

/* --- InvokeModel: the makers' bodies -------------------------------------------------------------------------------
 */

static int nova_whole(struct answer *a, struct buf *out)
{
	TRY(buf_printf(out, "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"text\":\""));
	TRY(shape_text(out, a));
	TRY(buf_printf(out, "\"}]}},\"stopReason\":\"%s\"", stop_reason(a)));
	if (a->with_usage) {
		TRY(buf_printf(out, ","));
		TRY(put_usage(out, a));
	}
	return buf_printf(out, "}");
}

static int nova_piece(struct answer *a, struct buf *out, uint64_t from, uint64_t to, bool last)
{
	if (last)
		return buf_printf(out, "{\"messageStop\":{\"stopReason\":\"%s\"}}", stop_reason(a));
	TRY(buf_printf(out, "{\"contentBlockDelta\":{\"delta\":{\"text\":\""));
	TRY(shape_words(out, a, from, to));
	return buf_printf(out, "\"},\"contentBlockIndex\":0}}");
}

static int llama_whole(struct answer *a, struct buf *out)
{
	TRY(buf_printf(out, "{\"generation\":\""));
	TRY(shape_text(out, a));
	TRY(buf_printf(out, "\""));
	if (a->with_usage)
		TRY(buf_printf(out, ",\"prompt_token_count\":%" PRIu64 ",\"generation_token_count\":%" PRIu64,
			       bill_input(&a->usage), a->usage.output));
	return buf_printf(out, ",\"stop_reason\":\"%s\"}", shape_cut_short(a) ? "length" : "stop");
}

static int llama_piece(struct answer *a, struct buf *out, uint64_t from, uint64_t to, bool last)
{
	TRY(buf_printf(out, "{\"generation\":\""));
	TRY(shape_words(out, a, from, to));
	return buf_printf(out,
			  "\",\"prompt_token_count\":null,\"generation_token_count\":%" PRIu64 ",\"stop_reason\":%s}",
			  a->generated, last ? "\"stop\"" : "null");
}

static int titan_whole(struct answer *a, struct buf *out)
{
	TRY(buf_printf(
	    out, "{\"inputTextTokenCount\":%" PRIu64 ",\"results\":[{\"tokenCount\":%" PRIu64 ",\"outputText\":\"",
	    bill_input(&a->usage), a->usage.output));
	TRY(shape_text(out, a));
	return buf_printf(out, "\",\"completionReason\":\"%s\"}]}", shape_cut_short(a) ? "LENGTH" : "FINISH");
}

static int titan_piece(struct answer *a, struct buf *out, uint64_t from, uint64_t to, bool last)
{
	TRY(buf_printf(out, "{\"outputText\":\""));
	TRY(shape_words(out, a, from, to));
	return buf_printf(out, "\",\"index\":0,\"totalOutputTextTokenCount\":%" PRIu64 ",\"completionReason\":%s}",
			  a->generated, last ? "\"FINISH\"" : "null");
}

static const struct maker {
	const char *name;
	int (*whole)(struct answer *, struct buf *);
	int (*piece)(struct answer *, struct buf *, uint64_t from, uint64_t to, bool last); /* NULL: Claude's events */
} makers[] = {
    {"anthropic.", NULL, NULL},
    {"amazon.nova", nova_whole, nova_piece},
    {"amazon.titan", titan_whole, titan_piece},
    {"meta.llama", llama_whole, llama_piece},
};

static const struct maker *maker_of(const struct answer *a)
{
	for (size_t i = 0; i < ARRAY_LEN(makers); i++) {
		if (strstr(a->request->model, makers[i].name))
			return &makers[i];
	}
	return &makers[0];
}

static int invoke_whole(struct answer *a, struct buf *out)
{
	const struct maker *m = maker_of(a);

	return m->whole ? m->whole(a, out) : shape_messages.whole(a, out);
}

static int invoke_fields(const struct answer *a, struct buf *out)
{
	if (answer_is_stream(a->request))
		return buf_printf(out, "x-amzn-bedrock-content-type: application/json\r\n");
	if (!a->with_usage)
		return BUR_OK;
	return buf_printf(out,
			  "x-amzn-bedrock-invocation-latency: 800\r\nx-amzn-bedrock-input-token-count: %" PRIu64
			  "\r\nx-amzn-bedrock-output-token-count: %" PRIu64 "\r\n",
			  a->usage.fresh, a->usage.output);
}

/* --- InvokeModelWithResponseStream ---------------------------------------------------------------------------------
 */

/* A maker's JSON, base64 in a chunk. */
static int put_chunk(struct buf *out, struct slice json)
{
	struct buf payload;
	size_t coded = 4 * ((json.n + 2) / 3);
	char *room;
	int r;

	buf_init(&payload, INNER_MAX);
	r = buf_printf(&payload, "{\"bytes\":\"");
	room = r == BUR_OK ? buf_reserve(&payload, coded + 1, NULL) : NULL;
	if (room) {
		(void)EVP_EncodeBlock((unsigned char *)room, (const unsigned char *)json.p, (int)json.n);
		buf_commit(&payload, coded);
		r = buf_printf(&payload, "\",\"p\":\"abcdefgh\"}");
	} else {
		r = BUR_TOOBIG;
	}
	if (r == BUR_OK)
		r = eventstream_event(out, "chunk", buf_slice(&payload));
	buf_done(&payload);
	return r;
}

static int put_metrics(struct buf *json, const struct answer *a)
{
	const struct bill_usage *u = &a->usage;

	json->tail--; /* the closing brace */
	return buf_printf(json,
			  ",\"amazon-bedrock-invocationMetrics\":{\"inputTokenCount\":%" PRIu64
			  ",\"outputTokenCount\":%" PRIu64
			  ",\"invocationLatency\":1000,\"firstByteLatency\":200,\"cacheReadInputTokenCount\":%" PRIu64
			  ",\"cacheWriteInputTokenCount\":%" PRIu64 "}}",
			  u->fresh, u->output, u->cached, u->write_5m + u->write_1h);
}

static int put_json(struct buf *out, const struct answer *a, struct slice text, bool last)
{
	struct buf json;
	int r;

	buf_init(&json, INNER_MAX);
	r = buf_append_slice(&json, text);
	if (r == BUR_OK && last && a->with_usage)
		r = put_metrics(&json, a);
	if (r == BUR_OK)
		r = put_chunk(out, buf_slice(&json));
	buf_done(&json);
	return r;
}

/* Claude's events come as lines of an event stream; their data goes out, one chunk each. */
static int rewrap(struct buf *out, const struct answer *a, struct slice rest, bool end)
{
	struct slice line;

	while (rest.n > 0) {
		(void)slice_cut(rest, '\n', &line, &rest);
		if (!slice_starts(line, SLICE("data: ")))
			continue;
		line = slice_sub(line, strlen("data: "), line.n);
		TRY(put_json(out, a, line, end && slice_starts(line, SLICE("{\"type\":\"message_stop\""))));
	}
	return BUR_OK;
}

enum part { PART_BEGIN, PART_CONTENT, PART_END };

static int invoke_part(struct answer *a, struct buf *out, enum part part, uint64_t from, uint64_t to)
{
	const struct maker *m = maker_of(a);
	struct buf inner;
	int r;

	if (m->piece && part == PART_BEGIN)
		return BUR_OK;
	buf_init(&inner, INNER_MAX);
	if (m->piece)
		r = m->piece(a, &inner, from, to, part == PART_END);
	else if (part == PART_CONTENT)
		r = shape_messages.content(a, &inner, from, to);
	else
		r = part == PART_BEGIN ? shape_messages.begin(a, &inner) : shape_messages.end(a, &inner);
	if (r == BUR_OK)
		r = m->piece ? put_json(out, a, buf_slice(&inner), part == PART_END)
			     : rewrap(out, a, buf_slice(&inner), part == PART_END);
	buf_done(&inner);
	return r;
}

static int invoke_begin(struct answer *a, struct buf *out)
{
	return invoke_part(a, out, PART_BEGIN, 0, 0);
}

static int invoke_content(struct answer *a, struct buf *out, uint64_t from, uint64_t to)
{
	return invoke_part(a, out, PART_CONTENT, from, to);
}

static int invoke_end(struct answer *a, struct buf *out)
{
	return invoke_part(a, out, PART_END, 0, 0);
}

const struct shape shape_converse = {converse_whole, converse_begin, converse_content, converse_end,
				     NULL,           NULL,           EVENTSTREAM_TYPE};
const struct shape shape_invoke = {invoke_whole,  invoke_begin, invoke_content,  invoke_end,
				   invoke_fields, NULL,         EVENTSTREAM_TYPE};
