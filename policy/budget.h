/* budget.h - what people wrote: budgets, whom they match, and their steps. Immutable after budget_set_new.
 *
 * Pure, any thread. */
#ifndef POLICY_BUDGET_H
#define POLICY_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/amount.h"
#include "base/attr.h"
#include "base/calendar.h"
#include "base/slice.h"

#define MATCH_MAX 16 /* meters one call may touch; more in a configuration is an error at load */
#define STEPS_MAX 16
#define SELECTORS_MAX 16
#define BUDGETS_MAX 4096 /* in one set */
#define SCOPE_SIZE 256   /* a scope's text with its NUL */

/* What is known of a call. */
enum fact { FACT_PROVIDER, FACT_MODEL, FACT_KEY, FACT_USER, FACT_TEAM, FACT_PROJECT, FACT_TAG };
#define FACT_COUNT FACT_TAG /* the plain ones; tags stand apart */
#define TAGS_MAX 16

struct tag {
	struct slice name, value;
};
struct facts {
	struct slice v[FACT_COUNT]; /* empty = not known */
	struct tag tags[TAGS_MAX];
	size_t n_tags;
};
/* The fact's value; empty when absent. */
struct slice facts_get(const struct facts *, enum fact, struct slice tag_name) NONNULL(1);
/* "team" -> FACT_TEAM, "tag.env" -> FACT_TAG with *ret_tag "env". BUR_INVALID for other words. */
int fact_parse(struct slice word, enum fact *ret, struct slice *ret_tag) MUST_USE;

/* "team"; "tag." before the name of a tag. */
const char *fact_name(enum fact);

struct selector {
	enum fact fact;
	const char *tag;   /* FACT_TAG */
	const char *value; /* equal, or with one trailing '*' a prefix */
};
struct per {
	enum fact fact;
	const char *tag;
};

/* hard: refuses what does not fit. soft: counts and tells. shadow: counts and decides as a hard one would, and only
 * reports it; no call is changed, delayed or refused. */
enum budget_mode { MODE_HARD, MODE_SOFT, MODE_SHADOW };
/* The rungs of the ladder; the numbers are in the store.
 * ALERT: told once for each window. BLOCK: refused. THROTTLE: delayed by a curve (pace.h). PACE: delayed so that money
 * flows evenly. DEGRADE: another model instead, of `map`. CLAMP: fewer output tokens instead of a refusal. */
enum step_action { STEP_ALERT, STEP_BLOCK, STEP_THROTTLE, STEP_PACE, STEP_DEGRADE, STEP_CLAMP };

#define DEGRADES_MAX 64
/* A model and what is called in its place; `from` may end in '*'. */
struct degrade {
	const char *from, *to;
};

struct budget_step {
	int64_t at_ppm; /* of the limit; 750000 = 75 % */
	enum step_action action;
	int64_t max_delay_ns; /* THROTTLE: at 100 % of the limit */
	struct {
		int64_t per_minute_nanousd; /* a fixed rate; 0: what is left over the time that is left, times factor */
		int64_t factor_milli, burst_ns, max_wait_ns;
	} pace;                    /* PACE; USD budgets only */
	uint64_t min_out;          /* CLAMP: fewer output tokens than this are no answer */
	const struct degrade *map; /* DEGRADE */
	size_t n_map;
};
#define STEP_MIN_OUT 256

/* What a stream holds: all that it can cost, or what it needs next, growing as it goes on. */
enum hold_mode { HOLD_AUTO, HOLD_WORST, HOLD_GROWING };

/* The budget's cost breaker, see breaker.h; all off: there is none. */
struct budget_breaker {
	bool on, trip_on_burn, trip_on_anomaly, latch;
	int64_t max_request_nanousd, velocity_nanousd, velocity_window_s, cool_down_s, probe_nanousd;
};
/* A call without a price: refused, recorded at nothing, at the dear default price, or at a fixed sum. */
enum unknown_model { UNKNOWN_BLOCK, UNKNOWN_FREE, UNKNOWN_DEFAULT, UNKNOWN_CHARGE };

struct budget {
	const char *name;   /* identity, also across restarts and edits */
	const char *group;  /* the budget as people wrote it, which may have several limits; NULL = name */
	const char *parent; /* group of which it is a part; NULL = none */
	struct selector match[SELECTORS_MAX]; /* all must hold; none = everything */
	size_t n_match;
	struct per per[SELECTORS_MAX]; /* one counter per distinct combination of values */
	size_t n_per;
	struct window_spec window;
	int64_t rolling_s;       /* > 0: the last so many seconds; then window.kind means nothing */
	int fiscal_month;        /* 1..12, in which years begin, and with them quarters; 0 = 1 */
	const char *window_name; /* "day", "rolling 24h" */
	enum amount_unit unit;
	int64_t limit; /* nano-USD, or a count */
	enum budget_mode mode;
	struct budget_step steps[STEPS_MAX]; /* ascending; default alert at 75, 90, 100 %, clamp and block at 100 % */
	size_t n_steps;
	enum unknown_model unknown_model; /* hard budgets: UNKNOWN_BLOCK unless told otherwise */
	int64_t unknown_charge_nanousd;
	bool estimate_input; /* a hold may stand on an estimate of the prompt where no exact count is to be had */
	enum hold_mode hold; /* AUTO: growing where the request has no output bound and the vendor stops when told */
	uint64_t default_max_out; /* put into requests that have no output bound; 0: none */
	bool lower_cuts;          /* a lower limit ends running streams, the youngest first, until it holds again */
	struct budget_breaker breaker;
};

const char *budget_mode_name(enum budget_mode); /* "hard", "soft", "shadow" */

struct budget_set;
/* Copies the definitions (strings included; zones stay the caller's). BUR_INVALID: reterr names the budget and what
 * is wrong (no limit, repeated name, step out of order, more than MATCH_MAX budgets that one call could match). */
int budget_set_new(const struct budget *defs, size_t n, struct budget_set **ret, char *reterr, size_t reterr_size)
    NONNULL(3, 4) MUST_USE;
void budget_set_free(struct budget_set *);
size_t budget_set_len(const struct budget_set *) NONNULL(1);
const struct budget *budget_set_at(const struct budget_set *, size_t i) NONNULL(1);
/* How far back spend can count in a rolling window of the set, the oldest bucket included; 0 without one. */
int64_t budget_set_longest_rolling_s(const struct budget_set *) NONNULL(1);
/* Does the selector of this budget hold? */
bool budget_matches(const struct budget *, const struct facts *) NONNULL(1, 2);
/* The first entry of a DEGRADE step that is for this model and names another one; -1: none. */
int budget_degrade(const struct budget_step *, struct slice model) NONNULL(1);
/* "user=ann,tag.env=prod", empty without `per`; deterministic, values escaped, cut to 255 bytes with a hash when long.
 * Ends with a NUL; dst_size is at least SCOPE_SIZE. Returns bytes written without the NUL. */
size_t budget_scope(const struct budget *, const struct facts *, char *dst, size_t dst_size) NONNULL(1, 2, 3);
/* Identity of the counter: a stable hash of the budget's name and the scope. */
uint64_t meter_uid(const char *budget_name, struct slice scope) NONNULL(1);

#endif
