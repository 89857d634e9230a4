/* deliver_pick.c - which message of a channel is next.
 *
 * The outbox is read in the order of time, a small page at a time. Messages of one incident stay in their order: one
 * that stands behind an earlier one that waits to be tried again is moved to that one's time, so it is not met again
 * and again and nothing else waits behind it. */
#include <string.h>

#include "alerts/deliver_impl.h"
#include "base/check.h"
#include "base/error.h"
#include "base/log.h"

#define PAGE 16
#define TESTS_PAGE 50
#define BEHIND_MAX 1000

struct page {
	struct job *job;
	int64_t now_ns;
	struct {
		int64_t id, incident, next_ns;
	} row[PAGE];
	size_t n;
	int64_t later_ns; /* the first that is not due */
};

/* --- rows --------------------------------------------------------------------------------------------------------- */

static bool keep(struct arena *a, struct slice *s)
{
	*s = arena_dup(a, *s);
	return s->p != NULL;
}

static int take_row(void *ctx, const struct outbox_row *row)
{
	struct job *j = ctx;

	j->row = *row;
	if (keep(&j->arena, &j->row.channel) && keep(&j->arena, &j->row.facts) && keep(&j->arena, &j->row.reason) &&
	    keep(&j->arena, &j->row.last_error))
		return BUR_OK;
	return BUR_NOMEM;
}

static int load_row(struct lane *l, struct job *j, int64_t id)
{
	const struct outbox_filter f = {.state = OUTBOX_QUEUED, .id = id, .limit = 1};
	int rc;

	j->row.id = 0;
	rc = alerts_each_outbox(l->deliver->reader, &f, take_row, j);
	if (rc == BUR_OK && j->row.id != id)
		return BUR_NOTFOUND;
	return rc;
}

static int take_page(void *ctx, const struct outbox_row *row)
{
	struct page *p = ctx;

	if (row->next_ns > p->now_ns) {
		if (row->next_ns < p->later_ns)
			p->later_ns = row->next_ns;
		return BUR_OK;
	}
	p->row[p->n].id = row->id;
	p->row[p->n].incident = row->incident;
	p->row[p->n++].next_ns = row->next_ns;
	return BUR_OK;
}

static int take_test(void *ctx, const struct outbox_row *row)
{
	struct page *p = ctx;

	if (row->op == SAY_TEST && row->next_ns <= p->now_ns) {
		p->row[0].id = row->id; /* newest first: the oldest test stays */
		p->n = 1;
	}
	return BUR_OK;
}

/* --- order within an incident ------------------------------------------------------------------------------------- */

struct oldest {
	int64_t id, next_ns;
};

static int take_oldest(void *ctx, const struct outbox_row *row)
{
	struct oldest *o = ctx;

	if (o->id == 0 || row->id < o->id)
		*o = (struct oldest){row->id, row->next_ns};
	return BUR_OK;
}

/* Behind one that waits: to its time. */
static int move_to(struct lane *l, struct job *j, int64_t next_ns)
{
	struct outbox_row row = j->row;
	const struct alerts_change change = {.outbox = &row, .n_outbox = 1, .now_ns = deliver_now(l->deliver)};

	row.next_ns = next_ns;
	row.facts = SLICE_NONE;
	return alerts_write(l->deliver->deps.store, &change);
}

/* BUR_OK: this row is next; or the one in front of it, which is due as well, has taken its place. BUR_NOTFOUND: it
 * waits now. */
static int in_order(struct lane *l, struct job *j, int64_t now_ns)
{
	const struct outbox_filter f = {.state = OUTBOX_QUEUED,
					.channel = slice_of(l->channel->name),
					.incident = j->row.incident,
					.limit = BEHIND_MAX};
	struct oldest o = {0, 0};
	int rc;

	if (j->row.incident == 0)
		return BUR_OK;
	rc = alerts_each_outbox(l->deliver->reader, &f, take_oldest, &o);
	if (rc != BUR_OK || o.id == 0 || o.id >= j->row.id)
		return rc;
	if (o.next_ns <= now_ns)
		return load_row(l, j, o.id);
	rc = move_to(l, j, o.next_ns);
	return rc == BUR_OK ? BUR_NOTFOUND : rc;
}

/* --- the end of what never began ---------------------------------------------------------------------------------- */

struct known {
	struct lane *lane;
	struct job *job;
	bool told;
	int64_t n;
};

static int take_told(void *ctx, const struct told *t)
{
	struct known *k = ctx;

	if (!slice_eq(t->channel, slice_of(k->lane->channel->name)))
		return BUR_OK;
	k->told = t->ts_ns > 0;
	k->job->told = *t;
	k->job->told.ref = arena_dup(&k->job->arena, t->ref);
	return k->job->told.ref.p ? BUR_OK : BUR_NOMEM;
}

static int take_one(void *ctx, const struct outbox_row *row)
{
	(void)row;
	((struct known *)ctx)->n++;
	return BUR_OK;
}

/* What the channel knows of the incident. That something is over or taken care of is not told when the message that it
 * began is dead. */
static int look_up_told(struct lane *l, struct job *j)
{
	const struct outbox_filter f = {
	    .state = OUTBOX_DEAD, .channel = slice_of(l->channel->name), .incident = j->row.incident, .limit = 1};
	struct known k = {.lane = l, .job = j};
	int rc;

	if (j->row.incident == 0)
		return BUR_OK;
	rc = alerts_each_told(l->deliver->reader, j->row.incident, take_told, &k);
	if (rc != BUR_OK || k.told || (j->row.op != SAY_RESOLVE && j->row.op != SAY_ACK))
		return rc;
	rc = alerts_each_outbox(l->deliver->reader, &f, take_one, &k);
	if (k.n > 0) {
		j->silent = true;
		j->verdict.outcome = OUTCOME_DEAD;
	}
	return rc;
}

