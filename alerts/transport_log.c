/* transport_log.c - lines for those who collect logs: into bursar's own log, to syslog's socket, or to a file that is
 * renewed at 10 MiB and kept five times, compressed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <zlib.h>

#include "alerts/transport_impl.h"
#include "base/error.h"
#include "base/log.h"

#define FILE_BYTES_MAX (10 * 1024 * 1024)
#define FILES_KEPT 5
#define PATH_BYTES_MAX 4096
#define COPY_BYTES 65536

static void fail(struct exchange *x, const char *what, const char *path)
{
	x->own_fault = ANSWER_INTERNAL;
	(void)snprintf(x->error, sizeof(x->error), "%s %.200s: %s", what, path, strerror(errno));
}

/* --- our own log -------------------------------------------------------------------------------------------------- */

/* The line's own: an end is none of the severity that is over. */
static enum log_level level_of(const json_t *alert)
{
	const char *level = fact_text(alert, "level");

	if (strcmp(level, "WARNING") == 0)
		return LOG_WARN;
	return strcmp(level, "ERROR") == 0 || strcmp(level, "CRITICAL") == 0 ? LOG_ERROR : LOG_INFO;
}

/* A JSON line becomes fields of ours, so that the log stays one object a line and its rules against secrets hold. */
static void own_log(const struct slice line)
{
	struct log_line out;
	json_t *alert = json_loadb(line.p, line.n, 0, NULL), *value;
	const char *name;

	log_begin(&out, json_is_object(alert) ? level_of(alert) : LOG_INFO, "alert");
	if (!json_is_object(alert))
		log_str(&out, "line", line);
	json_object_foreach(alert, name, value)
	{
		if (strcmp(name, "ts") == 0 || strcmp(name, "level") == 0 || strcmp(name, "event") == 0)
			continue; /* the log's own */
		if (json_is_string(value))
			log_str(&out, name, slice_mem(json_string_value(value), json_string_length(value)));
		else if (json_is_integer(value))
			log_int(&out, name, json_integer_value(value));
		else if (json_is_boolean(value))
			log_bool(&out, name, json_is_true(value));
	}
	log_end(&out);
	json_decref(alert);
}

/* --- syslog ------------------------------------------------------------------------------------------------------- */

static void to_socket(struct exchange *x, const char *path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	struct slice line = x->request->body;
	int fd;

	if (strlen(path) >= sizeof(to.sun_path)) {
		errno = ENAMETOOLONG;
		fail(x, "cannot write to", path);
		return;
	}
	memcpy(to.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || sendto(fd, line.p, line.n, MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof(to)) < 0)
		fail(x, "cannot write to", path);
	if (fd >= 0)
		(void)close(fd);
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static bool compress_into(int in, gzFile out)
{
	char block[COPY_BYTES];
	ssize_t n;

	while ((n = read(in, block, sizeof(block))) > 0) {
		if (gzwrite(out, block, (unsigned)n) != (int)n)
			return false;
	}
	return n == 0;
}

/* From the file to file.gz; without room for that it stays as it is. */
static void compress_file(const char *path, const char *to)
{
	int in = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int out = in < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	gzFile gz = out < 0 ? NULL : gzdopen(out, "wb1");
	bool ok = gz && compress_into(in, gz);

	if (gz)
		ok = gzclose(gz) == Z_OK && ok;
	else if (out >= 0)
		(void)close(out);
	if (in >= 0)
		(void)close(in);
	(void)unlink(ok ? path : to);
}

/* path -> path.1.gz -> ... -> path.5.gz. One that could not be compressed keeps its name without .gz until next time.
 */
static void rotate(const char *path)
{
	char from[PATH_BYTES_MAX], to[PATH_BYTES_MAX];

	for (int i = FILES_KEPT - 1; i >= 1; i--) {
		(void)snprintf(from, sizeof(from), "%s.%d.gz", path, i);
		(void)snprintf(to, sizeof(to), "%s.%d.gz", path, i + 1);
		(void)rename(from, to);
	}
	(void)snprintf(from, sizeof(from), "%s.1", path);
	(void)snprintf(to, sizeof(to), "%s.1.gz", path);
	if (rename(path, from) == 0)
		compress_file(from, to);
}

static int file_open(const char *path, struct stat *ret)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);

	if (fd < 0)
		return -1;
	if (fstat(fd, ret) == 0 && S_ISREG(ret->st_mode))
		return fd;
	(void)close(fd);
	errno = EINVAL;
	return -1;
}

/* The line in one write; half a line is taken back. */
static bool file_append(int fd, struct slice line, off_t was)
{
	char text[COPY_BYTES];
	ssize_t n;

	if (line.n >= sizeof(text)) {
		errno = EMSGSIZE;
		return false;
	}
	memcpy(text, line.p, line.n);
	text[line.n] = '\n';
	n = write(fd, text, line.n + 1);
	if (n == (ssize_t)line.n + 1)
		return true;
	if (n > 0) {
		if (ftruncate(fd, was) != 0)
			return false;
		errno = ENOSPC;
	}
	return false;
}

static void to_file(struct exchange *x, const char *path)
{
	struct slice line = x->request->body;
	struct stat st;
	int fd = file_open(path, &st);

	if (fd >= 0 && st.st_size > 0 && st.st_size + (off_t)line.n + 1 > FILE_BYTES_MAX) {
		(void)close(fd);
		rotate(path);
		fd = file_open(path, &st);
	}
	if (fd < 0) {
		fail(x, "cannot open", path);
		return;
	}
	if (!file_append(fd, line, st.st_size))
		fail(x, "cannot write to", path);
	(void)close(fd);
}

void exchange_log(struct exchange *x)
{
	const char *path = x->channel->logline.path;
	struct stat st;

	if (!path)
		own_log(x->request->body);
	else if (strlen(path) > PATH_BYTES_MAX - 16)
		errno = ENAMETOOLONG, fail(x, "cannot open", path);
	else if (stat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		to_socket(x, path);
	else
		to_file(x, path);
}
