/* simulate_impl.h - what the files of the simulation share; nobody else includes it. simulate.c calls in the order of
 * time | simulate_call.c one call through the ladder | simulate_price.c what it costs otherwise | simulate_report.c the
 * answer. */
#ifndef APP_SIMULATE_IMPL_H
#define APP_SIMULATE_IMPL_H

#include "app/simulate.h"
#include "base/map.h"
#include "policy/engine.h"
#include "proxy/pacing.h"
#include "store/past.h"

#define SIM_METERS_MAX 1000000
#define SIM_NAMES_MAX 100000 /* beyond it "(other)" */

/* What became of calls, in one budget or in all of them. */
struct sim_tally {
	uint64_t blocked, held_back, paced_out; /* 402; 429 as others' holds were in the way; 429 by pacing */
	uint64_t throttled, paced, degraded, clamped, would_block;
	int64_t blocked_nanousd; /* what the refused calls had cost, of all three kinds */
	int64_t degrade_nanousd, clamp_nanousd;
	int64_t delay_ns, worst_delay_ns;
	int64_t first_ns; /* the first refusal; 0: none */
	uint8_t first_uid[16];
};

/* A key, team or model that was affected. */
struct sim_name {
	uint64_t refused, slowed, degraded, clamped;
	int64_t saved_nanousd;
};

/* An admitted call until it settles. */
struct sim_flight {
	int64_t at_ns, seq;
	struct hold hold;
	struct amounts actual;
	size_t n_claims;
	struct pacing_claim *claims; /* given back to the pacing when it settles */
};

struct sim {
	const struct simulate_ask *ask;
	struct budget_set *set;
	struct engine *engine;
	struct past *past;
	/* by time, then number: a heap */
	struct sim_flight **flights;
	size_t n_flights, cap_flights;
	struct pacing_table *pacing;
	struct map *not_as_was; /* uids of corrected calls that were refused or cost another amount */
	struct sim_tally all;
	struct sim_tally *budgets; /* by place in the set */
	struct map *keys, *teams, *models;
	uint64_t rows, calls, admitted, no_budget, price_unknown, not_simulated;
	int64_t spent_nanousd, later_nanousd; /* later: corrections of calls that were refused or cost another amount */
	/* scratch */
	struct facts facts;
	json_t *extra; /* of the row: the tags stand in it */
	struct match match;
	struct decision decision;
};

/* --- simulate.c --- */
/* Ends the flight that ends first. */
int sim_settle_first(struct sim *) MUST_USE;
int sim_fly(struct sim *, const struct sim_flight *) MUST_USE;
struct sim_tally *sim_tally_of(struct sim *, const struct budget *);

/* --- simulate_call.c --- */
/* The call through the ladder. facts and extra are set. */
int sim_call(struct sim *, const struct ledger_row *) MUST_USE;
int sim_facts(struct sim *, const struct ledger_row *) MUST_USE;
struct amounts sim_used(const struct ledger_row *);

/* --- simulate_price.c --- */
/* What the call would have cost with another model; with output_tokens < 0: with its own output. BUR_NOTFOUND: no
 * price.
 */
int sim_cost_as(const struct sim *, const struct ledger_row *, struct slice model, int64_t output_tokens,
		int64_t *ret_nanousd) MUST_USE;

/* --- simulate_report.c --- */
json_t *sim_report(const struct sim *);

#endif
