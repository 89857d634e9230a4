/* series.h - what was spent when: questions about the past, answered from sums that the writer keeps beside the ledger
 * (rollup.h), so that 28 days are some thousand rows however many calls there were.
 *
 * A call counts at its admission and costs what it costs by now: corrections, late bills and refunds are dated to their
 * call. Money in nano-USD; a counter's series is in its budget's unit. Same ledger, same answer. Any thread, each with
 * a reader of its own (store_reader). Errors: BUR_OK, BUR_INVALID (range), BUR_IO, BUR_CORRUPT, BUR_BUSY. */
#ifndef STORE_SERIES_H
#define STORE_SERIES_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

struct sqlite3;
struct tz;

/* Whose. The first six are enum name_kind, by the number of the name; a counter is meant by its uid. */
enum series_kind {
	SERIES_KEY,
	SERIES_USER,
	SERIES_TEAM,
	SERIES_PROJECT,
	SERIES_PROVIDER,
	SERIES_MODEL,
	SERIES_ALL = 7,
	SERIES_COUNTER = 8
};
struct series_scope {
	enum series_kind kind;
	int64_t id;
};
#define SERIES_EVERYTHING ((struct series_scope){SERIES_ALL, 0})
static inline struct series_scope series_counter(uint64_t uid)
{
	return (struct series_scope){SERIES_COUNTER, (int64_t)uid};
}

/* Of a counter only `amount` is kept; the rest is 0. */
struct series_sum {
	int64_t amount; /* nano-USD, or the counter's unit */
	int64_t calls;
	int64_t failed, failed_nanousd; /* the vendor answered with an error, or broke off */
	int64_t input_tokens, output_tokens, cached_tokens;
	int64_t took_ms; /* from admission to settlement, of all calls */
};

#define SERIES_HOURS_MAX (400 * 24)
#define SERIES_DAYS_MAX 400
#define SERIES_MINUTES_MAX (4 * 1440)

/* Of n UTC hours, the first beginning at first_s (a whole hour); hours without calls are 0. Of a counter and of
 * everything hours may begin at any quarter of an hour. */
int series_hours(struct sqlite3 *, struct series_scope, int64_t first_s, size_t n, int64_t *ret) NONNULL(1, 5) MUST_USE;
/* Of n consecutive local days, the first being the one that contains first_s. Named scopes are kept by whole UTC hours:
 * in zones that are not whole hours away from UTC, the hour at midnight counts to the day in which it began. */
int series_days(struct sqlite3 *, struct series_scope, const struct tz *, int64_t first_s, size_t n, int64_t *ret)
    NONNULL(1, 3, 6) MUST_USE;
/* Of n minutes from first_s (a whole minute), of a counter only. Kept for 4 days. */
int series_minutes(struct sqlite3 *, uint64_t uid, int64_t first_s, size_t n, int64_t *ret) NONNULL(1, 5) MUST_USE;
/* All figures of [from_s, to_s), cut to whole slots (a quarter of an hour; named scopes: an hour). */
int series_total(struct sqlite3 *, struct series_scope, int64_t from_s, int64_t to_s, struct series_sum *ret)
    NONNULL(1, 5) MUST_USE;
/* Where the scope began to spend: the start of its first slot; INT64_MAX: never. */
int series_first(struct sqlite3 *, struct series_scope, int64_t *ret_s) NONNULL(1, 3) MUST_USE;

struct series_name {
	struct series_scope scope;
	struct slice text; /* during the visit */
	struct series_sum sum;
};
/* Every name of the kind that spent in [from_s, to_s), dearest first, at most `max`. visit returns BUR_OK to go on. */
int series_each_name(struct sqlite3 *, enum series_kind, int64_t from_s, int64_t to_s, size_t max,
		     int (*visit)(void *ctx, const struct series_name *), void *ctx) NONNULL(1, 6) MUST_USE;

/* Who spent in one UTC hour: every (key, model, user), of all or of one key, user, team or model. Kept for 8 weeks. */
struct series_part {
	int64_t key, model, user; /* name numbers; 0 = not known */
	int64_t nanousd, calls;
};
/* `only`: everything, or a key, user, team or model (else BUR_INVALID). Dearest first, at most max; returns in *ret_n
 * how many were set. */
int series_parts(struct sqlite3 *, struct series_scope only, int64_t hour_s, struct series_part *dst, size_t max,
		 size_t *ret_n) NONNULL(1, 4, 6) MUST_USE;
/* The text of a name's number, NUL-terminated and cut to size; "" when there is none. */
int series_name_text(struct sqlite3 *, int64_t id, char *dst, size_t size) NONNULL(1, 3) MUST_USE;

#endif
