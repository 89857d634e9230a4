#include "alerts/batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#define BATCH_BYTES_MAX ((size_t)96 * 1024 * 1024)
#define RECENT_LOOK 1000
#define HISTORY_LOOK 1000
#define EARLIER 64 /* incidents of the same key, within the gap: it comes and goes */

/* --- memory ------------------------------------------------------------------------------------------------------- */

void batch_begin(struct batch *b, struct alerts *a)
{
	memset(b, 0, sizeof(*b));
	b->alerts = a;
	b->now_ns = alerts_now(a);
	b->last = &b->first;
	for (size_t i = 0; i < ALERTS_CHANNELS_MAX; i++)
		b->waiting[i] = -1;
	arena_init(&b->arena, BATCH_BYTES_MAX);
}

void batch_end(struct batch *b)
{
	free(b->outbox);
	free(b->events);
	arena_reset(&b->arena);
}

static void drop_json(void *o)
{
	json_decref(o);
}

bool batch_keep(struct batch *b, json_t *o)
{
	if (o && arena_on_reset(&b->arena, drop_json, o) == BUR_OK)
		return true;
	json_decref(o);
	return false;
}

struct slice batch_text(struct batch *b, struct slice s)
{
	return arena_dup(&b->arena, s);
}

struct slice batch_json(struct batch *b, const json_t *o)
{
	char *text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(15));
	struct slice s = text ? arena_dup(&b->arena, slice_of(text)) : SLICE_NONE;

	free(text);
	return s;
}

