/* row_cost.h - what a ledger row costs by a price book: its units come back from its columns and its `extra`. */
#ifndef APP_ROW_COST_H
#define APP_ROW_COST_H

#include "app/settings.h"
#include "meter/usage.h"
#include "price/price.h"
#include "store/adjust.h"

/* Was this call's amount made from figures of the vendor by a price book? Not: estimates, worst cases, costs that the
 * vendor names itself, calls that only fetched another's bill, free providers. With `total` (the call and its
 * corrections) a call whose bill came later counts too; NULL = the row alone. Without a price then: true as well. */
bool row_cost_applies(const struct settings *, const struct ledger_row *, const struct adjust_total *total)
    NONNULL(1, 2);
/* The exact cost, rounded up to nano-USD, at the time the call was sent. BUR_NOTFOUND: the book has no price for it;
 * BUR_INVALID: `extra` is no JSON; BUR_OVERFLOW. */
int row_cost(const struct settings *, const struct price_book *, const struct ledger_row *,
	     const struct adjust_total *total, int64_t *ret_nanousd) NONNULL(1, 2, 3, 5) MUST_USE;

/* The same, line by line: the call's own model first, then others whose tokens its answer billed. */
struct row_bill {
	const struct price_model *models[1 + USAGE_OTHERS_MAX]; /* of the book */
	struct price_bill parts[1 + USAGE_OTHERS_MAX];
	size_t n;
	int64_t nanousd; /* the sum of the parts, rounded up once */
};
int row_bill(const struct settings *, const struct price_book *, const struct ledger_row *, const struct adjust_total *,
	     struct row_bill *ret) NONNULL(1, 2, 3, 5) MUST_USE;

#endif
