/* book.h - the price book as it is put together: the one built in or configured, local imports and the operator's own
 * prices (`prices-local.json` in the data folder), and what the configuration says under `prices:`. Main thread. */
#ifndef APP_BOOK_H
#define APP_BOOK_H

#include <jansson.h>

#include "app/settings.h"
#include "base/slice.h"

#define BOOK_LOCAL_FILE "prices-local.json"
#define BOOK_DAY_MAX 11

/* The day in UTC, "YYYY-MM-DD"; not before 1970. Returns dst. */
char *book_day(int64_t unix_s, char dst[BOOK_DAY_MAX]) NONNULL(2);
char *book_today(char dst[BOOK_DAY_MAX]) NONNULL(1);
/* The local document; an empty one when there is no file. BUR_INVALID, BUR_IO, BUR_NOMEM: reterr. */
int book_read_local(const struct settings *, json_t **ret, char *reterr, size_t reterr_size) NONNULL(1, 2, 3) MUST_USE;
/* Writes it whole or not at all. */
int book_write_local(const struct settings *, const json_t *, char *reterr, size_t reterr_size)
    NONNULL(1, 2, 3) MUST_USE;
/* Lays local prices and the configuration's over `root` (a book), in place. *ret_changed: there was something. */
int book_overlay(const struct settings *, const json_t *local, json_t *root, bool *ret_changed, char *reterr,
		 size_t reterr_size) NONNULL(1, 2, 3, 4, 5) MUST_USE;
/* The book without (`base`) and with local prices over it (`now`), and the local prices. */
struct books {
	json_t *base, *now, *local;
};
int book_open(const struct settings *, struct books *ret, char *reterr, size_t reterr_size)
    NONNULL(1, 2, 3) MUST_USE; /* at least BOOT_ERROR_MAX bytes of reterr */
void book_done(struct books *) NONNULL(1);
/* A copy of `base` with these local prices over it, checked as it would be loaded. */
int book_with(const struct settings *, const json_t *base, const json_t *local, json_t **ret, char *reterr,
	      size_t reterr_size) NONNULL(1, 2, 3, 4, 5) MUST_USE;
/* All of it on the text of a book. BUR_OK: *ret_text is NULL when nothing lies over it, else free() it. */
int book_assemble(const struct settings *, struct slice base, char **ret_text, char *reterr, size_t reterr_size)
    NONNULL(1, 3, 4) MUST_USE;

#endif
