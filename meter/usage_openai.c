/* OpenAI: chat completions, embeddings, responses. The usage objects of both generations share one table. */
#include "meter/extract.h"

enum id {
	ID_NONE,
	ID_MODEL,
	ID_TIER,
	ID_ID,
	ID_TYPE,
	ID_ERROR,
	ID_USAGE,
	ID_CHOICES,
	ID_CHOICE,
	ID_FINISH,
	ID_TEXT,  /* text of the answer */
	ID_AUDIO, /* base64 */
	ID_DELTA, /* text of a responses stream */
	ID_OUTPUT,
	ID_ITEM_TYPE,
	ID_ACTION,
	ID_ACTION_TYPE,
	ID_INPUT_TOKENS,
	ID_OUTPUT_TOKENS,
	ID_CACHED,
	ID_CACHE_WRITE,
	ID_AUDIO_IN,
	ID_IMAGE_IN,
	ID_REASONING,
	ID_AUDIO_OUT,
	ID_IMAGE_OUT,
	ID_COUNT,
};

enum place {
	PL_IGNORE = WALK_IGNORE,
	PL_CHAT,
	PL_CHOICES,
	PL_CHOICE,
	PL_DELTA,
	PL_CALLS,
	PL_CALL,
	PL_FUNCTION,
	PL_AUDIO,
	PL_WHOLE, /* every text below counts */
	PL_USAGE,
	PL_INPUT_DETAILS,
	PL_OUTPUT_DETAILS,
	PL_EVENT, /* a response, or an event of its stream */
	PL_RESPONSE,
	PL_OUTPUT,
	PL_ITEM,
	PL_ACTION,
};

static const struct walk_key chat_keys[] = {
    WALK_KEY("id", ID_NONE, 0),     WALK_KEY("choices", ID_CHOICES, PL_CHOICES), WALK_KEY("usage", ID_USAGE, PL_USAGE),
    WALK_KEY("model", ID_MODEL, 0), WALK_KEY("service_tier", ID_TIER, 0),        WALK_KEY("error", ID_ERROR, 0),
};
static const struct walk_key choice_keys[] = {
    WALK_KEY("delta", ID_NONE, PL_DELTA),
    WALK_KEY("message", ID_NONE, PL_DELTA),
    WALK_KEY("finish_reason", ID_FINISH, 0),
    WALK_KEY("text", ID_TEXT, 0),
};
static const struct walk_key delta_keys[] = {
    WALK_KEY("content", ID_TEXT, PL_WHOLE),    WALK_KEY("reasoning_content", ID_TEXT, PL_WHOLE),
    WALK_KEY("reasoning", ID_TEXT, PL_WHOLE),  WALK_KEY("refusal", ID_TEXT, 0),
    WALK_KEY("tool_calls", ID_NONE, PL_CALLS), WALK_KEY("function_call", ID_NONE, PL_FUNCTION),
    WALK_KEY("audio", ID_NONE, PL_AUDIO),
};
static const struct walk_key call_keys[] = {
    WALK_KEY("function", ID_NONE, PL_FUNCTION),
    WALK_KEY("custom", ID_NONE, PL_FUNCTION),
};
static const struct walk_key function_keys[] = {
    WALK_KEY("arguments", ID_TEXT, PL_WHOLE),
    WALK_KEY("name", ID_TEXT, 0),
    WALK_KEY("input", ID_TEXT, 0),
};
static const struct walk_key audio_keys[] = {
    WALK_KEY("data", ID_AUDIO, 0),
    WALK_KEY("transcript", ID_TEXT, 0),
};
static const struct walk_key usage_keys[] = {
    WALK_KEY("prompt_tokens", ID_INPUT_TOKENS, 0),
    WALK_KEY("input_tokens", ID_INPUT_TOKENS, 0),
    WALK_KEY("completion_tokens", ID_OUTPUT_TOKENS, 0),
    WALK_KEY("output_tokens", ID_OUTPUT_TOKENS, 0),
    WALK_KEY("prompt_tokens_details", ID_NONE, PL_INPUT_DETAILS),
    WALK_KEY("input_tokens_details", ID_NONE, PL_INPUT_DETAILS),
    WALK_KEY("completion_tokens_details", ID_NONE, PL_OUTPUT_DETAILS),
    WALK_KEY("output_tokens_details", ID_NONE, PL_OUTPUT_DETAILS),
};
static const struct walk_key input_detail_keys[] = {
    WALK_KEY("cached_tokens", ID_CACHED, 0),
    WALK_KEY("cache_write_tokens", ID_CACHE_WRITE, 0),
    WALK_KEY("audio_tokens", ID_AUDIO_IN, 0),
    WALK_KEY("image_tokens", ID_IMAGE_IN, 0),
};
static const struct walk_key output_detail_keys[] = {
    WALK_KEY("reasoning_tokens", ID_REASONING, 0),
    WALK_KEY("audio_tokens", ID_AUDIO_OUT, 0),
    WALK_KEY("image_tokens", ID_IMAGE_OUT, 0),
};
static const struct walk_key event_keys[] = {
    WALK_KEY("type", ID_TYPE, 0),
    WALK_KEY("delta", ID_DELTA, 0),
    WALK_KEY("response", ID_NONE, PL_RESPONSE),
    WALK_KEY("item", ID_NONE, PL_ITEM),
    /* a whole response, not an event */
    WALK_KEY("id", ID_ID, 0),
    WALK_KEY("model", ID_MODEL, 0),
    WALK_KEY("service_tier", ID_TIER, 0),
    WALK_KEY("output", ID_OUTPUT, PL_OUTPUT),
    WALK_KEY("usage", ID_USAGE, PL_USAGE),
    WALK_KEY("error", ID_ERROR, 0),
};
static const struct walk_key response_keys[] = {
    WALK_KEY("id", ID_ID, 0),
    WALK_KEY("model", ID_MODEL, 0),
    WALK_KEY("service_tier", ID_TIER, 0),
    WALK_KEY("output", ID_OUTPUT, PL_OUTPUT),
    WALK_KEY("usage", ID_USAGE, PL_USAGE),
};
static const struct walk_key item_keys[] = {
    WALK_KEY("type", ID_ITEM_TYPE, 0),      WALK_KEY("action", ID_ACTION, PL_ACTION),
    WALK_KEY("content", ID_TEXT, PL_WHOLE), WALK_KEY("summary", ID_TEXT, PL_WHOLE),
    WALK_KEY("arguments", ID_TEXT, 0),      WALK_KEY("input", ID_TEXT, 0),
    WALK_KEY("code", ID_TEXT, 0),
};
static const struct walk_key action_keys[] = {WALK_KEY("type", ID_ACTION_TYPE, 0)};

