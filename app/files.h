/* files.h - small files of the data folder, read and written whole. Any thread. */
#ifndef APP_FILES_H
#define APP_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

/* "DIR/name" into dst; false when it does not fit. */
bool files_path(char *dst, size_t dst_size, const char *dir, const char *name) NONNULL(1, 3, 4) MUST_USE;
/* Writes a small file whole or not at all (temporary name, fsync, rename), with this mode. BUR_IO keeps errno. */
int files_write(const char *path, const void *p, size_t n, unsigned mode) NONNULL(1) MUST_USE;
/* Reads a file of at most max_bytes; free() the NUL-terminated text. BUR_NOTFOUND, BUR_TOOBIG, BUR_IO, BUR_NOMEM. */
int files_read(const char *path, size_t max_bytes, char **ret, size_t *ret_n) NONNULL(1, 3, 4) MUST_USE;
/* n random bytes that are the same for ever: read from DIR/name, or made and written there (0600). reterr: what is
 * wrong. BUR_CORRUPT: the file has another size. */
int files_secret(const char *dir, const char *name, unsigned char *ret, size_t n, char *reterr, size_t reterr_size)
    NONNULL(1, 2, 3, 5) MUST_USE;

#endif
