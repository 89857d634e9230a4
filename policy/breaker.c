#include "policy/breaker.h"

#include <string.h>

#include "base/check.h"
#include "base/error.h"

#define NS_PER_S INT64_C(1000000000)

const char *breaker_cause_name(enum breaker_cause cause)
{
	static const char *const names[] = {
	    [BREAKER_NO_CHANGE] = "no_change",
	    [BREAKER_FAILURE_STREAK] = "failure_streak",
	    [BREAKER_FAILURE_RATE] = "failure_rate",
	    [BREAKER_PROBE_FAILED] = "probe_failed",
	    [BREAKER_PROBES_GOOD] = "probes_good",
	    [BREAKER_BURN] = "burn",
	    [BREAKER_ANOMALY] = "anomaly",
	    [BREAKER_SINGLE_CALL] = "single_call",
	    [BREAKER_VELOCITY] = "velocity",
	    [BREAKER_PROBE_FAST] = "probe_fast",
	    [BREAKER_PROBE_BURN] = "probe_burn",
	    [BREAKER_PROBE_CALM] = "probe_calm",
	    [BREAKER_COOLED] = "cooled",
	    [BREAKER_MANUAL] = "manual",
	    [BREAKER_RESTART] = "restart",
	};

	return (size_t)cause < ARRAY_LEN(names) ? names[cause] : "unknown";
}

const char *breaker_state_name(enum breaker_state state)
{
	static const char *const names[] = {"closed", "open", "half_open"};

	return (size_t)state < ARRAY_LEN(names) ? names[state] : "unknown";
}

static int64_t add_saturated(int64_t a, int64_t b)
{
	int64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return b > 0 ? INT64_MAX : INT64_MIN;
	return sum;
}

/* Elapsed since an earlier instant; never negative, never wraps. */
static int64_t since(int64_t now, int64_t then)
{
	int64_t d;

	if (now <= then)
		return 0;
	return __builtin_sub_overflow(now, then, &d) ? INT64_MAX : d;
}

static void event_none(struct breaker_event *ev)
{
	memset(ev, 0, sizeof(*ev));
}

/* --- upstream: window --------------------------------------------------------------------------------------------- */

void breaker_upstream_init(struct breaker_upstream *b)
{
	memset(b, 0, sizeof(*b));
}

static void window_clear(struct breaker_upstream *b)
{
	memset(b->second, 0, sizeof(b->second));
}

/* Time moves on: seconds that left the window are emptied. */
static void upstream_now(struct breaker_upstream *b, int64_t now_ns)
{
	int64_t head;

	if (now_ns < b->now_ns)
		return;
	b->now_ns = now_ns;
	head = now_ns / NS_PER_S;
	if (head - b->head_s >= BREAKER_WINDOW_S) {
		window_clear(b);
	} else {
		for (int64_t s = b->head_s + 1; s <= head; s++)
			memset(&b->second[s % BREAKER_WINDOW_S], 0, sizeof(b->second[0]));
	}
	b->head_s = head;
}

static struct breaker_counts window_counts(const struct breaker_upstream *b)
{
	struct breaker_counts n = {0};

	for (size_t i = 0; i < BREAKER_WINDOW_S; i++) {
		n.good += b->second[i].good;
		n.failed += b->second[i].failed;
		n.limited += b->second[i].limited;
	}
	return n;
}

struct breaker_counts breaker_upstream_counts(const struct breaker_upstream *b, int64_t now_ns)
{
	struct breaker_upstream at = *b;

	upstream_now(&at, now_ns);
	return window_counts(&at);
}

/* --- upstream: transitions ---------------------------------------------------------------------------------------- */

static void upstream_enter(struct breaker_upstream *b, enum breaker_state to, enum breaker_cause cause, int64_t value,
			   int64_t threshold, struct breaker_event *ev)
{
	*ev =
	    (struct breaker_event){.cause = cause, .from = b->state, .to = to, .value = value, .threshold = threshold};
	if (to == BREAKER_OPEN)
		ev->until = b->until_ns;
	b->state = to;
	b->generation++;
	b->streak = 0;
	b->probing = false;
	window_clear(b);
	if (to == BREAKER_CLOSED) {
		b->opens = 0;
		b->retry_until_ns = 0;
	}
}

