/* Why a comparison is enough: taking over an event is a function of what it says and of what is known. An event that
 * left what is known as it was does so again, as long as nothing else changed it; and one that differs only in values
 * without a mark, or in text of which only the length counts, says the same. */
#include "meter/repeat.h"

#include <stdlib.h>
#include <string.h>

#include "base/slice.h"
#include "meter/quick.h"

#define BYTES_MAX 512
#define SPOTS_MAX 24
#define WAIT_MAX 64
#define KNOWN_AT offsetof(struct extract, head) /* what is known stands from here on */
#define KNOWN_BYTES (sizeof(struct extract) - KNOWN_AT)

enum spot_kind { SPOT_STRING, SPOT_NUMBER, SPOT_TEXT, SPOT_THOUGHT, SPOT_LAST = SPOT_THOUGHT + EXTRACT_THOUGHTS - 1 };

/* A value of an event that may differ: its bytes, without quotes. */
struct spot {
	uint16_t from, to;
	uint8_t kind;
};

struct repeat {
	bool armed;    /* the pattern holds */
	bool used;     /* since it was made */
	bool thinks;   /* there are thoughts in it */
	uint8_t wait;  /* events until the next try to make one */
	uint8_t pause; /* what `wait` is set to */
	/* of the last event that was looked at: its spots, and which of them are known to differ */
	uint8_t n_spots;
	uint32_t varies;
	uint32_t sums[SPOTS_MAX];
	/* the pattern: pieces that stay, a hole behind each but the last */
	uint8_t n_holes;
	uint8_t holes[SPOTS_MAX]; /* enum spot_kind */
	uint16_t pieces[SPOTS_MAX + 1];
	char bytes[BYTES_MAX];
};

void repeat_forget(struct repeat *r)
{
	if (r)
		r->armed = false;
}

void repeat_free(struct repeat *r)
{
	free(r);
}

/* --- an event like the last one ----------------------------------------------------------------------------------- */

/* `thinks` is a constant: what only thoughts need costs other events nothing. */
static inline __attribute__((always_inline)) bool same_event(struct repeat *r, struct extract *x, const char *p,
							     size_t n, bool thinks)
{
	const char *end = p + n, *piece = r->bytes;
	uint64_t text_bytes = 0, thought_bytes[EXTRACT_THOUGHTS] = {0};

	if (n == 0 || end[-1] != '}') /* where every number ends */
		return false;
	for (size_t i = 0; i < r->n_holes; i++) {
		uint64_t bytes = 0;
		bool plain;

		if ((size_t)(end - p) <= r->pieces[i] || memcmp(p, piece, r->pieces[i]) != 0)
			return false;
		p += r->pieces[i];
		piece += r->pieces[i];
		p = r->holes[i] == SPOT_NUMBER ? quick_number(p) : quick_string(p, end, &bytes, &plain);
		if (!p)
			return false;
		text_bytes += r->holes[i] == SPOT_TEXT ? bytes : 0;
		if (thinks && r->holes[i] >= SPOT_THOUGHT)
			thought_bytes[r->holes[i] - SPOT_THOUGHT] += bytes;
	}
	if ((size_t)(end - p) != r->pieces[r->n_holes] || memcmp(p, piece, (size_t)(end - p)) != 0)
		return false;
	x->output_bytes += text_bytes + (thinks ? thoughts_most(thought_bytes) : 0);
	r->used = true;
	return true;
}

static __attribute__((noinline)) bool same_thoughts(struct repeat *r, struct extract *x, const char *p, size_t n)
{
	return same_event(r, x, p, n, true);
}

/* --- finding the spots -------------------------------------------------------------------------------------------- */

struct search {
	const struct extract *x;
	const char *begin, *end;
	struct spot spots[SPOTS_MAX];
	size_t n;
	uint64_t text_bytes, thought_bytes[EXTRACT_THOUGHTS]; /* that the spots account for */
	bool full, thinks;
};

static bool is_text(uint8_t mark)
{
	return mark == MARK_TEXT || mark == MARK_SAID || is_thought(mark);
}

