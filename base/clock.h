/* clock.h - the two clocks. Everything pure takes the time as a parameter instead. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)

int64_t clock_mono_ns(void); /* CLOCK_MONOTONIC: for timeouts and durations */
/* Wall clock, Unix nanoseconds, never going back within the process. BURSAR_FAKE_NOW (RFC 3339) shifts it for tests:
 * the process then starts at that instant and time runs on. */
int64_t clock_wall_ns(void);

#endif
