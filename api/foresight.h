/* foresight.h - what the ledger says about tomorrow: of a budget's counter how fast it is being spent and what its
 * window will have cost; of a scope whether its spend is unlike itself. The rules are policy/burn.h, forecast.h and
 * anomaly.h; here they get their series from the store. One place for the endpoints and for the periodic evaluation.
 *
 * Everything comes from the ledger and the time that is passed: same ledger, same verdict, before and after a restart.
 * Control thread, or any with a reader of its own. Costs some milliseconds of reading for each counter or scope. */
#ifndef API_FORESIGHT_H
#define API_FORESIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "policy/anomaly.h"
#include "policy/burn.h"
#include "policy/engine.h"
#include "policy/forecast.h"
#include "store/series.h"

struct sqlite3;
struct note_row;

#define FORESIGHT_NEVER INT64_MAX

struct foresight {
	int64_t win_start_s, win_end_s; /* rolling: the last W seconds, until now */
	int64_t limit_nanousd;          /* in force, with credit */
	int64_t spent_nanousd;          /* in the window, by the ledger */
	int64_t rate_nanousd;           /* an hour: mean of the last day, or of the window when that is shorter */
	/* When the limit is reached if spend goes on at that rate, or as the forecast has it; FORESIGHT_NEVER: not in
	 * this window. A rolling window has no end, and a total one no forecast. */
	int64_t runs_out_s, forecast_runs_out_s;
	bool has_forecast;
	struct forecast forecast;
	bool over;     /* more likely than not the window ends over its limit, see foresight.c */
	size_t n_days; /* complete days of history */
	bool has_burn; /* not for windows that never end */
	bool profile;  /* by the hours of the week in which money is usually spent */
	struct burn_report burn;
};
/* `v` is of a budget in USD (else BUR_INVALID). `firing`: what the evaluation before said, for began and ended.
 * BUR_OK or the store's error. */
int foresight_budget(struct sqlite3 *, const struct meter_view *v, int64_t now_s, unsigned firing,
		     struct foresight *ret) NONNULL(1, 2, 5) MUST_USE;

#define FORESIGHT_OBJECT_MAX 300
struct foresight_scope {
	struct series_scope scope;
	char object[FORESIGHT_OBJECT_MAX]; /* "everything", "team:blue", "model:gpt-x" */
};
struct foresight_anomaly {
	struct anomaly hour;
	int64_t hour_s; /* the hour that is judged */
	struct anomaly_shift shift;
	int64_t day_s; /* the day that `shift` ends with: yesterday, UTC */
};
#define FORESIGHT_ANOMALY "spend.anomaly"
#define FORESIGHT_PART_SHIFT 9 /* of the notes; hours: the level */
/* `state` is advanced. Hours and days that were told as anomalies before are no part of the baseline. */
int foresight_anomaly(struct sqlite3 *, const struct foresight_scope *, struct anomaly_state *state, int64_t now_s,
		      struct foresight_anomaly *ret) NONNULL(1, 2, 3, 5) MUST_USE;

#define FORESIGHT_SCOPES_MAX 100
/* Everything, then the teams, keys and models that spent most in the last day, a third of the rest each.
 * Returns how many, or an error. */
int foresight_scopes(struct sqlite3 *, int64_t now_s, struct foresight_scope dst[FORESIGHT_SCOPES_MAX])
    NONNULL(1, 3) MUST_USE;

/* The (key, model, user) of this scope that cost more in this hour than they usually do in it, as anomaly_top has it:
 * usual is the median of the same hour in the last 4 weeks. */
struct foresight_part {
	char key[200], model[200], user[200];
	int64_t spent_nanousd, usual_nanousd;
};
int foresight_parts(struct sqlite3 *, struct series_scope, int64_t hour_s, struct foresight_part ret[ANOMALY_TOP],
		    size_t *ret_n) NONNULL(1, 4, 5) MUST_USE;

/* As the endpoints and the events show them (api/view_foresight.c). NULL: out of memory. */
struct json_t;
struct json_t *foresight_budget_json(const struct meter_view *, const struct foresight *) NONNULL(1, 2) MUST_USE;
struct json_t *foresight_hour_json(const struct foresight_scope *, const struct foresight_anomaly *)
    NONNULL(1, 2) MUST_USE;
struct json_t *foresight_shift_json(const struct foresight_scope *, const struct foresight_anomaly *)
    NONNULL(1, 2) MUST_USE;
struct json_t *foresight_parts_json(struct sqlite3 *, struct series_scope, int64_t hour_s) NONNULL(1) MUST_USE;

#endif
