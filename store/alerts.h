/* alerts.h - what is told to whom, as the store keeps it: events (table `event`), incidents, and the outbox of messages
 * to channels with every try. The rooms above decide; here each decision is one transaction.
 *
 *   event     what happened; written in the transaction of the state it reports (writer.c, note.h, switches.h)
 *   incident  what goes on: opened by an event, updated, acknowledged, resolved; at most one open for a dedup key;
 *             incident_event: which events it is made of; view `alerts`: the same as the cost API names it
 *   outbox    one message to one channel; key (event, channel, op)
 *   delivery  one row for each try of an outbox row; view `alert_deliveries`
 *   told      what a channel knows of an incident, and under which of its own names
 *   mute      what shall be silent, until when
 *   channel_state  channels that are disabled, and since when one fails
 *
 * Threads: the control thread writes (one transaction through store_execute); reading with any read-only connection. */
#ifndef STORE_ALERTS_H
#define STORE_ALERTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"
#include "store/store.h"

#define ALERTS_NAME_MAX 300          /* of a channel */
#define ALERTS_TEXT_MAX (256 * 1024) /* facts, and any other text */

/* --- events ------------------------------------------------------------------------------------------------------- */

struct event_row {
	int64_t id, ts_ns, uid, since, part;
	int action;                 /* enum note_state; below 100: a step of a budget */
	struct slice kind, payload; /* during the visit */
};
/* Those after `after`, in order, at most max. visit returns BUR_OK to go on. */
int alerts_each_event(struct sqlite3 *, int64_t after, size_t max, int (*visit)(void *ctx, const struct event_row *),
		      void *ctx) NONNULL(1, 4) MUST_USE;
int alerts_cursor(struct sqlite3 *, int64_t *ret) NONNULL(1, 2) MUST_USE; /* the last event that was taken in; 0 */
/* Tells installations apart, for ids that others see: 12 hex digits, made when the database was. BUR_NOTFOUND: it was
 * never opened by store_open. */
int alerts_instance(struct sqlite3 *, char ret[13]) NONNULL(1, 2) MUST_USE;

/* --- incidents ---------------------------------------------------------------------------------------------------- */

enum incident_state { INCIDENT_FIRING, INCIDENT_ACKED, INCIDENT_RESOLVED };
struct incident {
	int64_t id;                            /* given by the caller: alerts_next_incident */
	struct slice key, type, budget, scope; /* type: of the latest event */
	struct slice facts;                    /* JSON, of the latest event; writing: .p NULL leaves them as they are */
	enum incident_state state;
	int severity; /* of the worst event so far */
	int64_t first_event, last_event, events;
	int64_t opened_ns, changed_ns, acked_ns, resolved_ns, escalated_ns; /* 0: not */
	int64_t ends_ns; /* over by itself then if nothing more is heard; 0: no */
	struct slice by; /* who acknowledged or resolved it by hand; empty */
};
int alerts_next_incident(struct sqlite3 *, int64_t *ret) NONNULL(1, 2) MUST_USE;
struct incident_filter {
	bool open_only;
	int64_t id;       /* 0: any */
	struct slice key; /* .p NULL: any */
	int min_severity;
	int64_t since_ns, before_id; /* changed then or later; an id below this; 0: any */
	int64_t ends_before_ns;      /* open ones that are over by themselves by then; 0: any */
	size_t limit;                /* 1..1000; newest first */
};
int alerts_each_incident(struct sqlite3 *, const struct incident_filter *,
			 int (*visit)(void *ctx, const struct incident *), void *ctx) NONNULL(1, 2, 3) MUST_USE;
/* One event of an incident, as it was taken in: what escalation counts. */
struct incident_event {
	int64_t incident, event, ts_ns;
	int severity; /* its own */
};
/* The events of an incident with the severity of each, newest first, at most max; visit returns BUR_OK to go on. */
int alerts_each_incident_event(struct sqlite3 *, int64_t incident, size_t max,
			       int (*visit)(void *ctx, const struct event_row *, int severity), void *ctx)
    NONNULL(1, 4) MUST_USE;
/* The events of this incident at or after since_ns, as alerts_change.events put them down: how many there are, how many
 * have that severity, and when the first of those came (0: none). */
int alerts_incident_events(struct sqlite3 *, int64_t incident, int64_t since_ns, int severity, int64_t *ret_n,
			   int64_t *ret_n_same, int64_t *ret_first_same_ns) NONNULL(1, 5, 6, 7) MUST_USE;

/* --- outbox ------------------------------------------------------------------------------------------------------- */

enum outbox_state {
	OUTBOX_QUEUED, /* to be sent at next_ns */
	OUTBOX_SENT,
	OUTBOX_DEAD,    /* given up; `bursar alerts retry` */
	OUTBOX_HELD,    /* held back by the gate; goes into a digest, or is told when the hold is over */
	OUTBOX_MERGED,  /* told as part of a digest */
	OUTBOX_DROPPED, /* not told at all: duplicate, muted and over */
};
struct outbox_row {
	int64_t id, event, incident; /* id: given by the caller (alerts_next_outbox); event 0: a digest, a test, ... */
	struct slice channel, facts; /* facts: JSON */
	int op, severity;            /* enum message_op */
	enum outbox_state state;
	struct slice reason; /* why held or dropped: rate_limited duplicate quiet muted digest */
	int attempts;
	int64_t created_ns, next_ns, sent_ns;
	int last_status;
	struct slice last_error;
};
int alerts_next_outbox(struct sqlite3 *, int64_t *ret) NONNULL(1, 2) MUST_USE;
struct outbox_filter {
	int state;                   /* enum outbox_state; -1: any */
	struct slice channel;        /* .p NULL: any */
	int64_t incident, event, id; /* 0: any */
	int64_t due_ns;              /* > 0: next_ns at or before it, in the order of next_ns, id; else newest first */
	int64_t since_ns;            /* created then or later; 0: any */
	size_t limit;                /* 1..1000 */
};
int alerts_each_outbox(struct sqlite3 *, const struct outbox_filter *,
		       int (*visit)(void *ctx, const struct outbox_row *), void *ctx) NONNULL(1, 2, 3) MUST_USE;