/* min(5 s * 2^(n-1), 300 s) +- 10 %. */
static int64_t cool_down_ns(uint32_t opens, uint64_t jitter)
{
	int64_t cool = BREAKER_COOL_MAX_NS;

	if (opens >= 1 && opens <= 6)
		cool = BREAKER_COOL_NS << (opens - 1);
	if (cool > BREAKER_COOL_MAX_NS)
		cool = BREAKER_COOL_MAX_NS;
	return cool + cool / 1000000 * ((int64_t)(jitter % 200001) - 100000);
}

static void upstream_open(struct breaker_upstream *b, enum breaker_cause cause, int64_t value, int64_t threshold,
			  uint64_t jitter, struct breaker_event *ev)
{
	if (b->opens < UINT32_MAX)
		b->opens++;
	b->opened_ns = b->now_ns;
	b->until_ns = add_saturated(b->now_ns, cool_down_ns(b->opens, jitter));
	if (b->retry_until_ns > b->until_ns)
		b->until_ns = b->retry_until_ns;
	upstream_enter(b, BREAKER_OPEN, cause, value, threshold, ev);
}

static void upstream_cool(struct breaker_upstream *b, struct breaker_event *ev)
{
	if (b->state == BREAKER_OPEN && !b->latched && b->now_ns >= b->until_ns)
		upstream_enter(b, BREAKER_HALF_OPEN, BREAKER_COOLED, since(b->now_ns, b->opened_ns),
			       since(b->until_ns, b->opened_ns), ev);
}

void breaker_upstream_tick(struct breaker_upstream *b, int64_t now_ns, struct breaker_event *ret_event)
{
	event_none(ret_event);
	upstream_now(b, now_ns);
	upstream_cool(b, ret_event);
}

static int retry_seconds(int64_t ns)
{
	int64_t s = ns / NS_PER_S + (ns % NS_PER_S > 0);

	if (s < 1)
		return 1;
	return s > BREAKER_RETRY_MAX_S ? BREAKER_RETRY_MAX_S : (int)s;
}

int breaker_upstream_admit(struct breaker_upstream *b, int64_t now_ns, struct breaker_ticket *ret, int *ret_retry_s,
			   struct breaker_event *ret_event)
{
	breaker_upstream_tick(b, now_ns, ret_event);
	*ret_retry_s = 0;
	if (b->state == BREAKER_OPEN) {
		*ret_retry_s = b->latched ? BREAKER_RETRY_MAX_S : retry_seconds(since(b->until_ns, b->now_ns));
		return BUR_DENIED;
	}
	if (b->state == BREAKER_HALF_OPEN) {
		if (b->probing && since(b->now_ns, b->probe_ns) < BREAKER_PROBE_MAX_NS) {
			*ret_retry_s = 1; /* the probe may end at any time */
			return BUR_DENIED;
		}
		if (b->probing)
			b->generation++; /* whatever the lost probe may still tell is too old */
		b->probing = true;
		b->probe_ns = b->now_ns;
	}
	*ret = (struct breaker_ticket){.generation = b->generation, .probe = b->state == BREAKER_HALF_OPEN};
	return BUR_OK;
}

/* --- upstream: outcomes ------------------------------------------------------------------------------------------- */

static void note_retry_after(struct breaker_upstream *b, int64_t retry_after_ns)
{
	int64_t until;

	if (retry_after_ns <= 0)
		return;
	if (retry_after_ns > BREAKER_RETRY_AFTER_MAX_NS)
		retry_after_ns = BREAKER_RETRY_AFTER_MAX_NS;
	until = add_saturated(b->now_ns, retry_after_ns);
	if (until > b->retry_until_ns)
		b->retry_until_ns = until;
}

static void closed_failure(struct breaker_upstream *b, uint64_t jitter, struct breaker_event *ev)
{
	struct breaker_counts n = window_counts(b);
	uint64_t calls = n.good + n.failed;

	b->streak++;
	if (b->streak >= BREAKER_STREAK)
		upstream_open(b, BREAKER_FAILURE_STREAK, b->streak, BREAKER_STREAK, jitter, ev);
	else if (calls >= BREAKER_RATE_MIN_CALLS && n.failed * 1000000 >= calls * BREAKER_RATE_PPM)
		upstream_open(b, BREAKER_FAILURE_RATE, (int64_t)(n.failed * 1000000 / calls), BREAKER_RATE_PPM, jitter,
			      ev);
}

