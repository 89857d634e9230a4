#include <signal.h>
#include <stdlib.h>

#include "base/slice.h"
#include "store/internal.h"

_Atomic int64_t fault_kill_left;

static struct {
	_Atomic int skip, times, code;
	_Atomic bool done;
} commits;

void fault_kill_arm(void)
{
	const char *text = getenv("BURSAR_KILL_AT");
	uint64_t n;

	if (!text || slice_u64(slice_of(text), &n) < 0 || n > INT64_MAX)
		return;
	atomic_store(&fault_kill_left, (int64_t)n);
}

void fault_kill_hit(void)
{
	if (atomic_fetch_sub(&fault_kill_left, 1) == 1)
		(void)raise(SIGKILL);
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
