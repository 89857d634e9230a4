#include "meter/extract.h"

#include "base/check.h"
#include "base/error.h"
#include "meter/quick.h"

/* --- counts ------------------------------------------------------------------------------------------------------- */

#define BIT(raw) (1u << (raw))

static uint64_t add_capped(uint64_t a, uint64_t b)
{
	uint64_t sum;

	if (__builtin_add_overflow(a, b, &sum) || sum > INT64_MAX)
		return INT64_MAX;
	return sum;
}

/* As json_count; nearly all counts are a few digits. */
static int read_count(struct slice s, uint64_t *ret)
{
	uint64_t v = 0;
	size_t i;

	if (s.n > 18)
		return json_count(s, ret);
	for (i = 0; i < s.n; i++) {
		unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';

		if (digit > 9)
			return json_count(s, ret);
		v = v * 10 + digit;
	}
	*ret = v;
	return BUR_OK;
}

void extract_set(struct counts *c, enum raw raw, const struct scalar *s)
{
	uint64_t v;

	if (s->cut || read_count(s->text, &v) < 0 || v > INT64_MAX)
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

void extract_word(char *dst, size_t dst_size, const struct scalar *s)
{
	(void)slice_to_cstr(s->text, dst, dst_size);
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
	default:
		return NULL;
	}
}

static void names_clear(struct names *n)
{
	n->model[0] = n->tier[0] = n->speed[0] = n->geo[0] = n->id[0] = '\0';
}

static void stage_clear(struct staged *ev)
{
	memset(ev, 0, offsetof(struct staged, counts));
	ev->counts.have = ev->entry.have = ev->sum.have = 0;
	ev->type[0] = ev->entry_type[0] = '\0';
	names_clear(&ev->names);
}

void extract_init(struct extract *x, enum api_kind kind, bool stream)
{
	/* the walk and the stage are readied for each event */
	x->ops = ops_for(kind);
	CHECK(x->ops);
	x->kind = kind;
	x->head.have = x->counts.have = x->sum.have = 0;
	x->opaque_bytes = 0;
	x->items_web = x->items_files = x->output_bytes = 0;
	x->stream = stream;
	x->usage_seen = x->finish_seen = x->started = x->final = x->fatal = x->error_seen = false;
	names_clear(&x->names);
}

void extract_event_begin(struct extract *x, struct json_reader *r)
{
	json_reader_init(r);
	r->want_text = false;
	stage_clear(&x->ev);
	walk_init(&x->walk, x->ops->root);
}

void extract_header(struct extract *x, struct slice name, struct slice value)
{
	static const struct {
		const char *name;
		enum raw raw;
	} heads[] = {
	    {"x-amzn-bedrock-input-token-count", RAW_INPUT},
	    {"x-amzn-bedrock-output-token-count", RAW_OUTPUT},
	    {"x-amzn-bedrock-cache-read-input-token-count", RAW_CACHED},
	    {"x-amzn-bedrock-cache-write-input-token-count", RAW_CACHE_WRITE},
	    {"fireworks-prompt-tokens", RAW_INPUT},
	    {"fireworks-cached-prompt-tokens", RAW_CACHED},
	};
	const struct scalar s = {.text = slice_trim(value)};

	for (size_t i = 0; i < ARRAY_LEN(heads); i++)
		if (slice_ieq(name, slice_of(heads[i].name)))
			extract_set(&x->head, heads[i].raw, &s);
}

void extract_event_name(struct extract *x, struct slice name, bool exception)
{
	/* what else an event is, it says itself */
	if (exception || slice_eq(name, SLICE("error")))
		x->fatal = x->error_seen = true;
}

void extract_opaque(struct extract *x, size_t n)
{
	x->opaque_bytes = add_capped(x->opaque_bytes, n);
}

static void take_scalar(struct extract *x, uint8_t id, enum json_token t, const struct json_reader *r)
{
	struct scalar s = {json_text(r), r->length_bytes, r->cut};

	x->ops->scalar(x, id, t, &s);
}

/* A container: entered, or skipped when nothing in it matters. Returns whether it is skipped. */
static bool take_begin(struct extract *x, struct json_reader *r, bool object)
{
	const struct walk_place *places = x->ops->places;
	uint8_t id = walk_value_id(&x->walk, places), to = walk_next(&x->walk, places, object);

	if (id != 0)
		x->ops->begin(x, id, object);
	if (walk_is_dead(&places[to])) {
		json_skip_value(r);
		walk_over(&x->walk);
		return true;
	}
	walk_enter(&x->walk, to);
	return false;
}

bool extract_token(struct extract *x, struct json_reader *r, enum json_token t)
{
	const struct walk_place *places = x->ops->places;
	uint8_t here = walk_here(&x->walk), id;
	bool skipping = false;

	switch (t) {
	case JT_KEY:
		walk_key(&x->walk, places, json_text(r));
		/* a key inside of text that counts whole, such as the arguments of a tool call */
		if (places[here].other_id != 0)
			take_scalar(x, places[here].other_id, JT_STRING, r);
		break;
	case JT_OBJECT_BEGIN:
	case JT_ARRAY_BEGIN:
		skipping = take_begin(x, r, t == JT_OBJECT_BEGIN);
		break;
	case JT_OBJECT_END:
	case JT_ARRAY_END:
		x->ops->end(x, here);
		walk_leave(&x->walk);
		break;
	case JT_STRING:
	case JT_NUMBER:
	case JT_TRUE:
	case JT_FALSE:
	case JT_NULL:
		id = walk_value_id(&x->walk, places);
		if (id != 0)
			take_scalar(x, id, t, r);
		break;
	default:
		return false;
	}
	r->want_text = x->ops->wants_text[walk_value_id(&x->walk, places)];
	return skipping;
}

