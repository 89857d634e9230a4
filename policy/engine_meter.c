#include "policy/engine_meter.h"

#include <string.h>

#include "policy/engine_internal.h"

int engine_meter_view(struct engine *e, uint64_t uid, int64_t now_s, struct meter_view *ret)
{
	struct meter *m = engine_table_by_uid(e, uid);
	const struct instance *in;
	bool stuck;

	if (!m)
		return BUR_NOTFOUND;
	engine_lock(e);
	stuck = engine_window_roll(e, m, engine_window_now(e, now_s)) < 0;
	in = &m->now;
	*ret = (struct meter_view){.budget = m->entry->budget,
				   .uid = m->uid,
				   .win_start =
				       m->ring ? in->win_start - RING_BUCKETS * m->entry->bucket_s : in->win_start,
				   .win_end = engine_window_relief(m, in, 1),
				   .limit = m->entry->limit,
				   .credit = in->credit,
				   .posted = in->posted,
				   .held = in->held,
				   .warned_mask = in->warned_mask,
				   .would_block = in->would_block,
				   .closing = stuck};
	memcpy(ret->scope, m->scope, m->scope_n + 1);
	engine_unlock(e);
	return BUR_OK;
}

int engine_meter_of(struct engine *e, uint64_t uid, const struct budget **ret_budget, const char **ret_scope)
{
	const struct meter *m = engine_table_by_uid(e, uid);

	if (!m)
		return BUR_NOTFOUND;
	*ret_budget = m->entry->budget;
	*ret_scope = m->scope;
	return BUR_OK;
}
