#include "policy/rung.h"

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
