/* A request is walked by a table of places (reqscan_places.c). Every key that is interpreted may stand once in its
 * object: the vendor's parser would take the last one and ours could take another, and that is a way round a budget. */
#include "meter/reqscan.h"

#include <stdio.h>

#include "base/check.h"
#include "base/error.h"
#include "meter/reqscan_places.h"

/* Values that must be scalars: a bound hidden in an object is no bound. */
#define BIT(id) ((reqscan_set)1 << (id))
#define SCALARS                                                                                                        \
	(BIT(ID_MODEL) | BIT(ID_STREAM) | BIT(ID_N) | BIT(ID_BEST_OF) | BIT(ID_MAX) | BIT(ID_MAX_COMPLETION) |         \
	 BIT(ID_INCLUDE_USAGE) | BIT(ID_TIER) | BIT(ID_SPEED) | BIT(ID_GEO) | BIT(ID_BACKGROUND) | BIT(ID_TTL) |       \
	 BIT(ID_TOOL_USES) | BIT(ID_TOOL_CALLS_MAX) | BIT(ID_SIZE) | BIT(ID_WIDTH) | BIT(ID_HEIGHT) |                  \
	 BIT(ID_QUALITY) | BIT(ID_PARTIAL_IMAGES) | BIT(ID_SPEECH_INPUT) | BIT(ID_STREAM_FORMAT) |                     \
	 BIT(ID_BATCH_ENDPOINT) | BIT(ID_LINE_METHOD))
/* These stand for any number of different keys. */
#define REPEATED                                                                                                       \
	(BIT(ID_NONE) | BIT(ID_HOSTED) | BIT(ID_REMOTE_FILE) | BIT(ID_REASONS) | BIT(ID_REASONING_SHOWN) |             \
	 BIT(ID_REASONING_FORMAT) | BIT(ID_REASONING_EXCLUDED))

/* --- errors ------------------------------------------------------------------------------------------------------- */

int reqscan_fail(struct reqscan *s, enum reqscan_error error, struct slice key)
{
	s->error = error;
	(void)slice_to_cstr(key, s->error_key, sizeof(s->error_key));
	return BUR_INVALID;
}

int reqscan_bad_value(struct reqscan *s, uint8_t id)
{
	return reqscan_fail(s, REQSCAN_BAD_VALUE, reqscan_id_name(s->root_place, id));
}

const char *reqscan_error_text(const struct reqscan *s, char *dst, size_t dst_size)
{
	switch (s->error) {
	case REQSCAN_OK:
		(void)snprintf(dst, dst_size, "the request was understood");
		break;
	case REQSCAN_NOT_JSON:
		(void)snprintf(dst, dst_size, "the request body is not a JSON object in valid UTF-8");
		break;
	case REQSCAN_DUPLICATE_KEY:
		(void)snprintf(
		    dst, dst_size,
		    "the key \"%s\" stands twice in the request; send it once, since readers differ in which "
		    "one they take",
		    s->error_key);
		break;
	case REQSCAN_KEY_CASE:
		(void)snprintf(dst, dst_size,
			       "the key \"%s\" is in another case than the vendor documents it; readers differ in "
			       "whether they take it",
			       s->error_key);
		break;
	case REQSCAN_BAD_VALUE:
		(void)snprintf(dst, dst_size, "the value of \"%s\" has the wrong type or is out of range",
			       s->error_key);
		break;
	case REQSCAN_NOT_FORM:
		(void)snprintf(dst, dst_size,
			       "the request is a form of a kind that is not expected here, or that readers could split "
			       "in different ways; send plain multipart/form-data with CRLF line ends");
		break;
	case REQSCAN_TOO_DEEP:
		(void)snprintf(dst, dst_size, "the request body is nested deeper than %d levels", JSON_DEPTH_MAX);
		break;
	}
	return dst;
}

/* --- structure ---------------------------------------------------------------------------------------------------- */

