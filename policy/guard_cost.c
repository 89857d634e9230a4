/* guard_cost.c - the cost breakers: one for each counter whose budget has one. */
#include <stdio.h>
#include <stdlib.h>

#include "policy/guard_internal.h"

#define HOUR_S 3600
#define DAY_S INT64_C(86400)
#define IDLE_S 3600     /* a closed breaker that nobody asked for so long may make room */
#define HAND_LOOKS 64   /* places looked at for one that may */
#define NO_GENERATION 0 /* of an admission that the breaker did not make: it never has this number, see place_init */

static struct slice key_of(const uint64_t *uid)
{
	return slice_mem(uid, sizeof(*uid));
}

static void name_of(const struct guard_counter *c, char dst[GUARD_NAME_MAX])
{
	(void)snprintf(dst, GUARD_NAME_MAX, "%s%s%s", c->budget->name, c->scope[0] ? ":" : "", c->scope);
}

static bool is_shadow(const struct cost_place *p)
{
	return p->counter.budget->mode == MODE_SHADOW;
}

static void tell(struct guard *g, const struct cost_place *p, const struct breaker_event *change,
		 const struct guard_hand *hand)
{
	struct guard_event e = {.kind = GUARD_COST,
				.uid = p->counter.uid,
				.change = *change,
				.opened_by = p->breaker.opened_by,
				.latched = p->breaker.latched,
				.changed_s = p->breaker.changed_s,
				.shadow = is_shadow(p),
				.would_refuse = is_shadow(p) ? (int64_t)p->refused : 0};

	if (change->cause == BREAKER_NO_CHANGE)
		return;
	name_of(&p->counter, e.name);
	guard_set_hand(&e, hand);
	guard_tell(g, &e);
}

/* --- places ------------------------------------------------------------------------------------------------------- */

/* People say how much in the window; at least a nano-dollar, for 0 is off. */
static int64_t per_hour(int64_t nanousd, int64_t window_s)
{
	__int128 v = (__int128)nanousd * HOUR_S / window_s;

	if (nanousd <= 0)
		return 0;
	return v < 1 ? 1 : v > INT64_MAX ? INT64_MAX : (int64_t)v;
}

static struct breaker_cost_config config_of(const struct budget *b)
{
	struct breaker_cost_config c = breaker_cost_defaults(b->unit == UNIT_USD ? b->limit : 0);
	const struct budget_breaker *w = &b->breaker;

	c.max_request_nanousd = w->max_request_nanousd;
	if (w->velocity_window_s > 0)
		c.velocity_window_s = w->velocity_window_s;
	c.velocity_nanousd_per_hour = per_hour(w->velocity_nanousd, c.velocity_window_s);
	c.trip_on_burn = w->trip_on_burn;
	c.trip_on_anomaly = w->trip_on_anomaly;
	c.latch = w->latch;
	if (w->cool_down_s > 0)
		c.cool_down_s = w->cool_down_s;
	if (w->probe_nanousd > 0)
		c.probe_budget_nanousd = w->probe_nanousd;
	return c;
}

/* The usual length of the budget's window; 0: it never resets. */
static int64_t window_of(const struct budget *b)
{
	static const int64_t of_kind[] = {
	    [WINDOW_HOUR] = HOUR_S,      [WINDOW_DAY] = DAY_S,          [WINDOW_WEEK] = 7 * DAY_S,
	    [WINDOW_MONTH] = 30 * DAY_S, [WINDOW_QUARTER] = 91 * DAY_S, [WINDOW_YEAR] = 365 * DAY_S};

	if (b->rolling_s > 0)
		return b->rolling_s;
	return (size_t)b->window.kind < ARRAY_LEN(of_kind) ? of_kind[b->window.kind] : 0;
}

static int place_init(struct cost_place *p, const struct guard_counter *c)
{
	int64_t window_s = c->budget->unit == UNIT_USD ? window_of(c->budget) : 0;

	*p = (struct cost_place){.counter = *c, .config = config_of(c->budget)};
	breaker_cost_init(&p->breaker, &p->config);
	p->breaker.generation = NO_GENERATION + 1;
	if (window_s > 0) {
		p->burn = malloc(sizeof(*p->burn));
		if (!p->burn)
			return BUR_NOMEM;
		burn_init(p->burn, burn_default_rows, window_s);
	}
	if (c->budget->unit == UNIT_USD && p->config.trip_on_anomaly) {
		p->hours = calloc(1, sizeof(*p->hours));
		if (!p->hours)
			return BUR_NOMEM;
	}
	return BUR_OK;
}

