#include "app/watch.h"

#include <jansson.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/foresight.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "policy/budget_window.h"
#include "policy/engine_meter.h"
#include "policy/engine_page.h"
#include "store/note.h"
#include "store/store.h"

#define PAGE 64
#define WORK_NS (5 * NS_PER_MS) /* in one tick */
#define COUNTERS_MAX (2 * WATCH_BUDGETS_MAX)
#define SCOPES_KEPT (2 * FORESIGHT_SCOPES_MAX)
#define BURN_KIND "budget.burn_rate"
#define FORECAST_KIND "forecast.over"

struct counter {
	uint64_t uid;
	unsigned firing;
	int64_t since_s[BURN_ROWS];
	int64_t over_win_start; /* the window for which forecast.over was told; -1: none */
	uint64_t seen;          /* round */
};
struct scope {
	struct series_scope scope;
	struct anomaly_state state;
	int64_t shift_day_s; /* told */
	uint64_t seen;
};
struct watch {
	struct store *store;
	struct engine *engine;
	sqlite3 *reader;
	int64_t next_ns; /* monotonic */
	uint64_t round;
	int64_t now_s;
	bool running;
	size_t at_counter; /* of the engine */
	bool listed;
	double least;             /* need of the least of the views, when there is no more room */
	struct meter_view *views; /* of this round; WATCH_BUDGETS_MAX */
	size_t n_views, at_view;
	struct foresight_scope *scopes; /* FORESIGHT_SCOPES_MAX */
	size_t n_scopes, at_scope;
	struct counter counters[COUNTERS_MAX];
	size_t n_counters;
	struct scope kept[SCOPES_KEPT];
	size_t n_kept;
};

struct watch *watch_new(struct store *store, struct engine *engine)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->store = store;
	w->engine = engine;
	w->scopes = calloc(FORESIGHT_SCOPES_MAX, sizeof(*w->scopes));
	w->views = calloc(WATCH_BUDGETS_MAX, sizeof(*w->views));
	if (w->scopes && w->views && store_reader(store, &w->reader) == BUR_OK)
		return w;
	watch_free(w);
	return NULL;
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	(void)sqlite3_close(w->reader);
	free(w->views);
	free(w->scopes);
	free(w);
}

/* --- telling ------------------------------------------------------------------------------------------------------ */

static double usd(int64_t nanousd)
{
	return (double)nanousd / 1e9;
}

/* Takes payload over. true: it is on disk, now or since before. */
static bool tell(struct watch *w, struct note *n, const char *message, json_t *payload)
{
	char *text;
	int r;

	if (payload)
		(void)json_object_set_new(payload, "message", json_string(message));
	text = payload ? json_dumps(payload, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
	json_decref(payload);
	if (!text)
		return false;
	n->payload = slice_of(text);
	n->at_ns = w->now_s * NS_PER_S;
	r = store_note(w->store, n);
	free(text);
	if (r == BUR_OK)
		log_msg(n->state == NOTE_BEGAN ? LOG_WARN : LOG_INFO, n->kind, "%s", message);
	else if (r != BUR_ALREADY)
		log_limited(LOG_ERROR, "watch.note", "%s could not be noted: %s", n->kind, bur_strerror(r));
	return r == BUR_OK || r == BUR_ALREADY;
}

/* Name and scope of a counter, as the object of notes. */
static struct slice object_of(const struct meter_view *v, char dst[600])
{
	int n = snprintf(dst, 600, "%s%s%s", v->budget->name, v->scope[0] ? " " : "", v->scope);

	return slice_mem(dst, n < 0 ? 0 : n < 600 ? (size_t)n : 599);
}

/* --- budgets ------------------------------------------------------------------------------------------------------ */

/* What every event about a budget says. Takes `more` over; NULL: no memory. */
static json_t *budget_payload(const struct meter_view *v, json_t *more)
{
	bool endless = budget_is_rolling(v->budget) || v->budget->window.kind == WINDOW_TOTAL;
	json_t *o =
	    json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:I}", "budget", v->budget->name, "scope", v->scope, "posted",
		      (json_int_t)v->posted, "held", (json_int_t)v->held, "limit", (json_int_t)v->limit, "win_start",
		      (json_int_t)(endless ? 0 : v->win_start), "win_end", (json_int_t)(endless ? 0 : v->win_end));

	if (!more || json_object_update(o, more) < 0) {
		json_decref(o);
		o = NULL;
	}
	json_decref(more);
	return o;
}

/* What was told before this program began. */
static void recall(struct watch *w, struct counter *c, const struct meter_view *v)
{
	char text[600];
	struct slice object = object_of(v, text);

	for (int i = 0; i < BURN_ROWS; i++)
		if (note_open(w->reader, BURN_KIND, object, i, &c->since_s[i]) == BUR_OK)
			c->firing |= 1U << i;
	if (note_open(w->reader, FORECAST_KIND, object, 0, &c->over_win_start) != BUR_OK)
		c->over_win_start = -1;
}

static struct counter *counter_of(struct watch *w, const struct meter_view *v)
{
	struct counter *oldest = NULL, *c;

