/* txn_edit.c - what is changed in a request's body before it leaves: at most one edit of each purpose, kept in the
 * order of the bytes, disjoint. */
#include "base/check.h"
#include "proxy/txn.h"

bool txn_edit_allowed(const struct txn *t)
{
	return !t->stream_body && !t->target.signed_by_client;
}

static bool is_insert(const struct txn_edit *e)
{
	return e->from == e->to;
}

/* An insert may touch its neighbours, not stand inside them. */
static bool overlap(const struct txn_edit *a, const struct txn_edit *b)
{
	return a->from < b->to && b->from < a->to;
}

/* Whatever the order in which they were made. */
static bool before(const struct txn_edit *a, const struct txn_edit *b)
{
	if (a->from != b->from)
		return a->from < b->from;
	return a->to != b->to ? a->to < b->to : a->what < b->what;
}

void txn_edit_drop(struct txn *t, enum txn_edit_what what)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n_edits; i++)
		if (t->edits[i].what != what)
			t->edits[n++] = t->edits[i];
	t->n_edits = n;
}

static int insert_sorted(struct txn *t, const struct txn_edit *e)
{
	size_t at = t->n_edits;

	for (size_t i = 0; i < t->n_edits; i++)
		if (overlap(&t->edits[i], e))
			return BUR_INVALID;
	if (t->n_edits == TXN_EDITS_MAX)
		return BUR_FULL;
	for (; at > 0 && before(e, &t->edits[at - 1]); at--)
		t->edits[at] = t->edits[at - 1];
	t->edits[at] = *e;
	t->n_edits++;
	return BUR_OK;
}

int txn_edit_set(struct txn *t, enum txn_edit_what what, uint64_t from, uint64_t to, struct slice text)
{
	struct txn_edit e = {.what = what, .from = from, .to = to, .text = text};
	int r;

	if (!txn_edit_allowed(t))
		return BUR_INVALID;
	r = txn_body_make_plain(t);
	if (r < 0)
		return r;
	if (from > to || to > t->body.n)
		return BUR_INVALID;
	txn_edit_drop(t, what);
	return insert_sorted(t, &e);
}

/* Two members are put in at one place, an object's beginning: each brings the comma behind it where the object goes on,
 * so one is missing between them only where it does not. */
static bool needs_comma(const struct txn *t, size_t i)
{
	const struct txn_edit *e = &t->edits[i], *next = e + 1;

	return i + 1 < t->n_edits && is_insert(e) && is_insert(next) && e->from == next->from && e->text.n > 0 &&
	       e->text.p[e->text.n - 1] != ',';
}

void txn_edit_pieces(const struct txn *t, void (*add)(void *ctx, struct slice), void *ctx)
{
	uint64_t at = 0;

	for (size_t i = 0; i < t->n_edits; i++) {
		const struct txn_edit *e = &t->edits[i];

		CHECK(e->from >= at && e->to <= t->body.n);
		add(ctx, slice_mem(t->body.p + at, (size_t)(e->from - at)));
		add(ctx, e->text);
		if (needs_comma(t, i))
			add(ctx, SLICE(","));
		at = e->to;
	}
	add(ctx, slice_mem(t->body.p + at, t->body.n - (size_t)at));
}

static void add_length(void *ctx, struct slice piece)
{
	*(uint64_t *)ctx += piece.n;
}

uint64_t txn_edit_length(const struct txn *t)
{
	uint64_t n = 0;

	txn_edit_pieces(t, add_length, &n);
	return n;
}
