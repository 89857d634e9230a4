/* restore.h - after a start: what people had changed is in force again. Limits as they were set, unless the
 * configuration's own was edited since; credits with what is left of them, worked out anew from what the ledger says
 * was spent in the windows since, so that it does not matter when the last run was killed. Main thread, before calls.
 */
#ifndef APP_RESTORE_H
#define APP_RESTORE_H

#include "base/attr.h"
#include "policy/engine.h"
#include "store/operate.h"

struct restored {
	struct operate_credit *changed; /* credits with less left than the store has, or over; free()d */
	size_t n;
};

/* Reads only. The counters are already restored. */
int restore_changes(struct store *, const struct budget_set *, struct engine *, int64_t now_s, struct restored *ret)
    NONNULL(1, 2, 3, 5) MUST_USE;
/* When calls are about to be taken: notes the configured limits, drops what was edited (said in the log and in the
 * audit log), and writes down what is left of the credits. */
int restore_settle(struct store *, const struct budget_set *, struct engine *, struct restored *)
    NONNULL(1, 2, 3, 4) MUST_USE;
void restore_done(struct restored *) NONNULL(1);

#endif
