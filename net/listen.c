/* listen.c - listening sockets. */
#include "net/listen.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#define LISTENER_MAGIC 0x6c73746eu
#define BACKLOG 4096
#define ACCEPTS_PER_WAKE 8 /* then the connections have their turn */
#define EXHAUSTED_PAUSE_NS (100 * NS_PER_MS)

struct listener {
	unsigned magic;
	int fd;
	struct loop *loop;
	struct event event;
	struct loop_timer *resume;
	bool paused, exhausted, closed;
	accept_cb *cb;
	void *ctx;
	struct loop_free_node free_node;
};

/* --- opening -------------------------------------------------------------------------------------------------------
 */

/* "ip:port", "[v6]:port", ":port"; *ret_any for the last one. Port 0 is good here. */
static int listen_parse(const char *text, struct addr *ret, bool *ret_any)
{
	struct slice host, all = slice_of(text);
	size_t colon = all.n;
	char ip[64];
	uint64_t port;

	while (colon > 0 && all.p[colon - 1] != ':')
		colon--;
	if (colon == 0)
		return BUR_INVALID;
	host = slice_sub(all, 0, colon - 1);
	if (slice_u64(slice_sub(all, colon, all.n), &port) < 0 || port > UINT16_MAX)
		return BUR_INVALID;
	*ret_any = host.n == 0;
	if (host.n == 0)
		return addr_from_ip("::", (uint16_t)port, ret);
	if (host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = slice_sub(host, 1, host.n - 2);
	else if (memchr(host.p, ':', host.n))
		return BUR_INVALID;
	if (host.n >= sizeof(ip))
		return BUR_INVALID;
	(void)slice_to_cstr(host, ip, sizeof(ip));
	return addr_from_ip(ip, (uint16_t)port, ret);
}

static int bind_and_listen(int fd, const struct addr *a, bool dual_stack)
{
	int one = 1, v6only = !dual_stack;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
		return BUR_IO;
	if (a->sa.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) < 0)
		return BUR_IO;
	if (bind(fd, &a->sa, a->len) < 0 || listen(fd, BACKLOG) < 0)
		return errno == EADDRINUSE ? BUR_BUSY : BUR_IO;
	return BUR_OK;
}

static int open_at(const struct addr *a, bool dual_stack, int *ret_fd, struct addr *ret_bound)
{
	int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), r;
	struct addr bound;

	if (fd < 0)
		return BUR_IO;
	r = bind_and_listen(fd, a, dual_stack);
	if (r < 0)
		goto out;
	memset(&bound, 0, sizeof(bound));
	bound.len = sizeof(bound.in6);
	if (getsockname(fd, &bound.sa, &bound.len) < 0) {
		r = BUR_IO;
		goto out;
	}
	*ret_bound = bound;
	*ret_fd = fd;
	return BUR_OK;
out:
	(void)close(fd);
	return r;
}

int listen_open(const char *text, int *ret_fd, struct addr *ret_bound)
{
	struct addr a;
	bool any = false;
	int r = listen_parse(text, &a, &any);

	if (r < 0)
		return r;
	r = open_at(&a, any, ret_fd, ret_bound);
	if (r == BUR_IO && any) { /* a host without IPv6 */
		struct addr v4;

		if (addr_from_ip("0.0.0.0", ntohs(a.in6.sin6_port), &v4) == BUR_OK)
			r = open_at(&v4, false, ret_fd, ret_bound);
	}
	return r;
}

/* --- accepting -----------------------------------------------------------------------------------------------------
 */

static void interest_update(struct listener *l)
{
	bool accept_now = !l->paused && !l->exhausted && !l->closed;

	if (!accept_now)
		(void)event_del(&l->event);
	else if (event_add(&l->event, NULL) != 0)
		log_limited(LOG_ERROR, "net.listen", "cannot wait for connections: out of memory");
}

static void resume_cb(void *arg)
{
	struct listener *l = arg;

	l->exhausted = false;
	interest_update(l);
}

/* Clients of a socket that serves both families look like ::ffff:1.2.3.4; they are IPv4 to everybody above. */
static void unmap(struct addr *a)
{
	struct addr v4;

	if (a->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
		return;
	if (addr_embedded(&a->sa, &v4))
		*a = v4;
}

static bool is_exhaustion(int e)
{
	return e == EMFILE || e == ENFILE || e == ENOBUFS || e == ENOMEM;
}

static void accept_failed(struct listener *l, int e)
{
	char text[64];

	if (!is_exhaustion(e))
		return; /* EAGAIN, or the connection went away before we came */
	log_limited(LOG_WARN, "net.listen", "no more connections for a moment: %s", strerror_r(e, text, sizeof(text)));
	l->exhausted = true;
	interest_update(l);
	loop_timer_set(l->resume, EXHAUSTED_PAUSE_NS);
}

static void listener_cb(evutil_socket_t listen_fd, short what, void *arg)
{
	struct listener *l = arg;
	struct addr peer;
	int fd;

	(void)what;
	CHECK_OBJ(l, LISTENER_MAGIC);
	for (int i = 0; i < ACCEPTS_PER_WAKE && !l->closed && !l->paused; i++) {
		memset(&peer, 0, sizeof(peer));
		peer.len = sizeof(peer.in6);
		fd = accept4(listen_fd, &peer.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			accept_failed(l, errno);
			return;
		}
		unmap(&peer);
		l->cb(l->ctx, fd, &peer);
	}
}

struct listener *listener_new(struct loop *loop, int fd, accept_cb *cb, void *ctx)
{
	struct listener *l = calloc(1, sizeof(*l));
	int flags;

	if (!l)
		return NULL;
	*l = (struct listener){.magic = LISTENER_MAGIC, .loop = loop, .cb = cb, .ctx = ctx, .fd = -1};
	l->resume = loop_timer_new(loop, resume_cb, l);
	l->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (!l->resume || l->fd < 0)
		goto fail;
	flags = fcntl(l->fd, F_GETFL);
	if (flags < 0 || fcntl(l->fd, F_SETFL, flags | O_NONBLOCK) < 0)
		goto fail;
	if (event_assign(&l->event, loop_base(loop), l->fd, EV_READ | EV_PERSIST, listener_cb, l) != 0 ||
	    event_add(&l->event, NULL) != 0)
		goto fail;
	return l;
fail:
	loop_timer_free(l->resume);
	if (l->fd >= 0)
		(void)close(l->fd);
	free(l);
	return NULL;
}

void listener_pause(struct listener *l, bool paused)
{
	CHECK(l->magic == LISTENER_MAGIC);
	if (l->paused == paused)
		return;
	l->paused = paused;
	interest_update(l);
}

static void listener_destroy(void *arg)
{
	struct listener *l = arg;

	l->magic = 0;
	free(l);
}

void listener_free(struct listener *l)
{
	if (!l)
		return;
	CHECK_OBJ(l, LISTENER_MAGIC);
	l->closed = true;
	interest_update(l);
	loop_timer_free(l->resume);
	l->resume = NULL;
	(void)close(l->fd);
	l->fd = -1;
	loop_free_later(l->loop, &l->free_node, listener_destroy, l); /* perhaps we are inside its callback */
}
