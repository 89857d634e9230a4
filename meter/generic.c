#include "meter/generic.h"

#include "base/amount.h"
#include "base/check.h"
#include "base/error.h"

/* --- rules -------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *word;
	enum generic_source source;
	bool has_place;
} sources[] = {
    {"requests", GENERIC_REQUESTS, false},
    {"request_bytes", GENERIC_REQUEST_BYTES, false},
    {"answer_bytes", GENERIC_ANSWER_BYTES, false},
    {"seconds", GENERIC_SECONDS, false},
    {"request", GENERIC_REQUEST_JSON, true},
    {"answer", GENERIC_ANSWER_JSON, true},
    {"request_header", GENERIC_REQUEST_HEADER, true},
    {"answer_header", GENERIC_ANSWER_HEADER, true},
    {"query", GENERIC_REQUEST_QUERY, true},
};

static bool is_json(enum generic_source s)
{
	return s == GENERIC_REQUEST_JSON || s == GENERIC_ANSWER_JSON;
}

int generic_parse_source(struct slice text, enum generic_source *ret, char ret_at[GENERIC_POINTER_MAX + 1])
{
	struct slice word, place;
	bool has_place = slice_cut(text, ':', &word, &place);
	struct generic_probe probe;

	for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
		if (!slice_eq(word, slice_of(sources[i].word)) || sources[i].has_place != has_place)
			continue;
		if (has_place && (place.n == 0 || place.n > GENERIC_POINTER_MAX))
			return BUR_INVALID;
		(void)slice_to_cstr(place, ret_at, GENERIC_POINTER_MAX + 1);
		*ret = sources[i].source;
		return is_json(*ret) ? generic_probe_init(&probe, ret_at) : BUR_OK;
	}
	return BUR_INVALID;
}

static bool segment_is_dots(struct slice s)
{
	return slice_eq(s, SLICE(".")) || slice_eq(s, SLICE(".."));
}

bool generic_path_valid(struct slice pattern)
{
	struct slice rest, seg;
	bool more = true;

	if (pattern.n == 0 || pattern.p[0] != '/')
		return false;
	for (rest = slice_sub(pattern, 1, pattern.n); more;) {
		more = slice_cut(rest, '/', &seg, &rest);
		if ((seg.n == 0 && more) || segment_is_dots(seg) || (more && slice_eq(seg, SLICE("**"))))
			return false;
	}
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that "%XX" at s[i] stands for; -1: it is none. */
static int escaped(struct slice s, size_t i)
{
	int high = i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1, low = i + 2 < s.n ? hex_digit(s.p[i + 2]) : -1;

	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* What needs no escape (RFC 3986, 2.3): with one it is the same path to the vendor, and another to a rule. */
static bool is_unreserved(int c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' ||
	       c == '_' || c == '~';
}

/* Could another reader take this for another path? Dot segments, slashes in disguise, needless escapes. */
static bool is_ambiguous(struct slice seg)
{
	if (segment_is_dots(seg))
		return true;
	for (size_t i = 0; i < seg.n; i++) {
		int c = seg.p[i] == '%' ? escaped(seg, i) : 0;

		if (seg.p[i] == '\\' || c < 0 || c == '/' || c == '\\' || (seg.p[i] == '%' && c == 0) ||
		    is_unreserved(c))
			return true;
	}
	return false;
}

static bool path_is_plain(struct slice path)
{
	struct slice seg;
	bool more = true;

	while (more) {
		more = slice_cut(path, '/', &seg, &path);
		if (is_ambiguous(seg) || (seg.n == 0 && more))
			return false;
	}
	return true;
}

/* Segment by segment; what could be read in two ways fits no rule. `loosely`: in any case, with or without a slash at
 * the end, as some vendors read it. */
static bool path_matches(struct slice pattern, struct slice path, bool loosely)
{
	struct slice want, have;
	bool more_want = true, more_have = true;

	if (path.n == 0 || path.p[0] != '/' || pattern.n == 0)
		return false;
	pattern = slice_sub(pattern, 1, pattern.n);
	path = slice_sub(path, 1, path.n);
	if (!path_is_plain(path))
		return false;
	if (loosely && slice_ends(path, SLICE("/")))
		path.n--;
	if (loosely && slice_ends(pattern, SLICE("/")))
		pattern.n--;
	while (more_want && more_have) {
		more_want = slice_cut(pattern, '/', &want, &pattern);
		if (slice_eq(want, SLICE("**")))
			return true;
		more_have = slice_cut(path, '/', &have, &path);
		if (slice_eq(want, SLICE("*")) ? have.n == 0
					       : !(loosely ? slice_ieq(want, have) : slice_eq(want, have)))
			return false;
	}
	return !more_want && !more_have;
}

bool generic_path_matches(struct slice pattern, struct slice path)
{
	return path_matches(pattern, path, false);
}

static bool rule_matches(const struct generic_meter *m, struct slice method, struct slice path, bool loosely)
{
	return (!m->method || slice_eq(method, slice_of(m->method))) && path_matches(slice_of(m->path), path, loosely);
}

const struct generic_meter *generic_find(const struct generic_meter *list, size_t n, struct slice method,
					 struct slice path)
{
	for (size_t i = 0; i < n; i++) {
		if (rule_matches(&list[i], method, path, false))
			return &list[i];
		if (rule_matches(&list[i], method, path, true))
			return NULL; /* the vendor may take it for this one: no later, cheaper rule may have it */
	}
	return NULL;
}

bool generic_is_free(const struct generic_meter *m, int status)
{
	for (size_t i = 0; i < m->n_free; i++)
		if (status >= m->free[i].from && status <= m->free[i].to)
			return true;
	return false;
}

bool generic_known_before(enum generic_source s)
{
	return s == GENERIC_REQUESTS || s == GENERIC_REQUEST_BYTES || s == GENERIC_REQUEST_JSON ||
	       s == GENERIC_REQUEST_HEADER || s == GENERIC_REQUEST_QUERY;
}

/* --- money -------------------------------------------------------------------------------------------------------- */

int64_t generic_billed_milli(const struct generic_meter *m, int64_t milli)
{
	int64_t step = m->step_milli > 0 ? m->step_milli : 1, over;

	CHECK(milli >= 0 && milli <= GENERIC_MILLI_MAX);
	if (milli < m->minimum_milli)
		milli = m->minimum_milli;
	over = milli % step;
	return over > 0 ? milli + (step - over) : milli;
}

int generic_cost(const struct generic_meter *m, int64_t billed_milli, int64_t *ret_nanousd)
{
	__int128 num = (__int128)billed_milli * m->rate_pusd;
	__int128 den = (__int128)GENERIC_MILLI * m->per * PICOUSD_PER_NANOUSD, nanousd;

	nanousd = (num + den - 1) / den;
	if (billed_milli < 0 || nanousd < 0 || nanousd > INT64_MAX)
		return BUR_OVERFLOW;
	*ret_nanousd = (int64_t)nanousd;
	return BUR_OK;
}

int generic_milli(struct slice text, int64_t *ret)
{
	int64_t value;
	int r = decimal_parse(text, 6, true, &value); /* three digits more than are kept, to round them up */

	if (r < 0)
		return r;
	if (value < 0)
		return BUR_INVALID;
	value = value / 1000 + (value % 1000 > 0);
	if (value > GENERIC_MILLI_MAX)
		return BUR_OVERFLOW;
	*ret = value;
	return BUR_OK;
}

/* --- JSON Pointer ------------------------------------------------------------------------------------------------- */

/* RFC 6901: "0" or digits without a leading zero index a list; every token may also be a key. */
static int32_t token_index(struct slice t)
{
	uint64_t v;

	if (t.n == 0 || t.n > 9 || (t.n > 1 && t.p[0] == '0') || slice_u64(t, &v) < 0)
		return -1;
	return (int32_t)v;
}

static bool escapes_valid(struct slice t)
{
	for (size_t i = 0; i < t.n; i++)
		if (t.p[i] == '~' && (i + 1 == t.n || (t.p[i + 1] != '0' && t.p[i + 1] != '1')))
			return false;
	return true;
}

int generic_probe_init(struct generic_probe *p, const char *pointer)
{
	size_t n = strlen(pointer), at = 1;

	memset(p, 0, sizeof(*p));
	json_reader_init(&p->json);
	p->pointer = pointer;
	if (n == 0)
		return BUR_OK; /* the whole document */
	if (pointer[0] != '/' || n > GENERIC_POINTER_MAX)
		return BUR_INVALID;
	for (;;) {
		size_t run = slice_find(slice_mem(pointer + at, n - at), '/');
		struct slice token = slice_mem(pointer + at, run);

		if (p->n_tokens == GENERIC_POINTER_DEPTH_MAX || !escapes_valid(token))
			return BUR_INVALID;
		p->token[p->n_tokens].from = (uint16_t)at;
		p->token[p->n_tokens].n = (uint16_t)run;
		p->token[p->n_tokens++].index = token_index(token);
		if (at + run == n)
			return BUR_OK;
		at += run + 1;
	}
}

static char lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

/* "~1" is "/", "~0" is "~". */
static bool token_is(const struct generic_probe *p, size_t i, struct slice key, bool any_case)
{
	struct slice t = slice_mem(p->pointer + p->token[i].from, p->token[i].n);
	size_t k = 0;

	for (size_t j = 0; j < t.n; j++, k++) {
		char c = t.p[j];

		if (c == '~')
			c = t.p[++j] == '1' ? '/' : '~';
		if (k == key.n || (key.p[k] != c && (!any_case || lower(key.p[k]) != lower(c))))
			return false;
	}
	return k == key.n;
}

/* The reader only ever stands in the containers on the way to the place: all others are stepped over. Does the value
 * that comes now lie on that way too? */
static bool on_the_way(const struct generic_probe *p)
{
	if (p->matched == 0)
		return true;
	if (p->in_list[p->matched])
		return p->index[p->matched] == p->token[p->matched - 1].index;
	return p->key_fits;
}

static void value_over(struct generic_probe *p)
{
	p->key_fits = false;
	if (p->in_list[p->matched])
		p->index[p->matched]++;
}

/* Duplicate keys in an answer: the last wins, as with most readers. */
static void take(struct generic_probe *p, int64_t milli)
{
	p->milli = milli;
	p->found = true;
}

/* A text is a number, or counted by its characters. */
static void take_scalar(struct generic_probe *p, enum json_token t)
{
	struct slice text = json_text(&p->json);
	int64_t milli;

	uint64_t n = p->json.length_bytes, max = GENERIC_MILLI_MAX / GENERIC_MILLI;
	int64_t size = t == JT_STRING ? (int64_t)(n < max ? n : max) * GENERIC_MILLI : 0;

	if ((t == JT_STRING || t == JT_NUMBER) && !p->json.cut && generic_milli(text, &milli) == BUR_OK)
		take(p, p->strict && size > milli ? size : milli);
	else if (t == JT_STRING)
		take(p, size);
}

static void scalar(struct generic_probe *p, enum json_token t)
{
	if (p->counting) {
		p->count++;
		return;
	}
	if (p->matched == p->n_tokens && on_the_way(p))
		take_scalar(p, t);
	value_over(p);
}

static void container_begin(struct generic_probe *p, bool list)
{
	if (p->counting) {
		p->count++;
		json_skip_value(&p->json);
	} else if (!on_the_way(p)) {
		json_skip_value(&p->json);
		value_over(p);
	} else if (p->matched == p->n_tokens) {
		p->counting = true;
		p->count = 0;
	} else {
		p->matched++;
		p->in_list[p->matched] = list;
		p->index[p->matched] = 0;
		p->key_fits = p->key_seen[p->matched] = false;
	}
}

static void container_end(struct generic_probe *p)
{
	if (p->counting) {
		p->counting = false;
		take(p, (p->count < GENERIC_MILLI_MAX / GENERIC_MILLI ? p->count : 0) * GENERIC_MILLI);
	} else {
		p->matched--;
	}
	value_over(p);
}

static void key(struct generic_probe *p)
{
	if (p->counting) {
		p->count++;
		json_skip_value(&p->json);
	} else {
		p->key_fits = !p->json.cut && token_is(p, p->matched - 1u, json_text(&p->json), false);
		if (!p->json.cut && token_is(p, p->matched - 1u, json_text(&p->json), true)) {
			p->twice |= p->key_seen[p->matched];
			p->key_seen[p->matched] = true;
		}
	}
}

static void token(struct generic_probe *p, enum json_token t)
{
	switch (t) {
	case JT_KEY:
		key(p);
		break;
	case JT_OBJECT_BEGIN:
	case JT_ARRAY_BEGIN:
		container_begin(p, t == JT_ARRAY_BEGIN);
		break;
	case JT_OBJECT_END:
	case JT_ARRAY_END:
		container_end(p);
		break;
	default:
		scalar(p, t);
		break;
	}
	p->json.want_text = !p->counting && p->matched == p->n_tokens && on_the_way(p);
}

void generic_probe_feed(struct generic_probe *p, const char *bytes, size_t n)
{
	size_t i = 0;

	while (!p->failed) {
		enum json_token t = json_next(&p->json, bytes, n, &i);

		if (t == JT_MORE)
			return;
		if (t == JT_ERROR)
			p->failed = true;
		else if (t != JT_END) /* bytes behind the end would be an error */
			token(p, t);
	}
}

int generic_probe_result(struct generic_probe *p, int64_t *ret_milli)
{
	generic_probe_feed(p, " ", 1); /* a number that is the whole document ends only now */
	if (!p->found || p->failed || (p->strict && p->twice) || !json_reader_complete(&p->json))
		return BUR_NOTFOUND;
	*ret_milli = p->milli;
	return BUR_OK;
}
