#include "app/admin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "api/api.h"
#include "app/boot.h"
#include "app/files.h"
#include "app/firstrun.h"
#include "app/ports.h"
#include "app/settings.h"
#include "base/error.h"
#include "base/log.h"
#include "net/addr.h"
#include "net/h1.h"

#define TIMEOUT_S 30
#define TOKEN_MAX_BYTES 256

static int say(const struct cmd *cmd, int exit_code, const char *text)
{
	(void)fprintf(stderr, "bursar %s: %s\n", cmd->name, text);
	return exit_code;
}

int admin_query(struct buf *target, const char *name, const char *value)
{
	int r;

	if (!value)
		return BUR_OK;
	r = buf_printf(target, "%c%s=", slice_find(buf_slice(target), '?') == buf_len(target) ? '?' : '&', name);
	for (; *value && r == BUR_OK; value++) {
		bool plain = (*value >= 'a' && *value <= 'z') || (*value >= 'A' && *value <= 'Z') ||
			     (*value >= '0' && *value <= '9') || strchr("-._~", *value);

		r = buf_printf(target, plain ? "%c" : "%%%02X", (unsigned char)*value);
	}
	return r;
}

/* --- in this process
 * ----------------------------------------------------------------------------------------------------*/

static int answer_here(const struct cmd *cmd, struct boot *boot, const struct admin_question *q, int *ret_status,
		       struct buf *out)
{
	struct api_deps deps = {.store = boot->store, .engine = boot->engine};
	struct api *api = api_new(&deps);
	struct api_call call = {
	    .method = slice_of(q->method), .body = q->body, .content_type = SLICE("application/json")};
	struct arena arena;
	int r;

	if (!api || api_load_keys(api) < 0) {
		api_free(api);
		return say(cmd, EXIT_FAILED, "cannot read the keys");
	}
	arena_init(&arena, 1024 * 1024);
	call.arena = &arena;
	(void)slice_cut(slice_of(q->target), '?', &call.path, &call.query);
	buf_init(&call.out, ADMIN_ANSWER_MAX);
	api_run(api, &call, true);
	*ret_status = call.status;
	r = buf_append_slice(out, buf_slice(&call.out));
	buf_done(&call.out);
	arena_reset(&arena);
	api_free(api);
	return r < 0 ? say(cmd, EXIT_FAILED, bur_strerror(r)) : EXIT_OK;
}

/* --- over the wire
 * ------------------------------------------------------------------------------------------------------*/

