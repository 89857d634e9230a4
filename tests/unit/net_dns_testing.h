/* net_dns_testing.h - a DNS server on loopback UDP, run by the test's own loop. */
#ifndef TESTS_NET_DNS_TESTING_H
#define TESTS_NET_DNS_TESTING_H

#include <arpa/inet.h>
#include <event2/event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/loop.h"

struct dns_server {
	int fd;
	struct event *event;
	char text[32]; /* "127.0.0.1:port" */
	/* What it says to everybody: */
	const char *v4[4], *v6[4];
	int rcode; /* 0, 3 = no such name, 2 = failure */
	uint32_t ttl_s;
	bool silent;
	int questions;
};

static inline size_t dns_question_end(const uint8_t *q, size_t n)
{
	size_t i = 12;

	while (i < n && q[i] != 0)
		i += 1 + (size_t)q[i];
	return i + 5;
}

static inline size_t dns_answer(uint8_t *out, const void *ip, uint8_t ip_n, uint8_t type, uint32_t ttl_s)
{
	const uint8_t head[] = {
	    0xc0,           12, 0,   type, 0, 1, (uint8_t)(ttl_s >> 24), (uint8_t)(ttl_s >> 16), (uint8_t)(ttl_s >> 8),
	    (uint8_t)ttl_s, 0,  ip_n};

	memcpy(out, head, sizeof(head));
	memcpy(out + sizeof(head), ip, ip_n);
	return sizeof(head) + ip_n;
}

static inline void dns_server_cb(evutil_socket_t fd, short what, void *arg)
{
	struct dns_server *d = arg;
	struct sockaddr_in from;
	socklen_t from_n = sizeof(from);
	uint8_t q[512], out[1024], ip[16];
	ssize_t got = recvfrom(fd, q, sizeof(q), 0, (struct sockaddr *)&from, &from_n);
	size_t end, n;
	bool want6;

	(void)what;
	if (got < 17)
		return;
	d->questions++;
	end = dns_question_end(q, (size_t)got);
	if (d->silent || end > (size_t)got)
		return;
	want6 = q[end - 3] == 28;
	memcpy(out, q, end);
	out[2] = 0x81;
	out[3] = (uint8_t)(0x80 | d->rcode);
	memset(out + 6, 0, 6);
	n = end;
	for (int i = 0; i < 4 && d->rcode == 0; i++) {
		const char *text = want6 ? d->v6[i] : d->v4[i];

		if (!text || inet_pton(want6 ? AF_INET6 : AF_INET, text, ip) != 1)
			continue;
		n += dns_answer(out + n, ip, want6 ? 16 : 4, want6 ? 28 : 1, d->ttl_s);
		out[7]++;
	}
	(void)!sendto(fd, out, n, 0, (struct sockaddr *)&from, from_n);
}

static inline void dns_server_start(struct dns_server *d, struct loop *loop)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(sin);

	memset(d, 0, sizeof(*d));
	d->ttl_s = 60;
	d->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (d->fd < 0 || bind(d->fd, (struct sockaddr *)&sin, n) < 0 ||
	    getsockname(d->fd, (struct sockaddr *)&sin, &n) < 0)
		abort();
	(void)snprintf(d->text, sizeof(d->text), "127.0.0.1:%u", ntohs(sin.sin_port));
	d->event = event_new(loop_base(loop), d->fd, EV_READ | EV_PERSIST, dns_server_cb, d);
	if (!d->event || event_add(d->event, NULL) != 0)
		abort();
}

static inline void dns_server_stop(struct dns_server *d)
{
	event_free(d->event);
	(void)close(d->fd);
}

#endif
