/* bound.h - what a request may cost at most, before it is sent.
 *
 * Knows what each kind of call can make a vendor bill; the prices of it are price/price.h's. Pure, any thread. */
#ifndef METER_BOUND_H
#define METER_BOUND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "meter/api.h"
#include "meter/prompt.h"
#include "meter/reqscan.h"
#include "price/price.h"

struct bound {
	int64_t worst_nanousd;  /* the hold */
	int64_t input_nanousd;  /* of it, the input's part */
	uint64_t input_tokens;  /* bound */
	uint64_t output_tokens; /* bound, all candidates */
};

enum bound_result {
	BOUND_OK,
	BOUND_NO_PRICE,  /* no price in force */
	BOUND_UNBOUNDED, /* something in the request has no upper price: *ret_why names it */
	BOUND_OVERFLOW,
};

/* Upper bound of the bill: tokens <= bytes for text, published maxima for pictures, the model's context where input
 * comes from elsewhere, the model's maximum output where the request names none; dearest rate that could apply (tier,
 * cache write, service tier). `*ret_why` is a static sentence for people. */
enum bound_result bound_upper(const struct price_model *, enum api_kind, const struct request_info *, int64_t at_s,
			      struct bound *ret, const char **ret_why) NONNULL(1, 3, 5, 6) MUST_USE;
/* The same with the input as counted, where that is less. A count that is no bound (prompt.h) is taken only if
 * `estimate`: then the result is no bound either. Unchanged when the count does not apply. */
enum bound_result bound_tighten(const struct price_model *, enum api_kind, const struct request_info *, int64_t at_s,
				const struct prompt_count *, bool estimate, struct bound *inout)
    NONNULL(1, 3, 5, 7) MUST_USE;
/* What a call may be made to fit. */
struct bound_room {
	int64_t nanousd, tokens; /* INT64_MAX: no matter */
};
/* The largest bound of the output (a candidate's) with which the call costs no more than the room, by the arithmetic of
 * bound_upper and, with a count, bound_tighten; *ret is the bound then. Never more than the call has now. 0: it cannot
 * be lowered (bound_can_clamp), or even one token does not fit. */
uint64_t bound_max_out(const struct price_model *, enum api_kind, const struct request_info *, int64_t at_s,
		       const struct prompt_count *, bool estimate, const struct bound_room *, struct bound *ret)
    NONNULL(1, 3, 7, 8) MUST_USE;
/* Does a bound of the output in the request keep down what the call can cost, and can one be put there? */
bool bound_can_clamp(const struct price_model *, enum api_kind, const struct request_info *) NONNULL(1, 3);
/* Tokens that a candidate may have: the request's bound, or what the model can; 0: neither is known. */
uint64_t bound_answer_tokens(const struct price_model *, enum api_kind, const struct request_info *) NONNULL(1, 3);
/* How much may be thought when the output is bounded to max_out tokens: the share of it that was asked for, but no less
 * than the vendor takes. 0: that leaves no answer. Only for a request that says how much (thinking_budget). */
uint64_t bound_thinking(const struct request_info *, uint64_t asked_out, uint64_t max_out) NONNULL(1);
/* Fewer tokens than this are no answer: for the budget (min_out), or beside the thinking that the vendor insists on. */
uint64_t bound_least_out(const struct request_info *, uint64_t min_out) NONNULL(1);
/* Tokens of the request's own text at most, with what vendors wrap around it; pictures and all that is elsewhere are
 * not in it. */
uint64_t bound_text_tokens(const struct request_info *) NONNULL(1);
/* Is all of the bill seen in an answer's words? Characters, seconds, pictures and pages do not show in them, nor do the
 * fees of tools that the vendor ran, nor reasoning that is kept back. A chat model's price for pictures is that of such
 * a tool. */
bool bound_is_seen(const struct price_model *, enum api_kind, const struct request_info *) NONNULL(1, 3);
/* Cost of `input_tokens` and `output_tokens` at the dearest rates: for settling what was seen when usage is missing.
 * BUR_OK, BUR_OVERFLOW, BUR_NOTFOUND. */
int bound_estimate(const struct price_model *, const struct request_info *, uint64_t input_tokens,
		   uint64_t output_tokens, int64_t at_s, int64_t *ret_nanousd) NONNULL(1, 2, 6) MUST_USE;

#endif
