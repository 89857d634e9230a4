/* What is coming: forecasts and burn of budgets, anomalies. */
#include <stdlib.h>
#include <string.h>

#include "api/body.h"
#include "api/figures.h"
#include "api/foresight.h"
#include "api/views.h"
#include "base/clock.h"
#include "base/error.h"
#include "policy/engine_meter.h"
#include "policy/engine_page.h"
#include "store/note.h"

#define PAGE 256
#define SHOWN_MAX 200 /* counters in one answer */
#define NOTES_SHOWN 100

/* --- forecasts ---------------------------------------------------------------------------------------------------- */

static json_t *instant(int64_t unix_s)
{
	return unix_s == FORESIGHT_NEVER || unix_s > INT64_MAX / NS_PER_S ? json_null() : body_time(unix_s * NS_PER_S);
}

/* Thousandths; what is spent where nothing is expected burns without end, which no number says. */
static json_t *burn_number(int64_t milli)
{
	return milli == INT64_MAX ? json_null() : figure_number((double)milli / 1e3, 3);
}

static json_t *row_json(const struct burn_report *b, size_t i)
{
	static const char *const actions[] = {[BURN_TICKET] = "ticket", [BURN_PAGE] = "page", [BURN_TRIP] = "trip"};
	const struct burn_row *row = &burn_default_rows[i];
	const struct burn_figures *f = &b->row[i];

	return json_pack("{s:s,s:b,s:o,s:s,s:{s:I,s:o,s:o,s:o},s:{s:I,s:o,s:o,s:o}}", "name", row->name, "over",
			 f->over, "threshold", burn_number(row->threshold_milli), "action", actions[row->action],
			 "long", "seconds", (json_int_t)f->long_s, "spent", body_usd(f->long_nanousd), "expected",
			 body_usd(f->long_expected_nanousd), "burn", burn_number(f->long_burn_milli), "short",
			 "seconds", (json_int_t)f->short_s, "spent", body_usd(f->short_nanousd), "expected",
			 body_usd(f->short_expected_nanousd), "burn", burn_number(f->short_burn_milli));
}

static json_t *burn_json(const struct foresight *f)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < BURN_ROWS; i++)
		(void)json_array_append_new(rows, row_json(&f->burn, i));
	return json_pack("{s:s,s:o}", "expected_by", f->profile ? "hours_of_the_week" : "clock", "rows", rows);
}

static json_t *forecast_json(const struct foresight *f)
{
	const struct forecast *c = &f->forecast;

	return json_pack("{s:s,s:o,s:o,s:o,s:o,s:o,s:b,s:b,s:I,s:o}", "method",
			 c->run_rate ? "run_rate" : "weekday_medians", "expected", body_usd(c->expected_nanousd), "p10",
			 body_usd(c->p10_nanousd), "p50", body_usd(c->p50_nanousd), "p90", body_usd(c->p90_nanousd),
			 "trend", figure_number((double)c->trend_milli / 1e3, 3), "low_confidence", c->low_confidence,
			 "over", f->over, "days_of_history", (json_int_t)f->n_days, "runs_out_at",
			 instant(f->forecast_runs_out_s));
}

json_t *foresight_budget_json(const struct meter_view *v, const struct foresight *f)
{
	int64_t left;

	if (__builtin_sub_overflow(f->limit_nanousd, f->spent_nanousd, &left))
		left = INT64_MIN;
	return json_pack("{s:o,s:o,s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "name",
			 body_text(slice_of(v->budget->name)), "scope", body_text(slice_of(v->scope)), "window",
			 v->budget->window_name, "mode", budget_mode_name(v->budget->mode), "limit",
			 body_usd(f->limit_nanousd), "spent", body_usd(f->spent_nanousd), "held", body_usd(v->held),
			 "left", body_usd(left), "used_percent", figure_percent(f->spent_nanousd, f->limit_nanousd),
			 "rate_per_hour", body_usd(f->rate_nanousd), "resets_at",
			 v->budget->window.kind == WINDOW_TOTAL ? json_null() : instant(v->win_end), "runs_out_at",
			 instant(f->runs_out_s), "forecast", f->has_forecast ? forecast_json(f) : json_null(), "burn",
			 f->has_burn ? burn_json(f) : json_null());
}

