/* Anthropic messages, also on Vertex and inside Bedrock; token counting. */
#include "tests/vendor/shape.h"

static int usage(struct buf *out, const struct answer *a, uint64_t output)
{
	const struct bill_usage *u = &a->usage;

	return buf_printf(out,
			  "\"usage\":{\"input_tokens\":%" PRIu64 ",\"cache_creation_input_tokens\":%" PRIu64
			  ",\"cache_read_input_tokens\":%" PRIu64
			  ",\"cache_creation\":{\"ephemeral_5m_input_tokens\":%" PRIu64
			  ",\"ephemeral_1h_input_tokens\":%" PRIu64 "},\"output_tokens\":%" PRIu64
			  ",\"service_tier\":\"%s\",\"server_tool_use\":null,\"inference_geo\":\"global\"}",
			  u->fresh, u->write_5m + u->write_1h, u->cached, u->write_5m, u->write_1h, output,
			  u->half_price ? "batch" : "standard");
}

static const char *stop(const struct answer *a)
{
	return shape_cut_short(a) ? "max_tokens" : "end_turn";
}

static int whole(struct answer *a, struct buf *out)
{
	TRY(buf_printf(out,
		       "{\"id\":\"msg_%s\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"%s\",\"content\":[{"
		       "\"type\":\"text\",\"text\":\"",
		       a->id, shape_model(a)));
	TRY(shape_text(out, a));
	TRY(buf_printf(out, "\"}],\"stop_reason\":\"%s\",\"stop_sequence\":null", stop(a)));
	if (a->with_usage) {
		TRY(buf_printf(out, ","));
		TRY(usage(out, a, a->usage.output));
	}
	return buf_printf(out, "}");
}

static int begin(struct answer *a, struct buf *out)
{
	TRY(buf_printf(
	    out,
	    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_%s\",\"type\":"
	    "\"message\",\"role\":\"assistant\",\"model\":\"%s\",\"content\":[],\"stop_reason\":null,"
	    "\"stop_sequence\":null",
	    a->id, shape_model(a)));
	if (a->with_usage) {
		TRY(buf_printf(out, ","));
		TRY(usage(out, a, a->usage.output > 0 ? 1 : 0));
	}
	return buf_printf(out, "}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
			       "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: ping\ndata: {\"type\":"
			       "\"ping\"}\n\n");
}

static int content(struct answer *a, struct buf *out, uint64_t from, uint64_t to)
{
	TRY(buf_printf(out,
		       "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{"
		       "\"type\":\"text_delta\",\"text\":\""));
	TRY(shape_words(out, a, from, to));
	return buf_printf(out, "\"}}\n\n");
}

static int end(struct answer *a, struct buf *out)
{
	TRY(buf_printf(out,
		       "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: "
		       "message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"%s\","
		       "\"stop_sequence\":null}",
		       stop(a)));
	if (a->with_usage)
		TRY(buf_printf(out, ",\"usage\":{\"output_tokens\":%" PRIu64 "}", a->usage.output));
	return buf_printf(out, "}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
}

static int count_whole(struct answer *a, struct buf *out)
{
	return buf_printf(out, "{\"input_tokens\":%" PRIu64 "}", bill_input(&a->usage));
}

const struct shape shape_messages = {whole, begin, content, end, NULL, NULL, NULL};
const struct shape shape_count_tokens = {.whole = count_whole};
