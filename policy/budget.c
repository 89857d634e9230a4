#include "policy/budget.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/error.h"
#include "base/utf8.h"
#include "policy/budget_window.h"
#include "policy/overlap.h"
#include "policy/parent.h"
#include "policy/window_ring.h"

#define NAME_BYTES_MAX 128
#define PATTERN_BYTES_MAX 256
#define TAG_NAME_BYTES_MAX 32
#define STEP_AT_MAX_PPM INT64_C(10000000) /* ten times the limit */
#define DELAY_MAX_NS INT64_C(60000000000)
#define PACE_FACTOR_MAX_MILLI 1000000
#define PACE_BURST_MAX_NS (INT64_C(86400) * 1000000000)
#define OUT_MAX 10000000 /* output tokens of one call */
#define BREAKER_S_MAX 86400
#define SET_BYTES_MAX ((size_t)BUDGETS_MAX * 16384)

struct budget_set {
	struct budget *list;
	size_t n;
	struct arena strings;
};

const char *budget_mode_name(enum budget_mode mode)
{
	static const char *const names[] = {[MODE_HARD] = "hard", [MODE_SOFT] = "soft", [MODE_SHADOW] = "shadow"};

	return names[mode];
}

/* --- facts -------------------------------------------------------------------------------------------------------- */

static const struct slice fact_names[FACT_COUNT] = {
    [FACT_PROVIDER] = {"provider", 8}, [FACT_MODEL] = {"model", 5}, [FACT_KEY] = {"key", 3},
    [FACT_USER] = {"user", 4},         [FACT_TEAM] = {"team", 4},   [FACT_PROJECT] = {"project", 7},
};

const char *fact_name(enum fact fact)
{
	return fact < FACT_COUNT ? fact_names[fact].p : "tag.";
}

struct slice facts_get(const struct facts *f, enum fact fact, struct slice tag_name)
{
	if (fact < FACT_COUNT)
		return f->v[fact];
	/* The last of equal names counts, as in tags_parse. */
	for (size_t i = f->n_tags; i-- > 0;) {
		if (slice_eq(f->tags[i].name, tag_name))
			return f->tags[i].value;
	}
	return SLICE_NONE;
}

static bool tag_name_ok(struct slice name)
{
	if (name.n == 0 || name.n > TAG_NAME_BYTES_MAX)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-'))
			return false;
	}
	return true;
}

int fact_parse(struct slice word, enum fact *ret, struct slice *ret_tag)
{
	for (size_t i = 0; i < FACT_COUNT; i++) {
		if (slice_eq(word, fact_names[i])) {
			*ret = (enum fact)i;
			*ret_tag = SLICE_NONE;
			return BUR_OK;
		}
	}
	if (!slice_starts(word, SLICE("tag.")) || !tag_name_ok(slice_sub(word, 4, word.n)))
		return BUR_INVALID;
	*ret = FACT_TAG;
	*ret_tag = slice_sub(word, 4, word.n);
	return BUR_OK;
}

static bool pattern_accepts(const char *pattern, struct slice value)
{
	size_t n = strlen(pattern);

	if (value.n == 0)
		return false; /* what is not known holds no selector, not even "*" */
	if (n > 0 && pattern[n - 1] == '*')
		return slice_starts(value, (struct slice){pattern, n - 1});
	return slice_eq(value, (struct slice){pattern, n});
}

bool budget_matches(const struct budget *b, const struct facts *f)
{
	for (size_t i = 0; i < b->n_match; i++) {
		const struct selector *s = &b->match[i];

		if (!pattern_accepts(s->value, facts_get(f, s->fact, slice_of(s->tag))))
			return false;
	}
	return true;
}

int budget_degrade(const struct budget_step *s, struct slice model)
{
	for (size_t i = 0; i < s->n_map; i++) {
		if (pattern_accepts(s->map[i].from, model) && !slice_eq(slice_of(s->map[i].to), model))
			return (int)i;
	}
	return -1;
}

/* --- scope -------------------------------------------------------------------------------------------------------- */

struct scope_writer {
	char *dst;
	size_t n, max, kept; /* kept: where a cut may be made and the hash still fits */
	bool cut;
};

