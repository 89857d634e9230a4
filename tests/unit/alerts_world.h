/* alerts_world.h - a store with events in it, channels that send nothing, and a clock that tests turn: everything of
 * the alerts but delivery. */
#ifndef TESTS_ALERTS_WORLD_H
#define TESTS_ALERTS_WORLD_H

#include "alerts/digest.h"
#include "alerts/core.h"
#include "alerts/escalate.h"
#include "alerts/incident.h"
#include "store/note.h"
#include "tests/unit/store_help.h"

#define WORLD_CHANNELS_MAX 4
#define SECOND NS_PER_S
#define MINUTE (60 * NS_PER_S)
#define HOUR (60 * MINUTE)
#define MORNING (INT64_C(1795248000) * NS_PER_S) /* 2026-11-21 08:00 UTC */

struct world {
	char dir[64];
	struct store *store;
	struct alerts *alerts;
	struct alerts_config config;
	struct channel channels[WORLD_CHANNELS_MAX];
	struct rule rules[2];
	int64_t now_ns, part;
	int figured;
};

static const struct channel_ops world_chat = {.type = "chat"}, world_page = {.type = "page", .stateful = true},
				world_edit = {.type = "edit", .in_place = true};

static inline int64_t world_now(void *ctx)
{
	return ((struct world *)ctx)->now_ns;
}

static inline void world_figures(void *ctx, json_t *facts)
{
	((struct world *)ctx)->figured++;
	(void)json_object_set_new(facts, "next", json_string("Calls are refused."));
}

static inline struct channel *add_channel(struct world *w, const char *name, const struct channel_ops *ops)
{
	struct channel *c = &w->channels[w->config.n_channels++];

	*c = (struct channel){.name = name,
			      .group = name,
			      .ops = ops,
			      .severity = SEVERITY_INFO,
			      .window_s = 300,
			      .per_window = 10,
			      .critical_per_window = 30,
			      .gap_s = 300,
			      .critical_gap_s = 60,
			      .resolves = true};
	w->config.channels = w->channels;
	return c;
}

static inline void start_alerts(struct world *w)
{
	struct alerts *a = calloc(1, sizeof(*a));

	assert_non_null(a);
	a->config = &w->config;
	a->deps = (struct alerts_deps){.store = w->store, .now_ns = world_now, .figures = world_figures, .ctx = w};
	assert_int_equal(core_open(a), BUR_OK);
	w->alerts = a;
}

/* As kill -9 leaves it: nothing but the store. */
static inline void stop_alerts(struct world *w)
{
	core_close(w->alerts);
	free(w->alerts);
	w->alerts = NULL;
}

static inline void begin_world(struct world *w)
{
	struct store_config cfg;

	memset(w, 0, sizeof(*w));
	w->now_ns = MORNING;
	w->config = (struct alerts_config){.enabled = true, .public_url = "", .node = "node-1", .escalate = true};
	cfg = test_config(new_dir(w->dir));
	w->store = must_open(&cfg, NULL);
	assert_int_equal(store_start(w->store), BUR_OK);
}

static inline void end_world(struct world *w)
{
	if (w->alerts)
		stop_alerts(w);
	store_close(w->store);
	remove_dir(w->dir);
}

struct world_event {
	const char *kind, *payload;
	int64_t ts_ns, uid, part;
	int action;
};

static inline int insert_event(sqlite3 *db, void *arg)
{
	const struct world_event *e = arg;
	sqlite3_stmt *st = NULL;
	int rc;

	assert_int_equal(sqlite3_prepare_v2(db,
					    "INSERT INTO event(ts,kind,uid,win_start,at_ppm,action,payload)"
					    " VALUES(?1,?2,?3,?1,?4,?5,?6)",
					    -1, &st, NULL),
			 SQLITE_OK);
	(void)sqlite3_bind_int64(st, 1, e->ts_ns);
	(void)sqlite3_bind_text(st, 2, e->kind, -1, SQLITE_STATIC);
	(void)sqlite3_bind_int64(st, 3, e->uid);
	(void)sqlite3_bind_int64(st, 4, e->part);
	(void)sqlite3_bind_int(st, 5, e->action);
	(void)sqlite3_bind_text(st, 6, e->payload, -1, SQLITE_STATIC);
	rc = sqlite3_step(st);
	if (rc != SQLITE_DONE)
		print_message("%s\n", sqlite3_errmsg(db));
	assert_int_equal(rc, SQLITE_DONE);
	(void)sqlite3_finalize(st);
	return BUR_OK;
}

