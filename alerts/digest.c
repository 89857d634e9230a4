#include "alerts/digest.h"

#include <string.h>

#include "alerts/link.h"
#include "alerts/sentence.h"
#include "alerts/tell.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"

#define TICK_NS (10 * NS_PER_MS)
#define GROWING_NS 1 /* next_ns of a digest that is still being gathered: it comes first */

/* A message that is held, and what becomes of it. */
struct held {
	struct outbox_row row;
	json_t *facts;
	enum { STAYS, WAITS, DROPS, SENDS, MERGES } fate;
};

struct release {
	struct batch b;
	struct alerts *alerts;
	size_t channel;
	const struct channel *config;
	bool only_muted; /* look at what a mute holds, due or not */
	struct held *list;
	size_t n;
	bool more;           /* there may be more than the list */
	struct held *digest; /* that is being gathered */
	bool critical;       /* something critical waits */
	int64_t look_ns;     /* the next look; INT64_MAX: as the store says */
};

/* --- reading ------------------------------------------------------------------------------------------------------ */

static int take(void *ctx, const struct outbox_row *row)
{
	struct release *q = ctx;
	struct held *h = &q->list[q->n];

	CHECK(q->n < DIGEST_STEP);
	*h = (struct held){.row = *row};
	h->row.channel = slice_of(q->config->name);
	h->row.reason = batch_text(&q->b, row->reason);
	h->row.last_error = batch_text(&q->b, row->last_error);
	h->row.facts = SLICE_NONE; /* as they are */
	h->facts = json_loadb(row->facts.p, row->facts.n, 0, NULL);
	if (!json_is_object(h->facts)) {
		json_decref(h->facts);
		h->facts = json_object();
	}
	if (!batch_keep(&q->b, h->facts) || !h->row.reason.p || !h->row.last_error.p)
		return BUR_NOMEM;
	if (row->op == SAY_DIGEST)
		q->digest = h;
	q->n++;
	return BUR_OK;
}

static int read_held(struct release *q)
{
	const struct outbox_filter f = {.state = OUTBOX_HELD,
					.channel = slice_of(q->config->name),
					.due_ns = q->only_muted ? INT64_MAX : q->b.now_ns,
					.limit = DIGEST_STEP};
	int r;

	q->list = arena_alloc(&q->b.arena, DIGEST_STEP * sizeof(*q->list));
	if (!q->list)
		return BUR_NOMEM;
	r = alerts_each_outbox(q->alerts->reader, &f, take, q);
	q->more = q->n == DIGEST_STEP;
	return r;
}

static int take_next(void *ctx, const struct outbox_row *row)
{
	*(int64_t *)ctx = row->next_ns;
	return BUR_OK;
}

static int next_look(struct alerts *a, size_t channel)
{
	const struct outbox_filter f = {.state = OUTBOX_HELD,
					.channel = slice_of(a->config->channels[channel].name),
					.due_ns = INT64_MAX,
					.limit = 1};

	a->held_ns[channel] = INT64_MAX;
	return alerts_each_outbox(a->reader, &f, take_next, &a->held_ns[channel]);
}

static int take_state(void *ctx, const struct incident *row)
{
	*(bool *)ctx = row->state != INCIDENT_RESOLVED;
	return BUR_OK;
}

static int is_open(struct release *q, int64_t incident, bool *ret)
{
	*ret = false;
	return alerts_each_incident(q->alerts->reader, &(struct incident_filter){.id = incident, .limit = 1},
				    take_state, ret);
}

/* --- what becomes of each ----------------------------------------------------------------------------------------- */

static bool opens(const struct held *h)
{
	return h->row.op == SAY_FIRE || h->row.op == SAY_UPDATE || h->row.op == SAY_ESCALATE;
}

static void stay(struct held *h, enum gate_answer why, int64_t until_ns)
{
	struct slice reason = slice_of(gate_answer_name(why));

	if (h->row.next_ns == until_ns && slice_eq(h->row.reason, reason))
		return;
	h->fate = WAITS;
	h->row.reason = reason;
	h->row.next_ns = until_ns;
}

