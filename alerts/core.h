/* core.h - one alerts object, for the files of this room only; all of its turns but sending. Control thread. */
#ifndef ALERTS_CORE_H
#define ALERTS_CORE_H

#include <jansson.h>

#include "alerts/alerts.h"
#include "alerts/gate.h"
#include "alerts/mute.h"
#include "store/alerts.h"

struct deliver;

/* Incidents that a rule wants escalated when nobody acknowledges them (escalate.c). */
struct deadline {
	int64_t incident, due_ns;
};
#define DEADLINES_MAX 16384

struct alerts {
	unsigned magic;
	const struct alerts_config *config;
	struct alerts_deps deps;
	struct sqlite3 *reader;  /* read-only; what alerts_write has written is seen at once */
	struct deliver *deliver; /* NULL: nothing is sent (tests of what comes before) */
	char instance[16];       /* prefix of ids that others see */

	/* What follows comes from the store; a write that failed makes it unknown, and it is read again. */
	bool loaded;
	int64_t retry_ns; /* not before */
	int64_t seen_ns;  /* the time of the last turn */
	int64_t cursor, next_incident, next_outbox;
	struct gate *gate;
	struct mutes mutes;
	int64_t held_ns[ALERTS_CHANNELS_MAX]; /* when a held message of the channel may be over; INT64_MAX: none is */
	struct deadline *deadlines;
	size_t n_deadlines;

	size_t intake_max; /* events at a time; fewer while something fails */
	int intake_failures;
	bool behind;               /* events wait that were not taken in yet */
	bool queued;               /* messages were queued: deliver is to look */
	int64_t look_ns, prune_ns; /* next look for incidents that are over; next pruning */
	bool mutes_changed;        /* messages that were held by a mute are looked at again */
	size_t next_release;       /* the channel whose held messages are looked at next */
};
#define ALERTS_MAGIC 0x616c7274U

/* alerts->config and deps are set. BUR_OK, BUR_NOMEM, BUR_IO. */
int core_open(struct alerts *) NONNULL(1) MUST_USE;
void core_close(struct alerts *) NONNULL(1);
void core_tick(struct alerts *) NONNULL(1);
bool core_idle(const struct alerts *) NONNULL(1);
int64_t alerts_now(const struct alerts *) NONNULL(1); /* wall, ns */
/* What is known is thrown away and read again: after a write that failed. */
void core_forget(struct alerts *, int code) NONNULL(1);

/* test_message.c: a test message to one channel (its name or its group) or to all, past the gate; at most max ids of
 * outbox rows. BUR_NOTFOUND: no such channel. BUR_FULL. BUR_NOMEM, BUR_IO. */
int alerts_test(struct alerts *, const char *channel, int64_t *ret_ids, size_t max, size_t *ret_n)
    NONNULL(1, 3, 5) MUST_USE;

#endif
