/* dial.c - resolve, check, race. */
#include "net/dial.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"

#define DIAL_MAGIC 0x6469616cu
#define STAGGER_NS (250 * NS_PER_MS)
#define DIAL_TEXT_MAX 400

struct attempt {
	struct dial *dial;
	int fd; /* -1 = not under way */
	struct addr peer;
	struct event event;
	struct loop_timer *timer;
};

struct dial {
	unsigned magic;
	struct loop *loop;
	struct dial_options options;
	dial_cb *cb;
	void *ctx;
	struct dns_query *query;
	struct loop_timer *total, *stagger;
	bool starting, ended;
	uint16_t port;
	struct addr addrs[DNS_ADDRS_MAX];
	size_t n_addrs, next;
	size_t n_active;
	int last_errno;
	struct attempt attempts[DNS_ADDRS_MAX];
	struct loop_free_node free_node;
	char host[HOST_MAX + 1];
};

/* --- policy --------------------------------------------------------------------------------------------------------
 */

static uint16_t port_of(const struct sockaddr *sa)
{
	return ntohs(sa->sa_family == AF_INET ? ((const struct sockaddr_in *)(const void *)sa)->sin_port
					      : ((const struct sockaddr_in6 *)(const void *)sa)->sin6_port);
}

static bool same_ip(const struct sockaddr *a, const struct sockaddr *b)
{
	struct cidr c = {.bits = 128};

	if (a->sa_family == AF_INET) {
		c.ip[10] = c.ip[11] = 0xff;
		memcpy(c.ip + 12, &((const struct sockaddr_in *)(const void *)a)->sin_addr, 4);
	} else {
		memcpy(c.ip, ((const struct sockaddr_in6 *)(const void *)a)->sin6_addr.s6_addr, 16);
	}
	return cidr_contains(&c, b);
}