/* One character of a key as those readers fold it who ignore case: ASCII, and what Unicode folds to ASCII letters. */
static char fold(struct slice s, size_t *inout_i)
{
	static const struct {
		const char *text;
		char as;
	} letters[] = {{"\u017f", 's'}, {"\u212a", 'k'}, {"\u0131", 'i'}, {"\u0130", 'i'}};
	size_t i = *inout_i;
	char c = s.p[i];

	*inout_i = i + 1;
	for (size_t k = 0; (unsigned char)c >= 0x80 && k < ARRAY_LEN(letters); k++) {
		struct slice letter = slice_of(letters[k].text);

		if (slice_starts(slice_sub(s, i, s.n), letter)) {
			*inout_i = i + letter.n;
			return letters[k].as;
		}
	}
	return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

static bool same_but_case(struct slice key, const struct walk_key *k)
{
	struct slice name = slice_mem(k->name, k->n);
	size_t i = 0, j = 0;

	while (i < key.n && j < name.n)
		if (fold(key, &i) != fold(name, &j))
			return false;
	return i == key.n && j == name.n;
}

/* Instances of Vertex are whatever the model takes. */
static bool is_in_other_case(const struct reqscan *s, struct slice key)
{
	uint8_t here = walk_here(&s->walk);
	const struct walk_place *p = &reqscan_places[here];
	bool ascii = true;

	if ((s->kind == API_PREDICT && here == PL_NODE) || walk_find(p, key))
		return false;
	for (size_t i = 0; i < key.n; i++)
		ascii &= (unsigned char)key.p[i] < 0x80;
	for (size_t i = 0; i < p->n_keys; i++)
		if ((!ascii || p->keys[i].n == key.n) && same_but_case(key, &p->keys[i]))
			return true;
	return false;
}

static int take_key(struct reqscan *s)
{
	reqscan_set *seen = &s->seen[s->walk.depth];

	walk_key(&s->walk, reqscan_places, json_text(&s->json));
	if (s->walk.key_id == ID_NONE && is_in_other_case(s, json_text(&s->json)))
		return reqscan_fail(s, REQSCAN_KEY_CASE, json_text(&s->json));
	if (!(REPEATED & BIT(s->walk.key_id))) {
		if (*seen & BIT(s->walk.key_id))
			return reqscan_fail(s, REQSCAN_DUPLICATE_KEY, json_text(&s->json));
		*seen |= BIT(s->walk.key_id);
	}
	if (walk_here(&s->walk) == PL_OPTIONS)
		s->options_empty = false;
	if (s->walk.depth == 1)
		s->root_empty = false;
	if (s->config_open && s->walk.depth == 2)
		s->config_empty = false;
	return BUR_OK;
}

static int begin_options(struct reqscan *s, bool object)
{
	if (!object)
		return reqscan_bad_value(s, ID_OPTIONS);
	s->options_token = JT_OBJECT_BEGIN;
	s->options_begin = s->json.token_begin;
	s->options_empty = true;
	return BUR_OK;
}

static void begin_config(struct reqscan *s, bool object)
{
	s->config_token = object ? JT_OBJECT_BEGIN : JT_ARRAY_BEGIN;
	s->config_brace = s->json.token_begin;
	s->config_empty = s->config_open = true;
}

/* A part that is a picture by where it stands. */
static void begin_picture(struct reqscan *s, uint8_t id)
{
	if (id == ID_IMAGES || id == ID_IMAGE_ITEM || id == ID_UPLOAD_IMAGE)
		s->flags[s->walk.depth] |= FLAG_IMAGE;
}

static void enter(struct reqscan *s, uint8_t id, uint8_t to)
{
	walk_enter(&s->walk, to);
	s->seen[s->walk.depth] = 0;
	s->flags[s->walk.depth] = 0;
	s->blob_bytes[s->walk.depth] = 0;
	if (to == PL_NODE)
		begin_picture(s, id);
	if (to == PL_TOOL)
		s->tool_hosted = s->tool_has_uses = false;
	if (to == PL_BATCH_ITEM) {
		memset(s->max, 0, sizeof(s->max));
		s->info.candidates = 1;
		s->info.has_candidates = false;
	}
}

static int take_begin(struct reqscan *s, bool object)
{
	uint8_t id = walk_value_id(&s->walk, reqscan_places);

	if (s->walk.depth == 0) {
		if (!object)
			return reqscan_fail(s, REQSCAN_NOT_JSON, SLICE_NONE);
		s->root_seen = s->root_empty = true;
		s->body_brace = s->json.token_begin;
	} else if (SCALARS & ~BIT(ID_NONE) & BIT(id)) {
		return reqscan_bad_value(s, id);
	}
	if (id == ID_OPTIONS && begin_options(s, object) < 0)
		return BUR_INVALID;
	if (id == ID_CONFIG)
		begin_config(s, object);
	if (id == ID_BATCH_BODY && s->line_body != PL_IGNORE)
		s->line_body_begin = s->json.token_begin;
	reqscan_begin_part(s, id, object);
	enter(s, id, walk_next(&s->walk, reqscan_places, object));
	return BUR_OK;
}

static uint64_t plus(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static uint64_t times(uint64_t a, uint64_t b)
{
	uint64_t product;

	return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

static void close_tool(struct reqscan *s)
{
	if (!s->tool_hosted)
		return;
	if (s->tool_has_uses)
		s->uses_sum = plus(s->uses_sum, s->tool_uses);
	else
		s->tools_unbounded = true;
}

/* The bound of one answer, from what stood under the two names; false: none. 0 bounds nothing (protobuf's "default").
 */
static bool bound_of(const struct reqscan *s, uint64_t *ret)
{
	uint64_t first = s->max[0].value, second = s->max[1].value;

	*ret = first > second ? first : second;
	return first > 0 || (second > 0 && s->bound == BOUND_EITHER);
}

static void close_batch_item(struct reqscan *s)
{
	uint64_t v;

	s->info.batch_items++;
	if (bound_of(s, &v))
		s->batch_out = plus(s->batch_out, times(v, s->info.candidates));
	else
		s->info.batch_uncapped = plus(s->info.batch_uncapped, s->info.candidates);
}

/* The rest of the line is the envelope, which no model reads. */
static void close_line_body(struct reqscan *s)
{
	s->info.batch_items = 1;
	s->info.body_bytes = s->json.offset - s->line_body_begin;
}

static void take_end(struct reqscan *s)
{
	uint8_t place = walk_here(&s->walk);

	if (place == PL_NODE)
		reqscan_close_part(s);
	else if (place == PL_TOOL)
		close_tool(s);
	else if (place == PL_BATCH_ITEM)
		close_batch_item(s);
	else if (s->walk.depth == 2 && place == s->line_body && place != PL_IGNORE)
		close_line_body(s);
	walk_leave(&s->walk);
	if (s->walk.depth == 1)
		s->config_open = false;
}

static int take_token(struct reqscan *s, enum json_token t)
{
	switch (t) {
	case JT_KEY:
		return walk_here(&s->walk) == PL_IGNORE ? BUR_OK : take_key(s);
	case JT_OBJECT_BEGIN:
	case JT_ARRAY_BEGIN:
		return take_begin(s, t == JT_OBJECT_BEGIN);
	case JT_OBJECT_END:
	case JT_ARRAY_END:
		take_end(s);
		return BUR_OK;
	case JT_STRING:
	case JT_NUMBER:
	case JT_TRUE:
	case JT_FALSE:
	case JT_NULL:
		return reqscan_take_scalar(s, walk_value_id(&s->walk, reqscan_places), t);
	default:
		return BUR_OK;
	}
}

/* --- long strings, as they pass ----------------------------------------------------------------------------------- */

static void follow_begin(struct reqscan *s, uint8_t how)
{
	s->follow = how;
	unescape_init(&s->text);
	s->chars = 0;
	if (how == FOLLOW_PICTURE)
		image_sniff_init(&s->sniff);
}

static uint64_t characters(struct slice run)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < run.n; i++)
		n += ((unsigned char)run.p[i] & 0xc0) != 0x80;
	return n;
}

/* Bytes of the body from behind the last token on. */
static void follow(struct reqscan *s, const char *p, size_t n)
{
	struct slice run;
	size_t i = 0;

	while (s->follow != FOLLOW_NONE && unescape_next(&s->text, p, n, &i, &run)) {
		if (s->follow == FOLLOW_CHARS) {
			s->chars += characters(run);
			continue;
		}
		image_sniff_text(&s->sniff, run.p, run.n);
		if (image_sniff_done(&s->sniff))
			s->follow = FOLLOW_NONE;
	}
}

/* --- public ------------------------------------------------------------------------------------------------------- */

/* Readers of forms take this kind as well, in which JSON is one long name of a field: it is refused. */
static bool is_other_form(const struct reqscan *s, struct slice content_type)
{
	return (s->kind == API_IMAGES || s->kind == API_TRANSCRIPTIONS) &&
	       slice_istarts(slice_trim(content_type), SLICE("application/x-www-form-urlencoded"));
}

void reqscan_begin(struct reqscan *s, const struct reqscan_options *o)
{
	uint8_t body;

	json_reader_init(&s->json);
	memset((char *)s + offsetof(struct reqscan, kind), 0,
	       offsetof(struct reqscan, walk) - offsetof(struct reqscan, kind));
	memset((char *)s + offsetof(struct reqscan, body_brace), 0,
	       offsetof(struct reqscan, text) - offsetof(struct reqscan, body_brace));
	s->json.utf8_strict = true;
	s->json.want_text = false;
	s->kind = o->kind;
	s->info.candidates = o->kind == API_PREDICT ? 4 : 1;
	s->info.stream = o->kind == API_OLLAMA;
	body = reqscan_root_place(o->kind, o->model);
	s->root_place = o->batch_line ? reqscan_line_place(o->kind) : body;
	s->line_body = o->batch_line ? body : PL_IGNORE;
	CHECK(!o->batch_line || s->root_place != PL_IGNORE);
	s->bound = reqscan_bound_names(o->kind, body, o->provider);
	s->member = reqscan_member(o->kind, body, o->provider);
	s->is_openai = slice_ieq(o->provider, SLICE("openai"));
	s->is_openrouter = slice_ieq(o->provider, SLICE("openrouter"));
	s->calls_max_counts = o->provider.n == 0 || s->is_openai || slice_ieq(o->provider, SLICE("azure"));
	walk_init(&s->walk, s->root_place);
	s->seen[0] = 0;
	s->flags[0] = 0;
	s->blob_bytes[0] = 0;
	s->picture_depth = 0;
	s->is_form = s->form_bad = false;
	if (s->root_place != PL_IGNORE && (multipart_is_form(o->content_type) || is_other_form(s, o->content_type)))
		reqscan_form_begin(s, o->content_type);
}

void reqscan_init(struct reqscan *s, enum api_kind kind)
{
	reqscan_begin(s, &(struct reqscan_options){.kind = kind});
}

static int feed_json(struct reqscan *s, const char *p, size_t n)
{
	size_t i = 0;

	for (;;) {
		size_t from = i;
		enum json_token t = json_next(&s->json, p, n, &i);
		uint8_t id;

		if (s->follow != FOLLOW_NONE)
			follow(s, p + from, i - from);
		if (t == JT_MORE)
			return BUR_OK;
		if (t == JT_ERROR)
			return reqscan_fail(s, s->json.depth >= JSON_DEPTH_MAX ? REQSCAN_TOO_DEEP : REQSCAN_NOT_JSON,
					    SLICE_NONE);
		if (take_token(s, t) < 0)
			return BUR_INVALID;
		id = walk_value_id(&s->walk, reqscan_places);
		s->json.want_text = reqscan_wants_text[id];
		s->follow = FOLLOW_NONE;
		if (reqscan_follows[id] != FOLLOW_NONE)
			follow_begin(s, reqscan_follows[id]);
	}
}

int reqscan_feed(struct reqscan *s, const char *p, size_t n)
{
	if (s->error != REQSCAN_OK)
		return BUR_INVALID;
	if (s->line_body == PL_IGNORE)
		s->info.body_bytes += n;
	if (s->root_place == PL_IGNORE)
		return BUR_OK;
	return s->is_form ? reqscan_form_feed(s, p, n) : feed_json(s, p, n);
}

/* `max_uses` is Anthropic's; another vendor may take the tool and leave the word. */
static bool knows_max_uses(const struct reqscan *s)
{
	return s->kind == API_MESSAGES || s->kind == API_INVOKE || s->kind == API_CONVERSE ||
	       s->kind == API_BATCH_SUBMIT;
}

/* Calls of hosted tools: of the whole answer (OpenAI's own), or tool by tool. */
static void finish_tools(struct reqscan *s)
{
	struct request_info *q = &s->info;
	bool whole = s->has_calls_max && s->calls_max_counts, each = !s->tools_unbounded && knows_max_uses(s);

	q->hosted_bounded = q->hosted_tools && !(q->hosted & HOSTED_OTHER) && (whole || each);
	if (q->hosted_bounded)
		q->hosted_calls = whole ? s->calls_max : s->uses_sum;
}

static void finish_bound(struct reqscan *s)
{
	struct request_info *q = &s->info;

	q->has_max_out = bound_of(s, &q->max_out);
	if (!q->has_max_out)
		q->max_out = 0;
	if (s->kind == API_BATCH_SUBMIT) {
		q->has_max_out = q->batch_items > 0 && q->batch_uncapped == 0;
		q->max_out = s->batch_out;
		q->candidates = 1;
		q->stream = false;
	}
	if (s->kind == API_COMPLETIONS && s->is_openai && !s->max[0].seen) { /* documented default */
		q->has_max_out = true;
		q->max_out = 16;
	}
	if (s->pages_open)
		q->pages = 0;
}

int reqscan_finish(struct reqscan *s)
{
	if (s->error != REQSCAN_OK)
		return BUR_INVALID;
	if (s->root_place == PL_IGNORE)
		return BUR_OK;
	if (s->is_form && reqscan_form_finish(s) < 0)
		return BUR_INVALID;
	if (!s->is_form && (!json_reader_complete(&s->json) || !s->root_seen))
		return reqscan_fail(s, REQSCAN_NOT_JSON, SLICE_NONE);
	finish_tools(s);
	finish_bound(s);
	if (s->line_body == PL_IGNORE)
		reqscan_plan_edits(s);
	return BUR_OK;
}