static void drop(struct held *h, const char *reason)
{
	h->fate = DROPS;
	h->row.state = OUTBOX_DROPPED;
	h->row.reason = slice_of(reason);
}

static bool is_silent(struct release *q, struct held *h)
{
	struct gate_ask ask = {
	    .channel = q->channel,
	    .op = (enum message_op)h->row.op,
	    .severity = (enum severity)h->row.severity,
	    .again = true,
	    .muted_ns = mutes_cover(&q->alerts->mutes, h->facts, q->b.now_ns),
	    .now_ns = q->b.now_ns,
	};
	int64_t until_ns = 0;
	enum gate_answer answer = gate_ask(q->alerts->gate, &ask, &until_ns);

	if (answer != GATE_MUTED && answer != GATE_QUIET)
		return false;
	stay(h, answer, until_ns);
	return true;
}

static int take_newer(void *ctx, const struct outbox_row *row)
{
	bool *newer = ctx;

	if ((row->op == SAY_FIRE || row->op == SAY_UPDATE || row->op == SAY_ESCALATE) &&
	    (row->state == OUTBOX_QUEUED || row->state == OUTBOX_SENT))
		*newer = true;
	return BUR_OK;
}

/* Something newer of the incident was told, or is released too. */
static int is_outdated(const struct release *q, const struct held *h, bool *ret)
{
	const struct outbox_filter f = {.state = -1,
					.channel = slice_of(q->config->name),
					.incident = h->row.incident,
					.since_ns = h->row.created_ns + 1,
					.limit = 100};

	*ret = false;
	for (const struct held *k = h + 1; k < q->list + q->n && !*ret; k++)
		*ret = k->row.incident == h->row.incident && opens(k) && k->row.op != SAY_ESCALATE;
	return *ret ? BUR_OK : alerts_each_outbox(q->alerts->reader, &f, take_newer, ret);
}

/* What is over is not told, nor what something newer was told about. An escalation is, while it goes on. */
static int judge_one(struct release *q, struct held *h)
{
	bool open, outdated = false;
	int r = is_open(q, h->row.incident, &open);

	if (r == BUR_OK && open && h->row.op != SAY_ESCALATE)
		r = is_outdated(q, h, &outdated);
	if (r < 0)
		return r;
	if (!open)
		drop(h, "over");
	else if (outdated)
		drop(h, "newer");
	return BUR_OK;
}

/* Where the other side keeps incidents, when a mute is over, and of what came and went, only what goes on is told, each
 * once. */
static int judge(struct release *q, struct held *h)
{
	bool muted = slice_eq(h->row.reason, SLICE("muted")), flapping = slice_eq(h->row.reason, SLICE("flapping"));
	int r = BUR_OK;

	if (q->only_muted && !muted)
		return BUR_OK;
	if (is_silent(q, h))
		return BUR_OK;
	h->fate = MERGES;
	if (opens(h) && (muted || flapping || q->config->ops->stateful))
		r = judge_one(q, h);
	if (h->fate == MERGES && q->config->ops->stateful)
		h->fate = SENDS;
	if (h->fate >= SENDS && opens(h) && h->row.severity == SEVERITY_CRITICAL)
		q->critical = true;
	return r;
}

/* --- one by one --------------------------------------------------------------------------------------------------- */

static int send_one(struct release *q, struct held *h)
{
	struct live *l = NULL;
	bool over = true;
	int r = h->row.incident ? live_by_id(&q->b, h->row.incident, &l) : BUR_NOTFOUND;

	if (r < 0 && r != BUR_NOTFOUND)
		return r;
	if (l) {
		struct reach *reach = &l->reach[q->channel];

		over = l->row.state == INCIDENT_RESOLVED;
		if (opens(h) && (!reach->told || reach->severity < (enum severity)h->row.severity)) {
			reach->told = reach->changed = true;
			reach->severity = (enum severity)h->row.severity;
		}
	}
	r = tell_figures(q->alerts, h->facts, h->row.incident, over, q->b.now_ns);
	if (r < 0)
		return r;
	h->row.facts = batch_json(&q->b, h->facts);
	h->row.state = OUTBOX_QUEUED;
	h->row.reason = SLICE("");
	h->row.next_ns = q->b.now_ns;
	if (!h->row.facts.p)
		return BUR_NOMEM;
	gate_count(q->alerts->gate, q->channel, q->b.now_ns);
	return batch_outbox(&q->b, &h->row, NULL);
}

