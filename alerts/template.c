/* A template becomes a list of tags, each with the text before it; sections know where they end. */
#include "alerts/template.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "base/utf8.h"

#define NAME_MAX_BYTES 128
#define NAME_DOTS_MAX 8
/* Sections in sections over long lists: their product is what costs, also when nothing is printed. */
#define STEPS_MAX 200000

enum tag_kind { TAG_VALUE, TAG_SECTION, TAG_INVERTED, TAG_CLOSE, TAG_END };
struct tag {
	enum tag_kind kind;
	struct slice before; /* text in front of it */
	struct slice name;
	size_t match; /* sections: index of their close */
};

struct tags {
	struct tag *list; /* the last one is TAG_END */
	size_t n, cap;
};

/* --- reading ------------------------------------------------------------------------------------------------------ */

struct reading {
	struct slice text;
	size_t at;
	struct tags *tags;
	size_t open[TEMPLATE_DEPTH_MAX];
	int depth;
	char *err;
	size_t err_size;
};

static int line_of(const struct reading *rd, size_t at)
{
	int line = 1;

	for (size_t i = 0; i < at && i < rd->text.n; i++)
		line += rd->text.p[i] == '\n';
	return line;
}

/* Names that are not well formed are not shown: they may hold anything. */
static int fail(struct reading *rd, size_t at, const char *what, struct slice name)
{
	if (rd->err_size > 0)
		(void)snprintf(rd->err, rd->err_size, "line %d: %s%s%.*s", line_of(rd, at), what, name.n > 0 ? " " : "",
			       (int)name.n, name.n > 0 ? name.p : "");
	return BUR_INVALID;
}

static bool name_ok(struct slice name)
{
	size_t dots = 0;

	if (slice_eq(name, SLICE(".")))
		return true;
	if (name.n == 0 || name.n > NAME_MAX_BYTES || name.p[0] == '.' || name.p[name.n - 1] == '.')
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		dots += c == '.';
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
		      c == '-' || c == '.'))
			return false;
	}
	return dots <= NAME_DOTS_MAX;
}

static int add_tag(struct tags *tags, struct tag tag)
{
	struct tag *grown;

	if (tags->n == tags->cap) {
		size_t cap = tags->cap > 0 ? tags->cap * 2 : 16;

		grown = realloc(tags->list, cap * sizeof(*grown));
		if (!grown)
			return BUR_NOMEM;
		tags->list = grown;
		tags->cap = cap;
	}
	tags->list[tags->n++] = tag;
	return BUR_OK;
}

/* A section's tag that has a line for itself takes the line with it. `begin` and `end` are the tag's borders. */
static void take_line(struct slice text, size_t *inout_begin, size_t *inout_end)
{
	size_t b = *inout_begin, e = *inout_end;

	while (b > 0 && (text.p[b - 1] == ' ' || text.p[b - 1] == '\t'))
		b--;
	while (e < text.n && (text.p[e] == ' ' || text.p[e] == '\t' || text.p[e] == '\r'))
		e++;
	if ((b > 0 && text.p[b - 1] != '\n') || (e < text.n && text.p[e] != '\n'))
		return;
	*inout_begin = b;
	*inout_end = e < text.n ? e + 1 : e;
}

static int open_or_close(struct reading *rd, size_t at, struct tag *tag)
{
	struct tag *opened;

	if (tag->kind == TAG_SECTION || tag->kind == TAG_INVERTED) {
		if (rd->depth == TEMPLATE_DEPTH_MAX)
			return fail(rd, at, "sections are nested too deeply at", tag->name);
		rd->open[rd->depth++] = rd->tags->n;
	} else if (tag->kind == TAG_CLOSE) {
		if (rd->depth == 0)
			return fail(rd, at, "there is nothing to close for", tag->name);
		opened = &rd->tags->list[rd->open[--rd->depth]];
		if (!slice_eq(opened->name, tag->name))
			return fail(rd, at, "another section must be closed first:", opened->name);
		opened->match = rd->tags->n;
	}
	return BUR_OK;
}

static enum tag_kind kind_of(struct slice *inout_inner)
{
	static const struct {
		char mark;
		enum tag_kind kind;
	} marks[] = {{'#', TAG_SECTION}, {'^', TAG_INVERTED}, {'/', TAG_CLOSE}};

	for (size_t i = 0; inout_inner->n > 0 && i < ARRAY_LEN(marks); i++) {
		if (inout_inner->p[0] == marks[i].mark) {
			*inout_inner = slice_sub(*inout_inner, 1, SIZE_MAX);
			return marks[i].kind;
		}
	}
	return TAG_VALUE;
}

