/* txn_outcome.h - what a call that was sent did cost, and how that is known. Private to the proxy room. */
#ifndef PROXY_TXN_OUTCOME_H
#define PROXY_TXN_OUTCOME_H

#include "proxy/txn.h"

struct outcome {
	int64_t actual_nanousd;
	uint64_t input_tokens, output_tokens;
	enum settle_source source;
	uint64_t requests;
	uint64_t late_key; /* see store/late.h */
	bool fetched;      /* the bill is another call's: this one pays nothing */
};

/* Of the call that is being settled: the worker's scratch, filled by txn_find_outcome. */
static inline struct usage *txn_usage(const struct txn *t)
{
	return &t->worker->usage;
}

/* Ends the tap. Sets the flags of the row that say how far the figure can be trusted. */
void txn_find_outcome(struct txn *, struct outcome *ret);
/* Is the answer about what was asked for? One that names another call must not change what that one costs. */
bool txn_is_as_asked(const struct txn *);

/* txn_once.c: a call that the vendor bills once with others of the same idempotency key. */
struct txn_once {
	bool claimed;       /* the table is locked for it until txn_once_end */
	uint64_t other_key; /* under which the bill can be fetched too; 0: none */
};
/* Is the bill put down by this call, or does it belong to an earlier one? Then the outcome says so. */
struct txn_once txn_once_begin(struct txn *, struct outcome *);
/* The row is in the writer's hands. */
void txn_once_end(struct txn *, const struct txn_once *);

#endif
