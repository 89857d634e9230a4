/* txn_count.c - the exact count of a prompt, where the budget decides on it; a long one in slices, between which the
 * worker serves its other connections. One slice is counted in a turn of the loop, however many calls wait for theirs.
 */
#include <stdlib.h>

#include "base/check.h"
#include "proxy/txn.h"

/* 5 ns a byte, and the same again where reading is slow: what others may wait for. */
#define SLICE_BYTES (64 * 1024)

/* A count that goes on over turns of the loop. */
struct counting {
	TAILQ_ENTRY(counting) entry; /* of the worker's list; the first is the next */
	struct txn *txn;
	struct prompt_scan scan;
};

/* Made when first needed; without memory for them it counts all the same, more slowly. */
static const struct prompt_caches *caches(struct worker *w)
{
	for (int e = 0; e < TOK_ENCODING_COUNT; e++)
		if (!w->prompt_caches.of[e])
			w->prompt_caches.of[e] = tok_cache_new((enum tok_encoding)e);
	return &w->prompt_caches;
}

static struct slice vendor_of(const struct txn *t)
{
	const struct proxy_provider *p = t->target.provider;

	return slice_of(p->price_id ? p->price_id : p->name);
}

static int begin(struct txn *t, struct prompt_scan *scan)
{
	return prompt_scan_begin(scan, t->target.api.kind, vendor_of(t), slice_of(price_model_id(t->price)), &t->info,
				 caches(t->worker));
}

/* --- in slices ---------------------------------------------------------------------------------------------------- */

void txn_count_turn(void *arg)
{
	struct worker *w = arg;
	struct counting *c = TAILQ_FIRST(&w->countings);

	if (!c)
		return;
	TAILQ_REMOVE(&w->countings, c, entry);
	TAILQ_INSERT_TAIL(&w->countings, c, entry);
	txn_run(c->txn); /* c may be gone now */
	if (!TAILQ_EMPTY(&w->countings))
		loop_defer(w->loop, &w->count_task);
}

static enum tighten count_later(struct txn *t)
{
	struct worker *w = t->worker;
	struct counting *c = malloc(sizeof(*c));

	if (!c)
		return TIGHTEN_NOT;
	c->txn = t;
	if (begin(t, &c->scan) < 0) {
		free(c);
		return TIGHTEN_NOT;
	}
	t->counting = c;
	TAILQ_INSERT_TAIL(&w->countings, c, entry);
	loop_defer(w->loop, &w->count_task);
	return TIGHTEN_LATER;
}

void txn_count_free(struct txn *t)
{
	if (!t->counting)
		return;
	TAILQ_REMOVE(&t->worker->countings, t->counting, entry);
	free(t->counting);
	t->counting = NULL;
}

/* --- the bound ---------------------------------------------------------------------------------------------------- */

static enum tighten tighten(struct txn *t, struct prompt_count *count)
{
	int64_t before = t->bound.worst_nanousd;

	t->counted_tokens = count->text_tokens;
	t->counted_script = count->script;
	if (t->worker->learn)
		learn_apply(t->worker->learn, vendor_of(t), slice_of(price_model_id(t->price)), count);
	if (bound_tighten(t->price, t->target.api.kind, &t->info, t->start_wall_ns / NS_PER_S, count,
			  t->worker->match.estimate_input, &t->bound) != BOUND_OK)
		return TIGHTEN_NOT;
	if (t->bound.worst_nanousd >= before)
		return TIGHTEN_NOT;
	t->count = *count;
	t->has_count = true;
	return TIGHTEN_DONE;
}

static enum tighten count_on(struct txn *t)
{
	struct prompt_count count = {0};
	enum step_result refused;
	int r = prompt_scan_step(&t->counting->scan, t->body, SLICE_BYTES);

	if (r == BUR_AGAIN)
		return TIGHTEN_LATER;
	if (r == BUR_OK)
		prompt_scan_finish(&t->counting->scan, &count);
	txn_count_free(t);
	/* the match was scratch, and other calls had theirs meanwhile */
	if (!txn_match_budgets(t, &refused))
		return TIGHTEN_REFUSED;
	return r == BUR_OK ? tighten(t, &count) : TIGHTEN_NOT;
}

static enum tighten count_now(struct txn *t)
{
	struct prompt_scan scan;
	struct prompt_count count;

	if (begin(t, &scan) < 0 || prompt_scan_step(&scan, t->body, SIZE_MAX) < 0)
		return TIGHTEN_NOT;
	prompt_scan_finish(&scan, &count);
	return tighten(t, &count);
}

enum tighten txn_tighten(struct txn *t)
{
	if (t->counting)
		return count_on(t);
	if (t->tightened || t->info.batch_lines || !t->price || t->no_price || t->stream_body ||
	    (t->body_coding.n > 0 && !t->body_made_plain))
		return TIGHTEN_NOT;
	t->tightened = true;
	return t->body.n > SLICE_BYTES ? count_later(t) : count_now(t);
}
