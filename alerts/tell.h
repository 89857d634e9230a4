/* tell.h - one thing that happened to an incident, told to several channels: what the gate says of each, then the rows
 * of the outbox with their facts. Control thread. */
#ifndef ALERTS_TELL_H
#define ALERTS_TELL_H

#include "alerts/batch.h"

struct telling {
	struct batch *batch;
	struct live *live;
	int64_t event;  /* the outbox's; 0: none */
	bool own_event; /* the event is about nothing else: its number alone is the message's id */
	json_t *facts;  /* state and id are set for each message */
	enum severity severity;
	double threshold;
	uint64_t mark;
	int64_t muted_ns;
	struct {
		bool on;
		enum message_op op;
		enum outbox_state state;
		const char *reason;
		int64_t next_ns;
	} to[ALERTS_CHANNELS_MAX];
};

/* Type, threshold, severity and mutes come from the facts, which stay the caller's. */
void tell_begin(struct telling *, struct batch *, struct live *, json_t *facts) NONNULL(1, 2, 3, 4);
/* Asks the gate. BUR_OK, BUR_IO. */
int tell_ask(struct telling *, size_t channel, enum message_op) NONNULL(1) MUST_USE;
/* Decides without it. */
void tell_as(struct telling *, size_t channel, enum message_op, enum outbox_state, const char *reason, int64_t next_ns)
    NONNULL(1, 5);
/* As JSON: what is told to nobody by itself is kept in short. .p NULL: no memory. */
struct slice tell_short_facts(struct batch *, const json_t *facts) NONNULL(1, 2) MUST_USE;
/* Figures are looked up once if anything is really queued, then the rows are added to the batch. */
int tell_write(struct telling *) NONNULL(1) MUST_USE;

/* "<instance>-12", "<instance>-12-acknowledged", "<instance>-d7" of outbox row 7. */
#define MESSAGE_ID_MAX 64
void message_id(const struct alerts *, int64_t event, bool own_event, enum message_op, int64_t outbox,
		char dst[MESSAGE_ID_MAX]) NONNULL(1, 6);
/* facts.links, and what `figures` knows. BUR_OK, BUR_NOMEM, BUR_CRYPTO. */
int tell_figures(struct alerts *, json_t *facts, int64_t incident, bool over, int64_t now_ns) NONNULL(1, 2) MUST_USE;

#endif
