#include "store/series.h"

#include <string.h>

#include "base/calendar.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/internal.h"

#define HOUR_S 3600
#define MINUTE_S 60
#define SLOTS_IN_HOUR (HOUR_S / ROLLUP_SLOT_S)
/* No window of ours ends later; keeps arithmetic on times far from overflow. */
#define TIME_MAX_S (INT64_MAX / NS_PER_S)

static void add(int64_t *to, int64_t v)
{
	if (__builtin_add_overflow(*to, v, to))
		*to = v > 0 ? INT64_MAX : -INT64_MAX;
}

/* Whole slots in which the scope is kept. */
static int64_t step_of(struct series_scope s)
{
	return s.kind == SERIES_ALL || s.kind == SERIES_COUNTER ? ROLLUP_SLOT_S : HOUR_S;
}

static bool valid(struct series_scope s)
{
	return (s.kind >= SERIES_KEY && s.kind <= SERIES_MODEL) || s.kind == SERIES_ALL || s.kind == SERIES_COUNTER;
}

/* --- spend by time ------------------------------------------------------------------------------------------------ */

static int open_slots(sqlite3 *db, struct series_scope s, int64_t from_s, int64_t to_s, sqlite3_stmt **ret)
{
	int rc = db_prepare(
	    db, "SELECT slot,amount_n FROM rollup WHERE kind=?1 AND id=?2 AND slot>=?3 AND slot<?4 ORDER BY slot", ret);

	if (rc != SQLITE_OK)
		return rc;
	(void)sqlite3_bind_int(*ret, 1, (int)s.kind);
	(void)sqlite3_bind_int64(*ret, 2, s.id);
	(void)sqlite3_bind_int64(*ret, 3, from_s / ROLLUP_SLOT_S);
	(void)sqlite3_bind_int64(*ret, 4, to_s / ROLLUP_SLOT_S);
	return SQLITE_OK;
}

int series_hours(struct sqlite3 *db, struct series_scope s, int64_t first_s, size_t n, int64_t *dst)
{
	sqlite3_stmt *st = NULL;
	int rc;

	if (!valid(s) || n > SERIES_HOURS_MAX || first_s < 0 || first_s > TIME_MAX_S - (int64_t)n * HOUR_S ||
	    first_s % step_of(s) != 0)
		return BUR_INVALID;
	memset(dst, 0, n * sizeof *dst);
	rc = open_slots(db, s, first_s, first_s + (int64_t)n * HOUR_S, &st);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	for (; rc == SQLITE_ROW; rc = sqlite3_step(st))
		add(&dst[(sqlite3_column_int64(st, 0) * ROLLUP_SLOT_S - first_s) / HOUR_S],
		    sqlite3_column_int64(st, 1));
	(void)sqlite3_finalize(st);
	return rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}

int series_days(struct sqlite3 *db, struct series_scope s, const struct tz *tz, int64_t first_s, size_t n, int64_t *dst)
{
	struct window_spec day = {.kind = WINDOW_DAY, .month_anchor = 1, .tz = tz};
	int64_t start, end, to = first_s;
	sqlite3_stmt *st = NULL;
	size_t i = 0;
	int rc;

	if (!valid(s) || n == 0 || n > SERIES_DAYS_MAX || first_s < 0 ||
	    first_s > TIME_MAX_S - (int64_t)(n + 2) * 2 * 86400)
		return BUR_INVALID;
	memset(dst, 0, n * sizeof *dst);
	window_at(&day, first_s, &start, &end);
	to = start + (int64_t)(n + 2) * 25 * HOUR_S; /* rows after the last day end the walk */
	rc = open_slots(db, s, start - (start % ROLLUP_SLOT_S), to, &st);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	for (; rc == SQLITE_ROW; rc = sqlite3_step(st)) {
		int64_t at = sqlite3_column_int64(st, 0) * ROLLUP_SLOT_S;

		for (; at >= end && i < n; i++)
			window_at(&day, end, &start, &end);
		if (i >= n)
			break;
		if (at >= start)
			add(&dst[i], sqlite3_column_int64(st, 1));
	}
	(void)sqlite3_finalize(st);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? BUR_OK : db_err(rc);
}

