/* Anthropic messages: counters are cumulative over a stream; a null or absent one keeps what was said before. */
#include "meter/extract.h"

enum id {
	ID_NONE,
	ID_TYPE,
	ID_MODEL,
	ID_USAGE,
	ID_ERROR,
	ID_STOP_REASON,
	ID_TEXT,
	ID_INPUT,
	ID_OUTPUT,
	ID_CACHE_READ,
	ID_CACHE_WRITE,
	ID_WRITE_1H,
	ID_THINKING,
	ID_WEB,
	ID_TIER,
	ID_SPEED,
	ID_GEO,
	ID_ITERATIONS,
	ID_ENTRY_TYPE, /* from here on: of one iteration */
	ID_ENTRY_INPUT,
	ID_ENTRY_OUTPUT,
	ID_ENTRY_READ,
	ID_ENTRY_WRITE,
	ID_ENTRY_1H,
	ID_COUNT,
};

enum place {
	PL_IGNORE = WALK_IGNORE,
	PL_EVENT, /* a message, or an event of its stream */
	PL_MESSAGE,
	PL_DELTA,
	PL_CONTENT,
	PL_BLOCK,
	PL_WHOLE,
	PL_USAGE,
	PL_CACHE_CREATION,
	PL_OUTPUT_DETAILS,
	PL_TOOL_USE,
	PL_ITERATIONS,
	PL_ITERATION,
	PL_ITERATION_CACHE,
};

static const struct walk_key event_keys[] = {
    WALK_KEY("type", ID_TYPE, 0),
    WALK_KEY("delta", ID_NONE, PL_DELTA),
    WALK_KEY("content_block", ID_NONE, PL_BLOCK),
    WALK_KEY("usage", ID_USAGE, PL_USAGE),
    WALK_KEY("message", ID_NONE, PL_MESSAGE),
    WALK_KEY("model", ID_MODEL, 0),
    WALK_KEY("content", ID_NONE, PL_CONTENT),
    WALK_KEY("error", ID_ERROR, 0),
};
static const struct walk_key message_keys[] = {
    WALK_KEY("model", ID_MODEL, 0),
    WALK_KEY("usage", ID_USAGE, PL_USAGE),
};
static const struct walk_key delta_keys[] = {
    WALK_KEY("text", ID_TEXT, 0),      WALK_KEY("thinking", ID_TEXT, 0),           WALK_KEY("partial_json", ID_TEXT, 0),
    WALK_KEY("signature", ID_TEXT, 0), WALK_KEY("stop_reason", ID_STOP_REASON, 0),
};
static const struct walk_key block_keys[] = {
    WALK_KEY("text", ID_TEXT, 0), WALK_KEY("thinking", ID_TEXT, 0),  WALK_KEY("data", ID_TEXT, 0),
    WALK_KEY("name", ID_TEXT, 0), WALK_KEY("signature", ID_TEXT, 0), WALK_KEY("input", ID_TEXT, PL_WHOLE),
};
static const struct walk_key usage_keys[] = {
    WALK_KEY("input_tokens", ID_INPUT, 0),
    WALK_KEY("output_tokens", ID_OUTPUT, 0),
    WALK_KEY("cache_creation_input_tokens", ID_CACHE_WRITE, 0),
    WALK_KEY("cache_read_input_tokens", ID_CACHE_READ, 0),
    WALK_KEY("cache_creation", ID_NONE, PL_CACHE_CREATION),
    WALK_KEY("output_tokens_details", ID_NONE, PL_OUTPUT_DETAILS),
    WALK_KEY("server_tool_use", ID_NONE, PL_TOOL_USE),
    WALK_KEY("service_tier", ID_TIER, 0),
    WALK_KEY("speed", ID_SPEED, 0),
    WALK_KEY("inference_geo", ID_GEO, 0),
    WALK_KEY("iterations", ID_ITERATIONS, PL_ITERATIONS),
};
static const struct walk_key cache_creation_keys[] = {WALK_KEY("ephemeral_1h_input_tokens", ID_WRITE_1H, 0)};
static const struct walk_key output_detail_keys[] = {WALK_KEY("thinking_tokens", ID_THINKING, 0)};
static const struct walk_key tool_use_keys[] = {WALK_KEY("web_search_requests", ID_WEB, 0)};
static const struct walk_key iteration_keys[] = {
    WALK_KEY("type", ID_ENTRY_TYPE, 0),
    WALK_KEY("input_tokens", ID_ENTRY_INPUT, 0),
    WALK_KEY("output_tokens", ID_ENTRY_OUTPUT, 0),
    WALK_KEY("cache_read_input_tokens", ID_ENTRY_READ, 0),
    WALK_KEY("cache_creation_input_tokens", ID_ENTRY_WRITE, 0),
    WALK_KEY("cache_creation", ID_NONE, PL_ITERATION_CACHE),
};
static const struct walk_key iteration_cache_keys[] = {WALK_KEY("ephemeral_1h_input_tokens", ID_ENTRY_1H, 0)};