#define CUT_BYTES 17 /* '~' and 16 hex digits */

static void scope_put(struct scope_writer *w, const char *p, size_t n)
{
	if (w->cut || w->n + n > w->max) {
		w->cut = true;
		return;
	}
	memcpy(w->dst + w->n, p, n);
	w->n += n;
	if (w->n + CUT_BYTES <= w->max)
		w->kept = w->n;
}

static void scope_put_value(struct scope_writer *w, struct slice v)
{
	static const char hex[] = "0123456789ABCDEF";
	uint32_t codepoint;
	size_t n;

	for (size_t i = 0; i < v.n; i += n) {
		unsigned char c = (unsigned char)v.p[i];

		n = utf8_decode(v.p + i, v.n - i, &codepoint);
		if (n > 1 && codepoint >= 0xa0) {
			scope_put(w, v.p + i, n);
		} else if (c <= 0x20 || c >= 0x7f || c == '%' || c == ',' || c == '=' || c == '~') {
			char escaped[3] = {'%', hex[c >> 4], hex[c & 15]};

			scope_put(w, escaped, sizeof(escaped));
			n = 1;
		} else {
			scope_put(w, v.p + i, 1);
		}
	}
}

static uint64_t hash_pair(uint64_t a, uint64_t b)
{
	unsigned char bytes[16];

	for (size_t i = 0; i < 8; i++) {
		bytes[i] = (unsigned char)(a >> 8 * i);
		bytes[8 + i] = (unsigned char)(b >> 8 * i);
	}
	return stable_hash64(bytes, sizeof(bytes));
}

static struct slice per_value(const struct per *p, const struct facts *f)
{
	return facts_get(f, p->fact, slice_of(p->tag));
}

/* Ends a scope that did not fit with a hash of all its values, so that it stays distinct. */
static void scope_cut(struct scope_writer *w, const struct budget *b, const struct facts *f)
{
	unsigned char bytes[8];
	char text[17];
	uint64_t hash = 0;

	for (size_t i = 0; i < b->n_per; i++) {
		struct slice v = per_value(&b->per[i], f);

		hash = hash_pair(hash, stable_hash64(v.p, v.n));
	}
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(hash >> (56 - 8 * i));
	hex_encode(bytes, sizeof(bytes), text);
	w->dst[w->kept] = '~';
	memcpy(w->dst + w->kept + 1, text, 16);
	w->n = w->kept + CUT_BYTES;
}

size_t budget_scope(const struct budget *b, const struct facts *f, char *dst, size_t dst_size)
{
	struct scope_writer w = {.dst = dst, .max = SCOPE_SIZE - 1};

	CHECK(dst_size >= SCOPE_SIZE);
	for (size_t i = 0; i < b->n_per; i++) {
		const struct per *p = &b->per[i];

		if (i > 0)
			scope_put(&w, ",", 1);
		if (p->fact == FACT_TAG) {
			scope_put(&w, "tag.", 4);
			scope_put(&w, p->tag, strlen(p->tag));
		} else {
			scope_put(&w, fact_names[p->fact].p, fact_names[p->fact].n);
		}
		scope_put(&w, "=", 1);
		scope_put_value(&w, per_value(p, f));
	}
	if (w.cut)
		scope_cut(&w, b, f);
	dst[w.n] = '\0';
	return w.n;
}

uint64_t meter_uid(const char *budget_name, struct slice scope)
{
	return hash_pair(stable_hash64(budget_name, strlen(budget_name)), stable_hash64(scope.p, scope.n));
}

/* --- checking a definition ---------------------------------------------------------------------------------------- */

struct report {
	const char *budget;
	size_t index;
	char *dst;
	size_t dst_size;
};

