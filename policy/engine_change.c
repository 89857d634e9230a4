#include "policy/engine_internal.h"

#include <stdlib.h>

/* --- corrections -------------------------------------------------------------------------------------------------- */

int engine_post(struct engine *e, uint64_t uid, int64_t win_start, int64_t delta)
{
	struct meter *m = engine_table_by_uid(e, uid);
	struct instance *in;
	int r = BUR_NOTFOUND;

	if (!m)
		return r;
	engine_lock(e);
	in = engine_window_instance(m, win_start);
	if (in)
		r = engine_window_post(m, in, win_start, delta);
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

/* Is what began then still counted at now_s? */
static bool window_counts(const struct entry *entry, int64_t win_start, int64_t now_s)
{
	int64_t start, end;

	budget_window_at(entry->budget, now_s, &start, &end);
	if (entry->bucket_s == 0)
		return win_start == start;
	return win_start >= 0 && win_start < end &&
	       start - win_start / entry->bucket_s * entry->bucket_s < RING_SIZE * entry->bucket_s;
}

static int restore_locked(struct engine *e, struct meter *m, int64_t win_start, int64_t posted, int64_t credit,
			  uint32_t warned_mask, int64_t now_s)
{
	struct instance *in;
	int r = engine_window_roll(e, m, engine_window_now(e, now_s));

	if (r < 0)
		return r;
	in = engine_window_instance(m, win_start);
	if (in != &m->now)
		return BUR_NOTFOUND; /* the engine's time is later than the caller's */
	r = engine_window_post(m, in, win_start, posted);
	if (r < 0)
		return r;
	r = engine_window_credit(m, in, win_start, credit);
	if (r < 0)
		CHECK(engine_window_post(m, in, win_start, -posted) == BUR_OK);
	else
		(void)engine_window_warned(m, in, win_start, warned_mask);
	return r;
}

int engine_restore(struct engine *e, struct slice budget_name, struct slice scope, int64_t win_start, int64_t win_end,
		   int64_t posted, int64_t credit, uint32_t warned_mask, int64_t now_s)
{
	struct entry *entry;
	uint32_t meter;
	int r;

	CHECK(e->magic == ENGINE_MAGIC);
	if (posted < 0)
		return BUR_INVALID;
	entry = engine_table_entry(e, budget_name);
	if (!entry || win_end <= now_s || !scope_fits(entry->budget, scope))
		return BUR_NOTFOUND;
	if (!window_counts(entry, win_start, now_s))
		return BUR_NOTFOUND; /* before a meter is spent on it */
	r = engine_table_get(e, entry, scope, &meter);
	if (r < 0)
		return r;
	engine_lock(e);
	r = restore_locked(e, meter_at(e, meter), win_start, posted, credit, warned_mask, now_s);
	engine_unlock(e);
	return r;
}

/* --- by hand ------------------------------------------------------------------------------------------------------ */

/* The counter of that name and scope, made when it is new. */
static int counter_get(struct engine *e, struct slice budget_name, struct slice scope, struct meter **ret)
{
	struct entry *entry;
	uint32_t meter;
	int r;

	CHECK(e->magic == ENGINE_MAGIC);
	entry = engine_table_entry(e, budget_name);
	if (!entry || !scope_fits(entry->budget, scope))
		return BUR_NOTFOUND;
	r = engine_table_get(e, entry, scope, &meter);
	if (r == BUR_OK)
		*ret = meter_at(e, meter);
	return r;
}

static struct engine_change change_at(const struct meter *m, const struct instance *in, int64_t before)
{
	return (struct engine_change){.uid = m->uid,
				      .win_start = in->win_start,
				      .win_end = engine_window_end(m, in),
				      .before = before,
				      .after = before};
}

int engine_set_limit(struct engine *e, struct slice budget_name, int64_t limit, struct engine_change *ret)
{
	struct entry *entry;

	CHECK(e->magic == ENGINE_MAGIC);
	if (limit <= 0)
		return BUR_INVALID;
	entry = engine_table_entry(e, budget_name);
	if (!entry)
		return BUR_NOTFOUND;
	engine_lock(e);
	*ret = (struct engine_change){.before = entry->limit, .after = limit};
	engine_limit_set(entry, limit);
	engine_unlock(e);
	return BUR_OK;
}

static bool ends_with_its_window(const struct meter *m, const struct instance *in, const struct engine_credit *c)
{
	return !c->carry_over && c->expires_s >= engine_window_end(m, in);
}

/* `node` is taken when the credit needs one, and then NULL. */
static int credit_locked(struct engine *e, struct meter *m, const struct engine_credit *c, int64_t now_s,
			 struct credit **node, struct engine_change *ret)
{
	struct instance *in;
	int64_t sum;
	int r;

	now_s = engine_window_now(e, now_s);
	r = engine_window_roll(e, m, now_s);
	if (r < 0)
		return r;
	if (c->expires_s <= now_s)
		return BUR_INVALID;
	in = &m->now;
	*ret = change_at(m, in, in->credit);
	if (ends_with_its_window(m, in, c)) {
		r = engine_window_credit(m, in, in->win_start, c->amount);
	} else {
		r = m->n_credits < CREDITS_MAX ? amount_add(in->credit, c->amount, &sum) : BUR_FULL;
		if (r == BUR_OK) {
			in->credit = sum;
			engine_credit_put(m, *node);
			*node = NULL;
		}
	}
	ret->after = in->credit;
	return r;
}

int engine_credit(struct engine *e, struct slice budget_name, struct slice scope, const struct engine_credit *c,
		  int64_t now_s, struct engine_change *ret)
{
	struct credit *node, *dead;
	struct meter *m;
	int r = counter_get(e, budget_name, scope, &m);

	if (r < 0)
		return r;
	if (c->amount <= 0 || (c->carry_over && m->ring))
		return BUR_INVALID;
	node = malloc(sizeof(*node));
	if (!node)
		return BUR_NOMEM;
	*node = (struct credit){.left = c->amount, .expires_s = c->expires_s, .carry_over = c->carry_over};
	engine_lock(e);
	r = credit_locked(e, m, c, now_s, &node, ret);
	dead = e->dead_credits;
	e->dead_credits = NULL;
	engine_unlock(e);
	engine_credit_free(dead);
	free(node);
	return r;
}

int engine_adjust(struct engine *e, struct slice budget_name, struct slice scope, int64_t delta, int64_t now_s,
		  struct engine_change *ret)
{
	struct instance *in;
	struct meter *m;
	int r = counter_get(e, budget_name, scope, &m);

	if (r < 0)
		return r;
	engine_lock(e);
	r = engine_window_roll(e, m, engine_window_now(e, now_s));
	if (r == BUR_OK) {
		in = &m->now;
		*ret = change_at(m, in, in->posted);
		r = engine_window_post(m, in, in->win_start, delta);
		ret->after = in->posted;
	}
	engine_unlock(e);
	return r;
}
