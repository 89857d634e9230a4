/* store_alerts_help.h - a store with its writer, a reader beside it, and copies of what is visited. */
#ifndef TESTS_STORE_ALERTS_HELP_H
#define TESTS_STORE_ALERTS_HELP_H

#include "store/alerts.h"
#include "store/note.h"
#include "tests/unit/store_dir.h"

#define S(n) ((n)*NS_PER_S)

static struct store_config cfg;
static struct store *s;
static sqlite3 *db; /* reads */

static inline int open_store(void **state)
{
	if (setup(state) != 0)
		return 1;
	cfg = test_config(dir);
	s = must_open(&cfg, NULL);
	return store_reader(s, &db) != BUR_OK || store_start(s) != BUR_OK;
}

static inline int close_store(void **state)
{
	(void)sqlite3_close(db);
	store_close(s);
	return teardown(state);
}

static inline void restart(void)
{
	(void)sqlite3_close(db);
	store_close(s);
	s = must_open(&cfg, NULL);
	assert_int_equal(store_reader(s, &db), BUR_OK);
	assert_int_equal(store_start(s), BUR_OK);
}

static inline int64_t number(const char *sql)
{
	return sql_int(dir, sql);
}

/* --- copies of what is visited ------------------------------------------------------------------------------------ */

#define SEEN_MAX 64
struct seen {
	size_t n;
	int64_t id[SEEN_MAX];
	int state[SEEN_MAX];
	char text[SEEN_MAX][64]; /* payload, facts, ... */
};

static inline void see(struct seen *v, int64_t id, int state, struct slice text)
{
	assert_true(v->n < SEEN_MAX);
	v->id[v->n] = id;
	v->state[v->n] = state;
	(void)slice_to_cstr(text, v->text[v->n], sizeof v->text[0]);
	v->n++;
}

static inline int see_event(void *ctx, const struct event_row *r)
{
	see(ctx, r->id, r->action, r->payload);
	return BUR_OK;
}

static inline int see_incident(void *ctx, const struct incident *r)
{
	see(ctx, r->id, r->state, r->facts);
	return BUR_OK;
}

static inline int see_outbox(void *ctx, const struct outbox_row *r)
{
	see(ctx, r->id, r->state, r->facts);
	return BUR_OK;
}

static inline int see_try(void *ctx, const struct delivery_try *r)
{
	see(ctx, r->attempt, r->status, r->error);
	return BUR_OK;
}

static inline int see_told(void *ctx, const struct told *r)
{
	see(ctx, r->incident, r->resolved, r->ref);
	return BUR_OK;
}

static inline int see_mute(void *ctx, const struct mute *r)
{
	see(ctx, r->id, 0, r->reason);
	return BUR_OK;
}

static inline int see_channel(void *ctx, const struct channel_state *r)
{
	see(ctx, r->sent, r->disabled, r->channel);
	return BUR_OK;
}

static inline struct seen incidents(struct incident_filter f)
{
	struct seen v = {.n = 0};

	if (f.limit == 0)
		f.limit = SEEN_MAX;
	assert_int_equal(alerts_each_incident(db, &f, see_incident, &v), BUR_OK);
	return v;
}

static inline struct seen messages(struct outbox_filter f)
{
	struct seen v = {.n = 0};

	if (f.limit == 0)
		f.limit = SEEN_MAX;
	assert_int_equal(alerts_each_outbox(db, &f, see_outbox, &v), BUR_OK);
	return v;
}

/* --- making them -------------------------------------------------------------------------------------------------- */

static inline void note(const char *kind, const char *object, int64_t part, enum note_state state, const char *payload)
{
	const struct note n = {.kind = kind,
			       .object = slice_of(object),
			       .since_s = 10,
			       .part = part,
			       .state = state,
			       .at_ns = S(100),
			       .payload = slice_of(payload)};

	assert_int_equal(store_note(s, &n), BUR_OK);
}

static inline struct incident make_incident(int64_t id, const char *key)
{
	return (struct incident){.id = id,
				 .key = slice_of(key),
				 .type = SLICE("budget.threshold"),
				 .budget = SLICE("daily"),
				 .scope = SLICE("user=ann"),
				 .facts = SLICE("{\"message\":\"80 %\",\"limit_nanos\":5000000000,\"spent_nanos\":"
						"4000000000,\"unit\":\"USD\",\"ratio\":0.8}"),
				 .state = INCIDENT_FIRING,
				 .severity = 1,
				 .first_event = 1,
				 .last_event = 1,
				 .events = 1,
				 .opened_ns = S(100),
				 .changed_ns = S(100)};
}

static inline struct outbox_row make_message(int64_t id, int64_t event, const char *channel, int64_t next_s)
{
	return (struct outbox_row){.id = id,
				   .event = event,
				   .incident = 1,
				   .channel = slice_of(channel),
				   .facts = SLICE("{\"a\":1}"),
				   .op = 0,
				   .severity = 1,
				   .state = OUTBOX_QUEUED,
				   .created_ns = S(100),
				   .next_ns = S(next_s)};
}

static inline void write_incident(const struct incident *i)
{
	const struct alerts_change c = {.incidents = i, .n_incidents = 1};

	assert_int_equal(alerts_write(s, &c), BUR_OK);
}

static inline void write_message(const struct outbox_row *o)
{
	const struct alerts_change c = {.outbox = o, .n_outbox = 1};

	assert_int_equal(alerts_write(s, &c), BUR_OK);
}

#endif
