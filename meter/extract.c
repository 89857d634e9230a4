#include "meter/extract.h"

#include <stdlib.h>

#include "base/amount.h"
#include "base/check.h"
#include "base/error.h"
#include "meter/quick.h"

/* The row to add for a new vendor API. */
static const struct extract_ops *const ops_by_kind[API_KIND_COUNT] = {
    [API_CHAT] = &extract_chat,
    [API_COMPLETIONS] = &extract_chat,
    [API_RESPONSES] = &extract_responses,
    [API_RESPONSE_LATE] = &extract_responses,
    [API_EMBEDDINGS] = &extract_embeddings,
    [API_MODERATIONS] = &extract_moderations,
    [API_IMAGES] = &extract_images,
    [API_SPEECH] = &extract_speech,
    [API_TRANSCRIPTIONS] = &extract_transcriptions,
    [API_BATCH_SUBMIT] = &extract_batch,
    [API_BATCH] = &extract_batch,
    [API_BATCH_RESULTS] = &extract_batch_results,
    [API_REALTIME] = &extract_realtime,
    [API_MESSAGES] = &extract_messages,
    [API_GENERATE] = &extract_generate,
    [API_EMBED_CONTENT] = &extract_embed_content,
    [API_PREDICT] = &extract_predict,
    [API_INTERACTIONS] = &extract_interactions,
    [API_INTERACTION_LATE] = &extract_interactions,
    [API_CONVERSE] = &extract_converse,
    [API_INVOKE] = &extract_invoke,
    [API_COHERE_CHAT] = &extract_cohere,
    [API_COHERE_UNITS] = &extract_cohere,
    [API_OCR] = &extract_ocr,
    [API_OLLAMA] = &extract_ollama,
    [API_OLLAMA_EMBED] = &extract_ollama,
};

/* --- what a value means ------------------------------------------------------------------------------------------- */

/* Where a word is kept. */
#define WORD(field)                                                                                                    \
	{                                                                                                              \
		offsetof(struct staged, field), sizeof(((struct staged *)0)->field)                                    \
	}
static const struct {
	uint16_t at, size;
} words[MARK_LAST_WORD + 1] = {
    [MARK_MODEL] = WORD(names.model),
    [MARK_ID] = WORD(names.id),
    [MARK_FILE] = WORD(names.file),
    [MARK_TIER] = WORD(names.tier),
    [MARK_SPEED] = WORD(names.speed),
    [MARK_GEO] = WORD(names.geo),
    [MARK_TYPE] = WORD(type),
    [MARK_STATUS] = WORD(status),
    [MARK_PHASE] = WORD(phase),
    [MARK_SIDE_MODEL] = WORD(names.side_model),
    [MARK_ENTRY_TYPE] = WORD(entry_type),
    [MARK_ENTRY_MODEL] = WORD(entry_model),
    [MARK_ENTRY_KEY] = WORD(entry_key),
};

/* Audio tokens last 50 ms or more; at the lowest bit rate in use that is far over 64 bytes of base64. */
#define AUDIO_BYTES_PER_TOKEN 64
/* A picture is at most a few thousand tokens, however many bytes it has. */
#define BLOB_BYTES_COUNTED 4096
#define PUSD_PER_TICK 100 /* xAI counts cost in 1e-10 USD */

static bool is_word(uint8_t mark)
{
	return mark != MARK_NONE && mark <= MARK_LAST_WORD;
}

static bool is_found(uint8_t mark)
{
	return mark >= MARK_FOUND_BASE && mark < MARK_ENTRY_BASE;
}

static inline bool wants_text(uint8_t mark)
{
	return is_word(mark) || is_found(mark);
}

