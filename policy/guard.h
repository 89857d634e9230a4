/* guard.h - what stops calls beside their budgets, shared by all threads: the breakers of upstreams, the cost breakers
 * of counters, and the watch for programs that have lost their way. The rules are breaker.h, burn.h, anomaly.h and
 * runaway.h; here they get tables, locks, and one queue of what happened.
 *
 * Pure: no clock, no I/O; whoever calls passes the time. Bounded: every table has its size from the beginning, or a
 * maximum. Units: upstreams and loops in monotonic ns, cost in Unix seconds and nano-USD. Threads: any function from
 * any thread. Locks: one for each set of upstreams, one for all cost breakers, one for the loops, one for the queue,
 * which is taken inside the others. */
#ifndef POLICY_GUARD_H
#define POLICY_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "policy/anomaly.h"
#include "policy/breaker.h"
#include "policy/budget.h"
#include "policy/runaway.h"

struct guard;

#define GUARD_NAME_MAX 352
#define GUARD_REASON_MAX 201
#define GUARD_ACTOR_MAX 101
#define GUARD_COST_MAX 16384 /* counters with a breaker */
#define GUARD_EVENTS_MAX 1024

struct guard_config {
	size_t max_cost;             /* at most GUARD_COST_MAX */
	struct runaway_config loops; /* when loops are watched */
	void (*wake)(void *ctx);     /* the queue is no longer empty; any thread, with locks held: only signals */
	void *ctx;
};
struct guard *guard_new(const struct guard_config *) NONNULL(1) MUST_USE; /* NULL: out of memory */
void guard_free(struct guard *);

/* --- what happened ------------------------------------------------------------------------------------------------ */

enum guard_kind { GUARD_UPSTREAM, GUARD_COST, GUARD_LOOP };
const char *guard_kind_name(enum guard_kind); /* "upstream", "cost", "loop" */

struct guard_event {
	enum guard_kind kind;
	/* "openai@api.openai.com:443"; "daily", "per-user:user=ann"; the key's name */
	char name[GUARD_NAME_MAX];
	uint64_t uid;                /* of the counter; else a stable hash of the name */
	struct breaker_event change; /* of a breaker */
	struct runaway_event loop;
	/* a cost breaker as it is now, to be stored */
	enum breaker_cause opened_by;
	bool latched;
	int64_t changed_s;
	int64_t would_refuse; /* the budget is a shadow budget: nothing comes of it. Calls so far */
	bool shadow;
	char reason[GUARD_REASON_MAX], actor[GUARD_ACTOR_MAX]; /* by hand */
};
/* Moves up to `max` of the oldest out. *ret_lost: some had no room since the last time: look at everything. */
size_t guard_take_events(struct guard *, struct guard_event *dst, size_t max, bool *ret_lost) NONNULL(1, 2, 4);

/* Who changes a breaker by hand, and why. */
struct guard_hand {
	const char *reason, *actor;
};

/* --- upstreams ---------------------------------------------------------------------------------------------------- */

struct guard_upstream_ticket {
	bool on; /* there is something to report */
	uint32_t place, life;
	struct breaker_ticket ticket;
};
/* May a call go there? BUR_OK: yes; report its outcome with the ticket, exactly once. BUR_DENIED: *ret_retry_s, 1..60.
 * 512 upstreams are watched; the one that was silent longest makes room, an open one never does; a new one beyond that
 * goes unwatched. */
int guard_upstream_admit(struct guard *, struct slice provider, struct slice host, uint16_t port, int64_t now_ns,
			 struct guard_upstream_ticket *ret, int *ret_retry_s) NONNULL(1, 6, 7) MUST_USE;
void guard_upstream_report(struct guard *, const struct guard_upstream_ticket *, enum breaker_outcome,
			   int64_t retry_after_ns, uint64_t jitter, int64_t now_ns) NONNULL(1, 2);

struct guard_upstream_view {
	char name[GUARD_NAME_MAX];
	enum breaker_state state;
	struct breaker_counts counts;
	uint32_t streak, opens;
	bool latched;
	int64_t opened_ns, until_ns; /* until INT64_MAX: only by hand */
};
/* Those that are known, in no order; returns how many dst got. */
size_t guard_upstream_list(struct guard *, int64_t now_ns, struct guard_upstream_view *dst, size_t max) NONNULL(1, 3);
#define GUARD_UPSTREAMS_MAX 512
/* BUR_NOTFOUND: no call has gone there. */
int guard_upstream_force(struct guard *, struct slice name, enum breaker_state, const struct guard_hand *,
			 int64_t now_ns) NONNULL(1, 4) MUST_USE;

/* --- cost --------------------------------------------------------------------------------------------------------- */

/* A counter whose budget has a breaker. Budget and scope outlive the guard. */
struct guard_counter {
	uint64_t uid;
	const struct budget *budget;
	const char *scope;
};
/* What an admission holds; settled exactly once. Value type. */
struct guard_admission {
	uint8_t n;
	struct {
		uint32_t place;
		struct breaker_cost_hold hold;
	} at[MATCH_MAX];
};
struct guard_refusal {
	enum breaker_refusal why;
	const struct budget *budget;
	const char *scope;
	enum breaker_state state;
	enum breaker_cause cause; /* what opened it */
	bool latched;
	int64_t changed_s, until_s;         /* OPEN: until INT64_MAX: only by hand */
	int64_t worst_nanousd, max_nanousd; /* SINGLE_CALL: the most that one call may cost; PROBE: the probe budget */
};
/* In all of them or in none. BUR_OK: settle it when the call is over. BUR_DENIED: *ret_why is the first that refuses.
 * BUR_FULL: no room for another counter, so it cannot be watched. A shadow budget's breaker refuses nothing. */
