/* prices.h - the price book in force: put together, numbered and kept in the store, taken up again while running, and
 * applied to calls of the past. Main thread. */
#ifndef APP_PRICES_H
#define APP_PRICES_H

#include <stddef.h>
#include <stdint.h>

#include "app/boot.h"

struct json_t;

struct prices {
	const struct settings *settings;
	struct store *store;
	/* The data path takes over a new book (a reference of its own); NULL: there is none. */
	void (*use)(void *ctx, struct price_book *);
	void *use_ctx;
	struct price_book *book; /* NULL until prices_load; ours */
};

/* Reads the book with all that lies over it (boot_price_book), keeps it in the store under its number, and hands it to
 * `use` when it is another one than before. On failure the book before stays. */
int prices_load(struct prices *, char reterr[BOOT_ERROR_MAX]) NONNULL(1, 2) MUST_USE;
void prices_done(struct prices *) NONNULL(1);

/* For struct api_deps: action "reload" or "reprice", whose questions and answers api/view_prices.c describes. `ctx` is
 * a struct prices; its book is loaded when first needed. BUR_OK: *ret is the answer. BUR_INVALID: *ret_field and reterr
 * say what is wrong with the question. Else reterr says what went wrong. */
int prices_api(void *ctx, const char *action, const struct json_t *ask, struct json_t **ret, const char **ret_field,
	       char *reterr, size_t reterr_size) NONNULL(1, 2, 4, 5, 6) MUST_USE;

#endif
