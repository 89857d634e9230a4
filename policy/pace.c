#include "policy/pace.h"

#include "base/error.h"

#define NS_PER_S INT64_C(1000000000)
#define PPM 1000000
/* Times beyond this are the same as never; the sum of three fits. */
#define FAR_NS (INT64_MAX / 4)

static int64_t clip(__int128 v, int64_t min, int64_t max)
{
	if (v < min)
		return min;
	return v > max ? max : (int64_t)v;
}

/* --- pacing ------------------------------------------------------------------------------------------------------- */

/* per_ns is a multiple of ns; where a factor would leave the range, the rate is rounded down to what fits. */
static struct pace_rate rate_of(int64_t nanousd, int64_t s, int64_t factor_milli)
{
	__int128 money = (__int128)nanousd * factor_milli, ns = (__int128)s * NS_PER_S * 1000;

	if (nanousd <= 0 || factor_milli <= 0 || s <= 0)
		return (struct pace_rate){0, NS_PER_S};
	while (money > INT64_MAX || ns > INT64_MAX) {
		money >>= 1;
		ns = (ns + 1) >> 1;
	}
	return (struct pace_rate){(int64_t)money, (int64_t)ns};
}

struct pace_rate pace_rate_share(int64_t limit_nanousd, int64_t window_s, int64_t factor_milli)
{
	return rate_of(limit_nanousd, window_s, factor_milli);
}

struct pace_rate pace_rate_left(int64_t left_nanousd, int64_t left_s, int64_t factor_milli)
{
	return rate_of(left_nanousd, left_s < 1 ? 1 : left_s, factor_milli);
}

struct pace_rate pace_rate_per_minute(int64_t nanousd)
{
	return rate_of(nanousd, 60, 1000);
}

/* How long the rate takes to earn `nanousd`: rounded up when it is owed, down when it is given back. */
static int64_t time_of(const struct pace_rate *r, int64_t nanousd, bool up)
{
	__int128 n = (__int128)nanousd * r->per_ns;

	return clip((n + (up ? r->nanousd - 1 : 0)) / r->nanousd, 0, FAR_NS);
}

static int retry_seconds(int64_t wait_ns)
{
	int64_t s = wait_ns / NS_PER_S + (wait_ns % NS_PER_S > 0);

	return (int)clip(s, 1, PACE_RETRY_MAX_S);
}

int pace_admit(struct pace *p, const struct pace_rate *rate, const struct pace_limits *lim, int64_t cost_nanousd,
	       int64_t now_ns, int64_t *ret_wait_ns, int *ret_retry_s)
{
	int64_t t, tat, burst, wait;

	*ret_wait_ns = 0;
	*ret_retry_s = 0;
	if (cost_nanousd <= 0)
		return BUR_OK;
	if (rate->nanousd <= 0 || rate->per_ns <= 0) {
		*ret_retry_s = PACE_RETRY_MAX_S;
		return BUR_DENIED;
	}
	now_ns = clip(now_ns, 0, FAR_NS);
	t = time_of(rate, cost_nanousd, true);
	tat = (p->tat_ns > now_ns ? p->tat_ns : now_ns) + t;
	burst = lim->burst_ns > t ? clip(lim->burst_ns, 0, FAR_NS) : t;
	wait = tat - now_ns > burst ? tat - now_ns - burst : 0;
	if (wait > lim->max_wait_ns || t >= FAR_NS) {
		*ret_retry_s = t >= FAR_NS ? PACE_RETRY_MAX_S : retry_seconds(wait - clip(lim->max_wait_ns, 0, FAR_NS));
		return BUR_DENIED;
	}
	p->tat_ns = clip(tat, 0, 2 * FAR_NS);
	*ret_wait_ns = wait;
	return BUR_OK;
}