static void place_done(struct cost_place *p)
{
	free(p->burn);
	free(p->hours);
	*p = (struct cost_place){0};
}

/* A place whose breaker says nothing and has no open calls. NULL: none was found in a few looks. */
static struct cost_place *idle_place(struct guard *g, int64_t now_s)
{
	for (size_t i = 0; i < HAND_LOOKS && g->n_cost > 0; i++) {
		struct cost_place *p = g->cost[g->cost_hand++ % g->n_cost];

		if (p->breaker.state == BREAKER_CLOSED && p->open == 0 && now_s - p->used_s > IDLE_S)
			return p;
	}
	return NULL;
}

/* NULL: not known. */
static struct cost_place *place_of(struct guard *g, uint64_t uid, size_t *ret)
{
	size_t i = (size_t)(uintptr_t)map_get(g->cost_by_uid, key_of(&uid));

	if (i == 0)
		return NULL;
	if (ret)
		*ret = i - 1;
	return g->cost[i - 1];
}

/* Places keep their number: those of a map's values are found by it. */
static int place_new(struct guard *g, const struct guard_counter *c, int64_t now_s, size_t *ret)
{
	struct cost_place *p = NULL;
	size_t i = g->n_cost;
	int r;

	if (i < g->config.max_cost) {
		p = calloc(1, sizeof(*p));
		if (!p)
			return BUR_NOMEM;
	} else {
		p = idle_place(g, now_s);
		if (!p)
			return BUR_FULL;
		i = (g->cost_hand - 1) % g->n_cost;
		if (place_of(g, p->counter.uid, NULL) == p)
			(void)map_remove(g->cost_by_uid, key_of(&p->counter.uid));
		place_done(p);
	}
	r = place_init(p, c);
	if (r == BUR_OK)
		r = map_put(g->cost_by_uid, key_of(&c->uid), (void *)(uintptr_t)(i + 1));
	if (i == g->n_cost && r < 0) {
		place_done(p);
		free(p);
	} else if (i == g->n_cost) {
		g->cost[g->n_cost++] = p;
	}
	*ret = i;
	return r;
}

static int place_get(struct guard *g, const struct guard_counter *c, int64_t now_s, size_t *ret)
{
	if (LIKELY(place_of(g, c->uid, ret) != NULL))
		return BUR_OK;
	return place_new(g, c, now_s, ret);
}

void guard_cost_done(struct guard *g)
{
	for (size_t i = 0; g->cost && i < g->n_cost; i++) {
		place_done(g->cost[i]);
		free(g->cost[i]);
	}
	free(g->cost);
	map_free(g->cost_by_uid, NULL);
}

int guard_cost_open(struct guard *g, const struct guard_counter *c)
{
	size_t i;
	int r;

	guard_lock(&g->cost_lock);
	r = place_get(g, c, 0, &i);
	guard_unlock(&g->cost_lock);
	return r;
}

/* --- hours -------------------------------------------------------------------------------------------------------- */

static void hours_push(struct hour_series *h, int64_t spent, bool excluded)
{
	if (h->n == ANOMALY_HOURS_MAX) {
		memmove(h->hours, h->hours + 1, (h->n - 1) * sizeof(h->hours[0]));
		memmove(h->excluded, h->excluded + 1, (h->n - 1) * sizeof(h->excluded[0]));
		h->n--;
	}
	h->hours[h->n] = spent;
	h->excluded[h->n++] = excluded;
}

