/* simulate.h - the calls of the ledger once more, under another policy: what would have been blocked, slowed, saved.
 *
 * A fresh engine with the policy's budgets runs on the ledger's own clock. Calls are admitted in the order in which
 * they were, hold what they held, and settle when and at what they settled; corrections follow. Deterministic: the same
 * ledger and policy give the same answer. Nothing is written. One thread. */
#ifndef APP_SIMULATE_H
#define APP_SIMULATE_H

#include <jansson.h>

#include "app/settings.h"
#include "price/price.h"

struct simulate_ask {
	const struct settings *settings; /* the policy */
	const struct price_book *book;   /* what other models would have cost */
	int64_t from_ns, to_ns;          /* calls admitted in [from, to) */
	/* Now and then, and at the end; NULL is fine. */
	void (*progress)(void *ctx, uint64_t rows, uint64_t of);
	void *ctx;
};

/* *ret: {"from","to","rows","calls","spent_usd","admitted","blocked","held_back","paced_out","no_budget",
 * "price_unknown","not_simulated","blocked_usd",…,"not_spent_usd","budgets":[…],"keys":[…],"teams":[…],"models":[…],
 * "assumptions":[…]}; docs/explain.md says what each means. BUR_IO, BUR_CORRUPT (the ledger cannot be read),
 * BUR_INVALID (the budgets; reterr), BUR_NOMEM. */
int simulate(const struct simulate_ask *, struct sqlite3 *reader, json_t **ret, char *reterr, size_t reterr_size)
    NONNULL(1, 2, 3, 4) MUST_USE;

#endif
