/* engine.h - what each budget has spent and holds, in memory; the only place where a call is admitted.
 *
 * A hold is taken in all budgets of a call or in none, and resolved exactly once: settled (cost known) or voided
 * (nothing was spent). A hold belongs for ever to the window instances in which it was taken; a rolling window's
 * instance is the bucket (a sixtieth of the window), whose start is then its win_start everywhere, also in the store.
 * Pure: no I/O, no clock; the caller passes the time. One mutex guards all meters; no malloc and no system call inside.
 * Threads: any function from any thread. */
#ifndef POLICY_ENGINE_H
#define POLICY_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "policy/budget.h"
#include "policy/clock_guard.h"

struct engine;

struct engine_config {
	size_t max_meters;        /* distinct (budget, scope) pairs; beyond it new scopes are refused (BUR_FULL) */
	bool deny_without_budget; /* `default: deny` */
	bool believe_clock;       /* `clock_guard: false`: engine_time_s is the wall clock, however it jumps */
};

/* The set must outlive the engine. NULL: out of memory. */
struct engine *engine_new(const struct budget_set *, const struct engine_config *) NONNULL(1, 2) MUST_USE;
void engine_free(struct engine *);

/* The meters of a call, found before the lock through a read-mostly table; new scopes get their meter here. */
struct match {
	size_t n;
	uint32_t meter[MATCH_MAX];        /* ascending */
	bool any_hard, any_money;         /* some budget is hard; some counts USD */
	enum unknown_model unknown_model; /* strictest answer of the hard ones (BLOCK wins) */
	int64_t unknown_charge_nanousd;
	bool estimate_input;      /* every hard one allows holds that stand on an estimate */
	enum hold_mode hold;      /* the strictest: WORST before AUTO before GROWING; of hard ones */
	uint64_t default_max_out; /* the least of them, shadow ones aside; 0: none */
	bool has_breaker;         /* some budget has a cost breaker */
	/* Per meter: the steps that have another model for this one (bit i: step i); 0: none. The caller may clear
	 * them: then the ladder has no such rung. No shadow budget's. */
	uint16_t degrade[MATCH_MAX];
	uint8_t degrade_entry[MATCH_MAX][STEPS_MAX]; /* of the step's map, where the bit is set */
};
/* BUR_OK; BUR_NOTFOUND (no budget matches and default is deny; a shadow budget is a match); BUR_FULL (no room or memory
 * for a new counter; a shadow budget is then left out). */
int engine_match(struct engine *, const struct facts *, struct match *ret) NONNULL(1, 2, 3) MUST_USE;

struct amounts {
	int64_t nanousd, tokens, requests;
};

enum hold_state { HOLD_NONE, HOLD_RESERVED, HOLD_SENT, HOLD_SETTLED, HOLD_VOIDED };

/* Owned by the caller, filled and advanced by the engine only. */
struct hold {
	uint64_t id;
	enum hold_state state;
	struct amounts worst;
	uint8_t n;
	struct hold_meter {
		uint64_t uid;
		int64_t win_start; /* Unix s */
		uint32_t meter;
		uint8_t unit;     /* enum amount_unit */
		bool would_block; /* counted there as a call that a shadow budget would have refused */
	} m[MATCH_MAX];
};

/* A step that was reached for the first time in a window instance; to be persisted and told. One event per step and
 * instance. STEP_ALERT: (posted + held + need) / limit has reached at_ppm, `limit` being the one in force without
 * credit; a refused call counts without its need, which never got in. STEP_BLOCK: the first refusal, by the first
 * block step. Beyond EVENTS_MAX the bit stays clear and the event comes with the next call. */
struct engine_event {
	enum step_action action;
	int64_t at_ppm, posted, held, need, limit, credit;
	uint64_t uid;
	int64_t win_start, win_end;
	uint32_t warned_mask; /* new value of the whole mask */
	uint8_t step;         /* of the budget; or TELL_LIMIT, see engine_tell.h */
	const struct budget *budget;
	const char *scope;
};
#define EVENTS_MAX 32

