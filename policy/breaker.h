/* breaker.h - the two circuit breakers: one stops calls to an upstream that fails, one stops calls that spend too fast.
 *
 * Both are closed (calls pass), open (calls are refused) or half-open (a few calls try whether it is well again).
 * Rules: budget specification 6.2. Every transition is one event with its numbers, also one that only time has brought:
 * time is looked at whenever the breaker is asked anything, and by the _tick functions.
 *
 * Pure: no clock, no I/O, no malloc; the structs are embedded by the caller and contain no pointers. Deterministic: the
 * jitter comes from a hash that the caller gives. Time that goes back counts as standing still.
 * Units: upstream in monotonic ns, cost in Unix seconds and nano-USD. Threads: the caller's lock. */
#ifndef POLICY_BREAKER_H
#define POLICY_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "policy/burn.h"

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

enum breaker_cause {
	BREAKER_NO_CHANGE,
	/* upstream */
	BREAKER_FAILURE_STREAK, /* value failures in a row, threshold */
	BREAKER_FAILURE_RATE,   /* value = failures in ppm of the window's calls, threshold */
	BREAKER_PROBE_FAILED,   /* value = opens in a row so far */
	BREAKER_PROBES_GOOD,    /* value successes in a row, threshold */
	/* cost */
	BREAKER_BURN,        /* value = burn in thousandths, threshold */
	BREAKER_ANOMALY,     /* value = level */
	BREAKER_SINGLE_CALL, /* value = the call's worst, threshold */
	BREAKER_VELOCITY,    /* value = nano-USD per hour, threshold */
	BREAKER_PROBE_FAST,  /* probe budget used up in value seconds, threshold */
	BREAKER_PROBE_BURN,  /* value = burn of 5 min in thousandths, threshold */
	BREAKER_PROBE_CALM,  /* value = burn of 5 min in thousandths, threshold: half of what trips */
	/* both */
	BREAKER_COOLED, /* value = how long it was open, threshold: how long it had to be (ns or s) */
	BREAKER_MANUAL,
	BREAKER_RESTART, /* the program was started again: an upstream's breaker begins closed */
};
/* "failure_streak", for logs and events. */
const char *breaker_cause_name(enum breaker_cause);
const char *breaker_state_name(enum breaker_state);

struct breaker_event {
	enum breaker_cause cause; /* BREAKER_NO_CHANGE: nothing happened; the rest is zero */
	enum breaker_state from, to;
	int64_t value, threshold;
	int64_t until; /* OPEN: when it tries again (ns or s); INT64_MAX: only by hand */
};

/* Always 1..60: longer than that clients do not wait as they are told (providers 4.6). */
#define BREAKER_RETRY_MAX_S 60

/* --- upstream ----------------------------------------------------------------------------------------------------- */

#define BREAKER_WINDOW_S 30
#define BREAKER_STREAK 5
#define BREAKER_RATE_MIN_CALLS 20
#define BREAKER_RATE_PPM 500000
#define BREAKER_COOL_NS INT64_C(5000000000)
#define BREAKER_COOL_MAX_NS INT64_C(300000000000)
#define BREAKER_PROBES 3
/* No `Retry-After` keeps an upstream closed off for longer: it is a stranger's word. */
#define BREAKER_RETRY_AFTER_MAX_NS INT64_C(3600000000000)
/* A probe whose end nobody has told for this long does not keep the next one back. */
#define BREAKER_PROBE_MAX_NS INT64_C(60000000000)

/* FAILURE: no connection, TLS error, timeout, 5xx, 529. LIMITED (429): the upstream lives and says wait; counted apart,
 * it neither opens nor closes. ABORT: the client went away, nothing is known. */
enum breaker_outcome { BREAKER_SUCCESS, BREAKER_FAILURE, BREAKER_LIMITED, BREAKER_ABORT };

struct breaker_upstream {
	enum breaker_state state;
	uint32_t generation; /* of the state; what was admitted in an older one tells nothing about this one */
	uint32_t streak;     /* failures in a row while closed, successes in a row while half-open */
	uint32_t opens;      /* in a row */
	bool latched, probing;
	int64_t now_ns, opened_ns, until_ns, probe_ns, retry_until_ns;
	struct breaker_second {
		uint32_t good, failed, limited;
	} second[BREAKER_WINDOW_S];
	int64_t head_s; /* the newest second */
};
/* Given out by an admission, given back with the outcome, exactly once. */
struct breaker_ticket {
	uint32_t generation;
	bool probe;
};
struct breaker_counts {
	uint64_t good, failed, limited; /* in the window */
};

void breaker_upstream_init(struct breaker_upstream *) NONNULL(1);
/* May a call go to this upstream? BUR_OK: yes, and its outcome has to be reported. BUR_DENIED: no (503 or another
 * upstream); *ret_retry_s is the time to the next probe. `jitter` is any hash, e.g. of the request's id. */
int breaker_upstream_admit(struct breaker_upstream *, int64_t now_ns, struct breaker_ticket *ret, int *ret_retry_s,
			   struct breaker_event *ret_event) NONNULL(1, 3, 4, 5) MUST_USE;
