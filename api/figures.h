/* figures.h - what the endpoints of the cost API share: numbers as it writes them, its envelope, and the two periods it
 * speaks of. Internal to the room; shapes are those of the cost endpoints, parts C3 and C8. */
#ifndef API_FIGURES_H
#define API_FIGURES_H

#include <jansson.h>

#include "api/reply.h"
#include "base/calendar.h"
#include "policy/engine.h"
#include "policy/forecast.h"

struct sqlite3;

/* --- numbers ------------------------------------------------------------------------------------------------------ */

/* Money as a number of USD with at most 6 decimals, rounded half away from zero on the exact value. */
json_t *figure_usd(int64_t nanousd) MUST_USE;
/* Of an estimate in nano-USD. What is no number is 0. */
json_t *figure_estimate(double nanousd) MUST_USE;
/* Rounded half away from zero; at most 6 decimals. */
json_t *figure_number(double v, int decimals) MUST_USE;
/* 100 * part / whole with at most 6 decimals; whole <= 0: 100 when there is a part, else 0. */
json_t *figure_percent(__int128 part, int64_t whole) MUST_USE;
/* part / whole in millionths of a percent, as above; at the ends of int64 when it does not fit. */
int64_t figure_percent_micro(__int128 part, int64_t whole);
/* Seconds with fraction, as the cost API writes instants; and as text in UTC. */
json_t *figure_time(int64_t unix_ns) MUST_USE;

/* --- answers ------------------------------------------------------------------------------------------------------ */

/* Of one api object: what the envelope and the gate of listed alerts remember. */
struct figures;
struct figures *figures_new(void) MUST_USE; /* NULL: out of memory, or there is no zone UTC */
void figures_free(struct figures *);
const struct tz *figures_utc(const struct api *) NONNULL(1);
json_t *figures_uptime(const struct api *) NONNULL(1) MUST_USE; /* seconds */

/* {"status":"success","data":...,"meta":{...}}; takes `data` over, NULL gives 500. */
void figure_send(struct api *, struct api_call *, int status, json_t *data) NONNULL(1, 2);
/* {"status":"error","error":{code,message,details,retry_after},"meta":{...}}; takes `details` over (NULL: {}). */
void figure_error(struct api *, struct api_call *, int status, const char *code, const char *message, json_t *details)
    NONNULL(1, 2, 4, 5);
/* 422 INVALID_PARAMETERS for one parameter. */
void figure_invalid(struct api *, struct api_call *, const char *name, const char *message) NONNULL(1, 2, 3, 4);
/* 500 DATABASE_ERROR. */
void figure_broken(struct api *, struct api_call *, int r) NONNULL(1, 2);
/* The body as an object of known members; NULL: answered already. */
json_t *figure_body(struct api *, struct api_call *, const char *const *known, size_t n_known)
    NONNULL(1, 2, 3) MUST_USE;
/* A whole number of the query between min and max into *inout. BUR_INVALID: answered already. */
int figure_query_int(struct api *, struct api_call *, const char *name, int64_t min, int64_t max, int64_t *inout)
    NONNULL(1, 2, 3, 6) MUST_USE;
/* "true", "1", "off" ... into *inout. BUR_INVALID: answered already. */
int figure_query_bool(struct api *, struct api_call *, const char *name, bool *inout) NONNULL(1, 2, 3, 4) MUST_USE;

/* The time of this answer: the clock's, or the tests'. */
int64_t figure_now_ns(const struct api *) NONNULL(1);

/* --- the two periods ---------------------------------------------------------------------------------------------- */

/* "Daily" and "monthly" mean the budgets in USD that match every call, with windows of a day and a month; of several
 * the one with the least left. Without one the period is a day or month of UTC without limit, counted from the ledger.
 */