static const struct walk_place places[] = {
    [PL_IGNORE] = {NULL, 0, 0, 0, 0, 0},
    [PL_CHAT] = WALK_OBJECT(chat_keys),
    [PL_CHOICES] = WALK_ARRAY(PL_CHOICE, ID_CHOICE),
    [PL_CHOICE] = WALK_OBJECT(choice_keys),
    [PL_DELTA] = WALK_OBJECT(delta_keys),
    [PL_CALLS] = WALK_ARRAY(PL_CALL, ID_NONE),
    [PL_CALL] = WALK_OBJECT(call_keys),
    [PL_FUNCTION] = WALK_OBJECT(function_keys),
    [PL_AUDIO] = WALK_OBJECT(audio_keys),
    [PL_WHOLE] = {NULL, 0, PL_WHOLE, ID_TEXT, ID_TEXT, PL_WHOLE},
    [PL_USAGE] = WALK_OBJECT(usage_keys),
    [PL_INPUT_DETAILS] = WALK_OBJECT(input_detail_keys),
    [PL_OUTPUT_DETAILS] = WALK_OBJECT(output_detail_keys),
    [PL_EVENT] = WALK_OBJECT(event_keys),
    [PL_RESPONSE] = WALK_OBJECT(response_keys),
    [PL_OUTPUT] = WALK_ARRAY(PL_ITEM, ID_NONE),
    [PL_ITEM] = WALK_OBJECT(item_keys),
    [PL_ACTION] = WALK_OBJECT(action_keys),
};

static const bool wants_text[ID_COUNT] = {
    [ID_MODEL] = true, [ID_TIER] = true,      [ID_ID] = true,
    [ID_TYPE] = true,  [ID_ITEM_TYPE] = true, [ID_ACTION_TYPE] = true,
};

/* Audio tokens last 50 ms or more; at the lowest bit rate in use that is far over 64 bytes of base64. */
#define AUDIO_BYTES_PER_TOKEN 64

/* --- tokens ------------------------------------------------------------------------------------------------------- */

static void on_begin(struct extract *x, uint8_t id, bool object)
{
	switch ((enum id)id) {
	case ID_USAGE:
		if (!object)
			break;
		x->ev.usage = true;
		x->ev.counts.have = 0; /* a second usage object: the last one wins */
		break;
	case ID_CHOICES:
		x->ev.list_seen = true;
		break;
	case ID_CHOICE:
		x->ev.list_any = true;
		break;
	case ID_ERROR:
		x->ev.error = true;
		break;
	case ID_OUTPUT:
		x->ev.web = x->ev.files = 0;
		break;
	default:
		break;
	}
}

/* Only searches cost a fee; opening or searching in a page does not. An item that names no action is a search. */
static void close_item(struct staged *ev)
{
	if (strcmp(ev->entry_type, "web_search_call") == 0 && !ev->entry_other)
		ev->web++;
	else if (strcmp(ev->entry_type, "file_search_call") == 0)
		ev->files++;
	ev->entry_type[0] = '\0';
	ev->entry_other = false;
}

static void on_end(struct extract *x, uint8_t place)
{
	if (place == PL_ITEM)
		close_item(&x->ev);
}