PRINTF_LIKE(2, 3) static int invalid(const struct report *to, const char *fmt, ...)
{
	char what[PARENT_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (to->dst_size == 0)
		return BUR_INVALID;
	if (to->budget)
		(void)snprintf(to->dst, to->dst_size, "budget `%.128s`: %s", to->budget, what);
	else
		(void)snprintf(to->dst, to->dst_size, "budget number %zu: %s", to->index + 1, what);
	return BUR_INVALID;
}

/* 1..max bytes without control bytes. */
static bool text_ok(const char *text, size_t max)
{
	size_t n = text ? strnlen(text, max + 1) : 0;

	if (n == 0 || n > max)
		return false;
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	}
	return true;
}

static bool fact_ok(enum fact fact, const char *tag)
{
	return (unsigned)fact < FACT_COUNT || (fact == FACT_TAG && tag && tag_name_ok(slice_of(tag)));
}

static bool fact_same(enum fact a, const char *tag_a, enum fact b, const char *tag_b)
{
	return a == b && (a != FACT_TAG || strcmp(tag_a, tag_b) == 0);
}

static int check_match(const struct budget *b, const struct report *to)
{
	if (b->n_match > SELECTORS_MAX)
		return invalid(to, "more than %d selectors in `match`", SELECTORS_MAX);
	for (size_t i = 0; i < b->n_match; i++) {
		const struct selector *s = &b->match[i];
		const char *star;

		if (!fact_ok(s->fact, s->tag))
			return invalid(to, "`match` names something unknown");
		if (!text_ok(s->value, PATTERN_BYTES_MAX))
			return invalid(to, "a value in `match` is empty, too long or has control characters");
		star = strchr(s->value, '*');
		if (star && star[1] != '\0')
			return invalid(to, "`%s`: a `*` may only stand at the end", s->value);
		for (size_t j = 0; j < i; j++) {
			if (fact_same(s->fact, s->tag, b->match[j].fact, b->match[j].tag))
				return invalid(to, "`match` asks twice for the same fact");
		}
	}
	return BUR_OK;
}

static int check_per(const struct budget *b, const struct report *to)
{
	if (b->n_per > SELECTORS_MAX)
		return invalid(to, "more than %d names in `per`", SELECTORS_MAX);
	for (size_t i = 0; i < b->n_per; i++) {
		if (!fact_ok(b->per[i].fact, b->per[i].tag))
			return invalid(to, "`per` names something unknown");
		for (size_t j = 0; j < i; j++) {
			if (fact_same(b->per[i].fact, b->per[i].tag, b->per[j].fact, b->per[j].tag))
				return invalid(to, "`per` has the same name twice");
		}
	}
	return BUR_OK;
}

static int check_window(const struct budget *b, const struct report *to)
{
	const struct window_spec *w = &b->window;

	if ((unsigned)w->kind > WINDOW_TOTAL)
		return invalid(to, "unknown kind of window");
	if (!w->tz && w->kind != WINDOW_TOTAL)
		return invalid(to, "the window has no time zone");
	if (w->week_start < 0 || w->week_start > 6)
		return invalid(to, "the week must start on a day from 0 (Monday) to 6, not %d", w->week_start);
	if (w->month_anchor < 0 || w->month_anchor > 28)
		return invalid(to, "the month must start on a day from 1 to 28, not %d", w->month_anchor);
	if (b->fiscal_month < 0 || b->fiscal_month > 12)
		return invalid(to, "the fiscal year must start in a month from 1 to 12, not %d", b->fiscal_month);
	if (b->rolling_s < 0 || b->rolling_s > ROLLING_MAX_S || b->rolling_s % ROLLING_MIN_S != 0)
		return invalid(to, "a rolling window is a whole number of minutes, up to 366 days");
	return BUR_OK;
}

static bool in_range(int64_t v, int64_t low, int64_t high)
{
	return v >= low && v <= high;
}

/* A name, or when `star` a pattern. */
static bool model_ok(const char *text, bool star)
{
	const char *at = text_ok(text, PATTERN_BYTES_MAX) ? strchr(text, '*') : "**";

	return !at || (star && at[1] == '\0');
}

