/* watch.h - looks ahead while the server runs: every minute how fast each budget is being spent, what its window will
 * have cost, and whether a scope's spend is unlike itself; tells what begins and what ends, once (budget.burn_rate,
 * forecast.over, spend.anomaly: a row of the store's events and a line of the log).
 *
 * All of it follows from the ledger (api/foresight.h): after a restart the same is found, and what was told is not told
 * again. Works in small pieces between other things; reads with a connection of its own. Control thread. */
#ifndef APP_WATCH_H
#define APP_WATCH_H

#include "base/attr.h"

struct engine;
struct store;
struct watch;

#define WATCH_INTERVAL_S 60
#define WATCH_BUDGETS_MAX 512 /* counters in one round: those of whole budgets, then those closest to their limits */

/* After store_start. Both outlive it. NULL: out of memory. */
struct watch *watch_new(struct store *, struct engine *) NONNULL(1, 2) MUST_USE;
void watch_free(struct watch *); /* NULL is fine, here and below; before store_close */
/* As often as one likes: does nothing until a minute has passed, then some milliseconds of work each time. */
void watch_tick(struct watch *);

#endif
