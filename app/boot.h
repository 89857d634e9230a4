/* boot.h - what both the server and an offline command need: the open store, the budgets as the store remembers them,
 * and the price book. Main thread. */
#ifndef APP_BOOT_H
#define APP_BOOT_H

#include "app/exit.h"
#include "app/settings.h"
#include "policy/engine.h"

struct boot {
	struct store *store;
	struct recovery_report recovery;
	struct budget_set *set;
	struct engine *engine;
};

#define BOOT_ERROR_MAX 512

/* Opens the store and restores the counters. On failure nothing stays open, *ret_exit is the exit code and reterr says
 * what to do. */
int boot_open(const struct settings *, struct boot *ret, int *ret_exit, char reterr[BOOT_ERROR_MAX])
    NONNULL(1, 2, 3, 4) MUST_USE;
void boot_close(struct boot *) NONNULL(1); /* zeroed is fine */

/* Reads the price book: the configured one, else the one built in; says so when there is none. *ret_text is free()d by
 * the caller; NULL is fine when the text is not wanted. */
int boot_price_book(const struct settings *, struct price_book **ret, char **ret_text, size_t *ret_n,
		    char reterr[BOOT_ERROR_MAX]) NONNULL(1, 2, 5) MUST_USE;

#endif
