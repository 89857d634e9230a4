/* switches.h - what stands switched, kept over restarts: stops, breakers that are open, quarantines. A name with a JSON
 * value each (table `switch`), and the event (table `event`) that tells of the change, in one transaction.
 *
 *   stop/key/NAME, stop/everything   a kill switch
 *   cost/UID                         a cost breaker; the counter's uid in 16 hex digits
 *   loop/NAME                        a key in quarantine
 */
#ifndef STORE_SWITCHES_H
#define STORE_SWITCHES_H

#include "base/attr.h"
#include "store/store.h"

#define SWITCH_NAME_MAX 400
#define SWITCHES_MAX 256 /* in one call */

struct switch_change {
	const char *name; /* NULL: only the event */
	const char *json; /* NULL: it is removed */
	/* the event; NULL: none. (uid, at_ns, cause, to) tell one event from another: the same one again is nothing. */
	const char *kind, *payload;
	uint64_t uid;
	int64_t at_ns;
	int cause, to;
	/* by hand: a row of the audit log (audit.h); NULL: none */
	const char *action, *object, *actor, *reason, *before, *after;
};
/* All or none; waits for the writer. BUR_TOOBIG, BUR_INVALID (a text of the audit row), BUR_IO. Not on the data path's
 * threads. */
int switches_put(struct store *, const struct switch_change *, size_t n) NONNULL(1) MUST_USE;
/* Those whose names begin so, in the order of their names. The slices live during the visit; it returns BUR_OK to go
 * on. BUR_IO. */
int switches_each(struct store *, struct slice prefix,
		  int (*visit)(void *ctx, struct slice name, struct slice json, int64_t ts_ns), void *ctx)
    NONNULL(1, 3) MUST_USE;

#endif