/* A success can bring the window to its 20 calls, so it may open the breaker too. */
static void closed_success(struct breaker_upstream *b, uint64_t jitter, struct breaker_event *ev)
{
	struct breaker_counts n = window_counts(b);
	uint64_t calls = n.good + n.failed;

	b->streak = 0;
	if (calls >= BREAKER_RATE_MIN_CALLS && n.failed * 1000000 >= calls * BREAKER_RATE_PPM)
		upstream_open(b, BREAKER_FAILURE_RATE, (int64_t)(n.failed * 1000000 / calls), BREAKER_RATE_PPM, jitter,
			      ev);
	else
		b->retry_until_ns = 0;
}

static void count(uint32_t *n)
{
	if (*n < UINT32_MAX)
		(*n)++;
}

static void report_closed(struct breaker_upstream *b, enum breaker_outcome outcome, int64_t retry_after_ns,
			  uint64_t jitter, struct breaker_event *ev)
{
	struct breaker_second *s = &b->second[b->head_s % BREAKER_WINDOW_S];

	if (outcome == BREAKER_FAILURE) {
		count(&s->failed);
		note_retry_after(b, retry_after_ns);
		closed_failure(b, jitter, ev);
	} else if (outcome == BREAKER_SUCCESS) {
		count(&s->good);
		closed_success(b, jitter, ev);
	} else if (outcome == BREAKER_LIMITED) {
		count(&s->limited);
	}
}

static void report_probe(struct breaker_upstream *b, enum breaker_outcome outcome, int64_t retry_after_ns,
			 uint64_t jitter, struct breaker_event *ev)
{
	b->probing = false;
	if (outcome == BREAKER_FAILURE) {
		b->retry_until_ns = 0;
		note_retry_after(b, retry_after_ns);
		upstream_open(b, BREAKER_PROBE_FAILED, b->opens, 0, jitter, ev);
	} else if (outcome == BREAKER_SUCCESS) {
		b->streak++;
		if (b->streak >= BREAKER_PROBES)
			upstream_enter(b, BREAKER_CLOSED, BREAKER_PROBES_GOOD, b->streak, BREAKER_PROBES, ev);
	} else if (outcome == BREAKER_LIMITED) {
		count(&b->second[b->head_s % BREAKER_WINDOW_S].limited);
	}
}

void breaker_upstream_report(struct breaker_upstream *b, struct breaker_ticket ticket, enum breaker_outcome outcome,
			     int64_t retry_after_ns, uint64_t jitter, int64_t now_ns, struct breaker_event *ret_event)
{
	breaker_upstream_tick(b, now_ns, ret_event);
	if (ticket.generation != b->generation)
		return;
	if (b->state == BREAKER_CLOSED)
		report_closed(b, outcome, retry_after_ns, jitter, ret_event);
	else if (b->state == BREAKER_HALF_OPEN && ticket.probe)
		report_probe(b, outcome, retry_after_ns, jitter, ret_event);
}

void breaker_upstream_force(struct breaker_upstream *b, enum breaker_state to, int64_t now_ns,
			    struct breaker_event *ret_event)
{
	event_none(ret_event);
	upstream_now(b, now_ns);
	b->latched = to == BREAKER_OPEN;
	if (to == BREAKER_OPEN) {
		b->opened_ns = b->state == BREAKER_OPEN ? b->opened_ns : b->now_ns;
		b->until_ns = INT64_MAX;
	}
	upstream_enter(b, to, BREAKER_MANUAL, 0, 0, ret_event);
}

/* --- cost --------------------------------------------------------------------------------------------------------- */

struct breaker_cost_config breaker_cost_defaults(int64_t limit_nanousd)
{
	return (struct breaker_cost_config){
	    .velocity_window_s = 3600,
	    .burn_milli = burn_default_rows[BURN_FAST].threshold_milli,
	    .cool_down_s = BREAKER_COST_COOL_S,
	    .probe_budget_nanousd = limit_nanousd / 100 > 0 ? limit_nanousd / 100 : 1,
	};
}

static int64_t velocity_window(const struct breaker_cost_config *cfg)
{
	if (cfg->velocity_window_s < 1)
		return 3600;
	return cfg->velocity_window_s > 86400 ? 86400 : cfg->velocity_window_s;
}

void breaker_cost_init(struct breaker_cost *b, const struct breaker_cost_config *cfg)
{
	memset(b, 0, sizeof(*b));
	burn_ring_init(&b->velocity, velocity_window(cfg));
}

