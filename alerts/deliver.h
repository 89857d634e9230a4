/* deliver.h - takes what is due from the outbox and sends it: one message at a time for each channel, in the order of
 * time; what came of it is written before the next. Knows nothing of rules and incidents.
 *
 * A try that fails is repeated after 5 s, 30 s, 2 min, 10 min, 30 min, 1 h, 3 h, 6 h, 12 h, 24 h (each +-20 %), later
 * if the peer says so (at most 24 h); after ten tries the message is dead. Of a dead message, a channel that is set up
 * wrongly or gone, an event tells the other channels (system.degraded, object_kind "channel"); its end is told at the
 * first success.
 *
 * A channel whose last tries failed is not tried for every message that waits (pauses up to a minute); one that is set
 * up wrongly, hourly; one that is gone, or failed for five days, not until it is enabled. A restart is one more chance,
 * as the configuration may be another. Messages of one incident keep their order. A test message passes all of that, is
 * tried once, and nothing follows from its failure. */
#ifndef ALERTS_DELIVER_H
#define ALERTS_DELIVER_H

#include "alerts/alerts.h"

struct deliver;
struct sqlite3;

#define DELIVER_TRIES_MAX 10

struct deliver *deliver_new(const struct alerts_config *, const struct alerts_deps *, struct sqlite3 *reader)
    NONNULL(1, 2, 3) MUST_USE;
void deliver_free(struct deliver *); /* what is under way stays queued; NULL is fine */
/* Begins what is due, as far as channels are free. Cheap when nothing is. */
void deliver_tick(struct deliver *, int64_t now_ns) NONNULL(1);
/* Rows were queued or changed by others: look at the outbox at the next tick even if nothing was due before. */
void deliver_wake(struct deliver *) NONNULL(1);
bool deliver_idle(const struct deliver *) NONNULL(1); /* nothing is under way and nothing is due now */
/* A disabled channel is tried again, from now on. BUR_NOTFOUND: no such channel. BUR_INVALID: an actor that the audit
 * log refuses. BUR_IO. */
int deliver_enable(struct deliver *, const char *channel, const char *actor) NONNULL(1, 2, 3) MUST_USE;
/* Builds the message of an outbox row or of a preview: brief and request in the arena. BUR_OK or what the channel said.
 */
int deliver_compose(const struct alerts_config *, const struct channel *, struct message *inout, struct brief *brief,
		    struct request *ret) NONNULL(1, 2, 3, 4, 5) MUST_USE;

/* How long until try number `attempt` + 1, by the table, jitter included: seed in 0..UINT32_MAX. */
int64_t deliver_delay_s(int attempt, uint32_t seed) MUST_USE;

/* For metrics, since the start. */
struct deliver_counts {
	uint64_t sent, failed, dead;
};
struct histogram;
void deliver_count(const struct deliver *, size_t channel, struct deliver_counts *ret) NONNULL(1, 3);
/* The counts by type too: visit is called for each (channel, type, outcome word) with its number. */
void deliver_each_count(const struct deliver *,
			void (*visit)(void *ctx, const char *channel, const char *type, const char *outcome,
				      uint64_t n),
			void *ctx) NONNULL(1, 2);
/* Seconds from the event to its delivery, of all channels: for bursar_alert_delivery_seconds. */
const struct histogram *deliver_seconds(const struct deliver *) NONNULL(1);

#endif
