/* check.h - checks for our own bugs. They stay on in production: a process that handles money stops
 * rather than go on with a broken invariant; the journal makes stopping safe. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include <stddef.h>

#include "base/attr.h"

NORETURN void check_failed(const char *expr, const char *file, int line, const char *func);

#define CHECK(expr)                                                                                                    \
	do {                                                                                                           \
		if (UNLIKELY(!(expr)))                                                                                 \
			check_failed(#expr, __FILE__, __LINE__, __func__);                                             \
	} while (0)

/* Long-lived structs begin with `unsigned magic`; every callback revalidates it. */
#define CHECK_OBJ(ptr, type_magic) CHECK((ptr) != NULL && (ptr)->magic == (type_magic))

#endif
