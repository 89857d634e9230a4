/* faulty_disk - preloaded into bursar: while the file $FAULTY_DISK exists, writes to the database fail with EIO, or
 * only its flushes when the file says "sync". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int fails(int fd, int flush)
{
	char link[64], path[4096], word[8] = "";
	const char *control = getenv("FAULTY_DISK");
	ssize_t n;
	int c;

	c = control ? open(control, O_RDONLY | O_CLOEXEC) : -1;
	if (c < 0)
		return 0;
	n = read(c, word, sizeof(word) - 1);
	(void)close(c);
	if (n > 0 && strncmp(word, "sync", 4) == 0 && !flush)
		return 0;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0)
		return 0;
	path[n] = '\0';
	if (!strstr(path, "bursar.db"))
		return 0;
	errno = EIO;
	return 1;
}

#define BEND(type, name, args, call, flush)                                                                            \
	type name args;                                                                                                \
	type name args                                                                                                 \
	{                                                                                                              \
		type(*real) args = (type(*) args)dlsym(RTLD_NEXT, #name);                                              \
                                                                                                                       \
		return fails(fd, flush) ? -1 : real call;                                                              \
	}

BEND(ssize_t, pwrite, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at), 0)
BEND(ssize_t, pwrite64, (int fd, const void *p, size_t n, off64_t at), (fd, p, n, at), 0)
BEND(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n), 0)
BEND(int, ftruncate, (int fd, off_t n), (fd, n), 0)
BEND(int, ftruncate64, (int fd, off64_t n), (fd, n), 0)
BEND(int, fsync, (int fd), (fd), 1)
BEND(int, fdatasync, (int fd), (fd), 1)