static int connect_to(const struct ports *p)
{
	struct timeval timeout = {.tv_sec = TIMEOUT_S};
	const char *host = p->admin_host;
	struct addr a;
	int fd;

	if (strcmp(host, "0.0.0.0") == 0)
		host = "127.0.0.1";
	else if (strcmp(host, "::") == 0)
		host = "::1";
	if (addr_from_ip(host, p->admin, &a) < 0)
		return -1;
	fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (connect(fd, &a.sa, a.len) < 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static int send_all(int fd, struct slice s)
{
	while (s.n > 0) {
		ssize_t w = send(fd, s.p, s.n, MSG_NOSIGNAL);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return BUR_IO;
		s = slice_sub(s, (size_t)w, s.n);
	}
	return BUR_OK;
}

static int receive_all(int fd, struct buf *in)
{
	for (;;) {
		size_t room;
		char *p = buf_reserve(in, 4096, &room);
		ssize_t n;

		if (!p)
			return BUR_TOOBIG;
		n = recv(fd, p, room, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return BUR_IO;
		if (n == 0)
			return BUR_OK;
		buf_commit(in, (size_t)n);
	}
}

static int write_question(struct buf *b, const struct admin_question *q, struct slice token)
{
	int r = buf_printf(
	    b, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer " SLICE_FMT "\r\n",
	    q->method, q->target, SLICE_ARG(token));

	if (r == BUR_OK && q->body.n > 0)
		r = buf_printf(b, "Content-Type: application/json\r\nContent-Length: %zu\r\n", q->body.n);
	if (r == BUR_OK)
		r = buf_printf(b, "\r\n");
	return r == BUR_OK ? buf_append_slice(b, q->body) : r;
}

static int read_answer(struct slice all, enum h1_method method, int *ret_status, struct buf *out)
{
	struct h1_head *head = calloc(1, sizeof(*head));
	struct h1_scan scan = {0};
	struct h1_body body;
	enum h1_error error;
	struct slice data;
	size_t i;
	int r;

	if (!head)
		return BUR_NOMEM;
	r = h1_parse_response(&scan, all.p, all.n, method, head, &error);
	if (r == BUR_OK) {
		*ret_status = head->status;
		h1_body_init(&body, head->framing, head->content_length);
		i = head->head_bytes;
		while ((r = h1_body_next(&body, all.p, all.n, &i, &data)) == BUR_OK)
			if (buf_append_slice(out, data) < 0)
				break;
		if (r == BUR_EOF || (r == BUR_AGAIN && h1_body_eof_ok(&body)))
			r = BUR_OK;
		else
			r = BUR_CORRUPT;
	}
	free(head);
	return r;
}

static int exchange(int fd, const struct admin_question *q, struct slice token, int *ret_status, struct buf *out)
{
	struct buf wire;
	enum h1_method method = strcmp(q->method, "GET") == 0 ? H1_GET : H1_OTHER;
	int r;

	buf_init(&wire, ADMIN_ANSWER_MAX);
	r = write_question(&wire, q, token);
	if (r == BUR_OK)
		r = send_all(fd, buf_slice(&wire));
	bytes_wipe(wire.mem, wire.mem ? wire.cap : 0); /* the token was in it */
	buf_consume(&wire, buf_len(&wire));
	if (r == BUR_OK)
		r = receive_all(fd, &wire);
	if (r == BUR_OK)
		r = read_answer(buf_slice(&wire), method, ret_status, out);
	buf_done(&wire);
	return r;
}

/* $BURSAR_TOKEN, else the token that the server wrote for us. free() it. */
static char *load_token(const char *data_dir)
{
	const char *env = getenv("BURSAR_TOKEN");
	char path[PATH_MAX], *text = NULL;
	size_t n;

	if (env && env[0] != '\0')
		return strdup(env);
	if (!files_path(path, sizeof(path), data_dir, ADMIN_TOKEN_FILE) ||
	    files_read(path, TOKEN_MAX_BYTES, &text, &n) < 0)
		return NULL;
	text[strcspn(text, "\r\n")] = '\0';
	return text;
}

static int ask_server(const struct cmd *cmd, const char *data_dir, const struct admin_question *q, int *ret_status,
		      struct buf *out)
{
	struct ports ports;
	char *token;
	int fd, r;

	if (ports_read(data_dir, &ports) < 0)
		return say(cmd, EXIT_NO_SERVER,
			   "a server uses the data folder but does not say where it listens; "
			   "it may be starting or ending");
	token = load_token(data_dir);
	if (!token)
		return say(cmd, EXIT_FAILED, "cannot read admin.token in the data folder; set BURSAR_TOKEN");
	fd = connect_to(&ports);
	r = fd < 0 ? BUR_IO : exchange(fd, q, slice_of(token), ret_status, out);
	if (fd >= 0)
		(void)close(fd);
	bytes_wipe(token, strlen(token));
	free(token);
	return r < 0 ? say(cmd, EXIT_NO_SERVER, "the server does not answer on its admin listener") : EXIT_OK;
}

/* --- either
 * -------------------------------------------------------------------------------------------------------------*/

static int ask(const struct cmd *cmd, const struct settings *s, const struct admin_question *q, int *ret_status,
	       struct buf *out)
{
	char err[BOOT_ERROR_MAX];
	struct boot boot;
	int exit_code, r;

	if (q->needs_data && access(s->data_dir, F_OK) != 0) {
		(void)snprintf(err, sizeof(err), "there is no data in %.200s yet; `bursar serve` makes it",
			       s->data_dir);
		return say(cmd, EXIT_FAILED, err);
	}
	if (boot_open(s, &boot, &exit_code, err) < 0)
		return exit_code == EXIT_BUSY ? ask_server(cmd, s->data_dir, q, ret_status, out)
					      : say(cmd, exit_code, err);
	r = answer_here(cmd, &boot, q, ret_status, out);
	boot_close(&boot);
	return r;
}

int admin_ask(const struct cmd *cmd, const struct admin_question *q, int *ret_status, struct buf *out)
{
	struct settings *s;
	int r = cmd_settings(cmd, q->config, &s);

	if (r != EXIT_OK)
		return r;
	log_init(STDERR_FILENO, LOG_ERROR);
	r = ask(cmd, s, q, ret_status, out);
	settings_free(s);
	return r;
}