/* Room for one more; NULL: no memory. */
static void *grown(void *list, size_t n, size_t *cap, size_t size)
{
	size_t more = *cap ? *cap * 2 : 64;
	void *p;

	if (n < *cap)
		return list;
	p = realloc(list, more * size);
	if (p)
		*cap = more;
	return p;
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

/* An event is at most one message and one dropped end for each channel, beside what it makes of held ones. */
bool batch_is_full(const struct batch *b)
{
	return b->n_outbox + ((size_t)3 * ALERTS_CHANNELS_MAX) > ALERTS_ROWS_MAX || b->n_events + 8 > ALERTS_ROWS_MAX ||
	       b->arena.used_bytes > BATCH_BYTES_MAX / 2;
}

int batch_outbox(struct batch *b, const struct outbox_row *row, int64_t *ret_id)
{
	struct outbox_row *list, *at;

	if (b->n_outbox == ALERTS_ROWS_MAX)
		return BUR_TOOBIG;
	list = grown(b->outbox, b->n_outbox, &b->outbox_cap, sizeof(*list));
	if (!list)
		return BUR_NOMEM;
	b->outbox = list;
	at = &list[b->n_outbox++];
	*at = *row;
	if (at->id == 0)
		at->id = b->alerts->next_outbox++;
	if (ret_id)
		*ret_id = at->id;
	return BUR_OK;
}

int batch_event(struct batch *b, const struct incident_event *e)
{
	struct incident_event *list;

	if (b->n_events == ALERTS_ROWS_MAX)
		return BUR_TOOBIG;
	list = grown(b->events, b->n_events, &b->events_cap, sizeof(*list));
	if (!list)
		return BUR_NOMEM;
	b->events = list;
	list[b->n_events++] = *e;
	return BUR_OK;
}

int batch_waiting(struct batch *b, size_t channel, size_t *ret)
{
	int64_t *n = &b->waiting[channel];
	int r = BUR_OK;

	if (*n < 0) {
		*n = 0;
		r = alerts_count_outbox(b->alerts->reader, slice_of(b->alerts->config->channels[channel].name),
					OUTBOX_QUEUED, n);
	}
	*ret = (size_t)*n;
	return r;
}

/* --- incidents ---------------------------------------------------------------------------------------------------- */

/* n_channels: there is none of that name. */
static size_t channel_index(const struct alerts_config *c, struct slice name)
{
	size_t i = 0;

	while (i < c->n_channels && !slice_eq(name, slice_of(c->channels[i].name)))
		i++;
	return i;
}

int live_recent(struct batch *b, struct live *l, const struct gate_recent *recent)
{
	if (l->n_recent == l->recent_cap) {
		size_t cap = l->recent_cap ? l->recent_cap * 2 : 8;
		struct gate_recent *p = arena_alloc(&b->arena, cap * sizeof(*p));

		if (!p)
			return BUR_NOMEM;
		if (l->n_recent > 0)
			memcpy(p, l->recent, l->n_recent * sizeof(*p));
		l->recent = p;
		l->recent_cap = cap;
	}
	l->recent[l->n_recent++] = *recent;
	return BUR_OK;
}

struct loading {
	struct batch *b;
	struct live *l;
	enum outbox_state state;
	bool before;          /* what is loaded is of an earlier incident */
	int64_t ids[EARLIER]; /* earlier ones */
	size_t n;
};

static int load_told(void *ctx, const struct told *t)
{
	struct loading *q = ctx;
	size_t i = channel_index(q->b->alerts->config, t->channel);
	struct reach *reach = &q->l->reach[i];

	if (i == q->b->alerts->config->n_channels)
		return BUR_OK; /* a channel that is configured no more */
	*reach = (struct reach){.told = true, .severity = (enum severity)t->severity, .ts_ns = t->ts_ns};
	reach->ref = batch_text(q->b, t->ref);
	return reach->ref.p ? BUR_OK : BUR_NOMEM;
}

static int load_recent(void *ctx, const struct outbox_row *row)
{
	struct loading *q = ctx;
	size_t i = channel_index(q->b->alerts->config, row->channel);
	struct gate_recent one = {
	    .channel = i, .at_ns = row->created_ns, .severity = (enum severity)row->severity, .before = q->before};
	json_t *facts;
	int r;

	if (i == q->b->alerts->config->n_channels || row->state == OUTBOX_DROPPED ||
	    (row->op != SAY_FIRE && row->op != SAY_UPDATE) || slice_eq(row->reason, SLICE("flapping")))
		return BUR_OK;
	facts = json_loadb(row->facts.p, row->facts.n, 0, NULL);
	one.mark = gate_mark(fact_text(facts, "type"), fact_real(facts, "threshold"));
	r = live_recent(q->b, q->l, &one);
	json_decref(facts);
	return r;
}

/* What is older than the longest gap cannot make a duplicate. */
static int64_t gap_begin(const struct batch *b)
{
	const struct alerts_config *c = b->alerts->config;
	int64_t longest = 0, begin;

	for (size_t i = 0; i < c->n_channels; i++) {
		longest = c->channels[i].gap_s > longest ? c->channels[i].gap_s : longest;
		longest = c->channels[i].critical_gap_s > longest ? c->channels[i].critical_gap_s : longest;
	}
	begin = b->now_ns - longest * NS_PER_S;
	return begin > 0 ? begin : 1;
}

static struct live *add_live(struct batch *b)
{
	struct live *l = arena_zalloc(&b->arena, sizeof(*l));

	if (!l)
		return NULL;
	l->reach = arena_zalloc(&b->arena, (b->alerts->config->n_channels + 1) * sizeof(*l->reach));
	if (!l->reach)
		return NULL;
	*b->last = l;
	b->last = &l->next;
	return l;
}

static int take_row(void *ctx, const struct incident *row)
{
	struct loading *q = ctx;
	struct slice *texts[5];
	json_t *facts;

	q->l = add_live(q->b);
	if (!q->l)
		return BUR_NOMEM;
	q->l->row = *row;
	texts[0] = &q->l->row.key;
	texts[1] = &q->l->row.type;
	texts[2] = &q->l->row.budget;
	texts[3] = &q->l->row.scope;
	texts[4] = &q->l->row.by;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		*texts[i] = batch_text(q->b, *texts[i]);
		if (!texts[i]->p)
			return BUR_NOMEM;
	}
	facts = json_loadb(row->facts.p, row->facts.n, 0, NULL);
	if (!json_is_object(facts)) {
		json_decref(facts);
		facts = json_object();
	}
	if (!batch_keep(q->b, facts))
		return BUR_NOMEM;
	q->l->facts = facts;
	return BUR_OK;
}

