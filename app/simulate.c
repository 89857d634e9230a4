#include "app/simulate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/simulate_impl.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "policy/budget_window.h"

#define PROGRESS_ROWS 16384
#define FLIGHTS_MAX 1000000

/* --- calls under way: a heap by time and number ------------------------------------------------------------------- */

static bool before(const struct sim_flight *a, const struct sim_flight *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->seq < b->seq;
}

static void sift_down(struct sim *s, size_t i)
{
	for (;;) {
		size_t least = i;

		for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < s->n_flights; child++)
			if (before(s->flights[child], s->flights[least]))
				least = child;
		if (least == i)
			return;
		struct sim_flight *f = s->flights[i];

		s->flights[i] = s->flights[least];
		s->flights[least] = f;
		i = least;
	}
}

static void sift_up(struct sim *s, size_t i)
{
	for (size_t up = (i - 1) / 2; i > 0 && before(s->flights[i], s->flights[up]); i = up, up = (i - 1) / 2) {
		struct sim_flight *f = s->flights[i];

		s->flights[i] = s->flights[up];
		s->flights[up] = f;
	}
}

static int make_room(struct sim *s)
{
	size_t cap = s->cap_flights ? 2 * s->cap_flights : 256;
	struct sim_flight **bigger;

	if (s->n_flights < s->cap_flights)
		return BUR_OK;
	if (s->n_flights >= FLIGHTS_MAX) /* so many at once were never running: their settle times are no use */
		return sim_settle_first(s);
	bigger = realloc(s->flights, cap * sizeof(struct sim_flight *));
	if (!bigger)
		return BUR_NOMEM;
	s->flights = bigger;
	s->cap_flights = cap;
	return BUR_OK;
}

int sim_fly(struct sim *s, const struct sim_flight *flight)
{
	struct sim_flight *f;
	int r = make_room(s);

	if (r < 0)
		return r;
	f = malloc(sizeof(*f));
	if (!f)
		return BUR_NOMEM;
	*f = *flight;
	s->flights[s->n_flights++] = f;
	sift_up(s, s->n_flights - 1);
	return BUR_OK;
}

int sim_settle_first(struct sim *s)
{
	struct sim_flight *f = s->flights[0];
	struct settlement done;
	int r;

	s->flights[0] = s->flights[--s->n_flights];
	sift_down(s, 0);
	r = engine_settle(s->engine, &f->hold, &f->actual, &done);
	if (r == BUR_OVERFLOW) { /* the counter is at its end */
		s->not_simulated++;
		r = engine_void(s->engine, &f->hold);
	}
	pacing_give_back(s->pacing, f->claims, f->n_claims, f->actual.nanousd, f->at_ns);
	free(f->claims);
	free(f);
	return r;
}

/* Ends the flights that end by then. */
static int settle_until(struct sim *s, int64_t now_ns)
{
	int r = BUR_OK;

	while (r == BUR_OK && s->n_flights > 0 && s->flights[0]->at_ns <= now_ns)
		r = sim_settle_first(s);
	return r;
}

/* --- what is not decided ------------------------------------------------------------------------------------------ */

struct sim_tally *sim_tally_of(struct sim *s, const struct budget *b)
{
	return &s->budgets[b - budget_set_at(s->set, 0)];
}

static int64_t unit_of(const struct amounts *a, enum amount_unit unit)
{
	return unit == UNIT_USD ? a->nanousd : unit == UNIT_TOKENS ? a->tokens : a->requests;
}

/* Spent before the first day that is simulated, in a window that was open then. */
static int spent_before(struct sim *s, const struct ledger_row *row)
{
	struct amounts used = sim_used(row);
	int r = engine_match(s->engine, &s->facts, &s->match);

	for (size_t i = 0; r == BUR_OK && i < s->match.n; i++) {
		const struct budget *b = NULL;
		const char *scope = NULL;
		struct engine_change ignored;

		engine_meter_name(s->engine, s->match.meter[i], &b, &scope);
		if (unit_of(&used, b->unit) != 0 &&
		    engine_adjust(s->engine, slice_of(b->name), slice_of(scope), unit_of(&used, b->unit),
				  row->ts_admit_ns / NS_PER_S, &ignored) < 0)
			s->not_simulated++;
	}
	return BUR_OK;
}

/* A correction moves the windows of its call, if the call was let in as it was. */
static int correct(struct sim *s, const struct ledger_row *row)
{
	struct amounts used = sim_used(row);
	bool counted = row->ts_settle_ns >= s->ask->from_ns;
	int r;

	if (counted)
		s->spent_nanousd += row->amount_nanousd;
	if (row->has_ref && map_get(s->not_as_was, slice_mem(row->ref_uid, sizeof(row->ref_uid)))) {
		s->later_nanousd += row->amount_nanousd;
		return BUR_OK;
	}
	r = engine_match(s->engine, &s->facts, &s->match);
	for (size_t i = 0; r == BUR_OK && i < s->match.n; i++) {
		const struct budget *b = NULL;
		const char *scope = NULL;
		int64_t start, end;

		engine_meter_name(s->engine, s->match.meter[i], &b, &scope);
		budget_window_at(b, row->ts_admit_ns / NS_PER_S, &start, &end);
		/* BUR_NOTFOUND: a window that is over is no matter any more */
		if (unit_of(&used, b->unit) != 0 && engine_post(s->engine, meter_uid(b->name, slice_of(scope)), start,
								unit_of(&used, b->unit)) == BUR_OVERFLOW)
			s->not_simulated++;
	}
	return BUR_OK;
}

