/* reprice.h - calls of the past at the prices of today's book, one bounded piece at a time. */
#ifndef APP_REPRICE_H
#define APP_REPRICE_H

#include <jansson.h>

#include "app/prices.h"
#include "base/slice.h"

#define REPRICE_ROWS 10000 /* looked at in one piece */

struct reprice_ask {
	int64_t from_ns, to_ns;       /* when the calls were sent; 0 = open */
	struct slice provider, model; /* empty = any */
	int64_t after_seq;            /* go on after this row */
	bool dry_run;
	const char *actor; /* kept with each correction */
};

/* Looks at up to REPRICE_ROWS calls and, unless dry_run, writes a correction for each that costs another amount now.
 * Doing it twice changes nothing. *ret: {"rows","changed","unpriced","models":[{"provider","model","calls","old_usd",
 * "new_usd","delta_usd"}],"next"}; next is null when there are no more. BUR_IO, BUR_NOMEM. */
int reprice(const struct prices *, const struct reprice_ask *, json_t **ret) NONNULL(1, 2, 3) MUST_USE;

#endif
