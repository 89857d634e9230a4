/* budget_window.h - in which window of a budget an instant lies: calendar windows with fiscal years, and the buckets of
 * rolling ones. Pure, any thread. */
#ifndef POLICY_BUDGET_WINDOW_H
#define POLICY_BUDGET_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/budget.h"

/* A rolling window is a whole number of minutes, so that its 60 buckets are whole seconds. */
#define ROLLING_MIN_S INT64_C(60)
#define ROLLING_MAX_S (INT64_C(366) * 86400)

/* [*ret_start, *ret_end) contains unix_s: the calendar window, or of a rolling one the bucket. Quarters and years begin
 * on the budget's anchor day of its fiscal month. */
void budget_window_at(const struct budget *, int64_t unix_s, int64_t *ret_start, int64_t *ret_end) NONNULL(1, 3, 4);
static inline bool budget_is_rolling(const struct budget *b)
{
	return b->rolling_s > 0;
}
/* "rolling 24h", "rolling:24h": *ret_s; letters m, h, d, w. BUR_INVALID: another text, or not whole minutes from one
 * minute to 366 days. */
int budget_window_parse_rolling(struct slice text, int64_t *ret_s) NONNULL(2) MUST_USE;
#define ROLLING_NAME_SIZE 32
/* "rolling 24h", in the largest unit that goes in. Returns dst. */
char *budget_window_rolling_name(int64_t rolling_s, char dst[ROLLING_NAME_SIZE]) NONNULL(2);
/* Does each window of `inner` lie in one window of `outer`, time zones aside? Equal ones do. */
bool budget_window_within(const struct budget *inner, const struct budget *outer) NONNULL(1, 2);

#endif
