#include "policy/rung.h"

#include "base/amount.h"
#include "base/error.h"

struct pace_rate rung_rate(const struct reached *r)
{
	const struct budget *b = r->budget;
	int64_t factor = r->step->pace.factor_milli, left = r->limit - r->posted - r->held;

	if (r->step->pace.per_minute_nanousd > 0)
		return pace_rate_per_minute(r->step->pace.per_minute_nanousd);
	if (b->rolling_s > 0)
		return pace_rate_share(r->limit, b->rolling_s, factor);
	if (b->window.kind == WINDOW_TOTAL)
		return (struct pace_rate){0, 0};
	if (left <= 0)
		return pace_rate_share(r->limit, r->win_end - r->win_start, factor);
	return pace_rate_left(left, r->win_end - r->now_s, factor);
}

int64_t rung_delay_ns(const struct reached *r, uint64_t jitter)
{
	const struct pace_curve curve = {.from_ppm = r->step->at_ppm, .max_ns = r->step->max_delay_ns};

	return pace_curve_ns(&curve, r->u_ppm, jitter);
}

void rung_leave(const struct engine *e, struct match *m, const struct decision *d, bool all)
{
	size_t step = (size_t)(d->degrade_step - d->degrade_by->steps);

	for (size_t i = 0; i < m->n; i++) {
		const struct budget *b = NULL;
		const char *scope = NULL;

		engine_meter_name(e, m->meter[i], &b, &scope);
		if (all)
			m->degrade[i] = 0;
		else if (b == d->degrade_by)
			m->degrade[i] &= (uint16_t) ~(1u << step);
	}
}

bool rung_may_grow(const struct engine *e, const struct match *m, bool has_max_out)
{
	if (m->hold == HOLD_WORST || (m->hold == HOLD_AUTO && has_max_out))
		return false;
	for (size_t i = 0; i < m->n; i++) {
		const struct budget *b = NULL;
		const char *scope = NULL;

		engine_meter_name(e, m->meter[i], &b, &scope);
		if (b->mode == MODE_HARD && b->unit != UNIT_REQUESTS)
			return true;
	}
	return false;
}

bool rung_is_plenty(struct engine *e, const struct match *m, int64_t worst_nanousd, uint64_t worst_tokens,
		    int64_t now_s, struct decision *scratch)
{
	struct amounts twice;

	if (amount_add(worst_nanousd, worst_nanousd, &twice.nanousd) < 0 ||
	    amount_add((int64_t)worst_tokens, (int64_t)worst_tokens, &twice.tokens) < 0)
		return false;
	twice.requests = 0;
	return engine_preview(e, m, &twice, now_s, scratch) == BUR_OK;
}