static void cost_now(struct breaker_cost *b, int64_t now_s)
{
	if (now_s > b->now_s)
		b->now_s = now_s;
}

static void cost_enter(struct breaker_cost *b, const struct breaker_cost_config *cfg, enum breaker_state to,
		       enum breaker_cause cause, int64_t value, int64_t threshold, struct breaker_event *ev)
{
	*ev =
	    (struct breaker_event){.cause = cause, .from = b->state, .to = to, .value = value, .threshold = threshold};
	b->state = to;
	b->changed_s = b->now_s;
	b->generation++;
	b->probe_held = b->probe_spent = 0;
	b->probe_gone = false;
	b->latched = to == BREAKER_OPEN && cfg->latch;
	if (to == BREAKER_OPEN) {
		b->opened_by = cause;
		b->until_s = b->latched ? INT64_MAX : add_saturated(b->now_s, cfg->cool_down_s);
		ev->until = b->until_s;
	} else if (to == BREAKER_CLOSED) {
		burn_ring_init(&b->velocity, velocity_window(cfg)); /* what opened it is answered for */
	}
}

/* The probe budget is used up: too fast, or it waits for the next figures. */
static void probe_gone(struct breaker_cost *b, const struct breaker_cost_config *cfg, struct breaker_event *ev)
{
	int64_t took = since(b->now_s, b->changed_s);

	b->probe_gone = true;
	if (took < BREAKER_COST_FAST_S)
		cost_enter(b, cfg, BREAKER_OPEN, BREAKER_PROBE_FAST, took, BREAKER_COST_FAST_S, ev);
}

/* It closes when the probe budget is gone or the time is over, and in both cases only while little burns. */
static void judge_probing(struct breaker_cost *b, const struct breaker_cost_config *cfg, struct breaker_event *ev)
{
	int64_t half = cfg->burn_milli / 2;
	bool ripe = b->probe_gone || since(b->now_s, b->changed_s) >= BREAKER_COST_CALM_S;

	if (b->burn_5m_milli >= cfg->burn_milli)
		cost_enter(b, cfg, BREAKER_OPEN, BREAKER_PROBE_BURN, b->burn_5m_milli, cfg->burn_milli, ev);
	else if (ripe && b->burn_5m_milli < half)
		cost_enter(b, cfg, BREAKER_CLOSED, BREAKER_PROBE_CALM, b->burn_5m_milli, half, ev);
}

static void cost_cool(struct breaker_cost *b, const struct breaker_cost_config *cfg, struct breaker_event *ev)
{
	if (b->state != BREAKER_OPEN || b->latched || cfg->latch || b->now_s < b->until_s)
		return;
	cost_enter(b, cfg, BREAKER_HALF_OPEN, BREAKER_COOLED, since(b->now_s, b->changed_s), cfg->cool_down_s, ev);
	b->burn_5m_milli = 0; /* nothing was admitted meanwhile; what comes next is told anew */
}

static enum breaker_refusal admit_probe(struct breaker_cost *b, const struct breaker_cost_config *cfg, int64_t worst,
					struct breaker_cost_hold *ret)
{
	int64_t left = cfg->probe_budget_nanousd - b->probe_spent;

	if (worst > left)
		return BREAKER_REFUSED_PROBE;
	if (worst > left - b->probe_held)
		return BREAKER_REFUSED_PROBE_HELD;
	b->probe_held += worst;
	*ret = (struct breaker_cost_hold){b->generation, worst};
	return BREAKER_ADMITTED;
}

enum breaker_refusal breaker_cost_admit(struct breaker_cost *b, const struct breaker_cost_config *cfg,
					int64_t worst_nanousd, int64_t now_s, struct breaker_cost_hold *ret,
					struct breaker_event *ret_event)
{
	event_none(ret_event);
	cost_now(b, now_s);
	cost_cool(b, cfg, ret_event);
	if (worst_nanousd <= 0) {
		*ret = (struct breaker_cost_hold){b->generation, 0};
		return BREAKER_ADMITTED;
	}
	if (b->state == BREAKER_OPEN)
		return BREAKER_REFUSED_OPEN;
	if (cfg->max_request_nanousd > 0 && worst_nanousd > cfg->max_request_nanousd) {
		if (b->state == BREAKER_CLOSED)
			cost_enter(b, cfg, BREAKER_OPEN, BREAKER_SINGLE_CALL, worst_nanousd, cfg->max_request_nanousd,
				   ret_event);
		return BREAKER_REFUSED_SINGLE_CALL;
	}
	if (b->state == BREAKER_HALF_OPEN)
		return admit_probe(b, cfg, worst_nanousd, ret);
	*ret = (struct breaker_cost_hold){b->generation, 0};
	return BREAKER_ADMITTED;
}

