#include "policy/engine_internal.h"
#include "policy/engine_tell.h"

/* --- one place of a hold: a meter and one of its instances -------------------------------------------------------- */

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
	    .credit = p->in->credit,
	    .uid = p->meter->uid,
	    .win_start = p->in->win_start,
	    .win_end = engine_window_end(p->meter, p->in),
	    .warned_mask = engine_window_warned(p->meter, p->in, p->in->win_start, bit),
	    .step = (uint8_t)step,
	    .budget = b,
	    .scope = p->meter->scope,
	};
}

void engine_decide_tell_alerts(const struct place *p, int64_t need, struct event_list *to)
{
	const struct budget *b = p->meter->entry->budget;

	for (size_t i = 0; i < b->n_steps && step_reached(p, &b->steps[i], need); i++) {
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
	    .uid = p->meter->uid,
	    .win_start = p->in->win_start,
	    .untold = p->meter->entry->block_step == NO_STEP && (p->in->warned_mask >> TELL_LIMIT & 1) == 0,
	};
	if (!d->blocked[d->n_blocked - 1].only_held)
		d->verdict = VERDICT_SPENT;
	else if (d->verdict == VERDICT_ALLOW)
		d->verdict = VERDICT_HELD;
}

static void tightest_put(const struct entry *b, int64_t left, struct decision *d)
{
	if (b->unit == UNIT_USD && (!d->tightest || left < d->tightest_left_nanousd)) {
		d->tightest = b->budget;
		d->tightest_left_nanousd = left;
	}
}

/* What the answer says about the state after the call, allowed or not; `taken` is what it takes. */
static void decision_describe(const struct place *p, int64_t taken, struct decision *d)
{
	const struct entry *b = p->meter->entry;
	int64_t left;

	if (b->mode == MODE_SHADOW)
		return; /* the answer is the same without it */
	left = clamp64(place_avail(p) - taken);
	if (b->mode == MODE_SOFT && left < 0)
		d->over_budget = true;
	tightest_put(b, left, d);
}

/* Not a memset: the arrays are several KiB and only their first entries are ever used. */
void engine_decide_init(struct decision *d)
{
	d->verdict = VERDICT_ALLOW;
	d->n_blocked = 0;
	d->n_would_block = 0;
	d->degrade_to = NULL;
	d->degrade_by = NULL;
	d->degrade_step = NULL;
	d->may_clamp = false;
	d->room = (struct amounts){INT64_MAX, INT64_MAX, INT64_MAX};
	d->min_out = 0;
	d->n_reached = 0;
	d->over_budget = false;
	d->tightest = NULL;
	d->tightest_left_nanousd = 0;
	d->n_events = 0;
}

/* A call is counted once, however often it grows. */
static void place_take(struct engine *e, struct place *p)
{
	if (UNLIKELY(p->refuses)) {
		if (!p->would_block)
			engine_window_would_block(p->meter, p->in);
		p->would_block = true;
	}
	p->in->held += p->need;
	e->held[p->meter->entry->unit] += (uint64_t)p->need;
}

static void refusal_tell(const struct place *p, bool allowed, struct event_list *to)
{
	size_t step = p->meter->entry->block_step;

	/* A shadow budget has its say only about calls that went through. */
	if (step != NO_STEP && (allowed || place_blocks(p)))
		step_tell(p, step, p->need, to);
}

/* Alerts of a refused call count what is there without it: its need never got in. */
static void decision_apply(struct engine *e, struct place *p, bool allowed, struct decision *d)
{
	struct event_list events = {d->events, &d->n_events};

	engine_decide_alerts(p, allowed ? p->need : 0, &events);
	if (p->refuses && d->verdict != VERDICT_DEGRADE)
		refusal_tell(p, allowed, &events);
	if (allowed)
		place_take(e, p);
}

/* The rungs between alert and block. True: the call is admitted. */
static bool ladder_climb(const struct place *places, size_t n, enum decide how, int64_t now_s, struct decision *d)
{
	if (d->n_blocked > 0)
		engine_ladder_room(places, n, d);
	if (how == DECIDE_EXTEND)
		return d->n_blocked == 0;
	if (d->n_blocked > 0)
		engine_ladder_clamp(places, n, d);
	if (engine_ladder_degrade(places, n, d))
		return false;
	if (d->n_blocked > 0)
		return false;
	engine_ladder_reached(places, n, now_s, d);
	return true;
}

static int take_slowly(struct engine *e, struct place *places, size_t n, enum decide how, int64_t now_s,
		       struct decision *d)
{
	bool allowed;

	for (size_t i = 0; i < n; i++) {
		struct place *p = &places[i];

		p->refuses = place_refuses(p);
		if (place_blocks(p))
			block_put(p, d);
		else if (place_used(p, p->need) > INT64_MAX)
			return BUR_OVERFLOW;
	}
	allowed = ladder_climb(places, n, how, now_s, d);
	engine_perturb(PERTURB_TAKE);
	for (size_t i = 0; i < n; i++) {
		struct place *p = &places[i];

		if (p->refuses && allowed)
			d->would_block[d->n_would_block++] = p->meter->entry->budget;
		decision_describe(p, allowed ? p->need : 0, d);
		if (how != DECIDE_PREVIEW && (allowed || how != DECIDE_TRY))
			decision_apply(e, p, allowed, d);
	}
	return allowed ? BUR_OK : BUR_DENIED;
}

/* Nothing is near: no step, no limit. The sums are small. */
static bool place_is_easy(const struct place *p)
{
	return p->in->credit >= 0 && place_used(p, p->need) < p->meter->entry->first_event;
}

static void take_easily(struct engine *e, struct place *p, bool taken, struct decision *d)
{
	const struct entry *b = p->meter->entry;
	int64_t left;

	p->refuses = false;
	if (b->mode != MODE_SHADOW) {
		left = b->use_limit - (int64_t)place_used(p, p->need);
		tightest_put(b, left > INT64_MAX - p->in->credit ? INT64_MAX : left + p->in->credit, d);
	}
	if (taken)
		place_take(e, p);
}

int engine_decide_take(struct engine *e, struct place *places, size_t n, enum decide how, int64_t now_s,
		       struct decision *d)
{
	for (size_t i = 0; i < n; i++) {
		if (UNLIKELY(!place_is_easy(&places[i])))
			return take_slowly(e, places, n, how, now_s, d);
	}
	engine_perturb(PERTURB_TAKE);
	for (size_t i = 0; i < n; i++)
		take_easily(e, &places[i], how != DECIDE_PREVIEW, d);
	return BUR_OK;
}