struct blocked {
	const struct budget *budget;
	const char *scope;
	/* limit: where it blocks, that is the first block step's share of the written limit (never above it), with
	 * credit */
	int64_t limit, posted, held, need;
	int64_t win_end; /* rolling: when enough of what was spent has left for this need to fit */
	bool only_held;  /* it would fit if other calls' holds were gone */
	uint64_t uid;
	int64_t win_start;
	bool untold; /* the budget has no block step, and its limit was not told yet: engine_tell, TELL_LIMIT */
};

/* DEGRADE: nothing blocks, or less would, if another model were called. */
enum engine_verdict { VERDICT_ALLOW, VERDICT_SPENT, VERDICT_HELD, VERDICT_DEGRADE };

/* A rung that an admitted call stands on: STEP_THROTTLE and STEP_PACE. Of each budget the highest of each kind, soft
 * ones included, shadow ones not. In all of the ladder u is (posted + held + need) / limit without credit; a call that
 * needs nothing of a budget's unit stands on none of its rungs. */
struct reached {
	const struct budget *budget;
	const struct budget_step *step;
	const char *scope;
	uint64_t uid;
	uint32_t meter;
	int64_t u_ppm;                     /* with this call counted in */
	int64_t limit, posted, held, need; /* as in struct blocked; held without this call's need */
	/* Now as the engine sees it. Rolling: from the bucket of now to when what is spent in it leaves. */
	int64_t now_s, win_start, win_end;
	bool told; /* that it is used; engine_tell does it */
};
#define REACHED_MAX (2 * MATCH_MAX)

struct decision {
	enum engine_verdict verdict; /* SPENT if any blocked budget is really spent, else HELD */
	size_t n_blocked;
	struct blocked blocked[MATCH_MAX];
	/* shadow budgets that would have refused an admitted call; nothing came of it */
	size_t n_would_block;
	const struct budget *would_block[MATCH_MAX];
	/* VERDICT_DEGRADE: the model to call instead (of the budget's set); which budget says so, and at which step.
	 * Shadow budgets never degrade. */
	const char *degrade_to;
	const struct budget *degrade_by;
	const struct budget_step *degrade_step;
	uint64_t degrade_uid; /* its counter and window, and whether it was told that the step is used: engine_tell */
	int64_t degrade_win_start;
	bool degrade_told;
	/* Refused, and every budget that blocks has a clamp step at or below where the call stands (and counts no
	 * requests: those do not get fewer). min_out: the largest of these steps. Not for an extension. */
	bool may_clamp;
	/* Some budget blocks: what would fit in all that do, per unit (INT64_MAX: none of it blocks). Not negative. For
	 * an extension: by how much the hold could still grow. */
	struct amounts room;
	uint64_t min_out;
	size_t n_reached; /* of an admitted call */
	struct reached reached[REACHED_MAX];
	bool over_budget; /* a soft budget is over its limit, with this hold if it was taken */
	/* the matching USD budget, shadow ones aside, with the least left after this hold (the first of equals; left
	 * may be negative), for the answer's headers; NULL = none */
	const struct budget *tightest;
	int64_t tightest_left_nanousd;
	size_t n_events;
	struct engine_event events[EVENTS_MAX];
};

/* All or nothing over every meter of the match. BUR_OK: *ret_hold is HOLD_RESERVED. BUR_DENIED: nothing changed except
 * warning bits, *ret lists every budget that blocks, or (VERDICT_DEGRADE) says which model to try instead: a degrade
 * step with a model for this one has been reached, this call counted in; the highest such step of the strictest (lowest
 * left; USD before tokens before requests; the first of equals) budget decides. It comes before a refusal, which is
 * then listed all the same, but neither told nor counted: clear the match's bits to have it. BUR_OVERFLOW: negative or
 * too large amounts. BUR_FULL: a counter
 * still has holds in eight windows that are over (that of a shadow budget is left out), or no memory. A zero need never
 * blocks. */