int series_minutes(struct sqlite3 *db, uint64_t uid, int64_t first_s, size_t n, int64_t *dst)
{
	sqlite3_stmt *st = NULL;
	int rc;

	if (n > SERIES_MINUTES_MAX || first_s < 0 || first_s % MINUTE_S != 0 ||
	    first_s > TIME_MAX_S - (int64_t)n * MINUTE_S)
		return BUR_INVALID;
	memset(dst, 0, n * sizeof *dst);
	rc = db_prepare(db, "SELECT minute,amount_n FROM rollup_minute WHERE uid=?1 AND minute>=?2 AND minute<?3", &st);
	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_int64(st, 1, (int64_t)uid);
		(void)sqlite3_bind_int64(st, 2, first_s / MINUTE_S);
		(void)sqlite3_bind_int64(st, 3, first_s / MINUTE_S + (int64_t)n);
		rc = sqlite3_step(st);
	}
	for (; rc == SQLITE_ROW; rc = sqlite3_step(st))
		dst[sqlite3_column_int64(st, 0) - first_s / MINUTE_S] = sqlite3_column_int64(st, 1);
	(void)sqlite3_finalize(st);
	return rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}

/* --- totals ------------------------------------------------------------------------------------------------------- */

/* total() does not overflow, sum() does; what does not fit is at the end of the range. */
static int64_t column_total(sqlite3_stmt *st, int i)
{
	double v;

	if (sqlite3_column_type(st, i) == SQLITE_INTEGER)
		return sqlite3_column_int64(st, i);
	v = sqlite3_column_double(st, i);
	return v >= 9.2e18 ? INT64_MAX : v <= -9.2e18 ? -INT64_MAX : (int64_t)v;
}

static struct series_sum column_sums(sqlite3_stmt *st, int i)
{
	return (struct series_sum){.amount = column_total(st, i),
				   .calls = column_total(st, i + 1),
				   .failed = column_total(st, i + 2),
				   .failed_nanousd = column_total(st, i + 3),
				   .input_tokens = column_total(st, i + 4),
				   .output_tokens = column_total(st, i + 5),
				   .cached_tokens = column_total(st, i + 6),
				   .took_ms = column_total(st, i + 7)};
}
#define SUMS                                                                                                           \
	"sum(amount_n),sum(calls),sum(failed),sum(failed_n),sum(input_tokens),sum(output_tokens),sum(cached_tokens),"  \
	"sum(took_ms)"

int series_total(struct sqlite3 *db, struct series_scope s, int64_t from_s, int64_t to_s, struct series_sum *ret)
{
	sqlite3_stmt *st = NULL;
	int rc;

	*ret = (struct series_sum){0};
	if (!valid(s) || from_s < 0 || to_s < from_s)
		return BUR_INVALID;
	rc = db_prepare(db, "SELECT " SUMS " FROM rollup WHERE kind=?1 AND id=?2 AND slot>=?3 AND slot<?4", &st);
	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_int(st, 1, (int)s.kind);
		(void)sqlite3_bind_int64(st, 2, s.id);
		(void)sqlite3_bind_int64(st, 3, from_s / step_of(s) * (step_of(s) / ROLLUP_SLOT_S));
		(void)sqlite3_bind_int64(st, 4, to_s / ROLLUP_SLOT_S);
		rc = sqlite3_step(st);
	}
	if (rc == SQLITE_ROW)
		*ret = column_sums(st, 0);
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW ? BUR_OK : db_err(rc);
}

int series_first(struct sqlite3 *db, struct series_scope s, int64_t *ret_s)
{
	sqlite3_stmt *st = NULL;
	int rc;

	*ret_s = INT64_MAX;
	if (!valid(s))
		return BUR_INVALID;
	rc = db_prepare(db, "SELECT slot FROM rollup WHERE kind=?1 AND id=?2 ORDER BY slot LIMIT 1", &st);
	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_int(st, 1, (int)s.kind);
		(void)sqlite3_bind_int64(st, 2, s.id);
		rc = sqlite3_step(st);
	}
	if (rc == SQLITE_ROW)
		*ret_s = sqlite3_column_int64(st, 0) * ROLLUP_SLOT_S;
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}

/* --- whose -------------------------------------------------------------------------------------------------------- */

