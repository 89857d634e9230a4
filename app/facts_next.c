#include "app/facts_next.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/calendar.h"
#include "policy/budget_window.h"

#define PPM 1000000

struct text {
	char *p;
	size_t n, size;
};

/* What does not fit is left out whole. */
PRINTF_LIKE(2, 3) static void add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->p + t->n, t->size - t->n, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < t->size - t->n)
		t->n += (size_t)n;
	t->p[t->n] = '\0';
}

/* --- what happens next -------------------------------------------------------------------------------------------- */

static const char *what_of(enum step_action a)
{
	static const char *const words[] = {[STEP_BLOCK] = "calls are refused",
					    [STEP_THROTTLE] = "calls are slowed down",
					    [STEP_PACE] = "calls are spread over the time that is left",
					    [STEP_DEGRADE] = "calls get cheaper models",
					    [STEP_CLAMP] = "answers that do not fit are shortened"};

	return words[a];
}

static void add_percent(struct text *t, int64_t ppm)
{
	if (ppm % 10000 == 0)
		add(t, "%lld %%", (long long)(ppm / 10000));
	else
		add(t, "%lld.%02lld %%", (long long)(ppm / 10000), (long long)(ppm / 100 % 100));
}

static void add_until(struct text *t, const struct meter_view *v)
{
	const struct tz *tz = v->budget->window.tz;
	struct civil c;

	if (budget_is_rolling(v->budget)) {
		add(t, " until enough of what was spent is older than the window (%s)", v->budget->window_name);
	} else if (v->budget->window.kind == WINDOW_TOTAL || !tz) {
		add(t, " until its limit is raised");
	} else {
		civil_from_unix(tz, v->win_end, &c);
		add(t, " until %04lld-%02d-%02d %02d:%02d %s", (long long)c.year, c.month, c.day, c.hour, c.minute,
		    tz_name(tz));
	}
}

static bool reached(const struct meter_view *v, int64_t ppm, bool block)
{
	__int128 used = (__int128)v->posted + v->held;

	if (block) /* as the engine refuses: at the step or the limit, whichever is lower, with credit */
		return used * PPM >= (__int128)(ppm < PPM ? ppm : PPM) * v->limit + (__int128)v->credit * PPM;
	return used * PPM >= (__int128)ppm * v->limit;
}

/* The rung that decides where several say the same. */
static void add_step(struct text *t, const struct meter_view *v, int64_t ppm, enum step_action action)
{
	const char *join = t->n > 0 ? "; " : "";

	if (reached(v, ppm, action == STEP_BLOCK)) {
		add(t, "%s%s", join, t->n > 0 ? "" : "Now ");
		add(t, "%s%s", t->n > 2 && join[0] ? "now " : "", what_of(action));
	} else {
		add(t, "%s%s ", join, t->n > 0 ? "at" : "At");
		add_percent(t, ppm);
		add(t, " %s", what_of(action));
	}
	if (action == STEP_BLOCK)
		add_until(t, v);
}

char *facts_next(const struct meter_view *v, char dst[FACTS_TEXT_MAX])
{
	const struct budget *b = v->budget;
	struct text t = {.p = dst, .size = FACTS_TEXT_MAX - 1};
	bool block = false;

	dst[0] = '\0';
	if (b->mode == MODE_SHADOW) {
		add(&t, "Nothing: it is a shadow budget, which only counts.");
		return dst;
	}
	for (size_t i = 0; i < b->n_steps; i++) {
		enum step_action a = b->steps[i].action;

		if (a == STEP_ALERT || (a == STEP_BLOCK && (block || b->mode == MODE_SOFT)))
			continue;
		block = block || a == STEP_BLOCK;
		add_step(&t, v, b->steps[i].at_ppm, a);
	}
	if (b->mode == MODE_HARD && !block)
		add_step(&t, v, PPM, STEP_BLOCK);
	if (b->mode == MODE_SOFT)
		add(&t, "%s",
		    t.n > 0 ? "; nothing is refused, it is a soft budget" : "Nothing is refused: it is a soft budget");
	add(&t, ".");
	return dst;
}

