/* loop.c - libevent's base driven one turn at a time.
 *
 * Turns are driven by us (EVLOOP_ONCE) because 2.1 has no hook between the wait and the callbacks: the cached clocks
 * are forgotten when a turn ends and read at their first use in the next one, which is after the wait. */
#include "net/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

#define DEADLINE_STEP_NS (100 * NS_PER_MS)
#define LOOP_MAGIC 0x6c6f6f70u
#define TIMER_MAGIC 0x74696d72u

struct loop {
	unsigned magic;
	struct event_base *base;
	int wake_fd;
	struct event wake_event;
	atomic_bool woken, stopping;

	bool have_mono, have_wall;
	int64_t mono_ns, wall_ns;

	struct loop_free_node *frees;
	struct loop_task_list tasks;

	LIST_HEAD(queue_list, deadline_queue) queues; /* those that are not empty */
	struct event deadline_event;
	int64_t deadline_at_ns; /* when deadline_event fires; INT64_MAX = not set */

	void (*on_wake)(void *);
	void *wake_ctx;
	void (*on_turn)(void *);
	void *turn_ctx;
};

struct loop_timer {
	unsigned magic;
	struct event event;
	void (*fn)(void *);
	void *arg;
};

static void loop_wake_cb(evutil_socket_t fd, short what, void *arg);
static void loop_deadline_cb(evutil_socket_t fd, short what, void *arg);

/* --- life ----------------------------------------------------------------------------------------------------------
 */

static struct event_base *base_new(void)
{
	struct event_config *cfg = event_config_new();
	struct event_base *base = NULL;

	if (!cfg)
		return NULL;
	/* One thread owns a base, so no locks; no environment, so that nobody turns timerfd on behind our back. */
	if (event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK) == 0 &&
	    event_config_set_flag(cfg, EVENT_BASE_FLAG_IGNORE_ENV) == 0)
		base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	return base;
}

struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->magic = LOOP_MAGIC;
	l->deadline_at_ns = INT64_MAX;
	TAILQ_INIT(&l->tasks);
	LIST_INIT(&l->queues);
	l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	l->base = base_new();
	if (l->wake_fd < 0 || !l->base)
		goto fail;
	/* Edge-triggered: each write is an edge, so the counter need never be read. */
	if (event_assign(&l->wake_event, l->base, l->wake_fd, EV_READ | EV_PERSIST | EV_ET, loop_wake_cb, l) != 0 ||
	    evtimer_assign(&l->deadline_event, l->base, loop_deadline_cb, l) != 0 ||
	    event_add(&l->wake_event, NULL) != 0)
		goto fail;
	return l;
fail:
	if (l->base)
		event_base_free(l->base);
	if (l->wake_fd >= 0)
		(void)close(l->wake_fd);
	free(l);
	return NULL;
}

static void loop_run_frees(struct loop *l)
{
	struct loop_free_node *node;

	while (l->frees) {
		node = l->frees;
		l->frees = node->next;
		node->fn(node->arg); /* frees the node too, and may put off more */
	}
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	CHECK_OBJ(l, LOOP_MAGIC);
	loop_run_frees(l);
	(void)event_del(&l->wake_event);
	(void)event_del(&l->deadline_event);
	event_base_free(l->base);
	(void)close(l->wake_fd);
	l->magic = 0;
	free(l);
}

/* --- turns ---------------------------------------------------------------------------------------------------------
 */

/* Tasks deferred by a task wait for the next turn, so that one busy stream cannot starve the sockets. */
static void loop_run_tasks(struct loop *l)
{
	struct loop_task stop = {.queued = true}, *t;

	if (TAILQ_EMPTY(&l->tasks))
		return;
	TAILQ_INSERT_TAIL(&l->tasks, &stop, entry);
	for (;;) {
		t = TAILQ_FIRST(&l->tasks);
		TAILQ_REMOVE(&l->tasks, t, entry);
		if (t == &stop)
			return;
		t->queued = false;
		t->fn(t->arg);
	}
}