enum period_kind { PERIOD_DAY, PERIOD_MONTH };
#define PERIODS 2
struct period {
	enum period_kind kind;
	const struct budget *budget; /* NULL: none */
	const struct tz *tz;
	int64_t start_s, end_s;
	int64_t total_nanousd, reserved_nanousd;
	int64_t limit_nanousd; /* with credit; budget set only */
	int64_t calls;
	int64_t updated_ns; /* the ledger's last row; 0 = empty */
	char key[16];       /* "2025-08-06", "2025-08" */
};
/* BUR_OK or the store's error. */
int period_find(struct api *, struct sqlite3 *, int64_t now_s, struct period ret[PERIODS]) NONNULL(1, 2, 4) MUST_USE;
json_t *period_json(const struct period *) NONNULL(1) MUST_USE; /* C3.2 */
/* Used in millionths of a percent; 0 without a limit. */
int64_t period_used_micro(const struct period *) NONNULL(1);
const char *period_health(const struct period p[PERIODS]) NONNULL(1); /* C3.3 */
const char *period_name(enum period_kind);                            /* "daily" */

/* Thresholds of C3.3, in millionths of a percent. */
#define THRESHOLD_WARNING INT64_C(75000000)
#define THRESHOLD_CRITICAL INT64_C(90000000)
#define THRESHOLD_EXCEEDED INT64_C(100000000)

/* The alert of C3.4 for this use of the period, NULL when no threshold is reached, or when the same was listed less
 * than 300 s ago. `used_nanousd` counts what is held and what is asked for. */
json_t *period_alert(struct api *, const struct period *, __int128 used_nanousd, int64_t now_ns, const char *operation,
		     const char *category) NONNULL(1, 2, 5, 6) MUST_USE;
/* New limits: what was listed may be listed again. */
void period_forget_alerts(struct api *) NONNULL(1);

/* --- what several answers show ------------------------------------------------------------------------------------ */

struct trends {
	int64_t total_nanousd, average_nanousd; /* average of the days with cost */
	int64_t n_days;                         /* with cost */
	int64_t trend_milli;
	int64_t month_nanousd;  /* so far */
	double projected_month; /* nano-USD */
};
#define TRENDS_DAYS_MAX 365
/* C3.5 over the last `days` days, today included. *ret_breakdown (may be NULL) is the map of days with cost. */
int trends_find(struct sqlite3 *, const struct period p[PERIODS], int64_t now_s, int64_t days, struct trends *ret,
		json_t **ret_breakdown) NONNULL(1, 2, 5) MUST_USE;
json_t *trends_json(const struct trends *, int64_t days, json_t *breakdown) NONNULL(1) MUST_USE;

struct projections {
	struct forecast_c6_day day;
	struct forecast_c6_month month;
	int64_t day_nanousd, month_nanousd; /* so far */
	int64_t day_elapsed_s, day_length_s;
	double days_elapsed, days_in_month;
	int64_t calls_today;
};
int projections_find(struct sqlite3 *, const struct period p[PERIODS], int64_t now_s, struct projections *ret)
    NONNULL(1, 2, 4) MUST_USE;
json_t *projections_json(const struct projections *) NONNULL(1) MUST_USE;

struct health {
	struct forecast_c6_health scores;
	int64_t alerts, high_anomalies;
};
int health_find(struct sqlite3 *, const struct period p[PERIODS], const struct projections *, int64_t trend_milli,
		int64_t now_ns, struct health *ret) NONNULL(1, 2, 3, 6) MUST_USE;
/* C6.5 with the recommendations of C6.6. */
json_t *health_json(struct sqlite3 *, const struct health *, int64_t now_ns) NONNULL(1, 2) MUST_USE;
/* C6.4: spikes among the last 20 calls; *ret_high how many are severe. *ret may be NULL. */
int spikes_find(struct sqlite3 *, int64_t *ret_high, json_t **ret) NONNULL(1) MUST_USE;

/* Breakers of money and of upstreams, counted; each one's C7.7 goes into `list` under its name, unless that is NULL.
 * `guard` NULL: there are none here. */
struct guard;
struct breakers {
	size_t n, closed, open, half_open;
	uint64_t operations, blocked; /* by breakers of money, since the program began */
	int64_t saved_nanousd;        /* the most that those could have cost */
};
int breakers_find(struct guard *guard, int64_t now_ns, struct breakers *ret, json_t *list) NONNULL(3) MUST_USE;

#endif
