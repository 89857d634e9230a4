#include "app/reset.h"

#include <jansson.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "policy/budget_window.h"
#include "policy/engine_meter.h"
#include "policy/engine_tell.h"
#include "proxy/threshold.h"
#include "store/alerts.h"
#include "store/crossing.h"
#include "store/store.h"

#define LOOK_NS (1000 * NS_PER_MS)
#define WORK_NS (5 * NS_PER_MS) /* in one tick */
#define EVENTS_READ 256
#define LOCKED 16      /* counters looked at under one lock: a microsecond or two */
#define PAGES 128      /* of those in one tick: 10,000 counters a second */
#define ENDS_MAX 256   /* in one transaction */
#define MARK_STEP 1000 /* events after which it is noted how far all is ended */
#define HYSTERESIS_PPM 10000
#define PPM 1000000
#define TABLE_MIN 1024

/* A window instance in which some step was told. */
struct window {
	uint64_t uid;
	int64_t start_s, end_s;    /* end 0: it slides or never ends */
	int64_t row_start_s;       /* of the event's row; of a rolling one the bucket */
	int64_t first_id, last_id; /* 0: this place of the table is free */
	int64_t lowest_ppm;
	int64_t limit, credit, most_posted; /* as they were told, and the most since */
};

struct reset {
	struct store *store;
	struct engine *engine;
	const struct budget_set *set;
	sqlite3 *reader;
	int64_t seen_id, marked_id; /* events read; how far when it was last noted which have their ends */
	bool caught_up, full;
	struct window *table; /* open addressing by uid and start */
	size_t n, mask;
	int64_t next_ns, now_s;
	size_t at;         /* of the table */
	size_t at_counter; /* of the engine */
	/* of one look */
	struct crossing_end ends[ENDS_MAX];
	struct window of[ENDS_MAX]; /* what they are about */
	char *payloads[ENDS_MAX];
	size_t n_ends;
};

/* --- the table ---------------------------------------------------------------------------------------------------- */

static size_t place_of(const struct reset *rs, uint64_t uid, int64_t start_s)
{
	return (size_t)((uid ^ (uint64_t)start_s * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xff51afd7ed558ccd) >> 20) &
	       rs->mask;
}

static struct window *find(struct reset *rs, uint64_t uid, int64_t start_s)
{
	size_t i = place_of(rs, uid, start_s);

	while (rs->table[i].last_id != 0 && (rs->table[i].uid != uid || rs->table[i].start_s != start_s))
		i = (i + 1) & rs->mask;
	return &rs->table[i];
}

/* What was pushed aside by it moves up. */
static void drop(struct reset *rs, struct window *w)
{
	size_t hole = (size_t)(w - rs->table), i = hole;

	for (;;) {
		i = (i + 1) & rs->mask;
		if (rs->table[i].last_id == 0)
			break;
		if (((i - place_of(rs, rs->table[i].uid, rs->table[i].start_s)) & rs->mask) >=
		    ((i - hole) & rs->mask)) {
			rs->table[hole] = rs->table[i];
			hole = i;
		}
	}
	rs->table[hole] = (struct window){0};
	rs->n--;
}

static int grow(struct reset *rs, size_t size)
{
	struct window *old = rs->table, *table = calloc(size, sizeof(*table));
	size_t n = old ? rs->mask + 1 : 0;

	if (!table)
		return BUR_NOMEM;
	rs->table = table;
	rs->mask = size - 1;
	for (size_t i = 0; i < n; i++)
		if (old[i].last_id != 0)
			*find(rs, old[i].uid, old[i].start_s) = old[i];
	free(old);
	return BUR_OK;
}

/* --- what was told ------------------------------------------------------------------------------------------------ */

static int64_t int_of(const json_t *o, const char *name)
{
	return json_integer_value(json_object_get(o, name));
}

