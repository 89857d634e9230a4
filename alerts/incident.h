/* incident.h - what goes on: opened by an event, updated by more, acknowledged by people, ended by an event, by people,
 * or by itself. Control thread. */
#ifndef ALERTS_INCIDENT_H
#define ALERTS_INCIDENT_H

#include "alerts/tell.h"

/* An event that belongs to an open incident, or opens one: *ret, with its facts. Its severity and times are adapted;
 * whoever acknowledged it did not know that it would get worse. BUR_OK, BUR_NOMEM, BUR_IO. */
int incident_update(struct batch *, struct event *, struct live **ret) NONNULL(1, 2, 3) MUST_USE;
/* An event that ends one, or a part of it: channels that know of it are told of its end. No open one: nothing. */
int incident_end(struct batch *, struct event *) NONNULL(1, 2) MUST_USE;
/* Ends those that are over by themselves, at most `max`. *ret_more: there may be more. */
int incidents_look(struct alerts *, size_t max, bool *ret_more) NONNULL(1, 3) MUST_USE;

/* By hand; told to the channels that know of it, with a row of the audit log. BUR_NOTFOUND; BUR_ALREADY (it
 * is acknowledged or over); BUR_INVALID (actor or reason); BUR_NOMEM, BUR_IO. */
int incident_ack(struct alerts *, int64_t id, const char *actor, const char *reason) NONNULL(1, 3) MUST_USE;
int incident_resolve(struct alerts *, int64_t id, const char *actor, const char *reason) NONNULL(1, 3) MUST_USE;

#endif