static int check_degrades(const struct budget_step *s, const struct report *to)
{
	if (s->n_map == 0 || s->n_map > DEGRADES_MAX || !s->map)
		return invalid(to, "a degrade step needs a map of 1 to %d models", DEGRADES_MAX);
	for (size_t i = 0; i < s->n_map; i++) {
		const struct degrade *d = &s->map[i];

		if (!model_ok(d->from, true) || !model_ok(d->to, false))
			return invalid(to, "a model in the map of a degrade step is empty or too long, or has a `*` "
					   "that is not at the end of the left side");
		if (strcmp(d->from, d->to) == 0)
			return invalid(to, "a degrade step maps `%s` to itself", d->from);
		for (size_t j = 0; j < i; j++) {
			if (strcmp(d->from, s->map[j].from) == 0)
				return invalid(to, "a degrade step has `%s` twice", d->from);
		}
	}
	return BUR_OK;
}

static int check_pace(const struct budget *b, const struct budget_step *s, const struct report *to)
{
	if (b->unit != UNIT_USD)
		return invalid(to, "only a budget in USD can be paced");
	if (s->pace.per_minute_nanousd < 0)
		return invalid(to, "the rate of a pace step is negative");
	if (s->pace.per_minute_nanousd == 0 && !in_range(s->pace.factor_milli, 1, PACE_FACTOR_MAX_MILLI))
		return invalid(to, "the factor of a pace step is not between 0.001 and %d",
			       PACE_FACTOR_MAX_MILLI / 1000);
	if (!in_range(s->pace.burst_ns, 0, PACE_BURST_MAX_NS))
		return invalid(to, "the burst of a pace step is not between 0 and 24 hours");
	if (!in_range(s->pace.max_wait_ns, 0, DELAY_MAX_NS))
		return invalid(to, "the longest wait of a pace step is not between 0 and 60 seconds");
	return BUR_OK;
}

static int check_action(const struct budget *b, const struct budget_step *s, const struct report *to)
{
	switch (s->action) {
	case STEP_ALERT:
	case STEP_BLOCK:
		return BUR_OK;
	case STEP_THROTTLE:
		return in_range(s->max_delay_ns, 0, DELAY_MAX_NS)
			   ? BUR_OK
			   : invalid(to, "the delay of a throttle step is not between 0 and 60 seconds");
	case STEP_PACE:
		return check_pace(b, s, to);
	case STEP_DEGRADE:
		return check_degrades(s, to);
	case STEP_CLAMP:
		return s->min_out >= 1 && s->min_out <= OUT_MAX
			   ? BUR_OK
			   : invalid(to, "the fewest output tokens of a clamp step are not between 1 and %d", OUT_MAX);
	}
	return invalid(to, "a step has an unknown action");
}

static int check_steps(const struct budget *b, const struct report *to)
{
	if (b->n_steps > STEPS_MAX)
		return invalid(to, "more than %d steps", STEPS_MAX);
	for (size_t i = 0; i < b->n_steps; i++) {
		const struct budget_step *s = &b->steps[i];
		int r = check_action(b, s, to);

		if (r < 0)
			return r;
		if (s->at_ppm <= 0 || s->at_ppm > STEP_AT_MAX_PPM)
			return invalid(to, "step %zu is not between 0 and 1000 %%", i + 1);
		if (i > 0 && s->at_ppm < s[-1].at_ppm)
			return invalid(to, "step %zu is out of order: steps go upwards", i + 1);
		for (size_t j = 0; j < i; j++) {
			if (s->at_ppm == b->steps[j].at_ppm && s->action == b->steps[j].action)
				return invalid(to, "step %zu stands there twice", i + 1);
		}
	}
	return BUR_OK;
}

static int check_breaker(const struct budget_breaker *k, const struct report *to)
{
	if (!k->on)
		return BUR_OK;
	if (k->max_request_nanousd < 0 || k->velocity_nanousd < 0 || k->probe_nanousd < 0)
		return invalid(to, "an amount of its breaker is negative");
	if (!in_range(k->velocity_window_s, k->velocity_nanousd > 0, BREAKER_S_MAX) ||
	    !in_range(k->cool_down_s, 0, BREAKER_S_MAX))
		return invalid(to, "a time of its breaker is zero or more than 24 hours");
	return BUR_OK;
}

