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
	q->grow_waits = false;
	return may_grow(q) && start < q->full.output_tokens && grow_bound(&c, start, &q->bound);
}

bool explain_grows(const struct question *q)
{
	return q->bound.output_tokens < q->full.output_tokens;
}

/* Of the decision about `bound`: is money of a budget that blocks held by others, and may come back? */
static bool others_hold(const struct decision *d)
{
	for (size_t i = 0; i < d->n_blocked; i++)
		if (d->blocked[i].held > 0)
			return true;
	return false;
}

bool explain_grow_with(struct question *q, const struct amounts *room)
{
	const struct grow_call c = call_of(q);
	const struct bound_room left = {room->nanousd, room->tokens};
	const struct bound nothing = {0};
	uint64_t floor = grow_least(&c), now = q->bound.output_tokens, out;

	if (!may_grow(q) || q->grow_waits || room->requests < 1 || now <= floor)
		return false;
	out = grow_most(&c, floor, now - 1, &nothing, &left);
	q->grow_waits = out < floor || others_hold(q->decision);
	if (out < floor)
		out = floor;
	else if (q->grow_waits)
		out++;
	if (out < now && grow_bound(&c, out, &q->bound))
		return true;
	q->bound = q->full;
	q->grow_waits = false;
	return false;
}
