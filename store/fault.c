#include "store/fault.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/slice.h"

_Atomic int64_t fault_kill_left;

/* Set before any thread runs. */
static enum kill_step kill_at;
static bool kill_after;
static _Atomic bool calls_began;

static struct {
	_Atomic int skip, times, code;
	_Atomic bool done;
} commits;

/* Whether `text` is the rest of "before:STEP:n". */
static bool step_parse(struct slice text, struct slice *ret_number)
{
	static const char *const names[KILL_STEP_COUNT] = {
#define X(uc, name) [KILL_##uc] = name,
	    KILL_STEPS(X)
#undef X
	};
	struct slice word;

	if (!slice_cut(text, ':', &word, ret_number))
		return false;
	for (int i = KILL_ANY + 1; i < KILL_STEP_COUNT; i++) {
		if (slice_eq(word, slice_of(names[i]))) {
			kill_at = (enum kill_step)i;
			return true;
		}
	}
	return false;
}

void fault_kill_arm(void)
{
	struct slice text = slice_of(getenv("BURSAR_KILL_AT")), number = text;
	bool after = slice_starts(text, SLICE("after:"));
	uint64_t n;

	kill_at = KILL_ANY;
	kill_after = after;
	if ((after || slice_starts(text, SLICE("before:"))) &&
	    !step_parse(slice_sub(text, after ? 6 : 7, text.n), &number))
		number = SLICE_NONE;
	if (slice_u64(number, &n) < 0 || n > INT64_MAX) {
		if (text.n > 0)
			fprintf(stderr, "bursar: BURSAR_KILL_AT: there is no such point\n");
		return;
	}
	atomic_store(&fault_kill_left, (int64_t)n);
}

void fault_kill_step(enum kill_step step, bool after)
{
	if (step == KILL_RESERVED)
		atomic_store(&calls_began, true);
	if (kill_at != KILL_ANY && (step != kill_at || after != kill_after || !atomic_load(&calls_began)))
		return;
	if (atomic_fetch_sub(&fault_kill_left, 1) == 1)
		(void)raise(SIGKILL);
}

void fault_kill_hit(void)
{
	fault_kill_step(KILL_ANY, false);
}

void store_test_fail(int skip, int times, int sqlite_code, bool done)
{
	atomic_store(&commits.skip, skip);
	atomic_store(&commits.code, sqlite_code);
	atomic_store(&commits.done, done);
	atomic_store(&commits.times, times);
}

void store_test_fail_next(int n, int sqlite_code)
{
	store_test_fail(n - 1, 1, sqlite_code, false);
}

int fault_commit(bool *ret_done)
{
	*ret_done = false;
	if (LIKELY(atomic_load_explicit(&commits.times, memory_order_relaxed) == 0))
		return SQLITE_OK;
	if (atomic_load(&commits.skip) > 0) {
		atomic_fetch_sub(&commits.skip, 1);
		return SQLITE_OK;
	}
	atomic_fetch_sub(&commits.times, 1);
	*ret_done = atomic_load(&commits.done);
	return atomic_load(&commits.code);
}
