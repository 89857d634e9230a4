#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

NORETURN void check_failed(const char *expr, const char *file, int line, const char *func)
{
	char text[512];
	int n;

	n = snprintf(text, sizeof(text), "bursar: check failed: %s (%s:%d, %s); stopping\n", expr, file, line, func);
	if (n > (int)sizeof(text) - 1)
		n = (int)sizeof(text) - 1;
	if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0)
		abort(); /* nowhere to tell it */
	abort();
}
