/* explain_grow.c - streams that begin on less than they may cost, by the functions of proxy/txn_grow.c. What workers
 * learned of a model's usual answers is theirs; here a stream begins on what one of an unknown model begins on. */
#include "app/explain_impl.h"
#include "meter/grow.h"
#include "policy/rung.h"

static struct grow_call call_of(const struct question *q)
{
	return (struct grow_call){.price = q->price,
				  .kind = q->api.kind,
				  .info = &q->info,
				  .full = &q->full,
				  .allow_tokens = q->e->settings->proxy.limits.inflight_allow_tokens,
				  .at_s = q->now_s};
}

static bool may_grow(const struct question *q)
{
	const struct proxy_provider *p = q->provider;

	return q->match.any_hard && q->price && q->info.stream && !q->rule && !p->full_bill_on_abort &&
	       !p->price_free && grow_shows_bill(q->price, q->api.kind, &q->info) &&
	       rung_may_grow(q->engine, &q->match, q->info.has_max_out);
}

bool explain_grow_counts(struct question *q)
{
	return may_grow(q) && !q->has_count && q->body.n <= GROW_COUNT_BYTES_MAX &&
	       !rung_is_plenty(q->engine, &q->match, q->bound.worst_nanousd,
			       q->bound.input_tokens + q->bound.output_tokens, q->now_s, q->decision);
}

bool explain_grow_begin(struct question *q)
{
	const struct grow_call c = call_of(q);
	uint64_t start = grow_start(&c, NULL, SLICE_NONE);

	q->full = q->bound;
	return may_grow(q) && start < q->full.output_tokens && grow_bound(&c, start, &q->bound);
}

bool explain_grow_with(struct question *q, const struct amounts *room)
{
	const struct grow_call c = call_of(q);
	const struct bound_room left = {room->nanousd, room->tokens};
	const struct bound nothing = {0};
	uint64_t least = grow_least(&c), now = q->bound.output_tokens, out;

	if (!may_grow(q) || room->requests < 1 || now <= least)
		return false;
	out = grow_most(&c, least, now - 1, &nothing, &left);
	return out >= least && grow_bound(&c, out, &q->bound);
}
