#include "policy/engine_internal.h"

/* --- corrections -------------------------------------------------------------------------------------------------- */

int engine_post(struct engine *e, uint64_t uid, int64_t win_start, int64_t delta)
{
	struct meter *m = engine_table_by_uid(e, uid);
	struct instance *in;
	int r = BUR_NOTFOUND;
	wide posted;

	if (!m)
		return r;
	engine_lock(e);
	in = engine_window_instance(m, win_start);
	if (in) {
		posted = (wide)in->posted + delta;
		r = posted < 0 || posted + in->held > INT64_MAX ? BUR_OVERFLOW : BUR_OK;
		if (r == BUR_OK)
			in->posted = (int64_t)posted;
	}
	engine_unlock(e);
	return r;
}
/* --- start-up ----------------------------------------------------------------------------------------------------- */

/* Could this scope come from the budget as it is written today? (`per` may have been edited.) */
static bool scope_fits(const struct budget *b, struct slice scope)
{
	char none[SCOPE_SIZE];
	struct facts nothing = {.n_tags = 0};
	size_t n;

	if (b->n_per == 0 || scope.n == 0)
		return b->n_per == 0 && scope.n == 0;
	(void)budget_scope(b, &nothing, none, sizeof(none));
	n = slice_find(slice_of(none), '=');
	return scope.n < SCOPE_SIZE && slice_starts(scope, (struct slice){none, n + 1});
}

static int restore_locked(struct engine *e, struct meter *m, int64_t win_start, int64_t posted, int64_t credit,
			  uint32_t warned_mask, int64_t now_s)
{
	int64_t new_posted, new_credit, used;
	struct instance *in;
	int r = engine_window_roll(m, engine_window_now(e, now_s));

	if (r < 0)
		return r;
	in = meter_current(m);
	if (in->win_start != win_start)
		return BUR_NOTFOUND;
	r = amount_add(in->posted, posted, &new_posted);
	if (r == BUR_OK)
		r = amount_add(new_posted, in->held, &used);
	if (r == BUR_OK)
		r = amount_add(in->credit, credit, &new_credit);
	if (r < 0)
		return r;
	in->posted = new_posted;
	in->credit = new_credit;
	in->warned_mask |= warned_mask;
	return BUR_OK;
}

int engine_restore(struct engine *e, struct slice budget_name, struct slice scope, int64_t win_start, int64_t win_end,
		   int64_t posted, int64_t credit, uint32_t warned_mask, int64_t now_s)
{
	struct entry *entry;
	int64_t start, end;
	uint32_t meter;
	int r;

	CHECK(e->magic == ENGINE_MAGIC);
	if (posted < 0)
		return BUR_INVALID;
	entry = engine_table_entry(e, budget_name);
	if (!entry || win_end <= now_s || !scope_fits(entry->budget, scope))
		return BUR_NOTFOUND;
	window_at(&entry->budget->window, now_s, &start, &end);
	if (start != win_start)
		return BUR_NOTFOUND; /* before a meter is spent on it */
	r = engine_table_get(e, entry, scope, &meter);
	if (r < 0)
		return r;
	engine_lock(e);
	r = restore_locked(e, meter_at(e, meter), win_start, posted, credit, warned_mask, now_s);
	engine_unlock(e);
	return r;
}
