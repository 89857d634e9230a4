/* Bills under idempotency keys: one owner each, for a day, in bounded memory, from many threads. */
#include "proxy/once.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/slice.h"

static bool claim(struct once *o, uint64_t key, int64_t now_ns)
{
	bool first = once_claim(o, key, now_ns);

	once_done(o, key);
	return first;
}

static void the_first_owns_the_bill_for_a_day(void **state)
{
	struct once *o = once_new();

	(void)state;
	assert_non_null(o);
	assert_true(claim(o, 7, 1));
	assert_false(claim(o, 7, 2));
	assert_true(claim(o, 8, 2));
	assert_false(claim(o, 7, ONCE_NS));
	assert_true(claim(o, 7, ONCE_NS + 1)); /* a day later it is another call's */
	assert_false(claim(o, 7, ONCE_NS + 2));
	once_free(o);
	once_free(NULL);
}

static void the_oldest_makes_room(void **state)
{
	struct once *o = once_new();

	(void)state;
	for (uint64_t i = 1; i <= 1000000; i++)
		assert_true(claim(o, stable_hash64(&i, sizeof(i)), (int64_t)i));
	for (uint64_t i = 1000000; i > 999000; i--) /* the newest are all there */
		assert_false(claim(o, stable_hash64(&i, sizeof(i)), 1000001));
	once_free(o);
}

struct shared {
	struct once *o;
	_Atomic int owners[64];
};

static void *contend(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < 64; i++) {
		bool first = once_claim(s->o, (uint64_t)i % 3 * 4096 + (uint64_t)i + 1, 1);

		if (first)
			atomic_fetch_add(&s->owners[i], 1);
		once_done(s->o, (uint64_t)i % 3 * 4096 + (uint64_t)i + 1);
	}
	return NULL;
}

static void of_many_threads_one_is_first(void **state)
{
	struct shared s = {.o = once_new()};
	pthread_t t[8];

	(void)state;
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&t[i], NULL, contend, &s), 0);
	for (int i = 0; i < 8; i++)
		(void)pthread_join(t[i], NULL);
	for (int i = 0; i < 64; i++)
		assert_int_equal(atomic_load(&s.owners[i]), 1);
	once_free(s.o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_first_owns_the_bill_for_a_day),
	    cmocka_unit_test(the_oldest_makes_room),
	    cmocka_unit_test(of_many_threads_one_is_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