/* --- the digest --------------------------------------------------------------------------------------------------- */

static int count_in(json_t *counts, const char *name)
{
	int64_t n = json_integer_value(json_object_get(counts, name));

	return json_object_set_new(counts, name, json_integer(n + 1)) < 0 ? BUR_NOMEM : BUR_OK;
}

static int add_line(struct release *q, json_t *lines, const struct held *h)
{
	struct text title = {.n = 0};
	bool open = true;
	int r = opens(h) ? is_open(q, h->row.incident, &open) : BUR_OK;

	if (r < 0)
		return r;
	sentence_title(h->facts, (enum message_op)h->row.op, &title);
	return json_array_append_new(lines, event_words("%s%s", title.mem, open ? "" : " (over by now)")) < 0
		   ? BUR_NOMEM
		   : BUR_OK;
}

/* facts.digest, and the worst severity. */
static int add_to_digest(struct release *q, json_t *facts, const struct held *h)
{
	json_t *d = json_object_get(facts, "digest"), *lines = json_object_get(d, "lines");
	enum severity worst = fact_severity(facts), s = fact_severity(h->facts);
	int r = count_in(d, "count");

	if (r == BUR_OK)
		r = count_in(json_object_get(d, "by_type"), fact_text(h->facts, "type"));
	if (r == BUR_OK)
		r = count_in(json_object_get(d, "by_severity"), severity_name(s));
	if (r == BUR_OK && h->row.op == SAY_RESOLVE)
		r = count_in(d, "ended");
	if (r == BUR_OK && json_array_size(lines) < DIGEST_LINES)
		r = add_line(q, lines, h);
	/* An end is no reason to be loud. */
	if (r == BUR_OK && s > worst && h->row.op != SAY_RESOLVE)
		r = event_set_severity(facts, s);
	return r;
}

static json_t *new_digest(struct release *q, int64_t id)
{
	char text[MESSAGE_ID_MAX];
	const char *node = q->alerts->config->node ? q->alerts->config->node : "";
	json_t *facts;

	message_id(q->alerts, 0, false, SAY_DIGEST, id, text);
	facts = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:{s:s,s:s},s:{},s:s,s:i,s:o,s:{},s:{s:i,s:i,s:{},s:{},s:[]}}",
			  "id", text, "type", "digest", "severity", "info", "level", "info", "state",
			  message_op_name(SAY_DIGEST), "dedup_key", "", "scope", "kind", "global", "id", "", "labels",
			  "node", node, "revision", 1, "at", event_time(q->b.now_ns), "details", "digest", "count", 0,
			  "ended", 0, "by_type", "by_severity", "lines");
	return batch_keep(&q->b, facts) ? facts : NULL;
}

static int finish_digest(struct release *q, json_t *facts)
{
	json_t *d = json_object_get(facts, "digest"), *lines = json_object_get(d, "lines");
	long long n = fact_int(d, "count"), ended = fact_int(d, "ended");
	const char *s = n == 1 ? "" : "s", *were = n == 1 ? "was" : "were";
	json_t *words;

	if (n > DIGEST_LINES) {
		(void)json_array_remove(lines, DIGEST_LINES - 1);
		if (json_array_append_new(lines, event_words("and %lld more", n - (DIGEST_LINES - 1))) < 0)
			return BUR_NOMEM;
	}
	if (ended == n)
		words = event_words("%lld incident%s ended", n, s);
	else if (ended > 0)
		words = event_words("%lld alert%s %s held back, %lld of them about the end of something", n, s, were,
				    ended);
	else
		words = event_words("%lld alert%s %s held back", n, s, were);
	if (json_object_set_new(facts, "message", words) < 0 || json_object_set(facts, "title", words) < 0 ||
	    json_object_set_new(facts, "at", event_time(q->b.now_ns)) < 0)
		return BUR_NOMEM;
	return link_add(facts, q->alerts->config, q->alerts->deps.link_secret, 0, true, q->b.now_ns);
}