void loop_turn(struct loop *l, bool wait)
{
	int flags = EVLOOP_ONCE;

	CHECK(l->magic == LOOP_MAGIC);
	if (!wait || !TAILQ_EMPTY(&l->tasks) || l->frees)
		flags |= EVLOOP_NONBLOCK;
	CHECK(event_base_loop(l->base, flags) >= 0);
	loop_run_tasks(l);
	loop_run_frees(l);
	if (l->on_turn)
		l->on_turn(l->turn_ctx);
	loop_run_frees(l);
	l->have_mono = false;
	l->have_wall = false;
}

void loop_run(struct loop *l)
{
	l->have_mono = false;
	l->have_wall = false;
	while (!atomic_load(&l->stopping))
		loop_turn(l, true);
	atomic_store(&l->stopping, false);
}

void loop_stop(struct loop *l)
{
	atomic_store(&l->stopping, true);
	loop_wake(l);
}

struct event_base *loop_base(struct loop *l)
{
	return l->base;
}

/* The clock cache is the only thing that changes behind `const`. */
int64_t loop_mono_ns(const struct loop *l)
{
	struct loop *w = (struct loop *)l;

	if (!w->have_mono) {
		w->mono_ns = clock_mono_ns();
		w->have_mono = true;
	}
	return w->mono_ns;
}

int64_t loop_wall_ns(const struct loop *l)
{
	struct loop *w = (struct loop *)l;

	if (!w->have_wall) {
		w->wall_ns = clock_wall_ns();
		w->have_wall = true;
	}
	return w->wall_ns;
}

void loop_free_later(struct loop *l, struct loop_free_node *node, void (*fn)(void *), void *arg)
{
	node->fn = fn;
	node->arg = arg;
	node->next = l->frees;
	l->frees = node;
}

void loop_defer(struct loop *l, struct loop_task *t)
{
	if (t->queued)
		return;
	CHECK(t->fn != NULL);
	t->queued = true;
	TAILQ_INSERT_TAIL(&l->tasks, t, entry);
}

void loop_defer_cancel(struct loop *l, struct loop_task *t)
{
	if (!t->queued)
		return;
	t->queued = false;
	TAILQ_REMOVE(&l->tasks, t, entry);
}

/* --- messages from other threads -----------------------------------------------------------------------------------
 */

void loop_on_wake(struct loop *l, void (*fn)(void *), void *ctx)
{
	l->on_wake = fn;
	l->wake_ctx = ctx;
}

void loop_on_turn(struct loop *l, void (*fn)(void *), void *ctx)
{
	l->on_turn = fn;
	l->turn_ctx = ctx;
}

/* The flag saves the system call when a wake is on its way already. It is cleared before on_wake looks at the messages,
 * so a message that comes meanwhile either is seen or wakes again. */
void loop_wake(struct loop *l)
{
	uint64_t one = 1;
	int saved_errno = errno;

	if (!atomic_exchange(&l->woken, true)) {
		ssize_t r = write(l->wake_fd, &one, sizeof(one));
		(void)r; /* can only fail when the counter is full, and then the loop is awake */
	}
	errno = saved_errno;
}

static void loop_wake_cb(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	(void)fd;
	(void)what;
	CHECK_OBJ(l, LOOP_MAGIC);
	atomic_store(&l->woken, false);
	if (l->on_wake)
		l->on_wake(l->wake_ctx);
}

/* --- deadlines -----------------------------------------------------------------------------------------------------
 */

static struct timeval timeval_from_ns(int64_t ns)
{
	if (ns < 0)
		ns = 0;
	return (struct timeval){.tv_sec = ns / NS_PER_S, .tv_usec = ns % NS_PER_S / 1000};
}

/* One timer serves all queues. It is only ever moved to an earlier time here: deadlines that are re-armed for ever, as
 * on a busy keep-alive connection, do not touch it; it fires late, finds nothing due and looks again. */
static void deadline_timer_cover(struct loop *l, int64_t at_ns)
{
	int64_t now_ns = loop_mono_ns(l), fire_ns = at_ns;
	struct timeval tv;

	if (fire_ns < now_ns)
		fire_ns = now_ns;
	if (fire_ns > INT64_MAX - DEADLINE_STEP_NS)
		return;                                           /* never, in practice */
	fire_ns += DEADLINE_STEP_NS - fire_ns % DEADLINE_STEP_NS; /* one wake-up for all that fall into the same step */
	if (fire_ns >= l->deadline_at_ns)
		return;
	tv = timeval_from_ns(fire_ns - now_ns);
	if (evtimer_add(&l->deadline_event, &tv) == 0)
		l->deadline_at_ns = fire_ns;
}

