#include "meter/usage_hide.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/json.h"
#include "meter/quick.h"

#define EVENT_MAX_BYTES (1u << 20)
#define FIRST_BYTES 1024

struct usage_hide {
	char *held; /* the event at hand, as it came */
	size_t n, cap;
	bool line_empty; /* nothing but line ends since the last one */
	bool after_cr;   /* a LF now belongs to the CR before it */
	bool dropped;    /* the event before was left out, so is the LF of its last line */
	bool passing;    /* an event was too large: nothing is looked at any more */
	bool first;      /* no event has been passed on yet */
};

struct usage_hide *usage_hide_new(void)
{
	struct usage_hide *h = calloc(1, sizeof(*h));

	if (h)
		h->line_empty = h->first = true;
	return h;
}

void usage_hide_free(struct usage_hide *h)
{
	if (!h)
		return;
	free(h->held);
	free(h);
}

/* --- one event ---------------------------------------------------------------------------------------------------- */

/* What the JSON of an event says, and where in the event. */
struct finding {
	bool whole, broken;
	bool in_usage, in_choices; /* the value that comes next at the top */
	unsigned usages;
	bool usage_null, usage_set;
	bool choices_open, choices_empty; /* nothing of the list was seen yet; nothing was in it */
	size_t key_at, null_end;
};

/* A piece of the event: data bytes [at, at + n) of the held bytes, which are at `offset` of the JSON text. */
struct piece {
	const char *p;
	size_t at, n;
	uint64_t offset;
};

static size_t position(const struct piece *piece, uint64_t offset)
{
	return piece->at + (size_t)(offset - piece->offset);
}

static void find_key(struct finding *f, const struct json_reader *r, const struct piece *piece)
{
	f->in_usage = slice_eq(json_text(r), SLICE("usage"));
	f->in_choices = slice_eq(json_text(r), SLICE("choices"));
	if (f->in_usage) {
		f->usages++;
		f->key_at = position(piece, r->token_begin);
	}
}

static void find_value(struct finding *f, const struct json_reader *r, const struct piece *piece, enum json_token t)
{
	if (f->in_usage) {
		f->usage_null = t == JT_NULL;
		f->usage_set = !f->usage_null;
		f->null_end = position(piece, r->token_begin) + 4;
	}
	f->in_usage = f->in_choices = false;
}

static void find_token(struct finding *f, const struct json_reader *r, const struct piece *piece, enum json_token t)
{
	bool choices = f->in_choices, open = f->choices_open;

	f->choices_open = false;
	switch (t) {
	case JT_KEY:
		if (r->depth == 1)
			find_key(f, r, piece);
		break;
	case JT_OBJECT_BEGIN:
	case JT_ARRAY_BEGIN:
		if (r->depth != 2)
			break;
		find_value(f, r, piece, t);
		f->choices_open = choices && t == JT_ARRAY_BEGIN;
		break;
	case JT_OBJECT_END:
	case JT_ARRAY_END:
		f->choices_empty |= open;
		f->whole = r->depth == 0 && t == JT_OBJECT_END;
		break;
	default:
		if (r->depth == 1)
			find_value(f, r, piece, t);
		break;
	}
}

/* Reads one data line (or the LF between two). */
static void find_in(struct finding *f, struct json_reader *r, struct piece piece)
{
	size_t i = 0;

	while (!f->broken) {
		enum json_token t = json_next(r, piece.p, piece.n, &i);

		if (t == JT_MORE)
			return;
		if (t == JT_ERROR)
			f->broken = true;
		else if (t != JT_END)
			find_token(f, r, &piece, t);
	}
}

static bool is_line_end(char c)
{
	return c == '\n' || c == '\r';
}

static size_t line_run(const char *p, size_t n)
{
	const char *lf = memchr(p, '\n', n), *cr;
	size_t run = lf ? (size_t)(lf - p) : n;

	cr = memchr(p, '\r', run);
	return cr ? (size_t)(cr - p) : run;
}