/* --- all rows ----------------------------------------------------------------------------------------------------- */

static int one_row(struct sim *s, const struct ledger_row *row)
{
	int64_t when = row->kind == LEDGER_SPEND ? row->ts_admit_ns : row->ts_settle_ns;
	int r = sim_facts(s, row);

	if (r == BUR_OK)
		r = settle_until(s, when);
	if (r < 0)
		return r;
	if (row->kind != LEDGER_SPEND)
		return correct(s, row);
	if (when < s->ask->from_ns)
		return spent_before(s, row);
	return sim_call(s, row);
}

/* The first instant that counts in any window that is open when the simulation begins. */
static int64_t first_instant_ns(const struct sim *s)
{
	int64_t from_s = s->ask->from_ns / NS_PER_S, first_s = from_s, start, end;

	for (size_t i = 0; i < budget_set_len(s->set); i++) {
		const struct budget *b = budget_set_at(s->set, i);

		budget_window_at(b, budget_is_rolling(b) ? from_s - b->rolling_s : from_s, &start, &end);
		first_s = start < first_s ? start : first_s;
	}
	return first_s <= INT64_MIN / NS_PER_S ? INT64_MIN : first_s * NS_PER_S;
}

static int all_rows(struct sim *s, struct sqlite3 *reader)
{
	int64_t first_ns = first_instant_ns(s);
	struct ledger_row row;
	uint64_t of = 0;
	int r =
	    past_open(reader, first_ns < s->ask->from_ns ? first_ns : s->ask->from_ns, s->ask->to_ns, &s->past, &of);

	while (r == BUR_OK) {
		r = past_next(s->past, &row);
		if (r == BUR_OK)
			r = one_row(s, &row);
		if (r == BUR_OK && ++s->rows % PROGRESS_ROWS == 0 && s->ask->progress)
			s->ask->progress(s->ask->ctx, s->rows, of);
	}
	if (r == BUR_EOF)
		r = settle_until(s, INT64_MAX);
	if (r == BUR_OK) {
		CHECK(engine_open_holds(s->engine) == 0);
		engine_check(s->engine);
	}
	if (r == BUR_OK && s->ask->progress)
		s->ask->progress(s->ask->ctx, s->rows, of);
	return r;
}

/* --- begin and end ------------------------------------------------------------------------------------------------ */

static int begin(struct sim *s, char *reterr, size_t reterr_size)
{
	const struct settings *p = s->ask->settings;
	struct engine_config config = {.max_meters = SIM_METERS_MAX, .deny_without_budget = p->deny_without_budget};
	int r = budget_set_new(p->budgets, p->n_budgets, &s->set, reterr, reterr_size);

	if (r < 0)
		return r;
	s->engine = engine_new(s->set, &config);
	s->pacing = pacing_table_new();
	s->budgets = calloc(p->n_budgets + 1, sizeof(*s->budgets));
	s->not_as_was = map_new(10 * SIM_METERS_MAX);
	s->keys = map_new(SIM_NAMES_MAX + 1);
	s->teams = map_new(SIM_NAMES_MAX + 1);
	s->models = map_new(SIM_NAMES_MAX + 1);
	return s->engine && s->pacing && s->budgets && s->not_as_was && s->keys && s->teams && s->models ? BUR_OK
													 : BUR_NOMEM;
}

static void end(struct sim *s)
{
	for (size_t i = 0; i < s->n_flights; i++) {
		free(s->flights[i]->claims);
		free(s->flights[i]);
	}
	free(s->flights);
	past_close(s->past);
	map_free(s->not_as_was, NULL);
	map_free(s->keys, free);
	map_free(s->teams, free);
	map_free(s->models, free);
	json_decref(s->extra);
	free(s->budgets);
	pacing_table_free(s->pacing);
	engine_free(s->engine);
	budget_set_free(s->set);
	free(s);
}

int simulate(const struct simulate_ask *ask, struct sqlite3 *reader, json_t **ret, char *reterr, size_t reterr_size)
{
	struct sim *s = calloc(1, sizeof(*s));
	int r = BUR_NOMEM;

	if (!s)
		return r;
	s->ask = ask;
	r = begin(s, reterr, reterr_size);
	if (r == BUR_OK)
		r = all_rows(s, reader);
	if (r == BUR_OK) {
		*ret = sim_report(s);
		r = *ret ? BUR_OK : BUR_NOMEM;
	}
	end(s);
	return r;
}