static int load_recents(struct loading *q, int64_t incident)
{
	const struct outbox_filter f = {
	    .state = -1, .incident = incident, .since_ns = gap_begin(q->b), .limit = RECENT_LOOK};

	return alerts_each_outbox(q->b->alerts->reader, &f, load_recent, q);
}

static int load(struct batch *b, const struct incident_filter *f, struct live **ret)
{
	struct sqlite3 *db = b->alerts->reader;
	struct loading q = {.b = b};
	int r = alerts_each_incident(db, f, take_row, &q);

	if (r == BUR_OK && !q.l)
		return BUR_NOTFOUND;
	if (r == BUR_OK)
		r = alerts_each_told(db, q.l->row.id, load_told, &q);
	if (r == BUR_OK)
		r = alerts_each_outbox(
		    db,
		    &(struct outbox_filter){
			.state = -1, .incident = q.l->row.id, .since_ns = gap_begin(b), .limit = RECENT_LOOK},
		    load_recent, &q);
	*ret = q.l;
	return r;
}

int live_by_key(struct batch *b, struct slice key, struct live **ret)
{
	for (struct live *l = b->first; l; l = l->next) {
		if (l->row.state != INCIDENT_RESOLVED && slice_eq(l->row.key, key)) {
			*ret = l;
			return BUR_OK;
		}
	}
	/* One that the batch has just ended is still open in the store. */
	for (struct live *l = b->first; l; l = l->next)
		if (slice_eq(l->row.key, key))
			return BUR_NOTFOUND;
	return load(b, &(struct incident_filter){.open_only = true, .key = key, .limit = 1}, ret);
}

int live_by_id(struct batch *b, int64_t id, struct live **ret)
{
	for (struct live *l = b->first; l; l = l->next) {
		if (l->row.id == id) {
			*ret = l;
			return BUR_OK;
		}
	}
	return load(b, &(struct incident_filter){.id = id, .limit = 1}, ret);
}

static int take_earlier(void *ctx, const struct incident *row)
{
	struct loading *q = ctx;

	for (const struct live *l = q->b->first; l; l = l->next)
		if (l->row.id == row->id)
			return BUR_OK; /* better known */
	if (q->n < EARLIER)
		q->ids[q->n++] = row->id;
	return BUR_OK;
}

/* What was told of incidents of the same key that are over. */
static int load_earlier(struct batch *b, struct live *l)
{
	struct loading q = {.b = b, .l = l, .before = true};
	int r = BUR_OK;

	for (const struct live *k = b->first; k && r == BUR_OK; k = k->next) {
		if (k == l || !slice_eq(k->row.key, l->row.key))
			continue;
		for (size_t i = 0; i < k->n_recent && r == BUR_OK; i++) {
			struct gate_recent one = k->recent[i];

			one.before = true;
			r = live_recent(b, l, &one);
		}
	}
	if (r == BUR_OK)
		r = alerts_each_incident(
		    b->alerts->reader,
		    &(struct incident_filter){.key = l->row.key, .since_ns = gap_begin(b), .limit = EARLIER},
		    take_earlier, &q);
	for (size_t i = 0; i < q.n && r == BUR_OK; i++)
		r = load_recents(&q, q.ids[i]);
	return r;
}

int live_open(struct batch *b, const struct event *e, struct live **ret)
{
	struct live *l = add_live(b);
	char scope[640];
	const json_t *of = json_object_get(e->facts, "scope");
	int n = snprintf(scope, sizeof(scope), "%s%s%s", fact_text(of, "kind"), fact_text(of, "id")[0] ? ":" : "",
			 fact_text(of, "id"));

	if (!l)
		return BUR_NOMEM;
	l->row = (struct incident){
	    .id = b->alerts->next_incident++,
	    .key = batch_text(b, slice_of(e->key)),
	    .type = slice_of(e->type->name),
	    .budget = batch_text(b, slice_of(fact_text(e->facts, "budget_id"))),
	    .scope = batch_text(b, slice_mem(scope, n < 0                       ? 0
						    : (size_t)n < sizeof(scope) ? (size_t)n
										: sizeof(scope) - 1)),
	    .state = INCIDENT_FIRING,
	    .first_event = e->id,
	    .opened_ns = e->at_ns,
	    .by = SLICE(""),
	};
	l->history = true; /* there is none */
	*ret = l;
	return l->row.key.p && l->row.budget.p && l->row.scope.p ? load_earlier(b, l) : BUR_NOMEM;
}

