#include "app/restore.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/amount.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "policy/budget_window.h"

#define CREDITS_BYTES_MAX ((size_t)256 * 1024 * 1024)

/* --- limits ------------------------------------------------------------------------------------------------------- */

static struct operate_limit *limits_of(const struct budget_set *set)
{
	size_t n = budget_set_len(set);
	struct operate_limit *list = calloc(n + 1, sizeof(*list));

	for (size_t i = 0; list && i < n; i++) {
		const struct budget *b = budget_set_at(set, i);

		list[i] = (struct operate_limit){
		    .budget = slice_of(b->name), .unit = (int)b->unit, .configured = b->limit, .limit = b->limit};
	}
	return list;
}

static int use_limits(struct engine *engine, const struct operate_limit *list, size_t n)
{
	struct engine_change change;
	int r = BUR_OK;

	for (size_t i = 0; i < n && r == BUR_OK; i++)
		r = engine_set_limit(engine, list[i].budget, list[i].limit, &change);
	return r;
}

static void tell_edit(void *ctx, const struct operate_limit *l, int64_t before, int64_t by_hand)
{
	char was[AMOUNT_TEXT_MAX], now[AMOUNT_TEXT_MAX], hand[AMOUNT_TEXT_MAX];

	(void)ctx;
	if (l->unit == UNIT_USD) {
		(void)amount_format_usd(before, was);
		(void)amount_format_usd(l->configured, now);
		(void)amount_format_usd(by_hand, hand);
	} else {
		(void)snprintf(was, sizeof(was), "%lld", (long long)before);
		(void)snprintf(now, sizeof(now), "%lld", (long long)l->configured);
		(void)snprintf(hand, sizeof(hand), "%lld", (long long)by_hand);
	}
	if (by_hand > 0)
		log_msg(LOG_WARN, "budget.limit",
			SLICE_FMT ": its limit was set to %s by hand, but the configuration was edited since (%s to "
				  "%s): %s holds",
			SLICE_ARG(l->budget), hand, was, now, now);
	else
		log_msg(LOG_INFO, "budget.limit", SLICE_FMT ": limit %s, was %s: the configuration was edited",
			SLICE_ARG(l->budget), now, was);
}

/* --- credits: reading --------------------------------------------------------------------------------------------- */

struct credit {
	struct operate_credit c;
	bool changed;
};
struct credits {
	struct arena arena;
	struct credit *list;
	size_t n, cap;
};

static int take_credit(void *ctx, const struct operate_credit *c)
{
	struct credits *all = ctx;
	struct credit *to;

	if (all->n == all->cap) {
		size_t cap = all->cap ? all->cap * 2 : 64;
		struct credit *list = realloc(all->list, cap * sizeof(*list));

		if (!list)
			return BUR_NOMEM;
		all->list = list;
		all->cap = cap;
	}
	to = &all->list[all->n];
	*to = (struct credit){.c = *c};
	to->c.budget = arena_dup(&all->arena, c->budget);
	to->c.scope = arena_dup(&all->arena, c->scope);
	if (!to->c.budget.p || !to->c.scope.p)
		return BUR_NOMEM;
	all->n++;
	return BUR_OK;
}

/* --- credits: what is left ---------------------------------------------------------------------------------------- */

/* The credits of one counter, ascending by expiry. */
struct group {
	struct sqlite3 *db;
	struct engine *engine;
	const struct budget *budget;
	struct credit *list;
	size_t n;
	int64_t now_s, win_start, limit_now;
};

static bool ends_with_window(const struct operate_credit *c)
{
	return !c->carry_over && c->expires_s == OPERATE_NEVER;
}

/* Can it be used in the window that began then? Credits of one window only are used in that one. */
static bool is_live(const struct operate_credit *c, int64_t win_start)
{
	if (c->amount == 0)
		return false;
	return c->carry_over ? c->win_start <= win_start && c->expires_s > win_start : c->win_start == win_start;
}

static int64_t clamp(__int128 v, int64_t max)
{
	return v < 0 ? 0 : v > max ? max : (int64_t)v;
}

