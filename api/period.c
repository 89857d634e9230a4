/* The day and the month that the cost API speaks of. */
#include <stdio.h>
#include <string.h>

#include "api/body.h"
#include "api/figures.h"
#include "base/clock.h"
#include "base/error.h"
#include "policy/engine_meter.h"
#include "policy/engine_page.h"
#include "store/ledger.h"
#include "store/series.h"

#define DAY_S 86400
#define SLOT_S 900
#define PAGE 64

const char *period_name(enum period_kind kind)
{
	return kind == PERIOD_DAY ? "daily" : "monthly";
}

/* --- which budget ------------------------------------------------------------------------------------------------- */

/* It counts every call, in USD, and what it says holds. */
static bool is_global(const struct meter_view *v, enum window_kind kind)
{
	const struct budget *b = v->budget;

	return b->unit == UNIT_USD && b->n_match == 0 && b->n_per == 0 && b->rolling_s == 0 && b->mode != MODE_SHADOW &&
	       b->window.kind == kind && b->window.tz && !v->closing;
}

static __int128 left_of(int64_t limit, int64_t credit, int64_t posted, int64_t held)
{
	return (__int128)limit + credit - posted - held;
}

static void take_view(struct period *p, const struct meter_view *v)
{
	if (p->budget && left_of(p->limit_nanousd, 0, p->total_nanousd, p->reserved_nanousd) <=
			     left_of(v->limit, v->credit, v->posted, v->held))
		return;
	p->budget = v->budget;
	p->tz = v->budget->window.tz;
	p->start_s = v->win_start;
	p->end_s = v->win_end;
	p->total_nanousd = v->posted;
	p->reserved_nanousd = v->held;
	if (__builtin_add_overflow(v->limit, v->credit, &p->limit_nanousd))
		p->limit_nanousd = INT64_MAX;
}

/* Budgets without `per` have one counter, which is there from the start. */
static void find_budgets(struct api *api, int64_t now_s, struct period ret[PERIODS])
{
	uint64_t uids[PAGE];
	struct meter_view v;
	size_t n, from = 0;

	/* They come first; the first that is another's ends it. */
	while ((n = engine_uids(api->deps.engine, from, uids, PAGE)) > 0) {
		for (size_t i = 0; i < n; i++) {
			if (engine_meter_view(api->deps.engine, uids[i], now_s, &v) < 0)
				continue;
			if (v.budget->n_per > 0)
				return;
			if (is_global(&v, WINDOW_DAY))
				take_view(&ret[PERIOD_DAY], &v);
			else if (is_global(&v, WINDOW_MONTH))
				take_view(&ret[PERIOD_MONTH], &v);
		}
		from += n;
	}
}

/* --- figures of the ledger ---------------------------------------------------------------------------------------- */

static int last_row(void *ctx, const struct ledger_row *row)
{
	*(int64_t *)ctx = row->ts_settle_ns;
	return BUR_OK;
}

static void key_of(struct period *p)
{
	struct civil c;

	civil_from_unix(p->tz, p->start_s, &c);
	if (p->kind == PERIOD_DAY)
		(void)snprintf(p->key, sizeof(p->key), "%04d-%02d-%02d", (int)(c.year % 10000), c.month % 100,
			       c.day % 100);
	else
		(void)snprintf(p->key, sizeof(p->key), "%04d-%02d", (int)(c.year % 10000), c.month % 100);
}

static int complete(struct api *api, struct sqlite3 *db, int64_t now_s, struct period *p)
{
	struct ledger_filter last = {.descending = true, .limit = 1};
	struct series_sum sum;
	int r;

	if (!p->budget) {
		struct window_spec w = {.kind = p->kind == PERIOD_DAY ? WINDOW_DAY : WINDOW_MONTH, .month_anchor = 1};

		w.tz = p->tz = figures_utc(api);
		window_at(&w, now_s, &p->start_s, &p->end_s);
	}
	key_of(p);
	r = series_total(db, SERIES_EVERYTHING, p->start_s, now_s + SLOT_S, &sum);
	if (r < 0)
		return r;
	p->calls = sum.calls;
	if (!p->budget)
		p->total_nanousd = sum.amount;
	return ledger_each(db, &last, last_row, &p->updated_ns);
}

int period_find(struct api *api, struct sqlite3 *db, int64_t now_s, struct period ret[PERIODS])
{
	int r = BUR_OK;

	memset(ret, 0, PERIODS * sizeof(ret[0]));
	ret[PERIOD_DAY].kind = PERIOD_DAY;
	ret[PERIOD_MONTH].kind = PERIOD_MONTH;
	find_budgets(api, now_s, ret);
	for (int i = 0; i < PERIODS && r == BUR_OK; i++)
		r = complete(api, db, now_s, &ret[i]);
	return r;
}

/* --- shown -------------------------------------------------------------------------------------------------------- */

int64_t period_used_micro(const struct period *p)
{
	return p->budget ? figure_percent_micro(p->total_nanousd, p->limit_nanousd) : 0;
}

const char *period_health(const struct period p[PERIODS])
{
	int64_t used = 0;

	for (int i = 0; i < PERIODS; i++) {
		if (p[i].budget && p[i].total_nanousd > p[i].limit_nanousd)
			return "exceeded";
		if (period_used_micro(&p[i]) > used)
			used = period_used_micro(&p[i]);
	}
	return used >= THRESHOLD_CRITICAL ? "critical" : used >= THRESHOLD_WARNING ? "warning" : "healthy";
}

json_t *period_json(const struct period *p)
{
	int64_t left = 0;

	if (__builtin_sub_overflow(p->limit_nanousd, p->total_nanousd, &left))
		left = INT64_MIN;
	return json_pack("{s:s,s:o,s:I,s:o,s:o,s:o,s:o,s:b,s:o,s:o,s:o}", p->kind == PERIOD_DAY ? "date" : "month",
			 p->key, "total_cost", figure_usd(p->total_nanousd), "record_count", (json_int_t)p->calls,
			 "last_updated", body_time(p->updated_ns), "budget_limit",
			 p->budget ? figure_usd(p->limit_nanousd) : json_null(), "remaining_budget",
			 p->budget ? figure_usd(left) : json_null(), "percentage_used",
			 json_real((double)period_used_micro(p) / 1e6), "over_budget",
			 p->budget && p->total_nanousd > p->limit_nanousd, "reserved", figure_usd(p->reserved_nanousd),
			 "days_in_period", figure_number((double)(p->end_s - p->start_s) / DAY_S, 0), "budget",
			 p->budget ? body_text(slice_of(p->budget->name)) : json_null());
}
