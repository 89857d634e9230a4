/* runaway.h - programs that have lost their way: finds one, and puts that one identity (key or user) in quarantine.
 *
 * Three signs, none of which ordinary traffic shows, however parallel it is:
 *
 * repeat   The same call (fingerprint of the whole request) again and again, each time AFTER an answer to it had come.
 *          Parallel copies of one prompt are one round: a new round begins only when a call of the present round has
 *          ended. So the count is the depth of the loop, not its width; sampling one prompt 500 times at once is one
 *          round. Rounds leak away at repeat_max per repeat_window (GCRA), so that a health check every ten seconds
 *          never adds up; it fires when repeat_max more came than leaked away, and they cost min_nanousd.
 * fan-out  Calls that start more calls: the number started per interval at least doubles, fanout_doublings times in a
 *          row, and arrives at fanout_min. A batch of any size is a jump and then level; a ramp is linear.
 * misses   A prompt that should come out of the vendor's cache and never does: the same prefix sent again after a call
 *          with it had ended, within cache_ttl, and nothing read from the cache, in miss_max rounds in a row that cost
 *          min_nanousd. One hit forgives all. First calls, parallel first calls, and late ones cannot hit and are not
 *          counted; of parallel calls one counts.
 *
 * A quarantine ends by itself: quarantine_ns, doubled each time it comes again within an hour of the last, up to an
 * hour; or by hand. Calls that cost nothing (polls) are not to be shown to the detector at all.
 * The signs are this project's own; the limits are configuration. Whoever embeds it decides what a quarantined
 * identity's call is told (429 with Retry-After up to 60 s, as for pacing).
 *
 * Bounded memory: a fixed table; the identity that was silent longest makes room, one in quarantine never does. With a
 * set full of quarantined ones a new identity goes unwatched. Of each identity the RUNAWAY_PRINTS likeliest loops are
 * remembered: a loop that hides among more than that many other calls between two of its
 * rounds is not found. Pure: no clock, no I/O, no malloc. Units: monotonic ns, nano-USD. Threads: the caller's lock. */
#ifndef POLICY_RUNAWAY_H
#define POLICY_RUNAWAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

#define RUNAWAY_SETS 128
#define RUNAWAY_WAYS 8 /* 1024 identities */
#define RUNAWAY_PRINTS 16

enum runaway_cause { RUNAWAY_NONE, RUNAWAY_REPEAT, RUNAWAY_FANOUT, RUNAWAY_MISSES };
const char *runaway_cause_name(enum runaway_cause); /* "repeat" */

/* A maximum or fanout_min of 0 switches that sign off. */
struct runaway_config {
	uint32_t repeat_max;
	int64_t repeat_window_ns;
	uint32_t fanout_doublings, fanout_min;
	int64_t fanout_interval_ns;
	uint32_t miss_max;
	int64_t cache_ttl_ns;
	int64_t min_nanousd; /* repeats and misses that cost less are let be */
	int64_t quarantine_ns;
};
#define RUNAWAY_QUARANTINE_MAX_NS INT64_C(3600000000000)
/* 50 rounds in 5 min that cost 10 cents; 6 doublings of 10 s to 128 calls; 20 misses within 5 min each; 5 min. */
#define RUNAWAY_CONFIG_DEFAULT                                                                                         \
	((struct runaway_config){.repeat_max = 50,                                                                     \
				 .repeat_window_ns = INT64_C(300000000000),                                            \
				 .fanout_doublings = 6,                                                                \
				 .fanout_min = 128,                                                                    \
				 .fanout_interval_ns = INT64_C(10000000000),                                           \
				 .miss_max = 20,                                                                       \
				 .cache_ttl_ns = INT64_C(300000000000),                                                \
				 .min_nanousd = INT64_C(100000000),                                                    \
				 .quarantine_ns = INT64_C(300000000000)})

struct runaway_print {
	uint64_t print; /* 0 = empty */
	bool prefix;
	bool ended; /* a call of this round has ended */
	uint32_t round;
	uint32_t count; /* rounds that ran ahead, or misses in a row */
	uint32_t missed_round;
	int64_t seen_ns, ended_ns;
	int64_t tat_ns;        /* rounds: GCRA */
	int64_t spent_nanousd; /* on what was counted */
};
struct runaway_identity {
	uint64_t id; /* 0 = empty */
	int64_t seen_ns, until_ns;
	uint32_t quarantines; /* in a row */
	uint32_t started, started_before, doublings;
	int64_t interval; /* number of the present one */
	struct runaway_print print[RUNAWAY_PRINTS];
};
/* About 1 MiB; all zero is empty. */
struct runaway {
	struct runaway_identity set[RUNAWAY_SETS][RUNAWAY_WAYS];
};

/* Hashes, none of them 0 when known. Give keyed ones: whoever can choose them can hide in a crowded set. */
struct runaway_call {
	uint64_t id;
	uint64_t fingerprint; /* of the whole request; 0: do not watch for repeats */
	uint64_t prefix; /* of model and what the vendor's cache could hold; 0: too short to be cached, or no cache */
};
/* From start to end of a call. Value type. */
struct runaway_ticket {
	struct runaway_call call;
	uint32_t round, prefix_round;
	bool could_hit; /* the prefix should be in the vendor's cache */
};
struct runaway_outcome {
	int64_t nanousd;
	bool answered;  /* 2xx; else nothing is known of the cache */
	bool cache_hit; /* something was read from it */
};
struct runaway_event {
	enum runaway_cause cause; /* RUNAWAY_NONE: nothing happened */
	uint64_t id, print;
	int64_t value, threshold; /* rounds, calls per interval, or misses */
	int64_t nanousd;          /* what the repeats cost */
	int64_t until_ns;
};

/* BUR_OK: go on, and tell the end. BUR_DENIED: this identity is in quarantine until *ret_until_ns; when this call is
 * what put it there, *ret_event says so. */
int runaway_start(struct runaway *, const struct runaway_config *, const struct runaway_call *, int64_t now_ns,
		  struct runaway_ticket *ret, int64_t *ret_until_ns, struct runaway_event *ret_event)
    NONNULL(1, 2, 3, 5, 6, 7) MUST_USE;
/* Not telling an end makes the detector blind for that loop, never wrong. */
void runaway_end(struct runaway *, const struct runaway_config *, const struct runaway_ticket *,
		 const struct runaway_outcome *, int64_t now_ns, struct runaway_event *ret_event)
    NONNULL(1, 2, 3, 4, 6);
/* By hand. BUR_NOTFOUND: not in quarantine. */
int runaway_release(struct runaway *, uint64_t id, int64_t now_ns) NONNULL(1) MUST_USE;
/* By hand, or after a restart. BUR_FULL: no room. */
int runaway_quarantine(struct runaway *, uint64_t id, int64_t now_ns, int64_t until_ns) NONNULL(1) MUST_USE;
/* Until when; 0 = free. */
int64_t runaway_until(const struct runaway *, uint64_t id, int64_t now_ns) NONNULL(1);

#endif