static void put(struct reset *rs, const struct event_row *row, const json_t *o)
{
	struct window *w = find(rs, (uint64_t)row->uid, int_of(o, "win_start"));
	int64_t at_ppm = int_of(o, "at_ppm");

	if (w->last_id == 0) {
		if (rs->n == RESET_WINDOWS_MAX) {
			if (!rs->full)
				log_msg(LOG_ERROR, "reset.full",
					"more than %d windows of budgets were told of: the ends of others are not",
					RESET_WINDOWS_MAX);
			rs->full = true;
			return;
		}
		*w = (struct window){.uid = (uint64_t)row->uid,
				     .start_s = int_of(o, "win_start"),
				     .first_id = row->id,
				     .lowest_ppm = at_ppm};
		rs->n++;
	}
	w->last_id = row->id;
	w->row_start_s = row->since;
	w->end_s = int_of(o, "win_end");
	w->lowest_ppm = at_ppm < w->lowest_ppm ? at_ppm : w->lowest_ppm;
	w->limit = int_of(o, "limit");
	w->credit = int_of(o, "credit");
	w->most_posted = int_of(o, "posted");
}

static int take_event(void *ctx, const struct event_row *row)
{
	static const char *const begins[] = {"budget.threshold", "budget.blocked", "budget.throttled",
					     "budget.degraded"};
	struct reset *rs = ctx;
	bool ends = slice_eq(row->kind, SLICE("budget.reset")) || slice_eq(row->kind, SLICE("budget.recovered"));
	bool known = ends;
	json_t *o;

	rs->seen_id = row->id;
	for (size_t i = 0; i < ARRAY_LEN(begins) && !known; i++)
		known = slice_eq(row->kind, slice_of(begins[i]));
	if (!known)
		return BUR_OK;
	if (!ends && 2 * (rs->n + 1) > rs->mask && grow(rs, 2 * (rs->mask + 1)) < 0)
		return BUR_NOMEM;
	o = json_loadb(row->payload.p ? row->payload.p : "", row->payload.n, 0, NULL);
	if (ends) {
		struct window *w = find(rs, (uint64_t)row->uid, int_of(o, "win_start"));

		if (w->last_id != 0)
			drop(rs, w);
	} else if (json_is_object(o)) {
		put(rs, row, o);
	}
	json_decref(o);
	return BUR_OK;
}

/* BUR_OK: more may be there. BUR_NOTFOUND: all is read. */
static int take_events(struct reset *rs)
{
	int64_t before = rs->seen_id;
	int r = alerts_each_event(rs->reader, before, EVENTS_READ, take_event, rs);

	if (r < 0) {
		log_limited(LOG_ERROR, "reset.read", "cannot read what was told: %s", bur_strerror(r));
		return r;
	}
	return rs->seen_id == before ? BUR_NOTFOUND : BUR_OK;
}

/* --- telling ends ------------------------------------------------------------------------------------------------- */

static void amount(enum amount_unit unit, int64_t v, char dst[AMOUNT_TEXT_MAX + 16])
{
	char usd[AMOUNT_TEXT_MAX];

	if (unit == UNIT_USD)
		(void)snprintf(dst, AMOUNT_TEXT_MAX + 16, "%s USD", amount_format_usd(v, usd));
	else
		(void)snprintf(dst, AMOUNT_TEXT_MAX + 16, "%lld %s", (long long)v,
			       unit == UNIT_TOKENS ? "tokens" : "requests");
}

struct spent {
	const struct budget *budget; /* NULL: it is not configured any more */
	const char *name, *scope;
	int64_t posted, held, limit, credit;
};

static char *payload_of(const struct window *w, const struct spent *s, const char *message)
{
	json_t *o = json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I}", "message", message, "budget", s->name, "scope",
			      s->scope, "win_start", (json_int_t)w->start_s, "win_end", (json_int_t)w->end_s, "posted",
			      (json_int_t)s->posted, "held", (json_int_t)s->held, "limit", (json_int_t)s->limit,
			      "credit", (json_int_t)s->credit);
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	json_decref(o);
	return text;
}

/* The names of a counter stand in the event that was told. */
struct names {
	char budget[300], scope[SCOPE_SIZE];
};

static int take_names(void *ctx, const struct event_row *row)
{
	struct names *n = ctx;
	json_t *o = json_loadb(row->payload.p ? row->payload.p : "", row->payload.n, 0, NULL);
	const char *budget = json_string_value(json_object_get(o, "budget"));
	const char *scope = json_string_value(json_object_get(o, "scope"));

	(void)snprintf(n->budget, sizeof(n->budget), "%s", budget ? budget : "");
	(void)snprintf(n->scope, sizeof(n->scope), "%s", scope ? scope : "");
	json_decref(o);
	return BUR_OK;
}

