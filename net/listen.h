/* listen.h - listening sockets and an accept loop that cannot be starved. */
#ifndef NET_LISTEN_H
#define NET_LISTEN_H

#include "base/attr.h"
#include "net/addr.h"
#include "net/loop.h"

struct listener;

/* Binds and listens (SO_REUSEADDR; IPv6 only where the text is IPv6). `text`: "127.0.0.1:8080", "[::]:8080", ":8080"
 * (all addresses). Port 0 takes a free one; *ret_bound is the real address. BUR_INVALID, BUR_BUSY (in use), BUR_IO. */
int listen_open(const char *text, int *ret_fd, struct addr *ret_bound) NONNULL(1, 2, 3) MUST_USE;

/* Accepts on the loop's thread. The caller keeps `fd` (the listener has a dup of it); several loops may share one
 * (EPOLLEXCLUSIVE is not needed for the few workers we run). At descriptor exhaustion it pauses 100 ms instead of
 * spinning. */
typedef void accept_cb(void *ctx, int fd, const struct addr *peer);
struct listener *listener_new(struct loop *, int fd, accept_cb *, void *ctx) NONNULL(1, 3) MUST_USE;
void listener_pause(struct listener *, bool paused) NONNULL(1);
void listener_free(struct listener *); /* closes its fd */

#endif