int engine_reserve(struct engine *, const struct match *, const struct amounts *worst, int64_t now_s,
		   struct hold *ret_hold, struct decision *ret) NONNULL(1, 2, 3, 5, 6) MUST_USE;
/* engine_reserve for a call that may still be bent: a refusal leaves no trace, not even a warning bit, and is not told.
 */
int engine_try(struct engine *, const struct match *, const struct amounts *worst, int64_t now_s, struct hold *ret_hold,
	       struct decision *ret) NONNULL(1, 2, 3, 5, 6) MUST_USE;
/* The same decision as engine_reserve would make now, and nothing changes: no hold, no warning bits, no events. Budgets
 * that block, that would degrade, throttle or pace are in *ret. Returns what engine_reserve would. */
int engine_preview(struct engine *, const struct match *, const struct amounts *worst, int64_t now_s,
		   struct decision *ret) NONNULL(1, 2, 3, 5) MUST_USE;
/* The time to pass to the engine: the wall clock as the clock guard believes it (R7.5). Every caller that admits, looks
 * or changes uses it, so that no jump of the clock ends a window at once. Both clocks are read by the caller, the
 * monotonic one last. Never below an earlier answer. Any thread. */
int64_t engine_time_s(struct engine *, int64_t wall_ns, int64_t mono_ns) NONNULL(1) MUST_USE;
/* What the clock did since this was asked last, for the log: its last event that was not CLOCK_STEADY. Any thread. */
enum clock_event engine_time_event(struct engine *) NONNULL(1);
/* RESERVED -> SENT, without the lock. BUR_ALREADY when not RESERVED. */
int engine_mark_sent(struct engine *, struct hold *) NONNULL(1, 2) MUST_USE;
/* All or nothing: worst += delta, in the hold's own window instances even when they have ended. BUR_DENIED
 * (ret->room says what there is), BUR_OVERFLOW leave all as it was. No step but BLOCK stops it, nothing is reached.
 * BUR_ALREADY when not SENT. */
int engine_extend(struct engine *, struct hold *, const struct amounts *delta, int64_t now_s, struct decision *ret)
    NONNULL(1, 2, 3, 5) MUST_USE;
/* worst -= delta. RESERVED or SENT, else BUR_ALREADY. BUR_INVALID: delta negative or above worst. */
int engine_shrink(struct engine *, struct hold *, const struct amounts *delta) NONNULL(1, 2, 3) MUST_USE;

struct settlement {
	struct amounts overrun; /* how far actual was above worst; zero when not */
	size_t n_events;
	struct engine_event events[EVENTS_MAX];
};
/* SENT -> SETTLED: held -= worst, posted += actual, in the hold's own window instances. BUR_ALREADY when resolved,
 * BUR_INVALID when never sent. BUR_OVERFLOW (negative, or a counter would pass INT64_MAX): the hold stays open. */
int engine_settle(struct engine *, struct hold *, const struct amounts *actual, struct settlement *ret)
    NONNULL(1, 2, 3, 4) MUST_USE;
/* RESERVED, or SENT when the request provably did not reach the vendor. BUR_ALREADY when resolved. */
int engine_void(struct engine *, struct hold *) NONNULL(1, 2) MUST_USE;

/* A correction or a late bill: `delta`, in the counter's unit, goes to what the counter `uid` has posted in the window
 * that began at win_start. Limits do not matter: it was spent. Steps that it crosses are told with the next call.
 * BUR_NOTFOUND: no such counter here, or that window is over and forgotten (no hold left in it): nothing to do.
 * BUR_OVERFLOW: posted would be negative or too large; nothing was changed. */
int engine_post(struct engine *, uint64_t uid, int64_t win_start, int64_t delta) NONNULL(1) MUST_USE;

