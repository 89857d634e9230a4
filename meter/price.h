/* price.h - the price book: what a unit costs for a model at a time, and what a call may cost at most.
 *
 * A book is immutable once loaded and counted by reference: a call keeps the book it started with. Prices are exact
 * integers (pico-USD per `per`). File format "bursar-prices/1" as in docs/prices.md. Any thread. */
#ifndef METER_PRICE_H
#define METER_PRICE_H

#include <stdint.h>

#include "base/amount.h"
#include "base/attr.h"
#include "base/slice.h"
#include "meter/api.h"

struct price_book;
struct price_model;
struct request_info; /* meter/reqscan.h */
struct usage;        /* meter/usage.h */

/* BUR_OK, BUR_INVALID (reterr says line or entry), BUR_NOMEM. */
int price_book_parse(struct slice json, struct price_book **ret, char *reterr, size_t reterr_size)
    NONNULL(2, 3) MUST_USE;
struct price_book *price_book_ref(struct price_book *) NONNULL(1);
void price_book_unref(struct price_book *); /* NULL is fine */
/* Number of the book in force (from its file) and the SHA-256-independent stable hash of its content. */
uint32_t price_book_version(const struct price_book *) NONNULL(1);
uint64_t price_book_hash(const struct price_book *) NONNULL(1);
size_t price_book_models(const struct price_book *) NONNULL(1);

/* Model by requested or reported name: trimmed, lower-cased; exact, then dated and prefixed forms as the book's match
 * rules say, then inheritance (date and -latest/-preview suffixes stripped; *ret_inherited). NULL: unknown. */
const struct price_model *price_find(const struct price_book *, struct slice provider, struct slice model,
				     bool *ret_inherited) NONNULL(1) MUST_USE;
const char *price_model_id(const struct price_model *) NONNULL(1);
uint64_t price_model_max_out(const struct price_model *) NONNULL(1); /* 0 = not known */
uint64_t price_model_context(const struct price_model *) NONNULL(1); /* 0 = not known */
/* Reasoning is billed but not sent: text seen on the wire is then no bound of the output. */
bool price_model_hides_reasoning(const struct price_model *) NONNULL(1);

/* Exact cost of the usage at the time the call was sent. Service tier, long-context tiers, cache rates, fees.
 * BUR_OK, BUR_OVERFLOW (`price_error`), BUR_NOTFOUND (no price in force at that time). */
int price_cost(const struct price_model *, const struct usage *, int64_t at_s, struct cost_sum *ret)
    NONNULL(1, 2, 4) MUST_USE;

struct price_bound {
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
enum bound_result price_upper_bound(const struct price_model *, enum api_kind, const struct request_info *,
				    int64_t at_s, struct price_bound *ret, const char **ret_why)
    NONNULL(1, 3, 5, 6) MUST_USE;
/* Cost of `input_tokens` and `output_tokens` at the dearest rates: for settling what was seen when usage is missing. */
int price_estimate(const struct price_model *, const struct request_info *, uint64_t input_tokens,
		   uint64_t output_tokens, int64_t at_s, int64_t *ret_nanousd) NONNULL(1, 2, 6) MUST_USE;

#endif