/* Text whose length is counted as it is. */
static bool is_counted(const struct extract *x, uint8_t mark)
{
	return mark == MARK_DELTA || (is_text(mark) && !(x->stream && x->ops->deltas_only));
}

static void add_spot(struct search *s, const char *from, const char *to, enum spot_kind kind)
{
	if (s->n == SPOTS_MAX) {
		s->full = true;
		return;
	}
	s->spots[s->n++] = (struct spot){(uint16_t)(from - s->begin), (uint16_t)(to - s->begin), (uint8_t)kind};
}

static const char *search_container(struct search *s, const char *p, uint8_t to, int depth);

/* `mark` and `child` are the place's for this value. Returns where it ends; the event is known to be valid. */
static const char *search_value(struct search *s, const char *p, uint8_t mark, uint8_t child, int depth)
{
	const char *stop;
	uint64_t bytes;
	bool plain;

	if (*p == '{' || *p == '[')
		return search_container(s, p, walk_resolve(s->x->ops->places, child, *p == '{'), depth);
	if (*p != '"') {
		stop = quick_skip(p, s->end, depth);
		if (mark == MARK_NONE && stop && (*p == '-' || (*p >= '0' && *p <= '9')))
			add_spot(s, p, stop, SPOT_NUMBER);
		return stop;
	}
	stop = quick_string(p + 1, s->end, &bytes, &plain);
	if (!stop)
		return NULL;
	if (mark == MARK_NONE || (is_text(mark) && !is_counted(s->x, mark)))
		add_spot(s, p + 1, stop, SPOT_STRING);
	if (is_thought(mark)) {
		add_spot(s, p + 1, stop, (enum spot_kind)(SPOT_THOUGHT + mark - MARK_THOUGHT));
		s->thought_bytes[mark - MARK_THOUGHT] += bytes;
		s->thinks = true; /* also where this one is empty */
	} else if (is_counted(s->x, mark)) {
		add_spot(s, p + 1, stop, SPOT_TEXT);
		s->text_bytes += bytes;
	}
	return stop + 1;
}

static const char *search_container(struct search *s, const char *p, uint8_t to, int depth)
{
	const struct walk_place *place = &s->x->ops->places[to];
	bool object = *p == '{';
	char close = object ? '}' : ']';

	if (walk_is_dead(place))
		return quick_skip(p, s->end, depth);
	p = quick_space(p + 1);
	while (p && *p != close) {
		uint8_t mark = place->items != 0 ? place->item_id : place->other_id;
		uint8_t child = place->items != 0 ? place->items : place->other_child;
		struct slice name;

		if (object) {
			const struct walk_key *k;

			p = quick_key(p, s->end, &name);
			if (!p)
				return NULL;
			k = place->items == 0 ? walk_find(place, name) : NULL;
			mark = k ? k->id : mark;
			child = k ? k->child : child;
		}
		p = quick_next(search_value(s, p, mark, child, depth + 1), s->end, close);
	}
	return p ? p + 1 : NULL;
}

/* --- making the pattern ------------------------------------------------------------------------------------------- */

static uint32_t sum_of(const char *p, size_t n)
{
	return (uint32_t)hash_bytes(p, n);
}

/* Which spots differ from the last event's? Text always does. */
static void compare_spots(struct repeat *r, const struct search *s)
{
	bool alike = r->n_spots == s->n;

	if (!alike)
		r->varies = 0;
	for (size_t i = 0; i < s->n; i++) {
		uint32_t sum = sum_of(s->begin + s->spots[i].from, (size_t)(s->spots[i].to - s->spots[i].from));

		if (s->spots[i].kind >= SPOT_TEXT || (alike && r->sums[i] != sum))
			r->varies |= UINT32_C(1) << i;
		r->sums[i] = sum;
	}
	r->n_spots = (uint8_t)s->n;
}