/* What was changed by hand, for the audit log and, where a counter was changed, for its row in the store. */
struct engine_change {
	int64_t before, after;
	uint64_t uid; /* of the counter; 0 for a limit */
	int64_t win_start, win_end;
};
/* R5.9: the limit of every counter of the budget, from the next call on. Calls that are admitted go on; what is left
 * may become negative. It lasts until the program ends: the configuration is the caller's. A parent's limit holds all
 * the same. BUR_NOTFOUND: no such budget. BUR_INVALID: not above zero. */
int engine_set_limit(struct engine *, struct slice budget_name, int64_t limit, struct engine_change *ret)
    NONNULL(1, 4) MUST_USE;

/* R5.8: more to spend for one counter. It ends with the window, or W later in a rolling one, or at expires_s if that is
 * sooner; with carry_over what is not used goes on into the next windows until expires_s (INT64_MAX: for ever). The
 * limit is used first and what expires last, the soonest first; what was used by then stays. */
struct engine_credit {
	int64_t amount, expires_s;
	bool carry_over; /* not for rolling windows, which forget what was used */
};
/* *ret has the credit in force. Neither expiry nor carrying over is in the store: the caller grants it again after a
 * restart. BUR_NOTFOUND: no such budget, or no scope of it. BUR_INVALID: not above zero, expired, or carried over where
 * that cannot be. BUR_OVERFLOW. BUR_FULL: no room for the counter, or 32 expiring credits are there. BUR_NOMEM. */
int engine_credit(struct engine *, struct slice budget_name, struct slice scope, const struct engine_credit *,
		  int64_t now_s, struct engine_change *ret) NONNULL(1, 4, 6) MUST_USE;
/* R5.8: a charge, or with a negative delta a charge taken back, in the window (rolling: the bucket) of now. *ret has
 * what is posted. Limits do not matter; steps that it crosses are told with the next call. BUR_OVERFLOW: there is less
 * than is taken back, or more than can be counted; nothing was changed. BUR_NOTFOUND, BUR_FULL as above. */
int engine_adjust(struct engine *, struct slice budget_name, struct slice scope, int64_t delta, int64_t now_s,
		  struct engine_change *ret) NONNULL(1, 6) MUST_USE;

/* Name and scope of a meter, as in struct hold. They live as long as the engine. */
void engine_meter_name(const struct engine *, uint32_t meter, const struct budget **ret_budget, const char **ret_scope)
    NONNULL(1, 3, 4);

/* Start-up: what the store remembers of one counter's window. Unknown budgets and closed windows are skipped
 * (BUR_NOTFOUND), as are windows with another start and scopes of another `per` than the budget has today. Of a rolling
 * window every row must come whose win_start is not older than the window, in any order. Adds to what is there.
 * BUR_INVALID: posted negative. BUR_OVERFLOW, BUR_FULL. */
int engine_restore(struct engine *, struct slice budget_name, struct slice scope, int64_t win_start, int64_t win_end,
		   int64_t posted, int64_t credit, uint32_t warned_mask, int64_t now_s) NONNULL(1) MUST_USE;

struct meter_view {
	const struct budget *budget;
	char scope[256];
	uint64_t uid;
	/* rolling: from the oldest bucket that counts to the instant at which the oldest spend leaves */
	int64_t win_start, win_end;
	int64_t limit, credit, posted, held;
	uint32_t warned_mask;
	uint32_t
	    would_block; /* shadow: admitted calls that a hard budget would have refused, since this program began */
	bool closing;    /* a past window that still has holds */
};
/* A consistent copy under the lock, rolled to now. Without calls yet, budgets without `per` are listed all the same.
 * Returns the number there is; fills at most `max`. */
size_t engine_snapshot(struct engine *, int64_t now_s, struct meter_view *dst, size_t max) NONNULL(1);
/* Open holds, for the leak test and metrics. */
size_t engine_open_holds(struct engine *) NONNULL(1);
/* Walks everything and checks the invariants of the struct (posted, held >= 0, sums). Crashes by CHECK when broken. */
void engine_check(struct engine *) NONNULL(1);

#endif
