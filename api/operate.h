/* operate.h - changes of budgets while they run: the store first, then the engine, so that after a crash nothing can be
 * spent that was not promised in writing, and nothing that was promised is missing. Internal to the room, for views.
 *
 * Control thread. */
#ifndef API_OPERATE_H
#define API_OPERATE_H

#include "api/api.h"
#include "policy/budget.h"
#include "store/operate.h"

/* The time as the engine believes it. */
int64_t api_now_s(const struct api *) NONNULL(1);
/* The budget of that name; NULL: none. */
const struct budget *api_budget(const struct api *, struct slice name) NONNULL(1);

/* In force for every counter of the budget from the next call on, until the configuration's own limit is edited. The
 * results of operate_limit. */
int api_set_limit(struct api *, const struct budget *, int64_t limit, const struct operation *, struct operated *ret)
    NONNULL(1, 2, 4, 5) MUST_USE;
/* The limit that is in force. BUR_OK, BUR_IO. */
int api_limit_now(struct api *, const struct budget *, int64_t *ret) NONNULL(1, 2, 3) MUST_USE;

struct api_credit {
	struct slice scope;        /* empty for budgets without `per` */
	int64_t amount, expires_s; /* OPERATE_NEVER: with its window, or when carried over never */
	bool carry_over;
};
/* BUR_NOTFOUND: no scope of this budget. BUR_INVALID: expired, not above zero, or carried over in a rolling window.
 * BUR_FULL: no room for one more; nothing was granted. Else as operate_credit. */
int api_grant_credit(struct api *, const struct budget *, const struct api_credit *, const struct operation *,
		     struct operated *ret) NONNULL(1, 2, 3, 4, 5) MUST_USE;
/* BUR_NOTFOUND, BUR_FULL as above; else as operate_charge. */
int api_charge(struct api *, const struct budget *, struct slice scope, int64_t amount, const struct operation *,
	       struct operated *ret, uint8_t ret_uid[16]) NONNULL(1, 2, 5, 6, 7) MUST_USE;

#endif
