/* The loop: turns, clocks, wakes, deferred work, deadlines, timers. Time passes only where a test waits for it. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "net/loop.h"

static struct loop *loop;

static int setup(void **state)
{
	(void)state;
	alarm(60); /* a loop that waits for ever ends the test, not the day */
	loop = loop_new();
	return loop ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	loop_free(loop);
	return 0;
}

static void count(void *arg)
{
	++*(int *)arg;
}

/* --- clocks --------------------------------------------------------------------------------------------------------
 */

static void test_clocks_stand_still_within_a_turn(void **state)
{
	int64_t mono_ns, wall_ns;

	(void)state;
	loop_turn(loop, false);
	mono_ns = loop_mono_ns(loop);
	wall_ns = loop_wall_ns(loop);
	while (clock_mono_ns() == mono_ns)
		;
	assert_int_equal(loop_mono_ns(loop), mono_ns);
	assert_int_equal(loop_wall_ns(loop), wall_ns);
	loop_turn(loop, false);
	assert_true(loop_mono_ns(loop) > mono_ns);
}

static int64_t seen_ns;

static void see_time(void *arg)
{
	(void)arg;
	seen_ns = loop_mono_ns(loop);
}

/* A callback sees a time from after the wait, not from before it. */
static void test_time_in_callbacks(void **state)
{
	struct loop_timer *t = loop_timer_new(loop, see_time, NULL);
	int64_t before_ns = clock_mono_ns();

	(void)state;
	seen_ns = 0;
	(void)loop_mono_ns(loop);
	loop_turn(loop, false);
	loop_timer_set(t, 20 * NS_PER_MS);
	while (seen_ns == 0)
		loop_turn(loop, true);
	assert_true(seen_ns >= before_ns + 19 * NS_PER_MS);
	loop_timer_free(t);
}

/* --- wakes ---------------------------------------------------------------------------------------------------------
 */

static int wakes;
static _Atomic int messages;
static int messages_seen;

static void on_wake(void *ctx)
{
	(void)ctx;
	wakes++;
	messages_seen = messages;
	if (messages_seen == 2000)
		loop_stop(loop);
}

static void *waker(void *arg)
{
	(void)arg;
	for (int i = 0; i < 1000; i++) {
		messages++;
		loop_wake(loop);
	}
	return NULL;
}

static void test_wake_from_threads(void **state)
{
	pthread_t threads[2];

	(void)state;
	loop_on_wake(loop, on_wake, NULL);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, waker, NULL), 0);
	loop_run(loop); /* no message may be left unseen, or this never ends */
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(messages_seen, 2000);
	assert_true(wakes <= 2000);
}

static void test_stop_before_run(void **state)
{
	int turns = 0;

	(void)state;
	loop_on_turn(loop, count, &turns);
	loop_stop(loop);
	loop_run(loop);
	assert_int_equal(turns, 0);
}

/* --- put off -------------------------------------------------------------------------------------------------------
 */

struct thing {
	struct loop_free_node node;
	int *freed;
	struct thing *other;
};

static void thing_free(void *arg)
{
	struct thing *t = arg;

	if (t->other)
		loop_free_later(loop, &t->other->node, thing_free, t->other);
	++*t->freed;
	free(t);
}

static void test_free_later(void **state)
{
	struct thing *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));
	int freed = 0;

	(void)state;
	*a = (struct thing){.freed = &freed, .other = b};
	*b = (struct thing){.freed = &freed};
	loop_free_later(loop, &a->node, thing_free, a);
	assert_int_equal(freed, 0);
	loop_turn(loop, true); /* does not sleep */
	assert_int_equal(freed, 2);
}

static struct loop_task again;
static int agains;

static void defer_again(void *arg)
{
	(void)arg;
	agains++;
	loop_defer(loop, &again);
}

static void test_deferred_tasks_run_once_a_turn(void **state)
{
	int n = 0;
	struct loop_task task = {.fn = count, .arg = &n};

	(void)state;
	again = (struct loop_task){.fn = defer_again};
	agains = 0;
	loop_defer(loop, &task);
	loop_defer(loop, &task);
	loop_defer(loop, &again);
	loop_turn(loop, true);
	assert_int_equal(n, 1);
	assert_int_equal(agains, 1);
	loop_turn(loop, true);
	assert_int_equal(n, 1);
	assert_int_equal(agains, 2);
	loop_defer(loop, &task);
	loop_defer_cancel(loop, &task);
	loop_defer_cancel(loop, &task);
	loop_defer_cancel(loop, &again);
	loop_turn(loop, false);
	assert_int_equal(n, 1);
	assert_int_equal(agains, 2);
}

static struct loop_task victim;

static void cancel_victim(void *arg)
{
	(void)arg;
	loop_defer_cancel(loop, &victim);
}

static void test_task_cancelled_by_a_task(void **state)
{
	int n = 0;
	struct loop_task killer = {.fn = cancel_victim};

	(void)state;
	victim = (struct loop_task){.fn = count, .arg = &n};
	loop_defer(loop, &killer);
	loop_defer(loop, &victim);
	loop_turn(loop, false);
	assert_int_equal(n, 0);
}

/* --- deadlines -----------------------------------------------------------------------------------------------------
 */

struct timed {
	struct deadline deadline; /* first */
	int64_t expired_ns;
	int order;
};

