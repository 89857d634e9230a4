/* simulate_report.c - what came out, as JSON. */
#include <stdlib.h>
#include <string.h>

#include "app/simulate_impl.h"
#include "base/clock.h"
#include "base/error.h"

#define TOP 5

static json_t *usd(int64_t nanousd)
{
	char text[AMOUNT_TEXT_MAX];

	return json_string(amount_format_usd(nanousd, text));
}

static json_t *instant(int64_t ns)
{
	char text[TIME_TEXT_MAX];
	struct tz *utc = NULL;
	json_t *v;

	if (ns == 0 || tz_load("UTC", &utc) < 0)
		return json_null();
	v = json_string(time_format(utc, ns / NS_PER_S, text));
	tz_free(utc);
	return v;
}

static json_t *limit_text(const struct budget *b)
{
	return b->unit == UNIT_USD ? usd(b->limit) : json_sprintf("%lld", (long long)b->limit);
}

static json_t *seconds(int64_t ns)
{
	return json_sprintf("%lld.%03d", (long long)(ns / NS_PER_S), (int)(ns % NS_PER_S / NS_PER_MS));
}

static int put(json_t *o, const char *key, json_t *v)
{
	return json_object_set_new(o, key, v);
}

static int put_tally(json_t *o, const struct sim_tally *t)
{
	char id[40] = "req_";
	int r = 0;

	hex_encode(t->first_uid, sizeof(t->first_uid), id + 4);
	r |= put(o, "blocked", json_integer((json_int_t)t->blocked));
	r |= put(o, "held_back", json_integer((json_int_t)t->held_back));
	r |= put(o, "paced_out", json_integer((json_int_t)t->paced_out));
	r |= put(o, "blocked_usd", usd(t->blocked_nanousd));
	r |= put(o, "throttled", json_integer((json_int_t)t->throttled));
	r |= put(o, "paced", json_integer((json_int_t)t->paced));
	r |= put(o, "delay_s", seconds(t->delay_ns));
	r |= put(o, "worst_delay_s", seconds(t->worst_delay_ns));
	r |= put(o, "degraded", json_integer((json_int_t)t->degraded));
	r |= put(o, "degrade_saved_usd", usd(t->degrade_nanousd));
	r |= put(o, "clamped", json_integer((json_int_t)t->clamped));
	r |= put(o, "clamp_saved_usd", usd(t->clamp_nanousd));
	r |= put(o, "would_block", json_integer((json_int_t)t->would_block));
	r |= put(o, "first_block_at", instant(t->first_ns));
	return r | put(o, "first_block_call", t->first_ns ? json_string(id) : json_null());
}

static json_t *budgets(const struct sim *s)
{
	static const char *const units[] = {[UNIT_USD] = "USD", [UNIT_TOKENS] = "tokens", [UNIT_REQUESTS] = "requests"};
	json_t *list = json_array();
	int r = 0;

	for (size_t i = 0; list && i < budget_set_len(s->set); i++) {
		const struct budget *b = budget_set_at(s->set, i);
		json_t *o = json_pack("{s:s,s:s,s:s,s:s,s:o}", "name", b->name, "mode", budget_mode_name(b->mode),
				      "window", b->window_name, "unit", units[b->unit], "limit", limit_text(b));

		r |= o ? put_tally(o, &s->budgets[i]) : -1;
		r |= json_array_append_new(list, o);
	}
	if (r == 0)
		return list;
	json_decref(list);
	return NULL;
}

/* --- the most affected -------------------------------------------------------------------------------------------- */

struct top {
	struct slice name[TOP];
	const struct sim_name *of[TOP];
	size_t n;
};

static int compare(struct slice a, struct slice b)
{
	int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	return c ? c : (a.n > b.n) - (a.n < b.n);
}

