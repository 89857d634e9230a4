/* clock_guard.h - the wall clock as windows may see it (specification R7.5).
 *
 * Time never goes back: a window that has ended is not opened again. When the wall clock jumps ahead of the monotonic
 * one by more than five minutes, time goes on as if it had not, until the new time has stood for a minute: a wrong
 * clock that is put right at once ends no window. Pure; the caller passes both clocks and locks. */
#ifndef POLICY_CLOCK_GUARD_H
#define POLICY_CLOCK_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

enum clock_event {
	CLOCK_STEADY,
	CLOCK_WENT_BACK, /* time stands still until the wall clock has caught up; told once */
	CLOCK_JUMPED,    /* a jump ahead, not believed yet; told once for each */
	CLOCK_RETURNED,  /* the jump was taken back */
	CLOCK_ADOPTED,   /* the new time has stood for a minute and is now in force */
};

/* Owned by the caller. */
struct clock_guard {
	bool started, behind, jumped;
	int64_t last_ns;                    /* what was given out */
	int64_t offset_ns;                  /* wall minus monotonic that is believed */
	int64_t jump_offset_ns, jump_at_ns; /* of the jump that is being watched: its offset, and when (monotonic) */
};

/* {0} is a fresh guard too. */
void clock_guard_init(struct clock_guard *) NONNULL(1);
/* The time to use now, never below an earlier answer. mono_ns does not go back. */
int64_t clock_guard_now(struct clock_guard *, int64_t wall_ns, int64_t mono_ns, enum clock_event *ret)
    NONNULL(1, 4) MUST_USE;

#endif
