/* deliver_impl.h - what the files of delivery share: a lane for each channel, and the one message that is under way in
 * it.
 */
#ifndef ALERTS_DELIVER_IMPL_H
#define ALERTS_DELIVER_IMPL_H

#include "alerts/deliver.h"
#include "alerts/transport.h"
#include "base/arena.h"
#include "base/metrics.h"
#include "store/alerts.h"

#define JOB_BYTES_MAX (4 * 1024 * 1024)
#define JOB_STEPS_MAX 5     /* requests of one try */
#define REFRESH_MESSAGES 64 /* told again in one request */
#define TYPES_MAX 40
#define DELIVER_SET_BACK_NS (INT64_C(2) * 1000000000) /* less is no matter */

enum told_outcome { TOLD_SENT, TOLD_RETRY, TOLD_DEAD, TOLD_CHANNEL, TOLD_DISABLED, TOLD_DROPPED, TOLD_COUNT };

/* One try of one message, from the outbox row to the row of its result. */
struct job {
	struct lane *lane;
	struct arena arena;
	struct outbox_row row; /* its texts live in the arena */
	json_t *facts;
	struct brief brief;
	struct message message;
	struct request request;
	bool refresh; /* tells again what fires: no row */
	bool silent;  /* the channel says nothing in this case, or it is dropped: no try */
	/* The result, once it is known; kept until it is written. */
	bool ended;
	int64_t ended_ns, write_ns; /* write_ns: not before */
	struct verdict verdict;
	struct delivery_try attempt;
	struct told told;
	struct channel_state state;
	enum told_outcome outcome;
	bool give_notice, end_notice;
	char error[600];
};

struct lane {
	struct deliver *deliver;
	const struct channel *channel;
	struct job *job; /* NULL: free */
	bool look;       /* the outbox may have changed */
	int64_t due_ns;  /* when the next message is due, as far as is known; INT64_MAX: none waits */
	int64_t free_ns; /* the channel's least interval is over */
	int64_t hold_ns; /* nothing but tests before: the peer asked for it, or the channel must be mended first */
	int failures;    /* in a row */
	struct channel_state state;
	char why[VERDICT_WHY_MAX];
	/* An event told the others that this channel does not work, and none told that it does again. */
	bool noticed;
	int64_t noticed_s;
	int64_t refresh_ns, refresh_after;
	struct deliver_counts counts;
	uint64_t count[TYPES_MAX + 1][TOLD_COUNT]; /* the last: of types that are not in the table */
};

struct deliver {
	const struct alerts_config *config;
	struct alerts_deps deps;
	struct sqlite3 *reader;
	struct transport *transport;
	struct histogram seconds;
	char instance[16];
	bool loaded;     /* the states of the channels are known */
	int64_t seen_ns; /* the time of the last turn */
	size_t n_lanes;
	struct lane lane[];
};

int64_t deliver_now(const struct deliver *) NONNULL(1);

/* deliver_pick.c: the next message that may be sent. BUR_OK; BUR_NOTFOUND: none now, lane->due_ns says when; BUR_NOMEM,
 * BUR_IO. */
int lane_pick(struct lane *, struct job *, int64_t now_ns) NONNULL(1, 2) MUST_USE;
/* The open incidents that the channel was told, a page of them. BUR_NOTFOUND: none. */
int lane_pick_refresh(struct lane *, struct job *, struct message *list, size_t *ret_n, int64_t now_ns)
    NONNULL(1, 2, 3, 4) MUST_USE;

/* deliver_result.c: what the verdict means for the message and its channel; then written, all in one transaction. */
void job_decide(struct job *, const struct answer *, int64_t now_ns) NONNULL(1, 2);
int job_write(struct job *) NONNULL(1) MUST_USE;
/* deliver_gone.c: at the start. What waits for channels that are configured no more is dropped. */
int deliver_drop_gone(const struct deliver *, int64_t now_ns) NONNULL(1) MUST_USE;
/* Counts of all time of this process. */
void job_count(struct job *) NONNULL(1);

#endif