/* The event without what differs; false: it is too large. */
static bool make_pattern(struct repeat *r, const struct search *s)
{
	size_t at = 0, used = 0, n = (size_t)(s->end - s->begin), i;

	r->n_holes = 0;
	for (i = 0; i <= s->n; i++) {
		size_t stop = i < s->n ? s->spots[i].from : n;

		if (i < s->n && !(r->varies >> i & 1))
			continue;
		if (stop - at > BYTES_MAX - used)
			return false;
		memcpy(r->bytes + used, s->begin + at, stop - at);
		used += stop - at;
		r->pieces[r->n_holes] = (uint16_t)(stop - at);
		if (i == s->n)
			return true;
		r->holes[r->n_holes++] = s->spots[i].kind;
		at = s->spots[i].to;
	}
	return false;
}

/* The event was taken over and told nothing new but text. */
static bool learn(struct repeat *r, const struct extract *x, const char *p, size_t n, uint64_t text_bytes)
{
	struct search s = {.x = x, .begin = p, .end = p + n};

	if (strstr(x->ev->type, "audio")) /* its base64 is counted by another rule */
		return false;
	if (search_container(&s, p, walk_resolve(x->ops->places, x->ops->root, true), 0) != s.end || s.full ||
	    s.text_bytes + thoughts_most(s.thought_bytes) != text_bytes)
		return false;
	compare_spots(r, &s);
	r->thinks = s.thinks;
	return make_pattern(r, &s);
}

/* Where patterns are made in vain it is tried ever more seldom. */
static void try_later(struct repeat *r)
{
	r->armed = false;
	r->pause = r->used ? 0 : r->pause < WAIT_MAX / 2 ? (uint8_t)(r->pause * 2 + 1) : WAIT_MAX;
	r->wait = r->pause;
}

static bool read_usual(struct extract *x, const char *p, size_t n)
{
	if (!extract_whole(x, p, n))
		return false;
	extract_commit(x);
	return true;
}

/* What was known before an event. */
struct known {
	struct extract x; /* a word that changes gets a new place, counts do not */
	struct counts counts, found, sum;
	struct others others;
};

static void remember(struct known *k, const struct extract *x)
{
	memcpy(&k->x, x, sizeof(*x));
	if (x->counts)
		counts_copy(&k->counts, x->counts);
	if (x->found)
		counts_copy(&k->found, x->found);
	if (x->sum)
		counts_copy(&k->sum, x->sum);
	if (x->others)
		memcpy(&k->others, x->others, sizeof(k->others));
}

static bool is_still(const struct known *k, const struct extract *x)
{
	return memcmp((const char *)&k->x + KNOWN_AT, (const char *)x + KNOWN_AT, KNOWN_BYTES) == 0 &&
	       (!x->counts || counts_same(&k->counts, x->counts)) && (!x->found || counts_same(&k->found, x->found)) &&
	       (!x->sum || counts_same(&k->sum, x->sum)) &&
	       (!x->others || memcmp(&k->others, x->others, sizeof(k->others)) == 0);
}

/* Reads the event the usual way; looks whether it changed what is known, and if not, learns it. */
static bool read_and_learn(struct repeat *r, struct extract *x, const char *p, size_t n)
{
	uint64_t text_bytes = x->output_bytes;
	struct known before;

	remember(&before, x);
	if (!read_usual(x, p, n))
		return false;
	text_bytes = x->output_bytes - text_bytes;
	r->used = false;
	r->armed = n <= UINT16_MAX && is_still(&before, x) && learn(r, x, p, n, text_bytes);
	if (!r->armed)
		try_later(r);
	return true;
}

bool repeat_again(struct repeat *r, struct extract *x, const char *p, size_t n)
{
	if (!r || !r->armed)
		return false;
	if (LIKELY(UNLIKELY(r->thinks) ? same_thoughts(r, x, p, n) : same_event(r, x, p, n, false)))
		return true;
	try_later(r);
	return false;
}

bool repeat_read(struct repeat **ref, struct extract *x, const char *p, size_t n)
{
	struct repeat *r = *ref;

	if (!r) {
		*ref = calloc(1, sizeof(**ref)); /* without, nothing is learned */
		return read_usual(x, p, n);
	}
	if (r->wait == 0)
		return read_and_learn(r, x, p, n);
	r->wait--;
	return read_usual(x, p, n);
}