static inline void put_event(struct world *w, const char *kind, int action, int64_t part, const char *payload)
{
	struct world_event e = {
	    .kind = kind, .payload = payload, .ts_ns = w->now_ns, .uid = ++w->part, .part = part, .action = action};

	assert_int_equal(store_execute(w->store, insert_event, &e), BUR_OK);
}

/* A budget's threshold, in percent of a limit of 100 USD. */
static inline void put_threshold(struct world *w, const char *budget, int percent)
{
	char payload[600];

	(void)snprintf(payload, sizeof(payload),
		       "{\"budget\":\"%s\",\"scope\":\"\",\"action\":\"alert\",\"at_ppm\":%d,\"posted\":%lld,"
		       "\"held\":0,\"limit\":100000000000,\"win_start\":%lld,\"win_end\":%lld}",
		       budget, percent * 10000, percent * 1000000000LL, (long long)(MORNING / NS_PER_S),
		       (long long)(MORNING / NS_PER_S + 86400));
	put_event(w, "budget.threshold", 0, percent * 10000, payload);
}

static inline void put_reset(struct world *w, const char *budget)
{
	char payload[300];

	(void)snprintf(payload, sizeof(payload), "{\"budget\":\"%s\",\"scope\":\"\",\"win_start\":%lld}", budget,
		       (long long)(MORNING / NS_PER_S));
	put_event(w, "budget.reset", NOTE_BEGAN, 0, payload);
}

static inline void put_note(struct world *w, const char *kind, int action, int64_t part, const char *object)
{
	char payload[300];

	(void)snprintf(payload, sizeof(payload), "{\"object\":\"%s\",\"object_kind\":\"model\",\"message\":\"m\"}",
		       object);
	put_event(w, kind, action, part, payload);
}

/* Until there is nothing to do at this time. */
static inline void run(struct world *w)
{
	int64_t until_ns = clock_mono_ns() + 120 * NS_PER_S;

	do {
		core_tick(w->alerts);
		if (core_idle(w->alerts))
			return;
	} while (clock_mono_ns() < until_ns);
	fail_msg("the alerts do not come to rest");
}

static inline void later(struct world *w, int64_t ns)
{
	w->now_ns += ns;
	w->alerts->look_ns = 0;
	run(w);
}

static inline int64_t number(struct world *w, const char *sql)
{
	return sql_int(w->dir, sql);
}

/* How many messages of the channel are in a state (-1: any), of one op (-1: any). */
static inline int64_t rows(struct world *w, const char *channel, int op, int state)
{
	char sql[300];

	(void)snprintf(sql, sizeof(sql),
		       "SELECT count(*) FROM outbox WHERE channel='%s' AND (%d<0 OR op=%d) AND (%d<0 OR state=%d)",
		       channel, op, op, state, state);
	return number(w, sql);
}

/* They were sent, as far as the store knows. */
static inline void send_queued(struct world *w)
{
	char sql[300];

	(void)snprintf(sql, sizeof(sql), "UPDATE outbox SET state=1,sent=%lld WHERE state=0", (long long)w->now_ns);
	sql_change(w->dir, sql);
	(void)snprintf(sql, sizeof(sql), "UPDATE told SET ts=%lld WHERE ts=0", (long long)w->now_ns);
	sql_change(w->dir, sql);
}

static inline json_t *facts_of(struct world *w, const char *where)
{
	char sql[400];
	sqlite3 *db = raw_db(w->dir, false);
	sqlite3_stmt *st = NULL;
	json_t *o;

	(void)snprintf(sql, sizeof(sql), "SELECT facts FROM %s ORDER BY id DESC LIMIT 1", where);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	o = json_loads((const char *)sqlite3_column_text(st, 0), 0, NULL);
	(void)sqlite3_finalize(st);
	(void)sqlite3_close(db);
	assert_non_null(o);
	return o;
}

#endif
