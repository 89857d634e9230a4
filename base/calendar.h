/* calendar.h - calendar windows in any IANA zone, from the system's tzdata (TZif v2+ with footer rule).
 *
 * Does not use TZ, setenv or localtime. A zone is immutable after loading: any thread may read it.
 * Windows tile time: end(i) == start(i+1). A day starts at the first instant whose local date is that date; days of 23
 * or 25 hours keep their whole limit. */
#ifndef BASE_CALENDAR_H
#define BASE_CALENDAR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

struct tz;

/* `name` such as "Europe/Berlin" or "UTC". BUR_NOTFOUND, BUR_INVALID (name or file), BUR_NOMEM, BUR_IO. */
int tz_load(const char *name, struct tz **ret) NONNULL(1, 2) MUST_USE;
void tz_free(struct tz *);
const char *tz_name(const struct tz *) NONNULL(1);
int32_t tz_offset_at(const struct tz *, int64_t unix_s) NONNULL(1); /* seconds east of UTC */

struct civil {
	int64_t year;
	int month, day, hour, minute, second; /* month 1-12 */
};
void civil_from_unix(const struct tz *, int64_t unix_s, struct civil *ret) NONNULL(1, 3);
int64_t days_from_civil(int64_t year, int month, int day); /* days since 1970-01-01, proleptic Gregorian */
/* The other way; any thread, no zone needed. */
void civil_from_days(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day) NONNULL(2, 3, 4);
/* First instant of the local date; months and days are normalised (month 13 is next January). */
int64_t local_day_start(const struct tz *, int64_t year, int month, int day) NONNULL(1);

enum window_kind { WINDOW_HOUR, WINDOW_DAY, WINDOW_WEEK, WINDOW_MONTH, WINDOW_QUARTER, WINDOW_YEAR, WINDOW_TOTAL };

struct window_spec {
	enum window_kind kind;
	int week_start;   /* 0 = Monday .. 6 = Sunday */
	int month_anchor; /* 1..28 */
	const struct tz *tz;
};

/* The window that contains unix_s: [*ret_start, *ret_end). WINDOW_TOTAL is [0, INT64_MAX). */
void window_at(const struct window_spec *, int64_t unix_s, int64_t *ret_start, int64_t *ret_end) NONNULL(1, 3, 4);

#define TIME_TEXT_MAX 40
/* RFC 3339 in the zone, seconds precision, e.g. 2026-11-21T00:00:00+01:00; UTC prints Z. Returns dst. */
char *time_format(const struct tz *, int64_t unix_s, char dst[TIME_TEXT_MAX]) NONNULL(1);
/* RFC 3339 date or date-time to Unix nanoseconds. */
int time_parse(struct slice text, int64_t *ret_ns) MUST_USE;

#endif
