#include "alerts/mute.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alerts/core.h"
#include "base/error.h"
#include "store/audit.h"

void mutes_free(struct mutes *m)
{
	for (size_t i = 0; i < m->n; i++)
		free((char *)(uintptr_t)m->list[i].budget.p);
	free(m->list);
	*m = (struct mutes){.n = 0};
}

/* Into one block that begins with the budget's name; each text ends with a NUL. */
static int copy_mute(struct mute *dst, const struct mute *src)
{
	const struct slice from[] = {src->budget, src->label, src->value, src->type};
	struct slice *to[] = {&dst->budget, &dst->label, &dst->value, &dst->type};
	size_t total = 0;
	char *p;

	for (size_t i = 0; i < ARRAY_LEN(from); i++)
		total += from[i].n + 1;
	*dst = *src;
	dst->by = dst->reason = SLICE_NONE;
	p = malloc(total);
	if (!p)
		return BUR_NOMEM;
	for (size_t i = 0; i < ARRAY_LEN(from); i++) {
		*to[i] = slice_mem(p, from[i].n);
		(void)slice_to_cstr(from[i], p, from[i].n + 1);
		p += from[i].n + 1;
	}
	return BUR_OK;
}

static int add_mute(void *ctx, const struct mute *row)
{
	struct mutes *m = ctx;

	if (m->n == MUTES_MAX)
		return BUR_OK; /* mute_add makes no more */
	if (copy_mute(&m->list[m->n], row) < 0)
		return BUR_NOMEM;
	m->n++;
	return BUR_OK;
}

int mutes_load(struct mutes *m, struct sqlite3 *db, int64_t now_ns)
{
	struct mutes fresh = {.list = calloc(MUTES_MAX, sizeof(*fresh.list))};
	int r = fresh.list ? alerts_each_mute(db, now_ns, add_mute, &fresh) : BUR_NOMEM;

	if (r < 0) {
		mutes_free(&fresh);
		return r;
	}
	mutes_free(m);
	*m = fresh;
	return BUR_OK;
}

static bool covers(const struct mute *m, const json_t *facts)
{
	if (m->budget.n > 0 && !rule_text_matches(m->budget.p, fact_text(facts, "budget_id")))
		return false;
	if (m->type.n > 0 && !rule_text_matches(m->type.p, fact_text(facts, "type")))
		return false;
	if (m->label.n > 0) {
		const char *value = fact_text(json_object_get(facts, "labels"), m->label.p);

		if (value[0] == '\0' || !rule_text_matches(m->value.p, value))
			return false;
	}
	return true;
}

int64_t mutes_cover(const struct mutes *m, const json_t *facts, int64_t now_ns)
{
	int64_t until = 0;

	for (size_t i = 0; i < m->n; i++) {
		const struct mute *one = &m->list[i];

		if (one->from_ns <= now_ns && now_ns < one->until_ns && one->until_ns > until && covers(one, facts))
			until = one->until_ns;
	}
	return until;
}

/* --- by people ---------------------------------------------------------------------------------------------------- */

static int newest_id(void *ctx, const struct mute *row)
{
	int64_t *id = ctx;

	if (row->id > *id)
		*id = row->id;
	return BUR_OK;
}

/* The silence itself is in force; were it not read, it is at the next tick. */
static int changed(struct alerts *a, int64_t now_ns)
{
	int r = mutes_load(&a->mutes, a->reader, now_ns);

	a->mutes_changed = true;
	if (r < 0)
		core_forget(a, r); /* it is read again */
	return r;
}

/* What is silent, for the audit log: "mute budget=a team=search type=budget.*". */
static void describe(const struct mute *m, char *dst, size_t size)
{
	const struct slice b = slice_sub(m->budget, 0, 100), l = slice_sub(m->label, 0, 50),
			   v = slice_sub(m->value, 0, 100), t = slice_sub(m->type, 0, 50);
	const char *all = m->budget.n + m->label.n + m->type.n == 0 ? " everything" : "";

	(void)snprintf(dst, size, "mute%s%s%.*s%s%.*s%s%.*s%s%.*s", all, b.n ? " budget=" : "", SLICE_ARG(b),
		       l.n ? " " : "", SLICE_ARG(l), l.n ? "=" : "", SLICE_ARG(v), t.n ? " type=" : "", SLICE_ARG(t));
}

int mute_add(struct alerts *a, const struct mute *m, int64_t *ret_id)
{
	int64_t now_ns = alerts_now(a);
	char object[AUDIT_TEXT_MAX + 1], actor[AUDIT_ACTOR_MAX + 1], reason[AUDIT_REASON_MAX + 1];
	struct mute row = *m;
	int r;

	if (m->until_ns <= m->from_ns || m->until_ns <= now_ns || (m->label.n > 0 && m->value.n == 0) ||
	    m->by.n > AUDIT_ACTOR_MAX || m->reason.n > AUDIT_REASON_MAX)
		return BUR_INVALID;
	if (a->mutes.n >= MUTES_MAX) { /* some may be over by now */
		r = mutes_load(&a->mutes, a->reader, now_ns);
		if (r < 0 || a->mutes.n >= MUTES_MAX)
			return r < 0 ? r : BUR_FULL;
	}
	row.id = 0;
	describe(m, object, sizeof(object));
	(void)slice_to_cstr(m->by, actor, sizeof(actor));
	(void)slice_to_cstr(m->reason.n ? m->reason : SLICE("-"), reason, sizeof(reason));
	r = alerts_write(a->deps.store, &(struct alerts_change){.mutes = &row,
								.n_mutes = 1,
								.action = "alerts.mute",
								.object = object,
								.actor = actor,
								.reason = reason,
								.now_ns = now_ns});
	if (r < 0)
		return r;
	*ret_id = 0;
	r = alerts_each_mute(a->reader, now_ns, newest_id, ret_id);
	return r < 0 ? r : changed(a, now_ns);
}

struct by_id {
	int64_t id;
	bool found;
};

static int find_id(void *ctx, const struct mute *row)
{
	struct by_id *q = ctx;

	q->found = q->found || row->id == q->id;
	return BUR_OK;
}

int mute_end(struct alerts *a, int64_t id, const char *actor, const char *reason)
{
	struct by_id q = {.id = id};
	int64_t now_ns = alerts_now(a);
	char object[32];
	int r = alerts_each_mute(a->reader, now_ns, find_id, &q);

	if (r < 0)
		return r;
	if (!q.found)
		return BUR_NOTFOUND;
	(void)snprintf(object, sizeof(object), "mute %lld", (long long)id);
	r = alerts_write(a->deps.store, &(struct alerts_change){.mutes = &(struct mute){.id = id},
								.n_mutes = 1,
								.action = "alerts.unmute",
								.object = object,
								.actor = actor,
								.reason = reason && reason[0] ? reason : "-",
								.now_ns = now_ns});
	return r < 0 ? r : changed(a, now_ns);
}
