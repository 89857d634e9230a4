/* amount.h - exact money: int64 nano-USD for amounts, int64 pico-USD per `per` units for prices.
 *
 * No floating point. One rounding per call, upwards. Pure, any thread.
 * Units and formula: a price is `rate_pusd` for `per` units; the cost of a call is
 *   ceil(sum_i(units_i * rate_i / per_i) / 1000) nano-USD, the sum kept as one exact fraction over AMOUNT_DENOM. */
#ifndef BASE_AMOUNT_H
#define BASE_AMOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

#define NANOUSD_PER_USD INT64_C(1000000000)
#define PICOUSD_PER_NANOUSD 1000
/* Least common multiple of every `per` that prices use: 1, 1e3, 1e6, 3.6e6, 1e9. */
#define AMOUNT_DENOM INT64_C(9000000000)

/* Checked sums. BUR_OVERFLOW leaves *ret untouched. */
int amount_add(int64_t a, int64_t b, int64_t *ret) MUST_USE;
int amount_sub(int64_t a, int64_t b, int64_t *ret) MUST_USE;

/* The exact sum of a call, in pico-USD / AMOUNT_DENOM. Start with {0}. */
struct cost_sum {
	__int128 num;
};

/* Adds units * rate_pusd / per. BUR_OVERFLOW: the call must be refused (`price_error`). BUR_INVALID: `per` does not
 * divide AMOUNT_DENOM. */
int cost_add(struct cost_sum *, uint64_t units, int64_t rate_pusd, int64_t per) NONNULL(1) MUST_USE;
/* Multiplies the whole sum by num/den, exactly or BUR_OVERFLOW; used for tier and region multipliers. den > 0. */
int cost_scale(struct cost_sum *, int64_t num, int64_t den) NONNULL(1) MUST_USE;
/* The one rounding, upwards. Negative sums and results over int64: BUR_OVERFLOW. */
int cost_ceil_nanousd(const struct cost_sum *, int64_t *ret_nanousd) NONNULL(1, 2) MUST_USE;
/* The sum as exact decimal USD text when it has a finite expansion of at most 12 decimals; else rounded up there. */
int cost_format_usd(const struct cost_sum *, char *dst, size_t dst_size) NONNULL(1, 2) MUST_USE;

/* Decimal text ("12", "0.15", "1e-7") to value * 10^decimals.
 * Digits beyond `decimals` are rounded half-even when `round` is true, else BUR_INVALID if they are not zero. */
int decimal_parse(struct slice text, int decimals, bool round, int64_t *ret) MUST_USE;

#define AMOUNT_TEXT_MAX 32
/* "1.25", "0.000000001", "-3": exact, without trailing zeros. Returns dst. */
char *amount_format_usd(int64_t nanousd, char dst[AMOUNT_TEXT_MAX]);
/* "50 USD", "$50", "2M tokens", "1000 requests": the unit is one of these enums. */
enum amount_unit { UNIT_USD, UNIT_TOKENS, UNIT_REQUESTS };
int amount_parse_limit(struct slice text, enum amount_unit *ret_unit, int64_t *ret_value) MUST_USE;

#endif
