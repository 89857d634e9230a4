/* base_check_test - a broken invariant stops the process and says where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"

struct thing {
	unsigned magic;
};

/* Runs in a child; its standard error goes to `text`. */
static int status_of(void (*fn)(void), char *text, size_t size)
{
	int ends[2], status;
	size_t n = 0;
	ssize_t got;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)signal(SIGABRT, SIG_DFL);
		(void)dup2(ends[1], STDERR_FILENO);
		fn();
		_exit(0);
	}
	(void)close(ends[1]);
	while ((got = read(ends[0], text + n, size - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	(void)close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void good(void)
{
	struct thing t = {7};

	CHECK(1 + 1 == 2);
	CHECK_OBJ(&t, 7);
}

static void bad(void)
{
	CHECK(1 + 1 == 3);
}

static void wrong_magic(void)
{
	struct thing t = {7};

	CHECK_OBJ(&t, 8);
}

static void test_check(void **state)
{
	char text[512];
	int status;

	(void)state;
	assert_int_equal(status_of(good, text, sizeof(text)), 0);
	status = status_of(bad, text, sizeof(text));
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_non_null(strstr(text, "check failed: 1 + 1 == 3 (tests/unit/base_check_test.c:"));
	assert_non_null(strstr(text, ", bad); stopping\n"));
	status = status_of(wrong_magic, text, sizeof(text));
	assert_true(WIFSIGNALED(status));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_check)};

	return cmocka_run_group_tests_name("base_check", tests, NULL, NULL);
}
