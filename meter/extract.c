#include "meter/extract.h"

#include "base/check.h"
#include "base/error.h"

/* --- counts ------------------------------------------------------------------------------------------------------- */

#define BIT(raw) (1u << (raw))

static uint64_t add_capped(uint64_t a, uint64_t b)
{
	uint64_t sum;

	if (__builtin_add_overflow(a, b, &sum) || sum > INT64_MAX)
		return INT64_MAX;
	return sum;
}

void extract_set(struct counts *c, enum raw raw, const struct json_reader *r)
{
	uint64_t v;

	if (r->cut || json_count(json_text(r), &v) < 0 || v > INT64_MAX)
		return;
	c->n[raw] = v;
	c->have |= BIT(raw);
}

void extract_add(struct counts *c, enum raw raw, uint64_t v)
{
	c->n[raw] = add_capped((c->have & BIT(raw)) ? c->n[raw] : 0, v);
	c->have |= BIT(raw);
}

void extract_merge(struct counts *c, const struct counts *newer)
{
	int i;

	for (i = 0; i < RAW_COUNT; i++)
		if (newer->have & BIT(i))
			c->n[i] = newer->n[i];
	c->have |= newer->have;
}

void extract_word(char *dst, size_t dst_size, const struct json_reader *r)
{
	(void)slice_to_cstr(json_text(r), dst, dst_size);
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static const struct extract_ops *ops_for(enum api_kind kind)
{
	switch (kind) {
	case API_CHAT:
	case API_EMBEDDINGS:
		return &extract_chat;
	case API_RESPONSES:
		return &extract_responses;
	case API_MESSAGES:
		return &extract_messages;
	case API_GENERATE:
		return &extract_generate;
	case API_FREE:
	case API_UNKNOWN:
		break;
	}
	return NULL;
}

static void stage_clear(struct staged *ev)
{
	memset(ev, 0, offsetof(struct staged, type));
	ev->type[0] = ev->entry_type[0] = ev->model[0] = ev->tier[0] = ev->speed[0] = ev->geo[0] = ev->id[0] = '\0';
}

void extract_init(struct extract *x, enum api_kind kind, bool stream)
{
	memset(x, 0, sizeof(*x));
	x->kind = kind;
	x->stream = stream;
	x->ops = ops_for(kind);
	CHECK(x->ops);
}

void extract_event_begin(struct extract *x, struct json_reader *r)
{
	json_reader_init(r);
	r->want_text = false;
	stage_clear(&x->ev);
	walk_init(&x->walk, x->ops->root);
}

void extract_token(struct extract *x, struct json_reader *r, enum json_token t)
{
	const struct walk_place *places = x->ops->places;
	uint8_t here = walk_here(&x->walk), id;

	switch (t) {
	case JSON_KEY:
		if (here != WALK_IGNORE)
			walk_key(&x->walk, places, json_text(r));
		/* a key inside of text that counts whole, such as the arguments of a tool call */
		if (places[here].other_id != 0)
			x->ops->scalar(x, places[here].other_id, JSON_STRING, r);
		break;
	case JSON_OBJECT_BEGIN:
	case JSON_ARRAY_BEGIN:
		id = walk_value_id(&x->walk, places);
		if (id != 0)
			x->ops->begin(x, id, t == JSON_OBJECT_BEGIN);
		walk_enter(&x->walk, places, t == JSON_OBJECT_BEGIN);
		break;
	case JSON_OBJECT_END:
	case JSON_ARRAY_END:
		if (here != WALK_IGNORE)
			x->ops->end(x, here);
		walk_leave(&x->walk);
		break;
	case JSON_STRING:
	case JSON_NUMBER:
	case JSON_TRUE:
	case JSON_FALSE:
	case JSON_NULL:
		id = walk_value_id(&x->walk, places);
		if (id != 0)
			x->ops->scalar(x, id, t, r);
		break;
	default:
		return;
	}
	r->want_text = x->ops->wants_text[walk_value_id(&x->walk, places)];
}

static void take_name(char *dst, const char *src, size_t size)
{
	if (src[0] != '\0')
		(void)slice_to_cstr(slice_of(src), dst, size);
}

void extract_commit(struct extract *x)
{
	struct usage *u = &x->usage;

	take_name(u->model, x->ev.model, sizeof(u->model));
	take_name(u->service_tier, x->ev.tier, sizeof(u->service_tier));
	take_name(u->speed, x->ev.speed, sizeof(u->speed));
	take_name(u->inference_geo, x->ev.geo, sizeof(u->inference_geo));
	take_name(u->dedupe_key, x->ev.id, sizeof(u->dedupe_key));
	if (x->ev.error)
		u->error_seen = true;
	x->ops->commit(x);
}

void extract_element_end(struct extract *x)
{
	x->stream = true;
	extract_commit(x);
	stage_clear(&x->ev);
}

void extract_done_marker(struct extract *x)
{
	if (x->usage_seen && x->kind == API_CHAT)
		x->final = true;
}

/* --- the normalised record ---------------------------------------------------------------------------------------- */

static uint64_t total(const struct extract *x, enum raw raw)
{
	uint64_t v = (x->counts.have & BIT(raw)) ? x->counts.n[raw] : 0;

	return add_capped(v, (x->sum.have & BIT(raw)) ? x->sum.n[raw] : 0);
}

static bool has(const struct extract *x, enum raw raw)
{
	return (x->counts.have & BIT(raw)) != 0;
}

static void normalise_totals(const struct extract *x, struct usage *u)
{
	u->input_tokens = total(x, RAW_INPUT);
	u->output_tokens = total(x, RAW_OUTPUT);
	u->has_input = has(x, RAW_INPUT);
	u->has_output = has(x, RAW_OUTPUT);
	switch (x->kind) {
	case API_MESSAGES: /* the vendor counts cache reads and writes beside the input */
		u->input_tokens =
		    add_capped(u->input_tokens, add_capped(u->cached_input_tokens, u->cache_write_tokens));
		break;
	case API_GENERATE: /* thoughts and tool results stand beside; an absent counter is 0 */
		u->input_tokens = add_capped(u->input_tokens, total(x, RAW_TOOL_INPUT));
		u->output_tokens = add_capped(u->output_tokens, u->reasoning_tokens);
		u->has_input = u->has_output = x->usage_seen;
		break;
	case API_EMBEDDINGS:
		u->has_output = u->has_output || u->has_input;
		break;
	default:
		break;
	}
}

void extract_result(const struct extract *x, struct usage *ret)
{
	struct usage *u = ret;

	*u = x->usage;
	u->stream = x->stream;
	u->requests = 1;
	u->cached_input_tokens = total(x, RAW_CACHED);
	u->cache_write_tokens = total(x, RAW_CACHE_WRITE);
	u->cache_write_1h_tokens = total(x, RAW_CACHE_WRITE_1H);
	if (u->cache_write_1h_tokens > u->cache_write_tokens)
		u->cache_write_1h_tokens = u->cache_write_tokens;
	u->reasoning_tokens = total(x, RAW_REASONING);
	u->audio_input_tokens = total(x, RAW_AUDIO_IN);
	u->cached_audio_tokens = total(x, RAW_CACHED_AUDIO);
	u->audio_output_tokens = total(x, RAW_AUDIO_OUT);
	u->image_input_tokens = total(x, RAW_IMAGE_IN);
	u->image_output_tokens = total(x, RAW_IMAGE_OUT);
	u->web_searches = total(x, RAW_WEB);
	u->file_searches = total(x, RAW_FILES);
	normalise_totals(x, u);
	u->complete = x->final && !x->fatal && u->has_input && u->has_output;
}
