#include "policy/engine_internal.h"

/* --- one place of a hold: a meter and one of its instances -------------------------------------------------------- */

static int64_t clamp64(wide v)
{
	return v > INT64_MAX ? INT64_MAX : v < INT64_MIN ? INT64_MIN : (int64_t)v;
}

/* What may be used in this window: hard budgets end at their block step, and shadow ones as if they were hard. */
static wide place_limit(const struct place *p)
{
	const struct entry *b = p->meter->entry;

	return (wide)(b->mode == MODE_SOFT ? b->limit : b->block_limit) + p->in->credit;
}

/* Never clamped: negative after an overrun or when more was spent than the limit allows today. */
static wide place_avail(const struct place *p)
{
	return place_limit(p) - p->in->posted - p->in->held;
}

/* Does it not fit, in a budget that has a say in it? */
static bool place_refuses(const struct place *p)
{
	const struct entry *b = p->meter->entry;

	if (b->mode == MODE_SOFT || p->need == 0)
		return false;
	if (LIKELY(p->in->credit >= 0)) /* the sums fit, and 128 bits are slow */
		return place_used(p, p->need) > (uint64_t)b->block_limit + (uint64_t)p->in->credit;
	return place_avail(p) < p->need;
}

static bool place_blocks(const struct place *p)
{
	return p->refuses && p->meter->entry->mode == MODE_HARD;
}

/* --- thresholds --------------------------------------------------------------------------------------------------- */

/* A step whose event found no room keeps its bit clear and is told at the next chance. */
static void step_tell(const struct place *p, size_t step, int64_t need, struct event_list *to)
{
	const struct budget *b = p->meter->entry->budget;
	uint32_t bit = UINT32_C(1) << step;

	if ((p->in->warned_mask & bit) != 0 || *to->n == EVENTS_MAX)
		return;
	to->at[(*to->n)++] = (struct engine_event){
	    .action = b->steps[step].action,
	    .at_ppm = b->steps[step].at_ppm,
	    .posted = p->in->posted,
	    .held = p->in->held,
	    .need = need,
	    .limit = p->meter->entry->limit,
	    .uid = p->meter->uid,
	    .win_start = p->in->win_start,
	    .win_end = engine_window_end(p->meter, p->in),
	    .warned_mask = engine_window_warned(p->meter, p->in, p->in->win_start, bit),
	    .budget = b,
	    .scope = p->meter->scope,
	};
}

void engine_decide_tell_alerts(const struct place *p, int64_t need, struct event_list *to)
{
	const struct budget *b = p->meter->entry->budget;
	wide used_ppm = ((wide)p->in->posted + p->in->held + need) * PPM, limit = p->meter->entry->limit;

	for (size_t i = 0; i < b->n_steps && used_ppm >= b->steps[i].at_ppm * limit; i++) {
		if (b->steps[i].action == STEP_ALERT)
			step_tell(p, i, need, to);
	}
}
/* --- deciding ----------------------------------------------------------------------------------------------------- */

/* When it fits again if nothing else is spent: the window's end, or as soon as enough has left a rolling one. */
static int64_t blocked_until(const struct place *p)
{
	return engine_window_relief(p->meter, p->in, clamp64(p->need - place_avail(p)));
}

static void block_put(const struct place *p, struct decision *d)
{
	d->blocked[d->n_blocked++] = (struct blocked){
	    .budget = p->meter->entry->budget,
	    .scope = p->meter->scope,
	    .limit = clamp64(place_limit(p)),
	    .posted = p->in->posted,
	    .held = p->in->held,
	    .need = p->need,
	    .win_end = blocked_until(p),
	    .only_held = place_avail(p) + p->in->held - p->own >= p->need,
	};
	if (!d->blocked[d->n_blocked - 1].only_held)
		d->verdict = VERDICT_SPENT;
	else if (d->verdict == VERDICT_ALLOW)
		d->verdict = VERDICT_HELD;
}

/* What the answer says about the state after the call, allowed or not. */
static void decision_describe(const struct place *p, struct decision *d)
{
	const struct entry *b = p->meter->entry;
	int64_t left;

	if (b->mode == MODE_SHADOW)
		return; /* the answer is the same without it */
	left = clamp64(place_avail(p));
	if (b->mode == MODE_SOFT && left < 0)
		d->over_budget = true;
	if (b->unit == UNIT_USD && (!d->tightest || left < d->tightest_left_nanousd)) {
		d->tightest = b->budget;
		d->tightest_left_nanousd = left;
	}
}

/* Not a memset: the arrays are several KiB and only their first entries are ever used. */
void engine_decide_init(struct decision *d)
{
	d->verdict = VERDICT_ALLOW;
	d->n_blocked = 0;
	d->n_would_block = 0;
	d->over_budget = false;
	d->tightest = NULL;
	d->tightest_left_nanousd = 0;
	d->n_events = 0;
}

/* A call is counted once, however often it grows. */
static void would_block_put(struct place *p, struct decision *d)
{
	d->would_block[d->n_would_block++] = p->meter->entry->budget;
	if (!p->would_block)
		engine_window_would_block(p->meter, p->in);
	p->would_block = true;
}

static void place_take(struct engine *e, struct place *p, struct decision *d)
{
	if (UNLIKELY(p->refuses))
		would_block_put(p, d);
	p->in->held += p->need;
	e->held[p->meter->entry->unit] += p->need;
}

static void refusal_tell(const struct place *p, bool allowed, struct event_list *to)
{
	size_t step = p->meter->entry->block_step;

	/* A shadow budget has its say only about calls that went through. */
	if (step != NO_STEP && (allowed || place_blocks(p)))
		step_tell(p, step, p->need, to);
}

/* All needs are taken, or none. Alerts of a refused call count what is there without it: its need never got in. */
int engine_decide_take(struct engine *e, struct place *places, size_t n, struct decision *d)
{
	struct event_list events = {d->events, &d->n_events};
	bool allowed;

	for (size_t i = 0; i < n; i++) {
		struct place *p = &places[i];

		p->refuses = place_refuses(p);
		if (UNLIKELY(place_blocks(p)))
			block_put(p, d);
		else if (UNLIKELY(place_used(p, p->need) > INT64_MAX))
			return BUR_OVERFLOW;
	}
	allowed = d->n_blocked == 0;
	for (size_t i = 0; i < n; i++) {
		struct place *p = &places[i];

		engine_decide_alerts(p, allowed ? p->need : 0, &events);
		if (UNLIKELY(p->refuses))
			refusal_tell(p, allowed, &events);
		if (allowed)
			place_take(e, p, d);
		decision_describe(p, d);
	}
	return allowed ? BUR_OK : BUR_DENIED;
}
