/* Preloaded into bursar: how many bytes are allocated and not freed, by SQLite, which keeps pages of the database, and
 * by all others. Asked through the file $HEAP_BYTES, see struct sample. What the allocator keeps of freed memory is
 * given back before it answers, so that resident memory says what is in use. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sqlite3.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

/* In the file. The one who asks counts `asked` up and waits until `answered` is the same. */
struct sample {
	_Atomic int64_t asked, answered, bytes, sqlite_bytes;
};

static _Atomic int64_t live_bytes, sqlite_bytes;

static void *gained(void *p)
{
	atomic_fetch_add_explicit(&live_bytes, (int64_t)malloc_usable_size(p), memory_order_relaxed);
	return p;
}

static void lost(void *p)
{
	atomic_fetch_sub_explicit(&live_bytes, (int64_t)malloc_usable_size(p), memory_order_relaxed);
}

void *malloc(size_t n)
{
	return gained(__libc_malloc(n));
}

void *calloc(size_t n, size_t size)
{
	return gained(__libc_calloc(n, size));
}

void *realloc(void *old, size_t n)
{
	int64_t before = (int64_t)malloc_usable_size(old);
	void *p = __libc_realloc(old, n);

	if (p || n == 0) /* else the old block stays */
		atomic_fetch_sub_explicit(&live_bytes, before, memory_order_relaxed);
	return gained(p);
}

void free(void *p)
{
	lost(p);
	__libc_free(p);
}

void *memalign(size_t alignment, size_t n)
{
	return gained(__libc_memalign(alignment, n));
}

void *aligned_alloc(size_t alignment, size_t n)
{
	return memalign(alignment, n);
}

int posix_memalign(void **ret, size_t alignment, size_t n)
{
	*ret = memalign(alignment, n);
	return *ret ? 0 : ENOMEM;
}

/* --- SQLite's own ------------------------------------------------------------------------------------------------- */

static void *sqlite_malloc(int n)
{
	void *p = __libc_malloc((size_t)n);

	atomic_fetch_add(&sqlite_bytes, (int64_t)malloc_usable_size(p));
	return p;
}

static void sqlite_free(void *p)
{
	atomic_fetch_sub(&sqlite_bytes, (int64_t)malloc_usable_size(p));
	__libc_free(p);
}

static void *sqlite_realloc(void *old, int n)
{
	int64_t before = (int64_t)malloc_usable_size(old);
	void *p = __libc_realloc(old, (size_t)n);

	if (p)
		atomic_fetch_add(&sqlite_bytes, (int64_t)malloc_usable_size(p) - before);
	return p;
}

static int sqlite_size(void *p)
{
	return (int)malloc_usable_size(p);
}

static int sqlite_roundup(int n)
{
	return (n + 7) & ~7;
}

static int sqlite_begin(void *arg)
{
	(void)arg;
	return SQLITE_OK;
}

static void sqlite_end(void *arg)
{
	(void)arg;
}

static const struct sqlite3_mem_methods methods = {sqlite_malloc,  sqlite_free,  sqlite_realloc, sqlite_size,
						   sqlite_roundup, sqlite_begin, sqlite_end,     NULL};

/* --- answers ------------------------------------------------------------------------------------------------------ */

static void *answer(void *arg)
{
	struct sample *s = arg;
	struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};

	for (;; (void)nanosleep(&pause, NULL)) {
		int64_t asked = atomic_load(&s->asked);

		if (asked == atomic_load(&s->answered))
			continue;
		(void)malloc_trim(0);
		atomic_store(&s->bytes, atomic_load(&live_bytes));
		atomic_store(&s->sqlite_bytes, atomic_load(&sqlite_bytes));
		atomic_store(&s->answered, asked);
	}
	return NULL;
}

__attribute__((constructor)) static void start(void)
{
	int (*config)(int, ...) = (int (*)(int, ...))(uintptr_t)dlsym(RTLD_DEFAULT, "sqlite3_config");
	const char *path = getenv("HEAP_BYTES");
	int fd = config && path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
	struct sample *s = MAP_FAILED;
	sigset_t all, old;
	pthread_t thread;

	if (!config) /* a shell that starts bursar */
		return;
	if (fd >= 0 && ftruncate(fd, sizeof(*s)) == 0)
		s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		(void)close(fd);
	if (s == MAP_FAILED)
		_exit(120);
	if (config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK)
		_exit(122);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old); /* the program's signals are not for this thread */
	if (pthread_create(&thread, NULL, answer, s) != 0)
		_exit(121);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
}