static int64_t ns_of(int64_t s)
{
	return s > INT64_MAX / NS_PER_S ? INT64_MAX : s * NS_PER_S;
}

static int limit_at(const struct group *g, int64_t s, int64_t *ret)
{
	return operate_limit_at(g->db, slice_of(g->budget->name), ns_of(s), g->limit_now, ret);
}

/* How much of the credits that expire or are carried over had been used, given what was spent at that instant: the
 * limit is used first, then what ends with the window and what stays of expired credits (`stays`), then the rest. The
 * i-th is the first that is not yet over. */
static __int128 used_at(const struct group *g, size_t i, int64_t win_start, int64_t at_s, int64_t limit, int64_t posted,
			int64_t stays)
{
	__int128 lasting = (__int128)limit + stays, rest = 0, used;

	for (size_t k = 0; k < g->n; k++) {
		const struct operate_credit *c = &g->list[k].c;

		if (!is_live(c, win_start) || c->granted_ns > ns_of(at_s))
			continue;
		if (ends_with_window(c))
			lasting += c->amount;
		else if (k >= i)
			rest += c->amount;
	}
	used = posted - lasting;
	return used > rest ? rest : used;
}

/* As the engine does it: what was used of each credit when it ended in the window, the soonest first. used[i] stays 0
 * for those that go on after until_s; *ret_next is the first of them. */
static int use_expired(const struct group *g, int64_t win_start, int64_t until_s, int64_t *used, int64_t *ret_stays,
		       size_t *ret_next)
{
	uint64_t uid = meter_uid(g->budget->name, g->list[0].c.scope);
	int64_t limit, posted;
	size_t i = 0;
	int r = BUR_OK;

	*ret_stays = 0;
	for (; i < g->n && g->list[i].c.expires_s <= until_s && r == BUR_OK; i++) {
		const struct operate_credit *c = &g->list[i].c;

		used[i] = 0;
		if (!is_live(c, win_start))
			continue;
		r = limit_at(g, c->expires_s, &limit);
		if (r == BUR_OK)
			r = operate_spent_before(g->db, uid, win_start, ns_of(c->expires_s), &posted);
		if (r < 0)
			break;
		used[i] = clamp(used_at(g, i, win_start, c->expires_s, limit, posted, *ret_stays), c->amount);
		*ret_stays += used[i];
	}
	*ret_next = i;
	return r;
}

/* A window that is over takes from what is carried over. */
static int use_window(struct group *g, int64_t win_start, int64_t end_s, int64_t posted, int64_t *used)
{
	int64_t limit, stays;
	__int128 want;
	size_t i;
	int r = use_expired(g, win_start, end_s, used, &stays, &i);

	if (r == BUR_OK)
		r = limit_at(g, end_s, &limit);
	if (r < 0)
		return r;
	want = used_at(g, i, win_start, end_s, limit, posted, stays);
	for (; i < g->n; i++) {
		struct operate_credit *c = &g->list[i].c;
		int64_t taken;

		if (!is_live(c, win_start) || ends_with_window(c))
			continue;
		taken = clamp(want, c->amount);
		want -= taken;
		c->amount -= taken;
		g->list[i].changed |= taken > 0;
	}
	return BUR_OK;
}

static int past_window(void *ctx, int64_t win_start, int64_t posted)
{
	struct group *g = ctx;
	int64_t start, end, *used;
	int r;

	budget_window_at(g->budget, win_start, &start, &end);
	if (start != win_start)
		return BUR_OK; /* of another time zone or kind: the budget was edited */
	used = calloc(g->n, sizeof(*used));
	if (!used)
		return BUR_NOMEM;
	r = use_window(g, win_start, end, posted, used);
	free(used);
	return r;
}

