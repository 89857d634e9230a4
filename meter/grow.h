/* grow.h - holds that grow with the words of a streamed answer: may a call begin on less than its bound, on how many
 * tokens of output, and what does a hold for so many come to. Whether it does is decided by the budgets' `hold`
 * (policy/rung.h); the growing itself is proxy/txn_grow.c's. Pure, any thread. */
#ifndef METER_GROW_H
#define METER_GROW_H

#include "meter/bound.h"
#include "meter/learn.h"

#define GROW_COUNT_BYTES_MAX (64 * 1024) /* of a body whose tokens are counted before the call begins on less */

/* What is known of a call whose hold may grow. */
struct grow_call {
	const struct price_model *price;
	enum api_kind kind;
	const struct request_info *info;
	const struct bound *full; /* of the whole call */
	uint64_t allow_tokens;    /* of one answer, made by the vendor and not seen yet when it is cut off */
	int64_t at_s;
};

/* Is all that will be billed seen as it goes by? */
bool grow_shows_bill(const struct price_model *, enum api_kind, const struct request_info *) NONNULL(1, 3);
/* Answers that are written side by side. */
uint64_t grow_answers(enum api_kind, const struct request_info *) NONNULL(2);
/* allow_tokens of all answers. */
uint64_t grow_allowance(const struct grow_call *) NONNULL(1);
/* Output tokens to begin with: what is enough for nearly all answers of the model. learn may be NULL. */
uint64_t grow_start(const struct grow_call *, const struct learn *, struct slice provider) NONNULL(1);
/* A call that could begin only with fewer is not worth its input. */
uint64_t grow_least(const struct grow_call *) NONNULL(1);
/* The whole call's bound but with so many output tokens. False: that has no price. */
bool grow_bound(const struct grow_call *, uint64_t output_tokens, struct bound *ret) NONNULL(1, 3) MUST_USE;
/* The most output tokens up to `to` whose bound fits into the room that is there besides what is held for `base`; below
 * `from` when not even these do. from >= 1. */
uint64_t grow_most(const struct grow_call *, uint64_t from, uint64_t to, const struct bound *base,
		   const struct bound_room *) NONNULL(1, 4, 5);

#endif
