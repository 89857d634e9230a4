/* reset.h - the windows of budgets that people were told of: thresholds that were crossed without a call, or whose
 * telling was lost with the program, and what ends them. A window that is over is told (budget.reset), and so is use
 * that a higher limit, a credit or a correction brought 1 % of the limit below the lowest threshold that was told
 * (budget.recovered); such thresholds may then be told again.
 *
 * What is open follows from the store's events, also after a restart. Counters are looked through a page at a time,
 * beside running calls. Reads with a connection of its own. Control thread. */
#ifndef APP_RESET_H
#define APP_RESET_H

#include "base/attr.h"

struct budget_set;
struct engine;
struct reset;
struct store;

#define RESET_WINDOWS_MAX 262144 /* beyond these, windows that were told of end untold (said in the log) */

/* After store_start, before the first call: what crossed a threshold before the program was killed is told now. All
 * three outlive it. NULL: out of memory, or the store cannot be read. */
struct reset *reset_new(struct store *, struct engine *, const struct budget_set *) NONNULL(1, 2, 3) MUST_USE;
void reset_free(struct reset *); /* NULL is fine, here and below; before store_close */
/* As often as one likes; some milliseconds of work each time. */
void reset_tick(struct reset *);

#endif