/* channel.p NULL: of all. */
int alerts_count_outbox(struct sqlite3 *, struct slice channel, enum outbox_state, int64_t *ret) NONNULL(1, 4) MUST_USE;

struct delivery_try {
	int64_t outbox, ts_ns, took_ms;
	int attempt, status;
	bool success;
	struct slice error;
};
int alerts_each_try(struct sqlite3 *, int64_t outbox, int (*visit)(void *ctx, const struct delivery_try *), void *ctx)
    NONNULL(1, 3) MUST_USE;

/* What a channel knows of an incident. */
struct told {
	int64_t incident;
	struct slice channel, ref;
	int severity;  /* the worst that it was told */
	int64_t ts_ns; /* when it was told last; 0: queued, not yet told */
	bool resolved; /* it was told the end */
};
int alerts_each_told(struct sqlite3 *, int64_t incident, int (*visit)(void *ctx, const struct told *), void *ctx)
    NONNULL(1, 3) MUST_USE; /* incident 0: of all that are open */

/* --- silence, and channels ---------------------------------------------------------------------------------------- */

struct mute {
	int64_t id;
	struct slice budget, label, value, type; /* each empty: any; label "team" value "search" */
	int64_t from_ns, until_ns;
	struct slice by, reason;
};
int alerts_each_mute(struct sqlite3 *, int64_t now_ns, int (*visit)(void *ctx, const struct mute *), void *ctx)
    NONNULL(1, 3) MUST_USE; /* those that are not over */

struct channel_state {
	struct slice channel, why;
	bool disabled;
	int64_t since_ns; /* disabled, or failing without a success since; 0: neither */
	int64_t sent, failed, took_ms,
	    last_ns; /* of all time: successes, failed tries, sum over successes, last success */
};
int alerts_each_channel(struct sqlite3 *, int (*visit)(void *ctx, const struct channel_state *), void *ctx)
    NONNULL(1, 2) MUST_USE;

/* --- writing ------------------------------------------------------------------------------------------------------ */

/* What changes together, in this order. Arrays may be NULL. Rows with a known id are replaced (incident, mute, told,
 * channel_state) or updated (outbox: state, reason, attempts, next, sent, status, error; facts when .p is not NULL;
 * what is SENT or MERGED stays as it is, so that nothing is sent again because its first answer was lost). */
struct alerts_change {
	int64_t cursor; /* > 0: events up to it are taken in */
	const struct incident *incidents;
	size_t n_incidents;
	const struct incident_event *events; /* (incident, event) that is there already: left as it is */
	size_t n_events;
	const struct outbox_row
	    *outbox; /* an (event, channel, op) with event > 0 that is there already: left as it is */
	size_t n_outbox;
	const struct delivery_try *tries; /* (outbox, attempt, ts_ns) that is there already: left as it is */
	size_t n_tries;
	const struct told *told;
	size_t n_told;
	const struct mute *mutes; /* until_ns 0: removed; id 0: a new one, unless there is the same in all members */
	size_t n_mutes;
	const struct channel_state *channels;
	size_t n_channels;
	/* a row of the audit log, for what people do; NULL: none */
	const char *action, *object, *actor, *reason;
	int64_t now_ns;
};
#define ALERTS_ROWS_MAX 4096 /* of each array */
/* BUR_OK; BUR_IO, BUR_CORRUPT: nothing was written, or it is not known: the same again does no harm; BUR_ALREADY:
 * another incident of that key is open; BUR_INVALID: a text of the audit row; BUR_TOOBIG. Waits for the writer. */
int alerts_write(struct store *, const struct alerts_change *) NONNULL(1, 2) MUST_USE;
/* Messages that wait for a channel which is none of these are dropped: "channel_gone". Errors as above. */
int alerts_drop_gone(struct store *, const struct slice *channels, size_t n, size_t *ret_n) NONNULL(1, 4) MUST_USE;
/* The clock was set back by so much: what waits waits no longer for that, and nothing was made in the future. The same
 * again does no harm. Errors as above. */
int alerts_set_back(struct store *, int64_t back_ns, int64_t now_ns) NONNULL(1) MUST_USE;
/* Removes messages made before that which are sent, dropped, merged or dead, mutes that were over and incidents that
 * were resolved before it (unless a message about them is left), with all that belongs to them, at most `max` rows of
 * each; events stay (what was told once is known by them), and so do the newest ids. *ret_more: there is more. */
int alerts_prune(struct store *, int64_t before_ns, size_t max, bool *ret_more) NONNULL(1, 4) MUST_USE;

#endif
