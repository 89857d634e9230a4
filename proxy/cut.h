/* cut.h - a limit was lowered and the budget says that running streams end for it (`lower_mode: cut`): the youngest
 * first, one after the other over all workers, until what is spent and held fits again.
 *
 * In rounds: every worker names the youngest stream it has that holds in the counter; the last one looks how the
 * counter stands and says whose is ended. A stream that is ended behind an event that is still on its way frees its
 * hold a moment later: the next round waits for it (cut_tick). Streams whose vendor bills them to the end are left
 * alone, for ending them frees nothing. Private to the proxy room. */
#ifndef PROXY_CUT_H
#define PROXY_CUT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct proxy;
struct worker;

enum cut_state { CUT_IDLE, CUT_LOOK, CUT_END, CUT_WAIT };
struct cutting {
	pthread_mutex_t lock;
	enum cut_state state;
	uint64_t *uid; /* the counters, one after the other */
	size_t n, at;
	uint64_t round;
	uint32_t reported; /* workers that have looked in this round */
	/* the youngest that any of them has */
	struct worker *victim_of;
	uint64_t victim;
	int64_t victim_start_ns;
	int64_t ending; /* held by streams that are about to end */
	size_t n_cut;
};
void cut_init(struct cutting *) NONNULL(1);
void cut_done(struct cutting *) NONNULL(1);
/* A worker's part of what is due; on its thread, when it is woken. */
void cut_turn(struct worker *) NONNULL(1);

#endif