static int visit_names(sqlite3_stmt *st, enum series_kind kind, int (*visit)(void *, const struct series_name *),
		       void *ctx)
{
	int rc, r = BUR_OK;

	for (rc = sqlite3_step(st); rc == SQLITE_ROW && r == BUR_OK; rc = sqlite3_step(st)) {
		const char *text = (const char *)sqlite3_column_text(st, 9);
		struct series_name n = {.scope = {kind, sqlite3_column_int64(st, 8)}, .sum = column_sums(st, 0)};

		n.text = text ? slice_mem(text, (size_t)sqlite3_column_bytes(st, 9)) : SLICE_NONE;
		r = visit(ctx, &n);
		if (r != BUR_OK)
			return r;
	}
	return rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}

int series_each_name(struct sqlite3 *db, enum series_kind kind, int64_t from_s, int64_t to_s, size_t max,
		     int (*visit)(void *ctx, const struct series_name *), void *ctx)
{
	sqlite3_stmt *st = NULL;
	int rc, r;

	if (kind < SERIES_KEY || kind > SERIES_MODEL || from_s < 0 || to_s < from_s || max > INT32_MAX)
		return BUR_INVALID;
	/* Names are few; each one's hours are found by the table's key. */
	rc = db_prepare(db,
			"SELECT " SUMS ",n.id,n.text FROM name n CROSS JOIN rollup r ON r.kind=?1 AND r.id=n.id"
			" AND r.slot>=?2 AND r.slot<?3 WHERE n.kind=?1 GROUP BY n.id"
			" ORDER BY sum(amount_n) DESC,n.id LIMIT ?4",
			&st);
	if (rc != SQLITE_OK)
		return db_err(rc);
	(void)sqlite3_bind_int(st, 1, (int)kind);
	(void)sqlite3_bind_int64(st, 2, from_s / HOUR_S * SLOTS_IN_HOUR);
	(void)sqlite3_bind_int64(st, 3, to_s / ROLLUP_SLOT_S);
	(void)sqlite3_bind_int64(st, 4, (int64_t)max);
	r = visit_names(st, kind, visit, ctx);
	(void)sqlite3_finalize(st);
	return r;
}

static const char *part_filter(struct series_scope only)
{
	switch (only.kind) {
	case SERIES_ALL:
		return "";
	case SERIES_KEY:
		return " AND key_id=?2";
	case SERIES_USER:
		return " AND user_id=?2";
	case SERIES_TEAM:
		return " AND team_id=?2";
	case SERIES_MODEL:
		return " AND model_id=?2";
	default:
		return NULL;
	}
}

int series_parts(struct sqlite3 *db, struct series_scope only, int64_t hour_s, struct series_part *dst, size_t max,
		 size_t *ret_n)
{
	const char *filter = part_filter(only);
	sqlite3_stmt *st = NULL;
	char sql[400];
	int rc;

	*ret_n = 0;
	if (!filter || hour_s < 0 || max > INT32_MAX)
		return BUR_INVALID;
	(void)snprintf(sql, sizeof sql,
		       "SELECT key_id,model_id,user_id,sum(amount_n),sum(calls) FROM rollup_part WHERE hour=?1%s"
		       " GROUP BY key_id,model_id,user_id ORDER BY sum(amount_n) DESC,key_id,model_id,user_id LIMIT ?3",
		       filter);
	rc = db_prepare(db, sql, &st);
	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_int64(st, 1, hour_s / HOUR_S);
		(void)(filter[0] ? sqlite3_bind_int64(st, 2, only.id) : SQLITE_OK);
		(void)sqlite3_bind_int64(st, 3, (int64_t)max);
		rc = sqlite3_step(st);
	}
	for (; rc == SQLITE_ROW && *ret_n < max; rc = sqlite3_step(st))
		dst[(*ret_n)++] = (struct series_part){.key = sqlite3_column_int64(st, 0),
						       .model = sqlite3_column_int64(st, 1),
						       .user = sqlite3_column_int64(st, 2),
						       .nanousd = column_total(st, 3),
						       .calls = column_total(st, 4)};
	(void)sqlite3_finalize(st);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? BUR_OK : db_err(rc);
}

int series_name_text(struct sqlite3 *db, int64_t id, char *dst, size_t size)
{
	sqlite3_stmt *st = NULL;
	int rc;

	if (size == 0)
		return BUR_INVALID;
	dst[0] = '\0';
	rc = db_prepare(db, "SELECT text FROM name WHERE id=?1", &st);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 1, id);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW && sqlite3_column_text(st, 0))
		(void)snprintf(dst, size, "%s", (const char *)sqlite3_column_text(st, 0));
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? BUR_OK : db_err(rc);
}