	for (size_t i = 0; i < w->n_counters; i++) {
		c = &w->counters[i];
		if (c->uid == v->uid) {
			c->seen = w->round;
			return c;
		}
		if (!oldest || c->seen < oldest->seen)
			oldest = c;
	}
	/* What makes room is known again from the notes when it comes back. */
	c = w->n_counters < COUNTERS_MAX ? &w->counters[w->n_counters++] : oldest;
	*c = (struct counter){.uid = v->uid, .seen = w->round, .over_win_start = -1};
	recall(w, c, v);
	return c;
}

static void tell_burn(struct watch *w, struct counter *c, const struct meter_view *v, const struct foresight *f, int i,
		      bool began)
{
	static const char *const actions[] = {[BURN_TICKET] = "ticket", [BURN_PAGE] = "page", [BURN_TRIP] = "trip"};
	static const char *const severities[] = {
	    [BURN_TICKET] = "warning", [BURN_PAGE] = "error", [BURN_TRIP] = "critical"};
	const struct burn_figures *b = &f->burn.row[i];
	const struct burn_row *row = &burn_default_rows[i];
	char text[600], message[1024];
	struct note n = {.kind = BURN_KIND, .object = object_of(v, text), .part = i};

	n.state = began ? NOTE_BEGAN : NOTE_ENDED;
	n.since_s = began ? w->now_s : c->since_s[i];
	if (began)
		(void)snprintf(message, sizeof(message),
			       "budget %.*s is spent %.1f times as fast as planned: %.2f USD in %lld minutes",
			       (int)n.object.n, n.object.p,
			       b->long_burn_milli == INT64_MAX ? 1e9 : (double)b->long_burn_milli / 1e3,
			       usd(b->long_nanousd), (long long)(b->long_s / 60));
	else
		(void)snprintf(message, sizeof(message), "budget %.*s: the fast spending (%s) is over", (int)n.object.n,
			       n.object.p, row->name);
	if (!tell(w, &n, message,
		  budget_payload(v, json_pack("{s:s,s:s,s:s,s:I,s:o}", "row", row->name, "action", actions[row->action],
					      "severity", severities[row->action], "since", (json_int_t)n.since_s,
					      "figures", foresight_budget_json(v, f)))))
		return; /* tried again at the next round */
	c->firing ^= 1U << i;
	c->since_s[i] = n.since_s;
}

static void tell_forecast(struct watch *w, struct counter *c, const struct meter_view *v, const struct foresight *f)
{
	char text[600], message[1024];
	struct note n = {.kind = FORECAST_KIND, .object = object_of(v, text), .since_s = f->win_start_s};

	if (c->over_win_start == f->win_start_s)
		return;
	n.state = NOTE_BEGAN;
	(void)snprintf(message, sizeof(message),
		       "budget %.*s will probably end at %.2f USD (80 %% between %.2f and %.2f), its limit is %.2f USD",
		       (int)n.object.n, n.object.p, usd(f->forecast.p50_nanousd), usd(f->forecast.p10_nanousd),
		       usd(f->forecast.p90_nanousd), usd(f->limit_nanousd));
	if (tell(w, &n, message, budget_payload(v, json_pack("{s:o}", "figures", foresight_budget_json(v, f)))))
		c->over_win_start = f->win_start_s;
}

static void look_at_budget(struct watch *w, const struct meter_view *v)
{
	struct counter *c = counter_of(w, v);
	struct foresight f;
	int r;

	if (v->posted == 0 && c->firing == 0)
		return;
	r = foresight_budget(w->reader, v, w->now_s, c->firing, &f);
	if (r < 0) {
		log_limited(LOG_ERROR, "watch.read", "cannot look ahead: %s", bur_strerror(r));
		return;
	}
	for (int i = 0; i < BURN_ROWS; i++)
		if ((f.burn.began | f.burn.ended) & 1U << i)
			tell_burn(w, c, v, &f, i, f.burn.began & 1U << i);
	if (f.has_forecast && f.over)
		tell_forecast(w, c, v, &f);
}

/* --- scopes ------------------------------------------------------------------------------------------------------- */

static struct scope *scope_of(struct watch *w, struct series_scope scope)
{
	struct scope *oldest = NULL, *s;

	for (size_t i = 0; i < w->n_kept; i++) {
		s = &w->kept[i];
		if (s->scope.kind == scope.kind && s->scope.id == scope.id) {
			s->seen = w->round;
			return s;
		}
		if (!oldest || s->seen < oldest->seen)
			oldest = s;
	}
	s = w->n_kept < SCOPES_KEPT ? &w->kept[w->n_kept++] : oldest;
	*s = (struct scope){.scope = scope, .seen = w->round, .shift_day_s = -1};
	return s;
}

/* "team:blue" is the team blue; "everything" has no name. */
static void put_object(json_t *payload, const struct foresight_scope *s)
{
	const char *colon = strchr(s->object, ':');

	(void)json_object_set_new(payload, "object", json_string(colon ? colon + 1 : s->object));
	(void)json_object_set_new(payload, "object_kind",
				  colon ? json_stringn(s->object, (size_t)(colon - s->object)) : json_string("global"));
}