static int load_history(void *ctx, const struct outbox_row *row)
{
	struct loading *q = ctx;
	size_t i = channel_index(q->b->alerts->config, row->channel);

	if (i < q->b->alerts->config->n_channels && (row->op == SAY_FIRE || row->op == SAY_UPDATE)) {
		if (q->state == OUTBOX_MERGED)
			q->l->reach[i].merged = true;
		else
			q->l->reach[i].held = true;
	}
	return BUR_OK;
}

int live_history(struct batch *b, struct live *l)
{
	struct loading q = {.b = b, .l = l};
	struct outbox_filter f = {.incident = l->row.id, .limit = HISTORY_LOOK};
	int r = BUR_OK;

	for (int i = 0; i < 2 && r == BUR_OK && !l->history; i++) {
		q.state = i == 0 ? OUTBOX_MERGED : OUTBOX_HELD;
		f.state = (int)q.state;
		r = alerts_each_outbox(b->alerts->reader, &f, load_history, &q);
	}
	l->history = l->history || r == BUR_OK;
	return r;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static int gather(struct batch *b, struct incident *incidents, size_t *ret_n, struct told *told, size_t *ret_told)
{
	const struct alerts_config *c = b->alerts->config;

	for (struct live *l = b->first; l; l = l->next) {
		if (l->changed) {
			l->row.facts = batch_json(b, l->facts);
			if (!l->row.facts.p)
				return BUR_NOMEM;
			incidents[(*ret_n)++] = l->row;
		}
		for (size_t i = 0; i < c->n_channels; i++) {
			const struct reach *reach = &l->reach[i];

			if (reach->changed)
				told[(*ret_told)++] = (struct told){.incident = l->row.id,
								    .channel = slice_of(c->channels[i].name),
								    .ref = reach->ref.p ? reach->ref : SLICE(""),
								    .severity = (int)reach->severity,
								    .ts_ns = reach->ts_ns};
		}
	}
	return BUR_OK;
}

static void count_rows(const struct batch *b, size_t *ret_incidents, size_t *ret_told)
{
	for (const struct live *l = b->first; l; l = l->next) {
		*ret_incidents += l->changed;
		for (size_t i = 0; i < b->alerts->config->n_channels; i++)
			*ret_told += l->reach[i].changed;
	}
}

static int write_rows(struct batch *b)
{
	size_t max_incidents = 0, max_told = 0, n_incidents = 0, n_told = 0;
	struct incident *incidents;
	struct told *told;
	int r;

	count_rows(b, &max_incidents, &max_told);
	incidents = arena_alloc(&b->arena, (max_incidents + 1) * sizeof(*incidents));
	told = arena_alloc(&b->arena, (max_told + 1) * sizeof(*told));
	if (!incidents || !told)
		return BUR_NOMEM;
	r = gather(b, incidents, &n_incidents, told, &n_told);
	if (r < 0)
		return r;
	return alerts_write(b->alerts->deps.store, &(struct alerts_change){.cursor = b->cursor,
									   .incidents = incidents,
									   .n_incidents = n_incidents,
									   .events = b->events,
									   .n_events = b->n_events,
									   .outbox = b->outbox,
									   .n_outbox = b->n_outbox,
									   .told = told,
									   .n_told = n_told,
									   .action = b->action,
									   .object = b->object,
									   .actor = b->actor,
									   .reason = b->reason,
									   .now_ns = b->now_ns});
}

int batch_write(struct batch *b)
{
	int r = write_rows(b);

	if (r < 0)
		core_forget(b->alerts, r);
	else
		b->alerts->queued = b->alerts->queued || b->n_outbox > 0;
	return r;
}
