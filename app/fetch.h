/* fetch.h - a price list from a file, or over HTTPS by libcurl. Blocking; main thread of a command. */
#ifndef APP_FETCH_H
#define APP_FETCH_H

#include <stddef.h>

#include "base/attr.h"

struct fetched {
	char *mem; /* free() it; NUL-terminated */
	size_t n;
};

/* `from`: a path, or an https:// address (redirects to https only). At most IMPORT_BYTES_MAX; with `sha256` (hex) the
 * bytes must have that digest. BUR_OK, else reterr says what is wrong; `ret` is to be free()d in any case. */
int fetch_list(const char *from, const char *sha256, struct fetched *ret, char *reterr, size_t reterr_size)
    NONNULL(1, 3, 4) MUST_USE;

#endif
