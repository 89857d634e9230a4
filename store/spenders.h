/* spenders.h - who spent most in a window: sums by key, user and model. Bounded work: of long windows with many calls
 * the sums by hours are taken where they can tell, else the latest calls. Any thread with a reader of its own. */
#ifndef STORE_SPENDERS_H
#define STORE_SPENDERS_H

#include "base/attr.h"
#include "base/slice.h"
#include "store/series.h"

struct spenders_of {
	uint64_t uid;                   /* of a counter; 0: by the names alone */
	int64_t from_s, to_s;           /* the window; of the counter: by the window that was posted to */
	bool by_names;                  /* the names below say exactly whose it is, and it counts money */
	int64_t key, user, team, model; /* numbers of names, 0: any */
};
/* Dearest first; in the counter's unit. BUR_OK, BUR_IO, ... */
int spenders_top(struct sqlite3 *, const struct spenders_of *, struct series_part *dst, size_t max, size_t *ret_n)
    NONNULL(1, 2, 3, 5) MUST_USE;
/* The number of a name. BUR_NOTFOUND. `kind` is enum name_kind. */
int spenders_name(struct sqlite3 *, int kind, struct slice text, int64_t *ret) NONNULL(1, 4) MUST_USE;

#endif
