/* batch.h - what one transaction will write, gathered in memory: incidents as they will be, messages, what channels
 * were told. Later decisions of a batch see what earlier ones did. If the write fails nothing of it happened: the
 * caller's memory of the store (gate, ids) is thrown away and read again. Control thread. */
#ifndef ALERTS_BATCH_H
#define ALERTS_BATCH_H

#include "alerts/event.h"
#include "alerts/core.h"
#include "base/arena.h"

/* What a channel knows of an incident. */
struct reach {
	bool told;   /* by a message of its own: a row of `told` */
	bool merged; /* as part of a digest */
	bool held;   /* something waits to be told */
	bool changed;
	enum severity severity; /* the worst that it was told */
	int64_t ts_ns;
	struct slice ref;
};

/* An incident as the batch leaves it. */
struct live {
	struct live *next;
	struct incident row; /* its texts live in the arena; facts are made of `facts` when it is written */
	json_t *facts;
	struct reach *reach; /* for each channel */
	struct gate_recent *recent;
	size_t n_recent, recent_cap;
	bool changed;
	bool history; /* merged and held are known */
};

struct batch {
	struct alerts *alerts;
	struct arena arena;
	int64_t now_ns;
	int64_t cursor; /* 0: as it was */
	struct live *first, **last;
	struct outbox_row *outbox;
	size_t n_outbox, outbox_cap;
	struct incident_event *events;
	size_t n_events, events_cap;
	int64_t waiting[ALERTS_CHANNELS_MAX]; /* messages that wait to be sent; -1: not looked yet */
	const char *action, *object, *actor, *reason;
};

void batch_begin(struct batch *, struct alerts *) NONNULL(1, 2);
/* BUR_OK, or why not: then nothing was written and core_forget was called. */
int batch_write(struct batch *) NONNULL(1) MUST_USE;
void batch_end(struct batch *) NONNULL(1);
bool batch_is_full(const struct batch *) NONNULL(1); /* room for what one more event needs is not sure */

/* In the arena; .p NULL: no memory. */
struct slice batch_text(struct batch *, struct slice) NONNULL(1) MUST_USE;
struct slice batch_json(struct batch *, const json_t *) NONNULL(1, 2) MUST_USE;
/* Keeps it until batch_end. false: no memory, it is dropped at once. */
bool batch_keep(struct batch *, json_t *) NONNULL(1) MUST_USE;

/* With id 0 it gets the next one: returned in *ret_id (may be NULL). The texts must live as long as the batch. */
int batch_outbox(struct batch *, const struct outbox_row *, int64_t *ret_id) NONNULL(1, 2) MUST_USE;
int batch_event(struct batch *, const struct incident_event *) NONNULL(1, 2) MUST_USE;
/* How many messages wait for the channel, those of this batch too. */
int batch_waiting(struct batch *, size_t channel, size_t *ret) NONNULL(1, 3) MUST_USE;

/* The open incident with that key, the incident with that id. BUR_NOTFOUND. */
int live_by_key(struct batch *, struct slice key, struct live **ret) NONNULL(1, 3) MUST_USE;
int live_by_id(struct batch *, int64_t id, struct live **ret) NONNULL(1, 3) MUST_USE;
/* Opens one. */
int live_open(struct batch *, const struct event *, struct live **ret) NONNULL(1, 2, 3) MUST_USE;
/* Looks up what is merged and held. */
int live_history(struct batch *, struct live *) NONNULL(1, 2) MUST_USE;
int live_recent(struct batch *, struct live *, const struct gate_recent *) NONNULL(1, 2, 3) MUST_USE;

#endif
