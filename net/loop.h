/* loop.h - one event loop per thread: libevent's base, a cached clock, deadlines, and frees put off to the turn's end.
 *
 * Everything here is called on the loop's own thread, except loop_wake and loop_stop. */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/attr.h"

struct event_base;
struct loop;

struct loop *loop_new(void) MUST_USE; /* NULL: out of memory */
void loop_free(struct loop *);
/* Runs until loop_stop. After each turn: put-off frees are done, then on_turn (if set). */
void loop_run(struct loop *) NONNULL(1);
void loop_stop(struct loop *) NONNULL(1); /* any thread */
struct event_base *loop_base(struct loop *) NONNULL(1);
int64_t loop_mono_ns(const struct loop *) NONNULL(1); /* read once a turn, after the wait */
int64_t loop_wall_ns(const struct loop *) NONNULL(1);

/* fn(arg) at the end of this turn: an object whose events libevent may still report must not be freed inside a
 * callback. Never fails: `node` is embedded in the object. */
struct loop_free_node {
	struct loop_free_node *next;
	void (*fn)(void *arg);
	void *arg;
};
void loop_free_later(struct loop *, struct loop_free_node *node, void (*fn)(void *), void *arg) NONNULL(1, 2, 3);

/* One turn: waits for events when `wait` is set, runs their callbacks and what loop_run does after them. For tests and
 * for owners that drive the loop themselves. */
void loop_turn(struct loop *, bool wait) NONNULL(1);

/* fn(arg) once, at the end of this turn; a task that is deferred by a task runs in the next turn, after the sockets had
 * theirs, and the loop does not sleep before. Set fn and arg once; deferring a queued task changes nothing. */
struct loop_task {
	TAILQ_ENTRY(loop_task) entry;
	void (*fn)(void *arg);
	void *arg;
	bool queued;
};
TAILQ_HEAD(loop_task_list, loop_task);
void loop_defer(struct loop *, struct loop_task *) NONNULL(1, 2);
void loop_defer_cancel(struct loop *, struct loop_task *) NONNULL(1, 2); /* fine when not queued */

/* Messages from other threads: wakes the loop, which calls the function set here once for any number of wakes. */
void loop_on_wake(struct loop *, void (*fn)(void *ctx), void *ctx) NONNULL(1, 2);
void loop_wake(struct loop *) NONNULL(1); /* any thread, async-signal-safe */
void loop_on_turn(struct loop *, void (*fn)(void *ctx), void *ctx) NONNULL(1, 2);

/* Deadlines. Objects that share one timeout stand in one queue in the order in which they expire, so arming is O(1)
 * and one timer a loop serves all of them. Resolution 100 ms; good enough for seconds. */
struct deadline {
	TAILQ_ENTRY(deadline) entry;
	struct deadline_queue *queue; /* NULL = not armed */
	int64_t at_ns;
};
struct deadline_queue {
	TAILQ_HEAD(deadline_list, deadline) list;
	LIST_ENTRY(deadline_queue) entry;
	struct loop *loop;
	int64_t timeout_ns;
	void (*fn)(struct deadline *); /* called when it expires; it is disarmed before */
};
void deadline_queue_init(struct deadline_queue *, struct loop *, int64_t timeout_ns, void (*fn)(struct deadline *))
    NONNULL(1, 2, 4);
void deadline_arm(struct deadline_queue *, struct deadline *) NONNULL(1, 2); /* re-arming moves it to the end */
void deadline_disarm(struct deadline *) NONNULL(1);                          /* fine when not armed */

/* A single timer with its own delay, for the few cases where a queue does not fit (happy eyeballs). */
struct loop_timer;
struct loop_timer *loop_timer_new(struct loop *, void (*fn)(void *), void *arg) NONNULL(1, 2) MUST_USE;
void loop_timer_set(struct loop_timer *, int64_t delay_ns) NONNULL(1);
void loop_timer_stop(struct loop_timer *) NONNULL(1);
void loop_timer_free(struct loop_timer *);

#endif