static int check_budget(const struct budget *b, const struct report *to)
{
	int r;

	if ((b->group && !text_ok(b->group, NAME_BYTES_MAX)) || (b->parent && !text_ok(b->parent, NAME_BYTES_MAX)))
		return invalid(to, "the name of its group or of its parent is empty or too long");
	if (!text_ok(b->name, NAME_BYTES_MAX))
		return invalid(to, "the name is empty, longer than %d bytes or has control characters", NAME_BYTES_MAX);
	if ((unsigned)b->unit > UNIT_REQUESTS)
		return invalid(to, "unknown unit");
	if (b->limit <= 0)
		return invalid(to, "no limit, or not above zero");
	if ((unsigned)b->mode > MODE_SHADOW)
		return invalid(to, "unknown mode");
	if ((unsigned)b->unknown_model > UNKNOWN_CHARGE || b->unknown_charge_nanousd < 0)
		return invalid(to, "`unknown_model` must be block, free or a charge that is not negative");
	if ((unsigned)b->hold > HOLD_GROWING)
		return invalid(to, "`hold` must be auto, worst or growing");
	if (b->default_max_out > OUT_MAX)
		return invalid(to, "the default of output tokens is above %d", OUT_MAX);
	r = check_match(b, to);
	if (r == BUR_OK)
		r = check_breaker(&b->breaker, to);
	if (r == BUR_OK)
		r = check_per(b, to);
	if (r == BUR_OK)
		r = check_window(b, to);
	if (r == BUR_OK)
		r = check_steps(b, to);
	return r;
}

static int check_names(const struct budget *defs, size_t n, const struct report *to)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < i; j++) {
			if (strcmp(defs[i].name, defs[j].name) == 0) {
				struct report here = *to;

				here.budget = defs[i].name;
				return invalid(&here, "there are two of this name");
			}
		}
	}
	return BUR_OK;
}

/* Names the budget with which it becomes too many: the end of the shortest list that fails. */
static int check_overlap(const struct budget *defs, size_t n, struct report *to)
{
	size_t good = 0, bad = n;
	int r = overlap_check(defs, n, MATCH_MAX);

	if (r != BUR_TOOBIG)
		return r;
	while (bad - good > 1) {
		size_t middle = good + (bad - good) / 2;

		r = overlap_check(defs, middle, MATCH_MAX);
		if (r == BUR_NOMEM)
			return r;
		if (r == BUR_OK)
			good = middle;
		else
			bad = middle;
	}
	to->budget = defs[bad - 1].name;
	return invalid(to, "with it one call could match more than %d budgets", MATCH_MAX);
}

static int check_parents(const struct budget *defs, size_t n, struct report *to)
{
	char why[PARENT_TEXT_MAX];
	int r = parent_check(defs, n, &to->index, why);

	if (r == BUR_OK)
		return r;
	to->budget = defs[to->index].name;
	return invalid(to, "%s", why);
}

static int check_all(const struct budget *defs, size_t n, char *reterr, size_t reterr_size)
{
	struct report to = {.dst = reterr, .dst_size = reterr_size};
	int r = BUR_OK;

	if (n > BUDGETS_MAX) {
		if (reterr_size > 0)
			(void)snprintf(reterr, reterr_size, "%zu budgets; at most %d are possible", n, BUDGETS_MAX);
		return BUR_INVALID;
	}
	for (size_t i = 0; i < n && r == BUR_OK; i++) {
		to.index = i;
		to.budget = text_ok(defs[i].name, NAME_BYTES_MAX) ? defs[i].name : NULL;
		r = check_budget(&defs[i], &to);
	}
	if (r == BUR_OK)
		r = check_names(defs, n, &to);
	if (r == BUR_OK)
		r = check_parents(defs, n, &to);
	if (r < 0)
		return r;
	return check_overlap(defs, n, &to);
}

/* --- the set ------------------------------------------------------------------------------------------------------ */

static int copy_text(struct arena *a, const char **inout)
{
	if (*inout) {
		*inout = arena_dup(a, slice_of(*inout)).p;
		if (!*inout)
			return BUR_NOMEM;
	}
	return BUR_OK;
}