/* Windows that are over have taken their part. */
static int use_past(struct group *g)
{
	int64_t from = g->win_start;
	int r;

	for (size_t i = 0; i < g->n; i++)
		if (g->list[i].c.carry_over && g->list[i].c.win_start < from)
			from = g->list[i].c.win_start;
	r = operate_each_spent(g->db, meter_uid(g->budget->name, g->list[0].c.scope), from, g->win_start, past_window,
			       g);
	for (size_t i = 0; i < g->n && r == BUR_OK; i++) {
		struct operate_credit *c = &g->list[i].c;
		bool over = c->win_start < g->win_start && (!c->carry_over || c->expires_s <= g->win_start);

		if (over)
			c->amount = 0;
		else if (c->carry_over && c->win_start < g->win_start)
			c->win_start = g->win_start;
		else
			continue;
		g->list[i].changed = true;
	}
	return r;
}

/* --- credits: granting -------------------------------------------------------------------------------------------- */

/* Less to spend than was promised is no reason not to start. */
static int granted(const struct operate_credit *c, int r)
{
	if (r == BUR_OK || r == BUR_NOTFOUND || r == BUR_NOMEM)
		return r;
	log_msg(LOG_ERROR, "budget.credit", SLICE_FMT ": credit %lld cannot be granted again: %s", SLICE_ARG(c->budget),
		(long long)c->id, bur_strerror(r));
	return BUR_OK;
}

/* BUR_NOTFOUND: it counts no more. */
static int grant_figure(const struct group *g, const struct operate_credit *c, int64_t amount)
{
	if (amount == 0)
		return BUR_OK;
	return granted(c,
		       engine_restore(g->engine, c->budget, c->scope, c->win_start, INT64_MAX, 0, amount, 0, g->now_s));
}

static int grant_expiring(const struct group *g, const struct operate_credit *c)
{
	const struct engine_credit e = {.amount = c->amount, .expires_s = c->expires_s, .carry_over = c->carry_over};
	struct engine_change change;

	return granted(c, engine_credit(g->engine, c->budget, c->scope, &e, g->now_s, &change));
}

/* In the window that is open; what expired in it keeps what was used of it. */
static int grant_window(struct group *g)
{
	int64_t stays, *used = calloc(g->n, sizeof(*used));
	size_t next;
	int r = BUR_NOMEM;

	if (!used)
		return r;
	r = use_expired(g, g->win_start, g->now_s, used, &stays, &next);
	for (size_t i = 0; i < g->n && r == BUR_OK; i++) {
		const struct operate_credit *c = &g->list[i].c;

		if (!is_live(c, g->win_start))
			continue;
		if (ends_with_window(c))
			r = grant_figure(g, c, c->amount);
		else
			r = i >= next ? grant_expiring(g, c) : grant_figure(g, c, used[i]);
		r = r == BUR_NOTFOUND ? BUR_OK : r;
	}
	free(used);
	return r;
}

/* A rolling window forgets what was used of what expires, and buckets leave by themselves. */
static int grant_rolling(struct group *g)
{
	int r = BUR_OK;

	for (size_t i = 0; i < g->n && r == BUR_OK; i++) {
		struct operate_credit *c = &g->list[i].c;

		if (ends_with_window(c))
			r = grant_figure(g, c, c->amount);
		else
			r = c->expires_s > g->now_s ? grant_expiring(g, c) : BUR_NOTFOUND;
		if (r != BUR_NOTFOUND)
			continue;
		c->amount = 0;
		g->list[i].changed = true;
		r = BUR_OK;
	}
	return r;
}

static int by_expiry(const void *a, const void *b)
{
	const struct credit *x = a, *y = b;

	if (x->c.expires_s != y->c.expires_s)
		return x->c.expires_s < y->c.expires_s ? -1 : 1;
	return x->c.id < y->c.id ? -1 : x->c.id > y->c.id;
}

static int grant_group(struct group *g)
{
	struct engine_change at;
	int64_t end;
	int r = engine_adjust(g->engine, slice_of(g->budget->name), g->list[0].c.scope, 0, g->now_s, &at);

	if (r == BUR_NOTFOUND)
		return BUR_OK; /* a scope of another `per`: kept, in case the edit is taken back */
	if (r < 0)
		return r;
	qsort(g->list, g->n, sizeof(*g->list), by_expiry);
	budget_window_at(g->budget, g->now_s, &g->win_start, &end);
	if (budget_is_rolling(g->budget))
		return grant_rolling(g);
	r = use_past(g);
	return r == BUR_OK ? grant_window(g) : r;
}

