#include "base/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/calendar.h"
#include "base/check.h"

static pthread_once_t shift_once = PTHREAD_ONCE_INIT;
static int64_t shift_ns;
static _Atomic int64_t last_wall_ns;

static int64_t read_clock(clockid_t id)
{
	struct timespec ts;

	CHECK(clock_gettime(id, &ts) == 0);
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static void read_shift(void)
{
	const char *text = getenv("BURSAR_FAKE_NOW");
	int64_t start_ns;

	if (!text || !*text)
		return;
	if (time_parse(slice_of(text), &start_ns) < 0) {
		fprintf(stderr, "bursar: BURSAR_FAKE_NOW: expected a time such as 2026-11-21T09:00:00Z\n");
		_Exit(2);
	}
	shift_ns = start_ns - read_clock(CLOCK_REALTIME);
}

int64_t clock_mono_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_wall_ns(void)
{
	int64_t now, last;

	(void)pthread_once(&shift_once, read_shift);
	now = read_clock(CLOCK_REALTIME) + shift_ns;
	last = atomic_load_explicit(&last_wall_ns, memory_order_relaxed);
	while (now > last) {
		if (atomic_compare_exchange_weak(&last_wall_ns, &last, now))
			return now;
	}
	return last;
}
