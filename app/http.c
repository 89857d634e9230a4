#include "app/http.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/error.h"
#include "net/addr.h"
#include "net/h1.h"

#define TIMEOUT_S 30

static int connect_to(const char *host, uint16_t port)
{
	struct timeval timeout = {.tv_sec = TIMEOUT_S};
	struct addr a;
	int fd;

	if (strcmp(host, "0.0.0.0") == 0)
		host = "127.0.0.1";
	else if (strcmp(host, "::") == 0)
		host = "::1";
	if (addr_from_ip(host, port, &a) < 0)
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

static int write_question(struct buf *b, const struct http_question *q)
{
	int r = buf_printf(b, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", q->method, q->target);

	if (r == BUR_OK && q->bearer.n > 0)
		r = buf_printf(b, "Authorization: Bearer " SLICE_FMT "\r\n", SLICE_ARG(q->bearer));
	if (r == BUR_OK && q->body.n > 0)
		r = buf_printf(b, "Content-Type: application/json\r\nContent-Length: %zu\r\n", q->body.n);
	if (r == BUR_OK)
		r = buf_printf(b, SLICE_FMT "\r\n", SLICE_ARG(q->fields));
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

static int exchange(int fd, const struct http_question *q, int *ret_status, struct buf *out)
{
	enum h1_method method = strcmp(q->method, "GET") == 0 ? H1_GET : H1_OTHER;
	struct buf wire;
	int r;

	buf_init(&wire, HTTP_ANSWER_MAX);
	r = write_question(&wire, q);
	if (r == BUR_OK)
		r = send_all(fd, buf_slice(&wire));
	bytes_wipe(wire.mem, wire.mem ? wire.cap : 0);
	buf_consume(&wire, buf_len(&wire));
	if (r == BUR_OK)
		r = receive_all(fd, &wire);
	if (r == BUR_OK)
		r = read_answer(buf_slice(&wire), method, ret_status, out);
	buf_done(&wire);
	return r;
}

int http_ask(const struct http_question *q, int *ret_status, struct buf *out)
{
	int fd = connect_to(q->host, q->port), r;

	if (fd < 0)
		return BUR_IO;
	r = exchange(fd, q, ret_status, out);
	(void)close(fd);
	return r;
}