static const struct budget *find_budget(const struct budget_set *set, const struct operate_credit *c)
{
	for (size_t i = 0; i < budget_set_len(set); i++) {
		const struct budget *b = budget_set_at(set, i);

		if (slice_eq(slice_of(b->name), c->budget) && (int)b->unit == c->unit)
			return b;
	}
	return NULL;
}

static int64_t limit_of(const struct operate_limit *limits, size_t n, const struct budget *b)
{
	for (size_t i = 0; i < n; i++)
		if (slice_eq(limits[i].budget, slice_of(b->name)))
			return limits[i].limit;
	return b->limit;
}

static int grant_all(struct credits *all, struct group *g, const struct budget_set *set,
		     const struct operate_limit *limits)
{
	int r = BUR_OK;

	for (size_t i = 0; i < all->n && r == BUR_OK; i += g->n) {
		const struct operate_credit *first = &all->list[i].c;

		g->list = &all->list[i];
		for (g->n = 1; i + g->n < all->n; g->n++)
			if (!slice_eq(g->list[g->n].c.budget, first->budget) ||
			    !slice_eq(g->list[g->n].c.scope, first->scope))
				break;
		g->budget = find_budget(set, first);
		if (!g->budget)
			continue;
		g->limit_now = limit_of(limits, budget_set_len(set), g->budget);
		r = grant_group(g);
	}
	return r;
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

static int keep_changed(const struct credits *all, struct restored *ret)
{
	ret->changed = calloc(all->n + 1, sizeof(*ret->changed));
	if (!ret->changed)
		return BUR_NOMEM;
	for (size_t i = 0; i < all->n; i++)
		if (all->list[i].changed) {
			ret->changed[ret->n] = all->list[i].c;
			ret->changed[ret->n].budget = ret->changed[ret->n].scope = SLICE_NONE;
			ret->n++;
		}
	return BUR_OK;
}

int restore_changes(struct store *store, const struct budget_set *set, struct engine *engine, int64_t now_s,
		    struct restored *ret)
{
	struct operate_limit *limits = limits_of(set);
	struct group group = {.engine = engine, .now_s = now_s};
	struct credits all = {.n = 0};
	int r = BUR_NOMEM;

	*ret = (struct restored){0};
	arena_init(&all.arena, CREDITS_BYTES_MAX);
	if (!limits)
		goto out;
	r = store_reader(store, &group.db);
	if (r == BUR_OK)
		r = operate_limits_read(group.db, limits, budget_set_len(set));
	if (r == BUR_OK)
		r = use_limits(engine, limits, budget_set_len(set));
	if (r == BUR_OK)
		r = operate_each_credit(group.db, take_credit, &all);
	if (r == BUR_OK)
		r = grant_all(&all, &group, set, limits);
	if (r == BUR_OK)
		r = keep_changed(&all, ret);
out:
	(void)sqlite3_close(group.db);
	free(all.list);
	arena_reset(&all.arena);
	free(limits);
	return r;
}

int restore_settle(struct store *store, const struct budget_set *set, struct engine *engine, struct restored *re)
{
	struct operate_limit *limits = limits_of(set);
	int r = BUR_NOMEM;

	if (limits)
		r = operate_limits_begin(store, limits, budget_set_len(set), clock_wall_ns(), tell_edit, NULL);
	if (r == BUR_OK)
		r = use_limits(engine, limits, budget_set_len(set));
	for (size_t i = 0; i < re->n && r == BUR_OK; i += ADJUST_MANY_MAX) {
		size_t n = re->n - i < ADJUST_MANY_MAX ? re->n - i : ADJUST_MANY_MAX;

		r = operate_credits_left(store, re->changed + i, n);
	}
	free(limits);
	return r;
}

void restore_done(struct restored *re)
{
	free(re->changed);
	*re = (struct restored){0};
}
