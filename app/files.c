#include "app/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/rand.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/slice.h"

bool files_path(char *dst, size_t dst_size, const char *dir, const char *name)
{
	int n = snprintf(dst, dst_size, "%s/%s", dir, name);

	return n > 0 && (size_t)n < dst_size;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return BUR_IO;
		p += w;
		n -= (size_t)w;
	}
	return BUR_OK;
}

int files_write(const char *path, const void *p, size_t n, unsigned mode)
{
	char tmp[PATH_MAX];
	int fd, r, saved, len = snprintf(tmp, sizeof(tmp), "%s.new", path);

	if (len < 0 || (size_t)len >= sizeof(tmp))
		return BUR_TOOBIG;
	(void)unlink(tmp); /* left over from a crash; O_EXCL below would stumble over it */
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return BUR_IO;
	r = write_all(fd, p, n);
	if (r == BUR_OK && fsync(fd) < 0)
		r = BUR_IO;
	saved = errno;
	if (close(fd) < 0 && r == BUR_OK) {
		saved = errno;
		r = BUR_IO;
	}
	if (r == BUR_OK && rename(tmp, path) < 0) {
		saved = errno;
		r = BUR_IO;
	}
	if (r < 0)
		(void)unlink(tmp);
	errno = saved;
	return r;
}

static int read_all(int fd, char *dst, size_t n)
{
	size_t got = 0;

	while (got < n) {
		ssize_t r = read(fd, dst + got, n - got);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return BUR_IO;
		got += (size_t)r;
	}
	return BUR_OK;
}

int files_read(const char *path, size_t max_bytes, char **ret, size_t *ret_n)
{
	struct stat st;
	char *text = NULL;
	int r = BUR_IO, fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? BUR_NOTFOUND : BUR_IO;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		goto out;
	if (st.st_size < 0 || (uint64_t)st.st_size > max_bytes) {
		r = BUR_TOOBIG;
		goto out;
	}
	text = malloc((size_t)st.st_size + 1);
	if (!text) {
		r = BUR_NOMEM;
		goto out;
	}
	r = read_all(fd, text, (size_t)st.st_size);
	if (r < 0)
		goto out;
	text[st.st_size] = '\0';
	*ret = text;
	*ret_n = (size_t)st.st_size;
	text = NULL;
out:
	free(text);
	(void)close(fd);
	return r;
}

static int make_secret(const char *path, unsigned char *ret, size_t n)
{
	return RAND_bytes(ret, (int)n) == 1 ? files_write(path, ret, n, 0600) : BUR_CRYPTO;
}

int files_secret(const char *dir, const char *name, unsigned char *ret, size_t n, char *reterr, size_t reterr_size)
{
	char path[PATH_MAX], *text = NULL;
	size_t len = 0;
	int r = files_path(path, sizeof(path), dir, name) ? files_read(path, n + 1, &text, &len) : BUR_TOOBIG;

	if (r == BUR_OK && len == n)
		memcpy(ret, text, n);
	else if (r == BUR_OK)
		r = BUR_CORRUPT;
	else if (r == BUR_NOTFOUND)
		r = make_secret(path, ret, n);
	if (text)
		bytes_wipe(text, len);
	free(text);
	if (r == BUR_CORRUPT || (r == BUR_TOOBIG && len == 0))
		(void)snprintf(reterr, reterr_size, "%s has not %zu bytes", name, n);
	else if (r < 0)
		(void)snprintf(reterr, reterr_size, "%s: %s", name, bur_strerror(r));
	return r;
}