/* The tag that begins at `begin` ("{{"); text before it begins at rd->at. */
static int read_tag(struct reading *rd, size_t begin)
{
	struct slice rest = slice_sub(rd->text, begin + 2, SIZE_MAX), inner;
	const char *close = memmem(rest.p, rest.n, "}}", 2);
	struct tag tag = {.kind = TAG_VALUE};
	size_t end;
	int r;

	if (!close)
		return fail(rd, begin, "{{ without }}", SLICE_NONE);
	inner = slice_trim(slice_mem(rest.p, (size_t)(close - rest.p)));
	if (inner.n > 0 && (inner.p[0] == '{' || inner.p[0] == '&'))
		return fail(rd, begin, "escaping cannot be switched off: write {{name}}", SLICE_NONE);
	tag.kind = kind_of(&inner);
	tag.name = slice_trim(inner);
	if (!name_ok(tag.name))
		return fail(rd, begin, "between {{ and }} stands no name: letters, digits, _ and dots", SLICE_NONE);
	r = open_or_close(rd, begin, &tag);
	if (r < 0)
		return r;
	end = begin + 2 + (size_t)(close - rest.p) + 2;
	if (tag.kind != TAG_VALUE)
		take_line(rd->text, &begin, &end);
	/* two tags alone on one line would take its beginning twice */
	tag.before = begin > rd->at ? slice_sub(rd->text, rd->at, begin - rd->at) : SLICE_NONE;
	rd->at = end;
	return add_tag(rd->tags, tag);
}

static bool is_utf8(struct slice text)
{
	uint32_t cp;
	size_t n;

	for (size_t i = 0; i < text.n; i += n) {
		n = utf8_decode(text.p + i, text.n - i, &cp);
		if (n == 0 || cp == 0)
			return false;
	}
	return true;
}

static int read_all(struct reading *rd)
{
	const char *begin;
	int r;

	if (rd->text.n > TEMPLATE_BYTES_MAX)
		return fail(rd, 0, "the template is longer than 65,536 bytes", SLICE_NONE);
	if (!is_utf8(rd->text))
		return fail(rd, 0, "the template is not UTF-8 text", SLICE_NONE);
	for (;;) {
		begin = rd->at < rd->text.n ? memmem(rd->text.p + rd->at, rd->text.n - rd->at, "{{", 2) : NULL;
		if (!begin)
			break;
		r = read_tag(rd, (size_t)(begin - rd->text.p));
		if (r < 0)
			return r;
	}
	if (rd->depth > 0)
		return fail(rd, rd->text.n, "a section is not closed:", rd->tags->list[rd->open[rd->depth - 1]].name);
	return add_tag(rd->tags, (struct tag){.kind = TAG_END, .before = slice_sub(rd->text, rd->at, SIZE_MAX)});
}

/* The list is the caller's to free, whatever comes back. */
static int read_tags(struct slice text, struct tags *ret, char *reterr, size_t size)
{
	struct reading rd = {.text = text, .tags = ret, .err = reterr, .err_size = size};

	return read_all(&rd);
}

int template_check(struct slice text, char *reterr, size_t size)
{
	struct tags tags = {.n = 0};
	int r;

	if (size > 0)
		*reterr = '\0';
	r = read_tags(text, &tags, reterr, size);
	free(tags.list);
	return r;
}

/* --- values ------------------------------------------------------------------------------------------------------- */

struct rendering {
	const struct tag *tags;
	const json_t *context[TEMPLATE_DEPTH_MAX + 1]; /* the values, then what sections went into */
	int depth;
	enum escape escape;
	bool within; /* another escaping comes first: of text that is shown, within what carries it */
	enum escape inner;
	const json_t *ours; /* whose members need none */
	struct buf *out;
	size_t out_limit; /* of buf_len */
	uint32_t steps;
};

static const json_t *member(const json_t *of, struct slice name)
{
	uint64_t index;

	if (json_is_object(of))
		return json_object_getn(of, name.p, name.n);
	if (json_is_array(of) && slice_u64(name, &index) == BUR_OK && index < json_array_size(of))
		return json_array_get(of, (size_t)index);
	return NULL;
}

/* Members may have dots in their names ("tag.env"): the longest name that is there is taken. */
static const json_t *walk(const json_t *of, struct slice name)
{
	while (of && name.n > 0) {
		const json_t *found = member(of, name);
		size_t n = name.n;

		while (!found && n > 0) {
			do
				n--;
			while (n > 0 && name.p[n] != '.');
			found = n > 0 ? member(of, slice_sub(name, 0, n)) : NULL;
		}
		of = found;
		name = slice_sub(name, n + 1, SIZE_MAX);
	}
	return of;
}

static const json_t *find(const struct rendering *rn, struct slice name)
{
	const json_t *found = NULL;

	if (slice_eq(name, SLICE(".")))
		return rn->context[rn->depth];
	for (int i = rn->depth; i >= 0 && !found; i--)
		found = walk(rn->context[i], name);
	return found;
}

