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
/* Tokens of the request's own text at most, with what vendors wrap around it; pictures and all that is elsewhere are
 * not in it. */
uint64_t bound_text_tokens(const struct request_info *) NONNULL(1);
/* Cost of `input_tokens` and `output_tokens` at the dearest rates: for settling what was seen when usage is missing.
 * BUR_OK, BUR_OVERFLOW, BUR_NOTFOUND. */
int bound_estimate(const struct price_model *, const struct request_info *, uint64_t input_tokens,
		   uint64_t output_tokens, int64_t at_s, int64_t *ret_nanousd) NONNULL(1, 2, 6) MUST_USE;

#endif
