#include "app/rungs.h"

struct pace_rate rungs_rate(const struct reached *r)
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

int64_t rungs_delay_ns(const struct reached *r, uint64_t jitter)
{
	const struct pace_curve curve = {.from_ppm = r->step->at_ppm, .max_ns = r->step->max_delay_ns};

	return pace_curve_ns(&curve, r->u_ppm, jitter);
}
