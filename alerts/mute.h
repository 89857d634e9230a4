/* mute.h - silence that somebody asked for: of a budget, a label's value, a kind of alert, or of everything. */
#ifndef ALERTS_MUTE_H
#define ALERTS_MUTE_H

#include <jansson.h>

#include "base/attr.h"
#include "store/alerts.h"

#define MUTES_MAX 1000 /* at once */

struct alerts;
struct mutes {
	struct mute *list; /* with their texts, one block each */
	size_t n;
};

/* Those that are not over, from the store. BUR_OK, BUR_NOMEM, BUR_IO (the list is as it was). */
int mutes_load(struct mutes *, struct sqlite3 *, int64_t now_ns) NONNULL(1, 2) MUST_USE;
void mutes_free(struct mutes *) NONNULL(1);
/* Until when the longest of those that cover it goes on; 0: none does. `facts`: type, budget_id, labels. */
int64_t mutes_cover(const struct mutes *, const json_t *facts, int64_t now_ns) NONNULL(1, 2);

/* By hand, with a row of the audit log. BUR_FULL: MUTES_MAX; BUR_NOTFOUND; BUR_INVALID: it ends before it begins, or an
 * actor or reason that the audit log refuses; BUR_NOMEM, BUR_IO. *ret_id: of the new one. */
int mute_add(struct alerts *, const struct mute *, int64_t *ret_id) NONNULL(1, 2, 3) MUST_USE;
int mute_end(struct alerts *, int64_t id, const char *actor, const char *reason) NONNULL(1, 3) MUST_USE;

#endif