/* Takes the payload over. */
static void put_end(struct reset *rs, const struct window *w, const char *kind, uint32_t steps, bool rolling,
		    char *payload)
{
	struct crossing_end *e = &rs->ends[rs->n_ends];

	*e = (struct crossing_end){.uid = w->uid,
				   .win_start = w->row_start_s,
				   .rolling = rolling,
				   .steps = steps,
				   .kind = kind,
				   .after = kind && strcmp(kind, "budget.reset") == 0 ? w->last_id : 0,
				   .at_ns = clock_wall_ns(),
				   .payload = payload ? slice_of(payload) : SLICE_NONE};
	rs->of[rs->n_ends] = *w;
	rs->payloads[rs->n_ends++] = payload;
}

/* The window is over, by time or because it was configured anew. */
static void end_window(struct reset *rs, const struct window *w)
{
	struct spent s = {.limit = w->limit, .credit = w->credit};
	char message[1024], spent[AMOUNT_TEXT_MAX + 16], limit[AMOUNT_TEXT_MAX + 16], *payload;
	struct names names = {"", ""};

	if (engine_meter_of(rs->engine, w->uid, &s.budget, &s.scope) == BUR_OK) {
		s.name = s.budget->name;
	} else {
		if (alerts_each_event(rs->reader, w->last_id - 1, 1, take_names, &names) < 0)
			return; /* tried again, as below */
		s.name = names.budget;
		s.scope = names.scope;
	}
	if (crossing_posted(rs->reader, w->uid, w->row_start_s, &s.posted) < 0)
		return;
	amount(s.budget ? s.budget->unit : UNIT_USD, s.posted, spent);
	amount(s.budget ? s.budget->unit : UNIT_USD, s.limit, limit);
	if (s.budget)
		(void)snprintf(message, sizeof(message),
			       "Budget %s%s%s begins anew: %s of %s were spent in the window that is over (%s)", s.name,
			       s.scope[0] ? " " : "", s.scope, spent, limit, s.budget->window_name);
	else
		(void)snprintf(message, sizeof(message), "Budget %s%s%s is not counted any more", s.name,
			       s.scope[0] ? " " : "", s.scope);
	payload = payload_of(w, &s, message);
	if (payload)
		put_end(rs, w, "budget.reset", 0, false, payload);
}

static bool is_below(const struct meter_view *v, int64_t ppm)
{
	__int128 used = (__int128)v->posted + v->held;

	return used == 0 || used * PPM < (__int128)(ppm - HYSTERESIS_PPM) * v->limit;
}

/* Refusals end where the first block step says, or at the limit; credit is on top of it. */
static bool has_room(const struct meter_view *v, int64_t ppm)
{
	__int128 used = (__int128)v->posted + v->held;
	int64_t most_ppm = ppm < PPM ? ppm : PPM;

	return (used - v->credit) * PPM < (__int128)(most_ppm - HYSTERESIS_PPM) * v->limit;
}

/* The steps that were told and are not reached now; *ret_block: those of them that refused. */
static uint32_t steps_below(const struct meter_view *v, uint32_t *ret_block)
{
	const struct budget *b = v->budget;
	uint32_t below = 0;

	*ret_block = 0;
	for (size_t i = 0; i < b->n_steps; i++) {
		uint32_t bit = v->warned_mask & UINT32_C(1) << i;
		bool block = b->steps[i].action == STEP_BLOCK;

		if (bit == 0 || !(block ? has_room(v, b->steps[i].at_ppm) : is_below(v, b->steps[i].at_ppm)))
			continue;
		below |= bit;
		*ret_block |= block ? bit : 0;
	}
	if ((v->warned_mask >> TELL_LIMIT & 1) != 0 && has_room(v, PPM)) {
		below |= UINT32_C(1) << TELL_LIMIT;
		*ret_block |= UINT32_C(1) << TELL_LIMIT;
	}
	return below;
}