static bool wanted(const struct meter_view *v, struct slice name)
{
	if (v->budget->unit != UNIT_USD || v->closing)
		return false;
	return !name.p || slice_eq(name, slice_of(v->budget->name)) ||
	       (v->budget->group && slice_eq(name, slice_of(v->budget->group)));
}

static int add_budget(struct sqlite3 *db, const struct meter_view *v, int64_t now_s, json_t *rows)
{
	struct foresight f;
	int r = foresight_budget(db, v, now_s, 0, &f);

	if (r == BUR_OK && json_array_append_new(rows, foresight_budget_json(v, &f)) != 0)
		r = BUR_NOMEM;
	return r;
}

static int add_budgets(struct api *api, struct sqlite3 *db, struct slice name, int64_t now_s, json_t *rows,
		       bool *ret_more)
{
	struct engine *e = api->deps.engine;
	uint64_t uids[PAGE];
	struct meter_view v;
	size_t n, from = 0;
	int r = BUR_OK;

	*ret_more = false;
	for (; r == BUR_OK && !*ret_more && (n = engine_uids(e, from, uids, PAGE)) > 0; from += n) {
		for (size_t i = 0; i < n && r == BUR_OK && !*ret_more; i++) {
			if (engine_meter_view(e, uids[i], now_s, &v) < 0 || !wanted(&v, name))
				continue;
			*ret_more = json_array_size(rows) == SHOWN_MAX;
			if (!*ret_more)
				r = add_budget(db, &v, now_s, rows);
		}
	}
	return r;
}

static void send_budgets(struct api *api, struct api_call *call, struct slice name)
{
	int64_t now_ns = figure_now_ns(api);
	struct sqlite3 *db = reply_reader(api, call);
	json_t *rows;
	bool more;
	int r;

	if (!db)
		return;
	rows = json_array();
	r = rows ? add_budgets(api, db, name, now_ns / NS_PER_S, rows, &more) : BUR_NOMEM;
	if (r < 0)
		figure_broken(api, call, r);
	else if (name.p && json_array_size(rows) == 0)
		figure_error(api, call, 404, "INVALID_PARAMETERS", "No budget in USD has this name", NULL);
	else
		figure_send(api, call, 200,
			    json_pack("{s:o,s:O,s:b}", "at", body_time(now_ns), "budgets", rows, "more", more));
	json_decref(rows);
}

void view_budget_forecast(struct api *api, struct api_call *call)
{
	send_budgets(api, call, call->param);
}

void view_forecasts(struct api *api, struct api_call *call)
{
	send_budgets(api, call, SLICE_NONE);
}

/* --- anomalies ---------------------------------------------------------------------------------------------------- */

static const char *basis_name(enum anomaly_basis basis)
{
	static const char *const names[] = {[ANOMALY_LEARNING] = "learning",
					    [ANOMALY_HOUR_OF_DAY] = "hour_of_day",
					    [ANOMALY_HOUR_OF_WEEK] = "hour_of_week"};

	return names[basis];
}

json_t *foresight_parts_json(struct sqlite3 *db, struct series_scope scope, int64_t hour_s)
{
	struct foresight_part parts[ANOMALY_TOP];
	json_t *list = json_array();
	size_t n;

	if (foresight_parts(db, scope, hour_s, parts, &n) < 0)
		n = 0;
	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(
		    list,
		    json_pack("{s:o,s:o,s:o,s:o,s:o}", "key", body_text(slice_of(parts[i].key)), "model",
			      body_text(slice_of(parts[i].model)), "user", body_text(slice_of(parts[i].user)), "spent",
			      body_usd(parts[i].spent_nanousd), "usual", body_usd(parts[i].usual_nanousd)));
	return list;
}