static struct deadline *deadline_next_due(struct loop *l, int64_t now_ns)
{
	struct deadline_queue *q;
	struct deadline *d;

	LIST_FOREACH (q, &l->queues, entry) {
		d = TAILQ_FIRST(&q->list);
		if (d->at_ns <= now_ns)
			return d;
	}
	return NULL;
}

static void loop_deadline_cb(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	int64_t now_ns = loop_mono_ns(l);
	struct deadline_queue *q;
	struct deadline *d;

	(void)fd;
	(void)what;
	CHECK_OBJ(l, LOOP_MAGIC);
	l->deadline_at_ns = INT64_MAX;
	for (;;) { /* a callback may change every list, so look from the start each time; queues are few */
		d = deadline_next_due(l, now_ns);
		if (!d)
			break;
		q = d->queue;
		deadline_disarm(d);
		q->fn(d);
	}
	LIST_FOREACH (q, &l->queues, entry)
		deadline_timer_cover(l, TAILQ_FIRST(&q->list)->at_ns);
}

void deadline_queue_init(struct deadline_queue *q, struct loop *l, int64_t timeout_ns, void (*fn)(struct deadline *))
{
	CHECK(timeout_ns > 0);
	*q = (struct deadline_queue){.loop = l, .timeout_ns = timeout_ns, .fn = fn};
	TAILQ_INIT(&q->list);
}

/* Nearly always at the end; not so only when timeout_ns was lowered while deadlines stand in the queue. */
static void deadline_insert(struct deadline_queue *q, struct deadline *d)
{
	struct deadline *before = TAILQ_LAST(&q->list, deadline_list);

	while (before && before->at_ns > d->at_ns)
		before = TAILQ_PREV(before, deadline_list, entry);
	if (before)
		TAILQ_INSERT_AFTER(&q->list, before, d, entry);
	else
		TAILQ_INSERT_HEAD(&q->list, d, entry);
}

void deadline_arm(struct deadline_queue *q, struct deadline *d)
{
	int64_t now_ns = loop_mono_ns(q->loop);

	deadline_disarm(d);
	if (TAILQ_EMPTY(&q->list))
		LIST_INSERT_HEAD(&q->loop->queues, q, entry);
	d->queue = q;
	d->at_ns = q->timeout_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + q->timeout_ns;
	deadline_insert(q, d);
	if (d->at_ns < q->loop->deadline_at_ns)
		deadline_timer_cover(q->loop, d->at_ns);
}

void deadline_disarm(struct deadline *d)
{
	struct deadline_queue *q = d->queue;

	if (!q)
		return;
	TAILQ_REMOVE(&q->list, d, entry);
	d->queue = NULL;
	if (TAILQ_EMPTY(&q->list))
		LIST_REMOVE(q, entry);
}

/* --- single timers -------------------------------------------------------------------------------------------------
 */

static void timer_cb(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *t = arg;

	(void)fd;
	(void)what;
	CHECK_OBJ(t, TIMER_MAGIC);
	t->fn(t->arg);
}

struct loop_timer *loop_timer_new(struct loop *l, void (*fn)(void *), void *arg)
{
	struct loop_timer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	*t = (struct loop_timer){.magic = TIMER_MAGIC, .fn = fn, .arg = arg};
	CHECK(evtimer_assign(&t->event, l->base, timer_cb, t) == 0);
	return t;
}

void loop_timer_set(struct loop_timer *t, int64_t delay_ns)
{
	struct timeval tv = timeval_from_ns(delay_ns);

	CHECK(t->magic == TIMER_MAGIC);
	if (evtimer_add(&t->event, &tv) != 0)
		event_active(&t->event, EV_TIMEOUT, 0); /* out of memory: better early than never */
}

void loop_timer_stop(struct loop_timer *t)
{
	CHECK(t->magic == TIMER_MAGIC);
	(void)evtimer_del(&t->event);
}

void loop_timer_free(struct loop_timer *t)
{
	if (!t)
		return;
	loop_timer_stop(t);
	t->magic = 0;
	free(t);
}