/* The value of a "data" field: where it begins in the line [at, end), or 0 when it is no data line. */
static size_t data_value(const char *held, size_t at, size_t end)
{
	if (end - at < 5 || memcmp(held + at, "data:", 5) != 0)
		return 0;
	at += 5;
	return at < end && held[at] == ' ' ? at + 1 : at;
}

static struct finding inspect(struct slice event, bool first)
{
	static const char bom[] = "\xef\xbb\xbf";
	struct finding f = {0};
	struct json_reader r;
	size_t at = 0, end, value;
	bool some = false;

	json_reader_init(&r);
	r.want_text = false;
	if (first && event.n >= 3 && memcmp(event.p, bom, 3) == 0)
		at = 3;
	for (; at < event.n; at = end + 1) {
		end = at + line_run(event.p + at, event.n - at);
		value = data_value(event.p, at, end);
		if (value == 0)
			continue;
		if (some)
			find_in(&f, &r, (struct piece){"\n", 0, 1, r.offset});
		some = true;
		find_in(&f, &r, (struct piece){event.p + value, value, end - value, r.offset});
	}
	f.whole = f.whole && !f.broken && json_reader_complete(&r);
	return f;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The member with one of the commas beside it. False when it stands in an unusual way, such as over several lines. */
static bool member_range(struct slice event, const struct finding *f, size_t *ret_from, size_t *ret_to)
{
	size_t before = f->key_at, after = f->null_end;

	while (before > 0 && is_blank(event.p[before - 1]))
		before--;
	while (after < event.n && is_blank(event.p[after]))
		after++;
	if (before == 0 || after >= event.n)
		return false;
	if (event.p[before - 1] == ',') {
		*ret_from = before - 1;
		*ret_to = f->null_end;
		return true;
	}
	if (event.p[before - 1] != '{' || (event.p[after] != ',' && event.p[after] != '}'))
		return false;
	*ret_from = f->key_at;
	*ret_to = f->null_end;
	if (event.p[after] == ',')
		for (*ret_to = after + 1; *ret_to < event.n && is_blank(event.p[*ret_to]); (*ret_to)++)
			;
	return true;
}

/* What a member of the event's object says; p is its value. Returns where the value ends. */
static const char *find_member(struct finding *f, struct slice name, const char *p, const char *begin, const char *end)
{
	const char *stop = quick_skip(p, end, 1);

	if (!stop)
		return NULL;
	if (slice_eq(name, SLICE("usage"))) {
		f->usages++;
		f->key_at = (size_t)(name.p - 1 - begin);
		f->usage_null = *p == 'n';
		f->usage_set = !f->usage_null;
		f->null_end = (size_t)(stop - begin);
	} else if (slice_eq(name, SLICE("choices")) && *p == '[') {
		f->choices_empty |= *quick_space(p + 1) == ']';
	}
	return stop;
}

/* The short way for an event of one data line with plain JSON. False: it is another. */
static bool inspect_line(struct slice event, struct finding *ret)
{
	size_t run = line_run(event.p, event.n), rest, value = data_value(event.p, 0, run);
	const char *p = event.p + value, *end = event.p + run;
	struct finding f = {0};
	struct slice name;

	for (rest = run; rest < event.n && is_line_end(event.p[rest]); rest++)
		;
	if (rest < event.n || value == 0 || end - p < 2 || *p != '{' || end[-1] != '}')
		return false;
	p = quick_space(p + 1);
	while (p && *p != '}') {
		p = quick_key(p, end, &name);
		if (p)
			p = quick_next(find_member(&f, name, p, event.p, end), end, '}');
	}
	if (!p || p + 1 != end)
		return false;
	f.whole = true;
	*ret = f;
	return true;
}

/* Passes the event on, without what bursar's own question added. The caller has seen to the room in `out`. */
static int event_pass(struct usage_hide *h, struct slice event, struct buf *out)
{
	size_t n = event.n, from = n, to = n;
	struct finding f = {0};
	int r;

	/* where the short way fails: few events name it, and a key may hide behind an escape */
	if (!inspect_line(event, &f) && (memmem(event.p, n, "usage", 5) || memmem(event.p, n, "\\u", 2)))
		f = inspect(event, h->first);
	f.whole = f.whole && f.usages == 1;
	h->dropped = f.whole && f.usage_set && f.choices_empty;
	if (f.whole && f.usage_null && !member_range(event, &f, &from, &to))
		from = to = n;
	h->first = false;
	if (h->dropped)
		return BUR_OK;
	r = buf_append(out, event.p, from);
	return r == BUR_OK ? buf_append(out, event.p + to, n - to) : r;
}

/* Passes on the event that is held. */
static int held_pass(struct usage_hide *h, struct buf *out)
{
	struct slice event = {h->held, h->n};

	h->n = 0;
	return event_pass(h, event, out);
}

/* --- the stream --------------------------------------------------------------------------------------------------- */

static int hold(struct usage_hide *h, const char *p, size_t n)
{
	size_t cap = h->cap > 0 ? h->cap : FIRST_BYTES;
	char *held;

	while (cap < h->n + n)
		cap *= 2;
	if (cap > h->cap) {
		held = realloc(h->held, cap);
		if (!held)
			return BUR_NOMEM;
		h->held = held;
		h->cap = cap;
	}
	memcpy(h->held + h->n, p, n);
	h->n += n;
	return BUR_OK;
}

static int give_up(struct usage_hide *h, struct buf *out)
{
	int r = buf_append(out, h->held, h->n);

	h->n = 0;
	h->passing = true;
	return r;
}

/* One line end. A blank line completes the event. */
static int line_end(struct usage_hide *h, char c, struct buf *out)
{
	int r;

	if (h->after_cr && c == '\n') {
		h->after_cr = false;
		if (h->n > 0)
			return hold(h, &c, 1);
		return h->dropped ? BUR_OK : buf_append(out, &c, 1); /* the event went with its CR */
	}
	h->after_cr = c == '\r';
	r = hold(h, &c, 1);
	if (r == BUR_OK && h->line_empty)
		r = held_pass(h, out);
	h->line_empty = true;
	return r;
}

/* Length of the line at p and the blank line behind it when both lie here whole; else 0. */
static size_t event_run(const char *p, size_t run, size_t n)
{
	if (n - run >= 2 && p[run] == '\n' && p[run + 1] == '\n')
		return run + 2;
	return n - run >= 4 && memcmp(p + run, "\r\n\r\n", 4) == 0 ? run + 4 : 0;
}

int usage_hide_feed(struct usage_hide *h, const char *p, size_t n, struct buf *out)
{
	size_t i = 0, run, whole;
	int r = BUR_OK;

	if (buf_space(out) < n || buf_space(out) - n < h->n)
		return BUR_TOOBIG;
	while (i < n && r == BUR_OK && !h->passing) {
		run = line_run(p + i, n - i);
		whole = h->n == 0 && run > 0 && run + 4 <= EVENT_MAX_BYTES ? event_run(p + i, run, n - i) : 0;
		if (h->n + run + 1 > EVENT_MAX_BYTES) {
			r = give_up(h, out);
		} else if (whole > 0) { /* needs not be held */
			r = event_pass(h, slice_mem(p + i, whole), out);
			h->line_empty = true;
			h->after_cr = false;
			i += whole;
		} else if (run > 0) {
			h->line_empty = h->after_cr = false;
			r = hold(h, p + i, run);
			i += run;
		} else {
			r = line_end(h, p[i++], out);
		}
	}
	if (r == BUR_OK && i < n)
		r = buf_append(out, p + i, n - i);
	if (h->n == 0) { /* a stream that waits holds no buffer */
		free(h->held);
		h->held = NULL;
		h->cap = 0;
	}
	return r;
}

int usage_hide_finish(struct usage_hide *h, struct buf *out)
{
	if (h->passing || h->n == 0)
		return BUR_OK;
	if (buf_space(out) < h->n)
		return BUR_TOOBIG;
	return held_pass(h, out);
}