static int write_digest(struct release *q)
{
	struct outbox_row row = {.id = q->digest ? q->digest->row.id : q->alerts->next_outbox++,
				 .channel = slice_of(q->config->name),
				 .op = SAY_DIGEST,
				 .state = q->more ? OUTBOX_HELD : OUTBOX_QUEUED,
				 .reason = q->more ? SLICE("digest") : SLICE(""),
				 .created_ns = q->b.now_ns,
				 .next_ns = q->more ? GROWING_NS : q->b.now_ns,
				 .last_error = SLICE("")};
	json_t *facts = q->digest ? q->digest->facts : new_digest(q, row.id);
	int r = facts ? BUR_OK : BUR_NOMEM;

	if (!q->digest && r == BUR_OK)
		gate_count(q->alerts->gate, q->channel, q->b.now_ns);
	for (size_t i = 0; i < q->n && r == BUR_OK; i++) {
		struct held *h = &q->list[i];

		if (h->fate != MERGES)
			continue;
		r = add_to_digest(q, facts, h);
		h->row.state = OUTBOX_MERGED;
		h->row.reason = SLICE("digest");
		h->row.facts = tell_short_facts(&q->b, h->facts);
		if (r == BUR_OK)
			r = h->row.facts.p ? batch_outbox(&q->b, &h->row, NULL) : BUR_NOMEM;
	}
	if (r == BUR_OK && !q->more)
		r = finish_digest(q, facts);
	if (r < 0)
		return r;
	row.severity = (int)fact_severity(facts);
	row.facts = batch_json(&q->b, facts);
	return row.facts.p ? batch_outbox(&q->b, &row, NULL) : BUR_NOMEM;
}

/* --- one step ----------------------------------------------------------------------------------------------------- */

/* 0: something may be sent now; else when. */
static int may_send(struct release *q, int64_t *ret_later_ns)
{
	size_t waiting;
	int r = batch_waiting(&q->b, q->channel, &waiting);

	*ret_later_ns = 0;
	if (r == BUR_OK && waiting >= GATE_QUEUE_MAX)
		*ret_later_ns = q->b.now_ns + GATE_QUEUE_LOOK_NS;
	else if (r == BUR_OK && !q->digest)
		*ret_later_ns = gate_opens_ns(q->alerts->gate, q->channel, q->critical, q->b.now_ns);
	return r;
}

/* Messages of stateful channels, as many as the rate lets pass. */
static int send_all(struct release *q)
{
	int64_t later_ns = 0;
	int r = BUR_OK;

	for (size_t i = 0; i < q->n && r == BUR_OK && later_ns == 0; i++) {
		struct held *h = &q->list[i];

		if (h->fate != SENDS)
			continue;
		q->critical = h->row.severity == SEVERITY_CRITICAL;
		r = may_send(q, &later_ns);
		if (r == BUR_OK && later_ns == 0)
			r = send_one(q, h);
		if (r == BUR_OK && later_ns == 0 && q->b.waiting[q->channel] >= 0)
			q->b.waiting[q->channel]++;
	}
	if (later_ns > 0)
		q->look_ns = later_ns;
	return r;
}

static int merge_all(struct release *q)
{
	struct held *only = NULL;
	bool open = true;
	size_t n = 0;
	int64_t later_ns = 0;
	int r;

	for (size_t i = 0; i < q->n; i++) {
		if (q->list[i].fate == MERGES) {
			only = &q->list[i];
			n++;
		}
	}
	if (n == 0 && !q->digest)
		return BUR_OK;
	r = may_send(q, &later_ns);
	if (r < 0 || later_ns > 0) {
		q->look_ns = later_ns;
		return r;
	}
	if (n > 1 || q->digest || q->more)
		return write_digest(q);
	/* A single one is told as it is, unless it is over: nobody would be told of its end. */
	if (opens(only))
		r = is_open(q, only->row.incident, &open);
	if (r < 0)
		return r;
	return open ? send_one(q, only) : write_digest(q);
}