static void default_steps(struct budget *b)
{
	static const struct budget_step steps[] = {
	    {.at_ppm = 750000, .action = STEP_ALERT},
	    {.at_ppm = 900000, .action = STEP_ALERT},
	    {.at_ppm = 1000000, .action = STEP_ALERT},
	    {.at_ppm = 1000000, .action = STEP_CLAMP, .min_out = STEP_MIN_OUT},
	    {.at_ppm = 1000000, .action = STEP_BLOCK},
	};
	memcpy(b->steps, steps, sizeof(steps));
	b->n_steps = ARRAY_LEN(steps);
}

static int own_map(struct arena *a, struct budget_step *s)
{
	struct degrade *map;
	int r = BUR_OK;

	if (s->action != STEP_DEGRADE) {
		s->map = NULL;
		s->n_map = 0;
		return BUR_OK;
	}
	map = arena_alloc(a, s->n_map * sizeof(*map));
	if (!map)
		return BUR_NOMEM;
	memcpy(map, s->map, s->n_map * sizeof(*map));
	s->map = map;
	for (size_t i = 0; i < s->n_map && r == BUR_OK; i++) {
		r = copy_text(a, &map[i].from);
		if (r == BUR_OK)
			r = copy_text(a, &map[i].to);
	}
	return r;
}

/* The struct is already a flat copy of the definition; strings are made our own. */
static int own_budget(struct arena *a, struct budget *b)
{
	int r = copy_text(a, &b->name);

	if (r == BUR_OK)
		r = copy_text(a, &b->group);
	if (r == BUR_OK)
		r = copy_text(a, &b->parent);
	if (r == BUR_OK)
		r = copy_text(a, &b->window_name);
	for (size_t i = 0; i < b->n_match && r == BUR_OK; i++) {
		r = copy_text(a, &b->match[i].value);
		if (r == BUR_OK)
			r = copy_text(a, &b->match[i].tag);
	}
	for (size_t i = 0; i < b->n_per && r == BUR_OK; i++)
		r = copy_text(a, &b->per[i].tag);
	for (size_t i = 0; i < b->n_steps && r == BUR_OK; i++)
		r = own_map(a, &b->steps[i]);
	if (b->n_steps == 0)
		default_steps(b);
	if (b->window.month_anchor == 0)
		b->window.month_anchor = 1;
	if (b->fiscal_month == 0)
		b->fiscal_month = 1;
	return r;
}

int budget_set_new(const struct budget *defs, size_t n, struct budget_set **ret, char *reterr, size_t reterr_size)
{
	struct budget_set *set = NULL;
	int r = check_all(defs, n, reterr, reterr_size);

	if (r < 0)
		goto out;
	r = BUR_NOMEM;
	set = calloc(1, sizeof(*set));
	if (!set)
		goto out;
	arena_init(&set->strings, SET_BYTES_MAX);
	set->list = calloc(n > 0 ? n : 1, sizeof(*set->list));
	if (!set->list)
		goto out;
	r = BUR_OK;
	for (; set->n < n && r == BUR_OK; set->n++) {
		set->list[set->n] = defs[set->n];
		r = own_budget(&set->strings, &set->list[set->n]);
	}
	if (r < 0)
		goto out;
	*ret = set;
	set = NULL;
out:
	if (r == BUR_NOMEM && reterr_size > 0)
		(void)snprintf(reterr, reterr_size, "out of memory");
	budget_set_free(set);
	return r;
}

void budget_set_free(struct budget_set *set)
{
	if (!set)
		return;
	arena_reset(&set->strings);
	free(set->list);
	free(set);
}

size_t budget_set_len(const struct budget_set *set)
{
	return set->n;
}

const struct budget *budget_set_at(const struct budget_set *set, size_t i)
{
	CHECK(i < set->n);
	return &set->list[i];
}

int64_t budget_set_longest_rolling_s(const struct budget_set *set)
{
	int64_t longest = 0;

	for (size_t i = 0; i < set->n; i++) {
		int64_t s = set->list[i].rolling_s + set->list[i].rolling_s / RING_BUCKETS;

		longest = s > longest ? s : longest;
	}
	return longest;
}
