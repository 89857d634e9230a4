#include "policy/engine_internal.h"

#define NO_RUNG (-1)

/* The highest step of that kind at or below where the call stands, among those whose bit is set. */
static int highest(const struct place *p, enum step_action action, uint32_t allowed)
{
	const struct budget *b = p->meter->entry->budget;
	int found = NO_RUNG;

	if (p->need == 0)
		return found;
	for (size_t i = 0; i < b->n_steps && step_reached(p, &b->steps[i], p->need); i++) {
		if (b->steps[i].action == action && (allowed >> i & 1) != 0)
			found = (int)i;
	}
	return found;
}

/* --- another model ------------------------------------------------------------------------------------------------ */

/* Is less left in `a`? Units cannot be compared: the first of them goes first. */
static bool stricter(const struct place *a, const struct place *b)
{
	if (a->meter->entry->unit != b->meter->entry->unit)
		return a->meter->entry->unit < b->meter->entry->unit;
	return place_avail(a) < place_avail(b);
}

bool engine_ladder_degrade(const struct place *places, size_t n, struct decision *d)
{
	const struct place *by = NULL;
	int step = NO_RUNG;

	for (size_t i = 0; i < n; i++) {
		const struct place *p = &places[i];
		int here = p->degrade != 0 ? highest(p, STEP_DEGRADE, p->degrade) : NO_RUNG;

		if (here == NO_RUNG || (by && !stricter(p, by)))
			continue;
		by = p;
		step = here;
	}
	if (!by)
		return false;
	d->verdict = VERDICT_DEGRADE;
	d->degrade_by = by->meter->entry->budget;
	d->degrade_step = &d->degrade_by->steps[step];
	d->degrade_uid = by->meter->uid;
	d->degrade_win_start = by->in->win_start;
	d->degrade_told = (by->in->warned_mask >> step & 1) != 0;
	CHECK(by->degrade_entry[step] < d->degrade_step->n_map);
	d->degrade_to = d->degrade_step->map[by->degrade_entry[step]].to;
	return true;
}

/* --- fewer tokens ------------------------------------------------------------------------------------------------- */

void engine_ladder_room(const struct place *places, size_t n, struct decision *d)
{
	for (size_t i = 0; i < n; i++) {
		const struct place *p = &places[i];
		enum amount_unit unit = p->meter->entry->unit;
		int64_t *room = unit == UNIT_USD      ? &d->room.nanousd
				: unit == UNIT_TOKENS ? &d->room.tokens
						      : &d->room.requests;
		int64_t left = clamp64(place_avail(p));

		if (place_blocks(p) && left < *room)
			*room = left > 0 ? left : 0;
	}
}

void engine_ladder_clamp(const struct place *places, size_t n, struct decision *d)
{
	uint64_t min_out = 0;

	for (size_t i = 0; i < n; i++) {
		const struct place *p = &places[i];
		int step;

		if (!place_blocks(p))
			continue;
		step = p->meter->entry->unit == UNIT_REQUESTS ? NO_RUNG : highest(p, STEP_CLAMP, UINT32_MAX);
		if (step == NO_RUNG)
			return;
		if (p->meter->entry->budget->steps[step].min_out > min_out)
			min_out = p->meter->entry->budget->steps[step].min_out;
	}
	d->may_clamp = true;
	d->min_out = min_out;
}

/* --- waiting ------------------------------------------------------------------------------------------------------ */

static void reached_put(const struct place *p, enum step_action action, int64_t now_s, struct decision *d)
{
	const struct meter *m = p->meter;
	int step = highest(p, action, UINT32_MAX);

	if (step == NO_RUNG)
		return;
	d->reached[d->n_reached++] = (struct reached){
	    .budget = m->entry->budget,
	    .step = &m->entry->budget->steps[step],
	    .scope = m->scope,
	    .uid = m->uid,
	    .meter = p->index,
	    .u_ppm = clamp64((wide)place_used(p, p->need) * PPM / m->entry->limit),
	    .limit = clamp64(place_limit(p)),
	    .posted = p->in->posted,
	    .held = p->in->held,
	    .need = p->need,
	    .now_s = now_s,
	    .win_start = p->in->win_start,
	    .win_end = engine_window_end(m, p->in),
	    .told = (p->in->warned_mask >> step & 1) != 0,
	};
}

void engine_ladder_reached(const struct place *places, size_t n, int64_t now_s, struct decision *d)
{
	for (size_t i = 0; i < n; i++) {
		const struct place *p = &places[i];

		if (place_used(p, p->need) < p->meter->entry->first_rung)
			continue; /* a shadow budget has none */
		reached_put(p, STEP_THROTTLE, now_s, d);
		reached_put(p, STEP_PACE, now_s, d);
	}
}
