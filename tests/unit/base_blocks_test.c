/* base_blocks_test - blocks are kept per thread, to a bound, and freed with the thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "base/blocks.h"

static void *use_many(void *arg)
{
	void *blocks[BLOCKS_KEPT_MAX + 10];

	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
			blocks[i] = blocks_take(BLOCK_BUF);
			if (!blocks[i])
				return arg;
			memset(blocks[i], 0x55, BLOCK_BUF_BYTES);
		}
		for (size_t i = 0; i < ARRAY_LEN(blocks); i++)
			blocks_give(BLOCK_BUF, blocks[i]);
	}
	return NULL;
}

static void test_blocks(void **state)
{
	void *block = blocks_take(BLOCK_ARENA), *failed = &block;
	pthread_t thread;

	(void)state;
	assert_non_null(block);
	assert_int_equal((uintptr_t)block % 16, 0);
	memset(block, 1, BLOCK_ARENA_BYTES);
	blocks_give(BLOCK_ARENA, block);
	blocks_give(BLOCK_BUF, NULL);
	assert_null(use_many(NULL));
	assert_int_equal(pthread_create(&thread, NULL, use_many, &block), 0);
	assert_int_equal(pthread_join(thread, &failed), 0);
	assert_null(failed); /* a leak would show under AddressSanitizer or valgrind */
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_blocks)};

	return cmocka_run_group_tests_name("base_blocks", tests, NULL, NULL);
}