json_t *foresight_hour_json(const struct foresight_scope *s, const struct foresight_anomaly *a)
{
	const struct anomaly_baseline *b = &a->hour.baseline;

	return json_pack("{s:o,s:o,s:i,s:b,s:s,s:o,s:o,s:o,s:o,s:I,s:o}", "scope", body_text(slice_of(s->object)),
			 "hour", body_time(a->hour_s * NS_PER_S), "level", a->hour.level, "over",
			 a->hour.z_milli >= ANOMALY_Z1_MILLI, "baseline", basis_name(b->basis), "spent",
			 body_usd(a->hour.spent_nanousd), "x", body_usd(a->hour.scaled_nanousd), "m",
			 body_usd(b->median_nanousd), "s", body_usd(a->hour.scale_nanousd), "n",
			 (json_int_t)b->n_samples, "z", figure_number((double)a->hour.z_milli / 1e3, 3));
}

json_t *foresight_shift_json(const struct foresight_scope *s, const struct foresight_anomaly *a)
{
	const struct anomaly_shift *h = &a->shift;

	return json_pack("{s:o,s:o,s:b,s:b,s:o,s:o,s:o,s:I}", "scope", body_text(slice_of(s->object)), "day",
			 body_time(a->day_s * NS_PER_S), "over", h->over, "learning", h->learning, "ewma",
			 body_usd(h->ewma_nanousd), "limit", body_usd(h->limit_nanousd), "s",
			 body_usd(h->scale_nanousd), "n", (json_int_t)h->n_residuals);
}

static int add_scopes(struct sqlite3 *db, int64_t now_s, json_t *hours, json_t *shifts)
{
	struct foresight_scope *scopes = calloc(FORESIGHT_SCOPES_MAX, sizeof(*scopes));
	struct foresight_anomaly a;
	int r, n = scopes ? foresight_scopes(db, now_s, scopes) : BUR_NOMEM;

	r = n < 0 ? n : BUR_OK;
	for (int i = 0; i < n && r == BUR_OK; i++) {
		struct anomaly_state state = {0};
		json_t *o;

		r = foresight_anomaly(db, &scopes[i], &state, now_s, &a);
		if (r < 0)
			break;
		o = foresight_hour_json(&scopes[i], &a);
		if (o && a.hour.z_milli >= ANOMALY_Z1_MILLI)
			(void)json_object_set_new(o, "most_increased",
						  foresight_parts_json(db, scopes[i].scope, a.hour_s));
		(void)json_array_append_new(hours, o);
		(void)json_array_append_new(shifts, foresight_shift_json(&scopes[i], &a));
	}
	free(scopes);
	return r;
}

static json_t *note_json(const struct note_row *row)
{
	json_t *payload = json_loadb(row->payload.p ? row->payload.p : "", row->payload.n, 0, NULL);

	return json_pack("{s:I,s:o,s:o,s:b,s:o}", "id", (json_int_t)row->id, "type", body_text(row->kind), "at",
			 body_time(row->at_ns), "ended", row->action == NOTE_ENDED, "payload",
			 payload ? payload : json_null());
}

static int add_note(void *ctx, const struct note_row *row)
{
	return json_array_append_new(ctx, note_json(row)) == 0 ? BUR_OK : BUR_NOMEM;
}

void view_anomalies(struct api *api, struct api_call *call)
{
	const struct note_filter told = {.kind = FORESIGHT_ANOMALY, .limit = NOTES_SHOWN};
	int64_t now_ns = figure_now_ns(api), high = 0;
	struct sqlite3 *db = reply_reader(api, call);
	json_t *hours, *shifts, *notes, *spikes = NULL;
	int r;

	if (!db)
		return;
	hours = json_array();
	shifts = json_array();
	notes = json_array();
	r = add_scopes(db, now_ns / NS_PER_S, hours, shifts);
	if (r == BUR_OK)
		r = note_each(db, &told, add_note, notes);
	if (r == BUR_OK)
		r = spikes_find(db, &high, &spikes);
	if (r == BUR_OK)
		figure_send(api, call, 200,
			    json_pack("{s:o,s:O,s:O,s:O,s:o}", "at", body_time(now_ns), "hours", hours, "shifts",
				      shifts, "told", notes, "cost_spikes", spikes));
	else
		figure_broken(api, call, r);
	json_decref(hours);
	json_decref(shifts);
	json_decref(notes);
}
