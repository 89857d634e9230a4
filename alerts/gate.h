/* gate.h - may this message go to this channel now? In this order:
 *
 *   duplicate   the same was told lately and it is not worse now                    dropped
 *   flapping    the same was told lately, ended, and began again                    held until that is no more lately:
 *                                                                                   told then if it still goes on
 *   muted       somebody asked for silence about it                                 held until that is over
 *   quiet       the channel's quiet hours, and it is not critical                   held until they end
 *   rate        so many messages in the channel's sliding window                    held until it opens
 *   queue_full  so many wait for the channel already                                held until it is shorter
 *
 * The rate comes after the silences because only what would be told counts against it, and what is held for a mute
 * must not slip out in the digest of what was too much. Least severities are the rules' (rule.h).
 * Pure: the time is passed in; what was queued when is told with gate_count, also after a restart. One thread. */
#ifndef ALERTS_GATE_H
#define ALERTS_GATE_H

#include "alerts/rule.h"

struct gate;

#define GATE_QUEUE_MAX 1000 /* messages that wait for one channel */
#define GATE_QUEUE_LOOK_NS (INT64_C(10) * 1000000000)

struct gate *gate_new(const struct alerts_config *) NONNULL(1) MUST_USE; /* the config outlives it; NULL: no memory */
void gate_free(struct gate *);
/* A message was queued then. In any order of time. */
void gate_count(struct gate *, size_t channel, int64_t queued_ns) NONNULL(1);
/* Would a message pass the rate now? 0, or when it will (unless more comes). */
int64_t gate_opens_ns(struct gate *, size_t channel, bool critical, int64_t now_ns) NONNULL(1);

/* What the channel was told of the incident lately, or is going to be. */
struct gate_recent {
	size_t channel;
	int64_t at_ns;
	enum severity severity;
	uint64_t mark; /* of gate_mark */
	bool before;   /* of an incident of the same key that is over */
};
/* Type and threshold as a number: an alert of another threshold is not a repetition. */
uint64_t gate_mark(const char *type, double threshold) NONNULL(1);

struct gate_ask {
	size_t channel;
	enum message_op op;
	enum severity severity;
	double threshold; /* 0: it is about no threshold */
	uint64_t mark;
	bool told;        /* the channel knows of the incident */
	bool editable;    /* ... and under which name it can be changed in place */
	bool again;       /* it was held before: duplicates were looked for then */
	int64_t muted_ns; /* until then; 0: not */
	size_t waiting;   /* messages of the channel that wait to be sent */
	const struct gate_recent *recent;
	size_t n_recent;
	int64_t now_ns;
};
enum gate_answer { GATE_PASS, GATE_DUPLICATE, GATE_FLAPPING, GATE_MUTED, GATE_QUIET, GATE_RATE, GATE_QUEUE };
const char *gate_answer_name(
    enum gate_answer); /* "", "duplicate", "flapping", "muted", "quiet", "rate_limited", "queue_full" */
/* *ret_until_ns: when a held one is worth another look. Counts nothing. */
enum gate_answer gate_ask(struct gate *, const struct gate_ask *, int64_t *ret_until_ns) NONNULL(1, 2, 3) MUST_USE;
/* Does a message that passed count against the rate? */
bool gate_counts(const struct gate *, const struct gate_ask *) NONNULL(1, 2);

/* The end of the silence that now_ns is in; 0: there is none. */
int64_t quiet_until_ns(const struct quiet_hours *, int64_t now_ns) NONNULL(1);

#endif