static bool is_unspecified(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return ((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr == htonl(INADDR_ANY);
	return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr);
}

/* Is this one of the host's own addresses? The kernel knows: it reaches those from themselves. No packet is sent. */
static bool is_local(const struct sockaddr *sa)
{
	socklen_t len = sa->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	struct addr from = {.len = sizeof(from.in6)};
	bool local = false;
	int fd;

	if (addr_classify(sa) == ADDR_LOOPBACK || is_unspecified(sa))
		return true;
	fd = socket(sa->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	if (connect(fd, sa, len) == 0 && getsockname(fd, &from.sa, &from.len) == 0)
		local = same_ip(sa, &from.sa);
	(void)close(fd);
	return local;
}

static bool is_own_listener(const struct dial_policy *policy, const struct sockaddr *sa)
{
	for (size_t i = 0; i < policy->n_deny; i++) {
		const struct sockaddr *own = &policy->deny[i].sa;

		if (port_of(own) != port_of(sa))
			continue;
		if (same_ip(own, sa) || (is_unspecified(own) && is_local(sa)) || (is_unspecified(sa) && is_local(own)))
			return true;
	}
	return false;
}

static bool is_allowed(const struct dial_policy *policy, const struct sockaddr *sa)
{
	for (size_t i = 0; i < policy->n_allow; i++) {
		if (cidr_contains(&policy->allow[i], sa))
			return true;
	}
	return false;
}

int dial_check(const struct dial_policy *policy, const struct sockaddr *sa)
{
	struct addr inner;
	bool embedded;

	if (sa->sa_family != AF_INET && sa->sa_family != AF_INET6)
		return BUR_DENIED;
	embedded = addr_embedded(sa, &inner);
	if (is_own_listener(policy, sa) || (embedded && is_own_listener(policy, &inner.sa)))
		return BUR_DENIED;
	if (addr_classify(sa) == ADDR_GLOBAL)
		return BUR_OK;
	if (!is_allowed(policy, sa))
		return BUR_DENIED;
	/* Allowing 64:ff9b::/96 lets a NAT64 gateway be used, not every private network behind it. */
	if (embedded && addr_classify(&inner.sa) != ADDR_GLOBAL && !is_allowed(policy, &inner.sa))
		return BUR_DENIED;
	return BUR_OK;
}

/* --- the end -------------------------------------------------------------------------------------------------------
 */

static void attempt_stop(struct attempt *a)
{
	if (a->fd < 0)
		return;
	(void)event_del(&a->event);
	loop_timer_free(a->timer);
	a->timer = NULL;
	(void)close(a->fd);
	a->fd = -1;
	a->dial->n_active--;
}

static void dial_destroy(void *arg)
{
	struct dial *d = arg;

	d->magic = 0;
	free(d);
}

/* Releases everything but the memory, which libevent may still be looking at. */
static void dial_release(struct dial *d)
{
	CHECK(!d->ended);
	d->ended = true;
	dns_cancel(d->query);
	d->query = NULL;
	for (size_t i = 0; i < d->next; i++)
		attempt_stop(&d->attempts[i]);
	loop_timer_free(d->total);
	loop_timer_free(d->stagger);
	d->total = d->stagger = NULL;
	if (!d->starting)
		loop_free_later(d->loop, &d->free_node, dial_destroy, d);
}

static void PRINTF_LIKE(5, 6) dial_end(struct dial *d, int err, int fd, const struct addr *peer, const char *fmt, ...)
{
	struct addr none = {.len = 0}, copy = peer ? *peer : none;
	char text[DIAL_TEXT_MAX];
	dial_cb *cb = d->cb;
	void *ctx = d->ctx;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	dial_release(d);
	cb(ctx, err, fd, &copy, text);
}

void dial_cancel(struct dial *d)
{
	if (!d)
		return;
	CHECK_OBJ(d, DIAL_MAGIC);
	dial_release(d);
}

static void dial_deny(struct dial *d, const struct addr *a)
{
	char ip[ADDR_TEXT_MAX];
	enum addr_class class = addr_classify(&a->sa);

	(void)addr_format(&a->sa, ip);
	if (is_own_listener(d->options.policy, &a->sa))
		dial_end(d, BUR_DENIED, -1, a, "%s leads back to this proxy (%s), which is not allowed", d->host, ip);
	else
		dial_end(d, BUR_DENIED, -1, a, "%s has the %s address %s, which is not allowed", d->host,
			 addr_class_name(class), ip);
}

/* --- the race ------------------------------------------------------------------------------------------------------
 */

static void attempt_next(struct dial *d);

static void attempt_failed(struct attempt *a, int e)
{
	struct dial *d = a->dial;

	d->last_errno = e;
	attempt_stop(a);
	attempt_next(d);
}

static void attempt_timeout_cb(void *arg)
{
	struct attempt *a = arg;

	CHECK_OBJ(a->dial, DIAL_MAGIC);
	attempt_failed(a, ETIMEDOUT);
}

static void attempt_won(struct attempt *a)
{
	struct dial *d = a->dial;
	struct addr peer = a->peer;
	int fd = a->fd;

	(void)event_del(&a->event);
	loop_timer_free(a->timer);
	a->timer = NULL;
	a->fd = -1;
	d->n_active--;
	dial_end(d, BUR_OK, fd, &peer, "connected");
}

static void attempt_cb(evutil_socket_t fd, short what, void *arg)
{
	struct attempt *a = arg;
	int e = 0;
	socklen_t len = sizeof(e);

	(void)what;
	CHECK_OBJ(a->dial, DIAL_MAGIC);
	if (a->fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0)
		e = errno;
	if (e == 0)
		attempt_won(a);
	else
		attempt_failed(a, e);
}

/* Waits for a connect that is under way; 0 or errno. */
static int attempt_watch(struct attempt *a)
{
	struct dial *d = a->dial;

	a->timer = loop_timer_new(d->loop, attempt_timeout_cb, a);
	if (!a->timer)
		return ENOMEM;
	if (event_assign(&a->event, loop_base(d->loop), a->fd, EV_WRITE, attempt_cb, a) != 0 ||
	    event_add(&a->event, NULL) != 0) {
		loop_timer_free(a->timer);
		a->timer = NULL;
		return ENOMEM;
	}
	loop_timer_set(a->timer, d->options.attempt_timeout_ns);
	d->n_active++;
	return 0;
}

/* 0 (under way), EISCONN (connected at once), or why not. The address has been checked as part of the name; it is
 * checked again here, where it is used. */
static int attempt_start(struct attempt *a)
{
	struct dial *d = a->dial;
	int e;

	if (dial_check(d->options.policy, &a->peer.sa) < 0)
		return EACCES;
	a->fd = socket(a->peer.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (a->fd < 0)
		return errno;
	if (connect(a->fd, &a->peer.sa, a->peer.len) == 0)
		return EISCONN;
	e = errno == EINPROGRESS ? attempt_watch(a) : errno;
	if (e != 0) {
		(void)close(a->fd);
		a->fd = -1;
	}
	return e;
}

static void dial_failed(struct dial *d)
{
	char why[80];
	int e = d->last_errno;

	dial_end(d, e == ETIMEDOUT ? BUR_TIMEOUT : BUR_IO, -1, &d->addrs[d->n_addrs - 1],
		 "cannot connect to %s port %u: %s", d->host, (unsigned)d->port, strerror_r(e, why, sizeof(why)));
}

/* Starts the next address; when none is left and none is under way, that is the end. */
static void attempt_next(struct dial *d)
{
	struct attempt *a;
	struct addr peer;
	int e, fd;

	while (d->next < d->n_addrs) {
		a = &d->attempts[d->next];
		*a = (struct attempt){.dial = d, .fd = -1, .peer = d->addrs[d->next]};
		d->next++;
		e = attempt_start(a);
		if (e == EISCONN) {
			fd = a->fd;
			peer = a->peer;
			a->fd = -1;
			dial_end(d, BUR_OK, fd, &peer, "connected");
			return;
		}
		if (e == 0) {
			if (d->next < d->n_addrs)
				loop_timer_set(d->stagger, STAGGER_NS);
			return;
		}
		d->last_errno = e;
	}
	if (d->n_active == 0)
		dial_failed(d);
}

static void stagger_cb(void *arg)
{
	struct dial *d = arg;

	CHECK_OBJ(d, DIAL_MAGIC);
	if (d->next < d->n_addrs)
		attempt_next(d);
}

static void total_cb(void *arg)
{
	struct dial *d = arg;

	CHECK_OBJ(d, DIAL_MAGIC);
	dial_end(d, BUR_TIMEOUT, -1, d->n_addrs > 0 ? &d->addrs[0] : NULL, "%s %s port %u takes too long",
		 d->query ? "looking up" : "connecting to", d->host, (unsigned)d->port);
}

/* --- the start -----------------------------------------------------------------------------------------------------
 */

static void resolved_cb(void *ctx, int err, const struct addr *addrs, size_t n)
{
	struct dial *d = ctx;

	CHECK_OBJ(d, DIAL_MAGIC);
	d->query = NULL;
	if (err == BUR_OK && n == 0)
		err = BUR_NOTFOUND;
	if (err != BUR_OK) {
		dial_end(d, err, -1, NULL, "%s cannot be resolved: %s", d->host,
			 err == BUR_NOTFOUND ? "no such name" : bur_strerror(err));
		return;
	}
	for (size_t i = 0; i < n && i < DNS_ADDRS_MAX; i++) {
		d->addrs[i] = addrs[i];
		addr_set_port(&d->addrs[i], d->port);
		if (dial_check(d->options.policy, &d->addrs[i].sa) < 0) {
			dial_deny(d, &d->addrs[i]);
			return;
		}
		d->n_addrs++;
	}
	attempt_next(d);
}

struct dial *dial_start(struct dns *dns, struct loop *loop, const char *host, uint16_t port,
			const struct dial_options *o, dial_cb *cb, void *ctx)
{
	struct dial *d = calloc(1, sizeof(*d));
	size_t n = strlen(host);
	struct addr none = {.len = 0};

	if (!d || n > HOST_MAX) {
		int err = d ? BUR_NOTFOUND : BUR_IO;

		free(d);
		cb(ctx, err, -1, &none, err == BUR_IO ? "out of memory" : "the host name is too long");
		return NULL;
	}
	*d = (struct dial){.magic = DIAL_MAGIC, .loop = loop, .options = *o, .cb = cb, .ctx = ctx, .port = port};
	memcpy(d->host, host, n);
	d->starting = true;
	d->total = loop_timer_new(loop, total_cb, d);
	d->stagger = loop_timer_new(loop, stagger_cb, d);
	if (!d->total || !d->stagger) {
		dial_end(d, BUR_IO, -1, NULL, "out of memory");
	} else {
		loop_timer_set(d->total, o->total_timeout_ns);
		d->query = dns_resolve(dns, host, resolved_cb, d);
	}
	d->starting = false;
	if (!d->ended)
		return d;
	dial_destroy(d); /* nobody has seen it yet */
	return NULL;
}