/* retry_after_ns: what the upstream asked for, 0 = nothing. */
void breaker_upstream_report(struct breaker_upstream *, struct breaker_ticket, enum breaker_outcome,
			     int64_t retry_after_ns, uint64_t jitter, int64_t now_ns, struct breaker_event *ret_event)
    NONNULL(1, 7);
void breaker_upstream_tick(struct breaker_upstream *, int64_t now_ns, struct breaker_event *ret_event) NONNULL(1, 3);
/* By hand. OPEN stays until it is changed by hand; CLOSED clears all counts; HALF_OPEN starts probing. */
void breaker_upstream_force(struct breaker_upstream *, enum breaker_state, int64_t now_ns,
			    struct breaker_event *ret_event) NONNULL(1, 4);
struct breaker_counts breaker_upstream_counts(const struct breaker_upstream *, int64_t now_ns) NONNULL(1);

/* --- cost --------------------------------------------------------------------------------------------------------- */

#define BREAKER_COST_COOL_S 900
#define BREAKER_COST_CALM_S 600 /* half-open for this long with little burn: closed */
#define BREAKER_COST_FAST_S 60  /* the probe budget gone in less: open */

struct breaker_cost_config {
	int64_t max_request_nanousd;       /* a call that could cost more opens it; 0 = off */
	int64_t velocity_nanousd_per_hour; /* this or more settled in the velocity window opens it; 0 = off */
	int64_t velocity_window_s;         /* 1 .. 86400; default 3600; a change holds from the next closing on */
	bool trip_on_burn, trip_on_anomaly;
	int64_t burn_milli; /* what trips; also judges the probing. Default that of BURN_FAST */
	int64_t cool_down_s;
	bool latch; /* never half-open without a person */
	int64_t probe_budget_nanousd;
};
/* The defaults for a budget of this limit: cool-down 15 min, probe budget 1 % of the limit (at least a nano-dollar),
 * everything that could open it off. */
struct breaker_cost_config breaker_cost_defaults(int64_t limit_nanousd);

struct breaker_cost {
	enum breaker_state state;
	enum breaker_cause opened_by;
	uint32_t generation;
	bool latched; /* opened to stay open until a person says otherwise */
	int64_t now_s, changed_s, until_s;
	int64_t probe_held, probe_spent;
	bool probe_gone;       /* the probe budget is used up */
	int64_t burn_5m_milli; /* as last told */
	int anomaly_level;     /* as last told: only its rise opens, or one bad hour would open it again and again */
	struct burn_ring velocity; /* since it closed */
};
/* What an admission holds of the probe budget; settled or voided exactly once. */
struct breaker_cost_hold {
	uint32_t generation;
	int64_t probe_nanousd;
};
enum breaker_refusal {
	BREAKER_ADMITTED,
	BREAKER_REFUSED_OPEN,        /* 402, as the block rung */
	BREAKER_REFUSED_SINGLE_CALL, /* 402: this call alone is too dear */
	BREAKER_REFUSED_PROBE,       /* 402: the probe budget does not reach */
	BREAKER_REFUSED_PROBE_HELD,  /* 429: it does not reach while other calls hold it */
};

void breaker_cost_init(struct breaker_cost *, const struct breaker_cost_config *) NONNULL(1, 2);
/* A call that costs nothing (worst 0) passes in every state. *ret is set when the call is admitted. */
enum breaker_refusal breaker_cost_admit(struct breaker_cost *, const struct breaker_cost_config *,
					int64_t worst_nanousd, int64_t now_s, struct breaker_cost_hold *ret,
					struct breaker_event *ret_event) NONNULL(1, 2, 5, 6) MUST_USE;
/* The call's cost is known; 0 for one that never reached the vendor. */
void breaker_cost_settle(struct breaker_cost *, const struct breaker_cost_config *, const struct breaker_cost_hold *,
			 int64_t actual_nanousd, int64_t now_s, struct breaker_event *ret_event) NONNULL(1, 2, 3, 6);

/* What watches the spend, told at every evaluation (each minute or oftener). */
struct breaker_signals {
	bool fast_burn;        /* the fast row of burn.h is over in both windows */
	int64_t burn_1h_milli; /* its long window, for the event */
	int64_t burn_5m_milli; /* its short window */
	int anomaly_level;     /* 0, 1, 2 */
};
void breaker_cost_tick(struct breaker_cost *, const struct breaker_cost_config *, const struct breaker_signals *,
		       int64_t now_s, struct breaker_event *ret_event) NONNULL(1, 2, 3, 5);
/* By hand. OPEN cools down like any other opening, unless `stay` (or the configuration's latch). */
void breaker_cost_force(struct breaker_cost *, const struct breaker_cost_config *, enum breaker_state, bool stay,
			int64_t now_s, struct breaker_event *ret_event) NONNULL(1, 2, 6);
/* After a restart: the state as it was stored. An open one goes on cooling down from changed_s; a half-open one gets a
 * whole probe budget anew. */
void breaker_cost_restore(struct breaker_cost *, const struct breaker_cost_config *, enum breaker_state,
			  enum breaker_cause opened_by, bool latched, int64_t changed_s) NONNULL(1, 2);

#endif
