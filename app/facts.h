/* facts.h - what the configuration, the engine and the ledger know about an alert beside its event: labels and unit of
 * its budget, how it stands, how fast it is spent, who spends most, what happens next and what can be done. The
 * callbacks of alerts/alerts.h. Control thread. */
#ifndef APP_FACTS_H
#define APP_FACTS_H

#include <jansson.h>

#include "base/attr.h"
#include "policy/engine.h"
#include "store/store.h"

struct facts_source {
	struct engine *engine;
	const struct budget_set *set;
	struct sqlite3 *reader;
};

/* All outlive it. BUR_OK, BUR_IO. */
int facts_open(struct facts_source *, struct store *, struct engine *, const struct budget_set *)
    NONNULL(1, 2, 3, 4) MUST_USE;
void facts_close(struct facts_source *) NONNULL(1); /* zeroed is fine */

/* ctx: struct facts_source. Adds unit, currency, period, mode, labels, scope; and how the budget stands now when the
 * event does not say; of a key whose it is. Cheap: at most one look-up. */
void facts_describe(void *ctx, json_t *facts) NONNULL(1, 2);
/* Adds rate, top, next, command. Reads the ledger, some milliseconds. */
void facts_figures(void *ctx, json_t *facts) NONNULL(1, 2);

#endif