/* As json_count; nearly all counts are a few digits. */
static int read_count(struct slice s, uint64_t *ret)
{
	uint64_t v = 0;
	size_t i;

	if (s.n == 0 || s.n > 18)
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

/* What is no whole number >= 0, or too large, is not reported. */
static void take_number(struct counts *c, int raw, const struct scalar *s)
{
	uint64_t v;

	if (!s->cut && read_count(s->text, &v) == BUR_OK && v <= INT64_MAX)
		counts_set(c, (enum raw)raw, v);
}

static void take_count(struct extract *x, uint8_t mark, enum json_token t, const struct scalar *s)
{
	if (is_found(mark) && (t == JT_NUMBER || t == JT_STRING))
		take_number(&x->ev->found, mark - MARK_FOUND_BASE, s);
	else if (t != JT_NUMBER)
		return;
	else if (mark < MARK_FOUND_BASE)
		take_number(&x->ev->counts, mark - MARK_COUNT_BASE, s);
	else
		take_number(&x->ev->entry, mark - MARK_ENTRY_BASE, s);
}

static void take_decimal(struct counts *c, enum raw raw, int decimals, const struct scalar *s)
{
	int64_t v;

	if (!s->cut && decimal_parse(s->text, decimals, true, &v) == BUR_OK && v >= 0)
		counts_set(c, raw, (uint64_t)v);
}

static void take_measure(struct staged *ev, uint8_t mark, const struct scalar *s)
{
	struct counts *c = &ev->counts;
	uint64_t ticks;

	if (mark == MARK_COST)
		take_decimal(c, RAW_COST_PUSD, 12, s);
	else if (mark == MARK_UPSTREAM)
		take_decimal(c, RAW_UPSTREAM_PUSD, 12, s);
	else if (mark == MARK_SECONDS)
		take_decimal(c, RAW_AUDIO_MS, 3, s);
	else if (mark == MARK_DURATION)
		take_decimal(&ev->entry, RAW_AUDIO_MS, 3, s);
	else if (!s->cut && read_count(s->text, &ticks) == BUR_OK && ticks <= INT64_MAX / PUSD_PER_TICK) {
		counts_set(c, RAW_COST_PUSD, ticks * PUSD_PER_TICK);
		counts_set(c, RAW_XAI, 1);
	}
}

/* Is it text whose tokens may be counted? Of what a socket or a response streams only the words of the answer are. */
static bool may_be_said(uint8_t mark)
{
	return mark == MARK_SAID || mark == MARK_DELTA;
}

/* Long pieces count as bytes: they are not kept whole where they come in pieces. */
static void take_said(struct extract *x, uint8_t mark, const struct scalar *s)
{
	struct staged *ev = x->ev;

	if (s->cut || s->length_bytes > JSON_CAPTURE_MAX ||
	    (mark == MARK_DELTA && strcmp(ev->type, "response.output_text.delta") != 0))
		return;
	if (ev->defer && ev->n_said < EXTRACT_SAID_MAX)
		ev->said[ev->n_said] = s->text;
	ev->n_said += ev->n_said <= EXTRACT_SAID_MAX;
	if (ev->defer)
		return;
	tap_text_feed(x->text, s->text.p, s->text.n);
	x->text_bytes += s->length_bytes;
}

/* Counts what is more than the other names said of it so far. */
static void take_thought(struct extract *x, uint8_t mark, uint64_t n)
{
	uint64_t *bytes = x->ev->thought_bytes, before = thoughts_most(bytes);

	bytes[mark - MARK_THOUGHT] += n;
	x->output_bytes += thoughts_most(bytes) - before;
}

static void take_text(struct extract *x, uint8_t mark, const struct scalar *s)
{
	uint64_t n = s->length_bytes;

	if ((mark == MARK_TEXT || mark == MARK_SAID) && x->stream && x->ops->deltas_only)
		return;
	if (is_thought(mark)) {
		take_thought(x, mark, n);
		return;
	}
	if (x->text && may_be_said(mark))
		take_said(x, mark, s);
	if (mark == MARK_AUDIO || (mark == MARK_DELTA && strstr(x->ev->type, "audio.delta")))
		n = n / AUDIO_BYTES_PER_TOKEN + 1;
	else if (mark == MARK_BLOB && n > BLOB_BYTES_COUNTED)
		n = BLOB_BYTES_COUNTED;
	x->output_bytes += n;
}

static void take_flag(struct staged *ev, uint8_t mark, enum json_token t)
{
	switch (mark) {
	case MARK_ERROR:
		ev->error |= t != JT_NULL;
		break;
	case MARK_FINISH:
		ev->finish |= t != JT_NULL;
		break;
	case MARK_METRICS:
		ev->metrics |= t != JT_NULL;
		break;
	case MARK_LIST_ITEM:
		ev->list_any = true;
		break;
	case MARK_DONE:
		ev->done |= t == JT_TRUE;
		break;
	case MARK_BYOK:
		ev->byok |= t == JT_TRUE;
		break;
	case MARK_QUERY:
		if (t == JT_STRING)
			counts_add(&ev->found, RAW_WEB, 1);
		break;
	default:
		break;
	}
}

static void take_scalar(struct extract *x, uint8_t mark, enum json_token t, const struct scalar *s)
{
	if (mark >= MARK_COUNT_BASE)
		take_count(x, mark, t, s);
	else if (mark <= MARK_LAST_WORD) {
		if (t == JT_STRING)
			(void)slice_to_cstr(s->text, (char *)x->ev + words[mark].at, words[mark].size);
	} else if (mark >= MARK_COST) {
		if (t == JT_NUMBER)
			take_measure(x->ev, mark, s);
	} else if (mark >= MARK_TEXT) {
		if (t == JT_STRING || t == JT_NUMBER)
			take_text(x, mark, s);
	} else {
		take_flag(x->ev, mark, t);
	}
}

/* A container with a meaning begins. */
static void take_begin(struct extract *x, uint8_t mark, bool object)
{
	struct staged *ev = x->ev;

	if (mark == MARK_USAGE && object) {
		ev->usage = true;
		ev->counts.have = 0;
	} else if (mark == MARK_LIST) {
		ev->list_seen = true;
	} else if (mark == MARK_ITEMS) {
		ev->found.have = 0;
	} else if (mark == MARK_PARTS && !object) {
		ev->parts_seen = true;
		ev->sum.have = 0;
		ev->others.n = 0;
	} else if (mark > MARK_LAST_WORD && mark < MARK_TEXT) {
		take_flag(ev, mark, JT_OBJECT_BEGIN);
	}
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static void names_clear(struct names *n)
{
	n->model[0] = n->side_model[0] = n->tier[0] = n->speed[0] = n->geo[0] = n->id[0] = n->file[0] = '\0';
	n->session[0] = '\0';
}

void extract_entry_clear(struct extract *x)
{
	x->ev->entry.have = 0;
	x->ev->entry_type[0] = x->ev->entry_key[0] = x->ev->entry_model[0] = '\0';
}

static void stage_clear(struct extract *x)
{
	struct staged *ev = x->ev;

	memset(ev, 0, offsetof(struct staged, counts));
	ev->counts.have = ev->found.have = ev->sum.have = 0;
	ev->type[0] = ev->status[0] = ev->phase[0] = '\0';
	extract_entry_clear(x);
	names_clear(&ev->names);
	ev->others.n = 0;
	ev->others.full = false;
}

void extract_init(struct extract *x, enum api_kind kind, bool stream)
{
	memset(x, 0, sizeof(*x));
	x->ops = ops_by_kind[kind];
	CHECK(x->ops);
	x->kind = kind;
	x->stream = stream;
}

void extract_done(struct extract *x)
{
	free(x->head);
	free(x->counts);
	free(x->found);
	free(x->sum);
	free(x->others);
	for (size_t i = 0; i < WORD_COUNT; i++)
		free(x->words[i]);
}

/* --- what is known ------------------------------------------------------------------------------------------------ */

/* NULL, and the answer is lost: no memory. */
static void *take_memory(struct extract *x, size_t n)
{
	void *p = calloc(1, n);

	x->lost |= !p;
	return p;
}

struct counts *extract_known(struct extract *x, struct counts **c)
{
	if (!*c)
		*c = take_memory(x, sizeof(**c));
	if (!*c) {
		x->ev->nowhere.have = 0;
		return &x->ev->nowhere;
	}
	return *c;
}

static struct others *known_others(struct extract *x)
{
	if (!x->others)
		x->others = take_memory(x, sizeof(*x->others));
	return x->others;
}

void extract_add_other(struct extract *x, const char *model, const char *role, const struct counts *c)
{
	struct others *o = known_others(x);

	if (o)
		others_add(o, model, role, c);
}

void extract_add_others(struct extract *x, const struct others *more)
{
	struct others *o = more->n > 0 || more->full ? known_others(x) : NULL;

	if (o)
		others_sum(o, more);
}

static void set_word(struct extract *x, enum word w, const char *text)
{
	size_t n = strlen(text) + 1;
	char *copy;

	if (x->words[w] && strcmp(x->words[w], text) == 0)
		return;
	copy = take_memory(x, n);
	if (!copy)
		return;
	memcpy(copy, text, n);
	free(x->words[w]);
	x->words[w] = copy;
}

/* --- the answer's head -------------------------------------------------------------------------------------------- */

void extract_header(struct extract *x, struct slice name, struct slice value)
{
	static const struct {
		const char *name;
		enum raw raw;
	} heads[] = {
	    {"x-amzn-bedrock-input-token-count", RAW_INPUT_FRESH},
	    {"x-amzn-bedrock-output-token-count", RAW_OUTPUT},
	    {"x-amzn-bedrock-cache-read-input-token-count", RAW_CACHED},
	    {"x-amzn-bedrock-cache-write-input-token-count", RAW_CACHE_WRITE},
	    {"fireworks-prompt-tokens", RAW_INPUT},
	    {"fireworks-cached-prompt-tokens", RAW_CACHED_ALT},
	};
	const struct scalar s = {.text = slice_trim(value)};
	char tier[32];

	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		if (!slice_ieq(name, slice_of(heads[i].name)))
			continue;
		if (!x->head)
			x->head = take_memory(x, sizeof(*x->head));
		if (x->head)
			take_number(x->head, heads[i].raw, &s);
	}
	if (slice_ieq(name, SLICE("x-amzn-bedrock-service-tier"))) {
		(void)slice_to_cstr(s.text, tier, sizeof(tier));
		set_word(x, WORD_TIER, tier);
	}
}

/* --- events that come in pieces ----------------------------------------------------------------------------------- */

void extract_event_begin(struct extract *x, struct json_reader *r)
{
	json_reader_init(r);
	r->want_text = false;
	stage_clear(x);
	walk_init(&x->ev->walk, x->ops->root);
}

void extract_event_name(struct extract *x, struct slice name, bool exception)
{
	/* what else an event is, it says itself */
	if (exception || slice_eq(name, SLICE("error")))
		x->fatal = x->error_seen = true;
}

void extract_opaque(struct extract *x, size_t n)
{
	x->opaque_bytes += n;
}

static void reader_scalar(struct extract *x, uint8_t mark, enum json_token t, const struct json_reader *r)
{
	struct scalar s = {.text = json_text(r), .length_bytes = r->length_bytes, .cut = r->cut};

	take_scalar(x, mark, t, &s);
}

/* A container: entered, or skipped when nothing in it matters. Returns whether it is skipped. */
static bool reader_begin(struct extract *x, struct json_reader *r, bool object)
{
	const struct walk_place *places = x->ops->places;
	uint8_t mark = walk_value_id(&x->ev->walk, places), to = walk_next(&x->ev->walk, places, object);

	if (mark != MARK_NONE)
		take_begin(x, mark, object);
	if (walk_is_dead(&places[to])) {
		json_skip_value(r);
		walk_over(&x->ev->walk);
		return true;
	}
	walk_enter(&x->ev->walk, to);
	return false;
}

static inline void place_end(struct extract *x, uint8_t place)
{
	if (x->ops->end)
		x->ops->end(x, place);
}

bool extract_token(struct extract *x, struct json_reader *r, enum json_token t)
{
	const struct walk_place *places = x->ops->places;
	uint8_t here = walk_here(&x->ev->walk), mark;
	bool skipping = false;

	switch (t) {
	case JT_KEY:
		walk_key(&x->ev->walk, places, json_text(r));
		/* a key inside of text that counts whole, such as the arguments of a tool call */
		if (places[here].other_id != MARK_NONE)
			reader_scalar(x, places[here].other_id, JT_STRING, r);
		break;
	case JT_OBJECT_BEGIN:
	case JT_ARRAY_BEGIN:
		skipping = reader_begin(x, r, t == JT_OBJECT_BEGIN);
		break;
	case JT_OBJECT_END:
	case JT_ARRAY_END:
		place_end(x, here);
		walk_leave(&x->ev->walk);
		break;
	case JT_STRING:
	case JT_NUMBER:
	case JT_TRUE:
	case JT_FALSE:
	case JT_NULL:
		mark = walk_value_id(&x->ev->walk, places);
		if (mark != MARK_NONE)
			reader_scalar(x, mark, t, r);
		break;
	default:
		return false;
	}
	mark = walk_value_id(&x->ev->walk, places);
	r->want_text = wants_text(mark) || (x->text && may_be_said(mark));
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
		take_scalar(x, place->other_id, JT_STRING, &s);
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
	if (wants_text(id)) {
		if (!plain || s.length_bytes > JSON_CAPTURE_MAX)
			return NULL;
		s.text = slice_mem(text, (size_t)(p - text));
	} else if (x->text && may_be_said(id)) {
		s.text = slice_mem(text, (size_t)(p - text));
	}
	take_scalar(x, id, JT_STRING, &s);
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
	take_scalar(x, id, t, &s);
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
		take_begin(x, at.id, object);
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
	place_end(x, to);
	return p + 1;
}

/* The event was whole: what it said is counted. */
static void said_take(struct extract *x)
{
	struct staged *ev = x->ev;

	for (size_t i = 0; i < ev->n_said; i++)
		x->text_bytes += tap_text_feed_json(x->text, ev->said[i]);
}

bool extract_whole(struct extract *x, const char *p, size_t n)
{
	uint64_t output_bytes = x->output_bytes; /* all else is staged */
	const char *end = p + n;

	if (n < 2 || *p != '{' || end[-1] != '}')
		return false;
	stage_clear(x);
	x->ev->defer = true;
	if (whole_container(x, p, end, (struct spot){0, x->ops->root}, 0) == end && x->ev->n_said <= EXTRACT_SAID_MAX) {
		said_take(x);
		return true;
	}
	x->output_bytes = output_bytes;
	stage_clear(x);
	return false;
}

/* --- taking over -------------------------------------------------------------------------------------------------- */

static void take_names(struct extract *x, const struct names *n)
{
	const char *const said[WORD_COUNT] = {
	    [WORD_MODEL] = n->model, [WORD_SIDE_MODEL] = n->side_model,
	    [WORD_TIER] = n->tier,   [WORD_SPEED] = n->speed,
	    [WORD_GEO] = n->geo,     [WORD_ID] = n->id,
	    [WORD_FILE] = n->file,   [WORD_SESSION] = n->session,
	};

	for (int w = 0; w < WORD_COUNT; w++)
		if (said[w][0] != '\0')
			set_word(x, (enum word)w, said[w]);
}

/* The usage in parts, of which the latest holds. */
static void take_parts(struct extract *x)
{
	const struct staged *ev = x->ev;

	if (ev->sum.have != 0 || x->sum)
		counts_copy(extract_known(x, &x->sum), &ev->sum);
	if (x->others) {
		x->others->n = 0;
		x->others->full = false;
	}
	extract_add_others(x, &ev->others);
}

static void take_usage(struct extract *x)
{
	struct staged *ev = x->ev;
	struct counts *known = extract_known(x, &x->counts);

	if (!ev->byok) /* else it is what the caller's own vendor charges; without, a part of the cost */
		counts_drop(&ev->counts, RAW_UPSTREAM_PUSD);
	counts_settle(&ev->counts, strncmp(extract_word(x, WORD_MODEL), "grok", 4) == 0);
	if (x->ops->take == TAKE_ADD && x->usage_seen &&
	    counts_have(&ev->counts, RAW_COST_PUSD) != counts_have(known, RAW_COST_PUSD)) {
		/* a cost that only some of the runs tell is not the cost of all */
		counts_drop(&ev->counts, RAW_COST_PUSD);
		counts_drop(known, RAW_COST_PUSD);
	}
	if (x->ops->take == TAKE_REPLACE)
		counts_copy(known, &ev->counts);
	else if (x->ops->take == TAKE_MERGE)
		counts_merge(known, &ev->counts);
	else
		counts_sum(known, &ev->counts);
	x->usage_seen = true;
}

static bool is_terminal(const struct extract *x)
{
	const char *const *type = x->ops->terminal;

	while (*type && strcmp(*type, x->ev->type) != 0)
		type++;
	return *type != NULL;
}

static bool is_final(const struct extract *x)
{
	if (x->ops->final == FINAL_HOOK)
		return false;
	if (!x->stream)
		return x->usage_seen || (x->ops->zero & ZERO_BODY);
	if (x->ops->final == FINAL_FINISH)
		return x->usage_seen && x->finish_seen;
	return x->ev->usage && (x->ops->final == FINAL_USAGE || is_terminal(x));
}

void extract_commit(struct extract *x)
{
	struct staged *ev = x->ev;

	if (x->ops->commit)
		x->ops->commit(x);
	take_names(x, &ev->names);
	if (ev->error || event_is(x, "error"))
		x->fatal = x->error_seen = true;
	x->finish_seen |= ev->finish;
	if (ev->found.have != 0 && x->ops->take == TAKE_ADD)
		counts_sum(extract_known(x, &x->found), &ev->found);
	else if (ev->found.have != 0)
		counts_merge(extract_known(x, &x->found), &ev->found);
	if (ev->parts_seen)
		take_parts(x);
	if (ev->usage)
		take_usage(x);
	x->final |= is_final(x);
}

void extract_event_lost(struct extract *x)
{
	x->lost = true;
}

void extract_element_end(struct extract *x)
{
	x->stream = true;
	extract_commit(x);
	stage_clear(x);
}

void extract_done_marker(struct extract *x)
{
	if (x->usage_seen && x->ops == &extract_chat)
		x->final = true;
}

/* --- the normalised record ---------------------------------------------------------------------------------------- */

static struct counts all_counts(const struct extract *x)
{
	const struct counts *head = counts_or_none(x->head);
	struct counts c = *counts_or_none(x->counts);

	if (!x->usage_seen)
		counts_merge(&c, head);
	else if (counts_have(head, RAW_CACHED_ALT) && !counts_have(&c, RAW_CACHED))
		counts_set(&c, RAW_CACHED, head->n[RAW_CACHED_ALT]);
	counts_sum(&c, counts_or_none(x->sum));
	counts_raise(&c, counts_or_none(x->found));
	counts_settle(&c, false);
	return c;
}

static void word_to_usage(const struct extract *x, enum word w, char *dst, size_t size)
{
	(void)slice_to_cstr(slice_of(extract_word(x, w)), dst, size);
}

static void names_to_usage(const struct extract *x, struct usage *u)
{
	bool batch = x->kind == API_BATCH || x->kind == API_BATCH_SUBMIT || x->kind == API_BATCH_RESULTS;

	word_to_usage(x, WORD_MODEL, u->model, sizeof(u->model));
	word_to_usage(x, WORD_TIER, u->service_tier, sizeof(u->service_tier));
	if (u->service_tier[0] == '\0' && batch)
		(void)slice_to_cstr(SLICE("batch"), u->service_tier, sizeof(u->service_tier));
	word_to_usage(x, WORD_SPEED, u->speed, sizeof(u->speed));
	word_to_usage(x, WORD_GEO, u->inference_geo, sizeof(u->inference_geo));
	word_to_usage(x, WORD_ID, u->dedupe_key, sizeof(u->dedupe_key));
	word_to_usage(x, WORD_FILE, u->also_key, sizeof(u->also_key));
}

/* What is not reported because there is none of it. */
static void fill_zeros(const struct extract *x, bool final, struct usage *u)
{
	uint8_t zero = x->ops->zero;
	bool nothing = (zero & ZERO_RUNS) && final && u->requests == 0;

	nothing = nothing || ((zero & ZERO_BODY) && final && !x->usage_seen);
	u->has_input |= nothing || ((zero & ZERO_INPUT) && x->usage_seen);
	u->has_output |= nothing || ((zero & ZERO_OUTPUT) && x->usage_seen) || (zero & ZERO_NO_OUTPUT);
}

static uint64_t opaque_tokens_at_most(const struct extract *x)
{
	return x->kind == API_SPEECH && x->opaque_bytes > 0 ? x->opaque_bytes / AUDIO_BYTES_PER_TOKEN + 1
							    : x->opaque_bytes;
}

uint64_t extract_counted(const struct extract *x, bool exact)
{
	uint64_t rest = x->output_bytes - x->text_bytes + opaque_tokens_at_most(x);

	if (!x->text)
		return rest;
	return rest + (exact ? tap_text_count(x->text) : tap_text_most(x->text));
}

uint64_t extract_reported(const struct extract *x, bool *ret_final)
{
	struct usage u;
	struct counts c;

	*ret_final = x->final;
	if (!x->usage_seen && !x->found && !x->sum)
		return 0;
	c = all_counts(x);
	memset(&u, 0, sizeof(u));
	counts_to_usage(&c, &u);
	return u.output_tokens;
}

void extract_result(const struct extract *x, bool clean, struct usage *ret)
{
	const struct counts *head = counts_or_none(x->head);
	struct counts c = all_counts(x);
	bool runs = (x->ops->zero & ZERO_RUNS) != 0, final = x->final;
	struct usage *u = ret;

	if (runs) /* of a list of results that was cut, some may be missing; a socket may close at any time */
		final = x->open_runs == 0 && (clean || x->kind != API_BATCH_RESULTS);
	else if (!x->usage_seen && x->kind == API_INVOKE && !x->stream)
		final = counts_have(head, RAW_INPUT_FRESH) && counts_have(head, RAW_OUTPUT);
	memset(u, 0, sizeof(*u));
	names_to_usage(x, u);
	counts_to_usage(&c, u);
	if (x->others) {
		memcpy(u->others, x->others->v, x->others->n * sizeof(u->others[0]));
		u->n_others = x->others->n;
	}
	u->output_bytes = x->output_bytes + opaque_tokens_at_most(x);
	u->output_counted = extract_counted(x, true);
	u->error_seen = x->error_seen;
	u->stream = x->stream;
	u->requests = runs || counts_have(&c, RAW_REQUESTS) ? counts_get(&c, RAW_REQUESTS) : 1;
	fill_zeros(x, final, u);
	if (x->call_input < u->input_tokens)
		u->call_input_tokens = x->call_input;
	u->complete =
	    final && !x->fatal && !x->lost && !(x->others && x->others->full) && u->has_input && u->has_output;
}