/* The present hour goes on to the one of now; a scope begins with its first spend. */
static void hours_roll(struct hour_series *h, int64_t now_s)
{
	int64_t hour_s = now_s - now_s % HOUR_S;

	if (h->hour_s == 0)
		h->hour_s = hour_s;
	for (int left = ANOMALY_HOURS_MAX + 1; h->hour_s < hour_s && left > 0; left--) {
		if (h->n > 0 || h->spent != 0)
			hours_push(h, h->spent, h->flagged);
		h->spent = 0;
		h->flagged = false;
		h->hour_s += HOUR_S;
	}
	if (h->hour_s < hour_s)
		h->hour_s = hour_s; /* longer ago than anything is remembered */
}

static int64_t add_saturated(int64_t a, int64_t b)
{
	int64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return b > 0 ? INT64_MAX : INT64_MIN;
	return sum;
}

static void place_spent(struct cost_place *p, int64_t nanousd, int64_t now_s)
{
	if (nanousd == 0)
		return;
	if (p->burn)
		burn_add(p->burn, now_s, nanousd);
	if (p->hours) {
		hours_roll(p->hours, now_s);
		p->hours->spent = add_saturated(p->hours->spent, nanousd);
	}
}

static struct anomaly_series series_of(const struct hour_series *h, size_t n, int64_t hour_s)
{
	return (struct anomaly_series){.hours = h->hours, .excluded = h->excluded, .n = n, .hour_s = hour_s};
}

/* Was this whole hour unlike its kin before it? */
static bool was_anomaly(const struct hour_series *h, size_t i, int64_t hour_s)
{
	struct anomaly_series series = series_of(h, i, hour_s);
	struct anomaly_state state = {0};
	struct anomaly_baseline base;
	struct anomaly a;

	anomaly_baseline(&series, &base);
	anomaly_evaluate(&base, &state, hour_s, h->hours[i], hour_s + HOUR_S, &a);
	return a.z_milli >= ANOMALY_Z1_MILLI;
}

void guard_cost_hours(struct guard *g, uint64_t uid, int64_t hour_s, const int64_t *hours, size_t n, int64_t this_hour)
{
	struct cost_place *p;

	guard_lock(&g->cost_lock);
	p = place_of(g, uid, NULL);
	if (p && p->hours) {
		struct hour_series *h = p->hours;

		*h = (struct hour_series){.hour_s = hour_s, .spent = this_hour};
		for (size_t i = n > ANOMALY_HOURS_MAX ? n - ANOMALY_HOURS_MAX : 0; i < n; i++)
			hours_push(h, hours[i], false);
		for (size_t i = 0; i < h->n; i++)
			h->excluded[i] = was_anomaly(h, i, hour_s - (int64_t)(h->n - i) * HOUR_S);
	}
	guard_unlock(&g->cost_lock);
}