/* By money, then by calls, then by name: the same each time. */
static bool goes_before(struct slice a_name, const struct sim_name *a, struct slice b_name, const struct sim_name *b)
{
	uint64_t a_calls = a->refused + a->slowed + a->degraded + a->clamped;
	uint64_t b_calls = b->refused + b->slowed + b->degraded + b->clamped;

	if (a->saved_nanousd != b->saved_nanousd)
		return a->saved_nanousd > b->saved_nanousd;
	return a_calls != b_calls ? a_calls > b_calls : compare(a_name, b_name) < 0;
}

static bool rank(void *ctx, struct slice key, void *value)
{
	const struct sim_name *n = value;
	struct top *top = ctx;
	size_t i = top->n < TOP ? top->n++ : TOP;

	for (; i > 0 && goes_before(key, n, top->name[i - 1], top->of[i - 1]); i--) {
		if (i < TOP) {
			top->name[i] = top->name[i - 1];
			top->of[i] = top->of[i - 1];
		}
	}
	if (i < TOP) {
		top->name[i] = key;
		top->of[i] = n;
	}
	return true;
}

static json_t *top_of(const struct map *m)
{
	json_t *list = json_array();
	struct top top = {.n = 0};
	int r = 0;

	map_each(m, rank, &top);
	for (size_t i = 0; list && i < top.n; i++) {
		const struct sim_name *n = top.of[i];

		r |= json_array_append_new(
		    list, json_pack("{s:o,s:I,s:I,s:I,s:I,s:o}", "name", json_stringn(top.name[i].p, top.name[i].n),
				    "refused", (json_int_t)n->refused, "slowed", (json_int_t)n->slowed, "degraded",
				    (json_int_t)n->degraded, "clamped", (json_int_t)n->clamped, "not_spent_usd",
				    usd(n->saved_nanousd)));
	}
	if (r == 0)
		return list;
	json_decref(list);
	return NULL;
}

/* --- all ---------------------------------------------------------------------------------------------------------- */

static json_t *assumptions(void)
{
	static const char *const texts[] = {
	    "callers would not have tried again after a refusal, and would have sent the same calls after a delay",
	    "calls that were refused at the time are not in the ledger, so they are not here either",
	    "budgets of USD are judged by what calls held; of tokens and requests by what calls used",
	    "windows that were open at the beginning start with what was really spent in them; pacing starts fresh",
	    "degraded calls are taken to use the same tokens, at today's prices of the other model",
	    "clamped calls are an upper estimate: they are judged by the input that was billed, not by its bound",
	    "breakers, kill switches, runaway detection, credits and limits changed by hand are not replayed",
	};
	json_t *list = json_array();

	for (size_t i = 0; list && i < ARRAY_LEN(texts); i++)
		if (json_array_append_new(list, json_string(texts[i])) != 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

json_t *sim_report(const struct sim *s)
{
	int64_t saved = s->all.blocked_nanousd + s->all.degrade_nanousd + s->all.clamp_nanousd + s->later_nanousd;
	json_t *o = json_object();
	int r = o ? 0 : -1;

	r = r ? r : put(o, "from", instant(s->ask->from_ns));
	r |= put(o, "to", instant(s->ask->to_ns));
	r |= put(o, "calls", json_integer((json_int_t)s->calls));
	r |= put(o, "spent_usd", usd(s->spent_nanousd));
	r |= put(o, "admitted", json_integer((json_int_t)s->admitted));
	r |= put(o, "no_budget", json_integer((json_int_t)s->no_budget));
	r |= put(o, "price_unknown", json_integer((json_int_t)s->price_unknown));
	r |= put(o, "not_simulated", json_integer((json_int_t)s->not_simulated));
	r |= put(o, "would_have_spent_usd", usd(s->spent_nanousd - saved));
	r |= put(o, "not_spent_usd", usd(saved));
	r |= put_tally(o, &s->all);
	r |= put(o, "budgets", budgets(s));
	r |= put(o, "keys", top_of(s->keys));
	r |= put(o, "teams", top_of(s->teams));
	r |= put(o, "models", top_of(s->models));
	r |= put(o, "assumptions", assumptions());
	if (r == 0)
		return o;
	json_decref(o);
	return NULL;
}
