/* boot.h - what both the server and an offline command need: the open store, the budgets as the store remembers them,
 * and the price book. Main thread. */
#ifndef APP_BOOT_H
#define APP_BOOT_H

#include "app/exit.h"
#include "app/restore.h"
#include "app/settings.h"
#include "policy/engine.h"

struct boot {
	struct store *store;
	struct recovery_report recovery;
	struct budget_set *set;
	struct engine *engine;
	struct restored restored; /* of what people changed; for restore_settle */
};

#define BOOT_ERROR_MAX 512

/* Opens the store and restores the counters, limits and credits. On failure nothing stays open, *ret_exit is the exit
 * code and reterr says what to do. */
int boot_open(const struct settings *, struct boot *ret, int *ret_exit, char reterr[BOOT_ERROR_MAX])
    NONNULL(1, 2, 3, 4) MUST_USE;
void boot_close(struct boot *) NONNULL(1); /* zeroed is fine */

/* The book's text as it is configured or built in (says so when there is none), without what lies over it. *ret_text
 * is free()d by the caller, may be NULL, and must outlive *ret. */
int boot_base_prices(const struct settings *, char **ret_text, struct slice *ret, char reterr[BOOT_ERROR_MAX])
    NONNULL(1, 2, 3, 4) MUST_USE;
/* The price book in force, with local and configured prices over it (app/book.h). *ret_text is free()d by the caller;
 * NULL is fine when the text is not wanted. */
int boot_price_book(const struct settings *, struct price_book **ret, char **ret_text, size_t *ret_n,
		    char reterr[BOOT_ERROR_MAX]) NONNULL(1, 2, 5) MUST_USE;

#endif