/* --- events that lie whole in memory ------------------------------------------------------------------------------ */

/* What a value is in its container. */
struct spot {
	uint8_t id, child;
};

static inline struct spot spot_of(const struct walk_place *place, const struct walk_key *k)
{
	if (place->items != 0)
		return (struct spot){place->item_id, place->items};
	return k ? (struct spot){k->id, k->child} : (struct spot){place->other_id, place->other_child};
}

/* A key and its colon: returns the value's first byte. */
static inline const char *whole_key(struct extract *x, const char *p, const char *end, const struct walk_place *place,
				    struct spot *ret)
{
	struct scalar s = {.cut = false};

	p = quick_key(p, end, &s.text);
	if (!p)
		return NULL;
	*ret = spot_of(place, walk_find(place, s.text));
	if (place->other_id != 0) {
		s.length_bytes = s.text.n;
		x->ops->scalar(x, place->other_id, JT_STRING, &s);
	}
	return p;
}

static inline const char *whole_string(struct extract *x, const char *p, const char *end, uint8_t id)
{
	const char *text = p + 1;
	struct scalar s = {.cut = false};
	bool plain;

	p = quick_string(text, end, &s.length_bytes, &plain);
	if (!p || id == 0)
		return p ? p + 1 : NULL;
	if (x->ops->wants_text[id]) {
		if (!plain || s.length_bytes > JSON_CAPTURE_MAX)
			return NULL;
		s.text = slice_mem(text, (size_t)(p - text));
	}
	x->ops->scalar(x, id, JT_STRING, &s);
	return p + 1;
}

/* A number or a word. */
static inline const char *whole_other(struct extract *x, const char *p, const char *end, uint8_t id)
{
	bool word = *p == 't' || *p == 'f' || *p == 'n';
	enum json_token t = !word ? JT_NUMBER : *p == 't' ? JT_TRUE : *p == 'f' ? JT_FALSE : JT_NULL;
	const char *stop = word ? quick_word(p, end) : quick_number(p);
	struct scalar s = {.cut = false};

	if (!stop || id == 0)
		return stop;
	if (!word) {
		s.text = slice_mem(p, (size_t)(stop - p));
		s.length_bytes = s.text.n;
		if (s.text.n > JSON_CAPTURE_MAX)
			return NULL;
	}
	x->ops->scalar(x, id, t, &s);
	return stop;
}

/* A container with all that is in it; recursion ends at QUICK_DEPTH_MAX. */
static const char *whole_container(struct extract *x, const char *p, const char *end, struct spot at, int depth)
{
	bool object = *p == '{';
	char close = object ? '}' : ']';
	uint8_t to = walk_resolve(x->ops->places, at.child, object);
	const struct walk_place *place = &x->ops->places[to];

	if (at.id != 0)
		x->ops->begin(x, at.id, object);
	if (walk_is_dead(place))
		return quick_skip(p, end, depth);
	if (depth >= QUICK_DEPTH_MAX || p + 1 == end)
		return NULL;
	at = spot_of(place, NULL);
	p = quick_space(p + 1);
	while (p && *p != close) {
		if (object) {
			p = whole_key(x, p, end, place, &at);
			if (!p)
				return NULL;
		}
		if (*p == '"')
			p = whole_string(x, p, end, at.id);
		else if (*p == '{' || *p == '[')
			p = whole_container(x, p, end, at, depth + 1);
		else
			p = whole_other(x, p, end, at.id);
		p = quick_next(p, end, close);
	}
	if (!p)
		return NULL;
	x->ops->end(x, to);
	return p + 1;
}

bool extract_whole(struct extract *x, const char *p, size_t n)
{
	uint64_t output_bytes = x->output_bytes; /* all else is staged */
	const char *end = p + n;

	if (n < 2 || *p != '{' || end[-1] != '}')
		return false;
	stage_clear(&x->ev);
	if (whole_container(x, p, end, (struct spot){0, x->ops->root}, 0) == end)
		return true;
	x->output_bytes = output_bytes;
	stage_clear(&x->ev);
	return false;
}

/* --- taking over -------------------------------------------------------------------------------------------------- */

static void take_name(char *dst, const char *src, size_t size)
{
	if (src[0] != '\0')
		(void)slice_to_cstr(slice_of(src), dst, size);
}

void extract_commit(struct extract *x)
{
	const struct names *n = &x->ev.names;

	take_name(x->names.model, n->model, sizeof(n->model));
	take_name(x->names.tier, n->tier, sizeof(n->tier));
	take_name(x->names.speed, n->speed, sizeof(n->speed));
	take_name(x->names.geo, n->geo, sizeof(n->geo));
	take_name(x->names.id, n->id, sizeof(n->id));
	if (x->ev.error)
		x->error_seen = true;
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

	memset(u, 0, sizeof(*u));
	take_name(u->model, x->names.model, sizeof(u->model));
	take_name(u->service_tier, x->names.tier, sizeof(u->service_tier));
	take_name(u->speed, x->names.speed, sizeof(u->speed));
	take_name(u->inference_geo, x->names.geo, sizeof(u->inference_geo));
	take_name(u->dedupe_key, x->names.id, sizeof(u->dedupe_key));
	u->output_bytes = x->output_bytes;
	u->error_seen = x->error_seen;
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
