/* escalate.h - told again, louder: when one thing is reported over and over (cost-endpoints C5.8), and when nobody
 * acknowledged it for as long as a rule says. Past the gate, though not past a mute. Control thread. */
#ifndef ALERTS_ESCALATE_H
#define ALERTS_ESCALATE_H

#include "alerts/batch.h"

#define ESCALATE_WINDOW_S 3600
#define ESCALATE_EVENTS 5

/* After an event was told: is it time? */
int escalate_event(struct batch *, struct live *, const struct event *) NONNULL(1, 2, 3) MUST_USE;
/* A rule may want this incident escalated when nobody acknowledges it. */
void escalate_watch(struct alerts *, int64_t incident, const json_t *facts, int64_t now_ns) NONNULL(1, 3);
/* Open incidents that such a rule is about, after a start. */
int escalate_load(struct alerts *) NONNULL(1) MUST_USE;
/* Those whose time has come. */
int escalate_tick(struct alerts *) NONNULL(1) MUST_USE;
/* "escalation_status" of the dashboard (cost-endpoints C5.8). NULL: no memory or the store cannot be read.
 */
json_t *escalation_status(struct alerts *) NONNULL(1) MUST_USE;

#endif