int guard_cost_admit(struct guard *, const struct guard_counter *, size_t n, int64_t worst_nanousd, int64_t now_s,
		     struct guard_admission *ret, struct guard_refusal *ret_why) NONNULL(1, 6, 7) MUST_USE;
/* actual 0: it never reached the vendor. */
void guard_cost_settle(struct guard *, struct guard_admission *, int64_t actual_nanousd, int64_t now_s) NONNULL(1, 2);
/* A correction, or a bill that came later. Counters without a breaker are nothing to it. */
void guard_cost_spent(struct guard *, uint64_t uid, int64_t nanousd, int64_t now_s) NONNULL(1);

/* The limit and window of a counter now. false: it has none now. */
typedef bool guard_plan_f(void *ctx, uint64_t uid, int64_t now_s, int64_t *ret_limit, int64_t *ret_start,
			  int64_t *ret_end);
/* Every minute: burn rates and anomalies are worked out, and what follows from them. Time alone opens and closes
 * breakers here too. `plan` is called without a lock. */
void guard_cost_tick(struct guard *, int64_t now_s, guard_plan_f *plan, void *ctx) NONNULL(1, 3);

struct guard_cost_view {
	char name[GUARD_NAME_MAX];
	uint64_t uid;
	const struct budget *budget;
	enum breaker_state state;
	enum breaker_cause opened_by;
	bool latched;
	int64_t changed_s, until_s;
	int64_t probe_nanousd, probe_held_nanousd, probe_spent_nanousd;
	int64_t burn_1h_milli, burn_5m_milli; /* at the last evaluation */
	int anomaly_level;
	uint64_t admitted, refused; /* since the program began; refused: would have been, of a shadow budget */
	int64_t refused_nanousd;    /* the most that those could have cost */
	uint32_t open_calls;
};
size_t guard_cost_len(struct guard *) NONNULL(1);
/* The i-th; false: there is none. */
bool guard_cost_at(struct guard *, size_t i, struct guard_cost_view *ret) NONNULL(1, 3);
/* stay: OPEN until a person says otherwise. BUR_NOTFOUND. */
int guard_cost_force(struct guard *, struct slice name, enum breaker_state, bool stay, const struct guard_hand *,
		     int64_t now_s) NONNULL(1, 5) MUST_USE;

/* Start-up. Makes the counter known. BUR_FULL, BUR_NOMEM. */
int guard_cost_open(struct guard *, const struct guard_counter *) NONNULL(1, 2) MUST_USE;
/* Its state as it was stored. BUR_NOTFOUND: not known. */
int guard_cost_restore(struct guard *, uint64_t uid, enum breaker_state, enum breaker_cause opened_by, bool latched,
		       int64_t changed_s) NONNULL(1) MUST_USE;
/* What it spent before: n steps of step_s seconds, the first beginning at first_s. For the burn rate. */
void guard_cost_past(struct guard *, uint64_t uid, int64_t first_s, int64_t step_s, const int64_t *nanousd, size_t n)
    NONNULL(1, 5);
/* Complete UTC hours up to the one before hour_s, oldest first, since it began to spend: for anomalies, where the
 * budget's breaker wants them. Hours that were anomalies among their own are found again. */
void guard_cost_hours(struct guard *, uint64_t uid, int64_t hour_s, const int64_t *hours, size_t n, int64_t this_hour)
    NONNULL(1, 4);

/* --- loops -------------------------------------------------------------------------------------------------------- */

/* As runaway_start; `name` is the identity's, for people. */
int guard_loop_start(struct guard *, const struct runaway_call *, struct slice name, int64_t now_ns,
		     struct runaway_ticket *ret, int64_t *ret_until_ns) NONNULL(1, 2, 5, 6) MUST_USE;
void guard_loop_end(struct guard *, const struct runaway_ticket *, struct slice name, const struct runaway_outcome *,
		    int64_t now_ns) NONNULL(1, 2, 4);
/* BUR_NOTFOUND: not in quarantine. */
int guard_loop_release(struct guard *, uint64_t id, int64_t now_ns) NONNULL(1) MUST_USE;
struct guard_loop_view {
	char name[GUARD_NAME_MAX];
	uint64_t id;
	enum runaway_cause cause;
	int64_t value, threshold, nanousd, until_ns;
};
#define GUARD_LOOPS_MAX 256
/* Who is in quarantine, the newest GUARD_LOOPS_MAX. */
size_t guard_loop_list(struct guard *, int64_t now_ns, struct guard_loop_view *dst, size_t max) NONNULL(1, 3);
/* After a restart. BUR_FULL: no room. */
int guard_loop_restore(struct guard *, const struct guard_loop_view *, int64_t now_ns) NONNULL(1, 2) MUST_USE;

#endif