void guard_cost_past(struct guard *g, uint64_t uid, int64_t first_s, int64_t step_s, const int64_t *nanousd, size_t n)
{
	struct cost_place *p;

	guard_lock(&g->cost_lock);
	p = place_of(g, uid, NULL);
	for (size_t i = 0; p && p->burn && i < n; i++)
		if (nanousd[i] != 0)
			burn_add(p->burn, first_s + (int64_t)i * step_s, nanousd[i]);
	guard_unlock(&g->cost_lock);
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

static void fill_refusal(const struct cost_place *p, enum breaker_refusal why, int64_t worst, struct guard_refusal *ret)
{
	*ret =
	    (struct guard_refusal){.why = why,
				   .budget = p->counter.budget,
				   .scope = p->counter.scope,
				   .state = p->breaker.state,
				   .cause = p->breaker.opened_by,
				   .latched = p->breaker.latched,
				   .changed_s = p->breaker.changed_s,
				   .until_s = p->breaker.until_s,
				   .worst_nanousd = worst,
				   .max_nanousd = why == BREAKER_REFUSED_SINGLE_CALL ? p->config.max_request_nanousd
										     : p->config.probe_budget_nanousd};
}

static int admit_one(struct guard *g, size_t i, int64_t worst, int64_t now_s, struct breaker_cost_hold *ret,
		     struct guard_refusal *ret_why)
{
	struct cost_place *p = g->cost[i];
	struct breaker_event change;
	enum breaker_refusal why = breaker_cost_admit(&p->breaker, &p->config, worst, now_s, ret, &change);

	p->used_s = now_s;
	if (why != BREAKER_ADMITTED) {
		p->refused++;
		p->refused_nanousd = add_saturated(p->refused_nanousd, worst);
	}
	tell(g, p, &change, NULL);
	if (why != BREAKER_ADMITTED && !is_shadow(p)) {
		fill_refusal(p, why, worst, ret_why);
		return BUR_DENIED;
	}
	if (why != BREAKER_ADMITTED)
		*ret = (struct breaker_cost_hold){.generation = NO_GENERATION};
	p->open++;
	p->admitted++;
	return BUR_OK;
}

static void settle_all(struct guard *g, struct guard_admission *a, int64_t actual, int64_t now_s)
{
	struct breaker_event change;

	for (size_t i = 0; i < a->n; i++) {
		struct cost_place *p = g->cost[a->at[i].place];

		CHECK(p->open > 0);
		p->open--;
		breaker_cost_settle(&p->breaker, &p->config, &a->at[i].hold, actual, now_s, &change);
		place_spent(p, actual, now_s);
		tell(g, p, &change, NULL);
	}
	a->n = 0;
}

int guard_cost_admit(struct guard *g, const struct guard_counter *c, size_t n, int64_t worst, int64_t now_s,
		     struct guard_admission *ret, struct guard_refusal *ret_why)
{
	int r = BUR_OK;

	CHECK(n <= MATCH_MAX);
	ret->n = 0;
	guard_lock(&g->cost_lock);
	for (size_t i = 0; i < n && r == BUR_OK; i++) {
		size_t place = 0;

		r = place_get(g, &c[i], now_s, &place);
		if (r < 0 && c[i].budget->mode == MODE_SHADOW) {
			r = BUR_OK;
			continue;
		}
		if (r < 0)
			break;
		r = admit_one(g, place, worst, now_s, &ret->at[ret->n].hold, ret_why);
		ret->at[ret->n].place = (uint32_t)place;
		ret->n += r == BUR_OK;
	}
	for (size_t i = 0; r < 0 && i < ret->n; i++)
		g->cost[ret->at[i].place]->admitted--;
	if (r < 0)
		settle_all(g, ret, 0, now_s);
	guard_unlock(&g->cost_lock);
	return r == BUR_NOMEM ? BUR_FULL : r;
}

void guard_cost_settle(struct guard *g, struct guard_admission *a, int64_t actual, int64_t now_s)
{
	if (a->n == 0)
		return;
	guard_lock(&g->cost_lock);
	settle_all(g, a, actual, now_s);
	guard_unlock(&g->cost_lock);
}

void guard_cost_spent(struct guard *g, uint64_t uid, int64_t nanousd, int64_t now_s)
{
	struct cost_place *p;

	guard_lock(&g->cost_lock);
	p = place_of(g, uid, NULL);
	if (p && p->counter.budget->unit == UNIT_USD)
		place_spent(p, nanousd, now_s);
	guard_unlock(&g->cost_lock);
}

/* --- every minute ------------------------------------------------------------------------------------------------- */

struct plan {
	bool known;
	int64_t limit, start, end;
};

static void find_signals(struct cost_place *p, const struct plan *plan, int64_t now_s, struct breaker_signals *sig)
{
	struct burn_plan b = {.limit_nanousd = plan->limit,
			      .win_start_s = plan->start,
			      .win_end_s = plan->end,
			      .min_alert_nanousd = BURN_MIN_ALERT_NANOUSD};
	struct burn_report report;
	struct anomaly a;

	if (p->burn && plan->known) {
		burn_evaluate(p->burn, &b, now_s, &report);
		sig->fast_burn = report.row[BURN_FAST].over;
		sig->burn_1h_milli = report.row[BURN_FAST].long_burn_milli;
		sig->burn_5m_milli = report.row[BURN_FAST].short_burn_milli;
		p->burn_1h_milli = sig->burn_1h_milli;
	}
	if (p->hours) {
		struct anomaly_series series;
		struct anomaly_baseline base;

		hours_roll(p->hours, now_s);
		series = series_of(p->hours, p->hours->n, p->hours->hour_s);
		anomaly_baseline(&series, &base);
		anomaly_evaluate(&base, &p->hours->state, p->hours->hour_s, p->hours->spent, now_s, &a);
		p->hours->flagged |= a.level > 0;
		sig->anomaly_level = a.level;
	}
}

static void tick_one(struct guard *g, size_t i, const struct plan *plan, uint64_t uid, int64_t now_s)
{
	struct breaker_signals sig = {0};
	struct breaker_event change;
	struct cost_place *p;

	guard_lock(&g->cost_lock);
	p = g->cost[i];
	if (p->counter.uid == uid) {
		find_signals(p, plan, now_s, &sig);
		breaker_cost_tick(&p->breaker, &p->config, &sig, now_s, &change);
		tell(g, p, &change, NULL);
	}
	guard_unlock(&g->cost_lock);
}

void guard_cost_tick(struct guard *g, int64_t now_s, guard_plan_f *plan, void *ctx)
{
	size_t n = guard_cost_len(g);

	for (size_t i = 0; i < n; i++) {
		struct plan at = {0};
		uint64_t uid;

		guard_lock(&g->cost_lock);
		uid = g->cost[i]->counter.uid;
		guard_unlock(&g->cost_lock);
		at.known = plan(ctx, uid, now_s, &at.limit, &at.start, &at.end);
		tick_one(g, i, &at, uid, now_s);
	}
}

/* --- people ------------------------------------------------------------------------------------------------------- */

size_t guard_cost_len(struct guard *g)
{
	size_t n;

	guard_lock(&g->cost_lock);
	n = g->n_cost;
	guard_unlock(&g->cost_lock);
	return n;
}

static void fill_view(const struct cost_place *p, struct guard_cost_view *v)
{
	const struct breaker_cost *b = &p->breaker;

	*v = (struct guard_cost_view){.uid = p->counter.uid,
				      .budget = p->counter.budget,
				      .state = b->state,
				      .opened_by = b->opened_by,
				      .latched = b->latched,
				      .changed_s = b->changed_s,
				      .until_s = b->until_s,
				      .probe_nanousd = p->config.probe_budget_nanousd,
				      .probe_held_nanousd = b->probe_held,
				      .probe_spent_nanousd = b->probe_spent,
				      .burn_1h_milli = p->burn_1h_milli,
				      .burn_5m_milli = b->burn_5m_milli,
				      .anomaly_level = b->anomaly_level,
				      .admitted = p->admitted,
				      .refused = p->refused,
				      .refused_nanousd = p->refused_nanousd,
				      .open_calls = p->open};
	name_of(&p->counter, v->name);
}

bool guard_cost_at(struct guard *g, size_t i, struct guard_cost_view *ret)
{
	bool there;

	guard_lock(&g->cost_lock);
	there = i < g->n_cost;
	if (there)
		fill_view(g->cost[i], ret);
	guard_unlock(&g->cost_lock);
	return there;
}

int guard_cost_force(struct guard *g, struct slice name, enum breaker_state to, bool stay,
		     const struct guard_hand *hand, int64_t now_s)
{
	char text[GUARD_NAME_MAX];
	struct breaker_event change;
	int r = BUR_NOTFOUND;

	guard_lock(&g->cost_lock);
	for (size_t i = 0; i < g->n_cost && r == BUR_NOTFOUND; i++) {
		struct cost_place *p = g->cost[i];

		name_of(&p->counter, text);
		if (!slice_eq(slice_of(text), name))
			continue;
		breaker_cost_force(&p->breaker, &p->config, to, stay, now_s, &change);
		tell(g, p, &change, hand);
		r = BUR_OK;
	}
	guard_unlock(&g->cost_lock);
	return r;
}

int guard_cost_restore(struct guard *g, uint64_t uid, enum breaker_state state, enum breaker_cause opened_by,
		       bool latched, int64_t changed_s)
{
	struct cost_place *p;

	guard_lock(&g->cost_lock);
	p = place_of(g, uid, NULL);
	if (p) {
		breaker_cost_restore(&p->breaker, &p->config, state, opened_by, latched, changed_s);
		p->breaker.generation = NO_GENERATION + 1;
	}
	guard_unlock(&g->cost_lock);
	return p ? BUR_OK : BUR_NOTFOUND;
}