static int decide(struct release *q)
{
	int r = read_held(q);

	for (size_t i = 0; i < q->n && r == BUR_OK; i++)
		if (&q->list[i] != q->digest)
			r = judge(q, &q->list[i]);
	for (size_t i = 0; i < q->n && r == BUR_OK; i++)
		if (q->list[i].fate == WAITS || q->list[i].fate == DROPS)
			r = batch_outbox(&q->b, &q->list[i].row, NULL);
	if (r == BUR_OK)
		r = send_all(q);
	if (r == BUR_OK && !q->config->ops->stateful)
		r = merge_all(q);
	return r;
}

static int release(struct alerts *a, size_t channel)
{
	struct release q = {.alerts = a,
			    .channel = channel,
			    .config = &a->config->channels[channel],
			    .only_muted = a->mutes_changed,
			    .look_ns = INT64_MAX};
	int r;

	batch_begin(&q.b, a);
	r = decide(&q);
	if (r < 0)
		core_forget(a, r);
	else if (q.b.n_outbox > 0)
		r = batch_write(&q.b);
	if (r == BUR_OK)
		r = next_look(a, channel);
	if (r == BUR_OK && q.look_ns != INT64_MAX && a->held_ns[channel] < q.look_ns)
		a->held_ns[channel] = q.look_ns;
	batch_end(&q.b);
	return r;
}

int digest_tick(struct alerts *a)
{
	int64_t now_ns = alerts_now(a), until_ns = clock_mono_ns() + TICK_NS;
	size_t n = a->config->n_channels, left = n;
	int r = BUR_OK;

	/* Where the last tick stopped goes first now. */
	for (; left > 0 && r == BUR_OK && clock_mono_ns() < until_ns; left--) {
		size_t i = a->next_release++ % n;

		if (a->mutes_changed || a->held_ns[i] <= now_ns)
			r = release(a, i);
	}
	if (r == BUR_OK && left == 0)
		a->mutes_changed = false;
	return r;
}

/* --- what is held of an incident that is over --------------------------------------------------------------------- */

struct dropping {
	struct batch *b;
	const char *channel, *reason;
};

static bool is_pending(const struct batch *b, int64_t id)
{
	for (size_t i = 0; i < b->n_outbox; i++)
		if (b->outbox[i].id == id)
			return true;
	return false;
}

static int drop_row(void *ctx, const struct outbox_row *row)
{
	const struct dropping *d = ctx;
	struct outbox_row copy = *row;

	if (is_pending(d->b, row->id) || row->op == SAY_RESOLVE)
		return BUR_OK;
	copy.channel = slice_of(d->channel);
	copy.state = OUTBOX_DROPPED;
	copy.reason = slice_of(d->reason);
	copy.facts = SLICE_NONE;
	copy.last_error = batch_text(d->b, row->last_error);
	return copy.last_error.p ? batch_outbox(d->b, &copy, NULL) : BUR_NOMEM;
}

int held_drop(struct batch *b, int64_t incident, size_t channel, const char *reason)
{
	struct dropping d = {.b = b, .channel = b->alerts->config->channels[channel].name, .reason = reason};
	const struct outbox_filter f = {
	    .state = OUTBOX_HELD, .channel = slice_of(d.channel), .incident = incident, .limit = 1000};

	for (size_t i = 0; i < b->n_outbox; i++) {
		struct outbox_row *row = &b->outbox[i];

		if (row->incident == incident && row->state == OUTBOX_HELD && row->op != SAY_RESOLVE &&
		    slice_eq(row->channel, slice_of(d.channel))) {
			row->state = OUTBOX_DROPPED;
			row->reason = slice_of(reason);
		}
	}
	return alerts_each_outbox(b->alerts->reader, &f, drop_row, &d);
}