static bool says_something(const json_t *v)
{
	return v && !json_is_null(v) && !json_is_false(v) && !(json_is_string(v) && json_string_length(v) == 0) &&
	       !(json_is_array(v) && json_array_size(v) == 0) && !(json_is_object(v) && json_object_size(v) == 0);
}

static int put_text(struct rendering *rn, struct slice text)
{
	struct buf shown;
	int r;

	if (!rn->within)
		return escape_append(rn->out, rn->escape, text);
	buf_init(&shown, rn->out_limit);
	r = escape_append(&shown, rn->inner, text);
	if (r == BUR_OK && buf_len(&shown) > 0)
		r = escape_append(rn->out, rn->escape, buf_slice(&shown));
	buf_done(&shown);
	return r;
}

static bool is_ours(const struct rendering *rn, const json_t *v)
{
	const char *name;
	json_t *one;

	json_object_foreach((json_t *)(uintptr_t)rn->ours, name, one) if (one == v) return true;
	return false;
}

static int put_tree(struct rendering *rn, const json_t *v)
{
	char *text = json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(15));
	int r = text ? put_text(rn, slice_of(text)) : BUR_NOMEM;

	free(text);
	return r;
}

static int put_value(struct rendering *rn, const json_t *v)
{
	char number[40];

	if (json_is_object(v) || json_is_array(v))
		return put_tree(rn, v);
	if (json_is_string(v) && is_ours(rn, v))
		return escape_append(rn->out, rn->escape, slice_mem(json_string_value(v), json_string_length(v)));
	if (json_is_string(v))
		return put_text(rn, slice_mem(json_string_value(v), json_string_length(v)));
	if (json_is_integer(v))
		(void)snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(v));
	else if (json_is_real(v))
		(void)snprintf(number, sizeof(number), "%.15g", json_real_value(v));
	else if (json_is_boolean(v))
		(void)snprintf(number, sizeof(number), "%s", json_is_true(v) ? "true" : "false");
	else
		return BUR_OK;
	return escape_append(rn->out, rn->escape, slice_of(number));
}

static int check_size(const struct rendering *rn, size_t more)
{
	return buf_len(rn->out) + more > rn->out_limit ? BUR_TOOBIG : BUR_OK;
}

static int render_tags(struct rendering *rn, size_t from, size_t to);

static int render_inside(struct rendering *rn, size_t i, const json_t *context)
{
	int r;

	CHECK(rn->depth < TEMPLATE_DEPTH_MAX);
	rn->context[++rn->depth] = context;
	r = render_tags(rn, i + 1, rn->tags[i].match);
	rn->depth--;
	return r;
}

static int render_section(struct rendering *rn, size_t i)
{
	const json_t *v = find(rn, rn->tags[i].name);
	int r = BUR_OK;

	if ((rn->tags[i].kind == TAG_INVERTED) == says_something(v))
		return BUR_OK;
	if (!json_is_array(v) || rn->tags[i].kind == TAG_INVERTED)
		return render_inside(rn, i, v);
	for (size_t k = 0; k < json_array_size(v) && r == BUR_OK; k++)
		r = render_inside(rn, i, json_array_get(v, k));
	return r;
}

/* Tags from..to - 1 and the text before tag `to`. */
static int render_tags(struct rendering *rn, size_t from, size_t to)
{
	int r = BUR_OK;

	for (size_t i = from; r == BUR_OK; i++) {
		const struct tag *t = &rn->tags[i];

		r = ++rn->steps > STEPS_MAX ? BUR_TOOBIG : check_size(rn, t->before.n);
		if (r == BUR_OK)
			r = buf_append_slice(rn->out, t->before);
		if (r < 0 || i == to)
			break;
		if (t->kind == TAG_VALUE) {
			r = put_value(rn, find(rn, t->name));
		} else {
			r = render_section(rn, i);
			i = t->match; /* with the text before it */
		}
		if (r == BUR_OK)
			r = check_size(rn, 0);
	}
	return r;
}

static int render(struct rendering *rn, struct slice text)
{
	struct tags tags = {.n = 0};
	char ignored[1];
	int r = read_tags(text, &tags, ignored, 0);

	if (r == BUR_OK) {
		rn->tags = tags.list;
		rn->out_limit = buf_len(rn->out) + TEMPLATE_OUT_MAX;
		r = render_tags(rn, 0, tags.n - 1);
	}
	free(tags.list);
	return r;
}

int template_render(struct slice text, const json_t *values, enum escape escape, struct buf *out)
{
	struct rendering rn = {.context = {values}, .escape = escape, .out = out};

	return render(&rn, text);
}

int template_render_shown(struct slice text, const json_t *values, enum escape shown, const json_t *ours,
			  struct buf *out)
{
	struct rendering rn = {
	    .context = {values}, .escape = ESCAPE_JSON, .within = true, .inner = shown, .ours = ours, .out = out};

	return render(&rn, text);
}