static void on_text(struct extract *x, uint8_t id, enum json_token t, const struct scalar *s)
{
	if (t != JT_STRING && t != JT_NUMBER)
		return;
	if (id == ID_AUDIO)
		x->output_bytes += s->length_bytes / AUDIO_BYTES_PER_TOKEN + 1;
	else if (id == ID_DELTA || x->kind != API_RESPONSES || !x->stream)
		extract_text(x, s); /* the items of a responses stream only repeat what came as deltas */
}

static void on_string(struct extract *x, uint8_t id, const struct scalar *s)
{
	struct staged *ev = &x->ev;

	switch ((enum id)id) {
	case ID_MODEL:
		extract_word(ev->names.model, sizeof(ev->names.model), s);
		break;
	case ID_TIER:
		extract_word(ev->names.tier, sizeof(ev->names.tier), s);
		break;
	case ID_ID:
		extract_word(ev->names.id, sizeof(ev->names.id), s);
		break;
	case ID_TYPE:
		extract_word(ev->type, sizeof(ev->type), s);
		break;
	case ID_ITEM_TYPE:
		extract_word(ev->entry_type, sizeof(ev->entry_type), s);
		break;
	case ID_ACTION_TYPE:
		ev->entry_other = !slice_eq(s->text, SLICE("search"));
		break;
	default:
		break;
	}
}

static void on_number(struct extract *x, uint8_t id, const struct scalar *s)
{
	static const int8_t raws[ID_COUNT] = {
	    [ID_INPUT_TOKENS] = RAW_INPUT + 1,  [ID_OUTPUT_TOKENS] = RAW_OUTPUT + 1,
	    [ID_CACHED] = RAW_CACHED + 1,       [ID_CACHE_WRITE] = RAW_CACHE_WRITE + 1,
	    [ID_AUDIO_IN] = RAW_AUDIO_IN + 1,   [ID_IMAGE_IN] = RAW_IMAGE_IN + 1,
	    [ID_REASONING] = RAW_REASONING + 1, [ID_AUDIO_OUT] = RAW_AUDIO_OUT + 1,
	    [ID_IMAGE_OUT] = RAW_IMAGE_OUT + 1,
	};

	if (raws[id] != 0)
		extract_set(&x->ev.counts, (enum raw)(raws[id] - 1), s);
}

static void on_scalar(struct extract *x, uint8_t id, enum json_token t, const struct scalar *s)
{
	if (id == ID_TEXT || id == ID_DELTA || id == ID_AUDIO)
		on_text(x, id, t, s);
	else if (id == ID_FINISH || id == ID_ERROR)
		*(id == ID_FINISH ? &x->ev.finish : &x->ev.error) |= t != JT_NULL;
	else if (id == ID_CHOICE)
		x->ev.list_any = true;
	else if (t == JT_STRING)
		on_string(x, id, s);
	else if (t == JT_NUMBER)
		on_number(x, id, s);
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static void take_usage(struct extract *x)
{
	x->counts = x->ev.counts;
	x->usage_seen = true;
}

/* Usage is cumulative and the last one wins. It is final in a chunk without choices, or once a choice has finished. */
static void commit_chat(struct extract *x)
{
	const struct staged *ev = &x->ev;

	x->fatal |= ev->error;
	x->finish_seen |= ev->finish;
	if (!ev->usage)
		return;
	take_usage(x);
	if (!x->stream || x->finish_seen || (ev->list_seen && !ev->list_any))
		x->final = true;
}

static bool is_terminal(const char *type)
{
	return strcmp(type, "response.completed") == 0 || strcmp(type, "response.incomplete") == 0 ||
	       strcmp(type, "response.failed") == 0;
}

static void set_fees(struct extract *x, uint64_t web, uint64_t files)
{
	x->counts.n[RAW_WEB] = web;
	x->counts.n[RAW_FILES] = files;
	x->counts.have |= 1u << RAW_WEB | 1u << RAW_FILES;
}

static void commit_responses(struct extract *x)
{
	const struct staged *ev = &x->ev;
	bool whole = !x->stream, terminal = whole || is_terminal(ev->type);

	/* inside a response an error explains why it failed; beside one it ends the stream */
	if (!whole && (ev->error || strcmp(ev->type, "error") == 0))
		x->fatal = x->error_seen = true;
	if (strcmp(ev->type, "response.output_item.done") == 0) {
		x->items_web += ev->web;
		x->items_files += ev->files;
		set_fees(x, x->items_web, x->items_files);
	}
	if (strcmp(ev->type, "response.failed") == 0)
		x->error_seen = true;
	if (ev->usage) {
		uint64_t web = x->items_web, files = x->items_files;

		take_usage(x);
		set_fees(x, web, files);
	}
	if (!terminal)
		return;
	if (ev->web > x->items_web || ev->files > x->items_files || whole)
		set_fees(x, ev->web > x->items_web ? ev->web : x->items_web,
			 ev->files > x->items_files ? ev->files : x->items_files);
	if (ev->usage)
		x->final = true;
}

const struct extract_ops extract_chat = {places, wants_text, PL_CHAT, on_begin, on_end, on_scalar, commit_chat};
const struct extract_ops extract_responses = {places, wants_text, PL_EVENT,        on_begin,
					      on_end, on_scalar,  commit_responses};