void pace_give_back(struct pace *p, const struct pace_rate *rate, const struct pace_limits *lim, int64_t unused_nanousd,
		    int64_t now_ns)
{
	int64_t floor_ns;

	if (unused_nanousd <= 0 || rate->nanousd <= 0 || rate->per_ns <= 0)
		return;
	now_ns = clip(now_ns, 0, FAR_NS);
	floor_ns = now_ns - clip(lim->burst_ns, 0, FAR_NS);
	p->tat_ns -= time_of(rate, unused_nanousd, false);
	if (p->tat_ns < floor_ns)
		p->tat_ns = floor_ns;
}

/* --- the throttle rung -------------------------------------------------------------------------------------------- */

/* v * (1000000 - spread_ppm .. 1000000 + spread_ppm) / 1000000. */
static int64_t jittered(int64_t v, int64_t spread_ppm, uint64_t jitter)
{
	int64_t ppm = PPM - spread_ppm + (int64_t)(jitter % (uint64_t)(2 * spread_ppm + 1));

	return (int64_t)((__int128)v * ppm / PPM);
}

int64_t pace_curve_ns(const struct pace_curve *c, int64_t u_ppm, uint64_t jitter)
{
	int64_t max_ns = clip(c->max_ns, 0, FAR_NS), from = clip(c->from_ppm, 0, PPM), over, span = PPM - from, d;

	if (u_ppm < from)
		return 0;
	over = u_ppm > PPM ? span : u_ppm - from;
	d = span > 0 ? (int64_t)((__int128)max_ns * over * over / ((__int128)span * span)) : max_ns;
	d = jittered(d, PPM / 10, jitter);
	return d > max_ns ? max_ns : d;
}

/* --- throttle rules ----------------------------------------------------------------------------------------------- */

int64_t pace_c7_delay_ns(int64_t factor_ppm, int64_t unit_ns, int64_t max_ns, uint64_t jitter)
{
	int64_t f = clip(factor_ppm, 0, PPM), unit = clip(unit_ns, 0, FAR_NS), d;

	d = jittered((int64_t)((__int128)unit * (PPM - f) / PPM), PPM / 5, jitter);
	return clip(d, 0, max_ns < 0 ? 0 : max_ns);
}

uint32_t pace_c7_concurrency(uint32_t limit, int64_t factor_ppm)
{
	uint64_t n = (uint64_t)limit * (uint64_t)clip(factor_ppm, 0, PPM) / PPM;

	return n < 1 ? 1 : (uint32_t)n;
}

static void throttle_recover(struct pace_c7 *t, int64_t recovery_s, int64_t now_s)
{
	if (t->stepped_s < 0) {
		if (now_s - t->below_since_s < recovery_s)
			return;
		t->stepped_s = t->below_since_s + recovery_s;
		t->factor_ppm += PACE_C7_STEP_PPM;
	}
	while (t->factor_ppm < PACE_C7_NONE_PPM && now_s - t->stepped_s >= PACE_C7_STEP_S) {
		t->stepped_s += PACE_C7_STEP_S;
		t->factor_ppm += PACE_C7_STEP_PPM;
	}
	if (t->factor_ppm >= PACE_C7_NONE_PPM)
		*t = PACE_C7_FREE;
}

int64_t pace_c7_update(struct pace_c7 *t, bool triggered, int64_t rule_factor_ppm, bool below, int64_t recovery_s,
		       int64_t now_s)
{
	int64_t f = clip(rule_factor_ppm, 1, PPM);

	now_s = clip(now_s, 0, INT64_MAX / 4);
	recovery_s = clip(recovery_s, 0, INT64_MAX / 4);
	if (triggered) {
		if (f < t->factor_ppm)
			t->factor_ppm = f;
		t->below_since_s = t->stepped_s = -1;
	} else if (!below) {
		t->below_since_s = t->stepped_s = -1;
	} else if (t->factor_ppm < PACE_C7_NONE_PPM) {
		if (t->below_since_s < 0)
			t->below_since_s = now_s;
		throttle_recover(t, recovery_s, now_s);
	}
	return t->factor_ppm;
}
