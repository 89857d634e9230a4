/* txn_batch.c - a batch whose requests stand in a file at the vendor: what is known of the file since it was uploaded
 * takes the place of the request's own figures. */
#include <stdio.h>

#include "base/error.h"
#include "proxy/txn.h"
#include "proxy/uploads.h"

#define ORDERED_NAME_MAX 128

/* Batches stand in the table of files, as of a provider that nobody can name. */
static struct slice ordered_at(const struct txn *t, char dst[ORDERED_NAME_MAX])
{
	return slice_mem(dst, (size_t)snprintf(dst, ORDERED_NAME_MAX, "batches/%.100s", t->target.provider->name));
}

static struct batch_sum *find(struct txn *t)
{
	return uploads_find(t->worker->proxy->uploads, slice_of(t->target.provider->name),
			    slice_of(t->info.batch_input), t->start_wall_ns / NS_PER_S, &t->arena);
}

/* NULL: the file says what the batch can cost. */
static const char *fault(const struct txn *t, const struct batch_sum *sum)
{
	if (sum->why[0] != '\0')
		return sum->why;
	if (sum->kind == API_UNKNOWN)
		return "it is no file";
	if (t->info.batch_items > 0)
		return "the batch names a file, and has requests of its own";
	if (batch_endpoint_kind(slice_of(t->info.batch_endpoint)) != sum->kind)
		return "they go to another endpoint than the batch names";
	return NULL;
}

enum txn_batch txn_batch_take(struct txn *t, char *why, size_t why_size)
{
	struct batch_sum *sum = find(t);
	const char *wrong = sum ? fault(t, sum) : NULL;

	if (!sum) {
		(void)snprintf(why, why_size,
			       "this batch's file %s was not uploaded through this bursar since it was started, so "
			       "nobody here knows what its requests may cost, and a hard budget applies; upload the "
			       "file again through bursar (POST files, purpose batch), and order the batch of that",
			       t->info.batch_input);
		return TXN_BATCH_UNBOUNDED;
	}
	if (wrong) {
		(void)snprintf(
		    why, why_size,
		    "the requests in this batch's file %s have no upper price, which a hard budget needs: %s",
		    t->info.batch_input, wrong);
		return TXN_BATCH_UNBOUNDED;
	}
	if (sum->n == 0)
		return TXN_BATCH_FREE;
	t->batch = sum;
	t->info = sum->of[0];
	return TXN_BATCH_BOUNDED;
}

bool txn_batch_same_budgets(struct txn *t)
{
	const struct match *first = &t->worker->match;
	struct facts *f = &t->worker->facts;
	bool same = true;

	for (size_t i = 1; i < t->batch->n; i++) {
		struct match other;
		int r;

		f->v[FACT_MODEL] = slice_of(t->batch->of[i].model);
		r = engine_match(t->worker->proxy->deps.engine, f, &other);
		t->hard |= r < 0 || other.any_hard;
		same = same && r == BUR_OK && other.n == first->n &&
		       memcmp(other.meter, first->meter, other.n * sizeof(other.meter[0])) == 0;
	}
	f->v[FACT_MODEL] = slice_of(t->info.model);
	return same;
}

static bool add_bound(struct bound *sum, const struct bound *b)
{
	return amount_add(sum->worst_nanousd, b->worst_nanousd, &sum->worst_nanousd) == BUR_OK &&
	       amount_add(sum->input_nanousd, b->input_nanousd, &sum->input_nanousd) == BUR_OK &&
	       !__builtin_add_overflow(sum->input_tokens, b->input_tokens, &sum->input_tokens) &&
	       !__builtin_add_overflow(sum->output_tokens, b->output_tokens, &sum->output_tokens) &&
	       sum->input_tokens <= INT64_MAX && sum->output_tokens <= INT64_MAX - sum->input_tokens;
}

enum bound_result txn_batch_rest(struct txn *t, const char **ret_why)
{
	for (size_t i = 1; i < t->batch->n; i++) {
		struct request_info *q = &t->batch->of[i];
		const struct price_model *m = txn_find_price(t, q->model, NULL);
		enum bound_result r = BOUND_NO_PRICE;
		struct bound b;

		q->residency = t->info.residency;
		if (q->call_input > t->info.call_input)
			t->info.call_input = q->call_input;
		if (m)
			r = bound_upper(m, API_BATCH_SUBMIT, q, t->start_wall_ns / NS_PER_S, &b, ret_why);
		if (r == BOUND_NO_PRICE)
			*ret_why = "one of the models that its file names has no price";
		if (r != BOUND_OK)
			return r;
		if (!add_bound(&t->bound, &b))
			return BOUND_OVERFLOW;
	}
	t->info.batch_items = t->batch->items;
	return BOUND_OK;
}

void txn_batch_ordered(struct txn *t, struct slice id)
{
	struct batch_sum sum = {.items = t->info.batch_items, .n = 1};
	char name[ORDERED_NAME_MAX];

	if (!t->info.batch_lines)
		return;
	sum.of[0] = t->info;
	uploads_put(t->worker->proxy->uploads, ordered_at(t, name), id, &sum, t->start_wall_ns / NS_PER_S);
}

void txn_batch_fetched(struct txn *t, struct usage *u)
{
	char name[ORDERED_NAME_MAX];
	struct batch_sum *sum;

	if (t->target.api.kind != API_BATCH || u->input_tokens == 0)
		return;
	sum = uploads_find(t->worker->proxy->uploads, ordered_at(t, name), slice_of(u->dedupe_key),
			   t->start_wall_ns / NS_PER_S, &t->arena);
	if (sum && sum->n == 1 && sum->of[0].call_input < u->input_tokens)
		u->call_input_tokens = sum->of[0].call_input;
}
