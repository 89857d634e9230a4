#include "api/operate.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "api/reply.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "policy/budget_window.h"
#include "policy/engine.h"

int64_t api_now_s(const struct api *api)
{
	return engine_time_s(api->deps.engine, clock_wall_ns(), clock_mono_ns());
}

const struct budget *api_budget(const struct api *api, struct slice name)
{
	const struct budget_set *set = api->deps.budgets;

	for (size_t i = 0; set && i < budget_set_len(set); i++)
		if (slice_eq(name, slice_of(budget_set_at(set, i)->name)))
			return budget_set_at(set, i);
	return NULL;
}

/* --- limits ------------------------------------------------------------------------------------------------------- */

int api_limit_now(struct api *api, const struct budget *b, int64_t *ret)
{
	struct operate_limit l = {.budget = slice_of(b->name), .unit = (int)b->unit, .configured = b->limit};
	struct sqlite3 *db = NULL;
	int r = store_reader(api->deps.store, &db);

	if (r == BUR_OK)
		r = operate_limits_read(db, &l, 1);
	(void)sqlite3_close(db);
	*ret = l.limit;
	return r;
}

int api_set_limit(struct api *api, const struct budget *b, int64_t limit, const struct operation *op,
		  struct operated *ret)
{
	const struct operate_limit l = {
	    .budget = slice_of(b->name), .unit = (int)b->unit, .configured = b->limit, .limit = limit};
	struct engine_change change;
	int64_t in_force;
	int r = operate_limit(api->deps.store, op, &l, ret, &in_force);

	if (r < 0)
		return r;
	r = engine_set_limit(api->deps.engine, l.budget, in_force, &change);
	if (r < 0)
		return r;
	if (change.after < change.before && b->lower_cuts && api->deps.cut_over)
		api->deps.cut_over(api->deps.ctx, b->name);
	if (!ret->repeated)
		log_msg(LOG_INFO, "budget.limit", "%s: limit %s, was %s, by " SLICE_FMT ": " SLICE_FMT, b->name,
			ret->after, ret->before, SLICE_ARG(op->actor), SLICE_ARG(op->reason));
	return BUR_OK;
}

/* --- credits ------------------------------------------------------------------------------------------------------ */

#define VIEWS_MAX 100000

/* The credit in force of one counter. */
static int64_t credit_of(const struct api *api, uint64_t uid, int64_t now_s)
{
	size_t n = engine_snapshot(api->deps.engine, now_s, NULL, 0), room = n < VIEWS_MAX ? n : VIEWS_MAX;
	struct meter_view *views = calloc(room + 1, sizeof(*views));
	int64_t credit = 0;

	if (!views)
		return 0;
	n = engine_snapshot(api->deps.engine, now_s, views, room);
	for (size_t i = 0; i < n && i < room; i++)
		if (views[i].uid == uid && !views[i].closing)
			credit = views[i].credit;
	free(views);
	return credit;
}

/* Credit that ends with its window is a figure of that window; the rest ends or goes on by itself. */
static int grant(struct api *api, const struct operate_credit *c, int64_t now_s)
{
	const struct engine_credit e = {.amount = c->amount, .expires_s = c->expires_s, .carry_over = c->carry_over};
	struct engine_change change;
	int r;

	if (c->carry_over || c->expires_s != OPERATE_NEVER)
		return engine_credit(api->deps.engine, c->budget, c->scope, &e, now_s, &change);
	r = engine_restore(api->deps.engine, c->budget, c->scope, c->win_start, INT64_MAX, 0, c->amount, 0, now_s);
	return r == BUR_NOTFOUND ? BUR_OK : r; /* that window has just ended, and its credit with it */
}

int api_grant_credit(struct api *api, const struct budget *b, const struct api_credit *ask, const struct operation *op,
		     struct operated *ret)
{
	struct operate_credit c = {.budget = slice_of(b->name),
				   .scope = ask->scope,
				   .unit = (int)b->unit,
				   .amount = ask->amount,
				   .expires_s = ask->expires_s,
				   .carry_over = ask->carry_over};
	int64_t now_s = api_now_s(api);
	struct engine_change at;
	int r = engine_adjust(api->deps.engine, c.budget, c.scope, 0, now_s, &at), undone;

	if (r < 0)
		return r;
	if (c.amount <= 0 || c.expires_s <= now_s || (c.carry_over && budget_is_rolling(b)))
		return BUR_INVALID;
	if (!c.carry_over && c.expires_s >= at.win_end)
		c.expires_s = OPERATE_NEVER;
	c.win_start = at.win_start;
	c.before = credit_of(api, at.uid, now_s);
	r = operate_credit(api->deps.store, op, &c, ret);
	if (r < 0 || ret->repeated)
		return r;
	r = grant(api, &c, now_s);
	if (r < 0) {
		undone = operate_credit_undo(api->deps.store, op, &c);
		log_msg(LOG_WARN, "budget.credit", "%s: no room for the credit (%s)%s", b->name, bur_strerror(r),
			undone < 0 ? "; it will be there after a restart" : "; it was taken back");
		return r;
	}
	log_msg(LOG_INFO, "budget.credit", "%s: credit %s, was %s, by " SLICE_FMT ": " SLICE_FMT, b->name, ret->after,
		ret->before, SLICE_ARG(op->actor), SLICE_ARG(op->reason));
	return BUR_OK;
}

/* --- charges ------------------------------------------------------------------------------------------------------ */

int api_charge(struct api *api, const struct budget *b, struct slice scope, int64_t amount, const struct operation *op,
	       struct operated *ret, uint8_t ret_uid[16])
{
	struct operate_charge c = {.budget = slice_of(b->name), .scope = scope, .unit = (int)b->unit, .amount = amount};
	struct engine_change at;
	/* makes the counter when it is new, so that the store can tell it of the charge */
	int r = engine_adjust(api->deps.engine, c.budget, scope, 0, api_now_s(api), &at);

	if (r < 0)
		return r;
	c.meter_uid = at.uid;
	c.win_start = at.win_start;
	r = operate_charge(api->deps.store, op, &c, ret, ret_uid);
	if (r == BUR_OK && !ret->repeated)
		log_msg(LOG_INFO, "budget.charge", "%s: spent %s, was %s, by " SLICE_FMT ": " SLICE_FMT, b->name,
			ret->after, ret->before, SLICE_ARG(op->actor), SLICE_ARG(op->reason));
	return r;
}