/* --- what to type ------------------------------------------------------------------------------------------------- */

static bool is_plain(const char *s)
{
	if (!*s || *s == '-')
		return false;
	for (; *s; s++)
		if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ||
		      strchr("._:@/+=-", *s)))
			return false;
	return true;
}

/* For a POSIX shell. A name with control characters has no safe form: false. */
static bool add_word(struct text *t, const char *word)
{
	for (const char *s = word; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 127)
			return false;
	if (is_plain(word)) {
		add(t, " %s", word);
		return true;
	}
	if (*word == '-')
		return false; /* it would be an option */
	add(t, " '");
	for (; *word; word++)
		add(t, *word == '\'' ? "'\\''" : "%c", *word);
	add(t, "'");
	return true;
}

static const char *text_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "";
}

/* Half as much again. */
static void raise_budget(struct text *t, const struct meter_view *v)
{
	const int64_t half = v->limit / 2, more = v->limit > INT64_MAX - half ? INT64_MAX : v->limit + half;
	char usd[AMOUNT_TEXT_MAX];

	add(t, "bursar budgets raise");
	if (!add_word(t, v->budget->name))
		t->n = 0;
	else if (v->budget->unit == UNIT_USD)
		add(t, " '%s USD' --reason '...'", amount_format_usd(more, usd));
	else
		add(t, " '%lld %s' --reason '...'", (long long)more,
		    v->budget->unit == UNIT_TOKENS ? "tokens" : "requests");
}

static bool starts(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

static void resume(struct text *t, const json_t *facts)
{
	const json_t *scope = json_object_get(facts, "scope");
	const char *kind = text_of(scope, "kind"), *id = text_of(scope, "id");
	bool all = strcmp(kind, "global") == 0;

	add(t, "bursar resume --%s", all ? "everything" : kind);
	if (!all && !add_word(t, id))
		t->n = 0;
	else
		add(t, " --reason '...'");
}

static void close_breaker(struct text *t, const json_t *facts)
{
	const json_t *details = json_object_get(facts, "details");
	char name[600];
	int n = snprintf(name, sizeof(name), "%s:%s", text_of(details, "kind"), text_of(details, "name"));

	add(t, "bursar breakers close");
	if (n < 0 || (size_t)n >= sizeof(name) || !add_word(t, name))
		t->n = 0;
	else
		add(t, " --reason '...'");
}

static void set_price(struct text *t, const json_t *facts)
{
	const char *object = text_of(json_object_get(facts, "scope"), "id"), *slash = strchr(object, '/');
	char provider[128];

	if (!slash || (size_t)(slash - object) >= sizeof(provider))
		return;
	memcpy(provider, object, (size_t)(slash - object));
	provider[slash - object] = '\0';
	add(t, "bursar prices set");
	if (!add_word(t, provider) || !add_word(t, slash + 1))
		t->n = 0;
	else
		add(t, " --in USD --out USD");
}

char *facts_command(const json_t *facts, const struct meter_view *v, char dst[FACTS_TEXT_MAX])
{
	const char *type = text_of(facts, "type");
	struct text t = {.p = dst, .size = FACTS_TEXT_MAX - 1};

	dst[0] = '\0';
	if (strcmp(type, "breaker.opened") == 0)
		close_breaker(&t, facts);
	else if (strcmp(type, "stop.set") == 0 || strcmp(type, "loop.quarantined") == 0)
		resume(&t, facts);
	else if (strcmp(type, "price.unknown_model") == 0)
		set_price(&t, facts);
	else if (strcmp(type, "key.expiring") == 0)
		add(&t, "bursar keys create NAME --expires DATE");
	else if (v && (starts(type, "budget.") || starts(type, "forecast.")) && strcmp(type, "budget.reset") != 0 &&
		 strcmp(type, "budget.recovered") != 0)
		raise_budget(&t, v);
	dst[t.n] = '\0';
	return dst;
}