static int expired;

static void on_expired(struct deadline *d)
{
	struct timed *t = (struct timed *)(void *)d;

	assert_null(d->queue);
	t->expired_ns = clock_mono_ns();
	t->order = ++expired;
}

static void test_deadlines_expire_in_order(void **state)
{
	struct deadline_queue slow, fast;
	struct timed a = {0}, b = {0}, c = {0}, d = {0};
	int64_t begin_ns = clock_mono_ns();

	(void)state;
	expired = 0;
	deadline_queue_init(&slow, loop, 300 * NS_PER_MS, on_expired);
	deadline_queue_init(&fast, loop, 50 * NS_PER_MS, on_expired);
	deadline_arm(&slow, &a.deadline);
	deadline_arm(&fast, &b.deadline);
	deadline_arm(&slow, &c.deadline);
	deadline_arm(&fast, &d.deadline);
	deadline_disarm(&d.deadline);
	deadline_disarm(&d.deadline);
	while (expired < 3)
		loop_turn(loop, true);
	assert_int_equal(b.order, 1);
	assert_int_equal(a.order, 2);
	assert_int_equal(c.order, 3);
	assert_int_equal(d.order, 0);
	assert_true(b.expired_ns - begin_ns >= 50 * NS_PER_MS);
	assert_true(a.expired_ns - begin_ns >= 300 * NS_PER_MS);
}

static void test_rearming_moves_to_the_end(void **state)
{
	struct deadline_queue q;
	struct timed a = {0}, b = {0};

	(void)state;
	expired = 0;
	deadline_queue_init(&q, loop, 30 * NS_PER_MS, on_expired);
	deadline_arm(&q, &a.deadline);
	loop_turn(loop, false);
	deadline_arm(&q, &b.deadline);
	deadline_arm(&q, &a.deadline);
	assert_ptr_equal(TAILQ_FIRST(&q.list), &b.deadline);
	while (expired < 2)
		loop_turn(loop, true);
	assert_int_equal(b.order, 1);
}

static struct deadline_queue chain;
static struct timed links[3];

/* Disarms one, arms another, from inside the callback. */
static void on_chain(struct deadline *d)
{
	on_expired(d);
	if (d == &links[0].deadline) {
		deadline_disarm(&links[1].deadline);
		deadline_arm(&chain, &links[2].deadline);
	}
}

static void test_deadline_callbacks_change_the_queue(void **state)
{
	(void)state;
	expired = 0;
	memset(links, 0, sizeof(links));
	deadline_queue_init(&chain, loop, 20 * NS_PER_MS, on_chain);
	deadline_arm(&chain, &links[0].deadline);
	deadline_arm(&chain, &links[1].deadline);
	while (links[2].order == 0)
		loop_turn(loop, true);
	assert_int_equal(expired, 2);
	assert_int_equal(links[1].order, 0);
}

/* A queue whose memory goes away while it is empty leaves nothing behind in the loop. */
static void test_empty_queues_may_be_freed(void **state)
{
	struct deadline_queue *q = malloc(sizeof(*q)), other;
	struct timed a = {0}, b = {0};

	(void)state;
	expired = 0;
	deadline_queue_init(q, loop, 10 * NS_PER_MS, on_expired);
	deadline_queue_init(&other, loop, 150 * NS_PER_MS, on_expired);
	deadline_arm(q, &a.deadline);
	deadline_arm(&other, &b.deadline);
	deadline_disarm(&a.deadline);
	free(q);
	while (expired < 1)
		loop_turn(loop, true);
	assert_int_equal(b.order, 1);
}

static void test_lowered_timeout_keeps_the_order(void **state)
{
	struct deadline_queue q;
	struct timed a = {0}, b = {0};

	(void)state;
	expired = 0;
	deadline_queue_init(&q, loop, 400 * NS_PER_MS, on_expired);
	deadline_arm(&q, &a.deadline);
	q.timeout_ns = 20 * NS_PER_MS;
	deadline_arm(&q, &b.deadline);
	while (expired < 2)
		loop_turn(loop, true);
	assert_int_equal(b.order, 1);
	assert_int_equal(a.order, 2);
}

static void test_timers(void **state)
{
	int n = 0;
	struct loop_timer *t = loop_timer_new(loop, count, &n);

	(void)state;
	loop_timer_set(t, 1);
	loop_timer_stop(t);
	loop_timer_set(t, 5 * NS_PER_MS);
	loop_timer_set(t, 1 * NS_PER_MS); /* moves it */
	while (n == 0)
		loop_turn(loop, true);
	loop_timer_set(t, -5);
	while (n == 1)
		loop_turn(loop, true);
	assert_int_equal(n, 2);
	loop_timer_free(t);
	loop_timer_free(NULL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_clocks_stand_still_within_a_turn),
	    T(test_time_in_callbacks),
	    T(test_wake_from_threads),
	    T(test_stop_before_run),
	    T(test_free_later),
	    T(test_deferred_tasks_run_once_a_turn),
	    T(test_task_cancelled_by_a_task),
	    T(test_deadlines_expire_in_order),
	    T(test_rearming_moves_to_the_end),
	    T(test_deadline_callbacks_change_the_queue),
	    T(test_empty_queues_may_be_freed),
	    T(test_lowered_timeout_keeps_the_order),
	    T(test_timers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
