/* policy_oracle_run.h - runs random episodes in a process of its own; one that fails is shrunken to the operations that
 * matter (delta debugging) and can be run again by its text. Only for policy_engine_oracle_test.c. */
#ifndef TESTS_POLICY_ORACLE_RUN_H
#define TESTS_POLICY_ORACLE_RUN_H

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tests/unit/policy_oracle_model.h"

/* An episode: its seed, which of its budgets there are, and which of its operations are done, by number. Each
 * operation draws from a generator of its own, so that it stays the same when others are left out. */
struct trace {
	uint64_t seed;
	unsigned budgets;
	int n, op[EPISODE_OPS];
};

static void episode(const struct trace *); /* exits when it fails */

static struct trace whole_trace(uint64_t seed, int n)
{
	struct trace t = {.seed = seed, .budgets = (1u << BUDGETS) - 1, .n = n};

	for (int i = 0; i < n; i++)
		t.op[i] = i;
	return t;
}

#define TRACE_TEXT_SIZE (32 + 4 * EPISODE_OPS)

static char *trace_text(const struct trace *t, char dst[TRACE_TEXT_SIZE])
{
	int n = snprintf(dst, TRACE_TEXT_SIZE, "%016llx:%x:", (unsigned long long)t->seed, t->budgets);

	for (int i = 0; i < t->n; i++)
		n += snprintf(dst + n, TRACE_TEXT_SIZE - (size_t)n, "%s%d", i > 0 ? "," : "", t->op[i]);
	return dst;
}

static bool trace_parse(const char *text, struct trace *ret)
{
	char *at;

	*ret = (struct trace){.seed = strtoull(text, &at, 16)};
	if (*at != ':')
		return false;
	ret->budgets = (unsigned)strtoul(at + 1, &at, 16);
	while ((*at == ':' || *at == ',') && ret->n < EPISODE_OPS)
		ret->op[ret->n++] = (int)strtol(at + 1, &at, 10);
	return *at == '\0' && ret->budgets != 0;
}

/* --- processes ---------------------------------------------------------------------------------------------------- */

/* What a process that died was doing. */
struct progress {
	uint64_t seed;
	int step;
	long done;
};
static struct progress *progress;

static void be_quiet(void)
{
	int null = open("/dev/null", O_WRONLY);

	if (null < 0 || dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
		_exit(2);
	telling = false;
}

static bool child_passes(pid_t pid)
{
	int status = -1;

	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static pid_t split(void)
{
	(void)fflush(NULL);
	return fork();
}

/* Does the episode pass? A crash and a dead lock are failures too. */
static bool trial(const struct trace *t, bool loud)
{
	pid_t pid = split();

	if (pid == 0) {
		(void)alarm(20);
		telling = loud;
		if (!loud)
			be_quiet();
		episode(t);
		exit(0);
	}
	return child_passes(pid);
}

/* --- shrinking ---------------------------------------------------------------------------------------------------- */

static struct trace without(const struct trace *t, int from, int n)
{
	struct trace less = *t;

	memmove(&less.op[from], &less.op[from + n], (size_t)(t->n - from - n) * sizeof(less.op[0]));
	less.n -= n;
	return less;
}

/* Leaves out runs of `size` operations as long as the rest still fails. */
static bool shrink_by(struct trace *t, int size)
{
	bool shrunken = false;

	for (int from = t->n - size; from >= 0;) {
		struct trace less = without(t, from, size);

		if (trial(&less, false)) {
			from -= size;
			continue;
		}
		*t = less;
		shrunken = true;
		from = from > t->n - size ? t->n - size : from;
	}
	return shrunken;
}

static bool shrink_budgets(struct trace *t)
{
	bool shrunken = false;

	for (int i = 0; i < BUDGETS; i++) {
		struct trace less = *t;

		less.budgets &= ~(1u << i);
		if (less.budgets == 0 || less.budgets == t->budgets || trial(&less, false))
			continue;
		*t = less;
		shrunken = true;
	}
	return shrunken;
}

static void shrink(struct trace *t)
{
	bool again = true;

	while (again) {
		again = shrink_budgets(t);
		for (int size = t->n > 1 ? t->n / 2 : 1; size >= 1 && t->n > 0; size /= 2)
			again = shrink_by(t, size) || again;
	}
}

/* --- a run -------------------------------------------------------------------------------------------------------- */

static uint64_t episode_of(uint64_t seed, uint64_t nth)
{
	return mixed(seed * UINT64_C(0xd1342543de82ef95) + mixed(nth + 1));
}

static void episodes(uint64_t seed, long ops)
{
	for (uint64_t nth = 0; progress->done < ops; nth++) {
		long left = ops - progress->done;
		struct trace t = whole_trace(episode_of(seed, nth), left < EPISODE_OPS ? (int)left : EPISODE_OPS);

		progress->seed = t.seed;
		episode(&t);
		progress->done += t.n;
	}
}

/* True: all of it passed. Else *ret is the failing episode, up to the failing operation. */
static bool passes(uint64_t seed, long ops, bool loud, struct trace *ret)
{
	pid_t pid;

	if (!progress) {
		progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		assert_true(progress != MAP_FAILED);
	}
	*progress = (struct progress){.done = 0};
	pid = split();
	if (pid == 0) {
		if (!loud)
			be_quiet();
		episodes(seed, ops);
		exit(0);
	}
	if (child_passes(pid))
		return true;
	*ret = whole_trace(progress->seed, progress->step < EPISODE_OPS ? progress->step + 1 : EPISODE_OPS);
	return false;
}

static void report(struct trace *t)
{
	char text[TRACE_TEXT_SIZE];

	if (trial(t, false))
		*t = whole_trace(t->seed, EPISODE_OPS); /* it was found only after the last operation */
	if (trial(t, false)) {
		print_error("it does not fail a second time\n");
		return;
	}
	shrink(t);
	print_error("%d operations are enough; again by TRACE=%s\n", t->n, trace_text(t, text));
	(void)trial(t, true);
}

#endif
