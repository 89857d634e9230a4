#include "api/foresight.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/calendar.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/note.h"

#define MINUTE_S 60
#define HOUR_S 3600
#define DAY_S 86400
#define MINUTES_BACK (3 * 1440) /* what is older comes by the hour */
#define SLOT_S 900

/* --- a budget's counter ------------------------------------------------------------------------------------------- */

/* The usual length, by which the windows of burn rows are scaled; 0: it never resets. */
static int64_t usual_length(const struct budget *b)
{
	static const int64_t days[] = {[WINDOW_DAY] = 1,      [WINDOW_WEEK] = 7,   [WINDOW_MONTH] = 30,
				       [WINDOW_QUARTER] = 91, [WINDOW_YEAR] = 365, [WINDOW_TOTAL] = 0};

	if (b->rolling_s > 0)
		return b->rolling_s;
	return b->window.kind == WINDOW_HOUR ? HOUR_S : days[b->window.kind] * DAY_S;
}

static int64_t clamp_add(int64_t a, int64_t b)
{
	int64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

static int find_window(struct sqlite3 *db, const struct meter_view *v, int64_t now_s, struct foresight *f)
{
	const struct budget *b = v->budget;
	struct series_sum sum;
	int r;

	f->win_start_s = b->rolling_s > 0 ? now_s - b->rolling_s : v->win_start;
	f->win_end_s = b->rolling_s > 0 ? now_s : v->win_end;
	f->limit_nanousd = clamp_add(v->limit, v->credit);
	r = series_total(db, series_counter(v->uid), f->win_start_s < 0 ? 0 : f->win_start_s, now_s + SLOT_S, &sum);
	f->spent_nanousd = sum.amount;
	return r;
}

static int find_rate(struct sqlite3 *db, const struct meter_view *v, int64_t now_s, struct foresight *f)
{
	int64_t back = f->win_end_s - f->win_start_s < DAY_S ? f->win_end_s - f->win_start_s : DAY_S, from, seconds;
	struct series_sum sum;
	int r;

	if (back < HOUR_S)
		back = HOUR_S;
	from = (now_s - back) / SLOT_S * SLOT_S;
	r = series_total(db, series_counter(v->uid), from < 0 ? 0 : from, now_s + SLOT_S, &sum);
	seconds = now_s - from;
	f->rate_nanousd = seconds > 0 ? (int64_t)((__int128)sum.amount * HOUR_S / seconds) : 0;
	return r;
}

/* At so much for so many seconds; never when the window ends before. */
static int64_t reach(const struct foresight *f, int64_t nanousd, int64_t per_s, int64_t now_s)
{
	int64_t left = f->limit_nanousd - f->spent_nanousd;
	__int128 s;

	if (left <= 0)
		return now_s;
	if (nanousd <= 0 || per_s <= 0)
		return FORESIGHT_NEVER;
	s = (__int128)left * per_s / nanousd;
	if (s > INT32_MAX * INT64_C(64) || (f->win_end_s > now_s && now_s + (int64_t)s >= f->win_end_s))
		return FORESIGHT_NEVER;
	return now_s + (int64_t)s;
}

struct today {
	int64_t start, end;
};

static struct today today_of(const struct budget *b, int64_t now_s)
{
	struct window_spec day = {.kind = WINDOW_DAY, .month_anchor = 1, .tz = b->window.tz};
	struct today t;

	window_at(&day, now_s, &t.start, &t.end);
	return t;
}

/* Complete days, oldest first, to yesterday; from the day on which the counter began. */
static int read_days(struct sqlite3 *db, const struct meter_view *v, const struct today *today, int64_t *days,
		     size_t *ret_n)
{
	int64_t first, from, n;
	int r = series_first(db, series_counter(v->uid), &first);

	*ret_n = 0;
	if (r < 0 || first >= today->start)
		return r;
	n = (today->start - first + DAY_S + HOUR_S) / DAY_S;
	if (n > FORECAST_DAYS_MAX)
		n = FORECAST_DAYS_MAX;
	/* Noon of the first day wanted, whatever the clocks did since. */
	from = today->start - n * DAY_S + DAY_S / 2;
	if (from < first)
		from = first;
	r = series_days(db, series_counter(v->uid), v->budget->window.tz, from, (size_t)n, days);
	if (r < 0)
		return r;
	/* The walk began at the day of `from`; count how many days lie between it and today. */
	for (struct today d = today_of(v->budget, from); d.start < today->start && *ret_n < (size_t)n;
	     d = today_of(v->budget, d.end))
		++*ret_n;
	return BUR_OK;
}

static int64_t days_after(const struct budget *b, const struct today *today, int64_t win_end)
{
	int64_t n = 0;

	for (struct today d = *today; d.end < win_end && n < 4000; n++)
		d = today_of(b, d.end);
	return n;
}

static void date_text(const struct budget *b, int64_t now_s, char dst[16])
{
	struct civil c;

	civil_from_unix(b->window.tz, now_s, &c);
	(void)snprintf(dst, 16, "%04d-%02d-%02d", (int)(c.year % 10000), c.month, c.day);
}

/* More likely than not over; with less than a week of history only when even half of the run rate is. */
static bool forecast_over(const struct foresight *f)
{
	return (f->forecast.run_rate ? f->forecast.p10_nanousd : f->forecast.p50_nanousd) > f->limit_nanousd;
}

static int find_forecast(struct sqlite3 *db, const struct meter_view *v, int64_t now_s, struct foresight *f)
{
	const struct budget *b = v->budget;
	int64_t days[FORECAST_DAYS_MAX], ends, more;
	struct forecast_input in = {.days = days};
	struct today today;
	char date[16];
	int r;

	f->runs_out_s = reach(f, f->rate_nanousd, HOUR_S, now_s);
	f->forecast_runs_out_s = FORESIGHT_NEVER;
	if (b->rolling_s > 0 || b->window.kind == WINDOW_TOTAL || !b->window.tz)
		return BUR_OK;
	today = today_of(b, now_s);
	r = read_days(db, v, &today, days, &in.n_days);
	if (r < 0)
		return r;
	ends = f->win_end_s < today.end ? f->win_end_s : today.end;
	in.to_date_nanousd = f->spent_nanousd;
	in.today_left_ppm = ends > now_s ? (ends - now_s) * 1000000 / (today.end - today.start) : 0;
	in.days_left = days_after(b, &today, f->win_end_s);
	in.elapsed_s = now_s - f->win_start_s;
	in.window_s = f->win_end_s - f->win_start_s;
	date_text(b, now_s, date);
	in.seed = forecast_seed(slice_of(b->name), slice_of(date));
	forecast_window(&in, &f->forecast);
	f->has_forecast = true;
	f->n_days = in.n_days;
	f->over = forecast_over(f);
	more = f->forecast.p50_nanousd - f->spent_nanousd;
	f->forecast_runs_out_s = reach(f, more, f->win_end_s - now_s, now_s);
	return BUR_OK;
}

/* --- burn --------------------------------------------------------------------------------------------------------- */

static int feed_hours(struct sqlite3 *db, const struct meter_view *v, struct burn *b, int64_t from_s, int64_t to_s)
{
	size_t n = (size_t)((to_s - from_s) / HOUR_S);
	int64_t *hours;
	int r;

	if (to_s <= from_s)
		return BUR_OK;
	n = n > SERIES_HOURS_MAX ? SERIES_HOURS_MAX : n;
	hours = malloc(n * sizeof *hours);
	if (!hours)
		return BUR_NOMEM;
	r = series_hours(db, series_counter(v->uid), to_s - (int64_t)n * HOUR_S, n, hours);
	for (size_t i = 0; i < n && r == BUR_OK; i++)
		if (hours[i] != 0)
			burn_add(b, to_s - (int64_t)(n - i) * HOUR_S, hours[i]);
	free(hours);
	return r;
}

static int feed_minutes(struct sqlite3 *db, const struct meter_view *v, struct burn *b, int64_t from_s, int64_t now_s)
{
	size_t n = (size_t)((now_s - from_s) / MINUTE_S + 1);
	int64_t minutes[MINUTES_BACK + 121];
	int r;

	if (n > ARRAY_LEN(minutes))
		return BUR_INVALID;
	r = series_minutes(db, v->uid, from_s, n, minutes);
	/* A minute's money is dated to its last second, the present one's to now: none of it lies in the future. */
	for (size_t i = 0; i < n && r == BUR_OK; i++) {
		int64_t at = from_s + (int64_t)i * MINUTE_S + MINUTE_S - 1;

		if (minutes[i] != 0)
			burn_add(b, at > now_s ? now_s : at, minutes[i]);
	}
	return r;
}

static int make_profile(struct sqlite3 *db, const struct meter_view *v, int64_t now_s, struct burn_profile *p,
			bool *ret)
{
	int64_t hours[BURN_PROFILE_WEEKS_MAX * BURN_WEEK_HOURS], end = now_s / HOUR_S * HOUR_S, first;
	int r = series_first(db, series_counter(v->uid), &first);
	size_t n;

	*ret = false;
	if (r < 0 || first >= end)
		return r;
	n = (size_t)((end - first) / HOUR_S);
	if (n > ARRAY_LEN(hours))
		n = ARRAY_LEN(hours);
	if (n < BURN_PROFILE_HOURS_MIN)
		return BUR_OK;
	r = series_hours(db, series_counter(v->uid), end - (int64_t)n * HOUR_S, n, hours);
	*ret = r == BUR_OK && burn_profile_make(hours, n, end - (int64_t)n * HOUR_S, p) == BUR_OK;
	return r;
}

static int find_burn(struct sqlite3 *db, const struct meter_view *v, int64_t now_s, unsigned firing,
		     struct foresight *f)
{
	int64_t usual = usual_length(v->budget), from = now_s / HOUR_S * HOUR_S - MINUTES_BACK * MINUTE_S, back;
	struct burn_profile profile;
	struct burn_plan plan = {.limit_nanousd = f->limit_nanousd,
				 .win_start_s = f->win_start_s,
				 .win_end_s = f->win_end_s,
				 .min_alert_nanousd = BURN_MIN_ALERT_NANOUSD,
				 .has_forecast = f->has_forecast,
				 .forecast_p10_nanousd = f->forecast.p10_nanousd};
	struct burn b;
	int r;

	if (usual == 0 || from < 0)
		return BUR_OK;
	burn_init(&b, burn_default_rows, usual);
	b.firing = firing;
	back = now_s - b.long_s[BURN_PLAN];
	back = back < 0 ? 0 : back / HOUR_S * HOUR_S;
	r = feed_hours(db, v, &b, back, from);
	if (r == BUR_OK)
		r = feed_minutes(db, v, &b, from, now_s);
	if (r == BUR_OK)
		r = make_profile(db, v, now_s, &profile, &f->profile);
	if (r < 0)
		return r;
	plan.profile = f->profile ? &profile : NULL;
	burn_evaluate(&b, &plan, now_s, &f->burn);
	f->has_burn = true;
	return BUR_OK;
}

int foresight_budget(struct sqlite3 *db, const struct meter_view *v, int64_t now_s, unsigned firing,
		     struct foresight *ret)
{
	int r;

	memset(ret, 0, sizeof(*ret));
	if (v->budget->unit != UNIT_USD || now_s < 0)
		return BUR_INVALID;
	r = find_window(db, v, now_s, ret);
	if (r == BUR_OK)
		r = find_rate(db, v, now_s, ret);
	if (r == BUR_OK)
		r = find_forecast(db, v, now_s, ret);
	return r == BUR_OK ? find_burn(db, v, now_s, firing, ret) : r;
}

/* --- anomalies ---------------------------------------------------------------------------------------------------- */

struct told {
	bool *hours, *days;
	int64_t first_hour_s, first_day_s;
	size_t n_hours, n_days;
};

static int exclude(void *ctx, const struct note_row *row)
{
	struct told *t = ctx;
	bool day = row->part == FORESIGHT_PART_SHIFT;
	int64_t i = day ? (row->since_s - t->first_day_s) / DAY_S : (row->since_s - t->first_hour_s) / HOUR_S;

	if (i >= 0 && (size_t)i < (day ? t->n_days : t->n_hours))
		(day ? t->days : t->hours)[i] = true;
	return BUR_OK;
}

/* What was told of this scope; more than a thousand hours of 1346 would be no anomalies any more. */
static int read_told(struct sqlite3 *db, const struct foresight_scope *s, struct told *t)
{
	const struct note_filter f = {.kind = FORESIGHT_ANOMALY,
				      .object = slice_of(s->object),
				      .from_ns = t->first_day_s * NS_PER_S,
				      .limit = 1000};

	return note_each(db, &f, exclude, t);
}

#define PAST_HOURS_MAX ((ANOMALY_DAYS_MAX + 1) * 24)
struct past {
	int64_t all[PAST_HOURS_MAX]; /* whole days, then today's hours, the present one last */
	const int64_t *hours;        /* the last of them, and the present one */
	int64_t days[ANOMALY_DAYS_MAX];
	bool no_hour[ANOMALY_HOURS_MAX], no_day[ANOMALY_DAYS_MAX];
	size_t n_hours, n_days;
};

static void add_days(struct past *p)
{
	for (size_t i = 0; i < p->n_days; i++) {
		p->days[i] = 0;
		for (size_t h = 0; h < 24; h++)
			p->days[i] = clamp_add(p->days[i], p->all[i * 24 + h]);
	}
}

static int read_past(struct sqlite3 *db, const struct foresight_scope *s, int64_t hour_s, int64_t today_s,
		     struct past *p)
{
	int64_t first, begin;
	struct told told;
	size_t n;
	int r = series_first(db, s->scope, &first);

	if (r < 0 || first >= hour_s + HOUR_S)
		return r;
	begin = first / HOUR_S * HOUR_S;
	p->n_hours = (size_t)((hour_s - begin) / HOUR_S);
	p->n_hours = p->n_hours > ANOMALY_HOURS_MAX ? ANOMALY_HOURS_MAX : p->n_hours;
	begin = first / DAY_S * DAY_S;
	p->n_days = begin < today_s ? (size_t)((today_s - begin) / DAY_S) : 0;
	p->n_days = p->n_days > ANOMALY_DAYS_MAX ? ANOMALY_DAYS_MAX : p->n_days;
	begin = today_s - (int64_t)p->n_days * DAY_S;
	n = (size_t)((hour_s - begin) / HOUR_S) + 1;
	r = series_hours(db, s->scope, begin, n, p->all);
	if (r < 0)
		return r;
	p->hours = p->all + n - 1 - p->n_hours;
	add_days(p);
	told = (struct told){.hours = p->no_hour,
			     .days = p->no_day,
			     .first_hour_s = hour_s - (int64_t)p->n_hours * HOUR_S,
			     .first_day_s = begin,
			     .n_hours = p->n_hours,
			     .n_days = p->n_days};
	return read_told(db, s, &told);
}

int foresight_anomaly(struct sqlite3 *db, const struct foresight_scope *s, struct anomaly_state *state, int64_t now_s,
		      struct foresight_anomaly *ret)
{
	int64_t hour_s = now_s / HOUR_S * HOUR_S, today_s = now_s / DAY_S * DAY_S;
	struct anomaly_series series = {.hour_s = hour_s};
	struct anomaly_baseline baseline;
	struct past *p = calloc(1, sizeof *p);
	int r;

	memset(ret, 0, sizeof(*ret));
	if (!p)
		return BUR_NOMEM;
	p->hours = p->all;
	r = now_s < 0 ? BUR_INVALID : read_past(db, s, hour_s, today_s, p);
	if (r < 0)
		goto out;
	series.hours = p->hours;
	series.excluded = p->no_hour;
	series.n = p->n_hours;
	anomaly_baseline(&series, &baseline);
	anomaly_evaluate(&baseline, state, hour_s, p->hours[p->n_hours], now_s, &ret->hour);
	ret->hour.baseline = baseline;
	anomaly_shift(p->days, p->no_day, p->n_days, &ret->shift);
	ret->hour_s = hour_s;
	ret->day_s = today_s - DAY_S;
out:
	free(p);
	return r;
}

/* --- scopes and parts --------------------------------------------------------------------------------------------- */

struct scopes {
	struct foresight_scope *dst;
	size_t n;
	const char *word;
};

static int add_scope(void *ctx, const struct series_name *name)
{
	struct scopes *s = ctx;
	struct foresight_scope *to = &s->dst[s->n++];

	to->scope = name->scope;
	(void)snprintf(to->object, sizeof(to->object), "%s:" SLICE_FMT, s->word,
		       name->text.n < 256 ? (int)name->text.n : 256, name->text.p ? name->text.p : "");
	return BUR_OK;
}

int foresight_scopes(struct sqlite3 *db, int64_t now_s, struct foresight_scope dst[FORESIGHT_SCOPES_MAX])
{
	static const struct {
		enum series_kind kind;
		const char *word;
	} kinds[] = {{SERIES_TEAM, "team"}, {SERIES_KEY, "key"}, {SERIES_MODEL, "model"}};
	struct scopes s = {.dst = dst, .n = 1};
	int64_t from = now_s > DAY_S ? now_s - DAY_S : 0;
	int r = BUR_OK;

	dst[0] = (struct foresight_scope){.scope = SERIES_EVERYTHING, .object = "everything"};
	for (size_t i = 0; i < ARRAY_LEN(kinds) && r == BUR_OK; i++) {
		s.word = kinds[i].word;
		r = series_each_name(db, kinds[i].kind, from, now_s + HOUR_S, (FORESIGHT_SCOPES_MAX - 1) / 3, add_scope,
				     &s);
	}
	return r < 0 ? r : (int)s.n;
}

#define PARTS_MAX 64
#define WEEKS 4

static int64_t usual_of(const struct series_part *now, struct series_part past[WEEKS][PARTS_MAX], const size_t *n)
{
	int64_t v[WEEKS] = {0};

	for (size_t w = 0; w < WEEKS; w++)
		for (size_t i = 0; i < n[w]; i++)
			if (past[w][i].key == now->key && past[w][i].model == now->model &&
			    past[w][i].user == now->user)
				v[w] = past[w][i].nanousd;
	for (size_t i = 1; i < WEEKS; i++)
		for (size_t k = i; k > 0 && v[k] < v[k - 1]; k--) {
			int64_t swap = v[k];

			v[k] = v[k - 1];
			v[k - 1] = swap;
		}
	return v[1] / 2 + v[2] / 2;
}

static int part_texts(struct sqlite3 *db, const struct anomaly_part *a, struct foresight_part *p)
{
	int r = series_name_text(db, a->key, p->key, sizeof p->key);

	if (r == BUR_OK)
		r = series_name_text(db, a->model, p->model, sizeof p->model);
	if (r == BUR_OK)
		r = series_name_text(db, a->user, p->user, sizeof p->user);
	p->spent_nanousd = a->spent_nanousd;
	p->usual_nanousd = a->usual_nanousd;
	return r;
}

int foresight_parts(struct sqlite3 *db, struct series_scope scope, int64_t hour_s,
		    struct foresight_part ret[ANOMALY_TOP], size_t *ret_n)
{
	struct series_part now[PARTS_MAX], past[WEEKS][PARTS_MAX];
	struct anomaly_part parts[PARTS_MAX], top[ANOMALY_TOP];
	size_t n, n_past[WEEKS] = {0};
	int r = series_parts(db, scope, hour_s, now, PARTS_MAX, &n);

	*ret_n = 0;
	for (int w = 0; w < WEEKS && r == BUR_OK && hour_s > (w + 1) * 7 * DAY_S; w++)
		r = series_parts(db, scope, hour_s - (w + 1) * 7 * DAY_S, past[w], PARTS_MAX, &n_past[w]);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		parts[i] = (struct anomaly_part){.key = (uint32_t)now[i].key,
						 .model = (uint32_t)now[i].model,
						 .user = (uint32_t)now[i].user,
						 .spent_nanousd = now[i].nanousd,
						 .usual_nanousd = usual_of(&now[i], past, n_past)};
	n = anomaly_top(parts, n, top);
	for (size_t i = 0; i < n && r == BUR_OK; i++)
		r = part_texts(db, &top[i], &ret[i]);
	*ret_n = r == BUR_OK ? n : 0;
	return r;
}
