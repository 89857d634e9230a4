#include "policy/stops.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/calendar.h"
#include "base/clock.h"
#include "base/error.h"

#define DAY_S 86400

struct stop_set {
	_Atomic uint32_t refs;
	size_t n;
	struct stop *list;
	char *texts;
};

const char *stop_word(int what)
{
	if (what == STOP_EVERYTHING)
		return "everything";
	return what >= 0 && what < FACT_COUNT ? fact_name((enum fact)what) : "unknown";
}

static void instant(int64_t ns, char dst[TIME_TEXT_MAX])
{
	int64_t s = ns / NS_PER_S, year;
	int month, day, rest = (int)(s % DAY_S);

	civil_from_days(s / DAY_S, &year, &month, &day);
	(void)snprintf(dst, TIME_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02dZ", (int)year, month, day, rest / 3600,
		       rest / 60 % 60, rest % 60);
}

void stop_sentence(const struct stop *s, char dst[STOP_SENTENCE_MAX])
{
	bool all = s->what == STOP_EVERYTHING;
	char when[TIME_TEXT_MAX];

	instant(s->since_ns, when);
	(void)snprintf(dst, STOP_SENTENCE_MAX, "%s%s%s%s were stopped by %s on %s: %s", all ? "all calls" : "calls of ",
		       all ? "" : stop_word(s->what), all ? "" : " ", all ? "" : s->value, s->actor, when, s->reason);
}

int stop_parse(struct slice word, int *ret)
{
	for (int what = 0; what <= STOP_EVERYTHING; what++) {
		if (slice_eq(word, slice_of(stop_word(what)))) {
			*ret = what;
			return BUR_OK;
		}
	}
	return BUR_INVALID;
}

static char *put(char *at, const char **ret, const char *text)
{
	size_t n = strlen(text) + 1;

	memcpy(at, text, n);
	*ret = at;
	return at + n;
}

static bool same(const struct stop *a, int what, struct slice value)
{
	return a->what == what && slice_eq(slice_of(a->value), value);
}

static void add(struct stop_set *s, const struct stop *one)
{
	for (size_t i = 0; i < s->n; i++) {
		if (same(&s->list[i], one->what, slice_of(one->value))) {
			s->list[i] = *one;
			return;
		}
	}
	s->list[s->n++] = *one;
}

struct stop_set *stop_set_new(const struct stop *list, size_t n)
{
	struct stop_set *s = n <= STOPS_MAX ? calloc(1, sizeof(*s)) : NULL;
	size_t bytes = 1;
	char *at;

	if (!s)
		return NULL;
	atomic_init(&s->refs, 1);
	for (size_t i = 0; i < n; i++)
		bytes += strlen(list[i].value) + strlen(list[i].reason) + strlen(list[i].actor) + 3;
	s->list = calloc(n + 1, sizeof(*s->list));
	s->texts = at = malloc(bytes);
	if (!s->list || !s->texts) {
		stop_set_unref(s);
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		struct stop one = list[i];

		at = put(at, &one.value, list[i].value);
		at = put(at, &one.reason, list[i].reason);
		at = put(at, &one.actor, list[i].actor);
		add(s, &one);
	}
	return s;
}

struct stop_set *stop_set_ref(struct stop_set *s)
{
	if (s)
		atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void stop_set_unref(struct stop_set *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	free(s->list);
	free(s->texts);
	free(s);
}

size_t stop_set_len(const struct stop_set *s)
{
	return s ? s->n : 0;
}

const struct stop *stop_set_at(const struct stop_set *s, size_t i)
{
	return i < s->n ? &s->list[i] : NULL;
}

const struct stop *stop_set_get(const struct stop_set *s, int what, struct slice value)
{
	for (size_t i = 0; s && i < s->n; i++)
		if (same(&s->list[i], what, value))
			return &s->list[i];
	return NULL;
}

static bool covers(const struct stop *stop, const struct facts *f)
{
	struct slice pattern = slice_of(stop->value), fact;

	if (stop->what == STOP_EVERYTHING)
		return true;
	fact = f->v[stop->what];
	if (fact.n == 0)
		return false;
	if (pattern.n > 0 && pattern.p[pattern.n - 1] == '*')
		return slice_starts(fact, slice_sub(pattern, 0, pattern.n - 1));
	return slice_eq(fact, pattern);
}

const struct stop *stop_set_find(const struct stop_set *s, const struct facts *f, bool only_cut)
{
	for (size_t i = 0; s && i < s->n; i++)
		if ((!only_cut || s->list[i].cut) && covers(&s->list[i], f))
			return &s->list[i];
	return NULL;
}
