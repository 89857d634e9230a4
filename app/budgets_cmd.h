/* budgets_cmd.h - the parts of `bursar budgets`. Each returns the exit code. */
#ifndef APP_BUDGETS_CMD_H
#define APP_BUDGETS_CMD_H

#include "app/cmd.h"
#include "base/attr.h"

/* The list of budgets, or with a name that of one. */
int budgets_list(const struct cmd *, const char *config, const char *name, const char *format) NONNULL(1) MUST_USE;

#endif