/* --- picking ------------------------------------------------------------------------------------------------------ */

static int pick_test(struct lane *l, struct job *j, int64_t now_ns)
{
	const struct outbox_filter f = {
	    .state = OUTBOX_QUEUED, .channel = slice_of(l->channel->name), .limit = TESTS_PAGE};
	struct page p = {.now_ns = now_ns};
	int rc = alerts_each_outbox(l->deliver->reader, &f, take_test, &p);

	if (rc == BUR_OK)
		rc = p.n > 0 ? load_row(l, j, p.row[0].id) : BUR_NOTFOUND;
	return rc;
}

static int pick_due(struct lane *l, struct job *j, int64_t now_ns)
{
	const struct outbox_filter f = {
	    .state = OUTBOX_QUEUED, .channel = slice_of(l->channel->name), .due_ns = INT64_MAX, .limit = PAGE};
	struct page p = {.now_ns = now_ns, .later_ns = INT64_MAX};
	int rc = alerts_each_outbox(l->deliver->reader, &f, take_page, &p);

	l->due_ns = p.n > 0 ? p.row[0].next_ns : p.later_ns;
	if (rc != BUR_OK || l->state.disabled || l->hold_ns > now_ns)
		return rc == BUR_OK ? BUR_NOTFOUND : rc;
	for (size_t i = 0; i < p.n; i++) {
		rc = load_row(l, j, p.row[i].id);
		if (rc == BUR_OK)
			rc = in_order(l, j, now_ns);
		if (rc != BUR_NOTFOUND)
			return rc;
	}
	return BUR_NOTFOUND; /* those that were due wait now; others may stand behind them: look again */
}

int lane_pick(struct lane *l, struct job *j, int64_t now_ns)
{
	bool look = l->look;
	int rc = look ? pick_test(l, j, now_ns) : BUR_NOTFOUND;

	if (rc == BUR_NOTFOUND) {
		rc = pick_due(l, j, now_ns);
		l->look = false;
	}
	if (rc == BUR_OK)
		rc = look_up_told(l, j);
	return rc;
}

/* --- what fires, again -------------------------------------------------------------------------------------------- */

struct refresh {
	struct lane *lane;
	struct job *job;
	struct message *list;
	size_t n;
	int64_t id[REFRESH_MESSAGES];
	struct slice ref[REFRESH_MESSAGES];
	int64_t now_ns;
};

static int take_open(void *ctx, const struct told *t)
{
	struct refresh *r = ctx;

	if (r->n == REFRESH_MESSAGES || t->incident <= r->lane->refresh_after || t->ts_ns == 0 || t->resolved ||
	    !slice_eq(t->channel, slice_of(r->lane->channel->name)))
		return BUR_OK;
	r->id[r->n] = t->incident;
	r->ref[r->n] = arena_dup(&r->job->arena, t->ref);
	return r->ref[r->n++].p ? BUR_OK : BUR_NOMEM;
}

static void free_facts(void *facts)
{
	json_decref(facts);
}

static int take_incident(void *ctx, const struct incident *i)
{
	struct refresh *r = ctx;
	struct message *m = &r->list[r->n];
	struct brief *b = arena_zalloc(&r->job->arena, sizeof(*b));
	json_t *facts = json_loadb(i->facts.p, i->facts.n, 0, NULL);

	if (!b || !facts || arena_on_reset(&r->job->arena, free_facts, facts) != BUR_OK) {
		json_decref(facts);
		return BUR_NOMEM;
	}
	*m = (struct message){.op = SAY_FIRE,
			      .severity = (enum severity)i->severity,
			      .facts = facts,
			      .brief = b,
			      .id = fact_text(facts, "id"),
			      .ref = r->ref[r->n].p,
			      .public_url = r->lane->deliver->config->public_url,
			      .node = r->lane->deliver->config->node,
			      .at_ns = i->changed_ns,
			      .now_ns = r->now_ns,
			      .attempt = 1};
	m->dedup_key = arena_dup(&r->job->arena, i->key).p;
	if (!m->dedup_key || brief_make(&r->job->arena, facts, m->op, b) != BUR_OK)
		return BUR_NOMEM;
	r->n++;
	return BUR_OK;
}

int lane_pick_refresh(struct lane *l, struct job *j, struct message *list, size_t *ret_n, int64_t now_ns)
{
	struct refresh r = {.lane = l, .job = j, .list = list, .now_ns = now_ns};
	int rc = alerts_each_told(l->deliver->reader, 0, take_open, &r);
	size_t n = r.n;

	r.n = 0;
	for (size_t i = 0; i < n && rc == BUR_OK; i++) {
		const struct incident_filter f = {.open_only = true, .id = r.id[i], .limit = 1};

		r.ref[r.n] = r.ref[i];
		rc = alerts_each_incident(l->deliver->reader, &f, take_incident, &r);
	}
	/* The rest in the next request, or from the beginning at the next time. */
	l->refresh_after = n == REFRESH_MESSAGES ? r.id[n - 1] : 0;
	*ret_n = r.n;
	return rc != BUR_OK ? rc : r.n > 0 ? BUR_OK : BUR_NOTFOUND;
}