static void tell_hour(struct watch *w, const struct foresight_scope *s, const struct foresight_anomaly *a)
{
	struct note n = {.kind = FORESIGHT_ANOMALY,
			 .object = slice_of(s->object),
			 .since_s = a->hour_s,
			 .part = a->hour.level,
			 .state = NOTE_BEGAN};
	json_t *payload = foresight_hour_json(s, a);
	char message[600];

	if (payload) {
		put_object(payload, s);
		(void)json_object_set_new(payload, "severity", json_string(a->hour.level >= 2 ? "error" : "warning"));
		(void)json_object_set_new(payload, "most_increased",
					  foresight_parts_json(w->reader, s->scope, a->hour_s));
	}
	(void)snprintf(message, sizeof(message), "%s: %.2f USD in this hour so far, usually %.2f USD in a whole one",
		       s->object, usd(a->hour.spent_nanousd), usd(a->hour.baseline.median_nanousd));
	(void)tell(w, &n, message, payload);
}

static void tell_shift(struct watch *w, struct scope *kept, const struct foresight_scope *s,
		       const struct foresight_anomaly *a)
{
	struct note n = {.kind = FORESIGHT_ANOMALY,
			 .object = slice_of(s->object),
			 .since_s = a->day_s,
			 .part = FORESIGHT_PART_SHIFT,
			 .state = NOTE_BEGAN};
	char message[600];
	json_t *payload;

	if (kept->shift_day_s == a->day_s)
		return;
	(void)snprintf(message, sizeof(message), "%s: the last days cost %.2f USD a day more than usual", s->object,
		       usd(a->shift.ewma_nanousd));
	payload = foresight_shift_json(s, a);
	if (payload)
		put_object(payload, s);
	if (tell(w, &n, message, payload))
		kept->shift_day_s = a->day_s;
}

static void look_at_scope(struct watch *w, const struct foresight_scope *s)
{
	struct scope *kept = scope_of(w, s->scope);
	struct foresight_anomaly a;
	int r = foresight_anomaly(w->reader, s, &kept->state, w->now_s, &a);

	if (r < 0) {
		log_limited(LOG_ERROR, "watch.read", "cannot look for anomalies: %s", bur_strerror(r));
		return;
	}
	if (a.hour.began && a.hour.level > 0)
		tell_hour(w, s, &a);
	if (a.shift.over)
		tell_shift(w, kept, s, &a);
}

/* --- rounds ------------------------------------------------------------------------------------------------------- */

/* Whole budgets first, then those of which most is used. */
static double need_of(const struct meter_view *v)
{
	double used = v->limit > 0 ? (double)v->posted / (double)v->limit : 0;

	return v->scope[0] ? used : 1e18;
}

/* Of all counters those that need it most; they are looked through a page at a time. */
static void keep(struct watch *w, const struct meter_view *v)
{
	size_t least = 0;

	if (w->n_views < WATCH_BUDGETS_MAX) {
		w->views[w->n_views++] = *v;
		return;
	}
	if (need_of(v) <= w->least)
		return;
	for (size_t i = 1; i < w->n_views; i++)
		if (need_of(&w->views[i]) < need_of(&w->views[least]))
			least = i;
	w->least = need_of(&w->views[least]);
	if (need_of(v) > w->least)
		w->views[least] = *v;
}

static bool take_page(struct watch *w)
{
	uint64_t uids[PAGE];
	struct meter_view v;
	size_t n = engine_uids(w->engine, w->at_counter, uids, PAGE);

	for (size_t i = 0; i < n; i++)
		if (engine_meter_view(w->engine, uids[i], w->now_s, &v) == BUR_OK && v.budget->unit == UNIT_USD)
			keep(w, &v);
	w->at_counter += n;
	return n > 0;
}

static void begin_round(struct watch *w)
{
	int scopes;

	w->running = true;
	w->now_s = engine_time_s(w->engine, clock_wall_ns(), clock_mono_ns());
	w->round++;
	scopes = foresight_scopes(w->reader, w->now_s, w->scopes);
	w->n_scopes = scopes > 0 ? (size_t)scopes : 0;
	w->n_views = w->at_counter = w->at_view = w->at_scope = 0;
	w->listed = false;
	w->least = -1;
}

/* One thing to look at; false: the round is over. */
static bool step(struct watch *w)
{
	if (!w->listed)
		w->listed = !take_page(w);
	else if (w->at_view < w->n_views)
		look_at_budget(w, &w->views[w->at_view++]);
	else if (w->at_scope < w->n_scopes)
		look_at_scope(w, &w->scopes[w->at_scope++]);
	else
		return false;
	return true;
}

void watch_tick(struct watch *w)
{
	int64_t now = clock_mono_ns(), until = now + WORK_NS;

	if (!w || (!w->running && now < w->next_ns))
		return;
	if (!w->running) {
		w->next_ns = now + WATCH_INTERVAL_S * NS_PER_S;
		begin_round(w);
	}
	while (w->running && clock_mono_ns() < until)
		w->running = step(w);
}