static void recover(struct reset *rs, const struct window *w, const struct meter_view *v, uint32_t steps, bool tell)
{
	const struct spent s = {.budget = v->budget,
				.name = v->budget->name,
				.scope = v->scope,
				.posted = v->posted,
				.held = v->held,
				.limit = v->limit,
				.credit = v->credit};
	char message[1024], spent[AMOUNT_TEXT_MAX + 16], limit[AMOUNT_TEXT_MAX + 16], *payload = NULL;
	int64_t most = v->limit > INT64_MAX - v->credit ? INT64_MAX : v->limit + v->credit;

	if (tell) {
		amount(v->budget->unit, v->posted, spent);
		amount(v->budget->unit, most, limit);
		(void)snprintf(message, sizeof(message), "Budget %s%s%s has room again: %s of %s are spent", s.name,
			       s.scope[0] ? " " : "", s.scope, spent, limit);
		payload = payload_of(w, &s, message);
		if (!payload)
			return;
	}
	put_end(rs, w, tell ? "budget.recovered" : NULL, steps, budget_is_rolling(v->budget), payload);
}

/* Calls come and go, and their holds with them: that alone ends nothing. */
static void look_at_use(struct reset *rs, struct window *w, const struct meter_view *v)
{
	bool rolling = budget_is_rolling(v->budget), raised = v->limit > w->limit || v->credit > w->credit;
	bool fell = v->posted < w->most_posted, below = is_below(v, w->lowest_ppm);
	uint32_t blocks, steps = steps_below(v, &blocks);

	w->most_posted = v->posted > w->most_posted ? v->posted : w->most_posted;
	if (!raised && !fell)
		return;
	if (below && (steps & v->warned_mask) == v->warned_mask)
		recover(rs, w, v, steps, true);
	else if (blocks != 0 && (raised || !rolling))
		recover(rs, w, v, steps, true);
	else if (steps != 0 && (raised || !rolling))
		recover(rs, w, v, steps, false);
}

