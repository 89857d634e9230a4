/* faults.h - calls of the C library that fail when a test wants them to. rules.mk links tests that include this with
 * --wrap for each call. One test program, one inclusion; one thread at a time. */
#ifndef TESTS_FAULTS_H
#define TESTS_FAULTS_H

#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum faulty {
	FAULTY_ALLOC,
	FAULTY_OPEN,
	FAULTY_READ,
	FAULTY_WRITE,
	FAULTY_STAT,
	FAULTY_SYNC,
	FAULTY_RENAME,
	FAULTY_SPACE,
	FAULTY_MAP,
	FAULTY_REGEX,
	FAULTY_COUNT
};

static struct {
	int left, error; /* fails when left comes down to 0; error 0: half of what was asked for is done */
	int met;
} faulty[FAULTY_COUNT];

/* The n-th such call from now fails once with this errno; n = 0: none. */
static inline void fault_arm(enum faulty call, int n, int error)
{
	faulty[call].left = n;
	faulty[call].error = error;
	faulty[call].met = 0;
}

/* Whether it came to that; none fails from now on. */
static inline int fault_met(enum faulty call)
{
	faulty[call].left = 0;
	return faulty[call].met;
}

static inline int fault_now(enum faulty call)
{
	if (faulty[call].left == 0 || --faulty[call].left > 0)
		return 0;
	faulty[call].met++;
	errno = faulty[call].error;
	return 1;
}

#define WRAP(type, name, args, call, which, failure)                                                                   \
	type __real_##name args;                                                                                       \
	type __wrap_##name args;                                                                                       \
	type __wrap_##name args                                                                                        \
	{                                                                                                              \
		return fault_now(which) ? (failure) : __real_##name call;                                              \
	}

/* Half of it, or the error. */
#define PART(n, whole) (errno != 0 ? -1 : (whole))

WRAP(void *, malloc, (size_t n), (n), FAULTY_ALLOC, NULL)
WRAP(void *, calloc, (size_t n, size_t size), (n, size), FAULTY_ALLOC, NULL)
WRAP(void *, realloc, (void *p, size_t n), (p, n), FAULTY_ALLOC, NULL)
WRAP(void *, aligned_alloc, (size_t to, size_t n), (to, n), FAULTY_ALLOC, NULL)
WRAP(char *, strdup, (const char *s), (s), FAULTY_ALLOC, NULL)
WRAP(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n), FAULTY_READ, PART(n, 0))
WRAP(ssize_t, pread, (int fd, void *p, size_t n, off_t at), (fd, p, n, at), FAULTY_READ, PART(n, (ssize_t)(n / 2)))
WRAP(ssize_t, pwrite, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at), FAULTY_WRITE,
     PART(n, (ssize_t)(n / 2)))
WRAP(int, fstat, (int fd, struct stat *st), (fd, st), FAULTY_STAT, -1)
WRAP(int, fsync, (int fd), (fd), FAULTY_SYNC, -1)
WRAP(int, msync, (void *p, size_t n, int flags), (p, n, flags), FAULTY_SYNC, -1)
WRAP(int, rename, (const char *from, const char *to), (from, to), FAULTY_RENAME, -1)
WRAP(int, posix_fallocate, (int fd, off_t from, off_t n), (fd, from, n), FAULTY_SPACE, faulty[FAULTY_SPACE].error)
WRAP(void *, mmap, (void *p, size_t n, int prot, int flags, int fd, off_t at), (p, n, prot, flags, fd, at), FAULTY_MAP,
     MAP_FAILED)

WRAP(int, regcomp, (regex_t * re, const char *text, int flags), (re, text, flags), FAULTY_REGEX,
     faulty[FAULTY_REGEX].error)

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	return fault_now(FAULTY_OPEN) ? -1 : __real_open(path, flags, mode);
}

/* Fails the first such call, the second, ... until there are no more, each time in a fresh attempt, which must then say
 * `expected`; in the end BUR_OK. Returns how many there were. */
static inline int every_fault(enum faulty call, int error, int expected, int (*attempt)(void *), void *arg)
{
	for (int n = 1;; n++) {
		int r;

		fault_arm(call, n, error);
		r = attempt(arg);
		if (!fault_met(call)) {
			assert_int_equal(r, 0);
			return n - 1;
		}
		if (r != expected)
			fail_msg("call %d of kind %d failed: %d, not %d", n, (int)call, r, expected);
	}
}

#endif
