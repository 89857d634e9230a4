/* fault.h - the numbered steps of a call's way into the ledger, at which tests kill the process (specification 8.1).
 *
 * BURSAR_KILL_AT in the environment at store_open: "n" dies at the n-th point of any kind that is passed,
 * "before:STEP:n" and "after:STEP:n" at the n-th passing of that side of a step, counted from the first call on.
 * Without it a point costs one load. */
#ifndef STORE_FAULT_H
#define STORE_FAULT_H

#include "store/internal.h"

/* What is stored there. Before `reserved` the hold stands in memory only (J1). */
#define KILL_STEPS(X)                                                                                                  \
	X(RESERVED, "reserved")   /* J2: commit word of the slot */                                                    \
	X(SENT, "sent")           /* J3; what follows is the first byte to the vendor (J4) */                          \
	X(UPDATED, "updated")     /* another hold or count in the same state */                                        \
	X(SETTLED, "settled")     /* J5 */                                                                             \
	X(COMMITTED, "committed") /* J6: COMMIT of any transaction of the writer */                                    \
	X(FREED, "freed")         /* J7 */

enum kill_step {
	KILL_ANY,
#define X(uc, text) KILL_##uc,
	KILL_STEPS(X)
#undef X
	    KILL_STEP_COUNT
};

void fault_kill_step(enum kill_step, bool after);

static inline void kill_step(enum kill_step step, bool after)
{
	if (UNLIKELY(atomic_load_explicit(&fault_kill_left, memory_order_relaxed) != 0))
		fault_kill_step(step, after);
}

#endif
