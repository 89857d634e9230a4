/* parent.h - budgets that are parts of others: `parent: NAME`. Checked at load; at run time both simply count, because
 * a parent matches every call that its children match. Pure. */
#ifndef POLICY_PARENT_H
#define POLICY_PARENT_H

#include <stddef.h>

#include "base/attr.h"
#include "policy/budget.h"

#define PARENT_TEXT_MAX 320

/* A parent exists, is no descendant of its own, takes every call and every counter of its child, and has no less than
 * the child promises in a window that lies within its own. BUR_INVALID: *ret_index is the budget at fault, reterr says
 * what is wrong with it. */
int parent_check(const struct budget *list, size_t n, size_t *ret_index, char reterr[PARENT_TEXT_MAX])
    NONNULL(3, 4) MUST_USE;
/* Visits one sentence for each parent whose children together promise more than it has in a window. That is allowed:
 * what is not there is not spent. Children and parents with `per` are left out, as nobody knows their number. */
void parent_each_overcommit(const struct budget *list, size_t n, void (*visit)(void *ctx, const char *text), void *ctx)
    NONNULL(3);

#endif