static void check_velocity(struct breaker_cost *b, const struct breaker_cost_config *cfg, struct breaker_event *ev)
{
	int64_t w = velocity_window(cfg);
	__int128 per_hour;

	if (b->state != BREAKER_CLOSED || cfg->velocity_nanousd_per_hour <= 0)
		return;
	per_hour = (__int128)burn_ring_sum(&b->velocity, b->now_s, w) * 3600 / w;
	if (per_hour < cfg->velocity_nanousd_per_hour)
		return;
	if (per_hour > INT64_MAX)
		per_hour = INT64_MAX;
	cost_enter(b, cfg, BREAKER_OPEN, BREAKER_VELOCITY, (int64_t)per_hour, cfg->velocity_nanousd_per_hour, ev);
}

void breaker_cost_settle(struct breaker_cost *b, const struct breaker_cost_config *cfg,
			 const struct breaker_cost_hold *hold, int64_t actual_nanousd, int64_t now_s,
			 struct breaker_event *ret_event)
{
	event_none(ret_event);
	cost_now(b, now_s);
	burn_ring_add(&b->velocity, b->now_s, actual_nanousd);
	if (b->state == BREAKER_HALF_OPEN && hold->generation == b->generation) {
		CHECK(b->probe_held >= hold->probe_nanousd);
		b->probe_held -= hold->probe_nanousd;
		b->probe_spent = add_saturated(b->probe_spent, actual_nanousd);
		if (!b->probe_gone && b->probe_spent >= cfg->probe_budget_nanousd)
			probe_gone(b, cfg, ret_event);
	}
	check_velocity(b, cfg, ret_event);
}

void breaker_cost_tick(struct breaker_cost *b, const struct breaker_cost_config *cfg, const struct breaker_signals *sig,
		       int64_t now_s, struct breaker_event *ret_event)
{
	bool anomaly = sig->anomaly_level >= 2 && b->anomaly_level < 2;

	event_none(ret_event);
	cost_now(b, now_s);
	b->burn_5m_milli = sig->burn_5m_milli;
	b->anomaly_level = sig->anomaly_level;
	if (b->state == BREAKER_CLOSED) {
		if (cfg->trip_on_burn && sig->fast_burn)
			cost_enter(b, cfg, BREAKER_OPEN, BREAKER_BURN, sig->burn_1h_milli, cfg->burn_milli, ret_event);
		else if (cfg->trip_on_anomaly && anomaly)
			cost_enter(b, cfg, BREAKER_OPEN, BREAKER_ANOMALY, sig->anomaly_level, 2, ret_event);
	} else if (b->state == BREAKER_HALF_OPEN) {
		judge_probing(b, cfg, ret_event);
	} else {
		cost_cool(b, cfg, ret_event);
	}
}

void breaker_cost_force(struct breaker_cost *b, const struct breaker_cost_config *cfg, enum breaker_state to, bool stay,
			int64_t now_s, struct breaker_event *ret_event)
{
	cost_now(b, now_s);
	cost_enter(b, cfg, to, BREAKER_MANUAL, 0, 0, ret_event);
	b->burn_5m_milli = 0;
	if (to == BREAKER_OPEN && stay) {
		b->latched = true;
		b->until_s = ret_event->until = INT64_MAX;
	}
}

void breaker_cost_restore(struct breaker_cost *b, const struct breaker_cost_config *cfg, enum breaker_state state,
			  enum breaker_cause opened_by, bool latched, int64_t changed_s)
{
	breaker_cost_init(b, cfg);
	b->state = state;
	b->opened_by = opened_by;
	b->changed_s = b->now_s = changed_s;
	b->latched = state == BREAKER_OPEN && (latched || cfg->latch);
	if (state == BREAKER_OPEN)
		b->until_s = b->latched ? INT64_MAX : add_saturated(changed_s, cfg->cool_down_s);
}