static const struct walk_place places[] = {
    [PL_IGNORE] = {NULL, 0, 0, 0, 0, 0},
    [PL_EVENT] = WALK_OBJECT(event_keys),
    [PL_MESSAGE] = WALK_OBJECT(message_keys),
    [PL_DELTA] = WALK_OBJECT(delta_keys),
    [PL_CONTENT] = WALK_ARRAY(PL_BLOCK, ID_NONE),
    [PL_BLOCK] = WALK_OBJECT(block_keys),
    [PL_WHOLE] = {NULL, 0, PL_WHOLE, ID_TEXT, ID_TEXT, PL_WHOLE},
    [PL_USAGE] = WALK_OBJECT(usage_keys),
    [PL_CACHE_CREATION] = WALK_OBJECT(cache_creation_keys),
    [PL_OUTPUT_DETAILS] = WALK_OBJECT(output_detail_keys),
    [PL_TOOL_USE] = WALK_OBJECT(tool_use_keys),
    [PL_ITERATIONS] = WALK_ARRAY(PL_ITERATION, ID_NONE),
    [PL_ITERATION] = WALK_OBJECT(iteration_keys),
    [PL_ITERATION_CACHE] = WALK_OBJECT(iteration_cache_keys),
};

static const bool wants_text[ID_COUNT] = {
    [ID_TYPE] = true, [ID_MODEL] = true, [ID_TIER] = true, [ID_SPEED] = true, [ID_GEO] = true, [ID_ENTRY_TYPE] = true,
};

/* --- tokens ------------------------------------------------------------------------------------------------------- */

static void on_begin(struct extract *x, uint8_t id, bool object)
{
	struct staged *ev = &x->ev;

	if (id == ID_USAGE && object)
		ev->usage = true;
	if (id == ID_ERROR)
		ev->error = true;
	if (id == ID_ITERATIONS && !object) {
		ev->sum_seen = true;
		ev->sum.have = 0;
	}
}

/* A compaction is billed beside the totals, other iterations inside them. */
static void close_iteration(struct staged *ev)
{
	int i;

	if (strcmp(ev->entry_type, "compaction") == 0)
		for (i = 0; i < RAW_COUNT; i++)
			if (ev->entry.have & 1u << i)
				extract_add(&ev->sum, (enum raw)i, ev->entry.n[i]);
	ev->entry.have = 0;
	ev->entry_type[0] = '\0';
}

static void on_end(struct extract *x, uint8_t place)
{
	if (place == PL_ITERATION)
		close_iteration(&x->ev);
}

static void on_string(struct extract *x, uint8_t id, const struct scalar *s)
{
	struct staged *ev = &x->ev;

	switch ((enum id)id) {
	case ID_TYPE:
		extract_word(ev->type, sizeof(ev->type), s);
		break;
	case ID_MODEL:
		extract_word(ev->names.model, sizeof(ev->names.model), s);
		break;
	case ID_TIER:
		extract_word(ev->names.tier, sizeof(ev->names.tier), s);
		break;
	case ID_SPEED:
		extract_word(ev->names.speed, sizeof(ev->names.speed), s);
		break;
	case ID_GEO:
		extract_word(ev->names.geo, sizeof(ev->names.geo), s);
		break;
	case ID_ENTRY_TYPE:
		extract_word(ev->entry_type, sizeof(ev->entry_type), s);
		break;
	default:
		break;
	}
}

static void on_number(struct extract *x, uint8_t id, const struct scalar *s)
{
	static const int8_t raws[ID_COUNT] = {
	    [ID_INPUT] = RAW_INPUT + 1,
	    [ID_OUTPUT] = RAW_OUTPUT + 1,
	    [ID_CACHE_READ] = RAW_CACHED + 1,
	    [ID_CACHE_WRITE] = RAW_CACHE_WRITE + 1,
	    [ID_WRITE_1H] = RAW_CACHE_WRITE_1H + 1,
	    [ID_THINKING] = RAW_REASONING + 1,
	    [ID_WEB] = RAW_WEB + 1,
	    [ID_ENTRY_INPUT] = RAW_INPUT + 1,
	    [ID_ENTRY_OUTPUT] = RAW_OUTPUT + 1,
	    [ID_ENTRY_READ] = RAW_CACHED + 1,
	    [ID_ENTRY_WRITE] = RAW_CACHE_WRITE + 1,
	    [ID_ENTRY_1H] = RAW_CACHE_WRITE_1H + 1,
	};

	if (raws[id] != 0)
		extract_set(id < ID_ENTRY_TYPE ? &x->ev.counts : &x->ev.entry, (enum raw)(raws[id] - 1), s);
}

static void on_scalar(struct extract *x, uint8_t id, enum json_token t, const struct scalar *s)
{
	if (id == ID_TEXT) {
		if (t == JT_STRING || t == JT_NUMBER)
			extract_text(x, s);
	} else if (id == ID_STOP_REASON) {
		x->ev.finish |= t != JT_NULL;
	} else if (id == ID_ERROR) {
		x->ev.error |= t != JT_NULL;
	} else if (t == JT_STRING) {
		on_string(x, id, s);
	} else if (t == JT_NUMBER) {
		on_number(x, id, s);
	}
}

static void commit(struct extract *x)
{
	const struct staged *ev = &x->ev;

	if (ev->error || strcmp(ev->type, "error") == 0)
		x->fatal = x->error_seen = true;
	if (strcmp(ev->type, "message_start") == 0)
		x->started = true;
	if (!ev->usage)
		return;
	x->usage_seen = true;
	extract_merge(&x->counts, &ev->counts);
	if (ev->sum_seen)
		x->sum = ev->sum;
	if (!x->stream || (x->started && ev->finish && strcmp(ev->type, "message_delta") == 0))
		x->final = true;
}

const struct extract_ops extract_messages = {places, wants_text, PL_EVENT, on_begin, on_end, on_scalar, commit};