static void look(struct reset *rs, struct window *w)
{
	struct meter_view v;
	bool known = engine_meter_view(rs->engine, w->uid, rs->now_s, &v) == BUR_OK;
	bool endless = w->end_s == 0, over = !endless && w->end_s <= rs->now_s;

	if (!known && !over) {
		/* Not used since the start; or of a budget that is no more. */
		struct names names = {"", ""};

		if (alerts_each_event(rs->reader, w->last_id - 1, 1, take_names, &names) < 0)
			return;
		for (size_t i = 0; i < budget_set_len(rs->set) && !over; i++)
			known = known || strcmp(budget_set_at(rs->set, i)->name, names.budget) == 0;
		over = !known;
	} else if (known && !v.closing) {
		bool slides = budget_is_rolling(v.budget) || v.budget->window.kind == WINDOW_TOTAL;

		over = over || endless != slides || (!endless && v.win_start != w->start_s);
		if (!over)
			look_at_use(rs, w, &v);
	}
	if (over)
		end_window(rs, w);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static int64_t mark_of(const struct reset *rs)
{
	int64_t mark = rs->seen_id;

	for (size_t i = 0; i <= rs->mask; i++)
		if (rs->table[i].last_id != 0 && rs->table[i].first_id - 1 < mark)
			mark = rs->table[i].first_id - 1;
	return mark;
}

/* The database first: steps that a call crosses in between are found by the next look at the counter. */
static void ended(struct reset *rs, size_t i)
{
	struct window *w = find(rs, rs->of[i].uid, rs->of[i].start_s);
	struct meter_view v;

	if (rs->ends[i].steps != 0)
		(void)engine_untell(rs->engine, rs->ends[i].uid, rs->ends[i].win_start, rs->ends[i].steps);
	if (w->last_id == 0)
		return;
	if (rs->ends[i].kind) {
		log_msg(LOG_INFO, rs->ends[i].kind, "the window of counter %016llx ended or has room again",
			(unsigned long long)w->uid);
		drop(rs, w);
	} else if (engine_meter_view(rs->engine, w->uid, rs->now_s, &v) == BUR_OK) {
		w->limit = v.limit;
		w->credit = v.credit;
		w->most_posted = v.posted;
	}
}

static void write_ends(struct reset *rs)
{
	int64_t mark;
	int r;

	if (rs->n_ends == 0 && rs->seen_id < rs->marked_id + MARK_STEP)
		return;
	mark = mark_of(rs);
	r = crossings_end(rs->store, rs->ends, rs->n_ends, mark);
	if (r < 0)
		log_limited(LOG_ERROR, "reset.write", "the ends of budgets' windows cannot be stored: %s",
			    bur_strerror(r));
	else
		rs->marked_id = rs->seen_id;
	for (size_t i = 0; i < rs->n_ends; i++) {
		if (r == BUR_OK)
			ended(rs, i);
		free(rs->payloads[i]);
	}
	rs->n_ends = 0;
}

/* A part of the table; false: it was looked through. */
static bool look_on(struct reset *rs, int64_t until_ns)
{
	while (rs->at <= rs->mask && rs->n_ends < ENDS_MAX && clock_mono_ns() < until_ns) {
		struct window *w = &rs->table[rs->at++];

		if (w->last_id != 0)
			look(rs, w);
	}
	write_ends(rs);
	return rs->at <= rs->mask;
}

/* --- thresholds without a call ------------------------------------------------------------------------------------ */

/* BUR_OK, or why what was found could not be written. */
static int tell_due(struct reset *rs, size_t *inout_at, bool *ret_done)
{
	struct engine_event events[EVENTS_MAX];
	struct threshold_event rows[EVENTS_MAX];
	size_t from = *inout_at, n = engine_tell_due(rs->engine, from, LOCKED, rs->now_s, events, inout_at);
	int r;

	*ret_done = *inout_at == from;
	for (size_t i = 0; i < n; i++) {
		threshold_of(&events[i], clock_wall_ns(), &rows[i]);
		log_msg(LOG_WARN, rows[i].kind, "budget %s%s%s has reached %lld %% of its limit", rows[i].budget,
			rows[i].scope[0] ? " " : "", rows[i].scope, (long long)(rows[i].at_ppm / 10000));
	}
	r = crossings_tell(rs->store, rows, n);
	if (r < 0) {
		log_limited(LOG_ERROR, "reset.write", "thresholds cannot be stored: %s", bur_strerror(r));
		for (size_t i = 0; i < n; i++) /* they are found again */
			(void)engine_untell(rs->engine, events[i].uid, events[i].win_start,
					    UINT32_C(1) << events[i].step);
	}
	return r;
}

static void tell_some(struct reset *rs)
{
	bool done = false;

	for (int i = 0; i < PAGES && !done; i++)
		if (tell_due(rs, &rs->at_counter, &done) < 0)
			return;
	if (done)
		rs->at_counter = 0;
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

static void set_time(struct reset *rs)
{
	rs->now_s = engine_time_s(rs->engine, clock_wall_ns(), clock_mono_ns());
}

static int start(struct reset *rs)
{
	bool done = false;
	int r = store_reader(rs->store, &rs->reader);

	if (r == BUR_OK)
		r = grow(rs, TABLE_MIN);
	if (r == BUR_OK)
		r = crossings_mark(rs->reader, &rs->seen_id);
	if (r < 0)
		return r;
	rs->marked_id = rs->seen_id;
	set_time(rs);
	/* A disk that is full is no reason not to start: it is tried again. */
	if (crossings_end(rs->store, NULL, 0, rs->seen_id) < 0)
		rs->marked_id = rs->seen_id - MARK_STEP;
	for (size_t at = 0; !done && tell_due(rs, &at, &done) == BUR_OK;)
		;
	return BUR_OK;
}

struct reset *reset_new(struct store *store, struct engine *engine, const struct budget_set *set)
{
	struct reset *rs = calloc(1, sizeof(*rs));

	if (!rs)
		return NULL;
	rs->store = store;
	rs->engine = engine;
	rs->set = set;
	rs->at = SIZE_MAX;
	if (start(rs) == BUR_OK)
		return rs;
	reset_free(rs);
	return NULL;
}

void reset_free(struct reset *rs)
{
	if (!rs)
		return;
	(void)sqlite3_close(rs->reader);
	free(rs->table);
	free(rs);
}

void reset_tick(struct reset *rs)
{
	int64_t now, until;
	int r = BUR_OK;

	if (!rs)
		return;
	now = clock_mono_ns();
	until = now + WORK_NS;
	while (r == BUR_OK && clock_mono_ns() < until)
		r = take_events(rs);
	rs->caught_up = r == BUR_NOTFOUND;
	if (!rs->caught_up)
		return;
	set_time(rs);
	tell_some(rs);
	if (rs->at <= rs->mask || now >= rs->next_ns) {
		if (rs->at > rs->mask) {
			rs->next_ns = now + LOOK_NS;
			rs->at = 0;
		}
		(void)look_on(rs, until);
	}
}
