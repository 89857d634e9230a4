/* explain_impl.h - what the files of `explain` share; nobody else includes it. explain.c the question |
 * explain_counters.c its budgets and their figures | explain_ladder.c rung by rung to the decision |
 * explain_grow.c streams that begin on less | explain_answer.c what the application sees | explain_call.c a
 * call of the past. */
#ifndef APP_EXPLAIN_IMPL_H
#define APP_EXPLAIN_IMPL_H

#include <jansson.h>

#include "app/explain.h"
#include "base/arena.h"
#include "base/clock.h"
#include "meter/bound.h"
#include "meter/envelope.h"
#include "meter/generic_call.h"
#include "policy/principal.h"
#include "proxy/route.h"
#include "store/keys.h"

#define EXPLAIN_MATCHES_MAX 5 /* the model that was asked for, three others, and one to spare */

/* One budget that matches, and its counter. */
struct counter {
	const struct budget *budget; /* as the engine has it, with the steps that nobody wrote */
	char scope[SCOPE_SIZE];
	int64_t limit; /* in force */
	bool known;    /* the engine has the counter; else nothing was spent in it */
	struct meter_view view;
};

/* A question on its way. */
struct question {
	const struct explain *e;
	const json_t *ask;
	char *err; /* what is wrong with it */
	size_t err_size;
	const char *field;
	struct arena arena;
	/* who */
	uint8_t key_digest[32]; /* of the text that was given, which may be the key itself */
	struct key_row key;
	bool key_known;
	struct facts facts;
	/* what */
	const struct proxy_provider *provider;
	struct api_match api;
	struct slice query, body;
	const struct generic_meter *rule;
	struct request_info info;
	bool has_body, counted, tokens_assumed; /* counted: the prompt's tokens were given */
	struct prompt_count count;
	bool has_count;
	const struct price_model *price;
	bool inherited;
	struct bound bound, full; /* what is held first; of the whole call, also where it begins with less */
	bool grow_waits;          /* it could begin on little, or not at all, and waits for what others hold */
	int64_t now_s;
	/* the money */
	struct counter *counters; /* MATCH_MAX */
	size_t n_counters;
	struct engine *engine; /* the server's, or one of its own where the server has not all counters yet */
	/* Those of earlier models stay until the end: decisions name their budgets. */
	struct engine *own_engines[EXPLAIN_MATCHES_MAX];
	struct budget_set *own_sets[EXPLAIN_MATCHES_MAX];
	size_t n_own;
	struct match match;
	struct amounts worst;
	struct decision *decision;
	/* the answer */
	json_t *rungs, *budgets; /* budgets: as the call was asked, before a rung changed it */
};

/* What is decided in the end. */
struct explained {
	bool admitted;
	enum refusal_reason reason;
	char message[2400];
	int retry_after_s;
	const struct decision *blocked; /* the budgets that block; NULL: none do */
	char degraded_from[MODEL_NAME_MAX + 1];
	uint64_t clamped_to;
	int64_t delay_ns;
};

json_t *explain_usd(int64_t nanousd);
json_t *explain_amount(enum amount_unit, int64_t);
json_t *explain_time(const struct tz *, int64_t unix_s); /* null where there is no end */
const char *explain_unit(enum amount_unit);
struct slice explain_vendor(const struct question *); /* the price book's provider */

/* --- explain_counters.c --- */
/* counters, engine and match of the facts; again when they change. BUR_OK, BUR_NOTFOUND (no budget and default: deny),
 * BUR_FULL, BUR_NOMEM. */
int explain_match(struct question *) MUST_USE;
/* Each matching budget with its figures, and what the decision says of it. */
json_t *explain_budgets(const struct question *);
/* Those that do not match, each with the first condition that fails. */
json_t *explain_others(const struct question *);

/* --- explain_ladder.c --- */
/* Fills rungs; *ret_decision: what the application would see. BUR_OK, BUR_NOMEM. */
int explain_ladder(struct question *, json_t **ret_decision) MUST_USE;

/* --- explain_answer.c --- */
/* The decision as an application would see it: header fields, or a refusal in the vendor's words. NULL: no memory. */
json_t *explain_answer(struct question *, const struct explained *);

/* --- explain_grow.c --- */
/* Are the prompt's tokens counted first? Only where the call could begin on less, and money is not plenty. */
bool explain_grow_counts(struct question *);
/* `bound` is of the whole call. True: it begins on less, which `bound` is now. */
bool explain_grow_begin(struct question *);
/* Is `bound` of less than the whole call? */
bool explain_grows(const struct question *);
/* What it begins with does not fit. True: `bound` is smaller, ask again: the most that fits, or (grow_waits) the least
 * that the call is refused for. */
bool explain_grow_with(struct question *, const struct amounts *room);

/* --- explain_call.c --- */
/* BUR_OK, BUR_NOTFOUND, BUR_IO, BUR_NOMEM. */
int explain_call(const struct explain *, const uint8_t uid[16], json_t **ret) MUST_USE;

#endif
