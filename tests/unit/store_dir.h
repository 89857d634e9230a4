/* store_dir.h - a folder for each test of the store, without faults left over. */
#ifndef TESTS_STORE_DIR_H
#define TESTS_STORE_DIR_H

#include "tests/unit/store_help.h"

static char dir[64];

static int setup(void **state)
{
	(void)state;
	new_dir(dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	store_test_fail(0, 0, 0, false);
	remove_dir(dir);
	return 0;
}

#endif
